//! Tests of texts and files of others: what a hostile text may do to a terminal, a log, a page or a
//! spreadsheet, and what a hostile file may do to the program.

use std::fs;
use std::process::Command;

use crate::small::Small;
use crate::support::{arg, ecommerce, fails, ok, sluice, text};

/// Texts that command something: a terminal, a CI log, Markdown or a spreadsheet.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{202e}::error::x";

/// Whether a text commands no terminal and no log.
fn is_tame(text: &str) -> bool {
    let controls =
        |c: char| (c.is_control() && !"\n\t".contains(c)) || ('\u{202a}'..='\u{202e}').contains(&c);
    !text.contains(controls) && !text.lines().any(|line| line.trim_start().starts_with("::"))
}

#[test]
fn errors_and_tables_command_no_terminal_and_no_log() {
    let small = Small::new();
    let at = |name: &str| text(&small.path(name)).to_owned();
    small.write("header.csv", format!("{HOSTILE}\n1\n"));
    small.write(
        "value.csv",
        format!("user_id,use_count\na,\"{HOSTILE}\n::error::y\"\n"),
    );
    // The warning about consent names the file.
    let named = "a\u{202e}\n::error::b.csv";
    small.write(named, "user_id,use_count\na,1\n");
    let evals = |release: &str| format!("case_id,release_id,suite,passed\na,{release},\"{HOSTILE}\",true\n");
    small.write("evals.csv", evals("x"));
    let tool = |name: &str| {
        format!(
            r#"[{{"name": {}, "inputSchema": {{}}}}]"#,
            serde_json::json!(name)
        )
    };
    small.write("before.json", tool(HOSTILE));
    small.write("after.json", tool("other"));
    let layer = |users: &str| {
        [
            "layer",
            "--users",
            users,
            "--as-of",
            "2026-05-25",
            "--out",
            "l.parquet",
            "--absent",
            "last_use_time,user_value,accept_score,is_allow_gray",
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for args in [
        layer(&at("header.csv")),
        layer(&at("value.csv")),
        layer(&format!("{}{HOSTILE}", at("."))),
        words(&[
            "layer",
            "--users",
            &at(named),
            "--as-of",
            "2026-05-25",
            "--out",
            &at("w.parquet"),
            "--absent",
            "last_use_time,user_value,accept_score",
        ]),
        words(&["evals", &at("evals.csv")]),
        words(&["evals", &at("evals.csv"), "--json"]),
        words(&["tools", "diff", &at("before.json"), &at("after.json")]),
        words(&["tools", "diff", &at("before.json"), &at("after.json"), "--json"]),
        words(&[HOSTILE]),
        words(&["run", "x", "--out", HOSTILE, HOSTILE]),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = sluice(&args);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(is_tame(&out) && is_tame(&err), "{args:?}: {out:?} {err:?}");
        assert!(
            ["u{202e}", "u202e"]
                .iter()
                .any(|part| format!("{out}{err}").contains(part)),
            "{args:?}: {out} {err}"
        );
    }
}

#[test]
fn a_log_of_json_objects_holds_wrong_command_lines_too() {
    let check = |args: &[&str], part: &str| {
        let output = sluice(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let line: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(line["event"], "error");
        assert!(line["message"].as_str().unwrap().contains(part), "{line}");
    };
    check(&["run", "--log", "json"], "required arguments");
    check(&["--log=json", "unknown"], "unrecognized subcommand");
    check(
        &["run", "none.toml", "--out", "x", "--log", "json", "--wrong"],
        "--wrong",
    );
    check(&["run", "none.toml", "--out", "x", "--log", "json"], "none.toml");
    assert!(fails(&["run"], 2).contains("Usage:"));
}

#[test]
fn errors_are_short_and_hold_no_records() {
    let small = Small::new();
    small.write("long.csv", format!("{}\n1\n", "x".repeat(30_000_000)));
    small.write(
        "record.ndjson",
        r#"{"user_id": {"name": "Li Secret", "mail": "li@example.org"}}"#,
    );
    small.write("list.ndjson", r#"{"user_id": ["Li Secret"]}"#);
    small.write(
        "text.ndjson",
        format!(
            r#"{{"user_id": "a", "use_count": "{}"}}"#,
            "Secret ".repeat(1_000)
        ),
    );
    small.write("semicolon.csv", "user_id;use_count\na;1,5\n");
    small.write("flag.csv", "user_id,use_count,is_allow_gray\na,1,sí\n");
    let check = |name: &str, parts: &[&str]| {
        let users = small.path(name);
        let absent = "last_use_time,user_value,accept_score,is_allow_gray,use_count";
        let absent = match name {
            "flag.csv" => "last_use_time,user_value,accept_score",
            "text.ndjson" => "last_use_time,user_value,accept_score,is_allow_gray",
            _ => absent,
        };
        let args = [
            "layer",
            "--users",
            text(&users),
            "--as-of",
            "2026-05-25",
            "--out",
            "l.parquet",
            "--absent",
            absent,
        ];
        let stderr = fails(&args, 3);
        assert!(
            stderr.len() < 3_000 && !stderr.contains("Li Secret"),
            "{name}: {stderr}"
        );
        for part in parts {
            assert!(stderr.contains(part), "{name}: {stderr}");
        }
    };
    check("long.csv", &["expected a column `user_id`"]);
    check("record.ndjson", &["column `user_id`", "found an object"]);
    check("list.ndjson", &["column `user_id`", "found a list"]);
    check("text.ndjson", &["column `use_count`, row 1"]);
    check(
        "semicolon.csv",
        &["separated by `,`, found `;`", "hint: say so: --delimiter"],
    );
    check(
        "flag.csv",
        &[
            "expected true or false, found \"sí\"",
            "hint: write flags as true and false",
        ],
    );
}

#[test]
fn reading_never_waits_for_a_pipe_and_has_an_end() {
    let small = Small::new();
    let at = |name: &str| text(&small.path(name)).to_owned();
    for name in ["pipe.csv", "pipe.json", "pipe.toml", "pipe.parquet"] {
        assert!(
            Command::new("mkfifo")
                .arg(small.path(name))
                .status()
                .unwrap()
                .success()
        );
    }
    fs::create_dir(small.path("results")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(small.path("results/a.json"))
            .status()
            .unwrap()
            .success()
    );
    let check = |words: &[&str], code: i32| {
        let args: Vec<String> = words.iter().map(|word| word.replace("DIR", &at("."))).collect();
        let stderr = fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), code);
        assert!(
            stderr.contains("a named pipe") || stderr.contains("a device"),
            "{words:?}: {stderr}"
        );
    };
    let layer = |users: &'static str| {
        let rest = ["--as-of", "2026-05-25", "--out", "DIR/l.parquet"];
        ["layer", "--users", users]
            .into_iter()
            .chain(rest)
            .collect::<Vec<_>>()
    };
    check(&layer("DIR/pipe.csv"), 3);
    check(&layer("DIR/pipe.parquet"), 3);
    check(&["run", "DIR/pipe.toml", "--out", "DIR/out"], 2);
    check(&["run", "/dev/zero", "--out", "DIR/out"], 2);
    check(&["evals", "DIR/pipe.json"], 3);
    check(&["evals", "DIR/results"], 3);
    check(&["tools", "diff", "DIR/pipe.json", "DIR/pipe.json"], 3);
    check(&["record", "show", "DIR/pipe.json"], 3);
    check(
        &[
            "finops",
            "--traffic",
            "DIR/traffic.csv",
            "--prices",
            "DIR/pipe.csv",
        ],
        3,
    );
    check(
        &[
            "who",
            "--scenario",
            "DIR/study.toml",
            "--layers",
            "DIR/pipe.parquet",
        ],
        3,
    );
}

#[test]
fn links_to_a_folder_within_itself_end() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::os::unix::fs::symlink(".", dir.path().join(name)).unwrap();
    }
    fs::write(
        dir.path().join("tool.json"),
        r#"{"name": "x", "inputSchema": {}}"#,
    )
    .unwrap();
    fs::write(dir.path().join("results.csv"), "case_id,passed\na,true\n").unwrap();
    let path = text(dir.path());
    ok(&["tools", "diff", path, path]);
    fs::remove_file(dir.path().join("tool.json")).unwrap();
    ok(&["evals", path]);
    fs::remove_file(dir.path().join("results.csv")).unwrap();
    let stderr = fails(&["run", "scenarios/guide/scenario.toml", "--out", path], 1);
    assert!(stderr.contains("found a, which would be lost"), "{stderr}");
}

