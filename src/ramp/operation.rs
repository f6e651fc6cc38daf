//! The operation log: one row for each change of a ratio.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::base::{digest, time};
use crate::bucket::Ratio;
use crate::scenario::Plan;

/// A row of the operation log. The fields of the reference policy (docs/REFERENCE_POLICY.md) come
/// first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Id of the row, derived from its content: the same change on the same evidence has the same
    /// id.
    pub log_id: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// `promote` or `rollback` for Sluice's decisions, `set` for changes that Sluice did not
    /// decide.
    pub operation_type: String,
    /// Ratio of the layer before the change.
    pub old_value: Ratio,
    /// Ratio of the layer after the change.
    pub new_value: Ratio,
    /// Time of the change, microseconds, UTC.
    pub operate_time: Micros,
    /// Name of the person or system that changed the ratio. For decisions of Sluice it is
    /// `plan.operator` of the scenario.
    pub operator: String,
    /// Name of the tenant. Empty if the change applies to all tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// Digest of the evidence. Empty for changes that Sluice did not decide.
    pub evidence_digest: String,
    /// Id of the release whose ratio changed. Empty in documents of earlier versions, which know the
    /// candidate of the plan only.
    #[serde(default)]
    pub candidate: String,
    /// The time when the targets took the change over. `None` if it counts from `operate_time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<Force>,
    /// The person who approved the new ratio of a safety-critical layer. `None` for other layers,
    /// and for changes that need no approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}

/// The time when the targets of a publication took a change of a ratio over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Force {
    /// First instant at which a target could have the new ratio, microseconds, UTC.
    pub begun: Micros,
    /// Instant at which the last target had the new ratio, microseconds, UTC. `None` if some target
    /// does not have it.
    pub complete: Option<Micros>,
    /// The targets that do not have the new ratio, without credentials. Empty if all have it.
    pub missing: Vec<String>,
}

impl OperationRow {
    /// The log row of a manual change during publishing.
    pub(crate) fn by_hand(
        operation_type: &str,
        plan_id: &str,
        (tenant, layer): (&str, &str),
        (old_value, new_value): (Ratio, Ratio),
        (at, operator): (Micros, &str),
    ) -> Self {
        let what = format!(
            "{plan_id} {tenant} {layer} {old_value} {new_value} {}",
            time::format(at)
        );
        Self {
            log_id: log_id(&what, ""),
            plan_id: plan_id.to_owned(),
            operation_type: operation_type.to_owned(),
            old_value,
            new_value,
            operate_time: at,
            operator: operator.to_owned(),
            tenant: tenant.to_owned(),
            layer: layer.to_owned(),
            evidence_digest: String::new(),
            candidate: String::new(),
            force: None,
            approved_by: None,
        }
    }

    /// Whether the change is one of a layer of a tenant. A change without a tenant is one of all.
    pub fn is_of(&self, tenant: &str, layer: &str) -> bool {
        self.layer == layer && (self.tenant.is_empty() || self.tenant == tenant)
    }

    /// The instant from which the new ratio is in force everywhere, microseconds, UTC. `None` if it
    /// is not.
    pub fn in_force(&self) -> Option<Micros> {
        match &self.force {
            None => Some(self.operate_time),
            Some(force) => force.complete,
        }
    }

    /// Returns the whole log of a plan in time order: its own operations before `as_of`, and the
    /// changes that Sluice decided. An operation that carries a decision out, at its instant and in
    /// all tenants that it concerns, is that decision and has no row of its own.
    pub fn log(plan: &Plan, tenants: &[String], as_of: Micros, decided: &[Self]) -> Vec<Self> {
        let is_decided = |row: &Self, tenant: &str| {
            decided.iter().any(|other| {
                (other.layer.as_str(), other.new_value) == (row.layer.as_str(), row.new_value)
                    && [Some(other.operate_time), other.in_force()].contains(&Some(row.operate_time))
                    && other.tenant == tenant
            })
        };
        let is_new = |row: &Self| {
            if row.tenant.is_empty() {
                tenants.is_empty() || !tenants.iter().all(|tenant| is_decided(row, tenant))
            } else {
                !is_decided(row, &row.tenant)
            }
        };
        let mut log: Vec<Self> = Self::history(plan, as_of).into_iter().filter(is_new).collect();
        for row in decided {
            if !log.iter().any(|other| other.log_id == row.log_id) {
                log.push(row.clone());
            }
        }
        log.sort_by_key(|row| row.operate_time);
        log
    }

    /// Returns the plan's own operations before `as_of` as log rows, without those that come from a
    /// state's log.
    pub fn history(plan: &Plan, as_of: Micros) -> Vec<Self> {
        let mut ratios: HashMap<(&str, &str, usize), Ratio> = HashMap::new();
        let mut rows = Vec::new();
        for operation in plan.operations.iter().filter(|operation| operation.at < as_of) {
            let tenant = operation.tenant.clone().unwrap_or_default();
            let release = operation.candidate.as_ref().unwrap_or(&plan.candidate);
            let key = |tenant| (release.as_str(), tenant, operation.layer_idx);
            let of_tenant = operation.tenant.as_deref().unwrap_or_default();
            let before = ratios.insert(key(of_tenant), operation.ratio);
            let old_value = before
                .or_else(|| ratios.get(&key("")).copied().filter(|_| !tenant.is_empty()))
                .unwrap_or(Ratio::ZERO);
            if operation.is_logged {
                continue;
            }
            let layer = &plan.layers[operation.layer_idx].id;
            let what = format!(
                "{} {tenant} {layer} {old_value} {} {}",
                plan.id,
                operation.ratio,
                time::format(operation.at)
            );
            rows.push(Self {
                log_id: log_id(&what, ""),
                plan_id: plan.id.clone(),
                operation_type: "set".into(),
                old_value,
                new_value: operation.ratio,
                operate_time: operation.at,
                operator: operation.operator.clone(),
                tenant,
                layer: layer.clone(),
                evidence_digest: String::new(),
                candidate: release.clone(),
                force: None,
                approved_by: None,
            });
        }
        rows
    }
}

pub(super) fn log_id(what: &str, evidence_digest: &str) -> String {
    let digest = digest::sha256_of(&[what.as_bytes(), evidence_digest.as_bytes()]);
    let hex = digest.trim_start_matches("sha256:");
    hex[..16.min(hex.len())].to_owned()
}
