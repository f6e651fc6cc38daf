//! The command line: one file a command, and the files that commands share.
//!
//! `driver.rs` parses the arguments and dispatches to a command. Commands do not import one
//! another: what they share is in `values.rs`, `registry.rs`, `summary.rs`,
//! `notified.rs`, `format_args.rs`, `table.rs`, `terminal.rs` and `text.rs`. Data goes to files or stdout, everything else to
//! stderr. The texts behind the options of a command are in `help/`.

mod analyze;
mod audit;
mod backtest;
mod calc;
mod calibrate;
mod check;
mod completions;
mod cube;
mod driver;
mod engine_args;
mod evals;
mod evals_text;
mod fault;
mod finops;
mod finops_text;
mod format_args;
mod gate;
mod gate_text;
mod generate;
mod import;
mod init;
mod kernel;
mod layer;
mod log_args;
mod man;
mod night;
mod notified;
mod notify;
mod publish;
mod publish_text;
#[cfg(feature = "frames")]
mod query;
mod query_args;
mod ramp_text;
mod record;
mod registry;
mod replay;
mod report;
mod run;
mod schedule;
mod schema;
mod simulate;
mod slices_text;
mod source_args;
mod summary;
mod table;
mod terminal;
mod text;
mod tools;
mod trace_args;
mod user_changes;
mod values;
mod who;

pub use driver::{Args, command, main, parse};
