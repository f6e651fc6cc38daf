//! `sluice init` on files of different kinds: the scenario loads, runs as it is, and names the right
//! columns. `sluice check` on such scenarios.

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

use crate::support::{fails, json, ok, ok_json, sluice, text};

/// A folder with files, and the scenario that `init` proposes for them.
struct Proposed {
    dir: TempDir,
    options: Vec<&'static str>,
}

impl Proposed {
    fn new(options: &[&'static str]) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            options: options.to_vec(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, lines: impl IntoIterator<Item = String>) {
        let lines: Vec<String> = lines.into_iter().collect();
        fs::write(self.path(name), lines.join("\n") + "\n").unwrap();
    }

    /// Runs `init`. Returns the scenario and what it prints to stderr.
    fn init(&self, more: &[&str]) -> (String, String) {
        let out = self.path("scenario.toml");
        let mut args: Vec<String> = vec!["init".into(), "--out".into(), text(&out).into(), "--force".into()];
        for pair in self.options.chunks(2) {
            args.extend([pair[0].to_owned(), text(&self.path(pair[1])).to_owned()]);
        }
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = sluice(&args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        (fs::read_to_string(out).unwrap(), stderr)
    }

    /// The scenario must load, be usable, and run. It has these lines.
    fn check(&self, lines: &[&str]) -> String {
        let (scenario, stderr) = self.init(&[]);
        for line in lines {
            assert!(
                scenario.contains(line) || scenario.replace("\n#   ", " ").contains(line),
                "expected {line} in\n{scenario}\n{stderr}"
            );
        }
        assert!(!stderr.contains("cannot run"), "{stderr}\n{scenario}");
        let path = self.path("scenario.toml");
        ok(&["check", text(&path)]);
        ok(&["run", text(&path), "--out", text(&self.path("out"))]);
        scenario
    }
}

/// Whether production gave a user the candidate: a quarter of the users, in no order.
fn has_candidate(user: usize) -> bool {
    user.wrapping_mul(2_654_435_761) >> 7 & 3 == 0
}

/// Minutes of a log as day, hour and minute from 2026-05-20 on.
fn clock(minute: usize) -> (usize, usize, usize) {
    (20 + minute / 1_440 % 8, minute / 60 % 24, minute % 60)
}

fn shop() -> Proposed {
    let shop = Proposed::new(&["--users", "用户.csv", "--traffic", "日志.csv"]);
    let users = (0..6_000).map(|u| {
        format!(
            "用{u},{},2026-05-{:02},{},{}.5,是",
            if u % 2 == 0 { "男" } else { "女" },
            u % 19 + 1,
            u % 40,
            u % 900
        )
    });
    shop.write(
        "用户.csv",
        std::iter::once("用户ID,性别,最近登录时间,订单数,消费金额,是否同意灰度".to_owned()).chain(users),
    );
    let turns = (0..12_000).map(|n| {
        let (user, (day, hour, minute)) = (n * 7 % 6_000, clock(n));
        let version = if has_candidate(user) { "v2.0" } else { "v1.9" };
        let status = if n % 97 == 0 { 503 } else { 200 };
        let rating = ["点赞", "点踩", "无"][n % 3];
        format!(
            "2026-05-{day} {hour:02}:{minute:02}:00+08:00,用{user},{version},S{},{},{status},{rating},{}",
            n / 2,
            400 + n % 900,
            n % 2
        )
    });
    shop.write(
        "日志.csv",
        std::iter::once("时间,用户ID,版本,会话编号,耗时(毫秒),状态码,用户反馈,是否解决".to_owned())
            .chain(turns),
    );
    shop
}

#[test]
fn a_shop_with_chinese_headers() {
    let scenario = shop().check(&[
        "user_id = \"用户ID\"",
        "last_use_time = \"最近登录时间\"",
        "use_count = \"订单数\"",
        "user_value = \"消费金额\"",
        "is_allow_gray = ",
        "Not used: \"性别\", a sensitive attribute",
        "event_time = \"时间\"",
        "session_id = \"会话编号\"",
        "latency_ms = \"耗时(毫秒)\"",
        "success = '\"状态码\" < 500'",
        "task_completed = \"是否解决\"",
        "when \\\"用户反馈\\\" in ('点踩') then true",
        "baseline = \"v1.9\"",
        "candidate = \"v2.0\"",
        "time_zone = \"Asia/Shanghai\"",
        "metric = \"availability\"",
        "no column of complaints",
        "a rise of complaints cannot stop a promotion",
        "id = \"early\"",
    ]);
    assert!(!scenario.contains("metric = \"complaint_rate\""), "{scenario}");
}

#[test]
fn a_log_of_a_gateway() {
    let gateway = Proposed::new(&["--traffic", "log.ndjson"]);
    gateway.write(
        "log.ndjson",
        (0..8_000).map(|n: usize| {
            let user = n * 11 % 2_000;
            let model = if has_candidate(user) { "gpt-4.1-mini" } else { "gpt-4.0-mini" };
            let error = if n.is_multiple_of(50) { "\"rate limited\"" } else { "null" };
            format!(
                "{{\"timestampMs\":{},\"endUser\":\"u-{user}\",\"model\":\"{model}\",\"usage\":{{\"a\":[1]}},\"prompt_tokens\":{},\
                 \"completion_tokens\":{},\"cost_cents\":{},\"duration\":{},\"error\":{error}}}",
                1_779_926_400_000_usize + n * 60_000,
                500 + n % 300,
                50 + n % 90,
                0.02 + (n % 7) as f64 / 1_000.0,
                0.4 + (n % 11) as f64 / 10.0,
            )
        }),
    );
    let scenario = gateway.check(&[
        "event_time = { column = \"timestampMs\", unit = \"ms\" }",
        "user_id = \"endUser\"",
        "release_id = \"model\"",
        "tokens_in = \"prompt_tokens\"",
        "cost_usd = { column = \"cost_cents\", unit = \"cent\" }",
        "latency_ms = { column = \"duration\", unit = \"s\" }",
        "success = \"error is null\"",
        "baseline = \"gpt-4.0-mini\"",
        "candidate = \"gpt-4.1-mini\"",
        "users_from_traffic = true",
        "consent = \"opt_out\"",
        "Not read, lists or objects: \"usage\"",
    ]);
    assert!(scenario.contains("[[operation]]"), "{scenario}");
    // A quarter of the users have the candidate.
    let state = json(&gateway.path("out/analysis.json"));
    assert_eq!(state["candidate"], "gpt-4.1-mini");
}

#[test]
fn parquet_with_camel_case() {
    let proposed = Proposed::new(&["--users", "users.parquet", "--traffic", "turns.parquet"]);
    let n = 3_000_usize;
    let ids =
        |n: usize| -> ArrayRef { Arc::new((0..n).map(|i| (i * 7 % 3_000) as i64).collect::<Int64Array>()) };
    let start = 1_779_926_400_000_000_i64;
    let save = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(
            fs::File::create(proposed.path(name)).unwrap(),
            batch.schema(),
            None,
        )
        .unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    let times = |n: usize, step: i64, from: i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(
            (0..n).map(|i| from + i as i64 * step),
        ))
    };
    save(
        "users.parquet",
        vec![
            (
                "customerId",
                Arc::new((0..n as i64).collect::<Int64Array>()) as ArrayRef,
            ),
            ("lastSeenAt", times(n, 1_000_000, start - 86_400_000_000)),
            (
                "totalSpent",
                Arc::new((0..n).map(|i| i as f64 / 3.0).collect::<Float64Array>()),
            ),
            (
                "betaOptIn",
                Arc::new((0..n).map(|i| Some(i % 10 > 0)).collect::<BooleanArray>()),
            ),
        ],
    );
    let release = |i: usize| {
        if has_candidate(i * 7 % 3_000) {
            "2.1.0"
        } else {
            "2.0.9"
        }
    };
    save(
        "turns.parquet",
        vec![
            ("eventTime", times(9_000, 60_000_000, start)),
            ("customerId", ids(9_000)),
            (
                "appVersion",
                Arc::new((0..9_000).map(|i| Some(release(i))).collect::<StringArray>()) as ArrayRef,
            ),
            (
                "isResolved",
                Arc::new((0..9_000).map(|i| Some(i % 5 > 0)).collect::<BooleanArray>()),
            ),
            (
                "responseTime",
                Arc::new(
                    (0..9_000)
                        .map(|i| 300.0 + (i % 700) as f64)
                        .collect::<Float64Array>(),
                ),
            ),
        ],
    );
    proposed.check(&[
        "user_id = \"customerId\"",
        "last_use_time = \"lastSeenAt\"",
        "user_value = \"totalSpent\"",
        "is_allow_gray = \"betaOptIn\"",
        "absent = [\"use_count\", \"accept_score\"]",
        "event_time = \"eventTime\"",
        "release_id = \"appVersion\"",
        "task_completed = \"isResolved\"",
        "latency_ms = \"responseTime\"",
        "baseline = \"2.0.9\"",
        "candidate = \"2.1.0\"",
    ]);
}

