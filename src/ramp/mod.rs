//! The ramp: one pure function decides; the schedule applies it to every layer and keeps the operation log.

mod checks;
mod decide;
mod evidence;
pub mod exact;
mod schedule;
mod state;
mod step;
mod trace;
pub mod who;

pub(crate) use checks::MAX_MISASSIGNED;
pub use decide::{Check, Conclusion, Decision, Outcome, Situation, Verdict, conclude, decide};
pub use evidence::{Evidence, QosEvidence, SrmEvidence};
pub use schedule::{LayerRamp, LayerSchedule, OperationRow, RampStatus, Schedule, schedule};
pub use state::{LayerState, RampState};
pub use step::Step;
pub use trace::CheckName;
