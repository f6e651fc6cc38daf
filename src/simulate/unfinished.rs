//! Where unfinished runs end, and what would let their steps decide.

use crate::base::time::DAY;
use crate::bucket::{Ratio, groups_below};
use crate::qos;
use crate::qos::Rates;
use crate::ramp::reach::{Growing, GuardrailGrowth, days_until, next_ratio};
use crate::ramp::round_up;
use crate::ramp::step_limits::{step_warning, threshold_warning, watched};
use crate::scenario::{Controller, DecisionPolicy, Sequential};
use crate::simulate::document::{Chance, Unfinished};
use crate::simulate::model::{Model, N_RATES};
use crate::simulate::outcome::{Cause, Ending, RunOutcome};
use crate::stats::dist::t_isf;
use crate::stats::effect::{MetricForm, proportion_estimate};
use crate::stats::growth::ArmGrowth;
use crate::stats::{Interval, Reason};
use crate::words::outlook::{self, DaysNeeded};
use crate::words::ramp::Beside;
use crate::words::simulate as sentence;
use crate::words::{Count, Number, Text};

/// Where the unfinished runs end, the most frequent place first.
pub(super) fn unfinished(model: &Model<'_>, outcomes: &[RunOutcome]) -> Vec<Unfinished> {
    let mut counts: Vec<(Ending, usize)> = Vec::new();
    for ending in outcomes.iter().flat_map(|outcome| &outcome.unfinished) {
        match counts.iter_mut().find(|(known, _)| known == ending) {
            Some((_, n)) => *n += 1,
            None => counts.push((*ending, 1)),
        }
    }
    // Equal counts are in the order of the plan, on any number of threads.
    counts.sort_by_key(|(ending, n)| (usize::MAX - n, ending.layer, ending.ratio));
    let plan = model.plan();
    let of = |(ending, n): (Ending, usize)| {
        let advice = ending
            .cause
            .and_then(|cause| advice(model, usize::from(ending.layer), ending.ratio, cause));
        let (advice, advice_zh) = advice.map(|Text { en, zh }| (en, zh)).unzip();
        Unfinished {
            layer: plan.layers[usize::from(ending.layer)].id.clone(),
            ratio: ending.ratio,
            check: ending.cause.map_or("horizon", |cause| cause.kind).to_owned(),
            metric: ending
                .cause
                .and_then(|cause| cause.metric(plan))
                .map(str::to_owned),
            p: Chance::from_counts(n, outcomes.len()),
            advice,
            advice_zh,
        }
    };
    counts.into_iter().map(of).collect()
}

/// What to change so that a step decides, for the checks of the policy.
fn advice(model: &Model<'_>, layer_idx: usize, ratio: Ratio, cause: Cause) -> Option<Text> {
    if model.variant.controller != Controller::Policy {
        return None;
    }
    let (plan, of_model) = (model.plan(), &model.layers[layer_idx]);
    let layer = &plan.layers[layer_idx];
    let last = model.n_windows.saturating_sub(1) as usize;
    let n_users = of_model.n_users * ratio.share();
    match (cause.kind, cause.guardrail) {
        ("clear", Some(idx)) => {
            let guardrail = &plan.guardrails[usize::from(idx)];
            let number_of = model.metric_model_of_guardrail[usize::from(idx)];
            let metric_model = &of_model.metric_models[number_of];
            let value = metric_model.candidate[last];
            let margin = guardrail.margin(metric_model.baseline)?;
            let term = plan.term(&guardrail.metric);
            let harm = metric_model.harm_of(value);
            if harm >= margin {
                let [harm, margin] = [harm, margin].map(|value| term.difference(value));
                return Some(sentence::harm_beyond_margin(term, harm, margin));
            }
            let growth = guardrail_growth(model, layer_idx, usize::from(idx), value);
            let asks = outlook::clear_margin(term, term.difference(margin));
            let upper = growth.upper(patience(model, layer_idx), ratio);
            let margin = upper.map(|upper| Limit::Margin(Text::of_say(&term.difference(round_up(upper)))));
            Some(step_advice(
                model,
                layer_idx,
                (ratio, n_users),
                &growth,
                (asks, margin),
            ))
        }
        ("qos", _) => {
            let growth = QosOfWorld::new(model, layer_idx, last);
            let (qos, threshold) = (growth.qos(), layer.qos_threshold);
            if qos < threshold {
                let qos = Beside(qos, threshold);
                return Some(sentence::qos_below_threshold(qos, Number(threshold)));
            }
            let asks = outlook::raise_qos(Number(threshold));
            let reached = growth.half_width(patience(model, layer_idx), ratio);
            let lower = reached.map(|half| format!("{:.3}", qos - half - 5e-4));
            Some(step_advice(
                model,
                layer_idx,
                (ratio, n_users),
                &growth,
                (asks, lower.map(|lower| Limit::Threshold(lower.into()))),
            ))
        }
        ("min_users", _) => {
            let enough = |step: &Ratio| of_model.n_users * step.share() >= layer.min_users as f64;
            let next = layer.steps().find(|step| *step > ratio && enough(step));
            let (n, least) = (Number(n_users.round()), Count(layer.min_users));
            Some(match next {
                Some(next) => sentence::users_below_min(n, least, next),
                None => sentence::users_below_min_only(n, least),
            })
        }
        ("dwell", _) => Some(sentence::dwells_too_long()),
        _ => None,
    }
}

