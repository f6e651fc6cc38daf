//! Derived columns and filters of a source, in front of the typed columns.

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use arrow_select::filter::filter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::error::{Error, Problem, Result};
use crate::frames::{Access, Derivation, Derived, Field, Kind, conjuncts};
use crate::input::batch::{Batch, Illegal};
use crate::input::file::InputFile;
use crate::input::nested;
use crate::input::partition::Partition;
use crate::input::want::Want;
use crate::scenario::{Expression, Source};

/// The expressions of a source, compiled for one file and the columns that are wanted.
pub(super) struct Reading {
    derivation: Derivation,
    /// Index in the batch, and canonical name, of each derived column.
    outputs: Vec<(usize, String)>,
}

/// Checks the expressions of a source against the columns of its files.
///
/// # Errors
/// What is wrong in an expression, at its key.
pub(super) fn check(source: &Source, files: &[InputFile]) -> Result<()> {
    let all: Vec<&str> = source.derive.keys().map(String::as_str).collect();
    let mut checked: Option<BTreeMap<String, DataType>> = None;
    for file in files {
        let columns = file.types();
        if checked.as_ref() != Some(&columns) {
            compile(source, file, &columns, &all)?
                .rehearse()
                .map_err(|problem| placed(file, problem))?;
            checked = Some(columns);
        }
    }
    Ok(())
}

/// Whether a file can have rows that the filter of its source keeps, from the keys of its partition
/// alone. `true` if they do not decide.
pub(super) fn can_match(source: &Source, partition: &Partition) -> bool {
    let Some(filter) = &source.filter else {
        return true;
    };
    let keys: BTreeSet<&str> = partition.values.keys().map(String::as_str).collect();
    // A key that the source derives is another column.
    let keys: BTreeSet<&str> = keys
        .into_iter()
        .filter(|key| !source.derive.contains_key(*key))
        .collect();
    if keys.is_empty() {
        return true;
    }
    let types = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), partition.data_type(key)?.clone())));
    let types: BTreeMap<String, DataType> = types.collect();
    conjuncts(&filter.text, &keys).into_iter().all(|text| {
        let one = Source {
            filter: Some(Expression::new(text, filter.key.clone())),
            ..Source::default()
        };
        // A part that cannot be computed decides nothing; its error is that of the whole filter.
        let Ok(derivation) = Derivation::new(&one, &types, false, &[]) else {
            return true;
        };
        let fields: Option<Vec<ArrayRef>> = derivation
            .fields()
            .map(|field| partition.array(&field.column, 1))
            .collect();
        let derived = fields.and_then(|fields| derivation.apply(&fields, 1).ok());
        derived
            .and_then(|derived| derived.keep)
            .is_none_or(|keep| keep.value(0))
    })
}

fn compile(
    source: &Source,
    file: &InputFile,
    columns: &BTreeMap<String, DataType>,
    wanted: &[&str],
) -> Result<Derivation> {
    Derivation::new(source, columns, file.fields().is_some(), wanted).map_err(|problem| placed(file, problem))
}

/// The error of an expression, for a file.
fn placed(file: &InputFile, problem: Problem) -> Error {
    let is_option = problem.location.starts_with("--");
    let placed = Problem {
        location: format!("{}: {}", problem.location, file.path.display()),
        ..problem
    };
    if is_option {
        let error = Error::usage(format!("{}: {}", placed.location, placed.message));
        return placed.hint.into_iter().fold(error, Error::hint);
    }
    Error::scenario(vec![placed])
}

impl Reading {
    pub(super) fn new(source: &Source, file: &InputFile, wanted: &[&str]) -> Result<Self> {
        let outputs: Vec<(usize, String)> = wanted
            .iter()
            .enumerate()
            .filter(|(_, name)| source.derive.contains_key(**name))
            .map(|(idx, name)| (idx, (*name).to_owned()))
            .collect();
        let names: Vec<&str> = outputs.iter().map(|(_, name)| name.as_str()).collect();
        Ok(Self {
            derivation: compile(source, file, &file.types(), &names)?,
            outputs,
        })
    }

