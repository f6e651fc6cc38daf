//! Joins a log with users who do not fit in memory. Users and turns are divided into partitions on
//! disk by the user's hash, and the partitions are joined one after another. Sums are integers and
//! users are merged by row, so the cube has the same bytes as without partitions.

use rayon::prelude::*;
use std::fs::File;
use std::io;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::base::block::damaged;
use crate::base::error::{Error, FileResult, Result};
use crate::base::lock::lock;
use crate::base::progress::Progress;
use crate::base::spill::nameless_file;
use crate::base::{hash, lock};
use crate::input::{Turns, decode_turns, encode_turns};
use crate::replay::context::{Inputs, Scan};
use crate::replay::finish::NoUsers;
use crate::replay::layer_table::{LayerTable, LayerTableInfo, MAX_SEEDS, count_strata};
use crate::replay::scan::{LogPart, Scanned, Share};
use crate::replay::seen::{StageSet, UserExposure, UserList, UserRow, UserRun, n_words};
use crate::replay::state::ReplayState;
use crate::replay::users::{User, UserKey, Users};

/// The largest number of partitions. Each keeps a file open, and a step of turns per lane.
const MAX_PARTITIONS: usize = 256;
/// The largest number of open files of turns.
const MAX_FILES: usize = 512;
/// The users of one partition may use a quarter of the memory limit. Sums and steps of turns need
/// the rest.
const USERS_SHARE: u64 = 4;
pub(super) const KEY_BYTES: usize = 20;
/// Bytes of a user who was seen, without the words of the stages.
const ROW_BYTES: usize = 16;

/// Bytes that a user takes while its partition is read, sorted and indexed.
const READY_BYTES: u64 = 80;

/// The number of partitions for `n_users` users who would take `user_bytes` bytes in memory; a
/// power of two. Returns 1 if they fit in half of the memory limit.
pub(super) fn n_partitions(n_users: usize, user_bytes: usize, memory_limit: u64) -> usize {
    if user_bytes as u64 <= memory_limit / 2 {
        return 1;
    }
    let wanted = (n_users as u64 * READY_BYTES).div_ceil((memory_limit / USERS_SHARE).max(1));
    usize::try_from(wanted)
        .unwrap_or(MAX_PARTITIONS)
        .clamp(2, MAX_PARTITIONS)
        .next_power_of_two()
}

/// The number of lanes: threads that write to their own files. The number of open files limits it.
/// A lane's turns are one range of the log, so its sums cover few windows. If all threads shared
/// one file, every lane would hold all sums.
fn n_lanes(n_partitions: usize) -> usize {
    rayon::current_num_threads().min(MAX_FILES / n_partitions).max(1)
}

/// The partition of a user. The hash is hashed again, because the partition's index needs all bits
/// of the original hash.
fn partition_of(hash: u64, n: usize) -> usize {
    (hash::join(hash, 1) % n as u64) as usize
}

/// Unnamed temporary files, one per partition. All threads append to them.
struct Partitions<'a> {
    near: &'a Path,
    files: Vec<Mutex<File>>,
}

impl<'a> Partitions<'a> {
    /// Creates `n` files.
    fn create(near: &'a Path, n: usize) -> Result<Self> {
        let files = (0..n)
            .map(|_| nameless_file(near).map(Mutex::new))
            .collect::<io::Result<_>>();
        Ok(Self {
            near,
            files: files.or_unwritable(near)?,
        })
    }

    fn append(&self, partition: usize, bytes: &[u8]) -> Result<()> {
        let mut file = lock(&self.files[partition]);
        file.write_all(bytes).or_unwritable(self.near)
    }

    /// Takes a partition's file, positioned at its start. Its disk space is freed when the file is
    /// dropped.
    fn take(&mut self, partition: usize) -> Result<File> {
        let empty = nameless_file(self.near).or_unwritable(self.near)?;
        let file = std::mem::replace(&mut self.files[partition], Mutex::new(empty));
        let mut file = lock::into_inner(file);
        file.seek(SeekFrom::Start(0)).or_unreadable(self.near)?;
        Ok(file)
    }
}

/// The inputs of a scan in partitions.
pub(super) struct Job<'a> {
    pub(super) scan: &'a Scan<'a>,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) parts: &'a [LogPart],
    pub(super) layers: &'a LayerTable<'a>,
    pub(super) tenants: &'a [String],
    /// The partitions' files are created beside this path.
    pub(super) near: &'a Path,
    pub(super) progress: &'a Progress,
}

/// Scans a log in `n` partitions of users.
///
/// # Errors
/// As a scan in memory, or when the disk is full.
pub(super) fn scan(job: &Job<'_>, n: usize) -> Result<Scanned> {
    for seed in 0..MAX_SEEDS {
        if let Some(joined) = scan_under(job, n, seed)? {
            return Ok(joined);
        }
    }
    Err(job.layers.never_apart())
}

