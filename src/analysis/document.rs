//! The document `analysis.json`: the results of inference. All rows are those of eligible users in
//! the baseline or the candidate.

use serde::{Deserialize, Serialize};

use crate::base::json::Document;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::input::SourceFile;
use crate::metric::Metric;
use crate::qos::{GuardrailFinding, QosArm};
use crate::replay::{RowCounts, UnknownIds};
use crate::scenario::{Arm, Policy};
use crate::stats::effect::Effect;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::ope::{MAX_WEIGHT_Z, MIN_ESS};
use crate::stats::quantile::QuantileEstimate;
use crate::stats::ratio::RatioEstimate;
use crate::stats::srm::{FirstExposures, SrmTest};
use crate::stats::stages::Combinations;
use crate::stats::{Interval, Known, Reason};

/// The results of inference on a log, for every tenant, layer and stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The name and version of the document's format.
    pub schema: String,
    /// SHA-256 digest of the scenario and of the command line's overrides.
    pub scenario_digest: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// The first instant of the plan, in microseconds UTC.
    pub start: Micros,
    /// The end of the data (exclusive), in microseconds UTC.
    pub as_of: Micros,
    /// The policy: error levels, and the sequential method of the intervals.
    pub policy: Policy,
    /// The declarations of the metrics.
    pub metrics: Vec<Metric>,
    /// The layers of each tenant, in plan order.
    pub layers: Vec<LayerAnalysis>,
    /// The estimated values of other ratios; empty if none was requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<RatioValue>,
    /// The log's files, and the counts of its rows by category.
    pub data: DataQuality,
}

impl Document for Analysis {
    const SCHEMA: &'static str = "sluice.analysis/1";
}

impl Analysis {
    /// The names of the tenants, in order.
    pub fn tenants(&self) -> Vec<String> {
        let mut tenants: Vec<String> = self.layers.iter().map(|layer| layer.tenant.clone()).collect();
        tenants.dedup();
        tenants
    }
}

/// The log's files, and the counts of its rows by category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataQuality {
    /// The counts of the rows by category.
    pub rows: RowCounts,
    /// Examples of ids that are not known. Left out if every id is known.
    #[serde(default, skip_serializing_if = "UnknownIds::is_empty")]
    pub unknown: UnknownIds,
    /// The columns of metrics that no file of the log has, in order. Left out if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_columns: Vec<String>,
    /// The files of the log, with their digests.
    pub sources: Vec<SourceFile>,
    /// The digest of the layer table that assigned users to layers. Empty if the evidence
    /// comes from counters.
    pub layers_digest: String,
}

/// The results of one layer of one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerAnalysis {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The number of users in the layer table.
    pub n_users: u64,
    /// The number of users who consented to gray release.
    pub n_eligible: u64,
    /// The number of eligible users who got at least one answer from the candidate.
    pub n_exposed: u64,
    /// The stages in time order. The last is the current one.
    pub stages: Vec<StageAnalysis>,
    /// The sample-ratio test over all stages, from the sum of their chi-squares. `None` without a
    /// stage of two arms.
    pub srm: Option<SrmTest>,
    /// The sample-ratio test of users by first exposure, over all stages. `None` without a stage of
    /// two arms.
    pub srm_first: Option<FirstExposures>,
    /// The effects over all stages that have an effect, by metric.
    pub combined: Vec<CombinedMetric>,
    /// The QoS of both releases over time, at most 24 points per release.
    pub series: Vec<SeriesPoint>,
}

impl LayerAnalysis {
    /// The stage that is in force at `as_of`; `None` without stages.
    pub fn current(&self) -> Option<&StageAnalysis> {
        self.stages.last()
    }
}

/// One stage of a layer: a period with one ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageAnalysis {
    /// The first instant, in microseconds UTC.
    pub start: Micros,
    /// The end (exclusive), in microseconds UTC.
    pub end: Micros,
    /// The ratio in force: the share of eligible users who get the candidate.
    pub ratio: Ratio,
    /// The number of distinct eligible users.
    pub users: UserCounts,
    /// The number of rows of eligible users, by release.
    pub rows: ArmRows,
    /// The sample-ratio test of the users. `None` if only one arm was planned or no user was seen.
    pub srm: Option<SrmTest>,
    /// Results of every metric whose columns the log has.
    pub metrics: Vec<MetricAnalysis>,
    /// The median of latency, in milliseconds.
    pub latency_p50_ms: LatencyAnalysis,
    /// The 95th percentile of latency, in milliseconds.
    pub latency_p95_ms: LatencyAnalysis,
    /// The 99th percentile of latency, in milliseconds.
    pub latency_p99_ms: LatencyAnalysis,
    /// The QoS of both releases, with the effect.
    pub qos: QosStage,
    /// The results of the guardrails, in the order of the plan.
    pub guardrails: Vec<GuardrailFinding>,
    /// The comparison with the layer's own past, by guardrail in the order of the plan. Empty unless
    /// the stage is the current one, has ratio 1, and the policy watches it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_past: Vec<OwnPastFinding>,
    /// The rows, QoS and metrics of this stage for each value of each declared column. Empty
    /// without such columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakdowns: Vec<BreakdownAnalysis>,
}

