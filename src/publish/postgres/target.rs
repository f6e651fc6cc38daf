//! The target `postgres:`: it compares the content of the database, loads users, and switches the
//! pointer in one transaction.

use postgres::{Client, GenericClient, IsolationLevel, Transaction};
use std::thread;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::{digest, json};
use crate::layer::LayerFileReader;
use crate::publish::address::Address;
use crate::publish::changes::LayerChanges;
use crate::publish::postgres::connect::Server;
use crate::publish::postgres::documents::Documents;
use crate::publish::postgres::schema::lock_key;
use crate::publish::postgres::{assignments, compare, ratios, rollback, schema};
use crate::publish::publication::Publication;
use crate::publish::target::{Applied, Desired, Inspection, PlannedChange, Target, TargetUsers, same_salt};

/// A database to publish to.
pub(crate) struct Postgres {
    server: Server,
}

impl Postgres {
    pub(crate) fn open(address: &Address, limit: Duration) -> Result<Self> {
        Ok(Self {
            server: Server::open(address, limit)?,
        })
    }
}

/// The row of the pointer, with the load that it names.
pub(super) struct Current {
    publication: Publication,
    documents_digest: Option<String>,
    load: Option<Load>,
}

pub(super) struct Load {
    load_id: i32,
    layers_digest: String,
    n_users: u64,
}

impl Current {
    fn read(server: &Server, client: &mut impl GenericClient, plan_id: &str) -> Result<Option<Self>> {
        let sql = "select document::text, documents_digest::text, load_id::integer, layers_digest::text, n_users::bigint
                   from publication left join assignment_load using (load_id) where publication.plan_id = $1";
        let row = client
            .query_opt(sql, &[&plan_id])
            .map_err(|error| server.failed("expected to read the publication", &error))?;
        let Some(row) = row else { return Ok(None) };
        // A load whose row is gone or broken counts as missing: the users are loaded again.
        let load: Option<i32> = server.value(&row, 2, "the number of a load")?;
        let digest: Option<String> = server.value(&row, 3, "the digest of a load")?;
        let n_users: Option<i64> = server.value(&row, 4, "the number of users of a load")?;
        let load = load
            .zip(digest)
            .zip(n_users)
            .map(|((load_id, layers_digest), n_users)| Load {
                load_id,
                layers_digest,
                n_users: n_users.unsigned_abs(),
            });
        let document: &str = server.value(&row, 0, "the document of a publication")?;
        Ok(Some(Self {
            publication: Publication::from_json(document, &server.address)?,
            documents_digest: server.value(&row, 1, "the digest of the documents")?,
            load,
        }))
    }

    /// The load, if it has this digest and its table is readable.
    fn load_of(
        &self,
        server: &Server,
        client: &mut impl GenericClient,
        digest: &str,
    ) -> Result<Option<&Load>> {
        let Some(load) = self.load.as_ref().filter(|load| load.layers_digest == digest) else {
            return Ok(None);
        };
        Ok(assignments::is_attached(server, client, load.load_id)?.then_some(load))
    }
}

/// The digest of the layer table; `None` if users are not published.
pub(super) fn layers_digest(desired: &Desired<'_>) -> Result<Option<String>> {
    match (desired.layers, &desired.publication.layers_digest) {
        (None, _) => Ok(None),
        // The layer table was checked against this digest when the folder was opened.
        (Some(_), Some(digest)) => Ok(Some(digest.clone())),
        (Some(path), None) => digest::blake3_of_file(path).map(Some),
    }
}

impl Target for Postgres {
    fn address(&self) -> String {
        self.server.address.clone()
    }

    fn takes_layers(&self) -> bool {
        true
    }

    fn held(&mut self, plan_id: &str) -> Result<Option<Publication>> {
        let server = &self.server;
        let mut client = server.connect()?;
        if schema::version(server, &mut client)? == 0 {
            return Ok(None);
        }
        let current = Current::read(server, &mut client, plan_id)?;
        Ok(current.map(|current| current.publication))
    }

