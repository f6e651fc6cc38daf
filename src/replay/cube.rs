//! The cube: mergeable sums per tenant, layer, stage, release, window and bucket group.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Micros;
use crate::input::SourceFile;
use crate::metric::{Metric, Reading, Sum};
use crate::replay::limits::QuantileLimits;
use crate::replay::unknown::UnknownIds;
use crate::scenario::Arm;
use crate::scenario::plan::BreakdownBy;
use crate::scenario::stages::Stage;
use crate::stats::Reason;

/// The key of a layer of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey {
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
}

/// The key of a stage in a layer of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageKey {
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
    /// The stage, an index into [`CubeLayer::stages`].
    pub stage: u8,
}

/// The key of a cell: tenant, layer, stage, release, window and bucket group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
    /// The stage, an index into [`CubeLayer::stages`].
    pub stage: u8,
    /// The release that answered.
    pub arm: Arm,
    /// The window: the number of windows since the plan's start.
    pub window: u32,
    /// The bucket group, 0..370.
    pub group: u16,
}

impl CellKey {
    /// The tenant and layer of the cell.
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

/// One quantity that cells add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CubeMeasure {
    /// The quantity, as a sum over rows.
    pub sum: Sum,
    /// Whether any file of the log has the column. If not, every sum is 0.
    pub present: bool,
}

/// One layer of one tenant: its users, with or without traffic, and its ratios over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CubeLayer {
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
    /// The number of users in the layer table.
    pub n_users: u64,
    /// The number of users who consented to gray release.
    pub n_eligible: u64,
    /// The number of eligible users who got at least one answer from the candidate.
    pub n_exposed: u64,
    /// The stages in time order; each has one ratio.
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

    /// The key of one of the layer's stages.
    pub fn stage_key(&self, stage_idx: usize) -> StageKey {
        StageKey {
            tenant: self.tenant,
            layer: self.layer,
            stage: stage_idx as u8,
        }
    }
}

/// Distinct eligible users of a stage and bucket group, by the arm that answered them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExposureRow {
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
    /// The stage, an index into [`CubeLayer::stages`].
    pub stage: u8,
    /// The bucket group, 0..370.
    pub group: u16,
    /// The counts of distinct users, by the arm that answered them.
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

/// Counts of distinct users in a stage.
///
/// # References
/// `docs/METHODS.md#first-exposure`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Users who got answers only from the baseline.
    pub n_baseline: u64,
    /// Users who got answers only from the candidate.
    pub n_candidate: u64,
    /// Users who got answers from both releases within the stage. `n_baseline` and `n_candidate` do
    /// not include them.
    pub n_crossover: u64,
    /// Users of `n_baseline` who were seen in no earlier stage.
    pub n_new_baseline: u64,
    /// Users of `n_candidate` who were seen in no earlier stage.
    pub n_new_candidate: u64,
    /// Users whose first answer from the candidate was in this stage. Users of `n_crossover` are
    /// included.
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

/// Distinct eligible users of a bucket group, by the last window in which they were active under
/// either release. A user whose last window is `w` or later would have been exposed by any ratio
/// that included the bucket group by window `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityRow {
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
    /// The bucket group, 0..370.
    pub group: u16,
    /// The last window: the number of windows since the plan's start.
    pub last_window: u32,
    /// The number of distinct users.
    pub n_users: u64,
}

/// Distinct sessions of a release in a stage. A session that continues in another stage counts in
/// both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
    /// The stage, an index into [`CubeLayer::stages`].
    pub stage: u8,
    /// The release that answered.
    pub arm: Arm,
    /// The number of distinct sessions.
    pub n_sessions: u64,
}

/// A file of the log with its counts of rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CubeSource {
    /// The file's name and digest. The digest identifies the file; the name depends on the path it
    /// was read from.
    #[serde(flatten)]
    pub file: SourceFile,
    /// The number of rows in the file.
    pub n_rows: u64,
    /// The number of rows at or after `as_of`. A later scan must still count them.
    pub n_after_as_of: u64,
}

/// Cells: keys, each with a row of sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    /// The keys in ascending order.
    pub keys: Vec<CellKey>,
    /// One row of sums per key, in the order of [`Cube::measures`].
    pub values: Vec<i64>,
}

impl Cells {
    /// The keys with their sums, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&CellKey, &[i64])> {
        let width = self.values.len().checked_div(self.keys.len()).unwrap_or(0).max(1);
        self.keys.iter().zip(self.values.chunks_exact(width))
    }
}

/// Cells with one additional key: the value of a column, or the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    /// The additional key: a column, or the user.
    pub by: BreakdownBy,
    /// The column's values in ascending order. The empty text means a missing value. The list is
    /// empty for a breakdown by user.
    pub values: Vec<String>,
    /// The cells, ascending by series, value, window and group.
    pub cells: Cells,
    /// The additional key of each cell: an index into `values`, or the user's row in the layer
    /// table.
    pub value_of: Vec<u32>,
}

