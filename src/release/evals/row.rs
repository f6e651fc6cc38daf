//! The evaluation row, which every importer produces, and the list of formats.

use serde::Serialize;
use std::sync::Arc;

use crate::input::SourceFile;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseOutcome {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed,
    /// The run, or its judge, broke: nothing is known of the release.
    Error,
    /// There are scores, and no pass or fail.
    Unrated,
}

/// One run of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalRow {
    /// The release that answered, if the file says so.
    pub release: Option<Arc<str>>,
    /// What the run or its file is called: often a release, sometimes anything.
    pub run: Option<Arc<str>>,
    /// The prompt that answered, if the file says so: tells releases apart where it has no release.
    pub prompt: Option<Arc<str>>,
    /// The model that answered.
    pub model: Option<Arc<str>>,
    /// `golden`, `injection` ...
    pub suite: Arc<str>,
    /// The case, the same in every release.
    pub case_id: Arc<str>,
    /// Cases that share a source vary together.
    pub cluster: Option<Arc<str>>,
    /// How it ended.
    pub outcome: CaseOutcome,
    /// Scores by metric. A score that is missing is not 0.
    pub scores: Vec<(Arc<str>, f64)>,
    /// What the answer cost; what its judge cost is not the release's.
    pub cost_usd: Option<f64>,
    /// Time to the answer.
    pub latency_ms: Option<f64>,
    /// Tokens read and written.
    pub tokens: Option<[u64; 2]>,
    /// What was answered.
    pub output: Option<Arc<str>>,
}

/// Rows of some files.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalTable {
    /// In file and row order.
    pub rows: Vec<EvalRow>,
    /// What the files were, and what each is written in.
    pub sources: Vec<(SourceFile, EvalFormat)>,
}

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EvalFormat {
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

impl EvalFormat {
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
