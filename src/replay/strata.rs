//! Maps a row to its key. Tenant, layer, stage and release become one number, the series. Series,
//! window and bucket group become one 64-bit key.

use std::ops::Range;

use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::bucket::N_GROUPS;
use crate::replay::cube::{CellKey, Cube};
use crate::scenario::stages::{MAX_STAGES, Stage, StageIndex, evidence_of};
use crate::scenario::{Arm, Plan};

/// Number of bits of the bucket group in a key. From high to low, a key holds series, window and
/// bucket group, so keys sort in the order of cells.
const GROUP_BITS: u32 = 9;
const WINDOW_BITS: u32 = 32;
const SERIES_BITS: u32 = 64 - GROUP_BITS - WINDOW_BITS;

/// The stages of every tenant's layers, and their numbers. A stratum is one layer of one tenant. A
/// series is one release in one stage of a stratum.
#[derive(Debug, Clone)]
pub(super) struct Strata {
    pub(super) n_layers: usize,
    /// The stages of each stratum, ordered by tenant, then by layer.
    pub(super) stages: Vec<Vec<Stage>>,
    /// The part of each stage whose rows are evidence, in the order of `stages`.
    evidence: Vec<Vec<Range<Micros>>>,
    /// The number of each stratum's first series. The last entry is the number of all series.
    first_series: Vec<u32>,
    start: Micros,
    window: Micros,
    windows_a_micro: f64,
}

impl Strata {
    /// Creates the strata of some tenants under a plan.
    ///
    /// # Errors
    /// When a layer has more than [`MAX_STAGES`] stages, or when the series or windows do not fit
    /// in a key.
    pub(super) fn from_plan(plan: &Plan, tenants: &[String], as_of: Micros) -> Result<Self> {
        let index = StageIndex::new(plan);
        let of_tenant = |tenant: &String| {
            (0..plan.layers.len())
                .map(|idx| index.stages(tenant, idx, as_of))
                .collect::<Vec<_>>()
        };
        let stages: Vec<Vec<Stage>> = tenants.iter().flat_map(of_tenant).collect();
        if let Some(stratum) = stages.iter().position(|stages| stages.len() > MAX_STAGES) {
            let id = &plan.layers[stratum % plan.layers.len()].id;
            let found = stages[stratum].len();
            return Err(Error::usage(format!(
                "expected at most {MAX_STAGES} ratio changes per layer, found {found} in \"{id}\""
            )));
        }
        let n_windows = (as_of - plan.start) / plan.window;
        let strata = Self::new(plan.layers.len(), stages, plan.start, plan.window);
        if strata.n_series() >= 1 << SERIES_BITS || n_windows > i64::from(u32::MAX - 1) {
            return Err(Error::usage(format!(
                "expected fewer than {} tenants x layers x stages and 2^32 windows, found {} and {n_windows}",
                1 << (SERIES_BITS - 1),
                strata.n_series() / 2,
            ))
            .hint("use a longer plan.window_minutes, or a scenario for fewer tenants"));
        }
        Ok(strata)
    }

    /// Creates the strata of a cube.
    pub(super) fn from_cube(cube: &Cube) -> Self {
        let stages = cube.layers.iter().map(|layer| layer.stages.clone()).collect();
        Self::new(cube.layer_ids.len(), stages, cube.start, cube.window)
    }

    fn new(n_layers: usize, stages: Vec<Vec<Stage>>, start: Micros, window: Micros) -> Self {
        let mut first_series = vec![0_u32];
        for stages in &stages {
            first_series.push(first_series.last().copied().unwrap_or(0) + 2 * stages.len() as u32);
        }
        let evidence = stages
            .iter()
            .map(|stages| evidence_of(stages, start, window))
            .collect();
        Self {
            n_layers,
            evidence,
            stages,
            first_series,
            start,
            window,
            windows_a_micro: 1.0 / window as f64,
        }
    }

    /// The number of strata.
    pub(super) fn len(&self) -> usize {
        self.stages.len()
    }

    /// The number of series.
    pub(super) fn n_series(&self) -> u32 {
        self.first_series.last().copied().unwrap_or(0)
    }

