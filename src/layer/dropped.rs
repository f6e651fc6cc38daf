//! Duplicate rows that are left out of a part.

use arrow_array::BooleanArray;
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::input::UserBatch;

/// Rows that are left out because their user came before.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// Whether all ids were looked at.
    pub(super) checked: bool,
    /// By part; rows are numbered among those that can be used, in order.
    pub(super) rows: BTreeMap<usize, Vec<u64>>,
}

impl Dropped {
    pub(super) fn any_of(&self, part: usize) -> bool {
        self.rows.contains_key(&part)
    }

    /// The rows of a part, to be left out batch by batch, from a row on.
    pub(super) fn from(&self, part: usize, first: u64) -> LeaveOut<'_> {
        let rows = self.rows.get(&part).map_or(&[][..], Vec::as_slice);
        LeaveOut {
            rows: &rows[rows.partition_point(|row| *row < first)..],
            next: first,
        }
    }
}

/// Leaves rows out of consecutive batches.
pub(super) struct LeaveOut<'a> {
    rows: &'a [u64],
    next: u64,
}

impl LeaveOut<'_> {
    /// The users of the next batch that stay.
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
