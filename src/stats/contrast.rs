//! One planned z or t test of a difference: statistic, p-value and interval for each alternative.

use crate::stats::difference::{Difference, Estimate, independent_variance, t_quantile, welch_df};
use crate::stats::known::Reason;
use crate::stats::p_value::{Ends, PValue};

pub(super) use crate::stats::p_value::Alternative;

/// Treatment minus control, tested once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// The control's value.
    pub control: f64,
    /// The treatment's value.
    pub treatment: f64,
    /// Treatment minus control.
    pub effect_size: f64,
    /// Its standard error, as the test takes it; `None` for tests without one.
    pub std_error: Option<f64>,
    /// The test's statistic; `None` for tests without one.
    pub statistic: Option<f64>,
    /// Degrees of freedom; `None` for the normal distribution and exact tests.
    pub df: Option<f64>,
    /// The p-value, or why there is none.
    pub p_value: Result<PValue, Reason>,
    /// Interval of the effect.
    pub ci: Result<Ends, Reason>,
    /// `treatment / control - 1`, or why there is none.
    pub relative: Result<RelativeContrast, Reason>,
}

/// A relative effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelativeContrast {
    /// `treatment / control - 1`.
    pub rel_effect_size: f64,
    /// Delta-method interval.
    pub ci: Ends,
    /// Interval on the log scale; `None` unless both values are above 0.
    pub log_ci: Option<Ends>,
}

/// What a test is told beside the two estimates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestPlan {
    /// The alternative.
    pub alternative: Alternative,
    /// Error level of intervals.
    pub alpha: f64,
}

/// Compares two independent estimates: variances add, degrees of freedom combine by
/// Welch-Satterthwaite.
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

/// As [`independent`], with the effect's standard error and degrees of freedom given.
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
        std_error: Some(std_error),
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
/// where degrees of freedom are others.
fn relative(
    control: Estimate,
    treatment: Estimate,
    df: f64,
    ln_df: f64,
    plan: TestPlan,
) -> Result<RelativeContrast, Reason> {
    let (r0, r1) = (control.estimate, treatment.estimate);
    // Most controls are so far from 0 that no quantile need be computed to see it.
    let is_far = r0.abs() > 100.0 * control.std_error && control.df >= 5.0 && plan.alpha >= 1e-6;
    if r0 == 0.0 || !is_far && t_quantile(0.5 * plan.alpha, control.df) * control.std_error >= r0.abs() {
        return Err(Reason::ControlNearZero);
    }
    let (c0, c1) = (control.std_error / r0, treatment.std_error / r0);
    let std_error = c1.hypot(r1 / r0 * c0);
    if std_error == 0.0 {
        return Err(Reason::NoVariance);
    }
    if !std_error.is_finite() {
        return Err(Reason::OutOfRange);
    }
    let rel_effect_size = (r1 - r0) / r0;
    let log_ci = (r0 > 0.0 && r1 > 0.0).then(|| {
        let log_error = (treatment.std_error / r1).hypot(c0);
        plan.alternative
            .ends((r1 / r0).ln(), plan.alpha, |tail| {
                t_quantile(tail, ln_df) * log_error
            })
            .map(f64::exp_m1)
    });
    Ok(RelativeContrast {
        rel_effect_size,
        ci: plan.alternative.ends(rel_effect_size, plan.alpha, |tail| {
            t_quantile(tail, df) * std_error
        }),
        log_ci,
    })
}
