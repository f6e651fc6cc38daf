//! Tests of what would decide a layer: in the schedule, the terminal, the report and the gate.

use std::fs;

use serde_json::Value;

use crate::documents::assert_described;
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
            "early at 25%: the complaint rate cannot clear its margin of 0.1 points within the dwell of 72 hours, even \
             if the candidate changes nothing"
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
        sentence.contains("to clear the margin of 0.5 points for the availability, at today's traffic of "),
        "{sentence}"
    );
    // The same sentence in the terminal, the report in both forms, and the gate.
    let joined = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(joined.contains(&format!("To decide: {sentence}")), "{joined}");
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("clear:availability | 0.67"), "{report}");
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
        of("guardrail:complaint_rate")
            .contains("156 users at 25% cannot clear the margin of 0.1 points for the complaint rate"),
        "{checks:?}"
    );
    let careful = layer(&out, "careful");
    assert!(
        careful["outlook"]["text"]
            .as_str()
            .unwrap()
            .starts_with("early: still to rise from 25% to 100%"),
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
    assert!(joined.contains(&format!("To decide: {sentence}")), "{joined}");
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
        "Map the missing column in [[input.traffic]].columns, or remove the guardrail: the log has no column \
         `complaint`."
    );
    assert!(
        remedy("qos").starts_with("Map the missing column in [[input.traffic]].columns: "),
        "{}",
        remedy("qos")
    );
    assert!(
        checks
            .iter()
            .all(|check| !check["remedy"].to_string().contains("more evidence"))
    );
}

/// A layer whose users differ too much for the margin at its first step.
pub(crate) const SIMULATED: &str = r#"
seed = 1
as_of = "2026-01-10"
plan = { id = "p", start = "2026-01-01", baseline = "a", candidate = "b" }
input = { users_from_traffic = true, traffic = [{ path = "t.csv" }] }
guardrail = [{ metric = "task_completion_rate", margin = 0.02 }]
layer = [{ id = "all", ladder = [0.02, 1.0], min_users = 10, dwell_hours = 24, qos_threshold = 0.99 }]
[simulate]
runs = 4
days = 6
layer = [{ id = "all", users = 20000, turns_per_user_day = 1, weekly_active = 0.99 }]
rate = [
  { metric = "availability", value = 0.99 },
  { metric = "latency_mean_ms", value = 800, sd = 600 },
  { metric = "tool_success_rate", value = 0.97 },
  { metric = "task_completion_rate", value = 0.8, user_sd = 0.25 },
  { metric = "bad_rate", value = 0.08 },
  { metric = "complaint_rate", value = 0.002 },
]
world = [{ id = "same" }]
"#;

#[test]
fn a_simulation_says_where_its_runs_end() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("ramp.toml"), dir.path().join("out"));
    fs::write(&path, SIMULATED).unwrap();
    let args = ["simulate", path.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let said = ok(&args);
    let joined = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = "where unfinished runs end: p in same: 100% of the runs at all 2%, clear:task_completion_rate: At this \
                step 400 users cannot clear the margin of 2 points for the task completion rate. Change the ratio of \
                the step to";
    assert!(joined.contains(text), "{joined}");
    assert!(
        joined.contains("warnings on the plans: p: all at 2%: the task completion rate cannot"),
        "{joined}"
    );
    let threshold = "The QoS threshold of 0.99 of all lies above the baseline's QoS of";
    assert!(joined.contains(threshold), "{joined}");
    assert_described(&out);
    let document = json(&out.join("forecast.json"));
    assert_eq!(document["plans"][0]["unfinished"][0]["p"]["p"], 1.0, "{document}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Where unfinished runs end") && page.contains("Warnings on the plans"));
    let chinese = [&args[..], &["--lang", "zh"]].concat();
    ok(&chinese);
    assert!(
        fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("未完成的运行停在何处")
    );
}
