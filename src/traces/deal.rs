//! Records dealt by key: in memory, and in a file without a name when they are many.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::error::{FileResult, Result};
use crate::base::lock::{into_inner, lock};
use crate::base::spill::nameless_file;

/// Bytes that a thread gathers before it hands them over.
const HAND: usize = 4 << 20;
/// Bytes of the length before each record.
const LENGTH: usize = 4;

/// Records by key, which all threads add to.
pub(super) struct Deal {
    /// The path next to which the file is made.
    near: PathBuf,
    /// Bytes that are held in memory before they are written to the file.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    piles: BTreeMap<i64, Pile>,
    n_held: usize,
    file: Option<File>,
    n_written: u64,
}

/// The records of one key.
#[derive(Default)]
struct Pile {
    held: Vec<Vec<u8>>,
    /// Places in the file: offset and number of bytes.
    written: Vec<(u64, usize)>,
}

/// The records that one thread has not handed over yet.
#[derive(Default)]
pub(super) struct Hand {
    piles: BTreeMap<i64, Vec<u8>>,
    n_bytes: usize,
}

impl Deal {
    /// Makes an empty one. `limit` is the number of bytes to hold in memory.
    pub(super) fn new(near: &Path, limit: usize) -> Self {
        Self {
            near: near.to_owned(),
            limit,
            state: Mutex::default(),
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add(&self, hand: &mut Hand, key: i64, record: &[u8]) -> Result<()> {
        let pile = hand.piles.entry(key).or_default();
        pile.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
        pile.extend_from_slice(record);
        hand.n_bytes += LENGTH + record.len();
        if hand.n_bytes > HAND {
            self.take(hand)
        } else {
            Ok(())
        }
    }

    /// Takes the records of a thread over.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn take(&self, hand: &mut Hand) -> Result<()> {
        let state = &mut *lock(&self.state);
        for (key, bytes) in std::mem::take(&mut hand.piles) {
            state.piles.entry(key).or_default().held.push(bytes);
        }
        state.n_held += std::mem::take(&mut hand.n_bytes);
        if state.n_held > self.limit {
            state.write(&self.near).or_unwritable(&self.near)?;
        }
        Ok(())
    }

    /// The records by key, once all threads are done.
    pub(super) fn finish(self) -> Dealt {
        let state = into_inner(self.state);
        Dealt {
            near: self.near,
            piles: state
                .piles
                .into_iter()
                .map(|(key, pile)| (key, Mutex::new(pile)))
                .collect(),
            file: state.file,
        }
    }
}

impl State {
    fn write(&mut self, near: &Path) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless_file(near)?),
        };
        for pile in self.piles.values_mut() {
            let bytes = pile.held.concat();
            if bytes.is_empty() {
                continue;
            }
            pile.held.clear();
            file.write_all(&bytes)?;
            pile.written.push((self.n_written, bytes.len()));
            self.n_written += bytes.len() as u64;
        }
        self.n_held = 0;
        Ok(())
    }
}

/// The records of all keys.
pub(super) struct Dealt {
    near: PathBuf,
    piles: Vec<(i64, Mutex<Pile>)>,
    file: Option<File>,
}

impl Dealt {
    /// The number of keys.
    pub(super) fn n_keys(&self) -> usize {
        self.piles.len()
    }

    /// The records of a key, in no order. A key can be taken once.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn records(&self, idx: usize) -> Result<Records> {
        let pile = std::mem::take(&mut *lock(&self.piles[idx].1));
        let n_written: usize = pile.written.iter().map(|(_, n)| n).sum();
        let n_held: usize = pile.held.iter().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(n_written + n_held);
        for (offset, n) in pile.written {
            let start = bytes.len();
            bytes.resize(start + n, 0);
            if let Some(file) = &self.file {
                file.read_exact_at(&mut bytes[start..], offset)
                    .or_unreadable(&self.near)?;
            }
        }
        for held in pile.held {
            bytes.extend_from_slice(&held);
        }
        Ok(Records(bytes))
    }
}

/// The records of one key.
pub(super) struct Records(Vec<u8>);

impl Records {
    /// The records, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (length, more) = rest.split_first_chunk::<LENGTH>()?;
            let (record, after) = more.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some(record)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_by_key_from_memory_and_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for limit in [0, 100_000, usize::MAX] {
            let deal = Deal::new(&dir.path().join("out"), limit);
            let mut hands = [Hand::default(), Hand::default()];
            for number in 0..1_000_i64 {
                let hand = &mut hands[usize::from(number % 3 == 0)];
                deal.add(hand, number % 7 - 3, &number.to_le_bytes()).unwrap();
                if number % 100 == 0 {
                    deal.take(hand).unwrap();
                }
            }
            hands.iter_mut().for_each(|hand| deal.take(hand).unwrap());
            let dealt = deal.finish();
            assert_eq!(dealt.n_keys(), 7);
            for idx in 0..7 {
                let records = dealt.records(idx).unwrap();
                let mut found: Vec<i64> = records
                    .iter()
                    .map(|record| i64::from_le_bytes(record.try_into().unwrap()))
                    .collect();
                found.sort_unstable();
                let expected: Vec<i64> = (0..1_000).filter(|number| number % 7 == idx as i64).collect();
                assert_eq!(found, expected, "limit {limit}, key {idx}");
            }
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
