//! Tables: the files of a source, and their parts that can be read in parallel.

use arrow_array::ArrayRef;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

use crate::base::error::{Error, Problem, Result};
use crate::base::similar::nearest;
use crate::base::{advice, at_work, digest};
use crate::input::batch::Batch;
use crate::input::file::{InputFile, Place, SourceFile, find_tables};
use crate::input::format::Format;
use crate::input::skipped::Skipped;
use crate::input::want::Want;
use crate::input::{derived, fetch, nested, partition, reader};
use crate::scenario::Source;

/// A part of a source that is read on its own: a row group of Parquet, a record batch of Arrow, or a
/// whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the file in the table's files.
    pub file_idx: usize,
    /// Index of the row group or record batch. `None` for a whole file.
    pub row_group: Option<usize>,
    /// Number of the part's first row in its file, from 0.
    pub first_row: u64,
    /// Number of rows of the part. `None` if the format does not state it in advance.
    pub n_rows: Option<u64>,
}

/// A source whose files have been found and whose headers have been read.
#[derive(Debug, Clone)]
pub struct Table {
    /// The source as the scenario defines it.
    pub source: Source,
    /// Files in name order.
    pub files: Vec<InputFile>,
    /// Parts in the order of files and rows.
    pub parts: Vec<Part>,
    /// Files below the source that are not read.
    skipped: Skipped,
    /// Columns whose nested values in JSON files are read as their JSON texts.
    as_json: &'static [&'static str],
}

impl Table {
    /// Finds the files of a source and reads their headers.
    ///
    /// # Errors
    /// There is no file, a file has an unknown format, or a header cannot be read.
    pub(super) fn open_files(source: &Source) -> Result<Self> {
        if let Some(traces) = &source.traces {
            let error = Error::in_file(
                &source.path,
                format!(
                    "expected a table, found {}, which says that it has traces",
                    traces.key
                ),
            );
            return Err(error.hint("make a table of them first: sluice import PATH --out turns.parquet"));
        }
        let (tables, skipped) = find_tables(&source.path)?;
        let partitions = partition::partitions(source, tables.iter().map(|(path, _)| path));
        let is_selected = partition::selected(source, &partitions)?;
        let mut found: Vec<_> = tables.into_iter().zip(partitions).zip(is_selected).collect();
        found.retain(|(_, is_selected)| *is_selected);
        // Files that cannot match are not opened. One stays, because it has the columns.
        let can_match: Vec<bool> = found
            .iter()
            .map(|((_, partition), _)| derived::can_match(source, partition))
            .collect();
        let keeps_first = !can_match.contains(&true);
        let mut files = Vec::new();
        for (idx, (((path, format), partition), _)) in found.into_iter().enumerate() {
            if !(can_match[idx] || keeps_first && idx == 0) {
                continue;
            }
            let format = format.with_signs(source.delimiter, source.quote);
            at_work::note(&path);
            files.push(InputFile {
                partition,
                ..reader::open(path, format)?
            });
        }
        Self::from_files(source, files, skipped)
    }

    /// Opens one Parquet file. Its name may have any extension.
    ///
    /// # Errors
    /// The header cannot be read.
    pub fn from_parquet(path: &Path) -> Result<Self> {
        Self::from_file(&Source::at(path), path)
    }

    /// Opens one Parquet file with the columns of a source.
    ///
    /// # Errors
    /// The header cannot be read.
    pub(super) fn from_file(source: &Source, path: &Path) -> Result<Self> {
        at_work::note(path);
        let file = reader::open(path.to_owned(), Format::Parquet)?;
        Self::from_files(source, vec![file], Skipped::default())
    }

    fn from_files(source: &Source, files: Vec<InputFile>, skipped: Skipped) -> Result<Self> {
        let mut parts = Vec::new();
        for (file_idx, file) in files.iter().enumerate() {
            let Some(row_groups) = file.row_groups() else {
                parts.push(Part {
                    file_idx,
                    row_group: None,
                    first_row: 0,
                    n_rows: None,
                });
                continue;
            };
            let mut first_row = 0;
            for (row_group, n_rows) in row_groups.into_iter().enumerate() {
                parts.push(Part {
                    file_idx,
                    row_group: Some(row_group),
                    first_row,
                    n_rows: Some(n_rows),
                });
                first_row += n_rows;
            }
        }
        if source.filter.is_some() {
            // The number of rows that the filter keeps is not known in advance.
            parts.iter_mut().for_each(|part| part.n_rows = None);
        }
        let table = Self {
            source: source.clone(),
            files,
            parts,
            skipped,
            as_json: &[],
        };
        if source.has_expressions() {
            derived::check(&table.source, &table.files)?;
        }
        Ok(table)
    }

