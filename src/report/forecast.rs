//! The page of a forecast: the recommended schedule with its odds and its harm, then what the other
//! plans would do, then the rest, folded.

use crate::base::error::Result;
use crate::base::escape::html as escape;
use crate::base::number::{amount, count, number, percent};
use crate::report::cards;
use crate::report::curves::points_of_each;
use crate::report::escape::attributes;
use crate::report::forecast_answer::{ForecastAnswer, plan_rows};
use crate::report::forecast_charts::{Style, fan_chart, front_chart, full_chart, harm_chart};
use crate::report::model::LayerNames;
use crate::report::page::{Page, TableCell};
use crate::report::quantities::{chance, ladder, mean};
use crate::report::svg::Chart;
use crate::scenario::Scenario;
use crate::simulate::{ASSUMED, Chance, Finding, Forecast, Optimum, PlanForecast};
use crate::words::{Lang, Text, fill, metric_name, terminal};

/// Returns a forecast as an HTML page.
///
/// # Errors
/// A chart cannot be drawn.
pub fn forecast_html(forecast: &Forecast, scenario: &Scenario, lang: Lang) -> Result<String> {
    let mut page = Page::new(lang, false);
    page.names = LayerNames::new(&layers_of(scenario), false, lang);
    let words = page.words;
    let days = forecast.horizon_hours / 24.0;
    let note = fill(
        words.forecast_note,
        &[
            &count(forecast.n_runs.into()),
            &amount(days),
            &forecast.seed.to_string(),
            basis(forecast).of(lang),
        ],
    );
    page.open(&fill(words.forecast, &[&scenario.name]), &note);
    let answer = ForecastAnswer::new(forecast, scenario, &page.names);
    cards::forecast_screen(&mut page, &answer);
    findings(&mut page, words.findings, &forecast.findings);
    findings(&mut page, words.warnings, &forecast.warnings);
    ranking(&mut page, forecast, scenario);
    unfinished_table(&mut page, forecast);
    plans_table(&mut page, forecast);
    worlds(&mut page, forecast)?;
    if let Some(optimum) = &forecast.optimum {
        optimum_part(&mut page, optimum)?;
    }
    if !scenario.why.trim().is_empty() {
        page.fold(words.about, "");
        page.text(scenario.why.trim());
        page.end_fold();
    }
    Ok(page.close())
}

/// What the numbers rest on.
fn basis(forecast: &Forecast) -> Text {
    if forecast.basis == ASSUMED {
        terminal::basis_assumed()
    } else {
        terminal::basis_observed()
    }
}

/// Ids and display names of the layers.
fn layers_of(scenario: &Scenario) -> Vec<(String, Text)> {
    let layers = scenario.plan.layers.iter();
    layers
        .map(|layer| (layer.id.clone(), layer.name.clone()))
        .collect()
}

/// What each plan would do, the best first.
fn ranking(page: &mut Page, forecast: &Forecast, scenario: &Scenario) {
    let words = page.words;
    let rows = plan_rows(forecast, scenario);
    if rows.is_empty() {
        return;
    }
    page.heading(words.plans_ranked);
    let header = [
        words.plan,
        words.verdict,
        words.false_rollback,
        words.missed,
        words.days_to_full,
        words.harm_worst,
    ];
    page.table(words.plans_ranked, &header, rows);
}

/// The charts of each world.
fn worlds(page: &mut Page, forecast: &Forecast) -> Result<()> {
    let words = page.words;
    let mut worlds: Vec<&str> = Vec::new();
    for plan in &forecast.plans {
        if !worlds.contains(&plan.world.as_str()) {
            worlds.push(&plan.world);
        }
    }
    // Each plan has one curve per layer, and one in each of the world's other two charts.
    let n_curves: usize = forecast.plans.iter().map(|plan| plan.layers.len() + 2).sum();
    let style = Style {
        words,
        days: forecast.horizon_hours / 24.0,
        most: points_of_each(n_curves),
    };
    for world in worlds {
        let plans: Vec<&PlanForecast> = forecast.plans.iter().filter(|plan| plan.world == world).collect();
        let mut charts: Vec<Chart> = Vec::new();
        charts.extend(full_chart(world, &plans, &style)?);
        charts.extend(harm_chart(world, &plans, &style)?);
        for plan in plans {
            charts.push(fan_chart(plan, &page.names, &style)?);
        }
        page.raw(&format!(
            "<section{}>\n",
            attributes([("world", world)].into_iter())
        ));
        page.fold(
            &fill(words.world_title, &[world]),
            &fill(words.inside_charts, &[&count(charts.len() as u64)]),
        );
        page.charts(&charts);
        page.end_fold();
        page.raw("</section>\n");
    }
    Ok(())
}

/// Findings on plans, under a heading.
fn findings(page: &mut Page, heading: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    page.heading(heading);
    page.raw("<ul>\n");
    for finding in findings {
        page.raw(&format!(
            "<li>{}: {}</li>\n",
            escape(&finding.plans.join(", ")),
            escape(finding.text().of(page.lang))
        ));
    }
    page.raw("</ul>\n");
}

