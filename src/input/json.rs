//! JSON files: the keys of all rows, and batches of text columns. A file has one object a line, or it
//! is an array of objects.

use arrow_array::ArrayRef;
use arrow_array::builder::StringBuilder;
use hashbrown::HashMap;
use memchr::memmem;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::json::replace_nan;
use crate::base::limits::Limit;
use crate::base::lines::{BYTE_ORDER_MARK, Lines};
use crate::input::file::InputFile;
use crate::input::format::Packing;
use crate::input::json_array::Elements;
use crate::input::json_path;
use crate::input::text_file::{BATCH_ROWS, BUFFER, OnArrays, open_text};
use crate::input::want::Want;

/// Bytes that a value of a batch takes beside its text.
const VALUE_BYTES: usize = 8;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One object a line.
    Lines,
    /// An array, or one object a line: the first sign tells.
    Any,
}

/// Returns the keys of all rows, in order of appearance. All rows are read, because a key may first
/// appear late.
///
/// # Errors
/// A row is not a JSON object, has a key twice, or is too long; or there are too many keys.
pub(super) fn columns(path: &Path, packing: Packing, form: Form) -> Result<Vec<String>> {
    let mut rows = Rows::open(path, packing, form)?;
    let (mut keys, mut clean) = (Keys::default(), Vec::new());
    while let Some((number, row)) = rows.next(&mut clean)? {
        keys.row = number;
        let wrong = keys.read(row).err().map(|error| error.to_string());
        if let Some(error) = wrong {
            let is_cut = form == Form::Any && number == 1 && error.starts_with("EOF");
            let what = error.split(" at line").next().unwrap_or_default();
            let message = format!("expected a JSON object, found: {what}");
            let error = Error::input(rows.location(number), message);
            return Err(if is_cut { error.hint(ONE_OBJECT) } else { error });
        }
        Limit::Columns.check(rows.location(number), keys.names.len() as u64)?;
        Limit::Line.check(rows.location(number), keys.n_bytes)?;
    }
    if form == Form::Any && keys.row == 1 {
        refuse_wrapped(path, packing, form)?;
    }
    Ok(keys.names)
}

const ONE_OBJECT: &str = "a .json file is an array of objects, or has one object a line: write the list of rows \
                          alone, such as jq '.rows' f.json > rows.json";

/// Refuses a file of one object that holds the list of rows.
fn refuse_wrapped(path: &Path, packing: Packing, form: Form) -> Result<()> {
    let mut rows = Rows::open(path, packing, form)?;
    let is_array = matches!(rows, Rows::Array(_));
    let mut clean = Vec::new();
    let Some((_, row)) = rows.next(&mut clean)?.filter(|_| !is_array) else {
        return Ok(());
    };
    let values: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(row).unwrap_or_default();
    let is_list = |value: &str| {
        let inner = value.strip_prefix('[').map(str::trim_start);
        inner.is_some_and(|inner| inner.starts_with('{'))
    };
    match values.iter().find(|(_, value)| is_list(value.get())) {
        None => Ok(()),
        Some((key, _)) => Err(Error::in_file(
            path,
            format!(
                "expected an array of objects, or one object a line, found one object with a list in `{key}`"
            ),
        )
        .hint(ONE_OBJECT)),
    }
}

