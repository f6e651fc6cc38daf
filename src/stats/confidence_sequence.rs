//! Boundaries of confidence sequences that hold at every moment of intrinsic time, and their
//! mixtures.

use statrs::function::gamma::{checked_gamma_lr, checked_gamma_ur};

use crate::stats::dist::ln_norm_sf;
use crate::stats::known::Reason;
use crate::stats::special::{beta_tails, ln_beta, root};

/// Doublings that a search for a boundary's upper end takes.
const MAX_DOUBLINGS: usize = 60;

/// Largest shape of a mixture's distribution that keeps nine digits.
const LARGEST_SHAPE: f64 = 1e8;

/// What a boundary is tuned for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Intrinsic time (variance) at which the boundary is lowest.
    pub v_opt: f64,
    /// Error level for which it is.
    pub alpha_opt: f64,
    /// Whether only sums above the boundary count.
    pub one_sided: bool,
}

impl Tuning {
    /// The mixture's precision that is best at `v_opt`.
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

/// Families of exact boundaries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Family {
    /// Sub-Gaussian sums.
    NormalMixture,
    /// Sub-exponential sums of scale `c`.
    GammaExponential {
        /// Scale.
        c: f64,
    },
    /// Sub-Bernoulli sums: steps from `-g` to `h`.
    BetaBinomial {
        /// Largest step down.
        g: f64,
        /// Largest step up.
        h: f64,
    },
}

impl Family {
    /// `ln` of the mixture at a sum `s` and intrinsic time `v`; at most `1 / alpha` at all times
    /// with probability `1 - alpha`.
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

    /// The sum that the mixture does not pass at intrinsic time `v`, at level `alpha`.
    ///
    /// # Errors
    /// No such sum within reach.
    pub fn boundary(self, v: f64, alpha: f64, tuning: Tuning) -> Result<f64, Reason> {
        let excess = |s: f64| self.ln_mixture(s, v, tuning) + alpha.ln();
        // Beyond, what is left of differences of large terms is noise.
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
            // Sums cannot be larger than all steps up.
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

/// `ln` of the gamma-exponential mixture of precision `rho`, for sub-exponential sums of scale `c`.
///
/// # References
/// `docs/METHODS.md#confidence-sequences`; Howard, Ramdas, McAuliffe & Sekhon (2021), proposition
/// 9.
pub fn ln_gamma_mixture(s: f64, v: f64, c: f64, rho: f64) -> f64 {
    let square = c * c;
    let (prior, shape) = (rho / square, (v + rho) / square);
    let rate = (c * s + v) / square + prior;
    let leading = prior * prior.ln() - libm::lgamma(prior) - lower_gamma(prior, prior).ln();
    leading + libm::lgamma(shape) + lower_gamma(shape, rate).ln() - shape * rate.ln() + (c * s + v) / square
}

fn lower_gamma(a: f64, x: f64) -> f64 {
    // Far below its mean the lower tail is wanted, elsewhere it is near 1.
    if x < a + 1.0 {
        checked_gamma_lr(a, x).unwrap_or(f64::NAN)
    } else {
        1.0 - checked_gamma_ur(a, x).unwrap_or(f64::NAN)
    }
}

/// How polynomial stitching joins its pieces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stitching {
    /// Intrinsic time from which the boundary holds its shape.
    pub v_min: f64,
    /// Scale of sub-gamma sums; 0 for sub-Gaussian ones.
    pub c: f64,
    /// Power of the error that pieces get.
    pub s: f64,
    /// Ratio of the ends of a piece.
    pub eta: f64,
}

impl Stitching {
    /// The boundary of polynomial stitching.
    ///
    /// # References
    /// Howard, Ramdas, McAuliffe & Sekhon (2021), theorem 1.
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

/// Riemann's zeta function above 1, by Euler and Maclaurin's formula.
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
