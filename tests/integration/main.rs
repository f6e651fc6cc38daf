//! Integration tests: one binary, modules like the commands. They use only what is in the tree.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

mod analyze;
mod audit;
mod bad_input;
mod calc;
mod coverage;
mod crash;
mod exact;
mod finops;
mod fuzz;
mod help;
mod layer;
mod layer_parquet;
mod logs;
mod nightly;
mod real_data;
mod replay;
mod report;
mod run;
mod simulate;
mod small;
mod support;
mod vectors;
mod watch;
