//! Publishing under the keys of the reference policy (`docs/REFERENCE_POLICY.md`):
//! `user:layer:{id}`, `user:allow_gray:{id}` and `release:plan:{release}:layer:{layer}:ratio`.
//!
//! These keys have no versions, so the order of writes protects readers. First, ratios that fall
//! are written in one step. Then users are written. Last, ratios that rise are written in one step,
//! with the record of the publication in force. A reader in between never serves the candidate to a
//! user who gets it in neither version.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str;

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::time::SECOND;
use crate::bucket::Ratio;
use crate::layer::LayerRows;
use crate::publish::publication::Publication;
use crate::publish::redis::context::{RedisContext, Refreshed, ask};
use crate::publish::redis::keys::PlanKeys;
use crate::publish::redis::link::{Batch, Link, Pool};
use crate::publish::redis::lock::Lock;
use crate::publish::redis::share::Share;
use crate::publish::redis::users::{Texts, UserWrites, others, pass, values};
use crate::publish::redis::version::number;
use crate::publish::target::{Inspection, PlannedChange, Retirement, TargetUsers, refuse_change};

/// The publication in force, as the last run recorded it.
pub(super) struct Current {
    pub(super) publication: Publication,
    layers_digest: Option<String>,
    n_users: u64,
    /// The last full write of users; `None` if there was none.
    refreshed: Option<Refreshed>,
    tenant: String,
}

impl Current {
    fn read(pool: &Pool, key: &str) -> Result<Option<Self>> {
        let fields: BTreeMap<String, String> = ask(pool, |link| link.ask(redis::cmd("HGETALL").arg(key)))?;
        Self::from_fields(key, &fields, pool.address())
    }

    /// Reads the fields of the hash `key`; `None` without a publication.
    pub(super) fn from_fields(
        key: &str,
        fields: &BTreeMap<String, String>,
        address: &str,
    ) -> Result<Option<Self>> {
        let Some(publication) = fields.get("publication") else {
            return Ok(None);
        };
        let wrong = |found: &str| {
            Error::target(
                address,
                format!("expected a record of Sluice under {key}, found {found}"),
            )
            .hint("delete this key to publish everything again")
        };
        Ok(Some(Self {
            publication: Publication::from_json(publication, address)?,
            layers_digest: fields
                .get("layers_digest")
                .filter(|text| !text.is_empty())
                .cloned(),
            n_users: number(fields, "n_users", &wrong)?,
            refreshed: Some(Refreshed {
                at: number(fields, "refreshed_at", &wrong)?,
                ttl: number(fields, "ttl", &wrong)?,
            })
            .filter(|refreshed| refreshed.ttl > 0),
            tenant: fields.get("tenant").cloned().unwrap_or_default(),
        }))
    }
}

fn ratio_prefix(release: &str) -> String {
    format!("release:plan:{release}:layer:")
}

fn ratio_key(release: &str, layer: &str) -> String {
    format!("{}{layer}:ratio", ratio_prefix(release))
}

/// The tenant of the keys. The keys hold no tenant, so a server can hold only one.
fn tenant_of<'a>(publication: &'a Publication, tenant: Option<&'a str>, address: &str) -> Result<&'a str> {
    let tenants = publication.tenants();
    match (tenant, tenants.as_slice()) {
        (Some(tenant), _) if tenants.contains(&tenant) => Ok(tenant),
        (None, [tenant]) => Ok(tenant),
        (asked, _) => {
            let found = asked.map_or_else(
                || format!("{} tenants", tenants.len()),
                |asked| format!("no tenant `{asked}`"),
            );
            Err(Error::target(
                address,
                format!("expected one tenant, as keys of harness-v1 have none, found {found}"),
            )
            .hint(format!("say which with ?tenant=, one of {}", tenants.join(", "))))
        }
    }
}

/// The ratio that every key must hold. Keys of the previous publication that are not in this one
/// get 0.
fn ratios(publication: &Publication, tenant: &str, current: Option<&Current>) -> BTreeMap<String, Ratio> {
    let of_tenant = |publication: &Publication| -> Vec<(String, Ratio)> {
        let rows = publication.ratios.iter().filter(|row| row.tenant == tenant);
        rows.map(|row| (ratio_key(&publication.candidate, &row.layer), row.ratio))
            .collect()
    };
    let mut ratios: BTreeMap<String, Ratio> = current
        .into_iter()
        .flat_map(|current| of_tenant(&current.publication))
        .map(|(key, _)| (key, Ratio::ZERO))
        .collect();
    ratios.extend(of_tenant(publication));
    ratios
}

