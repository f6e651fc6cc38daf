//! NDJSON files: the keys of all lines, and batches of text columns.

use arrow_array::RecordBatch;
use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, Schema};
use hashbrown::HashMap;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::escape;
use crate::base::limits::Limit;
use crate::base::lines::Lines;
use crate::input::file::InputFile;
use crate::input::text_file::{BATCH_ROWS, BUFFER, OnArrays, open_text};

/// Returns the keys of all lines, in order of appearance. All lines are read, because a key may
/// first appear late.
///
/// # Errors
/// A line is not a JSON object, has a key twice, or is too long; or there are too many keys.
pub(super) fn columns(path: &Path, gzip: bool) -> Result<Vec<String>> {
    let mut lines = open(path, gzip)?;
    let mut keys = Keys::default();
    let location = |number: u64| format!("{}: line {number}", path.display());
    while let Some((number, line)) = lines.next()? {
        keys.line = number;
        keys.read(line).map_err(|error| {
            let what = error.to_string();
            let what = what.split(" at line").next().unwrap_or_default();
            Error::input(location(number), format!("expected a JSON object, found: {what}"))
        })?;
        Limit::Columns.check(location(number), keys.names.len() as u64)?;
        Limit::Line.check(location(number), keys.n_bytes)?;
    }
    Ok(keys.names)
}

/// Reads the named columns batch by batch, in the order of `names`.
///
/// # Errors
/// A line cannot be read, or `on_arrays` fails.
pub(super) fn read(
    input: &InputFile,
    gzip: bool,
    names: &[&str],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let path = input.path.as_path();
    let wanted: BTreeSet<&str> = names.iter().copied().collect();
    let fields = wanted
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true))
        .collect::<Vec<_>>();
    let mut decoder = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_coerce_primitive(true)
        .with_batch_size(BATCH_ROWS)
        .build_decoder()
        .map_err(|error| unreadable(path, &error))?;
    let mut on_batch = |batch: RecordBatch| {
        let arrays = names
            .iter()
            .filter_map(|name| batch.column_by_name(name).cloned())
            .collect();
        on_arrays(arrays, batch.num_rows())
    };
    let mut lines = open(path, gzip)?;
    let mut n_bytes = 0;
    loop {
        let line = lines.next()?;
        let is_over = line.is_none();
        if let Some((_, line)) = line {
            n_bytes += line.len() as u64;
            decoder.decode(line).map_err(|error| unreadable(path, &error))?;
        }
        if is_over || decoder.len() >= BATCH_ROWS || n_bytes >= Limit::Batch.value() {
            n_bytes = 0;
            let batch = decoder.flush().map_err(|error| unreadable(path, &error))?;
            batch.map_or(Ok(()), &mut on_batch)?;
        }
        if is_over {
            return Ok(());
        }
    }
}

fn open(path: &Path, gzip: bool) -> Result<Lines<BufReader<Box<dyn Read>>>> {
    let text = open_text(path, gzip)?;
    Ok(Lines::new(path, BufReader::with_capacity(BUFFER, text)))
}

fn unreadable(path: &Path, error: &dyn fmt::Display) -> Error {
    let found = without_record(&error.to_string());
    Error::in_file(path, format!("expected a readable file, found: {found}"))
}

/// The error of a JSON reader with a short excerpt of the value that it quotes. The value can be a
/// whole record, whose data must not go to logs.
fn without_record(text: &str) -> String {
    let Some((before, found)) = text
        .split_once(" got ")
        .filter(|_| text.starts_with("Json error"))
    else {
        return text.to_owned();
    };
    let found = match found.chars().next() {
        Some('{') => "an object".to_owned(),
        Some('[') => "a list".to_owned(),
        _ => escape::value(found),
    };
    format!("{before}, found {found}")
}

/// The keys of the lines that have been read.
#[derive(Default)]
struct Keys {
    /// In the order of their first lines.
    names: Vec<String>,
    /// The line in which each key was last seen.
    last: HashMap<String, u64>,
    /// Number of the current line, from 1.
    line: u64,
    /// Bytes of all names.
    n_bytes: u64,
}

impl Keys {
    /// Adds the keys of a line.
    fn read(&mut self, line: &[u8]) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        self.deserialize(&mut deserializer)?;
        deserializer.end()
    }
}

impl<'de> DeserializeSeed<'de> for &mut Keys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Keys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<(), A::Error> {
        while let Some((Key(key), IgnoredAny)) = entries.next_entry::<Key<'de>, IgnoredAny>()? {
            match self.last.get_mut(key.as_ref()) {
                Some(line) if *line == self.line => {
                    return Err(A::Error::custom(format!("a repeated key `{key}`")));
                }
                Some(line) => *line = self.line,
                None => {
                    self.n_bytes += key.len() as u64;
                    self.names.push(key.clone().into_owned());
                    self.last.insert(key.into_owned(), self.line);
                }
            }
        }
        Ok(())
    }
}

/// A key, borrowed from its line where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_all_lines_and_stand_once_in_a_line() {
        let check = |lines: &[&str], expected: Result<&[&str], &str>| {
            let mut keys = Keys::default();
            let mut read = || {
                lines.iter().enumerate().try_for_each(|(idx, line)| {
                    keys.line = idx as u64 + 1;
                    keys.read(line.as_bytes()).map_err(|error| error.to_string())
                })
            };
            match (read(), expected) {
                (Ok(()), Ok(expected)) => assert_eq!(keys.names, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{lines:?}: expected {expected:?}, found {found:?}"),
            }
        };
        check(
            &[r#"{"b":1,"a":{"b":2}}"#, r#"{"a":1,"c":[]}"#],
            Ok(&["b", "a", "c"]),
        );
        check(&[r#"{"a":1,"b":2,"a":1}"#], Err("a repeated key `a`"));
        check(&[r#"{"a":1,"\u0061":1}"#], Err("a repeated key `a`"));
        check(&["[1]"], Err("invalid type"));
        check(&[r#"{"a":1}{"a":1}"#], Err("trailing characters"));
    }
}
