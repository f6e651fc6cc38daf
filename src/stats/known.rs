//! Values that may be unknown, with the reason.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a number does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// No row to compute it from.
    NoData,
    /// The log does not have a column that it needs.
    NoColumn,
    /// Fewer than 20 clusters in an arm: their spread says too little.
    TooFewClusters,
    /// The whole layer has one release: there is nothing to compare with at the same time.
    NoConcurrentControl,
    /// A cluster holds nearly all of the denominator, so leaving it out leaves nothing.
    DominatingCluster,
    /// The quantity is a mean: added up over requests it says nothing.
    NotAdditive,
    /// Fewer rows than the method needs.
    TooFewRows,
    /// All values are alike, so nothing says how far chance reaches.
    NoVariance,
    /// The control's own interval contains 0: nothing is a multiple of it.
    ControlNearZero,
    /// The weights of an off-policy estimate rest on too few rows, or do not average to 1.
    NoOverlap,
    /// A one-sided interval has no other end.
    OneSided,
    /// A number on the way does not fit a double.
    OutOfRange,
    /// More work than can be done for one number.
    TooLarge,
    /// No value within the range of the method meets the conditions.
    NoSolution,
    /// Two causes always came together: their effects cannot be told apart.
    Aliased,
    /// A judge no better than a coin says nothing.
    UselessJudge,
    /// Some of the rows do not say, and what they would say may be anything.
    Incomplete,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoData => "no data",
            Self::NoColumn => "column not in the log",
            Self::TooFewClusters => "fewer than 20 clusters in an arm",
            Self::NoConcurrentControl => "no concurrent control",
            Self::DominatingCluster => "one cluster holds nearly everything",
            Self::NotAdditive => "not a quantity that adds up",
            Self::TooFewRows => "too few rows",
            Self::NoVariance => "no variance",
            Self::ControlNearZero => "the control's interval contains 0",
            Self::NoOverlap => "no overlap",
            Self::OneSided => "one-sided: no end on this side",
            Self::OutOfRange => "out of the range of double precision",
            Self::TooLarge => "too large to be computed exactly",
            Self::NoSolution => "no value meets the conditions",
            Self::Aliased => "aliased: the causes always came together",
            Self::UselessJudge => "sensitivity + specificity is at most 1",
            Self::Incomplete => "not known of some rows",
        })
    }
}

/// A value, or why there is none. In documents: the value's own object, or `{"reason": "..."}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Known<T> {
    /// The value.
    Value(T),
    /// No value.
    Unknown {
        /// Why not.
        reason: Reason,
    },
}

impl<T> Known<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// The value, or why there is none.
    ///
    /// # Errors
    /// No value.
    pub fn result(&self) -> Result<T, Reason>
    where
        T: Copy,
    {
        match self {
            Self::Value(value) => Ok(*value),
            Self::Unknown { reason } => Err(*reason),
        }
    }

    /// Why there is no value.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Value(_) => None,
            Self::Unknown { reason } => Some(*reason),
        }
    }
}

impl<T> From<Result<T, Reason>> for Known<T> {
    fn from(result: Result<T, Reason>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(reason) => Self::Unknown { reason },
        }
    }
}

/// An interval with finite ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub ci_lower: f64,
    /// Upper end.
    pub ci_upper: f64,
}

impl Interval {
    /// `center` plus and minus `half_width`.
    pub fn around(center: f64, half_width: f64) -> Self {
        Self {
            ci_lower: center - half_width,
            ci_upper: center + half_width,
        }
    }

    /// The same interval seen from the other side: `[-upper, -lower]`.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            ci_lower: -self.ci_upper,
            ci_upper: -self.ci_lower,
        }
    }

    /// Whether 0 is inside.
    pub fn contains_zero(&self) -> bool {
        self.ci_lower <= 0.0 && self.ci_upper >= 0.0
    }
}
