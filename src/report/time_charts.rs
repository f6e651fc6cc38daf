//! Charts over time: QoS of both releases, and ratios.

use hashbrown::{HashMap, HashSet};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::analysis::LayerAnalysis;
use crate::base::error::Result;
use crate::base::number::count;
use crate::base::time::{DAY, HOUR, Micros, Zone};
use crate::bucket::Ratio;
use crate::report::curves::{Curve, Curves, Point, Scale, points_of_each, thin};
use crate::report::model::{LayerNames, RampModel};
use crate::report::svg::{
    BASELINE, CANDIDATE, Canvas, Chart, FONT, GRID, INK, PALETTE, PlotResult, color_name, draw, names,
    sentence, text,
};
use crate::scenario::Arm;
use crate::stats::Interval;
use crate::words::{Words, fill};

/// QoS of both releases over time, one chart for each layer that the candidate reached.
pub(super) fn qos_over_time(
    ramp: &RampModel,
    names: &LayerNames,
    zone: &Zone,
    words: &Words,
) -> Result<Vec<Chart>> {
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
        let title = fill(words.qos_over_time, &[&names.of(&layer.tenant, &layer.layer)]);
        let chart = draw(title, said.join("; "), 280, |root, canvas| {
            let mut chart = ChartBuilder::on(root)
                .margin(12)
                .margin_top(32)
                .margin_right(canvas.pick(30, 16))
                .x_label_area_size(44)
                .y_label_area_size(56)
                .build_cartesian_2d(
                    time_axis((ramp.analysis.start, ramp.analysis.as_of), zone, canvas),
                    marked(low..high, round_marks(&(low..high), 6.0)),
                )?;
            time_mesh(&mut chart, zone, [words.local_time, "QoS"], &|y| {
                format!("{y:.2}")
            })?;
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
                let x = canvas.pick(540, 170) + canvas.pick(80, 92) * idx as i32;
                root.draw(&Circle::new((x, 8), 4, color.filled()))?;
                root.draw(&Text::new(*word, (x + 9, 1), (FONT, 13).into_font().color(color)))?;
            }
            let mut free = i32::MIN;
            for (at, ratio) in &changes {
                chart.draw_series([PathElement::new(vec![(*at, low), (*at, high)], INK.mix(0.3))])?;
                let (x, y) = chart.backend_coord(&(*at, high));
                // The label of a change too close to the previous label is left out.
                let width = canvas.width as i32;
                if x >= free && x + 34 <= width {
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

/// Ratios over time, with the next step after `as_of`.
pub(super) fn ratios_over_time(
    ramp: &RampModel,
    layer_names: &LayerNames,
    zone: &Zone,
    words: &Words,
) -> Result<Chart> {
    /// The largest number of layers whose names fit beside the curves.
    const NAMED: usize = 16;
    let analysis = &ramp.analysis;
    let ahead = ((analysis.as_of - analysis.start) / 8).max(DAY / 4);
    let end = analysis.as_of + ahead;
    let label = |tenant: &str, layer: &str| layer_names.of(tenant, layer);
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
    let mut curves = Curves::over_time(analysis.start, end, words.ratio_axis, Scale::Ratio);
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
    let chart = draw(words.ratios, sentence(&said), 320, |root, canvas| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(canvas.names_width())
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(
                time_axis((analysis.start, end), zone, canvas),
                marked(
                    -0.03..1.05,
                    [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0]
                        .map(f64::sqrt)
                        .to_vec(),
                ),
            )?;
        // A square-root axis shows both 1 % and 100 %.
        time_mesh(&mut chart, zone, [words.local_time, words.ratio_axis], &|y| {
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
                .map(|(at, n)| (at.share().sqrt(), fill(words.n_layers, &[&count(n as u64)]), INK))
                .collect();
        }
        names(root, ends, canvas, |y| chart.backend_coord(&(end as f64, y)))
    })?;
    Ok(chart.with_curves(curves))
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
    [x_desc, y_desc]: [&str; 2],
    y_format: &dyn Fn(&f64) -> String,
) -> PlotResult {
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text(12))
        .x_desc(fill(x_desc, &[zone.name()]))
        .y_desc(y_desc)
        .x_label_formatter(&|x| mark_text(*x as Micros, zone))
        .y_label_formatter(y_format)
        .draw()?;
    Ok(())
}

/// The label of a mark: the day at midnight, else the time of day.
fn mark_text(at: Micros, zone: &Zone) -> String {
    let is_midnight = zone.wall(at).rem_euclid(DAY) == 0;
    zone.format_as(at, if is_midnight { "%m-%d" } else { "%H:%M" })
}

/// A time axis with marks at local midnights, or at whole hours for a short period.
fn time_axis((start, end): (Micros, Micros), zone: &Zone, canvas: Canvas) -> Axis {
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
    let longest = ((end - start) / canvas.pick(7, 4)).max(HOUR);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time;

    #[test]
    fn marks_are_at_local_midnights() {
        let check = |zone: &str, start: &str, end: &str, expected: &[&str]| {
            let zone = Zone::by_name(zone).unwrap();
            let [start, end] = [start, end].map(|text| time::parse(text).unwrap());
            let canvas = Canvas {
                width: 720,
                height: 280,
                is_narrow: false,
            };
            let axis = time_axis((start, end), &zone, canvas);
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
}
