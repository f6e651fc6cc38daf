//! What a decision rests on: the layer, its state, and the evidence.

use crate::base::time::Micros;
use crate::ramp::evidence::StageEvidence;
use crate::ramp::state::LayerState;
use crate::scenario::{Layer, Plan};

/// What a layer's decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The layer in the plan.
    pub layer: &'a Layer,
    /// Where it stands.
    pub state: &'a LayerState,
    /// Where the tenant's layers stand, in plan order.
    pub tenant_states: &'a [LayerState],
    /// What is known; `None` when the log says nothing of the layer.
    pub evidence: Option<&'a StageEvidence>,
    /// Share of the log's rows in another release than bucket and ratio say; 0 where that cannot be
    /// recomputed.
    pub misassigned: f64,
    /// Now.
    pub as_of: Micros,
}
