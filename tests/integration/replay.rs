//! Replay against an independent count of the same rows, and against itself: however the log is cut, written, ordered or joined.

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

use crate::support::{fails, json, ok, text, tree};

const HOUR: i64 = 3_600_000_000;
/// 2026-05-25T00:00:00Z.
const START: i64 = 1_779_667_200_000_000;
const AS_OF: i64 = START + 72 * HOUR;
const LAYERS: [&str; 3] = ["first", "second", "rest"];

const SCENARIO: &str = r#"
why = "replay"
as_of = "2026-05-28"
[plan]
id = "replay"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input]
users = { path = "users.csv" }
[[layer]]
id = "first"
tags = [{ column = "kind", equals = "first" }]
min_score = 0.9
[[layer]]
id = "second"
tags = [{ column = "kind", equals = "second" }]
min_score = 0.8
[[layer]]
id = "rest"
[[metric]]
id = "slow_rate"
numerator = "sum(latency_ms > 900)"
denominator = "count(latency_ms)"
better = "lower"
proportion = true
[[metric]]
id = "refund_share"
numerator = "sum(feature = 'refund')"
denominator = "rows"
better = "lower"
[[operation]]
at = "2026-05-25T06:00:00Z"
layer = "first"
ratio = 0.1
[[operation]]
at = "2026-05-26T00:30:00Z"
layer = "first"
ratio = 0.5
[[operation]]
at = "2026-05-26T12:00:00Z"
layer = "second"
ratio = 0.2
[[operation]]
at = "2026-05-27T00:00:00Z"
tenant = "shop"
layer = "second"
ratio = 0.0
"#;

/// Changes of ratio: instant, tenant, layer, basis points.
const OPERATIONS: [(i64, Option<&str>, usize, u16); 4] = [
    (START + 6 * HOUR, None, 0, 1_000),
    (START + 24 * HOUR + HOUR / 2, None, 0, 5_000),
    (START + 36 * HOUR, None, 1, 2_000),
    (START + 48 * HOUR, Some("shop"), 1, 0),
];

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) % n
    }
}

#[derive(Debug, Clone)]
struct User {
    tenant: &'static str,
    id: String,
    layer: usize,
    eligible: bool,
    bucket: u16,
}

#[derive(Debug, Clone)]
struct Turn {
    at: i64,
    /// An index, or a stranger's id.
    user: Result<usize, String>,
    release: Option<&'static str>,
    trace: String,
    session: String,
    feature: &'static str,
    color: Option<&'static str>,
    is_shadow: Option<bool>,
    is_eval: bool,
    success: Option<bool>,
    latency_ms: Option<f64>,
    tool_calls: Option<i64>,
    bad: Option<bool>,
    csat: Option<f64>,
    cost_usd: f64,
}

/// A log of `n` turns of 300 users of two tenants.
struct Log {
    users: Vec<User>,
    turns: Vec<Turn>,
}

