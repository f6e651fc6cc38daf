//! The outcome of the check of guardrails in slices of a layer.

use crate::analysis::{Analysis, LayerAnalysis, slice_counts};
use crate::gate::document::GateOutcome;
use crate::ramp::{Check, LayerSchedule, SLICES};
use crate::scenario::{Plan, SlicePolicy};

/// The outcome of a check of a trace if it is that of slices: a violation fails the gate, or warns if
/// the policy only warns. `None` for other checks.
pub(super) fn slices_outcome(
    plan: &Plan,
    analysis: &Analysis,
    layer: &LayerSchedule,
    step: &Check,
) -> Option<GateOutcome> {
    if step.check != SLICES {
        return None;
    }
    let is_layer = |other: &&LayerAnalysis| (&other.tenant, &other.layer) == (&layer.tenant, &layer.layer);
    let stage = analysis.layers.iter().find(is_layer)?.current()?;
    Some(match (slice_counts(stage).n_violated, plan.policy.slices) {
        (0, _) => GateOutcome::Pass,
        (_, SlicePolicy::Block) => GateOutcome::Fail,
        (_, SlicePolicy::Warn) => GateOutcome::Warn,
    })
}
