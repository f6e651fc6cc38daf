//! The arguments of the program, and the dispatch to a command.

use clap::{CommandFactory, Parser, Subcommand};

use crate::base::error::{Error, Result};
use crate::cli::{
    analyze, audit, backtest, calc, calibrate, cube, evals, finops, gate, generate, layer, publish, record,
    replay, report, run, schedule, simulate, tools, who,
};
use crate::input::fetch;

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
pub(super) enum Command {
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

/// The definition of the command line: its subcommands, options and help.
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the command; returns the exit code of a command that did what it was asked.
///
/// # Errors
/// Whatever the command reports.
pub fn dispatch(args: Args) -> Result<u8> {
    let result = run_command(args).map_err(fetch::named_as_asked);
    fetch::remove_fetched();
    result
}

pub(super) fn run_command(args: Args) -> Result<u8> {
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
