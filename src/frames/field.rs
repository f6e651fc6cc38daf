//! Inputs of expressions: a column of a file, or one value within a nested column.

use std::fmt;

/// A value of each row: a column, or a part of a nested column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// Name of the column in the file.
    pub(crate) column: String,
    pub(crate) access: Access,
}

/// The part of a column that a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// The column itself.
    Whole,
    /// The value at a path of names and indexes, from 0.
    Path(Vec<String>),
    /// The number of elements of the list at a path.
    Length(Vec<String>),
    /// The number of elements of the list at a path whose field has a text.
    CountWhere {
        path: Vec<String>,
        field: String,
        value: String,
    },
}

impl Field {
    /// The value at a path below a column; the column itself for an empty path.
    pub(crate) fn at(column: &str, path: Vec<String>) -> Self {
        Self {
            column: column.to_owned(),
            access: if path.is_empty() {
                Access::Whole
            } else {
                Access::Path(path)
            },
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.column)?;
        match &self.access {
            Access::Whole => Ok(()),
            Access::Path(path) | Access::Length(path) | Access::CountWhere { path, .. } => {
                path.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}
