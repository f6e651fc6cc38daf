//! The report's plots, as SVG.

use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
    },
    prelude::*,
};
use std::ops::Range;

use super::model::{Model, RampModel};
use crate::{
    bucket::Ratio,
    error::{Error, ErrorKind, Problem, Result},
    replay::Arm,
    scenario::Sequential,
    stats::Interval,
    time::{self, DAY, HOUR, Micros},
};

pub(super) const BASELINE: RGBColor = RGBColor(0x5b, 0x67, 0x78);
pub(super) const CANDIDATE: RGBColor = RGBColor(0x0b, 0x6e, 0xd0);
const ALARM: RGBColor = RGBColor(0xc4, 0x2b, 0x1c);
pub(super) const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);
pub(super) const INK: RGBColor = RGBColor(0x22, 0x2b, 0x36);
/// Lines of a plot with one series a layer; told apart by dashes and labels as well.
pub(super) const PALETTE: [RGBColor; 6] = [
    RGBColor(0x0b, 0x6e, 0xd0),
    RGBColor(0xd1, 0x6b, 0x00),
    RGBColor(0x1a, 0x7f, 0x4b),
    RGBColor(0x8a, 0x3f, 0xb5),
    RGBColor(0xb0, 0x2a, 0x5b),
    RGBColor(0x4d, 0x5a, 0x6b),
];
pub(super) const FONT: &str = "system-ui, sans-serif";

/// A plot with the sentence that says the same in words.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) svg: String,
}

pub(super) fn draw(
    title: impl Into<String>,
    description: impl Into<String>,
    size: (u32, u32),
    plot: impl Fn(&DrawingArea<SVGBackend<'_>, Shift>) -> PlotResult,
) -> Result<Chart> {
    let title = title.into();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let failed =
            |error: &dyn std::fmt::Display| Error::new(ErrorKind::Output, Problem::new(format!("plot `{title}`"), error.to_string()));
        root.fill(&WHITE).map_err(|error| failed(&error))?;
        plot(&root).map_err(|error| failed(&error))?;
        root.present().map_err(|error| failed(&error))?;
    }
    Ok(Chart { title, description: description.into(), svg: scalable(&svg, size) })
}

type PlotResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// Lets the picture shrink with the page.
fn scalable(svg: &str, (width, height): (u32, u32)) -> String {
    let sized = format!("<svg width=\"{width}\" height=\"{height}\"");
    svg.replacen(&sized, "<svg role=\"presentation\"", 1)
}

pub(super) fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// Users per layer.
pub(super) fn layer_distribution(model: &Model) -> Result<Chart> {
    let layers = &model.layering.layers;
    let most = layers.iter().map(|l| l.share).fold(0.0, f64::max).max(1e-9);
    let height = 46 + 34 * layers.len() as u32;
    let words: Vec<String> = layers.iter().map(|l| format!("{} {:.1}%", l.layer, l.share * 100.0)).collect();
    draw("Users per layer", words.join(", "), (720, height), |root| {
        let several = layers.iter().any(|l| l.tenant != layers[0].tenant);
        for (idx, layer) in layers.iter().enumerate() {
            let y = 20 + 34 * idx as i32;
            let label = if several { format!("{} / {}", layer.tenant, layer.layer) } else { layer.layer.clone() };
            root.draw(&Text::new(label, (8, y + 5), text(14)))?;
            let width = |n: u64| if layer.n_users == 0 { 0 } else { (n as f64 / layer.n_users as f64 * layer.share / most * 400.0) as i32 };
            root.draw(&Rectangle::new([(150, y), (150 + width(layer.n_users), y + 22)], CANDIDATE.mix(0.35).filled()))?;
            root.draw(&Rectangle::new([(150, y), (150 + width(layer.n_eligible), y + 22)], CANDIDATE.filled()))?;
            root.draw(&Text::new(
                format!("{} ({:.2}%)", layer.n_users, layer.share * 100.0),
                (158 + width(layer.n_users), y + 5),
                text(13),
            ))?;
        }
        root.draw(&Text::new("dark: eligible, light: did not consent", (150, height as i32 - 18), text(12)))?;
        Ok(())
    })
}

