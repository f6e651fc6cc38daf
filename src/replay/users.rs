//! The users of a layer table while a log is scanned: found by hash, with what is known of each, and where each was seen.

use hashbrown::{HashMap, HashSet};
use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::base::error::{Error, Result};
use crate::base::{hash, memory, output, parallel, parquet_io};
use crate::input::{DEFAULT_TENANT, FlatPart, Mapping, NotFlat, Part, STEP, STEP_WORDS, Table};
use crate::layer::LayerRows;
use crate::replay::finish::{UserList, UserRow};
use crate::replay::index::{Index, UNKNOWN};
use crate::replay::stages::MAX_STAGES;
use crate::scenario::Plan;

/// How often ids are hashed anew before two that stay alike are an error: 64 bits do not fail twice.
pub(super) const MAX_SEEDS: u64 = 4;
/// Bits of a bucket.
const BUCKET_BITS: u32 = 14;
/// Stages and windows up to which a user takes eight bytes.
const NARROW: (usize, u32) = (8, u16::MAX as u32 - 1);

/// What is known of a user: tenant and layer, consent, bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    /// Tenant times layers plus layer.
    pub(super) place: u32,
    pub(super) eligible: bool,
    pub(super) bucket: u16,
}

/// Where a user was seen: one bit a stage, by release, and the last window, counted from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) stages: [u64; 2],
    pub(super) last: u32,
}

impl Seen {
    pub(super) fn merge(&mut self, other: Self) {
        self.stages[0] |= other.stages[0];
        self.stages[1] |= other.stages[1];
        self.last = self.last.max(other.last);
    }
}

/// A layer table, read once: names of tenants, users of each place.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    /// Digest of the file.
    pub(crate) digest: String,
    /// Names of the tenants, in order of appearance.
    pub(crate) tenants: Vec<String>,
    /// Seed under which no two users look alike.
    pub(super) seed: u64,
    /// Users and eligible users by place.
    pub(super) places: Vec<[u64; 2]>,
}

/// Users by hash. Marks may be set from many threads: they commute.
pub(super) struct Users {
    index: Index,
    records: Records,
    /// Rows in the layer table; `None` when they are the indices themselves.
    rows: Option<Vec<u32>>,
}

/// What is known and seen of each user, in one cache line.
enum Records {
    /// Class and bucket, last window (16 bits), stages of the baseline, of the candidate (8 bits each).
    Narrow(Vec<AtomicU64>),
    /// Class and bucket, stages of the baseline, of the candidate, last window.
    Wide(Vec<[AtomicU64; 4]>),
}

/// A user as partitions and indices want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UserKey {
    pub(super) hash: u64,
    pub(super) row: u32,
    pub(super) user: User,
}

impl User {
    pub(super) fn pack(self) -> u64 {
        (u64::from(self.place) << 1 | u64::from(self.eligible)) << BUCKET_BITS | u64::from(self.bucket)
    }

    pub(super) fn unpack(word: u64) -> Self {
        let class = word >> BUCKET_BITS;
        Self {
            place: (class >> 1) as u32,
            eligible: class & 1 == 1,
            bucket: (word & ((1 << BUCKET_BITS) - 1)) as u16,
        }
    }
}

impl Users {
    /// Room for `n` users of so many places, of layers with at most `n_stages` stages, over `n_windows` windows.
    pub(super) fn new(n: usize, n_places: usize, n_stages: usize, n_windows: u32, tag_bits: u32) -> Self {
        let records = if Self::is_narrow(n_places, n_stages, n_windows) {
            Records::Narrow(memory::table(n, || AtomicU64::new(0)))
        } else {
            Records::Wide(memory::table(n, || [const { AtomicU64::new(0) }; 4]))
        };
        Self {
            index: Index::new(n, tag_bits),
            records,
            rows: None,
        }
    }

    #[inline]
    fn is_narrow(n_places: usize, n_stages: usize, n_windows: u32) -> bool {
        n_stages <= NARROW.0 && n_windows <= NARROW.1 && (n_places as u64) < 1 << (32 - BUCKET_BITS - 1)
    }

    /// Bytes that so many users take.
    pub(super) fn n_bytes(n: usize, n_places: usize, n_stages: usize, n_windows: u32) -> usize {
        Index::n_bytes(n)
            + n * if Self::is_narrow(n_places, n_stages, n_windows) {
                8
            } else {
                32
            }
    }

    /// The users of a partition, whose rows are not their indices; rows that look alike go to `alike`.
    pub(super) fn of_keys(mut self, keys: &[UserKey], alike: &mut Vec<(u32, u32)>) -> Self {
        self.index
            .insert(keys, |idx, key| (key.hash, idx as u32), &mut |a, b| {
                alike.push((keys[a as usize].row, keys[b as usize].row))
            });
        for (idx, key) in keys.iter().enumerate() {
            self.put(idx, key.user);
        }
        self.rows = Some(keys.iter().map(|key| key.row).collect());
        self
    }

