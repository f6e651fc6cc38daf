//! Features from raw events: one pass over an event or transaction log gives each user's recency, frequency and value.

use arrow_array::{Array, Float64Array, StringArray};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::{batch::RowFaults, convert, source::Table, users::UserBatch};
use crate::{
    error::{Error, Result},
    scenario::{Events, OnBadRow},
    time::{self, DAY, Micros, SECOND},
};

/// What the events before `as_of` say of one user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserFeatures {
    /// The user.
    pub user_id: String,
    /// First event.
    pub first_event: Micros,
    /// Last event: `last_use_time`.
    pub last_event: Micros,
    /// Events.
    pub n_events: u64,
    /// Distinct UTC days with events.
    pub n_days: u64,
    /// Events in the use window before `as_of`: `use_count`.
    pub use_count: u64,
    /// Sum of `value` in the value window before `as_of`, in millionths: `user_value`.
    pub value_micros: i64,
}

/// What was read to build features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSummary {
    /// Rows used.
    pub n_events: u64,
    /// Users.
    pub n_users: u64,
    /// Rows at or after `as_of`, which are not known yet.
    pub n_after_as_of: u64,
    /// Rows left out, by reason.
    pub bad_rows: BTreeMap<String, u64>,
}

/// Reads an event log: canonical columns `user_id`, `event_time` and, optionally, `value`. Users come in order of first appearance.
///
/// Values are quantised to millionths and added as integers, so the order of rows does not matter.
///
/// # Errors
/// A file that cannot be read, a required column that is not there, or a bad row under the policy `error`.
pub fn read_events(events: &Events, as_of: Micros, on_bad_row: OnBadRow) -> Result<(Vec<UserFeatures>, EventSummary)> {
    let table = Table::open(&events.source)?;
    table.check_columns(&["user_id", "event_time"])?;
    let mut users: Vec<UserFeatures> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut days: BTreeSet<(usize, i64)> = BTreeSet::new();
    let mut summary = EventSummary { n_events: 0, n_users: 0, n_after_as_of: 0, bad_rows: BTreeMap::new() };
    for part in &table.parts {
        table.read(*part, &["user_id", "event_time", "value"], &mut |batch| {
            let mut faults = RowFaults::new(on_bad_row, batch.n_rows);
            let (Some(ids), Some(times)) = (convert::required_text(&batch, 0, &mut faults)?, convert::instant(&batch, 1, &mut faults)?)
            else {
                return Ok(());
            };
            for row in (0..batch.n_rows).filter(|row| times.is_null(*row)) {
                faults.note(&batch, table.name_in_file("event_time"), row, "an instant", &"none")?;
            }
            let values = convert::units(&batch, 2, crate::metric::ColumnKind::Real, f64::NEG_INFINITY, &mut faults)?;
            for row in (0..batch.n_rows).filter(|row| !faults.is_bad(*row)) {
                let at = times.value(row);
                if at >= as_of {
                    summary.n_after_as_of += 1;
                    continue;
                }
                let idx = *index.entry_ref(ids.value(row)).or_insert_with(|| {
                    users.push(UserFeatures::new(ids.value(row), at));
                    users.len() - 1
                });
                let value = values.as_ref().filter(|values| values.is_valid(row)).map_or(0, |values| values.value(row));
                users[idx]
                    .add(events, as_of, at, value)
                    .ok_or_else(|| Error::input(batch.place("value", row), "expected values whose sum fits, found an overflow"))?;
                days.insert((idx, at.div_euclid(DAY)));
                summary.n_events += 1;
            }
            for (reason, n) in faults.into_counts() {
                *summary.bad_rows.entry(reason).or_default() += n;
            }
            Ok(())
        })?;
    }
    if users.is_empty() {
        return Err(Error::input(
            events.source.path.display().to_string(),
            format!("expected events before {}, found none", time::format(as_of)),
        ));
    }
    for (idx, _) in days {
        users[idx].n_days += 1;
    }
    summary.n_users = users.len() as u64;
    Ok((users, summary))
}

impl UserFeatures {
    fn new(user_id: &str, at: Micros) -> Self {
        Self { user_id: user_id.to_owned(), first_event: at, last_event: at, n_events: 0, n_days: 0, use_count: 0, value_micros: 0 }
    }

    fn add(&mut self, events: &Events, as_of: Micros, at: Micros, value: i64) -> Option<()> {
        self.first_event = self.first_event.min(at);
        self.last_event = self.last_event.max(at);
        self.n_events += 1;
        if at >= as_of.saturating_sub(events.use_window) {
            self.use_count += 1;
        }
        if at >= as_of.saturating_sub(events.value_window) {
            self.value_micros = self.value_micros.checked_add(value)?;
        }
        Some(())
    }

    /// The users as a table that the layer kernel reads: recency, frequency and value, no acceptance score.
    pub fn to_users(features: &[Self]) -> UserBatch {
        let column = |value: &dyn Fn(&Self) -> f64| Some(features.iter().map(|user| Some(value(user))).collect::<Float64Array>());
        UserBatch {
            last_use_secs: column(&|user| user.last_event as f64 / SECOND as f64),
            use_count: column(&|user| user.use_count as f64),
            user_value: column(&|user| user.value_micros as f64 / 1e6),
            ..UserBatch::of_ids(features.iter().map(|user| Some(user.user_id.as_str())).collect::<StringArray>(), None)
        }
    }
}
