//! Importers, one file per system.

pub(super) mod catalog;
pub(super) mod importer;
pub(super) mod otlp;
