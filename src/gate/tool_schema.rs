//! Gate C1: changes of tool schemas and permissions, and the callers that they break.

use serde_json::json;

use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::GateEvidence;
use crate::release::tools::{BundleDiff, Concern, Level, NOT_COMPARED, ToolBundle, ToolChange};
use crate::release::{ArtifactRef, Dimension};
use crate::words::gate as says;
use crate::words::{Count, Few, Series, Text, Things};

/// The largest number of changes that a message lists. The evidence holds all of them.
const NAMED: usize = 5;

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
                checks.record(check, GateOutcome::Pass, says::same_tools(), "");
            } else {
                checks.record(
                    check,
                    GateOutcome::Inconclusive,
                    says::no_bundles(),
                    says::give_bundles(),
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
    let count = |changes: &[&ToolChange]| Things(changes.len() as u64, "change");
    let note = if !unversioned.is_empty() {
        let [before, after] = &versions;
        let (breaks, version) = (sentences(&breaking), sentences(&unversioned));
        let detail = match breaks.is_empty() {
            true => says::version_wrong(before, after, message(&version)),
            false => {
                let n = count(&breaking);
                says::breaks_callers(n, before, after, message(&breaks), message(&version))
            }
        };
        checks.record("tool_schema", GateOutcome::Fail, detail, says::announce_or_undo())
    } else if !unknown.is_empty() {
        let detail = says::not_comparable(count(&unknown), message(&sentences(&unknown)));
        checks.record(
            "tool_schema",
            GateOutcome::Inconclusive,
            detail,
            says::give_comparable(),
        )
    } else if !breaking.is_empty() {
        let detail = says::breaks_announced(
            count(&breaking),
            &versions[0],
            &versions[1],
            message(&sentences(&breaking)),
        );
        checks.record("tool_schema", GateOutcome::Warn, detail, says::break_nothing())
    } else if !warnings.is_empty() {
        checks.record(
            "tool_schema",
            GateOutcome::Warn,
            says::look_at_changes(count(&warnings), message(&sentences(&warnings))),
            says::look_at_words(),
        )
    } else {
        checks.record(
            "tool_schema",
            GateOutcome::Pass,
            says::breaks_none(Things(diff.changes.len() as u64, "change")),
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
            says::safety_loosened(message(&sentences(&loosened))),
            says::keep_strict(),
        );
    } else if !odd.is_empty() {
        let detail = says::safety_odd(message(&sentences(&odd)));
        checks.record("tool_safety", GateOutcome::Warn, detail, says::look_at_them());
    } else {
        checks.record("tool_safety", GateOutcome::Pass, says::safety_kept(), "");
    }
    arguments(evidence, checks);
}

/// Checks that the given bundles are those that the records name, by digest, else by name and
/// version.
fn bundles(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    for (whose, record, bundle) in [
        (says::candidate_release(), evidence.candidate, evidence.tools),
        (
            says::baseline_release(),
            evidence.baseline,
            evidence.baseline_tools,
        ),
    ] {
        let Some(bundle) = bundle else { continue };
        let Some(named) = record.artifact(Dimension::ToolSchema) else {
            checks.record(
                "tool_bundle",
                GateOutcome::Fail,
                says::record_without_tools(&whose),
                says::give_named_bundle(),
            );
            continue;
        };
        let own = format!("{}@{}", bundle.name, bundle.version.as_deref().unwrap_or("?"));
        let remedy = says::give_named_bundle();
        match named.digest.as_deref().filter(|_| named.has_whole_digest()) {
            Some(digest) if digest == bundle.digest => checks.record(
                "tool_bundle",
                GateOutcome::Pass,
                says::bundle_by_digest(&whose),
                "",
            ),
            Some(digest) => checks.record(
                "tool_bundle",
                GateOutcome::Fail,
                says::other_bundle(&whose, &bundle.digest, digest),
                remedy,
            ),
            None if named.reference == own => checks.record(
                "tool_bundle",
                GateOutcome::Warn,
                says::bundle_by_name(&whose, own),
                remedy,
            ),
            None => checks.record(
                "tool_bundle",
                GateOutcome::Inconclusive,
                says::bundle_other_name(&whose, &named.reference, own),
                remedy,
            ),
        };
    }
}

fn message(changes: &[Text]) -> Series<'_, Text> {
    Series(changes, NAMED)
}

fn sentences(changes: &[&ToolChange]) -> Vec<Text> {
    changes.iter().map(|change| change.sentence()).collect()
}

fn arguments(evidence: &GateEvidence<'_>, checks: &mut Checks<'_>) {
    let Some(calls) = evidence.calls else { return };
    let most = checks.policy.tools.max_rejected;
    let n_calls: u64 = calls.iter().map(|tool| tool.n_calls).sum();
    if n_calls == 0 {
        checks.record(
            "tool_arguments",
            GateOutcome::Inconclusive,
            says::no_logged_call(),
            says::give_calls(),
        );
        return;
    }
    let n_unreadable: u64 = calls.iter().map(|tool| tool.n_unreadable).sum();
    if n_unreadable > 0 && n_unreadable as f64 > most * n_calls as f64 {
        let detail = says::calls_unreadable(Count(n_unreadable), Count(n_calls));
        checks.record(
            "tool_arguments",
            GateOutcome::Inconclusive,
            detail,
            says::give_readable_calls(),
        );
    }
    if let Some(tool) = calls.iter().find(|tool| tool.n_undecided > 0) {
        checks.record(
            "tool_arguments",
            GateOutcome::Inconclusive,
            tool.message(),
            says::simpler_schema(),
        );
    }
    let worst = calls
        .iter()
        .filter(|tool| tool.n_rejected > 0)
        .max_by(|a, b| a.share.total_cmp(&b.share));
    let note = match worst {
        Some(tool) if tool.share > most => {
            let traces: Vec<&str> = tool.examples.iter().map(|call| call.trace_id.as_str()).collect();
            let detail = match tool.examples.first() {
                Some(first) => {
                    let traces = Few(&traces, NAMED);
                    says::calls_refused(tool.message(), &first.rule, &first.path, traces)
                }
                None => tool.message(),
            };
            checks.record(
                "tool_arguments",
                GateOutcome::Fail,
                detail,
                says::accept_arguments(),
            )
        }
        _ => checks.record(
            "tool_arguments",
            GateOutcome::Pass,
            match calls.iter().map(|tool| tool.n_undecided).sum::<u64>() {
                0 => says::calls_fit(Count(n_calls)),
                n => says::calls_fit_but(Count(n_calls), Count(n)),
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
