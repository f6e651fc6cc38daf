//! The tables of a report for programs: numbers in full, each column with a stable name.

use crate::analysis::{Analysis, LayerAnalysis, StageAnalysis, slices_of};
use crate::base::time;
use crate::ramp::{LayerSchedule, OperationRow, SrmEvidence};
use crate::report::effects::effects_of;
use crate::report::markdown::quality_rows;
use crate::report::model::{Model, RampModel};
use crate::scenario::{GuardrailRule, Policy};
use crate::stats::Known;
use crate::stats::effect::Effect;
use crate::words::export as texts;
use crate::words::{Lang, Text};

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ExportCell {
    /// No value.
    Empty,
    /// A text, never a formula.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
    /// A share, 0..=1, or a difference of shares.
    Share(f64),
    /// A difference of two shares, -1..=1, which people read in points.
    Points(f64),
}

/// A table: its stable name, the stable names of its columns, and rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExportTable {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<ExportCell>>,
}

impl ExportTable {
    /// The title of the table for people.
    pub(super) fn title(&self) -> Text {
        texts::title(self.name)
    }
}

use ExportCell::{Count, Empty, Number, Points, Share, Text as Word};

fn word(text: impl Into<String>) -> ExportCell {
    Word(text.into())
}

fn number(value: Option<f64>) -> ExportCell {
    value.filter(|value| value.is_finite()).map_or(Empty, Number)
}

fn share(value: Option<f64>) -> ExportCell {
    value.filter(|value| value.is_finite()).map_or(Empty, Share)
}

/// A value of a metric: a share as a share.
fn measured(value: Option<f64>, unit: &str) -> ExportCell {
    if unit == "share" {
        share(value)
    } else {
        number(value)
    }
}

/// A difference of two values of a metric: that of shares in points.
fn difference(value: Option<f64>, unit: &str) -> ExportCell {
    match value.filter(|value| value.is_finite()) {
        Some(value) if unit == "share" => Points(value),
        value => number(value),
    }
}

/// The names of the sheets of a workbook, in their order.
pub(super) const SHEETS: [&str; 6] = [
    "decisions",
    "effects",
    "slices",
    "schedule",
    "operations",
    "costs",
];

/// All tables of a report. `operations` is the whole log of changes.
pub(super) fn tables(model: &Model, operations: &[OperationRow], lang: Lang) -> Vec<ExportTable> {
    let mut tables = Vec::new();
    if let Some(ramp) = &model.ramp {
        tables.extend([
            decisions(model, ramp, lang),
            effects(&ramp.analysis),
            slices(&ramp.analysis),
            schedule(&ramp.schedule.layers, lang),
            log(operations),
            costs(&ramp.analysis),
            gate(ramp, lang),
            sample_ratios(&ramp.analysis),
        ]);
    }
    tables.push(layers(model));
    tables.push(quality(model, lang));
    tables
}

/// The stage in force of a layer of the schedule.
fn stage_of<'a>(
    analysis: &'a Analysis,
    layer: &LayerSchedule,
) -> (Option<&'a LayerAnalysis>, Option<&'a StageAnalysis>) {
    let is = |other: &&LayerAnalysis| (&other.tenant, &other.layer) == (&layer.tenant, &layer.layer);
    let found = analysis.layers.iter().find(is);
    (found, found.and_then(LayerAnalysis::current))
}

