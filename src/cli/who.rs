//! `sluice who`: which users get the candidate at a step of a plan.

use arrow_array::cast::AsArray;
use arrow_array::{RecordBatch, StringArray};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::{Limit, read_limited};
use crate::base::number::count;
use crate::base::progress::Progress;
use crate::base::time::WrittenInstant;
use crate::base::{escape, files, json, parquet_io};
use crate::bucket::{PLATFORMS, Profile};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_data, print_json};
use crate::cli::values::{check_out, parse_written};
use crate::input::{DEFAULT_TENANT, fetch};
use crate::ramp::PlanStep;
use crate::scenario::{Overrides, Scenario};
use crate::study;
use crate::study::inputs;
use crate::study::who;
use crate::study::who::{WhoQuestion, WhoRow};
use crate::words::commands as say;
use crate::words::{Count, Text};

/// Count or list the users who get the candidate at a step of a plan, and those who switch
/// between two steps
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/who.txt"))]
pub(super) struct WhoArgs {
    /// The scenario, with the plan
    #[arg(long, alias = "plan", value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Layer table, from `sluice layer`
    #[arg(long, value_name = "FILE")]
    layers: PathBuf,
    /// The step in question
    #[arg(long, value_name = "STEP")]
    at: Option<String>,
    /// An earlier step: count the users who switch
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// The instant of the operations in force, if not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// State of the ramp, from `sluice schedule` or `sluice night`: its log of changes counts beside
    /// the scenario's operations
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Assign users as this system does, with the plan's salt: sluice, growthbook/2, unleash,
    /// launchdarkly, flagd/2 ...
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Count the users who get the other release under this system
    #[arg(long, value_name = "PROFILE")]
    against: Option<String>,
    /// Write the users to a file (.csv or .parquet): those with the candidate or, with --from,
    /// those who switch
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the users as CSV, not the counts
    #[arg(long, conflicts_with_all = ["out", "json"])]
    list: bool,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &WhoArgs, terminal: &Terminal) -> Result<u8> {
    args.out.iter().try_for_each(|path| check_out(path))?;
    let scenario = Scenario::load(
        &args.scenario,
        &Overrides {
            as_of: args.as_of,
            ..Overrides::default()
        },
    )?;
    let mut scenario = scenario;
    study::carry_state(&mut scenario, args.state.as_deref())?;
    if let Some(name) = &args.profile {
        scenario.plan.profile = profile(&scenario, name)?;
    }
    let against = args
        .against
        .as_ref()
        .map(|name| profile(&scenario, name))
        .transpose()?;
    let plan = &scenario.plan;
    for warning in [Some(&plan.profile), against.as_ref()]
        .into_iter()
        .flatten()
        .flat_map(Profile::warnings)
    {
        terminal.warn(&warning);
    }
    let layers = fetch::local_file(&args.layers)?;
    let step = |text: &Option<String>| text.as_ref().map(|text| step_from(text, &scenario)).transpose();
    let at = step(&args.at)?.unwrap_or_else(|| PlanStep::in_force(scenario.as_of));
    let question = WhoQuestion {
        plan,
        at,
        from: step(&args.from)?,
        against,
    };
    refuse_roundings(&question)?;
    let stage = terminal.progress().stage("who");
    let progress = terminal.progress();
    if args.list {
        print_data(&header())?;
        who::who(
            &question,
            &layers,
            progress,
            Some(&mut |batch| print_data(&csv(batch)?)),
        )?;
        return Ok(DONE);
    }
    let rows = match &args.out {
        None => who::who(&question, &layers, progress, None)?,
        Some(path) => {
            let path = files::followed(path)?;
            let steps = args.at.iter().chain(&args.from);
            inputs::of_scenario(&args.scenario, &scenario)
                .reads([&layers])
                .reads(&args.state)
                .reads(steps.filter(|step| Path::new(step).is_file()))
                .writes([&path])
                .check()?;
            write(&question, &layers, &path, progress)?
        }
    };
    stage.set_rows(rows.iter().map(|row| row.n_users).sum());
    if args.json {
        print_json(&json::to_json(&rows))?;
    } else {
        terminal.print(&table(&rows, terminal))?;
    }
    Ok(DONE)
}

