//! Tests of the gate's outcome: a failed gate keeps promotions back, and lets everything else out.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::publish_support;
use crate::small::Small;
use crate::support::{json, ok, ok_json, sluice, text};

/// Settings under which the small study promotes its layer on the third day.
const PROMOTES: &str = "guardrail = []\n[policy]\ndecision = \"point\"\nqos_floor = 0.0\npromote_on_failed_gate = ALLOWED\n[plan]\n";

/// The columns that a QoS score needs and that the small study lacks.
const OUTCOMES: &str = "path = \"traffic.csv\", constants = { tool_calls = \"1\", tool_successes = \"1\", \
    task_completed = \"true\", complaint = \"false\", bad = \"false\" }";

/// A study that is promoted. A user without consent got the candidate, so its gate fails.
fn study(is_allowed: bool) -> Small {
    let small = Small::new();
    let with_release = fs::read_to_string(small.path("traffic.csv")).unwrap();
    let user = with_release
        .lines()
        .find_map(|line| line.contains(",new,").then(|| line.split(',').nth(1).unwrap()))
        .unwrap();
    let number = user.trim_start_matches('u');
    small.edit("users.csv", |text| {
        text.replace(
            &format!("{user},{number},true"),
            &format!("{user},{number},false"),
        )
    });
    small.edit("study.toml", |text| {
        let text = text.replace("path = \"traffic.csv\"", OUTCOMES);
        let promotes = PROMOTES.replace("ALLOWED", &is_allowed.to_string());
        text.replace("[plan]\n", &promotes).replace(
            "id = \"all\"\n",
            "id = \"all\"\nqos_threshold = 0.1\ndwell_hours = 24\nmin_users = 10\n",
        )
    });
    let out = small.path("out");
    ok(&["run", text(&small.path("study.toml")), "--out", text(&out)]);
    small
}

#[test]
fn a_failed_gate_keeps_promotions_back_unless_the_policy_allows_them() {
    for is_allowed in [true, false] {
        let small = study(is_allowed);
        let out = small.path("out");
        assert_eq!(json(&out.join("gate_report.json"))["outcome"], "fail");
        let schedule = json(&out.join("schedule.json"));
        let layer = &schedule["layers"][0];
        let state = json(&out.join("state.json"));
        let log = fs::read_to_string(out.join("tables/operation_log.csv")).unwrap();
        let next = if is_allowed { 1.0 } else { 0.5 };
        assert_eq!(schedule["promote_on_failed_gate"] == true, is_allowed);
        assert_eq!(
            layer["verdict"],
            if is_allowed { "promote" } else { "hold" },
            "{layer:#}"
        );
        assert_eq!(
            (&layer["ratio"], &layer["next_ratio"]),
            (&0.5.into(), &next.into())
        );
        assert_eq!(layer["hi_bucket"], (next * 10_000.0) as u64);
        assert_eq!(state["layers"][0]["ratio"], next);
        assert_eq!(log.contains(",promote,"), is_allowed, "{log}");
        assert_eq!(state["operations"].as_array().unwrap().is_empty(), !is_allowed);
        let checks = layer["trace"].as_array().unwrap();
        assert_eq!(checks.iter().any(|check| check["check"] == "gate"), !is_allowed);
        if !is_allowed {
            assert_eq!(layer["first_blocking"], "gate");
            let reason = layer["reason"].as_str().unwrap();
            assert!(
                reason.starts_with("The gate failed at consent: 2 of 2 rows")
                    && reason.ends_with(" Kept at 50%."),
                "{reason}"
            );
        }
        // The stage by itself decides as the whole run, and the gate of its schedule is the same.
        let (scenario, again) = (small.path("study.toml"), small.path("again"));
        let (analysis, summary) = (out.join("analysis.json"), out.join("layers.summary.json"));
        let state = again.join("state.json");
        let mut args = vec![
            "schedule",
            "--scenario",
            text(&scenario),
            "--analysis",
            text(&analysis),
        ];
        args.extend(["--layer-summary", text(&summary), "--out", text(&again)]);
        ok(&args);
        for name in ["schedule.json", "state.json", "gate_report.json"] {
            assert_eq!(json(&again.join(name)), json(&out.join(name)), "{name}");
        }
        args.extend(["--state", text(&state)]);
        let printed = ok(&args);
        assert!(
            printed.contains("nothing changed") && !printed.contains("written again"),
            "{printed}"
        );
    }
}

fn ratios(folder: &Path) -> Vec<(Value, Value)> {
    let publication = json(&folder.join("gated/current.json"))["publication"].clone();
    let rows = publication["ratios"].as_array().unwrap().iter();
    rows.map(|row| (row["verdict"].clone(), row["ratio"].clone()))
        .collect()
}

