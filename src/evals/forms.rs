//! Files of evaluation tools: promptfoo, Inspect, DeepEval, lm-eval, OpenAI evals, Ragas, MLflow, and plain tables. What a file is shows in its content.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    plain::{self, Interner},
    row::{EvalRow, EvalTable, Outcome},
};
use crate::{
    error::{Error, Result},
    input::{self, SourceFile},
    output, release,
    scenario::Source,
};

/// Bytes of one member of an `.eval` archive beyond which it is refused, and of all that are read.
const MAX_MEMBER: u64 = 1 << 30;
/// Bytes of a whole JSON document.
const MAX_DOCUMENT: u64 = 4 << 30;
/// Bytes of a line.
const MAX_LINE: usize = 256 << 20;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// promptfoo: `results.json` or one result a line.
    Promptfoo,
    /// Inspect AI: `.eval` or `.json`.
    Inspect,
    /// DeepEval's test run.
    DeepEval,
    /// lm-evaluation-harness: samples, one a line.
    LmEval,
    /// OpenAI evals: events, one a line.
    OpenAiEvals,
    /// Ragas: experiments, one row a line.
    Ragas,
    /// MLflow: traces with assessments, one a line.
    Mlflow,
    /// A table with `case_id`.
    Plain,
}

impl Form {
    /// The tool's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Promptfoo => "promptfoo",
            Self::Inspect => "inspect",
            Self::DeepEval => "deepeval",
            Self::LmEval => "lm-eval",
            Self::OpenAiEvals => "openai-evals",
            Self::Ragas => "ragas",
            Self::Mlflow => "mlflow",
            Self::Plain => "plain",
        }
    }
}

/// Reads evaluation results from a file, a folder or a glob; columns of plain tables may be renamed by `source.columns`. `with_outputs`: outputs are needed, also
/// where they are expensive to read.
///
/// # Errors
/// Nothing there, a file that is none of the forms, or a row that cannot be used, with its place.
pub fn read_evals(source: &Source, with_outputs: bool) -> Result<EvalTable> {
    let mut table = EvalTable { rows: Vec::new(), sources: Vec::new() };
    for file in files_of(&source.path)? {
        let n_before = table.rows.len();
        let form = read_file(source, &file, with_outputs, &mut table.rows)?;
        if table.rows.len() == n_before {
            return Err(Error::input(
                file.display().to_string(),
                format!("expected results of cases, found none (read as {})", form.name()),
            ));
        }
        let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        table.sources.push((SourceFile { name, digest: output::blake3_of_file(&file)? }, form));
    }
    Ok(table)
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return input::find_files(path);
    }
    let known = ["eval", "json", "jsonl", "ndjson", "csv", "parquet", "gz"];
    let mut files = output::files_below(path)?;
    files.retain(|file| file.extension().is_some_and(|extension| known.iter().any(|known| extension.eq_ignore_ascii_case(known))));
    if files.is_empty() {
        return Err(Error::input(
            path.display().to_string(),
            "expected evaluation results (.eval, .json, .jsonl, .csv, .parquet) in the folder, found none",
        ));
    }
    Ok(files.into_iter().map(|file| path.join(file)).collect())
}

fn read_file(source: &Source, file: &Path, with_outputs: bool, rows: &mut Vec<EvalRow>) -> Result<Form> {
    let is = |extension: &str| file.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
    if is("eval") {
        return inspect_archive(file, with_outputs, rows).map(|()| Form::Inspect);
    }
    if is("json") {
        return document(file, rows);
    }
    if is("jsonl") || is("ndjson") {
        let first = first_line(file)?;
        if let Some(form) = form_of_line(&first) {
            return lines(file, form, rows).map(|()| form);
        }
    }
    plain::read(source, file, rows).map(|()| Form::Plain)
}

