//! The effects of metrics as lines of a table.

use crate::analysis::{Analysis, StageAnalysis};
use crate::base::number::{p_value, percent};
use crate::report::model::RampModel;
use crate::report::values::{difference, interval, value};
use crate::scenario::LATENCY_P95;
use crate::stats::Known;
use crate::stats::effect::Effect;
use crate::words::Lang;

/// The unit of QoS, which no metric declares.
const SCORE: &str = "";

/// The effect of one metric in the current stage of a layer, as texts.
pub(super) struct EffectLine<'a> {
    pub(super) tenant: &'a str,
    pub(super) layer: &'a str,
    pub(super) metric: &'a str,
    /// Baseline, candidate, difference, interval, relative difference, p-value.
    pub(super) cells: [String; 6],
}

/// The effects of a stage with the metric's id and unit: QoS, the metrics, then the percentile of
/// latency. A metric without an effect has the reason.
pub(super) fn effects_of<'a>(
    analysis: &'a Analysis,
    stage: &'a StageAnalysis,
) -> impl Iterator<Item = (&'a str, &'a str, &'a Known<Effect>)> {
    let unit_of = |metric: &str| {
        let mut metrics = analysis.metrics.iter();
        metrics
            .find(|declared| declared.id == metric)
            .map_or(SCORE, |declared| declared.unit.as_str())
    };
    let of_metrics = stage
        .metrics
        .iter()
        .map(move |metric| (metric.metric.as_str(), unit_of(&metric.metric), &metric.effect));
    std::iter::once(("QoS", SCORE, &stage.qos.effect))
        .chain(of_metrics)
        .chain([(LATENCY_P95, "ms", &stage.latency_p95_ms.effect)])
}

/// The effects in the current stages, in plan order. Metrics without an effect are left out.
pub(super) fn effect_lines(ramp: &RampModel, lang: Lang) -> Vec<EffectLine<'_>> {
    let analysis = &ramp.analysis;
    let mut lines = Vec::new();
    for layer in &analysis.layers {
        let Some(stage) = layer.current() else { continue };
        let cells = |unit: &str, effect: &Known<Effect>| {
            let Known::Value(e) = effect else { return None };
            let relative = e
                .relative
                .map_or_else(|| "-".into(), |r| percent(r.rel_effect_size));
            Some([
                value(e.control, unit),
                value(e.treatment, unit),
                difference(e.effect_size, unit, lang),
                interval((e.anytime.ci_lower, e.anytime.ci_upper), unit, lang),
                relative,
                p_value(e.anytime_p_value),
            ])
        };
        for (metric, unit, effect) in effects_of(analysis, stage) {
            if let Some(cells) = cells(unit, effect) {
                lines.push(EffectLine {
                    tenant: &layer.tenant,
                    layer: &layer.layer,
                    metric,
                    cells,
                });
            }
        }
    }
    lines
}
