//! The options that say how the columns of a source are read: `--column`, `--derive`, `--where`.

use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::base::error::{Error, Problem, Result};
use crate::cli::values::parse_column;
use crate::scenario::{AllowedColumn, Expression, SensitiveRule, Source, text_sign};

#[derive(Debug, Default, Args, Serialize, Deserialize)]
pub(super) struct SourceArgs {
    /// A column with another name in the files, such as user_id=customer_id; repeatable
    #[arg(long = "column", value_name = "NAME=COLUMN", value_parser = parse_column)]
    columns: Vec<(String, String)>,
    /// A column as a SQL expression of one row, such as "latency_ms=duration_s * 1000"; repeatable
    #[arg(long = "derive", value_name = "NAME=EXPR", value_parser = parse_derive)]
    derive: Vec<(String, String)>,
    /// Only rows for which a SQL expression is true, such as "env = 'prod'"
    #[arg(long = "where", value_name = "EXPR")]
    filter: Option<String>,
    /// Character between two values of a text file, such as ";" or "\\t"
    #[arg(long, value_name = "CHARACTER", value_parser = text_sign)]
    delimiter: Option<u8>,
}

/// A derived column, from `NAME=EXPR`.
fn parse_derive(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, expression)) if !name.trim().is_empty() && !expression.trim().is_empty() => {
            Ok((name.trim().to_owned(), expression.trim().to_owned()))
        }
        _ => Err("expected NAME=EXPR, such as \"latency_ms=duration_s * 1000\"".to_owned()),
    }
}

impl SourceArgs {
    /// A source on the command line. `allowed` are the columns that `--allow-column` allows.
    ///
    /// # Errors
    /// The same as for [`Self::add_to`].
    pub(super) fn source(&self, path: &Path, allowed: &[AllowedColumn]) -> Result<Source> {
        self.with_columns(path, &self.columns, allowed)
    }

    /// A source on the command line with these columns in place of those of `--column`.
    ///
    /// # Errors
    /// The same as for [`Self::add_to`].
    pub(super) fn with_columns(
        &self,
        path: &Path,
        columns: &[(String, String)],
        allowed: &[AllowedColumn],
    ) -> Result<Source> {
        let mut source = Source::at(path);
        let rule = SensitiveRule {
            words: Vec::new(),
            allowed: allowed.to_vec(),
        };
        add_columns(&mut source, columns, &rule)?;
        self.add_expressions(&mut source, &rule)?;
        source.delimiter = self.delimiter;
        Ok(source)
    }

    /// Adds the options to a source. They replace what the scenario says of the same column.
    ///
    /// # Errors
    /// A name is given twice, or is a constant of the scenario. A column is a sensitive attribute.
    pub(super) fn add_to(&self, source: &mut Source, rule: &SensitiveRule) -> Result<()> {
        add_columns(source, &self.columns, rule)?;
        source.delimiter = self.delimiter.or(source.delimiter);
        self.add_expressions(source, rule)
    }

    fn add_expressions(&self, source: &mut Source, rule: &SensitiveRule) -> Result<()> {
        for (name, text) in &self.derive {
            let option = format!("--derive {name}={text}");
            rule.check_expression(name, text)
                .map_err(|problem| refused(&option, problem))?;
            claim(source, name, &option)?;
            source.columns.remove(name);
            source.derive.insert(name.clone(), Expression::new(text, option));
        }
        if let Some(text) = &self.filter {
            let option = format!("--where {text}");
            rule.check_expression("where", text)
                .map_err(|problem| refused(&option, problem))?;
            source.filter = Some(Expression::new(text, option));
        }
        Ok(())
    }

    /// The columns that `--column` names.
    pub(super) fn columns(&self) -> &[(String, String)] {
        &self.columns
    }
}

/// Adds the columns that `--column` names to a source. They replace those of the scenario, with
/// their units.
///
/// # Errors
/// A name is given twice, or is a constant of the scenario. A column is a sensitive attribute.
fn add_columns(source: &mut Source, columns: &[(String, String)], rule: &SensitiveRule) -> Result<()> {
    for (name, column) in columns {
        let option = format!("--column {name}={column}");
        rule.check_named(name, column)
            .map_err(|problem| refused(&option, problem))?;
        claim(source, name, &option)?;
        source.derive.remove(name);
        source.columns.insert(name.clone(), column.clone());
    }
    Ok(())
}

fn refused(option: &str, problem: Problem) -> Error {
    let error = Error::usage(format!("{option}: {}", problem.message));
    error.hint(problem.hint.unwrap_or_default())
}

/// Notes that an option names a column.
fn claim(source: &mut Source, name: &str, option: &str) -> Result<()> {
    if !source.from_command_line.insert(name.to_owned()) {
        return Err(Error::usage(format!(
            "expected one option for the column `{name}`, found {option} and another"
        )));
    }
    if source.constants.contains_key(name) {
        return Err(Error::usage(format!(
            "expected a column or a constant for `{name}`, found {option} and a constant of the scenario"
        )));
    }
    if source.absent.contains(name) {
        return Err(Error::usage(format!(
            "expected a column that is read or absent, found {option} and `{name}` in the scenario's `absent`"
        )));
    }
    source.units.remove(name);
    Ok(())
}
