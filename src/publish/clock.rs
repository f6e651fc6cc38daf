//! The clock of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::error::{Error, Result};
use crate::base::time;
use crate::base::time::Micros;

/// The current time, microseconds UTC, at most the end of the year 9999: stores take no later time,
/// and a rollback must not wait for the clock.
///
/// # Errors
/// A clock before 1970.
pub fn now() -> Result<Micros> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_err(|_| Error::usage("expected a clock after 1970, found one before"))?;
    Ok(Micros::try_from(since.as_micros()).map_or(time::LAST, |micros| micros.min(time::LAST)))
}
