//! Tests of studies that read traces in place.

use serde_json::Value;
use std::fs;
use std::path::Path;

use crate::support::{assert_same_tree, fails, json, ok, ok_json, root, sluice, text};

/// A folder for a study.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        text(&self.0.path().join(name)).to_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.0.path().join(name), content).unwrap();
        self.path(name)
    }

    fn json(&self, name: &str) -> Value {
        json(&self.0.path().join(name))
    }
}

/// A scenario over one log.
fn scenario(path: &str, keys: &str) -> String {
    format!(
        r#"as_of = "2026-12-01T00:00:00Z"
plan = {{ id = "p", start = "2026-05-27T00:00:00Z", baseline = "rel_2026_05_20_stable", candidate = "rel_2026_05_28_001", profile = "external" }}
layer = [{{ id = "all", ladder = [0.5, 1.0] }}]
layering = {{ consent = "opt_out" }}
[input]
users_from_traffic = true
[[input.traffic]]
path = "{path}"
{keys}
"#
    )
}

#[test]
fn a_study_of_each_format_needs_no_preprocessing() {
    for (format, path, n_turns) in [
        ("otlp", "datasets/traces/genai.jsonl", 4),
        ("otlp", "datasets/traces/openllmetry.jsonl", 4),
        ("auto", "datasets/traces/openinference.jsonl", 4),
        ("auto", "datasets/traces/agentops.jsonl", 4),
        ("langfuse", "tests/data/traces/langfuse", 4),
        ("litellm", "tests/data/traces/litellm", 5),
        ("litellm", "tests/data/traces/litellm_s3", 1),
        ("mlflow", "tests/data/traces/mlflow", 2),
        ("phoenix", "tests/data/traces/phoenix", 4),
        ("langsmith", "tests/data/traces/langsmith", 4),
    ] {
        let folder = Folder::new();
        let log = root().join(path);
        let file = folder.write("s.toml", &scenario(text(&log), &format!("format = \"{format}\"")));
        let printed = ok(&["run", &file, "--out", &folder.path("out")]);
        assert!(printed.contains("traces of "), "{path}: {printed}");
        let rows = &folder.json("out/analysis.json")["data"]["rows"];
        assert_eq!(rows["n_rows"], n_turns, "{path}");
        assert_eq!(
            folder.json("out/traces.json")["sources"][0]["coverage"]["n_turns"],
            n_turns
        );
        let report = fs::read_to_string(folder.path("out/report.md")).unwrap();
        assert!(report.contains("## Traces read: "), "{path}");
        assert!(
            fs::read_to_string(folder.path("out/report.html"))
                .unwrap()
                .contains("input tokens")
        );
        assert!(ok(&["check", &file]).contains("read of the traces"), "{path}");

        // The table of an import gives the same cube, to the last byte.
        ok(&["import", text(&log), "--out", &folder.path("turns.parquet")]);
        let plain = folder.write("t.toml", &scenario("turns.parquet", ""));
        let plain = fs::read_to_string(&plain)
            .unwrap()
            .replace("[input]", "[input]\non_bad_row = \"drop\"");
        let plain = folder.write("t.toml", &plain);
        ok(&["run", &plain, "--out", &folder.path("plain")]);
        let cube = |study: &str| folder.0.path().join(study).join("cube");
        assert_same_tree(&cube("out"), &cube("plain"));
    }
}

