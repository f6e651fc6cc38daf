//! Importer of DeepEval's test runs.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::importers::json::{finite, hash_of, outcome_of, parse, text_of};
use crate::release::evals::row::{CaseOutcome, EvalRow};

/// Reads all cases of a test run.
pub(super) fn document(location: &str, bytes: &[u8], names: &mut Interner) -> Result<Vec<EvalRow>> {
    Ok(parse::<DeepEvalRun>(location, bytes, "a test run of DeepEval")?.rows(names))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeepEvalRun {
    #[serde(default)]
    test_cases: Vec<DeepEvalCase>,
    #[serde(default)]
    conversational_test_cases: Vec<DeepEvalCase>,
    #[serde(default)]
    identifier: Option<String>,
    #[serde(default)]
    hyperparameters: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeepEvalCase {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    actual_output: Option<String>,
    #[serde(default)]
    token_cost: Option<f64>,
    #[serde(default)]
    completion_time: Option<f64>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    metrics_data: Option<Vec<DeepEvalMetric>>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct DeepEvalMetric {
    name: String,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    flaky: bool,
    #[serde(default)]
    error: Option<Value>,
}

impl DeepEvalRun {
    fn rows(self, names: &mut Interner) -> Vec<EvalRow> {
        let of_run = |key: &str| text_of(self.hyperparameters.as_ref()?.get(key));
        let (prompt, model) = (
            of_run("prompt_ref"),
            of_run("model_ref").or_else(|| of_run("model")),
        );
        let cases = self.test_cases.into_iter().chain(self.conversational_test_cases);
        let rows = cases.map(|case| {
            let meta = |key: &str| text_of(case.metadata.as_ref()?.get(key));
            let metrics = case.metrics_data.unwrap_or_default();
            let broke = |metric: &DeepEvalMetric| metric.error.as_ref().is_some_and(|error| !error.is_null());
            // A flaky metric never decides. If a judge broke, the outcome is an error, unless
            // another metric failed.
            let decides: Vec<&DeepEvalMetric> = metrics.iter().filter(|metric| !metric.flaky).collect();
            let failed = decides
                .iter()
                .any(|metric| !broke(metric) && metric.success == Some(false));
            let outcome = match case.success {
                _ if failed => CaseOutcome::Failed,
                _ if decides.iter().any(|metric| broke(metric)) => CaseOutcome::Error,
                _ if decides.iter().any(|metric| metric.success == Some(true)) => CaseOutcome::Passed,
                success if metrics.is_empty() => outcome_of(success),
                _ => CaseOutcome::Unrated,
            };
            let case_id = meta("case_id")
                .or_else(|| case.name.clone().filter(|name| !name.is_empty()))
                .unwrap_or_else(|| hash_of(&case.input));
            EvalRow {
                release: meta("release_id").map(|text| names.get(&text)),
                run: self.identifier.as_deref().map(|text| names.get(text)),
                prompt: prompt.as_deref().map(|text| names.get(text)),
                model: model.as_deref().map(|text| names.get(text)),
                suite: names.get(&meta("suite").unwrap_or_else(|| "golden".into())),
                case_id: names.get(&case_id),
                cluster: meta("cluster").map(|text| names.get(&text)),
                outcome,
                scores: metrics
                    .iter()
                    .filter(|metric| !broke(metric))
                    .filter_map(|metric| Some((names.get(&metric.name), finite(metric.score)?)))
                    .collect(),
                cost_usd: finite(case.token_cost),
                latency_ms: finite(case.completion_time).map(|seconds| seconds * 1e3),
                tokens: None,
                output: case.actual_output.map(Into::into),
            }
        });
        rows.collect()
    }
}
