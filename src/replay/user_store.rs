//! The data that merges of cubes need in addition to the sums: the exposure of users, and sessions.

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::{files, parquet_io};
use crate::replay::columns::long;
use crate::replay::seen::{MAX_WORDS, StageSet, UserExposure, UserRow, UserRun};

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

/// Reads the users of a cube, in order.
///
/// # Errors
/// When the file cannot be read. A bad batch is an error of the iterator.
pub(super) fn read_users(folder: &Path, n_strata: usize) -> Result<UserRun<'static>> {
    let path = folder.join(USERS);
    let mut batches = parquet_io::batches(&path)?;
    let mut rows = Vec::new().into_iter();
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(row) = rows.next() {
                return Some(Ok(row));
            }
            match batches.next()? {
                Ok(batch) => match user_rows(&path, &batch, n_strata) {
                    Ok(more) => rows = more.into_iter(),
                    Err(error) => return Some(Err(error)),
                },
                Err(error) => return Some(Err(error)),
            }
        }
    })))
}

fn user_rows(path: &Path, batch: &RecordBatch, n_strata: usize) -> Result<Vec<UserRow>> {
    let [users, strata, buckets] = KEY_COLUMNS.map(|name| long(path, batch, name));
    let (users, strata, buckets, last) = (users?, strata?, buckets?, long(path, batch, LAST_WINDOW)?);
    let mut words: Vec<[&Int64Array; 2]> = Vec::new();
    for word in 0..MAX_WORDS {
        let [baseline, candidate] = word_columns(word);
        // Only plans with many stages have more than one word.
        if word > 0 && batch.column_by_name(&baseline).is_none() {
            break;
        }
        words.push([long(path, batch, &baseline)?, long(path, batch, &candidate)?]);
    }
    let row = |row: usize| {
        let [user, stratum, bucket, last] = [users, strata, buckets, last].map(|column| column.value(row));
        let whole = (0..n_strata as i64).contains(&stratum)
            && (0..i64::from(u32::MAX)).contains(&user)
            && (0..10_000).contains(&bucket);
        if !whole || !(-1..i64::from(u32::MAX - 1)).contains(&last) {
            return Err(Error::in_file(
                path,
                "expected the users of a cube, found numbers out of range",
            ));
        }
        let stages =
            [0, 1].map(|arm| StageSet::from_words(words.iter().map(|word| word[arm].value(row) as u64)));
        Ok(UserRow {
            row: user as u32,
            stratum: stratum as u32,
            bucket: bucket as u16,
            seen: UserExposure {
                stages,
                last: (last + 1) as u32,
            },
        })
    };
    (0..batch.num_rows()).map(row).collect()
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

/// Reads the sessions of a cube. `on_session` gets each series and hash.
pub(super) fn read_sessions(folder: &Path, on_session: &mut dyn FnMut(u32, u64)) -> Result<()> {
    let path = folder.join(SESSIONS);
    parquet_io::read(&path, &mut |batch| {
        let (series, sessions) = (long(&path, batch, "series")?, long(&path, batch, "session")?);
        series
            .values()
            .iter()
            .zip(sessions.values())
            .for_each(|(series, session)| on_session(*series as u32, *session as u64));
        Ok(())
    })
}
