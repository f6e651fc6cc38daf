//! Everything that Sluice says to people, in every language: sentences, names of metrics, numbers,
//! times, and the texts of pages.
//!
//! A [`Text`] holds one sentence in every language. The sentences of a room are functions of a file
//! of this room, such as `ramp.rs`, with both languages side by side. Documents keep both: `reason`
//! and `reason_zh`. Ids, keys and names of checks are not translated.

pub(crate) mod answer;
pub(crate) mod checkup;
pub(crate) mod commands;
pub(crate) mod evals;
pub(crate) mod export;
pub(crate) mod gate;
pub(crate) mod guardrail;
mod lang;
mod list;
mod metrics;
pub(crate) mod nights;
pub(crate) mod notify;
pub(crate) mod outlook;
mod page;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod ramp;
mod reasons;
pub(crate) mod references;
pub(crate) mod rollback;
pub(crate) mod simulate;
pub(crate) mod slices;
pub(crate) mod study_gate;
mod style;
pub(crate) mod terminal;
mod text;
pub(crate) mod tools;

pub use lang::Lang;
pub(crate) use list::{Few, Series, Things};
pub(crate) use metrics::{MetricName, metric_name};
pub(crate) use page::{Words, fill};
pub use style::{
    Amount, Count, Days, Difference, DifferenceRange, Hours, Measured, Number, P, Percent, Points, When,
};
pub(crate) use text::texts;
pub use text::{Say, Text};
