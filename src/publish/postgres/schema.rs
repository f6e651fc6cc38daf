//! The tables, as numbered migrations. A released migration is never edited. Changes are added as a
//! new migration.

use postgres::{Client, GenericClient};

use crate::base::digest;
use crate::base::error::{Error, Result};
use crate::publish::postgres::connect::Server;

/// The migrations. Each runs once, in its own transaction, with the schema as search path.
const MIGRATIONS: &[&str] = &[
    // Version 1.
    r#"
    create table layer (
        plan_id text not null, layer_id text not null, layer_name text not null, priority integer not null,
        default_flow_ratio numeric(5, 4) not null, tag_rules jsonb not null, qos_threshold double precision not null,
        primary key (plan_id, layer_id));
    create table release_plan (
        plan_id text primary key, plan_name text not null, status text not null, start_time timestamptz not null,
        layer_ratios jsonb not null, operator text not null);
    create table agent_version (
        plan_id text not null, version_id text not null, version_code text not null, model_name text, agent_config text,
        changelog text, primary key (plan_id, version_id));
    create table metric (
        plan_id text not null, metric_id text not null, version_id text not null, layer_id text not null,
        availability double precision, tool_success_rate double precision, task_completion_rate double precision,
        bad_rate double precision, complaint_rate double precision, avg_latency double precision,
        stat_time timestamptz not null, tenant_id text not null, primary key (plan_id, metric_id));

    create table operation_log (
        log_id text primary key, plan_id text not null, operation_type text not null, old_value numeric(5, 4) not null,
        new_value numeric(5, 4) not null, operate_time timestamptz not null, operator text not null, tenant_id text,
        layer_id text not null, evidence_digest text);
    create index operation_log_by_plan on operation_log (plan_id, operate_time);
    create function operation_log_is_insert_only() returns trigger language plpgsql as
        $body$ begin raise exception 'operation_log takes new rows only' using errcode = '42501'; end $body$;
    create trigger insert_only before update or delete or truncate on operation_log
        for each statement execute function operation_log_is_insert_only();

    create table gate_report (plan_id text primary key, outcome text not null, document jsonb not null);
    create table gate_result (
        plan_id text not null, check_no integer not null, gate text not null, check_name text not null, tenant_id text,
        layer_id text, outcome text not null, detail text not null, remedy text, lifted_by text,
        primary key (plan_id, check_no));

    create table ratio_schedule (
        plan_id text not null, release text not null, layer text not null, tenant text not null, step integer not null,
        ratio numeric(5, 4) not null, lo_bucket integer not null, hi_bucket integer not null, salt text not null,
        algo text not null, not_before timestamptz not null, min_n bigint not null, state text not null,
        primary key (plan_id, tenant, layer));

    create table assignment_load (
        load_id serial primary key, plan_id text not null, layers_digest text not null, n_users bigint not null,
        started_at timestamptz not null default now());
    create table assignment (
        tenant_id text collate "C" not null, user_id text collate "C" not null, layer_id text not null,
        eligible boolean not null, score real not null, load_id integer not null) partition by list (load_id);
    create table publication (
        plan_id text primary key, version text not null, document jsonb not null, published_at timestamptz not null,
        documents_digest text, load_id integer references assignment_load, previous_load_id integer references assignment_load);
    create view layer_assignment as
        select publication.plan_id, a.tenant_id, a.user_id, a.layer_id, a.eligible, a.score
        from publication join assignment a on a.load_id = publication.load_id;
    "#,
];

/// The newest version that this program knows.
pub(super) const NEWEST: usize = MIGRATIONS.len();

/// The version of the existing tables; 0 without tables.
pub(super) fn version(server: &Server, client: &mut impl GenericClient) -> Result<usize> {
    let failed = |error| server.failed("expected to read the table of migrations", &error);
    let table = format!("\"{}\".migration", server.schema);
    let is_there = client
        .query_one("select to_regclass($1) is not null", &[&table])
        .map_err(failed)?;
    if !server.value::<bool>(&is_there, 0, "an answer")? {
        return Ok(0);
    }
    let is_own = "select count(*) = 2 from pg_attribute where attrelid = to_regclass($1) and not attisdropped
         and (attname, atttypid::regtype::text) in (('version', 'integer'), ('applied_at', 'timestamp with time zone'))";
    let is_own = client.query_one(is_own, &[&table]).map_err(failed)?;
    if !server.value::<bool>(&is_own, 0, "an answer")? {
        return Err(Error::target(
            &server.address,
            format!("expected the table {table} of Sluice, found a table of another program"),
        )
        .hint("name a schema of its own with ?schema=sluice"));
    }
    let found = client
        .query_one(&format!("select coalesce(max(version), 0) from {table}"), &[])
        .map_err(failed)?;
    let found: i32 = server.value(&found, 0, "the version of the tables")?;
    let found = usize::try_from(found).unwrap_or(0);
    if found > NEWEST {
        return Err(Error::target(
            &server.address,
            format!("expected tables of version {NEWEST} or older, found version {found}"),
        )
        .hint("a newer sluice made them: publish with that one"));
    }
    Ok(found)
}

/// Migrates the tables to the newest version. Concurrent publishers wait for each other.
pub(super) fn migrate(server: &Server, client: &mut Client) -> Result<()> {
    for number in version(server, client)? + 1..=NEWEST {
        let failed = |error| server.failed(&format!("expected to make tables of version {number}"), &error);
        let mut step = client.transaction().map_err(failed)?;
        let lock = lock_key(&["migrate", &server.schema]);
        step.execute("select pg_advisory_xact_lock($1)", &[&lock])
            .map_err(failed)?;
        // The schema is created only if it is missing: its owner may lack the right to create
        // schemas.
        let name = format!("\"{}\"", server.schema);
        let is_there = step
            .query_one("select to_regnamespace($1) is not null", &[&name])
            .map_err(failed)?;
        if !server.value::<bool>(&is_there, 0, "an answer")? {
            step.batch_execute(&format!("create schema {name}"))
                .map_err(failed)?;
        }
        step.batch_execute(
            "create table if not exists migration (version integer primary key, applied_at timestamptz not null default now())",
        )
        .map_err(failed)?;
        if version(server, &mut step)? >= number {
            continue;
        }
        step.batch_execute(MIGRATIONS[number - 1]).map_err(failed)?;
        step.execute("insert into migration (version) values ($1)", &[&(number as i32)])
            .map_err(failed)?;
        step.commit().map_err(failed)?;
    }
    Ok(())
}

/// The key of an advisory lock for the given names.
pub(super) fn lock_key(names: &[&str]) -> i64 {
    let parts: Vec<&[u8]> = ["sluice publish"]
        .iter()
        .chain(names)
        .map(|name| name.as_bytes())
        .collect();
    let digest = digest::sha256_of(&parts);
    let hex = digest.trim_start_matches("sha256:");
    u64::from_str_radix(&hex[..16.min(hex.len())], 16).unwrap_or_default() as i64
}
