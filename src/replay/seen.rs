//! The exposure of one user: stages by release and the last window. Also runs of users in row
//! order.

use std::ops::Range;

use crate::base::error::Result;
use crate::scenario::stages::MAX_STAGES;

/// The number of stages in a word of a [`StageSet`].
pub(super) const WORD_STAGES: usize = u64::BITS as usize;
/// The largest number of words of a [`StageSet`].
pub(super) const MAX_WORDS: usize = MAX_STAGES / WORD_STAGES;

/// The number of words of the sets of stages of a plan whose layers have at most `n_stages` stages.
pub(super) fn n_words(n_stages: usize) -> usize {
    n_stages.div_ceil(WORD_STAGES).max(1)
}

/// A set of stages of a layer: one bit a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StageSet([u64; MAX_WORDS]);

impl StageSet {
    /// Makes the set of the first stages, up to [`WORD_STAGES`].
    pub(super) fn from_word(word: u64) -> Self {
        let mut set = Self::default();
        set.0[0] = word;
        set
    }

    /// Makes a set from its words. The others are empty.
    pub(super) fn from_words(words: impl Iterator<Item = u64>) -> Self {
        let mut set = Self::default();
        set.0.iter_mut().zip(words).for_each(|(mine, word)| *mine = word);
        set
    }

    pub(super) fn words(&self) -> &[u64; MAX_WORDS] {
        &self.0
    }

    pub(super) fn insert(&mut self, stage: usize) {
        self.0[stage / WORD_STAGES] |= 1 << (stage % WORD_STAGES);
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|idx| self.0[idx] | other.0[idx]))
    }

    /// Whether all stages are below a number of stages.
    pub(super) fn is_below(&self, n_stages: usize) -> bool {
        self.0.iter().enumerate().all(|(idx, word)| {
            let n_left = n_stages.saturating_sub(idx * WORD_STAGES);
            n_left >= WORD_STAGES || word >> n_left == 0
        })
    }

    /// The stages in ascending order.
    #[cfg(test)]
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(idx, mut word)| {
            std::iter::from_fn(move || {
                let stage = (word != 0).then(|| idx * WORD_STAGES + word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(stage)
            })
        })
    }
}

/// The exposure of a user: the stages by release, and the last window, counted from 1. A `last` of 0
/// means not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct UserExposure {
    pub(super) stages: [StageSet; 2],
    pub(super) last: u32,
}

impl UserExposure {
    pub(super) fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.stages.iter_mut().zip(&other.stages) {
            *mine = mine.union(theirs);
        }
        self.last = self.last.max(other.last);
    }
}

/// A user who was seen in the log, with the stages and the last window in which the user was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UserRow {
    /// The row in the layer table.
    pub(super) row: u32,
    /// The stratum that the user was served under: `tenant * n_layers + layer`.
    pub(super) stratum: u32,
    pub(super) bucket: u16,
    pub(super) seen: UserExposure,
}

/// Users in ascending order of row and stratum.
pub(super) type UserRun<'a> = Box<dyn Iterator<Item = Result<UserRow>> + 'a>;

/// Users in memory, in row order, with access by index.
pub(super) trait UserList: Sync {
    fn len(&self) -> usize;
    /// The user at an index; `None` if the log has no turn of the user.
    fn get(&self, idx: usize) -> Option<UserRow>;
    /// The row in the layer table after that of the last user.
    fn end_row(&self) -> usize;
    /// The index of the first user in this row of the layer table, or after it.
    fn idx_from_row(&self, row: usize) -> usize;
    /// Passes the users in a range of rows of the layer table who were seen to `on_user`, in order.
    fn for_each_seen(&self, rows: Range<usize>, on_user: &mut dyn FnMut(&UserRow)) {
        for idx in self.idx_from_row(rows.start)..self.idx_from_row(rows.end) {
            if let Some(user) = &self.get(idx) {
                on_user(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_every_stage() {
        let mut set = StageSet::default();
        let stages = [0, 7, 63, 64, 100, 191, MAX_STAGES - 1];
        stages.iter().for_each(|stage| set.insert(*stage));
        assert_eq!(set.iter().collect::<Vec<_>>(), stages);
        assert_eq!(StageSet::from_words(set.words().iter().copied()), set);
        let other = StageSet::from_word(0b11);
        assert_eq!(set.union(&other).iter().take(3).collect::<Vec<_>>(), [0, 1, 7]);
        assert_eq!([1, 64, 65, MAX_STAGES].map(n_words), [1, 1, 2, MAX_WORDS]);
    }
}
