//! The driver of a replay that runs in tasks on an engine. It plans the tasks, and merges their
//! results as the states of threads are merged, so the cube has the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::base::block::{Block, BlockKind, OnBlock, damaged};
use crate::base::error::{Error, FileResult, Result};
use crate::base::progress::Progress;
use crate::base::spill::nameless_file;
use crate::bucket::N_BUCKETS;
use crate::metric::{Limits, Metric, Sum};
use crate::replay::context::{Inputs, ReplayContext, Scan};
use crate::replay::cube::{Cube, RowCounts};
use crate::replay::driver::{Opened, finish_cube, unknown_ids};
use crate::replay::facts::{Facts, Unit};
use crate::replay::finish::NoUsers;
use crate::replay::layer_table::{LayerTableInfo, MAX_SEEDS};
use crate::replay::partition::{seen_bytes, seen_run};
use crate::replay::row_sum::RowSum;
use crate::replay::scan::{LogPart, Scanned, Share};
use crate::replay::seen::{UserRow, UserRun, n_words};
use crate::replay::seen_block::read_seen;
use crate::replay::state::ReplayState;
use crate::replay::tasks::{Note, units};
use crate::replay::unknown::UnknownIds;

/// The largest number of partitions. The driver keeps a file open for the users of each.
pub const MAX_PARTITIONS: u32 = 500;
/// The number of users of a partition, if no number of partitions is asked for.
const PARTITION_USERS: usize = 2_000_000;
/// The fewest partitions, if no number is asked for.
const FEWEST: u32 = 8;

