//! Tests that files which mean one thing together are written together: killed runs are finished by
//! the next run, two runs exclude each other, and the operation log keeps all decisions.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::small::Small;
use crate::support::{assert_same_tree, fails, kill_after, kill_runs, ok, text, tree};

/// Settings under which the small study promotes its layer.
const PROMOTES: &str = "guardrail = []\n[policy]\ndecision = \"point\"\nqos_floor = 0.0\n[plan]\n";

/// The columns that a QoS score needs and that the small study lacks.
const OUTCOMES: &str = "path = \"traffic.csv\", constants = { tool_calls = \"1\", tool_successes = \"1\", \
    task_completed = \"true\", complaint = \"false\", bad = \"false\" }";

/// A study whose layer is promoted on the third day. It is run, with its analyses of two days.
fn nights() -> Small {
    let small = Small::new();
    small.edit("study.toml", |text| {
        let text = text.replace("path = \"traffic.csv\"", OUTCOMES);
        text.replace("[plan]\n", PROMOTES).replace(
            "id = \"all\"\n",
            "id = \"all\"\nqos_threshold = 0.1\ndwell_hours = 24\nmin_users = 10\n",
        )
    });
    let study = small.path("study.toml");
    for day in ["27", "28"] {
        let as_of = format!("2026-05-{day}");
        let out = small.path(&format!("day{day}"));
        ok(&["run", text(&study), "--as-of", &as_of, "--out", text(&out)]);
    }
    small
}

/// The arguments of `schedule` for a day, into a folder.
fn schedule(small: &Small, day: &str, out: &str, more: &[&str]) -> Vec<String> {
    let path = |name: String| text(&small.path(&name)).to_owned();
    let mut args = vec![
        "schedule".to_owned(),
        "--scenario".to_owned(),
        path("study.toml".into()),
    ];
    args.extend(["--analysis".to_owned(), path(format!("day{day}/analysis.json"))]);
    args.extend(["--out".to_owned(), path(out.into())]);
    args.extend(more.iter().map(|more| (*more).to_owned()));
    args
}