impl Log {
    fn new(n: usize, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let hasher = sluice::bucket::Profile::Sluice { salt: "replay".into() };
        let users: Vec<User> = (0..300)
            .map(|idx| {
                let id = format!("u{}", idx % 200);
                let tenant = if idx < 200 { "default" } else { "shop" };
                User { tenant, layer: idx % 3, eligible: idx % 7 != 0, bucket: hasher.bucket(&id), id }
            })
            .collect();
        let turns = (0..n)
            .map(|idx| {
                let user = if dice.roll(50) == 0 { Err(format!("x{}", dice.roll(9))) } else { Ok(dice.roll(300) as usize) };
                let mut some = |one_in: u64| dice.roll(one_in) != 0;
                let (has_release, has_latency, has_bad, has_csat, is_served) = (some(40), some(9), !some(2), !some(5), some(25));
                // Before the start, after as_of, a year off: clocks are like that.
                let at = match dice.roll(60) {
                    0 => START - 1 - dice.roll(1_000_000) as i64,
                    1 => AS_OF + dice.roll(100 * HOUR as u64) as i64,
                    2 => START + 366 * 24 * HOUR,
                    3 => START + 24 * HOUR + HOUR / 2,
                    _ => START + dice.roll(72 * HOUR as u64) as i64 / 1_000 * 1_000,
                };
                let bucket = user.as_ref().map_or(0, |user| users[*user].bucket);
                let candidate = match dice.roll(20) {
                    0 => bucket > 5_000,
                    _ => bucket < 1_500,
                };
                let release = if !has_release {
                    None
                } else if dice.roll(33) == 0 {
                    Some("other")
                } else {
                    Some(["old", "new"][usize::from(candidate)])
                };
                Turn {
                    at,
                    user,
                    release,
                    trace: format!("t{}", if dice.roll(30) == 0 { idx / 2 } else { idx }),
                    session: format!("s{}", dice.roll(400)),
                    feature: ["order", "refund", "presale"][dice.roll(3) as usize],
                    color: [None, None, Some("first"), Some("second"), Some("gone")][dice.roll(5).saturating_sub(dice.roll(4)) as usize],
                    is_shadow: is_served.then_some(false).or(Some(true)).filter(|_| idx % 3 > 0),
                    is_eval: dice.roll(70) == 0,
                    success: (dice.roll(11) > 0).then(|| dice.roll(10) > 0),
                    latency_ms: has_latency.then(|| dice.roll(2_000_000) as f64 / 1_000.0),
                    tool_calls: Some(dice.roll(4) as i64).filter(|calls| *calls > 0),
                    bad: has_bad.then(|| dice.roll(9) == 0),
                    csat: has_csat.then(|| (dice.roll(9) + 2) as f64 / 2.0),
                    cost_usd: dice.roll(1_000_000) as f64 * 1e-9,
                }
            })
            .collect();
        Self { users, turns }
    }

    fn tenant(&self, turn: &Turn) -> &'static str {
        turn.user.as_ref().map_or("default", |user| self.users[*user].tenant)
    }

    fn user_id<'a>(&'a self, turn: &'a Turn) -> &'a str {
        turn.user.as_ref().map_or_else(String::as_str, |user| &self.users[*user].id)
    }
}

/// A folder with the users, their layers and the plan.
struct Study(TempDir);

