//! Rules for types, listed values, bounds, multiples, patterns and formats of a node.

use serde_json::{Map, Number, Value};
use std::collections::{BTreeSet, HashSet};

use crate::release::tools::schema_diff::Level::{Error, Info, Warning};
use crate::release::tools::schema_diff::{Walk, brief};
use crate::release::tools::view::{View, is_tighter, same};

/// The keywords of counts, with true for a lower bound and false for an upper bound.
const COUNTS: [(&str, bool); 6] = [
    ("minLength", true),
    ("maxLength", false),
    ("minItems", true),
    ("maxItems", false),
    ("minProperties", true),
    ("maxProperties", false),
];

impl<'a> Walk<'a, '_> {
    pub(super) fn types(&mut self, a: &View<'a>, b: &View<'a>) {
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

    pub(super) fn values(&mut self, a: &View<'a>, b: &View<'a>) {
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

    pub(super) fn bounds(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, is_lower) in COUNTS {
            let limits = |part: &'a Map<String, Value>| -> Vec<(&'a Number, bool)> {
                // A lower bound of 0 does not restrict a count.
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

    /// Compares two bounds. A bound is a number and whether that number itself is excluded.
    pub(super) fn bound(
        &mut self,
        key: &str,
        is_lower: bool,
        [old, new]: [Option<(&'a Number, bool)>; 2],
        whole: bool,
    ) {
        let show = |bound: Option<(&Number, bool)>| {
            bound.map_or("none".into(), |(number, out)| {
                format!("{number}{}", if out { " (excluded)" } else { "" })
            })
        };
        let detail = format!("{key} {} to {}", show(old), show(new));
        // For whole numbers, an exclusive bound is converted to the equal inclusive one.
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

    /// Compares `minContains` and `maxContains`. They apply only beside `contains`, and
    /// `minContains` is 1 by default.
    pub(super) fn how_many_contained(&mut self, a: &View<'a>, b: &View<'a>) {
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

    pub(super) fn multiples(&mut self, a: &View<'a>, b: &View<'a>) {
        let of = |view: &View<'a>| -> Vec<f64> {
            view.all("multipleOf")
                .filter_map(Value::as_f64)
                .filter(|by| *by > 0.0)
                .collect()
        };
        let (old, new) = (of(a), of(b));
        // Quotients of decimals are not exact in binary, so a tolerance is needed.
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

    pub(super) fn texts(&mut self, a: &View<'a>, b: &View<'a>) {
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
}

fn show_set(texts: &BTreeSet<&str>) -> String {
    if texts.is_empty() {
        "none".into()
    } else {
        texts.iter().copied().collect::<Vec<_>>().join(" and ")
    }
}

fn number<'a>(part: &'a Map<String, Value>, key: &str) -> Option<&'a Number> {
    match part.get(key) {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}
