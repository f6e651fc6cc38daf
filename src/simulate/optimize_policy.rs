//! The search under the policy that the scenario names: bounds on the time that each step needs
//! first, then runs.

use crate::base::time::HOUR;
use crate::scenario::{Budget, Plan, Sequential};
use crate::simulate::document::{Finalist, LayerPolicyOptimum};
use crate::simulate::optimize_grid::{DWELLS, SHARES, Target, ladders};
use crate::simulate::optimize_runs::{Course, Schedule, described, keeps, nearest};
use crate::stats::dist::norm_isf;
use crate::stats::effect::IntervalSpec;
use crate::stats::sequential::v_star_for;
use crate::words::simulate as sentence;
use crate::words::{Count, Days, Percent, Text};

/// The largest number of schedules that are simulated for a layer.
const MAX_RUNS: usize = 6;
/// Power with which a step must clear its margins in the expected time.
const POWER: f64 = 0.8;

/// A guardrail whose interval must lie below its margin before each promotion.
pub(super) struct Margin<'a> {
    pub(super) target: Target<'a>,
    pub(super) metric: &'a str,
}

/// Finds the fastest schedule of a layer under the policy of the plan.
pub(super) fn fastest(
    course: &Course<'_>,
    plan: &Plan,
    budget: &Budget,
    margins: &[Margin<'_>],
) -> LayerPolicyOptimum {
    let layer = plan.layers[course.layer_idx].id.clone();
    let most_hours = course.simulation.horizon as f64 / HOUR as f64;
    let needed: Vec<Result<f64, &str>> = SHARES
        .iter()
        .map(|share| hours_to_clear(plan, margins, *share, most_hours))
        .collect();
    let dwell = DWELLS
        .into_iter()
        .find(|dwell| *dwell >= budget.min_dwell_hours)
        .unwrap_or(budget.min_dwell_hours);
    let mut schedules: Vec<Schedule> = ladders()
        .into_iter()
        .filter_map(|ladder| schedule(ladder, dwell, &needed))
        .filter(|schedule| schedule.hours <= most_hours)
        .collect();
    // A harm as large as the margin keeps the first step unclear until it is found there.
    let first_harm = |schedule: &Schedule| {
        let share = schedule.ladder[0];
        let hours = needed[share_idx(share)].unwrap_or(f64::INFINITY);
        let target = margins.iter().find(|margin| margin.metric == course.metric);
        target.map_or(0.0, |margin| share * margin.target.harm(hours))
    };
    if let Some(most) = budget.max_harm {
        schedules.retain(|schedule| first_harm(schedule) <= most);
    }
    schedules.sort_by(|a, b| {
        let by_harm = first_harm(a).total_cmp(&first_harm(b));
        a.hours.total_cmp(&b.hours).then(by_harm)
    });
    let mut runs: Vec<Finalist> = Vec::new();
    for schedule in schedules.iter().take(MAX_RUNS) {
        let run = course.run(plan, schedule);
        let is_kept = keeps(&run, budget)
            && budget
                .max_harm
                .is_none_or(|most| run.mean_harm.is_none_or(|harm| harm <= most));
        if is_kept {
            let hours = run.hours_to_full.mean.unwrap_or(schedule.hours);
            let why = sentence::fastest_when_run(plan.policy.sequential.name(), Days(hours / 24.0));
            return LayerPolicyOptimum {
                layer,
                why: why.en,
                why_zh: why.zh,
                chosen: Some(run),
                nearest: None,
            };
        }
        runs.push(run);
    }
    let why = if schedules.is_empty() {
        no_schedule(plan, &needed, most_hours)
    } else {
        let none = sentence::none_keeps(Count(runs.len() as u64));
        described(none, nearest(&runs).as_ref(), plan.policy.sequential)
    };
    LayerPolicyOptimum {
        layer,
        chosen: None,
        nearest: nearest(&runs),
        why: why.en,
        why_zh: why.zh,
    }
}

fn share_idx(share: f64) -> usize {
    SHARES.iter().position(|of| *of == share).unwrap_or(0)
}

/// A ladder with the time that its steps need. `None` if a step cannot clear its margins.
fn schedule(ladder: Vec<f64>, dwell_hours: f64, needed: &[Result<f64, &str>]) -> Option<Schedule> {
    let mut hours = 0.0;
    for share in &ladder {
        hours += needed[share_idx(*share)].ok()?.max(dwell_hours);
    }
    Some(Schedule {
        ladder: ladder.into_iter().chain([1.0]).collect(),
        dwell_hours,
        boundary: None,
        hours,
    })
}

/// The hours after which a step clears the margins of all guardrails with a power of 0.8 if there is
/// no harm. The error is the metric that it cannot clear within `most` hours.
fn hours_to_clear<'a>(plan: &Plan, margins: &[Margin<'a>], share: f64, most: f64) -> Result<f64, &'a str> {
    let mut longest: f64 = 1.0;
    for margin in margins {
        if !margin.target.is_measurable(share, most) {
            return Err(margin.metric);
        }
        let is_clear = |hours: f64| {
            let (users, sigma2) = margin.target.stage(hours);
            let v = sigma2 / (users * share * (1.0 - share));
            let spec = IntervalSpec {
                alpha: plan.policy.alpha,
                v_star: v_star_for(margin.target.mde),
            };
            let multiplier = if plan.policy.sequential == Sequential::Fixed {
                norm_isf(0.5 * spec.alpha)
            } else {
                spec.mixture(v, f64::INFINITY).multiplier(spec.alpha)
            };
            (multiplier + norm_isf(1.0 - POWER)) * v.sqrt() <= margin.target.mde
        };
        if !is_clear(most) {
            return Err(margin.metric);
        }
        // The error falls with time, so the first hour is found by bisection.
        let (mut low, mut high) = (0.0, most);
        while high - low > 1.0 {
            let middle = 0.5 * (low + high);
            if is_clear(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        longest = longest.max(high.ceil());
    }
    Ok(longest)
}

/// Why no ladder of the grid can be climbed.
fn no_schedule(plan: &Plan, needed: &[Result<f64, &str>], most_hours: f64) -> Text {
    let (policy, days) = (plan.policy.sequential.name(), Days(most_hours / 24.0));
    let fastest = SHARES
        .iter()
        .zip(needed)
        .filter_map(|(share, hours)| Some((share, (*hours).ok()?)));
    match fastest.min_by(|a, b| a.1.total_cmp(&b.1)) {
        Some((share, hours)) => sentence::exceeds_harm(policy, days, Percent(*share), Days(hours / 24.0)),
        None => {
            let metric = needed.last().and_then(|of| of.err());
            let metric = metric.map_or_else(sentence::a_guardrail, |metric| Text::of_say(&plan.term(metric)));
            sentence::no_step_clears(metric, policy, days, Percent(SHARES[SHARES.len() - 1]))
        }
    }
}
