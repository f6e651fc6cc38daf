//! What the program says of itself, and prints when it is done: snapshots. Run with `INSTA_UPDATE=always` to accept changes.

use crate::support::{ok, text};

#[test]
fn help_of_every_command() {
    for command in [
        "",
        "run",
        "layer",
        "who",
        "replay",
        "analyze",
        "calc",
        "calibrate",
        "schedule",
        "simulate",
        "record",
        "tools",
        "evals",
        "gate",
        "finops",
        "audit",
        "publish",
        "report",
        "generate",
    ] {
        let args: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .collect();
        let help = ok(&args);
        assert!(help.contains("Example"), "{command}");
        insta::assert_snapshot!(
            format!("help_{}", if command.is_empty() { "sluice" } else { command }),
            help
        );
    }
}

#[test]
fn the_summary_of_a_study() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("study");
    let printed =
        ok(&["run", "scenarios/open-bandit.toml", "--out", text(&out)]).replace(text(dir.path()), "[dir]");
    insta::assert_snapshot!("run_open_bandit", printed);
}
