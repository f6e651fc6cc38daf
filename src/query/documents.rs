//! Tables of JSON documents: one row an object of a list, one column a key.

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::{json, parquet_io};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Real,
    Flag,
    /// Microseconds since 1970 in the document.
    Instant,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Flag => DataType::Boolean,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// A column: its name, its type, the level of the list that has its key (0 for the document), and
/// the key, with points between nested keys. The key [`POSITION`] is the position in the list.
type ColumnSpec = (&'static str, Kind, usize, &'static str);

/// The key that stands for an object's position in its list, from 0.
const POSITION: &str = "#";

/// A table of a document.
#[derive(Debug)]
pub(crate) struct DocumentTable {
    /// The name in SQL.
    pub(crate) name: &'static str,
    /// The schema of the document.
    document: &'static str,
    /// The keys of the nested lists; each object of the innermost one is a row.
    lists: &'static [&'static str],
    columns: &'static [ColumnSpec],
}

use Kind::{Flag, Instant, Integer, Real, Text};

const ANALYSIS: &str = "sluice.analysis/1";
const SCHEDULE: &str = "sluice.schedule/1";
const STATE: &str = "sluice.state/1";
const GATE: &str = "sluice.gate/2";

/// All tables of documents.
pub(crate) const TABLES: [DocumentTable; 8] = [
    DocumentTable {
        name: "effects",
        document: ANALYSIS,
        lists: &["layers", "stages", "metrics"],
        columns: &[
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("stage", Integer, 2, POSITION),
            ("is_current", Flag, 2, "is_current"),
            ("stage_start", Instant, 2, "start"),
            ("stage_end", Instant, 2, "end"),
            ("ratio", Real, 2, "ratio"),
            ("metric", Text, 3, "metric"),
            ("baseline", Real, 3, "baseline.estimate"),
            ("candidate", Real, 3, "candidate.estimate"),
            ("estimate", Real, 3, "effect.effect_size"),
            ("std_error", Real, 3, "effect.std_error"),
            ("lower", Real, 3, "effect.ci_lower"),
            ("upper", Real, 3, "effect.ci_upper"),
            ("p_value", Real, 3, "effect.p_value"),
            ("anytime_lower", Real, 3, "effect.anytime.ci_lower"),
            ("anytime_upper", Real, 3, "effect.anytime.ci_upper"),
            ("anytime_p_value", Real, 3, "effect.anytime_p_value"),
            ("relative", Real, 3, "effect.relative.rel_effect_size"),
            ("method", Text, 3, "effect.method"),
            ("reason", Text, 3, "effect.reason"),
            ("guardrail", Text, 3, "guardrail.verdict"),
            ("harm", Real, 3, "guardrail.harm"),
            ("margin", Real, 3, "guardrail.margin"),
        ],
    },
    DocumentTable {
        name: "stages",
        document: ANALYSIS,
        lists: &["layers", "stages"],
        columns: &[
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("stage", Integer, 2, POSITION),
            ("is_current", Flag, 2, "is_current"),
            ("stage_start", Instant, 2, "start"),
            ("stage_end", Instant, 2, "end"),
            ("ratio", Real, 2, "ratio"),
            ("rows_baseline", Integer, 2, "rows.baseline"),
            ("rows_candidate", Integer, 2, "rows.candidate"),
            ("users_baseline", Integer, 2, "users.baseline"),
            ("users_candidate", Integer, 2, "users.candidate"),
            ("users_both", Integer, 2, "users.crossover"),
            ("users_leaked", Integer, 2, "users.leaked"),
            ("sample_ratio_p_value", Real, 2, "srm.p_value"),
        ],
    },
    DocumentTable {
        name: "series",
        document: ANALYSIS,
        lists: &["layers", "series"],
        columns: &[
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("arm", Text, 2, "arm"),
            ("starts_at", Instant, 2, "start"),
            ("ends_at", Instant, 2, "end"),
            ("rows", Integer, 2, "n_rows"),
            ("qos", Real, 2, "qos.qos"),
            ("lower", Real, 2, "qos.ci_lower"),
            ("upper", Real, 2, "qos.ci_upper"),
        ],
    },
    DocumentTable {
        name: "decisions",
        document: SCHEDULE,
        lists: &["layers"],
        columns: &[
            ("plan_id", Text, 0, "plan_id"),
            ("as_of", Instant, 0, "as_of"),
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("verdict", Text, 1, "verdict"),
            ("ratio", Real, 1, "ratio"),
            ("next_ratio", Real, 1, "next_ratio"),
            ("rolled_back", Flag, 1, "rolled_back"),
            ("lo_bucket", Integer, 1, "lo_bucket"),
            ("hi_bucket", Integer, 1, "hi_bucket"),
            ("rows_baseline", Integer, 1, "evidence.rows.baseline"),
            ("rows_candidate", Integer, 1, "evidence.rows.candidate"),
            ("users_baseline", Integer, 1, "evidence.users.baseline"),
            ("users_candidate", Integer, 1, "evidence.users.candidate"),
            ("users_eligible", Integer, 1, "evidence.n_eligible"),
            ("first_blocking", Text, 1, "first_blocking"),
            ("reason", Text, 1, "reason"),
            ("earliest_next", Instant, 1, "earliest_next"),
        ],
    },
    DocumentTable {
        name: "checks",
        document: SCHEDULE,
        lists: &["layers", "trace"],
        columns: &[
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("position", Integer, 2, POSITION),
            ("check_name", Text, 2, "check"),
            ("outcome", Text, 2, "outcome"),
            ("value", Real, 2, "value"),
            ("lower", Real, 2, "interval.ci_lower"),
            ("upper", Real, 2, "interval.ci_upper"),
            ("limit_value", Real, 2, "limit"),
            ("detail", Text, 2, "detail"),
        ],
    },
    DocumentTable {
        name: "ratios",
        document: STATE,
        lists: &["layers"],
        columns: &[
            ("plan_id", Text, 0, "plan_id"),
            ("release", Text, 0, "candidate"),
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("ratio", Real, 1, "ratio"),
            ("since", Instant, 1, "since"),
        ],
    },
    DocumentTable {
        name: "operations",
        document: STATE,
        lists: &["operations"],
        columns: &[
            ("log_id", Text, 1, "log_id"),
            ("plan_id", Text, 1, "plan_id"),
            ("operation", Text, 1, "operation_type"),
            ("release", Text, 1, "candidate"),
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("old_ratio", Real, 1, "old_value"),
            ("new_ratio", Real, 1, "new_value"),
            ("operated_at", Instant, 1, "operate_time"),
            ("operator", Text, 1, "operator"),
            ("evidence_digest", Text, 1, "evidence_digest"),
        ],
    },
    DocumentTable {
        name: "gate_checks",
        document: GATE,
        lists: &["checks"],
        columns: &[
            ("gate", Text, 1, "gate"),
            ("check_name", Text, 1, "check"),
            ("tenant_id", Text, 1, "tenant"),
            ("layer", Text, 1, "layer"),
            ("outcome", Text, 1, "outcome"),
            ("detail", Text, 1, "detail"),
            ("remedy", Text, 1, "remedy"),
            ("lifted_by", Text, 1, "lifted_by"),
        ],
    },
];

