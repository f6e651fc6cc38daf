//! The context of a publication to Redis: content, time to live, connections, and checks for both
//! key sets.

use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::json;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::publish::publication::Publication;
use crate::publish::redis::keys;
use crate::publish::redis::link::{Link, Pool};
use crate::publish::target::Desired;

/// The time of the last full write of users, and their time to live.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Refreshed {
    /// The time of the last full write, microseconds UTC.
    pub(super) at: Micros,
    /// The time to live that the write gave to users' keys, microseconds.
    pub(super) ttl: Micros,
}

/// The context that both key sets use.
pub(super) struct RedisContext<'a> {
    pub(super) pool: &'a Pool,
    pub(super) desired: &'a Desired<'a>,
    /// The time to live of users' keys, microseconds.
    pub(super) ttl: Micros,
    pub(super) progress: &'a Progress,
}

impl RedisContext<'_> {
    pub(super) fn publication(&self) -> &Publication {
        self.desired.publication
    }

    /// Whether users must be compared: the server holds another layer table, or half of the time to
    /// live has passed since the last full write.
    pub(super) fn users_are_due(&self, held_digest: Option<&str>, refreshed: Option<Refreshed>) -> bool {
        self.desired.layers.is_some()
            && (held_digest != self.publication().layers_digest.as_deref() || self.refresh_is_due(refreshed))
    }

    /// Whether every user must be written, even without a change.
    pub(super) fn refresh_is_due(&self, refreshed: Option<Refreshed>) -> bool {
        let is_old = |refreshed: Refreshed| {
            self.desired.options.now.saturating_sub(refreshed.at) >= self.ttl.min(refreshed.ttl) / 2
        };
        self.desired.options.all_users || refreshed.is_none_or(is_old)
    }

    /// Warnings about other plans on this server that assign users with the same salt.
    pub(super) fn warnings(&self) -> Vec<String> {
        // A failure to read salts must not stop the publication.
        let salts: BTreeMap<String, String> =
            ask(self.pool, |link| link.ask(redis::cmd("HGETALL").arg(keys::SALTS))).unwrap_or_default();
        let publication = self.publication();
        let same = salts
            .iter()
            .filter(|(plan, salt)| **salt == salt_of(publication) && **plan != publication.plan_id);
        same.map(|(plan, _)| crate::publish::driver::same_salt(plan))
            .collect()
    }

    /// Records this plan's salt, so that other plans can warn about it.
    pub(super) fn record_salt(&self) {
        let publication = self.publication();
        let mut command = redis::cmd("HSET");
        command
            .arg(keys::SALTS)
            .arg(&publication.plan_id)
            .arg(salt_of(publication));
        let _ = ask(self.pool, |link| link.ask::<i64>(&command));
    }

    pub(super) fn document(&self) -> String {
        json::to_json(self.publication())
    }
}

/// The assignment profile and its salt, in one text.
pub(super) fn salt_of(publication: &Publication) -> String {
    format!("{} {}", publication.profile, publication.salt)
}

/// Takes a connection from the pool for one request. A connection that failed is dropped.
pub(super) fn ask<T>(pool: &Pool, question: impl FnOnce(&mut Link) -> Result<T>) -> Result<T> {
    let mut link = pool.take()?;
    let answer = question(&mut link)?;
    pool.give(link);
    Ok(answer)
}
