//! The report model: the content of a report, computed once. The writers only format it.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::analysis::{Analysis, LayerAnalysis, MetricLimits, StageAnalysis};
use crate::base::json::Document;
use crate::base::number::{amount, count, number, percent};
use crate::base::time::{Micros, Zone};
use crate::gate::GateReport;
use crate::layer::LayerSummary;
use crate::metric::Metric;
use crate::ramp::{LayerSchedule, OperationRow, Outlook, Schedule, SrmEvidence, Undecided, Verdict};
use crate::report::values::distance;
use crate::scenario::{AllowedColumn, Scenario};
use crate::stats::{Interval, Known};
use crate::traces::SourceCoverage;
use crate::words::{Lang, P, Say, Text, Words, fill, metric_name};

/// `study.json`: the description of a study for its report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyDocument {
    /// Name and version of the document's format.
    pub schema: String,
    /// Name of the scenario: the file's name without its extension.
    pub name: String,
    /// The purpose of the study, as text for its reader. Empty if the scenario gives none.
    pub why: String,
    /// SHA-256 digest of the scenario and of the command line's overrides.
    pub scenario_digest: String,
    /// Version of Sluice that wrote the document.
    pub version: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// Zone of the days and hours of charts and tables. Absent if it is UTC.
    #[serde(default, skip_serializing_if = "Zone::is_utc")]
    pub time_zone: Zone,
    /// End of the known data, exclusive, microseconds, UTC.
    pub as_of: Micros,
    /// First instant of the plan, microseconds, UTC. Layers are frozen at this instant.
    pub start: Micros,
    /// Ids and display names of the layers, in plan order.
    pub layers: Vec<(String, Text)>,
    /// Columns that rules may use although their names contain a sensitive attribute, with the
    /// reasons. Empty if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_columns: Vec<AllowedColumn>,
}

impl Document for StudyDocument {
    const SCHEMA: &'static str = "sluice.study/1";
}

impl StudyDocument {
    /// The sentence of a report that names the zone of its local times. `None` for UTC.
    pub(super) fn zone_note(&self, words: &Words) -> Option<String> {
        (!self.time_zone.is_utc()).then(|| fill(words.local_times, &[self.time_zone.name()]))
    }

    /// Describes the study of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            schema: Self::SCHEMA.into(),
            name: scenario.name.clone(),
            why: scenario.why.clone(),
            scenario_digest: scenario.digest.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            seed: scenario.seed,
            time_zone: scenario.time_zone.clone(),
            as_of: scenario.as_of,
            start: scenario.plan.start,
            layers: scenario
                .plan
                .layers
                .iter()
                .map(|layer| (layer.id.clone(), layer.name.clone()))
                .collect(),
            allowed_columns: scenario.sensitive.allowed.clone(),
        }
    }
}

/// How a page calls layers: by their display names where the plan has them, with the id where two
/// layers share a name, and with the tenant where there are several.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerNames {
    /// Display names by id. Layers without a name, or whose name is the id, are left out.
    names: HashMap<String, String>,
    several_tenants: bool,
}

impl LayerNames {
    pub(super) fn new(layers: &[(String, Text)], several_tenants: bool, lang: Lang) -> Self {
        let is_shared = |name: &str| layers.iter().filter(|(_, other)| other.of(lang) == name).count() > 1;
        let names = layers
            .iter()
            .map(|(id, name)| (id, name.of(lang)))
            .filter(|(id, name)| !name.trim().is_empty() && name != id)
            .map(|(id, name)| {
                let shown = if is_shared(name) {
                    format!("{name} ({id})")
                } else {
                    name.to_owned()
                };
                (id.clone(), shown)
            })
            .collect();
        Self {
            names,
            several_tenants,
        }
    }

    /// The name of a layer, with the tenant if there are several tenants.
    pub(super) fn of(&self, tenant: &str, layer: &str) -> String {
        if self.several_tenants && !tenant.is_empty() {
            format!("{tenant} / {}", self.layer(layer))
        } else {
            self.layer(layer).to_owned()
        }
    }

    /// The name of a layer without its tenant.
    pub(super) fn layer<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }
}

