//! Tests of replay against an independent count of the same rows. The cube must not depend on how
//! the log is split, written, ordered or merged.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use parquet::{arrow::ArrowWriter, basic::Compression};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    sync::Arc,
};

use crate::{
    logs::{AS_OF, Dice, HOUR, LAYERS, Log, OPERATIONS, SCENARIO, START, Study, Turn, Written, write},
    support::{fails, json, text, tree},
};

/// Tenant, index of the layer, index of the stage, and release.
type Series = (&'static str, usize, usize, &'static str);

/// The expected content of a cube, counted row by row.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    /// Sums in integer units, by series.
    sums: BTreeMap<Series, BTreeMap<&'static str, i128>>,
    /// Users by tenant, layer and stage: those seen in the baseline, and those seen in the
    /// candidate.
    users: BTreeMap<(&'static str, usize, usize), [BTreeSet<String>; 2]>,
    /// Rows, successes and cost by series and feature.
    features: BTreeMap<(Series, &'static str), [i128; 3]>,
    sessions: BTreeMap<Series, BTreeSet<(String, String)>>,
    counts: BTreeMap<&'static str, u64>,
}

/// Whether a row lies between a change of its layer's ratio and the next whole window. Such rows are
/// in no arm.
fn is_settling(log: &Log, turn: &Turn) -> bool {
    let Ok(user) = &turn.user else { return false };
    let user = &log.users[*user];
    let served = turn
        .color
        .and_then(|color| LAYERS.iter().position(|layer| *layer == color));
    let layer = served.unwrap_or(user.layer);
    OPERATIONS.iter().any(|(at, tenant, of_layer, _)| {
        let whole = START + (at - START + HOUR - 1) / HOUR * HOUR;
        *of_layer == layer
            && tenant.is_none_or(|tenant| tenant == user.tenant)
            && (*at..whole).contains(&turn.at)
    })
}

impl Expected {
    fn of(log: &Log) -> Self {
        let mut expected = Self::default();
        for turn in &log.turns {
            let outcome = expected.add(log, turn);
            *expected.counts.entry("n_rows").or_default() += 1;
            *expected.counts.entry(outcome).or_default() += 1;
        }
        expected
    }

    fn add(&mut self, log: &Log, turn: &Turn) -> &'static str {
        if turn.at < START {
            return "n_before_start";
        }
        if turn.at >= AS_OF {
            return "n_after_as_of";
        }
        if turn.is_shadow == Some(true) {
            return "n_shadow";
        }
        if turn.is_eval {
            return "n_eval";
        }
        let Ok(user) = &turn.user else {
            return "n_unknown_user";
        };
        let user = &log.users[*user];
        let Some(release) = turn.release.filter(|release| ["old", "new"].contains(release)) else {
            return "n_unknown_release";
        };
        if !user.eligible {
            return "n_ineligible";
        }
        let layer = turn
            .color
            .and_then(|color| LAYERS.iter().position(|layer| *layer == color))
            .unwrap_or(user.layer);
        let mut ratios = vec![0];
        for (at, tenant, of_layer, bps) in OPERATIONS {
            if of_layer == layer && tenant.is_none_or(|tenant| tenant == user.tenant) && at <= turn.at {
                ratios.push(bps);
            }
        }
        if is_settling(log, turn) {
            *self.counts.entry("n_settling_candidate").or_default() += u64::from(release == "new");
            return "n_settling";
        }
        let stage = ratios.len() - 1;
        let ratio = ratios[stage];
        if turn.color.is_some_and(|color| color != LAYERS[user.layer]) {
            *self.counts.entry("n_layer_differs").or_default() += 1;
        }
        let is_candidate = release == "new";
        *self.counts.entry("n_misassigned").or_default() += u64::from(is_candidate != (user.bucket < ratio));
        let series = (user.tenant, layer, stage, release);
        let sums = self.sums.entry(series).or_default();
        let mut add = |name, value: i128| *sums.entry(name).or_default() += value;
        add("rows", 1);
        if let Some(success) = turn.success {
            add("sum_success", i128::from(success));
            add("count_success", 1);
        }
        if let Some(latency) = turn.latency_ms {
            add("sum_latency_ms", (latency * 1e6).round_ties_even() as i128);
            add("count_latency_ms", 1);
            add("sum(latency_ms > 900)", i128::from(latency > 900.0));
            let limited = (latency.clamp(200.0, 1_500.5) * 1e6).round_ties_even() as i128;
            add("sum(latency_ms cap 200..1500.5)", limited);
            let is_beyond = !(200.0..=1_500.5).contains(&latency);
            add("limited(latency_ms cap 200..1500.5)", i128::from(is_beyond));
        }
        add("sum_tool_calls", i128::from(turn.tool_calls.unwrap_or(0)));
        if let Some(bad) = turn.bad {
            add("sum_bad", i128::from(bad));
            add("count_bad", 1);
        }
        if let Some(csat) = turn.csat {
            add("sum_csat", (csat * 1e6).round_ties_even() as i128);
            add("count_csat", 1);
        }
        add("sum_cost_usd", (turn.cost_usd * 1e9).round_ties_even() as i128);
        add("sum(feature = 'refund')", i128::from(turn.feature == "refund"));
        self.users.entry((user.tenant, layer, stage)).or_default()[usize::from(is_candidate)]
            .insert(user.id.clone());
        let of_feature = self.features.entry((series, turn.feature)).or_default();
        of_feature[0] += 1;
        of_feature[1] += i128::from(turn.success == Some(true));
        of_feature[2] += (turn.cost_usd * 1e9).round_ties_even() as i128;
        self.sessions
            .entry(series)
            .or_default()
            .insert((user.id.clone(), turn.session.clone()));
        if is_candidate { "n_candidate" } else { "n_baseline" }
    }

    /// Compares a cube with the expected content.
    fn check(&self, study: &Study, cube: &str) {
        let mut found: BTreeMap<Series, BTreeMap<&'static str, i128>> = BTreeMap::new();
        let names: BTreeSet<&'static str> =
            self.sums.values().flat_map(|sums| sums.keys().copied()).collect();
        let csv = study.ok(&["cube", "slice", cube]);
        let mut lines = csv::Reader::from_reader(csv.as_bytes());
        let header = lines.headers().unwrap().clone();
        let column = |name: &str| {
            header
                .iter()
                .position(|column| column == name)
                .unwrap_or_else(|| panic!("{name} in {header:?}"))
        };
        for line in lines.records() {
            let line = line.unwrap();
            let tenant = ["default", "shop"]
                .into_iter()
                .find(|tenant| *tenant == &line[0])
                .unwrap();
            let layer = LAYERS.iter().position(|layer| *layer == &line[1]).unwrap();
            let release = ["old", "new"]
                .into_iter()
                .find(|release| *release == &line[3])
                .unwrap();
            let sums = names
                .iter()
                .map(|name| (*name, line[column(name)].parse().unwrap()));
            found.insert(
                (tenant, layer, line[2].parse().unwrap(), release),
                sums.filter(|(_, sum)| *sum != 0).collect(),
            );
        }
        let known: BTreeMap<_, BTreeMap<_, _>> = self
            .sums
            .iter()
            .map(|(key, sums)| {
                (
                    *key,
                    sums.iter()
                        .map(|(name, sum)| (*name, *sum))
                        .filter(|(_, sum)| *sum != 0)
                        .collect(),
                )
            })
            .collect();
        assert_eq!(found, known);

        let csv = study.ok(&["cube", "slice", cube, "--breakdown", "feature"]);
        let mut lines = csv::Reader::from_reader(csv.as_bytes());
        let header = lines.headers().unwrap().clone();
        let column = |name: &str| {
            header
                .iter()
                .position(|column| column == name)
                .unwrap_or_else(|| panic!("{name} in {header:?}"))
        };
        let mut n_features = 0;
        for line in lines.records() {
            let line = line.unwrap();
            let found = ["rows", "sum_success", "sum_cost_usd"]
                .map(|name| line[column(name)].parse::<i128>().unwrap());
            let is_it = |((tenant, layer, stage, release), feature): &(Series, &str)| {
                let texts = [tenant, LAYERS[*layer], &stage.to_string(), release, feature].map(str::to_owned);
                (0..4)
                    .chain([column("feature")])
                    .zip(texts)
                    .all(|(at, text)| line[at] == text)
            };
            assert_eq!(
                self.features
                    .iter()
                    .find(|(key, _)| is_it(key))
                    .map(|(_, sums)| *sums),
                Some(found),
                "{line:?}"
            );
            n_features += 1;
        }
        assert_eq!(n_features, self.features.len());

        let shown: serde_json::Value =
            serde_json::from_str(&study.ok(&["cube", "show", cube, "--json"])).unwrap();
        for (name, n) in &self.counts {
            assert_eq!(shown["counts"][name], *n, "{name}");
        }
        let mut n_stages = 0;
        for stage in shown["stages"].as_array().unwrap() {
            let tenant = ["default", "shop"]
                .into_iter()
                .find(|tenant| *tenant == stage["tenant"])
                .unwrap();
            let layer = LAYERS.iter().position(|layer| *layer == stage["layer"]).unwrap();
            let idx = stage["stage"].as_u64().unwrap() as usize;
            let [old, new] = &self.users[&(tenant, layer, idx)];
            let both = old.intersection(new).count();
            let users = &stage["users"];
            assert_eq!(users["n_crossover"], both);
            assert_eq!(users["n_baseline"], old.len() - both);
            assert_eq!(users["n_candidate"], new.len() - both);
            let earlier = || (0..idx).filter_map(|earlier| self.users.get(&(tenant, layer, earlier)));
            let is_first = |user: &&String| !earlier().any(|[_, new]| new.contains(*user));
            assert_eq!(users["n_first_candidate"], new.iter().filter(is_first).count());
            let is_new =
                |user: &&String| !earlier().any(|[old, new]| old.contains(*user) || new.contains(*user));
            assert_eq!(
                users["n_new_candidate"],
                new.difference(old).filter(is_new).count()
            );
            assert_eq!(
                users["n_new_baseline"],
                old.difference(new).filter(is_new).count()
            );
            for (release, name) in [("old", "baseline"), ("new", "candidate")] {
                let sessions = self
                    .sessions
                    .get(&(tenant, layer, idx, release))
                    .map_or(0, BTreeSet::len);
                assert_eq!(stage["sessions"][name], sessions);
            }
            n_stages += 1;
        }
        assert_eq!(n_stages, self.users.len());
    }
}

