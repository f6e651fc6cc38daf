//! Panics: converts those of other crates to errors, and reports the others in one message.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The number of calls of [`catch_everywhere`] that run.
static N_CAUGHT_EVERYWHERE: AtomicUsize = AtomicUsize::new(0);

/// The start of the names of Polars' threads.
const POLARS_THREADS: &str = "polars";

/// Whether [`catch`] or [`catch_everywhere`] converts the panic of this thread to an error.
fn is_caught() -> bool {
    let is_of_polars = || {
        let thread = std::thread::current();
        thread.name().is_some_and(|name| name.starts_with(POLARS_THREADS))
    };
    IS_CAUGHT.get() || (N_CAUGHT_EVERYWHERE.load(Ordering::Relaxed) > 0 && is_of_polars())
}

/// Calls code of Polars that may panic, on this thread or on those of Polars, which pass their
/// panics on to this one. The panic is not printed.
///
/// # Errors
/// The text of the panic.
#[cfg_attr(not(feature = "frames"), allow(dead_code))]
pub(crate) fn catch_everywhere<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    N_CAUGHT_EVERYWHERE.fetch_add(1, Ordering::Relaxed);
    let caught = catch(call);
    N_CAUGHT_EVERYWHERE.fetch_sub(1, Ordering::Relaxed);
    caught
}

/// Calls code that may panic on input of unknown origin. The panic is not printed.
///
/// # Errors
/// The text of the panic.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !is_caught() {
                loud(info);
            }
        }));
    });
    let before = IS_CAUGHT.replace(true);
    let caught = panic::catch_unwind(AssertUnwindSafe(call));
    IS_CAUGHT.set(before);
    caught.map_err(|payload| text_of(payload.as_ref()).to_owned())
}

/// Calls `report` for each panic that [`catch`] does not convert, in place of the usual message. The
/// text of the panic comes first, then its location in the source as `file:line`.
pub(crate) fn report_by(report: impl Fn(&str, &str) + Send + Sync + 'static) {
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if is_caught() {
            return;
        }
        let location = info.location().map_or_else(String::new, |at| {
            // Files of other crates are below the folder of a registry: REGISTRY/src/NAME/CRATE.
            let file = at.file();
            let of_crate = file
                .split_once("/registry/src/")
                .and_then(|(_, rest)| rest.split_once('/'));
            let file = of_crate.map_or(file, |(_, file)| file);
            format!("{file}:{}", at.line())
        });
        report(text_of(info.payload()), &location);
    }));
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a broken structure")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_of_polars_threads_are_caught_and_those_of_others_are_not() {
        let check = |name: &str, expected: bool| {
            let in_thread = || {
                let thread = std::thread::Builder::new().name(name.to_owned()).spawn(is_caught);
                thread.ok().and_then(|thread| thread.join().ok())
            };
            assert_eq!(catch_everywhere(in_thread), Ok(Some(expected)), "{name}");
        };
        check("polars-3", true);
        check("main-2", false);
        assert_eq!(
            catch_everywhere(|| panic!("broken")),
            Err::<(), _>("broken".to_owned())
        );
    }
}
