//! `sluice backtest`: the decisions of the policy over a log.

use clap::Args;
use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::number::count;
use crate::base::time::WrittenInstant;
use crate::base::{files, json};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::{check_json, parse_written};
use crate::replay::Cube;
use crate::scenario::{Overrides, Scenario};
use crate::simulate;
use crate::simulate::Backtest;
use crate::study;
use crate::study::inputs;

/// Decide again over the history in a cube, window by window, with the data known at that time
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/backtest.txt"))]
pub(super) struct BacktestArgs {
    /// Cube folder, from `sluice replay`
    #[arg(long, value_name = "DIR")]
    cube: PathBuf,
    /// The scenario, with the plan
    #[arg(long, alias = "plan", value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Windows between decisions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// The instant the cube was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// State of the ramp, from `sluice schedule` or `sluice night`: its log of changes counts beside
    /// the scenario's operations
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write it as JSON to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BacktestArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("backtest");
    let mut scenario = Scenario::load(
        &args.scenario,
        &Overrides {
            as_of: args.as_of,
            ..Overrides::default()
        },
    )?;
    study::carry_state(&mut scenario, args.state.as_deref())?;
    let out = args.out.as_deref().map(files::followed).transpose()?;
    out.iter().try_for_each(|path| check_json("--out", path))?;
    inputs::of_scenario(&args.scenario, &scenario)
        .reads([&args.cube])
        .reads(&args.state)
        .writes(&out)
        .check()?;
    let cube = Cube::read(&args.cube)?;
    let mut found = vec![
        simulate::backtest(
            &cube,
            &scenario,
            &scenario.plan,
            &scenario.plan.id,
            true,
            args.every,
        )?,
        simulate::backtest(
            &cube,
            &scenario,
            &scenario.plan,
            &scenario.plan.id,
            false,
            args.every,
        )?,
    ];
    for variant in scenario
        .simulation
        .iter()
        .flat_map(|simulation| &simulation.plans)
        .filter(|variant| {
            variant.plan.layers != scenario.plan.layers || variant.plan.policy != scenario.plan.policy
        })
    {
        found.push(simulate::backtest(
            &cube,
            &scenario,
            &variant.plan,
            &variant.id,
            false,
            args.every,
        )?);
    }
    if let Some(path) = &out {
        json::write_json(path, &found)?;
    }
    if args.json {
        print_json(&json::to_json(&found))?;
    } else {
        terminal.print(&text(&found, terminal))?;
    }
    Ok(DONE)
}

fn text(found: &[Backtest], terminal: &Terminal) -> String {
    let mut text = String::new();
    for backtest in found {
        let how = if backtest.follows_log {
            "along the log's ratios"
        } else {
            "on its own"
        };
        let mut table = Table::new([
            column("layer"),
            column("at"),
            column("log").right().rank(1),
            column("ratio").right(),
            column("verdict"),
            column("next").right(),
            column("why").wraps(),
            column("rests on").rank(3),
        ]);
        for layer in &backtest.layers {
            for decision in &layer.decisions {
                table.add_row([
                    layer.layer.clone(),
                    decision.at.clone(),
                    decision.logged_ratio.to_string(),
                    decision.ratio.to_string(),
                    decision.verdict.to_owned(),
                    decision.next_ratio.to_string(),
                    decision.reason.clone(),
                    decision
                        .basis
                        .map_or_else(|| "-".into(), |basis| format!("{basis:?}").to_lowercase()),
                ]);
            }
        }
        text.push_str(&format!(
            "{} {how}\n\n{}\n",
            backtest.plan,
            table.render(terminal)
        ));
        for layer in &backtest.layers {
            let refused = layer
                .refused_at
                .as_ref()
                .map_or_else(String::new, |at| format!("; refused from {at} on: no overlap"));
            text.push_str(&format!(
                "{} / {}: {} requests exposed{refused}\n",
                layer.tenant,
                layer.layer,
                count(layer.requests_exposed)
            ));
        }
        if !backtest.left_out.is_empty() {
            text.push_str(&format!(
                "left out, as the cube has no windows of it: {}\n",
                backtest.left_out.join(", ")
            ));
        }
        text.push('\n');
    }
    text
}
