//! `[simulate]`: the worlds that a ramp may meet, and the plans that are compared in them.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::base::time::Micros;
use crate::scenario::plan::Plan;
use crate::stats::dist::norm_isf;
use crate::stats::group_sequential::{Sides, Spending, design};

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Runs of each plan in each world.
    pub n_runs: u32,
    /// How long a run lasts at most.
    pub horizon: Micros,
    /// Windows between decisions.
    pub decide_every: u32,
    /// Layers' sizes and traffic; in plan order, `None` where a cube must tell.
    pub layers: Vec<Option<WorldLayer>>,
    /// Values of the metrics under the baseline; where several name one metric, the last that names
    /// the layer.
    pub rates: Vec<Rate>,
    /// Worlds.
    pub worlds: Vec<World>,
    /// Plans to compare; the scenario's own if none are declared.
    pub plans: Vec<PlanVariant>,
    /// What a unit of harm costs, by metric.
    pub costs: BTreeMap<String, f64>,
    /// Bounds for `--optimize`.
    pub budget: Budget,
}

/// A layer's size and traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldLayer {
    /// Eligible users.
    pub n_users: f64,
    /// Turns of a user a day.
    pub turns_per_user_day: f64,
    /// Share of users who come at least once a week: how fast distinct users are seen.
    pub weekly_active: f64,
    /// Traffic by hour of the week (UTC, from Monday on), around a mean of 1; empty for the same at
    /// all hours.
    pub rhythm: Vec<f64>,
}

/// Hours of a week.
pub(crate) const HOURS_A_WEEK: usize = 168;

/// A metric's value under the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// The metric.
    pub metric: String,
    /// Index of the layer; `None` for all.
    pub layer_idx: Option<usize>,
    /// The expected value.
    pub value: f64,
    /// Standard deviation of a row's value; `None` for a proportion.
    pub sd: Option<f64>,
    /// Standard deviation of users' own values.
    pub user_sd: f64,
    /// Rows of the metric's denominator a turn.
    pub share: f64,
}

/// What the candidate does to a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldEffect {
    /// The metric.
    pub metric: String,
    /// Index of the layer; `None` for all.
    pub layer_idx: Option<usize>,
    /// What is added to the baseline's value.
    pub effect: f64,
    /// The changed part of the release that does it: `model`, `prompt`, `tool`, `kb`.
    pub dimension: Option<String>,
    /// From when since the plan's start, and how long; always if it is not a fault.
    pub during: Option<(Micros, Micros)>,
}

/// A world that a ramp may meet.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Its id.
    pub id: String,
    /// What the candidate does, faults among it.
    pub effects: Vec<WorldEffect>,
    /// Share of users who take back their consent, a day.
    pub opt_out_per_day: f64,
    /// Share of users who change their layer, a day, where layers are not frozen: they are seen in
    /// both releases.
    pub drift_per_day: f64,
    /// Share of the candidate's users whose rows are lost.
    pub candidate_loss: f64,
}

/// A plan that differs from the scenario's own.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanVariant {
    /// Its id.
    pub id: String,
    /// The whole plan.
    pub plan: Plan,
    /// Who decides.
    pub controller: Controller,
    /// How each layer's group-sequential gates spend their error.
    pub boundaries: Vec<Boundary>,
}

/// How group-sequential gates spend their error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// About as much at every gate: Lan and DeMets's approximation of Pocock.
    #[default]
    Pocock,
    /// Little early on: Lan and DeMets's approximation of O'Brien and Fleming.
    ObrienFleming,
    /// As much at every gate as if they were apart.
    Bonferroni,
}

impl Boundary {
    pub(super) const ALL: [(&'static str, Self); 3] = [
        ("pocock", Self::Pocock),
        ("obrien_fleming", Self::ObrienFleming),
        ("bonferroni", Self::Bonferroni),
    ];

    /// The word of documents and scenarios.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, boundary)| *boundary == self)
            .map_or("pocock", |(name, _)| name)
    }

    /// One-sided boundaries of gates with these informations (in any unit); `None` if they cannot
    /// be designed.
    pub fn bounds(self, information: &[f64], alpha: f64) -> Option<Vec<Option<f64>>> {
        let spending = match self {
            Self::Pocock => Spending::Pocock,
            Self::ObrienFleming => Spending::ObrienFleming,
            Self::Bonferroni => {
                return Some(vec![
                    Some(norm_isf(alpha / information.len().max(1) as f64));
                    information.len()
                ]);
            }
        };
        // Designs are made in fractions of all information.
        let all = information.last()?;
        let fractions: Vec<f64> = information.iter().map(|part| part / all).collect();
        design(&fractions, alpha, Sides::One, spending)
            .ok()
            .map(|design| design.bounds)
    }
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// The plan's policy: the same function as every night.
    Policy,
    /// Up after every dwell, whatever happens.
    FixedTime,
    /// Up when the harm that matters would have been seen with 80 % power and was not.
    Power,
    /// Up as far as the expected harm at the next step allows.
    Risk,
    /// The largest step that does not overspend the budget with more than the accepted probability.
    Ruin,
    /// Up unless a group-sequential boundary is crossed at the end of a dwell.
    GroupSequential,
}

impl Controller {
    /// Every controller with its word.
    pub const ALL: [(&'static str, Self); 6] = [
        ("policy", Self::Policy),
        ("fixed_time", Self::FixedTime),
        ("power", Self::Power),
        ("risk", Self::Risk),
        ("ruin", Self::Ruin),
        ("group_sequential", Self::GroupSequential),
    ];

    /// The word of documents and scenarios.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, controller)| *controller == self)
            .map_or("policy", |(name, _)| name)
    }
}

/// What an optimal schedule must keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// The metric whose harm is bounded; the first guardrail with a margin if none is named.
    pub metric: Option<String>,
    /// Harm that must not be missed, in the metric's unit; the guardrail's margin if none is named.
    pub mde: Option<f64>,
    /// Largest probability of a rollback without harm.
    pub max_false_rollback: f64,
    /// Largest probability to reach the end of the ladder with a harm of `mde`.
    pub max_missed: f64,
    /// Largest expected harm at `mde`, in events or units of the metric.
    pub max_harm: Option<f64>,
    /// Probability with which `max_harm` may be overspent, in place of the expectation.
    pub max_overspend: Option<f64>,
    /// Shortest dwell, hours: a day by default, so that every step sees all hours.
    pub min_dwell_hours: f64,
}

impl Simulation {
    /// A metric's value under the baseline in a layer.
    pub fn rate(&self, metric: &str, layer_idx: usize) -> Option<&Rate> {
        let of_metric = || self.rates.iter().filter(|rate| rate.metric == metric);
        of_metric()
            .rfind(|rate| rate.layer_idx == Some(layer_idx))
            .or_else(|| of_metric().rfind(|rate| rate.layer_idx.is_none()))
    }
}
