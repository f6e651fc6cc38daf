//! Tests of `sluice import`: traces become turns, with the counts that a plain reading of the files gives.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{arg, fails, json, ok, ok_json, root, text};

fn sample(dialect: &str) -> PathBuf {
    root().join(format!("datasets/traces/{dialect}.jsonl"))
}

/// The spans of a file, read without Sluice: attributes by key.
fn spans(path: &Path) -> Vec<(Value, Vec<(String, Value)>)> {
    let mut spans = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        for scope in document["resourceSpans"][0]["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                let pair = |attribute: &Value| {
                    let value = attribute["value"]
                        .as_object()
                        .unwrap()
                        .values()
                        .next()
                        .unwrap()
                        .clone();
                    (attribute["key"].as_str().unwrap().to_owned(), value)
                };
                let attributes = span["attributes"].as_array().unwrap().iter().map(pair).collect();
                spans.push((span.clone(), attributes));
            }
        }
    }
    spans
}

/// The sum of an attribute, under the first of its names that a span has.
fn sum(spans: &[(Value, Vec<(String, Value)>)], names: &[&str]) -> f64 {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap(),
    };
    let of_span = |attributes: &[(String, Value)]| {
        let found = names
            .iter()
            .find_map(|name| attributes.iter().find(|(key, _)| key == name));
        found.map_or(0.0, |(_, value)| number(value))
    };
    spans.iter().map(|(_, attributes)| of_span(attributes)).sum()
}

#[test]
fn every_dialect_gives_the_counts_of_a_plain_reading() {
    for dialect in ["genai", "openllmetry", "openinference", "agentops"] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("turns.parquet");
        let (file, out_arg) = (sample(dialect), text(&out));
        ok(&["import", text(&file), "--format", "otlp", "--out", out_arg]);
        let coverage = json(&dir.path().join("turns.coverage.json"));
        let spans = spans(&file);
        let roots = spans
            .iter()
            .filter(|(span, _)| span.get("parentSpanId").is_none());
        let input = sum(
            &spans,
            &[
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.prompt_tokens",
                "llm.token_count.prompt",
            ],
        );
        let output = sum(
            &spans,
            &[
                "gen_ai.usage.output_tokens",
                "gen_ai.usage.completion_tokens",
                "llm.token_count.completion",
            ],
        );
        let cost = sum(&spans, &["llm.cost.total", "gen_ai.usage.total_cost"]);
        assert_eq!(coverage["n_turns"], roots.count(), "{dialect}");
        assert_eq!(coverage["tokens"]["input"], input as i64, "{dialect}");
        assert_eq!(coverage["tokens"]["output"], output as i64, "{dialect}");
        assert_eq!(
            coverage["cost"]["logged_nano_usd"],
            (cost * 1e9).round() as i64,
            "{dialect}"
        );
        assert_eq!(coverage["tools"]["n_calls"], 4, "{dialect}");
        assert_eq!(coverage["n_failed"], 1, "{dialect}");
        assert_eq!(coverage["without"].get("user_id"), None, "{dialect}");
        assert_eq!(coverage["without"].get("release_id"), None, "{dialect}");
    }
}

#[test]
fn neither_the_order_of_lines_and_files_nor_threads_change_a_byte() {
    let dir = tempfile::tempdir().unwrap();
    let lines = fs::read_to_string(sample("genai")).unwrap();
    let mut lines: Vec<&str> = lines.lines().collect();
    let folder = dir.path().join("log");
    fs::create_dir(&folder).unwrap();
    let import = |threads: &str| {
        let out = dir.path().join("turns.parquet");
        ok(&["import", text(&folder), "--out", text(&out), "--threads", threads]);
        fs::read(out).unwrap()
    };
    fs::write(folder.join("a.jsonl"), lines.join("\n")).unwrap();
    let first = import("1");
    lines.reverse();
    fs::write(folder.join("a.jsonl"), lines[..5].join("\n")).unwrap();
    // A line that was sent twice, and a file that is packed.
    let rest = [&lines[4..], &lines[..1]].concat().join("\n");
    fs::write(
        folder.join("b.jsonl.zst"),
        zstd::encode_all(rest.as_bytes(), 1).unwrap(),
    )
    .unwrap();
    assert!(import("3") == first);
}

