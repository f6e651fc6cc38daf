//! The rows of a trace, read from the log.

use serde::Serialize;
use std::borrow::Cow;
use std::ops::Range;

use crate::base::error::Result;
use crate::base::hash;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::input::{DEFAULT_TENANT, Link, Links, TrafficReader};
use crate::scenario::{OnBadRow, Source};
use crate::traces::{Needs, turns_of};

/// The largest number of rows of a trace that are shown.
pub(super) const MAX_ROWS: usize = 20;

/// Opens a log for an audit. Rows may lack a user, a time and a release. Traces are imported.
///
/// # Errors
/// The source has no readable files.
pub fn open(source: &Source, on_bad_row: OnBadRow, progress: &Progress) -> Result<TrafficReader> {
    let turns = turns_of(source, Needs::Nothing, on_bad_row, progress)?;
    TrafficReader::open_with(&turns.source, &[], &[], &[], on_bad_row)
}

/// Opens a log for an audit of a period, which needs the times of rows if it has an end.
///
/// # Errors
/// The same as for [`open`]. With a period the log lacks the column `event_time`.
pub fn open_period(
    source: &Source,
    period: &Range<Option<Micros>>,
    on_bad_row: OnBadRow,
    progress: &Progress,
) -> Result<TrafficReader> {
    let reader = open(source, on_bad_row, progress)?;
    if period.start.is_none() && period.end.is_none() {
        return Ok(reader);
    }
    reader.require("event_time", "--from and --until need the time of each row")
}

/// Opens a log for [`affected`](crate::audit::affected), which needs the releases of rows.
///
/// # Errors
/// The same as for [`open_period`]. The log lacks the column `release_id`.
pub fn open_affected(
    source: &Source,
    period: &Range<Option<Micros>>,
    on_bad_row: OnBadRow,
    progress: &Progress,
) -> Result<TrafficReader> {
    let why = "--rolled-back needs the release of each row";
    open_period(source, period, on_bad_row, progress)?.require("release_id", why)
}

/// A row of the log with the requested trace id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceRow {
    /// Location of the row: file and row number.
    pub place: String,
    /// Id of the user. `None` if the log does not have it.
    pub user_id: Option<String>,
    /// Name of the tenant; `default` for data without tenants.
    pub tenant_id: String,
    /// Time of the turn, microseconds, UTC. `None` if the log does not have it.
    pub event_time: Option<Micros>,
    /// Id of the release that answered. `None` if the log does not have it.
    pub release_id: Option<String>,
    /// The layer that the user was served under. `None` if the log does not have it.
    pub layer: Option<String>,
    /// Whether the answer was a shadow answer, which the user did not see.
    pub is_shadow: bool,
    /// Whether the row belongs to an evaluation run.
    pub is_eval: bool,
}

pub(super) fn trace_row(links: &Links<'_>, row: usize, reader: &TrafficReader) -> TraceRow {
    let text = |link: Link| links.text(link, row).map(str::to_owned);
    TraceRow {
        place: links.raw.location(reader.table().name_in_file("trace_id"), row),
        user_id: text(Link::User),
        tenant_id: text(Link::Tenant).unwrap_or_else(|| DEFAULT_TENANT.to_owned()),
        event_time: links.at(row),
        release_id: text(Link::Release),
        layer: text(Link::Layer),
        is_shadow: links.is_shadow(row),
        is_eval: links.is_eval(row),
    }
}

/// Lengths of the parts of an id with dashes (RFC 9562), in hexadecimal digits.
const DASHED: [usize; 5] = [8, 4, 4, 4, 12];

/// Returns the form of a trace id by which ids are compared. An id of 16 or 32 hexadecimal digits is
/// in lower case, because writers differ in it (W3C Trace Context, OTLP). One of 32 digits with dashes,
/// as a UUID, is without them. Other ids are compared as they are.
pub fn trace_key(id: &str) -> Cow<'_, str> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_capital = || id.bytes().any(|byte| byte.is_ascii_uppercase());
    match id.len() {
        16 | 32 if is_hex(id) && has_capital() => Cow::Owned(id.to_ascii_lowercase()),
        36 => {
            let parts = id.split('-');
            let is_dashed = parts.clone().map(str::len).eq(DASHED) && parts.clone().all(is_hex);
            match is_dashed {
                true => Cow::Owned(parts.collect::<String>().to_ascii_lowercase()),
                false => Cow::Borrowed(id),
            }
        }
        _ => Cow::Borrowed(id),
    }
}

/// Returns a 64-bit hash of a user within a tenant.
pub(super) fn user_hash(tenant: &str, user: &str) -> u64 {
    hash::join(hash::hash_id(tenant.as_bytes()), hash::hash_id(user.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_trace_have_one_key() {
        let check = |id: &str, expected: &str| assert_eq!(trace_key(id), expected, "{id}");
        let lower = "4bf92f3577b34da6a3ce929d0e0e4736";
        check(lower, lower);
        check("4BF92F3577B34DA6A3CE929D0E0E4736", lower);
        check("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", lower);
        check("4BF92F35-77b3-4da6-A3CE-929D0E0E4736", lower);
        check("BA852299C76C0763", "ba852299c76c0763");
        check("1234567890123456", "1234567890123456");
        for other in [
            "",
            "T1",
            "chatcmpl-AbC",
            "4BF92F3577B34DA6A3CE929D0E0E473",
            "4BF92F3577B34DA6A3CE929D0E0E473G",
            "4BF92F3577B34DA6A3CE929D-0E0E-47-36X",
            "4BF92F35-77B3-4DA6-A3CE-929D0E0E473G",
            "4BF92F3-577B3-4DA6-A3CE-929D0E0E4736",
            "\u{e9}BF92F3577B34DA6A3CE929D0E0E47",
        ] {
            check(other, other);
        }
    }
}
