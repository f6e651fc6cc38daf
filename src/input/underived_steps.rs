//! Derived columns for the fast reader, in a program that was built without the feature `frames`.

use arrow_array::BooleanArray;

use crate::input::fast_scan::{Mapping, STEP_WORDS, Unsupported};
use crate::input::table::{Part, Table};

/// Never made.
pub(super) struct DerivedSteps<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> DerivedSteps<'a> {
    pub(super) fn open(table: &'a Table, _: Part, _: &[&str]) -> Result<Option<Self>, Unsupported> {
        if table.source.has_expressions() {
            return Err(Unsupported);
        }
        Ok(None)
    }

    pub(super) fn find(&self, _: &str) -> Option<usize> {
        None
    }

    pub(super) fn is_flag(&self, _: usize) -> bool {
        false
    }

    pub(super) fn next(&mut self, _: usize) -> Result<(), Unsupported> {
        Err(Unsupported)
    }

    pub(super) fn kept(&self) -> Option<&BooleanArray> {
        None
    }

    pub(super) fn fill<V: Copy>(
        &self,
        _: usize,
        _: Mapping<'_, V>,
        _: V,
        _: &mut [V],
        _: &mut [u64; STEP_WORDS],
    ) -> Result<usize, Unsupported> {
        Err(Unsupported)
    }
}
