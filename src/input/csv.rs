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
use crate::base::{advice, escape};
use crate::input::file::InputFile;
use crate::input::format::{Dialect, Packing};
use crate::input::text_file::{BATCH_ROWS, BUFFER, OnArrays, open_text};
use crate::input::want::Want;

/// Bytes that a value of a batch takes beside its text.
const VALUE_BYTES: usize = 8;

/// Returns the names of the header, in their order. Empty for an empty file.
///
/// # Errors
/// The header cannot be read, is not UTF-8, or is too long.
pub(super) fn columns(path: &Path, packing: Packing, dialect: Dialect) -> Result<Vec<String>> {
    let mut records = Records::open(path, packing, dialect)?;
    records.next()?;
    let header = &records.record;
    Limit::Columns.check(path.display(), header.len() as u64)?;
    let names: Vec<String> = header
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
        .collect::<Result<_>>()?;
    check_separator(path, dialect, &names)?;
    Ok(names)
}

/// Refuses a file whose columns are separated by another character: its header is one long name.
fn check_separator(path: &Path, dialect: Dialect, names: &[String]) -> Result<()> {
    let [header] = names else { return Ok(()) };
    let is_other = |c: &char| header.contains(*c) && *c as u8 != dialect.delimiter;
    let Some(separator) = [',', ';', '\t', '|'].into_iter().find(is_other) else {
        return Ok(());
    };
    let (found, named) = (escape::value(header), separator.escape_default());
    let expected = char::from(dialect.delimiter).escape_default();
    let message =
        format!("expected columns separated by `{expected}`, found `{named}` between them: {found}");
    let way = advice::either(
        &format!("delimiter = \"{named}\" of the source"),
        &format!("--delimiter \"{named}\""),
    );
    let way = way.map_or_else(String::new, |way| format!("say so: {way}; "));
    let hint = format!("{way}numbers have a point before their decimals");
    Err(Error::in_file(path, message).hint(hint))
}

/// Reads columns batch by batch, in the order of `wanted`. An empty value is null.
///
/// # Errors
/// A record cannot be read, has another number of values than the header, or is not UTF-8; or
/// `on_arrays` fails.
pub(super) fn read(
    input: &InputFile,
    (packing, dialect): (Packing, Dialect),
    wanted: &[Want<'_>],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let (path, all) = (input.path.as_path(), &input.columns);
    let position = |want: &Want<'_>| all.iter().position(|column| column == want.name);
    let mut wanted: Vec<(usize, StringBuilder)> = wanted
        .iter()
        .filter_map(position)
        .map(|idx| (idx, StringBuilder::with_capacity(0, 0)))
        .collect();
    let mut on_batch = |wanted: &mut [(usize, StringBuilder)], n_rows: usize| {
        let arrays = wanted
            .iter_mut()
            .map(|(_, builder)| {
                let array = builder.finish();
                // The next batch is often as large.
                *builder = StringBuilder::with_capacity(n_rows, array.value_data().len());
                Arc::new(array) as ArrayRef
            })
            .collect();
        on_arrays(arrays, n_rows)
    };
    let mut records = Records::open(path, packing, dialect)?;
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
        let Ok(text) = std::str::from_utf8(record.as_slice()) else {
            return Err(records.no_text(all));
        };
        for (idx, builder) in &mut wanted {
            // A range that splits a character is not UTF-8 either.
            let Some(value) = record.range(*idx).and_then(|range| text.get(range)) else {
                return Err(records.no_text(all));
            };
            n_bytes += value.len() + VALUE_BYTES;
            if value.is_empty() {
                builder.append_null();
            } else {
                builder.append_value(value);
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
    fn open(path: &Path, packing: Packing, dialect: Dialect) -> Result<Self> {
        let counted = Counted {
            text: open_text(path, packing)?,
            n_read: 0,
            start: 0,
            max: Limit::Line.value(),
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(dialect.delimiter)
            .quote(dialect.quote)
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

    /// The error for a record that is not UTF-8, also in a column that is not read: the whole file has
    /// another encoding then.
    fn no_text(&self, names: &[String]) -> Error {
        let mut values = names.iter().zip(&self.record);
        let wrong = values.find(|(_, value)| std::str::from_utf8(value).is_err());
        let name = wrong.map_or("", |(name, _)| name.as_str());
        let location = format!(
            "{}: column `{name}`, row {}",
            self.path.display(),
            self.n_read - 1
        );
        Error::input(location, "expected UTF-8, found other bytes").hint("write the file again as UTF-8")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::format::Format;
    use arrow_array::{Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};

    fn texts(array: &dyn Array) -> Vec<Option<String>> {
        let array: &StringArray = array.as_any().downcast_ref().unwrap();
        array.iter().map(|text| text.map(str::to_owned)).collect()
    }

    /// Reads columns of a text; the error as a text.
    fn read_text(text: &[u8], names: &[&str]) -> Result<Vec<Vec<Option<String>>>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.csv");
        std::fs::write(&path, text).unwrap();
        let shown = |error: Error| error.to_string();
        let (packing, dialect) = (Packing::None, Dialect::COMMAS);
        let input = InputFile {
            columns: columns(&path, packing, dialect).map_err(shown)?,
            ..InputFile::new(path, Format::Csv { packing, dialect })
        };
        let mut found = vec![Vec::new(); names.len()];
        let wanted: Vec<Want<'_>> = names.iter().copied().map(Want::flat).collect();
        read(&input, (packing, dialect), &wanted, &mut |arrays, n_rows| {
            for (found, array) in found.iter_mut().zip(arrays) {
                assert_eq!(array.len(), n_rows);
                found.extend(texts(&array));
            }
            Ok(())
        })
        .map_err(shown)?;
        Ok(found)
    }

    #[test]
    fn records_are_those_of_another_reader() {
        let check = |text: &str| {
            let fields = ["b", "a"].map(|name| Field::new(name, DataType::Utf8, true));
            let reader = arrow_csv::ReaderBuilder::new(Arc::new(Schema::new(fields.to_vec())))
                .with_header(true)
                .build(text.as_bytes())
                .unwrap();
            let mut expected = vec![Vec::new(); 2];
            for batch in reader {
                let batch = batch.unwrap();
                expected[0].extend(texts(batch.column(1)));
                expected[1].extend(texts(batch.column(0)));
            }
            assert_eq!(read_text(text.as_bytes(), &["a", "b"]), Ok(expected), "{text:?}");
        };
        check("b,a\n1,2\n3,4\n");
        check("b,a\r\n1,2\r\n\r\n3,4");
        check("\u{feff}b,a\n,\n\"\",x\n");
        check("b,a\n\"x,\"\"y\"\"\",\"two\nlines\"\nx\"y\",用\n");
        check("b,a\n");
        check(&format!("b,a\n{}", "u,v\n".repeat(BATCH_ROWS + 7)));
    }

    #[test]
    fn records_that_cannot_be_read_are_named() {
        let check = |text: &[u8], expected: &str| {
            let error = read_text(text, &["a"]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(
            b"a,b\n1,2\n3\n",
            "row 2: expected 2 values, as many as the header has, found 1",
        );
        check(
            b"a,b\n1,2,3\n",
            "row 1: expected 2 values, as many as the header has, found 3",
        );
        check(b"a,b\n1,\xff\n", "column `b`, row 1: expected UTF-8");
        // Together both values would be one character.
        check(b"a,b\n\xc3,\xa9\n", "column `a`, row 1: expected UTF-8");
        check(b"a,\xff\n", "name 2 of the header");
    }
}
