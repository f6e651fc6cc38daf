//! Sums per cluster, for every variance. The clusters are bucket groups, or users if the scenario
//! says so.

use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::analysis::document::UserCounts;
use crate::analysis::span::{LayerSpan, cells_of};
use crate::base::time::Micros;
use crate::bucket::N_GROUPS;
use crate::metric::{Metric, Reading, Sum};
use crate::replay::{CellKey, Cube, ExposureRow, LatencyRow, LayerKey, StageKey};
use crate::scenario::{Arm, BreakdownBy, PerArm};
use crate::stats::quantile::Histogram;
use crate::stats::ratio::WholeSums;
use crate::stats::{Clusters, Reason};

/// A sum as one metric reads it: its column in the cube, the delay of its outcomes in microseconds,
/// and its units.
#[derive(Debug, Clone, Copy, PartialEq)]
struct View {
    column: usize,
    delay: Micros,
    units: f64,
}

impl View {
    fn new(column: usize, metric: &Metric, sum: &Sum) -> Self {
        Self {
            column,
            delay: metric.delay,
            units: sum.units(),
        }
    }
}

/// The views from which the share of limited values comes; see [`Metric::limited_sums`].
fn limited_views(cube: &Cube, metric: &Metric) -> Option<[View; 2]> {
    let [limited, known] = metric.limited_sums()?;
    Some([
        View::new(cube.column_of(&limited)?, metric, &limited),
        View::new(cube.column_of(&known)?, metric, &known),
    ])
}

/// The largest difference between the rows with a value of the one and of the other column of a
/// metric, as a share of the rows.
const MAX_MISSING: f64 = 0.01;

/// The counts of rows with a value, for a metric that is a sum of one column over a sum of another.
/// `None` for other metrics, and if the cube does not have both counts.
fn views_of_known(cube: &Cube, metric: &Metric) -> Option<[View; 2]> {
    let [numerator, denominator] = metric.sums();
    let (Sum::Of(_), Sum::Of(_)) = (numerator, denominator) else {
        return None;
    };
    let [numerator, denominator] = [numerator.reading()?, denominator.reading()?];
    if numerator.column == denominator.column {
        return None;
    }
    let view = |reading: Reading| {
        let sum = Sum::Known(reading.unlimited().to_string());
        Some(View::new(cube.column_of(&sum)?, metric, &sum))
    };
    Some([view(numerator)?, view(denominator)?])
}

/// The distinct views of all metrics whose columns the cube has.
fn views_of(cube: &Cube, metrics: &[Metric]) -> Arc<[View]> {
    let mut views: Vec<View> = Vec::new();
    for metric in metrics {
        let Ok(columns) = cube.metric_columns(metric) else {
            continue;
        };
        let of_metric = columns
            .into_iter()
            .zip(metric.sums())
            .map(|(column, sum)| View::new(column, metric, sum));
        let more = [limited_views(cube, metric), views_of_known(cube, metric)];
        for view in of_metric.chain(more.into_iter().flatten().flatten()) {
            if !views.contains(&view) {
                views.push(view);
            }
        }
    }
    views.into()
}

/// Integer sums of one set of cells: one row of views per cluster with cells.
#[derive(Debug, Clone)]
pub(super) struct GroupSums {
    views: Arc<[View]>,
    values: Vec<i128>,
    rows: Rows,
}

/// The row of each cluster.
#[derive(Debug, Clone)]
enum Rows {
    /// By bucket group: the row plus 1, or 0 for a group without cells. Empty without any cell.
    Groups(Vec<u16>),
    Users(HashMap<u32, usize>),
}

impl GroupSums {
    fn new(views: &Arc<[View]>) -> Self {
        Self {
            views: Arc::clone(views),
            values: Vec::new(),
            rows: Rows::Groups(Vec::new()),
        }
    }

    fn by_user(views: &Arc<[View]>) -> Self {
        Self {
            views: Arc::clone(views),
            values: Vec::new(),
            rows: Rows::Users(HashMap::new()),
        }
    }

    /// The number of clusters: all bucket groups, or the users with cells.
    fn n_clusters(&self) -> usize {
        match &self.rows {
            Rows::Groups(_) => usize::from(N_GROUPS),
            Rows::Users(rows) => rows.len(),
        }
    }

