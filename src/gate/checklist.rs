//! The list of checks that a gate collects, each under the policy's strictness.

use serde_json::Value;

use crate::gate::document::{GateCheck, GateOutcome};
use crate::gate::policy::GatePolicy;
use crate::gate::strictness::gate_of;
use crate::words::Text;

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
        detail: impl Into<Text>,
        remedy: impl Into<Text>,
    ) -> &mut GateCheck {
        let outcome = self.policy.strictness(check).apply(outcome);
        let Text {
            en: detail,
            zh: detail_zh,
        } = detail.into();
        let remedy = (outcome != GateOutcome::Pass).then(|| remedy.into());
        let (remedy, remedy_zh) = remedy.map(|Text { en, zh }| (en, zh)).unzip();
        self.list.push(GateCheck {
            gate: gate_of(check).into(),
            check: check.into(),
            tenant: String::new(),
            layer: String::new(),
            outcome,
            detail,
            detail_zh,
            remedy,
            remedy_zh,
            evidence: Value::Null,
            lifted_by: None,
        });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}
