//! Outcomes that arrive late: the share of exposures with an outcome by each day. Exposures of
//! every age contribute, also those that are still young.

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
    /// Greenwood's standard error of the rate, as a share.
    pub std_error: f64,
}

/// The share with an outcome by day: `1 - prod (1 - d_i / n_i)` over ages up to the day, with `d_i`
/// the events and `n_i` the exposures at risk. Its variance is Greenwood's,
/// `S^2 sum d_i / (n_i (n_i - d_i))` with S the product. Ages must be in ascending order. Ages
/// without exposures at risk are left out of the result.
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
        // Ten exposures: one outcome on day 1, four exposures younger than two days, one outcome
        // among the other five on day 2.
        let age = |day: f64, events: f64, at_risk: f64| Age { day, events, at_risk };
        let found = kaplan_meier(&[age(1.0, 1.0, 10.0), age(2.0, 1.0, 5.0), age(3.0, 0.0, 0.0)]);
        assert_eq!(found.len(), 2);
        assert!((found[1].rate - (1.0 - 0.9 * 0.8)).abs() < 1e-15);
        let greenwood = 0.72 * (1.0 / 90.0 + 1.0 / 20.0_f64).sqrt();
        assert!((found[1].std_error - greenwood).abs() < 1e-15);
    }
}
