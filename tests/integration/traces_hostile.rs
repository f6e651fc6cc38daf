//! Damaged traces of all systems: each value in turn is one of another type, is very deep or is very
//! long, and bytes of packed and columnar files change. An import must answer or refuse, and must never
//! panic.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{root, sluice, text};

/// A generator of pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Values that a key does not have.
fn wrong_values() -> Vec<Value> {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    vec![
        json!(null),
        json!({}),
        json!([]),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("x"),
        json!("{\"a\":[1"),
        json!("9999-12-31T23:59:59Z"),
        json!("用户\u{0}"),
        json!(true),
        json!([{"name": "x"}, null, 7]),
        json!({"a": {"b": {"c": []}}}),
        json!("[".repeat(200)),
        json!("x".repeat(100_000)),
        deep,
    ]
}

/// The number of values within a value, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Object(entries) => entries.values().map(size).sum::<usize>(),
        Value::Array(values) => values.iter().map(size).sum::<usize>(),
        _ => 0,
    }
}

/// Replaces the value of this number, in the order of `size`.
fn replace(value: &mut Value, mut number: usize, by: &Value) {
    if number == 0 {
        *value = by.clone();
        return;
    }
    number -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::Object(entries) => entries.values_mut().collect(),
        Value::Array(values) => values.iter_mut().collect(),
        _ => return,
    };
    for value in inner {
        let n = size(value);
        if number < n {
            return replace(value, number, by);
        }
        number -= n;
    }
}

/// All files below a folder whose names end so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Imports a damaged file, with bad rows left out and with the first one as an error.
fn import(path: &Path, what: &str) {
    let out = path.with_extension("turns.parquet");
    for policy in ["drop", "error"] {
        let started = Instant::now();
        let args = ["import", text(path), "--out", text(&out), "--on-bad-row", policy];
        let scores = ["--score", "csat=csat", "--score", "bad=user_feedback=thumbs_down"];
        let output = sluice(&[args.as_slice(), scores.as_slice()].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_answer = matches!(output.status.code(), Some(0 | 3));
        assert!(is_answer && !stderr.contains("panicked"), "{what}: {stderr}");
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: too slow");
    }
}

/// Seeds of JSON: rows of all systems.
fn seeds() -> Vec<PathBuf> {
    let data = root().join("tests/data/traces");
    let mut seeds = files(&data, ".jsonl");
    seeds.extend(files(&root().join("fuzz/corpus/traces"), ".json"));
    seeds.extend(files(&root().join("fuzz/corpus/traces"), ".jsonl"));
    seeds.extend(files(&data.join("litellm_real"), ".json"));
    seeds
}

#[test]
fn values_of_other_types_are_refused_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = wrong_values();
    let mut dice = Dice(1);
    for (number, seed) in seeds().into_iter().enumerate() {
        let text = fs::read_to_string(&seed).unwrap();
        let rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        // The first row stays whole, because it shows the format.
        let mut lines = vec![rows[0].to_string()];
        for _ in 0..60 {
            let mut row = rows[dice.roll(rows.len())].clone();
            for _ in 0..=dice.roll(2) {
                let (at, by) = (dice.roll(size(&row)), dice.roll(wrong.len()));
                replace(&mut row, at, &wrong[by]);
            }
            lines.push(row.to_string());
        }
        lines.push(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
        let path = dir.path().join(format!("{number}.jsonl"));
        fs::write(&path, lines.join("\n")).unwrap();
        import(&path, &seed.display().to_string());
    }
}

#[test]
fn changed_bytes_of_tables_and_packed_text_are_refused_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = root().join("tests/data/traces");
    let mut dice = Dice(2);
    for ending in [".parquet", ".csv", ".jsonl.gz"] {
        for (number, seed) in files(&data, ending).into_iter().enumerate() {
            let whole = fs::read(&seed).unwrap();
            for round in 0..4 {
                let mut bytes = whole.clone();
                for _ in 0..=dice.roll(6) {
                    let at = dice.roll(bytes.len());
                    match dice.roll(4) {
                        0 => bytes.truncate(at.max(1)),
                        1 => drop(bytes.drain(at..(at + 40).min(bytes.len()))),
                        2 => bytes[at] ^= 1 << dice.roll(8),
                        _ => bytes[at] = dice.roll(256) as u8,
                    }
                    if bytes.is_empty() {
                        bytes.push(b' ');
                    }
                }
                let path = dir.path().join(format!("{number}-{round}{ending}"));
                fs::write(&path, bytes).unwrap();
                import(&path, &format!("{}, round {round}", seed.display()));
            }
        }
    }
}
