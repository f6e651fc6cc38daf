//! Changes between two JSON Schemas, and their effects. Changes of a tool's input can break
//! callers. Changes of its output can break readers of the results.
//!
//! Every rule has a fixed id and a level for each side. The rules are those of OpenAPI change
//! checkers (oasdiff), applied to tools. A node is the set of all schemas that apply at one path: a
//! reference and the keywords beside it are compared together.
//!
//! This file holds the walk over both schemas. The rules are in `values`, `objects` and `branches`.
//! Where no rule decides, `logic` tries sample values and looks for proofs (`exclusion`). A change
//! that is neither proven to break nor proven harmless is a warning that says so.

mod branches;
mod exclusion;
mod logic;
mod objects;
mod values;

use Level::{Error, Info, Warning};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

use crate::release::tools::document::SchemaDocument;
use crate::release::tools::view::View;
use crate::release::tools::work::{Work, n_values};

/// The maximum nesting depth of compared schemas.
const MAX_DEPTH: usize = 96;
/// The maximum number of listed changes per schema. Errors are listed up to twice this number.
const MAX_CHANGES: usize = 1_000;
/// The maximum number of compared nodes per schema.
const MAX_NODES: usize = 100_000;
/// The rules which report that a part was not compared or not decided, so its effect is unknown.
pub const NOT_COMPARED: [&str; 9] = [
    "too-complex",
    "too-deep",
    "unresolvable-ref",
    "one-of-undecided",
    "union-undecided",
    "not-undecided",
    "condition-undecided",
    "partial-list",
    "tool-not-understood",
];
/// The rules about texts that a model reads. They say nothing about the values that are valid.
const WORDS: [&str; 5] = [
    "description-changed",
    "title-changed",
    "default-changed",
    "default-removed",
    "unknown-keyword-changed",
];

/// The side of a tool that a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The arguments. Every argument that was valid must stay valid.
    Input,
    /// The result. Every new result must be one that was possible before.
    Output,
}

/// The severity of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The change is harmless.
    Info,
    /// The change may break callers or readers, or changes a text that the model reads.
    Warning,
    /// The change breaks callers or readers.
    Error,
}

impl Level {
    /// The name of the level in reports, such as `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One difference between two schemas, at one location.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SchemaChange {
    /// The id of the rule that reports the change. It does not change between versions of Sluice.
    pub rule: &'static str,
    /// The location: a JSON pointer into the described values, such as `/order_id` or `/items/[]`.
    pub path: String,
    /// The severity of the change.
    pub level: Level,
    /// Text with the values before and after the change.
    pub detail: String,
}

/// Compares two schemas of one side. Recursive schemas are compared once per pair of nodes.
/// External references are not fetched. Schemas that take more work than their size explains are
/// reported as `too-complex`: their effect is unknown.
pub fn diff_schemas(old: &Value, new: &Value, side: Side) -> Vec<SchemaChange> {
    let work = Work::for_values(n_values(old).saturating_add(n_values(new)));
    diff_nodes([old, new], [&[old], &[new]], side, &work)
}

