//! What changed between two JSON Schemas, and whom it breaks: callers for what a tool takes, readers for what it gives.
//!
//! Every rule has an id that stays, a level a side, and a place. The rules are those of OpenAPI change checkers (oasdiff), for tools.

use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::view::{View, type_of};

/// Levels of nesting beyond which schemas are not compared.
const MAX_DEPTH: usize = 96;
/// Changes of one schema that are listed: more say nothing more.
const MAX_CHANGES: usize = 1_000;
/// Places of one schema that are compared.
const MAX_PLACES: usize = 100_000;

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
    let mut walk =
        Walk { roots: [old, new], side, seen: HashSet::new(), changes: Vec::new(), path: Vec::new(), fuel: MAX_PLACES, tries: 0 };
    walk.schemas(Some(old), Some(new));
    let mut changes = walk.changes;
    changes.sort();
    changes.dedup();
    changes.sort_by_key(|change| std::cmp::Reverse(change.level));
    changes
}

struct Walk<'a> {
    roots: [&'a Value; 2],
    side: Side,
    seen: HashSet<(usize, usize)>,
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
    fn of(old: &'a [Value], new: &'a [Value]) -> Self {
        let keyed =
            |branches: &'a [Value]| -> HashMap<String, &'a Value> { branches.iter().map(|branch| (branch.to_string(), branch)).collect() };
        let (of_old, of_new) = (keyed(old), keyed(new));
        let mut matched = Self { same: Vec::new(), old_left: Vec::new(), new_left: Vec::new() };
        for branch in old {
            match of_new.get(&branch.to_string()) {
                Some(other) => matched.same.push((branch, other)),
                None => matched.old_left.push(branch),
            }
        }
        matched.new_left.extend(new.iter().filter(|branch| !of_old.contains_key(&branch.to_string())));
        matched
    }
}

/// Lower bounds and upper bounds: the keyword, whether it is a lower one.
const BOUNDS: [(&str, bool); 8] = [
    ("minLength", true),
    ("maxLength", false),
    ("minItems", true),
    ("maxItems", false),
    ("minProperties", true),
    ("maxProperties", false),
    ("minContains", true),
    ("maxContains", false),
];

/// Keywords that hold one schema and allow everything when they are absent.
const INNER: [(&str, &str, &str, &str); 4] = [
    ("propertyNames", "property-names-added", "property-names-removed", "{key}"),
    ("contains", "contains-added", "contains-removed", "[some]"),
    ("unevaluatedProperties", "unevaluated-properties-added", "unevaluated-properties-removed", "{unevaluated}"),
    ("unevaluatedItems", "unevaluated-items-added", "unevaluated-items-removed", "[unevaluated]"),
];

use Level::{Error, Info, Warning};

impl<'a> Walk<'a> {
    /// Notes a change with its level on the input side and on the output side.
    fn note(&mut self, rule: &'static str, [input, output]: [Level; 2], detail: impl Into<String>) {
        let level = if self.side == Side::Input { input } else { output };
        // What is not listed for lack of room is never an error.
        if self.changes.len() < MAX_CHANGES || (level == Error && self.changes.len() < 2 * MAX_CHANGES) {
            let path = if self.path.is_empty() { "/".to_owned() } else { format!("/{}", self.path.join("/")) };
            self.changes.push(SchemaChange { rule, path, level, detail: detail.into() });
        }
    }

    fn below(&mut self, step: impl Into<String>, old: Option<&'a Value>, new: Option<&'a Value>) {
        // Property names may hold what separates steps.
        self.path.push(step.into().replace('~', "~0").replace('/', "~1"));
        self.schemas(old, new);
        self.path.pop();
    }