#[test]
fn an_experiment_without_time_and_with_its_own_outcome() {
    let game = Proposed::new(&["--traffic", "game.csv"]);
    let rows = (0..4_000).map(|n| {
        format!(
            "{n},{},{},{}",
            if has_candidate(n) { "gate_40" } else { "gate_30" },
            n % 57,
            n % 3 == 0
        )
    });
    game.write(
        "game.csv",
        std::iter::once("userid,version,sum_gamerounds,retention_7".to_owned()).chain(rows),
    );
    game.check(&[
        "user_id = \"userid\"",
        "release_id = \"version\"",
        "event_time = \"2000-01-01T00:00:00Z\"",
        "the file names no time",
        "id = \"retention_7_rate\"",
        "id = \"sum_gamerounds_mean\"",
        "baseline = \"gate_30\"",
        "candidate = \"gate_40\"",
    ]);
}

#[test]
fn users_alone_become_layers() {
    let users = Proposed::new(&["--users", "users.csv"]);
    let rows = (0..5_000).map(|n| format!("c{n},{}/05/2026,{}", n % 28 + 1, n % 60));
    users.write(
        "users.csv",
        std::iter::once("client_id,last_visit,visits".to_owned()).chain(rows),
    );
    users.check(&[
        "user_id = \"client_id\"",
        "use_count = \"visits\"",
        "last_use_time = ",
        "consent = \"opt_out\"",
        "no traffic log",
        "id = \"early\"",
    ]);
}

