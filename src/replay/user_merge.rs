//! Merges the users of a scan with those of an earlier cube, chunk by chunk of the layer table, on
//! all threads. Users without new rows are copied. Only users with new rows are counted again.

use std::path::Path;
use std::sync::Mutex;

use crate::base::error::Result;
use crate::base::lock::lock;
use crate::base::{lock, parallel};
use crate::replay::columns::damaged;
use crate::replay::cube::{ActivityRow, Cube, Exposure, ExposureRow, StageKey};
use crate::replay::finish::{Counter, DistinctUsers};
use crate::replay::seen::{UserList, UserRow, n_words};
use crate::replay::strata::Strata;
use crate::replay::user_store::{CHUNK, UserColumns, UserGroups, UsersWriter};

/// Merges the users of an earlier cube with those of a scan of other files: the users of a list, and
/// those who were `served_elsewhere`, in order. Writes the users of both. Returns their counts;
/// `None` if the earlier cube's users are not in chunks of the layer table.
///
/// # Errors
/// When the earlier users cannot be read, their counts are not those of the cube, or the file cannot
/// be written.
pub(super) fn merge_users(
    folder: &Path,
    cube: &Cube,
    list: &dyn UserList,
    served_elsewhere: &[UserRow],
    strata: &Strata,
    path: &Path,
) -> Result<Option<DistinctUsers>> {
    let n_words = n_words(strata.max_stages());
    let Some(earlier) = UserGroups::open(folder, cube, n_words)? else {
        return Ok(None);
    };
    // Counters that no thread uses at the moment.
    let idle: Mutex<Vec<Changes<'_>>> = Mutex::default();
    UsersWriter::write(path, n_words, |writer| {
        let encoder = writer.encoder();
        parallel::map_in_order(
            earlier.n_chunks(),
            |chunk| {
                let known = earlier.read(chunk)?;
                let new = users_of(list, served_elsewhere, chunk);
                let changes = lock(&idle).pop();
                let mut changes = changes.unwrap_or_else(|| Changes::new(strata));
                let users = merge_chunk(known, &new, n_words, &mut changes);
                lock(&idle).push(changes);
                users.encode(&encoder)
            },
            |_, groups| writer.append(groups),
        )
    })?;
    let (before, after): (Vec<_>, Vec<_>) = lock::into_inner(idle)
        .into_iter()
        .map(|changes| (changes.before, changes.after))
        .unzip();
    let (before, after) = (Counter::finish(before, strata), Counter::finish(after, strata));
    match counts_after(cube, &before, &after) {
        Some(counts) => Ok(Some(counts)),
        None => Err(damaged(
            folder.display().to_string(),
            &"counts of the cube's users",
            &"fewer users than users.parquet has",
        )),
    }
}

/// The counts of users with new rows, before and after these rows.
struct Changes<'a> {
    before: Counter<'a>,
    after: Counter<'a>,
}

impl<'a> Changes<'a> {
    fn new(strata: &'a Strata) -> Self {
        Self {
            before: Counter::new(strata),
            after: Counter::new(strata),
        }
    }
}

/// The users of a chunk of the layer table who were seen, in order of row and stratum.
fn users_of(list: &dyn UserList, served_elsewhere: &[UserRow], chunk: usize) -> Vec<UserRow> {
    let [first, end] = [chunk, chunk + 1].map(|chunk| chunk * CHUNK);
    let mut users: Vec<UserRow> = Vec::new();
    let rows = first.min(list.end_row())..end.min(list.end_row());
    list.for_each_seen(rows, &mut |user| users.push(*user));
    let below = |row: usize| served_elsewhere.partition_point(|user| (user.row as usize) < row);
    let elsewhere = &served_elsewhere[below(first)..below(end)];
    if !elsewhere.is_empty() {
        users.extend_from_slice(elsewhere);
        users.sort_unstable_by_key(|user| (user.row, user.stratum));
    }
    users
}

/// Merges users of a chunk. Both are in order.
fn merge_chunk(
    earlier: UserColumns,
    new: &[UserRow],
    n_words: usize,
    changes: &mut Changes<'_>,
) -> UserColumns {
    if new.is_empty() {
        return earlier;
    }
    let mut merged = UserColumns::new(n_words);
    merged.reserve(earlier.len() + new.len());
    let mut at = 0;
    for user in new {
        let (from, key) = (at, (user.row, user.stratum));
        while at < earlier.len() && earlier.key(at) < key {
            at += 1;
        }
        merged.extend(&earlier, from..at);
        let mut user = *user;
        if at < earlier.len() && earlier.key(at) == key {
            let known = earlier.user(at);
            changes.before.add(&known);
            user.seen.merge(known.seen);
            at += 1;
        }
        changes.after.add(&user);
        merged.push(&user);
    }
    merged.extend(&earlier, at..earlier.len());
    merged
}