/// What the first line of a file of lines says of its form; `None` for a plain table.
fn form_of_line(line: &[u8]) -> Option<Form> {
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).ok()?;
    let has = |keys: &[&str]| keys.iter().all(|key| object.contains_key(*key));
    if has(&["case_id"]) && !has(&["user_input"]) {
        return None;
    }
    Some(if has(&["spec"]) || has(&["sample_id", "event_id"]) {
        Form::OpenAiEvals
    } else if has(&["doc_id", "filter"]) || has(&["doc_id", "doc_hash"]) {
        Form::LmEval
    } else if has(&["promptIdx"]) || has(&["gradingResult", "testCase"]) {
        Form::Promptfoo
    } else if has(&["info"]) && (has(&["data"]) || has(&["spans"])) {
        Form::Mlflow
    } else if has(&["user_input"]) {
        Form::Ragas
    } else {
        return None;
    })
}

fn first_line(file: &Path) -> Result<Vec<u8>> {
    let mut reader = BufReader::new(File::open(file).map_err(|error| Error::read(file, &error))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = (&mut reader).take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(|error| Error::read(file, &error))?;
        if n == 0 || !line.trim_ascii().is_empty() {
            return Ok(line);
        }
    }
}

/// Each line that is not blank, with its number.
fn each_line(file: &Path, on_line: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(file).map_err(|error| Error::read(file, &error))?);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let n = (&mut reader).take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(|error| Error::read(file, &error))?;
        if n == 0 {
            return Ok(());
        }
        number += 1;
        let place = format!("{}: line {number}", file.display());
        if n == MAX_LINE {
            return Err(Error::input(place, format!("expected lines below {MAX_LINE} bytes, found a longer one")));
        }
        if !line.trim_ascii().is_empty() {
            on_line(&place, &line)?;
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(place: &str, bytes: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::input(place.to_owned(), format!("expected {what}, found: {error}")))
}

