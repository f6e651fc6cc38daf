//! Gates of a ramp: a group-sequential test for harm whose looks come from the evidence. The number
//! of looks and their information need not be planned; the error is spent by information.

use serde::{Deserialize, Serialize};

use crate::stats::dist::{norm_isf, t_sf};
use crate::stats::group_sequential::{Process, Sides, Spending, boundary, crossings, design};
use crate::stats::known::Reason;
use crate::stats::special::root;

/// The least growth of the information from one look to the next, as a share of the former. A look
/// with less new information is left out and spends nothing.
pub const MIN_GROWTH: f64 = 0.01;

/// Number of equally spaced looks for which the planned information is computed.
const N_PLANNED: u32 = 10;

/// A harm in one stage, with its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageHarm {
    /// The effect in the bad direction, in the metric's unit: above 0 is worse than the control.
    pub harm: f64,
    /// Variance of the harm, in the metric's unit squared.
    pub variance: f64,
    /// Degrees of freedom of the variance.
    pub df: f64,
    /// The control's value, in the metric's unit.
    pub control: f64,
}

/// The harm as it stood at one look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateLook {
    /// Time of the look, microseconds, UTC.
    pub at: i64,
    /// Information of the harm's estimate: 1 over its variance, in 1 over the metric's unit squared.
    pub information: f64,
    /// The harm over its standard error. Above 0 is worse than the control.
    pub z: f64,
}

impl GateLook {
    /// Makes a look from a harm with its variance and degrees of freedom. `z` is the normal deviate
    /// with the same upper tail as the t statistic. `None` without a variance.
    pub fn new(at: i64, harm: f64, variance: f64, df: f64) -> Option<Self> {
        let t = harm / variance.sqrt();
        (variance > 0.0 && t.is_finite()).then(|| Self {
            at,
            information: 1.0 / variance,
            z: as_normal(t, df),
        })
    }
}

/// The normal deviate with the tail of a t statistic. Tails below 1e-300 keep the statistic.
fn as_normal(t: f64, df: f64) -> f64 {
    if df.is_infinite() {
        return t;
    }
    let tail = t_sf(t.abs(), df);
    if tail < 1e-300 {
        return t;
    }
    norm_isf(tail).copysign(t)
}

/// The rule of a gate: its error level, its boundary and its planned information.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateRule {
    /// One-sided error level of all looks together: the probability to cross the boundary without
    /// harm.
    pub alpha: f64,
    /// The spending of the error level over the information.
    pub spending: Spending,
    /// The information at which the error level is spent, in 1 over the metric's unit squared.
    pub planned: f64,
}

/// The state of a gate after its last look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Time of the last look that counts, microseconds, UTC.
    pub at: i64,
    /// Number of looks that count.
    pub n_looks: u32,
    /// Information at the last look, in 1 over the metric's unit squared.
    pub information: f64,
    /// Information at which the error level is spent, in the same unit.
    pub planned_information: f64,
    /// The error level spent so far, 0..=1.
    pub alpha_spent: f64,
    /// The harm over its standard error at the last look. Above 0 is worse than the control.
    pub z: f64,
    /// The boundary of `z` at the last look. `None` if the look spends practically nothing, and in
    /// simulations, which do not compute it where it decides nothing.
    pub bound: Option<f64>,
    /// Whether `z` was above the boundary at a look. No look counts after that.
    pub is_crossed: bool,
}

impl Gate {
    /// Whether the planned information is reached without a crossing: a harm of the planned size
    /// would have been found with the planned power. No look counts after that.
    pub fn is_complete(&self) -> bool {
        !self.is_crossed && self.information >= self.planned_information
    }

    /// The information so far as a share of the planned one, at least 0.
    pub fn fraction(&self) -> f64 {
        self.information / self.planned_information
    }
}