    fn inspect(&mut self, desired: &Desired<'_>, count: bool, progress: &Progress) -> Result<Inspection> {
        let server = &self.server;
        let publication = desired.publication;
        let mut client = server.connect()?;
        // The transaction is read-only, so the server itself prevents writes.
        let begun = client
            .build_transaction()
            .read_only(true)
            .isolation_level(IsolationLevel::RepeatableRead)
            .start();
        let mut look = begun.map_err(|error| server.failed("expected to begin a look", &error))?;
        let mut changes = Vec::new();
        let version = schema::version(server, &mut look)?;
        let current = if version == 0 {
            None
        } else {
            Current::read(server, &mut look, &publication.plan_id)?
        };
        if version < schema::NEWEST {
            let show = |version: usize| (version > 0).then(|| format!("version {version}"));
            changes.push(PlannedChange::new("tables", show(version), show(schema::NEWEST)));
        }
        if current.as_ref().map(|current| &current.publication) != Some(publication) {
            let before = current
                .as_ref()
                .map(|current| current.publication.version.clone());
            changes.push(PlannedChange::new(
                "publication",
                before,
                Some(publication.version.clone()),
            ));
        } else if version == schema::NEWEST {
            let n_wrong = ratios::n_wrong(server, &mut look, publication)?;
            if n_wrong > 0 {
                changes.push(PlannedChange::new(
                    "ratio_schedule",
                    Some(format!("{n_wrong} rows that differ")),
                    Some("as published".into()),
                ));
            }
        }
        if !desired.options.rollback {
            let (before, after) = (
                current
                    .as_ref()
                    .and_then(|current| current.documents_digest.clone()),
                Documents::read(desired.dir, &publication.plan_id)?.digest,
            );
            if before.as_ref() != Some(&after) {
                changes.push(PlannedChange::new(
                    "entity tables and gate results",
                    before,
                    Some(after),
                ));
            }
        }
        let mut users = None;
        let mut warnings = Vec::new();
        if let (Some(path), Some(digest)) = (desired.layers, layers_digest(desired)?) {
            let table = LayerFileReader::open(path)?;
            let is_same =
                self.holds_users(&mut look, desired, current.as_ref(), &table, &digest, progress)?;
            if !is_same
                && !desired.options.all_users
                && current.as_ref().is_some_and(|current| {
                    let load = current.load.as_ref();
                    load.is_some_and(|load| load.layers_digest == digest)
                })
            {
                warnings.push(
                    "users of the table in force are missing or were changed: all are loaded again".into(),
                );
            }
            let load = current.as_ref().and_then(|current| current.load.as_ref());
            if !is_same {
                self.load_to_change(&mut look, desired, current.as_ref(), &digest)?;
                let before = load.map(|load| format!("{} users of {}", load.n_users, load.layers_digest));
                changes.push(PlannedChange::new(
                    "layer_assignment",
                    before,
                    Some(format!("{} users of {digest}", table.n_rows())),
                ));
            }
            if count {
                users = Some(match load {
                    _ if is_same => TargetUsers {
                        n_users: table.n_rows(),
                        ..TargetUsers::default()
                    },
                    Some(load) if assignments::is_attached(server, &mut look, load.load_id)? => {
                        compare::compare(server, &mut look, load.load_id, &table, desired.timer, progress)?
                    }
                    _ => TargetUsers {
                        n_users: table.n_rows(),
                        n_written: table.n_rows(),
                        n_gone: 0,
                    },
                });
            }
        }
        if version == schema::NEWEST {
            for load_id in assignments::leftovers(server, &mut look, &publication.plan_id)? {
                changes.push(PlannedChange::new(
                    assignments::table_of(load_id),
                    Some("a load that nothing points to".into()),
                    None,
                ));
            }
        }
        if version > 0 && !publication.is_layers() {
            warnings.extend(same_salts(server, &mut look, publication)?);
        }
        Ok(Inspection {
            current: current.map(|current| current.publication),
            changes,
            users,
            warnings,
        })
    }

