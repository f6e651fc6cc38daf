//! Tests of `sluice night`: thirty nights of traffic that follows the decisions, against real
//! servers, with a regression, a late night, killed nights, a dead target and a rollback by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{fails, json, ok, root, sluice, text, tree};
#[cfg(feature = "stores")]
use crate::{postgres_server::Server, servers::RedisServer};

/// Reads a scenario of the rehearsal, for data beside it.
fn scenario(name: &str) -> String {
    let path = root().join("scenarios/nightly").join(name);
    fs::read_to_string(path)
        .unwrap()
        .replace("../../out/nightly/data", "data")
}

/// A ramp and the traffic that follows it.
struct Ramp {
    dir: TempDir,
    targets: Vec<String>,
}

impl Ramp {
    fn new(targets: Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ramp.toml", "generate.toml"] {
            fs::write(dir.path().join(name), scenario(name)).unwrap();
        }
        Self { dir, targets }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the traffic until a day of May, as the ratios in force have led it.
    fn generate(&self, day: u32) {
        let (scenario, out, state) = (
            self.path("generate.toml"),
            self.path("data"),
            self.path("ramp/state.json"),
        );
        let (as_of, rows) = (date(day), (30_000 * (day - 1)).to_string());
        let mut args = vec![
            "generate",
            "ecommerce",
            "--scenario",
            text(&scenario),
            "--out",
            text(&out),
        ];
        args.extend(["--as-of", &as_of, "--rows", &rows]);
        if state.exists() {
            args.extend(["--state", text(&state)]);
        }
        ok(&args);
    }

