//! Users under versioned keys: the generations of their entries, and the writing of a new one.

use std::str;

use crate::base::error::Result;
use crate::base::time::{Micros, SECOND};
use crate::layer::{LayerFileReader, LayerRows};
use crate::publish::changes::LayerChanges;
use crate::publish::redis::context::{RedisContext, Refreshed, ask};
use crate::publish::redis::keys::{Assignment, PlanKeys, write_value};
use crate::publish::redis::link::{Batch, Link};
use crate::publish::redis::lock::Lock;
use crate::publish::redis::share::Share;
use crate::publish::redis::users::{Texts, UserWrites, digests, others, pass, values};
use crate::publish::redis::version::{Current, Generation};
use crate::publish::target::{Desired, TargetUsers};

/// The record of a layer table that is being written. If the run is killed, the next run resumes
/// the table or makes it void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writing {
    pub(super) generation: u64,
    pub(super) since: u64,
    /// The start of writing, microseconds UTC.
    pub(super) begun: Micros,
    pub(super) layers_digest: String,
}

impl Writing {
    fn read(ctx: &RedisContext<'_>, keys: &PlanKeys) -> Result<Option<Self>> {
        let text: Option<String> = ask(ctx.pool, |link| link.ask(redis::cmd("GET").arg(keys.writing())))?;
        Ok(text.as_deref().and_then(Self::parse))
    }

    /// Parses the text that [`Self::to_text`] writes; `None` for other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let mut number = || parts.next()?.parse().ok();
        let Generation { generation, since } = Generation::new(number()?, number()?)?;
        Some(Self {
            generation,
            since,
            begun: parts.next()?.parse().ok()?,
            layers_digest: parts.next()?.to_owned(),
        })
    }

    /// The generation, the oldest valid generation, the start in microseconds and the digest,
    /// separated by spaces.
    pub(super) fn to_text(&self) -> String {
        let Self {
            generation,
            since,
            begun,
            layers_digest,
        } = self;
        format!("{generation} {since} {begun} {layers_digest}")
    }
}

/// The entries that a pass over the users compares and writes.
pub(super) struct WritePlan<'a> {
    pub(super) keys: &'a PlanKeys,
    /// The entries in force; generation 0 if there are none.
    pub(super) current: Generation,
    /// The entries to write.
    pub(super) new: Generation,
    /// Whether the server may hold entries of these users. If not, nothing is read.
    pub(super) reads: bool,
}

/// The fields of the new version that describe users.
#[derive(Debug, Clone, Default)]
pub(super) struct NextUsers {
    pub(super) generation: u64,
    pub(super) since: u64,
    pub(super) n_users: u64,
    pub(super) layers_digest: String,
    pub(super) refreshed: Option<Refreshed>,
}

impl NextUsers {
    pub(super) fn from_current(current: Option<&Current>) -> Self {
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
/// above the one in force, and rest on the entries in force or on none; otherwise `None`.
fn resumed<'a>(left: Option<&'a Writing>, in_force: Generation, digest: &str) -> Option<&'a Writing> {
    left.filter(|left| left.layers_digest == digest && left.generation > in_force.generation)
        // Entries since an older generation hold only beside those in force. Without them, users
        // who left the table since would come back.
        .filter(|left| left.since == left.generation || left.since == in_force.since)
}

