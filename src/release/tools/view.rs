//! A view of one node of a JSON Schema: all schemas that apply there, including references and
//! conjunctions. Schemas are borrowed, never copied.

use serde_json::{Map, Number, Value};
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::release::tools::document::{REFERENCES, SchemaDocument};
use crate::release::tools::value::{compare, has_type, is_nullable, same, type_of};
use crate::release::tools::work::n_values;

/// The maximum number of schemas of one node.
const MAX_PARTS: usize = 10_000;
/// The maximum number of union branches that are searched for types.
const MAX_UNIONS: usize = 1_000;

/// One node: all schemas that apply there.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// The keywords of each schema.
    pub(super) parts: Vec<&'a Map<String, Value>>,
    /// Whether one of the schemas is `false`, so that no value is allowed.
    pub(super) is_false: bool,
    /// References without a target in this document.
    pub(super) unresolved: BTreeSet<&'a str>,
    /// The unions with one branch beside null, whose branch is among the schemas of the node.
    plain: HashSet<*const Value>,
    /// The types, once they were asked for.
    types: OnceCell<Option<BTreeSet<&'a str>>>,
}

impl<'a> View<'a> {
    /// Collects the schemas of a node from those given, their references and their `allOf`
    /// branches.
    pub(super) fn new(document: &SchemaDocument<'a>, schemas: &[&'a Value]) -> Self {
        let mut view = Self {
            parts: Vec::new(),
            is_false: false,
            unresolved: BTreeSet::new(),
            plain: HashSet::new(),
            types: OnceCell::new(),
        };
        let mut seen: HashSet<usize> = HashSet::new();
        let mut todo: Vec<&'a Value> = schemas.iter().rev().copied().collect();
        while let Some(schema) = todo.pop() {
            // A repeated schema adds nothing. Skipping it also ends circles.
            if !seen.insert(std::ptr::from_ref(schema) as usize) || view.parts.len() > MAX_PARTS {
                continue;
            }
            match schema {
                Value::Bool(false) => view.is_false = true,
                Value::Object(fields) => {
                    if !document.work.spend(weight(fields)) {
                        break;
                    }
                    view.parts.push(fields);
                    todo.extend(
                        fields
                            .get("allOf")
                            .and_then(Value::as_array)
                            .into_iter()
                            .flatten()
                            .rev(),
                    );
                    for union in ["anyOf", "oneOf"].iter().filter_map(|key| fields.get(*key)) {
                        // Null is compared by itself, so one other branch is no choice.
                        if let [branch] = beside_null(union).as_slice() {
                            view.plain.insert(std::ptr::from_ref(union));
                            todo.push(branch);
                        }
                    }
                    for reference in REFERENCES.iter().filter_map(|key| fields.get(*key)?.as_str()) {
                        match document.resolve(reference) {
                            Some(target) => todo.push(target),
                            None => drop(view.unresolved.insert(reference)),
                        }
                    }
                }
                _ => {}
            }
        }
        view
    }

    /// The values of a keyword in all schemas.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &'a Value> {
        self.parts.iter().filter_map(move |part| part.get(key))
    }

    /// The first value of a keyword; `None` if no schema has it.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.all(key).next()
    }

    /// Whether at least one schema has this value under the keyword.
    pub(super) fn says(&self, key: &str, value: &Value) -> bool {
        self.all(key).any(|own| own == value)
    }

    /// The keywords that the schemas use.
    pub(super) fn keywords(&self) -> BTreeSet<&'a str> {
        self.parts
            .iter()
            .flat_map(|part| part.keys())
            .map(String::as_str)
            .collect()
    }

    /// The entries of objects under a keyword: the schemas by name.
    pub(super) fn entries(&self, key: &str) -> BTreeMap<&'a str, Vec<&'a Value>> {
        let mut entries: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for (name, value) in self.all(key).filter_map(Value::as_object).flatten() {
            entries.entry(name).or_default().push(value);
        }
        entries
    }

    /// The texts of lists under a keyword.
    pub(super) fn texts(&self, key: &str) -> BTreeSet<&'a str> {
        self.all(key)
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The schemas under a keyword, without those that allow everything.
    pub(super) fn schemas(&self, key: &str) -> Vec<&'a Value> {
        self.all(key).filter(|schema| !is_anything(schema)).collect()
    }

    /// The values that all lists (`const`, `enum` and unions of values) allow; `None` without such
    /// a list. Of a `oneOf`, these are the values of exactly one branch.
    pub(super) fn values(&self) -> Option<Vec<&'a Value>> {
        let mut allowed: Option<Vec<&'a Value>> = None;
        for part in &self.parts {
            let own = [
                part.get("const").map(|value| vec![value]),
                part.get("enum")
                    .and_then(Value::as_array)
                    .map(|list| list.iter().collect()),
            ];
            let of_unions = ["anyOf", "oneOf"].map(|key| {
                let union = part.get(key)?.as_array()?;
                values_of_union(&union.iter().collect::<Vec<_>>(), key == "oneOf")
            });
            for list in own.into_iter().chain(of_unions).flatten() {
                let list = list
                    .into_iter()
                    .filter(|value| part.get("type").is_none_or(|named| has_type(named, value)));
                let list: Vec<&Value> = list.collect();
                let keys: HashSet<String> = list.iter().map(|value| same(value)).collect();
                allowed = Some(match allowed {
                    None => list,
                    Some(before) => before
                        .into_iter()
                        .filter(|value| keys.contains(&same(value)))
                        .collect(),
                });
            }
        }
        allowed
    }

    /// The conditions of each schema: `if` with its own `then` and `else`.
    pub(super) fn conditions(&self) -> Vec<[Option<&'a Value>; 3]> {
        self.parts
            .iter()
            .filter(|part| part.contains_key("if"))
            .map(|part| ["if", "then", "else"].map(|key| part.get(key)))
            .collect()
    }

    /// The types that all schemas allow; `None` if types are not restricted.
    pub(super) fn types(&self, document: &SchemaDocument<'a>) -> Option<BTreeSet<&'a str>> {
        let find = || self.types_within(document, &mut MAX_UNIONS.clone());
        self.types.get_or_init(find).clone()
    }

    fn types_within(&self, document: &SchemaDocument<'a>, left: &mut usize) -> Option<BTreeSet<&'a str>> {
        let mut allowed: Option<BTreeSet<&'a str>> = None;
        let mut narrow = |types: BTreeSet<&'a str>| {
            allowed = Some(match allowed.take() {
                None => types,
                Some(before) => both(&before, &types),
            });
        };
        for part in &self.parts {
            let named: Option<BTreeSet<&str>> = match part.get("type") {
                Some(Value::String(name)) => Some(BTreeSet::from([name.as_str()])),
                Some(Value::Array(names)) => Some(names.iter().filter_map(Value::as_str).collect()),
                _ => None,
            };
            if let Some(mut types) = named {
                if is_nullable(part) {
                    types.insert("null");
                }
                // A whole multiple is a whole number.
                if types.contains("number") && has_whole_step(part) {
                    types.remove("number");
                    types.insert("integer");
                }
                if let Some(Value::Object(fields)) = part.get("not")
                    && fields.len() == 1
                    && let Some(Value::String(name)) = fields.get("type")
                {
                    types.retain(|own| own != name && !(name == "number" && *own == "integer"));
                }
                narrow(types);
            }
            for union in ["anyOf", "oneOf"]
                .iter()
                .filter_map(|key| part.get(*key)?.as_array())
                .filter(|union| !union.is_empty())
            {
                let mut types = Some(BTreeSet::new());
                for branch in union {
                    *left = left.saturating_sub(1);
                    let inner = if *left == 0 {
                        None
                    } else {
                        Self::new(document, &[branch]).types_within(document, left)
                    };
                    types = types.zip(inner).map(|(mut sum, more): (BTreeSet<&str>, _)| {
                        sum.extend(more);
                        sum
                    });
                }
                types.into_iter().for_each(&mut narrow);
            }
        }
        if let Some(values) = self.values() {
            narrow(values.into_iter().map(type_of).collect());
        }
        allowed
    }

    /// The unions under `anyOf` or `oneOf`: their branches without those that are only null.
    pub(super) fn unions(&self, key: &str) -> Vec<Vec<&'a Value>> {
        self.all(key)
            .filter(|union| !self.plain.contains(&std::ptr::from_ref(*union)))
            .map(beside_null)
            .filter(|union| !union.is_empty())
            .collect()
    }

    /// The branches of a node that consists only of one union, and whether the union is a `oneOf`.
    /// `None` for other nodes, and if the branches only list types or values.
    pub(super) fn pure_union(&self) -> Option<(Vec<&'a Value>, bool)> {
        const BESIDE: [&str; 13] = [
            "anyOf",
            "oneOf",
            "title",
            "description",
            "default",
            "examples",
            "$defs",
            "definitions",
            "$schema",
            "nullable",
            "x-nullable",
            "deprecated",
            "$comment",
        ];
        let is_beside = |key: &&str| BESIDE.contains(key) || REFERENCES.contains(key) || *key == "allOf";
        let (any, one) = (self.unions("anyOf"), self.unions("oneOf"));
        let union = match (any.as_slice(), one.as_slice()) {
            ([union], []) => (union.clone(), false),
            ([], [union]) => (union.clone(), true),
            _ => return None,
        };
        let is_plain = is_union_of_types(&union.0) || values_of_union(&union.0, false).is_some();
        (self.keywords().iter().all(is_beside) && !is_plain).then_some(union)
    }

    /// The schemas of the array item at an index: those for that index, else those for the other
    /// items.
    pub(super) fn item(&self, idx: usize) -> Vec<&'a Value> {
        let of_part = |part: &&'a Map<String, Value>| prefix(part).get(idx).or_else(|| rest(part));
        self.parts
            .iter()
            .filter_map(of_part)
            .filter(|schema| !is_anything(schema))
            .collect()
    }

    /// The number of leading array items that have a schema by position.
    pub(super) fn n_prefix(&self) -> usize {
        self.parts
            .iter()
            .map(|part| prefix(part).len())
            .max()
            .unwrap_or(0)
    }

    /// The schemas of the array items after those that have a schema by position. Empty if all
    /// values are allowed.
    pub(super) fn rest(&self) -> Vec<&'a Value> {
        self.parts
            .iter()
            .filter_map(|part| rest(part))
            .filter(|schema| !is_anything(schema))
            .collect()
    }

    /// The branches of `allOf`, as written.
    pub(super) fn branches(&self) -> Vec<&'a Value> {
        self.all("allOf").filter_map(Value::as_array).flatten().collect()
    }

    /// The tightest bound of numbers, with whether its value is excluded; `None` without a bound.
    pub(super) fn numeric_bound(&self, is_lower: bool) -> Option<(&'a Number, bool)> {
        let (key, exclusive) = if is_lower {
            ("minimum", "exclusiveMinimum")
        } else {
            ("maximum", "exclusiveMaximum")
        };
        self.bound(is_lower, |part| {
            let number = |key: &str| part.get(key).and_then(Value::as_number);
            // Drafts before 6 wrote `exclusiveMinimum: true`.
            let is_out = part.get(exclusive) == Some(&Value::Bool(true));
            number(key)
                .map(|number| (number, is_out))
                .into_iter()
                .chain(number(exclusive).map(|number| (number, true)))
                .collect()
        })
    }

    /// The tightest bound of the schemas, with whether its value is excluded; `None` without a
    /// bound.
    pub(super) fn bound(
        &self,
        is_lower: bool,
        limits: impl Fn(&'a Map<String, Value>) -> Vec<(&'a Number, bool)>,
    ) -> Option<(&'a Number, bool)> {
        self.parts
            .iter()
            .flat_map(|part| limits(part))
            .reduce(|a, b| if is_tighter(is_lower, b, a) { b } else { a })
    }
}

