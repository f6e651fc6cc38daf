//! Findings of evaluations.

use std::path::Path;

use crate::base::escape;
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::pipeline::place::{Place, PlacedFile};
use crate::release::evals::{Comparison, EvalSurvey, VerdictReason};
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::evals::{eval_metric, metric_of};
use crate::words::pipeline as says;
use crate::words::{Count, Text, Things, gate};

/// Returns the findings of a survey: one for each comparison, each slice, and each reason why runs
/// are no evidence. `files` are the results of the candidates; the first is the place.
pub fn from_evals(survey: &EvalSurvey, files: &[&Path]) -> Findings {
    let place = match files {
        [first, ..] => PlacedFile::read(first).map(|file| file.key(&[])),
        [] => None,
    };
    let mut list: Vec<Finding> = survey
        .comparisons
        .iter()
        .map(|row| {
            let comparison = &row.comparison;
            let (metric, suite) = (eval_metric(&comparison.metric), comparison.suite.as_str());
            let title = says::compared(metric, suite);
            let subject = join(&[&row.candidate, suite]);
            compared(comparison, title, subject, &place)
        })
        .collect();
    for of in &survey.slices {
        for slice in &of.study.slices {
            let title = says::sliced(eval_metric(&of.metric), of.suite.as_str(), of.study.by.as_str());
            let value = format!("{} = {}", of.study.by, escape::value(&slice.value));
            let subject = join(&[&of.candidate, &of.suite, &value]);
            let mut finding = compared(&slice.comparison, title, subject, &place);
            finding.group = "slices".to_owned();
            list.push(finding);
        }
    }
    let n_compared = list.len();
    let n_of = |level: Level| list.iter().filter(|finding| finding.level == level).count();
    let (n_violated, n_unclear) = (n_of(Level::Error), n_of(Level::Inconclusive));
    let first_violated = list.iter().find(|finding| finding.level == Level::Error);
    let (level, answer, next) = answer(survey, first_violated, [n_violated, n_unclear, n_compared]);
    list.extend(survey.not_run.iter().map(|row| Finding {
        rule: "no_evidence".to_owned(),
        title: says::no_evidence(),
        group: "runs".to_owned(),
        subject: join(&[&row.release, &row.suite]),
        level: Level::Warning,
        found: says::runs_of_release(Things(row.n, "run"), &row.release, row.reason.text()),
        remedy: None,
        place: place.clone(),
    }));
    Findings {
        command: "evals",
        level,
        answer,
        next,
        properties: vec![("releases", survey.releases.join(", "))],
        list,
    }
}

fn join(parts: &[&str]) -> String {
    parts.join(" / ")
}

/// A comparison as a finding of the rule of its metric.
fn compared(comparison: &Comparison, title: Text, subject: String, place: &Option<Place>) -> Finding {
    let level = match comparison.verdict {
        Some(HarmVerdict::Violated) => Level::Error,
        Some(HarmVerdict::Safe) => Level::Passed,
        Some(HarmVerdict::Unclear) | None => Level::Inconclusive,
    };
    let reason = comparison.verdict_reason;
    let found = comparison.sentence().unwrap_or_else(|| {
        let what = metric_of(&comparison.metric, comparison.suite.as_str());
        let [before, after] = comparison.n_errors.map(|n| Things(n, "run"));
        let why = reason.unwrap_or(VerdictReason::TooFewPairs).text();
        gate::not_compared(
            what,
            Things(comparison.n_pairs as u64, "pair"),
            before,
            after,
            why,
        )
    });
    let remedy = match level {
        Level::Error => Some(gate::not_worse_by(
            comparison.allowed(),
            Things(comparison.n_lost as u64, "case"),
        )),
        Level::Inconclusive => match reason {
            Some(VerdictReason::NoMargin | VerdictReason::MeanNotAboveZero) => Some(gate::give_margin()),
            Some(VerdictReason::TooManyMissing) => Some(gate::give_every_case_of_both()),
            Some(VerdictReason::AnotherScale) => Some(gate::one_scale()),
            _ => Some(gate::more_cases()),
        },
        _ => None,
    };
    Finding {
        rule: comparison.metric.clone(),
        title,
        group: "comparisons".to_owned(),
        subject,
        level,
        found,
        remedy,
        place: place.clone(),
    }
}

/// The answer of a survey, and the next step.
fn answer(
    survey: &EvalSurvey,
    first_violated: Option<&Finding>,
    [n_violated, n_unclear, n]: [usize; 3],
) -> (Level, Text, Text) {
    let count = |n: usize| Count(n as u64);
    let things = |n: usize, noun| Things(n as u64, noun);
    if survey.releases.len() < 2 || survey.matching.is_empty() {
        let answer = says::evals_only_read(
            things(survey.metrics.len(), "mean value"),
            things(survey.releases.len(), "release"),
        );
        (Level::NotAsked, answer, says::evals_next_baseline())
    } else if let Some(first) = first_violated {
        let answer = says::evals_violated(count(n_violated), count(n));
        let next = says::evals_next_violated(first.subject.as_str(), eval_metric(&first.rule));
        (Level::Error, answer, next)
    } else if n == 0 {
        (
            Level::Inconclusive,
            says::evals_none(),
            says::evals_next_unclear(),
        )
    } else if n_unclear > 0 {
        let answer = says::evals_unclear(count(n_unclear), count(n));
        (Level::Inconclusive, answer, says::evals_next_unclear())
    } else {
        (
            Level::Passed,
            says::evals_safe(things(n, "comparison")),
            says::evals_next_safe(),
        )
    }
}
