//! Merges two sorted tables of a cube: the rows of an earlier cube and those of a scan of other
//! files.

use crate::base::error::Result;
use crate::replay::cube::{Cells, LatencyRow};
use crate::replay::sums::overflow;

/// Merges cells with `width` sums each. Sums of the same key are added. The earlier cells are moved
/// within their memory, which is much larger than that of the new ones.
///
/// # Errors
/// When a sum overflows.
pub(super) fn merge_cells(earlier: Cells, new: Cells, width: usize) -> Result<Cells> {
    let (mut merged, mut n_old, mut at) = (earlier, 0, 0);
    for key in &new.keys {
        let n_below = merged.keys[at..].iter().take_while(|other| *other < key).count();
        at += n_below;
        n_old += usize::from(merged.keys.get(at) == Some(key));
    }
    let (n_earlier, n_new) = (merged.keys.len(), new.keys.len());
    let n_merged = n_earlier + n_new - n_old;
    merged.keys.reserve_exact(n_merged - n_earlier);
    merged.values.reserve_exact((n_merged - n_earlier) * width);
    if let Some(key) = new.keys.first() {
        merged.keys.resize(n_merged, *key);
    }
    merged.values.resize(n_merged * width, 0);
    // From the last cell to the first, so that no cell is overwritten before it is moved.
    let (mut left, mut end) = (n_earlier, n_merged);
    for (key, values) in new.keys.iter().zip(new.values.chunks_exact(width)).rev() {
        let n_above = merged.keys[..left]
            .iter()
            .rev()
            .take_while(|other| *other > key)
            .count();
        let from = left - n_above;
        merged.keys.copy_within(from..left, end - n_above);
        merged
            .values
            .copy_within(from * width..left * width, (end - n_above) * width);
        (left, end) = (from, end - n_above - 1);
        let is_old = left > 0 && merged.keys[left - 1] == *key;
        left -= usize::from(is_old);
        merged.keys[end] = *key;
        let sums = &mut merged.values[..(end + 1) * width];
        if !is_old {
            sums[end * width..].copy_from_slice(values);
            continue;
        }
        for (idx, more) in values.iter().enumerate() {
            let sum = sums[left * width + idx].checked_add(*more);
            sums[end * width + idx] = sum.ok_or_else(|| overflow("a cell"))?;
        }
    }
    Ok(merged)
}

/// Merges histograms of latencies. Counts of the same bin are added.
pub(super) fn merge_latencies(
    earlier: &[(LatencyRow, u64)],
    new: &[(LatencyRow, u64)],
) -> Vec<(LatencyRow, u64)> {
    let mut merged = Vec::with_capacity(earlier.len() + new.len());
    let mut at = 0;
    for (bin, n) in new {
        let n_below = earlier[at..].iter().take_while(|(other, _)| other < bin).count();
        merged.extend_from_slice(&earlier[at..at + n_below]);
        at += n_below;
        let known = earlier.get(at).filter(|(other, _)| other == bin);
        at += usize::from(known.is_some());
        merged.push((*bin, n + known.map_or(0, |(_, n)| *n)));
    }
    merged.extend_from_slice(&earlier[at..]);
    merged
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeMap;

    use super::*;
    use crate::replay::cube::CellKey;
    use crate::scenario::Arm;

    fn cells(rows: &[(u32, [i64; 2])]) -> Cells {
        let key = |window| CellKey {
            tenant: 0,
            layer: 0,
            stage: 0,
            arm: Arm::Baseline,
            window,
            group: 0,
        };
        Cells {
            keys: rows.iter().map(|(window, _)| key(*window)).collect(),
            values: rows.iter().flat_map(|(_, values)| *values).collect(),
        }
    }

    #[test]
    fn cells_of_both_are_added_in_key_order() {
        let check = |earlier: &[(u32, [i64; 2])], new: &[(u32, [i64; 2])], expected: &[(u32, [i64; 2])]| {
            let merged = merge_cells(cells(earlier), cells(new), 2);
            assert_eq!(merged.unwrap(), cells(expected));
        };
        check(&[], &[], &[]);
        check(&[(1, [1, 2])], &[], &[(1, [1, 2])]);
        check(&[], &[(1, [1, 2])], &[(1, [1, 2])]);
        check(
            &[(1, [1, 2]), (3, [3, 4]), (4, [5, 6])],
            &[(0, [7, 8]), (3, [10, -20]), (9, [1, 1])],
            &[(0, [7, 8]), (1, [1, 2]), (3, [13, -16]), (4, [5, 6]), (9, [1, 1])],
        );
        assert!(merge_cells(cells(&[(1, [1, i64::MAX])]), cells(&[(1, [1, 1])]), 2).is_err());
    }

    /// Merged cells are those of a map, for many tables of random keys.
    #[test]
    fn cells_of_random_tables_are_those_of_a_map() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for round in 0..500 {
            let mut table = |n: usize| -> BTreeMap<u32, [i64; 2]> {
                (0..n)
                    .map(|_| (rng.random_range(0..40), [1, rng.random_range(-9..9)]))
                    .collect()
            };
            let (earlier, new) = (table(round % 31), table(round % 17));
            let mut expected = earlier.clone();
            for (key, [n, sum]) in &new {
                let known = expected.entry(*key).or_default();
                *known = [known[0] + n, known[1] + sum];
            }
            let of = |rows: BTreeMap<u32, [i64; 2]>| cells(&rows.into_iter().collect::<Vec<_>>());
            assert_eq!(merge_cells(of(earlier), of(new), 2).unwrap(), of(expected));
        }
    }

    #[test]
    fn latencies_of_both_are_added_in_order() {
        let row = |bin: u16, n: u64| {
            let key = LatencyRow {
                tenant: 0,
                layer: 0,
                stage: 0,
                arm: Arm::Baseline,
                group: 0,
                bin,
            };
            (key, n)
        };
        let (earlier, new) = ([row(1, 1), row(3, 2)], [row(0, 5), row(3, 3), row(7, 1)]);
        let expected = [row(0, 5), row(1, 1), row(3, 5), row(7, 1)];
        assert_eq!(merge_latencies(&earlier, &new), expected);
        assert_eq!(merge_latencies(&[], &new), new);
        assert_eq!(merge_latencies(&earlier, &[]), earlier);
    }
}
