//! A column of a source as the scenario has it: a name, or a name with its unit.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use toml::Value;

/// The name of a column in a file, with its unit if the scenario declares one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawColumn {
    pub(super) name: String,
    pub(super) unit: Option<String>,
    pub(super) rate: Option<f64>,
}

const EXPECTED: &str = "the name of a column, or { column = \"...\", unit = \"...\" } with a `rate` for a \
    currency";

impl<'de> Deserialize<'de> for RawColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let wrong = |found: &str| D::Error::custom(format!("expected {EXPECTED}, found {found}"));
        let mut table = match value {
            Value::String(name) => {
                return Ok(Self {
                    name,
                    unit: None,
                    rate: None,
                });
            }
            Value::Table(table) => table,
            other => return Err(wrong(other.type_str())),
        };
        let mut text = |key: &str| match table.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&format!("a {} in `{key}`", other.type_str()))),
        };
        let (name, unit) = (text("column")?, text("unit")?);
        let rate = match table.remove("rate") {
            None => None,
            Some(Value::Float(rate)) => Some(rate),
            Some(Value::Integer(rate)) => Some(rate as f64),
            Some(other) => return Err(wrong(&format!("a {} in `rate`", other.type_str()))),
        };
        if let Some(key) = table.keys().next() {
            return Err(wrong(&format!("`{key}`")));
        }
        match (name, unit) {
            (Some(name), Some(unit)) => Ok(Self {
                name,
                unit: Some(unit),
                rate,
            }),
            (Some(_), None) => Err(wrong("no `unit`")),
            (None, _) => Err(wrong("no `column`")),
        }
    }
}

impl JsonSchema for RawColumn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Column".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "column": {"type": "string", "description": "Name of the column in the files."},
                        "unit": {
                            "type": "string",
                            "description": "Unit of the column: `s`, `ms`, `us`, `ns`, `usd`, `cent`, or a \
                                currency with a rate.",
                        },
                        "rate": {
                            "type": "number",
                            "exclusiveMinimum": 0,
                            "description": "USD in one unit of the currency.",
                        },
                    },
                    "required": ["column", "unit"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RawColumn, toml::de::Error> {
        #[derive(Deserialize)]
        struct Document {
            column: RawColumn,
        }
        toml::from_str::<Document>(&format!("column = {text}")).map(|document| document.column)
    }

    #[test]
    fn columns_are_names_or_tables() {
        let column = |name: &str, unit: Option<&str>, rate| RawColumn {
            name: name.to_owned(),
            unit: unit.map(str::to_owned),
            rate,
        };
        assert_eq!(read("'ts'").unwrap(), column("ts", None, None));
        assert_eq!(
            read("{ column = 'd', unit = 's' }").unwrap(),
            column("d", Some("s"), None)
        );
        assert_eq!(
            read("{ column = 'c', unit = 'EUR', rate = 2 }").unwrap(),
            column("c", Some("EUR"), Some(2.0))
        );
        for (text, found) in [
            ("1", "integer"),
            ("{ unit = 's' }", "no `column`"),
            ("{ column = 'd' }", "no `unit`"),
            ("{ column = 'd', unit = 1 }", "integer in `unit`"),
            ("{ column = 'd', unit = 's', rat = 1 }", "`rat`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message().contains(found), "{error}");
        }
    }
}
