//! Reads the nights of a ramp, or of several, for their page.

use serde::Deserialize;
use std::path::{Path, PathBuf};

use crate::analysis::Analysis;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::json::Document;
use crate::base::manifest::file;
use crate::base::progress::Progress;
use crate::gate::GateReport;
use crate::night::document::NightReport;
use crate::night::folder::NightFolder;
use crate::ramp::{OperationRow, RampState, Schedule};
use crate::report::{Night, NightDecision, NightsLayer, RampNights, Ramps, StudyDocument, harms};
use crate::words::Text;

/// Reads the nights of ramps from their folders, in the order of their starts. A folder of `sluice
/// run` or of the stage commands counts as a ramp of one night.
///
/// # Errors
/// A folder has neither nights nor a schedule, or a document cannot be read.
pub fn read_ramps(dirs: &[impl AsRef<Path>], progress: &Progress) -> Result<Ramps> {
    let mut ramps = Vec::with_capacity(dirs.len());
    for dir in dirs {
        let _stage = progress.stage("nights");
        ramps.push(read_ramp(dir.as_ref())?);
    }
    // The folder's name makes the order complete.
    ramps.sort_by(|a, b| (a.start, &a.folder).cmp(&(b.start, &b.folder)));
    Ok(Ramps {
        schema: Ramps::SCHEMA.into(),
        ramps,
    })
}

/// The folders that [`read_ramps`] reads for one folder: itself, and those of its nights.
pub fn folders_of(dir: &Path) -> Vec<PathBuf> {
    let nights = std::fs::read_dir(NightFolder::nights_of(dir));
    let nights = nights.into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(dir.to_owned()).chain(nights).collect()
}

/// The number of users of each layer with the candidate, from `analysis.json`.
#[derive(Deserialize)]
struct Exposures {
    layers: Vec<Exposure>,
}

#[derive(Deserialize)]
struct Exposure {
    n_exposed: u64,
}

fn read_ramp(dir: &Path) -> Result<RampNights> {
    let is_ramp = NightFolder::nights_of(dir).is_dir();
    let reports = if is_ramp {
        NightFolder::complete_nights(dir)?
    } else {
        Vec::new()
    };
    let folders: Vec<_> = reports
        .iter()
        .map(|(name, report)| (NightFolder::nights_of(dir).join(name), Some(report)))
        .collect();
    let folders = if is_ramp {
        folders
    } else {
        vec![(dir.to_owned(), None)]
    };
    let Some((last, _)) = folders.last() else {
        let found = "expected at least one complete night, found none";
        return Err(Error::in_file(dir, found).hint("run `sluice night` with this --dir first"));
    };
    if !last.join(file::SCHEDULE).exists() {
        let found = format!(
            "expected the folder of a ramp with nights, or a study with {}",
            file::SCHEDULE
        );
        return Err(
            Error::in_file(dir, found).hint("give the --dir of `sluice night`, or the --out of `sluice run`")
        );
    }
    let nights = folders
        .iter()
        .map(|(folder, report)| read_night(folder, *report))
        .collect::<Result<Vec<Night>>>()?;
    let schedule: Schedule = json::read_document(&last.join(file::SCHEDULE))?;
    let analysis: Analysis = json::read_document(&last.join(file::ANALYSIS))?;
    let study: StudyDocument = json::read_document(&last.join(file::STUDY))?;
    Ok(RampNights {
        folder: name_of(dir),
        plan_id: schedule.plan_id.clone(),
        baseline: schedule.baseline.clone(),
        candidate: schedule.candidate.clone(),
        time_zone: study.time_zone.clone(),
        start: analysis.start,
        as_of: schedule.as_of,
        status: schedule.status(),
        nights,
        layers: layers(&schedule, &analysis, &study),
        changes: changes(dir, last)?,
    })
}

fn name_of(dir: &Path) -> String {
    let whole = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_default()
}

/// The log of all changes, from the state beside the nights or in the study's folder. Empty without
/// a state.
fn changes(dir: &Path, last: &Path) -> Result<Vec<OperationRow>> {
    let state = [dir.join(file::STATE), last.join(file::STATE)];
    let Some(path) = state.iter().find(|path| path.exists()) else {
        return Ok(Vec::new());
    };
    let state: RampState = json::read_document(path)?;
    Ok(state.operations)
}

fn layers(schedule: &Schedule, analysis: &Analysis, study: &StudyDocument) -> Vec<NightsLayer> {
    let of = |decided: &crate::ramp::LayerSchedule| {
        let is_same = |layer: &&crate::analysis::LayerAnalysis| {
            layer.tenant == decided.tenant && layer.layer == decided.layer
        };
        let analyzed = analysis.layers.iter().find(is_same);
        let name = study.layers.iter().find(|(id, _)| *id == decided.layer);
        NightsLayer {
            tenant: decided.tenant.clone(),
            layer: decided.layer.clone(),
            name: name.map(|(_, name)| name.clone()).unwrap_or_default(),
            is_rolled_back: decided.rolled_back,
            n_eligible: analyzed.map_or(0, |layer| layer.n_eligible),
            n_exposed: analyzed.map_or(0, |layer| layer.n_exposed),
            harms: analyzed.map(|layer| harms(analysis, layer)).unwrap_or_default(),
        }
    };
    schedule.layers.iter().map(of).collect()
}

/// Reads one night. A study without the report of a night has no targets and no messages.
fn read_night(folder: &Path, report: Option<&NightReport>) -> Result<Night> {
    let schedule: Schedule = json::read_document(&folder.join(file::SCHEDULE))?;
    let gate: GateReport = json::read_document(&folder.join(file::GATE_REPORT))?;
    let exposures: Exposures = json::read_json(&folder.join(file::ANALYSIS))?;
    let Text { en, zh } = gate.first_failure().unwrap_or_default();
    let targets = || report.into_iter().flat_map(|report| &report.targets);
    let decisions = schedule.layers.into_iter().map(|layer| NightDecision {
        tenant: layer.tenant,
        layer: layer.layer,
        verdict: layer.verdict,
        ratio: layer.ratio,
        next_ratio: layer.next_ratio,
        reason: layer.reason,
        reason_zh: layer.reason_zh,
    });
    Ok(Night {
        as_of: schedule.as_of,
        gate: gate.outcome,
        first_failure: (!en.is_empty()).then_some(en),
        first_failure_zh: zh,
        is_unfinished: report.is_some_and(|report| report.exit_code.is_none()),
        accepted: report
            .into_iter()
            .flat_map(|report| &report.guards)
            .filter(|guard| guard.is_beyond && guard.is_accepted)
            .map(|guard| guard.guard.key().to_owned())
            .collect(),
        failed_targets: targets()
            .filter(|target| target.error.is_some())
            .map(|target| target.target.clone())
            .collect(),
        n_targets: targets().filter(|target| target.error.is_none()).count() as u64,
        n_unsent: report
            .into_iter()
            .flat_map(|report| &report.messages)
            .filter(|message| !message.is_sent)
            .count() as u64,
        n_exposed: exposures.layers.iter().map(|layer| layer.n_exposed).sum(),
        decisions: decisions.collect(),
    })
}
