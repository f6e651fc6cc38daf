//! The keys of `[qos]`, `[[metric]]`, `[[guardrail]]`, `[policy]` and `[analysis]` as they are
//! written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::schema::words;
use crate::metric::{BadRateOf, Better, built_in};
use crate::scenario::guard::{MAX_BAD_ROWS, MAX_GONE, MAX_MOVED, MAX_NEW, MAX_PSI, MIN_COUNT};
use crate::scenario::plan::CLUSTERS;
use crate::scenario::policy::{
    Action, BOUNDARIES, DecisionPolicy, LATENCY_P95, MAX_MISSED, MIN_COVERAGE, OnTrouble, OwnPast,
    QOS_PRESETS, RollbackScope, Sequential, SlicePolicy,
};
use crate::scenario::raw_name::RawName;

/// The quality of service (QoS): a score of 0 to 1 of user experience U, technical service T and
/// business B.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQos {
    /// Name of a set of weights for U, T, B: `high_risk` 0.3, 0.2, 0.5; `low_risk` 0.4, 0.3, 0.3.
    #[schemars(extend("enum" = words(&QOS_PRESETS), "default" = QOS_PRESETS[0].0), example = &"low_risk")]
    pub(super) preset: Option<String>,
    /// Weights of U, T, B in place of the preset's. They sum to 1.
    #[schemars(
        length(equal = 3),
        inner(range(min = 0)),
        extend("x-default" = "those of `preset`"),
        example = [0.5, 0.25, 0.25]
    )]
    pub(super) weights: Option<Vec<f64>>,
    /// Mean latency at which its part of the score is 0.
    #[schemars(
        range(min = 1, max = 1_000_000_000),
        extend("default" = 5_000, "x-unit" = "ms"),
        example = 2_000
    )]
    pub(super) max_latency_ms: Option<f64>,
    /// Rows that the rate of bad answers divides by: those that a user rated, or all.
    #[schemars(extend("enum" = words(&BadRateOf::ALL), "default" = BadRateOf::ALL[0].0), example = &"all")]
    pub(super) bad_rate_of: Option<String>,
}

/// A metric of the scenario: a ratio of two sums over the log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id", "numerator", "denominator"]))]
pub(super) struct RawMetric {
    /// Id of the metric, which no other metric has: ASCII letters, digits, `_`, `-`, `.`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]+$"), example = &"slow_rate")]
    pub(super) id: Option<String>,
    /// Name of the metric in sentences and tables: a text, or one in English and one in Chinese. By
    /// default the id.
    #[schemars(example = &"share of slow answers")]
    pub(super) name: Option<RawName>,
    /// Numerator: `rows`, `sum(column)` or `count(column)` (rows where it is not null). A
    /// column may have a test, with `<`, `<=`, `>`, `>=`, `=` or `!=`.
    #[schemars(example = &"sum(latency_ms > 2000)")]
    pub(super) numerator: Option<String>,
    /// Denominator, in the form of the numerator.
    #[schemars(example = &"count(latency_ms)")]
    pub(super) denominator: Option<String>,
    /// Good direction of the metric.
    #[schemars(extend("enum" = words(&Better::ALL), "default" = Better::ALL[0].0), example = &"lower")]
    pub(super) better: Option<String>,
    /// Unit of the metric, as reports show it.
    #[schemars(extend("default" = "per unit"), example = &"share")]
    pub(super) unit: Option<String>,
    /// Time until the value of a row is known, whole. Younger windows are left out.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("default" = 0, "x-unit" = "hours"),
        example = 48
    )]
    pub(super) delay_hours: Option<f64>,
    /// Whether the metric is a share of rows. It is one without this key if it counts a flag, a test
    /// or known values over rows or known values.
    #[schemars(extend("default" = false), example = true)]
    pub(super) proportion: Option<bool>,
    /// Upper limit of each row's value, for a numerator `sum(column)`. A larger value counts as
    /// the limit.
    #[schemars(extend("x-unit" = "unit of the column", "x-default" = "none"), example = 500)]
    pub(super) cap: Option<f64>,
    /// Lower limit of each row's value, for a numerator `sum(column)`. A smaller value counts as
    /// the limit.
    #[schemars(extend("x-unit" = "unit of the column", "x-default" = "none"), example = -100)]
    pub(super) floor: Option<f64>,
    /// Quantile of the baseline's values in the first rows of the log that limits each row's value
    /// in both releases, in place of `cap` and `floor`. With 0.999, the largest and the smallest
    /// thousandth count as the limits.
    #[schemars(
        range(min = 0.9, max = 0.99999),
        extend("x-unit" = "probability", "x-default" = "none"),
        example = 0.999
    )]
    pub(super) winsorize: Option<f64>,
}

