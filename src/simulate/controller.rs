//! Other rules to climb a ladder, from practice and publications, for comparison with the plan's
//! policy in the same worlds. They use one metric: that of the first guardrail with a margin.

use crate::bucket::Ratio;
use crate::ramp::exact::{RuinRisk, risk_of_ruin_step};
use crate::ramp::{CheckName, Conclusion, Situation, Verdict};
use crate::scenario::Controller;
use crate::simulate::model::Model;
use crate::stats::dist::{norm_isf, norm_sf};

pub(super) use crate::simulate::model::primary_metric_model;

/// Power with which a relevant harm must be detectable before a stage ends.
const POWER: f64 = 0.8;
/// Accepted probability of overspending the budget.
const RUIN: f64 = 0.05;

/// The data that a controller keeps about a layer across stages.
#[derive(Debug, Clone, Default)]
pub(super) struct RampProgress {
    /// Score (sum of effect / variance) and information of finished stages.
    score: f64,
    information: f64,
    /// Number of looks so far.
    n_looks: usize,
}

/// The relevant harm in a layer: the guardrail's margin, in the metric's unit.
fn margin(model: &Model<'_>, layer: usize) -> f64 {
    let metric_model = &model.layers[layer].metric_models[primary_metric_model(model)];
    model
        .plan()
        .first_margin()
        .and_then(|guardrail| guardrail.margin(metric_model.baseline))
        .unwrap_or(0.0)
}

/// Decides a layer by the variant's controller. `effect` is the harm on the metric in this stage
/// and its variance. `None` means that there is no control.
pub(super) fn conclude<'a>(
    model: &Model<'_>,
    idx: usize,
    situation: &Situation<'a>,
    effect: Option<(f64, f64)>,
    progress: &mut RampProgress,
) -> Conclusion<'a> {
    let (layer, state, policy) = (situation.layer, situation.state, &situation.plan.policy);
    let say = |verdict: Verdict, next_ratio: Ratio, kind: Option<&'static str>| Conclusion {
        verdict,
        next_ratio,
        first_blocking: kind.map(|kind| CheckName { kind, metric: None }),
    };
    let hold = |kind| say(Verdict::Hold, state.ratio, Some(kind));
    let Some(next) = layer.next_step(state.ratio) else {
        return hold("ladder");
    };
    if situation.as_of - state.since < layer.dwell {
        return hold("dwell");
    }
    let controller = model.variant.controller;
    if controller == Controller::FixedTime {
        return say(Verdict::Promote, next, None);
    }
    let Some((harm, v)) = effect.filter(|(_, v)| *v > 0.0) else {
        return hold("evidence");
    };
    let (margin, error) = (margin(model, idx), v.sqrt());
    let z = norm_isf(policy.alpha);
    let rollback = |kind| say(Verdict::Rollback, Ratio::ZERO, Some(kind));
    match controller {
        Controller::Policy | Controller::FixedTime => say(Verdict::Promote, next, None),
        Controller::Power => {
            // Equivalent to N e (1 - e) >= sigma^2 (z_{1-a} + z_{1-b})^2 / MDE^2.
            if error > margin / (z + norm_isf(1.0 - POWER)) {
                return hold("power");
            }
            if harm > z * error {
                rollback("power")
            } else {
                say(Verdict::Promote, next, None)
            }
        }
        Controller::Risk => {
            let budget = margin * model.layers[idx].n_users * 0.01;
            let expected = |share: f64| {
                let ratio = -harm / error;
                let density = (-0.5 * ratio * ratio).exp() / (2.0 * std::f64::consts::PI).sqrt();
                model.layers[idx].n_users * share * (error * density + harm * norm_sf(ratio))
            };
            if harm > z * error {
                return rollback("risk");
            }
            if expected(next.share()) <= budget {
                say(Verdict::Promote, next, None)
            } else {
                hold("risk")
            }
        }
        Controller::Ruin => {
            if harm > z * error {
                return rollback("ruin");
            }
            let metric_model = &model.layers[idx].metric_models[primary_metric_model(model)];
            let sigma2 = if metric_model.is_proportion {
                metric_model.baseline * (1.0 - metric_model.baseline)
            } else {
                metric_model.within
            } + metric_model.between;
            let n_users = model.layers[idx].n_users;
            let risk = RuinRisk {
                budget: margin * n_users * 0.05,
                posterior: (-harm, v),
                sigma2,
                delta: RUIN,
                cap: n_users,
            };
            let allowed = risk_of_ruin_step(&risk).unwrap_or(0.0) / n_users;
            match layer
                .ladder
                .iter()
                .copied()
                .filter(|step| *step > state.ratio && step.share() <= allowed)
                .max()
            {
                Some(step) => say(Verdict::Promote, step, None),
                None => hold("ruin"),
            }
        }
        Controller::GroupSequential => {
            let (score, information) = (progress.score + harm / v, progress.information + 1.0 / v);
            let n_looks = progress.n_looks + 1;
            // The planned boundary of this gate. A gate without a boundary never stops.
            let bound = model.gates[idx]
                .get(progress.n_looks)
                .copied()
                .flatten()
                .unwrap_or(f64::INFINITY);
            if score > bound * information.sqrt() {
                return rollback("group_sequential");
            }
            *progress = RampProgress {
                score,
                information,
                n_looks,
            };
            say(Verdict::Promote, next, None)
        }
    }
}
