//! Release records. A release id names one immutable combination of model, prompt, tool schema and
//! knowledge base.

mod approver;
mod changes;
mod dimension;
pub mod evals;
mod index;
mod pinned;
mod record;
pub(crate) mod reference;
mod registry;
mod rollback;
pub mod tools;

pub use crate::base::json::{canonical, parse_json};
pub use approver::{Approver, ApproverKind};
pub use changes::{RecordChange, changes};
pub use dimension::{DIMENSIONS, Dimension};
pub use index::RecordIndex;
pub(crate) use index::UNKNOWN;
pub use record::{ReleaseRecord, RiskLevel, read_records};
pub use reference::ArtifactRef;
pub use registry::{Registration, Registry};
pub use rollback::{Rollback, RollbackStep, Signal, SignalKind, rollback, signals_of};