/// A metric that can stop a ramp by itself, with exactly one of `margin`, `relative_margin` and
/// `max_count`. A metric has at most one guardrail.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["metric"]))]
pub(super) struct RawGuardrail {
    /// Id of a metric, built-in or of the scenario, or `latency_p95_ms`.
    #[schemars(extend("x-known" = metric_ids()), example = &"availability")]
    pub(super) metric: Option<String>,
    /// Largest allowed harm against the control, in the unit of the metric.
    #[schemars(
        range(min = 1e-12, max = 1e12),
        extend("x-unit" = "unit of the metric", "x-default" = "none"),
        example = 0.005
    )]
    pub(super) margin: Option<f64>,
    /// Largest allowed harm as a share of the control's value.
    #[schemars(
        range(min = 1e-12, max = 1_000_000),
        extend("x-unit" = "share", "x-default" = "none"),
        example = 0.2
    )]
    pub(super) relative_margin: Option<f64>,
    /// Smallest margin that `relative_margin` gives, in the unit of the metric. It applies where the
    /// control's value is near 0.
    #[schemars(
        range(min = 1e-12, max = 1e12),
        extend("x-unit" = "unit of the metric", "x-default" = "none"),
        example = 0.001
    )]
    pub(super) min_margin: Option<f64>,
    /// Harm that the gates of `policy.sequential = "group_sequential"` must not miss, in the unit of
    /// the metric.
    #[schemars(
        range(min = 1e-12, max = 1e12),
        extend("x-unit" = "unit of the metric", "x-default" = "the margin"),
        example = 0.01
    )]
    pub(super) mde: Option<f64>,
    /// Largest allowed number of events of the candidate at its current ratio, for metrics of which less
    /// is better. Rows while a ratio takes effect, and rows of unknown users, are in no arm and do not
    /// count.
    #[schemars(
        range(max = i64::MAX),
        extend("x-unit" = "events", "x-default" = "none"),
        example = 0
    )]
    pub(super) max_count: Option<u64>,
    /// Value that the candidate's own value must not be worse than.
    #[schemars(
        range(min = -1e15, max = 1e15),
        extend("x-unit" = "unit of the metric", "x-default" = "none"),
        example = 0.9
    )]
    pub(super) limit: Option<f64>,
    /// Effect of a violation: a rollback to 0, or a hold at the ratio.
    #[schemars(extend("enum" = words(&Action::ALL), "default" = Action::ALL[0].0), example = &"hold")]
    pub(super) action: Option<String>,
}

