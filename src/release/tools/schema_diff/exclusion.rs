//! Proofs that no value fits two schemas, and lists of all values that fit one.

use serde_json::{Map, Number, Value};
use std::cmp::Ordering;

use crate::release::tools::document::SchemaDocument;
use crate::release::tools::fit::Fit;
use crate::release::tools::fits::fits;
use crate::release::tools::value::compare;
use crate::release::tools::view::View;

/// The most schemas within each other that are looked into for a proof.
const MAX_DEPTH: usize = 4;
/// The most values that are tried one by one.
const MAX_VALUES: usize = 1_000;

/// A node: its document and the schemas that apply there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a, 'd> {
    pub(super) document: &'d SchemaDocument<'a>,
    pub(super) schemas: &'d [&'a Value],
}

impl<'a> Node<'a, '_> {
    pub(super) fn fits(&self, value: &Value) -> Fit {
        fits(self.document, self.schemas, value)
    }

    /// All values that fit the node, and those of which it is not known; `None` if they are too
    /// many to list.
    pub(super) fn all_values(&self, view: &View<'a>) -> Option<Vec<Value>> {
        let mut values: Vec<Value> = match view.values() {
            Some(values) => values.into_iter().take(MAX_VALUES + 1).cloned().collect(),
            None => {
                let types = view.types(self.document)?;
                if types.iter().any(|name| !["boolean", "null"].contains(name)) {
                    return None;
                }
                vec![Value::Bool(false), Value::Bool(true)]
            }
        };
        if !values.contains(&Value::Null) {
            values.push(Value::Null);
        }
        values.retain(|value| self.fits(value) != Fit::No);
        (values.len() <= MAX_VALUES).then_some(values)
    }
}

/// Whether it is proven that no value fits both nodes.
pub(super) fn exclude_each_other<'a>(a: Node<'a, '_>, b: Node<'a, '_>) -> bool {
    excluded(a, b, 0)
}

fn excluded<'a>(a: Node<'a, '_>, b: Node<'a, '_>, depth: usize) -> bool {
    if depth > MAX_DEPTH || !a.document.work.spend_test(10) {
        return false;
    }
    let (of_a, of_b) = (View::new(a.document, a.schemas), View::new(b.document, b.schemas));
    if of_a.is_false || of_b.is_false {
        return true;
    }
    for (one, view, other) in [(a, &of_a, b), (b, &of_b, a)] {
        if let Some(values) = one.all_values(view) {
            return values.iter().all(|value| other.fits(value) == Fit::No);
        }
    }
    let nullable = a.fits(&Value::Null) != Fit::No && b.fits(&Value::Null) != Fit::No;
    if nullable {
        return false;
    }
    // Null is refused by one of them. What is left is a common type.
    let kinds = |node: Node<'a, '_>, view: &View<'a>| -> Vec<&'static str> {
        const ALL: [&str; 5] = ["array", "boolean", "number", "object", "string"];
        let types = view.types(node.document);
        let has = |name: &&str| {
            types
                .as_ref()
                .is_none_or(|types| types.contains(name) || (*name == "number" && types.contains("integer")))
        };
        ALL.into_iter().filter(has).collect()
    };
    let of_b_kinds = kinds(b, &of_b);
    let common: Vec<&str> = kinds(a, &of_a)
        .into_iter()
        .filter(|kind| of_b_kinds.contains(kind))
        .collect();
    if common.iter().all(|kind| match *kind {
        "number" => apart_by(&of_a, &of_b, &numeric_limit),
        "string" => {
            let limit = |view: &View<'a>, is_lower| count(view, is_lower, ["minLength", "maxLength"]);
            apart_by(&of_a, &of_b, &limit)
        }
        "array" => {
            let limit = |view: &View<'a>, is_lower| count(view, is_lower, ["minItems", "maxItems"]);
            apart_by(&of_a, &of_b, &limit)
        }
        "object" => objects_apart((a, &of_a), (b, &of_b), depth),
        _ => false,
    }) {
        return true;
    }
    // A value that fits a union fits one of its branches.
    [(a, &of_a, b), (b, &of_b, a)]
        .into_iter()
        .any(|(one, view, other)| {
            let unions = view.unions("anyOf").into_iter().chain(view.unions("oneOf"));
            let mut unions = unions.filter(|union| union.len() <= 32);
            let refused_null = one.fits(&Value::Null) == Fit::No;
            unions.any(|union| {
                let branch_apart = |branch: &&'a Value| {
                    let branch = Node {
                        document: one.document,
                        schemas: std::slice::from_ref(branch),
                    };
                    excluded(branch, other, depth + 1)
                };
                refused_null && union.iter().all(branch_apart)
            })
        })
        || negated(a, &of_a, b, &of_b)
}

