//! The data that merges of cubes need in addition to the sums: the exposure of users, and sessions.

use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::parquet_io::{GroupEncoder, RowGroup};
use crate::base::{files, parquet_io};
use crate::bucket::N_BUCKETS;
use crate::replay::columns::{CheckedBatch, each_batch, out_of_order};
use crate::replay::cube::Cube;
use crate::replay::seen::{MAX_WORDS, StageSet, UserExposure, UserRow, UserRun, WORD_STAGES};
use crate::replay::tables::{n_users, n_windows};

pub(super) const USERS: &str = "users.parquet";
pub(super) const SESSIONS: &str = "sessions.parquet";

/// The number of users per row group, and per chunk of work.
pub(super) const CHUNK: usize = 262_144;

/// Writes the users who were seen, one row per user and layer, for later merges with other cubes.
pub(super) struct UsersWriter<'a> {
    sink: &'a mut dyn FnMut(Vec<RowGroup>) -> Result<()>,
    encoder: Arc<GroupEncoder>,
    users: UserColumns,
}

impl UsersWriter<'_> {
    /// Writes a file of users, whose sets of stages have `n_words` words. `fill` pushes the users in
    /// order.
    pub(super) fn write(
        path: &Path,
        n_words: usize,
        fill: impl FnOnce(&mut UsersWriter<'_>) -> Result<()>,
    ) -> Result<()> {
        files::write_file(path, |file| {
            let users = UserColumns::new(n_words);
            let mut file = parquet_io::BatchWriter::for_numbers(path, file, &users.schema())?;
            let encoder = file.encoder();
            let mut sink = |groups| file.append(groups);
            let mut writer = UsersWriter {
                sink: &mut sink,
                encoder,
                users,
            };
            fill(&mut writer)?;
            writer.flush()?;
            file.finish()
        })
    }

    /// Adds a user. Row groups end at fixed rows of the layer table, so that the bytes do not
    /// depend on the source of the users.
    pub(super) fn push(&mut self, user: &UserRow) -> Result<()> {
        if self
            .users
            .last_row()
            .is_some_and(|last| last / CHUNK != user.row as usize / CHUNK)
        {
            self.flush()?;
        }
        self.users.push(user);
        Ok(())
    }

    /// What encodes users on other threads, for [`Self::append`].
    pub(super) fn encoder(&self) -> Arc<GroupEncoder> {
        Arc::clone(&self.encoder)
    }

    /// Writes encoded users after the pushed ones.
    pub(super) fn append(&mut self, groups: Vec<RowGroup>) -> Result<()> {
        self.flush()?;
        (self.sink)(groups)
    }

    fn flush(&mut self) -> Result<()> {
        let next = UserColumns::new(self.users.n_words);
        let users = std::mem::replace(&mut self.users, next);
        let groups = users.encode(&self.encoder)?;
        (self.sink)(groups)
    }
}

/// Users as the columns of a file: row, stratum, bucket, last window, and the words of the sets of
/// stages.
pub(super) struct UserColumns {
    n_words: usize,
    columns: Vec<Vec<i64>>,
}

impl UserColumns {
    pub(super) fn new(n_words: usize) -> Self {
        Self {
            n_words,
            columns: vec![Vec::new(); KEY_COLUMNS.len() + 2 * n_words + 1],
        }
    }

    /// Reserves memory for `n` users.
    pub(super) fn with_capacity(n_words: usize, n: usize) -> Self {
        let mut users = Self::new(n_words);
        users
            .columns
            .iter_mut()
            .for_each(|column| column.reserve_exact(n));
        users
    }

    pub(super) fn push(&mut self, user: &UserRow) {
        let (keys, rest) = self.columns.split_at_mut(KEY_COLUMNS.len());
        keys[0].push(i64::from(user.row));
        keys[1].push(i64::from(user.stratum));
        keys[2].push(i64::from(user.bucket));
        let (words, last) = rest.split_at_mut(2 * self.n_words);
        let sets = user.seen.stages.each_ref().map(|set| set.words());
        for (word, [baseline, candidate]) in words.as_chunks_mut().0.iter_mut().enumerate() {
            baseline.push(sets[0][word] as i64);
            candidate.push(sets[1][word] as i64);
        }
        last[0].push(i64::from(user.seen.last) - 1);
    }