/// The tables of a document of this schema; none if the schema is not known here.
pub(crate) fn tables_of(schema: &str) -> Vec<&'static DocumentTable> {
    TABLES.iter().filter(|table| table.document == schema).collect()
}

/// The key `schema` of a JSON file. `None` if it has none.
///
/// # Errors
/// The file cannot be read, or is no JSON.
pub(crate) fn schema_of(path: &Path) -> Result<Option<String>> {
    let document: Value = json::read_json(path)?;
    let schema = document.get("schema").and_then(Value::as_str);
    Ok(schema.map(str::to_owned))
}

impl DocumentTable {
    /// The columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter();
        let fields = fields.map(|(name, kind, ..)| Field::new(*name, kind.data_type(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Reads the rows of a document.
    ///
    /// # Errors
    /// The file cannot be read, or is another document.
    pub(crate) fn read(&self, path: &Path) -> Result<RecordBatch> {
        let mut document: Value = json::read_json(path)?;
        let found = document.get("schema").and_then(Value::as_str);
        if found != Some(self.document) {
            return Err(Error::in_file(
                path,
                format!(
                    "expected a document of schema {}, found {}",
                    self.document,
                    found.unwrap_or("none")
                ),
            ));
        }
        if self.document == ANALYSIS {
            complete_stages(&mut document);
        }
        let mut columns: Vec<ColumnBuilder> = self
            .columns
            .iter()
            .map(|spec| ColumnBuilder::new(spec.1))
            .collect();
        self.add_rows(&mut vec![(0, &document)], &mut columns);
        let arrays = columns.into_iter().map(ColumnBuilder::finish).collect();
        Ok(parquet_io::batch(&self.schema(), arrays))
    }

    /// Adds the rows below an object. `around` holds the position and the object of each level.
    fn add_rows(&self, around: &mut Vec<(usize, &Value)>, columns: &mut [ColumnBuilder]) {
        let (_, object) = around[around.len() - 1];
        let Some(list) = self.lists.get(around.len() - 1) else {
            for ((_, _, level, key), column) in self.columns.iter().zip(columns) {
                let (position, object) = around[*level];
                match *key {
                    POSITION => column.add(Some(&Value::from(position))),
                    key => column.add(value_at(object, key)),
                }
            }
            return;
        };
        let items = object.get(list).and_then(Value::as_array);
        for (position, item) in items.into_iter().flatten().enumerate() {
            around.push((position, item));
            self.add_rows(around, columns);
            around.pop();
        }
    }
}

/// The value of nested keys; `None` if it is absent or null.
fn value_at<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.')
        .try_fold(object, |object, key| object.get(key))
        .filter(|value| !value.is_null())
}

/// Adds to each stage of an analysis whether it is the current one; to its metrics the quality of
/// service and the quantiles of latency; and to each metric its guardrail.
fn complete_stages(document: &mut Value) {
    let layers = document.get_mut("layers").and_then(Value::as_array_mut);
    for layer in layers.into_iter().flatten() {
        let Some(stages) = layer.get_mut("stages").and_then(Value::as_array_mut) else {
            continue;
        };
        let n_stages = stages.len();
        for (position, stage) in stages.iter_mut().enumerate() {
            if let Some(stage) = stage.as_object_mut() {
                complete_stage(stage);
                stage.insert("is_current".into(), Value::Bool(position + 1 == n_stages));
            }
        }
    }
}

fn complete_stage(stage: &mut Map<String, Value>) {
    let mut more = Vec::new();
    for metric in ["latency_p50_ms", "latency_p95_ms", "latency_p99_ms"] {
        if let Some(Value::Object(mut quantile)) = stage.get(metric).cloned() {
            quantile.insert("metric".into(), metric.into());
            more.push(Value::Object(quantile));
        }
    }
    if let Some(qos) = stage.get("qos") {
        let estimate = |arm: &str| json!({"estimate": value_at(qos, arm).and_then(|arm| arm.get("qos"))});
        more.push(json!({
            "metric": "qos", "baseline": estimate("baseline"), "candidate": estimate("candidate"),
            "effect": qos.get("effect"),
        }));
    }
    let guardrails = stage.get("guardrails").and_then(Value::as_array).cloned();
    let guardrails = guardrails.unwrap_or_default();
    let Some(metrics) = stage.get_mut("metrics").and_then(Value::as_array_mut) else {
        return;
    };
    metrics.append(&mut more);
    for metric in metrics {
        let guardrail = guardrails
            .iter()
            .find(|guardrail| guardrail["metric"] == metric["metric"]);
        if let (Some(metric), Some(guardrail)) = (metric.as_object_mut(), guardrail) {
            metric.insert("guardrail".into(), guardrail.clone());
        }
    }
}

/// A column that is being built. A value of another type than the column's is null.
enum ColumnBuilder {
    Text(StringBuilder),
    Integer(Int64Builder),
    Real(Float64Builder),
    Flag(BooleanBuilder),
    Instant(Vec<Option<i64>>),
}

impl ColumnBuilder {
    fn new(kind: Kind) -> Self {
        match kind {
            Text => Self::Text(StringBuilder::new()),
            Integer => Self::Integer(Int64Builder::new()),
            Real => Self::Real(Float64Builder::new()),
            Flag => Self::Flag(BooleanBuilder::new()),
            Instant => Self::Instant(Vec::new()),
        }
    }

    fn add(&mut self, value: Option<&Value>) {
        match self {
            Self::Text(builder) => builder.append_option(value.and_then(Value::as_str)),
            Self::Integer(builder) => builder.append_option(value.and_then(Value::as_i64)),
            Self::Real(builder) => builder.append_option(value.and_then(Value::as_f64)),
            Self::Flag(builder) => builder.append_option(value.and_then(Value::as_bool)),
            Self::Instant(values) => values.push(value.and_then(Value::as_i64)),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Integer(mut builder) => Arc::new(builder.finish()),
            Self::Real(mut builder) => Arc::new(builder.finish()),
            Self::Flag(mut builder) => Arc::new(builder.finish()),
            Self::Instant(values) => Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")),
        }
    }
}
