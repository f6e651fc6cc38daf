//! The evaluation row that every importer produces, and the list of formats.

use serde::Serialize;
use std::sync::Arc;

use crate::input::SourceFile;

/// The outcome of one run of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseOutcome {
    /// The run met the expectation of the case.
    Passed,
    /// The run did not meet the expectation of the case.
    Failed,
    /// The run or its judge ended in an error, so the run gives no information about the release.
    Error,
    /// The run was rated neither as passed nor as failed. It may have scores.
    Unrated,
}

/// One run of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalRow {
    /// The release that answered; `None` if the file does not name it.
    pub release: Option<Arc<str>>,
    /// The name of the run or its file, which may be a release; `None` without one.
    pub run: Option<Arc<str>>,
    /// The prompt that answered; `None` if the file does not name it. It can identify the release.
    pub prompt: Option<Arc<str>>,
    /// The model that answered; `None` if the file does not name it. It can identify the release.
    pub model: Option<Arc<str>>,
    /// The suite, such as `golden` or `injection`.
    pub suite: Arc<str>,
    /// The id of the case, the same in every release.
    pub case_id: Arc<str>,
    /// The cluster of the case, whose cases are correlated; `None` if the case is its own cluster.
    pub cluster: Option<Arc<str>>,
    /// Outcome of the run: passed, failed, error or not rated.
    pub outcome: CaseOutcome,
    /// The scores by metric. A missing score is not 0.
    pub scores: Vec<(Arc<str>, f64)>,
    /// The cost of the answer in USD, without the cost of its judge; `None` if not known.
    pub cost_usd: Option<f64>,
    /// The time to the answer in milliseconds; `None` if not known.
    pub latency_ms: Option<f64>,
    /// The numbers of input and output tokens; `None` if not known.
    pub tokens: Option<[u64; 2]>,
    /// The text of the answer; `None` if not known or not read.
    pub output: Option<Arc<str>>,
}

/// The rows of evaluation files.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalTable {
    /// The rows, in the order of files and lines.
    pub rows: Vec<EvalRow>,
    /// The files with their digests and formats.
    pub sources: Vec<(SourceFile, EvalFormat)>,
}

/// The format of an evaluation file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EvalFormat {
    /// promptfoo: an export in JSON, or one result per line.
    Promptfoo,
    /// Inspect AI: an `.eval` archive or a `.json` log.
    Inspect,
    /// DeepEval: a test run.
    DeepEval,
    /// lm-evaluation-harness: one sample per line.
    LmEval,
    /// OpenAI evals: one event per line.
    OpenAiEvals,
    /// Ragas: one row of an experiment per line.
    Ragas,
    /// MLflow: one trace with assessments per line.
    Mlflow,
    /// A plain table with the column `case_id`.
    Plain,
}

impl EvalFormat {
    /// The name of the format in reports.
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