#[test]
fn a_cube_holds_what_the_rows_say() {
    let log = Log::new(20_000, 1);
    let study = Study::new(&log);
    write(
        &log,
        &log.turns,
        &study.path("log/a.parquet"),
        Written::Parquet(3_000, true, Compression::SNAPPY, false),
    );
    study.replay("log", "cube", &["--sessions"]);
    let expected = Expected::of(&log);
    assert!(
        expected.counts.values().all(|n| *n > 0) && expected.counts.len() == 14,
        "{:?}",
        expected.counts
    );
    expected.check(&study, "cube");
}

#[test]
fn a_cube_does_not_depend_on_how_the_log_is_written_or_read() {
    let log = Log::new(9_000, 2);
    let study = Study::new(&log);
    let ways = [
        Written::Parquet(1_000_000, true, Compression::SNAPPY, false),
        Written::Parquet(1, false, Compression::UNCOMPRESSED, false),
        Written::Parquet(1_000, true, Compression::UNCOMPRESSED, true),
        Written::Csv,
        Written::Ndjson,
    ];
    let mut first = None;
    for (idx, how) in ways.into_iter().enumerate() {
        // The rows in several orders, in two files.
        let mut turns = log.turns.clone();
        if idx % 2 == 1 {
            turns.reverse();
            turns.rotate_left(idx * 1_000);
        }
        let name = match how {
            Written::Csv => "csv",
            Written::Ndjson => "ndjson",
            Written::Parquet(..) => "parquet",
        };
        for (part, turns) in turns.chunks(5_000).enumerate() {
            // Row groups of one row are slow to write, so only the second file has them.
            let rows = if matches!(how, Written::Parquet(1, ..)) && part == 0 {
                Written::Parquet(4_999, false, Compression::UNCOMPRESSED, false)
            } else {
                how
            };
            write(&log, turns, &study.path(&format!("log{idx}/{part}.{name}")), rows);
        }
        for threads in ["1", "8"] {
            for limit in ["2GB", "4kB"] {
                study.replay(
                    &format!("log{idx}"),
                    "cube",
                    &["--sessions", "--threads", threads, "--memory-limit", limit],
                );
                let tables = study.tables("cube");
                assert!(
                    *first.get_or_insert_with(|| tables.clone()) == tables,
                    "{name} {idx}, {threads} threads, {limit}"
                );
            }
        }
    }
}

