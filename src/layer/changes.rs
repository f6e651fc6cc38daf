//! The rows that changed between two nights, and the files of them.

use arrow_array::{BooleanArray, RecordBatchReader};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::parquet_io::{guard, open_batches, read_footer};
use crate::base::{bitmap, digest, files, open, parquet_io};

const BATCH_ROWS: usize = 65_536;

/// The rows of the current night whose users are new, or changed their layer or consent. A store
/// must update these users.
#[derive(Debug, Default)]
pub struct Changed {
    pub(super) rows: RowSet,
    /// The rows of the previous night whose users are gone.
    pub(super) gone: RowSet,
}

/// A set of rows of a table.
#[derive(Debug, Default)]
pub(super) struct RowSet {
    pub(super) words: Vec<u64>,
}

impl RowSet {
    /// Adds a row.
    pub(super) fn mark(&mut self, row: u64) {
        let word = (row / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        bitmap::set(&mut self.words, row as usize);
    }

    fn holds(&self, row: u64) -> bool {
        self.words
            .get((row / 64) as usize)
            .is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

/// The keys of a file of changes that name the digests of the table that it starts from, and of the
/// table that it leads to.
const BASE: &str = "sluice.base";
const TABLE: &str = "sluice.table";

/// Writes the changed rows of a layer table, with all its columns, and the digests of the previous
/// night's table and of this one.
///
/// # Errors
/// When a table cannot be read or the file cannot be written. An existing file is then unchanged.
pub fn write_changed(previous: &Path, table: &Path, changed: &Changed, path: &Path) -> Result<()> {
    let digests = [
        (BASE.to_owned(), digest::blake3_of_file(previous)?),
        (TABLE.to_owned(), digest::blake3_of_file(table)?),
    ];
    write_rows(table, &changed.rows, path, digests.into())
}

/// Writes the rows of the previous night's table whose users are gone, with all its columns.
///
/// # Errors
/// As [`write_changed`].
#[cfg(feature = "stores")]
pub(crate) fn write_gone(previous: &Path, changed: &Changed, path: &Path) -> Result<()> {
    write_rows(previous, &changed.gone, path, HashMap::new())
}

/// The digests of the tables that a file of changes starts from and leads to.
///
/// # Errors
/// When the file cannot be read, or names none.
pub(crate) fn digests_of_changes(path: &Path) -> Result<(String, String)> {
    let file = open::regular(path).or_unreadable(path)?;
    let footer = read_footer(path, &file, ArrowReaderOptions::new())?;
    let named = footer.schema().metadata();
    match (named.get(BASE), named.get(TABLE)) {
        (Some(base), Some(table)) => Ok((base.clone(), table.clone())),
        _ => Err(Error::in_file(
            path,
            "expected the changes between two layer tables, found a file that names none",
        )
        .hint("write it with `sluice layer --previous LAST --changes FILE`")),
    }
}

fn write_rows(table: &Path, rows: &RowSet, path: &Path, metadata: HashMap<String, String>) -> Result<()> {
    let file = open::regular(table).or_unreadable(table)?;
    let footer = read_footer(table, &file, ArrowReaderOptions::new())?;
    let mut reader = open_batches(table, &footer, None, &|_| true)?;
    let schema = Arc::new(reader.schema().as_ref().clone().with_metadata(metadata));
    let unusable = |error: &dyn std::fmt::Display| {
        Error::in_file(table, format!("expected readable rows, found: {error}"))
    };
    files::write_file(path, |file| {
        let mut writer = parquet_io::BatchWriter::new(path, file, &schema)?;
        let (mut first, mut gathered, mut n_gathered) = (0, Vec::new(), 0);
        while let Some(batch) = guard(table, || reader.next().transpose())? {
            let keep: BooleanArray = (first..first + batch.num_rows() as u64)
                .map(|row| Some(rows.holds(row)))
                .collect();
            first += batch.num_rows() as u64;
            let kept = filter_record_batch(&batch, &keep).map_err(|error| unusable(&error))?;
            n_gathered += kept.num_rows();
            gathered.push(kept);
            if n_gathered >= BATCH_ROWS {
                writer.write(&concat_batches(&schema, &gathered).map_err(|error| unusable(&error))?)?;
                (gathered, n_gathered) = (Vec::new(), 0);
            }
        }
        if n_gathered > 0 {
            writer.write(&concat_batches(&schema, &gathered).map_err(|error| unusable(&error))?)?;
        }
        writer.finish()
    })
}
