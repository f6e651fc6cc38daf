//! A limit on writes per second to a store.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::lock::lock;

/// A rate limit that all connections share.
pub(super) struct Pace {
    per_second: Option<u32>,
    next: Mutex<Instant>,
}

impl Pace {
    /// Starts a limit of `per_second` writes; no limit if `None`.
    pub(super) fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Returns the number of writes to send together, at least 1: at most `n`, and at most as many
    /// as the limit allows in half a second.
    pub(super) fn chunk(&self, n: usize) -> usize {
        self.per_second
            .map_or(n, |per_second| n.min(per_second as usize / 2).max(1))
    }

    /// Waits until `n` more writes may be sent.
    pub(super) fn wait(&self, n: usize) {
        let Some(per_second) = self.per_second else { return };
        let start = {
            let mut next = lock(&self.next);
            let start = (*next).max(Instant::now());
            *next = start + Duration::from_secs_f64(n as f64 / f64::from(per_second));
            start
        };
        thread::sleep(start.saturating_duration_since(Instant::now()));
    }
}
