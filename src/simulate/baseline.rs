//! The baseline of a simulation: the users, traffic and rates of each layer, declared in the scenario
//! or measured on a log.

use crate::analysis;
use crate::analysis::{Analysis, AnalysisOptions};
use crate::base::error::{Error, Result};
use crate::base::time::{DAY, HOUR, Zone};
use crate::metric::RATE_METRICS;
use crate::replay::Cube;
use crate::scenario::{HOURS_A_WEEK, LATENCY_P95, Plan, Rate, Scenario, Simulation, WorldLayer};
use crate::stats::Reason;
use crate::stats::growth::pairs_of_a_user;

/// The baseline's values in every layer, declared in the scenario or measured on a log.
pub(super) struct BaselineInputs {
    pub(super) layers: Vec<WorldLayer>,
    /// Rates by layer and metric. Metrics are in the order of [`metrics_of`].
    pub(super) rates: Vec<Vec<Rate>>,
}

/// Returns the ids of the metrics that a plan reads: those of QoS, then those of its guardrails.
pub(super) fn metrics_of(plan: &Plan) -> Vec<String> {
    let mut ids: Vec<String> = RATE_METRICS.iter().map(|id| (*id).to_owned()).collect();
    for guardrail in &plan.guardrails {
        if !ids.contains(&guardrail.metric) {
            ids.push(guardrail.metric.clone());
        }
    }
    ids
}

impl BaselineInputs {
    /// Takes declared values from the scenario and all others from measurements of the baseline.
    ///
    /// # Errors
    /// A value of a layer or a metric is neither declared nor measured.
    pub(super) fn new(
        scenario: &Scenario,
        simulation: &Simulation,
        measured: Option<&Measured>,
    ) -> Result<Self> {
        let metrics = metrics_of(&scenario.plan);
        let (mut layers, mut rates) = (Vec::new(), Vec::new());
        for (idx, layer) in scenario.plan.layers.iter().enumerate() {
            let declared = simulation.layers.get(idx).cloned().flatten();
            let measured_layer = measured.and_then(|measured| {
                let rhythm = measured.rhythms.get(idx).cloned().unwrap_or_default();
                Some(WorldLayer {
                    rhythm,
                    ..measure_layer(&measured.analysis, &layer.id)?
                })
            });
            layers.push(declared.or(measured_layer).ok_or_else(|| {
                Error::usage(format!(
                    "expected size and traffic of layer \"{}\", found none",
                    layer.id
                ))
                .hint("declare them in [[simulate.layer]], or give the cube of a log with --cube")
            })?);
            let mut of_layer = Vec::new();
            for metric in &metrics {
                let declared = simulation.rate(metric, idx).cloned();
                let found = declared.map_or_else(
                    || {
                        measured.map_or(Err(Reason::NoData), |measured| {
                            measure_rate(&measured.analysis, &layers[idx], &layer.id, metric)
                        })
                    },
                    Ok,
                );
                of_layer.push(found.map_err(|reason| {
                    Error::usage(format!(
                        "expected a value of {metric} in layer \"{}\", found none: {reason}",
                        layer.id
                    ))
                    .hint(
                        "declare it in [[simulate.rate]], or give the cube of a log that has it with --cube",
                    )
                })?);
            }
            rates.push(of_layer);
        }
        Ok(Self { layers, rates })
    }
}

/// Measures a layer's size and traffic on a log. `None` if the log has no users or rows of it.
fn measure_layer(analysis: &Analysis, id: &str) -> Option<WorldLayer> {
    let of_layer = || analysis.layers.iter().filter(|layer| layer.layer == id);
    let n_users: f64 = of_layer().map(|layer| layer.n_eligible as f64).sum();
    let (mut rows, mut days) = (0.0, 0.0_f64);
    let (mut seen, mut eligible) = (0.0, 0.0);
    for layer in of_layer() {
        rows += layer
            .stages
            .iter()
            .map(|stage| (stage.rows.baseline + stage.rows.candidate) as f64)
            .sum::<f64>();
        days = days.max((analysis.as_of - analysis.start) as f64 / DAY as f64);
        // The longest stage shows best how fast distinct users are seen.
        if let Some(longest) = layer.stages.iter().max_by_key(|stage| stage.end - stage.start) {
            let users = longest.users.baseline + longest.users.candidate + longest.users.crossover;
            let share = (users as f64 / layer.n_eligible.max(1) as f64).clamp(1e-6, 1.0 - 1e-6);
            let week = 7.0 * DAY as f64 / (longest.end - longest.start).max(1) as f64;
            seen += (1.0 - (1.0 - share).powf(week)) * layer.n_eligible as f64;
            eligible += layer.n_eligible as f64;
        }
    }
    (n_users > 0.0 && rows > 0.0 && days > 0.0).then(|| WorldLayer {
        n_users,
        turns_per_user_day: rows / n_users / days,
        weekly_active: (seen / eligible).clamp(1e-6, 1.0 - 1e-9),
        rhythm: Vec::new(),
    })
}

