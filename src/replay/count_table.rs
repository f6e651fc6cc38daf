//! Counts of users by a page and a bucket group. A page is a number of the caller: a stage of a
//! stratum, or a stratum in a window.

use crate::bucket::N_GROUPS;
use crate::replay::sum_table::SumTable;

/// The largest number of entries that are counted in an array. An entry of six counts has 24 bytes.
const MAX_DENSE: usize = 1 << 20;
/// The number of counts that wait for a look-up in the table of sums, so that look-ups overlap.
const N_WAITING: usize = 1_024;
/// The number of groups of a page.
const GROUPS: usize = N_GROUPS as usize;

/// Rows of `N` counts. The first pages are an array that grows with the pages in use. Pages beyond
/// [`MAX_DENSE`] entries, as with thousands of tenants, are rows of a hash table.
pub(super) struct CountTable<const N: usize> {
    dense: Vec<[u32; N]>,
    sparse: SumTable<u64>,
    /// Keys of pages beyond the array, and the counts to add.
    waiting: (Vec<u64>, Vec<[u32; N]>),
    rows: Vec<u32>,
}

impl<const N: usize> CountTable<N> {
    pub(super) fn new() -> Self {
        Self {
            dense: Vec::new(),
            sparse: SumTable::new(N),
            waiting: (Vec::new(), Vec::new()),
            rows: Vec::new(),
        }
    }

    /// Adds counts to an entry. A sum must be below 2^32. `key` is the entry's key, whose order is
    /// that of [`Self::finish`].
    #[inline]
    pub(super) fn add(&mut self, page: usize, group: u16, key: u64, counts: [u32; N]) {
        if page >= MAX_DENSE / GROUPS {
            self.waiting.0.push(key);
            self.waiting.1.push(counts);
            if self.waiting.0.len() >= N_WAITING {
                self.flush();
            }
            return;
        }
        let idx = page * GROUPS + usize::from(group);
        if idx >= self.dense.len() {
            self.dense.resize((page + 1) * GROUPS, [0; N]);
        }
        let entry = &mut self.dense[idx];
        for (sum, more) in entry.iter_mut().zip(counts) {
            *sum += more;
        }
    }

    fn flush(&mut self) {
        self.sparse.rows(&self.waiting.0, &mut self.rows);
        for (row, counts) in self.rows.iter().zip(&self.waiting.1) {
            for (sum, more) in self.sparse.sums_mut(*row).iter_mut().zip(counts) {
                *sum += u64::from(*more);
            }
        }
        self.waiting.0.clear();
        self.waiting.1.clear();
    }

    /// Adds several tables. Returns the entries with a count above 0, in the order of their keys.
    /// `key_of` returns the key of a page and group.
    pub(super) fn finish(tables: Vec<Self>, key_of: impl Fn(usize, u16) -> u64) -> Vec<(u64, [u64; N])> {
        let n_dense = tables.iter().map(|table| table.dense.len()).max().unwrap_or(0);
        let mut entries = Vec::new();
        for idx in 0..n_dense {
            let mut sums = [0_u64; N];
            for counts in tables.iter().filter_map(|table| table.dense.get(idx)) {
                for (sum, more) in sums.iter_mut().zip(counts) {
                    *sum += u64::from(*more);
                }
            }
            if sums != [0; N] {
                entries.push((key_of(idx / GROUPS, (idx % GROUPS) as u16), sums));
            }
        }
        let sparse = tables.into_iter().map(|mut table| {
            table.flush();
            table.sparse
        });
        let add = |a: u64, b: u64| Ok::<_, std::convert::Infallible>(a + b);
        let Ok(()) = SumTable::for_each_sorted(sparse.collect(), add, |key, sums| {
            entries.push((key, std::array::from_fn(|idx| sums[idx])));
        });
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn counts_of_near_and_far_pages_are_added() {
        let key_of = |page: usize, group: u16| (page as u64) << 9 | u64::from(group);
        let far = MAX_DENSE / GROUPS;
        let mut expected: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
        let mut tables = vec![CountTable::<2>::new(), CountTable::new(), CountTable::new()];
        for n in 0..5_000_usize {
            let (page, group) = (
                [0, 3, far - 1, far, far + 70_000][n % 5] + n % 3,
                (n * 7 % 370) as u16,
            );
            // An entry has counts of its own, not those of its neighbors.
            let counts = [(n % 4) as u32, 1];
            tables[n % 2].add(page, group, key_of(page, group), counts);
            let sums = expected.entry(key_of(page, group)).or_default();
            sums.iter_mut()
                .zip(counts)
                .for_each(|(sum, more)| *sum += u64::from(more));
        }
        let found = CountTable::finish(tables, key_of);
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(CountTable::<1>::finish(Vec::new(), key_of), []);
    }
}
