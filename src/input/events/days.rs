//! The days with events of each user: a set of days, and the sums of values by day.

use crate::input::events::slab::Slab;

/// Number of days in a word.
const FEW: usize = 4;
/// Bits of a day in a word.
const BITS: u32 = 16;
/// The highest part of a set with a list of days, and of one with bits. No day has these numbers.
const LIST: u64 = 0xfffe;
const LARGE: u64 = 0xffff;
/// Number of days that a list holds.
const LISTED: usize = 2 * FEW;

/// A set of days in eight bytes: four days of 16 bits each, counted from 1, or the position of a block
/// with eight days, or that of the first block with bits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DaySet(u64);

/// Eight days, or the bits of 64 days.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayBlock([u64; 2]);

/// The blocks of all sets.
pub(super) type DayBlocks = Slab<DayBlock>;

/// The days of a word, counted from 1. 0 for no day.
fn lanes(word: u64) -> [u64; FEW] {
    std::array::from_fn(|idx| word >> (BITS * idx as u32) & LARGE)
}

/// Adds a day to a word. Returns whether the word has the day now: a full word does not take it.
#[inline]
fn put(word: &mut u64, number: u64) -> bool {
    let days = lanes(*word);
    if days.contains(&number) {
        return true;
    }
    match days.iter().position(|day| *day == 0) {
        Some(free) => {
            *word |= number << (BITS * free as u32);
            true
        }
        None => false,
    }
}

impl DayBlock {
    /// The days `64 * number..`, and the next block of the same set, counted from 1, or 0.
    fn of_bits(bits: u64, number: u32, next: u32) -> Self {
        Self([bits, u64::from(number) << 32 | u64::from(next)])
    }

    fn number(self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    fn next(self) -> u32 {
        self.0[1] as u32
    }

    fn days(self) -> impl Iterator<Item = u64> {
        let days = self.0.into_iter().flat_map(lanes);
        days.filter(|day| *day > 0)
    }
}

impl DaySet {
    fn kind(self) -> u64 {
        self.0 >> (BITS * (FEW as u32 - 1))
    }

    fn with_kind(kind: u64, block: u32) -> Self {
        Self(kind << (BITS * (FEW as u32 - 1)) | u64::from(block))
    }

    /// Adds a day. Days count backward from the day of `as_of`, from 0.
    #[inline]
    pub(super) fn insert(&mut self, day: u32, blocks: &mut DayBlocks) {
        let number = u64::from(day) + 1;
        if self.kind() < LIST {
            if number < LIST && put(&mut self.0, number) {
                return;
            }
            let block = blocks.push(DayBlock([self.0, 0]));
            *self = Self::with_kind(LIST, block);
        }
        self.insert_in_blocks(day, blocks);
    }

    /// Prefetches the block that [`Self::insert`] reads first.
    #[inline]
    pub(super) fn prefetch(self, blocks: &DayBlocks) {
        match self.kind() {
            LIST => blocks.prefetch(self.0 as u32),
            LARGE => blocks.prefetch(self.0 as u32 - 1),
            _ => {}
        }
    }

    fn insert_in_blocks(&mut self, day: u32, blocks: &mut DayBlocks) {
        if self.kind() == LIST {
            let (number, idx) = (u64::from(day) + 1, self.0 as u32);
            let [low, high] = &mut blocks.get_mut(idx).0;
            let is_new = !lanes(*low).contains(&number);
            if !is_new || number < LIST && (put(low, number) || put(high, number)) {
                return;
            }
            let mut days = [0; LISTED];
            let n_days = blocks
                .get(idx)
                .days()
                .zip(&mut days)
                .map(|(day, to)| *to = day)
                .count();
            // The block becomes the first one with bits.
            *blocks.get_mut(idx) = DayBlock::of_bits(1 << (day % 64), day / 64, 0);
            *self = Self::with_kind(LARGE, idx + 1);
            for number in &days[..n_days] {
                self.insert_bit(*number as u32 - 1, blocks);
            }
            return;
        }
        self.insert_bit(day, blocks);
    }

    fn insert_bit(&mut self, day: u32, blocks: &mut DayBlocks) {
        let (number, bit) = (day / 64, 1 << (day % 64));
        let first = self.0 as u32;
        let mut next = first;
        while next > 0 {
            let block = blocks.get_mut(next - 1);
            if block.number() == number {
                block.0[0] |= bit;
                return;
            }
            next = block.next();
        }
        let block = blocks.push(DayBlock::of_bits(bit, number, first));
        *self = Self::with_kind(LARGE, block + 1);
    }

