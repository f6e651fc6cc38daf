//! `sluice backtest`: what the policy would have decided over a log.

use clap::Args;
use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::json;
use crate::base::time::Micros;
use crate::cli::summary::new_table;
use crate::cli::terminal::{DONE, print};
use crate::cli::values::parse_instant;
use crate::replay::Cube;
use crate::scenario::{Overrides, Scenario};
use crate::simulate;
use crate::simulate::Backtest;

/// Decide again over the history in a cube, window by window, as things were known then
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sluice backtest --cube out/ecommerce/cube --plan scenarios/ecommerce.toml
  sluice backtest --cube cube --plan plan.toml --every 6 --json

The plan is decided twice: along the log's own ratios (what would have been said), and on its own (what would have been done). Plans of
[[simulate.plan]] follow. Where both releases answered a request, or the log's ratio was at least as high, other ratios are exact; where it
was lower, the users who had the candidate stand for the others (off_policy); where nobody had it, the backtest stops there. With --every,
a change of the log's ratio is noticed at the next decision, and what came before in that stage is not used.")]
pub(super) struct BacktestArgs {
    /// Cube folder, from `sluice replay`
    #[arg(long, value_name = "DIR")]
    cube: PathBuf,
    /// Scenario with the plan
    #[arg(long, value_name = "SCENARIO")]
    plan: PathBuf,
    /// Windows between decisions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// The instant the cube was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<Micros>,
    /// Write it as JSON to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BacktestArgs) -> Result<u8> {
    let scenario = Scenario::load(
        &args.plan,
        &Overrides {
            as_of: args.as_of,
            ..Overrides::default()
        },
    )?;
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
    if let Some(path) = &args.out {
        json::write_json(path, &found)?;
    }
    print(&if args.json {
        json::to_json(&found)
    } else {
        text(&found)
    })?;
    Ok(DONE)
}

fn text(found: &[Backtest]) -> String {
    let mut text = String::new();
    for backtest in found {
        let how = if backtest.follows_log {
            "along the log's ratios"
        } else {
            "on its own"
        };
        let mut table = new_table();
        table.set_header([
            "layer", "at", "log", "ratio", "verdict", "next", "why", "rests on",
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
        text.push_str(&format!("{} {how}\n{}\n", backtest.plan, table.trim_fmt()));
        for layer in &backtest.layers {
            let refused = layer
                .refused_at
                .as_ref()
                .map_or_else(String::new, |at| format!("; refused from {at} on: no overlap"));
            text.push_str(&format!(
                "{} / {}: {} requests exposed{refused}\n",
                layer.tenant, layer.layer, layer.requests_exposed
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
