//! The reader of plain evaluation tables (Parquet, CSV, NDJSON): one row per run of a case.

use arrow_array::{Array, Float64Array, StringArray};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::flag;
use crate::base::interner::Interner;
use crate::input::{InputFile, Table, convert};
use crate::release::evals::asked;
use crate::release::evals::importers::json::{stem, verdict_of_text};
use crate::release::evals::importers::ragas;
use crate::release::evals::row::{CaseOutcome, EvalFormat, EvalRow, NotRun};
use crate::scenario::{OnBadRow, Source};

/// The text columns, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextColumn {
    CaseId,
    Suite,
    Release,
    Prompt,
    Model,
    Cluster,
    Repeat,
    Output,
    Input,
}

impl TextColumn {
    /// The names of the columns, in the order of the variants.
    const NAMES: [&str; 9] = [
        "case_id",
        "suite",
        "release_id",
        "prompt_ref",
        "model_ref",
        "cluster",
        "repeat",
        "output",
        "input",
    ];
}

/// The flag columns. They are read after the text columns.
const FLAGS: [&str; 2] = ["passed", "error"];
/// The indices of the flag columns among the columns that are read.
const PASSED_IDX: usize = TextColumn::NAMES.len();
const ERROR_IDX: usize = PASSED_IDX + 1;
/// The index of the first number column. The score columns follow the columns of [`RealColumn`].
const FIRST_REAL_IDX: usize = ERROR_IDX + 1;

/// The number columns, in reading order. Their values are at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RealColumn {
    CostUsd,
    LatencyMs,
    TokensIn,
    TokensOut,
}

impl RealColumn {
    /// The names of the columns, in the order of the variants.
    const NAMES: [&str; 4] = ["cost_usd", "latency_ms", "tokens_in", "tokens_out"];
}

