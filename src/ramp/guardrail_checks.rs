//! The checks of guardrails: a harm that is shown, and safety before a promotion.

use crate::bucket::Ratio;
use crate::qos::Judged;
use crate::ramp::gate_checks::{gated_clearance, has_gates};
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckFlow, CheckName, CheckValues, Trace};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Guardrail, GuardrailRule};
use crate::stats::Reason;
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::guardrail::{self as sentence, Asks, Comparison};
use crate::words::{Count, Text, Things};

/// Name of the check of a guardrail before a promotion, by its interval.
pub(super) const CLEAR: &str = "clear";

/// Checks that no harm of a guardrail is shown. A violation gives the verdict.
pub(super) fn violation_check<'a, T: Trace<'a>>(
    kind: &'static str,
    situation: &Situation<'a>,
    (guardrail, judged): (&'a Guardrail, &Judged),
    verdict: Verdict,
    trace: &mut T,
) -> CheckFlow {
    let outcome = match (judged.verdict, judged.reason) {
        (HarmVerdict::Violated, _) => CheckOutcome::Block(verdict),
        (_, Some(_)) => CheckOutcome::NotApplicable,
        _ => CheckOutcome::Pass,
    };
    let name = CheckName {
        kind,
        metric: Some(&guardrail.metric),
    };
    trace.push(name, values(judged, outcome), || {
        judgment_text(situation, guardrail, judged, Asks::Harm)
    })
}

/// Checks a guardrail before a promotion, by its interval or by its gate.
pub(super) fn clear<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    (guardrail, judged): (&'a Guardrail, &Judged),
    ratio: Ratio,
    trace: &mut T,
) -> CheckFlow {
    let is_counted = judged.margin.is_none() && judged.reason.is_none();
    let text = || judgment_text(situation, guardrail, judged, Asks::Safety);
    if has_gates(situation) && ratio < Ratio::FULL && !is_counted {
        return gated_clearance(situation, guardrail, judged, text, trace);
    }
    let name = CheckName {
        kind: CLEAR,
        metric: Some(&guardrail.metric),
    };
    trace.push(name, values(judged, clearance(judged, ratio)), text)
}

/// The outcome of a guardrail's check before a promotion: the guardrail must be safe. At ratio 1
/// there is no control to compare with, so the check does not apply.
fn clearance(judged: &Judged, ratio: Ratio) -> CheckOutcome {
    match judged.verdict {
        HarmVerdict::Safe | HarmVerdict::Violated => CheckOutcome::Pass,
        HarmVerdict::Unclear
            if ratio == Ratio::FULL && judged.reason == Some(Reason::NoConcurrentControl) =>
        {
            CheckOutcome::NotApplicable
        }
        HarmVerdict::Unclear => CheckOutcome::Block(Verdict::Inconclusive),
    }
}

fn values(judged: &Judged, outcome: CheckOutcome) -> CheckValues {
    CheckValues {
        outcome,
        value: judged.harm,
        interval: judged.interval,
        limit: judged.margin,
    }
}

/// The judgment of a guardrail as text: the values of both releases with interval and margin, or why
/// there is none.
fn judgment_text(situation: &Situation<'_>, guardrail: &Guardrail, judged: &Judged, asks: Asks) -> Text {
    let metric = situation.plan.term(&guardrail.metric);
    match (judged.harm, judged.interval, judged.margin, judged.reason) {
        (Some(harm), Some(interval), Some(margin), _) => {
            let compared = Comparison {
                metric,
                values: situation.values(&guardrail.metric),
                harm,
                interval,
                margin,
                limit: guardrail.limit,
            };
            let mut texts = vec![compared.sentence(judged.verdict, asks)];
            if judged.takes_min_margin {
                texts.push(sentence::takes_min_margin());
            } else if margin == 0.0 {
                texts.push(sentence::margin_of_zero());
            }
            Text::sentences(&texts)
        }
        (_, _, _, Some(reason)) => {
            let missing = situation.coverage.filter(|_| reason == Reason::NoColumn);
            let missing = missing.and_then(|coverage| coverage.missing_columns(&guardrail.metric));
            let reason = missing.unwrap_or_else(|| Text::of_say(&reason));
            let text = sentence::not_compared(metric.subject(), reason);
            match (asks, judged.verdict) {
                (Asks::Safety, HarmVerdict::Unclear) => {
                    Text::sentences(&[text, sentence::not_enough_evidence()])
                }
                _ => text,
            }
        }
        _ => count_text(situation, guardrail, judged),
    }
}

/// The judgment of a guardrail that counts events.
fn count_text(situation: &Situation<'_>, guardrail: &Guardrail, judged: &Judged) -> Text {
    let subject = situation.plan.term(&guardrail.metric).subject();
    let GuardrailRule::MaxCount(max) = guardrail.rule else {
        return sentence::not_compared(subject, Text::of_say(&Reason::NoData));
    };
    let is_above = judged.verdict == HarmVerdict::Violated;
    let n = situation.events(&guardrail.metric);
    match n.filter(|n| (*n > max as f64) == is_above) {
        Some(n) => sentence::count_of(subject, Things(n.round() as u64, "case"), Count(max)),
        None if is_above => sentence::count_above(subject, Count(max)),
        None => sentence::count_within(subject, Count(max)),
    }
}
