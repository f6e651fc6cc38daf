//! What changed between two JSON Schemas, and whom it breaks: callers for what a tool takes, readers for what it gives.
//!
//! Every rule has an id that stays, a level a side, and a place. The rules are those of OpenAPI change checkers (oasdiff), for tools. A place is everything
//! that holds there at once: a reference and what stands beside it are compared together.

use Level::{Error, Info, Warning};
use serde::Serialize;
use serde_json::{Map, Number, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::release::tools::view::{
    SchemaDocument, View, is_anything, is_tighter, is_union_of_types, same, values_of_union,
};

/// Levels of nesting beyond which schemas are not compared.
const MAX_DEPTH: usize = 96;
/// Changes of one schema that are listed: more say nothing more.
const MAX_CHANGES: usize = 1_000;
/// Places of one schema that are compared.
const MAX_PLACES: usize = 100_000;
/// Branches of a union that are paired by how well they fit.
const MAX_PAIRED: usize = 8;

/// Rules that say that something was not compared: nobody knows whom it breaks.
pub const NOT_COMPARED: [&str; 2] = ["too-deep", "unresolvable-ref"];

/// Which side of a tool a schema is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What a tool takes: what was valid must stay valid.
    Input,
    /// What a tool gives: nothing new may come.
    Output,
}

/// How much a change matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nobody is hurt.
    Info,
    /// It may hurt, or changes what the model reads.
    Warning,
    /// It breaks somebody.
    Error,
}

impl Level {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One change of a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SchemaChange {
    /// The rule, which keeps its name.
    pub rule: &'static str,
    /// Where: a JSON pointer into the schema's values (`/order_id`, `/items/[]`).
    pub path: String,
    /// How much it matters.
    pub level: Level,
    /// What was there and what is.
    pub detail: String,
}

/// Compares two schemas of one side. Recursive schemas are compared once a pair of places; nothing is fetched.
pub fn diff_schemas(old: &Value, new: &Value, side: Side) -> Vec<SchemaChange> {
    let documents = [SchemaDocument::new(old), SchemaDocument::new(new)];
    let mut walk = Walk {
        documents: &documents,
        side,
        seen: HashSet::new(),
        changes: Vec::new(),
        path: Vec::new(),
        fuel: MAX_PLACES,
        tries: 0,
    };
    walk.places(&[old], &[new]);
    let mut changes = walk.changes;
    changes.sort();
    changes.dedup();
    changes.sort_by_key(|change| std::cmp::Reverse(change.level));
    changes
}

struct Walk<'a, 'd> {
    documents: &'d [SchemaDocument<'a>; 2],
    side: Side,
    seen: HashSet<(Vec<usize>, Vec<usize>)>,
    changes: Vec<SchemaChange>,
    path: Vec<String>,
    /// Places that may still be compared, tries included.
    fuel: usize,
    /// Tries within tries.
    tries: usize,
}

/// Branches of two lists: those in both, and the others.
struct Matched<'a> {
    same: Vec<(&'a Value, &'a Value)>,
    old_left: Vec<&'a Value>,
    new_left: Vec<&'a Value>,
}

