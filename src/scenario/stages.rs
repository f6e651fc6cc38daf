//! Stages: the periods in which a layer's ratio is constant.

use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::scenario::plan::{Operation, Plan};

/// The largest number of stages of a layer. The number of a stage is stored in a byte.
pub const MAX_STAGES: usize = 256;

/// A period with one ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// First instant, microseconds, UTC.
    pub start: Micros,
    /// End, exclusive, microseconds, UTC.
    pub end: Micros,
    /// The ratio in force: the share of eligible users who get the candidate. It is also the
    /// propensity of the candidate.
    pub ratio: Ratio,
}

/// Returns the stages of a tenant's layer from the plan's start to `as_of`. Operations at or after
/// `as_of` are left out. An operation that does not change the ratio does not end a stage.
pub fn stages_of(plan: &Plan, tenant: &str, layer_idx: usize, as_of: Micros) -> Vec<Stage> {
    let mut stages = vec![Stage {
        start: plan.start,
        end: as_of,
        ratio: Ratio::ZERO,
    }];
    let concerns = |o: &&Operation| {
        o.layer_idx == layer_idx && o.at < as_of && o.tenant.as_ref().is_none_or(|other| other == tenant)
    };
    for operation in plan.operations.iter().filter(concerns) {
        let last = stages.len() - 1;
        if operation.ratio == stages[last].ratio {
            continue;
        }
        if operation.at == stages[last].start {
            stages[last].ratio = operation.ratio;
        } else {
            stages[last].end = operation.at;
            stages.push(Stage {
                start: operation.at,
                end: as_of,
                ratio: operation.ratio,
            });
        }
    }
    stages
}
