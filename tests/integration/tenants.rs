//! Studies of many tenants: memory for each, pages that stay small, and the same bytes on any number
//! of threads.

use serde_json::Value;
use std::fs;

use crate::support::{assert_same_tree, json, sluice, text};

const N_TENANTS: usize = 800;

const SCENARIO: &str = r#"
why = "many tenants"
as_of = "2026-05-27"
[plan]
id = "tenants"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input]
users = { path = "users.csv", absent = ["last_use_time", "user_value", "accept_score"] }
traffic = [{ path = "traffic.csv" }]
[[layer]]
id = "all"
min_users = 500
ladder = [0.5, 1.0]
[[operation]]
at = "2026-05-25"
layer = "all"
ratio = 0.5
"#;

#[test]
fn a_tenant_takes_kilobytes_and_pages_stay_small() {
    let dir = tempfile::tempdir().unwrap();
    let profile = sluice::bucket::Profile::Sluice {
        salt: "tenants".into(),
    };
    let mut users = "user_id,tenant_id,use_count,is_allow_gray\n".to_owned();
    let mut traffic = "event_time,user_id,tenant_id,release_id,success,latency_ms\n".to_owned();
    for tenant in 0..N_TENANTS {
        users.push_str(&format!("u{tenant},t{tenant:04},{},true\n", tenant % 50));
        let is_reached = profile.bucket(&format!("u{tenant}")) < 5_000;
        let release = if is_reached { "new" } else { "old" };
        // The last tenant has the most turns.
        for hour in 0..if tenant + 1 == N_TENANTS { 40 } else { 2 } {
            traffic.push_str(&format!(
                "2026-05-2{}T{:02}:00:00Z,u{tenant},t{tenant:04},{release},{},{}\n",
                5 + hour / 24,
                hour % 24,
                hour % 9 > 0,
                100 + hour
            ));
        }
    }
    fs::write(dir.path().join("users.csv"), users).unwrap();
    fs::write(dir.path().join("traffic.csv"), traffic).unwrap();
    let scenario = dir.path().join("study.toml");
    fs::write(&scenario, SCENARIO).unwrap();
    let run = |threads: &str, out: &str| {
        let out = dir.path().join(out);
        let args = [
            "--threads",
            threads,
            "--log",
            "json",
            "run",
            text(&scenario),
            "--out",
            text(&out),
        ];
        let output = sluice(&args);
        assert!(output.status.success(), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let peak = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["peak_memory_bytes"].as_u64()
        };
        let peak = stderr.lines().filter_map(peak).max().unwrap();
        (out, String::from_utf8(output.stdout).unwrap(), stderr, peak)
    };
    let (out, stdout, stderr, peak) = run("1", "one");
    let (other, ..) = run("2", "two");
    assert_same_tree(&out, &other);
    // Dense sums of every tenant took 1.1 MB each.
    assert!(peak < 400_000_000, "{peak}");
    assert!(
        stdout.contains("further layers: 700, all in schedule.json"),
        "{stdout}"
    );
    assert!(
        stdout.len() < 60_000 && stderr.len() < 60_000,
        "{} {}",
        stdout.len(),
        stderr.len()
    );
    assert!(
        stderr.contains("cannot leave a step of their ladder: 700"),
        "{stderr}"
    );

    let layers = |name: &str| json(&out.join(name))["layers"].as_array().unwrap().len();
    assert_eq!([layers("analysis.json"), layers("schedule.json")], [N_TENANTS; 2]);
    for page in ["report.html", "report.md"] {
        let page = fs::read_to_string(out.join(page)).unwrap();
        assert!(page.contains("500 of 800 layers are shown"));
        // Tenants with a user of the candidate come first.
        let n_shown = (0..N_TENANTS).filter(|tenant| page.contains(&format!("t{tenant:04}")));
        assert_eq!(n_shown.count(), 500);
        assert!(page.len() < 5_000_000, "{}", page.len());
    }
    let gate = json(&out.join("gate_report.json"));
    let size = gate["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "layer_size")
        .unwrap();
    assert!(
        size["detail"]
            .as_str()
            .unwrap()
            .ends_with("t0019 / all and 780 more."),
        "{size}"
    );
}
