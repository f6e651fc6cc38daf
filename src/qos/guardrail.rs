//! Guardrails: non-inferiority tests of single metrics against the concurrent control, with a
//! correction for multiple tests.

use serde::{Deserialize, Serialize};

use crate::metric::Better;
use crate::scenario::{Guardrail, GuardrailRule};
use crate::stats::effect::Look;
use crate::stats::gates::Gate;
use crate::stats::half_width::IntervalBounds;
use crate::stats::look_bounds::LookBounds;
use crate::stats::multiplicity::holm_in_place;
use crate::stats::non_inferiority::{HarmVerdict, is_beyond_margin, judge};
use crate::stats::{Interval, Reason};

/// Up to this many guardrails are judged without an allocation. Simulations judge few guardrails
/// very often.
const FEW: usize = 16;

/// The evidence on a guardrail's metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardrailInput {
    /// The direction in which the metric improves.
    pub better: Better,
    /// The effect of the candidate against the control, with the interval and p-value of the
    /// policy; or the reason for its absence.
    pub effect: Result<Look, Reason>,
    /// Number of events in the candidate (the numerator of the metric); `None` without data.
    pub candidate_events: Option<f64>,
    /// The candidate's own value with its interval, or the reason for its absence.
    pub candidate: Result<(f64, Interval), Reason>,
}

/// The result of a guardrail, with its rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardrailFinding {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// The rule: a margin, or a maximum number of events.
    pub rule: GuardrailRule,
    /// The absolute limit of the candidate's value, in the metric's unit; `None` if the guardrail
    /// has none.
    pub limit: Option<f64>,
    /// The verdict on the guardrail and its evidence.
    #[serde(flatten)]
    pub judged: Judged,
}

/// The verdict on a guardrail and its evidence. The optional numbers are `None` for a maximum
/// number of events, and if there is no effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Whether the candidate keeps the rule of the guardrail: safe, unclear or violated.
    pub verdict: HarmVerdict,
    /// The effect in the bad direction, in the metric's unit: above 0 is worse than the control.
    /// `None` without an effect.
    pub harm: Option<f64>,
    /// Interval of the harm, for one planned look or for every look, as the policy says. `None`
    /// without an effect.
    pub interval: Option<Interval>,
    /// The margin in the metric's unit. `None` for a maximum number of events, and without an
    /// effect.
    pub margin: Option<f64>,
    /// True if the margin is the guardrail's `min_margin`, because the relative margin of the
    /// baseline's value is smaller.
    #[serde(default)]
    pub takes_min_margin: bool,
    /// P-value of "no harm", 0..=1: the two-sided p-value of the effect if the effect is harmful,
    /// otherwise 1. `None` without an effect.
    pub p_value: Option<f64>,
    /// The p-value after Holm's adjustment over the layer's guardrails that have a margin and an
    /// effect, 0..=1. `None` for other guardrails.
    pub p_value_adj: Option<f64>,
    /// The reason for the absence of an effect, or of events; `None` if there was evidence.
    pub reason: Option<Reason>,
    /// The gate of a group-sequential ramp. `None` under other policies, for guardrails without a
    /// gate, and before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// Judges all guardrails of a layer together, for a document. `guardrails` and `inputs` have the
/// same order. See [`judge_all`].
pub fn judge_guardrails(
    guardrails: &[Guardrail],
    inputs: &[GuardrailInput],
    certain_at: f64,
) -> Vec<GuardrailFinding> {
    let mut judged = Vec::new();
    judge_all(guardrails, inputs, certain_at, &mut judged);
    let finding = |(guardrail, judged): (&Guardrail, Judged)| GuardrailFinding {
        metric: guardrail.metric.clone(),
        rule: guardrail.rule,
        limit: guardrail.limit,
        judged,
    };
    guardrails.iter().zip(judged).map(finding).collect()
}

/// Judges all guardrails of a layer together. A harm is certain if its adjusted p-value is at most
/// `certain_at`, above 0 and at most 0.5. `out` is cleared and then holds one result per
/// guardrail, in the order of `guardrails` and `inputs`.
///
/// Violations are corrected for the number of guardrails by Holm's method. `Safe` needs no
/// correction, because all guardrails must be safe. The candidate's own interval is also compared
/// with the absolute limit: completely beyond it is a violation, across it is at best `Unclear`.
///
/// # References
/// `docs/METHODS.md#guardrails`; Holm (1979).
pub fn judge_all(
    guardrails: &[Guardrail],
    inputs: &[GuardrailInput],
    certain_at: f64,
    out: &mut Vec<Judged>,
) {
    out.clear();
    let p_value = |input: &GuardrailInput| {
        input
            .effect
            .as_ref()
            .map_or(1.0, |effect| harm_p_value(effect, input.better))
    };
    // Only guardrails with a margin and an effect are tests. The others must not take part in the
    // correction.
    let is_tested = |(guardrail, input): &(&Guardrail, &GuardrailInput)| {
        input.effect.is_ok() && !matches!(guardrail.rule, GuardrailRule::MaxCount(_))
    };
    let pairs = || guardrails.iter().zip(inputs);
    let n_tested = pairs().filter(is_tested).count();
    let (mut few, mut many) = ([1.0; FEW], Vec::new());
    let adjusted: &mut [f64] = if n_tested <= FEW {
        &mut few[..n_tested]
    } else {
        many.resize(n_tested, 1.0);
        &mut many
    };
    adjusted
        .iter_mut()
        .zip(pairs().filter(is_tested))
        .for_each(|(p, (_, input))| *p = p_value(input));
    holm_in_place(adjusted);
    let mut adjusted = adjusted.iter().copied();
    for (guardrail, input) in pairs() {
        let p_value_adj = if is_tested(&(guardrail, input)) {
            adjusted.next().unwrap_or(1.0)
        } else {
            1.0
        };
        out.push(find(guardrail, input, p_value(input), p_value_adj, certain_at));
    }
}

