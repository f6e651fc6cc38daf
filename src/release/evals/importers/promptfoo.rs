//! Importer of promptfoo: an export (`-o x.json`), or one result per line.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::importers::json::{finite, hash_of, outcome_of, parse, text_of};
use crate::release::evals::row::{CaseOutcome, EvalRow};

/// Reads all results of an export.
pub(super) fn document(location: &str, bytes: &[u8], names: &mut Interner) -> Result<Vec<EvalRow>> {
    let export: PromptfooExport = parse(location, bytes, "an export of promptfoo")?;
    Ok(export
        .results
        .results
        .into_iter()
        .map(|result| result.row(names))
        .collect())
}

/// Reads one result.
pub(super) fn line(location: &str, bytes: &[u8], names: &mut Interner) -> Result<EvalRow> {
    Ok(parse::<PromptfooResult>(location, bytes, "a result of promptfoo")?.row(names))
}

#[derive(Deserialize)]
struct PromptfooExport {
    results: PromptfooResults,
}

#[derive(Deserialize)]
struct PromptfooResults {
    results: Vec<PromptfooResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptfooResult {
    #[serde(default)]
    cost: Option<f64>,
    #[serde(default)]
    latency_ms: Option<f64>,
    #[serde(default)]
    named_scores: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    prompt: Option<PromptfooPrompt>,
    #[serde(default)]
    provider: Option<PromptfooProvider>,
    #[serde(default)]
    response: Option<PromptfooResponse>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    failure_reason: Option<u8>,
    #[serde(default)]
    test_case: PromptfooCase,
    #[serde(default)]
    token_usage: Option<PromptfooTokens>,
    #[serde(default)]
    vars: Value,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    grading_result: Option<PromptfooGrading>,
}

#[derive(Deserialize)]
struct PromptfooPrompt {
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct PromptfooProvider {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct PromptfooResponse {
    #[serde(default)]
    output: Value,
}

#[derive(Deserialize, Default)]
struct PromptfooCase {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
struct PromptfooTokens {
    #[serde(default)]
    prompt: Option<f64>,
    #[serde(default)]
    completion: Option<f64>,
}

#[derive(Deserialize)]
struct PromptfooGrading {
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

impl PromptfooResult {
    fn row(self, names: &mut Interner) -> EvalRow {
        let meta = |key: &str| {
            text_of(
                self.metadata
                    .get(key)
                    .or_else(|| self.test_case.metadata.get(key)),
            )
        };
        let plugin = meta("pluginId");
        // A repeated run gets a new test index, so the inputs identify the case.
        let case_id = match (
            &plugin,
            meta("case_id").or_else(|| self.test_case.description.clone().filter(|text| !text.is_empty())),
        ) {
            (_, Some(name)) => name,
            (Some(plugin), None) => format!(
                "{plugin}/{}/{}",
                meta("strategyId").unwrap_or_default(),
                hash_of(&self.vars)
            ),
            (None, None) => hash_of(&self.vars),
        };
        let grader_broke = self
            .grading_result
            .as_ref()
            .and_then(|g| g.metadata.as_ref())
            .is_some_and(|m| {
                m.get("graderError")
                    .is_some_and(|e| *e != Value::Bool(false) && !e.is_null())
            });
        let outcome = if self.failure_reason == Some(2) || grader_broke {
            CaseOutcome::Error
        } else {
            outcome_of(self.success)
        };
        let mut scores: Vec<(Arc<str>, f64)> = self
            .named_scores
            .iter()
            .filter_map(|(name, score)| Some((names.get(name), finite(*score)?)))
            .collect();
        scores.extend(finite(self.score).map(|score| (names.get("score"), score)));
        if outcome == CaseOutcome::Error {
            scores.clear();
        }
        let provider = self
            .provider
            .as_ref()
            .and_then(|provider| provider.label.clone().or_else(|| provider.id.clone()));
        let output = self
            .response
            .as_ref()
            .map(|response| &response.output)
            .filter(|output| !output.is_null());
        EvalRow {
            release: meta("release_id").map(|text| names.get(&text)),
            run: None,
            prompt: self
                .prompt
                .as_ref()
                .and_then(|prompt| prompt.label.as_deref())
                .map(|text| names.get(text)),
            model: provider.map(|text| names.get(&text)),
            suite: names.get(
                &meta("suite")
                    .unwrap_or_else(|| if plugin.is_some() { "injection" } else { "golden" }.to_owned()),
            ),
            case_id: names.get(&case_id),
            cluster: meta("cluster").or(plugin).map(|text| names.get(&text)),
            outcome,
            scores,
            cost_usd: finite(self.cost).filter(|cost| *cost >= 0.0),
            latency_ms: finite(self.latency_ms).filter(|latency| *latency >= 0.0),
            tokens: self
                .token_usage
                .as_ref()
                .and_then(|tokens| Some([tokens.prompt? as u64, tokens.completion? as u64])),
            output: output.map(|output| {
                output
                    .as_str()
                    .map_or_else(|| output.to_string(), str::to_owned)
                    .into()
            }),
        }
    }
}
