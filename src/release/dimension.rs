//! The four dimensions of a release: model, prompt, tool schema, knowledge base index.

use serde::Serialize;

/// The dimensions of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The model, or the route to a model.
    Model,
    /// The prompt: the instructions that the model gets.
    Prompt,
    /// The schemas of the tools that the agent can call.
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
    /// The name of the dimension in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Prompt => "prompt",
            Self::ToolSchema => "tool_schema",
            Self::KbIndex => "kb_index",
        }
    }

    /// The key of the dimension in a release record.
    pub fn key(self) -> &'static str {
        match self {
            Self::Model => "model_ref",
            Self::Prompt => "prompt_ref",
            Self::ToolSchema => "tool_schema_ref",
            Self::KbIndex => "kb_index_ref",
        }
    }
}
