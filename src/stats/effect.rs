//! The effect of a treatment: a difference with intervals for one planned look, for every look, and
//! on the relative scale.

use serde::{Deserialize, Serialize};

use crate::stats::difference::{Difference, Estimate, independent_variance, welch_df_by_squares};
use crate::stats::dist::{norm_isf, t_isf, t_sf};
use crate::stats::known::{Interval, Reason};
use crate::stats::ratio::RatioEstimate;
use crate::stats::{proportion, ratio, sequential};

/// The effective number of events (or of non-events) in an arm below which a proportion counts as
/// rare. It is the number of events of independent rows that would have the same error. A plain
/// count is not suitable: a thousand events of one user carry the information of about one.
pub const FEW_EVENTS: f64 = 20.0;

/// The method of an effect's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectMethod {
    /// The spread between clusters, with the t distribution.
    ClusterRobust,
    /// Newcombe's interval on the effective sample size, for rare events.
    Newcombe,
    /// The difference of two quantiles, from Woodruff's intervals of the arms.
    Woodruff,
}

/// An effect: treatment minus control, in the units of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The control's value, in the metric's unit.
    pub control: f64,
    /// The treatment's value, in the metric's unit.
    pub treatment: f64,
    /// Treatment minus control, in the metric's unit.
    pub effect_size: f64,
    /// Standard error of the difference, in the metric's unit.
    pub std_error: f64,
    /// Welch-Satterthwaite degrees of freedom.
    pub df: f64,
    /// Two-sided p-value for one planned look, 0..=1.
    pub p_value: f64,
    /// Two-sided interval of the difference for one planned look, at the error level of the
    /// [`IntervalSpec`].
    #[serde(flatten)]
    pub ci: Interval,
    /// Two-sided interval of the difference that is valid at every look, at the same error level.
    pub anytime: Interval,
    /// Two-sided p-value that is valid at every look, 0..=1.
    pub anytime_p_value: f64,
    /// `treatment / control - 1` with its interval for one planned look. `None` if the control's
    /// interval contains 0, for rare events, and where Fieller's interval is unbounded.
    pub relative: Option<Relative>,
    /// The method that computed the intervals and the p-values.
    pub method: EffectMethod,
}

/// A relative effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Relative {
    /// `treatment / control - 1`: 0.1 is 10 % above the control.
    pub rel_effect_size: f64,
    /// Interval of the relative effect for one planned look, by the delta method. If the control is
    /// within 5 standard errors of 0, it is Fieller's interval.
    #[serde(flatten)]
    pub ci: Interval,
}

/// The error level of the intervals, and the variance for which the anytime-valid ones are tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntervalSpec {
    /// Two-sided error level, above 0 and below 1.
    pub alpha: f64,
    /// The variance of an effect at which the anytime-valid interval is tightest; see
    /// [`sequential::mixture_variance`].
    pub v_star: f64,
}

/// The effect `treatment - control` for arms with disjoint clusters: the variances add, and the
/// degrees of freedom follow Welch and Satterthwaite. Without variance both p-values are 1.
///
/// # References
/// `docs/METHODS.md#effects`, `docs/METHODS.md#looking-many-times`.
pub fn difference(
    control: Estimate,
    treatment: Estimate,
    levels: IntervalSpec,
    method: EffectMethod,
) -> Effect {
    let v = independent_variance(control, treatment);
    let df = welch_df_by_squares(control, treatment);
    let difference = Difference::new(control, treatment, v.sqrt(), df);
    let effect_size = difference.effect_size;
    let tau2 = sequential::mixture_variance(levels.v_star, levels.alpha);
    let p_value = if v > 0.0 {
        difference.two_sided_p_value()
    } else {
        1.0
    };
    Effect {
        control: control.estimate,
        treatment: treatment.estimate,
        effect_size,
        std_error: difference.std_error,
        df,
        p_value,
        ci: difference.interval(levels.alpha),
        anytime: Interval::around(effect_size, sequential::half_width(v, tau2, levels.alpha)),
        anytime_p_value: sequential::p_value(effect_size, v, tau2),
        relative: relative(control, treatment, levels.alpha, df),
        method,
    }
}

