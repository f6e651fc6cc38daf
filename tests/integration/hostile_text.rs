//! Texts of foreign files on a terminal: names, values, paths and keys with escape sequences, controls,
//! controls of direction and line ends, through many commands. None of them reaches stdout or stderr,
//! and none starts a line there.

use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

use crate::support::{arg, root};

/// A text that would color, clear, turn, ring, overwrite and break the line that shows it.
const HOSTILE: &str =
    "x\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}2J\u{202e}\u{2066}\r\u{8}\u{7f}\tq\nINJECTED\u{2028}z\u{85}\u{2029}";

struct Folder(TempDir);

impl Folder {
    fn path(&self, name: &str) -> &'static str {
        arg(self.0.path().join(name))
    }

    fn write(&self, name: &str, content: &str) -> &'static str {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Runs a command, and checks every character that it prints. Returns stdout.
    fn check(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(args)
            .current_dir(self.0.path())
            .env("COLUMNS", "300")
            .output()
            .unwrap();
        let code = output.status.code();
        assert!(code.is_some_and(|code| code < 100), "{args:?}: {code:?}");
        for bytes in [&output.stdout, &output.stderr] {
            let text = std::str::from_utf8(bytes).unwrap();
            let is_command = |ch: char| {
                ch.is_control() && ch != '\n'
                    || matches!(ch, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
            };
            let found: Vec<&str> = text.lines().filter(|line| line.contains(is_command)).collect();
            assert!(found.is_empty(), "{args:?}: {found:?}");
            let starts = text
                .lines()
                .find(|line| line.trim_start().starts_with("INJECTED"));
            assert_eq!(starts, None, "{args:?}: {text}");
        }
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A field of a CSV file.
fn field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn log() -> String {
    let mut text = String::from(
        "event_time,user_id,release_id,trace_id,tenant_id,session_id,model_ref,feature,prompt_ref,layer,\
         tokens_in,tokens_out,cost_usd,task_completed,success,latency_ms\n",
    );
    for row in 0..4 {
        let name = field(&format!("{HOSTILE}{}", row % 2));
        let names = vec![name; 9].join(",");
        writeln!(text, "2026-06-01T10:00:0{row}Z,{names},10,5,0.1,1,1,100").unwrap();
    }
    text
}

fn lines(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| format!("{row}\n")).collect()
}

#[test]
fn costs_and_audits_show_texts_of_others_as_text() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let log = folder.write("log.csv", &log());
    let bad = folder.write(
        "bad.csv",
        &format!("user_id,cost_usd\nu,{}\n", field(&format!("1{HOSTILE}"))),
    );
    let columns = folder.write("columns.csv", &format!("{},b\n1,2\n", field(HOSTILE)));
    let records = folder.write(
        "records.json",
        &json!([{"release_id": "r", "artifacts": {"model_ref": HOSTILE}, "approvers": [HOSTILE]}])
            .to_string(),
    );
    let prices = folder.write(
        "prices.toml",
        &format!("[[price]]\nmodel = {}\ninput = 1\noutput = 2\n", json!(HOSTILE)),
    );
    let wrong_prices = folder.write(
        "wrong.csv",
        &format!("model,input,output\n{0},{0},1\n", field(HOSTILE)),
    );
    let budgets = folder.write(
        "budgets.json",
        &json!([{"name": HOSTILE, "tenant": HOSTILE, "limit_usd": 0.1}]).to_string(),
    );
    let calls =
        folder.write(
            "calls.ndjson",
            &lines((0..3).map(
                |_| json!({"trace_id": format!("{HOSTILE}0"), "tool": HOSTILE, "arguments": {HOSTILE: 1}}),
            )),
        );
    let tools = folder.write("tools.json", r#"[{"name": "t"}]"#);
    let release = format!("{HOSTILE}0");
    let path = folder.path("o\u{1b}[2J\nINJECTED\u{202e}.csv");
    for more in [&[][..], &["--json"]] {
        let check = |args: &[&str]| folder.check(&[args, more].concat());
        check(&["finops", "--traffic", log]);
        check(&["finops", "--traffic", log, "--prices", prices, "--out", path]);
        check(&["audit", "--traffic", log, "--records", records]);
        check(&[
            "audit",
            "--traffic",
            log,
            "--records",
            records,
            "--trace",
            &release,
        ]);
        let listed = check(&[
            "audit",
            "--traffic",
            log,
            "--rolled-back",
            &release,
            "--tool-calls",
            calls,
            "--tools",
            tools,
            "--out",
            path,
        ]);
        assert!(
            listed.contains("INJECTED"),
            "the hostile names are shown: {listed}"
        );
        check(&["audit", "--traffic", log, "--rolled-back", HOSTILE]);
    }
    for args in [
        &["finops", "--traffic", bad][..],
        &["finops", "--traffic", bad, "--on-bad-row", "drop"],
        &["finops", "--traffic", columns],
        &["finops", "--traffic", log, "--budget", budgets],
        &["finops", "--traffic", log, "--prices", wrong_prices],
        &["finops", "--traffic", log, "--by", HOSTILE],
        &["finops", "--traffic", log, &format!("--{HOSTILE}")],
        &[
            "finops",
            "--traffic",
            log,
            "--column",
            &format!("cost_usd={HOSTILE}"),
        ],
        &[
            "finops",
            "--traffic",
            log,
            "--column",
            &format!("{HOSTILE}=cost_usd"),
        ],
        &["finops", "--traffic", log, "--where", HOSTILE],
        &[
            "finops",
            "--traffic",
            log,
            "--derive",
            &format!("cost_usd={HOSTILE}"),
        ],
        &["finops", "--traffic", HOSTILE, "--verbose"],
        &["finops", "--traffic", HOSTILE, "--log", "json"],
        &["audit", "--traffic", bad, "--records", records],
        &["audit", "--traffic", log, "--records", HOSTILE],
        &[
            "audit",
            "--traffic",
            log,
            "--rolled-back",
            "r",
            "--tool-calls",
            records,
            "--tools",
            tools,
        ],
        &[HOSTILE],
        &["finops", "--traffic", log, "--format", HOSTILE],
        &["schema", HOSTILE],
        &["calc", HOSTILE],
        &["--limit", HOSTILE, "finops"],
    ] {
        folder.check(args);
    }
}

#[test]
fn releases_and_evaluations_show_texts_of_others_as_text() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let evals = |name: &str, passed: fn(usize) -> bool| {
        let row = |idx: usize| {
            json!({"case_id": format!("{HOSTILE}{idx}"), "suite": HOSTILE, "passed": passed(idx),
                "output": format!("guarantee {HOSTILE}"), "cluster": HOSTILE, "score_a": 0.5})
        };
        folder.write(name, &lines((0..8).map(row)))
    };
    let (new, old) = (
        evals("new.jsonl", |idx| idx % 2 == 0),
        evals("old.jsonl", |idx| idx % 3 == 0),
    );
    let score = folder.write(
        "score.jsonl",
        &lines([json!({"case_id": "a", &format!("score_{HOSTILE}"): 1})].into_iter()),
    );
    let bad = folder.write("bad.csv", &format!("case_id,passed\n{0},{0}\n", field(HOSTILE)));
    let record = |id: &str| {
        json!({"release_id": id, "tenant_id": HOSTILE, "baseline_release_id": HOSTILE, "rollback_target": HOSTILE,
            "eval_set_ref": HOSTILE, "approvers": [{"id": "ann", "kind": "human", "at": "2026-05-24T10:00:00Z"}],
            "artifacts": {"model_ref": format!("m:{HOSTILE}"), "prompt_ref": format!("p{id}@{HOSTILE}"),
                "tool_schema_ref": HOSTILE, "kb_index_ref": HOSTILE}})
    };
    let candidate = folder.write("candidate.json", &record("r2").to_string());
    let baseline = folder.write("baseline.json", &record("r1").to_string());
    let hostile = folder.write(
        "hostile.json",
        &json!({"release_id": HOSTILE, HOSTILE: 1}).to_string(),
    );
    let tools = |name: &str, version: &str, kind: &str| {
        let schema = json!({"type": "object", "properties": {HOSTILE: {"type": kind, "description": HOSTILE}},
            "required": [HOSTILE]});
        let tool = json!({"name": HOSTILE, "description": HOSTILE, "inputSchema": schema});
        folder.write(name, &json!({"version": version, "tools": [tool]}).to_string())
    };
    let before = tools("before.json", "1.0.0", "number");
    let after = tools("after.json", "1.1.0", "string");
    let odd = tools("odd.json", HOSTILE, "string");
    let calls = folder.write(
        "calls.ndjson",
        &lines([json!({"trace_id": HOSTILE, "tool": HOSTILE, "arguments": {HOSTILE: 1}})].into_iter()),
    );
    let [shown, before_it] =
        ["candidate", "baseline"].map(|name| arg(root().join(format!("scenarios/gate/{name}.json"))));
    let policy = folder.write("policy.toml", "[gate]\nforbidden_substrings = [\"guarantee\"]\n");
    let wrong = folder.write("wrong.toml", "[gate]\n\"x\\u001b\\n\\u202e\" = 1\n");
    for more in [&[][..], &["--json"]] {
        let check = |args: &[&str]| folder.check(&[args, more].concat());
        check(&["evals", new]);
        check(&["evals", new, "--baseline", old]);
        check(&["evals", score]);
        check(&["evals", bad]);
        check(&["tools", "diff", before, after]);
        check(&["tools", "diff", before, after, "--calls", calls]);
        check(&["tools", "diff", before, odd]);
        check(&["record", "show", candidate]);
        check(&["record", "show", hostile]);
        check(&["record", "check", candidate, "--baseline", baseline]);
        check(&["record", "diff", baseline, candidate]);
        check(&["record", "rollback", candidate]);
        let found = check(&[
            "gate",
            "--candidate",
            shown,
            "--baseline",
            before_it,
            "--tools",
            after,
            "--baseline-tools",
            before,
            "--calls",
            calls,
            "--evals",
            new,
            "--baseline-evals",
            old,
            "--policy",
            policy,
        ]);
        assert!(found.contains("INJECTED"), "{found}");
        check(&["gate", "--candidate", hostile]);
        check(&["gate", "--candidate", candidate, "--policy", wrong]);
    }
}

