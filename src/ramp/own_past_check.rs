//! The check of a layer at ratio 1 against its own past.

use std::ops::ControlFlow;

use crate::analysis::OwnPastFinding;
use crate::ramp::evidence::StageEvidence;
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckFlow, CheckName, CheckValues, Trace};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Action, OwnPast, Plan};
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::ramp as sentence;
use crate::words::{Measured, Text};

/// Checks each guardrail's metric of a layer at ratio 1 against the layer's own past. A fall beyond
/// the margin holds the layer, or rolls it back if the policy says so.
pub(super) fn own_past<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &'a StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    for found in &evidence.own_past {
        let only_holds = situation
            .plan
            .guardrails
            .iter()
            .any(|guardrail| guardrail.metric == found.metric && guardrail.action == Action::Hold);
        let verdict = match situation.plan.policy.own_past {
            OwnPast::Rollback if !only_holds => Verdict::Rollback,
            _ => Verdict::Hold,
        };
        let outcome = match (found.verdict, found.reason) {
            (HarmVerdict::Violated, _) => CheckOutcome::Block(verdict),
            (_, Some(_)) => CheckOutcome::NotApplicable,
            _ => CheckOutcome::Pass,
        };
        let values = CheckValues {
            outcome,
            value: found.harm,
            interval: found.interval,
            limit: found.margin,
        };
        let name = CheckName {
            kind: "own_past",
            metric: Some(&found.metric),
        };
        trace.push(name, values, || describe(situation.plan, found))?;
    }
    ControlFlow::Continue(())
}

/// The comparison with the own past as text.
fn describe(plan: &Plan, found: &OwnPastFinding) -> Text {
    let term = plan.term(&found.metric);
    let (Some(observed), Some(expected), Some(since), Some(interval), Some(margin)) = (
        found.observed,
        found.expected,
        found.since,
        found.interval,
        found.margin,
    ) else {
        return match found.reason {
            Some(reason) => sentence::own_past_unknown_why(term.subject(), reason),
            None => sentence::own_past_unknown(term.subject()),
        };
    };
    let measured = |value| Measured {
        value,
        unit: term.unit,
    };
    let (observed, expected, since) = (measured(observed), measured(expected), plan.when(since));
    if found.verdict != HarmVerdict::Violated {
        return sentence::own_past_kept(term.subject(), observed, since, expected);
    }
    let lower = term.difference(interval.ci_lower);
    let span = if interval.ci_upper.is_finite() {
        sentence::worse_by(lower, term.difference(interval.ci_upper))
    } else {
        sentence::worse_at_least(lower)
    };
    sentence::own_past_fell(
        term.subject(),
        observed,
        since,
        expected,
        span,
        term.difference(margin),
    )
}
