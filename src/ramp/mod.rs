//! The ramp. One pure function decides a layer. The schedule applies it to every layer and writes
//! the operation log.

mod approval;
mod carry;
mod checks;
mod contradictions;
mod coverage;
mod data_checks;
mod decide;
mod evidence;
pub mod exact;
mod explain;
mod gate_checks;
mod guardrail_checks;
mod operation;
mod outlook;
mod own_past_check;
mod qos_checks;
pub(crate) mod reach;
mod schedule;
mod situation;
mod slice_evidence;
mod slices_check;
mod state;
pub(super) mod step;
pub(crate) mod step_limits;
mod trace;
mod verdict;

pub use contradictions::contradictions;
pub(crate) use contradictions::{Deadline, late, wrong_claims};
pub use coverage::Coverage;
pub(crate) use data_checks::MAX_MISASSIGNED;
pub use decide::{Conclusion, Decision, conclude, decide};
pub(crate) use decide::{HeldUntil, conclude_early, held_until};
pub use evidence::{QosEvidence, SrmEvidence, StageEvidence};
pub use explain::Outlooks;
pub use operation::{Force, OperationRow};
pub(crate) use outlook::round_up;
pub use outlook::{Outlook, Place, Undecided};
pub(crate) use qos_checks::{is_qos_settled, qos_place};
pub use schedule::{
    GATE, LayerEvidence, LayerRamp, LayerSchedule, RampStatus, Schedule, schedule, schedule_gated,
};
pub use situation::Situation;
pub use slice_evidence::SliceEvidence;
pub(crate) use slices_check::SLICES;
pub use state::{LayerState, RampState};
pub use step::PlanStep;
pub use step_limits::step_warnings;
pub use trace::CheckName;
pub use verdict::{Check, CheckOutcome, Verdict};
