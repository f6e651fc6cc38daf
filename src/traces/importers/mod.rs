//! Importers, one file per system.

mod braintrust;
pub(super) mod catalog;
mod fields;
pub(super) mod framing;
mod helicone;
pub(super) mod importer;
mod langfuse;
mod langfuse_names;
mod langfuse_scores;
mod langsmith;
mod langsmith_feedback;
mod litellm;
mod mlflow;
pub(super) mod otlp;
mod otlp_document;
mod otlp_scan;
pub(super) mod pages;
mod phoenix;
mod python;
