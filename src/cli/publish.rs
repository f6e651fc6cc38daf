//! `sluice publish`: writes a study's schedule and layers to production stores.

use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::apart::Apart;
use crate::base::duration::parse_duration;
use crate::base::error::{Error, Result, exit_code};
use crate::base::json;
use crate::base::manifest::{Manifest, file};
use crate::base::time::Micros;
use crate::cli::publish_text;
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::parse_allowed;
use crate::input::fetch;
use crate::layer::ConsentChanges;
use crate::publish;
use crate::publish::{
    Address, LastNight, LayerTables, PublicationParts, PublicationSource, PublishReport, PublishStatus,
    Target, TargetReport,
};
use crate::scenario::{AllowedColumn, SensitiveRule};
use crate::words::commands as say;
use crate::words::{Count, Text};

/// Write a schedule and its layers to the stores, flag systems and gateways of production
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/publish.txt"))]
pub(super) struct PublishArgs {
    /// Folder with schedule.json: of `run`, or of `schedule`. Or a layer table, to publish it by
    /// itself
    #[arg(required_unless_present = "retire", conflicts_with = "retire")]
    dir: Option<PathBuf>,
    /// A target; repeatable
    #[arg(long, value_name = "TARGET", required = true)]
    to: Vec<String>,
    /// An attribute whose name is that of a sensitive one and that a target may ask for all the
    /// same, with the reason; repeatable
    #[arg(long = "allow-column", value_name = "COLUMN=REASON", value_parser = parse_allowed)]
    allowed: Vec<AllowedColumn>,
    /// Newest layer table, if it is not in the folder. Of a later night than the plan's start, it
    /// gives consent only: layers stay those of the plan's start
    #[arg(long, value_name = "FILE", conflicts_with = "no_users")]
    layers: Option<PathBuf>,
    /// Layer table of the plan's start, if it is not in the folder
    #[arg(long, value_name = "FILE", conflicts_with = "no_users")]
    frozen_layers: Option<PathBuf>,
    /// Name of a layer table that is published by itself
    #[arg(long, value_name = "NAME", default_value = "layers")]
    name: String,
    /// Last night's layer table, for a layer table by itself: write only users who changed or are
    /// gone
    #[arg(long, value_name = "FILE", conflicts_with = "changes")]
    previous: Option<PathBuf>,
    /// Changes since last night, from `sluice layer --changes`: write only these users
    #[arg(long, value_name = "FILE")]
    changes: Option<PathBuf>,
    /// Publish ratios only, without the layers of users
    #[arg(long)]
    no_users: bool,
    /// Write every user, not only those that changed
    #[arg(long, conflicts_with = "no_users")]
    all_users: bool,
    /// Print the changes, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Roll back now: set every ratio to 0, through the targets in reverse order
    #[arg(long)]
    rollback: bool,
    /// Print what every target holds of the plan, and write nothing
    #[arg(long, conflicts_with_all = ["rollback", "dry_run", "reopen", "no_users", "all_users", "verify", "layers", "frozen_layers"])]
    status: bool,
    /// Retire a plan without a folder: set its ratios to 0 for good, where targets hold it
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["rollback", "reopen", "status", "no_users", "all_users", "verify", "layers", "frozen_layers"])]
    retire: Option<String>,
    /// Publish again after --rollback, or a plan that is retired
    #[arg(long, conflicts_with = "rollback")]
    reopen: bool,
    /// Time that a store keeps a user's layer without a refresh: 24h, 7d; by default a week, for
    /// harness-v1 a day
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Micros>,
    /// Time limit of a target: of one answer (default 60s), or of all its work in a rollback (10s)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    target_timeout: Option<Micros>,
    /// Compare everything that the stores hold, not only a sample
    #[arg(long, conflicts_with = "rollback")]
    verify: bool,
    /// Limit of writes per second to a store
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_qps: Option<u32>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PublishArgs, terminal: &Terminal) -> Result<u8> {
    if let Some(plan_id) = &args.retire {
        return retire(args, plan_id, terminal);
    }
    let Some(dir) = &args.dir else {
        return Err(Error::usage("expected a folder with schedule.json, found none"));
    };
    if dir.is_file() {
        return layer_table(args, dir, terminal);
    }
    if args.previous.is_some() || args.changes.is_some() {
        return Err(Error::usage(
            "expected a layer table for --previous and --changes, found a folder",
        ));
    }
    if args.status {
        let (tables, parts) = (LayerTables::default(), PublicationParts::Rollback);
        let source = PublicationSource::open(dir, tables, parts, terminal.progress())?;
        return status(args, &source.publication.plan_id, terminal);
    }
    let local = |path: &Option<PathBuf>| path.as_deref().map(fetch::local_file).transpose();
    let (newest, frozen) = (local(&args.layers)?, local(&args.frozen_layers)?);
    let parts = match (args.rollback, args.no_users) {
        (true, _) => PublicationParts::Rollback,
        (false, true) => PublicationParts::Ratios,
        (false, false) => PublicationParts::All,
    };
    let tables = LayerTables {
        newest: newest.as_deref(),
        frozen: frozen.as_deref(),
    };
    let source = PublicationSource::open(dir, tables, parts, terminal.progress())?;
    if let Some(consent) = &source.consent {
        terminal.note("consent", &terminal.text(&consent_text(consent)));
    }
    if let Some(text) = source.gate.as_ref().and_then(publish_text::gate_warning) {
        terminal.warn(&terminal.text(&text));
    }
    // A rollback closes the candidate whatever its targets ask for.
    if !args.rollback {
        refuse_sensitive(&args.to, &args.allowed)?;
    }
    let options = options(args)?;
    let targets = publish::open(&args.to, options.answer_limit())?;
    Apart::new()
        .reads(study_files(dir))
        .reads(&newest)
        .reads(&frozen)
        .writes(targets.iter().filter_map(|target| target.file()))
        .check()?;
    publish_to(args, &source, targets, &options, terminal)
}

