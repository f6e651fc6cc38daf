//! Options of a publication besides its folder and its targets.

use crate::base::time::Micros;

/// Options of a publication.
#[derive(Debug, Clone)]
pub struct Options {
    /// The current time, microseconds UTC. Expiry and rollbacks by hand use it.
    pub now: Micros,
    /// Reports the changes without writing.
    pub dry_run: bool,
    /// Sets every ratio to 0, regardless of the schedule.
    pub rollback: bool,
    /// Opens a candidate again after a rollback by hand.
    pub reopen: bool,
    /// Writes every user, not only changed users.
    pub all_users: bool,
    /// The time for which a store keeps a user's layer without a refresh, microseconds; the store's
    /// default if `None`.
    pub ttl: Option<Micros>,
    /// The maximum number of writes per second to a store; no limit if `None`.
    pub max_qps: Option<u32>,
}

impl Options {
    /// The default options at time `now`, microseconds UTC.
    pub fn at(now: Micros) -> Self {
        Self {
            now,
            dry_run: false,
            rollback: false,
            reopen: false,
            all_users: false,
            ttl: None,
            max_qps: None,
        }
    }
}
