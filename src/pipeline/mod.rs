//! Results of a command in the formats of pipelines: annotations of GitHub, JUnit, SARIF, and a
//! comment of a pull request.
//!
//! A command makes [`Findings`] of its result (`from_gate`, `from_evals`, `from_tools`,
//! `from_night`), and each format writes them (`github`, `junit`, `sarif`, `comment`). `lines` finds
//! the line of a key in a JSON, TOML or YAML file.

mod comment;
mod finding;
mod format;
mod from_evals;
mod from_gate;
mod from_night;
mod from_tools;
mod github;
mod junit;
mod lines;
mod place;
mod sarif;

pub use comment::comment;
pub use finding::{Finding, Findings, Level};
pub use format::{Format, write};
pub use from_evals::from_evals;
pub use from_gate::{GateFiles, from_gate};
pub use from_night::from_night;
pub use from_tools::from_tools;
pub use place::Place;
