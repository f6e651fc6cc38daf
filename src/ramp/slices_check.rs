//! The check of guardrails in slices: a violation in one value of a declared column.

use std::ops::ControlFlow;

use crate::analysis::SliceFinding;
use crate::ramp::evidence::StageEvidence;
use crate::ramp::situation::Situation;
use crate::ramp::slice_evidence::SliceEvidence;
use crate::ramp::trace::{CheckFlow, CheckValues, Trace, plain};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::SlicePolicy;
use crate::words::{Count, Text, slices};

/// Name of the check.
pub(crate) const SLICES: &str = "slices";

/// Checks that no guardrail is violated in a slice. A violation holds the layer, or leaves the
/// verdict as it is if the policy only warns. Without slices there is no check.
pub(super) fn slices<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &'a StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let SliceEvidence { counts, violations } = &evidence.slices;
    if counts.n_slices() == 0 {
        return ControlFlow::Continue(());
    }
    let policy = situation.plan.policy.slices;
    let outcome = match (violations.first(), policy) {
        (Some(_), SlicePolicy::Block) => CheckOutcome::Block(Verdict::Hold),
        (Some(_), SlicePolicy::Warn) => CheckOutcome::Pass,
        (None, _) if counts.n_unknown == counts.n_slices() => CheckOutcome::NotApplicable,
        (None, _) => CheckOutcome::Pass,
    };
    let judged = violations.first().map(|worst| &worst.judged);
    let values = CheckValues {
        outcome,
        value: judged.and_then(|judged| judged.harm),
        interval: judged.and_then(|judged| judged.interval),
        limit: judged.and_then(|judged| judged.margin),
    };
    trace.push(plain(SLICES), values, || detail(&evidence.slices, policy))
}

/// The worst violation, the number of the others, and what follows; or the counts of slices.
fn detail(evidence: &SliceEvidence, policy: SlicePolicy) -> Text {
    let Some(worst) = evidence.violations.first().and_then(SliceFinding::sentence) else {
        return evidence.counts.sentence();
    };
    let others = match evidence.violations.len() - 1 {
        0 => None,
        1 => Some(slices::one_more()),
        n => Some(slices::more(Count(n as u64))),
    };
    let follows = match policy {
        SlicePolicy::Block => slices::blocks(),
        SlicePolicy::Warn => slices::warns(),
    };
    let texts: Vec<Text> = std::iter::once(worst).chain(others).chain([follows]).collect();
    Text::sentences(&texts)
}
