//! What a publication is asked for beyond its folder and its targets.

use crate::base::time::Micros;

/// How to publish.
#[derive(Debug, Clone)]
pub struct Options {
    /// Now, microseconds: for what expires, and as the instant of a rollback by hand.
    pub now: Micros,
    /// Only say what would change.
    pub dry_run: bool,
    /// Take the candidate back from everybody, whatever the schedule says.
    pub rollback: bool,
    /// Open a candidate again that somebody took back by hand.
    pub reopen: bool,
    /// Write every user, not only those that changed.
    pub all_users: bool,
    /// How long a store keeps a user's layer if nothing refreshes it, microseconds; the store's own
    /// default if `None`.
    pub ttl: Option<Micros>,
    /// Writes a second to a store; no limit if `None`.
    pub max_qps: Option<u32>,
}

impl Options {
    /// Publish now, with the defaults.
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