fn lines(file: &Path, form: Form, rows: &mut Vec<EvalRow>) -> Result<()> {
    let mut names = Interner::default();
    match form {
        Form::Promptfoo => each_line(file, &mut |place, line| {
            rows.push(parse::<PromptfooResult>(place, line, "a result of promptfoo")?.row(&mut names));
            Ok(())
        }),
        Form::Ragas => {
            let suite = names.get(&stem(file));
            each_line(file, &mut |place, line| {
                let row = parse::<Map<String, Value>>(place, line, "a row of Ragas")?;
                rows.push(ragas(&row, suite.clone(), &mut names));
                Ok(())
            })
        }
        Form::LmEval => {
            // samples_<task>_<time>.jsonl
            let task = stem(file);
            let task = task.strip_prefix("samples_").unwrap_or(&task);
            let suite = names.get(task.rsplit_once('_').map_or(task, |(task, _)| task));
            each_line(file, &mut |place, line| {
                let sample = parse::<LmSample>(place, line, "a sample of lm-eval")?;
                rows.push(sample.row(suite.clone(), &mut names));
                Ok(())
            })
        }
        Form::Mlflow => each_line(file, &mut |place, line| {
            rows.push(parse::<MlflowTrace>(place, line, "a trace of MLflow")?.row(&mut names));
            Ok(())
        }),
        Form::OpenAiEvals => openai_events(file, rows, &mut names),
        Form::Inspect | Form::DeepEval | Form::Plain => Ok(()),
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// A whole JSON document: what it is shows in its keys.
fn document(file: &Path, rows: &mut Vec<EvalRow>) -> Result<Form> {
    let place = file.display().to_string();
    let size = std::fs::metadata(file).map_err(|error| Error::read(file, &error))?.len();
    if size > MAX_DOCUMENT {
        return Err(Error::input(place, format!("expected a document below {MAX_DOCUMENT} bytes, found {size}"))
            .hint("write one result a line (.jsonl)"));
    }
    let bytes = std::fs::read(file).map_err(|error| Error::read(file, &error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut names = Interner::default();
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::input(place, "expected a document of promptfoo, Inspect, DeepEval or lm-eval, found a list")
            .hint("write one row a line (.jsonl) with a `case_id`"));
    }
    let keys: BTreeMap<String, IgnoredAny> = parse(&place, bytes, "a JSON object")?;
    let has = |key: &str| keys.contains_key(key);
    if has("testCases") || has("conversationalTestCases") {
        rows.extend(parse::<DeepEvalRun>(&place, bytes, "a test run of DeepEval")?.rows(&mut names));
        Ok(Form::DeepEval)
    } else if has("eval") && has("version") {
        let log: InspectLog = parse(&place, bytes, "a log of Inspect")?;
        if log.samples.is_empty() {
            return Err(Error::input(place, "expected samples, found a log without them").hint("write it with log_samples"));
        }
        let InspectLog { eval, samples } = log;
        rows.extend(samples.into_iter().map(|sample| sample.row(&eval, &mut names)));
        Ok(Form::Inspect)
    } else if has("evalId") || (has("results") && has("config") && !has("n-samples")) {
        let export: PromptfooExport = parse(&place, bytes, "an export of promptfoo")?;
        rows.extend(export.results.results.into_iter().map(|result| result.row(&mut names)));
        Ok(Form::Promptfoo)
    } else if has("n-samples") || has("task_hashes") {
        Err(Error::input(place, "expected results of cases, found the aggregated results of lm-eval")
            .hint("name its samples_<task>_<time>.jsonl (--log_samples)"))
    } else {
        let found = keys.keys().take(12).cloned().collect::<Vec<_>>().join(", ");
        Err(Error::input(place, format!("expected a document of promptfoo, Inspect, DeepEval or lm-eval, found one with {found}")))
    }
}

/// The first 16 hex digits of the digest of a value's canonical form: what a case without a name is known by.
fn hash_of(value: &Value) -> String {
    match release::canonical("", value) {
        Ok((_, digest)) => digest["sha256:".len()..][..16].to_owned(),
        Err(_) => value.to_string(),
    }
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A cost, a time or a score that is a number one can compute with.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

fn outcome_of(passed: Option<bool>) -> Outcome {
    match passed {
        Some(true) => Outcome::Passed,
        Some(false) => Outcome::Failed,
        None => Outcome::Unrated,
    }
}

// promptfoo

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
        let meta = |key: &str| text_of(self.metadata.get(key).or_else(|| self.test_case.metadata.get(key)));
        let plugin = meta("pluginId");
        // A repeat gets a new test index and no number: what is asked tells cases apart.
        let case_id = match (&plugin, meta("case_id").or_else(|| self.test_case.description.clone().filter(|text| !text.is_empty()))) {
            (_, Some(name)) => name,
            (Some(plugin), None) => format!("{plugin}/{}/{}", meta("strategyId").unwrap_or_default(), hash_of(&self.vars)),
            (None, None) => hash_of(&self.vars),
        };
        let grader_broke = self
            .grading_result
            .as_ref()
            .and_then(|g| g.metadata.as_ref())
            .is_some_and(|m| m.get("graderError").is_some_and(|e| *e != Value::Bool(false) && !e.is_null()));
        let outcome = if self.failure_reason == Some(2) || grader_broke { Outcome::Error } else { outcome_of(self.success) };
        let mut scores: Vec<(Arc<str>, f64)> =
            self.named_scores.iter().filter_map(|(name, score)| Some((names.get(name), finite(*score)?))).collect();
        scores.extend(finite(self.score).map(|score| (names.get("score"), score)));
        if outcome == Outcome::Error {
            scores.clear();
        }
        let provider = self.provider.as_ref().and_then(|provider| provider.label.clone().or_else(|| provider.id.clone()));
        let output = self.response.as_ref().map(|response| &response.output).filter(|output| !output.is_null());
        EvalRow {
            release: meta("release_id").map(|text| names.get(&text)),
            run: None,
            prompt: self.prompt.as_ref().and_then(|prompt| prompt.label.as_deref()).map(|text| names.get(text)),
            model: provider.map(|text| names.get(&text)),
            suite: names.get(&meta("suite").unwrap_or_else(|| if plugin.is_some() { "injection" } else { "golden" }.to_owned())),
            case_id: names.get(&case_id),
            cluster: meta("cluster").or(plugin).map(|text| names.get(&text)),
            outcome,
            scores,
            cost_usd: finite(self.cost).filter(|cost| *cost >= 0.0),
            latency_ms: finite(self.latency_ms).filter(|latency| *latency >= 0.0),
            tokens: self.token_usage.as_ref().and_then(|tokens| Some([tokens.prompt? as u64, tokens.completion? as u64])),
            output: output.map(|output| output.as_str().map_or_else(|| output.to_string(), str::to_owned).into()),
        }
    }
}

// Inspect

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
                        scores.extend(number_of(value).map(|value| (names.get(&format!("{name}.{part}")), value)));
                    }
                }
                value => scores.extend(number_of(value).map(|value| (names.get(name), value))),
            }
        }
        // The run's first scorer says whether a case passed.
        let first = eval.scorers.as_ref().and_then(|scorers| scorers.first()).map(|scorer| scorer.name.as_str());
        let headline = first.and_then(|name| scored.get(name.rsplit('/').next().unwrap_or(name))).or_else(|| scored.values().next());
        let passed = headline.and_then(|score| number_of(&score.value)).and_then(|value| {
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
            if usage.is_empty() { None } else { usage.iter().map(|usage| value(usage)).sum() }
        };
        let output = self.output.and_then(|output| output.completion);
        EvalRow {
            release: of_case("release_id").or_else(|| of_run("release_id")).map(|text| names.get(&text)),
            run: None,
            prompt: of_run("prompt_ref").map(|text| names.get(&text)),
            model: eval.model.as_deref().map(|text| names.get(text)),
            suite: names.get(
                &of_case("suite")
                    .or_else(|| of_run("suite"))
                    .unwrap_or_else(|| if eval.task.is_empty() { "golden".into() } else { eval.task.clone() }),
            ),
            case_id: names.get(&case_id),
            cluster: of_case("cluster").map(|text| names.get(&text)),
            outcome: if has_error { Outcome::Error } else { outcome_of(passed) },
            scores,
            cost_usd: finite(sum(&|usage| usage.total_cost)),
            latency_ms: finite(self.total_time).map(|seconds| seconds * 1e3),
            tokens: match (sum(&|usage| usage.input_tokens), sum(&|usage| usage.output_tokens)) {
                (Some(read), Some(written)) => Some([read as u64, written as u64]),
                _ => None,
            },
            output: output.map(Into::into),
        }
    }
}

