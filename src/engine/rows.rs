//! The task that takes rows of the log from the engine.

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use std::fs::File;
use std::io::{BufRead, Write};
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::private_folder::PrivateFolder;
use crate::base::progress::Progress;
use crate::engine::orphan::remove_without_reader;
use crate::engine::streams::{BlockWriter, batches, broken};
use crate::engine::tables::LogTable;
use crate::replay::{Facts, read_rows};
use crate::scenario::{Scenario, Source};
use crate::study;

/// Rows and bytes after which a chunk ends.
const CHUNK: (usize, usize) = (1 << 16, 64 << 20);

/// Reads the rows of one table of the log from a stream of them, and writes blocks of all partitions.
/// `scenario` has no traffic of its own. `source` says how the table's columns are read.
///
/// # Errors
/// When the stream is broken, or the scenario's policies refuse a row.
pub fn run_rows_task(
    scenario: &Scenario,
    (idx, source, table): (usize, &Source, &LogTable),
    layers: &Path,
    facts: &Facts,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<()> {
    let Some(mut stream) = batches(stdin)? else {
        return Ok(());
    };
    let ctx = study::replay_context(scenario);
    let inputs = study::replay_inputs(scenario, None, layers, &Progress::silent())?;
    let folder = PrivateFolder::create(&std::env::temp_dir(), "sluice-rows-")?;
    remove_without_reader(folder.path());
    let source = Source {
        path: folder.path().join(table.file_name()),
        ..source.clone()
    };
    let schema = stream.schema();
    let mut next = || match next_chunk(&mut stream, &schema)? {
        Some(chunk) => write_chunk(&chunk, &source.path).map(|()| true),
        None => Ok(false),
    };
    let mut out = BlockWriter::new(stdout);
    read_rows(
        &ctx,
        &inputs,
        facts,
        (idx, &source),
        scenario.input.on_bad_row,
        &mut next,
        &mut |block| out.push(block),
    )?;
    out.finish()
}

/// The next rows of a stream, as one batch. `None` at the end.
fn next_chunk(
    stream: &mut impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
    schema: &SchemaRef,
) -> Result<Option<RecordBatch>> {
    let mut held: Vec<RecordBatch> = Vec::new();
    let (mut n_rows, mut n_bytes) = (0, 0);
    for batch in stream.by_ref() {
        let batch = batch.map_err(broken)?;
        n_rows += batch.num_rows();
        n_bytes += batch.get_array_memory_size();
        held.push(batch);
        if n_rows >= CHUNK.0 || n_bytes >= CHUNK.1 {
            break;
        }
    }
    if n_rows == 0 {
        return Ok(None);
    }
    concat_batches(schema, &held).map(Some).map_err(broken)
}

/// Writes rows as a stream to a file, in place of the rows before.
fn write_chunk(chunk: &RecordBatch, path: &Path) -> Result<()> {
    let unwritable = |error: ArrowError| Error::write(path, error);
    let file = File::create(path).or_unwritable(path)?;
    let mut stream = StreamWriter::try_new_buffered(file, &chunk.schema()).map_err(unwritable)?;
    stream.write(chunk).map_err(unwritable)?;
    stream.finish().map_err(unwritable)
}
