//! A view of one node of a JSON Schema: all schemas that apply there, including references and
//! conjunctions. Schemas are borrowed, never copied.

use serde_json::{Map, Number, Value};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::base::url::percent_decoded;
use crate::release::tools::work::{Work, n_values};

/// The maximum number of schemas of one node.
const MAX_PARTS: usize = 10_000;
/// The maximum number of union branches that are searched for types.
const MAX_UNIONS: usize = 1_000;
/// The maximum depth of expanded references.
const MAX_LEVELS: usize = 12;
/// The maximum size of an expanded schema, bytes.
const MAX_TEXT: usize = 1 << 16;

/// A schema document with an index of the names that references may use.
#[derive(Debug)]
pub(super) struct SchemaDocument<'a> {
    root: &'a Value,
    named: HashMap<String, &'a Value>,
    work: &'a Work,
}

impl<'a> SchemaDocument<'a> {
    /// Indexes every `$id`, `$anchor` and `$dynamicAnchor` of the document. Its views and texts
    /// take from the budget `work`.
    pub(super) fn new(root: &'a Value, work: &'a Work) -> Self {
        let mut named = HashMap::new();
        let mut todo = vec![root];
        while let Some(value) = todo.pop() {
            match value {
                Value::Object(fields) => {
                    for key in ["$anchor", "$dynamicAnchor"] {
                        if let Some(name) = fields.get(key).and_then(Value::as_str) {
                            named.entry(format!("#{name}")).or_insert(value);
                        }
                    }
                    if let Some(id) = fields.get("$id").and_then(Value::as_str) {
                        named.entry(id.trim_end_matches('#').to_owned()).or_insert(value);
                    }
                    todo.extend(fields.values());
                }
                Value::Array(items) => todo.extend(items),
                _ => {}
            }
        }
        Self { root, named, work }
    }

    /// The target of a reference; `None` if it does not exist or is in another document, which is
    /// not fetched.
    pub(super) fn resolve(&self, reference: &str) -> Option<&'a Value> {
        if let Some(found) = self.named.get(reference) {
            return Some(found);
        }
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if base.is_empty() {
            self.root
        } else {
            self.named.get(base).copied()?
        };
        match fragment.strip_prefix('/') {
            _ if fragment.is_empty() => Some(document),
            Some(pointer) => document.pointer(&format!("/{}", percent_decoded(pointer)?)),
            None => self.named.get(&format!("#{fragment}")).copied(),
        }
    }

    /// The text of a schema for comparison: references are expanded, texts for readers are left
    /// out.
    pub(super) fn text(&self, value: &'a Value) -> String {
        let mut text = String::new();
        self.write(value, 0, &mut text);
        self.work.spend(text.len() as u64 / 16);
        text
    }

    fn write(&self, value: &'a Value, level: usize, out: &mut String) {
        if out.len() > MAX_TEXT || !self.work.spend(1) {
            return;
        }
        match value {
            Value::Object(fields) => {
                out.push('{');
                for (key, inner) in fields.iter().filter(|(key, _)| {
                    !["description", "title", "$comment", "examples"].contains(&key.as_str())
                }) {
                    out.push_str(key);
                    out.push(':');
                    match inner
                        .as_str()
                        .filter(|_| key == "$ref")
                        .and_then(|reference| self.resolve(reference))
                    {
                        Some(target) if level < MAX_LEVELS => self.write(target, level + 1, out),
                        _ => self.write(inner, level, out),
                    }
                    out.push(',');
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                items.iter().for_each(|item| {
                    self.write(item, level, out);
                    out.push(',');
                });
                out.push(']');
            }
            other => out.push_str(&other.to_string()),
        }
    }
}

/// One node: all schemas that apply there.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// The keywords of each schema.
    parts: Vec<&'a Map<String, Value>>,
    /// Whether one of the schemas is `false`, so that no value is allowed.
    pub(super) is_false: bool,
    /// References without a target in this document.
    pub(super) unresolved: BTreeSet<&'a str>,
}

pub(super) const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

impl<'a> View<'a> {
    /// Collects the schemas of a node from those given, their references and their `allOf`
    /// branches.
    pub(super) fn new(document: &SchemaDocument<'a>, schemas: &[&'a Value]) -> Self {
        let mut view = Self {
            parts: Vec::new(),
            is_false: false,
            unresolved: BTreeSet::new(),
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
    /// a list.
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
                part.get(key)
                    .and_then(Value::as_array)
                    .and_then(|union| values_of_union(union))
            });
            for list in own.into_iter().chain(of_unions).flatten() {
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
        let mut left = MAX_UNIONS;
        self.types_within(document, &mut left)
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
                // OpenAPI 3.0 marks null as allowed in this way.
                if part.get("nullable") == Some(&Value::Bool(true)) {
                    types.insert("null");
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

    /// The unions under `anyOf` or `oneOf`.
    pub(super) fn unions(&self, key: &str) -> Vec<&'a [Value]> {
        self.all(key)
            .filter_map(Value::as_array)
            .map(Vec::as_slice)
            .filter(|union| !union.is_empty())
            .collect()
    }

    /// The branches of a node that consists only of one union, and whether the union is a `oneOf`.
    /// `None` for other nodes, and if the branches only list types or values.
    pub(super) fn pure_union(&self) -> Option<(&'a [Value], bool)> {
        const BESIDE: [&str; 9] = [
            "anyOf",
            "oneOf",
            "title",
            "description",
            "default",
            "examples",
            "$defs",
            "definitions",
            "$schema",
        ];
        let is_beside = |key: &&str| BESIDE.contains(key) || REFERENCES.contains(key) || *key == "allOf";
        let (any, one) = (self.unions("anyOf"), self.unions("oneOf"));
        let union = match (any.as_slice(), one.as_slice()) {
            ([union], []) => (*union, false),
            ([], [union]) => (*union, true),
            _ => return None,
        };
        let is_plain = is_union_of_types(union.0) || values_of_union(union.0).is_some();
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

/// Compares two numbers, exactly if both are whole numbers.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    let whole = |number: &Number| number.as_i128();
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
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

/// Whether every branch of a union has only the keyword `type`.
pub(super) fn is_union_of_types(union: &[Value]) -> bool {
    union.iter().all(|branch| {
        branch
            .as_object()
            .is_some_and(|fields| fields.len() == 1 && fields.contains_key("type"))
    })
}

/// The values of a union whose branches only list values; `None` for other unions.
pub(super) fn values_of_union(union: &[Value]) -> Option<Vec<&Value>> {
    const BESIDE: [&str; 5] = ["const", "enum", "title", "description", "type"];
    let mut values = Vec::new();
    for branch in union {
        let fields = branch
            .as_object()
            .filter(|fields| fields.keys().all(|key| BESIDE.contains(&key.as_str())))?;
        match (fields.get("const"), fields.get("enum")) {
            (Some(value), None) => values.push(value),
            (None, Some(Value::Array(list))) => values.extend(list),
            _ => return None,
        }
    }
    (!union.is_empty()).then_some(values)
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

/// A text that identifies a value. The numbers 1 and 1.0 have the same text.
pub(super) fn same(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_i128() {
            Some(whole) => whole.to_string(),
            None => number
                .as_f64()
                .map_or_else(|| number.to_string(), |x| x.to_string()),
        },
        other => format!("{} {other}", type_of(other)),
    }
}
