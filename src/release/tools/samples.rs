//! Sample values of a schema: its listed values, the edges of its limits, and objects and arrays of
//! samples. A comparison tries them where no rule decides. Samples may not fit the schema itself.

use serde_json::{Map, Number, Value, json};

use crate::release::tools::document::SchemaDocument;
use crate::release::tools::fit::Fit;
use crate::release::tools::fits::fits;
use crate::release::tools::value::same;
use crate::release::tools::view::View;

/// The most samples of a schema.
const MAX_SAMPLES: usize = 96;
/// The most samples of a property, an item or a branch that are used in samples around them.
const MAX_INNER: usize = 8;
/// The most properties whose samples are varied.
const MAX_PROPERTIES: usize = 32;
/// The most schemas within each other that have samples.
const MAX_DEPTH: usize = 5;
/// The longest text or list that is made to reach a limit.
const MAX_LENGTH: u64 = 300;

/// Samples of a node, each once.
pub(super) fn samples<'a>(document: &SchemaDocument<'a>, schemas: &[&'a Value]) -> Vec<Value> {
    Sampler { document }.node(schemas, 0)
}

struct Sampler<'a, 'd> {
    document: &'d SchemaDocument<'a>,
}

/// Distinct samples, up to a number.
#[derive(Default)]
struct Found {
    values: Vec<Value>,
    seen: std::collections::HashSet<String>,
}

impl Found {
    fn add(&mut self, value: Value) {
        if self.values.len() < MAX_SAMPLES && self.seen.insert(same(&value)) {
            self.values.push(value);
        }
    }
}

