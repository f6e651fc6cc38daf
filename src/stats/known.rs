//! Values that may be unknown, with the reason.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The reason for which a number could not be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// There is no row from which the value could be computed.
    NoData,
    /// The log lacks a column that the number needs.
    NoColumn,
    /// An arm has fewer than 20 clusters, too few to estimate an error from their spread.
    TooFewClusters,
    /// All users of the layer get the same release, so there is no control at the same time.
    NoConcurrentControl,
    /// One cluster has nearly all of the denominator, so the estimate without it does not exist.
    DominatingCluster,
    /// The quantity has no total: it cannot be added up over requests or over samples.
    NotAdditive,
    /// There are fewer rows than the method needs.
    TooFewRows,
    /// All values are equal, so no error can be estimated.
    NoVariance,
    /// The control's own interval contains 0, so a relative effect is not defined.
    ControlNearZero,
    /// An off-policy estimate is based on too few effective rows, or its weights do not have the
    /// mean 1.
    NoOverlap,
    /// A one-sided interval has no end on this side.
    OneSided,
    /// A number, or an intermediate result, is outside of the range of double precision or of its
    /// declared bounds.
    OutOfRange,
    /// The exact computation is too large.
    TooLarge,
    /// No value within the range of the method meets the conditions.
    NoSolution,
    /// Two causes always occur together, so their effects cannot be separated.
    Aliased,
    /// The judge is not better than chance: sensitivity + specificity is at most 1.
    UselessJudge,
    /// The value is missing for some of the rows, so the total is unknown.
    Incomplete,
    /// A share has more events than rows or trials, so its data are wrong.
    AboveOne,
    /// The method needs independent rows, and rows of one cluster are not.
    Clustered,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoData => "no data",
            Self::NoColumn => "column not in the log",
            Self::TooFewClusters => "fewer than 20 clusters in an arm",
            Self::NoConcurrentControl => "no concurrent control",
            Self::DominatingCluster => "one cluster has nearly all of the data",
            Self::NotAdditive => "the quantity has no total",
            Self::TooFewRows => "too few rows",
            Self::NoVariance => "no variance",
            Self::ControlNearZero => "the control's interval contains 0",
            Self::NoOverlap => "too little overlap of the two policies",
            Self::OneSided => "one-sided interval: no limit on this side",
            Self::OutOfRange => "out of the range of double precision",
            Self::TooLarge => "too large to be computed exactly",
            Self::NoSolution => "no value meets the conditions",
            Self::Aliased => "aliased: the causes always occur together",
            Self::UselessJudge => "sensitivity + specificity is at most 1",
            Self::Incomplete => "missing for some of the rows",
            Self::AboveOne => "a share above 1: more events than trials",
            Self::Clustered => "rows of one cluster are not independent",
        })
    }
}

/// A value, or the reason for its absence. In documents it is the value's own object, or
/// `{"reason": "..."}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Known<T> {
    /// The value could be computed.
    Value(T),
    /// The value could not be computed.
    Unknown {
        /// Reason for which the value could not be computed.
        reason: Reason,
    },
}

impl<T> Known<T> {
    /// Returns the value, or `None` if it is unknown.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// Returns the value as a `Result`.
    ///
    /// # Errors
    /// The reason, if the value is unknown.
    pub fn result(&self) -> Result<T, Reason>
    where
        T: Copy,
    {
        match self {
            Self::Value(value) => Ok(*value),
            Self::Unknown { reason } => Err(*reason),
        }
    }

    /// Returns the reason, or `None` if there is a value.
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

/// An interval with two ends. An infinite end has no limit; in documents it is null.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end, in the unit of the estimate. It belongs to the interval.
    #[serde(deserialize_with = "lower_end")]
    pub ci_lower: f64,
    /// Upper end, in the unit of the estimate. It belongs to the interval.
    #[serde(deserialize_with = "upper_end")]
    pub ci_upper: f64,
}

/// Reads the lower end of an interval; null is minus infinity.
fn lower_end<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NEG_INFINITY))
}

/// Reads the upper end of an interval; null is infinity.
fn upper_end<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

impl Interval {
    /// The interval from `center - half_width` to `center + half_width`.
    pub fn around(center: f64, half_width: f64) -> Self {
        Self {
            ci_lower: center - half_width,
            ci_upper: center + half_width,
        }
    }

    /// The interval of the negated quantity: `[-upper, -lower]`.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            ci_lower: -self.ci_upper,
            ci_upper: -self.ci_lower,
        }
    }

    /// The smallest interval that contains both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            ci_lower: self.ci_lower.min(other.ci_lower),
            ci_upper: self.ci_upper.max(other.ci_upper),
        }
    }

    /// The interval with its ends limited to `low..=high`.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self {
            ci_lower: self.ci_lower.clamp(low, high),
            ci_upper: self.ci_upper.clamp(low, high),
        }
    }

    /// Whether the interval contains 0. The ends belong to the interval.
    pub fn contains_zero(&self) -> bool {
        self.ci_lower <= 0.0 && self.ci_upper >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_without_a_limit_is_null() {
        let interval = Interval {
            ci_lower: -5.0,
            ci_upper: f64::INFINITY,
        };
        let text = serde_json::to_string(&interval).unwrap();
        assert_eq!(text, r#"{"ci_lower":-5.0,"ci_upper":null}"#);
        assert_eq!(serde_json::from_str::<Interval>(&text).unwrap(), interval);
        assert!(interval.contains_zero() && interval.negated().ci_lower == f64::NEG_INFINITY);
    }
}
