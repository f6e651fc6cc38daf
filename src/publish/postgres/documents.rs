//! A study's entity tables and gate checks as rows. Every value is sent as text and cast by the
//! server.

use postgres::GenericClient;
use postgres::types::ToSql;
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::escape::from_csv_field;
use crate::base::manifest::file;
use crate::base::{digest, json, open};
use crate::gate::GateReport;
use crate::publish::postgres::connect::Server;

/// A row: its values as text; `None` for null.
pub(super) type Row = Vec<Option<String>>;

/// The columns of a table with their types. The plan's id comes first.
pub(super) struct TableSpec {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, &'static str)],
}

/// The tables of a study's folder `tables/`. The columns after the plan's id are the fields of the
/// CSV files.
const ENTITIES: &[TableSpec] = &[
    TableSpec {
        name: "layer",
        columns: &[
            ("plan_id", "text"),
            ("layer_id", "text"),
            ("layer_name", "text"),
            ("priority", "integer"),
            ("default_flow_ratio", "numeric"),
            ("tag_rules", "jsonb"),
            ("qos_threshold", "double precision"),
        ],
    },
    TableSpec {
        name: "release_plan",
        columns: &[
            ("plan_id", "text"),
            ("plan_name", "text"),
            ("status", "text"),
            ("start_time", "timestamptz"),
            ("layer_ratios", "jsonb"),
            ("operator", "text"),
        ],
    },
    TableSpec {
        name: "agent_version",
        columns: &[
            ("plan_id", "text"),
            ("version_id", "text"),
            ("version_code", "text"),
            ("model_name", "text"),
            ("agent_config", "text"),
            ("changelog", "text"),
        ],
    },
    TableSpec {
        name: "metric",
        columns: &[
            ("plan_id", "text"),
            ("metric_id", "text"),
            ("version_id", "text"),
            ("layer_id", "text"),
            ("availability", "double precision"),
            ("tool_success_rate", "double precision"),
            ("task_completion_rate", "double precision"),
            ("bad_rate", "double precision"),
            ("complaint_rate", "double precision"),
            ("avg_latency", "double precision"),
            ("stat_time", "timestamptz"),
            ("tenant_id", "text"),
        ],
    },
];

/// The log of operations. Rows are added and never changed.
pub(super) const OPERATIONS: TableSpec = TableSpec {
    name: "operation_log",
    columns: &[
        ("plan_id", "text"),
        ("log_id", "text"),
        ("operation_type", "text"),
        ("old_value", "numeric"),
        ("new_value", "numeric"),
        ("operate_time", "timestamptz"),
        ("operator", "text"),
        ("tenant_id", "text"),
        ("layer_id", "text"),
        ("evidence_digest", "text"),
    ],
};

const GATE_REPORT: TableSpec = TableSpec {
    name: "gate_report",
    columns: &[("plan_id", "text"), ("outcome", "text"), ("document", "jsonb")],
};

const GATE_RESULT: TableSpec = TableSpec {
    name: "gate_result",
    columns: &[
        ("plan_id", "text"),
        ("check_no", "integer"),
        ("gate", "text"),
        ("check_name", "text"),
        ("tenant_id", "text"),
        ("layer_id", "text"),
        ("outcome", "text"),
        ("detail", "text"),
        ("remedy", "text"),
        ("lifted_by", "text"),
    ],
};

/// The rows of a study's folder that are stored beside the schedule.
pub(super) struct Documents {
    tables: Vec<(&'static TableSpec, Vec<Row>)>,
    operations: Vec<Row>,
    /// The digest of all source files.
    pub(super) digest: String,
}

impl Documents {
    /// Reads the tables that are in the folder; none without a folder. A table that is missing
    /// stays unchanged in the database.
    ///
    /// # Errors
    /// A file that Sluice did not write, or that belongs to another plan.
    pub(super) fn read(dir: Option<&Path>, plan_id: &str) -> Result<Self> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let mut tables = Vec::new();
        let Some(dir) = dir else {
            return Ok(Self {
                tables,
                operations: Vec::new(),
                digest: digest::sha256_of(&[]),
            });
        };
        for table in ENTITIES {
            if let Some(rows) = read_csv(dir, table, plan_id, &mut parts)? {
                tables.push((table, rows));
            }
        }
        let operations = read_csv(dir, &OPERATIONS, plan_id, &mut parts)?.unwrap_or_default();
        let path = dir.join(file::GATE_REPORT);
        if path.exists() {
            let text = open::read_to_string(&path).or_unreadable(&path)?;
            let report: GateReport = json::read_document(&path)?;
            if report.plan_id != plan_id {
                let found = format!(
                    "expected the gate report of plan {plan_id}, found one of {:?}",
                    report.plan_id
                );
                return Err(Error::in_file(&path, found));
            }
            let plan = || Some(plan_id.to_owned());
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let checks = report.checks.iter().enumerate().map(|(idx, check)| {
                vec![
                    plan(),
                    Some((idx + 1).to_string()),
                    Some(check.gate.clone()),
                    Some(check.check.clone()),
                    some(&check.tenant),
                    some(&check.layer),
                    Some(check.outcome.name().to_owned()),
                    Some(check.detail.clone()),
                    check.remedy.clone(),
                    check.lifted_by.clone(),
                ]
            });
            tables.push((&GATE_RESULT, checks.collect()));
            parts.push(text.clone().into_bytes());
            tables.push((
                &GATE_REPORT,
                vec![vec![plan(), Some(report.outcome.name().to_owned()), Some(text)]],
            ));
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Ok(Self {
            tables,
            operations,
            digest: digest::sha256_of(&parts),
        })
    }