/// The work of looking at the keywords of a schema: lists, names and texts in it, but not its inner
/// schemas.
fn weight(fields: &Map<String, Value>) -> u64 {
    let of_keyword = |(key, value): (&String, &Value)| match value {
        _ if ["const", "default", "enum", "examples"].contains(&key.as_str()) => n_values(value),
        Value::Array(items) => items.len() as u64 + 1,
        Value::Object(inner) => inner.len() as u64 + 1,
        Value::String(text) => text.len() as u64 / 64 + 1,
        _ => 1,
    };
    1 + fields.iter().map(of_keyword).sum::<u64>()
}

/// Whether the bound `new` is tighter than `old`.
pub(super) fn is_tighter(is_lower: bool, new: (&Number, bool), old: (&Number, bool)) -> bool {
    match compare(new.0, old.0) {
        Ordering::Equal => new.1 && !old.1,
        Ordering::Greater => is_lower,
        Ordering::Less => !is_lower,
    }
}

/// The types that both sets allow. Every integer is a number.
fn both<'a>(a: &BTreeSet<&'a str>, b: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let within = |name: &&str, set: &BTreeSet<&str>| {
        set.contains(name) || (*name == "integer" && set.contains("number"))
    };
    a.iter()
        .filter(|name| within(name, b))
        .chain(b.iter().filter(|name| within(name, a)))
        .copied()
        .collect()
}