#[test]
fn cubes_of_parts_merge_to_the_cube_of_all() {
    let log = Log::new(8_000, 3);
    let study = Study::new(&log);
    for (part, turns) in log.turns.chunks(1_700).enumerate() {
        let how = if part == 2 {
            Written::Csv
        } else {
            Written::Parquet(600, part % 2 == 0, Compression::SNAPPY, false)
        };
        let name = format!("{part}.{}", if part == 2 { "csv" } else { "parquet" });
        write(&log, turns, &study.path("log").join(&name), how);
        fs::create_dir_all(study.path(&format!("p{part}"))).unwrap();
        fs::copy(
            study.path("log").join(&name),
            study.path(&format!("p{part}")).join(&name),
        )
        .unwrap();
        study.replay(&format!("p{part}"), &format!("c{part}"), &["--sessions"]);
    }
    study.replay("log", "whole", &["--sessions"]);
    let whole = tree(&study.path("whole"));
    study.ok(&["cube", "merge", "c3", "c0", "c4", "c2", "c1", "--out", "all"]);
    assert!(tree(&study.path("all")) == whole);
    study.ok(&["cube", "merge", "c1", "c4", "--out", "two"]);
    study.ok(&["cube", "merge", "c2", "two", "c0", "c3", "--out", "all"]);
    assert!(tree(&study.path("all")) == whole);

    let stderr = study.fails(&["cube", "merge", "c1", "two", "--out", "twice"], 3);
    assert!(
        stderr.contains("expected different files, found 1.parquet and 1.parquet with the same bytes"),
        "{stderr}"
    );
    fs::write(
        study.path("other.toml"),
        SCENARIO.replace("ratio = 0.2", "ratio = 0.3"),
    )
    .unwrap();
    study.ok(&[
        "replay",
        "--traffic",
        "p0",
        "--layers",
        "layers.parquet",
        "--plan",
        "other.toml",
        "--sessions",
        "--out",
        "other",
    ]);
    let stderr = study.fails(&["cube", "merge", "c1", "other", "--out", "no"], 3);
    assert!(stderr.contains("expected the operations of"), "{stderr}");
}

