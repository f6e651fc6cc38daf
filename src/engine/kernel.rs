//! The side of the executors: one task, from an Arrow stream to an Arrow stream.

use std::io::{BufRead, Write};

use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::engine::streams;
use crate::engine::streams::BlockWriter;
use crate::replay::{Facts, join_blocks, read_units};
use crate::scenario::Scenario;
use crate::study;

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
            let units = streams::read_units(stdin)?;
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
