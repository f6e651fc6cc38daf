//! The mergeable state of a scan: update it with turns, merge states, and finish as the parts of a
//! cube.

use hashbrown::HashMap;
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::time::Micros;
use crate::bucket::group_of;
use crate::input::{Turns, release, rows_without, served_layer};
use crate::replay::breakdown::BreakdownCells;
use crate::replay::context::{Scan, measured_columns};
use crate::replay::cube::RowCounts;
use crate::replay::facts::Since;
use crate::replay::index::UNKNOWN;
use crate::replay::seen::UserExposure;
use crate::replay::sessions::Sessions;
use crate::replay::strata::Strata;
use crate::replay::sum_table::{AHEAD, SumTable};
use crate::replay::sums::{LimitedColumn, Sums, overflow};
use crate::replay::unknown::UnknownHashes;
use crate::replay::users::{User, Users};
use crate::scenario::Arm;
use crate::scenario::plan::BreakdownBy;
use crate::scenario::stages::Stage;
use crate::stats::quantile::bin_of;

/// The number of histogram bins in one octave (a factor of two in latency). An octave is one row of
/// the latency table.
const OCTAVE: u16 = 64;
/// The largest accepted difference between a logged propensity and the plan's ratio, in millionths:
/// half a basis point.
const PROPENSITY_TOLERANCE: i64 = 50;

/// One thread's share of a scan.
pub(super) struct ReplayState {
    cells: SumTable<i64>,
    /// Sums of the logged and the shadow outcomes of the same requests.
    pairs: SumTable<i64>,
    /// Number of rows by latency bin. One row of the table holds the bins of one octave.
    latencies: SumTable<i64>,
    breakdowns: Vec<BreakdownCells>,
    pub(super) counts: RowCounts,
    /// Ids that are not known.
    pub(super) unknown: UnknownHashes,
    /// The part that is scanned. `None` if it is not known.
    pub(super) part: Option<usize>,
    /// Users who were served under another layer than their own, by row and stratum.
    served_elsewhere: HashMap<(u32, u32), (User, UserExposure)>,
    sessions: Sessions,
    as_of: Micros,
    buffers: Buffers,
}

/// Buffers that are reused from step to step.
#[derive(Default)]
struct Buffers {
    rows: Vec<u16>,
    hashes: Vec<u64>,
    found: Vec<u32>,
    turns: Vec<Turn>,
    keys: Vec<u64>,
    cells: Vec<u32>,
}

/// A turn with its arm, series and window, before it is added to a cell.
#[derive(Debug, Clone, Copy)]
struct Turn {
    row: u16,
    user: u32,
    arm: Arm,
    group: u16,
    series: u32,
    window: u32,
}

impl ReplayState {
    pub(super) fn new(scan: &Scan<'_>) -> Self {
        Self::empty(&scan.sums, scan.ctx.as_of, scan.ctx.breakdowns, scan.n_windows())
    }

    /// Creates an empty state.
    pub(super) fn empty(sums: &Sums, as_of: Micros, breakdowns: &[BreakdownBy], n_windows: u32) -> Self {
        Self {
            cells: SumTable::new(sums.n_slots),
            pairs: SumTable::new(sums.n_slots),
            latencies: SumTable::new(usize::from(OCTAVE)),
            breakdowns: breakdowns
                .iter()
                .map(|by| BreakdownCells::new(by, n_windows, sums.n_slots))
                .collect(),
            counts: RowCounts::default(),
            unknown: UnknownHashes::default(),
            part: None,
            served_elsewhere: HashMap::new(),
            sessions: Sessions::default(),
            as_of,
            buffers: Buffers::default(),
        }
    }

