//! A batch of raw columns, and the rows of a batch that cannot be used.

use arrow_array::{ArrayRef, StringArray};
use arrow_cast::cast;
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::{advice, escape, flag};
use crate::scenario::{OnBadRow, Unit};

/// Raw columns of consecutive rows of one file.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Path of the file that the rows come from.
    pub path: &'a Path,
    /// Number of the batch's first row in its file, from 0.
    pub first_row: u64,
    /// Number of rows in the batch.
    pub n_rows: usize,
    /// The rows that the filter of the source keeps, from `first_row`. `None` without a filter.
    kept: Option<Vec<u32>>,
    /// Rows in which an expression has no legal value.
    illegal: Vec<Illegal>,
    columns: Vec<Option<(String, ArrayRef)>>,
    /// Declared units of the columns. `None` for the unit that Sluice reads.
    units: Vec<Option<&'a Unit>>,
}

/// A row in which an expression has no legal value.
#[derive(Debug, Clone)]
pub(super) struct Illegal {
    /// Row in the batch.
    pub(super) row: usize,
    /// The canonical column.
    pub(super) column: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl<'a> Batch<'a> {
    pub(super) fn new(path: &'a Path, first_row: u64, n_rows: usize, n_columns: usize) -> Self {
        Self {
            path,
            first_row,
            n_rows,
            kept: None,
            illegal: Vec::new(),
            columns: vec![None; n_columns],
            units: vec![None; n_columns],
        }
    }

    /// States the rows of the file that the batch has, from its first row.
    #[cfg_attr(not(feature = "frames"), allow(dead_code))]
    pub(super) fn set_kept(&mut self, kept: Vec<u32>) {
        self.kept = Some(kept);
    }

    #[cfg_attr(not(feature = "frames"), allow(dead_code))]
    pub(super) fn set_illegal(&mut self, illegal: Vec<Illegal>) {
        self.illegal = illegal;
    }

    /// The number of a row in its file, from 0.
    fn row_in_file(&self, row: usize) -> u64 {
        let offset = self.kept.as_ref().map_or(row as u64, |kept| u64::from(kept[row]));
        self.first_row + offset
    }

    /// Makes the list of the rows that cannot be used. It begins with those in which an expression
    /// has no legal value.
    ///
    /// # Errors
    /// Under the policy `error`, there is such a row.
    pub(crate) fn faults(&self, policy: OnBadRow) -> Result<RowFaults> {
        let mut faults = RowFaults::new(policy, self.n_rows);
        for illegal in &self.illegal {
            faults.record(
                self,
                &illegal.column,
                illegal.row,
                &illegal.expected,
                &illegal.found,
            )?;
        }
        Ok(faults)
    }

    pub(super) fn set_unit(&mut self, idx: usize, unit: &'a Unit) {
        self.units[idx] = Some(unit);
    }

    /// Returns the declared unit of a column. `None` if it has none.
    pub(super) fn unit(&self, idx: usize) -> Option<&'a Unit> {
        self.units[idx]
    }

    /// Stores a column. Dictionaries and wide text layouts are converted, so that `convert` reads
    /// one text type only.
    pub(super) fn set(&mut self, idx: usize, name: &str, array: ArrayRef) {
        let plain = match array.data_type() {
            DataType::Dictionary(_, value) => Some((**value).clone()),
            _ => None,
        };
        let array = plain.and_then(|plain| cast(&array, &plain).ok()).unwrap_or(array);
        let is_text = matches!(array.data_type(), DataType::LargeUtf8 | DataType::Utf8View);
        let array = if is_text {
            cast(&array, &DataType::Utf8).unwrap_or(array)
        } else {
            array
        };
        self.columns[idx] = Some((name.to_owned(), array));
    }

    pub(super) fn set_constant(&mut self, idx: usize, canonical: &str, template: &str) {
        let rows = 0..self.n_rows;
        let array: StringArray = if template.contains("{row}") {
            rows.map(|row| Some(template.replace("{row}", &self.row_in_file(row).to_string())))
                .collect()
        } else {
            rows.map(|_| Some(template)).collect()
        };
        self.set(idx, canonical, Arc::new(array));
    }

    /// Returns the values of a column. `None` if the source does not have it.
    pub(crate) fn array(&self, idx: usize) -> Option<&ArrayRef> {
        self.columns[idx].as_ref().map(|(_, array)| array)
    }

    /// Returns a column's name in the file and its values. `None` if the source does not have it.
    pub(super) fn column(&self, idx: usize) -> Option<(&str, &ArrayRef)> {
        self.columns[idx]
            .as_ref()
            .map(|(name, array)| (name.as_str(), array))
    }