    /// Makes the set of a user whose days have been counted. It takes no more days.
    pub(super) fn closed(n_days: u32) -> Self {
        Self(n_days.into())
    }

    /// The number of days of a closed set.
    pub(super) fn n_days(self) -> u32 {
        self.0 as u32
    }

    /// Returns the number of days.
    pub(super) fn len(self, blocks: &DayBlocks) -> u32 {
        match self.kind() {
            LIST => blocks.get(self.0 as u32).days().count() as u32,
            LARGE => {
                let (mut n, mut next) = (0, self.0 as u32);
                while next > 0 {
                    let block = blocks.get(next - 1);
                    n += block.0[0].count_ones();
                    next = block.next();
                }
                n
            }
            _ => lanes(self.0).into_iter().filter(|day| *day > 0).count() as u32,
        }
    }
}

/// The value of a user on a day, millionths: the user, the day since 1970-01-01, and the value.
pub(super) type DaySum = (u32, i32, i64);

/// Sums of values by user and day. Their memory grows with the number of days of all users.
#[derive(Debug, Default)]
pub(super) struct DaySums {
    rows: Vec<DaySum>,
    /// Number of rows after the last merge.
    n_merged: usize,
}

impl DaySums {
    /// Adds a value. No sum may overflow.
    pub(super) fn add(&mut self, row: DaySum) {
        self.rows.push(row);
        if self.rows.len() > 2 * self.n_merged + 4_096 {
            self.merge();
        }
    }

    /// Adds a value to a list that [`Self::add`] never changes.
    pub(super) fn append(&mut self, row: DaySum) {
        self.rows.push(row);
    }

    fn merge(&mut self) {
        self.rows.sort_unstable_by_key(|(user, day, _)| (*user, *day));
        self.rows.dedup_by(|(user, day, value), (of_user, of_day, sum)| {
            let is_same = (*user, *day) == (*of_user, *of_day);
            if is_same {
                *sum = sum.wrapping_add(*value);
            }
            is_same
        });
        self.n_merged = self.rows.len();
    }

    /// Whether the values of a day, added in their order, overflow for a user that `is_counted`
    /// accepts.
    pub(super) fn overflows(&self, is_counted: impl Fn(u32) -> bool) -> bool {
        let mut rows = self.rows.clone();
        rows.retain(|(user, ..)| is_counted(*user));
        rows.sort_by_key(|(user, day, _)| (*user, *day));
        rows.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).any(|rows| {
            rows.iter()
                .try_fold(0_i64, |sum, row| sum.checked_add(row.2))
                .is_none()
        })
    }

    /// Returns the sums, each user and day once, in their order.
    pub(super) fn into_rows(mut self) -> Vec<DaySum> {
        self.merge();
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sets_count_each_day_once() {
        let mut blocks = DayBlocks::default();
        let check = |days: &[u32], blocks: &mut DayBlocks| {
            let mut set = DaySet::default();
            let mut expected = BTreeSet::new();
            for day in days {
                set.insert(*day, blocks);
                expected.insert(*day);
                assert_eq!(set.len(blocks), expected.len() as u32, "{days:?}");
            }
        };
        check(&[], &mut blocks);
        check(&[0, 0, 1, 1, 2, 3, 0, 3], &mut blocks);
        check(&[0, 1, 2, 3, 4, 0, 64, 63, 4, 1_000], &mut blocks);
        check(&[65_533, 65_534, 65_535, 65_533, 100_000_000], &mut blocks);
        for far in [65_532, 65_533, 65_534, 65_535] {
            check(&[far], &mut blocks);
            check(&[0, 1, 2, 3, 4, far, 5, far], &mut blocks);
        }
        check(&(0..10).chain(0..10).collect::<Vec<u32>>(), &mut blocks);
        let many: Vec<u32> = (0..2_000).map(|idx| idx * idx % 997).collect();
        check(&many, &mut blocks);
    }

    #[test]
    fn sums_are_merged_in_any_order() {
        let mut sums = DaySums::default();
        for idx in 0..100_000_u32 {
            sums.add((idx % 7, (idx % 5) as i32, 1));
        }
        assert!(sums.rows.len() < 5_000);
        let rows = sums.into_rows();
        assert_eq!((rows.len(), rows[0].0, rows[34].0), (35, 0, 6));
        assert_eq!(rows.iter().map(|row| row.2).sum::<i64>(), 100_000);
    }
}
