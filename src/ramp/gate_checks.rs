//! Checks of group-sequential gates: a harm above the boundary rolls back, and the last promotion
//! waits for the planned information.

use std::ops::ControlFlow;

use crate::qos::Judged;
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckFlow, CheckName, CheckValues, Trace};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Guardrail, Plan, Sequential};
use crate::stats::gates::Gate;
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::guardrail::MetricTerm;
use crate::words::ramp as sentence;
use crate::words::{Count, Number, Percent, Text};

/// Whether the gates of the policy decide promotions.
pub(super) fn has_gates(situation: &Situation<'_>) -> bool {
    situation.plan.policy.sequential == Sequential::GroupSequential
}

/// Whether the next promotion ends the ladder, so that no later gate can find a harm.
pub(super) fn is_last_promotion(situation: &Situation<'_>) -> bool {
    situation.layer.next_step(situation.state.ratio) == Some(situation.layer.last_step())
}

/// Checks that no look of a guardrail crossed its boundary.
pub(super) fn gate_check<'a, T: Trace<'a>>(
    plan: &'a Plan,
    guardrail: &'a Guardrail,
    judged: &Judged,
    trace: &mut T,
) -> CheckFlow {
    if !guardrail.has_gate() {
        return ControlFlow::Continue(());
    }
    let name = CheckName {
        kind: "gate",
        metric: Some(&guardrail.metric),
    };
    let Some(gate) = &judged.gate else {
        return trace.push(name, CheckValues::new(CheckOutcome::NotApplicable), || {
            sentence::no_look(plan.term(&guardrail.metric).subject())
        });
    };
    let outcome = if gate.is_crossed {
        CheckOutcome::Block(Verdict::Rollback)
    } else {
        CheckOutcome::Pass
    };
    let found = CheckValues {
        value: Some(gate.z),
        limit: gate.bound,
        ..CheckValues::new(outcome)
    };
    trace.push(name, found, || describe(plan, plan.term(&guardrail.metric), gate))
}

/// Checks a guardrail before a promotion. A guardrail with a gate needs a look without a crossing,
/// and before the last promotion also the planned information. A guardrail without a gate must be
/// safe before the last promotion. Missing evidence blocks every promotion.
pub(super) fn gated_clearance<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    guardrail: &'a Guardrail,
    judged: &Judged,
    missing: impl FnOnce() -> Text,
    trace: &mut T,
) -> CheckFlow {
    let name = CheckName {
        kind: "clear",
        metric: Some(&guardrail.metric),
    };
    let is_last = is_last_promotion(situation);
    let wait = CheckOutcome::Block(Verdict::Inconclusive);
    if judged.reason.is_some() {
        return trace.push(name, CheckValues::new(wait), missing);
    }
    let subject = || situation.plan.term(&guardrail.metric).subject();
    // An absolute limit has no gate: the interval for every look must keep it before the end.
    let by_interval = !guardrail.has_gate() || guardrail.limit.is_some();
    let is_open = by_interval && judged.verdict == HarmVerdict::Unclear;
    if is_last && is_open {
        let found = CheckValues {
            value: judged.harm,
            interval: judged.interval,
            limit: judged.margin,
            ..CheckValues::new(wait)
        };
        return trace.push(name, found, || {
            Text::sentences(&[missing(), sentence::last_needs_interval()])
        });
    }
    if !guardrail.has_gate() {
        let found = CheckValues {
            value: judged.harm,
            interval: judged.interval,
            limit: judged.margin,
            ..CheckValues::new(CheckOutcome::Pass)
        };
        return trace.push(name, found, || sentence::has_no_gate(subject()));
    }
    let name = CheckName {
        kind: "information",
        ..name
    };
    let Some(gate) = &judged.gate else {
        return trace.push(name, CheckValues::new(wait), || {
            sentence::no_look_since_open(subject())
        });
    };
    let outcome = if is_last && !gate.is_complete() && !gate.is_crossed {
        wait
    } else {
        CheckOutcome::Pass
    };
    let found = CheckValues::with(outcome, gate.fraction(), 1.0);
    trace.push(name, found, || {
        let share = Percent(gate.fraction());
        if outcome == wait {
            sentence::information_short(subject(), share)
        } else {
            sentence::information(subject(), share)
        }
    })
}

/// A gate as text: the harm in standard errors at its last look, beside the boundary.
fn describe(plan: &Plan, metric: MetricTerm<'_>, gate: &Gate) -> Text {
    let (subject, z) = (metric.subject(), Number(gate.z));
    let (looks, at) = (Count(gate.n_looks.into()), plan.when(gate.at));
    let share = Percent(gate.fraction());
    match gate.bound {
        None => sentence::gate_without_bound(subject, z, looks, at, share),
        Some(bound) => {
            let limit = sentence::LimitBeside {
                limit: bound,
                value: gate.z,
            };
            let z = sentence::Beside(gate.z, bound);
            if gate.is_crossed {
                sentence::gate_crossed(subject, z, looks, at, limit, share)
            } else {
                sentence::gate_kept(subject, z, looks, at, limit, share)
            }
        }
    }
}
