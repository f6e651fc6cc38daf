//! Tables for others: the source document's entities as CSV, and features as Parquet.

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use std::{path::Path, sync::Arc};

use crate::analysis::{Analysis, MetricArm, StageAnalysis};
use crate::base::error::{Error, Result};
use crate::base::{output, parquet_io, time};
use crate::input::{Format, UserFeatures};
use crate::layer::RfmRow;
use crate::ramp::{OperationRow, Schedule};
use crate::scenario::{Scenario, TagTest};

/// Writes LAYER, RELEASE_PLAN, AGENT_VERSION, METRIC and OPERATION_LOG, with the source document's fields, into a folder.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write_entities(
    folder: &Path,
    scenario: &Scenario,
    analysis: &Analysis,
    schedule: &Schedule,
    log: &[OperationRow],
) -> Result<()> {
    let plan = &scenario.plan;
    let layers = plan.layers.iter().enumerate().map(|(idx, layer)| {
        let rules: Vec<serde_json::Value> = layer
            .tags
            .iter()
            .map(|rule| match &rule.test {
                TagTest::Equals(text) => serde_json::json!({"column": rule.column, "equals": text}),
                TagTest::AtLeast(number) => serde_json::json!({"column": rule.column, "at_least": number}),
            })
            .collect();
        vec![
            layer.id.clone(),
            layer.name.clone(),
            (idx + 1).to_string(),
            layer.initial_ratio.share().to_string(),
            serde_json::Value::from(rules).to_string(),
            layer.qos_threshold.to_string(),
        ]
    });
    write_csv(
        &folder.join("layer.csv"),
        &[
            "layer_id",
            "layer_name",
            "priority",
            "default_flow_ratio",
            "tag_rules",
            "qos_threshold",
        ],
        layers,
    )?;

    let ratios: Vec<serde_json::Value> = schedule
        .layers
        .iter()
        .map(|layer| serde_json::json!({"tenant": layer.tenant, "layer": layer.layer, "ratio": layer.next_ratio.share()}))
        .collect();
    let row = vec![
        plan.id.clone(),
        scenario.name.clone(),
        schedule.status().name().to_owned(),
        time::format(plan.start),
        serde_json::Value::from(ratios).to_string(),
        plan.operator.clone(),
    ];
    let fields = [
        "plan_id",
        "plan_name",
        "status",
        "start_time",
        "layer_ratios",
        "operator",
    ];
    write_csv(&folder.join("release_plan.csv"), &fields, std::iter::once(row))?;

    // Model, configuration and change log come with release records; the ids are all that a scenario says.
    let versions = [&plan.baseline, &plan.candidate].map(|id| {
        vec![
            id.clone(),
            id.clone(),
            String::new(),
            String::new(),
            String::new(),
        ]
    });
    let fields = [
        "version_id",
        "version_code",
        "model_name",
        "agent_config",
        "changelog",
    ];
    write_csv(&folder.join("agent_version.csv"), &fields, versions.into_iter())?;

    let fields = [
        "metric_id",
        "version_id",
        "layer_id",
        "availability",
        "tool_success_rate",
        "task_completion_rate",
        "bad_rate",
        "complaint_rate",
        "avg_latency",
        "stat_time",
        "tenant_id",
    ];
    write_csv(
        &folder.join("metric.csv"),
        &fields,
        metric_rows(analysis).into_iter(),
    )?;

    let fields = [
        "log_id",
        "plan_id",
        "operation_type",
        "old_value",
        "new_value",
        "operate_time",
        "operator",
        "tenant_id",
        "layer_id",
        "evidence_digest",
    ];
    let rows = log.iter().map(|row| {
        vec![
            row.log_id.clone(),
            row.plan_id.clone(),
            row.operation_type.clone(),
            row.old_value.share().to_string(),
            row.new_value.share().to_string(),
            time::format(row.operate_time),
            row.operator.clone(),
            row.tenant.clone(),
            row.layer.clone(),
            row.evidence_digest.clone(),
        ]
    });
    write_csv(&folder.join("operation_log.csv"), &fields, rows)
}

