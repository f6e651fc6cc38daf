//! `night.json`: what one night read, found, decided and published, and what it took.

use serde::{Deserialize, Serialize};

use crate::base::json::Document;
use crate::base::progress::StageRecord;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::gate::GateOutcome;
use crate::notify::Delivery;
use crate::ramp::Verdict;
use crate::replay::RowCounts;
use crate::study::GuardFinding;

/// The document `night.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NightReport {
    /// Name and version of the document's format.
    pub schema: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// End of the night's data, exclusive, microseconds, UTC.
    pub as_of: Micros,
    /// Name of the night whose cube this night continued. `None` if the whole log was scanned.
    pub since: Option<String>,
    /// Counts of all rows of the log by category.
    pub rows: RowCounts,
    /// Digest of the stages of all layers at `as_of`. A later night continues this night's cube only
    /// if its operations give the same stages.
    pub stages_digest: String,
    /// Results of the guards, in the order of their keys.
    pub guards: Vec<GuardFinding>,
    /// Outcome of the gate.
    pub gate: GateOutcome,
    /// The decisions by tenant and layer, in plan order.
    pub layers: Vec<NightLayer>,
    /// Time when the publication began, microseconds, UTC. `None` before.
    pub publication_begun: Option<Micros>,
    /// The targets in the order of the command line. Empty if none were given.
    pub targets: Vec<NightTarget>,
    /// What was sent to people. Empty if nothing was to be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Delivery>,
    /// Durations, rows, bytes and memory of the stages, in the order in which they ended.
    pub stages: Vec<StageRecord>,
    /// Exit code of the night. `None` while it is not finished.
    pub exit_code: Option<u8>,
}

impl Document for NightReport {
    const SCHEMA: &'static str = "sluice.night/1";
}

/// The decision on one layer of one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NightLayer {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Verdict on the layer.
    pub verdict: Verdict,
    /// Ratio before the decision.
    pub ratio: Ratio,
    /// Ratio after the decision.
    pub next_ratio: Ratio,
}

/// What became of the publication at one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NightTarget {
    /// The address of the target, without credentials.
    pub target: String,
    /// `applied`, `unchanged` or `failed`.
    pub outcome: String,
    /// Time when the target took the publication, microseconds, UTC. `None` if it failed. For an
    /// unchanged target the time when that was seen.
    pub at: Option<Micros>,
    /// The reason for a failure; `None` without one.
    pub error: Option<String>,
}