    /// Replaces the plan's rows in the tables. The log of operations only gets new rows.
    pub(super) fn write(
        &self,
        server: &Server,
        client: &mut impl GenericClient,
        plan_id: &str,
    ) -> Result<()> {
        for (table, rows) in &self.tables {
            replace(server, client, table, plan_id, rows)?;
        }
        insert(server, client, &OPERATIONS, &self.operations)
    }
}

/// Reads the rows of a CSV file in the order of the columns; `None` without the file. Empty fields
/// are null.
fn read_csv(
    dir: &Path,
    table: &TableSpec,
    plan_id: &str,
    parts: &mut Vec<Vec<u8>>,
) -> Result<Option<Vec<Row>>> {
    let path = dir.join(file::TABLES).join(format!("{}.csv", table.name));
    if !path.exists() {
        return Ok(None);
    }
    let bytes = open::read(&path).or_unreadable(&path)?;
    let wrong = |found: String| {
        let expected = format!("expected a table of Sluice for plan {plan_id}");
        Error::in_file(&path, format!("{expected}, found {found}")).hint("write it anew with `sluice run`")
    };
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader
        .headers()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    let column_idx = |name: &str| header.iter().position(|field| field == name);
    let column_idxs: Vec<Option<usize>> = table.columns.iter().map(|(name, _)| column_idx(name)).collect();
    if let Some(idx) =
        (0..column_idxs.len()).find(|idx| column_idxs[*idx].is_none() && table.columns[*idx].0 != "plan_id")
    {
        return Err(wrong(format!("no column `{}`", table.columns[idx].0)));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let field = |column_idx: Option<usize>| {
            column_idx.map_or(plan_id, |column_idx| record.get(column_idx).unwrap_or_default())
        };
        if field(column_idxs[0]) != plan_id {
            return Err(wrong(format!("a row of plan {:?}", field(column_idxs[0]))));
        }
        rows.push(
            column_idxs
                .iter()
                .map(|column_idx| {
                    Some(from_csv_field(field(*column_idx)))
                        .filter(|text| !text.is_empty())
                        .map(str::to_owned)
                })
                .collect(),
        );
    }
    parts.push(bytes);
    Ok(Some(rows))
}

/// Replaces the rows of a plan in a table.
pub(super) fn replace(
    server: &Server,
    client: &mut impl GenericClient,
    table: &TableSpec,
    plan_id: &str,
    rows: &[Row],
) -> Result<()> {
    let failed = |error| server.failed(&format!("expected to replace rows of {}", table.name), &error);
    client
        .execute(
            &format!("delete from {} where plan_id = $1", table.name),
            &[&plan_id],
        )
        .map_err(failed)?;
    insert(server, client, table, rows)
}

/// Inserts rows. A row whose key exists is skipped.
pub(super) fn insert(
    server: &Server,
    client: &mut impl GenericClient,
    table: &TableSpec,
    rows: &[Row],
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let numbered =
        |write: &dyn Fn(usize) -> String| (0..names.len()).map(write).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "insert into {} ({}) select {} from unnest({}) as row ({}) on conflict do nothing",
        table.name,
        names.join(", "),
        numbered(&|idx| format!("c{idx}::{}", table.columns[idx].1)),
        numbered(&|idx| format!("${}::text[]", idx + 1)),
        numbered(&|idx| format!("c{idx}"))
    );
    let columns: Vec<Vec<Option<&str>>> = (0..names.len())
        .map(|idx| rows.iter().map(|row| row[idx].as_deref()).collect())
        .collect();
    let values: Vec<&(dyn ToSql + Sync)> = columns
        .iter()
        .map(|column| column as &(dyn ToSql + Sync))
        .collect();
    let failed = |error| server.failed(&format!("expected {} to take rows", table.name), &error);
    client.execute(&sql, &values).map(|_| ()).map_err(failed)
}
