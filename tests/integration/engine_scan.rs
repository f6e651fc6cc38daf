//! Tests that rows which an engine reads give the cube of the same files on threads, but for the names
//! and digests of the sources and examples of users: in this process with rows in random order, and on
//! Sail and Apache Spark.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_ipc::writer::StreamWriter;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use sluice::base::block::{Block, OnBlock};
use sluice::base::error::Result;
use sluice::base::progress::Progress;
use sluice::replay::{Facts, Inputs, TaskRunner, Unit, join_blocks, read_rows, read_units};
use sluice::scenario::{Overrides, Scenario, Source};
use sluice::study;

use crate::engine_life::{end_of, wait_until};
use crate::engines_real::{on_engine, python, refused, run};
use crate::logs::{Dice, Log, Study, Written, write};
use crate::support::{assert_same_tree, json, text, tree};

/// A log in two Parquet files.
fn in_parquet(log: &Log, study: &Study) {
    let half = log.turns.len() / 2;
    for (name, turns) in [("0", &log.turns[..half]), ("1", &log.turns[half..])] {
        let how = Written::Parquet(500, true, Compression::SNAPPY, false);
        write(log, turns, &study.path(&format!("log/{name}.parquet")), how);
    }
}

/// All rows of the log.
fn rows(study: &Study) -> RecordBatch {
    let mut batches = Vec::new();
    for name in ["0", "1"] {
        let file = fs::File::open(study.path(&format!("log/{name}.parquet"))).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build();
        batches.extend(reader.unwrap().map(std::result::Result::unwrap));
    }
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn write_stream(batch: &RecordBatch, path: &Path) {
    let mut out = StreamWriter::try_new(fs::File::create(path).unwrap(), &batch.schema()).unwrap();
    if batch.num_rows() > 0 {
        out.write(batch).unwrap();
    }
    out.finish().unwrap();
}

/// Passes all rows in random order to random tasks in random chunks.
struct Shuffled<'a> {
    scenario: &'a Scenario,
    layers: &'a Path,
    rows: RecordBatch,
    n_partitions: u32,
    dice: RefCell<Dice>,
}

impl Shuffled<'_> {
    fn pick(&self, n: usize) -> usize {
        self.dice.borrow_mut().roll(n as u64) as usize
    }

    /// The rows of each chunk of each task.
    fn tasks(&self) -> Vec<Vec<RecordBatch>> {
        let mut order: Vec<u32> = (0..self.rows.num_rows() as u32).collect();
        (1..order.len()).for_each(|idx| order.swap(idx, self.pick(idx + 1)));
        let mut tasks: Vec<Vec<RecordBatch>> = vec![Vec::new(); 1 + self.pick(6)];
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at((1 + self.pick(1_500)).min(rest.len()));
            rest = more;
            let chunk = take_record_batch(&self.rows, &UInt32Array::from(chunk.to_vec())).unwrap();
            let task = self.pick(tasks.len());
            tasks[task].push(chunk);
        }
        tasks
    }
}

impl TaskRunner for Shuffled<'_> {
    fn run(&self, facts: &Facts, units: &[Unit], on_block: &mut OnBlock<'_>) -> Result<()> {
        assert!(units.iter().all(|unit| matches!(unit, Unit::Users { .. })));
        let mut scenario = self.scenario.clone();
        scenario.input.traffic.clear();
        let ctx = study::replay_context(&scenario);
        let inputs = study::replay_inputs(&scenario, None, self.layers, &Progress::silent())?;
        let scratch = tempfile::tempdir().unwrap();
        let mut joins: BTreeMap<u32, Vec<Block>> = BTreeMap::new();
        let mut deal = |block: Block| {
            joins.entry(block.partition % 3).or_default().push(block);
            Ok(())
        };
        read_units(&ctx, &inputs, facts, units, &mut deal)?;
        let source = Source {
            path: scratch.path().join("rows.arrow"),
            ..self.scenario.input.traffic[0].clone()
        };
        for chunks in self.tasks() {
            let mut chunks = chunks.iter();
            let mut next = || {
                let chunk = chunks.next();
                chunk.iter().for_each(|chunk| write_stream(chunk, &source.path));
                Ok(chunk.is_some())
            };
            let on_bad_row = scenario.input.on_bad_row;
            read_rows(
                &ctx,
                &inputs,
                facts,
                (0, &source),
                on_bad_row,
                &mut next,
                &mut deal,
            )?;
        }
        for blocks in joins.into_values() {
            let mut blocks = blocks.into_iter().map(Ok);
            join_blocks(&ctx, &inputs, facts, scratch.path(), &mut blocks, on_block)?;
        }
        Ok(())
    }

    fn n_partitions(&self) -> Option<u32> {
        Some(self.n_partitions)
    }
}

