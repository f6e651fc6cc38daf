//! The layers of users in PostgreSQL: one table per load, filled first and then switched to.

use postgres::error::SqlState;
use postgres::{Client, GenericClient, Transaction};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::progress::{Bar, Progress};
use crate::layer::LayerFileReader;
use crate::publish::changes::LayerChanges;
use crate::publish::pace::Pace;
use crate::publish::postgres::connect::Server;
use crate::publish::postgres::copy;
use crate::publish::target::Desired;
use crate::publish::timer::Timer;

/// The number of rows that are sent together.
const CHUNK: usize = 16_384;

/// The time that a statement over all users may take, such as the building of an index.
const LONG_STATEMENT: Duration = Duration::from_secs(3_600);

/// Returns the name of the table that holds the users of a load.
pub(super) fn table_of(load_id: i32) -> String {
    format!("assignment_{load_id}")
}

/// The loads of a plan that are no longer referenced, including those of a publisher that was
/// killed.
pub(super) fn leftovers(server: &Server, client: &mut impl GenericClient, plan_id: &str) -> Result<Vec<i32>> {
    let rows = client.query(
        "select l.load_id from assignment_load l left join publication p using (plan_id)
         where l.plan_id = $1 and l.load_id is distinct from p.load_id and l.load_id is distinct from p.previous_load_id order by 1",
        &[&plan_id],
    );
    rows.map_err(|error| server.failed("expected to list loads", &error))?
        .iter()
        .map(|row| server.value(row, 0, "the number of a load"))
        .collect()
}

/// Whether the table of a load exists and is readable through the view.
pub(super) fn is_attached(server: &Server, client: &mut impl GenericClient, load_id: i32) -> Result<bool> {
    let sql = "select exists (select from pg_inherits where inhrelid = to_regclass($1) and inhparent = to_regclass($2))";
    let qualified = |table: &str| format!("\"{}\".{table}", server.schema);
    let row = client.query_one(sql, &[&qualified(&table_of(load_id)), &qualified("assignment")]);
    let row = row.map_err(|error| server.failed("expected to find a load's table", &error))?;
    server.value(&row, 0, "an answer")
}

/// The number of users in the table of a load.
pub(super) fn n_rows(
    server: &Server,
    client: &mut impl GenericClient,
    load_id: i32,
    timer: &Timer,
) -> Result<u64> {
    timer.allow(LONG_STATEMENT);
    let row = client.query_one(&format!("select count(*) from {}", table_of(load_id)), &[]);
    let row = row.map_err(|error| server.failed("expected to count the assignments", &error))?;
    timer.answered();
    Ok(server.value::<i64>(&row, 0, "a count")?.unsigned_abs())
}

/// Removes loads that are no longer referenced. A load with active readers is left to the next
/// publication.
pub(super) fn remove(server: &Server, client: &mut Client, loads: &[i32]) -> Result<()> {
    for load_id in loads {
        let removed = retrying(|| {
            let mut step = client.transaction()?;
            // While the drop waits for its lock, readers of all loads wait too. The short timeout
            // limits that.
            step.batch_execute("set local lock_timeout to '200ms'")?;
            step.batch_execute(&format!("drop table if exists {}", table_of(*load_id)))?;
            step.execute("delete from assignment_load where load_id = $1", &[load_id])?;
            step.commit()
        });
        match removed {
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {}
            other => other.map_err(|error| server.failed("expected to remove an old load", &error))?,
        }
    }
    Ok(())
}

/// Retries a step, up to 8 times, while other transactions hold a lock.
fn retrying(
    mut step: impl FnMut() -> std::result::Result<(), postgres::Error>,
) -> std::result::Result<(), postgres::Error> {
    let is_passing = |error: &postgres::Error| {
        matches!(
            error.code(),
            Some(
                &SqlState::LOCK_NOT_AVAILABLE
                    | &SqlState::T_R_DEADLOCK_DETECTED
                    | &SqlState::T_R_SERIALIZATION_FAILURE
            )
        )
    };
    for n_tried in 1.. {
        match step() {
            Err(error) if is_passing(&error) && n_tried < 8 => {
                thread::sleep(Duration::from_millis(50 << n_tried.min(4)))
            }
            other => return other,
        }
    }
    Ok(())
}

