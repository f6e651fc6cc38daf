//! Where a ramp stands.

use serde::{Deserialize, Serialize};

use crate::{bucket::Ratio, replay::stages_of, scenario::Plan, time::Micros};

/// Where every layer of every tenant stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RampState {
    /// Name and version of this document's form.
    pub schema: String,
    /// The plan's id.
    pub plan_id: String,
    /// The release being ramped.
    pub candidate: String,
    /// Digest of the evidence that the last decisions rest on; `None` before the first.
    pub evidence_digest: Option<String>,
    /// Per tenant and layer, in plan order.
    pub layers: Vec<LayerState>,
}

/// Where a layer stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerState {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// The ratio in force.
    pub ratio: Ratio,
    /// Since when, microseconds.
    pub since: Micros,
    /// The last rollback, if there was one: when, and of which release.
    pub rolled_back: Option<(Micros, String)>,
}

impl RampState {
    /// The state that the plan's operations lead to at `as_of`, for these tenants.
    pub fn from_plan(plan: &Plan, tenants: &[String], as_of: Micros) -> Self {
        let layer_state = |tenant: &String, idx: usize| {
            let stages = stages_of(plan, idx, as_of);
            let fell = stages.windows(2).rfind(|pair| pair[1].ratio == Ratio::ZERO && pair[0].ratio > Ratio::ZERO);
            let current = stages.last();
            LayerState {
                tenant: tenant.clone(),
                layer: plan.layers[idx].id.clone(),
                ratio: current.map_or(Ratio::ZERO, |stage| stage.ratio),
                since: current.map_or(plan.start, |stage| stage.start),
                rolled_back: fell.map(|pair| (pair[1].start, plan.candidate.clone())),
            }
        };
        Self {
            schema: "sluice.state/1".into(),
            plan_id: plan.id.clone(),
            candidate: plan.candidate.clone(),
            evidence_digest: None,
            layers: tenants.iter().flat_map(|tenant| (0..plan.layers.len()).map(move |idx| layer_state(tenant, idx))).collect(),
        }
    }

    /// The state of a layer.
    pub fn layer(&self, tenant: &str, layer: &str) -> Option<&LayerState> {
        self.layers.iter().find(|state| state.tenant == tenant && state.layer == layer)
    }
}
