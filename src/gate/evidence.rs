//! The evidence of the gate of a release: records, tools, evaluations, analysis and approvals.

use crate::analysis::Analysis;
use crate::base::time::Micros;
use crate::input::SourceFile;
use crate::release::evals::{AbsentRuns, EvalRow, EvalTable, Suite, suites};
use crate::release::tools::{Replayed, ToolBundle};
use crate::release::{Registration, ReleaseRecord};

/// The evidence on a release. `None` marks evidence that was not given.
pub struct GateEvidence<'a> {
    /// Release record of the candidate, which the gate judges.
    pub candidate: &'a ReleaseRecord,
    /// Release record of the baseline, which users have today.
    pub baseline: &'a ReleaseRecord,
    /// Other records, among which a rollback target can be found.
    pub records: &'a [ReleaseRecord],
    /// The registry's result on the candidate's record. `None` if no registry was given.
    pub seen: Option<Registration>,
    /// The candidate's tools. `None` if no bundle was given.
    pub tools: Option<&'a ToolBundle>,
    /// The baseline's tools. `None` if no bundle was given.
    pub baseline_tools: Option<&'a ToolBundle>,
    /// Logged tool calls, checked against the candidate's schemas. `None` if no calls were given.
    pub calls: Option<&'a [Replayed]>,
    /// Evaluation results of both releases. `None` if no results were given.
    pub evals: Option<&'a Evals<'a>>,
    /// SHA-256 digest of the evaluation report's file. `None` if no report was given.
    pub eval_report: Option<String>,
    /// Analysis of a canary. `None` if no analysis was given.
    pub analysis: Option<&'a Analysis>,
    /// Recorded exceptions, each of which lifts one check. Empty if none were given.
    pub approvals: &'a [Approval],
    /// Time of the judgment, microseconds, UTC. Approvals expire. `None` if it was not given.
    pub as_of: Option<Micros>,
    /// Input files, with their digests.
    pub inputs: Vec<SourceFile>,
}

impl<'a> GateEvidence<'a> {
    /// Makes evidence of two records without further data.
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

/// Evaluation results, assigned to the two releases.
pub struct Evals<'a> {
    /// Rows with their arm: 0 for the baseline, 1 for the candidate.
    pub rows: Vec<(usize, &'a EvalRow)>,
    /// Results by suite and case.
    pub suites: Vec<Suite>,
    /// Number of rows of other releases, which are left out.
    pub n_others: usize,
    /// Number of rows of the baseline and of the candidate.
    pub n_rows: [usize; 2],
}

impl<'a> Evals<'a> {
    /// Assigns rows to releases. The first of these that applies decides: the release id, the name
    /// of the run, a prompt or model that only one release has, the table (baseline, candidate) of
    /// the row.
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
                // A different release id means another release, whatever the other fields say.
                return [(1, candidate), (0, baseline)]
                    .into_iter()
                    .find(|(_, record)| **release == *record.release_id)
                    .map(|(arm, _)| arm);
            }
            // A run's name may be a release id, but it may also be any other text.
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
        let mut absent: Vec<(usize, &AbsentRuns)> = Vec::new();
        for (named, table) in tables.into_iter().enumerate() {
            let runs = table.iter().flat_map(|table| &table.absent);
            absent.extend(runs.filter_map(|runs| Some((arm_of(&runs.like, named)?, runs))));
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
        evals.suites = suites(&evals.rows, &absent, 2);
        evals
    }
}

/// Returns the record to roll back to: the one that the candidate names, else the baseline. `None`
/// if the named record was not given.
pub(super) fn rollback_target<'a>(evidence: &GateEvidence<'a>) -> Option<&'a ReleaseRecord> {
    match &evidence.candidate.rollback_target {
        None => Some(evidence.baseline),
        Some(id) if *id == evidence.baseline.release_id => Some(evidence.baseline),
        Some(id) => evidence.records.iter().find(|record| record.release_id == *id),
    }
}

/// An approval: a recorded exception for one check of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Name of the check that is lifted, such as `rollback_target`.
    pub check: String,
    /// Digest of the release record that the approval covers. A changed record needs a new
    /// approval.
    pub release_digest: String,
    /// Name of the person who approved the exception.
    pub by: String,
    /// Whether a program approved, by `kind` or by its name. Such an approval lifts nothing.
    pub is_program: bool,
    /// Reason for the exception, as the person wrote it.
    pub reason: String,
    /// End of the approval, exclusive, microseconds, UTC.
    pub expires: Micros,
}