/// The comparison of one guardrail's metric with the layer's own past. The numbers are `None` if
/// there is no comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnPastFinding {
    /// Id of the metric, such as `task_completion_rate`.
    pub metric: String,
    /// Whether the layer fell below its past by more than the margin.
    pub verdict: HarmVerdict,
    /// Start of the compared days, in microseconds UTC: the last week of the stage, or its last day if
    /// that alone shows a fall.
    pub since: Option<Micros>,
    /// The metric's value in these days.
    pub observed: Option<f64>,
    /// The value that the past leads to expect, in the metric's unit.
    pub expected: Option<f64>,
    /// How much worse than expected the value is, in the metric's unit. Above 0 is worse.
    pub harm: Option<f64>,
    /// Interval of the harm, valid at the ends of the days of four weeks together.
    pub interval: Option<Interval>,
    /// The guardrail's margin, in the metric's unit.
    pub margin: Option<f64>,
    /// Number of days of the past that are compared.
    pub n_past_days: Option<u64>,
    /// Whether hours of the week are compared. Otherwise hours of the day are, because the past is
    /// shorter than two weeks.
    pub by_hour_of_week: Option<bool>,
    /// The reason why there is no comparison; `None` if there is one.
    pub reason: Option<Reason>,
}

/// The rows of a stage that have one value in a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakdownAnalysis {
    /// Name of the declared column.
    pub column: String,
    /// The column's value. The empty text means a missing value.
    pub value: String,
    /// The number of rows of eligible users, by release.
    pub rows: ArmRows,
    /// The QoS of both releases, with the effect.
    pub qos: QosStage,
    /// Results of every metric whose columns the log has.
    pub metrics: Vec<MetricAnalysis>,
    /// The results of the guardrails in this slice, in the order of the plan, corrected together over
    /// all slices of the layer. Guardrails on latency quantiles are left out. Empty unless the stage
    /// is the current one.
    ///
    /// # References
    /// `docs/METHODS.md#guardrails-in-slices`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guardrails: Vec<GuardrailFinding>,
}

/// Counts of distinct eligible users of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCounts {
    /// Users who got answers only from the baseline.
    pub baseline: u64,
    /// Users who got answers only from the candidate.
    pub candidate: u64,
    /// Users who got answers from both releases. Comparisons of user counts leave them out.
    pub crossover: u64,
    /// Users who were seen in an arm with a planned share of 0.
    pub leaked: u64,
}

/// The number of rows of a stage, by arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmRows {
    /// Rows that the baseline answered.
    pub baseline: u64,
    /// Rows that the candidate answered.
    pub candidate: u64,
}

/// The results of one metric in one stage: both arms and the effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricAnalysis {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// The baseline's value. Without enough clusters, it has no standard error.
    pub baseline: MetricArm,
    /// The candidate's value.
    pub candidate: MetricArm,
    /// The effect: candidate minus baseline.
    pub effect: Known<Effect>,
    /// The p-value of one look, corrected by the method of Benjamini and Hochberg over the stage's
    /// metrics without a guardrail. `None` without an effect, and for metrics with a guardrail,
    /// which are corrected by the method of Holm.
    pub p_value_adj: Option<f64>,
    /// The share of the stage's rows, 0..=1, that are old enough for the metric's outcomes to have
    /// arrived. Only these rows count. `None` if the metric has no delay or the stage has no rows.
    pub mature_share: Option<f64>,
    /// The limits of each row's value, and the shares of rows that they changed. `None` if the
    /// metric has no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<MetricLimits>,
}

/// The limits of the values of a metric's numerator, with the shares of rows beyond them. A value
/// beyond a limit counts as the limit, in both releases.
///
/// # References
/// `docs/METHODS.md#limits-of-values`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricLimits {
    /// The smallest value that counts in full, in the unit of the column. `None` without a lower
    /// limit.
    pub floor: Option<f64>,
    /// The largest value that counts in full, in the unit of the column. `None` without an upper
    /// limit.
    pub cap: Option<f64>,
    /// The quantile of the baseline that the limits come from. `None` if the scenario has the
    /// limits themselves.
    pub winsorize: Option<f64>,
    /// The number of the baseline's values that the limits come from. `None` without `winsorize`.
    pub n_values: Option<u64>,
    /// Whether later rows leave the limits unchanged. Always true without `winsorize`.
    pub is_final: bool,
    /// The share, 0..=1, of the baseline's rows with a value beyond a limit, of its rows with a
    /// value. `None` without such rows.
    pub baseline_share: Option<f64>,
    /// The same share of the candidate's rows.
    pub candidate_share: Option<f64>,
}

