//! The names that the expressions of a source can use: columns of a file, and what the source makes
//! of them.

use arrow_schema::DataType;
use std::collections::BTreeMap;

use crate::frames::compile::{Column, Derived, Named, Names, Scope, unknown_name};
use crate::frames::field::Field;
use crate::frames::kind::Kind;
use crate::frames::node::{BEYOND_WHOLE, MAX_WHOLE};
use crate::frames::wrong::Wrong;
use crate::scenario::Source;

/// The names of a source and of the columns of one file.
pub(crate) struct FileNames<'a> {
    pub(crate) source: &'a Source,
    /// The types of the file's columns.
    pub(crate) columns: &'a BTreeMap<String, DataType>,
    /// Whether the file states the types of its columns.
    pub(crate) is_typed: bool,
}

impl Names for FileNames<'_> {
    fn resolve(&self, path: &[String], scope: Scope) -> Result<Named, Wrong> {
        let found = match scope {
            Scope::File => self.in_file(path).or_else(|| self.in_source(path)),
            Scope::Canonical => self.in_source(path).or_else(|| self.in_file(path)),
        };
        found.unwrap_or_else(|| {
            let derived = self
                .source
                .derive
                .iter()
                .filter(|(_, expression)| !expression.is_canonical);
            let derived = derived.map(|(name, _)| name.as_str());
            let known = self.columns.keys().map(String::as_str).chain(derived);
            Err(unknown_name(&path.join("."), known))
        })
    }

    fn list(&self, path: &[String]) -> Result<(String, Vec<String>), Wrong> {
        (1..=path.len())
            .rev()
            .find_map(|n| {
                let name = path[..n].join(".");
                self.columns.get(&name)?;
                Some((name, path[n..].to_vec()))
            })
            .ok_or_else(|| unknown_name(&path.join("."), self.columns.keys().map(String::as_str)))
    }

    fn is_known(&self, name: &str) -> bool {
        let is_start = |column: &String| {
            column
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.columns.keys().any(is_start)
            || self.source.derive.contains_key(name)
            || self.source.columns.contains_key(name)
            || self.source.constants.contains_key(name)
    }
}

impl FileNames<'_> {
    /// A column of the file. The longest name wins: a column `a.b` comes before the field `b` of the
    /// column `a`.
    fn in_file(&self, path: &[String]) -> Option<Result<Named, Wrong>> {
        (1..=path.len()).rev().find_map(|n| {
            let name = path[..n].join(".");
            let data_type = self.columns.get(&name)?;
            Some(field(&name, data_type, &path[n..], self.is_typed))
        })
    }

    /// A derived or renamed column, or a constant.
    fn in_source(&self, path: &[String]) -> Option<Result<Named, Wrong>> {
        let name = path.join(".");
        if let Some(expression) = self.source.derive.get(&name).filter(|e| !e.is_canonical) {
            return Some(Ok(Named::Derived(Derived {
                name,
                text: expression.text.clone(),
                key: expression.key.clone(),
            })));
        }
        if let Some(column) = self.source.columns.get(&name) {
            let path: Vec<String> = match self.columns.contains_key(column) {
                true => vec![column.clone()],
                false => column.split('.').map(str::to_owned).collect(),
            };
            return self.in_file(&path);
        }
        let text = self.source.constants.get(&name)?;
        Some(if text.contains("{row}") {
            Err(Wrong::new(format!(
                "expected a column or a constant text, found `{name}`, which counts rows"
            )))
        } else {
            Ok(Named::Constant(text.clone()))
        })
    }
}

/// A column, or a value within it.
fn field(name: &str, data_type: &DataType, path: &[String], is_typed: bool) -> Result<Named, Wrong> {
    let inner = type_at(data_type, path).ok_or_else(|| {
        Wrong::new(format!(
            "expected a value at `{}` in the column `{name}`, found {data_type}",
            path.join(".")
        ))
    })?;
    // A list has no kind, but its elements can be counted.
    let kind = match Kind::of(&inner) {
        Ok(kind) => kind,
        Err(message) => {
            return Err(Wrong::new(format!("{message} in the column `{name}`")).hint(
                "take a value out of it, such as column ->> 'name', column[1], array_length(column) or \
             count_where(column, 'name', 'text')",
            ));
        }
    };
    let bound = match &inner {
        DataType::Int8 | DataType::UInt8 => 255.0,
        DataType::Int16 | DataType::UInt16 => 65_535.0,
        DataType::Int32 | DataType::UInt32 => f64::from(u32::MAX),
        DataType::UInt64 => BEYOND_WHOLE,
        _ => MAX_WHOLE * 2.0,
    };
    // A text within a nested column is that of a JSON text, or of a tag.
    let is_untyped = kind == Kind::Text && (!is_typed || !path.is_empty());
    Ok(Named::Field(Column {
        field: Field::at(name, path.to_vec()),
        kind,
        bound,
        is_untyped,
    }))
}

/// The type of the value at a path. `None` if the type has no such value.
fn type_at(data_type: &DataType, path: &[String]) -> Option<DataType> {
    let Some((first, rest)) = path.split_first() else {
        return Some(data_type.clone());
    };
    match data_type {
        DataType::Struct(fields) => {
            let field = fields.iter().find(|field| field.name() == first)?;
            type_at(field.data_type(), rest)
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => type_at(fields.get(1)?.data_type(), rest),
            _ => None,
        },
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            if first.parse::<u64>().is_ok() {
                type_at(element.data_type(), rest)
            } else {
                // The text behind a key.
                rest.is_empty().then_some(DataType::Utf8)
            }
        }
        // Text that holds JSON.
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        _ => None,
    }
}