/// Publishes a layer table by itself.
fn layer_table(args: &PublishArgs, table: &Path, terminal: &Terminal) -> Result<u8> {
    let is_plan = args.rollback
        || args.reopen
        || args.no_users
        || args.layers.is_some()
        || args.frozen_layers.is_some();
    if is_plan {
        return Err(Error::usage(
            "expected a folder with schedule.json for --rollback, --reopen, --no-users, --layers and --frozen-layers, found a file",
        ));
    }
    let local = |path: &Option<PathBuf>| path.as_deref().map(fetch::local_file).transpose();
    let (previous, changes) = (local(&args.previous)?, local(&args.changes)?);
    let last_night = match (&previous, &changes) {
        (Some(path), _) => Some(LastNight::Table(path)),
        (None, Some(path)) => Some(LastNight::Changes(path)),
        (None, None) => None,
    };
    let source = PublicationSource::of_layers(table, &args.name, last_night, terminal.progress())?;
    if args.status {
        return status(args, &source.publication.plan_id, terminal);
    }
    let options = options(args)?;
    let targets = publish::open(&args.to, options.answer_limit())?;
    Apart::new()
        .reads([table])
        .reads(&previous)
        .reads(&changes)
        .writes(targets.iter().filter_map(|target| target.file()))
        .check()?;
    publish_to(args, &source, targets, &options, terminal)
}

/// Publishes to the targets, and prints the report. Returns the exit code.
fn publish_to(
    args: &PublishArgs,
    source: &PublicationSource,
    targets: Vec<Box<dyn Target>>,
    options: &publish::Options,
    terminal: &Terminal,
) -> Result<u8> {
    let stage = terminal.progress().stage("publish");
    let mut on_finished = on_finished(args, terminal);
    let report = publish::publish(source, targets, options, terminal.progress(), &mut on_finished);
    drop(stage);
    finish(args, &report, terminal)
}

/// Retires a plan where targets hold it.
fn retire(args: &PublishArgs, plan_id: &str, terminal: &Terminal) -> Result<u8> {
    let options = options(args)?;
    let targets = publish::open(&args.to, options.answer_limit())?;
    let stage = terminal.progress().stage("retire");
    let mut on_finished = on_finished(args, terminal);
    let report = publish::retire(plan_id, targets, &options, terminal.progress(), &mut on_finished);
    drop(stage);
    finish(args, &report, terminal)
}

