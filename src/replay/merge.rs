//! Merges cubes of different files into the cube of all of them. The result has the same bytes as
//! one scan of all the files.

use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::input::{Format, SourceFile};
use crate::replay::context::{Inputs, ReplayContext, Sources, sums_of};
use crate::replay::cube::{Cube, CubeSource, SessionRow};
use crate::replay::facts::Since;
use crate::replay::finish::{DistinctUsers, NoUsers, count_users};
use crate::replay::seen::{UserList, UserRow, UserRun};
use crate::replay::sorted_merge::{merge_cells, merge_latencies};
use crate::replay::state::ReplayState;
use crate::replay::state::finish::Finished;
use crate::replay::strata::Strata;
use crate::replay::sums::Sums;
use crate::replay::unknown::UnknownIds;
use crate::replay::{store, user_merge, user_store};
use crate::scenario::plan::BreakdownBy;
use crate::scenario::stages::StageIndex;

/// An earlier cube of the same ramp.
pub(super) struct Earlier {
    folder: PathBuf,
    cube: Cube,
}

impl Earlier {
    /// Reads the cube that a scan continues. `None` if the inputs name no cube, or if its outcome
    /// files differ from those of this scan. Outcomes may belong to any row, so then all rows must
    /// be scanned again.
    ///
    /// # Errors
    /// When the cube belongs to another ramp, a file that must be read again is missing, or a file
    /// has changed.
    pub(super) fn open(
        ctx: &ReplayContext<'_>,
        inputs: &Inputs<'_>,
        sources: &Sources,
        strata: &Strata,
        tenants: &[String],
        layers_digest: &str,
    ) -> Result<Option<Self>> {
        let Some(folder) = inputs.since else {
            return Ok(None);
        };
        let cube = Cube::read(folder)?;
        let plan = ctx.plan;
        let differs = |what: &str| {
            Err(Error::in_file(
                folder,
                format!(
                    "expected a cube of plan {} with its {what}, found another",
                    plan.id
                ),
            )
            .hint("scan the whole log: leave out --since"))
        };
        if cube.plan_id != plan.id || (&cube.baseline, &cube.candidate) != (&plan.baseline, &plan.candidate) {
            return differs("id and releases");
        }
        if cube.layers_digest != layers_digest || cube.tenants != tenants {
            return differs("layer table");
        }
        if (cube.start, cube.window) != (plan.start, plan.window)
            || !cube
                .layer_ids
                .iter()
                .eq(plan.layers.iter().map(|layer| &layer.id))
        {
            return differs("start, window and layers");
        }
        if cube.as_of > ctx.as_of {
            return differs("as_of or an earlier one");
        }
        if !cube
            .measures
            .iter()
            .map(|measure| &measure.sum)
            .eq(&sums_of(ctx.metrics))
        {
            return differs("metrics");
        }
        if cube.expressions != inputs.expressions() {
            return differs("derived columns and filters");
        }
        if cube.layers.len() != strata.len() {
            return differs("layers");
        }
        let index = StageIndex::new(plan);
        let same_history = cube.layers.iter().all(|layer| {
            let tenant = &tenants[layer.tenant as usize];
            let span = (cube.as_of, ctx.as_of);
            index
                .stages_to_continue(tenant, usize::from(layer.layer), span)
                .is_some_and(|stages| stages == layer.stages)
        });
        if !cube
            .breakdowns
            .iter()
            .map(|breakdown| &breakdown.by)
            .eq(ctx.breakdowns)
        {
            return differs("breakdowns and clusters");
        }
        if cube.counts_sessions != inputs.count_sessions {
            return differs("choice to count sessions or not");
        }
        // Files that must be scanned again must be among the inputs.
        let listed = |known: &&CubeSource| {
            sources
                .traffic
                .iter()
                .flatten()
                .any(|file| file.digest == known.file.digest)
        };
        let gone = |what: &str, wanted: &dyn Fn(&CubeSource) -> bool| match cube
            .sources
            .iter()
            .filter(|known| !listed(known))
            .find(|k| wanted(k))
        {
            Some(known) => Err(Error::in_file(
                folder,
                format!(
                    "expected {} in --traffic, {what}, found other files",
                    known.file.name
                ),
            )
            .hint("give --traffic the files of the earlier cube and the new files")),
            None => Ok(()),
        };
        if !same_history {
            gone("because a ratio changed before the cube's as_of", &|_| true)?;
            return Ok(None);
        }
        if (&cube.shadow_sources, &cube.outcome_sources) != (&sources.shadows, &sources.outcomes) {
            gone("because outcomes have changed and may belong to any row", &|_| {
                true
            })?;
            return Ok(None);
        }
        if cube.as_of < ctx.as_of {
            gone("because it has rows after the earlier as_of", &|known| {
                known.n_after_as_of > 0
            })?;
        }
        if cube.limits.iter().any(|limits| !limits.is_final) {
            gone(
                "because limits of `winsorize` may still change for all rows",
                &|_| true,
            )?;
            return Ok(None);
        }
        let is_known = |file: &SourceFile| cube.sources.iter().any(|known| known.file.digest == file.digest);
        let new: Vec<&SourceFile> = sources
            .traffic
            .iter()
            .flatten()
            .filter(|file| !is_known(file))
            .collect();
        // A log that was packed or converted since then is the same log with other bytes.
        let successor = |known: &CubeSource| {
            let name = Format::name_without(&known.file.name);
            new.iter()
                .find(|file| !listed(&known) && Format::name_without(&file.name) == name)
        };
        let mut changed = cube
            .sources
            .iter()
            .filter_map(|known| Some((known, successor(known)?)))
            .peekable();
        if inputs.rescans_changed && changed.peek().is_some() {
            gone(
                "because a file has changed and all rows are scanned again",
                &|known| successor(known).is_none(),
            )?;
            return Ok(None);
        }
        if let Some((known, file)) = changed.next() {
            let found = format!(
                "expected {} as the earlier cube counted it ({}), found {}",
                file.name, known.file.digest, file.digest
            );
            return Err(Error::in_file(folder, found).hint(
                "if the file has changed, or was packed or converted, scan the whole log, without --since; if it is a different file with the same name, give --traffic a folder that contains both",
            ));
        }
        store::check_tables(folder, &[user_store::USERS, user_store::SESSIONS])?;
        Ok(Some(Self {
            folder: folder.to_owned(),
            cube,
        }))
    }

