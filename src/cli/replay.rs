//! `sluice replay`: a traffic log to a cube.

use clap::Args;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

use crate::analysis::{PairedEffect, WhatIf, WhatIfCube};
use crate::base::error::{Error, FileResult, Result};
use crate::base::files;
use crate::base::files::StagedFolder;
use crate::base::json;
use crate::base::memory::memory_limit;
use crate::base::number::count;
use crate::base::open;
use crate::base::time::WrittenInstant;
use crate::cli::engine_args::{EngineArgs, PreparedArgs};
use crate::cli::log_args;
use crate::cli::log_args::{OutcomeArgs, TrafficArgs};
use crate::cli::summary::{limit_warning, resolution_warnings, row_counts_text, traces_line};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::text::path_text;
use crate::cli::values::{parse_size, parse_written};
use crate::engine;
use crate::engine::{EngineLog, EngineRunner, Job, PreparedRunner, Reader, ScenarioText};
use crate::input::fetch;
use crate::ramp::{Coverage, RampState};
use crate::replay::{CUBE_FILE, Inputs, TaskRunner, implausible_means, plan_tasks};
use crate::scenario::{Overrides, Scenario};
use crate::stats::Known;
use crate::study;
use crate::study::inputs;
use crate::words::Text;
use crate::words::commands as say;