#[test]
fn scores_and_paths_of_a_scenario_become_columns() {
    let folder = Folder::new();
    let log = root().join("tests/data/traces/langfuse");
    let keys = r#"format = "langfuse"
scores = { bad = { score = "user-feedback", is = "thumbs_down", combine = "any" }, csat = "csat" }
derive = { refused = "tool_calls > 100" }
"#;
    let file = folder.write("s.toml", &scenario(text(&log), keys));
    ok(&["run", &file, "--out", &folder.path("out")]);
    let read = &folder.json("out/traces.json")["sources"][0];
    assert_eq!(read["source"], "input.traffic[1]");
    let scores = &read["coverage"]["scores"];
    assert_eq!(scores["bad"]["n_joined"], 3, "{scores}");
    assert_eq!(scores["csat"]["n_joined"], 1, "{scores}");
    let columns = folder.json("out/analysis.json").to_string();
    assert!(columns.contains("bad_rate"), "{columns}");
    // The command line replaces what the scenario says.
    let out = folder.path("cube");
    let layers = folder.path("out/layers.parquet");
    let replay = |options: &[&str]| {
        let mut args = vec![
            "replay",
            "--scenario",
            &file,
            "--layers",
            &layers,
            "--out",
            &out,
            "--json",
        ];
        args.extend(options);
        ok_json(&args)
    };
    let path = root().join("datasets/traces/genai.jsonl");
    let rows = replay(&[
        "--traffic",
        text(&path),
        "--format",
        "otlp",
        "--score",
        "bad=faithfulness<=0.5",
    ]);
    assert_eq!(rows["n_rows"], 4);
}

#[test]
fn traces_without_a_user_say_which_keys_were_looked_at() {
    let folder = Folder::new();
    let lines = fs::read_to_string(root().join("datasets/traces/genai.jsonl")).unwrap();
    folder.write(
        "log.jsonl",
        &lines
            .replace("user.id", "customer.key")
            .replace("enduser.id", "x"),
    );
    let file = folder.write("s.toml", &scenario("log.jsonl", "format = \"otlp\""));
    let stderr = fails(&["run", &file, "--out", &folder.path("out")], 3);
    for part in ["expected a user", "user.id", "customer.key", "columns.user_id"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    for keys in [
        "format = \"otlp\"\ncolumns = { user_id = 'attributes[\"customer.key\"]' }",
        "format = \"otlp\"\nconstants = { user_id = \"u\" }",
    ] {
        let file = folder.write("s.toml", &scenario("log.jsonl", keys));
        ok(&["run", &file, "--out", &folder.path("out")]);
        let rows = &folder.json("out/analysis.json")["data"]["rows"];
        assert_eq!(rows["n_rows"], 4, "{keys}");
        assert!(
            rows["bad_rows"].as_object().is_none_or(|bad| bad.is_empty()),
            "{rows}"
        );
    }
}

#[test]
fn some_turns_without_a_user_are_left_out_and_counted() {
    let folder = Folder::new();
    let lines = fs::read_to_string(root().join("datasets/traces/genai.jsonl")).unwrap();
    let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    let trace = |line: &str| {
        let document: Value = serde_json::from_str(line).unwrap();
        document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].clone()
    };
    let first = trace(&lines[0]);
    for line in lines.iter_mut().filter(|line| trace(line) == first) {
        *line = line.replace("user.id", "customer.key");
    }
    folder.write("log.jsonl", &lines.join("\n"));
    let file = folder.write("s.toml", &scenario("log.jsonl", "format = \"auto\""));
    ok(&["run", &file, "--out", &folder.path("out")]);
    assert_eq!(
        folder.json("out/traces.json")["sources"][0]["coverage"]["without"]["user_id"],
        1
    );
    let bad = &folder.json("out/analysis.json")["data"]["rows"]["bad_rows"];
    assert_eq!(bad["column `user_id`: expected a value"], 1, "{bad}");
    let checked = ok(&["check", &file]);
    assert!(checked.contains("turns without user_id"), "{checked}");
}

#[test]
fn a_log_of_traces_without_a_format_is_recognised_in_the_error() {
    let folder = Folder::new();
    let log = root().join("datasets/traces/genai.jsonl");
    let file = folder.write("s.toml", &scenario(text(&log), ""));
    let stderr = fails(&["run", &file, "--out", &folder.path("out")], 3);
    assert!(
        stderr.contains("the files are traces: say so: format"),
        "{stderr}"
    );
}

