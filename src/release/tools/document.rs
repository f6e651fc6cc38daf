//! A schema document: its named places, the targets of its references, and its patterns.

use jsonschema::Validator;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;

use crate::base::url::percent_decoded;
use crate::release::tools::fit::Fit;
use crate::release::tools::validator::validator;
use crate::release::tools::work::Work;

/// The maximum depth of expanded references.
const MAX_LEVELS: usize = 12;
/// The maximum size of an expanded schema, bytes.
const MAX_TEXT: usize = 1 << 16;
/// The work of matching a text with a pattern.
const PER_PATTERN: u64 = 20;

/// The keywords that refer to another schema.
pub(super) const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// A schema document with an index of the names that references may use.
#[derive(Debug)]
pub(super) struct SchemaDocument<'a> {
    root: &'a Value,
    named: HashMap<String, &'a Value>,
    pub(super) work: &'a Work,
    /// The validators of patterns; `None` for one that cannot be compiled.
    patterns: RefCell<HashMap<String, Option<Validator>>>,
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
        Self {
            root,
            named,
            work,
            patterns: RefCell::default(),
        }
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

    /// Whether a text matches a pattern; unknown if the pattern cannot be compiled.
    pub(super) fn matches(&self, pattern: &str, text: &str) -> Fit {
        if !self.work.spend_test(PER_PATTERN) {
            return Fit::Unknown;
        }
        let mut patterns = self.patterns.borrow_mut();
        let validator = patterns.entry(pattern.to_owned()).or_insert_with(|| {
            self.work.spend_test(50 * PER_PATTERN);
            validator(&json!({"pattern": pattern})).ok()
        });
        match validator {
            Some(validator) => Fit::of(validator.is_valid(&Value::String(text.to_owned()))),
            None => Fit::Unknown,
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