/// Newcombe's intervals on the effective sample sizes: for one look, for every look, and the
/// variance that the first implies.
fn newcombe_anytime(
    r0: &RatioEstimate,
    r1: &RatioEstimate,
    df: f64,
    levels: IntervalSpec,
    tau2: f64,
) -> (Interval, Interval, f64) {
    let (n0, n1) = (effective_n(r0), effective_n(r1));
    let (p0, p1) = (r0.estimate, r1.estimate);
    let z = t_isf(0.5 * levels.alpha, df);
    let ci = proportion::newcombe(p1, n1, p0, n0, z);
    // Without events the clusters show no spread. The width of the interval gives a variance
    // above 0.
    let v = ((ci.ci_upper - ci.ci_lower) / (2.0 * z)).powi(2);
    (
        ci,
        proportion::newcombe(
            p1,
            n1,
            p0,
            n0,
            sequential::multiplier(v, tau2, levels.alpha, true),
        ),
        v,
    )
}

/// The number of standard errors between a control's ratio and 0 below which the delta method is
/// too inaccurate.
const FIELLER_WITHIN: f64 = 5.0;

/// Relative effect by the delta method: `var = v1 / R0^2 + R1^2 v0 / R0^4`. Where the control is
/// within 5 standard errors of 0 it takes Fieller's interval: the ratios `x` for which
/// `(R1 - x R0)^2 <= t^2 (v1 + x^2 v0)`. `None` if the control's own interval contains 0, or if
/// Fieller's set has no end.
fn relative(control: Estimate, treatment: Estimate, alpha: f64, df: f64) -> Option<Relative> {
    let r0 = control.estimate;
    if Interval::around(r0, t_isf(0.5 * alpha, control.df) * control.std_error).contains_zero() {
        return None;
    }
    let (v1, v0) = (treatment.variance(), control.variance());
    let (rel_effect_size, t) = (treatment.estimate / r0 - 1.0, t_isf(0.5 * alpha, df));
    if r0.abs() < FIELLER_WITHIN * control.std_error {
        let (a, b, c) = (
            r0 * r0 - t * t * v0,
            r0 * treatment.estimate,
            treatment.estimate.powi(2) - t * t * v1,
        );
        let root = (b * b - a * c).sqrt();
        // With few degrees of freedom the set of ratios may be unbounded.
        return (a > 0.0 && root.is_finite()).then(|| Relative {
            rel_effect_size,
            ci: Interval {
                ci_lower: (b - root) / a - 1.0,
                ci_upper: (b + root) / a - 1.0,
            },
        });
    }
    let variance = v1 / (r0 * r0) + (treatment.estimate / (r0 * r0)).powi(2) * v0;
    Some(Relative {
        rel_effect_size,
        ci: Interval::around(rel_effect_size, t * variance.sqrt()),
    })
}

/// The effect on a metric between arms given as clusters `(numerator, denominator)`. `proportion`
/// says whether the metric is a share of 0..=1.
///
/// Proportions with few events or non-events in an arm ([`FEW_EVENTS`]) get Newcombe's interval on
/// the effective sample size. Its anytime form takes the multiplier of the normal mixture in place
/// of the normal quantile; this is a heuristic.
///
/// # Errors
/// As [`ratio::clusters`].
///
/// # References
/// `docs/METHODS.md#effects`.
pub fn between_clusters(
    control: &[(f64, f64)],
    treatment: &[(f64, f64)],
    proportion: bool,
    levels: IntervalSpec,
) -> Result<Effect, Reason> {
    Ok(between(
        &ratio::clusters(control)?,
        &ratio::clusters(treatment)?,
        proportion,
        levels,
    ))
}

