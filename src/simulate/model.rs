//! The model of a plan in a world. Every quantity that does not depend on random draws is computed
//! here, once for all runs.

use crate::analysis;
use crate::analysis::{Analysis, AnalysisOptions};
use crate::base::error::{Error, Result};
use crate::base::time::{DAY, HOUR, Micros, Zone};
use crate::bucket::Ratio;
use crate::metric::{Better, RATE_METRICS};
use crate::replay::Cube;
use crate::scenario::{
    Boundary, GateDesign, HOURS_A_WEEK, LATENCY_P95, Layer, Plan, PlanVariant, QosConfig, Rate, Scenario,
    Simulation, World, WorldLayer,
};
use crate::stats::effect::MetricForm;
use crate::stats::growth::{ArmGrowth, ClusterGrowth, Visits, pairs_of_a_user};
use crate::stats::{Reason, sequential};

/// Number of rates of QoS. Their metric models come first in a layer, in the order of the rates.
pub(super) const N_RATES: usize = RATE_METRICS.len();

/// The model of a metric in a layer.
#[derive(Debug, Clone)]
pub(super) struct MetricModel {
    pub(super) better: Better,
    /// Whether rows have the values 0 and 1.
    pub(super) is_proportion: bool,
    /// Expected value under the baseline, in the metric's unit.
    pub(super) baseline: f64,
    /// Expected value under the candidate, by window, in the metric's unit.
    pub(super) candidate: Vec<f64>,
    /// Variance of a row's value around its user's own mean. 0 for a proportion.
    pub(super) within: f64,
    /// Variance of the users' own means.
    pub(super) between: f64,
    /// Number of rows of the metric's denominator per turn, at least 0.
    pub(super) share: f64,
    /// Number of windows until outcomes are known.
    pub(super) delay: u32,
    /// Variance of the mixture behind the anytime-valid intervals (`tau2`), and the variance of the
    /// estimate that it is tuned for (`v_star`).
    pub(super) tau2: f64,
    pub(super) v_star: f64,
    /// Cost of a unit of harm, in the currency of the scenario.
    pub(super) cost: f64,
    /// Whether a guardrail compares the metric. The control's rows are drawn only then.
    pub(super) is_compared: bool,
}

impl MetricModel {
    /// The form of the metric for inference.
    pub(super) fn form(&self) -> MetricForm {
        if self.is_proportion {
            MetricForm::Proportion
        } else {
            MetricForm::Mean { resolution: 0.0 }
        }
    }
}

/// The model of a layer: its users, its traffic and its metrics.
#[derive(Debug, Clone)]
pub(super) struct LayerModel {
    pub(super) n_users: f64,
    /// Mean number of turns per window.
    pub(super) turns: f64,
    /// Mean number of visits of a user per window.
    pub(super) activity: f64,
    /// Traffic of each window with a mean of 1, and the probability that a user visits in it.
    pub(super) pace: Vec<[f64; 2]>,
    /// Mean number of turns per visit of a user.
    pub(super) visit: f64,
    pub(super) metric_models: Vec<MetricModel>,
}

impl LayerModel {
    /// Returns the factor by which the variance between users enters the variance of an arm's ratio
    /// with `r` rows; see [`pairs_of_a_user`].
    pub(super) fn together(&self, metric_model: &MetricModel, r: f64, share: f64) -> f64 {
        pairs_of_a_user(self.n_users * share, self.pairs_of_a_visit(metric_model), r)
    }

    /// Expected number of other rows in the same visit as a row.
    pub(super) fn pairs_of_a_visit(&self, metric_model: &MetricModel) -> f64 {
        metric_model.share * (self.visit - 1.0).max(0.0)
    }
}

