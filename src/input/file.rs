//! The files of a source: search, names and digests.

use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result};
use crate::base::url;
use crate::input::fetch;
use crate::input::format::Format;
use crate::input::texts::Wide;

/// One file of a source.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Path of the file. For a URL it is the path of the local copy.
    pub path: PathBuf,
    /// Format of the file.
    pub format: Format,
    /// Names of the columns of the file, in their order.
    pub columns: Vec<String>,
    /// Footer of a Parquet file, read once for all row groups. `None` for other formats.
    pub(crate) footer: Option<ArrowReaderMetadata>,
    /// Whole numbers of 128 bits in columns without annotation of a Parquet file.
    pub(super) wide: Option<Wide>,
}

impl InputFile {
    /// The types of the file's columns, as its reader gives them.
    pub(super) fn types(&self) -> BTreeMap<String, DataType> {
        match &self.footer {
            Some(footer) => {
                let fields = footer.schema().fields().iter();
                fields
                    .map(|field| (field.name().clone(), field.data_type().clone()))
                    .collect()
            }
            None => self
                .columns
                .iter()
                .map(|name| (name.clone(), DataType::Utf8))
                .collect(),
        }
    }
}

/// An input file with its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceFile {
    /// Name of the file below its source. It does not depend on the source's location.
    pub name: String,
    /// Digest of the content: `blake3:<hex>` or `sha256:<hex>`.
    pub digest: String,
}

/// Finds the files behind a path, sorted by name: the file itself, all readable files below a
/// folder, or the matches of a glob. A URL gives local copies of its objects.
///
/// # Errors
/// The path does not exist, no file matches, or the folder has no readable files.
pub fn find_files(path: &Path) -> Result<Vec<PathBuf>> {
    if url::is_url(path) {
        return fetch::fetch(path);
    }
    let location = || path.display().to_string();
    if path.is_dir() {
        let mut files = Vec::new();
        let mut todo = vec![path.to_owned()];
        // Links can form circles, so every folder is read only once.
        let mut seen = BTreeSet::new();
        while let Some(folder) = todo.pop() {
            if !seen.insert(fs::canonicalize(&folder).or_unreadable(&folder)?) {
                continue;
            }
            for entry in fs::read_dir(&folder).or_unreadable(&folder)? {
                let entry = entry.or_unreadable(&folder)?.path();
                if is_hidden(&entry) {
                    continue;
                }
                if entry.is_dir() {
                    todo.push(entry);
                } else if Format::by_path(&entry).is_some() {
                    files.push(entry);
                }
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(Error::input(
                location(),
                "expected Parquet, CSV or NDJSON files in the folder, found none",
            ));
        }
        return Ok(files);
    }
    if path.exists() {
        return Ok(vec![path.to_owned()]);
    }
    let pattern = path.to_string_lossy();
    if pattern.contains(['*', '?', '[']) {
        let matches = glob::glob(&pattern)
            .map_err(|error| Error::input(location(), format!("expected a glob, found: {error}")))?;
        let mut files: Vec<PathBuf> = matches
            .filter_map(std::result::Result::ok)
            .filter(|p| p.is_file())
            .collect();
        files.sort();
        if !files.is_empty() {
            return Ok(files);
        }
        return Err(Error::input(location(), "expected files that match, found none"));
    }
    Err(Error::input(
        location(),
        "expected a file, a folder or a glob, found no such file",
    ))
}

pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}
