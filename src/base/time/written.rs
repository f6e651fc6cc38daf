//! Instants as they are written: all text forms.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::{AmbiguousOffset, Offset};

use crate::base::error::Problem;
use crate::base::time::micros::{EXPECTED, Micros, NotAnInstant, at_offset, from_seconds};
use crate::base::time::zone::{ZONES, Zone};

/// An instant as it is written: with an offset, or local to a time zone that the reader knows. All
/// texts are parsed by [`Self::parse`]: those of the command line, of scenarios and other
/// documents, and of log columns.
///
/// | form | meaning |
/// |---|---|
/// | `2026-05-28T08:00:00+08:00` | RFC 3339; a space may stand for the `T` |
/// | `2026-05-28T00:00:00` | local time of the reader's zone |
/// | `2026-05-28`, `20260528` | the first instant of the date in the reader's zone; eight digits are always a date |
/// | `1779926400`, `1779926400.25` | epoch seconds |
/// | `2026-05-28T08:00:00[Asia/Shanghai]` | local time of an IANA time zone, also with its offset |
///
/// Time zones come from the database that is built into the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenInstant(Written);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Instant(Micros),
    Time(DateTime),
    Date(Date),
}

impl From<Micros> for WrittenInstant {
    fn from(instant: Micros) -> Self {
        Self(Written::Instant(instant))
    }
}

impl WrittenInstant {
    /// Parses an instant.
    ///
    /// # Errors
    /// The text has none of the forms, or is a number outside of the years 1 to 9999, such as
    /// milliseconds. The time zone of an annotation is unknown, or does not have the offset at that
    /// time. An annotation without an offset: the local time does not exist in the zone, or occurs
    /// twice.
    pub fn parse(text: &str) -> Result<Self, NotAnInstant> {
        let text = text.trim();
        // Whole numbers of a column with gaps are often written with a decimal: 20260528.0.
        if text.len() == 10 && text.ends_with(".0") && text.as_bytes()[..8].iter().all(u8::is_ascii_digit) {
            return Self::parse(&text[..8]);
        }
        // An annotation in brackets can only be the end of a text.
        if text.ends_with(']') {
            return parse_annotated(text).map(Self);
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(Self(Written::Instant(instant.as_microsecond())));
        }
        if let Ok(civil) = text.parse::<DateTime>() {
            let has_time = text.contains([':', 'T', 't', ' ']);
            return Ok(Self(if has_time {
                Written::Time(civil)
            } else {
                Written::Date(civil.date())
            }));
        }
        if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAnInstant::NoDate);
        }
        let seconds = text.parse().map_err(|_| NotAnInstant::Form)?;
        from_seconds(seconds).map(|instant| Self(Written::Instant(instant)))
    }

    /// Returns the instant that the text is in a time zone. A date is the first instant of its day.
    ///
    /// # Errors
    /// The zone skips the local time or the whole date, or has the local time twice.
    pub fn in_zone(self, zone: &Zone) -> Result<Micros, NotAnInstant> {
        match self.0 {
            Written::Instant(instant) => Ok(instant),
            Written::Time(civil) => zone.instant(civil),
            Written::Date(date) => zone.start_of(date),
        }
    }

    /// Returns the instant in a time zone, or the problem for a message. `location` names the key
    /// or the option.
    ///
    /// # Errors
    /// As for [`Self::in_zone`], with the offsets to choose from as a hint.
    pub(crate) fn resolve(self, location: &str, zone: &Zone) -> Result<Micros, Problem> {
        let (shown, civil) = match self.0 {
            Written::Instant(instant) => return Ok(instant),
            Written::Time(civil) => (civil.to_string(), civil),
            Written::Date(date) => (date.to_string(), date.into()),
        };
        self.in_zone(zone).map_err(|why| {
            let name = zone.name();
            let found = match why {
                NotAnInstant::Skipped => format!("{shown} ({name} skips this local time)"),
                NotAnInstant::Ambiguous => format!("{shown} ({name} has this local time twice)"),
                why => why.explained(shown),
            };
            let problem = Problem::new(location, format!("expected {EXPECTED}, found {found}"));
            match zone.offset_of(civil) {
                AmbiguousOffset::Unambiguous { .. } => problem,
                AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => problem
                    .hint(format!(
                        "write the time with its offset: {civil}{} or {civil}{}",
                        shown_offset(before),
                        shown_offset(after)
                    )),
            }
        })
    }
}

/// Formats an offset as in RFC 3339, such as `-05:00`. Offsets of seconds, which zones had before
/// standard time, have the seconds too.
fn shown_offset(offset: Offset) -> String {
    let (sign, seconds) = (
        if offset.seconds() < 0 { '-' } else { '+' },
        offset.seconds().abs(),
    );
    let text = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    match seconds % 60 {
        0 => text,
        rest => format!("{text}:{rest:02}"),
    }
}

/// Parses an instant in one of the forms of [`WrittenInstant`]. A time or a date without an offset
/// is in UTC.
///
/// # Errors
/// As for [`WrittenInstant::parse`].
pub fn parse(text: &str) -> Result<Micros, NotAnInstant> {
    WrittenInstant::parse(text)?.in_zone(&Zone::UTC)
}

/// Reads an instant with annotations in brackets (RFC 9557). Annotations other than a time zone are
/// ignored.
fn parse_annotated(text: &str) -> Result<Written, NotAnInstant> {
    let pieces = Pieces::parse(text).map_err(|_| NotAnInstant::Form)?;
    let zone = pieces
        .to_time_zone_with(&ZONES)
        .map_err(|_| NotAnInstant::UnknownZone)?;
    let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let offset = match (pieces.offset(), zone) {
        // RFC 9557: `Z` says the instant, and nothing of the local time.
        (Some(PiecesOffset::Zulu), _) => Offset::UTC,
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
        (None, zone) => {
            let written = match pieces.time() {
                Some(_) => Written::Time(civil),
                None => Written::Date(pieces.date()),
            };
            return match zone {
                Some(zone) => WrittenInstant(written).in_zone(&Zone(zone)).map(Written::Instant),
                None => Ok(written),
            };
        }
        (Some(_), _) => return Err(NotAnInstant::Form),
    };
    at_offset(civil, offset).map(Written::Instant)
}