impl LayerModel {
    /// The growth of an arm's evidence on a metric with this value. `window` is the length of a
    /// window, microseconds.
    pub(super) fn growth(&self, metric_model: &MetricModel, value: f64, window: Micros) -> ArmGrowth {
        let windows_a_day = DAY as f64 / window as f64;
        let row = if metric_model.is_proportion {
            value * (1.0 - value)
        } else {
            metric_model.within
        };
        ArmGrowth {
            estimate: value,
            row_variance: row.max(0.0) + metric_model.between * self.pairs_of_a_visit(metric_model),
            user_variance: metric_model.between,
            rows_per_day: self.turns * windows_a_day * metric_model.share,
            df_share: 1.0,
            visits: Visits {
                n_users: self.n_users,
                activity: self.activity * windows_a_day,
                users_per_day: 0.0,
            },
            clusters: ClusterGrowth::Groups,
        }
    }
}

/// The model of a plan in a world.
#[derive(Debug, Clone)]
pub(super) struct Model<'a> {
    pub(super) variant: &'a PlanVariant,
    pub(super) qos: &'a QosConfig,
    pub(super) world: &'a World,
    pub(super) n_windows: u32,
    pub(super) decide_every: u32,
    /// Share of users who still give consent, by window, 0..=1.
    pub(super) consenting: Vec<f64>,
    pub(super) layers: Vec<LayerModel>,
    /// Index of the metric model behind each guardrail.
    pub(super) metric_model_of_guardrail: Vec<usize>,
    /// Metric id of each metric model.
    pub(super) metrics: Vec<String>,
    /// Variance of the mixture behind the anytime-valid interval of QoS.
    pub(super) qos_tau2: f64,
    /// Group-sequential boundaries of each layer's gates.
    pub(super) gates: Vec<Vec<Option<f64>>>,
    /// The designs of the policy's gates by layer. Empty unless the policy is group-sequential.
    pub(super) gate_designs: Vec<Option<GateDesign>>,
    /// The level at which a harm is certain, by layer.
    pub(super) certain_at: Vec<f64>,
}

impl Model<'_> {
    pub(super) fn plan(&self) -> &Plan {
        &self.variant.plan
    }

    /// Whether the candidate exceeds the margin of a guardrail in some layer at some time.
    pub(super) fn is_harmful(&self) -> bool {
        let oversteps = |layer: &LayerModel| {
            self.plan()
                .guardrails
                .iter()
                .zip(&self.metric_model_of_guardrail)
                .any(|(guardrail, idx)| {
                    let metric_model = &layer.metric_models[*idx];
                    let margin = guardrail.margin(metric_model.baseline).unwrap_or(0.0);
                    metric_model
                        .candidate
                        .iter()
                        .any(|value| metric_model.harm_of(*value) > margin)
                })
        };
        self.layers.iter().any(oversteps)
    }
}

impl MetricModel {
    /// Returns how much worse than the baseline a value is, in the metric's unit.
    pub(super) fn harm_of(&self, candidate: f64) -> f64 {
        match self.better {
            Better::Lower => candidate - self.baseline,
            Better::Higher => self.baseline - candidate,
        }
    }
}

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