fn decisions(model: &Model, ramp: &RampModel, lang: Lang) -> ExportTable {
    let row = |layer: &LayerSchedule| {
        let (analyzed, stage) = stage_of(&ramp.analysis, layer);
        let is_anytime = ramp.analysis.policy.sequential.is_anytime();
        let candidate = stage.and_then(|stage| stage.qos.candidate.value().copied());
        let interval = candidate.map(|arm| if is_anytime { arm.anytime } else { arm.ci });
        let baseline = stage.and_then(|stage| stage.qos.baseline.value().copied());
        let name = model.study.layers.iter().find(|(id, _)| *id == layer.layer);
        let srm = stage.and_then(|stage| SrmEvidence::from_stage(stage, &ramp.analysis.policy));
        let outlook = layer.outlook.as_ref().filter(|outlook| outlook.is_open());
        vec![
            word(&layer.tenant),
            word(&layer.layer),
            word(name.map_or("", |(_, name)| name.of(lang))),
            word(layer.verdict.name()),
            Share(layer.ratio.share()),
            Share(layer.next_ratio.share()),
            word(layer.first_blocking.clone().unwrap_or_default()),
            word(layer.why().of(lang)),
            outlook.map_or(Empty, |outlook| word(outlook.sentence().of(lang))),
            analyzed.map_or(Empty, |layer| Count(layer.n_users)),
            Count(layer.evidence.n_eligible),
            analyzed.map_or(Empty, |layer| Count(layer.n_exposed)),
            Count(layer.evidence.rows.baseline),
            Count(layer.evidence.rows.candidate),
            Count(layer.evidence.users.baseline),
            Count(layer.evidence.users.candidate),
            number(baseline.map(|arm| arm.value.qos)),
            number(candidate.map(|arm| arm.value.qos)),
            number(interval.map(|interval| interval.ci_lower)),
            number(interval.map(|interval| interval.ci_upper)),
            number(srm.map(|srm| srm.p_value)),
        ]
    };
    ExportTable {
        name: "decisions",
        columns: &[
            "tenant",
            "layer",
            "name",
            "verdict",
            "ratio",
            "next_ratio",
            "first_blocking",
            "reason",
            "to_decide",
            "users",
            "eligible",
            "exposed",
            "rows_baseline",
            "rows_candidate",
            "users_baseline",
            "users_candidate",
            "qos_baseline",
            "qos_candidate",
            "qos_lower",
            "qos_upper",
            "srm_p_value",
        ],
        rows: ramp.schedule.layers.iter().map(row).collect(),
    }
}

/// The cells of an effect: both values, the effect, its interval and p-value as the policy uses them,
/// and the relative effect.
fn effect_cells(effect: &Effect, unit: &str, policy: &Policy) -> Vec<ExportCell> {
    let (interval, p_value) = if policy.sequential.is_anytime() {
        (effect.anytime, effect.anytime_p_value)
    } else {
        (effect.ci, effect.p_value)
    };
    vec![
        measured(Some(effect.control), unit),
        measured(Some(effect.treatment), unit),
        difference(Some(effect.effect_size), unit),
        difference(Some(interval.ci_lower), unit),
        difference(Some(interval.ci_upper), unit),
        share(effect.relative.map(|relative| relative.rel_effect_size)),
        number(Some(p_value)),
    ]
}

/// The stages in force with their layers.
fn current(analysis: &Analysis) -> impl Iterator<Item = (&LayerAnalysis, &StageAnalysis)> {
    let layers = analysis.layers.iter();
    layers.filter_map(|layer| Some((layer, layer.current()?)))
}

fn unit_of<'a>(analysis: &'a Analysis, metric: &str) -> &'a str {
    let found = analysis.metrics.iter().find(|other| other.id == metric);
    found.map_or("", |metric| metric.unit.as_str())
}

fn effects(analysis: &Analysis) -> ExportTable {
    let mut rows = Vec::new();
    for (layer, stage) in current(analysis) {
        for (metric, unit, effect) in effects_of(analysis, stage) {
            if let Known::Value(effect) = effect {
                let mut row = vec![word(&layer.tenant), word(&layer.layer), word(metric), word(unit)];
                row.extend(effect_cells(effect, unit, &analysis.policy));
                rows.push(row);
            }
        }
    }
    ExportTable {
        name: "effects",
        columns: &[
            "tenant",
            "layer",
            "metric",
            "unit",
            "baseline",
            "candidate",
            "effect",
            "effect_lower",
            "effect_upper",
            "relative_effect",
            "p_value",
        ],
        rows,
    }
}

