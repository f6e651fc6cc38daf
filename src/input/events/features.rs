//! The features of all users: gathered from the partitions in the order of the users' first rows.

use arrow_array::{Array, Float64Array, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use rayon::prelude::*;

use crate::base::error::{Error, Result};
use crate::base::time::{Micros, SECOND};
use crate::input::events::days::DaySum;
use crate::input::events::partition::Partition;
use crate::input::users::UserBatch;

/// Number of users that a thread gathers at once.
const CHUNK: usize = 16_384;
/// Number of users ahead whose records are prefetched.
const AHEAD: usize = 16;

/// The features of users from the events before `as_of`, one entry a user in each column. Users are
/// in the order of their first rows.
#[derive(Debug, Clone, PartialEq)]
pub struct UserFeatures {
    /// Ids, each unique within a tenant.
    pub user_id: StringArray,
    /// Tenants. `None` if the log has no column `tenant_id`. Null for a user whose first row is in
    /// a file without that column.
    pub tenant_id: Option<StringArray>,
    /// Times of the first events, microseconds, UTC.
    pub first_event: Vec<Micros>,
    /// Times of the last events, microseconds, UTC. They become `last_use_time`.
    pub last_event: Vec<Micros>,
    /// Numbers of events before `as_of`.
    pub n_events: Vec<u32>,
    /// Numbers of local days with events before `as_of`.
    pub n_days: Vec<u32>,
    /// Numbers of events in the use window before `as_of`. They become `use_count`.
    pub use_count: Vec<u32>,
    /// Sums of `value` in the value window before `as_of`, millionths. They become `user_value`.
    pub value_micros: Vec<i64>,
    /// Local days with events before `as_of`. `None` if they were not asked for.
    pub days: Option<UserDays>,
    /// Days with events from `as_of` until the end of observation. Only the RFM summary may use
    /// them. `None` if they were not asked for.
    pub later_days: Option<UserDays>,
}

/// The days with events of each user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserDays {
    /// The end of each user's days.
    ends: Vec<usize>,
    days: Vec<(i32, i64)>,
}

impl UserDays {
    /// Returns a user's days in order: the number of days since 1970-01-01, and the day's sum of
    /// `value` in millionths.
    pub fn get(&self, user: usize) -> &[(i32, i64)] {
        let start = user.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.days[start..self.ends[user]]
    }

    /// `sums` has the users' indices.
    fn new(mut sums: Vec<DaySum>, n_users: usize) -> Self {
        sums.par_sort_unstable_by_key(|(user, day, _)| (*user, *day));
        let mut ends = vec![0; n_users];
        for (user, ..) in &sums {
            ends[*user as usize] += 1;
        }
        let mut end = 0;
        for n in &mut ends {
            end += *n;
            *n = end;
        }
        Self {
            ends,
            days: sums.into_iter().map(|(_, day, sum)| (day, sum)).collect(),
        }
    }
}

/// Whether the file of a row has tenants.
pub(super) type HasTenant<'a> = dyn Fn(u64) -> bool + Sync + 'a;

/// The number of a user's first row, and the user's partition and index in it.
type Position = (u64, u32, u32);

/// The columns of some consecutive users.
struct Chunk<'a> {
    users: &'a [Position],
    first_event: &'a mut [Micros],
    last_event: &'a mut [Micros],
    n_events: &'a mut [u32],
    n_days: &'a mut [u32],
    use_count: &'a mut [u32],
    value_micros: &'a mut [i64],
}

/// The ids of a chunk, the end of each id, and the number of each user's tenant, counted from 1. 0 for
/// a user without a tenant; no numbers if no file has tenants.
type ChunkIds = (Vec<u8>, Vec<u32>, Vec<u32>);

impl UserFeatures {
    /// Gathers the users of all partitions with events before `as_of`. `tenant_names` are the names
    /// of the tenants by number. `has_tenant` is `None` if no file has tenants.
    ///
    /// # Errors
    /// The ids do not fit in one array.
    pub(super) fn gather(
        mut partitions: Vec<Partition>,
        tenant_names: &[String],
        has_tenant: Option<&HasTenant<'_>>,
        wants_days: bool,
    ) -> Result<Self> {
        partitions.par_iter_mut().for_each(Partition::close);
        let order = order(&partitions);
        let n_users = order.len();
        let [days, later_days] = if wants_days {
            days(&mut partitions, &order).map(Some)
        } else {
            [None, None]
        };
        let times = || vec![0; n_users];
        let counts = || vec![0; n_users];
        let (mut first_event, mut last_event, mut value_micros) = (times(), times(), times());
        let (mut n_events, mut n_days, mut use_count) = (counts(), counts(), counts());
        let chunks: Vec<Chunk<'_>> = order
            .chunks(CHUNK)
            .zip(first_event.chunks_mut(CHUNK))
            .zip(last_event.chunks_mut(CHUNK))
            .zip(n_events.chunks_mut(CHUNK))
            .zip(n_days.chunks_mut(CHUNK))
            .zip(use_count.chunks_mut(CHUNK))
            .zip(value_micros.chunks_mut(CHUNK))
            .map(
                |((((((users, first_event), last_event), n_events), n_days), use_count), value_micros)| {
                    Chunk {
                        users,
                        first_event,
                        last_event,
                        n_events,
                        n_days,
                        use_count,
                        value_micros,
                    }
                },
            )
            .collect();
        let ids: Vec<ChunkIds> = chunks
            .into_par_iter()
            .map(|chunk| chunk.fill(&partitions, has_tenant))
            .collect();
        drop(partitions);
        let has_tenants = ids
            .iter()
            .any(|(.., tenants)| tenants.iter().any(|tenant| *tenant > 0));
        let tenant_id = has_tenants.then(|| {
            let numbers = ids.iter().flat_map(|(.., tenants)| tenants);
            let name = |number: &u32| Some(tenant_names[number.checked_sub(1)? as usize].as_str());
            numbers.map(name).collect()
        });
        Ok(Self {
            user_id: joined(&ids)?,
            tenant_id,
            first_event,
            last_event,
            n_events,
            n_days,
            use_count,
            value_micros,
            days,
            later_days,
        })
    }

