//! The nightly schedule: decides every layer, updates the state, and writes the operation log.

use hashbrown::HashMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::analysis::{Analysis, ArmRows, LayerAnalysis, StageAnalysis, UserCounts};
use crate::base::error::{Error, Result};
use crate::base::json::Document;
use crate::base::time;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::approval;
use crate::ramp::coverage::Coverage;
use crate::ramp::decide::{Decision, decide, with_consequence};
use crate::ramp::evidence::StageEvidence;
use crate::ramp::explain::Outlooks;
use crate::ramp::operation::{OperationRow, log_id};
use crate::ramp::outlook::{Outlook, Place};
use crate::ramp::situation::Situation;
use crate::ramp::state::{LayerState, RampState};
use crate::ramp::verdict::{Check, CheckOutcome, Verdict};
use crate::scenario::{Layer, Plan, RollbackScope};
use crate::words::Text;
use crate::words::ramp as sentence;

pub(super) const SCHEMA: &str = "sluice.schedule/1";

/// `schedule.json`: the ratios from now on, with the reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Name and version of the document's format.
    pub schema: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// Id of the plan that this one replaces; `None` if it replaces none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// Time of the decisions, microseconds, UTC.
    pub as_of: Micros,
    /// SHA-256 digest of the analysis behind the decisions.
    pub evidence_digest: String,
    /// Digest of the layer table behind the decisions. `None` if the evidence has no layer table,
    /// for example counters.
    #[serde(default)]
    pub layers_digest: Option<String>,
    /// Name of the hash that production uses to put users into buckets.
    pub profile: String,
    /// Salt: the text that is hashed together with the user's id.
    pub salt: String,
    /// The flag's key, for systems that hash it. `None` for other systems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// Whether promotions are published although the gate fails: the policy's key of this name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promote_on_failed_gate: bool,
    /// Decisions by tenant and layer, in plan order.
    pub layers: Vec<LayerSchedule>,
}

impl Document for Schedule {
    const SCHEMA: &'static str = SCHEMA;
}

/// The status of a ramp after the decisions on all layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RampStatus {
    /// Some layers are not yet at the last step of their ladders.
    Running,
    /// All layers are at the last step of their ladders, which may be below 1.
    Completed,
    /// At least one layer of this candidate is rolled back, by these decisions or earlier ones.
    RolledBack,
    /// The plan is over: another plan replaced it, or it was retired by hand. Publications have this
    /// status, schedules do not.
    Retired,
}

impl RampStatus {
    /// The name of the status in documents, such as `running`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
            Self::Retired => "retired",
        }
    }
}

impl Schedule {
    /// Returns the status of the ramp after these decisions.
    pub fn status(&self) -> RampStatus {
        let is_back = |layer: &LayerSchedule| layer.rolled_back || layer.verdict == Verdict::Rollback;
        if self.layers.iter().any(is_back) {
            RampStatus::RolledBack
        } else if self
            .layers
            .iter()
            .all(|layer| layer.next_ratio >= layer.ramp.last_step())
        {
            RampStatus::Completed
        } else {
            RampStatus::Running
        }
    }
}

/// Name of the check that keeps a promotion back because the gate failed.
pub const GATE: &str = "gate";

impl Schedule {
    /// Keeps promotions back because the gate failed, with the text of its first failure: the
    /// layers hold at their ratios. Returns the positions of these layers.
    pub fn keep_back(&mut self, failure: &Text) -> Vec<usize> {
        let mut kept = Vec::new();
        for (idx, layer) in self.layers.iter_mut().enumerate() {
            if layer.verdict != Verdict::Promote {
                continue;
            }
            let reason = Text::sentences(&[failure.clone(), sentence::kept_at(layer.ratio)]);
            layer.verdict = Verdict::Hold;
            layer.next_ratio = layer.ratio;
            layer.hi_bucket = layer.lo_bucket + layer.ratio.bps();
            layer.first_blocking = Some(GATE.into());
            layer.reason.clone_from(&reason.en);
            layer.reason_zh.clone_from(&reason.zh);
            layer.trace.push(Check {
                check: GATE.into(),
                outcome: CheckOutcome::Block(Verdict::Hold),
                value: None,
                interval: None,
                limit: None,
                detail: reason.en,
                detail_zh: reason.zh,
            });
            kept.push(idx);
        }
        kept
    }
}

