//! Sources as tables in memory, for queries over whole tables.

use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::parquet_io;
use crate::base::progress::Progress;
use crate::frames::bridge::widened_type;
use crate::frames::query::{MemoryTable, MemoryTables};
use crate::input::file::InputFile;
use crate::input::format::Format;
use crate::input::table::Table;
use crate::input::text_types::typed;
use crate::scenario::Source;

/// A source whose headers have been read.
pub(crate) struct Files {
    table: Table,
    /// All columns of all files, in the order of their first appearance.
    columns: Vec<String>,
}

impl Files {
    /// Finds the files and reads their headers.
    ///
    /// # Errors
    /// There is no file, or a header cannot be read.
    pub(crate) fn open(source: &Source) -> Result<Self> {
        let table = Table::open(source)?;
        let mut columns: Vec<String> = Vec::new();
        let of_files = table.files.iter().flat_map(InputFile::names);
        for column in of_files.chain(source.derive.keys().cloned()) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        Ok(Self { table, columns })
    }

    /// The columns with their types in a query. `None` unless all files are Parquet: other formats
    /// state no types.
    pub(crate) fn schema(&self) -> Option<SchemaRef> {
        let mut fields: Vec<Field> = Vec::new();
        for file in &self.table.files {
            for field in file.fields()? {
                if !fields.iter().any(|known| known.name() == field.name()) {
                    let data_type = widened_type(field.data_type()).ok()?;
                    fields.push(Field::new(field.name(), data_type, true));
                }
            }
        }
        Some(Arc::new(Schema::new(fields)))
    }

    /// Reads the columns that a query may name. A table without any of them gets its first column,
    /// so that its rows are counted. Returns the number of rows.
    ///
    /// # Errors
    /// A file cannot be read, two files have other types in a column, or the tables are larger than
    /// their limit.
    pub(crate) fn read(
        &self,
        name: &str,
        is_read: &dyn Fn(&str) -> bool,
        tables: &mut MemoryTables,
        progress: &Progress,
    ) -> Result<u64> {
        let mut wanted: Vec<&str> = self
            .columns
            .iter()
            .map(String::as_str)
            .filter(|name| is_read(name))
            .collect();
        if wanted.is_empty() {
            wanted.extend(self.columns.first().map(String::as_str));
        }
        let bar = progress.rows("rows", self.table.n_rows());
        // The batches of each column, and the number of rows of each batch.
        let mut columns: Vec<Vec<Option<ArrayRef>>> = vec![Vec::new(); wanted.len()];
        let mut n_rows = Vec::new();
        for part in &self.table.parts {
            let file = self.table.files[part.file_idx].path.display();
            self.table.read(*part, &wanted, &mut |batch| {
                bar.advance(batch.n_rows as u64);
                n_rows.push(batch.n_rows);
                let arrays = batch.into_columns();
                let sizes = arrays
                    .iter()
                    .flatten()
                    .map(|array| array.get_array_memory_size() as u64);
                tables.reserve(&file, sizes.sum())?;
                columns
                    .iter_mut()
                    .zip(arrays)
                    .for_each(|(column, array)| column.push(array));
                Ok(())
            })?;
        }
        let mut fields = Vec::with_capacity(wanted.len());
        let mut arrays = Vec::with_capacity(wanted.len());
        for (column, batches) in wanted.iter().zip(columns) {
            let (data_type, unified) = self.unified(column, batches, &n_rows)?;
            fields.push(Field::new(*column, data_type, true));
            arrays.push(unified);
        }
        let schema = Arc::new(Schema::new(fields));
        let batches = (0..n_rows.len()).map(|idx| {
            let arrays = arrays.iter().map(|column| Arc::clone(&column[idx]));
            parquet_io::batch(&schema, arrays.collect())
        });
        tables.add(MemoryTable {
            name: name.to_owned(),
            batches: batches.collect(),
            schema: Arc::clone(&schema),
            columns: self.columns.clone(),
        });
        Ok(n_rows.iter().map(|n_rows| *n_rows as u64).sum())
    }

    /// The batches of a column in one type: the type of texts is found, that of other files is the
    /// widest. Files without the column have nulls.
    fn unified(
        &self,
        column: &str,
        batches: Vec<Option<ArrayRef>>,
        n_rows: &[usize],
    ) -> Result<(DataType, Vec<ArrayRef>)> {
        let is_there: Vec<bool> = batches.iter().map(Option::is_some).collect();
        let mut found: Vec<ArrayRef> = batches.into_iter().flatten().collect();
        if self
            .table
            .files
            .iter()
            .any(|file| !matches!(file.format, Format::Parquet | Format::Arrow))
        {
            found = typed(found);
        }
        let data_type = self.common_type(column, &found)?;
        let mut found = found.into_iter();
        let arrays = is_there.into_iter().zip(n_rows).map(|(is_there, n_rows)| {
            match if is_there { found.next() } else { None } {
                Some(array) if *array.data_type() == data_type => Ok(array),
                Some(array) => {
                    cast(&array, &data_type).map_err(|error| self.wrong(column, &error.to_string()))
                }
                None => Ok(new_null_array(&data_type, *n_rows)),
            }
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok((data_type, arrays))
    }

    /// The type of a column: that of all its batches, or the widened type of batches that differ.
    fn common_type(&self, column: &str, batches: &[ArrayRef]) -> Result<DataType> {
        let Some(first) = batches.first() else {
            let schema = self.schema();
            let field = schema
                .as_ref()
                .and_then(|schema| schema.field_with_name(column).ok());
            return Ok(field.map_or(DataType::Null, |field| field.data_type().clone()));
        };
        if batches.iter().all(|array| array.data_type() == first.data_type()) {
            return Ok(first.data_type().clone());
        }
        let mut common = DataType::Null;
        for array in batches {
            let found = widened_type(array.data_type()).map_err(|message| self.wrong(column, &message))?;
            common = match (common, found) {
                (DataType::Null, other) | (other, DataType::Null) => other,
                (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
                    DataType::Float64
                }
                (known, other) if known == other => known,
                (known, other) => {
                    let message = format!("expected one type in all files, found {known} and {other}");
                    return Err(self.wrong(column, &message));
                }
            };
        }
        Ok(common)
    }

    fn wrong(&self, column: &str, message: &str) -> Error {
        let path = self.table.source.path.display();
        Error::input(format!("{path}: column `{column}`"), message)
    }
}
