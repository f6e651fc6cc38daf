//! `sluice backtest`: the decisions of the policy over a log.

use clap::Args;
use std::path::PathBuf;

use crate::analysis::Basis;
use crate::base::error::Result;
use crate::base::time::WrittenInstant;
use crate::base::{files, json};
use crate::cli::ramp_text::verdict_name;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::{check_json, parse_written};
use crate::replay::Cube;
use crate::scenario::{Overrides, Scenario};
use crate::simulate;
use crate::simulate::Backtest;
use crate::study;
use crate::study::inputs;
use crate::words::checkup as words;
use crate::words::terminal as shared;
use crate::words::{Count, Text};

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
    let lang = terminal.lang;
    let of = |title: Text| column(title.of(lang));
    let mut text = String::new();
    for backtest in found {
        let head = if backtest.follows_log {
            words::along_the_log(&backtest.plan)
        } else {
            words::on_its_own(&backtest.plan)
        };
        let mut table = Table::new([
            of(shared::column_layer()),
            of(words::column_at()),
            of(words::column_log()).right().rank(1),
            of(shared::column_ratio()).right(),
            of(shared::column_verdict()),
            of(shared::column_next()).right(),
            of(shared::column_why()).wraps(),
            of(words::column_rests_on()).rank(3),
        ]);
        for layer in &backtest.layers {
            for decision in &layer.decisions {
                let basis = decision.basis.map_or_else(|| "-".into(), basis_text);
                table.add_row([
                    layer.layer.clone(),
                    decision.at.clone(),
                    decision.logged_ratio.to_string(),
                    decision.ratio.to_string(),
                    verdict_name(decision.verdict).of(lang).to_owned(),
                    decision.next_ratio.to_string(),
                    lang.pick(&decision.reason, &decision.reason_zh).to_owned(),
                    basis.of(lang).to_owned(),
                ]);
            }
        }
        text.push_str(&format!("{}\n\n{}\n", head.of(lang), table.render(terminal)));
        for layer in &backtest.layers {
            let name = format!("{} / {}", layer.tenant, layer.layer);
            let n = Count(layer.requests_exposed);
            let line = match &layer.refused_at {
                Some(at) => words::refused_from(name, n, at),
                None => words::requests_exposed(name, n),
            };
            text.push_str(&format!("{}\n", line.of(lang)));
        }
        if !backtest.left_out.is_empty() {
            let line = words::left_out(backtest.left_out.join(", "));
            text.push_str(&format!("{}\n", line.of(lang)));
        }
        text.push('\n');
    }
    text
}

fn basis_text(basis: Basis) -> Text {
    match basis {
        Basis::Observed => words::observed(),
        Basis::Paired => words::paired(),
        Basis::OffPolicy => words::off_policy(),
    }
}
