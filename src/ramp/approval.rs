//! Approvals of ratios of safety-critical layers: which one counts, and why another does not.

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::scenario::{Approval, Layer, Plan};
use crate::words::Text;
use crate::words::ramp as sentence;

/// The reason why an approval does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// It names no release.
    NoRelease,
    /// It names another release than the plan's candidate.
    OtherRelease,
    /// A program gave it.
    Program,
    /// It is older than the plan.
    BeforePlan,
    /// It is later than the end of the known data.
    InFuture,
    /// It covers a smaller ratio only.
    TooSmall,
}

fn flaw(approval: &Approval, plan: &Plan, next: Ratio, as_of: Micros) -> Option<Flaw> {
    let checks = [
        (approval.candidate.is_none(), Flaw::NoRelease),
        (
            approval.candidate.as_ref() != Some(&plan.candidate),
            Flaw::OtherRelease,
        ),
        (approval.is_program, Flaw::Program),
        (approval.at < plan.start, Flaw::BeforePlan),
        (approval.at > as_of, Flaw::InFuture),
        (approval.ratio < next, Flaw::TooSmall),
    ];
    checks
        .into_iter()
        .find_map(|(has_flaw, flaw)| has_flaw.then_some(flaw))
}

/// Returns the approval that covers a ratio of a layer at `as_of`. `None` if no approval counts.
pub(super) fn of_layer<'a>(
    plan: &'a Plan,
    layer: &Layer,
    next: Ratio,
    as_of: Micros,
) -> Option<&'a Approval> {
    of(plan, layer).find(|approval| flaw(approval, plan, next, as_of).is_none())
}

/// Says why no approval of a layer covers a ratio, and what to write.
pub(super) fn missing_text(plan: &Plan, layer: &Layer, next: Ratio, as_of: Micros) -> Text {
    let mut texts = vec![sentence::needs_approval(next)];
    for approval in of(plan, layer) {
        let Some(flaw) = flaw(approval, plan, next, as_of) else {
            continue;
        };
        let (by, at) = (&approval.by, plan.when(approval.at));
        texts.push(match flaw {
            Flaw::NoRelease => sentence::names_no_release(by, &plan.candidate),
            Flaw::OtherRelease => {
                sentence::other_release(by, approval.candidate.as_deref().unwrap_or("-"), &plan.candidate)
            }
            Flaw::Program => sentence::by_program(by),
            Flaw::BeforePlan => sentence::before_plan(by, at),
            Flaw::InFuture => sentence::in_future(by, at),
            Flaw::TooSmall => sentence::too_small(by, approval.ratio),
        });
    }
    Text::sentences(&texts)
}

fn of<'a>(plan: &'a Plan, layer: &Layer) -> impl Iterator<Item = &'a Approval> {
    let is_of_layer = |approval: &&Approval| plan.layers[approval.layer_idx].id == layer.id;
    plan.approvals.iter().filter(is_of_layer)
}
