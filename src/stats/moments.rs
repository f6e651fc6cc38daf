//! Means and ratios of independent rows, computed from their sums: counts, sums, sums of squares
//! and sums of products.

use crate::stats::contrast::{Contrast, RelativeContrast, TestPlan};
use crate::stats::difference::Estimate;
use crate::stats::known::Reason;
use crate::stats::{contrast, spread};

/// The size, mean and variance of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Number of rows.
    pub n: f64,
    /// Mean of the rows.
    pub mean: f64,
    /// Sample variance, with the divisor n - 1.
    pub var: f64,
}

impl Moments {
    /// Computes the moments from the number of rows, the sum and the sum of squares. A variance
    /// within the rounding of the sums is 0.
    pub fn from_sums(n: f64, sum: f64, sum_squares: f64) -> Self {
        let mean = sum / n;
        let are_whole = spread::are_whole(&[sum, sum_squares]);
        let squares = spread::of_sums(sum_squares - sum * mean, &[sum_squares, sum * mean], n, are_whole);
        Self {
            n,
            mean,
            var: (squares / (n - 1.0)).max(0.0),
        }
    }

    /// Computes the moments of values. Equal values have exactly the variance 0 and their own value
    /// as the mean.
    pub fn from_values(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let first = values.first().copied().unwrap_or(f64::NAN);
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / n;
        Self {
            n,
            mean,
            var: values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0),
        }
    }

    /// The mean with its standard error `sqrt(var / n)` and n - 1 degrees of freedom.
    ///
    /// # Errors
    /// [`Reason::TooFewRows`] for fewer than two rows.
    pub fn estimate(&self) -> Result<Estimate, Reason> {
        if self.n < 2.0 {
            return Err(Reason::TooFewRows);
        }
        Ok(Estimate {
            estimate: self.mean,
            std_error: (self.var / self.n).sqrt(),
            df: self.n - 1.0,
        })
    }
}

/// The variance and the distribution of a test of two means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MeanMethod {
    /// Welch's t test: each arm has its own variance.
    #[default]
    Welch,
    /// Student's t test: one pooled variance for both arms.
    Student,
    /// z test: each arm has its own variance, normal distribution.
    Z,
}

/// Compares two means of independent rows.
///
/// # Errors
/// [`Reason::TooFewRows`] if an arm has fewer than two rows.
///
/// # References
/// `docs/METHODS.md#the-calculator`; Student (1908), Welch (1947).
pub fn compare(
    control: &Moments,
    treatment: &Moments,
    method: MeanMethod,
    plan: TestPlan,
) -> Result<Contrast, Reason> {
    let (mut e0, mut e1) = (control.estimate()?, treatment.estimate()?);
    match method {
        MeanMethod::Welch => Ok(contrast::independent(e0, e1, plan)),
        MeanMethod::Z => {
            (e0.df, e1.df) = (f64::INFINITY, f64::INFINITY);
            Ok(contrast::independent(e0, e1, plan))
        }
        MeanMethod::Student => {
            let df = control.n + treatment.n - 2.0;
            let pooled = ((control.n - 1.0) * control.var + (treatment.n - 1.0) * treatment.var) / df;
            let std_error = (pooled / control.n + pooled / treatment.n).sqrt();
            (e0.df, e1.df) = (df, df);
            let own = contrast::with_error(e0, e1, std_error, df, plan);
            // The relative interval pools as well. The one on the log scale has each arm's own
            // variance, as in tea-tasting.
            (e0.std_error, e1.std_error) = ((pooled / control.n).sqrt(), (pooled / treatment.n).sqrt());
            let contrast = contrast::with_error(e0, e1, std_error, df, plan);
            Ok(Contrast {
                relative: contrast.relative.map(|relative| RelativeContrast {
                    log_ci: own.relative.ok().and_then(|own| own.log_ci),
                    ..relative
                }),
                ..contrast
            })
        }
    }
}

/// Sums of a numerator N and a denominator D over independent rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioSums {
    /// Number of rows.
    pub n: f64,
    /// Sum of N and sum of N^2.
    pub num: [f64; 2],
    /// Sum of D and sum of D^2.
    pub den: [f64; 2],
    /// Sum of the products N D.
    pub num_den: f64,
}

