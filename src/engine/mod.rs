//! `--engine spark|sail`, `sluice kernel`: the scan of a replay on many machines.
//!
//! `job` says what a task must know. `runner` starts the engine on the driver's side, in a
//! `driver_process`; `kernel` is one task on the side of the executors, and `streams` the Arrow
//! streams between them. `tables` are logs that the engine reads itself: `log` asks for their columns,
//! and `rows` is the task that takes their rows. `orphan` ends a task whose engine is gone. The tasks
//! themselves are in [`crate::replay`].

mod driver_process;
mod job;
mod kernel;
mod log;
mod options;
mod orphan;
mod path;
mod rows;
mod runner;
mod streams;
mod tables;

pub use job::Job;
pub use kernel::{TaskKind, run_task};
pub use log::{EngineLog, add_columns};
pub use options::{Engine, EngineOptions, Reader};
pub use orphan::end_without_reader;
pub use path::absolute;
pub use rows::run_rows_task;
pub use runner::{EngineRunner, PreparedRunner, prepare};
