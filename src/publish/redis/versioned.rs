//! Publishing under versioned keys. The data is written under a new version, then the pointer
//! switches and the old version expires.

use std::collections::BTreeMap;
use std::str;

use crate::base::error::{Error, Result};
use crate::base::time::{Micros, SECOND};
use crate::layer::LayerRows;
use crate::publish::publication::Publication;
use crate::publish::redis::context::{RedisContext, Refreshed, ask};
use crate::publish::redis::keys::{Assignment, PlanKeys, assignment_at, write_value};
use crate::publish::redis::link::{Batch, Link};
use crate::publish::redis::lock::Lock;
use crate::publish::redis::users::{Texts, UserWrites, digests, others, pass, values};
use crate::publish::target::{Inspection, PlannedChange, TargetUsers, refuse_change};

const SCHEMA: &str = "sluice.redis/1";

/// The time, in seconds, for which the previous version is kept. Readers that read the pointer
/// before the switch still need it.
const GRACE: u64 = 3_600;

/// The version that the pointer names.
#[derive(Debug, Clone)]
struct Current {
    /// The value of the pointer: the name of the version in force.
    name: String,
    /// The newest valid generation. Newer entries of users are not valid yet.
    generation: u64,
    /// The oldest valid generation. Older entries of users are void.
    since: u64,
    /// The number of users in the layer table.
    n_users: u64,
    /// The digest of the layer table; `None` if no users were published.
    layers_digest: Option<String>,
    /// The last full write of users; `None` if there was none.
    refreshed: Option<Refreshed>,
    publication: Publication,
}

impl Current {
    fn read(ctx: &RedisContext<'_>, keys: &PlanKeys) -> Result<Option<Self>> {
        let address = ctx.pool.address();
        ask(ctx.pool, |link| {
            let Some(name) = link.ask::<Option<String>>(redis::cmd("GET").arg(keys.current()))? else {
                return Ok(None);
            };
            let key = keys.version(&name);
            let fields: BTreeMap<String, String> = link.ask(redis::cmd("HGETALL").arg(&key))?;
            let wrong = |found: &str| {
                Error::target(
                    address,
                    format!("expected a version of Sluice under {key}, found {found}"),
                )
                .hint("delete the pointer's key to publish everything again")
            };
            let field = |name: &str| fields.get(name).map(String::as_str);
            match field("schema") {
                Some(SCHEMA) => {}
                Some(_) => return Err(wrong("one of another program version")),
                None => return Err(wrong("none")),
            }
            let number = |name: &str| {
                field(name)
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| wrong(&format!("no number in `{name}`")))
            };
            Ok(Some(Self {
                generation: number("generation")?,
                since: number("since")?,
                n_users: number("n_users")?,
                layers_digest: field("layers_digest")
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned),
                refreshed: Some(Refreshed {
                    at: number("refreshed_at")? as Micros,
                    ttl: number("ttl")? as Micros,
                })
                .filter(|refreshed| refreshed.ttl > 0),
                publication: Publication::from_json(field("publication").unwrap_or_default(), address)?,
                name,
            }))
        })
    }
}

/// The record of a layer table that is being written. If the run is killed, the next run resumes
/// the table or makes it void.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Writing {
    generation: u64,
    since: u64,
    /// The start of writing, microseconds UTC.
    begun: Micros,
    layers_digest: String,
}

impl Writing {
    fn read(ctx: &RedisContext<'_>, keys: &PlanKeys) -> Result<Option<Self>> {
        let text: Option<String> = ask(ctx.pool, |link| link.ask(redis::cmd("GET").arg(keys.writing())))?;
        Ok(text.as_deref().and_then(Self::parse))
    }

