//! Exact properties of ramps: stop probabilities by recursive integration, and the largest step
//! within a budget of harm.

use crate::stats::Reason;
use crate::stats::dist::norm_isf;
use crate::stats::group_sequential::{Sides, crossings};

/// A ramp with a gate after each stage: the shares and users of its stages, and the variance of a
/// user's outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactRamp {
    /// Share of users who get the candidate, by stage, 0..=1. A stage with share 0 or 1 has no
    /// comparison, so no gate.
    pub shares: Vec<f64>,
    /// Number of users by stage, both arms together.
    pub n: Vec<f64>,
    /// Variance of a user's outcome, in its unit squared.
    pub sigma2: f64,
}

/// Properties of a ramp under an effect.
#[derive(Debug, Clone, PartialEq)]
pub struct RampOutcome {
    /// Probability of a rollback at the gate after each stage, 0..=1.
    pub stop_probability: Vec<f64>,
    /// Probability of a rollback at any stage, 0..=1.
    pub p_rollback: f64,
    /// Expected number of users who get the candidate.
    pub expected_exposed: f64,
}

impl ExactRamp {
    /// Information of each stage, `N e (1 - e) / sigma2` with N users and share e. It is 0 for a
    /// stage without users or with one arm only.
    pub fn information(&self) -> Vec<f64> {
        self.shares
            .iter()
            .zip(&self.n)
            .map(|(e, n)| n * e * (1.0 - e) / self.sigma2)
            .collect()
    }

    /// Returns the indices of the stages that have a gate, and the cumulative information at each
    /// gate.
    pub fn gates(&self) -> (Vec<usize>, Vec<f64>) {
        let mut sum = 0.0;
        let gated = self
            .information()
            .into_iter()
            .enumerate()
            .filter(|(_, information)| *information > 0.0);
        gated
            .map(|(stage, information)| {
                (stage, {
                    sum += information;
                    sum
                })
            })
            .unzip()
    }

    /// Computes the properties of a ramp that rolls back at a gate with z score at or below `-c`.
    /// `delta` is the true effect in units of the outcome. A negative effect is harm.
    ///
    /// # Errors
    /// There is no gate, or the number of boundaries differs from the number of gates.
    ///
    /// # References
    /// `docs/METHODS.md#group-sequential-designs-and-exact-ramps`.
    pub fn outcome(&self, c: &[f64], delta: f64) -> Result<RampOutcome, Reason> {
        let (stages, information) = self.gates();
        // The recursion stops at large scores, so the sign of the effect is reversed.
        let stops = crossings(&information, c, Sides::One, -delta)?;
        let mut stop_probability = vec![0.0; self.shares.len()];
        stages
            .iter()
            .zip(&stops)
            .for_each(|(stage, stop)| stop_probability[*stage] = *stop);
        let (mut reached, mut expected_exposed) = (1.0, 0.0);
        for ((share, n), stop) in self.shares.iter().zip(&self.n).zip(&stop_probability) {
            expected_exposed += reached * share * n;
            reached -= stop;
        }
        Ok(RampOutcome {
            p_rollback: stop_probability.iter().sum(),
            stop_probability,
            expected_exposed,
        })
    }
}

/// The inputs of a step under a budget of harm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RuinRisk {
    /// Remaining budget: the harm that may still be done, in units of the outcome.
    pub budget: f64,
    /// Mean and variance of the effect per user, given the data so far.
    pub posterior: (f64, f64),
    /// Variance of a user's outcome, in its unit squared.
    pub sigma2: f64,
    /// Accepted probability of overspending the budget, above 0 and below 1.
    pub delta: f64,
    /// Number of available users, the largest possible step.
    pub cap: f64,
}

/// Computes the largest number of users m for which the budget b is overspent with probability at
/// most delta. It is the smallest positive root of
/// `(mu^2 - z^2 v) m^2 + (2 b mu - z^2 sigma^2) m + b^2 = 0` with `b + m mu >= 0`, or the cap if
/// that is smaller. mu and v are the posterior mean and variance, and z is the upper delta quantile
/// of the normal distribution.
///
/// # Errors
/// The budget is 0 or below.
///
/// # References
/// `docs/METHODS.md#group-sequential-designs-and-exact-ramps`; Zhao et al. (2025).
pub fn risk_of_ruin_step(risk: &RuinRisk) -> Result<f64, Reason> {
    let (mu, v) = risk.posterior;
    if risk.budget <= 0.0 {
        return Err(Reason::NoSolution);
    }
    let z2 = norm_isf(risk.delta).powi(2);
    let (a, b, c) = (
        mu * mu - z2 * v,
        2.0 * risk.budget * mu - z2 * risk.sigma2,
        risk.budget * risk.budget,
    );
    let discriminant = b * b - 4.0 * a * c;
    if discriminant < 0.0 {
        return Ok(risk.cap);
    }
    // The numerically stable form of the quadratic formula: no difference of similar numbers.
    let q = -0.5 * (b + b.signum() * discriminant.sqrt());
    let admissible = |m: &f64| m.is_finite() && *m > 0.0 && risk.budget + m * mu >= -1e-9 * risk.budget;
    let roots = [q / a, c / q];
    Ok(roots.into_iter().filter(admissible).fold(risk.cap, f64::min))
}
