//! Checks the references between pages and code: each must lead to something that exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The anchor of a heading on a rendered page.
fn anchor(heading: &str) -> String {
    let kept = |sign: &char| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_');
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// The anchors of a Markdown text.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) {
            found.insert(anchor(heading.trim_start_matches('#')));
        }
    }
    found
}

/// Every reference `page.md#anchor`, every Markdown link to a file or to an anchor, and every
/// mention of a page `docs/....md`, as path and anchor.
fn references(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(".md#") {
        let is_name = |sign: char| sign.is_alphanumeric() || matches!(sign, '/' | '_' | '-' | '.');
        let start = text[..at].rfind(|sign: char| !is_name(sign)).map_or(0, |n| n + 1);
        let end = text[at + 4..].find(|sign: char| !(sign.is_alphanumeric() || "-_".contains(sign)));
        let end = end.map_or(text.len(), |n| at + 4 + n);
        found.push((text[start..at + 3].to_owned(), text[at + 4..end].to_owned()));
    }
    for (at, _) in text.match_indices("](") {
        let Some(link) = text[at + 2..]
            .split(')')
            .next()
            .filter(|link| !link.contains("://") && !link.contains(".md#"))
        else {
            continue;
        };
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        found.push((path.to_owned(), anchor.to_owned()));
    }
    for (at, _) in text.match_indices("docs/") {
        let end = text[at..].find(|sign: char| !(sign.is_alphanumeric() || "/_-.".contains(sign)));
        let (name, rest) = text[at..].split_at(end.unwrap_or(text.len() - at));
        let name = name.trim_end_matches('.');
        if name.ends_with(".md") && !rest.starts_with('#') {
            found.push((name.to_owned(), String::new()));
        }
    }
    found
}

/// References of a text in `folder` that lead nowhere. An empty path means the text itself.
fn dangling(text: &str, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (path, to) in references(text) {
        let page = if path.is_empty() {
            Some(text.to_owned())
        } else {
            let file = [folder.join(&path), root().join(&path)]
                .into_iter()
                .find(|file| file.exists());
            file.map(|file| fs::read_to_string(file).unwrap_or_default())
        };
        match page {
            None => found.push(path),
            Some(page) if !to.is_empty() && !anchors(&page).contains(&to) => {
                found.push(format!("{path}#{to}"))
            }
            Some(_) => {}
        }
    }
    found
}

fn files_below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

#[test]
fn references_lead_somewhere() {
    let mut files: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .map(|name| root().join(name))
        .to_vec();
    files_below(&root().join("docs"), ".md", &mut files);
    let n_pages = files.len();
    files_below(&root().join("src"), ".rs", &mut files);
    // The help texts of the program.
    files_below(&root().join("src"), ".txt", &mut files);
    files_below(&root().join("tests/integration"), ".rs", &mut files);
    // This file has references that lead nowhere on purpose.
    files.retain(|file| !file.ends_with("references.rs"));
    let (mut wrong, mut n_references) = (Vec::new(), 0);
    for (idx, file) in files.iter().enumerate() {
        let text = fs::read_to_string(file).unwrap();
        // In code, only references with file and anchor are links to pages.
        let text = if idx < n_pages {
            text
        } else {
            text.replace("](", "] (")
        };
        n_references += references(&text).len();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        wrong.extend(
            dangling(&text, file.parent().unwrap())
                .into_iter()
                .map(|to| format!("{name}: {to}")),
        );
    }
    assert!(n_references > 80, "only {n_references} references were read");
    assert!(
        wrong.is_empty(),
        "references that lead nowhere:\n{}",
        wrong.join("\n")
    );
}

