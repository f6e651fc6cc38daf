//! The driver of a replay: from the sources to the cube.

use std::path::Path;

use crate::base::advice;
use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::input::Part;
use crate::replay::context::{Inputs, ReplayContext, Scan, Sources};
use crate::replay::cube::{Cube, CubeLayer, CubeSource};
use crate::replay::finish::{NoUsers, count_users};
use crate::replay::first_rows::limits_of_quantiles;
use crate::replay::index::UNKNOWN;
use crate::replay::layer_table::{LayerTable, LayerTableInfo};
use crate::replay::log_users::load_log_users;
use crate::replay::merge::{Earlier, add_units, check_distinct, session_rows};
use crate::replay::scan::{LogPart, Scanned, parts_of, scan_parts};
use crate::replay::state::ReplayState;
use crate::replay::strata::Strata;
use crate::replay::unknown::{N_EXAMPLES, UnknownHashes, UnknownIds, find_listed};
use crate::replay::users::Users;
use crate::replay::{breakdown, partition, user_store};
use crate::scenario::plan::BreakdownBy;

/// Scans logs once, on all threads, reduces them to a cube, and writes the cube to a folder. Every
/// sum is an integer. The cube therefore does not depend on the split into files, on the number of
/// threads, or on whether the users fit in memory.
///
/// # Errors
/// When a log cannot be read, the scenario's policies refuse a row, a sum overflows, traces are
/// needed and the traffic has no `trace_id`, or a file cannot be written.
pub fn replay(
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    folder: &Path,
    progress: &Progress,
) -> Result<Cube> {
    let Opened {
        layers,
        tenants,
        sources,
        earlier,
        scan,
        parts,
    } = Opened::new(ctx, inputs, progress)?;
    let n_users = layers.n_users();
    let (n_strata, n_stages, n_windows) = (scan.strata.len(), scan.strata.max_stages(), scan.n_windows());
    let user_bytes = Users::n_bytes(n_users, n_strata, n_stages, n_windows);
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
        let scanned = partition::scan(&job, n_partitions)?;
        let is_listed = |hashes: &[u64]| layers.have(&scanned.roster, hashes);
        let unknown = unknown_ids(&layers, &scanned, inputs, &parts, &is_listed)?;
        return finish_cube(&scan, inputs, sources, earlier, scanned, unknown, folder);
    }
    let new_users = |n: usize| Users::new(n, n_strata, n_stages, n_windows, u64::BITS);
    // The scan of the earlier cube read the whole layer table, and found every user once.
    let loaded = match &earlier {
        Some(_) => load_log_users(&layers, &tenants, inputs, &parts, &new_users)?,
        None => None,
    };
    let has_all = loaded.is_none();
    let (roster, users) = match loaded {
        Some(loaded) => loaded,
        None => layers.load(tenants, &|| new_users(n_users))?,
    };
    let shares = scan_parts(&scan, inputs, &parts, &roster, progress, &|state, turns| {
        state.update(&scan, &users, turns)
    })?;
    let mut scanned = Scanned {
        roster,
        shares,
        seen: Box::new(NoUsers),
        runs: Vec::new(),
    };
    let is_listed = |hashes: &[u64]| {
        if !has_all {
            return layers.have(&scanned.roster, hashes);
        }
        let mut rows = Vec::new();
        users.find(hashes, &mut rows);
        Ok(rows.iter().map(|row| *row != UNKNOWN).collect())
    };
    let unknown = unknown_ids(&layers, &scanned, inputs, &parts, &is_listed)?;
    scanned.seen = Box::new(users.into_seen());
    finish_cube(&scan, inputs, sources, earlier, scanned, unknown, folder)
}

/// The inputs of a replay, opened, and the parts of the log that must be scanned.
pub(super) struct Opened<'a> {
    pub(super) layers: LayerTable<'a>,
    pub(super) tenants: Vec<String>,
    pub(super) sources: Sources,
    pub(super) earlier: Option<Earlier>,
    pub(super) scan: Scan<'a>,
    pub(super) parts: Vec<LogPart>,
}

impl<'a> Opened<'a> {
    /// # Errors
    /// As [`replay`], before the log is scanned.
    pub(super) fn new(
        ctx: &'a ReplayContext<'a>,
        inputs: &'a Inputs<'_>,
        progress: &Progress,
    ) -> Result<Self> {
        let wants_traces = !inputs.shadows.is_empty() || !inputs.outcomes.is_empty();
        if wants_traces && !inputs.traffic.iter().any(|reader| reader.has("trace_id")) {
            return Err(Error::usage(
                "expected a column `trace_id` in the traffic, by which outcomes are joined, found none",
            )
            .hint(advice::rename("trace_id")));
        }
        let layers = LayerTable::open(inputs.layers, ctx.plan)?;
        let tenants = layers.tenants()?;
        let strata = Strata::from_plan(ctx.plan, &tenants, ctx.as_of)?;
        let sources = Sources::new(inputs)?;
        let earlier = Earlier::open(ctx, inputs, &sources, &strata, &tenants, layers.digest())?;
        let known = earlier.as_ref().map(Earlier::cube);
        let scan = Scan::new(ctx, inputs, strata, known, &|outcomes| {
            let known = known.map_or(&[][..], |cube| &cube.limits);
            limits_of_quantiles(ctx, inputs, outcomes, known, progress)
        })?;
        let parts = parts_of(inputs, &sources, earlier.as_ref(), ctx.as_of);
        if ctx.breakdowns.contains(&BreakdownBy::User) {
            breakdown::check_users(layers.n_users(), scan.n_windows())?;
        }
        Ok(Self {
            layers,
            tenants,
            sources,
            earlier,
            scan,
            parts,
        })
    }
}

