//! The data that merges of cubes need in addition to the sums: the exposure of users, and sessions.

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::{files, parquet_io};
use crate::replay::columns::long;
use crate::replay::seen::{UserExposure, UserRow, UserRun};

pub(super) const USERS: &str = "users.parquet";
pub(super) const SESSIONS: &str = "sessions.parquet";

/// The number of users per row group, and per chunk of work.
pub(super) const CHUNK: usize = 262_144;

/// Writes the users who were seen, one row per user and layer, for later merges with other cubes.
pub(super) struct UsersWriter<'a> {
    sink: &'a mut dyn FnMut(&RecordBatch) -> Result<()>,
    rows: Vec<UserRow>,
}

impl UsersWriter<'_> {
    /// Writes a file of users. `fill` pushes them in order.
    pub(super) fn write(path: &Path, fill: impl FnOnce(&mut UsersWriter<'_>) -> Result<()>) -> Result<()> {
        files::write_file(path, |file| {
            let mut file = parquet_io::BatchWriter::for_numbers(path, file, &user_schema())?;
            let mut sink = |batch: &RecordBatch| file.write(batch);
            let mut writer = UsersWriter {
                sink: &mut sink,
                rows: Vec::new(),
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
            .rows
            .last()
            .is_some_and(|last| last.row as usize / CHUNK != user.row as usize / CHUNK)
        {
            self.flush()?;
        }
        self.rows.push(*user);
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
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            Ok(())
        } else {
            (self.sink)(&writer_batch(&rows))
        }
    }
}

fn user_schema() -> Arc<Schema> {
    Arc::new(Schema::new(
        USER_COLUMNS
            .map(|name| Field::new(name, DataType::Int64, false))
            .to_vec(),
    ))
}

/// Encodes users as a batch for [`UsersWriter`].
pub(super) fn writer_batch(rows: &[UserRow]) -> RecordBatch {
    let column =
        |of: fn(&UserRow) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) };
    let columns = vec![
        column(|user| i64::from(user.row)),
        column(|user| i64::from(user.stratum)),
        column(|user| i64::from(user.bucket)),
        column(|user| user.seen.stages[0] as i64),
        column(|user| user.seen.stages[1] as i64),
        column(|user| i64::from(user.seen.last) - 1),
    ];
    parquet_io::batch(&user_schema(), columns)
}

const USER_COLUMNS: [&str; 6] = [
    "user_row",
    "tenant_layer",
    "bucket",
    "baseline_stages",
    "candidate_stages",
    "last_window",
];

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
    let columns = USER_COLUMNS
        .iter()
        .map(|name| long(path, batch, name))
        .collect::<Result<Vec<_>>>()?;
    let row = |row: usize| {
        let [user, stratum, bucket, baseline, candidate, last] =
            std::array::from_fn(|column| columns[column].value(row));
        let whole = (0..n_strata as i64).contains(&stratum)
            && (0..i64::from(u32::MAX)).contains(&user)
            && (0..10_000).contains(&bucket);
        if !whole || !(-1..i64::from(u32::MAX - 1)).contains(&last) {
            return Err(Error::in_file(
                path,
                "expected the users of a cube, found numbers out of range",
            ));
        }
        let seen = UserExposure {
            stages: [baseline as u64, candidate as u64],
            last: (last + 1) as u32,
        };
        Ok(UserRow {
            row: user as u32,
            stratum: stratum as u32,
            bucket: bucket as u16,
            seen,
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
