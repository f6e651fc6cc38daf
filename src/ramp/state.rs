//! State of a ramp: the ratio in force in each layer, its start, and the last rollback.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::base::error::{Error, Result};
use crate::base::json::Document;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::operation::{Force, OperationRow};
use crate::scenario::{Plan, Stage, StageIndex};

pub(super) const SCHEMA: &str = "sluice.state/1";

/// State of every layer of every tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RampState {
    /// Name and version of the document's format.
    pub schema: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// Digest of the layer table that the ramp started with. All its evidence must use that table.
    /// `None` before the first decisions.
    #[serde(default)]
    pub layers_digest: Option<String>,
    /// Digest of the evidence of the last decisions. `None` before the first decisions.
    pub evidence_digest: Option<String>,
    /// States by tenant and layer, in plan order.
    pub layers: Vec<LayerState>,
    /// All changes of ratios that Sluice has decided in this ramp, in time order. Empty before the
    /// first change.
    #[serde(default)]
    pub operations: Vec<OperationRow>,
}

impl Document for RampState {
    const SCHEMA: &'static str = SCHEMA;
}

/// State of one layer of one tenant, between two schedules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerState {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The ratio in force: the share of eligible users who get the candidate.
    pub ratio: Ratio,
    /// Start of the ratio in force, microseconds, UTC.
    pub since: Micros,
    /// The last rollback: its time in microseconds, UTC, and the release. `None` if there was none.
    pub rolled_back: Option<(Micros, String)>,
    /// The part of the ratio's change that is missing. `None` if the ratio is in force everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Force>,
}

impl LayerState {
    /// Takes over the state after the last of some stages of the plan. A rollback that left no stage
    /// stays, because the layer was at 0 when the plan was rolled back as a whole.
    pub(crate) fn follow(&mut self, plan: &Plan, stages: &[Stage]) {
        let fell = stages
            .windows(2)
            .rfind(|pair| pair[1].ratio == Ratio::ZERO && pair[0].ratio > Ratio::ZERO);
        let current = stages.last();
        self.ratio = current.map_or(Ratio::ZERO, |stage| stage.ratio);
        self.since = current.map_or(plan.start, |stage| stage.start);
        if let Some(pair) = fell {
            self.rolled_back = Some((pair[1].start, plan.candidate.clone()));
        }
    }
}

impl RampState {
    /// Derives the state at `as_of` from the plan's operations, for these tenants.
    pub fn from_plan(plan: &Plan, tenants: &[String], as_of: Micros) -> Self {
        let index = StageIndex::new(plan);
        let layer_state = |tenant: &String, idx: usize| {
            let mut state = LayerState {
                tenant: tenant.clone(),
                layer: plan.layers[idx].id.clone(),
                ratio: Ratio::ZERO,
                since: plan.start,
                rolled_back: None,
                pending: None,
            };
            state.follow(plan, &index.stages(tenant, idx, as_of));
            state
        };
        Self {
            schema: SCHEMA.into(),
            plan_id: plan.id.clone(),
            candidate: plan.candidate.clone(),
            layers_digest: None,
            evidence_digest: None,
            layers: tenants
                .iter()
                .flat_map(|tenant| (0..plan.layers.len()).map(move |idx| layer_state(tenant, idx)))
                .collect(),
            operations: Vec::new(),
        }
    }

    /// Refuses a state of another plan or of other layers.
    pub(super) fn check_plan(&self, plan: &Plan) -> Result<()> {
        if self.plan_id != plan.id {
            return Err(differs(plan, &format!("that of plan {}", self.plan_id)));
        }
        for of_tenant in self.layers.chunk_by(|a, b| a.tenant == b.tenant) {
            if !of_tenant
                .iter()
                .map(|state| &state.layer)
                .eq(plan.layers.iter().map(|layer| &layer.id))
            {
                let ids: Vec<&str> = of_tenant.iter().map(|state| state.layer.as_str()).collect();
                return Err(differs(plan, &format!("layers {}", ids.join(", "))));
            }
        }
        Ok(())
    }

    /// Whether the log has the change that a layer's ratio came from. A change is decided at `as_of`,
    /// and comes into force after it.
    fn is_logged(&self, state: &LayerState) -> bool {
        self.operations.iter().any(|row| {
            (&row.tenant, &row.layer) == (&state.tenant, &state.layer)
                && [Some(row.operate_time), row.in_force()].contains(&Some(state.since))
        })
    }

    /// Prepares the state for a schedule of this plan. It adds tenants that are new in the
    /// evidence. Under a new release it returns all layers to the baseline.
    ///
    /// # Errors
    /// The state belongs to another plan or to other layers, it is malformed, or the evidence uses
    /// another layer table than the ramp.
    pub fn for_plan(
        mut self,
        plan: &Plan,
        tenants: &[String],
        as_of: Micros,
        layers_digest: &str,
    ) -> Result<Self> {
        self.check_plan(plan)?;
        let mut seen = BTreeSet::new();
        let unique = self
            .layers
            .iter()
            .all(|state| seen.insert((&state.tenant, &state.layer)));
        let in_time = self
            .layers
            .iter()
            .all(|state| state.since >= plan.start && (state.since <= as_of || self.is_logged(state)));
        if self.schema != SCHEMA || !unique || !in_time {
            return Err(differs(
                plan,
                "one of another version, with layers twice, or with instants outside of the plan",
            ));
        }
        if self.candidate != plan.candidate {
            // A new release starts a new ramp, which may use a new layer table.
            self.layers_digest = None;
            for state in self.layers.iter_mut().filter(|state| state.ratio > Ratio::ZERO) {
                state.ratio = Ratio::ZERO;
                state.since = as_of;
                state.pending = None;
            }
        }
        // Counters have no layer table, so they leave the ramp's table unchanged.
        if !layers_digest.is_empty() {
            if let Some(pinned) = self
                .layers_digest
                .as_ref()
                .filter(|pinned| *pinned != layers_digest)
            {
                return Err(Error::input(
                    "analysis",
                    format!("expected evidence on the layer table that the ramp started with, {pinned}, found evidence on {layers_digest}"),
                )
                .hint("layers are frozen while a release is ramped: replay the traffic with the table of the plan's start"));
            }
            self.layers_digest = Some(layers_digest.to_owned());
        }
        let known: BTreeSet<&str> = self.layers.iter().map(|state| state.tenant.as_str()).collect();
        let new: Vec<String> = tenants
            .iter()
            .filter(|tenant| !known.contains(tenant.as_str()))
            .cloned()
            .collect();
        self.layers.extend(Self::from_plan(plan, &new, as_of).layers);
        Ok(self)
    }
}

fn differs(plan: &Plan, found: &str) -> Error {
    let expected = format!("expected the state of plan {} and its layers", plan.id);
    Error::input("state", format!("{expected}, found {found}"))
}
