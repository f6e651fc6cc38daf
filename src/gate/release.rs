//! The gate of a release: records, tools, evaluations, canary, in one report.

use serde_json::json;

use crate::analysis::Analysis;
use crate::base::time::Micros;
use crate::gate::approvals::Approval;
use crate::gate::policy::{Policy, Strictness};
use crate::gate::{
    GateCheck, GateOutcome, GateReport, Subject, approvals, canary, cost, evaluation, forbidden, injection,
    policy, record, tool_schema, write_tools,
};
use crate::input::SourceFile;
use crate::release::evals::{EvalRow, EvalTable, Suite, suites};
use crate::release::tools::{BundleDiff, Replayed, ToolBundle, diff_bundles};
use crate::release::{ReleaseRecord, Rollback, Seen, rollback, signals_of};

/// Everything a release is judged by. What is `None` was not given.
pub struct Evidence<'a> {
    /// The candidate's record.
    pub candidate: &'a ReleaseRecord,
    /// The baseline's.
    pub baseline: &'a ReleaseRecord,
    /// Other records: rollback targets are looked for among them.
    pub records: &'a [ReleaseRecord],
    /// What the registry knew of the candidate; `None`: no registry.
    pub seen: Option<Seen>,
    /// The candidate's tools.
    pub tools: Option<&'a ToolBundle>,
    /// The baseline's tools.
    pub baseline_tools: Option<&'a ToolBundle>,
    /// Logged calls against the candidate's tools.
    pub calls: Option<&'a [Replayed]>,
    /// Results of evaluations.
    pub evals: Option<&'a Evals<'a>>,
    /// The digest of the evaluation's report, if the file was given.
    pub eval_report: Option<String>,
    /// What a canary shows.
    pub analysis: Option<&'a Analysis>,
    /// Approvals that lift checks.
    pub approvals: &'a [Approval],
    /// Now: approvals expire. `None` if nobody said so.
    pub as_of: Option<Micros>,
    /// What was read, with digests.
    pub inputs: Vec<SourceFile>,
}

impl<'a> Evidence<'a> {
    /// Two records, and nothing else.
    pub fn of(candidate: &'a ReleaseRecord, baseline: &'a ReleaseRecord) -> Self {
        Self {
            candidate,
            baseline,
            records: &[],
            seen: None,
            tools: None,
            baseline_tools: None,
            calls: None,
            evals: None,
            eval_report: None,
            analysis: None,
            approvals: &[],
            as_of: None,
            inputs: Vec::new(),
        }
    }
}

/// Evaluation results, dealt to releases.
pub struct Evals<'a> {
    /// Rows with their arm: 0 baseline, 1 candidate.
    pub rows: Vec<(usize, &'a EvalRow)>,
    /// Grouped by suite and case.
    pub suites: Vec<Suite>,
    /// Rows of other releases, left out.
    pub n_others: usize,
    /// Runs of each arm.
    pub n_rows: [usize; 2],
}

impl<'a> Evals<'a> {
    /// Deals rows to releases: by release id, by the name of their run, by the prompt or model that only one of them has, else by the file they were named with.
    pub fn of(
        candidate: &ReleaseRecord,
        baseline: &ReleaseRecord,
        tables: [Option<&'a EvalTable>; 2],
    ) -> Self {
        let mut evals = Self {
            rows: Vec::new(),
            suites: Vec::new(),
            n_others: 0,
            n_rows: [0, 0],
        };
        let arm_of = |row: &EvalRow, named: usize| -> Option<usize> {
            if let Some(release) = &row.release {
                // A release of another name is another release, whatever else the row says.
                return [(1, candidate), (0, baseline)]
                    .into_iter()
                    .find(|(_, record)| **release == *record.release_id)
                    .map(|(arm, _)| arm);
            }
            // What a run is called may be a release, or anything.
            for (arm, record) in [(1, candidate), (0, baseline)] {
                if row.run.as_deref() == Some(&record.release_id) {
                    return Some(arm);
                }
            }
            for (idx, own) in [(1, &row.prompt), (0, &row.model)] {
                let Some(own) = own else { continue };
                let is = |record: &ReleaseRecord| {
                    record.artifacts[idx]
                        .as_ref()
                        .is_some_and(|artifact| artifact.reference == **own)
                };
                match (is(baseline), is(candidate)) {
                    (true, false) => return Some(0),
                    (false, true) => return Some(1),
                    _ => {}
                }
            }
            Some(named)
        };
        for (named, table) in tables.into_iter().enumerate() {
            for row in table.iter().flat_map(|table| &table.rows) {
                match arm_of(row, named) {
                    Some(arm) => {
                        evals.n_rows[arm] += 1;
                        evals.rows.push((arm, row));
                    }
                    None => evals.n_others += 1,
                }
            }
        }
        evals.suites = suites(evals.rows.iter().copied());
        evals
    }
}

/// Collects checks; each counts as strictly as the policy says.
pub(super) struct Checks<'a> {
    pub(super) policy: &'a Policy,
    pub(super) list: Vec<GateCheck>,
}

impl Checks<'_> {
    /// Notes a check. `remedy`: what would make it pass.
    pub(super) fn note(
        &mut self,
        check: &'static str,
        outcome: GateOutcome,
        detail: impl Into<String>,
        remedy: &str,
    ) -> &mut GateCheck {
        let outcome = self.policy.strictness(check).apply(outcome);
        self.list.push(GateCheck {
            gate: policy::gate_of(check).into(),
            check: check.into(),
            tenant: String::new(),
            layer: String::new(),
            outcome,
            detail: detail.into(),
            remedy: (outcome != GateOutcome::Pass).then(|| remedy.to_owned()),
            evidence: serde_json::Value::Null,
            lifted_by: None,
        });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}

/// Judges a release.
pub fn gate_release(evidence: &Evidence<'_>, policy: &Policy) -> GateReport {
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
    let comparisons = evaluation::checks(evidence.evals, evidence, &mut checks);
    injection::checks(evidence.evals, &mut checks);
    cost::checks(evidence.evals, &mut checks);
    write_tools::checks(evidence, &mut checks);
    forbidden::checks(evidence.evals, &mut checks);
    approvals::approvers(evidence, &mut checks);
    let mut not_asked: Vec<String> = policy::CHECKS
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
        schema: crate::gate::SCHEMA.into(),
        plan_id: String::new(),
        baseline: evidence.baseline.release_id.clone(),
        candidate: evidence.candidate.release_id.clone(),
        as_of: evidence
            .as_of
            .or(evidence.analysis.map(|analysis| analysis.as_of)),
        evidence_digest: crate::base::output::sha256_of_bytes(
            crate::base::output::to_json(&evidence.inputs).as_bytes(),
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

/// The record to return to: the one that the candidate names, else the baseline.
pub(super) fn rollback_target<'a>(evidence: &Evidence<'a>) -> Option<&'a ReleaseRecord> {
    match &evidence.candidate.rollback_target {
        None => Some(evidence.baseline),
        Some(id) if *id == evidence.baseline.release_id => Some(evidence.baseline),
        Some(id) => evidence.records.iter().find(|record| record.release_id == *id),
    }
}
