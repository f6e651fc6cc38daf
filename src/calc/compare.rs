//! Comparisons of two arms: effects, tests and intervals.

use crate::calc::answer::Answer;
use crate::calc::arms;
use crate::calc::arms::{ArmInput, both, is_rare};
use crate::calc::fields::{Fields, Taken};
use crate::stats::contrast::Contrast;
use crate::stats::difference::Estimate;
use crate::stats::dist::norm_isf;
use crate::stats::moments::{CupedSums, MeanMethod};
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::p_value::{Alternative, Ends, PValue};
use crate::stats::proportion::ShareMethod;
use crate::stats::ratio::ClusterVariance;
use crate::stats::two_proportions::{ProportionMethod, TwoByTwo};
use crate::stats::{
    Interval, Reason, contrast, moments, non_inferiority, proportion, quantile, ratio, sequential,
    two_proportions,
};

/// The default sample size for which anytime-valid intervals are tuned, as in GrowthBook.
const N_TUNING: f64 = 5_000.0;

/// The number of rows per arm from which the t and the normal distribution are practically equal.
const ENOUGH_ROWS: f64 = 200.0;

/// The answer of a comparison, or missing values with the reason.
fn put(contrast: Result<Contrast, Reason>) -> Answer {
    let mut answer = Answer::default();
    match contrast {
        Ok(contrast) => answer.put_contrast(&contrast),
        Err(reason) => {
            for name in [
                "control",
                "treatment",
                "effect_size",
                "rel_effect_size",
                "std_error",
                "statistic",
                "df",
                "p_value",
                "ci_lower",
                "ci_upper",
                "rel_ci_lower",
                "rel_ci_upper",
            ] {
                answer.miss(name, reason);
            }
        }
    }
    answer
}

pub(super) fn proportion(fields: &Fields<'_>) -> Taken<Answer> {
    let (control, treatment) = both(fields, arms::proportion)?;
    let methods = &[
        ("z", ProportionMethod::Z),
        ("z-unpooled", ProportionMethod::ZUnpooled),
        ("pearson", ProportionMethod::Pearson),
        ("pearson-yates", ProportionMethod::PearsonYates),
        ("g", ProportionMethod::G),
        ("fisher", ProportionMethod::Fisher),
        ("newcombe", ProportionMethod::Newcombe),
        ("welch", ProportionMethod::Welch),
    ];
    let method = fields.choice("method", methods, ProportionMethod::Z)?;
    Ok(put(two_proportions::compare(
        control,
        treatment,
        method,
        arms::plan(fields)?,
    )))
}

pub(super) fn proportion_interval(fields: &Fields<'_>) -> Taken<Answer> {
    let counts = arms::proportion(fields)?;
    let methods = &[
        ("wilson", ShareMethod::Wilson),
        ("clopper-pearson", ShareMethod::ClopperPearson),
        ("jeffreys", ShareMethod::Jeffreys),
        ("wald", ShareMethod::Wald),
        ("agresti-coull", ShareMethod::AgrestiCoull),
    ];
    let (method, alpha) = (
        fields.choice("method", methods, ShareMethod::Wilson)?,
        fields.alpha()?,
    );
    let known = if counts.n > 0.0 {
        Ok(())
    } else {
        Err(Reason::NoData)
    };
    let interval = known.map(|()| proportion::share_interval(counts.x, counts.n, method, alpha));
    let mut answer = Answer::default();
    answer.put_known("estimate", known.map(|()| counts.share()));
    answer.put_ends(["ci_lower", "ci_upper"], interval.map(Ends::from));
    if interval.is_ok_and(|interval| interval.ci_lower == interval.ci_upper) {
        answer.because("Wald's interval has no width here, which is no certainty: use wilson");
    }
    Ok(answer)
}

pub(super) fn mean(fields: &Fields<'_>) -> Taken<Answer> {
    let (control, treatment) = both(fields, arms::mean)?;
    let methods = &[
        ("welch", MeanMethod::Welch),
        ("student", MeanMethod::Student),
        ("z", MeanMethod::Z),
    ];
    let method = fields.choice("method", methods, MeanMethod::Welch)?;
    Ok(put(moments::compare(
        &control,
        &treatment,
        method,
        arms::plan(fields)?,
    )))
}

