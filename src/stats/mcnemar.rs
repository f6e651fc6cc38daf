//! McNemar's test for pairs of 0/1 outcomes.

use crate::stats::dist::{chi2_sf, ln_chi2_sf, norm_isf};
use crate::stats::known::Interval;
use crate::stats::p_value::{Alternative, PValue};
use crate::stats::{exact, proportion};

/// The number of discordant pairs below which callers use the exact test.
pub const EXACT_BELOW: f64 = 25.0;

/// The result of McNemar's test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Exact test: the smaller of the two counts. Otherwise the chi-square statistic with
    /// continuity correction, `max(0, |b - c| - 1)^2 / (b + c)`.
    pub statistic: f64,
    /// Two-sided p-value, 0..=1, with its logarithm.
    pub p_value: PValue,
    /// Whether the p-value is from the binomial distribution.
    pub is_exact: bool,
}

/// Tests `b` pairs in which only the baseline succeeded against `c` pairs in which only the
/// candidate did. `is_exact` selects the binomial test; otherwise it is chi-square with one degree
/// of freedom. Without discordant pairs the p-value is 1.
///
/// # References
/// `docs/METHODS.md#paired-evaluations`; McNemar (1947), Edwards (1948).
pub fn test(b: f64, c: f64, is_exact: bool) -> McNemar {
    let n = b + c;
    if is_exact || n == 0.0 {
        let p = if n == 0.0 {
            1.0
        } else {
            2.0 * exact::binomial(b.min(c), n, 0.5, Alternative::Less).p
        };
        return McNemar {
            statistic: b.min(c),
            p_value: PValue::new(p),
            is_exact: true,
        };
    }
    let statistic = ((b - c).abs() - 1.0).max(0.0).powi(2) / n;
    let p_value = PValue {
        p: chi2_sf(statistic, 1.0),
        log10_p: ln_chi2_sf(statistic, 1.0) / std::f64::consts::LN_10,
    };
    McNemar {
        statistic,
        p_value,
        is_exact: false,
    }
}

/// The interval of a mean difference in -1..=1 of `n` pairs, of which `up` rose and `down` fell. It
/// adds the squared distances of Wilson's limits of both shares, with the correlation of two counts
/// of one sample. Without a pair that differs it has the width that Wilson's limits of 0 give.
///
/// # References
/// `docs/METHODS.md#paired-evaluations`; Newcombe (1998), Zou & Donner (2008).
pub fn interval(difference: f64, up: f64, down: f64, n: f64, alpha: f64) -> Interval {
    let z = norm_isf(0.5 * alpha);
    let (rose, fell) = (up / n, down / n);
    let (of_rose, of_fell) = (proportion::wilson(rose, n, z), proportion::wilson(fell, n, z));
    let rho = {
        let scale = (rose * (1.0 - rose) * fell * (1.0 - fell)).sqrt();
        if scale > 0.0 { -rose * fell / scale } else { 0.0 }
    };
    let reach = |a: f64, b: f64| (a * a + b * b - 2.0 * rho * a * b).max(0.0).sqrt();
    Interval {
        ci_lower: (difference - reach(rose - of_rose.ci_lower, of_fell.ci_upper - fell)).max(-1.0),
        ci_upper: (difference + reach(of_rose.ci_upper - rose, fell - of_fell.ci_lower)).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_all_agree_or_all_differ_have_a_width() {
        let none = interval(0.0, 0.0, 0.0, 100.0, 0.05);
        assert!(
            (none.ci_upper - 0.036_993_5).abs() < 1e-6 && none.ci_lower == -none.ci_upper,
            "{none:?}"
        );
        let all = interval(1.0, 30.0, 0.0, 30.0, 0.05);
        assert!(all.ci_lower < 0.9 && all.ci_upper == 1.0, "{all:?}");
    }
}
