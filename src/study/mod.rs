//! The stages on files: the pipeline of `sluice run`, and queries over a whole layer table.
//!
//! [`run`] is the pipeline. Each of its stages is also a command of its own.

mod decisions;
mod load;
mod pipeline;
pub mod who;

pub use decisions::{Decided, evidence_digest, rewrite_schedule, schedule};
pub use pipeline::{
    LayerOptions, RampFindings, RfmTable, Study, analyze, layer, layer_at, replay, replay_inputs, report,
    run, verify,
};
