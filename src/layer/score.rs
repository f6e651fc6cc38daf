//! The A-RFM score of one user, and its exact rounding.

use crate::scenario::Layering;

/// What is known of a user. `None` is not known, and counts as the source document's code counts it:
/// no recency, no use, no value, no acceptance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Features {
    /// Epoch seconds of the last use.
    pub last_use_secs: Option<f64>,
    /// Uses in the past 30 days.
    pub use_count: Option<f64>,
    /// Value over the past year.
    pub user_value: Option<f64>,
    /// Acceptance, 0..=10.
    pub accept_score: Option<f64>,
}

impl Features {
    /// Whether nothing at all is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// The four parts of a score, each 0..=1, and whether it had to be clamped into that range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// Recency, frequency, value, acceptance.
    pub values: [f64; 4],
    /// Which of them were out of range: a use in the future, a negative count or value, an acceptance outside of 0..=10.
    pub clamped: [bool; 4],
}

/// Recency, frequency, monetary value and acceptance as shares.
///
/// `R = 1 - min((as_of - last_use) / cap, 1)`, `F = min(use_count / cap, 1)`, `M = 1 - min(value / cap, 1)`, `A = accept / 10`,
/// in the source document's order of operations; each is then clamped to 0..=1.
///
/// # References
/// Source document A, 3.1 and 4.2.1.
pub fn parts(features: &Features, layering: &Layering, as_of_secs: f64) -> Parts {
    let capped = |value: f64, cap: f64| (value / cap).min(1.0);
    let raw = [
        features.last_use_secs.map_or(0.0, |last| 1.0 - capped(as_of_secs - last, layering.recency_cap_secs)),
        features.use_count.map_or(0.0, |count| capped(count, layering.use_count_cap)),
        features.user_value.map_or(1.0, |value| 1.0 - capped(value, layering.user_value_cap)),
        features.accept_score.map_or(0.0, |accept| accept / 10.0),
    ];
    Parts { values: raw.map(|part| part.clamp(0.0, 1.0)), clamped: raw.map(|part| !(0.0..=1.0).contains(&part)) }
}

/// The score in ten-thousandths: `wR R + wF F + wM M + wA A`, added in this order, rounded to four decimals.
///
/// ```
/// use sluice::layer::{score, parts, Features};
/// use sluice::scenario::{Consent, LayerMode, Layering, UnknownUsers};
/// let layering = Layering {
///     mode: LayerMode::Threshold, weights: [0.2, 0.2, 0.3, 0.3], recency_cap_secs: 30.0 * 86_400.0,
///     use_count_cap: 100.0, user_value_cap: 100_000.0, unknown: UnknownUsers::Protect, consent: Consent::OptIn,
/// };
/// let user = Features { last_use_secs: Some(-3600.0), use_count: Some(50.0), user_value: Some(1000.0), accept_score: Some(9.0) };
/// assert_eq!(score(&parts(&user, &layering, 0.0), &layering.weights), 8667);
/// ```
pub fn score(parts: &Parts, weights: &[f64; 4]) -> u16 {
    let [r, f, m, a] = parts.values;
    let [w_r, w_f, w_m, w_a] = weights;
    round_score(w_r * r + w_f * f + w_m * m + w_a * a)
}

/// Rounds to four decimals as Python's `round(x, 4)` does: the exact binary value decides, halves go to the even digit.
/// Takes 0..=1 (a sum of weights may exceed 1 by an ulp) and returns ten-thousandths, 0..=10000.
pub fn round_score(x: f64) -> u16 {
    let scaled = x * 10_000.0;
    let floor = scaled.floor();
    let above = scaled - floor;
    // The product is off by at most half an ulp of 10 000, far less than this band, so only near halves need the exact answer.
    let up = if (above - 0.5).abs() > 1e-9 { above > 0.5 } else { rounds_up_exactly(x, floor as u64) };
    (floor as u16 + u16::from(up)).min(10_000)
}

/// Whether `x`, close to `(n + 1/2) / 10000`, is above it, or on it with an odd `n`. With `x = m / 2^k` the question is whether
/// `20000 m > (2 n + 1) 2^k`, all integers.
fn rounds_up_exactly(x: f64, n: u64) -> bool {
    let bits = x.to_bits();
    // Near a half x is at least .00005, so it is a normal number, k is at most 67 and everything fits in 128 bits.
    let mantissa = (bits & ((1 << 52) - 1)) | 1 << 52;
    let k = 1075 - ((bits >> 52) & 0x7ff) as u32;
    let left = u128::from(mantissa) * 20_000;
    let right = u128::from(2 * n + 1) << k;
    left > right || left == right && n % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Correctly rounded decimal by the standard library's exact printing: round half even on the exact expansion.
    fn slowly(x: f64) -> u16 {
        // 1100 digits hold any double exactly.
        let text = format!("{x:.1100}");
        let (whole, digits) = text.split_once('.').unwrap();
        let kept: u16 = format!("{whole}{}", &digits[..4]).parse().unwrap();
        let rest = &digits[4..];
        let half = format!("5{}", "0".repeat(rest.len() - 1));
        match rest.cmp(&half) {
            std::cmp::Ordering::Less => kept,
            std::cmp::Ordering::Greater => kept + 1,
            std::cmp::Ordering::Equal => kept + kept % 2,
        }
    }

    #[test]
    fn halves_are_decided_on_the_exact_value() {
        for n in 0..10_000_u32 {
            let half = (f64::from(n) + 0.5) / 10_000.0;
            for x in [half.next_down(), half, half.next_up()] {
                assert_eq!(round_score(x), slowly(x), "{x:e}");
            }
        }
        // Exact halves: multiples of 1/32 with five decimals.
        for n in 0..=32 {
            let x = f64::from(n) / 32.0;
            assert_eq!(round_score(x), slowly(x), "{x}");
        }
        assert_eq!(round_score(0.03125), 312);
        assert_eq!(round_score(0.09375), 938);
    }

    proptest! {
        #[test]
        fn rounds_like_the_exact_expansion(x in 0.0..=1.0_f64) {
            prop_assert_eq!(round_score(x), slowly(x));
        }
    }
}
