//! The table of turns: a Parquet file with canonical columns.

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, Field as ArrowField, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::input::LACKING;
use crate::scenario::Combine;
use crate::traces::record::Field;
use crate::traces::settings::{FIELDS, Settings};
use crate::traces::turn::{Turn, TurnScore};

/// Turns of a row group.
const GROUP_ROWS: usize = 65_536;
/// Turns that wait before they are made columns.
const WAITING: usize = 8_192;

/// A column: its name and its values.
type Column = (String, ArrayRef);

/// Writes turns in the order in which they come.
pub(super) struct TableWriter<'s> {
    settings: &'s Settings,
    path: PathBuf,
    writer: ArrowWriter<File>,
    waiting: Vec<Turn>,
}

impl<'s> TableWriter<'s> {
    /// Begins a table. Its file says which columns have no value: `lacking`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn create(path: &Path, file: File, settings: &'s Settings, lacking: &[&str]) -> Result<Self> {
        let note = KeyValue::new(LACKING.to_owned(), lacking.join(","));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(Default::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_key_value_metadata(Some(vec![note]))
            .build();
        let schema = batch(&[], settings)
            .map_err(|error| unwritable(path, &error))?
            .schema();
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).or_unwritable(path)?;
        Ok(Self {
            settings,
            path: path.to_owned(),
            writer,
            waiting: Vec::new(),
        })
    }

    /// Adds a turn.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn push(&mut self, turn: Turn) -> Result<()> {
        self.waiting.push(turn);
        if self.waiting.len() >= WAITING {
            self.write()
        } else {
            Ok(())
        }
    }

    fn write(&mut self) -> Result<()> {
        let rows = batch(&self.waiting, self.settings).map_err(|error| unwritable(&self.path, &error))?;
        self.waiting.clear();
        self.writer.write(&rows).or_unwritable(&self.path)
    }

    /// Writes what is left, and the end of the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            self.write()?;
        }
        self.writer.close().or_unwritable(&self.path)?;
        Ok(())
    }
}

fn unwritable(path: &Path, error: &ArrowError) -> Error {
    Error::write(path, format!("expected a table of turns, found: {error}"))
}

/// The value of an outcome from the scores of a turn.
pub(super) fn outcome(scores: &[TurnScore], rule: u8, combine: Combine) -> Option<f64> {
    let mut of_rule: Vec<&TurnScore> = scores.iter().filter(|score| score.rule == rule).collect();
    of_rule.sort_by(|a, b| a.at.cmp(&b.at).then(a.value.total_cmp(&b.value)));
    let values = of_rule.iter().map(|score| score.value);
    match combine {
        Combine::Last => of_rule.last().map(|score| score.value),
        Combine::Any => values.max_by(f64::total_cmp),
        Combine::Mean if of_rule.is_empty() => None,
        Combine::Mean => Some(values.sum::<f64>() / of_rule.len() as f64),
    }
}

fn texts<'t>(turns: &'t [Turn], text: impl Fn(&'t Turn) -> Option<&'t str>) -> ArrayRef {
    let texts: Vec<Option<&str>> = turns.iter().map(text).collect();
    let n_bytes = texts.iter().flatten().map(|text| text.len()).sum();
    let mut column = StringBuilder::with_capacity(turns.len(), n_bytes);
    texts.into_iter().for_each(|text| column.append_option(text));
    Arc::new(column.finish())
}

/// The columns of `FIELDS`. All of a turn are read at a time: they lie close to each other.
fn fields(turns: &[Turn]) -> Vec<ArrayRef> {
    let mut columns = FIELDS.map(|(_, field)| (field, StringBuilder::with_capacity(turns.len(), 0)));
    for turn in turns {
        for (field, column) in &mut columns {
            column.append_option(turn.text(*field));
        }
    }
    columns
        .map(|(_, mut column)| Arc::new(column.finish()) as ArrayRef)
        .into()
}

fn wholes(turns: &[Turn], number: impl Fn(&Turn) -> Option<i64>) -> ArrayRef {
    let mut column = Int64Builder::with_capacity(turns.len());
    turns.iter().for_each(|turn| column.append_option(number(turn)));
    Arc::new(column.finish())
}

