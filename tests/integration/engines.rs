//! Tests that a replay in tasks gives the cube of a replay on threads, byte for byte: in this
//! process with blocks in random order, and on Sail and Apache Spark.

use parquet::basic::Compression;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sluice::base::error::Result;
use sluice::base::progress::Progress;
use sluice::replay::{Block, Facts, OnBlock, TaskRunner, Unit, join_blocks, read_units};
use sluice::scenario::{Overrides, Scenario, Source};
use sluice::study;

use crate::logs::{Dice, Log, Study, Turn, Written, write};
use crate::support::{assert_same_tree, fails, ok, text, tree};

/// The engines of the tests: a folder with the Python environments `sail` and `spark`.
fn python(engine: &str) -> String {
    let folder = std::env::var_os("SLUICE_ENGINES").map(PathBuf::from);
    let python = folder.map(|folder| folder.join(engine).join("bin/python"));
    let python = python.filter(|python| python.exists());
    let python = python.unwrap_or_else(|| {
        panic!("hint: run scripts/test, which installs {engine} and sets SLUICE_ENGINES to its folder")
    });
    python.to_str().unwrap().to_owned()
}

/// Runs the tasks in this process. Units are dealt to tasks at random, and the blocks of a partition
/// arrive in random order.
struct Shuffled<'a> {
    scenario: &'a Scenario,
    layers: &'a Path,
    n_partitions: u32,
    dice: RefCell<Dice>,
}

impl Shuffled<'_> {
    fn shuffle<T>(&self, items: &mut [T]) {
        let dice = &mut *self.dice.borrow_mut();
        (1..items.len()).for_each(|idx| items.swap(idx, dice.roll(idx as u64 + 1) as usize));
    }
}

impl TaskRunner for Shuffled<'_> {
    fn run(&self, facts: &Facts, units: &[Unit], on_block: &mut OnBlock<'_>) -> Result<()> {
        let ctx = study::replay_context(self.scenario);
        let inputs = study::replay_inputs(self.scenario, None, self.layers, &Progress::silent())?;
        let scratch = tempfile::tempdir().unwrap();
        let mut units = units.to_vec();
        self.shuffle(&mut units);
        let mut joins: BTreeMap<u32, Vec<Block>> = BTreeMap::new();
        let mut rest = units.as_slice();
        while !rest.is_empty() {
            let n = 1 + self.dice.borrow_mut().roll(4) as usize;
            let (task, more) = rest.split_at(n.min(rest.len()));
            rest = more;
            // Partitions share three tasks.
            read_units(&ctx, &inputs, facts, task, &mut |block| {
                joins.entry(block.partition % 3).or_default().push(block);
                Ok(())
            })?;
        }
        for mut blocks in joins.into_values() {
            self.shuffle(&mut blocks);
            join_blocks(
                &ctx,
                &inputs,
                facts,
                scratch.path(),
                &mut blocks.into_iter().map(Ok),
                on_block,
            )?;
        }
        Ok(())
    }

    fn n_partitions(&self) -> Option<u32> {
        Some(self.n_partitions)
    }
}

/// The scenario of a study, with its traffic and outcomes.
fn scenario(study: &Study, traffic: &str, shadow: Option<&str>, outcomes: Option<&str>) -> Scenario {
    let mut scenario = Scenario::load(&study.path("plan.toml"), &Overrides::default()).unwrap();
    let at = |name: &str| vec![Source::at(&study.path(name))];
    scenario.input.traffic = at(traffic);
    scenario.input.shadow = shadow.map_or_else(Vec::new, at);
    scenario.input.outcomes = outcomes.map_or_else(Vec::new, at);
    scenario.input.count_sessions = true;
    scenario
}

/// Replays in shuffled tasks, and compares with a cube.
fn same_in_tasks(study: &Study, scenario: &Scenario, since: Option<&str>, expected: &str, seeds: &[u64]) {
    let layers = study.path("layers.parquet");
    for seed in seeds {
        let runner = Shuffled {
            scenario,
            layers: &layers,
            n_partitions: [1, 2, 7, 64, 500][*seed as usize % 5],
            dice: RefCell::new(Dice(*seed)),
        };
        let since = since.map(|cube| study.path(cube));
        let inputs = sluice::replay::Inputs {
            since: since.as_deref(),
            ..study::replay_inputs(scenario, None, &layers, &Progress::silent()).unwrap()
        };
        let out = tempfile::tempdir().unwrap();
        study::replay_in_tasks(&runner, scenario, &inputs, out.path(), &Progress::silent()).unwrap();
        assert_same_tree(&study.path(expected), out.path());
    }
}

