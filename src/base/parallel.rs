//! Processes parts on all threads. The results do not depend on the number of threads.

use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::base::error::{Error, Result};
use crate::base::lock;
use crate::base::lock::lock;

/// Folds parts `0..n` into one state per thread and returns the states. The parts of a state depend
/// on the threads, so merging states must be independent of order, as for integer sums and sets.
/// Each thread starts with its own range of parts, so that states of sorted data have little in
/// common. A thread that is finished helps the others.
///
/// # Errors
/// The error of the lowest part that failed, for any number of threads.
pub(crate) fn fold_parts<S: Send>(
    n: usize,
    new_state: impl Fn() -> S + Sync,
    step: impl Fn(&mut S, usize) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let lowest_failed = AtomicUsize::new(usize::MAX);
    let n_workers = rayon::current_num_threads().min(n).max(1);
    let start_of = |worker: usize| n * worker / n_workers;
    let next: Vec<AtomicUsize> = (0..n_workers)
        .map(|worker| AtomicUsize::new(start_of(worker)))
        .collect();
    let states = (0..n_workers)
        .into_par_iter()
        .map(|worker| {
            let mut state = new_state();
            for owner in (worker..n_workers).chain(0..worker) {
                loop {
                    let part = next[owner].fetch_add(1, Ordering::Relaxed);
                    // A part before the failed one may also fail. Then its error is the one to
                    // report.
                    if part >= start_of(owner + 1) || part > lowest_failed.load(Ordering::Relaxed) {
                        break;
                    }
                    if let Err(error) = step(&mut state, part) {
                        let mut failed = lock(&failed);
                        if failed.as_ref().is_none_or(|(other, _)| part < *other) {
                            *failed = Some((part, error));
                            lowest_failed.store(part, Ordering::Relaxed);
                        }
                    }
                }
            }
            state
        })
        .collect();
    match lock::into_inner(failed) {
        Some((_, error)) => Err(error),
        None => Ok(states),
    }
}

/// Computes parts `0..n` on all threads and passes the results to `consume` in order, on the
/// calling thread. At most two results per thread wait.
///
/// # Errors
/// The error of the lowest part that failed, or the first error of `consume`.
pub(crate) fn map_in_order<T: Send>(
    n: usize,
    compute: impl Fn(usize) -> Result<T> + Sync,
    mut consume: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let n_threads = rayon::current_num_threads().min(n);
    if n_threads <= 1 {
        return (0..n).try_for_each(|idx| consume(idx, compute(idx)?));
    }
    let line = Waiting {
        state: Mutex::default(),
        changed: Condvar::new(),
        n,
        n_ahead: n_threads * 2,
    };
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| line.work(&compute));
        }
        // However this function returns, no worker may wait forever.
        let _stop = StopOnDrop(&line);
        for idx in 0..n {
            let result = line.take(idx);
            match result {
                Some(result) => consume(idx, result?)?,
                // The worker panicked; the scope passes the panic on.
                None => return Ok(()),
            }
        }
        Ok(())
    })
}

/// Results that wait until they can be consumed in order.
struct Waiting<T> {
    state: Mutex<LineState<T>>,
    changed: Condvar,
    n: usize,
    n_ahead: usize,
}

/// The state that workers and the consumer share.
struct LineState<T> {
    n_started: usize,
    n_taken: usize,
    stopped: bool,
    ready: BTreeMap<usize, Result<T>>,
}

impl<T> Default for LineState<T> {
    fn default() -> Self {
        Self {
            n_started: 0,
            n_taken: 0,
            stopped: false,
            ready: BTreeMap::new(),
        }
    }
}

/// Stops all workers when it is dropped.
struct StopOnDrop<'a, T>(&'a Waiting<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

impl<T> Waiting<T> {
    fn lock(&self) -> MutexGuard<'_, LineState<T>> {
        lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, LineState<T>>) -> MutexGuard<'a, LineState<T>> {
        self.changed
            .wait(state)
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn work(&self, compute: &(impl Fn(usize) -> Result<T> + Sync)) {
        // If a worker panics, the others must not wait for its result.
        let stop = StopOnDrop(self);
        loop {
            let mut state = self.lock();
            while !state.stopped
                && state.n_started < self.n
                && state.n_started >= state.n_taken + self.n_ahead
            {
                state = self.wait(state);
            }
            if state.stopped || state.n_started == self.n {
                std::mem::forget(stop);
                return;
            }
            let idx = state.n_started;
            state.n_started += 1;
            drop(state);
            let result = compute(idx);
            self.lock().ready.insert(idx, result);
            self.changed.notify_all();
        }
    }

    fn take(&self, idx: usize) -> Option<Result<T>> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.ready.remove(&idx) {
                state.n_taken = idx + 1;
                self.changed.notify_all();
                return Some(result);
            }
            if state.stopped {
                return None;
            }
            state = self.wait(state);
        }
    }
}

#[cfg(test)]
mod tests;
