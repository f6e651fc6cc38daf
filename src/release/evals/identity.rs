//! The identity of cases: which rows of several releases are runs of the same case.
//!
//! The id of a file counts if it names one input in every release. If it does not, what was asked
//! identifies a case: descriptions name groups of cases, shuffled data sets have other positions, and
//! tools make up ids.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::release::evals::row::EvalRow;
use crate::words::Text;
use crate::words::evals as says;

/// How the cases of a suite are matched between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// By the ids of the files.
    CaseId,
    /// By what was asked.
    Asked,
    /// By what was asked, without texts that look like random ids, because no two releases share
    /// such a text.
    AskedWithoutIds,
}

impl MatchedBy {
    /// The method in words.
    pub fn text(self) -> Text {
        match self {
            Self::CaseId => says::by_id(),
            Self::Asked => says::by_input(),
            Self::AskedWithoutIds => says::by_input_without_ids(),
        }
    }
}

/// The cases of the rows of a suite.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) by: MatchedBy,
    /// The case of each row, numbered from 0.
    pub(super) case_of: Vec<usize>,
    /// The id of each case for readers.
    pub(super) labels: Vec<Arc<str>>,
    /// The ids that name other inputs in another release, sorted.
    pub(super) conflicts: Vec<Arc<str>>,
    /// The ids that name several inputs of one release, sorted.
    pub(super) ambiguous: Vec<Arc<str>>,
    /// Whether an input has other ids in another release.
    pub(super) is_renamed: bool,
}

/// What an id names.
#[derive(Default)]
struct NameUse<'a> {
    /// The input in each release; `None` if the release does not have the id, or does not say the
    /// input.
    asked: Vec<Option<&'a str>>,
    /// Whether a release has several inputs with the id.
    is_ambiguous: bool,
}

impl NameUse<'_> {
    fn is_conflict(&self) -> bool {
        let mut known = self.asked.iter().flatten();
        known
            .next()
            .is_some_and(|first| known.any(|other| other != first))
    }
}

/// Finds the cases of rows. Each row comes with its release, numbered from 0.
pub(super) fn identify(rows: &[(usize, &EvalRow)], n_arms: usize) -> Identity {
    let is_loose = has_only_random_ids(rows, n_arms);
    let asked_of = |row: &'_ EvalRow| -> Option<Arc<str>> {
        let loose = row.asked_without_ids.clone().filter(|_| is_loose);
        loose.or_else(|| row.asked.clone())
    };
    let asked: Vec<Option<Arc<str>>> = rows.iter().map(|(_, row)| asked_of(row)).collect();
    let mut uses: HashMap<&str, NameUse<'_>> = HashMap::new();
    for ((arm, row), asked) in rows.iter().zip(&asked) {
        let Some(name) = row.name.as_deref() else { continue };
        let used = uses.entry(name).or_default();
        used.asked.resize(n_arms, None);
        match (used.asked[*arm], asked.as_deref()) {
            (None, asked) => used.asked[*arm] = asked,
            (Some(known), Some(asked)) if known != asked => used.is_ambiguous = true,
            _ => {}
        }
    }
    let listed = |keep: &dyn Fn(&NameUse<'_>) -> bool| -> Vec<Arc<str>> {
        let kept = uses.iter().filter(|(_, used)| keep(used)).map(|(name, _)| *name);
        kept.collect::<BTreeSet<&str>>()
            .into_iter()
            .map(Arc::from)
            .collect()
    };
    let conflicts = listed(&|used| !used.is_ambiguous && used.is_conflict());
    let ambiguous = listed(&|used| used.is_ambiguous);
    let all_named = rows.iter().all(|(_, row)| row.name.is_some());
    let is_named = all_named && conflicts.is_empty() && ambiguous.is_empty();
    let is_renamed = all_named && is_renamed(rows, &asked, n_arms);
    let by = if is_named && !is_renamed {
        MatchedBy::CaseId
    } else if is_loose {
        MatchedBy::AskedWithoutIds
    } else {
        MatchedBy::Asked
    };
    let keys = match by {
        MatchedBy::CaseId => rows.iter().map(|(_, row)| Key::Name(name_of(row))).collect(),
        _ => keys_by_input(rows, &asked, &uses),
    };
    let (case_of, labels) = numbered(rows, &keys);
    Identity {
        by,
        case_of,
        labels,
        conflicts,
        ambiguous,
        is_renamed,
    }
}

