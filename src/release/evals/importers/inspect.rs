//! Importer of Inspect AI's logs: `.eval` archives and `.json` files.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::interner::Interner;
use crate::base::limits::Limit;
use crate::base::open;
use crate::release::evals::importers::json::{finite, number_of, outcome_of, parse, text_of};
use crate::release::evals::row::{CaseOutcome, EvalRow};

/// Reads all samples of a log.
pub(super) fn document(location: &str, bytes: &[u8], names: &mut Interner) -> Result<Vec<EvalRow>> {
    let InspectLog { eval, samples } = parse(location, bytes, "a log of Inspect")?;
    if samples.is_empty() {
        return Err(
            Error::input(location.to_owned(), "expected samples, found a log without them")
                .hint("write it with log_samples"),
        );
    }
    Ok(samples
        .into_iter()
        .map(|sample| sample.row(&eval, names))
        .collect())
}

#[derive(Deserialize)]
struct InspectLog {
    eval: InspectEval,
    #[serde(default)]
    samples: Vec<InspectSample>,
}

#[derive(Deserialize)]
struct InspectHeader {
    eval: InspectEval,
}

#[derive(Deserialize)]
struct InspectEval {
    #[serde(default)]
    task: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    scorers: Option<Vec<InspectScorer>>,
}

