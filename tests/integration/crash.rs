//! Tests that a run that is killed at any moment leaves the previous output unchanged, and that the
//! next run succeeds.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{assert_same_tree, ok, root, text, tree};

#[test]
fn kill_9_at_many_moments() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    let small = fs::read_to_string(root().join("scenarios/ecommerce.toml")).unwrap();
    let scenario = dir.path().join("small.toml");
    fs::write(
        &scenario,
        small
            .replace("users = 200_000", "users = 20_000")
            .replace("turns = 2_000_000", "turns = 200_000"),
    )
    .unwrap();
    let args =
        |seed: &'static str| ["run", text(&scenario), "--out", text(&out), "--seed", seed].map(str::to_owned);
    let run = |seed| ok(&args(seed).iter().map(String::as_str).collect::<Vec<_>>());

    let started = Instant::now();
    run("1");
    let whole = started.elapsed();
    let first = tree(&out);
    let reference = dir.path().join("reference");
    ok(&["run", text(&scenario), "--out", text(&reference), "--seed", "2"]);
    let second = tree(&reference);

    const KILLS: u32 = 24;
    let mut n_killed = 0;
    for k in 0..KILLS {
        // Another seed changes every file. Each run is killed a little later than the run before,
        // until one ends by itself.
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(args("2"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(
            whole
                .mul_f64(1.1 * f64::from(k) / f64::from(KILLS))
                .max(Duration::from_millis(1)),
        );
        child.kill().unwrap();
        n_killed += u32::from(!child.wait().unwrap().success());
        let found = tree(&out);
        assert!(found == first || found == second, "a mix after kill {k}");
        if found == second {
            run("1");
        }
    }
    assert!(
        n_killed > KILLS / 3,
        "only {n_killed} of {KILLS} runs were killed before their end"
    );
    run("2");
    assert_same_tree(&reference, &out);
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.ends_with(".partial") || name.ends_with(".tmp")),
        "{left:?}"
    );
}

#[test]
fn two_jobs_do_not_write_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    let mut first = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["run", "scenarios/ecommerce.toml", "--out", text(&out)])
        .current_dir(root())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !dir.path().join(".study.partial/study.json").exists() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the first job does not start"
        );
        thread::sleep(Duration::from_millis(1));
    }
    let stderr = crate::support::fails(&["run", "scenarios/cdnow.toml", "--out", text(&out)], 1);
    assert!(
        stderr.contains("another sluice process is writing this output now"),
        "{stderr}"
    );
    assert!(first.wait().unwrap().success());
}
