//! The arguments of the program, and the dispatch to a command.

use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

use crate::base::error::{Error, Result, exit_code};
use crate::base::escape::is_command;
use crate::base::limits::Limit;
use crate::cli::fault::report_faults;
#[cfg(feature = "frames")]
use crate::cli::query;
#[cfg(not(feature = "frames"))]
use crate::cli::query_args as query;
use crate::cli::terminal::{OutputArgs, Terminal, print_usage};
use crate::cli::values::parse_limit;
use crate::cli::{
    analyze, audit, backtest, calc, calibrate, check, completions, cube, evals, finops, gate, generate,
    import, init, layer, man, night, notify, publish, query_args, record, replay, report, run, schedule,
    schema, simulate, tools, who,
};
use crate::input::fetch;

/// Decides, from data, how fast a new release of an AI agent may reach which users.
#[derive(Debug, Parser)]
#[command(version = VERSION, about, after_help = include_str!("help/sluice.txt"))]
pub struct Args {
    /// Threads to use; all cores by default. The results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Change a limit of input, such as line=64MiB; may be given several times
    #[arg(long = "limit", global = true, value_name = "NAME=SIZE", value_parser = parse_limit)]
    limits: Vec<(Limit, u64)>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::InitArgs),
    Import(import::ImportArgs),
    Check(check::CheckArgs),
    Run(run::RunArgs),
    Night(night::NightArgs),
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
    Query(query_args::QueryArgs),
    Publish(publish::PublishArgs),
    Notify(notify::NotifyArgs),
    Report(report::ReportArgs),
    Generate(generate::GenerateArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    Schema(schema::SchemaArgs),
}

/// The version, the git revision that the program was built from, and its features.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("SLUICE_REVISION"),
    ", features: ",
    env!("SLUICE_FEATURES"),
    ")"
);

/// The definition of the command line: its subcommands, options and help.
pub fn command() -> clap::Command {
    Args::command()
}

/// Parses a command line. Help and versions are printed; errors too, as JSON if the command line
/// asks for `--log json`. `Err` is the exit code of a program that ends with it.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> std::result::Result<Args, ExitCode> {
    let args: Vec<OsString> = args.into_iter().collect();
    let error = match Args::try_parse_from(&args) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let text = error.render().to_string();
    if error.use_stderr() {
        let is_json = |pair: &[OsString]| pair[0] == "--log" && pair[1] == "json";
        let as_json = args.windows(2).any(is_json) || args.iter().any(|arg| arg == "--log=json");
        let is_plain = text.chars().all(|c| c == '\n' || c == '\t' || !is_command(c));
        if as_json || !is_plain {
            print_usage(as_json, &text);
            return Err(ExitCode::from(exit_code::USAGE));
        }
    }
    // A closed stdout or stderr leaves no way to report.
    let _ = error.print();
    Err(u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs the command, prints its error, and returns the exit code.
pub fn main(args: Args) -> ExitCode {
    #[cfg(feature = "frames")]
    if let Some(n) = args.threads {
        crate::frames::threads::limit(n);
    }
    let terminal = Terminal::new(&args.output);
    report_faults(&command_name(), terminal.log());
    let result = run_command(args, &terminal).map_err(fetch::named_as_asked);
    fetch::remove_fetched();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal.print_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// The name of the command on the command line; empty if there is none.
fn command_name() -> String {
    let command = command();
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    std::env::args()
        .skip(1)
        .find(|arg| names.contains(&arg.as_str()))
        .unwrap_or_default()
}

fn run_command(args: Args, terminal: &Terminal) -> Result<u8> {
    for (limit, value) in &args.limits {
        limit.set(*value);
    }
    if let Some(n) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(n))
            .build_global()
            .map_err(|error| Error::usage(format!("expected {n} threads, found: {error}")))?;
    }
    match args.command {
        Command::Init(args) => init::run(&args, terminal),
        Command::Import(args) => import::run(&args, terminal),
        Command::Check(args) => check::run(&args, terminal),
        Command::Run(args) => run::run(&args, terminal),
        Command::Night(args) => night::run(&args, terminal),
        Command::Layer(args) => layer::run(&args, terminal),
        Command::Who(args) => who::run(&args, terminal),
        Command::Replay(args) => replay::run(&args, terminal),
        Command::Cube(args) => cube::run(&args, terminal),
        Command::Analyze(args) => analyze::run(&args, terminal),
        Command::Calc(args) => calc::run(&args, terminal),
        Command::Calibrate(args) => calibrate::run(&args, terminal),
        Command::Schedule(args) => schedule::run(&args, terminal),
        Command::Simulate(args) => simulate::run(&args, terminal),
        Command::Backtest(args) => backtest::run(&args, terminal),
        Command::Gate(args) => gate::run(&args, terminal),
        Command::Evals(args) => evals::run(&args, terminal),
        Command::Record(args) => record::run(&args, terminal),
        Command::Tools(args) => tools::run(&args, terminal),
        Command::Finops(args) => finops::run(&args, terminal),
        Command::Audit(args) => audit::run(&args, terminal),
        Command::Query(args) => query::run(&args, terminal),
        Command::Publish(args) => publish::run(&args, terminal),
        Command::Notify(args) => notify::run(&args, terminal),
        Command::Report(args) => report::run(&args, terminal),
        Command::Generate(args) => generate::run(&args, terminal),
        Command::Completions(args) => completions::run(&args, command()),
        Command::Man(args) => man::run(&args, command(), terminal),
        Command::Schema(args) => schema::run(&args, terminal),
    }
}
