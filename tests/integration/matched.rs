//! Nothing is green without evidence: logs that match no user or release, logs without the candidate,
//! and what the program says about them.

use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

use crate::support::{ok, sluice, text};

const SCENARIO: &str = r#"
as_of = "2026-03-08T00:00:00Z"
[plan]
id = "p"
start = "2026-03-01T00:00:00Z"
baseline = "v1"
candidate = "v2"
profile = "external"
[input]
users = { path = "users.csv" }
traffic = [{ path = "log*.csv" }]
[layering]
consent = "CONSENT"
[[layer]]
id = "all"
initial_ratio = 0.5
ladder = [0.5, 1.0]
min_users = 100
[[operation]]
at = "2026-03-01T00:00:00Z"
layer = "all"
ratio = RATIO
[[guardrail]]
metric = "task_completion_rate"
margin = 0.2
"#;

/// A study of 400 users with one row each.
struct Case {
    folder: TempDir,
    ratio: f64,
    consent: &'static str,
    columns: &'static str,
}

/// The result of a run.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
    gate: Value,
    schedule: Value,
    out: std::path::PathBuf,
}

impl Case {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ratio: 0.5,
            consent: "opt_out",
            columns: "success,task_completed,bad,complaint,latency_ms,tool_calls,tool_successes",
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the users table, with ids in this form.
    fn users(&self, id: impl Fn(usize) -> String) {
        let rows: String = (0..400).map(|user| format!("{},5\n", id(user))).collect();
        fs::write(
            self.path().join("users.csv"),
            format!("user_id,use_count\n{rows}"),
        )
        .unwrap();
    }

    /// Writes a log of rows with ids and releases in this form.
    fn log(&self, name: &str, users: std::ops::Range<usize>, row: impl Fn(usize) -> (String, String)) {
        let values: Vec<&str> = self
            .columns
            .split(',')
            .map(|column| if column == "latency_ms" { "300" } else { "1" })
            .collect();
        let rows: String = users
            .map(|user| {
                let (id, release) = row(user);
                format!(
                    "2026-03-0{}T10:00:00Z,{id},{release},{}\n",
                    2 + user % 5,
                    values.join(",")
                )
            })
            .collect();
        let head = format!("event_time,user_id,release_id,{}\n", self.columns);
        fs::write(self.path().join(name), head + &rows).unwrap();
    }

    fn scenario(&self) -> std::path::PathBuf {
        let scenario = SCENARIO
            .replace("RATIO", &self.ratio.to_string())
            .replace("CONSENT", self.consent);
        let path = self.path().join("s.toml");
        fs::write(&path, scenario).unwrap();
        path
    }

    fn run(&self, more: &[&str]) -> Ran {
        let out = self.path().join("out");
        let scenario = self.scenario();
        let output = sluice(&[&["run", text(&scenario), "--out", text(&out), "--gate"], more].concat());
        let read = |name: &str| -> Value {
            let bytes = fs::read(out.join(name))
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
            serde_json::from_slice(&bytes).unwrap()
        };
        Ran {
            code: output.status.code().unwrap(),
            gate: read("gate_report.json"),
            schedule: read("schedule.json"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            out,
        }
    }
}

impl Ran {
    fn layer(&self, key: &str) -> &Value {
        &self.schedule["layers"][0][key]
    }