/// The documents of a study.
#[derive(Debug, Clone)]
pub struct Model {
    /// Description of the study, from `study.json`.
    pub study: StudyDocument,
    /// Result of layering, from `layers.summary.json`.
    pub layering: LayerSummary,
    /// What was read of traces, from `traces.json`. Empty for a study without traces.
    pub traces: Vec<SourceCoverage>,
    /// Documents of the ramp. `None` for a study without traffic.
    pub ramp: Option<RampModel>,
}

/// The documents of a ramp.
#[derive(Debug, Clone)]
pub struct RampModel {
    /// The analysis, from `analysis.json`.
    pub analysis: Analysis,
    /// The decisions, from `schedule.json`.
    pub schedule: Schedule,
    /// The gate report, from `gate_report.json`.
    pub gate: GateReport,
    /// The newest changes of ratios, from the log of a state, in time order. Empty without a state.
    pub changes: Vec<OperationRow>,
}

/// The name of a metric: its own among the metrics of a study, else the built-in one, else the id.
pub(super) fn name_among(metrics: &[Metric], id: &str) -> Text {
    let own = metrics.iter().find(|metric| metric.id == id);
    own.and_then(|metric| metric.name.clone())
        .unwrap_or_else(|| metric_name(id))
}

/// The most changes of ratios that a report shows.
const MAX_CHANGES: usize = 100;

impl Model {
    /// Whether the study has more than one tenant.
    pub(super) fn has_several_tenants(&self) -> bool {
        let layers = &self.layering.layers;
        layers.iter().any(|layer| layer.tenant != layers[0].tenant)
    }

    /// The names of the layers on a page.
    pub(super) fn layer_names(&self, lang: Lang) -> LayerNames {
        LayerNames::new(&self.study.layers, self.has_several_tenants(), lang)
    }
}

impl RampModel {
    /// Adds the newest changes of a state's log.
    #[must_use]
    pub fn with_changes(self, log: &[OperationRow]) -> Self {
        let first = log.len().saturating_sub(MAX_CHANGES);
        Self {
            changes: log[first..].to_vec(),
            ..self
        }
    }

    /// The name of a metric: the scenario's, else the built-in one, else the id.
    pub(super) fn metric_name(&self, id: &str) -> Text {
        name_among(&self.analysis.metrics, id)
    }

    /// The rows of the table of changes, in the order of [`Words::change_columns`].
    pub(super) fn change_rows(&self, words: &Words, zone: &Zone) -> Vec<[String; 7]> {
        let at = |instant: Micros| format!("{} {}", zone.format_as(instant, "%Y-%m-%d %H:%M"), zone.name());
        let row = |row: &OperationRow| {
            let in_force = row.in_force().map_or_else(|| words.not_in_force.to_owned(), at);
            [
                row.tenant.clone(),
                row.layer.clone(),
                at(row.operate_time),
                in_force,
                format!("{} → {}", row.old_value, row.new_value),
                row.operation_type.clone(),
                row.operator.clone(),
            ]
        };
        self.changes.iter().map(row).collect()
    }
}

/// A row of the report's first table: the decision on one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerLine {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Number of users in the layer.
    pub n_users: u64,
    /// Number of eligible users with at least one answer from the candidate.
    pub n_exposed: u64,
    /// QoS of the baseline in the current stage, 0..=1, as text; `-` if not known.
    pub qos_baseline: String,
    /// QoS of the candidate with the interval that the policy uses, `-` if not known.
    pub qos_candidate: String,
    /// p-value of the sample ratio in the current stage, as the policy tests it, `-` if there is
    /// none.
    pub srm: String,
    /// Verdict: `promote`, `hold`, `rollback`, `inconclusive` or `invalid`.
    pub verdict: &'static str,
    /// The ratios before and after the decision, for example `1% → 0%`.
    pub ratios: String,
    /// Text of the first blocking check, or the reason for the promotion.
    pub reason: String,
    /// What would decide the first blocking check. `None` for a promotion and a rollback.
    pub outlook: Option<String>,
    /// Name of the first blocking check, `-` for a promotion.
    pub first_blocking: String,
    /// The rank of the layer among those that need a look, the smallest first: by verdict, then by
    /// the number of users with the candidate.
    pub urgency: (u8, u64),
}

