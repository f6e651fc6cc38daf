//! Optimization: the fastest schedule that keeps all bounds. The search evaluates a grid of
//! ladders, dwells and boundaries exactly, then simulates the best schedules by the decisions of the
//! ramp. Under the policy that the scenario names it bounds the time of each step, then simulates.

use toml::Value;

use crate::base::error::{Error, Result};
use crate::scenario::rewrite::{Changes, Entry, rewrite};
use crate::scenario::{
    Boundary, Budget, Controller, Guardrail, GuardrailRule, Plan, PlanVariant, Scenario, Sequential, World,
};
use crate::simulate::baseline::{BaselineInputs, Measured, metrics_of};
use crate::simulate::document::{LayerOptimum, LayerPolicyOptimum, Optimum, PolicyOptimum};
use crate::simulate::forecast::simulation;
use crate::simulate::model::Model;
use crate::simulate::optimize_grid::{Grid, Target, search};
use crate::simulate::optimize_policy::{Margin, fastest};
use crate::simulate::optimize_runs::{Course, decide_by_runs};

/// Searches the grid for each layer with exact probabilities, and simulates the best schedules.
/// `source` is the text of the scenario, into which the results are written.
///
/// # Errors
/// The scenario has no `[simulate]`, no world, or no guardrail with a margin, or a value of the
/// baseline is neither declared nor measured.
///
/// # References
/// `docs/METHODS.md#optimal-schedules`.
pub fn optimize(scenario: &Scenario, source: &str, measured: Option<&Measured>) -> Result<Optimum> {
    let simulation = simulation(scenario)?;
    let baseline_inputs = BaselineInputs::new(scenario, simulation, measured)?;
    let budget = &simulation.budget;
    let (metric, mde_of) = objective(scenario, budget)?;
    let none = World {
        id: "none".into(),
        effects: Vec::new(),
        opt_out_per_day: 0.0,
        drift_per_day: 0.0,
        candidate_loss: 0.0,
    };
    let base = PlanVariant {
        id: "base".into(),
        plan: scenario.plan.clone(),
        controller: Controller::Policy,
        boundaries: vec![Boundary::default(); scenario.plan.layers.len()],
    };
    let model = Model::new(scenario, simulation, &baseline_inputs, &base, &none);
    let metrics = metrics_of(&scenario.plan);
    let gated = gated_plan(scenario, budget, &metric);
    let own = &scenario.plan;
    let grid = Grid::new(gated.gate_alpha(), budget.max_missed);
    let (mut layers, mut under_policy) = (Vec::new(), Vec::new());
    let mut largest: f64 = 0.0;
    for (idx, of_model) in model.layers.iter().enumerate() {
        let target_of = |id: &str, mde: f64| Target {
            model: of_model,
            metric_model: metrics.iter().position(|metric| metric == id).unwrap_or(0),
            mde,
            window: own.window,
        };
        let mde = mde_of(target_of(&metric, 0.0).baseline());
        largest = largest.max(mde);
        let course = Course {
            scenario,
            simulation,
            baseline_inputs: &baseline_inputs,
            layer_idx: idx,
            metric: &metric,
            mde,
        };
        let mut found = search(&target_of(&metric, mde), budget, &own.layers[idx].id, &grid);
        decide_by_runs(&mut found, &course, &gated, budget);
        layers.push(found);
        if own.policy.sequential != Sequential::GroupSequential {
            let margins = margins_of(own, &target_of);
            under_policy.push(fastest(&course, own, budget, &margins));
        }
    }
    Ok(Optimum {
        metric: metric.clone(),
        mde: largest,
        max_false_rollback: budget.max_false_rollback,
        max_missed: budget.max_missed,
        max_harm: budget.max_harm,
        max_overspend: budget.max_overspend,
        toml: rewrite(source, &gated_changes(scenario, budget, &metric, &layers))?,
        layers,
        under_policy: if under_policy.is_empty() {
            None
        } else {
            Some(PolicyOptimum {
                policy: own.policy.sequential.name(),
                toml: rewrite(source, &own_changes(&under_policy))?,
                layers: under_policy,
            })
        },
    })
}

/// The plan under the group-sequential policy that the budget asks for.
fn gated_plan(scenario: &Scenario, budget: &Budget, metric: &str) -> Plan {
    let mut plan = scenario.plan.clone();
    plan.policy.sequential = Sequential::GroupSequential;
    plan.policy.alpha = budget.max_false_rollback.min(0.5);
    plan.policy.max_missed = budget.max_missed.min(0.5);
    if let Some(mde) = budget.mde {
        for guardrail in plan.guardrails.iter_mut().filter(|of| of.metric == metric) {
            guardrail.mde = Some(mde);
        }
    }
    plan
}

