//! The report's charts, as SVG.

use hashbrown::{HashMap, HashSet};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::analysis::LayerAnalysis;
use crate::base::error::Result;
use crate::base::number::number;
use crate::base::time::{DAY, HOUR, Micros, Zone};
use crate::bucket::Ratio;
use crate::report::curves::{Curve, Curves, Point, Scale, points_of_each, thin};
use crate::report::model::{Model, RampModel};
use crate::report::rows::{Rows, short};
use crate::report::svg::{
    BASELINE, CANDIDATE, Chart, FONT, GRID, INK, PALETTE, PlotResult, color_name, draw, text,
};
use crate::scenario::{Arm, Sequential};
use crate::stats::Interval;
use crate::words::{Words, fill};

/// Returns the text alternative of a chart from its parts. Tables contain the parts that are left
/// out.
fn sentence(parts: &[String]) -> String {
    const SOME: usize = 16;
    let some = parts[..parts.len().min(SOME)].join("; ");
    if parts.len() > SOME {
        format!("{some}; … ({})", parts.len())
    } else {
        some
    }
}

/// Bar chart of the shares of users by layer.
pub(super) fn layer_distribution(model: &Model, words: &Words) -> Chart {
    let layers = &model.layering.layers;
    let most = layers.iter().map(|l| l.share).fold(0.0, f64::max).max(1e-9);
    let several = layers.iter().any(|l| l.tenant != layers[0].tenant);
    let said: Vec<String> = layers
        .iter()
        .map(|l| format!("{} {:.1}%", l.layer, l.share * 100.0))
        .collect();
    let mut rows = Rows::new(layers.len(), 24, 30, 0);
    rows.head(300.0, 14, "start", words.users_legend);
    for layer in layers {
        let label = if several {
            format!("{} / {}", layer.tenant, layer.layer)
        } else {
            layer.layer.clone()
        };
        let width = |n: u64| {
            if layer.n_users == 0 {
                0.0
            } else {
                n as f64 / layer.n_users as f64 * layer.share / most * 290.0
            }
        };
        let (all, eligible) = (width(layer.n_users), width(layer.n_eligible));
        let share = format!("{:.2}%", layer.share * 100.0);
        let shapes = format!(
            "<rect x=\"300\" y=\"4\" width=\"{all:.1}\" height=\"22\" opacity=\"0.35\" fill=\"var(--c0)\"/><rect x=\"300\" y=\"4\" width=\"{eligible:.1}\" height=\"22\" fill=\"var(--c0)\"/><text x=\"{:.1}\" y=\"19\">{} ({share})</text>",
            308.0 + all,
            layer.n_users,
        );
        let says = fill(
            words.users_eligible,
            &[
                &label,
                &layer.n_users.to_string(),
                &share,
                &layer.n_eligible.to_string(),
            ],
        );
        rows.row(
            &[("tenant", &layer.tenant), ("layer", &layer.layer)],
            &label,
            &says,
            &shapes,
        );
    }
    rows.chart(words.users_per_layer.into(), sentence(&said))
}

/// Histogram of users over 50 bins of the score range.
pub(super) fn score_histogram(model: &Model, words: &Words) -> Result<Chart> {
    let bins = &model.layering.score_histogram;
    let most = bins.iter().copied().max().unwrap_or(1).max(1);
    let n_bins = bins.len().max(1) as f64;
    let mode = bins.iter().position(|n| *n == most).unwrap_or(0) as f64 / n_bins;
    let said = fill(
        words.scores_note,
        &[&format!("{mode:.2}"), &format!("{:.2}", mode + 1.0 / n_bins)],
    );
    draw(words.scores, said, (720, 260), |root| {
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
            .x_desc(words.score)
            .y_desc(words.users)
            .label_style(text(12))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()?;
        chart.draw_series(bins.iter().enumerate().map(|(idx, n)| {
            let left = idx as f64 / n_bins;
            Rectangle::new(
                [(left + 0.001, 0.0), (left + 1.0 / n_bins - 0.001, *n as f64)],
                CANDIDATE.mix(0.8).filled(),
            )
        }))?;
        Ok(())
    })
}

