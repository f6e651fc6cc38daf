//! How the cases of two releases were matched, and which were not.

use serde::Serialize;
use std::sync::Arc;

use crate::base::escape;
use crate::base::number::{count, first_of};
use crate::release::evals::cases::{Case, Suite};
use crate::release::evals::identity::MatchedBy;

/// The largest number of cases that are listed.
const LISTED: usize = 100;
/// The largest number of names in a sentence.
const NAMES: usize = 5;

/// How the cases of a candidate were matched with those of the baseline.
#[derive(Debug, Clone, Serialize)]
pub struct Matching {
    /// The name of the suite.
    pub suite: String,
    /// The name of the baseline.
    pub baseline: String,
    /// The name of the candidate.
    pub candidate: String,
    /// What identifies a case.
    pub by: MatchedBy,
    /// The number of cases that both releases have.
    pub n_matched: usize,
    /// The number of cases that only the baseline has.
    pub n_only_baseline: usize,
    /// The number of cases that only the candidate has.
    pub n_only_candidate: usize,
    /// The ids of cases that only the baseline has, at most 100.
    pub only_baseline: Vec<String>,
    /// The ids of cases that only the candidate has, at most 100.
    pub only_candidate: Vec<String>,
    /// The number of ids that name other inputs in another release.
    pub n_conflicts: usize,
    /// These ids, at most 100.
    pub conflicts: Vec<String>,
    /// The number of ids that name several inputs of one release.
    pub n_ambiguous: usize,
    /// These ids, at most 100.
    pub ambiguous: Vec<String>,
    /// Whether an input has other ids in another release.
    pub is_renamed: bool,
}

impl Matching {
    /// Counts the cases of a suite that release 0, the baseline, and a candidate have.
    pub fn new(suite: &Suite, releases: &[String], candidate: usize) -> Self {
        let has = |case: &Case, release: usize| case.arms[release].n_runs > 0;
        let count = |in_baseline: bool, in_candidate: bool| {
            let cases = suite.cases.iter();
            cases
                .filter(move |case| has(case, 0) == in_baseline && has(case, candidate) == in_candidate)
                .map(|case| case.case_id.to_string())
        };
        let listed = |ids: &[Arc<str>]| ids.iter().take(LISTED).map(|id| id.to_string()).collect();
        Self {
            suite: suite.name.to_string(),
            baseline: releases[0].clone(),
            candidate: releases[candidate].clone(),
            by: suite.matched_by,
            n_matched: count(true, true).count(),
            n_only_baseline: count(true, false).count(),
            n_only_candidate: count(false, true).count(),
            only_baseline: count(true, false).take(LISTED).collect(),
            only_candidate: count(false, true).take(LISTED).collect(),
            n_conflicts: suite.conflicts.len(),
            conflicts: listed(&suite.conflicts),
            n_ambiguous: suite.ambiguous.len(),
            ambiguous: listed(&suite.ambiguous),
            is_renamed: suite.is_renamed,
        }
    }

    /// How the cases of two releases were matched, and which were not, for readers. With
    /// `has_several`, the candidate is named.
    pub fn sentence(&self, has_several: bool) -> String {
        let names = |ids: &[String]| {
            let ids: Vec<String> = ids.iter().map(|id| escape::value(id)).collect();
            first_of(&ids, NAMES, ", ")
        };
        let candidate = if has_several {
            format!(", {}", self.candidate)
        } else {
            String::new()
        };
        let mut text = format!(
            "{}{}: {} cases matched by {}",
            escape::line(&self.suite),
            escape::line(&candidate),
            count(self.n_matched as u64),
            self.by.name()
        );
        if self.by != MatchedBy::CaseId {
            let mut why = Vec::new();
            if self.n_ambiguous > 0 {
                why.push(format!(
                    "{} ids name several inputs ({})",
                    count(self.n_ambiguous as u64),
                    names(&self.ambiguous)
                ));
            }
            if self.n_conflicts > 0 {
                why.push(format!(
                    "{} ids have other inputs in another release ({})",
                    count(self.n_conflicts as u64),
                    names(&self.conflicts)
                ));
            }
            if why.is_empty() {
                why.push(if self.is_renamed {
                    "the same inputs have other ids in another release".to_owned()
                } else {
                    "the files do not give every case an id".to_owned()
                });
            }
            text.push_str(&format!(", because {}", why.join(" and ")));
        }
        for (n, ids, whose) in [
            (self.n_only_baseline, &self.only_baseline, "before"),
            (self.n_only_candidate, &self.only_candidate, "now"),
        ] {
            if n > 0 {
                text.push_str(&format!("; {} only {whose}: {}", count(n as u64), names(ids)));
            }
        }
        text + "."
    }
}