/// The days that a step may take: the horizon divided by the number of steps, at least the dwell.
fn patience(model: &Model<'_>, layer_idx: usize) -> f64 {
    let (plan, layer) = (model.plan(), &model.plan().layers[layer_idx]);
    let horizon = f64::from(model.n_windows) * plan.window as f64 / DAY as f64;
    (horizon / layer.steps().count().max(1) as f64).max(layer.dwell as f64 / DAY as f64)
}

/// A limit that a step would keep.
enum Limit {
    /// A margin of a guardrail.
    Margin(Text),
    /// A threshold of QoS.
    Threshold(Text),
}

/// Says how long a step takes, and which ratio or limit would be enough.
fn step_advice(
    model: &Model<'_>,
    layer_idx: usize,
    (ratio, n_users): (Ratio, f64),
    growth: &dyn Growing,
    (asks, limit): (Text, Option<Limit>),
) -> Text {
    let most = patience(model, layer_idx);
    let faster = next_ratio(growth, &model.plan().layers[layer_idx].ladder, ratio, most);
    let ways = match (faster.map(|(next, _)| next), limit) {
        (Some(next), Some(Limit::Margin(margin))) => sentence::change_ratio_or_margin(next, margin),
        (Some(next), Some(Limit::Threshold(lower))) => sentence::change_ratio_or_threshold(next, lower),
        (Some(next), None) => sentence::change_ratio(next),
        (None, Some(Limit::Margin(margin))) => sentence::change_margin(margin),
        (None, Some(Limit::Threshold(lower))) => sentence::change_threshold(lower),
        (None, None) => sentence::larger_layer(),
    };
    let users = Number(n_users.round());
    let step = match days_until(growth, ratio, 0.0) {
        Some(days) => sentence::step_takes(users, DaysNeeded(days), asks),
        None => sentence::step_cannot(users, asks),
    };
    Text::sentences(&[step, ways])
}

/// A guardrail whose candidate has this value.
fn guardrail_growth<'a>(
    model: &'a Model<'_>,
    layer_idx: usize,
    idx: usize,
    value: f64,
) -> GuardrailGrowth<'a> {
    let (plan, of_model) = (model.plan(), &model.layers[layer_idx]);
    let metric_model = &of_model.metric_models[model.metric_model_of_guardrail[idx]];
    let arms = [metric_model.baseline, value].map(|value| of_model.growth(metric_model, value, plan.window));
    let of = (&plan.policy, plan.guardrails.as_slice(), idx);
    GuardrailGrowth::new(of, metric_model.form(), metric_model.better, arms)
}

