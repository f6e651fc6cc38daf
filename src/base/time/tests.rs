//! Tests of instants, days and time zones.

use crate::base::time::*;

#[test]
fn reads_every_form_of_an_instant() {
    let check =
        |text: &str, expected: &str| assert_eq!(parse(text).map(format), Ok(expected.to_owned()), "{text}");
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

fn zone(name: &str) -> Zone {
    Zone::by_name(name).unwrap()
}

/// The number of days since 1970-01-01 of a date.
fn day(date: &str) -> i64 {
    Zone::UTC.day(parse(date).unwrap())
}

#[test]
fn days_last_from_midnight_to_midnight() {
    let check = |name: &str, date: &str, start: &str, hours: i64| {
        let (zone, day) = (zone(name), day(date));
        let (found, next) = (zone.day_start(day), zone.day_start(day + 1));
        assert_eq!(format(found), start, "{name} {date}");
        assert_eq!(next - found, hours * HOUR, "{name} {date}");
        if hours > 0 {
            assert_eq!([zone.day(found), zone.day(next - 1)], [day, day], "{name} {date}");
            assert_eq!(zone.day(found - 1), zone.day(found - HOUR), "{name} {date}");
            assert!(zone.day(found - 1) < day, "{name} {date}");
        }
    };
    check("UTC", "2026-05-28", "2026-05-28T00:00:00Z", 24);
    check("Asia/Shanghai", "2026-05-28", "2026-05-27T16:00:00Z", 24);
    check("Asia/Kolkata", "2026-05-28", "2026-05-27T18:30:00Z", 24);
    check("America/New_York", "2026-03-07", "2026-03-07T05:00:00Z", 24);
    check("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z", 23);
    check("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z", 25);
    check("America/New_York", "2026-11-02", "2026-11-02T05:00:00Z", 24);
    // Beyond the years of the table, by its rule.
    check("America/New_York", "2999-03-10", "2999-03-10T05:00:00Z", 23);
    // Clocks skip midnight: the day starts at 01:00.
    check("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z", 23);
    // Clocks go back from 00:01 to 23:01: the day has begun and goes on.
    check("America/St_Johns", "2010-11-07", "2010-11-07T02:30:00Z", 25);
    // The zone skips a whole day.
    check("Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", 24);
    check("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0);
    check("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z", 24);
}

#[test]
fn every_instant_is_in_its_day() {
    for (name, start) in [
        ("UTC", "2026-01-01"),
        ("America/New_York", "2026-01-01"),
        ("America/St_Johns", "2010-01-01"),
        ("Australia/Lord_Howe", "2026-01-01"),
        ("Pacific/Apia", "2011-06-01"),
    ] {
        let (zone, start) = (zone(name), parse(start).unwrap());
        let mut clock = DayClock::new(&zone);
        for at in (0..2 * 366 * 24).map(|half_hour| start + half_hour * HOUR / 2) {
            let day = zone.day(at);
            assert!(
                (zone.day_start(day)..zone.day_start(day + 1)).contains(&at),
                "{name} {}",
                format(at)
            );
            assert_eq!(clock.day(at), day, "{name} {}", format(at));
        }
        // Instants in any order: each is in another day than the one before.
        let mut clock = DayClock::new(&zone);
        for at in (0..2 * 366 * 24).map(|step| start + step * 7_919 % (2 * 366 * 48) * HOUR / 2) {
            assert_eq!(clock.day(at), zone.day(at), "{name} {}", format(at));
        }
    }
}

#[test]
fn hours_of_the_week_are_local() {
    let check = |name: &str, text: &str, expected: usize| {
        let found = zone(name).hour_of_week(parse(text).unwrap());
        assert_eq!(found, expected, "{name} {text}");
    };
    // 2026-05-25 is a Monday.
    check("UTC", "2026-05-25T00:00:00Z", 0);
    check("UTC", "2026-05-26T01:00:00Z", 25);
    check("UTC", "2026-05-24T23:00:00Z", 167);
    check("UTC", "2026-06-01T00:00:00Z", 0);
    check("Asia/Shanghai", "2026-05-24T16:00:00Z", 0);
    check("Asia/Kolkata", "2026-05-24T18:30:00Z", 0);
    check("Asia/Kolkata", "2026-05-24T19:29:59Z", 0);
    check("America/New_York", "2026-03-09T03:59:59Z", 167);
    check("America/New_York", "2026-03-09T04:00:00Z", 0);
    check("America/New_York", "2026-11-02T04:59:59Z", 167);
    check("America/New_York", "2026-11-02T05:00:00Z", 0);
}

#[test]
fn a_text_without_an_offset_is_local() {
    let check = |name: &str, text: &str, expected: &str| {
        let found = WrittenInstant::parse(text).unwrap().in_zone(&zone(name));
        assert_eq!(found.map(format), Ok(expected.to_owned()), "{name} {text}");
    };
    check("Asia/Shanghai", "2026-05-28", "2026-05-27T16:00:00Z");
    check("Asia/Shanghai", "20260528", "2026-05-27T16:00:00Z");
    check("Asia/Shanghai", "2026-05-28 06:30:00", "2026-05-27T22:30:00Z");
    check("Asia/Shanghai", "2026-05-28T06:30:00Z", "2026-05-28T06:30:00Z");
    check("Asia/Shanghai", "1779926400", "2026-05-28T00:00:00Z");
    check(
        "Asia/Shanghai",
        "2026-05-28[Asia/Kolkata]",
        "2026-05-27T18:30:00Z",
    );
    check("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z");
    check("America/New_York", "2026-03-09", "2026-03-09T04:00:00Z");
    check("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z");
    check(
        "America/New_York",
        "2026-11-01T01:30:00-05:00",
        "2026-11-01T06:30:00Z",
    );
    check("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z");
    check("UTC", "2026-05-28", "2026-05-28T00:00:00Z");

    let refused = |name: &str, text: &str, message: &str, hint: &str| {
        let found = WrittenInstant::parse(text).unwrap().resolve("as_of", &zone(name));
        let problem = found.unwrap_err();
        assert_eq!(problem.location, "as_of");
        assert!(problem.message.ends_with(message), "{problem}");
        assert_eq!(problem.hint.as_deref(), Some(hint), "{text}");
    };
    refused(
        "America/New_York",
        "2026-03-08T02:30",
        "found 2026-03-08T02:30:00 (America/New_York skips this local time)",
        "write the time with its offset: 2026-03-08T02:30:00-05:00 or 2026-03-08T02:30:00-04:00",
    );
    refused(
        "America/New_York",
        "2026-11-01 01:30:00",
        "found 2026-11-01T01:30:00 (America/New_York has this local time twice)",
        "write the time with its offset: 2026-11-01T01:30:00-04:00 or 2026-11-01T01:30:00-05:00",
    );
    refused(
        "Africa/Cairo",
        "2024-04-26T00:00:00",
        "found 2024-04-26T00:00:00 (Africa/Cairo skips this local time)",
        "write the time with its offset: 2024-04-26T00:00:00+02:00 or 2024-04-26T00:00:00+03:00",
    );
    refused(
        "Pacific/Apia",
        "2011-12-30",
        "found 2011-12-30 (Pacific/Apia skips this local time)",
        "write the time with its offset: 2011-12-30T00:00:00-10:00 or 2011-12-30T00:00:00+14:00",
    );
}

#[test]
fn a_zone_is_a_name_of_the_database() {
    let names = |name: &str, expected: &str| assert_eq!(zone(name).name(), expected);
    names("Asia/Shanghai", "Asia/Shanghai");
    names("asia/shanghai", "Asia/Shanghai");
    names("utc", "UTC");
    names("Etc/GMT-8", "Etc/GMT-8");
    let read = |name: Option<&str>| {
        let mut problems = Vec::new();
        let zone = Zone::read("time_zone", name, &mut problems);
        (zone, problems.pop())
    };
    assert_eq!(read(None), (Zone::UTC, None));
    assert_eq!(read(Some("Asia/Kolkata")), (zone("Asia/Kolkata"), None));
    assert!(zone("UTC").is_utc() && !zone("Europe/London").is_utc());

    let refused = |name: &str, hint: &str| {
        let (_, problem) = read(Some(name));
        let problem = problem.unwrap();
        assert_eq!(
            problem.message,
            format!("expected the name of a time zone such as Asia/Shanghai, found \"{name}\"")
        );
        assert_eq!(problem.hint.as_deref(), Some(hint), "{name}");
    };
    refused("Asia/Shangai", "did you mean `Asia/Shanghai`?");
    refused("America/NewYork", "did you mean `America/New_York`?");
    refused("Shanghai", "did you mean `Asia/Shanghai`?");
    let general = "a zone has the name of a region and a city; `UTC` is a zone, too";
    refused("+08:00", general);
    refused("UTC+8", general);
    refused("Beijing", general);
    refused("Etc/Unknown", general);
    refused("", general);
    refused(&"Asia/Shangai".repeat(5), general);
    let long = read(Some(&"x".repeat(1_000_000))).1.unwrap();
    assert!(long.message.len() < 200, "{long}");
}

#[test]
fn readings_of_clocks_are_instants() {
    let check = |name: &str, wall: &str, expected: &str| {
        let zone = zone(name);
        assert_eq!(
            format(zone.at_wall(parse(wall).unwrap())),
            expected,
            "{name} {wall}"
        );
    };
    check("UTC", "2026-05-28T06:00:00", "2026-05-28T06:00:00Z");
    check("Asia/Shanghai", "2026-05-28T06:00:00", "2026-05-27T22:00:00Z");
    check("America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:00Z");
    check("America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00Z");
    let at = parse("2026-05-28T02:00:00Z").unwrap();
    assert_eq!(zone("America/New_York").format_short(at), "05-27 22:00");
    assert_eq!(Zone::UTC.format_short(at), "05-28 02:00");
    assert_eq!(format_day(Zone::UTC.day(at)), "2026-05-28");
    assert_eq!(format_day(i64::MAX), format!("day {}", i64::MAX));
}

#[test]
fn no_instant_is_too_far_for_a_zone() {
    let (year_1, year_9999) = (-62_135_596_800 * SECOND, LAST - 7 * DAY);
    for name in ["UTC", "America/New_York", "Pacific/Kiritimati"] {
        let zone = zone(name);
        let mut clock = DayClock::new(&zone);
        // Beyond the calendar, days are those of UTC.
        for at in [Micros::MIN, 6 * year_1, year_1, 0, year_9999, LAST, Micros::MAX] {
            let day = clock.day(at);
            assert!((day - at.div_euclid(DAY)).abs() <= 1, "{name} {at}");
            assert!((zone.day(at) - day).abs() <= 1, "{name} {at}");
            assert!(zone.hour_of_week(at) < 168);
            assert!(
                zone.at_wall(zone.wall(at)).abs_diff(at) <= DAY as u64,
                "{name} {at}"
            );
            zone.format_short(at);
        }
        for at in [year_1, 0, year_9999] {
            assert_eq!(clock.day(at), zone.day(at), "{name} {at}");
            assert_eq!(zone.at_wall(zone.wall(at)), at, "{name} {at}");
        }
    }
}
