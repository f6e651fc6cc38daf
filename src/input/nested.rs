//! Values within nested columns, found by a path such as `metadata.release`.

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray, StructArray, UInt64Array};
use arrow_buffer::NullBuffer;
use arrow_cast::cast;
use arrow_schema::{DataType, Fields};
use arrow_select::nullif::nullif;
use arrow_select::take::take;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::base::escape;
use crate::input::json_path;
use crate::input::json_path::{NoJson, PAIR, Prefix, after_key, prefixes};
use crate::input::texts::is_text;

/// Why a path has no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoPath {
    /// The row in the array. `None` if the column's type does not have the path.
    pub(super) row: Option<usize>,
    /// The reason, as `expected ..., found ...`.
    pub(super) message: String,
}

/// Returns the values at a path, one a row. Each step of the path leads
///
/// - in a struct, to a field;
/// - in a map or a JSON object, to the value of a key;
/// - in a list, with a whole number, to the element of that number from 0;
/// - in a list of texts, with another text, to what follows `KEY:` or `KEY=` in the first such text;
/// - in a list of structs with `key` or `name`, and `value`, to the value of the first such pair.
///
/// Names of fields and keys may have points: the longest that fits is taken. A column of texts is read
/// as JSON; its values become texts: the content of a string, the digits of a number, `true` or
/// `false`, and objects and lists as JSON without blanks. A row without the value is null.
///
/// # Errors
/// The type of the column does not have the path, or a text begins like a JSON object or list and is
/// none: the reason, as `expected ..., found ...`.
pub(crate) fn at_path(array: &ArrayRef, path: &[&str]) -> Result<ArrayRef, String> {
    values_at(array, path).map_err(|problem| problem.message)
}

/// Returns the numbers of elements of lists, or of entries of maps and JSON objects. Null for a row
/// without one.
///
/// # Errors
/// The column holds neither lists, maps nor texts, or a text begins like a JSON object or list and is
/// none.
pub(crate) fn length_of(array: &ArrayRef) -> Result<Int64Array, String> {
    if is_text(array.data_type()) {
        return count(&text_array(array).map_err(|problem| problem.message)?, |text| {
            json_path::length(text)
        });
    }
    let lists = Lists::new(array).ok_or_else(|| no_list(array.data_type()).message)?;
    Ok(lists.map(|range| Some(range.len() as i64)))
}

/// Returns the numbers of elements of lists whose value at the path `field` has the text `value`. An
/// empty path is the element itself. Null for a row without a list.
///
/// # Errors
/// The column holds neither lists nor texts, its elements do not have the path, or a text begins like
/// a JSON object or list and is none.
pub(crate) fn count_where(array: &ArrayRef, field: &str, value: &str) -> Result<Int64Array, String> {
    let path: Vec<&str> = field.split('.').filter(|step| !step.is_empty()).collect();
    if is_text(array.data_type()) {
        return count(&text_array(array).map_err(|problem| problem.message)?, |text| {
            json_path::count_where(text, &path, value)
        });
    }
    let lists = Lists::new(array).ok_or_else(|| no_list(array.data_type()).message)?;
    let fields = at_path(&lists.values, &path)?;
    let fields = text_array(&fields).map_err(|problem| problem.message)?;
    let is_counted = |idx: &usize| fields.is_valid(*idx) && fields.value(*idx) == value;
    Ok(lists.map(|range| Some(range.filter(is_counted).count() as i64)))
}

/// Whether columns of a type have a path. Keys of maps, elements of lists and JSON count as there.
pub(super) fn has_path(data_type: &DataType, path: &[&str]) -> bool {
    if path.is_empty() {
        return true;
    }
    match data_type {
        DataType::Struct(fields) => longest(fields, path)
            .is_some_and(|(idx, n_steps)| has_path(fields[idx].data_type(), &path[n_steps..])),
        DataType::Map(..) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => match path[0].parse::<usize>() {
            Ok(_) => has_path(item.data_type(), &path[1..]),
            Err(_) => is_text(item.data_type()) || pair_of(item.data_type()).is_some(),
        },
        other => is_text(other),
    }
}

/// [`at_path`] with the row of a value that cannot be read.
pub(super) fn values_at(array: &ArrayRef, path: &[&str]) -> Result<ArrayRef, NoPath> {
    let Some(step) = path.first() else {
        return Ok(Arc::clone(array));
    };
    match array.data_type() {
        DataType::Struct(_) => field_at(array.as_struct(), path),
        DataType::Map(..) => key_at(array, path),
        other if is_text(other) => json_at(array, path),
        other => {
            let lists = Lists::new(array).ok_or_else(|| no_nesting(step, other))?;
            match step.parse::<usize>() {
                Ok(idx) => {
                    let element = |mut range: Range<usize>| range.nth(idx);
                    values_at(&lists.pick(element)?, &path[1..])
                }
                Err(_) if is_text(lists.values.data_type()) => texts_at(&lists, path),
                Err(_) => pairs_at(&lists, path),
            }
        }
    }
}

