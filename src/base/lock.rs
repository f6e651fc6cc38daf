//! Locks without poisoning. A poisoned lock is used like any other lock, because its data is
//! consistent between any two statements.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for a lock and acquires it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the value of a lock.
pub(crate) fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
