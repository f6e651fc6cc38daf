//! Users and sessions of each line: exact counts, and sums by user. Memory does not grow with the
//! number of rows.
//!
//! A row becomes a record of its user, session and line. A row without a user is a record of its
//! session alone, which counts in the sums and not as a user. Records are sorted and merged from
//! time to time. When merging frees too little memory, the records go to temporary nameless files,
//! one for each part of the users.

use std::fs::File;
use std::io;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::base::error::{FileResult, Result};
use crate::base::spill::nameless_file;
use crate::finops::money::overflow;

/// Number of parts of the users, divided by the first bits of their hashes.
pub(crate) const N_PARTS: usize = 64;
/// The largest number of records that a thread holds in memory, 40 MB.
pub(super) const HELD: usize = 1 << 20;
/// Size of a record in a file, bytes.
const BYTES: usize = 40;

/// The owner of rows: a user, or a session whose rows have no user. Bit 0 of the hash tells them
/// apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner(u64);

impl Owner {
    /// A user, by the hash of tenant and user.
    pub(super) fn user(hash: u64) -> Self {
        Self(hash & !1)
    }

    /// The rows of a session without a user, by the hash of tenant and session. Sessions have
    /// owners of their own, so that these rows are spread over all parts.
    pub(super) fn unknown(hash: u64) -> Self {
        Self(hash | 1)
    }

    pub(super) fn is_user(self) -> bool {
        self.0 & 1 == 0
    }
}

/// Sums over a user's rows in one session on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClusterRecord {
    pub(super) owner: Owner,
    pub(super) line: u32,
    /// Hash of the session. 0 for rows without a session.
    pub(super) session: u64,
    /// Number of completed tasks.
    pub(super) tasks: u32,
    pub(super) cost: i64,
    pub(super) repriced: i64,
}

impl ClusterRecord {
    fn key(&self) -> (Owner, u32, u64) {
        (self.owner, self.line, self.session)
    }

    fn part(&self) -> usize {
        (self.owner.0 >> 58) as usize
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.tasks = self
            .tasks
            .checked_add(other.tasks)
            .ok_or_else(|| overflow("the completed tasks of a session"))?;
        self.cost = self
            .cost
            .checked_add(other.cost)
            .ok_or_else(|| overflow("the cost of a session"))?;
        self.repriced = self
            .repriced
            .checked_add(other.repriced)
            .ok_or_else(|| overflow("the cost of a session"))?;
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        for word in [self.owner.0, self.session, self.cost as u64, self.repriced as u64] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.line.to_le_bytes());
        out.extend_from_slice(&self.tasks.to_le_bytes());
    }

    fn read(bytes: &[u8; BYTES]) -> Self {
        let word = |at: usize| {
            (at..at + 8)
                .rev()
                .fold(0_u64, |word, idx| word << 8 | u64::from(bytes[idx]))
        };
        let half = word(32);
        Self {
            owner: Owner(word(0)),
            session: word(8),
            cost: word(16) as i64,
            repriced: word(24) as i64,
            line: half as u32,
            tasks: (half >> 32) as u32,
        }
    }
}

/// Sorts records and merges those with the same key.
fn merge_by_key(records: &mut Vec<ClusterRecord>) -> Result<()> {
    records.sort_unstable_by_key(ClusterRecord::key);
    let mut n = 0;
    for idx in 0..records.len() {
        let record = records[idx];
        if n > 0 && records[n - 1].key() == record.key() {
            records[n - 1].add(&record)?;
        } else {
            records[n] = record;
            n += 1;
        }
    }
    records.truncate(n);
    Ok(())
}

/// The records of one thread.
#[derive(Debug)]
pub(super) struct Records {
    held: Vec<ClusterRecord>,
    max_held: usize,
    files: Option<Vec<File>>,
    near: PathBuf,
}

