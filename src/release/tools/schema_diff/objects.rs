//! Rules for the contents of objects and arrays: properties, dependents and items.

use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

use crate::release::tools::schema_diff::Level::{Error, Info, Warning};
use crate::release::tools::schema_diff::{Walk, brief};
use crate::release::tools::view::{View, is_anything};

impl<'a> Walk<'a, '_> {
    pub(super) fn properties(&mut self, a: &View<'a>, b: &View<'a>) {
        if !self.both_allow("object", a, b) {
            return;
        }
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
                    // If no other properties are allowed, arguments with this property are now
                    // refused.
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
                (Some(old), Some(new)) => self.compare_nodes(old, new),
                // A declared property on one side is compared with the schema of additional
                // properties on the other.
                (Some(old), None) if !is_closed && !others_now.is_empty() => {
                    self.compare_nodes(old, &others_now)
                }
                (None, Some(new)) if !others_before.is_empty() && !a.says("additionalProperties", &no) => {
                    self.compare_nodes(&others_before, new)
                }
                _ => {}
            }
            self.path.pop();
        }
        self.additional(a, b);
        self.patterns(a, b);
        self.dependents(a, b);
    }

    pub(super) fn additional(&mut self, a: &View<'a>, b: &View<'a>) {
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

    pub(super) fn patterns(&mut self, a: &View<'a>, b: &View<'a>) {
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

    pub(super) fn dependents(&mut self, a: &View<'a>, b: &View<'a>) {
        // Drafts before 2019-09 used the one keyword `dependencies` for both.
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

    pub(super) fn items(&mut self, a: &View<'a>, b: &View<'a>) {
        if !self.both_allow("array", a, b) {
            return;
        }
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

    pub(super) fn inner(
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
}
