//! Results of evaluations as a table: one row a run of a case.

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::parquet_io;
use crate::release::evals::ReadOptions;
use crate::release::evals::read_evals;
use crate::release::evals::row::{CaseOutcome, EvalRow};
use crate::scenario::Source;

/// Reads results of evaluations. The last columns are the scores, by the names of their metrics; a
/// score with the name of another column has `score_` before it.
///
/// # Errors
/// The same as for [`read_evals`].
pub(super) fn read(path: &Path) -> Result<RecordBatch> {
    let rows = read_evals(&Source::at(path), &ReadOptions::default())?.rows;
    let texts = |value: &dyn Fn(&EvalRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
    let reals = |value: &dyn Fn(&EvalRow) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<Float64Array>())
    };
    let tokens = |idx: usize| -> ArrayRef {
        let counts = rows
            .iter()
            .map(|row| row.tokens.and_then(|counts| i64::try_from(counts[idx]).ok()));
        Arc::new(counts.collect::<Int64Array>())
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("suite".to_owned(), texts(&|row| Some(row.suite.to_string()))),
        ("case_id".to_owned(), texts(&|row| Some(row.case_id().to_owned()))),
        (
            "outcome".to_owned(),
            texts(&|row| Some(word(row.outcome).to_owned())),
        ),
        (
            "not_run".to_owned(),
            texts(&|row| row.not_run.map(|reason| reason.text().en)),
        ),
        ("asked".to_owned(), texts(&|row| text(&row.asked))),
        ("release".to_owned(), texts(&|row| text(&row.release))),
        ("run".to_owned(), texts(&|row| text(&row.run))),
        ("prompt".to_owned(), texts(&|row| text(&row.prompt))),
        ("model".to_owned(), texts(&|row| text(&row.model))),
        ("cluster".to_owned(), texts(&|row| text(&row.cluster))),
        ("cost_usd".to_owned(), reals(&|row| row.cost_usd)),
        ("latency_ms".to_owned(), reals(&|row| row.latency_ms)),
        ("input_tokens".to_owned(), tokens(0)),
        ("output_tokens".to_owned(), tokens(1)),
    ];
    let scores = rows
        .iter()
        .flat_map(|row| &row.scores)
        .map(|(metric, _)| metric.to_string());
    for metric in scores.collect::<BTreeSet<_>>() {
        let scores = reals(&|row| {
            let mut scores = row.scores.iter();
            scores
                .find(|(name, _)| **name == *metric)
                .map(|(_, score)| *score)
        });
        let is_taken = columns.iter().any(|(name, _)| *name == metric);
        columns.push((
            if is_taken {
                format!("score_{metric}")
            } else {
                metric
            },
            scores,
        ));
    }
    let fields = columns.iter();
    let fields = fields.map(|(name, array)| Field::new(name, DataType::clone(array.data_type()), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Ok(parquet_io::batch(&schema, arrays))
}

fn word(outcome: CaseOutcome) -> &'static str {
    match outcome {
        CaseOutcome::Passed => "passed",
        CaseOutcome::Failed => "failed",
        CaseOutcome::Error => "error",
        CaseOutcome::Unrated => "unrated",
    }
}
