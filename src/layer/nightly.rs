//! Compares one night's layer table with the night before: users who moved, are new, or are gone.
//!
//! Tables of two nights usually hold the same users in the same order. They are read side by side.
//! Only users who are at different rows wait in memory. If too many wait, the orders differ. Then
//! both tables are divided into partitions by user and joined partition by partition. Both joins
//! have the same result.

use hashbrown::HashMap;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::interner::NameIndex;
use crate::base::parquet_file::PageFile;
use crate::base::parquet_io::{guard, open_batches, read_footer};
use crate::base::progress::Progress;
use crate::base::spill::{Fingerprints, Spill};
use crate::input::Unsupported;
use crate::layer::changes::{Changed, digests_of_changes};
use crate::layer::file::leaf_of;
use crate::layer::quota::ScoreHistogram;
use crate::layer::rows::{LayerRows, duplicate_error};
use crate::layer::scan::{LayerRow, scan_row_group};
use crate::stats::psi::psi;

const BATCH_ROWS: usize = 65_536;
/// The largest number of users who wait for a match in the other table: about 60 MB.
const MAX_WAITING: usize = 1_000_000;

/// The changes since the previous night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerMoves {
    /// The join of the two nights. The result does not depend on it.
    pub join: Join,
    /// Users who are in both nights and in the same layer.
    pub n_stayed: u64,
    /// Users who are in both nights and changed layers.
    pub n_moved: u64,
    /// Users who are only in the current night.
    pub n_new: u64,
    /// Users who are only in the previous night.
    pub n_gone: u64,
    /// Users who are in both nights and changed their consent.
    pub n_consent_changed: u64,
    /// Users per tenant, previous layer and current layer. Users who stayed are included.
    pub moves: Vec<Move>,
    /// The population stability index of the score, per tenant.
    pub psi: Vec<TenantPsi>,
}

/// The way in which two nights were joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// The tables were read side by side.
    SameOrder,
    /// The tables were divided into partitions by user.
    Partitioned,
}

/// Users who moved from one layer to another, or stayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// The previous layer; `None` for new users.
    pub from: Option<String>,
    /// The current layer; `None` for users who are gone.
    pub to: Option<String>,
    /// The number of users who made this move.
    pub n_users: u64,
}

/// A tenant's population stability index of the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantPsi {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// The index `sum (q - p) ln(q / p)` over the deciles of the previous night's scores. `p` and
    /// `q` are the shares of the two nights. The index is at least 0. `None` if the tenant has no
    /// users in one of the nights.
    ///
    /// # References
    /// `docs/METHODS.md#drift`.
    pub psi: Option<f64>,
}

/// Compares two layer tables.
///
/// Duplicate users are not searched for, but are reported when met. A user present in only one
/// table counts as new or gone.
///
/// # Errors
/// When a file is not a layer table, or a duplicate user is met.
pub fn compare(previous: &Path, current: &Path, progress: &Progress) -> Result<(LayerMoves, Changed)> {
    let bar = progress.rows("compare", None);
    let mut sides = [Side::open(previous)?, Side::open(current)?];
    let found = match side_by_side(&mut sides, &mut |n| bar.advance(n))? {
        Some(found) => found,
        None => partitioned([previous, current], &mut |n| bar.advance(n))?,
    };
    Ok(found.finish())
}

/// Refuses a file that cannot be the previous night's table, before any output is written.
///
/// # Errors
/// When the file cannot be read, or lacks a column of a layer table.
pub fn check_previous(path: &Path) -> Result<()> {
    let mut side = Side::open(path)?;
    if digests_of_changes(path).is_ok() {
        return Err(Error::in_file(
            path,
            "expected a whole layer table, found one that holds only changes",
        )
        .hint("give --previous the whole table of the night before"));
    }
    let named: Vec<&str> = side
        .footer
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    if let Some(missing) = ["user_id", "score", "layer", "eligible"]
        .into_iter()
        .find(|name| !named.contains(name))
    {
        return Err(Error::in_file(
            path,
            format!("expected a layer table, found no column `{missing}`"),
        )
        .hint("--previous takes a layer table: the --out file of an earlier `sluice layer`"));
    }
    side.ready().map(|_| ())
}

/// A user of one night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    row: u64,
    user: LayerRow,
}

impl Member {
    fn pack(self) -> u128 {
        let LayerRow {
            score,
            layer,
            eligible,
            tenant,
        } = self.user;
        u128::from(self.row) << 65
            | u128::from(eligible) << 64
            | u128::from(tenant) << 32
            | u128::from(score) << 16
            | u128::from(layer)
    }