    /// Counts the rows of a step by reason, and keeps those that can be in an arm, before their
    /// users are known. Returns the number of rows at or after `as_of`.
    pub(super) fn admit(&mut self, scan: &Scan<'_>, turns: &mut Turns, since: Since) -> u64 {
        self.learn(scan, turns);
        let (plan, as_of, counts) = (scan.ctx.plan, scan.ctx.as_of, &mut self.counts);
        let rows = &mut self.buffers.rows;
        rows_without(&turns.bad, turns.n, rows);
        if let Some(until) = since.counted_until {
            rows.retain(|row| turns.at.values[usize::from(*row)] >= until);
            counts.n_rows += rows.len() as u64;
        } else {
            counts.n_rows += turns.n as u64;
            counts.n_bad += (turns.n - rows.len()) as u64;
        }
        let keep = |rows: &mut Vec<u16>, keep: &dyn Fn(usize) -> bool| {
            let n = rows.len();
            rows.retain(|row| keep(usize::from(*row)));
            (n - rows.len()) as u64
        };
        counts.n_before_start += keep(rows, &|row| turns.at.values[row] >= plan.start);
        let n_after = keep(rows, &|row| turns.at.values[row] < as_of);
        counts.n_after_as_of += n_after;
        if turns.is_shadow.n_absent < turns.n {
            counts.n_shadow += keep(rows, &|row| turns.is_shadow.values[row] == 0);
        }
        if turns.is_eval.n_absent < turns.n {
            counts.n_eval += keep(rows, &|row| turns.is_eval.values[row] == 0);
        }
        if !turns.below_resolution.is_empty() {
            let columns = measured_columns(scan.ctx.metrics);
            for (column, _) in turns
                .below_resolution
                .iter()
                .filter(|(_, row)| rows.binary_search(row).is_ok())
            {
                *counts
                    .below_resolution
                    .entry(columns[*column].column.clone())
                    .or_default() += 1;
            }
        }
        n_after
    }

    /// Adds the names of a step's values to the breakdowns by column.
    pub(super) fn learn(&mut self, scan: &Scan<'_>, turns: &mut Turns) {
        let of_columns = self
            .breakdowns
            .iter_mut()
            .zip(scan.ctx.breakdowns)
            .filter(|(_, by)| **by != BreakdownBy::User);
        of_columns
            .zip(&mut turns.names)
            .for_each(|((breaking, _), names)| breaking.learn(names));
    }

    /// The breakdowns by column, in the order of the columns of a step.
    pub(super) fn spelled(&self) -> impl Iterator<Item = &BreakdownCells> {
        self.breakdowns
            .iter()
            .filter(|cells| *cells.by() != BreakdownBy::User)
    }

    /// Takes a step whose rows were admitted before.
    pub(super) fn admit_all(&mut self, turns: &Turns) {
        self.buffers.rows.clear();
        self.buffers.rows.extend(0..turns.n as u16);
    }

    /// The rows that the last [`Self::admit`] kept.
    pub(super) fn admitted(&self) -> &[u16] {
        &self.buffers.rows
    }

    /// Adds the admitted rows to their cells.
    ///
    /// # Errors
    /// When a sum overflows.
    pub(super) fn update(&mut self, scan: &Scan<'_>, users: &Users, turns: &mut Turns) -> Result<()> {
        if let Some(outcomes) = &scan.outcomes {
            outcomes.update(turns, &self.buffers.rows);
        }
        self.find_users(users, turns);
        self.assign(scan, users, turns);
        let Buffers {
            turns: placed,
            keys,
            cells,
            ..
        } = &mut self.buffers;
        keys.clear();
        keys.extend(
            placed
                .iter()
                .map(|turn| Strata::key(turn.series, turn.window, turn.group)),
        );
        self.cells.rows(keys, cells);
        add(&mut self.cells, &scan.sums, cells, placed, turns)?;
        self.add_breakdowns(scan, users, turns)?;
        self.add_latencies(scan, turns);
        self.add_pairs(scan, turns)?;
        if scan.count_sessions && turns.session.n_absent < turns.n {
            self.add_sessions(users, turns);
        }
        Ok(())
    }

    /// Finds the users of the admitted rows.
    #[inline(never)]
    fn find_users(&mut self, users: &Users, turns: &Turns) {
        let Buffers {
            rows, hashes, found, ..
        } = &mut self.buffers;
        hashes.clear();
        hashes.extend(rows.iter().map(|row| turns.user_hash(usize::from(*row))));
        users.find(hashes, found);
    }