impl Study {
    fn new(log: &Log) -> Self {
        let study = Self(tempfile::tempdir().unwrap());
        let mut users = "user_id,tenant_id,kind,is_allow_gray\n".to_owned();
        for user in &log.users {
            // The default tenant by any of its names.
            let tenant = if user.tenant == "default" && user.layer == 1 { "" } else { user.tenant };
            users.push_str(&format!("{},{tenant},{},{}\n", user.id, LAYERS[user.layer], user.eligible));
        }
        fs::write(study.path("users.csv"), users).unwrap();
        fs::write(study.path("plan.toml"), SCENARIO).unwrap();
        study.ok(&["layer", "--config", "plan.toml", "--out", "layers.parquet"]);
        study
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Arguments that name something in the folder, or are to be made there, with their whole paths.
    fn args(&self, args: &[&str]) -> Vec<String> {
        let mut previous = "";
        args.iter()
            .enumerate()
            .map(|(idx, arg)| {
                let is_path =
                    ["--config", "--out", "--traffic", "--layers", "--plan", "--shadow", "--outcomes", "--since", "--cube", "--what-if"]
                        .contains(&previous)
                        || (idx > 0 && self.path(arg).exists());
                previous = arg;
                if is_path { text(&self.path(arg)).to_owned() } else { (*arg).to_owned() }
            })
            .collect()
    }

    fn ok(&self, args: &[&str]) -> String {
        let args = self.args(args);
        ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn fails(&self, args: &[&str], code: i32) -> String {
        let args = self.args(args);
        fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code)
    }

    fn replay(&self, traffic: &str, out: &str, more: &[&str]) -> String {
        let args =
            [&["replay", "--traffic", traffic, "--layers", "layers.parquet", "--plan", "plan.toml", "--out", out, "--json"], more].concat();
        self.ok(&args)
    }

    fn tables(&self, cube: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = tree(&self.path(cube));
        files.remove(Path::new("cube.json"));
        files
    }
}

/// How a log is written.
#[derive(Clone, Copy)]
enum Written {
    Csv,
    Ndjson,
    /// Rows a row group, dictionaries, compression, integer ids and other types.
    Parquet(usize, bool, Compression, bool),
}

fn write(log: &Log, turns: &[Turn], path: &Path, how: Written) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let show = |value: &dyn std::fmt::Display| value.to_string();
    let columns = [
        "event_time",
        "user_id",
        "tenant_id",
        "release_id",
        "trace_id",
        "session_id",
        "feature",
        "layer",
        "is_shadow",
        "is_eval",
        "success",
        "latency_ms",
        "tool_calls",
        "bad",
        "csat",
        "cost_usd",
    ];
    let instant = |at: i64| sluice::time::format(at);
    let cells = |turn: &Turn| -> Vec<Option<String>> {
        vec![
            Some(instant(turn.at)),
            Some(log.user_id(turn).to_owned()),
            Some(log.tenant(turn).to_owned()).filter(|tenant| tenant != "default"),
            turn.release.map(str::to_owned),
            Some(turn.trace.clone()),
            Some(turn.session.clone()),
            Some(turn.feature.to_owned()),
            turn.color.map(str::to_owned),
            turn.is_shadow.map(|flag| show(&flag)),
            Some(show(&turn.is_eval)),
            turn.success.map(|flag| show(&flag)),
            turn.latency_ms.map(|value| show(&value)),
            turn.tool_calls.map(|value| show(&value)),
            turn.bad.map(|flag| show(&flag)),
            turn.csat.map(|value| show(&value)),
            Some(show(&turn.cost_usd)),
        ]
    };
    match how {
        Written::Csv => {
            let lines = turns.iter().map(|turn| cells(turn).into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(","));
            fs::write(path, std::iter::once(columns.join(",")).chain(lines).collect::<Vec<_>>().join("\n") + "\n").unwrap();
        }
        Written::Ndjson => {
            let line = |turn: &Turn| {
                let known = columns.iter().zip(cells(turn)).filter_map(|(name, cell)| Some((*name, cell?)));
                serde_json::to_string(&known.collect::<BTreeMap<_, _>>()).unwrap()
            };
            fs::write(path, turns.iter().map(line).collect::<Vec<_>>().join("\n") + "\n").unwrap();
        }
        Written::Parquet(row_group, dictionary, compression, odd) => {
            let texts = |of: &dyn Fn(&Turn) -> Option<String>| -> ArrayRef { Arc::new(turns.iter().map(of).collect::<StringArray>()) };
            let flags = |of: &dyn Fn(&Turn) -> Option<bool>| -> ArrayRef {
                let values: Vec<Option<bool>> = turns.iter().map(of).collect();
                if odd {
                    Arc::new(values.into_iter().map(|flag| flag.map(i64::from)).collect::<Int64Array>())
                } else {
                    Arc::new(values.into_iter().collect::<BooleanArray>())
                }
            };
            let reals = |of: &dyn Fn(&Turn) -> Option<f64>| -> ArrayRef { Arc::new(turns.iter().map(of).collect::<Float64Array>()) };
            let at = turns.iter().map(|turn| turn.at);
            let event_time: ArrayRef = if odd {
                Arc::new(at.map(|at| Some(at * 1_000)).collect::<TimestampNanosecondArray>())
            } else {
                Arc::new(at.map(Some).collect::<TimestampMicrosecondArray>())
            };
            let tool_calls: ArrayRef = if odd {
                reals(&|turn| turn.tool_calls.map(|calls| calls as f64))
            } else {
                Arc::new(turns.iter().map(|turn| turn.tool_calls).collect::<Int64Array>())
            };
            let arrays: Vec<ArrayRef> = vec![
                event_time,
                texts(&|turn| Some(log.user_id(turn).to_owned())),
                texts(&|turn| Some(log.tenant(turn).to_owned()).filter(|tenant| tenant != "default")),
                texts(&|turn| turn.release.map(str::to_owned)),
                texts(&|turn| Some(turn.trace.clone())),
                texts(&|turn| Some(turn.session.clone())),
                texts(&|turn| Some(turn.feature.to_owned())),
                texts(&|turn| turn.color.map(str::to_owned)),
                flags(&|turn| turn.is_shadow),
                flags(&|turn| Some(turn.is_eval)),
                flags(&|turn| turn.success),
                reals(&|turn| turn.latency_ms),
                tool_calls,
                flags(&|turn| turn.bad),
                reals(&|turn| turn.csat),
                reals(&|turn| Some(turn.cost_usd)),
            ];
            let batch = RecordBatch::try_from_iter(columns.into_iter().zip(arrays)).unwrap();
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(row_group))
                .set_dictionary_enabled(dictionary)
                .set_compression(compression)
                .build();
            let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
    }
}

