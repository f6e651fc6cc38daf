//! Reads the layer table into memory, by user.

use hashbrown::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::Limit;
use crate::base::lock::lock;
use crate::base::{digest, hash, lock, parallel, parquet_io};
use crate::input::{DEFAULT_TENANT, FastPart, Mapping, Part, STEP, STEP_WORDS, Table, Unsupported};
use crate::layer::{LayerRows, check_pinned};
use crate::replay::index::UNKNOWN;
use crate::replay::unknown::UserName;
use crate::replay::users::{User, UserKey, Users};
use crate::scenario::Plan;

/// The number of hash seeds to try before users with equal hashes are an error. One seed is almost
/// always enough.
pub(super) const MAX_SEEDS: u64 = 4;

/// The largest number of users that are reserved for the claim of a row group.
const MAX_RESERVED: usize = 1 << 20;

/// The metadata of a layer table that was read once.
#[derive(Debug, Clone)]
pub(crate) struct LayerTableInfo {
    /// The digest of the file.
    pub(crate) digest: String,
    /// The names of the tenants, in order of first appearance.
    pub(crate) tenants: Vec<String>,
    /// The seed under which all users have distinct tags.
    pub(super) seed: u64,
    /// The number of users and of eligible users, by stratum.
    pub(super) strata: Vec<[u64; 2]>,
}

/// A layer table that is read in parts.
pub(super) struct LayerTable<'a> {
    path: &'a Path,
    plan: &'a Plan,
    table: Table,
    digest: String,
}

/// Codes of tenant names, in the order in which threads find them.
#[derive(Default)]
pub(super) struct TenantCodes {
    codes: HashMap<String, (u32, u32)>,
}

impl TenantCodes {
    /// Returns the tenant's code and notes its first row. The first rows decide the order of
    /// tenants later.
    fn code(&mut self, name: &str, row: u32) -> u32 {
        if let Some((code, first)) = self.codes.get_mut(name) {
            *first = row.min(*first);
            return *code;
        }
        let code = self.codes.len() as u32;
        self.codes.insert(name.to_owned(), (code, row));
        code
    }
}

/// A callback for the users of a row group: hashes, rows, layers, consent and buckets.
pub(super) type OnUsers<'a> = dyn Fn(&[UserKey]) -> Result<()> + Sync + 'a;

impl<'a> LayerTable<'a> {
    /// Opens a layer table and computes its digest.
    ///
    /// # Errors
    /// When the file is not Parquet, has too many users, or is not the table that the plan pins.
    pub(super) fn open(path: &'a Path, plan: &'a Plan) -> Result<Self> {
        let digest = digest::blake3_of_file(path)?;
        check_pinned(plan, &digest, path)?;
        Self::open_known(path, plan, &digest)
    }

    /// Opens a layer table whose digest is known.
    ///
    /// # Errors
    /// When the file is not Parquet, or has too many users.
    pub(super) fn open_known(path: &'a Path, plan: &'a Plan, digest: &str) -> Result<Self> {
        let table = Table::from_parquet(path)?;
        if table.n_rows().is_none_or(|n| n >= u64::from(UNKNOWN)) {
            return Err(Error::in_file(
                path,
                "expected fewer than 4,294,967,295 users, found more",
            ));
        }
        // Memory is reserved for these rows before they are read.
        let n_bytes = std::fs::metadata(path).or_unreadable(path)?.len();
        if let Some(n_rows) = table.n_rows().filter(|n_rows| *n_rows > n_bytes) {
            Limit::ClaimedRows.check(path.display(), n_rows)?;
        }
        Ok(Self {
            path,
            plan,
            table,
            digest: digest.to_owned(),
        })
    }

    pub(super) fn n_users(&self) -> usize {
        self.table.n_rows().unwrap_or(0) as usize
    }

    /// The number of strata of some tenants.
    pub(super) fn n_strata(&self, tenants: &[String]) -> usize {
        tenants.len() * self.plan.layers.len()
    }

    pub(super) fn n_groups(&self) -> usize {
        self.table.parts.len()
    }

