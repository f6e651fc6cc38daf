//! Scans the parts of a log in parallel.

use crate::base::error::Result;
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::input::{Part, Turns};
use crate::replay::context::{Inputs, Scan, Sources};
use crate::replay::facts::Since;
use crate::replay::layer_table::LayerTableInfo;
use crate::replay::merge::Earlier;
use crate::replay::seen::{UserList, UserRun};
use crate::replay::state::ReplayState;

/// The result of a scan before its sums are merged.
pub(super) struct Scanned {
    pub(super) roster: LayerTableInfo,
    pub(super) shares: Vec<Share>,
    /// The users who were seen: those of this list, and those of the runs.
    pub(super) seen: Box<dyn UserList>,
    pub(super) runs: Vec<UserRun<'static>>,
}

/// A part of the log that must be scanned.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogPart {
    pub(super) reader: usize,
    pub(super) part: Part,
    /// Index of the part in its source.
    pub(super) part_idx: usize,
    pub(super) since: Since,
}

/// The parts of all files that the earlier cube does not count, or counts only in part.
pub(super) fn parts_of(
    inputs: &Inputs<'_>,
    sources: &Sources,
    earlier: Option<&Earlier>,
    as_of: Micros,
) -> Vec<LogPart> {
    let mut parts = Vec::new();
    for (reader, files) in sources.traffic.iter().enumerate() {
        let since: Vec<Option<Since>> = files
            .iter()
            .map(|file| {
                earlier.map_or(Some(Since { counted_until: None }), |earlier| {
                    earlier.since(file, as_of)
                })
            })
            .collect();
        let table = inputs.traffic[reader].table();
        parts.extend(table.parts.iter().enumerate().filter_map(|(part_idx, part)| {
            since[part.file_idx].map(|since| LogPart {
                reader,
                part: *part,
                part_idx,
                since,
            })
        }));
    }
    parts
}

/// One thread's share of a scan: the state, and for each part the indices of reader and file, the
/// number of rows, and the number of rows at or after `as_of`.
pub(super) type Share = (ReplayState, Vec<(usize, usize, [u64; 2])>);

/// Scans parts of the log on all threads. `on_admitted` gets each step after its rows are counted.
pub(super) fn scan_parts(
    scan: &Scan<'_>,
    inputs: &Inputs<'_>,
    parts: &[LogPart],
    roster: &LayerTableInfo,
    progress: &Progress,
    on_admitted: &(dyn Fn(&mut ReplayState, &mut Turns) -> Result<()> + Sync),
) -> Result<Vec<Share>> {
    let names = scan.names(roster.seed);
    let n_rows: Option<u64> = parts.iter().map(|part| part.part.n_rows).sum();
    let bar = progress.rows("replay", n_rows);
    parallel::fold_parts(
        parts.len(),
        || (ReplayState::new(scan), Vec::new()),
        |(state, after), idx| {
            let LogPart {
                reader, part, since, ..
            } = parts[idx];
            let mut n = [0; 2];
            state.part = Some(idx);
            let bad = inputs.traffic[reader].turns(part, &names, &mut |turns| {
                bar.advance(turns.n as u64);
                n[0] += turns.n as u64;
                n[1] += state.admit(scan, turns, since);
                on_admitted(state, turns)
            })?;
            after.push((reader, part.file_idx, n));
            if since.counted_until.is_none() {
                state.bad_rows(bad);
            }
            Ok(())
        },
    )
}
