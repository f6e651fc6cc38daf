//! Tests that a replay in tasks gives the cube of a replay on threads, byte for byte, in this
//! process and with blocks in random order. `engines_real` runs Sail and Spark.

use parquet::basic::Compression;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sluice::base::block::{Block, OnBlock};
use sluice::base::error::Result;
use sluice::base::progress::Progress;
use sluice::replay::{Facts, TaskRunner, Unit, join_blocks, read_units};
use sluice::scenario::{Overrides, Scenario, Source};
use sluice::study;

use crate::logs::{Dice, Log, Study, Turn, Written, write};
use crate::support::{assert_same_tree, fails, text};

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
    let at = |name: &str| vec![Source::at(study.path(name))];
    scenario.input.traffic = vec![Source::at(study.path(traffic))];
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
pub(crate) fn in_files(log: &Log, study: &Study, folder: &str) {
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
