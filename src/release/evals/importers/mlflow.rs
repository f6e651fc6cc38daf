//! Importer of MLflow traces with assessments, one per line.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::importers::json::{finite, hash_of, number_of, outcome_of, parse, text_of};
use crate::release::evals::row::{CaseOutcome, EvalRow};

/// Reads one trace.
pub(super) fn line(location: &str, bytes: &[u8], names: &mut Interner) -> Result<EvalRow> {
    Ok(parse::<MlflowTrace>(location, bytes, "a trace of MLflow")?.row(names))
}

#[derive(Deserialize)]
struct MlflowTrace {
    info: MlflowInfo,
    #[serde(default)]
    data: Option<MlflowData>,
}

#[derive(Deserialize)]
struct MlflowInfo {
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    trace_metadata: Map<String, Value>,
    #[serde(default)]
    tags: Map<String, Value>,
    #[serde(default)]
    assessments: Vec<MlflowAssessment>,
    #[serde(default)]
    execution_duration_ms: Option<f64>,
    #[serde(default)]
    request_preview: Option<String>,
}

#[derive(Deserialize)]
struct MlflowAssessment {
    assessment_name: String,
    #[serde(default)]
    feedback: Option<MlflowFeedback>,
    #[serde(default)]
    source: Option<Map<String, Value>>,
    #[serde(default)]
    valid: Option<bool>,
}

#[derive(Deserialize)]
struct MlflowFeedback {
    #[serde(default)]
    value: Value,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct MlflowData {
    #[serde(default)]
    spans: Vec<MlflowSpan>,
}

#[derive(Deserialize)]
struct MlflowSpan {
    #[serde(default)]
    attributes: Map<String, Value>,
}

impl MlflowTrace {
    fn row(self, names: &mut Interner) -> EvalRow {
        let info = &self.info;
        let tag = |key: &str| text_of(info.tags.get(key).or_else(|| info.trace_metadata.get(key)));
        // Values inside attributes are JSON encoded as text.
        let inner = |value: Option<&Value>| {
            value
                .and_then(Value::as_str)
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
        };
        let inputs = inner(info.trace_metadata.get("mlflow.traceInputs"));
        let case_id = tag("mlflow.eval.requestId")
            .or_else(|| tag("case_id"))
            .or_else(|| inputs.as_ref().map(hash_of))
            .or_else(|| {
                info.request_preview
                    .as_ref()
                    .map(|text| hash_of(&Value::String(text.clone())))
            })
            .unwrap_or_else(|| info.trace_id.clone());
        let (mut scores, mut passed, mut broke) = (Vec::new(), None::<bool>, false);
        for assessment in info
            .assessments
            .iter()
            .filter(|assessment| assessment.valid != Some(false))
        {
            let Some(feedback) = &assessment.feedback else {
                continue;
            };
            let by_judge = assessment
                .source
                .as_ref()
                .and_then(|source| source.get("source_type"))
                .and_then(Value::as_str)
                != Some("HUMAN");
            if feedback.error.as_ref().is_some_and(|error| !error.is_null()) {
                broke |= by_judge;
                continue;
            }
            let Some(value) = number_of(&feedback.value) else {
                continue;
            };
            scores.push((names.get(&assessment.assessment_name), value));
            // A case passes if every judge with a yes-or-no answer says yes.
            if feedback.value.is_boolean() || feedback.value.is_string() {
                passed = Some(passed.unwrap_or(true) && value == 1.0);
            }
        }
        let usage = inner(info.trace_metadata.get("mlflow.trace.tokenUsage"));
        let tokens = |key: &str| {
            usage
                .as_ref()
                .and_then(|usage| usage.get(key))
                .and_then(Value::as_f64)
        };
        let spans = self.data.iter().flat_map(|data| &data.spans);
        let costs: Vec<f64> = spans
            .filter_map(|span| {
                inner(span.attributes.get("mlflow.llm.cost"))?
                    .get("total_cost")?
                    .as_f64()
            })
            .collect();
        let prompt = inner(info.tags.get("mlflow.linkedPrompts")).and_then(|prompts| {
            let prompt = prompts.get(0)?.clone();
            Some(format!(
                "{}@{}",
                prompt.get("name")?.as_str()?,
                text_of(prompt.get("version"))?
            ))
        });
        let failed_run = info.state == "ERROR" || info.state == "STATE_ERROR";
        EvalRow {
            release: tag("release_id").map(|text| names.get(&text)),
            run: None,
            prompt: prompt.map(|text| names.get(&text)),
            model: None,
            suite: names.get(&tag("suite").unwrap_or_else(|| "golden".into())),
            case_id: names.get(&case_id),
            cluster: tag("cluster").map(|text| names.get(&text)),
            outcome: if failed_run || (broke && passed != Some(false)) {
                CaseOutcome::Error
            } else {
                outcome_of(passed)
            },
            scores,
            cost_usd: if costs.is_empty() {
                None
            } else {
                finite(Some(costs.iter().sum()))
            },
            latency_ms: finite(info.execution_duration_ms),
            tokens: match (tokens("input_tokens"), tokens("output_tokens")) {
                (Some(read), Some(written)) => Some([read as u64, written as u64]),
                _ => None,
            },
            output: text_of(info.trace_metadata.get("mlflow.traceOutputs")).map(Into::into),
        }
    }
}
