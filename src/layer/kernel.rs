//! Scores of a batch: arrays in, arrays out.

use arrow_array::{Array, BooleanArray, Float64Array, StringArray};

use super::score::{Features, parts, score};
use crate::{
    input::{TagColumn, UserBatch},
    scenario::{Consent, Layering, Plan, TagRule, TagTest, UnknownUsers},
    time::{Micros, SECOND},
};

/// Scores of a batch of users.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Ten-thousandths.
    pub score: Vec<u16>,
    /// What places each user, before any score does.
    pub placement: Vec<Placement>,
    /// Consented to gray release.
    pub eligible: Vec<bool>,
    /// What was odd about each user.
    pub oddities: Vec<Oddities>,
}

/// What places a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The score.
    Score,
    /// A tag rule of this layer.
    Tag(u8),
    /// Nothing is known of the user, and the policy protects: the last layer.
    Protected,
}

/// What was odd about a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Recency, use count, value, acceptance not known.
    pub missing: [bool; 4],
    /// Parts that had to be clamped to 0..=1, in the same order.
    pub clamped: [bool; 4],
}

/// What was odd about some users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelCounts {
    /// Users without recency, use count, value, acceptance.
    pub missing: [u64; 4],
    /// Parts that had to be clamped to 0..=1, in the same order.
    pub clamped: [u64; 4],
    /// Users of whom nothing is known.
    pub n_unknown: u64,
    /// Users that a tag rule placed.
    pub n_tagged: u64,
}

impl KernelCounts {
    /// Counts a user.
    pub fn add(&mut self, oddities: &Oddities, placement: Placement) {
        for idx in 0..4 {
            self.missing[idx] += u64::from(oddities.missing[idx]);
            self.clamped[idx] += u64::from(oddities.clamped[idx]);
        }
        self.n_unknown += u64::from(oddities.missing == [true; 4]);
        self.n_tagged += u64::from(matches!(placement, Placement::Tag(_)));
    }
}

/// Scores every user of a batch.
pub fn score_users(users: &UserBatch, layering: &Layering, plan: &Plan, as_of: Micros) -> Scored {
    let as_of_secs = as_of as f64 / SECOND as f64;
    let rules: Vec<(u8, &TagRule)> =
        plan.layers.iter().enumerate().flat_map(|(idx, layer)| layer.tags.iter().map(move |rule| (idx as u8, rule))).collect();
    let n = users.n_users();
    let mut scored = Scored {
        score: Vec::with_capacity(n),
        placement: Vec::with_capacity(n),
        eligible: Vec::with_capacity(n),
        oddities: Vec::with_capacity(n),
    };
    for row in 0..n {
        let features = Features {
            last_use_secs: real_at(users.last_use_secs.as_ref(), row),
            use_count: real_at(users.use_count.as_ref(), row),
            user_value: real_at(users.user_value.as_ref(), row),
            accept_score: real_at(users.accept_score.as_ref(), row),
        };
        let parts = parts(&features, layering, as_of_secs);
        let missing = [features.last_use_secs, features.use_count, features.user_value, features.accept_score].map(|f| f.is_none());
        let tagged =
            rules.iter().zip(&users.tags).find(|((_, rule), column)| matches(&rule.test, column, row)).map(|((layer, _), _)| *layer);
        scored.score.push(score(&parts, &layering.weights));
        scored.oddities.push(Oddities { missing, clamped: parts.clamped });
        scored.placement.push(match tagged {
            Some(layer) => Placement::Tag(layer),
            None if features.is_unknown() && layering.unknown == UnknownUsers::Protect => Placement::Protected,
            None => Placement::Score,
        });
        scored.eligible.push(flag_at(users.is_allow_gray.as_ref(), row).unwrap_or(layering.consent == Consent::OptOut));
    }
    scored
}

fn matches(test: &TagTest, column: &TagColumn, row: usize) -> bool {
    match (test, column) {
        (TagTest::Equals(text), TagColumn::Text(values)) => text_at(values, row) == Some(text),
        (TagTest::AtLeast(least), TagColumn::Real(values)) => real_at(Some(values), row).is_some_and(|value| value >= *least),
        _ => false,
    }
}

fn text_at(values: &StringArray, row: usize) -> Option<&str> {
    values.is_valid(row).then(|| values.value(row))
}

fn real_at(values: Option<&Float64Array>, row: usize) -> Option<f64> {
    values.filter(|values| values.is_valid(row)).map(|values| values.value(row))
}

fn flag_at(values: Option<&BooleanArray>, row: usize) -> Option<bool> {
    values.filter(|values| values.is_valid(row)).map(|values| values.value(row))
}