impl<'a> Sampler<'a, '_> {
    fn node(&self, schemas: &[&'a Value], depth: usize) -> Vec<Value> {
        let mut found = Found::default();
        if depth > MAX_DEPTH || !self.document.work.spend_test(10) {
            return Vec::new();
        }
        let view = View::new(self.document, schemas);
        for part in &view.parts {
            let lists = ["enum", "examples"].map(|key| part.get(key).and_then(Value::as_array));
            let ones = ["const", "default"].map(|key| part.get(key));
            let all = ones
                .into_iter()
                .flatten()
                .chain(lists.into_iter().flatten().flatten());
            all.take(24).for_each(|value| found.add(value.clone()));
        }
        let branches = self.branches(&view, depth);
        let types = view.types(self.document);
        let allows = |name: &str| {
            types
                .as_ref()
                .is_none_or(|types| types.contains(name) || (name == "number" && types.contains("integer")))
        };
        if allows("null") {
            found.add(Value::Null);
        }
        if allows("object") {
            self.objects(&view, depth, &branches, &mut found);
        }
        branches.into_iter().for_each(|value| found.add(value));
        if allows("array") {
            self.arrays(&view, depth, &mut found);
        }
        if allows("string") {
            texts(&view, &mut found);
        }
        if allows("number") {
            numbers(&view, &mut found);
        }
        if allows("boolean") {
            found.add(json!(true));
            found.add(json!(false));
        }
        found.values
    }

    /// Samples of the schemas that apply to the same value: branches of unions, conditions, and
    /// what is excluded.
    fn branches(&self, view: &View<'a>, depth: usize) -> Vec<Value> {
        let of_unions = ["anyOf", "oneOf"]
            .into_iter()
            .flat_map(|key| view.unions(key))
            .flatten();
        let others = ["not", "if", "then", "else"]
            .into_iter()
            .flat_map(|key| view.all(key).collect::<Vec<_>>());
        let dependent = view
            .entries("dependentSchemas")
            .into_values()
            .chain(view.entries("dependencies").into_values())
            .flatten();
        let schemas = of_unions.chain(others).chain(dependent).take(16);
        schemas
            .flat_map(|branch| self.node(&[branch], depth + 1).into_iter().take(2 * MAX_INNER))
            .collect()
    }

    /// Samples of a schema, those that fit it first.
    fn inner(&self, schemas: &[&'a Value], depth: usize) -> Vec<Value> {
        let mut samples = self.node(schemas, depth + 1);
        samples.sort_by_cached_key(|value| fits(self.document, schemas, value) != Fit::Yes);
        samples.truncate(MAX_INNER);
        samples
    }

    fn objects(&self, view: &View<'a>, depth: usize, branches: &[Value], found: &mut Found) {
        let properties = view.entries("properties");
        let required = view.texts("required");
        let inner: Vec<(&str, Vec<Value>)> = properties
            .iter()
            .take(MAX_PROPERTIES)
            .map(|(name, schemas)| (*name, self.inner(schemas, depth)))
            .collect();
        let of_name = |name: &str| {
            let own = inner.iter().find(|(own, _)| *own == name);
            own.and_then(|(_, samples)| samples.first().cloned())
                .unwrap_or_else(|| json!("a"))
        };
        let object = |names: &mut dyn Iterator<Item = &str>| -> Map<String, Value> {
            names.map(|name| (name.to_owned(), of_name(name))).collect()
        };
        let least = object(&mut required.iter().copied());
        let declared = inner.iter().filter(|(_, samples)| !samples.is_empty());
        let full = object(&mut declared.map(|(name, _)| *name).chain(required.iter().copied()));
        found.add(Value::Object(least.clone()));
        found.add(Value::Object(full.clone()));
        // Half of the places are for variations, the others for branches.
        for (name, samples) in &inner {
            for value in samples {
                let mut one = least.clone();
                one.insert((*name).to_owned(), value.clone());
                if found.values.len() < MAX_SAMPLES / 2 {
                    found.add(Value::Object(one));
                }
            }
            let mut without = full.clone();
            without.remove(*name);
            found.add(Value::Object(without));
        }
        for branch in branches.iter().filter_map(Value::as_object) {
            for base in [&least, &full] {
                let mut both = base.clone();
                both.extend(branch.clone());
                found.add(Value::Object(both));
                let mut both = branch.clone();
                both.extend(base.clone());
                found.add(Value::Object(both));
            }
        }
        let others: Vec<&'a Value> = view.all("additionalProperties").collect();
        if !others.is_empty() && !others.contains(&&Value::Bool(false)) {
            for value in self.inner(&others, depth) {
                let mut one = least.clone();
                one.insert("other".to_owned(), value);
                found.add(Value::Object(one));
            }
        }
    }

    fn arrays(&self, view: &View<'a>, depth: usize, found: &mut Found) {
        found.add(json!([]));
        let prefix: Vec<Value> = (0..view.n_prefix().min(8))
            .map(|idx| {
                self.inner(&view.item(idx), depth)
                    .into_iter()
                    .next()
                    .unwrap_or(Value::Null)
            })
            .collect();
        if !prefix.is_empty() {
            found.add(Value::Array(prefix.clone()));
        }
        let items = self.inner(&view.rest(), depth);
        let contained: Vec<&'a Value> = view.all("contains").collect();
        let contained = if contained.is_empty() {
            Vec::new()
        } else {
            self.inner(&contained, depth)
        };
        let list = |n: usize, from: usize| -> Value {
            let own = items
                .iter()
                .cycle()
                .skip(from)
                .take(if items.is_empty() { 0 } else { n });
            prefix.iter().chain(own).cloned().collect()
        };
        let limits = view
            .all("minItems")
            .chain(view.all("maxItems"))
            .filter_map(Value::as_u64);
        for n in limits
            .filter(|n| *n <= MAX_LENGTH)
            .flat_map(|n| [n, n + 1, n.saturating_sub(1)])
        {
            found.add(list((n as usize).saturating_sub(prefix.len()), 0));
        }
        for from in 0..items.len() {
            found.add(list(1, from));
        }
        found.add(list(2, 0));
        if let Some(first) = items.first() {
            found.add(json!([first, first]));
        }
        for value in contained {
            found.add(json!([value]));
            found.add(json!([value, value]));
        }
    }
}

fn texts(view: &View<'_>, found: &mut Found) {
    let formats = view.all("format").filter_map(Value::as_str).filter_map(|name| {
        Some(match name {
            "date" => "2026-01-31",
            "date-time" => "2026-01-31T12:00:00Z",
            "time" => "12:00:00Z",
            "email" => "a@example.com",
            "uri" | "url" => "https://example.com/a",
            "uuid" => "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "ipv4" => "192.0.2.1",
            "hostname" => "example.com",
            _ => return None,
        })
    });
    let plain = ["a", "", "A", "1", "abc"];
    formats.chain(plain).for_each(|text| found.add(json!(text)));
    for pattern in view.all("pattern").filter_map(Value::as_str) {
        // A pattern of plain letters matches itself.
        let text = pattern.trim_start_matches('^').trim_end_matches('$');
        if text
            .chars()
            .all(|sign| sign.is_alphanumeric() || "_-/ ".contains(sign))
        {
            found.add(json!(text));
        }
    }
    let limits = view
        .all("minLength")
        .chain(view.all("maxLength"))
        .filter_map(Value::as_u64);
    for n in limits
        .filter(|n| *n <= MAX_LENGTH)
        .flat_map(|n| [n, n + 1, n.saturating_sub(1)])
    {
        found.add(json!("a".repeat(n as usize)));
    }
}

fn numbers(view: &View<'_>, found: &mut Found) {
    let limits = [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    ];
    let limits: Vec<&Number> = limits
        .into_iter()
        .flat_map(|key| view.all(key).filter_map(Value::as_number).collect::<Vec<_>>())
        .collect();
    for limit in &limits {
        found.add(Value::Number((*limit).clone()));
        match limit.as_i64() {
            Some(whole) => {
                for near in [whole.saturating_add(1), whole.saturating_sub(1)] {
                    found.add(json!(near));
                }
            }
            None => {
                let floor = limit.as_f64().unwrap_or(0.0).floor();
                for near in [floor, floor + 1.0] {
                    found.add(json!(near));
                }
            }
        }
    }
    for value in [json!(1), json!(0), json!(-1), json!(0.5), json!(2), json!(1000)] {
        found.add(value);
    }
    for limit in limits.iter().filter_map(|limit| limit.as_f64()) {
        found.add(json!(limit + 0.5));
        found.add(json!(limit - 0.5));
        found.add(json!(limit * 2.0));
    }
}
