//! The states of all threads, and an earlier cube, as the parts of one cube.

use hashbrown::HashMap;
use rayon::slice::ParallelSliceMut;
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::replay::breakdown::BreakdownCells;
use crate::replay::cube::{Breakdown, CellKey, Cells, Cube, LatencyRow, RowCounts};
use crate::replay::seen::{UserExposure, UserRow};
use crate::replay::sessions::Sessions;
use crate::replay::state::{OCTAVE, ReplayState};
use crate::replay::strata::Strata;
use crate::replay::sum_table::SumTable;
use crate::replay::sums::{Sums, overflow};
use crate::replay::users::User;

/// The number of rows of an earlier cube that are added together, so that look-ups overlap.
const LOADED: usize = 1_024;

/// The result of a scan.
pub(in crate::replay) struct Finished {
    pub(in crate::replay) cells: Cells,
    pub(in crate::replay) pairs: Cells,
    pub(in crate::replay) latencies: Vec<(LatencyRow, u64)>,
    pub(in crate::replay) breakdowns: Vec<Breakdown>,
    pub(in crate::replay) counts: RowCounts,
    /// Users who were served under another layer than their own, in order of row and stratum.
    pub(in crate::replay) served_elsewhere: Vec<UserRow>,
    pub(in crate::replay) sessions: BTreeMap<u32, Vec<u64>>,
}

impl ReplayState {
    /// Adds the sums and counts of an earlier cube.
    ///
    /// # Errors
    /// When a sum overflows.
    pub(in crate::replay) fn load(&mut self, cube: &Cube, strata: &Strata, sums: &Sums) -> Result<()> {
        let (mut keys, mut rows, mut slots) = (Vec::new(), Vec::new(), vec![0; sums.n_slots]);
        for (mine, theirs) in [(&mut self.cells, &cube.cells), (&mut self.pairs, &cube.pairs)] {
            let width = cube.measures.len().max(1);
            let values = theirs.values.chunks(LOADED * width);
            for (cells, values) in theirs.keys.chunks(LOADED).zip(values) {
                keys.clear();
                keys.extend(cells.iter().map(|key| strata.key_of(key)));
                mine.rows(&keys, &mut rows);
                for (row, values) in rows.iter().zip(values.chunks_exact(width)) {
                    sums.expand(values[0], values, &mut slots);
                    for (sum, more) in mine.sums_mut(*row).iter_mut().zip(&slots) {
                        *sum = sum.checked_add(*more).ok_or_else(|| overflow("a cell"))?;
                    }
                }
            }
        }
        for bins in cube.latencies.chunks(LOADED) {
            keys.clear();
            keys.extend(bins.iter().map(|(key, _)| {
                let stratum = strata.stratum(key.tenant, key.layer);
                let series = strata.series(stratum, usize::from(key.stage), key.arm);
                Strata::key(series, u32::from(key.bin / OCTAVE), key.group)
            }));
            self.latencies.rows(&keys, &mut rows);
            for (row, (key, n)) in rows.iter().zip(bins) {
                self.latencies.sums_mut(*row)[usize::from(key.bin % OCTAVE)] += *n as i64;
            }
        }
        self.load_rest(cube, strata, sums)
    }

    /// Adds the breakdowns and counts of an earlier cube.
    ///
    /// # Errors
    /// When a sum overflows.
    pub(in crate::replay) fn load_rest(&mut self, cube: &Cube, strata: &Strata, sums: &Sums) -> Result<()> {
        for (mine, theirs) in self.breakdowns.iter_mut().zip(&cube.breakdowns) {
            mine.load(theirs, strata, sums)?;
        }
        self.counts.merge(cube.counts.clone());
        Ok(())
    }

    /// Merges the states of all threads and sorts everything by key. The order of the states does
    /// not matter because every sum is an integer.
    ///
    /// # Errors
    /// When a sum overflows.
    pub(in crate::replay) fn finish(states: Vec<Self>, strata: &Strata, sums: &Sums) -> Result<Finished> {
        let add = |a: i64, b: i64| a.checked_add(b).ok_or_else(|| overflow("a cell"));
        let finish_cells = |parts: Vec<SumTable<i64>>| -> Result<Cells> {
            let mut cells = Cells::default();
            let n_most = parts.iter().map(SumTable::len).sum::<usize>();
            cells.keys.reserve_exact(n_most);
            cells.values.reserve_exact(n_most * sums.measures.len());
            SumTable::for_each_sorted(parts, add, |key, slots| {
                cells.keys.push(strata.cell_key(key));
                sums.finish(slots, &mut cells.values);
            })?;
            Ok(cells)
        };
        let (mut cells, mut pairs, mut octaves) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counts, mut sessions) = (RowCounts::default(), Sessions::default());
        let mut seen: HashMap<(u32, u32), (User, UserExposure)> = HashMap::new();
        let mut broken: Vec<Vec<BreakdownCells>> = Vec::new();
        for state in states {
            broken.resize_with(state.breakdowns.len(), Vec::new);
            broken
                .iter_mut()
                .zip(state.breakdowns)
                .for_each(|(all, own)| all.push(own));
            cells.push(state.cells);
            pairs.push(state.pairs);
            octaves.push(state.latencies);
            counts.merge(state.counts);
            sessions.merge(state.sessions);
            for (key, (user, more)) in state.served_elsewhere {
                seen.entry(key)
                    .or_insert((user, UserExposure::default()))
                    .1
                    .merge(more);
            }
        }
        let (cells, pairs) = (finish_cells(cells)?, finish_cells(pairs)?);
        let mut latencies = Vec::new();
        SumTable::for_each_sorted(octaves, add, |key, counts| {
            let CellKey {
                tenant,
                layer,
                stage,
                arm,
                window: octave,
                group,
            } = strata.cell_key(key);
            for (bin, n) in counts.iter().enumerate().filter(|(_, n)| **n != 0) {
                let bin = octave as u16 * OCTAVE + bin as u16;
                latencies.push((
                    LatencyRow {
                        tenant,
                        layer,
                        stage,
                        arm,
                        group,
                        bin,
                    },
                    *n as u64,
                ));
            }
        })?;
        latencies.par_sort_unstable();
        let user_row = |((row, stratum), (user, seen)): ((u32, u32), (User, UserExposure))| UserRow {
            row,
            stratum,
            bucket: user.bucket,
            seen,
        };
        let mut served_elsewhere: Vec<UserRow> = seen.into_iter().map(user_row).collect();
        served_elsewhere.sort_unstable_by_key(|user| (user.row, user.stratum));
        let mut breakdowns = Vec::new();
        for parts in broken {
            breakdowns.extend(BreakdownCells::finish(parts, strata, sums)?);
        }
        Ok(Finished {
            cells,
            pairs,
            latencies,
            breakdowns,
            counts,
            served_elsewhere,
            sessions: sessions.finish(),
        })
    }
}
