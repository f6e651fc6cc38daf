//! Exposure of one user: its stages by release and its last window, and runs of users in row order.

use crate::base::error::Result;

/// Where a user was seen: one bit a stage, by release, and the last window, counted from 1.
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

/// A user who was seen, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UserRow {
    /// Row in the layer table.
    pub(super) row: u32,
    /// Tenant times layers plus the layer that the user was served under.
    pub(super) stratum: u32,
    pub(super) bucket: u16,
    pub(super) seen: UserExposure,
}

/// Users in ascending order of row and stratum.
pub(super) type UserRun<'a> = Box<dyn Iterator<Item = Result<UserRow>> + 'a>;

/// Users that lie in memory, in row order, read from any place on.
pub(super) trait UserList: Sync {
    fn len(&self) -> usize;
    /// The user at an index, if it was seen.
    fn get(&self, idx: usize) -> Option<UserRow>;
}
