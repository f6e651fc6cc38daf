//! Comparisons on slices of the cases: those with the same value of a column, such as a language.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::release::evals::cases::{Case, Suite, ValueOf};
use crate::release::evals::compare::{MIN_PAIRS, clusters_of, compare};
use crate::release::evals::comparison::{Comparison, Design};
use crate::release::evals::contest::correct;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::simultaneous::{Family, FamilyMethod};

/// A slice with its comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    /// The value that the cases of the slice have.
    pub value: String,
    /// The comparison, with its interval at the level of all slices.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// The slices of one metric by one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SliceStudy {
    /// The name of the column.
    pub by: String,
    /// The number of slices that are compared.
    pub n_slices: usize,
    /// The number of slices with fewer than [`MIN_PAIRS`] pairs, which are not compared.
    pub n_small: usize,
    /// The number of cases without a value of the column, which belong to no slice.
    pub n_without: usize,
    /// How the error level of a slice follows from that of all slices.
    pub method: FamilyMethod,
    /// The slices, worst first: violated ones, then by harm.
    pub slices: Vec<Slice>,
}

/// Compares two releases on the slices by one attribute of the cases. `by` is its place among the
/// attributes, and its name. The p-values of the tests are corrected by Holm's method.
pub fn slices(
    suite: &Suite,
    metric: &str,
    value: &ValueOf,
    (arms, by): ([usize; 2], (usize, &str)),
    design: &Design,
) -> SliceStudy {
    let attribute = |case: &Case| case.attributes.get(by.0).cloned().flatten();
    let is_pair = |case: &Case| arms.iter().all(|arm| value(case, *arm).is_some());
    let mut n_pairs: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let mut n_without = 0;
    for case in &suite.cases {
        match attribute(case) {
            Some(value) => *n_pairs.entry(value).or_default() += usize::from(is_pair(case)),
            None => n_without += 1,
        }
    }
    let kept: Vec<&Arc<str>> = n_pairs
        .iter()
        .filter(|(_, n)| **n >= MIN_PAIRS)
        .map(|(value, _)| value)
        .collect();
    let n_small = n_pairs.len() - kept.len();
    let place_of: BTreeMap<&Arc<str>, usize> = kept
        .iter()
        .enumerate()
        .map(|(idx, value)| (*value, idx))
        .collect();
    let clusters = clusters_of(suite.cases.iter());
    let members = suite.cases.iter().zip(clusters).filter_map(|(case, cluster)| {
        let slice = attribute(case).and_then(|value| place_of.get(&value).copied())?;
        is_pair(case).then_some((cluster, slice))
    });
    let family = Family::of_slices(kept.len(), members);
    let design = Design {
        alpha: family.alpha_each(design.alpha),
        ..*design
    };
    let mut parts: Vec<Suite> = kept.iter().map(|_| suite.filtered(|_| false)).collect();
    for case in &suite.cases {
        if let Some(place) = attribute(case).and_then(|value| place_of.get(&value).copied()) {
            parts[place].cases.push(case.clone());
        }
    }
    let mut found: Vec<Slice> = kept
        .iter()
        .zip(&parts)
        .map(|(value_of_slice, part)| Slice {
            value: value_of_slice.to_string(),
            comparison: compare(part, metric, value, arms, &design),
        })
        .collect();
    if found.len() > 1 {
        correct(found.iter_mut().map(|slice| &mut slice.comparison).collect());
    }
    found.sort_by(|a, b| {
        let rank = |slice: &Slice| slice.comparison.verdict != Some(HarmVerdict::Violated);
        let harms = b.comparison.harm.total_cmp(&a.comparison.harm);
        rank(a).cmp(&rank(b)).then(harms).then(a.value.cmp(&b.value))
    });
    SliceStudy {
        by: by.1.to_owned(),
        n_slices: found.len(),
        n_small,
        n_without,
        method: family.method(),
        slices: found,
    }
}
