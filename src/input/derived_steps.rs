//! Derived columns for the fast reader: the values of a row group, step by step, beside the columns
//! that are read straight from their pages.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatchReader};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::concat::concat;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use std::path::Path;
use std::sync::Arc;

use crate::base::bitmap;
use crate::base::parquet_io::{guard, open_batches};
use crate::input::derived::Reading;
use crate::input::fast_scan::{Mapping, STEP_WORDS, Unsupported};
use crate::input::file::InputFile;
use crate::input::table::{Part, Table};

/// The derived columns of a row group, and the rows that the filter keeps.
pub(super) struct DerivedSteps<'a> {
    path: &'a Path,
    batches: ParquetRecordBatchReader,
    reading: Reading,
    /// For each field of the expressions, the index of its column in a batch.
    inputs: Vec<usize>,
    /// Rows that have been computed and not yet used: the derived columns, then the kept rows.
    ready: Vec<ArrayRef>,
    /// The rows of the current step.
    step: Vec<ArrayRef>,
}

impl<'a> DerivedSteps<'a> {
    /// Opens the expressions of a part. `None` if the source has none.
    ///
    /// # Errors
    /// An expression reads a column that only the general reader can read.
    pub(super) fn open(table: &'a Table, part: Part, wanted: &[&str]) -> Result<Option<Self>, Unsupported> {
        if !table.source.has_expressions() {
            return Ok(None);
        }
        let file: &InputFile = &table.files[part.file_idx];
        let footer = file.footer.as_ref().ok_or(Unsupported)?;
        let reading = Reading::new(&table.source, file, wanted).map_err(|_| Unsupported)?;
        if !reading.has_plain_inputs() {
            return Err(Unsupported);
        }
        let names: Vec<&str> = reading.inputs().map(|want| want.name).collect();
        let batches = open_batches(&file.path, footer, part.row_group, &|name| names.contains(&name))
            .map_err(|_| Unsupported)?;
        let schema = batches.schema();
        let inputs = names
            .iter()
            .map(|name| schema.index_of(name).map_err(|_| Unsupported))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Self {
            path: &file.path,
            batches,
            reading,
            inputs,
            ready: Vec::new(),
            step: Vec::new(),
        }))
    }

    /// The index of a derived column. `None` for a column that is not derived.
    pub(super) fn find(&self, canonical: &str) -> Option<usize> {
        self.reading.outputs().position(|name| name == canonical)
    }

    /// Whether a derived column has flags.
    pub(super) fn is_flag(&self, idx: usize) -> bool {
        self.reading.is_flag(idx)
    }

    /// Moves to the next `n` rows.
    ///
    /// # Errors
    /// There are fewer rows, or a row has no legal value: the general reader reports it.
    pub(super) fn next(&mut self, n: usize) -> Result<(), Unsupported> {
        let n_columns = self.reading.outputs().count() + 1;
        while self.ready.first().map_or(0, |column| column.len()) < n {
            let batch = guard(self.path, || self.batches.next().transpose())
                .map_err(|_| Unsupported)?
                .ok_or(Unsupported)?;
            let fields: Vec<ArrayRef> = self
                .inputs
                .iter()
                .map(|idx| Arc::clone(batch.column(*idx)))
                .collect();
            let derived = self
                .reading
                .values(&fields, batch.num_rows())
                .map_err(|_| Unsupported)?;
            if !derived.faults.is_empty() {
                return Err(Unsupported);
            }
            let mut columns = derived.columns;
            let all = || BooleanArray::from(vec![true; batch.num_rows()]);
            columns.push(Arc::new(derived.keep.unwrap_or_else(all)));
            self.ready = if self.ready.first().is_none_or(|column| column.is_empty()) {
                columns
            } else {
                let pairs = self.ready.iter().zip(&columns);
                pairs
                    .map(|(rest, next)| concat(&[rest.as_ref(), next.as_ref()]).map_err(|_| Unsupported))
                    .collect::<Result<_, _>>()?
            };
        }
        let slice = |range: std::ops::Range<usize>| {
            let part = |column: &ArrayRef| column.slice(range.start, range.len());
            self.ready.iter().map(part).collect::<Vec<_>>()
        };
        let len = self.ready.first().map_or(0, |column| column.len());
        debug_assert_eq!(self.ready.len(), n_columns);
        self.step = slice(0..n);
        self.ready = slice(n..len);
        Ok(())
    }

    /// The rows of the step that the filter keeps. `None` for all rows.
    pub(super) fn kept(&self) -> Option<&BooleanArray> {
        let kept = self.step.last()?.as_boolean();
        (kept.true_count() < kept.len()).then_some(kept)
    }

    /// Fills a column of the step. Returns the number of rows without a value.
    ///
    /// # Errors
    /// The mapping does not take the kind of the values, or one of the values.
    pub(super) fn fill<V: Copy>(
        &self,
        idx: usize,
        mapping: Mapping<'_, V>,
        missing: V,
        out: &mut [V],
        absent: &mut [u64; STEP_WORDS],
    ) -> Result<usize, Unsupported> {
        let array = &self.step[idx];
        *absent = [0; STEP_WORDS];
        let valid: Vec<usize> = (0..array.len()).filter(|row| array.is_valid(*row)).collect();
        for row in (0..array.len()).filter(|row| array.is_null(*row)) {
            bitmap::set(absent, row);
        }
        let mut values = vec![missing; valid.len()];
        match (mapping, array.data_type()) {
            (Mapping::Number(map), DataType::Float64) => {
                let array = array.as_primitive::<Float64Type>();
                let numbers: Vec<f64> = valid.iter().map(|row| array.value(*row)).collect();
                mapped(map(&numbers, &mut values))?;
            }
            (Mapping::Number(map), DataType::Int64) => {
                let array = array.as_primitive::<Int64Type>();
                let numbers: Vec<f64> = valid.iter().map(|row| array.value(*row) as f64).collect();
                mapped(map(&numbers, &mut values))?;
            }
            (Mapping::Flag(of), DataType::Boolean) => {
                let array = array.as_boolean();
                let flags = values.iter_mut().zip(&valid);
                flags.for_each(|(value, row)| *value = of[usize::from(array.value(*row))]);
            }
            (Mapping::Micros(map), DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                let micros: Vec<i64> = valid.iter().map(|row| array.value(*row)).collect();
                mapped(map(&micros, &mut values))?;
            }
            (Mapping::Text(map) | Mapping::Id(map), DataType::Utf8View) => {
                let array = array.as_string_view();
                let texts = values.iter_mut().zip(&valid);
                texts.for_each(|(value, row)| *value = map(array.value(*row).as_bytes()));
            }
            (Mapping::Id(map), DataType::Int64) => {
                let array = array.as_primitive::<Int64Type>();
                let mut buffer = itoa::Buffer::new();
                for (value, row) in values.iter_mut().zip(&valid) {
                    *value = map(buffer.format(array.value(*row)).as_bytes());
                }
            }
            _ => return Err(Unsupported),
        }
        if valid.len() == array.len() {
            out.copy_from_slice(&values);
        } else {
            out.fill(missing);
            valid
                .iter()
                .zip(values)
                .for_each(|(row, value)| out[*row] = value);
        }
        Ok(array.len() - valid.len())
    }
}

fn mapped(is_legal: bool) -> Result<(), Unsupported> {
    if is_legal { Ok(()) } else { Err(Unsupported) }
}
