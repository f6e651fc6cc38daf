//! Reads and writes the Parquet files of Sluice: one schema per file, compressed with zstd. The
//! same data gives the same bytes.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
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

/// A Parquet file that is being written, with one row group per batch.
pub(crate) struct BatchWriter<'a, W: Write + Send> {
    path: &'a Path,
    writer: ArrowWriter<W>,
}

impl<'a, W: Write + Send> BatchWriter<'a, W> {
    pub(crate) fn new(path: &'a Path, sink: W, schema: &Arc<Schema>) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("sluice {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties)).or_unwritable(path)?;
        Ok(Self { path, writer })
    }

    /// Creates a writer for integers that are mostly distinct. It stores the difference to the
    /// previous value.
    pub(crate) fn for_numbers(path: &'a Path, sink: W, schema: &Arc<Schema>) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::DELTA_BINARY_PACKED)
            .set_created_by(format!("sluice {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties)).or_unwritable(path)?;
        Ok(Self { path, writer })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer
            .write(batch)
            .and_then(|()| self.writer.flush())
            .or_unwritable(self.path)
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.writer.close().map(|_| ()).or_unwritable(self.path)
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
    let file = open::regular(&path).or_unreadable(&path)?;
    let mut reader = guard(&path, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(65_536);
        let mask = match columns {
            // Roots, because the names of columns may have points.
            Some(columns) => {
                let fields = builder.schema().fields().iter().enumerate();
                let roots = fields.filter(|(_, field)| columns.contains(&field.name().as_str()));
                ProjectionMask::roots(
                    builder.parquet_schema(),
                    roots.map(|(idx, _)| idx).collect::<Vec<_>>(),
                )
            }
            None => ProjectionMask::all(),
        };
        builder.with_projection(mask).build()
    })?;
    Ok(std::iter::from_fn(move || {
        guard(&path, || reader.next().transpose()).transpose()
    }))
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
    let broken = |found: &dyn Display| {
        // The crate's message names a build feature of the crate. The user needs the name of the
        // compression.
        if let Some((_, codec)) = found.to_string().split_once("Disabled feature at compile time: ") {
            return Error::in_file(path,
                format!("expected columns that are not compressed, or with snappy, zstd, gzip or lz4, found {codec}"),
            )
            .hint("write the file again with another compression");
        }
        Error::in_file(path, format!("expected a complete Parquet file, found: {found}"))
            .hint("the file may have been cut off while it was written; fetch or write it again")
    };
    match panics::catch(read) {
        Ok(result) => result.map_err(|error| broken(&error)),
        Err(panic) => Err(broken(&panic)),
    }
}

/// Creates a batch of columns that were built for this schema.
#[expect(
    clippy::expect_used,
    reason = "the columns are built next to their schema; a mismatch is a bug that every test run would show"
)]
pub(crate) fn batch(schema: &Arc<Schema>, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(schema), columns).expect("columns match their schema")
}
