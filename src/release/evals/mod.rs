//! Evaluation results: one table from many tools, and the comparison of two releases case by case.
//!
//! A new evaluation format needs a file in `importers`, a variant of [`EvalFormat`] (`row`), and
//! its detection by content in `importers/read.rs`. Tables with named columns need none of these:
//! `plain` reads them.

mod asked;
mod cases;
mod compare;
mod comparison;
mod contest;
mod fields;
mod identity;
mod importers;
mod margin;
mod matching;
mod plain;
mod releases;
pub(crate) mod row;
mod slices;
mod survey;

pub use cases::{
    COMMON_METRICS, Case, Measure, MeasureOf, Runs, Suite, ValueOf, measure_of, missing, suites, value_of,
};
pub use compare::{
    FEW_PAIRS, MIN_PAIRS, Mean, REPLICATES, clusters_of, compare, is_share, pass_hat, single, unit_of,
};
pub use comparison::{Comparison, Correction, Design, PairTest, RelativeChange, VerdictReason};
pub use contest::{Contest, Duel, Place, contest, ranking};
pub use identity::MatchedBy;
pub use importers::read::read_evals;
pub use margin::{Margin, Margins, better_of};
pub use matching::Matching;
pub use releases::{ReleaseRows, releases};
pub use row::{AbsentRuns, CaseOutcome, EvalFormat, EvalRow, EvalTable, NotRun, NotRunCounts, ReadOptions};
pub use slices::{Slice, SliceStudy, slices};
pub use survey::{
    ComparisonSummary, EvalSurvey, MetricSummary, NotRunSummary, RankedRelease, Ranking, SliceSummary,
    SurveyOptions, survey,
};
