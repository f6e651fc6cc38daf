//! The summary of one night's layering, for people and for the report.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::interner::NameIndex;
use crate::base::time;
use crate::input::{EventSummary, SourceFile};
use crate::layer::context::LayerContext;
use crate::layer::kernel::{KernelCounts, Scored};
use crate::layer::nightly::LayerMoves;
use crate::layer::score::N_SCORES;
use crate::layer::source::add_counts;
use crate::scenario::LayerMode;

/// A layer with fewer eligible users is too small to judge.
const TOO_SMALL: u64 = 1_000;
/// The number of bins of the score histogram.
const N_BINS: usize = 50;

/// The counts of one layering run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// The instant up to which recency was measured, RFC 3339 in UTC.
    pub as_of: String,
    /// The rule that assigned layers: `threshold` (by score) or `quota` (by share of users).
    pub mode: String,
    /// The number of users in the table.
    pub n_users: u64,
    /// The number of users who consented to gray release.
    pub n_eligible: u64,
    /// Users per tenant and layer. Tenants are in order of first appearance, layers in plan order.
    pub layers: Vec<LayerCount>,
    /// Number of users in each of 50 equal ranges of the score: `[0, 0.02)`, ..., `[0.98, 1]`.
    pub score_histogram: Vec<u64>,
    /// Number of users without a value of each feature.
    pub missing: Missing,
    /// Number of users with a value outside of its legal range, for each feature. The value was
    /// clamped. Examples are a use in the future, a negative count or value, and acceptance outside
    /// of 0..=10.
    pub clamped: Missing,
    /// Users without any known feature. The policy for unknown users applies to them, unless a tag
    /// rule matches.
    pub n_unknown: u64,
    /// Users whose layer a tag rule assigned.
    pub n_tagged: u64,
    /// `true` if every id was compared with all others. `None` if the check was skipped, which is
    /// the default for large tables.
    pub ids_are_unique: Option<bool>,
    /// Rows of users who already had a row. They were left out.
    pub n_duplicates: u64,
    /// Rows that were left out because a value was illegal, by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// Row groups whose scores were taken from the previous night because their input had not
    /// changed.
    pub n_reused_row_groups: u64,
    /// Changes since the previous night; `None` without one.
    pub moves: Option<LayerMoves>,
    /// The event log that the users were built from; `None` if they were not built from events.
    pub events: Option<EventSummary>,
    /// The files of users; empty for users taken from the traffic.
    pub sources: Vec<SourceFile>,
    /// Columns that the source of users lacks or hides, for its readers.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The users of one tenant in one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerCount {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The number of users of the tenant in the layer.
    pub n_users: u64,
    /// The number of users who consented to gray release.
    pub n_eligible: u64,
    /// The share of the tenant's users, 0..=1; 0 if the tenant has no user.
    pub share: f64,
    /// Whether the layer has fewer than 1,000 eligible users, too few for a firm judgment.
    pub too_small: bool,
}

/// A number of users for each feature, for example the users without a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// Number of users for the feature `last_use_time` (recency).
    pub last_use_time: u64,
    /// Number of users for the feature `use_count` (frequency).
    pub use_count: u64,
    /// Number of users for the feature `user_value` (monetary value).
    pub user_value: u64,
    /// Number of users for the feature `accept_score` (acceptance of new versions).
    pub accept_score: u64,
}

impl Missing {
    fn new(counts: [u64; 4]) -> Self {
        let [last_use_time, use_count, user_value, accept_score] = counts;
        Self {
            last_use_time,
            use_count,
            user_value,
            accept_score,
        }
    }
}

/// Counts of users, added up part by part.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The tenants, in order of first appearance.
    tenants: NameIndex,
    /// The number of users and of eligible users, by tenant, then by layer.
    cells: Vec<Vec<[u64; 2]>>,
    scores: Vec<u64>,
    counts: KernelCounts,
    bad_rows: BTreeMap<String, u64>,
    n_duplicates: u64,
    n_reused: u64,
}

/// The counts of one part.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PartTally {
    tenants: Vec<String>,
    cells: Vec<Vec<[u64; 2]>>,
    histogram: Vec<u32>,
    counts: KernelCounts,
    pub(super) bad_rows: BTreeMap<String, u64>,
    pub(super) n_duplicates: u64,
    pub(super) is_reused: bool,
}

