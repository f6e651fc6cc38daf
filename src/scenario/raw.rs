//! The scenario file as it is written: every key optional, nothing checked but its type.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::base::instant::RawInstant;

/// A whole scenario file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScenario {
    pub(super) why: Option<String>,
    pub(super) seed: Option<u64>,
    pub(super) as_of: Option<RawInstant>,
    pub(super) plan: RawPlan,
    pub(super) input: RawInput,
    pub(super) layering: RawLayering,
    pub(super) layer: Vec<RawLayer>,
    pub(super) operation: Vec<RawOperation>,
    pub(super) freeze: Vec<RawFreeze>,
    pub(super) approval: Vec<RawApproval>,
    pub(super) qos: RawQos,
    pub(super) metric: Vec<RawMetric>,
    pub(super) guardrail: Option<Vec<RawGuardrail>>,
    pub(super) policy: RawPolicy,
    pub(super) analysis: RawAnalysis,
    pub(super) simulate: Option<RawSimulate>,
    pub(super) expect: Vec<RawExpect>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAnalysis {
    pub(super) clusters: Option<String>,
    pub(super) breakdowns: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPlan {
    pub(super) id: Option<String>,
    pub(super) start: Option<RawInstant>,
    pub(super) baseline: Option<String>,
    pub(super) candidate: Option<String>,
    pub(super) salt: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) flag: Option<String>,
    pub(super) layers_digest: Option<String>,
    pub(super) window_minutes: Option<u32>,
    pub(super) operator: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawInput {
    pub(super) generate: Option<RawGenerate>,
    pub(super) users: Option<RawSource>,
    pub(super) events: Option<RawEvents>,
    pub(super) users_from_traffic: Option<bool>,
    pub(super) traffic: Vec<RawSource>,
    pub(super) shadow: Vec<RawSource>,
    pub(super) outcomes: Vec<RawSource>,
    pub(super) count_sessions: Option<bool>,
    pub(super) on_bad_row: Option<String>,
    pub(super) on_duplicate_user: Option<String>,
    pub(super) on_unknown_release: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSource {
    pub(super) path: Option<String>,
    pub(super) columns: BTreeMap<String, String>,
    pub(super) constants: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEvents {
    pub(super) path: Option<String>,
    pub(super) columns: BTreeMap<String, String>,
    pub(super) constants: BTreeMap<String, String>,
    pub(super) use_window_days: Option<f64>,
    pub(super) value_window_days: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGenerate {
    pub(super) kind: Option<String>,
    pub(super) users: Option<u64>,
    pub(super) turns: Option<u64>,
    pub(super) fault: Vec<RawFault>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFault {
    pub(super) layer: Option<String>,
    pub(super) from: Option<RawInstant>,
    pub(super) until: Option<RawInstant>,
    pub(super) task_completion_rate: Option<f64>,
    pub(super) complaint_rate: Option<f64>,
    pub(super) bad_rate: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLayering {
    pub(super) mode: Option<String>,
    pub(super) preset: Option<String>,
    pub(super) weights: Option<Vec<f64>>,
    pub(super) recency_cap_days: Option<f64>,
    pub(super) use_count_cap: Option<f64>,
    pub(super) user_value_cap: Option<f64>,
    pub(super) unknown: Option<String>,
    pub(super) consent: Option<String>,
    pub(super) sensitive: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLayer {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) min_score: Option<f64>,
    pub(super) quota: Option<f64>,
    pub(super) tags: Vec<RawTag>,
    pub(super) initial_ratio: Option<f64>,
    pub(super) ladder: Option<Vec<f64>>,
    pub(super) qos_threshold: Option<f64>,
    pub(super) dwell_hours: Option<f64>,
    pub(super) min_users: Option<u64>,
    pub(super) after: Vec<String>,
    pub(super) safety_critical: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTag {
    pub(super) column: Option<String>,
    pub(super) equals: Option<String>,
    pub(super) at_least: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawOperation {
    pub(super) at: Option<RawInstant>,
    pub(super) tenant: Option<String>,
    pub(super) layer: Option<String>,
    pub(super) ratio: Option<f64>,
    pub(super) operator: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQos {
    pub(super) preset: Option<String>,
    pub(super) weights: Option<Vec<f64>>,
    pub(super) max_latency_ms: Option<f64>,
    pub(super) bad_rate_of: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMetric {
    pub(super) id: Option<String>,
    pub(super) numerator: Option<String>,
    pub(super) denominator: Option<String>,
    pub(super) better: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) delay_hours: Option<f64>,
    pub(super) proportion: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGuardrail {
    pub(super) metric: Option<String>,
    pub(super) margin: Option<f64>,
    pub(super) relative_margin: Option<f64>,
    pub(super) max_count: Option<u64>,
    pub(super) limit: Option<f64>,
    pub(super) action: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPolicy {
    pub(super) decision: Option<String>,
    pub(super) sequential: Option<String>,
    pub(super) alpha: Option<f64>,
    pub(super) srm_alpha: Option<f64>,
    pub(super) srm_min_deviation: Option<f64>,
    pub(super) max_crossover: Option<f64>,
    pub(super) qos_floor: Option<f64>,
    pub(super) qos_mde: Option<f64>,
    pub(super) cool_down_hours: Option<f64>,
    pub(super) rollback_scope: Option<String>,
    pub(super) exposure_cap: Option<f64>,
    pub(super) srm_action: Option<String>,
    pub(super) no_data_action: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFreeze {
    pub(super) from: Option<RawInstant>,
    pub(super) until: Option<RawInstant>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawApproval {
    pub(super) layer: Option<String>,
    pub(super) candidate: Option<String>,
    pub(super) ratio: Option<f64>,
    pub(super) at: Option<RawInstant>,
    pub(super) by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawExpect {
    pub(super) tenant: Option<String>,
    pub(super) layer: Option<String>,
    pub(super) verdict: Option<String>,
    pub(super) next_ratio: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSimulate {
    pub(super) runs: Option<f64>,
    pub(super) days: Option<f64>,
    pub(super) decide_every_windows: Option<f64>,
    pub(super) layer: Vec<RawWorldLayer>,
    pub(super) rate: Vec<RawRate>,
    pub(super) world: Vec<RawWorld>,
    pub(super) plan: Vec<RawPlanVariant>,
    pub(super) cost: BTreeMap<String, f64>,
    pub(super) budget: RawBudget,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWorldLayer {
    pub(super) id: Option<String>,
    pub(super) users: Option<f64>,
    pub(super) turns_per_user_day: Option<f64>,
    pub(super) weekly_active: Option<f64>,
    pub(super) rhythm: Option<Vec<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRate {
    pub(super) metric: Option<String>,
    pub(super) layer: Option<String>,
    pub(super) value: Option<f64>,
    pub(super) sd: Option<f64>,
    pub(super) user_sd: Option<f64>,
    pub(super) share: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEffect {
    pub(super) metric: Option<String>,
    pub(super) layer: Option<String>,
    pub(super) effect: Option<f64>,
    pub(super) dimension: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFaultEffect {
    pub(super) metric: Option<String>,
    pub(super) layer: Option<String>,
    pub(super) effect: Option<f64>,
    pub(super) from_hours: Option<f64>,
    pub(super) hours: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWorld {
    pub(super) id: Option<String>,
    pub(super) effects: Vec<RawEffect>,
    pub(super) faults: Vec<RawFaultEffect>,
    pub(super) revert: Vec<String>,
    pub(super) opt_out_per_day: Option<f64>,
    pub(super) drift_per_day: Option<f64>,
    pub(super) candidate_loss: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPlanVariant {
    pub(super) id: Option<String>,
    pub(super) ladder: Option<Vec<f64>>,
    pub(super) dwell_hours: Option<f64>,
    pub(super) layer: Vec<RawLayerVariant>,
    pub(super) decision: Option<String>,
    pub(super) sequential: Option<String>,
    pub(super) alpha: Option<f64>,
    pub(super) controller: Option<String>,
    pub(super) boundary: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLayerVariant {
    pub(super) id: Option<String>,
    pub(super) ladder: Option<Vec<f64>>,
    pub(super) dwell_hours: Option<f64>,
    pub(super) min_users: Option<u64>,
    pub(super) boundary: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBudget {
    pub(super) metric: Option<String>,
    pub(super) mde: Option<f64>,
    pub(super) max_false_rollback: Option<f64>,
    pub(super) max_missed: Option<f64>,
    pub(super) max_harm: Option<f64>,
    pub(super) max_overspend: Option<f64>,
    pub(super) min_dwell_hours: Option<f64>,
}
