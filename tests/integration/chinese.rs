//! Tests that Chinese is whole: documents have both languages, and `--lang zh` prints no English
//! sentence.

use serde_json::Value;
use std::fs;
use std::path::Path;

use crate::small::Small;
use crate::support::{ecommerce, json, ok, root, sluice, text};

/// The keys of documents that hold sentences for people.
const SENTENCES: [&str; 7] = ["reason", "detail", "remedy", "text", "finding", "advice", "why"];

/// Names of sentences of a document that have no Chinese, each with its place. Reasons of unknown
/// numbers are ids such as `no_data`.
fn without_chinese(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let place = format!("{place}.{key}");
                without_chinese(field, &place, found);
                let Some(sentence) = field.as_str().filter(|text| text.contains(' ')) else {
                    continue;
                };
                if !SENTENCES.contains(&key.as_str()) {
                    continue;
                }
                let chinese = fields.get(&format!("{key}_zh")).and_then(Value::as_str);
                if !chinese.is_some_and(has_chinese) {
                    found.push(format!("{place}: {sentence} / {chinese:?}"));
                }
            }
        }
        Value::Array(items) => {
            for (idx, item) in items.iter().enumerate() {
                without_chinese(item, &format!("{place}[{idx}]"), found);
            }
        }
        _ => {}
    }
}

fn has_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

fn assert_both_languages(path: &Path) {
    let mut found = Vec::new();
    without_chinese(&json(path), "", &mut found);
    assert!(found.is_empty(), "{}:\n{}", path.display(), found.join("\n"));
}

/// Two English words beside each other. Ids, options and names of files are no words.
fn english_in(text: &str) -> Option<String> {
    let is_word = |word: &&str| word.len() >= 2 && word.chars().all(|c| c.is_ascii_alphabetic());
    let in_cell = |cell: &str| {
        let words: Vec<&str> = cell.split_whitespace().collect();
        let pair = words.windows(2).find(|pair| pair.iter().all(is_word));
        pair.map(|pair| format!("`{}` in: {cell}", pair.join(" ")))
    };
    // Two blanks stand between the columns of a table.
    text.lines().flat_map(|line| line.split("  ")).find_map(in_cell)
}

/// Runs a command with `--lang zh`, and asserts that stdout and stderr have no English sentence.
fn assert_prints_chinese(args: &[&str]) -> String {
    let output = sluice(&[args, &["--lang", "zh"]].concat());
    let [said, warned] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{args:?}: {warned}");
    for printed in [&said, &warned] {
        assert_eq!(english_in(printed), None, "{args:?} printed:\n{printed}");
    }
    assert!(has_chinese(&said), "{said}");
    said
}

#[test]
fn documents_of_a_study_have_both_languages() {
    for name in ["schedule.json", "gate_report.json"] {
        assert_both_languages(&ecommerce().join(name));
    }
    // A log without some columns, and a step that users cannot fill.
    let small = Small::new();
    small.edit("study.toml", |text| {
        text.replace(
            "id = \"all\"",
            "id = \"all\"\nmin_users = 5000\nname = \"全部用户\"",
        )
    });
    small.run();
    for name in ["schedule.json", "gate_report.json"] {
        assert_both_languages(&small.path("out").join(name));
    }
}

#[test]
fn a_reason_begins_with_the_fact_and_ends_with_the_change() {
    let schedule = json(&ecommerce().join("schedule.json"));
    let layers = schedule["layers"].as_array().unwrap();
    let of = |id: &str| layers.iter().find(|layer| layer["layer"] == id).unwrap();
    let regular = of("regular");
    let is = |key: &str, start: &str, end: &str| {
        let text = regular[key].as_str().unwrap();
        assert!(text.starts_with(start) && text.ends_with(end), "{text}");
    };
    is(
        "reason",
        "The task completion rate fell from ",
        "2 allowed). Rolled back from 1% to 0%.",
    );
    is("reason_zh", "任务完成率由 ", "允许 2）。由 1% 回滚至 0%。");
    let early = of("early");
    assert_eq!(early["reason"], "Every check passed. Promoted from 10% to 50%.");
    assert_eq!(early["reason_zh"], "所有检查均已通过。由 10% 放量至 50%。");
}

#[test]
fn the_guide_prints_chinese() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let scenario = root().join("scenarios/guide/scenario.toml");
    let (scenario, folder) = (text(&scenario), text(&out));
    let said = assert_prints_chinese(&["run", scenario, "--out", folder]);
    assert!(said.contains("early：保持 25%。"), "{said}");
    assert!(said.contains("门禁：证据不足（"), "{said}");
    let (analysis, again) = (out.join("analysis.json"), dir.path().join("again"));
    assert_prints_chinese(&[
        "schedule",
        "--scenario",
        scenario,
        "--analysis",
        text(&analysis),
        "--out",
        text(&again),
    ]);
    let (cube, found) = (out.join("cube"), dir.path().join("analysis.json"));
    if cube.exists() {
        assert_prints_chinese(&[
            "analyze",
            "--scenario",
            scenario,
            "--cube",
            text(&cube),
            "--out",
            text(&found),
        ]);
    }
    for name in ["schedule.json", "gate_report.json"] {
        assert_both_languages(&out.join(name));
    }
}

#[test]
fn a_simulation_prints_chinese() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("ramp.toml"), dir.path().join("out"));
    fs::write(&path, crate::outlook::SIMULATED).unwrap();
    let said = assert_prints_chinese(&["simulate", text(&path), "--out", text(&out)]);
    assert!(said.contains("未完成的模拟停在何处"), "{said}");
    assert!(said.starts_with("每个方案在每个情景模拟 4 次"), "{said}");
    assert_prints_chinese(&["simulate", text(&path), "--out", text(&out), "--wide"]);
    assert_both_languages(&out.join("forecast.json"));
}

#[test]
fn a_metric_of_the_scenario_has_its_name() {
    let small = Small::new();
    small.edit("study.toml", |text| {
        let metric = "\n[[metric]]\nid = \"slow\"\nname = \"慢响应占比\"\nnumerator = \"sum(latency_ms > 200)\"\n\
                      denominator = \"rows\"\nbetter = \"lower\"\nunit = \"share\"\n\
                      [[guardrail]]\nmetric = \"slow\"\nmargin = 0.02\n";
        text + metric
    });
    let out = small.path("out");
    ok(&["run", text(&small.path("study.toml")), "--out", text(&out)]);
    let schedule = json(&out.join("schedule.json"));
    let trace = schedule["layers"][0]["trace"].as_array().unwrap();
    let check = trace
        .iter()
        .find(|check| check["check"] == "guardrail:slow")
        .unwrap();
    for key in ["detail", "detail_zh"] {
        assert!(check[key].as_str().unwrap().starts_with("慢响应占比"), "{check}");
    }
}
