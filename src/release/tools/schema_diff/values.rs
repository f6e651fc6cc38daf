//! Rules for types, listed values, bounds, multiples, patterns and formats of a node.

use serde_json::{Map, Number, Value};
use std::collections::{BTreeSet, HashSet};

use crate::release::tools::decimal::Decimal;
use crate::release::tools::fit::Fit;
use crate::release::tools::fits::fits;
use crate::release::tools::schema_diff::Level::{Error, Info, Warning};
use crate::release::tools::schema_diff::{Level, Side, Walk, brief};
use crate::release::tools::value::same;
use crate::release::tools::view::{View, is_tighter};

/// The keywords of counts, with the type and true for a lower bound and false for an upper bound.
const COUNTS: [(&str, &str, bool); 6] = [
    ("minLength", "string", true),
    ("maxLength", "string", false),
    ("minItems", "array", true),
    ("maxItems", "array", false),
    ("minProperties", "object", true),
    ("maxProperties", "object", false),
];

impl<'a> Walk<'a, '_> {
    /// Compares the types. Whether null is valid is asked with the value itself, because there are
    /// many ways to write it.
    pub(super) fn types(
        &mut self,
        old: &[&'a Value],
        new: &[&'a Value],
        [a, b]: [&View<'a>; 2],
        is_null_said: bool,
    ) {
        let (was_null, is_null) = match is_null_said {
            true => (Fit::No, Fit::No),
            false => self.null_fits(old, new),
        };
        let types = |view: &View<'a>, idx: usize, null: Fit| {
            view.types(self.documents[idx]).map(|mut types| {
                match null {
                    Fit::Yes => drop(types.insert("null")),
                    Fit::No => drop(types.remove("null")),
                    Fit::Unknown => {}
                }
                types
            })
        };
        let (old, new) = (types(a, 0, was_null), types(b, 1, is_null));
        let show = |types: &Option<BTreeSet<&str>>, null: Fit| match types {
            Some(types) => types.iter().copied().collect::<Vec<_>>().join(" or "),
            None if null == Fit::No => "any but null".into(),
            None => "any".into(),
        };
        let detail = || format!("{} to {}", show(&old, was_null), show(&new, is_null));
        // Every integer is a number.
        let covers = |types: &BTreeSet<&str>, name: &str| {
            types.contains(name) || (name == "integer" && types.contains("number"))
        };
        let within = |inner: &Option<BTreeSet<&str>>, outer: &Option<BTreeSet<&str>>| match (inner, outer) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(inner), Some(outer)) => inner.iter().all(|name| covers(outer, name)),
        };
        let but_null = |types: &Option<BTreeSet<&'a str>>| {
            types.clone().map(|types| {
                types
                    .into_iter()
                    .filter(|name| *name != "null")
                    .collect::<BTreeSet<_>>()
            })
        };
        let nullness = nullness(was_null, is_null);
        match (within(&new, &old), within(&old, &new), nullness) {
            (_, _, Some((rule, levels))) if but_null(&old) == but_null(&new) => {
                self.record(rule, levels, detail());
            }
            (true, true, None) => {}
            (false, true, _) => self.record("type-widened", [Info, Error], detail()),
            (true, false, _) => self.record("type-narrowed", [Error, Info], detail()),
            (_, _, Some((rule, levels))) if old.is_none() || new.is_none() => {
                self.record(rule, levels, detail());
            }
            _ => self.record("type-changed", [Error, Error], detail()),
        }
    }

    fn null_fits(&self, old: &[&'a Value], new: &[&'a Value]) -> (Fit, Fit) {
        let null = |idx: usize, schemas: &[&'a Value]| fits(self.documents[idx], schemas, &Value::Null);
        (null(0, old), null(1, new))
    }

    /// Compares whether null is valid, where the types are not compared.
    pub(super) fn nulls(&mut self, old: &[&'a Value], new: &[&'a Value]) {
        let (was_null, is_null) = self.null_fits(old, new);
        if let Some((rule, levels)) = nullness(was_null, is_null) {
            self.record(rule, levels, "null");
        }
    }

    /// Compares two nodes of which one has few values: those must be valid in the other one. Returns
    /// whether that proves that nothing breaks.
    pub(super) fn listed(
        &mut self,
        old: &[&'a Value],
        new: &[&'a Value],
        [a, b]: [&View<'a>; 2],
        is_null_said: bool,
    ) -> bool {
        let [source, target] = self.directed(old, new);
        let (of_source, of_target) = match self.side {
            Side::Input => (a, b),
            Side::Output => (b, a),
        };
        let Some(mut values) = source.all_values(of_source) else {
            return false;
        };
        values.retain(|value| !(is_null_said && value.is_null()));
        let answers: Vec<Fit> = values.iter().map(|value| target.fits(value)).collect();
        if answers.iter().all(|fit| *fit == Fit::Yes) {
            if of_source.values().is_some() {
                self.values(a, b);
            }
            return true;
        }
        // What the lists themselves do not say is said here.
        let listed = of_target.values().map(|values| keys(&values));
        let lost = values.iter().zip(&answers).filter(|(value, fit)| {
            **fit == Fit::No
                && !value.is_null()
                && listed.as_ref().is_none_or(|keys| keys.contains(&same(value)))
        });
        let lost: Vec<&Value> = lost.map(|(value, _)| value).collect();
        if !lost.is_empty() && self.side == Side::Input {
            self.record("enum-value-removed", [Error, Info], show_values(&lost));
        }
        false
    }

    /// Compares listed values. Null is compared with the types.
    pub(super) fn values(&mut self, a: &View<'a>, b: &View<'a>) {
        let values = |view: &View<'a>| {
            let values = view.values()?;
            let others: Vec<&Value> = values.iter().copied().filter(|value| !value.is_null()).collect();
            (values.is_empty() || !others.is_empty()).then_some(others)
        };
        let (had_const, has_const) = (a.get("const").is_some(), b.get("const").is_some());
        match (values(a), values(b)) {
            (None, None) => {}
            (None, Some(new)) => {
                let rule = if has_const { "const-added" } else { "became-enum" };
                self.record(rule, [Error, Info], format!("only {}", show_values(&new)));
            }
            (Some(old), None) => {
                let (rule, output) = if had_const {
                    ("const-removed", Error)
                } else {
                    ("enum-removed", Warning)
                };
                self.record(
                    rule,
                    [Info, output],
                    format!("no longer only {}", show_values(&old)),
                );
            }
            (Some(old), Some(new)) => {
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
                        format!("{} to {}", show_values(&gone), show_values(&come)),
                    );
                }
                if !gone.is_empty() {
                    self.record("enum-value-removed", [Error, Info], show_values(&gone));
                }
                if !come.is_empty() {
                    self.record("enum-value-added", [Info, Warning], show_values(&come));
                }
            }
        }
    }

    /// Whether both nodes allow values of a type. Limits of other types say nothing.
    pub(super) fn both_allow(&self, kind: &str, a: &View<'a>, b: &View<'a>) -> bool {
        [(a, 0), (b, 1)].into_iter().all(|(view, idx)| {
            view.types(self.documents[idx])
                .is_none_or(|types| types.contains(kind) || (kind == "number" && types.contains("integer")))
        })
    }

    pub(super) fn bounds(&mut self, a: &View<'a>, b: &View<'a>) {
        for (key, kind, is_lower) in COUNTS {
            let limits = |part: &'a Map<String, Value>| -> Vec<(&'a Number, bool)> {
                // A lower bound of 0 does not restrict a count.
                number(part, key)
                    .into_iter()
                    .filter(|number| !(is_lower && number.as_f64() == Some(0.0)))
                    .map(|number| (number, false))
                    .collect()
            };
            let own = |view: &View<'a>| {
                view.bound(is_lower, limits)
                    .map(|(number, _)| (number.clone(), false))
            };
            if self.both_allow(kind, a, b) {
                self.bound(key, is_lower, [own(a), own(b)]);
            }
        }
        if self.both_allow("number", a, b) {
            for (key, is_lower) in [("minimum", true), ("maximum", false)] {
                let own = |view: &View<'a>, idx: usize| {
                    let (number, is_out) = view.numeric_bound(is_lower)?;
                    let whole = self
                        .is_whole(view, idx)
                        .then(|| of_whole(number, is_out, is_lower))
                        .flatten();
                    Some(whole.map_or((number.clone(), is_out), |whole| (whole, false)))
                };
                self.bound(key, is_lower, [own(a, 0), own(b, 1)]);
            }
            self.multiples(a, b);
        }
        self.how_many_contained(a, b);
        let unique = |view: &View<'a>| view.says("uniqueItems", &Value::Bool(true));
        match (unique(a), unique(b)) {
            _ if !self.both_allow("array", a, b) => {}
            (false, true) => self.record("unique-items-added", [Error, Info], "items must differ"),
            (true, false) => self.record("unique-items-removed", [Info, Error], "items may be alike"),
            _ => {}
        }
    }

    /// Whether the numbers of a node are whole.
    fn is_whole(&self, view: &View<'a>, idx: usize) -> bool {
        view.types(self.documents[idx])
            .is_some_and(|types| !types.contains("number"))
    }

    /// Compares two bounds. A bound is a number and whether that number itself is excluded.
    fn bound(&mut self, key: &str, is_lower: bool, [old, new]: [Option<(Number, bool)>; 2]) {
        let show = |bound: &Option<(Number, bool)>| {
            bound.as_ref().map_or("none".into(), |(number, out)| {
                format!("{number}{}", if *out { " (excluded)" } else { "" })
            })
        };
        let detail = format!("{key} {} to {}", show(&old), show(&new));
        match (old, new) {
            (None, Some(_)) => self.record("limit-set", [Warning, Info], detail),
            (Some(_), None) => self.record("limit-removed", [Info, Error], detail),
            (Some(old), Some(new)) => {
                let (old, new) = ((&old.0, old.1), (&new.0, new.1));
                if is_tighter(is_lower, new, old) {
                    self.record("limit-tightened", [Error, Info], detail)
                } else if is_tighter(is_lower, old, new) {
                    self.record("limit-loosened", [Info, Error], detail)
                }
            }
            (None, None) => {}
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

    /// Compares steps (`multipleOf`). The step of whole numbers is at least 1, which the types say.
    fn multiples(&mut self, a: &View<'a>, b: &View<'a>) {
        let written = |view: &View<'a>| -> Vec<&'a Number> {
            view.all("multipleOf").filter_map(Value::as_number).collect()
        };
        let steps = |view: &View<'a>| -> Option<Vec<Decimal>> {
            written(view).into_iter().map(Decimal::new).collect()
        };
        let whole = |view: &View<'a>, idx: usize| self.is_whole(view, idx).then_some(Decimal::ONE);
        let (Some(old), Some(new)) = (steps(a), steps(b)) else {
            if written(a) != written(b) {
                self.record(
                    "multiple-of-changed",
                    [Error, Error],
                    "steps that are not comparable",
                );
            }
            return;
        };
        let common = |steps: &[Decimal], whole: Option<Decimal>| -> Option<Decimal> {
            let mut all = steps.iter().copied().chain(whole);
            let first = all.next()?;
            all.try_fold(first, Decimal::least_common_multiple)
        };
        let demands = |steps: &[Decimal], source: Option<Decimal>| {
            let own = |step: &&Decimal| source.and_then(|own| own.is_multiple_of(**step)) != Some(true);
            steps.iter().any(|step| own(&step))
        };
        let (of_a, of_b) = (whole(a, 0), whole(b, 1));
        let needs_more = demands(&new, common(&old, of_a));
        let needs_less = demands(&old, common(&new, of_b));
        let rule = match (old.is_empty(), new.is_empty()) {
            (true, false) => "multiple-of-added",
            (false, true) => "multiple-of-removed",
            _ => "multiple-of-changed",
        };
        if needs_more || needs_less {
            let level = |is: bool| if is { Error } else { Info };
            let show = |view: &View<'a>| {
                let steps: Vec<String> = written(view).iter().map(|step| step.to_string()).collect();
                if steps.is_empty() {
                    "any".to_owned()
                } else {
                    steps.join(" and ")
                }
            };
            self.record(
                rule,
                [level(needs_more), level(needs_less)],
                format!("multiples of {} to {}", show(a), show(b)),
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
            if !self.both_allow("string", a, b) {
                continue;
            }
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

/// The rule for a change of whether null is valid; `None` without one.
fn nullness(was_null: Fit, is_null: Fit) -> Option<(&'static str, [Level; 2])> {
    match (was_null, is_null) {
        (Fit::No, Fit::Yes) => Some(("became-nullable", [Info, Error])),
        (Fit::Yes, Fit::No) => Some(("became-not-nullable", [Error, Info])),
        _ => None,
    }
}

/// The inclusive bound of whole numbers; `None` if it has too many digits.
fn of_whole(number: &Number, is_out: bool, is_lower: bool) -> Option<Number> {
    let (floor, is_equal) = Decimal::new(number)?.floor()?;
    let bound = match (is_lower, is_equal) {
        (true, true) => floor + i128::from(is_out),
        (true, false) => floor + 1,
        (false, true) => floor - i128::from(is_out),
        (false, false) => floor,
    };
    Number::from_i128(bound)
}

fn keys(values: &[&Value]) -> HashSet<String> {
    values.iter().map(|value| same(value)).collect()
}

/// The first values of a list.
fn show_values(values: &[&Value]) -> String {
    values
        .iter()
        .take(5)
        .map(|value| brief(value))
        .collect::<Vec<_>>()
        .join(", ")
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
