//! Checks of `[simulate]`: worlds, plan variants and budgets.

use crate::base::time::{DAY, HOUR, Micros};
use crate::bucket::Ratio;
use crate::metric::{Metric, RATE_METRICS};
use crate::scenario::checker::Checker;
use crate::scenario::plan::Plan;
use crate::scenario::policy::{DecisionPolicy, Guardrail, Sequential};
use crate::scenario::raw_simulate::{RawBudget, RawPlanVariant, RawSimulate};
use crate::scenario::simulation::{
    Boundary, Budget, Controller, HOURS_A_WEEK, PlanVariant, Simulation, World, WorldLayer,
};

/// The largest number of windows of a run.
pub(super) const MAX_WINDOWS: i64 = 1_000_000;

impl Checker {
    /// Returns the ids of the metrics that a plan reads: those of QoS, then those of its
    /// guardrails.
    fn looked_at(guardrails: &[Guardrail]) -> Vec<String> {
        let mut ids: Vec<String> = RATE_METRICS.iter().map(|id| (*id).to_owned()).collect();
        for guardrail in guardrails {
            if !ids.contains(&guardrail.metric) {
                ids.push(guardrail.metric.clone());
            }
        }
        ids
    }

    pub(super) fn simulation(&mut self, raw: RawSimulate, plan: &Plan, metrics: &[Metric]) -> Simulation {
        let known = Self::looked_at(&plan.guardrails);
        let mut layers: Vec<Option<WorldLayer>> = vec![None; plan.layers.len()];
        for (idx, raw) in raw.layer.into_iter().enumerate() {
            let at = |key: &str| format!("simulate.layer[{}].{key}", idx + 1);
            let layer_idx = self.layer_ref(&at("id"), raw.id.clone(), &plan.layers);
            let layer = self.world_layer(&at, &raw);
            if let Some(location) = layers.get_mut(layer_idx) {
                *location = Some(layer);
            }
        }
        let rates = raw
            .rate
            .into_iter()
            .enumerate()
            .map(|(idx, raw)| self.rate(idx, raw, &known, &plan.layers, metrics))
            .collect();
        let mut worlds: Vec<World> = Vec::new();
        for (idx, raw) in raw.world.into_iter().enumerate() {
            let world = self.world(idx, raw, &known, &plan.layers);
            if worlds.iter().any(|other| other.id == world.id) {
                self.problem(
                    format!("simulate.world[{}].id", idx + 1),
                    format!("expected ids that differ, found \"{}\" twice", world.id),
                );
            }
            worlds.push(world);
        }
        let mut plans: Vec<PlanVariant> = Vec::new();
        for (idx, raw) in raw.plan.into_iter().enumerate() {
            let variant = self.plan_variant(idx, raw, plan);
            if plans.iter().any(|other| other.id == variant.id) {
                self.problem(
                    format!("simulate.plan[{}].id", idx + 1),
                    format!("expected ids that differ, found \"{}\" twice", variant.id),
                );
            }
            plans.push(variant);
        }
        if plans.is_empty() {
            plans.push(PlanVariant {
                id: plan.id.clone(),
                plan: plan.clone(),
                controller: Controller::Policy,
                boundaries: vec![Boundary::default(); plan.layers.len()],
            });
        }
        for (metric, cost) in &raw.cost {
            self.number(&format!("simulate.cost.{metric}"), Some(*cost), 0.0, 0.0, 1e15);
        }
        for metric in raw.cost.keys().filter(|metric| !known.contains(metric)) {
            self.problem(
                "simulate.cost",
                format!("expected metrics of {}, found \"{metric}\"", known.join(", ")),
            );
        }
        let n_runs = self.number("simulate.runs", raw.runs, 2_000.0, 1.0, 1e7);
        let every = self.number(
            "simulate.decide_every_windows",
            raw.decide_every_windows,
            1.0,
            1.0,
            1e4,
        );
        let budget = raw.budget;
        self.budget(&budget, plan);
        let share = |c: &mut Self, key: &str, value: Option<f64>, default: f64| {
            c.number(&format!("simulate.budget.{key}"), value, default, 1e-9, 1.0)
        };
        Simulation {
            n_runs: n_runs as u32,
            horizon: self.horizon(raw.days, plan.window),
            decide_every: every as u32,
            layers,
            rates,
            worlds,
            plans,
            costs: raw.cost,
            budget: Budget {
                metric: budget.metric,
                mde: budget.mde,
                max_false_rollback: share(self, "max_false_rollback", budget.max_false_rollback, 0.05),
                max_missed: share(self, "max_missed", budget.max_missed, 0.1),
                max_harm: budget.max_harm,
                min_dwell_hours: self.number(
                    "simulate.budget.min_dwell_hours",
                    budget.min_dwell_hours,
                    24.0,
                    1.0,
                    1e4,
                ),
                max_overspend: budget
                    .max_overspend
                    .map(|p| share(self, "max_overspend", Some(p), 0.05)),
            },
        }
    }

    fn horizon(&mut self, days: Option<f64>, window: Micros) -> Micros {
        let horizon = self.duration("simulate.days", days, 20.0, DAY);
        let windows = horizon / window.max(1);
        if !(1..=MAX_WINDOWS).contains(&windows) {
            self.problem(
                "simulate.days",
                format!("expected 1 to {MAX_WINDOWS} windows of the plan, found {windows}"),
            );
        }
        horizon
    }

