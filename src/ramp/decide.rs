//! The decision: a pure function from plan, state and evidence to a verdict with its reasons. The
//! schedule and the simulations share it, so there is one implementation of the policy.

use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::checks::{DWELL, LADDER, checks, early_checks};
use crate::ramp::guardrail_checks::CLEAR;
use crate::ramp::qos_checks::QOS;
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckName, FirstBlock};
use crate::ramp::verdict::{Check, CheckOutcome, Verdict};
use crate::words::ramp as sentence;
use crate::words::{Count, Text};

/// A verdict on one layer with its reasons and all its checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Verdict on the layer. Only a promotion or a rollback changes its ratio.
    pub verdict: Verdict,
    /// Ratio of the layer after the decision. It equals the ratio before, except after a promotion
    /// or a rollback.
    pub next_ratio: Ratio,
    /// Name of the first check that blocked the promotion. `None` for a promotion.
    pub first_blocking: Option<String>,
    /// Text of the first blocking check, or the reason for the promotion.
    pub reason: String,
    /// The same in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason_zh: String,
    /// Earliest time at which a new look can change the verdict, microseconds, UTC.
    pub earliest_next: Micros,
    /// All checks, in the order in which they ran.
    pub trace: Vec<Check>,
}

impl Decision {
    /// Returns the decision without unused memory, for plans of many tenants.
    pub(super) fn compact(mut self) -> Self {
        self.reason.shrink_to_fit();
        self.reason_zh.shrink_to_fit();
        self.trace.shrink_to_fit();
        for check in &mut self.trace {
            check.check.shrink_to_fit();
            check.detail.shrink_to_fit();
            check.detail_zh.shrink_to_fit();
        }
        self
    }
}

/// Decides one layer. All checks run in order and enter the trace. The first check that blocks sets
/// the verdict. If none blocks, the layer is promoted. The order under the policy `interval`:
///
/// - guardrail violated: rollback;
/// - sample ratio, leak, users in both arms, rows in the wrong arm: invalid;
/// - QoS below the floor: rollback;
/// - a guardrail violated in a slice: hold;
/// - end of the ladder, a signal violated, too few users, dwell not over: hold;
/// - a guardrail unclear, or QoS not known: inconclusive;
/// - QoS below its threshold: hold; QoS interval around the threshold: inconclusive;
/// - a freeze, or a missing approval: hold.
///
/// `policy.srm_action` and `policy.no_data_action` can turn a sample-ratio mismatch or missing
/// evidence into a rollback.
///
/// # References
/// `docs/METHODS.md#decisions`.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let mut trace: Vec<Check> = Vec::new();
    // A full trace never stops early, so the result carries no information.
    let _ = checks(situation, &mut trace);
    let blocking = trace.iter().find_map(|check| match check.outcome {
        CheckOutcome::Block(verdict) => Some((verdict, check)),
        _ => None,
    });
    let state = situation.state;
    let verdict = blocking.map_or(Verdict::Promote, |(verdict, _)| verdict);
    let next_ratio = next_ratio(situation, verdict);
    let (first_blocking, reason) = match blocking {
        Some((verdict, check)) => (
            Some(check.check.clone()),
            with_consequence(check.text(), verdict, state.ratio),
        ),
        None => {
            let slices = situation.evidence.map(|evidence| &evidence.slices);
            let n_violated = slices.map_or(0, |slices| slices.violations.len()) as u64;
            let text = match n_violated {
                0 => sentence::promoted(state.ratio, next_ratio),
                n => sentence::promoted_with_violations(Count(n), state.ratio, next_ratio),
            };
            (None, text)
        }
    };
    // The next window's rows can change the verdict. A promotion must also wait for the dwell.
    let next_window = situation.as_of + situation.plan.window;
    let earliest_next = if first_blocking.as_deref() == Some(DWELL) {
        dwell_end(situation).max(next_window)
    } else {
        next_window
    };
    Decision {
        verdict,
        next_ratio,
        first_blocking,
        reason: reason.en,
        reason_zh: reason.zh,
        earliest_next,
        trace,
    }
}