impl<'a> Matched<'a> {
    fn new(old: &[&'a Value], new: &[&'a Value]) -> Self {
        let keyed = |branches: &[&'a Value]| -> HashMap<String, &'a Value> {
            branches
                .iter()
                .map(|branch| (branch.to_string(), *branch))
                .collect()
        };
        let (of_old, of_new) = (keyed(old), keyed(new));
        let mut matched = Self {
            same: Vec::new(),
            old_left: Vec::new(),
            new_left: Vec::new(),
        };
        for branch in old {
            match of_new.get(&branch.to_string()) {
                Some(other) => matched.same.push((branch, other)),
                None => matched.old_left.push(branch),
            }
        }
        matched.new_left.extend(
            new.iter()
                .filter(|branch| !of_old.contains_key(&branch.to_string())),
        );
        matched
    }
}

/// Lower bounds and upper bounds of counts: the keyword, whether it is a lower one.
const COUNTS: [(&str, bool); 6] = [
    ("minLength", true),
    ("maxLength", false),
    ("minItems", true),
    ("maxItems", false),
    ("minProperties", true),
    ("maxProperties", false),
];

/// Keywords that hold one schema and allow everything when they are absent.
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
        let level = if self.side == Side::Input { input } else { output };
        // What is not listed for lack of room is never an error.
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
        // Property names may hold what separates steps.
        self.path.push(step.replace('~', "~0").replace('/', "~1"));
        self.places(old, new);
        self.path.pop();
    }

    /// Compares two places: schemas that all hold there; none allows everything.
    fn places(&mut self, old: &[&'a Value], new: &[&'a Value]) {
        let address = |schemas: &[&'a Value]| {
            let mut addresses: Vec<usize> = schemas
                .iter()
                .map(|schema| std::ptr::from_ref(*schema) as usize)
                .collect();
            addresses.sort_unstable();
            addresses
        };
        if !self.seen.insert((address(old), address(new))) {
            return;
        }
        self.fuel = self.fuel.saturating_sub(1);
        if self.path.len() > MAX_DEPTH || self.fuel == 0 {
            self.record("too-deep", [Warning, Warning], "not compared any deeper");
            return;
        }
        let (a, b) = (
            View::new(&self.documents[0], old),
            View::new(&self.documents[1], new),
        );
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
        let (union_before, union_now) = (a.pure_union(), b.pure_union());
        let has_union =
            |view: &View<'a>| !(view.unions("anyOf").is_empty() && view.unions("oneOf").is_empty());
        if union_before.is_some() != union_now.is_some() && !(has_union(&a) && has_union(&b)) {
            self.one_against_many(
                union_before.or(union_now).unwrap_or((&[], false)),
                union_before.is_some(),
                old,
                new,
            );
            return self.words(&a, &b);
        }
        self.types(&a, &b);
        self.values(&a, &b);
        self.bounds(&a, &b);
        self.texts(&a, &b);
        self.properties(&a, &b);
        self.items(&a, &b);
        for (key, added, removed, step) in INNER {
            self.inner(key, [added, removed], step, &a, &b);
        }
        self.unions(&a, &b);
        self.all_of(&a, &b);
        self.conditions(&a, &b);
        self.words(&a, &b);
    }

    fn types(&mut self, a: &View<'a>, b: &View<'a>) {
        let (old, new) = (a.types(&self.documents[0]), b.types(&self.documents[1]));
        let show = |types: &Option<BTreeSet<&str>>| {
            types.as_ref().map_or("any".into(), |types| {
                types.iter().copied().collect::<Vec<_>>().join(" or ")
            })
        };
        let detail = || format!("{} to {}", show(&old), show(&new));
        // Every integer is a number.
        let covers = |types: &BTreeSet<&str>, name: &str| {
            types.contains(name) || (name == "integer" && types.contains("number"))
        };
        let within = |inner: &Option<BTreeSet<&str>>, outer: &Option<BTreeSet<&str>>| match (inner, outer) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(inner), Some(outer)) => inner.iter().all(|name| covers(outer, name)),
        };
        let null =
            |types: &Option<BTreeSet<&str>>| types.as_ref().is_some_and(|types| types.contains("null"));
        let but_null = |types: &Option<BTreeSet<&'a str>>| {
            types.clone().map(|types| {
                types
                    .into_iter()
                    .filter(|name| *name != "null")
                    .collect::<BTreeSet<_>>()
            })
        };
        match (within(&new, &old), within(&old, &new)) {
            (true, true) => {}
            _ if old.is_some() && new.is_some() && but_null(&old) == but_null(&new) => {
                let (rule, levels) = if null(&new) {
                    ("became-nullable", [Info, Error])
                } else {
                    ("became-not-nullable", [Error, Info])
                };
                self.record(rule, levels, detail());
            }
            (false, true) => self.record("type-widened", [Info, Error], detail()),
            (true, false) => self.record("type-narrowed", [Error, Info], detail()),
            (false, false) => self.record("type-changed", [Error, Error], detail()),
        }
    }

    fn values(&mut self, a: &View<'a>, b: &View<'a>) {
        let show = |values: &[&Value]| {
            values
                .iter()
                .take(5)
                .map(|value| brief(value))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (had_const, has_const) = (a.get("const").is_some(), b.get("const").is_some());
        match (a.values(), b.values()) {
            (None, None) => {}
            (None, Some(new)) => {
                let rule = if has_const { "const-added" } else { "became-enum" };
                self.record(rule, [Error, Info], format!("only {}", show(&new)));
            }
            (Some(old), None) => {
                let (rule, output) = if had_const {
                    ("const-removed", Error)
                } else {
                    ("enum-removed", Warning)
                };
                self.record(rule, [Info, output], format!("no longer only {}", show(&old)));
            }
            (Some(old), Some(new)) => {
                let keys = |values: &[&Value]| -> HashSet<String> {
                    values.iter().map(|value| same(value)).collect()
                };
                let (old_keys, new_keys) = (keys(&old), keys(&new));
                let gone: Vec<&Value> = old
                    .into_iter()
                    .filter(|value| !new_keys.contains(&same(value)))
                    .collect();
                let come: Vec<&Value> = new
                    .into_iter()
                    .filter(|value| !old_keys.contains(&same(value)))
                    .collect();
                if had_const && has_const && !gone.is_empty() && !come.is_empty() {
                    return self.record(
                        "const-changed",
                        [Error, Error],
                        format!("{} to {}", show(&gone), show(&come)),
                    );
                }
                if !gone.is_empty() {
                    self.record("enum-value-removed", [Error, Info], show(&gone));
                }
                if !come.is_empty() {
                    self.record("enum-value-added", [Info, Warning], show(&come));
                }
            }
        }
    }

    fn bounds(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, is_lower) in COUNTS {
            let limits = |part: &'a Map<String, Value>| -> Vec<(&'a Number, bool)> {
                // At least none is no bound.
                number(part, key)
                    .into_iter()
                    .filter(|number| !(is_lower && number.as_f64() == Some(0.0)))
                    .map(|number| (number, false))
                    .collect()
            };
            self.bound(
                key,
                is_lower,
                [a.bound(is_lower, limits), b.bound(is_lower, limits)],
                false,
            );
        }
        let integers = |view: &View<'a>, idx: usize| {
            view.types(&self.documents[idx])
                .is_some_and(|types| types.iter().all(|name| *name == "integer"))
        };
        let whole = integers(a, 0) && integers(b, 1);
        for (key, exclusive, is_lower) in [
            ("minimum", "exclusiveMinimum", true),
            ("maximum", "exclusiveMaximum", false),
        ] {
            let limits = |part: &'a Map<String, Value>| -> Vec<(&'a Number, bool)> {
                // Drafts before 6 wrote `exclusiveMinimum: true`.
                let is_out = part.get(exclusive) == Some(&Value::Bool(true));
                number(part, key)
                    .map(|number| (number, is_out))
                    .into_iter()
                    .chain(number(part, exclusive).map(|number| (number, true)))
                    .collect()
            };
            self.bound(
                key,
                is_lower,
                [a.bound(is_lower, limits), b.bound(is_lower, limits)],
                whole,
            );
        }
        self.how_many_contained(a, b);
        self.multiples(a, b);
        let unique = |view: &View<'a>| view.says("uniqueItems", &Value::Bool(true));
        match (unique(a), unique(b)) {
            (false, true) => self.record("unique-items-added", [Error, Info], "items must differ"),
            (true, false) => self.record("unique-items-removed", [Info, Error], "items may be alike"),
            _ => {}
        }
    }

    /// A bound is a number and whether the number itself is out.
    fn bound(&mut self, key: &str, is_lower: bool, [old, new]: [Option<(&'a Number, bool)>; 2], whole: bool) {
        let show = |bound: Option<(&Number, bool)>| {
            bound.map_or("none".into(), |(number, out)| {
                format!("{number}{}", if out { " (excluded)" } else { "" })
            })
        };
        let detail = format!("{key} {} to {}", show(old), show(new));
        // Above 0 is from 1 on, where only whole numbers come.
        let included = |(number, out): (&Number, bool)| {
            number.as_i128().filter(|_| whole).map(|n| {
                if !out {
                    n
                } else if is_lower {
                    n + 1
                } else {
                    n - 1
                }
            })
        };
        match (old, new) {
            (None, Some(_)) => self.record("limit-set", [Warning, Info], detail),
            (Some(_), None) => self.record("limit-removed", [Info, Error], detail),
            (Some(old), Some(new)) if included(old).is_some() && included(old) == included(new) => {}
            (Some(old), Some(new)) if is_tighter(is_lower, new, old) => {
                self.record("limit-tightened", [Error, Info], detail)
            }
            (Some(old), Some(new)) if is_tighter(is_lower, old, new) => {
                self.record("limit-loosened", [Info, Error], detail)
            }
            _ => {}
        }
    }

    /// `minContains` and `maxContains` mean something beside `contains` only; then at least one is asked for unless something else is said.
    fn how_many_contained(&mut self, a: &View<'a>, b: &View<'a>) {
        let counts = |view: &View<'a>| {
            let count = |key: &str| view.get(key).and_then(Value::as_u64);
            let (least, most) = (
                count("minContains").unwrap_or(1),
                count("maxContains").unwrap_or(u64::MAX),
            );
            (!view.schemas("contains").is_empty()).then_some((least, most))
        };
        let (Some(old), Some(new)) = (counts(a), counts(b)) else {
            return;
        };
        if new.0 > old.0 || new.1 < old.1 {
            self.record("limit-tightened", [Error, Info], "items that must be contained");
        }
        if new.0 < old.0 || new.1 > old.1 {
            self.record("limit-loosened", [Info, Error], "items that must be contained");
        }
    }

    fn multiples(&mut self, a: &View<'a>, b: &View<'a>) {
        let of = |view: &View<'a>| -> Vec<f64> {
            view.all("multipleOf")
                .filter_map(Value::as_f64)
                .filter(|by| *by > 0.0)
                .collect()
        };
        let (old, new) = (of(a), of(b));
        // Thirds of decimals are not whole in binary.
        let divides = |by: f64, of: f64| ((of / by) - (of / by).round()).abs() < 1e-9;
        let needs_more = new.iter().any(|by| !old.iter().any(|of| divides(*by, *of)));
        let needs_less = old.iter().any(|by| !new.iter().any(|of| divides(*by, *of)));
        let rule = match (old.is_empty(), new.is_empty()) {
            (true, false) => "multiple-of-added",
            (false, true) => "multiple-of-removed",
            _ => "multiple-of-changed",
        };
        if needs_more || needs_less {
            let level = |is: bool| if is { Error } else { Info };
            self.record(
                rule,
                [level(needs_more), level(needs_less)],
                format!("multiples of {old:?} to {new:?}"),
            );
        }
    }

    fn texts(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, [added, changed, removed], levels) in [
            (
                "pattern",
                ["pattern-added", "pattern-changed", "pattern-removed"],
                [Error, Warning, Info],
            ),
            (
                "format",
                ["format-added", "format-changed", "format-removed"],
                [Warning, Warning, Info],
            ),
            (
                "contentEncoding",
                ["content-added", "content-changed", "content-removed"],
                [Warning, Warning, Info],
            ),
            (
                "contentMediaType",
                ["content-added", "content-changed", "content-removed"],
                [Warning, Warning, Info],
            ),
        ] {
            let of =
                |view: &View<'a>| -> BTreeSet<&'a str> { view.all(key).filter_map(Value::as_str).collect() };
            let (old, new) = (of(a), of(b));
            let detail = || format!("{key} {} to {}", show_set(&old), show_set(&new));
            if old == new {
            } else if old.is_subset(&new) {
                self.record(added, [levels[0], Info], detail());
            } else if new.is_subset(&old) {
                self.record(removed, [levels[2], Info], detail());
            } else {
                self.record(changed, [levels[1], Info], detail());
            }
        }
    }

    fn properties(&mut self, a: &View<'a>, b: &View<'a>) {
        let (old, new) = (a.entries("properties"), b.entries("properties"));
        let (old_required, new_required) = (a.texts("required"), b.texts("required"));
        let no = Value::Bool(false);
        let is_closed = b.says("additionalProperties", &no) || b.says("unevaluatedProperties", &no);
        let (others_before, others_now) = (
            a.schemas("additionalProperties"),
            b.schemas("additionalProperties"),
        );
        let names: BTreeSet<&str> = old
            .keys()
            .chain(new.keys())
            .chain(&old_required)
            .chain(&new_required)
            .copied()
            .collect();
        for name in names {
            let (was, is) = (old_required.contains(name), new_required.contains(name));
            self.path.push(name.replace('~', "~0").replace('/', "~1"));
            match (old.get(name), new.get(name)) {
                (None, Some(schemas)) if schemas.contains(&&Value::Bool(false)) => {
                    self.record(
                        "property-forbidden",
                        [Error, Info],
                        format!("`{name}` may not be given"),
                    );
                }
                (None, Some(_)) if is && !was => self.record(
                    "required-property-added",
                    [Error, Info],
                    format!("`{name}` must be given"),
                ),
                (None, Some(_)) if !was => self.record(
                    "optional-property-added",
                    [Info, Info],
                    format!("`{name}` may be given"),
                ),
                (Some(_), None) => {
                    // Where nothing else is allowed, what was sent is refused now.
                    let input = if is_closed { Error } else { Warning };
                    self.record(
                        "property-removed",
                        [input, if was { Error } else { Warning }],
                        format!("`{name}` is gone"),
                    );
                }
                _ if is && !was => self.record(
                    "became-required",
                    [Error, Info],
                    format!("`{name}` must be given"),
                ),
                _ if was && !is => self.record(
                    "became-optional",
                    [Info, Error],
                    format!("`{name}` may be missing"),
                ),
                _ => {}
            }
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => self.places(old, new),
                // What was declared must fit what holds for all others, and the other way round.
                (Some(old), None) if !is_closed && !others_now.is_empty() => self.places(old, &others_now),
                (None, Some(new)) if !others_before.is_empty() && !a.says("additionalProperties", &no) => {
                    self.places(&others_before, new)
                }
                _ => {}
            }
            self.path.pop();
        }
        self.additional(a, b);
        self.patterns(a, b);
        self.dependents(a, b);
    }

    fn additional(&mut self, a: &View<'a>, b: &View<'a>) {
        const KEY: &str = "additionalProperties";
        let no = Value::Bool(false);
        let (was_closed, is_closed) = (a.says(KEY, &no), b.says(KEY, &no));
        let (old, new) = (a.schemas(KEY), b.schemas(KEY));
        match (was_closed, is_closed) {
            (false, true) => {
                let level = if a.get(KEY).is_some() { Error } else { Warning };
                self.record(
                    "additional-properties-closed",
                    [level, Info],
                    "properties that are not declared are refused",
                );
            }
            (true, false) => self.record(
                "additional-properties-opened",
                [Info, Info],
                "properties that are not declared are allowed",
            ),
            (true, true) => {}
            (false, false) if old.is_empty() && !new.is_empty() && a.get(KEY).is_none() => {
                self.record(
                    "additional-properties-narrowed",
                    [Warning, Info],
                    "properties that are not declared have a schema",
                );
            }
            (false, false) if !(old.is_empty() && new.is_empty()) => self.below("{other}", &old, &new),
            _ => {}
        }
    }

    fn patterns(&mut self, a: &View<'a>, b: &View<'a>) {
        let (old, new) = (a.entries("patternProperties"), b.entries("patternProperties"));
        let no = Value::Bool(false);
        let is_closed = b.says("additionalProperties", &no) || b.says("unevaluatedProperties", &no);
        for pattern in old.keys().chain(new.keys()).copied().collect::<BTreeSet<&str>>() {
            match (old.get(pattern), new.get(pattern)) {
                (None, Some(_)) => self.record(
                    "pattern-properties-added",
                    [Error, Info],
                    format!("names like {pattern}"),
                ),
                (Some(_), None) => {
                    let input = if is_closed { Error } else { Info };
                    self.record(
                        "pattern-properties-removed",
                        [input, Error],
                        format!("names like {pattern}"),
                    );
                }
                (old, new) => self.below(
                    &format!("{{{pattern}}}"),
                    old.map_or(&[], Vec::as_slice),
                    new.map_or(&[], Vec::as_slice),
                ),
            }
        }
    }

    fn dependents(&mut self, a: &View<'a>, b: &View<'a>) {
        // Drafts before 2019-09 had one keyword for both.
        let of = |view: &View<'a>, key: &str| -> Vec<(&'a str, &'a Value)> {
            view.entries(key)
                .into_iter()
                .flat_map(|(name, values)| values.into_iter().map(move |value| (name, value)))
                .collect()
        };
        let needs = |view: &View<'a>| -> BTreeSet<(&'a str, String)> {
            let entries = of(view, "dependentRequired")
                .into_iter()
                .chain(of(view, "dependencies"));
            entries
                .flat_map(|(name, needed)| {
                    needed
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(move |other| (name, brief(other)))
                })
                .collect()
        };
        let (old, new) = (needs(a), needs(b));
        for (name, other) in new.difference(&old) {
            self.record(
                "dependent-required-added",
                [Error, Info],
                format!("with `{name}`, {other} must be given"),
            );
        }
        for (name, other) in old.difference(&new) {
            self.record(
                "dependent-required-removed",
                [Info, Error],
                format!("with `{name}`, {other} may be missing"),
            );
        }
        let schemas = |view: &View<'a>| -> HashMap<&'a str, Vec<&'a Value>> {
            let mut schemas: HashMap<&str, Vec<&Value>> = HashMap::new();
            let entries = of(view, "dependentSchemas")
                .into_iter()
                .chain(of(view, "dependencies"));
            for (name, schema) in entries.filter(|(_, schema)| !schema.is_array() && !is_anything(schema)) {
                schemas.entry(name).or_default().push(schema);
            }
            schemas
        };
        let (old, new) = (schemas(a), schemas(b));
        for name in old.keys().chain(new.keys()).copied().collect::<BTreeSet<&str>>() {
            match (old.get(name), new.get(name)) {
                (None, Some(_)) => {
                    self.record("dependent-schema-added", [Error, Info], format!("with `{name}`"))
                }
                (Some(_), None) => self.record(
                    "dependent-schema-removed",
                    [Info, Error],
                    format!("with `{name}`"),
                ),
                (old, new) => self.below(
                    &format!("{{with {name}}}"),
                    old.map_or(&[], Vec::as_slice),
                    new.map_or(&[], Vec::as_slice),
                ),
            }
        }
    }

    fn items(&mut self, a: &View<'a>, b: &View<'a>) {
        for idx in 0..a.n_prefix().max(b.n_prefix()) {
            let (old, new) = (a.item(idx), b.item(idx));
            match (old.is_empty(), new.is_empty()) {
                (true, true) => {}
                (true, false) => self.record(
                    "prefix-item-added",
                    [Error, Info],
                    format!("item {idx} has a schema"),
                ),
                (false, true) => self.record(
                    "prefix-item-removed",
                    [Info, Error],
                    format!("item {idx} has no schema"),
                ),
                _ => self.below(&format!("[{idx}]"), &old, &new),
            }
        }
        let (old, new) = (a.rest(), b.rest());
        match (old.is_empty(), new.is_empty()) {
            (true, true) => {}
            (true, false) => self.record("items-added", [Error, Info], "items have a schema"),
            (false, true) => self.record("items-removed", [Info, Error], "items have no schema"),
            _ => self.below("[]", &old, &new),
        }
    }

    fn inner(
        &mut self,
        key: &str,
        [added, removed]: [&'static str; 2],
        step: &str,
        a: &View<'a>,
        b: &View<'a>,
    ) {
        let schemas = |view: &View<'a>| -> Vec<&'a Value> {
            let says_nothing = |schema: &&Value| {
                key == "propertyNames"
                    && schema.as_object().is_some_and(|fields| {
                        fields.len() == 1 && fields.get("type") == Some(&"string".into())
                    })
            };
            let none_is_enough = key == "contains"
                && view.get("minContains") == Some(&0.into())
                && view.get("maxContains").is_none();
            view.schemas(key)
                .into_iter()
                .filter(|schema| !says_nothing(schema) && !none_is_enough)
                .collect()
        };
        let (old, new) = (schemas(a), schemas(b));
        match (old.is_empty(), new.is_empty()) {
            (true, true) => {}
            (true, false) => self.record(added, [Error, Info], key),
            (false, true) => self.record(removed, [Info, Error], key),
            _ => self.below(step, &old, &new),
        }
    }

    /// One shape on one side, several on the other.
    fn one_against_many(
        &mut self,
        (branches, is_one): (&'a [Value], bool),
        was_union: bool,
        old: &[&'a Value],
        new: &[&'a Value],
    ) {
        // What had to be taken must be taken still, whichever branch it was; what may come must have been among the branches.
        let every = was_union == (self.side == Side::Input);
        for (idx, branch) in branches.iter().enumerate().filter(|_| every) {
            let step = format!("{{branch {idx}}}");
            if was_union {
                self.below(&step, &[branch], new)
            } else {
                self.below(&step, old, &[branch])
            }
        }
        let (rule, detail) = if was_union {
            ("union-removed", "several shapes to one")
        } else {
            ("union-added", "one shape to several")
        };
        let mut level = Info;
        if !every {
            level = branches
                .iter()
                .map(|branch| {
                    if was_union {
                        self.worst(&[branch], new)
                    } else {
                        self.worst(old, &[branch])
                    }
                })
                .min()
                .unwrap_or(Error);
            // Exactly one shape: what fits two is refused.
            if is_one && !was_union && !self.are_disjoint(branches, 1) {
                level = level.max(Warning);
            }
        }
        self.record(rule, [level, level], detail);
    }

    /// The worst of a change, tried apart.
    fn worst(&mut self, old: &[&'a Value], new: &[&'a Value]) -> Level {
        if self.tries > 4 || self.fuel == 0 {
            return Error;
        }
        let mut walk = Walk {
            documents: self.documents,
            side: self.side,
            seen: HashSet::new(),
            changes: Vec::new(),
            path: self.path.clone(),
            fuel: self.fuel,
            tries: self.tries + 1,
        };
        walk.places(old, new);
        self.fuel = walk.fuel;
        if walk.fuel == 0 {
            Error
        } else {
            walk.changes
                .iter()
                .map(|change| change.level)
                .max()
                .unwrap_or(Info)
        }
    }

    /// Whether no value can fit two branches, as far as their types say.
    fn are_disjoint(&self, branches: &[Value], document: usize) -> bool {
        let document = &self.documents[document];
        let mut seen: BTreeSet<String> = BTreeSet::new();
        branches.iter().all(|branch| {
            let Some(types) = View::new(document, &[branch])
                .types(document)
                .map(|types| types.into_iter().map(str::to_owned).collect::<Vec<_>>())
            else {
                return false;
            };
            // Every integer is a number.
            types
                .into_iter()
                .all(|name| seen.insert(if name == "integer" { "number".into() } else { name }))
        })
    }

    fn unions(&mut self, a: &View<'a>, b: &View<'a>) {
        // Unions of nothing but types, or of values, were compared as such; exactly one of types that overlap is more than that.
        let all: Vec<&'a [Value]> = [a, b]
            .iter()
            .flat_map(|view| view.unions("anyOf").into_iter().chain(view.unions("oneOf")))
            .collect();
        let only_types = all.iter().all(|union| is_union_of_types(union));
        let document_of = |view: &View<'a>| usize::from(std::ptr::eq(view, b));
        let of = |walk: &Self, view: &View<'a>, key: &str| -> Vec<&'a [Value]> {
            let is_said = |union: &&'a [Value]| {
                values_of_union(union).is_some()
                    || (only_types && (key == "anyOf" || walk.are_disjoint(union, document_of(view))))
            };
            view.unions(key)
                .into_iter()
                .filter(|union| !is_said(union))
                .collect()
        };
        let [(any_before, one_before), (any_now, one_now)] =
            [a, b].map(|view| (of(self, view, "anyOf"), of(self, view, "oneOf")));
        let (kind_before, kind_now) = (any_before.len() > one_before.len(), any_now.len() > one_now.len());
        if any_before.len() + one_before.len() == 1
            && any_now.len() + one_now.len() == 1
            && kind_before != kind_now
        {
            let branches = if kind_before { one_now[0] } else { one_before[0] };
            if !self.are_disjoint(branches, usize::from(kind_before)) {
                let (rule, levels) = if kind_before {
                    ("any-of-became-one-of", [Error, Info])
                } else {
                    ("one-of-became-any-of", [Info, Error])
                };
                self.record(rule, levels, "what fits several branches");
            }
            return self.union(
                if kind_before { any_before[0] } else { one_before[0] },
                if kind_now { any_now[0] } else { one_now[0] },
            );
        }
        for (old, new) in [(any_before, any_now), (one_before, one_now)] {
            for (old, new) in old.iter().zip(&new) {
                self.union(old, new);
            }
            for union in new.iter().skip(old.len()) {
                self.record("union-added", [Error, Info], format!("{} branches", union.len()));
            }
            for union in old.iter().skip(new.len()) {
                self.record(
                    "union-removed",
                    [Info, Error],
                    format!("{} branches", union.len()),
                );
            }
        }
    }

    fn union(&mut self, old: &'a [Value], new: &'a [Value]) {
        let Matched {
            same,
            old_left,
            mut new_left,
        } = Matched::new(&old.iter().collect::<Vec<_>>(), &new.iter().collect::<Vec<_>>());
        // What stays in both by its words may still point to other things.
        for (old, new) in same {
            self.below("{branch}", &[old], &[new]);
        }
        let mut gone = Vec::new();
        for (idx, old) in old_left.into_iter().enumerate() {
            if new_left.is_empty() {
                gone.push(old);
                continue;
            }
            // The branch it fits best; the next one where there are too many to try.
            let place = if new_left.len() > MAX_PAIRED {
                0
            } else {
                (0..new_left.len())
                    .min_by_key(|at| self.worst(&[old], &[new_left[*at]]))
                    .unwrap_or(0)
            };
            let partner = new_left.remove(place);
            self.below(&format!("{{branch {idx}}}"), &[old], &[partner]);
        }
        for branch in gone {
            self.record("branch-removed", [Error, Info], brief(branch));
        }
        for branch in new_left {
            self.record("branch-added", [Info, Error], brief(branch));
        }
    }

    /// Branches of `allOf` were compared with everything else that holds; that something more must hold is said as well.
    fn all_of(&mut self, a: &View<'a>, b: &View<'a>) {
        let Matched {
            old_left, new_left, ..
        } = Matched::new(&a.branches(), &b.branches());
        const WORDS: [&str; 9] = [
            "$comment",
            "default",
            "deprecated",
            "description",
            "example",
            "examples",
            "readOnly",
            "title",
            "writeOnly",
        ];
        let constrains = |branch: &Value| match branch {
            Value::Object(fields) => fields.keys().any(|key| !WORDS.contains(&key.as_str())),
            other => other != &Value::Bool(true),
        };
        let says_more = |branch: &Value, other: &View<'a>| match branch {
            Value::Object(fields) => fields
                .iter()
                .any(|(key, value)| !WORDS.contains(&key.as_str()) && !other.says(key, value)),
            other => other != &Value::Bool(true),
        };
        let count = |branches: &[&Value], other: &View<'a>| {
            branches.iter().filter(|branch| says_more(branch, other)).count()
        };
        let branches = |view: &View<'a>| {
            view.branches()
                .into_iter()
                .filter(|branch| constrains(branch))
                .count()
        };
        // Branches that changed were compared with all that holds; only those that came or went are told here.
        let (before, now) = (branches(a), branches(b));
        if now > before && count(&new_left, a) > 0 {
            self.record(
                "all-of-added",
                [Error, Info],
                format!("{} more must hold", now - before),
            );
        } else if before > now && count(&old_left, b) > 0 {
            self.record(
                "all-of-removed",
                [Info, Error],
                format!("{} less must hold", before - now),
            );
        }
    }

    /// What depends on other values: compared as text with its references written out, for whether it allows more or less nobody can tell.
    fn conditions(&mut self, a: &View<'a>, b: &View<'a>) {
        let conditions = |view: &View<'a>, idx: usize, key: &str| -> BTreeSet<String> {
            let document = &self.documents[idx];
            match key {
                "not" => view
                    .all("not")
                    .filter(|schema| **schema != Value::Bool(false))
                    .map(|schema| document.text(schema))
                    .collect(),
                _ => {
                    let text = |schema: Option<&'a Value>| {
                        schema.map_or_else(String::new, |schema| document.text(schema))
                    };
                    view.conditions()
                        .into_iter()
                        .map(|[condition, then, otherwise]| {
                            format!("{} then {} else {}", text(condition), text(then), text(otherwise))
                        })
                        .collect()
                }
            }
        };
        for (key, [added, changed, removed]) in [
            ("not", ["not-added", "not-changed", "not-removed"]),
            (
                "if",
                ["condition-added", "condition-changed", "condition-removed"],
            ),
        ] {
            let (old, new) = (conditions(a, 0, key), conditions(b, 1, key));
            match (old.is_empty(), new.is_empty()) {
                (true, false) => self.record(added, [Error, Info], key),
                (false, true) => self.record(removed, [Info, Error], key),
                _ if old != new => self.record(changed, [Error, Error], key),
                _ => {}
            }
        }
    }

    /// What is said to models and people, and what nobody checks.
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

fn number<'a>(part: &'a Map<String, Value>, key: &str) -> Option<&'a Number> {
    match part.get(key) {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}

fn show_set(texts: &BTreeSet<&str>) -> String {
    if texts.is_empty() {
        "none".into()
    } else {
        texts.iter().copied().collect::<Vec<_>>().join(" and ")
    }
}

/// Keywords that some rule looks at, or that say nothing of values.
const KNOWN: [&str; 63] = [
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
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// A value in few characters.
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
