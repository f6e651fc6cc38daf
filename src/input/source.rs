//! From a scenario's source to files, and from files to parts that can be read at the same time.

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::base::error::{Error, Result};
use crate::base::{objects, output};
use crate::input::batch::Batch;
use crate::input::format::Format;
use crate::input::reader;
use crate::scenario::Source;

/// One file of a source.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// Its column names, in order.
    pub columns: Vec<String>,
    /// The footer of a Parquet file, read once for all its row groups.
    pub(crate) footer: Option<ArrowReaderMetadata>,
}

/// An input file and its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceFile {
    /// Name below its source: the same wherever the data lies.
    pub name: String,
    /// `blake3:<hex>`.
    pub digest: String,
}

/// A piece of a source that is read on its own: a Parquet row group, or a whole file of another format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which file.
    pub file_idx: usize,
    /// Which row group; `None` for the whole file.
    pub row_group: Option<usize>,
    /// Number of the part's first row in its file, from 0.
    pub first_row: u64,
    /// Rows in the part, where the format says so beforehand.
    pub n_rows: Option<u64>,
}

/// A source whose files have been found and opened once.
#[derive(Debug, Clone)]
pub struct Table {
    /// What the scenario says of it.
    pub source: Source,
    /// Its files, in name order.
    pub files: Vec<InputFile>,
    /// Its parts, in file and row order.
    pub parts: Vec<Part>,
}

impl Table {
    /// Finds the files of a source and reads their headers.
    ///
    /// # Errors
    /// No file, a file of an unknown format, or one whose header cannot be read.
    pub fn open(source: &Source) -> Result<Self> {
        let mut found = Vec::new();
        for path in find_files(&source.path)? {
            let Some(format) = Format::of(&path) else {
                return Err(Error::input(
                    path.display().to_string(),
                    "expected a name ending in .parquet, .csv, .csv.gz, .ndjson, .jsonl or their .gz, found another",
                ));
            };
            found.push((path, format));
        }
        Self::of_files(source, found)
    }

    /// One Parquet file, whatever its name.
    ///
    /// # Errors
    /// One whose header cannot be read.
    pub fn of_parquet(path: &Path) -> Result<Self> {
        let source = Source {
            path: path.to_owned(),
            columns: BTreeMap::new(),
            constants: BTreeMap::new(),
        };
        Self::of_files(&source, vec![(path.to_owned(), Format::Parquet)])
    }

    fn of_files(source: &Source, found: Vec<(PathBuf, Format)>) -> Result<Self> {
        let mut files = Vec::new();
        let mut parts = Vec::new();
        for (file_idx, (path, format)) in found.into_iter().enumerate() {
            let header = reader::read_header(&path, format)?;
            match &header.footer {
                Some(footer) => {
                    let mut first_row = 0;
                    let row_groups = footer
                        .metadata()
                        .row_groups()
                        .iter()
                        .map(|group| group.num_rows().unsigned_abs());
                    for (row_group, n_rows) in row_groups.enumerate() {
                        parts.push(Part {
                            file_idx,
                            row_group: Some(row_group),
                            first_row,
                            n_rows: Some(n_rows),
                        });
                        first_row += n_rows;
                    }
                }
                None => parts.push(Part {
                    file_idx,
                    row_group: None,
                    first_row: 0,
                    n_rows: None,
                }),
            }
            files.push(InputFile {
                path,
                format,
                columns: header.columns,
                footer: header.footer,
            });
        }
        Ok(Self {
            source: source.clone(),
            files,
            parts,
        })
    }

