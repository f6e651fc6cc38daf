//! Outputs that no release may give.

use aho_corasick::AhoCorasick;
use serde_json::json;

use super::{
    GateOutcome,
    release::{Checks, Evals},
};

/// Findings that are listed.
const LISTED: usize = 100;

pub(super) fn checks(evals: Option<&Evals<'_>>, checks: &mut Checks<'_>) {
    let words = &checks.policy.forbidden_substrings;
    if words.is_empty() {
        return;
    }
    let rows: Vec<_> = evals.iter().flat_map(|evals| &evals.rows).filter(|(arm, _)| *arm == 1).map(|(_, row)| row).collect();
    let n_outputs = rows.iter().filter(|row| row.output.is_some()).count();
    // Both sides in lower case: a capital letter, Latin or not, does not make a promise harmless.
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let Ok(search) = AhoCorasick::new(&lower) else {
        checks.note(
            "forbidden_substrings",
            GateOutcome::Inconclusive,
            "the words are too many to be searched for",
            "fewer or shorter words",
        );
        return;
    };
    let mut n_found = 0;
    let mut found = Vec::new();
    for row in &rows {
        let Some(output) = &row.output else { continue };
        if let Some(hit) = search.find(&output.to_lowercase()) {
            n_found += 1;
            if found.len() < LISTED {
                found.push(json!({"suite": *row.suite, "case_id": *row.case_id, "substring": words[hit.pattern().as_usize()]}));
            }
        }
    }
    if n_found > 0 {
        let cases: Vec<String> =
            found.iter().take(5).map(|hit| format!("{} in {}", hit["substring"], hit["case_id"].as_str().unwrap_or_default())).collect();
        let detail = format!("{n_found} of {n_outputs} outputs: {}", cases.join(", "));
        checks.note("forbidden_substrings", GateOutcome::Fail, detail, "a release that does not say it").evidence = json!(found);
    } else if n_outputs == 0 {
        checks.note(
            "forbidden_substrings",
            GateOutcome::Inconclusive,
            "no evaluation result of the candidate has an output",
            "results with outputs",
        );
    } else if n_outputs < rows.len() {
        let detail = format!("none in {n_outputs} outputs; {} results have no output", rows.len() - n_outputs);
        checks.note("forbidden_substrings", GateOutcome::Warn, detail, "results with outputs");
    } else {
        checks.note("forbidden_substrings", GateOutcome::Pass, format!("none in {n_outputs} outputs"), "");
    }
}