    fn put(&self, idx: usize, user: User) {
        match &self.records {
            Records::Narrow(records) => records[idx].store(user.pack() << 32, Ordering::Relaxed),
            Records::Wide(records) => records[idx][0].store(user.pack(), Ordering::Relaxed),
        }
    }

    /// The index of each user, or [`UNKNOWN`].
    pub(super) fn find(&self, hashes: &[u64], found: &mut Vec<u32>) {
        self.index.find(hashes, found);
    }

    /// Asks for a user's record.
    #[inline]
    pub(super) fn prefetch(&self, idx: u32) {
        match &self.records {
            Records::Narrow(records) => memory::prefetch(records, idx as usize),
            Records::Wide(records) => memory::prefetch(records, idx as usize),
        }
    }

    #[inline]
    pub(super) fn user(&self, idx: u32) -> User {
        User::unpack(match &self.records {
            Records::Narrow(records) => records[idx as usize].load(Ordering::Relaxed) >> 32,
            Records::Wide(records) => records[idx as usize][0].load(Ordering::Relaxed),
        })
    }

    /// A user's row in the layer table.
    pub(super) fn row(&self, idx: u32) -> u32 {
        self.rows.as_ref().map_or(idx, |rows| rows[idx as usize])
    }

    /// Notes that a user was seen.
    #[inline]
    pub(super) fn mark(&self, idx: u32, stage: usize, arm: usize, window: u32) {
        match &self.records {
            Records::Narrow(records) => {
                let record = &records[idx as usize];
                let (bit, last) = (1_u64 << (stage + 8 * arm), u64::from(window + 1) << 16);
                let mut word = record.load(Ordering::Relaxed);
                loop {
                    let kept = word & 0xffff_ffff_0000_ffff | bit;
                    let new = kept | last.max(word & 0xffff_0000);
                    if new == word {
                        return;
                    }
                    match record.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => return,
                        Err(found) => word = found,
                    }
                }
            }
            Records::Wide(records) => {
                let record = &records[idx as usize];
                record[1 + arm].fetch_or(1 << stage, Ordering::Relaxed);
                record[3].fetch_max(u64::from(window + 1), Ordering::Relaxed);
            }
        }
    }

    /// Takes over where an earlier scan saw a user; `false` if that was under another layer than the user's own, or there is no such row.
    pub(super) fn take_over(&self, earlier: &UserRow) -> bool {
        if earlier.row as usize >= self.records.len() || self.user(earlier.row).place != earlier.place {
            return false;
        }
        match &self.records {
            Records::Narrow(records) => {
                let (record, [baseline, candidate]) = (&records[earlier.row as usize], earlier.seen.stages);
                let word = record.load(Ordering::Relaxed);
                let last = (word >> 16 & 0xffff).max(u64::from(earlier.seen.last));
                record.store(
                    word & 0xffff_ffff_0000_ffff | last << 16 | candidate << 8 | baseline,
                    Ordering::Relaxed,
                );
            }
            Records::Wide(records) => {
                let record = &records[earlier.row as usize];
                record[1].fetch_or(earlier.seen.stages[0], Ordering::Relaxed);
                record[2].fetch_or(earlier.seen.stages[1], Ordering::Relaxed);
                record[3].fetch_max(u64::from(earlier.seen.last), Ordering::Relaxed);
            }
        }
        true
    }

    /// Ends the scan: nobody is looked up any more.
    pub(super) fn into_seen(self) -> SeenUsers {
        SeenUsers {
            records: self.records,
            rows: self.rows,
        }
    }
}

/// The users after a scan, and where each was seen.
pub(super) struct SeenUsers {
    records: Records,
    rows: Option<Vec<u32>>,
}

impl UserList for SeenUsers {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn get(&self, idx: usize) -> Option<UserRow> {
        let (user, seen) = self.records.get(idx);
        let row = self.rows.as_ref().map_or(idx as u32, |rows| rows[idx]);
        (seen.last > 0).then_some(UserRow {
            row,
            place: user.place,
            bucket: user.bucket,
            seen,
        })
    }
}

impl Records {
    fn len(&self) -> usize {
        match self {
            Self::Narrow(records) => records.len(),
            Self::Wide(records) => records.len(),
        }
    }

