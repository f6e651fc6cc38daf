//! The context of a publication to Redis: its content, time to live and connections, with checks
//! that both key sets use.

use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::json;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::publish::publication::Publication;
use crate::publish::redis::keys;
use crate::publish::redis::link::{Link, Pool};
use crate::publish::target::Desired;

/// When every user was written last, and for how long.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Refreshed {
    /// Microseconds.
    pub(super) at: Micros,
    /// Microseconds.
    pub(super) ttl: Micros,
}

/// What both sets of keys work with.
pub(super) struct RedisContext<'a> {
    pub(super) pool: &'a Pool,
    pub(super) desired: &'a Desired<'a>,
    /// How long a user's keys live, microseconds.
    pub(super) ttl: Micros,
    pub(super) progress: &'a Progress,
}

impl RedisContext<'_> {
    pub(super) fn publication(&self) -> &Publication {
        self.desired.publication
    }

    /// Whether users have to be looked at: the target holds another table of them, or has not been
    /// refreshed for half of their time to live.
    pub(super) fn users_are_due(&self, held_digest: Option<&str>, refreshed: Option<Refreshed>) -> bool {
        self.desired.layers.is_some()
            && (held_digest != self.publication().layers_digest.as_deref() || self.refresh_is_due(refreshed))
    }

    /// Whether every user is written, changed or not.
    pub(super) fn refresh_is_due(&self, refreshed: Option<Refreshed>) -> bool {
        let is_old = |refreshed: Refreshed| {
            self.desired.options.now.saturating_sub(refreshed.at) >= self.ttl.min(refreshed.ttl) / 2
        };
        self.desired.options.all_users || refreshed.is_none_or(is_old)
    }

    /// Other plans on this server that deal users with the same salt.
    pub(super) fn warnings(&self) -> Vec<String> {
        // A warning is not worth a failure.
        let salts: BTreeMap<String, String> =
            ask(self.pool, |link| link.ask(redis::cmd("HGETALL").arg(keys::SALTS))).unwrap_or_default();
        let publication = self.publication();
        let same = salts
            .iter()
            .filter(|(plan, salt)| **salt == salt_of(publication) && **plan != publication.plan_id);
        same.map(|(plan, _)| crate::publish::driver::same_salt(plan))
            .collect()
    }

    /// Remembers this plan's salt for other plans to look at.
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

/// What deals users: the assignment and its salt.
pub(super) fn salt_of(publication: &Publication) -> String {
    format!("{} {}", publication.profile, publication.salt)
}

/// A connection for one question.
pub(super) fn ask<T>(pool: &Pool, question: impl FnOnce(&mut Link) -> Result<T>) -> Result<T> {
    let mut link = pool.take()?;
    let answer = question(&mut link)?;
    pool.give(link);
    Ok(answer)
}
