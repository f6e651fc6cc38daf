//! Instants and durations in microseconds since the Unix epoch, UTC, their text forms, and the days
//! and hours of time zones.

mod micros;
mod written;
mod zone;

#[cfg(test)]
mod tests;

pub use micros::{DAY, HOUR, LAST, Micros, NotAnInstant, SECOND, format, from_seconds};
pub(crate) use micros::{EXPECTED, SECONDS};
pub use written::{WrittenInstant, parse};
pub use zone::Zone;
pub(crate) use zone::{DayClock, format_day};
