//! The checks of a release, and how strictly each counts.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::gate::document::GateOutcome;

/// Strictness of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// The outcome counts unchanged.
    Block,
    /// A failure, or an inconclusive outcome, counts as a warning.
    Warn,
    /// The check is left out.
    Off,
}

impl Strictness {
    /// Returns the outcome under this strictness.
    pub fn apply(self, outcome: GateOutcome) -> GateOutcome {
        match self {
            Self::Block => outcome,
            Self::Warn | Self::Off => outcome.min(GateOutcome::Warn),
        }
    }
}

/// All checks of a release: name, gate, and default strictness.
pub const CHECKS: [(&str, &str, Strictness); 26] = [
    ("immutable", "record", Strictness::Block),
    ("baseline", "record", Strictness::Block),
    ("references", "record", Strictness::Warn),
    ("digests", "record", Strictness::Warn),
    ("moved_reference", "record", Strictness::Block),
    ("single_dimension", "record", Strictness::Warn),
    ("rollback_target", "record", Strictness::Block),
    ("retention", "record", Strictness::Warn),
    ("tenant", "record", Strictness::Block),
    ("cache_key", "record", Strictness::Warn),
    ("eval_fresh", "record", Strictness::Warn),
    ("eval_report", "record", Strictness::Block),
    ("tool_bundle", "C1", Strictness::Block),
    ("tool_schema", "C1", Strictness::Block),
    ("tool_safety", "C1", Strictness::Block),
    ("tool_arguments", "C1", Strictness::Block),
    ("eval_cases", "C2", Strictness::Warn),
    ("eval_threshold", "C2", Strictness::Block),
    ("eval_regression", "C2", Strictness::Block),
    ("eval_slices", "C2", Strictness::Block),
    ("injection", "C3", Strictness::Block),
    ("cost", "C4", Strictness::Block),
    ("write_tools", "C5", Strictness::Block),
    ("forbidden_substrings", "output", Strictness::Block),
    ("approvers", "approval", Strictness::Block),
    ("canary", "canary", Strictness::Block),
];

/// Returns the gate of a check. Empty for an unknown check.
pub(super) fn gate_of(check: &str) -> &'static str {
    CHECKS
        .iter()
        .find(|(name, _, _)| *name == check)
        .map_or("", |(_, gate, _)| gate)
}

/// Returns the schema of `[gate.checks]`: one key per check, with its default strictness.
pub(super) fn checks_schema(generator: &mut SchemaGenerator) -> Schema {
    let strictness = generator.subschema_for::<Strictness>().to_value();
    let checks = CHECKS.iter().map(|(name, gate, default)| {
        let check = json!({
            "description": format!("Strictness of the check `{name}` (gate {gate})."),
            "allOf": [strictness],
            "default": default,
            "examples": [if *default == Strictness::Warn { Strictness::Off } else { Strictness::Warn }],
        });
        ((*name).to_owned(), check)
    });
    let keys = json!({
        "type": "object",
        "properties": checks.collect::<Map<String, Value>>(),
        "additionalProperties": false,
    });
    Schema::try_from(keys).unwrap_or_default()
}