    /// The columns of the file that the expressions read, one for each field.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Want<'_>> {
        self.derivation.fields().map(|field| Want {
            name: &field.column,
            nested: field.access != Access::Whole,
        })
    }

    /// The canonical names of the derived columns.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|(_, name)| name.as_str())
    }

    /// Whether a derived column has flags.
    pub(super) fn is_flag(&self, idx: usize) -> bool {
        self.derivation.kind(idx) == Kind::Flag
    }

    /// Whether the expressions read whole columns only.
    pub(super) fn has_plain_inputs(&self) -> bool {
        self.derivation
            .fields()
            .all(|field| field.access == Access::Whole)
    }

    /// Computes the values of a batch from whole columns.
    ///
    /// # Errors
    /// A column cannot be converted: the reason.
    pub(super) fn values(&self, fields: &[ArrayRef], n_rows: usize) -> Result<Derived, String> {
        self.derivation.apply(fields, n_rows)
    }

    /// Fills a batch: the derived columns, and the rows of the other columns that the filter keeps.
    ///
    /// # Errors
    /// A column cannot be converted.
    pub(super) fn fill<'n>(
        &self,
        batch: &mut Batch<'_>,
        inputs: impl Iterator<Item = &'n ArrayRef>,
        plain: impl Iterator<Item = (usize, &'n str, &'n ArrayRef)>,
    ) -> Result<()> {
        let location = |name: &str| format!("{}: column `{name}`", batch.path.display());
        let mut fields = Vec::new();
        for (field, array) in self.derivation.fields().zip(inputs) {
            let value =
                value_of(field, array).map_err(|message| Error::input(location(&field.column), message))?;
            fields.push(value);
        }
        let derived = self
            .derivation
            .apply(&fields, batch.n_rows)
            .map_err(|message| Error::in_file(batch.path, message))?;
        let kept: Option<Vec<u32>> = derived.keep.as_ref().map(|keep| {
            (0_u32..)
                .zip(keep.values().iter())
                .filter(|(_, keep)| *keep)
                .map(|(row, _)| row)
                .collect()
        });
        let pick = |array: &ArrayRef| match &derived.keep {
            None => Ok(ArrayRef::clone(array)),
            Some(keep) => filter(array, keep).map_err(|error| {
                Error::in_file(batch.path, format!("expected rows to leave out, found: {error}"))
            }),
        };
        let mut columns = Vec::new();
        for (idx, name, array) in plain {
            columns.push((idx, name.to_owned(), pick(array)?));
        }
        for ((idx, name), array) in self.outputs.iter().zip(&derived.columns) {
            columns.push((*idx, name.clone(), pick(array)?));
        }
        let row_in_batch = |row: usize| match &kept {
            None => row,
            Some(kept) => kept.partition_point(|kept| (*kept as usize) < row),
        };
        let illegal = derived.faults.into_iter().map(|fault| Illegal {
            row: row_in_batch(fault.row),
            column: fault.name,
            expected: fault.expected,
            found: fault.found,
        });
        batch.set_illegal(illegal.collect());
        if let Some(kept) = kept {
            batch.n_rows = kept.len();
            batch.set_kept(kept);
        }
        for (idx, name, array) in columns {
            batch.set(idx, &name, array);
        }
        Ok(())
    }
}

/// The values of a field.
fn value_of(field: &Field, array: &ArrayRef) -> Result<ArrayRef, String> {
    let at = |path: &[String]| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        nested::at_path(array, &path)
    };
    Ok(match &field.access {
        Access::Whole => ArrayRef::clone(array),
        Access::Path(path) => at(path)?,
        Access::Length(path) => Arc::new(nested::length_of(&at(path)?)?),
        Access::CountWhere { path, field, value } => Arc::new(nested::count_where(&at(path)?, field, value)?),
    })
}