/// The ratios that the keys hold now; `None` for a missing key or a value that is not a number.
fn current_ratios(
    ctx: &RedisContext<'_>,
    keys: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, Option<f64>>> {
    let keys: Vec<String> = keys.collect();
    let mut texts = Texts::default();
    keys.iter().for_each(|key| texts.push(&[key]));
    let found = ask(ctx.pool, |link| values(link, ctx.pool, &texts))?;
    let number =
        |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| str::from_utf8(&bytes).ok()?.parse::<f64>().ok());
    Ok(keys.into_iter().zip(found.into_iter().map(number)).collect())
}

/// The publication of a plan in force; `None` without one.
pub(super) fn held(pool: &Pool, plan_id: &str) -> Result<Option<Publication>> {
    let current = Current::read(pool, &PlanKeys::new(plan_id).harness())?;
    Ok(current.map(|current| current.publication))
}

pub(super) fn inspect(ctx: &RedisContext<'_>, tenant: Option<&str>, count: bool) -> Result<Inspection> {
    let tenant = tenant_of(ctx.publication(), tenant, ctx.pool.address())?;
    let note = PlanKeys::new(&ctx.publication().plan_id).harness();
    let current = read_current(ctx, &note, tenant)?;
    let desired = ratios(ctx.publication(), tenant, current.as_ref());
    let mut changes = Vec::new();
    for (key, before) in current_ratios(ctx, desired.keys().cloned())? {
        let after = desired[&key].share();
        if before.is_none_or(|before| before.to_bits() != after.to_bits()) {
            changes.push(PlannedChange::new(
                key,
                before.map(|before| before.to_string()),
                Some(after.to_string()),
            ));
        }
    }
    let version = &ctx.publication().version;
    if current
        .as_ref()
        .is_none_or(|current| current.publication.version != *version)
    {
        changes.push(PlannedChange::new(
            note,
            current
                .as_ref()
                .map(|current| current.publication.version.clone()),
            Some(version.clone()),
        ));
    }
    let mut users = None;
    let (is_due, warning) = due(ctx, tenant, current.as_ref())?;
    if is_due {
        let digest = current.as_ref().and_then(|current| current.layers_digest.clone());
        changes.push(PlannedChange::new(
            "user:layer:*, user:allow_gray:*",
            digest,
            ctx.publication().layers_digest.clone(),
        ));
        if count {
            let counts = pass_over(ctx, None, tenant, current.as_ref())?;
            users = Some(counts.users(0));
        }
    }
    Ok(Inspection {
        current: current.map(|current| current.publication),
        changes,
        users,
        warnings: warning.into_iter().chain(ctx.warnings()).collect(),
    })
}

/// Whether users must be compared and written, and the reason if the server lost users.
fn due(ctx: &RedisContext<'_>, tenant: &str, current: Option<&Current>) -> Result<(bool, Option<String>)> {
    let is_due = ctx.users_are_due(
        current.and_then(|current| current.layers_digest.as_deref()),
        current.and_then(|current| current.refreshed),
    );
    if is_due || ctx.desired.layers.is_none() {
        return Ok((is_due, None));
    }
    let checked = pass(ctx, None, &ctx.checked_share(), &|link, rows, range, batch| {
        chunk(ctx, tenant, true, link, rows, range, batch)
    })?;
    let warning = ctx.lost_warning(checked.n_users, checked.n_written);
    Ok((warning.is_some(), warning))
}

/// Reads the publication in force. In a rollback, an unreadable one counts as missing. Keys of
/// another tenant are an error.
fn read_current(ctx: &RedisContext<'_>, note: &str, tenant: &str) -> Result<Option<Current>> {
    let current = match Current::read(ctx.pool, note) {
        Err(_) if ctx.desired.options.rollback => return Ok(None),
        other => other?,
    };
    match current {
        Some(current) if current.tenant != tenant => Err(Error::target(
            ctx.pool.address(),
            format!(
                "expected keys of tenant {tenant}, found those of {}: keys of harness-v1 hold one tenant",
                current.tenant
            ),
        )
        .hint("publish every tenant to its own database, or use profile sluice")),
        current => Ok(current),
    }
}

