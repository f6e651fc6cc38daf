//! Tests of the parts of an analysis other than effects: other clusters, other ratios, breakdowns.
//! Each part is compared with a count over the same rows.

use serde_json::Value;
use std::fs;
use tempfile::TempDir;

use crate::{
    logs::Dice,
    small::Small,
    support::{fails, json, ok, ok_json, sluice, text},
};

const SCENARIO: &str = r#"
why = "analysis"
as_of = "2026-05-28"
[plan]
id = "analysis"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input]
users = { path = "users.csv", absent = ["last_use_time", "use_count", "user_value", "accept_score"] }
traffic = [{ path = "traffic.csv" }]
[[layer]]
id = "first"
tags = [{ column = "kind", equals = "first" }]
min_score = 0.9
[[layer]]
id = "rest"
[[operation]]
at = "2026-05-25"
layer = "first"
ratio = 0.5
[[operation]]
at = "2026-05-26"
layer = "rest"
ratio = 0.1
"#;

struct Row {
    line: String,
    is_first: bool,
    is_new: bool,
    feature: &'static str,
    success: bool,
}

/// A log in which a few users have very many turns and users differ in their rates.
struct Heavy {
    dir: TempDir,
    rows: Vec<Row>,
}

impl Heavy {
    fn new(n_users: u64) -> Self {
        let profile = sluice::bucket::Profile::Sluice {
            salt: "analysis".into(),
        };
        let mut dice = Dice(11);
        let mut users = "user_id,kind,is_allow_gray\n".to_owned();
        let mut rows = Vec::new();
        for user in 0..n_users {
            let is_first = user % 2 == 0;
            users.push_str(&format!(
                "u{user},{},true\n",
                if is_first { "first" } else { "other" }
            ));
            let bucket = profile.bucket(&format!("u{user}"));
            // Pareto distribution with exponent 1.3, limited to 100 turns.
            let n_turns = ((1.0 - dice.roll(1_000_000) as f64 / 1e6).powf(-1.0 / 1.3) as u64).clamp(1, 100);
            let rate = 400 + dice.roll(600);
            for _ in 0..n_turns {
                let hour = dice.roll(72);
                let ratio = if is_first {
                    5_000
                } else if hour >= 24 {
                    1_000
                } else {
                    0
                };
                let (is_new, feature) = (bucket < ratio, ["order", "refund", ""][dice.roll(3) as usize]);
                let success = dice.roll(1_000) < rate + if is_new { 20 } else { 0 };
                let release = if is_new { "new" } else { "old" };
                let line = format!(
                    "2026-05-{}T{:02}:30:00Z,u{user},{release},{feature},{success}\n",
                    25 + hour / 24,
                    hour % 24
                );
                rows.push(Row {
                    line,
                    is_first,
                    is_new,
                    feature,
                    success,
                });
            }
        }
        let heavy = Self {
            dir: tempfile::tempdir().unwrap(),
            rows,
        };
        fs::write(heavy.dir.path().join("users.csv"), users).unwrap();
        heavy
    }

    /// Runs the study on the rows that `keep` accepts, with `more` added to the scenario. Returns
    /// the analysis.
    fn run(&self, more: &str, keep: impl Fn(&Row) -> bool) -> Value {
        let lines: String = self
            .rows
            .iter()
            .filter(|row| keep(row))
            .map(|row| row.line.as_str())
            .collect();
        let path = |name: &str| self.dir.path().join(name);
        fs::write(
            path("traffic.csv"),
            format!("event_time,user_id,release_id,feature,success\n{lines}"),
        )
        .unwrap();
        fs::write(
            path("study.toml"),
            SCENARIO.replace("[input]", &format!("{more}\n[input]")),
        )
        .unwrap();
        ok(&["run", text(&path("study.toml")), "--out", text(&path("out"))]);
        json(&path("out/analysis.json"))
    }
}

fn layer<'a>(analysis: &'a Value, id: &str) -> &'a Value {
    analysis["layers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|layer| layer["layer"] == id)
        .unwrap()
}

