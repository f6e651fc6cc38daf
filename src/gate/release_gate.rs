//! The gate of a release: runs the checks of record, tools, evaluations and canary, and makes one
//! report.

use serde_json::json;

use crate::gate::checklist::Checks;
use crate::gate::document::{GateCheck, GateOutcome, GateReport, Subject};
use crate::gate::evidence::{GateEvidence, rollback_target};
use crate::gate::policy::GatePolicy;
use crate::gate::strictness::{CHECKS, Strictness};
use crate::gate::{
    approvals, canary, cost, eval_cases, evaluation, forbidden, injection, record, tool_schema, write_tools,
};
use crate::release::tools::{BundleDiff, diff_bundles};
use crate::release::{ReleaseRecord, Rollback, rollback, signals_of};
use crate::words::Text;
use crate::words::gate as says;

/// Judges a release by its evidence. The outcome is the worst outcome of all checks.
pub fn gate_release(evidence: &GateEvidence<'_>, policy: &GatePolicy) -> GateReport {
    let mut checks = Checks {
        policy,
        list: Vec::new(),
    };
    record::checks(evidence, &mut checks);
    let diff: Option<BundleDiff> = match (evidence.baseline_tools, evidence.tools) {
        (Some(old), Some(new)) => Some(diff_bundles(old, new, evidence.candidate.migration.is_some())),
        _ => None,
    };
    tool_schema::checks(evidence, diff.as_ref(), &mut checks);
    eval_cases::check(evidence.evals, evidence, &mut checks);
    let comparisons = evaluation::checks(evidence.evals, evidence, &mut checks);
    injection::checks(evidence.evals, &mut checks);
    cost::checks(evidence.evals, &mut checks);
    write_tools::checks(evidence, &mut checks);
    forbidden::checks(evidence.evals, &mut checks);
    approvals::approvers(evidence, &mut checks);
    if let Some(analysis) = evidence.analysis {
        canary::checks(analysis, evidence, &mut checks);
    }
    let not_asked = not_asked(evidence, policy);
    let mut list: Vec<GateCheck> = checks
        .list
        .into_iter()
        .filter(|check| policy.strictness(&check.check) != Strictness::Off)
        .collect();
    approvals::lift(&mut list, evidence);
    let signals = evidence.analysis.map(signals_of).unwrap_or_default();
    let target = rollback_target(evidence);
    let rollback: Option<Rollback> = target
        .filter(|_| !signals.is_empty())
        .map(|target| rollback(evidence.candidate, target, signals));
    let outcome = list
        .iter()
        .map(|check| check.outcome)
        .max()
        .unwrap_or(GateOutcome::Inconclusive);
    let subject = |record: &ReleaseRecord| Subject {
        release_id: record.release_id.clone(),
        digest: record.digest.clone(),
    };
    GateReport {
        schema: crate::gate::document::SCHEMA.into(),
        plan_id: String::new(),
        baseline: evidence.baseline.release_id.clone(),
        candidate: evidence.candidate.release_id.clone(),
        as_of: evidence
            .as_of
            .or(evidence.analysis.map(|analysis| analysis.as_of)),
        evidence_digest: crate::base::digest::sha256_of_bytes(
            crate::base::json::to_json(&evidence.inputs).as_bytes(),
        ),
        outcome,
        checks: list,
        subjects: vec![subject(evidence.candidate), subject(evidence.baseline)],
        policy_digest: Some(policy.digest()),
        inputs: evidence.inputs.clone(),
        not_asked_zh: not_asked.iter().map(|text| text.zh.clone()).collect(),
        not_asked: not_asked.into_iter().map(|text| text.en).collect(),
        comparisons: comparisons.iter().map(|comparison| json!(comparison)).collect(),
        rollback: rollback.map(|rollback| json!(rollback)),
    }
}

/// The checks that are not made, with the reason.
fn not_asked(evidence: &GateEvidence<'_>, policy: &GatePolicy) -> Vec<Text> {
    let is_off = |name: &str| policy.strictness(name) == Strictness::Off;
    let off = CHECKS.iter().filter(|(name, _, _)| is_off(name));
    let mut not_asked: Vec<Text> = off.map(|(name, _, _)| says::off_in_policy(*name)).collect();
    let has_words = !policy.forbidden_substrings.is_empty();
    let empty = [
        (evidence.analysis.is_some(), says::no_analysis("canary")),
        (has_words, says::policy_names_none("forbidden_substrings")),
        (
            !policy.thresholds.is_empty(),
            says::policy_names_none("eval_threshold"),
        ),
        (
            !policy.comparisons.is_empty(),
            says::policy_compares_nothing("eval_regression"),
        ),
        (
            !policy.slices.is_empty(),
            says::policy_names_no_slices("eval_slices"),
        ),
        (evidence.seen.is_some(), says::no_registry("immutable")),
        (evidence.calls.is_some(), says::no_calls("tool_arguments")),
    ];
    not_asked.extend(
        empty
            .into_iter()
            .filter(|(is_there, _)| !is_there)
            .map(|(_, text)| text),
    );
    not_asked
}