    /// The tenants, in order of their first rows.
    pub(super) fn tenants(&self) -> Result<Vec<String>> {
        let codes = Mutex::new(TenantCodes::default());
        if self.table.has("tenant_id") {
            let note = |name: &str, row: u32| {
                lock(&codes).code(name, row);
            };
            if parallel::fold_parts(
                self.table.parts.len(),
                || (),
                |(), part| self.scan_tenants(self.table.parts[part], &note),
            )
            .is_err()
            {
                self.read_generally(&mut |rows, first_row| {
                    (0..rows.len()).for_each(|row| note(rows.tenant(row), first_row + row as u32));
                    Ok(())
                })?;
            }
        } else if self.n_users() > 0 {
            return Ok(vec![DEFAULT_TENANT.to_owned()]);
        }
        let mut names: Vec<(u32, String)> = lock::into_inner(codes)
            .codes
            .into_iter()
            .map(|(name, (_, first))| (first, name))
            .collect();
        names.sort_unstable();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// Notes each tenant of a row group with its first row in the group.
    fn scan_tenants(&self, part: Part, note: &dyn Fn(&str, u32)) -> Result<()> {
        let flat = || -> Result<(), Unsupported> {
            let flat = FastPart::open(&self.table, part)?;
            let names = std::cell::RefCell::new(Vec::<Option<String>>::new());
            let number = |name: &[u8]| {
                let name = std::str::from_utf8(name)
                    .ok()
                    .map(|name| if name.is_empty() { DEFAULT_TENANT } else { name }.to_owned());
                names.borrow_mut().push(name);
                names.borrow().len() as u64 - 1
            };
            let default = number(b"");
            let mut scan = flat
                .column("tenant_id", default, Mapping::Text(&number))?
                .ok_or(Unsupported)?;
            let (mut numbers, mut absent) = (vec![default; STEP], [0; STEP_WORDS]);
            let mut noted = HashSet::new();
            for start in (0..flat.n_rows).step_by(STEP) {
                let numbers = &mut numbers[..(flat.n_rows - start).min(STEP)];
                scan.fill(numbers, &mut absent)?;
                for (row, number) in numbers.iter().enumerate() {
                    if noted.insert(*number) {
                        let names = names.borrow();
                        let name = names[*number as usize].as_deref().ok_or(Unsupported)?;
                        note(name, (part.first_row as usize + start + row) as u32);
                    }
                }
            }
            Ok(())
        };
        flat().map_err(|Unsupported| {
            Error::in_file(
                self.path,
                "expected plain text in `tenant_id`, found something else",
            )
        })
    }

    /// Passes all users to `on_users`, row group by row group, on all threads.
    ///
    /// # Errors
    /// When the table does not belong to this plan, or when `on_users` returns an error.
    pub(super) fn for_each(&self, tenants: &[String], seed: u64, on_users: &OnUsers<'_>) -> Result<()> {
        self.for_parts(&self.table.parts, tenants, seed, on_users)
    }

    /// Passes the users of some row groups, by index, to `on_users`.
    ///
    /// # Errors
    /// As [`Self::for_each`], or when a row group does not exist.
    pub(super) fn for_each_of(
        &self,
        groups: &[usize],
        tenants: &[String],
        seed: u64,
        on_users: &OnUsers<'_>,
    ) -> Result<()> {
        let part = |group: &usize| {
            self.table.parts.get(*group).copied().ok_or_else(|| {
                let found = self.table.parts.len();
                Error::in_file(
                    self.path,
                    format!("expected row group {group}, found {found} row groups"),
                )
            })
        };
        let parts = groups.iter().map(part).collect::<Result<Vec<Part>>>()?;
        self.for_parts(&parts, tenants, seed, on_users)
    }

    fn for_parts(&self, parts: &[Part], tenants: &[String], seed: u64, on_users: &OnUsers<'_>) -> Result<()> {
        // A row group is read to its end before its users are passed on. Otherwise users of a group
        // that fails halfway would be passed on twice.
        let odd = Mutex::new(Vec::new());
        parallel::fold_parts(
            parts.len(),
            || (),
            |(), part| match self.scan(parts[part], tenants, seed) {
                Ok(users) => on_users(&users),
                Err(Unsupported) => {
                    lock(&odd).push(parts[part]);
                    Ok(())
                }
            },
        )?;
        let odd = lock::into_inner(odd);
        if odd.is_empty() {
            return Ok(());
        }
        let index: HashMap<&str, u32> = tenants.iter().map(String::as_str).zip(0..).collect();
        let is_odd = |row: u64| {
            odd.iter()
                .any(|part| (part.first_row..part.first_row + part.n_rows.unwrap_or(0)).contains(&row))
        };
        self.read_generally(&mut |rows, first_row| {
            let mut users = Vec::with_capacity(rows.len());
            for row in (0..rows.len()).filter(|row| is_odd(u64::from(first_row) + *row as u64)) {
                let (id, tenant) = (rows.ids.value(row), rows.tenant(row));
                let Some(layer) = self.plan.layer_idx(rows.layers.value(row)) else {
                    return Err(Error::in_file(
                        self.path,
                        format!(
                            "expected a layer of plan {}, found \"{}\"",
                            self.plan.id,
                            rows.layers.value(row)
                        ),
                    ));
                };
                let tenant_idx = index.get(tenant).copied().unwrap_or(0);
                let hash = hash::join(
                    hash::hash_id(tenant.as_bytes()),
                    hash::hash_user_id(id.as_bytes(), seed),
                );
                let stratum = tenant_idx * self.plan.layers.len() as u32 + layer as u32;
                let user = User {
                    stratum,
                    eligible: rows.eligible.value(row),
                    bucket: self.plan.profile.bucket(id),
                };
                users.push(UserKey {
                    hash,
                    row: first_row + row as u32,
                    user,
                });
            }
            on_users(&users)
        })
    }

    /// Reads the users of a row group directly from its pages.
    fn scan(&self, part: Part, tenants: &[String], seed: u64) -> Result<Vec<UserKey>, Unsupported> {
        let flat = FastPart::open(&self.table, part)?;
        let bucket = self.plan.profile.hasher();
        let of_user = |id: &[u8]| [hash::hash_user_id(id, seed), u64::from(bucket.bucket(id))];
        let of_layer = |id: &[u8]| {
            self.plan
                .layers
                .iter()
                .position(|layer| layer.id.as_bytes() == id)
                .map_or(u64::MAX, |layer| layer as u64)
        };
        let index: HashMap<&[u8], u32> = tenants.iter().map(String::as_bytes).zip(0..).collect();
        let of_tenant = |name: &[u8]| {
            let name = if name.is_empty() {
                DEFAULT_TENANT.as_bytes()
            } else {
                name
            };
            [
                u64::from(index.get(name).copied().unwrap_or(UNKNOWN)),
                hash::hash_id(name),
            ]
        };
        let mut ids = flat
            .column("user_id", [0; 2], Mapping::Id(&of_user))?
            .ok_or(Unsupported)?;
        let mut layers = flat
            .column("layer", u64::MAX, Mapping::Text(&of_layer))?
            .ok_or(Unsupported)?;
        let mut flags = flat
            .column("eligible", u64::MAX, Mapping::Flag([0, 1]))?
            .ok_or(Unsupported)?;
        let default = of_tenant(b"");
        let mut names = flat.column("tenant_id", default, Mapping::Text(&of_tenant))?;

        // The footer's number of rows is not believed: the list grows with the rows that are there.
        let mut users = Vec::with_capacity(flat.n_rows.min(MAX_RESERVED));
        let mut absent = [0; STEP_WORDS];
        let (mut id, mut tenant) = (vec![[0; 2]; STEP], vec![default; STEP]);
        let (mut layer, mut eligible) = (vec![0; STEP], vec![0; STEP]);
        let n_layers = self.plan.layers.len() as u32;
        for start in (0..flat.n_rows).step_by(STEP) {
            let n = (flat.n_rows - start).min(STEP);
            let n_absent = ids.fill(&mut id[..n], &mut absent)?
                + layers.fill(&mut layer[..n], &mut absent)?
                + flags.fill(&mut eligible[..n], &mut absent)?;
            if let Some(names) = &mut names {
                names.fill(&mut tenant[..n], &mut absent)?;
            }
            let is_odd = |row: usize| layer[row] == u64::MAX || tenant[row][0] == u64::from(UNKNOWN);
            if n_absent > 0 || (0..n).any(is_odd) {
                return Err(Unsupported);
            }
            users.extend((0..n).map(|row| UserKey {
                hash: hash::join(tenant[row][1], id[row][0]),
                row: (part.first_row as usize + start + row) as u32,
                user: User {
                    stratum: tenant[row][0] as u32 * n_layers + layer[row] as u32,
                    eligible: eligible[row] == 1,
                    bucket: id[row][1] as u16,
                },
            }));
        }
        Ok(users)
    }

    /// Reads the whole table batch by batch, with checks that report errors.
    fn read_generally(&self, on_rows: &mut dyn FnMut(&LayerRows, u32) -> Result<()>) -> Result<()> {
        let mut first_row = 0;
        parquet_io::read(self.path, &mut |batch| {
            let rows = LayerRows::from_batch(batch, self.path)?;
            on_rows(&rows, first_row)?;
            first_row += rows.len() as u32;
            Ok(())
        })
    }

    /// Reads all users into an index. If two users have equal tags, reads again with another seed.
    ///
    /// # Errors
    /// As [`Self::for_each`], or when a user has two rows.
    pub(super) fn load(
        &self,
        tenants: Vec<String>,
        new_users: &dyn Fn() -> Users,
    ) -> Result<(LayerTableInfo, Users)> {
        let n_strata = tenants.len() * self.plan.layers.len();
        for seed in 0..MAX_SEEDS {
            let users = new_users();
            let alike = Mutex::new(Vec::new());
            let strata: Vec<[AtomicU64; 2]> =
                (0..n_strata).map(|_| [const { AtomicU64::new(0) }; 2]).collect();
            self.for_each(&tenants, seed, &|keys| {
                users
                    .index
                    .insert(keys, |_, key| (key.hash, key.row), &mut |a, b| {
                        lock(&alike).push((a, b))
                    });
                for key in keys {
                    users.put(key.row as usize, key.user);
                }
                count_strata(&strata, keys);
                Ok(())
            })?;
            let alike = lock::into_inner(alike);
            self.check_unique(&alike)?;
            if alike.is_empty() {
                let strata = strata
                    .into_iter()
                    .map(|counts| counts.map(AtomicU64::into_inner))
                    .collect();
                let roster = LayerTableInfo {
                    digest: self.digest.clone(),
                    tenants,
                    seed,
                    strata,
                };
                return Ok((roster, users));
            }
        }
        Err(self.never_apart())
    }

    /// Whether the table has users with these hashes, one answer for each.
    ///
    /// # Errors
    /// As [`Self::for_each`].
    pub(super) fn have(&self, info: &LayerTableInfo, hashes: &[u64]) -> Result<Vec<bool>> {
        let wanted: HashSet<u64> = hashes.iter().copied().collect();
        let found = Mutex::new(HashSet::new());
        self.for_each(&info.tenants, info.seed, &|users| {
            let of_part = users
                .iter()
                .map(|user| user.hash)
                .filter(|hash| wanted.contains(hash));
            lock(&found).extend(of_part);
            Ok(())
        })?;
        let found = lock::into_inner(found);
        Ok(hashes.iter().map(|hash| found.contains(hash)).collect())
    }

    /// The first `n` users of the table.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) fn first_users(&self, n: usize) -> Result<Vec<UserName>> {
        let mut users = Vec::new();
        let read = self.read_generally(&mut |rows, _| {
            users.extend((0..rows.len().min(n)).map(|row| UserName {
                tenant: rows.tenant(row).to_owned(),
                id: rows.ids.value(row).to_owned(),
            }));
            if users.is_empty() {
                return Ok(());
            }
            // An error ends the reading.
            Err(Error::in_file(self.path, "the first users have been read"))
        });
        if users.is_empty() {
            read?;
        }
        Ok(users)
    }

