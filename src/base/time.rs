//! Instants and durations in microseconds since the Unix epoch, UTC, and their text forms.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use std::sync::LazyLock;

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

/// Parses an instant. All texts are parsed by this function: those of the command line, of
/// scenarios and other documents, and of log columns.
///
/// | form | meaning |
/// |---|---|
/// | `2026-05-28T08:00:00+08:00` | RFC 3339; a space may stand for the `T` |
/// | `2026-05-28T00:00:00` | no offset: UTC |
/// | `2026-05-28`, `20260528` | the first instant of the date, UTC; eight digits are always a date |
/// | `1779926400`, `1779926400.25` | epoch seconds |
/// | `2026-05-28T08:00:00[Asia/Shanghai]` | local time of an IANA time zone, also with its offset |
///
/// Time zones come from the database that is built into the program.
///
/// # Errors
/// The text has none of these forms, or is a number outside of the years 1 to 9999, such as
/// milliseconds. The time zone is unknown, or does not have the offset at that time. Without an
/// offset: the local time does not exist in the zone, or occurs twice.
pub fn parse(text: &str) -> Result<Micros, NotAnInstant> {
    let text = text.trim();
    // Whole numbers of a column with gaps are often written with a decimal: 20260528.0.
    if text.len() == 10 && text.ends_with(".0") && text.as_bytes()[..8].iter().all(u8::is_ascii_digit) {
        return parse(&text[..8]);
    }
    // An annotation in brackets can only be the end of a text.
    if text.ends_with(']') {
        return parse_annotated(text);
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return in_utc(civil);
    }
    if let Ok(date) = text.parse::<Date>() {
        return in_utc(date.into());
    }
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotAnInstant::NoDate);
    }
    from_seconds(text.parse().map_err(|_| NotAnInstant::Form)?)
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

fn in_utc(civil: DateTime) -> Result<Micros, NotAnInstant> {
    let instant = Offset::UTC.to_timestamp(civil).map_err(|_| NotAnInstant::Form)?;
    Ok(instant.as_microsecond())
}

