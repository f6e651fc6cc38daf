//! Merges two sorted tables of a cube: the rows of an earlier cube and those of a scan of other
//! files.

use crate::base::error::Result;
use crate::replay::cube::{Cells, LatencyRow};
use crate::replay::sums::overflow;

/// Merges cells with `width` sums each. Sums of the same key are added.
///
/// # Errors
/// When a sum overflows.
pub(super) fn merge_cells(earlier: Cells, new: Cells, width: usize) -> Result<Cells> {
    if earlier.keys.is_empty() {
        return Ok(new);
    }
    if new.keys.is_empty() {
        return Ok(earlier);
    }
    let n_most = earlier.keys.len() + new.keys.len();
    let mut merged = Cells {
        keys: Vec::with_capacity(n_most),
        values: Vec::with_capacity(n_most * width),
    };
    let copy = |merged: &mut Cells, from: usize, to: usize| {
        merged.keys.extend_from_slice(&earlier.keys[from..to]);
        merged
            .values
            .extend_from_slice(&earlier.values[from * width..to * width]);
    };
    let mut at = 0;
    for (key, values) in new.keys.iter().zip(new.values.chunks_exact(width)) {
        let n_below = earlier.keys[at..].iter().take_while(|other| *other < key).count();
        copy(&mut merged, at, at + n_below);
        at += n_below;
        merged.keys.push(*key);
        let first = merged.values.len();
        merged.values.extend_from_slice(values);
        if earlier.keys.get(at) == Some(key) {
            let more = &earlier.values[at * width..(at + 1) * width];
            for (sum, more) in merged.values[first..].iter_mut().zip(more) {
                *sum = sum.checked_add(*more).ok_or_else(|| overflow("a cell"))?;
            }
            at += 1;
        }
    }
    copy(&mut merged, at, earlier.keys.len());
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
