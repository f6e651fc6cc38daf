//! Reads and writes the Parquet files of Sluice: one schema per file, compressed with zstd. The
//! same data gives the same bytes.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{DEFAULT_MAX_ROW_GROUP_ROW_COUNT, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::Limit;
use crate::base::parquet_file::{PAGE_TOO_LARGE, PageFile, batch_rows};
use crate::base::{at_work, files, open, panics};

/// Writes each batch as one row group.
///
/// # Errors
/// When the file cannot be written. The previous file is then unchanged.
pub(crate) fn write(
    path: &Path,
    schema: &Arc<Schema>,
    batches: impl Iterator<Item = RecordBatch>,
) -> Result<()> {
    files::write_file(path, |file| {
        let mut writer = BatchWriter::new(path, file, schema)?;
        for batch in batches {
            writer.write(&batch)?;
        }
        writer.finish()
    })
}

/// Number of rows whose values are made at once by [`write_columns`]. It is a multiple of the rows after
/// which the encoder may end a page, so pages do not depend on it. A column that may be null is made
/// at once for a row group, because runs of its levels end with the values that are written together.
const SLICE_ROWS: usize = 65_536;

/// The largest number of rows of a row group.
pub(crate) const GROUP_ROWS: usize = DEFAULT_MAX_ROW_GROUP_ROW_COUNT;

/// Writes flat columns of `n_rows` rows with all threads, in row groups of `n_group` rows. `values` makes
/// the values of a column in a range of rows. The bytes are those of [`write`] with one batch for each
/// row group.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_columns(
    path: &Path,
    schema: &Arc<Schema>,
    n_rows: usize,
    n_group: usize,
    values: impl Fn(usize, Range<usize>) -> ArrayRef + Sync,
) -> Result<()> {
    let encode = |(idx, mut writer): (usize, ArrowColumnWriter), rows: Range<usize>| {
        let n_slice = if schema.field(idx).is_nullable() {
            rows.len()
        } else {
            SLICE_ROWS
        };
        for start in rows.clone().step_by(n_slice) {
            let array = values(idx, start..rows.end.min(start + n_slice));
            for leaf in compute_leaves(schema.field(idx), &array)? {
                writer.write(&leaf)?;
            }
        }
        writer.close()
    };
    files::write_file(path, |file| {
        let mut writer = BatchWriter::new(path, file, schema)?;
        for start in (0..n_rows).step_by(n_group) {
            let rows = start..n_rows.min(start + n_group);
            let columns: Vec<_> = writer.encoder.columns().or_unwritable(path)?;
            let chunks = columns.into_par_iter().enumerate();
            let chunks = chunks.map(|column| encode(column, rows.clone()));
            writer.append(vec![RowGroup(
                chunks.collect::<Encoded<_>>().or_unwritable(path)?,
            )])?;
        }
        writer.finish()
    })
}

type Encoded<T> = parquet::errors::Result<T>;

/// The encoded columns of a row group.
pub(crate) struct RowGroup(Vec<ArrowColumnChunk>);

/// Encodes batches for one file, on any thread.
pub(crate) struct GroupEncoder {
    path: PathBuf,
    schema: Arc<Schema>,
    factory: ArrowRowGroupWriterFactory,
}

impl GroupEncoder {
    /// Writers for the columns of a row group.
    fn columns(&self) -> Encoded<Vec<ArrowColumnWriter>> {
        // The index of a row group matters to encrypted files only.
        self.factory.create_column_writers(0)
    }

    /// Encodes a batch as one row group, or as several if it has too many rows for one.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    pub(crate) fn encode(&self, batch: &RecordBatch) -> Result<Vec<RowGroup>> {
        let starts = (0..batch.num_rows()).step_by(GROUP_ROWS);
        let group = |start: usize| {
            let rows = batch.slice(start, GROUP_ROWS.min(batch.num_rows() - start));
            // A nested column has a writer for each of its leaves.
            let mut writers = self.columns()?.into_iter();
            let mut chunks = Vec::new();
            for (field, array) in self.schema.fields().iter().zip(rows.columns()) {
                for (leaf, mut writer) in compute_leaves(field, array)?.iter().zip(&mut writers) {
                    writer.write(leaf)?;
                    chunks.push(writer.close()?);
                }
            }
            Ok(RowGroup(chunks))
        };
        starts
            .map(group)
            .collect::<Encoded<_>>()
            .or_unwritable(&self.path)
    }
}

