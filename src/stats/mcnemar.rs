//! McNemar's test for pairs of 0/1 outcomes.

use crate::stats::dist::{chi2_sf, ln_chi2_sf};
use crate::stats::exact;
use crate::stats::p_value::{Alternative, PValue};

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
