//! The inputs of a decision: the layer, its state and the evidence.

use crate::analysis::StageAnalysis;
use crate::base::time::Micros;
use crate::ramp::coverage::Coverage;
use crate::ramp::evidence::StageEvidence;
use crate::ramp::state::LayerState;
use crate::scenario::{LATENCY_P95, Layer, Plan};

/// The inputs of a layer's decision.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The plan of the ramp.
    pub plan: &'a Plan,
    /// The layer to decide, with its settings in the plan.
    pub layer: &'a Layer,
    /// State of the layer before the decision: its ratio, the start of the ratio, and the last
    /// rollback.
    pub state: &'a LayerState,
    /// States of all layers of the tenant, in plan order.
    pub tenant_states: &'a [LayerState],
    /// Evidence on the current stage. `None` if the log has no data on the layer.
    pub evidence: Option<&'a StageEvidence>,
    /// The analyzed stage behind the evidence, whose values the texts of checks show. `None` for
    /// simulations, and without a stage.
    pub stage: Option<&'a StageAnalysis>,
    /// Coverage of the whole log. `None` for evidence without users, such as simulations and
    /// counters.
    pub coverage: Option<&'a Coverage<'a>>,
    /// Share of the log's rows in another arm than bucket and ratio imply, 0..=1. It is 0 if the
    /// assignment cannot be recomputed.
    pub misassigned: f64,
    /// Time of the decision, microseconds, UTC.
    pub as_of: Micros,
}

impl Situation<'_> {
    /// The values of a metric of baseline and candidate in the stage. `None` without an effect.
    pub(super) fn values(&self, metric: &str) -> Option<[f64; 2]> {
        let stage = self.stage?;
        let effect = if metric == LATENCY_P95 {
            stage.latency_p95_ms.effect.result().ok()
        } else {
            let of_metric = stage.metrics.iter().find(|of| of.metric == metric);
            of_metric.and_then(|of| of.effect.result().ok())
        };
        effect.map(|effect| [effect.control, effect.treatment])
    }

    /// The sum of a metric's numerator of the candidate in the stage.
    pub(super) fn events(&self, metric: &str) -> Option<f64> {
        let of_metric = self.stage?.metrics.iter().find(|of| of.metric == metric)?;
        of_metric
            .candidate
            .estimate
            .map(|_| of_metric.candidate.numerator)
    }
}
