//! `sluice layer`: users to layers.

use clap::Args;
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, FileResult, Result};
use crate::base::time::{DAY, Micros, WrittenInstant, Zone};
use crate::base::{files, json, open, time};
use crate::cli::engine_args::{EngineArgs, PreparedArgs};
use crate::cli::source_args::SourceArgs;
use crate::cli::summary;
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::text::path_text;
use crate::cli::user_changes::UserChanges;
use crate::cli::values::{check_table, parse_allowed, parse_guard, parse_written, source_at};
use crate::engine;
use crate::engine::{EngineRunner, Job, PreparedRunner, Reader, ScenarioText};
use crate::input::{Format, fetch};
use crate::layer::{Audit, LayerRunner, Period, Ties, plan_layer_tasks};
use crate::scenario::{AllowedColumn, Events, GuardName, Overrides, Scenario, UsersFrom};
use crate::study;
use crate::study::inputs;
use crate::study::{LayerOptions, RfmTable};
use crate::words::commands as say;

/// The four layers of the reference policy, for users tables that come without a scenario.
const DEFAULT: &str = include_str!("layer_default.toml");

/// Score users and assign them to layers
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/layer.txt"))]
pub(super) struct LayerArgs {
    /// Users: a file, a folder or a glob; the scenario's own by default
    #[arg(long, value_name = "PATH")]
    users: Option<PathBuf>,
    /// An event log to build the users' features from
    #[arg(long, value_name = "PATH", conflicts_with = "users")]
    events: Option<PathBuf>,
    /// Layer table to write; a summary is written beside it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The scenario, with layers, weights and column names; by default the four layers of the
    /// reference policy
    #[arg(long, alias = "config", value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    /// Score as of this instant; by default the start of the scenario's plan
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    #[command(flatten)]
    source: SourceArgs,
    /// A column whose name contains a sensitive attribute and that may be used all the same, with
    /// the reason; repeatable
    #[arg(long = "allow-column", value_name = "COLUMN=REASON", value_parser = parse_allowed)]
    allowed: Vec<AllowedColumn>,
    /// A feature that the users lack and that counts as unknown, such as accept_score; or their
    /// consent, is_allow_gray; repeatable, or a list with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    absent: Vec<String>,
    /// Write the classic RFM summary of the events too: frequency, recency, T, monetary value,
    /// quintile scores (.csv or .parquet)
    #[arg(long, value_name = "FILE")]
    rfm_table: Option<PathBuf>,
    /// The period that counts as one purchase in --rfm-table
    #[arg(
        long,
        value_enum,
        value_name = "PERIOD",
        default_value_t,
        requires = "rfm_table"
    )]
    rfm_period: Period,
    /// The order of users with equal values in --rfm-table
    #[arg(
        long,
        value_enum,
        value_name = "RULE",
        default_value_t,
        requires = "rfm_table"
    )]
    rfm_ties: Ties,
    /// Last night's layer table: report the users that moved, and reuse unchanged row groups
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Write users who are new, or changed their layer or consent: the updates of a store
    #[arg(long, value_name = "FILE", requires = "previous")]
    changes: Option<PathBuf>,
    /// Write only those users to --out
    #[arg(long, requires = "previous", conflicts_with = "changes")]
    changed_only: bool,
    /// Let a guard of the scenario be beyond its limit this night; repeatable
    #[arg(long = "accept", value_name = "GUARD", value_parser = parse_guard, requires = "previous")]
    accepted: Vec<GuardName>,
    /// Search for duplicate users, and record the digests of the input files; auto: up to
    /// 1,048,576 users
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    audit: Audit,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    prepared: PreparedArgs,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LayerArgs, terminal: &Terminal) -> Result<u8> {
    let scenario = scenario(args)?;
    let mut users = users(args, &scenario)?;
    let as_of = args
        .as_of
        .map(|as_of| resolved(as_of, &scenario.time_zone))
        .transpose()?;
    let changes = UserChanges {
        users: args.users.clone(),
        source: &args.source,
        allowed: args.allowed.clone(),
        absent: args.absent.clone(),
        as_of,
    };
    changes.add_to(&scenario, &mut users)?;
    if args.rfm_table.is_some() && !matches!(users, UsersFrom::Events(_)) {
        return Err(Error::usage(
            "expected --events for --rfm-table, found users without events",
        ));
    }
    let out = files::followed(&args.out)?;
    let changes_path = args.changes.as_deref().map(files::followed).transpose()?;
    let rfm_table = args.rfm_table.as_deref().map(files::followed).transpose()?;
    let apart = match &args.scenario {
        Some(path) => inputs::of_scenario(path, &scenario),
        None => Apart::new(),
    };
    let written = [Some(&out), changes_path.as_ref(), rfm_table.as_ref()];
    apart
        .reads(args.users.iter().chain(&args.events).chain(&args.previous))
        .writes(written.into_iter().flatten())
        .check()?;
    for path in [Some(&out), changes_path.as_ref()].into_iter().flatten() {
        check_is_parquet(path)?;
    }
    if let Some(path) = &rfm_table {
        check_table("--rfm-table", path)?;
    }
    let options = LayerOptions {
        as_of: as_of.unwrap_or(scenario.plan.start),
        audit: args.audit,
        previous: args.previous.as_deref().map(fetch::local_file).transpose()?,
        changes: changes_path,
        changed_only: args.changed_only,
        rfm_table: rfm_table.map(|path| RfmTable {
            path,
            period: args.rfm_period,
            ties: args.rfm_ties,
        }),
        guards: scenario.guards.written(),
        accepted: args.accepted.clone(),
    };
    let runner = match runner(args, &scenario, &changes, &users, &options, terminal)? {
        On::Threads => None,
        On::Tasks(runner) => Some(runner),
        On::Others(folder) => {
            terminal.print(&format!(
                "{}\n  {}\n",
                terminal.text(&say::written()),
                path_text(folder)
            ))?;
            return Ok(DONE);
        }
    };
    let found = study::layer_at(
        runner.as_deref(),
        &scenario,
        &users,
        &options,
        &out,
        terminal.progress(),
    )?;
    found.warnings.iter().for_each(|warning| terminal.warn(warning));
    if args.json {
        print_json(&json::to_json(&found))?;
    } else {
        terminal.print(&summary::layers_table(&found, terminal))?;
    }
    Ok(DONE)
}

