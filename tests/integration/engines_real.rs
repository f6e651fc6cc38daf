//! Tests that a replay on Sail and on Apache Spark gives the cube of a replay on threads, also when
//! programs and executors are killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::engines::in_files;
use crate::logs::{Log, Study};
use crate::small::Small;
use crate::support::{assert_same_tree, fails, ok, root, sluice, text, tree};

/// The engines of the tests: a folder with the Python environments `sail` and `spark`.
pub(crate) fn python(engine: &str) -> String {
    let folder = std::env::var_os("SLUICE_ENGINES").map(PathBuf::from);
    let python = folder.map(|folder| folder.join(engine).join("bin/python"));
    let python = python.filter(|python| python.exists());
    let python = python.unwrap_or_else(|| {
        panic!("hint: run scripts/test, which installs {engine} and sets SLUICE_ENGINES to its folder")
    });
    python.to_str().unwrap().to_owned()
}

/// The options of a replay of a study on an engine.
pub(crate) fn on_engine<'a>(
    study: &Study,
    engine: &'a str,
    python: &'a str,
    out: &str,
    more: &[&'a str],
) -> Vec<String> {
    let mut args = study.args(&[
        "replay",
        "--traffic",
        "log",
        "--layers",
        "layers.parquet",
        "--plan",
        "plan.toml",
        "--sessions",
        "--out",
        out,
    ]);
    let engine = ["--engine", engine, "--submit", python];
    args.extend(engine.iter().chain(more).map(|arg| (*arg).to_owned()));
    args
}

pub(crate) fn run(args: &[String]) -> String {
    ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(crate) fn refused(args: &[String], code: i32) -> String {
    fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code)
}

#[test]
fn sail_gives_the_cube_of_threads() {
    let python = python("sail");
    let log = Log::new(20_000, 25);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    run(&on_engine(
        &study,
        "sail",
        &python,
        "sail",
        &["--partitions", "5"],
    ));
    assert_same_tree(&study.path("cube"), &study.path("sail"));
}

/// Layers generated users with quotas, on threads and on an engine, and compares the files. `run` runs
/// the command on the engine.
fn layers_as_threads_by(run: &dyn Fn(&[String]), python: &str, n_users: u32, more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let scenario = root().join("scenarios/ecommerce.toml");
    let rows = n_users.to_string();
    let data = path("data");
    ok(&["generate", "users", "--rows", &rows, "--out", text(&data)]);
    let users = path("data").join("users.parquet");
    for (folder, engine) in [("threads", &[][..]), ("engine", more)] {
        let out = path(folder).join("layers.parquet");
        fs::create_dir(path(folder)).unwrap();
        let submit = ["--submit", python];
        let submit = if engine.is_empty() { &[][..] } else { &submit };
        let args = ["layer", "--scenario", text(&scenario), "--users", text(&users)];
        let args = [&args[..], &["--out", text(&out)], engine, submit].concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        if engine.is_empty() {
            ok_args(&args)
        } else {
            run(&args)
        }
    }
    assert_same_tree(&path("threads"), &path("engine"));
}

fn ok_args(args: &[String]) {
    run(args);
}

fn layers_as_threads(python: &str, n_users: u32, more: &[&str]) {
    layers_as_threads_by(&ok_args, python, n_users, more);
}

#[test]
fn sail_gives_the_layers_of_threads() {
    layers_as_threads(&python("sail"), 150_000, &["--engine", "sail"]);
}

#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn spark_gives_the_layers_of_threads() {
    let spark = [
        "--engine",
        "spark",
        "--conf",
        "spark.ui.enabled=false",
        "--master",
    ];
    for master in ["local[2]", "local-cluster[2,1,1024]"] {
        layers_as_threads(&python("spark"), 1_000_000, &[&spark[..], &[master]].concat());
    }
}

#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn spark_layers_on_when_an_executor_is_killed() {
    let spark = ["--engine", "spark", "--conf", "spark.ui.enabled=false"];
    let more = [&spark[..], &["--master", "local-cluster[2,1,1024]"]].concat();
    layers_as_threads_by(
        &|args| kill_executors(args, "layer"),
        &python("spark"),
        1_000_000,
        &more,
    );
}

#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn spark_repeats_tasks_of_layers_that_died() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = faulty(dir.path());
    let spark = [
        "--engine",
        "spark",
        "--conf",
        "spark.ui.enabled=false",
        "--master",
        "local[2,4]",
    ];
    let more = [&spark[..], &["--program", text(&faulty)]].concat();
    layers_as_threads(&python("spark"), 300_000, &more);
    let died = fs::read_dir(dir.path().join("marks")).unwrap().count();
    assert_eq!(died, 2, "one task before it read, and one in the middle");
}