/// Copies a layer table into a new table without readers, and attaches it to `assignment`. Returns
/// the number of the load.
pub(super) fn load(
    server: &Server,
    client: &mut Client,
    desired: &Desired<'_>,
    digest: &str,
    table: &LayerFileReader<'_>,
    progress: &Progress,
) -> Result<i32> {
    let failed = |error| server.failed("expected to make a table for the assignments", &error);
    let mut begin = client.transaction().map_err(failed)?;
    let n_users = i64::try_from(table.n_rows()).unwrap_or(i64::MAX);
    let row = begin
        .query_one(
            "insert into assignment_load (plan_id, layers_digest, n_users) values ($1, $2, $3) returning load_id",
            &[&desired.publication.plan_id, &digest, &n_users],
        )
        .map_err(failed)?;
    let load_id: i32 = server.value(&row, 0, "the number of a load")?;
    let name = table_of(load_id);
    // The check constraint lets the server attach the table without reading it. The load's number
    // is a column default, because the copied rows do not contain it.
    begin
        .batch_execute(&format!(
            "create table {name} (like assignment, check (load_id = {load_id}));
             alter table {name} alter load_id set default {load_id}"
        ))
        .map_err(failed)?;
    begin.commit().map_err(failed)?;

    let n_copied = copy_all(server, client, &name, table, desired, progress)?;
    if n_copied != table.n_rows() {
        return Err(Error::target(
            &server.address,
            format!("expected {} users in {name}, found {n_copied}", table.n_rows()),
        )
        .hint("run it again: the table is created again"));
    }
    // The user comes first in the key: the tenant is often the same, which would slow down sorting.
    let index = format!(
        "set maintenance_work_mem to '512MB'; alter table {name} add primary key (user_id, tenant_id); analyze {name}"
    );
    desired.timer.allow(LONG_STATEMENT);
    client.batch_execute(&index).map_err(|error| match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => {
            let detail = error
                .as_db_error()
                .and_then(|db_error| db_error.detail())
                .unwrap_or("a user twice")
                .to_owned();
            Error::in_file(
                table.path(),
                format!("expected every user once in a tenant, found: {detail}"),
            )
            .hint("the ids were not checked for duplicates: `sluice layer --audit always` names the rows")
        }
        _ => server.failed("expected to index the assignments", &error),
    })?;
    desired.timer.answered();
    retrying(|| {
        client.batch_execute(&format!(
            "alter table assignment attach partition {name} for values in ({load_id})"
        ))
    })
    .map_err(|error| server.failed("expected to make the assignments readable", &error))?;
    Ok(load_id)
}

/// Copies row groups over one or several connections. Returns the number of rows.
fn copy_all(
    server: &Server,
    client: &mut Client,
    name: &str,
    table: &LayerFileReader<'_>,
    desired: &Desired<'_>,
    progress: &Progress,
) -> Result<u64> {
    let bar = progress.rows("postgres", Some(table.n_rows()));
    let next_group = AtomicUsize::new(0);
    let pace = Pace::new(desired.options.max_qps);
    let copy = |client: &mut Client| {
        let turns = Turns {
            next_group: &next_group,
            pace: &pace,
            timer: desired.timer,
            bar: &bar,
        };
        copy_some(server, client, name, table, &turns)
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..server.n_connections.min(table.n_parts()))
            .map(|_| {
                scope.spawn(|| {
                    let copied = server.connect().and_then(|mut client| copy(&mut client));
                    // After a failure, the other connections stop.
                    copied.inspect_err(|_| next_group.store(usize::MAX / 2, Ordering::Relaxed))
                })
            })
            .collect();
        let own = copy(client).inspect_err(|_| next_group.store(usize::MAX / 2, Ordering::Relaxed));
        let others = helpers.into_iter().map(|helper| {
            helper.join().unwrap_or_else(|_| {
                Err(Error::target(
                    &server.address,
                    "expected a connection to copy rows, found its thread gone",
                ))
            })
        });
        others.chain([own]).sum()
    })
}