/// The decision on one layer of one tenant, with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSchedule {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Verdict on the layer. Only a promotion or a rollback changes its ratio.
    pub verdict: Verdict,
    /// Whether this candidate has been rolled back in the layer, now or earlier.
    pub rolled_back: bool,
    /// The ratio before the decision.
    pub ratio: Ratio,
    /// Ratio of the layer after the decision. It equals `ratio`, except after a promotion or a
    /// rollback.
    pub next_ratio: Ratio,
    /// First bucket of the users who get the candidate, 0..=10000.
    pub lo_bucket: u16,
    /// End of the buckets of the users who get the candidate, exclusive, 0..=10000.
    pub hi_bucket: u16,
    /// The plan's settings of the layer, for systems that promote by themselves.
    #[serde(default)]
    pub ramp: LayerRamp,
    /// Size of the evidence that the verdict rests on.
    #[serde(default)]
    pub evidence: LayerEvidence,
    /// Name of the first check that blocked the promotion. `None` for a promotion.
    pub first_blocking: Option<String>,
    /// Text of the first blocking check, or the reason for the promotion.
    pub reason: String,
    /// The same in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason_zh: String,
    /// What would decide the first blocking check. `None` for a promotion and a rollback.
    #[serde(default)]
    pub outlook: Option<Outlook>,
    /// Earliest time at which a new look can change the verdict, microseconds, UTC.
    pub earliest_next: Micros,
    /// All checks, in the order in which they ran.
    pub trace: Vec<Check>,
}

/// The size of the evidence of a verdict: the rows and users of the layer's current stage, and the
/// share of the whole log that was matched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerEvidence {
    /// Rows of eligible users in the current stage, by release.
    pub rows: ArmRows,
    /// Distinct eligible users of the current stage. Counters name no users, so all are 0 then.
    pub users: UserCounts,
    /// Number of users of the layer who consented to gray release.
    pub n_eligible: u64,
    /// Share of the log's rows that have a known user and release, 0..=1. `None` if the log has no
    /// row between the plan's start and `as_of`, and for counters.
    pub matched_share: Option<f64>,
}

impl LayerEvidence {
    fn new(layer: Option<&LayerAnalysis>, coverage: Option<&Coverage<'_>>) -> Self {
        let stage = layer.and_then(LayerAnalysis::current);
        Self {
            rows: stage.map_or_else(ArmRows::default, |stage| stage.rows),
            users: stage.map_or_else(UserCounts::default, |stage| stage.users),
            n_eligible: layer.map_or(0, |layer| layer.n_eligible),
            matched_share: coverage.and_then(Coverage::share),
        }
    }
}

/// The plan's settings of a layer, for systems that promote by themselves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerRamp {
    /// Ratios of the ladder in rising order.
    pub ladder: Vec<Ratio>,
    /// Smallest QoS at which the layer may be promoted, 0..=1.
    pub qos_threshold: f64,
    /// QoS below which the layer is rolled back, 0..=1.
    pub qos_floor: f64,
    /// Shortest time at a ratio before the next promotion, hours.
    pub dwell_hours: f64,
    /// Smallest number of users exposed to the candidate before a promotion.
    pub min_users: u64,
}

impl LayerSchedule {
    /// The text of the first blocking check, or the reason for the promotion, in every language.
    pub fn why(&self) -> Text {
        Text {
            en: self.reason.clone(),
            zh: self.reason_zh.clone(),
        }
    }
}

