//! The plan of a ramp: releases, layers, ladders and the ratios in force.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::time::{Micros, Zone};
use crate::bucket::{Profile, Ratio};
use crate::metric::Better;
use crate::scenario::layering::TagRule;
use crate::scenario::policy::{Guardrail, Policy, Sequential};
use crate::stats::Reason;
use crate::stats::gates::{GateRule, planned_drift};
use crate::stats::group_sequential::Spending;
use crate::words::guardrail::MetricTerm;
use crate::words::{Lang, Text, When};

/// A plan: the releases, the layers with their ladders, and the policy of decisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Id of the plan: ASCII letters, digits, `_`, `-`, `.`.
    pub id: String,
    /// Id of the plan that this one replaces; `None` if it replaces none.
    pub supersedes: Option<String>,
    /// First instant of the plan, microseconds, UTC. Earlier rows are outside of it.
    pub start: Micros,
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// The hash that production uses to put users into buckets.
    pub profile: Profile,
    /// Digest of the layer table that the ramp must use, `blake3:` or `sha256:` and 64 hexadecimal
    /// digits. `None` if the plan pins no table. Layers stay frozen during a ramp, so that the arms
    /// hold the same users.
    pub layers_digest: Option<String>,
    /// Length of a cube window, microseconds.
    pub window: Micros,
    /// Name of the operator in operation-log rows.
    pub operator: String,
    /// Layers in rising order of protection. The last is the most protected.
    pub layers: Vec<Layer>,
    /// Metrics that can each block or roll back a layer, apart from QoS.
    pub guardrails: Vec<Guardrail>,
    /// The policy of decisions: intervals, levels, and results of failed checks.
    pub policy: Policy,
    /// Ratio changes so far, in time order.
    pub operations: Vec<Operation>,
    /// Periods without promotions: the first instant and the exclusive end, microseconds, UTC.
    pub freezes: Vec<Range<Micros>>,
    /// Approvals of ratios of safety-critical layers.
    pub approvals: Vec<Approval>,
    /// Length of the ramp that was promised, days. `None` if nothing was promised.
    pub promised_days: Option<f64>,
    /// Shares of users that a source of the study states. Wrong ones are reported.
    pub claims: Vec<Claim>,
    /// The metrics as sentences name them, by id.
    pub measures: BTreeMap<String, Measure>,
    /// The zone of days and times in sentences.
    pub time_zone: Zone,
}

/// A metric as sentences name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// The display name of the scenario. `None` without one.
    pub name: Option<Text>,
    /// The unit of its values.
    pub unit: String,
    /// The direction in which it improves.
    pub better: Better,
}

/// A share of users that a source of the study states.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Number of users that the source names.
    pub users: u64,
    /// Number of all users that the source names, above 0.
    pub of: u64,
    /// The share that the source states, 0..=1.
    pub share: f64,
    /// Name of the source, as the scenario spells it.
    pub source: String,
}

/// The share of the error level that watches every window for gross harm under
/// `group_sequential`. The gates have the rest.
const WATCH_SHARE: f64 = 0.1;

/// The rule of a layer's group-sequential gates, the same for all its guardrails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateDesign {
    /// One-sided error level of the gates of one guardrail.
    pub alpha: f64,
    /// The spending of the error level over the information.
    pub spending: Spending,
    /// The planned information times the square of the harm that must not be missed is `drift^2`;
    /// see [`planned_drift`].
    pub drift: f64,
}

impl GateDesign {
    /// Designs the gates of a layer.
    ///
    /// # Errors
    /// [`Reason::NoSolution`] if no information has the planned power.
    ///
    /// # References
    /// `docs/METHODS.md#gates-of-a-ramp`.
    pub fn new(plan: &Plan, layer: &Layer) -> Result<Self, Reason> {
        let alpha = plan.gate_alpha();
        let spending = layer.boundary.unwrap_or(plan.policy.boundary);
        Ok(Self {
            alpha,
            spending,
            drift: planned_drift(alpha, plan.policy.max_missed, spending)?,
        })
    }

    /// The rule of a guardrail whose harm `mde`, in the metric's unit, must not be missed.
    pub fn rule(&self, mde: f64) -> GateRule {
        GateRule {
            alpha: self.alpha,
            spending: self.spending,
            planned: (self.drift / mde).powi(2),
        }
    }
}

impl Plan {
    /// Returns the first instant of the window in which an instant lies, microseconds, UTC. Windows
    /// are counted from the plan's start.
    pub fn window_start(&self, at: Micros) -> Micros {
        self.start + (at - self.start).div_euclid(self.window) * self.window
    }

