//! Tests that days, hours and times without an offset are those of the scenario's time zone.

use serde_json::Value;
use std::fs;

use crate::small::Small;
use crate::support::{fails, json, ok, ok_json, text};

/// A small study with edits of its scenario, one pair of texts after another.
fn edited(edits: &[(&str, &str)]) -> Small {
    let small = Small::new();
    for (from, to) in edits {
        small.edit("study.toml", |scenario| {
            assert!(scenario.contains(from), "{from}");
            scenario.replace(from, to)
        });
    }
    small
}

/// The edit that sets a zone.
fn in_zone(name: &str) -> (String, String) {
    (
        "why = \"small\"".to_owned(),
        format!("why = \"small\"\ntime_zone = \"{name}\""),
    )
}

/// The documents of a study without digests of documents, and the bytes of its tables.
fn results(small: &Small) -> Vec<(String, Vec<u8>)> {
    small.run();
    let names = [
        "study.json",
        "analysis.json",
        "schedule.json",
        "state.json",
        "gate_report.json",
        "report.md",
        "layers.parquet",
        "cube/cells.parquet",
    ];
    let read = |name: &str| {
        let bytes = fs::read(small.path(&format!("out/{name}"))).unwrap();
        let bytes = String::from_utf8(bytes).map_or_else(|error| error.into_bytes(), without_digests);
        (name.to_owned(), bytes)
    };
    names.into_iter().map(read).collect()
}

/// A text with `digest` in place of every 64 hexadecimal digits.
fn without_digests(text: String) -> Vec<u8> {
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text
        .split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len();
            if is_digest(&word[..end]) {
                format!("digest{}", &word[end..])
            } else {
                word.to_owned()
            }
        });
    words.collect::<String>().into_bytes()
}

/// The lines of a document without those of sentences, whose times are local.
fn without_sentences((_, bytes): &(String, Vec<u8>)) -> Vec<u8> {
    let is_sentence = |line: &str| {
        let key = line.trim_start().split(':').next().unwrap_or_default();
        let key = key.trim_matches('"').trim_end_matches("_zh");
        ["detail", "reason", "text", "remedy"].contains(&key)
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bytes.clone();
    };
    text.lines()
        .filter(|line| !is_sentence(line))
        .collect::<Vec<_>>()
        .join("\n")
        .into_bytes()
}

#[test]
fn utc_is_the_default() {
    let (from, to) = in_zone("UTC");
    let (plain, named) = (results(&edited(&[])), results(&edited(&[(&from, &to)])));
    for (plain, named) in plain.iter().zip(&named) {
        assert!(plain == named, "{}", plain.0);
        assert!(
            !String::from_utf8_lossy(&plain.1).contains("time_zone"),
            "{}",
            plain.0
        );
    }
}

#[test]
fn local_times_of_a_scenario_are_instants() {
    let (from, to) = in_zone("Asia/Shanghai");
    let freeze =
        |from: &str, until: &str| format!("[[freeze]]\nfrom = {from}\nuntil = \"{until}\"\n[[layer]]");
    let plain = edited(&[(
        "[[layer]]",
        &freeze("2026-05-27T16:00:00Z", "2026-05-30T16:00:00Z"),
    )]);
    // The plan starts at 2026-05-25T00:00:00Z.
    let local = edited(&[
        (&from, &to),
        ("as_of = \"2026-05-28\"", "as_of = 2026-05-28T08:00:00"),
        ("start = \"2026-05-25\"", "start = \"2026-05-25 08:00:00\""),
        ("at = \"2026-05-25\"", "at = \"2026-05-25T08:00:00\""),
        ("[[layer]]", &freeze("2026-05-28", "2026-05-31")),
    ]);
    let (expected, found) = (results(&plain), results(&local));
    for (expected, found) in expected.iter().zip(&found) {
        let is_same = without_sentences(expected) == without_sentences(found);
        // The description of the study and its report name the zone.
        assert_eq!(
            is_same,
            !["study.json", "report.md"].contains(&expected.0.as_str()),
            "{}",
            expected.0
        );
    }
    assert_eq!(json(&local.path("out/study.json"))["time_zone"], "Asia/Shanghai");
    let page = fs::read_to_string(local.path("out/report.html")).unwrap();
    let note = "Days and times without an offset are those of Asia/Shanghai.";
    assert_eq!(page.matches(note).count(), 1);
    assert!(
        page.contains("05-25 08:00"),
        "the start of the stage in local time"
    );
    let chinese = ["report", text(&local.path("out")), "--lang", "zh"].map(str::to_owned);
    ok(&chinese.each_ref().map(String::as_str));
    let page = fs::read_to_string(local.path("out/report.html")).unwrap();
    assert_eq!(
        page.matches("未注明偏移量的日期与时间均为 Asia/Shanghai 当地时间。")
            .count(),
        1
    );
}

