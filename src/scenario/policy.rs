//! The policy: guardrails, quality of service, and the results of failed checks.

use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::metric::BadRateOf;
use crate::stats::group_sequential::Spending;

/// A metric that can block or roll back a layer by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guardrail {
    /// The metric's id, or `latency_p95_ms`.
    pub metric: String,
    /// The bound on the candidate.
    pub rule: GuardrailRule,
    /// The smallest margin that a relative margin gives, in the metric's unit, above 0. `None` for
    /// no smallest margin: the relative margin of a baseline of 0 is then 0.
    #[serde(default)]
    pub min_margin: Option<f64>,
    /// The harm that the gates of a group-sequential ramp must not miss, in the metric's unit, above
    /// 0. `None` for the margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mde: Option<f64>,
    /// Absolute bound on the candidate's own value, in the metric's unit, regardless of the
    /// baseline's value. `None` for no absolute bound.
    pub limit: Option<f64>,
    /// The action after a violation: a rollback, or no promotion.
    #[serde(default)]
    pub action: Action,
}

impl Guardrail {
    /// Returns the margin in the metric's unit, given the baseline's value. `None` for counts.
    pub fn margin(&self, control: f64) -> Option<f64> {
        let margin = self.rule.margin(control)?;
        Some(self.min_margin.map_or(margin, |least| margin.max(least)))
    }

    /// Whether `min_margin` is the margin, because the relative margin is smaller.
    pub fn takes_min_margin(&self, control: f64) -> bool {
        self.min_margin
            .is_some_and(|least| self.rule.margin(control).is_some_and(|margin| margin < least))
    }

    /// Returns the harm that gates must not miss, in the metric's unit, given the baseline's value.
    /// `None` for counts.
    pub fn detectable(&self, control: f64) -> Option<f64> {
        let margin = self.margin(control)?;
        Some(self.mde.unwrap_or(margin))
    }

    /// Whether the gates of a group-sequential ramp test the guardrail: it rolls back when a harm
    /// exceeds a margin, and its metric is known at every look. Latency quantiles are known for
    /// whole stages only.
    pub fn has_gate(&self) -> bool {
        self.bounds_harm() && self.metric != LATENCY_P95
    }

    /// Whether the guardrail rolls a layer back when a harm exceeds a margin. Schedules can be
    /// optimized for such guardrails only.
    pub fn bounds_harm(&self) -> bool {
        self.action == Action::Rollback && !matches!(self.rule, GuardrailRule::MaxCount(_))
    }
}

/// The result of a violated guardrail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The layer returns to ratio 0. A promotion needs the guardrail to be safe.
    #[default]
    Rollback,
    /// The layer keeps its ratio. The guardrail is a signal: a promotion needs only that it is not
    /// violated.
    Hold,
}

impl Action {
    /// Every action with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("rollback", Self::Rollback), ("hold", Self::Hold)];
}

/// The metric id that names the 95th percentile of latency.
pub const LATENCY_P95: &str = "latency_p95_ms";

/// The bound that a guardrail sets on the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailRule {
    /// Largest harm against the baseline, in the metric's unit, above 0.
    Margin(f64),
    /// Largest harm against the baseline, as a share of the baseline's value, above 0.
    RelativeMargin(f64),
    /// Largest number of the candidate's events.
    MaxCount(u64),
}

impl GuardrailRule {
    /// Returns the margin in the metric's unit, given the baseline's value, without the guardrail's
    /// smallest margin. `None` for counts.
    fn margin(self, control: f64) -> Option<f64> {
        match self {
            Self::Margin(margin) => Some(margin),
            Self::RelativeMargin(share) => Some(share * control.abs()),
            Self::MaxCount(_) => None,
        }
    }
}

/// The settings of the rules that decide a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The form of the decision rule: on intervals, or on point estimates as in the reference
    /// policy (docs/REFERENCE_POLICY.md).
    pub decision: DecisionPolicy,
    /// The kind of intervals: valid at every look, or at one planned look; or gates by a
    /// group-sequential test.
    pub sequential: Sequential,
    /// The spending of the error level over the looks of group-sequential gates.
    #[serde(default = "default_boundary")]
    pub boundary: Spending,
    /// The probability with which group-sequential gates may miss a harm as large as the margin,
    /// above 0 and at most 0.5. It sets the planned information.
    #[serde(default = "default_max_missed")]
    pub max_missed: f64,
    /// The result of a fall of a layer at ratio 1 below its own past.
    #[serde(default)]
    pub own_past: OwnPast,
    /// The result of a guardrail that is violated in a slice: a value of a column of
    /// `analysis.breakdowns`.
    #[serde(default, skip_serializing_if = "SlicePolicy::is_default")]
    pub slices: SlicePolicy,
    /// Error level of intervals and guardrails, at most 0.5.
    pub alpha: f64,
    /// Significance level of the sample-ratio test, above 0 and at most 0.5. A p-value below it
    /// raises an alarm.
    pub srm_alpha: f64,
    /// Smallest deviation of the arms' shares that counts, 0..=1. A sample-ratio alarm with a
    /// smaller deviation does not block. The same bound applies to the share of leaked users.
    pub srm_min_deviation: f64,
    /// Largest allowed share of a stage's users who are seen in both arms, 0..=1. A larger share
    /// shows that users are not assigned by bucket.
    pub max_crossover: f64,
    /// QoS below which a layer is rolled back, 0..=1.
    pub qos_floor: f64,
    /// The QoS difference at which anytime-valid intervals are tuned to be narrow, 0..=1.
    pub qos_mde: f64,
    /// Time after a rollback without promotions, microseconds.
    pub cool_down: Micros,
    /// The layers that a rollback covers.
    pub rollback_scope: RollbackScope,
    /// Whether layers are promoted although the gate of the same night fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promote_on_failed_gate: bool,
    /// Largest share of all users that a rolled-back candidate may have reached, 0..=1. `None` for
    /// no cap.
    pub exposure_cap: Option<f64>,
    /// Smallest share of the log's rows that must have a known user and release, 0..=1. With a
    /// smaller share, every layer is invalid.
    #[serde(default = "default_min_coverage")]
    pub min_coverage: f64,
    /// The result of a sample-ratio mismatch.
    #[serde(default)]
    pub srm_action: OnTrouble,
    /// The result of missing evidence.
    #[serde(default)]
    pub no_data_action: OnTrouble,
}

