//! Ramps, exactly: stop probabilities by recursive integration, and the largest step that a budget
//! of harm allows.

use crate::stats::Reason;
use crate::stats::dist::norm_isf;
use crate::stats::group_sequential::{Sides, crossings};

/// A ramp: shares and users of its stages, the variance of a user's outcome, and the candidate's
/// true effect.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactRamp {
    /// Share of users who get the candidate, by stage. A stage with share 1 has no control, so no
    /// gate.
    pub shares: Vec<f64>,
    /// Users of each stage, both arms.
    pub n: Vec<f64>,
    /// Variance of an outcome.
    pub sigma2: f64,
}

/// What a ramp does under an effect.
#[derive(Debug, Clone, PartialEq)]
pub struct RampOutcome {
    /// Probability to roll back after each stage.
    pub stop_probability: Vec<f64>,
    /// Their sum.
    pub p_rollback: f64,
    /// Expected users who get the candidate.
    pub expected_exposed: f64,
}

impl ExactRamp {
    /// Information of each stage, `N e (1 - e) / sigma2`: 0 where there is no control or nobody.
    pub fn information(&self) -> Vec<f64> {
        self.shares
            .iter()
            .zip(&self.n)
            .map(|(e, n)| n * e * (1.0 - e) / self.sigma2)
            .collect()
    }

    /// Information up to each gate, and the stages that have one.
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

    /// Rolls back after a gate whose score is at or below `-c`, for an effect `delta` (below 0 is
    /// harm).
    ///
    /// # Errors
    /// No gate, or not as many boundaries as gates.
    ///
    /// # References
    /// `docs/METHODS.md#group-sequential-designs-and-exact-ramps`.
    pub fn outcome(&self, c: &[f64], delta: f64) -> Result<RampOutcome, Reason> {
        let (stages, information) = self.gates();
        // The recursion stops above: harm points upwards there.
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

/// What is known before a step: the budget left, the effect per user, the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RuinRisk {
    /// Harm that may still be done, in units of the outcome.
    pub budget: f64,
    /// Mean and variance of the effect per user, from what was seen so far.
    pub posterior: (f64, f64),
    /// Variance of a user's outcome.
    pub sigma2: f64,
    /// Probability to spend more than the budget.
    pub delta: f64,
    /// Users there are.
    pub cap: f64,
}

/// The largest number of users m for which the budget is overspent with probability at most delta:
/// the smallest root of `(mu^2 - z^2 v) m^2 + (2 b mu - z^2 sigma^2) m + b^2 = 0` with `b + m mu >=
/// 0`, at most the cap.
///
/// # Errors
/// A budget that is spent.
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
    // Without cancellation: one root from the sum of like signs, the other from the product.
    let q = -0.5 * (b + b.signum() * discriminant.sqrt());
    let admissible = |m: &f64| m.is_finite() && *m > 0.0 && risk.budget + m * mu >= -1e-9 * risk.budget;
    let roots = [q / a, c / q];
    Ok(roots.into_iter().filter(admissible).fold(risk.cap, f64::min))
}