impl LayerRamp {
    /// The last ratio of the ladder; 1 without a ladder.
    pub fn last_step(&self) -> Ratio {
        self.ladder.last().copied().unwrap_or(Ratio::FULL)
    }
}

/// Decides all layers. Returns the schedule and the next state, whose operations have one row more
/// for each changed ratio.
///
/// # Errors
/// Plan, analysis and state belong to different ramps, or the analysis judged other guardrails than
/// the plan's.
pub fn schedule(
    plan: &Plan,
    analysis: &Analysis,
    evidence_digest: &str,
    state: &RampState,
) -> Result<(Schedule, RampState)> {
    schedule_gated(plan, analysis, evidence_digest, state, |_| None)
}

/// Decides all layers as [`schedule`], and asks the gate about the decisions. If `gate` returns the
/// text of a failure, promotions are kept back ([`Schedule::keep_back`]), also in the next state.
///
/// # Errors
/// As [`schedule`].
pub fn schedule_gated(
    plan: &Plan,
    analysis: &Analysis,
    evidence_digest: &str,
    state: &RampState,
    gate: impl FnOnce(&Schedule) -> Option<Text>,
) -> Result<(Schedule, RampState)> {
    if analysis.plan_id != plan.id || analysis.candidate != plan.candidate {
        let found = format!(
            "expected an analysis of {} under plan {}, found one of {} under {}",
            plan.candidate, plan.id, analysis.candidate, analysis.plan_id
        );
        return Err(Error::input("analysis", found));
    }
    let state = state.clone().for_plan(
        plan,
        &analysis.tenants(),
        analysis.as_of,
        &analysis.data.layers_digest,
    )?;
    let coverage = Coverage::from_analysis(analysis);
    let rows = &analysis.data.rows;
    let misassigned = rows.n_misassigned as f64 / (rows.n_baseline + rows.n_candidate).max(1) as f64;
    let mut decided: Vec<(&LayerState, Decision)> = Vec::new();
    let names = |stage: &StageAnalysis| {
        stage
            .guardrails
            .iter()
            .map(|finding| &finding.metric)
            .eq(plan.guardrails.iter().map(|g| &g.metric))
    };
    if !analysis
        .layers
        .iter()
        .filter_map(LayerAnalysis::current)
        .all(names)
    {
        return Err(Error::input(
            "analysis",
            "expected findings on the guardrails of the plan, found others",
        )
        .hint("analyze the cube anew with `sluice analyze`"));
    }
    let analyzed: HashMap<(&str, &str), &LayerAnalysis> = analysis
        .layers
        .iter()
        .map(|layer| ((layer.tenant.as_str(), layer.layer.as_str()), layer))
        .collect();
    let evidence_of: HashMap<(&str, &str), StageEvidence> = analysis
        .layers
        .iter()
        .filter_map(|layer| {
            Some((
                (layer.tenant.as_str(), layer.layer.as_str()),
                StageEvidence::from_layer(layer, &plan.policy, &analysis.metrics)?,
            ))
        })
        .collect();
    for of_tenant in state.layers.chunk_by(|a, b| a.tenant == b.tenant) {
        for (layer, layer_state) in plan.layers.iter().zip(of_tenant) {
            let evidence = evidence_of.get(&(layer_state.tenant.as_str(), layer.id.as_str()));
            let of_layer = analyzed.get(&(layer_state.tenant.as_str(), layer.id.as_str()));
            let situation = Situation {
                plan,
                layer,
                state: layer_state,
                tenant_states: of_tenant,
                evidence,
                stage: of_layer.and_then(|layer| layer.current()),
                coverage: coverage.as_ref(),
                misassigned,
                as_of: analysis.as_of,
            };
            decided.push((layer_state, decide(&situation)));
        }
    }
    if plan.policy.rollback_scope == RollbackScope::Plan {
        roll_back_together(plan, &mut decided);
    }
    let mut next = RampState {
        candidate: plan.candidate.clone(),
        evidence_digest: Some(evidence_digest.to_owned()),
        ..state.clone()
    };
    for ((before, decision), after) in decided.iter().zip(&mut next.layers) {
        let together = decision.first_blocking.as_deref() == Some(TOGETHER);
        if decision.verdict == Verdict::Rollback || together {
            after.rolled_back = Some((analysis.as_of, plan.candidate.clone()));
        }
        if decision.next_ratio != before.ratio {
            after.ratio = decision.next_ratio;
            after.since = analysis.as_of;
            let row = operation_row(plan, before, decision, analysis.as_of, evidence_digest);
            next.operations.push(row);
        }
    }
    let outlooks = outlooks_of(plan, analysis, &next, &decided, &analyzed);
    let layers = decided
        .into_iter()
        .zip(&next.layers)
        .zip(plan.layers.iter().cycle())
        .zip(outlooks)
        .map(|((((before, decision), after), layer), outlook)| {
            let analyzed = analyzed.get(&(before.tenant.as_str(), before.layer.as_str()));
            let evidence = LayerEvidence::new(analyzed.copied(), coverage.as_ref());
            let decision = decision.compact();
            LayerSchedule {
                outlook,
                ..layer_schedule(before, decision, after, evidence, (plan, layer))
            }
        })
        .collect();
    let mut schedule = Schedule {
        schema: SCHEMA.into(),
        plan_id: plan.id.clone(),
        supersedes: plan.supersedes.clone(),
        baseline: plan.baseline.clone(),
        candidate: plan.candidate.clone(),
        as_of: analysis.as_of,
        evidence_digest: evidence_digest.to_owned(),
        layers_digest: next.layers_digest.clone(),
        profile: plan.profile.name().into(),
        salt: plan.profile.salt().into(),
        flag: plan.profile.flag().map(str::to_owned),
        promote_on_failed_gate: plan.policy.promote_on_failed_gate,
        layers,
    };
    if let Some(failure) = gate(&schedule) {
        for idx in schedule.keep_back(&failure) {
            undo(&mut next, &state, idx);
        }
    }
    Ok((schedule, next))
}

