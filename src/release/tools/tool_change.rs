//! One difference between two bundles of tools.

use serde::Serialize;

use crate::release::tools::schema_diff::{Level, Side};
use crate::words::Text;
use crate::words::tools as says;

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

/// Rules whose details are English sentences that say the same as the name of the rule.
const SAID_BY_RULE: [&str; 15] = [
    "became-closed-world",
    "became-destructive",
    "became-idempotent",
    "became-not-destructive",
    "became-not-idempotent",
    "became-open-world",
    "became-read-only",
    "description-changed",
    "hitl-proof-removed",
    "read-became-write",
    "strict-added",
    "strict-removed",
    "tool-added",
    "tool-removed",
    "write-tool-added",
];

impl ToolChange {
    /// The tool and the location in its schema: `refund_api /note`. Empty for the bundle itself.
    pub fn node(&self) -> String {
        let parts = [self.tool.as_str(), self.path.trim_start_matches('/')];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" /")
    }

    /// What changed, with the values before and after.
    pub fn text(&self) -> Text {
        let what = says::rule(self.rule);
        // What follows the versions says the same as the name of the rule.
        let detail = match self.concern {
            Concern::Version => self.detail.split_once(": ").map(|(versions, _)| versions),
            _ => Some(self.detail.as_str()),
        };
        match detail.filter(|_| !SAID_BY_RULE.contains(&self.rule)) {
            Some(detail) => says::change(
                what,
                Text {
                    en: detail.to_owned(),
                    zh: detail.replace(" to ", " → "),
                },
            ),
            None => what,
        }
    }

    /// What changed, after the tool and the location.
    pub fn sentence(&self) -> Text {
        match self.node() {
            node if node.is_empty() => self.text(),
            node => says::change_at(node, self.text()),
        }
    }
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
