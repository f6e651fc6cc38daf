//! `sluice query`: one SQL query over the tables of studies and files.

use arrow_array::RecordBatch;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, Result};
use crate::base::escape;
use crate::base::number::count;
use crate::base::url::is_url;
use crate::base::{files, json};
use crate::cli::query_args::{QueryArgs, ResultFormat};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_data, print_json};
use crate::cli::text::path_text;
use crate::query::driver::{answer, columns_of};
use crate::query::output;
use crate::query::sources::{self, TableSource};
use crate::query::values::{is_number, short, type_name};

/// The rows of a table that a terminal gets.
const TERMINAL_ROWS: usize = 40;
/// The most bytes of a query on stdin; a longer one is refused as a whole.
const MAX_STDIN: u64 = 1 << 20;

/// The text of a query and its place.
struct Sql {
    location: String,
    text: String,
}

pub(super) fn run(args: &QueryArgs, terminal: &Terminal) -> Result<u8> {
    let format = format_of(args)?;
    let (sql, paths) = sql_of(args)?;
    check_apart(args, paths)?;
    let tables = sources::find(paths)?;
    if sql.text.trim_start().starts_with('.') && args.out.is_some() {
        return Err(Error::usage(
            "expected .tables or .schema without --out, found one",
        ));
    }
    let mut words = sql.text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(".tables"), None, _) => return print_tables(&tables, format, terminal),
        (Some(".schema"), Some(name), None) => return print_schema(name, &tables, format, terminal),
        (Some(".schema"), ..) => {
            return Err(Error::usage(
                "expected .schema and the name of a table, such as '.schema layers'",
            ));
        }
        (Some(word), ..) if word.starts_with('.') => {
            return Err(Error::usage(format!(
                "expected .tables, .schema or a query, found {word}"
            )));
        }
        _ => {}
    }
    let rows = answer(&sql.location, &sql.text, &tables, terminal.progress())?;
    match &args.out {
        Some(out) => {
            write(out, format, &rows)?;
            terminal.print(&format!(
                "{} rows written:\n  {}\n",
                count(rows.num_rows() as u64),
                path_text(out)
            ))?;
        }
        None => print(&rows, format, args.rows, terminal)?,
    }
    Ok(DONE)
}

/// The format of the result. Runs before anything is read.
fn format_of(args: &QueryArgs) -> Result<ResultFormat> {
    let Some(out) = &args.out else {
        let format = args.format.unwrap_or(ResultFormat::Table);
        if format == ResultFormat::Parquet {
            return Err(Error::usage(
                "expected --out FILE with --format parquet, found none",
            ));
        }
        if args.rows.is_some() && format != ResultFormat::Table {
            return Err(Error::usage("expected --rows with a table, found another format")
                .hint("write LIMIT into the query"));
        }
        return Ok(format);
    };
    let extension = out
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    let by_name = match extension.as_deref() {
        Some("csv") => ResultFormat::Csv,
        Some("json") => ResultFormat::Json,
        Some("ndjson" | "jsonl") => ResultFormat::Ndjson,
        Some("parquet") => ResultFormat::Parquet,
        Some("md") => ResultFormat::Markdown,
        _ => {
            return Err(Error::usage(format!(
                "expected --out to end in .csv, .json, .ndjson, .jsonl, .parquet or .md, found {}",
                out.display()
            )));
        }
    };
    if args.rows.is_some() {
        return Err(
            Error::usage("expected --rows with a table, found --out").hint("write LIMIT into the query")
        );
    }
    match args.format {
        Some(format) if format != by_name => Err(Error::usage(format!(
            "expected --format and the name of --out to agree, found {}",
            out.display()
        ))),
        _ => Ok(by_name),
    }
}

/// The query and the paths of its tables.
fn sql_of(args: &QueryArgs) -> Result<(Sql, &[String])> {
    if let Some(path) = &args.file {
        let sql = Sql {
            location: path.display().to_string(),
            text: files::read_text(path)?,
        };
        return Ok((sql, &args.args));
    }
    let Some((first, paths)) = args.args.split_first() else {
        return Err(Error::usage("expected an SQL query, found none")
            .hint("for example: sluice query 'SELECT layer, verdict FROM decisions' out/study"));
    };
    if first != "-" {
        let sql = Sql {
            location: "SQL".to_owned(),
            text: first.clone(),
        };
        return Ok((sql, paths));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_STDIN).read_to_string(&mut text);
    read.map_err(|error| Error::read(Path::new("stdin"), error))?;
    let location = "stdin".to_owned();
    Ok((Sql { location, text }, paths))
}