/// The rules of verdicts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPolicy {
    /// Evidence of verdicts: the ends of intervals, or point estimates as in the reference policy.
    #[schemars(
        extend("enum" = words(&DecisionPolicy::ALL), "default" = DecisionPolicy::ALL[0].0),
        example = &"point"
    )]
    pub(super) decision: Option<String>,
    /// Validity of intervals: at every look, at one planned look, or gates at the ends of dwells by a
    /// group-sequential test for harm.
    #[schemars(
        extend("enum" = words(&Sequential::ALL), "default" = Sequential::ALL[0].0),
        example = &"fixed"
    )]
    pub(super) sequential: Option<String>,
    /// Error spending of `group_sequential` over the information. A layer can have its own.
    #[schemars(
        extend("enum" = words(&BOUNDARIES), "default" = BOUNDARIES[0].0),
        example = &"obrien_fleming"
    )]
    pub(super) boundary: Option<String>,
    /// Exponent rho of the boundary `kim_demets`: the error alpha t^rho at the share t of the
    /// information. Other boundaries ignore it.
    #[schemars(range(min = 0.1, max = 20), extend("default" = 2, "x-unit" = "exponent"), example = 3)]
    pub(super) boundary_rho: Option<f64>,
    /// Parameter gamma of the boundary `hwang_shih_decani`: -4 is near O'Brien and Fleming's, 1 near
    /// Pocock's. Other boundaries ignore it.
    #[schemars(range(min = -40, max = 40), extend("default" = -4, "x-unit" = "parameter"), example = -2)]
    pub(super) boundary_gamma: Option<f64>,
    /// Probability with which the gates of `group_sequential` may miss a harm as large as a margin.
    /// It sets the information that the last promotion waits for.
    #[schemars(
        range(min = 1e-6, max = 0.5),
        extend("default" = MAX_MISSED, "x-unit" = "probability"),
        example = 0.05
    )]
    pub(super) max_missed: Option<f64>,
    /// Effect of a fall of a layer at ratio 1 below its own past: a named hold, a rollback to 0, or
    /// none.
    #[schemars(
        extend("enum" = words(&OwnPast::ALL), "default" = OwnPast::ALL[0].0),
        example = &"rollback"
    )]
    pub(super) own_past: Option<String>,
    /// Effect of a guardrail that is violated in a slice, a value of a column of `[analysis]`
    /// `breakdowns`: no promotion of the layer and a failed gate, or a warning.
    #[schemars(
        extend("enum" = words(&SlicePolicy::ALL), "default" = SlicePolicy::ALL[0].0),
        example = &"warn"
    )]
    pub(super) slices: Option<String>,
    /// Error level of intervals and guardrails.
    #[schemars(
        range(min = 1e-9, max = 0.5),
        extend("default" = 0.05, "x-unit" = "probability"),
        example = 0.01
    )]
    pub(super) alpha: Option<f64>,
    /// p-value below which the sample ratio is wrong.
    #[schemars(
        range(min = 1e-12, max = 0.5),
        extend("default" = 0.001, "x-unit" = "probability"),
        example = 0.0001
    )]
    pub(super) srm_alpha: Option<f64>,
    /// Deviation of the sample ratio from the plan, as a share of all users, below which it has low
    /// impact and does not stop a ramp. It must also be below 2 % of the smaller arm's planned
    /// share.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0.001, "x-unit" = "share"),
        example = 0.005
    )]
    pub(super) srm_min_deviation: Option<f64>,
    /// Largest share of a stage's users who may be seen in both releases.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0.01, "x-unit" = "share"),
        example = 0.02
    )]
    pub(super) max_crossover: Option<f64>,
    /// QoS score below which a layer goes back to 0.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0.6, "x-unit" = "score"),
        example = 0.5
    )]
    pub(super) qos_floor: Option<f64>,
    /// Difference of QoS scores that intervals are tuned to see.
    #[schemars(
        range(min = 1e-6, max = 1),
        extend("default" = 0.02, "x-unit" = "score"),
        example = 0.05
    )]
    pub(super) qos_mde: Option<f64>,
    /// Time after a rollback in which nothing is promoted.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("default" = 24, "x-unit" = "hours"),
        example = 48
    )]
    pub(super) cool_down_hours: Option<f64>,
    /// Layers that a rollback sets to 0: the failed layer, or all layers of the plan.
    #[schemars(
        extend("enum" = words(&RollbackScope::ALL), "default" = RollbackScope::ALL[0].0),
        example = &"plan"
    )]
    pub(super) rollback_scope: Option<String>,
    /// Whether layers are promoted although the gate of the same night fails. `false` keeps them at
    /// their ratios; rollbacks and holds take effect.
    #[schemars(extend("default" = false), example = true)]
    pub(super) promote_on_failed_gate: Option<bool>,
    /// Largest share of all users that a rolled-back release may have reached. The gate fails
    /// above it.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share", "x-default" = "no bound"),
        example = 0.05
    )]
    pub(super) exposure_cap: Option<f64>,
    /// Effect of a wrong sample ratio: the layer stays, or goes back to 0.
    #[schemars(
        extend("enum" = words(&OnTrouble::ALL), "default" = OnTrouble::ALL[0].0),
        example = &"rollback"
    )]
    pub(super) srm_action: Option<String>,
    /// Effect of missing evidence: the layer stays, or goes back to 0.
    #[schemars(
        extend("enum" = words(&OnTrouble::ALL), "default" = OnTrouble::ALL[0].0),
        example = &"rollback"
    )]
    pub(super) no_data_action: Option<String>,
}

