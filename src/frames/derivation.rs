//! The derived columns and the filter of a source, compiled for the columns of one file, and their
//! values for a batch of rows.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::DataType;
use polars::prelude as pl;
use polars::prelude::{Expr, IntoLazy};
use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::Problem;
use crate::base::panics::catch_everywhere;
use crate::frames::bridge;
use crate::frames::compile::{Compiler, Program, Reason, Scope};
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
    /// Why its rows have faults, as indices of the program's reasons.
    reasons: BTreeSet<usize>,
    /// Its text and its key, for messages.
    expression: Expression,
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
                reasons: compiler.take_reasons(),
                expression: expression.clone(),
            });
        }
        let filter = match &source.filter {
            None => None,
            Some(expression) => Some(Output {
                name: FILTER.to_owned(),
                node: compiler
                    .condition(&expression.text)
                    .map_err(|wrong| placed(expression, wrong))?,
                reasons: compiler.take_reasons(),
                expression: expression.clone(),
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
        catch_everywhere(|| self.computed(fields, n_rows)).unwrap_or_else(|panic| Err(failed(panic)))
    }

    /// Computes one row of ordinary values, expression by expression: what Polars refuses in an
    /// expression, such as a form of instants, is found before a row of a file.
    ///
    /// # Errors
    /// What Polars refuses, at its key in the scenario.
    pub(crate) fn rehearse(&self) -> Result<(), Problem> {
        let columns = self.program.fields.iter().enumerate().map(|(idx, (_, kind))| {
            let value = match kind {
                Kind::Null => pl::AnyValue::Null,
                Kind::Flag => pl::AnyValue::Boolean(true),
                Kind::Whole => pl::AnyValue::Int64(1),
                Kind::Real => pl::AnyValue::Float64(1.0),
                Kind::Text => pl::AnyValue::String("1"),
                Kind::Date => pl::AnyValue::Date(0),
                Kind::Instant => pl::AnyValue::Datetime(0, pl::TimeUnit::Microseconds, None),
            };
            let scalar = pl::Scalar::new(kind.data_type(), value.into_static());
            pl::Column::new_scalar(format!("f{idx}").as_str().into(), scalar, 1)
        });
        let columns: Vec<pl::Column> = columns.collect();
        for output in self.outputs.iter().chain(&self.filter) {
            let exprs = [Some(&output.node.expr), output.node.fault.as_ref()];
            let exprs = exprs.into_iter().flatten().enumerate();
            let exprs: Vec<Expr> = exprs
                .map(|(idx, expr)| expr.clone().alias(format!("o{idx}")))
                .collect();
            let compute = || -> Result<(), String> {
                let frame = pl::DataFrame::new(1, columns.clone()).map_err(failed)?;
                let steps = self.with_steps(frame.lazy());
                steps.select(exprs).collect().map(drop).map_err(failed)
            };
            catch_everywhere(compute)
                .unwrap_or_else(|panic| Err(failed(panic)))
                .map_err(|message| placed(&output.expression, Wrong::new(message)))?;
        }
        Ok(())
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
            self.explain(&frame, output, &rows, &mut faults)?;
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
        Ok(self.with_steps(pl::DataFrame::new(n_rows, columns).map_err(failed)?.lazy()))
    }

    fn with_steps(&self, fields: pl::LazyFrame) -> pl::LazyFrame {
        let steps = self.program.steps.iter();
        steps.fold(fields, |lazy, step| lazy.with_columns([step.clone()]))
    }

    /// Finds the first reason of each row with a fault.
    fn explain(
        &self,
        frame: &pl::DataFrame,
        output: &Output,
        rows: &[usize],
        faults: &mut Vec<RowFault>,
    ) -> Result<(), String> {
        let Some(last) = rows.last() else {
            return Ok(());
        };
        let reasons: Vec<&Reason> = output
            .reasons
            .iter()
            .map(|idx| &self.program.reasons[*idx])
            .collect();
        let mut exprs = Vec::with_capacity(2 * reasons.len());
        for (idx, reason) in reasons.iter().enumerate() {
            exprs.push(reason.is_fault.clone().alias(format!("is_fault{idx}")));
            exprs.push(reason.found.clone().alias(format!("found{idx}")));
        }
        let part = frame
            .head(Some(last + 1))
            .lazy()
            .with_columns(&exprs)
            .collect()
            .map_err(failed)?;
        let column = |name: String| part.column(&name).map_err(failed);
        let mut found = Vec::with_capacity(reasons.len());
        for (idx, reason) in reasons.into_iter().enumerate() {
            let is_fault = column(format!("is_fault{idx}"))?.bool().map_err(failed)?;
            let value = column(format!("found{idx}"))?.str().map_err(failed)?;
            found.push((is_fault, value, reason));
        }
        for row in rows {
            let first = found
                .iter()
                .find(|(is_fault, ..)| is_fault.get(*row) == Some(true));
            let (expected, found) = match first {
                Some((_, value, reason)) => (reason.expected.clone(), shown(value.get(*row), reason.is_text)),
                None => ("a value".to_owned(), "none".to_owned()),
            };
            faults.push(RowFault {
                row: *row,
                name: output.name.clone(),
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
