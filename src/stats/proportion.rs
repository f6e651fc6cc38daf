//! Intervals of proportions, also for few events.

use crate::stats::dist::{norm_isf, norm_sf};
use crate::stats::known::Interval;
use crate::stats::special::beta_inverse;

/// The method of the interval of a single proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShareMethod {
    /// Wilson's score interval.
    #[default]
    Wilson,
    /// Clopper and Pearson's exact interval: its coverage is never below the nominal level.
    ClopperPearson,
    /// Jeffreys's interval: the quantiles of the posterior with the prior Beta(1/2, 1/2).
    Jeffreys,
    /// Wald's interval, `p +- z sqrt(p (1 - p) / n)`. It is too narrow near 0 and 1.
    Wald,
    /// Agresti and Coull's interval: Wald's, after `z^2 / 2` successes and `z^2 / 2` failures are
    /// added.
    AgrestiCoull,
}

/// The interval of a share, from `x` successes in `n` trials, at two-sided error level `alpha`.
/// Both ends are in 0..=1.
///
/// # References
/// Brown, Cai & DasGupta (2001).
pub fn share_interval(x: f64, n: f64, method: ShareMethod, alpha: f64) -> Interval {
    let z = norm_isf(0.5 * alpha);
    let within = |lower: f64, upper: f64| Interval {
        ci_lower: lower.max(0.0),
        ci_upper: upper.min(1.0),
    };
    match method {
        ShareMethod::Wilson => {
            let ends = wilson(x / n, n, z);
            within(
                if x == 0.0 { 0.0 } else { ends.ci_lower },
                if x == n { 1.0 } else { ends.ci_upper },
            )
        }
        ShareMethod::ClopperPearson => within(
            if x > 0.0 {
                beta_inverse(x, n - x + 1.0, 0.5 * alpha).0
            } else {
                0.0
            },
            // The upper end is computed from the other outcome, as a lower tail, to keep its
            // precision near 1.
            if x < n {
                beta_inverse(n - x, x + 1.0, 0.5 * alpha).1
            } else {
                1.0
            },
        ),
        ShareMethod::Jeffreys => within(
            beta_inverse(x + 0.5, n - x + 0.5, 0.5 * alpha).0,
            beta_inverse(n - x + 0.5, x + 0.5, 0.5 * alpha).1,
        ),
        ShareMethod::Wald => {
            let (p, half) = (x / n, z * (x / n * (1.0 - x / n) / n).sqrt());
            within(p - half, p + half)
        }
        ShareMethod::AgrestiCoull => {
            let more = n + z * z;
            let p = (x + 0.5 * z * z) / more;
            let half = z * (p * (1.0 - p) / more).sqrt();
            within(p - half, p + half)
        }
    }
}

/// Wilson's interval of a share `p` of `n` (effective) trials at the normal quantile `z`:
/// `(p + z^2 / (2 n) +- z sqrt(p (1 - p) / n + z^2 / (4 n^2))) / (1 + z^2 / n)`, limited to 0..=1.
///
/// # References
/// Wilson (1927).
pub fn wilson(p: f64, n: f64, z: f64) -> Interval {
    let z2 = z * z;
    let center = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Interval {
        ci_lower: (center - half).max(0.0),
        ci_upper: (center + half).min(1.0),
    }
}

/// Newcombe's hybrid interval of `p1 - p0` at the normal quantile `z`, from Wilson's intervals
/// `(l, u)` of the two shares: from `d - sqrt((p1 - l1)^2 + (u0 - p0)^2)` to
/// `d + sqrt((u1 - p1)^2 + (p0 - l0)^2)`, with `d = p1 - p0`.
///
/// # References
/// `docs/METHODS.md#effects`; Newcombe (1998), method 10.
pub fn newcombe(p1: f64, n1: f64, p0: f64, n0: f64, z: f64) -> Interval {
    square_and_add([p0, p1], [wilson(p0, n0, z), wilson(p1, n1, z)])
}

/// The interval of the difference of two values, control first, from the interval `(l, u)` of each:
/// the squared distances from the values to the ends that matter are added.
///
/// # References
/// Newcombe (1998), method 10; Zou & Donner (2008).
pub fn square_and_add(values: [f64; 2], intervals: [Interval; 2]) -> Interval {
    let ([x0, x1], [i0, i1]) = (values, intervals);
    let d = x1 - x0;
    Interval {
        ci_lower: d - ((x1 - i1.ci_lower).powi(2) + (i0.ci_upper - x0).powi(2)).sqrt(),
        ci_upper: d + ((i1.ci_upper - x1).powi(2) + (x0 - i0.ci_lower).powi(2)).sqrt(),
    }
}

/// The two-sided p-value that matches [`newcombe`]: the error level at which an end of the interval
/// is 0.
pub fn newcombe_p_value(p1: f64, n1: f64, p0: f64, n0: f64) -> f64 {
    (2.0 * norm_sf(newcombe_deviate(p1, n1, p0, n0))).min(1.0)
}

/// The normal quantile at which an end of [`newcombe`]'s interval is 0. At least 0.
pub fn newcombe_deviate(p1: f64, n1: f64, p0: f64, n0: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e4);
    for _ in 0..100 {
        let z = 0.5 * (low + high);
        if newcombe(p1, n1, p0, n0, z).contains_zero() {
            high = z
        } else {
            low = z
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} against {expected}");
    }

    #[test]
    fn published_values() {
        // Newcombe (1998), table II, (a): 56/70 against 48/80, 0.0524 to 0.3339.
        let interval = newcombe(56.0 / 70.0, 70.0, 48.0 / 80.0, 80.0, 1.959963984540054);
        assert!(
            (interval.ci_lower - 0.0524).abs() < 5e-5 && (interval.ci_upper - 0.3339).abs() < 5e-5,
            "{interval:?}"
        );
        // Wilson's interval of 10 in 100: 0.0552 to 0.1744.
        let interval = wilson(0.1, 100.0, 1.959963984540054);
        assert!(
            (interval.ci_lower - 0.05523).abs() < 1e-5 && (interval.ci_upper - 0.17437).abs() < 1e-5,
            "{interval:?}"
        );
    }

    #[test]
    fn no_events_is_not_certainty() {
        assert!(newcombe(0.0, 1_000.0, 0.0, 10.0, 2.0).ci_upper > 0.0);
        close(newcombe_p_value(0.0, 100.0, 0.0, 100.0), 1.0);
    }
}
