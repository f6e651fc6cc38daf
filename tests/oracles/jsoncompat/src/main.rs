//! Draws random pairs of schemas and prints the verdicts of jsoncompat:
//! `cargo run --release > ../../vectors/jsoncompat.json`.

use jsoncompat::{AnalysisOptions, CompatibilityResult, Role, SchemaDocument, analyze_compat_with_options};
use serde_json::{Map, Value, json};

/// A pseudo-random generator with a fixed sequence, so that the pairs are always the same.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}

fn schema(draw: &mut Draw, depth: u32) -> Value {
    let mut schema = Map::new();
    let kind = draw.one(&["string", "integer", "number", "boolean", "array", "object", "union", "enum"]);
    match kind {
        "string" => {
            schema.insert("type".into(), json!("string"));
            bound(draw, &mut schema, "minLength", &[1, 2]);
            bound(draw, &mut schema, "maxLength", &[5, 9]);
        }
        "integer" | "number" => {
            schema.insert("type".into(), json!(kind));
            bound(draw, &mut schema, "minimum", &[0, 1]);
            bound(draw, &mut schema, "maximum", &[5, 9]);
            bound(draw, &mut schema, "multipleOf", &[1, 2]);
        }
        "array" if depth > 0 => {
            schema.insert("type".into(), json!("array"));
            if draw.below(3) > 0 {
                let items = self::schema(draw, depth - 1);
                schema.insert("items".into(), items);
            }
            bound(draw, &mut schema, "maxItems", &[3, 9]);
            if draw.below(5) == 0 {
                schema.insert("uniqueItems".into(), json!(true));
            }
        }
        "object" if depth > 0 => {
            schema.insert("type".into(), json!("object"));
            let mut properties = Map::new();
            let mut required = Vec::new();
            for name in ["a", "b", "c"] {
                if draw.below(3) > 0 {
                    properties.insert(name.into(), self::schema(draw, depth - 1));
                    if draw.below(2) == 0 {
                        required.push(name);
                    }
                }
            }
            schema.insert("properties".into(), Value::Object(properties));
            schema.insert("required".into(), json!(required));
        }
        "union" => {
            schema.insert("anyOf".into(), json!([{"type": draw.one(&["string", "integer"])}, {"type": "null"}]));
        }
        "enum" => {
            schema.insert("enum".into(), draw.one(&[json!(["x"]), json!(["x", "y"]), json!(["y", "z"])]));
        }
        _ => {
            schema.insert("type".into(), json!("boolean"));
        }
    }
    Value::Object(schema)
}

fn bound(draw: &mut Draw, schema: &mut Map<String, Value>, key: &str, values: &[i32]) {
    if draw.below(3) == 0 {
        schema.insert(key.into(), json!(draw.one(values)));
    }
}

/// The schema with one part drawn again or removed.
fn changed(draw: &mut Draw, schema: &Value) -> Value {
    let mut changed = schema.clone();
    let fields = changed.as_object_mut().expect("an object");
    let inner: Vec<String> = fields.get("properties").and_then(Value::as_object).map(|p| p.keys().cloned().collect()).unwrap_or_default();
    match draw.below(6) {
        0 | 1 if !inner.is_empty() => {
            let name = draw.one(&inner);
            let new = self::changed(draw, &schema["properties"][&name]);
            changed["properties"][&name] = new;
        }
        2 if fields.contains_key("items") => changed["items"] = self::changed(draw, &schema["items"]),
        3 if fields.len() > 1 => {
            let key = draw.one(&fields.keys().filter(|key| *key != "type" && *key != "anyOf" && *key != "enum").cloned().chain(["".to_owned()]).collect::<Vec<_>>());
            fields.remove(&key);
        }
        4 if fields.get("type") == Some(&json!("object")) => {
            fields.insert("required".into(), json!(draw.one(&[vec![], vec!["a"], vec!["a", "b"]])));
        }
        5 => {
            for (key, values) in [("maxLength", [4, 5]), ("minimum", [0, 2]), ("maxItems", [2, 3])] {
                if fields.contains_key(key) {
                    fields.insert(key.into(), json!(draw.one(&values)));
                }
            }
        }
        _ => return self::schema(draw, 1),
    }
    changed
}

fn verdict(old: &Value, new: &Value, role: Role) -> &'static str {
    let (Ok(old), Ok(new)) = (SchemaDocument::from_json(old), SchemaDocument::from_json(new)) else { return "refused" };
    match analyze_compat_with_options(&old, &new, role, AnalysisOptions::default()) {
        Ok(CompatibilityResult::Compatible) => "compatible",
        Ok(CompatibilityResult::Incompatible { .. }) => "incompatible",
        Ok(_) => "unknown",
        Err(_) => "refused",
    }
}

fn main() {
    let mut draw = Draw(20_261_122);
    let mut lines = Vec::new();
    while lines.len() < 1_500 {
        let old = schema(&mut draw, 2);
        let new = changed(&mut draw, &old);
        if old != new {
            let (input, output) = (verdict(&old, &new, Role::Deserializer), verdict(&old, &new, Role::Serializer));
            lines.push(json!({"old": old, "new": new, "input": input, "output": output}).to_string());
        }
    }
    println!("[\n{}\n]", lines.join(",\n"));
}
