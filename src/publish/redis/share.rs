//! The share of the users that is compared with the server: all of them, or a sample.

use std::ops::Range;

use crate::base::hash;

/// The share of the users that a pass reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Every user.
    All,
    /// Some hundred users of each batch of some parts, chosen by the seed.
    Sample { seed: u64 },
}

/// The number of parts that a sample reads.
const SAMPLE_PARTS: usize = 8;

/// The number of users that a sample reads of each batch.
const SAMPLE_ROWS: usize = 512;

impl Share {
    /// The parts of a table to read.
    pub(super) fn parts(self, n_parts: usize) -> Vec<usize> {
        match self {
            Self::Sample { seed } if n_parts > SAMPLE_PARTS => {
                let mut parts: Vec<usize> = (0..n_parts).collect();
                parts.sort_by_key(|part| hash::join(seed, *part as u64));
                parts.truncate(SAMPLE_PARTS);
                parts
            }
            _ => (0..n_parts).collect(),
        }
    }

    /// The rows of a batch to read.
    pub(super) fn rows(self, part: usize, n_rows: usize) -> Range<usize> {
        match self {
            Self::Sample { seed } if n_rows > SAMPLE_ROWS => {
                let start = hash::join(!seed, part as u64) % (n_rows - SAMPLE_ROWS + 1) as u64;
                start as usize..start as usize + SAMPLE_ROWS
            }
            _ => 0..n_rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_same_for_a_seed_and_stays_inside_of_the_table() {
        let sample = Share::Sample { seed: 7 };
        assert_eq!(sample.parts(3), [0, 1, 2]);
        assert_eq!(sample.parts(100), sample.parts(100));
        assert_ne!(sample.parts(100), Share::Sample { seed: 8 }.parts(100));
        assert_eq!(sample.parts(100).len(), SAMPLE_PARTS);
        for n_rows in [0, 1, SAMPLE_ROWS, SAMPLE_ROWS + 1, 65_536] {
            for part in 0..50 {
                let rows = sample.rows(part, n_rows);
                assert!(rows.end <= n_rows && rows.len() == n_rows.min(SAMPLE_ROWS));
            }
        }
        assert_eq!(Share::All.rows(0, 65_536), 0..65_536);
    }
}
