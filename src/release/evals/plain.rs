//! Evaluations as a plain table: Parquet, CSV or NDJSON, one row a run of a case.

use arrow_array::{Array, Float64Array, StringArray};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::interner::Interner;
use crate::input::{RowFaults, Table, convert};
use crate::release::evals::row::{CaseOutcome, EvalRow};
use crate::scenario::{OnBadRow, Source};

const TEXTS: [&str; 7] = [
    "case_id",
    "suite",
    "release_id",
    "prompt_ref",
    "model_ref",
    "cluster",
    "output",
];
const REALS: [&str; 4] = ["cost_usd", "latency_ms", "tokens_in", "tokens_out"];

/// Reads a plain table. Columns: `case_id`, then as there are: `suite`, `release_id`, `prompt_ref`, `model_ref`, `cluster`, `passed`, `error` (a text, or a flag),
/// `cost_usd`, `latency_ms`, `tokens_in`, `tokens_out`, `output`, `score_*`.
pub(super) fn read(source: &Source, file: &Path, rows: &mut Vec<EvalRow>) -> Result<()> {
    let table = Table::open(&Source {
        path: file.to_owned(),
        ..source.clone()
    })?;
    table.check_columns(&["case_id"])?;
    let columns =
        |table: &Table| -> Vec<String> { table.files.iter().flat_map(|file| file.columns.clone()).collect() };
    let mut scores: Vec<String> = columns(&table)
        .into_iter()
        .chain(source.columns.keys().cloned())
        .filter(|name| name.starts_with("score_"))
        .collect();
    scores.sort();
    scores.dedup();
    let measures = ["passed", "error"];
    if !table.has("passed") && !table.has("error") && scores.is_empty() {
        let found = columns(&table).join(", ");
        return Err(Error::in_file(
            file,
            format!("expected a column `passed` or `score_...`, found {found}"),
        )
        .hint("if the column has another name, say so: --column passed=NAME or --column score_x=NAME"));
    }
    let wanted: Vec<&str> = TEXTS
        .into_iter()
        .chain(measures)
        .chain(REALS)
        .chain(scores.iter().map(String::as_str))
        .collect();
    let names: Vec<Arc<str>> = scores.iter().map(|name| name["score_".len()..].into()).collect();
    let (mut interner, golden) = (Interner::default(), Arc::<str>::from("golden"));
    rows.reserve(table.n_rows().map_or(0, |n| n as usize));
    let mut last: [Option<Arc<str>>; TEXTS.len()] = Default::default();
    for part in &table.parts {
        table.read(*part, &wanted, &mut |batch| {
            let mut faults = RowFaults::new(OnBadRow::Error, batch.n_rows);
            convert::required_text(&batch, 0, &mut faults)?;
            let mut texts: Vec<Option<StringArray>> = Vec::new();
            for idx in 0..TEXTS.len() {
                texts.push(convert::text(&batch, idx)?);
            }
            let passed = convert::flag(&batch, TEXTS.len(), &mut faults)?;
            let errors = convert::text_or_flag(&batch, TEXTS.len() + 1)?;
            let mut reals: Vec<Option<Float64Array>> = Vec::new();
            for idx in TEXTS.len() + 2..wanted.len() {
                let min = if idx < TEXTS.len() + 2 + REALS.len() {
                    0.0
                } else {
                    f64::NEG_INFINITY
                };
                reals.push(convert::real(&batch, idx, min, &mut faults)?);
            }
            let (reals, score_columns) = reals.split_at(REALS.len());
            for row in 0..batch.n_rows {
                let mut text = |idx: usize| {
                    let column = texts[idx]
                        .as_ref()
                        .filter(|column| column.is_valid(row) && !column.value(row).is_empty())?;
                    let text = column.value(row);
                    // Outputs are all different; suites and releases are those of the row before.
                    if idx == 6 {
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
                let scores: Vec<(Arc<str>, f64)> = if is_error {
                    Vec::new()
                } else {
                    names
                        .iter()
                        .zip(score_columns)
                        .filter_map(|(name, column)| Some((name.clone(), real(column)?)))
                        .collect()
                };
                let tokens = match (real(&reals[2]), real(&reals[3])) {
                    (Some(read), Some(written)) => Some([read as u64, written as u64]),
                    _ => None,
                };
                rows.push(EvalRow {
                    case_id: text(0).unwrap_or_else(|| "".into()),
                    suite: text(1).unwrap_or_else(|| golden.clone()),
                    release: text(2),
                    run: None,
                    prompt: text(3),
                    model: text(4),
                    cluster: text(5),
                    output: text(6),
                    outcome,
                    scores,
                    cost_usd: real(&reals[0]),
                    latency_ms: real(&reals[1]),
                    tokens,
                });
            }
            Ok(())
        })?;
    }
    Ok(())
}