    /// Returns 168 weights by hour of the week with a mean of 1, from 24 or 168 given weights. The
    /// result is empty if no weights are given or they are wrong.
    pub(super) fn rhythm(&mut self, location: &str, weights: Option<&[f64]>) -> Vec<f64> {
        let Some(weights) = weights else { return Vec::new() };
        let sum: f64 = weights.iter().sum();
        let is_legal = [24, HOURS_A_WEEK].contains(&weights.len())
            && weights.iter().all(|weight| (0.0..=1e9).contains(weight))
            && sum > 0.0;
        if !is_legal {
            self.problem(
                location,
                format!(
                    "expected 24 or 168 weights of at least 0, not all 0, found {}",
                    weights.len()
                ),
            );
            return Vec::new();
        }
        weights
            .iter()
            .map(|weight| weight * weights.len() as f64 / sum)
            .cycle()
            .take(HOURS_A_WEEK)
            .collect()
    }

    pub(super) fn required_number(&mut self, location: &str, value: Option<f64>, low: f64, high: f64) -> f64 {
        match self.require(location, value, "a number") {
            Some(value) => self.number(location, Some(value), low, low, high),
            None => low,
        }
    }

    pub(super) fn known_metric(
        &mut self,
        location: &str,
        metric: Option<String>,
        known: &[String],
    ) -> String {
        let metric = self
            .require(location, metric, "a metric's id")
            .unwrap_or_default();
        if !metric.is_empty() && !known.contains(&metric) {
            self.problem(
                location,
                format!(
                    "expected a metric of QoS or of a guardrail ({}), found \"{metric}\"",
                    known.join(", ")
                ),
            );
        }
        metric
    }

    /// Checks the budget of `--optimize`. Its metric must have a guardrail with a margin and the
    /// action `rollback`.
    fn budget(&mut self, raw: &RawBudget, plan: &Plan) {
        let bounded = plan.guardrails.iter().filter(|guardrail| guardrail.bounds_harm());
        let bounded: Vec<&str> = bounded.map(|guardrail| guardrail.metric.as_str()).collect();
        if let Some(metric) = raw.metric.as_deref().filter(|metric| !bounded.contains(metric)) {
            let found = format!(
                "expected a guardrail with a margin that rolls back ({}), found \"{metric}\"",
                bounded.join(", ")
            );
            self.problem("simulate.budget.metric", found);
        }
        for (key, value) in [("mde", raw.mde), ("max_harm", raw.max_harm)] {
            self.number(&format!("simulate.budget.{key}"), value, 1.0, 1e-12, 1e15);
        }
        if raw.max_overspend.is_some() && raw.max_harm.is_none() {
            self.problem(
                "simulate.budget.max_overspend",
                "expected `max_harm`, which it is about, found none",
            );
        }
    }

    fn plan_variant(&mut self, idx: usize, raw: RawPlanVariant, base: &Plan) -> PlanVariant {
        let at = |key: &str| format!("simulate.plan[{}].{key}", idx + 1);
        let mut plan = base.clone();
        let boundary = self.choice(&at("boundary"), raw.boundary.as_deref(), &Boundary::ALL);
        let mut boundaries = vec![boundary; plan.layers.len()];
        for layer in &mut plan.layers {
            if let Some(shares) = &raw.ladder {
                layer.ladder = self.ladder(&at("ladder"), shares);
                layer.initial_ratio = Ratio::ZERO;
            }
            if let Some(hours) = raw.dwell_hours {
                layer.dwell = self.duration(&at("dwell_hours"), Some(hours), 0.0, HOUR);
            }
        }
        for (n, of_layer) in raw.layer.into_iter().enumerate() {
            let location = |key: &str| format!("{}[{}].{key}", at("layer"), n + 1);
            let layer_idx = self.layer_ref(&location("id"), of_layer.id, &plan.layers);
            let Some(layer) = plan.layers.get_mut(layer_idx) else {
                continue;
            };
            if let Some(shares) = &of_layer.ladder {
                layer.ladder = self.ladder(&location("ladder"), shares);
                layer.initial_ratio = Ratio::ZERO;
            }
            if let Some(hours) = of_layer.dwell_hours {
                layer.dwell = self.duration(&location("dwell_hours"), Some(hours), 0.0, HOUR);
            }
            if of_layer.boundary.is_some() {
                boundaries[layer_idx] = self.choice(
                    &location("boundary"),
                    of_layer.boundary.as_deref(),
                    &Boundary::ALL,
                );
            }
            if let Some(min_users) = of_layer.min_users {
                layer.min_users = min_users;
            }
        }
        let policy = &mut plan.policy;
        if raw.decision.is_some() {
            policy.decision = self.choice(&at("decision"), raw.decision.as_deref(), &DecisionPolicy::ALL);
        }
        if raw.sequential.is_some() {
            policy.sequential = self.choice(&at("sequential"), raw.sequential.as_deref(), &Sequential::ALL);
        }
        policy.alpha = self.number(&at("alpha"), raw.alpha, policy.alpha, 1e-9, 0.5);
        plan.operations.clear();
        PlanVariant {
            id: self.text(&at("id"), raw.id, "an id"),
            plan,
            controller: self.choice(&at("controller"), raw.controller.as_deref(), &Controller::ALL),
            boundaries,
        }
    }
}

impl Plan {
    /// The first guardrail that has a margin and rolls back. An optimal schedule protects its
    /// metric unless `simulate.budget.metric` names another. `None` if the plan has no such
    /// guardrail.
    pub fn first_margin(&self) -> Option<&Guardrail> {
        self.guardrails.iter().find(|guardrail| guardrail.bounds_harm())
    }
}
