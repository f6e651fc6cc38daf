//! Tools of a release: bundles, changes between two bundles, and the calls that a change breaks.

mod arguments;
mod bundle;
mod bundle_diff;
mod expansion;
pub(crate) mod schema_diff;
mod view;
mod work;

pub use arguments::{Call, RejectedCall, Replayed, read_calls, replay_arguments};
pub use bundle::{Annotations, Tool, ToolBundle};
pub use bundle_diff::{BundleDiff, Concern, ToolChange, diff_bundles};
pub use schema_diff::{Level, NOT_COMPARED, SchemaChange, Side, diff_schemas};