/// The result of availability, without the number of users: breakdowns do not count them.
fn availability(part: &Value) -> Value {
    let mut found = part["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|metric| metric["metric"] == "availability")
        .unwrap()
        .clone();
    for arm in ["baseline", "candidate"] {
        if let Some(robust) = found[arm]["robust"].as_object_mut() {
            robust.remove("n_units");
        }
    }
    found
}

#[test]
fn users_and_bucket_groups_as_clusters_agree_and_rows_do_not() {
    let heavy = Heavy::new(12_000);
    let groups = heavy.run("", |_| true);
    let users = heavy.run("[analysis]\nclusters = \"user\"", |_| true);
    for id in ["first", "rest"] {
        let [by_group, by_user] = [&groups, &users].map(|analysis| {
            let found = availability(layer(analysis, id)["stages"].as_array().unwrap().last().unwrap());
            ["baseline", "candidate"].map(|arm| {
                let robust = found[arm]["robust"].clone();
                ["estimate", "std_error", "n_clusters", "denominator"]
                    .map(|name| robust[name].as_f64().unwrap())
            })
        });
        for (group, user) in by_group.into_iter().zip(by_user) {
            assert_eq!((group[0], group[3]), (user[0], user[3]), "the same rows");
            assert!(user[2] > group[2]);
            // Both numbers estimate the same error with different random deviations, so they are
            // only similar.
            let ratio = group[1] / user[1];
            assert!(
                (0.8..1.25).contains(&ratio),
                "{id}: groups {} users {}",
                group[1],
                user[1]
            );
            let rows_as_independent = (user[0] * (1.0 - user[0]) / user[3]).sqrt();
            assert!(
                rows_as_independent < 0.85 * user[1],
                "{id}: rows {rows_as_independent} users {}",
                user[1]
            );
        }
    }
    let path = heavy.dir.path().join("other.toml");
    fs::write(&path, SCENARIO).unwrap();
    let cube = heavy.dir.path().join("out/cube");
    let stderr = fails(
        &[
            "analyze",
            "--cube",
            text(&cube),
            "--plan",
            text(&path),
            "--out",
            "unused.json",
        ],
        3,
    );
    assert!(stderr.contains("breakdowns and clusters"), "{stderr}");
}

#[test]
fn a_breakdown_is_the_analysis_of_its_rows() {
    let heavy = Heavy::new(4_000);
    let whole = heavy.run("[analysis]\nbreakdowns = [\"feature\"]", |_| true);
    for feature in ["order", "refund", ""] {
        let alone = heavy.run("", |row| row.feature == feature);
        for id in ["first", "rest"] {
            let [stage, expected] = [&whole, &alone]
                .map(|analysis| layer(analysis, id)["stages"].as_array().unwrap().last().unwrap());
            let part = stage["breakdowns"]
                .as_array()
                .unwrap()
                .iter()
                .find(|part| part["value"] == feature)
                .unwrap();
            assert_eq!(part["rows"], expected["rows"]);
            assert_eq!(availability(part), availability(expected));
        }
    }
    let path = heavy.dir.path().join("study.toml");
    for (breakdowns, message) in [
        (
            "\"nobody\"",
            "expected a column `nobody` in the traffic to break down by, found none",
        ),
        ("\"gender\"", "not a sensitive attribute"),
        ("\"feature\", \"feature\"", "each once"),
    ] {
        fs::write(
            &path,
            SCENARIO.replace(
                "[input]",
                &format!("[analysis]\nbreakdowns = [{breakdowns}]\n[input]"),
            ),
        )
        .unwrap();
        let stderr = fails(
            &["run", text(&path), "--out", text(&heavy.dir.path().join("none"))],
            2,
        );
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn other_ratios_are_worth_what_weighted_rows_say() {
    let heavy = Heavy::new(6_000);
    heavy.run("", |_| true);
    let path = |name: &str| heavy.dir.path().join(name);
    let asked = [
        "--value-at",
        "first=0.5",
        "--value-at",
        "first=1",
        "--value-at",
        "first=0.2",
        "--value-at",
        "rest=0",
    ];
    let mut args = vec!["analyze", "--json", "--cube"];
    let (cube, plan, out) = (path("out/cube"), path("study.toml"), path("a.json"));
    args.extend([text(&cube), "--plan", text(&plan), "--out", text(&out)]);
    args.extend(asked);
    let analysis: Value = ok_json(&args);
    let count = |is_new: bool| {
        let rows = heavy
            .rows
            .iter()
            .filter(|row| row.is_first && row.is_new == is_new);
        let (n, k) = rows.fold((0.0, 0.0), |(n, k), row| {
            (n + 1.0, k + f64::from(u8::from(row.success)))
        });
        [k, n]
    };
    let ([k0, n0], [k1, n1]) = (count(false), count(true));
    let expected = [
        (k0 + k1) / (n0 + n1),
        k1 / n1,
        (1.6 * k0 + 0.4 * k1) / (1.6 * n0 + 0.4 * n1),
    ];
    for (idx, expected) in expected.into_iter().enumerate() {
        let value = &analysis["values"][idx];
        let found = value["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .find(|metric| metric["metric"] == "availability")
            .unwrap();
        let estimate = found["value"]["estimate"].as_f64().unwrap();
        assert!((estimate - expected).abs() < 1e-12, "{value}: {expected}");
        assert!(found["value"]["std_error"].as_f64().unwrap() > 0.0);
        // A bucket group is one cluster even when it occurs in several releases and stages.
        assert!(found["value"]["n_clusters"].as_f64().unwrap() <= 370.0);
    }
    // The last value asks for ratio 0 in a layer where 0.1 was in force: its baseline rows have
    // weight 1 / 0.9.
    assert!((analysis["values"][3]["overlap"]["max_weight"].as_f64().unwrap() - 1.0 / 0.9).abs() < 1e-12);
    let stderr = fails(
        &[
            "analyze",
            "--cube",
            text(&cube),
            "--plan",
            text(&plan),
            "--out",
            text(&out),
            "--value-at",
            "nobody=1",
        ],
        2,
    );
    assert!(
        stderr.contains("expected one of the layers first, rest"),
        "{stderr}"
    );
    let stderr = fails(
        &[
            "analyze",
            "--cube",
            text(&cube),
            "--plan",
            text(&plan),
            "--out",
            text(&out),
            "--value-at",
            "first",
        ],
        2,
    );
    assert!(stderr.contains("expected LAYER=RATIO"), "{stderr}");
}

const PROFIT: &str = r#"
[[metric]]
id = "profit"
numerator = "sum(profit)"
denominator = "rows"
better = "higher"
[[guardrail]]
metric = "profit"
margin = 1.0
"#;

/// A small study in which every turn earns 10 to 11, but one turn of the candidate a million.
fn with_profits() -> Small {
    let small = Small::new();
    small.edit("traffic.csv", |log| {
        let mut rest = true;
        let with_profit = |(idx, line): (usize, &str)| {
            let is_huge = line.contains(",new,") && std::mem::take(&mut rest);
            let profit = match idx {
                0 => "profit".to_owned(),
                _ if is_huge => "1000000".to_owned(),
                _ => format!("{}", 10.0 + (idx * 37 % 100) as f64 / 100.0),
            };
            format!("{line},{profit}\n")
        };
        log.lines().enumerate().map(with_profit).collect()
    });
    small
}

#[test]
fn one_row_does_not_decide() {
    let small = with_profits();
    let scenario = fs::read_to_string(small.path("study.toml")).unwrap();
    let profit = |limits: &str| {
        let metric = PROFIT.replace("better", &format!("{limits}\nbetter"));
        small.write("study.toml", format!("{scenario}{metric}"));
        let run = sluice(&[
            "run",
            text(&small.path("study.toml")),
            "--out",
            text(&small.path("out")),
        ]);
        assert!(run.status.success(), "{run:?}");
        let analysis = json(&small.path("out/analysis.json"));
        let stage = analysis["layers"][0]["stages"]
            .as_array()
            .unwrap()
            .last()
            .unwrap();
        let metrics = stage["metrics"].as_array().unwrap().iter();
        let metric = metrics
            .clone()
            .find(|metric| metric["metric"] == "profit")
            .unwrap();
        let verdict = stage["guardrails"][0]["verdict"].as_str().unwrap().to_owned();
        let report = fs::read_to_string(small.path("out/report.md")).unwrap();
        let warnings = String::from_utf8(run.stderr).unwrap();
        (metric.clone(), verdict, report, warnings)
    };
    let (metric, verdict, report, warnings) = profit("");
    assert_eq!((verdict.as_str(), &metric["limits"]), ("unclear", &Value::Null));
    assert!(
        !report.contains("upper limit") && !warnings.contains("limits"),
        "{warnings}"
    );

    let (metric, verdict, report, warnings) = profit("cap = 20.0");
    assert_eq!(verdict, "safe", "{metric}");
    let limits = &metric["limits"];
    assert_eq!((&limits["cap"], &limits["floor"]), (&20.0.into(), &Value::Null));
    assert_eq!(
        (&limits["baseline_share"], &limits["is_final"]),
        (&0.0.into(), &true.into())
    );
    let n_rows = metric["candidate"]["denominator"].as_f64().unwrap();
    assert_eq!(limits["candidate_share"].as_f64().unwrap(), 1.0 / n_rows);
    assert!(
        report.contains("| profit | - | 20 | the scenario | 0% |"),
        "{report}"
    );
    assert!(!warnings.contains("limits"), "{warnings}");

    // 10 / (1 - 0.95) = 200 values are enough for final limits, which the log does not have.
    let (metric, verdict, report, warnings) = profit("winsorize = 0.95");
    assert_eq!(verdict, "safe", "{metric}");
    let limits = &metric["limits"];
    let [floor, cap] = ["floor", "cap"].map(|limit| limits[limit].as_f64().unwrap());
    assert!(
        (10.0..10.1).contains(&floor) && (10.9..11.0).contains(&cap),
        "{limits}"
    );
    assert_eq!(
        limits["n_values"],
        metric["baseline"]["denominator"].as_f64().unwrap() as u64
    );
    assert_eq!(limits["is_final"], false);
    assert!(report.contains("which new rows still change"), "{report}");
    assert!(
        warnings.contains("metric profit: the limits rest on"),
        "{warnings}"
    );
    let (metric, ..) = profit("winsorize = 0.9");
    assert_eq!(metric["limits"]["is_final"], true, "{metric}");

    for (limits, expected) in [
        (
            "cap = 5\nwinsorize = 0.99",
            "either `winsorize` or `cap` and `floor`",
        ),
        ("cap = 5\nfloor = 5", "expected a number below `cap` = 5"),
        ("cap = 1e15", "expected a number up to"),
        ("cap = 5\nproportion = true", "expected no limits of values"),
        ("winsorize = 0.5", "expected a number from 0.9 to 0.99999"),
    ] {
        let metric = PROFIT.replace("better", &format!("{limits}\nbetter"));
        small.write("study.toml", format!("{scenario}{metric}"));
        let stderr = small.fails(2);
        assert!(stderr.contains(expected), "{stderr}");
    }
    for numerator in ["rows", "count(profit)", "sum(profit > 5)", "sum(success)"] {
        let metric = PROFIT
            .replace("sum(profit)", numerator)
            .replace("better", "cap = 5\nbetter");
        small.write("study.toml", format!("{scenario}{metric}"));
        let stderr = small.fails(2);
        assert!(
            stderr.contains("expected a numerator `sum(column)` of numbers"),
            "{stderr}"
        );
    }
}

#[test]
fn values_below_the_resolution_are_reported() {
    let small = with_profits();
    small.edit("traffic.csv", |log| log.replace(",10.5\n", ",0.0000004\n"));
    small.edit("study.toml", |scenario| format!("{scenario}{PROFIT}"));
    let run = sluice(&[
        "run",
        text(&small.path("study.toml")),
        "--out",
        text(&small.path("out")),
    ]);
    assert_eq!(small.rows()["below_resolution"]["profit"], 4);
    let warnings = String::from_utf8(run.stderr).unwrap();
    assert!(
        warnings.contains("4 values are not 0 but below the resolution of 1e-6, and count as 0;"),
        "{warnings}"
    );
    let report = fs::read_to_string(small.path("out/report.md")).unwrap();
    assert!(
        report.contains("below the resolution, counted as 0 | 4 |"),
        "{report}"
    );
}
