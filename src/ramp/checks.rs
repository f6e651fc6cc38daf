//! The checks of a decision, in the order in which they are traced.

use std::ops::ControlFlow;

use crate::base::number::{count, number};
use crate::base::time;
use crate::base::time::{HOUR, Micros};
use crate::bucket::Ratio;
use crate::qos::Judged;
use crate::ramp::approval;
use crate::ramp::coverage::Coverage;
use crate::ramp::data_checks::{assignment, crossover, leak, sample_ratio};
use crate::ramp::evidence::StageEvidence;
use crate::ramp::gate_checks::{gate_check, gated_clearance, has_gates, is_last_promotion};
use crate::ramp::own_past_check::own_past;
use crate::ramp::situation::Situation;
use crate::ramp::slices_check::slices;
use crate::ramp::trace::{CheckFlow, CheckName, CheckValues, Trace, block_if, plain};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Action, Guardrail};
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::{Interval, Reason};

/// Runs all checks of a situation in their order.
pub(super) fn checks<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    coverage(situation, trace)?;
    if situation.state.ratio == Ratio::ZERO {
        return opening_checks(situation, trace);
    }
    let evidence = match current(situation) {
        Ok(evidence) => evidence,
        Err(_) if situation.state.pending.is_some() => return pending_checks(situation, trace),
        Err(detail) => {
            let verdict = Verdict::on_trouble(situation.plan.policy.no_data_action, Verdict::Inconclusive);
            return trace.push(
                plain("evidence"),
                CheckValues::new(CheckOutcome::Block(verdict)),
                detail,
            );
        }
    };
    match situation.plan.policy.decision {
        crate::scenario::DecisionPolicy::Point => point_checks(situation, evidence, trace),
        crate::scenario::DecisionPolicy::Interval => interval_checks(situation, evidence, trace),
    }
}

/// Checks that the log's rows have a known user and release, and that some user is eligible. A log
/// without rows is not checked here: it has no evidence.
fn coverage<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let Some(coverage) = situation.coverage else {
        return ControlFlow::Continue(());
    };
    let outcome = match coverage.share() {
        _ if coverage.is_invalid() => CheckOutcome::Block(Verdict::Invalid),
        Some(_) => CheckOutcome::Pass,
        None => CheckOutcome::NotApplicable,
    };
    let found = CheckValues {
        value: coverage.share(),
        limit: Some(coverage.min()),
        ..CheckValues::new(outcome)
    };
    trace.push(plain("coverage"), found, || coverage.describe())
}

/// Checks of a layer at ratio 0. It opens when the layers before it are at the end of their
/// ladders, and it was not rolled back with the same release.
fn opening_checks<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let Situation {
        plan,
        layer,
        state,
        tenant_states,
        as_of,
        ..
    } = situation;
    // At ratio 0 no user should have the candidate. Users who have it show that production does not
    // follow the schedule.
    if let Ok(evidence) = current(situation) {
        leak(&plan.policy, evidence, trace)?;
    }
    if let Some((at, release)) = &state.rolled_back {
        let same = *release == plan.candidate;
        trace.push(
            plain("new_release"),
            CheckValues::new(block_if(same, Verdict::Hold)),
            || {
                if same {
                    format!(
                        "this release was rolled back here at {}; the layer opens again with a new release",
                        time::format(*at)
                    )
                } else {
                    format!("{release} was rolled back; {} is a new release", plan.candidate)
                }
            },
        )?;
        let until = at + plan.policy.cool_down;
        trace.push(
            plain("cool_down"),
            CheckValues::new(block_if(*as_of < until, Verdict::Hold)),
            || format!("cool-down after the rollback ends at {}", time::format(until)),
        )?;
    }
    let is_waited_for = |idx: &&usize| tenant_states[**idx].ratio < plan.layers[**idx].last_step();
    let waits = layer.after.iter().any(|idx| is_waited_for(&idx));
    trace.push(
        plain("after"),
        CheckValues::new(block_if(waits, Verdict::Hold)),
        || {
            let waiting: Vec<&str> = layer
                .after
                .iter()
                .filter(is_waited_for)
                .map(|idx| plan.layers[*idx].id.as_str())
                .collect();
            if waits {
                format!("waits until {} full", join_names(&waiting))
            } else {
                "no layer has to be full first".into()
            }
        },
    )?;
    freeze(situation, trace)?;
    approved(situation, trace)
}

