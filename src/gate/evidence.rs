//! The evidence that the gate of a release judges: records, tools, evaluations, analysis,
//! approvals.

use crate::analysis::Analysis;
use crate::base::time::Micros;
use crate::input::SourceFile;
use crate::release::evals::{EvalRow, EvalTable, Suite, suites};
use crate::release::tools::{Replayed, ToolBundle};
use crate::release::{Registration, ReleaseRecord};

/// Everything a release is judged by. What is `None` was not given.
pub struct GateEvidence<'a> {
    /// The candidate's record.
    pub candidate: &'a ReleaseRecord,
    /// The baseline's.
    pub baseline: &'a ReleaseRecord,
    /// Other records: rollback targets are looked for among them.
    pub records: &'a [ReleaseRecord],
    /// What the registry knew of the candidate; `None`: no registry.
    pub seen: Option<Registration>,
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

impl<'a> GateEvidence<'a> {
    /// Evidence of two records and nothing else.
    pub fn new(candidate: &'a ReleaseRecord, baseline: &'a ReleaseRecord) -> Self {
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
    /// Deals rows to releases: by release id, by the name of their run, by the prompt or model that
    /// only one of them has, else by the file they were named with.
    pub fn from_tables(
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

/// The record to return to: the one that the candidate names, else the baseline.
pub(super) fn rollback_target<'a>(evidence: &GateEvidence<'a>) -> Option<&'a ReleaseRecord> {
    match &evidence.candidate.rollback_target {
        None => Some(evidence.baseline),
        Some(id) if *id == evidence.baseline.release_id => Some(evidence.baseline),
        Some(id) => evidence.records.iter().find(|record| record.release_id == *id),
    }
}

/// A recorded exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The check that is lifted.
    pub check: String,
    /// The record it is for: another content, another approval.
    pub release_digest: String,
    /// The person.
    pub by: String,
    /// Why.
    pub reason: String,
    /// It counts before this instant.
    pub expires: Micros,
}