/// Finds all ratio keys of the candidate on the server. A rollback without a record sets them all
/// to 0.
fn unknown_ratios(ctx: &RedisContext<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    others(
        ctx,
        None,
        &ratio_prefix(&ctx.publication().candidate),
        &[],
        |_, keys| {
            found.extend(
                (0..keys.len())
                    .filter_map(|idx| str::from_utf8(keys.get(idx)).ok())
                    .filter(|key| key.ends_with(":ratio"))
                    .map(str::to_owned),
            );
            Ok(())
        },
    )?;
    Ok(found)
}

pub(super) fn apply(
    ctx: &RedisContext<'_>,
    tenant: Option<&str>,
    inspected: Option<&Publication>,
) -> Result<Option<TargetUsers>> {
    let publication = ctx.publication();
    let tenant = tenant_of(publication, tenant, ctx.pool.address())?;
    let keys = PlanKeys::new(&publication.plan_id);
    let note_key = keys.harness();
    let lock = Lock::take(ctx.pool, keys.lock(), ctx.desired.options.rollback)?;
    let current = read_current(ctx, &note_key, tenant)?;
    refuse_change(
        current.as_ref().map(|current| &current.publication),
        inspected,
        ctx.desired,
        ctx.pool.address(),
    )?;
    let mut desired = ratios(publication, tenant, current.as_ref());
    if ctx.desired.options.rollback && current.is_none() {
        desired.extend(unknown_ratios(ctx)?.into_iter().map(|key| (key, Ratio::ZERO)));
    }

    let now = current_ratios(ctx, desired.keys().cloned())?;
    let falling: Vec<(&str, Ratio)> = desired
        .iter()
        .filter(|(key, ratio)| now[*key].is_none_or(|now| now > ratio.share()))
        .map(|(key, ratio)| {
            (
                key.as_str(),
                if now[key].is_some() { *ratio } else { Ratio::ZERO },
            )
        })
        .collect();
    // The digest is cleared until all users are written. If this run is killed, the next run sees
    // that the users are incomplete.
    let (is_due, _) = due(ctx, tenant, current.as_ref())?;
    let begun = [(note_key.as_str(), "layers_digest", "")];
    set_together(&lock, &falling, if is_due { &begun } else { &[] })?;

    let mut users = None;
    let (mut digest, mut n_users, mut refreshed) = current.as_ref().map_or((None, 0, None), |current| {
        (current.layers_digest.clone(), current.n_users, current.refreshed)
    });
    if is_due {
        let counts = pass_over(ctx, Some(&lock), tenant, current.as_ref())?;
        if ctx.refresh_is_due(current.as_ref().and_then(|current| current.refreshed)) {
            refreshed = Some(Refreshed {
                at: ctx.desired.options.now,
                ttl: ctx.ttl,
            });
        }
        digest.clone_from(&publication.layers_digest);
        n_users = counts.n_users;
        // Keys of users who left the table are not removed: they expire.
        users = Some(counts.users(0));
    }

    let retiring = match ctx.desired.retires {
        Some(retirement) => Some(Retiring::prepare(ctx, retirement)?),
        None => None,
    };
    // Ratios of the plan that is retired become 0, except those that this plan sets.
    for key in retiring.iter().flat_map(|retiring| &retiring.ratios) {
        desired.entry(key.clone()).or_insert(Ratio::ZERO);
    }
    let all: Vec<(&str, Ratio)> = desired
        .iter()
        .map(|(key, ratio)| (key.as_str(), *ratio))
        .collect();
    let note = [
        ("publication", ctx.document()),
        ("layers_digest", digest.unwrap_or_default()),
        ("n_users", n_users.to_string()),
        ("refreshed_at", refreshed.unwrap_or_default().at.to_string()),
        ("ttl", refreshed.unwrap_or_default().ttl.to_string()),
        ("tenant", tenant.to_owned()),
    ];
    let mut fields: Vec<(&str, &str, &str)> = note
        .iter()
        .map(|(name, value)| (note_key.as_str(), *name, value.as_str()))
        .collect();
    if let Some(retiring) = &retiring {
        fields.push((&retiring.note, "publication", &retiring.document));
    }
    set_together(&lock, &all, &fields)?;
    ctx.record_salt();
    Ok(users)
}

