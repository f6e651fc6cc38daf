//! Access to the single bits of a bitmap: one bit per row, 64 rows per word.

/// Returns whether the bit of a row is set.
#[inline]
pub(crate) fn is_set(words: &[u64], row: usize) -> bool {
    words[row / 64] >> (row % 64) & 1 == 1
}

/// Sets the bit of a row.
#[inline]
pub(crate) fn set(words: &mut [u64], row: usize) {
    words[row / 64] |= 1 << (row % 64);
}

/// Clears the bit of a row.
#[inline]
pub(crate) fn clear(words: &mut [u64], row: usize) {
    words[row / 64] &= !(1 << (row % 64));
}
