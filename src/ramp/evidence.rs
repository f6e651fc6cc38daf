//! The evidence of a decision: the numbers of a layer's current stage, from an analysis or from the
//! simulator.

use crate::analysis::{LayerAnalysis, OwnPastFinding, StageAnalysis, StageThen, UserCounts};
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::metric::Metric;
use crate::qos::{Judged, QosArm};
use crate::ramp::slice_evidence::SliceEvidence;
use crate::scenario::Policy;
use crate::stats::dist::norm_isf;
use crate::stats::{Interval, Reason, srm};

/// The evidence on a layer's current stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageEvidence {
    /// First instant of the stage, microseconds, UTC.
    pub start: Micros,
    /// The ratio in force: the share of eligible users who get the candidate.
    pub ratio: Ratio,
    /// Numbers of distinct users.
    pub users: UserCounts,
    /// Sample ratio of the users. `None` if only one arm was planned, or there are no users.
    pub srm: Option<SrmEvidence>,
    /// The candidate's QoS, or the reason why it is not known.
    pub qos: Result<QosEvidence, Reason>,
    /// Results of the plan's guardrails, in the plan's order.
    pub guardrails: Vec<Judged>,
    /// Comparisons with the layer's own past. Empty below ratio 1.
    pub own_past: Vec<OwnPastFinding>,
    /// Guardrails in slices. Empty without declared columns, and for stages of the past.
    pub slices: SliceEvidence,
}

/// The sample-ratio test under a policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SrmEvidence {
    /// The p-value, 0..=1: valid at one planned look under `fixed`, else at every look.
    pub p_value: f64,
    /// Largest absolute difference between an observed and a planned share, 0..=1.
    pub max_abs_deviation: f64,
    /// Whether the deviation has little impact: see [`srm::is_low_impact`].
    pub low_impact: bool,
}

impl SrmEvidence {
    /// Tests the numbers of users (baseline, candidate) against the candidate's planned share,
    /// 0..=1. `None` if only one arm was planned, or there are no users.
    pub fn new(users: [f64; 2], share: f64, policy: &Policy) -> Option<Self> {
        let planned = [1.0 - share, share];
        if share <= 0.0 || share >= 1.0 || users[0] + users[1] <= 0.0 {
            return None;
        }
        let max_abs_deviation = srm::max_abs_deviation(&users, &planned);
        Some(Self {
            p_value: if policy.sequential.is_anytime() {
                srm::anytime_p_value(&users, &planned)
            } else {
                srm::chi_square(&users, &planned)?.p_value
            },
            max_abs_deviation,
            low_impact: srm::is_low_impact(max_abs_deviation, &planned, policy.srm_min_deviation),
        })
    }

    /// Pearson's chi-square statistic of two arms below which there is no alarm. A Bayes factor is
    /// at most the largest likelihood ratio, whose logarithm is at most the statistic.
    pub(crate) fn harmless_below(policy: &Policy) -> f64 {
        if policy.sequential.is_anytime() {
            -policy.srm_alpha.ln()
        } else {
            // The statistic is the square of a normal deviate. The factor covers rounding errors.
            norm_isf(0.5 * policy.srm_alpha).powi(2) * (1.0 - 1e-9)
        }
    }

    /// As [`Self::new`], for a decision whose numbers are not shown: `None` too if the numbers of
    /// users cannot give an alarm, see [`Self::harmless_below`].
    pub(crate) fn if_alarming(
        users: [f64; 2],
        share: f64,
        policy: &Policy,
        harmless_below: f64,
    ) -> Option<Self> {
        let n = users[0] + users[1];
        let excess = users[1] - n * share;
        if excess * excess < harmless_below * n * share * (1.0 - share) {
            None
        } else {
            Self::new(users, share, policy)
        }
    }

    /// Tests the users of a stage of an analysis.
    pub fn from_stage(stage: &StageAnalysis, policy: &Policy) -> Option<Self> {
        let users = [stage.users.baseline as f64, stage.users.candidate as f64];
        Self::new(users, stage.ratio.share(), policy)
    }

    /// Whether the sample ratio is wrong: the p-value is below the level of the policy, and the
    /// deviation is not of low impact.
    pub fn is_alarm(&self, policy: &Policy) -> bool {
        self.p_value < policy.srm_alpha && !self.low_impact
    }
}

/// The candidate's QoS, as a decision uses it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QosEvidence {
    /// The estimate of the candidate's QoS, 0..=1.
    pub qos: f64,
    /// The estimate, 0..=1, rounded to four decimals, as in the reference policy
    /// (docs/REFERENCE_POLICY.md).
    pub point: f64,
    /// Interval for one planned look, at the error level of the policy.
    pub ci: Interval,
    /// Interval that is valid at every look.
    pub anytime: Interval,
}

impl QosEvidence {
    /// Returns the interval that the policy uses.
    pub fn interval(&self, policy: &Policy) -> Interval {
        if policy.sequential.is_anytime() {
            self.anytime
        } else {
            self.ci
        }
    }
}

impl From<&QosArm> for QosEvidence {
    fn from(arm: &QosArm) -> Self {
        Self {
            qos: arm.value.qos,
            point: arm.point,
            ci: arm.ci,
            anytime: arm.anytime,
        }
    }
}

impl From<StageThen> for StageEvidence {
    fn from(stage: StageThen) -> Self {
        Self {
            start: stage.start,
            ratio: stage.ratio,
            users: stage.users,
            srm: None,
            qos: stage.qos.map(|arm| QosEvidence::from(&arm)),
            guardrails: stage.guardrails,
            own_past: Vec::new(),
            slices: SliceEvidence::default(),
        }
    }
}

impl StageEvidence {
    /// Makes the evidence of a layer's current stage from an analysis. `None` if the layer has no
    /// stage. `metrics` declare the units.
    pub fn from_layer(layer: &LayerAnalysis, policy: &Policy, metrics: &[Metric]) -> Option<Self> {
        let stage = layer.current()?;
        Some(Self::from_stage(stage, policy, metrics))
    }

    /// Makes the evidence of one stage from an analysis. `metrics` declare the units.
    pub fn from_stage(stage: &StageAnalysis, policy: &Policy, metrics: &[Metric]) -> Self {
        Self {
            start: stage.start,
            ratio: stage.ratio,
            users: stage.users,
            srm: SrmEvidence::from_stage(stage, policy),
            qos: stage.qos.candidate.result().map(|arm| QosEvidence::from(&arm)),
            guardrails: stage.guardrails.iter().map(|finding| finding.judged).collect(),
            own_past: stage.own_past.clone(),
            slices: SliceEvidence::from_stage(stage, metrics),
        }
    }
}