#[test]
fn spreadsheets_get_texts_and_no_formulas() {
    let small = Small::new();
    let at = |name: &str| text(&small.path(name)).to_owned();
    let rows = "2026-05-25T01:00:00Z,u1,new,true,-5,t1\n2026-05-25T02:00:00Z,@SUM(A1),=1+1,false,3,+cmd|x\n";
    small.write(
        "log.csv",
        format!("event_time,user_id,release_id,task_completed,feature,trace_id\n{rows}"),
    );
    ok(&[
        "finops",
        "--traffic",
        &at("log.csv"),
        "--by",
        "release_id,feature",
        "--out",
        &at("bill.csv"),
    ]);
    let bill = fs::read_to_string(small.path("bill.csv")).unwrap();
    assert!(
        bill.contains("\n'=1+1,3,") && bill.contains("\nnew,-5,"),
        "{bill}"
    );
    ok(&[
        "audit",
        "--traffic",
        &at("log.csv"),
        "--rolled-back",
        "=1+1",
        "--out",
        &at("affected.csv"),
    ]);
    let affected = fs::read_to_string(small.path("affected.csv")).unwrap();
    for part in [",'@SUM(A1),", ",'+cmd|x,", ",'=1+1,"] {
        assert!(affected.contains(part), "{affected}");
    }
    small.write(
        "users.csv",
        "user_id,use_count,is_allow_gray\n=1+1,3,true\n@a,4,true\nu1,5,true\n",
    );
    ok(&[
        "layer",
        "--scenario",
        &at("study.toml"),
        "--out",
        &at("l.parquet"),
        "--absent",
        "last_use_time,user_value,accept_score",
    ]);
    ok(&[
        "who",
        "--scenario",
        &at("study.toml"),
        "--layers",
        &at("l.parquet"),
        "--at",
        "all=1",
        "--out",
        &at("who.csv"),
    ]);
    let who = fs::read_to_string(small.path("who.csv")).unwrap();
    assert!(
        who.contains("\n'=1+1,all,") && who.contains("\n'@a,all,") && who.contains("\nu1,all,"),
        "{who}"
    );
}

