//! Breakdowns: cube cells with one more key, a column's value or the user.

use hashbrown::HashMap;

use crate::base::error::{Error, Result};
use crate::base::hash;
use crate::replay::cube::{Breakdown, CellKey, Cells};
use crate::replay::strata::Strata;
use crate::replay::sum_table::SumTable;
use crate::replay::sums::{Sums, overflow};
use crate::scenario::plan::BreakdownBy;

/// The largest number of values of a column. A column with more values probably holds ids.
const MAX_VALUES: usize = 1_000;
/// The largest number of cells by user. Larger logs use bucket groups as clusters.
const MAX_USER_CELLS: usize = 1 << 23;

/// One thread's cells of a breakdown. The value and the window share one field of the key: `value *
/// n_windows + window`.
pub(super) struct BreakdownCells {
    by: BreakdownBy,
    n_windows: u32,
    pub(super) cells: SumTable<i64>,
    /// This thread's codes of values, by the values' hashes.
    numbers: HashMap<i64, u32>,
    hashes: Vec<i64>,
    names: HashMap<i64, String>,
}

impl BreakdownCells {
    pub(super) fn new(by: &BreakdownBy, n_windows: u32, n_slots: usize) -> Self {
        Self {
            by: by.clone(),
            n_windows,
            cells: SumTable::new(n_slots),
            numbers: HashMap::new(),
            hashes: Vec::new(),
            names: HashMap::new(),
        }
    }

    /// The key of this breakdown.
    pub(super) fn by(&self) -> &BreakdownBy {
        &self.by
    }

    /// The text of a value that was learned.
    pub(super) fn name(&self, hash: i64) -> Option<&str> {
        self.names.get(&hash).map(String::as_str)
    }

    /// The values by their codes, each with its hash and text, and the cells.
    pub(super) fn into_values(self) -> (Vec<(i64, String)>, SumTable<i64>) {
        let mut names = self.names;
        let named = |hash: i64| (hash, names.remove(&hash).unwrap_or_default());
        (self.hashes.into_iter().map(named).collect(), self.cells)
    }