/// Every file that the map of ARCHITECTURE.md names must exist. A path such as `src/x/y.rs` is
/// complete. A name such as `z.rs` is in a folder that its row, or the heading above it, names.
#[test]
fn the_map_names_files_that_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (mut folders, mut heading, mut wrong, mut n) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for line in text.lines() {
        if line.starts_with('#') {
            heading.clear();
        }
        folders.clone_from(&heading);
        for word in line.split('`').skip(1).step_by(2) {
            let path = root().join(word);
            let folders_of_map = ["src/", "tests/", "benches/", "docs/"];
            if folders_of_map.iter().any(|folder| word.starts_with(folder)) {
                n += 1;
                if !path.exists() {
                    wrong.push(word.to_owned());
                }
                folders.push(if path.is_dir() {
                    path
                } else {
                    path.parent().unwrap().to_owned()
                });
            } else if line.starts_with('|')
                && (word.ends_with(".rs") || word.ends_with(".js"))
                && !word.contains('*')
            {
                n += 1;
                if !folders.iter().any(|folder| folder.join(word).exists()) {
                    wrong.push(format!("{word} in: {line}"));
                }
            }
        }
        if line.starts_with('#') {
            heading.clone_from(&folders);
        }
    }
    assert!(n > 60, "the map was not read");
    assert!(
        wrong.is_empty(),
        "files that are not there:\n{}",
        wrong.join("\n")
    );
}

/// The test functions that a page of methods names: the names in backticks of its list items
/// `**Test:**`. Words in backticks that are not function names, such as paths, are left out.
fn named_tests(page: &str) -> BTreeSet<String> {
    let is_name = |word: &str| {
        word.bytes()
            .all(|sign| matches!(sign, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    let mut is_test = false;
    let mut found = BTreeSet::new();
    for line in page.lines() {
        if line.is_empty() || line.starts_with("- ") {
            is_test = line.starts_with("- **Test:**");
        }
        if is_test {
            let words = line.split('`').skip(1).step_by(2);
            found.extend(words.filter(|word| is_name(word)).map(str::to_owned));
        }
    }
    found
}

/// The test functions that a page names and that none of the source texts declares.
fn missing_tests(page: &str, sources: &[String]) -> Vec<String> {
    let is_missing = |name: &String| {
        let declaration = format!("fn {name}(");
        !sources.iter().any(|text| text.contains(&declaration))
    };
    named_tests(page).into_iter().filter(is_missing).collect()
}

#[test]
fn methods_name_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/METHODS.md")).unwrap();
    let mut files = Vec::new();
    files_below(&root().join("src"), ".rs", &mut files);
    files_below(&root().join("tests"), ".rs", &mut files);
    let sources: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let n_named = named_tests(&page).len();
    assert!(n_named > 60, "only {n_named} names of tests were read");
    let missing = missing_tests(&page, &sources);
    assert!(
        missing.is_empty(),
        "docs/METHODS.md names tests that do not exist:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_missing_test_is_found() {
    let page = [
        "- **Formula:** `x_y`.",
        "- **Test:** `there`, `src/a.rs`,",
        "  `is_not`; see `A`.",
        "- **Limits:** `z`.",
    ]
    .join("\n");
    let sources = ["fn there() {}", "fn is_not_it() {}"].map(str::to_owned);
    assert_eq!(missing_tests(&page, &sources), ["is_not"]);
}

#[test]
fn a_dangling_reference_is_found() {
    let text = "# One\nSee [two](#two), [one](#one), docs/METHODS.md#effects, docs/METHODS.md#no-such and [x](no/such.md).\n";
    assert_eq!(
        dangling(text, Path::new("docs")),
        ["docs/METHODS.md#no-such", "#two", "no/such.md"]
    );
    let text = "See docs/reference/README.md, docs/reference/inputs.md#users, docs/reference/inputs.md#no-such, docs/reference/no-such.md.\n";
    assert_eq!(
        dangling(text, Path::new("src")),
        ["docs/reference/inputs.md#no-such", "docs/reference/no-such.md"]
    );
    let text = "[users](inputs.md#users), [effects](../METHODS.md#effects), [none](inputs.md#no-such)\n";
    assert_eq!(
        dangling(text, &root().join("docs/reference")),
        ["inputs.md#no-such"]
    );
}