fn find(
    guardrail: &Guardrail,
    input: &GuardrailInput,
    p_value: f64,
    p_value_adj: f64,
    certain_at: f64,
) -> Judged {
    let mut finding = Judged {
        verdict: HarmVerdict::Unclear,
        harm: None,
        interval: None,
        margin: None,
        takes_min_margin: false,
        p_value: None,
        p_value_adj: None,
        reason: None,
        gate: None,
    };
    match (guardrail.rule, &input.effect) {
        (GuardrailRule::MaxCount(max), _) => match input.candidate_events {
            Some(events) => {
                finding.verdict = if events > max as f64 {
                    HarmVerdict::Violated
                } else {
                    HarmVerdict::Safe
                }
            }
            None => finding.reason = Some(input.candidate.err().unwrap_or(Reason::NoData)),
        },
        (_, Err(reason)) => finding.reason = Some(*reason),
        (_, Ok(effect)) => {
            let (harm, interval) = harm_of(effect.effect_size, effect.interval, input.better);
            let margin = guardrail.margin(effect.control).unwrap_or(0.0);
            finding.takes_min_margin = guardrail.takes_min_margin(effect.control);
            finding.verdict = judge(harm, interval, margin, p_value_adj <= certain_at);
            finding.harm = Some(harm);
            finding.interval = Some(interval);
            finding.margin = Some(margin);
            finding.p_value = Some(p_value);
            finding.p_value_adj = Some(p_value_adj);
        }
    }
    if let (Some(limit), Ok((_, interval))) = (guardrail.limit, &input.candidate) {
        let (is_beyond, is_within) = match input.better {
            Better::Lower => (interval.ci_lower > limit, interval.ci_upper <= limit),
            Better::Higher => (interval.ci_upper < limit, interval.ci_lower >= limit),
        };
        if is_beyond {
            finding.verdict = HarmVerdict::Violated;
        } else if !is_within && finding.verdict == HarmVerdict::Safe {
            finding.verdict = HarmVerdict::Unclear;
        }
    }
    finding
}

/// An effect in the bad direction, with its interval.
fn harm_of(effect_size: f64, interval: Interval, better: Better) -> (f64, Interval) {
    match better {
        Better::Lower => (effect_size, interval),
        Better::Higher => (-effect_size, interval.negated()),
    }
}

/// Whether a harm lies within its margin, so that no interval and no p-value give a violation.
pub fn is_within_margin(guardrail: &Guardrail, effect: &Look, better: Better) -> bool {
    let (harm, _) = harm_of(effect.effect_size, effect.interval, better);
    // An interval contains its estimate, so none lies beyond the margin.
    matches!(guardrail.rule, GuardrailRule::MaxCount(_))
        || harm <= guardrail.margin(effect.control).unwrap_or(0.0)
}

/// The verdict of [`judge_all`] on a margin, if it is the same, and no violation, for every interval
/// within the bounds and every p-value. Simulations then judge by the bounds.
pub fn settled_verdict(guardrail: &Guardrail, bounds: &LookBounds, better: Better) -> Option<HarmVerdict> {
    let LookBounds {
        control,
        effect_size,
        slack,
        interval: IntervalBounds { narrow, wide },
    } = *bounds;
    let (harm, narrow) = harm_of(effect_size, narrow, better);
    let (_, wide) = harm_of(effect_size, wide, better);
    let margin = guardrail.margin(control).unwrap_or(0.0);
    // The narrow interval has the highest lower end.
    let is_settled = !is_beyond_margin(harm + slack, narrow, margin - slack)
        && !IntervalBounds { narrow, wide }.is_upper_near(margin);
    is_settled.then(|| judge(harm, wide, margin, false))
}

/// Whether bounds are enough for the verdict of [`judge_all`]; see [`settled_verdict`].
pub fn is_settled(guardrail: &Guardrail, bounds: &LookBounds, better: Better) -> bool {
    // A number of events is not compared with the control.
    matches!(guardrail.rule, GuardrailRule::MaxCount(_))
        || settled_verdict(guardrail, bounds, better).is_some()
}

/// The p-value of "no effect" if the effect is harmful, otherwise 1.
fn harm_p_value(effect: &Look, better: Better) -> f64 {
    let is_harm = match better {
        Better::Lower => effect.effect_size > 0.0,
        Better::Higher => effect.effect_size < 0.0,
    };
    if is_harm { effect.p_value } else { 1.0 }
}
