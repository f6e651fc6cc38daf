//! Reads users part by part and scores them: directly from Parquet pages where that is possible,
//! else through the general reader.

use arrow_array::StringArray;
use arrow_select::concat::concat;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::limits::Limit;
use crate::base::parallel;
use crate::input::{OnUsers, Part, UserBatch, UserReader};
use crate::layer::dropped::{Dropped, LeaveOut};
use crate::layer::file::{is_complete, leaf_of};
use crate::layer::kept::KeptScores;
use crate::layer::kernel::{Kernel, Scored};
use crate::layer::reuse::Reuse;
use crate::scenario::OnBadRow;

/// Rows of a row group when the input has no row groups. It is small enough that all cores have
/// work in a small study.
const GROUP_ROWS: usize = 131_072;

/// The source of the users.
#[derive(Debug)]
pub enum Users<'a> {
    /// A table that is read part by part.
    Table(Box<UserReader<'a>>),
    /// Users in memory. The text names their origin in messages.
    Memory(Box<UserBatch>, String),
}

/// Some consecutive users with their scores.
pub(super) struct ScoredPart {
    /// The index of the part.
    pub(super) idx: usize,
    pub(super) scored: Arc<Scored>,
    /// The row group that holds exactly these users. `None` for users from another source, or if
    /// rows were left out.
    pub(super) row_group: Option<Part>,
    /// Ids and tenants of the users. `None` if they have not been read.
    pub(super) ids: Option<Vec<UserBatch>>,
    /// Rows that were left out, counted by reason.
    pub(super) bad_rows: BTreeMap<String, u64>,
    pub(super) n_duplicates: u64,
    /// The digest of the row group's input. `None` if it is not needed for reuse.
    pub(super) digest: Option<String>,
    /// The layers that were taken from the previous night. `None` if they must be computed.
    pub(super) layers: Option<Vec<u8>>,
}

impl Users<'_> {
    /// The path or name of the source, for messages.
    pub fn location(&self) -> String {
        match self {
            Self::Table(reader) => reader.table().source.path.display().to_string(),
            Self::Memory(_, location) => location.clone(),
        }
    }

    /// The path or name of a part's source, for messages.
    pub(super) fn part_location(&self, part: usize) -> String {
        match self {
            Self::Table(reader) => reader.table().files[reader.table().parts[part].file_idx]
                .path
                .display()
                .to_string(),
            Self::Memory(_, location) => location.clone(),
        }
    }

    /// The number of users; `None` if it is not known before reading.
    pub fn n_users(&self) -> Option<u64> {
        match self {
            Self::Table(reader) => reader.table().n_rows(),
            Self::Memory(users, _) => Some(users.n_users() as u64),
        }
    }

    /// Whether the source has a tenant column.
    pub(super) fn has_tenants(&self) -> bool {
        match self {
            Self::Table(reader) => reader.table().has("tenant_id"),
            Self::Memory(users, _) => users.tenant_id.is_some(),
        }
    }

    /// The number of parts: row groups, text files, or stretches of users in memory.
    pub(super) fn n_parts(&self) -> usize {
        match self {
            Self::Table(reader) => reader.table().parts.len(),
            Self::Memory(users, _) => users.n_users().div_ceil(GROUP_ROWS),
        }
    }

    /// Scores the users of some parts, on all threads. `consume` gets each result with the index of
    /// its part, in the order of `parts`. A text file has several results.
    pub(super) fn for_each<T: Send>(
        &self,
        parts: &[usize],
        scoring: &Scoring<'_>,
        compute: impl Fn(ScoredPart) -> Result<T> + Sync,
        mut consume: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Memory(users, _) => parallel::map_in_order(
                parts.len(),
                |idx| {
                    let start = parts[idx] * GROUP_ROWS;
                    let n = GROUP_ROWS.min(users.n_users() - start);
                    let mut dropped = scoring.dropped.from(0, start as u64);
                    let batches = vec![users.slice(start, n)?];
                    compute(scoring.batches(parts[idx], batches, BTreeMap::new(), &mut dropped)?)
                },
                |idx, result| consume(parts[idx], result),
            ),
            Self::Table(reader) if reader.table().parts.iter().all(|part| part.row_group.is_some()) => {
                parallel::map_in_order(
                    parts.len(),
                    |idx| compute(scoring.row_group(reader, parts[idx])?),
                    |idx, result| consume(parts[idx], result),
                )
            }
            // A text file is one part of any length, so its batches are scored as they arrive.
            Self::Table(reader) => {
                for idx in parts {
                    let mut dropped = scoring.dropped.from(*idx, 0);
                    let mut gathered = Gathered::default();
                    reader.read(reader.table().parts[*idx], &mut |users, bad_rows| {
                        if gathered.n_users + users.n_users() > GROUP_ROWS
                            || gathered.n_bytes >= Limit::Batch.size()
                        {
                            let (batches, bad_rows) = gathered.take();
                            let scored = scoring.batches(*idx, batches, bad_rows, &mut dropped)?;
                            consume(*idx, compute(scored)?)?;
                        }
                        gathered.push(users, bad_rows);
                        Ok(())
                    })?;
                    let (batches, bad_rows) = gathered.take();
                    let scored = scoring.batches(*idx, batches, bad_rows, &mut dropped)?;
                    consume(*idx, compute(scored)?)?;
                }
                Ok(())
            }
        }
    }

    /// Reads the ids and tenants of a part through the general reader.
    pub(super) fn ids(&self, part: Part) -> Result<Vec<UserBatch>> {
        match self {
            Self::Table(reader) => Ok(gather_ids(reader, part)?.batches),
            Self::Memory(..) => Ok(Vec::new()),
        }
    }

    /// Reads the ids and tenants of the users that [`Self::for_each`] scores, batch by batch. For
    /// each batch, in order, `consume` gets the part's index, the index of the first row in the
    /// part, and the result of `compute`.
    pub(super) fn for_each_ids<T: Send>(
        &self,
        compute: impl Fn(&UserBatch) -> T + Sync,
        mut consume: impl FnMut(usize, u64, T) -> Result<()>,
    ) -> Result<()> {
        let reader = match self {
            Self::Memory(users, _) => return consume(0, 0, compute(users)),
            Self::Table(reader) => reader,
        };
        let parts = &reader.table().parts;
        // Row indices count only usable rows. Another column may make a row unusable, so all
        // columns are read where bad rows are dropped.
        let read = |part, on_users: &mut OnUsers<'_>| match reader.on_bad_row() {
            OnBadRow::Error => reader.read_ids(part, on_users),
            OnBadRow::Drop => reader.read(part, on_users),
        };
        if parts.iter().any(|part| part.row_group.is_none()) {
            return parts.iter().enumerate().try_for_each(|(idx, part)| {
                let mut first = 0;
                read(*part, &mut |users, _| {
                    consume(idx, first, compute(&users))?;
                    first += users.n_users() as u64;
                    Ok(())
                })
            });
        }
        let of_part = |idx: usize| {
            let mut batches = Vec::new();
            read(parts[idx], &mut |users, _| {
                batches.push((users.n_users() as u64, compute(&users)));
                Ok(())
            })?;
            Ok(batches)
        };
        parallel::map_in_order(parts.len(), of_part, |idx, batches| {
            let mut first = 0;
            batches.into_iter().try_for_each(|(n, batch)| {
                consume(idx, first, batch)?;
                first += n;
                Ok(())
            })
        })
    }
}