#[test]
fn a_night_goes_on_from_the_night_before() {
    let mut log = Log::new(8_000, 4);
    log.turns.sort_by_key(|turn| turn.at);
    let study = Study::new(&log);
    let days = |turn: &Turn| (turn.at - START).div_euclid(24 * HOUR).clamp(-1, 3);
    for (day, turns) in log.turns.chunk_by(|a, b| days(a) == days(b)).enumerate() {
        write(
            &log,
            turns,
            &study.path(&format!("log/{day}.parquet")),
            Written::Parquet(500, true, Compression::SNAPPY, false),
        );
    }
    // The first night already reads this file. It holds late rows, and rows after the end of that
    // night.
    write(
        &log,
        &log.turns[3_000..3_500],
        &study.path("log/9.csv"),
        Written::Csv,
    );
    let from = |night: &str, since: Option<&str>, out: &str| {
        let since = since.map_or(vec![], |cube| vec!["--since", cube]);
        study.replay(
            "log",
            out,
            &[&["--sessions", "--as-of", night], since.as_slice()].concat(),
        )
    };
    fs::rename(study.path("log/3.parquet"), study.path("later.parquet")).unwrap();
    // The night ends within a day, a window and a stage, so the file of that day is read again
    // later.
    from("2026-05-26T10:10:00Z", None, "night1");
    from("2026-05-26T20:00:00Z", Some("night1"), "night2");
    fs::rename(study.path("later.parquet"), study.path("log/3.parquet")).unwrap();
    from("2026-05-28", Some("night2"), "night3");
    from("2026-05-28", None, "whole");
    assert!(tree(&study.path("night3")) == tree(&study.path("whole")));
    from("2026-05-28", Some("whole"), "again");
    assert!(tree(&study.path("again")) == tree(&study.path("whole")));
    let limited = [
        "--sessions",
        "--as-of",
        "2026-05-28",
        "--since",
        "night1",
        "--memory-limit",
        "4kB",
    ];
    study.replay("log", "limited", &limited);
    assert!(tree(&study.path("limited")) == tree(&study.path("whole")));

    // A counted file must not change, and a cube of another plan cannot be continued.
    write(
        &log,
        &log.turns[3_000..3_400],
        &study.path("log/9.csv"),
        Written::Csv,
    );
    let replay = [
        "replay",
        "--traffic",
        "log",
        "--layers",
        "layers.parquet",
        "--plan",
        "plan.toml",
        "--sessions",
        "--out",
        "no",
        "--since",
        "night1",
    ];
    let stderr = study.fails(&replay, 3);
    assert!(
        stderr.contains("expected 9.csv as the earlier cube counted it"),
        "{stderr}"
    );
    // Files that must be read again must not be missing.
    let alone = |traffic: &'static str| [&replay[..2], &[traffic], &replay[3..]].concat();
    let stderr = study.fails(&alone("log/0.parquet"), 3);
    assert!(
        stderr.contains("because it has rows after the earlier as_of"),
        "{stderr}"
    );
    let stderr = study.fails(&[replay.as_slice(), &["--as-of", "2026-05-26"]].concat(), 3);
    assert!(stderr.contains("as_of or an earlier one"), "{stderr}");
}

