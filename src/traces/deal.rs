//! Records dealt by key: in memory, and in a file without a name when they are many.

use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::base::error::{Error, FileResult, Result};
use crate::base::lock::{into_inner, lock};
use crate::base::parallel::fold_parts;
use crate::base::spill::nameless_file;
use crate::traces::kept::{Block, Range};

/// Bytes that a thread gathers before it hands them over.
const HAND: usize = 4 << 20;
/// Bytes for which the buffer of a key keeps room.
const PILE: usize = 64 << 10;
/// Bytes of the length before each record.
const LENGTH: usize = 4;
/// The bit of a length that says that the record is from an earlier import.
const KEPT: u32 = 1 << 31;
/// Records whose scales decide where a large pile is cut.
const SAMPLES: usize = 1 << 16;
/// Bits of the number of a part of a large pile.
const PART_BITS: u32 = 20;

/// Records by key, which all threads add to.
pub(super) struct Deal {
    /// The path next to which the file is made.
    near: PathBuf,
    /// Bytes that are held in memory before they are written to the file.
    limit: usize,
    /// Bytes that a thread gathers.
    hand: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    piles: BTreeMap<i64, Pile>,
    n_held: usize,
    file: Option<Arc<File>>,
    n_written: u64,
}

/// The records of one key.
#[derive(Default)]
struct Pile(Vec<Piece>);

/// Records that lie together.
enum Piece {
    Held(Vec<u8>),
    Written(Range),
    /// Records of an earlier import (true), or of this one.
    Block(Block, bool),
}

/// The records that one thread has not handed over yet.
#[derive(Default)]
pub(super) struct Hand {
    piles: HashMap<i64, Vec<u8>>,
    n_bytes: usize,
}

impl Deal {
    /// Makes an empty one. `limit` is the number of bytes to hold in memory.
    pub(super) fn new(near: &Path, limit: usize) -> Self {
        let share = limit / 4 / rayon::current_num_threads().max(1);
        Self {
            near: near.to_owned(),
            limit,
            hand: share.clamp(64 << 10, HAND),
            state: Mutex::default(),
        }
    }

    /// Adds a record of this import.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add(&self, hand: &mut Hand, key: i64, record: &[u8]) -> Result<()> {
        self.add_of(hand, key, record, false)
    }

    fn add_of(&self, hand: &mut Hand, key: i64, record: &[u8], is_kept: bool) -> Result<()> {
        let pile = hand.piles.entry(key).or_default();
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX) & !KEPT;
        let mark = if is_kept { KEPT } else { 0 };
        pile.extend_from_slice(&(length | mark).to_le_bytes());
        pile.extend_from_slice(record);
        hand.n_bytes += LENGTH + record.len();
        if hand.n_bytes > self.hand {
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
        // Copies of the exact size: the buffers of the hand are used again and need not grow.
        let filled = hand.piles.iter_mut().filter(|(_, bytes)| !bytes.is_empty());
        let copies = filled.map(|(key, bytes)| {
            let copy = bytes.as_slice().to_vec();
            bytes.clear();
            bytes.shrink_to(PILE.min(self.hand / 64));
            (*key, copy)
        });
        let copies: Vec<(i64, Vec<u8>)> = copies.collect();
        let state = &mut *lock(&self.state);
        hand.n_bytes = 0;
        for (key, bytes) in copies {
            state.n_held += bytes.capacity();
            state.piles.entry(key).or_default().0.push(Piece::Held(bytes));
        }
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
            limit: self.limit,
            piles: state
                .piles
                .into_iter()
                .map(|(key, pile)| (key, Mutex::new(pile)))
                .collect(),
        }
    }
}

impl State {
    fn write(&mut self, near: &Path) -> std::io::Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(nameless_file(near)?))),
        };
        for Pile(pieces) in self.piles.values_mut() {
            let start = self.n_written;
            for piece in &mut *pieces {
                if let Piece::Held(bytes) = piece {
                    (&*file).write_all(bytes)?;
                    self.n_written += bytes.len() as u64;
                }
            }
            pieces.retain(|piece| !matches!(piece, Piece::Held(_)));
            if self.n_written > start {
                pieces.push(Piece::Written(Range {
                    file: Arc::clone(&file),
                    next: start,
                    end: self.n_written,
                }));
            }
        }
        self.n_held = 0;
        Ok(())
    }
}

