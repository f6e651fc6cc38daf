//! The rule of an outcome from scores as the scenario has it: a text, or a table.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use toml::Value;

use crate::scenario::traces::{Combine, ScoreRule, ScoreTest};

/// The rule of an outcome.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawScore(pub(super) ScoreRule);

const EXPECTED: &str = "SCORE, SCORE=LABEL, SCORE>=NUMBER or SCORE<=NUMBER, or { score = \"...\" } with one of \
    `is`, `at_least`, `at_most`, and with `combine`";

impl<'de> Deserialize<'de> for RawScore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::String(text) => ScoreRule::parse(&text).map(Self),
            Value::Table(table) => rule(table),
            other => Err(wrong(other.type_str())),
        }
        .map_err(D::Error::custom)
    }
}

fn wrong(found: &str) -> String {
    format!("expected {EXPECTED}, found {found}")
}

/// The rule of a table.
fn rule(mut table: toml::Table) -> Result<RawScore, String> {
    let Some(Value::String(score)) = table.remove("score") else {
        return Err(wrong("no `score`"));
    };
    if score.trim().is_empty() {
        return Err(wrong("an empty `score`"));
    }
    let number = |key: &str, value: Value| match value {
        Value::Float(number) if number.is_finite() => Ok(number),
        Value::Integer(number) => Ok(number as f64),
        other => Err(wrong(&format!("a {} in `{key}`", other.type_str()))),
    };
    let mut tests = Vec::new();
    if let Some(value) = table.remove("is") {
        tests.push(ScoreTest::Is(match value {
            Value::String(text) => text,
            Value::Boolean(flag) => flag.to_string(),
            other => number("is", other)?.to_string(),
        }));
    }
    if let Some(value) = table.remove("at_least") {
        tests.push(ScoreTest::AtLeast(number("at_least", value)?));
    }
    if let Some(value) = table.remove("at_most") {
        tests.push(ScoreTest::AtMost(number("at_most", value)?));
    }
    let combine = match table.remove("combine") {
        None => Combine::default(),
        Some(Value::String(word)) => Combine::ALL
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, combine)| *combine)
            .ok_or_else(|| wrong(&format!("`combine = \"{word}\"`: it is last, mean or any")))?,
        Some(other) => return Err(wrong(&format!("a {} in `combine`", other.type_str()))),
    };
    if let Some(key) = table.keys().next() {
        return Err(wrong(&format!("`{key}`")));
    }
    if tests.len() > 1 {
        return Err(wrong("several of them"));
    }
    Ok(RawScore(ScoreRule {
        score,
        test: tests.pop(),
        combine,
    }))
}

impl JsonSchema for RawScore {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Score".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "properties": {
                        "score": {
                            "type": "string",
                            "minLength": 1,
                            "description": "Name of the score in the files.",
                        },
                        "is": {
                            "type": ["string", "boolean", "number"],
                            "description": "The outcome is true for this label.",
                        },
                        "at_least": {"type": "number", "description": "The outcome is true from this value on."},
                        "at_most": {"type": "number", "description": "The outcome is true up to this value."},
                        "combine": {
                            "enum": Combine::ALL.map(|(word, _)| word),
                            "description": "What several scores of a turn give: the latest, their mean, or \
                                whether any passes.",
                        },
                    },
                    "required": ["score"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ScoreRule, toml::de::Error> {
        #[derive(Deserialize)]
        struct Document {
            score: RawScore,
        }
        toml::from_str::<Document>(&format!("score = {text}")).map(|document| document.score.0)
    }

    #[test]
    fn rules_are_texts_or_tables() {
        for (text, table) in [
            ("'csat'", "{ score = 'csat' }"),
            ("'csat'", "{ score = 'csat', combine = 'last' }"),
            (
                "'feedback=thumbs_down'",
                "{ score = 'feedback', is = 'thumbs_down' }",
            ),
            ("'feedback=true'", "{ score = 'feedback', is = true }"),
            ("'feedback=1'", "{ score = 'feedback', is = 1 }"),
            ("'resolved>=0.5'", "{ score = 'resolved', at_least = 0.5 }"),
            (
                "'any(resolved<=2)'",
                "{ score = 'resolved', at_most = 2, combine = 'any' }",
            ),
        ] {
            assert_eq!(read(text).unwrap(), read(table).unwrap(), "{text}");
        }
        for (text, found) in [
            ("1", "integer"),
            ("{ is = 'a' }", "no `score`"),
            ("{ score = ' ' }", "an empty `score`"),
            ("{ score = 'a', at_least = 'b' }", "string in `at_least`"),
            ("{ score = 'a', at_least = 1, at_most = 2 }", "several"),
            ("{ score = 'a', combine = 'sum' }", "last, mean or any"),
            ("{ score = 'a', of = 1 }", "`of`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message().contains(found), "{error}");
        }
    }
}