/// A log in files of several formats, with row groups of a few hundred rows.
fn in_files(log: &Log, study: &Study, folder: &str) {
    let ways = [
        (
            "0.parquet",
            Written::Parquet(700, true, Compression::SNAPPY, false),
        ),
        ("1.csv", Written::Csv),
        (
            "2.parquet",
            Written::Parquet(333, false, Compression::UNCOMPRESSED, false),
        ),
    ];
    for ((name, how), turns) in ways
        .into_iter()
        .zip(log.turns.chunks(log.turns.len().div_ceil(3)))
    {
        write(log, turns, &study.path(&format!("{folder}/{name}")), how);
    }
}

#[test]
fn tasks_in_any_order_give_the_cube_of_threads() {
    let log = Log::new(9_000, 21);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    study.replay("log", "cube", &["--sessions"]);
    same_in_tasks(
        &study,
        &scenario(&study, "log", None, None),
        None,
        "cube",
        &[0, 1, 2, 3, 4, 6],
    );
}

#[test]
fn tasks_know_shadow_answers_and_late_outcomes() {
    let log = Log::new(4_000, 22);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    let mut shadow = "trace_id,release_id,success,latency_ms,bad,cost_usd\n".to_owned();
    let mut late = "trace_id,csat,bad\n".to_owned();
    for (idx, Turn { trace, .. }) in log.turns.iter().enumerate() {
        shadow.push_str(&format!(
            "{trace},new,{},{},false,0.001\n",
            idx % 3 > 0,
            idx % 3_000
        ));
        if idx % 5 == 0 {
            late.push_str(&format!("{trace},{},{}\n", 1 + idx % 5, idx % 2 == 0));
        }
    }
    fs::write(study.path("shadow.csv"), shadow).unwrap();
    fs::write(study.path("late.csv"), late).unwrap();
    study.replay(
        "log",
        "cube",
        &["--sessions", "--shadow", "shadow.csv", "--outcomes", "late.csv"],
    );
    let scenario = scenario(&study, "log", Some("shadow.csv"), Some("late.csv"));
    same_in_tasks(&study, &scenario, None, "cube", &[5, 8]);
}

#[test]
fn tasks_go_on_from_an_earlier_cube() {
    let log = Log::new(6_000, 23);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    fs::rename(study.path("log/2.parquet"), study.path("later.parquet")).unwrap();
    study.replay("log", "before", &["--sessions"]);
    fs::rename(study.path("later.parquet"), study.path("log/2.parquet")).unwrap();
    study.replay("log", "cube", &["--sessions"]);
    same_in_tasks(
        &study,
        &scenario(&study, "log", None, None),
        Some("before"),
        "cube",
        &[1, 2],
    );
}

#[test]
fn a_user_with_two_rows_is_refused_in_tasks() {
    let log = Log::new(300, 24);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    let users = fs::read_to_string(study.path("users.csv")).unwrap();
    let twice = users.lines().nth(5).unwrap();
    fs::write(study.path("users.csv"), format!("{users}{twice}\n")).unwrap();
    study.ok(&[
        "layer",
        "--config",
        "plan.toml",
        "--audit",
        "never",
        "--out",
        "layers.parquet",
    ]);
    let found = study.fails(
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
        ],
        3,
    );
    let scenario = scenario(&study, "log", None, None);
    let layers = study.path("layers.parquet");
    let runner = Shuffled {
        scenario: &scenario,
        layers: &layers,
        n_partitions: 4,
        dice: RefCell::new(Dice(1)),
    };
    let inputs = study::replay_inputs(&scenario, None, &layers, &Progress::silent()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error =
        study::replay_in_tasks(&runner, &scenario, &inputs, out.path(), &Progress::silent()).unwrap_err();
    assert!(
        found.contains("expected one row per user, found two rows"),
        "{found}"
    );
    assert!(
        error
            .to_string()
            .contains("expected one row per user, found two rows"),
        "{error}"
    );
}

/// Tasks whose blocks are damaged on the way: each run changes one byte, or cuts a block.
struct Damaging<'a>(Shuffled<'a>);