/// The steps of a plan that cannot decide within their dwell, and its thresholds above the
/// baseline's QoS.
pub(super) fn step_warnings(model: &Model<'_>) -> Vec<Text> {
    let plan = model.plan();
    if plan.policy.decision == DecisionPolicy::Point {
        return Vec::new();
    }
    let of_layer = |layer_idx: usize| {
        let layer = &plan.layers[layer_idx];
        let growths: Vec<GuardrailGrowth<'_>> = watched(plan)
            .map(|idx| {
                let number_of = model.metric_model_of_guardrail[idx];
                let baseline = model.layers[layer_idx].metric_models[number_of].baseline;
                guardrail_growth(model, layer_idx, idx, baseline)
            })
            .collect();
        let rates: [f64; N_RATES] =
            std::array::from_fn(|number| model.layers[layer_idx].metric_models[number].baseline);
        let qos = qos::qos(&Rates::from(rates), model.qos).qos;
        let of_steps = step_warning(plan, layer, Ratio::ZERO, &growths);
        of_steps
            .into_iter()
            .chain(threshold_warning(plan, (layer, Ratio::ZERO), qos, None))
    };
    (0..plan.layers.len()).flat_map(of_layer).collect()
}

/// The candidate's QoS of a world, from the growth of its six rates.
struct QosOfWorld<'a> {
    model: &'a Model<'a>,
    threshold: f64,
    rates: [(ArmGrowth, MetricForm); N_RATES],
}

impl<'a> QosOfWorld<'a> {
    fn new(model: &'a Model<'a>, layer_idx: usize, window: usize) -> Self {
        let of_model = &model.layers[layer_idx];
        let rate = |number: usize| {
            let metric_model = &of_model.metric_models[number];
            let value = metric_model.candidate[window];
            (
                of_model.growth(metric_model, value, model.plan().window),
                metric_model.form(),
            )
        };
        Self {
            model,
            threshold: model.plan().layers[layer_idx].qos_threshold,
            rates: std::array::from_fn(rate),
        }
    }

    fn qos(&self) -> f64 {
        qos::qos(
            &Rates::from(self.rates.map(|(arm, _)| arm.estimate)),
            self.model.qos,
        )
        .qos
    }

    /// The interval of the policy, as a run estimates it.
    fn interval(&self, days: f64, ratio: Ratio) -> Result<Interval, Reason> {
        let policy = &self.model.plan().policy;
        let (mut variances, mut df) = ([0.0; N_RATES], f64::INFINITY);
        for ((arm, form), variance) in self.rates.iter().zip(&mut variances) {
            let r = arm.at(days, ratio.share(), f64::from(groups_below(ratio.bps())))?;
            df = df.min((r.n_clusters as f64 - 1.0).max(1.0));
            *variance = match form {
                MetricForm::Proportion => proportion_estimate(&r).variance(),
                MetricForm::Mean { .. } => r.std_error.powi(2),
            };
        }
        let rates = Rates::from(self.rates.map(|(arm, _)| arm.estimate));
        let t = t_isf(0.5 * policy.alpha, df);
        let (config, tau2) = (self.model.qos, self.model.qos_tau2);
        let (_, _, [ci, anytime]) =
            qos::estimate_rates(&rates, &variances, config, t, df, tau2, policy.alpha);
        Ok(if policy.sequential == Sequential::Anytime {
            anytime
        } else {
            ci
        })
    }
}

impl Growing for QosOfWorld<'_> {
    fn passes(&self, days: f64, ratio: Ratio) -> bool {
        let interval = self.interval(days, ratio);
        interval.is_ok_and(|interval| interval.ci_lower >= self.threshold)
    }

    fn half_width(&self, days: f64, ratio: Ratio) -> Option<f64> {
        Some(self.qos() - self.interval(days, ratio).ok()?.ci_lower)
    }

    fn users(&self, days: f64, ratio: Ratio) -> f64 {
        self.rates[0].0.visits.users(days, ratio.share())
    }
}

#[cfg(test)]
mod tests;
