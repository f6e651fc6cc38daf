//! The result of a run: its changes of ratios, how it ended, and what it exposed.

use crate::bucket::Ratio;
use crate::ramp::CheckName;
use crate::scenario::{Guardrail, Plan};

/// A change of the ratio of one layer in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RatioChange {
    pub(super) window: u32,
    pub(super) layer: u8,
    pub(super) from: Ratio,
    pub(super) to: Ratio,
    /// The check behind a rollback. `None` for other changes.
    pub(super) cause: Option<Cause>,
}

/// The kind of the check that caused a rollback, and the index of its guardrail. `None` if the
/// check has no guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) kind: &'static str,
    pub(super) guardrail: Option<u8>,
}

impl Cause {
    /// The cause of a check. Guardrails are those of its plan.
    pub(super) fn new(name: CheckName<'_>, guardrails: &[Guardrail]) -> Self {
        let idx = |metric| guardrails.iter().position(|guardrail| guardrail.metric == metric);
        Self {
            kind: name.kind,
            guardrail: name.metric.and_then(idx).map(|idx| idx as u8),
        }
    }

    /// Id of the metric of the check's guardrail.
    pub(super) fn metric(self, plan: &Plan) -> Option<&str> {
        let guardrail = plan.guardrails.get(usize::from(self.guardrail?))?;
        Some(&guardrail.metric)
    }
}

/// The step at which a layer stands at the end of a run, and the check that blocks it. `None` if
/// the last decision promoted the layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ending {
    pub(super) layer: u8,
    pub(super) ratio: Ratio,
    pub(super) cause: Option<Cause>,
}

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RunOutcome {
    /// Window in which all layers were first at the end of their ladders. `None` if that never
    /// happened.
    pub(super) full_at: Option<u32>,
    pub(super) changes: Vec<RatioChange>,
    /// Whether a sample-ratio mismatch blocked a decision.
    pub(super) srm_halt: bool,
    /// The layers that are not at the end of their ladders, of a run that ends at the horizon
    /// without a rollback. Empty for other runs.
    pub(super) unfinished: Vec<Ending>,
    /// Number of distinct users and of requests that the candidate answered.
    pub(super) users: f64,
    pub(super) requests: f64,
    /// Number of distinct users that would be exposed if each request were assigned at random.
    pub(super) coin_users: f64,
    /// Harm by metric model, in events or units of the metric.
    pub(super) harm: Vec<f64>,
    /// Number of users exposed at the first rollback, in the layers rolled back then. `None`
    /// without a rollback.
    pub(super) users_at_rollback: Option<f64>,
}

impl RunOutcome {
    pub(super) fn rollback(&self) -> Option<&RatioChange> {
        self.changes.iter().find(|change| change.to == Ratio::ZERO)
    }
}