/// Inspect's own rule: letters, words, flags and numbers to a number.
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => finite(number.as_f64()),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => match text.as_str() {
            "C" => Some(1.0),
            "I" | "N" => Some(0.0),
            "P" => Some(0.5),
            other => match other.to_ascii_lowercase().as_str() {
                "yes" | "true" => Some(1.0),
                "no" | "false" => Some(0.0),
                number => finite(number.parse().ok()),
            },
        },
        _ => None,
    }
}

/// An `.eval` archive: header and summaries, which are a thousandth of its samples. Members are read up to a limit, whatever they claim.
fn inspect_archive(file: &Path, with_outputs: bool, rows: &mut Vec<EvalRow>) -> Result<()> {
    let place = file.display().to_string();
    let unreadable =
        |error: &dyn std::fmt::Display| Error::input(place.clone(), format!("expected an .eval archive of Inspect, found: {error}"));
    let mut archive =
        zip::ZipArchive::new(File::open(file).map_err(|error| Error::read(file, &error))?).map_err(|error| unreadable(&error))?;
    let mut left = MAX_MEMBER;
    let mut member = |name: &str| -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match archive.by_name(name) {
            Ok(member) => member.take(left + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(unreadable(&error)),
        };
        if bytes.len() as u64 > left {
            return Err(Error::input(format!("{place}: {name}"), format!("expected at most {MAX_MEMBER} bytes, found more")));
        }
        left -= bytes.len() as u64;
        Ok(Some(bytes))
    };
    let start = match member("header.json")? {
        Some(bytes) => bytes,
        // A run that was cut short has only its journal.
        None => member("_journal/start.json")?.ok_or_else(|| unreadable(&"neither header.json nor _journal/start.json"))?,
    };
    let header: InspectHeader = parse(&format!("{place}: header.json"), &start, "a header of Inspect")?;
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
        let samples: Vec<InspectSample> = parse(&format!("{place}: {name}"), bytes, "summaries of samples")?;
        for mut sample in samples {
            if with_outputs {
                // Summaries hold what a scorer took for the answer, not all that was said.
                let id = text_of(Some(&sample.id)).unwrap_or_default();
                let name = format!("samples/{id}_epoch_{}.json", sample.epoch.unwrap_or(1));
                if let Some(bytes) = member(&name)? {
                    sample.output = parse::<InspectAnswer>(&format!("{place}: {name}"), &bytes, "a sample of Inspect")?.output;
                }
            }
            rows.push(sample.row(&header.eval, &mut names));
        }
    }
    Ok(())
}