#[test]
fn scores_and_paths_become_columns() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    ok(&[
        "import",
        arg(sample("openinference")),
        "--out",
        text(&out),
        "--score",
        "bad=user_feedback=thumbs_down",
        "--column",
        "plan=resource.service.name",
        "--column",
        "feature=metadata.release_id",
    ]);
    let coverage = json(&dir.path().join("turns.coverage.json"));
    assert_eq!(coverage["scores"]["bad"]["n_joined"], 4);
    let query = "select sum(cast(bad as int)) n, min(plan) plan, min(feature) feature from turns";
    let found = ok(&["query", query, text(&out), "--format", "csv"]);
    assert_eq!(found, "n,plan,feature\n1,cs-agent,rel_2026_05_20_stable\n");
}

#[test]
fn wrong_files_are_named_with_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    let log = dir.path().join("log.jsonl");
    let good = fs::read_to_string(sample("genai")).unwrap();
    let check = |content: &str, more: &[&str], expected: &[&str]| {
        fs::write(&log, content).unwrap();
        let args = [&["import", text(&log), "--out", text(&out)], more].concat();
        let stderr = fails(&args, 3);
        for part in expected {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
        assert!(!out.exists(), "{content:.40}");
    };
    check(
        &format!("{good}{{\"resourceSpans\":"),
        &[],
        &["log.jsonl: line 13", "expected OTLP as JSON"],
    );
    check("{\"a\":1}\n", &[], &["expected rows of OTLP", "found the keys a"]);
    check("plain text\n", &[], &["expected one JSON object a line"]);
    let no_time = good.replace(
        "\"startTimeUnixNano\":\"1779926400005000000\"",
        "\"startTimeUnixNano\":{}",
    );
    check(
        &no_time,
        &[],
        &[
            "line 1: startTimeUnixNano",
            "expected nanoseconds since 1970, found an object",
        ],
    );
    check(
        &good.replace("user.id", "customer"),
        &[],
        &[
            "expected a user in at least one of 4 turns, found none",
            "enduser.id",
            "customer",
            "--column user_id=...",
        ],
    );
    let deep = format!("{{\"resourceSpans\":{}", "[".repeat(100_000));
    check(&deep, &[], &["log.jsonl"]);
}

#[test]
fn bad_rows_can_be_counted() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    let log = dir.path().join("log.jsonl");
    let good = fs::read_to_string(sample("genai")).unwrap();
    fs::write(&log, format!("{good}{{\"resourceSpans\":\n")).unwrap();
    ok(&["import", text(&log), "--out", text(&out), "--on-bad-row", "drop"]);
    let coverage = json(&dir.path().join("turns.coverage.json"));
    assert_eq!(coverage["bad_rows"]["row: expected OTLP as JSON"], 1);
    assert_eq!(coverage["n_turns"], 4);
}

/// Turns, input tokens, cached ones, output tokens, nano-USD, calls of tools, failed turns.
fn counts(coverage: &Value) -> [i64; 7] {
    let at = |path: &str| coverage.pointer(path).unwrap().as_i64().unwrap();
    [
        at("/n_turns"),
        at("/tokens/input"),
        at("/tokens/cached_input"),
        at("/tokens/output"),
        at("/cost/logged_nano_usd"),
        at("/tools/n_calls"),
        at("/n_failed"),
    ]
}

