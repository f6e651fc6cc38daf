//! Columns of a cube's tables: built for writing, and checked while they are read. The digest of a
//! table only shows that the table belongs to its document, so each value is checked as well.

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, PrimitiveArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::parquet_io;

/// The first columns of a table of cells.
pub(super) const KEY_COLUMNS: [&str; 6] = [
    "tenant_id",
    "layer",
    "stage",
    "release",
    "window_start",
    "bucket_group",
];
/// The extra column of a breakdown: the value, or the user's row in the layer table.
pub(super) const VALUE: &str = "value";

/// The Arrow type of a column of names.
pub(super) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(super) fn names<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    values.for_each(|value| builder.append_value(value));
    Arc::new(builder.finish())
}

pub(super) fn integers(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub(super) fn longs(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| value as i64)))
}

/// The error for a cube whose values cannot come from `sluice replay`.
pub(super) fn damaged(location: String, expected: &dyn Display, found: &dyn Display) -> Error {
    Error::input(location, format!("expected {expected}, found {found}"))
        .hint("create the cube again with `sluice replay`")
}

/// The error for a row whose key is not above the key of the row before. Rows count from 0.
pub(super) fn unsorted(path: &Path, row: u64) -> Error {
    damaged(
        format!("{}: row {}", path.display(), row + 1),
        &"keys in ascending order, each once",
        &"a key that is not above the key of the row before",
    )
}

/// The error for a row of a batch whose key is not above the key of the row before.
pub(super) fn out_of_order(batch: &CheckedBatch<'_>, row: usize) -> Error {
    unsorted(batch.path, batch.first_row + row as u64)
}

/// Calls `on_batch` for the batches of a table, with some columns or with all.
///
/// # Errors
/// When the table cannot be read, or `on_batch` returns an error.
pub(super) fn each_batch(
    path: &Path,
    columns: Option<&[&str]>,
    on_batch: &mut dyn FnMut(&CheckedBatch<'_>) -> Result<()>,
) -> Result<()> {
    let mut n_before = 0;
    let mut on_batch = |batch: &RecordBatch| {
        on_batch(&CheckedBatch::new(path, batch, n_before))?;
        n_before += batch.num_rows() as u64;
        Ok(())
    };
    match columns {
        Some(columns) => parquet_io::read_columns(path, columns, &mut on_batch),
        None => parquet_io::read(path, &mut on_batch),
    }
}

/// A batch of a cube's table. Its columns are checked as they are read.
pub(super) struct CheckedBatch<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
    /// The number of rows before this batch.
    first_row: u64,
}

impl<'a> CheckedBatch<'a> {
    pub(super) fn new(path: &'a Path, batch: &'a RecordBatch, first_row: u64) -> Self {
        Self {
            path,
            batch,
            first_row,
        }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.batch.column_by_name(column).is_some()
    }

    /// The error for a value of a column.
    pub(super) fn wrong(
        &self,
        column: &str,
        row: usize,
        expected: &dyn Display,
        found: &dyn Display,
    ) -> Error {
        let row = self.first_row + row as u64 + 1;
        damaged(
            format!("{}: column `{column}`, row {row}", self.path.display()),
            expected,
            found,
        )
    }

    fn column(&self, name: &str) -> Result<&'a ArrayRef> {
        self.batch.column_by_name(name).ok_or_else(|| {
            damaged(
                self.path.display().to_string(),
                &format!("a column `{name}` of a cube"),
                &"none",
            )
        })
    }

    /// The values of a column of numbers. Null values are refused.
    fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Result<&'a PrimitiveArray<T>> {
        let column = self.column(name)?;
        let numbers = column.as_primitive_opt::<T>().ok_or_else(|| {
            damaged(
                format!("{}: column `{name}`", self.path.display()),
                &format!("the type {}", T::DATA_TYPE),
                column.data_type(),
            )
        })?;
        self.refuse_nulls(name, column)?;
        Ok(numbers)
    }

    fn refuse_nulls(&self, name: &str, column: &ArrayRef) -> Result<()> {
        if column.null_count() == 0 {
            return Ok(());
        }
        let row = (0..column.len()).find(|row| column.is_null(*row)).unwrap_or(0);
        Err(self.wrong(name, row, &"a value", &"none"))
    }

    /// Reads a column of whole numbers of 32 bits, all of which must be `legal`.
    ///
    /// # Errors
    /// When the column is missing or has another type, or a value is null or not legal.
    pub(super) fn integers(
        &self,
        name: &str,
        expected: &dyn Display,
        legal: impl Fn(usize, i32) -> bool,
    ) -> Result<&'a [i32]> {
        let values = self.numbers::<Int32Type>(name)?.values();
        self.check(name, values, expected, legal)
    }

    /// Reads a column of whole numbers of 64 bits, all of which must be `legal`.
    ///
    /// # Errors
    /// As [`Self::integers`].
    pub(super) fn longs(
        &self,
        name: &str,
        expected: &dyn Display,
        legal: impl Fn(usize, i64) -> bool,
    ) -> Result<&'a [i64]> {
        let values = self.numbers::<Int64Type>(name)?.values();
        self.check(name, values, expected, legal)
    }

    /// Reads a column of instants in microseconds.
    ///
    /// # Errors
    /// When the column is missing or has another type, or a value is null.
    pub(super) fn instants(&self, name: &str) -> Result<&'a [i64]> {
        let column = self.column(name)?;
        let instants = column
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| {
                damaged(
                    format!("{}: column `{name}`", self.path.display()),
                    &"instants in microseconds",
                    column.data_type(),
                )
            })?;
        self.refuse_nulls(name, column)?;
        Ok(instants.values())
    }

    fn check<T: Copy + Display>(
        &self,
        name: &str,
        values: &'a [T],
        expected: &dyn Display,
        legal: impl Fn(usize, T) -> bool,
    ) -> Result<&'a [T]> {
        match values
            .iter()
            .enumerate()
            .find(|(row, value)| !legal(*row, **value))
        {
            Some((row, value)) => Err(self.wrong(name, row, expected, value)),
            None => Ok(values),
        }
    }

    /// Reads a column of names as codes. Each distinct name is looked up once.
    ///
    /// # Errors
    /// When the column is missing or holds no names, or a name is null or has no code.
    pub(super) fn codes(
        &self,
        name: &str,
        expected: &dyn Display,
        code: &mut dyn FnMut(&str) -> Option<u32>,
    ) -> Result<Vec<u32>> {
        let column = self.column(name)?;
        let no_names = || {
            damaged(
                format!("{}: column `{name}`", self.path.display()),
                &"names",
                column.data_type(),
            )
        };
        let column = cast(column, &dictionary()).map_err(|_| no_names())?;
        let column = column.as_dictionary::<Int32Type>();
        let names = column.values().as_string_opt::<i32>().ok_or_else(no_names)?;
        let of_name: Vec<Option<u32>> = names.iter().map(|name| name.and_then(&mut *code)).collect();
        let code_at = |(row, key): (usize, Option<i32>)| {
            let key = key.and_then(|key| usize::try_from(key).ok());
            key.and_then(|key| *of_name.get(key)?).ok_or_else(|| {
                let found = key.filter(|key| *key < names.len() && names.is_valid(*key));
                let found =
                    found.map_or_else(|| "none".to_owned(), |key| format!("\"{}\"", names.value(key)));
                self.wrong(name, row, expected, &found)
            })
        };
        column.keys().iter().enumerate().map(code_at).collect()
    }
}
