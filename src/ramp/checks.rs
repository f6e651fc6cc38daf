//! The checks of a decision, in the order in which they are traced.

use std::ops::ControlFlow;

use crate::base::time::{HOUR, Micros};
use crate::bucket::Ratio;
use crate::ramp::approval;
use crate::ramp::data_checks::{assignment, crossover, leak, sample_ratio};
use crate::ramp::evidence::StageEvidence;
use crate::ramp::gate_checks::{gate_check, has_gates};
use crate::ramp::guardrail_checks::{clear, violation_check};
use crate::ramp::own_past_check::own_past;
use crate::ramp::qos_checks::{qos_floor, qos_point, qos_threshold};
use crate::ramp::situation::Situation;
use crate::ramp::slices_check::slices;
use crate::ramp::trace::{CheckFlow, CheckValues, Trace, block_if, plain};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Action, DecisionPolicy};
use crate::words::ramp as sentence;
use crate::words::{Count, Hours, Text};

/// Name of the check of a next step.
pub(super) const LADDER: &str = "ladder";
/// Name of the check of the time since the last change.
pub(super) const DWELL: &str = "dwell";

/// Runs all checks of a situation in their order.
pub(super) fn checks<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    early_checks(situation, trace)?;
    clearance_checks(situation, trace)
}

/// The checks before those of [`clearance_checks`]. Of guardrails and QoS they read only whether a
/// guardrail is violated, and whether the interval of QoS lies below the floor.
pub(super) fn early_checks<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
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
        DecisionPolicy::Point => point_checks(situation, evidence, trace),
        DecisionPolicy::Interval => interval_checks(situation, evidence, trace),
    }
}

/// The last checks of the policy `interval`: proof that guardrails and QoS are safe, and permission
/// to promote.
fn clearance_checks<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let plan = situation.plan;
    let is_open = situation.state.ratio > Ratio::ZERO && plan.policy.decision == DecisionPolicy::Interval;
    let Some(evidence) = current(situation).ok().filter(|_| is_open) else {
        return ControlFlow::Continue(());
    };
    let judged = plan.guardrails.iter().zip(&evidence.guardrails);
    for (guardrail, judged) in judged.filter(|(guardrail, _)| guardrail.action == Action::Rollback) {
        clear(situation, (guardrail, judged), evidence.ratio, trace)?;
    }
    qos_threshold(situation, evidence, trace)?;
    freeze(situation, trace)?;
    approved(situation, trace)
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
                    sentence::same_release(release, plan.when(*at))
                } else {
                    sentence::new_release(release, &plan.candidate)
                }
            },
        )?;
        let until = at + plan.policy.cool_down;
        trace.push(
            plain("cool_down"),
            CheckValues::new(block_if(*as_of < until, Verdict::Hold)),
            || {
                if *as_of < until {
                    sentence::cool_down_ends(plan.when(until))
                } else {
                    sentence::cool_down_over(plan.when(until))
                }
            },
        )?;
    }
    let is_waited_for = |idx: &&usize| tenant_states[**idx].ratio < plan.layers[**idx].last_step();
    let waits = layer.after.iter().any(|idx| is_waited_for(&idx));
    trace.push(
        plain("after"),
        CheckValues::new(block_if(waits, Verdict::Hold)),
        || {
            let waiting: Vec<Text> = layer
                .after
                .iter()
                .filter(is_waited_for)
                .map(|idx| plan.layer_name(&plan.layers[*idx].id))
                .collect();
            match waiting.as_slice() {
                [] => sentence::waits_for_none(),
                [one] => sentence::waits_for(one),
                many => sentence::waits_for_all(many),
            }
        },
    )?;
    freeze(situation, trace)?;
    approved(situation, trace)
}

/// Returns the evidence of the ratio in force. Evidence of another stage, or no evidence, gives the
/// text of the problem.
fn current<'a>(situation: &Situation<'a>) -> Result<&'a StageEvidence, impl FnOnce() -> Text + use<'a>> {
    let (evidence, state, plan) = (situation.evidence, situation.state, situation.plan);
    match evidence {
        Some(evidence) if evidence.ratio == state.ratio && evidence.start == state.since => Ok(evidence),
        other => Err(move || match other {
            None => sentence::no_data_on_layer(),
            Some(evidence) => sentence::other_stage(
                evidence.ratio,
                plan.when(evidence.start),
                state.ratio,
                plan.when(state.since),
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
            violation_check(
                "guardrail",
                situation,
                (guardrail, judged),
                Verdict::Rollback,
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
            let missing = if missing.is_empty() {
                sentence::a_target()
            } else {
                Text::of_say(&missing)
            };
            let (state, plan) = (situation.state, situation.plan);
            sentence::not_in_force(state.ratio, plan.when(state.since), missing)
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
    qos_point(situation, evidence, trace)?;
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
        violation_check(
            "guardrail",
            situation,
            (guardrail, judged),
            Verdict::Rollback,
            trace,
        )?;
    }
    if has_gates(situation) {
        for (guardrail, judged) in judged() {
            gate_check(plan, guardrail, judged, trace)?;
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
        violation_check("signal", situation, (guardrail, judged), Verdict::Hold, trace)?;
    }
    min_users(situation, evidence, trace)?;
    dwell(situation, trace)
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
                return sentence::candidate_seen(&plan.candidate, Count(n));
            }
            sentence::candidate_not_seen(&plan.candidate, plan.when(state.since), state.ratio)
        },
    )
}

fn ladder_end<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let next = situation.layer.next_step(situation.state.ratio);
    trace.push(
        plain(LADDER),
        CheckValues::new(block_if(next.is_none(), Verdict::Hold)),
        || match next {
            Some(next) => sentence::next_step(next),
            None => sentence::ladder_end(situation.state.ratio),
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
        || {
            if n < least {
                sentence::users_too_few(Count(n), Count(least))
            } else {
                sentence::users_enough(Count(n), Count(least))
            }
        },
    )
}

fn dwell<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    let held = situation.as_of - situation.plan.window_start(situation.state.since);
    let dwell = situation.layer.dwell;
    let hours = |micros: Micros| micros as f64 / HOUR as f64;
    trace.push(
        plain(DWELL),
        CheckValues::with(block_if(held < dwell, Verdict::Hold), hours(held), hours(dwell)),
        || {
            let [held_for, required] = [held, dwell].map(|time| Hours(hours(time)));
            if held < dwell {
                sentence::dwell_not_over(held_for, situation.state.ratio, required)
            } else {
                sentence::dwell_over(held_for, situation.state.ratio, required)
            }
        },
    )
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
            Some(freeze) => sentence::frozen(situation.plan.when(freeze.end)),
            None => sentence::not_frozen(),
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
            Some(approval) => sentence::approved(next, &approval.by),
            None => approval::missing_text(plan, layer, next, *as_of),
        },
    )
}