    /// Computes the BLAKE3 digests of all files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digests(&self) -> Result<Vec<SourceFile>> {
        let root = self.source.path.as_path();
        let digest = |file: &InputFile| {
            let copied = fetch::name_below(&file.path);
            let name = match (&copied, file.path.strip_prefix(root)) {
                (Some(name), _) => name,
                (None, Ok(below)) if !below.as_os_str().is_empty() => below,
                _ => file.path.file_name().map_or(file.path.as_path(), Path::new),
            };
            Ok(SourceFile {
                name: name.display().to_string(),
                digest: digest::blake3_of_file(&file.path)?,
            })
        };
        self.files.par_iter().map(digest).collect()
    }

    /// Returns the number of rows of all parts. `None` if a format does not state it in advance.
    pub fn n_rows(&self) -> Option<u64> {
        self.parts.iter().map(|part| part.n_rows).sum()
    }

    /// Reads whole columns of a part, also nested ones, by their names in the file. All of them are
    /// there. `on_arrays` gets the columns and the number of rows.
    ///
    /// # Errors
    /// The file cannot be read, or `on_arrays` fails.
    pub(crate) fn read_whole(
        &self,
        part: Part,
        names: &[&str],
        on_arrays: &mut dyn FnMut(Vec<ArrayRef>, usize) -> Result<()>,
    ) -> Result<()> {
        let file = &self.files[part.file_idx];
        at_work::note(&file.path);
        let wants: Vec<Want<'_>> = names.iter().map(|name| Want { name, nested: true }).collect();
        reader::read(file, part.row_group, &wants, on_arrays)
    }

    /// Returns the name of a canonical column in the files.
    pub fn name_in_file<'a>(&'a self, canonical: &'a str) -> &'a str {
        self.source
            .columns
            .get(canonical)
            .map_or(canonical, String::as_str)
    }

    /// The columns of the files that [`Self::read`] reads for canonical columns, each once: whole ones,
    /// and those with nested values. Expressions read some too.
    ///
    /// # Errors
    /// An expression cannot be computed.
    pub(crate) fn columns_read(&self, wanted: &[&str]) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for file in &self.files {
            let plain = wanted.iter().filter(|canonical| !self.source.is_made(canonical));
            for canonical in plain {
                match file.place(self.name_in_file(canonical)) {
                    Some(Place::Column(idx) | Place::Nested(idx, _)) => {
                        names.insert(file.columns[idx].clone());
                    }
                    Some(Place::Partition) | None => {}
                }
            }
            if self.source.has_expressions() {
                let derived = derived::Reading::new(&self.source, file, wanted)?;
                names.extend(derived.inputs().map(|want| want.name.to_owned()));
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Reads nested values of these columns of JSON files as JSON texts. Without it they are errors.
    pub(crate) fn with_json(mut self, columns: &'static [&'static str]) -> Self {
        self.as_json = columns;
        self
    }

    /// Whether any file has a canonical column, or the source defines it as a constant.
    pub fn has(&self, canonical: &str) -> bool {
        let name = self.name_in_file(canonical);
        let has = |file: &InputFile| {
            file.place(name).is_some() && !file.lacking.iter().any(|lacking| lacking == name)
        };
        self.source.is_made(canonical) || self.files.iter().any(has)
    }

    /// Checks the columns of the files. Every file has the required columns and the renamed columns.
    /// No file has a column that the source declares absent.
    ///
    /// # Errors
    /// A file differs. The error names the file, the column and the columns that it has.
    pub fn check_columns(&self, required: &[&str]) -> Result<()> {
        for file in &self.files {
            let renamed = self.source.columns.keys().map(String::as_str);
            for canonical in required
                .iter()
                .copied()
                .filter(|c| !self.source.is_made(c))
                .chain(renamed)
            {
                if file.place(self.name_in_file(canonical)).is_none() {
                    return Err(self.no_column(file, canonical));
                }
            }
            if let Some(name) = self.source.absent.iter().find(|name| file.names().contains(name)) {
                return Err(Error::in_file(
                    &file.path,
                    format!("expected no column `{name}`, which is declared absent, found one"),
                )
                .hint(format!(
                    "remove the name from {}",
                    advice::either("`absent`", "--absent").unwrap_or_default()
                )));
            }
        }
        Ok(())
    }

    fn no_column(&self, file: &InputFile, canonical: &str) -> Error {
        let name = self.name_in_file(canonical);
        let names = file.names();
        let message = format!("expected a column `{name}`, found {}", names_text(&names));
        let near = nearest(name, names.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        if self.source.from_command_line.contains(canonical) {
            let message = format!("--column {canonical}={name}: {}: {message}", file.path.display());
            let error = Error::usage(message);
            return if near.is_empty() {
                error
            } else {
                error.hint(near.trim_end())
            };
        }
        let hint = format!("{near}{}", advice::rename(canonical));
        let error = Error::in_file(&file.path, message);
        match hint.trim_end() {
            "" => error,
            hint => error.hint(hint),
        }
    }

    /// Checks that every name that the source renames or makes constant is a name of Sluice.
    ///
    /// # Errors
    /// A name is not known. The error is one of the command line or of the scenario.
    pub(crate) fn check_names<'a>(&self, known: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let source = &self.source;
        // A derived column that only other expressions read may have any name.
        let derived = source
            .derive
            .iter()
            .filter(|(name, expression)| !expression.is_canonical && !source.uses(name));
        let made = source.constants.keys().chain(derived.map(|(name, _)| name));
        let mut names = source.columns.keys().chain(made);
        let Some(name) = names.find(|name| !known.clone().any(|other| other == *name)) else {
            return Ok(());
        };
        let message = format!("expected the name of a column that Sluice reads, found `{name}`");
        let hint = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("names here: {}", known.collect::<Vec<_>>().join(", ")),
        };
        let path = source.path.display();
        Err(if source.from_command_line.contains(name) {
            let option = match source.derive.get(name) {
                Some(expression) => expression.key.clone(),
                None => format!("--column {name}={}", self.name_in_file(name)),
            };
            Error::usage(format!("{option}: {message}")).hint(hint)
        } else {
            let key = if source.columns.contains_key(name) {
                "columns"
            } else if source.derive.contains_key(name) {
                "derive"
            } else {
                "constants"
            };
            Error::scenario(vec![
                Problem::new(format!("{path}: {key}.{name}"), message).hint(hint),
            ])
        })
    }

    /// Returns a warning for each column that has a name of Sluice in the files and is not read,
    /// because the source takes this name from another column or a constant.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let source = &self.source;
        let is_read = |name: &String| {
            self.name_in_file(name) == name && !source.is_made(name)
                || source.columns.values().any(|column| column == name)
        };
        let hidden = source
            .columns
            .keys()
            .chain(source.constants.keys())
            .chain(source.derive.keys())
            .filter(|name| !is_read(name) && self.files.iter().any(|file| file.names().contains(name)))
            .map(|name| {
                let other = match (source.constants.get(name), source.derive.get(name)) {
                    (Some(text), _) => format!("the constant \"{text}\""),
                    (_, Some(expression)) => format!("the expression \"{}\"", expression.text),
                    _ => format!("the column `{}`", self.name_in_file(name)),
                };
                format!(
                    "{}: the column `{name}` is not read, because {other} is `{name}`",
                    source.name()
                )
            });
        let keys = self.files.iter().flat_map(|file| {
            let of_both = |key: &&String| file.columns.contains(key);
            file.partition.values.keys().filter(of_both)
        });
        let keys: BTreeSet<&String> = keys.collect();
        let keys = keys.into_iter().map(|key| {
            format!(
                "{}: the folders `{key}=` are not used, because files have a column `{key}`",
                source.name()
            )
        });
        hidden
            .chain(keys)
            .chain(self.skipped.warning(&source.name()))
            .chain(fetch::warnings(&source.path))
            .collect()
    }

    /// Reads one part, batch by batch. `wanted` names canonical columns. Columns that the file does
    /// not have are `None` in the batch.
    ///
    /// # Errors
    /// The file cannot be read to its end, it has two columns of one name, or `on_batch` fails.
    pub fn read(
        &self,
        part: Part,
        wanted: &[&str],
        on_batch: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let file = &self.files[part.file_idx];
        at_work::note(&file.path);
        let mut columns: Vec<Plain<'_>> = Vec::new();
        for (idx, canonical) in wanted.iter().enumerate() {
            let name = self.name_in_file(canonical);
            match file.place(name).filter(|_| !self.source.is_made(canonical)) {
                Some(Place::Nested(_, path)) => columns.push(Plain {
                    idx,
                    name,
                    path,
                    as_json: false,
                }),
                Some(_) => columns.push(Plain {
                    idx,
                    name,
                    path: Vec::new(),
                    as_json: self.as_json.contains(canonical),
                }),
                None => {}
            }
        }
        let derived = if self.source.has_expressions() {
            Some(derived::Reading::new(&self.source, file, wanted)?)
        } else {
            None
        };
        let mut wants: Vec<Want<'_>> = columns.iter().map(Plain::want).collect();
        let inputs: Vec<usize> = derived
            .iter()
            .flat_map(derived::Reading::inputs)
            .map(|want| position_or_push(&mut wants, want))
            .collect();
        let n_columns = |name: &str| file.columns.iter().filter(|column| *column == name).count();
        if let Some(want) = wants.iter().find(|want| n_columns(want.name) > 1) {
            return Err(Error::in_file(
                &file.path,
                format!("expected one column `{}`, found several", want.name),
            ));
        }
        let mut first_row = part.first_row;
        reader::read(file, part.row_group, &wants, &mut |mut arrays, n_rows| {
            let mut batch = Batch::new(&file.path, first_row, n_rows, wanted.len());
            first_row += n_rows as u64;
            for (column, array) in columns.iter().zip(&mut arrays) {
                column.follow(array, &batch)?;
            }
            match &derived {
                None => {
                    for (column, array) in columns.iter().zip(arrays) {
                        batch.set(column.idx, column.name, array);
                    }
                }
                Some(derived) => {
                    let inputs = inputs.iter().map(|idx| &arrays[*idx]);
                    let plain = columns
                        .iter()
                        .zip(&arrays)
                        .map(|(column, array)| (column.idx, column.name, array));
                    derived.fill(&mut batch, inputs, plain)?;
                }
            }
            for (idx, canonical) in wanted.iter().enumerate() {
                if let Some(unit) = self.source.units.get(*canonical) {
                    batch.set_unit(idx, unit);
                }
            }
            for (idx, canonical) in wanted.iter().enumerate() {
                if let Some(template) = self.source.constants.get(*canonical) {
                    batch.set_constant(idx, canonical, template);
                }
            }
            on_batch(batch)
        })
    }
}

