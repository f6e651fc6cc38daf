//! Boundaries of confidence sequences that hold at every intrinsic time, and the mixtures behind
//! them. Intrinsic time is the accumulated variance of the sum.

use statrs::function::gamma::{checked_gamma_lr, checked_gamma_ur};

use crate::stats::dist::ln_norm_sf;
use crate::stats::known::Reason;
use crate::stats::special::{beta_tails, ln_beta, root};

/// Largest number of doublings in the search for an upper end of a boundary.
const MAX_DOUBLINGS: usize = 60;

/// Largest shape parameter of a mixture's distribution for which nine digits remain exact.
const LARGEST_SHAPE: f64 = 1e8;

/// The tuning of a boundary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Intrinsic time (variance) at which the boundary is tightest, above 0.
    pub v_opt: f64,
    /// Error level at which it is tightest: above 0 and below 1, or below 0.5 for one-sided
    /// boundaries.
    pub alpha_opt: f64,
    /// True if only sums above the boundary count, false if sums below its negative count as well.
    pub one_sided: bool,
}

impl Tuning {
    /// The precision of the mixture that is optimal at `v_opt`:
    /// `v_opt / (-2 ln a + ln(1 - 2 ln a))`, with `a = alpha_opt`, or twice that for one-sided
    /// boundaries.
    pub fn rho(&self) -> f64 {
        let alpha = if self.one_sided {
            2.0 * self.alpha_opt
        } else {
            self.alpha_opt
        };
        let l = -2.0 * alpha.ln();
        self.v_opt / (l + l.ln_1p())
    }
}

/// Families of boundaries with exact error levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Family {
    /// The normal mixture, for sums of sub-Gaussian steps.
    NormalMixture,
    /// The gamma-exponential mixture, for sums of sub-exponential steps with scale `c`.
    GammaExponential {
        /// The scale, above 0.
        c: f64,
    },
    /// The beta-binomial mixture, for sums of sub-Bernoulli steps, each between `-g` and `h`.
    BetaBinomial {
        /// Size of the largest step down, above 0.
        g: f64,
        /// Size of the largest step up, above 0.
        h: f64,
    },
}

impl Family {
    /// Natural logarithm of the mixture at a sum `s` and intrinsic time `v`. With probability at
    /// least `1 - alpha` the mixture stays below `1 / alpha` at all times.
    ///
    /// # References
    /// `docs/METHODS.md#confidence-sequences`; Howard, Ramdas, McAuliffe & Sekhon (2021).
    pub fn ln_mixture(self, s: f64, v: f64, tuning: Tuning) -> f64 {
        let rho = tuning.rho();
        match self {
            Self::NormalMixture => {
                let both = 0.5 * (rho / (v + rho)).ln() + s * s / (2.0 * (v + rho));
                if tuning.one_sided {
                    both + std::f64::consts::LN_2 + ln_norm_sf(-s / (v + rho).sqrt())
                } else {
                    both
                }
            }
            Self::GammaExponential { c } => ln_gamma_mixture(s, v, c, rho),
            Self::BetaBinomial { g, h } => {
                let r = (rho - g * h).max(1e-3 * g * h);
                let ln_incomplete = |a: f64, b: f64| {
                    let whole = ln_beta(a, b);
                    if tuning.one_sided {
                        whole + beta_tails(a, b, h / (g + h), g / (g + h)).0.ln()
                    } else {
                        whole
                    }
                };
                v / (g * h) * (g + h).ln()
                    - (v + h * s) / (h * (g + h)) * g.ln()
                    - (v - g * s) / (g * (g + h)) * h.ln()
                    + ln_incomplete((r + v - g * s) / (g * (g + h)), (r + v + h * s) / (h * (g + h)))
                    - ln_incomplete(r / (g * (g + h)), r / (h * (g + h)))
            }
        }
    }

    /// The boundary at intrinsic time `v` and level `alpha`: the sum at which the mixture is
    /// `1 / alpha`.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] if `v` is too large for the precision of the mixture,
    /// [`Reason::NoSolution`] if the search finds no such sum.
    pub fn boundary(self, v: f64, alpha: f64, tuning: Tuning) -> Result<f64, Reason> {
        let excess = |s: f64| self.ln_mixture(s, v, tuning) + alpha.ln();
        // Above this size, the differences of large terms consist of rounding errors.
        let size = match self {
            Self::NormalMixture => 0.0,
            Self::GammaExponential { c } => (v + tuning.rho()) / (c * c),
            Self::BetaBinomial { g, h } => (v + tuning.rho()) / (g * h),
        };
        if size > LARGEST_SHAPE {
            return Err(Reason::TooLarge);
        }
        match self {
            Self::NormalMixture if !tuning.one_sided => {
                let rho = tuning.rho();
                return Ok(((v + rho) * ((v / rho).ln_1p() - 2.0 * alpha.ln())).sqrt());
            }
            // A sum cannot be larger than that of steps up only.
            Self::BetaBinomial { g, .. } => {
                let most = v / g;
                if excess(most) < 0.0 {
                    return Ok(most);
                }
                return root(excess, 0.0, most).ok_or(Reason::NoSolution);
            }
            _ => {}
        }
        let mut high = v.max(tuning.rho().sqrt());
        for _ in 0..MAX_DOUBLINGS {
            if excess(high) > 0.0 {
                return root(excess, 0.0, high).ok_or(Reason::NoSolution);
            }
            high *= 2.0;
        }
        Err(Reason::NoSolution)
    }
}

