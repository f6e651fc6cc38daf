//! Errors of Polars as problems that name the column or the table, what was expected, and what to
//! do next.

use polars::prelude::PolarsError;
use polars::sql::keywords::all_functions;

use crate::base::error::Problem;
use crate::base::escape;
use crate::base::similar::nearest;
use crate::frames::statement::unknown_table;

/// The tables of a query and their columns.
#[derive(Debug)]
pub(super) struct Known {
    tables: Vec<(String, Vec<String>)>,
    aliases: Vec<(String, String)>,
}

impl Known {
    /// The tables of a query that gives them these other names.
    pub(super) fn new(aliases: &[(String, String)]) -> Self {
        Self {
            tables: Vec::new(),
            aliases: aliases.to_vec(),
        }
    }

    pub(super) fn add(&mut self, table: &str, columns: &[String]) {
        self.tables.push((table.to_owned(), columns.to_vec()));
    }

    fn is_alias(&self, alias: &str, table: &str) -> bool {
        let mut aliases = self.aliases.iter();
        aliases.any(|(other, of)| other == alias && of == table)
    }

    /// The problem of a column that no table of the query has, or not this one.
    fn unknown_column(&self, column: &str, table: Option<&str>) -> Problem {
        let tables: Vec<&(String, Vec<String>)> = self
            .tables
            .iter()
            .filter(|(name, _)| table.is_none_or(|table| table == name || self.is_alias(table, name)))
            .collect();
        let columns = || tables.iter().flat_map(|(_, columns)| columns).map(String::as_str);
        let near = nearest(column, columns());
        let mut hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let lists = tables
            .iter()
            .map(|(name, columns)| format!("columns of {name} are {}", columns.join(", ")));
        hint.push_str(&lists.collect::<Vec<_>>().join("; "));
        let place = table.map_or_else(String::new, |table| format!(" of `{}`", escape::value(table)));
        let message = format!("expected a column{place}, found `{}`", escape::value(column));
        match hint.is_empty() {
            true => Problem::new("", message),
            false => Problem::new("", message).hint(hint),
        }
    }
}

/// The problem of an error that should not happen.
pub(super) fn unexpected(found: &str) -> Problem {
    Problem::new(
        "",
        format!(
            "expected a query that Polars can run, found: {}",
            first_line(found)
        ),
    )
    .hint("write the query in another way, for example with a WITH for each step")
}

/// The problem of an error of Polars.
pub(super) fn problem_of(error: PolarsError, known: &Known) -> Problem {
    let (error, expr) = without_context(error);
    let text = error.to_string();
    if let Some(column) = between(&text, "unable to find column \"", "\"") {
        return known.unknown_column(column, None);
    }
    if let Some((column, table)) = pair(&text, "no column named '", "' found in table '") {
        return known.unknown_column(column, Some(table));
    }
    if let Some(name) = between(&text, "no table or struct column named '", "'") {
        return known.unknown_column(name, None);
    }
    if let Some(name) = between(&text, "relation '", "' was not found")
        .or_else(|| between(&text, "no table or alias named '", "'"))
    {
        let names: Vec<&str> = known.tables.iter().map(|(name, _)| name.as_str()).collect();
        return unknown_table(name, &names);
    }
    if let Some(name) = between(&text, "unsupported function '", "'") {
        return unknown_function(name);
    }
    let place = expr.map_or_else(String::new, |expr| format!(" in `{}`", escape::value(&expr)));
    let found = first_line(&text);
    let expected = match &error {
        PolarsError::SchemaMismatch(_) | PolarsError::InvalidOperation(_) | PolarsError::ComputeError(_) => {
            "expected values of fitting types"
        }
        PolarsError::Duplicate(_) => "expected distinct names of columns",
        _ => "expected a query that Polars can run",
    };
    Problem::new("", format!("{expected}{place}, found: {found}"))
}

fn unknown_function(name: &str) -> Problem {
    let functions = all_functions();
    let near = nearest(name, functions.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Problem::new(
        "",
        format!("expected a function, found `{}`", escape::value(name)),
    )
    .hint(format!("{near}functions are listed in docs/reference/query.md; a column of this name needs quotes: \"{name}\""))
}

/// An error without the steps around it, and the innermost expression that it happened in.
fn without_context(mut error: PolarsError) -> (PolarsError, Option<String>) {
    let mut innermost = None;
    loop {
        match error {
            PolarsError::Context { error: inner, .. } => error = *inner,
            PolarsError::ExprContext { error: inner, expr } => {
                innermost = Some(plain(&expr));
                error = *inner;
            }
            error => return (error, innermost),
        }
    }
}

/// An expression as Polars writes it, with columns and texts as in SQL: `(col("x"))` is `x`, `("a")`
/// is `'a'`.
fn plain(expr: &str) -> String {
    let mut out = String::with_capacity(expr.len());
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once("col(\"") {
        let Some((name, after)) = after.split_once("\")") else {
            break;
        };
        let inner = before.strip_suffix('(').zip(after.strip_prefix(')'));
        let (before, after) = inner.unwrap_or((before, after));
        out.push_str(before);
        out.push_str(name);
        rest = after;
    }
    out.push_str(rest);
    let texts = out.replace("(\"", "'").replace("\")", "'");
    texts.replace('[', "(").replace(']', ")")
}

/// The first paragraph of a text, on one line. Plans and expressions follow in others.
fn first_line(text: &str) -> String {
    let text = text.trim_start();
    let end = [
        "\n\n",
        "Resolved plan until failure",
        "This error occurred",
        "---> FAILED",
        "; consider compiling",
    ]
    .iter()
    .filter_map(|mark| text.find(mark))
    .min();
    let words: Vec<&str> = text[..end.unwrap_or(text.len())].split_whitespace().collect();
    escape::value(&words.join(" "))
}

/// The text between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(start)?;
    after.split_once(end).map(|(found, _)| found)
}

/// The texts before and after `middle`, from `start` to the next quote.
fn pair<'a>(text: &'a str, start: &str, middle: &str) -> Option<(&'a str, &'a str)> {
    let (_, after) = text.split_once(start)?;
    let (first, after) = after.split_once(middle)?;
    Some((first, after.split_once('\'').map_or(after, |(second, _)| second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_read_as_in_sql() {
        let check = |expr: &str, expected: &str| assert_eq!(plain(expr), expected);
        check("[(col(\"n\")) > (\"x\")]", "(n > 'x')");
        check("col(\"layer\").sum()", "layer.sum()");
        check("[(col(\"a\")) + (dyn int: 1)]", "(a + (dyn int: 1))");
    }

    #[test]
    fn plans_and_advice_of_polars_are_left_out() {
        let check = |text: &str, expected: &str| assert_eq!(first_line(text), expected);
        check("no x\n\nResolved plan until failure:\n\n\t---> FAILED", "no x");
        check("too many rows; consider compiling with big-idx", "too many rows");
        check("a\n  b", "a b");
    }
}
