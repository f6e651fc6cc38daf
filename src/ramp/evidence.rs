//! What a decision looks at: a layer's current stage, reduced to numbers. Made from an analysis, or
//! drawn by the simulator.

use crate::analysis::{LayerAnalysis, StageAnalysis, StageThen, UserCounts};
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::qos::{Judged, QosArm};
use crate::scenario::{Policy, Sequential};
use crate::stats::{Interval, Reason, srm};

/// What is known of a layer's current stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageEvidence {
    /// First instant of the stage, microseconds.
    pub start: Micros,
    /// The ratio in force.
    pub ratio: Ratio,
    /// Distinct users.
    pub users: UserCounts,
    /// Sample ratio of the users; `None` when one arm was planned alone, or nobody came.
    pub srm: Option<SrmEvidence>,
    /// The candidate's quality.
    pub qos: Result<QosEvidence, Reason>,
    /// One judgement for each of the plan's guardrails, in their order.
    pub guardrails: Vec<Judged>,
}

/// A sample ratio, as a policy looks at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SrmEvidence {
    /// For one planned look, or for every look.
    pub p_value: f64,
    /// Largest absolute difference between an observed and a planned share.
    pub max_abs_deviation: f64,
}

impl SrmEvidence {
    /// Of users of both arms, as this policy looks at them. `None` where one arm was planned alone,
    /// or nobody came.
    pub fn new(users: [f64; 2], share: f64, policy: &Policy) -> Option<Self> {
        let planned = [1.0 - share, share];
        match policy.sequential {
            Sequential::Fixed => {
                let test = srm::chi_square(&users, &planned)?;
                Some(Self {
                    p_value: test.p_value,
                    max_abs_deviation: test.max_abs_deviation,
                })
            }
            Sequential::Anytime => {
                let is_tested = share > 0.0 && share < 1.0 && users[0] + users[1] > 0.0;
                is_tested.then(|| Self {
                    p_value: (-srm::log_bayes_factor(&users, &planned, srm::CONCENTRATION))
                        .exp()
                        .min(1.0),
                    max_abs_deviation: srm::max_abs_deviation(&users, &planned),
                })
            }
        }
    }
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
        }
    }
}

impl StageEvidence {
    /// What an analysis says of a layer now, as a policy looks at it; `None` without a stage.
    pub fn from_layer(layer: &LayerAnalysis, policy: &Policy) -> Option<Self> {
        layer.current().map(|stage| Self::from_stage(stage, policy))
    }

    /// What an analysis says of a stage.
    pub fn from_stage(stage: &StageAnalysis, policy: &Policy) -> Self {
        let users = [stage.users.baseline as f64, stage.users.candidate as f64];
        Self {
            start: stage.start,
            ratio: stage.ratio,
            users: stage.users,
            srm: SrmEvidence::new(users, stage.ratio.share(), policy),
            qos: stage.qos.candidate.result().map(|arm| QosEvidence::from(&arm)),
            guardrails: stage.guardrails.iter().map(|finding| finding.judged).collect(),
        }
    }
}
