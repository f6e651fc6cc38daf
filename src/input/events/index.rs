//! Finds the users of a partition by their hashes.

use crate::base::memory;

/// A hash table with open addressing. A slot holds 32 bits of a hash and the user's index, so that
/// it grows without the users.
#[derive(Debug)]
pub(super) struct Index {
    /// The hash in the high half, the index in the low one. [`FREE`] for a free slot.
    slots: Vec<u64>,
    n_users: usize,
}

const FREE: u64 = u64::MAX;
/// The number of slots of an empty index. It is a power of two.
const FEWEST: usize = 16;

impl Default for Index {
    fn default() -> Self {
        Self {
            slots: vec![FREE; FEWEST],
            n_users: 0,
        }
    }
}

impl Index {
    fn home(&self, hash: u32) -> usize {
        // The slots are a power of two, so the product's high half is below their number.
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    /// Prefetches the slot of a hash.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        memory::prefetch(&self.slots, self.home(hash));
    }

    /// Returns the first user with an equal hash that `is_same` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_same: impl Fn(u32) -> bool) -> Option<u32> {
        let mut slot = self.home(hash);
        loop {
            let entry = self.slots[slot];
            if entry == FREE {
                return None;
            }
            if (entry >> 32) as u32 == hash && is_same(entry as u32) {
                return Some(entry as u32);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Inserts a user. A quarter of the slots stays free.
    pub(super) fn insert(&mut self, hash: u32, user: u32) {
        if (self.n_users + 1) * 4 > self.slots.len() * 3 {
            let slots = vec![FREE; self.slots.len() * 2];
            for entry in std::mem::replace(&mut self.slots, slots) {
                if entry != FREE {
                    self.put(entry);
                }
            }
        }
        self.put(u64::from(hash) << 32 | u64::from(user));
        self.n_users += 1;
    }

    fn put(&mut self, entry: u64) {
        let mut slot = self.home((entry >> 32) as u32);
        while self.slots[slot] != FREE {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_users_of_equal_hashes() {
        let mut index = Index::default();
        let hash = |user: u32| (user / 3).wrapping_mul(0x9e37_79b9);
        for user in 0..10_000 {
            assert_eq!(index.find(hash(user), |other| other == user), None);
            index.insert(hash(user), user);
        }
        for user in 0..10_000 {
            index.prefetch(hash(user));
            assert_eq!(index.find(hash(user), |other| other == user), Some(user));
        }
        assert_eq!(index.find(hash(0), |_| true), Some(0));
    }
}