#[test]
fn as_of_is_local_in_every_command_with_a_scenario() {
    let (from, to) = in_zone("America/New_York");
    let small = edited(&[(&from, &to)]);
    small.run();
    let (study, out) = (small.path("study.toml"), small.path("night"));
    let (layers, cube) = (small.path("out/layers.parquet"), small.path("night/cube"));
    let analysis = small.path("night/analysis.json");
    let (study, out) = (text(&study), text(&out));
    ok(&["run", study, "--out", out, "--as-of", "2026-05-27"]);
    // 2026-05-27T04:00:00Z.
    assert_eq!(
        json(&small.path("night/study.json"))["as_of"],
        1_779_854_400_000_000_i64
    );

    let again = small.path("again.json");
    for same in [
        "2026-05-27",
        "2026-05-27T00:00:00",
        "2026-05-27T04:00:00Z",
        "1779854400",
    ] {
        ok(&[
            "analyze",
            "--cube",
            text(&cube),
            "--scenario",
            study,
            "--out",
            text(&again),
            "--as-of",
            same,
        ]);
        assert!(
            fs::read(&again).unwrap() == fs::read(&analysis).unwrap(),
            "{same}"
        );
    }
    let replayed = small.path("replayed");
    ok(&[
        "replay",
        "--scenario",
        study,
        "--layers",
        text(&layers),
        "--out",
        text(&replayed),
        "--as-of",
        "2026-05-27",
    ]);
    let cells = |folder: &str| fs::read(small.path(&format!("{folder}/cells.parquet"))).unwrap();
    assert!(cells("replayed") == cells("night/cube"));
    let scheduled = small.path("scheduled");
    ok(&[
        "schedule",
        "--scenario",
        study,
        "--analysis",
        text(&analysis),
        "--out",
        text(&scheduled),
        "--as-of",
        "2026-05-27",
    ]);
    let schedule = |folder: &str| json(&small.path(&format!("{folder}/schedule.json")))["layers"].clone();
    assert_eq!(schedule("scheduled"), schedule("night"));
    ok(&[
        "backtest",
        "--cube",
        text(&cube),
        "--scenario",
        study,
        "--as-of",
        "2026-05-27",
    ]);

    // The plan's operation is in force from 2026-05-25T04:00:00Z on.
    let who = |step: &str| {
        let args = [
            "who",
            "--scenario",
            study,
            "--layers",
            text(&layers),
            "--at",
            step,
            "--json",
        ];
        ok_json(&args)[0]["n_candidate"].clone()
    };
    assert_eq!(who("2026-05-24T23:59:59"), 0);
    assert_eq!(who("2026-05-25T03:59:59Z"), 0);
    assert_ne!(who("2026-05-25"), 0);
    assert_eq!(who("2026-05-25"), who("2026-05-25T00:00:00"));
}

#[test]
fn local_times_that_are_none_or_two_are_refused() {
    let check = |as_of: &str, message: &str, hint: &str| {
        let (from, to) = in_zone("America/New_York");
        let small = edited(&[
            (&from, &to),
            ("as_of = \"2026-05-28\"", &format!("as_of = \"{as_of}\"")),
            ("2026-05-25", "2026-01-01"),
        ]);
        let stderr = small.fails(2);
        assert!(stderr.contains(message) && stderr.contains(hint), "{stderr}");

        let small = edited(&[(&from, &to), ("2026-05-25", "2026-01-01")]);
        let study = small.path("study.toml");
        let stderr = fails(&["run", text(&study), "--out", "none", "--as-of", as_of], 2);
        assert!(stderr.contains("--as-of: expected an instant"), "{stderr}");
        assert!(stderr.contains(message) && stderr.contains(hint), "{stderr}");
    };
    check(
        "2026-03-08T02:30:00",
        "found 2026-03-08T02:30:00 (America/New_York skips this local time)",
        "hint: write the time with its offset: 2026-03-08T02:30:00-05:00 or 2026-03-08T02:30:00-04:00",
    );
    check(
        "2026-11-01T01:30:00",
        "found 2026-11-01T01:30:00 (America/New_York has this local time twice)",
        "hint: write the time with its offset: 2026-11-01T01:30:00-04:00 or 2026-11-01T01:30:00-05:00",
    );
}

