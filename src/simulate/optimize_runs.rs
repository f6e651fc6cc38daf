//! Runs of the optimization: single schedules under a policy, without an effect and with the harm
//! that must be detected. All schedules share the random streams.

use rayon::prelude::*;
use std::collections::BTreeMap;

use crate::base::time::{HOUR, Micros};
use crate::bucket::Ratio;
use crate::metric::Better;
use crate::scenario::{
    Boundary, Budget, Controller, Plan, PlanVariant, Scenario, Sequential, Simulation, World, WorldEffect,
};
use crate::simulate::baseline::{BaselineInputs, metrics_of};
use crate::simulate::document::{Candidate, Finalist, LayerOptimum};
use crate::simulate::forecast::summarize;
use crate::simulate::model::Model;
use crate::simulate::optimize_grid::keeps_harm;
use crate::simulate::outcome::RunOutcome;
use crate::simulate::run::Run;
use crate::stats::group_sequential::Spending;
use crate::words::simulate as sentence;
use crate::words::{Hours, Percent, Text};

/// Largest share of runs without an effect that may not finish within three times the schedule's
/// length plus a day.
const MAX_UNFINISHED: f64 = 0.1;

/// A schedule of one layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    /// Ratios in rising order, the last is 1.
    pub(super) ladder: Vec<f64>,
    pub(super) dwell_hours: f64,
    pub(super) boundary: Option<Spending>,
    /// Expected hours to ratio 1 without an effect.
    pub(super) hours: f64,
}

impl From<&Candidate> for Schedule {
    fn from(candidate: &Candidate) -> Self {
        Self {
            ladder: candidate.ladder.clone(),
            dwell_hours: candidate.dwell_hours,
            boundary: Some(candidate.spending),
            hours: candidate.hours_if_good,
        }
    }
}

/// A check that holds a run, with the index of its guardrail.
type Hold = (&'static str, Option<usize>);

/// Where schedules of one layer run.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) simulation: &'a Simulation,
    pub(super) baseline_inputs: &'a BaselineInputs,
    pub(super) layer_idx: usize,
    pub(super) metric: &'a str,
    pub(super) mde: f64,
}

impl Course<'_> {
    /// Simulates a schedule under the policy of a plan. The layer runs alone, because the bounds
    /// hold for each layer by itself.
    pub(super) fn run(&self, plan: &Plan, schedule: &Schedule) -> Finalist {
        let better = self
            .scenario
            .metric(self.metric)
            .map_or(Better::Lower, |metric| metric.better);
        let effect = if better == Better::Lower {
            self.mde
        } else {
            -self.mde
        };
        let bad = WorldEffect {
            metric: self.metric.to_owned(),
            layer_idx: None,
            effect,
            dimension: None,
            during: None,
        };
        let worlds = [world(Vec::new()), world(vec![bad])];
        let variant = PlanVariant {
            id: "finalist".into(),
            plan: self.alone(plan, schedule),
            controller: Controller::Policy,
            boundaries: vec![Boundary::default()],
        };
        let own = BaselineInputs {
            layers: vec![self.baseline_inputs.layers[self.layer_idx].clone()],
            rates: vec![self.baseline_inputs.rates[self.layer_idx].clone()],
        };
        let simulation = Simulation {
            horizon: ((schedule.hours * 3.0 + 24.0) * HOUR as f64) as Micros,
            ..self.simulation.clone()
        };
        let [none, harmed] = worlds.each_ref().map(|world| {
            let metrics = metrics_of(&self.scenario.plan);
            let model = Model::new_with_metrics(self.scenario, &simulation, &own, &variant, world, metrics);
            let (outcomes, holds): (Vec<RunOutcome>, Vec<Option<Hold>>) = (0..simulation.n_runs)
                .into_par_iter()
                .map(|run| self.one_run(&model, run))
                .unzip();
            (
                summarize(&model, &outcomes),
                blocking(&variant.plan, &outcomes, &holds),
            )
        });
        Finalist {
            ladder: schedule.ladder.clone(),
            dwell_hours: schedule.dwell_hours,
            controller: plan.policy.sequential.name().into(),
            p_false_rollback: none.0.p_rollback,
            p_missed: harmed.0.p_full,
            p_never_finishes: none.0.p_never_finishes,
            hours_to_full: none.0.hours_to_full,
            mean_harm: harmed.0.harm.get(self.metric).and_then(|harm| harm.mean),
            blocked_by: none.1,
        }
    }

    fn one_run(&self, model: &Model<'_>, run: u32) -> (RunOutcome, Option<Hold>) {
        let mut last = None;
        let outcome =
            Run::new(model, self.scenario.seed, u64::from(run)).run(&mut |situation, conclusion| {
                last = conclusion.first_blocking.map(|name| {
                    let is_it = |metric: &str| {
                        situation
                            .plan
                            .guardrails
                            .iter()
                            .position(|guardrail| guardrail.metric == metric)
                    };
                    (name.kind, name.metric.and_then(is_it))
                });
            });
        (outcome, last)
    }

    /// The plan with this layer only, on the schedule.
    fn alone(&self, plan: &Plan, schedule: &Schedule) -> Plan {
        let mut plan = plan.clone();
        plan.operations.clear();
        let mut layer = plan.layers.swap_remove(self.layer_idx);
        layer.ladder = schedule
            .ladder
            .iter()
            .filter_map(|share| Ratio::try_from_share(*share).ok())
            .collect();
        layer.initial_ratio = Ratio::ZERO;
        layer.dwell = (schedule.dwell_hours * HOUR as f64) as Micros;
        layer.boundary = schedule.boundary;
        layer.after.clear();
        plan.layers = vec![layer];
        plan
    }
}

