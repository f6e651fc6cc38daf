//! Instants in documents: text, a number, or a native date or time of TOML.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use toml::Value;

use crate::base::error::Problem;
use crate::base::time;
use crate::base::time::{Micros, NotAnInstant, WrittenInstant, Zone};

/// An instant as the document has it, before it is parsed. The caller parses it, because only the
/// caller can name the key in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawInstant(String);

impl RawInstant {
    /// Returns the instant as text, without blanks around it. Numbers and native dates are
    /// converted to text.
    pub(crate) fn text(&self) -> &str {
        self.0.trim()
    }

    /// Parses the instant of a document whose local times are UTC; see [`time::parse`].
    ///
    /// # Errors
    /// The reason why the text is not an instant.
    pub(crate) fn parse(&self) -> Result<Micros, NotAnInstant> {
        time::parse(&self.0)
    }

    /// Returns the instant in the document's time zone. `location` names the key.
    ///
    /// # Errors
    /// The text is not an instant, or the zone does not have its local time exactly once.
    pub(crate) fn resolve(&self, location: &str, zone: &Zone) -> Result<Micros, Problem> {
        match WrittenInstant::parse(&self.0) {
            Ok(written) => written.resolve(location, zone),
            Err(why) => Err(Problem::new(location, why.message(self.text()))),
        }
    }
}

impl<'de> Deserialize<'de> for RawInstant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let kind = value.type_str();
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Integer(number) => Ok(Self(number.to_string())),
            Value::Float(number) => Ok(Self(number.to_string())),
            Value::Datetime(instant) => Ok(Self(instant.to_string())),
            Value::Boolean(_) | Value::Array(_) | Value::Table(_) => Err(D::Error::custom(format!(
                "expected {}, found {kind}",
                time::EXPECTED
            ))),
        }
    }
}

impl JsonSchema for RawInstant {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            // What every form begins with; a text without anything counts as absent in prices.
            "pattern": "^\\s*([-+.0-9]|$)",
            "minimum": time::SECONDS.start as i64,
            "exclusiveMaximum": time::SECONDS.end as i64,
            "x-unit": "instant",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::format;

    #[derive(Deserialize)]
    struct Document {
        at: RawInstant,
    }

    #[test]
    fn documents_hold_instants_as_text_numbers_and_native_values() {
        let check = |value: &str, expected: &str| {
            let document: Document = toml::from_str(&format!("at = {value}")).unwrap();
            let found = document.at.parse().map(format);
            assert_eq!(found, Ok(expected.to_owned()), "{value}")
        };
        check("\"2026-05-28T00:00:00Z\"", "2026-05-28T00:00:00Z");
        check("'2026-05-28T08:00:00[Asia/Shanghai]'", "2026-05-28T00:00:00Z");
        check("2026-05-28T08:00:00+08:00", "2026-05-28T00:00:00Z");
        check("2026-05-28 00:00:00", "2026-05-28T00:00:00Z");
        check("2026-05-28", "2026-05-28T00:00:00Z");
        check("20260528", "2026-05-28T00:00:00Z");
        check("1_779_926_400", "2026-05-28T00:00:00Z");
        check("1779926400.25", "2026-05-28T00:00:00.25Z");

        let refused = |value: &str, expected| {
            let document: Document = toml::from_str(&format!("at = {value}")).unwrap();
            assert_eq!(document.at.parse(), Err(expected), "{value}")
        };
        refused("1764316800000", NotAnInstant::NotSeconds);
        refused("07:32:00", NotAnInstant::Form);
        refused("nan", NotAnInstant::Form);
        for wrong in ["true", "[1]", "{}"] {
            let found = toml::from_str::<Document>(&format!("at = {wrong}")).map(|d| d.at);
            assert!(found.unwrap_err().message().contains("epoch seconds"), "{wrong}");
        }
    }
}
