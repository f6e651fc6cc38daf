//! Tools of a release: bundles, changes between two bundles, and the calls that a change breaks.

mod arguments;
mod bundle;
mod bundle_diff;
mod decimal;
mod document;
mod expansion;
mod fit;
mod fits;
mod samples;
pub(crate) mod schema_diff;
mod tool_change;
mod tool_schemas;
mod validator;
mod validity;
mod value;
mod view;
mod work;
mod wrappers;

pub use arguments::{Call, RejectedCall, Replayed, read_calls, replay_arguments};
pub use bundle::{Annotations, TaskSupport, Tool, ToolBundle};
pub use bundle_diff::{BundleDiff, diff_bundles};
pub use schema_diff::{Level, NOT_COMPARED, SchemaChange, Side, diff_schemas};
pub use tool_change::{Concern, ToolChange};
