//! The arguments of `sluice query`, and its answer in a program without Polars.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[cfg(not(feature = "frames"))]
use crate::base::error::{Error, Result};
#[cfg(not(feature = "frames"))]
use crate::cli::terminal::Terminal;

/// Run an SQL query over the tables of a study, a cube, a log or other files
#[derive(Debug, Args)]
#[command(
    after_help = include_str!("help/query.txt"),
    override_usage = "sluice query [OPTIONS] <SQL> [PATH | NAME=PATH]...\n       \
                      sluice query [OPTIONS] --file <FILE> [PATH | NAME=PATH]..."
)]
#[cfg_attr(not(feature = "frames"), allow(dead_code))]
pub(super) struct QueryArgs {
    /// The query, `.tables` or `.schema TABLE`; - reads it from stdin. Then the folders of studies
    /// and cubes, documents and files of rows whose tables it names
    #[arg(value_name = "SQL, PATH, NAME=PATH")]
    pub(super) args: Vec<String>,
    /// Read the query from a file
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Format of the result; a table by default, or as the name of --out says
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) format: Option<ResultFormat>,
    /// Write the result to a file: .csv, .json, .ndjson, .jsonl, .parquet or .md
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Rows of a table that are printed; 40 on a terminal and all elsewhere by default
    #[arg(long, value_name = "N")]
    pub(super) rows: Option<usize>,
}

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ResultFormat {
    /// Aligned columns for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// A JSON list with one object a row
    Json,
    /// One JSON object a line
    Ndjson,
    /// Apache Parquet; needs --out
    Parquet,
    /// A table of Markdown
    Markdown,
}

/// The error of a program without Polars.
#[cfg(not(feature = "frames"))]
pub(super) fn run(_args: &QueryArgs, _terminal: &Terminal) -> Result<u8> {
    Err(
        Error::usage("expected a program with SQL, found one without: queries cannot run")
            .hint("build it with `--features frames`"),
    )
}
