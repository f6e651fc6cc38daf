//! Remembers which input each thread read last, for the message of a fault.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::lock::lock;

thread_local! {
    static OF_THREAD: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// The input that any thread began to read last.
static OF_ANY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Notes that this thread reads an input. A path that is noted already costs a comparison.
pub(crate) fn note(input: &Path) {
    let is_new = OF_THREAD.with_borrow_mut(|last| {
        let is_new = last.as_deref() != Some(input);
        if is_new {
            *last = Some(input.to_owned());
        }
        is_new
    });
    if is_new {
        *lock(&OF_ANY) = Some(input.to_owned());
    }
}

/// The input that this thread read last, otherwise the one that any thread read last. `None` if
/// nothing was read.
pub(crate) fn last_input() -> Option<PathBuf> {
    // A thread that ends, or panics within `note`, has no input of its own.
    let own = OF_THREAD.try_with(|last| last.try_borrow().ok().and_then(|last| last.clone()));
    own.ok().flatten().or_else(|| {
        let last = OF_ANY.try_lock().ok()?;
        last.clone()
    })
}
