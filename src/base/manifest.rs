//! A study's output folder: the names of its files, and the manifest that lists them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of a study's files.
pub mod file {
    /// Generated data.
    pub const DATA: &str = "data";
    /// What the study is about.
    pub const STUDY: &str = "study.json";
    /// Features built from events.
    pub const FEATURES: &str = "features.parquet";
    /// Who is in which layer.
    pub const LAYERS: &str = "layers.parquet";
    /// What layering found.
    pub const LAYER_SUMMARY: &str = "layers.summary.json";
    /// The reduced log, a folder.
    pub const CUBE: &str = "cube";
    /// What inference found.
    pub const ANALYSIS: &str = "analysis.json";
    /// The ratios from now on.
    pub const SCHEDULE: &str = "schedule.json";
    /// Where the ramp stands after the schedule.
    pub const STATE: &str = "state.json";
    /// The gate's checks.
    pub const GATE_REPORT: &str = "gate_report.json";
    /// The entity tables, a folder.
    pub const TABLES: &str = "tables";
    /// The report for a terminal or a pull request.
    pub const REPORT_MD: &str = "report.md";
    /// The report for a browser.
    pub const REPORT_HTML: &str = "report.html";
    /// Digests of everything; written last.
    pub const MANIFEST: &str = "manifest.json";
}

/// `manifest.json`: digests of everything in the folder. It is the last file written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name and version of this document's form.
    pub schema: String,
    /// Version of Sluice.
    pub version: String,
    /// The scenario's name.
    pub name: String,
    /// Digest of the scenario and of the command line's overrides.
    pub scenario_digest: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// Digest and size of every file, by name.
    pub files: BTreeMap<String, FileEntry>,
}

/// A file of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// `sha256:<hex>`.
    pub digest: String,
    /// Bytes.
    pub n_bytes: u64,
}