#[test]
fn exports_of_other_systems_are_recognised_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    // The counts are sums of the files, by a script that reads them as JSON.
    let langfuse = [4, 3822, 768, 546, 900_900, 4, 1];
    let litellm = [5, 3748, 896, 524, 967_450, 1, 1];
    let check = |paths: &[&str], kind: &str, expected: [i64; 7]| {
        let paths: Vec<&str> = paths
            .iter()
            .map(|path| arg(root().join("tests/data/traces").join(path)))
            .collect();
        let args = [&["import", "--out", text(&out)], paths.as_slice()].concat();
        ok(&args);
        let coverage = json(&dir.path().join("turns.coverage.json"));
        assert!(coverage["files"].get(kind).is_some(), "{paths:?}: {coverage}");
        assert_eq!(counts(&coverage), expected, "{paths:?}");
        (fs::read(&out).unwrap(), coverage)
    };
    let legacy = ["langfuse/cl_proj_01/traces", "langfuse/cl_proj_01/observations"];
    let (_, coverage) = check(&legacy, "Langfuse traces", langfuse);
    assert_eq!(coverage["n_repeated_spans"], 1);
    let enriched = "langfuse/cl_proj_01/observations_v2/2026-05-28T01-00-00";
    check(
        &[&format!("{enriched}.jsonl")],
        "Langfuse observations_v2",
        langfuse,
    );
    // A subset of the columns.
    check(
        &[&format!("{enriched}.parquet")],
        "Langfuse observations_v2",
        langfuse,
    );
    let (lines, coverage) = check(&["litellm/spend_logs.jsonl"], "LiteLLM spend logs", litellm);
    assert_eq!(coverage["n_shadow"], 1);
    let (columns, _) = check(&["litellm/LiteLLM_SpendLogs.csv"], "LiteLLM spend logs", litellm);
    assert!(lines == columns, "the same turns from JSON lines and CSV");
    check(
        &["litellm_s3"],
        "LiteLLM payloads",
        [1, 937, 0, 131, 219_000, 0, 0],
    );
    check(&["mlflow"], "MLflow traces", [2, 1800, 0, 240, 414_000, 2, 0]);
    check(&["langsmith"], "LangSmith runs", [4, 3822, 0, 546, 800_000, 0, 1]);
    check(&["phoenix"], "Phoenix spans", [4, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn late_scores_of_sessions_and_annotations_find_their_turns() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    let data = root().join("tests/data/traces");
    let check = |folder: &str, rule: &str, expected: [i64; 3], query: &str, rows: &str| {
        let folder = data.join(folder);
        ok(&["import", text(&folder), "--out", text(&out), "--score", rule]);
        let coverage = json(&dir.path().join("turns.coverage.json"));
        let column = rule.split('=').next().unwrap();
        let score = &coverage["scores"][column];
        let found = ["n_joined", "n_ambiguous", "n_unjoined"].map(|key| score[key].as_i64().unwrap());
        assert_eq!(found, expected, "{rule}: {coverage}");
        assert_eq!(
            ok(&["query", query, text(&out), "--format", "csv"]),
            rows,
            "{rule}"
        );
    };
    let of_session = "select session_id, csat from turns where csat is not null";
    check(
        "langfuse/cl_proj_01",
        "csat=csat",
        [1, 0, 0],
        of_session,
        "session_id,csat\nconv-0001,4.0\n",
    );
    let bad = "select count(*) n, sum(bad) bad from turns where bad is not null";
    check(
        "langfuse/cl_proj_01",
        "bad=user-feedback=false",
        [3, 0, 0],
        bad,
        "n,bad\n3,1.0\n",
    );
    check(
        "mlflow",
        "bad=user_thumbs=false",
        [2, 0, 0],
        bad,
        "n,bad\n2,1.0\n",
    );
    check(
        "phoenix",
        "bad=user_feedback=thumbs_down",
        [3, 0, 0],
        bad,
        "n,bad\n3,1.0\n",
    );
}

#[test]
fn a_bad_line_of_a_later_part_has_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.jsonl");
    let line = format!(
        "{{\"resourceSpans\":[],\"padding\":\"{}\"}}\n",
        "x".repeat(1_000_000)
    );
    fs::write(&log, format!("{}broken\n", line.repeat(20))).unwrap();
    let stderr = fails(
        &["import", text(&log), "--out", arg(dir.path().join("t.parquet"))],
        3,
    );
    assert!(stderr.contains("log.jsonl: line 21"), "{stderr}");
}

