//! The audit of traces: finds the rows of each trace and their chains of evidence.

use hashbrown::HashMap;
use serde::Serialize;

use crate::audit::chain;
use crate::audit::chain::{ChainLink, Hold};
use crate::audit::trace::{MAX_ROWS, TraceRow, trace_key, trace_row};
use crate::base::error::Result;
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::input::{Link, TrafficReader};
use crate::release::RecordIndex;

/// A trace with its rows and their links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Id of the trace, as the question gives it.
    pub trace_id: String,
    /// Number of its rows in the log.
    pub n_rows: u64,
    /// Whether the trace has rows and none of their links is missing.
    pub is_complete: bool,
    /// The first rows, at most 20.
    pub rows: Vec<RowChain>,
    /// Text of how to get rows of the trace. `None` if it has rows.
    pub mend: Option<String>,
}

/// A row and its links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowChain {
    /// The row, as read from the log.
    #[serde(flatten)]
    pub row: TraceRow,
    /// Links from the user to the rollback target.
    pub links: Vec<ChainLink>,
}

/// Finds the rows of some traces, with their links. Ids are compared by [`trace_key`]; no two of
/// `traces` have the same.
///
/// # Errors
/// The log cannot be read.
pub fn chains(
    traces: &[String],
    reader: &TrafficReader,
    records: &RecordIndex,
    progress: &Progress,
) -> Result<Vec<Chain>> {
    let wanted: HashMap<_, usize> = traces.iter().map(|trace| trace_key(trace)).zip(0..).collect();
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
                    if let Some(trace) = links
                        .text(Link::Trace, row)
                        .and_then(|trace| wanted.get(&trace_key(trace)))
                    {
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
