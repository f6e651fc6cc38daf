//! The checks of a decision, in the order in which they are traced.

use super::decide::{Check, Outcome, Situation, Verdict};
use crate::{
    analysis::{LayerAnalysis, StageAnalysis},
    bucket::Ratio,
    number::number,
    qos::{GuardrailFinding, QosArm},
    scenario::{Layer, Policy, Sequential},
    stats::{Interval, Known, Reason, non_inferiority::HarmVerdict},
    time::{self, HOUR, Micros},
};

/// A layer that nobody has yet: it opens when the layers before it are full and it was not rolled back with this release.
pub(super) fn opening_checks(situation: &Situation<'_>) -> Vec<Check> {
    let Situation { plan, layer, state, tenant_states, as_of, .. } = situation;
    let mut trace = Vec::new();
    // Nobody should have the candidate: who has it all the same shows that production does not follow the schedule.
    if let Ok(stage) = current_stage(situation) {
        trace.push(leak(&plan.policy, stage));
    }
    if let Some((at, release)) = &state.rolled_back {
        let same = *release == plan.candidate;
        trace.push(check(
            "new_release",
            if same { Outcome::Block(Verdict::Hold) } else { Outcome::Pass },
            if same {
                format!("rolled back at {} with this release; it opens again with a new one", time::format(*at))
            } else {
                format!("{release} was rolled back; {} is a new release", plan.candidate)
            },
        ));
        let until = at + plan.policy.cool_down;
        trace.push(check(
            "cool_down",
            if *as_of < until { Outcome::Block(Verdict::Hold) } else { Outcome::Pass },
            format!("cool-down after the rollback ends at {}", time::format(until)),
        ));
    }
    let waiting: Vec<&str> =
        layer.after.iter().filter(|idx| tenant_states[**idx].ratio < Ratio::FULL).map(|idx| plan.layers[*idx].id.as_str()).collect();
    trace.push(if waiting.is_empty() {
        check("after", Outcome::Pass, "no layer has to be full first".into())
    } else {
        check("after", Outcome::Block(Verdict::Hold), format!("waits until {} full", are(&waiting)))
    });
    trace
}

/// The evidence's current stage, if it is about the ratio in force.
pub(super) fn current_stage<'a>(situation: &Situation<'a>) -> Result<&'a StageAnalysis, Check> {
    let missing = |detail: String| check("evidence", Outcome::Block(Verdict::Inconclusive), detail);
    let stage = situation.evidence.and_then(LayerAnalysis::current).ok_or_else(|| missing("the log says nothing of this layer".into()))?;
    if stage.ratio != situation.state.ratio || stage.start != situation.state.since {
        return Err(missing(format!(
            "the evidence is about {} since {}, but {} is in force since {}",
            stage.ratio,
            time::format(stage.start),
            situation.state.ratio,
            time::format(situation.state.since)
        )));
    }
    Ok(stage)
}

/// The source document's rule to the letter: the point alone decides, every time it is looked at.
pub(super) fn point_checks(situation: &Situation<'_>, stage: &StageAnalysis) -> Vec<Check> {
    let (policy, layer) = (&situation.plan.policy, situation.layer);
    let mut trace = Vec::new();
    trace.push(match &stage.qos.candidate {
        Known::Unknown { reason } => check("qos", Outcome::Block(Verdict::Inconclusive), format!("QoS is not known: {reason}")),
        Known::Value(qos) => {
            let (outcome, detail) = if qos.point < policy.qos_floor {
                (Outcome::Block(Verdict::Rollback), format!("QoS {:.4} is below {}", qos.point, policy.qos_floor))
            } else if qos.point < layer.qos_threshold {
                (Outcome::Block(Verdict::Hold), format!("QoS {:.4} is below {}", qos.point, layer.qos_threshold))
            } else {
                (Outcome::Pass, format!("QoS {:.4} reaches {}", qos.point, layer.qos_threshold))
            };
            Check { value: Some(qos.point), limit: Some(layer.qos_threshold), ..check("qos", outcome, detail) }
        }
    });
    trace.push(ladder_end(situation));
    trace
}

