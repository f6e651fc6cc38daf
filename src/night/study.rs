//! The study of one night: layers of the night, cube, analysis, decisions, gate and report, in a
//! folder that gets its name when everything is there.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::analysis::AnalysisOptions;
use crate::base::error::{Error, FileResult, Result};
use crate::base::files::StagedFolder;
use crate::base::json;
use crate::base::json::Document;
use crate::base::manifest::file;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::engine::{EngineOptions, EngineRunner, Job};
use crate::layer::LayerSummary;
use crate::night::document::{NightLayer, NightReport};
use crate::night::folder::NightFolder;
use crate::ramp::RampState;
use crate::replay;
use crate::replay::Cube;
use crate::report::StudyDocument;
use crate::scenario::{Scenario, Stage, StageIndex, UsersFrom};
use crate::study;
use crate::study::guards::{GuardRules, RowsBefore};
use crate::study::{GuardFinding, LayerOptions, guards};
use crate::words::Lang;

/// The inputs of a night's study.
pub(super) struct NightStudy<'a> {
    pub(super) folder: &'a NightFolder,
    /// The scenario at the night's instant, with the state's log in its plan.
    pub(super) scenario: &'a Scenario,
    /// The state at the night's instant. `None` on the first night.
    pub(super) state: Option<&'a RampState>,
    /// The state as the night before left it, with rollbacks by hand. `None` on the first night.
    pub(super) state_before: Option<&'a RampState>,
    /// The nights before, by rising name.
    pub(super) nights: &'a [(String, NightReport)],
    pub(super) rules: GuardRules<'a>,
    /// What the guards found.
    pub(super) found: &'a RefCell<Vec<GuardFinding>>,
    pub(super) lang: Lang,
    pub(super) memory_limit: u64,
    /// The engine that scans the log. `None` for the threads of this program.
    pub(super) engine: Option<NightEngine<'a>>,
}

/// The engine of a night, with the scenario file and the options of the sources that its jobs carry.
pub(super) struct NightEngine<'a> {
    pub(super) scenario: &'a Path,
    pub(super) options: &'a EngineOptions,
    pub(super) changes: &'a serde_json::Value,
}

/// A finished study, with the warnings about its inputs.
pub(super) struct StudiedNight {
    pub(super) report: NightReport,
    pub(super) warnings: Vec<String>,
}

