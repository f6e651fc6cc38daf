//! The commands: one file each. Data goes to files or stdout, everything else to stderr.

mod analyze;
mod audit;
mod backtest;
mod calc;
mod calibrate;
mod cube;
mod driver;
mod evals;
mod finops;
mod gate;
mod generate;
mod layer;
mod publish;
mod record;
mod replay;
mod report;
mod run;
mod schedule;
mod simulate;
mod summary;
mod terminal;
mod tools;
mod values;
mod who;

pub use driver::{Args, dispatch};
pub use terminal::print_error;