/// QoS of both releases over time, one chart for each layer that the candidate reached.
pub(super) fn qos_over_time(ramp: &RampModel, zone: &Zone, words: &Words) -> Result<Vec<Chart>> {
    let reached: Vec<&LayerAnalysis> = ramp
        .analysis
        .layers
        .iter()
        .filter(|layer| layer.n_exposed > 0)
        .collect();
    let most = points_of_each(2 * reached.len());
    let mut charts = Vec::new();
    for layer in reached {
        let points = |arm: Arm| -> Vec<Point> {
            let of_arm = layer.series.iter().filter(|point| point.arm == arm);
            let known = of_arm.filter_map(|p| p.qos.value().map(|qos| (0.5 * (p.start + p.end) as f64, qos)));
            // QoS lies in 0..=1, but a symmetric interval may exceed that range.
            let around = |ci: Interval| Some((ci.ci_lower.clamp(0.0, 1.0), ci.ci_upper.clamp(0.0, 1.0)));
            known
                .map(|(x, qos)| Point {
                    x,
                    y: qos.value.qos,
                    around: around(qos.ci),
                })
                .collect()
        };
        let arms = [
            (Arm::Baseline, BASELINE, words.baseline),
            (Arm::Candidate, CANDIDATE, words.candidate),
        ];
        let arms = arms.map(|(arm, color, word)| (points(arm), color, word));
        let all = || arms.iter().flat_map(|arm| &arm.0);
        if all().next().is_none() {
            continue;
        }
        let low = all()
            .map(Point::low)
            .fold(f64::INFINITY, f64::min)
            .clamp(0.0, 0.95)
            - 0.01;
        let high = all()
            .map(Point::high)
            .fold(f64::NEG_INFINITY, f64::max)
            .clamp(0.05, 1.0)
            + 0.01;
        let said = arms.iter().filter_map(|(points, _, word)| {
            let (first, last) = (points.first()?, points.last()?);
            Some(fill(
                words.from_to,
                &[word, &format!("{:.3}", first.y), &format!("{:.3}", last.y)],
            ))
        });
        let said: Vec<String> = said.collect();
        let changes: Vec<(f64, Ratio)> = layer
            .stages
            .iter()
            .skip(1)
            .map(|stage| (stage.start as f64, stage.ratio))
            .collect();
        let mut curves = Curves::over_time(ramp.analysis.start, ramp.analysis.as_of, "QoS", Scale::Quality);
        let drawn = arms.map(|(points, color, word)| {
            let kept = thin(&points, most);
            let curve = Curve {
                name: word.into(),
                color: color_name(color),
                ..Curve::default()
            };
            curves.add(curve, &kept, points.len());
            (kept, color, word)
        });
        changes
            .iter()
            .for_each(|(at, ratio)| curves.mark(*at, ratio.to_string()));
        let title = fill(words.qos_over_time, &[&name(ramp, &layer.tenant, &layer.layer)]);
        let chart = draw(title, said.join("; "), (720, 280), |root| {
            let mut chart = ChartBuilder::on(root)
                .margin(12)
                .margin_top(32)
                .margin_right(30)
                .x_label_area_size(36)
                .y_label_area_size(56)
                .build_cartesian_2d(
                    time_axis(ramp.analysis.start, ramp.analysis.as_of, zone),
                    marked(low..high, round_marks(&(low..high), 6.0)),
                )?;
            time_mesh(&mut chart, zone, "QoS", &|y| format!("{y:.2}"))?;
            for (idx, (points, color, word)) in drawn.iter().enumerate().filter(|(_, arm)| !arm.0.is_empty())
            {
                let upper = points.iter().map(|point| (point.x, point.high()));
                let around: Vec<(f64, f64)> = upper
                    .chain(points.iter().rev().map(|point| (point.x, point.low())))
                    .collect();
                chart.draw_series([Polygon::new(around, color.mix(0.18))])?;
                chart.draw_series(LineSeries::new(
                    points.iter().map(|point| (point.x, point.y)),
                    color.stroke_width(2),
                ))?;
                if let [only] = points.as_slice() {
                    chart.draw_series([PathElement::new(
                        vec![(only.x, only.low()), (only.x, only.high())],
                        color.stroke_width(2),
                    )])?;
                    chart.draw_series([Circle::new((only.x, only.y), 3, color.filled())])?;
                }
                let x = 540 + 80 * idx as i32;
                root.draw(&Circle::new((x, 8), 4, color.filled()))?;
                root.draw(&Text::new(*word, (x + 9, 1), (FONT, 13).into_font().color(color)))?;
            }
            let mut free = i32::MIN;
            for (at, ratio) in &changes {
                chart.draw_series([PathElement::new(vec![(*at, low), (*at, high)], INK.mix(0.3))])?;
                let (x, y) = chart.backend_coord(&(*at, high));
                // The label of a change too close to the previous label is left out.
                if x >= free {
                    root.draw(&Text::new(ratio.to_string(), (x - 10, y - 14), text(12)))?;
                    free = x + 44;
                }
            }
            Ok(())
        })?;
        let keys = vec![
            ("tenant", layer.tenant.clone()),
            ("layer", layer.layer.clone()),
            ("metric", "QoS".to_owned()),
        ];
        charts.push(Chart { keys, ..chart }.with_curves(curves));
    }
    Ok(charts)
}