/// Users per fiftieth of the score range.
pub(super) fn score_histogram(model: &Model) -> Result<Chart> {
    let bins = &model.layering.score_histogram;
    let most = bins.iter().copied().max().unwrap_or(1).max(1);
    let n_bins = bins.len().max(1) as f64;
    let mode = bins.iter().position(|n| *n == most).unwrap_or(0) as f64 / n_bins;
    draw("A-RFM scores", format!("most users score between {mode:.2} and {:.2}", mode + 1.0 / n_bins), (720, 260), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..1.0, 0.0..most as f64 * 1.05)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_desc("score")
            .y_desc("users")
            .label_style(text(12))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()?;
        chart.draw_series(bins.iter().enumerate().map(|(idx, n)| {
            let left = idx as f64 / n_bins;
            Rectangle::new([(left + 0.001, 0.0), (left + 1.0 / n_bins - 0.001, *n as f64)], CANDIDATE.mix(0.8).filled())
        }))?;
        Ok(())
    })
}

/// QoS of both releases over time, one plot a layer that the candidate reached.
pub(super) fn qos_over_time(ramp: &RampModel) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for layer in ramp.analysis.layers.iter().filter(|layer| layer.n_exposed > 0) {
        let points = |arm: Arm| -> Vec<(f64, f64, Interval)> {
            let of_arm = layer.series.iter().filter(|point| point.arm == arm);
            of_arm.filter_map(|p| p.qos.value().map(|qos| (0.5 * (p.start + p.end) as f64, qos.value.qos, qos.ci))).collect()
        };
        let arms = [(Arm::Baseline, BASELINE, "baseline"), (Arm::Candidate, CANDIDATE, "candidate")];
        let all: Vec<(f64, f64, Interval)> = arms.iter().flat_map(|(arm, _, _)| points(*arm)).collect();
        if all.is_empty() {
            continue;
        }
        let low = all.iter().map(|p| p.2.ci_lower).fold(f64::INFINITY, f64::min).clamp(0.0, 0.95) - 0.01;
        let high = all.iter().map(|p| p.2.ci_upper).fold(f64::NEG_INFINITY, f64::max).clamp(0.05, 1.0) + 0.01;
        let title = format!("QoS over time: {}", name(ramp, &layer.tenant, &layer.layer));
        let words: Vec<String> = arms
            .iter()
            .filter_map(|(arm, _, word)| {
                let points = points(*arm);
                let (first, last) = (points.first()?, points.last()?);
                Some(format!("{word} from {:.3} to {:.3}", first.1, last.1))
            })
            .collect();
        charts.push(draw(title, words.join("; "), (720, 280), |root| {
            let mut chart = ChartBuilder::on(root)
                .margin(12)
                .margin_top(20)
                .margin_right(30)
                .x_label_area_size(36)
                .y_label_area_size(56)
                .build_cartesian_2d(
                time_axis(ramp.analysis.start, ramp.analysis.as_of),
                marked(low..high, round_marks(&(low..high), 6.0)),
            )?;
            time_mesh(&mut chart, "QoS", &|y| format!("{y:.2}"))?;
            for (arm, color, word) in arms {
                let points = points(arm);
                // Quality lies in 0..=1, whatever a symmetric interval says.
                let bar = |x: f64, ci: &Interval| vec![(x, ci.ci_lower.clamp(0.0, 1.0)), (x, ci.ci_upper.clamp(0.0, 1.0))];
                chart.draw_series(points.iter().map(|(x, _, ci)| PathElement::new(bar(*x, ci), color.mix(0.45).stroke_width(3))))?;
                chart.draw_series(LineSeries::new(points.iter().map(|(x, y, _)| (*x, *y)), color.stroke_width(2)))?;
                chart.draw_series(points.iter().map(|(x, y, _)| Circle::new((*x, *y), 3, color.filled())))?;
                let x = if arm == Arm::Baseline { 540 } else { 620 };
                root.draw(&Circle::new((x, 8), 4, color.filled()))?;
                root.draw(&Text::new(word, (x + 9, 1), (FONT, 13).into_font().color(&color)))?;
            }
            let changes = layer.stages.iter().skip(1).map(|stage| (stage.start as f64, stage.ratio));
            for (at, ratio) in changes {
                chart.draw_series([PathElement::new(vec![(at, low), (at, high)], INK.mix(0.3))])?;
                let text = Text::new(format!("{ratio}"), (at, high), text(12));
                chart.draw_series([text])?;
            }
            Ok(())
        })?);
    }
    Ok(charts)
}

