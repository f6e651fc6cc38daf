//! A table of sums by key, with look-ups in batches.

use rayon::slice::ParallelSliceMut;

use crate::base::memory::prefetch;

/// The number of look-ups between a prefetch and its use.
pub(super) const AHEAD: usize = 32;
const EMPTY: u32 = u32::MAX;
/// The number of rows of a chunk of sums.
const CHUNK: usize = 1_024;

/// Rows of `width` sums (at least one), each under a 64-bit key. The hash table uses open
/// addressing. In a batch of keys, the slots of later keys are prefetched while earlier keys are
/// looked up.
pub(super) struct SumTable<T> {
    width: usize,
    /// The key and row of each slot. The row is `EMPTY` in an unused slot.
    slots: Vec<(u64, u32)>,
    keys: Vec<u64>,
    /// The sums of [`CHUNK`] rows each. A table grows by chunks, so that no sum is moved and no
    /// memory is freed while it grows.
    sums: Vec<Vec<T>>,
}

impl<T: Copy + Default> SumTable<T> {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            slots: vec![(0, EMPTY); 64],
            keys: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// The number of sums of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Finds the row of each key, and creates missing rows.
    pub(super) fn rows(&mut self, keys: &[u64], rows: &mut Vec<u32>) {
        self.reserve(keys.len());
        rows.clear();
        let mask = self.slots.len() - 1;
        for (idx, key) in keys.iter().enumerate() {
            if let Some(next) = keys.get(idx + AHEAD) {
                prefetch(&self.slots, home(*next) & mask);
            }
            rows.push(self.row(*key));
        }
        while self.sums.len() * CHUNK < self.keys.len() {
            self.sums.push(vec![T::default(); CHUNK * self.width]);
        }
    }

    /// Returns the sums of a row, to add to them.
    #[inline]
    pub(super) fn sums_mut(&mut self, row: u32) -> &mut [T] {
        let start = row as usize % CHUNK * self.width;
        &mut self.sums[row as usize / CHUNK][start..start + self.width]
    }

    /// Prefetches the sums of a row from `first` on, as many as a cache line holds.
    #[inline]
    pub(super) fn prefetch(&self, row: u32, first: usize) {
        if let Some(sums) = self.sums.get(row as usize / CHUNK) {
            prefetch(sums, row as usize % CHUNK * self.width + first);
        }
    }

    /// Adds several tables and passes keys and sums to `on_row` in key order, without creating a
    /// table of the total.
    ///
    /// # Errors
    /// When `add` returns an error, which it does for a sum that overflows.
    pub(super) fn for_each_sorted<E>(
        parts: Vec<Self>,
        add: impl Fn(T, T) -> Result<T, E>,
        mut on_row: impl FnMut(u64, &[T]),
    ) -> Result<(), E> {
        let mut order: Vec<(u64, u32, u32)> =
            Vec::with_capacity(parts.iter().map(|part| part.keys.len()).sum());
        let mut tables = Vec::with_capacity(parts.len());
        for (
            idx,
            Self {
                width,
                slots,
                keys,
                sums,
            },
        ) in parts.into_iter().enumerate()
        {
            drop(slots);
            order.extend(keys.into_iter().zip(0..).map(|(key, row)| (key, idx as u32, row)));
            tables.push((width, sums));
        }
        order.par_sort_unstable();
        let mut total: Vec<T> = Vec::new();
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            total.clear();
            for (_, idx, row) in same {
                let (width, sums) = &tables[*idx as usize];
                let start = *row as usize % CHUNK * width;
                let sums = &sums[*row as usize / CHUNK][start..start + width];
                if total.is_empty() {
                    total.extend_from_slice(sums);
                } else {
                    for (sum, more) in total.iter_mut().zip(sums) {
                        *sum = add(*sum, *more)?;
                    }
                }
            }
            on_row(same[0].0, &total);
        }
        Ok(())
    }

    /// Finds or creates the row of a key.
    fn row(&mut self, key: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = home(key) & mask;
        loop {
            let (found, row) = self.slots[slot];
            if row == EMPTY {
                let row = self.keys.len() as u32;
                self.slots[slot] = (key, row);
                self.keys.push(key);
                return row;
            }
            if found == key {
                return row;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Reserves space for `n` more keys. The slots are at most half full.
    fn reserve(&mut self, n: usize) {
        let wanted = ((self.keys.len() + n) * 2).next_power_of_two();
        if wanted <= self.slots.len() {
            return;
        }
        let mut slots = vec![(0, EMPTY); wanted];
        for (key, row) in self.keys.iter().zip(0..) {
            let mut slot = home(*key) & (slots.len() - 1);
            while slots[slot].1 != EMPTY {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = (*key, row);
        }
        self.slots = slots;
    }
}

/// The hash of a key: the slot where its search starts, before it is reduced to the table's size.
fn home(key: u64) -> usize {
    (u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_keys_while_the_table_grows() {
        let mut rows = Vec::new();
        let mut tables = [SumTable::new(2), SumTable::new(2), SumTable::new(2)];
        for round in 0..3 {
            for start in (0..5_000_u64).step_by(100) {
                let keys: Vec<u64> = (start..start + 100).map(|key| (key * key) << 9).collect();
                // The last table has no rows.
                for table in &mut tables[..2] {
                    table.rows(&keys, &mut rows);
                    for (row, key) in rows.iter().zip(&keys) {
                        let sums = table.sums_mut(*row);
                        sums[0] += 1;
                        assert!(round == 0 || sums[1] == *key as i64);
                        sums[1] = *key as i64;
                    }
                }
            }
        }
        let mut keys = Vec::new();
        let add = |a: i64, b: i64| a.checked_add(b).ok_or(());
        SumTable::for_each_sorted(tables.into(), add, |key, sums| {
            assert_eq!(sums, [6, 2 * key as i64]);
            keys.push(key);
        })
        .unwrap();
        assert!(keys.len() == 5_000 && keys.is_sorted());
    }
}
