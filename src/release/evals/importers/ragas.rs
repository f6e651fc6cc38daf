//! Importer of Ragas experiments, one row per line.

use serde_json::{Map, Value};
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::importers::json::{finite, hash_of, parse, text_of};
use crate::release::evals::row::{CaseOutcome, EvalRow};

/// Reads one row of an experiment. The name of the experiment, `run`, may be a release.
pub(super) fn line(location: &str, bytes: &[u8], run: Arc<str>, names: &mut Interner) -> Result<EvalRow> {
    Ok(ragas(
        &parse::<Map<String, Value>>(location, bytes, "a row of Ragas")?,
        run,
        names,
    ))
}

fn ragas(row: &Map<String, Value>, suite: Arc<str>, names: &mut Interner) -> EvalRow {
    let text = |key: &str| text_of(row.get(key));
    // A null score means that the judge failed. It is not counted as 0.
    let reserved = [
        "case_id",
        "repeat",
        "cost_usd",
        "latency_ms",
        "tokens_in",
        "tokens_out",
    ];
    let scores: Vec<(Arc<str>, f64)> = row
        .iter()
        .filter(|(key, value)| value.is_number() && !reserved.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((names.get(key), finite(value.as_f64())?)))
        .collect();
    let case_id = text("case_id").unwrap_or_else(|| {
        hash_of(&Value::Array(
            ["user_input", "reference", "retrieved_contexts"]
                .iter()
                .map(|key| row.get(*key).cloned().unwrap_or_default())
                .collect(),
        ))
    });
    let has_null = row.values().any(Value::is_null);
    EvalRow {
        release: text("release_id").map(|text| names.get(&text)),
        run: Some(suite),
        prompt: text("prompt_ref").map(|text| names.get(&text)),
        model: text("model_ref").map(|text| names.get(&text)),
        suite: names.get(&text("suite").unwrap_or_else(|| "golden".into())),
        case_id: names.get(&case_id),
        cluster: text("cluster").map(|text| names.get(&text)),
        outcome: if scores.is_empty() && has_null {
            CaseOutcome::Error
        } else {
            CaseOutcome::Unrated
        },
        scores,
        cost_usd: finite(row.get("cost_usd").and_then(Value::as_f64)),
        latency_ms: finite(row.get("latency_ms").and_then(Value::as_f64)),
        tokens: None,
        output: text("response").map(Into::into),
    }
}