/// Tells about each target as soon as it is finished.
fn on_finished<'a>(args: &PublishArgs, terminal: &'a Terminal) -> impl FnMut(&TargetReport) + 'a {
    let is_alone = args.to.len() == 1 && !args.rollback;
    move |target| match &target.error {
        Some(error) => terminal.progress().above(|| terminal.print_error_text(error)),
        None if is_alone => {}
        None => terminal.note(target.outcome.name(), &target.target),
    }
}

/// Prints the report. Returns the exit code.
fn finish(args: &PublishArgs, report: &PublishReport, terminal: &Terminal) -> Result<u8> {
    if args.json {
        print_json(&json::to_json(report))?;
    } else {
        terminal.print(&publish_text::table(report, terminal))?;
    }
    for target in &report.targets {
        for warning in &target.warnings {
            terminal.warn(&format!("{}: {warning}", target.target));
        }
    }
    if !report.still_open.is_empty() && !args.dry_run {
        terminal.print_error_text(&format!(
            "these targets may still serve the candidate: {}\nhint: run it again until none is left",
            report.still_open.join(", ")
        ));
    }
    Ok(if report.has_failed() {
        exit_code::TARGET
    } else {
        DONE
    })
}

fn options(args: &PublishArgs) -> Result<publish::Options> {
    Ok(publish::Options {
        dry_run: args.dry_run,
        rollback: args.rollback,
        reopen: args.reopen,
        all_users: args.all_users,
        verify: args.verify,
        ttl: args.ttl,
        max_qps: args.max_qps,
        target_timeout: args
            .target_timeout
            .map(|micros| Duration::from_micros(micros.unsigned_abs())),
        ..publish::Options::at(publish::now()?)
    })
}

/// Prints what every target holds of a plan, or of a layer table by itself.
fn status(args: &PublishArgs, plan_id: &str, terminal: &Terminal) -> Result<u8> {
    let options = options(args)?;
    let targets = publish::open(&args.to, options.answer_limit())?;
    let stage = terminal.progress().stage("read back");
    let states = publish::read_back(plan_id, targets, &options);
    drop(stage);
    let report = PublishStatus::new(plan_id, states);
    if args.json {
        print_json(&json::to_json(&report))?;
    } else {
        terminal.print(&publish_text::status_text(&report, terminal))?;
        for target in &report.targets {
            if let Some(error) = &target.error {
                terminal.print_error_text(error);
            }
        }
    }
    Ok(if report.has_failed() {
        exit_code::TARGET
    } else {
        DONE
    })
}

/// Refuses targets whose rules ask for a sensitive attribute of the caller.
fn refuse_sensitive(targets: &[String], allowed: &[AllowedColumn]) -> Result<()> {
    let rule = SensitiveRule {
        words: Vec::new(),
        allowed: allowed.to_vec(),
    };
    let kinds = publish::kinds();
    for target in targets {
        let address = Address::parse(target, &kinds)?;
        for setting in ["attribute", "tenant_attribute", "consent"] {
            let Some(name) = address.get(setting) else {
                continue;
            };
            if let Err(problem) = rule.check(name) {
                let error = Error::usage(format!("{address}: {setting}: {}", problem.message));
                return Err(error.hint(problem.hint.unwrap_or_default()));
            }
        }
    }
    Ok(())
}

/// The files and folders of a study, of which a publication reads some. Other files in its folder,
/// such as those of other systems, may be written by targets.
fn study_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = file::ALL.iter().map(|name| dir.join(name)).collect();
    let manifest: Option<Manifest> = Manifest::read(&dir.join(file::MANIFEST)).ok();
    let listed = manifest.iter().flat_map(|manifest| manifest.files.keys());
    files.extend(listed.map(|name| dir.join(name)));
    files
}

/// What changed about consent since the layers were frozen.
fn consent_text(consent: &ConsentChanges) -> Text {
    say::consent(
        Count(consent.n_withdrawn),
        Count(consent.n_users),
        Count(consent.n_given),
    )
}
