//! The document `nights.json`: the nights of one ramp or of several, as their folders have them.

use serde::{Deserialize, Serialize};

use crate::base::json::Document;
use crate::base::time::{Micros, Zone};
use crate::bucket::Ratio;
use crate::gate::GateOutcome;
use crate::ramp::{OperationRow, RampStatus, Verdict};
use crate::stats::Interval;
use crate::words::{Lang, Text};

/// The ramps of some folders, by their starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ramps {
    /// Name and version of the document's format.
    pub schema: String,
    /// The ramps in the order of their starts. At least one.
    pub ramps: Vec<RampNights>,
}

impl Document for Ramps {
    const SCHEMA: &'static str = "sluice.nights/1";
}

/// The nights of one ramp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RampNights {
    /// Name of the folder, without the folders above it.
    pub folder: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// Zone of days and times of the page. Absent if it is UTC.
    #[serde(default, skip_serializing_if = "Zone::is_utc")]
    pub time_zone: Zone,
    /// First instant of the plan, microseconds, UTC.
    pub start: Micros,
    /// End of the last night's data, exclusive, microseconds, UTC.
    pub as_of: Micros,
    /// Whether the ramp is running, completed or rolled back.
    pub status: RampStatus,
    /// The nights whose folders are there, by rising time. At least one.
    pub nights: Vec<Night>,
    /// The layers of each tenant, as the last night found them, in plan order.
    pub layers: Vec<NightsLayer>,
    /// All changes of ratios from the state's log, in time order, also those of nights whose folders
    /// are gone.
    pub changes: Vec<OperationRow>,
}

impl RampNights {
    /// Whether several tenants have layers.
    pub fn has_tenants(&self) -> bool {
        self.layers
            .iter()
            .any(|layer| layer.tenant != self.layers[0].tenant)
    }

    /// The number of eligible users who got the candidate until the end of the last night.
    pub fn n_exposed(&self) -> u64 {
        self.layers.iter().map(|layer| layer.n_exposed).sum()
    }

    /// The last night.
    pub fn last(&self) -> Option<&Night> {
        self.nights.last()
    }
}

/// One night of a ramp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Night {
    /// End of the night's data, exclusive, microseconds, UTC.
    pub as_of: Micros,
    /// Outcome of the gate.
    pub gate: GateOutcome,
    /// The first check of the gate that failed, as text. `None` if none failed.
    pub first_failure: Option<String>,
    /// The same in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_failure_zh: String,
    /// Whether the night was cut off: its decisions may not have been published.
    pub is_unfinished: bool,
    /// Keys of the guards whose limits were passed and accepted by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
    /// Targets that did not take the decisions, without credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_targets: Vec<String>,
    /// Number of targets that have the decisions.
    pub n_targets: u64,
    /// Number of messages to people that were not sent.
    pub n_unsent: u64,
    /// Number of eligible users who got the candidate until the end of the night.
    pub n_exposed: u64,
    /// The decisions by tenant and layer, in plan order.
    pub decisions: Vec<NightDecision>,
}

/// The decision of one night on one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NightDecision {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Verdict on the layer.
    pub verdict: Verdict,
    /// Ratio before the decision.
    pub ratio: Ratio,
    /// Ratio after the decision.
    pub next_ratio: Ratio,
    /// The reason in English.
    pub reason: String,
    /// The reason in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason_zh: String,
}

impl NightDecision {
    /// The reason in every language.
    pub fn why(&self) -> Text {
        Text {
            en: self.reason.clone(),
            zh: self.reason_zh.clone(),
        }
    }
}

/// A layer, as the last night found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NightsLayer {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Display name of the layer.
    pub name: Text,
    /// Whether the candidate is rolled back in the layer, by the last night or by an earlier one.
    pub is_rolled_back: bool,
    /// Number of users who consented to gray release.
    pub n_eligible: u64,
    /// Number of eligible users who got the candidate until the end of the last night.
    pub n_exposed: u64,
    /// What the candidate has cost so far, by guardrail in the order of the plan. Guardrails whose
    /// harm cannot be added up over rows, such as percentiles, are left out.
    pub harms: Vec<HarmSoFar>,
}

impl NightsLayer {
    /// The display name; the id for a layer without one.
    pub fn display_name(&self, lang: Lang) -> &str {
        match self.name.of(lang) {
            "" => &self.layer,
            name => name,
        }
    }
}

/// What the candidate has cost a layer so far: the sum over its stages of the harm of a row times
/// the rows of the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HarmSoFar {
    /// Id of the guardrail's metric, such as `complaint_rate`.
    pub metric: String,
    /// Unit of the sum: `events` for a share, `USD` for money.
    pub unit: String,
    /// The sum over all rows of the candidate; above 0 is worse than the baseline. Complaints too
    /// many, or completed tasks too few.
    pub extra: f64,
    /// Interval of the sum at the level of the policy, for one look: the sum of the stages' ends.
    pub interval: Interval,
    /// Number of the candidate's rows (or calls) in the sum.
    pub n_counted: f64,
    /// Number of the candidate's rows (or calls) in stages without a comparison, such as those at
    /// ratio 1. They are not in the sum.
    pub n_not_compared: f64,
}

impl HarmSoFar {
    /// Whether the interval shows a harm: both ends are above 0.
    pub fn is_shown(&self) -> bool {
        self.interval.ci_lower > 0.0
    }
}
