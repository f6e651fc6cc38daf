//! `sluice simulate`: ramps before they happen.

use clap::Args;
use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::files::StagedFolder;
use crate::base::manifest::file::REPORT_HTML;
use crate::base::number::number;
use crate::base::progress::Progress;
use crate::base::{digest, files, json};
use crate::cli::summary::new_table;
use crate::cli::terminal::{DONE, print};
use crate::replay::Cube;
use crate::report::{Lang, percent};
use crate::scenario::{Overrides, Scenario};
use crate::simulate::{Chance, Forecast, Measured, Optimum, PlanForecast, Quantity};
use crate::{report, simulate};

/// The forecast's document: what makes a folder one of a forecast.
const FORECAST: &str = "forecast.json";

/// Simulate plans in worlds that they may meet, with the policy that decides every night
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sluice simulate scenarios/ramp.toml --out out/ramp
  sluice simulate scenarios/ramp.toml --out out/ramp --optimize
  sluice simulate scenarios/ramp.toml --out out/ramp --cube out/ecommerce/cube --cube-plan scenarios/ecommerce.toml
  sluice simulate scenarios/ramp.toml --trace-run 7 --trace-plan cautious --trace-world fault")]
pub(super) struct SimulateArgs {
    /// Scenario with [simulate]
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Folder for forecast.json and report.html
    #[arg(long, value_name = "DIR", required_unless_present = "trace_run")]
    out: Option<PathBuf>,
    /// Take what the scenario does not declare from the baseline of this cube
    #[arg(long, value_name = "DIR")]
    cube: Option<PathBuf>,
    /// The scenario that the cube was made under, if it is another one
    #[arg(long, value_name = "SCENARIO", requires = "cube")]
    cube_plan: Option<PathBuf>,
    /// Runs of each plan in each world, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Another seed
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Search ladders, dwells and boundaries for the fastest schedule within `simulate.budget`
    #[arg(long)]
    optimize: bool,
    /// Show as well whom a coin per request would have exposed, instead of a fixed bucket
    #[arg(long)]
    coin_per_request: bool,
    /// Print every decision of one run as JSON lines instead
    #[arg(long, value_name = "RUN", requires_all = ["trace_plan", "trace_world"])]
    trace_run: Option<u32>,
    /// The plan of the traced run
    #[arg(long, value_name = "PLAN", requires = "trace_run")]
    trace_plan: Option<String>,
    /// The world of the traced run
    #[arg(long, value_name = "WORLD", requires = "trace_run")]
    trace_world: Option<String>,
    /// Language of report.html: en or zh
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    lang: Lang,
    /// Print the forecast as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SimulateArgs) -> Result<u8> {
    let mut scenario = Scenario::load(
        &args.scenario,
        &Overrides {
            seed: args.seed,
            ..Overrides::default()
        },
    )?;
    if let (Some(runs), Some(simulation)) = (args.runs, &mut scenario.simulation) {
        simulation.n_runs = runs;
    }
    let measured = measure(args, &scenario)?;
    if let (Some(run), Some(plan), Some(world)) = (args.trace_run, &args.trace_plan, &args.trace_world) {
        let lines = simulate::trace(&scenario, measured.as_ref(), plan, world, run)?;
        let lines: Vec<String> = lines
            .iter()
            .map(|line| serde_json::to_string(line).unwrap_or_default())
            .collect();
        print(&format!("{}\n", lines.join("\n")))?;
        return Ok(DONE);
    }
    // Refused before the work, not after it.
    let staged = args
        .out
        .as_ref()
        .map(|out| StagedFolder::begin(out, FORECAST))
        .transpose()?;
    let mut forecast = simulate::simulate(&scenario, measured.as_ref(), &Progress::on_terminal())?;
    if args.optimize {
        forecast.optimum = Some(simulate::optimize(&scenario, measured.as_ref())?);
    }
    if let Some(staged) = staged {
        let page = report::forecast_html(&forecast, &scenario.name, &scenario.why, args.lang)?;
        files::write_bytes(&staged.path().join(REPORT_HTML), page.as_bytes())?;
        forecast
            .files
            .insert(REPORT_HTML.to_owned(), digest::sha256_of(&[page.as_bytes()]));
        json::write_json(&staged.path().join(FORECAST), &forecast)?;
        staged.commit()?;
    }
    if args.json {
        print(&json::to_json(&forecast))?;
    } else {
        let mut text = text(&forecast, args.coin_per_request);
        if let Some(out) = &args.out {
            text.push_str(&format!(
                "written:\n  {}\n  {}\n",
                out.join(FORECAST).display(),
                out.join(REPORT_HTML).display()
            ));
        }
        print(&text)?;
    }
    Ok(DONE)
}

/// What the baseline is like in a log.
fn measure(args: &SimulateArgs, scenario: &Scenario) -> Result<Option<Measured>> {
    let Some(folder) = &args.cube else { return Ok(None) };
    let cube = Cube::read(folder)?;
    let other = args
        .cube_plan
        .as_ref()
        .map(|path| Scenario::load(path, &Overrides::default()))
        .transpose()?;
    Measured::from_cube(&cube, other.as_ref().unwrap_or(scenario)).map(Some)
}

