//! Time zones: their days, their hours of the week, and the instants of local times.

use hashbrown::HashMap;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::LazyLock;

use crate::base::error::Problem;
use crate::base::similar;
use crate::base::time::micros::{DAY, HOUR, Micros, NotAnInstant, SECOND, at_offset};

/// The time zones that are built into the program.
pub(super) static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The largest number of characters of a name that is compared with others, and that a message
/// shows.
const LONGEST_NAME: usize = 60;

/// A time zone of the IANA database, UTC by default. It decides what a day, an hour of the week and
/// a time without an offset are. Documents hold its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(pub(super) TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::by_name(&name).ok_or_else(|| Self::unknown(&name))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Returns the zone with this name, such as `Asia/Shanghai`; capitals do not matter. `None` if
    /// the database has no such zone.
    pub fn by_name(name: &str) -> Option<Self> {
        let zone = ZONES.get(name).ok().filter(|zone| !zone.is_unknown())?;
        zone.iana_name().is_some().then_some(Self(zone))
    }

    /// Reads the value of a key `time_zone`. `location` names the key. No value is UTC. So is a
    /// name that the database does not have: the problem is added to `problems`, with the nearest
    /// name as a hint.
    pub(crate) fn read(location: impl Into<String>, name: Option<&str>, problems: &mut Vec<Problem>) -> Self {
        let Some(name) = name else {
            return Self::UTC;
        };
        Self::by_name(name).unwrap_or_else(|| {
            let problem = Problem::new(location, Self::unknown(name));
            problems.push(match nearest_zone(name) {
                Some(nearest) => problem.hint(format!("did you mean `{nearest}`?")),
                None => problem.hint("a zone has the name of a region and a city; `UTC` is a zone, too"),
            });
            Self::UTC
        })
    }

    fn unknown(name: &str) -> String {
        let shown: String = name.chars().take(LONGEST_NAME).collect();
        format!("expected the name of a time zone such as Asia/Shanghai, found \"{shown}\"")
    }

    /// The name of the zone in the IANA database.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Whether the zone is UTC itself, not another zone with the same offset.
    pub fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC
    }

    /// The day of an instant: the number of days since 1970-01-01 in the local calendar. A day
    /// lasts from its first instant to that of the next one, which is 23 or 25 hours when clocks
    /// change.
    pub fn day(&self, at: Micros) -> i64 {
        let day = self.wall(at).div_euclid(DAY);
        // Clocks that are set back over midnight show the end of the old day again. The new day has
        // begun.
        if !self.is_utc() && at >= self.day_start(day + 1) {
            day + 1
        } else {
            day
        }
    }

    /// The first instant of a day, in microseconds. `day` counts from 1970-01-01. A day that the
    /// zone skips is empty: it starts with the next one.
    pub fn day_start(&self, day: i64) -> Micros {
        let midnight = day.saturating_mul(DAY);
        match (self.is_utc(), date_of(day)) {
            (false, Some(date)) => self.first_instant(date).unwrap_or(midnight),
            _ => midnight,
        }
    }

    /// The hour since Monday 00:00 of the local clock, 0..168.
    pub fn hour_of_week(&self, at: Micros) -> usize {
        // 1970-01-01 was a Thursday.
        (self.wall(at).div_euclid(HOUR) + 3 * 24).rem_euclid(7 * 24) as usize
    }

    /// The reading of the local clock at an instant: microseconds since 1970-01-01T00:00:00 local
    /// time.
    pub(crate) fn wall(&self, at: Micros) -> Micros {
        if self.is_utc() {
            return at;
        }
        let offset = Timestamp::from_microsecond(at).map_or(0, |at| self.0.to_offset(at).seconds());
        at.saturating_add(i64::from(offset) * SECOND)
    }

    /// The instant of a reading of the local clock. A reading that occurs twice is the first one;
    /// one that clocks skip is as long after the change as it is after the last reading before.
    pub(crate) fn at_wall(&self, wall: Micros) -> Micros {
        if self.is_utc() {
            return wall;
        }
        let civil = Timestamp::from_microsecond(wall).map(|at| Offset::UTC.to_datetime(at));
        let instant = civil.and_then(|civil| self.0.to_ambiguous_timestamp(civil).compatible());
        instant.map_or(wall, Timestamp::as_microsecond)
    }

    /// Formats an instant for people, in local time, such as `05-28 14:00`.
    pub fn format_short(&self, instant: Micros) -> String {
        self.format_as(instant, "%m-%d %H:%M")
    }

    /// Formats an instant in local time, with a pattern of `strftime`.
    pub(crate) fn format_as(&self, instant: Micros, pattern: &str) -> String {
        Timestamp::from_microsecond(instant).map_or_else(
            |_| format!("{instant} us"),
            |t| t.to_zoned(self.0.clone()).strftime(pattern).to_string(),
        )
    }

    pub(super) fn offset_of(&self, civil: DateTime) -> AmbiguousOffset {
        self.0.to_ambiguous_timestamp(civil).offset()
    }

    /// The instant of a local time.
    pub(super) fn instant(&self, civil: DateTime) -> Result<Micros, NotAnInstant> {
        match self.offset_of(civil) {
            AmbiguousOffset::Unambiguous { offset } => at_offset(civil, offset),
            AmbiguousOffset::Gap { .. } => Err(NotAnInstant::Skipped),
            AmbiguousOffset::Fold { .. } => Err(NotAnInstant::Ambiguous),
        }
    }

    /// The first instant of a date that a person wrote.
    pub(super) fn start_of(&self, date: Date) -> Result<Micros, NotAnInstant> {
        let start = self.first_instant(date).ok_or(NotAnInstant::Form)?;
        match self.offset_of(date.into()) {
            AmbiguousOffset::Gap { .. } if date_of(self.wall(start).div_euclid(DAY)) != Some(date) => {
                Err(NotAnInstant::Skipped)
            }
            _ => Ok(start),
        }
    }

    /// The first instant at which the local date is this one or a later one. `None` out of range.
    fn first_instant(&self, date: Date) -> Option<Micros> {
        let midnight = DateTime::from(date);
        match self.offset_of(midnight) {
            AmbiguousOffset::Unambiguous { offset: before } | AmbiguousOffset::Fold { before, .. } => {
                at_offset(midnight, before).ok()
            }
            // Clocks are set forward over midnight: the day starts with the change, which is the
            // last one up to the instant that midnight would have been.
            AmbiguousOffset::Gap { before, .. } => {
                let would_be = at_offset(midnight, before).ok()?;
                let after = Timestamp::from_microsecond(would_be.saturating_add(1)).ok()?;
                let change = self.0.preceding(after).next()?;
                Some(change.timestamp().as_microsecond())
            }
        }
    }
}