/// Returns the evidence of the ratio in force. Evidence of another stage, or no evidence, gives the
/// text of the problem.
fn current<'a>(situation: &Situation<'a>) -> Result<&'a StageEvidence, impl FnOnce() -> String + use<'a>> {
    let (evidence, state) = (situation.evidence, situation.state);
    match evidence {
        Some(evidence) if evidence.ratio == state.ratio && evidence.start == state.since => Ok(evidence),
        other => Err(move || match other {
            None => "the log has no data on this layer".to_owned(),
            Some(evidence) => format!(
                "the evidence is about {} since {}, but {} is in force since {}",
                evidence.ratio,
                time::format(evidence.start),
                state.ratio,
                time::format(state.since)
            ),
        }),
    }
}

/// Checks of a layer whose ratio is not in force everywhere. Its users have either ratio, so only
/// harm decides.
fn pending_checks<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    if let Some(evidence) = situation.evidence {
        let judged = situation.plan.guardrails.iter().zip(&evidence.guardrails);
        for (guardrail, judged) in judged.filter(|(guardrail, _)| guardrail.action == Action::Rollback) {
            guardrail_check(
                "guardrail",
                &guardrail.metric,
                (situation, judged),
                violation(judged, Verdict::Rollback),
                trace,
            )?;
        }
    }
    trace.push(
        plain("in_force"),
        CheckValues::new(CheckOutcome::Block(Verdict::Hold)),
        || {
            let missing = situation.state.pending.iter().flat_map(|force| &force.missing);
            let missing: Vec<&str> = missing.map(String::as_str).collect();
            format!(
                "{} was decided at {} and is not in force in every target: {} does not have it; publish again",
                situation.state.ratio,
                time::format(situation.state.since),
                if missing.is_empty() {
                    "a target".to_owned()
                } else {
                    missing.join(", ")
                }
            )
        },
    )
}

/// Checks of the policy `point`: the rule of the reference policy (docs/REFERENCE_POLICY.md). Only
/// the point estimate of QoS decides, at every look.
fn point_checks<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let (policy, threshold) = (&situation.plan.policy, situation.layer.qos_threshold);
    match &evidence.qos {
        Err(reason) => {
            let verdict = Verdict::on_trouble(policy.no_data_action, Verdict::Inconclusive);
            trace.push(
                plain("qos"),
                CheckValues::new(CheckOutcome::Block(verdict)),
                || qos_unknown(situation, *reason),
            )?;
        }
        Ok(qos) => {
            let (outcome, word, limit) = if qos.point < policy.qos_floor {
                (
                    CheckOutcome::Block(Verdict::Rollback),
                    "is below",
                    policy.qos_floor,
                )
            } else if qos.point < threshold {
                (CheckOutcome::Block(Verdict::Hold), "is below", threshold)
            } else {
                (CheckOutcome::Pass, "reaches", threshold)
            };
            trace.push(
                plain("qos"),
                CheckValues::with(outcome, qos.point, threshold),
                || format!("QoS {:.4} {word} {limit}", qos.point),
            )?;
        }
    }
    ladder_end(situation, trace)
}

fn interval_checks<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &'a StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let (plan, policy) = (situation.plan, &situation.plan.policy);
    let judged = || plan.guardrails.iter().zip(&evidence.guardrails);
    for (guardrail, judged) in judged().filter(|(guardrail, _)| guardrail.action == Action::Rollback) {
        guardrail_check(
            "guardrail",
            &guardrail.metric,
            (situation, judged),
            violation(judged, Verdict::Rollback),
            trace,
        )?;
    }
    if has_gates(situation) {
        for (guardrail, judged) in judged() {
            gate_check(guardrail, judged, trace)?;
        }
    }
    own_past(situation, evidence, trace)?;
    sample_ratio(policy, evidence, trace)?;
    leak(policy, evidence, trace)?;
    crossover(policy, evidence, trace)?;
    assignment(situation, trace)?;
    qos_floor(situation, evidence, trace)?;
    candidate_seen(situation, evidence, trace)?;
    slices(situation, evidence, trace)?;
    ladder_end(situation, trace)?;
    for (guardrail, judged) in judged().filter(|(guardrail, _)| guardrail.action == Action::Hold) {
        guardrail_check(
            "signal",
            &guardrail.metric,
            (situation, judged),
            violation(judged, Verdict::Hold),
            trace,
        )?;
    }
    min_users(situation, evidence, trace)?;
    dwell(situation, trace)?;
    for (guardrail, judged) in judged().filter(|(guardrail, _)| guardrail.action == Action::Rollback) {
        clear(situation, guardrail, judged, evidence.ratio, trace)?;
    }
    qos_threshold(situation, evidence, trace)?;
    freeze(situation, trace)?;
    approved(situation, trace)
}