/// The reason of a verdict: the fact, and for a rollback the change of the ratio.
pub(super) fn with_consequence(fact: Text, verdict: Verdict, ratio: Ratio) -> Text {
    if verdict == Verdict::Rollback && ratio > Ratio::ZERO {
        Text::sentences(&[fact, sentence::rolled_back(ratio, Ratio::ZERO)])
    } else {
        fact
    }
}

/// A decision without texts, for simulations with millions of decisions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conclusion<'a> {
    /// Verdict on the layer. Only a promotion or a rollback changes its ratio.
    pub verdict: Verdict,
    /// Ratio of the layer after the decision. It equals the ratio before, except after a promotion
    /// or a rollback.
    pub next_ratio: Ratio,
    /// The first check that blocked the promotion. `None` for a promotion.
    pub first_blocking: Option<CheckName<'a>>,
}

/// Decides one layer by the same checks as [`decide`], stops at the first check that blocks, and
/// makes no texts.
pub fn conclude<'a>(situation: &Situation<'a>) -> Conclusion<'a> {
    let mut first = FirstBlock::default();
    // The result only says whether the checks stopped early.
    let _ = checks(situation, &mut first);
    first.blocked(situation).unwrap_or_else(|| Conclusion {
        verdict: Verdict::Promote,
        next_ratio: next_ratio(situation, Verdict::Promote),
        first_blocking: None,
    })
}

/// As [`conclude`], by the checks before those that need a proof of safety. `None` if none of them
/// blocks. Of guardrails and QoS the evidence needs only to be right about violations, and about
/// QoS below the floor.
pub(crate) fn conclude_early<'a>(situation: &Situation<'a>) -> Option<Conclusion<'a>> {
    let mut first = FirstBlock::default();
    let _ = early_checks(situation, &mut first);
    first.blocked(situation)
}

/// What ends a decision that holds a layer, unless evidence of harm or other data problems come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeldUntil {
    /// The time: the end of the dwell, or never at the end of the ladder.
    Time(Micros),
    /// Another verdict on a guardrail, or another place of the interval of QoS beside its limits.
    Proof,
}

/// What ends a decision. `None` for decisions that also depend on something else.
pub(crate) fn held_until(situation: &Situation<'_>, conclusion: &Conclusion<'_>) -> Option<HeldUntil> {
    if !matches!(conclusion.verdict, Verdict::Hold | Verdict::Inconclusive) {
        return None;
    }
    match conclusion.first_blocking?.kind {
        DWELL => Some(HeldUntil::Time(dwell_end(situation))),
        LADDER => Some(HeldUntil::Time(Micros::MAX)),
        CLEAR | QOS => Some(HeldUntil::Proof),
        _ => None,
    }
}

/// The end of the dwell of a layer's ratio.
fn dwell_end(situation: &Situation<'_>) -> Micros {
    situation.plan.window_start(situation.state.since) + situation.layer.dwell
}

impl<'a> FirstBlock<'a> {
    fn blocked(self, situation: &Situation<'a>) -> Option<Conclusion<'a>> {
        self.0.map(|(verdict, name)| Conclusion {
            verdict,
            next_ratio: next_ratio(situation, verdict),
            first_blocking: Some(name),
        })
    }
}

fn next_ratio(situation: &Situation<'_>, verdict: Verdict) -> Ratio {
    let ratio = situation.state.ratio;
    match verdict {
        Verdict::Promote => situation.layer.next_step(ratio).unwrap_or(ratio),
        Verdict::Rollback => Ratio::ZERO,
        Verdict::Hold | Verdict::Inconclusive | Verdict::Invalid => ratio,
    }
}

#[cfg(test)]
mod tests;
