//! Helpers for the columns of a cube's tables.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};

/// The Arrow type of a column of names.
pub(super) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(super) fn integers(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub(super) fn longs(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| value as i64)))
}

/// Reads a column of names as codes. Each distinct name is looked up once.
pub(super) fn codes(
    path: &Path,
    batch: &RecordBatch,
    name: &str,
    code: &dyn Fn(&str) -> Option<u32>,
) -> Result<Vec<u32>> {
    let other = || {
        Error::in_file(
            path,
            format!("expected names of the cube in `{name}`, found others"),
        )
    };
    let column = batch
        .column_by_name(name)
        .and_then(|column| cast(column, &dictionary()).ok())
        .ok_or_else(|| missing(path, name))?;
    let column = column.as_dictionary::<Int32Type>();
    let names = column
        .values()
        .as_string_opt::<i32>()
        .ok_or_else(|| missing(path, name))?;
    let of_name: Vec<Option<u32>> = names.iter().map(|name| name.and_then(code)).collect();
    column
        .keys()
        .iter()
        .map(|key| key.and_then(|key| *of_name.get(key as usize)?).ok_or_else(other))
        .collect()
}

/// The error for a table without a required column.
pub(super) fn missing(path: &Path, name: &str) -> Error {
    Error::in_file(path, format!("expected a column `{name}` of a cube, found none"))
}

pub(super) fn integer<'a>(path: &Path, batch: &'a RecordBatch, name: &str) -> Result<&'a Int32Array> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_primitive_opt::<Int32Type>())
        .ok_or_else(|| missing(path, name))
}

pub(super) fn long<'a>(path: &Path, batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| missing(path, name))
}
