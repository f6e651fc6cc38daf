//! The users of a layer table during a scan: found by hash, with their layer, consent, bucket and
//! exposure.

use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::memory;
use crate::replay::index::Index;
use crate::replay::seen::{MAX_WORDS, StageSet, UserExposure, UserList, UserRow, WORD_STAGES, n_words};

/// The number of bits that hold a bucket, 0..=9999.
const BUCKET_BITS: u32 = 14;
/// The limits for records of eight bytes per user: the largest number of stages and of windows.
const NARROW: (usize, u32) = (8, u16::MAX as u32 - 1);

/// The number of words of a record for any number of stages.
const WIDEST: usize = 2 + 2 * MAX_WORDS;

/// The number of users that a thread adds at once.
const KEYS: usize = 65_536;

/// A user's tenant and layer, consent and bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    /// The tenant and layer: `tenant * n_layers + layer`.
    pub(super) stratum: u32,
    pub(super) eligible: bool,
    pub(super) bucket: u16,
}

/// Users by hash. Several threads may set marks, because the order of marks does not matter.
pub(super) struct Users {
    pub(super) index: Index,
    records: Records,
    /// Rows in the layer table; `None` when a user's index is the row.
    rows: Option<Vec<u32>>,
}

/// The layer, bucket and exposure of each user, in one cache line.
enum Records {
    /// From high to low bits: the packed user (32 bits), the last window counted from 1 (16), the
    /// candidate's stages (8), and the baseline's stages (8).
    Narrow(Vec<AtomicU64>),
    /// The packed user, the baseline's stages, the candidate's stages, and the last window counted
    /// from 1.
    Wide(Vec<[AtomicU64; 4]>),
    /// The packed user and the last window counted from 1, then the words of the baseline's stages and
    /// those of the candidate's. For layers with more stages than a word has bits.
    Widest(Vec<[AtomicU64; WIDEST]>),
}

/// A user as a partition stores it: the hash of the id, the row in the layer table, and the user's
/// layer, consent and bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UserKey {
    pub(super) hash: u64,
    pub(super) row: u32,
    pub(super) user: User,
}

impl User {
    pub(super) fn pack(self) -> u64 {
        (u64::from(self.stratum) << 1 | u64::from(self.eligible)) << BUCKET_BITS | u64::from(self.bucket)
    }

    pub(super) fn unpack(word: u64) -> Self {
        let class = word >> BUCKET_BITS;
        Self {
            stratum: (class >> 1) as u32,
            eligible: class & 1 == 1,
            bucket: (word & ((1 << BUCKET_BITS) - 1)) as u16,
        }
    }
}

impl Users {
    /// Creates space for `n` users in `n_strata` strata. Layers have at most `n_stages` stages, and
    /// the log has `n_windows` windows.
    pub(super) fn new(n: usize, n_strata: usize, n_stages: usize, n_windows: u32, tag_bits: u32) -> Self {
        let records = if Self::is_narrow(n_strata, n_stages, n_windows) {
            Records::Narrow(memory::zeros(n))
        } else if n_words(n_stages) == 1 {
            Records::Wide(memory::table(n, || [const { AtomicU64::new(0) }; 4]))
        } else {
            Records::Widest(memory::table(n, || [const { AtomicU64::new(0) }; WIDEST]))
        };
        Self {
            index: Index::new(n, tag_bits),
            records,
            rows: None,
        }
    }

    /// Whether a user's record fits in eight bytes.
    #[inline]
    fn is_narrow(n_strata: usize, n_stages: usize, n_windows: u32) -> bool {
        n_stages <= NARROW.0 && n_windows <= NARROW.1 && (n_strata as u64) < 1 << (32 - BUCKET_BITS - 1)
    }

    /// The size in bytes of `n` users.
    pub(super) fn n_bytes(n: usize, n_strata: usize, n_stages: usize, n_windows: u32) -> usize {
        Index::n_bytes(n)
            + n * if Self::is_narrow(n_strata, n_stages, n_windows) {
                8
            } else if n_words(n_stages) == 1 {
                32
            } else {
                8 * WIDEST
            }
    }

    /// Adds users in row order, whose rows are not their indices. Pairs of rows with equal tags are
    /// added to `alike`.
    pub(super) fn with_keys(mut self, keys: &[UserKey], alike: &mut Vec<(u32, u32)>) -> Self {
        let pairs = keys.par_chunks(KEYS).enumerate().map(|(chunk, of_chunk)| {
            let (first, mut pairs) = (chunk * KEYS, Vec::new());
            let entry = |idx: usize, key: &UserKey| (key.hash, (first + idx) as u32);
            self.index.insert(of_chunk, entry, &mut |a, b| {
                pairs.push((keys[a as usize].row, keys[b as usize].row))
            });
            for (idx, key) in of_chunk.iter().enumerate() {
                self.put(first + idx, key.user);
            }
            pairs
        });
        alike.par_extend(pairs.flatten());
        self.rows = Some(keys.iter().map(|key| key.row).collect());
        self
    }

