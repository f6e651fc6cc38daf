//! CSV files: header and batches of text columns. Only the columns that are asked for are kept, so a
//! wide file needs no more memory than a narrow one.

use arrow_array::ArrayRef;
use arrow_array::builder::StringBuilder;
use csv::ByteRecord;
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::limits::Limit;
use crate::input::file::InputFile;
use crate::input::text_file::{BATCH_ROWS, BUFFER, OnArrays, open_text};

/// Bytes that a value of a batch takes beside its text.
const VALUE_BYTES: usize = 8;

/// Returns the names of the header, in their order. Empty for an empty file.
///
/// # Errors
/// The header cannot be read, is not UTF-8, or is too long.
pub(super) fn columns(path: &Path, gzip: bool) -> Result<Vec<String>> {
    let mut records = Records::open(path, gzip)?;
    records.next()?;
    let header = &records.record;
    Limit::Columns.check(path.display(), header.len() as u64)?;
    header
        .iter()
        .enumerate()
        .map(|(idx, name)| {
            std::str::from_utf8(name).map(str::to_owned).map_err(|_| {
                Error::in_file(
                    path,
                    format!(
                        "expected UTF-8, found other bytes in name {} of the header",
                        idx + 1
                    ),
                )
            })
        })
        .collect()
}

/// Reads the named columns batch by batch, in the order of `names`. An empty value is null.
///
/// # Errors
/// A record cannot be read, has another number of values than the header, or is not UTF-8; or
/// `on_arrays` fails.
pub(super) fn read(
    input: &InputFile,
    gzip: bool,
    names: &[&str],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let (path, all) = (input.path.as_path(), &input.columns);
    let position = |name: &&str| all.iter().position(|column| column == name);
    let mut wanted: Vec<(usize, StringBuilder)> = names
        .iter()
        .filter_map(position)
        .map(|idx| (idx, StringBuilder::new()))
        .collect();
    let mut on_batch = |wanted: &mut [(usize, StringBuilder)], n_rows: usize| {
        let arrays = wanted
            .iter_mut()
            .map(|(_, builder)| Arc::new(builder.finish()) as ArrayRef)
            .collect();
        on_arrays(arrays, n_rows)
    };
    let mut records = Records::open(path, gzip)?;
    records.next()?;
    let batch_bytes = Limit::Batch.size();
    let (mut n_rows, mut n_bytes) = (0, 0);
    while records.next()? {
        let record = &records.record;
        if record.len() != all.len() {
            return Err(Error::input(
                records.location(),
                format!(
                    "expected {} values, as many as the header has, found {}",
                    all.len(),
                    record.len()
                ),
            ));
        }
        if !record.as_slice().is_ascii() {
            records.check_text(all)?;
        }
        for (idx, builder) in &mut wanted {
            let value = &record[*idx];
            n_bytes += value.len() + VALUE_BYTES;
            match std::str::from_utf8(value) {
                Ok(value) if !value.is_empty() => builder.append_value(value),
                _ => builder.append_null(),
            }
        }
        n_rows += 1;
        if n_rows == BATCH_ROWS || n_bytes >= batch_bytes {
            on_batch(&mut wanted, n_rows)?;
            (n_rows, n_bytes) = (0, 0);
        }
    }
    if n_rows == 0 {
        return Ok(());
    }
    on_batch(&mut wanted, n_rows)
}

/// The records of a file, one at a time.
struct Records {
    path: PathBuf,
    reader: csv::Reader<Counted>,
    record: ByteRecord,
    /// Number of records read, with the header.
    n_read: u64,
}

impl Records {
    fn open(path: &Path, gzip: bool) -> Result<Self> {
        let counted = Counted {
            text: open_text(path, gzip)?,
            n_read: 0,
            start: 0,
            max: Limit::Line.value(),
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER)
            .from_reader(counted);
        Ok(Self {
            path: path.to_owned(),
            reader,
            record: ByteRecord::new(),
            n_read: 0,
        })
    }

    /// Reads the next record. Returns `false` at the end of the file.
    fn next(&mut self) -> Result<bool> {
        let start = self.reader.position().byte();
        self.reader.get_mut().start = start;
        let found = self.reader.read_byte_record(&mut self.record);
        self.n_read += 1;
        match found {
            Ok(true) if self.record.as_slice().len() as u64 > Limit::Line.value() => Err(self.too_long()),
            Ok(found) => Ok(found),
            Err(error) => Err(match error.into_kind() {
                csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|error| error.is::<TooLong>()) => {
                    self.too_long()
                }
                csv::ErrorKind::Io(error) => Error::read(&self.path, error),
                other => Error::in_file(&self.path, format!("expected a readable file, found: {other:?}")),
            }),
        }
    }

    fn too_long(&self) -> Error {
        let error = Limit::Line.overrun(self.location());
        let raise = error.problems()[0].hint.clone().unwrap_or_default();
        error.hint(format!(
            "{raise}; a quote that is not closed makes one record of all that follows"
        ))
    }

    /// The location of the current record. Rows count from 1 without the header.
    fn location(&self) -> String {
        match self.n_read {
            0 | 1 => format!("{}: header", self.path.display()),
            n => format!("{}: row {}", self.path.display(), n - 1),
        }
    }

    /// Refuses a value that is not UTF-8, also of a column that is not read: the whole file has
    /// another encoding then.
    fn check_text(&self, names: &[String]) -> Result<()> {
        let wrong = names
            .iter()
            .zip(&self.record)
            .find(|(_, value)| std::str::from_utf8(value).is_err());
        match wrong {
            None => Ok(()),
            Some((name, _)) => Err(Error::input(
                format!(
                    "{}: column `{name}`, row {}",
                    self.path.display(),
                    self.n_read - 1
                ),
                "expected UTF-8, found other bytes",
            )
            .hint("write the file again as UTF-8")),
        }
    }
}

/// A text whose bytes are counted from the start of the current record.
struct Counted {
    text: Box<dyn Read>,
    n_read: u64,
    start: u64,
    max: u64,
}

/// The record has more bytes than [`Limit::Line`].
#[derive(Debug)]
struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record beyond the limit")
    }
}

impl std::error::Error for TooLong {}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.n_read - self.start > self.max {
            return Err(io::Error::other(TooLong));
        }
        let n = self.text.read(buffer)?;
        self.n_read += n as u64;
        Ok(n)
    }
}
