//! Tests that nothing that is read is ever written, of every command with an output.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use crate::small::Small;
use crate::support::{fails, ok, text, tree};

/// The options and arguments that name outputs, as `command option`.
fn outputs(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    for inner in command.get_subcommands() {
        let path = format!("{path} {}", inner.get_name());
        outputs(inner, path.trim(), found);
    }
    let is_output = |id: &str| {
        [
            "out",
            "changes",
            "rfm_table",
            "registry",
            "to",
            "metrics",
            "charts",
            "tables",
            "xlsx",
            "email",
        ]
        .contains(&id)
            || (["man", "report", "night"].contains(&path) && id == "dir")
    };
    let ids = command.get_arguments().map(|arg| arg.get_id().as_str());
    found.extend(ids.filter(|id| is_output(id)).map(|id| format!("{path} {id}")));
}

/// A study with its output, a folder of traffic and links to inputs.
fn study() -> Small {
    let small = Small::new();
    small.run();
    fs::create_dir(small.path("log")).unwrap();
    fs::copy(small.path("traffic.csv"), small.path("log/traffic.csv")).unwrap();
    fs::create_dir(small.path("records")).unwrap();
    for name in [
        "candidate.json",
        "baseline.json",
        "policy.toml",
        "gate_report.json",
    ] {
        small.write(name, "{}");
    }
    small.write("records/a.json", "{}");
    fs::create_dir_all(small.path("ramp/nights")).unwrap();
    fs::copy(small.path("study.toml"), small.path("ramp/nights/study.toml")).unwrap();
    for link in ["link.toml", "link.parquet", "link.json"] {
        symlink("study.toml", small.path(link)).unwrap();
    }
    fs::hard_link(small.path("study.toml"), small.path("hard.toml")).unwrap();
    symlink("out/cube", small.path("cube")).unwrap();
    fs::create_dir(small.path("page")).unwrap();
    fs::hard_link(small.path("out/schedule.json"), small.path("page/nights.json")).unwrap();
    small
}

#[test]
fn nothing_that_is_read_is_written() {
    let small = study();
    let path = |name: &str| {
        // Names of files are paths of the study; options, steps and kinds of targets stay.
        match name.split_once(':') {
            Some((kind, file)) => format!("{kind}:{}", text(&small.path(file))),
            None if name.starts_with("--") || [".tables", "ecommerce", "json"].contains(&name) => {
                name.to_owned()
            }
            None => text(&small.path(name)).to_owned(),
        }
    };
    let before = tree(small.dir.path());
    let mut tried = BTreeSet::new();
    let mut check = |output: &str, line: &str| {
        let n_words = output.split(' ').count() - 1;
        let words: Vec<&str> = line.split(' ').collect();
        let command = output.split(' ').take(n_words).map(str::to_owned);
        let args: Vec<String> = command.chain(words.iter().map(|word| path(word))).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let stderr = fails(&args, 2);
        assert!(
            ["differ from the input", "outside of the"]
                .iter()
                .any(|part| stderr.contains(part)),
            "{args:?}: {stderr}"
        );
        assert!(tree(small.dir.path()) == before, "{args:?} wrote");
        tried.insert(output.to_owned());
    };
    check("run out", "study.toml --out study.toml");
    check("run out", "study.toml --out .");
    check("generate out", "ecommerce --scenario study.toml --out study.toml");
    check("layer out", "--scenario study.toml --out study.toml");
    check("layer out", "--scenario study.toml --out users.csv/../users.csv");
    check("layer out", "--scenario study.toml --out hard.toml");
    check("layer out", "--scenario study.toml --out link.toml");
    check(
        "layer changes",
        "--scenario study.toml --out l.parquet --previous out/layers.parquet --changes study.toml",
    );
    check(
        "layer rfm_table",
        "--scenario study.toml --events traffic.csv --rfm-table study.toml --out l.parquet",
    );
    check(
        "who out",
        "--scenario study.toml --layers out/layers.parquet --out out/layers.parquet",
    );
    check(
        "who out",
        "--scenario study.toml --layers out/layers.parquet --out link.parquet",
    );
    check(
        "who out",
        "--scenario study.toml --layers out/layers.parquet --at out/state.json --out link.parquet",
    );
    check(
        "replay out",
        "--scenario study.toml --layers out/layers.parquet --traffic log --out log/cube",
    );
    check(
        "replay out",
        "--scenario study.toml --layers out/layers.parquet --out out/layers.parquet",
    );
    check("cube merge out", "out/cube cube --out cube");
    check("import out", "study.toml --out link.parquet");
    check("init out", "--users users.csv --out users.csv --force");
    check("query out", ".tables out --out out/cube/cube.json");
    check(
        "analyze out",
        "--cube out/cube --scenario study.toml --out link.json",
    );
    check(
        "analyze out",
        "--cube out/cube --scenario study.toml --out out/cube/cube.json",
    );
    check(
        "analyze out",
        "--cube cube --scenario study.toml --out out/cube/new.json",
    );
    check(
        "calibrate out",
        "--cube out/cube --scenario study.toml --out cube/cube.json",
    );
    check(
        "backtest out",
        "--cube out/cube --scenario study.toml --out out/cube/../cube/cube.json",
    );
    check("simulate out", "study.toml --cube out/cube --out out/cube");
    check(
        "schedule out",
        "--scenario study.toml --analysis out/analysis.json --layer-summary out/schedule.json --out out",
    );
    check(
        "gate out",
        "--candidate candidate.json --baseline gate_report.json --out .",
    );
    check(
        "gate out",
        "--candidate candidate.json --baseline baseline.json --policy gate_report.json --out .",
    );
    check(
        "gate out",
        "--candidate candidate.json --baseline baseline.json --approvals gate_report.json --out .",
    );
    check(
        "gate out",
        "--candidate candidate.json --baseline baseline.json --records records --out records/new",
    );
    check(
        "gate registry",
        "--candidate candidate.json --baseline baseline.json --registry baseline.json",
    );
    check(
        "record check registry",
        "candidate.json --baseline baseline.json --registry candidate.json",
    );
    check("finops out", "--traffic log --out log/bill.csv");
    check("finops out", "--traffic traffic.csv --out traffic.csv");
    check(
        "audit out",
        "--traffic log --rolled-back new --out log/affected.csv",
    );
    check("publish to", "out --no-users --to flagd:out/schedule.json");
    check("publish to", "out --no-users --to prometheus:out/layers.parquet");
    check("publish to", "out --no-users --to flagd:out/cube/new.json");
    check("publish to", "out --no-users --to flagd:out/../out/report.md");
    check("night metrics", "study.toml --dir ramp --metrics study.toml");
    check("night to", "study.toml --dir ramp --to flagd:study.toml");
    check("notify to", "--scenario study.toml --to file:study.toml");
    check("night dir", "ramp/nights/study.toml --dir ramp");
    check("report dir", "out --scenario out/study.json");
    check("report out", "--nights out --out page");
    check("report xlsx", "out --xlsx out/schedule.json");
    check("report email", "out --email out/analysis.json");
    check("report charts", "out --charts out/state.json");
    check("report tables", "out --tables out/gate_report.json");
    let mut all = BTreeSet::new();
    outputs(&sluice::cli::command(), "", &mut all);
    // Manual pages are made from no input.
    all.remove("man dir");
    // This option of `publish` names an input.
    all.remove("publish changes");
    assert_eq!(tried, all);
}

