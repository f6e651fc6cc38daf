//! Reads only those users of a layer table who may be in some parts of the log. For a log that is
//! small beside the layer table, most rows of the table are then neither stored nor indexed.

use rayon::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::error::{Error, Result};
use crate::base::lock::lock;
use crate::base::{hash, lock, parallel};
use crate::input::{DEFAULT_TENANT, FastPart, Mapping, STEP, STEP_WORDS, Table, Unsupported};
use crate::replay::context::Inputs;
use crate::replay::layer_table::{LayerTable, LayerTableInfo, MAX_SEEDS, count_strata};
use crate::replay::scan::LogPart;
use crate::replay::users::{UserKey, Users};

/// The table must have this many times the rows of the log. With fewer, all users are read at once.
const MIN_SHARE: u64 = 4;
/// The bits of the filter for each row of the log, of which a user sets two. About one in 40 users who
/// are not in the log passes.
const BITS_A_ROW: u64 = 16;

/// The hashes of users as a bitmap. A user of the log always passes; another user may pass.
struct HashFilter {
    words: Vec<AtomicU64>,
}

impl HashFilter {
    fn new(n_rows: u64) -> Self {
        let n_words = (n_rows * BITS_A_ROW / 64).next_power_of_two().max(1);
        Self {
            words: (0..n_words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The word and the bits of a hash.
    fn bits(&self, hash: u64) -> (&AtomicU64, u64) {
        let at = (hash >> 12) as usize & (self.words.len() - 1);
        (&self.words[at], 1 << (hash % 64) | 1 << (hash / 64 % 64))
    }

    fn insert(&self, hash: u64) {
        let (word, bits) = self.bits(hash);
        if word.load(Ordering::Relaxed) & bits != bits {
            word.fetch_or(bits, Ordering::Relaxed);
        }
    }

    fn may_have(&self, hash: u64) -> bool {
        let (word, bits) = self.bits(hash);
        word.load(Ordering::Relaxed) & bits == bits
    }
}

/// Reads the users of a layer table who may be in these parts of the log. `None` if the log is not
/// small beside the table, or if its ids cannot be read from their pages. `new_users` creates space
/// for a number of users. Two rows of a user who is not in the log are not found: the table must
/// have been read as a whole before.
///
/// # Errors
/// Those of [`LayerTable::load`].
pub(super) fn load_log_users(
    layers: &LayerTable<'_>,
    tenants: &[String],
    inputs: &Inputs<'_>,
    parts: &[LogPart],
    new_users: &dyn Fn(usize) -> Users,
) -> Result<Option<(LayerTableInfo, Users)>> {
    let n_rows: Option<u64> = parts.iter().map(|part| part.part.n_rows).sum();
    let Some(n_rows) = n_rows.filter(|n| n.saturating_mul(MIN_SHARE) <= layers.n_users() as u64) else {
        return Ok(None);
    };
    for seed in 0..MAX_SEEDS {
        let filter = HashFilter::new(n_rows);
        if !note_log(inputs, parts, seed, &filter) {
            return Ok(None);
        }
        let (keys, strata) = keys_of(layers, tenants, seed, &filter)?;
        let mut alike = Vec::new();
        let users = new_users(keys.len()).with_keys(&keys, &mut alike);
        layers.check_unique(&alike)?;
        if alike.is_empty() {
            let info = LayerTableInfo {
                digest: layers.digest().to_owned(),
                tenants: tenants.to_vec(),
                seed,
                strata,
            };
            return Ok(Some((info, users)));
        }
    }
    Err(layers.never_apart())
}

/// Notes the users of the log. Returns `false` if ids of a part cannot be read from their pages.
fn note_log(inputs: &Inputs<'_>, parts: &[LogPart], seed: u64, filter: &HashFilter) -> bool {
    let read = |part: &LogPart| note_part(inputs.traffic[part.reader].table(), part, seed, filter);
    // The error has no text of its own: the caller reads all users in its place.
    let unsupported = |Unsupported| Error::usage("expected flat ids");
    parallel::fold_parts(
        parts.len(),
        || (),
        |(), idx| read(&parts[idx]).map_err(unsupported),
    )
    .is_ok()
}

/// Notes the users of a part of the log.
fn note_part(table: &Table, part: &LogPart, seed: u64, filter: &HashFilter) -> Result<(), Unsupported> {
    let flat = FastPart::open(table, part.part)?;
    let of_user = |id: &[u8]| hash::hash_user_id(id, seed);
    let of_tenant = |name: &[u8]| {
        hash::hash_id(if name.is_empty() {
            DEFAULT_TENANT.as_bytes()
        } else {
            name
        })
    };
    let mut ids = flat
        .column("user_id", 0, Mapping::Id(&of_user))?
        .ok_or(Unsupported)?;
    let default = of_tenant(b"");
    let mut names = flat.column("tenant_id", default, Mapping::Id(&of_tenant))?;
    let (mut user, mut tenant) = (vec![0; STEP], vec![default; STEP]);
    let mut absent = [0; STEP_WORDS];
    for start in (0..flat.n_rows).step_by(STEP) {
        let n = (flat.n_rows - start).min(STEP);
        ids.fill(&mut user[..n], &mut absent)?;
        if let Some(names) = &mut names {
            names.fill(&mut tenant[..n], &mut absent)?;
        }
        let pairs = tenant[..n].iter().zip(&user[..n]);
        pairs.for_each(|(tenant, user)| filter.insert(hash::join(*tenant, *user)));
    }
    Ok(())
}

/// The users of a layer table who pass a filter, in row order, and the numbers of all users and of
/// all eligible users, by stratum.
fn keys_of(
    layers: &LayerTable<'_>,
    tenants: &[String],
    seed: u64,
    filter: &HashFilter,
) -> Result<(Vec<UserKey>, Vec<[u64; 2]>)> {
    let n_strata = layers.n_strata(tenants);
    let strata: Vec<[AtomicU64; 2]> = (0..n_strata).map(|_| [const { AtomicU64::new(0) }; 2]).collect();
    let found: Mutex<Vec<Vec<UserKey>>> = Mutex::default();
    layers.for_each(tenants, seed, &|keys| {
        count_strata(&strata, keys);
        let passes = |key: &&UserKey| filter.may_have(key.hash);
        let passed: Vec<UserKey> = keys.iter().filter(passes).copied().collect();
        lock(&found).push(passed);
        Ok(())
    })?;
    let mut found = lock::into_inner(found);
    found.sort_unstable_by_key(|keys| keys.first().map(|key| key.row));
    let mut keys = found.concat();
    // Row groups that were read in another way may overlap with others.
    if !keys.is_sorted_by_key(|key| key.row) {
        keys.par_sort_unstable_by_key(|key| key.row);
    }
    let strata = strata
        .into_iter()
        .map(|counts| counts.map(AtomicU64::into_inner))
        .collect();
    Ok((keys, strata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_the_log_always_pass_and_few_others_do() {
        let hash = |prefix: &str, idx: u32| hash::hash_user_id(format!("{prefix}{idx}").as_bytes(), 0);
        for n in [0, 1, 10_000] {
            let filter = HashFilter::new(n.into());
            (0..n).for_each(|idx| filter.insert(hash("u", idx)));
            assert!((0..n).all(|idx| filter.may_have(hash("u", idx))));
            let n_others = (0..10_000).filter(|idx| filter.may_have(hash("v", *idx))).count();
            assert!(n_others < 500, "{n_others} of 10,000 pass a filter of {n}");
        }
    }
}
