//! The evaluation row that every importer produces, and the list of formats.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::input::SourceFile;
use crate::words::Text;
use crate::words::evals as says;

/// The outcome of one run of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseOutcome {
    /// The run met the expectation of the case.
    Passed,
    /// The run did not meet the expectation of the case.
    Failed,
    /// The run or its judge ended in an error, so the run gives no information about the release.
    Error,
    /// The run was rated neither as passed nor as failed. It may have scores.
    #[default]
    Unrated,
}

/// The reason for which a run, or a part of it, is no evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRun {
    /// The run ended in an error.
    RunError,
    /// A judge ended in an error, or answered something else than a verdict.
    JudgeError,
    /// The run was stopped before its end.
    Cancelled,
    /// The log says that the run belongs to it, and has no result of the run.
    Absent,
    /// The score that decides is missing, null or not a number.
    NoScore,
    /// The score that decides is neither a full success nor a full failure.
    PartialCredit,
    /// A cache gave the answer, so its cost and latency are not known. The verdict counts.
    Cached,
    /// The same run is there twice, with the same result. One of them counts.
    Duplicate,
    /// The same run is there with an error, and again with a result. The result counts.
    Retried,
    /// The same run is there twice, with different results. None of them counts.
    Conflict,
}

impl NotRun {
    /// The reason in words.
    pub fn text(self) -> Text {
        match self {
            Self::RunError => says::run_error(),
            Self::JudgeError => says::judge_error(),
            Self::Cancelled => says::cancelled(),
            Self::Absent => says::absent(),
            Self::NoScore => says::no_score(),
            Self::PartialCredit => says::partial_credit(),
            Self::Cached => says::cached(),
            Self::Duplicate => says::duplicate(),
            Self::Retried => says::retried(),
            Self::Conflict => says::conflict(),
        }
    }
}

/// One run of one case.
#[derive(Debug, Clone, PartialEq, Default)]
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
    /// The id that the file gives to the case; `None` without one, or if the tool made it up.
    pub name: Option<Arc<str>>,
    /// The digest of what was asked, without what the run added; `None` if the file does not say.
    pub asked: Option<Arc<str>>,
    /// The digest of what was asked without texts that look like random ids; `None` if there are no
    /// such texts.
    pub asked_without_ids: Option<Arc<str>>,
    /// The name of the run among the runs of its case in this release. Two rows with the same name
    /// are the same run. `None` if the row is a run of its own.
    pub repeat: Option<Arc<str>>,
    /// The cluster of the case, whose cases are correlated; `None` if the case is its own cluster.
    pub cluster: Option<Arc<str>>,
    /// Outcome of the run: passed, failed, error or not rated.
    pub outcome: CaseOutcome,
    /// The reason for an outcome that says nothing; `None` if the run was rated, or if its tool
    /// never rates it.
    pub not_run: Option<NotRun>,
    /// Whether the outcome comes from a number. It counts only if all such numbers of the suite are
    /// 0 or 1.
    pub is_numeric: bool,
    /// Whether a cache gave the answer.
    pub is_cached: bool,
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
    /// The values of the columns that slices are made of, in the order of [`ReadOptions::by`].
    pub attributes: Vec<Option<Arc<str>>>,
}

impl EvalRow {
    /// The id of the case for readers: the id of the file, else the digest of what was asked.
    pub fn case_id(&self) -> &str {
        self.name
            .as_deref()
            .or(self.asked.as_deref())
            .unwrap_or("(no id)")
    }
}

/// What to read of evaluation files beside the outcomes.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Whether outputs are read even if that takes long.
    pub with_outputs: bool,
    /// The columns, metadata or variables that slices are made of.
    pub by: Vec<String>,
}

/// Runs that a log announces and does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct AbsentRuns {
    /// A row with the suite, the release and the reason of the runs.
    pub like: EvalRow,
    /// The number of runs.
    pub n: u64,
}

/// Counts of runs by the reason for which they are no evidence.
pub type NotRunCounts = BTreeMap<NotRun, u64>;

/// The rows of evaluation files.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalTable {
    /// The rows, in the order of files and lines.
    pub rows: Vec<EvalRow>,
    /// The runs that the logs announce and do not have.
    pub absent: Vec<AbsentRuns>,
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