    /// The declared units of the earlier log.
    pub(super) fn units(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.cube.units
    }

    /// The earlier cube.
    pub(super) fn cube(&self) -> &Cube {
        &self.cube
    }

    /// The first instant from which the rows of a file must still be counted. `None` if all rows
    /// were counted.
    pub(super) fn since(&self, file: &SourceFile, as_of: Micros) -> Option<Since> {
        match self
            .cube
            .sources
            .iter()
            .find(|known| known.file.digest == file.digest)
        {
            None => Some(Since { counted_until: None }),
            Some(known) if known.n_after_as_of > 0 && self.cube.as_of < as_of => Some(Since {
                counted_until: Some(self.cube.as_of),
            }),
            Some(_) => None,
        }
    }

    /// Adds this cube to the state of a scan of the other files, without the sums of
    /// [`Self::add_sums`]. Returns the files of both.
    ///
    /// # Errors
    /// When a sum overflows.
    pub(super) fn load(
        &self,
        scanned: Vec<CubeSource>,
        state: &mut ReplayState,
        strata: &Strata,
        sums: &Sums,
    ) -> Result<Vec<CubeSource>> {
        state.load_rest(&self.cube, strata, sums)?;
        let mut files = self.cube.sources.clone();
        for file in scanned {
            let Some(known) = files
                .iter_mut()
                .find(|known| known.file.digest == file.file.digest)
            else {
                files.push(file);
                continue;
            };
            if self.since(&file.file, state.as_of()).is_some() {
                // The rows after the earlier `as_of` have been scanned again.
                state.counts.n_rows -= known.n_after_as_of;
                state.counts.n_after_as_of -= known.n_after_as_of;
                known.n_after_as_of = file.n_after_as_of;
            }
            known.file.name = file.file.name;
        }
        if self.cube.counts_sessions {
            load_sessions(&self.folder, &Strata::from_cube(&self.cube), strata, state)?;
        }
        Ok(files)
    }

    /// Adds the cells, pairs and latencies of this cube to those of a scan of the other files.
    ///
    /// # Errors
    /// When a sum overflows.
    pub(super) fn add_sums(self, finished: &mut Finished) -> Result<()> {
        let Cube {
            measures,
            cells,
            pairs,
            latencies,
            ..
        } = self.cube;
        let width = measures.len().max(1);
        finished.cells = merge_cells(cells, std::mem::take(&mut finished.cells), width)?;
        finished.pairs = merge_cells(pairs, std::mem::take(&mut finished.pairs), width)?;
        finished.latencies = merge_latencies(&latencies, &finished.latencies);
        Ok(())
    }