    /// Parses the text that [`Self::to_text`] writes; `None` for other text.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let mut number = || parts.next()?.parse().ok();
        Some(Self {
            generation: number()?,
            since: number()?,
            begun: number()? as Micros,
            layers_digest: parts.next()?.to_owned(),
        })
    }

    /// The generation, the oldest valid generation, the start in microseconds and the digest,
    /// separated by spaces.
    fn to_text(&self) -> String {
        let Self {
            generation,
            since,
            begun,
            layers_digest,
        } = self;
        format!("{generation} {since} {begun} {layers_digest}")
    }
}

/// A range of user entries. Entries of generations `since..=generation` are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Generation {
    generation: u64,
    since: u64,
}

impl Generation {
    /// The generation of a full table: all older entries are void.
    fn full(generation: u64) -> Self {
        Self {
            generation,
            since: generation,
        }
    }

    fn is_full(self) -> bool {
        self.generation == self.since
    }

    fn assignment(self, value: &str) -> Option<Assignment<'_>> {
        assignment_at(value, self.generation, self.since)
    }
}

/// The entries that a pass over the users compares and writes.
struct WritePlan<'a> {
    keys: &'a PlanKeys,
    /// The entries in force; generation 0 if there are none.
    current: Generation,
    /// The entries to write.
    new: Generation,
    /// Whether the server may hold entries of these users. If not, nothing is read.
    reads: bool,
}

pub(super) fn inspect(ctx: &RedisContext<'_>, count: bool) -> Result<Inspection> {
    let keys = PlanKeys::new(&ctx.publication().plan_id);
    let current = match Current::read(ctx, &keys) {
        // A rollback must not fail because the version in force is unreadable.
        Err(_) if ctx.desired.options.rollback => None,
        other => other?,
    };
    let mut changes = Vec::new();
    let desired = &ctx.publication().version;
    if current
        .as_ref()
        .is_none_or(|current| current.publication.version != *desired)
    {
        changes.push(PlannedChange::new(
            keys.current(),
            current.as_ref().map(|current| current.name.clone()),
            Some(desired.clone()),
        ));
    }
    let mut users = None;
    if are_due(ctx, current.as_ref()) {
        let digest = current.as_ref().and_then(|current| current.layers_digest.clone());
        changes.push(PlannedChange::new(
            format!("{}*", keys.user_prefix()),
            digest,
            ctx.publication().layers_digest.clone(),
        ));
        if count {
            let in_force = Generation {
                generation: current.as_ref().map_or(0, |current| current.generation),
                since: current.as_ref().map_or(0, |current| current.since),
            };
            let is_full = ctx.refresh_is_due(current.as_ref().and_then(|current| current.refreshed));
            let next = in_force.generation + 1;
            let new = if is_full {
                Generation::full(next)
            } else {
                Generation {
                    generation: next,
                    ..in_force
                }
            };
            let counts = pass_over(
                ctx,
                None,
                &WritePlan {
                    keys: &keys,
                    current: in_force,
                    new,
                    reads: in_force.generation > 0,
                },
            )?;
            users = Some(
                counts.users(
                    current
                        .as_ref()
                        .map_or(0, |current| current.n_users)
                        .saturating_sub(counts.n_known),
                ),
            );
        }
    }
    Ok(Inspection {
        current: current.map(|current| current.publication),
        changes,
        users,
        warnings: ctx.warnings(),
    })
}

fn are_due(ctx: &RedisContext<'_>, current: Option<&Current>) -> bool {
    let digest = current.and_then(|current| current.layers_digest.as_deref());
    ctx.users_are_due(digest, current.and_then(|current| current.refreshed))
}

