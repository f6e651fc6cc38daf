//! The layer stage: reads users from a table, events or traffic, and writes the layer table with its
//! summary.

use arrow_array::StringArray;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, Result};
use crate::base::file_set::{EarlierCommit, FileSet};
use crate::base::manifest::file;
use crate::base::progress::Progress;
use crate::base::{files, json};
use crate::generate::GeneratedData;
use crate::input::{EventOptions, Table, UserBatch, UserReader};
use crate::layer::{LayerRunner, LayerSummary, UserSource, Users, tables};
use crate::scenario::{Events, Scenario, Source, TagRule, UsersFrom};
use crate::study::guards;
use crate::study::guards::GuardRules;
use crate::study::layer_options::LayerOptions;
use crate::study::runners::NewRunners;
use crate::study::user_tables::{Joined, UserTable, add_counts};
use crate::{input, layer, replay};

/// The layer stage: writes users to `layers.parquet`, and `layers.summary.json` beside it. Layers
/// are frozen at the plan's start, because the release changes the behavior of users, and with it
/// their scores.
///
/// # Errors
/// The generated data are missing, or any error of [`layer::layer_users`].
pub fn layer(
    runners: &dyn NewRunners,
    scenario: &Scenario,
    data: Option<&GeneratedData>,
    path: &Path,
    progress: &Progress,
) -> Result<LayerSummary> {
    let users = match (&scenario.input.users, data) {
        (UsersFrom::Generator, Some(data)) => UsersFrom::Table(data.users.clone()),
        (UsersFrom::Generator, None) => {
            return Err(Error::usage("expected generated data, found none")
                .hint("generate it with `sluice generate`, then layer it with `sluice layer --users`"));
        }
        (users, _) => users.clone(),
    };
    let options = LayerOptions::at(scenario.plan.start);
    let runner = runners.layer(&users, &options)?;
    layer_at(runner.as_deref(), scenario, &users, &options, path, progress)
}

