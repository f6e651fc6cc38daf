//! Layering in tasks, for engines with many machines. A task reads some parts of the users, and writes
//! what the pass asks for: counts of scores, hashes at the cuts, or the row groups of the layer table.
//! Layers by score need one pass. Quotas need passes of counts first, which [`next_pass`] joins.
//!
//! A block is the BLAKE3 digest of its bytes, and the bytes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::block::{Block, BlockKind, OnBlock, damaged};
use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::layer::context::LayerContext;
use crate::layer::dropped::Dropped;
use crate::layer::file::RowGroup;
use crate::layer::passes::{Assignment, Passes};
use crate::layer::quota::{Quotas, ScoreCounts, TiePass};
use crate::layer::reuse::Note;
use crate::layer::source::Users;
use crate::layer::summary::PartTally;
use crate::scenario::LayerMode;

/// Bytes of the digest before a block.
const DIGEST: usize = blake3::OUT_LEN;

/// What every task of a layering must know, beside the scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFacts {
    /// The number of parts of the users.
    pub(super) n_parts: usize,
    /// Rows of users who have an earlier row.
    pub(super) dropped: Dropped,
    /// What the tasks compute.
    pass: Pass,
}

/// What the tasks of a pass compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pass {
    /// The number of users of each score.
    Count,
    /// The hashes at the cuts.
    Search(Quotas),
    /// The row groups of the table. `None` for layers by score.
    Write(Option<Quotas>),
}

/// The number of row groups of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct PartNote {
    pub(super) part: usize,
    pub(super) n_groups: usize,
}

/// The counts of some parts in one pass.
#[derive(Serialize, Deserialize)]
struct Counted<T> {
    parts: Vec<usize>,
    counts: T,
}

/// What a task says of a row group beside its bytes.
#[derive(Serialize, Deserialize)]
pub(super) struct GroupNote {
    /// The part of the users, and the index of the row group within it.
    pub(super) place: (usize, usize),
    pub(super) tally: PartTally,
    /// Whether there is a row group. There is none without users.
    pub(super) has_group: bool,
    /// The columns that were not copied from the input.
    pub(super) encoded: Vec<usize>,
    /// The note for reuse. `None` for a row group that cannot be reused.
    pub(super) note: Option<Note>,
}

impl LayerFacts {
    /// The facts of the first pass.
    pub(super) fn first(ctx: &LayerContext<'_>, users: &Users<'_>, dropped: Dropped) -> Self {
        Self {
            n_parts: users.n_parts(),
            dropped,
            pass: match ctx.layering.mode {
                LayerMode::Threshold => Pass::Write(None),
                LayerMode::Quota => Pass::Count,
            },
        }
    }

    /// The number of parts of the users.
    pub fn n_parts(&self) -> usize {
        self.n_parts
    }

    /// Whether the tasks write row groups, which is the last pass.
    pub fn is_last(&self) -> bool {
        matches!(self.pass, Pass::Write(_))
    }
}

/// Reads some parts of the users, and passes what the pass asks for to `on_block`.
///
/// # Errors
/// When the users are not those of the driver, cannot be read, or the scenario's policies refuse a
/// row.
pub fn layer_parts(
    ctx: &LayerContext<'_>,
    users: &Users<'_>,
    facts: &LayerFacts,
    parts: &[usize],
    on_block: &mut OnBlock<'_>,
) -> Result<()> {
    if users.n_parts() != facts.n_parts || parts.iter().any(|part| *part >= facts.n_parts) {
        return Err(Error::input(
            users.location(),
            format!(
                "expected the {} row groups and files that the driver found, found {}",
                facts.n_parts,
                users.n_parts()
            ),
        )
        .hint("every executor must see the same files under the same paths"));
    }
    let silent = Progress::silent();
    let passes = Passes::of_parts(ctx, users, parts.to_vec(), &facts.dropped, &silent);
    let parts = parts.to_vec();
    match &facts.pass {
        Pass::Count => {
            let counts = passes.count()?;
            on_block(block(BlockKind::Counts, &Counted { parts, counts }, &[])?)
        }
        Pass::Search(quotas) => {
            let counts = passes.search(quotas)?;
            on_block(block(BlockKind::Counts, &Counted { parts, counts }, &[])?)
        }
        Pass::Write(None) => write_groups(&passes, &parts, &Assignment::bands(ctx.plan), on_block),
        Pass::Write(Some(quotas)) => {
            write_groups(&passes, &parts, &Assignment::Quotas(quotas.clone()), on_block)
        }
    }
}

