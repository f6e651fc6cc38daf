//! The gate: all checks, combined into one outcome for a release pipeline. Missing evidence is
//! inconclusive, never a pass.
//!
//! There are two gates. `study_checks` is the gate of a study: checks of a ramp's decisions and of
//! its data. `release_gate` is the gate of a release. Its checks have one file per subject:
//! `record`, `tool_schema`, `eval_cases`, `evaluation`, `slices`, `forbidden`, `injection`, `cost`,
//! `write_tools`,
//! `canary`, `approvals`.
//!
//! A new check of a study belongs in `study_checks`. A new check of a release belongs in the file
//! of its subject. Its name, gate and default strictness are listed in [`CHECKS`] (`strictness`), it is
//! called from `release_gate`, and its inputs are fields of [`GateEvidence`] (`evidence`).

mod approvals;
mod canary;
mod checklist;
mod cost;
mod document;
mod eval_cases;
mod evaluation;
mod evidence;
mod forbidden;
mod injection;
mod layer_slices;
mod policy;
mod record;
mod release_gate;
mod slices;
mod statement;
mod strictness;
mod study_checks;
mod tool_schema;
mod write_tools;

pub use approvals::parse_approvals;
pub use document::{GateCheck, GateOutcome, GateReport, Subject};
pub use evidence::{Approval, Evals, GateEvidence};
pub use policy::GatePolicy;
pub use release_gate::gate_release;
pub use statement::Statement;
pub use strictness::{CHECKS, Strictness};
pub use study_checks::{gate, unreachable_steps};
