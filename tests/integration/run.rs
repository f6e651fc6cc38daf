//! Tests of `sluice run` and of its stages as single commands.

use arrow_array::{Array, Float64Array, RecordBatch, StringArray, cast::AsArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{collections::HashMap, fs, fs::File, path::Path};

use crate::{
    small::Small,
    support::{assert_same_tree, ecommerce, json, ok, sluice, text, tree},
};

#[test]
fn the_case_study_is_decided_as_expected() {
    let schedule = json(&ecommerce().join("schedule.json"));
    let verdict = |layer: &str| {
        let found = schedule["layers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["layer"] == layer)
            .unwrap();
        (
            found["verdict"].as_str().unwrap().to_owned(),
            found["ratio"].as_f64().unwrap(),
            found["next_ratio"].as_f64().unwrap(),
        )
    };
    assert_eq!(verdict("internal"), ("hold".into(), 1.0, 1.0));
    assert_eq!(verdict("early"), ("promote".into(), 0.1, 0.5));
    assert_eq!(verdict("regular"), ("rollback".into(), 0.01, 0.0));
    assert_eq!(verdict("high_value"), ("hold".into(), 0.0, 0.0));
    assert_eq!(verdict("vip"), ("hold".into(), 0.0, 0.0));
    let gate = json(&ecommerce().join("gate_report.json"));
    assert_eq!(gate["outcome"], "fail");
    for check in gate["checks"].as_array().unwrap() {
        assert_eq!(check["outcome"] == "pass", check["remedy"].is_null(), "{check}");
    }
}

#[test]
fn the_regression_is_caught_hours_after_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    // The same data, decided six hours into day 4.
    let summary = ok(&[
        "run",
        "scenarios/ecommerce.toml",
        "--out",
        text(&out),
        "--as-of",
        "2026-05-28T06:00:00Z",
        "--json",
    ]);
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let regular = summary["schedule"]["layers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["layer"] == "regular")
        .unwrap()
        .clone();
    assert_eq!(regular["verdict"], "rollback", "{regular}");
}

#[test]
fn one_thread_or_two_write_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    ok(&[
        "--threads",
        "1",
        "run",
        "scenarios/ecommerce.toml",
        "--out",
        text(&out),
    ]);
    assert_same_tree(ecommerce(), &out);
    // A second run into the same folder reuses its data.
    ok(&["run", "scenarios/ecommerce.toml", "--out", text(&out)]);
    assert_same_tree(ecommerce(), &out);
    let hidden: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !hidden
            .iter()
            .any(|name| name.to_string_lossy().contains("partial")),
        "{hidden:?}"
    );
}

#[test]
fn the_stages_write_what_run_writes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let study = ecommerce();
    let plan = "scenarios/ecommerce.toml";

    ok(&["generate", "ecommerce", "--out", text(&at("data"))]);
    assert_same_tree(&study.join("data"), &at("data"));
    ok(&[
        "layer",
        "--users",
        text(&at("data/users.parquet")),
        "--config",
        plan,
        "--out",
        text(&at("layers.parquet")),
    ]);
    ok(&[
        "replay",
        "--traffic",
        text(&at("data/traffic")),
        "--layers",
        text(&at("layers.parquet")),
        "--plan",
        plan,
        "--out",
        text(&at("cube")),
    ]);
    ok(&[
        "analyze",
        "--cube",
        text(&at("cube")),
        "--plan",
        plan,
        "--out",
        text(&at("analysis.json")),
    ]);
    ok(&[
        "schedule",
        "--plan",
        plan,
        "--analysis",
        text(&at("analysis.json")),
        "--layer-summary",
        text(&at("layers.summary.json")),
        "--out",
        text(dir.path()),
    ]);
    ok(&["report", text(dir.path()), "--plan", plan]);
    let (ours, mut theirs) = (tree(dir.path()), tree(study));
    theirs.retain(|name, _| name != Path::new("manifest.json"));
    for (name, bytes) in theirs {
        assert!(ours.get(&name) == Some(&bytes), "{} differs", name.display());
    }
}

#[test]
fn deciding_twice_on_the_same_evidence_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let study = ecommerce();
    let args = |out: &Path| -> Vec<String> {
        [
            "schedule",
            "--plan",
            "scenarios/ecommerce.toml",
            "--analysis",
            text(&study.join("analysis.json")),
            "--state",
            text(&study.join("state.json")),
            "--out",
            text(out),
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let out = dir.path().join("again");
    let args = args(&out);
    let printed = ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(printed.contains("nothing changed"), "{printed}");
    assert!(!out.exists());
}

#[test]
fn the_gate_flag_gives_the_gate_s_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    let output = sluice(&["run", "scenarios/open-bandit.toml", "--out", text(&out), "--gate"]);
    assert_eq!(output.status.code(), Some(11));
}

