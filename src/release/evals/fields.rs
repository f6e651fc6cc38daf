//! What the fields of a row are in the formats of tools: `--column NAME=FIELD`.

use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::release::evals::row::{CaseOutcome, EvalRow, NotRun, ReadOptions};
use crate::scenario::Source;

/// The texts of a row that a column can say.
const TEXTS: [&str; 4] = ["case_id", "suite", "cluster", "release_id"];

/// The fields of rows, by the columns of a source. `passed` names a score: 1 is passed, 0 is failed.
/// `case_id`, `suite`, `cluster` and `release_id` name metadata or variables of a case; `release_id`
/// can also be `prompt`, `model` or `run`.
pub(super) struct Fields {
    /// The options of the importers. Their attributes begin with those of slices.
    options: ReadOptions,
    /// The number of attributes of slices.
    n_by: usize,
    /// The texts of rows, by their place in [`TEXTS`], with the name of the field.
    texts: Vec<(usize, String)>,
    passed: Option<String>,
}

impl Fields {
    pub(super) fn new(source: &Source, options: &ReadOptions) -> Self {
        let texts: Vec<(usize, String)> = TEXTS
            .iter()
            .enumerate()
            .filter_map(|(idx, name)| Some((idx, source.columns.get(*name)?.clone())))
            .collect();
        let mut by = options.by.clone();
        by.extend(texts.iter().map(|(_, field)| field.clone()));
        Self {
            options: ReadOptions {
                with_outputs: options.with_outputs,
                by,
            },
            n_by: options.by.len(),
            texts,
            passed: source.columns.get("passed").cloned(),
        }
    }

    /// What the importers read. Plain tables read only the attributes of slices.
    pub(super) fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// Fills the fields of the rows of a file, and drops attributes that are not of slices.
    ///
    /// # Errors
    /// No row has a field.
    pub(super) fn apply(&self, file: &Path, rows: &mut [EvalRow]) -> Result<()> {
        for (place, (text, field)) in self.texts.iter().enumerate() {
            let mut is_there = false;
            for row in rows.iter_mut() {
                let value = match (TEXTS[*text], field.as_str()) {
                    ("release_id", "prompt") => row.prompt.clone(),
                    ("release_id", "model") => row.model.clone(),
                    ("release_id", "run") => row.run.clone(),
                    _ => row.attributes.get(self.n_by + place).cloned().flatten(),
                };
                is_there |= value.is_some();
                fill(row, *text, value);
            }
            if !is_there {
                return Err(not_there(
                    file,
                    TEXTS[*text],
                    field,
                    "metadata or a variable of a case",
                ));
            }
        }
        for row in rows.iter_mut() {
            row.attributes.truncate(self.n_by);
        }
        let Some(score) = &self.passed else { return Ok(()) };
        if !rows.iter().any(|row| score_of(row, score).is_some()) {
            return Err(not_there(file, "passed", score, "the name of a score"));
        }
        for row in rows.iter_mut().filter(|row| row.outcome != CaseOutcome::Error) {
            (row.outcome, row.not_run) = match score_of(row, score) {
                Some(1.0) => (CaseOutcome::Passed, None),
                Some(0.0) => (CaseOutcome::Failed, None),
                Some(_) => (CaseOutcome::Unrated, Some(NotRun::PartialCredit)),
                None => (CaseOutcome::Unrated, Some(NotRun::NoScore)),
            };
            row.is_numeric = false;
        }
        Ok(())
    }
}

fn score_of(row: &EvalRow, name: &str) -> Option<f64> {
    let mut scores = row.scores.iter();
    scores
        .find(|(known, _)| **known == *name)
        .map(|(_, score)| *score)
}

fn fill(row: &mut EvalRow, text: usize, value: Option<Arc<str>>) {
    match TEXTS[text] {
        "case_id" => row.name = value,
        "cluster" => row.cluster = value,
        "release_id" => row.release = value,
        _ => row.suite = value.unwrap_or_else(|| row.suite.clone()),
    }
}

fn not_there(file: &Path, name: &str, field: &str, expected: &str) -> Error {
    Error::in_file(
        file,
        format!("expected {expected} named `{field}` for `{name}`, found no result with it"),
    )
    .hint(format!("--column {name}=NAME names {expected}"))
}
