//! Comparison of two proportions from counts of independent trials, without clusters.

use crate::stats::contrast::{Contrast, TestPlan};
use crate::stats::difference::Estimate;
use crate::stats::dist::{chi2_sf, ln_chi2_sf, norm_isf};
use crate::stats::known::Reason;
use crate::stats::p_value::{Ends, PValue};
use crate::stats::special::deviance;
use crate::stats::{contrast, exact, proportion};

/// The successes and trials of one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoByTwo {
    /// Number of trials.
    pub n: f64,
    /// Number of successes, 0..=n.
    pub x: f64,
}

impl TwoByTwo {
    /// The share of successes, 0..=1; NaN without trials.
    pub fn share(&self) -> f64 {
        self.x / self.n
    }

    /// The share with its binomial standard error, for the normal distribution.
    pub fn estimate(&self) -> Estimate {
        let p = self.share();
        Estimate {
            estimate: p,
            std_error: (p * ((self.n - self.x) / self.n) / self.n).sqrt(),
            df: f64::INFINITY,
        }
    }
}

/// The method that compares two proportions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProportionMethod {
    /// z test with the pooled variance. The interval uses each arm's own variance.
    #[default]
    Z,
    /// z test and interval with each arm's own variance.
    ZUnpooled,
    /// Pearson's chi-square test.
    Pearson,
    /// Pearson's chi-square test with Yates's continuity correction. The interval is corrected as
    /// well.
    PearsonYates,
    /// Likelihood-ratio chi-square test (G test).
    G,
    /// Fisher's exact test. The interval is that of the unpooled z test.
    Fisher,
    /// Newcombe's interval and the p-value that matches it.
    Newcombe,
    /// Welch's t test with the variances `p (1 - p) / n` and n - 1 degrees of freedom in each arm.
    Welch,
}

/// Compares two proportions.
///
/// # Errors
/// [`Reason::NoData`] if an arm has no trials, [`Reason::TooFewRows`] if an arm has fewer than two
/// trials under [`ProportionMethod::Welch`].
///
/// # References
/// `docs/METHODS.md#the-calculator`; Newcombe (1998); Yates (1934).
pub fn compare(
    control: TwoByTwo,
    treatment: TwoByTwo,
    method: ProportionMethod,
    plan: TestPlan,
) -> Result<Contrast, Reason> {
    if control.n == 0.0 || treatment.n == 0.0 {
        return Err(Reason::NoData);
    }
    let (e0, e1) = (control.estimate(), treatment.estimate());
    let unpooled = contrast::independent(e0, e1, plan);
    let pooled = (control.x + treatment.x) / (control.n + treatment.n);
    let rest = (control.n - control.x + treatment.n - treatment.x) / (control.n + treatment.n);
    let pooled_error = (pooled * rest * (1.0 / control.n + 1.0 / treatment.n)).sqrt();
    let d = unpooled.effect_size;
    match method {
        ProportionMethod::ZUnpooled => Ok(unpooled),
        ProportionMethod::Z => {
            let statistic = d / pooled_error;
            let p_value = if pooled_error > 0.0 {
                Ok(plan.alternative.p_value(statistic, f64::INFINITY))
            } else {
                Err(Reason::NoVariance)
            };
            Ok(Contrast {
                statistic: (pooled_error > 0.0).then_some(statistic),
                p_value,
                ..unpooled
            })
        }
        ProportionMethod::Welch => {
            if control.n < 2.0 || treatment.n < 2.0 {
                return Err(Reason::TooFewRows);
            }
            let (mut e0, mut e1) = (e0, e1);
            (e0.df, e1.df) = (control.n - 1.0, treatment.n - 1.0);
            Ok(contrast::independent(e0, e1, plan))
        }
        ProportionMethod::Pearson | ProportionMethod::PearsonYates | ProportionMethod::G => {
            let by_n = 1.0 / control.n + 1.0 / treatment.n;
            // Yates's correction moves each count by a half, but never beyond its expectation.
            let shift = if method == ProportionMethod::PearsonYates {
                (0.5_f64).min(d.abs() / by_n) * by_n
            } else {
                0.0
            };
            let statistic = if method == ProportionMethod::G {
                likelihood_ratio(control, treatment, pooled)
            } else {
                ((d.abs() - shift) / pooled_error).powi(2)
            };
            let has_variance = pooled_error > 0.0;
            let two_sided = || PValue {
                p: chi2_sf(statistic, 1.0),
                log10_p: ln_chi2_sf(statistic, 1.0) / std::f64::consts::LN_10,
            };
            let p_value = match plan.alternative {
                _ if !has_variance => Err(Reason::NoVariance),
                contrast::Alternative::TwoSided => Ok(two_sided()),
                // With one degree of freedom, the signed root of the chi-square statistic is a
                // standard normal deviate.
                side => Ok(side.p_value(statistic.sqrt() * d.signum(), f64::INFINITY)),
            };
            let ci = unpooled.ci.map(|ends| Ends {
                lower: ends.lower.map(|end| end - shift),
                upper: ends.upper.map(|end| end + shift),
            });
            Ok(Contrast {
                statistic: has_variance.then_some(statistic),
                df: has_variance.then_some(1.0),
                p_value,
                ci,
                ..unpooled
            })
        }
        ProportionMethod::Fisher => {
            let p_value = exact::fisher(
                treatment.x,
                treatment.n - treatment.x,
                control.x,
                control.n - control.x,
                plan.alternative,
            );
            Ok(Contrast {
                statistic: None,
                df: None,
                p_value,
                ..unpooled
            })
        }
        ProportionMethod::Newcombe => {
            let (p1, p0) = (treatment.share(), control.share());
            let ends = |tail: f64| proportion::newcombe(p1, treatment.n, p0, control.n, norm_isf(tail));
            let ci = match plan.alternative {
                contrast::Alternative::TwoSided => ends(0.5 * plan.alpha).into(),
                contrast::Alternative::Greater => Ends {
                    lower: Some(ends(plan.alpha).ci_lower),
                    upper: None,
                },
                contrast::Alternative::Less => Ends {
                    lower: None,
                    upper: Some(ends(plan.alpha).ci_upper),
                },
            };
            let deviate = proportion::newcombe_deviate(p1, treatment.n, p0, control.n);
            let p_value = plan
                .alternative
                .p_value(if d < 0.0 { -deviate } else { deviate }, f64::INFINITY);
            Ok(Contrast {
                statistic: None,
                df: None,
                p_value: Ok(p_value),
                ci: Ok(ci),
                ..unpooled
            })
        }
    }
}

/// `2 sum O ln(O / E)` over the four cells of the table, O the observed and E the expected counts.
fn likelihood_ratio(control: TwoByTwo, treatment: TwoByTwo, pooled: f64) -> f64 {
    // Observed and expected counts have the same sum. So E - O may be added to each term, which
    // avoids cancellation.
    let term = |observed: f64, expected: f64| {
        if observed > 0.0 {
            deviance(observed, expected)
        } else {
            expected
        }
    };
    let arm = |c: TwoByTwo| term(c.x, c.n * pooled) + term(c.n - c.x, c.n * (1.0 - pooled));
    (2.0 * (arm(control) + arm(treatment))).max(0.0)
}