#[test]
fn limits_at_a_quantile_are_those_of_the_first_rows_of_the_baseline() {
    const METRICS: &str = r#"
[[metric]]
id = "cost_limited"
numerator = "sum(cost_usd)"
denominator = "rows"
better = "lower"
winsorize = 0.9
"#;
    const CAPPED: &str = "cost_usd winsorize 0.9";
    let mut log = Log::new(16_000, 8);
    log.turns.sort_by_key(|turn| turn.at);
    // Values below the resolution of 1e-9 USD count as 0, and are counted.
    let mut n_small = 0;
    for turn in log.turns.iter_mut().step_by(500) {
        turn.cost_usd = 3e-10;
        n_small +=
            u64::from((START..AS_OF).contains(&turn.at) && turn.is_shadow != Some(true) && !turn.is_eval);
    }
    let study = Study::new(&log);
    fs::write(study.path("plan.toml"), format!("{SCENARIO}{METRICS}")).unwrap();
    let mut known: Vec<f64> = log
        .turns
        .iter()
        .filter(|turn| turn.at < START && turn.release == Some("old"))
        .filter(|turn| turn.is_shadow != Some(true) && !turn.is_eval)
        .map(|turn| turn.cost_usd)
        .collect();
    known.sort_by(f64::total_cmp);
    assert!(known.len() >= 100 && n_small > 5, "{} {n_small}", known.len());
    let at_quantile = known[(0.9 * known.len() as f64).ceil() as usize - 1];

    let ways = [
        Written::Parquet(700, true, Compression::SNAPPY, false),
        Written::Csv,
        Written::Ndjson,
    ];
    let mut first = None;
    for (idx, how) in ways.into_iter().enumerate() {
        let name = ["parquet", "csv", "ndjson"][idx];
        for (part, turns) in log.turns.chunks(6_000).enumerate() {
            write(&log, turns, &study.path(&format!("log{idx}/{part}.{name}")), how);
        }
        for more in [["--threads", "1"], ["--threads", "8"], ["--memory-limit", "4kB"]] {
            study.replay(&format!("log{idx}"), "cube", &more);
            let cube = json(&study.path("cube/cube.json"));
            let [limits] = cube["limits"].as_array().unwrap().as_slice() else {
                panic!("{cube}")
            };
            assert_eq!(limits["reading"], CAPPED);
            assert_eq!(limits["n_values"], known.len());
            assert_eq!(
                (&limits["is_final"], &limits["floor"]),
                (&true.into(), &serde_json::Value::Null)
            );
            let cap = limits["cap"].as_f64().unwrap();
            assert!(
                cap >= at_quantile && cap <= at_quantile * (1.0 + 1.0 / 4_096.0),
                "{cap} {at_quantile}"
            );
            assert_eq!(cube["counts"]["below_resolution"]["cost_usd"], n_small, "{name}");
            let tables = study.tables("cube");
            assert!(
                *first.get_or_insert_with(|| tables.clone()) == tables,
                "{name} {more:?}"
            );
        }
    }

    // The sums are those of limited values.
    let cube = json(&study.path("cube/cube.json"));
    let cap = cube["limits"][0]["cap"].as_f64().unwrap();
    let csv = study.ok(&["cube", "slice", "cube"]);
    let mut lines = csv::Reader::from_reader(csv.as_bytes());
    let header = lines.headers().unwrap().clone();
    let columns = ["sum", "limited"].map(|function| {
        let name = format!("{function}({CAPPED})");
        header.iter().position(|column| *column == name).unwrap()
    });
    let mut found = [0_i128; 2];
    for line in lines.records() {
        let line = line.unwrap();
        for (sum, column) in found.iter_mut().zip(columns) {
            *sum += line[column].parse::<i128>().unwrap();
        }
    }
    let mut expected = [0_i128; 2];
    let mut of_release = Expected::default();
    for turn in &log.turns {
        if ["n_baseline", "n_candidate"].contains(&of_release.add(&log, turn)) {
            expected[0] += (turn.cost_usd.min(cap) * 1e9).round_ties_even() as i128;
            expected[1] += i128::from(turn.cost_usd > cap);
        }
    }
    assert_eq!(found, expected);

    // A later night keeps the limits, and cubes with other limits are not merged.
    fs::rename(study.path("log0/2.parquet"), study.path("later.parquet")).unwrap();
    study.replay("log0", "night1", &["--as-of", "2026-05-26"]);
    fs::rename(study.path("later.parquet"), study.path("log0/2.parquet")).unwrap();
    study.replay("log0", "night2", &["--since", "night1"]);
    study.replay("log0", "whole", &[]);
    assert!(tree(&study.path("night2")) == tree(&study.path("whole")));
    for part in ["0", "1"] {
        study.replay(&format!("log0/{part}.parquet"), &format!("part{part}"), &[]);
    }
    let stderr = study.fails(&["cube", "merge", "part0", "part1", "--out", "no"], 3);
    assert!(
        stderr.contains("limits of `winsorize`") && stderr.contains("set `cap`"),
        "{stderr}"
    );
}

