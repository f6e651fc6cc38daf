//! The list of checks that a gate collects, each under the policy's strictness.

use serde_json::Value;

use crate::gate::document::{GateCheck, GateOutcome};
use crate::gate::policy::GatePolicy;
use crate::gate::strictness::gate_of;

/// Collects checks and applies the policy's strictness to each.
pub(super) struct Checks<'a> {
    pub(super) policy: &'a GatePolicy,
    pub(super) list: Vec<GateCheck>,
}

impl Checks<'_> {
    /// Records a check. `remedy` names what would make it pass.
    pub(super) fn record(
        &mut self,
        check: &'static str,
        outcome: GateOutcome,
        detail: impl Into<String>,
        remedy: &str,
    ) -> &mut GateCheck {
        let outcome = self.policy.strictness(check).apply(outcome);
        self.list.push(GateCheck {
            gate: gate_of(check).into(),
            check: check.into(),
            tenant: String::new(),
            layer: String::new(),
            outcome,
            detail: detail.into(),
            remedy: (outcome != GateOutcome::Pass).then(|| remedy.to_owned()),
            evidence: Value::Null,
            lifted_by: None,
        });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}
