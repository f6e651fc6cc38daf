//! A growing list in blocks. It never moves its items, so growth needs no second copy in memory.

use crate::base::memory;

/// Number of items of a block, as a power of two.
const BLOCK_BITS: u32 = 9;
const BLOCK: usize = 1 << BLOCK_BITS;

/// A list of items in blocks of 512.
#[derive(Debug)]
pub(super) struct Slab<T>(Vec<Vec<T>>);

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slab<T> {
    /// Returns the number of items.
    pub(super) fn len(&self) -> usize {
        self.0
            .last()
            .map_or(0, |last| (self.0.len() - 1) * BLOCK + last.len())
    }

    /// Appends an item and returns its index.
    pub(super) fn push(&mut self, item: T) -> u32 {
        let idx = self.len();
        match self.0.last_mut() {
            Some(last) if last.len() < BLOCK => last.push(item),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(item);
                self.0.push(block);
            }
        }
        idx as u32
    }

    /// Returns the item with an index that [`Self::push`] returned.
    #[inline]
    pub(super) fn get(&self, idx: u32) -> &T {
        &self.0[(idx >> BLOCK_BITS) as usize][idx as usize % BLOCK]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, idx: u32) -> &mut T {
        &mut self.0[(idx >> BLOCK_BITS) as usize][idx as usize % BLOCK]
    }

    /// Prefetches an item.
    #[inline]
    pub(super) fn prefetch(&self, idx: u32) {
        if let Some(block) = self.0.get((idx >> BLOCK_BITS) as usize) {
            memory::prefetch(block, idx as usize % BLOCK);
        }
    }

    /// Iterates over the items, in the order of their indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}
