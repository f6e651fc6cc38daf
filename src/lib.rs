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
//! tenant, layer, stage, release, window and bucket group. All later stages read the cube.
//! [`study::run`] is the whole pipeline; every command is one of its stages.
//!
//! The core takes values and returns values: [`stats`], [`bucket`], [`metric`], [`scenario`],
//! [`qos`], [`analysis`], [`ramp`], [`simulate`] and [`gate`] read no file, clock or terminal.
//! Input and output are in [`input`], [`report`], [`study`], [`publish`] and [`cli`]. Time is an
//! argument (`as_of`).
//!
//! # Examples
//! `cargo run --release --example NAME` runs an example of the folder `examples`.
//!
//! One confidence interval (`interval`):
//! ```
#![doc = include_str!("../examples/interval.rs")]
//! ```
//!
//! One decision of a layer from its evidence (`decision`):
//! ```
#![doc = include_str!("../examples/decision.rs")]
//! ```
//!
//! A study, from a scenario to verdicts (`study`):
//! ```
#![doc = include_str!("../examples/study.rs")]
//! ```

// The modules are in the order of the flow, with the shared base first. A module imports only
// modules above it in this list; `tests/integration/architecture.rs` checks this. The comment
// before each module keeps rustfmt from sorting the list.

// The shared base: errors, files, time, numbers, threads, memory.
pub mod base;
// Statistical methods: numbers in, numbers or a reason out.
pub mod stats;
// Hashes of users to buckets, as Sluice and other systems compute them.
pub mod bucket;
// Sentences, numbers and names for people, in every language.
pub mod words;
// The table of metrics.
pub mod metric;
// A study as one TOML file: plan, policy, inputs, simulated worlds.
pub mod scenario;
// Prices of tokens, and the cost of a request by them.
pub mod prices;
// Expressions and SQL on the columns of users' files.
#[cfg(feature = "frames")]
pub mod frames;
// Reads files into typed columns.
pub mod input;
// `sluice import`: traces of agents to turns.
pub mod traces;
// `sluice layer`: assigns users to layers.
pub mod layer;
// `sluice generate`: synthetic users and traffic with a known truth.
pub mod generate;
// `sluice replay`: reduces the traffic log to the cube.
pub mod replay;
// Quality of service from rates, and the guardrails.
pub mod qos;
// `sluice analyze`, `sluice calibrate`: estimates from the cube.
pub mod analysis;
// `sluice schedule`, `sluice who`: verdicts and the next ratios from evidence.
pub mod ramp;
// `sluice init`: guesses of columns, releases and the text of a scenario.
pub mod init;
// `sluice simulate`, `sluice backtest`: results of plans before they are carried out.
pub mod simulate;
// `sluice record`, `sluice tools`, `sluice evals`: the parts of a release.
pub mod release;
// `sluice finops`: the cost of the log's rows, and the budgets that pay for it.
pub mod finops;
// `sluice audit`: finds the release of a trace, and the users of a release.
pub mod audit;
// `sluice gate`: combines all checks into one outcome.
pub mod gate;
// `sluice report`: pages from documents.
pub mod report;
// `sluice calc`: calculates one number at a time.
pub mod calc;
// `sluice run`: the pipeline.
pub mod study;
// `--engine`: the scan of a log on many machines.
pub mod engine;
// `sluice publish`: writes schedules to the stores of production.
pub mod publish;
// `sluice notify`: notifications of rollbacks, promotions, guards and failures.
pub mod notify;
// `sluice night`: one night of a ramp, from the log to the stores and back.
pub mod night;
// `--format`: results as annotations, JUnit, SARIF and comments of pull requests.
pub mod pipeline;
// `sluice query`: SQL over the tables of studies and files.
#[cfg(feature = "frames")]
pub mod query;
// The command line.
pub mod cli;
// Entry points for benches of kernels; no part of the program.
#[doc(hidden)]
pub mod kernels;
// Entry points for fuzz targets; no part of the program.
#[cfg(any(fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