/// One row per tenant, layer, stage and release. A rate that is not known is an empty field.
fn metric_rows(analysis: &Analysis) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for layer in &analysis.layers {
        for (idx, stage) in layer.stages.iter().enumerate() {
            for (release, is_candidate) in [(&analysis.baseline, false), (&analysis.candidate, true)] {
                let rate = |metric: &str| {
                    value(stage, metric, is_candidate).map_or_else(String::new, |value| value.to_string())
                };
                rows.push(vec![
                    format!(
                        "{}:{}:{}:{idx}:{release}",
                        analysis.plan_id, layer.tenant, layer.layer
                    ),
                    release.clone(),
                    layer.layer.clone(),
                    rate("availability"),
                    rate("tool_success_rate"),
                    rate("task_completion_rate"),
                    rate("bad_rate"),
                    rate("complaint_rate"),
                    rate("latency_mean_ms"),
                    time::format(stage.end),
                    layer.tenant.clone(),
                ]);
            }
        }
    }
    rows
}

fn value(stage: &StageAnalysis, metric: &str, is_candidate: bool) -> Option<f64> {
    let found = stage.metrics.iter().find(|m| m.metric == metric)?;
    let arm: &MetricArm = if is_candidate {
        &found.candidate
    } else {
        &found.baseline
    };
    arm.estimate
}

fn write_csv(path: &Path, fields: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    output::write_file(path, |file| {
        let failed = |error: csv::Error| Error::write(path, &error);
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(fields).map_err(failed)?;
        for row in rows {
            writer.write_record(row).map_err(failed)?;
        }
        writer.flush().map_err(|error| Error::write(path, &error))
    })
}

/// Writes features built from events: one row a user.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_features(path: &Path, features: &[UserFeatures]) -> Result<()> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let has_tenants = features.iter().any(|user| user.tenant_id.is_some());
    let mut fields = vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("first_event_time", instant.clone(), false),
        Field::new("last_use_time", instant, false),
        Field::new("n_events", DataType::Int64, false),
        Field::new("n_days", DataType::Int64, false),
        Field::new("use_count", DataType::Int64, false),
        Field::new("user_value", DataType::Float64, false),
    ];
    fields.extend(has_tenants.then(|| Field::new("tenant_id", DataType::Utf8, true)));
    let schema = Arc::new(Schema::new(fields));
    let instants = |f: fn(&UserFeatures) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(features.iter().map(f)).with_timezone("UTC"))
    };
    let counts = |f: fn(&UserFeatures) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(features.iter().map(|u| f(u) as i64)))
    };
    let mut columns = vec![
        Arc::new(StringArray::from_iter_values(features.iter().map(|u| &u.user_id))) as ArrayRef,
        instants(|u| u.first_event),
        instants(|u| u.last_event),
        counts(|u| u.n_events),
        counts(|u| u.days.len() as u64),
        counts(|u| u.use_count),
        Arc::new(Float64Array::from_iter_values(
            features.iter().map(|u| u.value_micros as f64 / 1e6),
        )),
    ];
    if has_tenants {
        columns.push(Arc::new(
            features
                .iter()
                .map(|user| user.tenant_id.as_deref())
                .collect::<StringArray>(),
        ));
    }
    parquet_io::write(
        path,
        &schema,
        std::iter::once(parquet_io::batch(&schema, columns)),
    )
}

/// Writes the classic RFM summary, as CSV if the name says so, else as Parquet.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_rfm(path: &Path, users: &[UserFeatures], rows: &[RfmRow]) -> Result<()> {
    let has_tenants = users.iter().any(|user| user.tenant_id.is_some());
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
    let is_csv = Format::of(path).is_some_and(|format| format == Format::Csv { gzip: false });
    if is_csv {
        let lines = rows.iter().map(|row| {
            let user = &users[row.user];
            let mut line = vec![user.user_id.clone()];
            line.extend([row.frequency, row.recency, row.age].map(|n| n.to_string()));
            line.push(row.monetary_value.to_string());
            line.extend([
                row.days_since_last.to_string(),
                row.n_transactions.to_string(),
                row.total_value.to_string(),
            ]);
            line.extend(row.scores.map(|score| score.to_string()));
            line.extend(has_tenants.then(|| user.tenant_id.clone().unwrap_or_default()));
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
            rows.iter().map(|row| &users[row.user].user_id),
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
        columns.push(Arc::new(
            rows.iter()
                .map(|row| users[row.user].tenant_id.as_deref())
                .collect::<StringArray>(),
        ));
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
