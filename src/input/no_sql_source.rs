//! Sources of queries in a program that was built without the feature `frames`.

use crate::base::error::{Error, Result};
use crate::input::table::Table;
use crate::scenario::{Query, Source};

/// Refuses a source's query.
///
/// # Errors
/// Always.
pub(super) fn open(_: &Source, query: &Query) -> Result<Table> {
    Err(Error::usage(format!(
        "expected a program with the feature `frames` for {}, found one without it",
        query.key
    ))
    .hint("build it with: cargo build --release --features frames"))
}