fn violation(judged: &Judged, verdict: Verdict) -> CheckOutcome {
    match (judged.verdict, judged.reason) {
        (HarmVerdict::Violated, _) => CheckOutcome::Block(verdict),
        (_, Some(_)) => CheckOutcome::NotApplicable,
        _ => CheckOutcome::Pass,
    }
}

/// Checks a guardrail before a promotion, by its interval or by its gate.
fn clear<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    guardrail: &'a Guardrail,
    judged: &Judged,
    ratio: Ratio,
    trace: &mut T,
) -> CheckFlow {
    let is_counted = judged.margin.is_none() && judged.reason.is_none();
    if has_gates(situation) && ratio < Ratio::FULL && !is_counted {
        let missing = || judgment_text(&guardrail.metric, situation, judged);
        return gated_clearance(situation, guardrail, judged, missing, trace);
    }
    guardrail_check(
        "clear",
        &guardrail.metric,
        (situation, judged),
        clearance(judged, ratio),
        trace,
    )
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

fn guardrail_check<'a, T: Trace<'a>>(
    kind: &'static str,
    metric: &'a str,
    (situation, judged): (&Situation<'a>, &Judged),
    outcome: CheckOutcome,
    trace: &mut T,
) -> CheckFlow {
    let found = CheckValues {
        outcome,
        value: judged.harm,
        interval: judged.interval,
        limit: judged.margin,
    };
    trace.push(
        CheckName {
            kind,
            metric: Some(metric),
        },
        found,
        || judgment_text(metric, situation, judged),
    )
}

/// The judgment of a guardrail as text: its harm with interval and margin, or why there is none.
fn judgment_text(metric: &str, situation: &Situation<'_>, judged: &Judged) -> String {
    let word = match judged.verdict {
        HarmVerdict::Safe => "safe",
        HarmVerdict::Unclear => "unclear",
        HarmVerdict::Violated => "violated",
    };
    match (judged.harm, judged.interval, judged.margin, judged.reason) {
        (Some(harm), Some(interval), Some(margin), _) => format!(
            "{metric} {word}: harm {} in [{}, {}], margin {}{}",
            number(harm),
            number(interval.ci_lower),
            number(interval.ci_upper),
            number(margin),
            margin_note(judged, margin)
        ),
        (_, _, _, Some(reason)) => {
            let missing = situation.coverage.filter(|_| reason == Reason::NoColumn);
            let missing = missing.and_then(|coverage| coverage.missing_columns(metric));
            format!(
                "{metric} {word}: {}",
                missing.unwrap_or_else(|| reason.to_string())
            )
        }
        _ => format!("{metric} {word}"),
    }
}

/// The reason for a margin that is not the rule's own.
fn margin_note(judged: &Judged, margin: f64) -> &'static str {
    if judged.takes_min_margin {
        " (min_margin: the relative margin is smaller)"
    } else if margin == 0.0 {
        " (a share of a baseline of 0: set min_margin)"
    } else {
        ""
    }
}

/// Checks that the candidate answered some user of the stage. Without, no check of the stage says
/// anything about the candidate. Evidence without coverage has no users to see: counters.
fn candidate_seen<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    if situation.coverage.is_none() {
        return ControlFlow::Continue(());
    }
    let n = evidence.users.candidate + evidence.users.crossover;
    let Situation {
        plan,
        layer,
        state,
        as_of,
        ..
    } = situation;
    // Rows may come late: until the dwell is over, missing rows are not yet a failure.
    let verdict = if *as_of - state.since < layer.dwell {
        Verdict::Inconclusive
    } else {
        Verdict::on_trouble(plan.policy.no_data_action, Verdict::Inconclusive)
    };
    let outcome = if n == 0 {
        CheckOutcome::Block(verdict)
    } else {
        CheckOutcome::Pass
    };
    trace.push(
        plain("evidence"),
        CheckValues {
            value: Some(n as f64),
            ..CheckValues::new(outcome)
        },
        || {
            if n > 0 {
                return format!("{} users answered by {}", count(n), plan.candidate);
            }
            format!(
                "no row of {} since {}: the log has no evidence on {}",
                plan.candidate,
                time::format(state.since),
                state.ratio
            )
        },
    )
}

/// The text of an unknown QoS: which column of which rate the log lacks, or the reason.
fn qos_unknown(situation: &Situation<'_>, reason: Reason) -> String {
    let missing = situation.coverage.filter(|_| reason == Reason::NoColumn);
    match missing.and_then(Coverage::missing_rates) {
        Some(missing) => format!("QoS is not known: {missing}"),
        None => format!("QoS is not known: {reason}"),
    }
}

