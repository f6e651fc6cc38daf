//! Outcomes that arrive late: the share that has come by each day, from exposures of every age.

/// Exposures of one age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Age {
    /// Days since the exposure.
    pub day: f64,
    /// Outcomes that came on this day, of exposures that were at least this old.
    pub events: f64,
    /// Exposures that were still without an outcome and at least this old.
    pub at_risk: f64,
}

/// The share with an outcome up to a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ByDay {
    /// Days since the exposure.
    pub day: f64,
    /// One less Kaplan and Meier's estimate.
    pub rate: f64,
    /// Greenwood's standard error.
    pub std_error: f64,
}

/// Kaplan and Meier's rate by day, with Greenwood's variance; ages ascending, those without anybody
/// at risk are left out.
///
/// # References
/// `docs/METHODS.md#attribution-and-late-outcomes`; Kaplan & Meier (1958), Greenwood (1926).
pub fn kaplan_meier(ages: &[Age]) -> Vec<ByDay> {
    let (mut left, mut sum) = (1.0, 0.0);
    let step = |age: &Age| {
        left *= 1.0 - age.events / age.at_risk;
        if age.events < age.at_risk {
            sum += age.events / (age.at_risk * (age.at_risk - age.events));
        }
        ByDay {
            day: age.day,
            rate: 1.0 - left,
            std_error: left * f64::sqrt(sum),
        }
    };
    ages.iter().filter(|age| age.at_risk > 0.0).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn censored_exposures_leave_the_risk_set() {
        // Ten exposures; one outcome on day 1; four are too young for day 2, on which one of the
        // five left has its outcome.
        let age = |day: f64, events: f64, at_risk: f64| Age { day, events, at_risk };
        let found = kaplan_meier(&[age(1.0, 1.0, 10.0), age(2.0, 1.0, 5.0), age(3.0, 0.0, 0.0)]);
        assert_eq!(found.len(), 2);
        assert!((found[1].rate - (1.0 - 0.9 * 0.8)).abs() < 1e-15);
        let greenwood = 0.72 * (1.0 / 90.0 + 1.0 / 20.0_f64).sqrt();
        assert!((found[1].std_error - greenwood).abs() < 1e-15);
    }
}