/// Tenant, layer, stage and release.
type Series = (&'static str, usize, usize, &'static str);

/// What a cube must hold, counted row by row.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    /// Sums in integer units, by series.
    sums: BTreeMap<Series, BTreeMap<&'static str, i128>>,
    /// Users by tenant, layer and stage: seen in the baseline, in the candidate.
    users: BTreeMap<(&'static str, usize, usize), [BTreeSet<String>; 2]>,
    sessions: BTreeMap<Series, BTreeSet<(String, String)>>,
    counts: BTreeMap<&'static str, u64>,
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
        let Ok(user) = &turn.user else { return "n_unknown_user" };
        let user = &log.users[*user];
        let Some(release) = turn.release.filter(|release| ["old", "new"].contains(release)) else { return "n_unknown_release" };
        if !user.eligible {
            return "n_ineligible";
        }
        let layer = turn.color.and_then(|color| LAYERS.iter().position(|layer| *layer == color)).unwrap_or(user.layer);
        if turn.color.is_some_and(|color| color != LAYERS[user.layer]) {
            *self.counts.entry("n_layer_differs").or_default() += 1;
        }
        let mut ratios = vec![0];
        for (at, tenant, of_layer, bps) in OPERATIONS {
            if of_layer == layer && tenant.is_none_or(|tenant| tenant == user.tenant) && at <= turn.at {
                ratios.push(bps);
            }
        }
        let stage = ratios.len() - 1;
        let ratio = ratios[stage];
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
        self.users.entry((user.tenant, layer, stage)).or_default()[usize::from(is_candidate)].insert(user.id.clone());
        self.sessions.entry(series).or_default().insert((user.id.clone(), turn.session.clone()));
        if is_candidate { "n_candidate" } else { "n_baseline" }
    }

    /// Compares a cube with what it must hold.
    fn check(&self, study: &Study, cube: &str) {
        let mut found: BTreeMap<Series, BTreeMap<&'static str, i128>> = BTreeMap::new();
        let names: BTreeSet<&'static str> = self.sums.values().flat_map(|sums| sums.keys().copied()).collect();
        let csv = study.ok(&["cube", "slice", cube]);
        let mut lines = csv::Reader::from_reader(csv.as_bytes());
        let header = lines.headers().unwrap().clone();
        let column = |name: &str| header.iter().position(|column| column == name).unwrap_or_else(|| panic!("{name} in {header:?}"));
        for line in lines.records() {
            let line = line.unwrap();
            let tenant = ["default", "shop"].into_iter().find(|tenant| *tenant == &line[0]).unwrap();
            let layer = LAYERS.iter().position(|layer| *layer == &line[1]).unwrap();
            let release = ["old", "new"].into_iter().find(|release| *release == &line[3]).unwrap();
            let sums = names.iter().map(|name| (*name, line[column(name)].parse().unwrap()));
            found.insert((tenant, layer, line[2].parse().unwrap(), release), sums.filter(|(_, sum)| *sum != 0).collect());
        }
        let known: BTreeMap<_, BTreeMap<_, _>> = self
            .sums
            .iter()
            .map(|(key, sums)| (*key, sums.iter().map(|(name, sum)| (*name, *sum)).filter(|(_, sum)| *sum != 0).collect()))
            .collect();
        assert_eq!(found, known);

        let shown: serde_json::Value = serde_json::from_str(&study.ok(&["cube", "show", cube, "--json"])).unwrap();
        for (name, n) in &self.counts {
            assert_eq!(shown["counts"][name], *n, "{name}");
        }
        let mut n_stages = 0;
        for stage in shown["stages"].as_array().unwrap() {
            let tenant = ["default", "shop"].into_iter().find(|tenant| *tenant == stage["tenant"]).unwrap();
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
            let is_new = |user: &&String| !earlier().any(|[old, new]| old.contains(*user) || new.contains(*user));
            assert_eq!(users["n_new_candidate"], new.difference(old).filter(is_new).count());
            assert_eq!(users["n_new_baseline"], old.difference(new).filter(is_new).count());
            for (release, name) in [("old", "baseline"), ("new", "candidate")] {
                let sessions = self.sessions.get(&(tenant, layer, idx, release)).map_or(0, BTreeSet::len);
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
    write(&log, &log.turns, &study.path("log/a.parquet"), Written::Parquet(3_000, true, Compression::SNAPPY, false));
    study.replay("log", "cube", &["--sessions"]);
    let expected = Expected::of(&log);
    assert!(expected.counts.values().all(|n| *n > 0) && expected.counts.len() == 12, "{:?}", expected.counts);
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
        // Any order of rows, in two files.
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
            // One row a row group is slow to write: a few are enough.
            let rows = if matches!(how, Written::Parquet(1, ..)) && part == 0 {
                Written::Parquet(4_999, false, Compression::UNCOMPRESSED, false)
            } else {
                how
            };
            write(&log, turns, &study.path(&format!("log{idx}/{part}.{name}")), rows);
        }
        for threads in ["1", "8"] {
            for limit in ["2GB", "4kB"] {
                study.replay(&format!("log{idx}"), "cube", &["--sessions", "--threads", threads, "--memory-limit", limit]);
                let tables = study.tables("cube");
                assert!(*first.get_or_insert_with(|| tables.clone()) == tables, "{name} {idx}, {threads} threads, {limit}");
            }
        }
    }
}