/// A column of a batch that is a column of the file, a key of its partition, or a value within one.
struct Plain<'a> {
    /// Index in the batch.
    idx: usize,
    /// Name in the file.
    name: &'a str,
    /// The end of the name that leads into a nested column. Empty for a whole column.
    path: Vec<&'a str>,
    /// Whether nested values of JSON files are read as their JSON texts.
    as_json: bool,
}

impl<'a> Plain<'a> {
    fn want(&self) -> Want<'a> {
        let n_path: usize = self.path.iter().map(|step| step.len() + 1).sum();
        Want {
            name: &self.name[..self.name.len() - n_path],
            nested: self.as_json || !self.path.is_empty(),
        }
    }

    /// Replaces a nested column by its values at the path.
    fn follow(&self, array: &mut ArrayRef, batch: &Batch<'_>) -> Result<()> {
        if self.path.is_empty() {
            return Ok(());
        }
        let found = nested::values_at(array, &self.path);
        *array = found.map_err(|problem| match problem.row {
            Some(row) => Error::input(batch.location(self.name, row), problem.message),
            None => Error::input(
                format!("{}: column `{}`", batch.path.display(), self.name),
                problem.message,
            ),
        })?;
        Ok(())
    }
}

/// The position of a request in a list, to which it is added if it is new.
fn position_or_push<'a>(wants: &mut Vec<Want<'a>>, want: Want<'a>) -> usize {
    wants.iter().position(|other| *other == want).unwrap_or_else(|| {
        wants.push(want);
        wants.len() - 1
    })
}

/// The largest number of names in a message.
const MAX_NAMES: usize = 20;

/// Returns the names of columns for a message.
pub(crate) fn names_text(names: &[String]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(MAX_NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > MAX_NAMES {
        shown.push(format!("and {} more", names.len() - MAX_NAMES));
    }
    shown.join(", ")
}
