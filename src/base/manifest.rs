//! The output folder of a study: the names of its files, and the manifest with their digests.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::json::Document;

/// The names of a study's files.
pub mod file {
    /// The folder of generated data.
    pub const DATA: &str = "data";
    /// The description of the study.
    pub const STUDY: &str = "study.json";
    /// The features that were built from events.
    pub const FEATURES: &str = "features.parquet";
    /// The layer table: each user's layer.
    pub const LAYERS: &str = "layers.parquet";
    /// The summary of layering: counts of users by layer, and missing values.
    pub const LAYER_SUMMARY: &str = "layers.summary.json";
    /// What was read of traces, for sources that have them.
    pub const TRACES: &str = "traces.json";
    /// The folder of the cube: the log, reduced to sums.
    pub const CUBE: &str = "cube";
    /// The results of inference.
    pub const ANALYSIS: &str = "analysis.json";
    /// The schedule: the ratio of each layer after the decisions.
    pub const SCHEDULE: &str = "schedule.json";
    /// The state of the ramp after the schedule.
    pub const STATE: &str = "state.json";
    /// The checks of the gate.
    pub const GATE_REPORT: &str = "gate_report.json";
    /// The folder of entity tables.
    pub const TABLES: &str = "tables";
    /// The report for a terminal or a pull request, in Markdown.
    pub const REPORT_MD: &str = "report.md";
    /// The report for a browser, in HTML.
    pub const REPORT_HTML: &str = "report.html";
    /// The manifest: digests of all files. It is written last.
    pub const MANIFEST: &str = "manifest.json";
    /// Every file and folder of a study.
    pub const ALL: [&str; 15] = [
        DATA,
        STUDY,
        FEATURES,
        LAYERS,
        LAYER_SUMMARY,
        TRACES,
        CUBE,
        ANALYSIS,
        SCHEDULE,
        STATE,
        GATE_REPORT,
        TABLES,
        REPORT_MD,
        REPORT_HTML,
        MANIFEST,
    ];
}

/// The document `manifest.json`: digests of all files of the folder. It is written last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name and version of the document's format.
    pub schema: String,
    /// Version of Sluice that wrote the document.
    pub version: String,
    /// Name of the scenario: the file's name without its extension.
    pub name: String,
    /// The digest of the scenario and of the command line's overrides.
    pub scenario_digest: String,
    /// The seed of all random streams.
    pub seed: u64,
    /// The digest and size of every file, by name.
    pub files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// Reads the manifest of a folder and checks the names of its files.
    ///
    /// # Errors
    /// A manifest that cannot be read, is of another schema, or names a file that [`is_plain_name`] refuses.
    pub fn read(path: &Path) -> Result<Self> {
        let manifest: Self = json::read_document(path)?;
        match manifest.files.keys().find(|name| !is_plain_name(name)) {
            None => Ok(manifest),
            Some(name) => Err(Error::in_file(
                path,
                format!("expected names of files inside of the folder, found {name:?}"),
            )
            .hint("write the folder again: Sluice writes no such name")),
        }
    }
}

/// Whether a name of a document is the plain relative path of a file: components separated by `/`,
/// none of them empty, `.` or `..`, without backslashes and control characters.
pub fn is_plain_name(name: &str) -> bool {
    name.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !name.contains(|c: char| c == '\\' || c.is_control())
}

impl Document for Manifest {
    const SCHEMA: &'static str = "sluice.manifest/1";
}

/// A file of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The SHA-256 digest, as `sha256:<hex>`.
    pub digest: String,
    /// The size in bytes.
    pub n_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::is_plain_name;

    #[test]
    fn names_stay_inside_of_the_folder() {
        for name in [
            "report.md",
            "tables/layer.csv",
            "a..b",
            "层.parquet",
            "cube/0/users.parquet",
        ] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "tables/../../x",
            "a//b",
            "a/",
            "./a",
            "a\\..\\b",
            "a\nb",
            "a\0",
        ] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