/// The generation to write users under. It is the generation of a resumed table, or one above all
/// generations that may be on the server. If only changed users are written, the entries in force
/// stay valid.
pub(super) fn next_generation(
    in_force: Generation,
    left: Option<&Writing>,
    digest: &str,
    only_changed: bool,
) -> Generation {
    if let Some(left) = resumed(left, in_force, digest) {
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

/// The entries to compare and write, and the start of writing, microseconds UTC. It is that of a
/// killed run if this run resumes its table.
pub(super) fn write_plan<'a>(
    ctx: &RedisContext<'_>,
    keys: &'a PlanKeys,
    current: Option<&Current>,
    next: &NextUsers,
) -> Result<(WritePlan<'a>, Micros)> {
    let digest = ctx.publication().layers_digest.clone().unwrap_or_default();
    let left = Writing::read(ctx, keys)?;
    let in_force = Generation {
        generation: next.generation,
        since: next.since,
    };
    let resumed = resumed(left.as_ref(), in_force, &digest);
    let begun = resumed.map_or(ctx.desired.options.now, |left| left.begun);
    let has_users = current.is_some_and(|current| current.layers_digest.is_some());
    // A full table makes the entries of a killed run void, even if they belong to another table.
    let only_changed = has_users && left.is_none() && !ctx.refresh_is_due(next.refreshed);
    let plan = WritePlan {
        keys,
        current: in_force,
        new: next_generation(in_force, left.as_ref(), &digest, only_changed),
        reads: has_users || left.is_some(),
    };
    Ok((plan, begun))
}

/// Writes users under a new generation. Readers ignore it until the pointer switches.
///
/// Usually only changed users are written. A full table is written when a refresh is due, after a
/// killed run, and in a cluster when users are gone. A full table makes all older entries void.
pub(super) fn write_users(
    ctx: &RedisContext<'_>,
    keys: &PlanKeys,
    lock: &Lock<'_>,
    current: Option<&Current>,
    next: &mut NextUsers,
) -> Result<TargetUsers> {
    let digest = ctx.publication().layers_digest.clone().unwrap_or_default();
    let (mut plan, begun) = write_plan(ctx, keys, current, next)?;
    let n_current = next.n_users;
    let held = current.and_then(|current| current.layers_digest.as_deref());
    let changes = ctx.changes(held)?.filter(|_| !plan.new.is_full());
    mark(ctx, keys, lock, plan.new, begun, &digest)?;
    if let Some(changes) = changes {
        let users = write_changes(ctx, lock, &plan, changes)?;
        next.generation = plan.new.generation;
        next.n_users = users.n_users;
        next.layers_digest = digest;
        return Ok(users);
    }
    let mut counts = pass_over(ctx, Some(lock), &plan)?;
    // In a full table, users who are gone are void already. Otherwise they must be found.
    let mut n_gone = n_current.saturating_sub(counts.n_known);
    if !plan.new.is_full() && n_gone > 0 {
        if ctx.pool.is_cluster() {
            // In a cluster, no single command scans the keys of all servers. A full table needs no
            // scan.
            plan.new = Generation::full(plan.new.generation + 1);
            plan.reads = true;
            mark(ctx, keys, lock, plan.new, begun, &digest)?;
            counts = pass_over(ctx, Some(lock), &plan)?;
        } else {
            // Users whose keys the server lost count as unknown too, but are not gone.
            n_gone = write_tombstones(ctx, lock, &plan)?;
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

/// Writes the users who changed since the table in force, and a tombstone for those who are gone.
/// Entries of other users stay valid. Users whose departure is not known expire.
fn write_changes(
    ctx: &RedisContext<'_>,
    lock: &Lock<'_>,
    plan: &WritePlan<'_>,
    changes: &LayerChanges,
) -> Result<TargetUsers> {
    let whole = ctx.desired.layers.map(LayerFileReader::open).transpose()?;
    let n_users = whole.map_or(0, |whole| whole.n_rows());
    let desired = Desired {
        layers: Some(&changes.changed),
        ..*ctx.desired
    };
    let n_written = pass_over(&ctx.with(&desired), Some(lock), plan)?.n_written;
    let mut n_gone = 0;
    if let Some(gone) = &changes.gone {
        let desired = Desired {
            layers: Some(gone),
            ..*ctx.desired
        };
        let ttl = (ctx.ttl / SECOND).max(1).to_string();
        let ctx = ctx.with(&desired);
        let counts = pass(&ctx, Some(lock), &Share::All, &|link, rows, range, batch| {
            let mut keys = Texts::default();
            for row in range.clone() {
                keys.push(&[&plan.keys.tenant_prefix(rows.tenant(row)), rows.ids.value(row)]);
            }
            let n_written = entomb(&ctx, plan, &ttl, link, &keys, batch)?;
            Ok(UserWrites {
                n_users: range.len() as u64,
                n_written,
                ..UserWrites::default()
            })
        })?;
        n_gone = counts.n_written;
    }
    Ok(TargetUsers {
        n_users,
        n_written,
        n_gone,
    })
}

/// Adds a tombstone to the batch for each key whose entry is valid, and returns their number.
fn entomb(
    ctx: &RedisContext<'_>,
    plan: &WritePlan<'_>,
    ttl: &str,
    link: &mut Link,
    keys: &Texts,
    batch: &mut Batch,
) -> Result<u64> {
    let mut n_gone = 0;
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
            n_gone += 1;
        }
    }
    Ok(n_gone)
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

/// Compares all users with the entries to write, and writes those that differ. Without a lock it
/// only counts.
pub(super) fn pass_over(
    ctx: &RedisContext<'_>,
    lock: Option<&Lock<'_>>,
    plan: &WritePlan<'_>,
) -> Result<UserWrites> {
    let ttl = (ctx.ttl / SECOND).max(1).to_string();
    pass(ctx, lock, &Share::All, &|link, rows, range, batch| {
        chunk(ctx, plan, &ttl, link, rows, range, batch)
    })
}

/// Compares a share of the users with the entries in force, and counts those that the server lost or
/// that were changed.
pub(super) fn check(ctx: &RedisContext<'_>, keys: &PlanKeys, current: &Current) -> Result<UserWrites> {
    let in_force = Generation {
        generation: current.generation,
        since: current.since,
    };
    let plan = WritePlan {
        keys,
        current: in_force,
        new: in_force,
        reads: true,
    };
    pass(ctx, None, &ctx.checked_share(), &|link, rows, range, batch| {
        chunk(ctx, &plan, "", link, rows, range, batch)
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

/// Writes a tombstone for every user who is no longer in the table, and returns their number.
fn write_tombstones(ctx: &RedisContext<'_>, lock: &Lock<'_>, plan: &WritePlan<'_>) -> Result<u64> {
    let Some(path) = ctx.desired.layers else {
        return Ok(0);
    };
    let ttl = (ctx.ttl / SECOND).max(1).to_string();
    let present = digests(ctx, path, &|key, rows, row| {
        key.extend_from_slice(plan.keys.tenant_prefix(rows.tenant(row)).as_bytes());
        key.extend_from_slice(rows.ids.value(row).as_bytes());
    })?;
    let mut n_gone = 0;
    others(
        ctx,
        Some(lock),
        &plan.keys.user_prefix(),
        &present,
        |link, keys| {
            let mut batch = Batch::new(ctx.pool);
            n_gone += entomb(ctx, plan, &ttl, link, keys, &mut batch)?;
            // A publisher that was suspended must find out that its lock is lost before it writes.
            lock.renew(link)?;
            link.send(&mut batch).map(|_| ())
        },
    )?;
    Ok(n_gone)
}

#[cfg(test)]
mod tests;