    /// Compares two places; `None` allows everything.
    fn schemas(&mut self, old: Option<&'a Value>, new: Option<&'a Value>) {
        static ANY: Value = Value::Bool(true);
        let (old, new) = (old.unwrap_or(&ANY), new.unwrap_or(&ANY));
        let identity = (std::ptr::from_ref(old) as usize, std::ptr::from_ref(new) as usize);
        if !self.seen.insert(identity) {
            return;
        }
        self.fuel = self.fuel.saturating_sub(1);
        if self.path.len() > MAX_DEPTH || self.fuel == 0 {
            self.note("too-deep", [Warning, Warning], "not compared any deeper");
            return;
        }
        let (a, b) = (View::of(self.roots[0], old), View::of(self.roots[1], new));
        if let Some(reference) = b.unresolved.or(a.unresolved) {
            if a.unresolved != b.unresolved {
                self.note("unresolvable-ref", [Error, Error], format!("`{reference}` leads nowhere in this document"));
            }
            return;
        }
        if a.is_false != b.is_false {
            let (rule, levels) = if b.is_false { ("nothing-allowed", [Error, Info]) } else { ("something-allowed", [Info, Error]) };
            self.note(rule, levels, "`false` allows nothing");
            return;
        }
        if a.is_pure_union() != b.is_pure_union() {
            self.one_against_many((&a, old), (&b, new));
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
        let (old, new) = (a.types(self.roots[0]), b.types(self.roots[1]));
        let show = |types: &Option<BTreeSet<&str>>| {
            types.as_ref().map_or("any".into(), |types| types.iter().copied().collect::<Vec<_>>().join(" or "))
        };
        let detail = || format!("{} to {}", show(&old), show(&new));
        // Every integer is a number.
        let covers = |types: &BTreeSet<&str>, name: &str| types.contains(name) || (name == "integer" && types.contains("number"));
        let within = |inner: &Option<BTreeSet<&str>>, outer: &Option<BTreeSet<&str>>| match (inner, outer) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(inner), Some(outer)) => inner.iter().all(|name| covers(outer, name)),
        };
        let null = |types: &Option<BTreeSet<&str>>| types.as_ref().is_some_and(|types| types.contains("null"));
        let but_null = |types: &Option<BTreeSet<&'a str>>| {
            types.clone().map(|types| types.into_iter().filter(|name| *name != "null").collect::<BTreeSet<_>>())
        };
        match (within(&new, &old), within(&old, &new)) {
            (true, true) => {}
            _ if old.is_some() && new.is_some() && but_null(&old) == but_null(&new) => {
                let (rule, levels) = if null(&new) { ("became-nullable", [Info, Error]) } else { ("became-not-nullable", [Error, Info]) };
                self.note(rule, levels, detail());
            }
            (false, true) => self.note("type-widened", [Info, Error], detail()),
            (true, false) => self.note("type-narrowed", [Error, Info], detail()),
            (false, false) => self.note("type-changed", [Error, Error], detail()),
        }
    }

    fn values(&mut self, a: &View<'a>, b: &View<'a>) {
        let show = |values: &[&Value]| values.iter().take(5).map(|value| brief(value)).collect::<Vec<_>>().join(", ");
        match (a.values(), b.values()) {
            (None, None) => {}
            (None, Some(new)) => {
                let rule = if b.get("const").is_some() { "const-added" } else { "became-enum" };
                self.note(rule, [Error, Info], format!("only {}", show(&new)));
            }
            (Some(old), None) => {
                let (rule, output) = if a.get("const").is_some() { ("const-removed", Error) } else { ("enum-removed", Warning) };
                self.note(rule, [Info, output], format!("no longer only {}", show(&old)));
            }
            (Some(old), Some(new)) => {
                let (old_keys, new_keys): (HashSet<String>, HashSet<String>) =
                    (old.iter().map(|v| same_numbers(v)).collect(), new.iter().map(|v| same_numbers(v)).collect());
                let gone: Vec<&Value> = old.into_iter().filter(|value| !new_keys.contains(&same_numbers(value))).collect();
                let come: Vec<&Value> = new.into_iter().filter(|value| !old_keys.contains(&same_numbers(value))).collect();
                if a.get("const").is_some() && b.get("const").is_some() {
                    if !come.is_empty() {
                        self.note("const-changed", [Error, Error], format!("{} to {}", show(&gone), show(&come)));
                    }
                    return;
                }
                if !gone.is_empty() {
                    self.note("enum-value-removed", [Error, Info], show(&gone));
                }
                if !come.is_empty() {
                    self.note("enum-value-added", [Info, Warning], show(&come));
                }
            }
        }
    }

    fn bounds(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, is_lower) in BOUNDS {
            let bound = |view: &View<'a>| {
                view.get(key).and_then(Value::as_f64).filter(|value| !(is_lower && *value == 0.0)).map(|value| (value, false))
            };
            self.bound(key, is_lower, bound(a), bound(b));
        }
        self.bound("minimum", true, limit(a, true), limit(b, true));
        self.bound("maximum", false, limit(a, false), limit(b, false));
        match (a.get("multipleOf").and_then(Value::as_f64), b.get("multipleOf").and_then(Value::as_f64)) {
            (None, Some(new)) => self.note("multiple-of-added", [Error, Info], format!("multiples of {new}")),
            (Some(old), None) => self.note("multiple-of-removed", [Info, Error], format!("multiples of {old}")),
            (Some(old), Some(new)) if old != new => {
                let is_multiple = |of: f64, by: f64| by > 0.0 && (of / by).fract() == 0.0;
                let levels = [if is_multiple(old, new) { Info } else { Error }, if is_multiple(new, old) { Info } else { Error }];
                self.note("multiple-of-changed", levels, format!("{old} to {new}"));
            }
            _ => {}
        }
        let unique = |view: &View<'a>| view.get("uniqueItems") == Some(&Value::Bool(true));
        match (unique(a), unique(b)) {
            (false, true) => self.note("unique-items-added", [Error, Info], "items must differ"),
            (true, false) => self.note("unique-items-removed", [Info, Error], "items may be alike"),
            _ => {}
        }
    }

    /// A bound is a value and whether the value itself is out.
    fn bound(&mut self, key: &str, is_lower: bool, old: Option<(f64, bool)>, new: Option<(f64, bool)>) {
        let show = |bound: Option<(f64, bool)>| {
            bound.map_or("none".into(), |(value, out)| format!("{value}{}", if out { " (excluded)" } else { "" }))
        };
        let detail = format!("{key} {} to {}", show(old), show(new));
        match (old, new) {
            (None, Some(_)) => self.note("limit-set", [Warning, Info], detail),
            (Some(_), None) => self.note("limit-removed", [Info, Error], detail),
            (Some(old), Some(new)) if old != new => {
                let is_tighter = if is_lower { new > old } else { new.0 < old.0 || (new.0 == old.0 && new.1) };
                let (rule, levels) = if is_tighter { ("limit-tightened", [Error, Info]) } else { ("limit-loosened", [Info, Error]) };
                self.note(rule, levels, detail);
            }
            _ => {}
        }
    }

    fn texts(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, [added, changed, removed], levels) in [
            ("pattern", ["pattern-added", "pattern-changed", "pattern-removed"], [Error, Warning, Info]),
            ("format", ["format-added", "format-changed", "format-removed"], [Warning, Warning, Info]),
            ("contentEncoding", ["content-added", "content-changed", "content-removed"], [Warning, Warning, Info]),
            ("contentMediaType", ["content-added", "content-changed", "content-removed"], [Warning, Warning, Info]),
        ] {
            match (a.get(key), b.get(key)) {
                (None, Some(new)) => self.note(added, [levels[0], Info], format!("{key} {}", brief(new))),
                (Some(old), None) => self.note(removed, [levels[2], Info], format!("{key} {}", brief(old))),
                (Some(old), Some(new)) if old != new => {
                    self.note(changed, [levels[1], Info], format!("{key} {} to {}", brief(old), brief(new)))
                }
                _ => {}
            }
        }
    }

    fn properties(&mut self, a: &View<'a>, b: &View<'a>) {
        let (old, new) = (a.entries("properties"), b.entries("properties"));
        let (old_required, new_required) = (a.texts("required"), b.texts("required"));
        let is_closed = |view: &View<'a>| view.get("additionalProperties") == Some(&Value::Bool(false));
        let names: BTreeSet<&str> =
            old.keys().chain(new.keys()).copied().chain(old_required.iter().copied()).chain(new_required.iter().copied()).collect();
        for name in names {
            let (was, is) = (old_required.contains(name), new_required.contains(name));
            let step = name.replace('~', "~0").replace('/', "~1");
            self.path.push(step);
            match (old.get(name), new.get(name)) {
                (None, Some(_)) if is && !was => self.note("required-property-added", [Error, Info], format!("`{name}` must be given")),
                (None, Some(_)) if !was => self.note("optional-property-added", [Info, Info], format!("`{name}` may be given")),
                (Some(_), None) => {
                    // Where nothing else is allowed, what was sent is refused now.
                    let input = if is_closed(b) { Error } else { Warning };
                    self.note("property-removed", [input, if was { Error } else { Warning }], format!("`{name}` is gone"));
                }
                _ if is && !was => self.note("became-required", [Error, Info], format!("`{name}` must be given")),
                _ if was && !is => self.note("became-optional", [Info, Error], format!("`{name}` may be missing")),
                _ => {}
            }
            if let (Some(old), Some(new)) = (old.get(name), new.get(name)) {
                self.schemas(Some(old), Some(new));
            }
            self.path.pop();
        }
        self.additional(a, b);
        self.patterns(a, b);
        self.dependents(a, b);
    }

    fn additional(&mut self, a: &View<'a>, b: &View<'a>) {
        match (a.get("additionalProperties"), b.get("additionalProperties")) {
            (None, Some(Value::Bool(false))) => {
                self.note("additional-properties-closed", [Warning, Info], "properties that are not declared are refused")
            }
            (old, Some(Value::Bool(false))) if old != Some(&Value::Bool(false)) => {
                self.note("additional-properties-closed", [Error, Info], "properties that are not declared are refused");
            }
            (Some(Value::Bool(false)), _) if b.get("additionalProperties") != Some(&Value::Bool(false)) => {
                self.note("additional-properties-opened", [Info, Info], "properties that are not declared are allowed");
            }
            (old, new) if old != new || old.is_some_and(Value::is_object) => self.below("{other}", old, new),
            _ => {}
        }
    }

    fn patterns(&mut self, a: &View<'a>, b: &View<'a>) {
        let (old, new) = (a.entries("patternProperties"), b.entries("patternProperties"));
        for pattern in old.keys().chain(new.keys()).copied().collect::<BTreeSet<&str>>() {
            match (old.get(pattern), new.get(pattern)) {
                (None, Some(_)) => self.note("pattern-properties-added", [Error, Info], format!("names like {pattern}")),
                (Some(_), None) => self.note("pattern-properties-removed", [Info, Error], format!("names like {pattern}")),
                (old, new) => self.below(format!("{{{pattern}}}"), old.copied(), new.copied()),
            }
        }
    }

    fn dependents(&mut self, a: &View<'a>, b: &View<'a>) {
        // Drafts before 2019-09 had one keyword for both.
        let needs = |view: &View<'a>| -> BTreeSet<(&'a str, String)> {
            let entries = view.entries("dependentRequired").into_iter().chain(view.entries("dependencies"));
            entries.flat_map(|(name, needed)| needed.as_array().into_iter().flatten().map(move |other| (name, brief(other)))).collect()
        };
        let (old, new) = (needs(a), needs(b));
        for (name, other) in new.difference(&old) {
            self.note("dependent-required-added", [Error, Info], format!("with `{name}`, {other} must be given"));
        }
        for (name, other) in old.difference(&new) {
            self.note("dependent-required-removed", [Info, Error], format!("with `{name}`, {other} may be missing"));
        }
        let schemas = |view: &View<'a>| {
            let mut schemas = view.entries("dependentSchemas");
            schemas.extend(view.entries("dependencies").into_iter().filter(|(_, schema)| !schema.is_array()));
            schemas
        };
        let (old, new) = (schemas(a), schemas(b));
        for name in old.keys().chain(new.keys()).copied().collect::<BTreeSet<&str>>() {
            match (old.get(name), new.get(name)) {
                (None, Some(_)) => self.note("dependent-schema-added", [Error, Info], format!("with `{name}`")),
                (Some(_), None) => self.note("dependent-schema-removed", [Info, Error], format!("with `{name}`")),
                (old, new) => self.below(format!("{{with {name}}}"), old.copied(), new.copied()),
            }
        }
    }

    fn items(&mut self, a: &View<'a>, b: &View<'a>) {
        for idx in 0..a.prefix().len().max(b.prefix().len()) {
            match (a.item(idx), b.item(idx)) {
                (None, Some(_)) => self.note("prefix-item-added", [Error, Info], format!("item {idx} has a schema")),
                (Some(_), None) => self.note("prefix-item-removed", [Info, Error], format!("item {idx} has no schema")),
                (old, new) => self.below(format!("[{idx}]"), old, new),
            }
        }
        match (a.rest(), b.rest()) {
            (None, None) => {}
            (None, Some(Value::Bool(true))) | (Some(Value::Bool(true)), None) => {}
            (None, Some(_)) => self.note("items-added", [Error, Info], "items have a schema"),
            (Some(_), None) => self.note("items-removed", [Info, Error], "items have no schema"),
            (old, new) => self.below("[]", old, new),
        }
    }

    fn inner(&mut self, key: &str, [added, removed]: [&'static str; 2], step: &str, a: &View<'a>, b: &View<'a>) {
        let schema = |view: &View<'a>| view.get(key).filter(|schema| **schema != Value::Bool(true));
        match (schema(a), schema(b)) {
            (None, None) => {}
            (None, Some(_)) => self.note(added, [Error, Info], key),
            (Some(_), None) => self.note(removed, [Info, Error], key),
            (old, new) => self.below(step, old, new),
        }
    }

    /// One shape on one side, several on the other.
    fn one_against_many(&mut self, (a, old): (&View<'a>, &'a Value), (b, new): (&View<'a>, &'a Value)) {
        let was_union = a.is_pure_union();
        let branches = if was_union { a } else { b }.union().unwrap_or(&[]);
        // What had to be taken must be taken still, whichever branch it was; what may come must have been among the branches.
        let every = was_union == (self.side == Side::Input);
        for (idx, branch) in branches.iter().enumerate().filter(|_| every) {
            let step = format!("{{branch {idx}}}");
            if was_union { self.below(step, Some(branch), Some(new)) } else { self.below(step, Some(old), Some(branch)) }
        }
        let (rule, detail) = if was_union { ("union-removed", "several shapes to one") } else { ("union-added", "one shape to several") };
        let fits = every || branches.iter().any(|branch| if was_union { self.fits(branch, new) } else { self.fits(old, branch) });
        let level = if fits { Info } else { Error };
        self.note(rule, [level, level], detail);
    }

    /// Whether a change breaks nobody, tried apart.
    fn fits(&mut self, old: &'a Value, new: &'a Value) -> bool {
        if self.tries > 4 || self.fuel == 0 {
            return false;
        }
        let mut walk = Walk {
            roots: self.roots,
            side: self.side,
            seen: HashSet::new(),
            changes: Vec::new(),
            path: self.path.clone(),
            fuel: self.fuel,
            tries: self.tries + 1,
        };
        walk.schemas(Some(old), Some(new));
        self.fuel = walk.fuel;
        walk.changes.iter().all(|change| change.level < Error) && walk.fuel > 0
    }

    fn unions(&mut self, a: &View<'a>, b: &View<'a>) {
        // Unions of nothing but types were compared as types.
        if a.is_union_of_types() && b.is_union_of_types() {
            return;
        }
        let (old, new) = (a.union().unwrap_or(&[]), b.union().unwrap_or(&[]));
        match (old.is_empty(), new.is_empty()) {
            (true, true) => return,
            // From one shape to several, or back: the one shape is a branch that says nothing here.
            (true, false) => return self.note("union-added", [Error, Info], format!("{} branches", new.len())),
            (false, true) => return self.note("union-removed", [Info, Error], format!("{} branches", old.len())),
            _ => {}
        }
        let Matched { same, old_left, new_left } = Matched::of(old, new);
        // What stays in both by its words may still point to other things.
        for (old, new) in same {
            self.below("{branch}", Some(old), Some(new));
        }
        for (idx, (old, new)) in old_left.iter().zip(&new_left).enumerate() {
            self.below(format!("{{branch {idx}}}"), Some(old), Some(new));
        }
        let n = old_left.len().min(new_left.len());
        for branch in &old_left[n..] {
            self.note("branch-removed", [Error, Info], brief(branch));
        }
        for branch in &new_left[n..] {
            self.note("branch-added", [Info, Error], brief(branch));
        }
    }

    fn all_of(&mut self, a: &View<'a>, b: &View<'a>) {
        let Matched { same, old_left, new_left } = Matched::of(a.list("allOf"), b.list("allOf"));
        for (old, new) in same {
            self.below("{all}", Some(old), Some(new));
        }
        for (old, new) in old_left.iter().zip(&new_left) {
            self.below("{all}", Some(old), Some(new));
        }
        // A branch that says what stood there before adds nothing.
        let says_more = |branch: &Value, other: &View<'a>| {
            branch.as_object().is_none_or(|fields| fields.iter().any(|(key, value)| other.get(key) != Some(value)))
        };
        let n = old_left.len().min(new_left.len());
        for branch in new_left[n..].iter().filter(|branch| says_more(branch, a)) {
            self.note("all-of-added", [Error, Info], brief(branch));
        }
        for branch in old_left[n..].iter().filter(|branch| says_more(branch, b)) {
            self.note("all-of-removed", [Info, Error], brief(branch));
        }
    }

    /// What depends on other values: compared by its words, for whether it allows more or less nobody can tell.
    fn conditions(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, [added, changed, removed]) in
            [("not", ["not-added", "not-changed", "not-removed"]), ("if", ["condition-added", "condition-changed", "condition-removed"])]
        {
            let parts = |view: &View<'a>| match key {
                "if" => view.get("if").map(|_| ["if", "then", "else"].map(|part| view.get(part))),
                _ => view.get(key).map(|value| [Some(value), None, None]),
            };
            match (parts(a), parts(b)) {
                (None, Some(_)) => self.note(added, [Error, Info], key),
                (Some(_), None) => self.note(removed, [Info, Error], key),
                (Some(old), Some(new)) if old != new => self.note(changed, [Error, Error], key),
                _ => {}
            }
        }
    }

    /// What is said to models and people, and what nobody checks.
    fn words(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, rule) in [("description", "description-changed"), ("title", "title-changed")] {
            if a.get(key) != b.get(key) {
                let text = |value: Option<&Value>| value.map_or("nothing".into(), brief);
                self.note(rule, [Warning, Info], format!("{} to {}: the model reads it", text(a.get(key)), text(b.get(key))));
            }
        }
        match (a.get("default"), b.get("default")) {
            (None, Some(new)) => self.note("default-added", [Info, Info], brief(new)),
            (Some(old), None) => self.note("default-removed", [Warning, Info], brief(old)),
            (Some(old), Some(new)) if old != new => {
                self.note("default-changed", [Warning, Info], format!("{} to {}", brief(old), brief(new)))
            }
            _ => {}
        }
        for (key, rule) in [
            ("deprecated", "deprecated-changed"),
            ("readOnly", "read-only-changed"),
            ("writeOnly", "write-only-changed"),
            ("examples", "examples-changed"),
        ] {
            if a.get(key) != b.get(key) {
                self.note(rule, [Info, Info], key);
            }
        }
        let unknown = |view: &View<'a>| view.keywords.keys().copied().filter(|key| !KNOWN.contains(key)).collect::<BTreeSet<&str>>();
        for key in unknown(a).union(&unknown(b)) {
            if a.get(key) != b.get(key) {
                self.note("unknown-keyword-changed", [Warning, Warning], format!("`{key}`: not compared"));
            }
        }
    }
}

