//! Tests of tool bundles: changes, their levels, and logged calls.

use serde_json::{Value, json};
use sluice::release::tools::{Level, Side, diff_schemas};
use std::{fs, path::PathBuf};

use crate::support::{fails, root, sluice, text};

fn cases() -> Vec<Value> {
    let path = root().join("tests/samples/registry/schema_diff_cases.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn known_changes_have_their_expected_verdicts() {
    let cases = cases();
    assert_eq!(cases.len(), 20);
    for case in &cases {
        for (side, key) in [(Side::Input, "input_expected"), (Side::Output, "output_expected")] {
            let changes = diff_schemas(&case["old"], &case["new"], side);
            let worst = changes
                .iter()
                .map(|change| change.level)
                .max()
                .unwrap_or(Level::Info);
            let found = match worst {
                Level::Error => "B",
                Level::Warning
                    if changes
                        .iter()
                        .all(|c| c.level < Level::Warning || c.rule == "description-changed") =>
                {
                    "semantic"
                }
                Level::Warning => "W",
                Level::Info => "ok",
            };
            let expected = case[key].as_str().unwrap();
            assert!(
                expected.split('/').any(|allowed| allowed == found),
                "{} {key}: expected {expected}, found {found}: {changes:?}",
                case["name"]
            );
        }
    }
}

/// Compares with jsoncompat 0.5.0 on 1,500 random pairs of schemas (`tests/oracles/jsoncompat`
/// writes its verdicts). Where jsoncompat proves with a value that a change breaks callers, Sluice
/// must report an error or, for new limits, a warning.
#[test]
fn what_another_checker_proves_to_break_is_not_missed() {
    let path = root().join("tests/vectors/jsoncompat.json");
    let pairs: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(pairs.len() >= 1_000);
    let (mut n_breaking, mut n_alarms) = (0, 0);
    for pair in &pairs {
        for (side, key) in [(Side::Input, "input"), (Side::Output, "output")] {
            let changes = diff_schemas(&pair["old"], &pair["new"], side);
            let worst = changes.iter().map(|change| change.level).max();
            match pair[key].as_str() {
                Some("incompatible") => {
                    n_breaking += 1;
                    assert!(worst >= Some(Level::Warning), "{side:?} missed: {pair}");
                }
                Some("compatible") if worst == Some(Level::Error) => n_alarms += 1,
                _ => {}
            }
        }
    }
    assert!(n_breaking > 500, "{n_breaking}");
    // Each rule looks at one part of a schema. A change that another part makes harmless is a false
    // alarm.
    assert!(n_alarms * 20 < pairs.len() * 2, "{n_alarms} alarms");
}

fn bundles() -> [PathBuf; 2] {
    ["2.3.0", "2.4.0"].map(|version| {
        root().join(format!(
            "tests/samples/registry/tools/tools_bundle@{version}.json"
        ))
    })
}

#[test]
fn a_required_argument_without_a_major_version_fails() {
    let [before, after] = bundles();
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls.ndjson");
    let mut lines = String::new();
    for idx in 0..100 {
        let arguments = if idx < 3 {
            json!({"order_id": "o"})
        } else {
            json!({"order_id": "o", "reason_code": "late"})
        };
        lines += &format!(
            "{}\n",
            json!({"trace_id": format!("t{idx}"), "tool": "refund_api", "arguments": arguments.to_string()})
        );
    }
    fs::write(&calls, lines).unwrap();
    let output = sluice(&[
        "tools",
        "diff",
        text(&before),
        text(&after),
        "--calls",
        text(&calls),
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(10));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules: Vec<(&str, &str, &str)> = found["diff"]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["level"] == "error")
        .map(|change| {
            (
                change["tool"].as_str().unwrap(),
                change["rule"].as_str().unwrap(),
                change["path"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        rules.contains(&("refund_api", "became-required", "/reason_code")),
        "{rules:?}"
    );
    assert!(
        rules.contains(&("refund_api", "major-version-missing", "")),
        "{rules:?}"
    );
    assert!(rules.contains(&("", "migration-missing", "")), "{rules:?}");
    let replayed = &found["calls"][0];
    assert_eq!(
        (replayed["n_rejected"].as_u64(), replayed["n_calls"].as_u64()),
        (Some(3), Some(100))
    );
    assert_eq!(
        replayed["examples"][0],
        json!({"trace_id": "t0", "path": "/", "rule": "required"})
    );
    // The reverse change breaks no caller.
    assert_eq!(
        sluice(&["tools", "diff", text(&after), text(&before)])
            .status
            .code(),
        Some(0)
    );
}

#[test]
fn ten_thousand_recursive_tools_and_hostile_files() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = |leaf: &str| {
        let tool = |idx: usize| {
            json!({"name": format!("tool_{idx}"), "version": "1.0.0", "inputSchema": {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object",
                "properties": {"value": {"type": leaf}, "next": {"$ref": "#/$defs/node"}}}}}})
        };
        json!({"bundle": "b", "version": "1.0.0", "tools": (0..10_000).map(tool).collect::<Vec<_>>()})
            .to_string()
    };
    let [before, after, broken] =
        ["before.json", "after.json", "broken.json"].map(|name| folder.path().join(name));
    fs::write(&before, bundle("string")).unwrap();
    fs::write(&after, bundle("integer")).unwrap();
    let output = sluice(&["tools", "diff", text(&before), text(&after), "--json"]);
    assert_eq!(output.status.code(), Some(10));
    assert_eq!(
        sluice(&["tools", "diff", text(&before), text(&before)])
            .status
            .code(),
        Some(0)
    );
    for text_of in [
        "",
        "{",
        "[1]",
        "{\"tools\": [{\"name\": \"a\", \"name\": \"b\"}]}",
    ] {
        fs::write(&broken, text_of).unwrap();
        fails(&["tools", "diff", text(&broken), text(&before)], 3);
    }
    fails(
        &[
            "tools",
            "diff",
            text(&folder.path().join("nothing.json")),
            text(&before),
        ],
        3,
    );
}
