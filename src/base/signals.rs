//! Requests of the system to stop: SIGINT, SIGTERM and SIGHUP.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::base::open;

/// What the handlers of this process share. They are registered once and stay.
#[derive(Clone)]
struct Handlers {
    /// Whether a signal ends the process, as without handlers.
    are_idle: Arc<AtomicBool>,
    /// The last signal; 0 without one.
    caught: Arc<AtomicUsize>,
}

static HANDLERS: Mutex<Option<Handlers>> = Mutex::new(None);

/// Catches requests to stop while this value lives. Without it, they end the process.
pub(crate) struct StopSignals(Handlers);

impl StopSignals {
    /// Starts to catch. A signal that this process ignores, as under `nohup`, stays ignored.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(crate) fn catch() -> io::Result<Self> {
        let mut shared = lock(&HANDLERS);
        let handlers = match &*shared {
            Some(handlers) => handlers.clone(),
            None => shared.insert(Handlers::register()?).clone(),
        };
        handlers.caught.store(0, Ordering::SeqCst);
        handlers.are_idle.store(false, Ordering::SeqCst);
        Ok(Self(handlers))
    }

    /// The number of the last signal. `None` without one.
    pub(crate) fn caught(&self) -> Option<u8> {
        u8::try_from(self.0.caught.load(Ordering::SeqCst))
            .ok()
            .filter(|signal| *signal > 0)
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        self.0.are_idle.store(true, Ordering::SeqCst);
    }
}

impl Handlers {
    fn register() -> io::Result<Self> {
        let new = Self {
            are_idle: Arc::default(),
            caught: Arc::default(),
        };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if !is_ignored(signal) {
                flag::register_conditional_default(signal, Arc::clone(&new.are_idle))?;
                flag::register_usize(signal, Arc::clone(&new.caught), signal.unsigned_abs() as usize)?;
            }
        }
        Ok(new)
    }
}

/// Whether this process ignores a signal. Systems without `/proc` do not say.
fn is_ignored(signal: i32) -> bool {
    let status = open::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
