//! Expressions of one row: a log with other columns, units and spellings gives the numbers of a log
//! that was prepared by hand, whatever its format and the number of threads.

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

use crate::support::{fails, json, ok, text};

const PLAN: &str = r#"
why = "a log as it is"
as_of = "2026-05-28"
[plan]
id = "derive"
start = "2026-05-25"
baseline = "v1"
candidate = "v2"
[input]
on_bad_row = "ON_BAD_ROW"
[input.users]
path = "users.csv"
USERS
[[input.traffic]]
path = "LOG"
TRAFFIC
[[metric]]
id = "slow_rate"
numerator = "SLOW"
denominator = "rows"
better = "lower"
[layering]
consent = "opt_out"
[[layer]]
id = "all"
[[operation]]
at = "2026-05-25"
layer = "all"
ratio = 0.5
"#;

const USERS: &str = r#"
[input.users.derive]
user_id = 'lower(trim("E-Mail"))'
last_use_time = "instant(seen_ms / 1000)"
user_value = "cents / 100"
use_count = "visits"
accept_score = "least(stars * 2, 10)"
"#;

const TRAFFIC: &str = r#"
where = "env = 'prod' and not is_test"
[input.traffic.derive]
event_time = "ts"
user_id = "lower(email)"
release_id = "regexp_extract(model, '^agent/(v[0-9]+)', 1)"
seconds = "duration_s + 0"
latency_ms = "seconds * 1000"
success = "状态码 < 500"
bad = "case when thumb = 'down' then true when thumb = 'up' then false end"
cost_usd = "price_cents / 100.0"
"#;

const SLOW: &str = "sum(case when latency_ms > 3000 then 1 end)";

/// A row of the log.
struct Turn {
    at: String,
    user: usize,
    is_new: bool,
    millis: i32,
    status: i32,
    thumb: Option<&'static str>,
    cents: i32,
    is_read: bool,
}

fn turns() -> Vec<Turn> {
    let profile = sluice::bucket::Profile::Sluice {
        salt: "derive".into(),
    };
    (0..4_000)
        .map(|n: usize| Turn {
            at: format!("2026-05-2{}T{:02}:{:02}:00+08:00", 6 + n % 2, n % 24, n % 60),
            user: n * 7 % 500,
            is_new: profile.bucket(&format!("u{}@shop.example", n * 7 % 500)) < 5_000,
            millis: (n as i32 * 37) % 5_000,
            status: [200, 204, 429, 500, 503][n % 5],
            thumb: [None, Some("up"), None, Some("down"), None, None][n % 6],
            cents: n as i32 % 900,
            is_read: !n.is_multiple_of(9),
        })
        .collect()
}

/// A study of a log as it is, and of the same log with the columns of Sluice.
struct Logs {
    dir: TempDir,
}