pub(super) fn apply(ctx: &RedisContext<'_>, inspected: Option<&Publication>) -> Result<Option<TargetUsers>> {
    let keys = PlanKeys::new(&ctx.publication().plan_id);
    let is_rollback = ctx.desired.options.rollback;
    let lock = Lock::take(ctx.pool, keys.lock(), is_rollback)?;
    let (current, mut next) = match Current::read(ctx, &keys) {
        Ok(current) => {
            let next = NextUsers::from_current(current.as_ref());
            (current, next)
        }
        // The version in force is unreadable. The current time in seconds is above every generation
        // that may be on the server, so all existing entries become void.
        Err(_) if is_rollback => {
            let generation = u64::try_from(ctx.desired.options.now / SECOND).unwrap_or(0);
            (
                None,
                NextUsers {
                    generation,
                    since: generation,
                    ..NextUsers::default()
                },
            )
        }
        Err(error) => return Err(error),
    };
    refuse_change(
        current.as_ref().map(|current| &current.publication),
        inspected,
        ctx.desired,
        ctx.pool.address(),
    )?;
    let mut users = None;
    if are_due(ctx, current.as_ref()) {
        users = Some(write_users(ctx, &keys, &lock, current.as_ref(), &mut next)?);
    }
    switch(ctx, &keys, &lock, current.as_ref(), &next, users.is_some())?;
    ctx.record_salt();
    Ok(users)
}

/// The fields of the new version that describe users.
#[derive(Debug, Clone, Default)]
struct NextUsers {
    generation: u64,
    since: u64,
    n_users: u64,
    layers_digest: String,
    refreshed: Option<Refreshed>,
}

impl NextUsers {
    fn from_current(current: Option<&Current>) -> Self {
        current.map_or_else(Self::default, |current| Self {
            generation: current.generation,
            since: current.since,
            n_users: current.n_users,
            layers_digest: current.layers_digest.clone().unwrap_or_default(),
            refreshed: current.refreshed,
        })
    }
}

/// The table of a killed run that this run resumes. It must have the same digest and a generation
/// above the one in force; otherwise `None`.
fn resumed<'a>(left: Option<&'a Writing>, in_force: u64, digest: &str) -> Option<&'a Writing> {
    left.filter(|left| left.layers_digest == digest && left.generation > in_force)
}

/// The generation to write users under. It is the generation of a resumed table, or one above all
/// generations that may be on the server. If only changed users are written, the entries in force
/// stay valid.
fn next_generation(
    in_force: Generation,
    left: Option<&Writing>,
    digest: &str,
    only_changed: bool,
) -> Generation {
    if let Some(left) = resumed(left, in_force.generation, digest) {
        return Generation {
            generation: left.generation,
            since: left.since,
        };
    }
    let above = 1 + in_force.generation.max(left.map_or(0, |left| left.generation));
    if only_changed {
        Generation {
            generation: above,
            since: in_force.since,
        }
    } else {
        Generation::full(above)
    }
}

/// Writes users under a new generation. Readers ignore it until the pointer switches.
///
/// Usually only changed users are written. A full table is written when a refresh is due, after a
/// killed run, and in a cluster when users are gone. A full table makes all older entries void.
fn write_users(
    ctx: &RedisContext<'_>,
    keys: &PlanKeys,
    lock: &Lock<'_>,
    current: Option<&Current>,
    next: &mut NextUsers,
) -> Result<TargetUsers> {
    let digest = ctx.publication().layers_digest.clone().unwrap_or_default();
    let left = Writing::read(ctx, keys)?;
    let resumed = resumed(left.as_ref(), next.generation, &digest);
    let has_users = current.is_some_and(|current| current.layers_digest.is_some());
    // A full table makes the entries of a killed run void, even if they belong to another table.
    let only_changed = has_users && left.is_none() && !ctx.refresh_is_due(next.refreshed);
    let begun = resumed.map_or(ctx.desired.options.now, |left| left.begun);
    let n_current = next.n_users;
    let in_force = Generation {
        generation: next.generation,
        since: next.since,
    };
    let new = next_generation(in_force, left.as_ref(), &digest, only_changed);
    let mut plan = WritePlan {
        keys,
        current: in_force,
        new,
        reads: has_users || left.is_some(),
    };
    mark(ctx, keys, lock, plan.new, begun, &digest)?;
    let mut counts = pass_over(ctx, Some(lock), &plan)?;
    // In a full table, users who are gone are void already. Otherwise they must be found.
    let n_gone = n_current.saturating_sub(counts.n_known);
    if !plan.new.is_full() && n_gone > 0 {
        if ctx.pool.is_cluster() {
            // In a cluster, no single command scans the keys of all servers. A full table needs no
            // scan.
            plan.new = Generation::full(plan.new.generation + 1);
            plan.reads = true;
            mark(ctx, keys, lock, plan.new, begun, &digest)?;
            counts = pass_over(ctx, Some(lock), &plan)?;
        } else {
            write_tombstones(ctx, lock, &plan)?;
        }
    }
    let new = plan.new;
    next.generation = new.generation;
    next.since = new.since;
    next.n_users = counts.n_users;
    next.layers_digest = digest;
    if new.is_full() {
        // Keys that a killed run wrote expire first, so the time to live counts from its start.
        next.refreshed = Some(Refreshed {
            at: begun,
            ttl: ctx.ttl,
        });
    }
    Ok(counts.users(n_gone))
}