/// Compares a cube of an engine's rows with the cube of files. They differ in the sources, which are
/// tables and not files, and in examples of users who are not known.
fn assert_same_but_sources(files: &Path, engine: &Path, name: &str) {
    let [mut expected, mut found] = [files, engine].map(|cube| {
        let mut files = tree(cube);
        files.remove(Path::new("cube.json"));
        files
    });
    assert!(expected == found, "{:?} {:?}", expected.keys(), found.keys());
    expected.clear();
    found.clear();
    let [mut expected, mut found] = [files, engine].map(|cube| json(&cube.join("cube.json")));
    let sources = expected["sources"].take();
    let sum = |key: &str| -> u64 {
        let files = sources.as_array().unwrap().iter();
        files.map(|file| file[key].as_u64().unwrap()).sum()
    };
    let table = &found["sources"].take()[0];
    assert_eq!(
        (&table["name"], &table["n_rows"]),
        (&name.into(), &sum("n_rows").into())
    );
    assert_eq!(table["n_after_as_of"], sum("n_after_as_of"));
    assert!(table["digest"].as_str().unwrap().starts_with("rows:"));
    assert_eq!(found["unknown"]["users"], serde_json::json!([]));
    for cube in [&mut expected, &mut found] {
        cube["unknown"]["users"].take();
        cube["unknown"]["listed"].take();
    }
    assert_eq!(expected, found);
}

#[test]
fn rows_in_any_order_give_the_cube_of_their_files() {
    let log = Log::new(9_000, 51);
    let study = Study::new(&log);
    in_parquet(&log, &study);
    study.replay("log", "cube", &["--sessions"]);
    let layers = study.path("layers.parquet");
    let mut scenario = Scenario::load(&study.path("plan.toml"), &Overrides::default()).unwrap();
    let rows = rows(&study);
    let schema = study.path("turns.arrow");
    write_stream(&rows.slice(0, 0), &schema);
    scenario.input.traffic = vec![Source::at(schema)];
    scenario.input.count_sessions = true;
    for (seed, n_partitions) in [(1, 1), (2, 2), (3, 7), (4, 64), (5, 500)] {
        let runner = Shuffled {
            scenario: &scenario,
            layers: &layers,
            rows: rows.clone(),
            n_partitions,
            dice: RefCell::new(Dice(seed)),
        };
        let inputs = Inputs {
            engine_log: Some(vec!["turns".to_owned()]),
            ..study::replay_inputs(&scenario, None, &layers, &Progress::silent()).unwrap()
        };
        let out = study.path(&format!("cube-{seed}"));
        fs::create_dir(&out).unwrap();
        study::replay_in_tasks(&runner, &scenario, &inputs, &out, &Progress::silent()).unwrap();
        assert_same_but_sources(&study.path("cube"), &out, "turns");
        assert_same_tree(&study.path("cube-1"), &out);
    }
    // One value less is another digest.
    let runner = Shuffled {
        scenario: &scenario,
        layers: &layers,
        rows: rows.slice(1, rows.num_rows() - 1),
        n_partitions: 3,
        dice: RefCell::new(Dice(9)),
    };
    let inputs = Inputs {
        engine_log: Some(vec!["turns".to_owned()]),
        ..study::replay_inputs(&scenario, None, &layers, &Progress::silent()).unwrap()
    };
    let out = tempfile::tempdir().unwrap();
    study::replay_in_tasks(&runner, &scenario, &inputs, out.path(), &Progress::silent()).unwrap();
    let digest = |cube: &Path| json(&cube.join("cube.json"))["sources"][0]["digest"].clone();
    assert_ne!(digest(&study.path("cube-1")), digest(out.path()));
}

fn engine_reads(engine: &str, more: &[&str], seed: u64) {
    let python = python(engine);
    let log = Log::new(12_000, seed);
    let study = Study::new(&log);
    in_parquet(&log, &study);
    study.replay("log", "cube", &["--sessions"]);
    let more = [more, &["--scan", "engine"]].concat();
    run(&on_engine(&study, engine, &python, "files", &more));
    assert_same_but_sources(&study.path("cube"), &study.path("files"), "log");
    // The name of a table: engines have files as tables under such names.
    let table = format!("parquet.`{}`", text(&study.path("log")));
    let mut args = on_engine(&study, engine, &python, "table", &more);
    let at = args.iter().position(|arg| arg == "--traffic").unwrap() + 1;
    args[at] = format!("catalog://{table}");
    run(&args);
    assert_same_but_sources(&study.path("cube"), &study.path("table"), &table);
    args[at] = "catalog://no_such_table".to_owned();
    let before = tree(&study.path("table"));
    let stderr = refused(&args, 4);
    assert!(stderr.contains("no_such_table"), "{stderr}");
    assert!(tree(&study.path("table")) == before);
}