    /// The error for two users with equal tags under every seed.
    pub(super) fn never_apart(&self) -> Error {
        Error::in_file(
            self.path,
            "expected ids with different hashes, found two ids whose hashes are equal under every seed",
        )
    }

    /// Refuses a user with two rows. Two different users with equal tags are accepted here.
    pub(super) fn check_unique(&self, alike: &[(u32, u32)]) -> Result<()> {
        if alike.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<u32> = alike.iter().flat_map(|(a, b)| [*a, *b]).collect();
        let mut ids: HashMap<u32, (String, String)> = HashMap::new();
        self.read_generally(&mut |rows, first_row| {
            for row in (0..rows.len()).filter(|row| wanted.contains(&(first_row + *row as u32))) {
                ids.insert(
                    first_row + row as u32,
                    (rows.tenant(row).to_owned(), rows.ids.value(row).to_owned()),
                );
            }
            Ok(())
        })?;
        let twice = alike
            .iter()
            .filter(|(a, b)| ids.get(a) == ids.get(b))
            .map(|(a, b)| *a.max(b))
            .min();
        match twice.and_then(|row| ids.get(&row)) {
            Some((_, id)) => Err(Error::in_file(
                self.path,
                format!("expected one row per user, found two rows for \"{id}\""),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

/// Adds users to the counts of their strata.
pub(super) fn count_strata(strata: &[[AtomicU64; 2]], keys: &[UserKey]) {
    let add = |stratum: usize, [n_users, n_eligible]: [u64; 2]| {
        strata[stratum][0].fetch_add(n_users, Ordering::Relaxed);
        strata[stratum][1].fetch_add(n_eligible, Ordering::Relaxed);
    };
    if strata.len() > keys.len() {
        let one = |key: &UserKey| add(key.user.stratum as usize, [1, u64::from(key.user.eligible)]);
        keys.iter().for_each(one);
        return;
    }
    // The users of a row group share strata, so each stratum needs one atomic addition per row
    // group.
    let mut counts = vec![[0; 2]; strata.len()];
    for key in keys {
        let count = &mut counts[key.user.stratum as usize];
        count[0] += 1;
        count[1] += u64::from(key.user.eligible);
    }
    let met = counts.into_iter().enumerate().filter(|(_, n)| n[0] > 0);
    met.for_each(|(stratum, n)| add(stratum, n));
}
