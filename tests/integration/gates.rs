//! Tests of group-sequential gates and of optimal schedules by the stages of a nightly run.

use serde_json::Value;
use std::fs;

use crate::generated_nights::{End, HARM, optimum, parse, ramp};
use crate::support::{ok, ok_json, text};

/// Number of seeds for each of both worlds. `benches/gates.rs` runs 200.
const N_SEEDS: u32 = 10;

/// The most ramps of [`N_SEEDS`] that an error of this probability makes, but for one case in 1,000.
fn most(p: f64) -> u32 {
    let n = f64::from(N_SEEDS);
    let (mut term, mut sum, mut k) = ((1.0 - p).powf(n), 0.0, 0);
    while sum + term < 0.999 {
        sum += term;
        term *= (n - f64::from(k)) / f64::from(k + 1) * p / (1.0 - p);
        k += 1;
    }
    k
}

#[test]
fn an_optimised_schedule_keeps_its_promises_in_generated_nights() {
    let optimum = optimum();
    let chosen = optimum.layers[0].chosen.as_ref();
    let chosen = chosen.unwrap_or_else(|| panic!("{}", optimum.layers[0].why));
    let scenario = parse(&optimum.toml);
    assert_eq!(scenario.plan.policy.sequential.name(), "group_sequential");
    assert_eq!(scenario.plan.layers[0].ladder.len(), chosen.ladder.len());
    let ends = |harm: f64| -> Vec<(End, u32)> {
        (1..=N_SEEDS)
            .map(|seed| ramp(&optimum.toml, seed, harm))
            .collect()
    };
    let count = |ends: &[(End, u32)], end: End| ends.iter().filter(|(found, _)| *found == end).count() as u32;
    let (good, bad) = (ends(0.0), ends(HARM));
    assert!(
        count(&good, End::RolledBack) <= most(optimum.max_false_rollback),
        "{good:?}"
    );
    assert!(count(&bad, End::Full) <= most(optimum.max_missed), "{bad:?}");
    for ends in [&good, &bad] {
        assert_eq!(count(ends, End::Unfinished), 0, "{ends:?}");
    }
    // A release without harm takes the promised time: at most a night more, where a day had little
    // information.
    let nights = chosen.hours_if_good / 24.0 + 1.0;
    let late = good
        .iter()
        .filter(|(end, found)| *end == End::Full && f64::from(*found) > nights + 1.0);
    assert!(late.count() <= 1, "{nights} nights promised: {good:?}");
}

/// A log of one night more changes nothing in what the looks of the nights before found.
#[test]
fn gates_come_from_the_evidence_alone() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = r#"
seed = 3
as_of = "2026-05-30"
[plan]
id = "gates"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input.generate]
users = 6_000
turns = 40_000
[[layer]]
id = "all"
ladder = [0.1, 0.5, 1.0]
dwell_hours = 24
min_users = 50
qos_threshold = 0.5
boundary = "kim_demets"
boundary_rho = 1.5
[[operation]]
at = "2026-05-25"
layer = "all"
ratio = 0.1
[[operation]]
at = "2026-05-27"
layer = "all"
ratio = 0.5
[[guardrail]]
metric = "complaint_rate"
margin = 0.005
[[guardrail]]
metric = "task_completion_rate"
margin = 0.01
[policy]
sequential = "group_sequential"
"#;
    let path = dir.path().join("gates.toml");
    fs::write(&path, scenario).unwrap();
    let out = dir.path().join("out");
    ok(&["run", text(&path), "--out", text(&out)]);
    let analysis: Value = serde_json::from_slice(&fs::read(out.join("analysis.json")).unwrap()).unwrap();
    let gates = |analysis: &Value| -> Vec<Value> {
        let stages = analysis["layers"][0]["stages"].as_array().unwrap();
        assert!(
            stages[0]["guardrails"]
                .as_array()
                .unwrap()
                .iter()
                .all(|g| g["gate"].is_null())
        );
        let current = stages.last().unwrap()["guardrails"].as_array().unwrap();
        current
            .iter()
            .map(|guardrail| guardrail["gate"].clone())
            .collect()
    };
    let found = gates(&analysis);
    // Looks at the end of 24 and 48 hours at 10 %, and of 24, 48 and 72 hours at 50 %, unless the
    // planned information came before.
    for gate in &found {
        let n_looks = gate["n_looks"].as_u64().unwrap();
        assert!((1..=5).contains(&n_looks), "{gate}");
        assert!(gate["information"].as_f64() > Some(0.0) && gate["alpha_spent"].as_f64() > Some(0.0));
    }
    // The same cube with another instant has the looks up to then; the complaints are decided early.
    let cube = out.join("cube");
    let again = dir.path().join("again.json");
    let analyzed = ok_json(&[
        "analyze",
        "--cube",
        text(&cube),
        "--plan",
        text(&path),
        "--out",
        text(&again),
        "--json",
    ]);
    assert_eq!(gates(&analyzed), found);
}

#[test]
fn a_full_layer_is_compared_with_its_own_past() {
    let dir = tempfile::tempdir().unwrap();
    let run = |fault: &str, own_past: &str| -> (Value, Value) {
        let scenario = format!(
            r#"
seed = 4
as_of = "2026-06-05"
[plan]
id = "full"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input.generate]
users = 4_000
turns = 88_000
{fault}
[[layer]]
id = "all"
ladder = [0.5, 1.0]
dwell_hours = 24
[[operation]]
at = "2026-05-28"
layer = "all"
ratio = 0.5
[[operation]]
at = "2026-06-01"
layer = "all"
ratio = 1.0
[[guardrail]]
metric = "task_completion_rate"
margin = 0.02
[policy]
own_past = "{own_past}"
"#
        );
        let path = dir.path().join("full.toml");
        fs::write(&path, scenario).unwrap();
        let out = dir.path().join("out");
        ok(&["run", text(&path), "--out", text(&out)]);
        let read =
            |name: &str| -> Value { serde_json::from_slice(&fs::read(out.join(name)).unwrap()).unwrap() };
        (read("analysis.json"), read("schedule.json"))
    };
    let first = |schedule: &Value| {
        let layer = &schedule["layers"][0];
        (
            layer["verdict"].as_str().unwrap().to_owned(),
            layer["first_blocking"].to_string(),
        )
    };
    // A fall by 12 points on the last two days.
    let fall =
        "[[input.generate.fault]]\nlayer = \"all\"\nfrom = \"2026-06-03\"\ntask_completion_rate = 0.75\n";
    let (analysis, schedule) = run(fall, "alarm");
    let named = "\"own_past:task_completion_rate\"".to_owned();
    assert_eq!(first(&schedule), ("hold".into(), named.clone()), "{analysis:#}");
    let stages = analysis["layers"][0]["stages"].as_array().unwrap();
    let found = &stages.last().unwrap()["own_past"][0];
    let harm = found["harm"].as_f64().unwrap();
    assert!((harm - 0.12).abs() < 0.02 && found["n_past_days"] == 7, "{found}");
    // The last day alone: 2026-06-04.
    assert_eq!(found["since"].as_i64(), Some(1_780_531_200_000_000), "{found}");
    assert_eq!(first(&run(fall, "rollback").1), ("rollback".into(), named));
    let (analysis, schedule) = run(fall, "off");
    assert!(analysis["layers"][0]["stages"][2].get("own_past").is_none());
    assert_eq!(first(&schedule).1, "\"ladder\"");
    let (analysis, schedule) = run("", "alarm");
    assert_eq!(
        first(&schedule).1,
        "\"ladder\"",
        "{:#}",
        analysis["layers"][0]["stages"][2]["own_past"]
    );
}
