//! The index of users and the table of sums, for the benches of `benches/kernels`.

use crate::replay::index::{Index, UNKNOWN};
use crate::replay::sum_table::SumTable;

/// Rows per step, as in a replay.
const STEP: usize = 1_024;

/// An index of users, whose rows are their positions in a list.
pub struct UserIndex {
    index: Index,
    rows: Vec<u32>,
}

impl UserIndex {
    /// Inserts users by their hashes. All hashes must be different.
    pub fn new(hashes: &[u64]) -> Self {
        let index = Index::new(hashes.len(), u64::BITS);
        index.insert(hashes, |row, hash| (*hash, row as u32), &mut |_, _| ());
        Self {
            index,
            rows: Vec::with_capacity(STEP),
        }
    }

    /// Looks up hashes step by step. Returns the number of hashes that belong to a user.
    pub fn n_found(&mut self, hashes: &[u64]) -> usize {
        let mut n = 0;
        for step in hashes.chunks(STEP) {
            self.index.find(step, &mut self.rows);
            n += self.rows.iter().filter(|row| **row != UNKNOWN).count();
        }
        n
    }
}

/// A table with `WIDTH` sums by key.
pub struct KeyedSums<const WIDTH: usize> {
    table: SumTable<i64>,
    rows: Vec<u32>,
}

impl<const WIDTH: usize> Default for KeyedSums<WIDTH> {
    fn default() -> Self {
        Self {
            table: SumTable::new(WIDTH),
            rows: Vec::with_capacity(STEP),
        }
    }
}

impl<const WIDTH: usize> KeyedSums<WIDTH> {
    /// Adds the same values under each key, step by step. Returns the number of keys in the table.
    pub fn add(&mut self, keys: &[u64], values: &[i64; WIDTH]) -> usize {
        for step in keys.chunks(STEP) {
            self.table.rows(step, &mut self.rows);
            for row in &self.rows {
                let sums = self.table.sums_mut(*row);
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_benches_find_users_and_add_sums() {
        let hashes: Vec<u64> = (1..5_001_u64)
            .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        let mut index = UserIndex::new(&hashes[..4_000]);
        assert_eq!(index.n_found(&hashes), 4_000);
        let mut sums = KeyedSums::<2>::default();
        assert_eq!(sums.add(&hashes, &[1, 2]), 5_000);
        assert_eq!(sums.add(&hashes[..3_000], &[1, 2]), 5_000);
        let of_row = |row| sums.table.sums_mut(row).iter().sum::<i64>();
        assert_eq!((0..5_000).map(of_row).sum::<i64>(), 3 * 8_000);
    }
}
