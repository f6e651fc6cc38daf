//! Features from raw events: one pass over a log of events or transactions computes each user's
//! recency, frequency and value.

use arrow_array::{Array, Float64Array, StringArray};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time;
use crate::base::time::{DayClock, Micros, SECOND, Zone};
use crate::input::convert;
use crate::input::table::Table;
use crate::input::users::{UserBatch, tenant_at};
use crate::metric::Reading;
use crate::scenario::{Events, OnBadRow};

/// The features of one user, from the events before `as_of`.
#[derive(Debug, Clone, PartialEq)]
pub struct UserFeatures {
    /// The tenant. `None` if the log has no column `tenant_id`.
    pub tenant_id: Option<String>,
    /// Id of the user, unique within a tenant.
    pub user_id: String,
    /// Time of the first event, microseconds, UTC.
    pub first_event: Micros,
    /// Time of the last event, microseconds, UTC. It becomes `last_use_time`.
    pub last_event: Micros,
    /// Number of events before `as_of`.
    pub n_events: u64,
    /// Number of events in the use window before `as_of`. It becomes `use_count`.
    pub use_count: u64,
    /// Sum of `value` in the value window before `as_of`, millionths. It becomes `user_value`.
    pub value_micros: i64,
    /// Local days with events before `as_of`, in order: the number of days since 1970-01-01, and
    /// the day's sum of `value` in millionths.
    pub days: Vec<(i32, i64)>,
    /// Days with events from `as_of` until the end of observation, in the form of `days`. Only the
    /// RFM summary may use them.
    pub later_days: Vec<(i32, i64)>,
}

/// Statistics of reading an event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSummary {
    /// Number of rows used.
    pub n_events: u64,
    /// Number of users with at least one event before `as_of`.
    pub n_users: u64,
    /// Number of rows at or after `as_of`, which are not known yet.
    pub n_after_as_of: u64,
    /// Numbers of rows left out, by reason.
    pub bad_rows: BTreeMap<String, u64>,
}

/// The canonical columns of an event log.
const COLUMNS: [&str; 4] = ["user_id", "event_time", "value", "tenant_id"];

/// Opens an event log.
///
/// # Errors
/// There is no readable file, a required or renamed column is missing, or the source renames an
/// unknown column.
pub fn open_events(events: &Events) -> Result<Table> {
    let table = Table::open(&events.source)?;
    table.check_names(COLUMNS.into_iter())?;
    table.check_columns(&COLUMNS[..2])?;
    Ok(table)
}