/// The effect on a metric between arms with cluster-robust errors; see [`between_clusters`].
pub fn between(r0: &RatioEstimate, r1: &RatioEstimate, proportion: bool, levels: IntervalSpec) -> Effect {
    let plain = difference(r0.into(), r1.into(), levels, EffectMethod::ClusterRobust);
    if !(proportion && is_rare(r0, r1)) {
        return plain;
    }
    let (n0, n1) = (effective_n(r0), effective_n(r1));
    let (p0, p1) = (r0.estimate, r1.estimate);
    let tau2 = sequential::mixture_variance(levels.v_star, levels.alpha);
    let (ci, anytime, v) = newcombe_anytime(r0, r1, plain.df, levels, tau2);
    let p_value = (2.0 * t_sf(proportion::newcombe_deviate(p1, n1, p0, n0), plain.df)).min(1.0);
    // The anytime p-value uses the same evidence: the mixture judges the normal deviate of the
    // p-value.
    let deviate = norm_isf((0.5 * p_value).clamp(1e-300, 0.5));
    Effect {
        std_error: v.sqrt(),
        p_value,
        ci,
        anytime,
        anytime_p_value: sequential::p_value(deviate * v.sqrt(), v, tau2),
        // The delta method would understate the error here, as the spread between clusters does.
        relative: None,
        method: EffectMethod::Newcombe,
        ..plain
    }
}

/// Whether two shares have too few events or non-events for the usual interval.
fn is_rare(r0: &RatioEstimate, r1: &RatioEstimate) -> bool {
    let is_share = |r: &RatioEstimate| (0.0..=1.0).contains(&r.estimate);
    let has_few = |r: &RatioEstimate| effective_n(r) * r.estimate.min(1.0 - r.estimate) < FEW_EVENTS;
    is_share(r0) && is_share(r1) && (has_few(r0) || has_few(r1))
}

/// One look at an effect, as a policy uses it: one interval and one p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// The control's value, in the metric's unit.
    pub control: f64,
    /// Treatment minus control, in the metric's unit.
    pub effect_size: f64,
    /// Interval of the effect, for one planned look or for every look.
    pub interval: Interval,
    /// Two-sided p-value, for one planned look or for every look, 0..=1.
    pub p_value: f64,
}

impl Look {
    /// Takes the look from an effect. `every` selects the interval and p-value that are valid at
    /// every look; otherwise those for one planned look.
    pub fn at(effect: &Effect, every: bool) -> Self {
        let (interval, p_value) = if every {
            (effect.anytime, effect.anytime_p_value)
        } else {
            (effect.ci, effect.p_value)
        };
        Self {
            control: effect.control,
            effect_size: effect.effect_size,
            interval,
            p_value,
        }
    }

    /// Computes the look at [`between`] two arms without the parts that a policy does not use.
    /// Simulations compute millions of looks.
    ///
    /// `tau2` is the mixture variance of `levels`; see [`sequential::mixture_variance`]. The policy
    /// acts only on effects above 0 if `upwards`, otherwise only on effects below 0. With `every`,
    /// the p-value is 1 unless the whole interval lies on that side of 0. This changes no decision:
    /// where the interval contains 0, the exact p-value is above alpha.
    pub fn between(
        r0: &RatioEstimate,
        r1: &RatioEstimate,
        proportion: bool,
        levels: IntervalSpec,
        tau2: f64,
        every: bool,
        upwards: bool,
    ) -> Self {
        if !every {
            return Self::at(&between(r0, r1, proportion, levels), every);
        }
        let (effect_size, v) = (
            r1.estimate - r0.estimate,
            independent_variance(r0.into(), r1.into()),
        );
        let is_rare = proportion && is_rare(r0, r1);
        let interval = if is_rare {
            newcombe_anytime(r0, r1, welch_df_by_squares(r0.into(), r1.into()), levels, tau2).1
        } else {
            Interval::around(effect_size, sequential::half_width(v, tau2, levels.alpha))
        };
        let is_nothing = if upwards {
            interval.ci_lower <= 0.0
        } else {
            interval.ci_upper >= 0.0
        };
        let p_value = match (is_nothing, is_rare) {
            (true, _) => 1.0,
            (false, true) => between(r0, r1, proportion, levels).anytime_p_value,
            (false, false) => sequential::p_value(effect_size, v, tau2),
        };
        Self {
            control: r0.estimate,
            effect_size,
            interval,
            p_value,
        }
    }
}

