//! The context of a publication to Redis: content, time to live, connections, and checks for both
//! key sets.

use std::collections::BTreeMap;
use twox_hash::XxHash3_64;

use crate::base::error::Result;
use crate::base::json;
use crate::base::number::count;
use crate::base::progress::Progress;
use crate::base::time::{DAY, Micros, SECOND};
use crate::publish::changes::LayerChanges;
use crate::publish::publication::Publication;
use crate::publish::redis::keys;
use crate::publish::redis::link::{Link, Pool};
use crate::publish::redis::share::Share;
use crate::publish::target::Desired;

/// The difference of two clocks that counts as none, microseconds.
const CLOCK_SLACK: Micros = 300 * SECOND;

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

impl<'a> RedisContext<'a> {
    /// The same context for other content.
    pub(super) fn with(&self, desired: &'a Desired<'a>) -> RedisContext<'a> {
        RedisContext { desired, ..*self }
    }
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
    ///
    /// A write that lies in the future was dated by a wrong clock, so it proves nothing.
    pub(super) fn refresh_is_due(&self, refreshed: Option<Refreshed>) -> bool {
        let is_old = |refreshed: Refreshed| {
            let age = self.desired.options.now.saturating_sub(refreshed.at);
            age >= self.ttl.min(refreshed.ttl) / 2 || age < -CLOCK_SLACK
        };
        self.desired.options.all_users || refreshed.is_none_or(is_old)
    }

    /// The share of the users whose entries are checked although nothing is due: a sample that
    /// changes from day to day, or all.
    pub(super) fn checked_share(&self) -> Share {
        if self.desired.options.verify {
            return Share::All;
        }
        let day = self.desired.options.now.div_euclid(DAY);
        Share::Sample {
            seed: XxHash3_64::oneshot_with_seed(day as u64, self.publication().version.as_bytes()),
        }
    }

    /// The warning about users whose entries the server lost; `None` if it lost none.
    pub(super) fn lost_warning(&self, n_checked: u64, n_lost: u64) -> Option<String> {
        (n_lost > 0).then(|| {
            format!(
                "{} of {} users that were checked are missing or changed on the server: all users are compared and mended",
                count(n_lost),
                count(n_checked)
            )
        })
    }

    /// Warnings about a server that forgets keys, and about other plans on it that assign users with
    /// the same salt.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = if self.publication().is_layers() {
            Vec::new()
        } else {
            self.salt_warnings()
        };
        warnings.extend(self.eviction_warning());
        warnings
    }

    /// The warning about a server that may remove keys when its memory is full.
    fn eviction_warning(&self) -> Option<String> {
        // In a cluster every server has its own policy, and some servers do not allow the question.
        if self.pool.is_cluster() {
            return None;
        }
        let about: String =
            ask(self.pool, |link| link.ask(redis::cmd("INFO").arg("memory"))).unwrap_or_default();
        eviction_policy(&about).map(|policy| {
            format!("the server removes keys when its memory is full (maxmemory-policy {policy}): users without a key get the baseline")
        })
    }

    fn salt_warnings(&self) -> Vec<String> {
        // A failure to read salts must not stop the publication.
        let salts: BTreeMap<String, String> =
            ask(self.pool, |link| link.ask(redis::cmd("HGETALL").arg(keys::SALTS))).unwrap_or_default();
        let publication = self.publication();
        let same = salts
            .iter()
            .filter(|(plan, salt)| **salt == salt_of(publication) && **plan != publication.plan_id);
        same.map(|(plan, _)| crate::publish::target::same_salt(plan))
            .collect()
    }

    /// The users who changed since the table that the server holds; `None` if all are compared.
    ///
    /// # Errors
    /// The changes start from another table, and must apply.
    pub(super) fn changes(&self, held_digest: Option<&str>) -> Result<Option<&LayerChanges>> {
        let Some(changes) = self.desired.changes else {
            return Ok(None);
        };
        let desired = self.publication().layers_digest.as_deref();
        let apply = changes.apply_to(held_digest, desired, self.pool.address())?;
        Ok(apply.then_some(changes))
    }

    /// Records this plan's salt, so that other plans can warn about it.
    pub(super) fn record_salt(&self) {
        let publication = self.publication();
        if publication.is_layers() {
            return;
        }
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

/// The policy by which a server removes keys, from its answer to `INFO memory`; `None` if it removes
/// none.
pub(super) fn eviction_policy(about: &str) -> Option<&str> {
    let field = |name: &str| {
        about
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let policy = field("maxmemory_policy").filter(|policy| *policy != "noeviction")?;
    field("maxmemory").filter(|limit| *limit != "0").map(|_| policy)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_removes_keys_is_known_by_its_policy_and_limit() {
        let check = |about: &str, expected: Option<&str>| {
            assert_eq!(eviction_policy(about), expected, "{about}");
        };
        check(
            "maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n",
            Some("allkeys-lru"),
        );
        check(
            "maxmemory_policy:allkeys-lru\nmaxmemory:1000",
            Some("allkeys-lru"),
        );
        check("maxmemory:0\nmaxmemory_policy:allkeys-lru", None);
        check("maxmemory:1000\nmaxmemory_policy:noeviction", None);
        check("maxmemory_human:1M\nmaxmemory_policy:allkeys-lru", None);
        check("", None);
    }
}
