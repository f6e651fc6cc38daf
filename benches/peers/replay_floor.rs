//! The minimal work that `replay.py` compares `sluice replay` with. It reads the columns that replay
//! reads, of the log and of the layer table, with the reader of the Parquet crate, row groups in
//! parallel, and hashes every user id. It joins nothing, adds nothing and computes no digest of a file.
//! It prints the number of rows and the exclusive or of all hashes.
//!
//! `cargo bench --bench replay_floor -- LAYERS.parquet LOG.parquet ...`

#![expect(
    clippy::print_stdout,
    reason = "the hashes are printed so that they are computed"
)]

use arrow_array::{Array, cast::AsArray};
use arrow_schema::DataType;
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};
use rayon::prelude::*;
use std::{error::Error, fs::File};
use twox_hash::XxHash3_64;

const TABLE: [&str; 3] = ["user_id", "layer", "eligible"];
/// The columns of a log that the scenario of `replay.py` needs. A log may lack some of them.
const LOG: [&str; 18] = [
    "user_id",
    "event_time",
    "release_id",
    "success",
    "task_completed",
    "bad",
    "complaint",
    "escalated",
    "refused",
    "incident",
    "latency_ms",
    "tool_calls",
    "tool_successes",
    "nps",
    "csat",
    "tokens_in",
    "tokens_out",
    "cost_usd",
];

type Found = Result<(u64, u64), Box<dyn Error + Send + Sync>>;

/// A row group of a file.
struct Part<'a> {
    path: &'a str,
    footer: ArrowReaderMetadata,
    row_group: usize,
    columns: &'static [&'static str],
}

impl Part<'_> {
    /// The number of rows, and the exclusive or of the hashes of their user ids.
    fn read(&self) -> Found {
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(self.path)?, self.footer.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), self.columns.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_row_groups(vec![self.row_group])
            .with_batch_size(8_192)
            .build()?;
        let (mut n_rows, mut hashes) = (0, 0);
        for batch in reader {
            let batch = batch?;
            let ids = batch
                .column_by_name("user_id")
                .ok_or("expected a column `user_id`")?;
            if *ids.data_type() != DataType::Utf8 {
                return Err(format!("expected user ids of type Utf8, found {}", ids.data_type()).into());
            }
            let ids = ids.as_string::<i32>();
            n_rows += ids.len() as u64;
            hashes ^= ids
                .iter()
                .flatten()
                .fold(0, |hashes, id| hashes ^ XxHash3_64::oneshot(id.as_bytes()));
        }
        Ok((n_rows, hashes))
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.len() < 2 {
        return Err("usage: replay_floor LAYERS.parquet LOG.parquet ...".into());
    }
    let mut parts = Vec::new();
    for (idx, path) in args.iter().enumerate() {
        let footer = ArrowReaderMetadata::load(&File::open(path)?, ArrowReaderOptions::new())?;
        let columns: &[&str] = if idx == 0 { &TABLE } else { &LOG };
        parts.extend((0..footer.metadata().num_row_groups()).map(|row_group| Part {
            path,
            footer: footer.clone(),
            row_group,
            columns,
        }));
    }
    let (n_rows, hashes) = parts
        .par_iter()
        .map(Part::read)
        .try_reduce(|| (0, 0), |a, b| Ok((a.0 + b.0, a.1 ^ b.1)))?;
    println!("{n_rows} rows, {hashes:016x}");
    Ok(())
}
