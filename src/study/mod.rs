//! The stages on files: the pipeline of `sluice run`, and queries over a whole layer table.
//!
//! [`run`] is the pipeline. Each of its stages is also a command of its own.

mod checkup;
mod checkup_columns;
mod checkup_document;
mod decisions;
mod export;
pub(crate) mod guards;
pub(crate) mod inputs;
mod layer_options;
mod layering;
mod load;
mod match_ids;
mod pipeline;
mod proposal;
mod propose;
mod propose_ramp;
mod rehearsal;
mod runners;
mod sample;
mod traces;
mod user_tables;
pub mod who;

pub use checkup::check_sources;
pub use checkup_document::{BadRow, Checkup, ColumnCheck, CoverageCheck, SourceCheck};
pub use decisions::{Decided, evidence_digest, rewrite_schedule, schedule};
pub use export::{Exports, export};
pub use guards::GuardFinding;
pub use layer_options::{LayerOptions, RfmTable};
pub use layering::{layer, layer_at, layer_context, users_for_tasks, with_table_of_users};
pub use load::{carry, carry_state};
pub(crate) use pipeline::write_manifest;
pub use pipeline::{
    RampFindings, Study, analyze, replay, replay_context, replay_in_tasks, replay_inputs, report, run,
    run_on, verify,
};
pub use proposal::{InitOptions, Proposal};
pub use propose::propose;
pub use runners::{NewRunners, OnThreads};
pub(crate) use traces::{traces_of, write_traces};
