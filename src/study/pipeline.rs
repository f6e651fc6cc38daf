//! The pipeline as one function, and its stages as functions from files to files.
//!
//! Every command calls one of these stages, and `run` calls all of them in order. So a command and
//! `run` write the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::analysis::{Analysis, AnalysisOptions};
use crate::base::error::{Error, ErrorKind, FileResult, Problem, Result};
use crate::base::files::StagedFolder;
use crate::base::json::Document;
use crate::base::manifest::{FileEntry, Manifest, file};
use crate::base::progress::Progress;
use crate::base::{digest, files, json};
use crate::gate::GateReport;
use crate::generate::GeneratedData;
use crate::layer::LayerSummary;
use crate::ramp::{RampState, Schedule};
use crate::replay::{Cube, TaskRunner};
use crate::scenario::{Input as ScenarioInput, OnUnknownRelease, Scenario, Source};
use crate::study::decisions::{Decided, schedule};
use crate::study::layering::layer;
use crate::study::runners::{NewRunners, OnThreads};
use crate::study::traces::{read_traces, write_traces};
use crate::traces::SourceCoverage;
use crate::words::Lang;
use crate::{analysis, generate, replay, report};

/// The results of a study.
#[derive(Debug)]
pub struct Study {
    /// Result of layering, as in `layers.summary.json`.
    pub layering: LayerSummary,
    /// What was read of traces. Empty for a study without traces.
    pub traces: Vec<SourceCoverage>,
    /// Results of the stages after layering. `None` for a study without traffic.
    pub ramp: Option<RampFindings>,
    /// Written files, relative to the study's folder.
    pub files: Vec<PathBuf>,
    /// Warnings about the inputs, for their readers.
    pub warnings: Vec<String>,
}

/// The results of the stages after layering.
#[derive(Debug)]
pub struct RampFindings {
    /// The analysis, as in `analysis.json`.
    pub analysis: Analysis,
    /// The decisions, as in `schedule.json`.
    pub schedule: Schedule,
    /// The gate report, as in `gate_report.json`.
    pub gate: GateReport,
}

/// Runs a scenario: data, layers, cube, analysis, schedule, gate and report. The output folder is
/// created or replaced in one step at the end.
///
/// # Errors
/// Any error of a stage. The previous output is unchanged then.
pub fn run(scenario: &Scenario, out: &Path, lang: Lang, progress: &Progress) -> Result<Study> {
    run_on(&OnThreads, scenario, out, lang, progress)
}

/// Runs the pipeline, with the layering and the scan of the log where `runners` say.
///
/// # Errors
/// As [`run`], and those of the runners.
pub fn run_on(
    runners: &dyn NewRunners,
    scenario: &Scenario,
    out: &Path,
    lang: Lang,
    progress: &Progress,
) -> Result<Study> {
    keep_inputs(scenario, out)?;
    let staged = StagedFolder::begin(out, file::MANIFEST)?;
    let dir = staged.path();
    let study = report::StudyDocument::new(scenario);
    json::write_json(&dir.join(file::STUDY), &study)?;

    let data = ensure_data(scenario, out, dir, progress)?;
    let layering = layer(
        runners,
        scenario,
        data.as_ref(),
        &dir.join(file::LAYERS),
        progress,
    )?;
    let mut warnings = layering.warnings.clone();
    let ramp = if traffic_sources(scenario, data.as_ref()).is_empty() {
        None
    } else {
        let layers = dir.join(file::LAYERS);
        let inputs = replay_inputs(scenario, data.as_ref(), &layers, progress)?;
        let generated = data.as_ref().map(|data| data.traffic.path.as_path());
        let folder = dir.join(file::CUBE);
        let cube = match runners.replay(&layers, generated)? {
            None => replay(scenario, &inputs, &folder, progress)?,
            Some(runner) => replay_in_tasks(&*runner, scenario, &inputs, &folder, progress)?,
        };
        warnings.extend(inputs.warnings());
        warnings.extend(replay::implausible_means(&cube));
        write_traces(scenario, dir, progress)?;
        let stage = progress.stage("analyze");
        let analysis = analyze(
            scenario,
            &cube,
            &AnalysisOptions::default(),
            &dir.join(file::ANALYSIS),
        )?;
        // The later stages need memory for the documents of all tenants.
        drop((cube, stage));
        let Decided { schedule, gate } = schedule(scenario, &analysis, None, Some(&layering), dir, progress)?;
        gate.map(|gate| report::RampModel {
            analysis,
            schedule,
            gate,
            changes: Vec::new(),
        })
    };
    let stage = progress.stage("report");
    let model = report::Model {
        study,
        layering,
        traces: read_traces(dir)?,
        ramp,
    };
    write_report(dir, &model, lang)?;
    let report::Model {
        layering,
        traces,
        ramp,
        ..
    } = model;
    let ramp = ramp.map(|ramp| RampFindings {
        analysis: ramp.analysis,
        schedule: ramp.schedule,
        gate: ramp.gate,
    });
    let files = write_manifest(scenario, dir)?;
    staged.commit()?;
    drop(stage);
    Ok(Study {
        layering,
        traces,
        ramp,
        files,
        warnings,
    })
}

