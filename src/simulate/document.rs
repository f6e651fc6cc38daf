//! Types of the simulation documents: forecasts, probabilities and quantities with their errors.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::base::number::percent;
use crate::scenario::Boundary;
use crate::stats::dist::norm_isf;
use crate::stats::{Interval, proportion};

/// `forecast.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Name and version of this document's form.
    pub schema: String,
    /// Digest of the scenario.
    pub scenario_digest: String,
    /// What the numbers rest on: `assumed`, or `assumed` with a baseline that was `observed`.
    pub basis: String,
    /// Seed of the runs' streams.
    pub seed: u64,
    /// Runs of each plan in each world.
    pub n_runs: u32,
    /// How long a run lasts at most, hours.
    pub horizon_hours: f64,
    /// What does not add up in the plans, whatever the world.
    pub findings: Vec<Finding>,
    /// Every plan in every world.
    pub plans: Vec<PlanForecast>,
    /// Files beside this one, with their digests.
    pub files: BTreeMap<String, String>,
    /// What `--optimize` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimum: Option<Optimum>,
}

/// A plan in a world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanForecast {
    /// The plan variant's id.
    pub plan: String,
    /// Who decided: `policy`, `fixed_time` ...
    pub controller: String,
    /// The world's id.
    pub world: String,
    /// Some guardrail's margin is overstepped in this world.
    pub is_harmful: bool,
    /// Some layer was rolled back.
    pub p_rollback: Chance,
    /// Some layer was rolled back though nothing was harmful; `None` in a harmful world.
    pub p_false_rollback: Option<Chance>,
    /// Every layer reached the end of its ladder though something was harmful; `None` in a world
    /// without harm.
    pub p_missed: Option<Chance>,
    /// Every layer reached the end of its ladder, and none was rolled back.
    pub p_full: Chance,
    /// Some decision met a sample-ratio mismatch.
    pub p_srm_halt: Chance,
    /// Neither rolled back nor full within the horizon.
    pub p_never_finishes: Chance,
    /// Hours until every layer is at the end of its ladder, over the runs that get there.
    pub hours_to_full: Quantity,
    /// Hours until the first rollback, over the runs that have one.
    pub hours_to_rollback: Quantity,
    /// Which check the first rollback rested on, as shares of the runs that have one.
    pub rollback_because: BTreeMap<String, f64>,
    /// The ratio in force at the first rollback, likewise.
    pub rollback_at: BTreeMap<String, f64>,
    /// Distinct users whom the candidate answered.
    pub users_exposed: Quantity,
    /// Distinct users whom a coin per request would have exposed, on the same ratios.
    pub users_exposed_by_coin: Quantity,
    /// Users whom the candidate had answered in the layers that were rolled back first, when they
    /// were.
    pub users_at_rollback: Quantity,
    /// Share of runs whose first rollback came after more of these than `policy.exposure_cap`
    /// allows; `None` without a cap.
    pub p_over_exposure_cap: Option<Chance>,
    /// Requests that the candidate answered.
    pub requests_exposed: Quantity,
    /// Harm by guardrail metric: events, or units of the metric times rows.
    pub harm: BTreeMap<String, Quantity>,
    /// The same in money, where `simulate.cost` says what a unit costs.
    pub cost: Option<Quantity>,
    /// Share of runs in which every layer was at the end of its ladder by then.
    pub full_by: Vec<FullBy>,
    /// How likely harm (money if it has a cost, else the first guardrail's units) exceeds an
    /// amount.
    pub exceedance: Vec<Exceedance>,
    /// Per layer.
    pub layers: Vec<LayerForecast>,
}

/// A layer in a world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerForecast {
    /// The layer's id.
    pub layer: String,
    /// It was rolled back.
    pub p_rollback: Chance,
    /// Hours until it was at the end of its ladder, over the runs in which it got there.
    pub hours_to_full: Quantity,
    /// Its ratio over time.
    pub fan: Vec<Fan>,
}

/// Something in a plan that does not add up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The plan variants' ids.
    pub plans: Vec<String>,
    /// What was found, in words.
    pub finding: String,
}

/// A share of runs, with its Monte Carlo error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chance {
    /// The share.
    pub p: f64,
    /// Its standard error, `sqrt(p (1 - p) / n)`; 0 where no run or every run has it: then the
    /// interval tells.
    pub mc_error: f64,
    /// Wilson's 95 % interval.
    #[serde(flatten)]
    pub ci: Interval,
    /// Runs with it.
    pub n: u32,
}

/// A number over runs, with the Monte Carlo error of its mean; `None` where no run has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantity {
    /// Runs that have one.
    pub n: u32,
    /// Their mean.
    pub mean: Option<f64>,
    /// Standard error of the mean; `None` for fewer than two.
    pub mc_error: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
}