/// The guardrails whose intervals must lie below their margins before each promotion.
fn margins_of<'a>(plan: &'a Plan, target_of: &dyn Fn(&str, f64) -> Target<'a>) -> Vec<Margin<'a>> {
    let margin = |guardrail: &'a Guardrail| {
        let target = target_of(&guardrail.metric, 0.0);
        let mde = guardrail
            .margin(target.baseline())
            .filter(|_| guardrail.bounds_harm())?;
        Some(Margin {
            target: Target { mde, ..target },
            metric: &guardrail.metric,
        })
    };
    plan.guardrails.iter().filter_map(margin).collect()
}

/// The changes of the scenario under the group-sequential policy.
fn gated_changes(scenario: &Scenario, budget: &Budget, metric: &str, layers: &[LayerOptimum]) -> Changes {
    let of_layer = |found: &LayerOptimum| {
        let chosen = found.chosen.as_ref()?;
        let mut keys = schedule_keys(&chosen.ladder, chosen.dwell_hours);
        keys.push(("boundary", chosen.boundary.into()));
        if let Some(parameter) = chosen.boundary_parameter {
            let key = if chosen.boundary == "kim_demets" {
                "boundary_rho"
            } else {
                "boundary_gamma"
            };
            keys.push((key, parameter.into()));
        }
        Some((found.layer.clone(), keys))
    };
    Changes {
        policy: vec![
            ("decision", "interval".into()),
            ("sequential", "group_sequential".into()),
            ("alpha", budget.max_false_rollback.min(0.5).into()),
            ("max_missed", budget.max_missed.min(0.5).into()),
        ],
        layers: layers.iter().filter_map(of_layer).collect(),
        guardrails: budget.mde.map_or_else(Vec::new, |mde| {
            let guardrails = scenario.plan.guardrails.iter();
            guardrails
                .map(|guardrail| guardrail_keys(guardrail, metric, mde))
                .collect()
        }),
    }
}

/// The rule of a guardrail, with the harm that must not be missed for one of them.
fn guardrail_keys(guardrail: &Guardrail, metric: &str, mde: f64) -> Entry {
    let mut keys = vec![match guardrail.rule {
        GuardrailRule::Margin(margin) => ("margin", margin.into()),
        GuardrailRule::RelativeMargin(share) => ("relative_margin", share.into()),
        GuardrailRule::MaxCount(n) => ("max_count", Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))),
    }];
    if guardrail.metric == metric {
        keys.push(("mde", mde.into()));
    }
    (guardrail.metric.clone(), keys)
}

/// The changes of the scenario under its own policy.
fn own_changes(layers: &[LayerPolicyOptimum]) -> Changes {
    let of_layer = |found: &LayerPolicyOptimum| {
        let chosen = found.chosen.as_ref()?;
        Some((
            found.layer.clone(),
            schedule_keys(&chosen.ladder, chosen.dwell_hours),
        ))
    };
    Changes {
        layers: layers.iter().filter_map(of_layer).collect(),
        ..Changes::default()
    }
}

/// A ladder opens with its first step, so the initial ratio is 0.
fn schedule_keys(ladder: &[f64], dwell_hours: f64) -> Vec<(&'static str, Value)> {
    vec![
        ("ladder", ladder.to_vec().into()),
        ("initial_ratio", 0.0.into()),
        ("dwell_hours", dwell_hours.into()),
    ]
}

type MdeOf = Box<dyn Fn(f64) -> f64>;

/// Returns the metric's id, and a function from the baseline's value to the harm that must be
/// detected.
fn objective(scenario: &Scenario, budget: &Budget) -> Result<(String, MdeOf)> {
    let plan = &scenario.plan;
    let guardrail = match &budget.metric {
        Some(metric) => plan
            .guardrails
            .iter()
            .find(|guardrail| guardrail.metric == *metric),
        None => plan.first_margin(),
    };
    let guardrail = guardrail.ok_or_else(|| {
        Error::usage("expected a guardrail with a margin for `simulate.budget.metric`, found none")
            .hint("declare one as [[guardrail]], with the harm that matters as its margin")
    })?;
    let (mde, of_margin) = (budget.mde, guardrail.clone());
    // The checks of the scenario make sure that the guardrail has a margin.
    let mde_of: MdeOf = Box::new(move |control: f64| mde.or(of_margin.margin(control)).unwrap_or(0.0));
    Ok((guardrail.metric.clone(), mde_of))
}
