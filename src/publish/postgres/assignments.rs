//! Who is in which layer: a table a load, filled beside the readers and then pointed to.

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use postgres::{Client, GenericClient, error::SqlState};
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{connect::Server, copy};
use crate::{
    error::{Error, Result},
    layer::LayerRows,
    parquet_io::guard,
    progress::{Bar, Progress},
};

/// Rows that are decoded and sent at a time.
const BATCH_ROWS: usize = 16_384;

/// The layer table of a publication: a file with rows to read in any number of threads.
pub(super) struct LayerTable<'a> {
    path: &'a Path,
    footer: ArrowReaderMetadata,
    pub(super) n_users: u64,
}

impl<'a> LayerTable<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::read(path, &error))?;
        let footer = guard(path, || ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))?;
        let n_users = footer.metadata().file_metadata().num_rows().unsigned_abs();
        Ok(Self { path, footer, n_users })
    }

    fn n_groups(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    /// Hands a row group over, batch by batch.
    fn read(&self, group: usize, on_rows: &mut dyn FnMut(&LayerRows) -> Result<()>) -> Result<()> {
        let file = File::open(self.path).map_err(|error| Error::read(self.path, &error))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone());
        let mut reader = guard(self.path, || builder.with_row_groups(vec![group]).with_batch_size(BATCH_ROWS).build())?;
        while let Some(batch) = guard(self.path, || reader.next().transpose())? {
            on_rows(&LayerRows::of(&batch, self.path)?)?;
        }
        Ok(())
    }

    /// Hands all rows over.
    pub(super) fn read_all(&self, on_rows: &mut dyn FnMut(&LayerRows) -> Result<()>) -> Result<()> {
        (0..self.n_groups()).try_for_each(|group| self.read(group, on_rows))
    }
}

/// The table of a load.
pub(super) fn table_of(load_id: i32) -> String {
    format!("assignment_{load_id}")
}

/// Loads of a plan that nothing points to: what a publisher that was cut off has left.
pub(super) fn leftovers(server: &Server, client: &mut impl GenericClient, plan_id: &str) -> Result<Vec<i32>> {
    let rows = client.query(
        "select l.load_id from assignment_load l left join publication p using (plan_id)
         where l.plan_id = $1 and l.load_id is distinct from p.load_id and l.load_id is distinct from p.previous_load_id order by 1",
        &[&plan_id],
    );
    Ok(rows.map_err(|error| server.failed("expected to list loads", &error))?.iter().map(|row| row.get(0)).collect())
}

/// Whether a load's table is there and readable through the view.
pub(super) fn is_attached(server: &Server, client: &mut impl GenericClient, load_id: i32) -> Result<bool> {
    let sql = "select exists (select from pg_inherits where inhrelid = to_regclass($1) and inhparent = to_regclass($2))";
    let qualified = |table: &str| format!("\"{}\".{table}", server.schema);
    let row = client.query_one(sql, &[&qualified(&table_of(load_id)), &qualified("assignment")]);
    Ok(row.map_err(|error| server.failed("expected to find a load's table", &error))?.get(0))
}

