//! Reads TOML files and reports problems with their key paths.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::base::limits::{Limit, capped};
use crate::base::similar::nearest;
use crate::base::toml_value::TomlValue;

/// Parses a TOML text into `T`. Every problem is collected. A wrong key gets its default value.
pub(crate) fn read_toml<T: DeserializeOwned + Default>(text: &str, problems: &mut Vec<Problem>) -> T {
    match parse_table(text) {
        Ok(table) => read_all(table, problems),
        Err(problem) => {
            problems.push(problem);
            T::default()
        }
    }
}

/// Parses the bytes of a TOML file into `T`. Every problem is collected, with the file's name.
pub(crate) fn parse_toml<T: DeserializeOwned + Default>(
    location: &str,
    bytes: &[u8],
    problems: &mut Vec<Problem>,
) -> T {
    let mut wrong = Vec::new();
    let found = match std::str::from_utf8(bytes) {
        Ok(text) => read_toml(text, &mut wrong),
        Err(_) => {
            problems.push(Problem::new(location, "expected UTF-8, found other bytes"));
            T::default()
        }
    };
    problems.extend(wrong.into_iter().map(|problem| Problem {
        location: format!("{location}: {}", problem.location),
        ..problem
    }));
    found
}

/// Returns the value if there are no problems, else one error with all of them.
pub(crate) fn ok_or_problems<T>(value: T, problems: Vec<Problem>) -> Result<T> {
    let mut problems = capped(problems).into_iter();
    match problems.next() {
        None => Ok(value),
        Some(first) => Err(problems.fold(Error::new(ErrorKind::Input, first), Error::and)),
    }
}

/// Parses a TOML text. A syntax error becomes a problem with its line number.
pub(crate) fn parse_table(text: &str) -> std::result::Result<Table, Problem> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| {
            text[..span.start.min(text.len())].matches('\n').count() + 1
        });
        Problem::new(
            format!("line {line}"),
            format!("expected TOML, found: {}", error.message()),
        )
    })
}

/// Deserializes the table into `T` and collects every wrong key instead of stopping at the first.
///
/// serde stops at its first error. So each error is collected, its key is removed, and
/// deserialization starts again. The result has every correct key. A wrong entry of a list of
/// tables becomes an empty table, so that the entries behind it keep their positions. An entry that
/// is wrong even then is removed.
pub(crate) fn read_all<T: DeserializeOwned + Default>(mut table: Table, problems: &mut Vec<Problem>) -> T {
    let mut emptied: Vec<Vec<KeyStep>> = Vec::new();
    let mut removed: Vec<Vec<KeyStep>> = Vec::new();
    loop {
        // The rest would not be shown, and each problem parses the table once more.
        if problems.len() > Limit::Findings.size() {
            return T::default();
        }
        match serde_path_to_error::deserialize(TomlValue(Value::Table(table.clone()))) {
            Ok(value) => return value,
            Err(error) => {
                let mut path: Vec<KeyStep> = error.path().iter().filter_map(KeyStep::from_segment).collect();
                let message = error.inner().message().trim().to_owned();
                let unknown = unknown_field(&message);
                if let Some((name, _)) = &unknown
                    && !matches!(path.last(), Some(KeyStep::Key(key)) if key == name)
                {
                    path.push(KeyStep::Key(name.clone()));
                }
                let written = as_written(&path, &removed);
                let is_reported = emptied.contains(&written);
                if !is_reported {
                    let location = show_path(&written);
                    problems.push(match unknown {
                        Some((name, expected)) => unknown_key(location, &name, &expected),
                        None => Problem::new(location, message),
                    });
                }
                let is_entry = matches!(path.last(), Some(KeyStep::Index(_)));
                if is_entry && !is_reported && replace(&mut table, &path, Value::Table(Table::new())) {
                    emptied.push(written);
                } else if remove(&mut table, &path) {
                    if is_entry {
                        removed.push(written);
                    }
                } else {
                    return T::default();
                }
            }
        }
    }
}

/// Returns a path with the positions of the file, in which no entry is removed.
fn as_written(path: &[KeyStep], removed: &[Vec<KeyStep>]) -> Vec<KeyStep> {
    let mut written: Vec<KeyStep> = Vec::new();
    for step in path {
        let step = match step {
            KeyStep::Key(key) => KeyStep::Key(key.clone()),
            KeyStep::Index(idx) => {
                let mut gone: Vec<usize> = removed
                    .iter()
                    .filter_map(|path| match path.split_last() {
                        Some((KeyStep::Index(gone), list)) if list == written => Some(*gone),
                        _ => None,
                    })
                    .collect();
                gone.sort_unstable();
                let shift = |idx: usize, gone: usize| if gone <= idx { idx + 1 } else { idx };
                KeyStep::Index(gone.into_iter().fold(*idx, shift))
            }
        };
        written.push(step);
    }
    written
}

