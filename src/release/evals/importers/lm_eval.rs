//! Importer of lm-evaluation-harness samples, one per line.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::importers::json::{number_of, outcome_of, parse, text_of};
use crate::release::evals::row::EvalRow;

/// Reads one sample.
pub(super) fn line(location: &str, bytes: &[u8], suite: Arc<str>, names: &mut Interner) -> Result<EvalRow> {
    Ok(parse::<LmSample>(location, bytes, "a sample of lm-eval")?.row(suite, names))
}

#[derive(Deserialize)]
struct LmSample {
    doc_id: Value,
    #[serde(default)]
    doc_hash: Option<String>,
    #[serde(default)]
    filter: Option<String>,
    #[serde(default)]
    metrics: Option<Vec<String>>,
    #[serde(default)]
    filtered_resps: Value,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl LmSample {
    fn row(self, suite: Arc<str>, names: &mut Interner) -> EvalRow {
        let filter = self
            .filter
            .as_deref()
            .filter(|filter| !filter.is_empty() && *filter != "none");
        let known = [
            "doc",
            "target",
            "arguments",
            "resps",
            "prompt_hash",
            "target_hash",
        ];
        let metrics = self.metrics.unwrap_or_else(|| {
            self.others
                .iter()
                .filter(|(key, value)| value.is_number() && !known.contains(&key.as_str()))
                .map(|(key, _)| key.clone())
                .collect()
        });
        let mut scores: Vec<(Arc<str>, f64)> = Vec::new();
        for metric in &metrics {
            let name = filter.map_or_else(|| metric.clone(), |filter| format!("{metric},{filter}"));
            scores.extend(
                self.others
                    .get(metric)
                    .and_then(number_of)
                    .map(|value| (names.get(&name), value)),
            );
        }
        let passed = scores.first().and_then(|(_, value)| {
            if *value == 1.0 {
                Some(true)
            } else if *value == 0.0 {
                Some(false)
            } else {
                None
            }
        });
        // The hash of the document identifies a case even after the data set is reordered. The
        // number is for the reader.
        let number = text_of(Some(&self.doc_id)).unwrap_or_default();
        let case_id = self.doc_hash.map_or_else(
            || number.clone(),
            |hash| format!("{number}-{}", hash.chars().take(12).collect::<String>()),
        );
        let output = match &self.filtered_resps {
            Value::Array(texts) => texts.first().and_then(Value::as_str),
            other => other.as_str(),
        };
        EvalRow {
            release: None,
            run: None,
            prompt: None,
            model: None,
            suite,
            case_id: names.get(&case_id),
            cluster: None,
            outcome: outcome_of(passed),
            scores,
            cost_usd: None,
            latency_ms: None,
            tokens: None,
            output: output.map(Into::into),
        }
    }
}
