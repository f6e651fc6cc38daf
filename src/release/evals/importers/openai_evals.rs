//! Importer of OpenAI evals events, one per line.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::asked;
use crate::release::evals::importers::json::{each_line, outcome_of, parse, score_of};
use crate::release::evals::row::{CaseOutcome, EvalRow, NotRun};

#[derive(Deserialize)]
struct OpenAiEvent {
    #[serde(default)]
    spec: Option<OpenAiSpec>,
    #[serde(default)]
    run_id: String,
    #[serde(default)]
    sample_id: Option<String>,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct OpenAiSpec {
    #[serde(default)]
    completion_fns: Vec<String>,
    #[serde(default)]
    base_eval: Option<String>,
}

pub(super) fn events(file: &Path, rows: &mut Vec<EvalRow>, names: &mut Interner) -> Result<()> {
    let (mut suite, mut model) = (names.get("golden"), None);
    let mut place_of: BTreeMap<(String, Arc<str>), usize> = BTreeMap::new();
    each_line(file, &mut |location, line| {
        let event: OpenAiEvent = parse(location, line, "an event of OpenAI evals")?;
        if let Some(spec) = event.spec {
            suite = names.get(spec.base_eval.as_deref().unwrap_or("golden"));
            model = spec.completion_fns.first().map(|text| names.get(text));
        }
        let Some(sample) = event.sample_id else {
            return Ok(());
        };
        let case_id = names.get(&sample);
        let at = (event.run_id, case_id.clone());
        let idx = *place_of.entry(at).or_insert_with(|| {
            rows.push(EvalRow {
                model: model.clone(),
                suite: suite.clone(),
                name: Some(case_id),
                ..EvalRow::default()
            });
            rows.len() - 1
        });
        let row = &mut rows[idx];
        match event.kind.as_str() {
            "match" => {
                row.outcome = outcome_of(event.data.get("correct").and_then(Value::as_bool));
                row.not_run = None;
                row.output = row
                    .output
                    .take()
                    .or_else(|| event.data.get("sampled").and_then(Value::as_str).map(Into::into));
            }
            "metrics" => {
                let metrics = event.data.as_object().into_iter().flatten();
                row.scores
                    .extend(metrics.filter_map(|(name, value)| Some((names.get(name), score_of(value)?))));
            }
            "sampling" => {
                let sampled = event
                    .data
                    .get("sampled")
                    .and_then(|sampled| sampled.get(0).or(Some(sampled)))
                    .and_then(Value::as_str);
                row.output = sampled.map(Into::into).or_else(|| row.output.take());
                if let Some(prompt) = event.data.get("prompt").filter(|_| row.asked.is_none()) {
                    let messages = asked::of_messages(prompt);
                    row.asked = asked::of_question(&[Some(&messages)]).map(|text| names.get(&text));
                }
            }
            "error" => {
                row.outcome = CaseOutcome::Error;
                row.not_run = Some(NotRun::RunError);
            }
            _ => {}
        }
        Ok(())
    })
}