#[test]
fn options_that_contradict_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = arg(dir.path().join("t.parquet"));
    let log = arg(sample("genai"));
    let check = |options: &[&str], expected: &str| {
        let stderr = fails(&[&["import", log, "--out", out], options].concat(), 2);
        assert!(stderr.contains(expected), "{options:?}: {stderr}");
    };
    check(&["--column", "feature=metadata.gender"], "gender");
    check(
        &["--column", "a=b", "--column", "a=c"],
        "one option for the column `a`",
    );
    check(
        &["--column", "csat=b", "--score", "csat=csat"],
        "a path or a score for `csat`",
    );
    check(&["--column", "event_time=b"], "event_time");
    check(&["--score", "csat"], "expected NAME=SCORE");
    check(&["--format", "xml"], "expected auto, otlp, langfuse");
}

/// The turns of an import as the plain reading writes them.
const TURNS: &str = "select trace_id, user_id, release_id, not success failed, is_eval, is_shadow, tokens_in, \
    cached_tokens_in, tokens_out, cast(round(cost_usd * 1000000000) as bigint) nano_usd, tool_calls, \
    tool_calls - tool_successes tool_errors, cast(round(latency_ms * 1000000) as bigint) latency_ns from turns \
    order by event_time, trace_id";

#[test]
fn every_turn_has_the_numbers_of_a_plain_reading() {
    // `tests/data/traces/counts.py` wrote them from the files of the systems, without Sluice.
    let data = root().join("tests/data/traces");
    let expected = json(&data.join("expected.json"));
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    for (paths, expected) in expected.as_object().unwrap() {
        let files: Vec<&str> = paths.split('+').map(|path| arg(data.join(path))).collect();
        let args = [&["import", "--json", "--out", text(&out)], files.as_slice()].concat();
        let coverage: Value = serde_json::from_str(&ok(&args)).unwrap();
        let field = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let line = |turn: &Value| {
            let fields: Vec<String> = turn.as_array().unwrap().iter().map(field).collect();
            fields.join(",")
        };
        let turns: Vec<String> = expected["turns"].as_array().unwrap().iter().map(line).collect();
        let found = ok(&["query", TURNS, text(&out), "--format", "csv"]);
        let found: Vec<&str> = found.lines().skip(1).collect();
        assert_eq!(found, turns, "{paths}");
        let totals = &expected["totals"];
        for (path, name) in [
            ("/n_turns", "turns"),
            ("/n_failed", "failed"),
            ("/n_eval", "eval"),
            ("/n_shadow", "shadow"),
            ("/tokens/input", "tokens_in"),
            ("/tokens/cached_input", "cached_in"),
            ("/tokens/output", "tokens_out"),
            ("/tools/n_calls", "tool_calls"),
            ("/tools/n_failed", "tool_errors"),
        ] {
            assert_eq!(coverage.pointer(path), totals.get(name), "{paths}: {path}");
        }
    }
}

#[test]
fn tables_of_parquet_have_the_turns_of_lines() {
    let data = root().join("tests/data/traces");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    let turns = |path: &str| {
        let args = [
            "import",
            arg(data.join(path)),
            "--out",
            text(&out),
            "--score",
            "bad=user_feedback=thumbs_down",
        ];
        ok(&args);
        let bad = ok(&[
            "query",
            "select coalesce(sum(cast(bad as int)), 0) bad from turns",
            text(&out),
            "--format",
            "csv",
        ]);
        (ok(&["query", TURNS, text(&out), "--format", "csv"]), bad)
    };
    for (lines, tables, bad) in [
        (
            "mlflow_real/lines",
            vec!["mlflow_real/csv", "mlflow_real/parquet"],
            "bad\n0\n",
        ),
        ("phoenix_real/lines", vec!["phoenix_real/csv"], "bad\n3\n"),
    ] {
        let expected = turns(lines);
        assert_eq!(expected.1, bad, "{lines}");
        for table in tables {
            assert!(turns(table) == expected, "{table}");
        }
    }
    // Its annotations are in another file.
    assert_eq!(turns("phoenix_real/parquet").0, turns("phoenix_real/lines").0);
}

