//! The side of the executors: one task, from an Arrow stream to an Arrow stream.

use std::io::{BufRead, Write};

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::engine::streams;
use crate::engine::streams::BlockWriter;
use crate::layer::{LayerFacts, layer_parts, next_pass};
use crate::replay::{Facts, Unit, join_blocks, read_units};
use crate::scenario::{Scenario, UsersFrom};
use crate::study;
use crate::study::LayerOptions;

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Reads units of the inputs, and writes blocks of all partitions.
    Read,
    /// Joins the blocks of whole partitions, and writes their sums and users.
    Join,
}

/// Runs one task of a replay.
///
/// # Errors
/// When the stream is broken, an input cannot be read, or the scenario's policies refuse a row.
pub fn run_task(
    kind: TaskKind,
    scenario: &Scenario,
    layers: &std::path::Path,
    facts: &Facts,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<()> {
    if stdin.fill_buf().is_ok_and(<[u8]>::is_empty) {
        return Ok(());
    }
    let ctx = study::replay_context(scenario);
    let inputs = study::replay_inputs(scenario, None, layers, &Progress::silent())?;
    let mut out = BlockWriter::new(stdout);
    match kind {
        TaskKind::Read => {
            let units = streams::read_units::<Unit>(stdin)?;
            read_units(&ctx, &inputs, facts, &units, &mut |block| out.push(block))?;
        }
        TaskKind::Join => {
            let mut blocks = streams::read_blocks(stdin)?;
            join_blocks(
                &ctx,
                &inputs,
                facts,
                &std::env::temp_dir(),
                &mut blocks,
                &mut |block| out.push(block),
            )?;
        }
    }
    out.finish()
}

/// Runs one task of a layering: reads the parts of the users that the stream names, and writes what
/// the pass of the facts asks for.
///
/// # Errors
/// When the stream is broken, the users cannot be read, or the scenario's policies refuse a row.
pub fn run_layer_task(
    scenario: &Scenario,
    users: &UsersFrom,
    options: &LayerOptions,
    facts: &LayerFacts,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<()> {
    if stdin.fill_buf().is_ok_and(<[u8]>::is_empty) {
        return Ok(());
    }
    let parts = streams::read_units::<usize>(stdin)?;
    let mut out = BlockWriter::new(stdout);
    study::with_table_of_users(scenario, users, options, |ctx, users| {
        layer_parts(ctx, users, facts, &parts, &mut |block| out.push(block))
    })?;
    out.finish()
}

/// Joins the counts of one pass of a layering, and writes the facts of the next pass as JSON.
///
/// # Errors
/// When the stream is broken, lacks a part, or the facts cannot be written.
pub fn join_counts(
    scenario: &Scenario,
    options: &LayerOptions,
    facts: &LayerFacts,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<()> {
    let ctx = study::layer_context(scenario, options);
    let next = next_pass(&ctx, facts, &mut streams::read_blocks(stdin)?)?;
    serde_json::to_writer(stdout, &next)
        .map_err(|error| Error::write(std::path::Path::new("stdout"), error.to_string()))
}