#[test]
fn a_row_that_is_refused_is_an_error_of_the_input() {
    let python = python("sail");
    let small = Small::new();
    small.edit("traffic.csv", |log| log + "2026-05-25T03:00:00Z,u1,old,true,-4\n");
    let layers = small.path("layers.parquet");
    let (study, cube) = (small.path("study.toml"), small.path("cube"));
    ok(&["layer", "--scenario", text(&study), "--out", text(&layers)]);
    let replay = [
        "replay",
        "--scenario",
        text(&study),
        "--layers",
        text(&layers),
        "--out",
        text(&cube),
    ];
    let threads = fails(&replay, 3);
    let engine = fails(
        &[&replay[..], &["--engine", "sail", "--submit", &python]].concat(),
        3,
    );
    let place = threads
        .strip_prefix("error: ")
        .and_then(|text| text.lines().next())
        .unwrap();
    assert!(
        engine.starts_with("error: executor ") && engine.contains(place),
        "{threads} {engine}"
    );
    assert!(!cube.exists());
}

#[test]
fn a_prepared_job_can_be_submitted_by_others() {
    let python = python("sail");
    let log = Log::new(3_000, 30);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    let folder = study.path("job");
    run(&on_engine(
        &study,
        "sail",
        &python,
        "later",
        &["--prepare", text(&folder)],
    ));
    assert!(!study.path("later").exists());
    let args = |more: &[&str]| {
        let mut args = study.args(&[
            "replay",
            "--traffic",
            "log",
            "--layers",
            "layers.parquet",
            "--plan",
            "plan.toml",
            "--out",
            "later",
            "--prepared",
            text(&folder),
        ]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    };
    let stderr = refused(&args(&["--sessions"]), 3);
    assert!(stderr.contains("expected blocks.bin"), "{stderr}");
    let driver = Command::new(&python)
        .current_dir(&folder)
        .args([
            "driver.py",
            "--job",
            "job.json",
            "--units",
            "units.txt",
            "--out",
            "blocks.bin",
        ])
        .output()
        .unwrap();
    assert!(
        driver.status.success(),
        "{}",
        String::from_utf8_lossy(&driver.stderr)
    );
    run(&args(&["--sessions"]));
    assert_same_tree(&study.path("cube"), &study.path("later"));
    // A file that is cut off, and inputs that have changed.
    let blocks = fs::read(folder.join("blocks.bin")).unwrap();
    fs::write(folder.join("blocks.bin"), &blocks[..blocks.len() - 1]).unwrap();
    let stderr = refused(&args(&["--sessions"]), 3);
    assert!(stderr.contains("found the file cut off"), "{stderr}");
    fs::write(folder.join("blocks.bin"), &blocks).unwrap();
    let users = fs::read_to_string(study.path("users.csv")).unwrap();
    fs::write(study.path("users.csv"), users + "one-more,shop,rest,true\n").unwrap();
    study.ok(&["layer", "--config", "plan.toml", "--out", "layers.parquet"]);
    let stderr = refused(&args(&["--sessions"]), 3);
    assert!(stderr.contains("expected the job of these inputs"), "{stderr}");
}

#[test]
fn an_engine_that_fails_leaves_the_cube_before() {
    let python = python("sail");
    let log = Log::new(500, 26);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    let before = tree(&study.path("cube"));
    // No program on the executors, a program of another architecture, and a server that is not there.
    let other = study.path("other");
    fs::write(&other, b"\x7fELF of another machine").unwrap();
    for (more, code, found) in [
        (
            vec!["--program", "/nowhere/sluice"],
            4,
            "has no program /nowhere/sluice",
        ),
        (
            vec!["--program", text(&other)],
            4,
            "is not for the architecture of executor",
        ),
        (
            vec!["--master", "sc://127.0.0.1:9"],
            4,
            "expected the tasks to end well",
        ),
        (
            vec!["--partitions", "501"],
            2,
            "expected 1 to 500 partitions, found 501",
        ),
    ] {
        let stderr = refused(&on_engine(&study, "sail", &python, "cube", &more), code);
        assert!(stderr.contains(found), "{stderr}");
        assert!(tree(&study.path("cube")) == before, "{found}");
    }
    let stderr = refused(&on_engine(&study, "sail", "/nowhere/python", "cube", &[]), 4);
    assert!(stderr.contains("/nowhere/python"), "{stderr}");
    let stderr = study.fails(
        &[
            "replay",
            "--traffic",
            "log",
            "--layers",
            "layers.parquet",
            "--plan",
            "plan.toml",
            "--out",
            "cube",
            "--partitions",
            "5",
        ],
        2,
    );
    assert!(stderr.contains("--engine spark"), "{stderr}");
    assert!(tree(&study.path("cube")) == before);
}

/// A program in place of sluice on the executors. The first tasks of each kind end badly: one before
/// it reads, and one in the middle of its output.
fn faulty(folder: &Path) -> PathBuf {
    let path = folder.join("faulty");
    let marks = folder.join("marks");
    fs::create_dir(&marks).unwrap();
    let script = format!(
        "#!/bin/sh\n\
         for last; do :; done\n\
         if mkdir {marks}/early-$last 2>/dev/null; then kill -9 $$; fi\n\
         if mkdir {marks}/late-$last 2>/dev/null; then {sluice} \"$@\" | head -c 3000; kill -9 $$; fi\n\
         exec {sluice} \"$@\"\n",
        marks = text(&marks),
        sluice = env!("CARGO_BIN_EXE_sluice"),
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The processes of this machine whose command lines have a word.
pub(crate) fn processes(word: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    })
    .collect()
}

/// Spark takes long to install and to start: `scripts/test engines` runs these tests.
#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn spark_gives_the_cube_of_threads() {
    let python = python("spark");
    let log = Log::new(20_000, 27);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    for (idx, master) in ["local[2]", "local-cluster[2,1,1024]"].into_iter().enumerate() {
        let out = format!("spark{idx}");
        let more = [
            "--master",
            master,
            "--conf",
            "spark.ui.enabled=false",
            "--partitions",
            "6",
        ];
        run(&on_engine(&study, "spark", &python, &out, &more));
        assert_same_tree(&study.path("cube"), &study.path(&out));
    }
}