/// Reads an instant with annotations in brackets (RFC 9557). Annotations other than a time zone are
/// ignored.
fn parse_annotated(text: &str) -> Result<Micros, NotAnInstant> {
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    let pieces = Pieces::parse(text).map_err(|_| NotAnInstant::Form)?;
    let zone = pieces
        .to_time_zone_with(&ZONES)
        .map_err(|_| NotAnInstant::UnknownZone)?;
    let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let offset = match (pieces.offset(), zone) {
        // RFC 9557: `Z` says the instant, and nothing of the local time.
        (Some(PiecesOffset::Zulu), _) | (None, None) => Offset::UTC,
        (Some(PiecesOffset::Numeric(offset)), None) => offset.offset(),
        (Some(PiecesOffset::Numeric(offset)), Some(zone)) => {
            let offset = offset.offset();
            let has = |of_zone: Offset| {
                let difference = (offset.seconds() - of_zone.seconds()).abs();
                // Offsets before the time of standard zones have seconds, which are often left out.
                difference == 0 || (difference <= 30 && offset.seconds() % 60 == 0)
            };
            match zone.to_ambiguous_timestamp(civil).offset() {
                AmbiguousOffset::Unambiguous { offset: of_zone } if has(of_zone) => of_zone,
                AmbiguousOffset::Fold { before, .. } if has(before) => before,
                AmbiguousOffset::Fold { after, .. } if has(after) => after,
                AmbiguousOffset::Gap { .. } => return Err(NotAnInstant::Skipped),
                _ => return Err(NotAnInstant::WrongOffset),
            }
        }
        (None, Some(zone)) => match zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { .. } => return Err(NotAnInstant::Skipped),
            AmbiguousOffset::Fold { .. } => return Err(NotAnInstant::Ambiguous),
        },
        (Some(_), _) => return Err(NotAnInstant::Form),
    };
    let instant = offset.to_timestamp(civil).map_err(|_| NotAnInstant::Form)?;
    Ok(instant.as_microsecond())
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
    fn reads_every_form_of_an_instant() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).map(format), Ok(expected.to_owned()), "{text}")
        };
        check("2026-05-28T00:00:00Z", "2026-05-28T00:00:00Z");
        check("20260528.0", "2026-05-28T00:00:00Z");
        check("2019-11-24 00:00:34.762830+00:00", "2019-11-24T00:00:34.76283Z");
        check("2026-05-28T08:00:00+08:00", "2026-05-28T00:00:00Z");
        check("2026-05-28 01:02:03", "2026-05-28T01:02:03Z");
        check("1997-01-01", "1997-01-01T00:00:00Z");
        check("19970101", "1997-01-01T00:00:00Z");
        check(" 1779926400 ", "2026-05-28T00:00:00Z");
        check("1779926400.25", "2026-05-28T00:00:00.25Z");
        check("-1", "1969-12-31T23:59:59Z");
        check("0", "1970-01-01T00:00:00Z");
        // Time zones: winter and summer, with the offset, with `Z`, of a date, as an offset.
        check("2026-03-02T12:00:00[America/New_York]", "2026-03-02T17:00:00Z");
        check("2026-07-02T12:00:00[America/New_York]", "2026-07-02T16:00:00Z");
        check(
            "2026-03-02T12:00:00-05:00[America/New_York]",
            "2026-03-02T17:00:00Z",
        );
        check("2026-03-02T12:00:00Z[America/New_York]", "2026-03-02T12:00:00Z");
        check("2026-03-02[Asia/Shanghai]", "2026-03-01T16:00:00Z");
        check("2026-03-02 12:00:00[+05:30]", "2026-03-02T06:30:00Z");
        check("2026-03-02T12:00:00[europe/berlin]", "2026-03-02T11:00:00Z");
        // The hour that comes twice, with its offset.
        check(
            "2026-11-01T01:30:00-04:00[America/New_York]",
            "2026-11-01T05:30:00Z",
        );
        check(
            "2026-11-01T01:30:00-05:00[America/New_York]",
            "2026-11-01T06:30:00Z",
        );
        check("2026-03-02T12:00:00+01:00[u-ca=iso8601]", "2026-03-02T11:00:00Z");
        check(
            "1870-01-01T12:00:00-04:56[America/New_York]",
            "1870-01-01T16:56:02Z",
        );
    }

    #[test]
    fn refuses_what_would_be_a_guess() {
        let check = |text: &str, expected| assert_eq!(parse(text), Err(expected), "{text}");
        for text in [
            "yesterday",
            "",
            "12:00:00",
            "nan",
            "inf",
            "2026-05-28T",
            "1e",
            "[America/New_York]",
        ] {
            check(text, NotAnInstant::Form);
        }
        check("2026-03-02T12:00:00[u-ca=iso8601", NotAnInstant::Form);
        check("1764316800000", NotAnInstant::NotSeconds);
        check("1764316800000.5", NotAnInstant::NotSeconds);
        check("20261332", NotAnInstant::NoDate);
        check("2026-03-02T12:00:00[Nowhere/City]", NotAnInstant::UnknownZone);
        check("2026-03-02T12:00:00Z[Nowhere/City]", NotAnInstant::UnknownZone);
        check(
            "2026-03-02T12:00:00+00:00[America/New_York]",
            NotAnInstant::WrongOffset,
        );
        check("2026-03-08T02:30:00[America/New_York]", NotAnInstant::Skipped);
        check(
            "2026-03-08T02:30:00-05:00[America/New_York]",
            NotAnInstant::Skipped,
        );
        check("2026-11-01T01:30:00[America/New_York]", NotAnInstant::Ambiguous);
        check(
            "2026-11-01T01:30:00-06:00[America/New_York]",
            NotAnInstant::WrongOffset,
        );
        assert_eq!(
            NotAnInstant::NotSeconds.message("1764316800000"),
            "expected an instant such as 2026-05-28T00:00:00Z, 2026-05-28 or epoch seconds, found \
             \"1764316800000\" (a number is seconds, to the year 9999; divide milliseconds by 1000)"
        );
    }
}
