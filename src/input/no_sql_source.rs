//! Sources of queries in a program that was built without the feature `frames`.

use crate::base::error::{Error, Result};
use crate::input::table::Table;
use crate::scenario::Source;

impl Table {
    /// Opens the files of a source.
    ///
    /// # Errors
    /// The source has a query. There is no file, a file has an unknown format, or a header cannot be
    /// read.
    pub fn open(source: &Source) -> Result<Self> {
        let Some(query) = &source.sql else {
            return Self::open_files(source);
        };
        Err(Error::usage(format!(
            "expected a program with the feature `frames` for {}, found one without it",
            query.key
        ))
        .hint("build it with: cargo build --release --features frames"))
    }
}
