//! The keys of `[simulate]` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::base::schema::words;
use crate::scenario::policy::{DecisionPolicy, Sequential};
use crate::scenario::simulation::{Boundary, Controller};

/// The simulation of a ramp: worlds that it may meet, and plans that are compared in them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSimulate {
    /// Runs of each plan in each world. The decimals of a fraction are ignored.
    #[schemars(
        range(min = 1, max = 10_000_000),
        extend("default" = 2_000),
        example = 10_000
    )]
    pub(super) runs: Option<f64>,
    /// Longest time of a run. It has 1 to 1,000,000 windows of the plan.
    #[schemars(
        range(max = 1_000_000),
        extend("exclusiveMinimum" = 0, "default" = 20, "x-unit" = "days"),
        example = 30
    )]
    pub(super) days: Option<f64>,
    /// Windows between decisions. The decimals of a fraction are ignored.
    #[schemars(
        range(min = 1, max = 10_000),
        extend("default" = 1, "x-unit" = "windows"),
        example = 24
    )]
    pub(super) decide_every_windows: Option<f64>,
    /// Sizes and traffic of layers. A layer without an entry takes them from a cube.
    pub(super) layer: Vec<RawWorldLayer>,
    /// Values of metrics under the baseline. Where several fit a layer, the last one that names the
    /// layer counts.
    pub(super) rate: Vec<RawRate>,
    /// Worlds that the ramp may meet.
    pub(super) world: Vec<RawWorld>,
    /// Plans to compare; by default the scenario's own plan.
    pub(super) plan: Vec<RawPlanVariant>,
    /// Cost of a unit of harm, by the id of a metric of QoS or of a guardrail.
    #[schemars(
        extend(
            "additionalProperties" = serde_json::json!({"type": "number", "minimum": 0, "maximum": 1e15}),
            "x-unit" = "your currency per unit of the metric"
        ),
        example = BTreeMap::from([("complaint_rate", 20)])
    )]
    pub(super) cost: BTreeMap<String, f64>,
    pub(super) budget: RawBudget,
}

/// A layer's size and traffic.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id", "users", "turns_per_user_day"]))]
pub(super) struct RawWorldLayer {
    /// Id of the layer.
    #[schemars(example = &"early")]
    pub(super) id: Option<String>,
    /// Number of eligible users.
    #[schemars(range(min = 1, max = 1e12), extend("x-unit" = "users"), example = 500_000)]
    pub(super) users: Option<f64>,
    /// Mean number of turns per user and day.
    #[schemars(
        range(min = 1e-9, max = 1_000_000),
        extend("x-unit" = "turns per day"),
        example = 0.5
    )]
    pub(super) turns_per_user_day: Option<f64>,
    /// Share of users with at least one turn per week.
    #[schemars(
        range(min = 1e-6, max = 0.999_999_999),
        extend("default" = 0.5, "x-unit" = "share"),
        example = 0.7
    )]
    pub(super) weekly_active: Option<f64>,
    /// Traffic by hour: 24 weights of a day or 168 of a week from Monday on, in the zone of
    /// `time_zone`, not all 0.
    #[schemars(
        length(min = 24, max = 168),
        inner(range(min = 0, max = 1_000_000_000)),
        extend("x-default" = "the same at all hours"),
        example = [1; 24]
    )]
    pub(super) rhythm: Option<Vec<f64>>,
}

/// A metric's value under the baseline.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["metric", "value"]))]
pub(super) struct RawRate {
    /// Id of a metric of QoS or of a guardrail.
    #[schemars(example = &"latency_mean_ms")]
    pub(super) metric: Option<String>,
    /// Id of the layer.
    #[schemars(extend("x-default" = "all layers"), example = &"early")]
    pub(super) layer: Option<String>,
    /// Expected value. A proportion lies in 0 to 1.
    #[schemars(
        range(min = -1e12, max = 1e12),
        extend("x-unit" = "unit of the metric"),
        example = 900
    )]
    pub(super) value: Option<f64>,
    /// Standard deviation of a row's value. Proportions have none, other metrics need it.
    #[schemars(
        range(min = 0, max = 1e12),
        extend("x-unit" = "unit of the metric", "x-default" = "none"),
        example = 600
    )]
    pub(super) sd: Option<f64>,
    /// Standard deviation of users' own values.
    #[schemars(
        range(min = 0, max = 1e12),
        extend("default" = 0, "x-unit" = "unit of the metric"),
        example = 100
    )]
    pub(super) user_sd: Option<f64>,
    /// Rows of the metric's denominator a turn.
    #[schemars(
        range(min = 1e-9, max = 1_000_000),
        extend("default" = 1, "x-unit" = "rows a turn"),
        example = 0.3
    )]
    pub(super) share: Option<f64>,
}

