//! The page of a forecast: plans side by side, ratios over time, time to the full ratio, harm, and
//! the trade-off between time and harm.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::base::error::Result;
use crate::base::escape::html as escape;
use crate::base::number::{amount, count, number, percent};
use crate::report::charts::names;
use crate::report::curves::{Curve, Curves, Point, Scale, points_of_each, thin};
use crate::report::escape::attributes;
use crate::report::page::{Page, TableCell};
use crate::report::svg::{Chart, GRID, INK, PALETTE, PlotResult, color_name, draw, text};
use crate::simulate::{Chance, Finding, Forecast, LayerOptimum, Optimum, PlanForecast, Quantity};
use crate::words::{Lang, Words, fill};

/// A curve with a name at its end.
struct CurveLine {
    name: String,
    points: Vec<Point>,
}

/// Settings that all charts of a forecast share.
struct Style {
    words: &'static Words,
    /// Simulated time, days.
    days: f64,
    /// The largest number of points of a curve.
    most: usize,
}

/// Returns a forecast as an HTML page.
///
/// # Errors
/// A chart cannot be drawn.
pub fn forecast_html(forecast: &Forecast, name: &str, why: &str, lang: Lang) -> Result<String> {
    let mut page = Page::new(lang, false);
    let words = page.words;
    page.open(&fill(words.forecast, &[name]), why);
    let days = forecast.horizon_hours / 24.0;
    page.text(&fill(
        words.forecast_note,
        &[
            &count(forecast.n_runs.into()),
            &number(days),
            &forecast.seed.to_string(),
            &forecast.basis,
        ],
    ));
    findings(&mut page, words.findings, &forecast.findings);
    findings(&mut page, words.warnings, &forecast.warnings);
    plans_table(&mut page, forecast);
    let none = Chance::from_counts(0, forecast.n_runs as usize).ci.ci_upper;
    page.text(&fill(words.no_run, &[&percent(none), &percent(1.0 - none)]));
    unfinished_table(&mut page, forecast);
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
        days,
        most: points_of_each(n_curves),
    };
    for world in worlds {
        let plans: Vec<&PlanForecast> = forecast.plans.iter().filter(|plan| plan.world == world).collect();
        page.raw(&format!(
            "<section{}>\n",
            attributes([("world", world)].into_iter())
        ));
        page.heading(&fill(words.world_title, &[world]));
        let mut charts: Vec<Chart> = Vec::new();
        charts.extend(full_chart(world, &plans, &style)?);
        charts.extend(harm_chart(world, &plans, &style)?);
        for plan in plans {
            charts.push(fan_chart(plan, &style)?);
        }
        page.charts(&charts);
        page.raw("</section>\n");
    }
    if let Some(optimum) = &forecast.optimum {
        optimum_part(&mut page, optimum)?;
    }
    Ok(page.close())
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
            escape(&finding.finding)
        ));
    }
    page.raw("</ul>\n");
}

fn chance(chance: &Chance) -> String {
    if chance.mc_error > 0.0 {
        format!("{} ± {}", percent(chance.p), number(chance.mc_error * 100.0))
    } else {
        percent(chance.p)
    }
}

fn mean(quantity: &Quantity, unit: f64) -> String {
    match (quantity.mean, quantity.p95) {
        (Some(mean), Some(p95)) => format!("{} (p95 {})", amount(mean / unit), amount(p95 / unit)),
        _ => "-".into(),
    }
}

fn plans_table(page: &mut Page, forecast: &Forecast) {
    let words = page.words;
    page.heading(words.plans);
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
                TableCell::Text(of.layer.clone()),
                TableCell::Number(of.ratio.to_string()),
                TableCell::Text(of.check.clone()),
                TableCell::Text(of.metric.clone().unwrap_or_else(|| "-".into())),
                TableCell::Number(chance(&of.p)),
                TableCell::Text(of.advice.clone().unwrap_or_default()),
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
    page.heading(words.unfinished);
    page.table(words.unfinished_caption, &header, rows);
}