/// Another system with the plan's salt and flag.
fn profile(scenario: &Scenario, name: &str) -> Result<Profile> {
    let plan = &scenario.plan;
    Profile::by_name(name, plan.profile.flag().unwrap_or(&plan.id), plan.profile.salt()).ok_or_else(|| {
        let known = PLATFORMS
            .iter()
            .map(|(_, name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ");
        Error::usage(format!(
            "expected sluice, external or one of {known}, found `{name}`"
        ))
    })
}

/// Refuses ratios that a system cannot tell apart.
fn refuse_roundings(question: &WhoQuestion<'_>) -> Result<()> {
    let plan = question.plan;
    for profile in [Some(&plan.profile), question.against.as_ref()]
        .into_iter()
        .flatten()
    {
        let steps = std::iter::once(&question.at).chain(&question.from);
        let ratios = steps.flat_map(|step| {
            (0..plan.layers.len()).map(move |layer| step.ratio(plan, DEFAULT_TENANT, layer))
        });
        let mut problems = ratios.filter_map(|ratio| ratio.rounding_problem(profile.step(), profile.name()));
        if let Some(problem) = problems.next() {
            return Err(Error::usage(problem));
        }
    }
    Ok(())
}

fn write(question: &WhoQuestion<'_>, layers: &Path, path: &Path, progress: &Progress) -> Result<Vec<WhoRow>> {
    let mut rows = Vec::new();
    files::write_file(path, |file| {
        if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
        {
            let write = |file: &mut dyn std::io::Write, text: &str| {
                file.write_all(text.as_bytes()).or_unwritable(path)
            };
            write(file, &header())?;
            rows = who::who(
                question,
                layers,
                progress,
                Some(&mut |batch| write(file, &csv(batch)?)),
            )?;
            return Ok(());
        }
        let schema = who::list_schema();
        let mut writer = parquet_io::BatchWriter::new(path, file, &schema)?;
        rows = who::who(question, layers, progress, Some(&mut |batch| writer.write(batch)))?;
        writer.finish()
    })?;
    Ok(rows)
}

fn header() -> String {
    let names: Vec<String> = who::list_schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    format!("{}\n", names.join(","))
}

fn csv(batch: &RecordBatch) -> Result<String> {
    let mut bytes = Vec::new();
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.as_string_opt::<i32>() {
            Some(texts) if texts.iter().flatten().any(|text| escape::csv_field(text) != text) => {
                let fields = texts.iter().map(|text| text.map(escape::csv_field));
                Arc::new(fields.collect::<StringArray>())
            }
            _ => Arc::clone(column),
        });
    let batch = parquet_io::batch(&batch.schema(), columns.collect());
    arrow_csv::WriterBuilder::new()
        .with_header(false)
        .build(&mut bytes)
        .write(&batch)
        .or_unwritable(Path::new("users"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn table(rows: &[WhoRow], terminal: &Terminal) -> String {
    let switches = rows.iter().any(|row| row.n_to_candidate.is_some());
    let has_tenants = rows.iter().any(|row| row.tenant != rows[0].tenant);
    let disagrees = rows.iter().any(|row| row.n_disagree.is_some());
    let title = |text: Text| column(terminal.text(&text));
    let mut columns = vec![
        if has_tenants {
            title(say::tenant())
        } else {
            title(say::tenant()).wide()
        },
        title(say::layer()),
        title(say::ratio()).right(),
        title(say::users()).right(),
        title(say::eligible()).right().rank(2),
        title(say::candidate()).right(),
    ];
    if switches {
        columns.extend([
            title(say::to_candidate()).right(),
            title(say::to_baseline()).right(),
        ]);
    }
    columns.extend(disagrees.then(|| title(say::other_release()).right()));
    let mut table = Table::new(columns);
    for row in rows {
        let mut line = vec![row.tenant.clone(), row.layer.clone(), row.ratio.to_string()];
        line.extend([row.n_users, row.n_eligible, row.n_candidate].map(count));
        line.extend(
            [row.n_to_candidate, row.n_to_baseline, row.n_disagree]
                .into_iter()
                .flatten()
                .map(count),
        );
        table.add_row(line);
    }
    let n: u64 = rows.iter().map(|row| row.n_candidate).sum();
    let said = terminal.text(&say::get_the_candidate(Count(n)));
    format!("{}\n{said}\n", table.render(terminal))
}

/// A step as the command line names it: the path of a `schedule.json` or `state.json`, or what
/// [`PlanStep::parse`] reads.
///
/// # Errors
/// A text that is no step, or a document of another plan.
fn step_from(text: &str, scenario: &Scenario) -> Result<PlanStep> {
    let plan = &scenario.plan;
    let path = Path::new(text);
    if path.is_file() {
        let bytes = read_limited(path, Limit::Document)?;
        return PlanStep::from_document(&bytes, text, plan);
    }
    PlanStep::parse(text, plan, scenario.as_of, &scenario.time_zone)
}