    /// The largest number of stages of a stratum.
    pub(super) fn max_stages(&self) -> usize {
        self.stages.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The stage at an instant, which must not be before the plan's start. `None` while the ratio
    /// changes.
    #[inline]
    pub(super) fn stage_at(&self, stratum: u32, at: Micros) -> Option<usize> {
        let stages = &self.stages[stratum as usize];
        // Layers have few stages, and most rows belong to the last ones.
        let mut stage = stages.len() - 1;
        while stage > 0 && stages[stage].start > at {
            stage -= 1;
        }
        self.evidence[stratum as usize][stage]
            .contains(&at)
            .then_some(stage)
    }

    /// The number of whole windows since the plan's start.
    #[inline]
    pub(super) fn window_at(&self, at: Micros) -> u32 {
        // A product and a correction are several times faster than a division. The product differs
        // from the quotient by at most one.
        let since = at - self.start;
        let window = (since as f64 * self.windows_a_micro) as i64;
        let past = since - window * self.window;
        (window + i64::from(past >= self.window) - i64::from(past < 0)) as u32
    }

    /// The number of the series of a release in a stage of a stratum.
    #[inline]
    pub(super) fn series(&self, stratum: u32, stage: usize, arm: Arm) -> u32 {
        self.first_series[stratum as usize] + 2 * stage as u32 + arm as u32
    }

    /// The key of a series, window and bucket group.
    #[inline]
    pub(super) fn key(series: u32, window: u32, group: u16) -> u64 {
        u64::from(series) << (WINDOW_BITS + GROUP_BITS) | u64::from(window) << GROUP_BITS | u64::from(group)
    }

    /// Whether a key names a series, a bucket group, and a window below `n_windows`.
    pub(super) fn is_key(&self, key: u64, n_windows: u64) -> bool {
        key >> (WINDOW_BITS + GROUP_BITS) < u64::from(self.n_series())
            && key >> GROUP_BITS & u64::from(u32::MAX) < n_windows
            && key & ((1 << GROUP_BITS) - 1) < u64::from(N_GROUPS)
    }

    /// Replaces the window of a key.
    pub(super) fn with_window(key: u64, of: impl Fn(u32) -> u32) -> u64 {
        let mask = u64::from(u32::MAX) << GROUP_BITS;
        key & !mask | u64::from(of((key >> GROUP_BITS) as u32)) << GROUP_BITS
    }

    /// Decodes a key.
    pub(super) fn cell_key(&self, key: u64) -> CellKey {
        let series = (key >> (WINDOW_BITS + GROUP_BITS)) as u32;
        let stratum = self.first_series.partition_point(|first| *first <= series) - 1;
        let within = series - self.first_series[stratum];
        CellKey {
            tenant: (stratum / self.n_layers) as u32,
            layer: (stratum % self.n_layers) as u8,
            stage: (within / 2) as u8,
            arm: if within.is_multiple_of(2) {
                Arm::Baseline
            } else {
                Arm::Candidate
            },
            window: (key >> GROUP_BITS) as u32,
            group: (key & ((1 << GROUP_BITS) - 1)) as u16,
        }
    }

    /// The stratum of another layer of the same tenant.
    #[inline]
    pub(super) fn sibling(&self, stratum: u32, layer: u8) -> u32 {
        if self.stages.len() == self.n_layers {
            return u32::from(layer);
        }
        stratum - stratum % self.n_layers as u32 + u32::from(layer)
    }

    /// Encodes the key of a cell.
    pub(super) fn key_of(&self, cell: &CellKey) -> u64 {
        Self::key(
            self.series(
                self.stratum(cell.tenant, cell.layer),
                usize::from(cell.stage),
                cell.arm,
            ),
            cell.window,
            cell.group,
        )
    }

    /// The number of the stratum of a tenant's layer.
    pub(super) fn stratum(&self, tenant: u32, layer: u8) -> u32 {
        tenant * self.n_layers as u32 + u32::from(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_quotients() {
        for window in [60_000_000, 3_600_000_000, 604_800_000_000, 7] {
            let strata = Strata::new(1, vec![Vec::new()], -5, window);
            for n in [0, 1, 2, 1_000, 87_600, 4_294_967] {
                for at in [n * window, n * window + 1, (n + 1) * window - 1] {
                    assert_eq!(i64::from(strata.window_at(at - 5)), at / window, "{window} {at}");
                }
            }
        }
    }
}
