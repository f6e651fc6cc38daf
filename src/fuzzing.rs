//! Entry points for fuzzing: each takes any bytes, and must answer or refuse without a panic. They
//! are built with `--cfg fuzzing` or the feature `fuzzing` only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
#[cfg(feature = "stores")]
use std::time::Duration;

#[cfg(feature = "stores")]
use crate::analysis::{CounterProfile, CounterRequest, analyze_counters};
use crate::base::error::Error;
use crate::base::progress::Progress;
use crate::base::reading::find_reading;
use crate::base::skeleton::skeleton;
#[cfg(feature = "stores")]
use crate::base::time::HOUR;
use crate::base::{digest, json, open};
use crate::finops::Budget;
use crate::gate::{GatePolicy, parse_approvals};
#[cfg(feature = "stores")]
use crate::input::{Prometheus, gather};
use crate::input::{Table, TrafficReader, UserReader};
use crate::metric::Reading;
use crate::prices::Prices;
#[cfg(feature = "stores")]
use crate::publish;
use crate::release::evals::{ReadOptions, read_evals};
use crate::release::tools::{ToolBundle, diff_bundles};
use crate::release::{ReleaseRecord, read_records};
use crate::replay::{CUBE_FILE, Cube, merge};
use crate::scenario::{Combine, OnBadRow, Overrides, Scenario, ScoreRule, Source, TraceSource};
use crate::words::Lang;
use crate::{study, traces};

/// A target: its name, the function, and the folders and files of its seeds, relative to the
/// repository.
pub struct FuzzTarget {
    /// The name, as in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Reads the bytes.
    pub run: fn(&[u8]),
    /// Files, or folders of files, to start from.
    pub seeds: &'static [&'static str],
}

/// All targets.
pub const TARGETS: [FuzzTarget; 20] = [
    target("parquet", parquet, &["fuzz/corpus/parquet"]),
    target("csv", csv, &["fuzz/corpus/csv", "scenarios/guide"]),
    target("ndjson", ndjson, &["fuzz/corpus/ndjson"]),
    target(
        "json",
        json_table,
        &["fuzz/corpus/ndjson", "tests/samples/tables/duckdb.json"],
    ),
    target(
        "arrow",
        arrow,
        &[
            "tests/samples/tables/polars-zstd.arrow",
            "tests/samples/tables/pyarrow.arrows",
        ],
    ),
    target("scenario", scenario, &["scenarios"]),
    target("forbidden", forbidden, &["fuzz/corpus/forbidden"]),
    target("policy", policy, &["fuzz/corpus/policy"]),
    target("records", records, &["tests/samples/registry"]),
    target("tools", tools, &["tests/samples/registry/tools"]),
    target("evals_json", evals_json, &["tests/samples"]),
    target("evals_lines", evals_lines, &["tests/samples"]),
    target("evals_csv", evals_csv, &["tests/samples"]),
    target("evals_archive", evals_archive, &["tests/samples"]),
    target("cube", cube, &["fuzz/corpus/cube"]),
    target("addresses", addresses, &["fuzz/corpus/addresses"]),
    target("prometheus", prometheus, &["fuzz/corpus/prometheus"]),
    target("redis", redis, &["fuzz/corpus/redis"]),
    target("traces", traces_text, TRACES),
    target("traces_parquet", traces_parquet, TRACES),
];

/// Files of all systems whose traces are read.
const TRACES: &[&str] = &[
    "datasets/traces",
    "fuzz/corpus/traces",
    "tests/data/traces/langfuse",
    "tests/data/traces/langsmith_real",
    "tests/data/traces/litellm",
    "tests/data/traces/litellm_real",
    "tests/data/traces/mlflow_real",
    "tests/data/traces/otlp",
    "tests/data/traces/phoenix",
    "tests/data/traces/phoenix_real",
];

const fn target(name: &'static str, run: fn(&[u8]), seeds: &'static [&'static str]) -> FuzzTarget {
    FuzzTarget { name, run, seeds }
}

/// A folder of this process for files.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("sluice-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).ok();
        folder
    })
}

/// Writes the bytes to a file, for readers of files.
fn file(name: &str, data: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, data).ok();
    path
}