#[test]
fn reports_for_pull_requests_hold_no_links_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let study = dir.path().join("study");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(ecommerce())
        .arg(&study)
        .status()
        .unwrap();
    assert!(copied.success());
    let evil = "![x](https://evil/t.png) [here](http://evil) @everyone #1 www.evil.com \u{1b}[2J\u{202e}";
    for name in [
        "analysis.json",
        "schedule.json",
        "gate_report.json",
        "study.json",
        "layers.summary.json",
    ] {
        let path = study.join(name);
        let mut document: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        replace_texts(&mut document, &|text| match text {
            "regular" | "early" | "cs-agent-2026.05" => Some(format!("{text} {evil}")),
            _ => None,
        });
        if name == "study.json" {
            document["name"] = evil.into();
            document["why"] = format!("# {evil}\n- x").into();
        }
        fs::write(&path, document.to_string()).unwrap();
    }
    ok(&["report", text(&study)]);
    let markdown = fs::read_to_string(study.join("report.md")).unwrap();
    check_markdown(&markdown);
    assert!(
        markdown.contains("!\\[x\\](https:<!-- -->//evil/t.png)"),
        "{markdown}"
    );
    let html = fs::read_to_string(study.join("report.html")).unwrap();
    assert!(!html.contains(['\u{1b}', '\u{202e}']) && html.contains("\\u{202e}"));
}

