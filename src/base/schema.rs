//! JSON Schemas of documents, from the types that read them.
//!
//! A key can have three keywords that are not part of JSON Schema. Editors ignore them, and the
//! reference pages show them. `x-unit` is the unit of the value. `x-default` describes a default
//! that is not a single value. `x-known` lists known words; other words may be valid too.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Returns the words of a list of options, in the order of the list.
pub(crate) fn words<T>(options: &[(&'static str, T)]) -> Vec<&'static str> {
    options.iter().map(|(word, _)| *word).collect()
}

/// Returns the JSON Schema of a document that is read as `T`, in draft 7, which all editors
/// support. `id` is its `$id`, such as `urn:sluice:scenario:1`. It must be absolute, because Taplo
/// refuses relative ids. Names of types lose their prefix `Raw`.
pub(crate) fn document_schema<T: JsonSchema>(id: &str, title: &str) -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = plain(generator.into_root_schema_for::<T>().to_value());
    if let Value::Object(keys) = &mut schema {
        keys.insert("$id".to_owned(), json!(id));
        keys.insert("title".to_owned(), json!(title));
    }
    schema
}

/// Adapts a schema to TOML. It removes null, which TOML does not have, and the formats of numbers,
/// and joins the lines of descriptions.
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
