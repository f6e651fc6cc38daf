//! The report model: everything that a report shows, computed once. The writers only format it.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::analysis::{Analysis, LayerAnalysis, StageAnalysis};
use crate::base::number::p_value;
use crate::base::time::Micros;
use crate::gate::GateReport;
use crate::layer::LayerSummary;
use crate::ramp::{LayerSchedule, Schedule};
use crate::scenario::{Scenario, Sequential};
use crate::stats::{Interval, Known};

/// `study.json`: what a study is about, for its report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyDocument {
    /// Name and version of this document's form.
    pub schema: String,
    /// The scenario's name.
    pub name: String,
    /// Why the study exists.
    pub why: String,
    /// Digest of the scenario and of the command line's overrides.
    pub scenario_digest: String,
    /// Version of Sluice.
    pub version: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// End of what is known, microseconds.
    pub as_of: Micros,
    /// First instant of the plan, microseconds; layers are frozen here.
    pub start: Micros,
    /// The layers' ids with their names for people, in plan order.
    pub layers: Vec<(String, String)>,
}

impl StudyDocument {
    /// What a scenario says of its study.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            schema: "sluice.study/1".into(),
            name: scenario.name.clone(),
            why: scenario.why.clone(),
            scenario_digest: scenario.digest.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            seed: scenario.seed,
            as_of: scenario.as_of,
            start: scenario.plan.start,
            layers: scenario
                .plan
                .layers
                .iter()
                .map(|layer| (layer.id.clone(), layer.name.clone()))
                .collect(),
        }
    }
}

/// A study's documents.
#[derive(Debug, Clone)]
pub struct Model {
    /// What it is about.
    pub study: StudyDocument,
    /// What layering found.
    pub layering: LayerSummary,
    /// What the ramp's stages found.
    pub ramp: Option<RampModel>,
}

/// The documents of a ramp.
#[derive(Debug, Clone)]
pub struct RampModel {
    /// The inference.
    pub analysis: Analysis,
    /// The decisions.
    pub schedule: Schedule,
    /// The gate.
    pub gate: GateReport,
}

/// One line of the table that everybody reads first.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerLine {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// Users of the layer.
    pub n_users: u64,
    /// Eligible users who were ever answered by the candidate.
    pub n_exposed: u64,
    /// QoS of the baseline in the current stage.
    pub qos_baseline: String,
    /// QoS of the candidate with the interval that the policy looks at.
    pub qos_candidate: String,
    /// p-value of the sample ratio in the current stage.
    pub srm: String,
    /// The verdict.
    pub verdict: &'static str,
    /// `1% -> 0%`.
    pub ratios: String,
    /// The first blocking check, or why the layer is promoted.
    pub reason: String,
    /// The check's name.
    pub first_blocking: String,
}

/// The lines of all layers, in plan order.
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

fn line(analysis: &Analysis, layer: Option<&LayerAnalysis>, decided: &LayerSchedule) -> LayerLine {
    let stage: Option<&StageAnalysis> = layer.and_then(|layer| layer.current());
    let interval_of = |anytime: Interval, fixed: Interval| match analysis.policy.sequential {
        Sequential::Anytime => anytime,
        Sequential::Fixed => fixed,
    };
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
            .and_then(|stage| stage.srm)
            .map_or_else(|| "-".into(), |srm| p_is(srm.p_value)),
        verdict: decided.verdict.name(),
        ratios: format!("{} → {}", decided.ratio, decided.next_ratio),
        reason: decided.reason.clone(),
        first_blocking: decided.first_blocking.clone().unwrap_or_else(|| "-".into()),
    }
}

/// A p-value behind its name: `p=0.6569`, or `p<0.0001`.
fn p_is(p: f64) -> String {
    let text = p_value(p);
    if text.starts_with('<') {
        format!("p{text}")
    } else {
        format!("p={text}")
    }
}