/// Reads a file as users, as turns of a log, and as any table.
fn table(path: &Path) {
    let source = Source::at(path);
    if let Ok(table) = Table::open(&source) {
        for part in &table.parts {
            let _ = table.read(*part, &["user_id", "score", "layer"], &mut |_| Ok(()));
        }
    }
    for policy in [OnBadRow::Error, OnBadRow::Drop] {
        if let Ok(users) = UserReader::open(&source, Vec::new(), policy) {
            for part in &users.table().parts.clone() {
                let _ = users.read(*part, &mut |_, _| Ok(()));
            }
        }
        let measured: Vec<Reading> = ["success", "latency_ms", "latency_ms > 5", "feature = 'x'"]
            .into_iter()
            .filter_map(Reading::parse)
            .collect();
        if let Ok(log) = TrafficReader::open(&source, &measured, &["feature".to_owned()], policy) {
            for part in &log.table().parts.clone() {
                let _ = log.read(*part, &mut |_| Ok(()));
            }
        }
    }
}

fn parquet(data: &[u8]) {
    table(&file("t.parquet", data));
}

fn csv(data: &[u8]) {
    table(&file("t.csv", data));
}

fn ndjson(data: &[u8]) {
    table(&file("t.ndjson", data));
}

/// An array of objects, or one object a line, and the paths into its nested values.
fn json_table(data: &[u8]) {
    table(&file("t.json", data));
    nested(&file("t.json", data));
}

/// A file or a stream of Arrow, and the paths into its nested values.
fn arrow(data: &[u8]) {
    table(&file("t.arrow", data));
    nested(&file("t.arrow", data));
}

/// Reads values within nested columns.
fn nested(path: &Path) {
    let mut source = Source::at(path);
    let columns = [
        ("user_id", "profile.user.id"),
        ("layer", "profile.tags.n"),
        ("score", "profile.tags.0"),
    ];
    source.columns = columns
        .map(|(name, column)| (name.to_owned(), column.to_owned()))
        .into();
    if let Ok(table) = Table::open(&source) {
        for part in &table.parts {
            let _ = table.read(*part, &["user_id", "layer", "score"], &mut |_| Ok(()));
        }
    }
}

fn scenario(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Scenario::parse(text, "fuzz", Path::new(""), &Overrides::default());
    }
}

/// Policies of gates, approvals, prices and budgets.
fn policy(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = GatePolicy::parse(text, "fuzz");
        let _ = parse_approvals(text, "fuzz");
    }
    for name in ["prices.toml", "prices.json", "prices.csv"] {
        let _ = Prices::read(&file(name, data));
    }
    let _ = Budget::read_all(&file("budgets.toml", data));
}

fn records(data: &[u8]) {
    for name in ["record.json", "record.yaml"] {
        let path = file(name, data);
        let _ = read_records(&path);
        let _ = ReleaseRecord::read(&path);
    }
}

/// Two bundles, divided by a zero byte, or one bundle twice.
fn tools(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let before = parts.next().unwrap_or_default();
    let after = parts.next().unwrap_or(before);
    let [before, after] = [("before.json", before), ("after.json", after)]
        .map(|(name, data)| ToolBundle::read(&file(name, data)));
    if let (Ok(before), Ok(after)) = (before, after) {
        let _ = diff_bundles(&before, &after, false);
    }
}

fn evals(name: &str, data: &[u8]) {
    let _ = read_evals(&Source::at(file(name, data)), &with_outputs());
}

/// Options that read everything.
fn with_outputs() -> ReadOptions {
    ReadOptions {
        with_outputs: true,
        by: vec!["lang".to_owned()],
    }
}

fn evals_json(data: &[u8]) {
    evals("results.json", data);
}

fn evals_lines(data: &[u8]) {
    evals("results.jsonl", data);
}

fn evals_csv(data: &[u8]) {
    evals("results.csv", data);
}

fn evals_archive(data: &[u8]) {
    evals("results.eval", data);
}

const STUDY: &str = r#"
as_of = "2026-05-28"
[plan]
id = "fuzz"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[analysis]
clusters = "user"
breakdowns = ["feature"]
[input]
users = { path = "users.csv", absent = ["last_use_time", "user_value", "accept_score"] }
traffic = [{ path = "log.csv" }]
[[layer]]
id = "all"
[[operation]]
at = "2026-05-25"
layer = "all"
ratio = 0.5
"#;

