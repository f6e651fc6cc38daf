//! The target `postgres:`: it compares the content of the database, loads users, and switches the
//! pointer in one transaction.

use postgres::{Client, GenericClient, IsolationLevel};
use std::thread;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::{digest, json};
use crate::layer::LayerFileReader;
use crate::publish::address::Address;
use crate::publish::postgres::connect::Server;
use crate::publish::postgres::documents::Documents;
use crate::publish::postgres::schema::lock_key;
use crate::publish::postgres::{assignments, compare, ratios, schema};
use crate::publish::publication::Publication;
use crate::publish::target::{Desired, Inspection, PlannedChange, Target, TargetUsers};

/// A database to publish to.
pub(crate) struct Postgres {
    server: Server,
}

impl Postgres {
    pub(crate) fn open(address: &Address) -> Result<Self> {
        Ok(Self {
            server: Server::open(address)?,
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
        let sql = "select document::text, documents_digest, load_id, layers_digest, n_users
                   from publication left join assignment_load using (load_id) where publication.plan_id = $1";
        let row = client
            .query_opt(sql, &[&plan_id])
            .map_err(|error| server.failed("expected to read the publication", &error))?;
        let Some(row) = row else { return Ok(None) };
        let load = row.get::<_, Option<i32>>(2).map(|load_id| Load {
            load_id,
            layers_digest: row.get(3),
            n_users: row.get::<_, i64>(4).unsigned_abs(),
        });
        let publication = Publication::from_json(row.get(0), &server.address)?;
        Ok(Some(Self {
            publication,
            documents_digest: row.get(1),
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
        if let (Some(path), Some(digest)) = (desired.layers, layers_digest(desired)?) {
            let table = LayerFileReader::open(path)?;
            let same = current
                .as_ref()
                .map_or(Ok(None), |current| current.load_of(server, &mut look, &digest))?;
            let is_same = same.is_some() && !desired.options.all_users;
            let load = current.as_ref().and_then(|current| current.load.as_ref());
            if !is_same {
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
                        compare::compare(server, &mut look, load.load_id, &table, progress)?
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
        let warnings = if version == 0 {
            vec![]
        } else {
            same_salts(server, &mut look, publication)?
        };
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
    ) -> Result<Option<TargetUsers>> {
        let server = &self.server;
        let plan_id = &desired.publication.plan_id;
        let mut client = server.connect()?;
        schema::migrate(server, &mut client)?;
        // A rollback does not wait for a lock. A concurrent publisher then finds another version
        // than it inspected, and stops.
        if !desired.options.rollback {
            lock_plan(server, &mut client, plan_id)?;
            let leftovers = assignments::leftovers(server, &mut client, plan_id)?;
            assignments::remove(server, &mut client, &leftovers)?;
        }

        let before = Current::read(server, &mut client, plan_id)?;
        let mut users = None;
        let mut new_load = None;
        if let (Some(path), Some(digest)) = (desired.layers, layers_digest(desired)?) {
            let table = LayerFileReader::open(path)?;
            let same = before
                .as_ref()
                .map_or(Ok(None), |current| current.load_of(server, &mut client, &digest))?;
            let is_same = same.is_some() && !desired.options.all_users;
            users = Some(TargetUsers {
                n_users: table.n_rows(),
                n_written: if is_same { 0 } else { table.n_rows() },
                n_gone: 0,
            });
            if !is_same {
                new_load = Some(assignments::load(
                    server,
                    &mut client,
                    plan_id,
                    &digest,
                    &table,
                    desired.options.max_qps,
                    progress,
                )?);
            }
        }
        switch(server, &mut client, desired, current, new_load)?;
        if new_load.is_some() {
            let leftovers = assignments::leftovers(server, &mut client, plan_id)?;
            assignments::remove(server, &mut client, &leftovers)?;
        }
        Ok(users)
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
    Ok(rows
        .iter()
        .map(|row| crate::publish::driver::same_salt(row.get(0)))
        .collect())
}

/// Locks the plan against other publishers until the connection ends.
pub(super) fn lock_plan(server: &Server, client: &mut Client, plan_id: &str) -> Result<()> {
    let key = lock_key(&["plan", &server.schema, plan_id]);
    // After a publisher was killed, the server keeps its lock for one or two seconds.
    for _ in 0..20 {
        let row = client.query_one("select pg_try_advisory_lock($1)", &[&key]);
        if row
            .map_err(|error| server.failed("expected to lock the plan", &error))?
            .get(0)
        {
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

/// Changes everything that readers see, in one transaction.
pub(super) fn switch(
    server: &Server,
    client: &mut Client,
    desired: &Desired<'_>,
    current: Option<&Publication>,
    new_load: Option<i32>,
) -> Result<()> {
    let failed = |error| server.failed("expected to switch to the new version", &error);
    let publication = desired.publication;
    let plan_id = &publication.plan_id;
    let mut step = client.transaction().map_err(failed)?;
    let row = step
        .query_opt(
            "select version from publication where plan_id = $1 for update",
            &[plan_id],
        )
        .map_err(failed)?;
    let found: Option<String> = row.map(|row| row.get(0));
    if found.as_ref() != current.map(|current| &current.version) && !desired.options.rollback {
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
    let mut documents_digest = None;
    if !desired.options.rollback {
        let documents = Documents::read(desired.dir, plan_id)?;
        documents.write(server, &mut step, plan_id)?;
        documents_digest = Some(documents.digest);
    }
    ratios::log_by_hand(server, &mut step, current, publication, desired.options.now)?;
    ratios::write(server, &mut step, publication)?;
    step.execute(
        "insert into publication as held (plan_id, version, document, published_at, documents_digest, load_id)
         values ($1, $2, $3::text::jsonb, now(), $4, $5)
         on conflict (plan_id) do update set version = excluded.version, document = excluded.document, published_at = excluded.published_at,
             documents_digest = excluded.documents_digest, load_id = coalesce(excluded.load_id, held.load_id),
             previous_load_id = case when excluded.load_id is null then held.previous_load_id else held.load_id end",
        &[plan_id, &publication.version, &json::to_json(publication), &documents_digest, &new_load],
    )
    .map_err(failed)?;
    step.commit().map_err(failed)
}