fn run(args: &[String]) -> String {
    ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_operation_log_keeps_the_decisions_of_all_nights() {
    let small = nights();
    let state = small.path("r/state.json");
    let log = || fs::read_to_string(small.path("r/tables/operation_log.csv")).unwrap();
    run(&schedule(&small, "27", "r", &[]));
    let first = log();
    assert_eq!(first.matches(",promote,").count(), 1, "{first}");
    // The next night, and the same night again.
    for _ in 0..2 {
        run(&schedule(&small, "28", "r", &["--state", text(&state)]));
        let second = log();
        assert_eq!(second.matches(",set,").count(), 1, "{second}");
        assert_eq!(second.matches(",promote,").count(), 1, "{second}");
    }
    // Another folder has the whole log too.
    run(&schedule(
        &small,
        "28",
        "other",
        &["--state", text(&small.path("day27/state.json"))],
    ));
    let other = fs::read_to_string(small.path("other/tables/operation_log.csv")).unwrap();
    assert_eq!(other.matches(",promote,").count(), 1, "{other}");
}

#[test]
fn a_repeated_schedule_writes_again_what_differs() {
    let small = nights();
    let summary = text(&small.path("day28/layers.summary.json")).to_owned();
    let state = text(&small.path("r/state.json")).to_owned();
    let with = |more: &[&str]| run(&schedule(&small, "28", "r", more));
    let all = ["--state", state.as_str(), "--layer-summary", summary.as_str()];
    with(&all[2..]);
    let whole = tree(&small.path("r"));
    for name in ["gate_report.json", "tables/metric.csv"] {
        for text in [None, Some("{}")] {
            fs::remove_file(small.path("r").join(name)).unwrap();
            if let Some(text) = text {
                small.write(&format!("r/{name}"), text);
            }
            let printed = with(&all);
            assert!(printed.contains(name), "{printed}");
            assert!(tree(&small.path("r")) == whole, "{name}");
        }
    }
    assert!(!with(&all).contains("written again"));
    // A job that was killed right after its commit leaves the locks of its files.
    for name in [
        ".state.json.tmp.lock",
        ".schedule.json.tmp.lock",
        "tables/.metric.csv.tmp.lock",
    ] {
        small.write(&format!("r/{name}"), "");
    }
    assert!(!with(&all).contains("written again"));
    assert!(tree(&small.path("r")) == whole);
    // A summary that cannot be read changes nothing, and its correction is not ignored.
    fs::remove_dir_all(small.path("r")).unwrap();
    small.write("broken.json", "{");
    let broken = schedule(
        &small,
        "28",
        "r",
        &["--layer-summary", text(&small.path("broken.json"))],
    );
    fails(&broken.iter().map(String::as_str).collect::<Vec<_>>(), 3);
    assert!(!small.path("r/state.json").exists());
    with(&all[2..]);
    assert!(tree(&small.path("r")) == whole);
}

#[test]
fn a_killed_schedule_is_finished_by_the_next() {
    let small = nights();
    let summary = |day: &str| text(&small.path(&format!("day{day}/layers.summary.json"))).to_owned();
    let state = text(&small.path("r/state.json")).to_owned();
    let (first, second) = (summary("27"), summary("28"));
    let first = schedule(&small, "27", "r", &["--layer-summary", &first]);
    let second = schedule(
        &small,
        "28",
        "r",
        &["--state", &state, "--layer-summary", &second],
    );
    run(&first);
    let started = Instant::now();
    run(&second);
    let whole = started.elapsed();
    let expected = tree(&small.path("r"));
    let before = |_| {
        fs::remove_dir_all(small.path("r")).unwrap();
        run(&first);
    };
    kill_runs(&second, whole, 16, before, |k| {
        run(&second);
        assert!(tree(&small.path("r")) == expected, "kill {k}");
    });
}

#[test]
fn a_killed_layer_leaves_no_summary_beside_another_table() {
    let small = nights();
    let args = |as_of: &str, previous: Option<&str>, out: &str| {
        let path = |name: &str| text(&small.path(name)).to_owned();
        let mut args: Vec<String> = [
            "layer",
            "--absent",
            "last_use_time,user_value,accept_score",
            "--users",
        ]
        .map(str::to_owned)
        .into();
        args.extend([
            path("users.csv"),
            "--as-of".into(),
            as_of.into(),
            "--out".into(),
            path(out),
        ]);
        if let Some(previous) = previous {
            args.extend([
                "--previous".into(),
                path(previous),
                "--changes".into(),
                path("t/c.parquet"),
            ]);
        }
        args
    };
    run(&args("2026-05-25", None, "before.parquet"));
    let other: String = fs::read_to_string(small.path("users.csv"))
        .unwrap()
        .lines()
        .map(|line| line.replace(",true", ",false") + "\n")
        .collect();
    run(&args("2026-05-25", None, "t/l.parquet"));
    let old = tree(&small.path("t"));
    small.write("users.csv", other);
    let next = args("2026-05-26", Some("before.parquet"), "t/l.parquet");
    let started = Instant::now();
    run(&next);
    let whole = started.elapsed();
    let new = tree(&small.path("t"));
    let (table, summary) = (Path::new("l.parquet"), Path::new("l.summary.json"));
    assert!(old[summary] != new[summary] && old[table] != new[table]);
    for k in 0..24 {
        fs::remove_dir_all(small.path("t")).unwrap();
        fs::create_dir(small.path("t")).unwrap();
        for (name, bytes) in &old {
            fs::write(small.path("t").join(name), bytes).unwrap();
        }
        kill_after(&next, whole.mul_f64(1.1 * f64::from(k) / 24.0));
        let found = tree(&small.path("t"));
        let of = |tree: &std::collections::BTreeMap<_, Vec<u8>>| found.get(table) == tree.get(table);
        let is_of = |tree: &std::collections::BTreeMap<_, Vec<u8>>| {
            found
                .get(summary)
                .is_none_or(|found| Some(found) == tree.get(summary))
        };
        assert!(
            of(&old) && is_of(&old) || of(&new) && is_of(&new),
            "a mix after kill {k}"
        );
        run(&next);
        assert_eq!(tree(&small.path("t")), new, "kill {k}");
    }
}

#[test]
fn two_runs_do_not_write_the_same_files() {
    let small = nights();
    let busy = |commit: &str, args: &[String]| {
        let path = small.path(commit);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let other = fs::File::create(&path).unwrap();
        other.lock().unwrap();
        let stderr = fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), 1);
        assert!(stderr.contains("another sluice process"), "{stderr}");
        drop(other);
        // A process that another test starts may hold the lock for a moment.
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        while crate::support::sluice(&words).status.code() == Some(1) {
            thread::sleep(Duration::from_millis(50));
        }
        assert!(!path.exists(), "{commit}");
    };
    busy("r/.state.json.tmp.lock", &schedule(&small, "27", "r", &[]));
    let users = text(&small.path("users.csv")).to_owned();
    let out = text(&small.path("t/l.parquet")).to_owned();
    let layer = [
        "layer",
        "--absent",
        "last_use_time,user_value,accept_score",
        "--users",
        &users,
    ];
    let layer = [&layer[..], &["--as-of", "2026-05-25", "--out", &out]].concat();
    busy(
        "t/.l.summary.json.tmp.lock",
        &layer.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(),
    );
}

#[test]
fn a_document_of_another_version_is_refused() {
    let small = nights();
    let at = |name: &str| text(&small.path(name)).to_owned();
    let check = |name: &str, args: &[&str]| {
        let path = small.path(name);
        let text = fs::read_to_string(&path).unwrap();
        let start = text.find("\"sluice.").unwrap();
        let end = start + text[start..].find('/').unwrap();
        fs::write(&path, format!("{}/9{}", &text[..end], &text[end + 2..])).unwrap();
        let stderr = fails(args, 3);
        assert!(stderr.contains("another version"), "{name}: {stderr}");
        fs::write(&path, text).unwrap();
    };
    let (study, day, target) = (at("study.toml"), at("day28"), at("target"));
    let (analysis, state) = (at("day28/analysis.json"), at("day28/state.json"));
    let out = at("r");
    let schedule = [
        "schedule",
        "--scenario",
        &study,
        "--analysis",
        &analysis,
        "--state",
        &state,
        "--out",
        &out,
    ];
    check("day28/analysis.json", &schedule);
    check("day28/state.json", &schedule);
    for document in ["analysis.json", "study.json", "schedule.json", "gate_report.json"] {
        check(&format!("day28/{document}"), &["report", &day]);
    }
    for document in ["study.json", "schedule.json"] {
        check(
            &format!("day28/{document}"),
            &["publish", &day, "--no-users", "--to", &target],
        );
    }
    // A document of another kind.
    let stderr = fails(
        &[
            "schedule",
            "--scenario",
            &study,
            "--analysis",
            &state,
            "--out",
            &out,
        ],
        3,
    );
    assert!(stderr.contains("name the file of this kind"), "{stderr}");
    assert_same_tree(&small.path("day28"), &small.path("day28"));
}