/// Records the table that is being written, so that the next run can resume it.
fn mark(
    ctx: &RedisContext<'_>,
    keys: &PlanKeys,
    lock: &Lock<'_>,
    new: Generation,
    begun: Micros,
    digest: &str,
) -> Result<()> {
    let text = Writing {
        generation: new.generation,
        since: new.since,
        begun,
        layers_digest: digest.to_owned(),
    }
    .to_text();
    let ttl = (ctx.ttl / SECOND).max(1).to_string();
    lock.guarded(
        "redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])",
        &[&keys.writing()],
        &[text.as_bytes(), ttl.as_bytes()],
    )
}

fn pass_over(ctx: &RedisContext<'_>, lock: Option<&Lock<'_>>, plan: &WritePlan<'_>) -> Result<UserWrites> {
    let ttl = (ctx.ttl / SECOND).max(1).to_string();
    pass(ctx, lock, &|link, rows, range, batch| {
        chunk(ctx, plan, &ttl, link, rows, range, batch)
    })
}

fn chunk(
    ctx: &RedisContext<'_>,
    plan: &WritePlan<'_>,
    ttl: &str,
    link: &mut Link,
    rows: &LayerRows,
    range: std::ops::Range<usize>,
    batch: &mut Batch,
) -> Result<UserWrites> {
    let mut keys = Texts::default();
    let mut prefix: Option<(&str, String)> = None;
    for row in range.clone() {
        let tenant = rows.tenant(row);
        if prefix.as_ref().is_none_or(|(of, _)| *of != tenant) {
            prefix = Some((tenant, plan.keys.tenant_prefix(tenant)));
        }
        let prefix = prefix.as_ref().map_or("", |(_, prefix)| prefix);
        keys.push(&[prefix, rows.ids.value(row)]);
    }
    let found = if plan.reads {
        values(link, ctx.pool, &keys)?
    } else {
        Vec::new()
    };
    let mut counts = UserWrites {
        n_users: range.len() as u64,
        ..UserWrites::default()
    };
    let mut value = Vec::new();
    for (idx, row) in range.enumerate() {
        let assignment = Assignment {
            layer: rows.layers.value(row),
            is_eligible: rows.eligible.value(row),
        };
        let before = found
            .get(idx)
            .and_then(Option::as_deref)
            .and_then(|bytes| str::from_utf8(bytes).ok())
            .unwrap_or_default();
        let in_force = if plan.current.generation > 0 {
            plan.current.assignment(before)
        } else {
            None
        };
        counts.n_known += u64::from(in_force.is_some());
        if plan.new.assignment(before) == Some(assignment) {
            continue;
        }
        counts.n_written += 1;
        write_value(
            &mut value,
            plan.new.generation,
            assignment,
            in_force.map(|assignment| (plan.current.generation, assignment)),
        );
        batch.push(&[b"SETEX", keys.get(idx), ttl.as_bytes(), &value]);
    }
    Ok(counts)
}

