//! Tests that the driver of an engine and its tasks end with the program that started them, and that
//! nothing waits for ever.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::engines::in_files;
use crate::engines_real::{on_engine, processes, python, refused, run};
use crate::logs::{Log, Study};
use crate::support::{json, text, tree};

/// The longest time that a process may take to end.
const AT_MOST: Duration = Duration::from_secs(100);

/// A program of the study's folder.
fn script(study: &Study, name: &str, lines: &str) -> PathBuf {
    let path = study.path(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A program for the executors whose tasks wait for minutes before they get their input, and
/// the name of its kernels.
fn slow_kernel(study: &Study) -> (PathBuf, PathBuf) {
    let kernel = study.path("kernel-of-this-test");
    symlink(env!("CARGO_BIN_EXE_sluice"), &kernel).unwrap();
    let lines = format!("(sleep 200; cat) | {} \"$@\"", text(&kernel));
    (script(study, "slow", &lines), kernel)
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(120), "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args(["-s", signal, &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// The exit code of a process that must end soon; its signal as a negative number.
pub(crate) fn end_of(child: &mut Child, started: Instant) -> i32 {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            return status.code().unwrap_or_else(|| -signal.unwrap());
        }
        assert!(started.elapsed() < AT_MOST, "the process did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A study with a cube, and a folder for temporary files of its own.
fn study(seed: u64) -> Study {
    let log = Log::new(3_000, seed);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    fs::create_dir(study.path("tmp")).unwrap();
    study
}

/// Starts a replay on an engine, in a process group of its own. A shell that runs the tests in the
/// background ignores SIGINT, and its children would inherit that.
fn start(study: &Study, args: &[String]) -> Child {
    Command::new("env")
        .args(["--default-signal=INT,HUP", env!("CARGO_BIN_EXE_sluice")])
        .args(args)
        .env("TMPDIR", study.path("tmp"))
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The drivers of the study's replays.
fn drivers(study: &Study) -> Vec<u32> {
    processes(&format!("{}/sluice-engine-", text(&study.path("tmp"))))
}

/// Sends a signal to a replay whose tasks run. Its driver, its kernels and its temporary files must be
/// gone soon, and the output of before must be whole.
fn nothing_is_left(engine: &str, more: &[&str], signals: &[(&str, i32)], seed: u64) {
    let python = python(engine);
    let study = study(seed);
    let before = tree(&study.path("cube"));
    let (slow, kernel) = slow_kernel(&study);
    let tmp = study.path("tmp");
    let more = [more, &["--program", text(&slow)]].concat();
    for (signal, code) in signals {
        let mut replay = start(&study, &on_engine(&study, engine, &python, "cube", &more));
        wait_until("task", || !processes(text(&kernel)).is_empty());
        assert!(!drivers(&study).is_empty());
        let started = Instant::now();
        send(signal, replay.id());
        assert_eq!(end_of(&mut replay, started), *code, "{signal}");
        loop {
            let kernels = processes(text(&kernel));
            let drivers = drivers(&study);
            let files: Vec<_> = fs::read_dir(&tmp).unwrap().flatten().collect();
            let files: Vec<_> = files.iter().filter(|file| is_of_sluice(&file.path())).collect();
            if kernels.is_empty() && drivers.is_empty() && files.is_empty() {
                break;
            }
            let left = format!("{kernels:?} {drivers:?} {files:?}");
            assert!(started.elapsed() < AT_MOST, "{signal}: {left}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(tree(&study.path("cube")) == before, "{signal}");
    }
    run(&on_engine(
        &study,
        engine,
        &python,
        "cube",
        &more[..more.len() - 2],
    ));
    assert!(tree(&study.path("cube")) == before);
}

fn is_of_sluice(path: &Path) -> bool {
    path.file_name().unwrap().to_string_lossy().starts_with("sluice")
}

#[test]
fn nothing_is_left_of_a_stopped_replay_on_sail() {
    let signals = [("TERM", 143), ("KILL", -9), ("INT", 130), ("HUP", 129)];
    nothing_is_left("sail", &[], &signals, 40);
}

#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn nothing_is_left_of_a_stopped_replay_on_spark() {
    let more = [
        "--master",
        "local-cluster[2,1,1024]",
        "--conf",
        "spark.ui.enabled=false",
    ];
    nothing_is_left("spark", &more, &[("TERM", 143), ("KILL", -9)], 41);
}

/// The server of Sail stops on SIGINT too. The client of Spark Connect then tries for ten minutes to
/// reach it.
#[test]
fn a_driver_that_is_interrupted_ends() {
    let python = python("sail");
    let study = study(43);
    let (slow, kernel) = slow_kernel(&study);
    let args = on_engine(&study, "sail", &python, "other", &["--program", text(&slow)]);
    let mut replay = start(&study, &args);
    wait_until("task", || !processes(text(&kernel)).is_empty());
    let started = Instant::now();
    for driver in drivers(&study) {
        send("INT", driver);
    }
    assert_eq!(end_of(&mut replay, started), 4);
    while !processes(text(&kernel)).is_empty() {
        assert!(started.elapsed() < AT_MOST, "kernels are left");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!study.path("other").exists());
}

/// A task whose Python is gone has no reader any more, though its input does not end.
#[test]
fn a_kernel_without_a_reader_ends() {
    let study = study(44);
    let job = study.path("job");
    run(&on_engine(
        &study,
        "sail",
        "python3",
        "later",
        &["--prepare", text(&job)],
    ));
    for task in ["read", "join"] {
        let mut kernel = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["kernel", "replay", "--task", task, "--job"])
            .arg(job.join("job.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(kernel.try_wait().unwrap().is_none(), "it waits for its input");
        drop(kernel.stdout.take());
        assert_eq!(end_of(&mut kernel, Instant::now()), 1);
    }
}

#[test]
fn a_driver_that_does_not_end_is_stopped_at_the_time_limit() {
    let study = study(45);
    let before = tree(&study.path("cube"));
    let reports =
        "for last; do :; done; echo '{\"done\": 3, \"total\": 9}' > $last/progress; echo no executors;";
    for (name, lines, found) in [
        (
            "silent",
            "while true; do sleep 1; done",
            "found 0 of 0 tasks done; its last messages: no message",
        ),
        (
            "reports",
            &*format!("{reports} while true; do sleep 1; done"),
            "found 3 of 9 tasks done; its last messages: no executors",
        ),
        (
            "stubborn",
            "trap '' TERM; while true; do sleep 1; done",
            "found 0 of 0 tasks done",
        ),
    ] {
        let driver = script(&study, name, lines);
        let more = ["--engine-timeout", "2s"];
        let stderr = refused(&on_engine(&study, "spark", text(&driver), "cube", &more), 4);
        assert!(
            stderr.contains("expected the engine to end within 2 s"),
            "{stderr}"
        );
        assert!(
            stderr.contains(found) && stderr.contains("raise --engine-timeout"),
            "{stderr}"
        );
        assert!(processes(text(&driver)).is_empty(), "{name}");
        assert!(tree(&study.path("cube")) == before, "{name}");
    }
}

/// `nohup` ignores SIGHUP for the program that it starts.
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let study = study(46);
    let driver = script(&study, "sleeps", "while true; do sleep 1; done");
    let args = on_engine(
        &study,
        "spark",
        text(&driver),
        "cube",
        &["--engine-timeout", "3s"],
    );
    let mut replay = Command::new("sh")
        .args([
            "-c",
            "trap '' HUP; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_sluice"),
        ])
        .args(&args)
        .env("TMPDIR", study.path("tmp"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("driver", || !drivers(&study).is_empty());
    let started = Instant::now();
    send("HUP", replay.id());
    assert_eq!(end_of(&mut replay, started), 4);
}

/// Runs the driver of a prepared job as sluice does, with a folder that it watches.
fn watched_driver(study: &Study, python: &str, job: &Path, watched: &Path) -> i32 {
    let mut driver = Command::new(python)
        .current_dir(job)
        .args(["driver.py", "--job", "job.json", "--units", "units.txt", "--out"])
        .arg(study.path("blocks.bin"))
        .arg("--watch")
        .arg(watched)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    driver.wait().unwrap().code().unwrap()
}

#[test]
fn a_driver_reports_its_tasks_as_long_as_its_lock_is_held() {
    let python = python("sail");
    let study = study(47);
    let (job, watched) = (study.path("job"), study.path("watched"));
    run(&on_engine(
        &study,
        "sail",
        &python,
        "later",
        &["--prepare", text(&job)],
    ));
    fs::create_dir(&watched).unwrap();
    let alive = fs::File::create(watched.join("alive")).unwrap();
    alive.lock().unwrap();
    assert_eq!(watched_driver(&study, &python, &job, &watched), 0);
    let found = json(&watched.join("progress"));
    let prepared = json(&job.join("job.json"));
    let n_tasks = prepared["n_tasks"].as_u64().unwrap();
    let n_partitions = prepared["work"]["replay"]["facts"]["n_partitions"]
        .as_u64()
        .unwrap();
    // Sail in the driver gets at most as many reading tasks as there are processors.
    let total = found["total"].as_u64().unwrap();
    assert!(n_partitions < total && total <= n_tasks + n_partitions, "{found}");
    assert_eq!(found["done"], found["total"]);
    // A lock that is free means that sluice is gone.
    fs::remove_file(study.path("blocks.bin")).unwrap();
    drop(alive);
    assert_eq!(watched_driver(&study, &python, &job, &watched), 1);
    assert!(!study.path("blocks.bin").exists() && !watched.exists());
}