/// Reads columns batch by batch, in the order of `wanted`. The values are texts: see
/// [`json_path::text_of`].
///
/// # Errors
/// A row cannot be read, a column that is not wanted as nested holds an object or a list, or
/// `on_arrays` fails.
pub(super) fn read(
    input: &InputFile,
    (packing, form): (Packing, Form),
    wanted: &[Want<'_>],
    on_arrays: &mut OnArrays<'_>,
) -> Result<()> {
    let mut rows = Rows::open(&input.path, packing, form)?;
    let mut values = Values::new(wanted);
    let mut builders: Vec<StringBuilder> = wanted.iter().map(|_| StringBuilder::new()).collect();
    let (mut n_rows, mut n_bytes, mut clean) = (0, 0, Vec::new());
    loop {
        let row = rows.next(&mut clean)?;
        let is_over = row.is_none();
        if let Some((number, row)) = row {
            let found = values.read(row, |idx, value| {
                if let Some(text) = &value {
                    n_bytes += text.len();
                }
                n_bytes += VALUE_BYTES;
                builders[idx].append_option(value);
            });
            found.map_err(|problem| problem.at(&rows.location(number)))?;
            n_rows += 1;
        }
        if n_rows > 0 && (is_over || n_rows == BATCH_ROWS || n_bytes >= Limit::Batch.size()) {
            let arrays = builders
                .iter_mut()
                .map(|builder| Arc::new(builder.finish()) as ArrayRef);
            on_arrays(arrays.collect(), n_rows)?;
            (n_rows, n_bytes) = (0, 0);
        }
        if is_over {
            return Ok(());
        }
    }
}

/// The rows of a file, as JSON texts.
enum Rows {
    Lines(Lines<Text>),
    Array(Elements<Text>),
}

type Text = BufReader<Box<dyn Read>>;

impl Rows {
    fn open(path: &Path, packing: Packing, form: Form) -> Result<Self> {
        let open = || -> Result<Text> { Ok(BufReader::with_capacity(BUFFER, open_text(path, packing)?)) };
        if form == Form::Any && first_sign(open()?).or_unreadable(path)? == Some(b'[') {
            return Ok(Self::Array(Elements::new(path, open()?)));
        }
        Ok(Self::Lines(Lines::new(path, open()?)))
    }

    /// The next row and its number. NaN and infinities, which Python writes and JSON does not have,
    /// are texts: the column decides what they mean.
    fn next<'a>(&'a mut self, clean: &'a mut Vec<u8>) -> Result<Option<(u64, &'a [u8])>> {
        let row = match self {
            Self::Lines(lines) => lines.next(),
            Self::Array(elements) => elements.next(),
        };
        let Some((number, row)) = row? else {
            return Ok(None);
        };
        let may_have = memmem::find(row, b"NaN").is_some() || memmem::find(row, b"Infinity").is_some();
        match may_have.then(|| replace_nan(row, b"\"NaN\"")).flatten() {
            Some(replaced) => {
                *clean = replaced;
                Ok(Some((number, clean)))
            }
            None => Ok(Some((number, row))),
        }
    }

    fn location(&self, number: u64) -> String {
        match self {
            Self::Lines(lines) => lines.location(number),
            Self::Array(elements) => elements.location(number),
        }
    }
}

/// The first byte that is not blank, after a byte order mark. `None` for an empty text.
fn first_sign(text: Text) -> std::io::Result<Option<u8>> {
    let mut mark = BYTE_ORDER_MARK.iter();
    for byte in text.bytes() {
        let byte = byte?;
        if mark.next() != Some(&byte) && !byte.is_ascii_whitespace() {
            return Ok(Some(byte));
        }
    }
    Ok(None)
}

/// Why a row has no values.
enum NoRow {
    Unreadable(String),
    Nested { column: String, found: &'static str },
}

impl NoRow {
    fn at(self, location: &str) -> Error {
        match self {
            Self::Unreadable(found) => {
                Error::input(location, format!("expected a JSON object, found: {found}"))
            }
            Self::Nested { column, found } => Error::input(
                format!("{location}, column `{column}`"),
                format!("expected one value in a row, found {found}"),
            )
            .hint(format!("name a value in it, such as {column}.id")),
        }
    }
}

/// Reads the wanted values of rows.
struct Values<'w> {
    wanted: &'w [Want<'w>],
    /// The first column of the same name in `wanted`, for each column.
    first: Vec<usize>,
    /// The keys of the last row, with their positions in `wanted`: those of the next are often the
    /// same.
    keys: Vec<(String, Option<usize>)>,
}