/// A straight axis with marks of our choice.
#[derive(Clone)]
struct Axis {
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

type TimeChart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

fn time_mesh(chart: &mut TimeChart<'_, '_>, y_desc: &str, y_format: &dyn Fn(&f64) -> String) -> PlotResult {
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text(12))
        .y_desc(y_desc)
        .x_label_formatter(&|x| time::format_short(*x as i64))
        .y_label_formatter(y_format)
        .draw()?;
    Ok(())
}

/// A time axis with marks at midnights, or at whole hours where there are few midnights.
fn time_axis(start: Micros, end: Micros) -> Axis {
    let steps = [HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY];
    let longest = ((end - start) / 7).max(HOUR);
    let step = steps.into_iter().find(|step| *step >= longest).unwrap_or(longest);
    let first = start.div_euclid(step) * step;
    let marks = (0..64).map(|k| first + k * step).filter(|mark| (start..=end).contains(mark)).map(|mark| mark as f64).collect();
    marked(start as f64..end as f64, marks)
}

fn marked(range: Range<f64>, marks: Vec<f64>) -> Axis {
    Axis { range, marks }
}

/// About `n` round marks over a range.
fn round_marks(range: &Range<f64>, n: f64) -> Vec<f64> {
    let rough = (range.end - range.start) / n;
    let magnitude = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * magnitude).find(|step| *step >= rough).unwrap_or(rough);
    let first = (range.start / step).ceil() as i64;
    (first..).map(|k| k as f64 * step).take_while(|mark| *mark <= range.end).collect()
}

