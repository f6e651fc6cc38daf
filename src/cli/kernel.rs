//! `sluice kernel`: one task of an engine, from an Arrow stream to an Arrow stream.

use clap::{Args, Subcommand, ValueEnum};
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;

use crate::base::error::{Error, Result};
use crate::cli::log_args::{LogChanges, OutcomeArgs, TrafficArgs};
use crate::cli::terminal::DONE;
use crate::engine;
use crate::engine::Job;

/// Run one task of an engine: an Arrow stream in, an Arrow stream out
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/kernel.txt"))]
pub(super) struct KernelArgs {
    #[command(subcommand)]
    kernel: Kernel,
}

#[derive(Debug, Subcommand)]
enum Kernel {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Task {
    Read,
    Rows,
    Join,
}

pub(super) fn run(args: &KernelArgs) -> Result<u8> {
    let Kernel::Replay(args) = &args.kernel;
    engine::end_without_reader();
    let job = Job::read(&args.job)?;
    let mut scenario = job.scenario()?;
    let changes: LogChanges<TrafficArgs, OutcomeArgs> =
        serde_json::from_value(job.options.clone()).map_err(|error| {
            Error::in_file(
                &args.job,
                format!("expected the options of a replay, found {error}"),
            )
        })?;
    changes.add_to(&mut scenario)?;
    // Tables have no files that a task could open.
    let tables = if job.tables.is_empty() {
        Vec::new()
    } else {
        std::mem::take(&mut scenario.input.traffic)
    };
    let mut stdin = BufReader::with_capacity(1 << 18, std::io::stdin().lock());
    let mut stdout = BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
    let (layers, facts) = (&job.layers, job.facts()?);
    let mut run = |kind| engine::run_task(kind, &scenario, layers, facts, &mut stdin, &mut stdout);
    match args.task {
        Task::Read => run(engine::TaskKind::Read)?,
        Task::Join => run(engine::TaskKind::Join)?,
        Task::Rows => {
            let table = tables.get(args.table).zip(job.tables.get(args.table));
            let (source, table) = table.ok_or_else(|| {
                let n = tables.len();
                Error::usage(format!("expected --table below {n}, found {}", args.table))
            })?;
            let table = (args.table, source, table);
            engine::run_rows_task(&scenario, table, layers, facts, &mut stdin, &mut stdout)?;
        }
    }
    std::io::Write::flush(&mut stdout)
        .map_err(|error| Error::write(std::path::Path::new("stdout"), error))?;
    Ok(DONE)
}
