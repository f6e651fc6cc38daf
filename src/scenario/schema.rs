//! The JSON Schema of a scenario.

use serde_json::Value;

use crate::base::schema::document_schema;
use crate::scenario::document::Scenario;
use crate::scenario::raw::RawScenario;

impl Scenario {
    /// The JSON Schema of a scenario file: every key with its meaning, type, range, words, unit and
    /// default.
    pub fn schema() -> Value {
        document_schema::<RawScenario>("urn:sluice:scenario:1", "Scenario")
    }
}
