//! What is different between two releases, dimension by dimension.

use serde::Serialize;

use crate::release::record::ReleaseRecord;
use crate::release::reference::ArtifactRef;

/// The four things that a release is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The model or the route to one.
    Model,
    /// The prompt.
    Prompt,
    /// The tools' schemas.
    ToolSchema,
    /// The index of the knowledge base, with its dictionary and chunker.
    KbIndex,
}

/// All dimensions, in the order of a record.
pub const DIMENSIONS: [Dimension; 4] = [
    Dimension::Model,
    Dimension::Prompt,
    Dimension::ToolSchema,
    Dimension::KbIndex,
];

impl Dimension {
    /// The word of documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Prompt => "prompt",
            Self::ToolSchema => "tool_schema",
            Self::KbIndex => "kb_index",
        }
    }

    /// The key of a record.
    pub fn key(self) -> &'static str {
        match self {
            Self::Model => "model_ref",
            Self::Prompt => "prompt_ref",
            Self::ToolSchema => "tool_schema_ref",
            Self::KbIndex => "kb_index_ref",
        }
    }
}

/// One dimension of two releases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Which.
    pub dimension: Dimension,
    /// In the baseline.
    pub from: Option<ArtifactRef>,
    /// In the candidate.
    pub to: Option<ArtifactRef>,
    /// Whether it is another artifact.
    pub changed: bool,
    /// Another content under the same reference: what the reference points to has moved.
    pub moved: bool,
}

/// Compares two records, dimension by dimension.
pub fn changes(baseline: &ReleaseRecord, candidate: &ReleaseRecord) -> [Change; 4] {
    DIMENSIONS.map(|dimension| {
        let (from, to) = (baseline.artifact(dimension), candidate.artifact(dimension));
        let same = match (from, to) {
            (Some(from), Some(to)) => from.is_same(to),
            (None, None) => Some(true),
            _ => Some(false),
        };
        Change {
            dimension,
            from: from.cloned(),
            to: to.cloned(),
            changed: same != Some(true),
            moved: same.is_none(),
        }
    })
}
