//! Sorts users into layers by A-RFM score, tag rules, quotas and consent.
//!
//! A table of users is read part by part, so memory does not grow with the number of users. Bands
//! need one pass over the users. Quotas need one or more passes before it, to find the cuts.
//!
//! ```text
//! part of the input ─► kernel: scores ─► layers ─► encode: result columns ─┬─► file: one row group
//!        └─► ids, tenants: copied as column chunks, or encoded again ──────┘
//! ```

mod changes;
mod consent;
mod context;
mod distributed;
mod driver;
mod dropped;
mod encode;
mod file;
mod groups;
mod kept;
mod kernel;
mod nightly;
mod passes;
mod pin;
mod quota;
mod required;
mod reuse;
mod rfm;
mod rows;
mod scan;
mod score;
mod source;
mod summary;
mod table;
pub(crate) mod tables;
mod tasks;
mod unique;

pub use crate::input::DEFAULT_TENANT;
pub use crate::stats::rounding::round_score;
pub(crate) use changes::digests_of_changes;
#[cfg(feature = "stores")]
pub(crate) use changes::write_gone;
pub use changes::{Changed, write_changed};
pub use consent::ConsentChanges;
pub(crate) use consent::write_with_consent;
pub use kernel::{Kernel, KernelCounts, PROTECTED, Scored};
pub use nightly::{Join, LayerMoves, Move, TenantPsi, check_previous, compare};
pub(crate) use pin::check_pinned;
pub use quota::quota_targets;
pub use required::{UserSource, check_required};
pub(crate) use reuse::notes_path;
pub use rfm::{Period, RfmRow, Ties, rfm};
pub(crate) use rows::{LayerFileReader, LayerRows};
pub use score::{Features, N_SCORES, ScoreParts, parts, score};
pub use source::Users;
pub use summary::{LayerCount, LayerSummary, Missing};
pub use table::Layers;

pub use context::{Audit, LayerContext, SMALL_TABLE};
pub use distributed::{LayerRunner, layer_users_in_tasks, plan_layer_tasks};
pub use driver::layer_users;
pub use tasks::{LayerFacts, layer_parts, next_pass};