impl Piece {
    fn n_bytes(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::Written(range) => (range.end - range.next) as usize,
            Self::Block(block, _) => block.n_bytes(),
        }
    }

    /// Whether the records are from an earlier import and do not say so themselves.
    fn is_kept(&self) -> bool {
        matches!(self, Self::Block(_, true))
    }

    /// The error of records that cannot be read.
    fn unreadable(&self, near: &Path, error: std::io::Error) -> Error {
        match self {
            Self::Block(block, _) => block.damaged(),
            Self::Held(_) | Self::Written(_) => Error::read(near, error),
        }
    }

    fn reader(&self) -> std::io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Held(bytes) => Box::new(bytes.as_slice()),
            Self::Written(range) => Box::new(Range {
                file: Arc::clone(&range.file),
                ..*range
            }),
            Self::Block(block, _) => Box::new(block.reader()?),
        })
    }

    /// Appends the records.
    fn read(&self, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let start = bytes.len();
        self.reader()?.read_to_end(bytes)?;
        if bytes.len() - start != self.n_bytes() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if self.is_kept() {
            let mut at = start;
            while let Some(length) = bytes.get_mut(at..at + LENGTH) {
                // The highest byte is the last one.
                length[LENGTH - 1] |= (KEPT >> 24) as u8;
                let n = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) & !KEPT;
                at += LENGTH + n as usize;
            }
        }
        Ok(())
    }
}

impl Pile {
    fn n_bytes(&self) -> usize {
        self.0.iter().map(Piece::n_bytes).sum()
    }

    /// Passes the records on, one after the other.
    fn for_each(&self, near: &Path, mut on_record: impl FnMut(&[u8], bool) -> Result<()>) -> Result<()> {
        let mut record = Vec::new();
        for piece in &self.0 {
            let failed = |error| piece.unreadable(near, error);
            let mut reader = BufReader::with_capacity(1 << 16, piece.reader().map_err(failed)?);
            let mut n_left = piece.n_bytes();
            while n_left > 0 {
                let mut length = [0; LENGTH];
                reader.read_exact(&mut length).map_err(failed)?;
                let length = u32::from_le_bytes(length);
                let n = (length & !KEPT) as usize;
                n_left = n_left
                    .checked_sub(LENGTH + n)
                    .ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))?;
                record.resize(n, 0);
                reader.read_exact(&mut record).map_err(failed)?;
                on_record(&record, piece.is_kept() || length & KEPT != 0)?;
            }
        }
        Ok(())
    }

    /// Where the records are cut on a scale, so that the parts have about `max` bytes.
    fn cuts(&self, near: &Path, max: usize, scale_of: &impl Fn(&[u8]) -> i64) -> Result<Vec<i64>> {
        let (mut samples, mut step, mut n) = (Vec::new(), 1_usize, 0_usize);
        self.for_each(near, |record, _| {
            if n.is_multiple_of(step) {
                samples.push(scale_of(record));
                if samples.len() == SAMPLES {
                    samples = samples.iter().copied().step_by(2).collect();
                    step *= 2;
                }
            }
            n += 1;
            Ok(())
        })?;
        samples.sort_unstable();
        let n_parts = (self.n_bytes() / max.max(1) * 2 + 2).min(samples.len());
        let mut cuts: Vec<i64> = (1..n_parts)
            .map(|part| samples[samples.len() * part / n_parts])
            .collect();
        cuts.dedup();
        Ok(cuts)
    }
}

/// The records of all keys.
pub(super) struct Dealt {
    near: PathBuf,
    limit: usize,
    piles: Vec<(i64, Mutex<Pile>)>,
}

impl Dealt {
    /// The records of blocks by key: of an earlier import (true), or of this one.
    pub(super) fn of_blocks(near: &Path, limit: usize, blocks: Vec<(i64, Block, bool)>) -> Self {
        let mut piles: BTreeMap<i64, Pile> = BTreeMap::new();
        for (key, block, is_kept) in blocks {
            let pile = piles.entry(key).or_default();
            pile.0.push(Piece::Block(block, is_kept));
        }
        Self {
            near: near.to_owned(),
            limit,
            piles: piles
                .into_iter()
                .map(|(key, pile)| (key, Mutex::new(pile)))
                .collect(),
        }
    }

    /// The number of piles.
    pub(super) fn n_piles(&self) -> usize {
        self.piles.len()
    }

    /// The key of a pile. Several piles may have one key, one after the other.
    pub(super) fn key(&self, idx: usize) -> i64 {
        self.piles[idx].0
    }

