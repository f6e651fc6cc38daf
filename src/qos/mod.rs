//! Quality of service (QoS), one score from six rates with its interval; and the guardrails, which
//! are checked before it.

mod guardrail;
mod score;

pub use guardrail::{
    GuardrailFinding, GuardrailInput, Judged, is_settled, is_within_margin, judge_all, judge_guardrails,
    settled_verdict,
};
pub use score::{Qos, QosArm, QosMethod, Rates, bound_rates, estimate_arm, estimate_rates, qos, qos_of_sums};