/// The layer stage with given users and options, in the tasks of a runner. `None` for the threads of
/// this program.
///
/// # Errors
/// A file would be both read and written, or any error of [`layer::layer_users`] and
/// [`layer::compare`].
pub fn layer_at(
    runner: Option<&dyn LayerRunner>,
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
    for source in scenario.input.user_sources(users) {
        for path in source.paths() {
            read.extend(input::find_files(&path)?);
            read.push(path);
        }
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
    let mut summary = layer_table(runner, scenario, users, options, &names, progress)?;
    if let Some(previous) = &options.previous {
        let (moves, changed) = layer::compare(previous, &whole.0, progress)?;
        let changes_path = changes_path.as_ref().or(changed_only.then_some(&table_path));
        if let Some(changes) = changes_path {
            layer::write_changed(previous, &whole.0, &changed, changes)?;
        }
        summary.moves = Some(moves);
        let before = previous.with_extension("summary.json");
        let before: Option<LayerSummary> = before.exists().then(|| json::read_json(&before)).transpose()?;
        let rules = GuardRules {
            guards: &options.guards,
            accepted: &options.accepted,
        };
        let found = guards::of_layers(&rules, &summary, before.as_ref());
        if let Some(error) = guards::error(&found) {
            return Err(error);
        }
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

/// The context of a layering with these options.
pub fn layer_context<'a>(scenario: &'a Scenario, options: &'a LayerOptions) -> layer::LayerContext<'a> {
    let ctx = layer::LayerContext::new(
        &scenario.layering,
        &scenario.plan,
        options.as_of,
        &scenario.input,
        options.audit,
    );
    layer::LayerContext {
        previous: options.previous.as_deref(),
        ..ctx
    }
}

/// The rules of the plan's layers.
fn tag_rules(scenario: &Scenario) -> Vec<&TagRule> {
    let layers = scenario.plan.layers.iter();
    layers.flat_map(|layer| &layer.tags).collect()
}

/// The users of a scenario that tasks on other machines can read in parts.
///
/// # Errors
/// When users come from events or from the log, from several tables, or from a query over a whole
/// table.
pub fn users_for_tasks<'a>(scenario: &Scenario, users: &'a UsersFrom) -> Result<&'a Source> {
    let input = &scenario.input;
    let refused = |found: &str, hint: &str| {
        let expected = "expected one table of users for an engine";
        Err(Error::usage(format!("{expected}, found {found}")).hint(hint))
    };
    match users {
        UsersFrom::Table(source) if source.sql.is_some() => refused(
            "a query",
            "a query needs all rows at once: write its result first, with sluice query",
        ),
        UsersFrom::Table(_) if !input.more_users.is_empty() => refused(
            "several",
            "write them as one table first, with sluice query, or layer them without --engine",
        ),
        UsersFrom::Table(_) if input.user_join.is_some() => refused(
            "a table that is joined with another",
            "join them first, with sluice query, or layer them without --engine",
        ),
        UsersFrom::Table(source) => Ok(source),
        UsersFrom::Events(_) => refused(
            "events",
            "layer them without --engine: the features of a user need all events of the user",
        ),
        UsersFrom::Traffic | UsersFrom::Generator => {
            refused("none", "name a table with --users, or layer without --engine")
        }
    }
}

/// Opens a table of users for tasks, and passes it to `run`.
///
/// # Errors
/// As [`users_for_tasks`], when the table cannot be opened, and those of `run`.
pub fn with_table_of_users<T>(
    scenario: &Scenario,
    users: &UsersFrom,
    options: &LayerOptions,
    run: impl FnOnce(&layer::LayerContext<'_>, &Users<'_>) -> Result<T>,
) -> Result<T> {
    let source = users_for_tasks(scenario, users)?;
    let reader = UserReader::open(source, tag_rules(scenario), scenario.input.on_bad_row)?;
    run(&layer_context(scenario, options), &Users::Table(Box::new(reader)))
}

fn layer_table(
    runner: Option<&dyn LayerRunner>,
    scenario: &Scenario,
    users: &UsersFrom,
    options: &LayerOptions,
    files: &LayerFiles,
    progress: &Progress,
) -> Result<LayerSummary> {
    if runner.is_some() {
        users_for_tasks(scenario, users)?;
    }
    let rules = tag_rules(scenario);
    let ctx = layer_context(scenario, options);
    let join = scenario.input.user_join.as_ref();
    let mut summary = match users {
        UsersFrom::Table(source) if scenario.input.more_users.is_empty() && join.is_none() => {
            let reader = UserReader::open(source, rules, scenario.input.on_bad_row)?;
            let warnings = layer::check_required(
                reader.table(),
                UserSource::Table,
                &scenario.layering,
                &scenario.plan,
                &|_| false,
            )?;
            let users = Users::Table(Box::new(reader));
            LayerSummary {
                warnings,
                ..match runner {
                    None => layer::layer_users(&ctx, &users, &files.table, progress)?,
                    Some(runner) => {
                        layer::layer_users_in_tasks(runner, &ctx, &users, &files.table, progress)?
                    }
                }
            }
        }
        UsersFrom::Table(_) => layer_tables(&ctx, scenario, users, &rules, files, progress)?,
        _ if !rules.is_empty() && join.is_none() => {
            return Err(Error::usage(
                "expected a users table for layers with tags, found users without other columns",
            ));
        }
        UsersFrom::Events(events) => layer_events(&ctx, events, &rules, scenario, options, files, progress)?,
        UsersFrom::Traffic | UsersFrom::Generator => layer::layer_users(
            &ctx,
            &Users::Memory(Box::new(users_of_traffic(scenario, progress)?), "traffic".into()),
            &files.table,
            progress,
        )?,
    };
    if options.audit.applies(Some(summary.n_users)) {
        for source in scenario.input.user_sources(users) {
            summary.sources.extend(Table::open(source)?.digests()?);
        }
        summary.sources.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(summary)
}

/// Layers the users of several tables, or of a table with a joined one. They are read into memory.
fn layer_tables(
    ctx: &layer::LayerContext<'_>,
    scenario: &Scenario,
    users: &UsersFrom,
    rules: &[&TagRule],
    files: &LayerFiles,
    progress: &Progress,
) -> Result<LayerSummary> {
    let input = &scenario.input;
    let joined = input
        .user_join
        .as_ref()
        .map(|source| Joined::read(source, rules, input))
        .transpose()?;
    let (mut all, mut warnings, mut bad_rows) = (Vec::new(), Vec::new(), BTreeMap::new());
    let sources = input.user_sources(users);
    let n_tables = sources.len() - usize::from(joined.is_some());
    for source in &sources[..n_tables] {
        let table = UserTable::read(source, rules, joined.as_ref(), input)?;
        warnings.extend(layer::check_required(
            &table.table,
            UserSource::Table,
            ctx.layering,
            ctx.plan,
            &|name| joined.as_ref().is_some_and(|joined| joined.has(name)),
        )?);
        add_counts(&mut bad_rows, table.bad_rows);
        all.push(table.users);
    }
    let mut batch = UserBatch::concat(&all)?;
    if let Some(joined) = &joined {
        batch = joined.join(batch)?;
        add_counts(&mut bad_rows, joined.bad_rows());
    }
    let paths: Vec<String> = sources[..n_tables]
        .iter()
        .map(|source| source.path.display().to_string())
        .collect();
    let users = Users::Memory(Box::new(batch), paths.join(", "));
    Ok(LayerSummary {
        warnings,
        bad_rows,
        ..layer::layer_users(ctx, &users, &files.table, progress)?
    })
}

fn layer_events(
    ctx: &layer::LayerContext<'_>,
    events: &Events,
    rules: &[&TagRule],
    scenario: &Scenario,
    options: &LayerOptions,
    files: &LayerFiles,
    progress: &Progress,
) -> Result<LayerSummary> {
    let table = input::open_events(events)?;
    let joined = scenario
        .input
        .user_join
        .as_ref()
        .map(|source| Joined::read(source, rules, &scenario.input))
        .transpose()?;
    let warnings = layer::check_required(&table, UserSource::Events, ctx.layering, ctx.plan, &|name| {
        joined.as_ref().is_some_and(|joined| joined.has(name))
    })?;
    let rfm_period = options.rfm_table.as_ref().map(|rfm| rfm.period);
    let reading = EventOptions {
        as_of: ctx.as_of,
        observed_until: rfm_period.map(|period| period.end(ctx.as_of, &scenario.time_zone)),
        on_bad_row: scenario.input.on_bad_row,
        zone: &scenario.time_zone,
    };
    let (features, read) = input::read_events(&table, events, &reading, progress)?;
    if let Some(path) = &files.features {
        tables::write_features(path, &features)?;
    }
    if let (Some(rfm), Some(path)) = (&options.rfm_table, &files.rfm) {
        tables::write_rfm(
            path,
            &features,
            &layer::rfm(&features, ctx.as_of, &scenario.time_zone, rfm.period, rfm.ties),
        )?;
    }
    let mut batch = features.into_users();
    if let Some(joined) = &joined {
        batch = joined.join(batch)?;
    }
    let users = Users::Memory(Box::new(batch), events.source.path.display().to_string());
    let mut summary = layer::layer_users(ctx, &users, &files.table, progress)?;
    summary.bad_rows = read.bad_rows.clone();
    if let Some(joined) = &joined {
        add_counts(&mut summary.bad_rows, joined.bad_rows());
    }
    summary.events = Some(read);
    summary.warnings = warnings;
    Ok(summary)
}

/// Returns all users of a log, in the order of their first rows.
fn users_of_traffic(scenario: &Scenario, progress: &Progress) -> Result<UserBatch> {
    let mut seen = std::collections::BTreeSet::new();
    let (mut ids, mut tenants, mut has_tenants) = (Vec::new(), Vec::new(), false);
    for reader in replay::open_traffic(
        &scenario.metrics,
        &[],
        &scenario.input.traffic,
        scenario.input.on_bad_row,
        progress,
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
