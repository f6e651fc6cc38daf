//! Ratios as integers in steps of 0.0001, so that the comparison `bucket < ratio` is exact.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The share of a layer's eligible users who get the candidate: 0..=10000 in steps of 0.0001 (basis
/// points). In documents it is a decimal share, for example `0.01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ratio(u16);

impl Ratio {
    /// The ratio 0: no user gets the candidate.
    pub const ZERO: Self = Self(0);
    /// The ratio 1: all eligible users get the candidate.
    pub const FULL: Self = Self(10_000);

    /// Takes a share of 0..=1.
    ///
    /// # Errors
    /// A message with the expected values, if the share is outside of 0..=1 or is not a multiple of
    /// 0.0001. Shares are never rounded.
    pub fn try_from_share(share: f64) -> Result<Self, String> {
        let bps = share * 10_000.0;
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("expected a ratio from 0 to 1, found {share}"));
        }
        if (bps - bps.round()).abs() > 1e-6 {
            return Err(format!("expected a ratio in steps of 0.0001, found {share}"));
        }
        Ok(Self(bps.round() as u16))
    }

    /// The error message for a system that supports only ratios in steps of `step` basis points.
    /// `None` if this ratio is a multiple of the step. Ratios are never rounded.
    pub fn rounding_problem(self, step: u16, system: &str) -> Option<String> {
        let step_percent = f64::from(step) / 100.0;
        (!self.0.is_multiple_of(step)).then(|| {
            format!(
                "expected ratios in steps of {step_percent}% (the smallest step of {system}), found {self}"
            )
        })
    }

    /// The ratio in basis points, 0..=10000. Buckets below this number get the candidate.
    pub fn bps(self) -> u16 {
        self.0
    }

    /// The ratio as a share, 0..=1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Whether a user in this bucket (0..=9999) gets the candidate.
    pub fn reaches(self, bucket: u16) -> bool {
        bucket < self.0
    }
}

impl fmt::Display for Ratio {
    /// Writes percent without trailing zeros: `0%`, `0.5%`, `100%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", f64::from(self.0) / 100.0))
    }
}

impl Serialize for Ratio {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.share())
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from_share(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use crate::bucket::ratio::Ratio;

    #[test]
    fn refuses_what_it_cannot_hold() {
        let check = |share: f64, expected: Option<u16>| {
            assert_eq!(
                Ratio::try_from_share(share).ok().map(Ratio::bps),
                expected,
                "{share}"
            )
        };
        check(0.0, Some(0));
        check(0.01, Some(100));
        check(0.0001, Some(1));
        check(0.29, Some(2_900));
        check(1.0, Some(10_000));
        check(0.00005, None);
        check(1.1, None);
        check(-0.1, None);
        check(f64::NAN, None);
    }
}