    fn args(&self, day: u32, minute: u32) -> Vec<String> {
        let mut args: Vec<String> = [
            "night",
            text(&self.path("ramp.toml")),
            "--dir",
            text(&self.path("ramp")),
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(["--as-of".into(), date(day)]);
        args.extend(["--now".into(), format!("{}T00:{minute:02}:00Z", date(day))]);
        args.extend(["--metrics".into(), text(&self.path("night.prom")).into()]);
        args.extend(["--target-timeout".into(), "5s".into(), "--json".into()]);
        args.extend(self.targets.iter().flat_map(|to| ["--to".to_owned(), to.clone()]));
        args
    }

    /// Runs the night of a day. Returns its exit code.
    fn night(&self, day: u32) -> i32 {
        let args = self.args(day, 7);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = sluice(&args);
        let code = output.status.code().unwrap();
        assert!(
            [0, 4, 10, 11].contains(&code),
            "{day}: {code} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        code
    }

    /// Starts the night of a day and kills it after some time.
    fn kill_night(&self, day: u32, after: Duration) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(self.args(day, 5))
            .current_dir(root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn folder(&self, day: u32) -> PathBuf {
        self.path(&format!("ramp/nights/{}T00-00-00Z", date(day)))
    }

    fn schedule(&self, day: u32) -> Value {
        json(&self.folder(day).join("schedule.json"))
    }

    /// The verdict on a layer and its next ratio.
    fn decision(&self, day: u32, layer: &str) -> (String, f64) {
        let schedule = self.schedule(day);
        let layers = schedule["layers"].as_array().unwrap();
        let layer = layers.iter().find(|found| found["layer"] == layer).unwrap();
        (
            layer["verdict"].as_str().unwrap().to_owned(),
            layer["next_ratio"].as_f64().unwrap(),
        )
    }

    /// Scans the whole log, and asserts that analysis, schedule and gate have the same bytes as those
    /// of the night.
    fn assert_as_from_scratch(&self, day: u32) {
        let (night, scratch) = (self.folder(day), tempfile::tempdir().unwrap());
        let at = |name: &str| scratch.path().join(name);
        let (scenario, as_of) = (self.path("ramp.toml"), date(day));
        let before = night.join("state_before.json");
        let state: Vec<&str> = if before.exists() {
            vec!["--state", text(&before)]
        } else {
            Vec::new()
        };
        let layers = self.path("ramp/layers.parquet");
        let (cube, analysis, out) = (at("cube"), at("analysis.json"), at("out"));
        let common = ["--scenario", text(&scenario), "--as-of", &as_of];
        let run = |args: &[&str]| ok(&[args, &common, &state].concat());
        run(&["replay", "--layers", text(&layers), "--out", text(&cube)]);
        run(&["analyze", "--cube", text(&cube), "--out", text(&analysis)]);
        let summary = night.join("layers.summary.json");
        let evidence = ["--analysis", text(&analysis), "--layer-summary", text(&summary)];
        run(&[&["schedule", "--out", text(&out)], &evidence[..]].concat());
        let same = |of_night: &Path, of_scratch: &Path| {
            assert!(
                fs::read(of_night).unwrap() == fs::read(of_scratch).unwrap(),
                "{day}: {} differs from a scan of the whole log",
                of_night.display()
            );
        };
        same(&night.join("analysis.json"), &analysis);
        for name in ["schedule.json", "gate_report.json", "state.json"] {
            same(&night.join(name), &out.join(name));
        }
    }
}

/// Runs a night that reaches its end, whatever its verdict. Returns `night.json`.
fn report(args: &[&str]) -> Value {
    let output = sluice(args);
    assert!(
        [0, 10, 11].contains(&output.status.code().unwrap()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A day of May 2026.
fn date(day: u32) -> String {
    format!("2026-05-{day:02}")
}

/// Ratios by layer as the schedule of a night says them, in basis points.
#[cfg(feature = "stores")]
fn scheduled(schedule: &Value) -> Vec<(String, u64)> {
    let ratio = |layer: &Value| {
        let share = layer["next_ratio"].as_f64().unwrap();
        (
            layer["layer"].as_str().unwrap().to_owned(),
            (share * 1e4).round() as u64,
        )
    };
    schedule["layers"].as_array().unwrap().iter().map(ratio).collect()
}

/// The ratios that Redis serves, read as a consumer reads them.
#[cfg(feature = "stores")]
fn served_by_redis(server: &RedisServer, schedule: &Value) -> Vec<(String, u64)> {
    let pointer = server.ask(&["GET", "sluice:{loop}:current"]);
    let version = format!("sluice:{{loop}}:version:{pointer}");
    let ratio = |(layer, _): (String, u64)| {
        let found = server.ask(&["HGET", &version, &format!("ratio:default:{layer}")]);
        (layer, found.parse().unwrap())
    };
    scheduled(schedule).into_iter().map(ratio).collect()
}

/// The ratios that PostgreSQL serves.
#[cfg(feature = "stores")]
fn served_by_postgres(server: &Server, schedule: &Value) -> Vec<(String, u64)> {
    let mut client = server.client();
    let sql = "select hi_bucket::bigint from ratio_schedule where plan_id = 'loop' and layer = $1";
    let mut ratio = |(layer, _): (String, u64)| {
        let row = client.query_one(sql, &[&layer]).unwrap();
        (layer, row.get::<_, i64>(0) as u64)
    };
    scheduled(schedule).into_iter().map(&mut ratio).collect()
}

#[cfg(feature = "stores")]
#[test]
fn thirty_nights_close_the_loop() {
    let (mut redis, postgres) = (RedisServer::start(&[]), Server::start());
    let ramp = Ramp::new(vec![redis.url(), postgres.url()]);
    for day in 2..=31 {
        if day == 15 {
            continue; // The job did not run; the next night reads the rows of both days.
        }
        ramp.generate(day);
        match day {
            4 => redis.kill(),
            5 => redis.restart(),
            17 => (0..6).for_each(|n| ramp.kill_night(day, Duration::from_millis(40 * n))),
            20 => {
                let current = ramp.path("ramp/current");
                ok(&["publish", text(&current), "--to", &redis.url(), "--rollback"]);
            }
            _ => {}
        }
        let code = ramp.night(day);
        ramp.assert_as_from_scratch(day);
        let schedule = ramp.schedule(day);
        assert_eq!(
            served_by_postgres(&postgres, &schedule),
            scheduled(&schedule),
            "{day}"
        );
        if day == 4 {
            assert_eq!(code, 4);
            assert_eq!(ramp.decision(4, "early"), ("promote".into(), 0.5));
            continue;
        }
        if day == 5 {
            // The night knows that Redis did not have the ratio of the night before, so it holds.
            assert_eq!(schedule["layers"][0]["first_blocking"], "in_force", "{schedule}");
        }
        assert_eq!(served_by_redis(&redis, &schedule), scheduled(&schedule), "{day}");
        assert_eq!(
            fs::canonicalize(ramp.path("ramp/current")).unwrap(),
            fs::canonicalize(ramp.folder(day)).unwrap()
        );
    }
    // The layer was promoted within two nights, although each change came into force minutes late.
    let state = json(&ramp.path("ramp/state.json"));
    let changes: Vec<(String, String, f64)> = state["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            (
                text("layer"),
                text("operation_type"),
                row["new_value"].as_f64().unwrap(),
            )
        })
        .collect();
    let of = |layer: &str| -> Vec<(&str, f64)> {
        let rows = changes.iter().filter(|(of, _, _)| of == layer);
        rows.map(|(_, kind, ratio)| (kind.as_str(), *ratio)).collect()
    };
    assert_eq!(
        of("early")[..3],
        [("promote", 0.1), ("promote", 0.5), ("promote", 1.0)]
    );
    // The regression is rolled back, and the layer behind it stays closed.
    assert!(of("regular").contains(&("rollback", 0.0)), "{changes:?}");
    assert!(of("vip").is_empty(), "{changes:?}");
    // The rollback by hand at one target closed the layer in all of them.
    assert_eq!(of("early")[3..], [("rollback", 0.0)]);
    let by_hand = state["operations"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|row| row["layer"] == "early")
        .unwrap();
    assert!(
        by_hand["operator"]
            .as_str()
            .unwrap()
            .starts_with("by hand at redis://"),
        "{by_hand}"
    );
    // The newest 14 nights stay.
    assert_eq!(
        fs::read_dir(ramp.path("ramp/nights"))
            .unwrap()
            .filter(|entry| {
                !entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .starts_with('.')
            })
            .count(),
        14
    );
    crate::nights_page::assert_page_of(&ramp.path("ramp"));
}

#[test]
fn a_night_again_changes_nothing_and_publishes_nothing() {
    let ramp = Ramp::new(Vec::new());
    let releases = ramp.path("releases");
    let ramp = Ramp {
        targets: vec![text(&releases).to_owned()],
        ..ramp
    };
    ramp.generate(2);
    ramp.night(2);
    let first = (tree(&ramp.path("ramp")), tree(&releases));
    let metrics = fs::read_to_string(ramp.path("night.prom")).unwrap();
    assert!(
        metrics.contains("sluice_night_target_up{plan=\"loop\",target="),
        "{metrics}"
    );
    let again = report(&ramp.args(2, 30).iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(again["targets"][0]["outcome"], "applied");
    assert!((tree(&ramp.path("ramp")), tree(&releases)) == first);
    // An earlier night cannot follow.
    ramp.generate(3);
    ramp.night(3);
    let args = ramp.args(2, 7);
    let found = fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), 2);
    assert!(
        found.contains("expected an instant not before the newest night"),
        "{found}"
    );
}

#[test]
fn guards_stop_a_night_before_anything_is_replaced() {
    let ramp = Ramp::new(Vec::new());
    ramp.generate(2);
    ramp.night(2);
    ramp.generate(3);
    let check = |guard: &str, limit: &str| {
        let text = scenario("ramp.toml") + &format!("[guard]\n{guard} = {limit}\n");
        fs::write(ramp.path("ramp.toml"), text).unwrap();
        let before = tree(&ramp.path("ramp"));
        let args = ramp.args(3, 7);
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        let found = fails(&args, 3);
        assert!(found.contains(&format!("guard.{guard}: expected")), "{found}");
        assert!(found.contains(&format!("--accept {guard}")), "{found}");
        let metrics = fs::read_to_string(ramp.path("night.prom")).unwrap();
        assert!(
            metrics.contains("sluice_night_outcome{plan=\"loop\",outcome=\"input\"} 1"),
            "{metrics}"
        );
        assert!(tree(&ramp.path("ramp")) == before, "{guard}");
        args.extend(["--accept", guard]);
        (args.join(" "), before)
    };
    check("min_users", "1000000");
    let (accepted, before) = check("min_rows", "1000000");
    let args: Vec<&str> = accepted.split(' ').collect();
    let report = report(&args);
    assert_eq!(
        report["guards"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|g| g["is_accepted"] == true)
            .count(),
        1
    );
    assert!(tree(&ramp.path("ramp")) != before);
}
