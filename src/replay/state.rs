//! The mergeable state of a scan: update with rows, merge with another state, finish as a cube.

use arrow_array::{Array, Int64Array};
use hashbrown::HashMap;
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Context,
    cube::{Arm, CellKey, Cube, CubeLayer, CubeMeasure, ExposureRow, LatencyRow, RowCounts},
    measured_columns,
    stages::{MAX_STAGES, Stage, stages_of},
};
use crate::{
    bucket::group_of,
    error::{Error, Result},
    input::{SourceFile, TrafficBatch, TrafficReader},
    layer::Layers,
    metric::{Sum, column_kind},
    stats::quantile::bin_of,
    time::Micros,
};

/// What all threads of a scan share.
pub(super) struct Scan<'a> {
    ctx: &'a Context<'a>,
    layers: &'a Layers,
    /// Stages of each tenant's layers: tenant by tenant, layer by layer.
    stages: Vec<Vec<Stage>>,
    /// Bucket of each user.
    buckets: Vec<u16>,
    measures: Vec<CubeMeasure>,
    /// Where each measure comes from: its column among the measured ones, if it reads one.
    columns: Vec<Option<usize>>,
    /// The column that the latency histogram reads.
    latency_column: Option<usize>,
    /// Stages in which each user was seen, one bit a stage: baseline, candidate. Setting bits commutes, so threads share them.
    seen: [Vec<AtomicU64>; 2],
}

impl<'a> Scan<'a> {
    pub(super) fn new(ctx: &'a Context<'a>, readers: &[TrafficReader], layers: &'a Layers) -> Result<Self> {
        let of_tenant =
            |tenant: &String| (0..ctx.plan.layers.len()).map(|idx| stages_of(ctx.plan, tenant, idx, ctx.as_of)).collect::<Vec<_>>();
        let stages: Vec<Vec<Stage>> = layers.tenants.iter().flat_map(of_tenant).collect();
        if let Some(idx) = stages.iter().position(|stages| stages.len() > MAX_STAGES) {
            let id = &ctx.plan.layers[idx % ctx.plan.layers.len()].id;
            return Err(Error::usage(format!(
                "expected at most {MAX_STAGES} ratio changes a layer, found {} in \"{id}\"",
                stages[idx].len()
            )));
        }
        let measured = measured_columns(ctx.metrics);
        let (mut measures, mut columns): (Vec<CubeMeasure>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
        for measure in ctx.metrics.iter().flat_map(|metric| metric.measures()) {
            let column = measure.sum.column().map(str::to_owned);
            let is_there = column.as_ref().is_none_or(|column| readers.iter().any(|reader| reader.has(column)));
            if is_there && !measures.iter().any(|m| m.measure == measure) {
                columns.push(column.as_ref().and_then(|column| measured.iter().position(|m| m == column)));
                measures.push(CubeMeasure { kind: column.as_deref().map_or(crate::metric::ColumnKind::Count, column_kind), measure });
            }
        }
        let profile = &ctx.plan.profile;
        let buckets = (0..layers.n_users()).into_par_iter().map(|user| profile.bucket(layers.user_id(user))).collect();
        let unseen = || (0..layers.n_users()).map(|_| AtomicU64::new(0)).collect();
        let latency_column = measured.iter().position(|column| column == "latency_ms");
        Ok(Self { ctx, layers, stages, buckets, measures, columns, latency_column, seen: [unseen(), unseen()] })
    }
}

impl Scan<'_> {
    fn stages_of(&self, tenant: u32, layer: u8) -> &[Stage] {
        &self.stages[tenant as usize * self.ctx.plan.layers.len() + usize::from(layer)]
    }
}

/// One thread's share of a scan.
pub(super) struct State {
    cells: HashMap<CellKey, usize>,
    values: Vec<i64>,
    n_measures: usize,
    latencies: HashMap<LatencyRow, u64>,
    counts: RowCounts,
}

impl State {
    pub(super) fn new(scan: &Scan<'_>) -> Self {
        Self {
            cells: HashMap::new(),
            values: Vec::new(),
            n_measures: scan.measures.len(),
            latencies: HashMap::new(),
            counts: RowCounts::default(),
        }
    }

