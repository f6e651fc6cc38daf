//! `[simulate]`: the simulated worlds, and the plans that are compared in them.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::base::time::Micros;
use crate::scenario::plan::Plan;
use crate::stats::dist::norm_isf;
use crate::stats::group_sequential::{Sides, Spending, design};

/// The settings of simulations.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Number of runs of each plan in each world.
    pub n_runs: u32,
    /// Longest duration of a run, microseconds.
    pub horizon: Micros,
    /// Number of windows between decisions.
    pub decide_every: u32,
    /// Size and traffic of each layer, in plan order. `None` for a layer that must be measured from
    /// a cube.
    pub layers: Vec<Option<WorldLayer>>,
    /// Values of the metrics under the baseline. Of several entries for one metric, the last one
    /// for the layer applies, else the last one for all layers.
    pub rates: Vec<Rate>,
    /// Simulated worlds.
    pub worlds: Vec<World>,
    /// Plans to compare. The scenario's own plan if the file declares none.
    pub plans: Vec<PlanVariant>,
    /// Cost of one unit of harm, at least 0, by metric. Any currency is allowed.
    pub costs: BTreeMap<String, f64>,
    /// Bounds that a schedule of `--optimize` must keep.
    pub budget: Budget,
}

/// Size and traffic of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldLayer {
    /// Number of eligible users, at least 1.
    pub n_users: f64,
    /// Mean number of turns per user and day.
    pub turns_per_user_day: f64,
    /// Share of users who are active at least once a week, between 0 and 1. It sets how fast
    /// distinct users are seen.
    pub weekly_active: f64,
    /// Traffic weights by hour of the week (local, from Monday 00:00), with a mean of 1. Empty for
    /// constant traffic.
    pub rhythm: Vec<f64>,
}

/// Number of hours in a week.
pub(crate) const HOURS_A_WEEK: usize = 168;

/// The value of a metric under the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// Index of the layer in the plan's layers, from 0. `None` for all layers.
    pub layer_idx: Option<usize>,
    /// The expected value, in the metric's unit.
    pub value: f64,
    /// Standard deviation of a row's value, in the metric's unit. `None` for a proportion.
    pub sd: Option<f64>,
    /// Standard deviation of the users' own means, in the metric's unit.
    pub user_sd: f64,
    /// Number of rows of the metric's denominator per turn.
    pub share: f64,
}

/// An effect of the candidate on a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldEffect {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// Index of the layer in the plan's layers, from 0. `None` for all layers.
    pub layer_idx: Option<usize>,
    /// The difference from the baseline's value, in the metric's unit.
    pub effect: f64,
    /// The changed part of the release that causes the effect: `model`, `prompt`, `tool`, `kb`.
    /// `None` if none is named.
    pub dimension: Option<String>,
    /// The start of a fault, counted from the plan's start, and its length, in microseconds. `None`
    /// for a permanent effect.
    pub during: Option<(Micros, Micros)>,
}

/// A simulated world.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Id of the world.
    pub id: String,
    /// Effects of the candidate, faults included.
    pub effects: Vec<WorldEffect>,
    /// Share of users who withdraw their consent, per day, 0..=1.
    pub opt_out_per_day: f64,
    /// Share of users who change their layer, per day, 0..=1, as happens if layers are not frozen.
    /// These users are seen in both arms.
    pub drift_per_day: f64,
    /// Share of the candidate's users whose rows are lost, 0..=1.
    pub candidate_loss: f64,
}

/// A plan to compare, which may differ from the scenario's own.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanVariant {
    /// Id of the plan variant.
    pub id: String,
    /// The complete plan of the variant.
    pub plan: Plan,
    /// The controller that decides the ratios of the variant.
    pub controller: Controller,
    /// The spending of the error by group-sequential gates, for each layer in plan order.
    pub boundaries: Vec<Boundary>,
}

/// The spending of the error over group-sequential gates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Similar error at every gate: the Lan-DeMets approximation of Pocock's boundary.
    #[default]
    Pocock,
    /// Little error at early gates: the Lan-DeMets approximation of O'Brien and Fleming's boundary.
    ObrienFleming,
    /// Equal error at every gate: the error level divided by the number of gates.
    Bonferroni,
}

impl Boundary {
    pub(super) const ALL: [(&'static str, Self); 3] = [
        ("pocock", Self::Pocock),
        ("obrien_fleming", Self::ObrienFleming),
        ("bonferroni", Self::Bonferroni),
    ];

    /// The name in documents and scenarios.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, boundary)| *boundary == self)
            .map_or("pocock", |(name, _)| name)
    }

    /// Returns one-sided z boundaries for gates with this cumulative information, in any unit. An
    /// inner `None` marks a gate that has no boundary. `None` if no design exists.
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
        // A design needs information as fractions of the total.
        let all = information.last()?;
        let fractions: Vec<f64> = information.iter().map(|part| part / all).collect();
        design(&fractions, alpha, Sides::One, spending)
            .ok()
            .map(|design| design.bounds)
    }
}

/// The controller: the rule that changes ratios in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// The plan's policy, by the same function as the nightly decisions.
    Policy,
    /// Promotes after every dwell, regardless of the data.
    FixedTime,
    /// Promotes when a relevant harm would have been detected with 80 % power and was not.
    Power,
    /// Promotes as far as the expected harm at the next step allows.
    Risk,
    /// Promotes by the largest step that overspends the budget with no more than the accepted
    /// probability.
    Ruin,
    /// Promotes unless a group-sequential boundary is crossed at the end of a dwell.
    GroupSequential,
}

impl Controller {
    /// All controllers with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("policy", Self::Policy),
        ("fixed_time", Self::FixedTime),
        ("power", Self::Power),
        ("risk", Self::Risk),
        ("ruin", Self::Ruin),
        ("group_sequential", Self::GroupSequential),
    ];

    /// The name in documents and scenarios.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, controller)| *controller == self)
            .map_or("policy", |(name, _)| name)
    }
}

/// Bounds of an optimal schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// The metric whose harm is bounded. `None` for the first guardrail with a margin that rolls
    /// back.
    pub metric: Option<String>,
    /// Smallest harm that must be detected, in the metric's unit. `None` for the guardrail's
    /// margin.
    pub mde: Option<f64>,
    /// Largest probability of a rollback when there is no harm, 0..=1.
    pub max_false_rollback: f64,
    /// Largest probability that a harm of `mde` reaches the end of the ladder, 0..=1.
    pub max_missed: f64,
    /// Largest expected harm under `mde`, in events or units of the metric. `None` for no bound.
    pub max_harm: Option<f64>,
    /// Probability, 0..=1, with which the harm may exceed `max_harm`. It replaces the bound on the
    /// expected harm. `None` bounds the expected harm.
    pub max_overspend: Option<f64>,
    /// Shortest dwell, hours. The default of 24 lets every step cover all hours of a day.
    pub min_dwell_hours: f64,
}

impl Simulation {
    /// Returns a metric's value under the baseline in a layer. `None` if the scenario declares
    /// none.
    pub fn rate(&self, metric: &str, layer_idx: usize) -> Option<&Rate> {
        let of_metric = || self.rates.iter().filter(|rate| rate.metric == metric);
        of_metric()
            .rfind(|rate| rate.layer_idx == Some(layer_idx))
            .or_else(|| of_metric().rfind(|rate| rate.layer_idx.is_none()))
    }
}
