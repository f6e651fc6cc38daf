//! A z or t test of a difference at one planned look: statistic, p-value and interval for each
//! alternative.

use crate::stats::difference::{Difference, Estimate, independent_variance, t_quantile, welch_df};
use crate::stats::known::Reason;
use crate::stats::p_value::{Ends, PValue};

pub(super) use crate::stats::p_value::Alternative;

/// The difference of treatment and control, tested once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// The control's value, in the metric's unit.
    pub control: f64,
    /// The treatment's value, in the metric's unit.
    pub treatment: f64,
    /// Treatment minus control, in the metric's unit.
    pub effect_size: f64,
    /// Standard error of the difference, in the metric's unit; `None` if there is no variance.
    pub std_error: Option<f64>,
    /// The test statistic. `None` for tests without one, and where there is no p-value.
    pub statistic: Option<f64>,
    /// Degrees of freedom; `None` for the normal distribution and for exact tests.
    pub df: Option<f64>,
    /// The p-value, or the reason for its absence.
    pub p_value: Result<PValue, Reason>,
    /// Interval of the difference, or the reason for its absence.
    pub ci: Result<Ends, Reason>,
    /// `treatment / control - 1`, or the reason for its absence.
    pub relative: Result<RelativeContrast, Reason>,
}

/// A relative effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelativeContrast {
    /// `treatment / control - 1`: 0.1 is 10 % above the control.
    pub rel_effect_size: f64,
    /// Interval of the relative effect by the delta method, or the reason for its absence.
    pub ci: Result<Ends, Reason>,
    /// Interval computed on the log scale and transformed back; `None` unless both values are
    /// above 0.
    pub log_ci: Option<Ends>,
}

/// The settings of a test that do not depend on the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestPlan {
    /// The alternative hypothesis.
    pub alternative: Alternative,
    /// Error level of the intervals, above 0 and below 1. Two-sided intervals put half of it on
    /// each side.
    pub alpha: f64,
}

/// Compares two independent estimates. The variances add, and the degrees of freedom follow Welch
/// and Satterthwaite. The interval on the log scale has its own degrees of freedom, from the
/// relative variances.
///
/// # References
/// `docs/METHODS.md#the-calculator`; Welch (1947).
pub fn independent(control: Estimate, treatment: Estimate, plan: TestPlan) -> Contrast {
    let ln_df = welch_df(
        (treatment.std_error / treatment.estimate).powi(2),
        treatment.df,
        (control.std_error / control.estimate).powi(2),
        control.df,
    );
    let df = welch_df(treatment.variance(), treatment.df, control.variance(), control.df);
    let relative = relative(control, treatment, df, ln_df, plan);
    Contrast {
        relative,
        ..with_error(
            control,
            treatment,
            independent_variance(control, treatment).sqrt(),
            df,
            plan,
        )
    }
}

/// As [`independent`], with a given standard error and degrees of freedom of the difference.
pub fn with_error(
    control: Estimate,
    treatment: Estimate,
    std_error: f64,
    df: f64,
    plan: TestPlan,
) -> Contrast {
    let difference = Difference::new(control, treatment, std_error, df);
    let statistic = difference.statistic();
    let error = if !std_error.is_finite()
        || !df.is_finite() && df != f64::INFINITY
        || !statistic.is_finite() && std_error > 0.0
    {
        Err(Reason::OutOfRange)
    } else if std_error > 0.0 {
        Ok(())
    } else {
        Err(Reason::NoVariance)
    };
    Contrast {
        control: control.estimate,
        treatment: treatment.estimate,
        effect_size: difference.effect_size,
        std_error: (std_error != 0.0).then_some(std_error),
        statistic: error.is_ok().then_some(statistic),
        df: df.is_finite().then_some(df),
        p_value: error
            .map(|()| difference.p_value(plan.alternative))
            .and_then(PValue::checked),
        ci: error.map(|()| difference.ends(plan.alternative, plan.alpha)),
        relative: if error == Err(Reason::OutOfRange) {
            Err(Reason::OutOfRange)
        } else {
            relative(control, treatment, df, df, plan)
        },
    }
}

/// Relative effect by the delta method, `var = v1 / R0^2 + R1^2 v0 / R0^4`, and on the log scale,
/// `var = v1 / R1^2 + v0 / R0^2`. `ln_df` is the degrees of freedom on the log scale.
fn relative(
    control: Estimate,
    treatment: Estimate,
    df: f64,
    ln_df: f64,
    plan: TestPlan,
) -> Result<RelativeContrast, Reason> {
    let (r0, r1) = (control.estimate, treatment.estimate);
    // A control this far from 0 needs no t quantile to show that its interval excludes 0.
    let is_far = r0.abs() > 100.0 * control.std_error && control.df >= 5.0 && plan.alpha >= 1e-6;
    if r0 == 0.0 || !is_far && t_quantile(0.5 * plan.alpha, control.df) * control.std_error >= r0.abs() {
        return Err(Reason::ControlNearZero);
    }
    let (c0, c1) = (control.std_error / r0, treatment.std_error / r0);
    let std_error = c1.hypot(r1 / r0 * c0);
    if !std_error.is_finite() {
        return Err(Reason::OutOfRange);
    }
    let rel_effect_size = (r1 - r0) / r0;
    let ends = || {
        plan.alternative.ends(rel_effect_size, plan.alpha, |tail| {
            t_quantile(tail, df) * std_error
        })
    };
    let log_error = (treatment.std_error / r1).hypot(c0);
    let log_ends = || {
        let ends = plan.alternative.ends((r1 / r0).ln(), plan.alpha, |tail| {
            t_quantile(tail, ln_df) * log_error
        });
        ends.map(f64::exp_m1)
    };
    // Without a variance the point stays, but an interval would have no width.
    let has_variance = std_error > 0.0;
    Ok(RelativeContrast {
        rel_effect_size,
        ci: if has_variance {
            Ok(ends())
        } else {
            Err(Reason::NoVariance)
        },
        log_ci: (r0 > 0.0 && r1 > 0.0 && has_variance).then(log_ends),
    })
}
