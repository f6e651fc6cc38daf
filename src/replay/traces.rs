//! Outcomes of logged requests from other sources, found by trace: shadow answers of the candidate,
//! and outcomes that arrived late.

use arrow_array::Array;
use hashbrown::HashMap;
use rayon::prelude::*;

use crate::base::error::Result;
use crate::base::hash;
use crate::input::{TrafficReader, Turns};

/// Outcomes by the hash of their request's trace id.
#[derive(Debug, Default)]
pub(super) struct Traces {
    rows: HashMap<u64, u32>,
    n_columns: usize,
    values: Vec<i64>,
    known: Vec<bool>,
    /// The counts of rows that were read but not used.
    pub(super) counts: TraceCounts,
}

/// The counts of rows, by use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TraceCounts {
    pub(super) n_rows: u64,
    /// Rows of another release than the requested one.
    pub(super) n_other: u64,
    /// Rows of requests with more than one row.
    pub(super) n_repeated: u64,
    pub(super) n_bad: u64,
}

/// The policy for a second row of the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnRepeat {
    /// Drops all rows of the request, because the correct one is unknown.
    DropAll,
    /// Replaces earlier values by later values that are not missing.
    Update,
}

impl Traces {
    /// Reads outcomes. `release` limits them to one release; `None` reads all. All `readers` have
    /// the same measured columns.
    ///
    /// # Errors
    /// When a source cannot be read, or has a bad row under the policy `error`.
    pub(super) fn read(
        readers: &[TrafficReader],
        release: Option<&str>,
        on_repeat: OnRepeat,
    ) -> Result<Self> {
        let mut traces = Self {
            n_columns: readers.first().map_or(0, |reader| reader.measured().len()),
            ..Self::default()
        };
        let mut repeated: Vec<u64> = Vec::new();
        for reader in readers {
            for part in &reader.table().parts {
                traces.counts.n_bad += reader.read_outcomes(*part, &mut |batch| {
                    for row in 0..batch.trace_id.len() {
                        traces.counts.n_rows += 1;
                        if batch.faults.is_bad(row) {
                            continue;
                        }
                        let is_other = |release: &str| {
                            batch
                                .release_id
                                .as_ref()
                                .is_some_and(|ids| ids.is_null(row) || ids.value(row) != release)
                        };
                        if release.is_some_and(is_other) {
                            traces.counts.n_other += 1;
                            continue;
                        }
                        let trace = hash::hash_id(batch.trace_id.value(row).as_bytes());
                        let values = batch
                            .measured
                            .iter()
                            .map(|c| c.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row)));
                        if traces.put(trace, values) && on_repeat == OnRepeat::DropAll {
                            repeated.push(trace);
                        }
                    }
                    Ok(())
                })?;
            }
        }
        repeated.par_sort_unstable();
        traces.counts.n_repeated = repeated.len() as u64;
        repeated.dedup();
        traces.counts.n_repeated += repeated.len() as u64;
        for trace in &repeated {
            traces.rows.remove(trace);
        }
        Ok(traces)
    }

    /// Stores the values of a request. Returns `true` if the request already had a row; values that
    /// are not missing then replace the earlier ones.
    fn put(&mut self, trace: u64, values: impl Iterator<Item = Option<i64>>) -> bool {
        let next = self.rows.len() as u32;
        let row = *self.rows.entry(trace).or_insert(next);
        if row == next {
            for value in values {
                self.values.push(value.unwrap_or(0));
                self.known.push(value.is_some());
            }
            return false;
        }
        for (at, value) in (row as usize * self.n_columns..).zip(values) {
            if let Some(value) = value {
                (self.values[at], self.known[at]) = (value, true);
            }
        }
        true
    }

    /// Finds the row of a request's outcome; `None` if the request has none.
    pub(super) fn find(&self, trace: u64) -> Option<u32> {
        self.rows.get(&trace).copied()
    }

    /// A value of an outcome, in integer units; `None` if it is missing.
    pub(super) fn value(&self, row: u32, column: usize) -> Option<i64> {
        let at = row as usize * self.n_columns + column;
        self.known[at].then(|| self.values[at])
    }

    /// Replaces the values of some turns by the values of their outcomes. Missing values replace
    /// nothing.
    pub(super) fn update(&self, turns: &mut Turns, rows: &[u16]) {
        if turns.trace.n_absent == turns.n {
            return;
        }
        for row in rows.iter().map(|row| usize::from(*row)) {
            if turns.trace.is_absent(row) {
                continue;
            }
            let Some(found) = self.find(turns.trace.values[row] as u64) else {
                continue;
            };
            for column in 0..self.n_columns {
                if let Some(value) = self.value(found, column) {
                    turns.measured[column].put(row, Some(value));
                }
            }
        }
    }
}