impl RatioSums {
    /// The ratio `R = sum N / sum D` with its delta-method variance,
    /// `(var N - 2 R cov + R^2 var D) / (n mean(D)^2)`, and n - 1 degrees of freedom.
    ///
    /// # Errors
    /// [`Reason::TooFewRows`] for fewer than two rows, [`Reason::NoData`] if the denominators sum
    /// to 0.
    ///
    /// # References
    /// `docs/METHODS.md#the-calculator`; Deng et al. (2018).
    pub fn estimate(&self) -> Result<Estimate, Reason> {
        if self.n < 2.0 {
            return Err(Reason::TooFewRows);
        }
        if self.den[0] == 0.0 {
            return Err(Reason::NoData);
        }
        let (num, den) = (
            Moments::from_sums(self.n, self.num[0], self.num[1]),
            Moments::from_sums(self.n, self.den[0], self.den[1]),
        );
        let cov = (self.num_den - self.num[0] * den.mean) / (self.n - 1.0);
        let ratio = self.num[0] / self.den[0];
        let squares = (num.var - 2.0 * ratio * cov + ratio * ratio * den.var) * (self.n - 1.0);
        let terms = [
            self.num[1],
            2.0 * ratio * self.num_den,
            ratio * ratio * self.den[1],
        ];
        let sums = [self.num[0], self.num[1], self.den[0], self.den[1], self.num_den];
        let squares = spread::of_sums(squares, &terms, self.n, spread::are_whole(&sums));
        let var = squares / (self.n - 1.0) / (den.mean * den.mean);
        Ok(Estimate {
            estimate: ratio,
            std_error: (var / self.n).sqrt(),
            df: self.n - 1.0,
        })
    }
}

/// Sums of an outcome Y and of a covariate X that was measured before the exposure, over the rows
/// of an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CupedSums {
    /// Number of rows.
    pub n: f64,
    /// Sum of Y and sum of Y^2.
    pub post: [f64; 2],
    /// Sum of X and sum of X^2.
    pub pre: [f64; 2],
    /// Sum of the products X Y.
    pub post_pre: f64,
}

/// The comparison of two arms, adjusted for a covariate (CUPED).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cuped {
    /// The comparison of the adjusted means.
    pub contrast: Contrast,
    /// The slope of Y on X, over the rows of both arms together.
    pub theta: f64,
    /// The share of the effect's variance that the adjustment removes. It is negative if the
    /// adjustment adds variance, and 0 if there was no variance.
    pub variance_reduction: f64,
}

/// Compares the means of `Y - theta (X - mean X)` by Welch's t test, with
/// `theta = cov(Y, X) / var X` over the rows of both arms together.
///
/// # Errors
/// [`Reason::TooFewRows`] if an arm has fewer than two rows, [`Reason::NoVariance`] if the
/// covariate is constant.
///
/// # References
/// `docs/METHODS.md#the-calculator`; Deng et al. (2013).
pub fn cuped(control: &CupedSums, treatment: &CupedSums, plan: TestPlan) -> Result<Cuped, Reason> {
    let moments = |arm: &CupedSums| {
        let (post, pre) = (
            Moments::from_sums(arm.n, arm.post[0], arm.post[1]),
            Moments::from_sums(arm.n, arm.pre[0], arm.pre[1]),
        );
        (post, pre, (arm.post_pre - arm.post[0] * pre.mean) / (arm.n - 1.0))
    };
    if control.n < 2.0 || treatment.n < 2.0 {
        return Err(Reason::TooFewRows);
    }
    let (c, t) = (moments(control), moments(treatment));
    let (_, pre, cov) = moments(&CupedSums {
        n: control.n + treatment.n,
        post: [
            control.post[0] + treatment.post[0],
            control.post[1] + treatment.post[1],
        ],
        pre: [
            control.pre[0] + treatment.pre[0],
            control.pre[1] + treatment.pre[1],
        ],
        post_pre: control.post_pre + treatment.post_pre,
    });
    if pre.var == 0.0 {
        return Err(Reason::NoVariance);
    }
    let theta = cov / pre.var;
    // Both arms are shifted to the common mean of the covariate, so the adjusted values stay on the
    // scale of the outcome.
    let common = (control.pre[0] + treatment.pre[0]) / (control.n + treatment.n);
    let adjusted = |(post, pre, cov): &(Moments, Moments, f64), arm: &CupedSums| {
        let squares = (post.var - 2.0 * theta * cov + theta * theta * pre.var) * (arm.n - 1.0);
        // Theta is a rounded quotient, so these sums are never exact.
        let terms = [
            arm.post[1],
            2.0 * theta * arm.post_pre,
            theta * theta * arm.pre[1],
        ];
        Moments {
            n: post.n,
            mean: post.mean - theta * (pre.mean - common),
            var: spread::of_sums(squares, &terms, arm.n, false) / (arm.n - 1.0),
        }
    };
    let (a, b) = (adjusted(&c, control), adjusted(&t, treatment));
    let plain = c.0.var / c.0.n + t.0.var / t.0.n;
    let variance_reduction = if plain > 0.0 {
        1.0 - (a.var / a.n + b.var / b.n) / plain
    } else {
        0.0
    };
    Ok(Cuped {
        contrast: compare(&a, &b, MeanMethod::Welch, plan)?,
        theta,
        variance_reduction,
    })
}