    /// Makes the cells of a breakdown from what [`Self::into_values`] returned.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn from_values(
        by: &BreakdownBy,
        n_windows: u32,
        values: Vec<(i64, String)>,
        cells: SumTable<i64>,
    ) -> Result<Self> {
        let hashes: Vec<i64> = values.iter().map(|(hash, _)| *hash).collect();
        let found = Self {
            by: by.clone(),
            n_windows,
            cells,
            numbers: hashes.iter().copied().zip(0..).collect(),
            hashes,
            names: values.into_iter().collect(),
        };
        found.check()?;
        Ok(found)
    }

    /// Adds the names of a step's values.
    pub(super) fn learn(&mut self, names: &mut Vec<(i64, String)>) {
        self.names.extend(names.drain(..));
    }

    /// The code of a value. A missing value counts as the empty text.
    pub(super) fn number(&mut self, value: Option<i64>) -> u32 {
        let hash = value.unwrap_or(hash::hash_id(b"") as i64);
        *self.numbers.entry(hash).or_insert_with(|| {
            self.hashes.push(hash);
            self.hashes.len() as u32 - 1
        })
    }

    pub(super) fn key(&self, series: u32, value: u32, window: u32, group: u16) -> u64 {
        // A code that does not fit is refused by `check` before a key is used.
        Strata::key(
            series,
            value.wrapping_mul(self.n_windows).wrapping_add(window),
            group,
        )
    }

    /// Refuses a breakdown that is too detailed.
    ///
    /// # Errors
    /// When a column has too many values, or the breakdown has too many cells.
    pub(super) fn check(&self) -> Result<()> {
        match &self.by {
            BreakdownBy::Column(column) if self.hashes.len() > MAX_VALUES => Err(Error::input(
                "traffic",
                format!("expected at most {MAX_VALUES} values in `{column}`, found more"),
            )
            .hint("remove it from `analysis.breakdowns`; a column of ids has too many values")),
            BreakdownBy::Column(column)
                if self.hashes.len() as u64 * u64::from(self.n_windows) > u64::from(u32::MAX) =>
            {
                Err(Error::usage(format!(
                    "expected fewer than 2^32 values of `{column}` times windows, found more"
                ))
                .hint("use a longer plan.window_minutes"))
            }
            BreakdownBy::User if self.cells.len() > MAX_USER_CELLS => Err(too_large()),
            _ => Ok(()),
        }
    }

    /// Adds the sums of an earlier cube.
    ///
    /// # Errors
    /// When a sum overflows.
    pub(super) fn load(&mut self, earlier: &Breakdown, strata: &Strata, sums: &Sums) -> Result<()> {
        for name in &earlier.values {
            self.names
                .insert(hash::hash_id(name.as_bytes()) as i64, name.clone());
        }
        let (mut row, mut slots) = (Vec::new(), vec![0; sums.n_slots()]);
        for ((cell, values), value) in earlier.cells.iter().zip(&earlier.value_of) {
            let number = match earlier.by {
                BreakdownBy::User => *value,
                BreakdownBy::Column(_) => self.number(Some(hash::hash_id(
                    earlier.values[*value as usize].as_bytes(),
                ) as i64)),
            };
            sums.expand(values[0], values, &mut slots);
            let series = strata.series(
                strata.stratum(cell.tenant, cell.layer),
                usize::from(cell.stage),
                cell.arm,
            );
            self.cells
                .rows(&[self.key(series, number, cell.window, cell.group)], &mut row);
            for (sum, more) in self.cells.sums_mut(row[0]).iter_mut().zip(&slots) {
                *sum = sum.checked_add(*more).ok_or_else(|| overflow("a cell"))?;
            }
        }
        Ok(())
    }

    /// Merges the cells of all threads. Values get codes in the order of their names, so the result
    /// does not depend on the threads. `None` if `parts` is empty.
    ///
    /// # Errors
    /// When a sum overflows, or a column has too many values.
    pub(super) fn finish(parts: Vec<Self>, strata: &Strata, sums: &Sums) -> Result<Option<Breakdown>> {
        let Some((by, n_windows)) = parts.first().map(|part| (part.by.clone(), part.n_windows)) else {
            return Ok(None);
        };
        let mut names: HashMap<i64, String> = HashMap::new();
        parts
            .iter()
            .for_each(|part| names.extend(part.names.iter().map(|(hash, name)| (*hash, name.clone()))));
        let name_of = |hash: &i64| names.get(hash).cloned().unwrap_or_default();
        let mut values: Vec<String> = parts.iter().flat_map(|part| &part.hashes).map(name_of).collect();
        values.sort();
        values.dedup();
        let mut all = Self::new(&by, n_windows, sums.n_slots());
        all.hashes = vec![0; values.len()];
        all.check()?;
        let add = |a: i64, b: i64| a.checked_add(b).ok_or_else(|| overflow("a cell"));
        for part in parts {
            let new_number: Vec<u32> = part
                .hashes
                .iter()
                .map(|hash| {
                    values
                        .binary_search(&name_of(hash))
                        .map_or(0, |number| number as u32)
                })
                .collect();
            let mut row = Vec::new();
            let mut failed = None;
            SumTable::for_each_sorted(vec![part.cells], add, |key, slots| {
                let key = Strata::with_window(key, |window| {
                    let (value, window) = (window / n_windows, window % n_windows);
                    new_number.get(value as usize).copied().unwrap_or(value) * n_windows + window
                });
                all.cells.rows(&[key], &mut row);
                for (sum, more) in all.cells.sums_mut(row[0]).iter_mut().zip(slots) {
                    match add(*sum, *more) {
                        Ok(total) => *sum = total,
                        Err(error) => failed = Some(error),
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        all.check()?;
        let (mut cells, mut value_of) = (Cells::default(), Vec::new());
        SumTable::for_each_sorted(vec![all.cells], add, |key, slots| {
            let cell = strata.cell_key(key);
            value_of.push(cell.window / n_windows);
            cells.keys.push(CellKey {
                window: cell.window % n_windows,
                ..cell
            });
            sums.finish(slots, &mut cells.values);
        })?;
        Ok(Some(Breakdown {
            by,
            values,
            cells,
            value_of,
        }))
    }
}

/// Refuses users as clusters if the log has too many users or windows.
///
/// # Errors
/// When `n_users * n_windows` does not fit in a key.
pub(super) fn check_users(n_users: usize, n_windows: u32) -> Result<()> {
    let is_held = n_users
        .checked_mul(n_windows as usize)
        .is_some_and(|n| u32::try_from(n).is_ok());
    if is_held { Ok(()) } else { Err(too_large()) }
}

fn too_large() -> Error {
    Error::usage(format!(
        "expected a log of at most {MAX_USER_CELLS} cells for `analysis.clusters = \"user\"`, found more"
    ))
    .hint("remove this setting; the clusters are then bucket groups, which give the same intervals")
}
