//! The gate: every check of a ramp folded to one outcome that a pipeline can act on. Missing evidence is inconclusive, never a pass.

mod approvals;
mod canary;
mod checklist;
mod cost;
mod document;
mod evaluation;
mod evidence;
mod forbidden;
mod injection;
mod policy;
mod record;
mod release_gate;
mod statement;
mod study_checks;
mod tool_schema;
mod write_tools;

pub use approvals::parse_approvals;
pub use document::{GateCheck, GateOutcome, GateReport, Subject};
pub use evidence::{Approval, Evals, GateEvidence};
pub use policy::{CHECKS, GatePolicy, Strictness};
pub use release_gate::gate_release;
pub use statement::Statement;
pub use study_checks::gate;