#[test]
fn bad_rows_and_repeated_users_are_left_out_and_named() {
    let dirty = Proposed::new(&["--users", "users.csv", "--traffic", "log.csv"]);
    let users = (0..1_200).map(|n| format!("u{},{}", n % 1_000, n % 60));
    dirty.write(
        "users.csv",
        std::iter::once("user_id,visits".to_owned()).chain(users),
    );
    let rows = (0..3_000).map(|n| {
        let time = if n % 100 == 7 {
            "n/a".to_owned()
        } else {
            let (d, h, m) = clock(n * 3);
            format!("2026-05-{d}T{h:02}:{m:02}:00Z")
        };
        format!(
            "{time},u{},{},{}",
            n % 1_000,
            if has_candidate(n % 1_000) { "b" } else { "a" },
            100 + n % 50
        )
    });
    dirty.write(
        "log.csv",
        std::iter::once("time,user_id,variant,latency_ms".to_owned()).chain(rows),
    );
    let scenario = dirty.check(&[
        "on_bad_row = \"drop\"",
        "on_duplicate_user = \"keep_first\"",
        "baseline = \"a\"",
        "candidate = \"b\"",
    ]);
    let strict = scenario.replace("on_bad_row = \"drop\"", "on_bad_row = \"error\"");
    fs::write(dirty.path("strict.toml"), strict).unwrap();
    let path = dirty.path("strict.toml");
    let output = sluice(&["check", text(&path), "--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["is_usable"], false);
    let log = &found["sources"][1];
    assert_eq!(
        (
            &log["n_bad_rows"],
            log["first_bad_rows"].as_array().unwrap().len()
        ),
        (&30.into(), 5)
    );
    assert_eq!(log["first_bad_rows"][0]["row"], 8);
    assert_eq!(log["first_bad_rows"][0]["found"], "\"n/a\"");
    assert!(
        found["problems"][0]
            .as_str()
            .unwrap()
            .contains("row 8: expected an instant"),
        "{found}"
    );
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let shop = shop();
    let one = shop.init(&["--threads", "1"]).0;
    assert_eq!(one, shop.init(&["--threads", "2"]).0);
}

#[test]
fn an_existing_scenario_is_kept() {
    let users = Proposed::new(&["--users", "users.csv"]);
    users.write("users.csv", ["user_id,visits".to_owned(), "a,1".to_owned()]);
    users.write("kept.toml", ["mine".to_owned()]);
    let kept = users.path("kept.toml");
    let stderr = fails(
        &[
            "init",
            "--users",
            text(&users.path("users.csv")),
            "--out",
            text(&kept),
        ],
        2,
    );
    assert!(
        stderr.contains("--force") && fs::read_to_string(&kept).unwrap() == "mine\n",
        "{stderr}"
    );
    let stderr = fails(
        &[
            "init",
            "--users",
            text(&users.path("users.csv")),
            "--out",
            text(&users.path("users.csv")),
            "--force",
        ],
        2,
    );
    assert!(stderr.contains("users.csv"), "{stderr}");
    assert!(fails(&["init"], 2).contains("--users, --events or --traffic"));
}

#[test]
fn names_of_others_command_no_terminal_and_no_toml() {
    let hostile = Proposed::new(&["--traffic", "log.csv"]);
    let rows = (0..300).map(|n| {
        let release = match n % 10 {
            0 => "x\u{1b}]0;\n\"\"]".to_owned(),
            n => format!("x{}", n % 2),
        };
        format!("2026-05-28T10:{:02}:00Z,u{},\"{release}\",1", n % 60, n % 40)
    });
    hostile.write(
        "log.csv",
        std::iter::once("time,user_id,\"ver\u{1b}[31msion\",\"a\"\"]\n[plan]\"".to_owned()).chain(rows),
    );
    let (scenario, stderr) = hostile.init(&[]);
    for printed in [&scenario, &stderr] {
        assert!(!printed.contains('\u{1b}'), "{printed:?}");
    }
    let loaded: toml::Table = scenario.parse().unwrap();
    assert_eq!(loaded["plan"]["baseline"].as_str(), Some("x0"));
    assert_eq!(loaded["plan"]["candidate"].as_str(), Some("x1"));
}

#[test]
fn a_check_shows_columns_units_and_coverage() {
    let shop = shop();
    shop.init(&[]);
    let path = shop.path("scenario.toml");
    let found = ok_json(&["check", text(&path), "--format", "json"]);
    let column = |source: usize, name: &str| {
        let columns = found["sources"][source]["columns"].as_array().unwrap();
        columns
            .iter()
            .find(|column| column["column"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(found["is_usable"], true);
    assert_eq!(column(0, "user_id")["values"], "6,000 distinct");
    assert_eq!(column(0, "use_count")["values"], "0 to 39, mean 19.5");
    assert_eq!(column(0, "accept_score")["from"], "absent");
    assert_eq!(column(1, "release_id")["type"], "text");
    assert!(
        column(1, "success")["from"]
            .as_str()
            .unwrap()
            .starts_with("expression")
    );
    assert_eq!(found["sources"][1]["first"], "2026-05-19T16:00:00Z");
    assert_eq!(found["sources"][1]["last"], "2026-05-27T15:59:00Z");
    let coverage = &found["sources"][1]["coverage"];
    assert_eq!(coverage["n_rows"], coverage["n_known"]);
    let printed = ok(&["check", text(&path), "--rows", "500"]);
    assert!(
        printed.contains("usable") && printed.contains("not read: 性别"),
        "{printed}"
    );
    assert!(
        printed.lines().all(|line| line.chars().count() <= 80),
        "{printed}"
    );
    let stderr = fails(&["check", "scenarios/none.toml"], 2);
    assert!(stderr.contains("none.toml"), "{stderr}");
}