/// Tests the looks of a ramp in their order. A look counts if the information is above 0 and has
/// grown by [`MIN_GROWTH`], and if no look before it crossed its boundary or reached the planned
/// information. A look beyond the planned information spends the rest of the error level.
///
/// With `exactly`, every boundary is computed. Otherwise only those near `z` are: a boundary lies
/// between the normal quantiles of the level spent so far and of the level that the look spends.
///
/// `None` without a look that counts.
///
/// # Errors
/// [`Reason::NoSolution`] if the planned information is not above 0.
///
/// # References
/// `docs/METHODS.md#gates-of-a-ramp`; Lan & DeMets (1983).
pub fn judge_gate(looks: &[GateLook], rule: GateRule, exactly: bool) -> Result<Option<Gate>, Reason> {
    if !(rule.planned > 0.0 && rule.planned.is_finite()) {
        return Err(Reason::NoSolution);
    }
    // The looks that count, as fractions of the planned information.
    let mut counted: Vec<(f64, f64)> = Vec::new();
    let mut gate: Option<Gate> = None;
    for look in looks {
        let before = gate.map_or(0.0, |gate| gate.information);
        if !look.information.is_finite() || look.information <= before * (1.0 + MIN_GROWTH) {
            continue;
        }
        let at = look.information / rule.planned;
        let spent_before = gate.map_or(0.0, |gate| gate.alpha_spent);
        let alpha_spent = rule.spending.spent(rule.alpha, at);
        let target = alpha_spent - spent_before;
        counted.push((at, target));
        // The boundary lies between these quantiles, so most looks need no integration.
        let is_between = target >= 1e-300 && look.z > norm_isf(alpha_spent) && look.z <= norm_isf(target);
        let bound = if exactly || is_between {
            last_bound(&counted)?
        } else {
            None
        };
        let is_crossed = target >= 1e-300
            && match bound {
                Some(bound) => look.z > bound,
                None => look.z > norm_isf(target),
            };
        let found = Gate {
            at: look.at,
            n_looks: counted.len() as u32,
            information: look.information,
            planned_information: rule.planned,
            alpha_spent,
            z: look.z,
            bound,
            is_crossed,
        };
        gate = Some(found);
        if is_crossed || found.is_complete() {
            break;
        }
    }
    Ok(gate)
}

/// The boundary of the last of some looks, given as information and the level that each spends.
fn last_bound(looks: &[(f64, f64)]) -> Result<Option<f64>, Reason> {
    let mut process = Process::new(0.0);
    let mut bound = None;
    for (idx, (at, target)) in looks.iter().enumerate() {
        bound = boundary(&process, *at, *target);
        if let Some((next, _)) = looks.get(idx + 1) {
            let edge = bound.map_or(f64::INFINITY, |z| z * at.sqrt());
            process.advance(*at, (f64::NEG_INFINITY, edge), Some(*next))?;
        }
    }
    Ok(bound)
}

/// The boundaries of looks that are expected at some information, rising and above 0. `None` for a
/// look that spends practically nothing, and for looks after the planned information.
///
/// # Errors
/// [`Reason::TooLarge`] if looks are too close to each other.
pub fn planned_bounds(information: &[f64], rule: GateRule) -> Result<Vec<Option<f64>>, Reason> {
    let fractions: Vec<f64> = information.iter().map(|v| v / rule.planned).collect();
    let n_looks = fractions.iter().take_while(|t| **t < 1.0).count() + 1;
    let looks = &fractions[..n_looks.min(fractions.len())];
    let mut bounds = design(looks, rule.alpha, Sides::One, rule.spending)?.bounds;
    bounds.resize(fractions.len(), None);
    Ok(bounds)
}

