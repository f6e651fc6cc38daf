//! Computes the A-RFM score of one user, with exact rounding.

use crate::scenario::Layering;
use crate::stats::rounding::{NEAR_HALF, round_score};

/// The known features of a user. `None` is a missing value. It counts as in the reference policy
/// (`docs/REFERENCE_POLICY.md`): no recency, no use, no value, no acceptance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Features {
    /// The time of the last use, in seconds since 1970-01-01 UTC. `None` counts as no recency: R =
    /// 0.
    pub last_use_secs: Option<f64>,
    /// The number of uses in the past 30 days. `None` counts as no use: F = 0.
    pub use_count: Option<f64>,
    /// The user's value over the past year, in the scenario's currency. `None` counts as no value:
    /// M = 1.
    pub user_value: Option<f64>,
    /// The user's acceptance of new versions, 0..=10. `None` counts as no acceptance: A = 0.
    pub accept_score: Option<f64>,
}

impl Features {
    /// Whether every feature is missing.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// The four parts of a score, each in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreParts {
    /// Recency, frequency, value and acceptance, in this order, each 0..=1.
    pub values: [f64; 4],
    /// Whether each part was out of range before clamping: a use in the future, a negative count or
    /// value, or acceptance outside of 0..=10.
    pub clamped: [bool; 4],
}

/// The parts that replace a missing recency, frequency, value and acceptance.
pub(super) const MISSING: [f64; 4] = [0.0, 0.0, 1.0, 0.0];

/// Computes `R = 1 - min((as_of - last_use) / cap, 1)`, in the reference policy's order of
/// operations. The result is above 1 for a use in the future.
#[inline]
pub(super) fn recency(last_use_secs: f64, as_of_secs: f64, cap: f64) -> f64 {
    1.0 - at_most_one((as_of_secs - last_use_secs) / cap)
}

/// Computes `F = min(use_count / cap, 1)`. The result is negative for a negative count.
#[inline]
pub(super) fn frequency(use_count: f64, cap: f64) -> f64 {
    at_most_one(use_count / cap)
}

/// Computes `M = 1 - min(value / cap, 1)`. The result is above 1 for a negative value.
#[inline]
pub(super) fn monetary(user_value: f64, cap: f64) -> f64 {
    1.0 - at_most_one(user_value / cap)
}

/// Computes `A = accept / 10`. The result is outside of 0..=1 for an illegal acceptance.
#[inline]
pub(super) fn acceptance(accept_score: f64) -> f64 {
    accept_score / 10.0
}

/// The inputs are never NaN, so one comparison is enough. `f64::min` needs two.
#[inline]
fn at_most_one(x: f64) -> f64 {
    if x > 1.0 { 1.0 } else { x }
}

/// Computes recency, frequency, monetary value and acceptance as shares, each clamped to 0..=1.
/// `as_of_secs` is in seconds since 1970-01-01 UTC.
///
/// # References
/// `docs/METHODS.md#a-rfm-score`; article A of the reference policy (`docs/REFERENCE_POLICY.md`),
/// sections 3.1 and 4.2.1.
pub fn parts(features: &Features, layering: &Layering, as_of_secs: f64) -> ScoreParts {
    let raw = [
        features.last_use_secs.map_or(MISSING[0], |last| {
            recency(last, as_of_secs, layering.recency_cap_secs)
        }),
        features
            .use_count
            .map_or(MISSING[1], |count| frequency(count, layering.use_count_cap)),
        features
            .user_value
            .map_or(MISSING[2], |value| monetary(value, layering.user_value_cap)),
        features.accept_score.map_or(MISSING[3], acceptance),
    ];
    ScoreParts {
        values: raw.map(clamp),
        clamped: raw.map(|part| !(0.0..=1.0).contains(&part)),
    }
}

/// Clamps a part to 0..=1.
#[inline]
fn clamp(part: f64) -> f64 {
    let above = if part > 0.0 { part } else { 0.0 };
    at_most_one(above)
}

