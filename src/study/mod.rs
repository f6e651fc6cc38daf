//! The stages on files: the pipeline of `sluice run`, and queries over a whole layer table.
//!
//! [`run`] is the pipeline. Each of its stages is also a command of its own.

mod decisions;
pub(crate) mod guards;
pub(crate) mod inputs;
mod layering;
mod load;
mod pipeline;
mod user_tables;
pub mod who;

pub use decisions::{Decided, evidence_digest, rewrite_schedule, schedule};
pub use guards::GuardFinding;
pub use layering::{LayerOptions, RfmTable, layer, layer_at};
pub use load::{carry, carry_state};
pub(crate) use pipeline::write_manifest;
pub use pipeline::{RampFindings, Study, analyze, replay, replay_inputs, report, run, verify};
