//! Types, equality and order of JSON values, as JSON Schema defines them.

use serde_json::{Map, Number, Value};
use std::cmp::Ordering;

/// Compares two numbers exactly: as whole numbers if both are whole, else as binary numbers. A
/// number with a fraction is below 2^53, so rounding a whole number does not move it across.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
    }
}

/// A whole number, also one written as 1.0; `None` for fractions and beyond 2^126.
fn whole(number: &Number) -> Option<i128> {
    let of_float = || {
        let x = number.as_f64()?;
        (x.fract() == 0.0 && x.abs() < 2f64.powi(126)).then_some(x as i128)
    };
    number.as_i128().or_else(of_float)
}

/// The type of a value. Whole numbers, including 1.0, are `integer`.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|x| x.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A text that identifies a value. The numbers 1 and 1.0 have the same text, and the order of
/// properties does not matter.
pub(super) fn same(value: &Value) -> String {
    let mut text = String::new();
    write_same(value, &mut text);
    text
}

fn write_same(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => match whole(number) {
            Some(whole) => out.push_str(&whole.to_string()),
            None => out.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_same(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            for (key, inner) in sorted {
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_same(inner, out);
                out.push(',');
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a schema also allows null beside its type, in the words of OpenAPI 3.0.
pub(super) fn is_nullable(fields: &Map<String, Value>) -> bool {
    ["nullable", "x-nullable"]
        .iter()
        .any(|key| fields.get(*key) == Some(&Value::Bool(true)))
}

/// Whether a value has the type, or one of the types, that the keyword `type` names.
pub(super) fn has_type(named: &Value, value: &Value) -> bool {
    let own = type_of(value);
    let is_own = |name: &Value| {
        name.as_str()
            .is_some_and(|name| name == own || (name == "number" && own == "integer"))
    };
    match named {
        Value::Array(names) => names.iter().any(is_own),
        name => is_own(name),
    }
}