/// A linear axis with given marks.
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

fn time_mesh(
    chart: &mut TimeChart<'_, '_>,
    zone: &Zone,
    y_desc: &str,
    y_format: &dyn Fn(&f64) -> String,
) -> PlotResult {
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text(12))
        .y_desc(y_desc)
        .x_label_formatter(&|x| zone.format_short(*x as i64))
        .y_label_formatter(y_format)
        .draw()?;
    Ok(())
}

/// A time axis with marks at local midnights, or at whole hours for a short period.
fn time_axis(start: Micros, end: Micros, zone: &Zone) -> Axis {
    let steps = [
        HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        7 * DAY,
        14 * DAY,
        28 * DAY,
    ];
    let longest = ((end - start) / 7).max(HOUR);
    let step = steps.into_iter().find(|step| *step >= longest).unwrap_or(longest);
    let first = zone.wall(start).div_euclid(step) * step;
    let marks = (0..64)
        .map(|k| zone.at_wall(first + k * step))
        .filter(|mark| (start..=end).contains(mark))
        .map(|mark| mark as f64)
        .collect();
    marked(start as f64..end as f64, marks)
}

fn marked(range: Range<f64>, marks: Vec<f64>) -> Axis {
    Axis { range, marks }
}

/// Returns about `n` marks at round numbers within a range.
fn round_marks(range: &Range<f64>, n: f64) -> Vec<f64> {
    let rough = (range.end - range.start) / n;
    let magnitude = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * magnitude)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let first = (range.start / step).ceil() as i64;
    (first..)
        .map(|k| k as f64 * step)
        .take_while(|mark| *mark <= range.end)
        .collect()
}

/// Harm on every guardrail in every layer, in units of its margin, so that all metrics share one
/// scale. `None` if no guardrail has a harm and a margin.
pub(super) fn harm_forest(ramp: &RampModel, words: &Words) -> Option<Chart> {
    let of_stage = |layer: &'_ LayerAnalysis| {
        layer
            .current()
            .map_or(&[][..], |stage| &stage.guardrails)
            .to_vec()
    };
    let findings = ramp
        .analysis
        .layers
        .iter()
        .flat_map(|layer| of_stage(layer).into_iter().map(move |finding| (layer, finding)));
    let scaled: Vec<_> = findings
        .filter_map(|(layer, finding)| {
            let judged = &finding.judged;
            let margin = judged.margin.filter(|margin| *margin > 0.0)?;
            let (harm, interval) = (judged.harm? / margin, judged.interval?);
            let interval = Interval {
                ci_lower: interval.ci_lower / margin,
                ci_upper: interval.ci_upper / margin,
            };
            let violated = judged.verdict == crate::stats::non_inferiority::HarmVerdict::Violated;
            Some((layer, finding.metric, harm, interval, violated))
        })
        .collect();
    if scaled.is_empty() {
        return None;
    }
    let kind = match ramp.analysis.policy.sequential {
        Sequential::Anytime => words.harm_anytime,
        Sequential::Fixed => words.harm_fixed,
        Sequential::GroupSequential => words.harm_gates,
    };
    let harms: Vec<Harm<'_>> = scaled
        .iter()
        .map(|(layer, metric, harm, interval, violated)| Harm {
            keys: vec![
                ("tenant", layer.tenant.as_str()),
                ("layer", layer.layer.as_str()),
                ("metric", metric.as_str()),
            ],
            label: format!("{}: {metric}", name(ramp, &layer.tenant, &layer.layer)),
            harm: *harm,
            interval: *interval,
            violated: *violated,
        })
        .collect();
    Some(harms_in_margins(&harms, fill(words.harm_title, &[kind]), words))
}