    /// Returns the values of all columns. `None` for a column that the source does not have.
    #[cfg_attr(not(feature = "frames"), allow(dead_code))]
    pub(crate) fn into_columns(self) -> Vec<Option<ArrayRef>> {
        let columns = self.columns.into_iter();
        columns.map(|column| column.map(|(_, array)| array)).collect()
    }

    /// Returns the location of a value for messages: ``file: column `c`, row 12``. Rows count from
    /// 1 without the header.
    pub fn location(&self, column: &str, row: usize) -> String {
        format!(
            "{}: column `{column}`, row {}",
            self.path.display(),
            self.row_in_file(row) + 1
        )
    }

    pub(super) fn wrong_type(&self, column: &str, expected: &str, found: &dyn std::fmt::Display) -> Error {
        Error::input(
            format!("{}: column `{column}`", self.path.display()),
            format!("expected {expected}, found {found}"),
        )
    }
}

/// A row that is left out, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Name of the column in the file.
    pub(crate) column: String,
    /// Number of the row in its file, from 1.
    pub(crate) row: u64,
    /// The expected value.
    pub(crate) expected: String,
    /// The value that was found, as a message quotes it.
    pub(crate) found: String,
}

/// The largest number of examples of a batch.
const MAX_EXAMPLES: usize = 5;

/// The rows of a batch that cannot be used, handled by the scenario's policy.
#[derive(Debug)]
pub struct RowFaults {
    policy: OnBadRow,
    bad: Vec<bool>,
    n_bad: usize,
    counts: BTreeMap<String, u64>,
    /// The first rows that are left out.
    examples: Vec<Fault>,
    /// The column in the batch, and the row, of each value that is stored as 0 and is not 0.
    below_resolution: Vec<(usize, usize)>,
}

impl RowFaults {
    /// Makes an empty list of faults for a batch of `n_rows` rows.
    pub fn new(policy: OnBadRow, n_rows: usize) -> Self {
        Self {
            policy,
            bad: vec![false; n_rows],
            n_bad: 0,
            counts: BTreeMap::new(),
            examples: Vec::new(),
            below_resolution: Vec::new(),
        }
    }

    /// Records a value that is not 0 and is stored as 0. The row is used.
    pub(crate) fn record_below_resolution(&mut self, column_idx: usize, row: usize) {
        self.below_resolution.push((column_idx, row));
    }

    /// The values that are not 0 and are stored as 0: the column in the batch, and the row.
    pub(crate) fn below_resolution(&self) -> &[(usize, usize)] {
        &self.below_resolution
    }

    /// Records a row that cannot be used. Under the policy `drop` the row is left out and counted
    /// once, under its first reason.
    ///
    /// # Errors
    /// Under the policy `error`, every recorded row.
    pub fn record(
        &mut self,
        batch: &Batch<'_>,
        column: &str,
        row: usize,
        expected: &str,
        found: &dyn std::fmt::Display,
    ) -> Result<()> {
        if self.policy == OnBadRow::Error {
            let found = escape::value(&found.to_string());
            let hint = if expected == flag::EXPECTED {
                "write flags as true and false, yes and no, or 1 and 0: words of other languages are not read"
                    .to_owned()
            } else if expected.starts_with("a number") && found.contains(',') {
                "decimal commas and thousands separators are not converted: write numbers with a point"
                    .to_owned()
            } else {
                advice::drop_rows()
            };
            let message = format!("expected {expected}, found {found}");
            return Err(Error::input(batch.location(column, row), message).hint(hint));
        }
        if !std::mem::replace(&mut self.bad[row], true) {
            self.n_bad += 1;
            if self.examples.len() < MAX_EXAMPLES {
                self.examples.push(Fault {
                    column: column.to_owned(),
                    row: batch.first_row + row as u64 + 1,
                    expected: expected.to_owned(),
                    found: escape::value(&found.to_string()),
                });
            }
            // Reasons are counted without the examples of messages.
            let reason = expected.split(" such as ").next().unwrap_or(expected);
            *self
                .counts
                .entry(format!("column `{column}`: expected {reason}"))
                .or_default() += 1;
        }
        Ok(())
    }

    /// Whether a row is left out.
    pub fn is_bad(&self, row: usize) -> bool {
        self.bad[row]
    }

    /// Returns the number of rows that are left out.
    pub fn n_bad(&self) -> usize {
        self.n_bad
    }

    /// Returns the first rows that are left out.
    pub(crate) fn examples(&self) -> &[Fault] {
        &self.examples
    }

    /// Returns the numbers of rows that are left out, by reason.
    pub fn into_counts(self) -> BTreeMap<String, u64> {
        self.counts
    }
}
