//! Sluice decides, from data, how fast a new release of an AI agent may reach which users.
//!
//! ```text
//! users ─────► layer ──► layers.parquet ──┐
//!                                         ▼
//! traffic ──────────────────────────► replay ──► cube ──► analysis ──► ramp ──► schedule.json
//!    ▲                                                       │           │
//! generate                                                   └─► gate ◄──┴────► report.html
//! ```
//!
//! The traffic log is scanned once and reduced to the [cube](replay::Cube): integer sums per tenant, layer, stage, release, window and
//! bucket group. Everything after it works on the cube. [`study::run`] is the whole pipeline; every command is one of its stages.
//!
//! The core is pure: [`bucket`], the kernels of [`layer`] and [`replay`], [`stats`], [`qos`], [`analysis`], [`ramp`] and [`gate`] take
//! values and return values. Files, terminal and command line are at the rim: [`input`], [`output`], [`report`], [`cli`], [`study`].
//! Time is an argument (`as_of`), never read inside.

// The modules stand in the order of the flow; a line between them keeps rustfmt from sorting them.

// What a study is: one TOML file.
pub mod scenario;
// What is measured: the one metric table.
pub mod metric;
// Where a user stands in assignment space.
pub mod bucket;

// Users and traffic with a known truth.
pub mod generate;

// Files to typed columns.
pub mod input;

// Users to layers.
pub mod layer;

// Traffic to the cube.
pub mod replay;

// Numbers to numbers.
pub mod stats;

// Logs to what another assignment would have earned.
pub mod ope;

// Rates to quality, and the guardrails before it.
pub mod qos;

// The cube to everything that can be said about it.
pub mod analysis;

// Evidence to verdicts and the next ratios.
pub mod ramp;

// Who gets the candidate at a step.
pub mod who;

// Worlds that a plan may meet, run before it is carried out.
pub mod simulate;

// What a release is made of.
pub mod release;

// What its tools take and give, and whom a change breaks.
pub mod tools;

// Results of evaluations, case by case.
pub mod evals;

// What the log's rows cost, and who pays.
pub mod finops;

// From a trace to what answered it, and from a release to whom it reached.
pub mod audit;

// All checks to one outcome.
pub mod gate;

// Documents to pages.
pub mod report;

// One number at a time.
pub mod calc;

// Schedules to what production stores consume.
pub mod publish;

// The pipeline.
pub mod study;

// The commands.
pub mod cli;

// What all of them stand on.
pub mod error;
mod hash;
mod memory;
pub mod number;
mod objects;
pub mod output;
mod parallel;
mod parquet_io;
pub mod progress;
mod spill;
mod tables;
pub mod time;
