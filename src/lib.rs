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
//! The traffic log is scanned once and reduced to the [cube](replay::Cube): integer sums per
//! tenant, layer, stage, release, window and bucket group. Everything after it works on the cube.
//! [`study::run`] is the whole pipeline; every command is one of its stages.
//!
//! The core takes values and returns values: [`stats`], [`bucket`], [`metric`], [`scenario`],
//! [`qos`], [`analysis`], [`ramp`], [`simulate`] and [`gate`] read no file, clock or terminal.
//! These are at the rim: [`input`], [`report`], [`study`], [`publish`] and [`cli`]. Time is an
//! argument (`as_of`).

// The rooms stand in the order of the flow, ground first: a room imports only rooms above it in
// this list. `tests/integration/architecture.rs` holds this. A comment between two rooms keeps
// rustfmt from sorting them.

// The ground: errors, files, time, numbers, threads, memory.
pub mod base;
// Pure statistics: numbers in, numbers or a reason out.
pub mod stats;
// Hashes of users to positions, as Sluice and other systems compute them.
pub mod bucket;
// The one table of metrics.
pub mod metric;
// A study as one TOML file: plan, policy, inputs, worlds.
pub mod scenario;
// Files to typed columns.
pub mod input;
// `sluice layer`: users to layers.
pub mod layer;
// `sluice generate`: users and traffic with a known truth.
pub mod generate;
// `sluice replay`: the traffic log to the cube.
pub mod replay;
// Rates to quality of service, and the guardrails.
pub mod qos;
// `sluice analyze`, `sluice calibrate`: the cube to estimates.
pub mod analysis;
// `sluice schedule`, `sluice who`: evidence to verdicts and the next ratios.
pub mod ramp;
// `sluice simulate`, `sluice backtest`: plans run before they are carried out.
pub mod simulate;
// `sluice record`, `sluice tools`, `sluice evals`: what a release is made of.
pub mod release;
// `sluice finops`: what the log's rows cost, and who pays.
pub mod finops;
// `sluice audit`: from a trace to its release, and from a release to its users.
pub mod audit;
// `sluice gate`: all checks to one outcome.
pub mod gate;
// `sluice report`: documents to pages.
pub mod report;
// `sluice calc`: one number at a time.
pub mod calc;
// `sluice run`: the pipeline.
pub mod study;
// `sluice publish`: schedules to what production stores consume.
pub mod publish;
// The command line.
pub mod cli;
