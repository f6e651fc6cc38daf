//! A state as bytes. A task on another machine sends its state so; the driver merges it like the
//! state of a thread.

use hashbrown::HashMap;

use crate::base::block::damaged;
use crate::base::error::Result;
use crate::replay::breakdown::BreakdownCells;
use crate::replay::bytes::{Reader, Writer};
use crate::replay::context::Scan;
use crate::replay::seen::{StageSet, UserExposure, n_words};
use crate::replay::state::{OCTAVE, ReplayState};
use crate::replay::sum_table::SumTable;
use crate::replay::sums::overflow;
use crate::replay::users::User;
use crate::scenario::plan::BreakdownBy;

/// The number of rows of a table that are added together, so that look-ups overlap.
const BATCH: usize = 1_024;

impl ReplayState {
    /// Writes the sums, counts and examples of this state.
    ///
    /// # Errors
    /// When the counts cannot be written.
    pub(in crate::replay) fn encode(self, scan: &Scan<'_>) -> Result<Vec<u8>> {
        let mut out = Writer::default();
        let notes = (&self.counts, &self.unknown);
        out.put_bytes(&serde_json::to_vec(&notes).map_err(|_| damaged())?);
        for table in [self.cells, self.pairs, self.latencies] {
            put_table(table, &mut out)?;
        }
        for breakdown in self.breakdowns {
            let (values, cells) = breakdown.into_values();
            out.put(values.len() as u64);
            for (hash, name) in values {
                out.put(hash as u64);
                out.put_bytes(name.as_bytes());
            }
            put_table(cells, &mut out)?;
        }
        let mut elsewhere: Vec<_> = self.served_elsewhere.into_iter().collect();
        elsewhere.sort_unstable_by_key(|(key, _)| *key);
        let n_words = n_words(scan.strata.max_stages());
        out.put(elsewhere.len() as u64);
        for ((row, stratum), (user, seen)) in elsewhere {
            let numbers = [row, stratum, u32::from(user.bucket), user.stratum, seen.last];
            numbers.into_iter().for_each(|number| out.put(u64::from(number)));
            let words = seen.stages.iter().flat_map(|set| &set.words()[..n_words]);
            words.for_each(|word| out.put(*word));
        }
        let sessions = self.sessions.finish();
        out.put(sessions.len() as u64);
        for (series, hashes) in sessions {
            out.put(u64::from(series));
            out.put(hashes.len() as u64);
            let mut last = 0;
            for hash in hashes {
                out.put(hash - last);
                last = hash;
            }
        }
        Ok(out.into_bytes())
    }

    /// Reads a state that a task of the same scan wrote.
    ///
    /// # Errors
    /// When the bytes are damaged, or are those of another scan.
    pub(in crate::replay) fn decode(bytes: &[u8], scan: &Scan<'_>) -> Result<Self> {
        let mut state = Self::new(scan);
        let mut bytes = Reader::new(bytes);
        (state.counts, state.unknown) = serde_json::from_slice(bytes.next_bytes()?).map_err(|_| damaged())?;
        let n_series = u64::from(scan.strata.n_series());
        let n_windows = u64::from(scan.n_windows());
        let n_octaves = u64::from(u16::MAX / OCTAVE) + 1;
        let tables = [
            (&mut state.cells, n_windows),
            (&mut state.pairs, n_windows),
            (&mut state.latencies, n_octaves),
        ];
        for (table, n) in tables {
            add_table(table, &mut bytes, &|key| scan.strata.is_key(key, n))?;
        }
        for breakdown in &mut state.breakdowns {
            let n_values = bytes.n_items(2)?;
            let mut values = Vec::with_capacity(n_values);
            for _ in 0..n_values {
                let hash = bytes.next()? as i64;
                let name = std::str::from_utf8(bytes.next_bytes()?).map_err(|_| damaged())?;
                values.push((hash, name.to_owned()));
            }
            // The field of the window holds the value too: `value * n_windows + window`.
            let n = match breakdown.by() {
                BreakdownBy::Column(_) => values.len() as u64 * n_windows,
                BreakdownBy::User => u64::from(u32::MAX) + 1,
            };
            let mut cells = SumTable::new(scan.sums.n_slots);
            add_table(&mut cells, &mut bytes, &|key| scan.strata.is_key(key, n))?;
            *breakdown = BreakdownCells::from_values(breakdown.by(), scan.n_windows(), values, cells)?;
        }
        state.served_elsewhere = elsewhere(scan, &mut bytes)?;
        for _ in 0..bytes.n_items(2)? {
            let series = bytes.next_as()?;
            let mut last = 0_u64;
            for _ in 0..bytes.n_items(1)? {
                last = last.checked_add(bytes.next()?).ok_or_else(damaged)?;
                state.sessions.insert(series, last);
            }
            if u64::from(series) >= n_series {
                return Err(damaged());
            }
        }
        bytes.finish()?;
        Ok(state)
    }
}

/// Writes a table in the order of its keys.
fn put_table(table: SumTable<i64>, out: &mut Writer) -> Result<()> {
    let add = |a: i64, b: i64| a.checked_add(b).ok_or_else(|| overflow("a cell"));
    out.put(table.len() as u64);
    let mut last = 0;
    SumTable::for_each_sorted(vec![table], add, |key, sums| {
        out.put(key - last);
        last = key;
        sums.iter().for_each(|sum| out.put_signed(*sum));
    })
}

/// Adds the rows of a table that was written.
fn add_table(table: &mut SumTable<i64>, bytes: &mut Reader<'_>, is_key: &dyn Fn(u64) -> bool) -> Result<()> {
    let width = table.width();
    let (mut left, mut last) = (bytes.n_items(1 + width)?, 0_u64);
    let (mut keys, mut rows, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    while left > 0 {
        let n = left.min(BATCH);
        left -= n;
        keys.clear();
        sums.clear();
        for _ in 0..n {
            last = last
                .checked_add(bytes.next()?)
                .filter(|key| is_key(*key))
                .ok_or_else(damaged)?;
            keys.push(last);
            for _ in 0..width {
                sums.push(bytes.next_signed()?);
            }
        }
        table.rows(&keys, &mut rows);
        for (row, more) in rows.iter().zip(sums.chunks_exact(width)) {
            for (sum, more) in table.sums_mut(*row).iter_mut().zip(more) {
                *sum = sum.checked_add(*more).ok_or_else(|| overflow("a cell"))?;
            }
        }
    }
    Ok(())
}

/// Reads the users who were served under another layer than their own.
fn elsewhere(scan: &Scan<'_>, bytes: &mut Reader<'_>) -> Result<HashMap<(u32, u32), (User, UserExposure)>> {
    let n_words = n_words(scan.strata.max_stages());
    let mut users = HashMap::new();
    for _ in 0..bytes.n_items(5 + 2 * n_words)? {
        let (row, stratum) = (bytes.next_as()?, bytes.next_as()?);
        let user = User {
            bucket: bytes.next_as()?,
            stratum: bytes.next_as()?,
            eligible: true,
        };
        let last = bytes.next_as()?;
        let mut set = || {
            let words: Vec<u64> = (0..n_words).map(|_| bytes.next()).collect::<Result<_>>()?;
            Ok::<_, crate::base::error::Error>(StageSet::from_words(words.into_iter()))
        };
        let stages = [set()?, set()?];
        if stratum as usize >= scan.strata.len() || user.bucket >= crate::bucket::N_BUCKETS {
            return Err(damaged());
        }
        users.insert((row, stratum), (user, UserExposure { stages, last }));
    }
    Ok(users)
}
