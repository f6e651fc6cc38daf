//! Instants and durations: microseconds since the Unix epoch, UTC, and their text forms.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Microseconds since 1970-01-01T00:00:00Z.
pub type Micros = i64;

/// Microseconds in a second.
pub const SECOND: Micros = 1_000_000;
/// Microseconds in an hour.
pub const HOUR: Micros = 3_600 * SECOND;
/// Microseconds in a day of 24 hours.
pub const DAY: Micros = 24 * HOUR;

/// Epoch seconds of the years 1 to 9999; any other number is milliseconds, or not a time.
pub(crate) const SECONDS: std::ops::Range<f64> = -62_135_596_800.0..253_402_300_800.0;

/// Reads an instant: RFC 3339 with an offset, the same without one (taken as UTC), or a date
/// (`2026-05-28`, `19970101`: its first instant, UTC).
///
/// `None` if the text is none of these.
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

/// Writes an instant as RFC 3339 in UTC; sub-second digits only when there are any. Out-of-range
/// instants print as `<n> us`.
pub fn format(instant: Micros) -> String {
    Timestamp::from_microsecond(instant).map_or_else(|_| format!("{instant} us"), |t| t.to_string())
}

/// Writes an instant for people: `05-28 14:00`, UTC.
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
