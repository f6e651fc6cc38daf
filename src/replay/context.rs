//! The inputs of a replay: the plan's context, the source files, and the data that all threads of a
//! scan share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::advice;
use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::input::{NameCodes, SourceFile, TrafficReader, Turns};
use crate::metric::{Metric, Reading, Sum};
use crate::replay::cube::Cube;
use crate::replay::facts::Facts;
use crate::replay::limits::QuantileLimits;
use crate::replay::strata::Strata;
use crate::replay::sums::Sums;
use crate::replay::traces::{OnRepeat, Traces};
use crate::scenario::plan::BreakdownBy;
use crate::scenario::{Input, OnBadRow, Plan, Source};
use crate::traces::{Needs, hinted, turns_of};

/// The data that all threads of a scan share.
pub(super) struct Scan<'a> {
    pub(super) ctx: &'a ReplayContext<'a>,
    pub(super) strata: Strata,
    pub(super) sums: Sums,
    /// The limits of values that come from quantiles.
    pub(super) limits: Vec<QuantileLimits>,
    /// Candidate outcomes of logged requests, to be paired with the log. `None` if the inputs have
    /// none.
    pub(super) shadows: Option<Traces>,
    /// Outcomes that arrived after their rows were logged. `None` if the inputs have none.
    pub(super) outcomes: Option<Traces>,
    pub(super) count_sessions: bool,
    /// Whether the log has each measured column.
    pub(super) present: Vec<bool>,
    wants_traces: bool,
}

/// The settings of a replay.
#[derive(Debug, Clone, Copy)]
pub struct ReplayContext<'a> {
    /// The plan: layers, releases, window and ratio history.
    pub plan: &'a Plan,
    /// The metrics whose sums are added up.
    pub metrics: &'a [Metric],
    /// The end of the data, in microseconds UTC. Rows at or after it are not counted.
    pub as_of: Micros,
    /// Whether a release that is neither baseline nor candidate is an error.
    pub refuse_unknown_release: bool,
    /// Additional keys of the cells: columns of the log, or the user.
    pub breakdowns: &'a [BreakdownBy],
}

/// The source files of a replay.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Readers of the traffic log, one per source. If an engine reads the log, they have its columns and
    /// no rows.
    pub traffic: Vec<TrafficReader>,
    /// The names of the sources, if an engine reads the log. `None` if this program reads it.
    pub engine_log: Option<Vec<String>>,
    /// The path of the layer table.
    pub layers: &'a Path,
    /// The candidate's answers to logged requests, joined by trace.
    pub shadows: Vec<TrafficReader>,
    /// Outcomes that arrived after their rows were logged, joined by trace.
    pub outcomes: Vec<TrafficReader>,
    /// The folder of an earlier cube. Files that it already counts are not scanned again. `None`
    /// scans all files.
    pub since: Option<&'a Path>,
    /// Whether a file that has changed since the earlier cube leads to a scan of all files. If not,
    /// it is an error.
    pub rescans_changed: bool,
    /// Whether distinct sessions are counted.
    pub count_sessions: bool,
    /// The memory limit in bytes. Users who need more than half of it are divided into partitions
    /// on disk.
    pub memory_limit: u64,
}

impl<'a> Inputs<'a> {
    /// Creates the inputs of a log and a layer table, without outcomes, an earlier cube, sessions,
    /// or a memory limit.
    pub fn new(traffic: Vec<TrafficReader>, layers: &'a Path) -> Self {
        let (shadows, outcomes) = (Vec::new(), Vec::new());
        Self {
            traffic,
            engine_log: None,
            layers,
            shadows,
            outcomes,
            since: None,
            rescans_changed: false,
            count_sessions: false,
            memory_limit: u64::MAX,
        }
    }

    /// The expressions of the log: the filter under `where`, and derived columns by their canonical
    /// names. Expressions of metrics are part of the metrics.
    pub(super) fn expressions(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut expressions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for reader in self.traffic.iter().chain(&self.shadows).chain(&self.outcomes) {
            let source = &reader.table().source;
            let filter = source.filter.iter().map(|filter| ("where", filter));
            let derived = source
                .derive
                .iter()
                .map(|(name, expression)| (name.as_str(), expression));
            for (name, expression) in derived.filter(|(_, e)| !e.is_canonical).chain(filter) {
                expressions
                    .entry(name.to_owned())
                    .or_default()
                    .insert(expression.text.clone());
            }
        }
        expressions
    }

