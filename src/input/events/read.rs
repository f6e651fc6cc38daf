//! Reads an event log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time;
use crate::base::time::{Micros, Zone};
use crate::input::events::features::UserFeatures;
use crate::input::events::partition::{Partition, Rules};
use crate::input::events::scan::{COLUMNS, Counts, Scan, part_of_row};
use crate::input::table::Table;
use crate::scenario::{Events, OnBadRow};

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

/// How an event log is read.
#[derive(Debug, Clone, Copy)]
pub struct EventOptions<'a> {
    /// Events from this instant on are not known yet, microseconds, UTC.
    pub as_of: Micros,
    /// Whether the days of each user are needed, for the RFM summary: those before `as_of`, and those
    /// from `as_of` until this instant. `None` if they are not.
    pub observed_until: Option<Micros>,
    /// The policy for rows that cannot be used.
    pub on_bad_row: OnBadRow,
    /// The zone of local days.
    pub zone: &'a Zone,
}

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
/// `event_time` and, optionally, `value` and `tenant_id`, on all threads. Users are in the order of
/// their first rows. Rows are streamed, so memory grows with the number of users and their days.
///
/// A user whose events all lie at or after `as_of` is left out.
///
/// Values are rounded to millionths and summed as integers, so the order of rows does not matter.
///
/// # Errors
/// A file cannot be read, there is no event before `as_of`, a sum overflows, or a row is bad under
/// the policy `error`.
pub fn read_events(
    table: &Table,
    events: &Events,
    options: &EventOptions<'_>,
    progress: &Progress,
) -> Result<(UserFeatures, EventSummary)> {
    let as_of = options.as_of;
    let rules = Rules {
        as_of,
        as_of_day: options.zone.day(as_of) as i32,
        uses_from: as_of.saturating_sub(events.use_window),
        values_from: as_of.saturating_sub(events.value_window),
        wants_days: options.observed_until.is_some(),
        is_checked: false,
        seed: RandomState::new().hash_one(as_of),
    };
    let observed_until = options.observed_until.unwrap_or(as_of);
    let bar = progress.rows("events", table.n_rows());
    let start = |rules| {
        Scan::new(
            table,
            options.on_bad_row,
            (options.zone, observed_until),
            rules,
            &bar,
        )
    };
    let mut scan = start(rules);
    let mut counts = scan.read()?;
    if scan.has(Partition::may_overflow) {
        // Whether a sum overflows depends on the order of rows.
        scan = start(Rules {
            is_checked: true,
            ..rules
        });
        counts = scan.read_checked()?;
    }
    let in_log = |message: String| Error::in_file(&events.source.path, message);
    if scan.has(|partition| partition.has_too_many) {
        return Err(in_log(format!(
            "expected at most {} events of a user, found more",
            u32::MAX
        )));
    }
    let Counts {
        n_events,
        n_after_as_of,
        bad_rows,
    } = counts;
    if n_events == 0 {
        return Err(in_log(format!(
            "expected events before {}, found none",
            time::format(as_of)
        )));
    }
    if scan.has(Partition::later_overflows) {
        return Err(in_log("expected values whose sum fits, found an overflow".into()));
    }
    let has_tenant: Vec<bool> = table
        .parts
        .iter()
        .map(|part| {
            let file = &table.files[part.file_idx];
            table.source.is_made("tenant_id") || file.place(table.name_in_file("tenant_id")).is_some()
        })
        .collect();
    let (partitions, tenants) = scan.into_parts();
    let features = UserFeatures::gather(
        partitions,
        tenants.names(),
        has_tenant
            .contains(&true)
            .then_some(&|row| has_tenant[part_of_row(row)]),
        rules.wants_days,
    )?;
    let summary = EventSummary {
        n_events,
        n_users: features.n_users() as u64,
        n_after_as_of,
        bad_rows,
    };
    Ok((features, summary))
}