pub(super) fn ratio(fields: &Fields<'_>) -> Taken<Answer> {
    let (control, treatment) = both(fields, arms::ratio_sums)?;
    let plan = arms::plan(fields)?;
    let contrast = || {
        Ok(contrast::independent(
            control.estimate()?,
            treatment.estimate()?,
            plan,
        ))
    };
    Ok(put(contrast()))
}

pub(super) fn clusters(fields: &Fields<'_>) -> Taken<Answer> {
    let (control, treatment) = both(fields, arms::clusters)?;
    let variances = &[
        ("cr3", ClusterVariance::Cr3),
        ("cr1", ClusterVariance::Cr1),
        ("cr0", ClusterVariance::Cr0),
    ];
    let variance = fields.choice("variance", variances, ClusterVariance::Cr3)?;
    let plan = arms::plan(fields)?;
    if fields.flag_or("paired", false)? {
        if control.len() != treatment.len() {
            return Err(fields.refuse("treatment", "as many clusters as in control, in the same order"));
        }
        let paired = ratio::paired(&control, &treatment, variance);
        let contrast = paired.map(|paired| {
            let exact = |estimate| Estimate {
                estimate,
                std_error: 0.0,
                df: paired.df,
            };
            let whole = contrast::with_error(
                exact(paired.estimates[0]),
                exact(paired.estimates[1]),
                paired.std_error,
                paired.df,
                plan,
            );
            Contrast {
                relative: paired_relative(&control, &treatment, variance, plan),
                ..whole
            }
        });
        let mut answer = put(contrast);
        answer.put_known("n_clusters", paired.map(|paired| paired.n_clusters));
        answer.put_known("unstable", paired.map(|paired| paired.df < ratio::UNSTABLE_DF));
        return Ok(answer);
    }
    let (c, t) = (
        arms::cluster_ratio(&control, variance),
        arms::cluster_ratio(&treatment, variance),
    );
    let both = c.and_then(|c| t.map(|t| (c, t)));
    let mut answer = put(both.map(|(c, t)| contrast::independent((&c).into(), (&t).into(), plan)));
    let used = |rows: &[(f64, f64)]| {
        let has_data = |(num, den): &&(f64, f64)| *den > 0.0 || *num != 0.0;
        rows.iter().filter(has_data).count()
    };
    answer.put("n_clusters", used(&control) + used(&treatment));
    answer.put("n_clusters_control", used(&control));
    answer.put("n_clusters_treatment", used(&treatment));
    // With fewer than ten degrees of freedom, few clusters carry most of the variance.
    answer.put_known("unstable", both.map(|(c, t)| c.unstable || t.unstable));
    Ok(answer)
}

/// The relative effect `R1 / R0 - 1` of paired clusters. The residuals of the quotient are `u1 / R0
/// - R1 u0 / R0^2`.
fn paired_relative(
    control: &[(f64, f64)],
    treatment: &[(f64, f64)],
    variance: ClusterVariance,
    plan: contrast::TestPlan,
) -> Result<contrast::RelativeContrast, Reason> {
    let own = arms::cluster_ratio(control, variance)?;
    let r0 = own.estimate;
    if own.interval(plan.alpha).contains_zero() {
        return Err(Reason::ControlNearZero);
    }
    let r1 = ratio::point(treatment.iter().copied()).ok_or(Reason::NoData)?.2;
    let scaled =
        |rows: &[(f64, f64)], by: f64| rows.iter().map(|(num, den)| (num * by, *den)).collect::<Vec<_>>();
    let paired = ratio::paired(
        &scaled(control, r1 / (r0 * r0)),
        &scaled(treatment, 1.0 / r0),
        variance,
    )?;
    let rel_effect_size = (r1 - r0) / r0;
    let zero = Estimate {
        estimate: 0.0,
        std_error: 0.0,
        df: paired.df,
    };
    let moved = contrast::with_error(
        zero,
        Estimate {
            estimate: rel_effect_size,
            ..zero
        },
        paired.std_error,
        paired.df,
        plan,
    );
    Ok(contrast::RelativeContrast {
        rel_effect_size,
        ci: moved.ci,
        log_ci: None,
    })
}

