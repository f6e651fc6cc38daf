//! Stages: the periods in which a layer's ratio is constant.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::scenario::plan::{Operation, Plan};

/// The largest number of stages of a layer. The number of a stage is stored in a byte.
pub const MAX_STAGES: usize = 256;

/// A period with one ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// First instant at which the ratio is in force everywhere, microseconds, UTC.
    pub start: Micros,
    /// End, exclusive, microseconds, UTC.
    pub end: Micros,
    /// The ratio in force: the share of eligible users who get the candidate. It is also the
    /// propensity of the candidate.
    pub ratio: Ratio,
    /// First instant at which some users could have the ratio, microseconds, UTC. `None` if it is
    /// `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changing_since: Option<Micros>,
    /// Instant from which some users may have the next ratio, which is not in force everywhere at
    /// the end of the data, microseconds, UTC. `None` if no change is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed_since: Option<Micros>,
}

impl Stage {
    fn changing_since(&self) -> Micros {
        self.changing_since.unwrap_or(self.start)
    }
}

/// Returns the stages of a tenant's layer from the plan's start to `as_of`. Operations at or after
/// `as_of`, and those of other candidates, are left out. An operation that does not change the
/// ratio does not end a stage.
pub fn stages_of(plan: &Plan, tenant: &str, layer_idx: usize, as_of: Micros) -> Vec<Stage> {
    let concerns =
        |o: &&Operation| o.layer_idx == layer_idx && o.tenant.as_ref().is_none_or(|other| other == tenant);
    stages(plan, plan.operations.iter().filter(concerns), as_of)
}

fn stages<'a>(plan: &Plan, operations: impl Iterator<Item = &'a Operation>, as_of: Micros) -> Vec<Stage> {
    let mut stages = vec![Stage {
        start: plan.start,
        end: as_of,
        ratio: Ratio::ZERO,
        changing_since: None,
        mixed_since: None,
    }];
    for operation in operations.filter(|operation| operation.concerns_candidate_of(plan)) {
        let last = stages.len() - 1;
        let stage = &mut stages[last];
        if operation.at >= as_of {
            let begun = operation.since.filter(|since| *since < as_of);
            stage.mixed_since = stage.mixed_since.into_iter().chain(begun).min();
        } else if operation.at == stage.start {
            stage.ratio = operation.ratio;
        } else if operation.ratio != stage.ratio {
            stage.end = operation.at;
            stages.push(Stage {
                start: operation.at,
                end: as_of,
                ratio: operation.ratio,
                changing_since: operation.since.filter(|since| *since < operation.at),
                mixed_since: None,
            });
        }
    }
    stages
}

/// The operations of a plan by tenant and layer, for plans with many tenants.
#[derive(Debug)]
pub struct StageIndex<'a> {
    plan: &'a Plan,
    /// Operations in the plan's order, with their positions. The tenant `None` stands for all.
    by_layer: HashMap<(Option<&'a str>, usize), Vec<Placed<'a>>>,
}

/// An operation with its position in the plan.
type Placed<'a> = (usize, &'a Operation);

impl<'a> StageIndex<'a> {
    /// Creates the index of a plan's operations.
    pub fn new(plan: &'a Plan) -> Self {
        let mut by_layer: HashMap<_, Vec<_>> = HashMap::new();
        for (idx, operation) in plan.operations.iter().enumerate() {
            let key = (operation.tenant.as_deref(), operation.layer_idx);
            by_layer.entry(key).or_default().push((idx, operation));
        }
        Self { plan, by_layer }
    }

    /// Returns the operations of a tenant's layer, in the plan's order.
    pub fn operations(&self, tenant: &str, layer_idx: usize) -> Vec<&'a Operation> {
        let of = |tenant| self.by_layer.get(&(tenant, layer_idx)).into_iter().flatten();
        let mut found: Vec<&(usize, &Operation)> = of(None).chain(of(Some(tenant))).collect();
        found.sort_by_key(|(idx, _)| *idx);
        found.into_iter().map(|(_, operation)| *operation).collect()
    }

    /// Returns the stages of a tenant's layer, as [`stages_of`] does.
    pub fn stages(&self, tenant: &str, layer_idx: usize, as_of: Micros) -> Vec<Stage> {
        stages(self.plan, self.operations(tenant, layer_idx).into_iter(), as_of)
    }

    /// Returns the stages at `then`, which a cube must have to be continued until `now`. `None` if
    /// no cube of `then` can be continued: a change that was under way then is complete now, so
    /// rows that counted are in no arm.
    pub fn stages_to_continue(
        &self,
        tenant: &str,
        layer_idx: usize,
        (then, now): (Micros, Micros),
    ) -> Option<Vec<Stage>> {
        let earlier = self.stages(tenant, layer_idx, then);
        let later = self.stages(tenant, layer_idx, now);
        let is_same = |(earlier, later): (&Stage, &Stage)| {
            earlier.mixed_since.is_none() || earlier.mixed_since == later.mixed_since
        };
        earlier.iter().zip(&later).all(is_same).then_some(earlier)
    }
}

/// Returns the part of each stage whose rows are evidence: from the first whole window in force to
/// the beginning of the next change. Windows have the length `window` and start at the plan's
/// `start`, both in microseconds. Other rows of the stage are of users who may have either ratio.
///
/// # References
/// `docs/METHODS.md#changes-of-a-ratio`.
pub fn evidence_of(stages: &[Stage], start: Micros, window: Micros) -> Vec<Range<Micros>> {
    let mut until = Micros::MAX;
    let mut ranges: Vec<Range<Micros>> = stages
        .iter()
        .rev()
        .map(|stage| {
            let from = start + (stage.start - start + window - 1).div_euclid(window) * window;
            let range = from..until.min(stage.end).max(from);
            until = until.min(stage.changing_since());
            range
        })
        .collect();
    ranges.reverse();
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Micros = 60;

    fn stage(start: Micros, end: Micros, changing_since: Option<Micros>) -> Stage {
        Stage {
            start,
            end,
            ratio: Ratio::ZERO,
            changing_since,
            mixed_since: None,
        }
    }

    #[test]
    fn evidence_starts_with_a_whole_window_and_ends_with_the_next_change() {
        let check = |stages: &[Stage], expected: &[[Micros; 2]]| {
            let ranges = evidence_of(stages, 0, HOUR).into_iter();
            let found: Vec<[Micros; 2]> = ranges.map(|range| [range.start, range.end]).collect();
            assert_eq!(found, expected);
        };
        check(&[stage(0, 600, None)], &[[0, 600]]);
        check(
            &[stage(0, 120, None), stage(120, 600, None)],
            &[[0, 120], [120, 600]],
        );
        check(
            &[stage(0, 121, None), stage(121, 600, None)],
            &[[0, 121], [180, 600]],
        );
        // Some targets had the ratio from 90 on, all of them from 179 on.
        check(
            &[stage(0, 179, None), stage(179, 600, Some(90))],
            &[[0, 90], [180, 600]],
        );
        // A change that began before the stage before it leaves that stage without evidence.
        check(
            &[
                stage(0, 100, None),
                stage(100, 300, None),
                stage(300, 600, Some(80)),
            ],
            &[[0, 80], [120, 120], [300, 600]],
        );
        // The first whole window is after the end of the data.
        check(
            &[stage(0, 590, None), stage(590, 595, None)],
            &[[0, 590], [600, 600]],
        );
    }
}