    fn unpack(word: u128) -> Self {
        let (tenant, score, layer) = ((word >> 32) as u32, (word >> 16) as u16, word as u16);
        Self {
            row: (word >> 65) as u64,
            user: LayerRow {
                score,
                layer,
                eligible: word >> 64 & 1 == 1,
                tenant,
            },
        }
    }
}

/// The differences that the join has found so far.
#[derive(Debug, Default)]
struct Differences {
    tenants: NameIndex,
    layers: NameIndex,
    /// The number of users by tenant, previous layer and current layer.
    moves: HashMap<(u32, Option<u16>, Option<u16>), u64>,
    /// The scores of the previous night and of the current night, by tenant.
    scores: Vec<[ScoreHistogram; 2]>,
    changed: Changed,
    n_consent_changed: u64,
    partitioned: bool,
}

impl Differences {
    /// Counts the score of a user; `night` is 0 for the previous night and 1 for the current one.
    fn count_score(&mut self, night: usize, member: Member) {
        let tenant = member.user.tenant as usize;
        if self.scores.len() <= tenant {
            self.scores.resize_with(tenant + 1, Default::default);
        }
        self.scores[tenant][night].add(member.user.score, 1);
    }

    /// Counts a user of both nights.
    fn stays(&mut self, before: Member, after: Member) {
        *self
            .moves
            .entry((after.user.tenant, Some(before.user.layer), Some(after.user.layer)))
            .or_default() += 1;
        self.n_consent_changed += u64::from(before.user.eligible != after.user.eligible);
        if before.user.layer != after.user.layer || before.user.eligible != after.user.eligible {
            self.changed.rows.mark(after.row);
        }
    }

    /// Counts a user who is only in the current night.
    fn comes(&mut self, after: Member) {
        *self
            .moves
            .entry((after.user.tenant, None, Some(after.user.layer)))
            .or_default() += 1;
        self.changed.rows.mark(after.row);
    }

    /// Counts a user who is only in the previous night.
    fn goes(&mut self, before: Member) {
        *self
            .moves
            .entry((before.user.tenant, Some(before.user.layer), None))
            .or_default() += 1;
        self.changed.gone.mark(before.row);
    }

    fn finish(self) -> (LayerMoves, Changed) {
        let layer_name =
            |layer: Option<u16>| layer.map(|layer| self.layers.names()[usize::from(layer)].clone());
        let sum = |wanted: &dyn Fn(Option<u16>, Option<u16>) -> bool| {
            self.moves
                .iter()
                .filter(|((_, from, to), _)| wanted(*from, *to))
                .map(|(_, n)| n)
                .sum()
        };
        let mut moves: Vec<Move> = self
            .moves
            .iter()
            .map(|((tenant, from, to), n_users)| Move {
                tenant: self.tenants.names()[*tenant as usize].clone(),
                from: layer_name(*from),
                to: layer_name(*to),
                n_users: *n_users,
            })
            .collect();
        // The order of reading depends on the join, so the output is sorted by name.
        moves.sort_by(|a, b| (&a.tenant, &a.from, &a.to).cmp(&(&b.tenant, &b.from, &b.to)));
        let mut of_tenants: Vec<TenantPsi> = self
            .scores
            .iter()
            .zip(self.tenants.names())
            .filter(|(nights, _)| nights.iter().any(|counts| !counts.is_empty()))
            .map(|([before, after], tenant)| TenantPsi {
                tenant: tenant.clone(),
                psi: psi(&before.histogram(), &after.histogram()),
            })
            .collect();
        of_tenants.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        let moves = LayerMoves {
            join: if self.partitioned {
                Join::Partitioned
            } else {
                Join::SameOrder
            },
            n_stayed: sum(&|from, to| from.is_some() && from == to),
            n_moved: sum(&|from, to| from.is_some() && to.is_some() && from != to),
            n_new: sum(&|from, _| from.is_none()),
            n_gone: sum(&|_, to| to.is_none()),
            n_consent_changed: self.n_consent_changed,
            moves,
            psi: of_tenants,
        };
        (moves, self.changed)
    }
}

/// One night's table, read row group by row group and batch by batch.
struct Side<'a> {
    path: &'a Path,
    file: Arc<PageFile>,
    footer: ArrowReaderMetadata,
    /// The index of the next row group to open.
    group: usize,
    reader: Option<ParquetRecordBatchReader>,
    batch: Option<LayerRows>,
    /// The index of the current row within the batch.
    at: usize,
    first: u64,
}