impl TaskRunner for Damaging<'_> {
    fn run(&self, facts: &Facts, units: &[Unit], on_block: &mut OnBlock<'_>) -> Result<()> {
        let Shuffled {
            scenario,
            layers,
            dice,
            ..
        } = &self.0;
        let ctx = study::replay_context(scenario);
        let inputs = study::replay_inputs(scenario, None, layers, &Progress::silent())?;
        let scratch = tempfile::tempdir().unwrap();
        let mut blocks = Vec::new();
        read_units(&ctx, &inputs, facts, units, &mut |block| {
            blocks.push(block);
            Ok(())
        })?;
        let damage = |blocks: &mut [Block]| {
            let dice = &mut *dice.borrow_mut();
            let idx = dice.roll(blocks.len() as u64) as usize;
            let bytes = &mut blocks[idx].bytes;
            let at = dice.roll(bytes.len() as u64) as usize;
            match dice.roll(4) {
                0 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << dice.roll(8),
            }
        };
        let at_driver = self.0.n_partitions == 2;
        if !at_driver {
            damage(&mut blocks);
        }
        let mut results = Vec::new();
        join_blocks(
            &ctx,
            &inputs,
            facts,
            scratch.path(),
            &mut blocks.into_iter().map(Ok),
            &mut |block| {
                results.push(block);
                Ok(())
            },
        )?;
        if at_driver {
            damage(&mut results);
        }
        results.into_iter().try_for_each(on_block)
    }

    fn n_partitions(&self) -> Option<u32> {
        Some(self.0.n_partitions)
    }
}

/// Damage is an error or another cube, and never a panic.
#[test]
fn damaged_blocks_do_not_end_the_program() {
    let log = Log::new(600, 31);
    let study = Study::new(&log);
    in_files(&log, &study, "log");
    let scenario = scenario(&study, "log", None, None);
    let layers = study.path("layers.parquet");
    let inputs = study::replay_inputs(&scenario, None, &layers, &Progress::silent()).unwrap();
    let mut n_refused = 0;
    for seed in 0..120 {
        let runner = Damaging(Shuffled {
            scenario: &scenario,
            layers: &layers,
            n_partitions: 2 + seed as u32 % 2,
            dice: RefCell::new(Dice(seed)),
        });
        let out = tempfile::tempdir().unwrap();
        let found = study::replay_in_tasks(&runner, &scenario, &inputs, out.path(), &Progress::silent());
        n_refused += u32::from(found.is_err());
    }
    assert!(n_refused > 30, "{n_refused}");
}

/// The options of a replay of a study on an engine.
fn on_engine<'a>(
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

fn run(args: &[String]) -> String {
    ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn refused(args: &[String], code: i32) -> String {
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

#[test]
fn a_task_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.json");
    fs::write(&job, r#"{"schema": "sluice.job/1", "version": "0.0.1"}"#).unwrap();
    let stderr = fails(&["kernel", "replay", "--job", text(&job), "--task", "read"], 3);
    assert!(
        stderr.contains("which this executor has, found one of 0.0.1"),
        "{stderr}"
    );
    assert!(
        stderr.contains("give all executors the program of the driver"),
        "{stderr}"
    );
}

/// A program in place of sluice on the executors. The first tasks of each kind end badly: one before
/// it reads, and one in the middle of its output.
fn faulty(study: &Study) -> PathBuf {
    let path = study.path("faulty");
    let marks = study.path("marks");
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
fn processes(word: &str) -> Vec<u32> {
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
    let faulty = faulty(&study);
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
    let args = on_engine(&study, "spark", &python, "spark", &more);
    let mut driver = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(&args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut killed = 0;
    while driver.try_wait().unwrap().is_none() {
        // A task runs: its executor dies with it.
        if killed < 2 && !processes("kernel\0replay\0--job").is_empty() {
            if let Some(executor) = processes("CoarseGrainedExecutorBackend").first() {
                let dead = Command::new("kill")
                    .args(["-9", &executor.to_string()])
                    .status()
                    .unwrap();
                killed += u32::from(dead.success());
                std::thread::sleep(Duration::from_secs(2));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(driver.wait().unwrap().success() && killed > 0);
    assert_same_tree(&study.path("cube"), &study.path("spark"));
}
