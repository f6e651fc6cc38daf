//! Importer of lm-evaluation-harness samples, one per line.

use hashbrown::HashMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::asked;
use crate::release::evals::importers::json::{
    attributes, each_line, parse, read_document, score_of, stem, text_of, unpacked,
};
use crate::release::evals::row::{AbsentRuns, CaseOutcome, EvalRow, NotRun};

/// The metrics whose 1 means that a document was answered as expected. Other metrics, such as BLEU,
/// say nothing of success even where they are 0 or 1.
const VERDICTS: [&str; 14] = [
    "acc",
    "acc_norm",
    "acc_mutual_info",
    "acc_bytes",
    "accuracy",
    "exact_match",
    "exact",
    "em",
    "correct",
    "is_correct",
    "pass@1",
    "pass_at_1",
    "prompt_level_strict_acc",
    "prompt_level_loose_acc",
];

/// Reads all samples of a file, and says how many its run announces. The rows of one document, one
/// for each filter, are one run. The verdict is the first metric of the first filter, if it is a metric of success.
pub(super) fn samples(
    file: &Path,
    (number, by): (usize, &[String]),
    names: &mut Interner,
    rows: &mut Vec<EvalRow>,
) -> Result<Option<AbsentRuns>> {
    // The name of the file is samples_<task>_<time>.jsonl.
    let name = stem(file);
    let name = name.strip_prefix("samples_").unwrap_or(&name);
    let (task, time) = name.rsplit_once('_').unwrap_or((name, ""));
    let suite = names.get(task);
    let results = Results::beside(file, time);
    let model = results.model_name.as_deref().map(|text| names.get(text));
    let mut row_of: HashMap<(String, String), usize> = HashMap::new();
    let mut by_doc: HashMap<String, usize> = HashMap::new();
    each_line(file, &mut |location, line| {
        let sample: LmSample = parse(location, line, "a sample of lm-eval")?;
        let doc = text_of(Some(&sample.doc_id)).unwrap_or_else(|| sample.doc_id.to_string());
        let filter = sample.filter.clone().unwrap_or_default();
        let is_known = row_of.contains_key(&(doc.clone(), filter.clone()));
        let idx = match by_doc.get(&doc).filter(|_| !is_known) {
            // Another filter of a run.
            Some(idx) => *idx,
            None => {
                rows.push(EvalRow {
                    repeat: Some(names.get(&format!("{number}:{doc}"))),
                    model: model.clone(),
                    ..sample.row(suite.clone(), by, names)
                });
                by_doc.insert(doc.clone(), rows.len() - 1);
                rows.len() - 1
            }
        };
        row_of.insert((doc, filter), idx);
        let scores = sample.scores(names);
        rows[idx].scores.extend(scores);
        Ok(())
    })?;
    let announced = results.n_samples(task).map(|n| AbsentRuns {
        like: EvalRow {
            suite,
            model,
            repeat: Some(names.get(&number.to_string())),
            not_run: Some(NotRun::Absent),
            ..EvalRow::default()
        },
        n,
    });
    Ok(announced)
}

/// Whether a file has the aggregated results of a run, by its name.
pub(super) fn is_results(file: &Path) -> bool {
    let is_json = unpacked(file)
        .extension()
        .is_some_and(|extension| extension == "json");
    is_json && stem(file).starts_with("results_") && {
        let bytes = read_document(file).unwrap_or_default();
        let found: Option<Results> = parse(&file.display().to_string(), &bytes, "results").ok();
        found.is_some_and(|found| found.n_samples.is_some())
    }
}

/// The aggregated results of a run, which the tool writes beside the samples.
#[derive(Deserialize, Default)]
struct Results {
    #[serde(default)]
    model_name: Option<String>,
    #[serde(default, rename = "n-samples")]
    n_samples: Option<Map<String, Value>>,
}

impl Results {
    /// The results beside a file of samples. Without a readable file, nothing is known.
    fn beside(file: &Path, time: &str) -> Self {
        let path = file.with_file_name(format!("results_{time}.json"));
        let paths = [
            path.clone(),
            path.with_extension("json.gz"),
            path.with_extension("json.zst"),
        ];
        let found = paths.iter().find(|path| path.is_file());
        let bytes = found.and_then(|path| read_document(path).ok());
        bytes
            .and_then(|bytes| parse(&path.display().to_string(), &bytes, "results of lm-eval").ok())
            .unwrap_or_default()
    }

    /// The number of documents of a task that ran.
    fn n_samples(&self, task: &str) -> Option<u64> {
        self.n_samples.as_ref()?.get(task)?.get("effective")?.as_u64()
    }
}

#[derive(Deserialize)]
struct LmSample {
    doc_id: Value,
    #[serde(default)]
    doc: Value,
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
    /// The names of the metrics of the sample.
    fn metrics(&self) -> Vec<String> {
        let known = ["target", "arguments", "resps", "prompt_hash", "target_hash"];
        self.metrics.clone().unwrap_or_else(|| {
            self.others
                .iter()
                .filter(|(key, value)| value.is_number() && !known.contains(&key.as_str()))
                .map(|(key, _)| key.clone())
                .collect()
        })
    }

    fn filter_name(&self) -> Option<&str> {
        self.filter
            .as_deref()
            .filter(|filter| !filter.is_empty() && *filter != "none")
    }

    /// The scores of the sample: a metric has the filter in its name.
    fn scores(&self, names: &mut Interner) -> Vec<(Arc<str>, f64)> {
        let filter = self.filter_name();
        let mut scores = Vec::new();
        for metric in self.metrics() {
            let name = filter.map_or_else(|| metric.clone(), |filter| format!("{metric},{filter}"));
            let score = self.others.get(&metric).and_then(score_of);
            scores.extend(score.map(|score| (names.get(&name), score)));
        }
        scores
    }

    fn row(&self, suite: Arc<str>, by: &[String], names: &mut Interner) -> EvalRow {
        let metric = self.metrics().into_iter().next();
        let metric = metric.filter(|metric| VERDICTS.contains(&metric.to_lowercase().as_str()));
        let value = metric
            .as_ref()
            .map(|metric| self.others.get(metric).and_then(score_of));
        let (outcome, not_run) = match value {
            Some(Some(1.0)) => (CaseOutcome::Passed, None),
            Some(Some(0.0)) => (CaseOutcome::Failed, None),
            Some(Some(_)) => (CaseOutcome::Unrated, Some(NotRun::PartialCredit)),
            Some(None) => (CaseOutcome::Unrated, Some(NotRun::NoScore)),
            None => (CaseOutcome::Unrated, None),
        };
        let output = match &self.filtered_resps {
            Value::Array(texts) => texts.first().and_then(Value::as_str),
            other => other.as_str(),
        };
        // The hash of a document identifies it also after the data set was reordered.
        let asked = self.doc_hash.as_ref().map_or_else(
            || asked::of_question(&[Some(&self.doc)]),
            |hash| asked::of_question(&[Some(&hash.as_str().into())]),
        );
        let asked = asked.or_else(|| text_of(Some(&self.doc_id)));
        EvalRow {
            suite,
            asked: asked.map(|text| names.get(&text)),
            outcome,
            not_run,
            is_numeric: value.is_some(),
            output: output.map(Into::into),
            attributes: attributes(by, &[self.doc.as_object(), Some(&self.others)], names),
            ..EvalRow::default()
        }
    }
}