impl Records {
    /// Makes an empty set of records. Its files are created beside `near`.
    pub(super) fn new(near: &Path, max_held: usize) -> Self {
        Self {
            held: Vec::new(),
            max_held,
            files: None,
            near: near.to_owned(),
        }
    }

    pub(super) fn push(&mut self, record: ClusterRecord) -> Result<()> {
        // The rows of a session are often adjacent.
        if let Some(last) = self.held.last_mut().filter(|last| last.key() == record.key()) {
            return last.add(&record);
        }
        self.held.push(record);
        if self.held.len() < self.max_held {
            return Ok(());
        }
        merge_by_key(&mut self.held)?;
        if self.held.len() > self.max_held / 2 {
            self.write_out().or_unwritable(&self.near)?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.files.is_none() {
            let open = |_| nameless_file(&self.near);
            self.files = Some((0..N_PARTS).map(open).collect::<io::Result<_>>()?);
        }
        let mut bytes = Vec::new();
        let files = self.files.as_mut().into_iter().flatten();
        let mut rest = self.held.as_slice();
        for (part, file) in files.enumerate() {
            let (own, others) = rest.split_at(rest.partition_point(|record| record.part() <= part));
            rest = others;
            bytes.clear();
            own.iter().for_each(|record| record.write(&mut bytes));
            file.write_all(&bytes)?;
        }
        self.held.clear();
        Ok(())
    }

    /// Sorts and merges the records. It must be called once before [`Self::part`].
    pub(super) fn finish(&mut self) -> Result<()> {
        merge_by_key(&mut self.held)
    }

    /// Appends the records of one part of the users. `line_of` maps the thread's line numbers to
    /// the common ones.
    fn part(&self, part: usize, line_of: &[u32], out: &mut Vec<ClusterRecord>) -> Result<()> {
        let mut take = |record: &ClusterRecord| {
            out.push(ClusterRecord {
                line: line_of[record.line as usize],
                ..*record
            })
        };
        let start = self.held.partition_point(|record| record.part() < part);
        self.held[start..]
            .iter()
            .take_while(|record| record.part() == part)
            .for_each(&mut take);
        if let Some(files) = &self.files {
            let (mut file, mut bytes) = (&files[part], Vec::new());
            file.seek(SeekFrom::Start(0))
                .and_then(|_| file.read_to_end(&mut bytes))
                .or_unreadable(&self.near)?;
            bytes
                .as_chunks::<BYTES>()
                .0
                .iter()
                .map(ClusterRecord::read)
                .for_each(|record| take(&record));
        }
        Ok(())
    }
}

/// The sums of a user, or of a session without a user, on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserOnLine {
    pub(super) is_user: bool,
    pub(super) line: u32,
    pub(super) n_sessions: u32,
    pub(super) n_successes: u32,
    pub(super) cost: i64,
    pub(super) repriced: i64,
}

/// The definition of a success, by which costs are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Success {
    /// Counts every row with a completed task as one success.
    #[default]
    Task,
    /// Counts every session with a completed task as one success.
    Session,
}

/// Computes the sums of the users of a part, in the order of their hashes: for each of their lines,
/// and for all lines together as line `n_lines`.
pub(super) fn users_of_part(
    threads: &[(Records, Vec<u32>)],
    part: usize,
    success: Success,
    n_lines: u32,
) -> Result<Vec<UserOnLine>> {
    let mut records = Vec::new();
    for (thread, line_of) in threads {
        thread.part(part, line_of, &mut records)?;
    }
    merge_by_key(&mut records)?;
    let mut users = Vec::new();
    let mut sessions: Vec<(u64, u32)> = Vec::new();
    for of_user in records.chunk_by(|a, b| a.owner == b.owner) {
        for of_line in of_user.chunk_by(|a, b| a.line == b.line) {
            users.push(summed(of_line, of_line[0].line, success, &mut sessions)?);
        }
        users.push(summed(of_user, n_lines, success, &mut sessions)?);
    }
    Ok(users)
}