    /// The declared units of measured columns of the log, by canonical column name.
    pub(super) fn declared_units(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut units: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for reader in &self.traffic {
            for reading in reader.measured() {
                if let Some(unit) = reader.table().source.units.get(&reading.column) {
                    let names = units.entry(reading.column.clone()).or_default();
                    names.insert(unit.name.clone());
                }
            }
        }
        units
    }

    /// Warnings about the sources, for their readers: columns that a rename or a constant hides.
    pub fn warnings(&self) -> Vec<String> {
        let readers = self.traffic.iter().chain(&self.shadows).chain(&self.outcomes);
        readers.flat_map(|reader| reader.table().warnings()).collect()
    }
}

/// Opens traffic sources with the columns that the metrics and breakdowns need. Traces are imported.
///
/// # Errors
/// When a source has no readable file or lacks a required column, or when no source has a
/// breakdown's column.
pub fn open_traffic(
    metrics: &[Metric],
    breakdowns: &[BreakdownBy],
    sources: &[Source],
    on_bad_row: OnBadRow,
    progress: &Progress,
) -> Result<Vec<TrafficReader>> {
    let (measured, columns) = (measured_columns(metrics), breakdown_columns(breakdowns));
    let readers: Vec<TrafficReader> = sources
        .iter()
        .map(|source| {
            let turns = turns_of(source, Needs::Ids, on_bad_row, progress)?;
            let on_bad_turn = rule_of_turns(source, on_bad_row);
            TrafficReader::open(&turns.source, &measured, &columns, on_bad_turn)
                .map_err(|error| hinted(source, error))
        })
        .collect::<Result<_>>()?;
    match columns
        .iter()
        .find(|column| !readers.is_empty() && !readers.iter().any(|reader| reader.has(column)))
    {
        Some(column) => Err(Error::usage(format!(
            "expected a column `{column}` in the traffic to break down by, found none"
        ))
        .hint(format!("see `analysis.breakdowns`; {}", advice::rename(column)))),
        None => Ok(readers),
    }
}

/// Opens a chunk of rows that an engine has read, as a file of a source. It may lack the column of a
/// breakdown that another source has.
pub(super) fn open_chunk(
    ctx: &ReplayContext<'_>,
    source: &Source,
    on_bad_row: OnBadRow,
) -> Result<TrafficReader> {
    let (measured, columns) = (measured_columns(ctx.metrics), breakdown_columns(ctx.breakdowns));
    TrafficReader::open(source, &measured, &columns, on_bad_row)
}

/// The logs of an input with what their turns must have: traffic, shadow answers and late outcomes.
pub fn logs(input: &Input) -> impl Iterator<Item = (&Source, Needs)> {
    let outcomes = input.shadow.iter().chain(&input.outcomes);
    let traffic = input.traffic.iter().map(|source| (source, Needs::Ids));
    traffic.chain(outcomes.map(|source| (source, Needs::Nothing)))
}

/// The rule for turns that cannot be used. Turns of traces without a user or a release are left out and
/// counted: most services have some.
pub fn rule_of_turns(source: &Source, on_bad_row: OnBadRow) -> OnBadRow {
    match source.traces {
        Some(_) => OnBadRow::Drop,
        None => on_bad_row,
    }
}

/// Opens outcomes of logged requests. The release that answered is required for shadow answers and
/// optional for late outcomes.
///
/// # Errors
/// When a source has no readable file or lacks a required column.
pub fn open_outcomes(
    metrics: &[Metric],
    sources: &[Source],
    is_shadow: bool,
    on_bad_row: OnBadRow,
    progress: &Progress,
) -> Result<Vec<TrafficReader>> {
    let measured = measured_columns(metrics);
    let required: &[&str] = if is_shadow {
        &["trace_id", "release_id"]
    } else {
        &["trace_id"]
    };
    sources
        .iter()
        .map(|source| {
            let turns = turns_of(source, Needs::Nothing, on_bad_row, progress)?;
            let on_bad_turn = rule_of_turns(source, on_bad_row);
            TrafficReader::open_outcomes(&turns.source, required, &measured, on_bad_turn)
                .map_err(|error| hinted(source, error))
        })
        .collect()
}

/// The columns that are additional keys of the cells.
pub(super) fn breakdown_columns(breakdowns: &[BreakdownBy]) -> Vec<String> {
    let column = |by: &BreakdownBy| match by {
        BreakdownBy::Column(column) => Some(column.clone()),
        BreakdownBy::User => None,
    };
    breakdowns.iter().filter_map(column).collect()
}

