//! One run: windows pass in order, sums of rows are drawn, and the plan's controller decides.

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::{Conclusion, LayerState, Situation, Verdict, conclude, conclude_early};
use crate::scenario::{Controller, Layer, RollbackScope};
use crate::simulate::controller;
use crate::simulate::estimates::{Stage, primary_effect};
use crate::simulate::gates::LayerGates;
use crate::simulate::layer_run::{Held, LayerRun};
use crate::simulate::model::Model;
use crate::simulate::outcome::{Cause, Ending, RatioChange, RunOutcome};
use crate::simulate::stream::Stream;

/// The decision on a layer: the verdict, the next ratio, and the first check that blocks.
type Decided = (Verdict, Ratio, Option<Cause>);

/// One run of a model.
pub(super) struct Run<'m> {
    model: &'m Model<'m>,
    stream: Stream,
    layers: Vec<LayerRun>,
    states: Vec<LayerState>,
    /// The last decision on each layer.
    decided: Vec<Decided>,
    outcome: RunOutcome,
}

impl<'m> Run<'m> {
    /// Starts a run on its own random stream. All plans share the streams (common random numbers).
    pub(super) fn new(model: &'m Model<'m>, seed: u64, stream: u64) -> Self {
        let plan = model.plan();
        let state = |layer: &Layer| LayerState {
            tenant: String::new(),
            layer: layer.id.clone(),
            ratio: Ratio::ZERO,
            since: plan.start,
            rolled_back: None,
            pending: None,
        };
        let n_metric_models = model.layers.first().map_or(0, |layer| layer.metric_models.len());
        let layers = model.layers.iter().map(|layer| LayerRun::new(layer, plan.start));
        Self {
            model,
            stream: Stream::new(seed, stream),
            layers: layers.collect(),
            states: plan.layers.iter().map(state).collect(),
            decided: Vec::with_capacity(model.layers.len()),
            outcome: RunOutcome {
                harm: vec![0.0; n_metric_models],
                ..RunOutcome::default()
            },
        }
    }

    /// Runs until the horizon, or until nothing can change. `on_decision` receives every decision
    /// before it is carried out.
    pub(super) fn run(mut self, on_decision: &mut impl FnMut(&Situation<'_>, &Conclusion<'_>)) -> RunOutcome {
        let model = self.model;
        for window in 0..model.n_windows {
            if window % model.decide_every == 0 {
                self.decide(window, on_decision);
                if self.is_over() {
                    break;
                }
            }
            let layers = self.layers.iter_mut().zip(&model.layers).zip(&self.states);
            for ((layer, of_model), state) in layers {
                if state.ratio > Ratio::ZERO {
                    let at = (window, state.ratio);
                    layer.observe((model, of_model), at, &mut self.stream, &mut self.outcome);
                }
            }
        }
        self.decide(model.n_windows, on_decision);
        (self.outcome.users, self.outcome.coin_users) = (0.0, 0.0);
        for (layer, of_model) in self.layers.iter().zip(&model.layers) {
            self.outcome.users += of_model.n_users * layer.seen();
            self.outcome.coin_users += of_model.n_users * -(-layer.coin_hazard).exp_m1();
        }
        self.outcome
    }

    /// Whether nothing can change any more: every layer was rolled back, or waits for one that was.
    fn is_over(&self) -> bool {
        if self.states.iter().any(|state| state.ratio > Ratio::ZERO) || self.outcome.rollback().is_none() {
            return false;
        }
        let plan = self.model.plan();
        let mut closed: Vec<bool> = self
            .states
            .iter()
            .map(|state| state.rolled_back.is_some())
            .collect();
        for _ in 0..closed.len() {
            for (idx, layer) in plan.layers.iter().enumerate() {
                closed[idx] |= layer.after.iter().any(|before| closed[*before]);
            }
        }
        closed.into_iter().all(|closed| closed)
    }

    /// Decides all layers on the same evidence, and carries the decisions out.
    fn decide(&mut self, window: u32, on_decision: &mut impl FnMut(&Situation<'_>, &Conclusion<'_>)) {
        let plan = self.model.plan();
        let as_of: Micros = plan.start + i64::from(window) * plan.window;
        self.decided.clear();
        for idx in 0..self.layers.len() {
            let decided = self.decide_layer(idx, as_of, on_decision);
            self.decided.push(decided);
        }
        if plan.policy.rollback_scope == RollbackScope::Plan {
            self.roll_back_together();
        }
        for idx in 0..self.layers.len() {
            let (verdict, to, cause) = self.decided[idx];
            self.outcome.srm_halt |=
                verdict == Verdict::Invalid && cause.is_some_and(|cause| cause.kind == "srm");
            if to != self.states[idx].ratio {
                let cause = cause.filter(|_| verdict == Verdict::Rollback);
                self.change(idx, (window, as_of), to, cause);
            }
        }
        let is_full = |(state, layer): (&LayerState, &Layer)| state.ratio >= layer.last_step();
        if self.outcome.full_at.is_none() && self.states.iter().zip(&plan.layers).all(is_full) {
            self.outcome.full_at = Some(window);
        }
        if window == self.model.n_windows {
            self.end();
        }
    }