/// Median ratio of every layer over time, with the range from the 5th to the 95th percentile.
fn fan_chart(plan: &PlanForecast, style: &Style) -> Result<Chart> {
    let words = style.words;
    let mut said: Vec<String> = vec![words.fan_note.to_owned()];
    said.extend(plan.layers.iter().map(|layer| {
        fill(
            words.fan_words,
            &[
                &layer.layer,
                &percent(layer.p_rollback.p),
                &mean(&layer.hours_to_full, 24.0),
            ],
        )
    }));
    let mut curves = Curves::over_numbers(words.days, style.days, words.ratio, Scale::Ratio);
    let fans = plan.layers.iter().enumerate().map(|(idx, layer)| {
        let all = layer.fan.iter().map(|fan| Point {
            x: fan.hours / 24.0,
            y: fan.ratio[2],
            around: Some((fan.ratio[0], fan.ratio[4])),
        });
        let all: Vec<Point> = all.collect();
        let (kept, color) = (thin(&all, style.most), PALETTE[idx % PALETTE.len()]);
        let (name, layer) = (layer.layer.clone(), layer.layer.clone());
        curves.add(
            Curve {
                name,
                layer: layer.clone(),
                color: color_name(color),
                ..Curve::default()
            },
            &kept,
            all.len(),
        );
        (layer, kept, color)
    });
    let fans: Vec<(String, Vec<Point>, RGBColor)> = fans.collect();
    let chart = draw(
        fill(words.fan_title, &[&plan.plan, &plan.world]),
        said.join("; "),
        (720, 280),
        |root| {
            let mut chart = ChartBuilder::on(root)
                .margin(12)
                .margin_right(130)
                .x_label_area_size(36)
                .y_label_area_size(56)
                .build_cartesian_2d(0.0..style.days, -0.03..1.05)?;
            // A square-root axis shows both 1 % and 100 %.
            mesh(&mut chart, (words.days, words.ratio), &|y| {
                format!("{:.0}%", y * y.abs() * 100.0)
            })?;
            let mut ends = Vec::new();
            for (layer, points, color) in &fans {
                let upper = points.iter().map(|point| (point.x, point.high().sqrt()));
                let around: Vec<(f64, f64)> = upper
                    .chain(points.iter().rev().map(|point| (point.x, point.low().sqrt())))
                    .collect();
                chart.draw_series([Polygon::new(around, color.mix(0.15))])?;
                chart.draw_series(LineSeries::new(
                    points.iter().map(|point| (point.x, point.y.sqrt())),
                    color.stroke_width(2),
                ))?;
                ends.push((
                    points.last().map_or(0.0, |point| point.y.sqrt()),
                    layer.clone(),
                    *color,
                ));
            }
            names(root, ends, |y| chart.backend_coord(&(style.days, y)))
        },
    )?;
    Ok(chart.with_curves(curves))
}

/// Draws axes and grid in the common style.
fn mesh(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    (x_name, y_name): (&str, &str),
    y_label: &dyn Fn(f64) -> String,
) -> PlotResult {
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK.mix(0.5))
        .label_style(text(12))
        .x_desc(x_name)
        .y_desc(y_name)
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| y_label(*y))
        .draw()?;
    Ok(())
}

fn lines_chart(
    title: String,
    said: String,
    lines: &[CurveLine],
    (x_name, y_name): (&'static str, &'static str),
    x_max: f64,
) -> Result<Chart> {
    let y_max = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.y)
        .fold(1e-9, f64::max);
    let mut curves = Curves::over_numbers(x_name, x_max, y_name, Scale::Number);
    for (idx, line) in lines.iter().enumerate() {
        let curve = Curve {
            name: line.name.clone(),
            color: color_name(PALETTE[idx % PALETTE.len()]),
            ..Curve::default()
        };
        curves.add(curve, &line.points, line.points.len());
    }
    let chart = draw(title, said, (720, 260), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(150)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..x_max, 0.0..y_max * 1.05)?;
        mesh(&mut chart, (x_name, y_name), &|y| number(y))?;
        let mut ends = Vec::new();
        for (idx, line) in lines.iter().enumerate() {
            let color = PALETTE[idx % PALETTE.len()];
            chart.draw_series(LineSeries::new(
                line.points.iter().map(|point| (point.x, point.y)),
                color.stroke_width(2),
            ))?;
            ends.push((
                line.points.last().map_or(0.0, |point| point.y),
                line.name.clone(),
                color,
            ));
        }
        names(root, ends, |y| chart.backend_coord(&(x_max, y)))
    })?;
    Ok(chart.with_curves(curves))
}

/// Share of runs with every layer at the end of its ladder, over time. `None` if no run gets there.
fn full_chart(world: &str, plans: &[&PlanForecast], style: &Style) -> Result<Option<Chart>> {
    let some: Vec<&&PlanForecast> = plans.iter().filter(|plan| plan.hours_to_full.n > 0).collect();
    if some.is_empty() {
        return Ok(None);
    }
    let words = style.words;
    let line = |plan: &&&PlanForecast| {
        let points: Vec<Point> = plan
            .full_by
            .iter()
            .map(|by| Point::new(by.hours / 24.0, by.p))
            .collect();
        CurveLine {
            name: plan.plan.clone(),
            points: thin(&points, style.most),
        }
    };
    let lines: Vec<CurveLine> = some.iter().map(line).collect();
    let said: Vec<String> = some
        .iter()
        .map(|plan| fill(words.full_words, &[&plan.plan, &mean(&plan.hours_to_full, 24.0)]))
        .collect();
    let title = fill(words.full_title, &[world]);
    lines_chart(
        title,
        said.join("; "),
        &lines,
        (words.days, words.share_of_runs),
        style.days,
    )
    .map(Some)
}