/// Refuses an output folder that contains the study's inputs, because it would replace them.
fn keep_inputs(scenario: &Scenario, out: &Path) -> Result<()> {
    let Ok(out) = std::fs::canonicalize(out) else {
        return Ok(());
    };
    let users = scenario.input.user_sources(&scenario.input.users);
    let ScenarioInput {
        traffic,
        shadow,
        outcomes,
        ..
    } = &scenario.input;
    let sources = traffic.iter().chain(shadow).chain(outcomes).chain(users);
    for path in sources.flat_map(Source::paths) {
        if std::fs::canonicalize(&path).is_ok_and(|path| path.starts_with(&out)) {
            let found = format!(
                "expected an --out without the study's inputs, found {} in it",
                path.display()
            );
            return Err(Error::write(&out, found).hint("choose another --out"));
        }
    }
    Ok(())
}

/// Returns the generated data of a scenario that needs it. Data of the previous run are reused if
/// they are the same. `None` for a scenario without a generator.
fn ensure_data(
    scenario: &Scenario,
    out: &Path,
    dir: &Path,
    progress: &Progress,
) -> Result<Option<GeneratedData>> {
    let Some(generate) = &scenario.input.generate else {
        return Ok(None);
    };
    let folder = dir.join(file::DATA);
    if generate::reuse(scenario, &out.join(file::DATA), &folder)? {
        return Ok(Some(GeneratedData::at(&folder)));
    }
    let stage = progress.stage("generate");
    let data = generate::generate(scenario, &folder, progress)?;
    stage.set_rows(generate.n_turns);
    Ok(Some(data))
}

/// Opens the inputs of the replay stage: traffic, layers, shadow answers and late outcomes.
///
/// # Errors
/// A source has no readable files, or lacks a required column.
pub fn replay_inputs<'a>(
    scenario: &Scenario,
    data: Option<&GeneratedData>,
    layers: &'a Path,
    progress: &Progress,
) -> Result<replay::Inputs<'a>> {
    let (metrics, input) = (&scenario.metrics, &scenario.input);
    let traffic = replay::open_traffic(
        metrics,
        &scenario.breakdowns,
        &traffic_sources(scenario, data),
        input.on_bad_row,
        progress,
    )?;
    let outcomes = |sources: &[Source], is_shadow| {
        replay::open_outcomes(metrics, sources, is_shadow, input.on_bad_row, progress)
    };
    Ok(replay::Inputs {
        shadows: outcomes(&input.shadow, true)?,
        outcomes: outcomes(&input.outcomes, false)?,
        count_sessions: input.count_sessions,
        ..replay::Inputs::new(traffic, layers)
    })
}

/// The replay stage: writes traffic and layers to a cube folder.
///
/// # Errors
/// Any error of [`replay::replay`].
pub fn replay(
    scenario: &Scenario,
    inputs: &replay::Inputs<'_>,
    folder: &Path,
    progress: &Progress,
) -> Result<Cube> {
    let ctx = replay_context(scenario);
    let stage = progress.stage("replay");
    let cube = replay::replay(&ctx, inputs, folder, progress)?;
    stage.set_rows(cube.counts.n_rows);
    Ok(cube)
}

/// The replay stage with its scan in tasks.
///
/// # Errors
/// Any error of [`replay::replay_in_tasks`].
pub fn replay_in_tasks(
    runner: &dyn TaskRunner,
    scenario: &Scenario,
    inputs: &replay::Inputs<'_>,
    folder: &Path,
    progress: &Progress,
) -> Result<Cube> {
    let stage = progress.stage("replay");
    let cube = replay::replay_in_tasks(runner, &replay_context(scenario), inputs, folder, progress)?;
    stage.set_rows(cube.counts.n_rows);
    Ok(cube)
}

/// The settings of a scenario's replay.
pub fn replay_context(scenario: &Scenario) -> replay::ReplayContext<'_> {
    replay::ReplayContext {
        plan: &scenario.plan,
        metrics: &scenario.metrics,
        as_of: scenario.as_of,
        breakdowns: &scenario.breakdowns,
        refuse_unknown_release: scenario.input.on_unknown_release == OnUnknownRelease::Error,
    }
}

fn traffic_sources(scenario: &Scenario, data: Option<&GeneratedData>) -> Vec<Source> {
    data.map_or_else(
        || scenario.input.traffic.clone(),
        |data| vec![data.traffic.clone()],
    )
}

