//! `sluice run`: a whole study.

use clap::Args;
use std::path::{Path, PathBuf};

use crate::base::error::Result;
use crate::base::files;
use crate::base::manifest;
use crate::base::time::WrittenInstant;
use crate::cli::engine_args::EngineArgs;
use crate::cli::log_args;
use crate::cli::notified::{NotifiedArgs, notify};
use crate::cli::summary;
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::user_changes;
use crate::cli::values::parse_written;
use crate::engine::{EngineRunners, ScenarioText};
use crate::scenario::{Overrides, Scenario};
use crate::study;
use crate::study::inputs;

/// Run a study: data, layers, cube, analysis, schedule, gate, report
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/run.txt"))]
pub(super) struct RunArgs {
    /// The scenario file
    scenario: PathBuf,
    /// Folder for the output; an earlier output is replaced in one step at the end
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Look back from this instant instead of the scenario's as_of
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// Another seed for generated data
    #[arg(long)]
    seed: Option<u64>,
    /// Multiply the users and turns of generated data
    #[arg(long, value_name = "FACTOR")]
    scale: Option<f64>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Fail if a verdict differs from the scenario's [[expect]]
    #[arg(long)]
    verify: bool,
    /// End with the gate's exit code: 0 passed, 10 failed, 11 inconclusive
    #[arg(long)]
    gate: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    notified: NotifiedArgs,
}

pub(super) fn run(args: &RunArgs, terminal: &Terminal) -> Result<u8> {
    let sinks = args.notified.sinks(terminal.lang)?;
    let overrides = Overrides {
        as_of: args.as_of,
        seed: args.seed,
        scale: args.scale,
    };
    let scenario = Scenario::load(&args.scenario, &overrides)?;
    inputs::of_scenario(&args.scenario, &scenario)
        .replaces([&args.out])
        .check()?;
    let study = match args.engine.options_of_stages()? {
        None => study::run(&scenario, &args.out, terminal.lang, terminal.progress())?,
        Some(engine) => {
            let text = files::read_text(&args.scenario)?;
            let runners = EngineRunners {
                scenario: ScenarioText {
                    text: &text,
                    folder: args.scenario.parent().unwrap_or(Path::new("")),
                    found: &scenario,
                    state: None,
                },
                engine: &engine,
                users: &|users| user_changes::of_users(&scenario, users),
                log: &log_args::of_scenario,
                progress: terminal.progress(),
            };
            study::run_on(&runners, &scenario, &args.out, terminal.lang, terminal.progress())?
        }
    };
    study.warnings.iter().for_each(|warning| terminal.warn(warning));
    for warning in summary::warnings(&scenario, &study) {
        terminal.warn(warning.of(terminal.lang));
    }
    if let Some(ramp) = &study.ramp {
        summary::value_warnings(&ramp.analysis)
            .iter()
            .for_each(|warning| terminal.warn(warning.of(terminal.lang)));
    }
    if args.json {
        print_json(&summary::json(&scenario, &study, &args.out))?;
    } else {
        terminal.print(&summary::text(&scenario, &study, &args.out, terminal))?;
    }
    if let Some(ramp) = &study.ramp {
        let report = args.out.join(manifest::file::REPORT_HTML);
        notify(
            &sinks,
            &scenario,
            &ramp.schedule,
            Some(&report.display().to_string()),
            terminal,
        );
    }
    if args.verify {
        study::verify(&scenario, study.ramp.as_ref().map(|ramp| &ramp.schedule))?;
    }
    Ok(match &study.ramp {
        Some(ramp) if args.gate => ramp.gate.outcome.exit_code(),
        _ => DONE,
    })
}
