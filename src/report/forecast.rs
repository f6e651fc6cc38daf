//! A forecast as a page: plans side by side, ratios as fans, time to full, harm, and the front of time against harm.

use plotters::{coord::types::RangedCoordf64, prelude::*};

use super::{
    charts::{Chart, FONT, GRID, INK, PALETTE, draw, text},
    html::{Cell, Page, escape},
    model::percent,
};
use crate::{
    error::Result,
    number::number,
    simulate::{Chance, Forecast, LayerOptimum, Optimum, PlanForecast, Quantity},
};

/// Lines with names at their ends.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws a forecast as an HTML page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn forecast_html(forecast: &Forecast, name: &str, why: &str) -> Result<String> {
    let mut page = Page { html: String::new(), several_tenants: false };
    page.open(&format!("{name}: forecast"), why);
    page.raw(&format!(
        "<p>{} runs of each plan in each world, {} days, seed {}. Numbers rest on: {}.</p>\n",
        forecast.n_runs,
        number(forecast.horizon_hours / 24.0),
        forecast.seed,
        escape(&forecast.basis)
    ));
    if !forecast.findings.is_empty() {
        page.raw("<h2>What does not add up</h2>\n<ul>\n");
        for finding in &forecast.findings {
            page.raw(&format!("<li>{}: {}</li>\n", escape(&finding.plans.join(", ")), escape(&finding.finding)));
        }
        page.raw("</ul>\n");
    }
    plans_table(&mut page, forecast);
    let mut worlds: Vec<&str> = Vec::new();
    for plan in &forecast.plans {
        if !worlds.contains(&plan.world.as_str()) {
            worlds.push(&plan.world);
        }
    }
    for world in worlds {
        let plans: Vec<&PlanForecast> = forecast.plans.iter().filter(|plan| plan.world == world).collect();
        page.raw(&format!("<h2>World: {}</h2>\n", escape(world)));
        if let Some(chart) = full_chart(world, &plans, forecast.horizon_hours)? {
            page.chart(&chart);
        }
        if let Some(chart) = harm_chart(world, &plans)? {
            page.chart(&chart);
        }
        for plan in plans {
            page.chart(&fan_chart(plan, forecast.horizon_hours)?);
        }
    }
    if let Some(optimum) = &forecast.optimum {
        optimum_part(&mut page, optimum)?;
    }
    Ok(page.close())
}

fn chance(chance: &Chance) -> String {
    if chance.mc_error > 0.0 { format!("{} ± {}", percent(chance.p), number(chance.mc_error * 100.0)) } else { chance.bound() }
}

fn mean(quantity: &Quantity, unit: f64) -> String {
    match (quantity.mean, quantity.p95) {
        (Some(mean), Some(p95)) => format!("{} (p95 {})", number(mean / unit), number(p95 / unit)),
        _ => "-".into(),
    }
}

fn plans_table(page: &mut Page, forecast: &Forecast) {
    let header = [
        "plan",
        "decided by",
        "world",
        "rollback, %",
        "SRM halt, %",
        "unfinished, %",
        "days to full",
        "days to rollback",
        "users exposed",
        "users at rollback",
        "cost",
    ];
    let row = |plan: &PlanForecast| {
        vec![
            Cell::Text(plan.plan.clone()),
            Cell::Text(plan.controller.clone()),
            Cell::Text(format!("{}{}", plan.world, if plan.is_harmful { " (harmful)" } else { "" })),
            Cell::Number(chance(&plan.p_rollback)),
            Cell::Number(chance(&plan.p_srm_halt)),
            Cell::Number(chance(&plan.p_never_finishes)),
            Cell::Number(mean(&plan.hours_to_full, 24.0)),
            Cell::Number(mean(&plan.hours_to_rollback, 24.0)),
            Cell::Number(mean(&plan.users_exposed, 1.0)),
            Cell::Number(mean(&plan.users_at_rollback, 1.0)),
            Cell::Number(plan.cost.as_ref().map_or_else(|| "-".into(), |cost| mean(cost, 1.0))),
        ]
    };
    page.table("Plans side by side; ± is the Monte Carlo error, in points", &header, forecast.plans.iter().map(row));
}

