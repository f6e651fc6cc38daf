//! Sums per cluster of every variance: bucket groups, or users where the scenario says so.

use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::analysis::document::UserCounts;
use crate::base::time::Micros;
use crate::bucket::N_GROUPS;
use crate::metric::{Metric, Sum};
use crate::replay::{CellKey, Cube};
use crate::scenario::{Arm, BreakdownBy};
use crate::stats::quantile::Histogram;
use crate::stats::{Clusters, Reason};

/// A measure as one metric reads it: its column in the cube, how late its outcomes arrive, its units.
#[derive(Debug, Clone, Copy, PartialEq)]
struct View {
    column: usize,
    delay: Micros,
    units: f64,
}

/// The views of all metrics that the cube can tell, without repetition.
fn views_of(cube: &Cube, metrics: &[Metric]) -> Rc<[View]> {
    let mut views: Vec<View> = Vec::new();
    for metric in metrics {
        let Ok(columns) = cube.metric_columns(metric) else {
            continue;
        };
        for (column, sum) in columns.into_iter().zip(metric.sums()) {
            let view = View {
                column,
                delay: metric.delay,
                units: sum.units(),
            };
            if !views.contains(&view) {
                views.push(view);
            }
        }
    }
    views.into()
}

/// Integer sums of one set of cells: a row of views per cluster.
#[derive(Debug, Clone)]
pub(super) struct GroupSums {
    views: Rc<[View]>,
    values: Vec<i128>,
    /// Rows of users, where users are the clusters; bucket groups are their own rows.
    rows_of_users: Option<HashMap<u32, usize>>,
}

impl GroupSums {
    fn new(views: &Rc<[View]>) -> Self {
        Self {
            views: Rc::clone(views),
            values: vec![0; usize::from(N_GROUPS) * views.len()],
            rows_of_users: None,
        }
    }

    fn by_user(views: &Rc<[View]>) -> Self {
        Self {
            views: Rc::clone(views),
            values: Vec::new(),
            rows_of_users: Some(HashMap::new()),
        }
    }

    fn n_clusters(&self) -> usize {
        self.values.len().checked_div(self.views.len()).unwrap_or(0)
    }

    /// Adds a cell; views whose outcomes may still arrive are left out.
    pub(super) fn add(&mut self, cluster: u32, cell: &[i64], is_mature: &[bool]) {
        let n = self.n_clusters();
        let row = match &mut self.rows_of_users {
            Some(rows) => *rows.entry(cluster).or_insert(n),
            None => cluster as usize,
        };
        let start = row * self.views.len();
        if start == self.values.len() {
            self.values.resize(start + self.views.len(), 0);
        }
        for ((sum, view), is_mature) in self.values[start..]
            .iter_mut()
            .zip(self.views.iter())
            .zip(is_mature)
        {
            if *is_mature {
                *sum += i128::from(cell[view.column]);
            }
        }
    }

    /// Numerator and denominator of a metric per group, in the metric's own units; groups without data are (0, 0).
    pub(super) fn metric(&self, cube: &Cube, metric: &Metric) -> Result<Vec<(f64, f64)>, Reason> {
        let columns = cube.metric_columns(metric)?;
        let view = |which: usize| {
            let wanted = View {
                column: columns[which],
                delay: metric.delay,
                units: metric.sums()[which].units(),
            };
            self.views
                .iter()
                .position(|view| *view == wanted)
                .ok_or(Reason::NoColumn)
        };
        let (num, den) = (view(0)?, view(1)?);
        let (num_units, den_units) = (self.views[num].units, self.views[den].units);
        let groups = self.values.chunks_exact(self.views.len());
        Ok(groups
            .map(|group| (group[num] as f64 / num_units, group[den] as f64 / den_units))
            .collect())
    }

    /// Several metrics side by side: numerator and denominator of each, for every group in which any denominator is above 0.
    pub(super) fn metrics(&self, cube: &Cube, metrics: &[&Metric]) -> Result<Clusters, Reason> {
        Ok(self.rows(cube, metrics)?.map(|(_, sums)| sums).collect())
    }

    /// As [`Self::metrics`], each with its bucket group or its user.
    pub(super) fn numbered(&self, cube: &Cube, metrics: &[&Metric]) -> Result<Vec<(u32, Vec<f64>)>, Reason> {
        let mut users = vec![0; self.n_clusters()];
        self.rows_of_users
            .iter()
            .flatten()
            .for_each(|(user, row)| users[*row] = *user);
        let number = |row: usize| {
            if self.rows_of_users.is_some() {
                users[row]
            } else {
                row as u32
            }
        };
        Ok(self
            .rows(cube, metrics)?
            .map(|(row, sums)| (number(row), sums))
            .collect())
    }