#[test]
fn feedback_of_langsmith_and_pages_of_langfuse_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    let runs = root().join("tests/data/traces/langsmith_real/sums");
    ok(&["import", text(&runs), "--out", text(&out), "--score", "csat=csat"]);
    let coverage = json(&dir.path().join("turns.coverage.json"));
    let score = &coverage["scores"]["csat"];
    assert_eq!(
        (&score["n_joined"], &score["n_turns"]),
        (&2.into(), &2.into()),
        "{coverage}"
    );
    // The rows of an export, as the API has them.
    let rows = |name: &str| -> Vec<Value> {
        let path = root().join("tests/data/traces/langfuse/cl_proj_01").join(name);
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let in_api = |row: &Value| -> Value {
        let camel = |name: &str| {
            let mut parts = name.split('_');
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |name, part| name + &part[..1].to_uppercase() + &part[1..])
        };
        let entries = row.as_object().unwrap().iter();
        Value::Object(entries.map(|(key, value)| (camel(key), value.clone())).collect())
    };
    let log = dir.path().join("log");
    fs::create_dir(&log).unwrap();
    let observations = rows("observations_v2/2026-05-28T01-00-00.jsonl");
    for (number, (rows, meta)) in [(&observations[..5], 1), (&observations[5..], 2)]
        .into_iter()
        .enumerate()
    {
        let page: Vec<Value> = rows.iter().map(in_api).collect();
        let page = serde_json::json!({"data": page, "meta": {"page": meta, "totalPages": 2}});
        // The first is written over several lines.
        let page = if number == 0 {
            format!("{page:#}")
        } else {
            page.to_string()
        };
        fs::write(log.join(format!("page-{number}.json")), page).unwrap();
    }
    let scores: Vec<Value> = rows("scores/2026-05-28T01-00-00.jsonl")
        .iter()
        .map(in_api)
        .collect();
    let page = serde_json::json!({"data": scores, "meta": {"page": 1}});
    fs::write(log.join("scores.json"), page.to_string()).unwrap();
    let csat = ["--score", "csat=csat"];
    ok(&[
        ["import", text(&log), "--out", text(&out)],
        ["--format", "langfuse", csat[0], csat[1]],
    ]
    .concat());
    let found = ok(&["query", TURNS, text(&out), "--format", "csv"]);
    let coverage = json(&dir.path().join("turns.coverage.json"));
    assert_eq!(coverage["n_rows"], observations.len() + scores.len());
    assert_eq!(coverage["scores"]["csat"]["n_joined"], 1);
    let export =
        root().join("tests/data/traces/langfuse/cl_proj_01/observations_v2/2026-05-28T01-00-00.jsonl");
    ok(&["import", text(&export), "--out", text(&out)]);
    assert_eq!(found, ok(&["query", TURNS, text(&out), "--format", "csv"]));
}

#[test]
fn a_bad_row_of_a_list_takes_no_other_row_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, out) = (dir.path().join("log.json"), dir.path().join("turns.parquet"));
    let rows = fs::read_to_string(root().join("tests/data/traces/litellm/spend_logs.jsonl")).unwrap();
    let mut rows: Vec<Value> = rows
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    rows[1]["startTime"] = "soon".into();
    rows[2]["spend"] = "free".into();
    let page = serde_json::json!({"data": rows, "total_pages": 1});
    for document in [Value::Array(rows), page] {
        fs::write(&log, document.to_string()).unwrap();
        let args = ["import", text(&log), "--out", text(&out)];
        let stderr = fails(&args, 3);
        assert!(
            stderr.contains("startTime") && stderr.contains("row 2 of the list"),
            "{stderr}"
        );
        ok(&[args.as_slice(), &["--on-bad-row", "drop"]].concat());
        let coverage = json(&dir.path().join("turns.coverage.json"));
        assert_eq!(coverage["n_turns"], 3, "{coverage}");
        let bad: u64 = coverage["bad_rows"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(bad, 2, "{coverage}");
    }
}

