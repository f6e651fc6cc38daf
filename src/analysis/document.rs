//! `analysis.json`: what inference found. Rows are those of eligible users, in the baseline or the
//! candidate.

use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::input::SourceFile;
use crate::metric::Metric;
use crate::qos::{GuardrailFinding, QosArm};
use crate::replay::RowCounts;
use crate::scenario::{Arm, Policy};
use crate::stats::effect::Effect;
use crate::stats::ope::{MAX_WEIGHT_Z, MIN_ESS};
use crate::stats::quantile::QuantileEstimate;
use crate::stats::ratio::RatioEstimate;
use crate::stats::srm::{FirstExposures, SrmTest};
use crate::stats::stages::Combinations;
use crate::stats::{Interval, Known};

/// What inference found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Name and version of this document's form.
    pub schema: String,
    /// Digest of the scenario.
    pub scenario_digest: String,
    /// The plan's id.
    pub plan_id: String,
    /// The baseline's release id.
    pub baseline: String,
    /// The candidate's release id.
    pub candidate: String,
    /// First instant of the plan, microseconds.
    pub start: Micros,
    /// End of what is known, microseconds.
    pub as_of: Micros,
    /// Error levels and sequential method that the intervals were made with.
    pub policy: Policy,
    /// The declarations behind the metric ids.
    pub metrics: Vec<Metric>,
    /// Per tenant and layer, in plan order.
    pub layers: Vec<LayerAnalysis>,
    /// What other ratios would be worth, where that was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<RatioValue>,
    /// Where the log's rows went.
    pub data: DataQuality,
}

impl Analysis {
    /// The tenants, in order.
    pub fn tenants(&self) -> Vec<String> {
        let mut tenants: Vec<String> = self.layers.iter().map(|layer| layer.tenant.clone()).collect();
        tenants.dedup();
        tenants
    }
}

/// Where the log's rows went, and which files they came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataQuality {
    /// Rows by fate.
    pub rows: RowCounts,
    /// Files with digests.
    pub sources: Vec<SourceFile>,
    /// Digest of the layer table that coloured the rows.
    pub layers_digest: String,
}

/// One layer of one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerAnalysis {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// Users.
    pub n_users: u64,
    /// Users who consented to gray release.
    pub n_eligible: u64,
    /// Eligible users who were ever answered by the candidate.
    pub n_exposed: u64,
    /// Its stages, in time order; the last is the current one.
    pub stages: Vec<StageAnalysis>,
    /// Sample ratio over all stages: chi-squares added up; `None` without a stage of two arms.
    pub srm: Option<SrmTest>,
    /// Sample ratio of users by first exposure, over all stages; `None` without a stage of two
    /// arms.
    pub srm_first: Option<FirstExposures>,
    /// Effects over all stages that have one.
    pub combined: Vec<CombinedMetric>,
    /// QoS over time.
    pub series: Vec<SeriesPoint>,
}

impl LayerAnalysis {
    /// The stage in force at `as_of`.
    pub fn current(&self) -> Option<&StageAnalysis> {
        self.stages.last()
    }
}

/// One stage of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageAnalysis {
    /// First instant, microseconds.
    pub start: Micros,
    /// End, exclusive, microseconds.
    pub end: Micros,
    /// The ratio in force.
    pub ratio: Ratio,
    /// Distinct users.
    pub users: UserCounts,
    /// Rows.
    pub rows: ArmRows,
    /// Sample ratio of the users; `None` when one arm was planned alone, or nobody came.
    pub srm: Option<SrmTest>,
    /// Every metric the log can tell.
    pub metrics: Vec<MetricAnalysis>,
    /// Median of latency, ms.
    pub latency_p50_ms: LatencyAnalysis,
    /// 95th percentile of latency, ms.
    pub latency_p95_ms: LatencyAnalysis,
    /// 99th percentile of latency, ms.
    pub latency_p99_ms: LatencyAnalysis,
    /// Quality of both releases.
    pub qos: QosStage,
    /// What the guardrails found.
    pub guardrails: Vec<GuardrailFinding>,
    /// The same for the values of declared columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakdowns: Vec<BreakdownAnalysis>,
}

/// A stage's rows with one value in a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakdownAnalysis {
    /// The column.
    pub column: String,
    /// Its value; empty for rows without one.
    pub value: String,
    /// Rows.
    pub rows: ArmRows,
    /// Quality of both releases.
    pub qos: QosStage,
    /// Every metric the log can tell.
    pub metrics: Vec<MetricAnalysis>,
}

