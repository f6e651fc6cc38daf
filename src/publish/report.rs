//! The report of a publication, target by target.

use serde::Serialize;

use crate::base::error::Error;
use crate::base::time::Micros;
use crate::gate::GateOutcome;
use crate::publish::folder_gate::KeptBack;
use crate::publish::publication::Publication;
use crate::publish::target::{PlannedChange, TargetUsers};

/// The outcome of a publication at one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetOutcome {
    /// The target was written and now holds the publication.
    Applied,
    /// The target already held the publication.
    Unchanged,
    /// The target would change. This is the outcome of a dry run.
    Planned,
    /// The target refused, was not reachable or did not answer in time. What it held before is in
    /// force, or the complete new content.
    Failed,
}

impl TargetOutcome {
    /// The name of the outcome in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Planned => "planned",
            Self::Failed => "failed",
        }
    }
}

/// The report of one target: its outcome, its changes and its warnings.
#[derive(Debug, Clone, Serialize)]
pub struct TargetReport {
    /// The address of the target, without credentials.
    pub target: String,
    /// Outcome of the publication at this target.
    pub outcome: TargetOutcome,
    /// The instant just after the target took the publication, microseconds UTC, by the clock of
    /// this machine; `None` unless the outcome is `applied`.
    pub applied_at: Option<Micros>,
    /// The version that the target held before; `None` if it held none or was not readable.
    pub held: Option<String>,
    /// The changes, made or planned.
    pub changes: Vec<PlannedChange>,
    /// Counts of users; `None` if users are not published to the target or were not counted.
    pub users: Option<TargetUsers>,
    /// Warnings about this publication at this target, as text. Empty if there are none.
    pub warnings: Vec<String>,
    /// The reason for a failure; `None` without one.
    pub error: Option<String>,
}

impl TargetReport {
    /// Creates the report of a target that is not finished.
    pub(super) fn new(target: String) -> Self {
        Self {
            target,
            outcome: TargetOutcome::Failed,
            applied_at: None,
            held: None,
            changes: vec![],
            users: None,
            warnings: vec![],
            error: None,
        }
    }

    /// Records a failure.
    pub(super) fn fail(&mut self, error: &Error) {
        self.outcome = TargetOutcome::Failed;
        self.error = Some(error.to_string());
    }
}

/// The report of all targets.
#[derive(Debug, Clone, Serialize)]
pub struct PublishReport {
    /// The name and version of the document's schema.
    pub schema: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// The version of the publication. A target that keeps earlier rollbacks by hand holds another
    /// version.
    pub version: String,
    /// The outcome of the gate in the folder; `None` without a gate report, and in a rollback.
    pub gate: Option<GateOutcome>,
    /// Layers whose promotions are kept back because the gate failed. Empty if there are none.
    pub kept_back: Vec<KeptBack>,
    /// The targets of a rollback that failed, so they may still serve the candidate. Empty if there
    /// are none, and for other publications.
    pub still_open: Vec<String>,
    /// The targets, in the order of the command line.
    pub targets: Vec<TargetReport>,
}

impl PublishReport {
    /// Whether at least one target failed.
    pub fn has_failed(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.outcome == TargetOutcome::Failed)
    }
}

/// What every target holds of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct PublishStatus {
    /// The name and version of the document's schema.
    pub schema: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// The targets, in the order of the command line.
    pub targets: Vec<TargetHeld>,
}

/// What a target holds of a plan, as in the document.
#[derive(Debug, Clone, Serialize)]
pub struct TargetHeld {
    /// The address of the target, without credentials.
    pub target: String,
    /// The publication in force; `None` if the target holds none of the plan, or is unreadable.
    pub held: Option<Publication>,
    /// The reason why the target could not be read; `None` without one.
    pub error: Option<String>,
}

impl PublishStatus {
    /// Creates the document of the states that were read back.
    pub fn new(plan_id: &str, states: Vec<TargetState>) -> Self {
        let held = |state: TargetState| TargetHeld {
            target: state.target,
            error: state.held.as_ref().err().cloned(),
            held: state.held.ok().flatten(),
        };
        Self {
            schema: "sluice.publish_status/1".into(),
            plan_id: plan_id.to_owned(),
            targets: states.into_iter().map(held).collect(),
        }
    }

    /// Whether at least one target could not be read.
    pub fn has_failed(&self) -> bool {
        self.targets.iter().any(|target| target.error.is_some())
    }
}

/// What a target holds of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetState {
    /// The address of the target, without credentials.
    pub target: String,
    /// The publication that the target holds; `None` if it holds none of the plan. The error, as
    /// text, if the target could not be read in time.
    pub held: Result<Option<Publication>, String>,
}
