//! Rules for branches of schemas: unions and conjunctions.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;

use crate::release::tools::schema_diff::Level::{Error, Info};
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

/// The types, each as a schema.
static TYPES: LazyLock<[(&str, Value); 7]> = LazyLock::new(|| {
    [
        "array", "boolean", "integer", "null", "number", "object", "string",
    ]
    .map(|name| (name, json!({"type": name})))
});

impl<'a> Walk<'a, '_> {
    /// Compares a single schema on one side with a union of several on the other.
    pub(super) fn one_against_many(
        &mut self,
        branches: &[&'a Value],
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
                self.below_branch(&step, &[branch], new)
            } else {
                self.below_branch(&step, old, &[branch])
            }
        }
        let (rule, detail) = if was_union {
            ("union-removed", "several shapes to one")
        } else {
            ("union-added", "one shape to several")
        };
        if every {
            return self.record(rule, [Info, Info], detail);
        }
        let one = if was_union { new } else { old };
        match self.worst_of_types(one, branches, was_union) {
            Error => self.proven_or_undecided([rule, "union-undecided"], old, new, detail),
            level => self.record(rule, [level, level], detail),
        }
    }

    /// The worst level of a schema against the best branch of a union: at once, or type by type.
    fn worst_of_types(&mut self, one: &[&'a Value], branches: &[&'a Value], was_union: bool) -> Level {
        let best = |walk: &mut Self, one: &[&'a Value]| {
            let levels = branches.iter().map(|branch| match was_union {
                true => walk.worst_branch(&[branch], one),
                false => walk.worst_branch(one, &[branch]),
            });
            levels.min().unwrap_or(Error)
        };
        let level = best(self, one);
        let document = self.documents[usize::from(was_union)];
        let types = View::new(document, one).types(document).unwrap_or_default();
        if level < Error || types.len() < 2 {
            return level;
        }
        let kinds = TYPES.iter().filter(|(name, _)| types.contains(name));
        let levels = kinds.map(|(_, kind)| {
            let narrowed: Vec<&'a Value> = one.iter().copied().chain([kind]).collect();
            best(self, &narrowed)
        });
        levels.max().unwrap_or(level)
    }

    /// [`Self::worst`] of two branches of unions. Null is compared for the whole unions.
    fn worst_branch(&mut self, old: &[&'a Value], new: &[&'a Value]) -> Level {
        self.is_null_said = true;
        let level = self.worst(old, new);
        self.is_null_said = false;
        level
    }

    /// The worst level of a comparison, without recording its changes.
    pub(super) fn worst(&mut self, old: &[&'a Value], new: &[&'a Value]) -> Level {
        if self.tries > 4 || self.fuel == 0 || self.work.is_spent() {
            return Error;
        }
        let key = (nodes_of(old, new), self.tries, self.is_null_said);
        if let Some(level) = self.worst_of.get(&key) {
            return *level;
        }
        let mut walk = Walk {
            documents: self.documents,
            work: self.work,
            side: self.side,
            seen: HashMap::new(),
            worst_of: std::mem::take(&mut self.worst_of),
            changes: Vec::new(),
            path: self.path.clone(),
            fuel: self.fuel,
            tries: self.tries + 1,
            n_noted: 0,
            is_null_said: self.is_null_said,
            is_same_root: self.is_same_root,
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

    /// Compares the unions of two nodes. Unions that consist only of types or values are compared as
    /// types and values elsewhere.
    pub(super) fn unions(&mut self, old: &[&'a Value], new: &[&'a Value], [a, b]: [&View<'a>; 2]) {
        let of = |view: &View<'a>, key: &str| -> Vec<Vec<&'a Value>> {
            let is_said =
                |union: &Vec<&'a Value>| values_of_union(union, false).is_some() || is_union_of_types(union);
            let mut unions = view.unions(key);
            unions.retain(|union| !is_said(union));
            unions
        };
        let [(any_before, one_before), (any_now, one_now)] =
            [a, b].map(|view| (of(view, "anyOf"), of(view, "oneOf")));
        self.overlaps(old, new, [a, b]);
        if any_before.len() + one_before.len() == 1
            && any_now.len() + one_now.len() == 1
            && any_before.len() != any_now.len()
        {
            let before = any_before.iter().chain(&one_before).next();
            let now = any_now.iter().chain(&one_now).next();
            if let (Some(before), Some(now)) = (before, now) {
                self.union(before, now);
            }
            return;
        }
        let (mut added, mut removed) = (0, 0);
        for (before, now) in [(any_before, any_now), (one_before, one_now)] {
            for (before, now) in before.iter().zip(&now) {
                self.union(before, now);
            }
            added += now.len().saturating_sub(before.len());
            removed += before.len().saturating_sub(now.len());
        }
        for (n, rule, is_open) in [
            (added, "union-added", self.side == Side::Input),
            (removed, "union-removed", self.side == Side::Output),
        ] {
            if n > 0 && is_open {
                self.proven_or_undecided([rule, "union-undecided"], old, new, "a choice of several shapes");
            } else if n > 0 {
                self.record(rule, [Info, Info], "a choice of several shapes");
            }
        }
    }

    /// Compares two unions. Each branch of the source needs a branch of the target that accepts its
    /// values. Several may have the same one.
    fn union(&mut self, old: &[&'a Value], new: &[&'a Value]) {
        let Matched {
            same,
            old_left,
            new_left,
        } = Matched::new(old, new, self.work);
        // Branches with equal text can contain references to different schemas.
        for (old, new) in &same {
            self.below_branch("{branch}", &[old], &[new]);
        }
        let is_input = self.side == Side::Input;
        let ((sources, mut targets), all) = if is_input {
            ((old_left, new_left), new)
        } else {
            ((new_left, old_left), old)
        };
        let (lost, spare) = match is_input {
            true => ("branch-removed", "branch-added"),
            false => ("branch-added", "branch-removed"),
        };
        for (idx, source) in sources.into_iter().enumerate() {
            let mut compare = |target: &'a Value| match is_input {
                true => self.worst_branch(&[source], &[target]),
                false => self.worst_branch(&[target], &[source]),
            };
            let best = |candidates: &[&'a Value], compare: &mut dyn FnMut(&'a Value) -> Level| {
                let levels = candidates
                    .iter()
                    .enumerate()
                    .map(|(at, target)| (compare(target), at));
                levels.min().filter(|_| !candidates.is_empty())
            };
            // The branch with the best fit, or the first one if there are too many candidates.
            let own = match targets.len() {
                0 => None,
                n if n > MAX_PAIRED => Some((Error, 0)),
                _ => best(&targets, &mut compare),
            };
            let other = match own {
                Some((level, _)) if level < Error => None,
                _ if all.len() > MAX_PAIRED => None,
                _ => best(all, &mut compare).filter(|(level, _)| *level < Error),
            };
            let partner = match (other, own) {
                (Some((_, at)), _) => all[at],
                (None, Some((_, at))) => targets.remove(at),
                (None, None) => {
                    self.record(lost, [Error, Error], brief(source));
                    continue;
                }
            };
            let step = format!("{{branch {idx}}}");
            match is_input {
                true => self.below_branch(&step, &[source], &[partner]),
                false => self.below_branch(&step, &[partner], &[source]),
            }
        }
        for branch in targets {
            self.record(spare, [Info, Info], brief(branch));
        }
    }

    /// Reports branches of `allOf` that were added or removed. Their content was compared with the
    /// whole node. They break if that found something.
    pub(super) fn all_of(&mut self, a: &View<'a>, b: &View<'a>, is_noted: bool) {
        let level = if is_noted { Error } else { Info };
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
            let detail = format!("{} more must hold", now - before);
            self.record("all-of-added", [level, Info], detail);
        } else if before > now && count(&old_left, b) > 0 {
            let detail = format!("{} less must hold", before - now);
            self.record("all-of-removed", [Info, level], detail);
        }
    }
}