#[test]
fn a_file_is_its_bytes_whatever_its_name() {
    let log = Log::new(4_000, 6);
    let study = Study::new(&log);
    let how = Written::Parquet(500, true, Compression::SNAPPY, false);
    for (day, turns) in log.turns.chunks(2_000).enumerate() {
        write(
            &log,
            turns,
            &study.path(&format!("log/dt={day}/part-0.parquet")),
            how,
        );
    }
    // First the folder of one day, then the folder above it. The file of the day has another
    // relative name there.
    study.replay("log/dt=0", "day", &[]);
    study.replay("log", "both", &["--since", "day"]);
    study.replay("log", "whole", &[]);
    assert!(tree(&study.path("both")) == tree(&study.path("whole")));
    let stderr = study.fails(&["cube", "merge", "day", "whole", "--out", "twice"], 3);
    assert!(stderr.contains("with the same bytes"), "{stderr}");
    fs::copy(
        study.path("log/dt=0/part-0.parquet"),
        study.path("log/copy.parquet"),
    )
    .unwrap();
    let args = [
        "replay",
        "--traffic",
        "log",
        "--layers",
        "layers.parquet",
        "--plan",
        "plan.toml",
        "--out",
        "no",
    ];
    let stderr = study.fails(&args, 3);
    assert!(stderr.contains("with the same bytes"), "{stderr}");

    // The files of a cube belong together. A folder with a foreign file is not replaced.
    fs::copy(study.path("day/cells.parquet"), study.path("both/cells.parquet")).unwrap();
    for args in [
        vec!["cube", "show", "both"],
        vec!["cube", "merge", "both", "day", "--out", "no"],
    ] {
        let stderr = study.fails(&args, 3);
        assert!(stderr.contains("expected an unchanged cube"), "{stderr}");
    }
    let document = fs::read_to_string(study.path("whole/cube.json")).unwrap();
    fs::write(
        study.path("whole/cube.json"),
        document.replacen("\"tenant\": 0", "\"tenant\": 9", 1),
    )
    .unwrap();
    let stderr = study.fails(&["cube", "show", "whole"], 3);
    assert!(stderr.contains("`layers` out of order"), "{stderr}");
    fs::write(study.path("day/mine.txt"), "mine").unwrap();
    let stderr = study.fails(
        &[
            "replay",
            "--traffic",
            "log/dt=0",
            "--layers",
            "layers.parquet",
            "--plan",
            "plan.toml",
            "--out",
            "day",
        ],
        1,
    );
    assert!(stderr.contains("found mine.txt, which would be lost"), "{stderr}");
}

/// A log in which both releases answer every request, with a shadow file of the candidate's
/// answers.
fn shadowed(n: usize) -> (Log, Study) {
    let mut log = Log::new(n, 5);
    for (idx, turn) in log.turns.iter_mut().enumerate() {
        (turn.is_shadow, turn.is_eval, turn.color, turn.trace) = (None, false, None, format!("t{idx}"));
        (turn.release, turn.at) = (
            Some("old"),
            START + (idx as i64 * 7_919 % (72 * 3_600)) * 1_000_000,
        );
    }
    let study = Study::new(&log);
    write(
        &log,
        &log.turns,
        &study.path("log/a.parquet"),
        Written::Parquet(2_000, true, Compression::SNAPPY, false),
    );
    (log, study)
}

