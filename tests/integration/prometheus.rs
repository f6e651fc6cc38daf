//! Tests of evidence from a real Prometheus server. The counters of the reference policy
//! (docs/REFERENCE_POLICY.md#qos) are written into its storage and read over HTTP.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

use crate::{
    servers::{free_port, wait_for_port},
    support::{fails, json, ok, text},
};

/// A Prometheus server with its own storage.
pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    _folder: TempDir,
}

impl Server {
    /// Starts a server whose storage holds these samples, given in OpenMetrics format.
    pub(crate) fn with(samples: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("samples.txt"), samples).unwrap();
        let output = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([at("samples.txt"), at("data")])
            .output()
            .expect("hint: scripts/test installs prometheus");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::write(at("prometheus.yml"), "global: {}\n").unwrap();
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .args([
                "--storage.tsdb.retention.time=100y",
                &format!("--web.listen-address=127.0.0.1:{port}"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("hint: scripts/test installs prometheus");
        wait_for_port(port, "prometheus");
        let server = Self {
            port,
            child,
            _folder: folder,
        };
        let start = std::time::Instant::now();
        while !server.ready() {
            assert!(
                start.elapsed() < std::time::Duration::from_secs(60),
                "prometheus is not ready"
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        server
    }

    fn ready(&self) -> bool {
        ureq::get(format!("http://127.0.0.1:{}/-/ready", self.port))
            .call()
            .is_ok_and(|response| response.status() == 200)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const START: i64 = 1_779_667_200; // 2026-05-25T00:00:00Z
const MINUTES: i64 = 600;

/// Increase of each counter in a minute: chats, successes, bad ratings, complaints, milliseconds,
/// chats with a duration, tool calls, successful tool calls, tasks.
const GAINS: [(&str, f64); 9] = [
    ("agent_chat_total", 40.0),
    ("agent_chat_success_count", 39.0),
    ("agent_chat_bad_count", 1.0),
    ("agent_complaint_count", 0.2),
    ("agent_chat_duration_sum", 40.0 * 1_000.0),
    ("agent_chat_duration_count", 40.0),
    ("agent_tool_total", 20.0),
    ("agent_tool_success_count", 19.0),
    ("agent_task_total", 30.0),
];

/// Ten hours of counters with one sample per minute. Layer `early` has all counters, `regular`
/// lacks the complaints, and in `vip` the completed tasks are NaN.
fn samples() -> String {
    let mut text = String::new();
    let mut names: Vec<(&str, f64)> = GAINS.to_vec();
    names.push(("agent_task_completed_count", 27.0));
    for (name, gain) in names {
        writeln!(text, "# TYPE {name} unknown").unwrap();
        for (layer, version) in [
            ("early", "rel-2"),
            ("early", "rel-1"),
            ("普通层", "rel-2"),
            ("vip", "rel-2"),
            ("nobody's", "rel-2"),
        ] {
            if layer == "普通层" && name == "agent_complaint_count" {
                continue;
            }
            for minute in 0..=MINUTES {
                // A steady rate with a small oscillation, so that the windows differ.
                let value = gain * minute as f64 + gain * 0.3 * (minute as f64 / 7.0).sin();
                let value = if layer == "vip" && name == "agent_task_completed_count" {
                    "NaN".into()
                } else {
                    value.max(0.0).to_string()
                };
                writeln!(
                    text,
                    "{name}{{layer=\"{layer}\",version=\"{version}\",instance=\"a\"}} {value} {}",
                    START + minute * 60
                )
                .unwrap();
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn plan(folder: &Path) -> std::path::PathBuf {
    let layer = |id: &str, name: &str, rest: &str| {
        format!(
            "[[layer]]\nid = \"{id}\"\nname = \"{name}\"\n{rest}initial_ratio = 0.1\nqos_threshold = 0.8\ndwell_hours = 1\nmin_users = 0\n"
        )
    };
    let operation = |layer: &str| {
        format!("[[operation]]\nat = \"2026-05-25T00:00:00Z\"\nlayer = \"{layer}\"\nratio = 0.1\n")
    };
    let toml = format!(
        "why = \"counters\"\nseed = 1\nas_of = \"2026-05-25T10:00:00Z\"\n[plan]\nid = \"counted\"\nstart = \"2026-05-25T00:00:00Z\"\nbaseline = \"rel-1\"\n\
         candidate = \"rel-2\"\n[input.users]\npath = \"users.csv\"\n[layering]\nmode = \"threshold\"\n{}{}{}{}{}{}[qos]\npreset = \"high_risk\"\n[policy]\ndecision = \"point\"\n",
        layer("early", "尝鲜层", "min_score = 0.8\n"),
        layer("regular", "普通层", "min_score = 0.5\n"),
        layer("vip", "VIP", ""),
        operation("early"),
        operation("regular"),
        operation("vip"),
    );
    let path = folder.join("plan.toml");
    fs::write(&path, toml).unwrap();
    path
}

#[test]
fn prometheus_counters_are_evidence_and_what_they_do_not_tell_is_absent() {
    let server = Server::with(&samples());
    let folder = tempfile::tempdir().unwrap();
    let (plan, analysis, out) = (
        plan(folder.path()),
        folder.path().join("analysis.json"),
        folder.path().join("ramp"),
    );
    let url = format!("http://user:s3cret@127.0.0.1:{}/", server.port);
    let printed = ok(&[
        "analyze",
        "--prometheus",
        &url,
        "--plan",
        text(&plan),
        "--out",
        text(&analysis),
    ]);
    assert!(!printed.contains("s3cret"));
    let found = json(&analysis);
    assert!(!found.to_string().contains("s3cret"));
    let stage = |layer: usize| &found["layers"][layer]["stages"][0];
    let metric = |layer: usize, id: &str| {
        stage(layer)["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["metric"] == id)
            .unwrap()["candidate"]
            .clone()
    };
    // The rates are those of the written counters.
    for (id, expected) in [
        ("availability", 39.0 / 40.0),
        ("bad_rate", 1.0 / 40.0),
        ("complaint_rate", 0.2 / 40.0),
        ("latency_mean_ms", 1_000.0),
        ("tool_success_rate", 19.0 / 20.0),
        ("task_completion_rate", 27.0 / 30.0),
    ] {
        let rate = metric(0, id)["estimate"].as_f64().unwrap();
        assert!((rate - expected).abs() < 1e-9 * expected.max(1.0), "{id}: {rate}");
    }
    // QoS with the weights of the reference policy, computed here.
    let u = 1.0 - 3.0 / 40.0;
    let t = 0.4 * 39.0 / 40.0 + 0.3 * (1.0 - 1_000.0 / 5_000.0) + 0.3 * 19.0 / 20.0;
    let b = 0.6 * 27.0 / 30.0 + 0.4 * (1.0 - 10.0 * 0.2 / 40.0);
    let qos = &stage(0)["qos"]["candidate"];
    assert!(
        (qos["qos"].as_f64().unwrap() - (0.3 * u + 0.2 * t + 0.5 * b)).abs() < 1e-6,
        "{qos}"
    );
    // The counter of complaints is absent, so the rate is unknown. A NaN sample is a missing value.
    assert!(
        metric(1, "complaint_rate")["estimate"].is_null() && metric(1, "availability")["estimate"].is_f64()
    );
    assert!(metric(2, "task_completion_rate")["estimate"].is_null());
    for layer in [1, 2] {
        assert!(
            stage(layer)["qos"]["candidate"]["reason"].is_string(),
            "{}",
            stage(layer)["qos"]
        );
    }
    // 120 windows of 5 minutes without the first samples.
    assert!(stage(0)["rows"]["candidate"].as_u64().unwrap().abs_diff(40 * 600) < 300);

    ok(&[
        "schedule",
        "--plan",
        text(&plan),
        "--analysis",
        text(&analysis),
        "--out",
        text(&out),
    ]);
    let schedule = json(&out.join("schedule.json"));
    let verdicts: Vec<&str> = (0..3)
        .map(|layer| schedule["layers"][layer]["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts[0], "promote", "{}", schedule["layers"][0]["reason"]);
    assert!(
        verdicts[1..]
            .iter()
            .all(|verdict| *verdict != "promote" && *verdict != "rollback"),
        "{verdicts:?}"
    );
    // Nine windows are fewer than 20 clusters, so there are no intervals. The analysis is still
    // written.
    let none = ok(&[
        "analyze",
        "--prometheus",
        &url,
        "--plan",
        text(&plan),
        "--as-of",
        "2026-05-25T09:00:00Z",
        "--window",
        "1h",
        "--out",
        text(&analysis),
    ]);
    assert!(none.contains("written"));
}

#[test]
fn prometheus_that_cannot_be_asked_is_an_error_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, out) = (plan(folder.path()), folder.path().join("analysis.json"));
    let analyze = |url: &str, code: i32, more: &[&str]| {
        let mut args = vec![
            "analyze",
            "--prometheus",
            url,
            "--plan",
            text(&plan),
            "--out",
            text(&out),
        ];
        args.extend(more);
        let stderr = fails(&args, code);
        assert!(!stderr.contains("s3cret"), "{stderr}");
        stderr
    };
    let port = free_port();
    assert!(analyze(&format!("http://user:s3cret@127.0.0.1:{port}"), 4, &[]).contains("127.0.0.1"));
    analyze("ftp://user:s3cret@host", 2, &[]);
    analyze("user:s3cret@host", 2, &[]);
    analyze("http://user:s3cret@127.0.0.1:1", 2, &["--window", "1s"]);
    assert!(!out.exists());
    let server = Server::with("# TYPE up gauge\nup 1 1779667200\n# EOF\n");
    let stderr = analyze(&format!("http://127.0.0.1:{}/nowhere", server.port), 4, &[]);
    assert!(stderr.contains("404"), "{stderr}");
}