/// A change of a metric under the candidate.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["metric", "effect"]))]
pub(super) struct RawEffect {
    /// Id of a metric of QoS or of a guardrail.
    #[schemars(example = &"task_completion_rate")]
    pub(super) metric: Option<String>,
    /// Id of the layer.
    #[schemars(extend("x-default" = "all layers"), example = &"early")]
    pub(super) layer: Option<String>,
    /// Number that is added to the baseline's value.
    #[schemars(
        range(min = -1e12, max = 1e12),
        extend("x-unit" = "unit of the metric"),
        example = 0.05
    )]
    pub(super) effect: Option<f64>,
    /// Changed part of the release that has the effect, for `world.revert`.
    #[schemars(extend("x-default" = "none"), example = &"model")]
    pub(super) dimension: Option<String>,
}

/// An effect that lasts for a time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["metric", "effect"]))]
pub(super) struct RawFaultEffect {
    /// Id of a metric of QoS or of a guardrail.
    #[schemars(example = &"complaint_rate")]
    pub(super) metric: Option<String>,
    /// Id of the layer.
    #[schemars(extend("x-default" = "all layers"), example = &"early")]
    pub(super) layer: Option<String>,
    /// Number that is added to the baseline's value.
    #[schemars(
        range(min = -1e12, max = 1e12),
        extend("x-unit" = "unit of the metric"),
        example = 0.01
    )]
    pub(super) effect: Option<f64>,
    /// Time from the start of the plan to the start of the fault.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("default" = 0, "x-unit" = "hours"),
        example = 72
    )]
    pub(super) from_hours: Option<f64>,
    /// Length of the fault. By default it lasts to the end of the run.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("default" = 1_000_000, "x-unit" = "hours"),
        example = 12
    )]
    pub(super) hours: Option<f64>,
}

/// A world that the ramp may meet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id"]))]
pub(super) struct RawWorld {
    /// Id of the world, which no other world has.
    #[schemars(example = &"as_hoped")]
    pub(super) id: Option<String>,
    /// Effects of the candidate.
    pub(super) effects: Vec<RawEffect>,
    /// Effects of the candidate that last for a time.
    pub(super) faults: Vec<RawFaultEffect>,
    /// Dimensions of effects that this world leaves out, as if those parts had been reverted.
    #[schemars(example = Vec::<&str>::new())]
    pub(super) revert: Vec<String>,
    /// Share of users who withdraw their consent per day.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0, "x-unit" = "share per day"),
        example = 0.001
    )]
    pub(super) opt_out_per_day: Option<f64>,
    /// Share of users who change their layer per day, where layers are not frozen.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0, "x-unit" = "share per day"),
        example = 0.01
    )]
    pub(super) drift_per_day: Option<f64>,
    /// Share of the candidate's users whose rows are lost.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0, "x-unit" = "share"),
        example = 0.02
    )]
    pub(super) candidate_loss: Option<f64>,
}

