//! The gate: every check folded to one outcome that a pipeline can act on. Missing evidence is
//! inconclusive, never a pass.
//!
//! There are two gates. `study_checks` holds the gate of a study: checks of a ramp's decisions and
//! of its data. `release_gate` drives the gate of a release, whose checks stand in one file a
//! subject: `record`, `tool_schema`, `evaluation`, `forbidden`, `injection`, `cost`, `write_tools`,
//! `canary`, `approvals`.
//!
//! A new check of a study goes to `study_checks`. A new check of a release goes to the file of its
//! subject, gets its id, its gate and its strictness in [`CHECKS`] (`policy`), and is called from
//! `release_gate`; what it reads is a field of [`GateEvidence`] (`evidence`).

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
