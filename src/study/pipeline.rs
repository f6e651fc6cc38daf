//! The pipeline as one function, and its stages as functions from files to files.
//!
//! Every command calls one of these stages, and `run` calls all of them in order. So a command and
//! `run` write the same bytes.

use arrow_array::StringArray;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::analysis::{Analysis, AnalysisOptions};
use crate::base::apart::Apart;
use crate::base::error::{Error, ErrorKind, FileResult, Problem, Result};
use crate::base::file_set::{EarlierCommit, FileSet};
use crate::base::files::StagedFolder;
use crate::base::json::Document;
use crate::base::manifest::{FileEntry, Manifest, file};
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::base::{digest, files, json};
use crate::gate::GateReport;
use crate::generate::GeneratedData;
use crate::input::{Table, UserBatch, UserFeatures, UserReader};
use crate::layer::{Audit, LayerSummary, Period, Ties, UserSource, Users, tables};
use crate::ramp::Schedule;
use crate::replay::Cube;
use crate::report::Lang;
use crate::scenario::{
    Events, Input as ScenarioInput, OnUnknownRelease, Scenario, Source, TagRule, UsersFrom,
};
use crate::study::decisions::{Decided, schedule};
use crate::{analysis, generate, input, layer, replay, report};

/// The results of a study.
#[derive(Debug)]
pub struct Study {
    /// Result of layering, as in `layers.summary.json`.
    pub layering: LayerSummary,
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
    keep_inputs(scenario, out)?;
    let staged = StagedFolder::begin(out, file::MANIFEST)?;
    let dir = staged.path();
    let study = report::StudyDocument::new(scenario);
    json::write_json(&dir.join(file::STUDY), &study)?;

