//! Counts distinct sessions exactly: every series keeps the hashes of its sessions and removes
//! duplicates from time to time.

use std::collections::BTreeMap;

/// The number of unsorted hashes that a series may have, in addition to as many as it has sorted
/// ones.
const UNSORTED: usize = 4_096;

/// Sessions by series.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sessions {
    by_series: BTreeMap<u32, Set>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Set {
    hashes: Vec<u64>,
    /// The number of leading hashes that are sorted and distinct.
    n_sorted: usize,
}

impl Set {
    fn deduplicate(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.n_sorted = self.hashes.len();
    }
}

impl Sessions {
    /// Adds a session to a series.
    pub(super) fn insert(&mut self, series: u32, session: u64) {
        let set = self.by_series.entry(series).or_default();
        set.hashes.push(session);
        if set.hashes.len() >= 2 * set.n_sorted + UNSORTED {
            set.deduplicate();
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (series, more) in other.by_series {
            let set = self.by_series.entry(series).or_default();
            set.hashes.extend(more.hashes);
            set.deduplicate();
        }
    }

    /// Returns the hashes of each series, sorted and distinct.
    pub(super) fn finish(mut self) -> BTreeMap<u32, Vec<u64>> {
        self.by_series.values_mut().for_each(Set::deduplicate);
        self.by_series
            .into_iter()
            .map(|(series, set)| (series, set.hashes))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_counts_once_a_series() {
        let (mut a, mut b) = (Sessions::default(), Sessions::default());
        for i in 0..20_000_u64 {
            a.insert(1, i % 7_000);
            b.insert(1 + (i % 2) as u32, i % 9_000);
        }
        a.merge(b);
        let n: Vec<(u32, usize)> = a
            .finish()
            .into_iter()
            .map(|(series, hashes)| (series, hashes.len()))
            .collect();
        assert_eq!(n, [(1, 8_000), (2, 4_500)]);
    }
}
