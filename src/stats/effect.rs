//! The effect of a treatment: a difference with intervals for one planned look, for every look, and
//! on the relative scale.

use serde::{Deserialize, Serialize};

use crate::stats::difference::{Difference, Estimate, independent_variance, welch_df_by_squares};
use crate::stats::dist::{t_isf, t_sf};
use crate::stats::known::{Interval, Reason};
use crate::stats::quantile::Quantile;
use crate::stats::ratio::RatioEstimate;
use crate::stats::scale_mixture::ScaleMixture;
use crate::stats::special::ln_choose;
use crate::stats::{proportion, ratio, sequential};

/// The effective number of events (or of non-events) in an arm below which a proportion counts as
/// rare. It is the number of events of independent rows that would have the same error. A plain
/// count is not suitable: a thousand events of one user carry the information of about one.
pub const FEW_EVENTS: f64 = 20.0;

/// The form of a metric, which says how its sums vary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricForm {
    /// A share: the numerator counts some of the rows (or calls) that the denominator counts.
    Proportion,
    /// A mean of recorded values.
    Mean {
        /// The smallest difference that the log can record, in the metric's unit.
        resolution: f64,
    },
}

/// The method of an effect's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectMethod {
    /// The spread between clusters, with the t distribution.
    ClusterRobust,
    /// Newcombe's interval on the effective sample size, for rare events.
    Newcombe,
    /// The difference of two quantiles, from the ends of Woodruff's intervals of the arms.
    Woodruff,
    /// Every cluster of both arms has the same value, so there is no spread. The p-value is the
    /// smallest one of a permutation of the clusters, and the interval is the recorded resolution.
    Permutation,
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

impl IntervalSpec {
    /// The mixture for every look, at a variance `v` of the effect above 0.
    pub fn mixture(&self, v: f64, df: f64) -> ScaleMixture {
        ScaleMixture::new(v, df, sequential::mixture_variance(self.v_star, self.alpha))
    }
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
    let (p_value, anytime, anytime_p_value) = if v > 0.0 {
        let mixture = levels.mixture(v, df);
        (
            difference.two_sided_p_value().min(1.0),
            Interval::around(effect_size, mixture.multiplier(levels.alpha) * v.sqrt()),
            mixture.p_value(difference.statistic()),
        )
    } else {
        (1.0, Interval::around(effect_size, 0.0), 1.0)
    };
    Effect {
        control: control.estimate,
        treatment: treatment.estimate,
        effect_size,
        std_error: difference.std_error,
        df,
        p_value,
        ci: difference.interval(levels.alpha),
        anytime,
        anytime_p_value,
        relative: relative(control, treatment, levels.alpha, df),
        method,
    }
}

/// The difference of two quantiles. Its intervals add the squared distances from the quantiles to
/// the ends of the arms' own intervals, as Newcombe's interval does. The p-value is the level at
/// which the interval reaches 0.
///
/// # Errors
/// [`Reason::TooFewRows`] if an arm has too few rows for an interval of one look.
///
/// # References
/// `docs/METHODS.md#latency-quantiles`; Newcombe (1998), Zou & Donner (2008).
pub fn quantile_difference(
    control: &Quantile,
    treatment: &Quantile,
    levels: IntervalSpec,
) -> Result<Effect, Reason> {
    let (q0, q1) = (control.summary(levels.alpha)?, treatment.summary(levels.alpha)?);
    let arm = |q: &Quantile, std_error| Estimate {
        estimate: q.estimate(),
        std_error,
        df: q.df(),
    };
    let (e0, e1) = (arm(control, q0.std_error), arm(treatment, q1.std_error));
    let plain = difference(e0, e1, levels, EffectMethod::Woodruff);
    let between = |c0: f64, c1: f64| {
        proportion::square_and_add(
            [control.estimate(), treatment.estimate()],
            [control.ends(c0), treatment.ends(c1)],
        )
    };
    let one_look = |alpha: f64| between(t_isf(0.5 * alpha, e0.df), t_isf(0.5 * alpha, e1.df));
    let ci = one_look(levels.alpha);
    let p_value = level_at_zero(|alpha| one_look(alpha).contains_zero());
    let v = independent_variance(e0, e1);
    let (anytime, mixed) = if v > 0.0 {
        let mixture = levels.mixture(v, plain.df);
        let c = mixture.multiplier(levels.alpha);
        let reached = level_at_zero(|alpha| {
            let c = t_isf(0.5 * alpha, f64::INFINITY);
            between(c, c).contains_zero()
        });
        (
            between(c, c),
            mixture.p_value(t_isf(0.5 * reached, f64::INFINITY)),
        )
    } else {
        (ci, p_value)
    };
    Ok(Effect {
        p_value,
        ci,
        anytime: anytime.union(ci),
        anytime_p_value: mixed.max(p_value),
        ..plain
    })
}

