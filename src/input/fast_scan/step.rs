//! Steps of rows, and the result of a scan that may leave a column to the general reader.

use std::fmt;

/// Number of rows per step. Four columns of a step fit in the first-level cache.
pub(crate) const STEP: usize = 1_024;
/// Number of words in a bitmap of a step.
pub(crate) const STEP_WORDS: usize = STEP / 64;

/// The fast reader does not support a column or its content. The caller must use the general
/// reader, which also reports errors in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column for the general reader")
    }
}

pub(super) type Flat<T> = Result<T, Unsupported>;

/// Returns a word with its `n` lowest bits set.
pub(crate) fn low_bits(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}