/// The plan that is retired in the same step: its record, its ratio keys, and its lock.
struct Retiring<'a> {
    _lock: Lock<'a>,
    note: String,
    document: String,
    ratios: Vec<String>,
}

impl<'a> Retiring<'a> {
    fn prepare(ctx: &RedisContext<'a>, retirement: &Retirement) -> Result<Self> {
        let keys = PlanKeys::new(&retirement.held.plan_id);
        let lock = Lock::take(ctx.pool, keys.lock(), false)?;
        let note = keys.harness();
        let current = Current::read(ctx.pool, &note)?;
        let found = current.as_ref().map(|current| &current.publication);
        retirement.refuse_change(found, ctx.pool.address())?;
        let tenant = current.as_ref().map_or("", |current| current.tenant.as_str());
        Ok(Self {
            _lock: lock,
            ratios: ratios(&retirement.held, tenant, None).into_keys().collect(),
            document: json::to_json(&retirement.retired),
            note,
        })
    }
}

/// Sets keys, and fields of hashes, in one step of the server.
fn set_together(lock: &Lock<'_>, ratios: &[(&str, Ratio)], fields: &[(&str, &str, &str)]) -> Result<()> {
    let body = "local n = tonumber(ARGV[2])\nfor i = 1, n do redis.call('SET', KEYS[i + 1], ARGV[i + 2]) end\n\
                for i = n + 2, #KEYS do local at = n + 3 + 2 * (i - n - 2); redis.call('HSET', KEYS[i], ARGV[at], ARGV[at + 1]) end";
    let keys: Vec<&str> = ratios
        .iter()
        .map(|(key, _)| *key)
        .chain(fields.iter().map(|(key, _, _)| *key))
        .collect();
    let mut args = vec![ratios.len().to_string()];
    args.extend(ratios.iter().map(|(_, ratio)| ratio.share().to_string()));
    args.extend(
        fields
            .iter()
            .flat_map(|(_, name, value)| [(*name).to_owned(), (*value).to_owned()]),
    );
    let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
    lock.guarded(body, &keys, &args)
}

fn pass_over(
    ctx: &RedisContext<'_>,
    lock: Option<&Lock<'_>>,
    tenant: &str,
    current: Option<&Current>,
) -> Result<UserWrites> {
    // Existing values are compared only when no full write is due.
    let reads = current.is_some() && !ctx.refresh_is_due(current.and_then(|current| current.refreshed));
    pass(ctx, lock, &Share::All, &|link, rows, range, batch| {
        chunk(ctx, tenant, reads, link, rows, range, batch)
    })
}

/// Compares some users, and adds what differs to the batch. With `reads`, existing values are read
/// first.
fn chunk(
    ctx: &RedisContext<'_>,
    tenant: &str,
    reads: bool,
    link: &mut Link,
    rows: &LayerRows,
    range: Range<usize>,
    batch: &mut Batch,
) -> Result<UserWrites> {
    let ttl = (ctx.ttl / SECOND).max(1).to_string();
    let rows_of_tenant: Vec<usize> = range.filter(|row| rows.tenant(*row) == tenant).collect();
    let mut keys = Texts::default();
    for row in &rows_of_tenant {
        let id = rows.ids.value(*row);
        keys.push(&["user:layer:", id]);
        keys.push(&["user:allow_gray:", id]);
    }
    let found = if reads {
        values(link, ctx.pool, &keys)?
    } else {
        Vec::new()
    };
    let mut counts = UserWrites {
        n_users: rows_of_tenant.len() as u64,
        ..UserWrites::default()
    };
    for (idx, row) in rows_of_tenant.into_iter().enumerate() {
        let (layer, gray) = (
            rows.layers.value(row).as_bytes(),
            if rows.eligible.value(row) { b"1" } else { b"0" }.as_slice(),
        );
        let mut is_written = false;
        // Withdrawn consent is written before the layer, given consent after it.
        let mut both = [(2 * idx, layer), (2 * idx + 1, gray)];
        if gray == b"0" {
            both.reverse();
        }
        for (key, value) in both {
            if found.get(key).and_then(Option::as_deref) != Some(value) {
                batch.push(&[b"SET", keys.get(key), value, b"EX", ttl.as_bytes()]);
                is_written = true;
            }
        }
        counts.n_written += u64::from(is_written);
    }
    Ok(counts)
}
