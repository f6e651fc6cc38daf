//! Grafana: a dashboard over Sluice's metrics in Prometheus and over the agents' own counters.

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::base::{digest, json};
use crate::publish::address::Address;
use crate::publish::exporters::format::ExportFormat;
use crate::publish::exporters::prometheus;
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `grafana:FILE`: a dashboard to import or to provision.
///
/// Settings:
/// - `title`: the title (default: the plan's name and its releases).
/// - `uid`: the id of the dashboard (default: from a digest of the plan's id).
/// - `range`: the range of rates (default `5m`).
///
/// The agents' counters need the labels `layer` and `version`. Their names are in `AGENT_PANELS`.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "grafana",
    settings: &["title", "uid", "range"],
    write,
    warnings: |_, _| Vec::new(),
};

/// The panels of the agents' own counters: title, numerator, denominator, unit.
const AGENT_PANELS: [(&str, &str, &str, &str); 6] = [
    (
        "Bad answers",
        "agent_chat_bad_count",
        "agent_chat_total",
        "percentunit",
    ),
    (
        "Answered requests",
        "agent_chat_success_count",
        "agent_chat_total",
        "percentunit",
    ),
    (
        "Mean latency",
        "agent_chat_duration_sum",
        "agent_chat_duration_count",
        "ms",
    ),
    (
        "Successful tool calls",
        "agent_tool_success_count",
        "agent_tool_total",
        "percentunit",
    ),
    (
        "Completed tasks",
        "agent_task_completed_count",
        "agent_task_total",
        "percentunit",
    ),
    (
        "Complaints",
        "agent_complaint_count",
        "agent_chat_total",
        "percentunit",
    ),
];

const HEIGHT: usize = 8;
/// The number of columns of Grafana's grid.
const COLUMNS: usize = 24;

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let publication = desired.publication;
    let range = address.get_or("range", "5m");
    let plan = format!("plan={}", quoted(&publication.plan_id));
    let layers = format!("{plan},tenant=~\"$tenant\",layer=~\"$layer\"");
    let per_layer = "{{tenant}} {{layer}}";
    let mut panels = vec![
        series(
            "Candidate's share",
            "percentunit",
            &[(format!("{}{{{layers}}}", prometheus::RATIO), per_layer)],
        ),
        series(
            "Verdict",
            "none",
            &[(
                format!("{}{{{layers}}} == 1", prometheus::VERDICT),
                "{{tenant}} {{layer}}: {{verdict}}",
            )],
        ),
        series(
            "QoS",
            "none",
            &[
                (
                    format!("{}{{{layers}}}", prometheus::QOS),
                    "{{tenant}} {{layer}} {{release}}",
                ),
                (
                    format!("{}{{{layers}}}", prometheus::QOS_THRESHOLD),
                    "{{tenant}} {{layer}} threshold",
                ),
                (
                    format!("{}{{{layers}}}", prometheus::QOS_FLOOR),
                    "{{tenant}} {{layer}} floor",
                ),
            ],
        ),
        series(
            "Users",
            "short",
            &[(
                format!("{}{{{layers}}}", prometheus::USERS),
                "{{tenant}} {{layer}} {{state}}",
            )],
        ),
        series(
            "Until the next step may come",
            "s",
            &[(
                format!("{}{{{layers}}} - time()", prometheus::NOT_BEFORE),
                per_layer,
            )],
        ),
        series(
            "Since the last decision",
            "s",
            &[(format!("time() - {}{{{plan}}}", prometheus::AS_OF), "{{plan}}")],
        ),
    ];
    let versions = format!("version=~{},layer=~\"$layer\"", quoted(&either(publication)));
    for (title, numerator, denominator, unit) in AGENT_PANELS {
        let sum = |counter: &str| format!("sum by (layer, version) (rate({counter}{{{versions}}}[{range}]))");
        panels.push(series(
            title,
            unit,
            &[(
                format!("{} / {}", sum(numerator), sum(denominator)),
                "{{layer}} {{version}}",
            )],
        ));
    }
    let requests = format!("sum by (layer, version) (rate(agent_chat_total{{{versions}}}[{range}]))");
    panels.push(series(
        "Requests",
        "reqps",
        &[(requests, "{{layer}} {{version}}")],
    ));
    for (idx, panel) in panels.iter_mut().enumerate() {
        let width = COLUMNS / 2;
        panel["id"] = (idx + 1).into();
        panel["gridPos"] = json!({"h": HEIGHT, "w": width, "x": idx % 2 * width, "y": idx / 2 * HEIGHT});
    }

    let default_title = format!(
        "{}: {} over {}",
        publication.plan_name, publication.candidate, publication.baseline
    );
    let digest = digest::sha256_of(&[publication.plan_id.as_bytes()]);
    let default_uid = format!(
        "sluice-{}",
        digest
            .trim_start_matches("sha256:")
            .chars()
            .take(16)
            .collect::<String>()
    );
    let dashboard = json!({
        "uid": address.get_or("uid", &default_uid),
        "title": address.get_or("title", &default_title),
        "tags": ["sluice"],
        "timezone": "utc",
        "schemaVersion": 38,
        "version": 1,
        "editable": true,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "annotations": {"list": [{
            "name": "Published",
            "enable": true,
            "iconColor": "blue",
            "datasource": datasource(),
            "expr": format!("changes({}{{{plan}}}[2m]) > 0", prometheus::AS_OF),
            "titleFormat": "Published",
        }]},
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            variable("tenant", &format!("label_values({}{{{plan}}}, tenant)", prometheus::RATIO)),
            variable("layer", &format!("label_values({}{{{plan}}}, layer)", prometheus::RATIO)),
        ]},
        "panels": panels,
    });
    Ok(json::to_json(&dashboard))
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A panel of curves over time. `queries` are queries with their legends.
fn series(title: &str, unit: &str, queries: &[(String, &str)]) -> Value {
    let targets: Vec<Value> = queries
        .iter()
        .zip('A'..)
        .map(|((query, legend), id)| json!({"refId": id.to_string(), "expr": query, "legendFormat": legend, "datasource": datasource()}))
        .collect();
    json!({
        "type": "timeseries",
        "title": title,
        "datasource": datasource(),
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    })
}

/// A variable that the reader can choose. All values are selected at first.
fn variable(name: &str, query: &str) -> Value {
    json!({
        "name": name,
        "type": "query",
        "datasource": datasource(),
        "query": {"query": query, "refId": name},
        "definition": query,
        "includeAll": true,
        "multi": true,
        "refresh": 2,
        "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    })
}

/// Quotes a text for PromQL, whose strings include JSON strings.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A regular expression that matches exactly the two releases.
fn either(publication: &Publication) -> String {
    let literal = |text: &str| -> String {
        text.chars()
            .flat_map(|c| {
                (r"\.+*?()|[]{}^$".contains(c))
                    .then_some('\\')
                    .into_iter()
                    .chain([c])
            })
            .collect()
    };
    format!(
        "{}|{}",
        literal(&publication.baseline),
        literal(&publication.candidate)
    )
}