pub(super) fn cuped(fields: &Fields<'_>) -> Taken<Answer> {
    let arm = |fields: &Fields<'_>| {
        let n = fields.count("n")?;
        let pair = |sum_name, squares_name| {
            let sum = fields.number(sum_name)?;
            Ok([sum, arms::sum_squares(fields, squares_name, sum, n)?])
        };
        let (post, pre) = (
            pair("post_sum", "post_sum_squares")?,
            pair("pre_sum", "pre_sum_squares")?,
        );
        Ok(CupedSums {
            n,
            post,
            pre,
            post_pre: arms::sum_products(fields, "post_pre_sum", n, [post, pre])?,
        })
    };
    let (control, treatment) = both(fields, arm)?;
    let cuped = moments::cuped(&control, &treatment, arms::plan(fields)?);
    let mut answer = put(cuped.map(|cuped| cuped.contrast));
    answer.put_known("theta", cuped.map(|cuped| cuped.theta));
    answer.put_known("variance_reduction", cuped.map(|cuped| cuped.variance_reduction));
    Ok(answer)
}

pub(super) fn quantile(fields: &Fields<'_>) -> Taken<Answer> {
    let q = fields.number_where("q", "a number between 0 and 1", |q| q > 0.0 && q < 1.0)?;
    let plan = arms::plan(fields)?;
    let arm = |fields: &Fields<'_>| fields.rows_where("clusters", "a list of lists of numbers", |_| true);
    let (control, treatment) = both(fields, arm)?;
    let estimate = |clusters: &[Vec<f64>]| quantile::woodruff_of_values(clusters, q, plan.alpha);
    let (c, t) = (estimate(&control), estimate(&treatment));
    let of = |arm: &Result<(f64, Result<quantile::QuantileEstimate, Reason>), Reason>| {
        arm.and_then(|(_, interval)| interval).map(|q| Estimate {
            estimate: q.estimate,
            std_error: q.std_error,
            df: (q.n_clusters - 1) as f64,
        })
    };
    let mut answer = match of(&c).and_then(|c| of(&t).map(|t| (c, t))) {
        Ok((c, t)) => put(Ok(contrast::independent(c, t, plan))),
        Err(reason) => {
            // The point estimates are shown even without standard errors.
            let mut answer = Answer::default();
            let (c, t) = (c.map(|c| c.0), t.map(|t| t.0));
            answer.put_known("control", c);
            answer.put_known("treatment", t);
            answer.put_known("effect_size", c.and_then(|c| t.map(|t| t - c)));
            for name in [
                "rel_effect_size",
                "std_error",
                "statistic",
                "df",
                "p_value",
                "ci_lower",
                "ci_upper",
                "rel_ci_lower",
                "rel_ci_upper",
            ] {
                answer.miss(name, reason);
            }
            answer
        }
    };
    for (names, arm) in [
        (["control_ci_lower", "control_ci_upper"], &c),
        (["treatment_ci_lower", "treatment_ci_upper"], &t),
    ] {
        answer.put_ends(
            names,
            arm.and_then(|(_, interval)| interval).and_then(|q| {
                // A quantile whose neighbors are all equal has an interval without width.
                if q.ci.ci_lower < q.ci.ci_upper {
                    Ok(Ends::from(q.ci))
                } else {
                    Err(Reason::NoVariance)
                }
            }),
        );
    }
    Ok(answer)
}