impl<'a> Model<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        simulation: &Simulation,
        baseline_inputs: &BaselineInputs,
        variant: &'a PlanVariant,
        world: &'a World,
    ) -> Self {
        Self::new_with_metrics(
            scenario,
            simulation,
            baseline_inputs,
            variant,
            world,
            metrics_of(&variant.plan),
        )
    }

    /// Like [`Self::new`], for baseline inputs whose rates are in the order of `metrics`.
    pub(super) fn new_with_metrics(
        scenario: &'a Scenario,
        simulation: &Simulation,
        baseline_inputs: &BaselineInputs,
        variant: &'a PlanVariant,
        world: &'a World,
        metrics: Vec<String>,
    ) -> Self {
        let plan = &variant.plan;
        let n_windows = (simulation.horizon / plan.window).clamp(1, 1_000_000) as u32;
        let alpha = plan.policy.alpha;
        let metric_model_of_guardrail: Vec<usize> = plan
            .guardrails
            .iter()
            .map(|g| metrics.iter().position(|metric| *metric == g.metric).unwrap_or(0))
            .collect();
        let layer_model = |(idx, layer): (usize, &WorldLayer)| {
            let windows_a_day = DAY as f64 / plan.window as f64;
            let metric_model = |(number, rate): (usize, &Rate)| {
                let metric = scenario.metric(&metrics[number]);
                let is_proportion = rate.sd.is_none();
                let guardrail = plan
                    .guardrails
                    .iter()
                    .find(|guardrail| guardrail.metric == metrics[number]);
                let v_star = sequential::v_star_for(analysis::tuned_for(guardrail, rate.value, rate.value));
                MetricModel {
                    better: metric.map_or(Better::Lower, |metric| metric.better),
                    is_proportion,
                    baseline: rate.value,
                    candidate: candidate_values(
                        world,
                        &metrics[number],
                        idx,
                        rate.value,
                        is_proportion,
                        n_windows,
                        plan.window,
                    ),
                    within: rate.sd.map_or(0.0, |sd| sd * sd),
                    between: rate.user_sd * rate.user_sd,
                    share: rate.share,
                    delay: metric.map_or(0, |metric| (metric.delay + plan.window - 1) / plan.window) as u32,
                    tau2: sequential::mixture_variance(v_star, alpha),
                    v_star,
                    is_compared: guardrail.is_some(),
                    cost: simulation.costs.get(&metrics[number]).copied().unwrap_or(0.0),
                }
            };
            let turns = layer.n_users * layer.turns_per_user_day / windows_a_day;
            LayerModel {
                n_users: layer.n_users,
                turns,
                visit: turns / (layer.n_users * activity(layer, windows_a_day)),
                activity: activity(layer, windows_a_day),
                pace: pace(
                    layer,
                    (plan, &scenario.time_zone),
                    n_windows,
                    activity(layer, windows_a_day),
                ),
                metric_models: baseline_inputs.rates[idx]
                    .iter()
                    .enumerate()
                    .map(metric_model)
                    .collect(),
            }
        };
        let layers: Vec<LayerModel> = baseline_inputs
            .layers
            .iter()
            .enumerate()
            .map(layer_model)
            .collect();
        let gates = plan
            .layers
            .iter()
            .zip(&layers)
            .zip(&variant.boundaries)
            .map(|((layer, model), boundary)| gates(layer, model.activity, plan.window, alpha, *boundary))
            .collect();
        Self {
            variant,
            gates,
            gate_designs: analysis::gate_designs(plan),
            certain_at: plan
                .layers
                .iter()
                .map(|layer| plan.violation_alpha(layer))
                .collect(),
            qos: &scenario.qos,
            world,
            n_windows,
            decide_every: simulation.decide_every,
            consenting: (0..n_windows)
                .map(|window| {
                    (1.0 - world.opt_out_per_day).powf(f64::from(window) * plan.window as f64 / DAY as f64)
                })
                .collect(),
            layers,
            metric_model_of_guardrail,
            qos_tau2: sequential::mixture_variance(sequential::v_star_for(plan.policy.qos_mde), alpha),
            metrics,
        }
    }
}

