//! The bill as a CSV or Parquet file, one row per line of the bill.

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::{Field, Schema};
use std::path::Path;
use std::sync::Arc;

use crate::base::csv::write_csv;
use crate::base::error::{Error, Result};
use crate::base::parquet_io;
use crate::finops::bill::{BillLine, Chargeback, UnitCost};
use crate::finops::money::usd_text;
use crate::finops::question::Unseen;
use crate::input::Format;
use crate::stats::Reason;

/// The values of a column of the file, one per line of the bill.
enum Values {
    Text(Vec<String>),
    Count(Vec<Option<i64>>),
    /// Amounts in nano-USD.
    Money(Vec<Option<i64>>),
    Real(Vec<Option<f64>>),
}

/// Writes the lines to a CSV or Parquet file, chosen by the file's name. CSV has money in USD with
/// nine decimals (`cost_usd`), Parquet in whole nano-USD (`cost_nano_usd`).
///
/// # Errors
/// The name has another extension, or the file cannot be written.
pub fn write(bill: &Chargeback, path: &Path) -> Result<()> {
    let columns = columns(bill);
    match Format::by_path(path) {
        Some(format) if format.is_plain_csv() => write_bill_csv(path, &columns, bill.lines.len()),
        Some(Format::Parquet) => write_parquet(path, columns),
        _ => Err(Error::usage(format!(
            "expected --out to end in .csv or .parquet, found {}",
            path.display()
        ))),
    }
}

fn columns(bill: &Chargeback) -> Vec<(String, Values)> {
    let lines = &bill.lines;
    let mut columns: Vec<(String, Values)> = Vec::new();
    for by in &bill.by {
        let values = lines
            .iter()
            .map(|line| line.keys.get(by.column()).cloned().unwrap_or_default())
            .collect();
        columns.push((by.column().to_owned(), Values::Text(values)));
    }
    let count = |of: fn(&BillLine) -> Option<u64>| {
        Values::Count(
            lines
                .iter()
                .map(|line| of(line).and_then(|n| i64::try_from(n).ok()))
                .collect(),
        )
    };
    let tokens = |of: fn(&BillLine) -> Option<i64>| Values::Count(lines.iter().map(of).collect());
    let money = |of: fn(&BillLine) -> Option<i64>| Values::Money(lines.iter().map(of).collect());
    let real = |of: fn(&BillLine) -> Option<f64>| Values::Real(lines.iter().map(of).collect());
    let reason = |of: fn(&BillLine) -> Option<Reason>| Values::Text(lines.iter().map(of).map(word).collect());
    let named: Vec<(&str, Values)> = vec![
        ("n_rows", count(|line| Some(line.n_rows))),
        ("n_users", count(|line| line.n_users.value().copied())),
        ("n_users_reason", reason(|line| line.n_users.reason())),
        ("n_without_user", count(|line| Some(line.n_without_user))),
        ("n_without_release", count(|line| Some(line.n_without_release))),
        ("n_sessions", count(|line| line.n_sessions)),
        ("n_successes", count(|line| line.n_successes)),
        ("n_outcome_unknown", count(|line| Some(line.n_outcome_unknown))),
        ("cost", money(|line| Some(line.cost_nano_usd))),
        ("n_cost_unknown", count(|line| Some(line.n_cost_unknown))),
        ("logged", money(|line| Some(line.logged_nano_usd))),
        ("n_logged", count(|line| Some(line.n_logged))),
        ("repriced", money(|line| line.repriced_nano_usd)),
        ("n_repriced", count(|line| line.n_repriced)),
        ("tool_cost", money(|line| line.tool_cost_nano_usd)),
        ("tokens_in", tokens(|line| line.tokens_in)),
        ("tokens_out", tokens(|line| line.tokens_out)),
        ("usd_per_success", real(|line| estimate(&line.usd_per_success))),
        (
            "usd_per_success_lower",
            real(|line| ends(&line.usd_per_success).map(|ends| ends.0)),
        ),
        (
            "usd_per_success_upper",
            real(|line| ends(&line.usd_per_success).map(|ends| ends.1)),
        ),
        (
            "usd_per_success_reason",
            reason(|line| unit_reason(&line.usd_per_success)),
        ),
        (
            "usd_per_success_repriced",
            real(|line| line.usd_per_success_repriced.as_ref().and_then(estimate)),
        ),
        (
            "usd_per_success_repriced_lower",
            real(|line| {
                line.usd_per_success_repriced
                    .as_ref()
                    .and_then(ends)
                    .map(|ends| ends.0)
            }),
        ),
        (
            "usd_per_success_repriced_upper",
            real(|line| {
                line.usd_per_success_repriced
                    .as_ref()
                    .and_then(ends)
                    .map(|ends| ends.1)
            }),
        ),
        (
            "usd_per_success_repriced_reason",
            reason(|line| unit_reason(line.usd_per_success_repriced.as_ref()?)),
        ),
    ];
    columns.extend(named.into_iter().map(|(name, values)| (name.to_owned(), values)));
    for (name, of) in [
        ("shadow", (|line| &line.shadow) as fn(&BillLine) -> &Unseen),
        ("eval", |line| &line.eval),
    ] {
        let count = |value: fn(&Unseen) -> u64| {
            Values::Count(
                lines
                    .iter()
                    .map(|line| i64::try_from(value(of(line))).ok())
                    .collect(),
            )
        };
        columns.push((format!("n_{name}_rows"), count(|unseen| unseen.n_rows)));
        columns.push((
            format!("{name}_cost"),
            Values::Money(lines.iter().map(|line| Some(of(line).cost_nano_usd)).collect()),
        ));
        columns.push((
            format!("n_{name}_cost_unknown"),
            count(|unseen| unseen.n_cost_unknown),
        ));
    }
    columns
}