#[test]
fn a_broken_line_stops_check_and_run_or_is_counted() {
    let folder = Folder::new();
    let lines = fs::read_to_string(root().join("datasets/traces/genai.jsonl")).unwrap();
    folder.write("log.jsonl", &format!("{lines}{{\"resourceSpans\": [\n"));
    let text = scenario("log.jsonl", "format = \"otlp\"");
    let file = folder.write("s.toml", &text);
    let out = folder.path("out");
    let checked = sluice(&["check", &file]);
    assert_eq!(checked.status.code(), Some(3));
    let stderr = fails(&["run", &file, "--out", &out], 3);
    for stderr in [stderr, String::from_utf8(checked.stderr).unwrap()] {
        assert!(stderr.contains("log.jsonl: line "), "{stderr}");
    }
    let text = text.replace("[input]", "[input]\non_bad_row = \"drop\"");
    let file = folder.write("s.toml", &text);
    let checked = ok(&["check", &file]);
    assert!(checked.contains("left out, row: expected OTLP"), "{checked}");
    ok(&["run", &file, "--out", &out]);
}

#[test]
fn keys_of_traces_are_checked() {
    let folder = Folder::new();
    let check = |keys: &str, part: &str| {
        let file = folder.write("s.toml", &scenario("log.jsonl", keys));
        let stderr = fails(&["run", &file, "--out", &folder.path("out")], 2);
        assert!(stderr.contains(part), "{keys}: {stderr}");
    };
    check("scores = { bad = \"x\" }", "expected `format` beside it");
    check("turns = \"session\"", "expected `format` beside it");
    check("format = \"otel\"", "found \"otel\"");
    check("format = \"otlp\"\ndelimiter = \";\"", "no signs of text files");
    check("format = \"otlp\"\nscores = { bad = \"x>=y\" }", "expected SCORE");
    check(
        "format = \"otlp\"\nscores = { event_time = \"x\" }",
        "which the trace gives",
    );
    check(
        "format = \"otlp\"\ncolumns = { trace_id = \"x\" }",
        "which the trace gives",
    );
    check(
        "format = \"otlp\"\ncolumns = { bad = \"x\" }\nscores = { bad = \"y\" }",
        "found both",
    );
    let text = scenario("log.jsonl", "sql = \"select * from crm\"")
        + "[input.tables.crm]\npath = \"crm.jsonl\"\nformat = \"otlp\"\n";
    let file = folder.write("s.toml", &text);
    let stderr = fails(&["run", &file, "--out", &folder.path("out")], 3);
    assert!(stderr.contains("sluice import PATH"), "{stderr}");
}

#[test]
fn init_proposes_a_study_of_traces() {
    let folder = Folder::new();
    let log = Path::new("datasets/traces/genai.jsonl");
    let out = folder.path("s.toml");
    fs::copy(root().join(log), folder.0.path().join("log.jsonl")).unwrap();
    ok(&["init", "--traffic", &folder.path("log.jsonl"), "--out", &out]);
    let proposed = fs::read_to_string(&out).unwrap();
    assert!(
        proposed.contains("format = \"auto\"  # traces: OTLP"),
        "{proposed}"
    );
    for part in ["candidate = \"rel_2026_05_28_001\"", "faithfulness"] {
        assert!(proposed.contains(part), "{part}: {proposed}");
    }
    ok(&["check", &out]);
    ok(&["run", &out, "--out", &folder.path("out")]);
    // Files that are no traces are tables as before.
    let plain = sluice(&["init", "--traffic", text(&root().join("no-such-file.csv"))]);
    assert_eq!(plain.status.code(), Some(3));
}

