//! The answer of a forecast: the recommended schedule with its odds and its harm, or the plans ranked.

use crate::base::number::amount;
use crate::report::model::LayerNames;
use crate::report::page::{TableCell, num, word};
use crate::report::quantities::{chance, ladder, mean};
use crate::scenario::{Budget, Scenario};
use crate::simulate::{
    BudgetVerdict, Candidate, Chance, Finalist, Forecast, LayerOptimum, Optimum, PlanForecast, PlanLine,
    Quantity, advice,
};
use crate::stats::Interval;
use crate::words::{
    Amount, Count, Days, Hours, MetricName, Percent, Points, Text, answer as words, metric_name,
};

/// The largest number of plans with a card.
const MAX_PLANS: usize = 6;

/// The answer of a forecast.
pub(super) struct ForecastAnswer {
    /// What to do, in one or two sentences.
    pub(super) headline: Text,
    pub(super) cards: Vec<ForecastCard>,
    /// The limits, and what was not asked.
    pub(super) notes: Vec<Text>,
}

/// A recommended schedule of a layer, or a plan.
pub(super) struct ForecastCard {
    /// The layer or the plan.
    pub(super) name: String,
    /// Whether a plan keeps the limits: `keeps`, `breaks` or `unclear`. `None` for a schedule.
    pub(super) badge: Option<&'static str>,
    /// The ladder with the dwell. `None` for a plan.
    pub(super) schedule: Option<Text>,
    pub(super) lines: Vec<Text>,
}

impl ForecastAnswer {
    pub(super) fn new(forecast: &Forecast, scenario: &Scenario, names: &LayerNames) -> Self {
        match (&forecast.optimum, budget(scenario)) {
            (Some(optimum), _) => of_optimum(optimum, names),
            (None, Some(budget)) => of_plans(forecast, budget),
            (None, None) => Self {
                headline: Text::default(),
                cards: Vec::new(),
                notes: vec![words::not_optimized()],
            },
        }
    }
}

fn budget(scenario: &Scenario) -> Option<&Budget> {
    scenario.simulation.as_ref().map(|simulation| &simulation.budget)
}

/// A share of runs with its error. Without an error, the end of its interval says what the runs show.
fn odds(chance: &Chance) -> Text {
    let Interval { ci_lower, ci_upper } = chance.ci;
    if chance.p <= 0.0 {
        words::chance_none(Percent(ci_upper))
    } else if chance.p >= 1.0 {
        words::chance_all(Percent(ci_lower))
    } else {
        words::chance_error(Percent(chance.p), Points(chance.mc_error))
    }
}

fn of_optimum(optimum: &Optimum, names: &LayerNames) -> ForecastAnswer {
    let cards: Vec<(bool, ForecastCard)> = optimum
        .layers
        .iter()
        .map(|layer| layer_card(optimum, layer, names))
        .collect();
    let n_found = cards.iter().filter(|(found, _)| *found).count();
    let headline = if n_found == 0 {
        words::no_schedule()
    } else if n_found == cards.len() {
        words::schedule_found()
    } else {
        words::schedules_for_some(Count(n_found as u64), Count(cards.len() as u64))
    };
    ForecastAnswer {
        headline,
        cards: cards.into_iter().map(|(_, card)| card).collect(),
        notes: vec![words::limits_are(
            Percent(optimum.max_false_rollback),
            Percent(optimum.max_missed),
        )],
    }
}

/// The recommended schedule of a layer, and whether there is one. The scenario's own policy counts if
/// schedules were simulated under it.
fn layer_card(optimum: &Optimum, layer: &LayerOptimum, names: &LayerNames) -> (bool, ForecastCard) {
    let own = optimum.under_policy.as_ref().map(|of| {
        let mut layers = of.layers.iter();
        layers.find(|own| own.layer == layer.layer)
    });
    let (found, schedule, lines) = match own {
        Some(own) => {
            let chosen = own.and_then(|own| own.chosen.as_ref());
            let nearest = own.and_then(|own| own.nearest.as_ref());
            let why = own.map(|own| both(&own.why, &own.why_zh));
            simulated(optimum, chosen, nearest, why)
        }
        None => match &layer.chosen {
            Some(chosen) => exact(optimum, layer, chosen),
            None => simulated(
                optimum,
                None,
                layer.nearest.as_ref(),
                Some(both(&layer.why, &layer.why_zh)),
            ),
        },
    };
    let card = ForecastCard {
        name: names.layer(&layer.layer).to_owned(),
        badge: None,
        schedule,
        lines,
    };
    (found, card)
}

/// A text of the document in both languages.
fn both(en: &str, zh: &str) -> Text {
    Text {
        en: en.to_owned(),
        zh: zh.to_owned(),
    }
}

type Recommendation = (bool, Option<Text>, Vec<Text>);

fn schedule_of(shares: &[f64], dwell_hours: f64) -> Text {
    let steps = ladder(shares).replace(' ', " → ");
    Text::sentences(&[
        Text::from(format!("{steps},")),
        words::dwell_at_each(Hours(dwell_hours)),
    ])
}

fn simulated(
    optimum: &Optimum,
    chosen: Option<&Finalist>,
    nearest: Option<&Finalist>,
    why: Option<Text>,
) -> Recommendation {
    let Some(run) = chosen else {
        let mut lines = vec![words::no_schedule()];
        lines.extend(why);
        lines.extend(nearest.map(|run| words::nearest(schedule_of(&run.ladder, run.dwell_hours))));
        return (false, None, lines);
    };
    let mut lines = Vec::new();
    lines.extend(run.hours_to_full.mean.map(full_after));
    lines.push(words::odds(odds(&run.p_false_rollback), odds(&run.p_missed)));
    lines.extend(run.mean_harm.map(|harm| harm_of(optimum, harm)));
    (true, Some(schedule_of(&run.ladder, run.dwell_hours)), lines)
}