/// Removes loads that nothing points to. One that somebody still reads is left to the next publication.
pub(super) fn remove(server: &Server, client: &mut Client, loads: &[i32]) -> Result<()> {
    for load_id in loads {
        let removed = retrying(|| {
            let mut step = client.transaction()?;
            // Dropping a partition keeps readers of all loads waiting while it waits itself: a moment at most.
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

/// Tries again while other transactions hold a lock for a moment.
fn retrying(mut step: impl FnMut() -> std::result::Result<(), postgres::Error>) -> std::result::Result<(), postgres::Error> {
    let is_passing = |error: &postgres::Error| {
        matches!(
            error.code(),
            Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE)
        )
    };
    for n_tried in 1.. {
        match step() {
            Err(error) if is_passing(&error) && n_tried < 8 => thread::sleep(Duration::from_millis(50 << n_tried.min(4))),
            other => return other,
        }
    }
    Ok(())
}

/// Copies a layer table into a new table that nobody reads yet, and makes it a part of `assignment`. Returns the load's number.
pub(super) fn load(
    server: &Server,
    client: &mut Client,
    (plan_id, digest, table): (&str, &str, &LayerTable<'_>),
    max_qps: Option<u32>,
    progress: &Progress,
) -> Result<i32> {
    let failed = |error| server.failed("expected to make a table for the assignments", &error);
    let mut begin = client.transaction().map_err(failed)?;
    let n_users = i64::try_from(table.n_users).unwrap_or(i64::MAX);
    let load_id: i32 = begin
        .query_one(
            "insert into assignment_load (plan_id, layers_digest, n_users) values ($1, $2, $3) returning load_id",
            &[&plan_id, &digest, &n_users],
        )
        .map_err(failed)?
        .get(0);
    let name = table_of(load_id);
    // The check proves that the table is a part, so that attaching it need not read it; the number is nowhere in what is sent.
    begin
        .batch_execute(&format!(
            "create table {name} (like assignment, check (load_id = {load_id}));
             alter table {name} alter load_id set default {load_id}"
        ))
        .map_err(failed)?;
    begin.commit().map_err(failed)?;

    let n_copied = copy_all(server, client, &name, table, max_qps, progress)?;
    if n_copied != table.n_users {
        return Err(Error::target(&server.place, format!("expected {} users in {name}, found {n_copied}", table.n_users))
            .hint("run it again: the table is made anew"));
    }
    // Users first: the tenant, which is often the same, would keep the server from sorting by the first bytes of a key.
    let index = format!("set maintenance_work_mem to '512MB'; alter table {name} add primary key (user_id, tenant_id); analyze {name}");
    client.batch_execute(&index).map_err(|error| match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => {
            let detail = error.as_db_error().and_then(|told| told.detail()).unwrap_or("a user twice").to_owned();
            Error::input(table.path.display().to_string(), format!("expected every user once in a tenant, found: {detail}"))
                .hint("layer tables with users twice come of unchecked ids: `sluice layer --audit always` names the rows")
        }
        _ => server.failed("expected to index the assignments", &error),
    })?;
    retrying(|| client.batch_execute(&format!("alter table assignment attach partition {name} for values in ({load_id})")))
        .map_err(|error| server.failed("expected to make the assignments readable", &error))?;
    Ok(load_id)
}

/// Copies row groups over one or several connections.
fn copy_all(
    server: &Server,
    client: &mut Client,
    name: &str,
    table: &LayerTable<'_>,
    max_qps: Option<u32>,
    progress: &Progress,
) -> Result<u64> {
    let bar = progress.rows("postgres", Some(table.n_users));
    let next_group = AtomicUsize::new(0);
    let pace = Pace { started: Instant::now(), n_sent: AtomicU64::new(0), max_qps };
    let copy = |client: &mut Client| copy_some(server, client, name, table, &next_group, &pace, &bar);
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..server.n_connections.min(table.n_groups()))
            .map(|_| {
                scope.spawn(|| {
                    let copied = server.connect().and_then(|mut client| copy(&mut client));
                    // The others need not go on if one has failed.
                    copied.inspect_err(|_| next_group.store(usize::MAX / 2, Ordering::Relaxed))
                })
            })
            .collect();
        let own = copy(client).inspect_err(|_| next_group.store(usize::MAX / 2, Ordering::Relaxed));
        let others = helpers.into_iter().map(|helper| {
            helper.join().unwrap_or_else(|_| Err(Error::target(&server.place, "expected a connection to copy rows, found its thread gone")))
        });
        others.chain([own]).sum()
    })
}

/// Keeps to a number of rows a second over all connections.
struct Pace {
    started: Instant,
    n_sent: AtomicU64,
    max_qps: Option<u32>,
}

impl Pace {
    fn wait_after(&self, n_rows: usize) {
        let Some(max_qps) = self.max_qps else { return };
        let n_sent = self.n_sent.fetch_add(n_rows as u64, Ordering::Relaxed) + n_rows as u64;
        let due = Duration::from_secs_f64(n_sent as f64 / f64::from(max_qps));
        thread::sleep(due.saturating_sub(self.started.elapsed()));
    }
}

/// Copies row groups over one connection until none is left.
fn copy_some(
    server: &Server,
    client: &mut Client,
    name: &str,
    table: &LayerTable<'_>,
    next_group: &AtomicUsize,
    pace: &Pace,
    bar: &Bar,
) -> Result<u64> {
    let failed = |error: &postgres::Error| server.failed("expected the assignments to be taken", error);
    let sql = format!("copy {name} ({}) from stdin (format binary)", copy::COLUMNS);
    let mut sink = client.copy_in(&sql).map_err(|error| failed(&error))?;
    // What the server says is in the error of the whole copy, behind that of the pipe.
    let sent = |error: std::io::Error| match error.get_ref().and_then(|inner| inner.downcast_ref::<postgres::Error>()) {
        Some(inner) => failed(inner),
        None => Error::target(&server.place, format!("expected the assignments to be taken, found: {error}")),
    };
    let mut bytes = copy::HEADER.to_vec();
    loop {
        let group = next_group.fetch_add(1, Ordering::Relaxed);
        if group >= table.n_groups() {
            break;
        }
        table.read(group, &mut |rows| {
            copy::encode(rows, table.path, &mut bytes)?;
            sink.write_all(&bytes).and_then(|()| sink.flush()).map_err(sent)?;
            bytes.clear();
            bar.advance(rows.len() as u64);
            pace.wait_after(rows.len());
            Ok(())
        })?;
    }
    bytes.extend_from_slice(&copy::TRAILER);
    sink.write_all(&bytes).map_err(sent)?;
    sink.finish().map_err(|error| failed(&error))
}
