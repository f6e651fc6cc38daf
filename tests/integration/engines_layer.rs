//! Tests that a layering in tasks gives the layer table of a layering on threads, byte for byte, in
//! this process and with parts and blocks in random order. `engines_real` runs Sail and Spark.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, UInt64Array};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

use sluice::base::block::{Block, OnBlock};
use sluice::base::error::Result;
use sluice::base::progress::Progress;
use sluice::layer::{Audit, LayerFacts, LayerRunner, layer_parts, next_pass};
use sluice::scenario::{Overrides, Scenario};
use sluice::study;
use sluice::study::LayerOptions;

use crate::layer_parquet::write;
use crate::logs::Dice;
use crate::support::{assert_same_tree, fails, ok, text};

/// The change that a test makes to the blocks of a pass.
type Harm<'a> = dyn Fn(&mut Vec<Block>, &mut Dice) + 'a;

/// Runs the tasks in this process: parts are dealt to tasks at random, and blocks arrive in random
/// order.
struct Shuffled<'a> {
    scenario: &'a Scenario,
    options: &'a LayerOptions,
    dice: RefCell<Dice>,
    harm: &'a Harm<'a>,
}

impl Shuffled<'_> {
    fn shuffle<T>(&self, items: &mut [T]) {
        let dice = &mut *self.dice.borrow_mut();
        (1..items.len()).for_each(|idx| items.swap(idx, dice.roll(idx as u64 + 1) as usize));
    }
}

impl LayerRunner for Shuffled<'_> {
    fn run(&self, facts: &LayerFacts, on_block: &mut OnBlock<'_>) -> Result<()> {
        let (scenario, options) = (self.scenario, self.options);
        let mut facts = facts.clone();
        loop {
            // Facts reach tasks as JSON.
            facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
            let mut parts: Vec<usize> = (0..facts.n_parts()).collect();
            self.shuffle(&mut parts);
            let mut blocks = Vec::new();
            while !parts.is_empty() {
                let n = 1 + self.dice.borrow_mut().roll(4) as usize;
                let task = parts.split_off(parts.len().saturating_sub(n));
                study::with_table_of_users(scenario, &scenario.input.users, options, |ctx, users| {
                    layer_parts(ctx, users, &facts, &task, &mut |block| {
                        blocks.push(block);
                        Ok(())
                    })
                })?;
            }
            self.shuffle(&mut blocks);
            (self.harm)(&mut blocks, &mut self.dice.borrow_mut());
            if facts.is_last() {
                return blocks.into_iter().try_for_each(on_block);
            }
            let ctx = study::layer_context(scenario, options);
            facts = next_pass(&ctx, &facts, &mut blocks.into_iter().map(Ok))?;
        }
    }
}

/// A folder with a scenario and its users.
struct Shop {
    dir: TempDir,
}

const THRESHOLDS: &str = r#"
layer = [
  { id = "internal", tags = [{ column = "kind", equals = "internal" }] },
  { id = "early", min_score = 0.6 },
  { id = "regular", min_score = 0.3 },
  { id = "sensitive" },
]
"#;

const QUOTAS: &str = r#"
layering = { mode = "quota", unknown = "protect" }
layer = [
  { id = "internal", tags = [{ column = "kind", equals = "internal" }] },
  { id = "early", quota = 0.13 },
  { id = "regular", quota = 0.7 },
  { id = "sensitive", quota = 0.17 },
]
"#;

