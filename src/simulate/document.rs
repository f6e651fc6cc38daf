//! Types of the simulation documents: forecasts, probabilities and quantities with their errors.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::bucket::Ratio;
use crate::stats::dist::norm_isf;
use crate::stats::group_sequential::Spending;
use crate::stats::{Interval, proportion};
use crate::words::Text;

/// The document `forecast.json`: the results of every plan in every world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Name and version of the document's format.
    pub schema: String,
    /// SHA-256 digest of the scenario.
    pub scenario_digest: String,
    /// Basis of the numbers: `assumed`, or `assumed effects on an observed baseline`.
    pub basis: String,
    /// Seed of the runs' random streams.
    pub seed: u64,
    /// Number of runs of each plan in each world.
    pub n_runs: u32,
    /// Longest duration of a run, hours.
    pub horizon_hours: f64,
    /// Contradictions in the plans that do not depend on the world.
    pub findings: Vec<Finding>,
    /// Steps that cannot decide a guardrail within their dwell, and QoS thresholds that the baseline
    /// does not reach.
    pub warnings: Vec<Finding>,
    /// Results of every plan in every world.
    pub plans: Vec<PlanForecast>,
    /// SHA-256 digests of the files beside this document, by file name.
    pub files: BTreeMap<String, String>,
    /// Result of `--optimize`. `None` if it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimum: Option<Optimum>,
}

/// Results of a plan in a world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanForecast {
    /// Id of the plan variant; the plan's own id if the scenario declares no variants.
    pub plan: String,
    /// Name of the controller, for example `policy` or `fixed_time`.
    pub controller: String,
    /// Id of the simulated world, as the scenario spells it.
    pub world: String,
    /// Whether the candidate exceeds the margin of at least one guardrail in this world.
    pub is_harmful: bool,
    /// Probability that at least one layer is rolled back.
    pub p_rollback: Chance,
    /// Probability that at least one layer is rolled back in a world without harm. `None` in a
    /// harmful world.
    pub p_false_rollback: Option<Chance>,
    /// Probability that every layer reaches the end of its ladder without a rollback in a harmful
    /// world. `None` in a world without harm.
    pub p_missed: Option<Chance>,
    /// Probability that every layer reaches the end of its ladder without a rollback.
    pub p_full: Chance,
    /// Probability that a sample-ratio mismatch blocks at least one decision.
    pub p_srm_halt: Chance,
    /// Probability that the run ends at the horizon without a rollback and before every layer is at
    /// the end of its ladder.
    pub p_never_finishes: Chance,
    /// Where those runs end: layer, step and blocking check, the most frequent first. A run counts
    /// once for each of its unfinished layers.
    pub unfinished: Vec<Unfinished>,
    /// Hours until every layer is at the end of its ladder, in runs that reach it.
    pub hours_to_full: Quantity,
    /// Hours until the first rollback, in runs with a rollback.
    pub hours_to_rollback: Quantity,
    /// Checks behind the first rollback, as shares of the runs with a rollback.
    pub rollback_because: BTreeMap<String, f64>,
    /// Layers and ratios at the first rollback, as shares of the runs with a rollback.
    pub rollback_at: BTreeMap<String, f64>,
    /// Number of distinct users with an answer from the candidate.
    pub users_exposed: Quantity,
    /// Number of distinct users that the same ratios would expose if each request, not each user,
    /// were assigned at random.
    pub users_exposed_by_coin: Quantity,
    /// Number of users exposed at the time of the first rollback, in the layers rolled back then.
    pub users_at_rollback: Quantity,
    /// Share of runs in which `users_exposed` exceeds `policy.exposure_cap`, whether the release is
    /// rolled back or not. `None` without a cap, and in a world without harm.
    pub p_over_exposure_cap: Option<Chance>,
    /// Number of requests that the candidate answered.
    pub requests_exposed: Quantity,
    /// Harm by guardrail metric: events, or units of the metric times rows.
    pub harm: BTreeMap<String, Quantity>,
    /// Cost of the harm. `None` without a `simulate.cost`.
    pub cost: Option<Quantity>,
    /// Share of runs with every layer at the end of its ladder, over time.
    pub full_by: Vec<FullBy>,
    /// Probability that the harm exceeds an amount. The harm is the cost if there is one, else the
    /// harm on the first guardrail's metric.
    pub exceedance: Vec<Exceedance>,
    /// Results by layer, in plan order.
    pub layers: Vec<LayerForecast>,
}

/// A step of a layer at which unfinished runs end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unfinished {
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The ratio in force at the horizon.
    pub ratio: Ratio,
    /// Kind of the check that blocks, such as `clear`, `qos` or `after`. `horizon` if the last
    /// decision promoted the layer.
    pub check: String,
    /// Id of the check's metric. `None` for checks of no metric.
    pub metric: Option<String>,
    /// Share of all runs that end there.
    pub p: Chance,
    /// What to change so that the step decides. `None` if nothing is known.
    pub advice: Option<String>,
    /// The same in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice_zh: Option<String>,
}

