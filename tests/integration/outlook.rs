//! Tests of what would decide a layer: in the schedule, the terminal, the report and the gate.

use std::fs;

use serde_json::Value;

use crate::small::Small;
use crate::support::{ecommerce, json, ok, root, sluice};

/// The decision on a layer in a study's folder.
fn layer(folder: &std::path::Path, id: &str) -> Value {
    let schedule = json(&folder.join("schedule.json"));
    let layers = schedule["layers"].as_array().unwrap();
    let found = layers.iter().find(|layer| layer["layer"] == id);
    found.unwrap().clone()
}

#[test]
fn the_guide_says_how_long_its_layers_wait() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let scenario = root().join("scenarios/guide/scenario.toml");
    let (scenario, folder) = (scenario.to_str().unwrap(), out.to_str().unwrap());
    let output = sluice(&["run", scenario, "--out", folder]);
    let [said, warned] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(
        warned.contains(
            "early at 25%: `complaint_rate` cannot clear a margin of 0.001 within the dwell of 72 h, even without an \
             effect"
        ),
        "{warned}"
    );
    let early = layer(&out, "early");
    let outlook = &early["outlook"];
    assert_eq!(outlook["check"], "clear:availability");
    assert_eq!(outlook["metric"], "availability");
    assert_eq!(outlook["unit"], "share");
    let days = outlook["days_needed"].as_f64().unwrap();
    assert!((3.0..60.0).contains(&days), "{outlook}");
    assert!(outlook["undecided"].is_null(), "{outlook}");
    let sentence = outlook["text"].as_str().unwrap();
    assert!(
        sentence.contains("to clear a margin of 0.005 if the effect stays as it is"),
        "{sentence}"
    );
    // The same sentence in the terminal, the report in both forms, and the gate.
    let joined = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(joined.contains(&format!("to decide: {sentence}")), "{joined}");
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("clear:availability | 0.0067"), "{report}");
    assert!(
        fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("more days")
    );
    let gate = json(&out.join("gate_report.json"));
    let checks = gate["checks"].as_array().unwrap();
    let of = |name: &str| {
        let found = checks
            .iter()
            .find(|check| check["check"] == name && check["layer"] == "early");
        found.unwrap()["remedy"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("guardrail:availability"), sentence);
    assert_eq!(outlook["also_open"], serde_json::json!(["clear:complaint_rate"]));
    assert!(
        of("guardrail:complaint_rate").contains("156 users at 25% cannot clear a margin of 0.001"),
        "{checks:?}"
    );
    let careful = layer(&out, "careful");
    assert!(
        careful["outlook"]["text"]
            .as_str()
            .unwrap()
            .starts_with("early has to rise from 25% to 100%"),
        "{careful}"
    );
    let analysis = out.join("analysis.json");
    let decided = dir.path().join("decided");
    let args = [
        "schedule",
        "--scenario",
        scenario,
        "--analysis",
        analysis.to_str().unwrap(),
        "--out",
    ];
    let said = ok(&[&args[..], &[decided.to_str().unwrap()]].concat());
    let joined = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(joined.contains(&format!("to decide: {sentence}")), "{joined}");
    let chinese = ["report", out.to_str().unwrap(), "--lang", "zh"];
    ok(&chinese);
    assert!(
        fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("还需天数")
    );
}

#[test]
fn the_case_study_explains_every_layer_that_stays() {
    let schedule = json(&ecommerce().join("schedule.json"));
    for layer in schedule["layers"].as_array().unwrap() {
        let outlook = &layer["outlook"];
        let stays = layer["verdict"] != "promote" && layer["verdict"] != "rollback";
        assert_eq!(outlook.is_object(), stays, "{layer}");
        if stays {
            assert_eq!(outlook["check"], layer["first_blocking"]);
            assert!(!outlook["text"].as_str().unwrap().is_empty());
            assert_eq!(
                outlook["days_needed"].is_null(),
                !outlook["undecided"].is_null(),
                "{outlook}"
            );
        }
    }
}

#[test]
fn a_missing_column_is_asked_for() {
    let small = Small::new();
    small.run();
    let out = small.path("out");
    let gate = json(&out.join("gate_report.json"));
    let checks = gate["checks"].as_array().unwrap();
    let remedy = |name: &str| {
        let found = checks.iter().find(|check| check["check"] == name);
        found.unwrap()["remedy"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        remedy("guardrail:complaint_rate"),
        "no column `complaint` in the log: map it in [[input.traffic]].columns, or remove the guardrail"
    );
    assert!(
        remedy("qos").ends_with("map it in [[input.traffic]].columns"),
        "{}",
        remedy("qos")
    );
    assert!(
        checks
            .iter()
            .all(|check| !check["remedy"].to_string().contains("more evidence"))
    );
}