    /// Assigns each row to an arm, stage and window, and marks the exposure of its user.
    #[inline(never)]
    fn assign(&mut self, scan: &Scan<'_>, users: &Users, turns: &Turns) {
        let Buffers {
            rows,
            hashes,
            found,
            turns: placed,
            ..
        } = &mut self.buffers;
        let (counts, unknown) = (&mut self.counts, &mut self.unknown);
        let (strata, profile) = (&scan.strata, &scan.ctx.plan.profile);
        let is_recomputable = profile.is_recomputable();
        placed.clear();
        for (idx, (row, user_idx)) in rows.iter().zip(found.iter()).enumerate() {
            if let Some(next) = found.get(idx + AHEAD) {
                users.prefetch(*next);
            }
            let at = usize::from(*row);
            if *user_idx == UNKNOWN {
                counts.n_unknown_user += 1;
                let ids = [&turns.tenant, &turns.user].map(|column| column.values[at] as u64);
                unknown.note_user(hashes[idx], ids[0], ids[1], self.part);
                if turns.release.values[at] >= release::NONE {
                    unknown.note_release(turns.release.values[at], self.part);
                }
                continue;
            }
            let arm = match turns.release.values[at] {
                release::BASELINE => Arm::Baseline,
                release::CANDIDATE => Arm::Candidate,
                code => {
                    unknown.note_release(code, self.part);
                    counts.n_unknown_release += 1;
                    continue;
                }
            };
            let user = users.user(*user_idx);
            if !user.eligible {
                counts.n_ineligible += 1;
                counts.n_ineligible_candidate += u64::from(arm == Arm::Candidate);
                continue;
            }
            let logged = turns.layer.values[at];
            // The recorded layer determined the ratio under which the user was served.
            let stratum = match logged {
                served_layer::NONE | served_layer::UNKNOWN => user.stratum,
                layer => strata.sibling(user.stratum, layer as u8),
            };
            let instant = turns.at.values[at];
            let Some(stage) = strata.stage_at(stratum, instant) else {
                counts.n_settling += 1;
                counts.n_settling_candidate += u64::from(arm == Arm::Candidate);
                continue;
            };
            counts.n_layer_logged += u64::from(logged != served_layer::NONE);
            counts.n_layer_differs += u64::from(logged == served_layer::UNKNOWN || stratum != user.stratum);
            let Stage {
                ratio, mixed_since, ..
            } = strata.stages[stratum as usize][stage];
            let is_reached = ratio.reaches(user.bucket);
            // While a change is under way, a row of the next ratio is in its right arm.
            let is_one_ratio = mixed_since.is_none_or(|since| instant < since);
            counts.n_misassigned +=
                u64::from(is_recomputable && is_one_ratio && is_reached != (arm == Arm::Candidate));
            if turns.propensity.n_absent < turns.n && !turns.propensity.is_absent(at) {
                let bps = i64::from(if arm == Arm::Candidate {
                    ratio.bps()
                } else {
                    10_000 - ratio.bps()
                });
                let differs = (turns.propensity.values[at] - bps * 100).abs() > PROPENSITY_TOLERANCE;
                counts.n_propensity_differs += u64::from(differs);
            }
            match arm {
                Arm::Baseline => counts.n_baseline += 1,
                Arm::Candidate => counts.n_candidate += 1,
            }
            let window = strata.window_at(instant);
            if stratum == user.stratum {
                users.mark(*user_idx, stage, arm as usize, window);
            } else {
                let (_, seen) = self
                    .served_elsewhere
                    .entry((users.row(*user_idx), stratum))
                    .or_insert((user, UserExposure::default()));
                seen.stages[arm as usize].insert(stage);
                seen.last = seen.last.max(window + 1);
            }
            let series = strata.series(stratum, stage, arm);
            placed.push(Turn {
                row: *row,
                user: *user_idx,
                arm,
                group: group_of(user.bucket),
                series,
                window,
            });
        }
    }