impl NightStudy<'_> {
    /// Makes the study of the night. Its folder is complete when this returns.
    ///
    /// # Errors
    /// A guard stops the night, or a stage fails. Nothing is replaced then.
    pub(super) fn run(&self, progress: &Progress) -> Result<StudiedNight> {
        let scenario = self.scenario;
        let night = self.folder.night(scenario.as_of);
        let frozen = self.frozen_layers(progress)?;
        let staged = StagedFolder::begin(&night, file::MANIFEST)?;
        let dir = staged.path();
        json::write_json(&dir.join(file::STUDY), &StudyDocument::new(scenario))?;
        link(&self.folder.layers(), &dir.join(file::LAYERS))?;
        link(&self.folder.layer_summary(), &dir.join(file::LAYER_SUMMARY))?;
        let mut warnings = frozen.warnings.clone();
        self.judge(self.layers_of_tonight(dir, progress)?)?;

        let layers = dir.join(file::LAYERS);
        let (since, cube) = self.replay(&layers, dir, &mut warnings, progress)?;
        self.judge(self.guard_rows(&cube))?;
        study::write_traces(scenario, dir, progress)?;

        let stage = progress.stage("analyze");
        let options = AnalysisOptions::default();
        let analysis = study::analyze(scenario, &cube, &options, &dir.join(file::ANALYSIS))?;
        let (rows, stages_digest) = (
            cube.counts.clone(),
            digest_of_stages(cube.layers.iter().map(|l| &l.stages)),
        );
        drop((cube, stage));
        let decided = study::schedule(scenario, &analysis, self.state, Some(&frozen), dir, progress)?;
        let stage = progress.stage("report");
        study::report(dir, self.lang, self.state_before)?;
        if let Some(state) = self.state_before {
            json::write_json(&NightFolder::state_before(dir), state)?;
        }
        study::write_manifest(scenario, dir)?;
        drop(stage);
        let Some(gate) = decided.gate else {
            return Err(Error::usage("expected a gate report, found none"));
        };
        let layer = |layer: &crate::ramp::LayerSchedule| NightLayer {
            tenant: layer.tenant.clone(),
            layer: layer.layer.clone(),
            verdict: layer.verdict,
            ratio: layer.ratio,
            next_ratio: layer.next_ratio,
        };
        let report = NightReport {
            schema: NightReport::SCHEMA.into(),
            plan_id: scenario.plan.id.clone(),
            candidate: scenario.plan.candidate.clone(),
            as_of: scenario.as_of,
            since,
            rows,
            stages_digest,
            guards: self.found.borrow().clone(),
            gate: gate.outcome,
            layers: decided.schedule.layers.iter().map(layer).collect(),
            publication_begun: None,
            targets: Vec::new(),
            messages: Vec::new(),
            stages: progress.records(),
            exit_code: None,
        };
        json::write_json(&NightFolder::report(dir), &report)?;
        staged.commit()?;
        Ok(StudiedNight { report, warnings })
    }

    /// Keeps what guards found, and stops the night if one of them is beyond its limit.
    fn judge(&self, found: Vec<GuardFinding>) -> Result<()> {
        let error = guards::error(&found);
        self.found.borrow_mut().extend(found);
        error.map_or(Ok(()), Err)
    }

    /// Returns the summary of the layer table of the plan's start. The first night makes the table.
    fn frozen_layers(&self, progress: &Progress) -> Result<LayerSummary> {
        let (table, summary) = (self.folder.layers(), self.folder.layer_summary());
        // The summary is written last, so a table without one is not whole.
        if table.exists() && summary.exists() {
            return json::read_json(&summary);
        }
        study::layer(self.scenario, None, &table, progress)
    }

    /// Makes the layer table that tonight's users give, for the guards and for consent, and judges
    /// it. The users of a log are not layered again.
    fn layers_of_tonight(&self, dir: &Path, progress: &Progress) -> Result<Vec<GuardFinding>> {
        let users = &self.scenario.input.users;
        if !matches!(users, UsersFrom::Table(_) | UsersFrom::Events(_)) {
            return Ok(Vec::new());
        }
        let before = self
            .nights
            .iter()
            .rev()
            .map(|(name, _)| NightFolder::tonight(&self.folder.named(name)))
            .find(|path| path.exists());
        let options = LayerOptions {
            previous: before.clone(),
            ..LayerOptions::at(self.scenario.as_of)
        };
        let summary = study::layer_at(
            self.scenario,
            users,
            &options,
            &NightFolder::tonight(dir),
            progress,
        )?;
        let before: Option<LayerSummary> = before
            .map(|path| json::read_json(&path.with_extension("summary.json")))
            .transpose()?;
        Ok(guards::of_layers(&self.rules, &summary, before.as_ref()))
    }

    fn replay(
        &self,
        layers: &Path,
        dir: &Path,
        warnings: &mut Vec<String>,
        progress: &Progress,
    ) -> Result<(Option<String>, Cube)> {
        let since = self.cube_to_continue();
        let folder: Option<PathBuf> = since.map(|name| self.folder.named(name).join(file::CUBE));
        let inputs = replay::Inputs {
            since: folder.as_deref(),
            rescans_changed: true,
            memory_limit: self.memory_limit,
            ..study::replay_inputs(self.scenario, None, layers, progress)?
        };
        let cube = self
            .scan(layers, &inputs, &dir.join(file::CUBE), progress)
            .map_err(|error| with_way_out(error, folder.as_deref()))?;
        warnings.extend(inputs.warnings());
        warnings.extend(replay::implausible_means(&cube));
        Ok((since.map(str::to_owned), cube))
    }

    /// Scans the log, on the night's engine.
    fn scan(
        &self,
        layers: &Path,
        inputs: &replay::Inputs<'_>,
        cube: &Path,
        progress: &Progress,
    ) -> Result<Cube> {
        let Some(engine) = &self.engine else {
            return study::replay(self.scenario, inputs, cube, progress);
        };
        let (changes, options) = (engine.changes.clone(), engine.options.clone());
        let job = Job::new(
            engine.scenario,
            self.scenario,
            self.state_before,
            layers,
            changes,
            options,
        )?;
        study::replay_in_tasks(
            &EngineRunner::new(job, progress)?,
            self.scenario,
            inputs,
            cube,
            progress,
        )
    }

    /// The newest night whose cube has the same stages as the plan gives now. A change that is known
    /// since then, from before the end of a night's data, makes an older night the one to continue.
    fn cube_to_continue(&self) -> Option<&str> {
        let state = self.state_before?;
        let plan = &self.scenario.plan;
        let mut tenants: Vec<&str> = state.layers.iter().map(|layer| layer.tenant.as_str()).collect();
        tenants.dedup();
        let index = StageIndex::new(plan);
        let is_continued = |report: &NightReport| {
            let span = (report.as_of, self.scenario.as_of);
            let layers = tenants
                .iter()
                .flat_map(|tenant| (0..plan.layers.len()).map(move |idx| (tenant, idx)));
            let stages: Option<Vec<Vec<Stage>>> = layers
                .map(|(tenant, idx)| index.stages_to_continue(tenant, idx, span))
                .collect();
            report.candidate == plan.candidate
                && stages.is_some_and(|stages| digest_of_stages(stages.iter()) == report.stages_digest)
        };
        let night = self
            .nights
            .iter()
            .rev()
            .find(|(_, report)| is_continued(report))?;
        Some(&night.0)
    }

    fn guard_rows(&self, cube: &Cube) -> Vec<GuardFinding> {
        let before = self.nights.last().map(|(_, report)| report);
        let before = before.filter(|report| report.candidate == self.scenario.plan.candidate);
        let before = before.map(|report| RowsBefore {
            counts: &report.rows,
            as_of: report.as_of,
        });
        guards::of_rows(&self.rules, cube, before)
    }
}

