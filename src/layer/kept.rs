//! Scores that are kept from one pass over the users to the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::memory::memory_limit;
use crate::layer::kernel::Scored;

/// The share of the memory for a job that is kept at most, as a divisor. A user takes three bytes, and a
/// user at a cut sixteen more. Row groups beyond it are scored again in each pass.
const KEPT_SHARE: u64 = 4;

/// Scores of row groups, as far as memory allows. It is filled by the first pass.
#[derive(Debug)]
pub(super) struct KeptScores {
    room: usize,
    n_bytes: AtomicUsize,
    parts: Vec<OnceLock<Kept>>,
}

/// The scores of one row group.
#[derive(Debug)]
struct Kept {
    scored: Arc<Scored>,
    /// Rows of the users at a cut, with their hashes. Empty until a pass has found them.
    tied: OnceLock<Tied>,
}

/// Rows of users whose score is at a cut, in order, with the hashes that order them.
pub(super) type Tied = Arc<Vec<(u32, u64)>>;

impl KeptScores {
    /// A store for the scores of `n_parts` parts.
    pub(super) fn new(n_parts: usize) -> Self {
        Self {
            room: usize::try_from(memory_limit() / KEPT_SHARE).unwrap_or(usize::MAX),
            n_bytes: AtomicUsize::new(0),
            parts: (0..n_parts).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Takes room for some bytes. `false` if there is no room.
    fn take_room(&self, n_bytes: usize) -> bool {
        let before = self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        let is_room = before.saturating_add(n_bytes) <= self.room;
        if !is_room {
            self.n_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
        }
        is_room
    }

    /// Keeps the scores of a part, if there is room.
    pub(super) fn keep(&self, part: usize, scored: &Arc<Scored>) {
        let n_bytes = scored.score.len() * 3 + scored.tenant.len() * 4 + scored.placed.len() * 8;
        if self.parts[part].get().is_none() && self.take_room(n_bytes) {
            let kept = Kept {
                scored: Arc::clone(scored),
                tied: OnceLock::new(),
            };
            self.parts[part].set(kept).ok();
        }
    }

    /// The scores of a part. `None` if they were not kept.
    pub(super) fn scored(&self, part: usize) -> Option<Arc<Scored>> {
        self.parts[part].get().map(|kept| Arc::clone(&kept.scored))
    }

    /// Keeps the tied users of a part whose scores are kept, if there is room.
    pub(super) fn keep_tied(&self, part: usize, tied: &Tied) {
        if let Some(kept) = self.parts[part].get()
            && kept.tied.get().is_none()
            && self.take_room(tied.len() * 16)
        {
            kept.tied.set(Arc::clone(tied)).ok();
        }
    }

    /// The tied users of a part. `None` if they were not kept.
    pub(super) fn tied(&self, part: usize) -> Option<Tied> {
        self.parts[part].get()?.tied.get().map(Arc::clone)
    }
}
