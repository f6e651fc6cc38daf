//! `sluice simulate`: forecasts of plans.

use clap::Args;
use std::path::PathBuf;

use crate::base::error::{FileResult, Result};
use crate::base::files::StagedFolder;
use crate::base::manifest::file::REPORT_HTML;
use crate::base::number::{amount, number, percent};
use crate::base::{digest, files, json};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::text::{fill, path_text};
use crate::replay::Cube;
use crate::scenario::{Overrides, Scenario};
use crate::simulate::{
    Chance, Finding, Forecast, Measured, Optimum, PlanForecast, PlanLine, Quantity, Unfinished, advice,
};
use crate::study::inputs;
use crate::{report, simulate};

/// Contradictions that a narrow terminal shows.
const MAX_FINDINGS: usize = 2;

/// The forecast's document: what makes a folder one of a forecast.
const FORECAST: &str = "forecast.json";

/// Simulate plans in assumed worlds, with the policy that decides every night
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/simulate.txt"))]
pub(super) struct SimulateArgs {
    /// Scenario with [simulate]
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Folder for forecast.json and report.html
    #[arg(long, value_name = "DIR", required_unless_present = "trace_run")]
    out: Option<PathBuf>,
    /// Measure rates that the scenario does not declare on the baseline of this cube
    #[arg(long, value_name = "DIR")]
    cube: Option<PathBuf>,
    /// The scenario of the cube, if it is another one
    #[arg(long, alias = "cube-plan", value_name = "SCENARIO", requires = "cube")]
    cube_scenario: Option<PathBuf>,
    /// Runs of each plan in each world, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Another seed
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Search ladders, dwells and boundaries for the fastest schedule within simulate.budget
    #[arg(long)]
    optimize: bool,
    /// Show also the users that a random draw per request would expose (--wide)
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
    /// Print the forecast as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SimulateArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("simulate");
    let mut scenario = Scenario::load(
        &args.scenario,
        &Overrides {
            seed: args.seed,
            ..Overrides::default()
        },
    )?;
    inputs::of_scenario(&args.scenario, &scenario)
        .reads(&args.cube)
        .reads(&args.cube_scenario)
        .replaces(&args.out)
        .check()?;
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
        print_json(&format!("{}\n", lines.join("\n")))?;
        return Ok(DONE);
    }
    // Refused before the work, not after it.
    let staged = args
        .out
        .as_ref()
        .map(|out| StagedFolder::begin(out, FORECAST))
        .transpose()?;
    let mut forecast = simulate::simulate(&scenario, measured.as_ref(), terminal.progress())?;
    if args.optimize {
        let source = crate::base::open::read_to_string(&args.scenario).or_unreadable(&args.scenario)?;
        forecast.optimum = Some(simulate::optimize(&scenario, &source, measured.as_ref())?);
    }
    if let Some(staged) = staged {
        let page = report::forecast_html(&forecast, &scenario.name, &scenario.why, terminal.lang)?;
        files::write_bytes(&staged.path().join(REPORT_HTML), page.as_bytes())?;
        forecast
            .files
            .insert(REPORT_HTML.to_owned(), digest::sha256_of(&[page.as_bytes()]));
        json::write_json(&staged.path().join(FORECAST), &forecast)?;
        staged.commit()?;
    }
    if args.json {
        print_json(&json::to_json(&forecast))?;
    } else {
        let mut text = text(&forecast, &scenario, args.coin_per_request, terminal);
        if let Some(out) = &args.out {
            text.push_str(&format!(
                "\nwritten:\n  {}\n  {}\n",
                path_text(&out.join(FORECAST)),
                path_text(&out.join(REPORT_HTML))
            ));
        }
        terminal.print(&text)?;
    }
    Ok(DONE)
}

/// What the baseline is like in a log.
fn measure(args: &SimulateArgs, scenario: &Scenario) -> Result<Option<Measured>> {
    let Some(folder) = &args.cube else { return Ok(None) };
    let cube = Cube::read(folder)?;
    let other = args
        .cube_scenario
        .as_ref()
        .map(|path| Scenario::load(path, &Overrides::default()))
        .transpose()?;
    Measured::from_cube(&cube, other.as_ref().unwrap_or(scenario), &scenario.time_zone).map(Some)
}