impl Breakdown {
    /// Creates a breakdown without cells.
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
    /// The tenant, an index into [`Cube::tenants`].
    pub tenant: u32,
    /// The layer, an index into [`Cube::layer_ids`].
    pub layer: u8,
    /// The stage, an index into [`CubeLayer::stages`].
    pub stage: u8,
    /// The release that answered.
    pub arm: Arm,
    /// The bucket group, 0..370.
    pub group: u16,
    /// The bin of the latency in microseconds; see [`crate::stats::quantile::bin_of`].
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

/// Counts of the log's rows by category. `n_rows` is the sum of the counts from `n_baseline` to
/// `n_bad`, without `n_ineligible_candidate` and `n_settling_candidate`, which are parts
/// of others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Number of rows that were read.
    pub n_rows: u64,
    /// Rows of eligible users that the baseline answered.
    pub n_baseline: u64,
    /// Rows of eligible users that the candidate answered.
    pub n_candidate: u64,
    /// Rows of users who did not consent. They are in neither arm.
    pub n_ineligible: u64,
    /// Rows of `n_ineligible` that the candidate answered although the user did not consent.
    pub n_ineligible_candidate: u64,
    /// Rows with a missing release, or with one that is neither baseline nor candidate.
    pub n_unknown_release: u64,
    /// Rows of users who are not in the layer table.
    pub n_unknown_user: u64,
    /// Rows of shadow answers, which no user saw.
    pub n_shadow: u64,
    /// Rows of evaluation runs.
    #[serde(default)]
    pub n_eval: u64,
    /// Rows of eligible users while the ratio of their layer changed: from the change to the first
    /// whole window after it. They are in neither arm.
    #[serde(default)]
    pub n_settling: u64,
    /// Rows of `n_settling` that the candidate answered.
    #[serde(default)]
    pub n_settling_candidate: u64,
    /// Rows before the plan's start.
    pub n_before_start: u64,
    /// Rows at or after `as_of`.
    pub n_after_as_of: u64,
    /// Rows that could not be used; `bad_rows` has the reasons.
    pub n_bad: u64,
    /// Rows in an arm that name another layer than the layer table.
    pub n_layer_differs: u64,
    /// Rows in an arm that name a layer.
    #[serde(default)]
    pub n_layer_logged: u64,
    /// Rows in an arm that were answered by the other release than the bucket and the ratio
    /// require. Always 0 for assignment profiles that cannot be recomputed.
    pub n_misassigned: u64,
    /// Rows in an arm with a logged propensity that differs from the plan's ratio.
    #[serde(default)]
    pub n_propensity_differs: u64,
    /// Rows of the baseline that were paired with the candidate's answer to the same request.
    #[serde(default)]
    pub n_pairs: u64,
    /// The number of bad rows by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// The number of rows by column, for values that are not 0 but were stored as 0, because they
    /// are at most half of the column's resolution (1e-6, or 1e-9 USD). Only rows of the log from
    /// the plan's start to `as_of` count, of any user.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub below_resolution: BTreeMap<String, u64>,
}

impl RowCounts {
    /// Adds the counts of other rows.
    pub(super) fn merge(&mut self, other: Self) {
        let mut theirs = other;
        for (reason, n) in std::mem::take(&mut theirs.bad_rows) {
            *self.bad_rows.entry(reason).or_default() += n;
        }
        for (column, n) in std::mem::take(&mut theirs.below_resolution) {
            *self.below_resolution.entry(column).or_default() += n;
        }
        for (mine, theirs) in self.numbers().into_iter().zip(theirs.numbers()) {
            *mine += *theirs;
        }
    }

    /// Number of rows that should have a known user and release: those from the plan's start to
    /// `as_of`, without shadow answers and evaluation runs. Bad rows are among them.
    pub fn n_expected(&self) -> u64 {
        let left_out = self.n_before_start + self.n_after_as_of + self.n_shadow + self.n_eval;
        self.n_rows.saturating_sub(left_out)
    }

    /// Number of rows that were read and are to be joined with users.
    pub(super) fn n_admitted(&self) -> u64 {
        self.n_expected().saturating_sub(self.n_bad)
    }

    /// Number of rows that were joined with users, found or not.
    pub(super) fn n_joined(&self) -> u64 {
        let left_out = self.n_unknown_user + self.n_unknown_release + self.n_ineligible + self.n_settling;
        left_out + self.n_baseline + self.n_candidate
    }

    /// Number of rows of [`Self::n_expected`] without a known user and release.
    pub fn n_unmatched(&self) -> u64 {
        self.n_unknown_user + self.n_unknown_release + self.n_bad
    }

    /// Share of the expected rows that have a known user and release, 0..=1. `None` if no row is
    /// expected.
    pub fn coverage(&self) -> Option<f64> {
        let n = self.n_expected();
        (n > 0).then(|| n.saturating_sub(self.n_unmatched()) as f64 / n as f64)
    }

    /// Whether no count is above the number of rows, and that number is exact as a double.
    pub(super) fn are_possible(&self) -> bool {
        let mut counts = self.clone();
        let of_reasons = self.bad_rows.values().chain(self.below_resolution.values());
        self.n_rows <= 1 << 53
            && counts.numbers().iter().all(|n| **n <= self.n_rows)
            && of_reasons.into_iter().all(|n| *n <= self.n_rows)
    }