    /// Stores a user and clears the exposure.
    pub(super) fn put(&self, idx: usize, user: User) {
        match &self.records {
            Records::Narrow(records) => records[idx].store(user.pack() << 32, Ordering::Relaxed),
            Records::Wide(records) => records[idx][0].store(user.pack(), Ordering::Relaxed),
            Records::Widest(records) => records[idx][0].store(user.pack(), Ordering::Relaxed),
        }
    }

    /// Finds the index of each user, or `UNKNOWN`.
    pub(super) fn find(&self, hashes: &[u64], found: &mut Vec<u32>) {
        self.index.find(hashes, found);
    }

    /// Prefetches a user's record.
    #[inline]
    pub(super) fn prefetch(&self, idx: u32) {
        match &self.records {
            Records::Narrow(records) => memory::prefetch(records, idx as usize),
            Records::Wide(records) => memory::prefetch(records, idx as usize),
            Records::Widest(records) => memory::prefetch(records, idx as usize),
        }
    }

    #[inline]
    pub(super) fn user(&self, idx: u32) -> User {
        User::unpack(match &self.records {
            Records::Narrow(records) => records[idx as usize].load(Ordering::Relaxed) >> 32,
            Records::Wide(records) => records[idx as usize][0].load(Ordering::Relaxed),
            Records::Widest(records) => records[idx as usize][0].load(Ordering::Relaxed),
        })
    }

    /// A user's row in the layer table.
    pub(super) fn row(&self, idx: u32) -> u32 {
        self.rows.as_ref().map_or(idx, |rows| rows[idx as usize])
    }

    /// Records that a user was seen in a stage, arm and window.
    #[inline]
    pub(super) fn mark(&self, idx: u32, stage: usize, arm: usize, window: u32) {
        match &self.records {
            Records::Narrow(records) => {
                let record = &records[idx as usize];
                let (bit, last) = (1_u64 << (stage + 8 * arm), u64::from(window + 1) << 16);
                let mut word = record.load(Ordering::Relaxed);
                loop {
                    let kept = word & 0xffff_ffff_0000_ffff | bit;
                    let new = kept | last.max(word & 0xffff_0000);
                    if new == word {
                        return;
                    }
                    match record.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => return,
                        Err(found) => word = found,
                    }
                }
            }
            Records::Wide(records) => {
                let record = &records[idx as usize];
                record[1 + arm].fetch_or(1 << stage, Ordering::Relaxed);
                record[3].fetch_max(u64::from(window + 1), Ordering::Relaxed);
            }
            Records::Widest(records) => {
                let record = &records[idx as usize];
                let word = 2 + arm * MAX_WORDS + stage / WORD_STAGES;
                record[word].fetch_or(1 << (stage % WORD_STAGES), Ordering::Relaxed);
                record[1].fetch_max(u64::from(window + 1), Ordering::Relaxed);
            }
        }
    }

    /// Ends the scan and frees the index, because no user is looked up after it.
    pub(super) fn into_seen(self) -> SeenUsers {
        SeenUsers {
            records: self.records,
            rows: self.rows,
        }
    }
}

/// The users after a scan, with their exposure.
pub(super) struct SeenUsers {
    records: Records,
    rows: Option<Vec<u32>>,
}

impl UserList for SeenUsers {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn end_row(&self) -> usize {
        let last = self.rows.as_ref().map(|rows| rows.last());
        last.map_or(self.len(), |last| last.map_or(0, |row| *row as usize + 1))
    }

    fn idx_from_row(&self, row: usize) -> usize {
        let rows = self.rows.as_ref();
        rows.map_or(row, |rows| rows.partition_point(|other| (*other as usize) < row))
    }

    #[inline]
    fn get(&self, idx: usize) -> Option<UserRow> {
        let (user, seen) = self.records.get(idx);
        let row = self.rows.as_ref().map_or(idx as u32, |rows| rows[idx]);
        (seen.last > 0).then_some(UserRow {
            row,
            stratum: user.stratum,
            bucket: user.bucket,
            seen,
        })
    }
}

impl Records {
    fn len(&self) -> usize {
        match self {
            Self::Narrow(records) => records.len(),
            Self::Wide(records) => records.len(),
            Self::Widest(records) => records.len(),
        }
    }

    #[inline]
    fn get(&self, idx: usize) -> (User, UserExposure) {
        match self {
            Self::Narrow(records) => {
                let word = records[idx].load(Ordering::Relaxed);
                (
                    User::unpack(word >> 32),
                    UserExposure {
                        stages: [word & 0xff, word >> 8 & 0xff].map(StageSet::from_word),
                        last: (word >> 16 & 0xffff) as u32,
                    },
                )
            }
            Self::Wide(records) => {
                let [user, baseline, candidate, last] =
                    records[idx].each_ref().map(|word| word.load(Ordering::Relaxed));
                (
                    User::unpack(user),
                    UserExposure {
                        stages: [baseline, candidate].map(StageSet::from_word),
                        last: last as u32,
                    },
                )
            }
            Self::Widest(records) => {
                let words = records[idx].each_ref().map(|word| word.load(Ordering::Relaxed));
                let set = |arm: usize| StageSet::from_words(words[2 + arm * MAX_WORDS..].iter().copied());
                (
                    User::unpack(words[0]),
                    UserExposure {
                        stages: [set(0), set(1)],
                        last: words[1] as u32,
                    },
                )
            }
        }
    }
}