/// Probability that the harm exceeds an amount. `None` if no run has harm.
fn harm_chart(world: &str, plans: &[&PlanForecast], style: &Style) -> Result<Option<Chart>> {
    let some: Vec<&&PlanForecast> = plans.iter().filter(|plan| !plan.exceedance.is_empty()).collect();
    if some.is_empty() {
        return Ok(None);
    }
    let words = style.words;
    let most = some
        .iter()
        .flat_map(|plan| &plan.exceedance)
        .map(|point| point.amount)
        .fold(0.0, f64::max);
    let line = |plan: &&&PlanForecast| {
        let points = plan
            .exceedance
            .iter()
            .map(|point| Point::new(point.amount, point.p));
        let points: Vec<Point> = points.chain([Point::new(most, 0.0)]).collect();
        CurveLine {
            name: plan.plan.clone(),
            points: thin(&points, style.most),
        }
    };
    let lines: Vec<CurveLine> = some.iter().map(line).collect();
    let has_cost = some.iter().any(|plan| plan.cost.is_some());
    let said: Vec<String> = some
        .iter()
        .filter_map(|plan| {
            plan.cost
                .as_ref()
                .map(|cost| format!("{}: {}", plan.plan, mean(cost, 1.0)))
        })
        .collect();
    let unit = if has_cost { words.cost } else { words.harm_amount };
    lines_chart(
        fill(words.exceed_title, &[unit, world]),
        said.join("; "),
        &lines,
        (unit, words.probability),
        most,
    )
    .map(Some)
}

fn optimum_part(page: &mut Page, optimum: &Optimum) -> Result<()> {
    let words = page.words;
    page.heading(words.fastest);
    page.text(&fill(
        words.fastest_note,
        &[&optimum.metric, &number(optimum.mde)],
    ));
    for layer in optimum.layers.iter().filter(|layer| !layer.front.is_empty()) {
        page.chart(&front_chart(layer, words)?);
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
                TableCell::Text(layer.layer.clone()),
                TableCell::Text(ladder(&candidate.ladder)),
                TableCell::Number(number(candidate.dwell_hours)),
                TableCell::Text(fill(words.exactly, &[candidate.boundary])),
                TableCell::Number(number(candidate.p_false_rollback * 100.0)),
                TableCell::Number(number(candidate.p_missed * 100.0)),
                TableCell::Text(String::new()),
                TableCell::Number(number(candidate.hours_if_good / 24.0)),
            ]
        });
        let of_policy = optimum.under_policy.iter().flat_map(|of| &of.layers);
        let best = of_policy
            .filter(|of| of.layer == layer.layer)
            .filter_map(|of| of.chosen.as_ref().or(of.nearest.as_ref()));
        let run = layer.finalists.iter().chain(best).map(|run| {
            vec![
                TableCell::Text(layer.layer.clone()),
                TableCell::Text(ladder(&run.ladder)),
                TableCell::Number(number(run.dwell_hours)),
                TableCell::Text(fill(words.as_run, &[&run.controller])),
                TableCell::Number(chance(&run.p_false_rollback)),
                TableCell::Number(chance(&run.p_missed)),
                TableCell::Number(chance(&run.p_never_finishes)),
                TableCell::Number(mean(&run.hours_to_full, 24.0)),
            ]
        });
        exact.chain(run).collect::<Vec<_>>()
    });
    page.table(words.chosen_caption, &header, rows);
    page.raw(&format!("<pre>{}</pre>\n", escape(&optimum.toml)));
    Ok(())
}

fn ladder(ladder: &[f64]) -> String {
    ladder
        .iter()
        .map(|share| percent(*share))
        .collect::<Vec<_>>()
        .join(" ")
}

fn front_chart(layer: &LayerOptimum, words: &Words) -> Result<Chart> {
    let points: Vec<(f64, f64)> = layer
        .front
        .iter()
        .map(|c| (c.hours_if_good / 24.0, c.expected_harm))
        .collect();
    let most = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).fold(1e-9, f64::max) * 1.1;
    let (x_max, y_max) = (most(&|point| point.0), most(&|point| point.1));
    let chart = draw(
        fill(words.front_title, &[&layer.layer]),
        layer.why.clone(),
        (720, 260),
        |root| {
            let mut chart = ChartBuilder::on(root)
                .margin(12)
                .x_label_area_size(36)
                .y_label_area_size(64)
                .build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
            mesh(&mut chart, (words.days_if_good, words.harm_if_bad), &|y| {
                number(y)
            })?;
            chart.draw_series(LineSeries::new(points.iter().copied(), PALETTE[0].mix(0.5)))?;
            chart.draw_series(
                points
                    .iter()
                    .map(|point| Circle::new(*point, 4, PALETTE[0].filled())),
            )?;
            if let Some(chosen) = &layer.chosen {
                let point = (chosen.hours_if_good / 24.0, chosen.expected_harm);
                chart.draw_series([Circle::new(point, 8, PALETTE[1].stroke_width(2))])?;
            }
            Ok(())
        },
    )?;
    Ok(Chart {
        keys: vec![("layer", layer.layer.clone())],
        ..chart
    })
}
