//! `--engine spark|sail`, `sluice kernel`: the scan of a replay on many machines.
//!
//! `job` says what a task must know. `runner` starts the engine on the driver's side; `kernel` is one
//! task on the side of the executors, and `streams` the Arrow streams between them. The tasks
//! themselves are in [`crate::replay`].

mod job;
mod kernel;
mod options;
mod runner;
mod streams;

pub use job::{Job, absolute};
pub use kernel::{TaskKind, run_task};
pub use options::{Engine, EngineOptions};
pub use runner::{EngineRunner, PreparedRunner, prepare};