/// Quantiles of a ratio at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fan {
    /// Hours since the plan's start.
    pub hours: f64,
    /// 5th percentile of the ratio, then the 25th, 50th, 75th and 95th.
    pub ratio: [f64; 5],
}

/// The share of runs that were full by a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FullBy {
    /// Hours since the plan's start.
    pub hours: f64,
    /// Share of runs.
    pub p: f64,
}

/// The probability to exceed an amount.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Exceedance {
    /// The amount.
    pub amount: f64,
    /// Share of runs above it.
    pub p: f64,
}

impl Chance {
    /// The share of `n` runs among `of`.
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

impl Chance {
    /// What is known of a share that no run has, or every run: the end of its interval.
    pub fn bound(&self) -> String {
        if self.p > 0.5 {
            format!("100% (above {})", percent(self.ci.ci_lower))
        } else {
            format!("0% (below {})", percent(self.ci.ci_upper))
        }
    }
}

impl Quantity {
    pub(super) fn from_values(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        if values.is_empty() {
            return Self::default();
        }
        // Sorted first, so that the sum does not depend on how runs were dealt to threads.
        values.sort_by(f64::total_cmp);
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

/// A quantile of sorted values: the smallest that at least this share does not exceed.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
}

/// What an optimization found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Optimum {
    /// The metric whose harm is bounded.
    pub metric: String,
    /// The harm that must not be missed, in the metric's unit.
    pub mde: f64,
    /// Largest probability of a rollback without harm.
    pub max_false_rollback: f64,
    /// Largest probability to miss a harm of `mde`.
    pub max_missed: f64,
    /// Largest expected harm at `mde`.
    pub max_harm: Option<f64>,
    /// Probability with which `max_harm` may be overspent, instead.
    pub max_overspend: Option<f64>,
    /// Each layer with users enough.
    pub layers: Vec<LayerOptimum>,
    /// The chosen ladders as TOML: paste them over the plan's layers.
    pub toml: String,
}

/// The schedules of a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerOptimum {
    /// The layer's id.
    pub layer: String,
    /// Schedules of the grid.
    pub n_schedules: usize,
    /// Of these, how many were evaluated exactly: bounds told of the others that they are no
    /// better.
    pub n_evaluated: usize,
    /// The fastest that does; `None` if none does.
    pub chosen: Option<Candidate>,
    /// Why this one, or what is in the way.
    pub why: String,
    /// Time against harm: no schedule is both faster and less harmful. All keep the bounds on
    /// errors.
    pub front: Vec<Candidate>,
    /// The fastest ones, run with those who would decide.
    pub finalists: Vec<Finalist>,
}

/// A schedule with its exact properties.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Ratios, in rising order; the last is 1.
    pub ladder: Vec<f64>,
    /// Dwell at each, hours.
    pub dwell_hours: f64,
    /// How the boundary spends its error.
    pub boundary: Boundary,
    /// Roll back when the standardized harm at a gate is above this; `null` where nothing is spent.
    pub bounds: Vec<Option<f64>>,
    /// Users who come during a dwell, both arms.
    pub users_per_stage: f64,
    /// Variance of a user's mean outcome during a dwell.
    pub sigma2: f64,
    /// Hours until ratio 1 if nothing is rolled back.
    pub hours_if_good: f64,
    /// Probability of a rollback without any effect.
    pub p_false_rollback: f64,
    /// Probability of no rollback with a harm of `mde`.
    pub p_missed: f64,
    /// Probability to stop after each gate with a harm of `mde`.
    pub stop_probability: Vec<f64>,
    /// Expected harm before ratio 1, with a harm of `mde`, in events or units of the metric.
    pub expected_harm: f64,
    /// Probability that this harm exceeds the budget; `None` without one.
    pub p_overspend: Option<f64>,
    /// Expected users who get the candidate before ratio 1, with a harm of `mde`.
    pub expected_exposed: f64,
}

/// A schedule, run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finalist {
    /// Ratios.
    pub ladder: Vec<f64>,
    /// Dwell at each, hours.
    pub dwell_hours: f64,
    /// Who decided.
    pub controller: String,
    /// Rollbacks without any effect.
    pub p_false_rollback: Chance,
    /// Ratio 1 was reached with a harm of `mde`.
    pub p_missed: Chance,
    /// Neither rolled back nor at ratio 1 within three times the schedule's length, without any
    /// effect.
    pub p_never_finishes: Chance,
    /// Hours to ratio 1 without any effect.
    pub hours_to_full: Quantity,
}

impl LayerOptimum {
    /// The schedules that are worth running: the fastest that keep every bound, else the fastest of
    /// the front.
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

/// Schedules that are run again.
pub(super) const N_FINALISTS: usize = 3;
