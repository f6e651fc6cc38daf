//! Evidence that would be green although it is wrong or missing: values that one arm lacks, shares above
//! 1, logs that were packed after they had been counted, and a night of the future.

use std::fs;

use serde_json::Value;

use crate::{
    small::Small,
    support::{fails, json, ok, text},
};

/// The small study with more columns. `values` returns those of a row of the candidate or the baseline.
fn with_columns(columns: &str, values: impl Fn(bool, usize) -> String) -> Small {
    let small = Small::new();
    small.edit("traffic.csv", |traffic| {
        let mut lines = traffic.lines().enumerate().map(|(row, line)| match row {
            0 => format!("{line},{columns}\n"),
            _ => format!("{line},{}\n", values(line.contains(",new,"), row)),
        });
        lines.by_ref().collect()
    });
    small
}

/// A metric of the only layer's current stage.
fn metric(small: &Small, id: &str) -> Value {
    let analysis = json(&small.path("out/analysis.json"));
    let stages = analysis["layers"][0]["stages"].as_array().unwrap();
    let metrics = stages.last().unwrap()["metrics"].as_array().unwrap();
    metrics.iter().find(|m| m["metric"] == id).unwrap().clone()
}

/// An unknown cost is no cost of 0, and a task that was not judged is no failed one.
#[test]
fn costs_that_one_release_lacks_give_no_cost_of_a_task() {
    for (columns, is_judged) in [
        ("task_completed,cost_usd", true),
        ("cost_usd,task_completed", false),
    ] {
        let small = with_columns(columns, |is_candidate, row| {
            let is_unknown = is_candidate && row % 3 > 0;
            match (is_unknown, is_judged) {
                (true, true) => "true,".to_owned(),
                (true, false) => "0.03,".to_owned(),
                (false, true) => "true,0.03".to_owned(),
                (false, false) => "0.03,true".to_owned(),
            }
        });
        small.run();
        let of_task = metric(&small, "cost_per_completed_task_usd");
        assert_eq!(of_task["effect"]["reason"], "incomplete", "{of_task}");
        assert_eq!(of_task["candidate"]["estimate"], Value::Null);
        assert_eq!(of_task["baseline"]["estimate"], 0.03);
        assert_eq!(metric(&small, "cost_per_turn_usd")["candidate"]["estimate"], 0.03);
    }
    // Rows without both values say nothing of a task.
    let small = with_columns("task_completed,cost_usd", |is_candidate, row| {
        let is_unknown = is_candidate && row % 3 > 0;
        if is_unknown { "," } else { "true,0.03" }.to_owned()
    });
    small.run();
    let of_task = metric(&small, "cost_per_completed_task_usd");
    assert_eq!(of_task["candidate"]["estimate"], 0.03);
}

#[test]
fn more_successes_than_calls_are_no_rate() {
    let small = with_columns("tool_calls,tool_successes", |is_candidate, _| {
        if is_candidate { "1,5" } else { "2,1" }.to_owned()
    });
    let shown = small.run();
    let rate = metric(&small, "tool_success_rate");
    assert_eq!(rate["effect"]["reason"], "above_one", "{rate}");
    assert_eq!(rate["candidate"]["estimate"], Value::Null);
    assert_eq!(rate["baseline"]["estimate"], 0.5);
    assert!(!shown.contains("500%"), "{shown}");
    let page = fs::read_to_string(small.path("out/report.html")).unwrap();
    assert!(!page.contains("500%"));
}