    /// Adds the turns of a step to the cells of all breakdowns.
    fn add_breakdowns(&mut self, scan: &Scan<'_>, users: &Users, turns: &Turns) -> Result<()> {
        let Buffers {
            turns: placed,
            keys,
            cells,
            ..
        } = &mut self.buffers;
        let mut columns = turns.breakdowns.iter();
        for (breaking, by) in self.breakdowns.iter_mut().zip(scan.ctx.breakdowns) {
            let column = if *by == BreakdownBy::User {
                None
            } else {
                columns.next()
            };
            keys.clear();
            for turn in placed.iter() {
                let row = usize::from(turn.row);
                let value = match column {
                    Some(column) => breaking.number((!column.is_absent(row)).then(|| column.values[row])),
                    None => users.row(turn.user),
                };
                keys.push(breaking.key(turn.series, value, turn.window, turn.group));
            }
            breaking.check()?;
            breaking.cells.rows(keys, cells);
            add(&mut breaking.cells, &scan.sums, cells, placed, turns)?;
        }
        Ok(())
    }

    /// Adds the latencies of a step to the histograms.
    #[inline(never)]
    fn add_latencies(&mut self, scan: &Scan<'_>, turns: &Turns) {
        let Some(latency) = scan
            .sums
            .latency
            .map(|column| &turns.measured[column])
            .filter(|column| column.n_absent < turns.n)
        else {
            return;
        };
        let Buffers {
            turns: placed,
            keys,
            cells,
            found,
            ..
        } = &mut self.buffers;
        keys.clear();
        // The users have been used by now, so their buffer is reused for the bins.
        found.clear();
        for turn in placed
            .iter()
            .filter(|turn| !latency.is_absent(usize::from(turn.row)))
        {
            // Values are in millionths of a millisecond; the histogram counts microseconds.
            let bin = bin_of(latency.values[usize::from(turn.row)].unsigned_abs() / 1_000);
            keys.push(Strata::key(turn.series, u32::from(bin / OCTAVE), turn.group));
            found.push(u32::from(bin % OCTAVE));
        }
        self.latencies.rows(keys, cells);
        for (idx, (row, bin)) in cells.iter().zip(found.iter()).enumerate() {
            if let (Some(next), Some(bin)) = (cells.get(idx + AHEAD), found.get(idx + AHEAD)) {
                self.latencies.prefetch(*next, *bin as usize);
            }
            self.latencies.sums_mut(*row)[*bin as usize] += 1;
        }
    }

    /// Adds pairs: baseline turns of a step with a shadow answer to the same request.
    #[inline(never)]
    fn add_pairs(&mut self, scan: &Scan<'_>, turns: &Turns) -> Result<()> {
        let Some(shadows) = &scan.shadows else {
            return Ok(());
        };
        let mut row = Vec::new();
        for turn in self.buffers.turns.iter().filter(|turn| turn.arm == Arm::Baseline) {
            let at = usize::from(turn.row);
            if turns.trace.n_absent == turns.n || turns.trace.is_absent(at) {
                continue;
            }
            let Some(outcome) = shadows.find(turns.trace.values[at] as u64) else {
                continue;
            };
            self.counts.n_pairs += 1;
            let [logged, shadow] =
                [turn.series, turn.series + 1].map(|series| Strata::key(series, turn.window, turn.group));
            let logged_value = |column: usize| {
                let column = &turns.measured[column];
                (!column.is_absent(at)).then(|| column.values[at])
            };
            self.pairs.rows(&[logged], &mut row);
            add_row(self.pairs.sums_mut(row[0]), &scan.sums, logged_value)?;
            self.pairs.rows(&[shadow], &mut row);
            add_row(self.pairs.sums_mut(row[0]), &scan.sums, |column| {
                shadows.value(outcome, column)
            })?;
        }
        Ok(())
    }

    /// Adds the sessions of a step.
    fn add_sessions(&mut self, users: &Users, turns: &Turns) {
        for turn in self
            .buffers
            .turns
            .iter()
            .filter(|turn| !turns.session.is_absent(usize::from(turn.row)))
        {
            // Two users may have the same session id.
            let session = crate::base::hash::join(
                turns.session.values[usize::from(turn.row)] as u64,
                u64::from(users.row(turn.user)),
            );
            self.sessions.insert(turn.series, session);
        }
    }