/// Computes the traffic of each window with a mean of 1, and the probability that a user visits in
/// it.
fn pace(layer: &WorldLayer, (plan, zone): (&Plan, &Zone), n_windows: u32, activity: f64) -> Vec<[f64; 2]> {
    let of_window = |idx: u32| {
        let start = plan.start + i64::from(idx) * plan.window;
        // The traffic of a long window is the mean over its hours.
        let hours = (plan.window / HOUR).clamp(1, HOURS_A_WEEK as i64);
        let weight = |hour: i64| {
            layer
                .rhythm
                .get(zone.hour_of_week(start + hour * HOUR))
                .copied()
                .unwrap_or(1.0)
        };
        let pace = (0..hours).map(weight).sum::<f64>() / hours as f64;
        [pace, -(-activity * pace).exp_m1()]
    };
    (0..n_windows).map(of_window).collect()
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

fn activity(layer: &WorldLayer, windows_a_day: f64) -> f64 {
    -(-layer.weekly_active).ln_1p() / (7.0 * windows_a_day)
}

fn candidate_values(
    world: &World,
    metric: &str,
    layer: usize,
    value: f64,
    is_proportion: bool,
    n_windows: u32,
    window: Micros,
) -> Vec<f64> {
    let effects: Vec<_> = world
        .effects
        .iter()
        .filter(|effect| effect.metric == metric && effect.layer_idx.is_none_or(|idx| idx == layer))
        .collect();
    let at = |idx: u32| {
        let since = i64::from(idx) * window;
        let is_on = |during: Option<(Micros, Micros)>| {
            during.is_none_or(|(from, length)| since >= from && since - from < length)
        };
        let sum: f64 = effects
            .iter()
            .filter(|effect| is_on(effect.during))
            .map(|effect| effect.effect)
            .sum();
        if is_proportion {
            (value + sum).clamp(0.0, 1.0)
        } else {
            value + sum
        }
    };
    (0..n_windows).map(at).collect()
}

/// Returns the index of the metric model that controllers use.
pub(crate) fn primary_metric_model(model: &Model<'_>) -> usize {
    let plan = model.plan();
    let metric = plan.first_margin().map(|guardrail| guardrail.metric.as_str());
    model
        .metrics
        .iter()
        .position(|id| Some(id.as_str()) == metric)
        .unwrap_or(0)
}

/// Computes the boundaries of the gates at the ends of a layer's dwells, from the expected
/// information. Users return within a dwell, so information is proportional to users.
pub(crate) fn gates(
    layer: &Layer,
    activity: f64,
    window: Micros,
    alpha: f64,
    boundary: Boundary,
) -> Vec<Option<f64>> {
    let mut sum = 0.0;
    let information: Vec<f64> = layer
        .steps()
        .filter(|step| *step < Ratio::FULL)
        .map(|step| {
            let come = -(-activity * (layer.dwell.max(window) as f64 / window as f64)).exp_m1();
            sum += come * step.share() * (1.0 - step.share());
            sum
        })
        .collect();
    boundary.bounds(&information, alpha).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Overrides;

    #[test]
    fn a_rhythm_has_the_hours_of_the_zone() {
        // The first windows of a plan that starts on 2026-03-08, a Sunday, at 00:00 in New York,
        // when clocks skip 02:00.
        let check = |zone: &str, expected: [f64; 4]| {
            let text = format!(
                "time_zone = \"{zone}\"\nas_of = \"2026-03-09\"\n\
                 plan = {{ id = \"p\", start = \"2026-03-08T05:00:00Z\", baseline = \"a\", candidate = \"b\" }}\n\
                 input = {{ users_from_traffic = true, traffic = [{{ path = \"t.csv\" }}] }}\n\
                 layer = [{{ id = \"all\" }}]\n"
            );
            let scenario =
                Scenario::parse(&text, "t", std::path::Path::new(""), &Overrides::default()).unwrap();
            let layer = WorldLayer {
                n_users: 1.0,
                turns_per_user_day: 1.0,
                weekly_active: 0.5,
                rhythm: (0..168).map(f64::from).collect(),
            };
            let found = pace(&layer, (&scenario.plan, &scenario.time_zone), 4, 0.1);
            assert_eq!(
                found.iter().map(|[pace, _]| *pace).collect::<Vec<_>>(),
                expected,
                "{zone}"
            );
        };
        check("America/New_York", [144.0, 145.0, 147.0, 148.0]);
        check("UTC", [149.0, 150.0, 151.0, 152.0]);
        check("Asia/Kolkata", [154.0, 155.0, 156.0, 157.0]);
    }

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
