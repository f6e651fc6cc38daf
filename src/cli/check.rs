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
use crate::words::checkup as words;
use crate::words::{Count, Percent, Text};

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
    let name = &checkup.scenario;
    let verdict = match (checkup.is_usable, checkup.warnings.len(), checkup.problems.len()) {
        (true, 0, _) => words::usable(name),
        (true, 1, _) => words::usable_with_one(name),
        (true, n, _) => words::usable_with(name, Count(n as u64)),
        (false, _, 1) => words::not_usable_one(name),
        (false, _, n) => words::not_usable(name, Count(n as u64)),
    };
    text.push_str(&format!("{}\n", verdict.of(terminal.lang)));
    text
}

fn source_text(source: &SourceCheck, terminal: &Terminal) -> String {
    let lang = terminal.lang;
    let rows = match source.n_rows {
        Some(n) => words::n_rows(Count(n)),
        None if source.is_whole => words::n_rows(Count(source.n_rows_read)),
        None => words::rows_unknown(),
    };
    let read = if source.is_whole {
        words::all_read()
    } else {
        words::n_read(Count(source.n_rows_read))
    };
    let files = match source.n_files {
        1 => words::one_file(),
        n => words::n_files(Count(n as u64)),
    };
    let formats = source.formats.join(", ");
    let head = words::source_head(&source.source, &source.path, files, formats, rows, read);
    let mut text = terminal.fill(head.of(lang));
    let of = |title: Text| column(title.of(lang));
    let mut table = Table::new([
        of(words::column_column()),
        of(words::column_from()).rank(1),
        of(words::column_type()).rank(3),
        of(words::column_unit()).rank(2),
        of(words::column_null()).right(),
        of(words::column_values()).wraps(),
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
        let head = words::traces_read();
        text.push_str(&format!(
            "\n{}\n{}\n",
            head.of(lang),
            coverage_text(coverage, lang)
        ));
    }
    let mut line = |line: Text| text.push_str(&terminal.fill(line.of(lang)));
    if !absent.is_empty() {
        let names: Vec<&str> = absent.iter().map(|column| column.column.as_str()).collect();
        line(words::absent(names.join(", ")));
    }
    if !source.unused_columns.is_empty() {
        let names: Vec<_> = source
            .unused_columns
            .iter()
            .map(|name| escape::line(name))
            .collect();
        line(words::not_read(first_of(&names, 20, ", ")));
    }
    if source.n_before_start > 0 {
        line(words::before_start(Count(source.n_before_start)));
    }
    if source.n_after_as_of > 0 {
        line(words::after_as_of(Count(source.n_after_as_of)));
    }
    if let Some(coverage) = source.coverage.as_ref().filter(|coverage| coverage.n_rows > 0) {
        let share = |n: u64| Percent(n as f64 / coverage.n_rows as f64);
        line(words::in_plan(
            Count(coverage.n_rows),
            share(coverage.n_known_user),
            share(coverage.n_baseline),
            share(coverage.n_candidate),
        ));
    }
    if source.n_bad_rows > 0 {
        line(words::unusable(Count(source.n_bad_rows)));
        let rows = source.first_bad_rows.iter().filter(|_| source.traces.is_none());
        for (reason, n) in source.bad_rows.iter().filter(|_| source.traces.is_some()) {
            line(format!("  {}: {reason}", count(*n)).into());
        }
        for bad in rows {
            let bad = format!(
                "  {}: column `{}`, row {}: expected {}, found {}",
                bad.file, bad.column, bad.row, bad.expected, bad.found
            );
            line(bad.into());
        }
    }
    text
}