/// The key of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Name(&'a str),
    Asked(&'a str),
    /// One of several cases with the same input, which every release has under the same ids.
    Both(&'a str, &'a str),
    /// A row without an id and without an input is a case of its own.
    Row(usize),
}

fn name_of(row: &EvalRow) -> &str {
    row.name.as_deref().unwrap_or_default()
}

/// Whether inputs differ between releases only by random ids: no digest with random ids is in two
/// releases, and a digest without them is.
fn has_only_random_ids(rows: &[(usize, &EvalRow)], n_arms: usize) -> bool {
    let shared = |digest: &dyn Fn(&EvalRow) -> Option<Arc<str>>| {
        let mut arm_of: HashMap<Arc<str>, usize> = HashMap::new();
        rows.iter()
            .filter(|(_, row)| row.asked_without_ids.is_some())
            .filter_map(|(arm, row)| Some((*arm, digest(row)?)))
            .any(|(arm, digest)| *arm_of.entry(digest).or_insert(arm) != arm)
    };
    n_arms > 1 && !shared(&|row| row.asked.clone()) && shared(&|row| row.asked_without_ids.clone())
}

/// Whether an input has other ids in another release. An input that shares one id is not renamed:
/// another case with the same input may be left out.
fn is_renamed(rows: &[(usize, &EvalRow)], asked: &[Option<Arc<str>>], n_arms: usize) -> bool {
    let mut names_of: HashMap<&str, Vec<HashSet<&str>>> = HashMap::new();
    for ((arm, row), asked) in rows.iter().zip(asked) {
        if let Some(asked) = asked {
            let names = names_of.entry(asked).or_default();
            names.resize_with(n_arms, HashSet::new);
            names[*arm].insert(name_of(row));
        }
    }
    names_of.values().any(|by_arm| {
        let known: Vec<&HashSet<&str>> = by_arm.iter().filter(|names| !names.is_empty()).collect();
        let mut pairs = known
            .iter()
            .enumerate()
            .flat_map(|(idx, a)| known[..idx].iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| a.is_disjoint(b))
    })
}

fn keys_by_input<'a>(
    rows: &[(usize, &'a EvalRow)],
    asked: &'a [Option<Arc<str>>],
    uses: &HashMap<&str, NameUse<'_>>,
) -> Vec<Key<'a>> {
    // The ids of each input, by release.
    let mut names_of: HashMap<&str, HashMap<usize, BTreeSet<&str>>> = HashMap::new();
    for ((arm, row), asked) in rows.iter().zip(asked) {
        if let Some(asked) = asked {
            let names = names_of.entry(asked).or_default().entry(*arm).or_default();
            names.insert(name_of(row));
        }
    }
    let is_split: HashSet<&str> = names_of
        .iter()
        .filter(|(_, by_arm)| {
            let mut sets = by_arm.values();
            let Some(first) = sets.next() else { return false };
            let is_unique = |name: &&str| {
                let used = uses.get(*name);
                used.is_some_and(|used| !used.is_ambiguous && !used.is_conflict())
            };
            first.len() > 1 && sets.all(|set| set == first) && first.iter().all(is_unique)
        })
        .map(|(asked, _)| *asked)
        .collect();
    let keys = rows
        .iter()
        .zip(asked)
        .enumerate()
        .map(
            |(idx, ((_, row), asked))| match (asked.as_deref(), row.name.as_deref()) {
                (Some(asked), Some(name)) if is_split.contains(asked) => Key::Both(asked, name),
                (Some(asked), _) => Key::Asked(asked),
                (None, Some(name)) => Key::Name(name),
                (None, None) => Key::Row(idx),
            },
        );
    keys.collect()
}