/// Results of a layer in a world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerForecast {
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Probability that the layer is rolled back.
    pub p_rollback: Chance,
    /// Hours until the layer is at the end of its ladder, in runs that reach it.
    pub hours_to_full: Quantity,
    /// Quantiles of the layer's ratio over time.
    pub fan: Vec<Fan>,
}

/// A contradiction in a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Ids of the plan variants.
    pub plans: Vec<String>,
    /// Text of the finding.
    pub finding: String,
    /// The same in Chinese.
    pub finding_zh: String,
}

impl Finding {
    /// The finding in every language.
    pub fn text(&self) -> Text {
        Text {
            en: self.finding.clone(),
            zh: self.finding_zh.clone(),
        }
    }
}

impl Unfinished {
    /// What to change, in every language. `None` if nothing is known.
    pub fn advice(&self) -> Option<Text> {
        Some(Text {
            en: self.advice.clone()?,
            zh: self.advice_zh.clone().unwrap_or_default(),
        })
    }
}

/// A share of runs, with its Monte Carlo error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chance {
    /// The share of runs, 0..=1.
    pub p: f64,
    /// Standard error of the share, `sqrt(p (1 - p) / n)` with n runs. It is 0 if no run or every
    /// run counts. The interval is informative in these cases too.
    pub mc_error: f64,
    /// Wilson's 95 % interval of the share.
    #[serde(flatten)]
    pub ci: Interval,
    /// Number of runs that count.
    pub n: u32,
}

/// Statistics of a number over runs. All are `None` if no run has the number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantity {
    /// Number of runs that have the number.
    pub n: u32,
    /// Mean over the runs that have the number, in its unit. `None` if no run has it.
    pub mean: Option<f64>,
    /// Monte Carlo standard error of the mean. `None` for fewer than two runs.
    pub mc_error: Option<f64>,
    /// Median over the same runs. `None` if no run has the number.
    pub p50: Option<f64>,
    /// 95th percentile over the same runs. `None` if no run has the number.
    pub p95: Option<f64>,
}

/// Quantiles of a ratio at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fan {
    /// Time since the plan's start, hours.
    pub hours: f64,
    /// The 5th, 25th, 50th, 75th and 95th percentile of the ratio, 0..=1.
    pub ratio: [f64; 5],
}

/// The share of runs with every layer at the end of its ladder by a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FullBy {
    /// Time since the plan's start, hours.
    pub hours: f64,
    /// Share of runs, 0..=1.
    pub p: f64,
}

/// The probability that an amount is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Exceedance {
    /// The amount, in units of cost or of harm.
    pub amount: f64,
    /// Share of runs above the amount, 0..=1.
    pub p: f64,
}

impl Chance {
    /// Computes the share of `n` among `of` runs, with its error.
    pub fn from_counts(n: usize, of: usize) -> Self {
        let p = n as f64 / of.max(1) as f64;
        let ci = proportion::wilson(p, of.max(1) as f64, norm_isf(0.025));
        Self {
            p,
            mc_error: (p * (1.0 - p) / of.max(1) as f64).sqrt(),
            ci,
            n: n as u32,
        }
    }
}

impl Quantity {
    pub(super) fn from_values(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        if values.is_empty() {
            return Self::default();
        }
        // Sorting first makes the sum independent of the order of the threads.
        values.sort_unstable_by(f64::total_cmp);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self {
            n: values.len() as u32,
            mean: Some(mean),
            mc_error: (values.len() > 1).then(|| (variance / n).sqrt()),
            p50: Some(quantile(&values, 0.5)),
            p95: Some(quantile(&values, 0.95)),
        }
    }
}

/// Returns the q-quantile of sorted values: the smallest value that at least a share q of the
/// values does not exceed.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
}

/// The result of an optimization.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Optimum {
    /// Id of the metric whose harm is bounded.
    pub metric: String,
    /// Smallest harm that must be detected, in the metric's unit. The largest over the layers, if
    /// it differs.
    pub mde: f64,
    /// Largest probability of a rollback when there is no harm, 0..=1.
    pub max_false_rollback: f64,
    /// Largest probability that a harm of `mde` is missed, 0..=1.
    pub max_missed: f64,
    /// Largest expected harm under `mde`, in events or units of the metric. `None` for no bound.
    pub max_harm: Option<f64>,
    /// Probability, 0..=1, with which the harm may exceed `max_harm`. It replaces the bound on the
    /// expected harm. `None` bounds the expected harm.
    pub max_overspend: Option<f64>,
    /// Results by layer, in plan order.
    pub layers: Vec<LayerOptimum>,
    /// The scenario with the chosen schedules under the group-sequential policy, as TOML. Layers
    /// without a choice keep their ladders.
    pub toml: String,
    /// The fastest schedules under the policy that the scenario names. `None` if that is the
    /// group-sequential one.
    pub under_policy: Option<PolicyOptimum>,
}

/// The result of an optimization under the scenario's own policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyOptimum {
    /// The policy: `anytime` or `fixed`.
    pub policy: &'static str,
    /// Results by layer, in plan order.
    pub layers: Vec<LayerPolicyOptimum>,
    /// The scenario with the chosen schedules under its own policy, as TOML.
    pub toml: String,
}