    fn apply(
        &mut self,
        desired: &Desired<'_>,
        current: Option<&Publication>,
        progress: &Progress,
    ) -> Result<Applied> {
        if desired.options.rollback {
            return self.close(desired, current);
        }
        let server = &self.server;
        let plan_id = &desired.publication.plan_id;
        let mut client = server.connect()?;
        schema::migrate(server, &mut client)?;
        lock_plan(server, &mut client, plan_id)?;
        if let Some(retirement) = desired.retires {
            lock_plan(server, &mut client, &retirement.held.plan_id)?;
        }
        let leftovers = assignments::leftovers(server, &mut client, plan_id)?;
        assignments::remove(server, &mut client, &leftovers)?;
        desired.timer.answered();

        let before = Current::read(server, &mut client, plan_id)?;
        let mut users = None;
        let mut new_load = None;
        let mut is_switched = false;
        if let (Some(path), Some(digest)) = (desired.layers, layers_digest(desired)?) {
            let table = LayerFileReader::open(path)?;
            let is_same =
                self.holds_users(&mut client, desired, before.as_ref(), &table, &digest, progress)?;
            let mut n_written = if is_same { 0 } else { table.n_rows() };
            if !is_same {
                let load_id = self.load_to_change(&mut client, desired, before.as_ref(), &digest)?;
                if let Some((changes, load_id)) = desired.changes.zip(load_id) {
                    let change = |step: &mut Transaction<'_>| {
                        let users = (digest.as_str(), table.n_rows());
                        assignments::change(server, step, load_id, changes, desired, users, progress)
                    };
                    is_switched = switch(server, &mut client, desired, current, None, change)?;
                }
                if is_switched {
                    n_written = desired.changes.map_or(Ok(0), LayerChanges::n_changed)?;
                } else {
                    let load = assignments::load(server, &mut client, desired, &digest, &table, progress)?;
                    new_load = Some(load);
                }
            }
            users = Some(TargetUsers {
                n_users: table.n_rows(),
                n_written,
                n_gone: 0,
            });
        }
        if !is_switched {
            switch(server, &mut client, desired, current, new_load, |_| Ok(true))?;
        }
        if new_load.is_some() {
            let leftovers = assignments::leftovers(server, &mut client, plan_id)?;
            assignments::remove(server, &mut client, &leftovers)?;
        }
        Ok(Applied {
            users,
            warnings: vec![],
        })
    }
}

impl Postgres {
    /// The load in force, if the changes of the night lead from it to the desired table; `None` if
    /// the whole table must be loaded.
    fn load_to_change(
        &self,
        client: &mut impl GenericClient,
        desired: &Desired<'_>,
        current: Option<&Current>,
        digest: &str,
    ) -> Result<Option<i32>> {
        let Some(changes) = desired.changes else {
            return Ok(None);
        };
        let load = current.and_then(|current| current.load.as_ref());
        let held = load.map(|load| load.layers_digest.as_str());
        if !changes.apply_to(held, Some(digest), &self.server.address)? || desired.options.all_users {
            return Ok(None);
        }
        match load {
            Some(load) if assignments::is_attached(&self.server, client, load.load_id)? => {
                Ok(Some(load.load_id))
            }
            _ => Ok(None),
        }
    }

    /// Whether the load in force is the layer table, and is whole: its table has every user, or with
    /// `--verify` the same rows. With `--all-users` it counts as another.
    fn holds_users(
        &self,
        client: &mut impl GenericClient,
        desired: &Desired<'_>,
        current: Option<&Current>,
        table: &LayerFileReader<'_>,
        digest: &str,
        progress: &Progress,
    ) -> Result<bool> {
        let server = &self.server;
        let load = match current {
            Some(current) if !desired.options.all_users => current.load_of(server, client, digest)?,
            _ => None,
        };
        let Some(load) = load else { return Ok(false) };
        if desired.options.verify {
            let counts = compare::compare(server, client, load.load_id, table, desired.timer, progress)?;
            return Ok(counts.n_written + counts.n_gone == 0);
        }
        Ok(assignments::n_rows(server, client, load.load_id, desired.timer)? == table.n_rows())
    }

