//! Gate C1: changes of tool schemas and permissions, and the callers that they break.

use serde_json::json;

use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::GateEvidence;
use crate::release::tools::{BundleDiff, Concern, Level, NOT_COMPARED, ToolBundle, ToolChange};
use crate::release::{ArtifactRef, Dimension};

/// Number of changes that a message lists. The evidence holds all of them.
const TOLD: usize = 5;

pub(super) fn checks(evidence: &GateEvidence<'_>, diff: Option<&BundleDiff>, checks: &mut Checks<'_>) {
    bundles(evidence, checks);
    let Some(diff) = diff else {
        let same = |record: &crate::release::ReleaseRecord| record.artifact(Dimension::ToolSchema).cloned();
        let (before, after): (Option<ArtifactRef>, Option<ArtifactRef>) =
            (same(evidence.baseline), same(evidence.candidate));
        // Equal digests mean equal content, so nothing can have changed.
        let unchanged = match (&before, &after) {
            (None, None) => true,
            (Some(a), Some(b)) => a.has_whole_digest() && a.is_same(b) == Some(true),
            _ => false,
        };
        for check in ["tool_schema", "tool_safety"] {
            if unchanged {
                checks.record(
                    check,
                    GateOutcome::Pass,
                    "both releases have the same tools, by digest",
                    "",
                );
            } else {
                checks.record(
                    check,
                    GateOutcome::Inconclusive,
                    "the bundles of both releases were not given",
                    "--tools FILE and --baseline-tools FILE",
                );
            }
        }
        // Logged calls are checked against the candidate's schemas alone.
        arguments(evidence, checks);
        return;
    };
    let breaking: Vec<&ToolChange> = diff.changes_at(Concern::Schema, Level::Error).collect();
    let unversioned: Vec<&ToolChange> = diff.changes_at(Concern::Version, Level::Error).collect();
    let warnings: Vec<&ToolChange> = diff
        .changes
        .iter()
        .filter(|change| change.level == Level::Warning && change.concern != Concern::Safety)
        .collect();
    let versions = diff
        .versions
        .clone()
        .map(|version| version.unwrap_or_else(|| "none".into()));
    let unknown: Vec<&ToolChange> = diff
        .changes
        .iter()
        .filter(|change| NOT_COMPARED.contains(&change.rule))
        .collect();
    let note = if !unversioned.is_empty() {
        let detail = format!(
            "{} breaking changes from {} to {}: {}; {}",
            breaking.len(),
            versions[0],
            versions[1],
            message(&breaking),
            message(&unversioned)
        );
        checks.record(
            "tool_schema",
            GateOutcome::Fail,
            detail,
            "a new major version and `migration`, which describes how callers migrate; or a change that breaks no caller",
        )
    } else if !unknown.is_empty() {
        let detail = format!(
            "{} places could not be compared or decided: {}",
            unknown.len(),
            message(&unknown)
        );
        checks.record(
            "tool_schema",
            GateOutcome::Inconclusive,
            detail,
            "whole lists of tools, and schemas whose effect can be decided: references within the bundle, branches of `oneOf` that exclude each other",
        )
    } else if !breaking.is_empty() {
        let detail = format!(
            "{} breaking changes from {} to {}, with a major version and a migration: {}",
            breaking.len(),
            versions[0],
            versions[1],
            message(&breaking)
        );
        checks.record(
            "tool_schema",
            GateOutcome::Warn,
            detail,
            "a change that breaks no caller",
        )
    } else if !warnings.is_empty() {
        checks.record(
            "tool_schema",
            GateOutcome::Warn,
            format!("{} changes to look at: {}", warnings.len(), message(&warnings)),
            "look at them; a changed description is a changed prompt",
        )
    } else {
        checks.record(
            "tool_schema",
            GateOutcome::Pass,
            format!("{} changes, none of which breaks a caller", diff.changes.len()),
            "",
        )
    };
    note.evidence = json!(diff);
    let loosened: Vec<&ToolChange> = diff.changes_at(Concern::Safety, Level::Error).collect();
    let odd: Vec<&ToolChange> = diff.changes_at(Concern::Safety, Level::Warning).collect();
    if !loosened.is_empty() {
        checks.record(
            "tool_safety",
            GateOutcome::Fail,
            message(&loosened),
            "as strict as before, or an approval of tool_safety",
        );
    } else if !odd.is_empty() {
        checks.record("tool_safety", GateOutcome::Warn, message(&odd), "look at them");
    } else {
        checks.record(
            "tool_safety",
            GateOutcome::Pass,
            "no tool has looser safety settings than before",
            "",
        );
    }
    arguments(evidence, checks);
}

