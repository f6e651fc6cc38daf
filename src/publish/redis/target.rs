//! The target `redis:`: its settings, and the choice between versioned keys and those of profile
//! `harness-v1`.

use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time::{DAY, Micros};
use crate::publish::address::Address;
use crate::publish::publication::Publication;
use crate::publish::redis::context::RedisContext;
use crate::publish::redis::link::Pool;
use crate::publish::redis::{harness, versioned};
use crate::publish::target::{Applied, Desired, Inspection, Target};

/// The settings of a Redis address.
pub(super) const SETTINGS: [&str; 4] = ["profile", "tenant", "cluster", "ttl"];

/// A Redis server or cluster.
pub(crate) struct Redis {
    address: Address,
    keys: KeySet,
    pool: Pool,
}

/// The set of keys to write.
pub(super) enum KeySet {
    Versioned,
    Harness { tenant: Option<String> },
}

impl Redis {
    pub(crate) fn open(address: Address, limit: Duration) -> Result<Self> {
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
        let shown_address = match &keys {
            KeySet::Versioned => address.to_string(),
            KeySet::Harness { tenant: None } => format!("{address}?profile=harness-v1"),
            KeySet::Harness { tenant: Some(tenant) } => {
                format!("{address}?profile=harness-v1&tenant={tenant}")
            }
        };
        let pool = Pool::new(&address, shown_address, is_cluster, limit)?;
        Ok(Self { address, keys, pool })
    }

    fn ttl(&self, desired: &Desired<'_>) -> Result<Micros> {
        // The reference policy (`docs/REFERENCE_POLICY.md`) keeps a layer for one day.
        let usual = if matches!(self.keys, KeySet::Harness { .. }) {
            DAY
        } else {
            7 * DAY
        };
        Ok(self
            .address
            .duration("ttl")?
            .or(desired.options.ttl)
            .unwrap_or(usual))
    }
}

impl Target for Redis {
    fn address(&self) -> String {
        self.pool.address().to_owned()
    }

    fn server(&self) -> String {
        self.address.to_string()
    }

    fn takes_layers(&self) -> bool {
        matches!(self.keys, KeySet::Versioned)
    }

    fn held(&mut self, plan_id: &str) -> Result<Option<Publication>> {
        match &self.keys {
            KeySet::Versioned => versioned::held(&self.pool, plan_id),
            KeySet::Harness { .. } => harness::held(&self.pool, plan_id),
        }
    }

    fn inspect(&mut self, desired: &Desired<'_>, count: bool, progress: &Progress) -> Result<Inspection> {
        let ctx = RedisContext {
            pool: &self.pool,
            desired,
            ttl: self.ttl(desired)?,
            progress,
        };
        match &self.keys {
            KeySet::Versioned => versioned::inspect(&ctx, count),
            KeySet::Harness { tenant } => harness::inspect(&ctx, tenant.as_deref(), count),
        }
    }

    fn apply(
        &mut self,
        desired: &Desired<'_>,
        current: Option<&Publication>,
        progress: &Progress,
    ) -> Result<Applied> {
        // The content is read again under the lock, and must equal the inspected content.
        let ctx = RedisContext {
            pool: &self.pool,
            desired,
            ttl: self.ttl(desired)?,
            progress,
        };
        let users = match &self.keys {
            KeySet::Versioned => versioned::apply(&ctx, current),
            KeySet::Harness { tenant } => harness::apply(&ctx, tenant.as_deref(), current),
        }?;
        Ok(Applied {
            users,
            warnings: vec![],
        })
    }
}
