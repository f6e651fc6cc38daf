//! Tells the program the git revision that it is built from, and its features.
//!
//! `SLUICE_REVISION` replaces the revision: builds between commits then compile nothing anew.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=SLUICE_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let revision = env::var("SLUICE_REVISION")
        .ok()
        .or_else(|| revision_of_checkout(&root))
        .or_else(|| revision_of_package(&root))
        .filter(|revision| {
            revision
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        });
    let revision: String = revision
        .unwrap_or_else(|| "unknown".to_owned())
        .chars()
        .take(12)
        .collect();
    println!("cargo::rustc-env=SLUICE_REVISION={revision}");
    let features = if env::var_os("CARGO_FEATURE_STORES").is_some() {
        "stores"
    } else {
        "none"
    };
    println!("cargo::rustc-env=SLUICE_FEATURES={features}");
}

/// The commit that is checked out, from the files of git.
fn revision_of_checkout(root: &Path) -> Option<String> {
    let git = root.join(".git");
    let head_path = git.join("HEAD");
    let head = fs::read_to_string(&head_path).ok()?;
    println!("cargo::rerun-if-changed={}", head_path.display());
    let Some(name) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    for path in [git.join(name), git.join("packed-refs")] {
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let loose = fs::read_to_string(git.join(name)).ok();
    let packed = || {
        let text = fs::read_to_string(git.join("packed-refs")).ok()?;
        let line = text.lines().find(|line| line.ends_with(name))?;
        Some(line.split(' ').next()?.to_owned())
    };
    loose.map(|text| text.trim().to_owned()).or_else(packed)
}

/// The commit that a package of `cargo package` was made from.
fn revision_of_package(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let start = text.find("\"sha1\"")?;
    text[start..].split('"').nth(3).map(str::to_owned)
}
