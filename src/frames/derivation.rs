//! The derived columns and the filter of a source, compiled for the columns of one file, and their
//! values for a batch of rows.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::DataType;
use polars::prelude as pl;
use polars::prelude::{Expr, IntoLazy};
use std::collections::BTreeMap;

use crate::base::error::Problem;
use crate::base::panics::catch;
use crate::frames::bridge;
use crate::frames::compile::{Compiler, Program, Scope};
use crate::frames::field::Field;
use crate::frames::kind::Kind;
use crate::frames::names::FileNames;
use crate::frames::node::Node;
use crate::frames::wrong::Wrong;
use crate::scenario::{Expression, Source};

/// Compiled expressions of a source.
#[derive(Debug)]
pub(crate) struct Derivation {
    program: Program,
    outputs: Vec<Output>,
    filter: Option<Output>,
}

/// An expression of the source: a derived column, or the filter.
#[derive(Debug)]
struct Output {
    /// The canonical name; `where` for the filter.
    name: String,
    node: Node,
}

/// The values of a batch.
#[derive(Debug)]
pub(crate) struct Derived {
    /// The derived columns, in the order in which they were asked for.
    pub(crate) columns: Vec<ArrayRef>,
    /// The rows that the filter keeps, and those in which it has a fault. `None` without a filter.
    pub(crate) keep: Option<BooleanArray>,
    pub(crate) faults: Vec<RowFault>,
}

/// A row without a legal value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFault {
    pub(crate) row: usize,
    /// The derived column.
    pub(crate) name: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Name of the filter in messages, as in a scenario.
const FILTER: &str = "where";

/// The stack of the thread that compiles.
const STACK_BYTES: usize = 64 << 20;

/// The most characters of a text in a message.
const MAX_SHOWN: usize = 60;

