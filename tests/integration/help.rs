//! Tests of the help of every command, its examples, and the summary of a study. Snapshots:
//! `INSTA_UPDATE=always` accepts changes.

use std::path::Path;
use std::process::Command;

use crate::support::{ok, root, text};

/// Tests the help of every command against its snapshot. A command without a snapshot fails.
#[test]
fn help_of_every_command() {
    let program = (vec!["--help"], "sluice".to_owned());
    let commands = names()
        .into_iter()
        .map(|name| (vec![name.clone().leak() as &str, "--help"], name));
    for (args, name) in std::iter::once(program).chain(commands) {
        let help = ok(&args);
        assert!(help.contains("Examples") || name == "sluice", "{name}");
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
}

/// Returns the names of all commands.
fn names() -> Vec<String> {
    let names: Vec<String> = sluice::cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    assert!(!names.is_empty());
    names
}

/// Returns the commands below the heading "Examples" of a help text, with their continuation lines.
fn examples(help: &str) -> Vec<String> {
    let after = help.split_once("\nExamples").map_or("", |(_, after)| after);
    let lines = after.lines().skip(1).take_while(|line| line.starts_with("  "));
    let mut commands: Vec<String> = Vec::new();
    for line in lines {
        match commands.last_mut() {
            Some(last) if line.starts_with("   ") => {
                last.push('\n');
                last.push_str(line);
            }
            _ => commands.push(line.trim().to_owned()),
        }
    }
    commands
}

/// Runs every example without changes, from a copy of the repository's layout. Later examples read
/// the files of earlier ones.
#[test]
fn examples_run_as_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["scenarios", "datasets"] {
        std::os::unix::fs::symlink(root().join(folder), dir.path().join(folder)).unwrap();
    }
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    std::fs::create_dir(dir.path().join("out")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sluice"), dir.path().join("bin/sluice")).unwrap();
    let mut names = names();
    let rank = |name: &String| match name.as_str() {
        "run" => 0,
        "generate" => 1,
        _ => 2,
    };
    names.sort_by_key(rank);
    for name in names {
        let path = root().join("src/cli/help").join(format!("{name}.txt"));
        let help =
            std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name}: expected help/{name}.txt"));
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(79), "{name}: a line of more than 79 columns");
        let commands = examples(&help);
        assert!(!commands.is_empty(), "{name} has no example");
        for command in commands.iter().filter(|command| !command.starts_with("man ")) {
            run_example(dir.path(), command);
        }
    }
}

fn run_example(dir: &Path, command: &str) {
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .env("PATH", path)
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    // Gates and audits of the shipped files end with the codes of their verdicts.
    let is_done = matches!(output.status.code(), Some(0 | 10 | 11));
    assert!(is_done, "{command}: {}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|_| !command.contains("--list"))
    {
        let is_table = line.contains('─');
        assert!(
            !is_table || line.chars().count() <= 80,
            "{command}: a table of more than 80 columns: {line}"
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