/// Returns the rows of all layers, in plan order.
pub fn layer_lines(analysis: &Analysis, schedule: &Schedule) -> Vec<LayerLine> {
    let of_layer: HashMap<(&str, &str), &LayerAnalysis> = analysis
        .layers
        .iter()
        .map(|l| ((l.tenant.as_str(), l.layer.as_str()), l))
        .collect();
    let find = |decided: &LayerSchedule| {
        of_layer
            .get(&(decided.tenant.as_str(), decided.layer.as_str()))
            .copied()
    };
    schedule
        .layers
        .iter()
        .map(|decided| line(analysis, find(decided), decided))
        .collect()
}

/// The evidence of a layer's verdict, as texts: rows and users of the current stage under baseline and
/// candidate, and the number of eligible users.
pub(super) fn evidence_cells(layer: &LayerSchedule) -> [String; 5] {
    let evidence = &layer.evidence;
    let pair = |a: u64, b: u64| format!("{} / {}", count(a), count(b));
    [
        layer.tenant.clone(),
        layer.layer.clone(),
        pair(evidence.rows.baseline, evidence.rows.candidate),
        pair(evidence.users.baseline, evidence.users.candidate),
        count(evidence.n_eligible),
    ]
}

/// The header of the table of outlooks.
pub(super) fn outlook_header(words: &Words) -> [&'static str; 9] {
    [
        words.tenant,
        words.layer,
        words.check,
        words.outlook_distance,
        words.outlook_users,
        words.outlook_days,
        words.outlook_smallest,
        words.outlook_ratio,
        words.outlook_text,
    ]
}

/// The outlook of a layer that has something left to decide.
fn open_outlook(layer: &LayerSchedule) -> Option<&Outlook> {
    layer.outlook.as_ref().filter(|outlook| outlook.is_open())
}

/// What would decide a layer, as texts in the order of [`outlook_header`]. `None` for a promotion and
/// a rollback.
pub(super) fn outlook_cells(layer: &LayerSchedule, lang: Lang) -> Option<[String; 9]> {
    let words = lang.words();
    let outlook = open_outlook(layer)?;
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let unit = outlook.unit.as_deref().unwrap_or_default();
    let of_ratio = outlook
        .next_ratio_that_can
        .map(|ratio| match outlook.next_ratio_days {
            Some(days) => fill(words.outlook_ratio_days, &[&ratio.to_string(), &amount(days)]),
            None => ratio.to_string(),
        });
    let undecided = match outlook.undecided {
        Some(Undecided::BeyondLimit) => words.undecided_beyond,
        Some(Undecided::NotWithinAYear) => words.undecided_year,
        Some(Undecided::TooFewUsers) => words.undecided_users,
        Some(Undecided::TooFewClusters) => words.undecided_groups,
        Some(Undecided::NoColumn) => words.undecided_column,
        Some(Undecided::NoData) => words.undecided_data,
        Some(Undecided::NotData) | None => "-",
    };
    Some([
        layer.tenant.clone(),
        layer.layer.clone(),
        outlook.check.clone(),
        text(outlook.distance.map(|size| distance(size, unit, lang))),
        text(outlook.users_needed.map(count)),
        outlook.days_needed.map_or_else(|| undecided.into(), amount),
        text(outlook.smallest_decidable.map(number)),
        text(of_ratio),
        outlook.sentence().of(lang).to_owned(),
    ])
}

/// The share of the log's rows that were matched, as text. `None` if it is not known.
pub(super) fn matched_share(schedule: &Schedule) -> Option<String> {
    let share = schedule.layers.first()?.evidence.matched_share?;
    Some(percent(if share < 1.0 { share.min(0.9999) } else { share }))
}

