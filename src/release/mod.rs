//! Release records: the one immutable combination of model, prompt, tool schema and knowledge base that a release id names.

mod changes;
pub mod evals;
mod index;
mod json;
mod record;
pub(crate) mod reference;
mod registry;
mod rollback;
pub mod tools;

pub use changes::{Change, DIMENSIONS, Dimension, changes};
pub use index::RecordIndex;
pub use json::{canonical, parse_json};
pub use record::{Approver, ApproverKind, ReleaseRecord, RiskLevel, read_records};
pub use reference::ArtifactRef;
pub use registry::{Registry, Seen};
pub use rollback::{Rollback, RollbackStep, Signal, SignalKind, rollback, signals_of};
