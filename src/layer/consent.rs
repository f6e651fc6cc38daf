//! Consent of tonight beside layers of the plan's start: a withdrawal takes effect during a ramp.

use arrow_array::RecordBatchReader;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rayon::slice::ParallelSliceMut;
use std::path::Path;
use std::sync::Arc;
use twox_hash::XxHash3_128;

use crate::base::error::{FileResult, Result};
use crate::base::open;
use crate::base::parquet_io::{guard, open_batches, read_footer};
use crate::base::progress::Progress;
use crate::base::{files, parallel};
use crate::layer::encode::ZSTD_LEVEL;
use crate::layer::rows::{LayerFileReader, LayerRows};

/// Counts of users whose consent changed since the layers were frozen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsentChanges {
    /// The number of users in the frozen table.
    pub n_users: u64,
    /// The number of users who consented in the frozen table and do not in the newest one, or are
    /// absent from it. They get the baseline.
    pub n_withdrawn: u64,
    /// The number of users who consent only in the newest table. They keep the baseline until the
    /// next plan: the evidence counts them as users without consent.
    pub n_given: u64,
}

/// Writes the frozen layer table to `out`, with the consent of users who still consent in the newest
/// table. Rows keep their order, and the same inputs give the same bytes.
///
/// # Errors
/// A file that is not a layer table, or that cannot be written.
pub(crate) fn write_with_consent(
    frozen: &Path,
    newest: &Path,
    out: &Path,
    progress: &Progress,
) -> Result<ConsentChanges> {
    let consenting = consenting_users(newest, progress)?;
    let file = open::regular(frozen).or_unreadable(frozen)?;
    let footer = read_footer(frozen, &file, ArrowReaderOptions::new())?;
    let n_rows = footer.metadata().file_metadata().num_rows().unsigned_abs();
    let bar = progress.rows("consent", Some(n_rows));
    let mut reader = open_batches(frozen, &footer, None, &|_| true)?;
    let schema = reader.schema();
    let mut changes = ConsentChanges::default();
    files::write_file(out, |to| {
        let level = ZstdLevel::try_new(ZSTD_LEVEL).or_unwritable(out)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(format!("sluice {}", env!("CARGO_PKG_VERSION")))
            .build();
        let mut writer = ArrowWriter::try_new(to, schema, Some(properties)).or_unwritable(out)?;
        while let Some(batch) = guard(frozen, || reader.next().transpose())? {
            let rows = LayerRows::from_batch(&batch, frozen)?;
            let batch = with_consent(&batch, &rows, &consenting, &mut changes).or_unwritable(out)?;
            writer.write(&batch).or_unwritable(out)?;
            bar.advance(rows.len() as u64);
        }
        writer.close().map(|_| ()).or_unwritable(out)
    })?;
    Ok(changes)
}

/// Replaces the column `eligible` of a batch, and counts the changes.
fn with_consent(
    batch: &RecordBatch,
    rows: &LayerRows,
    consenting: &[u128],
    changes: &mut ConsentChanges,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let eligible: BooleanArray = (0..rows.len())
        .map(|row| {
            let was = rows.eligible.value(row);
            let is = consenting.binary_search(&digest(rows, row)).is_ok();
            changes.n_withdrawn += u64::from(was && !is);
            changes.n_given += u64::from(is && !was);
            Some(was && is)
        })
        .collect();
    changes.n_users += rows.len() as u64;
    let schema = batch.schema();
    let column_idx = schema.index_of("eligible")?;
    let mut columns = batch.columns().to_vec();
    columns[column_idx] = Arc::new(eligible) as ArrayRef;
    RecordBatch::try_new(schema, columns)
}

/// The digests of the users of a table who consent, sorted. Sixteen bytes a user: a collision would
/// give the candidate to a user who has withdrawn.
fn consenting_users(path: &Path, progress: &Progress) -> Result<Vec<u128>> {
    let file = LayerFileReader::open(path)?;
    let bar = progress.rows("consent", Some(file.n_rows()));
    let mut digests = Vec::new();
    parallel::map_in_order(
        file.n_parts(),
        |part| {
            let mut found = Vec::new();
            file.read(part, |rows| {
                let consenting = (0..rows.len()).filter(|row| rows.eligible.value(*row));
                found.extend(consenting.map(|row| digest(rows, row)));
                bar.advance(rows.len() as u64);
                Ok(())
            })?;
            Ok(found)
        },
        |_, found| {
            digests.extend(found);
            Ok(())
        },
    )?;
    digests.par_sort_unstable();
    Ok(digests)
}

/// The digest of a user's tenant and id.
fn digest(rows: &LayerRows, row: usize) -> u128 {
    let (tenant, id) = (rows.tenant(row), rows.ids.value(row));
    let mut key = Vec::with_capacity(tenant.len() + id.len() + 8);
    // The length keeps two pairs of texts apart that join to the same bytes.
    key.extend_from_slice(&(tenant.len() as u64).to_le_bytes());
    key.extend_from_slice(tenant.as_bytes());
    key.extend_from_slice(id.as_bytes());
    XxHash3_128::oneshot(&key)
}
