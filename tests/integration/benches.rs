//! `scripts/bench`: the comparison of measured kernels with the record, on made-up results. It
//! measures nothing.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Results of kernels, each with its name, nanoseconds per item and noise.
fn results(cpu: &str, kernels: &[(&str, f64, f64)]) -> Value {
    let kernels: serde_json::Map<String, Value> = kernels
        .iter()
        .map(|(name, time, noise)| ((*name).to_owned(), json!({"ns_per_item": time, "noise": noise})))
        .collect();
    json!({
        "machine": {"cpu": cpu, "cores": 2},
        "date": "2026-11-29",
        "revision": "made-up",
        "kernels": kernels,
    })
}

/// The exit code of a comparison, and the lines of its table without the head.
fn compare(folder: &Path, record: &Value, now: &Value, args: &[&str]) -> (i32, Vec<String>) {
    let [record_file, results_file] = ["record.json", "results.json"].map(|name| folder.join(name));
    fs::write(&record_file, record.to_string()).unwrap();
    fs::write(&results_file, now.to_string()).unwrap();
    let done = Command::new("python3")
        .arg(root().join("scripts/bench"))
        .args(args)
        .arg("--results")
        .arg(&results_file)
        .arg("--record-file")
        .arg(&record_file)
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let lines = text.lines().skip(1).map(str::to_owned).collect();
    (done.status.code().unwrap(), lines)
}

#[test]
fn a_kernel_is_slower_beyond_ten_percent_and_the_noise_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let record = results("a", &[("scan/1M", 2.0, 0.03)]);
    for (time, noise, word, code) in [
        (2.0, 0.0, "same", 0),
        (2.25, 0.0, "same", 0),
        (2.27, 0.0, "slower", 1),
        (2.27, 0.02, "same", 0),
        (2.5, 0.02, "slower", 1),
        (1.7, 0.0, "faster", 0),
        (1.8, 0.0, "same", 0),
    ] {
        let now = results("a", &[("scan/1M", time, noise)]);
        let (found, lines) = compare(folder.path(), &record, &now, &[]);
        assert_eq!((found, lines.len()), (code, 1), "{time} {noise}");
        assert!(
            lines[0].starts_with("scan/1M") && lines[0].ends_with(word),
            "{lines:?}"
        );
    }
}

#[test]
fn kernels_of_one_side_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let record = results("a", &[("scan/1M", 2.0, 0.0), ("score/64k", 1.0, 0.0)]);
    let now = results("a", &[("index/1M", 9.0, 0.0), ("score/64k", 1.0, 0.0)]);
    let (code, lines) = compare(folder.path(), &record, &now, &[]);
    let words: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap(), words.next_back().unwrap())
        })
        .collect();
    assert_eq!(
        words,
        [("index/1M", "new"), ("scan/1M", "missing"), ("score/64k", "same")]
    );
    assert_eq!(code, 1);
    // Kernels that were not asked for are not missing.
    let (code, lines) = compare(folder.path(), &record, &now, &["score"]);
    assert_eq!((code, lines.len()), (0, 1));
}

#[test]
fn times_of_another_machine_are_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (record, now) = (
        results("a", &[("sums/1M", 1.0, 0.0)]),
        results("b", &[("sums/1M", 9.0, 0.0)]),
    );
    let (code, lines) = compare(folder.path(), &record, &now, &[]);
    assert_eq!(code, 0);
    assert!(
        lines[0].contains("9.00") && lines[0].ends_with("other machine"),
        "{lines:?}"
    );
}

#[test]
fn a_record_takes_the_new_results_and_keeps_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let record = results("a", &[("scan/1M", 2.0, 0.0), ("score/64k", 1.0, 0.0)]);
    let now = results("a", &[("score/64k", 0.5, 0.01)]);
    let recorded = |args: &[&str]| -> Value {
        let (code, _) = compare(folder.path(), &record, &now, args);
        assert_eq!(code, 0);
        serde_json::from_str(&fs::read_to_string(folder.path().join("record.json")).unwrap()).unwrap()
    };
    assert_eq!(recorded(&["--record"]), now);
    assert_eq!(
        recorded(&["--record", "score"]),
        results("a", &[("scan/1M", 2.0, 0.0), ("score/64k", 0.5, 0.01)])
    );
    let (code, _) = compare(folder.path(), &json!("no record"), &now, &[]);
    assert_eq!(code, 2);
}

/// The record in the repository has all five kernels and names no machine but by its class.
#[test]
fn the_record_has_every_kernel() {
    let text = fs::read_to_string(root().join("benches/record.json")).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    let names = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(&record).len(), 4);
    assert_eq!(names(&record["machine"]).len(), 2);
    for kernel in ["score/", "scan/", "index/", "sums/", "decide/"] {
        assert!(
            names(&record["kernels"])
                .iter()
                .any(|name| name.starts_with(kernel)),
            "{kernel}"
        );
    }
    for kernel in record["kernels"].as_object().unwrap().values() {
        assert!(kernel["ns_per_item"].as_f64().unwrap() > 0.0 && kernel["noise"].as_f64().unwrap() >= 0.0);
    }
}