#[test]
fn sail_reads_the_log() {
    engine_reads("sail", &["--partitions", "3"], 52);
}

#[test]
#[ignore = "needs Apache Spark: run scripts/test engines"]
fn spark_reads_the_log() {
    let more = ["--master", "local[2]", "--conf", "spark.ui.enabled=false"];
    engine_reads("spark", &more, 53);
}

#[test]
fn what_a_table_does_not_have_is_refused() {
    let log = Log::new(500, 54);
    let study = Study::new(&log);
    in_parquet(&log, &study);
    study.replay("log", "cube", &["--sessions"]);
    let since = study.path("cube");
    for (more, found) in [
        (
            vec!["--prepare", "job"],
            "expected --scan native beside --prepare",
        ),
        (
            vec!["--traffic", "log.csv"],
            "expected Parquet files or catalog://TABLE",
        ),
        (
            vec!["--traffic", "catalog://"],
            "expected the name of a table after catalog://",
        ),
    ] {
        let scan: &[&str] = if more.contains(&"--scan") {
            &[]
        } else {
            &["--scan", "engine"]
        };
        let more = [scan, &more].concat();
        let mut args = on_engine(&study, "sail", "/nowhere/python", "other", &more);
        if more.contains(&"--traffic") {
            let at = args.iter().position(|arg| arg == "--traffic").unwrap();
            args.drain(at..at + 2);
        }
        let stderr = refused(&args, 2);
        assert!(stderr.contains(found), "{stderr}");
    }
    let python = python("sail");
    let more = ["--scan", "engine", "--since", text(&since)];
    let stderr = refused(&on_engine(&study, "sail", &python, "other", &more), 2);
    assert!(
        stderr.contains("expected no earlier cube with --scan engine"),
        "{stderr}"
    );
}

/// Sail takes a file with `=` in its name for a folder of a partition, and finds no columns.
#[test]
fn a_table_without_columns_is_named() {
    let python = python("sail");
    let log = Log::new(300, 58);
    let study = Study::new(&log);
    in_parquet(&log, &study);
    let folder = study.path("days");
    fs::create_dir(&folder).unwrap();
    let files = fs::read_dir(study.path("log")).unwrap().flatten();
    for (idx, file) in files.enumerate() {
        let day = folder.join(format!("dt=2026-06-0{}.parquet", idx + 1));
        fs::copy(file.path(), day).unwrap();
    }
    let mut args = on_engine(&study, "sail", &python, "other", &["--scan", "engine"]);
    let at = args.iter().position(|arg| arg == "--traffic").unwrap() + 1;
    args[at] = text(&folder).to_owned();
    let stderr = refused(&args, 3);
    let found = format!("{}: expected columns, the engine finds none", text(&folder));
    assert!(
        stderr.contains(&found) && stderr.contains("--scan native"),
        "{stderr}"
    );
}

#[test]
fn a_row_that_an_engine_reads_can_be_refused() {
    let python = python("sail");
    let mut log = Log::new(800, 55);
    log.turns[700].cost_usd = -1.0;
    let study = Study::new(&log);
    in_parquet(&log, &study);
    let stderr = refused(
        &on_engine(&study, "sail", &python, "cube", &["--scan", "engine"]),
        3,
    );
    assert!(stderr.contains("log.arrow: column `cost_usd`, row "), "{stderr}");
    assert!(!study.path("cube").exists());
}

/// The rows of a log at work are removed with a task whose engine is gone.
#[test]
fn a_task_without_a_reader_leaves_no_rows() {
    let log = Log::new(600, 56);
    let study = Study::new(&log);
    in_parquet(&log, &study);
    let (job, tmp) = (study.path("job"), study.path("tmp"));
    fs::create_dir(&tmp).unwrap();
    run(&on_engine(
        &study,
        "sail",
        "python3",
        "later",
        &["--prepare", text(&job)],
    ));
    let mut document = json(&job.join("job.json"));
    document["tables"] =
        serde_json::json!([{"table": "turns", "path": null, "columns": [], "name": "turns"}]);
    fs::write(job.join("job.json"), document.to_string()).unwrap();
    let mut kernel = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["kernel", "replay", "--task", "rows", "--job"])
        .arg(job.join("job.json"))
        .env("TMPDIR", &tmp)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows = rows(&study);
    let mut stdin = StreamWriter::try_new(kernel.stdin.take().unwrap(), &rows.schema()).unwrap();
    stdin.write(&rows).unwrap();
    wait_until("folder of rows", || fs::read_dir(&tmp).unwrap().count() > 0);
    drop(kernel.stdout.take());
    assert_eq!(end_of(&mut kernel, Instant::now()), 1);
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}