    /// Reserves memory for `n` more users.
    pub(super) fn reserve(&mut self, n: usize) {
        self.columns.iter_mut().for_each(|column| column.reserve_exact(n));
    }

    /// The number of users.
    pub(super) fn len(&self) -> usize {
        self.columns[0].len()
    }

    /// The row and stratum of a user.
    pub(super) fn key(&self, idx: usize) -> (u32, u32) {
        (self.columns[0][idx] as u32, self.columns[1][idx] as u32)
    }

    /// A user.
    pub(super) fn user(&self, idx: usize) -> UserRow {
        let (row, stratum) = self.key(idx);
        let words = |arm: usize| {
            let columns = self.columns[KEY_COLUMNS.len() + arm..].iter().step_by(2);
            StageSet::from_words(columns.take(self.n_words).map(|column| column[idx] as u64))
        };
        UserRow {
            row,
            stratum,
            bucket: self.columns[2][idx] as u16,
            seen: UserExposure {
                stages: [words(0), words(1)],
                last: self.columns[self.columns.len() - 1][idx] as u32 + 1,
            },
        }
    }

    /// Adds a range of other users, whose sets of stages have as many words.
    pub(super) fn extend(&mut self, other: &Self, users: Range<usize>) {
        let columns = self.columns.iter_mut().zip(&other.columns);
        columns.for_each(|(column, other)| column.extend_from_slice(&other[users.clone()]));
    }

    fn last_row(&self) -> Option<usize> {
        self.columns[0].last().map(|row| *row as usize)
    }

    fn schema(&self) -> Arc<Schema> {
        let words = (0..self.n_words).flat_map(word_columns);
        let names = KEY_COLUMNS
            .into_iter()
            .map(str::to_owned)
            .chain(words)
            .chain([LAST_WINDOW.to_owned()]);
        Arc::new(Schema::new(
            names
                .map(|name| Field::new(name, DataType::Int64, false))
                .collect::<Vec<_>>(),
        ))
    }

    /// Encodes all users as a row group. None for no users.
    ///
    /// # Errors
    /// As [`GroupEncoder::encode`].
    pub(super) fn encode(self, encoder: &GroupEncoder) -> Result<Vec<RowGroup>> {
        let schema = self.schema();
        let columns = self
            .columns
            .into_iter()
            .map(|column| Arc::new(Int64Array::from(column)) as ArrayRef);
        encoder.encode(&parquet_io::batch(&schema, columns.collect()))
    }
}

const KEY_COLUMNS: [&str; 3] = ["user_row", "tenant_layer", "bucket"];
const LAST_WINDOW: &str = "last_window";

/// The names of the columns of a word of the sets of stages, by release.
fn word_columns(word: usize) -> [String; 2] {
    ["baseline_stages", "candidate_stages"].map(|name| match word {
        0 => name.to_owned(),
        _ => format!("{name}_{}", word + 1),
    })
}

/// The ranges of the columns of a cube's file of users.
struct UserRanges {
    /// The number of stages of each stratum.
    n_stages: Vec<usize>,
    n_users: i64,
    n_windows: i64,
}

impl UserRanges {
    fn new(cube: &Cube) -> Self {
        Self {
            n_stages: cube.layers.iter().map(|layer| layer.stages.len()).collect(),
            n_users: n_users(cube) as i64,
            n_windows: n_windows(cube).into(),
        }
    }
}

/// Reads the users of a cube, in order.
///
/// # Errors
/// When the file cannot be read. A bad batch is an error of the iterator.
pub(super) fn read_users(folder: &Path, cube: &Cube) -> Result<UserRun<'static>> {
    let ranges = UserRanges::new(cube);
    let path = folder.join(USERS);
    let mut batches = parquet_io::batches(&path)?;
    let mut rows = Vec::new().into_iter();
    let (mut n_before, mut last) = (0, None);
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(row) = rows.next() {
                return Some(Ok(row));
            }
            let batch = match batches.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            };
            match user_rows(&CheckedBatch::new(&path, &batch, n_before), &ranges, &mut last) {
                Ok(more) => rows = more.into_iter(),
                Err(error) => return Some(Err(error)),
            }
            n_before += batch.num_rows() as u64;
        }
    })))
}

