//! Tests of `sluice audit`: chains from traces to approvers, completeness of logs, and users that a
//! rolled-back release reached.

use arrow_array::{Array, cast::AsArray, types::TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::{self, File},
};
use tempfile::TempDir;

use crate::support::{arg, fails, ok, ok_json, sluice};

const A64: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let digest = format!("sha256:{A64}");
        let whole = |id: &str| {
            json!({"release_id": id, "tenant_id": "shop", "artifacts": {
                "model_ref": {"ref": "litellm:smart=gpt-4o", "digest": digest}, "prompt_ref": format!("cs@{digest}"),
                "tool_schema_ref": {"ref": "tools@2", "digest": digest}, "kb_index_ref": {"ref": "kb", "digest": digest}},
                "eval_set_ref": format!("golden@{digest}"), "eval_report_uri": "s3://eval/7", "eval_report_digest": digest,
                "approvers": [{"id": "ann", "kind": "human", "at": "2026-05-24T10:00:00Z"}],
                "baseline_release_id": "r0", "rollback_target": "r0"})
        };
        let floating = json!({"release_id": "r2", "artifacts": {"model_ref": "litellm:smart:prod", "prompt_ref": "cs@8",
            "tool_schema_ref": null, "kb_index_ref": "kb_alias:v12"}});
        folder.write(
            "records.json",
            serde_json::to_string(&[whole("r0"), whole("r1"), floating]).unwrap(),
        );
        folder.write(
            "log.csv",
            "event_time,user_id,tenant_id,release_id,layer,trace_id,session_id,is_shadow,is_eval\n\
             2026-05-25T01:00:00Z,ann,shop,r1,early,t1,s1,,\n\
             2026-05-25T02:00:00Z,bob,shop,r2,early,t2,s1,,\n\
             2026-05-25T03:00:00Z,,shop,r1,,t3,s2,,\n\
             2026-05-25T04:00:00Z,ann,,,early,t4,s1,,\n\
             2026-05-25T05:00:00Z,bob,shop,r2,early,t5,s1,,\n\
             2026-05-25T06:00:00Z,bob,shop,r2,early,t5,s1,,\n\
             2026-05-26T07:00:00Z,cid,,r2,early,t6,s1,,\n\
             2026-05-26T08:00:00Z,dan,shop,r2,early,t7,s3,true,\n\
             2026-05-26T09:00:00Z,dan,shop,r2,early,t8,s3,,true\n\
             2026-05-26T10:00:00Z,bob,shop,r9,early,,s1,,\n",
        );
        folder
    }

    fn path(&self, name: &str) -> &'static str {
        arg(self.0.path().join(name))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &'static str {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Runs an audit and returns its JSON. The exit code must be `code`.
    fn audit(&self, args: &[&str], code: i32) -> Value {
        let mut all = vec![
            "audit",
            "--traffic",
            self.path("log.csv"),
            "--records",
            self.path("records.json"),
            "--json",
        ];
        all.extend(args);
        let output = sluice(&all);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn names(links: &Value, hold: &str) -> Vec<String> {
    let links = links
        .as_array()
        .unwrap()
        .iter()
        .filter(|link| link["hold"] == hold);
    links
        .map(|link| link["link"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_trace_leads_to_its_approvers() {
    let folder = Folder::new();
    let found = folder.audit(&["--trace", "t1"], 0);
    let (chain, row) = (&found[0], &found[0]["rows"][0]);
    assert_eq!(
        (&chain["is_complete"], &chain["n_rows"], &row["user_id"]),
        (&true.into(), &1.into(), &"ann".into())
    );
    let links = row["links"].as_array().unwrap();
    let order = "user time release record model prompt tool_schema kb_index eval_set eval_report approvers baseline rollback_target";
    assert_eq!(
        links
            .iter()
            .map(|link| link["link"].as_str().unwrap())
            .collect::<Vec<_>>()
            .join(" "),
        order
    );
    assert!(names(&row["links"], "firm").len() == links.len());
    // The digest of a record is that of its canonical form. The baseline link has the digest of the
    // baseline's own record.
    let records: Vec<Value> =
        serde_json::from_slice(&fs::read(folder.path("records.json")).unwrap()).unwrap();
    let digest = |record: &Value| sluice::release::canonical("r", record).unwrap().1;
    assert_eq!(links[3]["digest"], digest(&records[1]));
    assert_eq!(
        (&links[4]["value"], &links[4]["digest"]),
        (&"litellm:smart=gpt-4o".into(), &format!("sha256:{A64}").into())
    );
    assert_eq!(links[10]["value"], "ann (human, 2026-05-24T10:00:00Z)");
    assert_eq!(
        (&links[11]["value"], &links[11]["digest"]),
        (&"r0".into(), &digest(&records[0]).into())
    );

    // A release without a tenant belongs to every tenant. Its references float, and its other
    // fields are absent.
    let found = folder.audit(&["--trace", "t2", "--trace", "t1"], 11);
    assert_eq!(
        (&found[0]["is_complete"], &found[1]["is_complete"]),
        (&false.into(), &true.into())
    );
    let links = &found[0]["rows"][0]["links"];
    assert_eq!(
        names(links, "missing"),
        [
            "model",
            "kb_index",
            "eval_set",
            "eval_report",
            "approvers",
            "baseline",
            "rollback_target"
        ]
    );
    assert_eq!(names(links, "weak"), ["prompt"]);
    assert!(
        links
            .as_array()
            .unwrap()
            .iter()
            .all(|link| (link["hold"] == "firm") == link["mend"].is_null())
    );

    let missing = |trace: &str| {
        names(
            &folder.audit(&["--trace", trace], 11)[0]["rows"][0]["links"],
            "missing",
        )
    };
    assert_eq!(missing("t3"), ["user"]);
    assert_eq!(missing("t4"), ["release"]);
    let found = folder.audit(&["--trace", "nowhere"], 11);
    assert_eq!(
        (
            &found[0]["n_rows"],
            found[0]["mend"].as_str().unwrap().contains("no row of the log")
        ),
        (&0.into(), true)
    );
    assert_eq!(folder.audit(&["--trace", "t5"], 11)[0]["n_rows"], 2);
}

#[test]
fn a_chain_is_printed_with_what_would_mend_it() {
    let folder = Folder::new();
    let args = [
        "audit",
        "--traffic",
        folder.path("log.csv"),
        "--records",
        folder.path("records.json"),
        "--trace",
        "t2",
    ];
    let printed = String::from_utf8(sluice(&args).stdout).unwrap();
    for part in [
        "trace t2: 1 rows, incomplete",
        "missing",
        "eval_report_uri",
        "`prod` does not name a fixed version",
        "record a digest",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}

#[test]
fn completeness_counts_rows_by_link_and_release() {
    let folder = Folder::new();
    let found = folder.audit(&[], 11);
    assert_eq!(
        (&found["n_rows"], &found["is_complete"]),
        (&10.into(), &false.into())
    );
    let count = |link: &str| {
        found["links"]
            .as_array()
            .unwrap()
            .iter()
            .find(|found| found["link"] == link)
            .unwrap()["n"]
            .as_u64()
            .unwrap()
    };
    // The 2 rows of r1 have every link. The record of the 6 rows of r2 floats and
    // lacks the other fields. The row of r9 and the row without a release have no record.
    let expected = [
        ("user", 9),
        ("time", 10),
        ("release", 9),
        ("layer", 9),
        ("trace", 9),
        ("record", 8),
        ("refs", 2),
        ("eval_report", 2),
        ("approvers", 2),
    ];
    for (link, n) in expected {
        assert_eq!(count(link), n, "{link}");
    }
    let releases = found["releases"].as_array().unwrap();
    let of = |tenant: &str, id: &str| {
        releases
            .iter()
            .find(|row| row["tenant_id"] == tenant && row["release_id"] == id)
            .unwrap()
    };
    assert_eq!(releases.len(), 5);
    assert_eq!(
        (&of("shop", "r1")["n_user"], &of("shop", "r1")["missing"]),
        (&1.into(), &json!([]))
    );
    assert_eq!(
        (&of("shop", "r2")["n_rows"], &of("default", "r2")["n_rows"]),
        (&5.into(), &1.into())
    );
    assert_eq!(
        (&of("shop", "r9")["missing"], &of("default", "unknown")["n_rows"]),
        (&json!(["record"]), &1.into())
    );
    let found = folder.audit(&["--from", "2026-05-26"], 11);
    assert_eq!((&found["n_rows"], &found["n_outside"]), (&4.into(), &6.into()));
    folder.write(
        "log.csv",
        "event_time,user_id,tenant_id,release_id,layer,trace_id\n2026-05-25,ann,shop,r1,early,t1\n",
    );
    assert_eq!(folder.audit(&[], 0)["is_complete"], true);
    // A log without rows has no share, so its completeness is unknown.
    folder.write("log.csv", "event_time,user_id,release_id\n");
    assert_eq!(folder.audit(&[], 11)["links"][0]["share"]["reason"], "no_data");
}

const CALLS: &str = r#"{"trace_id": "t2", "tool": "refund", "arguments": {"order": 7, "amount": 1.50}}
{"trace_id": "t2", "tool": "search", "arguments": {"q": "secret"}}
{"trace_id": "t5", "tool": "refund", "arguments": "{\"amount\": 1.5, \"order\": 7}"}
{"trace_id": "t5", "tool": "odd", "arguments": "no json"}
{"trace_id": "t1", "tool": "refund", "arguments": {"order": 1}}
{"trace_id": "t7", "tool": "refund", "arguments": {"order": 2}}
{"tool": "refund", "arguments": {"order": 3}}
"#;
const TOOLS: &str = r#"[{"name": "refund", "risk_level": "write"}, {"name": "search", "annotations": {"readOnlyHint": true}}]"#;

#[test]
fn a_rollback_has_its_users_and_what_was_written_for_them() {
    let folder = Folder::new();
    let found = folder.audit(&["--rolled-back", "r2"], 0);
    // The users are bob of tenant `shop` and cid without a tenant. dan has only a shadow
    // row and an evaluation row. Session s1 occurs for two users, so it counts as two sessions.
    for (key, n) in [
        ("n_requests", 4),
        ("n_users", 2),
        ("n_sessions", 2),
        ("n_shadow", 1),
        ("n_eval", 1),
    ] {
        assert_eq!(found[key], n, "{key}");
    }
    assert!(found["calls"].is_null() && found["tools"].is_null());
    assert_eq!(
        folder.audit(&["--rolled-back", "r2", "--until", "2026-05-25T05:00:00Z"], 0)["n_requests"],
        1
    );

    let (calls, tools) = (
        folder.write("calls.ndjson", CALLS),
        folder.write("tools.json", TOOLS),
    );
    let args = [
        "--rolled-back",
        "r2",
        "--tool-calls",
        calls,
        "--tools",
        tools,
        "--out",
        folder.path("audit.csv"),
    ];
    let found = folder.audit(&args, 0);
    let listed: Vec<[&str; 4]> = found["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            ["user_id", "trace_id", "tool", "arguments_sha256"].map(|key| call[key].as_str().unwrap_or("-"))
        })
        .collect();
    // RFC 8785: sorted keys, no spaces, shortest numbers. The expected digest is the SHA-256 of
    // {"amount":1.5,"order":7}.
    let digest = sluice::base::digest::sha256_of_bytes(br#"{"amount":1.5,"order":7}"#);
    // The calls of trace t5 are listed once, although the trace has two rows.
    assert_eq!(
        listed,
        [
            ["bob", "t2", "refund", &digest],
            ["bob", "t5", "refund", &digest],
            ["bob", "t5", "odd", "-"]
        ]
    );
    assert_eq!(
        found["tools"],
        json!([{"tool": "odd", "n_calls": 1, "in_bundle": false}, {"tool": "refund", "n_calls": 2, "in_bundle": true}])
    );
    assert_eq!(found["n_calls_without_trace"], 1);
    let written = fs::read_to_string(folder.path("audit.csv")).unwrap();
    assert_eq!(written.lines().count(), 4);
    assert!(written.contains(&format!(
        "shop,bob,2026-05-25T02:00:00Z,t2,s1,r2,refund,{digest},true"
    )));
    assert!(
        !written.contains("secret") && !written.contains("order") && !found.to_string().contains("amount")
    );
}

#[test]
fn calls_without_arguments_and_ids_in_other_forms_are_listed() {
    let folder = Folder::new();
    let lower = "4bf92f3577b34da6a3ce929d0e0e473";
    folder.write(
        "log.csv",
        format!(
            "user_id,release_id,trace_id\nann,r1,{lower}6\nbob,r1,{}7\ncid,r2,{lower}8\n\
             dan,r1,4bf92f35-77b3-4da6-a3ce-929d0e0e4739\neve,r1,Chat-A\n",
            lower.to_uppercase()
        ),
    );
    folder.write(
        "tools.json",
        r#"[{"name": "refund"}, {"name": "search", "risk_level": "read"}]"#,
    );
    let calls = |lines: &[Value]| {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        folder.write("calls.ndjson", lines);
        let [calls, tools] = ["calls.ndjson", "tools.json"].map(|name| folder.path(name));
        folder.audit(
            &["--rolled-back", "r1", "--tool-calls", calls, "--tools", tools],
            0,
        )
    };
    let trace = format!("{lower}6");
    // A call may lack its arguments: MCP and OpenTelemetry do not require them.
    let check = |call: Value, expected: Option<&str>| {
        let mut call = call;
        call["trace_id"] = json!(trace);
        let found = calls(&[call.clone()]);
        let listed = found["calls"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "{call}");
        let digest = expected.map(|text| sluice::base::digest::sha256_of_bytes(text.as_bytes()));
        assert_eq!(listed[0]["arguments_sha256"], json!(digest), "{call}");
    };
    check(json!({"tool": "refund"}), None);
    check(json!({"tool": "refund", "arguments": null}), None);
    check(json!({"tool": "refund", "arguments": ""}), None);
    check(json!({"tool": "refund", "arguments": " "}), None);
    check(json!({"tool": "refund", "arguments": "no json"}), None);
    check(json!({"tool": "refund", "arguments": {}}), Some("{}"));
    check(json!({"tool": "refund", "arguments": "{ }"}), Some("{}"));
    check(
        json!({"tool": "refund", "arguments": null, "args": {"a": 1.0}}),
        Some("{\"a\":1}"),
    );
    check(json!({"attributes": {"gen_ai.tool.name": "refund"}}), None);
    // Ids of 16 or 32 hexadecimal digits are compared without case and dashes, others as they are.
    let call = |trace: &str| json!({"tool": "refund", "trace_id": trace});
    let found = calls(&[
        call(&format!("{lower}7")),
        call(&trace.to_uppercase()),
        call(&format!("{lower}9")),
        call("chat-a"),
        call("Chat-A"),
        call(&format!("{lower}8")),
        call("none"),
        call(""),
        json!({"tool": "search", "trace_id": trace}),
    ]);
    let traces: Vec<&str> = found["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["trace_id"].as_str().unwrap())
        .collect();
    let upper = format!("{}7", lower.to_uppercase());
    assert_eq!(
        traces,
        [&trace, &upper, "4bf92f35-77b3-4da6-a3ce-929d0e0e4739", "Chat-A"]
    );
    assert_eq!(found["n_calls_without_trace"], 1);
    assert_eq!(found["n_calls_elsewhere"], 3);
    let chain = |trace: &str| folder.audit(&["--trace", trace], 11);
    let check = |asked: &str, user: &str| assert_eq!(chain(asked)[0]["rows"][0]["user_id"], user, "{asked}");
    check(&trace.to_uppercase(), "ann");
    check(&format!("{lower}7"), "bob");
    check(&format!("{lower}9"), "dan");
}

#[test]
fn affected_requests_as_parquet_are_the_same_on_any_number_of_threads() {
    let folder = Folder::new();
    let head = "event_time,user_id,release_id,trace_id,session_id\n";
    fs::create_dir(folder.path("log")).unwrap();
    let mut expected = BTreeSet::new();
    for file in 0..7 {
        let mut content = head.to_owned();
        for row in 0..300 {
            let (release, user) = (if row % 3 == 0 { "new" } else { "old" }, (file * 300 + row) % 91);
            content.push_str(&format!(
                "{},u{user},{release},t{file}-{row},s{user}\n",
                1_779_667_200 + row * 60
            ));
            if release == "new" {
                expected.insert((format!("t{file}-{row}"), format!("u{user}")));
            }
        }
        folder.write(&format!("log/{file}.csv"), content);
    }
    let run = |threads: &str, out: &str| {
        let printed = ok(&[
            "--threads",
            threads,
            "audit",
            "--traffic",
            folder.path("log"),
            "--rolled-back",
            "new",
            "--out",
            folder.path(out),
            "--json",
        ]);
        (printed, fs::read(folder.path(out)).unwrap())
    };
    assert!(run("1", "a.parquet") == run("8", "b.parquet"));
    let mut found = BTreeSet::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(folder.path("a.parquet")).unwrap())
        .unwrap()
        .build()
        .unwrap()
    {
        let batch = batch.unwrap();
        let (traces, users) = (
            batch.column_by_name("trace_id").unwrap().as_string::<i32>(),
            batch.column_by_name("user_id").unwrap().as_string::<i32>(),
        );
        assert_eq!(
            batch
                .column_by_name("event_time")
                .unwrap()
                .as_primitive::<TimestampMicrosecondType>()
                .null_count(),
            0
        );
        found.extend(
            (0..batch.num_rows()).map(|row| (traces.value(row).to_owned(), users.value(row).to_owned())),
        );
    }
    assert_eq!(found, expected);
}

#[test]
fn hostile_logs() {
    let folder = Folder::new();
    let (log, records) = (folder.path("log.csv"), folder.path("records.json"));
    let bad = |content: &str| -> &'static str { folder.write("bad.csv", content) };
    fails(&["audit", "--traffic", log], 2);
    fails(
        &[
            "audit",
            "--traffic",
            log,
            "--records",
            records,
            "--trace",
            "t1",
            "--rolled-back",
            "r1",
        ],
        2,
    );
    fails(
        &[
            "audit",
            "--traffic",
            log,
            "--rolled-back",
            "r1",
            "--tool-calls",
            log,
        ],
        2,
    );
    fails(
        &["audit", "--traffic", log, "--rolled-back", "r1", "--out", log],
        2,
    );
    fails(
        &["audit", "--traffic", folder.path("gone"), "--records", records],
        3,
    );
    fails(
        &[
            "audit",
            "--traffic",
            log,
            "--records",
            folder.write("broken.json", "{"),
        ],
        3,
    );
    let error = fails(
        &[
            "audit",
            "--traffic",
            bad("event_time,user_id,release_id\nsoon,u,r\n"),
            "--records",
            records,
        ],
        3,
    );
    assert!(error.contains("column `event_time`, row 1"), "{error}");
    let args = [
        "audit",
        "--traffic",
        bad("event_time,user_id,release_id\nsoon,u,r\n2026-05-25,u,r\n"),
        "--rolled-back",
        "r",
        "--on-bad-row",
        "drop",
        "--json",
    ];
    let found: Value = ok_json(&args);
    assert_eq!(
        (&found["n_bad"], &found["n_requests"], &found["n_sessions"]),
        (&1.into(), &1.into(), &Value::Null)
    );
    // An unknown release is not an error. The result lists the known releases.
    let found = folder.audit(&["--rolled-back", "R2"], 0);
    assert_eq!(
        (&found["n_requests"], &found["releases"]),
        (&0.into(), &json!(["r1", "r2", "r9"]))
    );
    // A log without trace ids cannot be joined with calls.
    let no_traces = bad("event_time,user_id,release_id\n2026-05-25,u,r1\n");
    let (calls, tools) = (
        folder.write("calls.ndjson", CALLS),
        folder.write("tools.json", TOOLS),
    );
    fails(
        &[
            "audit",
            "--traffic",
            no_traces,
            "--rolled-back",
            "r1",
            "--tool-calls",
            calls,
            "--tools",
            tools,
        ],
        3,
    );
    let output = sluice(&[
        "audit",
        "--traffic",
        no_traces,
        "--records",
        records,
        "--trace",
        "t",
    ]);
    assert!(
        output.status.code() == Some(11)
            && String::from_utf8_lossy(&output.stdout).contains("no column trace_id")
    );
    let broken = folder.write("broken.ndjson", "{\"arguments\": {}}\n");
    fails(
        &[
            "audit",
            "--traffic",
            log,
            "--rolled-back",
            "r1",
            "--tool-calls",
            broken,
            "--tools",
            tools,
        ],
        3,
    );
    // Names with escape sequences must not reach the terminal unescaped.
    let names =
        bad("event_time,user_id,release_id,trace_id\n2026-05-25,\"<b>\u{1b}[2J\",\"r\u{7}\",\"t\u{1b}\"\n");
    for args in [
        vec!["--trace", "t\u{1b}"],
        vec![],
        vec!["--rolled-back", "r\u{7}"],
    ] {
        let mut all = vec!["audit", "--traffic", names, "--records", records];
        all.extend(args);
        let printed = String::from_utf8(sluice(&all).stdout).unwrap();
        assert!(
            !printed.is_empty() && !printed.contains(['\u{1b}', '\u{7}']),
            "{printed}"
        );
    }
}

#[test]
fn a_log_without_users_or_releases_is_audited_as_far_as_it_goes() {
    let folder = Folder::new();
    let records = folder.path("records.json");
    // Nothing but a trace and a tenant: the chain says what is missing.
    let bare = folder.write("log.csv", "trace_id,tenant_id\nt1,shop\nt1,shop\nt2,\n");
    let chain = &folder.audit(&["--trace", "t1"], 11)[0];
    assert_eq!(
        (&chain["n_rows"], names(&chain["rows"][0]["links"], "missing")),
        (&2.into(), ["user", "time", "release"].map(str::to_owned).to_vec())
    );
    let found = folder.audit(&[], 11);
    assert_eq!(
        found["absent_columns"],
        json!(["user_id", "event_time", "release_id", "layer"])
    );
    let releases = found["releases"].as_array().unwrap();
    assert_eq!((found["n_rows"].as_u64(), releases.len()), (Some(3), 2));
    assert_eq!(
        (&releases[0]["release_id"], &releases[0]["missing"]),
        (&"unknown".into(), &json!(["release"]))
    );
    let output = sluice(&["audit", "--traffic", bare, "--records", records]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("not in the log: user_id, event_time, release_id, layer"),
        "{printed}"
    );
    // What needs a release or a time is an error that says so.
    for (args, parts) in [
        (
            vec!["--rolled-back", "r1"],
            ["`release_id`", "--rolled-back needs"],
        ),
        (
            vec!["--records", records, "--from", "2026-05-25"],
            ["`event_time`", "--from and --until need"],
        ),
    ] {
        let error = fails(&[&["audit", "--traffic", bare], &args[..]].concat(), 3);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    // Users that are not known are not counted as none.
    let check = |log: &str, n_users: Value, [n_without_user, n_without_release, n_sessions]: [u64; 3]| {
        folder.write("log.csv", log);
        let found = folder.audit(&["--rolled-back", "r1"], 0);
        assert_eq!(
            ["n_users", "n_without_user", "n_without_release", "n_sessions"].map(|key| found[key].clone()),
            [
                n_users,
                n_without_user.into(),
                n_without_release.into(),
                n_sessions.into()
            ],
            "{log}"
        );
    };
    let rows = "r1,shop,s1\nr1,books,s1\n,shop,s2\nr2,shop,s1\n";
    check(
        &format!("release_id,tenant_id,session_id\n{rows}"),
        json!({"reason": "no_column"}),
        [2, 1, 2],
    );
    check(
        "release_id,tenant_id,session_id,user_id,is_shadow\nr1,shop,s1,,\n,shop,s1,,true\n",
        json!({"reason": "no_data"}),
        [1, 0, 1],
    );
    check(
        "release_id,tenant_id,session_id,user_id\nr1,shop,s1,ann\nr1,shop,s2,\n",
        1.into(),
        [1, 0, 2],
    );
}
