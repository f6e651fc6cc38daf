//! Forecasts: probabilities, times, exposure and harm over many runs, each with its Monte Carlo
//! error.

use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time;
use crate::base::time::{DAY, HOUR};
use crate::bucket::Ratio;
use crate::ramp;
use crate::ramp::{Check, Deadline, late, wrong_claims};
use crate::scenario::{Controller, Scenario, Simulation};
use crate::simulate::baseline::{BaselineInputs, Measured};
use crate::simulate::document::{
    Chance, Exceedance, Fan, Finding, Forecast, FullBy, LayerForecast, PlanForecast, Quantity, quantile,
};
use crate::simulate::model::Model;
use crate::simulate::outcome::{RatioChange, RunOutcome};
use crate::simulate::run::Run;
use crate::simulate::unfinished::{step_warnings, unfinished};
use crate::words::simulate as sentence;
use crate::words::{Number, Percent, Text};

/// The basis of a forecast whose baseline is not measured.
pub(crate) const ASSUMED: &str = "assumed";

/// The largest number of points of a chart over time.
const FAN_POINTS: usize = 60;
/// Number of points of an exceedance curve.
const EXCEEDANCE_POINTS: usize = 21;

/// Runs every plan in every world. The same seed gives the same numbers on any number of threads.
/// All plans share the random streams (common random numbers).
///
/// # Errors
/// The scenario has no `[simulate]` or no world, or a value of the baseline is neither declared nor
/// measured.
///
/// # References
/// `docs/METHODS.md#simulation`.
pub fn simulate(scenario: &Scenario, measured: Option<&Measured>, progress: &Progress) -> Result<Forecast> {
    let simulation = simulation(scenario)?;
    let baseline_inputs = BaselineInputs::new(scenario, simulation, measured)?;
    let bar = progress.bar(
        "simulate",
        "runs",
        Some(u64::from(simulation.n_runs) * (simulation.plans.len() * simulation.worlds.len()) as u64),
    );
    let mut plans = Vec::new();
    for variant in &simulation.plans {
        for (number, world) in simulation.worlds.iter().enumerate() {
            let model = Model::new(scenario, simulation, &baseline_inputs, variant, world);
            let outcomes: Vec<RunOutcome> = (0..simulation.n_runs)
                .into_par_iter()
                .map(|run| {
                    let outcome = Run::new(&model, scenario.seed, stream(number, run)).run(&mut |_, _| {});
                    bar.advance(1);
                    outcome
                })
                .collect();
            plans.push(summarize(&model, &outcomes));
        }
    }
    Ok(Forecast {
        schema: "sluice.forecast/1".into(),
        scenario_digest: scenario.digest.clone(),
        basis: if measured.is_some() {
            "assumed effects on an observed baseline".into()
        } else {
            ASSUMED.into()
        },
        seed: scenario.seed,
        n_runs: simulation.n_runs,
        horizon_hours: simulation.horizon as f64 / HOUR as f64,
        findings: findings(simulation, &baseline_inputs),
        warnings: warnings(scenario, simulation, &baseline_inputs),
        plans,
        files: BTreeMap::new(),
        optimum: None,
    })
}

/// Finds contradictions in the plans: a first step that exposes more users than the cap, wrong shares
/// that a source states, and dwells that are together longer than the promised days or the horizon.
pub(super) fn findings(simulation: &Simulation, baseline_inputs: &BaselineInputs) -> Vec<Finding> {
    let n_users: f64 = baseline_inputs.layers.iter().map(|layer| layer.n_users).sum();
    let mut findings = Vec::new();
    for variant in &simulation.plans {
        let plan = &variant.plan;
        let mut say = |finding: Text| add_finding(&mut findings, &variant.id, finding);
        for (layer, ground) in plan.layers.iter().zip(&baseline_inputs.layers) {
            let Some((cap, first)) = plan.policy.exposure_cap.zip(layer.next_step(Ratio::ZERO)) else {
                continue;
            };
            let (reached, allowed) = (first.share() * ground.n_users, cap * n_users);
            let weeks = layer.dwell as f64 / (7 * DAY) as f64;
            let come = reached * (1.0 - (1.0 - ground.weekly_active).powf(weeks));
            if come > allowed {
                say(sentence::first_step_above_cap(
                    plan.layer_name(&layer.id),
                    first,
                    Number(reached.round()),
                    Number(come.round()),
                    Percent(cap),
                    Number(allowed.round()),
                ));
            }
        }
        wrong_claims(plan).into_iter().for_each(&mut say);
        let horizon = simulation.horizon as f64 / DAY as f64;
        let late = late(plan, plan.promised_days, Deadline::Promised)
            .or_else(|| late(plan, Some(horizon), Deadline::Horizon));
        late.into_iter().for_each(say);
    }
    findings
}