impl<'w> Values<'w> {
    fn new(wanted: &'w [Want<'w>]) -> Self {
        let position = |want: &Want<'_>| wanted.iter().position(|other| other.name == want.name);
        Self {
            wanted,
            first: wanted.iter().filter_map(position).collect(),
            keys: Vec::new(),
        }
    }

    /// Passes the value of each wanted column to `on_value`, with its position.
    fn read(
        &mut self,
        row: &[u8],
        mut on_value: impl FnMut(usize, Option<Cow<'_, str>>),
    ) -> Result<(), NoRow> {
        let unreadable = |error: &dyn fmt::Display| {
            let text = error.to_string();
            NoRow::Unreadable(text.split(" at line").next().unwrap_or_default().to_owned())
        };
        let row = std::str::from_utf8(row).map_err(|error| unreadable(&error))?;
        let mut found = vec![None; self.wanted.len()];
        let pick = PickWanted {
            wanted: self.wanted,
            keys: &mut self.keys,
            found: &mut found,
        };
        let mut deserializer = serde_json::Deserializer::from_str(row);
        pick.deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| unreadable(&error))?;
        for (idx, want) in self.wanted.iter().enumerate() {
            let Some(value) = found[self.first[idx]] else {
                on_value(idx, None);
                continue;
            };
            let nested = match value.as_bytes().first() {
                Some(b'{') => Some("an object"),
                Some(b'[') => Some("a list"),
                _ => None,
            };
            if let Some(found) = nested.filter(|_| !want.nested) {
                let column = want.name.to_owned();
                return Err(NoRow::Nested { column, found });
            }
            let text = json_path::text_of(value);
            on_value(
                idx,
                text.map_err(|_| NoRow::Unreadable("a text that is none".to_owned()))?,
            );
        }
        Ok(())
    }
}

/// Reads the values of the wanted keys of an object.
struct PickWanted<'a, 'w, 'de> {
    wanted: &'w [Want<'w>],
    keys: &'a mut Vec<(String, Option<usize>)>,
    found: &'a mut [Option<&'de str>],
}

impl<'de> DeserializeSeed<'de> for PickWanted<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PickWanted<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<(), A::Error> {
        let mut n_read = 0;
        while let Some(Key(key)) = entries.next_key::<Key<'de>>()? {
            if self.keys.get(n_read).is_none_or(|(known, _)| *known != key) {
                let position = self.wanted.iter().position(|want| want.name == key);
                self.keys.truncate(n_read);
                self.keys.push((key.into_owned(), position));
            }
            match self.keys[n_read].1 {
                Some(idx) => self.found[idx] = Some(entries.next_value::<&'de RawValue>()?.get()),
                None => _ = entries.next_value::<IgnoredAny>()?,
            }
            n_read += 1;
        }
        Ok(())
    }
}

/// The keys of the rows that have been read.
#[derive(Default)]
struct Keys {
    /// In the order of their first rows.
    names: Vec<String>,
    /// The row in which each key was last seen.
    last: HashMap<String, u64>,
    /// Number of the current row, from 1.
    row: u64,
    /// Bytes of all names.
    n_bytes: u64,
}

impl Keys {
    /// Adds the keys of a row.
    fn read(&mut self, row: &[u8]) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_slice(row);
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
                Some(row) if *row == self.row => {
                    return Err(A::Error::custom(format!("a repeated key `{key}`")));
                }
                Some(row) => *row = self.row,
                None => {
                    self.n_bytes += key.len() as u64;
                    self.names.push(key.clone().into_owned());
                    self.last.insert(key.into_owned(), self.row);
                }
            }
        }
        Ok(())
    }
}

/// A key, borrowed from its row where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_all_rows_and_stand_once_in_a_row() {
        let check = |lines: &[&str], expected: Result<&[&str], &str>| {
            let mut keys = Keys::default();
            let mut read = || {
                lines.iter().enumerate().try_for_each(|(idx, line)| {
                    keys.row = idx as u64 + 1;
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
