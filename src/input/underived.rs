//! Derived columns and filters in a program that was built without the feature `frames`.

use arrow_array::ArrayRef;

use crate::base::error::{Error, Result};
use crate::input::batch::Batch;
use crate::input::file::InputFile;
use crate::input::partition::Partition;
use crate::input::want::Want;
use crate::scenario::Source;

/// Never made: [`check`] refuses a source with expressions.
pub(super) struct Reading;

/// Refuses the expressions of a source.
///
/// # Errors
/// Always.
pub(super) fn check(source: &Source, _: &[InputFile]) -> Result<()> {
    let expression = source.derive.values().chain(&source.filter).next();
    let key = expression.map_or("derive", |expression| expression.key.as_str());
    Err(Error::usage(format!(
        "expected a program with the feature `frames` for {key}, found one without it"
    ))
    .hint("build it with: cargo build --release --features frames"))
}

/// Whether a file can have rows that the filter of its source keeps. The filter is refused later.
pub(super) fn can_match(_: &Source, _: &Partition) -> bool {
    true
}

impl Reading {
    pub(super) fn new(source: &Source, _: &InputFile, _: &[&str]) -> Result<Self> {
        check(source, &[]).map(|()| Self)
    }

    pub(super) fn inputs(&self) -> impl Iterator<Item = Want<'_>> {
        std::iter::empty()
    }

    pub(super) fn fill<'n>(
        &self,
        _: &mut Batch<'_>,
        _: impl Iterator<Item = &'n ArrayRef>,
        _: impl Iterator<Item = (usize, &'n str, &'n ArrayRef)>,
    ) -> Result<()> {
        Ok(())
    }
}