/// The forecast for people: one line a plan, or all plans in all worlds with `--wide`.
fn text(forecast: &Forecast, scenario: &Scenario, coin: bool, terminal: &Terminal) -> String {
    let head = format!(
        "{} runs of each plan in each world, {} days, {}",
        amount(forecast.n_runs.into()),
        number(forecast.horizon_hours / 24.0),
        forecast.basis
    );
    let plans = if terminal.width.is_none() {
        all_worlds(forecast, coin).render(terminal) + &bound_note(forecast)
    } else {
        plan_lines(forecast, scenario, terminal)
    };
    let mut text = format!("{}\n\n{plans}", fill(&head, terminal.width));
    findings(
        &mut text,
        "contradictions in the plans",
        &forecast.findings,
        terminal,
    );
    findings(&mut text, "warnings on the plans", &forecast.warnings, terminal);
    text.push_str(&unfinished(forecast, terminal));
    if let Some(optimum) = &forecast.optimum {
        text.push_str(&optimum_text(optimum, terminal));
    }
    text
}

/// Findings on plans, under a heading.
fn findings(text: &mut String, heading: &str, findings: &[Finding], terminal: &Terminal) {
    if !findings.is_empty() {
        text.push_str(&format!("\n{heading}:\n"));
    }
    let n_shown = if terminal.width.is_none() {
        usize::MAX
    } else {
        MAX_FINDINGS
    };
    for finding in findings.iter().take(n_shown) {
        let line = format!("  {}: {}", finding.plans.join(", "), finding.finding);
        text.push_str(&format!("{}\n", fill(&line, terminal.width)));
    }
    if findings.len() > n_shown {
        let n_more = findings.len() - n_shown;
        text.push_str(&format!("  and {n_more} more: --wide shows them\n"));
    }
}

/// Where unfinished runs end, and what would let them go on. Layers that only wait for another one
/// are left out.
fn unfinished(forecast: &Forecast, terminal: &Terminal) -> String {
    let is_cause = |of: &&Unfinished| of.check != "after";
    let ends = forecast.plans.iter().flat_map(|plan| {
        let ends = plan.unfinished.iter().filter(is_cause);
        ends.map(move |of| (plan, of))
    });
    let mut ends: Vec<(&PlanForecast, &Unfinished)> = ends.collect();
    // The most frequent ones first; the sort keeps the order of equal ones.
    ends.sort_by_key(|(_, of)| u32::MAX - of.p.n);
    if ends.is_empty() {
        return String::new();
    }
    let n_shown = if terminal.width.is_none() {
        usize::MAX
    } else {
        MAX_FINDINGS
    };
    let mut text = "\nwhere unfinished runs end:\n".to_owned();
    for (plan, of) in ends.iter().take(n_shown) {
        let metric = of
            .metric
            .as_ref()
            .map_or_else(String::new, |metric| format!(":{metric}"));
        let advice = of
            .advice
            .as_ref()
            .map_or_else(String::new, |advice| format!(": {advice}"));
        let line = format!(
            "  {} in {}: {} of the runs at {} {}, {}{metric}{advice}",
            plan.plan,
            plan.world,
            percent(of.p.p),
            of.layer,
            of.ratio,
            of.check
        );
        text.push_str(&format!("{}\n", fill(&line, terminal.width)));
    }
    if ends.len() > n_shown {
        let n_more = ends.len() - n_shown;
        text.push_str(&format!("  and {n_more} more: --wide shows them\n"));
    }
    text
}

fn plan_lines(forecast: &Forecast, scenario: &Scenario, terminal: &Terminal) -> String {
    let Some(simulation) = &scenario.simulation else {
        return String::new();
    };
    let budget = &simulation.budget;
    let lines = PlanLine::all(forecast, budget);
    let has_cost = forecast.plans.iter().any(|plan| plan.cost.is_some());
    let mut table = Table::new([
        column("plan"),
        column("worst world").rank(1),
        column(if has_cost { "cost" } else { "harm" }).right(),
        column("false\nrollback").right().rank(2),
        column("missed").right().rank(3),
        column("days").right(),
        column("limits"),
    ]);
    let share = |chance: &Option<Chance>| chance.map_or_else(|| "-".to_owned(), |chance| percent(chance.p));
    for line in &lines {
        table.add_row([
            line.plan.to_owned(),
            line.worst.world.clone(),
            harm(line.worst),
            share(&line.p_false_rollback),
            share(&line.p_missed),
            line.hours_to_full
                .map_or_else(|| "-".to_owned(), |hours| number(hours / 24.0)),
            line.verdict.name().to_owned(),
        ]);
    }
    let notes = [
        "cost or harm: the mean in the worst world; false rollback: in worlds without harm; missed: a harmful \
         release reaches everybody; days: until a release without harm reaches everybody; limits: of errors.",
        &advice(&lines, budget, &forecast.findings),
        "--wide shows all worlds; the page shows them over time.",
    ];
    let notes = notes.map(|note| format!("\n{}\n", fill(note, terminal.width)));
    format!("{}{}", table.render(terminal), notes.concat())
}