fn reals(turns: &[Turn], number: impl Fn(&Turn) -> Option<f64>) -> ArrayRef {
    let mut column = Float64Builder::with_capacity(turns.len());
    turns.iter().for_each(|turn| column.append_option(number(turn)));
    Arc::new(column.finish())
}

fn flags(turns: &[Turn], flag: impl Fn(&Turn) -> Option<bool>) -> ArrayRef {
    let mut column = BooleanBuilder::with_capacity(turns.len());
    turns.iter().for_each(|turn| column.append_option(flag(turn)));
    Arc::new(column.finish())
}

/// The columns of turns. A column of the source with the same name takes the place of one.
fn columns(turns: &[Turn], settings: &Settings) -> Vec<Column> {
    let millis = |nanos: i64| nanos as f64 / 1e6;
    let times = turns.iter().map(|turn| turn.event_time);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let prompts: Vec<Option<String>> = turns.iter().map(prompt_ref).collect();
    let mut prompt_column = StringBuilder::new();
    prompts
        .iter()
        .for_each(|prompt| prompt_column.append_option(prompt.as_deref()));
    let mut all: Vec<Column> = vec![
        ("event_time".into(), Arc::new(times)),
        ("trace_id".into(), texts(turns, |turn| Some(&turn.trace))),
    ];
    all.extend(
        FIELDS
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .zip(fields(turns)),
    );
    let computed: [(&str, ArrayRef); 17] = [
        ("prompt_ref", Arc::new(prompt_column.finish())),
        ("is_shadow", flags(turns, |turn| Some(turn.is_shadow))),
        ("is_eval", flags(turns, |turn| Some(turn.is_eval))),
        ("success", flags(turns, |turn| turn.success)),
        ("latency_ms", reals(turns, |turn| turn.latency.map(millis))),
        (
            "first_token_ms",
            reals(turns, |turn| turn.first_token.map(millis)),
        ),
        (
            "inference_calls",
            wholes(turns, |turn| Some(turn.inference_calls)),
        ),
        ("tool_calls", wholes(turns, |turn| Some(turn.tool_calls))),
        ("tool_successes", wholes(turns, |turn| Some(turn.tool_successes))),
        ("tokens_in", wholes(turns, |turn| turn.tokens_in)),
        ("cached_tokens_in", wholes(turns, |turn| turn.cached_tokens_in)),
        (
            "cache_write_tokens_in",
            wholes(turns, |turn| turn.cache_write_tokens_in),
        ),
        ("tokens_out", wholes(turns, |turn| turn.tokens_out)),
        (
            "reasoning_tokens_out",
            wholes(turns, |turn| turn.reasoning_tokens_out),
        ),
        (
            "cost_usd",
            reals(turns, |turn| turn.cost.map(|nano| nano as f64 / 1e9)),
        ),
        ("retries", wholes(turns, |turn| Some(turn.retries))),
        ("is_fallback", flags(turns, |turn| Some(turn.is_fallback))),
    ];
    all.extend(computed.map(|(name, column)| (name.to_owned(), column)));
    for (number, (column, rule)) in settings.rules.iter().enumerate() {
        let values = reals(turns, |turn| outcome(&turn.scores, number as u8, rule.combine));
        put(&mut all, column, values);
    }
    for named in settings
        .named
        .iter()
        .filter(|named| matches!(named.field, Field::Named(_)))
    {
        put(
            &mut all,
            &named.column,
            texts(turns, |turn| turn.text(named.field)),
        );
    }
    all
}

fn put(all: &mut Vec<Column>, name: &str, values: ArrayRef) {
    match all.iter_mut().find(|(known, _)| known == name) {
        Some(known) => known.1 = values,
        None => all.push((name.to_owned(), values)),
    }
}

/// The prompt with its version: `name@version`.
fn prompt_ref(turn: &Turn) -> Option<String> {
    let name = turn.text(Field::Prompt)?;
    Some(match turn.text(Field::PromptVersion) {
        Some(version) => format!("{name}@{version}"),
        None => name.to_owned(),
    })
}

fn batch(turns: &[Turn], settings: &Settings) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = columns(turns, settings);
    debug_assert!(matches!(
        columns[0].1.data_type(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_))
    ));
    let fields: Vec<ArrowField> = columns
        .iter()
        .map(|(name, values)| ArrowField::new(name, values.data_type().clone(), true))
        .collect();
    let values = columns.into_iter().map(|(_, values)| values).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values)
}