/// The result of an optimization under the scenario's own policy for a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerPolicyOptimum {
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The fastest simulated schedule that keeps every bound and finishes. `None` if none does.
    pub chosen: Option<Finalist>,
    /// Without a choice: the simulated schedule that finishes most often.
    pub nearest: Option<Finalist>,
    /// Reason for the choice, or for the lack of one.
    pub why: String,
    /// The same in Chinese.
    pub why_zh: String,
}

/// The result of an optimization for a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerOptimum {
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Number of schedules in the grid.
    pub n_schedules: usize,
    /// Number of schedules evaluated exactly. Bounds show that the others are no better.
    pub n_evaluated: usize,
    /// The fastest schedule that keeps every bound. `None` if no schedule does.
    pub chosen: Option<Candidate>,
    /// Reason for the choice, or for the lack of one.
    pub why: String,
    /// The same in Chinese.
    pub why_zh: String,
    /// The trade-off between time and harm: no schedule here is both slower and more harmful than
    /// another. All keep the bounds on errors.
    pub front: Vec<Candidate>,
    /// Simulation results of the fastest schedules.
    pub finalists: Vec<Finalist>,
    /// Without a choice: the simulated schedule that finishes most often. `None` if no schedule was
    /// simulated.
    pub nearest: Option<Finalist>,
    /// Without a choice: the check that holds most unfinished runs of the nearest schedule. `None`
    /// if no run is unfinished.
    pub blocked_by: Option<String>,
}

/// A schedule with its exact properties.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Ratios in rising order, 0..=1. The last is 1.
    pub ladder: Vec<f64>,
    /// Dwell at each ratio, hours.
    pub dwell_hours: f64,
    /// Spending of the error over the gates: `pocock`, `obrien_fleming`, `kim_demets` or
    /// `hwang_shih_decani`.
    pub boundary: &'static str,
    /// Parameter of the boundary: rho or gamma. `None` for boundaries without one.
    pub boundary_parameter: Option<f64>,
    /// The boundary with its parameter.
    #[serde(skip)]
    pub spending: Spending,
    /// One-sided z boundary of each gate. A standardized harm above it causes a rollback. `None`
    /// for a gate that spends no error.
    pub bounds: Vec<Option<f64>>,
    /// Number of users seen during a dwell, both arms together.
    pub users_per_stage: f64,
    /// Variance of a user's mean outcome during a dwell, in the metric's unit squared.
    pub sigma2: f64,
    /// Hours until ratio 1 if there is no rollback.
    pub hours_if_good: f64,
    /// Probability of a rollback when there is no effect, 0..=1.
    pub p_false_rollback: f64,
    /// Probability of no rollback under a harm of `mde`, 0..=1.
    pub p_missed: f64,
    /// Probability of a rollback at each gate under a harm of `mde`, 0..=1.
    pub stop_probability: Vec<f64>,
    /// Expected harm before ratio 1 under a harm of `mde`, in events or units of the metric.
    pub expected_harm: f64,
    /// Probability that the harm exceeds `max_harm`, 0..=1. `None` without `max_harm`.
    pub p_overspend: Option<f64>,
    /// Expected number of users who get the candidate before ratio 1, under a harm of `mde`.
    pub expected_exposed: f64,
}

/// A schedule with its simulated properties.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finalist {
    /// Ratios in rising order, 0..=1.
    pub ladder: Vec<f64>,
    /// Dwell at each ratio, hours.
    pub dwell_hours: f64,
    /// The policy under which the schedule was simulated: `group_sequential`, `anytime` or `fixed`.
    pub controller: String,
    /// Probability of a rollback when there is no effect, 0..=1.
    pub p_false_rollback: Chance,
    /// Probability that ratio 1 is reached under a harm of `mde`.
    pub p_missed: Chance,
    /// Probability of neither a rollback nor ratio 1 within three times the schedule's length plus
    /// a day, when there is no effect.
    pub p_never_finishes: Chance,
    /// Hours until ratio 1 when there is no effect.
    pub hours_to_full: Quantity,
    /// Mean harm under a harm of `mde`, until ratio 1 or a rollback and beyond, in events or units
    /// of the metric.
    pub mean_harm: Option<f64>,
    /// The check that holds most unfinished runs without an effect. `None` if every run finishes.
    pub blocked_by: Option<String>,
}

impl LayerOptimum {
    /// Returns up to [`N_FINALISTS`] schedules to simulate: the chosen one, then the fastest of the
    /// front.
    pub(super) fn front_or_chosen(&self) -> Vec<Candidate> {
        let mut best: Vec<Candidate> = self.chosen.iter().cloned().collect();
        best.extend(
            self.front
                .iter()
                .filter(|candidate| !best.contains(candidate))
                .cloned()
                .collect::<Vec<_>>(),
        );
        best.truncate(N_FINALISTS);
        best
    }
}

/// The largest number of schedules that are simulated.
pub(super) const N_FINALISTS: usize = 3;