/// The branches of a union without those that allow only null. All branches if there is no other.
fn beside_null(union: &Value) -> Vec<&Value> {
    let all: Vec<&Value> = union.as_array().into_iter().flatten().collect();
    let is_null = |branch: &&Value| {
        let is_one = |key: &str| match branch.get(key) {
            Some(Value::Array(one)) => matches!(one.as_slice(), [Value::Null]) || one == &["null"],
            Some(one) => one == &Value::Null || (key == "type" && one == "null"),
            None => false,
        };
        is_one("type") || (branch.get("const").is_some() && is_one("const")) || is_one("enum")
    };
    let others: Vec<&Value> = all.iter().copied().filter(|branch| !is_null(branch)).collect();
    if others.is_empty() { all } else { others }
}

/// Whether every multiple of the schema's step is a whole number.
fn has_whole_step(part: &Map<String, Value>) -> bool {
    let step = part.get("multipleOf").and_then(Value::as_f64);
    step.is_some_and(|step| step > 0.0 && step.fract() == 0.0)
}

/// Whether every branch of a union has only the keyword `type`.
pub(super) fn is_union_of_types(union: &[&Value]) -> bool {
    union.iter().all(|branch| {
        branch
            .as_object()
            .is_some_and(|fields| fields.len() == 1 && fields.contains_key("type"))
    })
}

