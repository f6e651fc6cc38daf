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
    BudgetVerdict, Chance, Finding, Forecast, LayerPolicyOptimum, Measured, Optimum, PlanForecast, PlanLine,
    Quantity, Unfinished, advice,
};
use crate::study::inputs;
use crate::words::terminal as words;
use crate::words::{Count, Days, Lang, Percent, Text};
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
        let page = report::forecast_html(&forecast, &scenario, terminal.lang)?;
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
                "\n{}\n  {}\n  {}\n",
                words::written().of(terminal.lang),
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
    let basis = if is_measured(forecast) {
        words::basis_observed()
    } else {
        words::basis_assumed()
    };
    let days = Days(forecast.horizon_hours / 24.0);
    let head = words::runs_of_plans(Count(forecast.n_runs.into()), days, basis);
    let plans = if terminal.width.is_none() {
        all_worlds(forecast, coin, terminal.lang).render(terminal) + &bound_note(forecast, terminal.lang)
    } else {
        plan_lines(forecast, scenario, terminal)
    };
    let mut text = format!("{}\n\n{plans}", fill(head.of(terminal.lang), terminal.width));
    findings(&mut text, &words::contradictions(), &forecast.findings, terminal);
    findings(&mut text, &words::plan_warnings(), &forecast.warnings, terminal);
    text.push_str(&unfinished(forecast, scenario, terminal));
    if let Some(optimum) = &forecast.optimum {
        text.push_str(&optimum_text(optimum, scenario, terminal));
    }
    text
}

/// Whether the baseline of a forecast was measured on a log.
fn is_measured(forecast: &Forecast) -> bool {
    forecast.basis != simulate::ASSUMED
}

/// Findings on plans, under a heading.
fn findings(text: &mut String, heading: &Text, findings: &[Finding], terminal: &Terminal) {
    let lang = terminal.lang;
    if !findings.is_empty() {
        text.push_str(&format!("\n{}\n", heading.of(lang)));
    }
    let n_shown = if terminal.width.is_none() {
        usize::MAX
    } else {
        MAX_FINDINGS
    };
    for finding in findings.iter().take(n_shown) {
        let line = words::of_plans(finding.plans.join(", "), finding.text());
        text.push_str(&format!("{}\n", fill(line.of(lang), terminal.width)));
    }
    if findings.len() > n_shown {
        let more = words::more_wide(Count((findings.len() - n_shown) as u64));
        text.push_str(&format!("{}\n", more.of(lang)));
    }
}

/// Where unfinished runs end, and what would let them go on. Layers that only wait for another one
/// are left out.
fn unfinished(forecast: &Forecast, scenario: &Scenario, terminal: &Terminal) -> String {
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
    let lang = terminal.lang;
    let mut text = format!("\n{}\n", words::where_unfinished().of(lang));
    for (plan, of) in ends.iter().take(n_shown) {
        let check = match &of.metric {
            Some(metric) => format!("{}:{metric}", of.check),
            None => of.check.clone(),
        };
        let layer = scenario.plan.layer_name(&of.layer);
        let share = Percent(of.p.p);
        let head = words::unfinished_at(&plan.plan, &plan.world, share, layer, of.ratio, check);
        let line = match of.advice() {
            Some(advice) => words::unfinished_why(head, advice),
            None => head,
        };
        text.push_str(&format!("{}\n", fill(line.of(lang), terminal.width)));
    }
    if ends.len() > n_shown {
        let more = words::more_wide(Count((ends.len() - n_shown) as u64));
        text.push_str(&format!("{}\n", more.of(lang)));
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
    let lang = terminal.lang;
    let of = |title: Text| column(title.of(lang));
    let harm_or_cost = if has_cost {
        words::column_cost()
    } else {
        words::column_harm()
    };
    let mut table = Table::new([
        of(words::column_plan()),
        of(words::column_worst_world()).rank(1),
        of(harm_or_cost).right(),
        of(words::column_false_rollback()).right().rank(2),
        of(words::column_missed()).right().rank(3),
        of(words::column_days()).right(),
        of(words::column_limits()),
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
            budget_verdict(line.verdict).of(lang).to_owned(),
        ]);
    }
    let what_to_do = words::what_to_do(advice(&lines, budget, &forecast.findings));
    let [first, note, page] = [what_to_do, words::plan_note(), words::page_note()]
        .map(|text| format!("{}\n", fill(text.of(lang), terminal.width)));
    // The answer comes first.
    format!("{first}\n{}\n{note}\n{page}", table.render(terminal))
}

