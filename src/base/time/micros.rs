//! Instants and durations in microseconds since the Unix epoch, UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// An instant or a duration: microseconds since 1970-01-01T00:00:00Z, or a number of microseconds.
pub type Micros = i64;

/// Microseconds per second.
pub const SECOND: Micros = 1_000_000;
/// Microseconds per hour.
pub const HOUR: Micros = 3_600 * SECOND;
/// Microseconds per day of 24 hours.
pub const DAY: Micros = 24 * HOUR;

/// The last microsecond of the year 9999, the latest time that documents and stores can hold.
pub const LAST: Micros = 253_402_300_799_999_999;

/// The epoch seconds of the years 1 to 9999. A number outside of this range is in milliseconds, or
/// is not a time.
pub(crate) const SECONDS: std::ops::Range<f64> = -62_135_596_800.0..253_402_300_800.0;

/// The forms of an instant, for messages.
pub(crate) const EXPECTED: &str = "an instant such as 2026-05-28T00:00:00Z, 2026-05-28 or epoch seconds";

/// The reason why a text or a number is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnInstant {
    /// The text has none of the accepted forms.
    Form,
    /// The text has eight digits that are not a calendar date.
    NoDate,
    /// A number outside of the epoch seconds of the years 1 to 9999.
    NotSeconds,
    /// A time zone that the IANA database does not have.
    UnknownZone,
    /// An offset that the time zone does not have at that local time.
    WrongOffset,
    /// A local time that does not exist in the time zone, because clocks were set forward.
    Skipped,
    /// A local time that occurs twice in the time zone, without an offset to choose one.
    Ambiguous,
}

impl std::fmt::Display for NotAnInstant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Form => "",
            Self::NoDate => "eight digits are a date",
            Self::NotSeconds => "a number is seconds, to the year 9999; divide milliseconds by 1000",
            Self::UnknownZone => "the time zone is not known",
            Self::WrongOffset => "the time zone has another offset then",
            Self::Skipped => "the time zone skips this local time",
            Self::Ambiguous => "the time zone has this local time twice; add the offset",
        })
    }
}

impl NotAnInstant {
    /// Formats the wrong text for a message: its first 60 characters in quotes, followed by the
    /// reason. [`Self::Form`] has no reason text.
    pub(crate) fn found(self, text: &str) -> String {
        let shown: String = text.chars().take(60).collect();
        self.explained(format!("\"{shown}\""))
    }

    /// Adds the reason in parentheses to `shown`, the wrong text in the form of a message.
    pub(crate) fn explained(self, shown: String) -> String {
        match self {
            Self::Form => shown,
            why => format!("{shown} ({why})"),
        }
    }

    /// Formats the error message for a text that is not an instant.
    pub(crate) fn message(self, text: &str) -> String {
        format!("expected {EXPECTED}, found {}", self.found(text))
    }
}

/// Converts epoch seconds to an instant, rounded to microseconds.
///
/// # Errors
/// A number that is not finite, or outside of the years 1 to 9999: milliseconds are never guessed.
pub fn from_seconds(seconds: f64) -> Result<Micros, NotAnInstant> {
    if SECONDS.contains(&seconds) {
        Ok((seconds * SECOND as f64).round() as Micros)
    } else if seconds.is_finite() {
        Err(NotAnInstant::NotSeconds)
    } else {
        Err(NotAnInstant::Form)
    }
}

/// Returns the instant of a local time at an offset.
pub(super) fn at_offset(civil: DateTime, offset: Offset) -> Result<Micros, NotAnInstant> {
    let instant = offset.to_timestamp(civil).map_err(|_| NotAnInstant::Form)?;
    Ok(instant.as_microsecond())
}

/// Formats an instant as RFC 3339 in UTC. Digits below one second appear only if they are not 0.
/// Instants out of range appear as `<n> us`.
pub fn format(instant: Micros) -> String {
    Timestamp::from_microsecond(instant).map_or_else(|_| format!("{instant} us"), |t| t.to_string())
}
