//! An import: files of traces to a table of turns and its coverage.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::error::{Error, Result};
use crate::base::json::Document;
use crate::base::lock::{into_inner, lock};
use crate::base::parallel::{fold_parts, map_in_order};
use crate::base::progress::Progress;
use crate::base::time::HOUR;
use crate::base::{at_work, hash};
use crate::input::{Part, Table};
use crate::scenario::{OnBadRow, TraceSource};
use crate::traces::attributes::{NamedKeys, keys_of};
use crate::traces::columns::for_each_row;
use crate::traces::coverage::{Coverage, count};
use crate::traces::deal::{Deal, Dealt, Hand};
use crate::traces::files::{
    FilePart, Form, TraceFile, for_each_document, lines_before, open_files, parts_of,
};
use crate::traces::fold::{FoldContext, fold_group};
use crate::traces::importers::importer::{Importer, Kind, RowFault};
use crate::traces::importers::otlp;
use crate::traces::importers::pages::read_list;
use crate::traces::loose::{Loose, LooseScores};
use crate::traces::record::{Field, Record};
use crate::traces::settings::Settings;
use crate::traces::sink::Sink;
use crate::traces::table::TableWriter;
use crate::traces::turn::{OPTIONAL, Turn};
use crate::traces::value::{Picked, Value};

/// Bytes of records that are held before they go to a temporary file, unless a limit is given.
pub const HELD: usize = 256 << 20;
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
    let files = open_files(paths, settings.format)?;
    let keys = NamedKeys::new(&settings);
    let (deal, mut coverage, loose) = read_files(&files, &settings, &keys, on_bad_row, &target, progress)?;
    let loose = Loose::new(loose);
    let ctx = FoldContext {
        settings: &settings,
        loose: &loose,
    };
    let turns = fold(&deal, &ctx, &mut coverage, &target)?;
    coverage.name_columns();
    drop(deal);
    let mut scores = loose.finish();
    note_loose(&scores, &settings, &mut coverage);
    write(&turns, &mut scores, &settings, target, &mut coverage)?;
    coverage.schema = Coverage::SCHEMA.to_owned();
    coverage.shorten();
    check(&coverage, paths, required)?;
    Ok(coverage)
}