/// Numbers the keys, and gives each an id for readers: the only id of its rows, if no other case has
/// that id, else the digest of the input.
fn numbered(rows: &[(usize, &EvalRow)], keys: &[Key<'_>]) -> (Vec<usize>, Vec<Arc<str>>) {
    let mut number_of: HashMap<Key<'_>, usize> = HashMap::new();
    let mut cases: Vec<(Key<'_>, Option<&Arc<str>>)> = Vec::new();
    let mut case_of = Vec::with_capacity(rows.len());
    for ((_, row), key) in rows.iter().zip(keys) {
        let case = *number_of.entry(*key).or_insert_with(|| {
            cases.push((*key, row.name.as_ref()));
            cases.len() - 1
        });
        if cases[case].1 != row.name.as_ref() {
            cases[case].1 = None;
        }
        case_of.push(case);
    }
    let mut n_cases_of: HashMap<&str, usize> = HashMap::new();
    for name in cases.iter().filter_map(|(_, name)| *name) {
        *n_cases_of.entry(name).or_default() += 1;
    }
    let label = |(key, name): &(Key<'_>, Option<&Arc<str>>)| -> Arc<str> {
        match (key, name) {
            (_, Some(name)) if n_cases_of[&***name] == 1 => Arc::clone(name),
            (Key::Asked(asked), _) => Arc::from(*asked),
            (Key::Name(name), _) => Arc::from(*name),
            (Key::Both(asked, name), _) => format!("{name} ({asked})").into(),
            (Key::Row(idx), _) => format!("row {}", idx + 1).into(),
        }
    };
    let labels = cases.iter().map(label).collect();
    (case_of, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows from texts such as `0 id asked`, with `-` for nothing. The result is the number of cases
    /// and of cases that the first two releases share.
    fn check(rows: &[&str], by: MatchedBy, n_cases: usize, n_shared: usize, n_conflicts: usize) {
        let rows: Vec<(usize, EvalRow)> = rows
            .iter()
            .map(|row| {
                let parts: Vec<&str> = row.split(' ').collect();
                let text = |idx: usize| {
                    parts
                        .get(idx)
                        .filter(|text| **text != "-")
                        .map(|text| Arc::from(*text))
                };
                let row = EvalRow {
                    name: text(1),
                    asked: text(2),
                    asked_without_ids: text(3),
                    ..EvalRow::default()
                };
                (parts[0].parse().unwrap(), row)
            })
            .collect();
        let rows: Vec<(usize, &EvalRow)> = rows.iter().map(|(arm, row)| (*arm, row)).collect();
        let found = identify(&rows, 2);
        let arms_of = |case: usize| -> HashSet<usize> {
            let of_case = rows
                .iter()
                .zip(&found.case_of)
                .filter(|(_, other)| **other == case);
            of_case.map(|((arm, _), _)| *arm).collect()
        };
        let n_both = (0..found.labels.len())
            .filter(|case| arms_of(*case).len() == 2)
            .count();
        let labels: HashSet<&Arc<str>> = found.labels.iter().collect();
        assert_eq!(labels.len(), found.labels.len(), "{:?}", found.labels);
        assert_eq!(
            (found.by, found.labels.len(), n_both, found.conflicts.len()),
            (by, n_cases, n_shared, n_conflicts),
            "{rows:?}"
        );
    }

    #[test]
    fn ids_count_if_they_name_one_input() {
        use MatchedBy::{Asked, AskedWithoutIds, CaseId};
        check(&["0 a x", "0 b y", "1 b y", "1 a x"], CaseId, 2, 2, 0);
        // Two cases with the same input.
        check(&["0 a x", "0 b x", "1 b x", "1 a x"], CaseId, 2, 2, 0);
        // No inputs are known.
        check(&["0 a -", "0 b -", "1 b -"], CaseId, 2, 1, 0);
        // One description of two tests.
        check(&["0 d x", "0 d y", "1 d y", "1 d x"], Asked, 2, 2, 0);
        // Positions of a shuffled data set.
        check(&["0 1 x", "0 2 y", "1 2 x", "1 1 y"], Asked, 2, 2, 2);
        // An id whose input was edited. The other case is still one.
        check(&["0 a x", "0 b y", "1 a x", "1 b z"], Asked, 3, 1, 1);
        // The same inputs under other ids.
        check(&["0 a x", "0 b y", "1 1 x", "1 2 y"], Asked, 2, 2, 0);
        // One of two cases with the same input is left out.
        check(&["0 a x", "0 b x", "1 a x"], CaseId, 2, 1, 0);
        // Repeats without ids.
        check(&["0 - x", "0 - x", "1 - x", "1 - y"], Asked, 2, 1, 0);
        // Cases with the same input keep their ids beside an id that was edited.
        check(
            &["0 a x", "0 b x", "0 c y", "1 a x", "1 b x", "1 c z"],
            Asked,
            4,
            2,
            1,
        );
        // Random ids in inputs that no release shares.
        check(
            &["0 - r1 x", "0 - r2 y", "1 - r3 x", "1 - r4 y"],
            AskedWithoutIds,
            2,
            2,
            0,
        );
        // The same random id in both releases belongs to the case.
        check(&["0 - r1 x", "0 - r2 x", "1 - r1 x", "1 - r2 x"], Asked, 2, 2, 0);
        // Rows without anything are cases of their own.
        check(&["0 - -", "1 - -"], Asked, 2, 0, 0);
    }
}
