//! Blocks: bytes that the tasks of an engine exchange. The engine moves them, and computes nothing.

use crate::base::error::{Error, Result};

/// The kind of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// A note for the driver: counts of rows, users and row groups.
    Note = 0,
    /// Users of a partition.
    Keys = 1,
    /// Turns of a partition.
    Turns = 2,
    /// The sums of a partition, for the driver.
    Sums = 3,
    /// The users of a partition who were seen, in order, for the driver.
    Seen = 4,
    /// Counts of the users of some parts by score, or by hash, for the driver.
    Counts = 5,
    /// A row group of a layer table, for the driver.
    RowGroup = 6,
}

impl BlockKind {
    /// The kind with a number. `None` if there is no such kind.
    pub fn of(number: i32) -> Option<Self> {
        [
            Self::Note,
            Self::Keys,
            Self::Turns,
            Self::Sums,
            Self::Seen,
            Self::Counts,
            Self::RowGroup,
        ]
        .into_iter()
        .find(|kind| *kind as i32 == number)
    }
}

/// Bytes from a task to another task or to the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The partition of the users. 0 in layering, which has no partitions.
    pub partition: u32,
    /// What the bytes are.
    pub kind: BlockKind,
    /// The bytes, in the form of this version of sluice.
    pub bytes: Vec<u8>,
}

/// A receiver of blocks.
pub type OnBlock<'a> = dyn FnMut(Block) -> Result<()> + 'a;

/// The error for the result of a task that is not as a task writes it.
pub(crate) fn damaged() -> Error {
    Error::input(
        "a block of a task",
        "expected the bytes that this version of sluice writes, found others",
    )
    .hint("every executor needs the same version of sluice as the driver")
}
