//! Maps a user's hash to the user's row, for all users of a layer table: about eleven bytes per
//! user.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::memory;
use crate::base::memory::prefetch;
use crate::replay::sum_table::AHEAD;

/// The result for a hash without a user.
pub(super) const UNKNOWN: u32 = u32::MAX;
/// Slots per user, as a fraction: 4 for 3 users. One slot in four is empty, so a search reads about
/// three slots, usually in one cache line.
const SLOTS: (usize, usize) = (4, 3);

/// A hash table with open addressing. A slot holds a user's row, and a tag: the hash's low bits, in
/// the bits that rows do not need. A hash that was never inserted is mistaken for a user only if an
/// equal tag is near its first slot: see `collision_probability`. [`Self::insert`] reports
/// equal tags, so two inserted users are never confused without a report.
pub(super) struct Index {
    slots: Vec<AtomicU64>,
    /// The bits of a row's number, counted from 1.
    row_bits: u32,
    tag_mask: u64,
}

impl Index {
    /// Creates an index for `n` users. Tests set `tag_bits` below the available number of bits, to
    /// provoke collisions.
    pub(super) fn new(n: usize, tag_bits: u32) -> Self {
        let row_bits = usize::BITS - (n + 1).leading_zeros();
        let tag_bits = tag_bits.min(u64::BITS - row_bits);
        let n_slots = (n * SLOTS.0).div_ceil(SLOTS.1) + 8;
        let tag_mask = if tag_bits == 0 {
            0
        } else {
            u64::MAX >> (u64::BITS - tag_bits)
        };
        Self {
            slots: memory::zeros(n_slots),
            row_bits,
            tag_mask,
        }
    }

    /// The size in bytes of an index of `n` users.
    pub(super) fn n_bytes(n: usize) -> usize {
        ((n * SLOTS.0).div_ceil(SLOTS.1) + 8) * 8
    }

    /// The slot where the search for a hash starts. It depends on the high bits. The low bits are
    /// the tag, which separates hashes with the same first slot.
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    /// Inserts users from any thread, each with the hash and row that `entry` returns. Pairs of
    /// rows with equal tags are passed to `on_equal`.
    pub(super) fn insert<U>(
        &self,
        users: &[U],
        entry: impl Fn(usize, &U) -> (u64, u32),
        on_equal: &mut dyn FnMut(u32, u32),
    ) {
        for (idx, user) in users.iter().enumerate() {
            if let Some(next) = users.get(idx + AHEAD) {
                prefetch(&self.slots, self.home(entry(idx + AHEAD, next).0));
            }
            let (hash, row) = entry(idx, user);
            let tag = (hash & self.tag_mask) << self.row_bits;
            let entry = tag | (u64::from(row) + 1);
            let mut slot = self.home(hash);
            loop {
                let mut other = self.slots[slot].load(Ordering::Relaxed);
                if other == 0 {
                    match self.slots[slot].compare_exchange(0, entry, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => break,
                        Err(found) => other = found,
                    }
                }
                if other >> self.row_bits == tag >> self.row_bits {
                    on_equal(self.row_of(other), row);
                }
                slot = if slot + 1 == self.slots.len() { 0 } else { slot + 1 };
            }
        }
    }

    /// Finds the row of each hash, or [`UNKNOWN`].
    pub(super) fn find(&self, hashes: &[u64], rows: &mut Vec<u32>) {
        rows.clear();
        for (idx, hash) in hashes.iter().enumerate() {
            if let Some(next) = hashes.get(idx + AHEAD) {
                prefetch(&self.slots, self.home(*next));
            }
            let tag = hash & self.tag_mask;
            let mut slot = self.home(*hash);
            rows.push(loop {
                let entry = self.slots[slot].load(Ordering::Relaxed);
                if entry == 0 {
                    break UNKNOWN;
                }
                if entry >> self.row_bits == tag {
                    break self.row_of(entry);
                }
                slot = if slot + 1 == self.slots.len() { 0 } else { slot + 1 };
            });
        }
    }

    fn row_of(&self, entry: u64) -> u32 {
        let row = entry & ((1 << self.row_bits) - 1);
        (row - 1) as u32
    }

    /// An upper bound on the probability that a user outside of the table is mistaken for one in
    /// it. It is the number of slots that a failed search reads, about 8.5 at this load, times the
    /// probability of an equal tag.
    #[cfg(test)]
    fn collision_probability(&self) -> f64 {
        8.5 / (self.tag_mask as f64 + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash;

    fn users(n: u32) -> Vec<(u64, u32)> {
        (0..n)
            .map(|row| (hash::hash_user_id(format!("u{row}").as_bytes(), 0), row))
            .collect()
    }

    #[test]
    fn finds_all_and_only_them() {
        for n in [0, 1, 2, 3, 1_000, 50_000] {
            let (index, users) = (Index::new(n as usize, 64), users(n));
            index.insert(&users, |_, user| *user, &mut |_, _| panic!("tags of 47 bits"));
            let (mut rows, hashes) = (
                Vec::new(),
                users.iter().map(|(hash, _)| *hash).collect::<Vec<_>>(),
            );
            index.find(&hashes, &mut rows);
            assert!(rows.iter().zip(0..).all(|(row, expected)| *row == expected));
            let strangers: Vec<u64> = (0..1_000)
                .map(|i| hash::hash_user_id(format!("v{i}").as_bytes(), 0))
                .collect();
            index.find(&strangers, &mut rows);
            assert!(rows.iter().all(|row| *row == UNKNOWN));
        }
    }

    #[test]
    fn equal_tags_are_reported_and_strangers_met_as_often_as_stated() {
        let (index, users) = (Index::new(20_000, 12), users(20_000));
        let mut n_equal = 0;
        index.insert(&users, |_, user| *user, &mut |_, _| n_equal += 1);
        assert!(n_equal > 0);
        let strangers: Vec<u64> = (0..200_000)
            .map(|i| hash::hash_user_id(format!("v{i}").as_bytes(), 0))
            .collect();
        let mut rows = Vec::new();
        index.find(&strangers, &mut rows);
        let met = rows.iter().filter(|row| **row != UNKNOWN).count() as f64 / 200_000.0;
        assert!(met > 0.0 && met < 1.2 * index.collision_probability(), "{met}");
    }
}