/// The harm of every guardrail in every layer, in units of its margin: one scale for all metrics.
pub(super) fn harm_forest(ramp: &RampModel) -> Result<Option<Chart>> {
    /// Margins that are drawn; further out is an arrow's end.
    const FAR: f64 = 4.0;
    let mut rows: Vec<(String, f64, Interval, bool)> = Vec::new();
    for layer in &ramp.analysis.layers {
        for finding in layer.current().into_iter().flat_map(|stage| &stage.guardrails) {
            if let (Some(harm), Some(interval), Some(margin)) =
                (finding.judged.harm, finding.judged.interval, finding.judged.margin.filter(|m| *m > 0.0))
            {
                let scaled = Interval { ci_lower: interval.ci_lower / margin, ci_upper: interval.ci_upper / margin };
                let violated = finding.judged.verdict == crate::stats::non_inferiority::HarmVerdict::Violated;
                rows.push((format!("{}: {}", name(ramp, &layer.tenant, &layer.layer), finding.metric), harm / margin, scaled, violated));
            }
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let kind = match ramp.analysis.policy.sequential {
        Sequential::Anytime => "intervals hold at every look",
        Sequential::Fixed => "intervals hold at one look",
    };
    let words: Vec<String> = rows
        .iter()
        .map(|(what, harm, _, violated)| format!("{what} {harm:.2} margins{}", if *violated { " (violated)" } else { "" }))
        .collect();
    let height = 90 + 26 * rows.len() as u32;
    let chart = draw(format!("Harm in units of the margin ({kind})"), words.join("; "), (720, height), |root| {
        let x_of = |value: f64| 300 + ((value.clamp(-FAR, FAR) + FAR) / (2.0 * FAR) * 390.0) as i32;
        let (top, bottom) = (24, height as i32 - 46);
        for tick in -4..=4 {
            let x = x_of(f64::from(tick));
            let style = match tick {
                0 => INK.mix(0.6).stroke_width(1),
                1 => ALARM.mix(0.7).stroke_width(2),
                _ => GRID.stroke_width(1),
            };
            root.draw(&PathElement::new(vec![(x, top), (x, bottom)], style))?;
            root.draw(&Text::new(tick.to_string(), (x - 4, bottom + 6), text(12)))?;
        }
        root.draw(&Text::new("better", (x_of(-3.0), bottom + 22), text(12)))?;
        root.draw(&Text::new("margin", (x_of(1.0) - 18, top - 18), text(12)))?;
        root.draw(&Text::new("worse than allowed", (x_of(1.6), bottom + 22), text(12)))?;
        for (idx, (what, harm, interval, violated)) in rows.iter().enumerate() {
            let y = top + 16 + 26 * idx as i32;
            let color = if *violated { ALARM } else { CANDIDATE };
            root.draw(&Text::new(what.clone(), (8, y - 7), text(13)))?;
            root.draw(&PathElement::new(vec![(x_of(interval.ci_lower), y), (x_of(interval.ci_upper), y)], color.stroke_width(3)))?;
            if harm.abs() <= FAR {
                root.draw(&Rectangle::new([(x_of(*harm) - 4, y - 4), (x_of(*harm) + 4, y + 4)], color.filled()))?;
            } else {
                let x = x_of(*harm);
                let tip = if *harm > 0.0 { 8 } else { -8 };
                root.draw(&Polygon::new(vec![(x, y - 6), (x + tip, y), (x, y + 6)], color.filled()))?;
            }
        }
        Ok(())
    })?;
    Ok(Some(chart))
}

/// Ratios over time, with the next step after `as_of`.
pub(super) fn ratios_over_time(ramp: &RampModel) -> Result<Chart> {
    let analysis = &ramp.analysis;
    let ahead = ((analysis.as_of - analysis.start) / 8).max(DAY / 4);
    let words: Vec<String> =
        ramp.schedule.layers.iter().map(|l| format!("{} {} to {}", name(ramp, &l.tenant, &l.layer), l.ratio, l.next_ratio)).collect();
    draw("Ratios over time, and from now on", words.join("; "), (720, 320), |root| {
        let mut chart =
            ChartBuilder::on(root).margin(12).margin_right(100).x_label_area_size(36).y_label_area_size(56).build_cartesian_2d(
                time_axis(analysis.start, analysis.as_of + ahead),
                marked(-0.03..1.05, [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0].map(f64::sqrt).to_vec()),
            )?;
        // A square-root axis: 1 % and 100 % are both to be seen.
        time_mesh(&mut chart, "ratio", &|y| format!("{:.0}%", y * y * 100.0))?;
        let now = analysis.as_of as f64;
        chart.draw_series([PathElement::new(vec![(now, -0.03), (now, 1.05)], INK.mix(0.4))])?;
        let mut ends: Vec<(f64, String, RGBColor)> = Vec::new();
        for (idx, layer) in analysis.layers.iter().enumerate() {
            let color = PALETTE[idx % PALETTE.len()];
            // Layers at the same ratio would hide each other.
            let at = |ratio: Ratio| ratio.share().sqrt() + idx as f64 * 0.006;
            let mut steps = Vec::new();
            for stage in &layer.stages {
                steps.push((stage.start as f64, at(stage.ratio)));
                steps.push((stage.end as f64, at(stage.ratio)));
            }
            chart.draw_series(LineSeries::new(steps.iter().copied(), color.stroke_width(2)))?;
            let next = ramp.schedule.layers.iter().find(|l| l.tenant == layer.tenant && l.layer == layer.layer);
            if let (Some(next), Some(last)) = (next, steps.last().copied()) {
                let y = at(next.next_ratio);
                chart.draw_series(DashedLineSeries::new(
                    [last, (now, y), ((analysis.as_of + ahead) as f64, y)],
                    4,
                    3,
                    color.stroke_width(2),
                ))?;
                ends.push((y, name(ramp, &layer.tenant, &layer.layer), color));
            }
        }
        // Names beside the ends, pushed apart where they would touch.
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = i32::MAX;
        for (y, word, color) in ends {
            let (x, pixel) = chart.backend_coord(&((analysis.as_of + ahead) as f64, y));
            let pixel = (pixel - 7).min(free);
            free = pixel - 15;
            root.draw(&Text::new(word, (x + 6, pixel), (FONT, 13).into_font().color(&color)))?;
        }
        Ok(())
    })
}

/// The layer's id, with its tenant where there are several.
fn name(ramp: &RampModel, tenant: &str, layer: &str) -> String {
    let several = ramp.analysis.layers.iter().any(|l| l.tenant != tenant);
    if several { format!("{tenant} / {layer}") } else { layer.to_owned() }
}