/// Something that runs tasks, perhaps on many machines.
pub trait TaskRunner {
    /// Runs [`crate::replay::read_units`] on all units in any number of tasks, brings the blocks of
    /// each partition together in one task, and runs [`crate::replay::join_blocks`] on them.
    /// `on_block` gets the resulting blocks; those of a partition in the order of their task.
    ///
    /// # Errors
    /// When a task fails, or the engine is lost.
    fn run(&self, facts: &Facts, units: &[Unit], on_block: &mut OnBlock<'_>) -> Result<()>;

    /// The number of partitions of users that is asked for. `None` follows from the number of users.
    fn n_partitions(&self) -> Option<u32>;
}

/// Reduces logs to a cube, with the scan in tasks of `runner`, and writes the cube to a folder. The
/// cube has the bytes of [`crate::replay::replay`].
///
/// # Errors
/// As [`crate::replay::replay`], and when the engine fails.
pub fn replay_in_tasks(
    runner: &dyn TaskRunner,
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    folder: &Path,
    progress: &Progress,
) -> Result<Cube> {
    if inputs.engine_log.is_some() {
        check_engine_log(ctx, inputs)?;
    }
    let opened = Opened::new(ctx, inputs, progress)?;
    for seed in 0..MAX_SEEDS {
        let facts = facts(&opened, runner.n_partitions(), seed)?;
        let Opened {
            layers, scan, parts, ..
        } = &opened;
        let mut merged = Merged::new(
            scan.strata.len(),
            facts.n_partitions,
            layers.n_users(),
            inputs.traffic.len(),
            folder,
        );
        let mut bar = None;
        runner.run(&facts, &units(layers.n_groups(), parts), &mut |block| {
            // The engine has a bar of its own until its first result.
            bar.get_or_insert_with(|| progress.bar("merge", "blocks", None))
                .advance(1);
            merged.take(scan, block)
        })?;
        drop(bar);
        if merged.alike.is_empty() {
            check_whole(&merged, layers.n_users(), parts, inputs)?;
            return finish(opened, merged, seed, inputs, folder);
        }
        layers.check_unique(&merged.alike)?;
    }
    Err(opened.layers.never_apart())
}

/// Refuses what needs the rows of the log before the scan, or its files.
fn check_engine_log(ctx: &ReplayContext<'_>, inputs: &Inputs<'_>) -> Result<()> {
    let refused = |what: &str, why: &str| {
        Err(
            Error::usage(format!("expected no {what} with --scan engine, found one: {why}"))
                .hint("let the tasks read files: --scan native"),
        )
    };
    if inputs.since.is_some() {
        return refused("earlier cube", "a table has no files that it could have counted");
    }
    let mut readings = ctx.metrics.iter().flat_map(Metric::sums).filter_map(Sum::reading);
    if readings.any(|reading| matches!(reading.limits, Some(Limits::Quantile(_)))) {
        return refused("`winsorize`", "its limits come from the rows before the scan");
    }
    Ok(())
}

/// Writes the cube of all results.
fn finish(
    opened: Opened<'_>,
    mut merged: Merged<'_>,
    seed: u64,
    inputs: &Inputs<'_>,
    folder: &Path,
) -> Result<Cube> {
    let Opened {
        layers,
        tenants,
        mut sources,
        earlier,
        scan,
        parts,
    } = opened;
    if inputs.engine_log.is_some() {
        for (files, sum) in sources.traffic.iter_mut().zip(&merged.sums) {
            files.iter_mut().for_each(|file| file.digest = sum.to_string());
        }
    }
    let releases = std::mem::take(&mut merged.releases);
    let roster = LayerTableInfo {
        digest: layers.digest().to_owned(),
        tenants,
        seed,
        strata: std::mem::take(&mut merged.strata),
    };
    let scanned = Scanned {
        roster,
        runs: merged.take_runs(n_words(scan.strata.max_stages()), folder)?,
        shares: merged.into_shares(&scan),
        seen: Box::new(NoUsers),
    };
    let is_listed = |hashes: &[u64]| layers.have(&scanned.roster, hashes);
    let mut unknown = unknown_ids(&layers, &scanned, inputs, &parts, &is_listed)?;
    if !releases.is_empty() {
        let of_rows = UnknownIds {
            releases,
            ..UnknownIds::default()
        };
        unknown.merge(&of_rows, seed);
    }
    finish_cube(&scan, inputs, sources, earlier, scanned, unknown, folder)
}

/// Plans the tasks of a replay, for those who run them by other means: what every task must know, and
/// the parts of the inputs.
///
/// # Errors
/// As [`crate::replay::replay`], before the log is scanned.
pub fn plan_tasks(
    n_partitions: Option<u32>,
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    progress: &Progress,
) -> Result<(Facts, Vec<Unit>)> {
    let opened = Opened::new(ctx, inputs, progress)?;
    Ok((
        facts(&opened, n_partitions, 0)?,
        units(opened.layers.n_groups(), &opened.parts),
    ))
}

/// What every task must know.
fn facts(opened: &Opened<'_>, asked: Option<u32>, seed: u64) -> Result<Facts> {
    Ok(Facts {
        seed,
        tenants: opened.tenants.clone(),
        layers_digest: opened.layers.digest().to_owned(),
        present: opened.scan.present.clone(),
        limits: opened.scan.limits.clone(),
        n_partitions: n_partitions(asked, opened.layers.n_users())?,
    })
}

/// The number of partitions of users.
fn n_partitions(asked: Option<u32>, n_users: usize) -> Result<u32> {
    let most = MAX_PARTITIONS.min(u32::from(N_BUCKETS));
    match asked {
        Some(n) if (1..=most).contains(&n) => Ok(n),
        Some(n) => Err(Error::usage(format!(
            "expected 1 to {most} partitions, found {n}"
        ))),
        None => {
            let wanted = u32::try_from(n_users.div_ceil(PARTITION_USERS)).unwrap_or(most);
            Ok(wanted.clamp(FEWEST, most))
        }
    }
}

/// Refuses results that lack the users or rows of a task. How many tasks read the rows of a table is
/// the engine's own affair.
fn check_whole(merged: &Merged<'_>, n_users: usize, parts: &[LogPart], inputs: &Inputs<'_>) -> Result<()> {
    merged.check_turns()?;
    let n_found: u64 = merged.strata.iter().map(|[n_users, _]| n_users).sum();
    let mut found: Vec<(usize, usize)> = merged
        .parts
        .iter()
        .map(|(reader, file, _)| (*reader, *file))
        .collect();
    let mut wanted: Vec<(usize, usize)> = parts
        .iter()
        .map(|part| (part.reader, part.part.file_idx))
        .collect();
    found.sort_unstable();
    wanted.sort_unstable();
    if let Some(names) = &inputs.engine_log {
        if found
            .iter()
            .any(|(reader, file)| *reader >= names.len() || *file > 0)
        {
            return Err(damaged());
        }
        found.clear();
    }
    if n_found == n_users as u64 && found == wanted {
        return Ok(());
    }
    Err(Error::input(
        "the engine",
        format!(
            "expected the results of {} parts of the log and {n_users} users, found {} and {n_found}",
            wanted.len(),
            found.len()
        ),
    ))
}

/// The results of tasks.
struct Merged<'a> {
    near: &'a Path,
    strata: Vec<[u64; 2]>,
    counts: Vec<RowCounts>,
    parts: Vec<(usize, usize, [u64; 2])>,
    alike: Vec<(u32, u32)>,
    /// The digests of the sources that the engine read, and examples of unknown releases.
    sums: Vec<RowSum>,
    releases: Vec<String>,
    states: BTreeMap<u32, ReplayState>,
    seen: BTreeMap<u32, File>,
    /// The row after the last seen user, by partition.
    last_rows: BTreeMap<u32, u64>,
    n_partitions: u32,
    n_users: u64,
}

