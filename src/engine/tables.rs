//! The tables of a log that an engine reads itself.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::base::error::{Error, Result};
use crate::engine::path::absolute;
use crate::input::Format;
use crate::scenario::Source;

/// The start of the path of a source that is a table of a catalog.
pub(super) const CATALOG: &str = "catalog://";

/// A table of the log, as the driver opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTable {
    /// Name in a catalog of the engine. `None` for files.
    table: Option<String>,
    /// Path of Parquet files. `None` for a table of a catalog.
    path: Option<PathBuf>,
    /// The columns that the tasks need. Empty until they are known.
    pub columns: Vec<String>,
    /// The name of the source in the cube.
    pub name: String,
}

impl LogTable {
    /// The path or the name of the table, for messages.
    pub(super) fn place(&self) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        path.unwrap_or_else(|| format!("{CATALOG}{}", self.name))
    }

    /// A name for a file of rows of this table, for messages.
    pub(super) fn file_name(&self) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let plain = self.name.trim_start_matches('.').chars();
        let plain: String = plain
            .map(|c| if is_plain(c) { c } else { '_' })
            .take(100)
            .collect();
        format!("{plain}.arrow")
    }
}

/// The tables of the sources of a log.
///
/// # Errors
/// When a source has something that only files have, or is in another format than Parquet.
pub(super) fn log_tables(sources: &[Source]) -> Result<Vec<LogTable>> {
    sources.iter().map(log_table).collect()
}

fn log_table(source: &Source) -> Result<LogTable> {
    let path = source.path.display();
    let refused = |what: &str| {
        let message = format!("{path}: expected {what} with --scan engine");
        Err(Error::usage(message).hint("let the tasks read files: --scan native"))
    };
    if source.latest_until.is_some() {
        return refused("no folders of days");
    }
    if source.constants.values().any(|text| text.contains("{row}")) {
        return refused("no constant with {row}, because rows of a table have no number");
    }
    let text = source.path.to_string_lossy();
    let (table, path) = match text.strip_prefix(CATALOG) {
        Some("") => return refused("the name of a table after catalog://"),
        Some(table) => (Some(table.to_owned()), None),
        None => match Format::by_path(&source.path) {
            None | Some(Format::Parquet) => (None, Some(absolute(&source.path)?)),
            Some(_) => return refused("Parquet files or catalog://TABLE"),
        },
    };
    Ok(LogTable {
        name: table.clone().unwrap_or_else(|| source.name()),
        table,
        path,
        columns: Vec::new(),
    })
}