#[test]
fn bills_and_audits_read_traces_in_place() {
    let folder = Folder::new();
    let lines = fs::read_to_string(root().join("datasets/traces/openinference.jsonl")).unwrap();
    // Neither users nor releases.
    let lines = lines
        .replace("user.id", "customer.key")
        .replace("service.version", "build");
    let log = folder.write("log.jsonl", &lines.replace("release_id", "build_id"));
    let bill = ok_json(&["finops", "--traffic", &log, "--format", "auto", "--json"]);
    let stderr = fails(&["import", &log, "--out", &folder.path("t.parquet")], 3);
    assert!(stderr.contains("sluice finops"), "{stderr}");
    assert_eq!(bill["n_rows"], 4);
    let total = &bill["total"];
    assert_eq!(total["n_users"]["reason"], "no_column", "{total}");
    let logged = total["logged_nano_usd"].as_i64().unwrap();
    assert!(logged > 0, "{total}");

    let genai = root().join("datasets/traces/genai.jsonl");
    let prices = folder.write(
        "prices.toml",
        "[[price]]\nmodel = \"gpt-4o-mini-2025-11\"\ninput = 1.0\noutput = 2.0\ncached_input = 1.0\ncache_write = 1.0\n",
    );
    let args = [
        "finops",
        "--traffic",
        text(&genai),
        "--format",
        "otlp",
        "--prices",
        &prices,
        "--json",
    ];
    let bill = ok_json(&args);
    ok(&[
        "import",
        text(&genai),
        "--prices",
        &prices,
        "--out",
        &folder.path("t.parquet"),
    ]);
    let coverage = folder.json("t.coverage.json");
    let charged = |value: &Value| value["cost_nano_usd"].as_i64().unwrap();
    let total = &bill["total"];
    assert_eq!(
        charged(total) + charged(&total["eval"]) + charged(&total["shadow"]),
        coverage["cost"]["priced_nano_usd"].as_i64().unwrap()
    );

    let records = root().join("scenarios/records");
    let audit = sluice(&[
        "audit",
        "--traffic",
        text(&genai),
        "--format",
        "otlp",
        "--records",
        text(&records),
        "--json",
    ]);
    let found: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(found["n_rows"], 4);
    let stderr = fails(
        &[
            "finops",
            "--traffic",
            text(&genai),
            "--turns",
            "session",
            "--json",
        ],
        2,
    );
    assert!(stderr.contains("expected --format"), "{stderr}");
}

#[test]
fn large_documents_and_documents_beside_lines_are_read() {
    let folder = Folder::new();
    fs::create_dir(folder.0.path().join("log")).unwrap();
    let lines = fs::read_to_string(root().join("datasets/traces/genai.jsonl")).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let mut spans = Vec::new();
    for line in &lines[1..] {
        let document: Value = serde_json::from_str(line).unwrap();
        spans.extend(document["resourceSpans"].as_array().unwrap().clone());
    }
    // A document whose first value is longer than what is looked at to recognise a file.
    let long = "x".repeat(5 << 20);
    let document = serde_json::json!({"resourceSpans": spans, "padding": long});
    let indented = serde_json::to_string_pretty(&document).unwrap();
    let first_long = format!(
        "{{\"padding\":\"{long}\",\"resourceSpans\":[]}}\n{}\n",
        lines.join("\n")
    );
    let first_long = first_long.replacen("{\"padding\":", "{\"resourceLogs\":[],\"padding\":", 1);
    for (name, text) in [
        ("log/a.json", serde_json::to_string(&document).unwrap()),
        ("log/a.json", indented),
        ("log/long.jsonl", first_long),
    ] {
        folder.write(name, &text);
        folder.write("log/b.jsonl", lines[0]);
        // It says nothing about traces.
        folder.write("log/manifest.json", "{\"files\": 2}");
        let out = folder.path("t.parquet");
        let coverage = ok_json(&["import", &folder.path("log"), "--out", &out, "--json"]);
        assert_eq!(coverage["n_turns"], 4, "{name}: {coverage}");
        assert_eq!(coverage["files"]["no traces"], 1, "{name}");
        ok(&["import", &folder.path(name), "--out", &out]);
    }
}
