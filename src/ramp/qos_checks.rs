//! The checks of the candidate's QoS: the floor, and the threshold of a promotion.

use crate::ramp::coverage::Coverage;
use crate::ramp::evidence::{QosEvidence, StageEvidence};
use crate::ramp::gate_checks::{has_gates, is_last_promotion};
use crate::ramp::situation::Situation;
use crate::ramp::trace::{CheckFlow, CheckValues, Trace, block_if, plain};
use crate::ramp::verdict::{CheckOutcome, Verdict};
use crate::scenario::{Layer, Policy};
use crate::stats::Reason;
use crate::stats::half_width::IntervalBounds;
use crate::words::Text;
use crate::words::ramp::{self as sentence, Beside, LimitBeside, qos_beside};

/// Name of the check of QoS against the threshold.
pub(super) const QOS: &str = "qos";

/// Checks the point estimate of QoS against floor and threshold, as the policy `point` does.
pub(super) fn qos_point<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let (policy, threshold) = (&situation.plan.policy, situation.layer.qos_threshold);
    let qos = match &evidence.qos {
        Err(reason) => return not_known(situation, *reason, trace),
        Ok(qos) => qos,
    };
    let outcome = if qos.point < policy.qos_floor {
        CheckOutcome::Block(Verdict::Rollback)
    } else {
        block_if(qos.point < threshold, Verdict::Hold)
    };
    trace.push(
        plain(QOS),
        CheckValues::with(outcome, qos.point, threshold),
        || {
            let is = |limit| sentence::qos_is(Beside(qos.point, limit));
            let limit = |limit| LimitBeside {
                limit,
                value: qos.point,
            };
            let (floor, threshold) = (policy.qos_floor, threshold);
            match outcome {
                CheckOutcome::Block(Verdict::Rollback) => sentence::below_floor(is(floor), limit(floor)),
                CheckOutcome::Block(_) => sentence::below_threshold(is(threshold), limit(threshold)),
                _ => sentence::above_threshold(is(threshold), limit(threshold)),
            }
        },
    )
}

/// Checks that QoS is not shown to lie below the floor.
pub(super) fn qos_floor<'a, T: Trace<'a>>(
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
    let (interval, floor) = (qos.interval(policy), policy.qos_floor);
    let below = interval.ci_upper < floor;
    let found = CheckValues {
        interval: Some(interval),
        ..CheckValues::with(block_if(below, Verdict::Rollback), qos.qos, floor)
    };
    trace.push(plain("qos_floor"), found, || {
        let limit = LimitBeside {
            limit: floor,
            value: qos.qos,
        };
        let qos = qos_beside(qos.qos, interval, floor);
        if below {
            sentence::below_floor(qos, limit)
        } else if interval.ci_lower >= floor {
            sentence::above_floor(qos, limit)
        } else {
            sentence::maybe_below_floor(qos, limit)
        }
    })
}

/// Checks that QoS is shown to reach the threshold. Gates decide before the last promotion.
pub(super) fn qos_threshold<'a, T: Trace<'a>>(
    situation: &Situation<'a>,
    evidence: &StageEvidence,
    trace: &mut T,
) -> CheckFlow {
    let (policy, threshold) = (&situation.plan.policy, situation.layer.qos_threshold);
    let qos = match &evidence.qos {
        Err(reason) => return not_known(situation, *reason, trace),
        Ok(qos) => qos,
    };
    let interval = qos.interval(policy);
    let is_reached = interval.ci_lower >= threshold;
    let outcome = if is_reached {
        CheckOutcome::Pass
    } else if interval.ci_upper < threshold {
        CheckOutcome::Block(Verdict::Hold)
    } else if has_gates(situation) && !is_last_promotion(situation) {
        CheckOutcome::Pass
    } else {
        CheckOutcome::Block(Verdict::Inconclusive)
    };
    let found = CheckValues {
        interval: Some(interval),
        ..CheckValues::with(outcome, qos.qos, threshold)
    };
    trace.push(plain(QOS), found, || {
        let limit = LimitBeside {
            limit: threshold,
            value: qos.qos,
        };
        let qos = qos_beside(qos.qos, interval, threshold);
        match outcome {
            CheckOutcome::Block(Verdict::Hold) => sentence::below_threshold(qos, limit),
            CheckOutcome::Block(_) => sentence::maybe_below_threshold(qos, limit),
            _ if is_reached => sentence::above_threshold(qos, limit),
            _ => sentence::not_below_threshold(qos, limit),
        }
    })
}

/// Whether the checks of a layer's QoS have the same outcome for every interval within the bounds.
/// Simulations then decide by the bounds.
pub(crate) fn is_qos_settled(policy: &Policy, layer: &Layer, bounds: &IntervalBounds) -> bool {
    let (floor, threshold) = (policy.qos_floor, layer.qos_threshold);
    !bounds.is_upper_near(floor) && !bounds.is_upper_near(threshold) && !bounds.is_lower_near(threshold)
}

/// The place of QoS beside the limits of a layer: all that the checks of its interval read.
#[inline]
pub(crate) fn qos_place(policy: &Policy, layer: &Layer, qos: &QosEvidence) -> [bool; 3] {
    let (interval, floor, threshold) = (qos.interval(policy), policy.qos_floor, layer.qos_threshold);
    [
        interval.ci_upper < floor,
        interval.ci_upper < threshold,
        interval.ci_lower >= threshold,
    ]
}

fn not_known<'a, T: Trace<'a>>(situation: &Situation<'a>, reason: Reason, trace: &mut T) -> CheckFlow {
    let verdict = Verdict::on_trouble(situation.plan.policy.no_data_action, Verdict::Inconclusive);
    trace.push(plain(QOS), CheckValues::new(CheckOutcome::Block(verdict)), || {
        qos_unknown(situation, reason)
    })
}

/// The text of an unknown QoS: which column of which rate the log lacks, or the reason.
fn qos_unknown(situation: &Situation<'_>, reason: Reason) -> Text {
    let missing = situation.coverage.filter(|_| reason == Reason::NoColumn);
    match missing.and_then(Coverage::missing_rates) {
        Some(missing) => sentence::qos_unknown(missing),
        None => sentence::qos_unknown(reason),
    }
}
