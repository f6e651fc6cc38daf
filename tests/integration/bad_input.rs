//! Tests of bad input. Each case must end with an error that names file, column and row, or with a
//! counted row. The exit code must be the documented one, and the previous output must not change.

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use std::{fs, path::Path, process::Command, sync::Arc};

use crate::{
    small::{Small, USERS},
    support::{assert_same_tree, fails, is_root, json, ok, sluice, text, tree},
};

/// Runs the study, edits it, and runs it again. The error must contain all of `parts`, and the
/// first output must be unchanged.
fn breaks(edit: impl Fn(&Small), code: i32, parts: &[&str]) {
    let small = Small::new();
    small.run();
    let before = tree(&small.path("out"));
    edit(&small);
    let stderr = small.fails(code);
    for part in parts {
        assert!(stderr.contains(part), "expected {part:?} in:\n{stderr}");
    }
    assert!(before == tree(&small.path("out")), "the previous output changed");
    assert!(!small.path(".out.partial").exists());
}

#[test]
fn files_that_cannot_be_read() {
    breaks(|s| s.write("traffic.csv", ""), 3, &["traffic.csv", "empty"]);
    breaks(
        |s| s.write("users.csv", USERS),
        3,
        &["users.csv", "expected users, found none"],
    );
    breaks(
        |s| fs::remove_file(s.path("users.csv")).unwrap(),
        3,
        &["users.csv", "found no such file"],
    );
    breaks(
        |s| s.edit("traffic.csv", |t| t.replace("release_id", "version")),
        3,
        &["traffic.csv", "column `release_id`", "`version`", "hint:"],
    );
    breaks(
        |s| {
            s.write(
                "traffic.csv",
                b"event_time,user_id,release_id\n2026-05-25,\xff\xfe,old\n",
            )
        },
        3,
        &["traffic.csv"],
    );
    breaks(
        |s| s.edit("traffic.csv", |t| t + "2026-05-25,u1\n"),
        3,
        &["traffic.csv"],
    );
}

#[test]
fn a_truncated_parquet_file() {
    let small = Small::new();
    let schema = Arc::new(arrow_schema::Schema::new(vec![
        arrow_schema::Field::new("user_id", arrow_schema::DataType::Utf8, false),
        arrow_schema::Field::new("use_count", arrow_schema::DataType::Float64, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["u1"; 1000])),
        Arc::new(Float64Array::from(vec![1.0; 1000])),
    ];
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).unwrap();
    writer
        .write(&RecordBatch::try_new(schema, columns).unwrap())
        .unwrap();
    let bytes = writer.into_inner().unwrap();
    small.edit("study.toml", |t| t.replace("users.csv", "users.parquet"));
    for n in [0, 3, 10, bytes.len() / 2, bytes.len() - 1] {
        small.write("users.parquet", &bytes[..n]);
        let stderr = small.fails(3);
        assert!(
            stderr.contains("users.parquet") && stderr.contains("expected a complete Parquet file"),
            "{stderr}"
        );
    }
}

#[test]
fn rows_that_cannot_be_used() {
    let bad_row = |row: &'static str| move |s: &Small| s.edit("traffic.csv", |t| t + row + "\n");
    breaks(
        bad_row("2026-05-25,,old,true,5"),
        3,
        &[
            "column `user_id`, row 401",
            "expected a value, found none",
            "hint:",
        ],
    );
    breaks(
        bad_row("2026-05-25,u1,old,true,-4"),
        3,
        &[
            "column `latency_ms`, row 401",
            "expected a number >= 0, found -4",
            "on_bad_row",
        ],
    );
    breaks(
        bad_row("2026-05-25,u1,old,true,NaN"),
        3,
        &["column `latency_ms`, row 401", "found NaN"],
    );
    breaks(
        bad_row("2026-05-25,u1,old,true,fast"),
        3,
        &["column `latency_ms`, row 401", "found \"fast\""],
    );
    breaks(
        bad_row("2026-05-25,u1,old,maybe,5"),
        3,
        &[
            "column `success`, row 401",
            "expected true or false, found \"maybe\"",
        ],
    );
    breaks(
        bad_row("soon,u1,old,true,5"),
        3,
        &[
            "column `event_time`, row 401",
            "expected an instant such as 2026-05-28T00:00:00Z, 2026-05-28 or epoch seconds, found \"soon\"",
        ],
    );
    breaks(
        |s| s.edit("users.csv", |t| t + "u7,1,true\n"),
        3,
        &[
            "users.csv",
            "column `user_id`",
            "two rows for \"u7\"",
            "keep_first",
        ],
    );
    breaks(
        |s| s.edit("users.csv", |t| t + ",1,true\n"),
        3,
        &["users.csv", "column `user_id`, row 201", "found none"],
    );
    breaks(
        |s| s.edit("users.csv", |t| t + "u999,nan,true\n"),
        3,
        &["column `use_count`, row 201", "found NaN"],
    );
}