/// Writes a tombstone for every user who is no longer in the table.
fn write_tombstones(ctx: &RedisContext<'_>, lock: &Lock<'_>, plan: &WritePlan<'_>) -> Result<()> {
    let Some(path) = ctx.desired.layers else {
        return Ok(());
    };
    let ttl = (ctx.ttl / SECOND).max(1).to_string();
    let present = digests(ctx, path, &|key, rows, row| {
        key.extend_from_slice(plan.keys.tenant_prefix(rows.tenant(row)).as_bytes());
        key.extend_from_slice(rows.ids.value(row).as_bytes());
    })?;
    others(
        ctx,
        &format!("{}*", plan.keys.user_prefix()),
        &present,
        |link, keys| {
            let mut batch = Batch::new(ctx.pool);
            let mut value = Vec::new();
            for (idx, found) in values(link, ctx.pool, keys)?.into_iter().enumerate() {
                let before = found
                    .as_deref()
                    .and_then(|bytes| str::from_utf8(bytes).ok())
                    .unwrap_or_default();
                if plan.new.assignment(before).is_some() {
                    let in_force = plan.current.assignment(before);
                    write_value(
                        &mut value,
                        plan.new.generation,
                        Assignment::GONE,
                        in_force.map(|assignment| (plan.current.generation, assignment)),
                    );
                    batch.push(&[b"SETEX", keys.get(idx), ttl.as_bytes(), &value]);
                }
            }
            link.send(&mut batch)?;
            lock.renew(link)
        },
    )
}

/// Writes the new version. Then, in one step of the server, the pointer switches and the old
/// version gets an expiry time.
fn switch(
    ctx: &RedisContext<'_>,
    keys: &PlanKeys,
    lock: &Lock<'_>,
    current: Option<&Current>,
    next: &NextUsers,
    has_written: bool,
) -> Result<()> {
    let publication = ctx.publication();
    let name = format!("{}.{}", publication.version, next.generation);
    let mut fields: Vec<(String, String)> = [
        ("schema", SCHEMA.to_owned()),
        ("plan_id", publication.plan_id.clone()),
        ("baseline", publication.baseline.clone()),
        ("candidate", publication.candidate.clone()),
        ("as_of", publication.as_of.to_string()),
        ("status", publication.status.name().to_owned()),
        ("profile", publication.profile.clone()),
        ("salt", publication.salt.clone()),
        ("flag", publication.flag.clone().unwrap_or_default()),
        ("generation", next.generation.to_string()),
        ("since", next.since.to_string()),
        ("n_users", next.n_users.to_string()),
        ("layers_digest", next.layers_digest.clone()),
        ("refreshed_at", next.refreshed.unwrap_or_default().at.to_string()),
        ("ttl", next.refreshed.unwrap_or_default().ttl.to_string()),
        ("publication", ctx.document()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    fields.extend(publication.ratios.iter().map(|row| {
        (
            PlanKeys::ratio_field(&row.tenant, &row.layer),
            row.ratio.bps().to_string(),
        )
    }));
    let args: Vec<&[u8]> = fields
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
        .collect();
    let new_key = keys.version(&name);
    lock.guarded(
        "redis.call('DEL', KEYS[2])\nfor i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end",
        &[&new_key],
        &args,
    )?;

    let old_key = current.map_or_else(|| new_key.clone(), |current| keys.version(&current.name));
    // If this run wrote no users, the record of a killed run stays. Its entries are not valid, and
    // the next run must see it.
    let body = "redis.call('SET', KEYS[2], ARGV[2])\nif ARGV[4] == '1' then redis.call('DEL', KEYS[5]) end\n\
                if KEYS[3] ~= KEYS[4] then redis.call('EXPIRE', KEYS[4], ARGV[3]) end";
    let has_written = if has_written { b"1" } else { b"0" };
    let grace = GRACE.to_string();
    lock.guarded(
        body,
        &[&keys.current(), &new_key, &old_key, &keys.writing()],
        &[name.as_bytes(), grace.as_bytes(), has_written],
    )
}

#[cfg(test)]
mod tests;
