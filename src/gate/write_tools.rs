//! Gate C5: every tool that changes data needs proof that a person confirms its calls.

use serde_json::json;

use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::GateEvidence;
use crate::gate::tool_schema;
use crate::release::Dimension;
use crate::words::gate as says;
use crate::words::{Count, Few, Things};

/// The largest number of tools in a sentence.
const NAMED: usize = 10;

pub(super) fn checks(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let Some(bundle) = evidence.tools else {
        if evidence.candidate.artifact(Dimension::ToolSchema).is_none() {
            checks.record("write_tools", GateOutcome::Pass, says::no_tools(), "");
        } else {
            checks.record(
                "write_tools",
                GateOutcome::Inconclusive,
                says::no_own_bundle(),
                says::give_own_bundle(),
            );
        }
        return;
    };
    let writing: Vec<_> = tool_schema::write_tools(bundle).collect();
    let is_required = |word: &Option<String>| {
        word.as_deref()
            .is_some_and(|word| ["required", "always"].contains(&word.to_ascii_lowercase().as_str()))
    };
    let unproven: Vec<&str> = writing
        .iter()
        .filter(|tool| !is_required(&tool.hitl))
        .map(|tool| tool.name.as_str())
        .collect();
    let unsaid: Vec<&str> = bundle
        .tools
        .iter()
        .filter(|tool| tool.risk_level.is_none())
        .map(|tool| tool.name.as_str())
        .collect();
    let has_proof = |tool: &&&crate::release::tools::Tool| {
        tool.hitl_proof.is_some() || evidence.candidate.hitl_proof.contains_key(&tool.name)
    };
    let without: Vec<&str> = writing
        .iter()
        .filter(|tool| !has_proof(tool))
        .map(|tool| tool.name.as_str())
        .collect();
    if !unproven.is_empty() {
        let [n, of] = [unproven.len(), writing.len()].map(|n| Count(n as u64));
        let detail = says::unconfirmed_writes(n, of, Few(&unproven, NAMED));
        let remedy = says::require_confirmation();
        checks
            .record("write_tools", GateOutcome::Fail, detail, remedy)
            .evidence = json!(unproven);
    } else if !without.is_empty() {
        let detail = says::no_proof(Few(&without, NAMED));
        let remedy = says::give_proof();
        checks
            .record("write_tools", GateOutcome::Fail, detail, remedy)
            .evidence = json!(without);
    } else if !unsaid.is_empty() {
        let detail = says::no_risk_level(Few(&unsaid, NAMED));
        checks.record("write_tools", GateOutcome::Warn, detail, says::give_risk_level());
    } else {
        checks.record(
            "write_tools",
            GateOutcome::Pass,
            says::writes_confirmed(Things(writing.len() as u64, "tool")),
            "",
        );
    }
}
