//! The version in force under versioned keys.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::base::error::{Error, Result};
use crate::publish::publication::Publication;
use crate::publish::redis::context::{Refreshed, ask};
use crate::publish::redis::keys::{Assignment, PlanKeys, assignment_at};
use crate::publish::redis::link::Pool;

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
    pub(super) fn read(pool: &Pool, keys: &PlanKeys) -> Result<Option<Self>> {
        let address = pool.address();
        ask(pool, |link| {
            let Some(name) = link.ask::<Option<String>>(redis::cmd("GET").arg(keys.current()))? else {
                return Ok(None);
            };
            let key = keys.version(&name);
            let fields = link.ask(redis::cmd("HGETALL").arg(&key))?;
            Self::from_fields(name, &key, &fields, address).map(Some)
        })
    }

    /// Reads the fields of a version's hash `key`. `name` is the value of the pointer.
    pub(super) fn from_fields(
        name: String,
        key: &str,
        fields: &BTreeMap<String, String>,
        address: &str,
    ) -> Result<Self> {
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
        let Generation { generation, since } = Generation::new(
            number(fields, "generation", &wrong)?,
            number(fields, "since", &wrong)?,
        )
        .ok_or_else(|| wrong("numbers in `generation` and `since` that do not fit together"))?;
        Ok(Self {
            generation,
            since,
            n_users: number(fields, "n_users", &wrong)?,
            layers_digest: field("layers_digest")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            refreshed: Some(Refreshed {
                at: number(fields, "refreshed_at", &wrong)?,
                ttl: number(fields, "ttl", &wrong)?,
            })
            .filter(|refreshed| refreshed.ttl > 0),
            publication: Publication::from_json(field("publication").unwrap_or_default(), address)?,
            name,
        })
    }
}

/// The number in a field of a hash.
pub(super) fn number<T: FromStr>(
    fields: &BTreeMap<String, String>,
    name: &str,
    wrong: &dyn Fn(&str) -> Error,
) -> Result<T> {
    fields
        .get(name)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong(&format!("no number in `{name}`")))
}

/// The largest generation. Runs count generations up from 1, so a larger one is no number of
/// Sluice.
const MAX_GENERATION: u64 = 1 << 62;

/// A range of user entries. Entries of generations `since..=generation` are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) generation: u64,
    pub(super) since: u64,
}

impl Generation {
    /// The range that a server holds; `None` if it is empty, or ends above [`MAX_GENERATION`].
    pub(super) fn new(generation: u64, since: u64) -> Option<Self> {
        (since <= generation && generation <= MAX_GENERATION).then_some(Self { generation, since })
    }

    /// The generation of a full table: all older entries are void.
    pub(super) fn full(generation: u64) -> Self {
        Self {
            generation,
            since: generation,
        }
    }

    pub(super) fn is_full(self) -> bool {
        self.generation == self.since
    }

    pub(super) fn assignment(self, value: &str) -> Option<Assignment<'_>> {
        assignment_at(value, self.generation, self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_a_version_is_read_or_refused() {
        let document = r#"{"schema":"sluice.publication/1","version":"v","plan_id":"p","plan_name":"p",
            "baseline":"a","candidate":"b","as_of":1,"status":"running","rolled_back_at":null,
            "profile":"sluice-v1","salt":"s","flag":null,"evidence_digest":"e","layers_digest":null,
            "ratios":[]}"#;
        let good = [
            ("schema", SCHEMA),
            ("generation", "7"),
            ("since", "2"),
            ("n_users", "3"),
            ("layers_digest", ""),
            ("refreshed_at", "5"),
            ("ttl", "6"),
            ("publication", document),
        ];
        let read = |name: &str, value: &str| {
            let mut fields: BTreeMap<String, String> = good
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            fields.insert(name.to_owned(), value.to_owned());
            Current::from_fields("v.7".into(), "key", &fields, "redis://h")
                .map(|current| (current.generation, current.since))
                .map_err(|error| error.to_string())
        };
        let check = |name: &str, value: &str, expected: Result<(u64, u64), &str>| {
            let found = read(name, value);
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{name} {value}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                _ => panic!("{name} {value}: {found:?}"),
            }
        };
        let apart = "found numbers in `generation` and `since` that do not fit together";
        check("since", "7", Ok((7, 7)));
        check("since", "8", Err(apart));
        check("generation", "1", Err(apart));
        check("generation", "4611686018427387904", Ok((1 << 62, 2)));
        check("generation", "4611686018427387905", Err(apart));
        check("generation", "18446744073709551615", Err(apart));
        check("generation", "-1", Err("found no number in `generation`"));
        check(
            "refreshed_at",
            "9223372036854775808",
            Err("no number in `refreshed_at`"),
        );
        check("ttl", "18446744073709551615", Err("no number in `ttl`"));
        check("ttl", "0", Ok((7, 2)));
        check("schema", "sluice.redis/2", Err("another program version"));
        check("publication", "{}", Err("expected a publication of Sluice"));
    }
}
