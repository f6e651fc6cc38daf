//! Work over parts on all threads, with results that do not depend on how many there are.

use rayon::prelude::*;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::{Error, Result};

/// Folds parts 0..n into one state a thread and returns the states. Which parts a state has seen depends on the threads,
/// so merging them must not care: integer sums and sets.
///
/// # Errors
/// The error of the lowest part that failed, on any number of threads.
pub(crate) fn fold_parts<S: Send>(
    n: usize,
    new_state: impl Fn() -> S + Sync,
    step: impl Fn(&mut S, usize) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let lowest_failed = AtomicUsize::new(usize::MAX);
    let n_workers = rayon::current_num_threads().min(n).max(1);
    let states = (0..n_workers)
        .into_par_iter()
        .map(|_| {
            let mut state = new_state();
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                // A part before the failed one may still fail itself, and then it is the one to report.
                if part >= n || part > lowest_failed.load(Ordering::Relaxed) {
                    return state;
                }
                if let Err(error) = step(&mut state, part) {
                    let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(other, _)| part < *other) {
                        *failed = Some((part, error));
                        lowest_failed.store(part, Ordering::Relaxed);
                    }
                }
            }
        })
        .collect();
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(states),
    }
}

/// Computes parts 0..n on all threads and hands the results over in order. Only a few parts are held at a time.
///
/// # Errors
/// The error of the lowest part that failed, or the first that `consume` returns.
pub(crate) fn map_in_order<T: Send>(
    n: usize,
    compute: impl Fn(usize) -> Result<T> + Sync,
    mut consume: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let n_ahead = rayon::current_num_threads() * 2;
    for start in (0..n).step_by(n_ahead.max(1)) {
        let end = (start + n_ahead).min(n);
        let results: Vec<Result<T>> = (start..end).into_par_iter().map(&compute).collect();
        for (idx, result) in (start..end).zip(results) {
            consume(idx, result?)?;
        }
    }
    Ok(())
}
