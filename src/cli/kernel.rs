//! `sluice kernel`: one task of an engine, from an Arrow stream to an Arrow stream.

use clap::{Args, Subcommand, ValueEnum};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::cli::log_args::{LogChanges, OutcomeArgs, TrafficArgs};
use crate::cli::source_args::SourceArgs;
use crate::cli::terminal::DONE;
use crate::cli::user_changes::UserChanges;
use crate::engine;
use crate::engine::{Job, TaskKind, Work, planned};
use crate::study::LayerOptions;

/// Run one task of an engine: an Arrow stream in, an Arrow stream out
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/kernel.txt"))]
pub(super) struct KernelArgs {
    #[command(subcommand)]
    kernel: Kernel,
}

#[derive(Debug, Subcommand)]
enum Kernel {
    /// Layer a part of the users: one task of `sluice layer --engine`
    Layer(LayerTaskArgs),
    /// Reduce a part of a log: one task of `sluice replay --engine`
    Replay(TaskArgs),
}

#[derive(Debug, Args)]
struct TaskArgs {
    /// The job, from the driver
    #[arg(long, value_name = "FILE")]
    job: PathBuf,
    /// What the task does: read parts of the inputs, take rows of the log from the engine, or join the
    /// blocks of partitions
    #[arg(long, value_enum, value_name = "TASK")]
    task: Task,
    /// Index of the table whose rows the engine passes, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    table: usize,
}

#[derive(Debug, Args)]
struct LayerTaskArgs {
    /// The job, from the driver
    #[arg(long, value_name = "FILE")]
    job: PathBuf,
    /// What the task does: read parts of the users, or find the cuts of quotas from their counts
    #[arg(long, value_enum, value_name = "TASK")]
    task: LayerTask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayerTask {
    Read,
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Task {
    Read,
    Rows,
    Join,
}

pub(super) fn run(args: &KernelArgs) -> Result<u8> {
    engine::end_without_reader();
    let mut stdin = BufReader::with_capacity(1 << 18, std::io::stdin().lock());
    let mut stdout = BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
    match &args.kernel {
        Kernel::Layer(args) => layer(args, &mut stdin, &mut stdout)?,
        Kernel::Replay(args) => replay(args, &mut stdin, &mut stdout)?,
    }
    stdout
        .flush()
        .map_err(|error| Error::write(Path::new("stdout"), error))?;
    Ok(DONE)
}

fn layer(args: &LayerTaskArgs, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<()> {
    let job = Job::read(&args.job)?;
    let scenario = job.scenario()?;
    let Work::Layer { settings, facts } = &job.work else {
        return Err(other_work(&args.job, "a layering"));
    };
    let changes: UserChanges<SourceArgs> = options(&args.job, &job, "a layering")?;
    let options = LayerOptions {
        audit: settings.audit,
        previous: settings.previous.clone(),
        ..LayerOptions::at(settings.as_of)
    };
    let facts = planned(facts.as_ref())?;
    match args.task {
        LayerTask::Read => {
            let users = changes.users(&scenario)?;
            engine::run_layer_task(&scenario, &users, &options, facts, stdin, stdout)
        }
        LayerTask::Cut => engine::join_counts(&scenario, &options, facts, stdin, stdout),
    }
}

fn replay(args: &TaskArgs, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<()> {
    let job = Job::read(&args.job)?;
    let mut scenario = job.scenario()?;
    let Work::Replay { layers, facts } = &job.work else {
        return Err(other_work(&args.job, "a replay"));
    };
    let changes: LogChanges<TrafficArgs, OutcomeArgs> = options(&args.job, &job, "a replay")?;
    changes.add_to(&mut scenario)?;
    // Tables have no files that a task could open.
    let tables = if job.tables.is_empty() {
        Vec::new()
    } else {
        std::mem::take(&mut scenario.input.traffic)
    };
    let facts = planned(facts.as_ref())?;
    match args.task {
        Task::Read => engine::run_task(TaskKind::Read, &scenario, layers, facts, stdin, stdout),
        Task::Join => engine::run_task(TaskKind::Join, &scenario, layers, facts, stdin, stdout),
        Task::Rows => {
            let table = tables.get(args.table).zip(job.tables.get(args.table));
            let (source, table) = table.ok_or_else(|| {
                let n = tables.len();
                Error::usage(format!("expected --table below {n}, found {}", args.table))
            })?;
            let table = (args.table, source, table);
            engine::run_rows_task(&scenario, table, layers, facts, stdin, stdout)
        }
    }
}

/// The options of the command that made a job.
fn options<T: DeserializeOwned>(path: &Path, job: &Job, work: &str) -> Result<T> {
    serde_json::from_value(job.options.clone())
        .map_err(|error| Error::in_file(path, format!("expected the options of {work}, found {error}")))
}

fn other_work(path: &Path, expected: &str) -> Error {
    Error::in_file(
        path,
        format!("expected a job of {expected}, found one of another kind"),
    )
}