/// The field with the longest name that begins a path, and the number of its steps.
fn longest(fields: &Fields, path: &[&str]) -> Option<(usize, usize)> {
    prefixes(path).iter().find_map(|Prefix { key, n_steps }| {
        let idx = fields.iter().position(|field| field.name() == key)?;
        Some((idx, *n_steps))
    })
}

fn field_at(array: &StructArray, path: &[&str]) -> Result<ArrayRef, NoPath> {
    let Some((idx, n_steps)) = longest(array.fields(), path) else {
        let names: Vec<String> = (array.fields().iter().take(MAX_NAMES))
            .map(|field| format!("`{}`", field.name()))
            .collect();
        let found = names.join(", ");
        return Err(of_type(format!("expected a field `{}`, found {found}", path[0])));
    };
    // A field of a row without a struct has no value, whatever is stored.
    let field = match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => {
            let is_absent = BooleanArray::new(!nulls.inner(), None);
            nullif(array.column(idx), &is_absent).map_err(|error| unexpected(&error))?
        }
        _ => Arc::clone(array.column(idx)),
    };
    values_at(&field, &path[n_steps..])
}

/// The largest number of names in a message.
const MAX_NAMES: usize = 20;

/// The values of a key of maps. A map of nested values takes one step, a map of other values the
/// longest key that a row has.
fn key_at(array: &ArrayRef, path: &[&str]) -> Result<ArrayRef, NoPath> {
    let lists = Lists::new(array).ok_or_else(|| no_list(array.data_type()))?;
    let entries = lists.values.as_struct();
    let (keys, values) = (text_array(entries.column(0))?, Arc::clone(entries.column(1)));
    let lists = Lists { values, ..lists };
    in_entries(&lists, &keys, path)
}

/// The values of a key of lists of pairs.
fn pairs_at(lists: &Lists, path: &[&str]) -> Result<ArrayRef, NoPath> {
    let item = lists.values.data_type();
    let Some((key, value)) = pair_of(item) else {
        return Err(of_type(format!(
            "expected a whole number, or a list of pairs with `key` and `value`, for `{}`, found a list of {item}",
            path[0]
        )));
    };
    let pairs = lists.values.as_struct();
    let keys = field_at(pairs, &[pairs.fields()[key].name().as_str()])?;
    let lists = Lists {
        values: field_at(pairs, &[pairs.fields()[value].name().as_str()])?,
        ..lists.clone()
    };
    in_entries(&lists, &text_array(&keys)?, path)
}

/// The positions of the key and of the value in a struct that is a pair.
fn pair_of(data_type: &DataType) -> Option<(usize, usize)> {
    let DataType::Struct(fields) = data_type else {
        return None;
    };
    let position = |name: &str| fields.iter().position(|field| field.name() == name);
    let [key, name, value] = PAIR;
    Some((position(key).or_else(|| position(name))?, position(value)?))
}

/// The values of a key of lists of entries, whose values are those of `lists`.
fn in_entries(lists: &Lists, keys: &StringArray, path: &[&str]) -> Result<ArrayRef, NoPath> {
    let names = prefixes(path);
    let entry = |range: Range<usize>, name: &str| {
        range
            .into_iter()
            .find(|idx| keys.is_valid(*idx) && keys.value(*idx) == name)
    };
    if !is_text(lists.values.data_type()) {
        let n_steps = if lists.values.data_type().is_nested() {
            1
        } else {
            path.len()
        };
        let values = lists.pick(|range| entry(range, &names[path.len() - n_steps].key))?;
        return values_at(&values, &path[n_steps..]);
    }
    let texts = text_array(&lists.values)?;
    each_text(lists, |range| {
        for Prefix { key, n_steps } in &names {
            let found = entry(range.clone(), key).filter(|idx| texts.is_valid(*idx));
            let text = found.map(|idx| texts.value(idx));
            let text = match (text, *n_steps == path.len()) {
                (Some(text), true) => Some(text.into()),
                (Some(text), false) => json_path::at(text, &path[*n_steps..])?,
                (None, _) => None,
            };
            if text.is_some() {
                return Ok(text);
            }
        }
        Ok(None)
    })
}