#[test]
fn a_misspelt_zone_is_refused() {
    let check = |name: &str, hint: &str| {
        let (from, to) = in_zone(name);
        let stderr = edited(&[(&from, &to)]).fails(2);
        let message =
            format!("time_zone: expected the name of a time zone such as Asia/Shanghai, found \"{name}\"");
        assert!(stderr.contains(&message) && stderr.contains(hint), "{stderr}");
    };
    check("Asia/Shangai", "did you mean `Asia/Shanghai`?");
    check("Kolkata", "did you mean `Asia/Kolkata`?");
    check("+08:00", "a zone has the name of a region and a city");
}

/// A log of these instants, each with a cost of 1 USD, and the budgets' use with this file.
fn budgets(instants: &[&str], budgets: &str, more: &[&str]) -> Value {
    let small = Small::new();
    let rows: String = instants.iter().map(|at| format!("{at},u,r,1\n")).collect();
    small.write(
        "log.csv",
        format!("event_time,user_id,release_id,cost_usd\n{rows}"),
    );
    small.write("budgets.toml", budgets);
    let (log, file) = (small.path("log.csv"), small.path("budgets.toml"));
    let args = [
        "finops",
        "--traffic",
        text(&log),
        "--budget",
        text(&file),
        "--json",
    ];
    ok_json(&[&args[..], more].concat())
}

#[test]
fn budgets_have_local_days() {
    let check = |zone: &str, instants: &[&str], expected: &[&str]| {
        let file = format!("{zone}[[budget]]\nusd = 1.5\nper = \"day\"\n");
        let found = budgets(instants, &file, &[]);
        let breaches = found["budgets"][0]["breaches"].as_array().unwrap();
        let days: Vec<&str> = breaches
            .iter()
            .map(|breach| breach["period"].as_str().unwrap())
            .collect();
        assert_eq!(days, expected, "{zone} {instants:?}");
    };
    let evening = [
        "2026-05-27T15:59:59Z",
        "2026-05-27T16:00:00Z",
        "2026-05-28T15:59:59Z",
    ];
    check("", &evening, &["2026-05-27"]);
    check("time_zone = \"UTC\"\n", &evening, &["2026-05-27"]);
    check("time_zone = \"Asia/Shanghai\"\n", &evening, &["2026-05-28"]);
    let new_york = "time_zone = \"America/New_York\"\n";
    // A day of 23 hours, and one of 25.
    check(
        new_york,
        &["2026-03-08T05:00:00Z", "2026-03-09T03:59:59Z"],
        &["2026-03-08"],
    );
    check(new_york, &["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"], &[]);
    check(
        new_york,
        &["2026-11-01T04:00:00Z", "2026-11-02T04:59:59Z"],
        &["2026-11-01"],
    );
    check(new_york, &["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"], &[]);
    let kolkata = "time_zone = \"Asia/Kolkata\"\n";
    check(
        kolkata,
        &["2026-05-27T18:30:00Z", "2026-05-28T18:29:59Z"],
        &["2026-05-28"],
    );
    check(kolkata, &["2026-05-27T18:29:59Z", "2026-05-27T18:30:00Z"], &[]);
    let apia = "time_zone = \"Pacific/Apia\"\n";
    check(apia, &["2011-12-30T09:59:59Z", "2011-12-30T10:00:00Z"], &[]);
    check(
        apia,
        &["2011-12-30T10:00:00Z", "2011-12-31T09:59:59Z"],
        &["2011-12-31"],
    );

    // The period of the command line is local to the budgets' zone, too.
    let file = "time_zone = \"Asia/Shanghai\"\n[[budget]]\nusd = 1.5\nper = \"month\"\n";
    let found = budgets(&evening, file, &["--from", "2026-05-28", "--until", "2026-05-29"]);
    assert_eq!(
        (&found["n_rows"], &found["n_outside"]),
        (&Value::from(3), &Value::from(1))
    );
    assert_eq!(found["budgets"][0]["time_zone"], "Asia/Shanghai");
    let month_end = ["2026-05-31T16:00:00Z", "2026-06-30T15:59:59Z"];
    assert_eq!(
        budgets(&month_end, file, &[])["budgets"][0]["breaches"][0]["period"],
        "2026-06"
    );
    let plain = budgets(&evening, "[[budget]]\nusd = 1\nper = \"total\"\n", &[]);
    assert!(plain["budgets"][0].get("time_zone").is_none());
}