fn slices(analysis: &Analysis) -> ExportTable {
    let (_, findings) = slices_of(analysis);
    let row = |(layer, found): (&LayerAnalysis, crate::analysis::SliceFinding)| {
        let (judged, unit) = (&found.judged, found.unit.as_str());
        let allowed = match found.rule {
            GuardrailRule::MaxCount(max) => Count(max),
            _ => difference(judged.margin, unit),
        };
        vec![
            word(&layer.tenant),
            word(&layer.layer),
            word(&found.column),
            word(&found.value),
            Count(found.rows.baseline),
            Count(found.rows.candidate),
            word(&found.metric),
            word(unit),
            measured(found.baseline, unit),
            measured(found.candidate, unit),
            difference(judged.harm, unit),
            difference(judged.interval.map(|interval| interval.ci_lower), unit),
            difference(judged.interval.map(|interval| interval.ci_upper), unit),
            allowed,
            number(judged.p_value_adj),
            word(match judged.verdict {
                crate::stats::non_inferiority::HarmVerdict::Safe => "safe",
                crate::stats::non_inferiority::HarmVerdict::Unclear => "unclear",
                crate::stats::non_inferiority::HarmVerdict::Violated => "violated",
            }),
            judged.reason.map_or(Empty, |reason| word(reason.to_string())),
        ]
    };
    ExportTable {
        name: "slices",
        columns: &[
            "tenant",
            "layer",
            "column",
            "value",
            "rows_baseline",
            "rows_candidate",
            "metric",
            "unit",
            "baseline",
            "candidate",
            "harm",
            "harm_lower",
            "harm_upper",
            "allowed",
            "p_value_adj",
            "verdict",
            "no_harm_because",
        ],
        rows: findings.into_iter().map(row).collect(),
    }
}

fn schedule(layers: &[LayerSchedule], lang: Lang) -> ExportTable {
    let row = |layer: &LayerSchedule| {
        let outlook = layer.outlook.as_ref().filter(|outlook| outlook.is_open());
        let ladder: Vec<String> = layer.ramp.ladder.iter().map(ToString::to_string).collect();
        vec![
            word(&layer.tenant),
            word(&layer.layer),
            Share(layer.ratio.share()),
            Share(layer.next_ratio.share()),
            Count(u64::from(layer.lo_bucket)),
            Count(u64::from(layer.hi_bucket)),
            word(time::format(layer.earliest_next)),
            word(ladder.join(" ")),
            number(Some(layer.ramp.qos_threshold)),
            number(Some(layer.ramp.dwell_hours)),
            Count(layer.ramp.min_users),
            outlook.map_or(Empty, |outlook| word(&outlook.check)),
            number(outlook.and_then(|outlook| outlook.days_needed)),
            outlook
                .and_then(|outlook| outlook.users_needed)
                .map_or(Empty, Count),
            outlook.map_or(Empty, |outlook| word(outlook.own_text().of(lang))),
        ]
    };
    ExportTable {
        name: "schedule",
        columns: &[
            "tenant",
            "layer",
            "ratio",
            "next_ratio",
            "lo_bucket",
            "hi_bucket",
            "earliest_next",
            "ladder",
            "qos_threshold",
            "dwell_hours",
            "min_users",
            "open_check",
            "days_needed",
            "users_needed",
            "to_decide",
        ],
        rows: layers.iter().map(row).collect(),
    }
}

fn log(operations: &[OperationRow]) -> ExportTable {
    let row = |row: &OperationRow| {
        vec![
            word(&row.tenant),
            word(&row.layer),
            word(&row.candidate),
            word(&row.operation_type),
            Share(row.old_value.share()),
            Share(row.new_value.share()),
            word(time::format(row.operate_time)),
            row.in_force().map_or(Empty, |at| word(time::format(at))),
            word(&row.operator),
            word(&row.log_id),
        ]
    };
    ExportTable {
        name: "operations",
        columns: &[
            "tenant",
            "layer",
            "candidate",
            "kind",
            "old_ratio",
            "new_ratio",
            "decided_at",
            "in_force_at",
            "operator",
            "log_id",
        ],
        rows: operations.iter().map(row).collect(),
    }
}

