//! The traffic log: one row a user turn.

use arrow_array::{Array, BooleanArray, Int64Array, StringArray};
use std::collections::BTreeMap;

use super::{
    batch::{Batch, RowFaults},
    convert,
    source::{Part, Table},
};
use crate::{
    error::{Error, Result},
    metric::{column_kind, column_min},
    scenario::{OnBadRow, Source},
};

const COLUMNS: [&str; 6] = ["event_time", "user_id", "release_id", "tenant_id", "layer", "is_shadow"];
/// Canonical columns that a source may rename though no metric reads them.
const PASSIVE: [&str; 4] = ["trace_id", "session_id", "feature", "propensity"];

/// Turns with typed columns.
#[derive(Debug)]
pub struct TrafficBatch<'a> {
    /// Where the rows come from, for messages.
    pub raw: &'a Batch<'a>,
    /// Microseconds; never null in a row that is used.
    pub event_time: Int64Array,
    /// Never null in a row that is used.
    pub user_id: StringArray,
    /// Null: unknown.
    pub release_id: StringArray,
    /// Null or absent: the default tenant.
    pub tenant_id: Option<StringArray>,
    /// As coloured at serving time.
    pub layer: Option<StringArray>,
    /// Answered beside the real one, not shown to the user.
    pub is_shadow: Option<BooleanArray>,
    /// The measured columns, in the reader's order, in integer units of their kind.
    pub measured: Vec<Option<Int64Array>>,
    /// Rows that must be left out.
    pub faults: &'a RowFaults,
}

/// Reads a traffic log part by part.
#[derive(Debug)]
pub struct TrafficReader {
    table: Table,
    measured: Vec<String>,
    on_bad_row: OnBadRow,
}

impl TrafficReader {
    /// Opens a log. `measured` are the columns that metrics read; those that the log does not have stay empty.
    ///
    /// # Errors
    /// No readable file, or a required column that is not there.
    pub fn open(source: &Source, measured: &[String], on_bad_row: OnBadRow) -> Result<Self> {
        let table = Table::open(source)?;
        table.check_columns(&["event_time", "user_id", "release_id"])?;
        for canonical in source.columns.keys().chain(source.constants.keys()) {
            let known = COLUMNS.contains(&canonical.as_str()) || PASSIVE.contains(&canonical.as_str()) || measured.contains(canonical);
            if !known {
                return Err(Error::input(
                    source.path.display().to_string(),
                    format!("expected to rename a traffic column or a column of a metric, found `{canonical}`"),
                )
                .hint(format!(
                    "known here: {}",
                    COLUMNS.iter().copied().chain(measured.iter().map(String::as_str)).collect::<Vec<_>>().join(", ")
                )));
            }
        }
        Ok(Self { table, measured: measured.to_vec(), on_bad_row })
    }

    /// The files and their parts.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether the log has a measured column.
    pub fn has(&self, column: &str) -> bool {
        self.table.has(column)
    }

    /// Reads one part and hands over each batch; returns the rows left out, counted by reason.
    ///
    /// # Errors
    /// A file that cannot be read, a bad row under the policy `error`, or what `on_batch` returns.
    pub fn read(&self, part: Part, on_batch: &mut dyn FnMut(&TrafficBatch<'_>) -> Result<()>) -> Result<BTreeMap<String, u64>> {
        let wanted: Vec<&str> = COLUMNS.iter().copied().chain(self.measured.iter().map(String::as_str)).collect();
        let mut counts = BTreeMap::new();
        self.table.read(part, &wanted, &mut |batch| {
            let mut faults = RowFaults::new(self.on_bad_row, batch.n_rows);
            let (Some(event_time), Some(user_id), Some(release_id)) =
                (convert::instant(&batch, 0, &mut faults)?, convert::required_text(&batch, 1, &mut faults)?, convert::text(&batch, 2)?)
            else {
                return Ok(());
            };
            for row in (0..batch.n_rows).filter(|row| event_time.is_null(*row)) {
                faults.note(&batch, self.table.name_in_file("event_time"), row, "an instant", &"none")?;
            }
            let tenant_id = convert::text(&batch, 3)?;
            let layer = convert::text(&batch, 4)?;
            let is_shadow = convert::flag(&batch, 5, &mut faults)?;
            let mut measured = Vec::with_capacity(self.measured.len());
            for (offset, column) in self.measured.iter().enumerate() {
                let idx = COLUMNS.len() + offset;
                measured.push(convert::units(&batch, idx, column_kind(column), column_min(column), &mut faults)?);
            }
            let raw = &batch;
            let typed = TrafficBatch { raw, event_time, user_id, release_id, tenant_id, layer, is_shadow, measured, faults: &faults };
            on_batch(&typed)?;
            for (reason, n) in faults.into_counts() {
                *counts.entry(reason).or_default() += n;
            }
            Ok(())
        })?;
        Ok(counts)
    }
}
