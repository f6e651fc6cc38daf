//! Backtests: the decisions of a policy over a past log, window by window, on the data that were
//! known at each time.

use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::analysis::{AccumulationWindow, Basis, History, gate_designs, is_known_in_time};
use crate::base::error::Result;
use crate::base::time;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::{LayerState, Situation, StageEvidence, Verdict, decide};
use crate::replay::{Cube, CubeLayer};
use crate::scenario::{GateDesign, Plan, RollbackScope, Scenario, Stage, stages_of};
use crate::simulate::gates::LayerGates;

/// The decisions of a plan over a past log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// Id of the plan or variant.
    pub plan: String,
    /// Whether the ratios follow the log. If not, the policy's own decisions set the ratios.
    pub follows_log: bool,
    /// Metrics of the guardrails that were left out, because the cube does not know them before a
    /// stage ends.
    pub left_out: Vec<String>,
    /// Whether numbers of distinct users are estimates. The sample ratio is not tested then.
    pub users_are_estimated: bool,
    /// Results by tenant and layer, in plan order.
    pub layers: Vec<BacktestLayer>,
}

/// The decisions on one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestLayer {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Number of decisions by verdict.
    pub verdicts: BTreeMap<&'static str, u32>,
    /// The decisions that differ from the one before in verdict, first blocking check or ratio.
    pub decisions: Vec<BacktestDecision>,
    /// The ratio at the end of the backtest.
    pub ratio: Ratio,
    /// Number of requests that the candidate would have answered.
    pub requests_exposed: u64,
    /// The weakest basis of the evidence. `None` if no user ever had the candidate.
    pub basis: Option<Basis>,
    /// Time from which the log has no data for the backtest's ratio, because no user had the
    /// candidate. There are no decisions from then on. `None` if that never happened.
    pub refused_at: Option<String>,
}

/// One decision of the backtest, with the ratio in the log and in the backtest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestDecision {
    /// Time of the decision, RFC 3339, UTC.
    pub at: String,
    /// The ratio in force in the log.
    pub logged_ratio: Ratio,
    /// The ratio in force in the backtest.
    pub ratio: Ratio,
    /// Verdict: `promote`, `hold`, `rollback`, `inconclusive` or `invalid`.
    pub verdict: &'static str,
    /// Ratio of the layer after the decision.
    pub next_ratio: Ratio,
    /// Name of the first check that blocked. `None` for a promotion.
    pub first_blocking: Option<String>,
    /// Text of the first blocking check, or the reason for the promotion.
    pub reason: String,
    /// The same in Chinese.
    pub reason_zh: String,
    /// Basis of the evidence. `None` without evidence.
    pub basis: Option<Basis>,
}

/// The backtest of one layer in progress.
struct Walk<'a> {
    layer: &'a CubeLayer,
    plan_idx: usize,
    /// All stages of the log.
    stages: Vec<Stage>,
    state: LayerState,
    accumulated: AccumulationWindow,
    gates: LayerGates,
    found: BacktestLayer,
    last: Option<(Verdict, Option<String>, Ratio)>,
    requests: u64,
}

/// Runs the policy over the log of a cube, with a decision every `every` windows. With
/// `follows_log` the ratios are those of the log, and the verdicts show what the policy would have
/// said. Otherwise the backtest carries out its own decisions, as far as the log has data for them.
///
/// # References
/// `docs/METHODS.md#backtest`.
///
/// # Errors
/// The cube belongs to another plan.
pub fn backtest(
    cube: &Cube,
    scenario: &Scenario,
    plan: &Plan,
    id: &str,
    follows_log: bool,
    every: u32,
) -> Result<Backtest> {
    crate::analysis::check_plan(cube, scenario)?;
    let mut plan = plan.clone();
    let (kept, left_out): (Vec<_>, Vec<_>) = plan
        .guardrails
        .into_iter()
        .partition(|guardrail| is_known_in_time(&guardrail.metric));
    plan.guardrails = kept;
    let tenants: Vec<&[CubeLayer]> = cube.layers.chunk_by(|a, b| a.tenant == b.tenant).collect();
    let designs = gate_designs(&plan);
    let of_tenant = |layers: &&[CubeLayer]| {
        let tenant = &cube.tenants[layers[0].tenant as usize];
        let history = History::new(cube, scenario, layers);
        let mut walks: Vec<Walk<'_>> = layers
            .iter()
            .map(|layer| Walk::new(layer, &history, (scenario, &plan), tenant))
            .collect();
        for now in 0..=history.n_windows {
            for walk in &mut walks {
                walk.advance(&history, &scenario.plan, now);
            }
            if now % every.max(1) == 0 {
                step(
                    &mut walks,
                    &history,
                    (scenario, &plan, &designs),
                    now,
                    follows_log,
                );
            }
        }
        walks.into_iter().map(Walk::finish).collect::<Vec<_>>()
    };
    let layers: Vec<Vec<BacktestLayer>> = tenants.par_iter().map(of_tenant).collect();
    Ok(Backtest {
        plan: id.to_owned(),
        follows_log,
        left_out: left_out.into_iter().map(|guardrail| guardrail.metric).collect(),
        users_are_estimated: true,
        layers: layers.into_iter().flatten().collect(),
    })
}