/// Whether one node excludes a schema that the other one has.
fn negated<'a>(a: Node<'a, '_>, of_a: &View<'a>, b: Node<'a, '_>, of_b: &View<'a>) -> bool {
    [(a, of_a, b, of_b), (b, of_b, a, of_a)]
        .into_iter()
        .any(|(one, view, other, of_other)| {
            let branches = of_other.branches();
            let mut excluded = view.all("not").map(|schema| one.document.text(schema));
            excluded.any(|text| {
                let mut own = other.schemas.iter().chain(&branches);
                own.any(|schema| other.document.text(schema) == text)
            })
        })
}

/// Objects are apart if a property that one needs has no value that fits both.
fn objects_apart<'a>(
    (a, of_a): (Node<'a, '_>, &View<'a>),
    (b, of_b): (Node<'a, '_>, &View<'a>),
    depth: usize,
) -> bool {
    let (in_a, in_b) = (of_a.entries("properties"), of_b.entries("properties"));
    let (needed_a, needed_b) = (of_a.texts("required"), of_b.texts("required"));
    let closed = |view: &View<'a>, name: &str| {
        view.parts.iter().any(|part| {
            part.get("additionalProperties") == Some(&Value::Bool(false))
                && part.get("properties").is_none_or(|own| own.get(name).is_none())
                && !part.contains_key("patternProperties")
        })
    };
    if needed_a.iter().any(|name| closed(of_b, name)) || needed_b.iter().any(|name| closed(of_a, name)) {
        return true;
    }
    needed_a
        .union(&needed_b)
        .any(|name| match (in_a.get(name), in_b.get(name)) {
            (Some(of_a), Some(of_b)) => excluded(
                Node {
                    document: a.document,
                    schemas: of_a,
                },
                Node {
                    document: b.document,
                    schemas: of_b,
                },
                depth + 1,
            ),
            _ => false,
        })
        || apart_by(of_a, of_b, &|view, is_lower| {
            let least = Number::from(view.texts("required").len());
            match count(view, is_lower, ["minProperties", "maxProperties"]) {
                Some((limit, _)) if !is_lower || compare(&limit, &least) == Ordering::Greater => {
                    Some((limit, false))
                }
                _ if is_lower => Some((least, false)),
                _ => None,
            }
        })
}

type Limit = Option<(Number, bool)>;

/// Whether the lower limit of `high` is above the upper limit of `low`.
fn apart<'a>(low: &View<'a>, high: &View<'a>, limit: impl Fn(&View<'a>, bool) -> Limit) -> bool {
    match (limit(low, false), limit(high, true)) {
        (Some((most, most_out)), Some((least, least_out))) => match compare(&most, &least) {
            Ordering::Less => true,
            Ordering::Equal => most_out || least_out,
            Ordering::Greater => false,
        },
        _ => false,
    }
}

fn apart_by<'a>(a: &View<'a>, b: &View<'a>, limit: &dyn Fn(&View<'a>, bool) -> Limit) -> bool {
    apart(a, b, limit) || apart(b, a, limit)
}

fn count(view: &View<'_>, is_lower: bool, [least, most]: [&str; 2]) -> Limit {
    let key = if is_lower { least } else { most };
    let of_part = |part: &Map<String, Value>| part.get(key).and_then(Value::as_number).cloned();
    let limits = view.parts.iter().filter_map(|part| of_part(part));
    let tighter = |a: Number, b: Number| {
        let order = compare(&a, &b);
        if (order == Ordering::Greater) == is_lower {
            a
        } else {
            b
        }
    };
    limits.reduce(tighter).map(|limit| (limit, false))
}

fn numeric_limit(view: &View<'_>, is_lower: bool) -> Limit {
    view.numeric_bound(is_lower)
        .map(|(number, is_out)| (number.clone(), is_out))
}
