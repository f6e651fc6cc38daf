//! Rules for what no single keyword decides: branches of `oneOf` that overlap, `not`, conditions, and
//! values that are tried.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::release::tools::fit::Fit;
use crate::release::tools::samples::samples;
use crate::release::tools::schema_diff::Level::{Error, Info, Warning};
use crate::release::tools::schema_diff::exclusion::{Node, exclude_each_other};
use crate::release::tools::schema_diff::{Side, Walk, brief};
use crate::release::tools::view::{View, is_anything};

/// The most pairs of branches of a `oneOf` that are compared.
const MAX_PAIRS: usize = 2_000;
/// The most schemas that are searched for the names of properties.
const MAX_SEARCHED: usize = 500;

impl<'a, 'd> Walk<'a, 'd> {
    /// The node whose values must stay valid, and the node that must accept them: for arguments the
    /// old and the new one, for results the new and the old one.
    pub(super) fn directed<'s>(&self, old: &'s [&'a Value], new: &'s [&'a Value]) -> [Node<'a, 's>; 2]
    where
        'd: 's,
    {
        let [old, new] = [(0, old), (1, new)].map(|(idx, schemas)| Node {
            document: self.documents[idx],
            schemas,
        });
        match self.side {
            Side::Input => [old, new],
            Side::Output => [new, old],
        }
    }

    /// A sample that the source accepts and the target refuses. `is_any` allows all properties of a
    /// source that declares none.
    fn counterexample(&self, source: Node<'a, '_>, target: Node<'a, '_>, is_any: bool) -> Option<Value> {
        self.work.test(|| {
            let all = [source, target].map(|node| samples(node.document, node.schemas));
            all.into_iter().flatten().find(|value| {
                target.fits(value) == Fit::No
                    && source.fits(value) == Fit::Yes
                    && (is_declared(source, value) || (is_any && declares_nothing(source)))
            })
        })
    }

    /// Tries samples on two nodes where no rule found that callers or readers break.
    pub(super) fn tried(&mut self, old: &[&'a Value], new: &[&'a Value], is_null_said: bool) {
        if old == new && (self.is_same_root || !old.iter().any(|schema| has_reference(schema))) {
            return;
        }
        let [source, target] = self.directed(old, new);
        if let Some(value) = self.counterexample(source, target, false)
            && !(is_null_said && value.is_null())
        {
            let (rule, what) = match self.side {
                Side::Input => ("valid-value-refused", "was valid, is refused now"),
                Side::Output => ("new-value-possible", "was not possible, is possible now"),
            };
            self.record(rule, [Error, Error], format!("{} {what}", brief(&value)));
        }
    }

    /// Reports whether a change that no rule decides breaks: an error with a sample that breaks, else
    /// the warning that it is undecided.
    pub(super) fn proven_or_undecided(
        &mut self,
        [proven, undecided]: [&'static str; 2],
        old: &[&'a Value],
        new: &[&'a Value],
        what: &str,
    ) {
        let [source, target] = self.directed(old, new);
        // Trials need no proof: they only choose the best of several pairs.
        let found = if self.tries == 0 {
            self.counterexample(source, target, true)
        } else {
            Some(Value::Null)
        };
        match found {
            Some(value) => {
                let change = match self.side {
                    Side::Input => "is refused now",
                    Side::Output => "is possible now",
                };
                self.record(
                    proven,
                    [Error, Error],
                    format!("{what}: {} {change}", brief(&value)),
                );
            }
            None => self.record(
                undecided,
                [Warning, Warning],
                format!("undecided: {what}; no value was found that breaks, and no proof that none does"),
            ),
        }
    }

    /// In a `oneOf`, a value that fits two branches is refused. Compares each pair of branches of
    /// the target of which one was changed or added.
    pub(super) fn overlaps(&mut self, old: &[&'a Value], new: &[&'a Value], [a, b]: [&View<'a>; 2]) {
        let [source, target] = self.directed(old, new);
        let (of_source, of_target) = match self.side {
            Side::Input => (a, b),
            Side::Output => (b, a),
        };
        let kept: BTreeSet<String> = of_source
            .unions("oneOf")
            .into_iter()
            .flatten()
            .map(|branch| source.document.text(branch))
            .collect();
        let was_any = kept.is_empty() && !of_source.unions("anyOf").is_empty();
        let mut left = MAX_PAIRS;
        let mut found: BTreeMap<bool, String> = BTreeMap::new();
        for branches in of_target.unions("oneOf") {
            let is_kept: Vec<bool> = branches
                .iter()
                .map(|branch| kept.contains(&target.document.text(branch)))
                .collect();
            for idx in 0..branches.len() {
                for other in idx + 1..branches.len() {
                    if (is_kept[idx] && is_kept[other]) || found.contains_key(&true) {
                        continue;
                    }
                    left = left.saturating_sub(1);
                    let pair = [branches[idx], branches[other]];
                    let pair = pair.each_ref().map(|branch| Node {
                        document: target.document,
                        schemas: std::slice::from_ref(branch),
                    });
                    if let Some((is_proven, what)) = self.work.test(|| overlap(source, pair, left == 0)) {
                        found
                            .entry(is_proven)
                            .or_insert(format!("branches {idx} and {other}: {what}"));
                    }
                }
            }
        }
        if let Some(what) = found.remove(&true) {
            let rule = match self.side {
                Side::Input if was_any => "any-of-became-one-of",
                Side::Output if was_any => "one-of-became-any-of",
                Side::Input => "one-of-overlap",
                Side::Output => "one-of-overlap-removed",
            };
            self.record(rule, [Error, Error], what);
        } else if let Some(what) = found.remove(&false) {
            self.record("one-of-undecided", [Warning, Warning], what);
        }
    }

    /// Compares `not` and conditions. What the target demands must hold for the source.
    pub(super) fn conditions(&mut self, old: &[&'a Value], new: &[&'a Value], [a, b]: [&View<'a>; 2]) {
        let [source, target] = self.directed(old, new);
        let (of_source, of_target) = match self.side {
            Side::Input => (a, b),
            Side::Output => (b, a),
        };
        let excluded = |view: &View<'a>| -> Vec<&'a Value> {
            view.all("not")
                .filter(|schema| **schema != Value::Bool(false))
                .collect()
        };
        let (of_source_not, of_target_not) = (excluded(of_source), excluded(of_target));
        let known: Vec<String> = of_source_not
            .iter()
            .map(|schema| source.document.text(schema))
            .collect();
        let mut is_open = false;
        for schema in &of_target_not {
            let inner = Node {
                document: target.document,
                schemas: std::slice::from_ref(schema),
            };
            let holds = known.contains(&target.document.text(schema))
                || self.work.test(|| exclude_each_other(source, inner))
                || of_source_not.iter().any(|own| self.covers(own, schema));
            is_open |= !holds;
        }
        // The ids name the change from the old to the new schema.
        let ids = |had: bool, has: bool, ids: [&'static str; 3]| match (had, has) {
            (false, true) => ids[0],
            (true, false) => ids[2],
            _ => ids[1],
        };
        let has = |view: &View<'a>, key: &str| view.get(key).is_some();
        let rule = ids(
            has(a, "not"),
            has(b, "not"),
            ["not-added", "not-changed", "not-removed"],
        );
        if is_open {
            self.proven_or_undecided([rule, "not-undecided"], old, new, "what `not` excludes");
        } else if !of_source_not.is_empty() && of_target_not.len() < of_source_not.len() {
            self.record(rule, [Info, Info], "not");
        }
        let conditions = |view: &View<'a>| -> Vec<[Option<&'a Value>; 3]> {
            let says = |schema: &Option<&Value>| schema.is_some_and(|schema| !is_anything(schema));
            let mut all = view.conditions();
            all.retain(|[_, then, otherwise]| says(then) || says(otherwise));
            all
        };
        let (of_source, of_target) = (conditions(of_source), conditions(of_target));
        let text = |node: Node<'a, '_>, schema: &Option<&'a Value>| {
            schema.map_or_else(String::new, |schema| node.document.text(schema))
        };
        let all =
            |node: Node<'a, '_>, rule: &[Option<&'a Value>; 3]| rule.each_ref().map(|one| text(node, one));
        let known: Vec<[String; 3]> = of_source.iter().map(|rule| all(source, rule)).collect();
        let mut is_open = false;
        for rule in &of_target {
            let own = all(target, rule);
            if known.contains(&own) {
                continue;
            }
            let mut partners = (0..known.len()).filter(|idx| known[*idx][0] == own[0]);
            let Some(idx) = partners.next().filter(|_| partners.next().is_none()) else {
                is_open = true;
                continue;
            };
            for (at, step) in [(1, "{then}"), (2, "{else}")] {
                let [one, other] =
                    [of_source[idx][at], rule[at]].map(|schema| schema.into_iter().collect::<Vec<_>>());
                match self.side {
                    _ if other.is_empty() => {}
                    Side::Input => self.below(step, &one, &other),
                    Side::Output => self.below(step, &other, &one),
                }
            }
        }
        let rule = ids(
            has(a, "if"),
            has(b, "if"),
            ["condition-added", "condition-changed", "condition-removed"],
        );
        if is_open {
            self.proven_or_undecided([rule, "condition-undecided"], old, new, "what `if` demands");
        } else if of_source.len() > of_target.len() {
            self.record(rule, [Info, Info], "if");
        }
    }

    /// Whether every value that the target's `not` excludes is one that the source's `not` excludes.
    fn covers(&mut self, source: &'a Value, target: &'a Value) -> bool {
        let documents = self.documents;
        // For arguments the new schema is the target, so the comparison goes from new to old.
        self.documents = [documents[1], documents[0]];
        let level = match self.side {
            Side::Input => self.worst(&[target], &[source]),
            Side::Output => self.worst(&[source], &[target]),
        };
        self.documents = documents;
        level == Info
    }
}

/// How two branches of the target overlap, as whether it is proven and text; `None` if no value of
/// the source fits both.
fn overlap<'a>(source: Node<'a, '_>, pair: [Node<'a, '_>; 2], is_spent: bool) -> Option<(bool, String)> {
    if exclude_each_other(pair[0], pair[1]) || pair.iter().any(|branch| exclude_each_other(source, *branch)) {
        return None;
    }
    let in_source = View::new(source.document, source.schemas);
    if let Some(values) = source.all_values(&in_source)
        && values
            .iter()
            .all(|value| pair.iter().any(|branch| branch.fits(value) == Fit::No))
    {
        return None;
    }
    let mut tried = [pair[0], pair[1], source]
        .map(|node| samples(node.document, node.schemas))
        .concat();
    // An object may fit both branches once it has the properties of both.
    let objects: Vec<_> = tried
        .iter()
        .filter_map(Value::as_object)
        .take(12)
        .cloned()
        .collect();
    for one in &objects {
        for other in &objects {
            let mut both = one.clone();
            both.extend(other.clone());
            tried.push(Value::Object(both));
        }
    }
    let is_in_all = |value: &&Value| {
        pair.iter().all(|branch| branch.fits(value) == Fit::Yes)
            && source.fits(value) == Fit::Yes
            && is_declared(source, value)
    };
    match tried.iter().find(is_in_all) {
        Some(value) => Some((true, format!("{} fits both, so `oneOf` refuses it", brief(value)))),
        None if is_spent => Some((false, "undecided: too many branches to compare".to_owned())),
        None => Some((
            false,
            "undecided: a value that fits both is refused; none was found, and no proof that there is none"
                .to_owned(),
        )),
    }
}

/// Whether the schemas of a node declare all properties of a value. Properties that no schema names
/// are passed over by the rules, so they are no counterexample.
fn is_declared(node: Node<'_, '_>, value: &Value) -> bool {
    match value {
        Value::Object(properties) => {
            let parts = all_parts(node);
            let is_open = |part: &View<'_>| {
                let others = part.all("additionalProperties");
                others.into_iter().any(|rule| *rule != Value::Bool(false))
                    || part.get("patternProperties").is_some()
            };
            parts.iter().any(is_open)
                || properties.iter().all(|(name, inner)| {
                    let own: Vec<&Value> = parts
                        .iter()
                        .flat_map(|part| {
                            part.entries("properties")
                                .remove(name.as_str())
                                .unwrap_or_default()
                        })
                        .collect();
                    !own.is_empty()
                        && is_declared(
                            Node {
                                schemas: &own,
                                ..node
                            },
                            inner,
                        )
                })
        }
        Value::Array(items) => {
            let parts = all_parts(node);
            items.iter().enumerate().all(|(idx, item)| {
                let own: Vec<&Value> = parts.iter().flat_map(|part| part.item(idx)).collect();
                is_declared(
                    Node {
                        schemas: &own,
                        ..node
                    },
                    item,
                )
            })
        }
        _ => true,
    }
}

fn declares_nothing(node: Node<'_, '_>) -> bool {
    all_parts(node)
        .iter()
        .all(|part| part.get("properties").is_none())
}

/// Views of a node and of the branches in it.
fn all_parts<'a>(node: Node<'a, '_>) -> Vec<View<'a>> {
    let mut views = vec![View::new(node.document, node.schemas)];
    let mut idx = 0;
    while idx < views.len() && views.len() < MAX_SEARCHED {
        let view = &views[idx];
        let unions = ["anyOf", "oneOf"]
            .into_iter()
            .flat_map(|key| view.unions(key))
            .flatten();
        let others = ["if", "then", "else"].into_iter().flat_map(|key| view.all(key));
        let dependent = view.entries("dependentSchemas").into_values().flatten();
        let inner: Vec<&Value> = unions.chain(others).chain(dependent).collect();
        let inner: Vec<View<'a>> = inner
            .into_iter()
            .map(|one| View::new(node.document, &[one]))
            .collect();
        views.extend(inner);
        idx += 1;
    }
    views
}

fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.contains_key("$ref")
                || fields.contains_key("$dynamicRef")
                || fields.values().any(has_reference)
        }
        Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}