/// Scans with one hash seed. `None` if two users have equal hashes under this seed.
fn scan_under(job: &Job<'_>, n: usize, seed: u64) -> Result<Option<Scanned>> {
    let Job {
        scan,
        layers,
        tenants,
        near,
        ..
    } = *job;
    let mut keys = Partitions::create(near, n)?;
    let strata = deal_users(layers, tenants, seed, n, scan.strata.len(), &keys)?;
    let roster = LayerTableInfo {
        digest: layers.digest().to_owned(),
        tenants: tenants.to_vec(),
        seed,
        strata,
    };

    let mut blocks = Partitions::create(near, n * n_lanes(n))?;
    let dealt = deal_turns(job, &roster, n, &blocks)?;

    // Each lane has one state, which it uses for every partition.
    let mut shares = dealt;
    let mut states: Vec<ReplayState> = (0..n_lanes(n)).map(|_| ReplayState::new(scan)).collect();
    let mut seen = Partitions::create(near, n)?;
    let n_words = n_words(scan.strata.max_stages());
    for partition in 0..n {
        let users = read_keys(keys.take(partition)?, near)?;
        let mut alike = Vec::new();
        let users = Users::new(
            users.len(),
            scan.strata.len(),
            scan.strata.max_stages(),
            scan.n_windows(),
            u64::BITS,
        )
        .with_keys(&users, &mut alike);
        if !alike.is_empty() {
            layers.check_unique(&alike)?;
            return Ok(None);
        }
        let lanes = (0..n_lanes(n))
            .map(|lane| blocks.take(lane * n + partition))
            .collect::<Result<Vec<_>>>()?;
        let join = |(state, file)| join_blocks(scan, &users, file, state, near);
        states.par_iter_mut().zip(lanes).try_for_each(join)?;
        write_seen(&users.into_seen(), n_words, partition, &seen)?;
    }
    shares.extend(states.into_iter().map(|state| (state, Vec::new())));
    let runs = (0..n)
        .map(|partition| Ok(seen_run(seen.take(partition)?, n_words, near)))
        .collect::<Result<_>>()?;
    Ok(Some(Scanned {
        roster,
        shares,
        seen: Box::new(NoUsers),
        runs,
    }))
}

/// Divides the users into partitions. Returns the number of users and eligible users of each
/// stratum.
fn deal_users(
    layers: &LayerTable<'_>,
    tenants: &[String],
    seed: u64,
    n: usize,
    n_strata: usize,
    keys: &Partitions<'_>,
) -> Result<Vec<[u64; 2]>> {
    let strata: Vec<[AtomicU64; 2]> = (0..n_strata).map(|_| [const { AtomicU64::new(0) }; 2]).collect();
    layers.for_each(tenants, seed, &|users| {
        count_strata(&strata, users);
        let mut dealt: Vec<Vec<u8>> = vec![Vec::new(); n];
        for user in users {
            let bytes = &mut dealt[partition_of(user.hash, n)];
            bytes.extend(key_bytes(user));
        }
        dealt
            .iter()
            .enumerate()
            .try_for_each(|(partition, bytes)| keys.append(partition, bytes))
    })?;
    Ok(strata
        .into_iter()
        .map(|counts| counts.map(AtomicU64::into_inner))
        .collect())
}

/// A user as bytes.
pub(super) fn key_bytes(user: &UserKey) -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    bytes[..8].copy_from_slice(&user.hash.to_le_bytes());
    bytes[8..12].copy_from_slice(&user.row.to_le_bytes());
    bytes[12..].copy_from_slice(&user.user.pack().to_le_bytes());
    bytes
}

/// Reads what [`key_bytes`] returned.
pub(super) fn read_key(bytes: &[u8; KEY_BYTES]) -> UserKey {
    UserKey {
        hash: number(bytes, 0),
        row: number(bytes, 8) as u32,
        user: User::unpack(number(bytes, 12)),
    }
}

/// Reads the users of a partition, in row order.
fn read_keys(file: File, near: &Path) -> Result<Vec<UserKey>> {
    let mut keys = Vec::new();
    read_records::<KEY_BYTES>(file, &mut |bytes| {
        keys.push(read_key(bytes));
    })
    .or_unreadable(near)?;
    // In row order, so that the users of a partition are written in order.
    keys.par_sort_unstable_by_key(|key| key.row);
    Ok(keys)
}