/// The default of `guard.min_coverage`. In a shared log some rows belong to new users or to other
/// releases; without more than a twentieth of its rows, evidence is about another population.
pub(super) const MIN_COVERAGE: f64 = 0.95;

/// The default of `policy.max_missed`, that of `simulate.budget.max_missed`.
pub(super) const MAX_MISSED: f64 = 0.1;

fn default_boundary() -> Spending {
    BOUNDARIES[0].1
}

fn default_max_missed() -> f64 {
    MAX_MISSED
}

/// The boundaries of group-sequential gates with their words in a scenario, the default first, with
/// the default parameter of the families that have one.
pub(super) const BOUNDARIES: [(&str, Spending); 4] = [
    ("pocock", Spending::Pocock),
    ("obrien_fleming", Spending::ObrienFleming),
    ("kim_demets", Spending::KimDeMets(2.0)),
    ("hwang_shih_decani", Spending::HwangShihDeCani(-4.0)),
];

/// The result of a fall of a layer at ratio 1 below its own past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnPast {
    /// The layer keeps its ratio, and the decision and the gate name the fall.
    #[default]
    Alarm,
    /// The layer returns to ratio 0.
    Rollback,
    /// The layer is not compared with its own past.
    Off,
}

impl OwnPast {
    /// Every option with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 3] = [
        ("alarm", Self::Alarm),
        ("rollback", Self::Rollback),
        ("off", Self::Off),
    ];
}

/// The result of a guardrail that is violated in a slice of a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlicePolicy {
    /// The layer is not promoted, and the gate fails.
    #[default]
    Block,
    /// The verdict stays, and the gate warns.
    Warn,
}

impl SlicePolicy {
    /// Every option with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("block", Self::Block), ("warn", Self::Warn)];

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn default_min_coverage() -> f64 {
    MIN_COVERAGE
}

/// The action when evidence is missing or invalid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTrouble {
    /// Keeps the ratio.
    #[default]
    Hold,
    /// Returns the layer to ratio 0.
    Rollback,
}

impl OnTrouble {
    /// Every option with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("hold", Self::Hold), ("rollback", Self::Rollback)];
}

/// The form of the evidence that decides a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionPolicy {
    /// The bounds of intervals decide, so uncertain evidence does not promote.
    Interval,
    /// Point estimates decide, as in the reference policy.
    Point,
}

impl DecisionPolicy {
    /// Every policy with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("interval", Self::Interval), ("point", Self::Point)];
}

/// The number of looks for which an interval is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequential {
    /// Confidence sequences, which are valid at every look.
    Anytime,
    /// Fixed-sample intervals, which are valid at one planned look only.
    Fixed,
    /// Gates at the ends of dwells by a group-sequential test for harm. Between them, intervals that
    /// are valid at every look watch for gross harm.
    GroupSequential,
}

impl Sequential {
    /// Every kind of interval with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 3] = [
        ("anytime", Self::Anytime),
        ("fixed", Self::Fixed),
        ("group_sequential", Self::GroupSequential),
    ];

    /// The name in documents and scenarios.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("anytime", |(name, _)| name)
    }

    /// Whether single verdicts rest on intervals that are valid at every look. Only `fixed` plans
    /// one look.
    pub fn is_anytime(self) -> bool {
        self != Self::Fixed
    }
}

/// The layers that a rollback sets to ratio 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackScope {
    /// Only the layer whose check failed.
    Layer,
    /// Every layer of the tenant in which a layer failed.
    Plan,
}

impl RollbackScope {
    /// Every scope with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("layer", Self::Layer), ("plan", Self::Plan)];
}

/// Weights of U, T, B by the name of their preset, the default first.
pub(super) const QOS_PRESETS: [(&str, [f64; 3]); 2] =
    [("high_risk", [0.3, 0.2, 0.5]), ("low_risk", [0.4, 0.3, 0.3])];

/// The names of verdicts, as `[[expect]]` writes them.
pub(super) const VERDICTS: [&str; 5] = ["promote", "hold", "rollback", "inconclusive", "invalid"];

/// The weights and limits of the QoS score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QosConfig {
    /// Weights of the QoS parts U, T and B. They are at least 0 and sum to 1 within 1e-9.
    pub weights: [f64; 3],
    /// Mean latency from which the latency part is 0, milliseconds.
    pub max_latency_ms: f64,
    /// The denominator of the bad rate: rated turns or all turns.
    pub bad_rate_of: BadRateOf,
}

/// An expected result that `--verify` checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Name of the tenant. `None` if the result is expected for every tenant.
    pub tenant: Option<String>,
    /// Index of the layer in the plan's layers, from 0.
    pub layer_idx: usize,
    /// Expected verdict: `promote`, `hold`, `rollback`, `inconclusive` or `invalid`.
    pub verdict: String,
    /// The expected next ratio. `None` if it is not checked.
    pub next_ratio: Option<Ratio>,
}