fn summed(
    records: &[ClusterRecord],
    line: u32,
    success: Success,
    sessions: &mut Vec<(u64, u32)>,
) -> Result<UserOnLine> {
    let sum = |of: fn(&ClusterRecord) -> i64| {
        records
            .iter()
            .try_fold(0_i64, |sum, record| sum.checked_add(of(record)))
    };
    let too_much = || overflow("the cost of a user");
    let (cost, repriced) = (
        sum(|r| r.cost).ok_or_else(too_much)?,
        sum(|r| r.repriced).ok_or_else(too_much)?,
    );
    sessions.clear();
    sessions.extend(
        records
            .iter()
            .filter(|record| record.session != 0)
            .map(|record| (record.session, record.tasks)),
    );
    sessions.sort_unstable();
    let by_session = || sessions.chunk_by(|a, b| a.0 == b.0);
    let n_successes = match success {
        Success::Task => records
            .iter()
            .try_fold(0_u32, |sum, record| sum.checked_add(record.tasks)),
        Success::Session => Some(
            by_session()
                .filter(|of| of.iter().any(|(_, tasks)| *tasks > 0))
                .count() as u32,
        ),
    };
    let n_successes = n_successes.ok_or_else(|| overflow("the completed tasks of a user"))?;
    Ok(UserOnLine {
        is_user: records.first().is_some_and(|record| record.owner.is_user()),
        line,
        n_sessions: by_session().count() as u32,
        n_successes,
        cost,
        repriced,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash;

    fn scanned(near: &Path, max_held: usize, n_threads: usize, success: Success) -> Vec<Vec<UserOnLine>> {
        let mut threads: Vec<(Records, Vec<u32>)> = (0..n_threads)
            .map(|_| (Records::new(near, max_held), vec![0, 1, 2]))
            .collect();
        for row in 0..20_000_u64 {
            let (user, session) = (hash::hash_id(&(row % 700).to_le_bytes()), row % 1_900);
            let record = ClusterRecord {
                owner: Owner::user(user),
                line: (row % 3) as u32,
                session: if row % 11 == 0 { 0 } else { session + 1 },
                tasks: u32::from(row % 2 == 0),
                cost: row as i64,
                repriced: 1,
            };
            threads[row as usize % n_threads].0.push(record).unwrap();
        }
        threads
            .iter_mut()
            .for_each(|(records, _)| records.finish().unwrap());
        (0..N_PARTS)
            .map(|part| users_of_part(&threads, part, success, 3).unwrap())
            .collect()
    }

    #[test]
    fn memory_files_and_threads_give_the_same_users() {
        let dir = tempfile::tempdir().unwrap();
        let near = dir.path().join("out");
        for success in [Success::Task, Success::Session] {
            let whole = scanned(&near, usize::MAX, 1, success);
            for (max_held, n_threads) in [(100, 1), (64, 3), (5_000, 2)] {
                assert_eq!(
                    scanned(&near, max_held, n_threads, success),
                    whole,
                    "{max_held} {n_threads}"
                );
            }
            let all: Vec<&UserOnLine> = whole.iter().flatten().filter(|user| user.line == 3).collect();
            assert_eq!(all.len(), 700);
            assert_eq!(
                all.iter().map(|user| user.cost).sum::<i64>(),
                (0..20_000).sum::<i64>()
            );
            let n: u32 = all.iter().map(|user| user.n_successes).sum();
            assert!(if success == Success::Task {
                n == 10_000
            } else {
                n < 10_000 && n > 0
            });
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn sums_that_do_not_fit_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = Records::new(&dir.path().join("out"), 100);
        let record = ClusterRecord {
            owner: Owner::user(1),
            line: 0,
            session: 0,
            tasks: 1,
            cost: i64::MAX,
            repriced: 0,
        };
        records.push(record).unwrap();
        assert!(
            records
                .push(record)
                .unwrap_err()
                .to_string()
                .contains("the cost of a session")
        );
    }
}