    /// Adds a cell. Views whose outcomes may still arrive are skipped.
    pub(super) fn add(&mut self, cluster: u32, cell: &[i64], is_mature: &[bool]) {
        let start = self.row(cluster);
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

    /// The position of a cluster's first sum. A new cluster has sums of 0.
    fn row(&mut self, cluster: u32) -> usize {
        let n = self.views.len();
        let next = self.values.len().checked_div(n).unwrap_or(0);
        let row = match &mut self.rows {
            Rows::Users(rows) => *rows.entry(cluster).or_insert(next),
            Rows::Groups(rows) => {
                if rows.is_empty() {
                    rows.resize(usize::from(N_GROUPS), 0);
                }
                let row = &mut rows[cluster as usize];
                if *row == 0 {
                    *row = next as u16 + 1;
                }
                usize::from(*row) - 1
            }
        };
        let start = row * n;
        if start == self.values.len() {
            self.values.resize(start + n, 0);
        }
        start
    }

    /// Adds the sums of other cells by bucket group.
    pub(super) fn merge(&mut self, other: &Self) {
        let n = self.views.len();
        let Rows::Groups(rows) = &other.rows else { return };
        for (group, row) in rows.iter().enumerate().filter(|(_, row)| **row > 0) {
            let (own, theirs) = (self.row(group as u32), (usize::from(*row) - 1) * n);
            let sums = other.values[theirs..theirs + n].iter();
            self.values[own..]
                .iter_mut()
                .zip(sums)
                .for_each(|(sum, more)| *sum += more);
        }
    }

    /// A pair of views for each cluster. Bucket groups come in order, users in order of their rows.
    fn pairs(&self, first: usize, second: usize) -> Vec<(i128, i128)> {
        let of_row = |row: &[i128]| (row[first], row[second]);
        let rows = self.values.chunks_exact(self.views.len());
        match &self.rows {
            Rows::Users(_) => rows.map(of_row).collect(),
            Rows::Groups(places) => {
                let rows: Vec<(i128, i128)> = rows.map(of_row).collect();
                let mut pairs = vec![(0, 0); self.n_clusters()];
                for (pair, place) in pairs.iter_mut().zip(places) {
                    if let Some(row) = usize::from(*place).checked_sub(1) {
                        *pair = rows[row];
                    }
                }
                pairs
            }
        }
    }

    /// The numerator and denominator of a metric for each cluster, in whole units.
    ///
    /// # Errors
    /// [`Reason::NoColumn`] if the cube lacks a column. [`Reason::Incomplete`] for a sum of one column
    /// over a sum of another, if their rows with a value differ by more than 1 %: the rows without
    /// the one value would count as 0. [`Reason::AboveOne`] for a share above 1.
    pub(super) fn metric(&self, cube: &Cube, metric: &Metric) -> Result<WholeSums, Reason> {
        let columns = cube.metric_columns(metric)?;
        let view = |which: usize| {
            let wanted = View::new(columns[which], metric, metric.sums()[which]);
            self.views
                .iter()
                .position(|view| *view == wanted)
                .ok_or(Reason::NoColumn)
        };
        let (num, den) = (view(0)?, view(1)?);
        let units = [self.views[num].units, self.views[den].units];
        let scaled = |view: usize, units: f64| self.total(view) as f64 / units;
        if metric.proportion && scaled(num, units[0]) > scaled(den, units[1]) * (1.0 + 1e-9) {
            return Err(Reason::AboveOne);
        }
        let known = views_of_known(cube, metric).and_then(|wanted| self.totals(wanted));
        if let Some([numerator, denominator]) = known
            && numerator.abs_diff(denominator) as f64 > MAX_MISSING * numerator.max(denominator) as f64
        {
            return Err(Reason::Incomplete);
        }
        Ok(WholeSums {
            clusters: self.pairs(num, den),
            units,
        })
    }

    /// The share, 0..=1, of rows whose value is beyond a limit of the metric, of rows with a value.
    /// `None` without limits or without such rows.
    pub(super) fn limited_share(&self, cube: &Cube, metric: &Metric) -> Option<f64> {
        let [limited, known] = self.totals(limited_views(cube, metric)?)?;
        (known > 0).then(|| limited as f64 / known as f64)
    }

    /// The total of each view over all clusters. `None` if the sums lack one.
    fn totals(&self, wanted: [View; 2]) -> Option<[i128; 2]> {
        let at = |wanted: View| self.views.iter().position(|view| *view == wanted);
        let [first, second] = wanted.map(at);
        Some([self.total(first?), self.total(second?)])
    }

    fn total(&self, view: usize) -> i128 {
        let rows = self.values.chunks_exact(self.views.len());
        rows.map(|row| row[view]).sum()
    }

    /// The numerators and denominators of several metrics, for every cluster with any denominator
    /// above 0.
    pub(super) fn metrics(&self, cube: &Cube, metrics: &[&Metric]) -> Result<Clusters, Reason> {
        Ok(self.rows(cube, metrics)?.map(|(_, sums)| sums).collect())
    }

    /// As [`Self::metrics`], with the bucket group or the user of each cluster.
    pub(super) fn numbered(&self, cube: &Cube, metrics: &[&Metric]) -> Result<Vec<(u32, Vec<f64>)>, Reason> {
        let numbers = self.numbers();
        Ok(self
            .rows(cube, metrics)?
            .map(|(row, sums)| (numbers[row], sums))
            .collect())
    }

    /// The bucket group or the user of each row.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..self.n_clusters() as u32).collect();
        if let Rows::Users(rows) = &self.rows {
            rows.iter().for_each(|(user, row)| numbers[*row] = *user);
        }
        numbers
    }

