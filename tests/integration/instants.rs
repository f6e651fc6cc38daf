//! Tests that each form of an instant means the same in scenarios, in logs and on the command line.

use std::fs;

use crate::small::Small;
use crate::support::{fails, ok, text};

/// The cells that a small study counts, after an edit of its files.
fn cells(edit: impl Fn(&Small)) -> Vec<u8> {
    let small = Small::new();
    edit(&small);
    small.run();
    fs::read(small.path("out/cube/cells.parquet")).unwrap()
}

/// Replaces the two instants of the log by these texts.
fn with_times(small: &Small, first: &str, second: &str) {
    small.edit("traffic.csv", |text| {
        text.replace("2026-05-25T01:00:00Z", first)
            .replace("2026-05-26T06:00:00Z", second)
    });
}

#[test]
fn a_log_and_its_scenario_may_write_an_instant_in_any_form() {
    let expected = cells(|_| {});
    let check = |first: &str, second: &str| {
        let found = cells(|small| with_times(small, first, second));
        assert!(found == expected, "{first} {second}");
    };
    check("1779670800", "1779775200.0");
    check("2026-05-25 01:00:00", "2026-05-26T14:00:00+08:00");
    check(
        "2026-05-24T21:00:00[America/New_York]",
        "2026-05-26T08:00:00+02:00[Europe/Berlin]",
    );

    let ndjson = cells(|small| {
        with_times(small, "1779670800", "2026-05-26T14:00:00[Asia/Shanghai]");
        let log = fs::read_to_string(small.path("traffic.csv")).unwrap();
        let mut lines = String::new();
        for line in log.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let at = match cells[0].parse::<u64>() {
                Ok(seconds) => seconds.to_string(),
                Err(_) => format!("\"{}\"", cells[0]),
            };
            lines.push_str(&format!(
                "{{\"event_time\": {at}, \"user_id\": \"{}\", \"release_id\": \"{}\", \"success\": true, \
                 \"latency_ms\": {}}}\n",
                cells[1], cells[2], cells[4]
            ));
        }
        small.write("traffic.ndjson", lines);
        small.edit("study.toml", |text| text.replace("traffic.csv", "traffic.ndjson"));
    });
    assert!(ndjson == expected, "ndjson");

    let scenario = cells(|small| {
        small.edit("study.toml", |text| {
            text.replace("as_of = \"2026-05-28\"", "as_of = 1779926400")
                .replace("start = \"2026-05-25\"", "start = 2026-05-25")
                .replace(
                    "at = \"2026-05-25\"",
                    "at = \"2026-05-25T08:00:00[Asia/Shanghai]\"",
                )
        });
    });
    assert!(scenario == expected, "scenario");
}

#[test]
fn an_instant_that_would_be_a_guess_is_refused() {
    let check = |at: &str, why: &str| {
        let small = Small::new();
        with_times(&small, at, at);
        let stderr = small.fails(3);
        assert!(
            stderr.contains("column `event_time`, row 1: expected an instant"),
            "{stderr}"
        );
        assert!(stderr.contains(why), "{at}: {stderr}");

        let small = Small::new();
        small.edit("study.toml", |text| {
            text.replace("as_of = \"2026-05-28\"", &format!("as_of = \"{at}\""))
        });
        let stderr = small.fails(2);
        assert!(stderr.contains("as_of: expected an instant such as"), "{stderr}");
        assert!(stderr.contains(why), "{at}: {stderr}");

        let study = text(&small.path("study.toml")).to_owned();
        let stderr = fails(&["run", &study, "--out", "none", "--as-of", at], 2);
        assert!(stderr.contains(why), "{at}: {stderr}");
    };
    check("1779926400000", "divide milliseconds by 1000");
    check("2026-03-02T12:00:00[Nowhere/City]", "the time zone is not known");
    check("2026-03-08T02:30:00[America/New_York]", "skips this local time");
    check(
        "2026-11-01T01:30:00[America/New_York]",
        "has this local time twice",
    );
    check("2026-03-02T12:00:00+00:00[America/New_York]", "another offset");
    check("20261332", "eight digits are a date");
}

#[test]
fn the_command_line_takes_epoch_seconds() {
    let small = Small::new();
    let (users, study) = (small.path("users.csv"), small.path("study.toml"));
    let layer = |as_of: &str| {
        let out = small.path("layers.parquet");
        let args = [
            "layer",
            "--users",
            text(&users),
            "--config",
            text(&study),
            "--out",
            text(&out),
        ];
        ok(&[&args[..], &["--as-of", as_of]].concat());
        fs::read(out).unwrap()
    };
    let expected = layer("2026-05-28");
    for same in [
        "1779926400",
        "1779926400.0",
        "20260528",
        "2026-05-27T20:00:00[America/New_York]",
    ] {
        assert!(layer(same) == expected, "{same}");
    }
}
