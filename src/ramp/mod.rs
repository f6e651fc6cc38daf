//! The ramp: one pure function decides; the schedule applies it to every layer and keeps the operation log.

mod checks;
mod decide;
pub mod exact;
mod schedule;
mod state;
mod step;

pub(crate) use checks::MAX_MISASSIGNED;
pub use decide::{Check, Decision, Outcome, Situation, Verdict, decide};
pub use schedule::{LayerSchedule, OperationRow, Schedule, schedule};
pub use state::{LayerState, RampState};
pub use step::Step;
