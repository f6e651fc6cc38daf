//! The guards of a night: limits on its users and rows. A night beyond a limit replaces and
//! publishes nothing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A guard of a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardName {
    /// Share of the users of both nights whose layer changed.
    MaxMoved,
    /// Population stability index of the score, of the tenant with the largest.
    MaxPsi,
    /// Share of the users who are absent from the previous night.
    MaxNew,
    /// Share of the previous night's users who are absent.
    MaxGone,
    /// Share of the night's rows that cannot be used.
    MaxBadRows,
    /// Number of users.
    MinUsers,
    /// Number of the night's rows between the plan's start and `as_of`.
    MinRows,
    /// Share of rows with a known user and release, of the night and of the whole log.
    MinCoverage,
    /// Hours between the newest row and `as_of`.
    MaxAge,
    /// Whether every column with values in the previous night has values.
    SameColumns,
}

impl GuardName {
    /// Every guard with its key in a scenario.
    pub const ALL: [(&'static str, Self); 10] = [
        ("max_moved", Self::MaxMoved),
        ("max_psi", Self::MaxPsi),
        ("max_new", Self::MaxNew),
        ("max_gone", Self::MaxGone),
        ("max_bad_rows", Self::MaxBadRows),
        ("min_users", Self::MinUsers),
        ("min_rows", Self::MinRows),
        ("min_coverage", Self::MinCoverage),
        ("max_age", Self::MaxAge),
        ("same_columns", Self::SameColumns),
    ];

    /// The guard's key in a scenario.
    pub fn key(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == self)
            .map_or("", |(key, _)| key)
    }
}

/// The limits of the guards.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Guards {
    limits: BTreeMap<GuardName, GuardLimit>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct GuardLimit {
    value: f64,
    is_written: bool,
}

/// Default of `guard.max_moved`.
pub(super) const MAX_MOVED: f64 = 0.2;
/// Default of `guard.max_psi`. A population stability index above it is a large shift by the usual
/// rule.
pub(super) const MAX_PSI: f64 = 0.25;
/// Default of `guard.max_new`.
pub(super) const MAX_NEW: f64 = 0.5;
/// Default of `guard.max_gone`.
pub(super) const MAX_GONE: f64 = 0.2;
/// Default of `guard.max_bad_rows`.
pub(super) const MAX_BAD_ROWS: f64 = 0.05;
/// Default of `guard.min_users` and `guard.min_rows`.
pub(super) const MIN_COUNT: u64 = 1;
/// Default of `guard.max_age`, hours.
pub(super) const MAX_AGE_HOURS: f64 = 48.0;

impl Guards {
    pub(super) fn set(&mut self, name: GuardName, value: f64, is_written: bool) {
        self.limits.insert(name, GuardLimit { value, is_written });
    }

    /// The limit of a guard, in its unit. `None` if the scenario has no guards.
    pub fn limit(&self, name: GuardName) -> Option<f64> {
        self.limits.get(&name).map(|limit| limit.value)
    }

    /// These guards without those that the scenario does not write.
    #[must_use]
    pub fn written(&self) -> Self {
        let mut written = self.clone();
        written.limits.retain(|_, limit| limit.is_written);
        written
    }
}
