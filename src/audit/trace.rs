//! The rows of a trace, read from the log.

use serde::Serialize;

use crate::base::error::Result;
use crate::base::hash;
use crate::base::time::Micros;
use crate::input::{DEFAULT_TENANT, Link, Links, TrafficReader};
use crate::scenario::{OnBadRow, Source};

/// The largest number of rows of a trace that are shown.
pub(super) const MAX_ROWS: usize = 20;

/// Opens a log for an audit.
///
/// # Errors
/// The source has no readable files, or lacks a required column.
pub fn open(source: &Source, on_bad_row: OnBadRow) -> Result<TrafficReader> {
    TrafficReader::open(source, &[], &[], on_bad_row)
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

/// Returns a 64-bit hash of a user within a tenant.
pub(super) fn user_hash(tenant: &str, user: &str) -> u64 {
    hash::join(hash::hash_id(tenant.as_bytes()), hash::hash_id(user.as_bytes()))
}
