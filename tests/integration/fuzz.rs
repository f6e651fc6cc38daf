//! Parsers with random input. They must answer or refuse, and must never panic.

use proptest::{prelude::*, test_runner::RngSeed};
use std::{fs, path::Path};

use sluice::base::time;
use sluice::input::Table;
use sluice::scenario::{Overrides, Scenario, Source};

use crate::support::root;

/// Overwrites, inserts, removes and moves some bytes of a text.
fn mutated(text: &str, edits: &[(prop::sample::Index, u8, u8)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, kind, byte) in edits {
        let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 => {
                bytes.remove(at);
            }
            // Moves a piece to another place, so that keys come under other tables.
            _ => {
                let end = (at + usize::from(*byte)).min(bytes.len());
                let piece: Vec<u8> = bytes.drain(at..end).collect();
                let to = at / 2;
                bytes.splice(to..to, piece);
            }
        }
        if bytes.is_empty() {
            bytes.push(b' ');
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..12)
}

/// By default the same 300 cases in every run. `SLUICE_FUZZ=50000 scripts/test fuzz` tries 50,000
/// random cases.
fn config() -> ProptestConfig {
    let more = std::env::var("SLUICE_FUZZ").ok().and_then(|n| n.parse().ok());
    let rng_seed = if more.is_some() {
        RngSeed::Random
    } else {
        RngSeed::Fixed(1)
    };
    ProptestConfig {
        cases: more.unwrap_or(300),
        rng_seed,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Opens a file and reads every part of it.
fn read(path: &Path) {
    let source = Source::at(path);
    if let Ok(table) = Table::open(&source) {
        for part in &table.parts {
            let _ = table.read(*part, &["user_id", "score", "layer"], &mut |_| Ok(()));
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn scenarios(edits in edits(), which in 0..3_usize) {
        let name = ["ecommerce", "cdnow", "open-bandit"][which];
        let text = fs::read_to_string(root().join(format!("scenarios/{name}.toml"))).unwrap();
        if let Err(problems) = Scenario::parse(&mutated(&text, &edits), name, Path::new(""), &Overrides::default()) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn instants(text in "\\PC{0,40}") {
        if let Ok(instant) = time::parse(&text) {
            prop_assert_eq!(time::parse(&time::format(instant)), Ok(instant));
        }
    }

    #[test]
    fn text_files(edits in edits(), ndjson in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let (name, text) = if ndjson {
            ("t.ndjson", "{\"user_id\":\"a\",\"score\":1.5}\n{\"user_id\":7,\"layer\":\"x\"}\n")
        } else {
            ("t.csv", "user_id,score,layer\n\"a,b\",1.5,x\n7,,y\n")
        };
        let path = dir.path().join(name);
        fs::write(&path, mutated(text, &edits)).unwrap();
        read(&path);
    }

    #[test]
    fn parquet_files(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        let mut bytes = PARQUET.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(&path, bytes).unwrap();
        read(&path);
    }
}

/// A layer table of three users, as bytes.
static PARQUET: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let (users, out) = (dir.path().join("users.csv"), dir.path().join("layers.parquet"));
    fs::write(&users, "user_id,use_count\na,1\nb,2\nc,3\n").unwrap();
    crate::support::ok(&[
        "layer",
        "--users",
        crate::support::text(&users),
        "--as-of",
        "2026-05-25",
        "--out",
        crate::support::text(&out),
        "--absent",
        "last_use_time,user_value,accept_score",
    ]);
    fs::read(out).unwrap()
});

/// Changes, removes or doubles bytes in files of other systems. Each file must be read or refused
/// with its name, without a panic and without a number that is not finite.
#[test]
fn mutated_records_bundles_and_results_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 7_u64;
    let mut below = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    let samples = sluice::base::files::files_below(&root().join("tests/samples")).unwrap();
    let (mut n_read, mut n_refused) = (0, 0);
    for name in samples
        .iter()
        .filter(|name| name.extension().is_some_and(|extension| extension != "md"))
    {
        let original = fs::read(root().join("tests/samples").join(name)).unwrap();
        let path = folder.path().join(name.file_name().unwrap());
        for round in 0..60 {
            let mut bytes = original.clone();
            for _ in 0..=below(3) {
                let (at, length) = (below(bytes.len()), 1 + below(40));
                let end = (at + length).min(bytes.len());
                match below(4) {
                    0 => drop(bytes.drain(at..end)),
                    1 => bytes[at] = below(256) as u8,
                    2 => {
                        let again = bytes[at..end].to_vec();
                        bytes.splice(at..at, again);
                    }
                    _ => drop(
                        bytes.splice(
                            at..end,
                            [b"1e999".as_slice(), b"null", b"-1", b"\"\\ud800\"", b"[]", b"{}"][below(6)]
                                .iter()
                                .copied(),
                        ),
                    ),
                }
                if bytes.is_empty() {
                    bytes = original.clone();
                }
            }
            fs::write(&path, &bytes).unwrap();
            let mut note = |result: Result<(), sluice::base::error::Error>| match result {
                Ok(()) => n_read += 1,
                Err(error) => {
                    assert!(
                        error
                            .to_string()
                            .contains(path.file_name().unwrap().to_str().unwrap()),
                        "{error}"
                    );
                    n_refused += 1;
                }
            };
            if name.starts_with("registry/tools") {
                note(
                    sluice::release::tools::ToolBundle::read(&path)
                        .map(|bundle| drop(sluice::release::tools::diff_bundles(&bundle, &bundle, false))),
                );
            } else if name.starts_with("registry") {
                note(sluice::release::read_records(&path).map(drop));
            } else {
                let source = Source::at(&path);
                let options = sluice::release::evals::ReadOptions {
                    with_outputs: round % 2 == 0,
                    by: vec!["lang".to_owned()],
                };
                note(
                    sluice::release::evals::read_evals(&source, &options).map(|table| {
                        let numbers = table.rows.iter().flat_map(|row| {
                            row.scores
                                .iter()
                                .map(|(_, score)| *score)
                                .chain(row.cost_usd)
                                .chain(row.latency_ms)
                        });
                        numbers.for_each(|number| assert!(number.is_finite()));
                    }),
                );
            }
        }
    }
    assert!(n_read > 50 && n_refused > 300, "{n_read} {n_refused}");
}

/// Changes bytes of the files of a small study, and runs the commands that read them. The digests of
/// a cube's tables are made to match. No command may end with a panic.
#[test]
fn mutated_files_of_a_study_are_read_or_refused() {
    let study = crate::small::Small::new();
    study.run();
    let out = study.path("out");
    let (users, traffic) = (
        parquet_of(&study.path("users.csv")),
        parquet_of(&study.path("traffic.csv")),
    );
    fs::write(out.join("users.parquet"), users).unwrap();
    fs::write(out.join("traffic.parquet"), traffic).unwrap();
    fs::copy(study.path("study.toml"), out.join("study.toml")).unwrap();
    for name in ["users.csv", "traffic.csv"] {
        fs::copy(study.path(name), out.join(name)).unwrap();
    }
    let at = |name: &str| crate::support::arg(out.join(name));
    let (scenario, layers, cube) = (at("study.toml"), at("layers.parquet"), at("cube"));
    let (analysis, other) = (at("analysis.json"), crate::support::arg(study.path("other")));
    let absent = "last_use_time,user_value,accept_score";
    let layer = |users: &'static str| {
        let day = "2026-05-25";
        vec![
            "layer", "--users", users, "--as-of", day, "--absent", absent, "--out", other,
        ]
    };
    let replay = |traffic: &'static str| {
        vec![
            "replay",
            "--traffic",
            traffic,
            "--layers",
            layers,
            "--plan",
            scenario,
            "--out",
            other,
        ]
    };
    let analyze = vec!["analyze", "--cube", cube, "--scenario", scenario, "--out", other];
    let schedule = vec![
        "schedule",
        "--analysis",
        analysis,
        "--scenario",
        scenario,
        "--out",
        other,
    ];
    let cases = [
        ("users.parquet", layer(at("users.parquet"))),
        ("users.csv", layer(at("users.csv"))),
        ("traffic.parquet", replay(at("traffic.parquet"))),
        ("traffic.csv", replay(at("traffic.csv"))),
        ("layers.parquet", replay(at("traffic.csv"))),
        ("cube/cube.json", analyze.clone()),
        ("cube/cells.parquet", analyze.clone()),
        ("cube/activity.parquet", analyze.clone()),
        ("cube/latencies.parquet", analyze.clone()),
        ("cube/exposures.parquet", analyze),
        ("analysis.json", schedule.clone()),
        ("study.toml", schedule),
        ("schedule.json", vec!["report", crate::support::arg(out.clone())]),
    ];
    let mut state = 11_u64;
    let mut below = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    let mut codes = std::collections::BTreeMap::new();
    for (name, args) in &cases {
        let path = out.join(name);
        let whole = fs::read(&path).unwrap();
        let document = fs::read(out.join("cube/cube.json")).unwrap();
        for _ in 0..20 {
            let mut bytes = whole.clone();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] = below(256) as u8,
                    1 => bytes[at] ^= 1 << below(8),
                    _ => drop(bytes.drain(at..(at + 1 + below(9)).min(bytes.len()))),
                }
            }
            fs::write(&path, &bytes).unwrap();
            if let Some(table) = name.strip_prefix("cube/").filter(|table| *table != "cube.json") {
                let mut document: serde_json::Value = serde_json::from_slice(&document).unwrap();
                document["files"][table] = sluice::base::digest::blake3_of_file(&path).unwrap().into();
                fs::write(out.join("cube/cube.json"), document.to_string()).unwrap();
            }
            let output = crate::support::sluice(args);
            let code = output.status.code();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                code.is_some_and(|code| [0, 1, 2, 3, 4].contains(&code)) && !stderr.contains("panicked"),
                "{name}: {code:?} {stderr}"
            );
            *codes.entry(code).or_insert(0) += 1;
        }
        fs::write(&path, whole).unwrap();
        fs::write(out.join("cube/cube.json"), document).unwrap();
    }
    assert!(codes.get(&Some(3)).is_some_and(|n| *n > 60), "{codes:?}");
}

/// A CSV file as Parquet: every column as text.
fn parquet_of(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = lines.headers().unwrap().iter().map(str::to_owned).collect();
    let rows: Vec<csv::StringRecord> = lines.records().map(Result::unwrap).collect();
    let columns = names.iter().enumerate().map(|(idx, name)| {
        let column: arrow_array::ArrayRef = match name.as_str() {
            "use_count" | "latency_ms" => {
                let numbers = rows.iter().map(|row| row[idx].parse::<f64>().ok());
                std::sync::Arc::new(numbers.collect::<arrow_array::Float64Array>())
            }
            "success" | "is_allow_gray" => {
                let flags = rows.iter().map(|row| Some(&row[idx] == "true"));
                std::sync::Arc::new(flags.collect::<arrow_array::BooleanArray>())
            }
            _ => {
                let texts = rows.iter().map(|row| Some(row[idx].to_owned()));
                std::sync::Arc::new(texts.collect::<arrow_array::StringArray>())
            }
        };
        (name.clone(), column)
    });
    let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}