#[test]
fn a_column_of_the_wrong_type() {
    let small = Small::new();
    let schema = Arc::new(arrow_schema::Schema::new(vec![arrow_schema::Field::new(
        "user_id",
        arrow_schema::DataType::Float64,
        false,
    )]));
    let columns: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![1.5]))];
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).unwrap();
    writer
        .write(&RecordBatch::try_new(schema, columns).unwrap())
        .unwrap();
    small.write("users.parquet", writer.into_inner().unwrap());
    small.edit("study.toml", |t| t.replace("users.csv", "users.parquet"));
    let stderr = small.fails(3);
    assert!(
        stderr.contains("column `user_id`: expected text or whole numbers, found Float64"),
        "{stderr}"
    );
}

#[test]
fn rows_that_are_dropped_are_counted() {
    let small = Small::new();
    small.edit("study.toml", |t| {
        t.replace(
            "[input]",
            "[input]\non_bad_row = \"drop\"\non_duplicate_user = \"keep_first\"",
        )
    });
    small.edit("users.csv", |t| t + "u7,1,true\n,1,true\n");
    small.edit("traffic.csv", |t| {
        t + "2026-05-25,,old,true,5\n2026-05-25,u1,old,true,-4\n2026-05-25,u1,old,true,NaN\n2026-05-24,u1,old,true,5\n\
             2026-05-29,u1,old,true,5\n2026-05-26,u1,strange,true,5\n2026-05-26,u1,,true,5\n2026-05-26,nobody,old,true,5\n"
    });
    small.run();
    let rows = small.rows();
    assert_eq!(rows["n_rows"], 408);
    assert_eq!(
        rows["n_baseline"].as_u64().unwrap() + rows["n_candidate"].as_u64().unwrap(),
        400
    );
    assert_eq!(
        (
            rows["n_bad"].clone(),
            rows["n_before_start"].clone(),
            rows["n_after_as_of"].clone()
        ),
        (3.into(), 1.into(), 1.into())
    );
    assert_eq!(
        (rows["n_unknown_release"].clone(), rows["n_unknown_user"].clone()),
        (2.into(), 1.into())
    );
    assert_eq!(rows["bad_rows"]["column `latency_ms`: expected a number >= 0"], 2);
    let summary = json(&small.path("out/layers.summary.json"));
    assert_eq!(
        (summary["n_users"].clone(), summary["n_duplicates"].clone()),
        (200.into(), 1.into())
    );
    assert_eq!(summary["bad_rows"]["column `user_id`: expected a value"], 1);
    assert!(
        fs::read_to_string(small.path("out/report.md"))
            .unwrap()
            .contains("expected a number &gt;= 0 | 2 |")
    );
}

#[test]
fn an_unknown_release_can_be_refused() {
    breaks(
        |s| {
            s.edit("study.toml", |t| {
                t.replace("[input]", "[input]\non_unknown_release = \"error\"")
            });
            s.edit("traffic.csv", |t| t + "2026-05-26,u1,strange,true,5\n");
        },
        3,
        &[
            "column `release_id`, row 401",
            "expected \"old\" or \"new\", found \"strange\"",
            "hint:",
        ],
    );
}

