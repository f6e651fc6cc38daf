//! The size of a schema once its references are expanded. A validator builds and walks the expanded
//! tree, and a few hundred bytes can expand to more than any memory holds. The size is counted on
//! the graph, where each schema is visited once.

use serde_json::{Map, Value};
use std::collections::HashMap;

use crate::release::tools::document::{REFERENCES, SchemaDocument};
use crate::release::tools::work::{Work, n_values};

/// The size of an expanded schema that is always allowed, in schemas.
const MAX_SIZE: u64 = 100_000;
/// The size of an expanded schema that is allowed for each of its values, beside [`MAX_SIZE`].
const MAX_SIZE_PER_VALUE: u64 = 2;
/// The most references and schemas within each other.
const MAX_DEPTH: usize = 400;
/// The most schemas that are applied to the arguments of one call.
const MAX_APPLIED: u64 = 1_000_000;
/// The most steps into schemas and arguments within each other.
const MAX_STEPS: usize = 4_000;

/// Keywords whose value is data, not a schema.
const DATA: [&str; 7] = [
    "const",
    "default",
    "description",
    "enum",
    "example",
    "examples",
    "required",
];
/// Keywords with a schema, or a list or an object of schemas, for the same value.
const IN_PLACE: [&str; 9] = [
    "allOf",
    "anyOf",
    "dependencies",
    "dependentSchemas",
    "else",
    "if",
    "not",
    "oneOf",
    "then",
];
/// Keywords with a schema for every property of an object.
const OF_PROPERTIES: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];
/// Keywords with a schema for every item of an array.
const OF_ITEMS: [&str; 4] = ["additionalItems", "contains", "items", "unevaluatedItems"];

/// What is known of a schema during a search of the graph.
#[derive(Debug, Clone, Copy)]
enum Found {
    /// The search is below this schema.
    Open,
    /// The size of the expanded schema.
    Size(u64),
}

/// A schema whose expanded size is known to be small.
#[derive(Debug)]
pub(super) struct Expansion<'a> {
    root: &'a Value,
    document: SchemaDocument<'a>,
    /// Whether a reference leads back to a schema that it is in. The size of its expansion depends
    /// on the arguments.
    is_recursive: bool,
}

