//! Counts distinct users from their exposures: by stage, by first exposure, and by last window.
//! Runs of users in row order come from the scan, from its partitions, and from earlier cubes.
//! Merged, they are the users of all of them.

use std::convert::Infallible;
use std::iter::Peekable;
use std::path::Path;

use crate::base::error::Result;
use crate::base::parallel;
use crate::bucket::group_of;
use crate::replay::cube::{ActivityRow, CellKey, Exposure, ExposureRow};
use crate::replay::seen::{UserExposure, UserList, UserRow, UserRun, n_words};
use crate::replay::strata::Strata;
use crate::replay::sum_table::SumTable;
use crate::replay::user_store::{CHUNK, UserColumns, UsersWriter};
use crate::scenario::Arm;

/// The counts of distinct users.
pub(super) struct DistinctUsers {
    pub(super) exposures: Vec<ExposureRow>,
    pub(super) activity: Vec<ActivityRow>,
    /// The number of users who got at least one answer from the candidate, by stratum.
    pub(super) n_exposed: Vec<u64>,
}

/// Counts the users of a list and of additional runs, and writes the users to a file for later
/// merges.
///
/// # Errors
/// When a run returns an error, or the file cannot be written.
pub(super) fn count_users(
    list: &dyn UserList,
    runs: Vec<UserRun<'_>>,
    strata: &Strata,
    path: &Path,
) -> Result<DistinctUsers> {
    let mut counter = Counter::new(strata);
    let mut runs: Vec<Peekable<UserRun<'_>>> = runs.into_iter().map(Iterator::peekable).collect();
    let is_alone = runs.iter_mut().all(|run| run.peek().is_none());
    let n_words = n_words(strata.max_stages());
    UsersWriter::write(path, n_words, |writer| {
        if is_alone {
            // Without runs to merge, all threads count and encode chunks, which are written in
            // order.
            return parallel::map_in_order(
                list.len().div_ceil(CHUNK),
                |chunk| {
                    let (mut users, mut counter) = (UserColumns::new(n_words), Counter::new(strata));
                    for user in
                        (chunk * CHUNK..((chunk + 1) * CHUNK).min(list.len())).filter_map(|idx| list.get(idx))
                    {
                        counter.add(&user);
                        users.push(&user);
                    }
                    counter.flush();
                    Ok((users.into_batch(), counter))
                },
                |_, (batch, other)| {
                    counter.merge(&other);
                    writer.write_batch(&batch)
                },
            );
        }
        let listed: UserRun<'_> = Box::new((0..list.len()).filter_map(|idx| list.get(idx)).map(Ok));
        runs.push(listed.peekable());
        merge(runs, &mut |user| {
            counter.add(&user);
            writer.push(&user)
        })
    })?;
    Ok(counter.into_counts())
}

/// An empty list of users.
pub(super) struct NoUsers;

impl UserList for NoUsers {
    fn len(&self) -> usize {
        0
    }

    fn get(&self, _: usize) -> Option<UserRow> {
        None
    }

    fn first_from(&self, _: usize) -> usize {
        0
    }
}

/// Merges the runs and passes each user once to `on_user`, in order.
fn merge(mut runs: Vec<Peekable<UserRun<'_>>>, on_user: &mut dyn FnMut(UserRow) -> Result<()>) -> Result<()> {
    loop {
        let mut least: Option<(u32, u32)> = None;
        for run in &mut runs {
            match run.peek() {
                Some(Ok(user)) => {
                    least = Some(least.map_or((user.row, user.stratum), |least| {
                        least.min((user.row, user.stratum))
                    }))
                }
                // An error sorts first, so that the loop below returns it next.
                Some(Err(_)) => least = Some((0, 0)),
                None => {}
            }
        }
        let Some(least) = least else { return Ok(()) };
        let mut merged: Option<UserRow> = None;
        for run in &mut runs {
            let is_next = |user: &Result<UserRow>| {
                user.as_ref()
                    .map_or(true, |user| (user.row, user.stratum) == least)
            };
            while let Some(user) = run.next_if(is_next) {
                let user = user?;
                merged
                    .get_or_insert(UserRow {
                        seen: UserExposure::default(),
                        ..user
                    })
                    .seen
                    .merge(user.seen);
            }
        }
        if let Some(user) = merged {
            on_user(user)?;
        }
    }
}

