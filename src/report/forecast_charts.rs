//! The charts of a forecast: ratios over time, time to the full ratio, harm, and time against harm.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::base::error::Result;
use crate::base::number::{amount, percent};
use crate::report::curves::{Curve, Curves, Point, Scale, thin};
use crate::report::model::LayerNames;
use crate::report::quantities::mean;
use crate::report::svg::{Canvas, Chart, GRID, INK, PALETTE, PlotResult, color_name, draw, names, text};
use crate::simulate::{LayerOptimum, PlanForecast};
use crate::words::{Lang, Words, fill};

/// A curve with a name at its end.
struct CurveLine {
    name: String,
    points: Vec<Point>,
}

/// Settings that all charts of a forecast share.
pub(super) struct Style {
    pub(super) words: &'static Words,
    /// Simulated time, days.
    pub(super) days: f64,
    /// The largest number of points of a curve.
    pub(super) most: usize,
}

/// Median ratio of every layer over time, with the range from the 5th to the 95th percentile.
pub(super) fn fan_chart(plan: &PlanForecast, layer_names: &LayerNames, style: &Style) -> Result<Chart> {
    let words = style.words;
    let mut said: Vec<String> = vec![words.fan_note.to_owned()];
    said.extend(plan.layers.iter().map(|layer| {
        fill(
            words.fan_words,
            &[
                layer_names.layer(&layer.layer),
                &percent(layer.p_rollback.p),
                &mean(&layer.hours_to_full, 24.0),
            ],
        )
    }));
    let mut curves = Curves::over_numbers(words.days, style.days, words.ratio_axis, Scale::Ratio);
    let fans = plan.layers.iter().enumerate().map(|(idx, layer)| {
        let all = layer.fan.iter().map(|fan| Point {
            x: fan.hours / 24.0,
            y: fan.ratio[2],
            around: Some((fan.ratio[0], fan.ratio[4])),
        });
        let all: Vec<Point> = all.collect();
        let (kept, color) = (thin(&all, style.most), PALETTE[idx % PALETTE.len()]);
        let (name, layer) = (layer_names.layer(&layer.layer).to_owned(), layer.layer.clone());
        curves.add(
            Curve {
                name: name.clone(),
                layer,
                color: color_name(color),
                ..Curve::default()
            },
            &kept,
            all.len(),
        );
        (name, kept, color)
    });
    let fans: Vec<(String, Vec<Point>, RGBColor)> = fans.collect();
    let chart = draw(
        fill(words.fan_title, &[&plan.plan, &plan.world]),
        said.join("; "),
        280,
        |root, canvas| {
            let mut chart = ChartBuilder::on(root)
                .margin(12)
                .margin_right(canvas.names_width())
                .x_label_area_size(40)
                .y_label_area_size(56)
                .build_cartesian_2d(0.0..style.days, -0.03..1.05)?;
            // A square-root axis shows both 1 % and 100 %.
            mesh(&mut chart, (words.days, words.ratio_axis), canvas, &|y| {
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
            names(root, ends, canvas, |y| chart.backend_coord(&(style.days, y)))
        },
    )?;
    Ok(chart.with_curves(curves))
}

/// Draws axes and grid in the common style.
fn mesh(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    (x_name, y_name): (&str, &str),
    canvas: Canvas,
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
        .x_labels(canvas.pick(10, 5))
        .x_label_formatter(&|x| amount(*x))
        .y_label_formatter(&|y| y_label(*y))
        .draw()?;
    Ok(())
}

/// Lines of shares of runs.
fn lines_chart(
    title: String,
    said: String,
    lines: &[CurveLine],
    (x_name, y_name): (&'static str, &'static str),
    x_max: f64,
) -> Result<Chart> {
    let y_label: &dyn Fn(f64) -> String = &|y| percent((y * 1e6).round() / 1e6);
    let y_max = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.y)
        .fold(1e-9, f64::max);
    let mut curves = Curves::over_numbers(x_name, x_max, y_name, Scale::Share);
    for (idx, line) in lines.iter().enumerate() {
        let curve = Curve {
            name: line.name.clone(),
            color: color_name(PALETTE[idx % PALETTE.len()]),
            ..Curve::default()
        };
        curves.add(curve, &line.points, line.points.len());
    }
    let chart = draw(title, said, 260, |root, canvas| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(canvas.pick(150, 90))
            .x_label_area_size(40)
            .y_label_area_size(canvas.pick(64, 58))
            .build_cartesian_2d(0.0..x_max, 0.0..y_max * 1.05)?;
        mesh(&mut chart, (x_name, y_name), canvas, y_label)?;
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
        names(root, ends, canvas, |y| chart.backend_coord(&(x_max, y)))
    })?;
    Ok(chart.with_curves(curves))
}

/// Share of runs with every layer at the end of its ladder, over time. `None` if no run gets there.
pub(super) fn full_chart(world: &str, plans: &[&PlanForecast], style: &Style) -> Result<Option<Chart>> {
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
pub(super) fn harm_chart(world: &str, plans: &[&PlanForecast], style: &Style) -> Result<Option<Chart>> {
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

pub(super) fn front_chart(layer: &LayerOptimum, layer_names: &LayerNames, lang: Lang) -> Result<Chart> {
    let words = lang.words();
    let points: Vec<(f64, f64)> = layer
        .front
        .iter()
        .map(|c| (c.hours_if_good / 24.0, c.expected_harm))
        .collect();
    let most = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).fold(1e-9, f64::max) * 1.1;
    let (x_max, y_max) = (most(&|point| point.0), most(&|point| point.1));
    let chart = draw(
        fill(words.front_title, &[layer_names.layer(&layer.layer)]),
        lang.pick(&layer.why, &layer.why_zh),
        260,
        |root, canvas| {
            let mut chart = ChartBuilder::on(root)
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(canvas.pick(64, 58))
                .build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
            mesh(
                &mut chart,
                (words.days_if_good, words.harm_if_bad),
                canvas,
                &|y| amount(y),
            )?;
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
