//! Importer of DeepEval's test runs.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::asked;
use crate::release::evals::importers::json::{
    attributes, flag, or_default, outcome_of, parse, real, text_of,
};
use crate::release::evals::row::{CaseOutcome, EvalRow, NotRun};

/// Reads all cases of a test run.
pub(super) fn document(
    location: &str,
    bytes: &[u8],
    by: &[String],
    names: &mut Interner,
) -> Result<Vec<EvalRow>> {
    Ok(parse::<DeepEvalRun>(location, bytes, "a test run of DeepEval")?.rows(by, names))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeepEvalRun {
    #[serde(default, deserialize_with = "or_default")]
    test_cases: Vec<DeepEvalCase>,
    #[serde(default, deserialize_with = "or_default")]
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
    expected_output: Value,
    #[serde(default)]
    actual_output: Option<Value>,
    #[serde(default, deserialize_with = "real")]
    token_cost: Option<f64>,
    #[serde(default, deserialize_with = "real")]
    completion_time: Option<f64>,
    #[serde(default, deserialize_with = "flag")]
    success: Option<bool>,
    #[serde(default)]
    metrics_data: Option<Vec<DeepEvalMetric>>,
    #[serde(default, alias = "additionalMetadata")]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    scenario: Value,
    #[serde(default)]
    expected_outcome: Value,
    #[serde(default)]
    turns: Option<Vec<Map<String, Value>>>,
}

#[derive(Deserialize)]
struct DeepEvalMetric {
    name: String,
    #[serde(default, deserialize_with = "real")]
    score: Option<f64>,
    #[serde(default, deserialize_with = "flag")]
    success: Option<bool>,
    #[serde(default)]
    flaky: bool,
    #[serde(default)]
    error: Option<Value>,
}

impl DeepEvalMetric {
    /// The reason for which the metric says nothing.
    fn not_run(&self) -> Option<NotRun> {
        if self
            .error
            .as_ref()
            .is_some_and(|error| !error.is_null() && error != "")
        {
            Some(NotRun::JudgeError)
        } else if self.score.is_none() {
            // A metric without a score is reported as not successful.
            Some(NotRun::NoScore)
        } else {
            None
        }
    }
}

impl DeepEvalCase {
    /// The id of the case; `None` for the names that the tool makes up, which are positions.
    fn own_name(&self) -> Option<String> {
        let name = self.name.clone().filter(|name| !name.is_empty())?;
        let number = name
            .strip_prefix("conversational_test_case_")
            .or_else(|| name.strip_prefix("test_case_"));
        let is_position = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        (!is_position).then_some(name)
    }

    fn asked(&self) -> Option<String> {
        let Some(turns) = &self.turns else {
            return asked::of_question(&[Some(&self.input), Some(&self.expected_output)]);
        };
        // A scenario is played: what the user says in it differs from run to run.
        if !self.scenario.is_null() {
            return asked::of_question(&[Some(&self.scenario), Some(&self.expected_outcome)]);
        }
        let user = turns
            .iter()
            .filter(|turn| turn.get("role").and_then(Value::as_str) != Some("assistant"))
            .map(|turn| turn.get("content").cloned().unwrap_or_default());
        asked::of_question(&[Some(&user.collect()), Some(&self.expected_outcome)])
    }
}

impl DeepEvalRun {
    fn rows(self, by: &[String], names: &mut Interner) -> Vec<EvalRow> {
        let of_run = |key: &str| text_of(self.hyperparameters.as_ref()?.get(key));
        let release = of_run("release_id");
        let (prompt, model) = (
            of_run("prompt_ref"),
            of_run("model_ref").or_else(|| of_run("model")),
        );
        let cases = self.test_cases.into_iter().chain(self.conversational_test_cases);
        let rows = cases.map(|case| {
            let meta = |key: &str| text_of(case.metadata.as_ref()?.get(key));
            let metrics = case.metrics_data.as_deref().unwrap_or_default();
            // A flaky metric never decides. If a judge broke, the outcome is an error, unless
            // another metric failed.
            let decides: Vec<&DeepEvalMetric> = metrics.iter().filter(|metric| !metric.flaky).collect();
            let failed = decides
                .iter()
                .any(|metric| metric.not_run().is_none() && metric.success == Some(false));
            let not_run = decides.iter().find_map(|metric| metric.not_run());
            let (outcome, not_run) = match (case.success, not_run) {
                _ if failed => (CaseOutcome::Failed, None),
                (_, Some(NotRun::JudgeError)) => (CaseOutcome::Error, Some(NotRun::JudgeError)),
                (_, Some(reason)) => (CaseOutcome::Unrated, Some(reason)),
                _ if decides.iter().any(|metric| metric.success == Some(true)) => (CaseOutcome::Passed, None),
                (success, None) if metrics.is_empty() => (outcome_of(success), None),
                _ => (CaseOutcome::Unrated, None),
            };
            EvalRow {
                release: meta("release_id")
                    .or_else(|| release.clone())
                    .map(|text| names.get(&text)),
                run: self.identifier.as_deref().map(|text| names.get(text)),
                prompt: prompt.as_deref().map(|text| names.get(text)),
                model: model.as_deref().map(|text| names.get(text)),
                suite: names.get(&meta("suite").unwrap_or_else(|| "golden".into())),
                name: meta("case_id")
                    .or_else(|| case.own_name())
                    .map(|text| names.get(&text)),
                asked: case.asked().map(|text| names.get(&text)),
                cluster: meta("cluster").map(|text| names.get(&text)),
                outcome,
                not_run,
                scores: metrics
                    .iter()
                    .filter(|metric| metric.not_run().is_none())
                    .filter_map(|metric| Some((names.get(&metric.name), metric.score?)))
                    .collect(),
                cost_usd: case.token_cost.filter(|cost| *cost >= 0.0),
                latency_ms: case
                    .completion_time
                    .filter(|seconds| *seconds >= 0.0)
                    .map(|seconds| seconds * 1e3),
                output: text_of(case.actual_output.as_ref()).map(Into::into),
                attributes: attributes(by, &[case.metadata.as_ref()], names),
                ..EvalRow::default()
            }
        });
        rows.collect()
    }
}
