//! The cube: mergeable sums per tenant, layer, stage, release, window and bucket group.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::time::Micros;
use crate::input::SourceFile;
use crate::metric::{Metric, Sum};
use crate::scenario::Arm;
use crate::scenario::plan::BreakdownBy;
use crate::scenario::stages::Stage;
use crate::stats::Reason;

/// A tenant's layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
}

/// A stage of a tenant's layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageKey {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
    /// Index of the layer's stage.
    pub stage: u8,
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

impl CellKey {
    /// The tenant's layer of the cell.
    pub fn layer_key(&self) -> LayerKey {
        LayerKey {
            tenant: self.tenant,
            layer: self.layer,
        }
    }

    /// The stage of the cell.
    pub fn stage_key(&self) -> StageKey {
        StageKey {
            tenant: self.tenant,
            layer: self.layer,
            stage: self.stage,
        }
    }
}

/// One accumulated quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CubeMeasure {
    /// What is added up, over which rows.
    pub sum: Sum,
    /// Whether any file of the log has its column; without one there is nothing to add up.
    pub present: bool,
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

impl CubeLayer {
    /// The tenant and the layer.
    pub fn key(&self) -> LayerKey {
        LayerKey {
            tenant: self.tenant,
            layer: self.layer,
        }
    }

    /// One of the layer's stages.
    pub fn stage_key(&self, stage_idx: usize) -> StageKey {
        StageKey {
            tenant: self.tenant,
            layer: self.layer,
            stage: stage_idx as u8,
        }
    }
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
    /// Users.
    pub users: Exposure,
}

impl ExposureRow {
    /// The stage of the row.
    pub fn stage_key(&self) -> StageKey {
        StageKey {
            tenant: self.tenant,
            layer: self.layer,
            stage: self.stage,
        }
    }
}

/// Distinct users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Seen in the baseline only.
    pub n_baseline: u64,
    /// Seen in the candidate only.
    pub n_candidate: u64,
    /// Seen in both within the stage; they are in neither count above.
    pub n_crossover: u64,
    /// Of `n_baseline`: seen in no earlier stage.
    pub n_new_baseline: u64,
    /// Of `n_candidate`: seen in no earlier stage.
    pub n_new_candidate: u64,
    /// Of all: first answered by the candidate in this stage.
    pub n_first_candidate: u64,
}

impl Exposure {
    /// Adds the users of other groups or stages.
    pub fn add(&mut self, other: &Self) {
        self.n_baseline += other.n_baseline;
        self.n_candidate += other.n_candidate;
        self.n_crossover += other.n_crossover;
        self.n_new_baseline += other.n_new_baseline;
        self.n_new_candidate += other.n_new_candidate;
        self.n_first_candidate += other.n_first_candidate;
    }
}

/// Distinct eligible users of a bucket group by the last window in which they came, whatever
/// release answered: whoever came last in or after a window would have been exposed by any ratio
/// that reached the group by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityRow {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
    /// Bucket group.
    pub group: u16,
    /// Windows since the plan's start.
    pub last_window: u32,
    /// Users.
    pub n_users: u64,
}

/// Distinct sessions of a release in a stage; one that goes on in another stage counts there too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Index of the tenant.
    pub tenant: u32,
    /// Index of the layer.
    pub layer: u8,
    /// Index of the stage.
    pub stage: u8,
    /// The release.
    pub arm: Arm,
    /// Sessions.
    pub n_sessions: u64,
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CubeSource {
    /// The file. What it is called depends on where it was read from; its digest is what it is.
    #[serde(flatten)]
    pub file: SourceFile,
    /// Rows in it.
    pub n_rows: u64,
    /// Rows at or after `as_of`: what a later scan still has to look at.
    pub n_after_as_of: u64,
}

/// Cells: keys, and a row of sums for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    /// Keys, ascending.
    pub keys: Vec<CellKey>,
    /// One row of measures per key.
    pub values: Vec<i64>,
}

impl Cells {
    /// Keys with their sums, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&CellKey, &[i64])> {
        let width = self.values.len().checked_div(self.keys.len()).unwrap_or(0).max(1);
        self.keys.iter().zip(self.values.chunks_exact(width))
    }
}

/// Cells, broken down by one thing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    /// By what.
    pub by: BreakdownBy,
    /// The column's values, ascending; the empty text is what rows without a value have. None for
    /// users.
    pub values: Vec<String>,
    /// Cells, ascending by series, value, window and group.
    pub cells: Cells,
    /// Of each cell: index of its value, or row of its user.
    pub value_of: Vec<u32>,
}