impl Derivation {
    /// Compiles the derived columns `wanted`, and the filter, for the columns of a file. `is_typed`
    /// says whether the file states their types.
    ///
    /// # Errors
    /// What is wrong in an expression, at its key in the scenario.
    pub(crate) fn new(
        source: &Source,
        columns: &BTreeMap<String, DataType>,
        is_typed: bool,
        wanted: &[&str],
    ) -> Result<Self, Problem> {
        // Long chains of conditions are deep trees.
        let compile = || Self::compiled(source, columns, is_typed, wanted);
        let outcome = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, compile);
            thread.map(|thread| thread.join())
        });
        match outcome {
            Ok(Ok(compiled)) => compiled,
            _ => Err(Problem::new(
                "",
                "expected expressions that can be compiled, found a broken one",
            )),
        }
    }

    fn compiled(
        source: &Source,
        columns: &BTreeMap<String, DataType>,
        is_typed: bool,
        wanted: &[&str],
    ) -> Result<Self, Problem> {
        let names = FileNames {
            source,
            columns,
            is_typed,
        };
        let mut compiler = Compiler::new(&names);
        let mut outputs = Vec::new();
        for name in wanted {
            let Some(expression) = source.derive.get(*name) else {
                continue;
            };
            let node = compiler
                .compile(&expression.text, scope_of(expression))
                .map_err(|wrong| placed(expression, wrong))?;
            outputs.push(Output {
                name: (*name).to_owned(),
                node,
            });
        }
        let filter = match &source.filter {
            None => None,
            Some(expression) => Some(Output {
                name: FILTER.to_owned(),
                node: compiler
                    .condition(&expression.text)
                    .map_err(|wrong| placed(expression, wrong))?,
            }),
        };
        Ok(Self {
            program: compiler.into_program(),
            outputs,
            filter,
        })
    }

    /// The fields that the expressions read.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.program.fields.iter().map(|(field, _)| field)
    }

    /// The kind of a derived column.
    pub(crate) fn kind(&self, idx: usize) -> Kind {
        self.outputs[idx].node.kind
    }

    /// Computes the values of a batch. `fields` are the arrays of [`Self::fields`].
    ///
    /// # Errors
    /// An array cannot be converted: the reason, as `expected ..., found ...`.
    pub(crate) fn apply(&self, fields: &[ArrayRef], n_rows: usize) -> Result<Derived, String> {
        catch(|| self.computed(fields, n_rows))
            .unwrap_or_else(|panic| Err(format!("expected values for the expressions, found: {panic}")))
    }

    fn computed(&self, fields: &[ArrayRef], n_rows: usize) -> Result<Derived, String> {
        let steps = self.steps(fields, n_rows)?;
        let mut exprs = Vec::new();
        let all = self.outputs.iter().chain(&self.filter);
        for (idx, output) in all.clone().enumerate() {
            let values = output.node.expr.clone();
            let values = match output.node.kind {
                // Arrow has no column of nulls without a type that both libraries agree on.
                Kind::Null => values.cast(Kind::Text.data_type()),
                _ => values,
            };
            exprs.push(values.alias(format!("o{idx}")));
            if let Some(fault) = &output.node.fault {
                exprs.push(fault.clone().alias(format!("x{idx}")));
            }
        }
        // One plan a batch: to plan costs as much as to compute a small batch.
        let frame = steps.with_columns(&exprs).collect().map_err(failed)?;
        let array = |name: String| -> Result<ArrayRef, String> {
            let column = frame.column(&name).map_err(failed)?;
            bridge::from_series(column.as_materialized_series())
        };
        let mut columns = Vec::new();
        for idx in 0..self.outputs.len() {
            columns.push(array(format!("o{idx}"))?);
        }
        let filter_idx = self.outputs.len();
        let keep = match &self.filter {
            None => None,
            Some(filter) => {
                let passes = array(format!("o{filter_idx}"))?;
                let passes = passes.as_boolean();
                let faults = match filter.node.fault {
                    Some(_) => Some(array(format!("x{filter_idx}"))?),
                    None => None,
                };
                let is_kept = |row: usize| {
                    passes.is_valid(row) && passes.value(row)
                        || faults
                            .as_ref()
                            .is_some_and(|faults| faults.as_boolean().value(row))
                };
                Some(
                    (0..n_rows)
                        .map(|row| Some(is_kept(row)))
                        .collect::<BooleanArray>(),
                )
            }
        };
        let mut faults = Vec::new();
        for (idx, output) in all.enumerate() {
            if output.node.fault.is_none() {
                continue;
            }
            let wrong = array(format!("x{idx}"))?;
            let wrong = wrong.as_boolean();
            let rows: Vec<usize> = (0..n_rows)
                .filter(|row| wrong.value(*row) && keep.as_ref().is_none_or(|keep| keep.value(*row)))
                .collect();
            self.explain(&frame, &output.name, &rows, &mut faults)?;
        }
        Ok(Derived {
            columns,
            keep,
            faults,
        })
    }

    /// The fields and the steps as the columns of a plan.
    fn steps(&self, fields: &[ArrayRef], n_rows: usize) -> Result<pl::LazyFrame, String> {
        let mut columns = Vec::new();
        for (idx, (array, (_, kind))) in fields.iter().zip(&self.program.fields).enumerate() {
            columns.push(pl::Column::from(series(&format!("f{idx}"), array, *kind)?));
        }
        let mut lazy = pl::DataFrame::new(n_rows, columns).map_err(failed)?.lazy();
        for step in &self.program.steps {
            lazy = lazy.with_columns([step.clone()]);
        }
        Ok(lazy)
    }

    /// Finds the first reason of each row with a fault.
    fn explain(
        &self,
        frame: &pl::DataFrame,
        name: &str,
        rows: &[usize],
        faults: &mut Vec<RowFault>,
    ) -> Result<(), String> {
        let Some(last) = rows.last() else {
            return Ok(());
        };
        let exprs: Vec<Expr> = self
            .program
            .reasons
            .iter()
            .enumerate()
            .map(|(idx, reason)| reason.found.clone().alias(format!("found{idx}")))
            .collect();
        let part = frame
            .head(Some(last + 1))
            .lazy()
            .with_columns(&exprs)
            .collect()
            .map_err(failed)?;
        let mut reasons = Vec::new();
        for (idx, reason) in self.program.reasons.iter().enumerate() {
            let is_fault = part
                .clone()
                .lazy()
                .select([reason.is_fault.clone().alias("x")])
                .collect()
                .map_err(failed)?;
            let found = part
                .column(&format!("found{idx}"))
                .map_err(failed)?
                .str()
                .map_err(failed)?
                .clone();
            reasons.push((
                is_fault
                    .column("x")
                    .map_err(failed)?
                    .bool()
                    .map_err(failed)?
                    .clone(),
                found,
                reason,
            ));
        }
        for row in rows {
            let first = reasons
                .iter()
                .find(|(is_fault, ..)| is_fault.get(*row) == Some(true));
            let (expected, found) = match first {
                Some((_, found, reason)) => (reason.expected.clone(), shown(found.get(*row), reason.is_text)),
                None => ("a value".to_owned(), "none".to_owned()),
            };
            faults.push(RowFault {
                row: *row,
                name: name.to_owned(),
                expected,
                found,
            });
        }
        Ok(())
    }
}

/// A value in a message.
fn shown(value: Option<&str>, is_text: bool) -> String {
    match value {
        None => "none".to_owned(),
        Some(text) if is_text => format!("\"{}\"", text.chars().take(MAX_SHOWN).collect::<String>()),
        Some(number) => number.to_owned(),
    }
}

/// The column of a field, in the type of its kind.
fn series(name: &str, array: &ArrayRef, kind: Kind) -> Result<pl::Series, String> {
    let series = bridge::to_series(name, array)?;
    // Whole numbers without a sign are converted row by row.
    if series.dtype() == &kind.data_type() || series.dtype() == &pl::DataType::UInt64 {
        return Ok(series);
    }
    series
        .strict_cast(&kind.data_type())
        .map_err(|error| format!("expected {kind}, found: {}", first_line(&error)))
}

fn failed(error: impl std::fmt::Display) -> String {
    format!(
        "expected values for the expressions, found: {}",
        first_line(&error)
    )
}

/// The first line of an error of Polars: the next lines show its plan.
fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn scope_of(expression: &Expression) -> Scope {
    if expression.is_canonical {
        Scope::Canonical
    } else {
        Scope::File
    }
}

fn placed(expression: &Expression, wrong: Wrong) -> Problem {
    let (key, text) = wrong
        .within
        .unwrap_or_else(|| (expression.key.clone(), expression.text.clone()));
    let problem = Problem::new(key, format!("{}, in \"{text}\"", wrong.message));
    match wrong.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
