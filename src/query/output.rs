//! Results in the formats of files: CSV, JSON, NDJSON, Markdown and Parquet.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::{escape, parquet_io};
use crate::query::values::{is_number, json, text};

/// The rows of a row group of Parquet.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// A result as CSV with a header. Null is an empty field.
///
/// # Errors
/// A text cannot be written as CSV.
pub(crate) fn to_csv(rows: &RecordBatch) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Error::usage(format!("expected to write CSV, found: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let schema = rows.schema();
    let names = schema
        .fields()
        .iter()
        .map(|field| escape::csv_field(field.name()).into_owned());
    writer.write_record(names).map_err(failed)?;
    for row in 0..rows.num_rows() {
        let fields = rows.columns().iter().map(|column| {
            let text = text(column, row).unwrap_or_default();
            match is_number(column.data_type()) {
                true => text,
                false => escape::csv_field(&text).into_owned(),
            }
        });
        writer.write_record(fields).map_err(failed)?;
    }
    writer
        .into_inner()
        .map_err(|error| Error::usage(format!("expected to write CSV, found: {error}")))
}

/// A result as a JSON list with one object a row, each on a line of its own.
pub(crate) fn to_json(rows: &RecordBatch) -> String {
    let objects: Vec<String> = objects(rows).collect();
    match objects.is_empty() {
        true => "[]\n".to_owned(),
        false => format!("[\n{}\n]\n", objects.join(",\n")),
    }
}

/// A result as NDJSON: one object a line.
pub(crate) fn to_ndjson(rows: &RecordBatch) -> String {
    objects(rows).map(|object| object + "\n").collect()
}

fn objects(rows: &RecordBatch) -> impl Iterator<Item = String> + '_ {
    (0..rows.num_rows()).map(|row| {
        let schema = rows.schema();
        let columns = schema.fields().iter().zip(rows.columns());
        let object: Map<String, Value> = columns
            .map(|(field, column)| (field.name().clone(), json(column, row)))
            .collect();
        Value::Object(object).to_string()
    })
}

/// A result as a table of Markdown, with numbers at the right.
pub(crate) fn to_markdown(rows: &RecordBatch) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let schema = rows.schema();
    let fields = schema.fields();
    let mut out = line(
        fields
            .iter()
            .map(|field| escape::markdown(field.name()))
            .collect(),
    );
    let rule = |field: &Arc<Field>| {
        if is_number(field.data_type()) {
            "---:"
        } else {
            "---"
        }
    };
    out.push_str(&format!(
        "|{}|\n",
        fields.iter().map(rule).collect::<Vec<_>>().join("|")
    ));
    for row in 0..rows.num_rows() {
        let cells = rows.columns().iter();
        let cells = cells.map(|column| escape::markdown(&text(column, row).unwrap_or_default()));
        out.push_str(&line(cells.collect()));
    }
    out
}

/// Writes a result as Parquet.
///
/// # Errors
/// A column has a type that Parquet has not, or the file cannot be written.
pub(crate) fn write_parquet(path: &Path, rows: &RecordBatch) -> Result<()> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
        let array = stored(array).map_err(|error| {
            Error::usage(format!(
                "expected a column that Parquet can hold, found `{}`: {error}",
                field.name()
            ))
        })?;
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        arrays.push(array);
    }
    if fields.is_empty() {
        return Err(Error::usage("expected a result with columns, found none"));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = parquet_io::batch(&schema, arrays);
    let starts = (0..batch.num_rows()).step_by(ROW_GROUP_ROWS);
    let groups = starts.map(|start| batch.slice(start, ROW_GROUP_ROWS.min(batch.num_rows() - start)));
    parquet_io::write(path, &schema, groups)
}

/// A column as it is stored in a file. Instants are marked as in UTC.
fn stored(array: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let array = cast(array, &stored_type(array.data_type()))?;
    Ok(match array.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(instants) => Arc::new(instants.clone().with_timezone("UTC")),
        None => array,
    })
}

/// The type of a column in a file: texts and bytes without views, which other readers do not know.
fn stored_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| {
        let data_type = stored_type(field.data_type());
        Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
    };
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        // Durations have no type in Parquet: microseconds.
        DataType::Duration(_) => DataType::Int64,
        DataType::List(field) | DataType::LargeList(field) => DataType::List(inner(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Fields>()),
        other => other.clone(),
    }
}