/// The texts after a key in lists of texts.
fn texts_at(lists: &Lists, path: &[&str]) -> Result<ArrayRef, NoPath> {
    let (texts, names) = (text_array(&lists.values)?, prefixes(path));
    each_text(lists, |range| {
        for Prefix { key, n_steps } in &names {
            let mut range = range.clone().filter(|idx| texts.is_valid(*idx));
            let found = range.find_map(|idx| after_key(texts.value(idx), key));
            let found = match (found, *n_steps == path.len()) {
                (Some(text), true) => Some(text.into()),
                (Some(text), false) => json_path::at(text, &path[*n_steps..])?,
                (None, _) => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    })
}

/// The values of a path in texts that hold JSON.
fn json_at(array: &ArrayRef, path: &[&str]) -> Result<ArrayRef, NoPath> {
    let texts = text_array(array)?;
    let mut builder = StringBuilder::new();
    for (row, text) in texts.iter().enumerate() {
        let found = text.map_or(Ok(None), |text| json_path::at(text, path));
        builder.append_option(found.map_err(|NoJson| no_json(row, text))?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A text for each list. `text` gets the range of its elements.
fn each_text<'a>(
    lists: &Lists,
    text: impl Fn(Range<usize>) -> Result<Option<Cow<'a, str>>, NoJson>,
) -> Result<ArrayRef, NoPath> {
    let mut builder = StringBuilder::new();
    for row in 0..lists.len() {
        let found = lists.range(row).map_or(Ok(None), &text);
        builder.append_option(found.map_err(|NoJson| no_json(row, None))?);
    }
    Ok(Arc::new(builder.finish()))
}

fn count(
    texts: &StringArray,
    number: impl Fn(&str) -> Result<Option<i64>, NoJson>,
) -> Result<Int64Array, String> {
    let numbers = texts.iter().enumerate().map(|(row, text)| {
        let found = text.map_or(Ok(None), &number);
        found.map_err(|NoJson| no_json(row, text).message)
    });
    numbers.collect()
}

/// Lists of any layout: the values of all lists, and the range of each list in them.
#[derive(Clone)]
struct Lists {
    values: ArrayRef,
    starts: Vec<usize>,
    ends: Vec<usize>,
    nulls: Option<NullBuffer>,
}

impl Lists {
    /// `None` for a column of another type.
    fn new(array: &ArrayRef) -> Option<Self> {
        let of_offsets = |offsets: &mut dyn Iterator<Item = usize>| {
            let offsets: Vec<usize> = offsets.collect();
            (offsets[..offsets.len() - 1].to_vec(), offsets[1..].to_vec())
        };
        let (values, (starts, ends)) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let mut offsets = list.value_offsets().iter().map(|offset| *offset as usize);
                (Arc::clone(list.values()), of_offsets(&mut offsets))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let mut offsets = list.value_offsets().iter().map(|offset| *offset as usize);
                (Arc::clone(list.values()), of_offsets(&mut offsets))
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                let size = list.value_length() as usize;
                let mut offsets = (0..=list.len()).map(|row| row * size);
                (Arc::clone(list.values()), of_offsets(&mut offsets))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let mut offsets = map.value_offsets().iter().map(|offset| *offset as usize);
                let entries: ArrayRef = Arc::new(map.entries().clone());
                (entries, of_offsets(&mut offsets))
            }
            // Views are rare, and have no order of their elements.
            DataType::ListView(item) => {
                let list = cast(array, &DataType::List(Arc::clone(item))).ok()?;
                return Self::new(&list);
            }
            DataType::LargeListView(item) => {
                let list = cast(array, &DataType::LargeList(Arc::clone(item))).ok()?;
                return Self::new(&list);
            }
            _ => return None,
        };
        Some(Self {
            values,
            starts,
            ends,
            nulls: array.nulls().cloned(),
        })
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    /// The elements of a list. `None` for a row without one.
    fn range(&self, row: usize) -> Option<Range<usize>> {
        let is_there = self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        is_there.then(|| self.starts[row]..self.ends[row])
    }

    /// A number for each list.
    fn map(&self, number: impl Fn(Range<usize>) -> Option<i64>) -> Int64Array {
        (0..self.len()).map(|row| number(self.range(row)?)).collect()
    }

    /// One element of each list.
    fn pick(&self, element: impl Fn(Range<usize>) -> Option<usize>) -> Result<ArrayRef, NoPath> {
        let indices = (0..self.len()).map(|row| element(self.range(row)?).map(|idx| idx as u64));
        let indices: UInt64Array = indices.collect();
        take(&self.values, &indices, None).map_err(|error| unexpected(&error))
    }
}

fn text_array(array: &ArrayRef) -> Result<StringArray, NoPath> {
    let texts = cast(array, &DataType::Utf8).map_err(|error| unexpected(&error))?;
    Ok(texts.as_string().clone())
}

fn of_type(message: String) -> NoPath {
    NoPath { row: None, message }
}

fn no_nesting(step: &str, found: &DataType) -> NoPath {
    of_type(format!(
        "expected a nested value with `{step}` in it, found {found}"
    ))
}

fn no_list(found: &DataType) -> NoPath {
    of_type(format!("expected lists, found {found}"))
}

fn unexpected(error: &dyn std::fmt::Display) -> NoPath {
    of_type(format!("expected values that can be read, found: {error}"))
}

fn no_json(row: usize, text: Option<&str>) -> NoPath {
    let found = text.map_or_else(|| "a text that is none".to_owned(), escape::value);
    NoPath {
        row: Some(row),
        message: format!("expected JSON, found {found}"),
    }
}

#[cfg(test)]
mod tests;
