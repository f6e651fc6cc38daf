//! Parquet files that Sluice writes for itself and others: one schema, zstd, the same bytes every time.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use std::{fs::File, io::Write, path::Path, sync::Arc};

use crate::{
    error::{Error, Result},
    output,
};

/// Writes batches as one row group each.
///
/// # Errors
/// When the file cannot be written; the previous file is untouched then.
pub(crate) fn write(path: &Path, schema: &Arc<Schema>, batches: impl Iterator<Item = RecordBatch>) -> Result<()> {
    output::write_file(path, |file| {
        let mut writer = BatchWriter::new(path, file, schema)?;
        for batch in batches {
            writer.write(&batch)?;
        }
        writer.finish()
    })
}

/// A Parquet file being written, one row group a batch.
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
        let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties)).map_err(|error| Error::write(path, &error))?;
        Ok(Self { path, writer })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).and_then(|()| self.writer.flush()).map_err(|error| Error::write(self.path, &error))
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.writer.close().map(|_| ()).map_err(|error| Error::write(self.path, &error))
    }
}

/// Reads all batches of a file that Sluice wrote.
///
/// # Errors
/// A file that is not Parquet, or whatever `on_batch` returns.
pub(crate) fn read(path: &Path, on_batch: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
    let broken =
        |error: &dyn std::fmt::Display| Error::input(path.display().to_string(), format!("expected a whole Parquet file, found: {error}"));
    let file = File::open(path).map_err(|error| Error::read(path, &error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(65_536).build())
        .map_err(|e| broken(&e))?;
    for batch in reader {
        on_batch(&batch.map_err(|error| broken(&error))?)?;
    }
    Ok(())
}

/// A batch of columns that were built for this schema.
#[expect(clippy::expect_used, reason = "the columns are built next to their schema; a mismatch is a bug that every test run would show")]
pub(crate) fn batch(schema: &Arc<Schema>, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(schema), columns).expect("columns match their schema")
}