/// Computes the scores of many users from their four parts. The slices have one length, and parts
/// need not be clamped. `out` gets scores in ten-thousandths. Returns the number of clamped values
/// of each part.
///
/// The loops have no branch, so that the compiler can use vector instructions. Sums near a half are
/// rare, so they are rounded exactly in a second loop.
pub(super) fn score_many(
    parts: [&[f64]; 4],
    weights: &[f64; 4],
    sums: &mut [f64],
    out: &mut [u16],
) -> [u64; 4] {
    let n = out.len();
    let [r, f, m, a] = parts.map(|part| &part[..n]);
    let sums = &mut sums[..n];
    let [w_r, w_f, w_m, w_a] = *weights;
    for idx in 0..n {
        sums[idx] = weighted(
            [clamp(r[idx]), clamp(f[idx]), clamp(m[idx]), clamp(a[idx])],
            [w_r, w_f, w_m, w_a],
        );
    }
    let mut farthest = 0.0_f64;
    for (sum, out) in sums.iter().zip(out.iter_mut()) {
        let scaled = sum * 10_000.0;
        // Adding 2^52 leaves no bits below 1, so the sum is rounded to the nearest integer. Its
        // lowest bits are that integer.
        let rounded = scaled + INTEGERS;
        let off = (scaled - (rounded - INTEGERS)).abs();
        farthest = if off > farthest { off } else { farthest };
        *out = rounded.to_bits() as u16;
    }
    if farthest > 0.5 - NEAR_HALF {
        for (sum, out) in sums.iter().zip(out.iter_mut()) {
            *out = round_score(*sum);
        }
    }
    [r, f, m, a].map(|part| part.iter().map(|x| u64::from(!(*x >= 0.0 && *x <= 1.0))).sum())
}

/// 2^52. Every double from here on is an integer.
const INTEGERS: f64 = 4_503_599_627_370_496.0;

/// The weighted sum of the parts, added in the order of recency, frequency, value and acceptance.
#[inline]
fn weighted([r, f, m, a]: [f64; 4], [w_r, w_f, w_m, w_a]: [f64; 4]) -> f64 {
    w_r * r + w_f * f + w_m * m + w_a * a
}

/// Computes the score `wR R + wF F + wM M + wA A`, added in this order and rounded to four
/// decimals. The result is in ten-thousandths, 0..=10000.
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
pub fn score(parts: &ScoreParts, weights: &[f64; 4]) -> u16 {
    round_score(weighted(parts.values, *weights))
}

/// Converts a rounded score, 0..=1, to ten-thousandths.
pub(super) fn ten_thousandths(score: f64) -> u16 {
    (score * 10_000.0).round() as u16
}

/// The number of possible scores: 0..=10000 ten-thousandths.
pub const N_SCORES: usize = 10_001;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rounds to four decimals, half to even, from the exact decimal expansion that the standard
    /// library prints.
    fn slowly(x: f64) -> u16 {
        // 1,100 digits represent any double exactly.
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
        // Multiples of 1/32 are exact and have at most five decimals, so some are exact halves.
        for n in 0..=32 {
            let x = f64::from(n) / 32.0;
            assert_eq!(round_score(x), slowly(x), "{x}");
        }
        assert_eq!(round_score(0.03125), 312);
        assert_eq!(round_score(0.09375), 938);
    }

    proptest! {
        #[test]
        fn many_users_score_like_each_of_them(
            users in proptest::collection::vec(proptest::array::uniform4(-0.5..1.5_f64), 1..70),
            weights in prop_oneof![Just([0.2, 0.2, 0.3, 0.3]), Just([0.15, 0.15, 0.5, 0.2]), Just([0.25, 0.25, 0.25, 0.25])],
            // On a grid, some sums are exact halves.
            grid in prop_oneof![Just(0.0), Just(0.125), Just(0.0002), Just(0.03125)],
        ) {
            let snap = |x: f64| if grid > 0.0 { (x / grid).round() * grid } else { x };
            let columns: [Vec<f64>; 4] = std::array::from_fn(|part| users.iter().map(|user| snap(user[part])).collect());
            let (mut sums, mut out) = (vec![0.0; users.len()], vec![0; users.len()]);
            let clamped = score_many([&columns[0], &columns[1], &columns[2], &columns[3]], &weights, &mut sums, &mut out);
            let mut expected = [0; 4];
            for (idx, found) in out.iter().enumerate() {
                let raw: [f64; 4] = std::array::from_fn(|part| columns[part][idx]);
                let parts = ScoreParts { values: raw.map(|x| x.clamp(0.0, 1.0)), clamped: raw.map(|x| !(0.0..=1.0).contains(&x)) };
                prop_assert_eq!(*found, score(&parts, &weights));
                prop_assert_eq!(*found, slowly(weighted(parts.values, weights)).min(10_000));
                parts.clamped.iter().zip(&mut expected).for_each(|(clamped, n)| *n += u64::from(*clamped));
            }
            prop_assert_eq!(clamped, expected);
        }

        #[test]
        fn rounds_like_the_exact_expansion(x in 0.0..=1.0_f64) {
            prop_assert_eq!(round_score(x), slowly(x));
        }
    }
}
