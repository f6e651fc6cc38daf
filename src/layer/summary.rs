//! What a night's layering found, for people and for the next stage's report.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Context, kernel::KernelCounts, table::Layers};
use crate::{
    input::{EventSummary, SourceFile},
    scenario::LayerMode,
    time,
};

/// Eligible users below which a layer is too small to judge.
const TOO_SMALL: u64 = 1_000;
/// Bins of the score histogram.
const N_BINS: usize = 50;

/// What layering found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// The instant that recency was measured from.
    pub as_of: String,
    /// `threshold` or `quota`.
    pub mode: String,
    /// Users in the table.
    pub n_users: u64,
    /// Users who consented to gray release.
    pub n_eligible: u64,
    /// Users per tenant and layer, in plan order.
    pub layers: Vec<LayerCount>,
    /// Users per fiftieth of the score range: `[0, .02)`, ..., `[.98, 1]`.
    pub score_histogram: Vec<u64>,
    /// Users of whom a feature is not known.
    pub missing: Missing,
    /// Parts that were out of range and clamped: a use in the future, negative counts or values, acceptance outside of 0..=10.
    pub clamped: Missing,
    /// Users of whom nothing is known; the unknown policy placed them.
    pub n_unknown: u64,
    /// Users that a tag rule placed.
    pub n_tagged: u64,
    /// Further rows of users that were there already.
    pub n_duplicates: u64,
    /// Rows left out, by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// What was read of an event log, for users built from one.
    pub events: Option<EventSummary>,
    /// The files the users came from; empty for users taken from the traffic.
    pub sources: Vec<SourceFile>,
}

/// Users of a tenant in a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerCount {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// Users.
    pub n_users: u64,
    /// Users who consented to gray release.
    pub n_eligible: u64,
    /// Share of the tenant's users.
    pub share: f64,
    /// Fewer than 1000 eligible users: judge with care.
    pub too_small: bool,
}

/// A count per feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// Recency.
    pub last_use_time: u64,
    /// Frequency.
    pub use_count: u64,
    /// Value.
    pub user_value: u64,
    /// Acceptance.
    pub accept_score: u64,
}

impl Missing {
    fn new(counts: [u64; 4]) -> Self {
        let [last_use_time, use_count, user_value, accept_score] = counts;
        Self { last_use_time, use_count, user_value, accept_score }
    }
}

/// Counts a finished layer table.
pub fn summarize(
    layers: &Layers,
    ctx: &Context<'_>,
    counts: KernelCounts,
    bad_rows: BTreeMap<String, u64>,
    n_duplicates: u64,
) -> LayerSummary {
    let n_layers = ctx.plan.layers.len();
    let mut n_users = vec![0_u64; layers.tenants.len() * n_layers];
    let mut n_eligible = n_users.clone();
    let mut score_histogram = vec![0_u64; N_BINS];
    for user in 0..layers.n_users() {
        let cell = layers.tenant[user] as usize * n_layers + usize::from(layers.layer[user]);
        n_users[cell] += 1;
        n_eligible[cell] += u64::from(layers.eligible[user]);
        score_histogram[(usize::from(layers.score[user]) * N_BINS / 10_000).min(N_BINS - 1)] += 1;
    }
    let mut rows = Vec::new();
    for (tenant_idx, tenant) in layers.tenants.iter().enumerate() {
        let cells = tenant_idx * n_layers..(tenant_idx + 1) * n_layers;
        let total: u64 = n_users[cells.clone()].iter().sum();
        for (cell, layer) in cells.zip(&ctx.plan.layers) {
            rows.push(LayerCount {
                tenant: tenant.clone(),
                layer: layer.id.clone(),
                n_users: n_users[cell],
                n_eligible: n_eligible[cell],
                share: if total == 0 { 0.0 } else { n_users[cell] as f64 / total as f64 },
                too_small: n_eligible[cell] < TOO_SMALL,
            });
        }
    }
    LayerSummary {
        as_of: time::format(ctx.as_of),
        mode: match ctx.layering.mode {
            LayerMode::Threshold => "threshold".into(),
            LayerMode::Quota => "quota".into(),
        },
        n_users: n_users.iter().sum(),
        n_eligible: n_eligible.iter().sum(),
        layers: rows,
        score_histogram,
        missing: Missing::new(counts.missing),
        clamped: Missing::new(counts.clamped),
        n_unknown: counts.n_unknown,
        n_tagged: counts.n_tagged,
        n_duplicates,
        bad_rows,
        events: None,
        sources: Vec::new(),
    }
}