/// The analysis stage: writes a cube's analysis to `analysis.json`.
///
/// # Errors
/// Any error of [`analysis::analyze`].
pub fn analyze(scenario: &Scenario, cube: &Cube, asked: &AnalysisOptions, path: &Path) -> Result<Analysis> {
    let analysis = analysis::analyze(cube, scenario, asked)?;
    json::write_json(path, &analysis)?;
    Ok(analysis)
}

/// The report stage: writes a study's documents to `report.md` and `report.html`, with the changes
/// of ratios in a state's log.
///
/// # Errors
/// A document is missing, or a file cannot be written.
pub fn report(dir: &Path, lang: Lang, state: Option<&RampState>) -> Result<()> {
    write_report(dir, &read_model(dir, state)?, lang)
}

/// Reads the documents of a report, with the changes of ratios in a state's log.
///
/// # Errors
/// A document is missing.
pub(super) fn read_model(dir: &Path, state: Option<&RampState>) -> Result<report::Model> {
    let document = |name: &str| dir.join(name);
    let model = report::Model {
        study: json::read_document(&document(file::STUDY))?,
        layering: json::read_json(&document(file::LAYER_SUMMARY))?,
        traces: read_traces(dir)?,
        ramp: if [file::ANALYSIS, file::SCHEDULE, file::GATE_REPORT]
            .iter()
            .any(|name| document(name).exists())
        {
            Some(report::RampModel {
                analysis: json::read_document(&document(file::ANALYSIS))?,
                schedule: json::read_document(&document(file::SCHEDULE))?,
                gate: json::read_document(&document(file::GATE_REPORT))?,
                changes: Vec::new(),
            })
        } else {
            None
        },
    };
    let log = state.map_or(&[][..], |state| &state.operations);
    Ok(report::Model {
        ramp: model.ramp.map(|ramp| ramp.with_changes(log)),
        ..model
    })
}

fn write_report(dir: &Path, model: &report::Model, lang: Lang) -> Result<()> {
    let markdown = report::markdown(model, lang);
    files::write_bytes(&dir.join(file::REPORT_MD), markdown.as_bytes())?;
    let html = report::html(model, lang)?;
    files::write_bytes(&dir.join(file::REPORT_HTML), html.as_bytes())
}

/// Writes the manifest of a folder: the digests of all its files. Returns their names.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn write_manifest(scenario: &Scenario, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut names = files::files_below(dir)?;
    let mut files = BTreeMap::new();
    for name in &names {
        let path = dir.join(name);
        let n_bytes = std::fs::metadata(&path).or_unreadable(&path)?.len();
        files.insert(
            name.display().to_string(),
            FileEntry {
                digest: digest::sha256_of_file(&path)?,
                n_bytes,
            },
        );
    }
    let manifest = Manifest {
        schema: Manifest::SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        name: scenario.name.clone(),
        scenario_digest: scenario.digest.clone(),
        seed: scenario.seed,
        files,
    };
    json::write_json(&dir.join(file::MANIFEST), &manifest)?;
    names.push(file::MANIFEST.into());
    Ok(names)
}

/// Compares a schedule with the scenario's expectations.
///
/// # Errors
/// All expectations that are not met, in one error.
pub fn verify(scenario: &Scenario, schedule: Option<&Schedule>) -> Result<()> {
    let mut problems = Vec::new();
    for expected in &scenario.expectations {
        let id = &scenario.plan.layers[expected.layer_idx].id;
        let of_layer = schedule
            .into_iter()
            .flat_map(|s| &s.layers)
            .filter(|l| l.layer == *id);
        let found: Vec<_> = of_layer
            .filter(|l| expected.tenant.as_ref().is_none_or(|tenant| *tenant == l.tenant))
            .collect();
        if found.is_empty() {
            problems.push(Problem::new(
                id.clone(),
                format!("expected {}, found no decision", expected.verdict),
            ));
        }
        for layer in found {
            let ratio_differs = expected.next_ratio.is_some_and(|ratio| ratio != layer.next_ratio);
            if layer.verdict.name() != expected.verdict || ratio_differs {
                let wanted = expected
                    .next_ratio
                    .map_or_else(String::new, |ratio| format!(" to {ratio}"));
                problems.push(Problem::new(
                    format!("{} {id}", layer.tenant),
                    format!(
                        "expected {}{wanted}, found {} to {} ({})",
                        expected.verdict,
                        layer.verdict.name(),
                        layer.next_ratio,
                        layer.reason
                    ),
                ));
            }
        }
    }
    let mut problems = problems.into_iter();
    match problems.next() {
        None => Ok(()),
        Some(first) => Err(problems.fold(Error::new(ErrorKind::Expectation, first), Error::and)),
    }
}