/// A harm in units of its margin.
pub(super) struct Harm<'a> {
    /// Filter keys of the row, with their values.
    pub(super) keys: Vec<(&'a str, &'a str)>,
    pub(super) label: String,
    pub(super) harm: f64,
    pub(super) interval: Interval,
    pub(super) violated: bool,
}

/// Harms on one scale, one row each. Below 0 the candidate is better, above 1 it is worse than
/// allowed.
pub(super) fn harms_in_margins(harms: &[Harm<'_>], title: String, words: &Words) -> Chart {
    /// The end of the scale, in margins. Larger values are drawn as arrows at the end.
    const FAR: f64 = 4.0;
    let x_of = |value: f64| 310.0 + (value.clamp(-FAR, FAR) + FAR) / (2.0 * FAR) * 390.0;
    let mut rows = Rows::new(harms.len(), 44, 26, 4);
    for tick in -4..=4 {
        let (color, width) = match tick {
            0 => ("edge", 1),
            1 => ("alarm", 2),
            _ => ("line", 1),
        };
        rows.rule(x_of(f64::from(tick)), color, width);
        rows.head(x_of(f64::from(tick)), 34, "middle", &tick.to_string());
    }
    for (at, anchor, word) in [
        (-FAR, "start", words.better),
        (1.0, "middle", words.margin),
        (FAR, "end", words.worse),
    ] {
        rows.head(x_of(at), 14, anchor, word);
    }
    let mut said = Vec::new();
    for Harm {
        keys,
        label,
        harm,
        interval,
        violated,
    } in harms
    {
        let mut says = fill(words.harm_row, &[label, &format!("{harm:.2}")]);
        if *violated {
            says = fill(words.harm_violated, &[&says]);
        }
        let color = if *violated { "alarm" } else { "c0" };
        let x = x_of(*harm);
        let shape = if harm.abs() <= FAR {
            format!("M{:.1} 9h8v8h-8z", x - 4.0)
        } else {
            format!(
                "M{x:.1} 7l{} 6l{} 6z",
                if *harm > 0.0 { 8 } else { -8 },
                if *harm > 0.0 { -8 } else { 8 }
            )
        };
        let shapes = format!(
            "<path d=\"M{:.1} 13H{:.1}\" stroke=\"var(--{color})\"/><path d=\"{shape}\" fill=\"var(--{color})\"/>",
            x_of(interval.ci_lower),
            x_of(interval.ci_upper)
        );
        let tip = format!(
            "{says} [{}, {}]",
            number(interval.ci_lower),
            number(interval.ci_upper)
        );
        rows.row(keys, label, &tip, &shapes);
        said.push(says);
    }
    rows.chart(title, sentence(&said))
}

/// Ratios over time, with the next step after `as_of`.
pub(super) fn ratios_over_time(ramp: &RampModel, zone: &Zone, words: &Words) -> Result<Chart> {
    /// The largest number of layers whose names fit beside the curves.
    const NAMED: usize = 16;
    let analysis = &ramp.analysis;
    let ahead = ((analysis.as_of - analysis.start) / 8).max(DAY / 4);
    let end = analysis.as_of + ahead;
    let label = |tenant: &str, layer: &str| name(ramp, tenant, layer);
    let said: Vec<String> = ramp
        .schedule
        .layers
        .iter()
        .map(|l| {
            fill(
                words.ratio_to,
                &[
                    &label(&l.tenant, &l.layer),
                    &l.ratio.to_string(),
                    &l.next_ratio.to_string(),
                ],
            )
        })
        .collect();
    let next: HashMap<(&str, &str), Ratio> = ramp
        .schedule
        .layers
        .iter()
        .map(|l| ((l.tenant.as_str(), l.layer.as_str()), l.next_ratio))
        .collect();
    let mut curves = Curves::over_time(analysis.start, end, words.ratio, Scale::Ratio);
    curves.mark(analysis.as_of as f64, words.now.to_owned());
    for (idx, layer) in analysis.layers.iter().enumerate() {
        let Some(last) = layer.stages.last() else { continue };
        let curve = || Curve {
            name: label(&layer.tenant, &layer.layer),
            tenant: layer.tenant.clone(),
            layer: layer.layer.clone(),
            color: color_name(PALETTE[idx % PALETTE.len()]),
            step: true,
            ..Curve::default()
        };
        let at = |time: i64, ratio: Ratio| Point::new(time as f64, ratio.share());
        let mut points: Vec<Point> = layer
            .stages
            .iter()
            .map(|stage| at(stage.start, stage.ratio))
            .collect();
        points.push(at(analysis.as_of, last.ratio));
        curves.add(curve(), &points, points.len());
        if let Some(next) = next.get(&(layer.tenant.as_str(), layer.layer.as_str())) {
            let points = [at(analysis.as_of, *next), at(end, *next)];
            curves.add(
                Curve {
                    dash: true,
                    ..curve()
                },
                &points,
                points.len(),
            );
        }
    }
    let chart = draw(words.ratios, sentence(&said), (720, 320), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(130)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(
                time_axis(analysis.start, end, zone),
                marked(
                    -0.03..1.05,
                    [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0]
                        .map(f64::sqrt)
                        .to_vec(),
                ),
            )?;
        // A square-root axis shows both 1 % and 100 %.
        time_mesh(&mut chart, zone, words.ratio, &|y| {
            format!("{:.0}%", y * y * 100.0)
        })?;
        let now = analysis.as_of as f64;
        chart.draw_series([PathElement::new(vec![(now, -0.03), (now, 1.05)], INK.mix(0.4))])?;
        let mut ends: Vec<(f64, String, RGBColor)> = Vec::new();
        // A few layers are drawn with small offsets, so that equal ratios stay visible. Of many
        // layers, equal curves are drawn once.
        let is_few = analysis.layers.len() <= NAMED;
        let mut courses = HashSet::new();
        for (idx, layer) in analysis.layers.iter().enumerate() {
            let color = PALETTE[idx % PALETTE.len()];
            let next = next.get(&(layer.tenant.as_str(), layer.layer.as_str()));
            let course: Vec<(i64, i64, Ratio)> = layer
                .stages
                .iter()
                .map(|stage| (stage.start, stage.end, stage.ratio))
                .collect();
            if !is_few && !courses.insert((course.clone(), next)) {
                continue;
            }
            let at = |ratio: Ratio| ratio.share().sqrt() + if is_few { idx as f64 * 0.006 } else { 0.0 };
            let steps: Vec<(f64, f64)> = course
                .iter()
                .flat_map(|(start, end, ratio)| [(*start as f64, at(*ratio)), (*end as f64, at(*ratio))])
                .collect();
            chart.draw_series(LineSeries::new(steps.iter().copied(), color.stroke_width(2)))?;
            if let (Some(next), Some(last)) = (next, steps.last().copied()) {
                let y = at(*next);
                let style = color.stroke_width(2);
                chart.draw_series(DashedLineSeries::new(
                    [last, (now, y), (end as f64, y)],
                    4,
                    3,
                    style,
                ))?;
                ends.push((y, label(&layer.tenant, &layer.layer), color));
            }
        }
        if !is_few {
            let mut n_at: BTreeMap<Ratio, usize> = BTreeMap::new();
            ramp.schedule
                .layers
                .iter()
                .for_each(|layer| *n_at.entry(layer.next_ratio).or_default() += 1);
            ends = n_at
                .into_iter()
                .map(|(at, n)| (at.share().sqrt(), fill(words.n_layers, &[&n.to_string()]), INK))
                .collect();
        }
        names(root, ends, |y| chart.backend_coord(&(end as f64, y)))
    })?;
    Ok(chart.with_curves(curves))
}

