//! What became of each target.

use serde::Serialize;

use crate::publish::target::{PlannedChange, TargetUsers};

/// What became of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetOutcome {
    /// It holds the publication now.
    Applied,
    /// It held it already.
    Unchanged,
    /// It would change: a dry run.
    Planned,
    /// It refused, or could not be reached; what it held before is in force.
    Failed,
}

impl TargetOutcome {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Planned => "planned",
            Self::Failed => "failed",
        }
    }
}

/// A target's line in the report.
#[derive(Debug, Clone, Serialize)]
pub struct TargetReport {
    /// Its address, without credentials.
    pub target: String,
    /// What became of it.
    pub outcome: TargetOutcome,
    /// The version it held before.
    pub held: Option<String>,
    /// What changed, or would.
    pub changes: Vec<PlannedChange>,
    /// Users, if they are published there.
    pub users: Option<TargetUsers>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What became of all targets.
#[derive(Debug, Clone, Serialize)]
pub struct PublishReport {
    /// Name and version of this document's form.
    pub schema: String,
    /// The plan's id.
    pub plan_id: String,
    /// The version that was published.
    pub version: String,
    /// Its targets, in the order of the command line.
    pub targets: Vec<TargetReport>,
}

impl PublishReport {
    /// Whether a target failed.
    pub fn has_failed(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.outcome == TargetOutcome::Failed)
    }
}