/// Compares two nodes of two documents, each given by its root and the schemas that apply.
pub(super) fn diff_nodes<'a>(
    roots: [&'a Value; 2],
    [old, new]: [&[&'a Value]; 2],
    side: Side,
    work: &Work,
) -> Vec<SchemaChange> {
    let documents = roots.map(|root| SchemaDocument::new(root, work));
    let mut walk = Walk {
        documents: documents.each_ref(),
        work,
        side,
        seen: HashMap::new(),
        worst_of: HashMap::new(),
        changes: Vec::new(),
        path: Vec::new(),
        fuel: MAX_NODES,
        tries: 0,
        n_noted: 0,
        is_null_said: false,
        is_same_root: roots[0] == roots[1],
    };
    walk.compare_nodes(old, new);
    let mut changes = walk.changes;
    if work.is_spent() {
        changes.push(SchemaChange {
            rule: "too-complex",
            path: "/".to_owned(),
            level: Warning,
            detail:
                "undecided: the references lead to more comparisons than are made; the rest is not compared"
                    .to_owned(),
        });
    }
    changes.sort();
    changes.dedup();
    changes.sort_by_key(|change| std::cmp::Reverse(change.level));
    changes
}

/// An old and a new node: the addresses of their schemas, sorted.
type Nodes = (Vec<usize>, Vec<usize>);

/// The identity of an old and a new node. The order of schemas and repetitions do not matter.
fn nodes_of(old: &[&Value], new: &[&Value]) -> Nodes {
    let addresses = |schemas: &[&Value]| {
        let mut addresses: Vec<usize> = schemas
            .iter()
            .map(|schema| std::ptr::from_ref(*schema) as usize)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    (addresses(old), addresses(new))
}

struct Walk<'a, 'd> {
    documents: [&'d SchemaDocument<'a>; 2],
    work: &'d Work,
    side: Side,
    /// The nodes that were compared, and whether something was noted there or is not known yet.
    seen: HashMap<(Nodes, bool), bool>,
    /// The results of trial comparisons, by their nodes, depth and [`Walk::is_null_said`].
    worst_of: HashMap<(Nodes, usize, bool), Level>,
    changes: Vec<SchemaChange>,
    path: Vec<String>,
    /// The number of nodes that may still be compared, including trial comparisons.
    fuel: usize,
    /// The depth of nested trial comparisons.
    tries: usize,
    /// The number of changes so far that may break, beside texts.
    n_noted: usize,
    /// Whether null was compared for the whole union whose branches are compared.
    is_null_said: bool,
    /// Whether both documents are equal, so that equal nodes are the same.
    is_same_root: bool,
}

/// The keywords that hold one schema and allow everything when absent, with rules and path segment.
const INNER: [(&str, &str, &str, &str); 4] = [
    (
        "propertyNames",
        "property-names-added",
        "property-names-removed",
        "{key}",
    ),
    ("contains", "contains-added", "contains-removed", "[some]"),
    (
        "unevaluatedProperties",
        "unevaluated-properties-added",
        "unevaluated-properties-removed",
        "{unevaluated}",
    ),
    (
        "unevaluatedItems",
        "unevaluated-items-added",
        "unevaluated-items-removed",
        "[unevaluated]",
    ),
];

impl<'a> Walk<'a, '_> {
    /// Records a change with its level on the input side and on the output side.
    fn record(&mut self, rule: &'static str, [input, output]: [Level; 2], detail: impl Into<String>) {
        // What a spent budget leaves out may look like a change.
        if self.work.is_spent() {
            return;
        }
        let level = if self.side == Side::Input { input } else { output };
        self.n_noted += usize::from(level > Info && !WORDS.contains(&rule));
        // Errors have a reserve, so that other changes do not displace them.
        if self.changes.len() < MAX_CHANGES || (level == Error && self.changes.len() < 2 * MAX_CHANGES) {
            let path = if self.path.is_empty() {
                "/".to_owned()
            } else {
                format!("/{}", self.path.join("/"))
            };
            self.changes.push(SchemaChange {
                rule,
                path,
                level,
                detail: detail.into(),
            });
        }
    }

    fn below(&mut self, step: &str, old: &[&'a Value], new: &[&'a Value]) {
        // Property names may contain the path separator.
        self.path.push(step.replace('~', "~0").replace('/', "~1"));
        self.compare_nodes(old, new);
        self.path.pop();
    }

    /// Compares two branches of unions. Null is compared for the whole unions.
    fn below_branch(&mut self, step: &str, old: &[&'a Value], new: &[&'a Value]) {
        self.is_null_said = true;
        self.below(step, old, new);
        self.is_null_said = false;
    }

    /// Compares two nodes. Each node is given by all schemas that apply there; an empty list allows
    /// everything.
    fn compare_nodes(&mut self, old: &[&'a Value], new: &[&'a Value]) {
        self.work.spend((old.len() + new.len()) as u64);
        if self.work.is_spent() {
            return;
        }
        let key = (nodes_of(old, new), self.is_null_said);
        if let Some(is_noted) = self.seen.get(&key) {
            self.n_noted += usize::from(*is_noted);
            return;
        }
        self.seen.insert(key.clone(), true);
        let n_before = self.n_noted;
        let is_null_said = std::mem::take(&mut self.is_null_said);
        self.compare_new_nodes(old, new, is_null_said);
        if self.n_noted == n_before && self.tries == 0 {
            self.tried(old, new, is_null_said);
        }
        self.seen.insert(key, self.n_noted > n_before);
    }

    /// Compares two nodes that were not compared before.
    fn compare_new_nodes(&mut self, old: &[&'a Value], new: &[&'a Value], is_null_said: bool) {
        let n_before = self.n_noted;
        self.fuel = self.fuel.saturating_sub(1);
        if self.path.len() > MAX_DEPTH || self.fuel == 0 {
            self.record("too-deep", [Warning, Warning], "not compared any deeper");
            return;
        }
        let (a, b) = (
            View::new(self.documents[0], old),
            View::new(self.documents[1], new),
        );
        if self.work.is_spent() {
            return;
        }
        for reference in a.unresolved.union(&b.unresolved) {
            let level = if a.unresolved.contains(reference) && b.unresolved.contains(reference) {
                Warning
            } else {
                Error
            };
            self.record(
                "unresolvable-ref",
                [level, level],
                format!("`{reference}` leads nowhere in this document: not compared"),
            );
        }
        if a.is_false || b.is_false {
            match (a.is_false, b.is_false) {
                (false, true) => self.record("nothing-allowed", [Error, Info], "`false` allows nothing"),
                (true, false) => self.record("something-allowed", [Info, Error], "`false` allowed nothing"),
                _ => {}
            }
            return;
        }
        if self.listed(old, new, [&a, &b], is_null_said) {
            return self.words(&a, &b);
        }
        let (union_before, union_now) = (a.pure_union(), b.pure_union());
        let has_union =
            |view: &View<'a>| !(view.unions("anyOf").is_empty() && view.unions("oneOf").is_empty());
        if union_before.is_some() != union_now.is_some() && !(has_union(&a) && has_union(&b)) {
            let was_union = union_before.is_some();
            if let Some((branches, _)) = union_before.or(union_now) {
                self.one_against_many(&branches, was_union, old, new);
            }
            if !is_null_said {
                self.nulls(old, new);
            }
            self.overlaps(old, new, [&a, &b]);
            return self.words(&a, &b);
        }
        self.types(old, new, [&a, &b], is_null_said);
        self.values(&a, &b);
        self.bounds(&a, &b);
        self.texts(&a, &b);
        self.properties(&a, &b);
        self.items(&a, &b);
        for (key, added, removed, step) in INNER {
            self.inner(key, [added, removed], step, &a, &b);
        }
        self.unions(old, new, [&a, &b]);
        self.all_of(&a, &b, self.n_noted > n_before);
        self.conditions(old, new, [&a, &b]);
        self.words(&a, &b);
    }

    /// Compares texts for models and readers, and keywords that are not validated.
    fn words(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, rule) in [("description", "description-changed"), ("title", "title-changed")] {
            if a.get(key) != b.get(key) {
                let text = |value: Option<&Value>| value.map_or("nothing".into(), brief);
                self.record(
                    rule,
                    [Warning, Info],
                    format!("{} to {}: the model reads it", text(a.get(key)), text(b.get(key))),
                );
            }
        }
        match (a.get("default"), b.get("default")) {
            (None, Some(new)) => self.record("default-added", [Info, Info], brief(new)),
            (Some(old), None) => self.record("default-removed", [Warning, Info], brief(old)),
            (Some(old), Some(new)) if old != new => self.record(
                "default-changed",
                [Warning, Info],
                format!("{} to {}", brief(old), brief(new)),
            ),
            _ => {}
        }
        for (key, rule) in [
            ("deprecated", "deprecated-changed"),
            ("readOnly", "read-only-changed"),
            ("writeOnly", "write-only-changed"),
            ("examples", "examples-changed"),
        ] {
            if a.get(key) != b.get(key) {
                self.record(rule, [Info, Info], key);
            }
        }
        let unknown = |view: &View<'a>| {
            view.keywords()
                .into_iter()
                .filter(|key| !KNOWN.contains(key))
                .collect::<BTreeSet<&str>>()
        };
        for key in unknown(a).union(&unknown(b)) {
            if a.get(key) != b.get(key) {
                self.record(
                    "unknown-keyword-changed",
                    [Warning, Warning],
                    format!("`{key}`: not compared"),
                );
            }
        }
    }
}

/// The keywords that a rule handles or that do not restrict values.
const KNOWN: [&str; 65] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$ref",
    "$schema",
    "$vocabulary",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "else",
    "enum",
    "example",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyOrdering",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "x-nullable",
];

/// The text of a value, at most 60 characters.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 {
        format!("{}…", text.chars().take(60).collect::<String>())
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
