//! The version in force under versioned keys.

use std::collections::BTreeMap;

use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::publish::publication::Publication;
use crate::publish::redis::context::{RedisContext, Refreshed, ask};
use crate::publish::redis::keys::PlanKeys;

/// The name and version of a version's schema.
pub(super) const SCHEMA: &str = "sluice.redis/1";

/// The version that the pointer names.
#[derive(Debug, Clone)]
pub(super) struct Current {
    /// The value of the pointer: the name of the version in force.
    pub(super) name: String,
    /// The newest valid generation. Newer entries of users are not valid yet.
    pub(super) generation: u64,
    /// The oldest valid generation. Older entries of users are void.
    pub(super) since: u64,
    /// The number of users in the layer table.
    pub(super) n_users: u64,
    /// The digest of the layer table; `None` if no users were published.
    pub(super) layers_digest: Option<String>,
    /// The last full write of users; `None` if there was none.
    pub(super) refreshed: Option<Refreshed>,
    pub(super) publication: Publication,
}

impl Current {
    pub(super) fn read(ctx: &RedisContext<'_>, keys: &PlanKeys) -> Result<Option<Self>> {
        let address = ctx.pool.address();
        ask(ctx.pool, |link| {
            let Some(name) = link.ask::<Option<String>>(redis::cmd("GET").arg(keys.current()))? else {
                return Ok(None);
            };
            let key = keys.version(&name);
            let fields: BTreeMap<String, String> = link.ask(redis::cmd("HGETALL").arg(&key))?;
            let wrong = |found: &str| {
                Error::target(
                    address,
                    format!("expected a version of Sluice under {key}, found {found}"),
                )
                .hint("delete the pointer's key to publish everything again")
            };
            let field = |name: &str| fields.get(name).map(String::as_str);
            match field("schema") {
                Some(SCHEMA) => {}
                Some(_) => return Err(wrong("one of another program version")),
                None => return Err(wrong("none")),
            }
            let number = |name: &str| {
                field(name)
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| wrong(&format!("no number in `{name}`")))
            };
            Ok(Some(Self {
                generation: number("generation")?,
                since: number("since")?,
                n_users: number("n_users")?,
                layers_digest: field("layers_digest")
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned),
                refreshed: Some(Refreshed {
                    at: number("refreshed_at")? as Micros,
                    ttl: number("ttl")? as Micros,
                })
                .filter(|refreshed| refreshed.ttl > 0),
                publication: Publication::from_json(field("publication").unwrap_or_default(), address)?,
                name,
            }))
        })
    }
}