#[test]
fn cubes_of_parts_merge_to_the_cube_of_all() {
    let log = Log::new(8_000, 3);
    let study = Study::new(&log);
    for (part, turns) in log.turns.chunks(1_700).enumerate() {
        let how = if part == 2 { Written::Csv } else { Written::Parquet(600, part % 2 == 0, Compression::SNAPPY, false) };
        let name = format!("{part}.{}", if part == 2 { "csv" } else { "parquet" });
        write(&log, turns, &study.path("log").join(&name), how);
        fs::create_dir_all(study.path(&format!("p{part}"))).unwrap();
        fs::copy(study.path("log").join(&name), study.path(&format!("p{part}")).join(&name)).unwrap();
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
    assert!(stderr.contains("expected different files, found 1.parquet and 1.parquet with the same bytes"), "{stderr}");
    fs::write(study.path("other.toml"), SCENARIO.replace("ratio = 0.2", "ratio = 0.3")).unwrap();
    study.ok(&["replay", "--traffic", "p0", "--layers", "layers.parquet", "--plan", "other.toml", "--sessions", "--out", "other"]);
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
        write(&log, turns, &study.path(&format!("log/{day}.parquet")), Written::Parquet(500, true, Compression::SNAPPY, false));
    }
    // What arrives late, and rows from after the night, are in the first file.
    write(&log, &log.turns[3_000..3_500], &study.path("log/9.csv"), Written::Csv);
    let from = |night: &str, since: Option<&str>, out: &str| {
        let since = since.map_or(vec![], |cube| vec!["--since", cube]);
        study.replay("log", out, &[&["--sessions", "--as-of", night], since.as_slice()].concat())
    };
    fs::rename(study.path("log/3.parquet"), study.path("later.parquet")).unwrap();
    // In the middle of a day, a window and a stage: the day's file is looked at again.
    from("2026-05-26T10:10:00Z", None, "night1");
    from("2026-05-26T20:00:00Z", Some("night1"), "night2");
    fs::rename(study.path("later.parquet"), study.path("log/3.parquet")).unwrap();
    from("2026-05-28", Some("night2"), "night3");
    from("2026-05-28", None, "whole");
    assert!(tree(&study.path("night3")) == tree(&study.path("whole")));
    from("2026-05-28", Some("whole"), "again");
    assert!(tree(&study.path("again")) == tree(&study.path("whole")));
    let limited = ["--sessions", "--as-of", "2026-05-28", "--since", "night1", "--memory-limit", "4kB"];
    study.replay("log", "limited", &limited);
    assert!(tree(&study.path("limited")) == tree(&study.path("whole")));

    // A file that was counted may not change, and another ramp is not gone on from.
    write(&log, &log.turns[3_000..3_400], &study.path("log/9.csv"), Written::Csv);
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
    assert!(stderr.contains("expected 9.csv as the earlier cube counted it"), "{stderr}");
    // Nor may files be missing that have to be looked at again.
    let alone = |traffic: &'static str| [&replay[..2], &[traffic], &replay[3..]].concat();
    let stderr = study.fails(&alone("log/0.parquet"), 3);
    assert!(stderr.contains("because it has rows after the earlier as_of"), "{stderr}");
    let stderr = study.fails(&[replay.as_slice(), &["--as-of", "2026-05-26"]].concat(), 3);
    assert!(stderr.contains("as_of or an earlier one"), "{stderr}");
}

