//! Whether a value fits a schema: yes, no or unknown. A validator is built for a whole document. A
//! comparison asks about single nodes of it, so it needs this test. Formats are not checked.

use serde_json::{Map, Value};
use std::cmp::Ordering;

use crate::release::tools::decimal::is_multiple;
use crate::release::tools::document::{REFERENCES, SchemaDocument};
use crate::release::tools::fit::Fit;
use crate::release::tools::value::{compare, has_type, is_nullable, same};

/// The most schemas within each other that are applied to one value.
const MAX_DEPTH: usize = 64;

/// Whether the value fits all schemas.
pub(super) fn fits<'a>(document: &SchemaDocument<'a>, schemas: &[&'a Value], value: &Value) -> Fit {
    Fit::all(schemas.iter().map(|schema| fits_one(document, schema, value, 0)))
}

fn fits_one<'a>(document: &SchemaDocument<'a>, schema: &'a Value, value: &Value, depth: usize) -> Fit {
    let fields = match schema {
        Value::Bool(all) => return Fit::of(*all),
        Value::Object(fields) => fields,
        _ => return Fit::Unknown,
    };
    if depth > MAX_DEPTH || !document.work.spend_test(1 + fields.len() as u64) {
        return Fit::Unknown;
    }
    if value.is_null() && is_nullable(fields) {
        return Fit::Yes;
    }
    let test = Test {
        document,
        fields,
        depth: depth + 1,
    };
    let own = fields.iter().map(|(key, rule)| test.keyword(key, rule, value));
    match Fit::all(own) {
        Fit::No => Fit::No,
        own => match value {
            Value::Object(properties) => Fit::all([own, test.properties(properties)]),
            Value::Array(items) => Fit::all([own, test.items(items)]),
            _ => own,
        },
    }
}

/// The test of a value against the keywords of one schema.
struct Test<'a, 'd> {
    document: &'d SchemaDocument<'a>,
    fields: &'a Map<String, Value>,
    depth: usize,
}