/// Adds a finding on a plan. Plans with the same finding share an entry.
fn add_finding(findings: &mut Vec<Finding>, plan: &str, text: Text) {
    let Text {
        en: finding,
        zh: finding_zh,
    } = text;
    match findings.iter_mut().find(|known| known.finding == finding) {
        Some(known) => known.plans.push(plan.to_owned()),
        None => findings.push(Finding {
            plans: vec![plan.to_owned()],
            finding,
            finding_zh,
        }),
    }
}

/// Finds steps that cannot decide a guardrail within their dwell, and QoS thresholds above the
/// baseline's QoS, for the plans that their policy decides.
fn warnings(scenario: &Scenario, simulation: &Simulation, inputs: &BaselineInputs) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(world) = simulation.worlds.first() else {
        return found;
    };
    for variant in simulation
        .plans
        .iter()
        .filter(|variant| variant.controller == Controller::Policy)
    {
        let model = Model::new(scenario, simulation, inputs, variant, world);
        for warning in step_warnings(&model) {
            add_finding(&mut found, &variant.id, warning);
        }
    }
    found
}

pub(super) fn simulation(scenario: &Scenario) -> Result<&Simulation> {
    let simulation = scenario
        .simulation
        .as_ref()
        .filter(|simulation| !simulation.worlds.is_empty());
    simulation.ok_or_else(|| {
        Error::usage("expected a scenario with [simulate] and at least one [[simulate.world]], found none")
            .hint("scenarios/ramp.toml is one to start from")
    })
}

fn stream(world: usize, run: u32) -> u64 {
    (world as u64) << 32 | u64::from(run)
}

/// One decision of a traced run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TracedDecision {
    /// Time of the decision, RFC 3339, UTC.
    pub at: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Ratio of the layer before the decision.
    pub ratio: Ratio,
    /// Verdict: `promote`, `hold`, `rollback`, `inconclusive` or `invalid`.
    pub verdict: &'static str,
    /// Ratio of the layer after the decision.
    pub next_ratio: Ratio,
    /// Name of the first check that blocked. `None` for a promotion.
    pub first_blocking: Option<String>,
    /// Trace of the policy. Empty for other controllers.
    pub trace: Vec<Check>,
}

/// Simulates one run of a plan in a world. Returns all its decisions with the policy's traces.
///
/// # Errors
/// The same as for [`simulate`]. Also if the plan or the world is not declared.
pub fn trace(
    scenario: &Scenario,
    measured: Option<&Measured>,
    plan: &str,
    world: &str,
    run: u32,
) -> Result<Vec<TracedDecision>> {
    let simulation = simulation(scenario)?;
    let baseline_inputs = BaselineInputs::new(scenario, simulation, measured)?;
    let unknown = |what: &str, found: &str, ids: Vec<&str>| {
        Error::usage(format!(
            "expected one of the {what} {}, found \"{found}\"",
            ids.join(", ")
        ))
    };
    let variant = simulation.plans.iter().find(|variant| variant.id == plan);
    let variant = variant.ok_or_else(|| {
        unknown(
            "plans",
            plan,
            simulation.plans.iter().map(|v| v.id.as_str()).collect(),
        )
    })?;
    let number = simulation.worlds.iter().position(|of| of.id == world);
    let number = number.ok_or_else(|| {
        unknown(
            "worlds",
            world,
            simulation.worlds.iter().map(|w| w.id.as_str()).collect(),
        )
    })?;
    let model = Model::new(
        scenario,
        simulation,
        &baseline_inputs,
        variant,
        &simulation.worlds[number],
    )
    .in_full();
    let mut decisions = Vec::new();
    Run::new(&model, scenario.seed, stream(number, run)).run(&mut |situation, conclusion| {
        let is_policy = variant.controller == Controller::Policy;
        decisions.push(TracedDecision {
            at: time::format(situation.as_of),
            layer: situation.layer.id.clone(),
            ratio: situation.state.ratio,
            verdict: conclusion.verdict.name(),
            next_ratio: conclusion.next_ratio,
            first_blocking: conclusion.first_blocking.map(|name| name.to_string()),
            trace: if is_policy {
                ramp::decide(situation).trace
            } else {
                Vec::new()
            },
        });
    });
    Ok(decisions)
}