#[derive(Deserialize)]
struct InspectScorer {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct InspectSample {
    id: Value,
    #[serde(default)]
    epoch: Option<u64>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    scores: Option<BTreeMap<String, InspectScore>>,
    #[serde(default)]
    model_usage: Option<BTreeMap<String, InspectUsage>>,
    #[serde(default)]
    total_time: Option<f64>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    output: Option<InspectOutput>,
}

#[derive(Deserialize)]
struct InspectAnswer {
    #[serde(default)]
    output: Option<InspectOutput>,
}

#[derive(Deserialize)]
struct InspectOutput {
    #[serde(default)]
    completion: Option<String>,
}

#[derive(Deserialize)]
struct InspectScore {
    #[serde(default)]
    value: Value,
}

#[derive(Deserialize)]
struct InspectUsage {
    #[serde(default)]
    input_tokens: Option<f64>,
    #[serde(default)]
    output_tokens: Option<f64>,
    #[serde(default)]
    total_cost: Option<f64>,
}

impl InspectSample {
    fn row(self, eval: &InspectEval, names: &mut Interner) -> EvalRow {
        let of_run = |key: &str| text_of(eval.metadata.as_ref()?.get(key));
        let of_case = |key: &str| text_of(self.metadata.as_ref()?.get(key));
        let case_id = text_of(Some(&self.id)).unwrap_or_else(|| self.id.to_string());
        let has_error = self.error.as_ref().is_some_and(|error| !error.is_null());
        let scored = self.scores.unwrap_or_default();
        let mut scores = Vec::new();
        for (name, score) in scored.iter().filter(|_| !has_error) {
            match &score.value {
                Value::Object(parts) => {
                    for (part, value) in parts {
                        scores.extend(
                            number_of(value).map(|value| (names.get(&format!("{name}.{part}")), value)),
                        );
                    }
                }
                value => scores.extend(number_of(value).map(|value| (names.get(name), value))),
            }
        }
        // The first scorer of the run decides whether a case passed.
        let first = eval
            .scorers
            .as_ref()
            .and_then(|scorers| scorers.first())
            .map(|scorer| scorer.name.as_str());
        let headline = first
            .and_then(|name| scored.get(name.rsplit('/').next().unwrap_or(name)))
            .or_else(|| scored.values().next());
        let passed = headline
            .and_then(|score| number_of(&score.value))
            .and_then(|value| {
                if value == 1.0 {
                    Some(true)
                } else if value == 0.0 {
                    Some(false)
                } else {
                    None
                }
            });
        let usage: Vec<&InspectUsage> = self.model_usage.iter().flat_map(BTreeMap::values).collect();
        let sum = |value: &dyn Fn(&InspectUsage) -> Option<f64>| -> Option<f64> {
            if usage.is_empty() {
                None
            } else {
                usage.iter().map(|usage| value(usage)).sum()
            }
        };
        let output = self.output.and_then(|output| output.completion);
        EvalRow {
            release: of_case("release_id")
                .or_else(|| of_run("release_id"))
                .map(|text| names.get(&text)),
            run: None,
            prompt: of_run("prompt_ref").map(|text| names.get(&text)),
            model: eval.model.as_deref().map(|text| names.get(text)),
            suite: names.get(&of_case("suite").or_else(|| of_run("suite")).unwrap_or_else(|| {
                if eval.task.is_empty() {
                    "golden".into()
                } else {
                    eval.task.clone()
                }
            })),
            case_id: names.get(&case_id),
            cluster: of_case("cluster").map(|text| names.get(&text)),
            outcome: if has_error {
                CaseOutcome::Error
            } else {
                outcome_of(passed)
            },
            scores,
            cost_usd: finite(sum(&|usage| usage.total_cost)),
            latency_ms: finite(self.total_time).map(|seconds| seconds * 1e3),
            tokens: match (
                sum(&|usage| usage.input_tokens),
                sum(&|usage| usage.output_tokens),
            ) {
                (Some(read), Some(written)) => Some([read as u64, written as u64]),
                _ => None,
            },
            output: output.map(Into::into),
        }
    }
}

/// Reads an `.eval` archive from its header and its sample summaries, which are about 1000 times
/// smaller than the samples. The total of unpacked bytes is limited, because the declared sizes of
/// an archive can be wrong.
pub(super) fn archive(file: &Path, with_outputs: bool, rows: &mut Vec<EvalRow>) -> Result<()> {
    let location = file.display().to_string();
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::input(
            location.clone(),
            format!("expected an .eval archive of Inspect, found: {error}"),
        )
    };
    let mut archive =
        zip::ZipArchive::new(open::regular(file).or_unreadable(file)?).map_err(|error| unreadable(&error))?;
    // Two readers could take two members of one name for the results.
    if archive.has_duplicate_names() {
        return Err(unreadable(&"a member that is there twice"));
    }
    let mut left = Limit::Member.value();
    let mut member = |name: &str| -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match archive.by_name(name) {
            Ok(member) => member
                .take(left.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|error| unreadable(&error))?,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(unreadable(&error)),
        };
        if bytes.len() as u64 > left {
            return Err(Limit::Member.overrun(format!("{location}: {name}")));
        }
        left -= bytes.len() as u64;
        Ok(Some(bytes))
    };
    let start = match member("header.json")? {
        Some(bytes) => bytes,
        // An interrupted run has only a journal.
        None => member("_journal/start.json")?
            .ok_or_else(|| unreadable(&"neither header.json nor _journal/start.json"))?,
    };
    let header: InspectHeader = parse(&format!("{location}: header.json"), &start, "a header of Inspect")?;
    let mut summaries: Vec<(String, Vec<u8>)> = Vec::new();
    match member("summaries.json")? {
        Some(bytes) => summaries.push(("summaries.json".into(), bytes)),
        None => {
            for number in 1.. {
                let name = format!("_journal/summaries/{number}.json");
                match member(&name)? {
                    Some(bytes) => summaries.push((name, bytes)),
                    None => break,
                }
            }
        }
    }
    let mut names = Interner::default();
    for (name, bytes) in &summaries {
        let samples: Vec<InspectSample> =
            parse(&format!("{location}: {name}"), bytes, "summaries of samples")?;
        Limit::Samples.check(format!("{location}: {name}"), (rows.len() + samples.len()) as u64)?;
        for mut sample in samples {
            if with_outputs {
                // Summaries hold the answer that the scorer extracted, not the full output.
                let id = text_of(Some(&sample.id)).unwrap_or_default();
                let name = format!("samples/{id}_epoch_{}.json", sample.epoch.unwrap_or(1));
                if let Some(bytes) = member(&name)? {
                    sample.output = parse::<InspectAnswer>(
                        &format!("{location}: {name}"),
                        &bytes,
                        "a sample of Inspect",
                    )?
                    .output;
                }
            }
            rows.push(sample.row(&header.eval, &mut names));
        }
    }
    Ok(())
}
