//! Parsers meet nonsense: they answer or refuse, and never panic.

use proptest::{prelude::*, test_runner::RngSeed};
use std::{collections::BTreeMap, fs, path::Path};

use sluice::{
    input::Table,
    scenario::{Overrides, Scenario, Source},
    time,
};

use crate::support::root;

/// Overwrites, inserts and removes some bytes of a text.
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
            // Move a piece elsewhere: keys under other tables.
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

/// The same 300 cases every time; `SLUICE_FUZZ=50000 scripts/test fuzz` looks for others.
fn config() -> ProptestConfig {
    let more = std::env::var("SLUICE_FUZZ").ok().and_then(|n| n.parse().ok());
    let rng_seed = if more.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    ProptestConfig { cases: more.unwrap_or(300), rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// Opens and reads every part of a file.
fn read(path: &Path) {
    let source = Source { path: path.to_owned(), columns: BTreeMap::new(), constants: BTreeMap::new() };
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
        if let Some(instant) = time::parse(&text) {
            prop_assert_eq!(time::parse(&time::format(instant)), Some(instant));
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

/// A layer table of three users.
static PARQUET: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let (users, out) = (dir.path().join("users.csv"), dir.path().join("layers.parquet"));
    fs::write(&users, "user_id,use_count\na,1\nb,2\nc,3\n").unwrap();
    crate::support::ok(&["layer", "--users", crate::support::text(&users), "--as-of", "2026-05-25", "--out", crate::support::text(&out)]);
    fs::read(out).unwrap()
});