#[test]
fn files_that_are_no_traces_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("turns.parquet");
    let check = |name: &str, content: &[u8], expected: &[&str]| {
        let log = dir.path().join(name);
        fs::write(&log, content).unwrap();
        let stderr = fails(&["import", text(&log), "--out", text(&out)], 3);
        for part in expected {
            assert!(stderr.contains(part), "{name}: {part}: {stderr}");
        }
    };
    let packed = zstd::encode_all(&b"{\"resourceSpans\":[]}"[..], 1).unwrap();
    let framed = [&(packed.len() as u32).to_be_bytes()[..], &packed].concat();
    check("otel.jsonl", &framed, &["`format: json`", "`compression: zstd`"]);
    check("packed.jsonl", &packed, &[".jsonl.zst"]);
    let manifest =
        fs::read(root().join("tests/data/traces/langfuse/cl_proj_01/manifests/2026-05-28T01-00-00.json"));
    check(
        "manifest.json",
        &manifest.unwrap(),
        &["expected traces", "window"],
    );
}

#[test]
fn answers_from_the_cache_of_litellm_are_requests_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("LiteLLM_SpendLogs.csv");
    let header = "request_id,call_type,spend,prompt_tokens,completion_tokens,startTime,endTime,model,team_id,\
        end_user,cache_hit,metadata,request_tags,status";
    let row = |id: &str, spend: &str, at: &str, hit: &str| {
        format!(
            "{id},acompletion,{spend},100,50,2026-06-01 10:00:{at},2026-06-01 10:00:{at}.5,m,team-a,cust-1,{hit},{{}},\
             [],success\n"
        )
    };
    // The last row is the first one again, from another export.
    let rows = [
        row("chatcmpl-1", "0.000105", "00", "False"),
        row("chatcmpl-1", "0", "05", "True"),
        row("chatcmpl-2", "0.0002", "07", "None"),
        row("chatcmpl-1", "0.000105", "00", "False"),
    ];
    fs::write(&log, format!("{header}\n{}", rows.concat())).unwrap();
    let bill = ok_json(&["finops", "--traffic", text(&log), "--format", "auto", "--json"]);
    assert_eq!(bill["n_rows"], 3, "{bill}");
    assert_eq!(bill["total"]["cost_nano_usd"], 305_000, "{bill}");
    assert_eq!(bill["total"]["tokens_in"], 300, "{bill}");
}

#[test]
fn marks_of_utf_8_are_left_out_and_negative_tokens_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let lines = fs::read_to_string(sample("genai")).unwrap();
    let import = |name: &str, content: &str| {
        let log = dir.path().join(name);
        fs::write(&log, content).unwrap();
        let out = arg(dir.path().join("t.parquet"));
        ok_json(&["import", text(&log), "--out", out, "--json"])
    };
    let spans = lines.lines().flat_map(|line| {
        let document: Value = serde_json::from_str(line).unwrap();
        document["resourceSpans"].as_array().unwrap().clone()
    });
    let document = serde_json::json!({"resourceSpans": spans.collect::<Vec<_>>()});
    let whole = serde_json::to_string_pretty(&document).unwrap();
    assert_eq!(import("a.jsonl", &format!("\u{feff}{lines}"))["n_turns"], 4);
    assert_eq!(import("a.json", &format!("\u{feff}{whole}"))["n_turns"], 4);
    let negative = lines.replacen(
        "input_tokens\",\"value\":{\"intValue\":\"",
        "input_tokens\",\"value\":{\"intValue\":\"-",
        1,
    );
    assert_ne!(negative, lines);
    let coverage = import("c.jsonl", &negative);
    assert_eq!(
        coverage["passed_over"]["negative tokens, taken as 0"], 1,
        "{coverage}"
    );
}
