//! The time limit of a target, which keeps one target from delaying the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::publish::options::Options;

/// The clock of one target. Copies share it.
///
/// A rollback has one limit for all its work at a target. A publication has a limit for each answer:
/// it may take hours, as long as the target answers.
#[derive(Debug, Clone)]
pub struct Timer {
    limit: Duration,
    is_fixed: bool,
    created: Instant,
    /// Milliseconds from `created` until the limit is over; `u64::MAX` before the work begins.
    ends: Arc<AtomicU64>,
}

impl Timer {
    /// Creates a clock that does not run yet.
    pub fn new(options: &Options) -> Self {
        Self {
            limit: options.answer_limit(),
            is_fixed: options.rollback,
            created: Instant::now(),
            ends: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// The limit: of all work in a rollback, of one answer otherwise.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Starts the clock.
    pub(super) fn start(&self) {
        self.end_after(self.limit);
    }

    /// Records that the target has answered, so its limit begins anew. A rollback's limit stays.
    pub(super) fn answered(&self) {
        self.allow(Duration::ZERO);
    }

    /// Allows the next answer at least `time`, for a step that is known to be long. A rollback's
    /// limit stays.
    pub(super) fn allow(&self, time: Duration) {
        if !self.is_fixed {
            self.end_after(self.limit.max(time));
        }
    }

    /// The time until the limit is over: zero if it is over, `None` before the work begins.
    pub(super) fn left(&self) -> Option<Duration> {
        let ends = self.ends.load(Ordering::Relaxed);
        (ends < u64::MAX).then(|| Duration::from_millis(ends).saturating_sub(self.created.elapsed()))
    }

    fn end_after(&self, time: Duration) {
        let ends = (self.created.elapsed() + time).as_millis();
        self.ends
            .store(u64::try_from(ends).unwrap_or(u64::MAX - 1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(rollback: bool) -> Timer {
        Timer::new(&Options {
            rollback,
            target_timeout: Some(Duration::from_secs(100)),
            ..Options::at(0)
        })
    }

    #[test]
    fn answers_renew_the_limit_of_a_publication_but_not_of_a_rollback() {
        for (rollback, is_renewed) in [(false, true), (true, false)] {
            let timer = timer(rollback);
            assert_eq!(timer.left(), None);
            timer.end_after(Duration::ZERO);
            timer.answered();
            assert_eq!(
                timer.left().is_some_and(|left| left > Duration::from_secs(90)),
                is_renewed
            );
            timer.allow(Duration::from_secs(1_000));
            assert_eq!(
                timer.left().is_some_and(|left| left > Duration::from_secs(900)),
                is_renewed
            );
        }
    }
}
