//! Users to layers: A-RFM score, tag rules, quotas, consent.
//!
//! A users table goes through here part by part, so memory does not grow with the number of users. Bands take one pass; quotas one or
//! more before it, to find the cuts.
//!
//! ```text
//! part of the input ─► kernel: scores, placements ─► layers ─► encode: result columns ─┐
//!        └─► ids, tenants: copied as encoded column chunks, or encoded anew ───────────┴─► file: one row group
//! ```

mod dropped;
mod encode;
mod file;
mod kernel;
mod nightly;
mod passes;
mod quota;
mod reuse;
mod rfm;
mod rows;
mod scan;
mod score;
mod source;
mod summary;
mod table;
mod unique;

pub use crate::input::DEFAULT_TENANT;
pub use kernel::{Kernel, KernelCounts, PROTECTED, Scored};
pub use nightly::{Changed, Join, LayerMoves, Move, TenantPsi, check_previous, compare, write_changed};
pub use quota::quota_targets;
pub(crate) use reuse::notes_path;
pub use rfm::{Period, RfmRow, Ties, rfm};
pub(crate) use rows::{LayerFile, LayerRows};
pub use score::{Features, Parts, parts, round_score, score};
pub use source::Users;
pub use summary::{LayerCount, LayerSummary, Missing};
pub use table::Layers;

use clap::ValueEnum;
use std::path::Path;

use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::scenario::{Input, LayerMode, Layering, OnDuplicate, Plan};

/// Scores have this many values: 0..=10000 ten-thousandths.
pub const N_SCORES: usize = 10_001;
/// Users up to which [`Audit::Auto`] audits.
pub const SMALL_TABLE: u64 = 1 << 20;

/// What layering needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Weights, caps, modes.
    pub layering: &'a Layering,
    /// The layers, and the salt that splits ties.
    pub plan: &'a Plan,
    /// Recency is measured from here.
    pub as_of: Micros,
    /// What to do with a second row for a user.
    pub on_duplicate_user: OnDuplicate,
    /// Whether to prove that no user comes twice.
    pub audit: Audit,
    /// Last night's layer table: row groups of which nothing changed are taken from there.
    pub previous: Option<&'a Path>,
}

/// Whether to look at what the scores do not need: that no user comes twice, and the digests of the input files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Audit {
    /// For up to 1,048,576 users, where it costs next to nothing.
    #[default]
    Auto,
    /// For any number of users.
    Always,
    /// Not at all.
    Never,
}

impl Audit {
    /// Whether a table of so many users is audited; `None` if that is not known beforehand, as in text files.
    pub fn applies(self, n_users: Option<u64>) -> bool {
        match self {
            Self::Auto => n_users.is_none_or(|n| n <= SMALL_TABLE),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl<'a> Context<'a> {
    /// The context of a scenario's parts.
    pub fn new(layering: &'a Layering, plan: &'a Plan, as_of: Micros, input: &Input, audit: Audit) -> Self {
        Self {
            layering,
            plan,
            as_of,
            on_duplicate_user: input.on_duplicate_user,
            audit,
            previous: None,
        }
    }
}

/// Scores users, sorts them into layers and writes the layer table, in input order.
///
/// # Errors
/// Users that cannot be read, no user at all, rows that the scenario's policies refuse, or a file that cannot be written.
pub fn layer_users(
    ctx: &Context<'_>,
    users: &Users<'_>,
    path: &Path,
    progress: &Progress,
) -> Result<LayerSummary> {
    let dropped = unique::find_duplicates(ctx, users, path, progress)?;
    let passes = passes::Passes::new(ctx, users, &dropped, progress);
    let assignment = match ctx.layering.mode {
        LayerMode::Threshold => passes::Assignment::bands(ctx.plan),
        LayerMode::Quota => passes::Assignment::Quotas(passes.find_cuts()?),
    };
    passes.write(&assignment, path)
}