/// Reads all files into records by trace.
fn read_files(
    files: &[TraceFile],
    settings: &Settings,
    keys: &NamedKeys,
    on_bad_row: OnBadRow,
    target: &Target<'_>,
    progress: &Progress,
) -> Result<(Dealt, Coverage, Vec<crate::traces::record::Score<'static>>)> {
    let deal = Deal::new(target.path, target.held);
    let parts = parts_of(files);
    let bar = progress.bar("traces", "B", Some(files.iter().map(|file| file.n_bytes).sum()));
    let sinks = fold_parts(
        parts.len(),
        || Sink::new(settings, &deal),
        |sink, idx| {
            let part = parts[idx];
            let file = &files[part.file_idx];
            at_work::note(&file.path);
            read_part(file, part, keys, on_bad_row, sink)?;
            let n = share_of(file, part);
            bar.advance(n);
            Ok(())
        },
    )?;
    let (mut coverage, mut loose) = (Coverage::default(), Vec::new());
    for sink in sinks {
        let (part, scores) = sink.finish()?;
        coverage.merge(part);
        loose.extend(scores);
    }
    for file in files {
        count(&mut coverage.files, file.kind.name(), 1);
        coverage.n_bytes += file.n_bytes;
    }
    Ok((deal.finish(), coverage, loose))
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
    let is_first = part.range.is_none_or(|(start, _)| start == 0);
    for_each_document(file, part, &mut |number, text| {
        sink.notes_keys = is_first && number <= NOTED_ROWS;
        sink.coverage.n_rows += 1;
        let read = match file.kind {
            Kind::Otlp => otlp::read(text, keys, sink),
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
    Err(error.hint("bad rows can be left out and counted: on_bad_row = \"drop\", or --on-bad-row drop"))
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

/// Folds the records of all traces into turns, by the hour of their start.
fn fold(dealt: &Dealt, ctx: &FoldContext<'_>, coverage: &mut Coverage, target: &Target<'_>) -> Result<Dealt> {
    let turns = Deal::new(target.path, target.held);
    let folded: Mutex<Coverage> = Mutex::default();
    let states = fold_parts(dealt.n_keys(), Hand::default, |hand, idx| {
        let records = dealt.records(idx)?;
        let mut by_group: Vec<(u64, &[u8])> = records
            .iter()
            .filter_map(|record| Some((hash::hash_id(Record::group_of(record)?.as_bytes()), record)))
            .collect();
        by_group.sort_unstable();
        let mut counts = Coverage::default();
        let mut bytes = Vec::new();
        for same_hash in by_group.chunk_by(|a, b| a.0 == b.0) {
            let mut groups: BTreeMap<&str, Vec<Record<'_>>> = BTreeMap::new();
            for (_, record) in same_hash {
                if let (Some(group), Some(decoded)) = (Record::group_of(record), Record::decode(record)) {
                    groups.entry(group).or_default().push(decoded);
                }
            }
            for records in groups.into_values() {
                for turn in fold_group(records, ctx, &mut counts) {
                    bytes.clear();
                    turn.encode(&mut bytes);
                    turns.add(hand, turn.event_time.div_euclid(HOUR), &bytes)?;
                }
            }
        }
        lock(&folded).merge(counts);
        Ok(())
    })?;
    for mut hand in states {
        turns.take(&mut hand)?;
    }
    coverage.merge(into_inner(folded));
    Ok(turns.finish())
}

/// Counts the scores of sessions and answers.
fn note_loose(scores: &LooseScores, settings: &Settings, coverage: &mut Coverage) {
    for (rule, [n_ambiguous, n_unjoined]) in &scores.n_unused {
        let (column, rule) = &settings.rules[usize::from(*rule)];
        let known = coverage.scores.entry(column.clone()).or_default();
        known.score.clone_from(&rule.score);
        known.n_ambiguous += n_ambiguous;
        known.n_unjoined += n_unjoined;
    }
    for score in scores.by_turn.values().flatten() {
        let (column, rule) = &settings.rules[usize::from(score.rule)];
        let known = coverage.scores.entry(column.clone()).or_default();
        known.score.clone_from(&rule.score);
        known.n_joined += 1;
    }
}

/// Writes the turns in the order of their starts.
fn write(
    dealt: &Dealt,
    scores: &mut LooseScores,
    settings: &Settings,
    target: Target<'_>,
    coverage: &mut Coverage,
) -> Result<()> {
    let lacking = OPTIONAL.into_iter().filter(|column| coverage.lacks(column));
    let lacking: Vec<&str> = lacking.collect();
    let mut table = TableWriter::create(target.path, target.file, settings, &lacking)?;
    map_in_order(
        dealt.n_keys(),
        |idx| {
            let mut turns: Vec<Turn> = dealt.records(idx)?.iter().filter_map(Turn::decode).collect();
            turns.sort_by(|a, b| (a.event_time, &a.trace, &a.root).cmp(&(b.event_time, &b.trace, &b.root)));
            Ok(turns)
        },
        |_, turns| {
            for mut turn in turns {
                turn.scores
                    .extend(scores.by_turn.remove(&turn.key()).into_iter().flatten());
                for (number, (column, _)) in settings.rules.iter().enumerate() {
                    let has_value = turn.scores.iter().any(|score| usize::from(score.rule) == number);
                    if has_value {
                        coverage.scores.entry(column.clone()).or_default().n_turns += 1;
                    }
                }
                table.push(turn)?;
            }
            Ok(())
        },
    )?;
    table.finish()
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
            .hint(format!("name the key that has it: columns.{column} = \"...\", or --column {column}=...")));
        }
    }
    Ok(())
}
