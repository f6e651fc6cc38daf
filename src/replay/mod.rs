//! The traffic log, reduced to the cube in one scan.
//!
//! Turns come from [`crate::input`] a step at a time. `state` finds their users in `users`, places each row by tenant, layer, stage,
//! release, window and bucket group, and adds it up in `keyed` sums; `finish` counts distinct users. What does not fit in memory
//! is dealt into partitions of users first (`partition`). Cubes of different files [`merge()`] to the cube of all of them.

mod breakdown;
mod cube;
mod finish;
mod index;
mod keyed;
mod merge;
mod partition;
mod places;
mod sessions;
mod stages;
mod state;
mod store;
mod traces;
mod user_store;
mod users;

pub use cube::{
    ActivityRow, Arm, Breakdown, BreakdownBy, CellKey, Cells, Cube, CubeLayer, CubeMeasure, CubeSource,
    Exposure, ExposureRow, LatencyRow, RowCounts, SessionRow,
};
pub use merge::merge;
pub use stages::{MAX_STAGES, Stage, stages_of};
pub use store::CUBE_FILE;

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::input::{Names, Part, SourceFile, TrafficReader, Turns};
use crate::metric::{Metric, Reading, Sum};
use crate::replay::finish::{UserList, UserRow, UserRun, count_users};
use crate::replay::merge::Earlier;
use crate::replay::places::Places;
use crate::replay::state::{Scan, Since, State, Sums};
use crate::replay::traces::{OnRepeat, Traces};
use crate::replay::users::{LayerTable, Roster, Users};
use crate::scenario::{OnBadRow, Plan, Source};

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
    pub fn of(traffic: Vec<TrafficReader>, layers: &'a Path) -> Self {
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

/// Opens outcomes of logged requests. A shadow says which release answered; a late outcome need not.
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
fn breakdown_columns(breakdowns: &[BreakdownBy]) -> Vec<String> {
    let column = |by: &BreakdownBy| match by {
        BreakdownBy::Column(column) => Some(column.clone()),
        BreakdownBy::User => None,
    };
    breakdowns.iter().filter_map(column).collect()
}

/// The columns that metrics read, without repetition, in order of first use.
fn measured_columns(metrics: &[Metric]) -> Vec<Reading> {
    let mut columns: Vec<Reading> = Vec::new();
    for reading in metrics.iter().flat_map(Metric::sums).filter_map(Sum::reading) {
        if !columns.contains(&reading) {
            columns.push(reading);
        }
    }
    columns
}

/// The sums that metrics are made of, rows first.
fn sums_of(metrics: &[Metric]) -> Vec<Sum> {
    let mut sums = vec![Sum::Rows];
    for sum in metrics.iter().flat_map(Metric::sums) {
        if !sums.contains(sum) {
            sums.push(sum.clone());
        }
    }
    sums
}

/// Scans logs once, on all threads, and reduces them to a cube, which it writes to a folder. Every sum is an integer, so the cube is the
/// same however the files are split, however many threads there are, and whether the users fit in memory or not.
///
/// # Errors
/// A log that cannot be read, a row that the scenario's policies refuse, or a sum that overflows.
pub fn replay(ctx: &Context<'_>, inputs: &Inputs<'_>, folder: &Path, progress: &Progress) -> Result<Cube> {
    let wants_traces = !inputs.shadows.is_empty() || !inputs.outcomes.is_empty();
    if wants_traces && !inputs.traffic.iter().any(|reader| reader.has("trace_id")) {
        return Err(Error::usage(
            "expected a column `trace_id` in the traffic, by which outcomes are joined, found none",
        )
        .hint("if the column has another name, say so in the scenario: columns.trace_id = \"...\""));
    }
    let layers = LayerTable::open(inputs.layers, ctx.plan)?;
    let tenants = layers.tenants()?;
    let places = Places::of_plan(ctx.plan, &tenants, ctx.as_of)?;
    let sources = Sources::of(inputs)?;
    let earlier = Earlier::open(ctx, inputs, &sources, &places, &tenants, layers.digest())?;
    let scan = Scan::new(ctx, inputs, places, earlier.as_ref())?;
    let parts = parts_of(inputs, &sources, earlier.as_ref(), ctx.as_of);

    let n_users = layers.n_users();
    if ctx.breakdowns.contains(&BreakdownBy::User) {
        breakdown::check_users(n_users, scan.n_windows())?;
    }
    let (n_places, n_stages, n_windows) = (scan.places.len(), scan.places.max_stages(), scan.n_windows());
    let user_bytes = Users::n_bytes(n_users, n_places, n_stages, n_windows);
    let n_partitions = partition::n_partitions(n_users, user_bytes, inputs.memory_limit);
    if n_partitions > 1 {
        let job = partition::Job {
            scan: &scan,
            inputs,
            parts: &parts,
            layers: &layers,
            tenants: &tenants,
            near: folder,
            progress,
        };
        let mut scanned = partition::scan(&job, n_partitions)?;
        if let Some(earlier) = &earlier {
            scanned.runs.push(earlier.users(n_places)?);
        }
        return finish_cube(&scan, sources, earlier, scanned, folder);
    }
    let new_users = || Users::new(n_users, n_places, n_stages, n_windows, u64::BITS);
    let (roster, users) = layers.load(tenants, &new_users)?;
    let shares = scan_parts(&scan, inputs, &parts, &roster, progress, &|state, turns| {
        state.update(&scan, &users, turns)
    })?;
    // Before anything else is counted, so that the users of both come from one list.
    let mut others: Vec<UserRow> = Vec::new();
    if let Some(earlier) = &earlier {
        for user in earlier.users(n_places)? {
            let user = user?;
            if !users.take_over(&user) {
                others.push(user);
            }
        }
    }
    let runs: Vec<UserRun<'static>> = vec![Box::new(others.into_iter().map(Ok))];
    finish_cube(
        &scan,
        sources,
        earlier,
        Scanned {
            roster,
            shares,
            seen: Box::new(users.into_seen()),
            runs,
        },
        folder,
    )
}

/// What a scan found, before it is added up.
struct Scanned {
    roster: Roster,
    shares: Vec<Share>,
    /// The users that were seen: those of a list, and those of runs beside it.
    seen: Box<dyn UserList>,
    runs: Vec<UserRun<'static>>,
}

/// The log's files with their digests, reader by reader.
struct Sources {
    traffic: Vec<Vec<SourceFile>>,
    shadows: Vec<SourceFile>,
    outcomes: Vec<SourceFile>,
}

impl Sources {
    fn of(inputs: &Inputs<'_>) -> Result<Self> {
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
    fn new(
        ctx: &'a Context<'a>,
        inputs: &Inputs<'_>,
        places: Places,
        earlier: Option<&Earlier>,
    ) -> Result<Self> {
        let measured = measured_columns(ctx.metrics);
        let has = |reading: &Reading| {
            inputs
                .traffic
                .iter()
                .chain(&inputs.outcomes)
                .any(|reader| reader.has(&reading.column))
                || earlier.is_some_and(|earlier| earlier.has(reading))
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
            places,
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
    fn turns(&self) -> Turns {
        Turns::new(self.n_measured(), self.n_breakdowns())
    }

    fn n_windows(&self) -> u32 {
        self.places.window_at(self.ctx.as_of.max(self.ctx.plan.start)) + 1
    }

    fn names(&self, seed: u64) -> Names<'a> {
        let plan = self.ctx.plan;
        Names {
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

/// A part of the log that is to be scanned.
#[derive(Debug, Clone, Copy)]
struct LogPart {
    reader: usize,
    part: Part,
    since: Since,
}

/// Every part of the files that the earlier cube does not hold, or does not hold to the end.
fn parts_of(
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
        parts.extend(table.parts.iter().filter_map(|part| {
            since[part.file_idx].map(|since| LogPart {
                reader,
                part: *part,
                since,
            })
        }));
    }
    parts
}

/// One thread's share of a scan, and of each part it met the reader, the file, its rows, and those after `as_of`.
type Share = (State, Vec<(usize, usize, [u64; 2])>);

fn scan_parts(
    scan: &Scan<'_>,
    inputs: &Inputs<'_>,
    parts: &[LogPart],
    roster: &Roster,
    progress: &Progress,
    on_admitted: &(dyn Fn(&mut State, &mut Turns) -> Result<()> + Sync),
) -> Result<Vec<Share>> {
    let names = scan.names(roster.seed);
    let n_rows: Option<u64> = parts.iter().map(|part| part.part.n_rows).sum();
    let bar = progress.rows("replay", n_rows);
    parallel::fold_parts(
        parts.len(),
        || (State::new(scan), Vec::new()),
        |(state, after), idx| {
            let LogPart { reader, part, since } = parts[idx];
            let mut n = [0; 2];
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

/// Merges the threads' shares and the earlier cube, counts the users, and writes the cube.
fn finish_cube(
    scan: &Scan<'_>,
    sources: Sources,
    earlier: Option<Earlier>,
    scanned: Scanned,
    folder: &Path,
) -> Result<Cube> {
    let Scanned {
        roster,
        shares,
        seen,
        mut runs,
    } = scanned;
    let mut rows: Vec<Vec<[u64; 2]>> = sources
        .traffic
        .iter()
        .map(|files| vec![[0; 2]; files.len()])
        .collect();
    let (mut states, noted): (Vec<State>, Vec<Vec<_>>) = shares.into_iter().unzip();
    for (reader, file, n) in noted.into_iter().flatten() {
        rows[reader][file]
            .iter_mut()
            .zip(n)
            .for_each(|(rows, n)| *rows += n);
    }
    let files = sources
        .traffic
        .into_iter()
        .zip(rows)
        .flat_map(|(files, rows)| files.into_iter().zip(rows));
    let mut files: Vec<CubeSource> = files
        .map(|(file, [n_rows, n_after_as_of])| CubeSource {
            file,
            n_rows,
            n_after_as_of,
        })
        .collect();
    merge::check_distinct(&files)?;
    if let Some(earlier) = earlier {
        let mut state = State::new(scan);
        files = earlier.load(files, &mut state, &scan.places, &scan.sums)?;
        states.push(state);
    }
    files.sort();
    let finished = State::finish(states, &scan.places, &scan.sums)?;
    runs.push(Box::new(finished.recolored.into_iter().map(Ok)));
    let users = count_users(&*seen, runs, &scan.places, &folder.join(user_store::USERS))?;

    let plan = scan.ctx.plan;
    let layers = scan
        .places
        .stages
        .iter()
        .zip(&roster.places)
        .zip(&users.n_exposed)
        .enumerate();
    let n_layers = plan.layers.len();
    let cube = Cube {
        plan_id: plan.id.clone(),
        baseline: plan.baseline.clone(),
        candidate: plan.candidate.clone(),
        start: plan.start,
        as_of: scan.ctx.as_of,
        window: plan.window,
        tenants: roster.tenants,
        layer_ids: plan.layers.iter().map(|layer| layer.id.clone()).collect(),
        layers: layers
            .map(
                |(place, ((stages, [n_users, n_eligible]), n_exposed))| CubeLayer {
                    tenant: (place / n_layers) as u32,
                    layer: (place % n_layers) as u8,
                    n_users: *n_users,
                    n_eligible: *n_eligible,
                    n_exposed: *n_exposed,
                    stages: stages.clone(),
                },
            )
            .collect(),
        measures: scan.sums.measures.clone(),
        counts: finished.counts,
        sources: files,
        shadow_sources: sources.shadows,
        outcome_sources: sources.outcomes,
        layers_digest: roster.digest,
        counts_sessions: scan.count_sessions,
        cells: finished.cells,
        pairs: finished.pairs,
        breakdowns: finished.breakdowns,
        exposures: users.exposures,
        activity: users.activity,
        sessions: merge::session_rows(&finished.sessions, &scan.places),
        latencies: finished.latencies,
    };
    user_store::write_sessions(folder, &finished.sessions)?;
    cube.write(folder)?;
    Ok(cube)
}
