//! Reads the first rows of the baseline, from which limits of values at a quantile come.

use hashbrown::HashMap;
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::input::{NameCodes, Turns, release, rows_without};
use crate::metric::{Limits, Metric, Reading, Sum};
use crate::replay::context::{Inputs, ReplayContext, measured_columns};
use crate::replay::limits::{QuantileLimits, SignedHistogram, at_quantile, bin_of};
use crate::replay::traces::Traces;

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
pub(super) fn limits_of_quantiles(
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
            limits.push(at_quantile(ctx.plan, ctx.as_of, reading, *quantile, &of_column));
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
        buckets: None,
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
