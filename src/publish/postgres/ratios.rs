//! The rows of the schedule, and the log entries of changes by hand.

use hashbrown::HashMap;
use postgres::GenericClient;

use crate::base::error::Result;
use crate::base::time;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::publish::postgres::connect::Server;
use crate::publish::postgres::documents::{OPERATIONS, Row, TableSpec, insert, replace};
use crate::publish::publication::Publication;
use crate::ramp::{OperationRow, RampStatus, Verdict};

const RATIOS: TableSpec = TableSpec {
    name: "ratio_schedule",
    columns: &[
        ("plan_id", "text"),
        ("tenant", "text"),
        ("layer", "text"),
        ("release", "text"),
        ("step", "integer"),
        ("ratio", "numeric"),
        ("lo_bucket", "integer"),
        ("hi_bucket", "integer"),
        ("salt", "text"),
        ("algo", "text"),
        ("not_before", "timestamptz"),
        ("min_n", "bigint"),
        ("state", "text"),
    ],
};

fn rows(publication: &Publication) -> Vec<Row> {
    let row = |row: &crate::publish::publication::RatioRow| {
        let state = if row.rolled_back || row.verdict == Verdict::Rollback {
            RampStatus::RolledBack
        } else if row.ratio >= row.ramp.last_step() {
            RampStatus::Completed
        } else {
            RampStatus::Running
        };
        [
            publication.plan_id.clone(),
            row.tenant.clone(),
            row.layer.clone(),
            publication.candidate.clone(),
            row.step.to_string(),
            row.ratio.share().to_string(),
            row.lo_bucket.to_string(),
            row.hi_bucket.to_string(),
            publication.salt.clone(),
            publication.profile.clone(),
            time::format(row.not_before),
            row.ramp.min_users.to_string(),
            state.name().to_owned(),
        ]
        .map(Some)
        .into()
    };
    publication.ratios.iter().map(row).collect()
}

/// Replaces the plan's rows in `ratio_schedule`, and updates its row in `release_plan`.
pub(super) fn write(
    server: &Server,
    client: &mut impl GenericClient,
    publication: &Publication,
) -> Result<()> {
    replace(server, client, &RATIOS, &publication.plan_id, &rows(publication))?;
    let ratios: Vec<serde_json::Value> = publication
        .ratios
        .iter()
        .map(|row| serde_json::json!({"tenant": row.tenant, "layer": row.layer, "ratio": row.ratio.share()}))
        .collect();
    let (ratios, status) = (
        serde_json::Value::from(ratios).to_string(),
        publication.status.name(),
    );
    client
        .execute(
            "update release_plan set status = $2, layer_ratios = $3::text::jsonb where plan_id = $1",
            &[&publication.plan_id, &status, &ratios],
        )
        .map(|_| ())
        .map_err(|error| server.failed("expected release_plan to take the ratios", &error))
}

/// The number of rows in `ratio_schedule` that are wrong, missing or surplus.
pub(super) fn n_wrong(
    server: &Server,
    client: &mut impl GenericClient,
    publication: &Publication,
) -> Result<usize> {
    let failed = |error| server.failed("expected to read ratio_schedule", &error);
    // Both sides are typed, so 0.5 and 0.5000 are equal.
    let shown: Vec<String> = RATIOS
        .columns
        .iter()
        .map(|(name, kind)| shown(name, kind))
        .collect();
    let sql = format!(
        "select {} from ratio_schedule where plan_id = $1",
        shown.join(", ")
    );
    let mut surplus: HashMap<Row, usize> = HashMap::new();
    for row in &client.query(&sql, &[&publication.plan_id]).map_err(failed)? {
        let fields = (0..RATIOS.columns.len()).map(|idx| server.value(row, idx, "a ratio of ratio_schedule"));
        *surplus.entry(fields.collect::<Result<Row>>()?).or_default() += 1;
    }
    let mut n_missing = 0;
    for row in rows(publication) {
        match surplus.get_mut(&row).filter(|n| **n > 0) {
            Some(n) => *n -= 1,
            None => n_missing += 1,
        }
    }
    Ok(n_missing.max(surplus.values().sum()))
}

/// The SQL expression that shows a column in the text form of `rows`.
fn shown(name: &str, kind: &str) -> String {
    match kind {
        "numeric" => format!("trim_scale({name})::text"),
        "timestamptz" => format!(
            "to_char({name} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') || case when extract(microseconds from {name})::bigint % 1000000 = 0 \
             then '' else '.' || rtrim(to_char({name}, 'US'), '0') end || 'Z'"
        ),
        _ => format!("{name}::text"),
    }
}

/// Logs a change by hand: a rollback, a retirement, or the opening of a candidate after one of
/// them. Logging the same change twice gives the same rows.
pub(super) fn log_by_hand(
    server: &Server,
    client: &mut impl GenericClient,
    current: Option<&Publication>,
    publication: &Publication,
    now: Micros,
) -> Result<()> {
    let Some(current) = current.filter(|current| current.candidate == publication.candidate) else {
        return Ok(());
    };
    let by_hand = |of: &Publication| (of.retired_at, of.rolled_back_at);
    let (operation, at) = match (by_hand(current), by_hand(publication)) {
        ((None, _), (Some(at), _)) => ("retire", at),
        (_, (_, Some(at))) => ("rollback", at),
        ((Some(_), _) | (_, Some(_)), (None, None)) => ("set", now),
        _ => return Ok(()),
    };
    let failed = |error| server.failed("expected to read release_plan", &error);
    let signed = client
        .query_opt(
            "select coalesce(operator::text, '') from release_plan where plan_id = $1",
            &[&publication.plan_id],
        )
        .map_err(failed)?;
    let operator: Option<String> = match &signed {
        Some(row) => Some(server.value(row, 0, "the operator of release_plan")?),
        None => None,
    };
    let operator = operator
        .filter(|operator| !operator.is_empty())
        .unwrap_or_else(|| "publish".to_owned());
    let before: HashMap<(&str, &str), Ratio> =
        current.ratios.iter().map(|row| (row.key(), row.ratio)).collect();
    let mut rows: Vec<Row> = Vec::new();
    for row in &publication.ratios {
        let before = before.get(&row.key()).copied().unwrap_or(Ratio::ZERO);
        if before == row.ratio {
            continue;
        }
        let row = OperationRow::by_hand(
            operation,
            &publication.plan_id,
            (&row.tenant, &row.layer),
            (before, row.ratio),
            (at, &operator),
        );
        rows.push(
            [
                row.plan_id,
                row.log_id,
                row.operation_type,
                row.old_value.share().to_string(),
                row.new_value.share().to_string(),
                time::format(row.operate_time),
                row.operator,
                row.tenant,
                row.layer,
            ]
            .map(Some)
            .into_iter()
            .chain([None])
            .collect(),
        );
    }
    insert(server, client, &OPERATIONS, &rows)
}