    /// The digests of all files.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn digests(&self) -> Result<Vec<SourceFile>> {
        let fetched = objects::local_root(&self.source.path);
        let root = fetched.as_deref().unwrap_or(&self.source.path);
        let digest = |file: &InputFile| {
            let name = match file.path.strip_prefix(root) {
                Ok(below) if !below.as_os_str().is_empty() => below,
                _ => file.path.file_name().map_or(file.path.as_path(), Path::new),
            };
            Ok(SourceFile {
                name: name.display().to_string(),
                digest: output::blake3_of_file(&file.path)?,
            })
        };
        self.files.par_iter().map(digest).collect()
    }

    /// Rows of all parts, if every format says so beforehand.
    pub fn n_rows(&self) -> Option<u64> {
        self.parts.iter().map(|part| part.n_rows).sum()
    }

    /// The name a canonical column has in the files.
    pub fn name_in_file<'a>(&'a self, canonical: &'a str) -> &'a str {
        self.source
            .columns
            .get(canonical)
            .map_or(canonical, String::as_str)
    }

    /// Whether a canonical column is there: in the first file, or as a constant.
    pub fn has(&self, canonical: &str) -> bool {
        let name = self.name_in_file(canonical);
        self.source.constants.contains_key(canonical)
            || self
                .files
                .iter()
                .any(|file| file.columns.iter().any(|c| c == name))
    }

    /// Refuses a source without a required column, or with a renamed column that no file has.
    ///
    /// # Errors
    /// Names the file, what it lacks and what it has.
    pub fn check_columns(&self, required: &[&str]) -> Result<()> {
        for file in &self.files {
            let renamed = self.source.columns.keys().map(String::as_str);
            for canonical in required
                .iter()
                .copied()
                .filter(|c| !self.source.constants.contains_key(*c))
                .chain(renamed)
            {
                let name = self.name_in_file(canonical);
                if !file.columns.iter().any(|column| column == name) {
                    let found = file
                        .columns
                        .iter()
                        .map(|c| format!("`{c}`"))
                        .collect::<Vec<_>>()
                        .join(", ");
                    return Err(Error::input(file.path.display().to_string(), format!("expected a column `{name}`, found {found}"))
                        .hint(format!("if the column has another name, say so in the scenario: columns.{canonical} = \"...\"")));
                }
            }
        }
        Ok(())
    }

    /// Reads one part, batch by batch. `wanted` are canonical columns; those that are not there come as `None`.
    ///
    /// # Errors
    /// A file that cannot be read to its end, or whatever `on_batch` returns.
    pub fn read(
        &self,
        part: Part,
        wanted: &[&str],
        on_batch: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let file = &self.files[part.file_idx];
        let mut columns: Vec<(usize, String)> = Vec::new();
        for (idx, canonical) in wanted.iter().enumerate() {
            let name = self.name_in_file(canonical);
            if !self.source.constants.contains_key(*canonical)
                && file.columns.iter().any(|column| column == name)
            {
                if file.columns.iter().filter(|column| *column == name).count() > 1 {
                    return Err(Error::input(
                        file.path.display().to_string(),
                        format!("expected one column `{name}`, found several"),
                    ));
                }
                columns.push((idx, name.to_owned()));
            }
        }
        let names: Vec<&str> = columns.iter().map(|(_, name)| name.as_str()).collect();
        let mut first_row = part.first_row;
        reader::read(file, part.row_group, &names, &mut |arrays, n_rows| {
            let mut batch = Batch::new(&file.path, first_row, n_rows, wanted.len());
            for ((idx, name), array) in columns.iter().zip(arrays) {
                batch.set(*idx, name, array);
            }
            for (idx, canonical) in wanted.iter().enumerate() {
                if let Some(template) = self.source.constants.get(*canonical) {
                    batch.set_constant(idx, canonical, template);
                }
            }
            first_row += n_rows as u64;
            on_batch(batch)
        })
    }
}

/// The files behind a path: itself, all readable files below a folder, or the matches of a glob; sorted by name. Of a URL, local copies.
///
/// # Errors
/// Nothing there, or a folder without readable files.
pub fn find_files(path: &Path) -> Result<Vec<PathBuf>> {
    if objects::is_url(path) {
        return objects::fetch(path);
    }
    let place = || path.display().to_string();
    if path.is_dir() {
        let mut files = Vec::new();
        let mut todo = vec![path.to_owned()];
        // Links may lead in circles; every folder is read once.
        let mut seen = BTreeSet::new();
        while let Some(folder) = todo.pop() {
            if !seen.insert(fs::canonicalize(&folder).map_err(|error| Error::read(&folder, &error))?) {
                continue;
            }
            for entry in fs::read_dir(&folder).map_err(|error| Error::read(&folder, &error))? {
                let entry = entry.map_err(|error| Error::read(&folder, &error))?.path();
                if is_hidden(&entry) {
                    continue;
                }
                if entry.is_dir() {
                    todo.push(entry);
                } else if Format::of(&entry).is_some() {
                    files.push(entry);
                }
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(Error::input(
                place(),
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
            .map_err(|error| Error::input(place(), format!("expected a glob, found: {error}")))?;
        let mut files: Vec<PathBuf> = matches
            .filter_map(std::result::Result::ok)
            .filter(|p| p.is_file())
            .collect();
        files.sort();
        if !files.is_empty() {
            return Ok(files);
        }
        return Err(Error::input(place(), "expected files that match, found none"));
    }
    Err(Error::input(
        place(),
        "expected a file, a folder or a glob, found nothing there",
    ))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}