/// Takes a layer's change of ratio out of the next state.
fn undo(next: &mut RampState, before: &RampState, layer_idx: usize) {
    let layer = &before.layers[layer_idx];
    next.layers[layer_idx].clone_from(layer);
    let mut n_seen = 0;
    next.operations.retain(|row| {
        n_seen += 1;
        n_seen <= before.operations.len() || (&row.tenant, &row.layer) != (&layer.tenant, &layer.layer)
    });
}

/// The outlook of each decision, in the order of the decisions. `next` is the state after them: a
/// layer waits for what the others are from now on.
fn outlooks_of(
    plan: &Plan,
    analysis: &Analysis,
    next: &RampState,
    decided: &[(&LayerState, Decision)],
    analyzed: &HashMap<(&str, &str), &LayerAnalysis>,
) -> Vec<Option<Outlook>> {
    let outlooks = Outlooks::new(plan, analysis);
    let n_layers = plan.layers.len();
    let of_decision = |(idx, (before, decision)): (usize, &(&LayerState, Decision))| {
        let first_of_tenant = idx / n_layers * n_layers;
        let place = Place {
            layer: &plan.layers[idx % n_layers],
            ratio: before.ratio,
            since: before.since,
            rolled_back: before.rolled_back.as_ref().map(|(at, _)| *at),
            tenant_states: &next.layers[first_of_tenant..first_of_tenant + n_layers],
            analyzed: analyzed
                .get(&(before.tenant.as_str(), before.layer.as_str()))
                .copied(),
        };
        outlooks.of_trace(place, &decision.trace)
    };
    decided.par_iter().enumerate().map(of_decision).collect()
}

/// Name of the check that explains a rollback of the whole plan in the traces of the other layers.
const TOGETHER: &str = "rollback_scope";