impl<'a> Expansion<'a> {
    /// Counts the expanded schema. `Err` says why it is too complex.
    pub(super) fn new(root: &'a Value, work: &'a Work) -> Result<Self, &'static str> {
        let mut expansion = Self {
            root,
            document: SchemaDocument::new(root, work),
            is_recursive: false,
        };
        let limit = MAX_SIZE.saturating_add(MAX_SIZE_PER_VALUE.saturating_mul(n_values(root)));
        let mut found = HashMap::new();
        let is_small = expansion
            .size(root, 0, &mut found)
            .is_some_and(|size| size <= limit);
        if !is_small {
            return Err("its references expand to too many schemas");
        }
        if expansion.has_circle(&found) {
            return Err("a reference leads back to itself within one value");
        }
        Ok(expansion)
    }

    /// The size of an expanded value: itself and the values in it, and the targets of references.
    /// `None` if too many are within each other.
    fn size(
        &mut self,
        value: &'a Value,
        depth: usize,
        found: &mut HashMap<*const Value, Found>,
    ) -> Option<u64> {
        if depth > MAX_DEPTH {
            return None;
        }
        let key = std::ptr::from_ref(value);
        match found.get(&key) {
            Some(Found::Size(size)) => return Some(*size),
            Some(Found::Open) => {
                self.is_recursive = true;
                return Some(1);
            }
            None => drop(found.insert(key, Found::Open)),
        }
        let mut size: u64 = 1;
        match value {
            Value::Object(fields) => {
                let inner = fields
                    .iter()
                    .filter(|(key, value)| {
                        (value.is_object() || value.is_array()) && !DATA.contains(&key.as_str())
                    })
                    .map(|(_, value)| value);
                for inner in self.targets(fields).into_iter().chain(inner) {
                    size = size.saturating_add(self.size(inner, depth + 1, found)?);
                }
            }
            Value::Array(items) => {
                for inner in items.iter().filter(|item| item.is_object() || item.is_array()) {
                    size = size.saturating_add(self.size(inner, depth + 1, found)?);
                }
            }
            _ => {}
        }
        found.insert(key, Found::Size(size));
        Some(size)
    }

    /// The schemas that the references of a schema lead to.
    fn targets(&self, fields: &'a Map<String, Value>) -> Vec<&'a Value> {
        let references = REFERENCES.iter().filter_map(|key| fields.get(*key)?.as_str());
        references
            .filter_map(|reference| self.document.resolve(reference))
            .collect()
    }

    /// The schemas that are applied to the same value as this schema.
    fn in_place(&self, fields: &'a Map<String, Value>) -> Vec<&'a Value> {
        let mut schemas = self.targets(fields);
        for key in IN_PLACE {
            match fields.get(key) {
                Some(Value::Array(branches)) => schemas.extend(branches),
                Some(Value::Object(by_name)) if key.starts_with("depend") => schemas.extend(by_name.values()),
                Some(one) => schemas.push(one),
                None => {}
            }
        }
        schemas
    }

    /// Whether a schema is applied to a value because it is applied to this value. `all` are the
    /// values that references and keywords reach.
    fn has_circle(&self, all: &HashMap<*const Value, Found>) -> bool {
        let mut is_done: HashMap<*const Value, bool> = HashMap::with_capacity(all.len());
        let mut values = vec![self.root];
        // Every schema of the document can be the start of a circle.
        while let Some(value) = values.pop() {
            match value {
                Value::Object(fields) => values.extend(fields.values()),
                Value::Array(items) => values.extend(items),
                _ => continue,
            }
            if all.contains_key(&std::ptr::from_ref(value)) && self.is_in_circle(value, &mut is_done) {
                return true;
            }
        }
        false
    }

    fn is_in_circle(&self, schema: &'a Value, is_done: &mut HashMap<*const Value, bool>) -> bool {
        let Value::Object(fields) = schema else {
            return false;
        };
        let key = std::ptr::from_ref(schema);
        match is_done.get(&key) {
            Some(is_done) => return !is_done,
            None => drop(is_done.insert(key, false)),
        }
        let is_found = self
            .in_place(fields)
            .into_iter()
            .any(|inner| self.is_in_circle(inner, is_done));
        is_done.insert(key, true);
        is_found
    }

    /// Whether the validator applies few schemas to these arguments. It applies one schema to one
    /// value as often as there are ways to it.
    pub(super) fn is_small_for(&self, arguments: &Value) -> bool {
        !self.is_recursive
            || self
                .applied(self.root, arguments, 0, &mut HashMap::new())
                .is_some_and(|n| n <= MAX_APPLIED)
    }

    /// The number of schemas that are applied below a schema and a value; `None` if it is too
    /// large.
    fn applied(
        &self,
        schema: &'a Value,
        value: &Value,
        steps: usize,
        counted: &mut HashMap<(*const Value, *const Value), u64>,
    ) -> Option<u64> {
        let Value::Object(fields) = schema else {
            return Some(1);
        };
        let key = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(n) = counted.get(&key) {
            return Some(*n);
        }
        if steps > MAX_STEPS || counted.len() as u64 > MAX_APPLIED {
            return None;
        }
        let mut n: u64 = 1;
        let mut add = |schema: &'a Value, value: &Value| {
            n = n.saturating_add(self.applied(schema, value, steps + 1, counted)?);
            (n <= MAX_APPLIED).then_some(())
        };
        for inner in self.in_place(fields) {
            add(inner, value)?;
        }
        match value {
            Value::Object(properties) => {
                for (name, inner) in properties {
                    let own = fields.get("properties").and_then(|own| own.get(name));
                    let by_pattern = fields.get("patternProperties").and_then(Value::as_object);
                    let others = OF_PROPERTIES.iter().filter_map(|key| fields.get(*key));
                    // Which patterns match is not asked: too many schemas are counted, never too
                    // few.
                    for schema in own
                        .into_iter()
                        .chain(by_pattern.into_iter().flat_map(Map::values))
                        .chain(others)
                    {
                        add(schema, inner)?;
                    }
                }
            }
            Value::Array(items) => {
                for (idx, inner) in items.iter().enumerate() {
                    let prefix = ["prefixItems", "items"]
                        .iter()
                        .filter_map(|key| fields.get(*key)?.as_array()?.get(idx));
                    let others = OF_ITEMS.iter().filter_map(|key| fields.get(*key));
                    for schema in prefix.chain(others) {
                        add(schema, inner)?;
                    }
                }
            }
            _ => {}
        }
        counted.insert(key, n);
        Some(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Levels of definitions, each of which names the next one twice under a keyword.
    fn bomb(keyword: &str, n_levels: usize) -> Value {
        let level = |idx: usize| {
            let next = json!({"$ref": format!("#/$defs/d{}", idx + 1)});
            (format!("d{idx}"), json!({keyword: [next, next]}))
        };
        let mut levels: Map<String, Value> = (0..n_levels).map(level).collect();
        levels.insert(format!("d{n_levels}"), json!({"type": "object"}));
        json!({"$defs": levels, "$ref": "#/$defs/d0"})
    }

    #[test]
    fn bombs_are_not_expanded() {
        let check = |schema: &Value, is_small: bool| {
            let work = Work::for_values(n_values(schema));
            assert_eq!(Expansion::new(schema, &work).is_ok(), is_small, "{schema}");
        };
        for keyword in ["allOf", "anyOf", "oneOf", "prefixItems"] {
            check(&bomb(keyword, 3), true);
            check(&bomb(keyword, 10), true);
            check(&bomb(keyword, 30), false);
        }
        check(&json!(true), true);
        check(
            &json!({"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {}}}),
            true,
        );
        check(
            &json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}),
            true,
        );
        check(&json!({"$ref": "#"}), false);
        check(
            &json!({"anyOf": [{"type": "string"}, {"allOf": [{"$ref": "#"}]}]}),
            false,
        );
        check(&json!({"enum": vec![json!({"a": 1}); 200_000]}), true);
        // A long chain of references is no tree, but a deep one.
        let chain: Map<String, Value> = (0..5_000)
            .map(|idx| {
                (
                    format!("d{idx}"),
                    json!({"$ref": format!("#/$defs/d{}", idx + 1)}),
                )
            })
            .collect();
        check(&json!({"$defs": chain, "$ref": "#/$defs/d0"}), false);
    }

    #[test]
    fn recursive_schemas_are_counted_with_their_arguments() {
        let deep = |n: usize| (0..n).fold(json!({}), |inner, _| json!({"a": inner}));
        let check = |schema: Value, arguments: Value, is_small: bool| {
            let work = Work::for_values(n_values(&schema));
            let found = Expansion::new(&schema, &work).unwrap().is_small_for(&arguments);
            assert_eq!(found, is_small, "{schema}");
        };
        let one = json!({"$ref": "#"});
        check(json!({"properties": {"a": one, "b": one}}), deep(100), true);
        check(
            json!({"properties": {"a": {"allOf": [one, one]}}}),
            deep(10),
            true,
        );
        check(
            json!({"properties": {"a": {"allOf": [one, one]}}}),
            deep(60),
            false,
        );
        check(
            json!({"additionalProperties": one, "patternProperties": {"": one}}),
            deep(60),
            false,
        );
        check(json!({"properties": {"a": {}}}), deep(120), true);
    }
}
