//! Limits of values at a quantile of the baseline (`winsorize`): they are computed before the scan
//! and kept in the cube.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::input::{NameCodes, Turns, release, rows_without};
use crate::metric::{ColumnKind, Limits, Metric, Reading, Sum, column_min};
use crate::replay::context::{Inputs, ReplayContext, measured_columns};
use crate::replay::traces::Traces;

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
type SignedHistogram = BTreeMap<i64, u64>;

/// The number of the window of a row, by column, and its histogram. Window -1 holds all rows
/// before the plan's start.
type Windows = HashMap<(usize, i64), SignedHistogram>;

/// Computes the limits of all readings that have them at a quantile. Final limits of an earlier
/// cube stay as they are. Other limits come from the rows of the baseline: all rows before the
/// plan's start, and then whole windows until there are enough values. Shadow answers and rows of
/// evaluation runs do not count. The result does not depend on files, threads or the order of rows.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn of_quantiles(
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    outcomes: Option<&Traces>,
    earlier: &[QuantileLimits],
    progress: &Progress,
) -> Result<Vec<QuantileLimits>> {
    let mut limits = Vec::new();
    let mut wanted: Vec<(Reading, f64)> = Vec::new();
    for reading in limited_readings(ctx.metrics) {
        let Some(Limits::Quantile(quantile)) = reading.limits else {
            continue;
        };
        let text = reading.to_string();
        match earlier
            .iter()
            .find(|known| known.reading == text && known.is_final)
        {
            Some(known) => limits.push(known.clone()),
            None => wanted.push((reading, quantile)),
        }
    }
    if !wanted.is_empty() {
        let measured = measured_columns(ctx.metrics);
        let column_of = |reading: &Reading| {
            let plain = reading.clone().unlimited();
            measured.iter().position(|column| *column == plain)
        };
        let mut columns: Vec<usize> = wanted
            .iter()
            .filter_map(|(reading, _)| column_of(reading))
            .collect();
        columns.sort_unstable();
        columns.dedup();
        let windows = histograms(ctx, inputs, outcomes, &columns, progress)?;
        for (reading, quantile) in &wanted {
            let of_column: BTreeMap<i64, &SignedHistogram> = windows
                .iter()
                .filter(|((column, _), _)| Some(*column) == column_of(reading))
                .map(|((_, window), histogram)| (*window, histogram))
                .collect();
            limits.push(at_quantile(ctx, reading, *quantile, &of_column));
        }
    }
    limits.sort_by(|a, b| a.reading.cmp(&b.reading));
    Ok(limits)
}

/// The readings with limits of some metrics, each once.
fn limited_readings(metrics: &[Metric]) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    let all = metrics.iter().flat_map(Metric::sums).filter_map(Sum::reading);
    for reading in all.filter(|reading| reading.limits.is_some()) {
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    }
    readings
}

/// Reads the log once and counts the baseline's values of some columns by window and bin.
fn histograms(
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    outcomes: Option<&Traces>,
    columns: &[usize],
    progress: &Progress,
) -> Result<Windows> {
    let names = NameCodes {
        baseline: &ctx.plan.baseline,
        candidate: &ctx.plan.candidate,
        layers: Vec::new(),
        // The scan that follows refuses these rows.
        refuse_unknown_release: None,
        seed: 0,
        wants_traces: outcomes.is_some(),
        wants_sessions: false,
    };
    let parts: Vec<_> = inputs
        .traffic
        .iter()
        .flat_map(|reader| reader.table().parts.iter().map(move |part| (reader, *part)))
        .collect();
    let bar = progress.rows("limits", parts.iter().map(|(_, part)| part.n_rows).sum());
    let states = parallel::fold_parts(
        parts.len(),
        || (Windows::new(), Vec::new()),
        |(windows, rows), idx| {
            let (reader, part) = parts[idx];
            reader.turns(part, &names, &mut |turns| {
                bar.advance(turns.n as u64);
                count(ctx, turns, outcomes, columns, rows, windows);
                Ok(())
            })?;
            Ok(())
        },
    )?;
    let mut all = Windows::new();
    for (key, histogram) in states.into_iter().flat_map(|(windows, _)| windows) {
        let sum = all.entry(key).or_default();
        for (bin, n) in histogram {
            *sum.entry(bin).or_default() += n;
        }
    }
    Ok(all)
}

/// Adds the baseline's values of a step.
fn count(
    ctx: &ReplayContext<'_>,
    turns: &mut Turns,
    outcomes: Option<&Traces>,
    columns: &[usize],
    rows: &mut Vec<u16>,
    windows: &mut Windows,
) {
    rows_without(&turns.bad, turns.n, rows);
    rows.retain(|row| {
        let row = usize::from(*row);
        turns.at.values[row] < ctx.as_of
            && turns.release.values[row] == release::BASELINE
            && turns.is_shadow.values[row] == 0
            && turns.is_eval.values[row] == 0
    });
    if let Some(outcomes) = outcomes {
        outcomes.update(turns, rows);
    }
    for column in columns {
        let values = &turns.measured[*column];
        for row in rows.iter().map(|row| usize::from(*row)) {
            if values.is_absent(row) {
                continue;
            }
            let since = turns.at.values[row] - ctx.plan.start;
            let window = since.div_euclid(ctx.plan.window).max(-1);
            *windows
                .entry((*column, window))
                .or_default()
                .entry(bin_of(values.values[row]))
                .or_default() += 1;
        }
    }
}

/// The size of the bin of a value. Values below 2^13 have bins of their own.
fn bin_size(value: i64) -> i64 {
    1 << (u64::BITS - value.unsigned_abs().leading_zeros()).saturating_sub(BITS)
}

/// The value of a bin that is nearest to 0.
fn bin_of(value: i64) -> i64 {
    value / bin_size(value) * bin_size(value)
}

/// The smallest and the largest value of a bin.
fn ends_of(bin: i64) -> [i64; 2] {
    let far = bin + (bin_size(bin) - 1) * bin.signum();
    [bin.min(far), bin.max(far)]
}

/// Computes the limits of one reading from the histograms of its column, by window.
fn at_quantile(
    ctx: &ReplayContext<'_>,
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
    let until = ctx.plan.start + (last + 1) * ctx.plan.window;
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
        until: until.min(ctx.as_of),
        is_final: n_values as f64 >= n_enough && until <= ctx.as_of,
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
        let ctx = ReplayContext {
            plan: &scenario.plan,
            metrics: &scenario.metrics,
            as_of: scenario.as_of,
            refuse_unknown_release: false,
            breakdowns: &[],
        };
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
        at_quantile(&ctx, &reading, quantile, &by_window)
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