    /// The one-sided error level of the gates of one guardrail: nine tenths of the policy's level,
    /// divided among the guardrails with gates.
    pub fn gate_alpha(&self) -> f64 {
        let n_gated = self
            .guardrails
            .iter()
            .filter(|guardrail| guardrail.has_gate())
            .count();
        self.policy.alpha * (1.0 - WATCH_SHARE) / n_gated.max(1) as f64
    }

    /// The two-sided level at which a guardrail's harm is certain. Under `group_sequential` it is
    /// that of the watch between the gates: a tenth of the policy's level on the side of harm,
    /// divided among the layer's steps below 1.
    pub fn violation_alpha(&self, layer: &Layer) -> f64 {
        if self.policy.sequential != Sequential::GroupSequential {
            return self.policy.alpha;
        }
        let n_steps = layer.steps().filter(|step| *step < Ratio::FULL).count();
        2.0 * WATCH_SHARE * self.policy.alpha / n_steps.max(1) as f64
    }

    /// Returns a metric as sentences name it. A metric that the plan does not know has no unit.
    pub(crate) fn term<'a>(&'a self, metric: &'a str) -> MetricTerm<'a> {
        let measure = self.measures.get(metric);
        MetricTerm {
            id: metric,
            name: measure.and_then(|measure| measure.name.as_ref()),
            unit: measure.map_or("", |measure| &measure.unit),
            is_higher_better: measure.is_some_and(|measure| measure.better == Better::Higher),
        }
    }

    /// Returns the display name of a layer for sentences. Its id follows in brackets if another
    /// layer has the same name. English sentences have the id in place of a name in Chinese letters.
    /// A layer that the plan does not have keeps its id.
    pub fn layer_name(&self, id: &str) -> Text {
        let Some(idx) = self.layer_idx(id) else {
            return id.into();
        };
        let is_chinese = |name: &str| name.chars().any(|c| matches!(c, '\u{3400}'..='\u{9fff}'));
        Text::new(|lang| {
            let name = self.layers[idx].name.of(lang);
            if name.trim().is_empty() || lang == Lang::En && is_chinese(name) {
                return id.to_owned();
            }
            let is_shared = self
                .layers
                .iter()
                .filter(|layer| layer.name.of(lang) == name)
                .count()
                > 1;
            if is_shared {
                format!("{name} ({id})")
            } else {
                name.to_owned()
            }
        })
    }

    /// Returns an instant as sentences write it.
    pub(crate) fn when(&self, at: Micros) -> When<'_> {
        When(at, &self.time_zone)
    }

    /// Returns the index of the layer with this id. `None` if there is none.
    pub fn layer_idx(&self, id: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.id == id)
    }
}

/// A person's approval of a ratio in a safety-critical layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Index of the layer in the plan's layers, from 0.
    pub layer_idx: usize,
    /// Id of the release that the approval covers. `None` if it names none: it does not count.
    pub candidate: Option<String>,
    /// Largest approved ratio.
    pub ratio: Ratio,
    /// Time of the approval, microseconds, UTC.
    pub at: Micros,
    /// Name of the person who approved, as the scenario spells it.
    pub by: String,
    /// Whether a program approved, by `kind` or by its name. Such an approval does not count.
    pub is_program: bool,
}

/// The kinds of approvers with their words in a scenario, the default first. True for a program.
pub(super) const APPROVER_KINDS: [(&str, bool); 2] = [("human", false), ("bot", true)];

/// A layer: a group of users with similar risk, and its ramp.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Id of the layer: ASCII letters, digits, `_`, `-`, `.`.
    pub id: String,
    /// Display name of the layer.
    pub name: Text,
    /// Smallest score of the layer in threshold mode, 0..=1. `None` in the last layer, which takes
    /// all lower scores, and in layers of tag rules only.
    pub min_score: Option<f64>,
    /// Share of the users outside tag rules that the layer takes in quota mode, 0..=1. `None` in
    /// layers of tag rules only.
    pub quota: Option<f64>,
    /// Tag rules. A user who meets any of them belongs to the layer, regardless of the score.
    pub tags: Vec<TagRule>,
    /// The ratio with which the layer opens. 0 means the first step of the ladder.
    pub initial_ratio: Ratio,
    /// Ratios in rising order, the initial ratio included.
    pub ladder: Vec<Ratio>,
    /// Smallest QoS at which the layer may be promoted, 0..=1.
    pub qos_threshold: f64,
    /// Shortest time at a ratio before the next promotion, microseconds.
    pub dwell: Micros,
    /// Smallest number of users exposed to the candidate before a promotion.
    pub min_users: u64,
    /// The layer's own spending of the error over group-sequential gates. `None` for that of the
    /// policy.
    pub boundary: Option<Spending>,
    /// Indices of the layers that must reach the end of their ladders before this layer opens.
    pub after: Vec<usize>,
    /// Whether every promotion needs an [`Approval`].
    pub safety_critical: bool,
}

