//! The traffic log, reduced to the cube in one scan.

mod cube;
mod stages;
mod state;
mod store;

pub use cube::{Arm, CellKey, Cube, CubeLayer, CubeMeasure, ExposureRow, LatencyRow, RowCounts};
pub use stages::{MAX_STAGES, Stage, stages_of};
pub use store::CUBE_FILE;

use crate::{
    error::{Error, Result},
    input::{SourceFile, TrafficReader},
    layer::Layers,
    metric::Metric,
    parallel,
    progress::Progress,
    scenario::{Plan, Scenario},
    time::Micros,
};
use state::{Scan, State};

/// What replay needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Layers, releases, window, ratio history.
    pub plan: &'a Plan,
    /// What to accumulate.
    pub metrics: &'a [Metric],
    /// Later rows are not known yet.
    pub as_of: Micros,
    /// Stop at a release that is neither baseline nor candidate.
    pub refuse_unknown_release: bool,
}

/// Opens the traffic sources of a scenario; `measured` are all columns that metrics read.
///
/// # Errors
/// A source without readable files or required columns.
pub fn open_traffic(scenario: &Scenario, sources: &[crate::scenario::Source]) -> Result<Vec<TrafficReader>> {
    let measured = measured_columns(&scenario.metrics);
    sources.iter().map(|source| TrafficReader::open(source, &measured, scenario.input.on_bad_row)).collect()
}

/// The columns that metrics read, without repetition, in order of first use.
pub fn measured_columns(metrics: &[Metric]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for sum in metrics.iter().flat_map(|metric| [&metric.numerator, &metric.denominator]) {
        if let Some(column) = sum.column().filter(|column| !columns.iter().any(|c| c == column)) {
            columns.push(column.to_owned());
        }
    }
    columns
}

/// Scans the logs once, on all threads, and reduces them to a cube. Every sum is an integer, so the cube is the same however the files
/// are split and however many threads there are.
///
/// # Errors
/// A log that cannot be read, a row that the scenario's policies refuse, or a sum that overflows.
pub fn replay(ctx: &Context<'_>, readers: &[TrafficReader], layers: &Layers, progress: &Progress) -> Result<Cube> {
    let scan = Scan::new(ctx, readers, layers)?;
    let parts: Vec<(usize, crate::input::Part)> =
        readers.iter().enumerate().flat_map(|(idx, reader)| reader.table().parts.iter().map(move |part| (idx, *part))).collect();
    let n_rows: Option<u64> = readers.iter().map(|reader| reader.table().n_rows()).sum();
    let bar = progress.rows("replay", n_rows);
    let states = parallel::fold_parts(
        parts.len(),
        || State::new(&scan),
        |state, idx| {
            let (reader, part) = parts[idx];
            let bad = readers[reader].read(part, &mut |batch| {
                bar.advance(batch.raw.n_rows as u64);
                state.update(&scan, batch)
            })?;
            state.bad_rows(bad);
            Ok(())
        },
    )?;
    let mut states = states.into_iter();
    let Some(mut state) = states.next() else {
        return Err(Error::usage("expected traffic, found no source"));
    };
    for other in states {
        state.merge(other)?;
    }
    Ok(state.finish(&scan, ctx, layers, source_files(readers)?))
}

fn source_files(readers: &[TrafficReader]) -> Result<Vec<SourceFile>> {
    let digests: Vec<Vec<SourceFile>> = readers.iter().map(|reader| reader.table().digests()).collect::<Result<_>>()?;
    Ok(digests.concat())
}