/// The files of a small cube, by name.
fn small_cube() -> &'static BTreeMap<String, Vec<u8>> {
    static CUBE: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    CUBE.get_or_init(|| {
        let mut users = "user_id,use_count,is_allow_gray\n".to_owned();
        let mut log = "event_time,user_id,release_id,success,latency_ms,feature,session_id\n".to_owned();
        for user in 0..30 {
            users.push_str(&format!("u{user},{user},true\n"));
            let (release, hour) = (["old", "new"][user % 2], user % 24);
            log.push_str(&format!(
                "2026-05-25T{hour:02}:00:00Z,u{user},{release},true,{user},f{},s\n",
                user % 3
            ));
        }
        file("users.csv", users.as_bytes());
        file("log.csv", log.as_bytes());
        let out = folder().join("study");
        let made = Scenario::parse(STUDY, "fuzz", folder(), &Overrides::default())
            .map_err(Error::scenario)
            .and_then(|scenario| study::run(&scenario, &out, Lang::default(), &Progress::silent()));
        // Without the cube, the target would test nothing.
        assert!(made.is_ok(), "the small cube: {:?}", made.err());
        let files = fs::read_dir(out.join("cube")).into_iter().flatten().flatten();
        files
            .filter_map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                Some((name, open::read(&entry.path()).ok()?))
            })
            .collect()
    })
}

/// Changes bytes of one file of a small cube. The first byte chooses the file; then come positions
/// of two bytes, each with a new byte. The digest in the document is made to match.
fn cube(data: &[u8]) {
    let Some((first, edits)) = data.split_first() else {
        return;
    };
    let whole = small_cube();
    let Some(name) = whole.keys().nth(usize::from(*first) % whole.len().max(1)) else {
        return;
    };
    let out = folder().join("cube");
    fs::create_dir_all(&out).ok();
    for (other, bytes) in whole {
        let mut bytes = bytes.clone();
        if other == name && !bytes.is_empty() {
            for edit in edits.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
                bytes[at] = edit[2];
            }
        }
        fs::write(out.join(other), bytes).ok();
    }
    if name != CUBE_FILE
        && let Ok(mut document) = json::read_json::<serde_json::Value>(&out.join(CUBE_FILE))
        && let Ok(digest) = digest::blake3_of_file(&out.join(name))
    {
        document["files"][name.as_str()] = digest.into();
        let _ = json::write_json(&out.join(CUBE_FILE), &document);
    }
    let _ = Cube::read(&out);
    let merged = folder().join("merged");
    fs::create_dir_all(&merged).ok();
    let _ = merge(std::slice::from_ref(&out), &merged);
}

/// Addresses of targets and of Prometheus servers, one a line. They are opened; no server is asked.
fn addresses(data: &[u8]) {
    #[cfg(feature = "stores")]
    if let Ok(text) = std::str::from_utf8(data) {
        for line in text.lines() {
            address(line);
            let planted = if line.contains('@') {
                line.replace('@', &format!("{PASSWORD}@"))
            } else {
                format!("redis://u:{PASSWORD}@{line}")
            };
            let shown = address(&planted);
            assert!(!shown.contains(PASSWORD), "{planted} is shown as {shown}");
        }
    }
}

/// The end of the password in an address, which no text may show.
#[cfg(feature = "stores")]
const PASSWORD: &str = "pl4nted";

/// Opens an address, and returns the texts that show it. They are empty for a file, whose name may
/// be shown.
#[cfg(feature = "stores")]
fn address(text: &str) -> String {
    let servers = ["redis", "rediss", "postgres", "postgresql", "s3"];
    let kinds = publish::kinds();
    let kind = text.split_once(':').map_or("", |(kind, _)| kind);
    let is_file = kinds.contains(&kind) && !servers.contains(&kind);
    let parsed = publish::Address::parse(text, &kinds);
    // A file of certificates is read when the target is opened.
    if parsed.is_ok_and(|address| address.get("sslrootcert").is_some()) {
        return String::new();
    }
    let mut shown = match publish::open(&[text.to_owned()], Duration::from_secs(1)) {
        Ok(targets) => targets
            .iter()
            .map(|target| format!("{} {}\n", target.address(), target.server()))
            .collect(),
        Err(error) => error.to_string(),
    };
    shown.push_str(&match Prometheus::new(text) {
        Ok(server) => server.place().to_owned(),
        Err(error) => error.to_string(),
    });
    if is_file { String::new() } else { shown }
}