impl Shop {
    fn new(input: &str, layers: &str) -> Self {
        let shop = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let scenario = format!(
            "as_of = \"2026-05-26\"\n\
             plan = {{ id = \"q\", start = \"2026-05-25\", baseline = \"a\", candidate = \"b\" }}\n\
             input = {{ {input} }}\n{layers}"
        );
        fs::write(shop.path("plan.toml"), scenario).unwrap();
        fs::create_dir(shop.path("users")).unwrap();
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn scenario(&self) -> Scenario {
        Scenario::load(&self.path("plan.toml"), &Overrides::default()).unwrap()
    }

    /// Layers the users into a new folder.
    fn layer(&self, runner: Option<&dyn LayerRunner>, options: &LayerOptions, out: &str) -> Result<()> {
        let (out, scenario) = (self.path(out), self.scenario());
        fs::create_dir_all(&out).unwrap();
        let (users, table) = (&scenario.input.users, out.join("layers.parquet"));
        let done = study::layer_at(runner, &scenario, users, options, &table, &Progress::silent());
        done.map(|_| ())
    }

    /// Layers the users on threads and in shuffled tasks, and compares the files.
    fn same_in_tasks(&self, options: &LayerOptions) {
        self.layer(None, options, "threads").unwrap();
        for seed in 0..4 {
            let scenario = self.scenario();
            let runner = Shuffled {
                scenario: &scenario,
                options,
                dice: RefCell::new(Dice(seed)),
                harm: &|_, _| (),
            };
            let out = format!("tasks-{seed}");
            self.layer(Some(&runner), options, &out).unwrap();
            assert_same_tree(&self.path("threads"), &self.path(&out));
        }
    }
}

fn at(audit: Audit) -> LayerOptions {
    LayerOptions {
        audit,
        ..LayerOptions::at(sluice::base::time::parse("2026-05-25T00:00:00Z").unwrap())
    }
}

/// Users of three tenants, with few distinct scores and with missing values.
fn users(n: usize, seed: u64) -> Vec<(&'static str, ArrayRef)> {
    let mut dice = Dice(seed);
    let mut some = |share: u64, most: u64| -> Vec<Option<u64>> {
        (0..n)
            .map(|_| (dice.roll(100) < share).then(|| dice.roll(most)))
            .collect()
    };
    let counts = some(95, 60);
    let (values, accepts, tenants, kinds) = (some(90, 9), some(70, 21), some(90, 3), some(99, 30));
    let flags = some(100, 3);
    let of = |values: &[Option<u64>], to: &dyn Fn(u64) -> String| -> ArrayRef {
        Arc::new(values.iter().map(|value| value.map(to)).collect::<StringArray>())
    };
    vec![
        (
            "user_id",
            Arc::new(
                (0..n)
                    .map(|user| Some(format!("u{seed}-{user}")))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "use_count",
            Arc::new(counts.iter().map(|n| n.map(|n| n as i64)).collect::<Int64Array>()),
        ),
        (
            "user_value",
            Arc::new(
                values
                    .iter()
                    .map(|n| n.map(|n| n as f64 * 900.0))
                    .collect::<Float64Array>(),
            ),
        ),
        (
            "accept_score",
            Arc::new(
                accepts
                    .iter()
                    .map(|n| n.map(|n| n as f64 / 2.0))
                    .collect::<Float64Array>(),
            ),
        ),
        (
            "is_allow_gray",
            Arc::new(flags.iter().map(|n| n.map(|n| n > 0)).collect::<BooleanArray>()),
        ),
        ("tenant_id", of(&tenants, &|n| format!("t{n}"))),
        (
            "kind",
            of(&kinds, &|n| {
                if n == 0 { "internal" } else { "customer" }.to_owned()
            }),
        ),
    ]
}

fn row_groups(n_rows: usize, statistics: EnabledStatistics) -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(n_rows))
        .set_statistics_enabled(statistics)
        .build()
}

const FOLDER: &str = "users = { path = \"users\", absent = [\"last_use_time\"] }";

#[test]
fn row_groups_of_tasks_make_the_table_of_threads() {
    for layers in [THRESHOLDS, QUOTAS] {
        let shop = Shop::new(FOLDER, layers);
        // Ids are copied if both files have statistics.
        for (name, n, rows) in [("a", 5_000, 700), ("b", 900, 100)] {
            let path = shop.path("users").join(format!("{name}.parquet"));
            write(
                &path,
                users(n, n as u64),
                row_groups(rows, EnabledStatistics::Page),
            );
        }
        shop.same_in_tasks(&at(Audit::Always));
        shop.same_in_tasks(&at(Audit::Never));
    }
}