/// The effective sample size: the number of independent trials with the same error,
/// `R (1 - R) / var R`. It is at most the number of rows, and equal to it if there is no variance.
fn effective_n(r: &RatioEstimate) -> f64 {
    let variance = r.std_error.powi(2);
    let binomial = r.estimate * (1.0 - r.estimate);
    if variance > 0.0 && binomial > 0.0 {
        (binomial / variance).min(r.denominator)
    } else {
        r.denominator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: IntervalSpec = IntervalSpec {
        alpha: 0.05,
        v_star: 1e-4,
    };

    #[test]
    fn arms_add_their_variances() {
        let arm = |estimate, std_error, df| Estimate {
            estimate,
            std_error,
            df,
        };
        let effect = difference(
            arm(0.5, 0.03, 50.0),
            arm(0.6, 0.04, 80.0),
            LEVELS,
            EffectMethod::ClusterRobust,
        );
        assert!((effect.std_error - 0.05).abs() < 1e-15);
        assert!(
            (effect.df - 0.05_f64.powi(4) / (0.03_f64.powi(4) / 50.0 + 0.04_f64.powi(4) / 80.0)).abs() < 1e-9
        );
        assert!(effect.anytime.ci_lower < effect.ci.ci_lower && effect.ci.ci_upper < effect.anytime.ci_upper);
        let relative = effect.relative.unwrap();
        assert!((relative.rel_effect_size - 0.2).abs() < 1e-12);
    }

    #[test]
    fn rare_events_are_not_certain() {
        let none: Vec<(f64, f64)> = vec![(0.0, 50.0); 40];
        let effect = between_clusters(&none, &none, true, LEVELS).unwrap();
        assert_eq!(effect.method, EffectMethod::Newcombe);
        assert!(effect.ci.ci_upper > 0.0 && effect.anytime.ci_upper > effect.ci.ci_upper);
        assert!(effect.p_value > 0.99 && effect.anytime_p_value > 0.99);
    }

    #[test]
    fn a_look_is_the_effect_s() {
        let arm = |numerator: f64, denominator: f64, std_error| RatioEstimate {
            estimate: numerator / denominator,
            numerator,
            denominator,
            std_error,
            df: 80.0,
            n_clusters: 81,
            unstable: false,
        };
        for (r0, r1) in [
            (arm(600.0, 1e3, 0.02), arm(650.0, 1e3, 0.03)),
            (arm(600.0, 1e3, 0.01), arm(800.0, 1e3, 0.01)),
            (arm(3.0, 1e4, 2e-4), arm(1.0, 1e3, 1e-3)),
        ] {
            for every in [false, true] {
                let tau2 = sequential::mixture_variance(LEVELS.v_star, LEVELS.alpha);
                let whole = Look::at(&between(&r0, &r1, true, LEVELS), every);
                for upwards in [false, true] {
                    let quick = Look::between(&r0, &r1, true, LEVELS, tau2, every, upwards);
                    let is_acted_on =
                        whole.interval.ci_lower > 0.0 && upwards || whole.interval.ci_upper < 0.0 && !upwards;
                    assert_eq!(
                        quick,
                        Look {
                            p_value: if every && !is_acted_on { 1.0 } else { whole.p_value },
                            ..whole
                        }
                    );
                }
                assert!(whole.p_value > LEVELS.alpha || !whole.interval.contains_zero());
            }
        }
    }

    #[test]
    fn a_control_close_to_zero_has_fieller_s_interval() {
        let arm = |estimate, std_error| Estimate {
            estimate,
            std_error,
            df: 1e9,
        };
        let relative = relative(arm(0.04, 0.01), arm(0.06, 0.01), 0.05, 1e9).unwrap();
        let t = t_isf(0.025, 1e9);
        for end in [relative.ci.ci_lower, relative.ci.ci_upper] {
            let x = end + 1.0;
            assert!(((0.06 - x * 0.04_f64).powi(2) / (1e-4 + x * x * 1e-4) / (t * t) - 1.0).abs() < 1e-9);
        }
        assert!(
            relative.ci.ci_upper - relative.rel_effect_size > relative.rel_effect_size - relative.ci.ci_lower
        );
    }

    #[test]
    fn a_control_near_zero_has_no_relative_effect() {
        let arm = |estimate, std_error| Estimate {
            estimate,
            std_error,
            df: 100.0,
        };
        assert_eq!(
            difference(
                arm(0.01, 0.02),
                arm(0.5, 0.02),
                LEVELS,
                EffectMethod::ClusterRobust
            )
            .relative,
            None
        );
    }
}