impl<'a> Merged<'a> {
    fn new(n_strata: usize, n_partitions: u32, n_users: usize, n_sources: usize, near: &'a Path) -> Self {
        Self {
            near,
            strata: vec![[0; 2]; n_strata],
            counts: Vec::new(),
            parts: Vec::new(),
            alike: Vec::new(),
            sums: vec![RowSum::default(); n_sources],
            releases: Vec::new(),
            states: BTreeMap::new(),
            seen: BTreeMap::new(),
            last_rows: BTreeMap::new(),
            n_partitions,
            n_users: n_users as u64,
        }
    }

    fn take(&mut self, scan: &Scan<'_>, block: Block) -> Result<()> {
        if block.partition >= self.n_partitions {
            return Err(damaged());
        }
        match block.kind {
            BlockKind::Note => self.note(serde_json::from_slice(&block.bytes).map_err(|_| damaged())?),
            BlockKind::Sums => {
                let state = ReplayState::decode(&block.bytes, scan)?;
                match self.states.insert(block.partition, state) {
                    None => Ok(()),
                    Some(_) => Err(twice(block.partition)),
                }
            }
            BlockKind::Seen => {
                let n_words = n_words(scan.strata.max_stages());
                let mut bytes = Vec::new();
                read_seen(&block.bytes, n_words, |user| {
                    self.check_seen(scan, block.partition, &user)?;
                    seen_bytes(&user, n_words, &mut bytes);
                    Ok(())
                })?;
                let file = match self.seen.entry(block.partition) {
                    std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(nameless_file(self.near).or_unwritable(self.near)?)
                    }
                };
                file.write_all(&bytes).or_unwritable(self.near)
            }
            BlockKind::Keys | BlockKind::Turns | BlockKind::Counts | BlockKind::RowGroup => Err(damaged()),
        }
    }

    /// Refuses a seen user who is not after those before, or that the scan cannot have.
    fn check_seen(&mut self, scan: &Scan<'_>, partition: u32, user: &UserRow) -> Result<()> {
        let (strata, n_windows) = (&scan.strata, scan.n_windows());
        let last = self.last_rows.entry(partition).or_default();
        let n_stages = strata.stages.get(user.stratum as usize).map_or(0, Vec::len);
        let [baseline, candidate] = user.seen.stages;
        let is_possible = (1..=n_windows).contains(&user.seen.last)
            && user.bucket < N_BUCKETS
            && baseline.union(&candidate).is_below(n_stages)
            && u64::from(user.row) >= *last
            && u64::from(user.row) < self.n_users;
        if !is_possible || n_stages == 0 {
            return Err(damaged());
        }
        *last = u64::from(user.row) + 1;
        Ok(())
    }

    fn note(&mut self, note: Note) -> Result<()> {
        match note {
            Note::Users { strata } => {
                if strata.len() != self.strata.len() {
                    return Err(damaged());
                }
                for (sum, more) in self.strata.iter_mut().zip(strata) {
                    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                }
            }
            Note::Rows { counts, parts } => {
                self.counts.push(*counts);
                self.parts.extend(parts);
            }
            Note::Log {
                source,
                sum,
                releases,
            } => {
                self.sums.get_mut(source).ok_or_else(damaged)?.merge(sum);
                self.releases.extend(releases);
            }
            Note::Alike { rows } => self.alike.extend(rows),
        }
        Ok(())
    }

    /// Refuses results in which turns were lost, or arrived twice, between the readers and the joins.
    fn check_turns(&self) -> Result<()> {
        let dealt: u64 = self.counts.iter().map(RowCounts::n_admitted).sum();
        let joined: u64 = self.states.values().map(|state| state.counts.n_joined()).sum();
        if dealt == joined {
            return Ok(());
        }
        Err(Error::input(
            "the engine",
            format!("expected the joins to get {dealt} turns, which were read, found {joined}"),
        ))
    }

    /// The users who were seen, a run a partition.
    fn take_runs(&mut self, n_words: usize, near: &Path) -> Result<Vec<UserRun<'static>>> {
        std::mem::take(&mut self.seen)
            .into_values()
            .map(|mut file| {
                file.seek(SeekFrom::Start(0)).or_unreadable(near)?;
                Ok(seen_run(file, n_words, near))
            })
            .collect()
    }

    /// The states of the joins, and one for the counts of the readers.
    fn into_shares(self, scan: &Scan<'_>) -> Vec<Share> {
        let mut readers = ReplayState::new(scan);
        self.counts
            .into_iter()
            .for_each(|counts| readers.counts.merge(counts));
        let joins = self.states.into_values().map(|state| (state, Vec::new()));
        joins.chain([(readers, self.parts)]).collect()
    }
}

fn twice(partition: u32) -> Error {
    Error::input(
        "the engine",
        format!("expected one result of partition {partition}, found two"),
    )
}
