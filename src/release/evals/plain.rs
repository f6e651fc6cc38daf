//! The reader of plain evaluation tables (Parquet, CSV, NDJSON): one row per run of a case.

use arrow_array::{Array, Float64Array, StringArray};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::interner::Interner;
use crate::input::{InputFile, Table, convert};
use crate::release::evals::row::{CaseOutcome, EvalRow};
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
    Output,
}

impl TextColumn {
    /// The names of the columns, in the order of the variants.
    const NAMES: [&str; 7] = [
        "case_id",
        "suite",
        "release_id",
        "prompt_ref",
        "model_ref",
        "cluster",
        "output",
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
/// `release_id`, `prompt_ref`, `model_ref`, `cluster`, `passed`, `error` (text or flag),
/// `cost_usd`, `latency_ms`, `tokens_in`, `tokens_out`, `output` and `score_*`.
pub(super) fn read(source: &Source, file: &Path, rows: &mut Vec<EvalRow>) -> Result<()> {
    let table = Table::open(&Source {
        path: file.to_owned(),
        ..source.clone()
    })?;
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
    let wanted: Vec<&str> = TextColumn::NAMES
        .into_iter()
        .chain(FLAGS)
        .chain(RealColumn::NAMES)
        .chain(scores.iter().map(String::as_str))
        .collect();
    let names: Vec<Arc<str>> = scores.iter().map(|name| name["score_".len()..].into()).collect();
    let (mut interner, golden) = (Interner::default(), Arc::<str>::from("golden"));
    let mut last: [Option<Arc<str>>; TextColumn::NAMES.len()] = Default::default();
    for part in &table.parts {
        table.read(*part, &wanted, &mut |batch| {
            let mut faults = batch.faults(OnBadRow::Error)?;
            convert::required_text(&batch, TextColumn::CaseId as usize, &mut faults)?;
            let mut texts: Vec<Option<StringArray>> = Vec::new();
            for idx in 0..TextColumn::NAMES.len() {
                texts.push(convert::text(&batch, idx)?);
            }
            let passed = convert::flag(&batch, PASSED_IDX, &mut faults)?;
            let errors = convert::text_or_flag(&batch, ERROR_IDX)?;
            let mut reals: Vec<Option<Float64Array>> = Vec::new();
            for idx in FIRST_REAL_IDX..wanted.len() {
                let min = if idx < FIRST_REAL_IDX + RealColumn::NAMES.len() {
                    0.0
                } else {
                    f64::NEG_INFINITY
                };
                reals.push(convert::real(&batch, idx, min, &mut faults)?);
            }
            let (reals, score_columns) = reals.split_at(RealColumn::NAMES.len());
            for row in 0..batch.n_rows {
                let mut text = |column: TextColumn| {
                    let idx = column as usize;
                    let values = texts[idx]
                        .as_ref()
                        .filter(|values| values.is_valid(row) && !values.value(row).is_empty())?;
                    let text = values.value(row);
                    // Outputs differ from row to row. Other texts often repeat, so the last one is
                    // reused.
                    if column == TextColumn::Output {
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
                rows.push(EvalRow {
                    case_id: text(TextColumn::CaseId).unwrap_or_else(|| "".into()),
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
                });
            }
            Ok(())
        })?;
    }
    Ok(())
}
