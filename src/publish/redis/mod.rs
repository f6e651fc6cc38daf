//! Redis: who is in which layer, the ratios, and one key that says which version is in force.
//!
//! Two sets of keys. Ours are versioned (`keys.rs`): users carry their layer under a generation, ratios lie under a version, and a reader begins at the
//! pointer, which switches in one step. Those of the source document (`harness.rs`) have no versions: ratios go down before users are
//! written and up afterwards, each time all at once, so that nobody gets the candidate whom neither version gives it.

mod harness;
mod keys;
mod link;
mod lock;
mod users;
mod versioned;

use std::{collections::BTreeMap, time::Duration};

use crate::base::error::{Error, Result};
use crate::base::output;
use crate::base::progress::Progress;
use crate::base::time::{DAY, Micros};
use crate::publish::address::Address;
use crate::publish::publication::Publication;
use crate::publish::redis::link::{Link, Pool};
use crate::publish::{Inspection, Target, UserCounts, Wanted};

/// What an address may say beside server and database.
const SETTINGS: [&str; 4] = ["profile", "tenant", "cluster", "ttl"];

/// A Redis server or cluster.
pub(super) struct Redis {
    address: Address,
    keys: KeySet,
    pool: Pool,
}

/// Which keys are written.
enum KeySet {
    Versioned,
    Harness { tenant: Option<String> },
}

impl Redis {
    pub(super) fn open(address: Address) -> Result<Self> {
        address.allow(&SETTINGS)?;
        let is_cluster = address.flag("cluster")?;
        let keys = match address.get_or("profile", "sluice") {
            "sluice" if address.get("tenant").is_some() => {
                return Err(Error::usage(format!(
                    "{address}: `tenant` is for profile harness-v1, whose keys have none"
                )));
            }
            "sluice" => KeySet::Versioned,
            "harness-v1" if is_cluster => {
                return Err(Error::usage(format!(
                    "{address}: expected keys that can change together, found profile harness-v1 in a cluster, which spreads them over servers"
                ))
                .hint("leave out `profile` or `cluster`"));
            }
            "harness-v1" => KeySet::Harness {
                tenant: address.get("tenant").map(str::to_owned),
            },
            other => {
                return Err(Error::usage(format!(
                    "{address}: expected profile sluice or harness-v1, found `{other}`"
                )));
            }
        };
        let place = match &keys {
            KeySet::Versioned => address.to_string(),
            KeySet::Harness { tenant: None } => format!("{address}?profile=harness-v1"),
            KeySet::Harness { tenant: Some(tenant) } => {
                format!("{address}?profile=harness-v1&tenant={tenant}")
            }
        };
        let pool = Pool::new(&address, place, is_cluster)?;
        Ok(Self { address, keys, pool })
    }

    fn ttl(&self, wanted: &Wanted<'_>) -> Result<Micros> {
        // The source document keeps a layer for a day.
        let usual = if matches!(self.keys, KeySet::Harness { .. }) {
            DAY
        } else {
            7 * DAY
        };
        Ok(self
            .address
            .duration("ttl")?
            .or(wanted.options.ttl)
            .unwrap_or(usual))
    }
}

impl Target for Redis {
    fn place(&self) -> String {
        self.pool.place().to_owned()
    }

    fn inspect(&mut self, wanted: &Wanted<'_>, count: bool, progress: &Progress) -> Result<Inspection> {
        let ctx = Context {
            pool: &self.pool,
            wanted,
            ttl: self.ttl(wanted)?,
            progress,
        };
        match &self.keys {
            KeySet::Versioned => versioned::inspect(&ctx, count),
            KeySet::Harness { tenant } => harness::inspect(&ctx, tenant.as_deref(), count),
        }
    }

    fn apply(
        &mut self,
        wanted: &Wanted<'_>,
        held: Option<&Publication>,
        progress: &Progress,
    ) -> Result<Option<UserCounts>> {
        // What is held is read anew under the lock, and must be what was looked at.
        let ctx = Context {
            pool: &self.pool,
            wanted,
            ttl: self.ttl(wanted)?,
            progress,
        };
        match &self.keys {
            KeySet::Versioned => versioned::apply(&ctx, held),
            KeySet::Harness { tenant } => harness::apply(&ctx, tenant.as_deref(), held),
        }
    }
}

/// When every user was written last, and for how long.
#[derive(Debug, Clone, Copy, Default)]
struct Refreshed {
    /// Microseconds.
    at: Micros,
    /// Microseconds.
    ttl: Micros,
}

/// What both sets of keys work with.
struct Context<'a> {
    pool: &'a Pool,
    wanted: &'a Wanted<'a>,
    /// How long a user's keys live, microseconds.
    ttl: Micros,
    progress: &'a Progress,
}

impl Context<'_> {
    fn publication(&self) -> &Publication {
        self.wanted.publication
    }

    /// Whether users have to be looked at: the target holds another table of them, or has not been refreshed for half of their time to live.
    fn users_are_due(&self, held_digest: Option<&str>, refreshed: Option<Refreshed>) -> bool {
        self.wanted.layers.is_some()
            && (held_digest != self.publication().layers_digest.as_deref() || self.refresh_is_due(refreshed))
    }

    /// Whether every user is written, changed or not.
    fn refresh_is_due(&self, refreshed: Option<Refreshed>) -> bool {
        let is_old = |refreshed: Refreshed| {
            self.wanted.options.now.saturating_sub(refreshed.at) >= self.ttl.min(refreshed.ttl) / 2
        };
        self.wanted.options.all_users || refreshed.is_none_or(is_old)
    }

    /// Other plans on this server that deal users with the same salt.
    fn warnings(&self) -> Vec<String> {
        // A warning is not worth a failure.
        let salts: BTreeMap<String, String> =
            ask(self.pool, |link| link.ask(redis::cmd("HGETALL").arg(keys::SALTS))).unwrap_or_default();
        let publication = self.publication();
        let same = salts
            .iter()
            .filter(|(plan, salt)| **salt == salt_of(publication) && **plan != publication.plan_id);
        same.map(|(plan, _)| crate::publish::same_salt(plan)).collect()
    }

    /// Remembers this plan's salt for other plans to look at.
    fn note_salt(&self) {
        let publication = self.publication();
        let mut command = redis::cmd("HSET");
        command
            .arg(keys::SALTS)
            .arg(&publication.plan_id)
            .arg(salt_of(publication));
        let _ = ask(self.pool, |link| link.ask::<i64>(&command));
    }

    fn document(&self) -> String {
        output::to_json(self.publication())
    }
}

/// What deals users: the assignment and its salt.
fn salt_of(publication: &Publication) -> String {
    format!("{} {}", publication.profile, publication.salt)
}

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection for one question.
fn ask<T>(pool: &Pool, question: impl FnOnce(&mut Link) -> Result<T>) -> Result<T> {
    let mut link = pool.take()?;
    let answer = question(&mut link)?;
    pool.give(link);
    Ok(answer)
}