pub(super) fn interval_checks(situation: &Situation<'_>, stage: &StageAnalysis) -> Vec<Check> {
    let mut trace: Vec<Check> = stage.guardrails.iter().map(violation).collect();
    trace.push(sample_ratio(&situation.plan.policy, stage));
    trace.push(leak(&situation.plan.policy, stage));
    trace.push(crossover(&situation.plan.policy, stage));
    trace.push(assignment(situation));
    trace.push(qos_floor(&situation.plan.policy, stage));
    trace.push(ladder_end(situation));
    trace.push(min_users(situation.layer, stage));
    trace.push(dwell(situation));
    trace.extend(stage.guardrails.iter().map(|finding| clearance(finding, stage.ratio)));
    trace.push(qos_threshold(&situation.plan.policy, situation.layer, stage));
    trace
}

fn violation(finding: &GuardrailFinding) -> Check {
    let outcome = match (finding.verdict, finding.reason) {
        (HarmVerdict::Violated, _) => Outcome::Block(Verdict::Rollback),
        (_, Some(_)) => Outcome::NotApplicable,
        _ => Outcome::Pass,
    };
    guardrail_check("guardrail", finding, outcome)
}

/// What promotion needs of a guardrail: to be safe, not just not violated. At ratio 1 there is nothing to compare with.
fn clearance(finding: &GuardrailFinding, ratio: Ratio) -> Check {
    let outcome = match finding.verdict {
        HarmVerdict::Safe | HarmVerdict::Violated => Outcome::Pass,
        HarmVerdict::Unclear if ratio == Ratio::FULL && finding.reason == Some(Reason::NoConcurrentControl) => Outcome::NotApplicable,
        HarmVerdict::Unclear => Outcome::Block(Verdict::Inconclusive),
    };
    guardrail_check("clear", finding, outcome)
}

fn guardrail_check(kind: &str, finding: &GuardrailFinding, outcome: Outcome) -> Check {
    let word = match finding.verdict {
        HarmVerdict::Safe => "safe",
        HarmVerdict::Unclear => "unclear",
        HarmVerdict::Violated => "violated",
    };
    let detail = match (finding.harm, finding.interval, finding.margin, finding.reason) {
        (Some(harm), Some(interval), Some(margin), _) => format!(
            "{} {word}: harm {} in [{}, {}], margin {}",
            finding.metric,
            number(harm),
            number(interval.ci_lower),
            number(interval.ci_upper),
            number(margin)
        ),
        (_, _, _, Some(reason)) => format!("{} {word}: {reason}", finding.metric),
        _ => format!("{} {word}", finding.metric),
    };
    Check {
        check: format!("{kind}:{}", finding.metric),
        outcome,
        value: finding.harm,
        interval: finding.interval,
        limit: finding.margin,
        detail,
    }
}