/// The drift of `z` at the planned information with which a test of level `alpha` misses a harm with
/// probability `missed`. The planned information is `(drift / harm)^2`. It is computed for ten
/// equally spaced looks; other looks change the probability by little.
///
/// # Errors
/// [`Reason::NoSolution`] if no such drift exists.
///
/// # References
/// `docs/METHODS.md#gates-of-a-ramp`.
pub fn planned_drift(alpha: f64, missed: f64, spending: Spending) -> Result<f64, Reason> {
    let looks: Vec<f64> = (1..=N_PLANNED)
        .map(|look| f64::from(look) / f64::from(N_PLANNED))
        .collect();
    let bounds = design(&looks, alpha, Sides::One, spending)?.bounds;
    let bounds: Vec<f64> = bounds.into_iter().map(|z| z.unwrap_or(f64::INFINITY)).collect();
    let excess = |drift: f64| {
        crossings(&looks, &bounds, Sides::One, drift)
            .map_or(f64::NAN, |stops| 1.0 - missed - stops.iter().sum::<f64>())
    };
    root(excess, 0.0, 40.0).ok_or(Reason::NoSolution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    const FAMILIES: [Spending; 4] = [
        Spending::Pocock,
        Spending::ObrienFleming,
        Spending::KimDeMets(2.0),
        Spending::HwangShihDeCani(-4.0),
    ];

    /// A path of the score process at some information, with a drift.
    fn path(rng: &mut ChaCha8Rng, information: &[f64], drift: f64) -> Vec<GateLook> {
        let (mut score, mut before) = (0.0, 0.0);
        let look = |(idx, at): (usize, &f64)| {
            let step: f64 = StandardNormal.sample(rng);
            score += drift * (at - before) + step * (at - before).sqrt();
            before = *at;
            GateLook {
                at: idx as i64,
                information: *at,
                z: score / at.sqrt(),
            }
        };
        information.iter().enumerate().map(look).collect()
    }

    /// The error level holds for any number of looks at any information, also beyond the plan, and
    /// a harm of the planned size is missed as often as planned.
    #[test]
    fn errors_hold_for_looks_that_were_not_planned() {
        let (alpha, missed, n) = (0.05, 0.1, 2_000);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for spending in FAMILIES {
            let drift = planned_drift(alpha, missed, spending).unwrap();
            let rule = GateRule {
                alpha,
                spending,
                planned: drift * drift,
            };
            for fractions in [
                &[0.02, 0.1, 0.35, 1.05][..],
                &[0.3, 0.31, 0.312, 0.7, 0.95, 1.4, 1.5],
                &[1.2],
                &[0.005, 0.01, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0],
            ] {
                let information: Vec<f64> = fractions.iter().map(|t| t * rule.planned).collect();
                let mut crossed = [0, 0];
                for (which, drift) in [0.0, 1.0].into_iter().enumerate() {
                    for _ in 0..n {
                        let gate = judge_gate(&path(&mut rng, &information, drift), rule, false);
                        let gate = gate.unwrap().unwrap();
                        assert!(gate.is_crossed || gate.is_complete());
                        crossed[which] += u32::from(gate.is_crossed);
                    }
                }
                let [p_false, p_found] = crossed.map(|n_crossed| f64::from(n_crossed) / f64::from(n));
                let error = |p: f64| 4.0 * (p * (1.0 - p) / f64::from(n)).sqrt();
                assert!(
                    (p_false - alpha).abs() < error(alpha),
                    "{spending:?} {fractions:?}: {p_false}"
                );
                assert!(
                    p_found > 1.0 - missed - error(missed) - 0.01,
                    "{spending:?} {fractions:?}: {p_found}"
                );
            }
        }
    }

    #[test]
    fn quick_and_exact_gates_agree() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for spending in FAMILIES {
            let rule = GateRule {
                alpha: 0.05,
                spending,
                planned: 9.0,
            };
            for _ in 0..60 {
                let looks = path(&mut rng, &[0.2, 1.0, 3.0, 6.0, 9.5], 0.5);
                let quick = judge_gate(&looks, rule, false).unwrap().unwrap();
                let exact = judge_gate(&looks, rule, true).unwrap().unwrap();
                assert_eq!(
                    Gate {
                        bound: exact.bound,
                        ..quick
                    },
                    exact,
                    "{spending:?} {looks:?}"
                );
            }
        }
    }

    #[test]
    fn looks_without_new_information_do_not_count() {
        let look = |information: f64, z: f64| GateLook {
            at: 0,
            information,
            z,
        };
        let rule = GateRule {
            alpha: 0.05,
            spending: Spending::Pocock,
            planned: 10.0,
        };
        let check = |looks: &[GateLook], n: u32, crossed: bool, complete: bool| {
            let gate = judge_gate(looks, rule, true).unwrap().unwrap();
            assert_eq!(
                (gate.n_looks, gate.is_crossed, gate.is_complete()),
                (n, crossed, complete),
                "{looks:?}"
            );
        };
        check(&[look(2.0, 0.0), look(2.01, 9.0)], 1, false, false);
        check(&[look(2.0, 0.0), look(1.0, 9.0), look(3.0, 0.0)], 2, false, false);
        check(&[look(2.0, 4.0), look(3.0, 0.0)], 1, true, false);
        check(
            &[look(2.0, 0.0), look(11.0, 1.0), look(20.0, 9.0)],
            2,
            false,
            true,
        );
        assert_eq!(judge_gate(&[look(0.0, 9.0)], rule, true), Ok(None));
        let unplanned = GateRule { planned: 0.0, ..rule };
        assert_eq!(
            judge_gate(&[look(1.0, 9.0)], unplanned, true),
            Err(Reason::NoSolution)
        );
    }

    #[test]
    fn one_planned_look_is_the_known_sample_size() {
        let z = |p: f64| norm_isf(p);
        let one = z(0.05) + z(0.1);
        // The inflation by ten looks: large for Pocock's boundary, small for O'Brien and Fleming's.
        let inflation = |spending| (planned_drift(0.05, 0.1, spending).unwrap() / one).powi(2);
        assert!((1.15..1.4).contains(&inflation(Spending::Pocock)));
        assert!((1.0..1.1).contains(&inflation(Spending::ObrienFleming)));
    }
}
