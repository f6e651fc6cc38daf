//! An import: files of traces to a table of turns and its coverage.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use crate::base::error::{Error, FileResult, Result};
use crate::base::json::Document;
use crate::base::parallel::fold_parts;
use crate::base::progress::Progress;
use crate::base::{advice, at_work};
use crate::input::{Part, Table};
use crate::scenario::{OnBadRow, TraceSource};
use crate::traces::attributes::{NamedKeys, keys_of};
use crate::traces::columns::for_each_row;
use crate::traces::coverage::{Coverage, SinceCoverage, count};
use crate::traces::deal::{Deal, Dealt};
use crate::traces::files::{
    FilePart, Form, PART, TraceFile, all_empty, find, for_each_document, lines_before, open_files, parts_of,
};
use crate::traces::importers::importer::{Importer, Kind, RowFault};
use crate::traces::importers::otlp;
use crate::traces::importers::pages::read_list;
use crate::traces::kept::{Block, blocks_of};
use crate::traces::record::Field;
use crate::traces::settings::Settings;
use crate::traces::since::Plan;
use crate::traces::sink::Sink;
use crate::traces::stages::{Sizes, Stages, keep, refined};
use crate::traces::state::State;
use crate::traces::value::{Picked, Value};

/// Bytes of records that are held before they go to a temporary file, unless a limit is given.
pub const HELD: usize = 256 << 20;
/// Memory that an import takes besides records: the program, and the columns of a part of the table.
const BASE: u64 = 110_000_000;
/// Memory of each thread besides records: rows that are parsed, and turns that wait.
const BASE_OF_THREAD: u64 = 35_000_000;
/// The fewest bytes of records that are held.
const LEAST_HELD: u64 = 4 << 20;

/// Bytes of records to hold so that an import takes no more than this memory, unless it is less than
/// every import takes.
pub fn held(memory_limit: u64) -> usize {
    let base = BASE + BASE_OF_THREAD * rayon::current_num_threads() as u64;
    let held = (memory_limit.saturating_sub(base) / 4).max(LEAST_HELD);
    usize::try_from(held).unwrap_or(usize::MAX)
}

/// What JSON documents beside traces are that are no traces.
const OTHERS: &str = "no traces";
/// Rows of a file whose keys are noted.
const NOTED_ROWS: u64 = 200;

/// What an import writes and how much memory it takes.
pub struct Target<'a> {
    /// The path of the table, for messages and for temporary files beside it.
    pub path: &'a Path,
    /// The opened table.
    pub file: File,
    /// Bytes of records to hold in memory, of spans and of turns each.
    pub held: usize,
    /// Columns that at least one turn must have a value in, of `user_id` and `release_id`.
    pub required: &'a [&'a str],
    /// The state of earlier imports, if the import goes on. `None` reads all files.
    pub state: Option<&'a mut State>,
}

/// Reads the traces of some paths and writes their table of turns. `columns` are paths in the files, by
/// the columns that get them.
///
/// # Errors
/// A file cannot be read or is of another format, a row is bad under the policy `error`, or no turn
/// has a user or a release that the target needs.
pub fn import(
    paths: &[PathBuf],
    columns: &BTreeMap<String, String>,
    traces: &TraceSource,
    on_bad_row: OnBadRow,
    target: Target<'_>,
    progress: &Progress,
) -> Result<Coverage> {
    let required = target.required;
    let settings = Settings::new(columns, traces)?;
    let reading = Reading {
        settings: &settings,
        keys: NamedKeys::new(&settings),
        on_bad_row,
        progress,
    };
    let stages = Stages {
        settings: &settings,
        near: target.path,
        sizes: Sizes::new(target.held),
        n_amended: AtomicU64::default(),
    };
    let (records, mut coverage) = match target.state {
        None => {
            let (files, n_others) = open_files(paths, settings.format)?;
            let (records, mut coverage) = read_files(&files, &reading, &stages)?;
            for file in &files {
                count(&mut coverage.files, file.kind.name(), 1);
                coverage.n_bytes += file.n_bytes;
            }
            count(&mut coverage.files, OTHERS, n_others);
            (refined(records, stages.sizes)?, coverage)
        }
        Some(state) => go_on(paths, state, &reading, &stages)?,
    };
    let turns = stages.turns(&records, &mut coverage)?;
    coverage.name_columns();
    drop(records);
    stages.write(&turns, target.file, &mut coverage)?;
    coverage.schema = Coverage::SCHEMA.to_owned();
    coverage.shorten();
    if let Some(since) = &mut coverage.since {
        since.n_amended_traces = stages.n_amended.into_inner();
    }
    check(&coverage, paths, required)?;
    Ok(coverage)
}

/// How files are read.
struct Reading<'r> {
    settings: &'r Settings,
    keys: NamedKeys,
    on_bad_row: OnBadRow,
    progress: &'r Progress,
}

