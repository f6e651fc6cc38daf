//! Locks. A poisoned lock is taken as it is: its data is whole between any two statements.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for a lock and takes it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value that a lock held.
pub(crate) fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