fn world(effects: Vec<WorldEffect>) -> World {
    World {
        id: "finalist".into(),
        effects,
        opt_out_per_day: 0.0,
        drift_per_day: 0.0,
        candidate_loss: 0.0,
    }
}

/// The check that holds most of the unfinished runs, as a trace names it.
fn blocking(plan: &Plan, outcomes: &[RunOutcome], holds: &[Option<Hold>]) -> Option<String> {
    let mut counts: BTreeMap<Hold, u32> = BTreeMap::new();
    for (outcome, hold) in outcomes.iter().zip(holds) {
        if let Some(hold) = hold.filter(|_| outcome.full_at.is_none() && outcome.rollback().is_none()) {
            *counts.entry(hold).or_default() += 1;
        }
    }
    let (kind, guardrail) = counts.into_iter().max_by_key(|(_, n)| *n)?.0;
    Some(match guardrail {
        Some(idx) => format!("{kind}:{}", plan.guardrails[idx].metric),
        None => kind.to_owned(),
    })
}

/// Whether a simulated schedule keeps the bounds on errors, and finishes.
pub(super) fn keeps(run: &Finalist, budget: &Budget) -> bool {
    // A promise is broken if the runs exclude it, not by their Monte Carlo error.
    run.p_never_finishes.p <= MAX_UNFINISHED
        && run.p_false_rollback.ci.ci_lower <= budget.max_false_rollback
        && run.p_missed.ci.ci_lower <= budget.max_missed
}

/// The simulated schedule that finishes most often.
pub(super) fn nearest(runs: &[Finalist]) -> Option<Finalist> {
    let by_share = |a: &&Finalist, b: &&Finalist| a.p_never_finishes.p.total_cmp(&b.p_never_finishes.p);
    runs.iter().min_by(by_share).cloned()
}

/// Simulates the chosen schedule and the fastest of the front under the group-sequential policy. A
/// schedule that breaks a bound or does not finish gives way to the next one.
pub(super) fn decide_by_runs(found: &mut LayerOptimum, course: &Course<'_>, plan: &Plan, budget: &Budget) {
    let candidates = found.front_or_chosen();
    let had_choice = found.chosen.take().is_some();
    for candidate in candidates {
        let run = course.run(plan, &Schedule::from(&candidate));
        let is_kept = keeps(&run, budget);
        found.finalists.push(run);
        if found.chosen.is_none() && is_kept && keeps_harm(&candidate, budget) {
            found.chosen = Some(candidate);
        }
    }
    if found.chosen.is_some() || found.finalists.is_empty() {
        return;
    }
    found.nearest = nearest(&found.finalists);
    found.blocked_by = found.nearest.as_ref().and_then(|run| run.blocked_by.clone());
    if had_choice {
        let nearest = found.nearest.as_ref();
        let why = described(sentence::none_finishes(), nearest, plan.policy.sequential);
        (found.why, found.why_zh) = (why.en, why.zh);
    }
}

/// A sentence, followed by the nearest schedule with what blocks it.
pub(super) fn described(fact: Text, nearest: Option<&Finalist>, policy: Sequential) -> Text {
    let Some(run) = nearest else {
        return fact;
    };
    let ladder: Vec<String> = run
        .ladder
        .iter()
        .map(|share| format!("{}%", share * 100.0))
        .collect();
    let (policy, ladder, dwell) = (policy.name(), ladder.join(" "), Hours(run.dwell_hours));
    let unfinished = Percent(run.p_never_finishes.p);
    let (rolled_back, missed) = (Percent(run.p_false_rollback.p), Percent(run.p_missed.p));
    let nearest = match &run.blocked_by {
        Some(check) => {
            sentence::nearest_blocked(policy, ladder, dwell, unfinished, check, rolled_back, missed)
        }
        None => sentence::nearest(policy, ladder, dwell, unfinished, rolled_back, missed),
    };
    Text::sentences(&[fact, nearest])
}