#[test]
fn ids_that_are_encoded_again_are_the_same() {
    for layers in [THRESHOLDS, QUOTAS] {
        let shop = Shop::new(FOLDER, layers);
        let ids: [ArrayRef; 4] = [
            Arc::new(
                (0..2_500)
                    .map(|user| Some(user * 3 - 900))
                    .collect::<Int64Array>(),
            ),
            Arc::new((0..2_500).map(|user| Some(user * 7)).collect::<Int32Array>()),
            Arc::new(
                (0..2_500)
                    .map(|user| Some(u64::MAX - user))
                    .collect::<UInt64Array>(),
            ),
            // Bounds of long texts are cut off.
            Arc::new(
                (0..2_500)
                    .map(|user| Some(format!("{user:0>90}")))
                    .collect::<StringArray>(),
            ),
        ];
        for of_kind in ids {
            let mut whole = users(2_500, 7);
            whole[0].1 = of_kind;
            let path = shop.path("users").join("a.parquet");
            write(&path, whole, row_groups(600, EnabledStatistics::None));
            shop.same_in_tasks(&at(Audit::Auto));
        }
    }
}

#[test]
fn a_text_file_has_several_row_groups() {
    for layers in [THRESHOLDS, QUOTAS] {
        let shop = Shop::new(
            "users = { path = \"users/*.csv\", absent = [\"last_use_time\", \"user_value\"] }, \
             on_bad_row = \"drop\", on_duplicate_user = \"keep_first\"",
            layers,
        );
        let mut dice = Dice(11);
        for (name, n) in [("a", 300_000), ("b", 10), ("c", 0)] {
            let mut csv = "user_id,use_count,accept_score,is_allow_gray,kind\n".to_owned();
            for user in 0..n {
                // Some users come twice, and some counts are no numbers.
                let user = if dice.roll(50) == 0 { user / 2 } else { user };
                let count = ["1", "2", "30", "x", ""][(dice.roll(1_000) as usize).min(4)];
                let kind = if dice.roll(40) == 0 { "internal" } else { "other" };
                csv.push_str(&format!("{name}{user},{count},{},true,{kind}\n", dice.roll(11)));
            }
            fs::write(shop.path("users").join(format!("{name}.csv")), csv).unwrap();
        }
        shop.same_in_tasks(&at(Audit::Auto));
    }
}

#[test]
fn tasks_take_unchanged_row_groups_of_the_night_before() {
    let shop = Shop::new(FOLDER, THRESHOLDS);
    let path = shop.path("users").join("a.parquet");
    write(&path, users(4_000, 1), row_groups(500, EnabledStatistics::Page));
    shop.layer(None, &at(Audit::Always), "before").unwrap();
    // Other counts in one row group.
    let mut changed = users(4_000, 1);
    let counts = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(&changed[1].1);
    let counts: Int64Array = (counts.iter().enumerate())
        .map(|(row, n)| if row / 500 == 3 { Some(59) } else { n })
        .collect();
    changed[1].1 = Arc::new(counts);
    write(&path, changed, row_groups(500, EnabledStatistics::Page));
    let options = LayerOptions {
        previous: Some(shop.path("before").join("layers.parquet")),
        ..at(Audit::Always)
    };
    shop.same_in_tasks(&options);
    let summary = crate::support::json(&shop.path("tasks-0").join("layers.summary.json"));
    assert_eq!(summary["n_reused_row_groups"], 7, "{summary}");
}