/// Writes names beside the ends of curves, moved apart so that they do not overlap.
pub(super) fn names(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    mut ends: Vec<(f64, String, RGBColor)>,
    to_pixel: impl Fn(f64) -> (i32, i32),
) -> PlotResult {
    /// Height of a name, pixels.
    const LINE: i32 = 15;
    ends.sort_by(|a, b| b.0.total_cmp(&a.0));
    // First from top to bottom, then back from bottom to top, so that all names stay in the chart.
    let mut pixels: Vec<(i32, i32)> = ends
        .iter()
        .map(|end| to_pixel(end.0))
        .map(|(x, pixel)| (x + 6, pixel - 7))
        .collect();
    let mut free = 0;
    for (_, pixel) in &mut pixels {
        *pixel = (*pixel).max(free);
        free = *pixel + LINE;
    }
    let mut free = root.dim_in_pixel().1 as i32 - LINE;
    for (_, pixel) in pixels.iter_mut().rev() {
        *pixel = (*pixel).min(free);
        free = *pixel - LINE;
    }
    for ((_, word, color), at) in ends.into_iter().zip(pixels) {
        root.draw(&Text::new(
            short(&word, 18),
            at,
            (FONT, 13).into_font().color(&color),
        ))?;
    }
    Ok(())
}