#[test]
fn verify_names_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = fs::read_to_string(crate::support::root().join("scenarios/open-bandit.toml")).unwrap();
    let datasets = crate::support::root().join("datasets");
    let scenario = scenario
        .replace("../datasets", text(&datasets))
        .replace("verdict = \"inconclusive\"", "verdict = \"promote\"");
    let path = dir.path().join("wrong.toml");
    fs::write(&path, scenario).unwrap();
    let stderr = crate::support::fails(
        &[
            "run",
            text(&path),
            "--out",
            text(&dir.path().join("out")),
            "--verify",
        ],
        1,
    );
    assert!(
        stderr.contains("expected promote to 50%, found inconclusive to 50%"),
        "{stderr}"
    );
}

/// Counts and sums of one release in one stage, computed directly from the rows.
#[derive(Default)]
struct Naive {
    n_rows: u64,
    users: std::collections::HashSet<String>,
    completed: f64,
    complaints: f64,
    bad: f64,
    rated: f64,
    latency: f64,
}

/// Compares the numbers of the analysis with a plain loop over the rows, without groups, threads or
/// integers.
#[test]
fn a_plain_loop_over_the_rows_finds_the_same_numbers() {
    let study = ecommerce();
    let mut layer_of: HashMap<String, (String, bool)> = HashMap::new();
    each_batch(&study.join("layers.parquet"), |batch| {
        let (ids, layers) = (texts(batch, "user_id"), texts(batch, "layer"));
        let eligible = batch.column_by_name("eligible").unwrap().as_boolean();
        for row in 0..batch.num_rows() {
            layer_of.insert(
                ids.value(row).into(),
                (layers.value(row).into(), eligible.value(row)),
            );
        }
    });
    let analysis = json(&study.join("analysis.json"));
    let mut naive: HashMap<(String, usize, String), Naive> = HashMap::new();
    for day in ["25", "26", "27", "28"] {
        each_batch(
            &study.join(format!("data/traffic/dt=2026-05-{day}/part-0.parquet")),
            |batch| {
                let (ids, releases) = (texts(batch, "user_id"), texts(batch, "release_id"));
                let times = batch.column_by_name("event_time").unwrap();
                let times = times.as_primitive::<arrow_array::types::TimestampMicrosecondType>();
                let flag = |name: &str| batch.column_by_name(name).unwrap().as_boolean().clone();
                let (completed, complaint, bad) = (flag("task_completed"), flag("complaint"), flag("bad"));
                let latency: &Float64Array = batch.column_by_name("latency_ms").unwrap().as_primitive();
                for row in 0..batch.num_rows() {
                    let (layer, eligible) = &layer_of[ids.value(row)];
                    if !eligible {
                        continue;
                    }
                    let of_layer = analysis["layers"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .find(|l| l["layer"] == layer.as_str())
                        .unwrap();
                    let stages = of_layer["stages"].as_array().unwrap();
                    let at = times.value(row);
                    let stage = stages
                        .iter()
                        .position(|s| {
                            (s["start"].as_i64().unwrap()..s["end"].as_i64().unwrap()).contains(&at)
                        })
                        .unwrap();
                    let cell = naive
                        .entry((layer.clone(), stage, releases.value(row).into()))
                        .or_default();
                    cell.n_rows += 1;
                    cell.users.insert(ids.value(row).into());
                    cell.completed += f64::from(u8::from(completed.value(row)));
                    cell.complaints += f64::from(u8::from(complaint.value(row)));
                    cell.latency += latency.value(row);
                    if bad.is_valid(row) {
                        cell.rated += 1.0;
                        cell.bad += f64::from(u8::from(bad.value(row)));
                    }
                }
            },
        );
    }
    let close = |found: &serde_json::Value, expected: f64| {
        let found = found.as_f64().unwrap();
        assert!(
            (found - expected).abs() <= 1e-9 * expected.abs(),
            "{found} against {expected}"
        );
    };
    let mut n_compared = 0;
    for ((layer, stage, release), cell) in &naive {
        let of_layer = analysis["layers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["layer"] == layer.as_str())
            .unwrap();
        let stage = &of_layer["stages"][stage];
        let arm = if analysis["candidate"] == release.as_str() {
            "candidate"
        } else {
            "baseline"
        };
        let estimate = |metric: &str| {
            &stage["metrics"]
                .as_array()
                .unwrap()
                .iter()
                .find(|m| m["metric"] == metric)
                .unwrap()[arm]["estimate"]
        };
        assert_eq!(stage["rows"][arm], cell.n_rows);
        assert_eq!(stage["users"][arm], cell.users.len());
        let n = cell.n_rows as f64;
        close(estimate("task_completion_rate"), cell.completed / n);
        close(estimate("complaint_rate"), cell.complaints / n);
        close(estimate("latency_mean_ms"), cell.latency / n);
        close(estimate("bad_rate"), cell.bad / cell.rated);
        n_compared += 1;
    }
    assert!(n_compared >= 9, "{n_compared}");
}

fn each_batch(path: &Path, mut on_batch: impl FnMut(&RecordBatch)) {
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap())
        .unwrap()
        .build()
        .unwrap()
    {
        on_batch(&batch.unwrap());
    }
}

fn texts(batch: &RecordBatch, name: &str) -> StringArray {
    arrow_cast::cast(batch.column_by_name(name).unwrap(), &arrow_schema::DataType::Utf8)
        .unwrap()
        .as_string()
        .clone()
}

/// The cube does not depend on how the rows are split, ordered and written.
#[test]
fn splits_orders_and_formats_do_not_matter() {
    let small = Small::new();
    small.run();
    let reference = tree(&small.path("out/cube"));
    let csv = fs::read_to_string(small.path("traffic.csv")).unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    fs::create_dir(small.path("parts")).unwrap();
    for (idx, chunk) in rows.chunks(150).rev().enumerate() {
        let reversed: Vec<&str> = chunk.iter().rev().copied().collect();
        small.write(
            &format!("parts/{idx}.csv"),
            format!("{header}\n{}\n", reversed.join("\n")),
        );
    }
    // The last part is NDJSON.
    let last = fs::read_to_string(small.path("parts/2.csv")).unwrap();
    fs::remove_file(small.path("parts/2.csv")).unwrap();
    let objects: Vec<String> = last
        .lines()
        .skip(1)
        .map(|line| {
            let f: Vec<&str> = line.split(',').collect();
            format!(
                r#"{{"event_time":"{}","user_id":"{}","release_id":"{}","success":{},"latency_ms":{}}}"#,
                f[0], f[1], f[2], f[3], f[4]
            )
        })
        .collect();
    small.write("parts/2.ndjson", objects.join("\n"));
    small.edit("study.toml", |t| t.replace("traffic.csv", "parts"));
    small.run();
    let cube = tree(&small.path("out/cube"));
    for name in ["cells.parquet", "exposures.parquet", "latencies.parquet"] {
        assert!(
            cube[Path::new(name)] == reference[Path::new(name)],
            "{name} differs"
        );
    }
    assert_eq!(small.rows()["n_rows"], 400);
}

#[test]
fn files_are_not_writable_by_others() {
    use std::os::unix::fs::PermissionsExt;
    for name in tree(ecommerce()).keys() {
        let mode = fs::metadata(ecommerce().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o133, 0, "{}: {mode:o}", name.display());
    }
}

/// Writes the case study with changes, at a tenth of its size.
fn changed(dir: &Path, edit: impl Fn(String) -> String) -> std::path::PathBuf {
    let text = fs::read_to_string(crate::support::root().join("scenarios/ecommerce.toml")).unwrap();
    let path = dir.join("changed.toml");
    fs::write(
        &path,
        edit(
            text.replace("users = 200_000", "users = 40_000")
                .replace("turns = 2_000_000", "turns = 400_000"),
        ),
    )
    .unwrap();
    path
}

fn layer_of(schedule: &serde_json::Value, layer: &str) -> serde_json::Value {
    schedule["layers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["layer"] == layer)
        .unwrap()
        .clone()
}

#[test]
fn a_release_that_was_rolled_back_stays_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    let scenario = changed(dir.path(), |text| {
        text.split("[[expect]]").next().unwrap().to_owned()
            + "[[operation]]\nat = \"2026-05-28T12:00:00Z\"\nlayer = \"regular\"\nratio = 0.0\n"
    });
    ok(&["run", text(&scenario), "--out", text(&out)]);
    let regular = layer_of(&json(&out.join("schedule.json")), "regular");
    assert_eq!(
        (regular["verdict"].clone(), regular["first_blocking"].clone()),
        ("hold".into(), "new_release".into())
    );
    let gate = json(&out.join("gate_report.json"));
    let outcome = |check: &str| {
        gate["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["check"] == check)
            .unwrap()["outcome"]
            .clone()
    };
    assert_eq!(
        (
            outcome("rolled_back"),
            outcome("exposure_cap"),
            gate["outcome"].clone()
        ),
        ("fail".into(), "fail".into(), "fail".into())
    );
}

#[test]
fn a_plan_that_rolls_back_as_a_whole_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    let scenario = changed(dir.path(), |text| {
        text.split("[[expect]]")
            .next()
            .unwrap()
            .replace("after = [\"regular\"]", "")
            .replace("[policy]", "[policy]\nrollback_scope = \"plan\"")
            .replace("task_completion_rate = 0.47", "task_completion_rate = 0.2")
    });
    ok(&["run", text(&scenario), "--out", text(&out)]);
    let schedule = json(&out.join("schedule.json"));
    for layer in schedule["layers"].as_array().unwrap() {
        assert_eq!(
            (layer["next_ratio"].clone(), layer["rolled_back"].clone()),
            (0.0.into(), true.into()),
            "{layer}"
        );
        let blocking = &layer["first_blocking"];
        assert!(
            layer["trace"]
                .as_array()
                .unwrap()
                .iter()
                .any(|step| step["check"] == *blocking),
            "{layer}"
        );
    }
}

#[test]
fn tenants_have_ratios_of_their_own() {
    let small = Small::new();
    small.edit("users.csv", |t| {
        t.replace("user_id,", "tenant_id,user_id,")
            .replace("\nu", "\nx,u")
            + &t.split_once('\n')
                .unwrap()
                .1
                .replace("u", "y,u")
                .replace("try,ue", "true")
    });
    small.edit("traffic.csv", |t| {
        let rows: Vec<&str> = t.lines().skip(1).collect();
        let x = rows.iter().map(|row| format!("x,{row}\n")).collect::<String>();
        let y = rows
            .iter()
            .map(|row| format!("y,{}\n", row.replace(",new,", ",old,")))
            .collect::<String>();
        format!("tenant_id,event_time,user_id,release_id,success,latency_ms\n{x}{y}")
    });
    small.edit("study.toml", |t| {
        t.replace("layer = \"all\"", "layer = \"all\"\ntenant = \"x\"")
    });
    small.run();
    let schedule = json(&small.path("out/schedule.json"));
    let ratios: Vec<(String, f64)> = schedule["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["tenant"].as_str().unwrap().into(), l["ratio"].as_f64().unwrap()))
        .collect();
    assert_eq!(ratios, [("x".to_owned(), 0.5), ("y".to_owned(), 0.0)]);
    assert_eq!(small.rows()["n_misassigned"], 0);
}

#[test]
fn users_in_both_arms_make_the_data_invalid() {
    let small = Small::new();
    // A random choice for each request: the second turn of every user gets the other release.
    small.edit("traffic.csv", |t| {
        t.lines().map(|line| if line.starts_with("2026-05-26") { line.replace(",new,", ",NEW,").replace(",old,", ",new,").replace(",NEW,", ",old,") } else { line.to_owned() } + "\n").collect()
    });
    small.edit("study.toml", |t| {
        t.replace("id = \"small\"", "id = \"small\"\nprofile = \"external\"")
    });
    small.run();
    let layer = layer_of(&json(&small.path("out/schedule.json")), "all");
    assert_eq!(
        (layer["verdict"].clone(), layer["first_blocking"].clone()),
        ("invalid".into(), "crossover".into())
    );
}

#[test]
fn evidence_of_another_plan_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cube = ecommerce().join("cube");
    let out = dir.path().join("analysis.json");
    for (from, to) in [
        ("candidate = \"cs-agent-2026.05\"", "candidate = \"newer\""),
        ("ratio = 0.01", "ratio = 0.02"),
        ("as_of = \"2026-05-29", "as_of = \"2026-05-28"),
    ] {
        let scenario = changed(dir.path(), |text| text.replace(from, to));
        let stderr = crate::support::fails(
            &[
                "analyze",
                "--cube",
                text(&cube),
                "--plan",
                text(&scenario),
                "--out",
                text(&out),
            ],
            3,
        );
        assert!(
            stderr.contains("expected a cube of plan") && stderr.contains("hint:"),
            "{stderr}"
        );
    }
    // A state that was edited by hand.
    let state = dir.path().join("state.json");
    let whole = fs::read_to_string(ecommerce().join("state.json")).unwrap();
    for (from, to) in [
        ("sluice.state/1", "sluice.state/7"),
        ("\"layer\": \"vip\"", "\"layer\": \"early\""),
        ("\"plan_id\": \"cs", "\"plan_id\": \"xx"),
    ] {
        fs::write(
            &state,
            whole
                .replacen(from, to, 1)
                .replace("\"evidence_digest\": \"sha256:", "\"evidence_digest\": \"other:"),
        )
        .unwrap();
        let analysis = ecommerce().join("analysis.json");
        let args = [
            "schedule",
            "--plan",
            "scenarios/ecommerce.toml",
            "--analysis",
            text(&analysis),
            "--state",
            text(&state),
            "--out",
            text(dir.path()),
        ];
        crate::support::fails(&args, 3);
    }
}
