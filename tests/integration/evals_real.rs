//! Tests of `sluice evals` with files that the tools themselves wrote. `expected.json` beside the
//! files of a tool says what is true of each pair; `tests/data/evals/make` made both.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::support::{json, root, sluice, text};

/// Copies a file or a folder of the repository to `folder`, unpacked: no tool writes packed files.
/// Returns the path of the copy.
fn unpacked(from: &Path, folder: &Path) -> PathBuf {
    let name = text(from).rsplit('/').next().unwrap();
    let to = folder.join(name.trim_end_matches(".gz"));
    if from.is_dir() {
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            unpacked(&entry.unwrap().path(), &to);
        }
    } else if name.len() > to.file_name().unwrap().len() {
        let mut bytes = Vec::new();
        let mut reader = GzDecoder::new(fs::File::open(from).unwrap());
        reader.read_to_end(&mut bytes).unwrap();
        fs::write(&to, bytes).unwrap();
    } else {
        fs::copy(from, &to).unwrap();
    }
    to
}

/// What differs from the truth of one pair; empty if nothing does.
fn differences(found: &Value, pair: &Value) -> Vec<String> {
    let metric = pair.get("metric").and_then(Value::as_str).unwrap_or("passed");
    let comparisons: Vec<&Value> = found["comparisons"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|comparison| comparison["metric"] == metric)
        .collect();
    let n_expected = match (pair.get("absent"), pair.get("suites")) {
        (Some(_), _) => 0,
        (None, Some(suites)) => suites.as_u64().unwrap() as usize,
        (None, None) => 1,
    };
    if comparisons.len() != n_expected {
        return vec![format!(
            "{metric}: expected {n_expected} comparisons, found {}",
            comparisons.len()
        )];
    }
    let mut differences = Vec::new();
    for comparison in comparisons {
        let mut check = |what: &str, expected: &Value, found: &Value| {
            if expected != found {
                differences.push(format!("{metric}: {what}: expected {expected}, found {found}"));
            }
        };
        check("pairs", &pair["n_pairs"], &comparison["n_pairs"]);
        check("better", &pair["better"], &comparison["n_gained"]);
        check("worse", &pair["worse"], &comparison["n_lost"]);
        check("unpaired", &pair["unpaired"], &comparison["n_unpaired"]);
        let runs = |is_counted: &dyn Fn(&Value) -> bool| {
            let of_arm = |arm: &str| -> u64 {
                let entries = found["not_run"].as_array().unwrap().iter();
                entries
                    .filter(|entry| entry["release"] == comparison[arm])
                    .filter(|entry| entry["suite"] == comparison["suite"])
                    .filter(|entry| is_counted(&entry["reason"]))
                    .map(|entry| entry["n"].as_u64().unwrap())
                    .sum()
            };
            Value::from(["baseline", "candidate"].map(of_arm).to_vec())
        };
        // An answer from a cache has a verdict all the same.
        let broken = runs(&|reason| reason != "cached");
        check("runs without a verdict", &pair["errors"], &broken);
        check(
            "cached runs",
            &pair["cached"],
            &runs(&|reason| reason == "cached"),
        );
    }
    differences
}

/// Compares all pairs of a tool with the truth.
fn check(tool: &str, n_pairs: usize) {
    let data = root().join("tests/data/evals").join(tool);
    let expected = json(&data.join("expected.json"));
    let pairs = expected["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), n_pairs, "{tool}");
    let mut wrong = Vec::new();
    for pair in pairs {
        let dir = tempfile::tempdir().unwrap();
        let path = |key: &str| unpacked(&data.join(pair[key].as_str().unwrap()), dir.path());
        let (base, now) = (path("base"), path("now"));
        let output = sluice(&["evals", text(&now), "--baseline", text(&base), "--json"]);
        let name = format!("{tool}: {}: {} -> {}", pair["name"], pair["base"], pair["now"]);
        if output.status.success() {
            let found = serde_json::from_slice(&output.stdout).unwrap();
            let differences = differences(&found, pair);
            wrong.extend(
                differences
                    .iter()
                    .map(|difference| format!("{name}: {difference}")),
            );
        } else if output.status.code() != Some(3) || pair.get("may_be_refused").is_none() {
            wrong.push(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn promptfoo() {
    check("promptfoo", 22);
}

#[test]
fn inspect() {
    check("inspect", 22);
}

#[test]
fn deepeval() {
    check("deepeval", 11);
}

#[test]
fn lm_eval() {
    check("lm_eval", 12);
}

#[test]
fn mlflow() {
    check("mlflow", 9);
}

#[test]
fn ragas() {
    check("ragas", 21);
}

#[test]
fn openai_evals() {
    check("openai_evals", 5);
}
