//! JSON Schemas of documents, from the types that read them.
//!
//! Beside the keywords of JSON Schema, keys have three of Sluice's own, which editors ignore and
//! the reference pages show: `x-unit`, `x-default` (a default that is not one value) and `x-known`
//! (words that are known; others may be right).

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The words of a list of options, in its order.
pub(crate) fn words<T>(options: &[(&'static str, T)]) -> Vec<&'static str> {
    options.iter().map(|(word, _)| *word).collect()
}

/// The JSON Schema of a document that is read as `T`: draft 7, which all editors know. `id` is its
/// `$id`, such as `urn:sluice:scenario:1`: Taplo refuses a schema with a relative one. Types lose
/// the prefix `Raw` of their names.
pub(crate) fn document_schema<T: JsonSchema>(id: &str, title: &str) -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = plain(generator.into_root_schema_for::<T>().to_value());
    if let Value::Object(keys) = &mut schema {
        keys.insert("$id".to_owned(), json!(id));
        keys.insert("title".to_owned(), json!(title));
    }
    schema
}

/// The schema as TOML needs it: without null, which TOML does not have, without formats of numbers,
/// and with descriptions whose lines flow.
fn plain(schema: Value) -> Value {
    let keys = match schema {
        Value::Object(keys) => keys,
        Value::Array(items) => return items.into_iter().map(plain).collect(),
        Value::String(text) => return Value::String(text.replace("/Raw", "/")),
        other => return other,
    };
    // The default of a table is that of its keys.
    let is_table = keys.contains_key("allOf") || keys.contains_key("$ref");
    let mut kept = Map::new();
    for (key, value) in keys {
        match (key.as_str(), value) {
            ("format", Value::String(_)) | ("default", Value::Null) => {}
            ("default", Value::Object(_)) if is_table => {}
            ("default" | "examples" | "enum", value) => {
                kept.insert(key, without_nulls(value));
            }
            ("description", Value::String(text)) => {
                let paragraphs: Vec<String> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
                kept.insert(key, json!(paragraphs.join("\n\n")));
            }
            ("type", Value::Array(types)) => {
                let mut types: Vec<Value> = types.into_iter().filter(|of| *of != "null").collect();
                let value = if types.len() == 1 {
                    types.remove(0)
                } else {
                    Value::Array(types)
                };
                kept.insert(key, value);
            }
            ("anyOf", Value::Array(choices)) => {
                let mut choices: Vec<Value> = choices
                    .into_iter()
                    .filter(|choice| *choice != json!({"type": "null"}))
                    .map(plain)
                    .collect();
                match choices.pop() {
                    Some(choice) if choices.is_empty() => {
                        kept.insert("allOf".to_owned(), json!([choice]));
                    }
                    last => {
                        choices.extend(last);
                        kept.insert(key, Value::Array(choices));
                    }
                }
            }
            ("definitions", Value::Object(types)) => {
                let renamed = types.into_iter().map(|(name, value)| {
                    let name = name.strip_prefix("Raw").map_or(name.clone(), str::to_owned);
                    (name, plain(value))
                });
                kept.insert(key, Value::Object(renamed.collect()));
            }
            (_, value) => {
                kept.insert(key, plain(value));
            }
        }
    }
    Value::Object(kept)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(keys) => keys
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