#[test]
fn what_is_apart_is_written() {
    let small = study();
    let at = |name: &str| text(&small.path(name)).to_owned();
    let run = |args: &[&str]| {
        ok(&args
            .iter()
            .map(|arg| arg.replace("DIR", &at(".")))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>())
    };
    // A ramp continues its state in place.
    run(&[
        "schedule",
        "--scenario",
        "DIR/study.toml",
        "--analysis",
        "DIR/out/analysis.json",
        "--out",
        "DIR/ramp",
    ]);
    run(&[
        "schedule",
        "--scenario",
        "DIR/study.toml",
        "--analysis",
        "DIR/out/analysis.json",
        "--state",
        "DIR/ramp/state.json",
        "--out",
        "DIR/ramp",
    ]);
    // Files of other systems may lie beside those of the study.
    for _ in 0..2 {
        run(&[
            "publish",
            "DIR/out",
            "--no-users",
            "--to",
            "prometheus:DIR/out/sluice.prom",
        ]);
    }
    // A link of the command line stays a link.
    fs::write(small.path("old.parquet"), "").unwrap();
    symlink("old.parquet", small.path("l.parquet")).unwrap();
    run(&[
        "layer",
        "--scenario",
        "DIR/study.toml",
        "--out",
        "DIR/l.parquet",
        "--absent",
        "last_use_time,user_value,accept_score",
    ]);
    assert!(
        fs::symlink_metadata(small.path("l.parquet"))
            .unwrap()
            .is_symlink()
    );
    assert!(fs::metadata(small.path("old.parquet")).unwrap().len() > 100);
    // A link that leads nowhere is named.
    symlink("none/none", small.path("dangling")).unwrap();
    symlink("circle", small.path("circle")).unwrap();
    for name in ["dangling", "circle"] {
        for args in [
            vec!["run", "DIR/study.toml", "--out"],
            vec!["layer", "--scenario", "DIR/study.toml", "--out"],
        ] {
            let mut args: Vec<String> = args.iter().map(|arg| arg.replace("DIR", &at("."))).collect();
            args.push(at(name));
            let stderr = fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), 1);
            assert!(stderr.contains("found a link that leads nowhere"), "{stderr}");
        }
    }
}

#[test]
fn a_layer_table_is_not_written_under_the_name_of_another_format() {
    let small = study();
    for name in ["l.csv", "l.ndjson", "l.csv.gz"] {
        let out = small.path(name);
        let stderr = fails(
            &[
                "layer",
                "--scenario",
                text(&small.path("study.toml")),
                "--out",
                text(&out),
            ],
            2,
        );
        assert!(stderr.contains("hint: end it in .parquet"), "{stderr}");
        assert!(!out.exists());
    }
}