#[test]
fn studies_and_tables_show_texts_of_others_as_text() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let log = folder.write("log.csv", &log());
    let users = "user_id,last_use_time,use_count,user_value,accept_score,is_allow_gray,tenant_id\n";
    let users = folder.write(
        "users.csv",
        &format!(
            "{users}{0}0,2026-05-01,3,5.0,0.5,true,{0}0\n",
            field(HOSTILE).replace("\"\n", "\n")
        ),
    );
    let bad = folder.write("bad.csv", &format!("user_id,use_count\nu,{}\n", field(HOSTILE)));
    let wrong = folder.write(
        "wrong.toml",
        "\"x\\u001b\\n\\u202e\" = 1\n[plan]\nid = \"a\\u001b\\nINJECTED\"\nstart = \"\\u001b\"\nbaseline = \"\\u001b\"\n",
    );
    let names = json!(HOSTILE).to_string().replace('\u{7f}', "\\u007f");
    let scenario = folder.write(
        "scenario.toml",
        &format!(
            "as_of = \"2026-06-02\"\n[plan]\nid = \"p\"\nstart = \"2026-06-01\"\nbaseline = {names}\ncandidate = \"v2\"\n\
             [input.users]\npath = \"users.csv\"\n[[input.traffic]]\npath = \"log.csv\"\n[[layer]]\nid = \"early\"\n"
        ),
    );
    let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": "00f067aa0ba902b7", "name": HOSTILE, "startTimeUnixNano": "1780000000000000000",
        "endTimeUnixNano": "1780000001000000000", "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": HOSTILE}},
            {"key": HOSTILE, "value": {"stringValue": HOSTILE}}]}]}]}]});
    let traces = folder.write("traces.jsonl", &format!("{spans}\n"));
    for args in [
        &["check", wrong][..],
        &["check", scenario],
        &["run", wrong, "--out", "out"],
        &["run", scenario, "--out", "out\u{1b}\nINJECTED"],
        &[
            "layer",
            "--users",
            users,
            "--out",
            "l.parquet",
            "--as-of",
            "2026-06-01",
        ],
        &[
            "layer",
            "--users",
            bad,
            "--out",
            "l\u{1b}.parquet",
            "--as-of",
            "2026-06-01",
        ],
        &[
            "init",
            "--users",
            users,
            "--traffic",
            log,
            "--out",
            "init\u{1b}.toml",
        ],
        &[
            "replay",
            "--traffic",
            log,
            "--layers",
            "l.parquet",
            "--scenario",
            scenario,
            "--out",
            "cube",
        ],
        &["import", traces, "--out", "t\u{1b}\nINJECTED.parquet"],
        &["import", traces, "--out", "t.parquet", "--json"],
        &[
            "import",
            traces,
            "--out",
            "t.parquet",
            "--column",
            &format!("user_id={HOSTILE}"),
        ],
        &["import", HOSTILE, "--out", "t.parquet"],
        &["notify", "--to", HOSTILE, "--event", HOSTILE],
        &["publish", "--to", HOSTILE, HOSTILE],
        &["report", HOSTILE],
        &["night", scenario, "--dir", HOSTILE],
        &["who", "--scenario", scenario, "--layers", HOSTILE],
        &[
            "analyze",
            "--scenario",
            scenario,
            "--cube",
            HOSTILE,
            "--out",
            "a.json",
        ],
    ] {
        folder.check(args);
    }
    #[cfg(feature = "frames")]
    for args in [
        &["query", "select * from t", &format!("t={log}")][..],
        &[
            "query",
            "select * from t",
            &format!("t={log}"),
            "--format",
            "json",
        ],
        &[
            "query",
            &format!("select \"{HOSTILE}\" from t"),
            &format!("t={log}"),
        ],
        &["query", "select * from t", &format!("t={HOSTILE}")],
    ] {
        folder.check(args);
    }
}
