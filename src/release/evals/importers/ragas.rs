//! Importer of Ragas experiments, one row per line.

use serde_json::{Map, Value};
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::asked;
use crate::release::evals::importers::json::{attributes, finite, parse, score_of, text_of, verdict_of};
use crate::release::evals::row::{CaseOutcome, EvalRow, NotRun};

/// Columns with numbers that are no scores.
const NO_SCORES: [&str; 8] = [
    "case_id",
    "id",
    "repeat",
    "cost_usd",
    "latency_ms",
    "latency",
    "tokens_in",
    "tokens_out",
];
/// Columns of a sample: its texts are no verdicts.
const SAMPLE: [&str; 12] = [
    "user_input",
    "reference",
    "response",
    "retrieved_contexts",
    "reference_contexts",
    "retrieved_context_ids",
    "reference_context_ids",
    "rubrics",
    "reference_topics",
    "reference_tool_calls",
    "persona_name",
    "query_style",
];

/// Reads one row of an experiment. The name of the experiment, `run`, may be a release.
pub(super) fn line(
    location: &str,
    bytes: &[u8],
    (run, by): (Arc<str>, &[String]),
    names: &mut Interner,
) -> Result<EvalRow> {
    let row = parse::<Map<String, Value>>(location, bytes, "a row of Ragas")?;
    Ok(experiment(&row, run, by, names))
}

/// The row of an experiment, from its columns.
pub(in crate::release::evals) fn experiment(
    row: &Map<String, Value>,
    run: Arc<str>,
    by: &[String],
    names: &mut Interner,
) -> EvalRow {
    let text = |key: &str| text_of(row.get(key));
    // A null score means that the judge failed. It is not counted as 0.
    let mut scores: Vec<(Arc<str>, f64)> = Vec::new();
    let mut passed = None::<bool>;
    for (key, value) in row {
        if NO_SCORES.contains(&key.as_str()) || SAMPLE.contains(&key.as_str()) {
            continue;
        }
        let verdict = verdict_of(value);
        if let Some(verdict) = verdict {
            passed = Some(passed.unwrap_or(true) && verdict);
        }
        let score = if verdict.is_some() || value.is_number() {
            score_of(value)
        } else {
            None
        };
        scores.extend(score.map(|score| (names.get(key), score)));
    }
    let has_null = row
        .iter()
        .any(|(key, value)| value.is_null() && !SAMPLE.contains(&key.as_str()));
    let (outcome, not_run) = match passed {
        Some(true) => (CaseOutcome::Passed, None),
        Some(false) => (CaseOutcome::Failed, None),
        None if scores.is_empty() && has_null => (CaseOutcome::Error, Some(NotRun::JudgeError)),
        None => (CaseOutcome::Unrated, None),
    };
    EvalRow {
        release: text("release_id").map(|text| names.get(&text)),
        run: Some(run),
        prompt: text("prompt_ref").map(|text| names.get(&text)),
        model: text("model_ref").map(|text| names.get(&text)),
        suite: names.get(&text("suite").unwrap_or_else(|| "golden".into())),
        name: text("case_id")
            .or_else(|| text("id"))
            .map(|text| names.get(&text)),
        asked: asked::of_question(&[
            row.get("user_input").map(asked::of_messages).as_ref(),
            row.get("reference"),
        ])
        .map(|text| names.get(&text)),
        cluster: text("cluster").map(|text| names.get(&text)),
        outcome,
        not_run,
        scores,
        cost_usd: finite(row.get("cost_usd").and_then(Value::as_f64)),
        latency_ms: finite(row.get("latency_ms").and_then(Value::as_f64)),
        output: text("response").map(Into::into),
        attributes: attributes(by, &[Some(row)], names),
        ..EvalRow::default()
    }
}
