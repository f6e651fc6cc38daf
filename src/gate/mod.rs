//! The gate: every check of a ramp folded to one outcome that a pipeline can act on. Missing evidence is inconclusive, never a pass.

mod checks;

use serde::{Deserialize, Serialize};

use crate::{analysis::Analysis, error::exit_code, layer::LayerSummary, ramp::Schedule, scenario::Plan, time::Micros};

/// How a check or the whole gate came out, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// Fine.
    Pass,
    /// Fine, but look at it.
    Warn,
    /// Evidence is missing.
    Inconclusive,
    /// Not fine.
    Fail,
}

impl GateOutcome {
    /// The word of documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }

    /// The exit code that tells scripts.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass | Self::Warn => exit_code::DONE,
            Self::Inconclusive => exit_code::GATE_INCONCLUSIVE,
            Self::Fail => exit_code::GATE_FAILED,
        }
    }
}

/// One check of the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateCheck {
    /// Which check.
    pub check: String,
    /// The tenant; empty where the check is about the whole study.
    pub tenant: String,
    /// The layer's id; empty where the check is about the whole study.
    pub layer: String,
    /// How it came out.
    pub outcome: GateOutcome,
    /// What was found.
    pub detail: String,
    /// What would make it pass; `None` if it does.
    pub remedy: Option<String>,
}

/// `gate_report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Name and version of this document's form.
    pub schema: String,
    /// The plan's id.
    pub plan_id: String,
    /// The release users have today.
    pub baseline: String,
    /// The release being ramped.
    pub candidate: String,
    /// End of what is known, microseconds.
    pub as_of: Micros,
    /// Digest of the analysis that the checks rest on.
    pub evidence_digest: String,
    /// The worst outcome of all checks.
    pub outcome: GateOutcome,
    /// Every check: those of the layers in plan order, then those of the data.
    pub checks: Vec<GateCheck>,
}

/// Folds a schedule's decisions and the data's quality to one report.
pub fn gate(plan: &Plan, layering: &LayerSummary, analysis: &Analysis, schedule: &Schedule) -> GateReport {
    let mut checks = checks::of_layers(schedule);
    checks.extend(checks::of_data(plan, layering, analysis, schedule));
    // A ramp that nobody is on yet has shown nothing.
    let worst = checks.iter().map(|check| check.outcome).max().unwrap_or(GateOutcome::Inconclusive);
    GateReport {
        schema: "sluice.gate/1".into(),
        plan_id: schedule.plan_id.clone(),
        baseline: schedule.baseline.clone(),
        candidate: schedule.candidate.clone(),
        as_of: schedule.as_of,
        evidence_digest: schedule.evidence_digest.clone(),
        outcome: worst,
        checks,
    }
}