#[test]
fn scenarios_that_are_wrong() {
    let wrong = |from: &'static str, to: &'static str| {
        move |s: &Small| s.edit("study.toml", |t| t.replacen(from, to, 1))
    };
    breaks(
        |s| s.write("study.toml", "as_of = "),
        2,
        &["study.toml", "line 1", "expected TOML"],
    );
    breaks(
        wrong("why", "wy"),
        2,
        &[
            "study.toml: wy: expected a known key, found `wy`",
            "did you mean `why`?",
        ],
    );
    breaks(
        wrong("id = \"all\"", "id = \"all\"\nladdder = [1.0]"),
        2,
        &["layer[1].laddder", "did you mean `ladder`?"],
    );
    breaks(
        wrong("ratio = 0.5", "ratio = 0.00001"),
        2,
        &["operation[1].ratio", "steps of 0.0001"],
    );
    breaks(
        wrong("ratio = 0.5", "ratio = 1.5"),
        2,
        &["operation[1].ratio", "from 0 to 1, found 1.5"],
    );
    breaks(
        wrong("layer = \"all\"", "layer = \"some\""),
        2,
        &["operation[1].layer", "expected one of all, found \"some\""],
    );
    breaks(wrong("as_of = \"2026-05-28\"", "as_of = 5"), 2, &["as_of"]);
    breaks(
        wrong("candidate = \"new\"", ""),
        2,
        &["plan.candidate", "found nothing"],
    );
    breaks(
        |s| fs::remove_file(s.path("study.toml")).unwrap(),
        2,
        &["study.toml", "expected a scenario file"],
    );
    breaks(
        wrong(
            "id = \"all\"",
            "id = \"all\"\ntags = [{ column = \"用户性别\", equals = \"f\" }]",
        ),
        2,
        &["layer[1].tags[1].column", "sensitive attribute", "性别"],
    );
}

#[test]
fn all_problems_of_a_scenario_at_once() {
    breaks(
        |s| {
            s.edit("study.toml", |t| {
                t.replace("why", "wy").replace("ratio = 0.5", "ratio = \"half\"")
                    + "[layering]\nweights = [0.5, 0.5, 0.5, 0.5]\nmode = \"bands\"\n"
            });
        },
        2,
        &[
            "wy: expected a known key",
            "operation[1].ratio: invalid type",
            "layering.weights: expected weights >= 0 that sum to 1",
            "layering.mode: expected",
        ],
    );
}

#[test]
fn files_of_others_are_not_lost() {
    let small = Small::new();
    let refuses = |file: &str| {
        let stderr = small.fails(1);
        assert!(
            stderr.contains("expected an empty folder or an earlier output") && stderr.contains(file),
            "{stderr}"
        );
    };
    fs::create_dir(small.path("out")).unwrap();
    small.write("out/thesis.txt", "years of work");
    refuses("thesis.txt");
    // A file with the name of the manifest is not enough to replace a folder.
    small.write("out/manifest.json", "{}");
    refuses("manifest.json");
    fs::remove_dir_all(small.path("out")).unwrap();
    small.run();
    small.write("out/notes.txt", "mine");
    refuses("notes.txt");
    assert_eq!(fs::read_to_string(small.path("out/notes.txt")).unwrap(), "mine");
    fs::remove_file(small.path("out/notes.txt")).unwrap();
    // An output folder that is a symbolic link stays a link.
    fs::rename(small.path("out"), small.path("real")).unwrap();
    std::os::unix::fs::symlink(small.path("real"), small.path("out")).unwrap();
    small.run();
    assert!(fs::symlink_metadata(small.path("out")).unwrap().is_symlink());
}

#[test]
fn a_study_does_not_replace_its_inputs() {
    let small = Small::new();
    ok(&[
        "run",
        text(&small.path("study.toml")),
        "--out",
        text(&small.path("out")),
    ]);
    small.edit("study.toml", |t| t.replace("users.csv", "out/layers.parquet"));
    assert!(
        small
            .fails(2)
            .contains("expected inputs outside of the output folder")
    );
    let users = small.path("users.csv");
    let stderr = fails(
        &[
            "layer",
            "--users",
            text(&users),
            "--as-of",
            "2026-05-25",
            "--out",
            text(&users),
        ],
        2,
    );
    assert!(
        stderr.contains("expected the output to differ from the input"),
        "{stderr}"
    );
    fails(
        &[
            "layer",
            "--users",
            text(&users),
            "--as-of",
            "2026-05-25",
            "--out",
            "/dev/null",
            "--absent",
            "last_use_time,user_value,accept_score",
        ],
        1,
    );
}