/// Keywords that some rule looks at, or that say nothing of values.
const KNOWN: [&str; 57] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$id",
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
    "examples",
    "example",
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
    "uniqueItems",
];

/// The tightest limit of numbers on a side; drafts before 6 wrote `exclusiveMinimum: true`.
fn limit(view: &View<'_>, is_lower: bool) -> Option<(f64, bool)> {
    let (plain, exclusive) = if is_lower { ("minimum", "exclusiveMinimum") } else { ("maximum", "exclusiveMaximum") };
    let number = |key: &str| view.get(key).and_then(Value::as_f64);
    let is_out = view.get(exclusive) == Some(&Value::Bool(true));
    let limits = [number(plain).map(|value| (value, is_out)), number(exclusive).map(|value| (value, true))];
    limits.into_iter().flatten().reduce(|a, b| {
        let b_is_tighter = if is_lower { b.0 > a.0 } else { b.0 < a.0 } || (b.0 == a.0 && b.1);
        if b_is_tighter { b } else { a }
    })
}

/// A value's text in which 1 and 1.0 are one.
fn same_numbers(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |x| x.to_string()),
        other => format!("{} {other}", type_of(other)),
    }
}

/// A value in few characters.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn worst(old: &Value, new: &Value, side: Side) -> Option<Level> {
        diff_schemas(old, new, side).into_iter().map(|change| change.level).max()
    }

    #[test]
    fn every_rule_has_its_level_on_both_sides() {
        let property = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
        let check = |old: Value, new: Value, rule: &str, input: Level, output: Level| {
            for (side, level) in [(Side::Input, input), (Side::Output, output)] {
                let changes = diff_schemas(&property(old.clone()), &property(new.clone()), side);
                let found = changes.iter().find(|change| change.rule == rule).unwrap_or_else(|| panic!("{rule}: {changes:?}"));
                assert_eq!((found.level, found.path.as_str()), (level, "/a"), "{rule} {side:?}");
            }
        };
        check(json!({"type": "number"}), json!({"type": "integer"}), "type-narrowed", Error, Info);
        check(json!({"type": "integer"}), json!({"type": "number"}), "type-widened", Info, Error);
        check(json!({"type": "string"}), json!({"type": ["string", "null"]}), "became-nullable", Info, Error);
        check(json!({"type": "string", "nullable": true}), json!({"type": "string"}), "became-not-nullable", Error, Info);
        check(json!({"enum": [1, 2]}), json!({"enum": [1.0]}), "enum-value-removed", Error, Info);
        check(json!({"enum": ["x"]}), json!({"enum": ["x", "y"]}), "enum-value-added", Info, Warning);
        check(json!({"type": "string"}), json!({"type": "string", "enum": ["x"]}), "became-enum", Error, Info);
        check(json!({"minimum": 0}), json!({"exclusiveMinimum": 0}), "limit-tightened", Error, Info);
        check(json!({"maximum": 9}), json!({"maximum": 10}), "limit-loosened", Info, Error);
        check(json!({}), json!({"multipleOf": 5}), "multiple-of-added", Error, Info);
        check(json!({"multipleOf": 10}), json!({"multipleOf": 5}), "multiple-of-changed", Info, Error);
        check(json!({"type": "string"}), json!({"type": "string", "pattern": "^a"}), "pattern-added", Error, Info);
        check(json!({"type": "array"}), json!({"type": "array", "items": {"type": "string"}}), "items-added", Error, Info);
        check(json!({"type": "array"}), json!({"type": "array", "prefixItems": [{"type": "string"}]}), "prefix-item-added", Error, Info);
        check(json!({}), json!({"not": {"type": "null"}}), "not-added", Error, Info);
        check(json!({}), json!({"if": {"required": ["b"]}, "then": {"required": ["c"]}}), "condition-added", Error, Info);
        check(json!({}), json!({"patternProperties": {"^x": {"type": "string"}}}), "pattern-properties-added", Error, Info);
        check(json!({}), json!({"unevaluatedProperties": false}), "unevaluated-properties-added", Error, Info);
        check(json!({"anyOf": [{"minLength": 1}, {"type": "null"}]}), json!({"anyOf": [{"minLength": 1}]}), "branch-removed", Error, Info);
        check(json!({"default": 1}), json!({"default": 2}), "default-changed", Warning, Info);
        check(json!({"x-ui": 1}), json!({"x-ui": 2}), "unknown-keyword-changed", Warning, Warning);
        check(json!({"$ref": "#/$defs/gone"}), json!({}), "unresolvable-ref", Error, Error);
    }

    #[test]
    fn references_are_followed_and_circles_end() {
        let tree = |leaf: &str| {
            json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
                "value": {"type": leaf}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}})
        };
        assert_eq!(worst(&tree("string"), &tree("string"), Side::Input), None);
        assert_eq!(worst(&tree("string"), &tree("integer"), Side::Input), Some(Error));
        // A reference in a circle, and a chain of ten thousand.
        let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}});
        assert_eq!(worst(&circle, &circle, Side::Input), None);
        let mut definitions = serde_json::Map::new();
        for idx in 0..10_000 {
            definitions
                .insert(format!("d{idx}"), json!({"type": "object", "properties": {"next": {"$ref": format!("#/$defs/d{}", idx + 1)}}}));
        }
        let chain = json!({"$ref": "#/$defs/d0", "$defs": definitions});
        assert_eq!(worst(&chain, &chain, Side::Input), Some(Warning));
    }

    #[test]
    fn the_same_schema_written_otherwise_is_the_same() {
        for (old, new) in [
            (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), json!({"type": ["null", "string"]})),
            (json!({"const": 1}), json!({"const": 1.0})),
            (json!({"minimum": 1, "exclusiveMinimum": true}), json!({"exclusiveMinimum": 1})),
            (json!({"items": [{"type": "string"}]}), json!({"prefixItems": [{"type": "string"}]})),
            (json!({"type": "string"}), json!({"allOf": [{"type": "string"}]})),
            (json!({"dependencies": {"a": ["b"]}}), json!({"dependentRequired": {"a": ["b"]}})),
        ] {
            for side in [Side::Input, Side::Output] {
                assert_eq!(diff_schemas(&old, &new, side), [], "{old} {new}");
            }
        }
    }
}