    fn rows(
        &self,
        cube: &Cube,
        metrics: &[&Metric],
    ) -> Result<impl Iterator<Item = (usize, Vec<f64>)>, Reason> {
        let columns: Vec<Vec<(f64, f64)>> = metrics
            .iter()
            .map(|metric| Ok(self.metric(cube, metric)?.scaled().collect()))
            .collect::<Result<_, Reason>>()?;
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

/// The rows and sums of one release for one value of a column.
pub(super) struct BreakdownSums {
    pub(super) n_rows: u64,
    pub(super) sums: GroupSums,
}

impl BreakdownSums {
    fn new(views: &Arc<[View]>) -> Self {
        Self {
            n_rows: 0,
            sums: GroupSums::new(views),
        }
    }
}

/// One release in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StageArmKey {
    stage: StageKey,
    arm: Arm,
}

/// One release at one point of a layer's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BinKey {
    layer: LayerKey,
    bin: u32,
    arm: Arm,
}

/// One value of a breakdown in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BreakdownKey {
    stage: StageKey,
    breakdown_idx: usize,
    value: u32,
}

/// One delay of outcomes in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DelayKey {
    stage: StageKey,
    delay: Micros,
}

/// The sums of one value of a breakdown in a stage.
pub(super) struct BreakdownValue<'a> {
    pub(super) breakdown_idx: usize,
    /// The index of the value in the breakdown's list.
    pub(super) value: u32,
    pub(super) sums: &'a PerArm<BreakdownSums>,
}

/// One release at one point of a layer's series.
pub(super) struct SeriesBin<'a> {
    pub(super) bin: u32,
    pub(super) arm: Arm,
    pub(super) n_rows: u64,
    pub(super) sums: &'a GroupSums,
}

/// What the sums of all parts of a cube share: the views of the metrics and their delays.
#[derive(Clone)]
pub(super) struct SumLayout {
    views: Arc<[View]>,
    /// The distinct delays of metrics above 0.
    delays: Vec<Micros>,
    /// The column that counts rows.
    rows_column: Option<usize>,
    windows_a_bin: u32,
}

impl SumLayout {
    /// The layout for some metrics of a cube. One point of a series has `windows_a_bin` windows.
    pub(super) fn new(cube: &Cube, metrics: &[Metric], windows_a_bin: u32) -> Self {
        let delays = metrics.iter().map(|metric| metric.delay);
        let mut delays: Vec<Micros> = delays.filter(|delay| *delay > 0).collect();
        delays.sort_unstable();
        delays.dedup();
        Self {
            views: views_of(cube, metrics),
            delays,
            rows_column: cube.measures.iter().position(|m| m.sum == Sum::Rows),
            windows_a_bin,
        }
    }
}