/// The values of a union whose branches only list values; `None` for other unions. Of a `oneOf`,
/// these are the values of exactly one branch.
pub(super) fn values_of_union<'a>(union: &[&'a Value], is_one: bool) -> Option<Vec<&'a Value>> {
    const BESIDE: [&str; 5] = ["const", "enum", "title", "description", "type"];
    let mut values = Vec::new();
    for branch in union {
        let fields = branch
            .as_object()
            .filter(|fields| fields.keys().all(|key| BESIDE.contains(&key.as_str())))?;
        let own: Vec<&Value> = match (fields.get("const"), fields.get("enum"), fields.get("type")) {
            (Some(value), None, _) => vec![value],
            (None, Some(Value::Array(list)), _) => list.iter().collect(),
            (None, None, Some(Value::String(name))) if name == "null" => vec![&Value::Null],
            _ => return None,
        };
        let mut own: Vec<(String, &Value)> = own
            .into_iter()
            .filter(|value| fields.get("type").is_none_or(|named| has_type(named, value)))
            .map(|value| (same(value), value))
            .collect();
        own.sort_by(|a, b| a.0.cmp(&b.0));
        own.dedup_by(|a, b| a.0 == b.0);
        values.extend(own);
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (key, _) in &values {
        *counts.entry(key).or_default() += 1;
    }
    let kept = |key: &str| !is_one || counts[key] == 1;
    let values = values
        .iter()
        .filter(|(key, _)| kept(key))
        .map(|(_, value)| *value);
    (!union.is_empty()).then(|| values.collect())
}

/// Whether a schema allows everything.
pub(super) fn is_anything(schema: &Value) -> bool {
    schema == &Value::Bool(true) || schema.as_object().is_some_and(Map::is_empty)
}

/// The schemas of an array's leading items. Drafts before 2020-12 wrote them as a list under
/// `items`.
fn prefix(part: &Map<String, Value>) -> &[Value] {
    match part.get("prefixItems").or_else(|| part.get("items")) {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

fn rest(part: &Map<String, Value>) -> Option<&Value> {
    match part.get("items") {
        Some(Value::Array(_)) => part.get("additionalItems"),
        items => items,
    }
}
