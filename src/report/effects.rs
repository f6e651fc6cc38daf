//! The effects of metrics as lines of a table.

use crate::base::number::{p_value, percent};
use crate::report::model::RampModel;
use crate::report::values::{difference, interval, value};
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

/// The effects in the current stages, in plan order. Metrics without an effect are left out.
pub(super) fn effect_lines(ramp: &RampModel, lang: Lang) -> Vec<EffectLine<'_>> {
    let analysis = &ramp.analysis;
    let unit_of = |metric: &str| {
        let mut metrics = analysis.metrics.iter();
        metrics
            .find(|declared| declared.id == metric)
            .map_or(SCORE, |declared| declared.unit.as_str())
    };
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
        let of_metrics = stage
            .metrics
            .iter()
            .map(|metric| (metric.metric.as_str(), unit_of(&metric.metric), &metric.effect));
        let all = [("QoS", SCORE, &stage.qos.effect)]
            .into_iter()
            .chain(of_metrics)
            .chain([("latency_p95_ms", "ms", &stage.latency_p95_ms.effect)]);
        for (metric, unit, effect) in all {
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