    /// Adds the rows of a batch.
    pub(super) fn update(&mut self, scan: &Scan<'_>, batch: &TrafficBatch<'_>) -> Result<()> {
        let (ctx, layers) = (scan.ctx, scan.layers);
        for row in 0..batch.raw.n_rows {
            self.counts.n_rows += 1;
            if batch.faults.is_bad(row) {
                self.counts.n_bad += 1;
                continue;
            }
            let at = batch.event_time.value(row);
            if at < ctx.plan.start {
                self.counts.n_before_start += 1;
                continue;
            }
            if at >= ctx.as_of {
                self.counts.n_after_as_of += 1;
                continue;
            }
            if batch.is_shadow.as_ref().is_some_and(|shadow| shadow.is_valid(row) && shadow.value(row)) {
                self.counts.n_shadow += 1;
                continue;
            }
            let tenant = batch.tenant_id.as_ref().filter(|t| t.is_valid(row) && !t.value(row).is_empty()).map(|t| t.value(row));
            let Some(user) = layers.find(tenant, batch.user_id.value(row)) else {
                self.counts.n_unknown_user += 1;
                continue;
            };
            let release = batch.release_id.is_valid(row).then(|| batch.release_id.value(row));
            let arm = match release {
                Some(id) if id == ctx.plan.baseline => Arm::Baseline,
                Some(id) if id == ctx.plan.candidate => Arm::Candidate,
                other => {
                    if ctx.refuse_unknown_release {
                        return Err(unknown_release(ctx, batch, row, other));
                    }
                    self.counts.n_unknown_release += 1;
                    continue;
                }
            };
            if !layers.eligible[user] {
                self.counts.n_ineligible += 1;
                self.counts.n_ineligible_candidate += u64::from(arm == Arm::Candidate);
                continue;
            }
            let layer = layers.layer[user];
            if batch.layer.as_ref().is_some_and(|l| l.is_valid(row) && l.value(row) != ctx.plan.layers[usize::from(layer)].id) {
                self.counts.n_layer_differs += 1;
            }
            let stages = scan.stages_of(layers.tenant[user], layer);
            let stage = stages.partition_point(|stage| stage.start <= at).saturating_sub(1);
            let bucket = scan.buckets[user];
            let expected = if stages[stage].ratio.reaches(bucket) { Arm::Candidate } else { Arm::Baseline };
            self.counts.n_misassigned += u64::from(ctx.plan.profile.is_recomputable() && expected != arm);
            match arm {
                Arm::Baseline => self.counts.n_baseline += 1,
                Arm::Candidate => self.counts.n_candidate += 1,
            }
            scan.seen[arm as usize][user].fetch_or(1 << stage, Ordering::Relaxed);
            let window = u32::try_from((at - ctx.plan.start) / ctx.plan.window).map_err(|_| {
                Error::input(
                    batch.raw.place("event_time", row),
                    "expected an instant within 2^32 windows of the plan's start, found a later one",
                )
            })?;
            let (tenant, stage, group) = (layers.tenant[user], stage as u8, group_of(bucket));
            let key = CellKey { tenant, layer, stage, arm, window, group };
            self.add_row(scan, key, at, batch, row)?;
            if let Some(latency) = scan.latency_column.and_then(|column| value_at(batch.measured[column].as_ref(), row)) {
                // Stored in millionths of a millisecond; the histogram counts microseconds.
                let bin = bin_of(latency.unsigned_abs() / 1_000);
                *self.latencies.entry(LatencyRow { tenant, layer, stage, arm, group, bin }).or_default() += 1;
            }
        }
        Ok(())
    }

    fn add_row(&mut self, scan: &Scan<'_>, key: CellKey, at: Micros, batch: &TrafficBatch<'_>, row: usize) -> Result<()> {
        let start = self.cell(key);
        let cell = &mut self.values[start..start + scan.measures.len()];
        for ((measure, column), sum) in scan.measures.iter().zip(&scan.columns).zip(cell) {
            if at + measure.measure.delay > scan.ctx.as_of {
                continue;
            }
            let value = match (&measure.measure.sum, column) {
                (Sum::Rows, _) => Some(1),
                (Sum::Of(_), Some(column)) => value_at(batch.measured[*column].as_ref(), row),
                (Sum::Known(_), Some(column)) => value_at(batch.measured[*column].as_ref(), row).map(|_| 1),
                _ => None,
            };
            if let Some(value) = value {
                *sum = sum.checked_add(value).ok_or_else(|| overflow(&measure.measure.column_name()))?;
            }
        }
        Ok(())
    }

    /// Where the sums of a cell start.
    fn cell(&mut self, key: CellKey) -> usize {
        let (values, n) = (&mut self.values, self.n_measures);
        *self.cells.entry(key).or_insert_with(|| {
            values.resize(values.len() + n, 0);
            values.len() - n
        })
    }

    /// Notes rows that were left out.
    pub(super) fn bad_rows(&mut self, more: BTreeMap<String, u64>) {
        for (reason, n) in more {
            *self.counts.bad_rows.entry(reason).or_default() += n;
        }
    }