/// Measures a metric under the baseline: its value and the variance between users, in the stage
/// with the most rows.
fn measure_rate(
    analysis: &Analysis,
    layer: &WorldLayer,
    id: &str,
    metric: &str,
) -> std::result::Result<Rate, Reason> {
    let stages = analysis
        .layers
        .iter()
        .filter(|layer| layer.layer == id)
        .flat_map(|layer| &layer.stages);
    let stage = stages
        .max_by_key(|stage| stage.rows.baseline)
        .ok_or(Reason::NoData)?;
    let rate = |value, sd, user_sd, share| Rate {
        metric: metric.to_owned(),
        layer_idx: None,
        value,
        sd,
        user_sd,
        share,
    };
    if metric == LATENCY_P95 {
        let found = stage.latency_p95_ms.baseline.result()?;
        // The standard deviation of a row that would give the quantile this standard error.
        let sd = found.std_error * (stage.rows.baseline.max(1) as f64).sqrt();
        return Ok(rate(found.estimate, Some(sd), 0.0, 1.0));
    }
    let found = stage
        .metrics
        .iter()
        .find(|m| m.metric == metric)
        .ok_or(Reason::NoColumn)?;
    let robust = found.baseline.robust.result()?;
    let is_proportion = analysis.metrics.iter().any(|m| m.id == metric && m.proportion);
    let share = robust.denominator / stage.rows.baseline.max(1) as f64;
    if is_proportion {
        let excess =
            robust.std_error.powi(2) - robust.estimate * (1.0 - robust.estimate) / robust.denominator;
        // The variance between users, by the inverse of the model's formula for errors.
        let visit = layer.turns_per_user_day / activity(layer, 1.0);
        let n_arm = (layer.n_users * (1.0 - stage.ratio.share())).max(1.0);
        let together = pairs_of_a_user(n_arm, share * (visit - 1.0).max(0.0), robust.denominator);
        let between = (excess.max(0.0) / together).min(robust.estimate * (1.0 - robust.estimate));
        return Ok(rate(robust.estimate, None, between.sqrt(), share));
    }
    Ok(rate(
        robust.estimate,
        Some(robust.std_error * robust.denominator.sqrt()),
        0.0,
        share,
    ))
}

/// The baseline's values as measured on a log.
#[derive(Debug)]
pub struct Measured {
    analysis: Analysis,
    /// Traffic by hour of the week, for each of the plan's layers. Empty if it is not known.
    rhythms: Vec<Vec<f64>>,
}

impl Measured {
    /// Measures a cube that was made under this scenario. Rhythms are by the hours of `zone`.
    ///
    /// # Errors
    /// The cube belongs to another plan.
    pub fn from_cube(cube: &Cube, scenario: &Scenario, zone: &Zone) -> Result<Self> {
        let analysis = analysis::analyze(cube, scenario, &AnalysisOptions::default())?;
        let mut rows = vec![vec![0.0; HOURS_A_WEEK]; cube.layer_ids.len()];
        for (key, values) in cube.cells.iter() {
            let hour = zone.hour_of_week(cube.start + i64::from(key.window) * cube.window);
            rows[usize::from(key.layer)][hour] += values[0] as f64;
        }
        let n_windows = (cube.as_of - cube.start) / cube.window;
        let mut windows = vec![0.0; HOURS_A_WEEK];
        (0..n_windows).for_each(|idx| windows[zone.hour_of_week(cube.start + idx * cube.window)] += 1.0);
        // Windows longer than an hour and logs shorter than a day show no hourly pattern.
        let has_rhythm = cube.window <= HOUR && cube.as_of - cube.start >= DAY;
        let rhythms = rows
            .iter()
            .map(|rows| {
                if has_rhythm {
                    rhythm(rows, &windows)
                } else {
                    Vec::new()
                }
            })
            .collect();
        Ok(Self { analysis, rhythms })
    }
}

/// Computes traffic weights by hour of the week with a mean of 1. A log of less than a week gives
/// the weights by hour of the day.
fn rhythm(rows: &[f64], windows: &[f64]) -> Vec<f64> {
    let is_whole = windows.iter().all(|n| *n > 0.0);
    let rate = |hour: usize| {
        let same = |other: &usize| {
            if is_whole {
                *other == hour
            } else {
                other % 24 == hour % 24
            }
        };
        let (rows, windows) = (0..HOURS_A_WEEK)
            .filter(same)
            .fold((0.0, 0.0), |(r, w), idx| (r + rows[idx], w + windows[idx]));
        if windows > 0.0 { rows / windows } else { 0.0 }
    };
    let rates: Vec<f64> = (0..HOURS_A_WEEK).map(rate).collect();
    let mean = rates.iter().sum::<f64>() / HOURS_A_WEEK as f64;
    if mean > 0.0 {
        rates.iter().map(|rate| rate / mean).collect()
    } else {
        Vec::new()
    }
}

/// Mean number of visits of a user in a window.
pub(super) fn activity(layer: &WorldLayer, windows_a_day: f64) -> f64 {
    -(-layer.weekly_active).ln_1p() / (7.0 * windows_a_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rhythm_is_that_of_the_log() {
        let mut windows = vec![0.0; HOURS_A_WEEK];
        let mut rows = vec![0.0; HOURS_A_WEEK];
        // Two days. The second half of the day has twice as much traffic.
        for hour in 0..48 {
            windows[hour] = 1.0;
            rows[hour] = if hour % 24 < 12 { 10.0 } else { 20.0 };
        }
        let found = rhythm(&rows, &windows);
        assert!(
            (found[100] - 10.0 / 15.0).abs() < 1e-12 && (found[110] - 20.0 / 15.0).abs() < 1e-12,
            "{found:?}"
        );
        assert!((found.iter().sum::<f64>() - 168.0).abs() < 1e-9);
        assert!(rhythm(&vec![0.0; HOURS_A_WEEK], &windows).is_empty());
    }
}