    fn outcome(&self, check: &str) -> &str {
        let checks = self.gate["checks"].as_array().unwrap();
        let check = checks
            .iter()
            .find(|one| one["check"] == check && one["layer"] == "");
        check.map_or("", |check| check["outcome"].as_str().unwrap())
    }
}

fn arm(user: usize) -> String {
    if user.is_multiple_of(2) { "v1" } else { "v2" }.into()
}

#[test]
fn ids_that_match_no_user_make_every_layer_invalid() {
    let check = |table: fn(usize) -> String, log: fn(usize) -> (String, String), kind: &str, cause: &str| {
        let case = Case::new();
        case.users(table);
        case.log("log.csv", 0..400, log);
        let ran = case.run(&[]);
        assert_eq!(ran.code, 10, "{}", ran.stdout);
        assert_eq!(ran.layer("verdict"), "invalid");
        assert_eq!(ran.layer("first_blocking"), "coverage");
        assert_eq!(ran.outcome("coverage"), "fail");
        assert_eq!(ran.layer("evidence")["matched_share"], 0.0);
        let first = ran.stdout.lines().next().unwrap();
        assert!(
            first.starts_with("NO VALID VERDICT: 400 of 400 rows (100%)"),
            "{first}"
        );
        assert!(ran.stderr.contains(kind), "{}", ran.stderr);
        assert!(ran.stderr.contains("log: \""), "{}", ran.stderr);
        let cause = format!("Likely cause: {cause}.");
        assert!(ran.stderr.contains(&cause), "{cause} not in {}", ran.stderr);
        assert!(ran.layer("reason").as_str().unwrap().contains(&cause));
        // Ids of users are in no document that leaves the folder.
        for name in ["report.md", "report.html", "schedule.json", "gate_report.json"] {
            let text = fs::read_to_string(ran.out.join(name)).unwrap();
            assert!(!text.contains(&log(7).0) || kind.contains("release"), "{name}");
        }
    };
    let plain = |user: usize| format!("user-{user:05}");
    let digits = |user: usize| (10_000 + user).to_string();
    let user = "name a user who is not in the users table";
    let release = "name a release that is neither v1 nor v2";
    check(
        digits,
        |n| (format!("{}.0", 10_000 + n), arm(n)),
        user,
        "`.0` behind whole numbers",
    );
    check(
        |n| format!("{}.0", 10_000 + n),
        |n| ((10_000 + n).to_string(), arm(n)),
        user,
        "`.0` behind whole numbers",
    );
    check(
        digits,
        |n| (format!("000{}", 10_000 + n), arm(n)),
        user,
        "zeros before numbers",
    );
    check(
        |n| format!("000{}", 10_000 + n),
        |n| ((10_000 + n).to_string(), arm(n)),
        user,
        "zeros before numbers",
    );
    check(
        plain,
        |n| (format!("USER-{n:05}"), arm(n)),
        user,
        "upper and lower case",
    );
    check(
        plain,
        |n| (format!("user-{n:05} "), arm(n)),
        user,
        "blanks around ids",
    );
    check(
        plain,
        |n| (format!("user-{n:05}"), arm(n).to_uppercase()),
        release,
        "upper and lower case",
    );
    check(
        plain,
        |n| (format!("user-{n:05}"), arm(n) + " "),
        release,
        "blanks around ids",
    );
}

#[test]
fn strangers_have_no_likely_cause_and_the_threshold_is_the_scenario_s() {
    let case = Case::new();
    case.users(|user| format!("u{user}"));
    case.log("log1.csv", 0..300, |user| (format!("u{user}"), arm(user)));
    case.log("log2.csv", 300..400, |user| (format!("other{user}"), arm(user)));
    let ran = case.run(&[]);
    assert_eq!((ran.code, ran.layer("verdict")), (10, &Value::from("invalid")));
    assert_eq!(ran.layer("evidence")["matched_share"], 0.75);
    assert!(
        ran.stderr.contains("100 of 400 rows (25%) name a user"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("Likely cause"), "{}", ran.stderr);
    // A scenario that expects strangers says so.
    let scenario = fs::read_to_string(case.path().join("s.toml")).unwrap();
    fs::write(
        case.path().join("t.toml"),
        format!("{scenario}\n[guard]\nmin_coverage = 0.7\n"),
    )
    .unwrap();
    let out = case.path().join("out2");
    let output = sluice(&["run", text(&case.path().join("t.toml")), "--out", text(&out)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("100 of 400 rows (25%) name a user"), "{stderr}");
    let schedule = fs::read_to_string(out.join("schedule.json")).unwrap();
    assert!(!schedule.contains("\"invalid\""), "{schedule}");
}

#[test]
fn no_row_of_the_candidate_is_inconclusive() {
    // A layer that opens from 0 as planned, and a layer at 1 % without the candidate.
    for (ratio, verdict, says) in [
        (
            0.0,
            "promote",
            "No row of v2 among 400. Every layer is at 0%, so there is nothing to compare yet.",
        ),
        (
            0.01,
            "inconclusive",
            "No row of v2 among 400, so there is nothing to compare yet.",
        ),
    ] {
        let case = Case { ratio, ..Case::new() };
        case.users(|user| format!("u{user}"));
        case.log("log.csv", 0..400, |user| (format!("u{user}"), "v1".into()));
        let ran = case.run(&[]);
        assert_eq!(ran.layer("verdict"), verdict, "{}", ran.stdout);
        assert_eq!(ran.outcome("evidence"), "inconclusive");
        let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let starts = format!("NO EVIDENCE: {says} v2 against v1");
        assert!(said.starts_with(&starts), "{said}");
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        if ratio == 0.0 {
            assert_eq!(ran.code, 11);
        }
    }
}

#[test]
fn an_empty_log_and_users_without_consent_are_named() {
    let case = Case::new();
    case.users(|user| format!("u{user}"));
    case.log("log.csv", 0..0, |user| (format!("u{user}"), arm(user)));
    let ran = case.run(&[]);
    assert_eq!(ran.code, 11, "{}", ran.stdout);
    assert_eq!(ran.outcome("coverage"), "inconclusive");
    assert!(
        ran.stderr
            .contains("No row of the log is between the plan's start"),
        "{}",
        ran.stderr
    );
    assert_eq!(*ran.layer("evidence").get("matched_share").unwrap(), Value::Null);

    let case = Case {
        consent: "opt_in",
        ..Case::new()
    };
    case.users(|user| format!("u{user}"));
    case.log("log.csv", 0..400, |user| (format!("u{user}"), arm(user)));
    let ran = case.run(&[]);
    assert_eq!(
        (ran.code, ran.layer("verdict")),
        (10, &Value::from("invalid")),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("No user is eligible: none of 400 users has consented"),
        "{}",
        ran.stderr
    );
}

#[test]
fn missing_columns_and_steps_out_of_reach_are_named() {
    let case = Case {
        columns: "success,task_completed,bad,latency_ms,tool_successes",
        ..Case::new()
    };
    case.users(|user| format!("u{user}"));
    case.log("log.csv", 0..400, |user| (format!("u{user}"), arm(user)));
    let scenario = case.scenario();
    let text_of = fs::read_to_string(&scenario)
        .unwrap()
        .replace("min_users = 100", "min_users = 250");
    fs::write(&scenario, text_of).unwrap();
    let out = case.path().join("out");
    let output = sluice(&["run", text(&scenario), "--out", text(&out)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("complaint rate: the log has no column `complaint`"),
        "{stderr}"
    );
    assert!(
        stderr.contains("success rate of tool calls: the log has no column `tool_calls`"),
        "{stderr}"
    );
    assert!(
        stderr.contains("all: 50% of 400 eligible users are 200, fewer than min_users 250."),
        "{stderr}"
    );
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("the log has no column `complaint`"), "{report}");
}

#[test]
fn examples_do_not_depend_on_files_or_threads() {
    let case = Case::new();
    case.users(|user| format!("u{user}"));
    let row = |user: usize| (format!("U{user}"), format!("w{}", user % 7));
    case.log("log1.csv", 0..200, row);
    case.log("log2.csv", 200..400, row);
    let scenario = case.scenario();
    let at = |name: &str| case.path().join(name);
    let layers = at("layers.parquet");
    ok(&[
        "layer",
        "--users",
        text(&at("users.csv")),
        "--scenario",
        text(&scenario),
        "--out",
        text(&layers),
    ]);
    let unknown = |cube: &str| -> Value {
        let document: Value = serde_json::from_slice(&fs::read(at(cube).join("cube.json")).unwrap()).unwrap();
        document["unknown"].clone()
    };
    let replay = |traffic: &str, out: &str, more: &[&str]| {
        let (traffic, out) = (at(traffic), at(out));
        let args = [
            "replay",
            "--scenario",
            text(&scenario),
            "--traffic",
            text(&traffic),
            "--layers",
            text(&layers),
            "--out",
            text(&out),
        ];
        ok(&[&args[..], more].concat());
    };
    replay("log*.csv", "all", &["--threads", "1"]);
    replay("log*.csv", "two", &["--threads", "2"]);
    replay("log*.csv", "spilled", &["--memory-limit", "1MB"]);
    replay("log1.csv", "a", &[]);
    replay("log2.csv", "b", &[]);
    let first = at("a");
    replay("log*.csv", "since", &["--since", text(&first)]);
    let (a, b, merged) = (at("a"), at("b"), at("merged"));
    ok(&["cube", "merge", text(&a), text(&b), "--out", text(&merged)]);
    let all = unknown("all");
    assert_eq!(all["users"].as_array().unwrap().len(), 3);
    assert_eq!(all["releases"].as_array().unwrap().len(), 3);
    for user in all["users"].as_array().unwrap() {
        let id = user["id"].as_str().unwrap();
        assert_eq!(user["listed_as"]["id"], id.to_lowercase());
    }
    for other in ["two", "spilled", "since", "merged"] {
        assert_eq!(unknown(other), all, "{other}");
    }
}
