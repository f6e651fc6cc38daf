//! Examples of ids in the log that the layer table or the plan does not have, for messages.
//!
//! A scan holds hashes of ids only. Each state keeps the smallest hashes of unknown ids, with the
//! part of the log that has them. The smallest hashes of all states do not depend on the number of
//! threads. After the scan, the texts are read from those parts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::hash;
use crate::base::likeness::{likeness, spellings};
use crate::input::{IdTexts, Part, TrafficReader, release};

/// The largest number of examples of each kind.
pub(super) const N_EXAMPLES: usize = 3;
/// The largest number of tenants under which an unknown user is searched for.
const MAX_TENANTS: usize = 16;

/// A user's id, with the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserName {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the user, as it is written.
    pub id: String,
}

impl UserName {
    fn hash(&self, seed: u64) -> u64 {
        hash::join(
            hash::hash_id(self.tenant.as_bytes()),
            hash::hash_user_id(self.id.as_bytes(), seed),
        )
    }
}

/// A user of the log who is not in the layer table.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnknownUser {
    /// The user, as the log names them.
    #[serde(flatten)]
    pub user: UserName,
    /// The user of the layer table whose id is the same but for case, blanks, zero padding, a `.0`,
    /// or the tenant. `None` if there is no such user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_as: Option<UserName>,
}

/// Examples of ids in the log that are not known, at most three of each kind. Which ids are shown
/// does not depend on the order of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownIds {
    /// Users who are not in the layer table.
    pub users: Vec<UnknownUser>,
    /// The first users of the layer table, for comparison. Empty without unknown users.
    pub listed: Vec<UserName>,
    /// Ids of releases that are neither the baseline nor the candidate. The empty text means a row
    /// without a release.
    pub releases: Vec<String>,
}

impl UnknownIds {
    /// Whether every id of the log is known.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.releases.is_empty()
    }

    /// Merges the examples of other files of the same log and layer table.
    pub(super) fn merge(&mut self, other: &Self, seed: u64) {
        let code = |release: &str| release::other(release.as_bytes());
        self.users.extend(other.users.iter().cloned());
        self.users.sort_by_cached_key(|user| user.user.hash(seed));
        self.users.dedup_by(|a, b| a.user == b.user);
        self.users.truncate(N_EXAMPLES);
        self.releases.extend(other.releases.iter().cloned());
        self.releases.sort_by_key(|release| code(release));
        self.releases.dedup();
        self.releases.truncate(N_EXAMPLES);
        if self.listed.is_empty() {
            self.listed.clone_from(&other.listed);
        }
    }
}

/// The hashes of a user's tenant and id, and the index of a part that has the user. The part is not
/// known if users and turns were divided into partitions.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct UserHash {
    tenant: u64,
    user: u64,
    part: Option<usize>,
}

/// The unknown ids of a scan with the smallest hashes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct UnknownHashes {
    users: BTreeMap<u64, UserHash>,
    releases: BTreeMap<i64, Option<usize>>,
}

/// Adds an entry, and keeps the entries with the smallest keys.
fn keep_smallest<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>, key: K, value: V) {
    if map.len() >= N_EXAMPLES && map.last_key_value().is_some_and(|(last, _)| *last < key) {
        return;
    }
    map.entry(key).or_insert(value);
    if map.len() > N_EXAMPLES {
        map.pop_last();
    }
}

impl UnknownHashes {
    /// Notes a user of part `part`.
    pub(super) fn note_user(&mut self, hash: u64, tenant: u64, user: u64, part: Option<usize>) {
        keep_smallest(&mut self.users, hash, UserHash { tenant, user, part });
    }

    /// Notes a release of part `part`, by its code.
    pub(super) fn note_release(&mut self, code: i64, part: Option<usize>) {
        keep_smallest(&mut self.releases, code, part);
    }

    /// The codes of the releases, in ascending order.
    pub(super) fn release_codes(&self) -> impl Iterator<Item = i64> {
        self.releases.keys().copied()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (hash, user) in &other.users {
            keep_smallest(&mut self.users, *hash, *user);
        }
        for (code, part) in &other.releases {
            keep_smallest(&mut self.releases, *code, *part);
        }
    }

    /// Reads the texts of the ids from the log. Each part of the log belongs to one of the readers.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn read(
        &self,
        readers: &[TrafficReader],
        parts: &[(usize, Part)],
        seed: u64,
    ) -> Result<UnknownIds> {
        let mut texts = IdTexts::new(seed);
        for user in self.users.values() {
            texts.want_user(user.tenant, user.user);
        }
        for code in self.releases.keys().filter(|code| **code != release::NONE) {
            texts.want_release(*code);
        }
        let of_ids = self.users.values().map(|user| user.part);
        let of_ids = of_ids.chain(self.releases.values().copied());
        let mut wanted: Vec<Option<usize>> = of_ids.collect();
        wanted.sort_unstable();
        wanted.dedup();
        let known = wanted.iter().flatten().filter_map(|part| parts.get(*part));
        // An id whose part is not known may be in any part.
        let any = parts.iter().filter(|_| wanted.contains(&None));
        for (reader, part) in known.chain(any) {
            if texts.is_complete() {
                break;
            }
            readers[*reader].find_ids(*part, &texts)?;
        }
        let user = |user: &UserHash| {
            Some(UnknownUser {
                user: UserName {
                    tenant: texts.tenant(user.tenant)?,
                    id: texts.user(user.user)?,
                },
                listed_as: None,
            })
        };
        let release = |code: &i64| match *code {
            release::NONE => Some(String::new()),
            code => texts.release(code),
        };
        Ok(UnknownIds {
            users: self.users.values().filter_map(user).collect(),
            listed: Vec::new(),
            releases: self.releases.keys().filter_map(release).collect(),
        })
    }
}

/// Finds the users of the layer table who are written almost as the unknown users. `is_listed` says
/// for each hash whether the layer table has it.
///
/// # Errors
/// Those of `is_listed`.
pub(super) fn find_listed(
    users: &mut [UnknownUser],
    tenants: &[String],
    seed: u64,
    is_listed: &dyn Fn(&[u64]) -> Result<Vec<bool>>,
) -> Result<()> {
    let mut names: Vec<(usize, UserName)> = Vec::new();
    for (idx, unknown) in users.iter().enumerate() {
        let mut ids = spellings(&unknown.user.id);
        ids.push(unknown.user.id.clone());
        // Other ids of the same tenant come first.
        let others = tenants.iter().filter(|tenant| **tenant != unknown.user.tenant);
        for tenant in std::iter::once(&unknown.user.tenant).chain(others.take(MAX_TENANTS)) {
            names.extend(ids.iter().map(|id| {
                let (tenant, id) = (tenant.clone(), id.clone());
                (idx, UserName { tenant, id })
            }));
        }
    }
    let hashes: Vec<u64> = names.iter().map(|(_, name)| name.hash(seed)).collect();
    for ((idx, name), is_listed) in names.into_iter().zip(is_listed(&hashes)?) {
        let unknown = &mut users[idx];
        let is_same = unknown.user.id == name.id || !likeness(&unknown.user.id, &name.id).is_empty();
        if is_listed && is_same && unknown.listed_as.is_none() {
            unknown.listed_as = Some(name);
        }
    }
    Ok(())
}