/// Returns examples of the ids that a scan did not know. `is_listed` says for each hash whether the
/// layer table has such a user.
pub(super) fn unknown_ids(
    layers: &LayerTable<'_>,
    scanned: &Scanned,
    inputs: &Inputs<'_>,
    parts: &[LogPart],
    is_listed: &dyn Fn(&[u64]) -> Result<Vec<bool>>,
) -> Result<UnknownIds> {
    let mut hashes = UnknownHashes::default();
    scanned
        .shares
        .iter()
        .for_each(|(state, _)| hashes.merge(&state.unknown));
    let LayerTableInfo { tenants, seed, .. } = &scanned.roster;
    let parts: Vec<(usize, Part)> = parts.iter().map(|part| (part.reader, part.part)).collect();
    let mut unknown = hashes.read(&inputs.traffic, &parts, *seed)?;
    if !unknown.users.is_empty() {
        find_listed(&mut unknown.users, tenants, *seed, is_listed)?;
        unknown.listed = layers.first_users(N_EXAMPLES)?;
    }
    Ok(unknown)
}

/// Merges the threads' shares with the earlier cube, counts the users, and writes the cube.
pub(super) fn finish_cube(
    scan: &Scan<'_>,
    inputs: &Inputs<'_>,
    sources: Sources,
    earlier: Option<Earlier>,
    scanned: Scanned,
    mut unknown: UnknownIds,
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
    let (mut states, noted): (Vec<ReplayState>, Vec<Vec<_>>) = shares.into_iter().unzip();
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
    check_distinct(&files)?;
    let mut units = inputs.declared_units();
    if let Some(earlier) = &earlier {
        let mut state = ReplayState::new(scan);
        unknown.merge(earlier.unknown(), roster.seed);
        files = earlier.load(files, &mut state, &scan.strata, &scan.sums)?;
        add_units(&mut units, earlier.units());
        states.push(state);
    }
    files.sort();
    let mut finished = ReplayState::finish(states, &scan.strata, &scan.sums)?;
    let users_path = folder.join(user_store::USERS);
    let served_elsewhere = std::mem::take(&mut finished.served_elsewhere);
    let merged = match &earlier {
        Some(earlier) if runs.is_empty() => {
            earlier.merge_users(&*seen, &served_elsewhere, &scan.strata, &users_path)?
        }
        _ => None,
    };
    let users = match merged {
        Some(users) => users,
        None => {
            runs.push(Box::new(served_elsewhere.into_iter().map(Ok)));
            if let Some(earlier) = &earlier {
                runs.push(earlier.users()?);
            }
            count_users(&*seen, runs, &scan.strata, &users_path)?
        }
    };
    drop(seen);
    if let Some(earlier) = earlier {
        earlier.add_sums(&mut finished)?;
    }

    let plan = scan.ctx.plan;
    let layers = scan
        .strata
        .stages
        .iter()
        .zip(&roster.strata)
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
                |(stratum, ((stages, [n_users, n_eligible]), n_exposed))| CubeLayer {
                    tenant: (stratum / n_layers) as u32,
                    layer: (stratum % n_layers) as u8,
                    n_users: *n_users,
                    n_eligible: *n_eligible,
                    n_exposed: *n_exposed,
                    stages: stages.clone(),
                },
            )
            .collect(),
        measures: scan.sums.measures.clone(),
        limits: scan.limits.clone(),
        counts: finished.counts,
        unknown,
        sources: files,
        shadow_sources: sources.shadows,
        outcome_sources: sources.outcomes,
        layers_digest: roster.digest,
        counts_sessions: scan.count_sessions,
        units,
        expressions: inputs.expressions(),
        cells: finished.cells,
        pairs: finished.pairs,
        breakdowns: finished.breakdowns,
        exposures: users.exposures,
        activity: users.activity,
        sessions: session_rows(&finished.sessions, &scan.strata),
        latencies: finished.latencies,
    };
    user_store::write_sessions(folder, &finished.sessions)?;
    cube.write(folder)?;
    Ok(cube)
}

#[cfg(test)]
mod tests;
