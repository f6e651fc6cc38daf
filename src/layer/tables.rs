//! Writes feature tables and RFM tables as files.

use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use std::path::Path;
use std::sync::Arc;

use crate::base::csv::write_csv;
use crate::base::error::Result;
use crate::base::parquet_io;
use crate::base::time::Micros;
use crate::input::{Format, UserFeatures};
use crate::layer::rfm::RfmRow;

/// Writes features that were built from events as Parquet, one row per user.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_features(path: &Path, features: &UserFeatures) -> Result<()> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("first_event_time", instant.clone(), false),
        Field::new("last_use_time", instant, false),
        Field::new("n_events", DataType::Int64, false),
        Field::new("n_days", DataType::Int64, false),
        Field::new("use_count", DataType::Int64, false),
        Field::new("user_value", DataType::Float64, false),
    ];
    fields.extend(
        features
            .tenant_id
            .is_some()
            .then(|| Field::new("tenant_id", DataType::Utf8, true)),
    );
    let schema = Arc::new(Schema::new(fields));
    let instants = |values: &[Micros]| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(values.iter().copied()).with_timezone("UTC"))
    };
    let counts = |values: &[u32]| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values.iter().map(|n| i64::from(*n))))
    };
    let n_group = parquet_io::GROUP_ROWS;
    parquet_io::write_columns(
        path,
        &schema,
        features.n_users(),
        n_group,
        |column, rows| match column {
            0 => Arc::new(features.user_id.slice(rows.start, rows.len())),
            1 => instants(&features.first_event[rows]),
            2 => instants(&features.last_event[rows]),
            3 => counts(&features.n_events[rows]),
            4 => counts(&features.n_days[rows]),
            5 => counts(&features.use_count[rows]),
            6 => {
                let values = features.value_micros[rows].iter();
                Arc::new(Float64Array::from_iter_values(
                    values.map(|value| *value as f64 / 1e6),
                ))
            }
            _ => match &features.tenant_id {
                Some(tenants) => Arc::new(tenants.slice(rows.start, rows.len())),
                None => new_null_array(&DataType::Utf8, rows.len()),
            },
        },
    )
}

/// Writes the classic RFM summary, one row per user: as CSV if the file's name ends in `.csv`, else
/// as Parquet.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_rfm(path: &Path, users: &UserFeatures, rows: &[RfmRow]) -> Result<()> {
    let has_tenants = users.tenant_id.is_some();
    let tenant = |row: &RfmRow| {
        let names = users
            .tenant_id
            .as_ref()
            .filter(|names| names.is_valid(row.user))?;
        Some(names.value(row.user))
    };
    let mut names = vec![
        "user_id",
        "frequency",
        "recency",
        "T",
        "monetary_value",
        "days_since_last",
        "n_transactions",
        "total_value",
    ];
    names.extend(["r_score", "f_score", "m_score"]);
    names.extend(has_tenants.then_some("tenant_id"));
    let is_csv = Format::by_path(path).is_some_and(Format::is_plain_csv);
    if is_csv {
        let lines = rows.iter().map(|row| {
            let mut line = vec![users.user_id.value(row.user).to_owned()];
            line.extend([row.frequency, row.recency, row.age].map(|n| n.to_string()));
            line.push(row.monetary_value.to_string());
            line.extend([
                row.days_since_last.to_string(),
                row.n_transactions.to_string(),
                row.total_value.to_string(),
            ]);
            line.extend(row.scores.map(|score| score.to_string()));
            line.extend(has_tenants.then(|| tenant(row).unwrap_or_default().to_owned()));
            line
        });
        return write_csv(path, &names, lines);
    }
    let integers = |f: &dyn Fn(&RfmRow) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(f)))
    };
    let reals = |f: &dyn Fn(&RfmRow) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(rows.iter().map(f)))
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| users.user_id.value(row.user)),
        )),
        integers(&|row| row.frequency),
        integers(&|row| row.recency),
        integers(&|row| row.age),
        reals(&|row| row.monetary_value),
        integers(&|row| row.days_since_last),
        integers(&|row| row.n_transactions as i64),
        reals(&|row| row.total_value),
    ];
    columns.extend([0, 1, 2].map(|measure| integers(&|row| i64::from(row.scores[measure]))));
    if has_tenants {
        columns.push(Arc::new(rows.iter().map(tenant).collect::<StringArray>()));
    }
    let fields: Vec<Field> = names
        .iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), *name == "tenant_id"))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    parquet_io::write(
        path,
        &schema,
        std::iter::once(parquet_io::batch(&schema, columns)),
    )
}