impl<'a> Side<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = PageFile::open(path)?;
        let footer = read_footer(path, file.file(), ArrowReaderOptions::new())?;
        Ok(Self {
            path,
            file: Arc::new(file),
            footer,
            group: 0,
            reader: None,
            batch: None,
            at: 0,
            first: 0,
        })
    }

    fn n_groups(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    /// Whether the next row is the first row of a row group that is not open yet.
    fn is_at_group(&self) -> bool {
        self.group < self.n_groups()
            && self.reader.is_none()
            && self.batch.as_ref().is_none_or(|rows| self.at == rows.len())
    }

    /// The type, compression and bytes of a column of the next row group. They are empty if the
    /// table lacks the column; `None` if the bytes cannot be read.
    fn chunk(&self, name: &str) -> Option<(String, Vec<u8>)> {
        let Some(leaf) = leaf_of(&self.footer, name) else {
            return Some((String::new(), Vec::new()));
        };
        let chunk = self.footer.metadata().row_group(self.group).column(leaf);
        let (start, n_bytes) = chunk.byte_range();
        let mut bytes = vec![0; usize::try_from(n_bytes).ok()?];
        self.file.file().read_exact_at(&mut bytes, start).ok()?;
        Some((
            format!("{:?} {:?}", chunk.column_descr().self_type(), chunk.compression()),
            bytes,
        ))
    }

    /// Reads the users of the next row group without their ids.
    fn scan(&self, found: &mut Differences) -> std::result::Result<Vec<Member>, Unsupported> {
        let Differences { tenants, layers, .. } = found;
        let mut layer_number = |id: &str| Some(layers.number(id));
        let mut tenant_number = |name: &str| Some(tenants.number(name));
        let rows = scan_row_group(
            &self.file,
            &self.footer,
            self.group,
            &mut layer_number,
            &mut tenant_number,
        )?;
        let members = rows.into_iter().enumerate().map(|(at, user)| Member {
            row: self.first + at as u64,
            user,
        });
        Ok(members.collect())
    }

    /// Reads the next batch of the row group if the current batch is used up.
    fn refill(&mut self) -> Result<()> {
        while self.batch.as_ref().is_none_or(|rows| self.at == rows.len())
            && let Some(reader) = &mut self.reader
        {
            self.first += self.batch.take().map_or(0, |rows| rows.len() as u64);
            self.at = 0;
            match guard(self.path, || reader.next().transpose())? {
                Some(batch) => self.batch = Some(LayerRows::from_batch(&batch, self.path)?),
                None => self.reader = None,
            }
        }
        Ok(())
    }

    /// Reads ahead until a current row exists. Returns `false` at the end of the table.
    fn ready(&mut self) -> Result<bool> {
        self.refill()?;
        while self.batch.as_ref().is_none_or(|rows| self.at == rows.len()) {
            if self.group == self.n_groups() {
                return Ok(false);
            }
            let columns = ["user_id", "score", "layer", "eligible", "tenant_id"];
            let is_wanted = |name: &str| columns.contains(&name);
            self.reader = Some(open_batches(
                self.path,
                &self.footer,
                Some(self.group),
                &is_wanted,
            )?);
            self.group += 1;
            self.refill()?;
        }
        Ok(true)
    }

    /// Skips the next row group.
    fn skip_group(&mut self, n_rows: u64) {
        self.first += self.batch.take().map_or(0, |rows| rows.len() as u64) + n_rows;
        self.at = 0;
        self.group += 1;
    }

    /// The tenant and the id of the current row.
    fn id(&self) -> (&str, &str) {
        self.batch
            .as_ref()
            .map_or(("", ""), |rows| (rows.tenant(self.at), rows.ids.value(self.at)))
    }

    /// Takes the current row's user; `None` without a current row.
    fn take(&mut self, found: &mut Differences, night: usize) -> Option<Member> {
        let rows = self.batch.as_ref()?;
        let user = LayerRow {
            tenant: found.tenants.number(rows.tenant(self.at)),
            score: rows.scores[self.at],
            layer: found.layers.number(rows.layers.value(self.at)) as u16,
            eligible: rows.eligible.value(self.at),
        };
        let member = Member {
            row: self.first + self.at as u64,
            user,
        };
        found.count_score(night, member);
        self.at += 1;
        Some(member)
    }
}

/// Users of one night who wait for a match in the other, by fingerprint.
type Waiting = HashMap<u128, Member>;