impl Layer {
    /// Returns the next step above a ratio. `None` at the end of the ladder. The first step is
    /// `initial_ratio` if that is above 0.
    pub fn next_step(&self, ratio: Ratio) -> Option<Ratio> {
        if ratio == Ratio::ZERO && self.initial_ratio > Ratio::ZERO {
            return Some(self.initial_ratio);
        }
        self.ladder.iter().copied().find(|step| *step > ratio)
    }

    /// Iterates over the layer's ratios in the order of the ramp.
    pub fn steps(&self) -> impl Iterator<Item = Ratio> {
        std::iter::successors(self.next_step(Ratio::ZERO), |ratio| self.next_step(*ratio))
    }

    /// Returns the last step of the ladder. A last step below 1 keeps a holdout on the baseline.
    pub fn last_step(&self) -> Ratio {
        self.ladder.last().copied().unwrap_or(Ratio::FULL)
    }
}

/// A ratio change in the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Time of the change, microseconds, UTC: the ratio is in force everywhere from then on.
    /// [`Micros::MAX`] if it is not yet in force everywhere.
    pub at: Micros,
    /// First instant at which some users could have the new ratio, microseconds, UTC. `None` if it
    /// is `at`.
    #[serde(default)]
    pub since: Option<Micros>,
    /// The release whose ratio changed. `None` if it is the plan's candidate.
    #[serde(default)]
    pub candidate: Option<String>,
    /// Name of the tenant whose ratio changed. `None` if it changed for all tenants.
    pub tenant: Option<String>,
    /// Index of the layer in the plan's layers, from 0.
    pub layer_idx: usize,
    /// The ratio of the layer after the change.
    pub ratio: Ratio,
    /// Name of the person or system that changed the ratio.
    pub operator: String,
    /// Whether the operation comes from the log of `state.json`, not from the scenario.
    #[serde(default)]
    pub is_logged: bool,
}

impl Operation {
    /// Whether the operation changed a ratio of the plan's candidate. What an earlier release did
    /// says nothing of a later one.
    pub fn concerns_candidate_of(&self, plan: &Plan) -> bool {
        self.candidate
            .as_ref()
            .is_none_or(|release| *release == plan.candidate)
    }
}

/// The release that a row ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The release users have today.
    Baseline,
    /// The release being ramped.
    Candidate,
}

impl Arm {
    /// Both arms, in the order of their indices.
    pub const ALL: [Self; 2] = [Self::Baseline, Self::Candidate];

    /// Index of the arm in arrays of two: 0 for the baseline, 1 for the candidate.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One value per arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerArm<T> {
    /// The baseline's value.
    pub baseline: T,
    /// The candidate's value.
    pub candidate: T,
}

impl<T> PerArm<T> {
    /// Calls `value` for the baseline, then for the candidate.
    pub fn from_fn(mut value: impl FnMut(Arm) -> T) -> Self {
        Self {
            baseline: value(Arm::Baseline),
            candidate: value(Arm::Candidate),
        }
    }
}

impl<T> std::ops::Index<Arm> for PerArm<T> {
    type Output = T;

    fn index(&self, arm: Arm) -> &T {
        match arm {
            Arm::Baseline => &self.baseline,
            Arm::Candidate => &self.candidate,
        }
    }
}

impl<T> std::ops::IndexMut<Arm> for PerArm<T> {
    fn index_mut(&mut self, arm: Arm) -> &mut T {
        match arm {
            Arm::Baseline => &mut self.baseline,
            Arm::Candidate => &mut self.candidate,
        }
    }
}

/// The kinds of clusters with their words in a scenario, the default first. True if the clusters
/// are users.
pub(super) const CLUSTERS: [(&str, bool); 2] = [("group", false), ("user", true)];

/// The key of a breakdown, by which the cells of the cube are divided further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakdownBy {
    /// The values of a column of the log.
    Column(String),
    /// The user, as a row number of the layer table. Users are the clusters of small logs.
    User,
}