impl Logs {
    fn new() -> Self {
        let logs = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let mut users = "E-Mail,seen_ms,cents,visits,stars\n".to_owned();
        let mut own_users = "user_id,last_use_time,user_value,use_count,accept_score\n".to_owned();
        for n in 0..500_i64 {
            let seen = 1_779_000_000_000 + n * 1_000_000;
            users.push_str(&format!(
                "\" U{n}@Shop.example\",{seen},{},{},{}\n",
                n * 10,
                n % 40,
                n % 7
            ));
            own_users.push_str(&format!(
                "u{n}@shop.example,{},{},{},{}\n",
                seen / 1_000,
                n as f64 / 10.0,
                n % 40,
                (n % 7 * 2).min(10)
            ));
        }
        let mut log = "ts,email,model,duration_s,状态码,thumb,price_cents,env,is_test\n".to_owned();
        let mut json = String::new();
        let mut own = "event_time,user_id,release_id,latency_ms,success,bad,cost_usd\n".to_owned();
        for turn in turns() {
            let release = if turn.is_new { "v2" } else { "v1" };
            let seconds = f64::from(turn.millis) / 1_000.0;
            let (env, is_test) = if turn.is_read {
                ("prod", "no")
            } else {
                ("dev", "yes")
            };
            let (at, user, status, cents) = (&turn.at, turn.user, turn.status, turn.cents);
            let thumb = turn.thumb.unwrap_or_default();
            log.push_str(&format!(
                "{at},U{user}@SHOP.example,agent/{release}@x,{seconds},{status},{thumb},{cents},{env},{is_test}\n"
            ));
            let row = serde_json::json!({
                "ts": at, "email": format!("u{user}@shop.example"), "model": format!("agent/{release}@x"),
                "duration_s": seconds, "状态码": status, "thumb": turn.thumb, "price_cents": cents,
                "env": env, "is_test": is_test,
            });
            json.push_str(&format!("{row}\n"));
            if turn.is_read {
                let bad = turn
                    .thumb
                    .map_or("", |thumb| if thumb == "down" { "true" } else { "false" });
                let success = status < 500;
                let cost = f64::from(cents) / 100.0;
                own.push_str(&format!(
                    "{at},u{user}@shop.example,{release},{},{success},{bad},{cost}\n",
                    seconds * 1_000.0
                ));
            }
        }
        logs.write("users.csv", &users);
        logs.write("log.csv", &log);
        logs.write("log.ndjson", &json);
        logs.write_parquet("log.parquet");
        logs.write("own_users.csv", &own_users);
        logs.write("own.csv", &own);
        logs
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// The log with the types of a database: small integers, real numbers, texts.
    fn write_parquet(&self, name: &str) {
        let turns = turns();
        let texts = |of: &dyn Fn(&Turn) -> Option<String>| -> ArrayRef {
            Arc::new(turns.iter().map(of).collect::<StringArray>())
        };
        let release = |turn: &Turn| if turn.is_new { "v2" } else { "v1" };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("ts", texts(&|turn| Some(turn.at.clone()))),
            (
                "email",
                texts(&|turn| Some(format!("u{}@shop.example", turn.user))),
            ),
            ("model", texts(&|turn| Some(format!("agent/{}@x", release(turn))))),
            (
                "duration_s",
                Arc::new(
                    turns
                        .iter()
                        .map(|turn| Some(f64::from(turn.millis) / 1_000.0))
                        .collect::<Float64Array>(),
                ),
            ),
            (
                "状态码",
                Arc::new(turns.iter().map(|turn| Some(turn.status)).collect::<Int32Array>()),
            ),
            ("thumb", texts(&|turn| turn.thumb.map(str::to_owned))),
            (
                "price_cents",
                Arc::new(turns.iter().map(|turn| Some(turn.cents)).collect::<Int32Array>()),
            ),
            (
                "env",
                texts(&|turn| Some(if turn.is_read { "prod" } else { "dev" }.to_owned())),
            ),
            (
                "is_test",
                texts(&|turn| Some(if turn.is_read { "no" } else { "yes" }.to_owned())),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = File::create(self.path(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Writes a scenario: its name, the path of the log, and the settings of users and traffic.
    fn scenario(&self, name: &str, log: &str, [users, traffic, slow]: [&str; 3]) {
        let scenario = PLAN
            .replace("LOG", log)
            .replace("USERS", users)
            .replace("TRAFFIC", traffic)
            .replace("SLOW", slow)
            .replace("ON_BAD_ROW", "error");
        self.write(name, &scenario);
    }

    fn run(&self, scenario: &str, out: &str, more: &[&str]) -> String {
        let (scenario, out) = (self.path(scenario), self.path(out));
        let mut args = vec!["run", text(&scenario), "--out", text(&out)];
        args.extend(more);
        ok(&args)
    }

    fn fails(&self, scenario: &str, code: i32) -> String {
        let (scenario, out) = (self.path(scenario), self.path("failed"));
        fails(&["run", text(&scenario), "--out", text(&out)], code)
    }
}

/// The numbers of an analysis: all but digests and names of metrics and expressions.
fn numbers(folder: &Path) -> serde_json::Value {
    let analysis = json(&folder.join("analysis.json"));
    let mut layers = analysis["layers"].clone();
    let rows = analysis["data"]["rows"].clone();
    for layer in layers.as_array_mut().unwrap() {
        layer.as_object_mut().unwrap().remove("digest");
    }
    serde_json::json!([layers, rows])
}

#[test]
fn a_log_as_it_is_gives_the_numbers_of_a_prepared_log() {
    let logs = Logs::new();
    logs.scenario("own.toml", "own.csv", ["", "", "sum(latency_ms > 3000)"]);
    let own = std::fs::read_to_string(logs.path("own.toml")).unwrap();
    logs.write("own.toml", &own.replace("users.csv", "own_users.csv"));
    logs.run("own.toml", "own", &[]);
    let expected = numbers(&logs.path("own"));
    assert_eq!(expected[1]["n_rows"], 3_555);
    for log in ["log.csv", "log.ndjson", "log.parquet"] {
        logs.scenario("raw.toml", log, [USERS, TRAFFIC, SLOW]);
        let out = format!("out_{log}");
        logs.run("raw.toml", &out, &["--threads", "1"]);
        let found = numbers(&logs.path(&out));
        assert_eq!(found[1]["n_rows"], expected[1]["n_rows"], "{log}");
        let is_close = |a: &serde_json::Value, b: &serde_json::Value| {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(1.0)
        };
        for (found, expected) in found[0]
            .as_array()
            .unwrap()
            .iter()
            .zip(expected[0].as_array().unwrap())
        {
            for arm in ["baseline", "candidate"] {
                let (found, expected) = (&found["stages"][0][arm], &expected["stages"][0][arm]);
                for (found, expected) in leaves(found).iter().zip(leaves(expected)) {
                    assert!(is_close(found, &expected), "{log} {arm}: {found} {expected}");
                }
            }
        }
        // The same bytes on more threads.
        let again = format!("again_{log}");
        logs.run("raw.toml", &again, &["--threads", "3"]);
        let bytes = |folder: &str| std::fs::read(logs.path(folder).join("analysis.json")).unwrap();
        assert!(bytes(&out) == bytes(&again), "{log}");
    }
}

/// All numbers of a value, in order.
fn leaves(value: &serde_json::Value) -> Vec<serde_json::Value> {
    match value {
        serde_json::Value::Number(_) => vec![value.clone()],
        serde_json::Value::Array(values) => values.iter().flat_map(leaves).collect(),
        serde_json::Value::Object(entries) => entries.values().flat_map(leaves).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn wrong_expressions_and_rows_name_their_place() {
    let logs = Logs::new();
    let check = |from: &str, to: &str, code: i32, expected: &[&str]| {
        let traffic = TRAFFIC.replace(from, to);
        assert_ne!(traffic, TRAFFIC, "{from}");
        logs.scenario("wrong.toml", "log.csv", [USERS, &traffic, SLOW]);
        let stderr = logs.fails("wrong.toml", code);
        for part in expected {
            assert!(stderr.contains(part), "{to}: expected {part}, found {stderr}");
        }
    };
    check(
        "duration_s + 0",
        "duratoin_s + 0",
        2,
        &[
            "input.traffic[1].derive.seconds",
            "`duratoin_s`",
            "did you mean `duration_s`?",
        ],
    );
    check(
        "duration_s + 0",
        "thumb + 0",
        3,
        &["column `latency_ms`, row 2", "a number in thumb", "found \"up\""],
    );
    check(
        "price_cents / 100.0",
        "price_cents / (状态码 - 200)",
        3,
        &["column `cost_usd`, row 6", "a divisor that is not 0"],
    );
    check(
        "env = 'prod'",
        "env = prod",
        2,
        &["input.traffic[1].where", "`prod`", "single quotes"],
    );
    check(
        "env = 'prod'",
        "now() > ts",
        2,
        &["input.traffic[1].where", "found `now`"],
    );
    check(
        "lower(email)",
        "sum(email)",
        2,
        &["derive.user_id", "an expression of one row"],
    );
    check(
        "lower(email)",
        "lower(gender)",
        2,
        &["derive.user_id", "`gender`"],
    );
    check(
        "状态码 < 500",
        "gender = 'f'",
        2,
        &["derive.success", "not a sensitive attribute"],
    );
    check(
        "success = ",
        "sucess = ",
        2,
        &["derive.sucess", "did you mean `success`?"],
    );
    check("状态码 < 500", "success", 2, &["derive.success", "`success`"]);
    logs.scenario(
        "wrong.toml",
        "log.csv",
        [USERS, TRAFFIC, "sum(case when latency > 1 then 1 end)"],
    );
    let stderr = logs.fails("wrong.toml", 2);
    assert!(
        stderr.contains("metric \"case when") && stderr.contains("`latency`"),
        "{stderr}"
    );
}

#[test]
fn rows_without_a_legal_value_are_left_out_and_counted() {
    let logs = Logs::new();
    let traffic = TRAFFIC.replace("price_cents / 100.0", "100 / price_cents");
    for log in ["log.csv", "log.parquet"] {
        logs.scenario("drop.toml", log, [USERS, &traffic, SLOW]);
        let scenario = std::fs::read_to_string(logs.path("drop.toml")).unwrap();
        logs.write("drop.toml", &scenario.replace("\"error\"", "\"drop\""));
        logs.run("drop.toml", "drop", &[]);
        let rows = &json(&logs.path("drop/analysis.json"))["data"]["rows"];
        // Four rows of 4,000 cost nothing; the first of them is not of `prod`.
        let expected = turns()
            .iter()
            .filter(|turn| turn.is_read && turn.cents == 0)
            .count();
        assert_eq!(rows["n_bad"], expected, "{log}: {rows}");
    }
}

#[test]
fn an_earlier_cube_of_other_expressions_is_not_continued() {
    let logs = Logs::new();
    logs.scenario("a.toml", "log.csv", [USERS, TRAFFIC, SLOW]);
    logs.scenario(
        "b.toml",
        "log.csv",
        [USERS, &TRAFFIC.replace("* 1000", "* 1000.5"), SLOW],
    );
    let path = |name: &str| logs.path(name);
    ok(&[
        "layer",
        "--scenario",
        text(&path("a.toml")),
        "--out",
        text(&path("layers.parquet")),
    ]);
    let replay = |scenario: &str, out: &str| {
        vec![
            "replay".to_owned(),
            "--scenario".to_owned(),
            text(&path(scenario)).to_owned(),
            "--layers".to_owned(),
            text(&path("layers.parquet")).to_owned(),
            "--out".to_owned(),
            text(&path(out)).to_owned(),
        ]
    };
    let args = |args: &[String]| args.to_vec();
    let first = args(&replay("a.toml", "cube"));
    ok(&first.iter().map(String::as_str).collect::<Vec<_>>());
    let mut second = args(&replay("b.toml", "next"));
    let cube = path("cube");
    second.extend(["--since".to_owned(), text(&cube).to_owned()]);
    let stderr = fails(&second.iter().map(String::as_str).collect::<Vec<_>>(), 3);
    assert!(stderr.contains("derived columns and filters"), "{stderr}");
}

#[test]
fn users_come_from_several_tables_and_a_joined_one() {
    let logs = Logs::new();
    let mut consent = "id,yes,acceptance\n".to_owned();
    (0..250).for_each(|n| consent.push_str(&format!("u{n}@shop.example,true,{}\n", n % 11)));
    logs.write("consent.csv", &consent);
    let scenario = r#"
as_of = "2026-05-28"
[plan]
id = "joined"
start = "2026-05-25"
baseline = "v1"
candidate = "v2"
[[input.users]]
path = "own_users.csv"
constants = { tenant_id = "a" }
columns = { use_count = "use_count" }
[[input.users]]
path = "own_users.csv"
constants = { tenant_id = "b" }
where = "use_count < 20"
[input.users.join]
path = "consent.csv"
columns = { user_id = "id", is_allow_gray = "yes" }
[[layer]]
id = "all"
"#;
    logs.write("joined.toml", scenario);
    let (scenario, out) = (logs.path("joined.toml"), logs.path("joined.parquet"));
    ok(&["layer", "--scenario", text(&scenario), "--out", text(&out)]);
    let summary = json(&logs.path("joined.summary.json"));
    let of_b = (0..500).filter(|n| n % 40 < 20).count();
    assert_eq!(summary["n_users"], 500 + of_b);
    let eligible: u64 = summary["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["n_eligible"].as_u64().unwrap())
        .sum();
    let consents = 250 + (0..250).filter(|n| n % 40 < 20).count();
    assert_eq!(eligible, consents as u64);
    // A column in both tables, and ids that never meet.
    let check = |from: &str, to: &str, expected: &str| {
        let wrong = std::fs::read_to_string(&scenario).unwrap().replace(from, to);
        logs.write("wrong.toml", &wrong);
        let path = logs.path("wrong.toml");
        let out = logs.path("wrong.parquet");
        let stderr = fails(&["layer", "--scenario", text(&path), "--out", text(&out)], 3);
        assert!(stderr.contains(expected), "{stderr}");
    };
    check(
        "is_allow_gray = \"yes\"",
        "is_allow_gray = \"yes\", accept_score = \"acceptance\"",
        "found it in both",
    );
    check(
        "user_id = \"id\"",
        "user_id = \"acceptance\"",
        "expected each user once",
    );
}