fn plans_table(page: &mut Page, forecast: &Forecast) {
    let words = page.words;
    page.fold(
        words.plans,
        &fill(words.inside_rows, &[&count(forecast.plans.len() as u64)]),
    );
    let header = [
        words.plan,
        words.decided_by,
        words.world,
        words.rollback_percent,
        words.srm_percent,
        words.unfinished_percent,
        words.days_to_full,
        words.days_to_rollback,
        words.users_exposed,
        words.users_at_rollback,
        words.cost,
    ];
    let row = |plan: &PlanForecast| {
        vec![
            TableCell::Text(plan.plan.clone()),
            TableCell::Text(plan.controller.clone()),
            TableCell::Keyed(
                if plan.is_harmful {
                    fill(words.harmful, &[&plan.world])
                } else {
                    plan.world.clone()
                },
                plan.world.clone(),
            ),
            TableCell::Number(chance(&plan.p_rollback)),
            TableCell::Number(chance(&plan.p_srm_halt)),
            TableCell::Number(chance(&plan.p_never_finishes)),
            TableCell::Number(mean(&plan.hours_to_full, 24.0)),
            TableCell::Number(mean(&plan.hours_to_rollback, 24.0)),
            TableCell::Number(mean(&plan.users_exposed, 1.0)),
            TableCell::Number(mean(&plan.users_at_rollback, 1.0)),
            TableCell::Number(
                plan.cost
                    .as_ref()
                    .map_or_else(|| "-".into(), |cost| mean(cost, 1.0)),
            ),
        ]
    };
    page.table(words.plans_caption, &header, forecast.plans.iter().map(row));
    let none = Chance::from_counts(0, forecast.n_runs as usize).ci.ci_upper;
    page.text(&fill(words.no_run, &[&percent(none), &percent(1.0 - none)]));
    page.end_fold();
}

/// Where unfinished runs end. Nothing if every run is finished.
fn unfinished_table(page: &mut Page, forecast: &Forecast) {
    let words = page.words;
    let rows: Vec<Vec<TableCell>> = forecast
        .plans
        .iter()
        .flat_map(|plan| plan.unfinished.iter().map(move |of| (plan, of)))
        .map(|(plan, of)| {
            vec![
                TableCell::Text(plan.plan.clone()),
                TableCell::Keyed(plan.world.clone(), plan.world.clone()),
                page.layer_cell(&of.layer),
                TableCell::Number(of.ratio.to_string()),
                TableCell::Text(of.check.clone()),
                match &of.metric {
                    Some(metric) => page.metric_cell(metric),
                    None => TableCell::Text("-".into()),
                },
                TableCell::Number(chance(&of.p)),
                TableCell::Text(of.advice().unwrap_or_default().of(page.lang).to_owned()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    let header = [
        words.plan,
        words.world,
        words.layer,
        words.ratio,
        words.check,
        words.metric,
        words.unfinished_percent,
        words.outlook_text,
    ];
    page.fold(
        words.unfinished,
        &fill(words.inside_rows, &[&count(rows.len() as u64)]),
    );
    page.table(words.unfinished_caption, &header, rows);
    page.end_fold();
}

fn optimum_part(page: &mut Page, optimum: &Optimum) -> Result<()> {
    let words = page.words;
    page.fold(
        words.fastest,
        &fill(words.inside_layers, &[&count(optimum.layers.len() as u64)]),
    );
    page.text(&fill(
        words.fastest_note,
        &[metric_name(&optimum.metric).of(page.lang), &number(optimum.mde)],
    ));
    for layer in optimum.layers.iter().filter(|layer| !layer.front.is_empty()) {
        page.chart(&front_chart(layer, &page.names, page.lang)?);
    }
    let header = [
        words.layer,
        words.ladder,
        words.dwell,
        words.decided_by,
        words.false_rollback,
        words.missed,
        words.unfinished_percent,
        words.days_to_full,
    ];
    let rows = optimum.layers.iter().flat_map(|layer| {
        let exact = layer.chosen.iter().map(|candidate| {
            vec![
                page.layer_cell(&layer.layer),
                TableCell::Text(ladder(&candidate.ladder)),
                TableCell::Number(amount(candidate.dwell_hours)),
                TableCell::Text(fill(words.exactly, &[candidate.boundary])),
                TableCell::Number(percent(candidate.p_false_rollback)),
                TableCell::Number(percent(candidate.p_missed)),
                TableCell::Text(String::new()),
                TableCell::Number(amount(candidate.hours_if_good / 24.0)),
            ]
        });
        let of_policy = optimum.under_policy.iter().flat_map(|of| &of.layers);
        let best = of_policy
            .filter(|of| of.layer == layer.layer)
            .filter_map(|of| of.chosen.as_ref().or(of.nearest.as_ref()));
        let run = layer.finalists.iter().chain(best).map(|run| {
            vec![
                page.layer_cell(&layer.layer),
                TableCell::Text(ladder(&run.ladder)),
                TableCell::Number(amount(run.dwell_hours)),
                TableCell::Text(fill(words.as_run, &[&run.controller])),
                TableCell::Number(chance(&run.p_false_rollback)),
                TableCell::Number(chance(&run.p_missed)),
                TableCell::Number(chance(&run.p_never_finishes)),
                TableCell::Number(mean(&run.hours_to_full, 24.0)),
            ]
        });
        exact.chain(run).collect::<Vec<_>>()
    });
    let rows: Vec<Vec<TableCell>> = rows.collect();
    page.table(words.chosen_caption, &header, rows);
    page.raw(&format!("<pre>{}</pre>\n", escape(&optimum.toml)));
    page.end_fold();
    Ok(())
}
