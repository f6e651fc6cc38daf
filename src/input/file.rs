//! The files of a source: search, names and digests.

use arrow_schema::{DataType, Fields};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::url;
use crate::input::format::Format;
use crate::input::ipc::Index;
use crate::input::partition::Partition;
use crate::input::skipped::Skipped;
use crate::input::texts::Wide;
use crate::input::{fetch, nested};

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
    /// Record batches of an Arrow file. `None` for other formats.
    pub(super) ipc: Option<Arc<Index>>,
    /// Columns of the file without a single value, as its writer says.
    pub(super) lacking: Vec<String>,
    /// Columns that the names of the file's folders give.
    pub(crate) partition: Partition,
}

/// Where a file has a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place<'n> {
    /// A column of the file, by its position.
    Column(usize),
    /// A key of the file's partition.
    Partition,
    /// A path into the column of this position.
    Nested(usize, Vec<&'n str>),
}

/// The key of a Parquet file's metadata with the names of columns without a single value, separated by
/// commas. The columns count as missing.
pub(crate) const LACKING: &str = "sluice.lacking";

impl InputFile {
    /// A file whose header has not been read.
    pub(super) fn new(path: PathBuf, format: Format) -> Self {
        Self {
            path,
            format,
            columns: Vec::new(),
            footer: None,
            wide: None,
            ipc: None,
            lacking: Vec::new(),
            partition: Partition::default(),
        }
    }

    /// Finds a column by its name in the file: a column of the file, then a key of its partition,
    /// then a path into a nested column, whose longest name wins. `None` if the file has none.
    pub(crate) fn place<'n>(&self, name: &'n str) -> Option<Place<'n>> {
        let position = |name: &str| self.columns.iter().position(|column| column == name);
        if let Some(idx) = position(name) {
            return Some(Place::Column(idx));
        }
        if self.partition.values.contains_key(name) {
            return Some(Place::Partition);
        }
        let points = name.rmatch_indices('.').map(|(at, _)| at);
        let mut columns = points.filter_map(|at| Some((position(&name[..at])?, &name[at + 1..])));
        let (idx, path) = columns.next()?;
        let path: Vec<&str> = path.split('.').collect();
        let has_path = match self.fields() {
            Some(fields) => nested::has_path(fields[idx].data_type(), &path),
            None => true,
        };
        has_path.then_some(Place::Nested(idx, path))
    }

    /// The fields of a format with types. `None` for text.
    pub(super) fn fields(&self) -> Option<&Fields> {
        match (&self.footer, &self.ipc) {
            (Some(footer), _) => Some(footer.schema().fields()),
            (None, Some(ipc)) => Some(ipc.schema.fields()),
            (None, None) => None,
        }
    }

    /// The numbers of rows of its row groups or record batches. `None` for a file that is read as a
    /// whole.
    pub(super) fn row_groups(&self) -> Option<Vec<u64>> {
        if let Some(ipc) = &self.ipc {
            return ipc.parts().map(Iterator::collect);
        }
        let groups = self.footer.as_ref()?.metadata().row_groups().iter();
        Some(groups.map(|group| group.num_rows().unsigned_abs()).collect())
    }

    /// The names of all columns: those of the file, and the keys of its partition.
    pub(crate) fn names(&self) -> Vec<String> {
        let keys = self
            .partition
            .values
            .keys()
            .filter(|key| !self.columns.contains(key));
        self.columns.iter().chain(keys).cloned().collect()
    }

    /// The types of the file's columns, as its reader gives them.
    #[cfg_attr(not(feature = "frames"), allow(dead_code))]
    pub(super) fn types(&self) -> BTreeMap<String, DataType> {
        let keys = self.partition.values.keys();
        let of_keys = keys.filter_map(|key| Some((key.clone(), self.partition.data_type(key)?.clone())));
        let mut types: BTreeMap<String, DataType> = of_keys.collect();
        match self.fields() {
            Some(fields) => {
                types.extend(
                    fields
                        .iter()
                        .map(|field| (field.name().clone(), field.data_type().clone())),
                );
            }
            None => types.extend(self.columns.iter().map(|name| (name.clone(), DataType::Utf8))),
        }
        types
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
/// folder, or the matches of a glob. A URL, and `-` for standard input, give local copies.
///
/// # Errors
/// The path does not exist, no file matches, or the folder has no readable files.
pub fn find_files(path: &Path) -> Result<Vec<PathBuf>> {
    find(path, without_documents).map(|(files, _)| files)
}

/// Finds files like [`find_files`], with the `.json` files of a folder that lie beside tables.
///
/// # Errors
/// The same as for [`find_files`].
pub(crate) fn find_all_files(path: &Path) -> Result<Vec<PathBuf>> {
    find(path, |files, _| files).map(|(files, _)| files)
}

/// Finds the tables behind a path like [`find_files`], and the files that have other formats. They
/// are left out of the matches of a glob if others are tables.
///
/// # Errors
/// The same as for [`find_files`], and files of other formats alone.
pub(super) fn find_tables(path: &Path) -> Result<(Vec<(PathBuf, Format)>, Skipped)> {
    let (files, mut skipped) = find(path, without_documents)?;
    let files = without_documents(files, &mut skipped);
    let mut tables = Vec::new();
    let mut wrong = None;
    for file in files {
        match Format::of_input(&file) {
            Ok(format) => tables.push((file, format)),
            Err(error) => {
                skipped.add(&file);
                wrong = wrong.or(Some(error));
            }
        }
    }
    match wrong {
        Some(error) if tables.is_empty() => Err(error),
        _ => Ok((tables, skipped)),
    }
}

/// Leaves out `.json` files beside tables of other formats: they are documents about the tables.
fn without_documents(files: Vec<PathBuf>, skipped: &mut Skipped) -> Vec<PathBuf> {
    let is_document = |file: &PathBuf| matches!(Format::by_path(file), Some(Format::Json { .. }));
    let is_table = |file: &PathBuf| Format::by_path(file).is_some() && !is_document(file);
    if !files.iter().any(is_table) {
        return files;
    }
    let (documents, tables): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(is_document);
    documents.iter().for_each(|file| skipped.add(file));
    tables
}

/// Finds files. `choose` chooses among those of a folder.
fn find(
    path: &Path,
    choose: fn(Vec<PathBuf>, &mut Skipped) -> Vec<PathBuf>,
) -> Result<(Vec<PathBuf>, Skipped)> {
    let mut skipped = Skipped::default();
    if url::is_url(path) || path == Path::new(fetch::STDIN) {
        return Ok((fetch::fetch(path)?, skipped));
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
                } else {
                    skipped.add(&entry);
                }
            }
        }
        files.sort();
        let files = choose(files, &mut skipped);
        if files.is_empty() {
            let found = skipped
                .warning("found none")
                .unwrap_or_else(|| "found none".to_owned());
            return Err(Error::input(
                location(),
                format!("expected Parquet, Arrow, CSV or JSON files in the folder, {found}"),
            ));
        }
        return Ok((files, skipped));
    }
    if path.exists() {
        return Ok((vec![path.to_owned()], skipped));
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
            return Ok((files, skipped));
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