fn sample_ratio(policy: &Policy, stage: &StageAnalysis) -> Check {
    let Some(srm) = &stage.srm else {
        return check("srm", Outcome::NotApplicable, "one arm was planned alone: no sample ratio to test".into());
    };
    let alarm = srm.p_value < policy.srm_alpha;
    let low_impact = srm.max_abs_deviation < policy.srm_min_deviation;
    let outcome = if alarm && !low_impact { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    let note = if alarm && low_impact { ", low impact" } else { "" };
    Check {
        value: Some(srm.p_value),
        limit: Some(policy.srm_alpha),
        ..check(
            "srm",
            outcome,
            format!("sample ratio: p = {}, deviation {:.2} points{note}", number(srm.p_value), srm.max_abs_deviation * 100.0),
        )
    }
}

fn leak(policy: &Policy, stage: &StageAnalysis) -> Check {
    let users = &stage.users;
    let total = (users.baseline + users.candidate + users.crossover).max(1);
    let share = users.leaked as f64 / total as f64;
    let outcome = if share >= policy.srm_min_deviation && users.leaked > 0 { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    Check {
        value: Some(share),
        limit: Some(policy.srm_min_deviation),
        ..check("leak", outcome, format!("{} users in an arm planned at 0", users.leaked))
    }
}

/// Users seen in both arms of a stage: placement is not sticky, and the arms are not independent.
fn crossover(policy: &Policy, stage: &StageAnalysis) -> Check {
    let users = &stage.users;
    let share = users.crossover as f64 / (users.baseline + users.candidate + users.crossover).max(1) as f64;
    let outcome = if share > policy.max_crossover { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    Check {
        value: Some(share),
        limit: Some(policy.max_crossover),
        ..check("crossover", outcome, format!("{} users seen in both releases", users.crossover))
    }
}

/// Share of rows in the wrong release above which the placement of users is broken.
pub(crate) const MAX_MISASSIGNED: f64 = 0.001;

fn assignment(situation: &Situation<'_>) -> Check {
    if !situation.plan.profile.is_recomputable() {
        return check("assignment", Outcome::NotApplicable, "placement cannot be recomputed".into());
    }
    let outcome = if situation.misassigned > MAX_MISASSIGNED { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    let detail = format!("{:.3}% of all rows in another release than bucket and ratio say", situation.misassigned * 100.0);
    Check { value: Some(situation.misassigned), limit: Some(MAX_MISASSIGNED), ..check("assignment", outcome, detail) }
}

fn qos_floor(policy: &Policy, stage: &StageAnalysis) -> Check {
    let Some(qos) = stage.qos.candidate.value() else {
        return check("qos_floor", Outcome::NotApplicable, "QoS is not known".into());
    };
    let interval = looked_at(policy, qos);
    let below = interval.ci_upper < policy.qos_floor;
    let outcome = if below { Outcome::Block(Verdict::Rollback) } else { Outcome::Pass };
    let word = if below { "below" } else { "not below" };
    Check {
        value: Some(qos.value.qos),
        interval: Some(interval),
        limit: Some(policy.qos_floor),
        ..check("qos_floor", outcome, format!("QoS {} is {word} the floor {}", show(qos.value.qos, interval), policy.qos_floor))
    }
}

fn ladder_end(situation: &Situation<'_>) -> Check {
    match situation.layer.next_step(situation.state.ratio) {
        Some(next) => check("ladder", Outcome::Pass, format!("next step {next}")),
        None => check("ladder", Outcome::Block(Verdict::Hold), "at the end of its ladder; still watched".into()),
    }
}

fn min_users(layer: &Layer, stage: &StageAnalysis) -> Check {
    let outcome = if stage.users.candidate < layer.min_users { Outcome::Block(Verdict::Hold) } else { Outcome::Pass };
    Check {
        value: Some(stage.users.candidate as f64),
        limit: Some(layer.min_users as f64),
        ..check("min_users", outcome, format!("{} of at least {} users exposed", stage.users.candidate, layer.min_users))
    }
}

fn dwell(situation: &Situation<'_>) -> Check {
    let held = situation.as_of - situation.state.since;
    let hours = |micros: Micros| micros as f64 / HOUR as f64;
    let outcome = if held < situation.layer.dwell { Outcome::Block(Verdict::Hold) } else { Outcome::Pass };
    Check {
        value: Some(hours(held)),
        limit: Some(hours(situation.layer.dwell)),
        ..check("dwell", outcome, format!("{} h of {} h at {}", hours(held), hours(situation.layer.dwell), situation.state.ratio))
    }
}

fn qos_threshold(policy: &Policy, layer: &Layer, stage: &StageAnalysis) -> Check {
    let threshold = layer.qos_threshold;
    match &stage.qos.candidate {
        Known::Unknown { reason } => check("qos", Outcome::Block(Verdict::Inconclusive), format!("QoS is not known: {reason}")),
        Known::Value(qos) => {
            let interval = looked_at(policy, qos);
            let (outcome, word) = if interval.ci_lower >= threshold {
                (Outcome::Pass, "reaches")
            } else if interval.ci_upper < threshold {
                (Outcome::Block(Verdict::Hold), "is below")
            } else {
                (Outcome::Block(Verdict::Inconclusive), "may be below")
            };
            Check {
                value: Some(qos.value.qos),
                interval: Some(interval),
                limit: Some(threshold),
                ..check("qos", outcome, format!("QoS {} {word} {threshold}", show(qos.value.qos, interval)))
            }
        }
    }
}

fn looked_at(policy: &Policy, qos: &QosArm) -> Interval {
    match policy.sequential {
        Sequential::Anytime => qos.anytime,
        Sequential::Fixed => qos.ci,
    }
}

pub(super) fn check(name: &str, outcome: Outcome, detail: String) -> Check {
    Check { check: name.to_owned(), outcome, value: None, interval: None, limit: None, detail }
}

fn show(value: f64, interval: Interval) -> String {
    format!("{value:.4} in [{:.4}, {:.4}]", interval.ci_lower, interval.ci_upper)
}

fn are(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        many => format!("{} are", many.join(", ")),
    }
}