/// The users of a batch. `last` is the row and stratum of the user before, which must be below.
fn user_rows(
    batch: &CheckedBatch<'_>,
    ranges: &UserRanges,
    last: &mut Option<(u32, u32)>,
) -> Result<Vec<UserRow>> {
    let users = UserBatch::check(batch, ranges, last)?;
    Ok((0..batch.n_rows()).map(|row| users.row(row)).collect())
}

/// The columns of a batch of users, whose values have been checked.
struct UserBatch<'a> {
    rows: &'a [i64],
    strata: &'a [i64],
    buckets: &'a [i64],
    /// The words of the sets of stages, by release.
    words: Vec<[&'a [i64]; 2]>,
    windows: &'a [i64],
}

impl<'a> UserBatch<'a> {
    /// Reads the columns of a batch. `last` is the row and stratum of the user before.
    ///
    /// # Errors
    /// When a value is out of range, a user has no stage, or a user is not above the user before.
    fn check(batch: &CheckedBatch<'a>, ranges: &UserRanges, last: &mut Option<(u32, u32)>) -> Result<Self> {
        let column = |name: &str, n: i64| {
            batch.longs(name, &format!("a number from 0 to {}", n - 1), |_, value| {
                (0..n).contains(&value)
            })
        };
        let rows = column(KEY_COLUMNS[0], ranges.n_users)?;
        let strata = column(KEY_COLUMNS[1], ranges.n_stages.len() as i64)?;
        let buckets = column(KEY_COLUMNS[2], N_BUCKETS.into())?;
        let windows = column(LAST_WINDOW, ranges.n_windows)?;
        let mut words: Vec<[&[i64]; 2]> = Vec::new();
        for word in 0..MAX_WORDS {
            let names = word_columns(word);
            // Only plans with many stages have more than one word.
            if word > 0 && !batch.has(&names[0]) {
                break;
            }
            let is_of_layer = |row: usize, bits: i64| {
                let n_left = ranges.n_stages[strata[row] as usize].saturating_sub(word * WORD_STAGES);
                n_left >= WORD_STAGES || bits as u64 >> n_left == 0
            };
            let [baseline, candidate] =
                names.map(|name| batch.longs(&name, &"a bit for each stage of the layer", is_of_layer));
            words.push([baseline?, candidate?]);
        }
        for row in 0..batch.n_rows() {
            if words.iter().flatten().all(|words| words[row] == 0) {
                let [name, _] = word_columns(0);
                return Err(batch.wrong(&name, row, &"a stage of the user", &"none in either release"));
            }
            let found = (rows[row] as u32, strata[row] as u32);
            if last.is_some_and(|last| last >= found) {
                return Err(out_of_order(batch, row));
            }
            *last = Some(found);
        }
        Ok(Self {
            rows,
            strata,
            buckets,
            words,
            windows,
        })
    }

    fn row(&self, row: usize) -> UserRow {
        let words = |arm: usize| StageSet::from_words(self.words.iter().map(|word| word[arm][row] as u64));
        UserRow {
            row: self.rows[row] as u32,
            stratum: self.strata[row] as u32,
            bucket: self.buckets[row] as u16,
            seen: UserExposure {
                stages: [words(0), words(1)],
                last: self.windows[row] as u32 + 1,
            },
        }
    }

    /// The columns in the order of the file.
    fn columns(&self) -> impl Iterator<Item = &'a [i64]> {
        [self.rows, self.strata, self.buckets]
            .into_iter()
            .chain(self.words.clone().into_iter().flatten())
            .chain([self.windows])
    }
}

/// The users of a cube in row groups: one for each [`CHUNK`] of the layer table that has users.
pub(super) struct UserGroups {
    path: PathBuf,
    footer: ArrowReaderMetadata,
    ranges: UserRanges,
    n_words: usize,
    /// The row group of each chunk. `None` if the chunk has no users.
    by_chunk: Vec<Option<usize>>,
}

