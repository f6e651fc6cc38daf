//! `--engine spark|sail`, `sluice kernel`: layering and the scan of a replay on many machines.
//!
//! `job` says what a task must know. `runner` starts the engine on the driver's side, in a
//! `driver_process`; `kernel` is one task on the side of the executors, and `streams` the Arrow
//! streams between them. `orphan` ends a task whose engine is gone. `runners` has the stages of a whole
//! study. The tasks themselves are in [`crate::layer`] and [`crate::replay`].

mod driver_process;
mod job;
mod kernel;
mod options;
mod orphan;
mod runner;
mod runners;
mod streams;

pub use job::{Job, LayerSettings, ScenarioText, Work, absolute, planned};
pub use kernel::{TaskKind, join_counts, run_layer_task, run_task};
pub use options::{Engine, EngineOptions};
pub use orphan::end_without_reader;
pub use runner::{EngineRunner, PreparedRunner, prepare_layer, prepare_replay};
pub use runners::EngineRunners;