/// Median ratio of every layer with the range of nine runs in ten.
fn fan_chart(plan: &PlanForecast, horizon: f64) -> Result<Chart> {
    let words: Vec<String> = plan
        .layers
        .iter()
        .map(|layer| {
            format!("{}: {} rolled back, full after {} days", layer.layer, percent(layer.p_rollback.p), mean(&layer.hours_to_full, 24.0))
        })
        .collect();
    draw(format!("Ratios of \"{}\" in \"{}\"", plan.plan, plan.world), words.join("; "), (720, 280), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(100)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..horizon / 24.0, -0.03..1.05)?;
        // A square-root axis: 1 % and 100 % are both to be seen.
        mesh(&mut chart, ("days", "ratio"), &|y| format!("{:.0}%", y * y.abs() * 100.0))?;
        let mut ends = Vec::new();
        for (idx, layer) in plan.layers.iter().enumerate() {
            let color = PALETTE[idx % PALETTE.len()];
            let at = |q: usize| layer.fan.iter().map(move |fan| (fan.hours / 24.0, fan.ratio[q].sqrt())).collect::<Vec<_>>();
            let (low, middle, high) = (at(0), at(2), at(4));
            let around: Vec<(f64, f64)> = high.into_iter().chain(low.into_iter().rev()).collect();
            chart.draw_series([Polygon::new(around, color.mix(0.15))])?;
            chart.draw_series(LineSeries::new(middle.iter().copied(), color.stroke_width(2)))?;
            ends.push((middle.last().map_or(0.0, |point| point.1), layer.layer.clone(), color));
        }
        names(root, ends, |y| chart.backend_coord(&(horizon / 24.0, y)))
    })
}

/// Axes and grid, alike in all plots.
fn mesh(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    (x_name, y_name): (&str, &str),
    y_label: &dyn Fn(f64) -> String,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
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

/// Names beside the ends of lines, pushed apart where they would touch.
fn names(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    mut ends: Vec<(f64, String, RGBColor)>,
    place: impl Fn(f64) -> (i32, i32),
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    /// Pixels a name takes.
    const LINE: i32 = 15;
    ends.sort_by(|a, b| b.0.total_cmp(&a.0));
    // From the top down, then up again from the bottom, so that none leaves the picture.
    let mut places: Vec<(i32, i32)> = ends.iter().map(|end| place(end.0)).map(|(x, pixel)| (x + 6, pixel - 7)).collect();
    let mut free = 0;
    for (_, pixel) in &mut places {
        *pixel = (*pixel).max(free);
        free = *pixel + LINE;
    }
    let mut free = root.dim_in_pixel().1 as i32 - LINE;
    for (_, pixel) in places.iter_mut().rev() {
        *pixel = (*pixel).min(free);
        free = *pixel - LINE;
    }
    for ((_, word, color), at) in ends.into_iter().zip(places) {
        root.draw(&Text::new(word, at, (FONT, 13).into_font().color(&color)))?;
    }
    Ok(())
}

fn lines_chart(title: String, words: String, lines: &[Line], (x_name, y_name): (&str, &str), x_max: f64) -> Result<Chart> {
    let y_max = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(1e-9, f64::max);
    draw(title, words, (720, 260), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(130)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..x_max, 0.0..y_max * 1.05)?;
        mesh(&mut chart, (x_name, y_name), &|y| number(y))?;
        let mut ends = Vec::new();
        for (idx, line) in lines.iter().enumerate() {
            let color = PALETTE[idx % PALETTE.len()];
            chart.draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)))?;
            ends.push((line.points.last().map_or(0.0, |point| point.1), line.name.clone(), color));
        }
        names(root, ends, |y| chart.backend_coord(&(x_max, y)))
    })
}

/// The share of runs that are full by a day; `None` if none ever is.
fn full_chart(world: &str, plans: &[&PlanForecast], horizon: f64) -> Result<Option<Chart>> {
    let some: Vec<&&PlanForecast> = plans.iter().filter(|plan| plan.hours_to_full.n > 0).collect();
    if some.is_empty() {
        return Ok(None);
    }
    let lines: Vec<Line> = some
        .iter()
        .map(|plan| Line { name: plan.plan.clone(), points: plan.full_by.iter().map(|by| (by.hours / 24.0, by.p)).collect() })
        .collect();
    let words: Vec<String> = some.iter().map(|plan| format!("{}: {} days", plan.plan, mean(&plan.hours_to_full, 24.0))).collect();
    let title = format!("Time until every layer is full, in \"{world}\"");
    lines_chart(title, words.join("; "), &lines, ("days", "share of runs"), horizon / 24.0).map(Some)
}

