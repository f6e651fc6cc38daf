//! Sources whose rows are the result of a query over whole tables.
//!
//! The query runs once per run. Its result becomes a private Parquet file, which is read like any
//! other and removed at the end of the run.

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::path::Path;

use crate::base::digest;
use crate::base::error::{Error, FileResult, Problem, Result};
use crate::base::private_folder::create_file;
use crate::base::progress::Progress;
use crate::frames::query::{MemoryTables, run_statement};
use crate::frames::statement::Statement;
use crate::input::fetch;
use crate::input::memory::Files;
use crate::input::table::Table;
use crate::scenario::{Query, Source};

/// Rows of a row group of the result, small enough that all threads have work.
const GROUP_ROWS: usize = 131_072;

impl Table {
    /// Opens a source: its files, or the result of its query.
    ///
    /// # Errors
    /// There is no file, a file has an unknown format, or a header cannot be read. For a query: a table
    /// cannot be read, the tables are too large, or the query is wrong.
    pub fn open(source: &Source) -> Result<Self> {
        let Some(query) = &source.sql else {
            return Self::open_files(source);
        };
        let identity = format!("{:?}", (&source.path, &query.text, &query.tables));
        let digest = digest::sha256_of_bytes(identity.as_bytes()).replace(':', "-");
        let path = fetch::made(&format!("sql-{digest}.parquet"), "sql", &query.key, &|path| {
            let rows = run(source, query)?;
            write(path, &rows).or_unwritable(path)
        })?;
        let plain = Source {
            sql: None,
            ..source.clone()
        };
        Self::from_file(&plain, &path)
    }
}

fn run(source: &Source, query: &Query) -> Result<RecordBatch> {
    let placed = |problem: Problem| {
        let location = match problem.location.as_str() {
            "" => query.key.clone(),
            location => format!("{}: {location}", query.key),
        };
        Error::scenario(vec![Problem { location, ..problem }])
    };
    let statement = Statement::parse(&query.text).map_err(placed)?;
    let own = Source {
        path: source.path.clone(),
        delimiter: source.delimiter,
        quote: source.quote,
        latest_until: source.latest_until,
        ..Source::default()
    };
    let own = query.own.as_deref().map(|name| (name, &own));
    let others = query.tables.iter().map(|(name, table)| (name.as_str(), table));
    let known: Vec<(&str, &Source)> = own.into_iter().chain(others).collect();
    statement
        .check_tables(known.iter().map(|(name, _)| *name))
        .map_err(placed)?;
    let mut tables = MemoryTables::default();
    for (name, table) in known {
        if statement.tables().iter().any(|named| named == name) {
            let is_read = |column: &str| statement.reads(column);
            Files::open(table)?.read(name, &is_read, &mut tables, &Progress::silent())?;
        }
    }
    run_statement(tables.into_tables(), &statement).map_err(placed)
}

fn write(path: &Path, rows: &RecordBatch) -> std::io::Result<()> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(create_file(path)?, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(())
}
