//! The document of `sluice check`.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::traces::Coverage;

/// What a run of a scenario would read.
#[derive(Debug, Clone, Serialize)]
pub struct Checkup {
    /// Version of the document.
    pub schema: &'static str,
    /// Name of the scenario.
    pub scenario: String,
    /// Whether a run can read everything.
    pub is_usable: bool,
    /// What stops a run.
    pub problems: Vec<String>,
    /// What a run would warn of.
    pub warnings: Vec<String>,
    /// The sources, users first.
    pub sources: Vec<SourceCheck>,
}

/// A source of a scenario.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SourceCheck {
    /// `users`, `events`, `traffic`, `shadow` or `outcomes`, with a number behind it if there are several.
    pub source: String,
    /// Last part of the path.
    pub path: String,
    /// Number of files.
    pub n_files: usize,
    /// Formats of the files.
    pub formats: Vec<String>,
    /// Number of rows. `None` if the files do not state it.
    pub n_rows: Option<u64>,
    /// Number of rows that were read.
    pub n_rows_read: u64,
    /// Whether all rows were read.
    pub is_whole: bool,
    /// The columns that Sluice reads from this source.
    pub columns: Vec<ColumnCheck>,
    /// Columns of the files that are not read.
    pub unused_columns: Vec<String>,
    /// First instant of the rows, RFC 3339 in UTC. `None` without times.
    pub first: Option<String>,
    /// Last instant of the rows.
    pub last: Option<String>,
    /// Rows before the start of the plan; traffic only.
    pub n_before_start: u64,
    /// Rows at or after `as_of`.
    pub n_after_as_of: u64,
    /// Rows that cannot be used.
    pub n_bad_rows: u64,
    /// Numbers of those rows by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// The first of those rows.
    pub first_bad_rows: Vec<BadRow>,
    /// Rows of known users and releases; traffic only.
    pub coverage: Option<CoverageCheck>,
    /// What was read of the files; traces only.
    pub traces: Option<Coverage>,
}

/// A column that Sluice reads.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ColumnCheck {
    /// Name of Sluice.
    pub column: String,
    /// Where it comes from: `column NAME`, `constant TEXT`, `expression SQL` or `absent`.
    pub from: String,
    /// Type: `text`, `instant`, `flag`, `number`, `whole number`.
    pub r#type: String,
    /// Unit of the column in the file. Empty if it has none.
    pub unit: String,
    /// Share of rows without a value, 0..=1. `None` for an absent column.
    pub null_share: Option<f64>,
    /// Range, share of true, or the most frequent values; the number of distinct ids.
    pub values: String,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Name of the file.
    pub file: String,
    /// Name of the column in the file.
    pub column: String,
    /// Number of the row, from 1.
    pub row: u64,
    /// The expected value.
    pub expected: String,
    /// The value that was found.
    pub found: String,
}

/// Rows of known users and releases.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CoverageCheck {
    /// Rows between the start of the plan and `as_of`, without shadow and evaluation rows.
    pub n_rows: u64,
    /// Rows whose user is in the source of users.
    pub n_known_user: u64,
    /// Rows of the baseline.
    pub n_baseline: u64,
    /// Rows of the candidate.
    pub n_candidate: u64,
    /// Rows of a known user and one of the two releases.
    pub n_known: u64,
}