pub(super) fn sequential(fields: &Fields<'_>) -> Taken<Answer> {
    let (control, treatment) = both(fields, arms::any)?;
    let plan = arms::plan(fields)?;
    if fields.has("v_star") && fields.has("n_tuning") {
        return Err(fields.refuse("n_tuning", "v_star or n_tuning, not both"));
    }
    let v_star = if fields.has("v_star") {
        Some(fields.positive("v_star")?)
    } else {
        None
    };
    let n_tuning = fields.number_or("n_tuning", N_TUNING, "a number above 0", |n| n > 0.0)?;
    let relative = fields.flag_or("relative", false)?;
    let estimates = control
        .estimate()
        .and_then(|c| treatment.estimate().map(|t| (c, t)));
    let mut answer = put(estimates.map(|(c, t)| contrast::independent(c, t, plan)));
    let found = estimates.and_then(|(c, t)| sequence(c, t, relative));
    // A one-sided level corresponds to a two-sided level twice as large.
    let level = if plan.alternative == Alternative::TwoSided {
        plan.alpha
    } else {
        (2.0 * plan.alpha).min(0.999)
    };
    let tau2 = found.map(|(_, v)| match v_star {
        Some(v_star) => sequential::mixture_variance(v_star, level),
        None => v * (control.n() + treatment.n()) * sequential::mixture_variance(1.0 / n_tuning, level),
    });
    let (ends, p_value) = match found.and_then(|(d, v)| tau2.map(|tau2| (d, v, tau2))) {
        Ok((d, v, tau2)) => {
            let half = match plan.alternative {
                Alternative::TwoSided => sequential::half_width(v, tau2, plan.alpha),
                _ if v_star.is_none() => sequential::one_sided_bound(v, tau2, plan.alpha),
                _ => sequential::one_sided_half_width(v, tau2, plan.alpha),
            };
            let ends = plan.alternative.ends(d, plan.alpha, |_| half);
            let p_value = match plan.alternative {
                Alternative::TwoSided => PValue::from_ln(-sequential::ln_e_value(d, v, tau2)),
                // The p-value is the level at which the interval's bound reaches 0.
                Alternative::Greater if v_star.is_none() => sequential::one_sided_bound_p_value(d, v, tau2),
                Alternative::Less if v_star.is_none() => sequential::one_sided_bound_p_value(-d, v, tau2),
                Alternative::Greater => sequential::one_sided_p_value(d, v, tau2),
                Alternative::Less => sequential::one_sided_p_value(-d, v, tau2),
            };
            (Ok(ends), Ok(p_value))
        }
        Err(reason) => (Err(reason), Err(reason)),
    };
    let (taken, shown) = if relative {
        (["rel_ci_lower", "rel_ci_upper"], ["ci_lower", "ci_upper"])
    } else {
        (["ci_lower", "ci_upper"], ["rel_ci_lower", "rel_ci_upper"])
    };
    // Intervals and p-values of the fixed-sample comparison are not valid at every look, so they
    // are removed.
    let stays = |name: &str| {
        !name.starts_with("rel_log")
            && !name.ends_with("p_value")
            && !taken.contains(&name)
            && !shown.contains(&name)
    };
    answer.items.retain(|(name, _)| stays(name));
    answer.put_p_value(p_value);
    answer.put_ends(taken, ends);
    answer.put_known("tau2", tau2);
    if let (Ok((d, v)), Ok(tau2), Alternative::TwoSided) = (found, tau2, plan.alternative) {
        answer.put("log_e_value", sequential::ln_e_value(d, v, tau2));
    }
    Ok(answer)
}

/// The effect and its variance, absolute or relative (by the delta method).
fn sequence(control: Estimate, treatment: Estimate, relative: bool) -> Result<(f64, f64), Reason> {
    let (v0, v1) = (control.std_error.powi(2), treatment.std_error.powi(2));
    let (r0, r1) = (control.estimate, treatment.estimate);
    let (d, v) = if relative {
        if r0 == 0.0 {
            return Err(Reason::ControlNearZero);
        }
        ((r1 - r0) / r0, v1 / (r0 * r0) + r1 * r1 * v0 / r0.powi(4))
    } else {
        (r1 - r0, v0 + v1)
    };
    if v > 0.0 {
        Ok((d, v))
    } else {
        Err(Reason::NoVariance)
    }
}

/// The unit of a margin: absolute, or relative to the control.
#[derive(Clone, Copy, PartialEq)]
enum MarginKind {
    Absolute,
    Relative,
}

