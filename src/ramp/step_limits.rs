//! Warnings before a ramp goes on: steps that cannot decide a guardrail within their dwell, and QoS
//! thresholds that the release of today does not reach.

use rayon::prelude::*;

use crate::analysis::{Analysis, LayerAnalysis, StageAnalysis};
use crate::base::time::{DAY, HOUR};
use crate::bucket::Ratio;
use crate::ramp::evidence::QosEvidence;
use crate::ramp::outlook::round_up;
use crate::ramp::reach::{Growing, GuardrailGrowth, days_until, next_ratio};
use crate::scenario::{Action, DecisionPolicy, GuardrailRule, Layer, Plan};
use crate::stats::{Interval, Reason};
use crate::words::outlook::DaysNeeded;
use crate::words::plan as sentence;
use crate::words::ramp::{Beside, LimitBeside};
use crate::words::{Count, Hours, Text};

/// Number of layers that are looked at together.
const CHUNK: usize = 256;

/// The warnings on a plan, with the traffic and the values of the baseline in an analysis: for each
/// layer, the first step from the ratio in force on that cannot decide a guardrail within its dwell
/// if the candidate has no effect, and a QoS threshold above the baseline's own interval. None
/// under the policy `point`, which has no intervals. At most the first `most` warnings: the
/// other layers are not looked at then.
///
/// # References
/// `docs/METHODS.md#time-to-a-decision`.
pub fn step_warnings(plan: &Plan, analysis: &Analysis, most: usize) -> Vec<Text> {
    let mut warnings = Vec::new();
    if plan.policy.decision == DecisionPolicy::Point {
        return warnings;
    }
    let several = analysis
        .layers
        .iter()
        .any(|layer| layer.tenant != analysis.layers[0].tenant);
    let of_layer = |analyzed: &LayerAnalysis| {
        let found = plan.layer_idx(&analyzed.layer).map_or_else(Vec::new, |idx| {
            of_layer(plan, &plan.layers[idx], analyzed, analysis)
        });
        let named = |warning: Text| match several {
            true => sentence::of_tenant(&analyzed.tenant, warning),
            false => warning,
        };
        found.into_iter().map(named).collect::<Vec<_>>()
    };
    for layers in analysis.layers.chunks(CHUNK) {
        if warnings.len() >= most {
            break;
        }
        warnings.extend(layers.par_iter().flat_map_iter(of_layer).collect::<Vec<_>>());
    }
    warnings.truncate(most);
    warnings
}

/// The stage that shows the baseline best. `None` if no stage has a row of it.
fn best_stage(analyzed: &LayerAnalysis) -> Option<&StageAnalysis> {
    let stages = analyzed.stages.iter().filter(|stage| stage.end > stage.start);
    let best = stages.max_by_key(|stage| stage.rows.baseline);
    best.filter(|stage| stage.rows.baseline > 0)
}

/// The guardrails that a promotion needs, without an effect of the candidate.
fn growths<'a>(
    plan: &'a Plan,
    stage: &StageAnalysis,
    analyzed: &LayerAnalysis,
    analysis: &Analysis,
) -> Vec<GuardrailGrowth<'a>> {
    let growth = |idx| {
        let of = (&plan.policy, plan.guardrails.as_slice(), idx);
        GuardrailGrowth::without_effect(of, stage, analyzed.n_eligible, &analysis.metrics).ok()
    };
    watched(plan).filter_map(growth).collect()
}

/// The smallest usual ratio below 1 at which a step of a layer decides every guardrail within its
/// dwell, if the candidate has no effect. `Ok(None)` if no ratio does.
///
/// # Errors
/// [`Reason::NoData`] if the log shows no guardrail of the baseline in this layer.
pub(crate) fn deciding_ratio(
    plan: &Plan,
    layer: &Layer,
    analyzed: &LayerAnalysis,
    analysis: &Analysis,
) -> Result<Option<Ratio>, Reason> {
    let stage = best_stage(analyzed).ok_or(Reason::NoData)?;
    let growths = growths(plan, stage, analyzed, analysis);
    if growths.is_empty() {
        return Err(Reason::NoData);
    }
    let dwell = layer.dwell as f64 / DAY as f64;
    let ratios: Option<Vec<Ratio>> = growths
        .iter()
        .map(|growth| Some(next_ratio(growth, &[], Ratio::ZERO, dwell)?.0))
        .collect();
    let largest = ratios.and_then(|ratios| ratios.into_iter().max());
    Ok(largest.filter(|ratio| growths.iter().all(|growth| growth.passes(dwell, *ratio))))
}

