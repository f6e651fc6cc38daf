//! Runs one SQL query over tables in memory.
//!
//! The result is the same on any number of threads: every step of the plan keeps the order of its
//! rows. A query without `ORDER BY` has its rows sorted by all columns, from the first to the last,
//! nulls first, before its `LIMIT`; nested columns are left out of the sort.

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow_schema::{Field, Schema, SchemaRef};
use polars::prelude::{
    Column, DataFrame, DataType, IntoLazy, LazyFrame, PolarsResult, Series, SortMultipleOptions,
};
use polars::sql::SQLContext;
use std::fmt::Display;
use std::sync::Arc;

use crate::base::error::{Problem, Result};
use crate::base::limits::Limit;
use crate::base::panics;
use crate::frames::bridge;
use crate::frames::reason::{Known, problem_of, unexpected};
use crate::frames::row_order::{in_order, without_limit};
use crate::frames::statement::Statement;

/// The stack of the thread that plans a query. Long conditions are deep trees.
const STACK_BYTES: usize = 256 << 20;

/// A table in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryTable {
    /// The name in SQL.
    pub(crate) name: String,
    /// The columns, which all batches have.
    pub(crate) schema: SchemaRef,
    /// The rows.
    pub(crate) batches: Vec<RecordBatch>,
    /// The names of all columns, also of those that were not read, for messages.
    pub(crate) columns: Vec<String>,
}

impl MemoryTable {
    /// A table with all its columns.
    pub(crate) fn new(name: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            name: name.to_owned(),
            columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
            schema,
            batches,
        }
    }
}

/// The tables of a query, which together have at most [`Limit::Tables`] bytes.
#[derive(Debug, Default)]
pub(crate) struct MemoryTables {
    tables: Vec<MemoryTable>,
    n_bytes: u64,
}

impl MemoryTables {
    /// Counts bytes that a table will hold.
    ///
    /// # Errors
    /// The tables are larger than the limit. `location` names the file.
    pub(crate) fn reserve(&mut self, location: impl Display, n_bytes: u64) -> Result<()> {
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        match self.n_bytes > Limit::Tables.value() {
            true => Err(Limit::Tables.overrun(location)),
            false => Ok(()),
        }
    }

    /// Adds a table, whose bytes are counted already.
    pub(crate) fn add(&mut self, table: MemoryTable) {
        self.tables.push(table);
    }

    /// The tables.
    pub(crate) fn into_tables(self) -> Vec<MemoryTable> {
        self.tables
    }
}

/// Runs a query over tables. Whole numbers of the result have 64 bits, real numbers double
/// precision, texts are views, instants are microseconds in UTC.
///
/// # Errors
/// The text is no query, names what is not there, or has types that do not fit. The problem has no
/// location.
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) fn run(tables: Vec<MemoryTable>, sql: &str) -> std::result::Result<RecordBatch, Problem> {
    run_statement(tables, &Statement::parse(sql)?)
}

/// Runs a parsed query over tables. Tables that it does not name are not used.
///
/// # Errors
/// The same as for [`run`].
pub(crate) fn run_statement(
    tables: Vec<MemoryTable>,
    statement: &Statement,
) -> std::result::Result<RecordBatch, Problem> {
    statement.check_tables(tables.iter().map(|table| table.name.as_str()))?;
    let run = || panics::catch_everywhere(|| in_frames(tables, statement));
    let outcome = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("polars-query".to_owned());
        let thread = thread.stack_size(STACK_BYTES).spawn_scoped(scope, run);
        thread.map(|thread| thread.join().unwrap_or_else(|_| Err("a broken query".to_owned())))
    });
    match outcome {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(unexpected(&panic)),
        Err(error) => Err(Problem::new(
            "",
            format!("expected a thread for the query, found: {error}"),
        )),
    }
}

fn in_frames(tables: Vec<MemoryTable>, statement: &Statement) -> std::result::Result<RecordBatch, Problem> {
    let mut context = SQLContext::new();
    let mut known = Known::new(statement.aliases());
    for table in tables {
        if !statement.tables().contains(&table.name) {
            continue;
        }
        known.add(&table.name, &table.columns);
        let name = table.name.clone();
        context.register(&name, frame_of(table)?.lazy());
    }
    let result = collect(&mut context, statement).map_err(|error| problem_of(error, &known))?;
    batch_of(&result)
}

fn collect(context: &mut SQLContext, statement: &Statement) -> PolarsResult<DataFrame> {
    let plan = context.execute(statement.sql())?.logical_plan;
    // Polars would drop the order again where it expects no reader to see it, such as below a sum.
    let collect = |plan| LazyFrame::from(plan).with_check_order(false).collect();
    if statement.is_ordered() {
        return collect(in_order(&plan));
    }
    let (plan, limit) = without_limit(plan);
    let rows = sorted(collect(in_order(&plan))?)?;
    Ok(match limit {
        Some((offset, n_rows)) => rows.slice(offset, n_rows as usize),
        None => rows,
    })
}

/// Sorts rows by all columns that have an order, nulls first.
fn sorted(rows: DataFrame) -> PolarsResult<DataFrame> {
    let has_order = |column: &&Column| {
        !matches!(
            column.dtype(),
            DataType::Null | DataType::List(_) | DataType::Struct(_)
        )
    };
    let columns = rows.columns().iter().filter(has_order);
    let names: Vec<String> = columns.map(|column| column.name().to_string()).collect();
    if names.is_empty() || rows.height() < 2 {
        return Ok(rows);
    }
    rows.sort(names, SortMultipleOptions::default().with_maintain_order(true))
}

/// Converts a table for Polars, column by column.
fn frame_of(table: MemoryTable) -> std::result::Result<DataFrame, Problem> {
    let n_rows = table.batches.iter().map(RecordBatch::num_rows).sum();
    let fields = table.schema.fields().iter().enumerate();
    let columns = fields.map(|(idx, field)| {
        let arrays = table.batches.iter().map(|batch| Arc::clone(batch.column(idx)));
        series_of(field, arrays).map(Column::from).map_err(|found| {
            Problem::new(
                "",
                format!("column `{}` of table `{}`: {found}", field.name(), table.name),
            )
        })
    });
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    DataFrame::new(n_rows, columns).map_err(|error| {
        Problem::new(
            "",
            format!(
                "expected columns with distinct names in table `{}`, found: {error}",
                table.name
            ),
        )
    })
}

fn series_of(field: &Field, arrays: impl Iterator<Item = ArrayRef>) -> std::result::Result<Series, String> {
    let mut series = bridge::to_series(field.name(), &new_empty_array(field.data_type()))?;
    for array in arrays {
        let more = bridge::to_series(field.name(), &array)?;
        series.append(&more).map_err(|error| error.to_string())?;
    }
    Ok(series.rechunk())
}

/// Converts a result from Polars.
fn batch_of(rows: &DataFrame) -> std::result::Result<RecordBatch, Problem> {
    let mut fields = Vec::with_capacity(rows.width());
    let mut arrays = Vec::with_capacity(rows.width());
    for column in rows.columns() {
        let array = bridge::from_series(column.as_materialized_series())
            .and_then(|array| bridge::widened(&array))
            .map_err(|found| {
                Problem::new("", format!("column `{}` of the result: {found}", column.name()))
            })?;
        fields.push(Field::new(
            column.name().as_str(),
            array.data_type().clone(),
            true,
        ));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.height()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| unexpected(&error.to_string()))
}

#[cfg(test)]
mod tests;
