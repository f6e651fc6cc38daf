//! The commands: one file each. Data goes to files or stdout, everything else to stderr.

mod analyze;
mod audit;
mod backtest;
mod calc;
mod calibrate;
mod cube;
mod evals;
mod finops;
mod gate;
mod generate;
mod layer;
mod publish;
mod record;
mod replay;
mod report;
mod run;
mod schedule;
mod simulate;
mod summary;
mod tools;
mod who;

use clap::{Parser, Subcommand};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use crate::base::error::{Error, Result, exit_code};
use crate::base::time::Micros;
use crate::base::{objects, time};
use crate::scenario::Source;

/// Decides, from data, how fast a new release of an AI agent may reach which users.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 done or gate passed, 1 unexpected, 2 usage or scenario error, 3 bad input data, 4 a target refused or could not be reached, 10 gate failed, 11 gate inconclusive.\n\nExample:\n  sluice run scenarios/ecommerce.toml --out out/ecommerce"
)]
pub struct Args {
    /// Threads to use; all cores by default. The results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Layer(layer::LayerArgs),
    Who(who::WhoArgs),
    Replay(replay::ReplayArgs),
    Cube(cube::CubeArgs),
    Analyze(analyze::AnalyzeArgs),
    Calc(calc::CalcArgs),
    Calibrate(calibrate::CalibrateArgs),
    Schedule(schedule::ScheduleArgs),
    Simulate(simulate::SimulateArgs),
    Backtest(backtest::BacktestArgs),
    Gate(gate::GateArgs),
    Evals(evals::EvalsArgs),
    Record(record::RecordArgs),
    Tools(tools::ToolsArgs),
    Finops(finops::FinopsArgs),
    Audit(audit::AuditArgs),
    Publish(publish::PublishArgs),
    Report(report::ReportArgs),
    Generate(generate::GenerateArgs),
}

/// Runs the command; returns the exit code of a command that did what it was asked.
///
/// # Errors
/// Whatever the command reports.
pub fn dispatch(args: Args) -> Result<u8> {
    let result = run_command(args).map_err(objects::named_as_asked);
    objects::remove_fetched();
    result
}

fn run_command(args: Args) -> Result<u8> {
    if let Some(n) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(n))
            .build_global()
            .map_err(|error| Error::usage(format!("expected {n} threads, found: {error}")))?;
    }
    match args.command {
        Command::Run(args) => run::run(&args),
        Command::Layer(args) => layer::run(&args),
        Command::Who(args) => who::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Cube(args) => cube::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Calc(args) => calc::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Schedule(args) => schedule::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Gate(args) => gate::run(&args),
        Command::Evals(args) => evals::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Tools(args) => tools::run(&args),
        Command::Finops(args) => finops::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}

/// Prints an error to stderr as `error: where: expected, found`, with its hint.
pub fn print_error(error: &Error) {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Says something beside the result, to stderr.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints to stdout. A reader that has gone away is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::write(Path::new("stdout"), &error))
        }
        _ => Ok(()),
    }
}

fn parse_instant(text: &str) -> std::result::Result<Micros, String> {
    time::parse(text).ok_or_else(|| "expected an instant such as 2026-05-28T00:00:00Z".to_owned())
}

/// Bytes from `300MB`, `2GB`, `512MiB` or a plain number.
fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let expected = || "expected a size such as 300MB or 2GB".to_owned();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| expected())?;
    let unit = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(expected()),
    };
    let bytes = number * unit;
    if (1e3..1e15).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("expected at least 1kB".to_owned())
    }
}

fn parse_column(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, column)) if !name.is_empty() && !column.is_empty() => {
            Ok((name.to_owned(), column.to_owned()))
        }
        _ => Err("expected NAME=COLUMN, such as user_id=customer_id".to_owned()),
    }
}

/// A source on the command line: the scenario's column names still apply.
fn source_at(path: &Path, like: Option<&Source>) -> Source {
    let (columns, constants) = like.map_or_else(
        || (BTreeMap::new(), BTreeMap::new()),
        |s| (s.columns.clone(), s.constants.clone()),
    );
    Source {
        path: path.to_owned(),
        columns,
        constants,
    }
}

/// The exit code of a command that did what it was asked.
const DONE: u8 = exit_code::DONE;
