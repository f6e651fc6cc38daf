//! The check of a layer at ratio 1 against its own past.

use std::ops::ControlFlow;

use crate::base::number::number;
use crate::base::time;
use crate::ramp::evidence::StageEvidence;
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckFlow, CheckName, CheckValues, Trace};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Action, OwnPast};
use crate::stats::non_inferiority::HarmVerdict;

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
        trace.push(name, values, || {
            let metric = &found.metric;
            let (Some(observed), Some(expected), Some(since), Some(interval), Some(margin)) = (
                found.observed,
                found.expected,
                found.since,
                found.interval,
                found.margin,
            ) else {
                let reason = found.reason.map_or_else(String::new, |reason| format!(": {reason}"));
                return format!("{metric} is not compared with the layer's own past{reason}");
            };
            let word = if found.verdict == HarmVerdict::Violated { "fell" } else { "has not fallen" };
            format!(
                "{metric} {word} below the layer's own past: {} since {}, expected {}; harm in [{}, {}], margin {}",
                number(observed),
                time::format(since),
                number(expected),
                number(interval.ci_lower),
                number(interval.ci_upper),
                number(margin)
            )
        })?;
    }
    ControlFlow::Continue(())
}
