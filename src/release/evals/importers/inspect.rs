//! Importer of Inspect AI's logs: `.eval` archives and `.json` files.

use hashbrown::HashSet;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::interner::Interner;
use crate::base::limits::Limit;
use crate::base::open;
use crate::release::evals::asked;
use crate::release::evals::importers::json::{
    attributes, finite, or_default, parse, real, score_of, text_of, verdict_of,
};
use crate::release::evals::row::{AbsentRuns, CaseOutcome, EvalRow, NotRun, ReadOptions};

/// Reads all samples of a log.
pub(super) fn document(
    location: &str,
    bytes: &[u8],
    by: &[String],
    names: &mut Interner,
) -> Result<(Vec<EvalRow>, Option<AbsentRuns>)> {
    let InspectLog {
        eval,
        samples,
        status,
        results,
    } = parse(location, bytes, "a log of Inspect")?;
    if samples.is_empty() {
        return Err(
            Error::input(location.to_owned(), "expected samples, found a log without them")
                .hint("write it with log_samples"),
        );
    }
    let header = InspectHeader {
        eval,
        status,
        results,
    };
    let rows: Vec<EvalRow> = samples
        .into_iter()
        .map(|sample| sample.row(&header, by, names))
        .collect();
    let announced = header.announced(names);
    Ok((rows, announced))
}

#[derive(Deserialize)]
struct InspectLog {
    eval: InspectEval,
    #[serde(default)]
    samples: Vec<InspectSample>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    results: Option<InspectResults>,
}

#[derive(Deserialize)]
struct InspectHeader {
    eval: InspectEval,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    results: Option<InspectResults>,
}

impl InspectHeader {
    /// The runs that the log announces: those of the samples of its data set, in every epoch.
    fn announced(&self, names: &mut Interner) -> Option<AbsentRuns> {
        let dataset = self.eval.dataset.as_ref()?;
        let n_samples = dataset
            .sample_ids
            .as_ref()
            .map(|ids| ids.len() as u64)
            .or(dataset.samples)?;
        let epochs = self
            .eval
            .config
            .as_ref()
            .and_then(|config| config.epochs)
            .unwrap_or(1);
        let is_over = self.status.as_deref() == Some("success");
        let task = Some(&*self.eval.task_id).filter(|task| !task.is_empty())?;
        let like = EvalRow {
            repeat: Some(names.get(task)),
            not_run: Some(if is_over {
                NotRun::Absent
            } else {
                NotRun::Cancelled
            }),
            ..self.eval.row(None, names)
        };
        let n = n_samples.saturating_mul(epochs.max(1));
        Some(AbsentRuns { like, n })
    }

    /// The name of the scorer that decides whether a case passed: that of the headline, else the
    /// first one.
    fn scorer(&self) -> Option<&str> {
        let headline = self
            .results
            .as_ref()
            .and_then(|results| results.headline.as_ref());
        let headline = headline.and_then(|headline| headline.scorer.as_deref().or(headline.score.as_deref()));
        headline.or_else(|| {
            let first = self.eval.scorers.as_ref()?.first()?;
            Some(first.name.rsplit('/').next().unwrap_or(&first.name))
        })
    }
}

#[derive(Deserialize)]
struct InspectResults {
    #[serde(default)]
    headline: Option<InspectHeadline>,
}

#[derive(Deserialize)]
struct InspectHeadline {
    #[serde(default)]
    scorer: Option<String>,
    #[serde(default)]
    score: Option<String>,
}

#[derive(Deserialize)]
struct InspectEval {
    #[serde(default)]
    task: String,
    #[serde(default)]
    task_id: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    scorers: Option<Vec<InspectScorer>>,
    #[serde(default)]
    dataset: Option<InspectDataset>,
    #[serde(default)]
    config: Option<InspectConfig>,
}

impl InspectEval {
    /// A row with the release and the suite of the run, and of a sample if there is one.
    fn row(&self, sample: Option<&Map<String, Value>>, names: &mut Interner) -> EvalRow {
        let of_run = |key: &str| text_of(self.metadata.as_ref()?.get(key));
        let of_case = |key: &str| text_of(sample?.get(key));
        let task = Some(self.task.clone()).filter(|task| !task.is_empty());
        let suite = of_case("suite").or_else(|| of_run("suite")).or(task);
        EvalRow {
            release: of_case("release_id")
                .or_else(|| of_run("release_id"))
                .map(|text| names.get(&text)),
            prompt: of_run("prompt_ref").map(|text| names.get(&text)),
            model: self.model.as_deref().map(|text| names.get(text)),
            suite: names.get(suite.as_deref().unwrap_or("golden")),
            cluster: of_case("cluster").map(|text| names.get(&text)),
            ..EvalRow::default()
        }
    }
}

