//! The arguments of the program, and the dispatch to a command.

use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

use crate::base::advice;
use crate::base::advice::Ways;
use crate::base::error::{Error, Result, exit_code};
use crate::base::escape;
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
    import, init, kernel, layer, man, night, notify, publish, query_args, record, replay, report, run,
    schedule, schema, simulate, tools, who,
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
    Kernel(kernel::KernelArgs),
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
    if error.use_stderr() {
        let is_json = |pair: &[OsString]| pair[0] == "--log" && pair[1] == "json";
        let as_json = args.windows(2).any(is_json) || args.iter().any(|arg| arg == "--log=json");
        let escaped = escaped_usage(&args, &error);
        if as_json || escaped.is_some() {
            let text = escaped.unwrap_or_else(|| error.render().to_string());
            print_usage(as_json, &text);
            return Err(ExitCode::from(exit_code::USAGE));
        }
    }
    // A closed stdout or stderr leaves no way to report.
    let _ = error.print();
    Err(u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The text of the error of a command line whose words have controls or line ends. They are visible
/// escapes, so no word starts a line. `None` for plain words.
fn escaped_usage(args: &[OsString], error: &clap::Error) -> Option<String> {
    let words: Vec<String> = args
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    if !words.iter().any(|word| word.chars().any(is_command)) {
        return None;
    }
    let escaped = words.iter().map(|word| escape::line(word).into_owned());
    Some(match Args::try_parse_from(escaped) {
        Err(escaped) => escaped.render().to_string(),
        Ok(_) => escape::line(&error.render().to_string()).into_owned(),
    })
}

/// Runs the command, prints its error, and returns the exit code.
pub fn main(args: Args) -> ExitCode {
    #[cfg(feature = "frames")]
    if let Some(n) = args.threads {
        crate::frames::threads::limit(n);
    }
    let terminal = Terminal::new(&args.output);
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    advice::set(ways(&command(), &words));
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

/// What the command of a command line takes: its options, and whether it reads a scenario.
fn ways(program: &clap::Command, words: &[String]) -> Ways {
    let mut command = program;
    for word in words {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let names = |arg: &clap::Arg| {
        let names = arg
            .get_long()
            .into_iter()
            .chain(arg.get_all_aliases().unwrap_or_default());
        names.map(|name| format!("--{name}")).collect::<Vec<String>>()
    };
    let is_given = |arg: &clap::Arg| {
        let names = names(arg);
        let is_name = |word: &String| {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            names.iter().any(|other| other == name)
        };
        arg.is_positional() || words.iter().any(is_name)
    };
    let mut scenarios = command.get_arguments().filter(|arg| arg.get_id() == "scenario");
    Ways {
        options: command
            .get_arguments()
            .filter(|arg| !arg.is_positional())
            .flat_map(names)
            .collect(),
        has_scenario: scenarios.any(is_given),
    }
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
        Command::Kernel(args) => kernel::run(&args),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_those_of_the_command() {
        let check = |line: &str, has: &[&str], lacks: &[&str], has_scenario: bool| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let ways = ways(&command(), &words);
            let is_option = |option: &&&str| ways.options.iter().any(|other| other == **option);
            assert_eq!(
                has.iter().filter(is_option).count(),
                has.len(),
                "{line}: {ways:?}"
            );
            assert_eq!(lacks.iter().filter(is_option).count(), 0, "{line}: {ways:?}");
            assert_eq!(ways.has_scenario, has_scenario, "{line}");
        };
        check(
            "run s.toml --out o",
            &["--out"],
            &["--column", "--on-bad-row"],
            true,
        );
        check(
            "finops --traffic t",
            &["--column", "--on-bad-row"],
            &["--scenario"],
            false,
        );
        check(
            "layer --users u",
            &["--column", "--scenario"],
            &["--on-bad-row"],
            false,
        );
        check("layer --users u --scenario s", &["--column"], &[], true);
        check("layer --users u --config=s", &["--column"], &[], true);
        check("--quiet tools diff a b", &["--calls"], &["--column"], false);
        check("night s.toml --dir d", &["--dir"], &["--out"], true);
    }
}
