//! Rules for branches of schemas: unions, conjunctions and conditions.

use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::release::tools::schema_diff::Level::{Error, Info, Warning};
use crate::release::tools::schema_diff::{Level, Side, Walk, brief, nodes_of};
use crate::release::tools::view::{View, is_union_of_types, values_of_union};
use crate::release::tools::work::{Work, n_values};

/// The maximum number of branches that are matched by the best fit.
const MAX_PAIRED: usize = 8;

/// The branches of two lists: equal ones, and the others.
struct Matched<'a> {
    same: Vec<(&'a Value, &'a Value)>,
    old_left: Vec<&'a Value>,
    new_left: Vec<&'a Value>,
}

impl<'a> Matched<'a> {
    fn new(old: &[&'a Value], new: &[&'a Value], work: &Work) -> Self {
        let mut matched = Self {
            same: Vec::new(),
            old_left: Vec::new(),
            new_left: Vec::new(),
        };
        let n_all = old.iter().chain(new).map(|branch| n_values(branch) / 4 + 1);
        if !work.spend(n_all.sum()) {
            return matched;
        }
        let keyed = |branches: &[&'a Value]| -> HashMap<String, &'a Value> {
            branches
                .iter()
                .map(|branch| (branch.to_string(), *branch))
                .collect()
        };
        let (of_old, of_new) = (keyed(old), keyed(new));
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

impl<'a> Walk<'a, '_> {
    /// Compares a single schema on one side with a union of several on the other.
    pub(super) fn one_against_many(
        &mut self,
        (branches, is_one): (&'a [Value], bool),
        was_union: bool,
        old: &[&'a Value],
        new: &[&'a Value],
    ) {
        // For arguments, every old branch must fit the new schema. For results, every new branch
        // must fit the old schema.
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
            // In a `oneOf`, a value that fits two branches is refused.
            if is_one && !was_union && !self.are_disjoint(branches, 1) {
                level = level.max(Warning);
            }
        }
        self.record(rule, [level, level], detail);
    }

    /// The worst level of a comparison, without recording its changes.
    pub(super) fn worst(&mut self, old: &[&'a Value], new: &[&'a Value]) -> Level {
        if self.tries > 4 || self.fuel == 0 || self.work.is_spent() {
            return Error;
        }
        let key = (nodes_of(old, new), self.tries);
        if let Some(level) = self.worst_of.get(&key) {
            return *level;
        }
        let mut walk = Walk {
            documents: self.documents,
            work: self.work,
            side: self.side,
            seen: HashSet::new(),
            worst_of: std::mem::take(&mut self.worst_of),
            changes: Vec::new(),
            path: self.path.clone(),
            fuel: self.fuel,
            tries: self.tries + 1,
        };
        walk.compare_nodes(old, new);
        self.fuel = walk.fuel;
        self.worst_of = walk.worst_of;
        let level = if walk.fuel == 0 {
            Error
        } else {
            let levels = walk.changes.iter().map(|change| change.level);
            levels.max().unwrap_or(Info)
        };
        self.worst_of.insert(key, level);
        level
    }

    /// Whether the types of the branches prove that no value fits two of them.
    pub(super) fn are_disjoint(&self, branches: &[Value], document: usize) -> bool {
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

    pub(super) fn unions(&mut self, a: &View<'a>, b: &View<'a>) {
        // Unions that consist only of types or values are compared as types and values elsewhere. A
        // `oneOf` of overlapping types needs a comparison here, too.
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

    pub(super) fn union(&mut self, old: &'a [Value], new: &'a [Value]) {
        let Matched {
            same,
            old_left,
            mut new_left,
        } = Matched::new(
            &old.iter().collect::<Vec<_>>(),
            &new.iter().collect::<Vec<_>>(),
            self.work,
        );
        // Branches with equal text can contain references to different schemas.
        for (old, new) in same {
            self.below("{branch}", &[old], &[new]);
        }
        let mut gone = Vec::new();
        for (idx, old) in old_left.into_iter().enumerate() {
            if new_left.is_empty() {
                gone.push(old);
                continue;
            }
            // The branch with the best fit, or the first one if there are too many candidates.
            let partner_idx = if new_left.len() > MAX_PAIRED {
                0
            } else {
                (0..new_left.len())
                    .min_by_key(|at| self.worst(&[old], &[new_left[*at]]))
                    .unwrap_or(0)
            };
            let partner = new_left.remove(partner_idx);
            self.below(&format!("{{branch {idx}}}"), &[old], &[partner]);
        }
        for branch in gone {
            self.record("branch-removed", [Error, Info], brief(branch));
        }
        for branch in new_left {
            self.record("branch-added", [Info, Error], brief(branch));
        }
    }

    /// Reports branches of `allOf` that were added or removed. Their content was compared with the
    /// whole node already.
    pub(super) fn all_of(&mut self, a: &View<'a>, b: &View<'a>) {
        let Matched {
            old_left, new_left, ..
        } = Matched::new(&a.branches(), &b.branches(), self.work);
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
        // Changed branches were compared with the whole node. Only added and removed ones are
        // reported here.
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

    /// Compares conditional parts as text with references expanded. No rule can decide whether they
    /// allow more or less.
    pub(super) fn conditions(&mut self, a: &View<'a>, b: &View<'a>) {
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
}