#[test]
fn a_folder_whose_gate_failed_is_published_without_its_promotions() {
    let small = publish_support::Small::new("gated", "sluice");
    let layers = small.layers("users", 0..100, 0);
    let dir = small.study("study", &layers, [0.5, 0.0, 0.1, 0.2], 0);
    let target = small.dir.path().join("releases");
    let publish = || {
        ok_json(&[
            "publish",
            text(&dir),
            "--to",
            text(&target),
            "--no-users",
            "--json",
        ])
    };
    let gate = |outcome: &str, evidence: &str| {
        let report = serde_json::json!({
            "schema": "sluice.gate/2", "plan_id": "gated", "baseline": "rel-1", "candidate": "rel-2", "as_of": 0,
            "evidence_digest": evidence, "outcome": outcome,
            "checks": [{"gate": "ramp", "check": "consent", "tenant": "default", "layer": "early", "outcome": outcome,
                "detail": "1 of 9 rows", "remedy": null}]
        });
        fs::write(dir.join("gate_report.json"), report.to_string()).unwrap();
    };
    let promoted = [
        ("promote", 0.5),
        ("rollback", 0.0),
        ("promote", 0.1),
        ("promote", 0.2),
    ];
    let kept = [("hold", 0.0), ("rollback", 0.0), ("hold", 0.0), ("hold", 0.0)];
    let check = |expected: [(&str, f64); 4]| {
        let expected = expected.map(|(verdict, ratio)| (verdict.into(), ratio.into()));
        assert_eq!(ratios(&target), expected);
    };
    assert!(publish()["gate"].is_null());
    check(promoted);
    for outcome in ["pass", "warn", "inconclusive"] {
        gate(outcome, "sha256:study");
        let report = publish();
        assert_eq!(report["gate"], outcome);
        assert!(report["kept_back"].as_array().unwrap().is_empty());
        check(promoted);
    }
    for (evidence, is_stale) in [("sha256:study", false), ("sha256:older", true)] {
        gate("fail", evidence);
        let report = publish();
        assert_eq!(report["gate"], "fail");
        assert_eq!(report["kept_back"].as_array().unwrap().len(), 3, "{report:#}");
        assert_eq!(report["kept_back"][0]["layer"], "early");
        check(kept);
        let output = sluice(&["publish", text(&dir), "--to", text(&target), "--no-users"]);
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(stdout.contains("gate: fail"), "{stdout}");
        assert!(
            stderr.contains(
                "The gate failed at consent of early: 1 of 9 rows: no promotion of default / early"
            ),
            "{stderr}"
        );
        assert_eq!(stderr.contains("other evidence"), is_stale, "{stderr}");
    }
    let schedule = fs::read_to_string(dir.join("schedule.json")).unwrap();
    let allowed = schedule.replacen('{', "{\"promote_on_failed_gate\": true, ", 1);
    fs::write(dir.join("schedule.json"), allowed).unwrap();
    publish();
    check(promoted);
    // A rollback needs no gate.
    fs::write(dir.join("gate_report.json"), "{").unwrap();
    ok(&["publish", text(&dir), "--to", text(&target), "--rollback"]);
}

#[test]
fn the_status_says_what_is_in_force() {
    let small = publish_support::Small::new("gated", "sluice");
    let layers = small.layers("users", 0..100, 0);
    let target = small.dir.path().join("releases");
    // Ratios of layers whose ladders end at 1, or at 0.5.
    let check = |ratios: [f64; 4], rolled_back: bool, last: f64, expected: &str| {
        let dir = small.study("study", &layers, ratios, 0);
        let mut schedule = json(&dir.join("schedule.json"));
        for layer in schedule["layers"].as_array_mut().unwrap() {
            layer["verdict"] = "hold".into();
            layer["ramp"]["ladder"] = serde_json::json!([0.1, last]);
            layer["rolled_back"] = (rolled_back && layer["layer"] == "vip").into();
        }
        fs::write(dir.join("schedule.json"), schedule.to_string()).unwrap();
        ok(&["publish", text(&dir), "--to", text(&target), "--no-users"]);
        let publication = json(&target.join("gated/current.json"))["publication"].clone();
        assert_eq!(publication["status"], expected, "{ratios:?} {rolled_back} {last}");
    };
    check([0.5, 0.5, 0.5, 0.5], false, 1.0, "running");
    check([0.5, 0.5, 0.5, 0.5], false, 0.5, "completed");
    check([1.0, 1.0, 1.0, 1.0], false, 1.0, "completed");
    check([0.5, 0.5, 0.5, 0.1], false, 0.5, "running");
    check([0.5, 0.5, 0.5, 0.0], true, 0.5, "rolled_back");
    check([0.0, 0.0, 0.0, 0.0], false, 0.5, "running");
}
