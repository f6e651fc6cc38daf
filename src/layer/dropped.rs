//! Duplicate rows that are left out of a part.

use arrow_array::BooleanArray;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::input::UserBatch;

/// Rows that are left out because an earlier row has the same user.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Dropped {
    /// Whether all ids were compared.
    pub(super) checked: bool,
    /// The indices of the dropped rows of each part. They count only usable rows, and ascend.
    pub(super) rows: BTreeMap<usize, Vec<u64>>,
}

impl Dropped {
    /// Whether the part has dropped rows.
    pub(super) fn any_of(&self, part: usize) -> bool {
        self.rows.contains_key(&part)
    }

    /// The dropped rows of a part from row `first` on, to be left out batch by batch.
    pub(super) fn from(&self, part: usize, first: u64) -> LeaveOut<'_> {
        let rows = self.rows.get(&part).map_or(&[][..], Vec::as_slice);
        LeaveOut {
            rows: &rows[rows.partition_point(|row| *row < first)..],
            next: first,
        }
    }
}

/// Leaves dropped rows out of consecutive batches.
pub(super) struct LeaveOut<'a> {
    rows: &'a [u64],
    next: u64,
}

impl LeaveOut<'_> {
    /// Returns the next batch without its dropped rows.
    pub(super) fn filter(&mut self, users: UserBatch) -> Result<UserBatch> {
        let end = self.next + users.n_users() as u64;
        let n = self.rows.partition_point(|row| *row < end);
        let (now, later) = self.rows.split_at(n);
        let rows: Vec<usize> = now.iter().map(|row| (row - self.next) as usize).collect();
        (self.rows, self.next) = (later, end);
        if rows.is_empty() {
            Ok(users)
        } else {
            users.filter(&keep(users.n_users(), &rows))
        }
    }
}

/// Marks the rows of a batch that stay.
fn keep(n_rows: usize, dropped: &[usize]) -> BooleanArray {
    let mut keep = vec![true; n_rows];
    dropped.iter().for_each(|row| keep[*row] = false);
    BooleanArray::from(keep)
}
