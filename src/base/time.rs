//! Instants and durations in microseconds since the Unix epoch, UTC, and their text forms.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// An instant or a duration: microseconds since 1970-01-01T00:00:00Z, or a number of microseconds.
pub type Micros = i64;

/// Microseconds per second.
pub const SECOND: Micros = 1_000_000;
/// Microseconds per hour.
pub const HOUR: Micros = 3_600 * SECOND;
/// Microseconds per day of 24 hours.
pub const DAY: Micros = 24 * HOUR;

/// The epoch seconds of the years 1 to 9999. A number outside of this range is in milliseconds, or
/// is not a time.
pub(crate) const SECONDS: std::ops::Range<f64> = -62_135_596_800.0..253_402_300_800.0;

/// Parses an instant. The text is RFC 3339 with an offset, the same without an offset (taken as
/// UTC), or a date such as `2026-05-28` or `19970101` (its first instant, UTC).
///
/// Returns `None` for any other text.
pub fn parse(text: &str) -> Option<Micros> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_microsecond());
    }
    let civil: DateTime = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_) => text.parse::<Date>().ok()?.into(),
    };
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// Formats an instant as RFC 3339 in UTC. Digits below one second appear only if they are not 0.
/// Instants out of range appear as `<n> us`.
pub fn format(instant: Micros) -> String {
    Timestamp::from_microsecond(instant).map_or_else(|_| format!("{instant} us"), |t| t.to_string())
}

/// Formats an instant for people, in UTC, such as `05-28 14:00`.
pub fn format_short(instant: Micros) -> String {
    Timestamp::from_microsecond(instant).map_or_else(
        |_| format!("{instant} us"),
        |t| t.to_zoned(TimeZone::UTC).strftime("%m-%d %H:%M").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_logs_hold() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse(text).map(format).as_deref(), expected, "{text}")
        };
        check("2026-05-28T00:00:00Z", Some("2026-05-28T00:00:00Z"));
        check(
            "2019-11-24 00:00:34.762830+00:00",
            Some("2019-11-24T00:00:34.76283Z"),
        );
        check("2026-05-28T08:00:00+08:00", Some("2026-05-28T00:00:00Z"));
        check("2026-05-28 01:02:03", Some("2026-05-28T01:02:03Z"));
        check("19970101", Some("1997-01-01T00:00:00Z"));
        check("1997-01-01", Some("1997-01-01T00:00:00Z"));
        check("yesterday", None);
        check("", None);
    }
}