pub(super) fn non_inferiority(fields: &Fields<'_>) -> Taken<Answer> {
    let (control, treatment) = both(fields, arms::any)?;
    let margin = fields.positive("margin")?;
    let kind = fields.choice(
        "margin_kind",
        &[
            ("absolute", MarginKind::Absolute),
            ("relative", MarginKind::Relative),
        ],
        MarginKind::Absolute,
    )?;
    let bad = fields.choice("higher_is", &[("better", -1.0), ("worse", 1.0)], -1.0)?;
    let alpha = fields.alpha()?;
    let plan = contrast::TestPlan {
        alternative: Alternative::TwoSided,
        alpha,
    };
    // The default is the normal distribution from 200 rows per arm, and Welch's t below.
    let by_t = fields.choice(
        "method",
        &[("welch", true), ("z", false)],
        control.n().min(treatment.n()) < ENOUGH_ROWS,
    )?;
    let clustered = matches!(control, ArmInput::Clusters(_)) || matches!(treatment, ArmInput::Clusters(_));
    let estimate = |arm: &ArmInput| {
        arm.estimate().map(|e| {
            if by_t || clustered {
                e
            } else {
                Estimate {
                    df: f64::INFINITY,
                    ..e
                }
            }
        })
    };
    let contrast =
        estimate(&control).and_then(|c| estimate(&treatment).map(|t| contrast::independent(c, t, plan)));
    let rare = match (&control, &treatment) {
        (ArmInput::Proportion(c), ArmInput::Proportion(t)) if is_rare(c) || is_rare(t) => Some((*c, *t)),
        _ => None,
    };
    let judged = contrast.and_then(|contrast| {
        let limit = if kind == MarginKind::Relative {
            margin * contrast.control.abs()
        } else {
            margin
        };
        if let Some((c, t)) = rare {
            return Ok(by_newcombe(c, t, bad, limit, alpha));
        }
        let std_error = contrast
            .std_error
            .filter(|se| *se > 0.0)
            .ok_or(Reason::NoVariance)?;
        let harm = bad * contrast.effect_size;
        let ends = contrast.ci?;
        let interval = Interval {
            ci_lower: ends.lower.ok_or(Reason::OneSided)?,
            ci_upper: ends.upper.ok_or(Reason::OneSided)?,
        };
        let interval = if bad < 0.0 { interval.negated() } else { interval };
        let statistic = (harm - limit) / std_error;
        let p_value = Alternative::Less.p_value(statistic, contrast.df.unwrap_or(f64::INFINITY));
        let verdict = non_inferiority::judge(harm, interval, limit, true);
        Ok(Judged {
            harm,
            limit,
            std_error: Some(std_error),
            statistic: Some(statistic),
            interval,
            p_value,
            verdict,
        })
    });
    let mut answer = Answer::default();
    answer.put_known("verdict", judged.map(|judged| word(judged.verdict)));
    answer.put_known("harm", judged.map(|judged| judged.harm));
    answer.put_known("margin", judged.map(|judged| judged.limit));
    answer.put_known("std_error", judged.map(|judged| judged.std_error));
    answer.put_known("statistic", judged.map(|judged| judged.statistic));
    answer.put_ends(
        ["ci_lower", "ci_upper"],
        judged.map(|judged| Ends::from(judged.interval)),
    );
    answer.put_p_value(judged.map(|judged| judged.p_value));
    if judged.is_ok_and(|judged| judged.std_error.is_none()) {
        answer.because("fewer than five events: Newcombe's interval, which has no standard error");
    }
    Ok(answer)
}

/// A harm judged against its margin.
#[derive(Clone, Copy)]
struct Judged {
    harm: f64,
    limit: f64,
    std_error: Option<f64>,
    statistic: Option<f64>,
    interval: Interval,
    p_value: PValue,
    verdict: HarmVerdict,
}

/// Judges a harm by Newcombe's interval. The p-value is the one-sided level at which the interval
/// reaches the margin.
fn by_newcombe(control: TwoByTwo, treatment: TwoByTwo, bad: f64, limit: f64, alpha: f64) -> Judged {
    let interval = |z: f64| {
        let interval = proportion::newcombe(treatment.share(), treatment.n, control.share(), control.n, z);
        if bad < 0.0 { interval.negated() } else { interval }
    };
    let harm = bad * (treatment.share() - control.share());
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..100 {
        let z = 0.5 * (low + high);
        let ends = interval(z);
        if (ends.ci_lower..=ends.ci_upper).contains(&limit) {
            high = z
        } else {
            low = z
        }
    }
    let z = 0.5 * (low + high);
    let p_value = Alternative::Less.p_value(if harm <= limit { -z } else { z }, f64::INFINITY);
    let interval = interval(norm_isf(0.5 * alpha));
    Judged {
        harm,
        limit,
        std_error: None,
        statistic: None,
        interval,
        p_value,
        verdict: non_inferiority::judge(harm, interval, limit, true),
    }
}

fn word(verdict: HarmVerdict) -> &'static str {
    match verdict {
        HarmVerdict::Safe => "safe",
        HarmVerdict::Unclear => "unclear",
        HarmVerdict::Violated => "violated",
    }
}