    fn decide_layer(
        &mut self,
        idx: usize,
        as_of: Micros,
        on_decision: &mut impl FnMut(&Situation<'_>, &Conclusion<'_>),
    ) -> Decided {
        let (model, plan) = (self.model, self.model.plan());
        let (layer, state) = (&mut self.layers[idx], &self.states[idx]);
        let is_on = state.ratio > Ratio::ZERO;
        let stage = Stage::new(model, idx, state);
        let without_evidence = Situation {
            plan,
            layer: &plan.layers[idx],
            state,
            tenant_states: &self.states,
            evidence: None,
            stage: None,
            coverage: None,
            misassigned: 0.0,
            as_of,
        };
        if let Some(held) = layer.kept(stage, as_of) {
            on_decision(&without_evidence, &held.conclusion(state.ratio, plan));
            return (held.verdict, state.ratio, Some(held.cause));
        }
        let cause_of = |conclusion: &Conclusion<'_>| {
            let name = conclusion.first_blocking;
            name.map(|name| Cause::new(name, &plan.guardrails))
        };
        let mut decide = |situation: &Situation<'_>, conclusion: Conclusion<'_>, cause: Option<Cause>| {
            on_decision(situation, &conclusion);
            (conclusion.verdict, conclusion.next_ratio, cause)
        };
        if !is_on {
            let conclusion = conclude(&without_evidence);
            return decide(&without_evidence, conclusion, cause_of(&conclusion));
        }
        if model.variant.controller != Controller::Policy {
            let primary = primary_effect(&layer.arms, stage);
            let progress = &mut layer.progress;
            let conclusion = controller::conclude(model, idx, &without_evidence, primary, progress);
            return decide(&without_evidence, conclusion, cause_of(&conclusion));
        }
        layer.update_users(stage);
        if !layer.is_past_early && layer.sketch_evidence(stage) {
            let situation = Situation {
                evidence: Some(&layer.evidence),
                ..without_evidence
            };
            if let Some(conclusion) = conclude_early(&situation) {
                let cause = cause_of(&conclusion);
                layer.held = Held::new(model, &situation, &conclusion, cause);
                return decide(&situation, conclusion, cause);
            }
            layer.is_past_early = true;
        }
        layer.update_evidence(stage);
        let situation = Situation {
            evidence: Some(&layer.evidence),
            ..without_evidence
        };
        let conclusion = conclude(&situation);
        let cause = cause_of(&conclusion);
        layer.held = Held::new(model, &situation, &conclusion, cause);
        decide(&situation, conclusion, cause)
    }

    /// Rolls back all layers if one is rolled back.
    fn roll_back_together(&mut self) {
        let is_rollback = |decision: &Decided| decision.0 == Verdict::Rollback;
        if !self.decided.iter().any(is_rollback) {
            return;
        }
        for (decision, state) in self.decided.iter_mut().zip(&self.states) {
            if is_rollback(decision) {
                continue;
            }
            let verdict = if state.ratio > Ratio::ZERO {
                Verdict::Rollback
            } else {
                Verdict::Hold
            };
            let cause = Cause {
                kind: "rollback_scope",
                guardrail: None,
            };
            *decision = (verdict, Ratio::ZERO, Some(cause));
        }
    }

    /// Records where the layers of an unfinished run stand at the horizon.
    fn end(&mut self) {
        if self.outcome.full_at.is_some() || self.outcome.rollback().is_some() {
            return;
        }
        let ending = |(idx, (_, _, cause)): (usize, &Decided)| {
            let ratio = self.states[idx].ratio;
            (ratio < self.model.plan().layers[idx].last_step()).then_some(Ending {
                layer: idx as u8,
                ratio,
                cause: *cause,
            })
        };
        self.outcome.unfinished = self.decided.iter().enumerate().filter_map(ending).collect();
    }

    fn change(&mut self, idx: usize, (window, as_of): (u32, Micros), to: Ratio, cause: Option<Cause>) {
        let (layer, state) = (&mut self.layers[idx], &mut self.states[idx]);
        let from = state.ratio;
        let is_first = self.outcome.rollback().is_none_or(|first| first.window == window);
        if to == Ratio::ZERO && is_first {
            let users = self.model.layers[idx].n_users * layer.seen();
            *self.outcome.users_at_rollback.get_or_insert(0.0) += users;
        }
        self.outcome.changes.push(RatioChange {
            window,
            layer: idx as u8,
            from,
            to,
            cause,
        });
        if !self.model.gate_designs.is_empty() {
            if to > Ratio::ZERO && from > Ratio::ZERO {
                layer.finish_gates(Stage::new(self.model, idx, state));
            } else {
                layer.gates = LayerGates::default();
            }
        }
        if to == Ratio::ZERO {
            state.rolled_back = Some((as_of, self.model.plan().candidate.clone()));
        }
        (state.ratio, state.since) = (to, as_of);
        layer.begin_stage(to, self.model.layers[idx].n_users);
    }
}

#[cfg(test)]
mod tests;
