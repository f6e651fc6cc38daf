//! Tables for SQL: the documents and tables of a study, and every file that Sluice reads.

pub(crate) mod documents;
pub(crate) mod driver;
mod evals;
mod files;
pub(crate) mod output;
pub(crate) mod sources;
mod text_types;
pub(crate) mod values;