pub(super) fn summarize(model: &Model<'_>, outcomes: &[RunOutcome]) -> PlanForecast {
    let plan = model.plan();
    let hours = |window: u32| f64::from(window) * plan.window as f64 / HOUR as f64;
    let chance = |is_so: &dyn Fn(&RunOutcome) -> bool| {
        Chance::from_counts(
            outcomes.iter().filter(|outcome| is_so(outcome)).count(),
            outcomes.len(),
        )
    };
    let is_harmful = model.is_harmful();
    let p_rollback = chance(&|outcome| outcome.rollback().is_some());
    let p_full = chance(&|outcome| outcome.full_at.is_some() && outcome.rollback().is_none());
    let rollbacks = || outcomes.iter().filter_map(RunOutcome::rollback);
    let cause = |change: &RatioChange| match change.cause {
        None => "no_data".to_owned(),
        Some(cause) => match cause.metric(plan) {
            Some(metric) => format!("{}:{metric}", cause.kind),
            None => cause.kind.to_owned(),
        },
    };
    let shares = |names: Vec<String>| {
        let n = names.len() as f64;
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        names
            .into_iter()
            .for_each(|name| *counts.entry(name).or_default() += 1.0);
        counts.values_mut().for_each(|count| *count /= n);
        counts
    };
    let n_users: f64 = model.layers.iter().map(|layer| layer.n_users).sum();
    let cap = plan.policy.exposure_cap.map(|cap| cap * n_users);
    let costs: Vec<f64> = model.layers.first().map_or_else(Vec::new, |layer| {
        layer
            .metric_models
            .iter()
            .map(|metric_model| metric_model.cost)
            .collect()
    });
    let money = |outcome: &RunOutcome| {
        outcome
            .harm
            .iter()
            .zip(&costs)
            .map(|(harm, cost)| harm * cost)
            .sum::<f64>()
    };
    let has_cost = costs.iter().any(|cost| *cost > 0.0);
    let first_guardrail = model.metric_model_of_guardrail.first().copied().unwrap_or(0);
    let amount = |outcome: &RunOutcome| {
        if has_cost {
            money(outcome)
        } else {
            outcome.harm[first_guardrail]
        }
    };
    PlanForecast {
        plan: model.variant.id.clone(),
        controller: model.variant.controller.name().into(),
        world: model.world.id.clone(),
        is_harmful,
        p_rollback,
        p_false_rollback: (!is_harmful).then_some(p_rollback),
        p_missed: is_harmful.then_some(p_full),
        p_full,
        p_srm_halt: chance(&|outcome| outcome.srm_halt),
        p_never_finishes: chance(&|outcome| outcome.rollback().is_none() && outcome.full_at.is_none()),
        unfinished: unfinished(model, outcomes),
        hours_to_full: Quantity::from_values(
            outcomes.iter().filter_map(|outcome| outcome.full_at).map(hours),
        ),
        hours_to_rollback: Quantity::from_values(rollbacks().map(|change| hours(change.window))),
        rollback_because: shares(rollbacks().map(cause).collect()),
        rollback_at: shares(
            rollbacks()
                .map(|change| format!("{} at {}", plan.layers[usize::from(change.layer)].id, change.from))
                .collect(),
        ),
        users_exposed: Quantity::from_values(outcomes.iter().map(|outcome| outcome.users)),
        users_exposed_by_coin: Quantity::from_values(outcomes.iter().map(|outcome| outcome.coin_users)),
        users_at_rollback: Quantity::from_values(
            outcomes.iter().filter_map(|outcome| outcome.users_at_rollback),
        ),
        p_over_exposure_cap: cap
            .filter(|_| is_harmful)
            .map(|cap| chance(&|outcome| outcome.users > cap)),
        requests_exposed: Quantity::from_values(outcomes.iter().map(|outcome| outcome.requests)),
        harm: model
            .metric_model_of_guardrail
            .iter()
            .map(|idx| {
                (
                    model.metrics[*idx].clone(),
                    Quantity::from_values(outcomes.iter().map(|outcome| outcome.harm[*idx])),
                )
            })
            .collect(),
        cost: has_cost.then(|| Quantity::from_values(outcomes.iter().map(money))),
        full_by: full_by(model, outcomes, &hours),
        exceedance: exceedance(outcomes.iter().map(amount).collect()),
        layers: (0..plan.layers.len())
            .map(|idx| layer_forecast(model, outcomes, idx, &hours))
            .collect(),
    }
}

