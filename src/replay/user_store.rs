//! The data that merges of cubes need in addition to the sums: the exposure of users, and sessions.

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::Result;
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
    sink: &'a mut dyn FnMut(&RecordBatch) -> Result<()>,
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
            let mut sink = |batch: &RecordBatch| file.write(batch);
            let mut writer = UsersWriter {
                sink: &mut sink,
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

    /// Writes a batch of users after the pushed ones.
    pub(super) fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.flush()?;
        if batch.num_rows() > 0 {
            (self.sink)(batch)
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        let next = UserColumns::new(self.users.n_words);
        let users = std::mem::replace(&mut self.users, next);
        if users.last_row().is_none() {
            Ok(())
        } else {
            (self.sink)(&users.into_batch())
        }
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

    pub(super) fn push(&mut self, user: &UserRow) {
        let keys = [
            i64::from(user.row),
            i64::from(user.stratum),
            i64::from(user.bucket),
        ];
        let words = (0..self.n_words).flat_map(|word| user.seen.stages.map(|set| set.words()[word] as i64));
        let values = keys
            .into_iter()
            .chain(words)
            .chain([i64::from(user.seen.last) - 1]);
        self.columns
            .iter_mut()
            .zip(values)
            .for_each(|(column, value)| column.push(value));
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

    pub(super) fn into_batch(self) -> RecordBatch {
        let schema = self.schema();
        let columns = self
            .columns
            .into_iter()
            .map(|column| Arc::new(Int64Array::from(column)) as ArrayRef);
        parquet_io::batch(&schema, columns.collect())
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

/// Reads the users of a cube, in order.
///
/// # Errors
/// When the file cannot be read. A bad batch is an error of the iterator.
pub(super) fn read_users(folder: &Path, cube: &Cube) -> Result<UserRun<'static>> {
    let ranges = UserRanges {
        n_stages: cube.layers.iter().map(|layer| layer.stages.len()).collect(),
        n_users: n_users(cube) as i64,
        n_windows: n_windows(cube).into(),
    };
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
    let column = |name: &str, n: i64| {
        batch.longs(name, &format!("a number from 0 to {}", n - 1), |_, value| {
            (0..n).contains(&value)
        })
    };
    let users = column(KEY_COLUMNS[0], ranges.n_users)?;
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
    let mut rows = Vec::with_capacity(batch.n_rows());
    for row in 0..batch.n_rows() {
        let found = UserRow {
            row: users[row] as u32,
            stratum: strata[row] as u32,
            bucket: buckets[row] as u16,
            seen: UserExposure {
                stages: [0, 1]
                    .map(|arm| StageSet::from_words(words.iter().map(|word| word[arm][row] as u64))),
                last: windows[row] as u32 + 1,
            },
        };
        let [baseline, candidate] = found.seen.stages;
        if baseline.union(&candidate).iter().next().is_none() {
            let [name, _] = word_columns(0);
            return Err(batch.wrong(&name, row, &"a stage of the user", &"none in either release"));
        }
        if last.is_some_and(|last| last >= (found.row, found.stratum)) {
            return Err(out_of_order(batch, row));
        }
        *last = Some((found.row, found.stratum));
        rows.push(found);
    }
    Ok(rows)
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