/// The probability to exceed an amount of harm; `None` where nothing is harmed.
fn harm_chart(world: &str, plans: &[&PlanForecast]) -> Result<Option<Chart>> {
    let some: Vec<&&PlanForecast> = plans.iter().filter(|plan| !plan.exceedance.is_empty()).collect();
    if some.is_empty() {
        return Ok(None);
    }
    let most = some.iter().flat_map(|plan| &plan.exceedance).map(|point| point.amount).fold(0.0, f64::max);
    let lines: Vec<Line> = some
        .iter()
        .map(|plan| {
            let points = plan.exceedance.iter().map(|point| (point.amount, point.p)).collect::<Vec<_>>();
            Line { name: plan.plan.clone(), points: points.into_iter().chain([(most, 0.0)]).collect() }
        })
        .collect();
    let has_cost = some.iter().any(|plan| plan.cost.is_some());
    let words: Vec<String> =
        some.iter().filter_map(|plan| plan.cost.as_ref().map(|cost| format!("{}: {}", plan.plan, mean(cost, 1.0)))).collect();
    let unit = if has_cost { "cost" } else { "harm" };
    lines_chart(format!("Probability to exceed a {unit}, in \"{world}\""), words.join("; "), &lines, (unit, "probability"), most).map(Some)
}

fn optimum_part(page: &mut Page, optimum: &Optimum) -> Result<()> {
    page.raw(&format!(
        "<h2>Fastest schedules</h2>\n<p>For {}, with a harm of {} that must not be missed.</p>\n",
        escape(&optimum.metric),
        number(optimum.mde)
    ));
    for layer in optimum.layers.iter().filter(|layer| !layer.front.is_empty()) {
        page.chart(&front_chart(layer)?);
    }
    let header = ["layer", "ladder", "dwell, h", "decided by", "false rollback, %", "missed, %", "unfinished, %", "days to full"];
    let rows = optimum.layers.iter().flat_map(|layer| {
        let exact = layer.chosen.iter().map(|candidate| {
            vec![
                Cell::Text(layer.layer.clone()),
                Cell::Text(ladder(&candidate.ladder)),
                Cell::Number(number(candidate.dwell_hours)),
                Cell::Text(format!("{}, exactly", candidate.boundary.name())),
                Cell::Number(number(candidate.p_false_rollback * 100.0)),
                Cell::Number(number(candidate.p_missed * 100.0)),
                Cell::Text(String::new()),
                Cell::Number(number(candidate.hours_if_good / 24.0)),
            ]
        });
        let run = layer.finalists.iter().map(|run| {
            vec![
                Cell::Text(layer.layer.clone()),
                Cell::Text(ladder(&run.ladder)),
                Cell::Number(number(run.dwell_hours)),
                Cell::Text(format!("{}, run", run.controller)),
                Cell::Number(chance(&run.p_false_rollback)),
                Cell::Number(chance(&run.p_missed)),
                Cell::Number(chance(&run.p_never_finishes)),
                Cell::Number(mean(&run.hours_to_full, 24.0)),
            ]
        });
        exact.chain(run).collect::<Vec<_>>()
    });
    page.table("Chosen schedules, exactly and as run", &header, rows);
    page.raw(&format!("<pre>{}</pre>\n", escape(&optimum.toml)));
    Ok(())
}

fn ladder(ladder: &[f64]) -> String {
    ladder.iter().map(|share| percent(*share)).collect::<Vec<_>>().join(" ")
}

fn front_chart(layer: &LayerOptimum) -> Result<Chart> {
    let points: Vec<(f64, f64)> = layer.front.iter().map(|c| (c.hours_if_good / 24.0, c.expected_harm)).collect();
    let most = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).fold(1e-9, f64::max) * 1.1;
    let (x_max, y_max) = (most(&|point| point.0), most(&|point| point.1));
    draw(format!("Time against harm: {}", layer.layer), layer.why.clone(), (720, 260), |root| {
        let mut chart =
            ChartBuilder::on(root).margin(12).x_label_area_size(36).y_label_area_size(64).build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
        mesh(&mut chart, ("days to full if good", "expected harm if bad"), &|y| number(y))?;
        chart.draw_series(LineSeries::new(points.iter().copied(), PALETTE[0].mix(0.5)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, PALETTE[0].filled())))?;
        if let Some(chosen) = &layer.chosen {
            let place = (chosen.hours_if_good / 24.0, chosen.expected_harm);
            chart.draw_series([Circle::new(place, 8, PALETTE[1].stroke_width(2))])?;
        }
        Ok(())
    })
}
