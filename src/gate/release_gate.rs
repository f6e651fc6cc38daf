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
    let mut not_asked: Vec<String> = CHECKS
        .iter()
        .filter(|(name, _, _)| policy.strictness(name) == Strictness::Off)
        .map(|(name, _, _)| format!("{name}: off in the policy"))
        .collect();
    match evidence.analysis {
        Some(analysis) => canary::checks(analysis, evidence, &mut checks),
        None => not_asked.push("canary: no analysis was given".into()),
    }
    let empty = [
        (
            policy.forbidden_substrings.is_empty(),
            "forbidden_substrings: the policy names none",
        ),
        (
            policy.thresholds.is_empty(),
            "eval_threshold: the policy names none",
        ),
        (
            policy.comparisons.is_empty(),
            "eval_regression: the policy compares nothing",
        ),
        (
            policy.slices.is_empty(),
            "eval_slices: the policy names no slices",
        ),
        (evidence.seen.is_none(), "immutable: no registry was given"),
        (
            evidence.calls.is_none(),
            "tool_arguments: no logged calls were given",
        ),
    ];
    not_asked.extend(
        empty
            .into_iter()
            .filter(|(is_empty, _)| *is_empty)
            .map(|(_, what)| what.to_owned()),
    );
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
        not_asked,
        comparisons: comparisons.iter().map(|comparison| json!(comparison)).collect(),
        rollback: rollback.map(|rollback| json!(rollback)),
    }
}
