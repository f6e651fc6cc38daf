//! Importer of MLflow traces with assessments, one per line.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::asked::{self, Asked};
use crate::release::evals::importers::json::{
    attributes, finite, or_default, outcome_of, parse, score_of, text_of, verdict_of,
};
use crate::release::evals::row::{CaseOutcome, EvalRow, NotRun};

/// Reads one trace.
pub(super) fn line(location: &str, bytes: &[u8], by: &[String], names: &mut Interner) -> Result<EvalRow> {
    Ok(parse::<MlflowTrace>(location, bytes, "a trace of MLflow")?.row(by, names))
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
    #[serde(default, deserialize_with = "or_default")]
    trace_metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
    tags: Map<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
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
    #[serde(default, deserialize_with = "or_default")]
    spans: Vec<MlflowSpan>,
}

#[derive(Deserialize)]
struct MlflowSpan {
    #[serde(default, deserialize_with = "or_default")]
    attributes: Map<String, Value>,
}

impl MlflowTrace {
    fn row(self, by: &[String], names: &mut Interner) -> EvalRow {
        let info = &self.info;
        let tag = |key: &str| text_of(info.tags.get(key).or_else(|| info.trace_metadata.get(key)));
        // Values inside attributes are JSON encoded as text.
        let inner = |value: Option<&Value>| {
            value
                .and_then(Value::as_str)
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
        };
        let inputs = inner(info.trace_metadata.get("mlflow.traceInputs"));
        // The ids of requests are random, so what was asked identifies a case.
        let asked = match &inputs {
            Some(Value::Object(inputs)) => Some(asked::of_inputs(inputs, &|_, _| false)),
            Some(other) => asked::of_question(&[Some(other)]).map(Asked::new),
            None => info
                .request_preview
                .as_ref()
                .map(|text| Asked::new(asked::hash_of(&Value::String(text.clone())))),
        };
        let (mut scores, mut broke, mut is_open) = (Vec::new(), false, false);
        let (mut passed, mut passed_by_people) = (None::<bool>, None::<bool>);
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
            is_open |= by_judge && feedback.value.is_null();
            let Some(value) = score_of(&feedback.value) else {
                continue;
            };
            scores.push((names.get(&assessment.assessment_name), value));
            // A case passes if every judge with a verdict says yes. People rate some cases only, so
            // they decide only where no judge does.
            if let Some(verdict) = verdict_of(&feedback.value) {
                let passed = if by_judge {
                    &mut passed
                } else {
                    &mut passed_by_people
                };
                *passed = Some(passed.unwrap_or(true) && verdict);
            }
        }
        let passed = passed.or(passed_by_people);
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
        let (outcome, not_run) = match info.state.trim_start_matches("STATE_") {
            "ERROR" => (CaseOutcome::Error, Some(NotRun::RunError)),
            "IN_PROGRESS" => (CaseOutcome::Error, Some(NotRun::Cancelled)),
            _ if broke && passed != Some(false) => (CaseOutcome::Error, Some(NotRun::JudgeError)),
            // A trace of an evaluation without any assessment: the file store keeps no NaN.
            _ if info.assessments.is_empty() && info.tags.contains_key("mlflow.eval.requestId") => {
                (CaseOutcome::Unrated, Some(NotRun::NoScore))
            }
            _ if is_open && passed != Some(false) => (CaseOutcome::Unrated, Some(NotRun::NoScore)),
            _ => (outcome_of(passed), None),
        };
        let attributes = attributes(
            by,
            &[
                Some(&info.tags),
                Some(&info.trace_metadata),
                inputs.as_ref().and_then(Value::as_object),
            ],
            names,
        );
        EvalRow {
            release: tag("release_id").map(|text| names.get(&text)),
            prompt: prompt.map(|text| names.get(&text)),
            suite: names.get(&tag("suite").unwrap_or_else(|| "golden".into())),
            name: tag("case_id").map(|text| names.get(&text)),
            asked: asked.as_ref().map(|asked| names.get(&asked.digest)),
            asked_without_ids: asked
                .as_ref()
                .and_then(|asked| asked.without_ids.as_deref())
                .map(|text| names.get(text)),
            repeat: Some(&*info.trace_id)
                .filter(|id| !id.is_empty())
                .map(|id| names.get(id)),
            cluster: tag("cluster").map(|text| names.get(&text)),
            outcome,
            not_run,
            attributes,
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
            ..EvalRow::default()
        }
    }
}
