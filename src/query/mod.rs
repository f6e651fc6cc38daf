//! Tables for SQL: the documents and tables of a study, and every file that Sluice reads.

pub(crate) mod documents;
pub(crate) mod driver;
mod evals;
pub(crate) mod output;
pub(crate) mod sources;
pub(crate) mod values;
