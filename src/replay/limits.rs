//! Limits of values at a quantile of the baseline (`winsorize`): from histograms of its first rows.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::time::Micros;
use crate::metric::{ColumnKind, Limits, Reading, column_min};
use crate::scenario::Plan;

/// The expected number of the baseline's values beyond a limit. With fewer values the limit depends
/// on single rows.
const N_BEYOND: f64 = 10.0;

/// The limits of a column's values, from a quantile of the baseline's first rows.
///
/// # References
/// `docs/METHODS.md#limits-of-values`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantileLimits {
    /// The text of the reading: `profit winsorize 0.999`.
    pub reading: String,
    /// The smallest value that counts in full, in the unit of the column. `None` if the column has
    /// a minimum, or if there was no value.
    pub floor: Option<f64>,
    /// The largest value that counts in full, in the unit of the column. `None` if there was no
    /// value.
    pub cap: Option<f64>,
    /// The number of the baseline's values that the limits come from.
    pub n_values: u64,
    /// The end of the rows that the limits come from (exclusive), in microseconds UTC.
    pub until: Micros,
    /// Whether later rows leave the limits unchanged. If not, the log has too few values yet.
    pub is_final: bool,
}

/// The limits of a reading in integer units, `None` for a reading without limits. `of_quantiles`
/// holds the limits that come from quantiles.
pub(super) fn in_units(reading: &Reading, of_quantiles: &[QuantileLimits]) -> Option<[i64; 2]> {
    let kind = reading.kind();
    let (floor, cap) = match reading.limits? {
        Limits::Values { floor, cap } => (floor, cap),
        Limits::Quantile(_) => {
            let text = reading.to_string();
            let found = of_quantiles.iter().find(|limits| limits.reading == text);
            found.map_or((None, None), |limits| (limits.floor, limits.cap))
        }
    };
    let units = |limit: Option<f64>| limit.and_then(|limit| kind.quantize(limit, f64::NEG_INFINITY).ok());
    Some([units(floor).unwrap_or(i64::MIN), units(cap).unwrap_or(i64::MAX)])
}

/// Significant bits of a value that a histogram keeps. A bin is at most 1 / 4,096 of its values
/// wide.
const BITS: u32 = 13;

/// The numbers of values, in integer units, by the value of the bin that is nearest to 0.
pub(super) type SignedHistogram = BTreeMap<i64, u64>;

/// The size of the bin of a value. Values below 2^13 have bins of their own.
fn bin_size(value: i64) -> i64 {
    1 << (u64::BITS - value.unsigned_abs().leading_zeros()).saturating_sub(BITS)
}

/// The value of a bin that is nearest to 0.
pub(super) fn bin_of(value: i64) -> i64 {
    value / bin_size(value) * bin_size(value)
}

/// The smallest and the largest value of a bin.
fn ends_of(bin: i64) -> [i64; 2] {
    let far = bin + (bin_size(bin) - 1) * bin.signum();
    [bin.min(far), bin.max(far)]
}