    let data = ensure_data(scenario, out, dir, progress)?;
    let layering = layer(scenario, data.as_ref(), &dir.join(file::LAYERS), progress)?;
    let mut warnings = layering.warnings.clone();
    let ramp = if traffic_sources(scenario, data.as_ref()).is_empty() {
        None
    } else {
        let layers = dir.join(file::LAYERS);
        let inputs = replay_inputs(scenario, data.as_ref(), &layers)?;
        let cube = replay(scenario, &inputs, &dir.join(file::CUBE), progress)?;
        warnings.extend(inputs.warnings());
        warnings.extend(replay::implausible_means(&cube));
        let stage = progress.stage("analyze");
        let analysis = analyze(
            scenario,
            &cube,
            &AnalysisOptions::default(),
            &dir.join(file::ANALYSIS),
        )?;
        // The later stages need memory for the documents of all tenants.
        drop((cube, stage));
        let Decided { schedule, gate } =
            schedule(scenario, &analysis, None, Some(&layering), dir, progress)?;
        gate.map(|gate| report::RampModel {
            analysis,
            schedule,
            gate,
        })
    };
    let stage = progress.stage("report");
    let model = report::Model {
        study,
        layering,
        ramp,
    };
    write_report(dir, &model, lang)?;
    let report::Model { layering, ramp, .. } = model;
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
    let users = match &scenario.input.users {
        UsersFrom::Table(source) => Some(source),
        UsersFrom::Events(events) => Some(&events.source),
        UsersFrom::Traffic | UsersFrom::Generator => None,
    };
    let ScenarioInput {
        traffic,
        shadow,
        outcomes,
        ..
    } = &scenario.input;
    for source in traffic.iter().chain(shadow).chain(outcomes).chain(users) {
        if std::fs::canonicalize(&source.path).is_ok_and(|path| path.starts_with(&out)) {
            let found = format!(
                "expected an --out without the study's inputs, found {} in it",
                source.path.display()
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

/// The layer stage: writes users to `layers.parquet`, and `layers.summary.json` beside it. Layers
/// are frozen at the plan's start, because the release changes the behavior of users, and with it
/// their scores.
///
/// # Errors
/// The generated data are missing, or any error of [`layer::layer_users`].
pub fn layer(
    scenario: &Scenario,
    data: Option<&GeneratedData>,
    path: &Path,
    progress: &Progress,
) -> Result<LayerSummary> {
    let users = match (&scenario.input.users, data) {
        (UsersFrom::Generator, Some(data)) => UsersFrom::Table(data.users.clone()),
        (UsersFrom::Generator, None) => {
            return Err(Error::usage("expected generated data, found none")
                .hint("generate it with `sluice generate`, then name it with --users"));
        }
        (users, _) => users.clone(),
    };
    layer_at(
        scenario,
        &users,
        &LayerOptions::at(scenario.plan.start),
        path,
        progress,
    )
}

/// Options of the layer stage.
#[derive(Debug, Clone)]
pub struct LayerOptions {
    /// The instant from which recency is measured, microseconds, UTC.
    pub as_of: Micros,
    /// Whether to prove that user ids are unique, and to compute digests of the inputs.
    pub audit: Audit,
    /// Layer table of the previous night. `None` for no comparison.
    pub previous: Option<PathBuf>,
    /// A further file for the changed users. `None` for no such file.
    pub changes: Option<PathBuf>,
    /// Whether to write the changed users only.
    pub changed_only: bool,
    /// The classic RFM summary to write, for users from events. `None` for no summary.
    pub rfm_table: Option<RfmTable>,
}

/// An RFM summary to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RfmTable {
    /// The file: CSV if its name ends in `.csv`, else Parquet.
    pub path: PathBuf,
    /// The time unit in which purchases are counted.
    pub period: Period,
    /// The rule for the scores of users with equal values.
    pub ties: Ties,
}

impl LayerOptions {
    /// Options of a layering at an instant, without a previous night.
    pub fn at(as_of: Micros) -> Self {
        Self {
            as_of,
            audit: Audit::Auto,
            previous: None,
            changes: None,
            changed_only: false,
            rfm_table: None,
        }
    }
}

/// The layer stage with given users and options.
///
/// # Errors
/// A file would be both read and written, or any error of [`layer::layer_users`] and
/// [`layer::compare`].
pub fn layer_at(
    scenario: &Scenario,
    users: &UsersFrom,
    options: &LayerOptions,
    path: &Path,
    progress: &Progress,
) -> Result<LayerSummary> {
    let stage = progress.stage("layer");
    let summary_path = path.with_extension("summary.json");
    let features_path = path.with_file_name(file::FEATURES);
    let mut read: Vec<PathBuf> = options.previous.iter().cloned().collect();
    let notes_path = layer::notes_path(path);
    let mut written = vec![path, &summary_path, &notes_path];
    written.extend(options.changes.as_deref());
    if let UsersFrom::Table(source) | UsersFrom::Events(Events { source, .. }) = users {
        read.push(source.path.clone());
        read.extend(input::find_files(&source.path)?);
    }
    if matches!(users, UsersFrom::Events(_)) {
        written.push(&features_path);
        written.extend(options.rfm_table.as_ref().map(|rfm| rfm.path.as_path()));
    }
    Apart::new().reads(&read).writes(written).check()?;
    if let Some(previous) = &options.previous {
        layer::check_previous(previous)?;
    }
    // All files get their names after every step has succeeded. The summary is the last. A file of
    // notes that is not written goes: notes of an earlier table must not stay beside this one, and
    // notes do not describe a table of changes.
    let mut set = FileSet::begin(&summary_path)?;
    let notes = set.stage(&notes_path)?;
    let mut stage_if = |path: Option<&Path>| path.map(|path| set.stage(path)).transpose();
    let is_events = matches!(users, UsersFrom::Events(_));
    let rfm_path = options.rfm_table.as_ref().map(|rfm| rfm.path.as_path());
    let names = LayerFiles {
        table: files::beside(path, "whole"),
        features: stage_if(is_events.then_some(features_path.as_path()))?,
        rfm: stage_if(rfm_path.filter(|_| is_events))?,
    };
    let changes_path = stage_if(options.changes.as_deref().filter(|_| options.previous.is_some()))?;
    let table_path = set.stage(path)?;
    let changed_only = options.changed_only && options.previous.is_some();
    let whole = WholeTable(names.table.clone());
    let mut summary = layer_table(scenario, users, options, &names, progress)?;
    if let Some(previous) = &options.previous {
        let (moves, changed) = layer::compare(previous, &whole.0, progress)?;
        let changes_path = changes_path.as_ref().or(changed_only.then_some(&table_path));
        if let Some(changes) = changes_path {
            layer::write_changed(&whole.0, &changed, changes)?;
        }
        summary.moves = Some(moves);
    }
    if !changed_only {
        files::rename(&whole.0, &table_path)?;
        let written = layer::notes_path(&whole.0);
        if written.exists() {
            files::rename(&written, &notes)?;
        }
    }
    set.commit(json::to_json(&summary).as_bytes(), EarlierCommit::Remove)?;
    stage.set_rows(summary.n_users);
    Ok(summary)
}

/// The names under which the files of the layer stage are written first.
struct LayerFiles {
    table: PathBuf,
    /// The features of users from events. `None` for other users.
    features: Option<PathBuf>,
    /// The RFM summary. `None` if none is wanted.
    rfm: Option<PathBuf>,
}

/// A temporary layer table, which is removed when it goes out of scope.
struct WholeTable(PathBuf);

impl Drop for WholeTable {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
        std::fs::remove_file(layer::notes_path(&self.0)).ok();
    }
}

fn layer_table(
    scenario: &Scenario,
    users: &UsersFrom,
    options: &LayerOptions,
    files: &LayerFiles,
    progress: &Progress,
) -> Result<LayerSummary> {
    let rules: Vec<&TagRule> = scenario
        .plan
        .layers
        .iter()
        .flat_map(|layer| &layer.tags)
        .collect();
    let ctx = layer::LayerContext::new(
        &scenario.layering,
        &scenario.plan,
        options.as_of,
        &scenario.input,
        options.audit,
    );
    let ctx = layer::LayerContext {
        previous: options.previous.as_deref(),
        ..ctx
    };
    let mut summary = match users {
        UsersFrom::Table(source) => {
            let reader = UserReader::open(source, rules, scenario.input.on_bad_row)?;
            let warnings = layer::check_required(
                reader.table(),
                UserSource::Table,
                &scenario.layering,
                &scenario.plan,
            )?;
            LayerSummary {
                warnings,
                ..layer::layer_users(&ctx, &Users::Table(reader), &files.table, progress)?
            }
        }
        _ if !rules.is_empty() => {
            return Err(Error::usage(
                "expected a users table for layers with tags, found users without other columns",
            ));
        }
        UsersFrom::Events(events) => layer_events(&ctx, events, scenario, options, files, progress)?,
        UsersFrom::Traffic | UsersFrom::Generator => layer::layer_users(
            &ctx,
            &Users::Memory(Box::new(users_of_traffic(scenario)?), "traffic".into()),
            &files.table,
            progress,
        )?,
    };
    if let UsersFrom::Table(source) | UsersFrom::Events(Events { source, .. }) = users
        && options.audit.applies(Some(summary.n_users))
    {
        summary.sources = Table::open(source)?.digests()?;
        summary.sources.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(summary)
}

fn layer_events(
    ctx: &layer::LayerContext<'_>,
    events: &Events,
    scenario: &Scenario,
    options: &LayerOptions,
    files: &LayerFiles,
    progress: &Progress,
) -> Result<LayerSummary> {
    let observed_until = options
        .rfm_table
        .as_ref()
        .map_or(ctx.as_of, |rfm| rfm.period.end(ctx.as_of));
    let table = input::open_events(events)?;
    let warnings = layer::check_required(&table, UserSource::Events, ctx.layering, ctx.plan)?;
    let (features, read) = input::read_events(
        &table,
        events,
        ctx.as_of,
        observed_until,
        scenario.input.on_bad_row,
        progress,
    )?;
    if let Some(path) = &files.features {
        tables::write_features(path, &features)?;
    }
    if let (Some(rfm), Some(path)) = (&options.rfm_table, &files.rfm) {
        tables::write_rfm(
            path,
            &features,
            &layer::rfm(&features, ctx.as_of, rfm.period, rfm.ties),
        )?;
    }
    let users = Users::Memory(
        Box::new(UserFeatures::to_users(&features)),
        events.source.path.display().to_string(),
    );
    let mut summary = layer::layer_users(ctx, &users, &files.table, progress)?;
    summary.bad_rows = read.bad_rows.clone();
    summary.events = Some(read);
    summary.warnings = warnings;
    Ok(summary)
}

/// Returns all users of a log, in the order of their first rows.
fn users_of_traffic(scenario: &Scenario) -> Result<UserBatch> {
    let mut seen = std::collections::BTreeSet::new();
    let (mut ids, mut tenants, mut has_tenants) = (Vec::new(), Vec::new(), false);
    for reader in replay::open_traffic(
        &scenario.metrics,
        &[],
        &scenario.input.traffic,
        scenario.input.on_bad_row,
    )? {
        has_tenants |= reader.has("tenant_id");
        for part in &reader.table().parts {
            reader.read(*part, &mut |batch| {
                for row in (0..batch.raw.n_rows).filter(|row| !batch.faults.is_bad(*row)) {
                    let tenant = input::tenant_at(batch.tenant_id.as_ref(), row).to_owned();
                    let user = (tenant, batch.user_id.value(row).to_owned());
                    if seen.insert(user.clone()) {
                        tenants.push(user.0);
                        ids.push(user.1);
                    }
                }
                Ok(())
            })?;
        }
    }
    let texts = |texts: Vec<String>| texts.into_iter().map(Some).collect::<StringArray>();
    Ok(UserBatch::from_ids(
        texts(ids),
        has_tenants.then(|| texts(tenants)),
    ))
}

/// Opens the inputs of the replay stage: traffic, layers, shadow answers and late outcomes.
///
/// # Errors
/// A source has no readable files, or lacks a required column.
pub fn replay_inputs<'a>(
    scenario: &Scenario,
    data: Option<&GeneratedData>,
    layers: &'a Path,
) -> Result<replay::Inputs<'a>> {
    let (metrics, input) = (&scenario.metrics, &scenario.input);
    let traffic = replay::open_traffic(
        metrics,
        &scenario.breakdowns,
        &traffic_sources(scenario, data),
        input.on_bad_row,
    )?;
    Ok(replay::Inputs {
        shadows: replay::open_outcomes(metrics, &input.shadow, true, input.on_bad_row)?,
        outcomes: replay::open_outcomes(metrics, &input.outcomes, false, input.on_bad_row)?,
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
    let ctx = replay::ReplayContext {
        plan: &scenario.plan,
        metrics: &scenario.metrics,
        as_of: scenario.as_of,
        breakdowns: &scenario.breakdowns,
        refuse_unknown_release: scenario.input.on_unknown_release == OnUnknownRelease::Error,
    };
    let stage = progress.stage("replay");
    let cube = replay::replay(&ctx, inputs, folder, progress)?;
    stage.set_rows(cube.counts.n_rows);
    Ok(cube)
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

/// The report stage: writes a study's documents to `report.md` and `report.html`.
///
/// # Errors
/// A document is missing, or a file cannot be written.
pub fn report(dir: &Path, lang: Lang) -> Result<()> {
    let document = |name: &str| dir.join(name);
    let model = report::Model {
        study: json::read_document(&document(file::STUDY))?,
        layering: json::read_json(&document(file::LAYER_SUMMARY))?,
        ramp: if [file::ANALYSIS, file::SCHEDULE, file::GATE_REPORT]
            .iter()
            .any(|name| document(name).exists())
        {
            Some(report::RampModel {
                analysis: json::read_document(&document(file::ANALYSIS))?,
                schedule: json::read_document(&document(file::SCHEDULE))?,
                gate: json::read_document(&document(file::GATE_REPORT))?,
            })
        } else {
            None
        },
    };
    write_report(dir, &model, lang)
}

fn write_report(dir: &Path, model: &report::Model, lang: Lang) -> Result<()> {
    let markdown = report::markdown(model, lang);
    files::write_bytes(&dir.join(file::REPORT_MD), markdown.as_bytes())?;
    let html = report::html(model, lang)?;
    files::write_bytes(&dir.join(file::REPORT_HTML), html.as_bytes())
}

fn write_manifest(scenario: &Scenario, dir: &Path) -> Result<Vec<PathBuf>> {
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
