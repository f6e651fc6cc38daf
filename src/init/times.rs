//! Forms of times: those that Sluice reads, with their offsets, and other common ones.

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::{Pieces, PiecesOffset};

use crate::base::time::{Micros, WrittenInstant, Zone};

/// A time as a text has it.
pub(crate) struct ReadTime {
    /// Microseconds, UTC; a time without an offset is taken as UTC, as the readers of files do.
    pub(crate) at: Micros,
    /// Offset from UTC in seconds. `None` if the text has none.
    pub(crate) offset: Option<i32>,
}

/// Other common forms of times, in the notation of `strftime`. Sluice reads none of them by itself.
pub(crate) const OTHER_FORMS: [&str; 14] = [
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%Y年%m月%d日 %H:%M:%S",
    "%Y年%m月%d日",
];

/// Names of the instant at which a turn ends.
pub(crate) const END_NAMES: &[&str] = &[
    "end time",
    "endtime",
    "end",
    "ended at",
    "end at",
    "completed at",
    "finish time",
    "finished at",
    "end timestamp",
    "completion time",
    "响应时间",
    "结束时间",
    "完成时间",
];

/// The places of year, month and day in one of the other forms, as groups of a pattern.
pub(crate) fn groups_of_date(form: &str) -> &'static str {
    match form.get(..2) {
        Some("%d") => "$3-$2-$1",
        Some("%m") => "$3-$1-$2",
        _ => "$1-$2-$3",
    }
}

/// Reads a text that is a date or a time. `None` for plain numbers and other texts.
pub(crate) fn read(text: &str) -> Option<ReadTime> {
    // Dates have at least eight characters, and an `-` or a `:` in them.
    if text.len() < 8 || text.len() > 64 || !text.contains(['-', ':']) {
        return None;
    }
    let at = WrittenInstant::parse(text).ok()?.in_zone(&Zone::UTC).ok()?;
    let offset = Pieces::parse(text)
        .ok()
        .and_then(|pieces| match pieces.offset()? {
            PiecesOffset::Numeric(offset) => Some(offset.offset().seconds()),
            _ => Some(0),
        });
    Some(ReadTime { at, offset })
}

/// The other forms that a text has, by their index.
pub(crate) fn other_forms(text: &str) -> impl Iterator<Item = usize> {
    let is_short = text.len() >= 8
        && text.len() <= 40
        && text.contains(['/', '.', '年', ','])
        && text.chars().any(|c| c.is_ascii_digit());
    let forms = OTHER_FORMS.iter().enumerate().filter(move |_| is_short);
    forms
        .filter(|(_, form)| parse_other(form, text).is_some())
        .map(|(idx, _)| idx)
}

/// Reads a text in one of the other forms as a time in UTC.
pub(crate) fn parse_other(form: &str, text: &str) -> Option<Micros> {
    let civil = if form.contains("%H") {
        DateTime::strptime(form, text).ok()?
    } else {
        Date::strptime(form, text).ok()?.into()
    };
    WrittenInstant::parse(&civil.to_string())
        .ok()?
        .in_zone(&Zone::UTC)
        .ok()
}

/// The time zone that an offset stands for: the name of a zone, and whether it is sure. `None` for
/// an offset that is no whole number of hours and belongs to no common zone.
pub(crate) fn zone_of_offset(seconds: i32) -> Option<String> {
    let name = match seconds {
        0 => "UTC".to_owned(),
        28_800 => "Asia/Shanghai".to_owned(),
        32_400 => "Asia/Tokyo".to_owned(),
        19_800 => "Asia/Kolkata".to_owned(),
        // The sign of these names is the other way round.
        _ if seconds % 3_600 == 0 => format!("Etc/GMT{:+}", -seconds / 3_600),
        _ => return None,
    };
    Zone::by_name(&name).map(|_| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offsets() {
        let check = |text: &str, expected: Option<Option<i32>>| {
            assert_eq!(read(text).map(|time| time.offset), expected, "{text}");
        };
        check("2026-05-28T10:00:00+08:00", Some(Some(28_800)));
        check("2026-05-28T10:00:00Z", Some(Some(0)));
        check("2026-05-28 10:00:00.123", Some(None));
        check("2026-05-28", Some(None));
        check("20260528", None);
        check("12:00", None);
        check("user-2026", None);
    }

    #[test]
    fn other_forms_of_times_are_found() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<&str> = other_forms(text).map(|idx| OTHER_FORMS[idx]).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("2026/05/28 10:00:00", &["%Y/%m/%d %H:%M:%S"]);
        check("28/05/2026", &["%d/%m/%Y"]);
        check("05/06/2026", &["%d/%m/%Y", "%m/%d/%Y"]);
        check("12/13/2010 8:26", &["%m/%d/%Y %H:%M"]);
        check("2026年5月28日", &["%Y年%m月%d日"]);
        check("hello 12", &[]);
    }

    #[test]
    fn offsets_become_zones() {
        assert_eq!(zone_of_offset(28_800).as_deref(), Some("Asia/Shanghai"));
        assert_eq!(zone_of_offset(-18_000).as_deref(), Some("Etc/GMT+5"));
        assert_eq!(zone_of_offset(12_600), None);
    }
}