/// Answers of a Prometheus server, divided by zero bytes. They answer all queries in turn.
fn prometheus(data: &[u8]) {
    #[cfg(feature = "stores")]
    {
        static SCENARIO: OnceLock<Option<Scenario>> = OnceLock::new();
        let scenario =
            SCENARIO.get_or_init(|| Scenario::parse(STUDY, "fuzz", folder(), &Overrides::default()).ok());
        // Without the scenario, the target would test nothing.
        assert!(scenario.is_some(), "the scenario");
        let answers: Vec<String> = data
            .split(|byte| *byte == 0)
            .map(|answer| String::from_utf8_lossy(answer).into_owned())
            .collect();
        let Some(scenario) = scenario else { return };
        for profile in [CounterProfile::Reference, CounterProfile::OtelGenai] {
            let mut turn = answers.iter().cycle();
            let request = CounterRequest {
                scenario,
                window: HOUR,
                profile,
                release_label: None,
            };
            let windows = gather("http://fuzz", &request, |_, _, _| {
                Ok(turn.next().cloned().unwrap_or_default())
            });
            if let Ok(windows) = windows {
                let _ = json::to_json(&analyze_counters(&windows, scenario));
            }
        }
    }
    #[cfg(not(feature = "stores"))]
    let _ = data;
}

/// An answer of a Redis server, in the bytes of its protocol.
fn redis(data: &[u8]) {
    #[cfg(feature = "stores")]
    publish::read_redis_answer(data);
    #[cfg(not(feature = "stores"))]
    let _ = data;
}

/// Traces as lines, as a document or a list, and as CSV.
fn traces_text(data: &[u8]) {
    for name in ["traces.jsonl", "traces.json", "traces.csv"] {
        import_traces(&file(name, data));
    }
}

fn traces_parquet(data: &[u8]) {
    import_traces(&file("traces.parquet", data));
}

/// Imports a file of traces, with scores and columns that many systems have.
fn import_traces(path: &Path) {
    let rule = |score: &str| ScoreRule {
        score: score.to_owned(),
        test: None,
        combine: Combine::default(),
    };
    let source = TraceSource {
        scores: [("csat", "csat"), ("bad", "user_feedback")]
            .map(|(column, score)| (column.to_owned(), rule(score)))
            .into(),
        ..TraceSource::default()
    };
    let columns = [("feature", "metadata.feature"), ("plan", "resource.service.name")]
        .map(|(name, path)| (name.to_owned(), path.to_owned()))
        .into();
    for policy in [OnBadRow::Error, OnBadRow::Drop] {
        let out = folder().join("turns.parquet");
        let Ok(created) = fs::File::create(&out) else {
            continue;
        };
        let target = traces::Target {
            path: &out,
            file: created,
            held: 1 << 20,
            required: &[],
            state: None,
        };
        let paths = [path.to_owned()];
        let _ = traces::import(&paths, &columns, &source, policy, target, &Progress::silent());
    }
}

/// Reads a text in all ways in which forbidden texts are searched. Invisible characters change no
/// reading.
fn forbidden(data: &[u8]) {
    let readings = |text: &str| {
        let mut readings = Vec::new();
        find_reading::<()>(text, &mut |form, reading| {
            readings.push((form.name(), skeleton(reading)));
            None
        });
        readings
    };
    let text = String::from_utf8_lossy(data);
    let split: String = text.chars().flat_map(|ch| [ch, '\u{200b}']).collect();
    assert_eq!(readings(&text), readings(&split));
}

/// Runs the target of a name.
pub fn run(name: &str, data: &[u8]) {
    if let Some(target) = TARGETS.iter().find(|target| target.name == name) {
        (target.run)(data);
    }
}
