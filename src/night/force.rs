//! The part of a ramp's state that targets decide: when each change came into force, and rollbacks
//! by hand.

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::night::document::NightTarget;
use crate::ramp::{Force, OperationRow, RampState, Verdict};
use crate::scenario::Plan;

/// Notes that the publication of a night's decisions begins: from now on some users may have the
/// new ratios. Without targets they are in force at once.
pub(super) fn begin(state: &mut RampState, as_of: Micros, now: Micros, targets: &[String]) {
    let is_of_night = |row: &&mut OperationRow| row.operate_time == as_of && row.force.is_none();
    for row in state.operations.iter_mut().filter(is_of_night) {
        row.force = Some(Force {
            begun: now,
            complete: targets.is_empty().then_some(now),
            missing: targets.to_vec(),
        });
    }
    follow(state);
}

/// Notes which targets took the changes that were under way, and when. `now` stands for a target
/// that had the publication already.
pub(super) fn end(state: &mut RampState, targets: &[NightTarget]) {
    let missing: Vec<String> = targets
        .iter()
        .filter(|target| target.at.is_none())
        .map(|target| target.target.clone())
        .collect();
    let last = targets.iter().filter_map(|target| target.at).max();
    for row in &mut state.operations {
        let Some(force) = row.force.as_mut().filter(|force| force.complete.is_none()) else {
            continue;
        };
        force.missing.clone_from(&missing);
        if missing.is_empty() {
            force.complete = Some(last.unwrap_or(force.begun).max(force.begun));
        }
    }
    follow(state);
}

/// Brings the states of layers in line with their last changes.
fn follow(state: &mut RampState) {
    for layer in &mut state.layers {
        let is_of_layer = |row: &&OperationRow| {
            row.tenant == layer.tenant && row.layer == layer.layer && row.candidate == state.candidate
        };
        let Some(row) = state.operations.iter().rfind(is_of_layer) else {
            continue;
        };
        let Some(force) = &row.force else { continue };
        match force.complete {
            None => layer.pending = Some(force.clone()),
            Some(complete) => {
                layer.pending = None;
                layer.since = complete;
            }
        }
    }
}

/// A candidate that was taken back by hand at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TakenBack {
    /// The address of the target, without credentials.
    pub(super) target: String,
    /// Time of the rollback, microseconds, UTC.
    pub(super) at: Micros,
}

/// Adds rollbacks by hand to the log: every layer with the candidate goes back to 0, in all targets.
/// Returns whether a layer had the candidate.
pub(super) fn honour(
    state: &mut RampState,
    plan: &Plan,
    taken_back: &[TakenBack],
    targets: &[String],
) -> bool {
    let Some(first) = taken_back.iter().min_by_key(|taken| taken.at) else {
        return false;
    };
    if state.candidate != plan.candidate {
        return false;
    }
    let mut is_new = false;
    for layer in state.layers.iter_mut().filter(|layer| layer.ratio > Ratio::ZERO) {
        is_new = true;
        let force = Force {
            begun: first.at,
            complete: None,
            missing: targets.to_vec(),
        };
        let operator = format!("by hand at {}", first.target);
        let by_hand = OperationRow::by_hand(
            Verdict::Rollback.name(),
            &plan.id,
            (&layer.tenant, &layer.layer),
            (layer.ratio, Ratio::ZERO),
            (first.at, &operator),
        );
        state.operations.push(OperationRow {
            candidate: plan.candidate.clone(),
            force: Some(force.clone()),
            ..by_hand
        });
        layer.ratio = Ratio::ZERO;
        layer.since = first.at;
        layer.rolled_back = Some((first.at, plan.candidate.clone()));
        layer.pending = Some(force);
    }
    is_new
}