/// One step of a key path.
#[derive(Debug, PartialEq)]
enum KeyStep {
    Key(String),
    Index(usize),
}

impl KeyStep {
    fn from_segment(segment: &serde_path_to_error::Segment) -> Option<Self> {
        match segment {
            serde_path_to_error::Segment::Seq { index } => Some(Self::Index(*index)),
            serde_path_to_error::Segment::Map { key } => Some(Self::Key(key.clone())),
            _ => None,
        }
    }
}

/// Formats a key path, such as `layer[2].id`. Indices count from 1.
fn show_path(path: &[KeyStep]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            KeyStep::Key(key) if text.is_empty() => text.push_str(key),
            KeyStep::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            KeyStep::Index(idx) => text.push_str(&format!("[{}]", idx + 1)),
        }
    }
    text
}

/// The unknown field and the expected fields, from serde's message "unknown field `a`, expected one
/// of `b`, `c`". `None` for another message.
pub(crate) fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let mut quoted = rest.split('`');
    let name = quoted.next()?.to_owned();
    let expected = quoted.skip(1).step_by(2).map(str::to_owned).collect();
    Some((name, expected))
}

/// The problem of an unknown key. Its hint suggests a similar key, or lists the known keys.
pub(crate) fn unknown_key(location: String, name: &str, expected: &[String]) -> Problem {
    let problem = Problem::new(location, format!("expected a known key, found `{name}`"));
    match nearest(name, expected.iter().map(String::as_str)) {
        Some(key) => problem.hint(format!("did you mean `{key}`?")),
        None => problem.hint(format!("known keys: {}", expected.join(", "))),
    }
}

/// Removes the value at a path. Returns `false` if the path does not exist.
fn remove(table: &mut Table, path: &[KeyStep]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    if let (KeyStep::Key(key), []) = (last, parents) {
        return table.remove(key).is_some();
    }
    match (last, node(table, parents)) {
        (KeyStep::Key(key), Some(Value::Table(table))) => table.remove(key).is_some(),
        (KeyStep::Index(idx), Some(Value::Array(array))) if *idx < array.len() => {
            array.remove(*idx);
            true
        }
        _ => false,
    }
}

/// Replaces the value at a path. Returns `false` if the path does not exist.
fn replace(table: &mut Table, path: &[KeyStep], value: Value) -> bool {
    let node = node(table, path);
    let is_there = node.is_some();
    node.into_iter().for_each(|node| *node = value.clone());
    is_there
}

/// Returns the value at a path. `None` if the path does not exist or is empty.
fn node<'a>(table: &'a mut Table, path: &[KeyStep]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    let KeyStep::Key(first) = first else { return None };
    rest.iter()
        .try_fold(table.get_mut(first)?, |node, step| match (step, node) {
            (KeyStep::Key(key), Value::Table(table)) => table.get_mut(key),
            (KeyStep::Index(idx), Value::Array(array)) => array.get_mut(*idx),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Entry {
        a: u8,
    }

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Document {
        entry: Vec<Entry>,
        number: Vec<f64>,
        inner: Entry,
    }

    #[test]
    fn problems_have_the_positions_of_the_file() {
        let check = |text: &str, expected: &[&str], n_entries: usize| {
            let mut problems = Vec::new();
            let document: Document = read_toml(text, &mut problems);
            let locations: Vec<&str> = problems.iter().map(|p| p.location.as_str()).collect();
            assert_eq!(locations, expected, "{text}");
            assert_eq!(document.entry.len(), n_entries, "{text}");
        };
        check(
            "entry = ['x', {a = 1}, {a = 's'}]",
            &["entry[1]", "entry[3].a"],
            3,
        );
        check(
            "entry = [{b = 1}, 2, {a = -1}]",
            &["entry[1].b", "entry[2]", "entry[3].a"],
            3,
        );
        check(
            "number = ['x', 1, 'y', 'z', 2]",
            &["number[1]", "number[3]", "number[4]"],
            0,
        );
        // A list is no table.
        check("inner = [1]", &["inner"], 0);
        check("entry = [[1], {a = 2}]", &["entry[1]"], 2);
        check("inner = {a = 1}", &[], 0);
    }
}
