//! Tests of the pages for new users. Their commands must run without changes, and the texts that
//! they quote must equal those of the files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

use crate::support::root;

/// The fenced blocks of a language in a page, without the indentation of a list.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks: Vec<String> = Vec::new();
    // The language of the open block, and the indentation of its fence.
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        let content = line.trim_start();
        match (&open, content.strip_prefix("```")) {
            (None, Some(name)) => {
                if name == language {
                    blocks.push(String::new());
                }
                open = Some((name.to_owned(), line[..line.len() - content.len()].to_owned()));
            }
            (Some(_), Some(_)) => open = None,
            (Some((name, indent)), None) if name == language => {
                let block = blocks.last_mut().unwrap();
                block.push_str(line.strip_prefix(indent.as_str()).unwrap_or(line));
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

/// A folder that looks like a fresh clone after its build.
fn clone() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["scenarios", "datasets", "schemas"] {
        symlink(root().join(folder), dir.path().join(folder)).unwrap();
    }
    fs::create_dir_all(dir.path().join("target/release")).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_sluice"),
        dir.path().join("target/release/sluice"),
    )
    .unwrap();
    dir
}

fn shell(dir: &Path, args: &[&str]) -> Output {
    let path = format!(
        "{}:{}",
        dir.join("target/release").display(),
        std::env::var("PATH").unwrap()
    );
    Command::new("sh")
        .args(args)
        .current_dir(dir)
        .env("PATH", path)
        .env_remove("COLUMNS")
        .output()
        .unwrap()
}

#[test]
fn the_guide_runs_to_the_letter() {
    let dir = clone();
    let commands = blocks("docs/GUIDE.md", "sh");
    assert!(commands.len() > 5);
    for command in commands.iter().filter(|command| !command.contains("cargo build")) {
        let output = shell(dir.path(), &["-ec", command]);
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let printed = shell(
        dir.path(),
        &["-c", "sluice run scenarios/guide/scenario.toml --out out/guide"],
    );
    let printed = String::from_utf8(printed.stdout).unwrap();
    let quoted = &blocks("docs/GUIDE.md", "")[0];
    assert!(
        printed.starts_with(quoted.as_str()),
        "the guide quotes:\n{quoted}\nfound:\n{printed}"
    );
}

#[test]
fn the_readme_shows_a_whole_scenario_and_what_is_printed() {
    let scenario = &blocks("README.md", "toml")[0];
    assert_eq!(
        *scenario,
        fs::read_to_string(root().join("scenarios/guide/scenario.toml")).unwrap()
    );
    assert!(scenario.lines().count() <= 25, "{scenario}");
    let dir = clone();
    let printed = shell(
        dir.path(),
        &["-c", "sluice run scenarios/ecommerce.toml --out out/ecommerce"],
    );
    let printed = String::from_utf8(printed.stdout).unwrap();
    let quoted = &blocks("README.md", "")[0];
    assert!(
        printed.starts_with(quoted.as_str()),
        "README quotes:\n{quoted}\nfound:\n{printed}"
    );
}

/// Tests that the rehearsal of the page promotes a layer, and rolls the next one back when the
/// regression comes.
#[test]
fn the_rehearsal_of_the_nightly_job_runs_to_the_letter() {
    let dir = clone();
    let job = &blocks("docs/NIGHTLY.md", "sh")[0];
    fs::write(dir.path().join("rehearse.sh"), job).unwrap();
    // The scenario's paths lead out of its folder, so the folder is no link.
    let nightly = dir.path().join("scenarios/nightly");
    fs::remove_file(dir.path().join("scenarios")).unwrap();
    fs::create_dir_all(&nightly).unwrap();
    for name in ["ramp.toml", "generate.toml"] {
        fs::copy(root().join("scenarios/nightly").join(name), nightly.join(name)).unwrap();
    }
    let output = shell(dir.path(), &["rehearse.sh", "11"]);
    let log = fs::read_to_string(dir.path().join("out/nightly/night.log")).unwrap();
    assert!(output.status.success(), "{log}");
    let stages: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    for stage in ["replay", "analyze", "schedule", "gate", "report", "publish"] {
        let found = stages.iter().filter(|line| line["stage"] == stage).count();
        assert_eq!(found, 10, "{stage}\n{log}");
    }
    let current = dir.path().join("out/nightly/releases/loop/current.json");
    let current: serde_json::Value = serde_json::from_slice(&fs::read(current).unwrap()).unwrap();
    let ratios = current["publication"]["ratios"].as_array().unwrap();
    let ratio = |layer: &str| {
        let found = ratios.iter().find(|ratio| ratio["layer"] == layer).unwrap();
        found["ratio"].as_f64().unwrap()
    };
    assert_eq!(
        [ratio("early"), ratio("regular"), ratio("vip")],
        [1.0, 0.0, 0.0],
        "{current}"
    );
}