/// The largest level at which an interval contains 0, by bisection of its logarithm: 1 if it
/// contains 0 at level 1. `contains_zero` is true for all small levels.
fn level_at_zero(contains_zero: impl Fn(f64) -> bool) -> f64 {
    if contains_zero(1.0) {
        return 1.0;
    }
    let (mut low, mut high) = (-690.0_f64, 0.0_f64);
    if !contains_zero(low.exp()) {
        return low.exp();
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if contains_zero(middle.exp()) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.exp()
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
    let (rel_effect_size, t) = ((treatment.estimate - r0) / r0, t_isf(0.5 * alpha, df));
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

/// The effect on a metric between arms given as clusters `(numerator, denominator)`.
///
/// # Errors
/// As [`ratio::clusters`].
///
/// # References
/// `docs/METHODS.md#effects`.
pub fn between_clusters(
    control: &[(f64, f64)],
    treatment: &[(f64, f64)],
    form: MetricForm,
    levels: IntervalSpec,
) -> Result<Effect, Reason> {
    Ok(between(
        &ratio::clusters(control)?,
        &ratio::clusters(treatment)?,
        form,
        levels,
    ))
}

/// The effect on a metric between arms with cluster-robust errors.
///
/// The variance of a proportion has a floor; see [`proportion_estimate`]. Proportions with few
/// events or non-events in an arm ([`FEW_EVENTS`]) get Newcombe's interval on the effective sample
/// size for one look. The interval for every look contains that of one look. Means without any
/// spread get [`EffectMethod::Permutation`].
///
/// # References
/// `docs/METHODS.md#effects`; Newcombe (1998).
pub fn between(r0: &RatioEstimate, r1: &RatioEstimate, form: MetricForm, levels: IntervalSpec) -> Effect {
    match form {
        MetricForm::Proportion if is_share(r0) && is_share(r1) => between_shares(r0, r1, levels),
        MetricForm::Mean { resolution } if r0.std_error == 0.0 && r1.std_error == 0.0 => {
            between_constants(r0, r1, resolution, levels)
        }
        _ => difference(r0.into(), r1.into(), levels, EffectMethod::ClusterRobust),
    }
}

/// The difference `r1 - r0` with its variance and degrees of freedom, as [`between`] has them.
/// Simulations need no more of it at a look.
pub fn difference_of(r0: &RatioEstimate, r1: &RatioEstimate, form: MetricForm) -> (f64, f64, f64) {
    let (e0, e1) = if form == MetricForm::Proportion && is_share(r0) && is_share(r1) {
        (proportion_estimate(r0), proportion_estimate(r1))
    } else {
        (r0.into(), r1.into())
    };
    (
        r1.estimate - r0.estimate,
        independent_variance(e0, e1),
        welch_df_by_squares(e0, e1),
    )
}

fn between_shares(r0: &RatioEstimate, r1: &RatioEstimate, levels: IntervalSpec) -> Effect {
    let (e0, e1) = (proportion_estimate(r0), proportion_estimate(r1));
    let plain = difference(e0, e1, levels, EffectMethod::ClusterRobust);
    let whole = |interval: Interval| interval.within(-1.0, 1.0);
    if !is_rare(r0, r1) {
        return Effect {
            ci: whole(plain.ci),
            anytime: whole(plain.anytime),
            ..plain
        };
    }
    let (ci, p_value) = newcombe(r0, r1, plain.df, levels.alpha);
    Effect {
        p_value,
        ci,
        anytime: whole(plain.anytime.union(ci)),
        anytime_p_value: plain.anytime_p_value.max(p_value),
        // The delta method would understate the error here, as the spread between clusters does.
        relative: None,
        method: EffectMethod::Newcombe,
        ..plain
    }
}

/// Newcombe's interval on the effective sample sizes, with the p-value that matches it.
fn newcombe(r0: &RatioEstimate, r1: &RatioEstimate, df: f64, alpha: f64) -> (Interval, f64) {
    let [n0, n1] = effective_rows(r0, r1);
    let (p0, p1) = (r0.estimate, r1.estimate);
    (
        proportion::newcombe(p1, n1, p0, n0, t_isf(0.5 * alpha, df)),
        (2.0 * t_sf(proportion::newcombe_deviate(p1, n1, p0, n0), df)).min(1.0),
    )
}

/// The effect between arms in which every cluster has the same value. If the values differ, no
/// other division of the clusters separates them as well, so the p-value is
/// `2 / C(G0 + G1, min(G0, G1))`.
fn between_constants(
    r0: &RatioEstimate,
    r1: &RatioEstimate,
    resolution: f64,
    levels: IntervalSpec,
) -> Effect {
    let plain = difference(r0.into(), r1.into(), levels, EffectMethod::Permutation);
    let (g0, g1) = (r0.n_clusters as f64, r1.n_clusters as f64);
    let p_value = if plain.effect_size.abs() > resolution {
        (std::f64::consts::LN_2 - ln_choose(g0 + g1, g0.min(g1)))
            .exp()
            .min(1.0)
    } else {
        1.0
    };
    let ci = Interval::around(plain.effect_size, resolution);
    Effect {
        p_value,
        ci,
        anytime: ci,
        anytime_p_value: p_value,
        relative: (r0.estimate != 0.0).then(|| Relative {
            rel_effect_size: plain.effect_size / r0.estimate,
            ci: Interval::around(plain.effect_size / r0.estimate, (resolution / r0.estimate).abs()),
        }),
        ..plain
    }
}

/// Whether a ratio lies in 0..=1.
pub(super) fn is_share(r: &RatioEstimate) -> bool {
    (0.0..=1.0).contains(&r.estimate)
}

/// Whether two shares have too few events or non-events for the usual interval.
pub(super) fn is_rare(r0: &RatioEstimate, r1: &RatioEstimate) -> bool {
    let rows = effective_rows(r0, r1);
    let has_few = |(r, n): (&RatioEstimate, f64)| n * r.estimate.min(1.0 - r.estimate) < FEW_EVENTS;
    has_few((r0, rows[0])) || has_few((r1, rows[1]))
}

/// A share with its error for a difference. The variance is at least that of independent rows:
/// `p (1 - p) / D` with `p = (x + 1) / (D + 2)`, for x events in D rows. Without it, an arm with no
/// or few events would be too certain of its low rate. Where this floor applies, the degrees of
/// freedom are the number of clusters less 1.
///
/// # References
/// `docs/METHODS.md#effects`.
pub fn proportion_estimate(r: &RatioEstimate) -> Estimate {
    let own = Estimate::from(r);
    let floor = share_variance_floor(r.numerator, r.denominator);
    if own.variance() >= floor {
        return own;
    }
    Estimate {
        std_error: floor.sqrt(),
        df: (r.n_clusters as f64 - 1.0).max(1.0),
        ..own
    }
}

/// The smallest variance of a share of `x` events in `n` rows above 0; see [`proportion_estimate`].
pub fn share_variance_floor(x: f64, n: f64) -> f64 {
    let p = (x + 1.0) / (n + 2.0);
    p * (1.0 - p) / n
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
        form: MetricForm,
        levels: IntervalSpec,
        tau2: f64,
        every: bool,
        upwards: bool,
    ) -> Self {
        let is_proportion = form == MetricForm::Proportion && is_share(r0) && is_share(r1);
        let (e0, e1) = if is_proportion {
            (proportion_estimate(r0), proportion_estimate(r1))
        } else {
            (r0.into(), r1.into())
        };
        let v = independent_variance(e0, e1);
        if !every || v == 0.0 {
            return Self::at(&between(r0, r1, form, levels), every);
        }
        let effect_size = r1.estimate - r0.estimate;
        let df = welch_df_by_squares(e0, e1);
        let mixture = ScaleMixture::new(v, df, tau2);
        let mut interval = Interval::around(effect_size, mixture.multiplier(levels.alpha) * v.sqrt());
        let is_rare = is_proportion && is_rare(r0, r1);
        if is_rare {
            let [n0, n1] = effective_rows(r0, r1);
            let z = t_isf(0.5 * levels.alpha, df);
            interval = interval.union(proportion::newcombe(r1.estimate, n1, r0.estimate, n0, z));
        }
        if is_proportion {
            interval = interval.within(-1.0, 1.0);
        }
        let is_nothing = if upwards {
            interval.ci_lower <= 0.0
        } else {
            interval.ci_upper >= 0.0
        };
        let p_value = if is_nothing {
            1.0
        } else {
            let mixed = mixture.p_value(effect_size / v.sqrt());
            if is_rare {
                mixed.max(newcombe(r0, r1, df, levels.alpha).1)
            } else {
                mixed
            }
        };
        Self {
            control: r0.estimate,
            effect_size,
            interval,
            p_value,
        }
    }
}

/// One arm's own value with its interval, for one look or for every look. A proportion has
/// Wilson's interval on its effective rows, with the multiplier of one look or of every look.
///
/// # References
/// `docs/METHODS.md#guardrails`.
pub fn own_interval(r: &RatioEstimate, form: MetricForm, levels: IntervalSpec, every: bool) -> Interval {
    let is_proportion = form == MetricForm::Proportion && is_share(r);
    let own = if is_proportion {
        proportion_estimate(r)
    } else {
        r.into()
    };
    let (v, t) = (own.variance(), t_isf(0.5 * levels.alpha, own.df));
    let multiplier = if every && v > 0.0 {
        levels.mixture(v, own.df).multiplier(levels.alpha)
    } else {
        t
    };
    match form {
        MetricForm::Proportion if is_proportion => {
            let one_look = effective_rows_alone(r).unwrap_or_else(|| units(r));
            let wilson = |n: f64, z: f64| proportion::wilson(r.estimate, n, z);
            let interval = wilson(one_look, t);
            if every {
                let n = (r.estimate * (1.0 - r.estimate) / v).max(1.0 / v.sqrt());
                interval.union(wilson(n.min(r.denominator), multiplier))
            } else {
                interval
            }
        }
        MetricForm::Mean { resolution } if v == 0.0 => Interval::around(r.estimate, resolution),
        _ => Interval::around(r.estimate, multiplier * own.std_error),
    }
}

/// The effective numbers of rows of two shares: the numbers of independent rows with the same
/// errors. An arm with a share of 0 or 1 has the other arm's portion of effective rows. If both
/// have such a share, each independent unit counts as one row.
pub(super) fn effective_rows(r0: &RatioEstimate, r1: &RatioEstimate) -> [f64; 2] {
    let alone = [effective_rows_alone(r0), effective_rows_alone(r1)];
    match alone {
        [Some(n0), Some(n1)] => [n0, n1],
        [Some(n0), None] => [n0, r1.denominator * (n0 / r0.denominator)],
        [None, Some(n1)] => [r0.denominator * (n1 / r1.denominator), n1],
        [None, None] => [units(r0), units(r1)],
    }
}

/// The effective number of rows, `R (1 - R) / var R`, at most the number of rows. `None` for a share
/// of 0 or 1: its clusters are all equal, so they say nothing of the spread.
fn effective_rows_alone(r: &RatioEstimate) -> Option<f64> {
    let binomial = r.estimate * (1.0 - r.estimate);
    (binomial > 0.0).then(|| (binomial / r.std_error.powi(2)).min(r.denominator))
}

/// The number of independent units of an arm, at most the number of rows.
fn units(r: &RatioEstimate) -> f64 {
    r.n_units.min(r.denominator)
}

#[cfg(test)]
mod tests;
