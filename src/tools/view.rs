//! A schema seen through its references and conjunctions: one set of keywords, borrowed, never copied.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// References followed from one place before they are taken for a circle.
const MAX_HOPS: usize = 64;

/// One place of a schema.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    /// The keywords, those of references and of `allOf` included. Where several say the same keyword, the outermost.
    pub(super) keywords: BTreeMap<&'a str, &'a Value>,
    /// `false`: nothing is allowed.
    pub(super) is_false: bool,
    /// A reference that leads nowhere here, or in circles.
    pub(super) unresolved: Option<&'a str>,
}

impl<'a> View<'a> {
    /// Looks at a schema of a document.
    pub(super) fn of(root: &'a Value, schema: &'a Value) -> Self {
        let mut view = Self { keywords: BTreeMap::new(), is_false: false, unresolved: None };
        view.take(root, schema, 0);
        view
    }

    fn take(&mut self, root: &'a Value, schema: &'a Value, hops: usize) {
        match schema {
            Value::Bool(false) => self.is_false = true,
            Value::Object(fields) => {
                for (key, value) in fields.iter().filter(|(key, _)| !["$ref", "$dynamicRef", "$recursiveRef"].contains(&key.as_str())) {
                    self.keywords.entry(key).or_insert(value);
                }
                for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
                    let Some(reference) = fields.get(key).and_then(Value::as_str) else { continue };
                    match resolve(root, reference).filter(|_| hops < MAX_HOPS) {
                        Some(target) => self.take(root, target, hops + 1),
                        None => self.unresolved = Some(reference),
                    }
                }
                // Branches add to what is there; that they are branches is compared apart.
                for branch in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                    if hops < MAX_HOPS {
                        self.take(root, branch, hops + 1);
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.keywords.get(key).copied()
    }

    pub(super) fn list(&self, key: &str) -> &'a [Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn entries(&self, key: &str) -> BTreeMap<&'a str, &'a Value> {
        let entries = self.get(key).and_then(Value::as_object).into_iter().flatten();
        entries.map(|(name, value)| (name.as_str(), value)).collect()
    }

    pub(super) fn texts(&self, key: &str) -> BTreeSet<&'a str> {
        self.list(key).iter().filter_map(Value::as_str).collect()
    }

    /// The values it allows, if it lists them.
    pub(super) fn values(&self) -> Option<Vec<&'a Value>> {
        match (self.get("const"), self.get("enum")) {
            (Some(value), _) => Some(vec![value]),
            (None, Some(Value::Array(values))) => Some(values.iter().collect()),
            _ => None,
        }
    }

    /// The types it allows: those it names, those of the values it lists, or those of unions that name nothing else; `None` for any.
    pub(super) fn types(&self, root: &'a Value) -> Option<BTreeSet<&'a str>> {
        let named = match self.get("type") {
            Some(Value::String(name)) => Some(BTreeSet::from([name.as_str()])),
            Some(Value::Array(names)) => Some(names.iter().filter_map(Value::as_str).collect()),
            _ => None,
        };
        let listed = || self.values().map(|values| values.into_iter().map(type_of).collect());
        let union = || {
            let branches = self.union().filter(|branches| !branches.is_empty())?;
            branches
                .iter()
                .map(|branch| View::of(root, branch).types(root))
                .collect::<Option<Vec<_>>>()
                .map(|types| types.into_iter().flatten().collect())
        };
        let mut types: BTreeSet<&str> = named.or_else(listed).or_else(union)?;
        // OpenAPI 3.0's way to say it.
        if self.get("nullable") == Some(&Value::Bool(true)) {
            types.insert("null");
        }
        Some(types)
    }

    /// The branches of `anyOf` or `oneOf`.
    pub(super) fn union(&self) -> Option<&'a [Value]> {
        ["anyOf", "oneOf"].iter().find_map(|key| self.get(key)).and_then(Value::as_array).map(Vec::as_slice)
    }

    /// Whether a union says nothing but which types there are.
    pub(super) fn is_union_of_types(&self) -> bool {
        let only_type = |branch: &Value| branch.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key("type"));
        self.union().is_none_or(|branches| branches.iter().all(only_type))
    }

    /// Whether it says nothing but that it is one of several shapes, of which some say more than their type.
    pub(super) fn is_pure_union(&self) -> bool {
        const BESIDE: [&str; 9] = ["anyOf", "oneOf", "title", "description", "default", "examples", "$defs", "definitions", "$schema"];
        self.union().is_some() && !self.is_union_of_types() && self.keywords.keys().all(|key| BESIDE.contains(key))
    }

    /// The schema of an array's item at a place: its own, that of all, or none.
    pub(super) fn item(&self, idx: usize) -> Option<&'a Value> {
        self.prefix().get(idx).or_else(|| self.rest())
    }

    /// Schemas of an array's first items. Drafts before 2020-12 wrote them as a list of `items`.
    pub(super) fn prefix(&self) -> &'a [Value] {
        match self.get("prefixItems").or_else(|| self.get("items")) {
            Some(Value::Array(items)) => items,
            _ => &[],
        }
    }

    /// The schema of an array's other items.
    pub(super) fn rest(&self) -> Option<&'a Value> {
        match self.get("items") {
            Some(Value::Array(_)) => self.get("additionalItems"),
            items => items,
        }
    }
}

/// What a value is. `integer` for whole numbers, which are numbers, too.
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

/// What a reference within the document points to: a JSON pointer or an anchor. Other documents are not fetched.
fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let id = root.get("$id").and_then(Value::as_str).unwrap_or_default();
    let fragment = match reference.split_once('#') {
        Some((before, fragment)) if before.is_empty() || before == id => fragment,
        None if !reference.is_empty() && reference == id => "",
        _ => return None,
    };
    if fragment.is_empty() {
        return Some(root);
    }
    if let Some(pointer) = fragment.strip_prefix('/') {
        return root.pointer(&format!("/{}", percent_decoded(pointer)?));
    }
    let definitions = ["$defs", "definitions"].iter().filter_map(|key| root.get(key)?.as_object()).flatten();
    let has_anchor =
        |schema: &&Value| ["$anchor", "$dynamicAnchor"].iter().any(|key| schema.get(key).and_then(Value::as_str) == Some(fragment));
    definitions.map(|(_, schema)| schema).find(has_anchor)
}

/// `%7B` to `{`: pointers in URIs are percent-encoded.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}