/// Divides the admitted turns into partitions. Returns the counts of the rows that were read.
fn deal_turns(
    job: &Job<'_>,
    roster: &LayerTableInfo,
    n: usize,
    blocks: &Partitions<'_>,
) -> Result<Vec<Share>> {
    let scan = job.scan;
    let held: Vec<Mutex<Vec<Turns>>> = (0..n_lanes(n))
        .map(|_| Mutex::new(vec![scan.turns(); n]))
        .collect();
    let write = |turns: &mut Turns, lane: usize, partition: usize| {
        let mut bytes = Vec::new();
        encode_turns(turns, &mut bytes);
        turns.clear();
        blocks.append(lane * n + partition, &bytes)
    };
    let shares = crate::replay::scan::scan_parts(
        scan,
        job.inputs,
        job.parts,
        roster,
        job.progress,
        &|state, turns| {
            let lane = rayon::current_thread_index().unwrap_or(0) % held.len();
            let mut held = lock(&held[lane]);
            for row in state.admitted().iter().map(|row| usize::from(*row)) {
                let partition = partition_of(turns.user_hash(row), n);
                if held[partition].take(turns, row) {
                    write(&mut held[partition], lane, partition)?;
                }
            }
            Ok(())
        },
    )?;
    for (lane, held) in held.into_iter().enumerate() {
        for (partition, mut turns) in lock::into_inner(held).into_iter().enumerate() {
            if turns.n > 0 {
                write(&mut turns, lane, partition)?;
            }
        }
    }
    Ok(shares)
}

/// Adds the turns of one lane and partition to the lane's state.
fn join_blocks(
    scan: &Scan<'_>,
    users: &Users,
    file: File,
    state: &mut ReplayState,
    near: &Path,
) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 18, file);
    let (mut turns, mut bytes) = (scan.turns(), Vec::new());
    while read_block(&mut file, &mut bytes).or_unreadable(near)? {
        decode_turns(&bytes, &mut turns).ok_or_else(damaged)?;
        state.admit_all(&turns);
        state.update(scan, users, &mut turns)?;
    }
    Ok(())
}

/// Reads a block and its length prefix. Returns `false` at the end of the file.
fn read_block(file: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 4];
    match file.read(&mut length[..1])? {
        0 => return Ok(false),
        _ => file.read_exact(&mut length[1..])?,
    }
    bytes.resize(u32::from_le_bytes(length) as usize, 0);
    file.read_exact(bytes)?;
    Ok(true)
}

/// Writes the users of a partition who were seen, in row order.
fn write_seen(users: &dyn UserList, n_words: usize, partition: usize, seen: &Partitions<'_>) -> Result<()> {
    let mut bytes = Vec::new();
    for user in (0..users.len()).filter_map(|idx| users.get(idx)) {
        seen_bytes(&user, n_words, &mut bytes);
        if bytes.len() >= 1 << 20 {
            seen.append(partition, &bytes)?;
            bytes.clear();
        }
    }
    seen.append(partition, &bytes)
}

/// Appends a user who was seen, with `n_words` words of each set of stages.
pub(super) fn seen_bytes(user: &UserRow, n_words: usize, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&user.row.to_le_bytes());
    bytes.extend_from_slice(&(u64::from(user.stratum) << 16 | u64::from(user.bucket)).to_le_bytes());
    bytes.extend_from_slice(&user.seen.last.to_le_bytes());
    for word in user.seen.stages.iter().flat_map(|set| &set.words()[..n_words]) {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
}

/// Reads what [`seen_bytes`] wrote of one user.
fn seen_user(bytes: &[u8], n_words: usize) -> UserRow {
    let packed = number(bytes, 4);
    let words = |arm: usize| {
        let words = (0..n_words).map(|word| number(bytes, ROW_BYTES + 8 * (arm * n_words + word)));
        StageSet::from_words(words)
    };
    let seen = UserExposure {
        stages: [words(0), words(1)],
        last: u32::try_from(number(&bytes[..ROW_BYTES], 12)).unwrap_or(u32::MAX),
    };
    UserRow {
        row: number(bytes, 0) as u32,
        stratum: (packed >> 16) as u32,
        bucket: packed as u16,
        seen,
    }
}

/// The users of a partition who were seen, in row order.
pub(super) fn seen_run(file: File, n_words: usize, near: &Path) -> UserRun<'static> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let near = near.to_owned();
    let mut bytes = vec![0; ROW_BYTES + 16 * n_words];
    Box::new(std::iter::from_fn(move || {
        match file.read(&mut bytes[..1]) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(Error::read(&near, error))),
        }
        if let Err(error) = file.read_exact(&mut bytes[1..]) {
            return Some(Err(Error::read(&near, error)));
        }
        Some(Ok(seen_user(&bytes, n_words)))
    }))
}

/// Decodes up to eight bytes from `at` on as a little-endian integer.
fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .iter()
        .take(8)
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn read_records<const N: usize>(file: File, on_record: &mut dyn FnMut(&[u8; N])) -> io::Result<()> {
    let n = file.metadata()?.len() / N as u64;
    let mut file = BufReader::with_capacity(1 << 18, file);
    let mut record = [0; N];
    for _ in 0..n {
        file.read_exact(&mut record)?;
        on_record(&record);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_as_many_as_needed() {
        let check = |n_users: usize, limit: u64, expected: usize| {
            assert_eq!(n_partitions(n_users, n_users * 19, limit), expected)
        };
        check(0, 1_000_000, 1);
        check(20_000, 1_000_000, 1);
        check(27_000, 1_000_000, 16);
        check(20_000_000, 300_000_000, 32);
        check(1 << 40, 1_000_000, MAX_PARTITIONS);
    }
}