    /// Adds another state: associative and commutative, because every sum is an integer.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        let n = self.n_measures;
        for (key, from) in other.cells {
            let start = self.cell(key);
            for (sum, value) in self.values[start..start + n].iter_mut().zip(&other.values[from..from + n]) {
                *sum = sum.checked_add(*value).ok_or_else(|| overflow("a cell"))?;
            }
        }
        for (key, count) in other.latencies {
            *self.latencies.entry(key).or_default() += count;
        }
        let (mine, theirs) = (&mut self.counts, other.counts);
        mine.n_rows += theirs.n_rows;
        mine.n_baseline += theirs.n_baseline;
        mine.n_candidate += theirs.n_candidate;
        mine.n_ineligible += theirs.n_ineligible;
        mine.n_ineligible_candidate += theirs.n_ineligible_candidate;
        mine.n_unknown_release += theirs.n_unknown_release;
        mine.n_unknown_user += theirs.n_unknown_user;
        mine.n_shadow += theirs.n_shadow;
        mine.n_before_start += theirs.n_before_start;
        mine.n_after_as_of += theirs.n_after_as_of;
        mine.n_bad += theirs.n_bad;
        mine.n_layer_differs += theirs.n_layer_differs;
        mine.n_misassigned += theirs.n_misassigned;
        self.bad_rows(theirs.bad_rows);
        Ok(())
    }

    /// Sorts everything by key.
    pub(super) fn finish(self, scan: &Scan<'_>, ctx: &Context<'_>, layers: &Layers, sources: Vec<SourceFile>) -> Cube {
        let n = self.n_measures;
        let mut cells: Vec<(CellKey, usize)> = self.cells.into_iter().collect();
        cells.sort_unstable();
        let values = cells.iter().flat_map(|(_, start)| &self.values[*start..start + n]).copied().collect();
        let mut latencies: Vec<(LatencyRow, u64)> = self.latencies.into_iter().collect();
        latencies.sort_unstable();
        Cube {
            plan_id: ctx.plan.id.clone(),
            baseline: ctx.plan.baseline.clone(),
            candidate: ctx.plan.candidate.clone(),
            start: ctx.plan.start,
            as_of: ctx.as_of,
            window: ctx.plan.window,
            tenants: layers.tenants.clone(),
            layer_ids: ctx.plan.layers.iter().map(|layer| layer.id.clone()).collect(),
            layers: cube_layers(scan, layers),
            measures: scan.measures.clone(),
            counts: self.counts,
            sources,
            layers_digest: layers.digest.clone(),
            keys: cells.into_iter().map(|(key, _)| key).collect(),
            values,
            exposures: exposures(scan, layers),
            latencies,
        }
    }
}

fn value_at(values: Option<&Int64Array>, row: usize) -> Option<i64> {
    values.filter(|values| values.is_valid(row)).map(|values| values.value(row))
}

fn overflow(what: &str) -> Error {
    Error::input("traffic", format!("expected sums that fit 63 bits, found an overflow in {what}"))
        .hint("use a shorter plan.window_minutes, or check the column's unit")
}

fn unknown_release(ctx: &Context<'_>, batch: &TrafficBatch<'_>, row: usize, found: Option<&str>) -> Error {
    let found = found.map_or_else(|| "none".to_owned(), |id| format!("\"{}\"", id.chars().take(60).collect::<String>()));
    Error::input(
        batch.raw.place("release_id", row),
        format!("expected \"{}\" or \"{}\", found {found}", ctx.plan.baseline, ctx.plan.candidate),
    )
    .hint("rows like this can be counted and left out with `input.on_unknown_release = \"count\"`")
}

fn cube_layers(scan: &Scan<'_>, layers: &Layers) -> Vec<CubeLayer> {
    let n_layers = scan.ctx.plan.layers.len();
    let row = |(idx, stages): (usize, &Vec<Stage>)| CubeLayer {
        tenant: (idx / n_layers) as u32,
        layer: (idx % n_layers) as u8,
        n_users: 0,
        n_eligible: 0,
        n_exposed: 0,
        stages: stages.clone(),
    };
    let mut rows: Vec<CubeLayer> = scan.stages.iter().enumerate().map(row).collect();
    for user in 0..layers.n_users() {
        let row = &mut rows[layers.tenant[user] as usize * n_layers + usize::from(layers.layer[user])];
        row.n_users += 1;
        row.n_eligible += u64::from(layers.eligible[user]);
        row.n_exposed += u64::from(scan.seen[Arm::Candidate as usize][user].load(Ordering::Relaxed) != 0);
    }
    rows
}

/// Distinct users by tenant, layer, stage and group.
fn exposures(scan: &Scan<'_>, layers: &Layers) -> Vec<ExposureRow> {
    let mut rows: BTreeMap<(u32, u8, u8, u16), [u64; 3]> = BTreeMap::new();
    for user in 0..layers.n_users() {
        let [baseline, candidate] = [0, 1].map(|arm| scan.seen[arm][user].load(Ordering::Relaxed));
        let mut seen = baseline | candidate;
        while seen != 0 {
            let stage = seen.trailing_zeros() as u8;
            seen &= seen - 1;
            let which = match (baseline >> stage & 1, candidate >> stage & 1) {
                (1, 1) => 2,
                (_, 1) => 1,
                _ => 0,
            };
            rows.entry((layers.tenant[user], layers.layer[user], stage, group_of(scan.buckets[user]))).or_default()[which] += 1;
        }
    }
    rows.into_iter()
        .map(|((tenant, layer, stage, group), [n_baseline, n_candidate, n_crossover])| ExposureRow {
            tenant,
            layer,
            stage,
            group,
            n_baseline,
            n_candidate,
            n_crossover,
        })
        .collect()
}
