//! The gate of a study's folder: a failed one keeps promotions back.

use serde::Serialize;
use std::path::Path;

use crate::base::error::Result;
use crate::base::json;
use crate::base::manifest::file;
use crate::gate::{GateOutcome, GateReport};
use crate::ramp::{GATE, LayerSchedule, Schedule};
use crate::words::Text;

/// A layer whose promotion is kept back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptBack {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
}

/// The gate of a folder, and its effect on the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceGate {
    /// The outcome of the gate.
    pub outcome: GateOutcome,
    /// The text of its first failure; `None` if it did not fail.
    pub failure: Option<Text>,
    /// Whether the gate judged other evidence than that of the schedule.
    pub is_stale: bool,
    /// Layers whose promotions are kept back because of the gate, by this publication or by the
    /// schedule. Empty if there are none.
    pub kept_back: Vec<KeptBack>,
}

impl SourceGate {
    /// Reads the gate report of a folder, and keeps promotions of the schedule back if it failed and
    /// the schedule does not allow them. `None` without a report.
    pub(super) fn read(dir: &Path, schedule: &mut Schedule) -> Result<Option<Self>> {
        let path = dir.join(file::GATE_REPORT);
        if !path.exists() {
            return Ok(None);
        }
        let report: GateReport = json::read_document(&path)?;
        let failure = report.first_failure();
        if let Some(failure) = failure.as_ref().filter(|_| !schedule.promote_on_failed_gate) {
            schedule.keep_back(failure);
        }
        let is_kept = |layer: &&LayerSchedule| layer.first_blocking.as_deref() == Some(GATE);
        let kept = schedule.layers.iter().filter(is_kept);
        Ok(Some(Self {
            outcome: report.outcome,
            failure,
            is_stale: report.evidence_digest != schedule.evidence_digest,
            kept_back: kept
                .map(|layer| KeptBack {
                    tenant: layer.tenant.clone(),
                    layer: layer.layer.clone(),
                })
                .collect(),
        }))
    }
}