/// The schedule that was computed exactly, with the odds of its simulation if it was run.
fn exact(optimum: &Optimum, layer: &LayerOptimum, chosen: &Candidate) -> Recommendation {
    let is_it = |run: &&Finalist| run.ladder == chosen.ladder && run.dwell_hours == chosen.dwell_hours;
    let (wrong, missed) = (Percent(chosen.p_false_rollback), Percent(chosen.p_missed));
    let odds = match layer.finalists.iter().find(is_it) {
        Some(run) => words::odds(odds(&run.p_false_rollback), odds(&run.p_missed)),
        None => words::odds_exact(wrong, missed),
    };
    let lines = vec![
        full_after(chosen.hours_if_good),
        odds,
        harm_of(optimum, chosen.expected_harm),
    ];
    (true, Some(schedule_of(&chosen.ladder, chosen.dwell_hours)), lines)
}

/// The time to the full ratio: in hours up to two days, then in days.
fn full_after(hours: f64) -> Text {
    if hours < 48.0 {
        words::full_after(Hours(hours))
    } else {
        words::full_after(Days(hours / 24.0))
    }
}

fn harm_of(optimum: &Optimum, harm: f64) -> Text {
    words::harm_expected(Amount(harm), MetricName(&optimum.metric))
}

fn of_plans(forecast: &Forecast, budget: &Budget) -> ForecastAnswer {
    let lines = PlanLine::all(forecast, budget);
    let headline = advice(&lines, budget, &forecast.findings);
    let ranked = ranked(lines);
    let cards = ranked
        .iter()
        .take(MAX_PLANS)
        .map(|line| plan_card(line, budget))
        .collect();
    ForecastAnswer {
        headline,
        cards,
        notes: vec![
            words::limits_are(Percent(budget.max_false_rollback), Percent(budget.max_missed)),
            words::not_optimized(),
        ],
    }
}

/// The plans, those that keep the limits first, then the faster ones.
fn ranked(mut lines: Vec<PlanLine<'_>>) -> Vec<PlanLine<'_>> {
    let rank = |line: &PlanLine<'_>| match line.verdict {
        BudgetVerdict::Keeps => 0,
        BudgetVerdict::Unclear => 1,
        BudgetVerdict::Breaks => 2,
    };
    let hours = |line: &PlanLine<'_>| line.hours_to_full.unwrap_or(f64::INFINITY);
    lines.sort_by(|a, b| rank(a).cmp(&rank(b)).then(hours(a).total_cmp(&hours(b))));
    lines
}

fn plan_card(line: &PlanLine<'_>, budget: &Budget) -> ForecastCard {
    let mut lines = Vec::new();
    lines.extend(line.hours_to_full.map(full_after));
    match (&line.p_false_rollback, &line.p_missed) {
        (Some(wrong), Some(missed)) => lines.push(words::odds(odds(wrong), odds(missed))),
        (Some(wrong), None) => lines.push(words::odds_good(odds(wrong))),
        (None, Some(missed)) => lines.push(words::odds_bad(odds(missed))),
        (None, None) => {}
    }
    lines.push(worst_harm(line.worst, budget));
    ForecastCard {
        name: line.plan.to_owned(),
        badge: Some(line.verdict.name()),
        schedule: None,
        lines,
    }
}

/// The harm of a plan in a world with its unit, as the ranking of plans counts it: the cost, else the
/// harm on the budget's metric, else on the first guardrail's.
fn harm_in<'a>(world: &'a PlanForecast, budget: &Budget) -> Option<(Text, &'a Quantity)> {
    if let Some(cost) = &world.cost {
        return Some((words::cost(), cost));
    }
    let named = budget
        .metric
        .as_ref()
        .and_then(|metric| world.harm.get_key_value(metric));
    let (metric, harm) = named.or_else(|| world.harm.first_key_value())?;
    Some((metric_name(metric), harm))
}

/// The harm in the worst world of a plan.
fn worst_harm(world: &PlanForecast, budget: &Budget) -> Text {
    let harm = harm_in(world, budget).and_then(|(unit, harm)| Some((unit, harm.mean?, harm.p95?)));
    match harm {
        Some((unit, mean, p95)) => words::harm_worst(&world.world, unit, Amount(mean), Amount(p95)),
        None => words::harm_unknown(),
    }
}

/// The rows of the table of plans, the best first. Nothing without a simulation in the scenario.
pub(super) fn plan_rows(forecast: &Forecast, scenario: &Scenario) -> Vec<Vec<TableCell>> {
    let Some(budget) = budget(scenario) else {
        return Vec::new();
    };
    let share = |share: &Option<Chance>| share.as_ref().map_or_else(|| "-".into(), chance);
    let row = |line: PlanLine<'_>| {
        let harm = harm_in(line.worst, budget);
        let days = line.hours_to_full.map(|hours| amount(hours / 24.0));
        vec![
            word(line.plan),
            TableCell::Badge(line.verdict.name().into()),
            num(share(&line.p_false_rollback)),
            num(share(&line.p_missed)),
            num(days.unwrap_or_else(|| "-".into())),
            num(harm.map_or_else(|| "-".into(), |(_, harm)| mean(harm, 1.0))),
        ]
    };
    ranked(PlanLine::all(forecast, budget))
        .into_iter()
        .map(row)
        .collect()
}