/// The default of a guard, which `sluice layer` does not apply.
fn by_command(default: impl std::fmt::Display) -> String {
    format!("{default}; none for `sluice layer`")
}

/// Limits on the users and rows of a night. `sluice night` ends with code 3 beyond one of them,
/// before anything is replaced or published; `--accept NAME` lets one pass for one night.
/// `sluice layer --previous` applies those that are written here.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGuard {
    /// Smallest share of rows that must have a known user and release, of the night's new rows and of
    /// the whole log. Below it on the whole log every layer is `invalid`, and the gate fails.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = MIN_COVERAGE, "x-unit" = "share"),
        example = 0.9
    )]
    pub(super) min_coverage: Option<f64>,
    /// Largest share of the users of both nights whose layer changed.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-default" = by_command(MAX_MOVED), "x-unit" = "share"),
        example = 0.05
    )]
    pub(super) max_moved: Option<f64>,
    /// Largest population stability index of the score since the previous night, of any tenant.
    #[schemars(range(min = 0, max = 1_000), extend("x-default" = by_command(MAX_PSI)), example = 0.1)]
    pub(super) max_psi: Option<f64>,
    /// Largest share of the users who are absent from the previous night.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-default" = by_command(MAX_NEW), "x-unit" = "share"),
        example = 0.1
    )]
    pub(super) max_new: Option<f64>,
    /// Largest share of the previous night's users who are absent.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-default" = by_command(MAX_GONE), "x-unit" = "share"),
        example = 0.05
    )]
    pub(super) max_gone: Option<f64>,
    /// Largest share of the night's rows, and of the rows of the users table, that cannot be used.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-default" = by_command(MAX_BAD_ROWS), "x-unit" = "share"),
        example = 0.001
    )]
    pub(super) max_bad_rows: Option<f64>,
    /// Smallest number of users.
    #[schemars(extend("x-default" = by_command(MIN_COUNT), "x-unit" = "users"), example = 100_000)]
    pub(super) min_users: Option<u64>,
    /// Smallest number of the night's rows between the plan's start and `as_of`.
    #[schemars(extend("x-default" = by_command(MIN_COUNT), "x-unit" = "rows"), example = 10_000)]
    pub(super) min_rows: Option<u64>,
    /// Longest time between the newest row and `as_of`, such as `26h`, by whole windows.
    #[schemars(extend("x-default" = by_command("48h")), example = &"26h")]
    pub(super) max_age: Option<String>,
    /// Whether every column that had values in the previous night must have values.
    #[schemars(extend("x-default" = by_command("true")), example = false)]
    pub(super) same_columns: Option<bool>,
}

/// The analysis: clusters of variances, and breakdowns.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAnalysis {
    /// Clusters of variances: bucket groups, or users, for small logs.
    #[schemars(extend("enum" = words(&CLUSTERS), "default" = CLUSTERS[0].0), example = &"user")]
    pub(super) clusters: Option<String>,
    /// Columns of the traffic by whose values results are broken down, each once.
    #[schemars(example = ["feature"])]
    pub(super) breakdowns: Vec<String>,
}

/// Returns the ids of the built-in metrics that a guardrail can name.
fn metric_ids() -> Vec<String> {
    let built_in = built_in(BadRateOf::Rated).into_iter().map(|metric| metric.id);
    built_in.chain([LATENCY_P95.to_owned()]).collect()
}