/// Rolls back all layers of each tenant that has a rollback, and keeps its layers at 0 closed.
fn roll_back_together(plan: &Plan, decided: &mut [(&LayerState, Decision)]) {
    // The first layer of each tenant with a rollback is named.
    let mut failed: HashMap<&str, &str> = HashMap::new();
    for (state, _) in decided
        .iter()
        .filter(|(_, decision)| decision.verdict == Verdict::Rollback)
    {
        failed.entry(&state.tenant).or_insert(&state.layer);
    }
    for (state, decision) in decided {
        let Some(cause) = failed.get(state.tenant.as_str()) else {
            continue;
        };
        if decision.verdict == Verdict::Rollback {
            continue;
        }
        let verdict = if state.ratio > Ratio::ZERO {
            Verdict::Rollback
        } else {
            Verdict::Hold
        };
        let fact = sentence::together(plan.layer_name(cause));
        let reason = with_consequence(fact.clone(), verdict, state.ratio);
        let outcome = CheckOutcome::Block(verdict);
        let check = Check {
            check: TOGETHER.into(),
            outcome,
            value: None,
            interval: None,
            limit: None,
            detail: fact.en,
            detail_zh: fact.zh,
        };
        decision.trace.insert(0, check);
        decision.verdict = verdict;
        decision.next_ratio = Ratio::ZERO;
        decision.first_blocking = Some(TOGETHER.into());
        (decision.reason, decision.reason_zh) = (reason.en, reason.zh);
    }
}

fn layer_schedule(
    before: &LayerState,
    decision: Decision,
    after: &LayerState,
    evidence: LayerEvidence,
    (plan, layer): (&Plan, &Layer),
) -> LayerSchedule {
    LayerSchedule {
        rolled_back: after
            .rolled_back
            .as_ref()
            .is_some_and(|(_, release)| *release == plan.candidate),
        tenant: before.tenant.clone(),
        layer: before.layer.clone(),
        verdict: decision.verdict,
        ratio: before.ratio,
        next_ratio: decision.next_ratio,
        lo_bucket: 0,
        hi_bucket: decision.next_ratio.bps(),
        ramp: LayerRamp {
            ladder: layer.ladder.clone(),
            qos_threshold: layer.qos_threshold,
            qos_floor: plan.policy.qos_floor,
            dwell_hours: layer.dwell as f64 / time::HOUR as f64,
            min_users: layer.min_users,
        },
        evidence,
        first_blocking: decision.first_blocking,
        reason: decision.reason,
        reason_zh: decision.reason_zh,
        outlook: None,
        earliest_next: decision.earliest_next,
        trace: decision.trace,
    }
}

fn operation_row(
    plan: &Plan,
    before: &LayerState,
    decision: &Decision,
    at: Micros,
    evidence_digest: &str,
) -> OperationRow {
    let what = format!(
        "{} {} {} {} {} {}",
        plan.id,
        before.tenant,
        before.layer,
        before.ratio,
        decision.next_ratio,
        time::format(at)
    );
    let layer = plan.layer_idx(&before.layer).map(|idx| &plan.layers[idx]);
    let approved_by = layer
        .filter(|layer| layer.safety_critical && decision.next_ratio > before.ratio)
        .and_then(|layer| approval::of_layer(plan, layer, decision.next_ratio, at))
        .map(|approval| approval.by.clone());
    OperationRow {
        log_id: log_id(&what, evidence_digest),
        plan_id: plan.id.clone(),
        operation_type: decision.verdict.name().into(),
        old_value: before.ratio,
        new_value: decision.next_ratio,
        operate_time: at,
        operator: plan.operator.clone(),
        tenant: before.tenant.clone(),
        layer: before.layer.clone(),
        evidence_digest: evidence_digest.to_owned(),
        candidate: plan.candidate.clone(),
        force: None,
        approved_by,
    }
}