#[test]
fn harmed_results_of_tasks_are_refused() {
    let shop = Shop::new(FOLDER, QUOTAS);
    let path = shop.path("users").join("a.parquet");
    write(&path, users(1_000, 3), row_groups(90, EnabledStatistics::Page));
    let options = at(Audit::Never);
    shop.layer(None, &options, "kept").unwrap();
    let kept = crate::support::tree(&shop.path("kept"));
    let harms: [(&str, &Harm<'_>); 4] = [
        ("a bit", &|blocks, dice| {
            let block = dice.roll(blocks.len() as u64) as usize;
            let bytes = &mut blocks[block].bytes;
            let bit = dice.roll(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }),
        ("an end", &|blocks, dice| {
            let block = dice.roll(blocks.len() as u64) as usize;
            let n = blocks[block].bytes.len() as u64;
            blocks[block].bytes.truncate(dice.roll(n) as usize);
        }),
        ("a loss", &|blocks, dice| {
            blocks.remove(dice.roll(blocks.len() as u64) as usize);
        }),
        ("a double", &|blocks, dice| {
            let block = blocks[dice.roll(blocks.len() as u64) as usize].clone();
            blocks.push(block);
        }),
    ];
    for (name, harm) in harms {
        for seed in 0..25 {
            let scenario = shop.scenario();
            let runner = Shuffled {
                scenario: &scenario,
                options: &options,
                dice: RefCell::new(Dice(seed)),
                harm,
            };
            let error = shop
                .layer(Some(&runner), &options, "kept")
                .unwrap_err()
                .to_string();
            let expected = [
                "expected the bytes that",
                "expected each of the",
                "expected all row groups",
                "found two",
            ];
            assert!(
                expected.iter().any(|text| error.contains(text)),
                "{name}: {error}"
            );
        }
    }
    assert!(crate::support::tree(&shop.path("kept")) == kept);
}

#[test]
fn users_that_tasks_cannot_read_are_refused() {
    let shop = Shop::new(
        "users = [{ path = \"a.csv\" }, { path = \"b.csv\" }]",
        "layer = [{ id = \"all\" }]",
    );
    let csv = "user_id,use_count,is_allow_gray\nu1,1,true\n";
    for name in ["a.csv", "b.csv", "events.csv"] {
        fs::write(shop.path(name), csv).unwrap();
    }
    let (plan, out, events) = (
        shop.path("plan.toml"),
        shop.path("l.parquet"),
        shop.path("events.csv"),
    );
    let engine = [
        "--engine",
        "sail",
        "--submit",
        "no-such-program",
        "--out",
        text(&out),
    ];
    for (source, found) in [
        (&["--scenario", text(&plan)][..], "found several"),
        (
            &["--events", text(&events), "--as-of", "2026-05-25"],
            "found events",
        ),
    ] {
        let stderr = fails(&[&["layer"], source, &engine].concat(), 2);
        assert!(stderr.contains(found) && stderr.contains("hint: "), "{stderr}");
    }
    // Options of an engine without one.
    let users = shop.path("a.csv");
    let args = [
        "layer",
        "--users",
        text(&users),
        "--as-of",
        "2026-05-25",
        "--out",
        text(&out),
    ];
    let stderr = fails(&[&args[..], &["--prepare", "job"]].concat(), 2);
    assert!(stderr.contains("beside --prepare"), "{stderr}");
    assert!(!out.exists());
}

#[test]
fn a_prepared_layering_is_of_the_same_inputs() {
    let shop = Shop::new(FOLDER, THRESHOLDS);
    let path = shop.path("users").join("a.parquet");
    write(&path, users(300, 5), row_groups(100, EnabledStatistics::Page));
    let (plan, job, out) = (shop.path("plan.toml"), shop.path("job"), shop.path("l.parquet"));
    let args = |more: &[&str]| {
        let args = ["layer", "--scenario", text(&plan), "--out", text(&out)];
        let args = args.iter().chain(more).map(|arg| (*arg).to_owned());
        args.collect::<Vec<String>>()
    };
    let run = |args: Vec<String>| ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let refused = |args: Vec<String>, code| fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code);
    run(args(&["--engine", "spark", "--prepare", text(&job)]));
    assert!(!out.exists());
    let stderr = refused(args(&["--prepared", text(&job)]), 3);
    assert!(stderr.contains("expected blocks.bin"), "{stderr}");
    let stderr = refused(args(&["--prepared", text(&job), "--as-of", "2026-05-24"]), 3);
    assert!(stderr.contains("expected the job of these inputs"), "{stderr}");
    // A replay is another job.
    let stderr = fails(
        &[
            "kernel",
            "replay",
            "--job",
            text(&job.join("job.json")),
            "--task",
            "read",
        ],
        3,
    );
    assert!(stderr.contains("expected a job of a replay"), "{stderr}");
    assert!(Path::new(&job).join("driver.py").exists());
}