/// Reads what is new since earlier imports. Returns the records of all imports.
fn go_on(
    paths: &[PathBuf],
    state: &mut State,
    reading: &Reading<'_>,
    stages: &Stages<'_>,
) -> Result<(Dealt, Coverage)> {
    let settings = reading.settings;
    let (found, known) = (find(paths, settings.format)?, state.known(settings)?);
    if found.files.is_empty() && known.is_empty() {
        return Err(all_empty(paths));
    }
    let plan = Plan::new(found.files, known, settings.format)?;
    let (records, mut coverage) = read_files(&plan.files, reading, stages)?;
    plan.check_unchanged()?;
    coverage.merge(state.coverage(settings));
    for file in &plan.known {
        count(&mut coverage.files, &file.kind, 1);
        coverage.n_bytes += file.n_bytes;
    }
    count(&mut coverage.files, OTHERS, found.n_others);
    let (earlier, n_kept_records) = state.blocks()?;
    let mut blocks: Vec<(i64, Block, bool)> = Vec::new();
    let mut written = None;
    let earlier = if records.n_piles() == 0 {
        earlier
    } else {
        let (name, path) = state.stage_records()?;
        let (merged, apart, n_merged) = match state.merges() {
            true => (earlier, Vec::new(), n_kept_records),
            false => (Vec::new(), earlier, 0),
        };
        let (n_new, is_merged) = keep(&refined(records, stages.sizes)?, merged, &path)?;
        let n_bytes = fs::metadata(&path).or_unreadable(&path)?.len();
        let found = blocks_of(&path, n_bytes)?.into_iter().zip(is_merged);
        blocks.extend(found.map(|((key, block), is_merged)| (key, block, is_merged)));
        written = Some((name, n_bytes, n_new + n_merged));
        apart
    };
    blocks.extend(earlier.into_iter().map(|(key, block)| (key, block, true)));
    let records = Dealt::of_blocks(stages.near, stages.sizes.held, blocks);
    state.note(settings, plan.known, written, &coverage);
    coverage.since = Some(SinceCoverage {
        n_kept_records,
        ..plan.coverage
    });
    Ok((refined(records, stages.sizes)?, coverage))
}

/// Reads files into records by trace.
fn read_files(files: &[TraceFile], reading: &Reading<'_>, stages: &Stages<'_>) -> Result<(Dealt, Coverage)> {
    let deal = Deal::new(stages.near, stages.sizes.held);
    let parts = parts_of(files);
    let n_bytes = parts
        .iter()
        .map(|part| share_of(&files[part.file_idx], *part))
        .sum();
    let bar = reading.progress.bar("traces", "B", Some(n_bytes));
    let sinks = fold_parts(
        parts.len(),
        || Sink::new(reading.settings, &deal),
        |sink, idx| {
            let part = parts[idx];
            let file = &files[part.file_idx];
            at_work::note(&file.path);
            read_part(file, part, &reading.keys, reading.on_bad_row, sink)?;
            bar.advance(share_of(file, part));
            Ok(())
        },
    )?;
    let mut coverage = Coverage::default();
    for sink in sinks {
        coverage.merge(sink.finish()?);
    }
    Ok((deal.finish(), coverage))
}

/// The bytes of a part, for progress.
fn share_of(file: &TraceFile, part: FilePart) -> u64 {
    match (part.range, &file.table) {
        (Some((start, end)), _) => end.min(file.n_bytes) - start,
        (None, Some(table)) => file.n_bytes / table.parts.len().max(1) as u64,
        (None, None) => file.n_bytes,
    }
}

fn read_part(
    file: &TraceFile,
    part: FilePart,
    keys: &NamedKeys,
    on_bad_row: OnBadRow,
    sink: &mut Sink<'_>,
) -> Result<()> {
    if let (Some(table), Some(rows), Kind::Rows(importer)) = (&file.table, part.rows, file.kind) {
        return read_table(table, rows, importer, on_bad_row, sink);
    }
    let n_noted = noted_rows(file, part);
    let mut otlp = otlp::Reader::new(keys);
    for_each_document(file, part, &mut |number, text| {
        sink.notes_keys = number <= n_noted;
        sink.coverage.n_rows += 1;
        let read = match file.kind {
            Kind::Otlp => otlp.read(text, sink),
            Kind::Rows(importer) => read_rows(importer, text, sink),
        };
        let location = || match file.form {
            Form::Lines(_) => {
                let line = number + part.range.map_or(0, |(start, _)| lines_before(&file.path, start));
                format!("{}: line {line}", file.path.display())
            }
            Form::Whole(_) | Form::Table => file.path.display().to_string(),
        };
        settle(read, &location, on_bad_row, sink)
    })
}