/// Counts distinct users by stage, first exposure and last window.
pub(super) struct Counter<'a> {
    strata: &'a Strata,
    exposures: SumTable<u64>,
    activity: SumTable<u64>,
    n_exposed: Vec<u64>,
    /// Buffered updates: keys of stages with the counts to add, and keys of last windows.
    keys: Vec<u64>,
    added: Vec<[u64; 6]>,
    active: Vec<u64>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(strata: &'a Strata) -> Self {
        Self {
            strata,
            exposures: SumTable::new(6),
            activity: SumTable::new(1),
            n_exposed: vec![0; strata.len()],
            keys: Vec::new(),
            added: Vec::new(),
            active: Vec::new(),
        }
    }

    /// Adds the counts of another counter.
    fn merge(&mut self, other: &Self) {
        let add = |a: u64, b: u64| Ok::<_, Infallible>(a + b);
        let Ok(()) = self.exposures.merge(&other.exposures, add);
        let Ok(()) = self.activity.merge(&other.activity, add);
        self.n_exposed
            .iter_mut()
            .zip(&other.n_exposed)
            .for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Counts a user. Each (stratum, stage) of the user is counted once.
    pub(super) fn add(&mut self, user: &UserRow) {
        let [baseline, candidate] = user.seen.stages;
        let group = group_of(user.bucket);
        let first_candidate = candidate.iter().next();
        for (nth, stage) in baseline.union(&candidate).iter().enumerate() {
            let is_new = u64::from(nth == 0);
            let is_first_candidate = u64::from(first_candidate == Some(stage));
            self.added
                .push(match (baseline.contains(stage), candidate.contains(stage)) {
                    (true, true) => [0, 0, 1, 0, 0, is_first_candidate],
                    (_, true) => [0, 1, 0, 0, is_new, is_first_candidate],
                    _ => [1, 0, 0, is_new, 0, 0],
                });
            self.keys.push(Strata::key(
                self.strata.series(user.stratum, stage, Arm::Baseline),
                0,
                group,
            ));
        }
        if user.seen.last > 0 {
            self.active.push(Strata::key(
                self.strata.series(user.stratum, 0, Arm::Baseline),
                user.seen.last - 1,
                group,
            ));
        }
        self.n_exposed[user.stratum as usize] += u64::from(first_candidate.is_some());
        if self.keys.len() >= 1_024 || self.active.len() >= 1_024 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut rows = Vec::new();
        self.exposures.rows(&self.keys, &mut rows);
        for (row, added) in rows.iter().zip(&self.added) {
            self.exposures
                .sums_mut(*row)
                .iter_mut()
                .zip(added)
                .for_each(|(sum, more)| *sum += more);
        }
        self.activity.rows(&self.active, &mut rows);
        rows.iter().for_each(|row| self.activity.sums_mut(*row)[0] += 1);
        self.keys.clear();
        self.added.clear();
        self.active.clear();
    }

    /// Adds the counts of all threads.
    pub(super) fn finish(counters: Vec<Self>, strata: &'a Strata) -> DistinctUsers {
        let mut all = Self::new(strata);
        for mut counter in counters {
            counter.flush();
            all.merge(&counter);
        }
        all.into_counts()
    }

    fn into_counts(mut self) -> DistinctUsers {
        self.flush();
        let (mut exposures, mut activity) = (Vec::new(), Vec::new());
        let add = |a: u64, b: u64| Ok::<_, Infallible>(a + b);
        let Ok(()) = SumTable::for_each_sorted(vec![self.exposures], add, |key, n| {
            let key = self.strata.cell_key(key);
            let users = Exposure {
                n_baseline: n[0],
                n_candidate: n[1],
                n_crossover: n[2],
                n_new_baseline: n[3],
                n_new_candidate: n[4],
                n_first_candidate: n[5],
            };
            exposures.push(ExposureRow {
                tenant: key.tenant,
                layer: key.layer,
                stage: key.stage,
                group: key.group,
                users,
            });
        });
        let Ok(()) = SumTable::for_each_sorted(vec![self.activity], add, |key, n| {
            let key = self.strata.cell_key(key);
            let CellKey {
                tenant,
                layer,
                group,
                window: last_window,
                ..
            } = key;
            activity.push(ActivityRow {
                tenant,
                layer,
                group,
                last_window,
                n_users: n[0],
            });
        });
        DistinctUsers {
            exposures,
            activity,
            n_exposed: self.n_exposed,
        }
    }
}