#[test]
fn a_file_is_its_bytes_whatever_its_name() {
    let log = Log::new(4_000, 6);
    let study = Study::new(&log);
    let how = Written::Parquet(500, true, Compression::SNAPPY, false);
    for (day, turns) in log.turns.chunks(2_000).enumerate() {
        write(&log, turns, &study.path(&format!("log/dt={day}/part-0.parquet")), how);
    }
    // A day alone, then the folder above: the day's file has another name there.
    study.replay("log/dt=0", "day", &[]);
    study.replay("log", "both", &["--since", "day"]);
    study.replay("log", "whole", &[]);
    assert!(tree(&study.path("both")) == tree(&study.path("whole")));
    let stderr = study.fails(&["cube", "merge", "day", "whole", "--out", "twice"], 3);
    assert!(stderr.contains("with the same bytes"), "{stderr}");
    fs::copy(study.path("log/dt=0/part-0.parquet"), study.path("log/copy.parquet")).unwrap();
    let args = ["replay", "--traffic", "log", "--layers", "layers.parquet", "--plan", "plan.toml", "--out", "no"];
    let stderr = study.fails(&args, 3);
    assert!(stderr.contains("with the same bytes"), "{stderr}");

    // A cube is what was written together, and a folder with something else in it is not replaced.
    fs::copy(study.path("day/cells.parquet"), study.path("both/cells.parquet")).unwrap();
    for args in [vec!["cube", "show", "both"], vec!["cube", "merge", "both", "day", "--out", "no"]] {
        let stderr = study.fails(&args, 3);
        assert!(stderr.contains("expected a whole cube as it was written"), "{stderr}");
    }
    let document = fs::read_to_string(study.path("whole/cube.json")).unwrap();
    fs::write(study.path("whole/cube.json"), document.replacen("\"tenant\": 0", "\"tenant\": 9", 1)).unwrap();
    let stderr = study.fails(&["cube", "show", "whole"], 3);
    assert!(stderr.contains("parts that do not fit each other"), "{stderr}");
    fs::write(study.path("day/mine.txt"), "mine").unwrap();
    let stderr = study.fails(&["replay", "--traffic", "log/dt=0", "--layers", "layers.parquet", "--plan", "plan.toml", "--out", "day"], 1);
    assert!(stderr.contains("found mine.txt, which would be lost"), "{stderr}");
}