    fn get(&self, idx: usize) -> (User, Seen) {
        match self {
            Self::Narrow(records) => {
                let word = records[idx].load(Ordering::Relaxed);
                (
                    User::unpack(word >> 32),
                    Seen {
                        stages: [word & 0xff, word >> 8 & 0xff],
                        last: (word >> 16 & 0xffff) as u32,
                    },
                )
            }
            Self::Wide(records) => {
                let [user, baseline, candidate, last] =
                    records[idx].each_ref().map(|word| word.load(Ordering::Relaxed));
                (
                    User::unpack(user),
                    Seen {
                        stages: [baseline, candidate],
                        last: last as u32,
                    },
                )
            }
        }
    }
}

/// A layer table and how to read it.
pub(super) struct LayerTable<'a> {
    path: &'a Path,
    plan: &'a Plan,
    table: Table,
    digest: String,
}

/// Names of tenants, numbered as threads meet them.
#[derive(Default)]
struct TenantCodes {
    codes: HashMap<String, (u32, u32)>,
}

impl TenantCodes {
    /// The tenant's number; the first row that names it decides the order of tenants later.
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

/// Takes users of a row group: hashes, rows, and what is known of each.
type OnUsers<'a> = dyn Fn(&[UserKey]) -> Result<()> + Sync + 'a;

impl<'a> LayerTable<'a> {
    /// Opens a layer table and takes its digest.
    ///
    /// # Errors
    /// A file that is not Parquet, or not the table that the plan pins.
    pub(super) fn open(path: &'a Path, plan: &'a Plan) -> Result<Self> {
        let digest = output::blake3_of_file(path)?;
        plan.check_layers_digest(&digest, path)?;
        let table = Table::of_parquet(path)?;
        if table.n_rows().is_none_or(|n| n >= u64::from(UNKNOWN)) {
            return Err(Error::input(
                path.display().to_string(),
                "expected fewer than 4,294,967,295 users, found more",
            ));
        }
        Ok(Self {
            path,
            plan,
            table,
            digest,
        })
    }

    pub(super) fn n_users(&self) -> usize {
        self.table.n_rows().unwrap_or(0) as usize
    }

