//! The exposure of one user: stages by release and the last window. Also runs of users in row
//! order.

use crate::base::error::Result;

/// The exposure of a user: one bit per stage, by release, and the last window, counted from 1. A
/// `last` of 0 means not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct UserExposure {
    pub(super) stages: [u64; 2],
    pub(super) last: u32,
}

impl UserExposure {
    pub(super) fn merge(&mut self, other: Self) {
        self.stages[0] |= other.stages[0];
        self.stages[1] |= other.stages[1];
        self.last = self.last.max(other.last);
    }
}

/// A user who was seen in the log, with the stages and the last window in which the user was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UserRow {
    /// The row in the layer table.
    pub(super) row: u32,
    /// The stratum that the user was served under: `tenant * n_layers + layer`.
    pub(super) stratum: u32,
    pub(super) bucket: u16,
    pub(super) seen: UserExposure,
}

/// Users in ascending order of row and stratum.
pub(super) type UserRun<'a> = Box<dyn Iterator<Item = Result<UserRow>> + 'a>;

/// Users in memory, in row order, with access by index.
pub(super) trait UserList: Sync {
    fn len(&self) -> usize;
    /// The user at an index; `None` if the log has no turn of the user.
    fn get(&self, idx: usize) -> Option<UserRow>;
}