fn text(forecast: &Forecast, coin: bool) -> String {
    let mut table = new_table();
    let mut header = vec![
        "plan",
        "world",
        "rollback",
        "SRM halt",
        "unfinished",
        "days to full",
        "days to rollback",
        "users exposed",
        "at rollback",
        "harm",
    ];
    if coin {
        header.insert(8, "by coin");
    }
    table.set_header(header);
    for plan in &forecast.plans {
        let mut row = vec![
            plan.plan.clone(),
            format!(
                "{}{}",
                plan.world,
                if plan.is_harmful { " (harmful)" } else { "" }
            ),
            chance(&plan.p_rollback),
            chance(&plan.p_srm_halt),
            chance(&plan.p_never_finishes),
            days(&plan.hours_to_full),
            days(&plan.hours_to_rollback),
            mean(&plan.users_exposed),
            mean(&plan.users_at_rollback),
            harm(plan),
        ];
        if coin {
            row.insert(8, mean(&plan.users_exposed_by_coin));
        }
        table.add_row(row);
    }
    let mut findings = String::new();
    for finding in &forecast.findings {
        findings.push_str(&format!("{}: {}\n", finding.plans.join(", "), finding.finding));
    }
    if !findings.is_empty() {
        findings.insert_str(0, "\nwhat does not add up\n");
    }
    let optimum = forecast.optimum.as_ref().map_or_else(String::new, optimum_text);
    format!(
        "{} runs of each plan in each world, {} days, {}; +- is the Monte Carlo error\n{}\n",
        forecast.n_runs,
        number(forecast.horizon_hours / 24.0),
        forecast.basis,
        table.trim_fmt()
    ) + &findings
        + &optimum
}

fn optimum_text(optimum: &Optimum) -> String {
    let mut table = new_table();
    table.set_header([
        "layer",
        "ladder",
        "dwell",
        "decided by",
        "false rollback",
        "missed",
        "unfinished",
        "days if good",
        "harm",
    ]);
    for layer in &optimum.layers {
        for candidate in layer
            .chosen
            .iter()
            .chain(layer.front.iter().filter(|_| layer.chosen.is_none()).take(1))
        {
            table.add_row([
                layer.layer.clone(),
                steps(&candidate.ladder),
                format!("{} h", number(candidate.dwell_hours)),
                format!("{}, exactly", candidate.boundary.name()),
                percent(candidate.p_false_rollback),
                percent(candidate.p_missed),
                String::new(),
                number(candidate.hours_if_good / 24.0),
                number(candidate.expected_harm),
            ]);
        }
        for run in &layer.finalists {
            let (p_false, p_missed) = (chance(&run.p_false_rollback), chance(&run.p_missed));
            table.add_row([
                layer.layer.clone(),
                steps(&run.ladder),
                format!("{} h", number(run.dwell_hours)),
                format!("{}, run", run.controller),
                p_false,
                p_missed,
                chance(&run.p_never_finishes),
                days(&run.hours_to_full),
                String::new(),
            ]);
        }
    }
    let whys: String = optimum
        .layers
        .iter()
        .map(|layer| format!("{}: {}\n", layer.layer, layer.why))
        .collect();
    format!(
        "\nfastest schedules for {} with a harm of {} that must not be missed\n{}\n{whys}\n{}",
        optimum.metric,
        number(optimum.mde),
        table.trim_fmt(),
        optimum.toml
    )
}

fn steps(ladder: &[f64]) -> String {
    ladder
        .iter()
        .map(|share| percent(*share))
        .collect::<Vec<_>>()
        .join(" ")
}

fn chance(chance: &Chance) -> String {
    if chance.mc_error > 0.0 {
        format!("{} +- {}", percent(chance.p), number(chance.mc_error * 100.0))
    } else {
        chance.bound()
    }
}

fn days(hours: &Quantity) -> String {
    match (hours.mean, hours.p95) {
        (Some(mean), Some(p95)) => format!("{} (p95 {})", number(mean / 24.0), number(p95 / 24.0)),
        _ => "-".into(),
    }
}

fn mean(quantity: &Quantity) -> String {
    quantity
        .mean
        .map_or_else(|| "-".into(), |mean| number(mean.round()))
}

fn harm(plan: &PlanForecast) -> String {
    match &plan.cost {
        Some(cost) => format!("cost {}", mean(cost)),
        None => {
            let worst = plan
                .harm
                .iter()
                .filter(|(_, harm)| harm.mean.is_some_and(|mean| mean >= 0.5));
            let worst: Vec<String> = worst
                .map(|(metric, harm)| format!("{metric} {}", mean(harm)))
                .collect();
            if worst.is_empty() {
                "-".into()
            } else {
                worst.join(", ")
            }
        }
    }
}