/// Reads an event log that [`open_events`] opened, with the canonical columns `user_id`,
/// `event_time` and, optionally, `value` and `tenant_id`. Users are in the order of their first
/// rows. Rows are streamed, so memory grows with the number of users and their days.
///
/// Days are those of `zone`. Events from `as_of` until `observed_until` are stored separately, for
/// the RFM summary. A user whose events all lie at or after `as_of` is left out.
///
/// Values are rounded to millionths and summed as integers, so the order of rows does not matter.
///
/// # Errors
/// A file cannot be read, there is no event before `as_of`, a sum overflows, or a row is bad under
/// the policy `error`.
pub fn read_events(
    table: &Table,
    events: &Events,
    as_of: Micros,
    observed_until: Micros,
    on_bad_row: OnBadRow,
    zone: &Zone,
    progress: &Progress,
) -> Result<(Vec<UserFeatures>, EventSummary)> {
    let bar = progress.rows("events", table.n_rows());
    let mut days = DayClock::new(zone);
    let mut users: Vec<UserFeatures> = Vec::new();
    let mut index: HashMap<String, HashMap<String, usize>> = HashMap::new();
    let mut later: Vec<(String, String, Micros, i64)> = Vec::new();
    let mut summary = EventSummary {
        n_events: 0,
        n_users: 0,
        n_after_as_of: 0,
        bad_rows: BTreeMap::new(),
    };
    let value = Reading {
        column: "value".into(),
        test: None,
        limits: None,
    };
    for part in &table.parts {
        table.read(*part, &COLUMNS, &mut |batch| {
            let mut faults = batch.faults(on_bad_row)?;
            let (Some(ids), Some(times)) = (
                convert::required_text(&batch, 0, &mut faults)?,
                convert::instant(&batch, 1, &mut faults)?,
            ) else {
                return Ok(());
            };
            for row in (0..batch.n_rows).filter(|row| times.is_null(*row)) {
                faults.record(
                    &batch,
                    table.name_in_file("event_time"),
                    row,
                    time::EXPECTED,
                    &"none",
                )?;
            }
            let values = convert::units(&batch, 2, &value, &mut faults)?;
            let tenants = convert::text(&batch, 3)?;
            for row in (0..batch.n_rows).filter(|row| !faults.is_bad(*row)) {
                let at = times.value(row);
                let tenant = tenant_at(tenants.as_ref(), row);
                let value = values
                    .as_ref()
                    .filter(|values| values.is_valid(row))
                    .map_or(0, |values| values.value(row));
                if at >= as_of {
                    summary.n_after_as_of += 1;
                    if at < observed_until {
                        later.push((tenant.to_owned(), ids.value(row).to_owned(), at, value));
                    }
                    continue;
                }
                let of_tenant = match index.get_mut(tenant) {
                    Some(of_tenant) => of_tenant,
                    None => index.entry(tenant.to_owned()).or_default(),
                };
                let idx = *of_tenant.entry_ref(ids.value(row)).or_insert_with(|| {
                    let tenant_id = tenants.is_some().then(|| tenant.to_owned());
                    users.push(UserFeatures::new(tenant_id, ids.value(row), at));
                    users.len() - 1
                });
                users[idx]
                    .add(events, as_of, (at, days.day(at)), value)
                    .ok_or_else(|| {
                        Error::input(
                            batch.location("value", row),
                            "expected values whose sum fits, found an overflow",
                        )
                    })?;
                summary.n_events += 1;
            }
            bar.advance(batch.n_rows as u64);
            for (reason, n) in faults.into_counts() {
                *summary.bad_rows.entry(reason).or_default() += n;
            }
            Ok(())
        })?;
    }
    if users.is_empty() {
        return Err(Error::in_file(
            &events.source.path,
            format!("expected events before {}, found none", time::format(as_of)),
        ));
    }
    for (tenant, user_id, at, value) in later {
        if let Some(idx) = index.get(&tenant).and_then(|of_tenant| of_tenant.get(&user_id)) {
            add_day(&mut users[*idx].later_days, days.day(at), value).ok_or_else(|| {
                Error::in_file(
                    &events.source.path,
                    "expected values whose sum fits, found an overflow",
                )
            })?;
        }
    }
    summary.n_users = users.len() as u64;
    Ok((users, summary))
}

impl UserFeatures {
    fn new(tenant_id: Option<String>, user_id: &str, at: Micros) -> Self {
        Self {
            tenant_id,
            user_id: user_id.to_owned(),
            first_event: at,
            last_event: at,
            n_events: 0,
            use_count: 0,
            value_micros: 0,
            days: Vec::new(),
            later_days: Vec::new(),
        }
    }

    /// Adds an event at an instant of a day. `None` if a sum overflows.
    fn add(&mut self, events: &Events, as_of: Micros, (at, day): (Micros, i64), value: i64) -> Option<()> {
        self.first_event = self.first_event.min(at);
        self.last_event = self.last_event.max(at);
        self.n_events += 1;
        if at >= as_of.saturating_sub(events.use_window) {
            self.use_count += 1;
        }
        if at >= as_of.saturating_sub(events.value_window) {
            self.value_micros = self.value_micros.checked_add(value)?;
        }
        add_day(&mut self.days, day, value)
    }

    /// Returns the users as a table for the layer kernel, with recency, frequency and value. There
    /// is no acceptance score.
    pub fn to_users(features: &[Self]) -> UserBatch {
        let column = |value: &dyn Fn(&Self) -> f64| {
            Some(
                features
                    .iter()
                    .map(|user| Some(value(user)))
                    .collect::<Float64Array>(),
            )
        };
        let has_tenants = features.iter().any(|user| user.tenant_id.is_some());
        let tenants = has_tenants.then(|| {
            features
                .iter()
                .map(|user| user.tenant_id.as_deref())
                .collect::<StringArray>()
        });
        UserBatch {
            last_use_secs: column(&|user| user.last_event as f64 / SECOND as f64),
            use_count: column(&|user| user.use_count as f64),
            user_value: column(&|user| user.value_micros as f64 / 1e6),
            ..UserBatch::from_ids(
                features
                    .iter()
                    .map(|user| Some(user.user_id.as_str()))
                    .collect::<StringArray>(),
                tenants,
            )
        }
    }
}

/// Adds a value to its day. `None` if the sum overflows.
fn add_day(days: &mut Vec<(i32, i64)>, day: i64, value: i64) -> Option<()> {
    let day = i32::try_from(day).ok()?;
    match days.binary_search_by_key(&day, |(day, _)| *day) {
        Ok(idx) => days[idx].1 = days[idx].1.checked_add(value)?,
        Err(idx) => days.insert(idx, (day, value)),
    }
    Some(())
}