#[derive(Deserialize)]
struct InspectDataset {
    #[serde(default)]
    samples: Option<u64>,
    #[serde(default)]
    sample_ids: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct InspectConfig {
    #[serde(default)]
    epochs: Option<u64>,
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
    input: Value,
    #[serde(default)]
    target: Value,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "or_default")]
    scores: BTreeMap<String, InspectScore>,
    #[serde(default)]
    model_usage: Option<BTreeMap<String, InspectUsage>>,
    #[serde(default, deserialize_with = "real")]
    total_time: Option<f64>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    completed: Option<bool>,
    #[serde(default)]
    output: Option<InspectOutput>,
}

#[derive(Deserialize)]
struct InspectAnswer {
    #[serde(default)]
    input: Value,
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
    #[serde(default, deserialize_with = "real")]
    input_tokens: Option<f64>,
    #[serde(default, deserialize_with = "real")]
    output_tokens: Option<f64>,
    #[serde(default, deserialize_with = "real")]
    total_cost: Option<f64>,
}

/// Converts a score to a number by Inspect's own rule: the letters C, I, P and N, and words, flags
/// and numbers. `None` for other values.
fn number_of(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("C") => Some(1.0),
        Some("I" | "N") => Some(0.0),
        Some("P") => Some(0.5),
        _ => score_of(value),
    }
}

/// The outcome of the score that decides, and whether it comes from a number.
fn outcome_of(value: &Value) -> (CaseOutcome, Option<NotRun>, bool) {
    let is_letter = matches!(value.as_str(), Some("C" | "I" | "N" | "P"));
    let is_numeric = !is_letter && verdict_of(value).is_none();
    let (outcome, not_run) = match number_of(value) {
        Some(1.0) => (CaseOutcome::Passed, None),
        Some(0.0) => (CaseOutcome::Failed, None),
        Some(_) => (CaseOutcome::Unrated, Some(NotRun::PartialCredit)),
        None if value.is_null() => (CaseOutcome::Unrated, Some(NotRun::NoScore)),
        None => (CaseOutcome::Unrated, None),
    };
    (outcome, not_run, is_numeric)
}

/// The reason of a sample with an error: it was in flight when the run was stopped, or it broke.
fn error_reason(error: Option<&Value>) -> NotRun {
    let message = error.map(|error| error.get("message").unwrap_or(error));
    let text = message.and_then(Value::as_str).unwrap_or_default();
    if text.starts_with("CancelledError") {
        NotRun::Cancelled
    } else {
        NotRun::RunError
    }
}

impl InspectSample {
    /// The name of the member of an archive that has the whole sample.
    fn member(&self) -> String {
        let id = text_of(Some(&self.id)).unwrap_or_default();
        format!("samples/{id}_epoch_{}.json", self.epoch.unwrap_or(1))
    }

    /// Whether the input is cut, as summaries have long inputs.
    fn is_cut(&self) -> bool {
        fn has_mark(value: &Value) -> bool {
            match value {
                Value::String(text) => text.ends_with("(content truncated)"),
                Value::Array(values) => values.iter().any(has_mark),
                Value::Object(values) => values.get("content").is_some_and(has_mark),
                _ => false,
            }
        }
        has_mark(&self.input)
    }