/// The word of a reason in documents. Empty without a reason.
fn word(reason: Option<Reason>) -> String {
    let word = serde_json::to_value(reason).ok();
    word.and_then(|word| Some(word.as_str()?.to_owned()))
        .unwrap_or_default()
}

/// The reason why a cost per success is not known or, if it is, why its interval is not.
fn unit_reason(unit: &UnitCost) -> Option<Reason> {
    unit.estimate.reason().or_else(|| unit.robust.reason())
}

fn estimate(unit: &UnitCost) -> Option<f64> {
    unit.estimate.value().copied()
}

fn ends(unit: &UnitCost) -> Option<(f64, f64)> {
    unit.robust
        .value()
        .map(|robust| (robust.ci_lower, robust.ci_upper))
}

fn write_bill_csv(path: &Path, columns: &[(String, Values)], n_lines: usize) -> Result<()> {
    let header: Vec<String> = columns
        .iter()
        .map(|(name, values)| {
            if matches!(values, Values::Money(_)) {
                format!("{name}_usd")
            } else {
                name.clone()
            }
        })
        .collect();
    let names: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = (0..n_lines).map(|line| {
        let field = |(_, values): &(String, Values)| match values {
            Values::Text(texts) => texts[line].clone(),
            Values::Count(counts) => counts[line].map_or_else(String::new, |n| n.to_string()),
            Values::Money(nano) => nano[line].map_or_else(String::new, usd_text),
            Values::Real(reals) => reals[line].map_or_else(String::new, |value| value.to_string()),
        };
        columns.iter().map(field).collect()
    });
    write_csv(path, &names, rows)
}

fn write_parquet(path: &Path, columns: Vec<(String, Values)>) -> Result<()> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (name, values) in columns {
        let (name, array): (String, ArrayRef) = match values {
            Values::Text(texts) => (name, Arc::new(StringArray::from(texts))),
            Values::Count(counts) => (name, Arc::new(Int64Array::from(counts))),
            Values::Money(nano) => (format!("{name}_nano_usd"), Arc::new(Int64Array::from(nano))),
            Values::Real(reals) => (name, Arc::new(Float64Array::from(reals))),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    parquet_io::write(path, &schema, std::iter::once(parquet_io::batch(&schema, arrays)))
}
