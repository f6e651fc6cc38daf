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

use super::{Address, Inspection, Publication, Target, UserCounts, Wanted};
use crate::{
    error::{Error, Result},
    output,
    progress::Progress,
    time::{DAY, Micros},
};
use link::{Link, Pool};

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
                return Err(Error::usage(format!("{address}: `tenant` is for profile harness-v1, whose keys have none")));
            }
            "sluice" => KeySet::Versioned,
            "harness-v1" if is_cluster => {
                return Err(Error::usage(format!(
                    "{address}: expected keys that can change together, found profile harness-v1 in a cluster, which spreads them over servers"
                ))
                .hint("leave out `profile` or `cluster`"));
            }
            "harness-v1" => KeySet::Harness { tenant: address.get("tenant").map(str::to_owned) },
            other => return Err(Error::usage(format!("{address}: expected profile sluice or harness-v1, found `{other}`"))),
        };
        let pool = Pool::new(&address, is_cluster)?;
        Ok(Self { address, keys, pool })
    }

    fn ttl(&self, wanted: &Wanted<'_>) -> Result<Micros> {
        // The source document keeps a layer for a day.
        let usual = if matches!(self.keys, KeySet::Harness { .. }) { DAY } else { 7 * DAY };
        Ok(self.address.duration("ttl")?.or(wanted.options.ttl).unwrap_or(usual))
    }
}

impl Target for Redis {
    fn place(&self) -> String {
        self.address.to_string()
    }

    fn inspect(&mut self, wanted: &Wanted<'_>, count: bool, progress: &Progress) -> Result<Inspection> {
        let ctx = Context { pool: &self.pool, wanted, ttl: self.ttl(wanted)?, progress };
        match &self.keys {
            KeySet::Versioned => versioned::inspect(&ctx, count),
            KeySet::Harness { tenant } => harness::inspect(&ctx, tenant.as_deref(), count),
        }
    }

    fn apply(&mut self, wanted: &Wanted<'_>, _held: Option<&Publication>, progress: &Progress) -> Result<Option<UserCounts>> {
        // What is held is read anew under the lock.
        let ctx = Context { pool: &self.pool, wanted, ttl: self.ttl(wanted)?, progress };
        match &self.keys {
            KeySet::Versioned => versioned::apply(&ctx),
            KeySet::Harness { tenant } => harness::apply(&ctx, tenant.as_deref()),
        }
    }
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
    fn users_are_due(&self, held_digest: Option<&str>, refreshed_at: Micros) -> bool {
        self.wanted.layers.is_some() && (held_digest != self.publication().layers_digest.as_deref() || self.refresh_is_due(refreshed_at))
    }

    /// Whether every user is written, changed or not.
    fn refresh_is_due(&self, refreshed_at: Micros) -> bool {
        self.wanted.options.all_users || self.wanted.options.now.saturating_sub(refreshed_at) >= self.ttl / 2
    }

    /// Other plans on this server that deal users with the same salt.
    fn warnings(&self) -> Result<Vec<String>> {
        let salts: BTreeMap<String, String> = ask(self.pool, |link| link.ask(redis::cmd("HGETALL").arg(keys::SALTS)))?;
        let publication = self.publication();
        let same = salts.iter().filter(|(plan, salt)| **salt == salt_of(publication) && **plan != publication.plan_id);
        Ok(same.map(|(plan, _)| super::same_salt(plan)).collect())
    }

    /// Remembers this plan's salt for other plans to look at.
    fn note_salt(&self) -> Result<()> {
        let publication = self.publication();
        let mut command = redis::cmd("HSET");
        command.arg(keys::SALTS).arg(&publication.plan_id).arg(salt_of(publication));
        ask(self.pool, |link| link.ask::<i64>(&command)).map(|_| ())
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