#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn spark_repeats_tasks_that_died() {
    let python = python("spark");
    let log = Log::new(6_000, 28);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    let faulty = faulty(&study.path(""));
    let more = [
        "--master",
        "local[2,4]",
        "--conf",
        "spark.ui.enabled=false",
        "--program",
        text(&faulty),
    ];
    run(&on_engine(&study, "spark", &python, "spark", &more));
    assert_same_tree(&study.path("cube"), &study.path("spark"));
    assert_eq!(
        fs::read_dir(study.path("marks")).unwrap().count(),
        4,
        "both kinds died twice"
    );
}

/// Runs a command that must succeed, and kills two executors while a task of a kernel runs on them.
fn kill_executors(args: &[String], kernel: &str) {
    let mut sluice = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut killed = 0;
    while sluice.try_wait().unwrap().is_none() {
        // A task runs: its executor dies with it.
        if killed < 2
            && !processes(&format!("kernel\0{kernel}\0--job")).is_empty()
            && let Some(executor) = processes("CoarseGrainedExecutorBackend").first()
        {
            let dead = Command::new("kill")
                .args(["-9", &executor.to_string()])
                .status()
                .unwrap();
            killed += u32::from(dead.success());
            std::thread::sleep(Duration::from_secs(2));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(sluice.wait().unwrap().success() && killed > 0);
}

#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn spark_goes_on_when_an_executor_is_killed() {
    let python = python("spark");
    let log = Log::new(60_000, 29);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    // The name of the application is in the command line of its executors.
    let more = [
        "--master",
        "local-cluster[2,1,1024]",
        "--conf",
        "spark.ui.enabled=false",
    ];
    kill_executors(&on_engine(&study, "spark", &python, "spark", &more), "replay");
    assert_same_tree(&study.path("cube"), &study.path("spark"));
}

#[test]
fn a_study_and_its_nights_run_on_an_engine() {
    let python = python("sail");
    let small = Small::new();
    let study = small.path("study.toml");
    let engine = ["--engine", "sail", "--submit", &python];
    ok(&["run", text(&study), "--out", text(&small.path("threads"))]);
    ok(&[
        &["run", text(&study), "--out", text(&small.path("sail"))],
        &engine[..],
    ]
    .concat());
    assert_same_tree(&small.path("threads"), &small.path("sail"));
    for (dir, more) in [("nights", &[][..]), ("nights-on-sail", &engine[..])] {
        for night in ["2026-05-26", "2026-05-27"] {
            let dir = small.path(dir);
            let args = [
                "night",
                text(&study),
                "--dir",
                text(&dir),
                "--as-of",
                night,
                "--now",
                "2026-05-28T12:00:00Z",
            ];
            let night = sluice(&[&args[..], more].concat());
            let stderr = String::from_utf8_lossy(&night.stderr);
            assert!(matches!(night.status.code(), Some(0 | 10 | 11)), "{stderr}");
        }
    }
    let kept = |dir: &str| {
        let mut files = tree(&small.path(dir));
        files.retain(|path, _| {
            let path = path.to_str().unwrap();
            path.contains("/cube/") || path.ends_with("schedule.json")
        });
        files
    };
    let (threads, sail) = (kept("nights"), kept("nights-on-sail"));
    assert!(threads.len() > 12 && threads == sail, "{:?}", threads.keys());
}