#[test]
fn late_columns_hidden_folders_and_loops() {
    let small = Small::new();
    small.run();
    let n_rows = small.rows()["n_rows"].clone();
    let csv = fs::read_to_string(small.path("traffic.csv")).unwrap();
    fs::create_dir_all(small.path("t/_temporary")).unwrap();
    small.write("t/_temporary/part.csv", &csv);
    std::os::unix::fs::symlink(".", small.path("t/latest")).unwrap();
    // In this NDJSON file only the last row has `complaint`. The first file has no such column.
    let objects: Vec<String> = csv
        .lines()
        .skip(1)
        .enumerate()
        .map(|(idx, line)| {
            let f: Vec<&str> = line.split(',').collect();
            let complaint = if idx == 399 { ",\"complaint\":true" } else { "" };
            format!(
                r#"{{"event_time":"{}","user_id":"{}","release_id":"{}"{complaint}}}"#,
                f[0], f[1], f[2]
            )
        })
        .collect();
    small.write("t/a.ndjson", objects[..100].join("\n"));
    small.write("t/b.ndjson", objects[100..].join("\n"));
    small.edit("study.toml", |t| t.replace("traffic.csv", "t"));
    small.run();
    assert_eq!(small.rows()["n_rows"], n_rows);
    let analysis = json(&small.path("out/analysis.json"));
    let metrics = analysis["layers"][0]["stages"][0]["metrics"].as_array().unwrap();
    let complaint = metrics
        .iter()
        .find(|m| m["metric"] == "complaint_rate")
        .expect("the column was found");
    assert_eq!(
        complaint["baseline"]["numerator"].as_f64().unwrap()
            + complaint["candidate"]["numerator"].as_f64().unwrap(),
        1.0
    );
}

#[test]
fn no_permission_to_write() {
    let small = Small::new();
    small.run();
    let before = tempfile::tempdir().unwrap();
    let copy = before.path().join("out");
    copy_tree(&small.path("out"), &copy);
    // Permissions do not bind root, so root runs the program as `nobody`. Other users remove their
    // own write permission.
    let binary = small.path("sluice-copy");
    fs::copy(env!("CARGO_BIN_EXE_sluice"), &binary).unwrap();
    let set = |mode: &str, path: &Path| {
        assert!(
            Command::new("chmod")
                .args([mode, text(path)])
                .status()
                .unwrap()
                .success()
        )
    };
    set(if is_root() { "755" } else { "555" }, small.dir.path());
    let arguments = [
        "run",
        text(&small.path("study.toml")),
        "--out",
        text(&small.path("out")),
    ]
    .map(str::to_owned);
    let output = if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary)
            .args(&arguments)
            .output()
            .unwrap()
    } else {
        Command::new(&binary).args(&arguments).output().unwrap()
    };
    set("755", small.dir.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("Permission denied") && stderr.contains("choose another --out"),
        "{stderr}"
    );
    assert_same_tree(&copy, &small.path("out"));
}

#[test]
fn a_disk_that_fills_up() {
    // A small file system in a private mount namespace. It disappears with the process.
    let script = r#"
        mount -t tmpfs -o size=2m tmpfs "$1" || { echo "cannot mount a tmpfs in a private namespace" >&2; exit 99; }
        cd "$1" && mkdir keep && cp -r "$2" out || exit 98
        "$3" run "$4" --out out; code=$?
        diff -r "$2" out > /dev/null || exit 97
        test ! -e .out.partial || exit 96
        exit $code
    "#;
    let small = Small::new();
    small.run();
    let (mount, out) = (small.path("mount"), small.path("out"));
    fs::create_dir(&mount).unwrap();
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let scenario = crate::support::root().join("scenarios/ecommerce.toml");
    let arguments = [
        "sh",
        "-c",
        script,
        "sh",
        text(&mount),
        text(&out),
        env!("CARGO_BIN_EXE_sluice"),
        text(&scenario),
    ];
    let output = command
        .arg("--mount")
        .args(arguments)
        .output()
        .expect("unshare (util-linux) is there");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("No space left on device") && stderr.contains("the previous output is unchanged"),
        "{stderr}"
    );
}

#[test]
fn no_command_panics_on_nonsense() {
    for args in [
        &["run"][..],
        &["run", "x.toml"],
        &["replay", "--plan", "no.toml", "--layers", "no", "--out", "no"],
        &["fly"],
        &["report", "no/such"],
    ] {
        let output = sluice(args);
        assert!(
            matches!(output.status.code(), Some(2 | 3)),
            "{args:?}: {output:?}"
        );
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for (name, bytes) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
