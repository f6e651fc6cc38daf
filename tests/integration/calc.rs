//! Tests of the calculator as a command, and with hostile inputs.

use serde_json::{Value, json};
use sluice::calc::{FUNCTIONS, answer_line};
use std::fs;

use crate::{
    support::{ecommerce, fails, ok, sluice, text},
    vectors::differs,
};

/// Takes every example of every calculation and replaces one value after another by a hostile one.
#[test]
fn hostile_inputs_are_answered_or_refused() {
    let hostile = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(0.5),
        json!(1e15),
        json!(1e300),
        json!(-1e300),
        json!(1e-300),
        json!("NaN"),
        json!([]),
        json!({}),
        json!(true),
        json!([[]]),
        json!([0, 0]),
        json!([1e308, 1e308]),
        json!([-1]),
        json!("x".repeat(1_000)),
    ];
    fn places(value: &Value, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
        let mut visit = |key: String, value: &Value| {
            path.push(key);
            out.push(path.clone());
            places(value, path, out);
            path.pop();
        };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| visit(key.clone(), value)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .take(3)
                .for_each(|(idx, value)| visit(idx.to_string(), value)),
            _ => {}
        }
    }
    let mut n = 0;
    for function in FUNCTIONS {
        let example: Value = serde_json::from_str(function.example).unwrap();
        let mut all = Vec::new();
        places(&example, &mut Vec::new(), &mut all);
        for path in all {
            for bad in &hostile {
                let mut inputs = example.clone();
                let pointer = format!("/{}", path.join("/"));
                *inputs.pointer_mut(&pointer).unwrap() = bad.clone();
                let line = answer_line(function, &inputs.to_string());
                let answer: Value =
                    serde_json::from_str(&line.text).unwrap_or_else(|error| panic!("{error}: {}", line.text));
                let lower = line.text.to_lowercase();
                // In `attribution` a reference may have the name NaN, and the answer repeats it.
                let is_name = function.name == "attribution" && bad.is_string();
                assert!(
                    is_name || !lower.contains("nan\"") && !lower.contains(":inf") && answer.is_object(),
                    "{} {inputs}: {}",
                    function.name,
                    line.text
                );
                assert_eq!(answer.get("error").is_some(), !line.is_good);
                n += 1;
            }
        }
    }
    assert!(n > 3_000, "{n}");
}

#[test]
fn one_calculation_at_a_time() {
    let found = ok(&[
        "calc",
        "srm",
        "--observed",
        "[990210, 9790]",
        "--planned",
        "[0.99, 0.01]",
    ]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert!(!differs(
        &found["p_value"],
        &json!(0.034_808_478_811_867_13),
        1e-12,
        0.0
    ));
    assert!(ok(&["calc", "power"]).contains("--kind proportion"));
    let message = fails(&["calc", "powr", "--p", "0.1"], 2);
    assert!(message.contains("did you mean power"), "{message}");
    let message = fails(
        &[
            "calc",
            "proportion",
            "--control",
            "{\"n\": 10, \"x\": 11}",
            "--treatment",
            "{\"n\": 10, \"x\": 1}",
        ],
        3,
    );
    assert!(
        message.contains("control.x: expected a whole number from 0 to n, found 11"),
        "{message}"
    );
    let message = fails(
        &[
            "calc",
            "srm",
            "--observed",
            "[1, 2]",
            "--planned",
            "[0.5, 0.5]",
            "--alpah",
            "0.1",
        ],
        3,
    );
    assert!(message.contains("alpah"), "{message}");
    fails(&["calc", "srm", "--observed"], 2);
    fails(&["calc", "srm", "observed"], 2);
}

#[test]
fn a_batch_keeps_its_order_and_answers_around_bad_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inputs.ndjson");
    let mut lines: Vec<String> = (0..40_000)
        .map(|i| json!({"id": i, "n": 100, "x": i % 101}).to_string())
        .collect();
    lines[7] = "{\"id\": 7, \"n\": ".to_owned();
    lines[9] = json!({"id": "nine", "n": 100}).to_string();
    fs::write(&path, lines.join("\n")).unwrap();
    let output = sluice(&["calc", "proportion-interval", "--batch", text(&path)]);
    assert_eq!(output.status.code(), Some(3));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 40_000);
    for (i, answer) in answers.iter().enumerate().filter(|(i, _)| ![7, 9].contains(i)) {
        assert_eq!(
            (&answer["id"], &answer["estimate"]),
            (&json!(i), &json!((i % 101) as f64 / 100.0))
        );
    }
    assert!(answers[7]["error"]["expected"].is_string());
    assert_eq!(
        (&answers[9]["id"], &answers[9]["error"]["where"]),
        (&json!("nine"), &json!("x"))
    );
}

#[test]
fn an_a_a_log_is_calibrated() {
    let cube = ecommerce().join("cube");
    let args = [
        "calibrate",
        "--cube",
        text(&cube),
        "--plan",
        "scenarios/ecommerce.toml",
        "--splits",
        "300",
        "--layer",
        "regular",
        "--json",
    ];
    let printed = ok(&args);
    let found: Value = serde_json::from_str(&printed).unwrap();
    let splits = found["splits"].as_array().unwrap();
    let even = splits.iter().find(|split| split["ratio"] == json!(0.5)).unwrap();
    assert_eq!(even["from_few_users"], json!(false));
    for metric in even["metrics"].as_array().unwrap() {
        // The 300 splits come from one log and share its users, so the limits are wide.
        let rate = metric["false_positives"]["rate"].as_f64().unwrap();
        assert!(rate < 0.12, "{metric}");
    }
    assert!(even["srm_alarms"]["rate"].as_f64().unwrap() < 0.02);
    assert_eq!(
        printed,
        ok(&[&args[..], &["--threads", "1"]].concat()),
        "the same on one thread"
    );
    fails(
        &[
            "calibrate",
            "--cube",
            text(&cube),
            "--plan",
            "scenarios/ecommerce.toml",
            "--layer",
            "nobody",
        ],
        2,
    );
}