/// The value of one metric under one release, with its sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricArm {
    /// The sum of the numerators; 0 without data.
    pub numerator: f64,
    /// The sum of the denominators; 0 without data.
    pub denominator: f64,
    /// The numerator divided by the denominator, in the metric's unit; `None` without data.
    pub estimate: Option<f64>,
    /// The ratio of numerator to denominator with its cluster-robust standard error. Without enough
    /// clusters, the reason for its absence.
    pub robust: Known<RatioEstimate>,
}

impl MetricArm {
    /// From the two sums with their quotient, and the ratio with its error.
    pub(crate) fn new(point: Option<(f64, f64, f64)>, robust: Result<RatioEstimate, Reason>) -> Self {
        Self {
            numerator: point.map_or(0.0, |(numerator, _, _)| numerator),
            denominator: point.map_or(0.0, |(_, denominator, _)| denominator),
            estimate: point.map(|(_, _, estimate)| estimate),
            robust: robust.into(),
        }
    }
}

/// A quantile of latency of both releases, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyAnalysis {
    /// The baseline's quantile.
    pub baseline: Known<QuantileEstimate>,
    /// The candidate's quantile.
    pub candidate: Known<QuantileEstimate>,
    /// The effect: candidate minus baseline.
    pub effect: Known<Effect>,
}

/// The QoS of both releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QosStage {
    /// The baseline's QoS.
    pub baseline: Known<QosArm>,
    /// The candidate's QoS.
    pub candidate: Known<QosArm>,
    /// The effect: candidate minus baseline.
    pub effect: Known<Effect>,
}

/// One metric over all stages that have an effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CombinedMetric {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// Three weighted means of the stages' effects, and their heterogeneity.
    #[serde(flatten)]
    pub combinations: Combinations,
    /// The current state of the score process over stages, for tests at every look. `None` without
    /// a variance.
    pub score: Option<ScoreProcess>,
}

/// The score process `S = sum I_s d_s` with the information `V = sum I_s`, where `d_s` is a stage's
/// effect, `v_s` its variance, and `I_s = 1 / v_s`. Its increments are independent, even if the
/// ratio changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreProcess {
    /// The score `S`: the sum of effect over variance of the stages.
    pub score: f64,
    /// The information `V`, at least 0: the sum of 1 over variance of the stages.
    pub information: f64,
    /// The always-valid interval of the combined effect `S / V`, in the metric's unit.
    pub anytime: Interval,
    /// The always-valid p-value, 0..=1, of the null hypothesis of no effect.
    pub anytime_p_value: f64,
}

/// The QoS of one release over a range of windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// The first instant, in microseconds UTC.
    pub start: Micros,
    /// The end (exclusive), in microseconds UTC.
    pub end: Micros,
    /// The release: baseline or candidate.
    pub arm: Arm,
    /// The number of rows of the release in this range.
    pub n_rows: u64,
    /// The QoS of the release in this range, or the reason why it is not known.
    pub qos: Known<QosArm>,
}

/// The estimated quality of a layer if another ratio had been in force in all stages in which both
/// releases ran.
///
/// # References
/// `docs/METHODS.md#other-ratios-from-a-canarys-own-log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioValue {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The ratio whose value is estimated.
    pub ratio: Ratio,
    /// The overlap of users, which limits what the log can estimate. `None` if no stage ran both
    /// releases.
    pub overlap: Option<UserOverlap>,
    /// The QoS over all requests of the layer.
    pub qos: Known<QosArm>,
    /// Values of every metric whose columns the log has.
    pub metrics: Vec<MetricValue>,
}

/// A metric under another ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// The metric's value, with the standard error between clusters.
    pub value: Known<RatioEstimate>,
}

/// The importance weights of users. The propensity is the ratio in force, so it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UserOverlap {
    /// The effective sample size `(sum w)^2 / sum w^2`, over users of a stage and release.
    pub ess: f64,
    /// The largest importance weight of a user: the requested share over the logged share of the
    /// release.
    pub max_weight: f64,
    /// The distance of the mean weight from 1, in standard errors.
    pub mean_weight_z: f64,
}

impl UserOverlap {
    /// Whether the effective sample size is large enough and the mean weight is close enough to 1.
    pub(super) fn is_enough(&self) -> bool {
        self.ess >= MIN_ESS && self.mean_weight_z.abs() <= MAX_WEIGHT_Z
    }
}
