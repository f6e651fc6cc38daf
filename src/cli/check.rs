//! `sluice check`: what a run of a scenario would read.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

use crate::base::error::{Result, exit_code};
use crate::base::escape;
use crate::base::json::to_json;
use crate::base::number::{count, first_of, percent};
use crate::cli::summary::coverage_text;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::scenario::{Overrides, Scenario};
use crate::study::{Checkup, SourceCheck, check_sources};

/// Check what a run of a scenario would read: files, columns, units, bad rows, coverage
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/check.txt"))]
pub(super) struct CheckArgs {
    /// The scenario file
    scenario: PathBuf,
    /// Rows of each source that are read, about
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

pub(super) fn run(args: &CheckArgs, terminal: &Terminal) -> Result<u8> {
    let scenario = Scenario::load(&args.scenario, &Overrides::default())?;
    let checkup = check_sources(&scenario, args.rows, terminal.progress())?;
    match args.format {
        Format::Json => print_json(&to_json(&checkup))?,
        Format::Text => {
            terminal.print(&text(&checkup, terminal))?;
            checkup.warnings.iter().for_each(|warning| terminal.warn(warning));
            checkup
                .problems
                .iter()
                .for_each(|problem| terminal.print_error_text(problem));
        }
    }
    Ok(if checkup.is_usable {
        DONE
    } else {
        exit_code::BAD_INPUT
    })
}

fn text(checkup: &Checkup, terminal: &Terminal) -> String {
    let mut text = String::new();
    for source in &checkup.sources {
        text.push_str(&source_text(source, terminal));
        text.push('\n');
    }
    let verdict = match (checkup.is_usable, checkup.warnings.len()) {
        (true, 0) => "usable".to_owned(),
        (true, n) => format!("usable, with {}", counted(n, "warning")),
        (false, _) => format!("not usable: {}", counted(checkup.problems.len(), "problem")),
    };
    text.push_str(&format!("{}: {verdict}\n", checkup.scenario));
    text
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn source_text(source: &SourceCheck, terminal: &Terminal) -> String {
    let rows = match source.n_rows {
        Some(n) => format!("{} rows", count(n)),
        None if source.is_whole => format!("{} rows", count(source.n_rows_read)),
        None => "rows not known in advance".to_owned(),
    };
    let read = if source.is_whole {
        "all read".to_owned()
    } else {
        format!("{} read", count(source.n_rows_read))
    };
    let head = format!(
        "{}: {}, {} ({}), {rows}, {read}",
        source.source,
        source.path,
        counted(source.n_files, "file"),
        source.formats.join(", ")
    );
    let mut text = terminal.fill(&head);
    let mut table = Table::new([
        column("column"),
        column("from").rank(1),
        column("type").rank(3),
        column("unit").rank(2),
        column("null").right(),
        column("values").wraps(),
    ]);
    let (there, absent): (Vec<_>, Vec<_>) = source.columns.iter().partition(|column| column.from != "absent");
    for column in there {
        table.add_row([
            column.column.clone(),
            column
                .from
                .strip_prefix("column ")
                .unwrap_or(&column.from)
                .to_owned(),
            column.r#type.clone(),
            column.unit.clone(),
            column.null_share.map_or_else(String::new, percent),
            column.values.clone(),
        ]);
    }
    text.push_str(&table.render(terminal));
    if let Some(coverage) = &source.traces {
        text.push_str(&format!("\nread of the traces:\n{}\n", coverage_text(coverage)));
    }
    let mut line = |line: String| text.push_str(&terminal.fill(&line));
    if !absent.is_empty() {
        let names: Vec<&str> = absent.iter().map(|column| column.column.as_str()).collect();
        line(format!("absent: {}", names.join(", ")));
    }
    if !source.unused_columns.is_empty() {
        let names: Vec<_> = source
            .unused_columns
            .iter()
            .map(|name| escape::line(name))
            .collect();
        line(format!("not read: {}", first_of(&names, 20, ", ")));
    }
    if source.n_before_start > 0 {
        line(format!(
            "{} rows before the start of the plan",
            count(source.n_before_start)
        ));
    }
    if source.n_after_as_of > 0 {
        line(format!("{} rows at or after as_of", count(source.n_after_as_of)));
    }
    if let Some(coverage) = source.coverage.as_ref().filter(|coverage| coverage.n_rows > 0) {
        let share = |n: u64| percent(n as f64 / coverage.n_rows as f64);
        line(format!(
            "of {} rows in the plan: {} of known users, {} of the baseline, {} of the candidate",
            count(coverage.n_rows),
            share(coverage.n_known_user),
            share(coverage.n_baseline),
            share(coverage.n_candidate)
        ));
    }
    if source.n_bad_rows > 0 {
        line(format!("{} rows cannot be used:", count(source.n_bad_rows)));
        let rows = source.first_bad_rows.iter().filter(|_| source.traces.is_none());
        for (reason, n) in source.bad_rows.iter().filter(|_| source.traces.is_some()) {
            line(format!("  {}: {reason}", count(*n)));
        }
        for bad in rows {
            line(format!(
                "  {}: column `{}`, row {}: expected {}, found {}",
                bad.file, bad.column, bad.row, bad.expected, bad.found
            ));
        }
    }
    text
}
