//! Requests for columns.

/// A column of a file that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want<'a> {
    /// Name in the file.
    pub(super) name: &'a str,
    /// Whether its values may be nested. Parquet and Arrow then give their nested arrays, JSON gives
    /// the values as JSON texts. Otherwise a nested value is an error.
    pub(super) nested: bool,
}

impl<'a> Want<'a> {
    /// A column with one value in a row.
    #[cfg(test)]
    pub(super) fn flat(name: &'a str) -> Self {
        Self { name, nested: false }
    }
}