/// A Parquet file that is being written, with one row group per batch.
pub(crate) struct BatchWriter<'a, W: Write + Send> {
    path: &'a Path,
    file: SerializedFileWriter<W>,
    encoder: Arc<GroupEncoder>,
}

impl<'a, W: Write + Send> BatchWriter<'a, W> {
    pub(crate) fn new(path: &'a Path, sink: W, schema: &Arc<Schema>) -> Result<Self> {
        Self::with(path, sink, schema, WriterProperties::builder())
    }

    /// Creates a writer for integers that are mostly distinct. It stores the difference to the
    /// previous value.
    pub(crate) fn for_numbers(path: &'a Path, sink: W, schema: &Arc<Schema>) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::DELTA_BINARY_PACKED);
        Self::with(path, sink, schema, properties)
    }

    fn with(
        path: &'a Path,
        sink: W,
        schema: &Arc<Schema>,
        properties: WriterPropertiesBuilder,
    ) -> Result<Self> {
        let properties = properties
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("sluice {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties)).or_unwritable(path)?;
        let (file, factory) = writer.into_serialized_writer().or_unwritable(path)?;
        let encoder = Arc::new(GroupEncoder {
            path: path.to_owned(),
            schema: Arc::clone(schema),
            factory,
        });
        Ok(Self { path, file, encoder })
    }

    /// What encodes batches for this file, for [`Self::append`].
    pub(crate) fn encoder(&self) -> Arc<GroupEncoder> {
        Arc::clone(&self.encoder)
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let groups = self.encoder.encode(batch)?;
        self.append(groups)
    }

    /// Writes encoded row groups.
    pub(crate) fn append(&mut self, groups: Vec<RowGroup>) -> Result<()> {
        for RowGroup(chunks) in groups {
            let mut group = self.file.next_row_group().or_unwritable(self.path)?;
            for chunk in chunks {
                chunk.append_to_row_group(&mut group).or_unwritable(self.path)?;
            }
            group.close().or_unwritable(self.path)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.file.close().map(|_| ()).or_unwritable(self.path)
    }
}

/// Reads all batches of a file that Sluice wrote.
///
/// # Errors
/// When the file is not Parquet, or `on_batch` returns an error.
pub(crate) fn read(path: &Path, on_batch: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
    batches(path)?.try_for_each(|batch| on_batch(&batch?))
}

/// Reads some columns of a file that Sluice wrote. Columns that the file lacks are left out.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_columns(
    path: &Path,
    columns: &[&str],
    on_batch: &mut dyn FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    batches_of(path, Some(columns))?.try_for_each(|batch| on_batch(&batch?))
}

/// Iterates over the batches of a file that Sluice wrote.
///
/// # Errors
/// When the file is not Parquet.
pub(crate) fn batches(path: &Path) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    batches_of(path, None)
}

fn batches_of(
    path: &Path,
    columns: Option<&[&str]>,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    let path = path.to_owned();
    let footer = footer(&path)?;
    let is_wanted = |name: &str| columns.is_none_or(|columns| columns.contains(&name));
    let mut reader = open_batches(&path, &footer, None, &is_wanted)?;
    Ok(std::iter::from_fn(move || {
        guard(&path, || reader.next().transpose()).transpose()
    }))
}

/// Reads the footer of a file that Sluice wrote.
///
/// # Errors
/// When the file is not Parquet.
pub(crate) fn footer(path: &Path) -> Result<ArrowReaderMetadata> {
    let file = open::regular(path).or_unreadable(path)?;
    read_footer(path, &file, ArrowReaderOptions::new())
}

/// The number of rows that the footer of a file claims.
///
/// # Errors
/// As [`footer`].
pub(crate) fn n_rows(path: &Path) -> Result<u64> {
    Ok(footer(path)?.metadata().file_metadata().num_rows().unsigned_abs())
}

/// Iterates over the batches of one row group of a file that Sluice wrote.
///
/// # Errors
/// When the file cannot be opened or is broken.
pub(crate) fn row_group<'a>(
    path: &'a Path,
    footer: &ArrowReaderMetadata,
    row_group: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<'a>> {
    let mut reader = open_batches(path, footer, Some(row_group), &|_| true)?;
    Ok(std::iter::from_fn(move || {
        guard(path, || reader.next().transpose()).transpose()
    }))
}