/// Refuses a layer table under the name of another format. Other names may have any extension.
fn check_is_parquet(path: &Path) -> Result<()> {
    if !Format::is_named_otherwise(path, Some(Format::Parquet)) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "expected a name for a layer table, which is a Parquet file, found {}",
        path.display()
    ))
    .hint("end it in .parquet; `sluice who --out users.csv` writes users as CSV"))
}

fn scenario(args: &LayerArgs) -> Result<Scenario> {
    if let Some(path) = &args.scenario {
        return Scenario::load(path, &Overrides::default());
    }
    Scenario::parse(
        &default_scenario(args)?,
        "default",
        Path::new(""),
        &Overrides::default(),
    )
    .map_err(Error::scenario)
}

/// The text of the scenario of a command without one.
fn default_scenario(args: &LayerArgs) -> Result<String> {
    let Some(as_of) = args.as_of else {
        return Err(Error::usage("expected --as-of or --scenario, found neither")
            .hint("recency needs an instant to be measured from, such as --as-of 2026-05-25"));
    };
    Ok(DEFAULT.replace("{as_of}", &time::format(resolved(as_of, &Zone::UTC)?)))
}

/// Where the users are layered.
enum On<'a> {
    /// On the threads of this program.
    Threads,
    /// In tasks.
    Tasks(Box<dyn LayerRunner + 'a>),
    /// By others, with the job in this folder.
    Others(&'a Path),
}

/// The runner that the command line asks for.
///
/// # Errors
/// The options of the engine are wrong, users are not those that engines read, or a prepared job is of
/// other inputs.
fn runner<'a>(
    args: &'a LayerArgs,
    scenario: &Scenario,
    changes: &UserChanges<&SourceArgs>,
    users: &UsersFrom,
    options: &LayerOptions,
    terminal: &Terminal,
) -> Result<On<'a>> {
    let Some(engine) = args.engine.options_for(&args.prepared)? else {
        return Ok(On::Threads);
    };
    if engine.scan == Reader::Engine {
        return Err(
            Error::usage("expected --scan native, found engine: tasks read the files of users")
                .hint("--scan engine is for logs: see `sluice replay --help`"),
        );
    }
    study::users_for_tasks(scenario, users)?;
    let (text, folder) = match &args.scenario {
        Some(path) => (files::read_text(path)?, path.parent()),
        None => (default_scenario(args)?, None),
    };
    let text = ScenarioText {
        text: &text,
        folder: folder.unwrap_or(Path::new("")),
        found: scenario,
        state: None,
    };
    let job = Job::layer(text, options, changes.for_job()?, engine)?;
    if let Some(folder) = args.prepared.prepare() {
        open::create_folders(folder).or_unwritable(folder)?;
        let facts = study::with_table_of_users(scenario, users, options, |ctx, users| {
            plan_layer_tasks(ctx, users, &folder.join("job.json"), terminal.progress())
        })?;
        engine::prepare_layer(&job, &facts, folder)?;
        return Ok(On::Others(folder));
    }
    Ok(On::Tasks(match args.prepared.prepared() {
        Some(folder) => Box::new(PreparedRunner::open(folder, &job)?),
        None => Box::new(EngineRunner::new(job, terminal.progress())?),
    }))
}

/// The value of --as-of in a time zone.
fn resolved(as_of: WrittenInstant, zone: &Zone) -> Result<Micros> {
    as_of
        .resolve("--as-of", zone)
        .map_err(|problem| Error::scenario(vec![problem]))
}

fn users(args: &LayerArgs, scenario: &Scenario) -> Result<UsersFrom> {
    let users = match (&args.users, &args.events, &scenario.input.users) {
        (Some(path), _, UsersFrom::Table(like)) => UsersFrom::Table(source_at(path, Some(like))),
        (Some(path), _, _) => UsersFrom::Table(source_at(path, None)),
        (_, Some(path), UsersFrom::Events(like)) => UsersFrom::Events(Events {
            source: source_at(path, Some(&like.source)),
            ..like.clone()
        }),
        (_, Some(path), _) => UsersFrom::Events(Events {
            source: source_at(path, None),
            use_window: 30 * DAY,
            value_window: 365 * DAY,
        }),
        (None, None, UsersFrom::Generator) => {
            return Err(Error::usage("expected --users, found none")
                .hint("this scenario generates its users: see `sluice generate --help`"));
        }
        (None, None, _) if args.scenario.is_none() => {
            return Err(Error::usage("expected --users or --events, found neither"));
        }
        (None, None, own) => own.clone(),
    };
    Ok(users)
}