/// Natural logarithm of the gamma-exponential mixture of precision `rho`, at a sum `s` and
/// intrinsic time `v`, for sums of sub-exponential steps with scale `c`.
///
/// # References
/// `docs/METHODS.md#confidence-sequences`; Howard, Ramdas, McAuliffe & Sekhon (2021),
/// proposition 9.
pub fn ln_gamma_mixture(s: f64, v: f64, c: f64, rho: f64) -> f64 {
    let square = c * c;
    let (prior, shape) = (rho / square, (v + rho) / square);
    let rate = (c * s + v) / square + prior;
    let leading = prior * prior.ln() - libm::lgamma(prior) - lower_gamma(prior, prior).ln();
    leading + libm::lgamma(shape) + lower_gamma(shape, rate).ln() - shape * rate.ln() + (c * s + v) / square
}

fn lower_gamma(a: f64, x: f64) -> f64 {
    // Far below the mean the lower tail is small and is computed directly. Elsewhere the upper tail
    // is more accurate.
    if x < a + 1.0 {
        checked_gamma_lr(a, x).unwrap_or(f64::NAN)
    } else {
        1.0 - checked_gamma_ur(a, x).unwrap_or(f64::NAN)
    }
}

/// The parameters of polynomial stitching.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stitching {
    /// Intrinsic time from which the boundary has its shape, above 0. Earlier times count as this
    /// time.
    pub v_min: f64,
    /// Scale of sub-gamma sums; 0 for sub-Gaussian sums.
    pub c: f64,
    /// Exponent with which the error level of the pieces decreases, above 1.
    pub s: f64,
    /// Ratio between the end and the start of a piece in intrinsic time, above 1.
    pub eta: f64,
}

impl Stitching {
    /// The boundary at intrinsic time `v` and level `alpha`:
    /// `sqrt(k1^2 v l + k2^2 c^2 l^2) + k2 c l`, with
    /// `l = s ln ln(eta v / v_min) + ln(zeta(s) / (alpha (ln eta)^s))`,
    /// `k1 = (eta^(1/4) + eta^(-1/4)) / sqrt(2)` and `k2 = (sqrt(eta) + 1) / 2`.
    ///
    /// # References
    /// `docs/METHODS.md#confidence-sequences`; Howard, Ramdas, McAuliffe & Sekhon (2021),
    /// theorem 1.
    pub fn boundary(&self, v: f64, alpha: f64) -> f64 {
        let v = v.max(self.v_min);
        let (k1, k2) = (
            (self.eta.powf(0.25) + self.eta.powf(-0.25)) / 2.0_f64.sqrt(),
            (self.eta.sqrt() + 1.0) / 2.0,
        );
        let l = self.s * (self.eta * v / self.v_min).ln().ln()
            + (zeta(self.s) / self.eta.ln().powf(self.s)).ln()
            - alpha.ln();
        let linear = k2 * self.c * l;
        (k1 * k1 * v * l + linear * linear).sqrt() + linear
    }
}

/// Riemann's zeta function for arguments above 1, by the Euler-Maclaurin formula.
fn zeta(s: f64) -> f64 {
    const N: f64 = 20.0;
    let head: f64 = (1..20).map(|k| f64::from(k).powf(-s)).sum();
    let (mut term, mut sum) = (
        s * N.powf(-s - 1.0),
        head + N.powf(1.0 - s) / (s - 1.0) + 0.5 * N.powf(-s),
    );
    // Bernoulli numbers over factorials: B_2k / (2k)!.
    let ratios = [
        1.0 / 12.0,
        -1.0 / 720.0,
        1.0 / 30_240.0,
        -1.0 / 1_209_600.0,
        1.0 / 47_900_160.0,
        -691.0 / 1_307_674_368_000.0,
    ];
    for (k, ratio) in (0..).zip(ratios) {
        sum += ratio * term;
        let at = s + f64::from(2 * k + 1);
        term *= at * (at + 1.0) / (N * N);
    }
    sum
}