    fn rows(
        &self,
        cube: &Cube,
        metrics: &[&Metric],
    ) -> Result<impl Iterator<Item = (usize, Vec<f64>)>, Reason> {
        let columns: Vec<Vec<(f64, f64)>> = metrics
            .iter()
            .map(|metric| self.metric(cube, metric))
            .collect::<Result<_, _>>()?;
        let row = move |idx: usize| {
            (
                idx,
                columns
                    .iter()
                    .flat_map(|column| [column[idx].0, column[idx].1])
                    .collect::<Vec<f64>>(),
            )
        };
        Ok((0..self.n_clusters())
            .map(row)
            .filter(|(_, sums)| sums.iter().skip(1).step_by(2).any(|den| *den > 0.0)))
    }
}

/// Rows and sums of one release where a column has one value.
pub(super) struct BreakdownSums {
    pub(super) n_rows: u64,
    pub(super) sums: GroupSums,
}

impl BreakdownSums {
    fn new(views: &Rc<[View]>) -> Self {
        Self {
            n_rows: 0,
            sums: GroupSums::new(views),
        }
    }
}

/// The cells of a cube, added up for the questions that inference asks.
pub(super) struct CubeSums {
    views: Rc<[View]>,
    stages: BTreeMap<(u32, u8, u8, Arm), GroupSums>,
    bins: BTreeMap<(u32, u8, u32, Arm), GroupSums>,
    latencies: BTreeMap<(u32, u8, u8, Arm), BTreeMap<u16, Histogram>>,
    rows: BTreeMap<(u32, u8, u32, Arm), u64>,
    stage_rows: BTreeMap<(u32, u8, u8, Arm), u64>,
    users: BTreeMap<(u32, u8, u8), UserCounts>,
    new_users: BTreeMap<(u32, u8, u8), [u64; 2]>,
    /// By tenant, layer and stage, then column and value.
    breakdowns: BTreeMap<(u32, u8, u8, usize, u32), [BreakdownSums; 2]>,
    /// By tenant, layer, stage and delay.
    mature_rows: BTreeMap<(u32, u8, u8, Micros), u64>,
}

impl CubeSums {
    /// Adds up a cube for some metrics; `windows_a_bin` windows make one point of a series.
    pub(super) fn new(cube: &Cube, metrics: &[Metric], windows_a_bin: u32) -> Self {
        let views = views_of(cube, metrics);
        let mut sums = Self {
            views: Rc::clone(&views),
            stages: BTreeMap::new(),
            bins: BTreeMap::new(),
            latencies: BTreeMap::new(),
            rows: BTreeMap::new(),
            stage_rows: BTreeMap::new(),
            users: BTreeMap::new(),
            new_users: BTreeMap::new(),
            mature_rows: BTreeMap::new(),
            breakdowns: BTreeMap::new(),
        };
        let mut delays: Vec<Micros> = metrics
            .iter()
            .map(|metric| metric.delay)
            .filter(|delay| *delay > 0)
            .collect();
        delays.sort_unstable();
        delays.dedup();
        let rows_column = cube.measures.iter().position(|m| m.sum == Sum::Rows);
        let has_users = cube
            .breakdowns
            .iter()
            .any(|breakdown| breakdown.by == BreakdownBy::User);
        let mut is_mature = (u32::MAX, Vec::new());
        for (
            CellKey {
                tenant,
                layer,
                stage,
                arm,
                window,
                group,
            },
            cell,
        ) in cube.cells.iter()
        {
            if is_mature.0 != *window {
                is_mature = (
                    *window,
                    views
                        .iter()
                        .map(|view| cube.is_mature(*window, view.delay))
                        .collect(),
                );
            }
            let bin = window / windows_a_bin;
            let of_stage = sums
                .stages
                .entry((*tenant, *layer, *stage, *arm))
                .or_insert_with(|| {
                    if has_users {
                        GroupSums::by_user(&views)
                    } else {
                        GroupSums::new(&views)
                    }
                });
            if !has_users {
                of_stage.add(u32::from(*group), cell, &is_mature.1);
            }
            let of_bin = sums
                .bins
                .entry((*tenant, *layer, bin, *arm))
                .or_insert_with(|| GroupSums::new(&views));
            of_bin.add(u32::from(*group), cell, &is_mature.1);
            let n_rows = rows_column.map_or(0, |column| cell[column].unsigned_abs());
            *sums.rows.entry((*tenant, *layer, bin, *arm)).or_default() += n_rows;
            *sums
                .stage_rows
                .entry((*tenant, *layer, *stage, *arm))
                .or_default() += n_rows;
            for delay in delays.iter().filter(|delay| cube.is_mature(*window, **delay)) {
                *sums
                    .mature_rows
                    .entry((*tenant, *layer, *stage, *delay))
                    .or_default() += n_rows;
            }
        }
        sums.add_breakdowns(cube, rows_column);
        for row in &cube.exposures {
            let users = sums.users.entry((row.tenant, row.layer, row.stage)).or_default();
            users.baseline += row.users.n_baseline;
            users.candidate += row.users.n_candidate;
            users.crossover += row.users.n_crossover;
            let new = sums
                .new_users
                .entry((row.tenant, row.layer, row.stage))
                .or_default();
            new[0] += row.users.n_new_baseline;
            new[1] += row.users.n_new_candidate;
        }
        for (row, n) in &cube.latencies {
            let groups = sums
                .latencies
                .entry((row.tenant, row.layer, row.stage, row.arm))
                .or_default();
            *groups.entry(row.group).or_default().entry(row.bin).or_default() += n;
        }
        sums
    }