/// Whether a plan keeps the limits of errors, as a word.
fn budget_verdict(verdict: BudgetVerdict) -> Text {
    match verdict {
        BudgetVerdict::Keeps => words::keeps(),
        BudgetVerdict::Breaks => words::breaks(),
        BudgetVerdict::Unclear => words::unclear(),
    }
}

/// Every plan in every world.
fn all_worlds(forecast: &Forecast, coin: bool, lang: Lang) -> Table {
    let of = |title: Text| column(title.of(lang));
    let mut columns = vec![
        of(words::column_plan()),
        of(words::column_world()),
        of(words::column_rollback()).right(),
        of(words::column_srm_halt()).right(),
        of(words::column_unfinished()).right(),
        of(words::column_days_to_full()).right(),
        of(words::column_days_to_rollback()).right(),
        of(words::column_users_exposed()).right(),
        of(words::column_at_rollback()).right(),
        of(words::column_harm()).right(),
    ];
    if coin {
        columns.insert(8, of(words::column_by_coin()).right());
    }
    let mut table = Table::new(columns);
    for plan in &forecast.plans {
        let world = if plan.is_harmful {
            words::harmful(&plan.world).of(lang).to_owned()
        } else {
            plan.world.clone()
        };
        let mut row = vec![
            plan.plan.clone(),
            world,
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
fn bound_note(forecast: &Forecast, lang: Lang) -> String {
    let none = Chance::from_counts(0, forecast.n_runs as usize);
    let note = words::bound_note(Percent(none.ci.ci_upper), Percent(1.0 - none.ci.ci_upper));
    format!("\n{}\n", note.of(lang))
}

fn optimum_text(optimum: &Optimum, scenario: &Scenario, terminal: &Terminal) -> String {
    let lang = terminal.lang;
    let of = |title: Text| column(title.of(lang));
    let mut table = Table::new([
        of(words::column_layer()),
        of(words::column_ladder()).wraps(),
        of(words::column_dwell()).right(),
        of(words::column_decided_by()),
        of(words::column_false_rollback()).right().rank(2),
        of(words::column_missed()).right().rank(3),
        of(words::column_unfinished()).right().wide(),
        of(words::column_days_if_good()).right(),
        of(words::column_harm()).right().rank(1),
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
                words::exactly(candidate.boundary.to_string()).of(lang).to_owned(),
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
                words::by_run(run.controller.to_string()).of(lang).to_owned(),
                p_false,
                p_missed,
                chance(&run.p_never_finishes),
                days(&run.hours_to_full),
                String::new(),
            ]);
        }
    }
    let line = |text: Text| format!("{}\n", fill(text.of(lang), terminal.width));
    let name = |layer: &str| scenario.plan.layer_name(layer);
    let whys: String = optimum
        .layers
        .iter()
        .map(|layer| {
            let why = text_of(&layer.why, &layer.why_zh);
            line(words::of_layer(name(&layer.layer), why))
        })
        .collect();
    let own: String = under_policy.map_or_else(String::new, |of| {
        let of_layer = |layer: &LayerPolicyOptimum| {
            let why = text_of(&layer.why, &layer.why_zh);
            line(words::under(name(&layer.layer), of.policy, why))
        };
        of.layers.iter().map(of_layer).collect()
    });
    let term = scenario.plan.term(&optimum.metric);
    let head = words::fastest_schedules(term, term.difference(optimum.mde));
    format!(
        "\n{}\n{}\n{whys}{own}\n{}\n{}",
        line(head),
        table.render(terminal),
        words::toml_note().of(lang),
        optimum.toml
    )
}

/// A text of a document with its Chinese.
fn text_of(en: &str, zh: &str) -> Text {
    Text {
        en: en.to_owned(),
        zh: zh.to_owned(),
    }
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
