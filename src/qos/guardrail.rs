//! Guardrails: non-inferiority of single metrics against the concurrent control, corrected for being several.

use serde::{Deserialize, Serialize};

use crate::{
    metric::Better,
    scenario::{Guardrail, GuardrailRule, Policy, Sequential},
    stats::{
        Interval, Reason,
        effect::Effect,
        multiplicity::holm,
        non_inferiority::{HarmVerdict, judge},
    },
};

/// What is known of a guardrail's metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardrailInput {
    /// Which way the metric is good.
    pub better: Better,
    /// Candidate against control.
    pub effect: Result<Effect, Reason>,
    /// Events in the candidate (the metric's numerator); `None` without data.
    pub candidate_events: Option<f64>,
    /// The candidate's own value with its interval.
    pub candidate: Result<(f64, Interval), Reason>,
}

/// What a guardrail found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardrailFinding {
    /// The metric's id.
    pub metric: String,
    /// What was not allowed.
    pub rule: GuardrailRule,
    /// The absolute limit, if there is one.
    pub limit: Option<f64>,
    /// What the evidence says.
    pub verdict: HarmVerdict,
    /// The effect in the bad direction.
    pub harm: Option<f64>,
    /// Its interval, as the policy looks at it.
    pub interval: Option<Interval>,
    /// The margin in the metric's unit.
    pub margin: Option<f64>,
    /// p-value of "no harm", two-sided, as the policy looks at it.
    pub p_value: Option<f64>,
    /// The same after Holm's correction over the layer's guardrails.
    pub p_value_adj: Option<f64>,
    /// Why there is no harm to judge.
    pub reason: Option<Reason>,
}

/// Judges all guardrails of a layer together.
///
/// Violations are corrected for the number of guardrails (Holm); `safe` needs no correction, because all must be safe.
///
/// # References
/// METHODS sections 4 and 5.
pub fn judge_guardrails(guardrails: &[Guardrail], inputs: &[GuardrailInput], policy: &Policy) -> Vec<GuardrailFinding> {
    let p_values: Vec<f64> =
        inputs.iter().map(|input| input.effect.as_ref().map_or(1.0, |effect| harm_p_value(effect, input.better, policy))).collect();
    // Only guardrails with a margin and an effect are tests; the others must not cost them error level.
    let tested: Vec<usize> = (0..inputs.len().min(guardrails.len()))
        .filter(|idx| inputs[*idx].effect.is_ok() && !matches!(guardrails[*idx].rule, GuardrailRule::MaxCount(_)))
        .collect();
    let mut adjusted = vec![1.0; p_values.len()];
    for (idx, p) in tested.iter().zip(holm(&tested.iter().map(|idx| p_values[*idx]).collect::<Vec<_>>())) {
        adjusted[*idx] = p;
    }
    guardrails
        .iter()
        .zip(inputs)
        .zip(p_values.into_iter().zip(adjusted))
        .map(|((guardrail, input), p)| find(guardrail, input, p, policy))
        .collect()
}

fn find(guardrail: &Guardrail, input: &GuardrailInput, (p_value, p_value_adj): (f64, f64), policy: &Policy) -> GuardrailFinding {
    let mut finding = GuardrailFinding {
        metric: guardrail.metric.clone(),
        rule: guardrail.rule,
        limit: guardrail.limit,
        verdict: HarmVerdict::Unclear,
        harm: None,
        interval: None,
        margin: None,
        p_value: None,
        p_value_adj: None,
        reason: None,
    };
    match (guardrail.rule, &input.effect) {
        (GuardrailRule::MaxCount(max), _) => match input.candidate_events {
            Some(events) => finding.verdict = if events > max as f64 { HarmVerdict::Violated } else { HarmVerdict::Safe },
            None => finding.reason = Some(input.candidate.err().unwrap_or(Reason::NoData)),
        },
        (_, Err(reason)) => finding.reason = Some(*reason),
        (rule, Ok(effect)) => {
            let interval = match policy.sequential {
                Sequential::Anytime => effect.anytime,
                Sequential::Fixed => effect.ci,
            };
            let (harm, interval) = match input.better {
                Better::Lower => (effect.effect_size, interval),
                Better::Higher => (-effect.effect_size, interval.negated()),
            };
            let margin = match rule {
                GuardrailRule::RelativeMargin(share) => share * effect.control.abs(),
                GuardrailRule::Margin(margin) => margin,
                GuardrailRule::MaxCount(_) => 0.0,
            };
            finding.verdict = judge(harm, interval, margin, p_value_adj <= policy.alpha);
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

/// The p-value of "no effect" if the effect is harmful, else 1.
fn harm_p_value(effect: &Effect, better: Better, policy: &Policy) -> f64 {
    let is_harm = match better {
        Better::Lower => effect.effect_size > 0.0,
        Better::Higher => effect.effect_size < 0.0,
    };
    match (is_harm, policy.sequential) {
        (false, _) => 1.0,
        (true, Sequential::Anytime) => effect.anytime_p_value,
        (true, Sequential::Fixed) => effect.p_value,
    }
}