impl UserGroups {
    /// Opens the users of a cube. `None` if the row groups are not those of chunks, or if the sets
    /// of stages do not have `n_words` words.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn open(folder: &Path, cube: &Cube, n_words: usize) -> Result<Option<Self>> {
        let path = folder.join(USERS);
        let footer = parquet_io::footer(&path)?;
        if *footer.schema().fields() != *UserColumns::new(n_words).schema().fields() {
            return Ok(None);
        }
        let mut by_chunk = vec![None; (n_users(cube) as usize).div_ceil(CHUNK)];
        let mut n_filled = 0;
        for (idx, group) in footer.metadata().row_groups().iter().enumerate() {
            let Some(chunk) = chunk_of(group).filter(|chunk| (n_filled..by_chunk.len()).contains(chunk))
            else {
                return Ok(None);
            };
            by_chunk[chunk] = Some(idx);
            n_filled = chunk + 1;
        }
        Ok(Some(Self {
            path,
            footer,
            ranges: UserRanges::new(cube),
            n_words,
            by_chunk,
        }))
    }

    /// The number of chunks of the layer table.
    pub(super) fn n_chunks(&self) -> usize {
        self.by_chunk.len()
    }

    /// Reads the users of a chunk.
    ///
    /// # Errors
    /// When the row group cannot be read, or has a value that no replay writes.
    pub(super) fn read(&self, chunk: usize) -> Result<UserColumns> {
        let mut users = UserColumns::new(self.n_words);
        let Some(group) = self.by_chunk[chunk] else {
            return Ok(users);
        };
        let groups = self.footer.metadata().row_groups();
        let of_group = |group: &RowGroupMetaData| group.num_rows().unsigned_abs();
        let mut first_row: u64 = groups[..group].iter().map(of_group).sum();
        let n_most = usize::try_from(of_group(&groups[group])).unwrap_or(usize::MAX);
        users.reserve(n_most.min(CHUNK));
        let mut last = None;
        for batch in parquet_io::row_group(&self.path, &self.footer, group)? {
            let batch = batch?;
            let checked = CheckedBatch::new(&self.path, &batch, first_row);
            let found = UserBatch::check(&checked, &self.ranges, &mut last)?;
            if let Some(row) = found.rows.iter().position(|row| *row as usize / CHUNK != chunk) {
                return Err(out_of_order(&checked, row));
            }
            let columns = users.columns.iter_mut().zip(found.columns());
            columns.for_each(|(column, values)| column.extend_from_slice(values));
            first_row += batch.num_rows() as u64;
        }
        Ok(users)
    }
}

/// The chunk of the layer table to which the footer assigns all users of a row group. `None` if they
/// belong to several, or if the footer does not say.
fn chunk_of(group: &RowGroupMetaData) -> Option<usize> {
    let Statistics::Int64(rows) = group.columns().first()?.statistics()? else {
        return None;
    };
    let [first, last] = [rows.min_opt()?, rows.max_opt()?].map(|row| usize::try_from(*row).ok());
    let (first, last) = (first? / CHUNK, last? / CHUNK);
    (first == last).then_some(first)
}

/// Writes the hashes of sessions, by series. The file is empty if sessions were not counted.
pub(super) fn write_sessions(folder: &Path, sessions: &BTreeMap<u32, Vec<u64>>) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("series", DataType::Int64, false),
        Field::new("session", DataType::Int64, false),
    ]));
    let path = folder.join(SESSIONS);
    let batches = sessions.iter().flat_map(|(series, hashes)| {
        hashes.chunks(CHUNK).map(|hashes| {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_value(i64::from(*series), hashes.len())),
                Arc::new(Int64Array::from_iter_values(
                    hashes.iter().map(|hash| *hash as i64),
                )),
            ];
            parquet_io::batch(&schema, columns)
        })
    });
    files::write_file(&path, |file| {
        let mut file = parquet_io::BatchWriter::for_numbers(&path, file, &schema)?;
        for batch in batches {
            file.write(&batch)?;
        }
        file.finish()
    })
}

/// Reads the sessions of a cube with this number of series. `on_session` gets each series and hash.
///
/// # Errors
/// When the file cannot be read, or names another series.
pub(super) fn read_sessions(
    folder: &Path,
    n_series: u32,
    on_session: &mut dyn FnMut(u32, u64),
) -> Result<()> {
    let path = folder.join(SESSIONS);
    let expected = format!("a series of the cube, 0..{n_series}");
    each_batch(&path, None, &mut |batch| {
        let series = batch.longs("series", &expected, |_, series| {
            (0..i64::from(n_series)).contains(&series)
        })?;
        let sessions = batch.longs("session", &"a hash", |_, _| true)?;
        for (series, session) in series.iter().zip(sessions) {
            on_session(*series as u32, *session as u64);
        }
        Ok(())
    })
}
