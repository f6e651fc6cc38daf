//! Gate C5: every tool that changes data needs proof that a person confirms its calls.

use serde_json::json;

use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::GateEvidence;
use crate::gate::tool_schema;
use crate::release::Dimension;

pub(super) fn checks(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let Some(bundle) = evidence.tools else {
        if evidence.candidate.artifact(Dimension::ToolSchema).is_none() {
            checks.record("write_tools", GateOutcome::Pass, "the release has no tools", "");
        } else {
            checks.record(
                "write_tools",
                GateOutcome::Inconclusive,
                "the candidate's bundle was not given",
                "--tools FILE",
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
        let detail = format!(
            "{} of {} tools that change data run without a person's confirmation: {}",
            unproven.len(),
            writing.len(),
            unproven.join(", ")
        );
        let remedy = "`hitl: required` for each, or `risk_level: read` for those that change nothing";
        checks
            .record("write_tools", GateOutcome::Fail, detail, remedy)
            .evidence = json!(unproven);
    } else if !without.is_empty() {
        let detail = format!("no proof of human confirmation: {}", without.join(", "));
        let remedy =
            "`hitl_proof` of each tool, in the bundle or in the record: where the review or the test is";
        checks
            .record("write_tools", GateOutcome::Fail, detail, remedy)
            .evidence = json!(without);
    } else if !unsaid.is_empty() {
        let detail = format!("no risk level, judged by hints alone: {}", unsaid.join(", "));
        checks.record(
            "write_tools",
            GateOutcome::Warn,
            detail,
            "`risk_level` for every tool",
        );
    } else {
        checks.record(
            "write_tools",
            GateOutcome::Pass,
            format!(
                "{} write tools, each with proof of human confirmation",
                writing.len()
            ),
            "",
        );
    }
}
