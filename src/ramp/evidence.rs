//! What a decision looks at: a layer's current stage, reduced to numbers. Made from an analysis, or drawn by the simulator.

use crate::{
    analysis::{LayerAnalysis, StageAnalysis, UserCounts},
    bucket::Ratio,
    qos::{Judged, QosArm},
    scenario::{Policy, Sequential},
    stats::{Interval, Reason, srm::SrmTest},
    time::Micros,
};

/// What is known of a layer's current stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// First instant of the stage, microseconds.
    pub start: Micros,
    /// The ratio in force.
    pub ratio: Ratio,
    /// Distinct users.
    pub users: UserCounts,
    /// Sample ratio of the users; `None` when one arm was planned alone, or nobody came.
    pub srm: Option<SrmTest>,
    /// The candidate's quality.
    pub qos: Result<QosEvidence, Reason>,
    /// One judgement for each of the plan's guardrails, in their order.
    pub guardrails: Vec<Judged>,
}

/// The candidate's quality, as far as a decision looks at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QosEvidence {
    /// The estimate.
    pub qos: f64,
    /// The estimate rounded to four decimals, as the source document's rule sees it.
    pub point: f64,
    /// Interval for one planned look.
    pub ci: Interval,
    /// Interval that holds at every look.
    pub anytime: Interval,
}

impl QosEvidence {
    /// The interval that a policy looks at.
    pub fn interval(&self, policy: &Policy) -> Interval {
        match policy.sequential {
            Sequential::Anytime => self.anytime,
            Sequential::Fixed => self.ci,
        }
    }
}

impl From<&QosArm> for QosEvidence {
    fn from(arm: &QosArm) -> Self {
        Self { qos: arm.value.qos, point: arm.point, ci: arm.ci, anytime: arm.anytime }
    }
}

impl Evidence {
    /// What an analysis says of a layer now; `None` without a stage.
    pub fn of(layer: &LayerAnalysis) -> Option<Self> {
        layer.current().map(Self::of_stage)
    }

    /// What an analysis says of a stage.
    pub fn of_stage(stage: &StageAnalysis) -> Self {
        Self {
            start: stage.start,
            ratio: stage.ratio,
            users: stage.users,
            srm: stage.srm,
            qos: stage.qos.candidate.result().map(|arm| QosEvidence::from(&arm)),
            guardrails: stage.guardrails.iter().map(|finding| finding.judged).collect(),
        }
    }
}