    /// The end of the data, in microseconds UTC. Later rows are not counted.
    pub(super) fn as_of(&self) -> Micros {
        self.as_of
    }

    /// Adds a session that an earlier cube counted.
    pub(super) fn load_session(&mut self, series: u32, session: u64) {
        self.sessions.insert(series, session);
    }

    /// Counts rows that were left out, by reason.
    pub(super) fn bad_rows(&mut self, more: BTreeMap<String, u64>) {
        for (reason, n) in more {
            *self.counts.bad_rows.entry(reason).or_default() += n;
        }
    }
}

/// Adds turns to their cells, row by row: the sums of a cell are adjacent in memory, and the
/// columns of a step are in the cache.
#[inline(never)]
fn add(cells: &mut SumTable<i64>, sums: &Sums, rows: &[u32], placed: &[Turn], turns: &Turns) -> Result<()> {
    let width = sums.n_slots;
    let of: Vec<(&[i64], usize)> = sums
        .of
        .iter()
        .filter(|(column, _)| turns.measured[*column].n_absent < turns.n)
        .map(|(column, slot)| (turns.measured[*column].values.as_slice(), *slot))
        .collect();
    let with_values = |columns: &[LimitedColumn]| -> Vec<LimitedColumn> {
        columns
            .iter()
            .filter(|limited| turns.measured[limited.column].n_absent < turns.n)
            .copied()
            .collect()
    };
    let (limited, beyond) = (with_values(&sums.limited), with_values(&sums.beyond));
    let value = |column: usize, row: usize| {
        let column = &turns.measured[column];
        (!column.is_absent(row)).then(|| column.values[row])
    };
    let missing: Vec<(&[u64], usize)> = sums
        .missing
        .iter()
        .filter(|(column, _)| turns.measured[*column].n_absent > 0)
        .map(|(column, slot)| (turns.measured[*column].absent.as_slice(), *slot))
        .collect();
    let mut overflowed = false;
    for (idx, (cell, turn)) in rows.iter().zip(placed).enumerate() {
        if let Some(next) = rows.get(idx + AHEAD / 2) {
            for line in (0..width).step_by(8) {
                cells.prefetch(*next, line);
            }
        }
        let row = usize::from(turn.row);
        let cell = cells.sums_mut(*cell);
        cell[0] += 1;
        for (values, slot) in &of {
            let (sum, over) = cell[*slot].overflowing_add(values[row]);
            cell[*slot] = sum;
            overflowed |= over;
        }
        for column in &limited {
            let within = value(column.column, row).map_or(0, |value| column.within(value));
            let (sum, over) = cell[column.slot].overflowing_add(within);
            cell[column.slot] = sum;
            overflowed |= over;
        }
        for column in &beyond {
            cell[column.slot] +=
                i64::from(value(column.column, row).is_some_and(|value| column.is_beyond(value)));
        }
        for (absent, slot) in &missing {
            cell[*slot] += (absent[row / 64] >> (row % 64) & 1) as i64;
        }
    }
    if overflowed {
        Err(overflow("a cell"))
    } else {
        Ok(())
    }
}

/// Adds one turn whose values come from `value`.
fn add_row(cell: &mut [i64], sums: &Sums, value: impl Fn(usize) -> Option<i64>) -> Result<()> {
    cell[0] += 1;
    let mut add = |slot: usize, more: i64| {
        cell[slot] = cell[slot].checked_add(more).ok_or_else(|| overflow("a pair"))?;
        Ok(())
    };
    for (column, slot) in &sums.of {
        add(*slot, value(*column).unwrap_or(0))?;
    }
    for column in &sums.limited {
        add(
            column.slot,
            value(column.column).map_or(0, |value| column.within(value)),
        )?;
    }
    for column in &sums.beyond {
        add(
            column.slot,
            i64::from(value(column.column).is_some_and(|value| column.is_beyond(value))),
        )?;
    }
    for (column, slot) in &sums.missing {
        cell[*slot] += i64::from(value(*column).is_none());
    }
    Ok(())
}

mod bytes;
pub(super) mod finish;
#[cfg(test)]
mod tests;
