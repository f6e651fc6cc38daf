//! The plan of a ramp: releases, layers, ladders, ratios in force.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::base::time::Micros;
use crate::bucket::{Profile, Ratio};
use crate::scenario::layering::TagRule;
use crate::scenario::policy::{Guardrail, Policy};

/// What is ramped, and by which rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// ASCII slug.
    pub id: String,
    /// First instant of the plan; earlier rows are outside of it.
    pub start: Micros,
    /// The release users have today.
    pub baseline: String,
    /// The release being ramped.
    pub candidate: String,
    /// How production places users.
    pub profile: Profile,
    /// Digest of the layer table that the plan started with, if it pins one: comparisons rest on
    /// the layers of that moment.
    pub layers_digest: Option<String>,
    /// Length of a cube window, microseconds.
    pub window: Micros,
    /// Who signs operation-log rows.
    pub operator: String,
    /// Layers, most willing first; the last is the most protected.
    pub layers: Vec<Layer>,
    /// Single metrics that act before QoS.
    pub guardrails: Vec<Guardrail>,
    /// How verdicts are made.
    pub policy: Policy,
    /// Ratio changes so far, in time order.
    pub operations: Vec<Operation>,
    /// When nothing is promoted.
    pub freezes: Vec<Range<Micros>>,
    /// What people signed for.
    pub approvals: Vec<Approval>,
}

impl Plan {
    /// Index of the layer with an id.
    pub fn layer_idx(&self, id: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.id == id)
    }
}

/// Somebody's signature under a ratio of a safety-critical layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Index of the layer.
    pub layer_idx: usize,
    /// For which release.
    pub candidate: String,
    /// Up to which ratio.
    pub ratio: Ratio,
    /// When.
    pub at: Micros,
    /// Who.
    pub by: String,
}

/// One risk band of users, with its ramp.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// ASCII slug.
    pub id: String,
    /// For people; may be Chinese.
    pub name: String,
    /// Threshold mode: scores from here up (the last layer takes the rest).
    pub min_score: Option<f64>,
    /// Quota mode: share of users that no tag rule took.
    pub quota: Option<f64>,
    /// Any of these puts a user here, before any score.
    pub tags: Vec<TagRule>,
    /// The ratio a layer opens with; 0 for the ladder's first.
    pub initial_ratio: Ratio,
    /// Ratios in rising order, the initial one among them.
    pub ladder: Vec<Ratio>,
    /// QoS from which the layer may go up.
    pub qos_threshold: f64,
    /// How long a ratio must have held, microseconds.
    pub dwell: Micros,
    /// Exposed users below which nothing is promoted.
    pub min_users: u64,
    /// Layers that must be full first, as indices.
    pub after: Vec<usize>,
    /// Every promotion needs an [`Approval`].
    pub safety_critical: bool,
}

impl Layer {
    /// The next step above a ratio, if there is one.
    pub fn next_step(&self, ratio: Ratio) -> Option<Ratio> {
        if ratio == Ratio::ZERO && self.initial_ratio > Ratio::ZERO {
            return Some(self.initial_ratio);
        }
        self.ladder.iter().copied().find(|step| *step > ratio)
    }

    /// The ratios that the layer goes through, from its first on.
    pub fn steps(&self) -> impl Iterator<Item = Ratio> {
        std::iter::successors(self.next_step(Ratio::ZERO), |ratio| self.next_step(*ratio))
    }

    /// The end of the ladder; below 1 it keeps a holdback.
    pub fn last_step(&self) -> Ratio {
        self.ladder.last().copied().unwrap_or(Ratio::FULL)
    }
}

/// A ratio change that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// When.
    pub at: Micros,
    /// Of which tenant; `None` for all.
    pub tenant: Option<String>,
    /// Index of the layer.
    pub layer_idx: usize,
    /// The new ratio.
    pub ratio: Ratio,
    /// Who.
    pub operator: String,
}

/// Which release a row ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The release users have today.
    Baseline,
    /// The release being ramped.
    Candidate,
}

impl Arm {
    /// Both releases, in the order of their indices.
    pub const ALL: [Self; 2] = [Self::Baseline, Self::Candidate];

    /// Index of the release in arrays of two: the baseline is 0, the candidate 1.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One value for each release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerArm<T> {
    /// The baseline's.
    pub baseline: T,
    /// The candidate's.
    pub candidate: T,
}

impl<T> PerArm<T> {
    /// Makes the value of each release, the baseline's first.
    pub fn from_fn(mut value: impl FnMut(Arm) -> T) -> Self {
        Self {
            baseline: value(Arm::Baseline),
            candidate: value(Arm::Candidate),
        }
    }
}

impl<T> std::ops::Index<Arm> for PerArm<T> {
    type Output = T;

    fn index(&self, arm: Arm) -> &T {
        match arm {
            Arm::Baseline => &self.baseline,
            Arm::Candidate => &self.candidate,
        }
    }
}

impl<T> std::ops::IndexMut<Arm> for PerArm<T> {
    fn index_mut(&mut self, arm: Arm) -> &mut T {
        match arm {
            Arm::Baseline => &mut self.baseline,
            Arm::Candidate => &mut self.candidate,
        }
    }
}

/// What cells are broken down by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakdownBy {
    /// The values of a column of the log.
    Column(String),
    /// The user, as a row of the layer table: the clusters of a small log.
    User,
}
