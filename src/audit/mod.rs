//! From a trace to what answered it and who approved that; how much of a log can be traced so; and whom a release reached that was rolled back.

mod affected;
mod chain;
mod complete;
mod table;

pub use affected::{Affected, AffectedQuestion, AffectedRow, OnRows, ToolCount, WriteCalls, affected};
pub use chain::{ChainLink, Hold};
pub use complete::{Completeness, LinkShare, ReleaseLinks, completeness};
pub use table::write;

use serde::Serialize;

use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::base::{hash, parallel};
use crate::input::{DEFAULT_TENANT, Link, Links, TrafficReader};
use crate::release::RecordIndex;
use crate::scenario::{OnBadRow, Source};
use hashbrown::HashMap;

/// Rows of one trace that are shown.
const MAX_ROWS: usize = 20;

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

/// A trace, and everything behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The trace.
    pub trace_id: String,
    /// Its rows in the log.
    pub n_rows: u64,
    /// No link is missing.
    pub is_complete: bool,
    /// The rows, at most 20 of them.
    pub rows: Vec<RowChain>,
    /// What would bring its rows, if there are none.
    pub mend: Option<String>,
}

/// A row and its links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowChain {
    /// The row.
    #[serde(flatten)]
    pub row: TraceRow,
    /// From the user to the release to return to.
    pub links: Vec<ChainLink>,
}

/// Finds the rows of some traces, and what is behind them.
///
/// # Errors
/// A log that cannot be read.
pub fn chains(
    traces: &[String],
    reader: &TrafficReader,
    records: &RecordIndex,
    progress: &Progress,
) -> Result<Vec<Chain>> {
    let wanted: HashMap<&str, usize> = traces.iter().map(String::as_str).zip(0..).collect();
    let mut found: Vec<(u64, Vec<TraceRow>)> = vec![(0, Vec::new()); traces.len()];
    let parts = &reader.table().parts;
    let bar = progress.rows("audit", reader.table().n_rows());
    parallel::map_in_order(
        parts.len(),
        |part| {
            let mut found: Vec<(u64, Vec<TraceRow>)> = vec![(0, Vec::new()); traces.len()];
            reader.read_links(parts[part], &mut |links| {
                bar.advance(links.len() as u64);
                for row in (0..links.len()).filter(|row| !links.faults.is_bad(*row)) {
                    if let Some(trace) = links.text(Link::Trace, row).and_then(|trace| wanted.get(trace)) {
                        let (n, rows) = &mut found[*trace];
                        *n += 1;
                        if rows.len() < MAX_ROWS {
                            rows.push(trace_row(links, row, reader));
                        }
                    }
                }
                Ok(())
            })?;
            Ok(found)
        },
        |_, more| {
            for ((n, rows), (n_more, more)) in found.iter_mut().zip(more) {
                *n += n_more;
                rows.extend(more.into_iter().take(MAX_ROWS - rows.len()));
            }
            Ok(())
        },
    )?;
    let chain = |(trace_id, (n_rows, rows)): (&String, (u64, Vec<TraceRow>))| {
        let rows: Vec<RowChain> = rows
            .into_iter()
            .map(|row| RowChain {
                links: chain::links_of_row(&row, records),
                row,
            })
            .collect();
        let is_whole = |row: &RowChain| row.links.iter().all(|link| link.hold != Hold::Missing);
        let mend = (n_rows == 0).then(|| {
            if reader.has("trace_id") {
                "no row of the log has this trace: take more of the log, or log every request".to_owned()
            } else {
                "the log has no column trace_id: log it, or say what it is called: --column trace_id=..."
                    .to_owned()
            }
        });
        Chain {
            trace_id: trace_id.clone(),
            n_rows,
            is_complete: n_rows > 0 && rows.iter().all(is_whole),
            rows,
            mend,
        }
    };
    Ok(traces.iter().zip(found).map(chain).collect())
}

fn trace_row(links: &Links<'_>, row: usize, reader: &TrafficReader) -> TraceRow {
    let text = |link: Link| links.text(link, row).map(str::to_owned);
    TraceRow {
        place: links.raw.place(reader.table().name_in_file("trace_id"), row),
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
fn user_hash(tenant: &str, user: &str) -> u64 {
    hash::join(hash::of_id(tenant.as_bytes()), hash::of_id(user.as_bytes()))
}