    /// Returns the number of users.
    pub fn n_users(&self) -> usize {
        self.user_id.len()
    }

    /// Returns the users as a table for the layer kernel, with recency, frequency and value. There
    /// is no acceptance score.
    pub fn into_users(self) -> UserBatch {
        // Numbers of the same size are converted in their place.
        let last_use_secs = self.last_event.into_iter().map(|at| at as f64 / SECOND as f64);
        let use_count = self.use_count.into_iter().map(f64::from);
        let user_value = self.value_micros.into_iter().map(|value| value as f64 / 1e6);
        UserBatch {
            last_use_secs: Some(Float64Array::from(last_use_secs.collect::<Vec<_>>())),
            use_count: Some(Float64Array::from(use_count.collect::<Vec<_>>())),
            user_value: Some(Float64Array::from(user_value.collect::<Vec<_>>())),
            ..UserBatch::from_ids(self.user_id, self.tenant_id)
        }
    }
}

/// The users with events before `as_of`, in the order of their first rows.
fn order(partitions: &[Partition]) -> Vec<Position> {
    let n_users = partitions.iter().map(|partition| partition.users.len()).sum();
    let mut order = Vec::with_capacity(n_users);
    for (number, partition) in partitions.iter().enumerate() {
        let known = partition
            .users
            .iter()
            .zip(0..)
            .filter(|(user, _)| user.n_events > 0);
        order.extend(known.map(|(user, idx)| (user.first_row, number as u32, idx)));
    }
    order.par_sort_unstable();
    order
}

impl Chunk<'_> {
    fn fill(self, partitions: &[Partition], has_tenant: Option<&HasTenant<'_>>) -> ChunkIds {
        let n = self.users.len();
        let (mut ids, mut ends, mut tenants) =
            (Vec::with_capacity(n * 12), Vec::with_capacity(n), Vec::new());
        for (at, (row, partition, idx)) in self.users.iter().enumerate() {
            if let Some((_, partition, idx)) = self.users.get(at + AHEAD) {
                partitions[*partition as usize].users.prefetch(*idx);
            }
            let partition = &partitions[*partition as usize];
            let user = partition.users.get(*idx);
            self.first_event[at] = user.first_event;
            self.last_event[at] = user.last_event;
            self.n_events[at] = user.n_events;
            self.n_days[at] = user.days.n_days();
            self.use_count[at] = user.use_count;
            self.value_micros[at] = user.value;
            let mut short = Default::default();
            let (tenant, id) = user.key.parts(&partition.texts, &mut short);
            ids.extend_from_slice(id);
            ends.push(ids.len() as u32);
            if let Some(has_tenant) = has_tenant {
                tenants.push(if has_tenant(*row) { tenant + 1 } else { 0 });
            }
        }
        (ids, ends, tenants)
    }
}

/// Joins the ids of all chunks.
fn joined(chunks: &[ChunkIds]) -> Result<StringArray> {
    let too_long = |found: &dyn std::fmt::Display| {
        Error::input(
            "users",
            format!("expected ids that fit in memory, found: {found}"),
        )
    };
    let n_bytes = chunks.iter().map(|(ids, ..)| ids.len()).sum();
    let n_users: usize = chunks.iter().map(|(_, ends, _)| ends.len()).sum();
    let mut bytes: Vec<u8> = Vec::with_capacity(n_bytes);
    let mut ends: Vec<i32> = Vec::with_capacity(n_users + 1);
    ends.push(0);
    i32::try_from(n_bytes).map_err(|_| too_long(&format!("{n_bytes} bytes")))?;
    for (of_chunk, ends_of_chunk, _) in chunks {
        let start = bytes.len();
        bytes.extend_from_slice(of_chunk);
        ends.extend(ends_of_chunk.iter().map(|end| start as i32 + *end as i32));
    }
    let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
    StringArray::try_new(ends, Buffer::from_vec(bytes), None).map_err(|error| too_long(&error))
}

/// The days of the users of `order`: before `as_of`, and later.
fn days(partitions: &mut [Partition], order: &[Position]) -> [UserDays; 2] {
    let mut ranks: Vec<Vec<u32>> = partitions
        .iter()
        .map(|partition| vec![u32::MAX; partition.users.len()])
        .collect();
    for (rank, (_, partition, idx)) in (0..).zip(order) {
        ranks[*partition as usize][*idx as usize] = rank;
    }
    let mut all = [Vec::new(), Vec::new()];
    for (partition, ranks) in partitions.iter_mut().zip(ranks) {
        for (all, sums) in all.iter_mut().zip(partition.take_days()) {
            let ranked = sums
                .into_iter()
                .map(|(user, day, sum)| (ranks[user as usize], day, sum));
            all.extend(ranked.filter(|(rank, ..)| *rank < u32::MAX));
        }
    }
    all.map(|sums| UserDays::new(sums, order.len()))
}