fn qos_floor<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let policy = &situation.plan.policy;
    let qos = match evidence.qos {
        Ok(qos) => qos,
        Err(reason) => {
            return trace.push(
                plain("qos_floor"),
                CheckValues::new(CheckOutcome::NotApplicable),
                || qos_unknown(situation, reason),
            );
        }
    };
    let interval = qos.interval(policy);
    let below = interval.ci_upper < policy.qos_floor;
    let found = CheckValues {
        interval: Some(interval),
        ..CheckValues::with(block_if(below, Verdict::Rollback), qos.qos, policy.qos_floor)
    };
    trace.push(plain("qos_floor"), found, || {
        let word = if below { "below" } else { "not below" };
        format!(
            "QoS {} is {word} the floor {}",
            show(qos.qos, interval),
            policy.qos_floor
        )
    })
}

fn ladder_end<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let next = situation.layer.next_step(situation.state.ratio);
    trace.push(
        plain("ladder"),
        CheckValues::new(block_if(next.is_none(), Verdict::Hold)),
        || match next {
            Some(next) => format!("next step {next}"),
            None => "at the end of the ladder; checks continue".into(),
        },
    )
}

fn min_users<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let (n, least) = (evidence.users.candidate, situation.layer.min_users);
    trace.push(
        plain("min_users"),
        CheckValues::with(block_if(n < least, Verdict::Hold), n as f64, least as f64),
        || format!("{n} of at least {least} users exposed"),
    )
}

fn dwell<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let held = situation.as_of - situation.plan.window_start(situation.state.since);
    let dwell = situation.layer.dwell;
    let hours = |micros: Micros| micros as f64 / HOUR as f64;
    trace.push(
        plain("dwell"),
        CheckValues::with(block_if(held < dwell, Verdict::Hold), hours(held), hours(dwell)),
        || {
            format!(
                "{} h of {} h at {}",
                number(hours(held)),
                number(hours(dwell)),
                situation.state.ratio
            )
        },
    )
}

fn qos_threshold<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let (policy, threshold) = (&situation.plan.policy, situation.layer.qos_threshold);
    match &evidence.qos {
        Err(reason) => {
            let verdict = Verdict::on_trouble(policy.no_data_action, Verdict::Inconclusive);
            trace.push(
                plain("qos"),
                CheckValues::new(CheckOutcome::Block(verdict)),
                || qos_unknown(situation, *reason),
            )
        }
        Ok(qos) => {
            let interval = qos.interval(policy);
            let (outcome, word) = if interval.ci_lower >= threshold {
                (CheckOutcome::Pass, "reaches")
            } else if interval.ci_upper < threshold {
                (CheckOutcome::Block(Verdict::Hold), "is below")
            } else if has_gates(situation) && !is_last_promotion(situation) {
                (CheckOutcome::Pass, "is not shown to be below")
            } else {
                (CheckOutcome::Block(Verdict::Inconclusive), "may be below")
            };
            let found = CheckValues {
                interval: Some(interval),
                ..CheckValues::with(outcome, qos.qos, threshold)
            };
            trace.push(plain("qos"), found, || {
                format!("QoS {} {word} {threshold}", show(qos.qos, interval))
            })
        }
    }
}

/// Blocks promotions during a freeze. Rollbacks come from earlier checks, so a freeze does not stop
/// them.
fn freeze<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    if situation.plan.freezes.is_empty() {
        return ControlFlow::Continue(());
    }
    let freeze = situation
        .plan
        .freezes
        .iter()
        .find(|freeze| freeze.contains(&situation.as_of));
    trace.push(
        plain("freeze"),
        CheckValues::new(block_if(freeze.is_some(), Verdict::Hold)),
        || match freeze {
            Some(freeze) => format!("changes are frozen until {}", time::format(freeze.end)),
            None => "changes are not frozen".into(),
        },
    )
}

/// Blocks the promotion of a safety-critical layer to a ratio above the approved one.
fn approved<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let Situation {
        plan,
        layer,
        state,
        as_of,
        ..
    } = situation;
    if !layer.safety_critical {
        return ControlFlow::Continue(());
    }
    let next = layer.next_step(state.ratio).unwrap_or(state.ratio);
    let approval = approval::of_layer(plan, layer, next, *as_of);
    trace.push(
        plain("approval"),
        CheckValues::new(block_if(approval.is_none(), Verdict::Hold)),
        || match approval {
            Some(approval) => format!("{next} approved by {}", approval.by),
            None => approval::missing_text(plan, layer, next, *as_of),
        },
    )
}

fn show(value: f64, interval: Interval) -> String {
    format!(
        "{value:.4} in [{:.4}, {:.4}]",
        interval.ci_lower, interval.ci_upper
    )
}

fn join_names(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        many => format!("{} are", many.join(", ")),
    }
}
