//! Options of a publication besides its folder and its targets.

use std::time::Duration;

use crate::base::time::Micros;

/// The time limit of a rollback at one target, unless `--target-timeout` names another.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(10);

/// The longest time without an answer of a target, unless `--target-timeout` names another.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Options of a publication.
#[derive(Debug, Clone)]
pub struct Options {
    /// The current time, microseconds UTC. Expiry and rollbacks by hand use it.
    pub now: Micros,
    /// Reports the changes without writing.
    pub dry_run: bool,
    /// Sets every ratio to 0, regardless of the schedule.
    pub rollback: bool,
    /// Whether the closing of a rollback ends the plan and says nothing about its candidate. Only
    /// with `rollback`.
    pub retire: bool,
    /// Opens a candidate again after a rollback by hand or a retirement of its plan.
    pub reopen: bool,
    /// Writes every user, not only changed users.
    pub all_users: bool,
    /// Compares everything that a target holds with the publication, not only a sample.
    pub verify: bool,
    /// The time for which a store keeps a user's layer without a refresh, microseconds; the store's
    /// default if `None`.
    pub ttl: Option<Micros>,
    /// The maximum number of writes per second to a store; no limit if `None`.
    pub max_qps: Option<u32>,
    /// The time limit of a target: of all its work in a rollback, of one answer otherwise. `None`
    /// is 10 seconds in a rollback and 60 seconds otherwise.
    pub target_timeout: Option<Duration>,
}

impl Options {
    /// The default options at time `now`, microseconds UTC.
    pub fn at(now: Micros) -> Self {
        Self {
            now,
            dry_run: false,
            rollback: false,
            retire: false,
            reopen: false,
            all_users: false,
            verify: false,
            ttl: None,
            max_qps: None,
            target_timeout: None,
        }
    }

    /// The longest time to wait for one answer of a target.
    pub fn answer_limit(&self) -> Duration {
        let usual = if self.rollback {
            ROLLBACK_LIMIT
        } else {
            ANSWER_LIMIT
        };
        self.target_timeout.unwrap_or(usual)
    }
}
