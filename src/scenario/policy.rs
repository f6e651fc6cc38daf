//! The policy: guardrails, quality of service, and what a check that fails leads to.

use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::metric::BadRateOf;

/// A metric that can stop a ramp by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guardrail {
    /// A metric's id, or `latency_p95_ms`.
    pub metric: String,
    /// What is not allowed.
    pub rule: GuardrailRule,
    /// The candidate's own value must not be worse than this, whatever the control does.
    pub limit: Option<f64>,
    /// What a violation does.
    #[serde(default)]
    pub action: Action,
}

impl Guardrail {
    /// Whether it takes a layer back for a harm above a margin: then schedules can be made to keep
    /// it.
    pub fn bounds_harm(&self) -> bool {
        self.action == Action::Rollback && !matches!(self.rule, GuardrailRule::MaxCount(_))
    }
}

/// What a violated guardrail does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The layer goes back to 0; and to go up, the guardrail must be safe.
    #[default]
    Rollback,
    /// The layer stays: a signal.
    Hold,
}

/// The metric id that names the 95th percentile of latency.
pub const LATENCY_P95: &str = "latency_p95_ms";

/// What a guardrail does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailRule {
    /// Worse than the control by more than this, in the metric's unit.
    Margin(f64),
    /// Worse than the control by more than this share of the control's value.
    RelativeMargin(f64),
    /// More events than this in the candidate.
    MaxCount(u64),
}

impl GuardrailRule {
    /// The margin in the metric's unit, given the control's value; `None` for counts.
    pub fn margin(self, control: f64) -> Option<f64> {
        match self {
            Self::Margin(margin) => Some(margin),
            Self::RelativeMargin(share) => Some(share * control.abs()),
            Self::MaxCount(_) => None,
        }
    }
}

/// How verdicts are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// `interval` weighs evidence, `point` follows the source document to the letter.
    pub decision: DecisionPolicy,
    /// Whether intervals may be looked at many times.
    pub sequential: Sequential,
    /// Error level of intervals and of guardrails.
    pub alpha: f64,
    /// Sample-ratio alarms below this p-value.
    pub srm_alpha: f64,
    /// Sample-ratio deviations below this share are called low impact.
    pub srm_min_deviation: f64,
    /// Share of a stage's users who may be seen in both arms; more, and users are not placed by
    /// bucket.
    pub max_crossover: f64,
    /// QoS below which a layer rolls back.
    pub qos_floor: f64,
    /// The QoS difference that intervals are tuned to see.
    pub qos_mde: f64,
    /// How long after a rollback nothing is promoted, microseconds.
    pub cool_down: Micros,
    /// What a rollback takes back.
    pub rollback_scope: RollbackScope,
    /// Largest share of all users that a rolled-back candidate may have reached.
    pub exposure_cap: Option<f64>,
    /// What a sample-ratio mismatch does.
    #[serde(default)]
    pub srm_action: OnTrouble,
    /// What missing evidence does.
    #[serde(default)]
    pub no_data_action: OnTrouble,
}

/// What to do where the evidence cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTrouble {
    /// Stay.
    #[default]
    Hold,
    /// Back to 0.
    Rollback,
}

/// How a verdict weighs its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionPolicy {
    /// Bounds decide.
    Interval,
    /// Points decide.
    Point,
}

/// Whether intervals may be looked at many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequential {
    /// Confidence sequences: valid at every look.
    Anytime,
    /// Ordinary intervals: valid at one look that was planned.
    Fixed,
}

/// What a rollback takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackScope {
    /// The layer that failed.
    Layer,
    /// Every layer of the plan.
    Plan,
}

/// How quality is composed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QosConfig {
    /// Weights of U, T, B.
    pub weights: [f64; 3],
    /// Mean latency at which the latency part is 0, ms.
    pub max_latency_ms: f64,
    /// What the bad rate divides by.
    pub bad_rate_of: BadRateOf,
}

/// A result that `--verify` checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Tenant; `None` for every tenant.
    pub tenant: Option<String>,
    /// Index of the layer.
    pub layer_idx: usize,
    /// The verdict's name.
    pub verdict: String,
    /// The next ratio.
    pub next_ratio: Option<Ratio>,
}