impl Breakdown {
    /// No cells.
    pub fn empty(by: BreakdownBy) -> Self {
        Self {
            by,
            values: Vec::new(),
            cells: Cells::default(),
            value_of: Vec::new(),
        }
    }
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

impl LatencyRow {
    /// The stage of the row.
    pub fn stage_key(&self) -> StageKey {
        StageKey {
            tenant: self.tenant,
            layer: self.layer,
            stage: self.stage,
        }
    }
}

/// Where every row of the log went: `n_rows` is the sum of the counts below it, up to `n_bad`, but
/// for those that start with "of these".
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
    /// Rows of evaluation runs.
    #[serde(default)]
    pub n_eval: u64,
    /// Rows before the plan's start.
    pub n_before_start: u64,
    /// Rows at or after `as_of`.
    pub n_after_as_of: u64,
    /// Rows that could not be used.
    pub n_bad: u64,
    /// Of the rows in an arm: coloured with another layer than the layer table's.
    pub n_layer_differs: u64,
    /// Of the rows in an arm: in the other release than their bucket and the ratio say (assignment
    /// profiles that can be recomputed).
    pub n_misassigned: u64,
    /// Of the rows in an arm: logged with another propensity than the plan's ratio.
    #[serde(default)]
    pub n_propensity_differs: u64,
    /// Of the baseline's rows: paired with the candidate's answer to the same request.
    #[serde(default)]
    pub n_pairs: u64,
    /// Bad rows by reason.
    pub bad_rows: BTreeMap<String, u64>,
}

impl RowCounts {
    /// Adds the counts of other rows.
    pub(super) fn merge(&mut self, other: Self) {
        let mut theirs = other;
        for (reason, n) in std::mem::take(&mut theirs.bad_rows) {
            *self.bad_rows.entry(reason).or_default() += n;
        }
        for (mine, theirs) in self.numbers().into_iter().zip(theirs.numbers()) {
            *mine += *theirs;
        }
    }

    fn numbers(&mut self) -> [&mut u64; 16] {
        let Self {
            n_rows,
            n_baseline,
            n_candidate,
            n_ineligible,
            n_ineligible_candidate,
            n_unknown_release,
            n_unknown_user,
            n_shadow,
            n_eval,
            n_before_start,
            n_after_as_of,
            n_bad,
            n_layer_differs,
            n_misassigned,
            n_propensity_differs,
            n_pairs,
            bad_rows: _,
        } = self;
        [
            n_rows,
            n_baseline,
            n_candidate,
            n_ineligible,
            n_ineligible_candidate,
            n_unknown_release,
            n_unknown_user,
            n_shadow,
            n_eval,
            n_before_start,
            n_after_as_of,
            n_bad,
            n_layer_differs,
            n_misassigned,
            n_propensity_differs,
            n_pairs,
        ]
    }
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
    /// The log's files, by name.
    pub sources: Vec<CubeSource>,
    /// Files of candidate outcomes that were paired with the log.
    pub shadow_sources: Vec<SourceFile>,
    /// Files of outcomes that came late.
    pub outcome_sources: Vec<SourceFile>,
    /// Digest of the layer table that colored the rows.
    pub layers_digest: String,
    /// Whether sessions were counted.
    pub counts_sessions: bool,
    /// Sums by tenant, layer, stage, release, window and bucket group.
    pub cells: Cells,
    /// Sums of requests that both releases answered: what the log says under the baseline, the
    /// other answer under the candidate.
    pub pairs: Cells,
    /// Cells by the values of declared columns, and by user where users are the clusters.
    pub breakdowns: Vec<Breakdown>,
    /// Distinct users, ascending by key.
    pub exposures: Vec<ExposureRow>,
    /// Users by the last window in which they came, ascending by key.
    pub activity: Vec<ActivityRow>,
    /// Distinct sessions, ascending by key; none when they were not counted.
    pub sessions: Vec<SessionRow>,
    /// Latency histograms, ascending by key.
    pub latencies: Vec<(LatencyRow, u64)>,
}

impl Cube {
    /// Columns of a metric's numerator and denominator in the cells.
    ///
    /// # Errors
    /// When the log lacks a column of the metric.
    pub fn metric_columns(&self, metric: &Metric) -> Result<[usize; 2], Reason> {
        let [numerator, denominator] = metric.sums().map(|sum| {
            self.measures
                .iter()
                .position(|m| m.sum == *sum && m.present)
                .ok_or(Reason::NoColumn)
        });
        Ok([numerator?, denominator?])
    }

    /// Whether all rows of a window are old enough at `as_of` for outcomes that arrive up to
    /// `delay` after them. Cells keep what is known of younger rows; only what has had its time is
    /// compared.
    pub fn is_mature(&self, window: u32, delay: Micros) -> bool {
        delay == 0 || self.start + (i64::from(window) + 1) * self.window + delay <= self.as_of
    }
}