/// The counts of a cube's users after some have changed: those of the cube, without the counts of
/// the changed users `before`, and with their counts `after`. `None` if a count would be below 0.
fn counts_after(cube: &Cube, before: &DistinctUsers, after: &DistinctUsers) -> Option<DistinctUsers> {
    let exposure = |row: &ExposureRow| ((row.stage_key(), row.group), numbers_of(&row.users));
    let exposures = [&cube.exposures, &before.exposures, &after.exposures];
    let exposures = sums_by_key(exposures.map(|rows| rows.iter().map(exposure).collect()))?;
    let activity = |row: &ActivityRow| {
        let key = (row.tenant, row.layer, row.last_window, row.group);
        (key, [row.n_users])
    };
    let active = [&cube.activity, &before.activity, &after.activity];
    let active = sums_by_key(active.map(|rows| rows.iter().map(activity).collect()))?;
    let changes = before.n_exposed.iter().zip(&after.n_exposed);
    let n_exposed = cube
        .layers
        .iter()
        .zip(changes)
        .map(|(layer, (before, after))| layer.n_exposed.checked_sub(*before).map(|n| n + after));
    let exposure_row = |((stage, group), n): ((StageKey, u16), [u64; 6])| ExposureRow {
        tenant: stage.tenant,
        layer: stage.layer,
        stage: stage.stage,
        group,
        users: users_of_numbers(n),
    };
    let activity_row = |((tenant, layer, last_window, group), [n_users]): (_, [u64; 1])| ActivityRow {
        tenant,
        layer,
        group,
        last_window,
        n_users,
    };
    Some(DistinctUsers {
        exposures: exposures.into_iter().map(exposure_row).collect(),
        activity: active.into_iter().map(activity_row).collect(),
        n_exposed: n_exposed.collect::<Option<_>>()?,
    })
}

fn numbers_of(users: &Exposure) -> [u64; 6] {
    [
        users.n_baseline,
        users.n_candidate,
        users.n_crossover,
        users.n_new_baseline,
        users.n_new_candidate,
        users.n_first_candidate,
    ]
}

fn users_of_numbers(n: [u64; 6]) -> Exposure {
    let [
        n_baseline,
        n_candidate,
        n_crossover,
        n_new_baseline,
        n_new_candidate,
        n_first_candidate,
    ] = n;
    Exposure {
        n_baseline,
        n_candidate,
        n_crossover,
        n_new_baseline,
        n_new_candidate,
        n_first_candidate,
    }
}

/// Rows of counts by key, in key order.
type Counts<K, const N: usize> = Vec<(K, [u64; N])>;

/// The first counts, without the second and with the third, in key order. Rows without users are
/// left out. `None` if a count would be below 0.
fn sums_by_key<K: Ord + Copy, const N: usize>(
    [known, removed, added]: [Counts<K, N>; 3],
) -> Option<Counts<K, N>> {
    let mut rows: Vec<(K, bool, [u64; N])> = Vec::with_capacity(known.len() + removed.len() + added.len());
    rows.extend(known.into_iter().map(|(key, n)| (key, false, n)));
    rows.extend(added.into_iter().map(|(key, n)| (key, false, n)));
    rows.extend(removed.into_iter().map(|(key, n)| (key, true, n)));
    // The lists are sorted, so this merges three runs. Additions of a key precede its subtraction.
    rows.sort_by_key(|(key, is_removed, _)| (*key, *is_removed));
    let mut sums = Vec::with_capacity(rows.len());
    for same in rows.chunk_by(|a, b| a.0 == b.0) {
        let mut total = [0_u64; N];
        for (_, is_removed, n) in same {
            for (sum, n) in total.iter_mut().zip(n) {
                *sum = if *is_removed {
                    sum.checked_sub(*n)
                } else {
                    sum.checked_add(*n)
                }?;
            }
        }
        if total != [0; N] {
            sums.push((same[0].0, total));
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_move_from_key_to_key() {
        let known = vec![(1, [5, 1]), (2, [1, 0]), (4, [2, 2])];
        let removed = vec![(1, [2, 1]), (2, [1, 0])];
        let added = vec![(1, [1, 0]), (3, [1, 1])];
        let expected = Some(vec![(1, [4, 0]), (3, [1, 1]), (4, [2, 2])]);
        assert_eq!(sums_by_key([known.clone(), removed.clone(), added]), expected);
        assert_eq!(sums_by_key([removed, known, vec![]]), None);
    }
}