/// Distinct eligible users of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCounts {
    /// Seen in the baseline only.
    pub baseline: u64,
    /// Seen in the candidate only.
    pub candidate: u64,
    /// Seen in both: in no comparison of users.
    pub crossover: u64,
    /// Users in an arm that was planned at 0.
    pub leaked: u64,
}

/// Rows of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmRows {
    /// In the baseline.
    pub baseline: u64,
    /// In the candidate.
    pub candidate: u64,
}

/// One metric in one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricAnalysis {
    /// The metric's id.
    pub metric: String,
    /// The baseline's value: a point where the clusters are too few for an error.
    pub baseline: MetricArm,
    /// The candidate's value.
    pub candidate: MetricArm,
    /// Candidate minus baseline.
    pub effect: Known<Effect>,
    /// p-value of one look after Benjamini and Hochberg's correction over the stage's metrics that
    /// no guardrail watches; `None` for those that one does (guardrails are corrected by Holm) and
    /// where there is no effect.
    pub p_value_adj: Option<f64>,
    /// Of the stage's rows, the share that is old enough for the metric's outcomes to have come;
    /// only they count. `None` without a delay or rows.
    pub mature_share: Option<f64>,
}

/// One metric of one release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricArm {
    /// Sum of numerators; 0 without data.
    pub numerator: f64,
    /// Sum of denominators; 0 without data.
    pub denominator: f64,
    /// Their quotient.
    pub estimate: Option<f64>,
    /// The quotient with its cluster-robust error.
    pub robust: Known<RatioEstimate>,
}

/// A quantile of latency of both releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyAnalysis {
    /// The baseline's.
    pub baseline: Known<QuantileEstimate>,
    /// The candidate's.
    pub candidate: Known<QuantileEstimate>,
    /// Candidate minus baseline.
    pub effect: Known<Effect>,
}

/// QoS of both releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QosStage {
    /// The baseline's.
    pub baseline: Known<QosArm>,
    /// The candidate's.
    pub candidate: Known<QosArm>,
    /// Candidate minus baseline.
    pub effect: Known<Effect>,
}

/// One metric over all stages that have an effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CombinedMetric {
    /// The metric's id.
    pub metric: String,
    /// Three weightings and their heterogeneity.
    #[serde(flatten)]
    pub combinations: Combinations,
    /// The score process over stages, as it stands: what tests at every look rest on. `None`
    /// without a variance.
    pub score: Option<ScoreProcess>,
}

/// `S = sum I_s d_s`, `V = sum I_s`, `I_s = 1 / v_s`: its increments are independent whatever the
/// ratios do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreProcess {
    /// `S`.
    pub score: f64,
    /// `V`.
    pub information: f64,
    /// Always-valid interval of `S / V`.
    pub anytime: Interval,
    /// Always-valid p-value of no effect.
    pub anytime_p_value: f64,
}

/// QoS of one release over a run of windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// First instant, microseconds.
    pub start: Micros,
    /// End, exclusive, microseconds.
    pub end: Micros,
    /// The release.
    pub arm: Arm,
    /// Rows.
    pub n_rows: u64,
    /// Quality.
    pub qos: Known<QosArm>,
}

/// A layer's quality, had it been at another ratio in all stages in which both releases ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioValue {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// The ratio that was asked for.
    pub ratio: Ratio,
    /// Whether the log can say; `None` if no stage ran both releases.
    pub overlap: Option<UserOverlap>,
    /// QoS of all of the layer's requests together.
    pub qos: Known<QosArm>,
    /// Every metric that the log can tell.
    pub metrics: Vec<MetricValue>,
}

/// A metric under another ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// The metric's id.
    pub metric: String,
    /// Its value, with the error between bucket groups.
    pub value: Known<RatioEstimate>,
}

/// Weights of users: the propensity is the ratio in force, so it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UserOverlap {
    /// `(sum w)^2 / sum w^2` over users of a stage and release.
    pub ess: f64,
    /// Largest weight.
    pub max_weight: f64,
    /// Standard errors by which the mean weight differs from 1.
    pub mean_weight_z: f64,
}

impl UserOverlap {
    pub(super) fn is_enough(&self) -> bool {
        self.ess >= MIN_ESS && self.mean_weight_z.abs() <= MAX_WEIGHT_Z
    }
}
