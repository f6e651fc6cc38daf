//! Reads the tables of a cube, and refuses values that no replay writes: keys that the document does
//! not have, counts below 0 or above the counts of the document, and rows out of order.

use hashbrown::HashMap;
use std::path::Path;

use crate::base::error::Result;
use crate::base::{parquet_io, time};
use crate::bucket::N_GROUPS;
use crate::metric::{ColumnKind, MAX_UNITS, Sum, column_min};
use crate::replay::columns::{CheckedBatch, KEY_COLUMNS, VALUE, damaged, each_batch, out_of_order, unsorted};
use crate::replay::cube::{ActivityRow, Breakdown, CellKey, Cells, Cube, Exposure, ExposureRow, LatencyRow};
use crate::replay::limits::{self, QuantileLimits};
use crate::scenario::Arm;
use crate::scenario::plan::BreakdownBy;
use crate::stats::quantile::N_BINS;

/// The largest number of rows for which memory is reserved before they are read.
const MAX_RESERVED: usize = 1 << 20;

/// A count of distinct users: the column's name and the field.
type ExposureColumn = (&'static str, fn(&mut Exposure) -> &mut u64);

pub(super) const EXPOSURE_COLUMNS: [ExposureColumn; 6] = [
    ("n_baseline", |users| &mut users.n_baseline),
    ("n_candidate", |users| &mut users.n_candidate),
    ("n_crossover", |users| &mut users.n_crossover),
    ("n_new_baseline", |users| &mut users.n_new_baseline),
    ("n_new_candidate", |users| &mut users.n_new_candidate),
    ("n_first_candidate", |users| &mut users.n_first_candidate),
];

/// Reads the tables of one cube, whose document has been read.
pub(super) struct TableReader<'a> {
    cube: &'a Cube,
    tenants: HashMap<&'a str, u32>,
    layers: HashMap<&'a str, u32>,
    /// The number of windows that can have rows.
    n_windows: u32,
    /// The number of users in the layer table.
    n_users: u64,
}

/// The keys of the rows of a batch.
struct Keys {
    tenants: Vec<u32>,
    layers: Vec<u32>,
    /// Empty for a table without stages.
    stages: Vec<u8>,
}

impl Keys {
    fn at(&self, row: usize) -> (u32, u8, u8) {
        let stage = self.stages.get(row).copied().unwrap_or(0);
        (self.tenants[row], self.layers[row] as u8, stage)
    }
}

/// A measure that a table of cells has: its index in a row of sums, its column, and its range.
struct Measured {
    idx: usize,
    column: String,
    /// The least and the largest sum per row of the log.
    a_row: [i64; 2],
    /// The measure that counts the rows with a value, if it is read too. A flag adds at most 1 to
    /// its sum for each of them.
    known: Option<usize>,
}

/// The numbers of rows of both releases, as the document counts them.
type RowTotals = [u64; 2];

impl<'a> TableReader<'a> {
    pub(super) fn new(cube: &'a Cube) -> Self {
        Self {
            cube,
            tenants: cube.tenants.iter().map(String::as_str).zip(0..).collect(),
            layers: cube.layer_ids.iter().map(String::as_str).zip(0..).collect(),
            n_windows: n_windows(cube),
            n_users: n_users(cube),
        }
    }

    fn keys(&self, batch: &CheckedBatch<'_>, has_stages: bool) -> Result<Keys> {
        let tenants = batch.codes("tenant_id", &"a tenant of the cube", &mut |name| {
            self.tenants.get(name).copied()
        })?;
        let layers = batch.codes("layer", &"a layer of the cube", &mut |name| {
            self.layers.get(name).copied()
        })?;
        if !has_stages {
            return Ok(Keys {
                tenants,
                layers,
                stages: Vec::new(),
            });
        }
        let n_layers = self.cube.layer_ids.len();
        let n_stages = |row: usize| {
            let stratum = tenants[row] as usize * n_layers + layers[row] as usize;
            self.cube.layers[stratum].stages.len()
        };
        let is_stage =
            |row: usize, stage: i32| usize::try_from(stage).is_ok_and(|stage| stage < n_stages(row));
        let stages = batch.integers("stage", &"a stage of the layer, counted from 0", is_stage)?;
        let stages = stages.iter().map(|stage| *stage as u8).collect();
        Ok(Keys {
            tenants,
            layers,
            stages,
        })
    }

