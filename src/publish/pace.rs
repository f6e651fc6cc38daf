//! How many writes a second a store is asked to take.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::lock::lock;

/// A pace that all connections keep together.
pub(super) struct Pace {
    per_second: Option<u32>,
    next: Mutex<Instant>,
}

impl Pace {
    /// No limit if `None`.
    pub(super) fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second,
            next: Mutex::new(Instant::now()),
        }
    }

    /// The largest number of writes, of at most `n`, that may go out together: half a second's.
    pub(super) fn chunk(&self, n: usize) -> usize {
        self.per_second
            .map_or(n, |per_second| n.min(per_second as usize / 2).max(1))
    }

    /// Waits until so many writes may go out.
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