/// Computes the limits of one reading from the histograms of its column, by window.
pub(super) fn at_quantile(
    plan: &Plan,
    as_of: Micros,
    reading: &Reading,
    quantile: f64,
    windows: &BTreeMap<i64, &SignedHistogram>,
) -> QuantileLimits {
    // The rounding keeps 10 / (1 - 0.999) at 10,000.
    let n_enough = (N_BEYOND / (1.0 - quantile) * (1.0 - 1e-9)).ceil();
    let (mut histogram, mut n_values, mut last) = (SignedHistogram::new(), 0_u64, -1);
    for (window, more) in windows {
        if n_values as f64 >= n_enough {
            break;
        }
        last = *window;
        for (bin, n) in *more {
            *histogram.entry(*bin).or_default() += n;
            n_values += n;
        }
    }
    let until = plan.start + (last + 1) * plan.window;
    // The rank from either end of the value at the quantile.
    let rank = (quantile * n_values as f64 * (1.0 - 1e-12)).ceil();
    let units = reading.kind().units();
    let limit = |bins: &mut dyn Iterator<Item = (&i64, &u64)>, end: usize| {
        let mut n_passed = 0;
        for (bin, n) in bins {
            n_passed += n;
            if n_passed as f64 >= rank {
                return Some(ends_of(*bin)[end] as f64 / units);
            }
        }
        None
    };
    let has_minimum = column_min(&reading.column) == 0.0 || reading.kind() == ColumnKind::Flag;
    QuantileLimits {
        reading: reading.to_string(),
        floor: limit(&mut histogram.iter().rev(), 0).filter(|_| !has_minimum),
        cap: limit(&mut histogram.iter(), 1),
        n_values,
        until: until.min(as_of),
        is_final: n_values as f64 >= n_enough && until <= as_of,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = r#"
        as_of = "2026-01-10"
        plan = { id = "p", start = "2026-01-01", baseline = "a", candidate = "b", window_minutes = 60 }
        input = { users_from_traffic = true, traffic = [{ path = "t.csv" }] }
        layer = [{ id = "all" }]
    "#;

    /// The limits of a reading from values by window, each with 1 to `n` in thousandths.
    fn limits(reading: &str, windows: &[(i64, std::ops::RangeInclusive<i64>)]) -> QuantileLimits {
        use crate::scenario::{Overrides, Scenario};
        let scenario =
            Scenario::parse(SCENARIO, "test", std::path::Path::new(""), &Overrides::default()).unwrap();
        let histograms: Vec<(i64, SignedHistogram)> = windows
            .iter()
            .map(|(window, values)| {
                let mut histogram = SignedHistogram::new();
                for value in values.clone() {
                    *histogram.entry(bin_of(value * 1_000)).or_default() += 1;
                }
                (*window, histogram)
            })
            .collect();
        let by_window = histograms
            .iter()
            .map(|(window, histogram)| (*window, histogram))
            .collect();
        let reading = Reading::parse(reading).unwrap();
        let Some(Limits::Quantile(quantile)) = reading.limits else {
            panic!("{reading}")
        };
        at_quantile(&scenario.plan, scenario.as_of, &reading, quantile, &by_window)
    }

    #[test]
    fn limits_come_from_the_first_windows_with_enough_values() {
        let near = |found: Option<f64>, expected: f64| {
            assert!(
                (found.unwrap() / expected - 1.0).abs() < 1.0 / 4_096.0,
                "{found:?} {expected}"
            );
        };
        // 100 values are enough for 0.9. Rows before the start are enough here.
        let found = limits("profit winsorize 0.9", &[(-1, -49..=150), (3, 9_999..=9_999)]);
        near(found.cap, 0.13);
        near(found.floor, -0.029);
        assert_eq!((found.n_values, found.is_final), (200, true));
        // They are not: whole windows are added. A column with a minimum has no lower limit.
        let windows = [(-1, 1..=10), (2, 11..=60), (5, 61..=200), (6, 9_999..=9_999)];
        let found = limits("latency_ms winsorize 0.9", &windows);
        near(found.cap, 0.18);
        assert_eq!((found.floor, found.n_values, found.is_final), (None, 200, true));
        let start = found.until - 6 * crate::base::time::HOUR;
        assert_eq!(crate::base::time::format(start), "2026-01-01T00:00:00Z");
        // The log has too few values.
        let found = limits("latency_ms winsorize 0.99", &windows);
        assert_eq!((found.n_values, found.is_final), (201, false));
        near(found.cap, 0.199);
        let found = limits("latency_ms winsorize 0.99", &[]);
        assert_eq!((found.cap, found.n_values, found.is_final), (None, 0, false));
    }

    #[test]
    fn bins_have_signs_and_whole_ends() {
        let mut last = i64::MIN;
        for value in [
            -5_000_000_007,
            -1_000,
            -1,
            0,
            1,
            2,
            63,
            64,
            65,
            1_000,
            5_000_000_007,
        ] {
            let bin = bin_of(value);
            let [low, high] = ends_of(bin);
            assert!(bin > last && (low..=high).contains(&value), "{value}");
            assert_eq!([low, high].map(bin_of), [bin; 2]);
            assert!((high - low) as f64 <= value.abs() as f64 / 4_096.0);
            last = bin;
        }
    }
}