pub(super) fn full_by(model: &Model<'_>, outcomes: &[RunOutcome], hours: &dyn Fn(u32) -> f64) -> Vec<FullBy> {
    let mut full: Vec<u32> = outcomes.iter().filter_map(|outcome| outcome.full_at).collect();
    full.sort_unstable();
    let share = |window: u32| full.partition_point(|at| *at <= window) as f64 / outcomes.len().max(1) as f64;
    points(model)
        .map(|window| FullBy {
            hours: hours(window),
            p: share(window),
        })
        .collect()
}

/// The windows that a chart over time shows.
fn points(model: &Model<'_>) -> impl Iterator<Item = u32> {
    (0..=model.n_windows).step_by((model.n_windows as usize).div_ceil(FAN_POINTS).max(1))
}

pub(super) fn exceedance(mut amounts: Vec<f64>) -> Vec<Exceedance> {
    amounts.sort_by(f64::total_cmp);
    let most = amounts.last().copied().unwrap_or(0.0);
    if most <= 0.0 {
        return Vec::new();
    }
    let at = |point: usize| {
        let amount = most * point as f64 / (EXCEEDANCE_POINTS - 1) as f64;
        let above = amounts.len() - amounts.partition_point(|own| *own <= amount);
        Exceedance {
            amount,
            p: above as f64 / amounts.len() as f64,
        }
    };
    (0..EXCEEDANCE_POINTS).map(at).collect()
}

fn layer_forecast(
    model: &Model<'_>,
    outcomes: &[RunOutcome],
    idx: usize,
    hours: &dyn Fn(u32) -> f64,
) -> LayerForecast {
    let layer = &model.plan().layers[idx];
    let of_layer = |outcome: &RunOutcome| {
        outcome
            .changes
            .iter()
            .filter(|change| usize::from(change.layer) == idx)
            .copied()
            .collect::<Vec<_>>()
    };
    let changes: Vec<Vec<_>> = outcomes.iter().map(of_layer).collect();
    let n_rollbacks = changes
        .iter()
        .filter(|changes| changes.iter().any(|change| change.to == Ratio::ZERO))
        .count();
    let full = changes
        .iter()
        .filter_map(|changes| changes.iter().find(|change| change.to >= layer.last_step()));
    let fan = points(model).map(|window| {
        let ratio_at = |changes: &Vec<RatioChange>| {
            changes
                .iter()
                .rev()
                .find(|change| change.window <= window)
                .map_or(0.0, |change| change.to.share())
        };
        let mut ratios: Vec<f64> = changes.iter().map(ratio_at).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        Fan {
            hours: hours(window),
            ratio: [0.05, 0.25, 0.5, 0.75, 0.95].map(|q| quantile(&ratios, q)),
        }
    });
    LayerForecast {
        layer: layer.id.clone(),
        p_rollback: Chance::from_counts(n_rollbacks, outcomes.len()),
        fan: fan.collect(),
        hours_to_full: Quantity::from_values(full.map(|change| hours(change.window))),
    }
}
