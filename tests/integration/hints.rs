//! Hints of errors: each option that a hint names is one of the command that printed it, and keys of
//! a scenario are named only to a command that reads one.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::{arg, root};

/// The options that the help of a command lists.
fn options(command: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    words(&String::from_utf8(output.stdout).unwrap())
}

/// The words of a text that look like options.
fn words(text: &str) -> BTreeSet<String> {
    let is_part = |ch: char| ch.is_ascii_lowercase() || ch.is_ascii_digit() || ch == '-';
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let starts = !text[..at].ends_with(|ch: char| is_part(ch) || ch.is_alphanumeric());
        let name = text[at + 2..]
            .split(|ch: char| !is_part(ch))
            .next()
            .unwrap_or_default();
        if starts && name.starts_with(|ch: char| ch.is_ascii_lowercase()) {
            found.insert(format!("--{name}"));
        }
    }
    found
}

#[test]
fn hints_name_options_and_keys_that_the_command_has() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        arg(path)
    };
    let log = "event_time,user_id,release_id,trace_id,cost_usd,passed,case_id,output\n";
    let bad = write("bad.csv", &format!("{log}2026-06-01,u,r,t,-1,maybe,c,o\n"));
    let late = write("late.csv", &format!("{log}soon,u,r,t,1,true,c,o\n"));
    let renamed = write("renamed.csv", "time,customer,version,price\n2026-06-01,u,r,1\n");
    let semicolons = write(
        "semicolons.csv",
        "event_time;user_id;release_id\n2026-06-01;u;r\n",
    );
    let spans = write(
        "spans.jsonl",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\
         \"spanId\":\"00f067aa0ba902b7\",\"name\":\"a\",\"startTimeUnixNano\":\"1780000000000000000\",\
         \"endTimeUnixNano\":\"1780000001000000000\",\"attributes\":[{\"key\":\"gen_ai.operation.name\",\
         \"value\":{\"stringValue\":\"chat\"}}]}]}]}]}\n",
    );
    let twice = "user_id,last_use_time,use_count,user_value,accept_score,is_allow_gray\n";
    let row = "u,2026-05-01,3,5.0,0.5,true\n";
    let users = write("users.csv", &format!("{twice}{row}"));
    let twice = write("twice.csv", &format!("{twice}{row}{row}"));
    let records = root().join("scenarios/gate/candidate.json");
    let records = arg(records);
    let scenario = |name: &str, users: &str, log: &str| {
        write(
            name,
            &format!(
                "as_of = \"2026-06-02\"\n[plan]\nid = \"p\"\nstart = \"2026-06-01\"\nbaseline = \"r\"\ncandidate = \"v2\"\n\
                 [input.users]\npath = '{users}'\n[[input.traffic]]\npath = '{log}'\n[[layer]]\nid = \"early\"\nmin_score = 0.5\n\
                 [[layer]]\nid = \"late\"\n"
            ),
        )
    };
    let [on_bad, on_renamed, on_spans, on_twice, on_semicolons] = [
        scenario("on_bad.toml", users, bad),
        scenario("on_renamed.toml", renamed, renamed),
        scenario("on_spans.toml", users, spans),
        scenario("on_twice.toml", twice, bad),
        scenario("on_semicolons.toml", users, semicolons),
    ];
    let out = arg(folder.path().join("out"));
    let layers = arg(folder.path().join("l.parquet"));
    // What the hint must name, and what it must not.
    let check = |command: &[&str], args: &[&str], named: &[&str], not: &[&str]| {
        let all = [command, args].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(&all)
            .current_dir(root())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let hints: String = stderr
            .split("hint: ")
            .skip(1)
            .map(|hint| hint.split("\nerror: ").next().unwrap_or_default())
            .collect();
        assert!(!hints.is_empty(), "{all:?}: {stderr}");
        // A hint may name the command line of another command.
        let own = hints.split("sluice ").next().unwrap_or_default();
        let known = options(command);
        let unknown: Vec<String> = words(own)
            .into_iter()
            .filter(|name| !known.contains(name))
            .collect();
        assert!(unknown.is_empty(), "{all:?} has no {unknown:?}: {hints}");
        named
            .iter()
            .for_each(|text| assert!(hints.contains(text), "{all:?}: {text}: {hints}"));
        not.iter()
            .for_each(|text| assert!(!hints.contains(text), "{all:?}: {text}: {hints}"));
    };
    let keys = ["columns.", "on_bad_row", "scenario"];
    let (finops, audit): (&[&str], &[&str]) = (&["finops"], &["audit"]);
    check(finops, &["--traffic", bad], &["--on-bad-row drop"], &keys);
    check(
        finops,
        &["--traffic", renamed, "--from", "2026-01-01"],
        &["--column event_time=..."],
        &keys,
    );
    check(
        finops,
        &["--traffic", renamed, "--success", "session"],
        &["--column session_id=..."],
        &keys,
    );
    check(
        finops,
        &["--traffic", semicolons],
        &["--delimiter \";\""],
        &["delimiter =", "scenario"],
    );
    check(
        finops,
        &["--traffic", renamed, "--column", "user_id=custome"],
        &["did you mean `customer`"],
        &keys,
    );
    check(
        audit,
        &["--traffic", late, "--records", records],
        &["--on-bad-row drop"],
        &keys,
    );
    check(
        audit,
        &["--traffic", renamed, "--rolled-back", "r"],
        &["--column release_id=..."],
        &keys,
    );
    check(
        audit,
        &["--traffic", renamed, "--records", records, "--from", "2026-01-01"],
        &["--column event_time=..."],
        &keys,
    );
    check(&["evals"], &[renamed], &["--column case_id=..."], &keys);
    check(&["evals"], &[bad], &["write flags as true and false"], &keys);
    let negative = write("negative.csv", "case_id,passed,cost_usd\na,1,-1\n");
    check(
        &["evals"],
        &[negative],
        &["correct the file"],
        &["--on-bad-row", "on_bad_row"],
    );
    check(
        &["layer"],
        &["--users", renamed, "--out", layers, "--as-of", "2026-06-01"],
        &["--column user_id=..."],
        &["columns."],
    );
    check(
        &["layer"],
        &["--users", twice, "--out", layers, "--as-of", "2026-06-01"],
        &["on_duplicate_user = \"keep_first\" in a scenario, which --scenario names"],
        &[],
    );
    check(
        &["layer"],
        &["--users", renamed, "--scenario", on_renamed, "--out", layers],
        &["columns.user_id = \"...\" in the scenario, or --column user_id=..."],
        &[],
    );
    check(
        &["import"],
        &[spans, "--out", layers, "--column", "user_id=none.such"],
        &[],
        &["scenario"],
    );
    for command in ["run", "check"] {
        let args = |scenario: &'static str| match command {
            "run" => vec![scenario, "--out", out],
            _ => vec![scenario],
        };
        if command == "run" {
            check(&[command], &args(on_renamed), &["columns."], &["--column"]);
            check(
                &[command],
                &args(on_twice),
                &["on_duplicate_user = \"keep_first\" in the scenario"],
                &["--"],
            );
            check(
                &[command],
                &args(on_bad),
                &["input.on_bad_row = \"drop\" in the scenario"],
                &["--on-bad-row"],
            );
            check(
                &[command],
                &args(on_spans),
                &["format = \"auto\" of the source in the scenario"],
                &["--format"],
            );
        }
        check(
            &[command],
            &args(on_semicolons),
            &["delimiter = \";\" of the source in the scenario"],
            &["--delimiter"],
        );
    }
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes.txt"), "x").unwrap();
    check(
        &["run"],
        &["scenarios/guide/scenario.toml", "--out", arg(other)],
        &["choose another --out"],
        &["--dir"],
    );
}