    /// Closes the candidate. It waits for no lock: a concurrent publisher then finds another version
    /// than it inspected, and stops.
    fn close(&self, desired: &Desired<'_>, current: Option<&Publication>) -> Result<Applied> {
        let server = &self.server;
        let mut client = server.connect()?;
        let limit = desired.timer.limit().as_millis();
        client
            .batch_execute(&format!(
                "set statement_timeout to '{limit}ms'; set lock_timeout to '2s'"
            ))
            .map_err(|error| server.failed("expected a session", &error))?;
        // Tables that cannot be migrated may still take ratios of 0.
        let migrated = schema::migrate(server, &mut client);
        let before = Current::read(server, &mut client, &desired.publication.plan_id).unwrap_or_default();
        let before = before.map(|before| before.publication);
        let publication = desired.publication.over(before.as_ref(), desired.options);
        let current = current.or(before.as_ref());
        let closed = rollback::close(server, &mut client, &publication, current, desired.options.now);
        match (closed, migrated) {
            (Ok(warnings), _) => Ok(Applied {
                users: None,
                warnings,
            }),
            (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }
}

/// Warnings about other plans in this database that assign users with the same salt.
pub(super) fn same_salts(
    server: &Server,
    client: &mut impl GenericClient,
    publication: &Publication,
) -> Result<Vec<String>> {
    let sql = "select plan_id from publication where document->>'salt' = $1 and document->>'profile' = $2 and plan_id <> $3 order by plan_id";
    let rows = client.query(
        sql,
        &[&publication.salt, &publication.profile, &publication.plan_id],
    );
    let rows = rows.map_err(|error| server.failed("expected to read the salts of other plans", &error))?;
    rows.iter()
        .map(|row| {
            let plan_id: &str = server.value(row, 0, "the id of a plan")?;
            Ok(same_salt(plan_id))
        })
        .collect()
}

/// Locks the plan against other publishers until the connection ends.
pub(super) fn lock_plan(server: &Server, client: &mut Client, plan_id: &str) -> Result<()> {
    let key = lock_key(&["plan", &server.schema, plan_id]);
    // After a publisher was killed, the server keeps its lock for one or two seconds.
    for _ in 0..20 {
        let row = client.query_one("select pg_try_advisory_lock($1)", &[&key]);
        let row = row.map_err(|error| server.failed("expected to lock the plan", &error))?;
        if server.value(&row, 0, "an answer")? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(250));
    }
    Err(Error::target(
        &server.address,
        format!("expected to publish plan {plan_id} alone, found another publisher at work"),
    )
    .hint("wait for it, then run it again"))
}

/// Changes everything that readers see, in one transaction. `change` changes users in it; if it
/// returns `false`, nothing is changed, and neither does this function return `true`.
pub(super) fn switch(
    server: &Server,
    client: &mut Client,
    desired: &Desired<'_>,
    current: Option<&Publication>,
    new_load: Option<i32>,
    change: impl FnOnce(&mut Transaction<'_>) -> Result<bool>,
) -> Result<bool> {
    let failed = |error| server.failed("expected to switch to the new version", &error);
    let publication = desired.publication;
    let plan_id = &publication.plan_id;
    let mut step = client.transaction().map_err(failed)?;
    let row = step
        .query_opt(
            "select version::text from publication where plan_id = $1 for update",
            &[plan_id],
        )
        .map_err(failed)?;
    let found: Option<String> = match &row {
        Some(row) => Some(server.value(row, 0, "the version of a publication")?),
        None => None,
    };
    if found.as_ref() != current.map(|current| &current.version) {
        let show = |version: Option<&String>| {
            version.map_or_else(|| "nothing".to_owned(), |version| format!("version {version}"))
        };
        let message = format!(
            "expected to replace {}, found {}",
            show(current.map(|current| &current.version)),
            show(found.as_ref())
        );
        return Err(Error::target(&server.address, message).hint(
            "another publication changed the target in the meantime: run it again to see the changes",
        ));
    }
    if !change(&mut step)? {
        return Ok(false);
    }
    if let Some(retirement) = desired.retires {
        rollback::retire(server, &mut step, retirement, desired.options.now)?;
    }
    let documents = Documents::read(desired.dir, plan_id)?;
    documents.write(server, &mut step, plan_id)?;
    ratios::log_by_hand(server, &mut step, current, publication, desired.options.now)?;
    ratios::write(server, &mut step, publication)?;
    step.execute(
        "insert into publication as held (plan_id, version, document, published_at, documents_digest, load_id)
         values ($1, $2, $3::text::jsonb, now(), $4, $5)
         on conflict (plan_id) do update set version = excluded.version, document = excluded.document, published_at = excluded.published_at,
             documents_digest = excluded.documents_digest, load_id = coalesce(excluded.load_id, held.load_id),
             previous_load_id = case when excluded.load_id is null then held.previous_load_id else held.load_id end",
        &[plan_id, &publication.version, &json::to_json(publication), &documents.digest, &new_load],
    )
    .map_err(failed)?;
    step.commit().map_err(failed)?;
    Ok(true)
}
