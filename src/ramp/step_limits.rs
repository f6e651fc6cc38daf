//! Warnings before a ramp goes on: steps that cannot decide a guardrail within their dwell, and QoS
//! thresholds that the release of today does not reach.

use rayon::prelude::*;

use crate::analysis::{Analysis, LayerAnalysis, StageAnalysis};
use crate::base::number::number;
use crate::base::time::{DAY, HOUR};
use crate::bucket::Ratio;
use crate::ramp::evidence::QosEvidence;
use crate::ramp::outlook::{days_text, round_up};
use crate::ramp::reach::{Growing, GuardrailGrowth, days_until, next_ratio};
use crate::scenario::{Action, DecisionPolicy, GuardrailRule, Layer, Plan};
use crate::stats::Interval;

/// The warnings on a plan, with the traffic and the values of the baseline in an analysis: for each
/// layer, the first step from the ratio in force on that cannot decide a guardrail within its dwell
/// if the candidate has no effect, and a QoS threshold above the baseline's own interval. None
/// under the policy `point`, which has no intervals.
///
/// # References
/// `docs/METHODS.md#time-to-a-decision`.
pub fn step_warnings(plan: &Plan, analysis: &Analysis) -> Vec<String> {
    if plan.policy.decision == DecisionPolicy::Point {
        return Vec::new();
    }
    let several = analysis
        .layers
        .iter()
        .any(|layer| layer.tenant != analysis.layers[0].tenant);
    let of_layer = |analyzed: &LayerAnalysis| {
        let tenant = if several {
            format!("{} / ", analyzed.tenant)
        } else {
            String::new()
        };
        let found = plan.layer_idx(&analyzed.layer).map_or_else(Vec::new, |idx| {
            of_layer(plan, &plan.layers[idx], analyzed, analysis)
        });
        found
            .into_iter()
            .map(|warning| format!("{tenant}{warning}"))
            .collect::<Vec<_>>()
    };
    analysis.layers.par_iter().flat_map_iter(of_layer).collect()
}

fn of_layer(plan: &Plan, layer: &Layer, analyzed: &LayerAnalysis, analysis: &Analysis) -> Vec<String> {
    // The stage that shows the baseline best.
    let stages = analyzed.stages.iter().filter(|stage| stage.end > stage.start);
    let best = stages.max_by_key(|stage| stage.rows.baseline);
    let Some(stage) = best.filter(|stage| stage.rows.baseline > 0) else {
        return Vec::new();
    };
    let from = analyzed.current().map_or(Ratio::ZERO, |stage| stage.ratio);
    let policy = &plan.policy;
    let growth = |idx| {
        let of = (policy, plan.guardrails.as_slice(), idx);
        GuardrailGrowth::without_effect(of, stage, analyzed.n_eligible, &analysis.metrics).ok()
    };
    let growths = watched(plan).filter_map(growth).collect::<Vec<_>>();
    let of_qos = |stage: &StageAnalysis| {
        let arm = stage.qos.baseline.result().ok()?;
        threshold_warning(
            (layer, from),
            arm.value.qos,
            Some(QosEvidence::from(&arm).interval(policy)),
        )
    };
    let of_qos = of_qos(stage);
    step_warning(layer, from, &growths)
        .into_iter()
        .chain(of_qos)
        .collect()
}

/// The positions of the guardrails that a promotion needs to be safe by an interval.
pub(crate) fn watched(plan: &Plan) -> impl Iterator<Item = usize> {
    let needs_interval = |idx: &usize| {
        let guardrail = &plan.guardrails[*idx];
        guardrail.action == Action::Rollback && !matches!(guardrail.rule, GuardrailRule::MaxCount(_))
    };
    (0..plan.guardrails.len()).filter(needs_interval)
}

/// The first step of a layer from a ratio on that cannot decide a guardrail within its dwell.
/// `growths` are those of the guardrails without an effect of the candidate.
pub(crate) fn step_warning(layer: &Layer, from: Ratio, growths: &[GuardrailGrowth<'_>]) -> Option<String> {
    let dwell = layer.dwell as f64 / DAY as f64;
    for step in steps_to_leave(layer, from) {
        let days = |growth: &GuardrailGrowth<'_>| days_until(growth, step, 0.0).unwrap_or(f64::INFINITY);
        let late: Vec<(&GuardrailGrowth<'_>, f64)> = growths
            .iter()
            .filter(|growth| !growth.passes(dwell, step))
            .map(|growth| (growth, days(growth)))
            .collect();
        let Some((growth, days)) = late.iter().max_by(|a, b| a.1.total_cmp(&b.1)) else {
            continue;
        };
        let guardrail = &growth.guardrails[growth.idx];
        let takes = if days.is_finite() {
            format!("it takes {}", days_text(*days))
        } else {
            "not even within a year".to_owned()
        };
        let mut ways = Vec::new();
        if let Some((ratio, _)) = next_ratio(*growth, &layer.ladder, step, dwell) {
            ways.push(format!("{ratio} can"));
        }
        if let Some(margin) = growth.half_width(dwell, step) {
            ways.push(format!("a margin of {} can", number(round_up(margin))));
        }
        let ways = if ways.is_empty() {
            String::new()
        } else {
            format!("; {}", ways.join(", "))
        };
        let more = match late.len() - 1 {
            0 => String::new(),
            1 => "; so it is for 1 more guardrail".to_owned(),
            n => format!("; so it is for {n} more guardrails"),
        };
        return Some(format!(
            "{} at {step}: `{}` cannot clear a margin of {} within the dwell of {} h, even without an effect: \
             {takes}{ways}{more}",
            layer.id,
            guardrail.metric,
            number(guardrail.margin(growth.arms[0].estimate).unwrap_or(0.0)),
            number(layer.dwell as f64 / HOUR as f64)
        ));
    }
    None
}

/// The ratios at which a promotion is still to be decided: the one in force, and the steps above it
/// except the last one.
fn steps_to_leave(layer: &Layer, from: Ratio) -> impl Iterator<Item = Ratio> {
    let above = layer.steps().filter(move |step| *step > from);
    let all = std::iter::once(from)
        .filter(|from| *from > Ratio::ZERO)
        .chain(above);
    all.filter(|step| *step < layer.last_step())
}

/// The warning on a QoS threshold that the baseline does not reach. None if no promotion from the
/// ratio in force on asks for it. `interval` is that of the
/// baseline's QoS; `None` for a value without an error.
pub(crate) fn threshold_warning(
    (layer, from): (&Layer, Ratio),
    qos: f64,
    interval: Option<Interval>,
) -> Option<String> {
    steps_to_leave(layer, from).next()?;
    let threshold = layer.qos_threshold;
    let text = interval.map_or_else(String::new, |interval| {
        format!(" [{:.3}, {:.3}]", interval.ci_lower, interval.ci_upper)
    });
    (threshold > interval.map_or(qos, |interval| interval.ci_upper)).then(|| {
        format!(
            "threshold {threshold} of layer {} lies above the baseline's QoS {qos:.3}{text}: the candidate must be \
             better than today to be promoted",
            layer.id
        )
    })
}
