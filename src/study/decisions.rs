//! The schedule stage: decisions, state, entity tables and gate report, written together.

use std::path::{Path, PathBuf};

use crate::analysis::Analysis;
use crate::base::error::Result;
use crate::base::file_set::{EarlierCommit, FileSet};
use crate::base::manifest::file;
use crate::base::progress::Progress;
use crate::base::{files, json, open};
use crate::gate::GateReport;
use crate::layer::LayerSummary;
use crate::ramp::{OperationRow, RampState, Schedule};
use crate::report::entities;
use crate::scenario::Scenario;
use crate::{gate, ramp};

/// The result of the schedule stage.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The decisions, as in `schedule.json`.
    pub schedule: Schedule,
    /// The gate report, as in `gate_report.json`. `None` without a summary of layering.
    pub gate: Option<GateReport>,
}

/// The schedule stage: writes the decisions on an analysis and a state to `schedule.json`,
/// `state.json` and the entity tables, and all checks of the study to `gate_report.json` if the
/// summary of layering is given. `state.json` is written last: it says that the others are whole.
/// Without a state, it is derived from the plan's operations.
///
/// The gate judges the decisions. If it fails, promotions are kept back unless the policy allows
/// them. The report stays as it is: it reads ratios in force and checks, not the next ratios.
///
/// # Errors
/// Any error of [`ramp::schedule`]. A file cannot be written, or another process writes the folder;
/// the previous files are unchanged then.
pub fn schedule(
    scenario: &Scenario,
    analysis: &Analysis,
    state: Option<&RampState>,
    layering: Option<&LayerSummary>,
    dir: &Path,
    progress: &Progress,
) -> Result<Decided> {
    let mut stage = progress.stage("schedule");
    let plan = &scenario.plan;
    let state = state
        .cloned()
        .unwrap_or_else(|| RampState::from_plan(plan, &analysis.tenants(), analysis.as_of));
    let mut set = FileSet::begin(&dir.join(file::STATE))?;
    let mut gate: Option<GateReport> = None;
    let (schedule, next) =
        ramp::schedule_gated(plan, analysis, &evidence_digest(analysis), &state, |schedule| {
            let layering = layering?;
            stage = progress.stage("gate");
            let report = gate::gate(plan, layering, analysis, schedule);
            let failure = report.first_failure();
            gate = Some(report);
            failure.filter(|_| !plan.policy.promote_on_failed_gate)
        })?;
    for (name, bytes) in schedule_files(scenario, analysis, &schedule, &next, gate.as_ref())? {
        set.add(&dir.join(name), &bytes)?;
    }
    set.commit(json::to_json(&next).as_bytes(), EarlierCommit::Keep)?;
    drop(stage);
    Ok(Decided { schedule, gate })
}

/// The digest of an analysis, as schedules and states name their evidence.
pub fn evidence_digest(analysis: &Analysis) -> String {
    json::digest_of(analysis)
}

/// Writes again what differs in a folder whose `schedule.json` has the decisions that a state
/// rests on already: the entity tables, `state.json`, and `gate_report.json` if the summary of
/// layering is given. Returns the names of these files, none if the folder has another schedule.
///
/// # Errors
/// A file cannot be read or written, or another process writes the folder.
pub fn rewrite_schedule(
    scenario: &Scenario,
    analysis: &Analysis,
    state: &RampState,
    layering: Option<&LayerSummary>,
    dir: &Path,
) -> Result<Vec<PathBuf>> {
    let path = dir.join(file::SCHEDULE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let schedule: Schedule = json::read_document(&path)?;
    if schedule.evidence_digest != evidence_digest(analysis) || schedule.plan_id != state.plan_id {
        return Ok(Vec::new());
    }
    let gate = layering.map(|layering| gate::gate(&scenario.plan, layering, analysis, &schedule));
    let state_bytes = json::to_json(state).into_bytes();
    let mut stale = schedule_files(scenario, analysis, &schedule, state, gate.as_ref())?;
    stale.push((file::STATE.into(), state_bytes.clone()));
    // A job that was killed right after its commit left its locks.
    for (name, _) in &stale {
        files::clear_remains(&dir.join(name));
    }
    stale.retain(|(name, bytes)| open::read(&dir.join(name)).map_or(true, |found| found != *bytes));
    if stale.is_empty() {
        return Ok(Vec::new());
    }
    let mut set = FileSet::begin(&dir.join(file::STATE))?;
    for (name, bytes) in stale.iter().filter(|(name, _)| name != Path::new(file::STATE)) {
        set.add(&dir.join(name), bytes)?;
    }
    set.commit(&state_bytes, EarlierCommit::Keep)?;
    Ok(stale.into_iter().map(|(name, _)| name).collect())
}

/// Returns the files of the schedule stage before `state.json`, by their names in the folder.
fn schedule_files(
    scenario: &Scenario,
    analysis: &Analysis,
    schedule: &Schedule,
    state: &RampState,
    gate: Option<&GateReport>,
) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let tenants = analysis.tenants();
    let log = OperationRow::log(&scenario.plan, &tenants, analysis.as_of, &state.operations);
    let tables = entities::entity_tables(scenario, analysis, schedule, &log)?;
    let mut files: Vec<(PathBuf, Vec<u8>)> = tables
        .into_iter()
        .map(|(name, bytes)| (Path::new(file::TABLES).join(name), bytes))
        .collect();
    files.extend(gate.map(|gate| (file::GATE_REPORT.into(), json::to_json(gate).into_bytes())));
    files.push((file::SCHEDULE.into(), json::to_json(schedule).into_bytes()));
    Ok(files)
}
