//! The nightly schedule: decide every layer, move the state, write the operation log.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::analysis::{Analysis, LayerAnalysis, StageAnalysis};
use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::base::{digest, time};
use crate::bucket::Ratio;
use crate::ramp::decide::{Decision, decide};
use crate::ramp::evidence::StageEvidence;
use crate::ramp::situation::Situation;
use crate::ramp::state::{LayerState, RampState};
use crate::ramp::verdict::{Check, CheckOutcome, Verdict};
use crate::scenario::{Layer, Plan, RollbackScope};

pub(super) const SCHEMA: &str = "sluice.schedule/1";

/// `schedule.json`: the ratios from now on, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Name and version of this document's form.
    pub schema: String,
    /// The plan's id.
    pub plan_id: String,
    /// The release users have today.
    pub baseline: String,
    /// The release being ramped.
    pub candidate: String,
    /// When the decisions were made, microseconds.
    pub as_of: Micros,
    /// Digest of the analysis they rest on.
    pub evidence_digest: String,
    /// Digest of the layer table they rest on.
    #[serde(default)]
    pub layers_digest: Option<String>,
    /// How production places users.
    pub profile: String,
    /// Text that is hashed before the user's id.
    pub salt: String,
    /// The flag's key, for systems that hash it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// Per tenant and layer, in plan order.
    pub layers: Vec<LayerSchedule>,
}

/// Where a ramp stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RampStatus {
    /// Some users have the candidate, or will.
    Running,
    /// Everybody has it.
    Completed,
    /// It was taken back, in a layer or in all.
    RolledBack,
}

impl RampStatus {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl Schedule {
    /// Where the ramp stands after these decisions.
    pub fn status(&self) -> RampStatus {
        if self.layers.iter().any(|layer| layer.verdict == Verdict::Rollback) {
            RampStatus::RolledBack
        } else if self.layers.iter().all(|layer| layer.next_ratio == Ratio::FULL) {
            RampStatus::Completed
        } else {
            RampStatus::Running
        }
    }
}

/// A layer's decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSchedule {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// What to do.
    pub verdict: Verdict,
    /// This candidate has been rolled back here, now or earlier.
    pub rolled_back: bool,
    /// The ratio until now.
    pub ratio: Ratio,
    /// The ratio from now on.
    pub next_ratio: Ratio,
    /// Users in buckets `lo_bucket..hi_bucket` get the candidate.
    pub lo_bucket: u16,
    /// See `lo_bucket`.
    pub hi_bucket: u16,
    /// The layer's part of the plan.
    #[serde(default)]
    pub ramp: LayerRamp,
    /// The first check that kept the layer from being promoted.
    pub first_blocking: Option<String>,
    /// That check for people, or why the layer is promoted.
    pub reason: String,
    /// When looking again can first change the verdict, microseconds.
    pub earliest_next: Micros,
    /// Every check, in order.
    pub trace: Vec<Check>,
}

/// What a plan says of a layer, for systems that go up by themselves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerRamp {
    /// Ratios in rising order.
    pub ladder: Vec<Ratio>,
    /// QoS from which the layer may go up.
    pub qos_threshold: f64,
    /// QoS below which it rolls back.
    pub qos_floor: f64,
    /// How long a ratio must have held, hours.
    pub dwell_hours: f64,
    /// Exposed users below which nothing is promoted.
    pub min_users: u64,
}

/// A row of the operation log, with the source document's fields first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// The same for the same change on the same evidence.
    pub log_id: String,
    /// The plan's id.
    pub plan_id: String,
    /// `promote`, `rollback`, or `set` for changes that Sluice did not decide.
    pub operation_type: String,
    /// Ratio before.
    pub old_value: Ratio,
    /// Ratio after.
    pub new_value: Ratio,
    /// When, microseconds.
    pub operate_time: Micros,
    /// Who.
    pub operator: String,
    /// The tenant; empty for all.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// Digest of the evidence, empty for changes that Sluice did not decide.
    pub evidence_digest: String,
}