/// The sums of some layers of a cube that inference needs.
pub(super) struct CubeSums {
    views: Arc<[View]>,
    /// The sums of a stage without cells.
    empty: GroupSums,
    /// Whether users are the clusters.
    by_user: bool,
    stages: BTreeMap<StageArmKey, GroupSums>,
    bins: BTreeMap<BinKey, GroupSums>,
    latencies: BTreeMap<StageArmKey, BTreeMap<u16, Histogram>>,
    rows: BTreeMap<BinKey, u64>,
    stage_rows: BTreeMap<StageArmKey, u64>,
    users: BTreeMap<StageKey, UserCounts>,
    new_users: BTreeMap<StageKey, PerArm<u64>>,
    breakdowns: BTreeMap<BreakdownKey, PerArm<BreakdownSums>>,
    mature_rows: BTreeMap<DelayKey, u64>,
}

impl CubeSums {
    /// Sums the cells of some layers.
    pub(super) fn new(cube: &Cube, layout: &SumLayout, span: LayerSpan) -> Self {
        let SumLayout {
            views,
            delays,
            rows_column,
            windows_a_bin,
        } = layout;
        let rows_column = *rows_column;
        let mut sums = Self {
            views: Arc::clone(views),
            empty: GroupSums::new(views),
            by_user: cube
                .breakdowns
                .iter()
                .any(|breakdown| breakdown.by == BreakdownBy::User),
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
        let has_users = sums.by_user;
        let mut is_mature = (u32::MAX, Vec::new());
        let rows = span.rows(&cube.cells.keys, CellKey::layer_key);
        for (key, cell) in cells_of(&cube.cells, rows) {
            if is_mature.0 != key.window {
                is_mature = (
                    key.window,
                    views
                        .iter()
                        .map(|view| cube.is_mature(key.window, view.delay))
                        .collect(),
                );
            }
            let stage = key.stage_key();
            let of_arm = StageArmKey { stage, arm: key.arm };
            let of_bin = BinKey {
                layer: key.layer_key(),
                bin: key.window / *windows_a_bin,
                arm: key.arm,
            };
            let stage_sums = sums.stages.entry(of_arm).or_insert_with(|| {
                if has_users {
                    GroupSums::by_user(views)
                } else {
                    GroupSums::new(views)
                }
            });
            if !has_users {
                stage_sums.add(u32::from(key.group), cell, &is_mature.1);
            }
            let bin_sums = sums.bins.entry(of_bin).or_insert_with(|| GroupSums::new(views));
            bin_sums.add(u32::from(key.group), cell, &is_mature.1);
            let n_rows = rows_column.map_or(0, |column| cell[column].unsigned_abs());
            *sums.rows.entry(of_bin).or_default() += n_rows;
            *sums.stage_rows.entry(of_arm).or_default() += n_rows;
            for delay in delays.iter().filter(|delay| cube.is_mature(key.window, **delay)) {
                *sums
                    .mature_rows
                    .entry(DelayKey { stage, delay: *delay })
                    .or_default() += n_rows;
            }
        }
        sums.add_breakdowns(cube, rows_column, span);
        let layer_of = |row: &ExposureRow| LayerKey {
            tenant: row.tenant,
            layer: row.layer,
        };
        for row in &cube.exposures[span.rows(&cube.exposures, layer_of)] {
            let users = sums.users.entry(row.stage_key()).or_default();
            users.baseline += row.users.n_baseline;
            users.candidate += row.users.n_candidate;
            users.crossover += row.users.n_crossover;
            let new = sums.new_users.entry(row.stage_key()).or_default();
            new.baseline += row.users.n_new_baseline;
            new.candidate += row.users.n_new_candidate;
        }
        let layer_of = |(row, _): &(LatencyRow, u64)| LayerKey {
            tenant: row.tenant,
            layer: row.layer,
        };
        for (row, n) in &cube.latencies[span.rows(&cube.latencies, layer_of)] {
            let groups = sums
                .latencies
                .entry(StageArmKey {
                    stage: row.stage_key(),
                    arm: row.arm,
                })
                .or_default();
            *groups.entry(row.group).or_default().entry(row.bin).or_default() += n;
        }
        sums
    }

    /// Adds the cells of breakdowns. Cells by user become the clusters of the stages; cells by
    /// column value have their own sums.
    fn add_breakdowns(&mut self, cube: &Cube, rows_column: Option<usize>, span: LayerSpan) {
        let views = Arc::clone(&self.views);
        for (idx, breakdown) in cube.breakdowns.iter().enumerate() {
            let rows = span.rows(&breakdown.cells.keys, CellKey::layer_key);
            let values = &breakdown.value_of[rows.clone()];
            for ((key, cell), value) in cells_of(&breakdown.cells, rows).zip(values) {
                let stage = key.stage_key();
                let is_mature: Vec<bool> = views
                    .iter()
                    .map(|view| cube.is_mature(key.window, view.delay))
                    .collect();
                if breakdown.by == BreakdownBy::User {
                    let of_stage = self
                        .stages
                        .entry(StageArmKey { stage, arm: key.arm })
                        .or_insert_with(|| GroupSums::by_user(&views));
                    of_stage.add(*value, cell, &is_mature);
                    continue;
                }
                let of_value = self.breakdowns.entry(BreakdownKey {
                    stage,
                    breakdown_idx: idx,
                    value: *value,
                });
                let of_arm =
                    &mut of_value.or_insert_with(|| PerArm::from_fn(|_| BreakdownSums::new(&views)))[key.arm];
                of_arm.sums.add(u32::from(key.group), cell, &is_mature);
                of_arm.n_rows += rows_column.map_or(0, |column| cell[column].unsigned_abs());
            }
        }
    }

    /// The values of a stage's breakdowns, with the sums of both releases.
    pub(super) fn breakdowns(&self, stage: StageKey) -> impl Iterator<Item = BreakdownValue<'_>> {
        let at = |breakdown_idx, value| BreakdownKey {
            stage,
            breakdown_idx,
            value,
        };
        self.breakdowns
            .range(at(0, 0)..=at(usize::MAX, u32::MAX))
            .map(|(key, sums)| BreakdownValue {
                breakdown_idx: key.breakdown_idx,
                value: key.value,
                sums,
            })
    }

