//! How the cases of two releases were matched, and which were not.

use serde::Serialize;
use std::sync::Arc;

use crate::base::escape;
use crate::release::evals::cases::{Case, Suite};
use crate::release::evals::identity::MatchedBy;
use crate::words::evals as says;
use crate::words::{Count, Few, Lang, Text};

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
    pub fn sentence(&self, has_several: bool) -> Text {
        let (suite, by) = (escape::line(&self.suite).into_owned(), self.by.text());
        let n = Count(self.n_matched as u64);
        let start = match has_several {
            true => says::matched_candidate(suite, escape::line(&self.candidate).into_owned(), n, by),
            false => says::matched(suite, n, by),
        };
        let because = (self.by != MatchedBy::CaseId).then(|| self.because());
        let mut parts = Vec::new();
        if self.n_only_baseline > 0 {
            let names = listed(&self.only_baseline);
            parts.push(says::only_before(Count(self.n_only_baseline as u64), few(&names)));
        }
        if self.n_only_candidate > 0 {
            let names = listed(&self.only_candidate);
            parts.push(says::only_now(Count(self.n_only_candidate as u64), few(&names)));
        }
        Text::new(|lang| {
            let [comma, semicolon, end] = match lang {
                Lang::En => [", ", "; ", "."],
                Lang::Zh => ["，", "；", "。"],
            };
            let mut text = start.of(lang).to_owned();
            for (separator, part) in because
                .iter()
                .map(|part| (comma, part))
                .chain(parts.iter().map(|part| (semicolon, part)))
            {
                text.push_str(separator);
                text.push_str(part.of(lang));
            }
            text + end
        })
    }

    /// Why cases were not matched by their ids.
    fn because(&self) -> Text {
        let mut why = Vec::new();
        if self.n_ambiguous > 0 {
            let names = listed(&self.ambiguous);
            why.push(says::ambiguous(Count(self.n_ambiguous as u64), few(&names)));
        }
        if self.n_conflicts > 0 {
            let names = listed(&self.conflicts);
            why.push(says::conflicts(Count(self.n_conflicts as u64), few(&names)));
        }
        if why.is_empty() {
            why.push(if self.is_renamed {
                says::renamed()
            } else {
                says::without_ids()
            });
        }
        says::because(why)
    }
}

/// Ids for a sentence.
fn listed(ids: &[String]) -> Vec<String> {
    ids.iter().map(|id| escape::value(id)).collect()
}

fn few(names: &[String]) -> Few<'_, String> {
    Few(names, NAMES)
}