    /// Divides piles of more than `max` bytes by a scale of their records, in its order. Records of one
    /// place on the scale stay together.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(super) fn refined(self, max: usize, scale_of: impl Fn(&[u8]) -> i64 + Sync) -> Result<Self> {
        let large: Vec<usize> = (0..self.n_piles())
            .filter(|idx| lock(&self.piles[*idx].1).n_bytes() > max)
            .collect();
        if large.is_empty() {
            return Ok(self);
        }
        let deal = Deal::new(&self.near, self.limit);
        let hands = fold_parts(large.len(), Hand::default, |hand, number| {
            let idx = large[number];
            let pile = std::mem::take(&mut *lock(&self.piles[idx].1));
            let cuts = pile.cuts(&self.near, max, &scale_of)?;
            pile.for_each(&self.near, |record, is_kept| {
                let part = cuts.partition_point(|cut| *cut <= scale_of(record));
                deal.add_of(hand, (idx as i64) << PART_BITS | part as i64, record, is_kept)
            })
        })?;
        for mut hand in hands {
            deal.take(&mut hand)?;
        }
        let mut parts = deal.finish().piles.into_iter().peekable();
        let mut piles = Vec::new();
        for (idx, (key, pile)) in self.piles.into_iter().enumerate() {
            if large.binary_search(&idx).is_err() {
                piles.push((key, pile));
            }
            while let Some((_, part)) = parts.next_if(|(part, _)| part >> PART_BITS == idx as i64) {
                piles.push((key, part));
            }
        }
        Ok(Self { piles, ..self })
    }

    /// The records of a pile, in no order. A pile can be taken once.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn records(&self, idx: usize) -> Result<Records> {
        let Pile(pieces) = std::mem::take(&mut *lock(&self.piles[idx].1));
        let mut bytes = Vec::with_capacity(pieces.iter().map(Piece::n_bytes).sum::<usize>().min(1 << 30));
        for piece in pieces {
            let read = piece.read(&mut bytes);
            read.map_err(|error| piece.unreadable(&self.near, error))?;
        }
        Ok(Records(bytes))
    }
}

/// The records of one key.
pub(super) struct Records(Vec<u8>);

impl Records {
    /// The records, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.with_origin().map(|(record, _)| record)
    }

    /// The same records in an order that depends on their bytes only: by `scale_of`, then by bytes.
    pub(super) fn sorted(&self, scale_of: impl Fn(&[u8]) -> i64) -> Self {
        let scaled = self.iter().map(|record| (scale_of(record), record));
        let mut records: Vec<(i64, &[u8])> = scaled.collect();
        records.sort_unstable();
        let mut bytes = Vec::with_capacity(self.0.len());
        for (_, record) in records {
            bytes.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(record);
        }
        Self(bytes)
    }

    /// The records, each with whether it is from an earlier import.
    pub(super) fn with_origin(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (length, more) = rest.split_first_chunk::<LENGTH>()?;
            let length = u32::from_le_bytes(*length);
            let (record, after) = more.split_at_checked((length & !KEPT) as usize)?;
            rest = after;
            Some((record, length & KEPT != 0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_of(record: &[u8]) -> i64 {
        i64::from_le_bytes(record.try_into().unwrap())
    }

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
            assert_eq!(dealt.n_piles(), 7);
            for idx in 0..7 {
                assert_eq!(dealt.key(idx), idx as i64 - 3);
                let records = dealt.records(idx).unwrap();
                let mut found: Vec<i64> = records.iter().map(number_of).collect();
                found.sort_unstable();
                let expected: Vec<i64> = (0..1_000).filter(|number| number % 7 == idx as i64).collect();
                assert_eq!(found, expected, "limit {limit}, key {idx}");
            }
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn large_piles_are_cut_in_order_and_equal_places_stay_together() {
        let dir = tempfile::tempdir().unwrap();
        for limit in [0, usize::MAX] {
            let deal = Deal::new(&dir.path().join("out"), limit);
            let mut hand = Hand::default();
            for number in 0..3_000_i64 {
                let place = if number < 1_000 { 7 } else { number / 2 };
                deal.add_of(
                    &mut hand,
                    i64::from(number % 10 == 0),
                    &place.to_le_bytes(),
                    number % 2 == 0,
                )
                .unwrap();
            }
            deal.take(&mut hand).unwrap();
            let dealt = deal.finish().refined(4_000, number_of).unwrap();
            let (mut last, mut n, mut n_kept) = ((-1, i64::MIN), 0, 0);
            for idx in 0..dealt.n_piles() {
                let records = dealt.records(idx).unwrap();
                let mut places: Vec<i64> = records.iter().map(number_of).collect();
                n += places.len();
                n_kept += records.with_origin().filter(|(_, is_kept)| *is_kept).count();
                places.sort_unstable();
                let is_one_place = places.first() == places.last();
                assert!(is_one_place || places.len() * 12 <= 8_000, "{}", places.len());
                assert!(last < (dealt.key(idx), places[0]), "limit {limit}, pile {idx}");
                last = (dealt.key(idx), places[places.len() - 1]);
            }
            assert_eq!((n, n_kept), (3_000, 1_500));
        }
    }
}
