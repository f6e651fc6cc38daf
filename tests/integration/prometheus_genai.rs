//! Tests of `sluice analyze --prometheus --profile otel-genai`: metrics of the OpenTelemetry
//! convention for generative AI, written into the storage of a real server. Every expected number
//! is computed by hand from the samples.

use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

use crate::prometheus::Server;
use crate::support::{fails, json, sluice, text};

const START: i64 = 1_779_667_200; // 2026-05-25T00:00:00Z
const MINUTES: i64 = 600;

/// The samples of a server, one a minute and series.
#[derive(Default)]
struct Samples {
    /// Names of the series, each with its lines.
    series: Vec<(String, String)>,
}

impl Samples {
    /// Adds a series. `value` is its value at a minute, `None` for no sample.
    fn add(&mut self, name: &str, labels: &str, value: impl Fn(i64) -> Option<f64>) {
        let mut lines = String::new();
        for minute in 0..=MINUTES {
            if let Some(value) = value(minute) {
                let at = START + minute * 60;
                writeln!(lines, "{name}{{{labels},instance=\"a\"}} {value} {at}").unwrap();
            }
        }
        self.series.push((name.to_owned(), lines));
    }

    /// Adds the count and the sum of a histogram: `gain` operations a minute of `seconds` each.
    fn steady(&mut self, name: &str, labels: &str, gain: f64, seconds: f64) {
        self.add(&format!("{name}_count"), labels, |minute| {
            Some(gain * minute as f64)
        });
        self.add(&format!("{name}_sum"), labels, |minute| {
            Some(gain * seconds * minute as f64)
        });
    }

    /// The OpenMetrics text, in which series of one name follow each other.
    fn text(mut self) -> String {
        self.series.sort();
        let mut text = String::new();
        let mut last = "";
        for (name, lines) in &self.series {
            if name != last {
                writeln!(text, "# TYPE {name} unknown").unwrap();
                last = name;
            }
            text.push_str(lines);
        }
        text.push_str("# EOF\n");
        text
    }
}

const AGENT: &str = "gen_ai_invoke_agent_duration_seconds";
const INFERENCE: &str = "gen_ai_client_inference_duration_seconds";
const OPERATION: &str = "gen_ai_client_operation_duration_seconds";
const TOOL: &str = "gen_ai_execute_tool_duration_seconds";

/// A server, and a folder with a plan of the layers `early`, `regular` and `vip`.
struct Setting {
    server: Server,
    folder: TempDir,
}

impl Setting {
    fn new(samples: Samples) -> Self {
        let layers = [
            ("early", "尝鲜层", 0.3),
            ("regular", "普通层", 0.3),
            ("vip", "VIP", 0.4),
        ];
        let layers = layers.map(|(id, name, quota)| {
            format!(
                "[[layer]]\nid = \"{id}\"\nname = \"{name}\"\nquota = {quota}\n\
                 [[operation]]\nat = \"2026-05-25T00:00:00Z\"\nlayer = \"{id}\"\nratio = 0.5\n"
            )
        });
        let plan = format!(
            "as_of = \"2026-05-25T10:00:00Z\"\n[plan]\nid = \"counted\"\n\
             start = \"2026-05-25T00:00:00Z\"\nbaseline = \"rel-1\"\ncandidate = \"rel-2\"\n\
             [input.users]\npath = \"users.csv\"\n[layering]\nmode = \"quota\"\n{}",
            layers.concat()
        );
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plan.toml"), plan).unwrap();
        Self {
            server: Server::with(&samples.text()),
            folder,
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("analysis.json")
    }

    /// Calls `run` with the arguments of an analysis.
    fn with_args<T>(&self, more: &[&str], run: impl Fn(&[&str]) -> T) -> T {
        let url = format!("http://127.0.0.1:{}", self.server.port);
        let (plan, out) = (self.folder.path().join("plan.toml"), self.out());
        let fixed = [
            "analyze",
            "--prometheus",
            &url,
            "--profile",
            "otel-genai",
            "--scenario",
            text(&plan),
            "--out",
            text(&out),
        ];
        run(&[&fixed[..], more].concat())
    }

    /// Analyzes the counters. Returns the document, and what the program says on stderr.
    fn analyze(&self, more: &[&str]) -> (Value, String) {
        let output = self.with_args(more, sluice);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{more:?}: {stderr}");
        (json(&self.out()), stderr)
    }

    fn fails(&self, code: i32, more: &[&str]) -> String {
        self.with_args(more, |args| fails(args, code))
    }
}

/// Asserts the estimate of a metric in the first stage of a layer. `None` for one that is not known.
fn check(analysis: &Value, layer: usize, arm: &str, metric: &str, expected: Option<f64>) {
    let metrics = analysis["layers"][layer]["stages"][0]["metrics"]
        .as_array()
        .unwrap();
    let of_metric = metrics.iter().find(|found| found["metric"] == metric).unwrap();
    let found = of_metric[arm]["estimate"].as_f64();
    let is_same = match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs(),
        (found, expected) => found.is_none() && expected.is_none(),
    };
    assert!(
        is_same,
        "{layer} {arm} {metric}: {found:?}, expected {expected:?}"
    );
}