#[test]
fn prices_have_local_dates() {
    let small = Small::new();
    small.write(
        "log.csv",
        "event_time,user_id,release_id,model_ref,tokens_in,tokens_out\n\
         2026-06-01T06:59:59Z,u,r,m,1000000,0\n2026-06-01T07:00:00Z,u,r,m,1000000,0\n",
    );
    let cost = |zone: &str| {
        small.write(
            "prices.toml",
            format!(
                "{zone}[[price]]\nmodel = \"m\"\ninput = 1\noutput = 1\n\
                 [[price]]\nmodel = \"m\"\ninput = 10\noutput = 1\nfrom = \"2026-06-01\"\n"
            ),
        );
        let (log, prices) = (small.path("log.csv"), small.path("prices.toml"));
        let args = [
            "finops",
            "--traffic",
            text(&log),
            "--prices",
            text(&prices),
            "--json",
        ];
        ok_json(&args)["total"]["cost_nano_usd"].clone()
    };
    assert_eq!(cost(""), 20_000_000_000_i64);
    assert_eq!(cost("time_zone = \"America/Los_Angeles\"\n"), 11_000_000_000_i64);

    small.write(
        "prices.toml",
        "time_zone = \"America/Los_Angles\"\n[[price]]\nmodel = \"m\"\ninput = 1\noutput = 1\n",
    );
    let (log, prices) = (small.path("log.csv"), small.path("prices.toml"));
    let stderr = fails(&["finops", "--traffic", text(&log), "--prices", text(&prices)], 3);
    assert!(
        stderr.contains("prices.toml: time_zone: expected the name"),
        "{stderr}"
    );
    assert!(stderr.contains("did you mean `America/Los_Angeles`?"), "{stderr}");
}

#[test]
fn features_of_events_have_local_days() {
    let days = |zone: Option<&str>| {
        let small = Small::new();
        // Two events on one day in New York, on two days in UTC.
        small.write(
            "events.csv",
            "user_id,event_time,value\na,2026-05-20T23:00:00Z,1\na,2026-05-21T03:00:00Z,1\n\
             b,2026-05-20T03:00:00Z,1\nb,2026-05-20T05:00:00Z,1\n",
        );
        if let Some(zone) = zone {
            let (from, to) = in_zone(zone);
            small.edit("study.toml", |scenario| scenario.replace(&from, &to));
        }
        let (events, study) = (small.path("events.csv"), small.path("study.toml"));
        let (out, table) = (small.path("layers.parquet"), small.path("rfm.csv"));
        ok(&[
            "layer",
            "--events",
            text(&events),
            "--scenario",
            text(&study),
            "--out",
            text(&out),
            "--absent",
            "accept_score,is_allow_gray",
            "--rfm-table",
            text(&table),
        ]);
        let table = fs::read_to_string(table).unwrap();
        let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
        let (id, frequency, since) = (column("user_id"), column("frequency"), column("days_since_last"));
        lines
            .map(|line| format!("{} {} {}", line[id], line[frequency], line[since]))
            .collect::<Vec<_>>()
    };
    assert_eq!(days(None), days(Some("UTC")));
    assert_eq!(days(None), ["a 1 4", "b 0 5"]);
    assert_eq!(days(Some("America/New_York")), ["a 0 5", "b 1 5"]);
}

#[test]
fn generated_traffic_has_local_days() {
    let generated = |zone: &str| {
        let scenario = fs::read_to_string(crate::support::root().join("scenarios/ecommerce.toml")).unwrap();
        let small = Small::new();
        let moved = scenario
            .replacen("seed =", &format!("time_zone = \"{zone}\"\nseed ="), 1)
            .replace("2026-05-25T00:00:00Z", "2026-03-07T05:00:00Z")
            .replace("2026-05-26T00:00:00Z", "2026-03-07T06:00:00Z")
            .replace("2026-05-28T00:00:00Z", "2026-03-08T06:00:00Z")
            .replace("2026-05-29T00:00:00Z", "2026-03-10T04:00:00Z");
        small.write("generated.toml", moved);
        let (study, out) = (small.path("generated.toml"), small.path("data"));
        ok(&[
            "generate",
            "ecommerce",
            "--scenario",
            text(&study),
            "--users",
            "300",
            "--rows",
            "2000",
            "--out",
            text(&out),
        ]);
        let mut days: Vec<String> = fs::read_dir(out.join("traffic"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        days.sort();
        (days, json(&out.join("data.json"))["recipe"].clone())
    };
    let (local, of_local) = generated("America/New_York");
    assert_eq!(local, ["dt=2026-03-07", "dt=2026-03-08", "dt=2026-03-09"]);
    let (utc, of_utc) = generated("UTC");
    assert_eq!(
        utc,
        ["dt=2026-03-07", "dt=2026-03-08", "dt=2026-03-09", "dt=2026-03-10"]
    );
    assert_ne!(of_local, of_utc, "data of another zone are not taken over");
}