/// A counted log that was packed or converted is not counted twice.
#[test]
fn a_packed_log_is_the_log_that_was_counted() {
    let small = Small::new();
    small.run();
    let (scenario, layers) = (small.path("study.toml"), small.path("out/layers.parquet"));
    fs::create_dir(small.path("log")).unwrap();
    fs::rename(small.path("traffic.csv"), small.path("log/day.csv")).unwrap();
    let (log, cube, next) = (small.path("log"), small.path("cube"), small.path("next"));
    let mut args = vec!["replay", "--scenario", text(&scenario), "--layers", text(&layers)];
    args.extend(["--traffic", text(&log), "--out"]);
    ok(&[args.as_slice(), &[text(&cube)]].concat());
    let rows = fs::read(small.path("log/day.csv")).unwrap();
    fs::write(
        small.path("log/day.csv.zst"),
        zstd::bulk::compress(&rows, 1).unwrap(),
    )
    .unwrap();
    fs::remove_file(small.path("log/day.csv")).unwrap();
    let since = [args.as_slice(), &[text(&next), "--since", text(&cube)]].concat();
    let error = fails(&since, 3);
    assert!(
        error.contains("expected day.csv.zst as the earlier cube counted it")
            && error.contains("was packed or converted"),
        "{error}"
    );
    // Another log beside it is new.
    fs::write(small.path("log/day.csv"), &rows).unwrap();
    fs::remove_file(small.path("log/day.csv.zst")).unwrap();
    let header = String::from_utf8(rows)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    fs::write(
        small.path("log/day2.csv"),
        format!("{header}\n2026-05-27T00:00:00Z,u1,old,true,5\n"),
    )
    .unwrap();
    ok(&since);
    assert_eq!(json(&next.join("cube.json"))["counts"]["n_rows"], 401);
}

/// Users of rows while a ratio takes effect are not known. They may be beyond the cap.
#[test]
fn rows_while_a_ratio_takes_effect_bound_the_exposure() {
    let small = Small::new();
    small.edit("study.toml", |text| {
        text + "[[operation]]\nat = \"2026-05-26T06:20:00Z\"\nlayer = \"all\"\nratio = 0.0\n"
    });
    let outcome = |cap: &str| {
        let scenario = fs::read_to_string(small.path("study.toml")).unwrap();
        let out = small.path("capped");
        small.write(
            "capped.toml",
            format!("{scenario}[policy]\nexposure_cap = {cap}\n"),
        );
        ok(&["run", text(&small.path("capped.toml")), "--out", text(&out)]);
        let gate = json(&out.join("gate_report.json"));
        let checks = gate["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == "exposure_cap");
        check.unwrap().clone()
    };
    // About half of the 200 users have met the candidate.
    assert_eq!(outcome("0.6")["outcome"], "pass");
    small.edit("traffic.csv", |traffic| {
        (0..60).fold(traffic, |traffic, user| {
            traffic + &format!("2026-05-26T06:30:00Z,u{user},new,true,5\n")
        })
    });
    let check = outcome("0.6");
    assert_eq!(check["outcome"], "inconclusive", "{check}");
    assert!(
        check["detail"].as_str().unwrap().contains("Up to 60 other users"),
        "{check}"
    );
    let analysis = json(&small.path("capped/analysis.json"));
    assert_eq!(analysis["data"]["rows"]["n_settling_candidate"], 60);
    assert_eq!(outcome("0.4")["outcome"], "fail");
    assert_eq!(outcome("0.95")["outcome"], "pass");
}

/// A night as of tomorrow would count hours of a dwell that have not passed.
#[test]
fn a_night_of_the_future_is_refused() {
    let small = Small::new();
    let (scenario, ramp) = (small.path("study.toml"), small.path("ramp"));
    let night = |as_of: &'static str| {
        let now = ["--as-of", as_of, "--now", "2026-05-28T00:07:00Z"];
        [&["night", text(&scenario), "--dir", text(&ramp)], now.as_slice()].concat()
    };
    let error = fails(&night("2026-05-29"), 2);
    assert!(
        error.contains("expected an as_of up to now, 2026-05-28T00:07:00Z, found 2026-05-29T00:00:00Z")
            && error.contains("--now"),
        "{error}"
    );
    assert!(!ramp.join("state.json").exists());
}

/// A column of nulls has no type, and is shown as empty.
#[test]
fn a_query_of_nulls_has_a_result() {
    assert!(
        ok(&["query", "SELECT NULL AS nothing, 1 AS one", "--format", "csv"]).contains("nothing,one\n,1")
    );
    let rows = ok(&["query", "SELECT NULL AS nothing", "--format", "json"]);
    assert!(rows.contains("null"), "{rows}");
}