#[test]
fn rates_of_agents_and_tools_are_those_of_the_samples() {
    let mut samples = Samples::default();
    let early = |release: &str, more: &str| format!("layer=\"early\",service_version=\"{release}\"{more}");
    // 38 successes of 1.5 s and 2 timeouts of 4 s a minute.
    samples.steady(AGENT, &early("rel-1", ""), 38.0, 1.5);
    samples.steady(AGENT, &early("rel-1", ",error_type=\"timeout\""), 2.0, 4.0);
    // Two agents, of which one fails for the first time in minute 303: two failures of 30 s in all.
    samples.steady(AGENT, &early("rel-2", ",gen_ai_agent_name=\"a\""), 30.0, 1.0);
    samples.steady(AGENT, &early("rel-2", ",gen_ai_agent_name=\"b\""), 10.0, 1.0);
    let failed = early("rel-2", ",gen_ai_agent_name=\"b\",error_type=\"timeout\"");
    let from_303 = |value: f64| move |minute| (minute >= 303).then_some(value);
    samples.add(&format!("{AGENT}_count"), &failed, from_303(2.0));
    samples.add(&format!("{AGENT}_sum"), &failed, from_303(60.0));
    // A workflow contains agents, and a request to a model is no turn beside them.
    let workflow = early("rel-2", ",gen_ai_operation_name=\"invoke_workflow\"");
    samples.steady(AGENT, &workflow, 40.0, 100.0);
    samples.steady(INFERENCE, &early("rel-2", ",error_type=\"500\""), 90.0, 0.5);
    let tool = early("rel-2", ",gen_ai_tool_name=\"search\"");
    samples.steady(TOOL, &tool, 19.0, 0.1);
    samples.steady(TOOL, &format!("{tool},error_type=\"404\""), 1.0, 0.1);
    // A layer by its name, in which every turn fails, without sums of durations. The process starts
    // anew each 100 minutes.
    let regular = "layer=\"普通层\",service_version=\"rel-2\",error_type=\"500\"";
    samples.add(&format!("{AGENT}_count"), regular, |minute| {
        Some(10.0 * (minute % 100) as f64)
    });
    // A layer with values that are not known, and a layer that the plan does not have.
    let vip = "layer=\"vip\",service_version=\"rel-2\"";
    samples.steady(AGENT, vip, 10.0, 1.0);
    let unknown = format!("{vip},error_type=\"500\"");
    samples.add(&format!("{AGENT}_count"), &unknown, |_| Some(f64::NAN));
    samples.steady(AGENT, "layer=\"other\",service_version=\"rel-2\"", 1.0, 1.0);
    let setting = Setting::new(samples);

    let (found, stderr) = setting.analyze(&[]);
    let note = format!("releases are in the label service_version, turns in {AGENT}, tool calls in {TOOL}");
    assert!(stderr.contains(&note), "{stderr}");
    assert!(
        stderr.contains("left out: layer \"other\", which the plan does not have"),
        "{stderr}"
    );
    let check = |layer, arm, metric, expected| check(&found, layer, arm, metric, expected);
    check(0, "baseline", "availability", Some(38.0 / 40.0));
    let mean = (38.0 * 1_500.0 + 2.0 * 4_000.0) / 40.0;
    check(0, "baseline", "latency_mean_ms", Some(mean));
    // The baseline has no calls of tools.
    check(0, "baseline", "tool_success_rate", None);
    let n = 40.0 * MINUTES as f64;
    check(0, "candidate", "availability", Some(n / (n + 2.0)));
    let mean = (n * 1_000.0 + 60_000.0) / (n + 2.0);
    check(0, "candidate", "latency_mean_ms", Some(mean));
    check(0, "candidate", "tool_success_rate", Some(19.0 / 20.0));
    check(1, "candidate", "availability", Some(0.0));
    check(1, "candidate", "latency_mean_ms", None);
    check(1, "baseline", "availability", None);
    check(2, "candidate", "availability", None);
    for metric in ["bad_rate", "task_completion_rate", "complaint_rate"] {
        check(0, "candidate", metric, None);
    }
    let stage = &found["layers"][0]["stages"][0];
    assert_eq!(stage["rows"]["candidate"], 40 * MINUTES + 2);
    assert_eq!(stage["rows"]["baseline"], 40 * MINUTES);
    let qos = &stage["qos"]["candidate"];
    assert!(qos["reason"].is_string(), "{qos}");
}