/// Checks that the given bundles are those that the records name, by digest, else by name and
/// version.
fn bundles(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    for (what, record, bundle) in [
        ("candidate", evidence.candidate, evidence.tools),
        ("baseline", evidence.baseline, evidence.baseline_tools),
    ] {
        let Some(bundle) = bundle else { continue };
        let Some(named) = record.artifact(Dimension::ToolSchema) else {
            checks.record(
                "tool_bundle",
                GateOutcome::Fail,
                format!("the {what}'s record names no tools"),
                "the bundle that the record names",
            );
            continue;
        };
        let own = format!("{}@{}", bundle.name, bundle.version.as_deref().unwrap_or("?"));
        let remedy = "the bundle that the record names, by digest";
        match named.digest.as_deref().filter(|_| named.has_whole_digest()) {
            Some(digest) if digest == bundle.digest => checks.record(
                "tool_bundle",
                GateOutcome::Pass,
                format!("the {what}'s bundle is the one of its record, by digest"),
                "",
            ),
            Some(digest) => checks.record(
                "tool_bundle",
                GateOutcome::Fail,
                format!(
                    "the {what}'s bundle is {}, its record says {digest}",
                    bundle.digest
                ),
                remedy,
            ),
            None if named.reference == own => checks.record(
                "tool_bundle",
                GateOutcome::Warn,
                format!("the {what}'s bundle calls itself {own}; its record has no digest"),
                remedy,
            ),
            None => checks.record(
                "tool_bundle",
                GateOutcome::Inconclusive,
                format!(
                    "the {what}'s record names {}, the bundle calls itself {own}",
                    named.reference
                ),
                remedy,
            ),
        };
    }
}

fn message(changes: &[&ToolChange]) -> String {
    let mut texts: Vec<String> = changes
        .iter()
        .take(TOLD)
        .map(|change| {
            let node = [change.tool.as_str(), change.path.trim_start_matches('/')]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(" /");
            format!(
                "{}{}{} ({})",
                node,
                if node.is_empty() { "" } else { ": " },
                change.rule,
                change.detail
            )
        })
        .collect();
    if changes.len() > TOLD {
        texts.push(format!("and {} more", changes.len() - TOLD));
    }
    texts.join("; ")
}

fn arguments(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let Some(calls) = evidence.calls else { return };
    let most = checks.policy.tools.max_rejected;
    let n_calls: u64 = calls.iter().map(|tool| tool.n_calls).sum();
    if n_calls == 0 {
        checks.record(
            "tool_arguments",
            GateOutcome::Inconclusive,
            "no logged call",
            "a log with calls of tools",
        );
        return;
    }
    let n_unreadable: u64 = calls.iter().map(|tool| tool.n_unreadable).sum();
    if n_unreadable > 0 && n_unreadable as f64 > most * n_calls as f64 {
        let detail = format!("the arguments of {n_unreadable} of {n_calls} logged calls are no JSON");
        checks.record(
            "tool_arguments",
            GateOutcome::Inconclusive,
            detail,
            "a log with readable arguments",
        );
    }
    if let Some(tool) = calls.iter().find(|tool| tool.n_undecided > 0) {
        checks.record(
            "tool_arguments",
            GateOutcome::Inconclusive,
            tool.message(),
            "a schema whose references expand to less",
        );
    }
    let worst = calls
        .iter()
        .filter(|tool| tool.n_rejected > 0)
        .max_by(|a, b| a.share.total_cmp(&b.share));
    let note = match worst {
        Some(tool) if tool.share > most => {
            let detail = format!(
                "{}, for {}: traces {}",
                tool.message(),
                tool.examples.first().map_or(String::new(), |example| format!(
                    "{} at {}",
                    example.rule, example.path
                )),
                tool.examples
                    .iter()
                    .map(|example| example.trace_id.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            checks.record(
                "tool_arguments",
                GateOutcome::Fail,
                detail,
                "a schema that accepts today's arguments, or callers that change their arguments first",
            )
        }
        _ => checks.record(
            "tool_arguments",
            GateOutcome::Pass,
            match calls.iter().map(|tool| tool.n_undecided).sum::<u64>() {
                0 => format!("{n_calls} logged calls fit the new schemas"),
                n => format!("the others of {n_calls} logged calls fit the new schemas: {n} undecided"),
            },
            "",
        ),
    };
    note.evidence = json!(calls);
}

/// Returns the tools that change data. The registry's risk level takes precedence over hints.
pub(super) fn write_tools(bundle: &ToolBundle) -> impl Iterator<Item = &crate::release::tools::Tool> {
    bundle.tools.iter().filter(|tool| tool.writes())
}
