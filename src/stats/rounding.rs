//! Rounding to four decimals, as in Python.

/// The distance from a half within which the exact integer comparison decides. The rounding error
/// of `x * 10_000` is far smaller: at most half an ulp of 10,000.
pub(crate) const NEAR_HALF: f64 = 1e-9;

/// Rounds to four decimals as Python's `round(x, 4)` does: the exact binary value decides, and
/// halves go to the even digit. The input is in 0..=1; a sum of weights may exceed 1 by one ulp.
/// The result is in steps of 0.0001, 0..=10000.
///
/// # References
/// `docs/METHODS.md#a-rfm-score`.
pub fn round_score(x: f64) -> u16 {
    let scaled = x * 10_000.0;
    let floor = scaled.floor();
    let above = scaled - floor;
    let up = if (above - 0.5).abs() > NEAR_HALF {
        above > 0.5
    } else {
        rounds_up_exactly(x, floor as u64)
    };
    (floor as u16 + u16::from(up)).min(10_000)
}

/// Whether `x`, which is close to `(n + 1/2) / 10000`, rounds up to `n + 1`. It does if it is above
/// this half, or exactly on it while `n` is odd. With `x = m / 2^k` the comparison is
/// `20000 m > (2 n + 1) 2^k`, in integers.
pub(crate) fn rounds_up_exactly(x: f64, n: u64) -> bool {
    let bits = x.to_bits();
    // Near a half, x is at least 0.00005. So it is a normal number, k is at most 67, and both sides
    // fit in 128 bits.
    let mantissa = (bits & ((1 << 52) - 1)) | 1 << 52;
    let k = 1075 - ((bits >> 52) & 0x7ff) as u32;
    let left = u128::from(mantissa) * 20_000;
    let right = u128::from(2 * n + 1) << k;
    left > right || left == right && n % 2 == 1
}
