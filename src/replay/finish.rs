//! Counts distinct users from their exposures: by stage, by first exposure, and by last window.
//! Runs of users in row order come from the scan, from its partitions, and from earlier cubes.
//! Merged, they are the users of all of them.

use std::iter::Peekable;
use std::path::Path;
use std::sync::Mutex;

use crate::base::error::Result;
use crate::base::lock::lock;
use crate::base::{lock, parallel};
use crate::bucket::group_of;
use crate::replay::count_table::CountTable;
use crate::replay::cube::{ActivityRow, Exposure, ExposureRow};
use crate::replay::seen::{UserExposure, UserList, UserRow, UserRun, WORD_STAGES, n_words};
use crate::replay::strata::Strata;
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
    let mut runs: Vec<Peekable<UserRun<'_>>> = runs.into_iter().map(Iterator::peekable).collect();
    let is_alone = runs.iter_mut().all(|run| run.peek().is_none());
    let n_words = n_words(strata.max_stages());
    // Counters that no thread uses at the moment. A thread continues with one of them.
    let counters: Mutex<Vec<Counter<'_>>> = Mutex::default();
    UsersWriter::write(path, n_words, |writer| {
        if is_alone {
            // Without runs to merge, all threads count and encode chunks, which are written in
            // order.
            let encoder = writer.encoder();
            return parallel::map_in_order(
                list.end_row().div_ceil(CHUNK),
                |chunk| {
                    let rows = chunk * CHUNK..((chunk + 1) * CHUNK).min(list.end_row());
                    let n_most = list.idx_from_row(rows.end) - list.idx_from_row(rows.start);
                    let mut columns = UserColumns::with_capacity(n_words, n_most);
                    let idle = lock(&counters).pop();
                    let mut counter = idle.unwrap_or_else(|| Counter::new(strata));
                    list.for_each_seen(rows, &mut |user| {
                        counter.add(user);
                        columns.push(user);
                    });
                    lock(&counters).push(counter);
                    columns.encode(&encoder)
                },
                |_, groups| writer.append(groups),
            );
        }
        let mut counter = Counter::new(strata);
        let listed: UserRun<'_> = Box::new((0..list.len()).filter_map(|idx| list.get(idx)).map(Ok));
        runs.push(listed.peekable());
        merge(runs, &mut |user| {
            counter.add(&user);
            writer.push(&user)
        })?;
        lock(&counters).push(counter);
        Ok(())
    })?;
    Ok(Counter::finish(lock::into_inner(counters), strata))
}

/// An empty list of users.
pub(super) struct NoUsers;

impl UserList for NoUsers {
    fn len(&self) -> usize {
        0
    }

    fn end_row(&self) -> usize {
        0
    }

    fn idx_from_row(&self, _: usize) -> usize {
        0
    }

    fn get(&self, _: usize) -> Option<UserRow> {
        None
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
    /// A page is half the number of the series of a stage's baseline.
    exposures: CountTable<6>,
    /// A page is `last window * n_strata + stratum`.
    activity: CountTable<1>,
    n_exposed: Vec<u64>,
    n_words: usize,
}

impl<'a> Counter<'a> {
    pub(super) fn new(strata: &'a Strata) -> Self {
        Self {
            strata,
            exposures: CountTable::new(),
            activity: CountTable::new(),
            n_exposed: vec![0; strata.len()],
            n_words: n_words(strata.max_stages()),
        }
    }

    /// Counts a user. Each (stratum, stage) of the user is counted once.
    pub(super) fn add(&mut self, user: &UserRow) {
        let group = group_of(user.bucket);
        let (mut is_new, mut has_candidate) = (1, false);
        let [baseline, candidate] = user.seen.stages.each_ref().map(|set| set.words());
        for word in 0..self.n_words {
            let (baseline, candidate) = (baseline[word], candidate[word]);
            let mut rest = baseline | candidate;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                let is_first = u32::from(!has_candidate);
                let counts = match (baseline >> bit & 1 == 1, candidate >> bit & 1 == 1) {
                    (true, true) => [0, 0, 1, 0, 0, is_first],
                    (_, true) => [0, 1, 0, 0, is_new, is_first],
                    _ => [1, 0, 0, is_new, 0, 0],
                };
                has_candidate |= candidate >> bit & 1 == 1;
                is_new = 0;
                let stage = word * WORD_STAGES + bit as usize;
                let series = self.strata.series(user.stratum, stage, Arm::Baseline);
                let key = Strata::key(series, 0, group);
                self.exposures.add(series as usize / 2, group, key, counts);
                rest &= rest - 1;
            }
        }
        if user.seen.last > 0 {
            let window = user.seen.last - 1;
            let series = self.strata.series(user.stratum, 0, Arm::Baseline);
            let page = window as usize * self.strata.len() + user.stratum as usize;
            self.activity
                .add(page, group, Strata::key(series, window, group), [1]);
        }
        self.n_exposed[user.stratum as usize] += u64::from(has_candidate);
    }

    /// Adds the counts of all threads.
    pub(super) fn finish(counters: Vec<Self>, strata: &Strata) -> DistinctUsers {
        let mut n_exposed = vec![0; strata.len()];
        let (mut exposures, mut activity) = (Vec::new(), Vec::new());
        for counter in counters {
            let all = n_exposed.iter_mut().zip(&counter.n_exposed);
            all.for_each(|(all, more)| *all += more);
            exposures.push(counter.exposures);
            activity.push(counter.activity);
        }
        let exposures = CountTable::finish(exposures, |page, group| Strata::key(2 * page as u32, 0, group));
        let activity = CountTable::finish(activity, |page, group| {
            let stratum = (page % strata.len()) as u32;
            let series = strata.series(stratum, 0, Arm::Baseline);
            Strata::key(series, (page / strata.len()) as u32, group)
        });
        let exposure_row = |(key, n): (u64, [u64; 6])| {
            let key = strata.cell_key(key);
            let users = Exposure {
                n_baseline: n[0],
                n_candidate: n[1],
                n_crossover: n[2],
                n_new_baseline: n[3],
                n_new_candidate: n[4],
                n_first_candidate: n[5],
            };
            ExposureRow {
                tenant: key.tenant,
                layer: key.layer,
                stage: key.stage,
                group: key.group,
                users,
            }
        };
        let activity_row = |(key, [n_users]): (u64, [u64; 1])| {
            let key = strata.cell_key(key);
            ActivityRow {
                tenant: key.tenant,
                layer: key.layer,
                group: key.group,
                last_window: key.window,
                n_users,
            }
        };
        DistinctUsers {
            exposures: exposures.into_iter().map(exposure_row).collect(),
            activity: activity.into_iter().map(activity_row).collect(),
            n_exposed,
        }
    }
}
