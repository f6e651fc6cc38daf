//! The options that say how traces are read: `--format`, `--score`, `--turns`.

use clap::Args;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::scenario::{ScoreRule, Source, TraceFormat, TraceSource, TurnUnit};
use crate::traces;

#[derive(Debug, Default, Args)]
pub(super) struct TraceArgs {
    /// System that wrote the log, if it has traces: auto, otlp, langfuse, litellm, mlflow, phoenix,
    /// langsmith, braintrust or helicone. Columns are then paths in the traces
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<TraceFormat>,
    /// An outcome from a score of traces, such as "bad=user-feedback=thumbs_down" or
    /// "task_completed=resolved>=0.5"; repeatable
    #[arg(long = "score", value_name = "NAME=SCORE", value_parser = parse_score)]
    scores: Vec<(String, ScoreRule)>,
    /// What is one turn of traces with a row a request: request or session
    #[arg(long, value_name = "UNIT", value_parser = parse_unit)]
    turns: Option<TurnUnit>,
}

impl TraceArgs {
    /// Makes a source one of traces if `--format` says so, or changes how it is read. `prices` are for
    /// requests without a cost.
    ///
    /// # Errors
    /// An option is for traces, and the source has none. A score gives a column twice.
    pub(super) fn add_to(&self, source: &mut Source, prices: Option<&Path>) -> Result<()> {
        if let Some(format) = self.format {
            let traces = source.traces.get_or_insert_with(|| TraceSource {
                key: format!("--format {}", format.name()),
                ..TraceSource::default()
            });
            traces.format = format;
        }
        let Some(traces) = &mut source.traces else {
            if !self.scores.is_empty() || self.turns.is_some() {
                return Err(Error::usage(
                    "expected --format beside --score and --turns, which are for traces, found none",
                )
                .hint("let the content of the files tell: --format auto"));
            }
            return Ok(());
        };
        for column in &source.from_command_line {
            TraceSource::check_column(column)
                .map_err(|message| Error::usage(format!("--column {column}=...: {message}")))?;
        }
        traces
            .scores
            .extend(scores_by_column(&self.scores, &source.columns)?);
        traces.turns = self.turns.unwrap_or(traces.turns);
        if let Some(prices) = prices {
            traces.prices = Some(prices.to_owned());
        }
        Ok(())
    }
}

/// One of several words.
fn word<T: Copy>(text: &str, all: &[(&'static str, T)]) -> Result<T, String> {
    let found = all
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
        format!("expected {}, found \"{text}\"", words.join(", "))
    })
}

pub(super) fn parse_format(text: &str) -> Result<TraceFormat, String> {
    word(text, &traces::formats())
}

pub(super) fn parse_unit(text: &str) -> Result<TurnUnit, String> {
    word(text, &TurnUnit::ALL)
}

pub(super) fn parse_score(text: &str) -> Result<(String, ScoreRule), String> {
    match text.split_once('=') {
        Some((name, score)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), ScoreRule::parse(score)?))
        }
        _ => Err("expected NAME=SCORE, such as csat=csat".to_owned()),
    }
}

/// The rules of scores by their column, beside the columns that paths give.
///
/// # Errors
/// Two options give a column.
pub(super) fn scores_by_column(
    scores: &[(String, ScoreRule)],
    columns: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, ScoreRule>> {
    let mut rules = BTreeMap::new();
    for (name, rule) in scores {
        TraceSource::check_score(name, columns)
            .map_err(|message| Error::usage(format!("--score {name}: {message}")))?;
        if rules.insert(name.clone(), rule.clone()).is_some() {
            return Err(twice(name));
        }
    }
    Ok(rules)
}

/// The error of a column that two options give.
pub(super) fn twice(name: &str) -> Error {
    Error::usage(format!("expected one option for the column `{name}`, found two"))
}