/// Batches that will become one row group.
#[derive(Default)]
struct Gathered {
    batches: Vec<UserBatch>,
    bad_rows: BTreeMap<String, u64>,
    n_users: usize,
    n_bytes: usize,
}

impl Gathered {
    fn push(&mut self, users: UserBatch, bad_rows: BTreeMap<String, u64>) {
        self.n_users += users.n_users();
        self.n_bytes += users.n_bytes();
        self.batches.push(users);
        add_counts(&mut self.bad_rows, bad_rows);
    }

    /// Refuses a row group whose columns unpack to more than [`Limit::RowGroupText`].
    fn check(&self, reader: &UserReader<'_>, part: Part) -> Result<()> {
        let path = reader.table().files[part.file_idx].path.display();
        let row_group = part.row_group.map_or(1, |row_group| row_group + 1);
        if self.n_bytes > Limit::RowGroupText.size() {
            return Err(Limit::RowGroupText.overrun(format!("{path}: row group {row_group}")));
        }
        Ok(())
    }

    fn take(&mut self) -> (Vec<UserBatch>, BTreeMap<String, u64>) {
        let Self {
            batches, bad_rows, ..
        } = std::mem::take(self);
        (batches, bad_rows)
    }
}

/// Reads the ids and tenants of a part, and counts the rows without an id.
fn gather_ids(reader: &UserReader<'_>, part: Part) -> Result<Gathered> {
    let mut gathered = Gathered::default();
    reader.read_ids(part, &mut |users, bad_rows| {
        gathered.push(users, bad_rows);
        gathered.check(reader, part)
    })?;
    Ok(gathered)
}

/// How parts are scored.
pub(super) struct Scoring<'a> {
    pub(super) kernel: &'a Kernel<'a>,
    pub(super) dropped: &'a Dropped,
    /// The previous night. `None` to score every row group.
    pub(super) reuse: Option<&'a Reuse<'a>>,
    /// Scores of an earlier pass. `None` for a single pass.
    pub(super) kept: Option<&'a KeptScores>,
}

