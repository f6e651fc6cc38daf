//! Answers a query: reads the tables that it names, and runs it.

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};

use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::base::progress::Progress;
use crate::frames::query::{MemoryTable, MemoryTables, run_statement};
use crate::frames::statement::{Statement, unknown_table};
use crate::input::memory::Files;
use crate::query::evals;
use crate::query::sources::{Origin, TableSource};
use crate::scenario::Source;

/// A column of a table: its name and its type in a query.
pub(crate) type ColumnType = (String, DataType);

/// Runs a query over tables. Only the tables and columns that it names are read. `location` says
/// where the SQL is from.
///
/// # Errors
/// The text is no query that can run, or a table cannot be read.
pub(crate) fn answer(
    location: &str,
    sql: &str,
    sources: &[TableSource],
    progress: &Progress,
) -> Result<RecordBatch> {
    let of_query = |problem: Problem| wrong_query(location, problem);
    let statement = Statement::parse(sql).map_err(of_query)?;
    let names = || sources.iter().map(|source| source.name.as_str());
    statement.check_tables(names()).map_err(of_query)?;
    let mut tables = MemoryTables::default();
    {
        let stage = progress.stage("read");
        let mut n_rows = 0;
        for name in statement.tables() {
            if let Some(source) = sources.iter().find(|source| source.name == *name) {
                n_rows += load(source, &|column| statement.reads(column), &mut tables, progress)?;
            }
        }
        stage.set_rows(n_rows);
    }
    let stage = progress.stage("query");
    let rows = run_statement(tables.into_tables(), &statement).map_err(of_query)?;
    stage.set_rows(rows.num_rows() as u64);
    Ok(rows)
}

/// The error of a query.
pub(crate) fn wrong_query(location: &str, problem: Problem) -> Error {
    let located = Problem {
        location: location.to_owned(),
        ..problem
    };
    Error::new(ErrorKind::Usage, located)
}

/// The columns of a table, with the types that they have in a query.
///
/// # Errors
/// There is no such table, or it cannot be read.
pub(crate) fn columns_of(
    name: &str,
    sources: &[TableSource],
    progress: &Progress,
) -> Result<Vec<ColumnType>> {
    let Some(source) = sources.iter().find(|source| source.name == name) else {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        return Err(wrong_query(".schema", unknown_table(name, &names)));
    };
    let listed = |schema: &SchemaRef| {
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    if let Origin::Document(_, table) = &source.origin {
        return Ok(listed(&table.schema()));
    }
    if let Origin::Data(path) = &source.origin
        && let Some(schema) = Files::open(&Source::at(path))?.schema()
    {
        return Ok(listed(&schema));
    }
    let mut tables = MemoryTables::default();
    load(source, &|_| true, &mut tables, progress)?;
    Ok(tables
        .into_tables()
        .iter()
        .flat_map(|table| listed(&table.schema))
        .collect())
}

/// Reads a table. Returns its number of rows.
fn load(
    source: &TableSource,
    is_read: &dyn Fn(&str) -> bool,
    tables: &mut MemoryTables,
    progress: &Progress,
) -> Result<u64> {
    let batch = match &source.origin {
        Origin::Data(path) => {
            return Files::open(&Source::at(path))?.read(&source.name, is_read, tables, progress);
        }
        Origin::Document(path, table) => table.read(path)?,
        Origin::Evals(path) => evals::read(path)?,
    };
    let sizes = batch
        .columns()
        .iter()
        .map(|column| column.get_array_memory_size() as u64);
    tables.reserve(source.origin.path().display(), sizes.sum())?;
    let n_rows = batch.num_rows() as u64;
    tables.add(MemoryTable::new(&source.name, batch.schema(), vec![batch]));
    Ok(n_rows)
}
