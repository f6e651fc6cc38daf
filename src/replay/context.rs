//! The inputs of a replay: the plan's context, the source files, and what all threads of a scan
//! share.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::input::{NameCodes, SourceFile, TrafficReader, Turns};
use crate::metric::{Metric, Reading, Sum};
use crate::replay::strata::Strata;
use crate::replay::sums::Sums;
use crate::replay::traces::{OnRepeat, Traces};
use crate::scenario::plan::BreakdownBy;
use crate::scenario::{OnBadRow, Plan, Source};

/// What all threads of a scan share.
pub(super) struct Scan<'a> {
    pub(super) ctx: &'a ReplayContext<'a>,
    pub(super) strata: Strata,
    pub(super) sums: Sums,
    /// Candidate outcomes of logged requests, to be paired.
    pub(super) shadows: Option<Traces>,
    /// Outcomes that came after their rows were logged.
    pub(super) outcomes: Option<Traces>,
    pub(super) count_sessions: bool,
}

/// What replay needs to know.
#[derive(Debug, Clone, Copy)]
pub struct ReplayContext<'a> {
    /// Layers, releases, window, ratio history.
    pub plan: &'a Plan,
    /// What to accumulate.
    pub metrics: &'a [Metric],
    /// Later rows are not known yet.
    pub as_of: Micros,
    /// Stop at a release that is neither baseline nor candidate.
    pub refuse_unknown_release: bool,
    /// What cells are broken down by, beside what they always are.
    pub breakdowns: &'a [BreakdownBy],
}

/// Where the rows come from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The log.
    pub traffic: Vec<TrafficReader>,
    /// The layer table.
    pub layers: &'a Path,
    /// The candidate's answers to logged requests, by trace.
    pub shadows: Vec<TrafficReader>,
    /// Outcomes that came after their rows were logged, by trace.
    pub outcomes: Vec<TrafficReader>,
    /// An earlier cube: its files are not scanned again.
    pub since: Option<&'a Path>,
    /// Count distinct sessions.
    pub count_sessions: bool,
    /// Bytes that the users may take; more are dealt into partitions on disk.
    pub memory_limit: u64,
}

impl<'a> Inputs<'a> {
    /// A log and a layer table, and nothing else.
    pub fn new(traffic: Vec<TrafficReader>, layers: &'a Path) -> Self {
        let (shadows, outcomes) = (Vec::new(), Vec::new());
        Self {
            traffic,
            layers,
            shadows,
            outcomes,
            since: None,
            count_sessions: false,
            memory_limit: u64::MAX,
        }
    }
}

/// Opens traffic sources for some metrics.
///
/// # Errors
/// A source without readable files or required columns.
pub fn open_traffic(
    metrics: &[Metric],
    breakdowns: &[BreakdownBy],
    sources: &[Source],
    on_bad_row: OnBadRow,
) -> Result<Vec<TrafficReader>> {
    let (measured, columns) = (measured_columns(metrics), breakdown_columns(breakdowns));
    let readers: Vec<TrafficReader> = sources
        .iter()
        .map(|source| TrafficReader::open(source, &measured, &columns, on_bad_row))
        .collect::<Result<_>>()?;
    match columns
        .iter()
        .find(|column| !readers.is_empty() && !readers.iter().any(|reader| reader.has(column)))
    {
        Some(column) => Err(Error::usage(format!(
            "expected a column `{column}` in the traffic to break down by, found none"
        ))
        .hint("see `analysis.breakdowns`; if it has another name, say so: columns.NAME = \"...\"")),
        None => Ok(readers),
    }
}

/// Opens outcomes of logged requests. A shadow says which release answered; a late outcome need
/// not.
///
/// # Errors
/// A source without readable files or required columns.
pub fn open_outcomes(
    metrics: &[Metric],
    sources: &[Source],
    is_shadow: bool,
    on_bad_row: OnBadRow,
) -> Result<Vec<TrafficReader>> {
    let measured = measured_columns(metrics);
    let required: &[&str] = if is_shadow {
        &["trace_id", "release_id"]
    } else {
        &["trace_id"]
    };
    sources
        .iter()
        .map(|source| TrafficReader::open_outcomes(source, required, &measured, on_bad_row))
        .collect()
}

