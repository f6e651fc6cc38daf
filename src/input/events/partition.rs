//! The users of a partition of hashes, and their features so far.

use hashbrown::HashMap;

use crate::base::time::Micros;
use crate::input::events::days::{DayBlocks, DaySet, DaySum, DaySums};
use crate::input::events::index::Index;
use crate::input::events::key::{Key, Texts};
use crate::input::events::slab::Slab;

/// Number of partitions, as a power of two. More than one thread rarely needs the same one.
const PARTITION_BITS: u32 = 8;
pub(super) const N_PARTITIONS: usize = 1 << PARTITION_BITS;
/// Number of events that a partition gets at once. Their users are prefetched together.
const BATCH: usize = 64;

/// The rules by which events count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Events from this instant on are not known yet.
    pub(super) as_of: Micros,
    /// The local day of `as_of`.
    pub(super) as_of_day: i32,
    /// Events from this instant on are uses.
    pub(super) uses_from: Micros,
    /// Events from this instant on have values that count.
    pub(super) values_from: Micros,
    /// Whether the sums by day are needed.
    pub(super) wants_days: bool,
    /// Whether sums may overflow. Events are then added in the order of rows, and each sum is
    /// checked.
    pub(super) is_checked: bool,
    /// Seed of the hashes.
    pub(super) seed: u64,
}

/// An event of a user.
#[derive(Debug, Clone, Copy)]
struct Event {
    key: Key,
    at: Micros,
    /// Value in millionths.
    value: i64,
    /// Number of the row in the log.
    row: u64,
    hash: u32,
    /// The local day, a number of days since 1970-01-01.
    day: i32,
}

/// Events of one partition that wait until they are added.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: Vec<Event>,
    texts: Texts,
}

/// An event as a reader finds it: instant, local day, value in millionths and number of the row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) at: Micros,
    pub(super) day: i32,
    pub(super) value: i64,
    pub(super) row: u64,
}

/// The features of a user. A user without events before `as_of` has `n_events` 0.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct User {
    pub(super) key: Key,
    pub(super) first_event: Micros,
    pub(super) last_event: Micros,
    /// Number of the first row of an event before `as_of`.
    pub(super) first_row: u64,
    pub(super) value: i64,
    pub(super) n_events: u32,
    pub(super) use_count: u32,
    pub(super) days: DaySet,
}

/// The users of a partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    index: Index,
    pub(super) users: Slab<User>,
    pub(super) texts: Texts,
    blocks: DayBlocks,
    /// Sums by day of the events before `as_of`, if they are needed.
    days: DaySums,
    /// Sums by day of the later events, if they are needed.
    later: DaySums,
    /// Sum of the magnitudes of all values. No sum of a user overflows if it does not.
    magnitude: u64,
    /// With checked sums: the sum of each user and day so far.
    checked: HashMap<(u32, i32), i64>,
    /// With checked sums: the first row whose value made a sum overflow.
    pub(super) overflow: Option<u64>,
    /// Whether a user has more events than can be counted.
    pub(super) has_too_many: bool,
}

impl Waiting {
    /// Adds an event to the list of its partition among `all`. Returns the partition if its list is
    /// full.
    #[inline]
    pub(super) fn push(
        all: &mut [Self],
        (key, tenant, texts): (Key, u32, &Texts),
        found: Found,
        seed: u64,
    ) -> Option<usize> {
        // The list of a long id depends on its hash in the tenant, so the text is moved afterwards.
        let hash = key.hash_in(tenant, seed);
        let partition = (hash >> (u64::BITS - PARTITION_BITS)) as usize;
        let waiting = &mut all[partition];
        let Found { at, day, value, row } = found;
        waiting.events.push(Event {
            key: key.moved(tenant, texts, &mut waiting.texts, seed),
            at,
            value,
            row,
            hash: hash as u32,
            day,
        });
        (waiting.events.len() == BATCH).then_some(partition)
    }

    /// Removes all events.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.texts.truncate(0);
    }
}

