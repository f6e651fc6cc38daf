//! Tests that docs/reference/documents.md describes every key of the documents in a study's folder.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::small::Small;
use crate::support::{ecommerce, root, tree};

/// A key path: the names of keys, and `[]` for an item of a list.
type KeyPath = Vec<String>;

/// A row of a table of keys.
struct Row {
    paths: Vec<KeyPath>,
    /// Other headings that the type column names. Their keys continue the path of this row.
    shapes: Vec<String>,
}

/// The tables of keys of a page, by heading.
struct Page {
    rows: BTreeMap<String, Vec<Row>>,
}

/// `layers[].ladder[]` as `layers`, `[]`, `ladder`, `[]`.
fn key_path(text: &str) -> KeyPath {
    text.replace("[]", ".[]")
        .split('.')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign))
        .collect::<String>()
        .replace(' ', "-")
}

impl Page {
    /// Reads the tables whose first column is `key`; the second column is the type.
    fn read(text: &str) -> Self {
        let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        let (mut heading, mut is_keys) = (String::new(), false);
        for line in text.lines() {
            if line.starts_with('#') {
                heading = line.trim_start_matches('#').trim().to_owned();
            }
            if line.starts_with("| key |") {
                is_keys = true;
            } else if !line.starts_with('|') {
                is_keys = false;
            } else if is_keys && line.starts_with("| `") {
                let cells: Vec<&str> = line.split(" | ").collect();
                let kind = cells.get(1).copied().unwrap_or_default();
                let links = kind.split("](#").skip(1);
                rows.entry(heading.clone()).or_default().push(Row {
                    paths: cells[0].split('`').skip(1).step_by(2).map(key_path).collect(),
                    shapes: links
                        .filter_map(|link| Some(link.split_once(')')?.0.to_owned()))
                        .collect(),
                });
            }
        }
        Self { rows }
    }

    /// The key paths under a heading, those of shapes included.
    fn key_paths(&self, heading: &str) -> Vec<KeyPath> {
        let mut found = Vec::new();
        for row in self.rows.get(heading).into_iter().flatten() {
            let shapes = row.shapes.iter().map(|shape| {
                self.rows
                    .keys()
                    .find(|heading| anchor(heading) == *shape)
                    .unwrap_or_else(|| panic!("{heading}: no keys under #{shape}"))
            });
            let below: Vec<KeyPath> = shapes.flat_map(|shape| self.key_paths(shape)).collect();
            for path in &row.paths {
                found.push(path.clone());
                found.extend(
                    below
                        .iter()
                        .map(|rest| [path.as_slice(), rest.as_slice()].concat()),
                );
            }
        }
        found
    }

    /// Returns the key paths of a document that are not described under a heading. A described path
    /// also covers all paths below it. `*` matches any name.
    fn missing(&self, heading: &str, document: &Value) -> Vec<String> {
        let described = self.key_paths(heading);
        let is_described = |path: &KeyPath| {
            described.iter().any(|other| {
                other.len() >= path.len() && path.iter().zip(other).all(|(name, of)| of == "*" || of == name)
            })
        };
        let mut found = BTreeSet::new();
        walk(document, &mut Vec::new(), &mut found);
        found
            .iter()
            .filter(|path| !is_described(path))
            .map(|path| path.join("."))
            .collect()
    }
}

/// Every key path of a document.
fn walk(value: &Value, path: &mut KeyPath, found: &mut BTreeSet<KeyPath>) {
    if !path.is_empty() {
        found.insert(path.clone());
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.clone());
                walk(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for item in items {
                path.push("[]".to_owned());
                walk(item, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn page() -> Page {
    Page::read(&fs::read_to_string(root().join("docs/reference/documents.md")).unwrap())
}

/// Asserts that every key of every JSON document below a folder is described; returns the number of
/// documents.
pub(crate) fn assert_described(folder: &Path) -> usize {
    let page = page();
    let mut n_documents = 0;
    for (name, bytes) in tree(folder) {
        if name.extension().is_some_and(|ending| ending == "json") {
            let document: Value = serde_json::from_slice(&bytes).unwrap();
            let missing = page.missing(name.to_str().unwrap(), &document);
            assert!(
                missing.is_empty(),
                "docs/reference/documents.md, {}: expected a row for each of\n{}",
                name.display(),
                missing.join("\n")
            );
            n_documents += 1;
        }
    }
    n_documents
}

#[test]
fn every_key_of_a_study_is_described() {
    let small = Small::new();
    small.run();
    let n_documents = assert_described(&small.path("out"));
    assert!(n_documents >= 8, "only {n_documents} documents were read");
    assert_described(ecommerce());
}

#[test]
fn a_key_that_is_not_described_is_found() {
    let page = page();
    let document = json!({
        "schema": "sluice.state/1",
        "made_up": 1,
        "layers": [{"tenant": "default", "made_up": 1}],
    });
    assert_eq!(
        page.missing("state.json", &document),
        ["layers.[].made_up", "made_up"]
    );
    let trace = json!({"layers": [{"trace": [{"interval": {"ci_lower": 0.0, "made_up": 0.0}}]}]});
    assert_eq!(
        page.missing("schedule.json", &trace),
        ["layers.[].trace.[].interval.made_up"]
    );
    assert_eq!(page.missing("no.json", &json!({"a": 1})), ["a"]);
}