/// A log in which every request has an answer of each release, and a shadow file with the candidate's.
fn shadowed(n: usize) -> (Log, Study) {
    let mut log = Log::new(n, 5);
    for (idx, turn) in log.turns.iter_mut().enumerate() {
        (turn.is_shadow, turn.is_eval, turn.color, turn.trace) = (None, false, None, format!("t{idx}"));
        (turn.release, turn.at) = (Some("old"), START + (idx as i64 * 7_919 % (72 * 3_600)) * 1_000_000);
    }
    let study = Study::new(&log);
    write(&log, &log.turns, &study.path("log/a.parquet"), Written::Parquet(2_000, true, Compression::SNAPPY, false));
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
    // Answered twice, by somebody else, to nobody.
    lines.push_str("t1,new,true,1,false,0.001\nt5,other,true,1,false,0.001\nnobody,new,true,1,false,0.001\n");
    answers.remove(&1);
    fs::write(study.path("shadow.csv"), &lines).unwrap();
    study.replay("log", "cube", &["--shadow", "shadow.csv"]);

    let eligible = |idx: &usize| log.turns[*idx].user.as_ref().is_ok_and(|user| log.users[*user].eligible);
    let paired: Vec<usize> = answers.keys().copied().filter(eligible).collect();
    assert_eq!(json(&study.path("cube/cube.json"))["counts"]["n_pairs"], paired.len());
    let csv = study.ok(&["cube", "slice", "cube", "--pairs", "--by", "release"]);
    let sum = |release: &str, name: &str| -> i64 {
        let mut lines = csv::Reader::from_reader(csv.as_bytes());
        let column = lines.headers().unwrap().iter().position(|column| column == name).unwrap();
        lines.records().map(Result::unwrap).find(|line| &line[0] == release).map_or(0, |line| line[column].parse().unwrap())
    };
    assert_eq!(sum("new", "sum_success"), paired.iter().filter(|idx| answers[idx].0).count() as i64);
    assert_eq!(sum("new", "sum_latency_ms"), paired.iter().map(|idx| answers[idx].1 as i64 * 1_000_000).sum::<i64>());
    assert_eq!(sum("old", "sum_bad"), paired.iter().filter(|idx| log.turns[**idx].bad == Some(true)).count() as i64);
    assert_eq!(sum("new", "sum(latency_ms > 900)"), paired.iter().filter(|idx| answers[idx].1 > 900.0).count() as i64);

    // Another schedule, against a count of the requests that it would have sent to the candidate.
    let schedules = ["layer = \"rest\"\nratio = 0.25", "layer = \"rest\"\nratio = 1.0", "layer = \"first\"\nratio = 0.055"];
    for (number, operation) in schedules.into_iter().enumerate() {
        let plan = SCENARIO.split("[[operation]]").next().unwrap();
        let plan = format!(
            "{plan}[[operation]]\nat = \"2026-05-25T10:00:00Z\"\n{operation}\n[[operation]]\nat = \"2026-05-27T03:20:00Z\"\nlayer = \"rest\"\nratio = 1.0\n"
        );
        fs::write(study.path(&format!("plan{number}.toml")), plan).unwrap();
    }
    let shown = study.ok(&["replay", "--what-if", "plan0.toml", "plan1.toml", "plan2.toml", "--cube", "cube", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let bps = |number: usize, layer: usize, at: i64| match (number, layer) {
        // A step reaches whole windows.
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
        let pairs: Vec<usize> = all.iter().copied().filter(|idx| answers.contains_key(idx)).collect();
        let users: BTreeSet<usize> = all.iter().map(|idx| *log.turns[*idx].user.as_ref().unwrap()).collect();
        let answer = &found[number];
        assert_eq!(answer["exposed_requests"], all.len(), "{number}");
        assert_eq!(answer["paired_requests"], pairs.len());
        assert_eq!((answer["exposed_users"].as_u64().unwrap() as usize, &answer["users_are_bound"]), (users.len(), &false.into()));
        for layer in answer["layers"].as_array().unwrap() {
            let of_layer = |idx: &&usize| {
                let user = &log.users[*log.turns[**idx].user.as_ref().unwrap()];
                LAYERS[user.layer] == layer["layer"] && user.tenant == layer["tenant"]
            };
            let pairs: Vec<usize> = pairs.iter().filter(of_layer).copied().collect();
            let Some(metric) = layer["metrics"].as_array().unwrap().iter().find(|metric| metric["metric"] == "availability") else {
                continue;
            };
            let rate = |known: usize, good: usize| if known == 0 { serde_json::Value::Null } else { (good as f64 / known as f64).into() };
            let good = pairs.iter().filter(|idx| answers[idx].0).count();
            assert_eq!(metric["candidate"], rate(pairs.len(), good));
            let known: Vec<bool> = pairs.iter().filter_map(|idx| log.turns[*idx].success).collect();
            assert_eq!(metric["baseline"], rate(known.len(), known.iter().filter(|good| **good).count()));
        }
    }
    let stderr = study.fails(&["replay", "--what-if", "plan.toml", "--cube", "layers.parquet"], 3);
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
    // A later word on the same request.
    lines.push_str("t0,1.5,\n");
    fs::write(study.path("late.csv"), &lines).unwrap();
    study.replay("log", "cube", &["--outcomes", "late.csv"]);
    let mut with = Log { users: log.users.clone(), turns: log.turns.clone() };
    for (idx, turn) in with.turns.iter_mut().enumerate().filter(|(idx, _)| idx % 5 == 0) {
        turn.csat = Some(if idx == 0 { 1.5 } else { 5.0 });
        turn.bad = if idx % 10 == 0 { Some(true) } else { turn.bad };
    }
    write(&with, &with.turns, &study.path("with/a.parquet"), Written::Parquet(2_000, true, Compression::SNAPPY, false));
    study.replay("with", "expected", &[]);
    assert!(study.tables("cube") == study.tables("expected"));
    // Outcomes may belong to any row: a cube that did not know them cannot be gone on from, and the whole log is scanned.
    study.replay("log", "before", &[]);
    study.replay("log", "after", &["--outcomes", "late.csv", "--since", "before"]);
    assert!(tree(&study.path("after")) == tree(&study.path("cube")));
}

#[test]
fn only_rows_that_had_their_time_count_for_metrics_that_come_late() {
    let (log, study) = shadowed(20_000);
    study.ok(&["replay", "--traffic", "log", "--layers", "layers.parquet", "--plan", "plan.toml", "--out", "cube"]);
    study.ok(&["analyze", "--cube", "cube", "--plan", "plan.toml", "--out", text(&study.path("analysis.json"))]);
    let analysis = json(&study.path("analysis.json"));
    let layer =
        analysis["layers"].as_array().unwrap().iter().find(|layer| layer["layer"] == "rest" && layer["tenant"] == "default").unwrap();
    let metric = layer["stages"][0]["metrics"].as_array().unwrap().iter().find(|metric| metric["metric"] == "csat_mean").unwrap();
    let counts = |turn: &&Turn| {
        turn.at + 48 * HOUR <= AS_OF
            && turn.user.as_ref().is_ok_and(|user| {
                let user = &log.users[*user];
                user.eligible && user.layer == 2 && user.tenant == "default"
            })
    };
    let known: Vec<f64> = log.turns.iter().filter(counts).filter_map(|turn| turn.csat).collect();
    assert_eq!(metric["baseline"]["denominator"], known.len() as f64);
    assert_eq!(metric["baseline"]["numerator"], known.iter().sum::<f64>());
}

#[test]
fn what_is_odd_in_a_log_is_said() {
    let (log, study) = shadowed(500);
    let replay = |traffic: &str, more: &[&str]| -> Vec<String> {
        let args = [&["replay", "--traffic", traffic, "--layers", "layers.parquet", "--plan", "plan.toml", "--out", "no"], more].concat();
        study.args(&args)
    };
    let refused = |args: &[String], code: i32| fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code);

    fs::write(study.path("no_trace.csv"), "event_time,user_id,release_id\n2026-05-25,u1,old\n").unwrap();
    fs::write(study.path("shadow.csv"), "trace_id,release_id,success\nt1,new,true\n").unwrap();
    let stderr = refused(&replay("no_trace.csv", &["--shadow", "shadow.csv"]), 2);
    assert!(stderr.contains("expected a column `trace_id` in the traffic"), "{stderr}");
    fs::write(study.path("broken.csv"), b"event_time,user_id,release_id\n2026-05-25,u\xff1,old\n").unwrap();
    refused(&replay("broken.csv", &[]), 3);
    let stderr = refused(&replay("log", &["--memory-limit", "many"]), 2);
    assert!(stderr.contains("expected a size such as 300MB"), "{stderr}");

    // A user twice in the layer table counts everything twice: refused, wherever the two rows lie.
    let twice = log.users.iter().chain(&log.users[7..8]);
    let ids: StringArray = twice.clone().map(|user| Some(user.id.clone())).collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", Arc::new(ids)),
        ("score", Arc::new(twice.clone().map(|_| Some(0.5)).collect::<Float64Array>())),
        ("layer", Arc::new(twice.clone().map(|user| Some(LAYERS[user.layer])).collect::<StringArray>())),
        ("eligible", Arc::new(twice.clone().map(|user| Some(user.eligible)).collect::<BooleanArray>())),
        ("tenant_id", Arc::new(twice.map(|user| Some(user.tenant)).collect::<StringArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(study.path("twice.parquet")).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    for limit in ["1GB", "4kB"] {
        let args =
            ["replay", "--traffic", "log", "--layers", "twice.parquet", "--plan", "plan.toml", "--out", "no", "--memory-limit", limit];
        let stderr = study.fails(&args, 3);
        assert!(stderr.contains("expected one row a user, found \"u7\" twice"), "{limit}: {stderr}");
    }
}