/// Reduce a traffic log to a cube
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/replay.txt"))]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Layer table, from `sluice layer`
    #[arg(long, value_name = "FILE", required_unless_present = "what_if")]
    layers: Option<PathBuf>,
    /// The scenario, with the plan
    #[arg(
        long,
        alias = "plan",
        value_name = "SCENARIO",
        required_unless_present = "what_if"
    )]
    scenario: Option<PathBuf>,
    /// Folder for the cube
    #[arg(long, value_name = "DIR", required_unless_present = "what_if")]
    out: Option<PathBuf>,
    /// Look back from this instant instead of the scenario's as_of
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// State of the ramp, from `sluice schedule` or `sluice night`: its log of changes counts beside
    /// the scenario's operations
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    outcomes: OutcomeArgs,
    /// Continue an earlier cube: files that it holds are not scanned again
    #[arg(long, value_name = "CUBE")]
    since: Option<PathBuf>,
    /// Memory for the job, such as 300MB; users that need more than half of it are partitioned
    /// on disk. Default: half of the machine's memory
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<u64>,
    /// Count distinct sessions too; each takes eight bytes in the cube
    #[arg(long)]
    sessions: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    prepared: PreparedArgs,
    /// Compute the effect of these scenarios' operations on the same traffic, from a cube with
    /// shadow outcomes
    #[arg(long, value_name = "SCENARIO", num_args = 1.., requires = "cube", conflicts_with_all = ["traffic", "layers", "scenario", "out", "shadow", "outcomes", "since", "sessions", "as_of", "state"])]
    what_if: Vec<PathBuf>,
    /// The cube for --what-if
    #[arg(long, value_name = "CUBE", requires = "what_if")]
    cube: Option<PathBuf>,
    /// Print the row counts, or the result of --what-if, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs, terminal: &Terminal) -> Result<u8> {
    if let Some(cube) = &args.cube {
        return what_if(&args.what_if, cube, args.json, terminal);
    }
    let (Some(layers), Some(plan), Some(out)) = (&args.layers, &args.scenario, &args.out) else {
        return Err(Error::usage(
            "expected --layers, --scenario and --out, found only some of them",
        ));
    };
    let layers = &fetch::local_file(layers)?;
    let mut scenario = Scenario::load(
        plan,
        &Overrides {
            as_of: args.as_of,
            ..Overrides::default()
        },
    )?;
    let state = study::carry_state(&mut scenario, args.state.as_deref())?;
    args.traffic.add_to(&mut scenario)?;
    args.outcomes.add_to(&mut scenario);
    scenario.input.count_sessions |= args.sessions;
    inputs::of_scenario(plan, &scenario)
        .reads([layers])
        .reads(&args.since)
        .reads(&args.state)
        .replaces([out])
        .check()?;
    let mut job = job(args, &scenario, state.as_ref(), layers)?;
    let tables = job.as_mut().filter(|job| !job.tables.is_empty());
    let log = match &tables {
        Some(job) => Some(EngineLog::describe(job, terminal.progress())?),
        None => None,
    };
    if let Some(log) = &log {
        scenario.input.traffic = log.sources(&scenario.input.traffic);
    }
    let mut inputs = Inputs {
        since: args.since.as_deref(),
        memory_limit: args.memory_limit.unwrap_or_else(memory_limit),
        ..study::replay_inputs(&scenario, None, layers, terminal.progress())?
    };
    if let Some(job) = tables {
        inputs.engine_log = Some(engine::add_columns(job, &inputs.traffic)?);
    }
    if let (Some(job), Some(folder)) = (&job, args.prepared.prepare()) {
        return prepare(job, &scenario, &inputs, folder, terminal);
    }
    let staged = StagedFolder::begin(out, CUBE_FILE)?;
    let in_tasks = |runner: &dyn TaskRunner| {
        study::replay_in_tasks(runner, &scenario, &inputs, staged.path(), terminal.progress())
    };
    let cube = match (job, args.prepared.prepared()) {
        (Some(job), Some(folder)) => in_tasks(&PreparedRunner::open(folder, &job)?)?,
        (Some(job), None) => in_tasks(&EngineRunner::new(job, terminal.progress())?)?,
        (None, _) => study::replay(&scenario, &inputs, staged.path(), terminal.progress())?,
    };
    staged.commit()?;
    let warnings = inputs.warnings().into_iter().chain(implausible_means(&cube));
    warnings.for_each(|warning| terminal.warn(&warning));
    let coverage = Coverage::from_cube(&cube, scenario.plan.policy.min_coverage);
    if coverage.is_doubtful() {
        terminal.warn(coverage.describe_with_examples().of(terminal.lang));
    }
    let rows = &cube.counts;
    resolution_warnings(rows).for_each(|warning| terminal.warn(warning.of(terminal.lang)));
    for limits in cube.limits.iter().filter(|limits| !limits.is_final) {
        let warning = limit_warning(limits.reading.as_str().into(), limits.n_values);
        terminal.warn(warning.of(terminal.lang));
    }
    if args.json {
        print_json(&json::to_json(rows))?;
    } else {
        for source in study::traces_of(&scenario.input, terminal.progress())? {
            terminal.print(&terminal.fill(traces_line(&source).of(terminal.lang)))?;
        }
        terminal.print(&format!(
            "{}{}\n  {}\n",
            row_counts_text(&cube),
            terminal.text(&say::written()),
            path_text(out)
        ))?;
    }
    Ok(DONE)
}

/// The job for the engine that is asked for. `None` for this program.
///
/// # Errors
/// The options of the engine are wrong, or the log is not one that engines read.
fn job(
    args: &ReplayArgs,
    scenario: &Scenario,
    state: Option<&RampState>,
    layers: &Path,
) -> Result<Option<Job>> {
    let (Some(options), Some(plan)) = (args.engine.options_for(&args.prepared)?, &args.scenario) else {
        return Ok(None);
    };
    if options.scan == Reader::Engine && args.prepared.is_given() {
        return Err(Error::usage(
            "expected --scan native beside --prepare and --prepared, found engine: sluice asks the engine \
             for the columns of the log before it plans the tasks",
        ));
    }
    let changes = log_args::for_job(&args.traffic, &args.outcomes, args.sessions)?;
    let text = files::read_text(plan)?;
    let text = ScenarioText {
        text: &text,
        folder: plan.parent().unwrap_or(Path::new("")),
        found: scenario,
        state,
    };
    Job::replay(text, layers, changes, options).map(Some)
}

