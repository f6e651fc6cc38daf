//! Evaluation results: one table from many tools, and the comparison of two releases case by case.
//!
//! A new evaluation format needs a file in `importers`, a variant of [`EvalFormat`] (`row`), and
//! its detection by content in `importers/read.rs`. Tables with named columns need none of these:
//! `plain` reads them.

mod cases;
mod compare;
mod importers;
mod plain;
pub(crate) mod row;

pub use cases::{Case, Measure, MeasureOf, Runs, Suite, ValueOf, measure_of, suites, value_of};
pub use compare::{
    Comparison, Correction, Design, FEW_PAIRS, MIN_PAIRS, Mean, PairTest, REPLICATES, clusters_of, compare,
    is_share, pass_hat, single,
};
pub use importers::read::read_evals;
pub use row::{CaseOutcome, EvalFormat, EvalRow, EvalTable};