/// Returns the name of a zone that a reader most probably meant, by the whole name or by its city.
/// `None` for an offset, which is no zone, and for a long text.
fn nearest_zone(name: &str) -> Option<String> {
    if name.contains(['+', ':']) || name.len() > LONGEST_NAME {
        return None;
    }
    let names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
    similar::nearest(name, names.iter().map(String::as_str))
        .map(str::to_owned)
        .or_else(|| {
            let same_city = |other: &&String| other.contains('/') && city(other) == city(name);
            names.iter().find(same_city).cloned()
        })
}

/// The days of many instants in a time zone. Instants of the same day cost one comparison each, others
/// a few look-ups.
#[derive(Debug, Clone)]
pub(crate) struct DayClock {
    /// `None` for UTC, whose days need no table.
    zone: Option<Zone>,
    day: i64,
    range: Range<Micros>,
    /// The first instants of the days that have been asked for.
    starts: HashMap<i64, Micros>,
}

impl DayClock {
    pub(crate) fn new(zone: &Zone) -> Self {
        Self {
            zone: (!zone.is_utc()).then(|| zone.clone()),
            day: 0,
            range: 0..0,
            starts: HashMap::new(),
        }
    }

    /// The day of an instant; see [`Zone::day`].
    #[inline]
    pub(crate) fn day(&mut self, at: Micros) -> i64 {
        if self.zone.is_none() {
            return at.div_euclid(DAY);
        }
        if !self.range.contains(&at) {
            self.find(at);
        }
        self.day
    }

    fn find(&mut self, at: Micros) {
        let Some(zone) = &self.zone else { return };
        let starts = &mut self.starts;
        let mut start_of = |day| *starts.entry(day).or_insert_with(|| zone.day_start(day));
        // Offsets are below a day, so the local day is that of UTC or one beside it.
        let utc = at.div_euclid(DAY);
        for day in utc - 1..=utc + 1 {
            let range = start_of(day)..start_of(day + 1);
            if range.contains(&at) {
                (self.day, self.range) = (day, range);
                return;
            }
        }
        self.day = zone.day(at);
        self.range = start_of(self.day)..start_of(self.day + 1);
    }
}

fn date_of(day: i64) -> Option<Date> {
    let days = Span::new().try_days(day).ok()?;
    Date::constant(1970, 1, 1).checked_add(days).ok()
}

/// Formats a day, the number of days since 1970-01-01, as `2026-05-28`. Days out of range appear as
/// `day <n>`.
pub(crate) fn format_day(day: i64) -> String {
    date_of(day).map_or_else(|| format!("day {day}"), |date| date.to_string())
}
