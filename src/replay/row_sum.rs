//! The digest of rows that an engine reads in any order: the sum of their hashes.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::input::{Turns, hash_rows, rows_without};

/// The sum of the hashes of rows, modulo 2^128. It does not depend on their order or division. A row is
/// the values that a replay uses, and rows that are left out do not count. The hash is no cryptographic
/// one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowSum([u64; 2]);

impl RowSum {
    fn value(self) -> u128 {
        u128::from(self.0[0]) << 64 | u128::from(self.0[1])
    }

    fn add_hash(&mut self, hash: u128) {
        let sum = self.value().wrapping_add(hash);
        self.0 = [(sum >> 64) as u64, sum as u64];
    }

    /// Adds the rows of a step.
    pub(super) fn add(&mut self, turns: &mut Turns) {
        let mut rows = Vec::new();
        rows_without(&turns.bad, turns.n, &mut rows);
        hash_rows(turns, &rows, &mut |hash| self.add_hash(hash));
    }

    /// Adds other rows.
    pub(super) fn merge(&mut self, other: Self) {
        self.add_hash(other.value());
    }
}

impl fmt::Display for RowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows:{:032x}", self.value())
    }
}
