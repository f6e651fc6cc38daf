//! `sluice night`: everything that a job does in one night, from the log to the stores and back.
//!
//! A ramp has one folder. [`run`] finds in it what the nights before have left: the frozen layer
//! table, the state with the log of changes, and the folder of each night with its cube. It reads
//! what is new in the log, decides, publishes, and writes down when each change came into force.
//!
//! A night is written under another name and gets its own name in one step. Everything that follows
//! (publication, state, link, metrics) can be repeated, so a job that was killed is finished by the
//! next run.

mod document;
mod driver;
mod folder;
mod force;
mod metrics;
mod nights;
mod study;

pub use document::{NightLayer, NightReport, NightTarget};
pub use driver::{NightEngine, NightOptions, NightOutcome, run};
pub use folder::NightFolder;
pub use nights::{folders_of, read_ramps};