impl<'a> Test<'a, '_> {
    fn apply(&self, schema: &'a Value, value: &Value) -> Fit {
        fits_one(self.document, schema, value, self.depth)
    }

    fn each(&self, schemas: &'a Value, value: &Value) -> Vec<Fit> {
        let schemas = schemas.as_array().map_or(&[][..], Vec::as_slice);
        schemas.iter().map(|schema| self.apply(schema, value)).collect()
    }

    /// The keywords that need nothing of the others, and those of numbers, texts and counts.
    fn keyword(&self, key: &str, rule: &'a Value, value: &Value) -> Fit {
        match key {
            _ if REFERENCES.contains(&key) => match rule.as_str().and_then(|to| self.document.resolve(to)) {
                Some(target) => self.apply(target, value),
                None => Fit::Unknown,
            },
            "type" => Fit::of(has_type(rule, value)),
            "const" => Fit::of(same(rule) == same(value)),
            "enum" => match rule {
                Value::Array(values) => {
                    let own = same(value);
                    Fit::of(values.iter().any(|allowed| same(allowed) == own))
                }
                _ => Fit::Unknown,
            },
            "allOf" => Fit::all(self.each(rule, value)),
            "anyOf" => Fit::any(self.each(rule, value)),
            "oneOf" => exactly_one(&self.each(rule, value)),
            "not" => self.apply(rule, value).not(),
            "if" => {
                let branch = |key: &str| {
                    self.fields
                        .get(key)
                        .map_or(Fit::Yes, |one| self.apply(one, value))
                };
                match self.apply(rule, value) {
                    Fit::Yes => branch("then"),
                    Fit::No => branch("else"),
                    Fit::Unknown => match (branch("then"), branch("else")) {
                        (then, otherwise) if then == otherwise => then,
                        _ => Fit::Unknown,
                    },
                }
            }
            _ => match value {
                Value::Number(number) => self.of_number(key, rule, number),
                Value::String(text) => self.of_text(key, rule, text),
                Value::Array(items) => self.of_items(key, rule, items),
                Value::Object(properties) => self.of_properties(key, rule, properties),
                _ => Fit::Yes,
            },
        }
    }

    fn of_number(&self, key: &str, rule: &Value, number: &serde_json::Number) -> Fit {
        let order = |limit: &Value| limit.as_number().map(|limit| compare(number, limit));
        // Drafts before 6 wrote `exclusiveMinimum: true`.
        let is_out = |key: &str| self.fields.get(key) == Some(&Value::Bool(true));
        let within = match (key, order(rule)) {
            ("minimum", Some(order)) => {
                order == Ordering::Greater || (order == Ordering::Equal && !is_out("exclusiveMinimum"))
            }
            ("maximum", Some(order)) => {
                order == Ordering::Less || (order == Ordering::Equal && !is_out("exclusiveMaximum"))
            }
            ("exclusiveMinimum", Some(order)) => order == Ordering::Greater,
            ("exclusiveMaximum", Some(order)) => order == Ordering::Less,
            ("multipleOf", Some(_)) => {
                return rule
                    .as_number()
                    .and_then(|by| is_multiple(number, by))
                    .map_or(Fit::Unknown, Fit::of);
            }
            _ => true,
        };
        Fit::of(within)
    }

    fn of_text(&self, key: &str, rule: &'a Value, text: &str) -> Fit {
        match (key, rule) {
            ("minLength" | "maxLength", _) => counts(key, rule, text.chars().count()),
            ("pattern", Value::String(pattern)) => self.document.matches(pattern, text),
            _ => Fit::Yes,
        }
    }

    fn of_items(&self, key: &str, rule: &'a Value, items: &[Value]) -> Fit {
        match key {
            "minItems" | "maxItems" => counts(key, rule, items.len()),
            "uniqueItems" if rule == &Value::Bool(true) => {
                let mut texts: Vec<String> = items.iter().map(same).collect();
                texts.sort_unstable();
                Fit::of(texts.windows(2).all(|pair| pair[0] != pair[1]))
            }
            "contains" => {
                let found: Vec<Fit> = items.iter().map(|item| self.apply(rule, item)).collect();
                let n = |kind: Fit| found.iter().filter(|fit| **fit == kind).count();
                let count = |key: &str| self.fields.get(key).and_then(Value::as_u64);
                let (least, most) = (count("minContains").unwrap_or(1), count("maxContains"));
                let within = |n: usize| n as u64 >= least && most.is_none_or(|most| n as u64 <= most);
                let (low, high) = (n(Fit::Yes), n(Fit::Yes) + n(Fit::Unknown));
                match (within(low), within(high)) {
                    (one, other) if one == other && (one || low == high) => Fit::of(one),
                    _ => Fit::Unknown,
                }
            }
            _ => Fit::Yes,
        }
    }

    fn of_properties(&self, key: &str, rule: &'a Value, properties: &Map<String, Value>) -> Fit {
        let whole = || Value::Object(properties.clone());
        let lists_all = |names: &Value| {
            let names = names.as_array().map_or(&[][..], Vec::as_slice);
            names
                .iter()
                .filter_map(Value::as_str)
                .all(|name| properties.contains_key(name))
        };
        let entries = || rule.as_object().into_iter().flatten();
        match key {
            "minProperties" | "maxProperties" => counts(key, rule, properties.len()),
            "required" => Fit::of(lists_all(rule)),
            "propertyNames" => Fit::all(
                properties
                    .keys()
                    .map(|name| self.apply(rule, &Value::String(name.clone()))),
            ),
            "dependentRequired" | "dependentSchemas" | "dependencies" => {
                let applied = entries().filter(|(name, _)| properties.contains_key(*name));
                Fit::all(applied.map(|(_, needed)| match needed {
                    Value::Array(_) => Fit::of(lists_all(needed)),
                    schema => self.apply(schema, &whole()),
                }))
            }
            _ => Fit::Yes,
        }
    }

    /// The keywords for each property: by name, by pattern, and for the others.
    fn properties(&self, properties: &Map<String, Value>) -> Fit {
        let own = self.fields.get("properties").and_then(Value::as_object);
        let patterns = self.fields.get("patternProperties").and_then(Value::as_object);
        let of_one = |(name, value): (&String, &Value)| {
            let (mut fit, mut is_other) = (Fit::Yes, Fit::Yes);
            if let Some(schema) = own.and_then(|own| own.get(name)) {
                (fit, is_other) = (self.apply(schema, value), Fit::No);
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                match self.document.matches(pattern, name) {
                    Fit::Yes => (fit, is_other) = (Fit::all([fit, self.apply(schema, value)]), Fit::No),
                    Fit::No => {}
                    Fit::Unknown => {
                        if self.apply(schema, value) != Fit::Yes {
                            fit = Fit::all([fit, Fit::Unknown]);
                        }
                        is_other = Fit::all([is_other, Fit::Unknown]);
                    }
                }
            }
            let others = ["additionalProperties", "unevaluatedProperties"].map(|key| self.fields.get(key));
            let [additional, unevaluated] = others.map(|rule| {
                rule.filter(|_| is_other != Fit::No)
                    .map_or(Fit::Yes, |schema| self.apply(schema, value))
            });
            // Other schemas of the same value may evaluate the property.
            let unevaluated = match unevaluated {
                Fit::Yes => Fit::Yes,
                _ if self.fields.contains_key("additionalProperties") => Fit::Yes,
                _ => Fit::Unknown,
            };
            let additional = match (additional, is_other) {
                (Fit::No, Fit::Unknown) => Fit::Unknown,
                (fit, _) => fit,
            };
            Fit::all([fit, additional, unevaluated])
        };
        Fit::all(properties.iter().map(of_one))
    }

    /// The keywords for each item: by position, and for the others.
    fn items(&self, items: &[Value]) -> Fit {
        let get = |key: &str| self.fields.get(key);
        let (prefix, rest) = match (get("prefixItems"), get("items")) {
            (Some(Value::Array(prefix)), rest) => (prefix.as_slice(), rest),
            (_, Some(Value::Array(prefix))) => (prefix.as_slice(), get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        let of_one = |(idx, item): (usize, &Value)| match prefix.get(idx).or(rest) {
            Some(schema) => self.apply(schema, item),
            // Other schemas of the same value may evaluate the item.
            None => match get("unevaluatedItems").map(|schema| self.apply(schema, item)) {
                None | Some(Fit::Yes) => Fit::Yes,
                _ => Fit::Unknown,
            },
        };
        Fit::all(items.iter().enumerate().map(of_one))
    }
}

fn exactly_one(answers: &[Fit]) -> Fit {
    let n = |kind: Fit| answers.iter().filter(|fit| **fit == kind).count();
    match (n(Fit::Yes), n(Fit::Unknown)) {
        (2.., _) | (0, 0) => Fit::No,
        (1, 0) => Fit::Yes,
        _ => Fit::Unknown,
    }
}

/// Whether a count keeps a limit whose keyword begins with `min` or `max`.
fn counts(key: &str, limit: &Value, n: usize) -> Fit {
    match limit.as_f64() {
        Some(limit) if key.starts_with("min") => Fit::of(n as f64 >= limit),
        Some(limit) => Fit::of(n as f64 <= limit),
        None => Fit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tools::work::Work;
    use serde_json::json;

    #[test]
    fn values_fit_as_a_validator_says() {
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(1.0),
            json!(2.5),
            json!(-3),
            json!(9_007_199_254_740_993_i64),
            json!(""),
            json!("a"),
            json!("ab"),
            json!("äöü"),
            json!([]),
            json!([1]),
            json!([1, 1.0]),
            json!(["a", 1, null]),
            json!({}),
            json!({"a": 1}),
            json!({"a": "x", "b": 2}),
            json!({"x1": 1, "c": {"a": []}}),
        ];
        let schemas = [
            json!(true),
            json!(false),
            json!({"type": "integer"}),
            json!({"type": ["number", "null"]}),
            json!({"enum": [1, "a", null, [1]]}),
            json!({"const": 1.0}),
            json!({"minimum": 1, "exclusiveMaximum": 3}),
            json!({"maximum": 9_007_199_254_740_992_i64}),
            json!({"multipleOf": 0.5}),
            json!({"minLength": 1, "maxLength": 2}),
            json!({"pattern": "^a"}),
            json!({"minItems": 1, "maxItems": 2, "uniqueItems": true}),
            json!({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
            json!({"contains": {"type": "integer"}, "maxContains": 1}),
            json!({"contains": {"const": null}, "minContains": 0}),
            json!({"properties": {"a": {"type": "integer"}}, "additionalProperties": false}),
            json!({"patternProperties": {"^x": {"minimum": 2}}, "additionalProperties": {"type": "object"}}),
            json!({"required": ["a"], "maxProperties": 1}),
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"dependentSchemas": {"b": {"properties": {"a": {"type": "string"}}}}}),
            json!({"oneOf": [{"type": "integer"}, {"minimum": 1}]}),
            json!({"anyOf": [{"type": "null"}, {"const": "a"}]}),
            json!({"allOf": [{"type": "number"}, {"minimum": 1}]}),
            json!({"not": {"type": ["string", "object"]}}),
            json!({"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}, "type": "object"}}}),
        ];
        for schema in &schemas {
            let validator = jsonschema::validator_for(schema).unwrap();
            let work = Work::new(1_000_000);
            let document = SchemaDocument::new(schema, &work);
            for value in &values {
                let expected = Fit::of(validator.is_valid(value));
                assert_eq!(fits(&document, &[schema], value), expected, "{value} in {schema}");
            }
        }
    }

    #[test]
    fn what_is_not_decided_is_unknown() {
        for (schema, value, expected) in [
            (json!({"$ref": "other.json"}), json!(1), Fit::Unknown),
            (json!({"$ref": "other.json", "type": "string"}), json!(1), Fit::No),
            (json!({"pattern": "(?<=a)b(?=c"}), json!("b"), Fit::Unknown),
            (json!({"not": {"$ref": "other.json"}}), json!(1), Fit::Unknown),
            (
                json!({"anyOf": [{"$ref": "other.json"}, true]}),
                json!(1),
                Fit::Yes,
            ),
            (
                json!({"unevaluatedProperties": false}),
                json!({"a": 1}),
                Fit::Unknown,
            ),
            (json!({"$ref": "#"}), json!(1), Fit::Unknown),
            (json!({"type": "string", "nullable": true}), json!(null), Fit::Yes),
        ] {
            let work = Work::new(1_000_000);
            let document = SchemaDocument::new(&schema, &work);
            assert_eq!(
                fits(&document, &[&schema], &value),
                expected,
                "{value} in {schema}"
            );
        }
    }
}