/// Reads a plain table. The column `case_id` is required. Optional columns are `suite`,
/// `release_id`, `prompt_ref`, `model_ref`, `cluster`, `repeat`, `input`, `passed`, `error` (text or
/// flag), `cost_usd`, `latency_ms`, `tokens_in`, `tokens_out`, `output`, `score_*` and those of `by`.
/// A table without `case_id` and with `user_input` is one of Ragas.
pub(super) fn read(
    source: &Source,
    file: &Path,
    by: &[String],
    rows: &mut Vec<EvalRow>,
) -> Result<EvalFormat> {
    let table = Table::open(&Source {
        path: file.to_owned(),
        ..source.clone()
    })?
    .with_json(&["output", "input"]);
    if !table.has("case_id") && table.has("user_input") {
        experiment(&table, file, by, rows)?;
        return Ok(EvalFormat::Ragas);
    }
    let is_promptfoo = table
        .files
        .iter()
        .flat_map(InputFile::names)
        .any(|name| name == "Grader Reason");
    if !table.has("case_id") && is_promptfoo {
        return Err(Error::in_file(
            file,
            "expected a table with `case_id`, found a CSV export of promptfoo, which lacks ids, costs and times",
        )
        .hint("promptfoo writes JSON with -o results.json"));
    }
    table.check_columns(&["case_id"])?;
    let columns = |table: &Table| -> Vec<String> { table.files.iter().flat_map(InputFile::names).collect() };
    let mut scores: Vec<String> = columns(&table)
        .into_iter()
        .chain(source.columns.keys().cloned())
        .filter(|name| name.starts_with("score_"))
        .collect();
    scores.sort();
    scores.dedup();
    if !table.has("passed") && !table.has("error") && scores.is_empty() {
        let found = columns(&table).join(", ");
        return Err(Error::in_file(
            file,
            format!("expected a column `passed` or `score_...`, found {found}"),
        )
        .hint("if the column has another name, say so: --column passed=NAME or --column score_x=NAME"));
    }
    let mut wanted: Vec<&str> = TextColumn::NAMES
        .into_iter()
        .chain(FLAGS)
        .chain(RealColumn::NAMES)
        .chain(scores.iter().map(String::as_str))
        .collect();
    let n_reals = wanted.len() - FIRST_REAL_IDX;
    let by_idxs: Vec<usize> = by
        .iter()
        .map(|name| {
            let known = wanted.iter().position(|known| known == name);
            known.unwrap_or_else(|| {
                wanted.push(name);
                wanted.len() - 1
            })
        })
        .collect();
    let names: Vec<Arc<str>> = scores.iter().map(|name| name["score_".len()..].into()).collect();
    let (mut interner, golden) = (Interner::default(), Arc::<str>::from("golden"));
    let mut by_names = Interner::default();
    let mut last: [Option<Arc<str>>; TextColumn::NAMES.len()] = Default::default();
    for part in &table.parts {
        table.read(*part, &wanted, &mut |batch| {
            let mut faults = batch.faults(OnBadRow::Error)?;
            convert::required_text(&batch, TextColumn::CaseId as usize, &mut faults)?;
            let mut texts: Vec<Option<StringArray>> = Vec::new();
            for idx in 0..TextColumn::NAMES.len() {
                texts.push(convert::text(&batch, idx)?);
            }
            let verdict = |text: &str| flag::parse(text).or_else(|| verdict_of_text(text));
            let passed = convert::flag_by(&batch, PASSED_IDX, verdict, &mut faults)?;
            let errors = convert::text_or_flag(&batch, ERROR_IDX)?;
            let mut reals: Vec<Option<Float64Array>> = Vec::new();
            for idx in FIRST_REAL_IDX..FIRST_REAL_IDX + n_reals {
                let min = if idx < FIRST_REAL_IDX + RealColumn::NAMES.len() {
                    0.0
                } else {
                    f64::NEG_INFINITY
                };
                reals.push(convert::real_or_nan(&batch, idx, min, &mut faults)?);
            }
            let (reals, score_columns) = reals.split_at(RealColumn::NAMES.len());
            let mut by_texts: Vec<Option<StringArray>> = Vec::new();
            for idx in &by_idxs {
                by_texts.push(convert::text(&batch, *idx)?);
            }
            for row in 0..batch.n_rows {
                let mut text = |column: TextColumn| {
                    let idx = column as usize;
                    let values = texts[idx]
                        .as_ref()
                        .filter(|values| values.is_valid(row) && !values.value(row).is_empty())?;
                    let text = values.value(row);
                    // Outputs and inputs differ from row to row. Other texts often repeat, so the last one is
                    // reused.
                    if matches!(column, TextColumn::Output | TextColumn::Input) {
                        return Some(text.into());
                    }
                    if last[idx].as_deref() != Some(text) {
                        last[idx] = Some(interner.get(text));
                    }
                    last[idx].clone()
                };
                let real = |column: &Option<Float64Array>| {
                    column
                        .as_ref()
                        .filter(|column| column.is_valid(row))
                        .map(|column| column.value(row))
                };
                let measured = |column: RealColumn| real(&reals[column as usize]);
                let case_id = text(TextColumn::CaseId).unwrap_or_else(|| "".into());
                let input = text(TextColumn::Input);
                let is_error = errors.as_ref().is_some_and(|errors| errors[row]);
                let outcome = match passed
                    .as_ref()
                    .filter(|passed| passed.is_valid(row))
                    .map(|passed| passed.value(row))
                {
                    _ if is_error => CaseOutcome::Error,
                    Some(true) => CaseOutcome::Passed,
                    Some(false) => CaseOutcome::Failed,
                    None => CaseOutcome::Unrated,
                };
                let mut scores: Vec<(Arc<str>, f64)> = Vec::new();
                if !is_error {
                    let known = names.iter().zip(score_columns);
                    scores.reserve_exact(names.len());
                    scores.extend(known.filter_map(|(name, column)| Some((name.clone(), real(column)?))));
                }
                let tokens = match (measured(RealColumn::TokensIn), measured(RealColumn::TokensOut)) {
                    (Some(tokens_in), Some(tokens_out)) => Some([tokens_in as u64, tokens_out as u64]),
                    _ => None,
                };
                let mut attributes = Vec::with_capacity(by_texts.len());
                for texts in &by_texts {
                    let texts = texts.as_ref().filter(|texts| texts.is_valid(row));
                    attributes.push(texts.map(|texts| by_names.get(texts.value(row))));
                }
                rows.push(EvalRow {
                    name: Some(case_id),
                    asked: input.map(|text| asked::hash_of(&text.as_ref().into()).into()),
                    repeat: text(TextColumn::Repeat),
                    not_run: is_error.then_some(NotRun::RunError),
                    attributes,
                    suite: text(TextColumn::Suite).unwrap_or_else(|| golden.clone()),
                    release: text(TextColumn::Release),
                    run: None,
                    prompt: text(TextColumn::Prompt),
                    model: text(TextColumn::Model),
                    cluster: text(TextColumn::Cluster),
                    output: text(TextColumn::Output),
                    outcome,
                    scores,
                    cost_usd: measured(RealColumn::CostUsd),
                    latency_ms: measured(RealColumn::LatencyMs),
                    tokens,
                    ..EvalRow::default()
                });
            }
            Ok(())
        })?;
    }
    Ok(EvalFormat::Plain)
}

/// Reads a table of Ragas: one row of an experiment, with a column for each metric.
fn experiment(table: &Table, file: &Path, by: &[String], rows: &mut Vec<EvalRow>) -> Result<()> {
    let columns: BTreeSet<String> = table.files.iter().flat_map(InputFile::names).collect();
    let wanted: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut names = Interner::default();
    let run = names.get(&stem(file));
    for part in &table.parts {
        table.read(*part, &wanted, &mut |batch| {
            let mut texts: Vec<Option<StringArray>> = Vec::new();
            for idx in 0..wanted.len() {
                texts.push(convert::text(&batch, idx)?);
            }
            for row in 0..batch.n_rows {
                let values = wanted.iter().zip(&texts).map(|(name, texts)| {
                    let text = texts.as_ref().filter(|texts| texts.is_valid(row));
                    (
                        (*name).to_owned(),
                        text.map_or(Value::Null, |texts| cell(texts.value(row))),
                    )
                });
                rows.push(ragas::experiment(&values.collect(), run.clone(), by, &mut names));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The value of a cell of a text table: a number, null for NaN and blanks, or the text.
fn cell(text: &str) -> Value {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        Ok(_) => Value::Null,
        Err(_) if text.trim().is_empty() => Value::Null,
        Err(_) => text.into(),
    }
}
