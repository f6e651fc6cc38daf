//! Checks of the data of a stage: sample ratio, leaked users, users in both arms, and rows in the
//! wrong arm.

use crate::ramp::evidence::StageEvidence;
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckFlow, CheckValues, Trace, block_if, plain};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::Policy;
use crate::words::ramp::{self as sentence, ShareBeside};
use crate::words::{Count, P, Percent, Points};

pub(super) fn sample_ratio<'a, T: Trace<'a>>(
    policy: &Policy,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let Some(srm) = &evidence.srm else {
        return trace.push(
            plain("srm"),
            CheckValues::new(CheckOutcome::NotApplicable),
            sentence::one_arm,
        );
    };
    let is_significant = srm.p_value < policy.srm_alpha;
    let outcome = block_if(
        srm.is_alarm(policy),
        Verdict::on_trouble(policy.srm_action, Verdict::Invalid),
    );
    trace.push(
        plain("srm"),
        CheckValues::with(outcome, srm.p_value, policy.srm_alpha),
        || {
            let (p, by) = (P(srm.p_value), Points(srm.max_abs_deviation));
            if !is_significant {
                sentence::split_as_planned(p, by)
            } else if srm.low_impact {
                sentence::split_little(p, by)
            } else {
                sentence::split_wrong(p, by)
            }
        },
    )
}

pub(super) fn leak<'a, T: Trace<'a>>(policy: &Policy, evidence: &StageEvidence, trace: &mut T) -> CheckFlow {
    let users = &evidence.users;
    let total = (users.baseline + users.candidate + users.crossover).max(1);
    let share = users.leaked as f64 / total as f64;
    let outcome = block_if(
        share >= policy.srm_min_deviation && users.leaked > 0,
        Verdict::Invalid,
    );
    trace.push(
        plain("leak"),
        CheckValues::with(outcome, share, policy.srm_min_deviation),
        || match users.leaked {
            0 => sentence::no_leak(),
            n => sentence::leaked(
                Count(n),
                ShareBeside(share, policy.srm_min_deviation),
                Percent(policy.srm_min_deviation),
            ),
        },
    )
}

/// Checks the share of users seen in both arms of a stage. A large share shows that users do not
/// keep their arm, so the arms are not independent.
pub(super) fn crossover<'a, T: Trace<'a>>(
    policy: &Policy,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let users = &evidence.users;
    let share = users.crossover as f64 / (users.baseline + users.candidate + users.crossover).max(1) as f64;
    let outcome = block_if(share > policy.max_crossover, Verdict::Invalid);
    trace.push(
        plain("crossover"),
        CheckValues::with(outcome, share, policy.max_crossover),
        || match users.crossover {
            0 => sentence::no_crossover(),
            n => sentence::crossover(
                Count(n),
                ShareBeside(share, policy.max_crossover),
                Percent(policy.max_crossover),
            ),
        },
    )
}

/// Largest share of rows in the wrong arm, 0..=1. A larger share shows that production does not
/// assign users by bucket and ratio.
pub(crate) const MAX_MISASSIGNED: f64 = 0.001;

pub(super) fn assignment<'a, T: Trace<'a>>(situation: &Situation<'a>, trace: &mut T) -> CheckFlow {
    if !situation.plan.profile.is_recomputable() {
        return trace.push(
            plain("assignment"),
            CheckValues::new(CheckOutcome::NotApplicable),
            sentence::not_recomputable,
        );
    }
    let share = situation.misassigned;
    let users = situation
        .evidence
        .map(|evidence| evidence.users)
        .unwrap_or_default();
    // Evidence without coverage has no users to see: counters.
    if situation.coverage.is_some() && users.baseline + users.candidate + users.crossover == 0 {
        let outcome = CheckValues::new(block_if(share > MAX_MISASSIGNED, Verdict::Invalid));
        if outcome.outcome == CheckOutcome::Pass {
            let found = CheckValues::new(CheckOutcome::NotApplicable);
            return trace.push(plain("assignment"), found, sentence::no_row_to_assign);
        }
    }
    let outcome = block_if(share > MAX_MISASSIGNED, Verdict::Invalid);
    trace.push(
        plain("assignment"),
        CheckValues::with(outcome, share, MAX_MISASSIGNED),
        || {
            if share == 0.0 {
                sentence::assigned()
            } else {
                let share = ShareBeside(share, MAX_MISASSIGNED);
                sentence::misassigned(share, Percent(MAX_MISASSIGNED))
            }
        },
    )
}
