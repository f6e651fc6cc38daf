//! What a candidate has cost so far, from an analysis.

use crate::analysis::{Analysis, LayerAnalysis};
use crate::metric::{Better, Metric};
use crate::report::nights::model::HarmSoFar;
use crate::stats::Interval;

/// Sums the harm of each guardrail of a layer over its stages: the effect in the bad direction times
/// the denominator of the candidate.
///
/// The ends of the interval are the sums of the stages' ends, for one look. Stages share users, and
/// this sum is wide enough for any correlation between them. A stage without an effect, such as one
/// at ratio 1, adds nothing to the sum, and its rows are counted apart. A guardrail without a single
/// compared row is left out.
///
/// # References
/// `docs/METHODS.md#cost-so-far`.
pub fn harms(analysis: &Analysis, layer: &LayerAnalysis) -> Vec<HarmSoFar> {
    let guardrails = layer.current().map_or(&[][..], |stage| &stage.guardrails);
    let mut found: Vec<HarmSoFar> = Vec::new();
    for guardrail in guardrails {
        let metric = analysis
            .metrics
            .iter()
            .find(|metric| metric.id == guardrail.metric);
        let Some((metric, unit)) = metric.and_then(|metric| Some((metric, unit_of(metric)?))) else {
            continue;
        };
        if found.iter().all(|other| other.metric != metric.id) {
            found.extend(harm(metric, unit, layer));
        }
    }
    found
}

/// The unit of a sum of harms. `None` for metrics whose harm cannot be added up over rows.
fn unit_of(metric: &Metric) -> Option<&'static str> {
    match metric.unit.as_str() {
        "share" => Some("events"),
        "USD" => Some("USD"),
        _ => None,
    }
}

fn harm(metric: &Metric, unit: &str, layer: &LayerAnalysis) -> Option<HarmSoFar> {
    let (mut extra, mut interval) = (0.0, Interval::around(0.0, 0.0));
    let (mut n_counted, mut n_not_compared) = (0.0, 0.0);
    for stage in &layer.stages {
        let Some(of_stage) = stage.metrics.iter().find(|other| other.metric == metric.id) else {
            continue;
        };
        let n = of_stage.candidate.denominator;
        let effect = of_stage.effect.value().filter(|effect| {
            let ends = [effect.effect_size, effect.ci.ci_lower, effect.ci.ci_upper];
            ends.iter().all(|end| end.is_finite())
        });
        let Some(effect) = effect else {
            n_not_compared += n;
            continue;
        };
        let (harm, ends) = match metric.better {
            Better::Lower => (effect.effect_size, effect.ci),
            Better::Higher => (-effect.effect_size, effect.ci.negated()),
        };
        extra += harm * n;
        interval = Interval {
            ci_lower: interval.ci_lower + ends.ci_lower * n,
            ci_upper: interval.ci_upper + ends.ci_upper * n,
        };
        n_counted += n;
    }
    (n_counted > 0.0).then(|| HarmSoFar {
        metric: metric.id.clone(),
        unit: unit.to_owned(),
        extra,
        interval,
        n_counted,
        n_not_compared,
    })
}