/// Every plan in every world.
fn all_worlds(forecast: &Forecast, coin: bool) -> Table {
    let mut columns = vec![
        column("plan"),
        column("world"),
        column("rollback").right(),
        column("SRM halt").right(),
        column("unfinished").right(),
        column("days to full").right(),
        column("days to rollback").right(),
        column("users exposed").right(),
        column("at rollback").right(),
        column("harm").right(),
    ];
    if coin {
        columns.insert(8, column("by coin").right());
    }
    let mut table = Table::new(columns);
    for plan in &forecast.plans {
        let harmful = if plan.is_harmful { " (harmful)" } else { "" };
        let mut row = vec![
            plan.plan.clone(),
            format!("{}{harmful}", plan.world),
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
    table
}

/// The error of the shares, and the bounds of those that no run has, or every run.
fn bound_note(forecast: &Forecast) -> String {
    let none = Chance::from_counts(0, forecast.n_runs as usize);
    format!(
        "\n± is the Monte Carlo error. 0% of the runs means less than {}, 100% more than {} (95% interval).\n",
        percent(none.ci.ci_upper),
        percent(1.0 - none.ci.ci_upper)
    )
}

fn optimum_text(optimum: &Optimum, terminal: &Terminal) -> String {
    let mut table = Table::new([
        column("layer"),
        column("ladder").wraps(),
        column("dwell").right(),
        column("decided by"),
        column("false rollback").right().rank(2),
        column("missed").right().rank(3),
        column("unfinished").right().wide(),
        column("days if good").right(),
        column("harm").right().rank(1),
    ]);
    let under_policy = optimum.under_policy.as_ref();
    for (idx, layer) in optimum.layers.iter().enumerate() {
        for candidate in layer
            .chosen
            .iter()
            .chain(layer.front.iter().filter(|_| layer.chosen.is_none()).take(1))
        {
            table.add_row([
                layer.layer.clone(),
                steps(&candidate.ladder),
                format!("{} h", number(candidate.dwell_hours)),
                format!("{}, exactly", candidate.boundary),
                percent(candidate.p_false_rollback),
                percent(candidate.p_missed),
                String::new(),
                number(candidate.hours_if_good / 24.0),
                amount(candidate.expected_harm),
            ]);
        }
        let of_policy = under_policy.and_then(|of| of.layers.get(idx));
        let best = of_policy.and_then(|of| of.chosen.as_ref().or(of.nearest.as_ref()));
        for run in layer.finalists.iter().chain(best) {
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
        .map(|layer| {
            format!(
                "{}\n",
                fill(&format!("{}: {}", layer.layer, layer.why), terminal.width)
            )
        })
        .collect();
    let own: String = under_policy.map_or_else(String::new, |of| {
        of.layers
            .iter()
            .map(|layer| {
                let line = format!("{} under {}: {}", layer.layer, of.policy, layer.why);
                format!("{}\n", fill(&line, terminal.width))
            })
            .collect()
    });
    format!(
        "\nfastest schedules for {} with a harm of {} that must not be missed\n\n{}\n{whys}{own}\n# the scenario with these schedules; save it beside the scenario\n{}",
        optimum.metric,
        number(optimum.mde),
        table.render(terminal),
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
        format!("{} ± {}", percent(chance.p), number(chance.mc_error * 100.0))
    } else {
        percent(chance.p)
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
        .map_or_else(|| "-".into(), |mean| amount(mean.round()))
}

fn harm(plan: &PlanForecast) -> String {
    match &plan.cost {
        Some(cost) => mean(cost),
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
