//! The gate report: checks, their outcomes, and what was judged.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::exit_code;
use crate::base::time::Micros;
use crate::input::SourceFile;

pub(super) const SCHEMA: &str = "sluice.gate/2";

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
    /// `C1` to `C5`, `record`, `output`, `approval`, `canary`, or `ramp` for checks of a schedule.
    pub gate: String,
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
    /// The numbers and cases behind it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
    /// Who lifted it, until when and why; it warns then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
}

impl GateCheck {
    /// Its name among the tests of a statement.
    pub(super) fn test_name(&self) -> String {
        let stratum = [&self.tenant, &self.layer]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| format!(":{part}"))
            .collect::<String>();
        let how = if self.outcome == GateOutcome::Inconclusive {
            ":inconclusive"
        } else {
            ""
        };
        format!("{}:{}{stratum}{how}", self.gate, self.check)
    }
}

/// A release that a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its id.
    pub release_id: String,
    /// `sha256:<hex>` of its record.
    pub digest: String,
}

/// `gate_report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Name and version of this document's form.
    pub schema: String,
    /// The plan's id; empty for the gate of a release.
    pub plan_id: String,
    /// The release users have today.
    pub baseline: String,
    /// The release being ramped.
    pub candidate: String,
    /// End of what is known, microseconds; `None` where nothing depends on it.
    pub as_of: Option<Micros>,
    /// Digest of what the checks rest on: the analysis, or the list of inputs.
    pub evidence_digest: String,
    /// The worst outcome of all checks.
    pub outcome: GateOutcome,
    /// Every check: those of the layers in plan order, then those of the data.
    pub checks: Vec<GateCheck>,
    /// Candidate and baseline, by their records' digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// Digest of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
    /// What was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<SourceFile>,
    /// What was not checked, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
    /// Every metric that was compared, with its numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Value>,
    /// What to return first, if something got worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Value>,
}