impl Scoring<'_> {
    /// Scores a row group. It is taken from an earlier pass or from the previous night if possible,
    /// then read directly from its pages if possible, else read through the general reader.
    fn row_group(&self, reader: &UserReader<'_>, idx: usize) -> Result<ScoredPart> {
        let part = reader.table().parts[idx];
        if let Some(scored) = self.kept.and_then(|kept| kept.scored(idx)) {
            return Ok(ScoredPart::of_row_group(idx, part, scored));
        }
        let scored = self.read_row_group(reader, idx, part)?;
        if let Some(kept) = self.kept.filter(|_| scored.row_group.is_some()) {
            kept.keep(idx, &scored.scored);
        }
        Ok(scored)
    }

    fn read_row_group(&self, reader: &UserReader<'_>, idx: usize, part: Part) -> Result<ScoredPart> {
        let (kernel, file) = (self.kernel, &reader.table().files[part.file_idx]);
        let dropped_of_part = self.dropped.any_of(idx);
        // The digest of a row group covers the columns of Sluice, not those that expressions read.
        let reuse = self.reuse.filter(|_| !reader.table().source.has_expressions());
        let digest = match reuse.filter(|_| !dropped_of_part) {
            Some(reuse) => reuse.digest(reader, file, part)?,
            None => None,
        };
        let reused = reuse
            .zip(digest.as_deref())
            .and_then(|(reuse, digest)| reuse.find(digest));
        let reused = reused.filter(|reused| Some(reused.layers.len() as u64) == part.n_rows);
        let scored = match reused {
            Some(mut reused) => kernel.tenants_of(reader, part).ok().map(|(tenants, tenant)| {
                (reused.scored.tenants, reused.scored.tenant) = (tenants, tenant);
                (reused.scored, Some(reused.layers))
            }),
            None if dropped_of_part => None,
            None => kernel
                .score_row_group(reader, part)
                .ok()
                .map(|scored| (scored, None)),
        };
        if let Some((scored, layers)) = scored {
            let scored = ScoredPart {
                digest,
                layers,
                ..ScoredPart::of_row_group(idx, part, Arc::new(scored))
            };
            let chunk = file
                .footer
                .as_ref()
                .zip(part.row_group)
                .and_then(|(footer, row_group)| {
                    let leaf = leaf_of(footer, reader.table().name_in_file("user_id"))?;
                    Some(footer.metadata().row_group(row_group).column(leaf))
                });
            if chunk.is_some_and(is_complete) {
                return Ok(scored);
            }
            // The file does not prove that every user has an id, so the ids are read.
            let ids = gather_ids(reader, part)?;
            if ids.bad_rows.is_empty() {
                let ids = Some(ids.batches);
                return Ok(ScoredPart { ids, ..scored });
            }
        }
        let mut gathered = Gathered::default();
        reader.read(part, &mut |users, bad_rows| {
            gathered.push(users, bad_rows);
            gathered.check(reader, part)
        })?;
        let (batches, bad_rows) = gathered.take();
        self.batches(idx, batches, bad_rows, &mut self.dropped.from(idx, 0))
    }

    /// Scores batches of the general reader, without their dropped rows.
    fn batches(
        &self,
        idx: usize,
        batches: Vec<UserBatch>,
        bad_rows: BTreeMap<String, u64>,
        dropped: &mut LeaveOut<'_>,
    ) -> Result<ScoredPart> {
        let n_read: usize = batches.iter().map(UserBatch::n_users).sum();
        let batches: Vec<UserBatch> = batches
            .into_iter()
            .map(|users| dropped.filter(users))
            .collect::<Result<_>>()?;
        let scored = self.kernel.score_batches(&batches);
        let n_duplicates = (n_read - scored.score.len()) as u64;
        Ok(ScoredPart {
            idx,
            scored: Arc::new(scored),
            row_group: None,
            ids: Some(batches),
            bad_rows,
            n_duplicates,
            digest: None,
            layers: None,
        })
    }
}

impl ScoredPart {
    /// The scores of all users of a row group.
    fn of_row_group(idx: usize, part: Part, scored: Arc<Scored>) -> Self {
        Self {
            idx,
            scored,
            row_group: Some(part),
            ids: None,
            bad_rows: BTreeMap::new(),
            n_duplicates: 0,
            digest: None,
            layers: None,
        }
    }
}

/// Joins a text column of several batches into one array.
pub(super) fn one_column<'b>(batches: impl Iterator<Item = &'b StringArray>) -> Result<StringArray> {
    let arrays: Vec<&dyn arrow_array::Array> =
        batches.map(|array| array as &dyn arrow_array::Array).collect();
    let array = concat(&arrays).map_err(|error| {
        Error::input(
            "users",
            format!("expected ids that fit in memory, found: {error}"),
        )
    })?;
    Ok(arrow_array::cast::AsArray::as_string::<i32>(&array).clone())
}

/// Adds counts by reason.
pub(super) fn add_counts(counts: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (reason, n) in more {
        *counts.entry(reason).or_default() += n;
    }
}
