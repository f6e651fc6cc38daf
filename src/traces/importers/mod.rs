//! Importers, one file per system.

mod braintrust;
pub(super) mod catalog;
mod fields;
mod helicone;
pub(super) mod importer;
mod langfuse;
mod langfuse_scores;
mod langsmith;
mod litellm;
mod mlflow;
pub(super) mod otlp;
mod phoenix;