impl Partition {
    /// Adds the events of a list.
    pub(super) fn add(&mut self, waiting: &Waiting, rules: &Rules) {
        for event in &waiting.events {
            self.index.prefetch(event.hash);
        }
        let mut likely = [None; BATCH];
        for (likely, event) in likely.iter_mut().zip(&waiting.events) {
            *likely = self.index.find(event.hash, |_| true);
            if let Some(user) = *likely {
                self.users.prefetch(user);
            }
        }
        for user in likely.iter().flatten() {
            self.users.get(*user).days.prefetch(&self.blocks);
        }
        for (likely, event) in likely.into_iter().zip(&waiting.events) {
            let is_same = |user: u32| {
                event
                    .key
                    .is_same(&waiting.texts, self.users.get(user).key, &self.texts)
            };
            let user = match likely.filter(|user| is_same(*user)) {
                Some(user) => user,
                None => match self.index.find(event.hash, is_same) {
                    Some(user) => user,
                    None => self.insert(event, &waiting.texts),
                },
            };
            self.magnitude = self.magnitude.saturating_add(event.value.unsigned_abs());
            if event.at >= rules.as_of {
                let row = (user, event.day, event.value);
                if rules.is_checked {
                    self.later.append(row);
                } else {
                    self.later.add(row);
                }
            } else if self.count(user, event, rules).is_none() && self.overflow.is_none() {
                self.overflow = Some(event.row);
            }
        }
    }

    fn insert(&mut self, event: &Event, texts: &Texts) -> u32 {
        let user = self.users.push(User {
            key: event.key.copied(texts, &mut self.texts),
            first_event: Micros::MAX,
            last_event: Micros::MIN,
            first_row: u64::MAX,
            value: 0,
            n_events: 0,
            use_count: 0,
            days: DaySet::default(),
        });
        self.index.insert(event.hash, user);
        user
    }

    /// Counts an event before `as_of`. `None` if a checked sum overflows.
    fn count(&mut self, idx: u32, event: &Event, rules: &Rules) -> Option<()> {
        let user = self.users.get_mut(idx);
        user.first_event = user.first_event.min(event.at);
        user.last_event = user.last_event.max(event.at);
        user.first_row = user.first_row.min(event.row);
        match user.n_events.checked_add(1) {
            Some(n) => user.n_events = n,
            None => self.has_too_many = true,
        }
        user.use_count += u32::from(event.at >= rules.uses_from && !self.has_too_many);
        user.days
            .insert(rules.as_of_day.abs_diff(event.day), &mut self.blocks);
        let counted = if event.at >= rules.values_from {
            event.value
        } else {
            0
        };
        if rules.is_checked {
            user.value = user.value.checked_add(counted)?;
            let sum = self.checked.entry((idx, event.day)).or_default();
            *sum = sum.checked_add(event.value)?;
        } else {
            // A sum that wraps around is computed again with checks: see `may_overflow`.
            user.value = user.value.wrapping_add(counted);
        }
        if rules.wants_days {
            self.days.add((idx, event.day, event.value));
        }
        Some(())
    }

    /// Whether a sum of a user may have overflowed.
    pub(super) fn may_overflow(&self) -> bool {
        i64::try_from(self.magnitude).is_err()
    }

    /// Whether a sum of later events overflows, for a user with events before `as_of`.
    pub(super) fn later_overflows(&self) -> bool {
        self.later.overflows(|user| self.users.get(user).n_events > 0)
    }

    /// Counts the days of each user, and frees what only [`Self::add`] needs.
    pub(super) fn close(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        for user in self.users.iter_mut() {
            user.days = DaySet::closed(user.days.len(&blocks));
        }
        self.index = Index::default();
        self.checked = HashMap::new();
    }

    /// Takes the sums by day before `as_of`, and those of later events.
    pub(super) fn take_days(&mut self) -> [Vec<DaySum>; 2] {
        [&mut self.days, &mut self.later].map(|sums| std::mem::take(sums).into_rows())
    }
}