/// Applies changes of users to the table of a load, within the transaction that switches to them.
/// Returns whether the table then has as many users as the desired one.
pub(super) fn change(
    server: &Server,
    step: &mut Transaction<'_>,
    load_id: i32,
    changes: &LayerChanges,
    desired: &Desired<'_>,
    (digest, n_users): (&str, u64),
    progress: &Progress,
) -> Result<bool> {
    let name = table_of(load_id);
    let failed = |error| server.failed("expected to change the assignments", &error);
    let send = |step: &mut Transaction<'_>, temporary: &str, path: &Path| {
        let sql = format!(
            "create temporary table {temporary} (like assignment) on commit drop; alter table {temporary} alter load_id drop not null"
        );
        step.batch_execute(&sql).map_err(failed)?;
        let table = LayerFileReader::open(path)?;
        let turns = Turns {
            next_group: &AtomicUsize::new(0),
            pace: &Pace::new(desired.options.max_qps),
            timer: desired.timer,
            bar: &progress.rows("postgres", Some(table.n_rows())),
        };
        copy_some(server, step, temporary, &table, &turns).map(|_| ())
    };
    send(step, "changed_user", &changes.changed)?;
    desired.timer.allow(LONG_STATEMENT);
    let columns = copy::COLUMNS;
    step.execute(
        &format!(
            "insert into {name} ({columns}) select {columns} from changed_user on conflict (user_id, tenant_id) do update
             set layer_id = excluded.layer_id, eligible = excluded.eligible, score = excluded.score"
        ),
        &[],
    )
    .map_err(failed)?;
    if let Some(gone) = &changes.gone {
        send(step, "gone_user", gone)?;
        let sql = format!(
            "delete from {name} held using gone_user where held.user_id = gone_user.user_id and held.tenant_id = gone_user.tenant_id"
        );
        step.execute(&sql, &[]).map_err(failed)?;
    }
    let n_users_now = i64::try_from(n_users).unwrap_or(i64::MAX);
    step.execute(
        "update assignment_load set layers_digest = $2, n_users = $3 where load_id = $1",
        &[&load_id, &digest, &n_users_now],
    )
    .map_err(failed)?;
    Ok(n_rows(server, step, load_id, desired.timer)? == n_users)
}

/// What connections share that copy the same table.
struct Turns<'a> {
    next_group: &'a AtomicUsize,
    pace: &'a Pace,
    timer: &'a Timer,
    bar: &'a Bar,
}

/// Copies row groups over one connection until none is left. Returns the number of rows.
fn copy_some(
    server: &Server,
    client: &mut impl GenericClient,
    name: &str,
    table: &LayerFileReader<'_>,
    turns: &Turns<'_>,
) -> Result<u64> {
    let failed = |error: &postgres::Error| server.failed("expected the assignments to be taken", error);
    let sql = format!("copy {name} ({}) from stdin (format binary)", copy::COLUMNS);
    let mut sink = client.copy_in(&sql).map_err(|error| failed(&error))?;
    // The server's message is nested in the error of the write.
    let sent = |error: std::io::Error| match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<postgres::Error>())
    {
        Some(inner) => failed(inner),
        None => Error::target(
            &server.address,
            format!("expected the assignments to be taken, found: {error}"),
        ),
    };
    let mut bytes = copy::HEADER.to_vec();
    loop {
        let group = turns.next_group.fetch_add(1, Ordering::Relaxed);
        if group >= table.n_parts() {
            break;
        }
        table.read(group, |rows| {
            let mut start = 0;
            while start < rows.len() {
                let range = start..rows.len().min(start + turns.pace.chunk(CHUNK));
                start = range.end;
                turns.timer.answered();
                turns.pace.wait(range.len());
                turns.bar.advance(range.len() as u64);
                copy::encode(rows, range, table.path(), &mut bytes)?;
                sink.write_all(&bytes).and_then(|()| sink.flush()).map_err(sent)?;
                bytes.clear();
            }
            Ok(())
        })?;
    }
    bytes.extend_from_slice(&copy::TRAILER);
    turns.timer.allow(LONG_STATEMENT);
    sink.write_all(&bytes).map_err(sent)?;
    sink.finish().map_err(|error| failed(&error))
}