// DeepEval

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
        let (prompt, model) = (of_run("prompt_ref"), of_run("model_ref").or_else(|| of_run("model")));
        let cases = self.test_cases.into_iter().chain(self.conversational_test_cases);
        let rows = cases.map(|case| {
            let meta = |key: &str| text_of(case.metadata.as_ref()?.get(key));
            let metrics = case.metrics_data.unwrap_or_default();
            let broke = |metric: &DeepEvalMetric| metric.error.as_ref().is_some_and(|error| !error.is_null());
            // A flaky metric never decides; one whose judge broke says nothing, unless another one failed.
            let decides: Vec<&DeepEvalMetric> = metrics.iter().filter(|metric| !metric.flaky).collect();
            let failed = decides.iter().any(|metric| !broke(metric) && metric.success == Some(false));
            let outcome = match case.success {
                _ if failed => Outcome::Failed,
                _ if decides.iter().any(|metric| broke(metric)) => Outcome::Error,
                _ if decides.iter().any(|metric| metric.success == Some(true)) => Outcome::Passed,
                success if metrics.is_empty() => outcome_of(success),
                _ => Outcome::Unrated,
            };
            let case_id =
                meta("case_id").or_else(|| case.name.clone().filter(|name| !name.is_empty())).unwrap_or_else(|| hash_of(&case.input));
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

// lm-eval

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
        let filter = self.filter.as_deref().filter(|filter| !filter.is_empty() && *filter != "none");
        let known = ["doc", "target", "arguments", "resps", "prompt_hash", "target_hash"];
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
            scores.extend(self.others.get(metric).and_then(number_of).map(|value| (names.get(&name), value)));
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
        // The document's hash outlives a reordered set; the number is for people.
        let number = text_of(Some(&self.doc_id)).unwrap_or_default();
        let case_id =
            self.doc_hash.map_or_else(|| number.clone(), |hash| format!("{number}-{}", hash.chars().take(12).collect::<String>()));
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

// Ragas

fn ragas(row: &Map<String, Value>, suite: Arc<str>, names: &mut Interner) -> EvalRow {
    let text = |key: &str| text_of(row.get(key));
    // A null score is a judge that failed, not a zero.
    let reserved = ["case_id", "repeat", "cost_usd", "latency_ms", "tokens_in", "tokens_out"];
    let scores: Vec<(Arc<str>, f64)> = row
        .iter()
        .filter(|(key, value)| value.is_number() && !reserved.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((names.get(key), finite(value.as_f64())?)))
        .collect();
    let case_id = text("case_id").unwrap_or_else(|| {
        hash_of(&Value::Array(
            ["user_input", "reference", "retrieved_contexts"].iter().map(|key| row.get(*key).cloned().unwrap_or_default()).collect(),
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
        outcome: if scores.is_empty() && has_null { Outcome::Error } else { Outcome::Unrated },
        scores,
        cost_usd: finite(row.get("cost_usd").and_then(Value::as_f64)),
        latency_ms: finite(row.get("latency_ms").and_then(Value::as_f64)),
        tokens: None,
        output: text("response").map(Into::into),
    }
}

// OpenAI evals

#[derive(Deserialize)]
struct OpenAiEvent {
    #[serde(default)]
    spec: Option<OpenAiSpec>,
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

fn openai_events(file: &Path, rows: &mut Vec<EvalRow>, names: &mut Interner) -> Result<()> {
    let (mut suite, mut model) = (names.get("golden"), None);
    let mut place_of: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    each_line(file, &mut |place, line| {
        let event: OpenAiEvent = parse(place, line, "an event of OpenAI evals")?;
        if let Some(spec) = event.spec {
            suite = names.get(spec.base_eval.as_deref().unwrap_or("golden"));
            model = spec.completion_fns.first().map(|text| names.get(text));
        }
        let Some(sample) = event.sample_id else { return Ok(()) };
        let case_id = names.get(&sample);
        let idx = *place_of.entry(case_id.clone()).or_insert_with(|| {
            rows.push(EvalRow {
                release: None,
                run: None,
                prompt: None,
                model: model.clone(),
                suite: suite.clone(),
                case_id,
                cluster: None,
                outcome: Outcome::Unrated,
                scores: Vec::new(),
                cost_usd: None,
                latency_ms: None,
                tokens: None,
                output: None,
            });
            rows.len() - 1
        });
        let row = &mut rows[idx];
        match event.kind.as_str() {
            "match" => {
                row.outcome = outcome_of(event.data.get("correct").and_then(Value::as_bool));
                row.output = row.output.take().or_else(|| event.data.get("sampled").and_then(Value::as_str).map(Into::into));
            }
            "metrics" => {
                let metrics = event.data.as_object().into_iter().flatten();
                row.scores.extend(metrics.filter_map(|(name, value)| Some((names.get(name), number_of(value)?))));
            }
            "sampling" => {
                let sampled = event.data.get("sampled").and_then(|sampled| sampled.get(0).or(Some(sampled))).and_then(Value::as_str);
                row.output = sampled.map(Into::into).or_else(|| row.output.take());
            }
            "error" => row.outcome = Outcome::Error,
            _ => {}
        }
        Ok(())
    })
}

// MLflow

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
        // Values inside of attributes are JSON in text.
        let inner = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let inputs = inner(info.trace_metadata.get("mlflow.traceInputs"));
        let case_id = tag("mlflow.eval.requestId")
            .or_else(|| tag("case_id"))
            .or_else(|| inputs.as_ref().map(hash_of))
            .or_else(|| info.request_preview.as_ref().map(|text| hash_of(&Value::String(text.clone()))))
            .unwrap_or_else(|| info.trace_id.clone());
        let (mut scores, mut passed, mut broke) = (Vec::new(), None::<bool>, false);
        for assessment in info.assessments.iter().filter(|assessment| assessment.valid != Some(false)) {
            let Some(feedback) = &assessment.feedback else { continue };
            let by_judge = assessment.source.as_ref().and_then(|source| source.get("source_type")).and_then(Value::as_str) != Some("HUMAN");
            if feedback.error.as_ref().is_some_and(|error| !error.is_null()) {
                broke |= by_judge;
                continue;
            }
            let Some(value) = number_of(&feedback.value) else { continue };
            scores.push((names.get(&assessment.assessment_name), value));
            // A case passed when every judge that says yes or no said yes.
            if feedback.value.is_boolean() || feedback.value.is_string() {
                passed = Some(passed.unwrap_or(true) && value == 1.0);
            }
        }
        let usage = inner(info.trace_metadata.get("mlflow.trace.tokenUsage"));
        let tokens = |key: &str| usage.as_ref().and_then(|usage| usage.get(key)).and_then(Value::as_f64);
        let spans = self.data.iter().flat_map(|data| &data.spans);
        let costs: Vec<f64> = spans.filter_map(|span| inner(span.attributes.get("mlflow.llm.cost"))?.get("total_cost")?.as_f64()).collect();
        let prompt = inner(info.tags.get("mlflow.linkedPrompts")).and_then(|prompts| {
            let prompt = prompts.get(0)?.clone();
            Some(format!("{}@{}", prompt.get("name")?.as_str()?, text_of(prompt.get("version"))?))
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
            outcome: if failed_run || (broke && passed != Some(false)) { Outcome::Error } else { outcome_of(passed) },
            scores,
            cost_usd: if costs.is_empty() { None } else { finite(Some(costs.iter().sum())) },
            latency_ms: finite(info.execution_duration_ms),
            tokens: match (tokens("input_tokens"), tokens("output_tokens")) {
                (Some(read), Some(written)) => Some([read as u64, written as u64]),
                _ => None,
            },
            output: text_of(info.trace_metadata.get("mlflow.traceOutputs")).map(Into::into),
        }
    }
}
