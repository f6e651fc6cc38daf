//! Validators of schemas.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Builds a validator that fetches no documents. Patterns are matched in linear time. Patterns with
/// look-around, which need backtracking, have a limit. The error says what is wrong with the schema.
pub(super) fn validator(schema: &Value) -> Result<Validator, String> {
    let linear = jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(schema);
    linear
        .or_else(|_| {
            jsonschema::options()
                .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(10_000))
                .build(schema)
        })
        .map_err(|error| error.to_string())
}
