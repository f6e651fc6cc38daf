//! Checks of group-sequential gates: a harm above the boundary rolls back, and the last promotion
//! waits for the planned information.

use std::ops::ControlFlow;

use crate::base::number::{number, percent};
use crate::base::time;
use crate::qos::Judged;
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckFlow, CheckName, CheckValues, Trace};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Guardrail, Sequential};
use crate::stats::gates::Gate;
use crate::stats::non_inferiority::HarmVerdict;

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
            format!("{}: no look yet", guardrail.metric)
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
    trace.push(name, found, || describe(&guardrail.metric, gate))
}

/// Checks a guardrail before a promotion. A guardrail with a gate needs a look without a crossing,
/// and before the last promotion also the planned information. A guardrail without a gate must be
/// safe before the last promotion. Missing evidence blocks every promotion.
pub(super) fn gated_clearance<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    guardrail: &'a Guardrail,
    judged: &Judged,
    missing: impl FnOnce() -> String,
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
    let metric = &guardrail.metric;
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
            format!("{metric} unclear: the last promotion needs an interval within its bounds")
        });
    }
    if !guardrail.has_gate() {
        let found = CheckValues {
            value: judged.harm,
            interval: judged.interval,
            limit: judged.margin,
            ..CheckValues::new(CheckOutcome::Pass)
        };
        return trace.push(name, found, || {
            format!("{metric} has no gate: its interval decides before the last promotion")
        });
    }
    let name = CheckName {
        kind: "information",
        ..name
    };
    let Some(gate) = &judged.gate else {
        return trace.push(name, CheckValues::new(wait), || {
            format!("{metric}: no look yet with evidence of the stages since the layer opened")
        });
    };
    let outcome = if is_last && !gate.is_complete() && !gate.is_crossed {
        wait
    } else {
        CheckOutcome::Pass
    };
    let found = CheckValues::with(outcome, gate.fraction(), 1.0);
    trace.push(name, found, || {
        let share = percent(gate.fraction());
        if outcome == wait {
            format!("{metric}: {share} of the planned information; the last promotion needs all of it")
        } else {
            format!("{metric}: {share} of the planned information")
        }
    })
}

/// A gate as text, for example `complaint_rate: harm 1.3 standard errors at look 2 of 2026-05-27
/// (boundary 2.4), 45 % of the planned information`.
fn describe(metric: &str, gate: &Gate) -> String {
    let bound = gate.bound.map_or_else(
        || "no boundary yet".to_owned(),
        |bound| format!("boundary {}", number(bound)),
    );
    format!(
        "{metric}: harm {} standard errors at look {} at {}, {bound}, {} of the planned information",
        number(gate.z),
        gate.n_looks,
        time::format(gate.at),
        percent(gate.fraction())
    )
}
