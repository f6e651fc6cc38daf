//! Check of forbidden outputs: texts that no output of the candidate may contain.

use aho_corasick::AhoCorasick;
use serde_json::json;

use crate::base::skeleton::skeleton;
use crate::gate::checklist::Checks;
use crate::gate::document::GateOutcome;
use crate::gate::evidence::Evals;
use crate::release::evals::CaseOutcome;

/// The largest number of findings in the evidence.
const LISTED: usize = 100;

pub(super) fn checks(evals: Option<&Evals<'_>>, checks: &mut Checks<'_>) {
    let words = &checks.policy.forbidden_substrings;
    if words.is_empty() {
        return;
    }
    let rows: Vec<_> = evals
        .iter()
        .flat_map(|evals| &evals.rows)
        .filter(|(arm, _)| *arm == 1)
        .map(|(_, row)| row)
        .collect();
    // A run that broke has no output to check.
    let n_silent = rows
        .iter()
        .filter(|row| row.output.is_none() && row.outcome != CaseOutcome::Error)
        .count() as u64;
    let n_outputs = rows.iter().filter(|row| row.output.is_some()).count();
    let lower: Vec<String> = words.iter().map(|word| skeleton(word)).collect();
    let Ok(search) = AhoCorasick::new(&lower) else {
        checks.record(
            "forbidden_substrings",
            GateOutcome::Inconclusive,
            "there are too many forbidden texts to search for",
            "fewer or shorter words",
        );
        return;
    };
    let mut n_found = 0;
    let mut found = Vec::new();
    for row in &rows {
        let Some(output) = &row.output else { continue };
        if let Some(hit) = search.find(&skeleton(output)) {
            n_found += 1;
            if found.len() < LISTED {
                found.push(json!({"suite": *row.suite, "case_id": *row.case_id, "substring": words[hit.pattern().as_usize()]}));
            }
        }
    }
    if n_found > 0 {
        let cases: Vec<String> = found
            .iter()
            .take(5)
            .map(|hit| {
                format!(
                    "{} in {}",
                    hit["substring"],
                    hit["case_id"].as_str().unwrap_or_default()
                )
            })
            .collect();
        let detail = format!("{n_found} of {n_outputs} outputs: {}", cases.join(", "));
        checks
            .record(
                "forbidden_substrings",
                GateOutcome::Fail,
                detail,
                "a release without these outputs",
            )
            .evidence = json!(found);
    } else if n_outputs == 0 {
        checks.record(
            "forbidden_substrings",
            GateOutcome::Inconclusive,
            "no evaluation result of the candidate has an output",
            "results with outputs",
        );
    } else if n_silent > 0 {
        let detail = format!("none in {n_outputs} outputs; {n_silent} results have no output");
        let outcome = if checks.policy.too_many_missing(n_silent, rows.len() as u64) {
            GateOutcome::Inconclusive
        } else {
            GateOutcome::Warn
        };
        checks.record("forbidden_substrings", outcome, detail, "results with outputs");
    } else {
        checks.record(
            "forbidden_substrings",
            GateOutcome::Pass,
            format!("none in {n_outputs} outputs"),
            "",
        );
    }
}