    fn numbers(&mut self) -> [&mut u64; 19] {
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
            n_settling,
            n_settling_candidate,
            n_before_start,
            n_after_as_of,
            n_bad,
            n_layer_differs,
            n_layer_logged,
            n_misassigned,
            n_propensity_differs,
            n_pairs,
            bad_rows: _,
            below_resolution: _,
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
            n_settling,
            n_settling_candidate,
            n_before_start,
            n_after_as_of,
            n_bad,
            n_layer_differs,
            n_layer_logged,
            n_misassigned,
            n_propensity_differs,
            n_pairs,
        ]
    }
}

/// The traffic log, reduced to sums.
#[derive(Debug, Clone, PartialEq)]
pub struct Cube {
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// The first instant of the plan, in microseconds UTC.
    pub start: Micros,
    /// The end of the data (exclusive), in microseconds UTC.
    pub as_of: Micros,
    /// The length of a window, in microseconds.
    pub window: Micros,
    /// The names of the tenants; keys hold their indices.
    pub tenants: Vec<String>,
    /// The ids of the layers, in plan order.
    pub layer_ids: Vec<String>,
    /// Every layer of every tenant, ascending by tenant, then by layer.
    pub layers: Vec<CubeLayer>,
    /// The sums in each row of [`Cells::values`].
    pub measures: Vec<CubeMeasure>,
    /// The limits of values that come from quantiles of the baseline.
    pub limits: Vec<QuantileLimits>,
    /// The counts of the log's rows by category.
    pub counts: RowCounts,
    /// Examples of ids that are not known.
    pub unknown: UnknownIds,
    /// The log's files, by name.
    pub sources: Vec<CubeSource>,
    /// The files of candidate outcomes that were paired with the log.
    pub shadow_sources: Vec<SourceFile>,
    /// The files of outcomes that arrived late.
    pub outcome_sources: Vec<SourceFile>,
    /// The digest of the layer table that assigned users to layers.
    pub layers_digest: String,
    /// Whether distinct sessions were counted.
    pub counts_sessions: bool,
    /// Declared units of measured columns in the log, by canonical column name.
    pub units: BTreeMap<String, BTreeSet<String>>,
    /// Expressions of the log, by canonical column name; those of filters under `where`.
    pub expressions: BTreeMap<String, BTreeSet<String>>,
    /// Sums by tenant, layer, stage, release, window and bucket group.
    pub cells: Cells,
    /// Sums of requests that both releases answered. The logged answer is under the baseline, the
    /// shadow answer under the candidate.
    pub pairs: Cells,
    /// Cells by the values of declared columns, and by user if users are the clusters.
    pub breakdowns: Vec<Breakdown>,
    /// Distinct users, ascending by key.
    pub exposures: Vec<ExposureRow>,
    /// Users by the last window in which they were active, ascending by key.
    pub activity: Vec<ActivityRow>,
    /// Distinct sessions, ascending by key. Empty if they were not counted.
    pub sessions: Vec<SessionRow>,
    /// Latency histograms: the number of rows of each bin, ascending by key.
    pub latencies: Vec<(LatencyRow, u64)>,
}

impl Cube {
    /// The columns of a metric's numerator and denominator, as indices into a row of sums.
    ///
    /// # Errors
    /// When the log lacks a column of the metric.
    pub fn metric_columns(&self, metric: &Metric) -> Result<[usize; 2], Reason> {
        let [numerator, denominator] = metric
            .sums()
            .map(|sum| self.column_of(sum).ok_or(Reason::NoColumn));
        Ok([numerator?, denominator?])
    }

    /// The column of a sum, as an index into a row of sums. `None` if the log lacks its column.
    pub fn column_of(&self, sum: &Sum) -> Option<usize> {
        self.measures
            .iter()
            .position(|measure| measure.sum == *sum && measure.present)
    }

    /// Whether the cube has sums of a column, or of its values within limits.
    pub(super) fn has(&self, reading: &Reading) -> bool {
        let is_it = |known: Reading| known.unlimited() == *reading;
        self.measures
            .iter()
            .any(|measure| measure.present && measure.sum.reading().is_some_and(is_it))
    }

    /// The columns of metrics that no file of the log has, in order.
    pub fn missing_columns(&self) -> Vec<String> {
        let absent = self.measures.iter().filter(|measure| !measure.present);
        let columns = absent.filter_map(|measure| measure.sum.reading());
        let columns: BTreeSet<String> = columns.map(|reading| reading.column).collect();
        columns.into_iter().collect()
    }

    /// Whether every row of a window is at least `delay` older than `as_of`, so that its outcomes
    /// have arrived. `delay` is in microseconds. Cells also hold younger rows, but only mature
    /// windows are compared.
    ///
    /// # References
    /// `docs/METHODS.md#maturity`.
    pub fn is_mature(&self, window: u32, delay: Micros) -> bool {
        delay == 0 || self.start + (i64::from(window) + 1) * self.window + delay <= self.as_of
    }
}
