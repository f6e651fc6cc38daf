//! Snapshots of the help of every command and of the summary of a study. `INSTA_UPDATE=always`
//! accepts changes.

use crate::support::{ok, text};

/// Checks the help of the program and of every command. A command without a snapshot fails.
#[test]
fn help_of_every_command() {
    let command_line = sluice::cli::command();
    let names: Vec<&str> = command_line
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    assert!(!names.is_empty());
    let program = (vec!["--help"], "sluice");
    let commands = names.iter().map(|name| (vec![*name, "--help"], *name));
    for (args, name) in std::iter::once(program).chain(commands) {
        let help = ok(&args);
        assert!(help.contains("Example"), "{name}");
        insta::assert_snapshot!(format!("help_{name}"), help);
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
