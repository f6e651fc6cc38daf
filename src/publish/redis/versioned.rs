//! Publishing under versioned keys. The data is written under a new version, then the pointer
//! switches and the old version expires.

use crate::base::error::Result;
use crate::base::time::SECOND;
use crate::publish::publication::Publication;
use crate::publish::redis::context::RedisContext;
use crate::publish::redis::generations::{NextUsers, check, pass_over, write_plan, write_users};
use crate::publish::redis::keys::PlanKeys;
use crate::publish::redis::link::Pool;
use crate::publish::redis::lock::Lock;
use crate::publish::redis::version::{Current, SCHEMA};
use crate::publish::target::{Inspection, PlannedChange, TargetUsers, refuse_change};

/// The time, in seconds, for which the previous version is kept. Readers that read the pointer
/// before the switch still need it.
const GRACE: u64 = 3_600;

/// The publication of a plan in force; `None` without one.
pub(super) fn held(pool: &Pool, plan_id: &str) -> Result<Option<Publication>> {
    let current = Current::read(pool, &PlanKeys::new(plan_id))?;
    Ok(current.map(|current| current.publication))
}

pub(super) fn inspect(ctx: &RedisContext<'_>, count: bool) -> Result<Inspection> {
    let keys = PlanKeys::new(&ctx.publication().plan_id);
    let current = match Current::read(ctx.pool, &keys) {
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
    let due = Due::new(ctx, &keys, current.as_ref())?;
    if due.is_due {
        let digest = current.as_ref().and_then(|current| current.layers_digest.clone());
        changes.push(PlannedChange::new(
            format!("{}*", keys.user_prefix()),
            digest,
            ctx.publication().layers_digest.clone(),
        ));
        if count {
            let next = NextUsers::from_current(current.as_ref());
            let (plan, _) = write_plan(ctx, &keys, current.as_ref(), &next)?;
            let counts = pass_over(ctx, None, &plan)?;
            users = Some(counts.users(next.n_users.saturating_sub(counts.n_known)));
        }
    }
    Ok(Inspection {
        current: current.map(|current| current.publication),
        changes,
        users,
        warnings: due.warning.into_iter().chain(ctx.warnings()).collect(),
    })
}

/// Whether users must be compared and written.
struct Due {
    is_due: bool,
    /// The reason, if the server lost users; `None` otherwise.
    warning: Option<String>,
}

impl Due {
    fn new(ctx: &RedisContext<'_>, keys: &PlanKeys, current: Option<&Current>) -> Result<Self> {
        let digest = current.and_then(|current| current.layers_digest.as_deref());
        let is_due = ctx.users_are_due(digest, current.and_then(|current| current.refreshed));
        let warning = match current {
            Some(current) if !is_due && ctx.desired.layers.is_some() => {
                let checked = check(ctx, keys, current)?;
                ctx.lost_warning(checked.n_users, checked.n_written)
            }
            _ => None,
        };
        Ok(Self {
            is_due: is_due || warning.is_some(),
            warning,
        })
    }
}

pub(super) fn apply(ctx: &RedisContext<'_>, inspected: Option<&Publication>) -> Result<Option<TargetUsers>> {
    let keys = PlanKeys::new(&ctx.publication().plan_id);
    let is_rollback = ctx.desired.options.rollback;
    let lock = Lock::take(ctx.pool, keys.lock(), is_rollback)?;
    let (current, mut next) = match Current::read(ctx.pool, &keys) {
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
    if Due::new(ctx, &keys, current.as_ref())?.is_due {
        users = Some(write_users(ctx, &keys, &lock, current.as_ref(), &mut next)?);
    }
    switch(ctx, &keys, &lock, current.as_ref(), &next, users.is_some())?;
    ctx.record_salt();
    Ok(users)
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