#[test]
fn shadow_answers_are_paired_and_answer_what_if() {
    let (log, study) = shadowed(30_000);
    let mut dice = Dice(9);
    let mut lines = "trace_id,release_id,success,latency_ms,bad,cost_usd\n".to_owned();
    let mut answers: BTreeMap<usize, (bool, f64, bool)> = BTreeMap::new();
    for idx in (0..log.turns.len()).filter(|idx| idx % 4 != 0) {
        let (success, latency, bad) = (dice.roll(20) > 0, dice.roll(3_000) as f64, dice.roll(5) == 0);
        lines.push_str(&format!("t{idx},new,{success},{latency},{bad},0.001\n"));
        answers.insert(idx, (success, latency, bad));
    }
    // A second answer to a request, an answer of another user, and an answer to an unknown request.
    lines.push_str("t1,new,true,1,false,0.001\nt5,other,true,1,false,0.001\nnobody,new,true,1,false,0.001\n");
    answers.remove(&1);
    fs::write(study.path("shadow.csv"), &lines).unwrap();
    study.replay("log", "cube", &["--shadow", "shadow.csv"]);

    let eligible = |idx: &usize| {
        let turn = &log.turns[*idx];
        turn.user.as_ref().is_ok_and(|user| log.users[*user].eligible) && !is_settling(&log, turn)
    };
    let paired: Vec<usize> = answers.keys().copied().filter(eligible).collect();
    assert_eq!(
        json(&study.path("cube/cube.json"))["counts"]["n_pairs"],
        paired.len()
    );
    let csv = study.ok(&["cube", "slice", "cube", "--pairs", "--by", "release"]);
    let sum = |release: &str, name: &str| -> i64 {
        let mut lines = csv::Reader::from_reader(csv.as_bytes());
        let column = lines
            .headers()
            .unwrap()
            .iter()
            .position(|column| column == name)
            .unwrap();
        lines
            .records()
            .map(Result::unwrap)
            .find(|line| &line[0] == release)
            .map_or(0, |line| line[column].parse().unwrap())
    };
    assert_eq!(
        sum("new", "sum_success"),
        paired.iter().filter(|idx| answers[idx].0).count() as i64
    );
    assert_eq!(
        sum("new", "sum_latency_ms"),
        paired
            .iter()
            .map(|idx| answers[idx].1 as i64 * 1_000_000)
            .sum::<i64>()
    );
    assert_eq!(
        sum("old", "sum_bad"),
        paired
            .iter()
            .filter(|idx| log.turns[**idx].bad == Some(true))
            .count() as i64
    );
    assert_eq!(
        sum("new", "sum(latency_ms > 900)"),
        paired.iter().filter(|idx| answers[idx].1 > 900.0).count() as i64
    );

    // Another schedule, compared with a count of the requests that it sends to the candidate.
    let schedules = [
        "layer = \"rest\"\nratio = 0.25",
        "layer = \"rest\"\nratio = 1.0",
        "layer = \"first\"\nratio = 0.055",
    ];
    for (number, operation) in schedules.into_iter().enumerate() {
        let plan = SCENARIO.split("[[operation]]").next().unwrap();
        let plan = format!(
            "{plan}[[operation]]\nat = \"2026-05-25T10:00:00Z\"\n{operation}\n[[operation]]\nat = \"2026-05-27T03:20:00Z\"\nlayer = \"rest\"\nratio = 1.0\n"
        );
        fs::write(study.path(&format!("plan{number}.toml")), plan).unwrap();
    }
    let shown = study.ok(&[
        "replay",
        "--what-if",
        "plan0.toml",
        "plan1.toml",
        "plan2.toml",
        "--cube",
        "cube",
        "--json",
    ]);
    let found: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let bps = |number: usize, layer: usize, at: i64| match (number, layer) {
        // A ratio changes at the start of a window.
        (_, 2) if at >= START + 52 * HOUR => 10_000,
        (0, 2) if at >= START + 10 * HOUR => 2_500,
        (1, 2) if at >= START + 10 * HOUR => 10_000,
        (2, 0) if at >= START + 10 * HOUR => 550,
        _ => 0,
    };
    for number in 0..3 {
        let exposed = |idx: &usize| {
            let turn = &log.turns[*idx];
            turn.user.as_ref().is_ok_and(|user| {
                let user = &log.users[*user];
                user.eligible && user.bucket < bps(number, user.layer, turn.at)
            })
        };
        let all: Vec<usize> = (0..log.turns.len()).filter(exposed).collect();
        let pairs: Vec<usize> = all
            .iter()
            .copied()
            .filter(|idx| answers.contains_key(idx))
            .collect();
        let users: BTreeSet<usize> = all
            .iter()
            .map(|idx| *log.turns[*idx].user.as_ref().unwrap())
            .collect();
        let answer = &found[number];
        assert_eq!(answer["exposed_requests"], all.len(), "{number}");
        assert_eq!(answer["paired_requests"], pairs.len());
        assert_eq!(
            (
                answer["exposed_users"].as_u64().unwrap() as usize,
                &answer["users_are_bound"]
            ),
            (users.len(), &false.into())
        );
        for layer in answer["layers"].as_array().unwrap() {
            let of_layer = |idx: &&usize| {
                let user = &log.users[*log.turns[**idx].user.as_ref().unwrap()];
                LAYERS[user.layer] == layer["layer"] && user.tenant == layer["tenant"]
            };
            let pairs: Vec<usize> = pairs.iter().filter(of_layer).copied().collect();
            let Some(metric) = layer["metrics"]
                .as_array()
                .unwrap()
                .iter()
                .find(|metric| metric["metric"] == "availability")
            else {
                continue;
            };
            let rate = |known: usize, good: usize| {
                if known == 0 {
                    serde_json::Value::Null
                } else {
                    (good as f64 / known as f64).into()
                }
            };
            let good = pairs.iter().filter(|idx| answers[idx].0).count();
            assert_eq!(metric["candidate"], rate(pairs.len(), good));
            let known: Vec<bool> = pairs.iter().filter_map(|idx| log.turns[*idx].success).collect();
            assert_eq!(
                metric["baseline"],
                rate(known.len(), known.iter().filter(|good| **good).count())
            );
        }
    }
    let stderr = study.fails(
        &["replay", "--what-if", "plan.toml", "--cube", "layers.parquet"],
        3,
    );
    assert!(stderr.contains("cube.json"), "{stderr}");
}

#[test]
fn outcomes_that_come_late_take_their_rows_place() {
    let (log, study) = shadowed(2_000);
    let mut lines = "trace_id,csat,bad\n".to_owned();
    for idx in 0..2_000 {
        if idx % 5 == 0 {
            lines.push_str(&format!("t{idx},5,{}\n", if idx % 10 == 0 { "true" } else { "" }));
        }
    }
    // A later outcome for the same request.
    lines.push_str("t0,1.5,\n");
    fs::write(study.path("late.csv"), &lines).unwrap();
    study.replay("log", "cube", &["--outcomes", "late.csv"]);
    let mut with = Log {
        users: log.users.clone(),
        turns: log.turns.clone(),
    };
    for (idx, turn) in with.turns.iter_mut().enumerate().filter(|(idx, _)| idx % 5 == 0) {
        turn.csat = Some(if idx == 0 { 1.5 } else { 5.0 });
        turn.bad = if idx % 10 == 0 { Some(true) } else { turn.bad };
    }
    write(
        &with,
        &with.turns,
        &study.path("with/a.parquet"),
        Written::Parquet(2_000, true, Compression::SNAPPY, false),
    );
    study.replay("with", "expected", &[]);
    assert!(study.tables("cube") == study.tables("expected"));
    // Late outcomes can belong to any row. A cube without them cannot be continued, so the whole
    // log is read.
    study.replay("log", "before", &[]);
    study.replay("log", "after", &["--outcomes", "late.csv", "--since", "before"]);
    assert!(tree(&study.path("after")) == tree(&study.path("cube")));
}

