//! Outcomes that arrive late: the share of exposures with an outcome by each day. Exposures of
//! every age contribute, also those that are still young.

use crate::stats::known::Interval;
use crate::stats::proportion::{ShareMethod, share_interval};

/// The exposures that reached one age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Age {
    /// Age: days since the exposure.
    pub day: f64,
    /// Number of outcomes that arrived at this age.
    pub events: f64,
    /// Number of exposures that were observed at this age and had no outcome before it.
    pub at_risk: f64,
}

/// The share of exposures with an outcome up to a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ByDay {
    /// Days since the exposure.
    pub day: f64,
    /// One minus the Kaplan-Meier estimate, 0..=1.
    pub rate: f64,
    /// Greenwood's standard error of the rate, as a share. 0 without events, and where every
    /// exposure had its outcome.
    pub std_error: f64,
    /// The number of exposures of one age that would give an equally certain rate, above 0.
    pub n_effective: f64,
}

impl ByDay {
    /// Wilson's interval of the rate on the effective number of exposures, at two-sided level
    /// `alpha`. It has a width without events, too.
    pub fn interval(&self, alpha: f64) -> Interval {
        share_interval(
            self.rate * self.n_effective,
            self.n_effective,
            ShareMethod::Wilson,
            alpha,
        )
    }
}

/// The share with an outcome by day: `1 - prod (1 - d_i / n_i)` over ages up to the day, with `d_i`
/// the events and `n_i` the exposures at risk. Its variance is Greenwood's,
/// `S^2 sum d_i / (n_i (n_i - d_i))` with S the product. Ages must be in ascending order. Ages
/// without exposures at risk are left out of the result.
///
/// The effective number of exposures is `S (1 - S) / variance` at an age with events. At an age
/// without events, or where S is 0, it is at most Peto's `n_i / S`, S before the age: ages that few
/// exposures reached add no certainty.
///
/// # References
/// `docs/METHODS.md#attribution-and-late-outcomes`; Kaplan & Meier (1958), Greenwood (1926), Peto
/// et al. (1977), Rothman (1978).
pub fn kaplan_meier(ages: &[Age]) -> Vec<ByDay> {
    let (mut left, mut sum, mut n_effective) = (1.0, 0.0, f64::INFINITY);
    let step = |age: &Age| {
        // Once every exposure had its outcome, no exposure is left that could say more.
        let by_age = if left > 0.0 {
            age.at_risk / left
        } else {
            f64::INFINITY
        };
        left *= 1.0 - age.events / age.at_risk;
        if age.events < age.at_risk {
            sum += age.events / (age.at_risk * (age.at_risk - age.events));
        }
        let variance = left * left * sum;
        n_effective = if age.events > 0.0 && variance > 0.0 {
            left * (1.0 - left) / variance
        } else {
            by_age.min(n_effective)
        };
        ByDay {
            day: age.day,
            rate: 1.0 - left,
            std_error: variance.sqrt(),
            n_effective,
        }
    };
    ages.iter().filter(|age| age.at_risk > 0.0).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn censored_exposures_leave_the_risk_set() {
        // Ten exposures: one outcome on day 1, four exposures younger than two days, one outcome
        // among the other five on day 2.
        let age = |day: f64, events: f64, at_risk: f64| Age { day, events, at_risk };
        let found = kaplan_meier(&[age(1.0, 1.0, 10.0), age(2.0, 1.0, 5.0), age(3.0, 0.0, 0.0)]);
        assert_eq!(found.len(), 2);
        assert!((found[1].rate - (1.0 - 0.9 * 0.8)).abs() < 1e-15);
        let greenwood = 0.72 * (1.0 / 90.0 + 1.0 / 20.0_f64).sqrt();
        assert!((found[1].std_error - greenwood).abs() < 1e-15);
    }

    #[test]
    fn no_outcome_is_no_certainty() {
        let age = |day: f64, events: f64, at_risk: f64| Age { day, events, at_risk };
        let found = kaplan_meier(&[age(1.0, 0.0, 50.0), age(2.0, 0.0, 5.0)]);
        assert!((found[0].interval(0.05).ci_upper - 0.071_348).abs() < 1e-6);
        assert!((found[1].interval(0.05).ci_upper - 0.434_482).abs() < 1e-6);
        // All of 50 had the outcome on day 1. The interval is that of 50 of 50.
        let all = kaplan_meier(&[age(1.0, 50.0, 50.0)])[0];
        assert_eq!((all.rate, all.std_error, all.n_effective), (1.0, 0.0, 50.0));
        assert!((all.interval(0.05).ci_lower - 0.928_652).abs() < 1e-6);
        // Without censoring, the effective number is the number of exposures.
        let whole = kaplan_meier(&[age(1.0, 10.0, 100.0), age(2.0, 9.0, 90.0)]);
        assert!((whole[1].n_effective - 100.0).abs() < 1e-9);
        // Two exposures that reached day 2 without an outcome cannot vouch for all.
        let thin = kaplan_meier(&[age(1.0, 50.0, 100.0), age(2.0, 0.0, 2.0)]);
        assert_eq!((thin[1].rate, thin[1].n_effective), (0.5, 4.0));
    }
}
