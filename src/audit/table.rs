//! The affected requests, or the write calls in them, as a CSV or Parquet file.

use arrow_array::{ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::path::Path;
use std::sync::Arc;

use crate::audit::affected::{Affected, AffectedRow, OnRows};
use crate::base::error::{Error, FileResult, Result};
use crate::base::{escape, files, parquet_io, time};
use crate::input::Format;

const COLUMNS: [&str; 9] = [
    "tenant_id",
    "user_id",
    "event_time",
    "trace_id",
    "session_id",
    "release_id",
    "tool",
    "arguments_sha256",
    "in_bundle",
];

/// Writes the rows of a search to a CSV or Parquet file, chosen by the file's name, while the
/// search runs.
///
/// # Errors
/// The name has another extension, the file cannot be written, or `find` fails.
pub fn write(
    path: &Path,
    release: &str,
    find: impl FnOnce(&mut OnRows<'_>) -> Result<Affected>,
) -> Result<Affected> {
    let mut found = None;
    let is_csv = match Format::by_path(path) {
        Some(format) if format.is_plain_csv() => true,
        Some(Format::Parquet) => false,
        _ => {
            return Err(Error::usage(format!(
                "expected --out to end in .csv or .parquet, found {}",
                path.display()
            )));
        }
    };
    files::write_file(path, |file| {
        if is_csv {
            let failed = |error: csv::Error| Error::write(path, error);
            let mut writer = csv::Writer::from_writer(file);
            writer.write_record(COLUMNS).map_err(failed)?;
            found = Some(find(&mut |rows| {
                rows.iter().try_for_each(|row| {
                    let fields = fields(row, release);
                    let fields = fields.iter().map(|field| escape::csv_field(field).into_owned());
                    writer.write_record(fields).map_err(failed)
                })
            })?);
            return writer.flush().or_unwritable(path);
        }
        let schema = schema();
        let mut writer = parquet_io::BatchWriter::new(path, file, &schema)?;
        found = Some(find(&mut |rows| {
            // One row group for each part of the log that has rows.
            if rows.is_empty() {
                Ok(())
            } else {
                writer.write(&parquet_io::batch(&schema, columns(rows, release)))
            }
        })?);
        writer.finish()
    })?;
    found.ok_or_else(|| Error::write(path, "nothing was looked for"))
}

fn fields(row: &AffectedRow, release: &str) -> [String; 9] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        row.tenant_id.clone(),
        text(&row.user_id),
        row.event_time.map_or_else(String::new, time::format),
        text(&row.trace_id),
        text(&row.session_id),
        release.to_owned(),
        text(&row.tool),
        text(&row.arguments_sha256),
        row.in_bundle.map_or_else(String::new, |flag| flag.to_string()),
    ]
}

fn schema() -> SchemaRef {
    let field = |name: &&str| {
        let data_type = match *name {
            "event_time" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "in_bundle" => DataType::Boolean,
            _ => DataType::Utf8,
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

fn columns(rows: &[AffectedRow], release: &str) -> Vec<ArrayRef> {
    let texts = |of: fn(&AffectedRow) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    vec![
        texts(|row| Some(&row.tenant_id)),
        texts(|row| row.user_id.as_deref()),
        Arc::new(
            rows.iter()
                .map(|row| row.event_time)
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        texts(|row| row.trace_id.as_deref()),
        texts(|row| row.session_id.as_deref()),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            release,
            rows.len(),
        ))),
        texts(|row| row.tool.as_deref()),
        texts(|row| row.arguments_sha256.as_deref()),
        Arc::new(rows.iter().map(|row| row.in_bundle).collect::<BooleanArray>()),
    ]
}