/// The columns that cells are broken down by.
pub(super) fn breakdown_columns(breakdowns: &[BreakdownBy]) -> Vec<String> {
    let column = |by: &BreakdownBy| match by {
        BreakdownBy::Column(column) => Some(column.clone()),
        BreakdownBy::User => None,
    };
    breakdowns.iter().filter_map(column).collect()
}

/// The columns that metrics read, without repetition, in order of first use.
pub(super) fn measured_columns(metrics: &[Metric]) -> Vec<Reading> {
    let mut columns: Vec<Reading> = Vec::new();
    for reading in metrics.iter().flat_map(Metric::sums).filter_map(Sum::reading) {
        if !columns.contains(&reading) {
            columns.push(reading);
        }
    }
    columns
}

/// The sums that metrics are made of, rows first.
pub(super) fn sums_of(metrics: &[Metric]) -> Vec<Sum> {
    let mut sums = vec![Sum::Rows];
    for sum in metrics.iter().flat_map(Metric::sums) {
        if !sums.contains(sum) {
            sums.push(sum.clone());
        }
    }
    sums
}

/// The log's files with their digests, reader by reader.
pub(super) struct Sources {
    pub(super) traffic: Vec<Vec<SourceFile>>,
    pub(super) shadows: Vec<SourceFile>,
    pub(super) outcomes: Vec<SourceFile>,
}

impl Sources {
    pub(super) fn new(inputs: &Inputs<'_>) -> Result<Self> {
        let digests = |readers: &[TrafficReader]| {
            readers
                .iter()
                .map(|reader| reader.table().digests())
                .collect::<Result<Vec<Vec<SourceFile>>>>()
        };
        let sorted = |files: Vec<Vec<SourceFile>>| {
            let mut files = files.concat();
            files.sort();
            files
        };
        Ok(Self {
            traffic: digests(&inputs.traffic)?,
            shadows: sorted(digests(&inputs.shadows)?),
            outcomes: sorted(digests(&inputs.outcomes)?),
        })
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        ctx: &'a ReplayContext<'a>,
        inputs: &Inputs<'_>,
        strata: Strata,
        is_in_earlier: &dyn Fn(&Reading) -> bool,
    ) -> Result<Self> {
        let measured = measured_columns(ctx.metrics);
        let has = |reading: &Reading| {
            inputs
                .traffic
                .iter()
                .chain(&inputs.outcomes)
                .any(|reader| reader.has(&reading.column))
                || is_in_earlier(reading)
        };
        let present: Vec<bool> = measured.iter().map(has).collect();
        let sums = Sums::new(&sums_of(ctx.metrics), &measured, &present);
        let read = |readers: &[TrafficReader], release, on_repeat| {
            if readers.is_empty() {
                Ok(None)
            } else {
                Traces::read(readers, release, on_repeat).map(Some)
            }
        };
        let shadows = read(
            &inputs.shadows,
            Some(ctx.plan.candidate.as_str()),
            OnRepeat::DropAll,
        )?;
        let outcomes = read(&inputs.outcomes, None, OnRepeat::Update)?;
        Ok(Self {
            ctx,
            strata,
            sums,
            shadows,
            outcomes,
            count_sessions: inputs.count_sessions,
        })
    }

    /// Columns that metrics read.
    fn n_measured(&self) -> usize {
        measured_columns(self.ctx.metrics).len()
    }

    /// Columns that cells are broken down by.
    fn n_breakdowns(&self) -> usize {
        breakdown_columns(self.ctx.breakdowns).len()
    }

    /// A step without rows.
    pub(super) fn turns(&self) -> Turns {
        Turns::new(self.n_measured(), self.n_breakdowns())
    }

    pub(super) fn n_windows(&self) -> u32 {
        self.strata.window_at(self.ctx.as_of.max(self.ctx.plan.start)) + 1
    }

    pub(super) fn names(&self, seed: u64) -> NameCodes<'a> {
        let plan = self.ctx.plan;
        NameCodes {
            baseline: &plan.baseline,
            candidate: &plan.candidate,
            layers: plan.layers.iter().map(|layer| layer.id.as_str()).collect(),
            refuse_unknown_release: self
                .ctx
                .refuse_unknown_release
                .then_some(plan.start..self.ctx.as_of),
            seed,
            wants_traces: self.shadows.is_some() || self.outcomes.is_some(),
            wants_sessions: self.count_sessions,
        }
    }
}
