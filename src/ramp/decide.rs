//! The decision: plan, state and evidence in, verdict with its reasons out. The schedule and
//! everything that simulates it call this function; there is no second copy of the policy.

use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::checks::checks;
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckName, FirstBlock};
use crate::ramp::verdict::{Check, CheckOutcome, Verdict};

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// The ratio from now on.
    pub next_ratio: Ratio,
    /// The first check that kept the layer from being promoted; `None` when it is promoted.
    pub first_blocking: Option<String>,
    /// That check's detail, or why it is promoted.
    pub reason: String,
    /// When looking again can first change the verdict, microseconds.
    pub earliest_next: Micros,
    /// Every check, in order.
    pub trace: Vec<Check>,
}

/// Decides one layer. Checks run in order, all of them are traced, and the first that blocks gives
/// the verdict: guardrails violated -> rollback; sample ratio, leak, users in both arms, users in
/// the wrong arm -> invalid; QoS below the floor -> rollback; end of the ladder, a signal violated,
/// too few users, dwell -> hold; a guardrail unclear or QoS not known -> inconclusive; QoS against
/// its threshold; freeze, approval missing -> hold. Else promote.
///
/// # References
/// `docs/METHODS.md#decisions`.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let mut trace: Vec<Check> = Vec::new();
    // A trace for people takes every check.
    let _ = checks(situation, &mut trace);
    let blocking = trace.iter().find_map(|check| match check.outcome {
        CheckOutcome::Block(verdict) => Some((verdict, check)),
        _ => None,
    });
    let (state, layer) = (situation.state, situation.layer);
    let verdict = blocking.map_or(Verdict::Promote, |(verdict, _)| verdict);
    let next_ratio = next_ratio(situation, verdict);
    let (first_blocking, reason) = match blocking {
        Some((_, check)) => (Some(check.check.clone()), check.detail.clone()),
        None => (
            None,
            format!("every check passed: {} to {next_ratio}", state.ratio),
        ),
    };
    // A verdict can change with the next window's rows, but nothing goes up before the dwell is
    // over.
    let next_window = situation.as_of + situation.plan.window;
    let earliest_next = if first_blocking.as_deref() == Some("dwell") {
        (state.since + layer.dwell).max(next_window)
    } else {
        next_window
    };
    Decision {
        verdict,
        next_ratio,
        first_blocking,
        reason,
        earliest_next,
        trace,
    }
}

/// What a decision comes to, without its words: for those who decide millions of times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conclusion<'a> {
    /// What to do.
    pub verdict: Verdict,
    /// The ratio from now on.
    pub next_ratio: Ratio,
    /// The first check that kept the layer from being promoted.
    pub first_blocking: Option<CheckName<'a>>,
}

/// As [`decide`], no further than the first check that blocks, and without words. The checks are
/// the same.
pub fn conclude<'a>(situation: &Situation<'a>) -> Conclusion<'a> {
    let mut first = FirstBlock::default();
    // Ends early as soon as a check blocks.
    let _ = checks(situation, &mut first);
    let (verdict, first_blocking) = first
        .0
        .map_or((Verdict::Promote, None), |(verdict, name)| (verdict, Some(name)));
    Conclusion {
        verdict,
        next_ratio: next_ratio(situation, verdict),
        first_blocking,
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