    /// Adds cells that are broken down: users to the stages, whose clusters they are, values of columns by themselves.
    fn add_breakdowns(&mut self, cube: &Cube, rows_column: Option<usize>) {
        let views = Rc::clone(&self.views);
        for (idx, breakdown) in cube.breakdowns.iter().enumerate() {
            for ((key, cell), value) in breakdown.cells.iter().zip(&breakdown.value_of) {
                let CellKey {
                    tenant,
                    layer,
                    stage,
                    arm,
                    window,
                    group,
                } = *key;
                let is_mature: Vec<bool> = views
                    .iter()
                    .map(|view| cube.is_mature(window, view.delay))
                    .collect();
                if breakdown.by == BreakdownBy::User {
                    let of_stage = self
                        .stages
                        .entry((tenant, layer, stage, arm))
                        .or_insert_with(|| GroupSums::by_user(&views));
                    of_stage.add(*value, cell, &is_mature);
                    continue;
                }
                let of_value = self.breakdowns.entry((tenant, layer, stage, idx, *value));
                let of_arm = &mut of_value
                    .or_insert_with(|| [BreakdownSums::new(&views), BreakdownSums::new(&views)])
                    [arm as usize];
                of_arm.sums.add(u32::from(group), cell, &is_mature);
                of_arm.n_rows += rows_column.map_or(0, |column| cell[column].unsigned_abs());
            }
        }
    }

    /// The values of a stage: column, value, and both releases.
    pub(super) fn breakdowns(
        &self,
        tenant: u32,
        layer: u8,
        stage: u8,
    ) -> impl Iterator<Item = (usize, u32, &[BreakdownSums; 2])> {
        let range = (tenant, layer, stage, 0, 0)..=(tenant, layer, stage, usize::MAX, u32::MAX);
        self.breakdowns
            .range(range)
            .map(|(key, sums)| (key.3, key.4, sums))
    }

    pub(super) fn stage(&self, tenant: u32, layer: u8, stage: u8, arm: Arm) -> GroupSums {
        self.stages
            .get(&(tenant, layer, stage, arm))
            .cloned()
            .unwrap_or_else(|| GroupSums::new(&self.views))
    }

    pub(super) fn stage_rows(&self, tenant: u32, layer: u8, stage: u8, arm: Arm) -> u64 {
        self.stage_rows
            .get(&(tenant, layer, stage, arm))
            .copied()
            .unwrap_or(0)
    }

    /// Distinct users; leaks are not judged here.
    pub(super) fn users(&self, tenant: u32, layer: u8, stage: u8) -> UserCounts {
        self.users
            .get(&(tenant, layer, stage))
            .copied()
            .unwrap_or_default()
    }

    /// No sums, of bucket groups.
    pub(super) fn empty_groups(&self) -> GroupSums {
        GroupSums::new(&self.views)
    }

    /// How late outcomes arrive, of all views.
    pub(super) fn delays(&self) -> Vec<Micros> {
        self.views.iter().map(|view| view.delay).collect()
    }

    /// The views whose outcomes arrive so late.
    pub(super) fn has_delay(&self, delay: Micros) -> Vec<bool> {
        self.views.iter().map(|view| view.delay == delay).collect()
    }

    /// Users seen in no earlier stage: baseline, candidate.
    pub(super) fn new_users(&self, tenant: u32, layer: u8, stage: u8) -> [u64; 2] {
        self.new_users
            .get(&(tenant, layer, stage))
            .copied()
            .unwrap_or_default()
    }

    /// Rows of a stage, both releases, that are old enough for outcomes of this delay.
    pub(super) fn mature_rows(&self, tenant: u32, layer: u8, stage: u8, delay: Micros) -> u64 {
        self.mature_rows
            .get(&(tenant, layer, stage, delay))
            .copied()
            .unwrap_or(0)
    }

    /// Latency histograms per group.
    pub(super) fn latencies(&self, tenant: u32, layer: u8, stage: u8, arm: Arm) -> Vec<Histogram> {
        self.latencies
            .get(&(tenant, layer, stage, arm))
            .map_or_else(Vec::new, |groups| groups.values().cloned().collect())
    }

    /// The points of a layer's series, in time order: bin, release, rows, sums.
    pub(super) fn series(&self, tenant: u32, layer: u8) -> impl Iterator<Item = (u32, Arm, u64, &GroupSums)> {
        self.bins
            .range((tenant, layer, 0, Arm::Baseline)..=(tenant, layer, u32::MAX, Arm::Candidate))
            .map(|(key, sums)| {
                let rows = self.rows.get(key).copied().unwrap_or(0);
                (key.2, key.3, rows, sums)
            })
    }
}
