//! Publishing under versioned keys. The data is written under a new version, then the pointer
//! switches and the old version expires.

use crate::base::error::Result;
use crate::base::json;
use crate::base::time::SECOND;
use crate::publish::publication::Publication;
use crate::publish::redis::context::RedisContext;
use crate::publish::redis::generations::{NextUsers, check, pass_over, write_plan, write_users};
use crate::publish::redis::keys::PlanKeys;
use crate::publish::redis::link::Pool;
use crate::publish::redis::lock::Lock;
use crate::publish::redis::version::{Current, SCHEMA};
use crate::publish::target::{Inspection, PlannedChange, Retirement, TargetUsers, refuse_change};

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
        ctx.changes(digest.as_deref())?;
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

/// The fields of a version's hash.
fn fields(publication: &Publication, next: &NextUsers) -> Vec<(String, String)> {
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
        ("publication", json::to_json(publication)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    fields.extend(publication.ratios.iter().map(|row| {
        (
            PlanKeys::ratio_field(&row.tenant, &row.layer),
            row.ratio.bps().to_string(),
        )
    }));
    fields
}

/// Writes the hash of a version that no pointer names yet.
fn write_version(lock: &Lock<'_>, key: &str, fields: &[(String, String)]) -> Result<()> {
    let args: Vec<&[u8]> = fields
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
        .collect();
    lock.guarded(
        "redis.call('DEL', KEYS[2])\nfor i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end",
        &[key],
        &args,
    )
}

/// The plan that is retired in the same switch: its pointer, the versions before and after, and its
/// lock.
struct Retiring<'a> {
    lock: Lock<'a>,
    pointer: String,
    names: [String; 2],
    versions: [String; 2],
}

impl<'a> Retiring<'a> {
    /// Locks the plan, and writes its retired version. Its readers do not see it yet.
    fn prepare(ctx: &RedisContext<'a>, retirement: &Retirement) -> Result<Self> {
        let keys = PlanKeys::new(&retirement.held.plan_id);
        let lock = Lock::take(ctx.pool, keys.lock(), false)?;
        let current = Current::read(ctx.pool, &keys)?;
        let found = current.as_ref().map(|current| &current.publication);
        retirement.refuse_change(found, ctx.pool.address())?;
        let users = NextUsers::from_current(current.as_ref());
        let name = format!("{}.{}", retirement.retired.version, users.generation);
        let version = keys.version(&name);
        write_version(&lock, &version, &fields(&retirement.retired, &users))?;
        let before = current.map(|current| current.name).unwrap_or_default();
        Ok(Self {
            lock,
            pointer: keys.current(),
            versions: [keys.version(&before), version],
            names: [before, name],
        })
    }

    /// Switches the pointer by itself. A cluster keeps two plans on two servers, which cannot switch
    /// together: the old plan goes first.
    fn switch_alone(&self) -> Result<()> {
        let [before, after] = &self.versions;
        let grace = GRACE.to_string();
        self.lock.guarded(
            "redis.call('SET', KEYS[2], ARGV[2])\nif KEYS[3] ~= KEYS[4] then redis.call('EXPIRE', KEYS[3], ARGV[3]) end",
            &[&self.pointer, before, after],
            &[self.names[1].as_bytes(), grace.as_bytes()],
        )
    }
}

/// Writes the new version. Then, in one step of the server, the pointer switches, the old version
/// gets an expiry time, and the plan that this one replaces is retired.
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
    let new_key = keys.version(&name);
    write_version(lock, &new_key, &fields(publication, next))?;
    let retiring = match ctx.desired.retires {
        Some(retirement) => Some(Retiring::prepare(ctx, retirement)?),
        None => None,
    };
    let old_key = current.map_or_else(|| new_key.clone(), |current| keys.version(&current.name));
    let has_written = if has_written { b"1" } else { b"0" };
    let grace = GRACE.to_string();
    let (pointer, writing) = (keys.current(), keys.writing());
    let mut script_keys = vec![pointer.as_str(), &new_key, &old_key, &writing];
    let mut args: Vec<&[u8]> = vec![name.as_bytes(), grace.as_bytes(), has_written];
    match &retiring {
        Some(retiring) if ctx.pool.is_cluster() => retiring.switch_alone()?,
        Some(retiring) => {
            script_keys.push(&retiring.pointer);
            script_keys.extend(retiring.versions.iter().map(String::as_str));
            args.extend(retiring.names.iter().map(String::as_bytes));
        }
        None => {}
    }
    lock.guarded(SWITCH, &script_keys, &args)
}

/// The script of a switch. If this run wrote no users, the record of a killed run stays: its entries
/// are not valid, and the next run must see it. A plan to retire that was changed in the meantime,
/// such as by a rollback, stops the script before it changes anything.
const SWITCH: &str = "if #KEYS > 5 and redis.call('GET', KEYS[6]) ~= ARGV[5] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
if ARGV[4] == '1' then redis.call('DEL', KEYS[5]) end
if KEYS[3] ~= KEYS[4] then redis.call('EXPIRE', KEYS[4], ARGV[3]) end
if #KEYS > 5 then
  redis.call('SET', KEYS[6], ARGV[6])
  if KEYS[7] ~= KEYS[8] then redis.call('EXPIRE', KEYS[7], ARGV[3]) end
end";