impl PartTally {
    pub(super) fn new(scored: &Scored, layers: &[u8], n_layers: usize, histogram: Vec<u32>) -> Self {
        let mut cells = vec![vec![[0, 0]; n_layers]; scored.tenants.len()];
        if scored.tenant.is_empty() {
            // Compares whole vectors of bytes, one layer after another. Chunks have 255 users so
            // that a count fits in a byte.
            for (layer, cell) in cells.iter_mut().flatten().enumerate() {
                for (layers, eligible) in layers.chunks(255).zip(scored.eligible.chunks(255)) {
                    let (mut n_users, mut n_eligible) = (0_u8, 0_u8);
                    for (of_user, eligible) in layers.iter().zip(eligible) {
                        let is_in = u8::from(*of_user == layer as u8);
                        n_users += is_in;
                        n_eligible += is_in & eligible;
                    }
                    cell[0] += u64::from(n_users);
                    cell[1] += u64::from(n_eligible);
                }
            }
        } else {
            for ((layer, eligible), tenant) in layers.iter().zip(&scored.eligible).zip(&scored.tenant) {
                let cell = &mut cells[*tenant as usize][usize::from(*layer)];
                cell[0] += 1;
                cell[1] += u64::from(*eligible);
            }
        }
        let (tenants, counts) = (scored.tenants.clone(), scored.counts.clone());
        Self {
            tenants,
            cells,
            histogram,
            counts,
            bad_rows: BTreeMap::new(),
            n_duplicates: 0,
            is_reused: false,
        }
    }

    /// The number of users of each layer, over all tenants.
    pub(super) fn layer_counts(&self, n_layers: usize) -> Vec<u64> {
        (0..n_layers)
            .map(|layer| self.cells.iter().map(|cells| cells[layer][0]).sum())
            .collect()
    }

    pub(super) fn histogram(&self) -> &[u32] {
        &self.histogram
    }
}

impl Tally {
    /// Adds the counts of the next part.
    pub(super) fn add(&mut self, part: PartTally) {
        self.scores.resize(N_SCORES, 0);
        self.scores
            .iter_mut()
            .zip(&part.histogram)
            .for_each(|(n, more)| *n += u64::from(*more));
        for (name, cells) in part.tenants.into_iter().zip(part.cells) {
            let idx = self.tenants.number(&name) as usize;
            if idx == self.cells.len() {
                self.cells.push(vec![[0, 0]; cells.len()]);
            }
            for (cell, more) in self.cells[idx].iter_mut().zip(cells) {
                cell[0] += more[0];
                cell[1] += more[1];
            }
        }
        self.counts.merge(&part.counts);
        self.n_duplicates += part.n_duplicates;
        self.n_reused += u64::from(part.is_reused);
        add_counts(&mut self.bad_rows, part.bad_rows);
    }

    pub(super) fn n_users(&self) -> u64 {
        self.scores.iter().sum()
    }

    /// Returns the summary. `ids_are_unique` says whether duplicates were searched for.
    pub(super) fn finish(self, ctx: &LayerContext<'_>, ids_are_unique: bool) -> LayerSummary {
        let mut layers = Vec::new();
        for (tenant, cells) in self.tenants.names().iter().zip(&self.cells) {
            let total: u64 = cells.iter().map(|cell| cell[0]).sum();
            for ([n_users, n_eligible], layer) in cells.iter().zip(&ctx.plan.layers) {
                layers.push(LayerCount {
                    tenant: tenant.clone(),
                    layer: layer.id.clone(),
                    n_users: *n_users,
                    n_eligible: *n_eligible,
                    share: if total == 0 {
                        0.0
                    } else {
                        *n_users as f64 / total as f64
                    },
                    too_small: *n_eligible < TOO_SMALL,
                });
            }
        }
        let mut score_histogram = vec![0_u64; N_BINS];
        for (score, n) in self.scores.iter().enumerate() {
            score_histogram[(score * N_BINS / 10_000).min(N_BINS - 1)] += n;
        }
        LayerSummary {
            as_of: time::format(ctx.as_of),
            mode: match ctx.layering.mode {
                LayerMode::Threshold => "threshold".into(),
                LayerMode::Quota => "quota".into(),
            },
            n_users: layers.iter().map(|layer| layer.n_users).sum(),
            n_eligible: layers.iter().map(|layer| layer.n_eligible).sum(),
            layers,
            score_histogram,
            missing: Missing::new(self.counts.missing),
            clamped: Missing::new(self.counts.clamped),
            n_unknown: self.counts.n_unknown,
            n_tagged: self.counts.n_tagged,
            ids_are_unique: ids_are_unique.then_some(true),
            n_duplicates: self.n_duplicates,
            bad_rows: self.bad_rows,
            n_reused_row_groups: self.n_reused,
            moves: None,
            events: None,
            sources: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