/// The stages of the log that have begun by an instant.
fn stages_until(stages: &[Stage], at: Micros) -> &[Stage] {
    &stages[..stages.partition_point(|stage| stage.start <= at)]
}

/// The ratio that was in force in the log.
fn logged_ratio(stages: &[Stage], at: Micros) -> Ratio {
    stages_until(stages, at)
        .last()
        .map_or(Ratio::ZERO, |stage| stage.ratio)
}

fn step(
    walks: &mut [Walk<'_>],
    history: &History<'_>,
    (scenario, plan, designs): (&Scenario, &Plan, &[Option<GateDesign>]),
    now: u32,
    follows_log: bool,
) {
    let as_of = scenario.plan.start + i64::from(now) * plan.window;
    if follows_log {
        // The state that the log's ratios had led to by then.
        for walk in walks.iter_mut() {
            let (ratio, since) = (walk.state.ratio, walk.state.since);
            walk.state
                .follow(&scenario.plan, stages_until(&walk.stages, as_of));
            if (walk.state.ratio, walk.state.since) != (ratio, since) {
                walk.restart(history, plan, now, ratio);
            }
        }
    }
    let states: Vec<LayerState> = walks.iter().map(|walk| walk.state.clone()).collect();
    let mut decided = Vec::new();
    for walk in walks.iter_mut() {
        let is_on = walk.state.ratio > Ratio::ZERO;
        let evidence: Option<StageEvidence> = is_on.then(|| {
            let state = &walk.state;
            let then = history.stage_then(
                plan,
                walk.layer,
                &mut walk.accumulated,
                state.since,
                state.ratio,
                as_of,
            );
            let mut evidence = StageEvidence::from(then);
            if let Some(design) = designs.get(walk.plan_idx).and_then(Option::as_ref) {
                walk.look(history, plan, design, as_of);
                for (guardrail, judged) in evidence.guardrails.iter_mut().enumerate() {
                    judged.gate = walk.gates.gate(guardrail);
                }
            }
            evidence
        });
        if walk.accumulated.is_refused && is_on && walk.found.refused_at.is_none() {
            walk.found.refused_at = Some(time::format(as_of));
        }
        if walk.found.refused_at.is_some() {
            decided.push(None);
            continue;
        }
        let situation = Situation {
            plan,
            layer: &plan.layers[walk.plan_idx],
            state: &walk.state,
            tenant_states: &states,
            evidence: evidence.as_ref(),
            stage: None,
            coverage: None,
            misassigned: 0.0,
            as_of,
        };
        decided.push(Some(decide(&situation)));
    }
    let rolls_back = decided
        .iter()
        .flatten()
        .any(|decision| decision.verdict == Verdict::Rollback);
    let together = rolls_back && plan.policy.rollback_scope == RollbackScope::Plan;
    for (walk, decision) in walks.iter_mut().zip(decided) {
        let Some(mut decision) = decision else { continue };
        if together && decision.verdict != Verdict::Rollback {
            decision.next_ratio = Ratio::ZERO;
            decision.verdict = if walk.state.ratio > Ratio::ZERO {
                Verdict::Rollback
            } else {
                Verdict::Hold
            };
        }
        *walk.found.verdicts.entry(decision.verdict.name()).or_default() += 1;
        let key = (
            decision.verdict,
            decision.first_blocking.clone(),
            walk.state.ratio,
        );
        if walk.last.as_ref() != Some(&key) {
            walk.last = Some(key);
            walk.found.decisions.push(BacktestDecision {
                at: time::format(as_of),
                logged_ratio: logged_ratio(&walk.stages, as_of),
                ratio: walk.state.ratio,
                verdict: decision.verdict.name(),
                next_ratio: decision.next_ratio,
                first_blocking: decision.first_blocking,
                reason: decision.reason,
                reason_zh: decision.reason_zh,
                basis: walk.accumulated.basis.filter(|_| walk.state.ratio > Ratio::ZERO),
            });
        }
        if !follows_log && decision.next_ratio != walk.state.ratio {
            if decision.next_ratio == Ratio::ZERO {
                walk.state.rolled_back = Some((as_of, plan.candidate.clone()));
            }
            let from = walk.state.ratio;
            (walk.state.ratio, walk.state.since) = (decision.next_ratio, as_of);
            walk.restart(history, plan, now, from);
        }
    }
}

impl<'a> Walk<'a> {
    fn new(
        layer: &'a CubeLayer,
        history: &History<'_>,
        (scenario, plan): (&Scenario, &Plan),
        tenant: &str,
    ) -> Self {
        let plan_idx = usize::from(layer.layer);
        let id = plan.layers[plan_idx].id.clone();
        Self {
            layer,
            plan_idx,
            stages: stages_of(&scenario.plan, tenant, plan_idx, Micros::MAX),
            state: LayerState {
                tenant: tenant.to_owned(),
                layer: id.clone(),
                ratio: Ratio::ZERO,
                since: plan.start,
                rolled_back: None,
                pending: None,
            },
            accumulated: history.empty_window(0),
            gates: LayerGates::default(),
            found: BacktestLayer {
                tenant: tenant.to_owned(),
                layer: id,
                verdicts: BTreeMap::new(),
                decisions: Vec::new(),
                ratio: Ratio::ZERO,
                requests_exposed: 0,
                basis: None,
                refused_at: None,
            },
            last: None,
            requests: 0,
        }
    }

    /// Adds the data that became known in the window before `now`.
    fn advance(&mut self, history: &History<'_>, plan: &Plan, now: u32) {
        if self.state.ratio > Ratio::ZERO && self.found.refused_at.is_none() {
            let stages = &self.stages;
            let logged = |window: u32| logged_ratio(stages, plan.start + i64::from(window) * plan.window);
            let ratio = self.state.ratio;
            history.advance(self.layer, &mut self.accumulated, now, ratio, &logged);
        }
    }

    /// Looks at the gates if a look is due.
    fn look(&mut self, history: &History<'_>, plan: &Plan, design: &GateDesign, as_of: Micros) {
        let layer = &plan.layers[self.plan_idx];
        let (ratio, held) = (self.state.ratio, as_of - self.state.since);
        if ratio == Ratio::FULL || !self.gates.is_due(layer, plan.window, held) {
            return;
        }
        let accumulated = &self.accumulated;
        self.gates.look(as_of, &plan.guardrails, design, |guardrail| {
            history.harm(&plan.guardrails[guardrail], accumulated, ratio)
        });
    }

    /// Begins a stage after one at the ratio `from`.
    fn restart(&mut self, history: &History<'_>, plan: &Plan, now: u32, from: Ratio) {
        if from == Ratio::ZERO || self.state.ratio == Ratio::ZERO {
            self.gates = LayerGates::default();
        } else if from < Ratio::FULL {
            let accumulated = &self.accumulated;
            self.gates
                .finish(|guardrail| history.harm(&plan.guardrails[guardrail], accumulated, from));
        }
        self.keep();
        self.accumulated = history.empty_window(now);
    }

    fn keep(&mut self) {
        self.requests += self.accumulated.requests;
        self.found.basis = self.found.basis.max(self.accumulated.basis);
    }

    fn finish(mut self) -> BacktestLayer {
        self.keep();
        BacktestLayer {
            ratio: self.state.ratio,
            requests_exposed: self.requests,
            ..self.found
        }
    }
}