    fn row(self, header: &InspectHeader, by: &[String], names: &mut Interner) -> EvalRow {
        let has_error = self.error.as_ref().is_some_and(|error| !error.is_null());
        let scored = self.scores;
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
        let scorer = header.scorer();
        let decides = match scorer.and_then(|name| scored.get(name)) {
            Some(score) => Some(score),
            None => scored.values().next(),
        };
        let (outcome, not_run, is_numeric) = match decides {
            _ if has_error => (CaseOutcome::Error, Some(error_reason(self.error.as_ref())), false),
            Some(score) => outcome_of(&score.value),
            None if self.completed == Some(false) => (CaseOutcome::Error, Some(NotRun::Cancelled), false),
            None if scorer.is_some() => (CaseOutcome::Unrated, Some(NotRun::NoScore), false),
            None => (CaseOutcome::Unrated, None, false),
        };
        let usage: Vec<&InspectUsage> = self.model_usage.iter().flat_map(BTreeMap::values).collect();
        let sum = |value: &dyn Fn(&InspectUsage) -> Option<f64>| -> Option<f64> {
            if usage.is_empty() {
                None
            } else {
                usage.iter().map(|usage| value(usage)).sum()
            }
        };
        let id = text_of(Some(&self.id)).unwrap_or_else(|| self.id.to_string());
        let messages = asked::of_messages(&self.input);
        let asked = asked::of_question(&[Some(&messages), Some(&self.target)]);
        let task = Some(&*header.eval.task_id).filter(|task| !task.is_empty());
        let repeat = task.map(|task| format!("{task}:{id}:{}", self.epoch.unwrap_or(1)));
        EvalRow {
            name: Some(names.get(&id)),
            asked: asked.map(|text| names.get(&text)),
            repeat: repeat.map(|text| names.get(&text)),
            outcome,
            not_run,
            is_numeric,
            scores,
            cost_usd: finite(sum(&|usage| usage.total_cost)),
            latency_ms: self.total_time.map(|seconds| seconds * 1e3),
            tokens: match (
                sum(&|usage| usage.input_tokens),
                sum(&|usage| usage.output_tokens),
            ) {
                (Some(read), Some(written)) => Some([read as u64, written as u64]),
                _ => None,
            },
            output: self.output.and_then(|output| output.completion).map(Into::into),
            attributes: attributes(
                by,
                &[self.metadata.as_ref(), header.eval.metadata.as_ref()],
                names,
            ),
            ..header.eval.row(self.metadata.as_ref(), names)
        }
    }
}

/// Reads an `.eval` archive from its header and its sample summaries, which are about 1000 times
/// smaller than the samples. The total of unpacked bytes is limited, because the declared sizes of
/// an archive can be wrong.
pub(super) fn archive(
    file: &Path,
    options: &ReadOptions,
    rows: &mut Vec<EvalRow>,
) -> Result<Option<AbsentRuns>> {
    let location = file.display().to_string();
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::input(
            location.clone(),
            format!("expected an .eval archive of Inspect, found: {error}"),
        )
    };
    let mut archive =
        zip::ZipArchive::new(open::regular(file).or_unreadable(file)?).map_err(|error| unreadable(&error))?;
    // Two readers could take two members of one name for the results. Inspect itself writes a sample
    // again that it ran again: the last one counts.
    if archive.has_duplicate_names() && has_two_results(file, archive.central_directory_start())? {
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
            // Summaries hold the answer that the scorer extracted and cut inputs. The full ones are in
            // the samples.
            if options.with_outputs || sample.is_cut() {
                let name = sample.member();
                if let Some(bytes) = member(&name)? {
                    let full: InspectAnswer =
                        parse(&format!("{location}: {name}"), &bytes, "a sample of Inspect")?;
                    sample.output = full.output;
                    sample.input = if full.input.is_null() {
                        sample.input
                    } else {
                        full.input
                    };
                }
            }
            rows.push(sample.row(&header, &options.by, &mut names));
        }
    }
    Ok(header.announced(&mut names))
}

/// Whether the directory of an archive, which starts at an offset, has a member twice that is no
/// sample. An unreadable directory counts as one.
fn has_two_results(file: &Path, start: u64) -> Result<bool> {
    let mut open = open::regular(file).or_unreadable(file)?;
    open.seek(SeekFrom::Start(start)).or_unreadable(file)?;
    let mut bytes = Vec::new();
    let max = Limit::Document.value();
    open.take(max).read_to_end(&mut bytes).or_unreadable(file)?;
    let mut names = HashSet::new();
    let mut rest = bytes.as_slice();
    // The layout of an entry is that of APPNOTE 4.3.12: the lengths of name, extra field and comment
    // are at 28, 30 and 32, and the name is at 46.
    while let Some(entry) = rest.strip_prefix(b"PK\x01\x02") {
        let length = |at: usize| {
            let bytes = entry.get(at - 4..at - 2)?;
            Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        };
        let (Some(name), Some(extra), Some(comment)) = (length(28), length(30), length(32)) else {
            return Ok(true);
        };
        let Some(text) = entry.get(42..42 + name) else {
            return Ok(true);
        };
        if !text.starts_with(b"samples/") && !names.insert(text.to_vec()) {
            return Ok(true);
        }
        rest = entry.get(42 + name + extra + comment..).unwrap_or_default();
    }
    Ok(bytes.len() as u64 >= max)
}