/// Returns the layer's id, with the tenant if there are several tenants.
pub(super) fn name(ramp: &RampModel, tenant: &str, layer: &str) -> String {
    let several = ramp.analysis.layers.iter().any(|l| l.tenant != tenant);
    if several {
        format!("{tenant} / {layer}")
    } else {
        layer.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time;

    #[test]
    fn marks_are_at_local_midnights() {
        let check = |zone: &str, start: &str, end: &str, expected: &[&str]| {
            let zone = Zone::by_name(zone).unwrap();
            let [start, end] = [start, end].map(|text| time::parse(text).unwrap());
            let axis = time_axis(start, end, &zone);
            let marks: Vec<String> = axis.marks.iter().map(|mark| time::format(*mark as i64)).collect();
            assert_eq!(marks, expected, "{zone:?}");
            let is_midnight = |mark: &f64| zone.format_short(*mark as i64).ends_with(" 00:00");
            assert!(axis.marks.iter().all(is_midnight));
        };
        check(
            "America/New_York",
            "2026-03-06T12:00:00Z",
            "2026-03-10T03:59:59Z",
            &[
                "2026-03-07T05:00:00Z",
                "2026-03-08T05:00:00Z",
                "2026-03-09T04:00:00Z",
            ],
        );
        check(
            "UTC",
            "2026-03-06T12:00:00Z",
            "2026-03-10T12:00:00Z",
            &[
                "2026-03-07T00:00:00Z",
                "2026-03-08T00:00:00Z",
                "2026-03-09T00:00:00Z",
                "2026-03-10T00:00:00Z",
            ],
        );
    }

    #[test]
    fn plots_follow_the_page() {
        let chart = draw("t", "d", (720, 100), |root| {
            root.draw(&PathElement::new(vec![(1, 2), (3, 4)], GRID))?;
            root.draw(&Text::new("0.12345 <b>", (5, 6), text(12)))?;
            root.draw(&PathElement::new(vec![(5, 6), (7, 4), (9, 9)], CANDIDATE))?;
            Ok(())
        });
        let svg = chart.map(|chart| chart.svg).unwrap_or_default();
        assert!(
            svg.contains("<path d=\"M1,2 3,4\" stroke=\"var(--line)\"/>"),
            "{svg}"
        );
        assert!(
            svg.contains("0.12345 &lt;b&gt;")
                && svg.contains("stroke=\"var(--c0)\" d=\"M5 6l2-2 2 5\"/>")
                && !svg.contains('#'),
            "{svg}"
        );
    }
}