/// Adds what to do to an error about the cube that a night continues.
fn with_way_out(error: Error, cube: Option<&Path>) -> Error {
    let Some(cube) = cube.map(|cube| cube.display().to_string()) else {
        return error;
    };
    let is_of_cube = error
        .problems()
        .first()
        .is_some_and(|problem| problem.location.starts_with(&cube));
    if is_of_cube {
        error.hint(format!(
            "remove the night of {cube}: this night then continues an older one, or scans the whole log"
        ))
    } else {
        error
    }
}

/// The digest of the stages of all layers, by tenant and layer.
fn digest_of_stages<'a>(stages: impl Iterator<Item = &'a Vec<Stage>>) -> String {
    json::digest_of(&stages.collect::<Vec<_>>())
}

/// Gives a file a second name, or copies it where the file system has no second names.
fn link(from: &Path, to: &Path) -> Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => fs::copy(from, to).map(|_| ()).or_unwritable(to),
    }
}

/// Whether a night's data end after those of the night before.
pub(super) fn check_order(nights: &[(String, NightReport)], as_of: Micros) -> Result<()> {
    match nights.last() {
        Some((name, report)) if report.as_of > as_of => Err(Error::usage(format!(
            "expected an instant not before the newest night {name}, found {}",
            NightFolder::name(as_of)
        ))
        .hint("a night decides on what is known at its end, so an earlier one cannot follow a later one")),
        _ => Ok(()),
    }
}