#[test]
fn without_agents_requests_to_models_are_turns_and_both_releases_choose_the_label() {
    let mut samples = Samples::default();
    let chat = |release: &str, name: &str| {
        format!("layer=\"early\",gen_ai_agent_version=\"{release}\",gen_ai_operation_name=\"{name}\"")
    };
    samples.steady(OPERATION, &chat("rel-1", "chat"), 8.0, 2.0);
    let failed = format!("{},error_type=\"429\"", chat("rel-1", "chat"));
    samples.steady(OPERATION, &failed, 2.0, 2.0);
    // Only the candidate has the label that is tried first, so another one is taken.
    let labeled = format!("{},release_id=\"rel-2\"", chat("rel-2", "chat"));
    samples.steady(OPERATION, &labeled, 10.0, 3.0);
    // Operations that are no requests for texts.
    samples.steady(OPERATION, &chat("rel-1", "embeddings"), 50.0, 0.1);
    samples.steady(OPERATION, &chat("rel-2", "execute_tool"), 50.0, 0.1);
    let setting = Setting::new(samples);

    let (found, stderr) = setting.analyze(&[]);
    let note = format!(
        "releases are in the label gen_ai_agent_version, turns in {OPERATION}, tool calls in no metric"
    );
    assert!(stderr.contains(&note), "{stderr}");
    check(&found, 0, "baseline", "availability", Some(0.8));
    check(&found, 0, "candidate", "availability", Some(1.0));
    check(&found, 0, "baseline", "latency_mean_ms", Some(2_000.0));
    check(&found, 0, "candidate", "latency_mean_ms", Some(3_000.0));
    check(&found, 0, "candidate", "tool_success_rate", None);
    // A label that is named is taken, also if one release alone has it.
    let (found, stderr) = setting.analyze(&["--release-label", "release_id"]);
    assert!(stderr.contains("the label release_id"), "{stderr}");
    check(&found, 0, "baseline", "availability", None);
    check(&found, 0, "candidate", "availability", Some(1.0));
    let stderr = setting.fails(3, &["--release-label", "version"]);
    assert!(
        stderr.contains("whose label version is \"rel-1\" or \"rel-2\""),
        "{stderr}"
    );
    assert!(stderr.contains("--release-label LABEL"), "{stderr}");
    let stderr = setting.fails(2, &["--release-label", "a-b"]);
    assert!(
        stderr.contains("expected a label such as service_version"),
        "{stderr}"
    );
}