/// How many of the first rows of a part are among the first ones of its file, whose keys are noted.
fn noted_rows(file: &TraceFile, part: FilePart) -> u64 {
    match part.range {
        None | Some((0, _)) => NOTED_ROWS,
        // Rows of the first part that earlier imports did not read.
        Some((start, _)) if start == file.from && start < PART => {
            NOTED_ROWS.saturating_sub(lines_before(&file.path, start))
        }
        Some(_) => 0,
    }
}

/// Counts a row that cannot be used, or makes an error of it.
fn settle(
    read: std::result::Result<(), RowFault>,
    location: &dyn Fn() -> String,
    on_bad_row: OnBadRow,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let (key, expected, found) = match read {
        Ok(()) => return Ok(()),
        Err(RowFault::Storage(error)) => return Err(error),
        Err(RowFault::Value { key, expected, found }) => (key, expected, found),
    };
    if on_bad_row == OnBadRow::Drop {
        count(&mut sink.coverage.bad_rows, &RowFault::reason(&key, expected), 1);
        return Ok(());
    }
    let mut location = location();
    if !key.is_empty() {
        location = format!("{location}: {key}");
    }
    let error = Error::input(location, format!("expected {expected}, found {found}"));
    Err(error.hint(advice::drop_rows()))
}

/// Reads the rows of a part of a table.
fn read_table(
    table: &Table,
    part: Part,
    importer: &Importer,
    on_bad_row: OnBadRow,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let file = &table.files[part.file_idx];
    let notes_keys = part.first_row == 0;
    let is_read = |name: &&String| notes_keys || is_read(importer, sink.settings, name);
    let mut names: Vec<&str> = file.columns.iter().filter(is_read).map(String::as_str).collect();
    // Tables of pandas have an index and a column of one name.
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    let mut first = part.first_row;
    table.read_whole(part, &names, &mut |arrays, n_rows| {
        let read = for_each_row(&names, &arrays, n_rows, |row, value| {
            let number = first + row as u64 + 1;
            sink.notes_keys = number <= NOTED_ROWS;
            sink.coverage.n_rows += 1;
            let location = || format!("{}: row {number}", file.path.display());
            let read = (importer.read)(value, sink);
            settle(read, &location, on_bad_row, sink).map_err(RowFault::Storage)
        });
        first += n_rows as u64;
        let location = || file.path.display().to_string();
        settle(read, &location, OnBadRow::Error, sink)
    })
}

/// Whether a key of a row is read: by the importer, or because the source names it.
fn is_read(importer: &Importer, settings: &Settings, key: &str) -> bool {
    let starts = |path: &str| {
        let rest = path.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // Tables have keys below a key as columns, such as `attributes.user.id`.
    let is_below = |known: &str| key.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'));
    importer.keys.iter().any(|known| *known == key || is_below(known))
        || settings.named.iter().any(|named| starts(&named.path))
}

/// Reads a row, or the rows of a list.
fn read_rows(importer: &Importer, text: &[u8], sink: &mut Sink<'_>) -> std::result::Result<(), RowFault> {
    let (settings, notes_keys) = (sink.settings, sink.notes_keys);
    let is_read = |key: &str| notes_keys || is_read(importer, settings, key);
    let no_json = |error: serde_json::Error| RowFault::Value {
        key: String::new(),
        expected: "a JSON object",
        found: error.to_string(),
    };
    if text.starts_with(b"[") {
        let rows: Vec<Value<'_>> = serde_json::from_slice(text).map_err(no_json)?;
        return read_list(&rows, sink, importer.read);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let row =
        serde::de::DeserializeSeed::deserialize(Picked(&is_read), &mut deserializer).map_err(no_json)?;
    deserializer.end().map_err(no_json)?;
    (importer.read)(&row, sink)
}

/// Refuses a source without turns, and one without a single user or release.
fn check(coverage: &Coverage, paths: &[PathBuf], required: &[&str]) -> Result<()> {
    let shown = paths.iter().map(|path| path.display().to_string());
    let location = shown.collect::<Vec<_>>().join(", ");
    let found: Vec<&str> = coverage.keys.keys().map(String::as_str).take(60).collect();
    let found = found.join(", ");
    if coverage.n_turns == 0 {
        return Err(Error::input(
            location,
            format!(
                "expected traces with a span of an agent, a model or a tool, found none in {} rows; keys there: {found}",
                coverage.n_rows
            ),
        ));
    }
    for (column, field, what) in [
        ("user_id", Field::User, "user"),
        ("release_id", Field::Release, "release"),
    ]
    .into_iter()
    .filter(|(column, ..)| required.contains(column))
    {
        if coverage.lacks(column) {
            return Err(Error::input(
                location,
                format!(
                    "expected a {what} in at least one of {} turns, found none; looked at {}; keys there: {found}",
                    coverage.n_turns,
                    keys_of(field).join(", ")
                ),
            )
            .hint(format!(
                "{}; a bill needs none: sluice finops --traffic PATH --format auto",
                advice::rename(column)
            )));
        }
    }
    Ok(())
}
