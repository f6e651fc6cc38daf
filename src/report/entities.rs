//! Tables for other systems: the entities of the reference policy (docs/REFERENCE_POLICY.md) as
//! CSV.

use std::path::Path;

use crate::analysis::{Analysis, MetricArm, StageAnalysis};
use crate::base::csv::to_csv;
use crate::base::error::{Error, Result};
use crate::base::time;
use crate::ramp::{OperationRow, Schedule};
use crate::scenario::{Scenario, TagTest};

/// Returns the tables LAYER, RELEASE_PLAN, AGENT_VERSION, METRIC and OPERATION_LOG as CSV by the
/// names of their files, with the fields of the reference policy.
///
/// # Errors
/// A table cannot be written as CSV.
pub(crate) fn entity_tables(
    scenario: &Scenario,
    analysis: &Analysis,
    schedule: &Schedule,
    log: &[OperationRow],
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut tables = Vec::new();
    let mut add = |name: &'static str, fields: &[&str], rows: Vec<Vec<String>>| -> Result<()> {
        let bytes = to_csv(fields, rows.into_iter()).map_err(|error| Error::write(Path::new(name), error))?;
        tables.push((name, bytes));
        Ok(())
    };
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
            layer.name.en.clone(),
            (idx + 1).to_string(),
            layer.initial_ratio.share().to_string(),
            serde_json::Value::from(rules).to_string(),
            layer.qos_threshold.to_string(),
        ]
    });
    add(
        "layer.csv",
        &[
            "layer_id",
            "layer_name",
            "priority",
            "default_flow_ratio",
            "tag_rules",
            "qos_threshold",
        ],
        layers.collect(),
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
    add("release_plan.csv", &fields, vec![row])?;

    // A scenario knows the ids only. Model, configuration and change log are parts of release
    // records.
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
    add("agent_version.csv", &fields, versions.into())?;

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
    add("metric.csv", &fields, metric_rows(analysis))?;

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
    add("operation_log.csv", &fields, rows.collect())?;
    Ok(tables)
}

/// Returns one row per tenant, layer, stage and release. The field of an unknown rate is empty.
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
