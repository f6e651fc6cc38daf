//! The rows of a trace, read from the log.

use serde::Serialize;

use crate::base::error::Result;
use crate::base::hash;
use crate::base::time::Micros;
use crate::input::{DEFAULT_TENANT, Link, Links, TrafficReader};
use crate::scenario::{OnBadRow, Source};

/// Rows of one trace that are shown.
pub(super) const MAX_ROWS: usize = 20;

/// Opens a log for an audit.
///
/// # Errors
/// A source without readable files or required columns.
pub fn open(source: &Source, on_bad_row: OnBadRow) -> Result<TrafficReader> {
    TrafficReader::open(source, &[], &[], on_bad_row)
}

/// A row of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceRow {
    /// Where it is: file and row.
    pub place: String,
    /// Who asked.
    pub user_id: Option<String>,
    /// Of which tenant.
    pub tenant_id: String,
    /// When.
    pub event_time: Option<Micros>,
    /// What answered.
    pub release_id: Option<String>,
    /// The layer that the user was served under.
    pub layer: Option<String>,
    /// Answered beside the real answer.
    pub is_shadow: bool,
    /// Of an evaluation run.
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

/// A user of a tenant, as 64 bits.
pub(super) fn user_hash(tenant: &str, user: &str) -> u64 {
    hash::join(hash::hash_id(tenant.as_bytes()), hash::hash_id(user.as_bytes()))
}