    /// Merges this cube's users with those of a scan of the other files, and writes them; see
    /// [`user_merge::merge_users`].
    ///
    /// # Errors
    /// When this cube's users cannot be read, or the file cannot be written.
    pub(super) fn merge_users(
        &self,
        list: &dyn UserList,
        served_elsewhere: &[UserRow],
        strata: &Strata,
        path: &Path,
    ) -> Result<Option<DistinctUsers>> {
        user_merge::merge_users(&self.folder, &self.cube, list, served_elsewhere, strata, path)
    }

    /// The cube's examples of ids that are not known.
    pub(super) fn unknown(&self) -> &UnknownIds {
        &self.cube.unknown
    }

    /// Reads the users that this cube saw.
    ///
    /// # Errors
    /// When the folder is not a complete cube.
    pub(super) fn users(&self) -> Result<UserRun<'static>> {
        user_store::read_users(&self.folder, &self.cube)
    }
}

/// Adds the sessions of a cube. Series get new numbers where stages have been added.
fn load_sessions(folder: &Path, theirs: &Strata, mine: &Strata, state: &mut ReplayState) -> Result<()> {
    user_store::read_sessions(folder, theirs.n_series(), &mut |series, session| {
        let key = theirs.cell_key(Strata::key(series, 0, 0));
        state.load_session(
            mine.series(
                mine.stratum(key.tenant, key.layer),
                usize::from(key.stage),
                key.arm,
            ),
            session,
        );
    })
}

/// The number of distinct sessions of each series.
pub(super) fn session_rows(sessions: &BTreeMap<u32, Vec<u64>>, strata: &Strata) -> Vec<SessionRow> {
    let row = |(series, hashes): (&u32, &Vec<u64>)| {
        let key = strata.cell_key(Strata::key(*series, 0, 0));
        SessionRow {
            tenant: key.tenant,
            layer: key.layer,
            stage: key.stage,
            arm: key.arm,
            n_sessions: hashes.len() as u64,
        }
    };
    sessions.iter().map(row).collect()
}

/// Adds the declared units of another log.
pub(super) fn add_units(
    units: &mut BTreeMap<String, BTreeSet<String>>,
    more: &BTreeMap<String, BTreeSet<String>>,
) {
    for (column, names) in more {
        units
            .entry(column.clone())
            .or_default()
            .extend(names.iter().cloned());
    }
}

/// Merges cubes of different files into the cube of all of them, and writes it to a folder.
///
/// # Errors
/// When the cubes differ in their plan, `as_of` or settings, two of them count the same file, a sum
/// overflows, or a file cannot be read or written.
pub fn merge(folders: &[PathBuf], out: &Path) -> Result<Cube> {
    let cubes: Vec<Cube> = folders
        .iter()
        .map(|folder| Cube::read(folder))
        .collect::<Result<_>>()?;
    let Some((first, others)) = cubes.split_first() else {
        return Err(Error::usage("expected cubes to merge, found none"));
    };
    for (cube, folder) in others.iter().zip(&folders[1..]) {
        check_alike(first, &folders[0], cube, folder)?;
    }
    let mut sources: Vec<CubeSource> = cubes
        .iter()
        .flat_map(|cube| cube.sources.iter().cloned())
        .collect();
    sources.sort();
    check_distinct(&sources)?;
    for folder in folders {
        store::check_tables(folder, &[user_store::USERS, user_store::SESSIONS])?;
    }
    let mut measures = first.measures.clone();
    for (idx, measure) in measures.iter_mut().enumerate() {
        measure.present = cubes.iter().any(|cube| cube.measures[idx].present);
    }
    let (strata, sums) = (Strata::from_cube(first), Sums::from_measures(measures));
    let by: Vec<BreakdownBy> = first
        .breakdowns
        .iter()
        .map(|breakdown| breakdown.by.clone())
        .collect();
    let mut state = ReplayState::empty(&sums, first.as_of, &by, strata.window_at(first.as_of) + 1);
    for (cube, folder) in cubes.iter().zip(folders) {
        state.load(cube, &strata, &sums)?;
        if cube.counts_sessions {
            load_sessions(folder, &strata, &strata, &mut state)?;
        }
    }
    let runs = folders
        .iter()
        .zip(&cubes)
        .map(|(folder, cube)| user_store::read_users(folder, cube))
        .collect::<Result<Vec<_>>>()?;
    let users = count_users(&NoUsers, runs, &strata, &out.join(user_store::USERS))?;
    let finished = ReplayState::finish(vec![state], &strata, &sums)?;
    let mut unknown = UnknownIds::default();
    cubes.iter().for_each(|cube| unknown.merge(&cube.unknown, 0));
    let mut cube = first.clone();
    cubes
        .iter()
        .for_each(|other| add_units(&mut cube.units, &other.units));
    for (layer, n_exposed) in cube.layers.iter_mut().zip(&users.n_exposed) {
        layer.n_exposed = *n_exposed;
    }
    let cube = Cube {
        measures: sums.measures,
        counts: finished.counts,
        unknown,
        sources,
        cells: finished.cells,
        pairs: finished.pairs,
        breakdowns: finished.breakdowns,
        exposures: users.exposures,
        activity: users.activity,
        sessions: session_rows(&finished.sessions, &strata),
        latencies: finished.latencies,
        ..cube
    };
    user_store::write_sessions(out, &finished.sessions)?;
    cube.write(out)?;
    Ok(cube)
}

