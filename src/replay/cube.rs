//! The cube: mergeable sums per tenant, layer, stage, release, window and bucket group.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::stages::Stage;
use crate::{
    input::SourceFile,
    metric::{ColumnKind, Measure, Metric, Sum},
    stats::Reason,
    time::Micros,
};

/// Which release a row ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The release users have today.
    Baseline,
    /// The release being ramped.
    Candidate,
}

/// What a cell is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
    /// Index of the layer's stage.
    pub stage: u8,
    /// The release.
    pub arm: Arm,
    /// Windows since the plan's start.
    pub window: u32,
    /// Bucket group, 0..370.
    pub group: u16,
}

/// One accumulated quantity and the unit it is stored in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CubeMeasure {
    /// What is added up, over which rows.
    #[serde(flatten)]
    pub measure: Measure,
    /// How the column is quantised.
    pub kind: ColumnKind,
}

impl CubeMeasure {
    /// Integer units per unit of the sum.
    pub fn units(&self) -> f64 {
        match self.measure.sum {
            Sum::Of(_) => self.kind.units(),
            Sum::Rows | Sum::Known(_) => 1.0,
        }
    }
}

/// A tenant's layer: who is in it, whether they came or not, and its ratios over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CubeLayer {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
    /// Users.
    pub n_users: u64,
    /// Users who consented to gray release.
    pub n_eligible: u64,
    /// Eligible users who were ever answered by the candidate.
    pub n_exposed: u64,
    /// Stages, in time order.
    pub stages: Vec<Stage>,
}

/// Distinct eligible users of a stage and bucket group, by the arm they were seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExposureRow {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
    /// Index of the stage.
    pub stage: u8,
    /// Bucket group.
    pub group: u16,
    /// Users seen in the baseline only.
    pub n_baseline: u64,
    /// Users seen in the candidate only.
    pub n_candidate: u64,
    /// Users seen in both within the stage; they are in neither count above.
    pub n_crossover: u64,
}

/// Latencies of a stage, release and bucket group in one histogram bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LatencyRow {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
    /// Index of the stage.
    pub stage: u8,
    /// The release.
    pub arm: Arm,
    /// Bucket group.
    pub group: u16,
    /// Bin of the latency in microseconds, see [`crate::stats::quantile::bin_of`].
    pub bin: u16,
}

/// Where every row of the log went: `n_rows` is the sum of the counts below it, up to `n_bad`, but for those that start with "of these".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows read.
    pub n_rows: u64,
    /// Rows of eligible users in the baseline.
    pub n_baseline: u64,
    /// Rows of eligible users in the candidate.
    pub n_candidate: u64,
    /// Rows of users who did not consent: in neither arm.
    pub n_ineligible: u64,
    /// Of these: answered by the candidate all the same.
    pub n_ineligible_candidate: u64,
    /// Rows without a release, or with one that is neither baseline nor candidate.
    pub n_unknown_release: u64,
    /// Rows of users who are not in the layer table.
    pub n_unknown_user: u64,
    /// Rows that were answered beside the real ones.
    pub n_shadow: u64,
    /// Rows before the plan's start.
    pub n_before_start: u64,
    /// Rows at or after `as_of`.
    pub n_after_as_of: u64,
    /// Rows that could not be used.
    pub n_bad: u64,
    /// Of the rows in an arm: coloured with another layer than the layer table's.
    pub n_layer_differs: u64,
    /// Of the rows in an arm: in the other release than their bucket and the ratio say (assignment profiles that can be recomputed).
    pub n_misassigned: u64,
    /// Bad rows by reason.
    pub bad_rows: BTreeMap<String, u64>,
}

/// The reduced log.
#[derive(Debug, Clone, PartialEq)]
pub struct Cube {
    /// The plan's id.
    pub plan_id: String,
    /// The baseline's release id.
    pub baseline: String,
    /// The candidate's release id.
    pub candidate: String,
    /// First instant of the plan.
    pub start: Micros,
    /// End of what is known.
    pub as_of: Micros,
    /// Length of a window.
    pub window: Micros,
    /// Names of the tenants.
    pub tenants: Vec<String>,
    /// The layers' ids, in plan order.
    pub layer_ids: Vec<String>,
    /// Per tenant and layer, ascending.
    pub layers: Vec<CubeLayer>,
    /// What the cells hold.
    pub measures: Vec<CubeMeasure>,
    /// Where the rows went.
    pub counts: RowCounts,
    /// The log's files.
    pub sources: Vec<SourceFile>,
    /// Digest of the layer table that coloured the rows.
    pub layers_digest: String,
    /// Keys of the cells, ascending.
    pub keys: Vec<CellKey>,
    /// Sums of the cells: one row of `measures.len()` per key.
    pub values: Vec<i64>,
    /// Distinct users, ascending by key.
    pub exposures: Vec<ExposureRow>,
    /// Latency histograms, ascending by key.
    pub latencies: Vec<(LatencyRow, u64)>,
}

impl Cube {
    /// The cells with their sums, in key order.
    pub fn cells(&self) -> impl Iterator<Item = (&CellKey, &[i64])> {
        self.keys.iter().zip(self.values.chunks_exact(self.measures.len().max(1)))
    }

    /// Columns of a metric's numerator and denominator in the cells.
    ///
    /// # Errors
    /// When the log lacks a column of the metric.
    pub fn metric_columns(&self, metric: &Metric) -> Result<[usize; 2], Reason> {
        let [numerator, denominator] = metric.measures().map(|measure| self.measures.iter().position(|m| m.measure == measure));
        Ok([numerator.ok_or(Reason::NoColumn)?, denominator.ok_or(Reason::NoColumn)?])
    }
}