/// Writes the job for an engine to a folder.
fn prepare(
    job: &Job,
    scenario: &Scenario,
    inputs: &Inputs<'_>,
    folder: &Path,
    terminal: &Terminal,
) -> Result<u8> {
    let ctx = study::replay_context(scenario);
    let (facts, units) = plan_tasks(job.engine.partitions, &ctx, inputs, terminal.progress())?;
    open::create_folders(folder).or_unwritable(folder)?;
    engine::prepare_replay(job, &facts, &units, folder)?;
    terminal.print(&format!(
        "{}\n  {}\n",
        terminal.text(&say::written()),
        path_text(folder)
    ))?;
    Ok(DONE)
}

fn what_if(scenarios: &[PathBuf], cube: &Path, json: bool, terminal: &Terminal) -> Result<u8> {
    let load = |path: &PathBuf| Scenario::load(path, &Overrides::default());
    let scenarios = scenarios
        .par_iter()
        .map(load)
        .collect::<Result<Vec<Scenario>>>()?;
    let cube = WhatIfCube::read(cube, &scenarios)?;
    let answers = WhatIfCube::new(&cube, &scenarios)?.of(&scenarios)?;
    if json {
        print_json(&json::to_json(&answers))?;
    } else {
        terminal.print(&what_if_table(&answers, terminal).render(terminal))?;
    }
    Ok(DONE)
}

fn what_if_table(answers: &[WhatIf], terminal: &Terminal) -> Table {
    let title = |text: Text| column(terminal.text(&text));
    let mut table = Table::new([
        title(say::schedule()),
        title(say::tenant()).wide(),
        title(say::layer()),
        title(say::exposed_users()).right(),
        title(say::requests()).right().rank(2),
        title(say::paired()).right().wide(),
        title(say::qos_baseline()).right().rank(4),
        title(say::qos_candidate()).right().rank(3),
        title(say::effect()).rank(1),
        title(say::worst_harm()).wide(),
    ]);
    for answer in answers {
        for layer in answer.layers.iter().filter(|layer| layer.exposed_requests > 0) {
            let users = if layer.users_are_bound {
                format!("<= {}", count(layer.exposed_users))
            } else {
                count(layer.exposed_users)
            };
            let quality =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            let effect = match &layer.qos.effect {
                Known::Value(effect) => {
                    let [size, low, high] = [effect.effect_size, effect.ci.ci_lower, effect.ci.ci_upper]
                        .map(|value| format!("{value:+.4}"));
                    terminal.text(&say::to(size, low, high))
                }
                Known::Unknown { reason } => reason.to_string(),
            };
            // The metric whose harm stands out most from its error.
            let certainty = |effect: &PairedEffect| {
                if effect.std_error > 0.0 {
                    effect.effect_size / effect.std_error
                } else {
                    0.0
                }
            };
            let harms = layer
                .metrics
                .iter()
                .filter_map(|metric| Some((metric, metric.harm.value()?)));
            let worst = harms
                .filter(|(_, harm)| harm.ci.ci_lower > 0.0)
                .max_by(|a, b| certainty(a.1).total_cmp(&certainty(b.1)));
            let worst = worst.map_or_else(
                || terminal.text(&say::none_shown()),
                |(metric, harm)| {
                    let [size, low, high] = [harm.effect_size, harm.ci.ci_lower, harm.ci.ci_upper]
                        .map(|value| format!("{value:+.1}"));
                    format!("{}: {}", metric.metric, terminal.text(&say::to(size, low, high)))
                },
            );
            table.add_row([
                answer.name.clone(),
                layer.tenant.clone(),
                layer.layer.clone(),
                users,
                count(layer.exposed_requests),
                count(layer.paired_requests),
                quality(layer.qos.baseline),
                quality(layer.qos.candidate),
                effect,
                worst,
            ]);
        }
        let users = if answer.users_are_bound {
            format!("<= {}", count(answer.exposed_users))
        } else {
            count(answer.exposed_users)
        };
        let (requests, pairs) = (count(answer.exposed_requests), count(answer.paired_requests));
        table.add_row([
            answer.name.as_str(),
            "",
            say::all().of(terminal.lang),
            &users,
            &requests,
            &pairs,
            "",
            "",
            "",
            "",
        ]);
    }
    table
}