/// The columns that metrics read, without repetition, in order of first use. Limits do not count:
/// they are applied to the values that were read.
pub(super) fn measured_columns(metrics: &[Metric]) -> Vec<Reading> {
    let mut columns: Vec<Reading> = Vec::new();
    let readings = metrics.iter().flat_map(Metric::sums).filter_map(Sum::reading);
    for reading in readings.map(Reading::unlimited) {
        if !columns.contains(&reading) {
            columns.push(reading);
        }
    }
    columns
}

/// The distinct sums of the metrics. The number of rows is first.
pub(super) fn sums_of(metrics: &[Metric]) -> Vec<Sum> {
    let mut sums = vec![Sum::Rows];
    let of_metric = |metric: &Metric| {
        let limited = metric.limited_sums().into_iter().flatten();
        metric.sums().map(Sum::clone).into_iter().chain(limited)
    };
    for sum in metrics.iter().flat_map(of_metric) {
        if !sums.contains(&sum) {
            sums.push(sum);
        }
    }
    sums
}

/// The log's files with their digests, by reader.
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
        // What an engine reads has its digest after the scan.
        let unread = |name: &String| {
            let (name, digest) = (name.clone(), String::new());
            vec![SourceFile { name, digest }]
        };
        let traffic = match &inputs.engine_log {
            Some(names) => names.iter().map(unread).collect(),
            None => digests(&inputs.traffic)?,
        };
        Ok(Self {
            traffic,
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
        earlier: Option<&Cube>,
        limits_of_quantiles: &dyn Fn(Option<&Traces>) -> Result<Vec<QuantileLimits>>,
    ) -> Result<Self> {
        let has = |reading: &Reading| {
            inputs
                .traffic
                .iter()
                .chain(&inputs.outcomes)
                .any(|reader| reader.has(&reading.column))
                || earlier.is_some_and(|cube| cube.has(reading))
        };
        let present = measured_columns(ctx.metrics).iter().map(has).collect();
        Self::with(ctx, inputs, strata, present, true, limits_of_quantiles)
    }

    /// The scan of one task, as its driver planned it. Only joins need the outcomes.
    ///
    /// # Errors
    /// When outcomes cannot be read.
    pub(super) fn of_task(
        ctx: &'a ReplayContext<'a>,
        inputs: &Inputs<'_>,
        strata: Strata,
        facts: &Facts,
        has_outcomes: bool,
    ) -> Result<Self> {
        Self::with(ctx, inputs, strata, facts.present.clone(), has_outcomes, &|_| {
            Ok(facts.limits.clone())
        })
    }

    fn with(
        ctx: &'a ReplayContext<'a>,
        inputs: &Inputs<'_>,
        strata: Strata,
        present: Vec<bool>,
        has_outcomes: bool,
        limits: &dyn Fn(Option<&Traces>) -> Result<Vec<QuantileLimits>>,
    ) -> Result<Self> {
        let measured = measured_columns(ctx.metrics);
        let read = |readers: &[TrafficReader], release, on_repeat| {
            if readers.is_empty() || !has_outcomes {
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
        let limits = limits(outcomes.as_ref())?;
        let sums = Sums::new(&sums_of(ctx.metrics), &measured, &present, &limits);
        Ok(Self {
            ctx,
            strata,
            sums,
            limits,
            shadows,
            outcomes,
            count_sessions: inputs.count_sessions,
            present,
            wants_traces: !inputs.shadows.is_empty() || !inputs.outcomes.is_empty(),
        })
    }

    /// The number of columns that metrics read.
    fn n_measured(&self) -> usize {
        measured_columns(self.ctx.metrics).len()
    }

    /// The number of columns that are additional keys of the cells.
    fn n_breakdowns(&self) -> usize {
        breakdown_columns(self.ctx.breakdowns).len()
    }

    /// Creates an empty step.
    pub(super) fn turns(&self) -> Turns {
        Turns::new(self.n_measured(), self.n_breakdowns())
    }

    /// The number of windows from the plan's start to `as_of`; the last may be incomplete.
    pub(super) fn n_windows(&self) -> u32 {
        self.strata.window_at(self.ctx.as_of.max(self.ctx.plan.start)) + 1
    }

    /// The names that the traffic reader maps to codes. `seed` is the seed of user hashes.
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
            wants_traces: self.wants_traces,
            wants_sessions: self.count_sessions,
            buckets: None,
        }
    }
}
