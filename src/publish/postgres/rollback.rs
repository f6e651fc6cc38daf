//! Closes a candidate in one transaction, even where a part of the tables is broken.

use postgres::{Client, Transaction};

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::publish::postgres::connect::Server;
use crate::publish::postgres::ratios;
use crate::publish::publication::Publication;
use crate::publish::target::Retirement;

/// Sets every ratio of the plan to 0, and the pointer to the rolled-back publication. `current` is
/// the publication in force; `None` if it is unreadable. Each part is tried by itself. Returns a
/// warning for each part that failed although the candidate is closed.
///
/// # Errors
/// The ratios or the pointer cannot be written. The other one of them is written nevertheless.
pub(super) fn close(
    server: &Server,
    client: &mut Client,
    publication: &Publication,
    current: Option<&Publication>,
    now: i64,
) -> Result<Vec<String>> {
    let failed = |error| server.failed("expected to close the candidate", &error);
    let mut step = client.transaction().map_err(failed)?;
    let ratios =
        attempt(server, &mut step, |part| ratios::write(server, part, publication)).or_else(|error| {
            attempt(server, &mut step, |part| set_to_0(server, part, publication)).map_err(|_| error)
        });
    let pointer = attempt(server, &mut step, |part| write_pointer(server, part, publication));
    let log = attempt(server, &mut step, |part| {
        ratios::log_by_hand(server, part, current, publication, now)
    });
    step.commit().map_err(failed)?;
    match (ratios, pointer) {
        (Ok(()), Ok(())) => {
            let missing = |error| format!("the candidate is closed, but operation_log lacks the rollback: {error}");
            Ok(log.err().map(missing).into_iter().collect())
        }
        (Err(error), Ok(())) => Err(error.hint("readers of `publication` get the baseline; readers of `ratio_schedule` may still get the candidate: mend the table and roll back again")),
        (Ok(()), Err(error)) => Err(error.hint("readers of `ratio_schedule` get the baseline; readers of `publication` may still get the candidate: mend the table and roll back again")),
        (Err(error), Err(other)) => Err(other.problems().iter().cloned().fold(error, Error::and)),
    }
}

/// Retires a plan within the transaction that publishes another one.
///
/// # Errors
/// The plan's version is no longer the inspected one, or a table refuses.
pub(super) fn retire(
    server: &Server,
    step: &mut Transaction<'_>,
    retirement: &Retirement,
    now: i64,
) -> Result<()> {
    let (held, retired) = (&retirement.held, &retirement.retired);
    let sql = "select document::text from publication where plan_id = $1 for update";
    let row = step
        .query_opt(sql, &[&held.plan_id])
        .map_err(|error| server.failed("expected to read the plan to retire", &error))?;
    let found = match &row {
        Some(row) => {
            let document: &str = server.value(row, 0, "the document of a publication")?;
            Some(Publication::from_json(document, &server.address)?)
        }
        None => None,
    };
    retirement.refuse_change(found.as_ref(), &server.address)?;
    ratios::log_by_hand(server, step, Some(held), retired, now)?;
    ratios::write(server, step, retired)?;
    write_pointer(server, step, retired)
}

/// Runs a part of the transaction so that its failure leaves the other parts intact.
fn attempt(
    server: &Server,
    step: &mut Transaction<'_>,
    part: impl FnOnce(&mut Transaction<'_>) -> Result<()>,
) -> Result<()> {
    let failed = |error| server.failed("expected to close the candidate", &error);
    let mut savepoint = step.transaction().map_err(failed)?;
    part(&mut savepoint)?;
    savepoint.commit().map_err(failed)
}

/// Sets the ratios of the existing rows, where the rows cannot be replaced.
fn set_to_0(server: &Server, step: &mut Transaction<'_>, publication: &Publication) -> Result<()> {
    let sql = "update ratio_schedule set ratio = 0, hi_bucket = lo_bucket where plan_id = $1";
    step.execute(sql, &[&publication.plan_id])
        .map(|_| ())
        .map_err(|error| server.failed("expected ratio_schedule to take ratios of 0", &error))
}

/// Writes the pointer. The users of the load in force stay.
fn write_pointer(server: &Server, step: &mut Transaction<'_>, publication: &Publication) -> Result<()> {
    let sql = "insert into publication (plan_id, version, document, published_at) values ($1, $2, $3::text::jsonb, now())
               on conflict (plan_id) do update set version = excluded.version, document = excluded.document,
                   published_at = excluded.published_at, documents_digest = null";
    let values: [&(dyn postgres::types::ToSql + Sync); 3] = [
        &publication.plan_id,
        &publication.version,
        &json::to_json(publication),
    ];
    step.execute(sql, &values)
        .map(|_| ())
        .map_err(|error| server.failed("expected the publication to be replaced", &error))
}
