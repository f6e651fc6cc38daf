//! One difference between two bundles of tools.

use serde::Serialize;

use crate::release::tools::schema_diff::{Level, Side};

/// The subject of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// The schemas, on which callers and readers of results depend.
    Schema,
    /// The permissions and the supervision of a tool. A new version does not make such a change
    /// harmless.
    Safety,
    /// The texts that the model reads.
    Words,
    /// The version numbers and migration guides.
    Version,
}

/// One difference between two bundles, in a tool or in the bundle itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolChange {
    /// The name of the tool; empty for the bundle itself.
    pub tool: String,
    /// The id of the rule that reports the change. It does not change between versions of Sluice.
    pub rule: &'static str,
    /// The subject of the change.
    pub concern: Concern,
    /// The side of the schema; `None` for a change outside the schemas.
    pub side: Option<Side>,
    /// The location in the schema; empty for a change outside the schemas.
    pub path: String,
    /// The severity of the change.
    pub level: Level,
    /// Text with the values before and after the change.
    pub detail: String,
}

/// A change outside the schemas.
pub(super) fn beside(
    tool: &str,
    rule: &'static str,
    concern: Concern,
    level: Level,
    detail: String,
) -> ToolChange {
    ToolChange {
        tool: tool.to_owned(),
        rule,
        concern,
        side: None,
        path: String::new(),
        level,
        detail,
    }
}