/// Replaces texts at any depth of a document.
fn replace_texts(value: &mut serde_json::Value, replacement: &dyn Fn(&str) -> Option<String>) {
    match value {
        serde_json::Value::String(text) => {
            if let Some(new) = replacement(text) {
                *text = new;
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replace_texts(item, replacement)),
        serde_json::Value::Object(fields) => {
            fields
                .values_mut()
                .for_each(|inner| replace_texts(inner, replacement));
        }
        _ => {}
    }
}

/// Asserts that Markdown holds nothing that GitHub makes a link, a mention or an image of.
fn check_markdown(markdown: &str) {
    for part in [
        "![", "](h", "http://", "https://", "@e", " #1 ", "www.", "\u{1b}", "\u{202e}",
    ] {
        let found = markdown
            .match_indices(part)
            .find(|(at, _)| !markdown[..*at].ends_with('\\'));
        assert!(found.is_none(), "{part}: {markdown}");
    }
}

#[test]
fn schemas_are_no_bombs() {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls.ndjson");
    fs::write(&calls, "{\"tool\": \"x\", \"arguments\": {\"a\": 1}}\n").unwrap();
    let bundle = |name: &str, schema: serde_json::Value| {
        let path = dir.path().join(name);
        let document = serde_json::json!({"tools": [{"name": "x", "inputSchema": schema}]});
        fs::write(&path, document.to_string()).unwrap();
        arg(path)
    };
    let bomb = |keyword: &str, leaf: &str| {
        let level = |idx: usize| {
            let next = serde_json::json!({"$ref": format!("#/$defs/d{}", idx + 1)});
            (format!("d{idx}"), serde_json::json!({keyword: [next, next]}))
        };
        let mut levels: serde_json::Map<String, serde_json::Value> = (0..30).map(level).collect();
        levels.insert("d30".into(), serde_json::json!({"type": leaf}));
        serde_json::json!({"$defs": levels, "$ref": "#/$defs/d0"})
    };
    // Trees of references below `patternProperties`, with one number that differs.
    let graph = |least: f64| {
        let root = serde_json::json!({"$ref": "#"});
        let inner =
            serde_json::json!({"%": {"contains": {"prefixItems": [root]}}, "": {"prefixItems": [root]}});
        let all = serde_json::json!([
            root,
            {"allOf": [{"properties": {"a": {"minLength": least}}}, {"patternProperties": {"b": {"patternProperties": inner}}}]}
        ]);
        serde_json::json!({"anyOf": [{"allOf": all}]})
    };
    let check = |old: &str, new: &str, parts: &[&str]| {
        let started = std::time::Instant::now();
        let output = sluice(&["tools", "diff", old, new, "--calls", text(&calls), "--json"]);
        let out = String::from_utf8_lossy(&output.stdout);
        // Never green: a breaking change that is found has precedence.
        assert!([Some(10), Some(11)].contains(&output.status.code()), "{out}");
        assert!(started.elapsed().as_secs() < 20, "{old} {new}");
        for part in parts {
            assert!(out.contains(part), "{part}: {out}");
        }
    };
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let (old, new) = (
            bundle("old.json", bomb(keyword, "object")),
            bundle("new.json", bomb(keyword, "string")),
        );
        check(old, old, &["\"n_undecided\": 1", "expand to too many schemas"]);
        check(old, new, &["\"n_undecided\": 1"]);
    }
    let (old, new) = (bundle("old.json", graph(0.1)), bundle("new.json", graph(1.0)));
    check(old, new, &["limit-tightened"]);
    let circle = bundle("circle.json", serde_json::json!({"allOf": [{"$ref": "#"}]}));
    check(circle, circle, &["leads back to itself"]);
}