    pub(super) fn stage(&self, stage: StageKey, arm: Arm) -> &GroupSums {
        self.stages
            .get(&StageArmKey { stage, arm })
            .unwrap_or(&self.empty)
    }

    pub(super) fn stage_rows(&self, stage: StageKey, arm: Arm) -> u64 {
        self.stage_rows
            .get(&StageArmKey { stage, arm })
            .copied()
            .unwrap_or(0)
    }

    /// The distinct users of a stage. `leaked` is not set here.
    pub(super) fn users(&self, stage: StageKey) -> UserCounts {
        self.users.get(&stage).copied().unwrap_or_default()
    }

    /// Empty sums by bucket group.
    pub(super) fn empty_groups(&self) -> GroupSums {
        self.empty.clone()
    }

    /// Empty sums by the clusters of the analysis: users, or bucket groups.
    pub(super) fn empty_clusters(&self) -> GroupSums {
        if self.by_user {
            GroupSums::by_user(&self.views)
        } else {
            self.empty.clone()
        }
    }

    /// The delays of the outcomes of all views, in microseconds.
    pub(super) fn delays(&self) -> Vec<Micros> {
        self.views.iter().map(|view| view.delay).collect()
    }

    /// Whether each view has this delay.
    pub(super) fn has_delay(&self, delay: Micros) -> Vec<bool> {
        self.views.iter().map(|view| view.delay == delay).collect()
    }

    /// The users of a stage who were seen in no earlier stage.
    pub(super) fn new_users(&self, stage: StageKey) -> PerArm<u64> {
        self.new_users.get(&stage).copied().unwrap_or_default()
    }

    /// The number of rows of a stage, over both releases, that are old enough for outcomes with
    /// this delay.
    pub(super) fn mature_rows(&self, stage: StageKey, delay: Micros) -> u64 {
        self.mature_rows
            .get(&DelayKey { stage, delay })
            .copied()
            .unwrap_or(0)
    }

    /// The latency histograms of each bucket group.
    pub(super) fn latencies(&self, stage: StageKey, arm: Arm) -> Vec<Histogram> {
        self.latencies
            .get(&StageArmKey { stage, arm })
            .map_or_else(Vec::new, |groups| groups.values().cloned().collect())
    }

    /// The points of a layer's series, in time order.
    pub(super) fn series(&self, layer: LayerKey) -> impl Iterator<Item = SeriesBin<'_>> {
        let at = |bin, arm| BinKey { layer, bin, arm };
        self.bins
            .range(at(0, Arm::Baseline)..=at(u32::MAX, Arm::Candidate))
            .map(|(key, sums)| SeriesBin {
                bin: key.bin,
                arm: key.arm,
                n_rows: self.rows.get(key).copied().unwrap_or(0),
                sums,
            })
    }
}