fn line(analysis: &Analysis, layer: Option<&LayerAnalysis>, decided: &LayerSchedule) -> LayerLine {
    let stage: Option<&StageAnalysis> = layer.and_then(|layer| layer.current());
    let is_anytime = analysis.policy.sequential.is_anytime();
    let interval_of = |anytime: Interval, fixed: Interval| if is_anytime { anytime } else { fixed };
    let unknown = |known: Option<String>| known.unwrap_or_else(|| "-".into());
    let qos_baseline = stage.and_then(|s| match &s.qos.baseline {
        Known::Value(qos) => Some(format!("{:.3}", qos.value.qos)),
        Known::Unknown { .. } => None,
    });
    let qos_candidate = stage.and_then(|s| match &s.qos.candidate {
        Known::Value(qos) => {
            let interval = interval_of(qos.anytime, qos.ci);
            Some(format!(
                "{:.3} [{:.3}, {:.3}]",
                qos.value.qos, interval.ci_lower, interval.ci_upper
            ))
        }
        Known::Unknown { .. } => None,
    });
    LayerLine {
        tenant: decided.tenant.clone(),
        layer: decided.layer.clone(),
        n_users: layer.map_or(0, |layer| layer.n_users),
        n_exposed: layer.map_or(0, |layer| layer.n_exposed),
        qos_baseline: unknown(qos_baseline),
        qos_candidate: unknown(qos_candidate),
        srm: stage
            .and_then(|stage| SrmEvidence::from_stage(stage, &analysis.policy))
            .map_or_else(|| "-".into(), |srm| P(srm.p_value).say(Lang::En)),
        verdict: decided.verdict.name(),
        ratios: format!("{} → {}", decided.ratio, decided.next_ratio),
        reason: decided.reason.clone(),
        outlook: open_outlook(decided).map(|outlook| outlook.sentence().en),
        first_blocking: decided.first_blocking.clone().unwrap_or_else(|| "-".into()),
        urgency: urgency(decided),
    }
}

/// The rank of a layer among those that need a look: see [`LayerLine::urgency`].
pub(super) fn urgency(layer: &LayerSchedule) -> (u8, u64) {
    let rank = match layer.verdict {
        Verdict::Rollback => 0,
        Verdict::Invalid => 1,
        Verdict::Inconclusive => 2,
        Verdict::Hold => 3,
        Verdict::Promote => 4,
    };
    (rank, u64::MAX - layer.evidence.users.candidate)
}

/// A metric with limits of values in the current stage of a layer.
pub(super) struct LimitLine {
    pub(super) tenant: String,
    pub(super) layer: String,
    pub(super) metric: String,
    /// The smallest and the largest value that count in full, `-` without such a limit.
    pub(super) floor: String,
    pub(super) cap: String,
    pub(super) limits: MetricLimits,
    /// The shares of rows beyond the limits, `-` without rows.
    pub(super) baseline: String,
    pub(super) candidate: String,
}

/// Returns the metrics with limits of values in the current stages, in plan order.
pub(super) fn limit_lines(analysis: &Analysis) -> Vec<LimitLine> {
    let mut lines = Vec::new();
    for layer in &analysis.layers {
        for metric in layer.current().map_or(&[][..], |stage| &stage.metrics) {
            let Some(limits) = metric.limits else { continue };
            let text = |limit: Option<f64>, text: fn(f64) -> String| limit.map_or_else(|| "-".into(), text);
            lines.push(LimitLine {
                tenant: layer.tenant.clone(),
                layer: layer.layer.clone(),
                metric: metric.metric.clone(),
                floor: text(limits.floor, number),
                cap: text(limits.cap, number),
                limits,
                baseline: text(limits.baseline_share, percent),
                candidate: text(limits.candidate_share, percent),
            });
        }
    }
    lines
}

impl LimitLine {
    /// The names of the columns.
    pub(super) fn header(words: &Words) -> [&'static str; 8] {
        [
            words.tenant,
            words.layer,
            words.metric,
            words.limits_floor,
            words.limits_cap,
            words.limits_from,
            words.rows_beyond_baseline,
            words.rows_beyond_candidate,
        ]
    }

    /// The source of the limits: the scenario, or a quantile of the baseline.
    pub(super) fn source(&self, words: &Words) -> String {
        let Some(quantile) = self.limits.winsorize else {
            return words.limits_declared.into();
        };
        let text = if self.limits.is_final {
            words.limits_quantile
        } else {
            words.limits_not_final
        };
        let n_values = count(self.limits.n_values.unwrap_or(0));
        fill(text, &[&quantile.to_string(), &n_values])
    }
}