/// Refuses files with the same bytes, because their rows would count twice. Files without rows are
/// not checked.
///
/// # Errors
/// When two files have the same digest.
pub(super) fn check_distinct(sources: &[CubeSource]) -> Result<()> {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for source in sources.iter().filter(|source| source.n_rows > 0) {
        if let Some(other) = seen.insert(&source.file.digest, &source.file.name) {
            return Err(Error::input(
                "traffic",
                format!(
                    "expected different files, found {other} and {} with the same bytes",
                    source.file.name
                ),
            )
            .hint("remove one of them; otherwise, their rows would count twice"));
        }
    }
    Ok(())
}

/// The words of an error about limits at a quantile.
const WINSORIZE: &str = "limits of `winsorize`";

/// Refuses a cube that differs from the first in its plan, layer table, stages, metrics or
/// outcomes.
fn check_alike(first: &Cube, first_folder: &Path, cube: &Cube, folder: &Path) -> Result<()> {
    let stages = |cube: &Cube| {
        cube.layers
            .iter()
            .map(|layer| layer.stages.clone())
            .collect::<Vec<_>>()
    };
    let breakdowns = |cube: &Cube| {
        cube.breakdowns
            .iter()
            .map(|breakdown| breakdown.by.clone())
            .collect::<Vec<_>>()
    };
    let sums = |cube: &Cube| {
        cube.measures
            .iter()
            .map(|measure| measure.sum.clone())
            .collect::<Vec<_>>()
    };
    let pairs = [
        ("plan", first.plan_id == cube.plan_id),
        (
            "releases",
            (&first.baseline, &first.candidate) == (&cube.baseline, &cube.candidate),
        ),
        (
            "start, window and as_of",
            (first.start, first.window, first.as_of) == (cube.start, cube.window, cube.as_of),
        ),
        ("layers", first.layer_ids == cube.layer_ids),
        (
            "layer table",
            (&first.layers_digest, &first.tenants) == (&cube.layers_digest, &cube.tenants),
        ),
        ("operations", stages(first) == stages(cube)),
        ("metrics", sums(first) == sums(cube)),
        (
            "derived columns and filters",
            first.expressions == cube.expressions,
        ),
        (WINSORIZE, first.limits == cube.limits),
        ("breakdowns and clusters", breakdowns(first) == breakdowns(cube)),
        (
            "choice to count sessions or not",
            first.counts_sessions == cube.counts_sessions,
        ),
        (
            "shadow and late outcomes",
            (&first.shadow_sources, &first.outcome_sources) == (&cube.shadow_sources, &cube.outcome_sources),
        ),
    ];
    match pairs.iter().find(|(_, alike)| !alike) {
        Some((what, _)) => Err(Error::in_file(
            folder,
            format!("expected the {what} of {}, found another", first_folder.display()),
        )
        .hint(if *what == WINSORIZE {
            "set `cap` and `floor` in the scenario in place of `winsorize`, and create the cubes again"
        } else {
            "only cubes of one ramp at one as_of can be merged"
        })),
        None => Ok(()),
    }
}
