//! The side of the driver of a layering in tasks: collects the row groups, and writes the table.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::base::block::{Block, BlockKind, OnBlock, damaged};
use crate::base::error::{Error, FileResult, Result};
use crate::base::files;
use crate::base::progress::Progress;
use crate::base::spill::nameless_file;
use crate::layer::context::LayerContext;
use crate::layer::groups::Totals;
use crate::layer::passes::Passes;
use crate::layer::source::Users;
use crate::layer::summary::LayerSummary;
use crate::layer::tasks::{GroupNote, LayerFacts, PartNote, check_parts, open_block};
use crate::layer::unique;

/// Runs the tasks of a layering.
pub trait LayerRunner {
    /// Runs the tasks of this pass and of all that follow, and passes the blocks of the last one to
    /// `on_block`, in any order.
    ///
    /// # Errors
    /// When a task fails, or `on_block` returns an error.
    fn run(&self, facts: &LayerFacts, on_block: &mut OnBlock<'_>) -> Result<()>;
}

/// Layers users in tasks: the same files as `layer_users`, byte for byte. The search
/// for duplicate users runs here.
///
/// # Errors
/// As `layer_users`; also when the engine fails, or results are missing.
pub fn layer_users_in_tasks(
    runner: &dyn LayerRunner,
    ctx: &LayerContext<'_>,
    users: &Users<'_>,
    path: &Path,
    progress: &Progress,
) -> Result<LayerSummary> {
    let facts = plan_layer_tasks(ctx, users, path, progress)?;
    let mut groups = Groups::new(path)?;
    let mut bar = None;
    runner.run(&facts, &mut |block| {
        // The engine has a bar of its own until its first result.
        bar.get_or_insert_with(|| progress.bar("merge", "blocks", None))
            .advance(1);
        groups.take(block)
    })?;
    drop(bar);
    groups.check(&facts)?;
    let mut totals = Totals::new();
    files::write_file(path, |sink| {
        let silent = Progress::silent();
        let (mut file, _) = Passes::new(ctx, users, &facts.dropped, &silent).begin(path, sink)?;
        groups.for_each(|note, table| {
            let GroupNote {
                has_group,
                encoded,
                tally,
                note,
                ..
            } = note;
            totals.add(tally, has_group.then_some(note));
            if has_group {
                file.splice(&table, &encoded)
            } else {
                Ok(())
            }
        })?;
        totals.check(users)?;
        file.finish()
    })?;
    totals.finish(ctx, &facts.dropped, path)
}

/// Plans the tasks of a layering: what the tasks of the first pass must know. Duplicate users are
/// searched for, if the context asks for it.
///
/// # Errors
/// As `layer_users`, before users are scored.
pub fn plan_layer_tasks(
    ctx: &LayerContext<'_>,
    users: &Users<'_>,
    path: &Path,
    progress: &Progress,
) -> Result<LayerFacts> {
    let dropped = unique::find_duplicates(ctx, users, path, progress)?;
    Ok(LayerFacts::first(ctx, users, dropped))
}

/// The row groups of all tasks, in a file, until they are all there.
struct Groups<'a> {
    near: &'a Path,
    file: File,
    n_bytes: u64,
    /// The place in the file of each block, by part and index within the part.
    places: BTreeMap<(usize, usize), (u64, usize)>,
    parts: Vec<PartNote>,
}

impl<'a> Groups<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        let near = path.parent().unwrap_or(Path::new(""));
        let near = if near.as_os_str().is_empty() {
            Path::new(".")
        } else {
            near
        };
        Ok(Self {
            near,
            file: nameless_file(near).or_unwritable(near)?,
            n_bytes: 0,
            places: BTreeMap::new(),
            parts: Vec::new(),
        })
    }

    fn take(&mut self, block: Block) -> Result<()> {
        match block.kind {
            BlockKind::Note => {
                let notes: Vec<PartNote> = open_block(block.bytes)?.0;
                self.parts.extend(notes);
                Ok(())
            }
            BlockKind::RowGroup => {
                self.file.write_all(&block.bytes).or_unwritable(self.near)?;
                let (note, _): (GroupNote, _) = open_block(block.bytes.clone())?;
                let place = (self.n_bytes, block.bytes.len());
                self.n_bytes += block.bytes.len() as u64;
                match self.places.insert(note.place, place) {
                    None => Ok(()),
                    Some(_) => Err(Error::input(
                        "the engine",
                        format!(
                            "expected one result of part {} of the users, found two",
                            note.place.0
                        ),
                    )),
                }
            }
            _ => Err(damaged()),
        }
    }

    /// Refuses results that lack a row group.
    fn check(&self, facts: &LayerFacts) -> Result<()> {
        check_parts(facts, self.parts.iter().map(|note| note.part).collect())?;
        let mut notes = self.parts.clone();
        notes.sort_unstable();
        let wanted = notes
            .iter()
            .flat_map(|note| (0..note.n_groups).map(move |idx| (note.part, idx)));
        if self.places.keys().copied().eq(wanted) {
            return Ok(());
        }
        Err(Error::input(
            "the engine",
            "expected all row groups of every part of the users, found others",
        ))
    }

    /// Passes all row groups to `on_group`, in order.
    fn for_each(&self, mut on_group: impl FnMut(GroupNote, bytes::Bytes) -> Result<()>) -> Result<()> {
        for (at, n) in self.places.values() {
            let mut bytes = vec![0; *n];
            self.file
                .read_exact_at(&mut bytes, *at)
                .or_unreadable(self.near)?;
            let (note, table) = open_block(bytes)?;
            on_group(note, table)?;
        }
        Ok(())
    }
}