fn of_layer(plan: &Plan, layer: &Layer, analyzed: &LayerAnalysis, analysis: &Analysis) -> Vec<Text> {
    let Some(stage) = best_stage(analyzed) else {
        return Vec::new();
    };
    let from = analyzed.current().map_or(Ratio::ZERO, |stage| stage.ratio);
    let policy = &plan.policy;
    let growths = growths(plan, stage, analyzed, analysis);
    let of_qos = |stage: &StageAnalysis| {
        let arm = stage.qos.baseline.result().ok()?;
        threshold_warning(
            plan,
            (layer, from),
            arm.value.qos,
            Some(QosEvidence::from(&arm).interval(policy)),
        )
    };
    let of_qos = of_qos(stage);
    step_warning(plan, layer, from, &growths)
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
pub(crate) fn step_warning(
    plan: &Plan,
    layer: &Layer,
    from: Ratio,
    growths: &[GuardrailGrowth<'_>],
) -> Option<Text> {
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
        let term = plan.term(&guardrail.metric);
        let margin = term.difference(guardrail.margin(growth.arms[0].estimate).unwrap_or(0.0));
        let (name, of_dwell) = (
            plan.layer_name(&layer.id),
            Hours(layer.dwell as f64 / HOUR as f64),
        );
        let mut texts = vec![if days.is_finite() {
            sentence::step_takes(name, step, term, margin, of_dwell, DaysNeeded(*days))
        } else {
            sentence::step_never(name, step, term, margin, of_dwell)
        }];
        let ratio = next_ratio(*growth, &layer.ladder, step, dwell).map(|(ratio, _)| ratio);
        let margin = growth.half_width(dwell, step);
        let margin = margin.map(|margin| term.difference(round_up(margin)));
        texts.extend(match (ratio, margin) {
            (Some(ratio), Some(margin)) => Some(sentence::ratio_or_margin_can(ratio, margin)),
            (Some(ratio), None) => Some(sentence::ratio_can(ratio)),
            (None, Some(margin)) => Some(sentence::margin_can(margin)),
            (None, None) => None,
        });
        match late.len() - 1 {
            0 => {}
            1 => texts.push(sentence::one_more_guardrail()),
            n => texts.push(sentence::more_guardrails(Count(n as u64))),
        }
        return Some(Text::sentences(&texts));
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
    plan: &Plan,
    (layer, from): (&Layer, Ratio),
    qos: f64,
    interval: Option<Interval>,
) -> Option<Text> {
    steps_to_leave(layer, from).next()?;
    let threshold = layer.qos_threshold;
    let is_above = threshold > interval.map_or(qos, |interval| interval.ci_upper);
    is_above.then(|| {
        let (name, beside) = (plan.layer_name(&layer.id), |value| Beside(value, threshold));
        let limit = LimitBeside {
            limit: threshold,
            value: interval.map_or(qos, |interval| interval.ci_upper),
        };
        match interval {
            None => sentence::threshold_above(limit, name, beside(qos)),
            Some(interval) => sentence::threshold_above_interval(
                limit,
                name,
                beside(qos),
                beside(interval.ci_lower),
                beside(interval.ci_upper),
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Better;
    use crate::scenario::{Overrides, Scenario};
    use crate::stats::effect::MetricForm;
    use crate::stats::growth::{ArmGrowth, ClusterGrowth, Visits};
    use std::path::Path;

    fn plan() -> Plan {
        let text = r#"
            as_of = "2026-01-10"
            plan = { id = "p", start = "2026-01-01", baseline = "a", candidate = "b" }
            input = { users_from_traffic = true, traffic = [{ path = "t.csv" }] }
            policy = { sequential = "fixed" }
            guardrail = [
                { metric = "task_completion_rate", margin = 0.02 },
                { metric = "complaint_rate", margin = 0.02, action = "hold" },
                { metric = "incident_rate", max_count = 0 },
            ]
            [[layer]]
            id = "early"
            min_score = 0.8
            ladder = [0.01, 0.5, 1.0]
            dwell_hours = 72
            qos_threshold = 0.85
            [[layer]]
            id = "vip"
            initial_ratio = 1.0
            qos_threshold = 0.99
        "#;
        let scenario = Scenario::parse(text, "test", Path::new(""), &Overrides::default());
        scenario.unwrap().plan
    }

    /// 20,000 users with a row a day: 1.99 sqrt(0.16 (1 / R + 1 / (99 R))) is 0.033 after 3 days at
    /// 1 % (R = 600), and 0.02 after 8 days.
    #[test]
    fn the_first_step_that_cannot_decide_in_its_dwell_is_named() {
        let plan = plan();
        assert_eq!(watched(&plan).collect::<Vec<_>>(), [0]);
        let arm = ArmGrowth {
            estimate: 0.8,
            row_variance: 0.16,
            user_variance: 0.0,
            rows_per_day: 20_000.0,
            df_share: 1.0,
            visits: Visits {
                n_users: 20_000.0,
                activity: 1.0,
                users_per_day: 0.0,
            },
            clusters: ClusterGrowth::Groups,
        };
        let of = (&plan.policy, plan.guardrails.as_slice(), 0);
        let growths = [GuardrailGrowth::new(
            of,
            MetricForm::Proportion,
            Better::Higher,
            [arm; 2],
        )];
        let check = |from: f64, expected: Option<&str>| {
            let from = Ratio::try_from_share(from).unwrap();
            let found = step_warning(&plan, &plan.layers[0], from, &growths);
            assert_eq!(found.as_ref().map(|text| text.en.as_str()), expected);
        };
        let text = "early at 1%: the task completion rate cannot clear its margin of 2 points within the dwell of 72 \
                    hours, even if the candidate changes nothing: it takes 8 days. 5% is enough, and so is a margin of 3.3 \
                    points.";
        check(0.0, Some(text));
        check(0.01, Some(text));
        check(0.5, None);
        check(1.0, None);
        // A ratio in force that is no step of the ladder has to be left, too.
        let text = text
            .replace("early at 1%", "early at 0.9%")
            .replace("8 days", "9 days")
            .replace("3.3", "3.5");
        let from = Ratio::try_from_share(0.009).unwrap();
        let found = step_warning(&plan, &plan.layers[0], from, &growths).unwrap();
        assert_eq!(found.en, text);
        assert_eq!(
            found.zh,
            "early 在 0.9%：即使候选毫无变化，任务完成率也无法在停留的 72 小时内通过界限 2 个百分点，需要 9 天。\
             5% 可以，界限 3.5 个百分点也可以。"
        );
    }

    #[test]
    fn a_threshold_that_today_does_not_reach_is_named() {
        let plan = plan();
        let check = |idx: usize, from: Ratio, interval: Option<[f64; 2]>, expected: Option<&str>| {
            let interval = interval.map(|[ci_lower, ci_upper]| Interval { ci_lower, ci_upper });
            let found = threshold_warning(&plan, (&plan.layers[idx], from), 0.79, interval);
            assert_eq!(found.as_ref().map(|text| text.en.as_str()), expected);
        };
        let text = "The QoS threshold of 0.85 of early lies above the baseline's QoS of 0.79 (between 0.78 and 0.8): \
                    the candidate must be better than today to be promoted.";
        check(0, Ratio::ZERO, Some([0.78, 0.8]), Some(text));
        check(0, Ratio::ZERO, Some([0.7, 0.85]), None);
        let text = "The QoS threshold of 0.85 of early lies above the baseline's QoS of 0.79: the candidate must be \
                    better than today to be promoted.";
        check(0, Ratio::ZERO, None, Some(text));
        // No promotion asks for the threshold any more, or ever.
        check(0, Ratio::FULL, None, None);
        check(1, Ratio::ZERO, None, None);
    }
}