/// Decides all layers. Returns the schedule, the state after it, and one log row for each ratio
/// that changes.
///
/// # Errors
/// When plan, analysis and state are not of one ramp.
pub fn schedule(
    plan: &Plan,
    analysis: &Analysis,
    evidence_digest: &str,
    state: &RampState,
) -> Result<(Schedule, RampState, Vec<OperationRow>)> {
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
    let evidence_of: HashMap<(&str, &str), StageEvidence> = analysis
        .layers
        .iter()
        .filter_map(|layer| {
            Some((
                (layer.tenant.as_str(), layer.layer.as_str()),
                StageEvidence::from_layer(layer, &plan.policy)?,
            ))
        })
        .collect();
    for of_tenant in state.layers.chunk_by(|a, b| a.tenant == b.tenant) {
        for (layer, layer_state) in plan.layers.iter().zip(of_tenant) {
            let evidence = evidence_of.get(&(layer_state.tenant.as_str(), layer.id.as_str()));
            let situation = Situation {
                plan,
                layer,
                state: layer_state,
                tenant_states: of_tenant,
                evidence,
                misassigned,
                as_of: analysis.as_of,
            };
            decided.push((layer_state, decide(&situation)));
        }
    }
    if plan.policy.rollback_scope == RollbackScope::Plan {
        roll_back_together(&mut decided);
    }
    let mut next = RampState {
        candidate: plan.candidate.clone(),
        evidence_digest: Some(evidence_digest.to_owned()),
        ..state.clone()
    };
    let mut rows = Vec::new();
    for ((before, decision), after) in decided.iter().zip(&mut next.layers) {
        let together = decision.first_blocking.as_deref() == Some(TOGETHER);
        if decision.verdict == Verdict::Rollback || together {
            after.rolled_back = Some((analysis.as_of, plan.candidate.clone()));
        }
        if decision.next_ratio != before.ratio {
            after.ratio = decision.next_ratio;
            after.since = analysis.as_of;
            rows.push(operation_row(
                plan,
                before,
                decision,
                analysis.as_of,
                evidence_digest,
            ));
        }
    }
    let layers = decided
        .into_iter()
        .zip(&next.layers)
        .zip(plan.layers.iter().cycle())
        .map(|(((before, decision), after), layer)| layer_schedule(before, decision, after, plan, layer))
        .collect();
    let schedule = Schedule {
        schema: SCHEMA.into(),
        plan_id: plan.id.clone(),
        baseline: plan.baseline.clone(),
        candidate: plan.candidate.clone(),
        as_of: analysis.as_of,
        evidence_digest: evidence_digest.to_owned(),
        layers_digest: next.layers_digest.clone(),
        profile: plan.profile.name().into(),
        salt: plan.profile.salt().into(),
        flag: plan.profile.flag().map(str::to_owned),
        layers,
    };
    Ok((schedule, next, rows))
}

/// The check that a rollback of the whole plan leaves in the other layers' traces.
const TOGETHER: &str = "rollback_scope";

/// A rollback takes every layer of its tenant back, and none opens.
fn roll_back_together(decided: &mut [(&LayerState, Decision)]) {
    let failed: Vec<(String, String)> = decided
        .iter()
        .filter(|(_, decision)| decision.verdict == Verdict::Rollback)
        .map(|(state, _)| (state.tenant.clone(), state.layer.clone()))
        .collect();
    for (state, decision) in decided {
        let Some((_, cause)) = failed.iter().find(|(tenant, _)| *tenant == state.tenant) else {
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
        let reason = format!("{cause} is rolled back, and the plan rolls back as a whole");
        let outcome = CheckOutcome::Block(verdict);
        let check = Check {
            check: TOGETHER.into(),
            outcome,
            value: None,
            interval: None,
            limit: None,
            detail: reason.clone(),
        };
        decision.trace.insert(0, check);
        decision.verdict = verdict;
        decision.next_ratio = Ratio::ZERO;
        decision.first_blocking = Some(TOGETHER.into());
        decision.reason = reason;
    }
}

fn layer_schedule(
    before: &LayerState,
    decision: Decision,
    after: &LayerState,
    plan: &Plan,
    layer: &Layer,
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
        first_blocking: decision.first_blocking,
        reason: decision.reason,
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
    }
}

impl OperationRow {
    /// A change that somebody made while publishing: of a tenant's layer, from one ratio to
    /// another, at an instant, by somebody.
    #[cfg(feature = "stores")]
    pub(crate) fn by_hand(
        operation_type: &str,
        plan_id: &str,
        (tenant, layer): (&str, &str),
        (old_value, new_value): (Ratio, Ratio),
        (at, operator): (Micros, &str),
    ) -> Self {
        let what = format!(
            "{plan_id} {tenant} {layer} {old_value} {new_value} {}",
            time::format(at)
        );
        Self {
            log_id: log_id(&what, ""),
            plan_id: plan_id.to_owned(),
            operation_type: operation_type.to_owned(),
            old_value,
            new_value,
            operate_time: at,
            operator: operator.to_owned(),
            tenant: tenant.to_owned(),
            layer: layer.to_owned(),
            evidence_digest: String::new(),
        }
    }

    /// The plan's own operations before `as_of` as log rows.
    pub fn history(plan: &Plan, as_of: Micros) -> Vec<Self> {
        let mut ratios: BTreeMap<(String, usize), Ratio> = BTreeMap::new();
        let mut rows = Vec::new();
        for operation in plan.operations.iter().filter(|operation| operation.at < as_of) {
            let tenant = operation.tenant.clone().unwrap_or_default();
            let before = ratios.insert((tenant.clone(), operation.layer_idx), operation.ratio);
            let old_value = before
                .or_else(|| {
                    ratios
                        .get(&(String::new(), operation.layer_idx))
                        .copied()
                        .filter(|_| !tenant.is_empty())
                })
                .unwrap_or(Ratio::ZERO);
            let layer = &plan.layers[operation.layer_idx].id;
            let what = format!(
                "{} {tenant} {layer} {old_value} {} {}",
                plan.id,
                operation.ratio,
                time::format(operation.at)
            );
            rows.push(Self {
                log_id: log_id(&what, ""),
                plan_id: plan.id.clone(),
                operation_type: "set".into(),
                old_value,
                new_value: operation.ratio,
                operate_time: operation.at,
                operator: operation.operator.clone(),
                tenant,
                layer: layer.clone(),
                evidence_digest: String::new(),
            });
        }
        rows
    }
}

fn log_id(what: &str, evidence_digest: &str) -> String {
    let digest = digest::sha256_of(&[what.as_bytes(), evidence_digest.as_bytes()]);
    let hex = digest.trim_start_matches("sha256:");
    hex[..16.min(hex.len())].to_owned()
}