#[test]
fn only_rows_that_had_their_time_count_for_metrics_that_come_late() {
    let (log, study) = shadowed(20_000);
    study.ok(&[
        "replay",
        "--traffic",
        "log",
        "--layers",
        "layers.parquet",
        "--plan",
        "plan.toml",
        "--out",
        "cube",
    ]);
    study.ok(&[
        "analyze",
        "--cube",
        "cube",
        "--plan",
        "plan.toml",
        "--out",
        text(&study.path("analysis.json")),
    ]);
    let analysis = json(&study.path("analysis.json"));
    let layer = analysis["layers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|layer| layer["layer"] == "rest" && layer["tenant"] == "default")
        .unwrap();
    let metric = layer["stages"][0]["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|metric| metric["metric"] == "csat_mean")
        .unwrap();
    let counts = |turn: &&Turn| {
        turn.at + 48 * HOUR <= AS_OF
            && turn.user.as_ref().is_ok_and(|user| {
                let user = &log.users[*user];
                user.eligible && user.layer == 2 && user.tenant == "default"
            })
    };
    let known: Vec<f64> = log
        .turns
        .iter()
        .filter(counts)
        .filter_map(|turn| turn.csat)
        .collect();
    assert_eq!(metric["baseline"]["denominator"], known.len() as f64);
    assert_eq!(metric["baseline"]["numerator"], known.iter().sum::<f64>());
}

#[test]
fn what_is_odd_in_a_log_is_said() {
    let (log, study) = shadowed(500);
    let replay = |traffic: &str, more: &[&str]| -> Vec<String> {
        let args = [
            &[
                "replay",
                "--traffic",
                traffic,
                "--layers",
                "layers.parquet",
                "--plan",
                "plan.toml",
                "--out",
                "no",
            ],
            more,
        ]
        .concat();
        study.args(&args)
    };
    let refused =
        |args: &[String], code: i32| fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code);

    fs::write(
        study.path("no_trace.csv"),
        "event_time,user_id,release_id,feature\n2026-05-25,u1,old,x\n",
    )
    .unwrap();
    let stderr = refused(&replay("no_trace.csv", &["--shadow", "no_trace.csv"]), 3);
    assert!(stderr.contains("trace_id"), "{stderr}");
    fs::write(
        study.path("shadow.csv"),
        "trace_id,release_id,success\nt1,new,true\n",
    )
    .unwrap();
    let stderr = refused(&replay("no_trace.csv", &["--shadow", "shadow.csv"]), 2);
    assert!(
        stderr.contains("expected a column `trace_id` in the traffic"),
        "{stderr}"
    );
    fs::write(
        study.path("broken.csv"),
        b"event_time,user_id,release_id,feature\n2026-05-25,u\xff1,old,x\n",
    )
    .unwrap();
    refused(&replay("broken.csv", &[]), 3);
    let stderr = refused(&replay("log", &["--memory-limit", "many"]), 2);
    assert!(stderr.contains("expected a size such as 300MB"), "{stderr}");

    // A duplicate user in the layer table would count twice. It is refused wherever the two rows
    // are.
    let twice = log.users.iter().chain(&log.users[7..8]);
    let ids: StringArray = twice.clone().map(|user| Some(user.id.clone())).collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", Arc::new(ids)),
        (
            "score",
            Arc::new(twice.clone().map(|_| Some(0.5)).collect::<Float64Array>()),
        ),
        (
            "layer",
            Arc::new(
                twice
                    .clone()
                    .map(|user| Some(LAYERS[user.layer]))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "eligible",
            Arc::new(
                twice
                    .clone()
                    .map(|user| Some(user.eligible))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "tenant_id",
            Arc::new(twice.map(|user| Some(user.tenant)).collect::<StringArray>()),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(
        File::create(study.path("twice.parquet")).unwrap(),
        batch.schema(),
        None,
    )
    .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    for limit in ["1GB", "4kB"] {
        let args = [
            "replay",
            "--traffic",
            "log",
            "--layers",
            "twice.parquet",
            "--plan",
            "plan.toml",
            "--out",
            "no",
            "--memory-limit",
            limit,
        ];
        let stderr = study.fails(&args, 3);
        assert!(
            stderr.contains("expected one row per user, found two rows for \"u7\""),
            "{limit}: {stderr}"
        );
    }
}