/// A plan that differs from the scenario's own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id"]))]
pub(super) struct RawPlanVariant {
    /// Id of the variant, which no other variant has.
    #[schemars(example = &"fast")]
    pub(super) id: Option<String>,
    /// Ladder of all layers, rising. The layers then open with its first step.
    #[schemars(
        length(min = 1),
        inner(range(min = 0.0001, max = 1)),
        extend("x-unit" = "share", "x-default" = "each layer's own"),
        example = [0.25, 1.0]
    )]
    pub(super) ladder: Option<Vec<f64>>,
    /// Dwell of all layers.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("x-unit" = "hours", "x-default" = "each layer's own"),
        example = 24
    )]
    pub(super) dwell_hours: Option<f64>,
    /// Changes of single layers.
    pub(super) layer: Vec<RawLayerVariant>,
    /// `policy.decision` of the variant.
    #[schemars(
        extend("enum" = words(&DecisionPolicy::ALL), "x-default" = "the scenario's"),
        example = &"point"
    )]
    pub(super) decision: Option<String>,
    /// `policy.sequential` of the variant.
    #[schemars(
        extend("enum" = words(&Sequential::ALL), "x-default" = "the scenario's"),
        example = &"fixed"
    )]
    pub(super) sequential: Option<String>,
    /// `policy.alpha` of the variant.
    #[schemars(
        range(min = 1e-9, max = 0.5),
        extend("x-unit" = "probability", "x-default" = "the scenario's"),
        example = 0.1
    )]
    pub(super) alpha: Option<f64>,
    /// Rule that decides: the policy of every night, or another one to compare with.
    #[schemars(
        extend("enum" = words(&Controller::ALL), "default" = Controller::ALL[0].0),
        example = &"fixed_time"
    )]
    pub(super) controller: Option<String>,
    /// Error spending of group-sequential gates.
    #[schemars(
        extend("enum" = words(&Boundary::ALL), "default" = Boundary::ALL[0].0),
        example = &"obrien_fleming"
    )]
    pub(super) boundary: Option<String>,
}

/// A layer of a plan variant.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id"]))]
pub(super) struct RawLayerVariant {
    /// Id of the layer.
    #[schemars(example = &"early")]
    pub(super) id: Option<String>,
    /// Ladder of the layer, rising.
    #[schemars(
        length(min = 1),
        inner(range(min = 0.0001, max = 1)),
        extend("x-unit" = "share", "x-default" = "the variant's"),
        example = [0.5, 1.0]
    )]
    pub(super) ladder: Option<Vec<f64>>,
    /// Dwell of the layer.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("x-unit" = "hours", "x-default" = "the variant's"),
        example = 12
    )]
    pub(super) dwell_hours: Option<f64>,
    /// Smallest number of users of the candidate for a promotion.
    #[schemars(
        range(max = i64::MAX),
        extend("x-unit" = "users", "x-default" = "the layer's own"),
        example = 1_000
    )]
    pub(super) min_users: Option<u64>,
    /// Error spending of the layer's group-sequential gates.
    #[schemars(
        extend("enum" = words(&Boundary::ALL), "x-default" = "the variant's"),
        example = &"bonferroni"
    )]
    pub(super) boundary: Option<String>,
}

/// Bounds that `sluice simulate --optimize` keeps.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBudget {
    /// Id of the metric whose harm is bounded: a guardrail with a margin that rolls back.
    #[schemars(
        extend("x-default" = "the first guardrail with a margin that rolls back"),
        example = &"availability"
    )]
    pub(super) metric: Option<String>,
    /// Harm that must not be missed.
    #[schemars(
        range(min = 1e-12, max = 1e15),
        extend("x-unit" = "unit of the metric", "x-default" = "the guardrail's margin"),
        example = 0.02
    )]
    pub(super) mde: Option<f64>,
    /// Largest probability of a rollback without harm.
    #[schemars(
        range(min = 1e-9, max = 1),
        extend("default" = 0.05, "x-unit" = "probability"),
        example = 0.1
    )]
    pub(super) max_false_rollback: Option<f64>,
    /// Largest probability to reach the end of the ladder with a harm of `mde`.
    #[schemars(
        range(min = 1e-9, max = 1),
        extend("default" = 0.1, "x-unit" = "probability"),
        example = 0.05
    )]
    pub(super) max_missed: Option<f64>,
    /// Largest expected harm at `mde`.
    #[schemars(
        range(min = 1e-12, max = 1e15),
        extend("x-unit" = "events, or units of the metric", "x-default" = "no bound"),
        example = 500
    )]
    pub(super) max_harm: Option<f64>,
    /// Largest probability of a harm above `max_harm`. It replaces the limit on the expected harm.
    #[schemars(
        range(min = 1e-9, max = 1),
        extend("x-unit" = "probability", "x-default" = "the expectation is bounded"),
        example = 0.05
    )]
    pub(super) max_overspend: Option<f64>,
    /// Shortest dwell. A dwell of a day covers all hours.
    #[schemars(
        range(min = 1, max = 10_000),
        extend("default" = 24, "x-unit" = "hours"),
        example = 48
    )]
    pub(super) min_dwell_hours: Option<f64>,
}