    /// The tenants, in order of their first rows.
    pub(super) fn tenants(&self) -> Result<Vec<String>> {
        let codes = Mutex::new(TenantCodes::default());
        if self.table.has("tenant_id") {
            let note = |name: &str, row: u32| {
                codes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .code(name, row);
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
        let mut names: Vec<(u32, String)> = codes
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .codes
            .into_iter()
            .map(|(name, (_, first))| (first, name))
            .collect();
        names.sort_unstable();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// Notes each tenant of a row group with its first row there.
    fn scan_tenants(&self, part: Part, note: &dyn Fn(&str, u32)) -> Result<()> {
        let flat = || -> Result<(), NotFlat> {
            let flat = FlatPart::open(&self.table, part)?;
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
                .ok_or(NotFlat)?;
            let (mut numbers, mut absent) = (vec![default; STEP], [0; STEP_WORDS]);
            let mut noted = HashSet::new();
            for start in (0..flat.n_rows).step_by(STEP) {
                let numbers = &mut numbers[..(flat.n_rows - start).min(STEP)];
                scan.fill(numbers, &mut absent)?;
                for (row, number) in numbers.iter().enumerate() {
                    if noted.insert(*number) {
                        let names = names.borrow();
                        let name = names[*number as usize].as_deref().ok_or(NotFlat)?;
                        note(name, (part.first_row as usize + start + row) as u32);
                    }
                }
            }
            Ok(())
        };
        flat().map_err(|NotFlat| {
            Error::input(
                self.path.display().to_string(),
                "expected plain text in `tenant_id`, found something else",
            )
        })
    }

    /// Hands over all users, row group by row group, on all threads.
    ///
    /// # Errors
    /// A table that is not one of this plan, or what `on_users` returns.
    pub(super) fn for_each(&self, tenants: &[String], seed: u64, on_users: &OnUsers<'_>) -> Result<()> {
        // What has been handed over twice would be in an index twice, so row groups are read whole before any user of them goes on.
        let odd = Mutex::new(Vec::new());
        parallel::fold_parts(
            self.table.parts.len(),
            || (),
            |(), part| match self.scan(self.table.parts[part], tenants, seed) {
                Ok(users) => on_users(&users),
                Err(NotFlat) => {
                    odd.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(self.table.parts[part]);
                    Ok(())
                }
            },
        )?;
        let odd = odd.into_inner().unwrap_or_else(PoisonError::into_inner);
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
                let Some(layer) = self
                    .plan
                    .layers
                    .iter()
                    .position(|layer| layer.id == rows.layers.value(row))
                else {
                    return Err(Error::input(
                        self.path.display().to_string(),
                        format!(
                            "expected a layer of plan {}, found \"{}\"",
                            self.plan.id,
                            rows.layers.value(row)
                        ),
                    ));
                };
                let tenant_idx = index.get(tenant).copied().unwrap_or(0);
                let hash = hash::join(
                    hash::of_id(tenant.as_bytes()),
                    hash::of_user_id(id.as_bytes(), seed),
                );
                let place = tenant_idx * self.plan.layers.len() as u32 + layer as u32;
                let user = User {
                    place,
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

    fn scan(&self, part: Part, tenants: &[String], seed: u64) -> Result<Vec<UserKey>, NotFlat> {
        let flat = FlatPart::open(&self.table, part)?;
        let bucket = self.plan.profile.hasher();
        let of_user = |id: &[u8]| [hash::of_user_id(id, seed), u64::from(bucket.bucket(id))];
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
                hash::of_id(name),
            ]
        };
        let mut ids = flat
            .column("user_id", [0; 2], Mapping::Id(&of_user))?
            .ok_or(NotFlat)?;
        let mut layers = flat
            .column("layer", u64::MAX, Mapping::Text(&of_layer))?
            .ok_or(NotFlat)?;
        let mut flags = flat
            .column("eligible", u64::MAX, Mapping::Flag([0, 1]))?
            .ok_or(NotFlat)?;
        let default = of_tenant(b"");
        let mut names = flat.column("tenant_id", default, Mapping::Text(&of_tenant))?;

        let mut users = Vec::with_capacity(flat.n_rows);
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
                return Err(NotFlat);
            }
            users.extend((0..n).map(|row| UserKey {
                hash: hash::join(tenant[row][1], id[row][0]),
                row: (part.first_row as usize + start + row) as u32,
                user: User {
                    place: tenant[row][0] as u32 * n_layers + layer[row] as u32,
                    eligible: eligible[row] == 1,
                    bucket: id[row][1] as u16,
                },
            }));
        }
        Ok(users)
    }

    /// Reads the whole table batch by batch, with checks that say what is wrong.
    fn read_generally(&self, on_rows: &mut dyn FnMut(&LayerRows, u32) -> Result<()>) -> Result<()> {
        let mut first_row = 0;
        parquet_io::read(self.path, &mut |batch| {
            let rows = LayerRows::of(batch, self.path)?;
            on_rows(&rows, first_row)?;
            first_row += rows.len() as u32;
            Ok(())
        })
    }

    /// Reads all users into an index; again under another seed, should two of them look alike.
    ///
    /// # Errors
    /// As [`Self::for_each`], or a user who is there twice.
    pub(super) fn load(
        &self,
        tenants: Vec<String>,
        new_users: &dyn Fn() -> Users,
    ) -> Result<(Roster, Users)> {
        let n_places = tenants.len() * self.plan.layers.len();
        for seed in 0..MAX_SEEDS {
            let users = new_users();
            let alike = Mutex::new(Vec::new());
            let places: Vec<[AtomicU64; 2]> =
                (0..n_places).map(|_| [const { AtomicU64::new(0) }; 2]).collect();
            self.for_each(&tenants, seed, &|keys| {
                users
                    .index
                    .insert(keys, |_, key| (key.hash, key.row), &mut |a, b| {
                        alike.lock().unwrap_or_else(PoisonError::into_inner).push((a, b))
                    });
                for key in keys {
                    users.put(key.row as usize, key.user);
                }
                count_places(&places, keys);
                Ok(())
            })?;
            let alike = alike.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.check_unique(&alike)?;
            if alike.is_empty() {
                let places = places
                    .into_iter()
                    .map(|counts| counts.map(AtomicU64::into_inner))
                    .collect();
                let roster = Roster {
                    digest: self.digest.clone(),
                    tenants,
                    seed,
                    places,
                };
                return Ok((roster, users));
            }
        }
        Err(self.never_apart())
    }

    /// Two users look alike under every seed.
    pub(super) fn never_apart(&self) -> Error {
        Error::input(
            self.path.display().to_string(),
            "expected ids whose hashes differ, found two that stay alike",
        )
    }

    /// Refuses a user who is there twice; two users who only look alike may stay.
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
            Some((_, id)) => Err(Error::input(
                self.path.display().to_string(),
                format!("expected one row a user, found \"{id}\" twice"),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

/// Adds users to the counts of their places.
pub(super) fn count_places(places: &[[AtomicU64; 2]], keys: &[UserKey]) {
    // Most users of a row group share a few places: one addition a place and row group.
    let mut counts: HashMap<u32, [u64; 2]> = HashMap::new();
    for key in keys {
        let count = counts.entry(key.user.place).or_default();
        count[0] += 1;
        count[1] += u64::from(key.user.eligible);
    }
    for (place, [n_users, n_eligible]) in counts {
        places[place as usize][0].fetch_add(n_users, Ordering::Relaxed);
        places[place as usize][1].fetch_add(n_eligible, Ordering::Relaxed);
    }
}

const _: () = assert!(MAX_STAGES <= 64, "a user's stages are bits of one word");
