//! Charts of users: layers and scores.

use plotters::prelude::*;

use crate::base::error::Result;
use crate::base::number::{count, percent};
use crate::report::model::{LayerNames, Model};
use crate::report::rows::Rows;
use crate::report::svg::{CANDIDATE, Chart, GRID, draw, sentence, text};
use crate::words::{Words, fill};

/// Bar chart of the shares of users by layer.
pub(super) fn layer_distribution(model: &Model, names: &LayerNames, words: &Words) -> Chart {
    let layers = &model.layering.layers;
    let said: Vec<String> = layers
        .iter()
        .map(|l| format!("{} {}", names.of(&l.tenant, &l.layer), percent(l.share)))
        .collect();
    // Left end of the bars, and the room for the widest of them.
    let wide = bars(
        model,
        names,
        words,
        Rows::new(layers.len(), 24, 30, 0),
        (300.0, 270.0),
    );
    let narrow = bars(
        model,
        names,
        words,
        Rows::narrow(layers.len(), 24, 28, 0),
        (2.0, 210.0),
    );
    let chart = wide.chart(words.users_per_layer.into(), sentence(&said));
    Chart {
        narrow: narrow.svg(),
        ..chart
    }
}

fn bars(model: &Model, names: &LayerNames, words: &Words, mut rows: Rows, (left, room): (f64, f64)) -> Rows {
    let layers = &model.layering.layers;
    let most = layers.iter().map(|l| l.share).fold(0.0, f64::max).max(1e-9);
    rows.head(left, 14, "start", words.users_legend);
    for layer in layers {
        let label = names.of(&layer.tenant, &layer.layer);
        let width = |n: u64| {
            if layer.n_users == 0 {
                0.0
            } else {
                n as f64 / layer.n_users as f64 * layer.share / most * room
            }
        };
        let (all, eligible) = (width(layer.n_users), width(layer.n_eligible));
        let share = percent(layer.share);
        let shapes = format!(
            "<rect x=\"{left}\" y=\"4\" width=\"{all:.1}\" height=\"22\" opacity=\"0.35\" fill=\"var(--c0)\"/><rect x=\"{left}\" y=\"4\" width=\"{eligible:.1}\" height=\"22\" fill=\"var(--c0)\"/><text x=\"{:.1}\" y=\"19\">{} ({share})</text>",
            left + 8.0 + all,
            count(layer.n_users),
        );
        let says = fill(
            words.users_eligible,
            &[&label, &count(layer.n_users), &share, &count(layer.n_eligible)],
        );
        rows.row(
            &[("tenant", &layer.tenant), ("layer", &layer.layer)],
            &label,
            &says,
            &shapes,
        );
    }
    rows
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
    draw(words.scores, said, 260, |root, canvas| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(canvas.pick(70, 58))
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
            .y_label_formatter(&|y| count(y.round().max(0.0) as u64))
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
