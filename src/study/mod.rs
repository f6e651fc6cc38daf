//! The stages on files: the pipeline of `sluice run`, and the questions that stream a whole table.
//!
//! [`run`] is the pipeline, read from top to bottom; every stage of it is a command of its own.

mod load;
mod pipeline;
pub mod who;

pub use pipeline::{
    LayerOptions, RampFindings, RfmTable, Study, analyze, gate, layer, layer_at, replay, replay_inputs,
    report, run, schedule, verify,
};