/// Reads the footer of a file of unknown origin, and checks what it claims: no negative numbers, no
/// column beyond the end of the file, and the limits of columns and rows.
///
/// # Errors
/// When the file is not Parquet, or a claim is wrong.
pub(crate) fn read_footer(
    path: &Path,
    file: &File,
    options: ArrowReaderOptions,
) -> Result<ArrowReaderMetadata> {
    let footer = guard(path, || ArrowReaderMetadata::load(file, options))?;
    let n_bytes = file.metadata().or_unreadable(path)?.len();
    let metadata = footer.metadata();
    let n_columns = metadata.file_metadata().schema_descr().num_columns();
    Limit::Columns.check(path.display(), n_columns as u64)?;
    let mut n_rows = 0_u64;
    for (idx, group) in metadata.row_groups().iter().enumerate() {
        let location = format!("{}: row group {}", path.display(), idx + 1);
        let n = u64::try_from(group.num_rows()).map_err(|_| {
            broken(
                path,
                &format!("{} rows in row group {}", group.num_rows(), idx + 1),
            )
        })?;
        Limit::RowGroupRows.check(location, n)?;
        n_rows += n;
        for chunk in group.columns() {
            let (start, n) = guard(path, || Ok::<_, String>(chunk.byte_range()))?;
            if start.checked_add(n).is_none_or(|end| end > n_bytes) {
                let found = format!("column `{}` beyond the end of the file", chunk.column_path());
                return Err(broken(path, &found));
            }
        }
    }
    let claimed = metadata.file_metadata().num_rows();
    if u64::try_from(claimed) != Ok(n_rows) {
        let found = format!("a footer of {claimed} rows, whose row groups have {n_rows}");
        return Err(broken(path, &found));
    }
    Ok(footer)
}

/// Opens a reader of some top-level columns, of one row group or of all. Its pages have a limit, and
/// a batch has fewer rows where they are long.
///
/// # Errors
/// When the file cannot be opened or is broken.
pub(crate) fn open_batches(
    path: &Path,
    footer: &ArrowReaderMetadata,
    row_group: Option<usize>,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<ParquetRecordBatchReader> {
    let [pages, file] = [PageFile::open(path)?, PageFile::open(path)?];
    let schema = footer.metadata().file_metadata().schema_descr();
    // Roots, because the names of columns may have points.
    let fields = footer.schema().fields().iter().enumerate();
    let roots: Vec<usize> = fields
        .filter(|(_, field)| is_wanted(field.name()))
        .map(|(root, _)| root)
        .collect();
    let leaves: Vec<usize> = (0..schema.num_columns())
        .filter(|leaf| roots.binary_search(&schema.get_column_root_idx(*leaf)).is_ok())
        .collect();
    let groups = match row_group {
        Some(row_group) => vec![row_group],
        None => (0..footer.metadata().num_row_groups()).collect(),
    };
    guard(path, || {
        let n_rows = batch_rows(&Arc::new(pages), footer, &groups, &leaves)?;
        let mask = ProjectionMask::roots(schema, roots);
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.clone())
            .with_projection(mask)
            .with_row_groups(groups)
            .with_batch_size(n_rows)
            .build()
    })
}

/// Calls the Parquet reader on bytes of unknown origin. The crate panics on some broken files; this
/// function converts the panic to an error.
///
/// # Errors
/// When the file is incomplete or broken.
pub(crate) fn guard<T, E: Display>(
    path: &Path,
    read: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    at_work::note(path);
    match panics::catch(read) {
        Ok(result) => result.map_err(|error| broken(path, &error)),
        Err(panic) => Err(broken(path, &panic)),
    }
}

/// The error for a file that the Parquet reader refuses.
fn broken(path: &Path, found: &dyn Display) -> Error {
    let text = found.to_string();
    // The crate's message names a build feature of the crate. The user needs the name of the
    // compression.
    if let Some((_, codec)) = text.split_once("Disabled feature at compile time: ") {
        return Error::in_file(
            path,
            format!(
                "expected columns that are not compressed, or with snappy, zstd, gzip or lz4, found {codec}"
            ),
        )
        .hint("write the file again with another compression");
    }
    if let Some((_, n_bytes)) = text.split_once(PAGE_TOO_LARGE) {
        return Limit::Page.exceeded(path.display(), n_bytes.trim().parse().unwrap_or(u64::MAX));
    }
    Error::in_file(path, format!("expected a complete Parquet file, found: {text}"))
        .hint("the file may have been cut off while it was written; fetch or write it again")
}

/// Creates a batch of columns that were built for this schema.
#[expect(
    clippy::expect_used,
    reason = "the columns are built next to their schema; a mismatch is a bug that every test run would show"
)]
pub(crate) fn batch(schema: &Arc<Schema>, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(schema), columns).expect("columns match their schema")
}