/// Writes each row group as a table of its own.
fn write_groups(
    passes: &Passes<'_>,
    parts: &[usize],
    assignment: &Assignment,
    on_block: &mut OnBlock<'_>,
) -> Result<()> {
    let path = Path::new("a block of a task");
    let (_, columns) = passes.begin(path, Vec::new())?;
    let mut n_groups: BTreeMap<usize, usize> = parts.iter().map(|part| (*part, 0)).collect();
    passes.for_each_group(assignment, &columns, path, |part, layered| {
        let idx = n_groups.entry(part).or_default();
        let note = GroupNote {
            place: (part, *idx),
            tally: layered.tally,
            has_group: layered.group.is_some(),
            encoded: layered.group.as_ref().map_or_else(Vec::new, RowGroup::encoded),
            note: layered.note,
        };
        *idx += 1;
        let mut table = Vec::new();
        if let Some(group) = layered.group {
            let (mut file, _) = passes.begin(path, &mut table)?;
            file.write(group)?;
            file.finish()?;
        }
        on_block(block(BlockKind::RowGroup, &note, &table)?)
    })?;
    let notes: Vec<PartNote> = n_groups
        .into_iter()
        .map(|(part, n_groups)| PartNote { part, n_groups })
        .collect();
    on_block(block(BlockKind::Note, &notes, &[])?)
}

/// A block: the digest of all that follows, the number of bytes of a document, the document, and more
/// bytes.
fn block<T: Serialize>(kind: BlockKind, document: &T, more: &[u8]) -> Result<Block> {
    let document = serde_json::to_vec(document).map_err(|_| damaged())?;
    let mut bytes = vec![0; DIGEST];
    bytes.extend((document.len() as u64).to_le_bytes());
    bytes.extend(document);
    bytes.extend(more);
    let digest = blake3::hash(&bytes[DIGEST..]);
    bytes[..DIGEST].copy_from_slice(digest.as_bytes());
    Ok(Block {
        partition: 0,
        kind,
        bytes,
    })
}

/// The document and the further bytes of a block.
///
/// # Errors
/// When the block is not as a task of this version wrote it.
pub(super) fn open_block<T: DeserializeOwned>(bytes: Vec<u8>) -> Result<(T, Bytes)> {
    let bytes = Bytes::from(bytes);
    let is_whole = bytes.len() >= DIGEST + 8 && blake3::hash(&bytes[DIGEST..]).as_bytes() == &bytes[..DIGEST];
    if !is_whole {
        return Err(damaged());
    }
    let (n_bytes, rest) = bytes[DIGEST..].split_at(8);
    let n_bytes = n_bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let n_bytes = usize::try_from(n_bytes).map_err(|_| damaged())?;
    let document = rest.get(..n_bytes).ok_or_else(damaged)?;
    let document = serde_json::from_slice(document).map_err(|_| damaged())?;
    Ok((document, bytes.slice(DIGEST + 8 + n_bytes..)))
}

/// Joins the counts of all tasks of a pass. Returns the facts of the next pass.
///
/// # Errors
/// When a block is damaged, or a part is missing or counted twice.
pub fn next_pass(
    ctx: &LayerContext<'_>,
    facts: &LayerFacts,
    blocks: &mut dyn Iterator<Item = Result<Block>>,
) -> Result<LayerFacts> {
    let mut quotas = match &facts.pass {
        Pass::Count => {
            let mut counts = ScoreCounts::default();
            join(facts, blocks, |more| counts.merge(more))?;
            Quotas::new(&counts, ctx.plan)
        }
        Pass::Search(quotas) => {
            let (mut quotas, mut found) = (quotas.clone(), TiePass::default());
            join(facts, blocks, |more| found.merge(more))?;
            quotas.narrow(found);
            quotas
        }
        Pass::Write(_) => return Err(Error::usage("expected a pass of counts, found the last pass")),
    };
    let pass = if quotas.prepare_pass() {
        Pass::Search(quotas)
    } else {
        Pass::Write(Some(quotas))
    };
    Ok(LayerFacts {
        pass,
        ..facts.clone()
    })
}

/// Merges the counts of all blocks.
fn join<T: DeserializeOwned>(
    facts: &LayerFacts,
    blocks: &mut dyn Iterator<Item = Result<Block>>,
    mut merge: impl FnMut(T),
) -> Result<()> {
    let mut parts = Vec::new();
    for block in blocks {
        let block = block?;
        if block.kind != BlockKind::Counts {
            return Err(damaged());
        }
        let counted: Counted<T> = open_block(block.bytes)?.0;
        parts.extend(counted.parts);
        merge(counted.counts);
    }
    check_parts(facts, parts)
}

/// Refuses results that lack a part, or have one twice.
pub(super) fn check_parts(facts: &LayerFacts, mut parts: Vec<usize>) -> Result<()> {
    parts.sort_unstable();
    if parts.iter().copied().eq(0..facts.n_parts) {
        return Ok(());
    }
    Err(Error::input(
        "the engine",
        format!(
            "expected each of the {} parts of the users once, found {}",
            facts.n_parts,
            parts.len()
        ),
    ))
}
