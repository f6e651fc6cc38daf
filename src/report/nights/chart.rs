//! The ratios of a ramp so far: one row a layer, from the log of changes.

use std::fmt::Write;

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::report::nights::model::NightsLayer;
use crate::report::nights::rows::View;
use crate::report::rows::Rows;
use crate::report::svg::Chart;
use crate::words::nights as say;

/// The ends of the time axis on wide and on narrow screens, and the height of a row.
const WIDE: [f64; 2] = [300.0, 640.0];
const NARROW: [f64; 2] = [4.0, 280.0];
const STEP: u32 = 40;
const ROOM: f64 = 26.0;

/// Draws the ratios of all layers. `None` if no ratio has changed.
pub(super) fn ratios(view: View<'_>) -> Option<Chart> {
    let ramp = view.ramp;
    let first = ramp.changes.iter().map(|row| row.operate_time).min()?;
    let start = first.min(ramp.start);
    let end = ramp.as_of.max(start + 1);
    let n_rows = ramp.layers.len();
    let (wide, said) = drawn(view, [start, end], Rows::new(n_rows, 24, STEP, 4), WIDE);
    let (narrow, _) = drawn(view, [start, end], Rows::narrow(n_rows, 24, STEP, 4), NARROW);
    Some(Chart {
        narrow: narrow.svg(),
        ..wide.chart(view.text(&say::ratios()), said.join("; "))
    })
}

/// The rows of all layers between two ends of the time axis, and what each shows in words.
fn drawn(
    view: View<'_>,
    [start, end]: [Micros; 2],
    mut rows: Rows,
    [left, right]: [f64; 2],
) -> (Rows, Vec<String>) {
    let ramp = view.ramp;
    for (x, at, anchor) in [(left, start, "start"), (right, end, "end")] {
        rows.head(x, 14, anchor, &ramp.time_zone.format_short(at));
    }
    let x_of =
        |at: Micros| left + (right - left) * ((at - start) as f64 / (end - start) as f64).clamp(0.0, 1.0);
    let mut said = Vec::new();
    for layer in &ramp.layers {
        let steps = steps_of(view, layer, start);
        let last = steps.last().map_or(Ratio::ZERO, |(_, ratio)| *ratio);
        let label = view.layer_name(&layer.tenant, &layer.layer);
        let words = view.text(&say::ratios_row(&label, last.to_string()));
        let keys = [("tenant", layer.tenant.as_str()), ("layer", layer.layer.as_str())];
        rows.row(
            &keys,
            &label,
            &words,
            &shapes(&steps, last, [x_of(start), x_of(end)], x_of),
        );
        said.push(words);
    }
    (rows, said)
}

/// The instants at which the ratio of a layer changed, with the ratio from then on.
fn steps_of(view: View<'_>, layer: &NightsLayer, start: Micros) -> Vec<(Micros, Ratio)> {
    let changes = view.ramp.changes.iter();
    let mut steps = vec![(start, Ratio::ZERO)];
    for row in changes.filter(|row| row.is_of(&layer.tenant, &layer.layer)) {
        if steps.len() == 1 {
            steps[0].1 = row.old_value;
        }
        steps.push((row.in_force().unwrap_or(row.operate_time), row.new_value));
    }
    steps
}

fn shapes(
    steps: &[(Micros, Ratio)],
    last: Ratio,
    [left, right]: [f64; 2],
    x_of: impl Fn(Micros) -> f64,
) -> String {
    let base = f64::from(STEP) - 7.0;
    let y_of = |ratio: Ratio| base - ROOM * ratio.share().sqrt();
    let mut path = String::new();
    let mut falls = String::new();
    let mut before = Ratio::ZERO;
    // Writing to a string cannot fail.
    for (at, ratio) in steps {
        let (x, y) = (x_of(*at), y_of(*ratio));
        let _ = if path.is_empty() {
            write!(path, "M{x:.1} {y:.1}")
        } else {
            write!(path, "H{x:.1}V{y:.1}")
        };
        if *ratio == Ratio::ZERO && before > Ratio::ZERO {
            let _ = write!(
                falls,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"var(--alarm)\" stroke=\"none\"/>"
            );
        }
        before = *ratio;
    }
    let _ = write!(path, "H{right:.1}");
    format!(
        "<path d=\"M{left:.1} {base}H{right:.1}\" stroke=\"var(--line)\" stroke-width=\"1\"/>\
         <path d=\"{path}\" fill=\"none\" stroke=\"var(--c0)\" stroke-width=\"2\"/>{falls}\
         <text x=\"{:.1}\" y=\"{:.1}\">{last}</text>",
        right + 8.0,
        base - 4.0
    )
}