/// Joins two row groups whose id bytes are equal, without decoding the ids. `None` if the ids
/// differ or a column is not readable directly from its pages.
fn same_groups(sides: &mut [Side<'_>; 2], found: &mut Differences) -> Option<u64> {
    let n_rows = [0, 1].map(|night| {
        sides[night]
            .footer
            .metadata()
            .row_group(sides[night].group)
            .num_rows()
    });
    let same = |name: &str| Some(sides[0].chunk(name)? == sides[1].chunk(name)?);
    if n_rows[0] != n_rows[1] || !same("user_id")? || !same("tenant_id")? {
        return None;
    }
    // `first` does not yet include the rows of a batch that is used up.
    for side in sides.iter_mut() {
        side.first += side.batch.take().map_or(0, |rows| rows.len() as u64);
        side.at = 0;
    }
    let path = sides[0].path;
    let [before, after] = [0, 1].map(|night| guard(path, || sides[night].scan(found)).ok());
    for (before, after) in before?.into_iter().zip(after?) {
        found.count_score(0, before);
        found.count_score(1, after);
        found.stays(before, after);
    }
    sides
        .iter_mut()
        .for_each(|side| side.skip_group(n_rows[0] as u64));
    Some(n_rows[0] as u64)
}

/// Joins tables in the same order. `None` if the orders differ too much.
fn side_by_side(sides: &mut [Side<'_>; 2], on_rows: &mut dyn FnMut(u64)) -> Result<Option<Differences>> {
    let mut found = Differences::default();
    let fingerprints = Fingerprints::default();
    let mut waiting: [Waiting; 2] = [Waiting::new(), Waiting::new()];
    let mut n_read = 0;
    loop {
        sides.iter_mut().try_for_each(Side::refill)?;
        if sides.iter().all(Side::is_at_group)
            && let Some(n_rows) = same_groups(sides, &mut found)
        {
            on_rows(n_rows);
            continue;
        }
        n_read += 1;
        if n_read % BATCH_ROWS == 0 {
            on_rows(BATCH_ROWS as u64);
        }
        let there = [sides[0].ready()?, sides[1].ready()?];
        if there == [false, false] {
            break;
        }
        if there == [true, true] && sides[0].id() == sides[1].id() {
            if let [Some(before), Some(after)] = [0, 1].map(|night| sides[night].take(&mut found, night)) {
                found.stays(before, after);
            }
            continue;
        }
        // If the other night already had this user, that night is ahead, so only this night
        // advances.
        let keys = [0, 1].map(|night| {
            there[night].then(|| fingerprints.fingerprint(sides[night].id().0, sides[night].id().1))
        });
        if let Some(after) = keys[0].and_then(|key| waiting[1].remove(&key)) {
            let before = sides[0].take(&mut found, 0);
            before.into_iter().for_each(|before| found.stays(before, after));
        } else if let Some(before) = keys[1].and_then(|key| waiting[0].remove(&key)) {
            let after = sides[1].take(&mut found, 1);
            after.into_iter().for_each(|after| found.stays(before, after));
        } else {
            for night in [0, 1] {
                let id = sides[night].id().1.to_owned();
                let Some((key, member)) =
                    keys[night].and_then(|key| Some((key, sides[night].take(&mut found, night)?)))
                else {
                    continue;
                };
                if waiting[night].insert(key, member).is_some() {
                    return Err(duplicate_error(
                        sides[night].path.display().to_string(),
                        &id,
                        None,
                    ));
                }
            }
        }
        if waiting[0].len() + waiting[1].len() > MAX_WAITING {
            return Ok(None);
        }
    }
    let [gone, new] = waiting;
    gone.into_values().for_each(|before| found.goes(before));
    new.into_values().for_each(|after| found.comes(after));
    Ok(Some(found))
}

/// Joins tables in any order, partition by partition.
fn partitioned(paths: [&Path; 2], on_rows: &mut dyn FnMut(u64)) -> Result<Differences> {
    let mut found = Differences {
        partitioned: true,
        ..Differences::default()
    };
    let fingerprints = Fingerprints::default();
    let mut spills = [Spill::new(paths[1]), Spill::new(paths[1])];
    for night in [0, 1] {
        let mut side = Side::open(paths[night])?;
        while side.ready()? {
            let key = fingerprints.fingerprint(side.id().0, side.id().1);
            let Some(member) = side.take(&mut found, night) else {
                continue;
            };
            spills[night].push(key, member.pack())?;
            if member.row % BATCH_ROWS as u64 == 0 {
                on_rows(BATCH_ROWS as u64);
            }
        }
    }
    let mut duplicate: Option<(usize, [u64; 2])> = None;
    for idx in 0..Spill::n_partitions() {
        let [before, after] = [spills[0].partition(idx)?, spills[1].partition(idx)?];
        for (night, records) in [&before, &after].into_iter().enumerate() {
            let pairs = records.windows(2).filter(|pair| pair[0].0 == pair[1].0);
            let rows = pairs.map(|pair| [pair[1].1, pair[0].1].map(|member| Member::unpack(member).row + 1));
            duplicate = duplicate.into_iter().chain(rows.map(|rows| (night, rows))).min();
        }
        let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
        loop {
            let (was, is) = match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(was), Some(is)) => (was.0 <= is.0, is.0 <= was.0),
                (was, is) => (was.is_some(), is.is_some()),
            };
            let was = if was {
                before.next().map(|(_, member)| Member::unpack(member))
            } else {
                None
            };
            let is = if is {
                after.next().map(|(_, member)| Member::unpack(member))
            } else {
                None
            };
            match (was, is) {
                (Some(before), Some(after)) => found.stays(before, after),
                (Some(before), None) => found.goes(before),
                (None, Some(after)) => found.comes(after),
                (None, None) => {}
            }
        }
    }
    match duplicate {
        None => Ok(found),
        Some((night, [second, first])) => Err(Error::input(
            paths[night].display().to_string(),
            format!("expected one row per user, found the same user in rows {first} and {second}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parquet_io;
    use crate::layer::changes::write_changed;
    use arrow_array::{ArrayRef, BooleanArray, Float64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use rand::{SeedableRng, seq::SliceRandom};
    use std::sync::Arc;

    fn write(path: &Path, users: &[(usize, &str)]) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("user_id", DataType::Utf8, false),
            Field::new("score", DataType::Float64, false),
            Field::new("layer", DataType::Utf8, false),
            Field::new("eligible", DataType::Boolean, false),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                users.iter().map(|(id, _)| format!("u{id}")),
            )),
            Arc::new(Float64Array::from_iter_values(
                users.iter().map(|(id, _)| (id % 10_001) as f64 / 1e4),
            )),
            Arc::new(StringArray::from_iter_values(
                users.iter().map(|(_, layer)| *layer),
            )),
            Arc::new(BooleanArray::from(vec![true; users.len()])),
        ];
        parquet_io::write(
            path,
            &schema,
            std::iter::once(parquet_io::batch(&schema, columns)),
        )
        .unwrap();
    }

    #[test]
    fn both_joins_find_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (before, after) = (dir.path().join("a.parquet"), dir.path().join("b.parquet"));
        let first: Vec<(usize, &str)> = (0..5_000)
            .map(|id| (id, if id % 3 == 0 { "early" } else { "vip" }))
            .collect();
        // Every 100th user is gone, every 50th moved, and 70 are new, some in the middle.
        let mut second: Vec<(usize, &str)> = first
            .iter()
            .filter(|(id, _)| id % 100 != 7)
            .map(|(id, layer)| (*id, if id % 50 == 1 { "new" } else { *layer }))
            .collect();
        for id in 9_000..9_070 {
            second.insert((id - 9_000) * 60, (id, "early"));
        }
        write(&before, &first);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for shuffled in [false, true] {
            if shuffled {
                second.shuffle(&mut rng);
            }
            write(&after, &second);
            let mut sides = [Side::open(&before).unwrap(), Side::open(&after).unwrap()];
            let (near, changed) = side_by_side(&mut sides, &mut |_| {}).unwrap().unwrap().finish();
            let (far, other) = partitioned([&before, &after], &mut |_| {}).unwrap().finish();
            assert_eq!(
                LayerMoves {
                    join: Join::Partitioned,
                    ..near.clone()
                },
                far
            );
            assert_eq!(changed.rows.words, other.rows.words);
            assert_eq!(changed.gone.words, other.gone.words);
            assert_eq!(
                (near.n_stayed, near.n_moved, near.n_new, near.n_gone),
                (4_850, 100, 70, 50)
            );
            assert_eq!(
                changed
                    .rows
                    .words
                    .iter()
                    .map(|word| word.count_ones())
                    .sum::<u32>(),
                170
            );
            write_changed(&before, &after, &changed, &dir.path().join("c.parquet")).unwrap();
            let mut rows = 0;
            parquet_io::read(&dir.path().join("c.parquet"), &mut |batch| {
                rows += batch.num_rows();
                Ok(())
            })
            .unwrap();
            assert_eq!(rows, 170);
        }
    }
}