    fn arms(&self, batch: &CheckedBatch<'_>) -> Result<Vec<Arm>> {
        let (baseline, candidate) = (self.cube.baseline.as_str(), self.cube.candidate.as_str());
        let expected = format!("\"{baseline}\" or \"{candidate}\"");
        let codes = batch.codes("release", &expected, &mut |release| {
            [baseline, candidate]
                .iter()
                .position(|id| *id == release)
                .map(|arm| arm as u32)
        })?;
        let arm = |code| if code == 0 { Arm::Baseline } else { Arm::Candidate };
        Ok(codes.into_iter().map(arm).collect())
    }

    fn groups<'b>(batch: &CheckedBatch<'b>) -> Result<&'b [i32]> {
        let expected = format!("a bucket group, 0..={}", N_GROUPS - 1);
        batch.integers("bucket_group", &expected, |_, group| {
            (0..i32::from(N_GROUPS)).contains(&group)
        })
    }

    fn windows(&self, batch: &CheckedBatch<'_>) -> Result<Vec<u32>> {
        let column = "window_start";
        let (start, window) = (self.cube.start, self.cube.window);
        let of_row = |(row, at): (usize, &i64)| {
            let since = at
                .checked_sub(start)
                .filter(|since| *since >= 0 && since % window == 0);
            let window = since.and_then(|since| u32::try_from(since / window).ok());
            window.filter(|window| *window < self.n_windows).ok_or_else(|| {
                let until = time::format(self.cube.as_of);
                let expected = format!("the start of a window from {} to {until}", time::format(start));
                batch.wrong(column, row, &expected, &time::format(*at))
            })
        };
        batch.instants(column)?.iter().enumerate().map(of_row).collect()
    }

    /// Counts of users in a column, from `least` to the number of users of the layer table.
    fn user_counts<'b>(&self, batch: &CheckedBatch<'b>, name: &str, least: i64) -> Result<&'b [i64]> {
        let most = self.n_users as i64;
        batch.longs(name, &format!("a number of users, {least}..={most}"), |_, n| {
            (least..=most).contains(&n)
        })
    }

    /// The measures of a table of cells, with their ranges.
    fn measured(&self, wanted: &dyn Fn(&Sum) -> bool) -> Vec<Measured> {
        let measures = &self.cube.measures;
        let is_read = |idx: usize| measures[idx].present && wanted(&measures[idx].sum);
        let known_of = |sum: &Sum| {
            let Sum::Of(reading) = sum else { return None };
            let known = Sum::Known(reading.clone());
            (0..measures.len()).find(|idx| is_read(*idx) && measures[*idx].sum == known)
        };
        (0..measures.len())
            .filter(|idx| is_read(*idx))
            .map(|idx| {
                let sum = &measures[idx].sum;
                let a_row = range_a_row(sum, &self.cube.limits);
                Measured {
                    idx,
                    column: sum.column_name(),
                    a_row,
                    known: (a_row == [0, 1]).then(|| known_of(sum)).flatten(),
                }
            })
            .collect()
    }

    /// Reads the sums of a batch into rows of `values` from `first` on, and checks them.
    fn sums(
        &self,
        batch: &CheckedBatch<'_>,
        measured: &[Measured],
        totals: RowTotals,
        values: &mut Vec<i64>,
    ) -> Result<()> {
        let (n, first) = (self.cube.measures.len(), values.len());
        values.resize(first + batch.n_rows() * n, 0);
        // The number of rows comes first. The other sums are compared with it.
        let most_rows = totals[0].max(totals[1]) as i64;
        for measure in measured {
            let (idx, column, [low, high]) = (measure.idx, &measure.column, measure.a_row);
            let sums = if self.cube.measures[idx].sum == Sum::Rows {
                batch.longs(
                    column,
                    &format!("a number of rows, 1..={most_rows}"),
                    |_, rows| (1..=most_rows).contains(&rows),
                )?
            } else {
                let rows_of = |row: usize| values[first + row * n];
                // A product that does not fit in 64 bits allows every sum.
                let is_legal = |row: usize, sum: i64| {
                    let rows = rows_of(row);
                    low.checked_mul(rows).is_none_or(|least| sum >= least)
                        && high.checked_mul(rows).is_none_or(|most| sum <= most)
                };
                batch.longs(column, &of_rows(low, high), is_legal)?
            };
            for (row, sum) in sums.iter().enumerate() {
                values[first + row * n + idx] = *sum;
            }
        }
        for measure in measured {
            let Some(known) = measure.known else { continue };
            let rows = values[first..].chunks_exact(n).enumerate();
            let over = rows
                .map(|(row, sums)| (row, sums[measure.idx], sums[known]))
                .find(|(_, sum, most)| sum > most);
            if let Some((row, sum, most)) = over {
                let expected = format!("at most {most}, the number of rows with a value");
                return Err(batch.wrong(&measure.column, row, &expected, &sum));
            }
        }
        Ok(())
    }

    /// Reads a table of cells, whose keys ascend. `n_rows` holds the rows that the document counts.
    ///
    /// # Errors
    /// When the table cannot be read, or has a value that no replay writes.
    pub(super) fn cells(
        &self,
        path: &Path,
        wanted: &dyn Fn(&Sum) -> bool,
        n_rows: RowTotals,
    ) -> Result<Cells> {
        let mut last: Option<CellKey> = None;
        let cells = self.any_cells(path, wanted, n_rows, None, &mut |batch, keys| {
            for (row, key) in keys.iter().enumerate() {
                if last.is_some_and(|last| last >= *key) {
                    return Err(out_of_order(batch, row));
                }
                last = Some(*key);
            }
            Ok(())
        })?;
        self.check_rows(path, &cells, n_rows)?;
        Ok(cells)
    }

    /// Reads the cells of a breakdown, whose keys ascend by series, value, window and group.
    ///
    /// # Errors
    /// As [`Self::cells`].
    pub(super) fn breakdown(&self, path: &Path, by: &BreakdownBy, n_rows: RowTotals) -> Result<Breakdown> {
        let (mut codes, mut values): (HashMap<String, u32>, Vec<String>) = (HashMap::new(), Vec::new());
        let mut value_of: Vec<u32> = Vec::new();
        let mut on_batch = |batch: &CheckedBatch<'_>, _: &[CellKey]| {
            if *by == BreakdownBy::User {
                let n_users = self.n_users as i64;
                let expected = format!("the row of a user, 0..{n_users}");
                let rows = batch.longs(VALUE, &expected, |_, row| (0..n_users).contains(&row))?;
                value_of.extend(rows.iter().map(|row| *row as u32));
                return Ok(());
            }
            value_of.extend(batch.codes(VALUE, &"a value", &mut |name| {
                Some(*codes.entry_ref(name).or_insert_with(|| {
                    values.push(name.to_owned());
                    values.len() as u32 - 1
                }))
            })?);
            Ok(())
        };
        let cells = self.any_cells(path, &|_| true, n_rows, Some(VALUE), &mut on_batch)?;
        if *by != BreakdownBy::User {
            // Values get codes in the order of their names.
            values.sort_unstable();
            let new: HashMap<u32, u32> = values
                .iter()
                .zip(0..)
                .filter_map(|(value, new)| Some((*codes.get(value)?, new)))
                .collect();
            value_of
                .iter_mut()
                .for_each(|value| *value = new.get(value).copied().unwrap_or(0));
        }
        let order = |row: usize| {
            let key = &cells.keys[row];
            (key.stage_key(), key.arm, value_of[row], key.window, key.group)
        };
        if let Some(row) = (1..cells.keys.len()).find(|row| order(row - 1) >= order(*row)) {
            return Err(unsorted(path, row as u64));
        }
        self.check_rows(path, &cells, n_rows)?;
        Ok(Breakdown {
            by: by.clone(),
            values,
            cells,
            value_of,
        })
    }

    /// Reads cells in any order. `on_batch` gets each batch with its keys.
    fn any_cells(
        &self,
        path: &Path,
        wanted: &dyn Fn(&Sum) -> bool,
        n_rows: RowTotals,
        extra: Option<&str>,
        on_batch: &mut dyn FnMut(&CheckedBatch<'_>, &[CellKey]) -> Result<()>,
    ) -> Result<Cells> {
        let measured = self.measured(wanted);
        let mut columns = KEY_COLUMNS.to_vec();
        columns.extend(measured.iter().map(|measure| measure.column.as_str()));
        columns.extend(extra);
        // Memory that is reserved and not used costs nothing, and a table that grows is copied. A cube
        // that is continued gets more cells.
        let n_most = parquet_io::n_rows(path)?.min(n_rows[0].saturating_add(n_rows[1]));
        let n_most = usize::try_from(n_most).unwrap_or(usize::MAX).min(MAX_RESERVED);
        let n_most = n_most + n_most / 4;
        let mut cells = Cells {
            keys: Vec::with_capacity(n_most),
            values: Vec::with_capacity(n_most * self.cube.measures.len()),
        };
        each_batch(path, Some(&columns), &mut |batch| {
            let keys = self.keys(batch, true)?;
            let (arms, groups, windows) = (self.arms(batch)?, Self::groups(batch)?, self.windows(batch)?);
            let first = cells.keys.len();
            for (row, arm) in arms.into_iter().enumerate() {
                let (tenant, layer, stage) = keys.at(row);
                cells.keys.push(CellKey {
                    tenant,
                    layer,
                    stage,
                    arm,
                    window: windows[row],
                    group: groups[row] as u16,
                });
            }
            on_batch(batch, &cells.keys[first..])?;
            self.sums(batch, &measured, n_rows, &mut cells.values)
        })?;
        Ok(cells)
    }

    /// Refuses cells whose numbers of rows differ from those of the document.
    fn check_rows(&self, path: &Path, cells: &Cells, expected: RowTotals) -> Result<()> {
        let mut found: RowTotals = [0; 2];
        for (key, values) in cells.iter() {
            let n = &mut found[key.arm.index()];
            *n = n.saturating_add(values[0].unsigned_abs());
        }
        if found == expected {
            return Ok(());
        }
        let [baseline, candidate] = expected;
        Err(damaged(
            format!("{}: column `rows`", path.display()),
            &format!(
                "{baseline} rows of the baseline and {candidate} of the candidate in all, as in the document"
            ),
            &format!("{} and {}", found[0], found[1]),
        ))
    }

    /// Reads the users by last window.
    ///
    /// # Errors
    /// As [`Self::cells`].
    pub(super) fn activity(&self, path: &Path) -> Result<Vec<ActivityRow>> {
        let mut rows: Vec<ActivityRow> = Vec::new();
        each_batch(path, None, &mut |batch| {
            let (keys, groups) = (self.keys(batch, false)?, Self::groups(batch)?);
            // Windows beyond 2^31 are stored as negative numbers.
            let expected = format!("a window, 0..{}", self.n_windows);
            let windows = batch.integers("last_window", &expected, |_, window| {
                (window as u32) < self.n_windows
            })?;
            let users = self.user_counts(batch, "n_users", 1)?;
            for row in 0..batch.n_rows() {
                let (tenant, layer, _) = keys.at(row);
                let found = ActivityRow {
                    tenant,
                    layer,
                    group: groups[row] as u16,
                    last_window: windows[row] as u32,
                    n_users: users[row] as u64,
                };
                let order = |row: &ActivityRow| (row.tenant, row.layer, row.last_window, row.group);
                if rows.last().is_some_and(|last| order(last) >= order(&found)) {
                    return Err(out_of_order(batch, row));
                }
                rows.push(found);
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Reads the distinct users by stage and bucket group.
    ///
    /// # Errors
    /// As [`Self::cells`].
    pub(super) fn exposures(&self, path: &Path) -> Result<Vec<ExposureRow>> {
        let mut rows: Vec<ExposureRow> = Vec::new();
        each_batch(path, None, &mut |batch| {
            let (keys, groups) = (self.keys(batch, true)?, Self::groups(batch)?);
            let counts = EXPOSURE_COLUMNS
                .iter()
                .map(|(name, _)| self.user_counts(batch, name, 0))
                .collect::<Result<Vec<_>>>()?;
            for row in 0..batch.n_rows() {
                let (tenant, layer, stage) = keys.at(row);
                let mut users = Exposure::default();
                for ((_, of), counts) in EXPOSURE_COLUMNS.iter().zip(&counts) {
                    *of(&mut users) = counts[row] as u64;
                }
                check_exposure(batch, row, &users)?;
                let found = ExposureRow {
                    tenant,
                    layer,
                    stage,
                    group: groups[row] as u16,
                    users,
                };
                let order = |row: &ExposureRow| (row.stage_key(), row.group);
                if rows.last().is_some_and(|last| order(last) >= order(&found)) {
                    return Err(out_of_order(batch, row));
                }
                rows.push(found);
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Reads the latency histograms.
    ///
    /// # Errors
    /// As [`Self::cells`].
    pub(super) fn latencies(&self, path: &Path, n_rows: RowTotals) -> Result<Vec<(LatencyRow, u64)>> {
        let mut rows: Vec<(LatencyRow, u64)> = Vec::new();
        let mut left = n_rows;
        each_batch(path, None, &mut |batch| {
            let keys = self.keys(batch, true)?;
            let (arms, groups) = (self.arms(batch)?, Self::groups(batch)?);
            let expected = format!("a bin of the histogram, 0..{N_BINS}");
            let bins = batch.integers("bin", &expected, |_, bin| (0..i32::from(N_BINS)).contains(&bin))?;
            let counts = batch.longs("n", &"a number of rows of at least 1", |_, n| n >= 1)?;
            for (row, arm) in arms.into_iter().enumerate() {
                let (tenant, layer, stage) = keys.at(row);
                let found = LatencyRow {
                    tenant,
                    layer,
                    stage,
                    arm,
                    group: groups[row] as u16,
                    bin: bins[row] as u16,
                };
                if rows.last().is_some_and(|(last, _)| *last >= found) {
                    return Err(out_of_order(batch, row));
                }
                let (n, left) = (counts[row] as u64, &mut left[arm.index()]);
                *left = left.checked_sub(n).ok_or_else(|| {
                    let expected = format!("at most {left}, the rows of the release that are left");
                    batch.wrong("n", row, &expected, &n)
                })?;
                rows.push((found, n));
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

/// The number of windows from the plan's start to `as_of`, the last of which may be cut off.
pub(super) fn n_windows(cube: &Cube) -> u32 {
    // The document's check limits both.
    let (whole, rest) = (
        (cube.as_of - cube.start) / cube.window,
        (cube.as_of - cube.start) % cube.window,
    );
    u32::try_from(whole + i64::from(rest > 0)).unwrap_or(u32::MAX)
}

/// The number of users of a cube's layer table.
pub(super) fn n_users(cube: &Cube) -> u64 {
    cube.layers.iter().map(|layer| layer.n_users).sum()
}

/// The least and the largest value that a row of the log adds to a sum, in integer units. A row
/// without a value adds 0.
fn range_a_row(sum: &Sum, of_quantiles: &[QuantileLimits]) -> [i64; 2] {
    let Sum::Of(_) = sum else { return [0, 1] };
    let Some(reading) = sum.reading() else {
        return [i64::MIN, i64::MAX];
    };
    if reading.kind() == ColumnKind::Flag {
        return [0, 1];
    }
    let most = MAX_UNITS as i64;
    let least = if column_min(&reading.column) == 0.0 {
        0
    } else {
        -most
    };
    match limits::in_units(&reading, of_quantiles) {
        Some([floor, cap]) => [least.max(floor).min(cap).min(0), most.max(floor).min(cap).max(0)],
        None => [least, most],
    }
}

/// The expected sums of a column, for messages.
fn of_rows(low: i64, high: i64) -> String {
    match (low, high) {
        (0, 1) => "a count from 0 to the number of rows".to_owned(),
        (0, _) => format!("a sum of at least 0 and at most {high} for each row"),
        _ => format!("a sum from {low} to {high} for each row"),
    }
}

fn check_exposure(batch: &CheckedBatch<'_>, row: usize, users: &Exposure) -> Result<()> {
    let parts = [
        (
            "n_new_baseline",
            users.n_new_baseline,
            "n_baseline",
            users.n_baseline,
        ),
        (
            "n_new_candidate",
            users.n_new_candidate,
            "n_candidate",
            users.n_candidate,
        ),
        (
            "n_first_candidate",
            users.n_first_candidate,
            "n_candidate + n_crossover",
            users.n_candidate + users.n_crossover,
        ),
    ];
    match parts.iter().find(|(_, part, _, whole)| part > whole) {
        Some((column, part, of, whole)) => {
            Err(batch.wrong(column, row, &format!("at most {of}, {whole}"), part))
        }
        None => Ok(()),
    }
}