/// Metrics in USD, and tokens.
fn costs(analysis: &Analysis) -> ExportTable {
    let mut rows = Vec::new();
    for (layer, stage) in current(analysis) {
        for metric in &stage.metrics {
            let unit = unit_of(analysis, &metric.metric);
            let has_data = metric.baseline.denominator + metric.candidate.denominator > 0.0;
            if !["USD", "tokens"].contains(&unit) || !has_data {
                continue;
            }
            let mut row = vec![
                word(&layer.tenant),
                word(&layer.layer),
                word(&metric.metric),
                word(unit),
                number(Some(metric.baseline.numerator)),
                number(Some(metric.candidate.numerator)),
                number(Some(metric.baseline.denominator)),
                number(Some(metric.candidate.denominator)),
            ];
            match &metric.effect {
                Known::Value(effect) => row.extend(effect_cells(effect, unit, &analysis.policy)),
                Known::Unknown { .. } => {
                    row.push(number(metric.baseline.estimate));
                    row.push(number(metric.candidate.estimate));
                    row.extend([Empty, Empty, Empty, Empty, Empty]);
                }
            }
            rows.push(row);
        }
    }
    ExportTable {
        name: "costs",
        columns: &[
            "tenant",
            "layer",
            "metric",
            "unit",
            "total_baseline",
            "total_candidate",
            "divided_by_baseline",
            "divided_by_candidate",
            "baseline",
            "candidate",
            "effect",
            "effect_lower",
            "effect_upper",
            "relative_effect",
            "p_value",
        ],
        rows,
    }
}

fn gate(ramp: &RampModel, lang: Lang) -> ExportTable {
    let rows = ramp.gate.checks.iter().map(|check| {
        vec![
            word(&check.gate),
            word(&check.check),
            word(&check.tenant),
            word(&check.layer),
            word(check.outcome.name()),
            word(check.found().of(lang)),
            check.remedy().map_or(Empty, |remedy| word(remedy.of(lang))),
            check.lifted_by.as_ref().map_or(Empty, word),
        ]
    });
    ExportTable {
        name: "gate",
        columns: &[
            "gate",
            "check",
            "tenant",
            "layer",
            "outcome",
            "found",
            "remedy",
            "lifted_by",
        ],
        rows: rows.collect(),
    }
}

fn sample_ratios(analysis: &Analysis) -> ExportTable {
    let stages = analysis
        .layers
        .iter()
        .flat_map(|layer| layer.stages.iter().map(move |stage| (layer, stage)));
    let seen = stages.filter(|(_, stage)| stage.users.baseline + stage.users.candidate > 0);
    let row = |(layer, stage): (&LayerAnalysis, &StageAnalysis)| {
        let srm = SrmEvidence::from_stage(stage, &analysis.policy);
        vec![
            word(&layer.tenant),
            word(&layer.layer),
            word(time::format(stage.start)),
            Share(stage.ratio.share()),
            Count(stage.users.baseline),
            Count(stage.users.candidate),
            number(stage.srm.as_ref().map(|srm| srm.statistic)),
            number(srm.map(|srm| srm.p_value)),
            share(srm.map(|srm| srm.max_abs_deviation)),
            Count(stage.users.leaked),
        ]
    };
    ExportTable {
        name: "sample_ratios",
        columns: &[
            "tenant",
            "layer",
            "start",
            "ratio",
            "users_baseline",
            "users_candidate",
            "chi_square",
            "p_value",
            "deviation",
            "leaked",
        ],
        rows: seen.map(row).collect(),
    }
}

fn layers(model: &Model) -> ExportTable {
    let rows = model.layering.layers.iter().map(|layer| {
        vec![
            word(&layer.tenant),
            word(&layer.layer),
            Count(layer.n_users),
            Share(layer.share),
            Count(layer.n_eligible),
            word(if layer.too_small { "true" } else { "false" }),
        ]
    });
    ExportTable {
        name: "layers",
        columns: &["tenant", "layer", "users", "share", "eligible", "too_small"],
        rows: rows.collect(),
    }
}

fn quality(model: &Model, lang: Lang) -> ExportTable {
    let rows = quality_rows(model, lang.words());
    ExportTable {
        name: "data_quality",
        columns: &["what", "count"],
        rows: rows
            .into_iter()
            .map(|(what, n)| vec![word(what), Count(n)])
            .collect(),
    }
}

/// The title of a column for people.
pub(super) fn column_title(name: &str) -> Text {
    texts::column(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_and_column_has_titles() {
        let tables = [log(&[]), schedule(&[], Lang::En)];
        for table in tables {
            assert!(texts::is_titled(table.name, table.columns), "{}", table.name);
        }
        for name in SHEETS {
            assert!(texts::is_titled(name, &[]), "{name}");
        }
    }
}