/// Refuses to write over what is read.
fn check_apart(args: &QueryArgs, paths: &[String]) -> Result<()> {
    let read = paths.iter().map(|path| {
        let bare = path.split_once('=').filter(|_| !Path::new(path).exists());
        PathBuf::from(bare.map_or(path.as_str(), |(_, path)| path))
    });
    let read = read.chain(args.file.clone()).filter(|path| !is_url(path));
    Apart::new()
        .reads(read.collect::<Vec<_>>())
        .writes(&args.out)
        .check()
}

fn write(path: &Path, format: ResultFormat, rows: &RecordBatch) -> Result<()> {
    match format {
        ResultFormat::Parquet => output::write_parquet(path, rows),
        ResultFormat::Csv => files::write_bytes(path, &output::to_csv(rows)?),
        ResultFormat::Json => files::write_bytes(path, output::to_json(rows).as_bytes()),
        ResultFormat::Ndjson => files::write_bytes(path, output::to_ndjson(rows).as_bytes()),
        ResultFormat::Markdown | ResultFormat::Table => {
            files::write_bytes(path, output::to_markdown(rows).as_bytes())
        }
    }
}

fn print(rows: &RecordBatch, format: ResultFormat, most: Option<usize>, terminal: &Terminal) -> Result<()> {
    match format {
        ResultFormat::Table => terminal.print(&table_text(rows, most, terminal)),
        ResultFormat::Csv => print_data(&String::from_utf8_lossy(&output::to_csv(rows)?)),
        ResultFormat::Json => print_json(&output::to_json(rows)),
        ResultFormat::Ndjson => print_json(&output::to_ndjson(rows)),
        ResultFormat::Markdown => print_data(&output::to_markdown(rows)),
        ResultFormat::Parquet => Ok(()),
    }
}

/// A result as a table for people, with a line about rows that are left out.
fn table_text(rows: &RecordBatch, most: Option<usize>, terminal: &Terminal) -> String {
    let schema = rows.schema();
    let columns = schema.fields().iter().enumerate().map(|(idx, field)| {
        // The last columns are left out first where the terminal is narrow.
        let column = column(escape::line(field.name())).rank(idx.min(200) as u8);
        if is_number(field.data_type()) {
            column.right()
        } else {
            column
        }
    });
    let mut table = Table::new(columns);
    let on_terminal = || {
        if std::io::stdout().is_terminal() {
            TERMINAL_ROWS
        } else {
            usize::MAX
        }
    };
    let n_shown = rows.num_rows().min(most.unwrap_or_else(on_terminal));
    for row in 0..n_shown {
        let cells = rows.columns().iter();
        table.add_row(cells.map(|column| short(column, row).unwrap_or_else(|| "-".to_owned())));
    }
    let mut text = table.render(terminal);
    let n_more = rows.num_rows() - n_shown;
    if n_more > 0 {
        text.push_str(&format!("and {} more rows\n", count(n_more as u64)));
    }
    if rows.num_rows() == 0 {
        text.push_str("no rows\n");
    }
    text
}

/// The names of all tables and where they are from.
fn print_tables(tables: &[TableSource], format: ResultFormat, terminal: &Terminal) -> Result<u8> {
    let path = |table: &TableSource| table.origin.path().display().to_string();
    if is_json(format)? {
        let rows: Vec<_> = tables
            .iter()
            .map(|table| serde_json::json!({"table": table.name, "path": path(table)}))
            .collect();
        print_json(&json::to_json(&rows))?;
        return Ok(DONE);
    }
    let mut text = Table::new([column("table"), column("path").wraps()]);
    tables
        .iter()
        .for_each(|table| text.add_row([table.name.clone(), path(table)]));
    terminal.print(&text.render(terminal))?;
    Ok(DONE)
}

/// The columns of a table and their types.
fn print_schema(name: &str, tables: &[TableSource], format: ResultFormat, terminal: &Terminal) -> Result<u8> {
    let columns = columns_of(name, tables, terminal.progress())?;
    let columns = columns
        .into_iter()
        .map(|(name, data_type)| (name, type_name(&data_type)));
    if is_json(format)? {
        let rows: Vec<_> = columns
            .map(|(name, kind)| serde_json::json!({"column": name, "type": kind}))
            .collect();
        print_json(&json::to_json(&rows))?;
        return Ok(DONE);
    }
    let mut text = Table::new([column("column"), column("type").wraps()]);
    columns.for_each(|(name, kind)| text.add_row([name, kind]));
    terminal.print(&text.render(terminal))?;
    Ok(DONE)
}

/// Whether lists of tables and columns are printed as JSON.
fn is_json(format: ResultFormat) -> Result<bool> {
    match format {
        ResultFormat::Table => Ok(false),
        ResultFormat::Json => Ok(true),
        _ => Err(Error::usage(
            "expected --format table or json with .tables and .schema, found another",
        )),
    }
}
