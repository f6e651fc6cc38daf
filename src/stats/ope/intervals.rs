//! Intervals of an off-policy value for small logs and for extreme weights. They assume only that
//! rewards and weights are bounded.

use crate::stats::confidence_sequence::ln_gamma_mixture;
use crate::stats::dist::t_isf;
use crate::stats::known::{Interval, Reason};
use crate::stats::ope::estimators::Log;
use crate::stats::power::rule_of_three;
use crate::stats::special::root;
use crate::stats::spread;

/// The possible range of rewards and weights, not the range observed in the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Smallest and largest possible reward, in the unit of the rewards.
    pub reward: [f64; 2],
    /// Largest possible weight; infinite if unknown. A larger weight in the log replaces it.
    pub weight: f64,
}

/// Sums over a log for the Cressie-Read estimator: number of rows, and sums of products of weights
/// w and rewards r.
struct Sums {
    n: f64,
    w: f64,
    ww: f64,
    wr: f64,
    wwr: f64,
    wwrr: f64,
    r: f64,
    /// Smallest and largest possible importance weight, at least 0.
    weight: [f64; 2],
}

impl Sums {
    fn new(log: &Log, largest: f64) -> Self {
        let mut sums = Self {
            n: 0.0,
            w: 0.0,
            ww: 0.0,
            wr: 0.0,
            wwr: 0.0,
            wwrr: 0.0,
            r: 0.0,
            weight: [0.0, largest],
        };
        for (w, r) in log.weight.iter().zip(&log.reward) {
            sums.n += 1.0;
            sums.w += w;
            sums.ww += w * w;
            sums.wr += w * r;
            sums.wwr += w * w * r;
            sums.wwrr += w * w * r * r;
            sums.r += r;
            sums.weight[1] = sums.weight[1].max(*w);
        }
        sums
    }

    /// The weight of the added row that allows the weights to average to 1.
    fn balancing_weight(&self) -> f64 {
        if self.w < self.n {
            self.weight[1]
        } else {
            self.weight[0]
        }
    }
}

/// The empirical-likelihood estimate by the Cressie-Read family of power -2. Rows are re-weighted
/// as little as possible, so that the importance weights average to 1. If the average stays below
/// 1, the difference is filled with the mean reward.
///
/// # Errors
/// [`Reason::NoData`] without rows.
///
/// # References
/// `docs/METHODS.md#off-policy-estimates`; Karampatziakis, Langford & Mineiro (2020).
pub fn cressie_read(log: &Log, bounds: Bounds) -> Result<f64, Reason> {
    let sums = Sums::new(log, bounds.weight);
    if sums.n == 0.0 {
        return Err(Reason::NoData);
    }
    let (n, fake) = (sums.n, sums.balancing_weight());
    let (gamma, beta) = if fake.is_infinite() {
        (-(1.0 + n) / n, 0.0)
    } else {
        let (a, b) = ((fake + sums.w) / (1.0 + n), (fake * fake + sums.ww) / (1.0 + n));
        let spread = a * a - b;
        if spread >= 0.0 {
            // All weights are equal, so there is nothing to re-weight.
            return Ok(sums.wr / n + (1.0 - sums.w / n).max(0.0) * sums.r / n);
        }
        ((b - a) / spread, (1.0 - a) / spread)
    };
    let missing = (1.0 - (-gamma * sums.w - beta * sums.ww) / (1.0 + n)).max(0.0);
    Ok((-gamma * sums.wr - beta * sums.wwr) / (1.0 + n) + missing * sums.r / n)
}

/// The interval of [`cressie_read`] at two-sided level `alpha`: the values whose re-weighting is
/// within the distance that a quantile of F(1, n) allows. If all rewards are equal, the interval
/// contains the values that rewards which were not seen allow.
///
/// # Errors
/// [`Reason::NoData`] without rows, [`Reason::Clustered`] if a cluster has several rows,
/// [`Reason::OutOfRange`] if a reward is outside of its bounds.
///
/// # References
/// `docs/METHODS.md#off-policy-estimates`; Karampatziakis, Langford & Mineiro (2020).
pub fn cressie_read_interval(log: &Log, bounds: Bounds, alpha: f64) -> Result<Interval, Reason> {
    check(log, bounds)?;
    let sums = Sums::new(log, bounds.weight);
    let n = sums.n;
    let fake = sums.balancing_weight();
    let distance = if fake.is_infinite() {
        1.0 + 1.0 / n
    } else {
        let (a, b) = ((fake + sums.w) / (1.0 + n), (fake * fake + sums.ww) / (1.0 + n));
        if b > a * a {
            (1.0 + n) * (a - 1.0).powi(2) / (b - a * a)
        } else {
            0.0
        }
    };
    // The upper quantile of F(1, n) is the square of a t quantile.
    let phi = (-distance - t_isf(0.5 * alpha, n).powi(2)) / (2.0 * (1.0 + n));
    let end = |reward: f64, sign: f64| {
        let candidates = sums
            .weight
            .iter()
            .filter_map(|weight| least(&sums, *weight, reward, sign, phi));
        let best = candidates.fold(None, |best: Option<f64>, next| {
            Some(best.map_or(next, |best| best.min(next)))
        });
        best.map_or(bounds.reward[0], |best| sign * best)
            .clamp(bounds.reward[0], bounds.reward[1])
    };
    let interval = Interval {
        ci_lower: end(bounds.reward[0], 1.0),
        ci_upper: end(bounds.reward[1], -1.0),
    };
    Ok(if spread::has_spread(&log.reward) {
        interval
    } else {
        with_unseen(interval, &sums, log.reward[0], bounds.reward, alpha)
    })
}

/// Widens the interval of a log whose rewards are all equal: every re-weighting has nearly the same
/// value, but other rewards may exist. A share of at most `1 - (alpha / 2)^(1 / ess)` of rows with
/// the smallest or the largest possible reward can have been missed, with `ess` the effective
/// number of rows.
fn with_unseen(interval: Interval, sums: &Sums, reward: f64, [low, high]: [f64; 2], alpha: f64) -> Interval {
    let ess = sums.w * sums.w / sums.ww;
    let unseen = if ess > 0.0 {
        rule_of_three(ess, 0.5 * alpha)
    } else {
        1.0
    };
    Interval {
        ci_lower: interval.ci_lower.min(reward - unseen * (reward - low)),
        ci_upper: interval.ci_upper.max(reward + unseen * (high - reward)),
    }
}

/// The smallest value of `sign` times the reward within the distance, if the added row has this
/// weight and reward. `None` if no value is within it.
fn least(sums: &Sums, weight: f64, reward: f64, sign: f64, phi: f64) -> Option<f64> {
    /// Products below the square of this are rounding errors.
    const SMALL: f64 = 1e-9;
    let n = sums.n;
    let (x, y, z) = if weight.is_infinite() {
        let spread = reward * reward * sums.ww - 2.0 * reward * sums.wwr + sums.wwrr;
        (
            sign * (reward + (sums.wr - sums.w * reward) / n),
            (reward * sums.w - sums.wr).powi(2) / (n * (1.0 + n)) - spread / (1.0 + n),
            phi + 1.0 / (2.0 * n),
        )
    } else {
        let mean = |own: f64, sum: f64| (own + sum) / (1.0 + n);
        let (w, ww) = (mean(weight, sums.w), mean(weight * weight, sums.ww));
        let (wr, wwr) = (
            sign * mean(weight * reward, sums.wr),
            sign * mean(weight * weight * reward, sums.wwr),
        );
        let wwrr = mean(weight * weight * reward * reward, sums.wwrr);
        let spread = ww - w * w;
        if spread <= 0.0 {
            return None;
        }
        let joint = wwr - w * wr;
        (
            wr + (1.0 - w) * joint / spread,
            joint * joint / spread - (wwrr - wr * wr),
            phi + 0.5 * (1.0 - w).powi(2) / spread,
        )
    };
    if (y * z).abs() <= SMALL * SMALL {
        return Some(x - f64::sqrt(2.0) * SMALL);
    }
    (z <= 0.0 && y * z >= 0.0).then(|| x - (2.0 * y * z).sqrt())
}

/// An interval that is valid at every length of the log, at two-sided level `alpha`. It bets on
/// weighted rewards with a gamma-exponential mixture. Rows are processed in order; the bet on each
/// row depends only on the rows before it.
///
/// # Errors
/// [`Reason::NoData`] without rows, [`Reason::Clustered`] if a cluster has several rows,
/// [`Reason::OutOfRange`] if a reward is outside of its bounds, [`Reason::NoVariance`] if the bounds
/// have no width.
///
/// # References
/// `docs/METHODS.md#off-policy-estimates`; Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro
/// (2022).
pub fn anytime(log: &Log, bounds: Bounds, alpha: f64) -> Result<Interval, Reason> {
    check(log, bounds)?;
    let [low, high] = bounds.reward;
    let width = high - low;
    if width <= 0.0 {
        return Err(Reason::NoVariance);
    }
    let lower = lower_share(log, alpha, |r| (r - low) / width)?;
    let upper = lower_share(log, alpha, |r| (high - r) / width)?;
    Ok(Interval {
        ci_lower: low + lower * width,
        ci_upper: high - upper * width,
    })
}

/// Lower end for the mean of `weight * share(reward)`, at half of `alpha`, 0..=1.
fn lower_share(log: &Log, alpha: f64, share: impl Fn(f64) -> f64) -> Result<f64, Reason> {
    let (mut t, mut sum, mut v) = (0.0, 0.0, 0.0);
    for (w, r) in log.weight.iter().zip(&log.reward) {
        let (x, guess) = (w * share(*r), (sum + 0.5) / (t + 1.0));
        v += (x - guess).powi(2);
        sum += x;
        t += 1.0;
    }
    let excess = |mu: f64| ln_gamma_mixture(sum - t * mu, v, 1.0, 1.0) + (0.5 * alpha).ln();
    if excess(0.0) <= 0.0 {
        return Ok(0.0);
    }
    let most = (sum / t).min(1.0);
    if excess(most) >= 0.0 {
        return Ok(most);
    }
    root(excess, 0.0, most).ok_or(Reason::NoSolution)
}

fn check(log: &Log, bounds: Bounds) -> Result<(), Reason> {
    if log.reward.is_empty() {
        return Err(Reason::NoData);
    }
    if log.has_clusters() {
        return Err(Reason::Clustered);
    }
    let [low, high] = bounds.reward;
    if log.reward.iter().all(|r| (low..=high).contains(r)) {
        Ok(())
    } else {
        Err(Reason::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one user are not independent, so no interval is right.
    #[test]
    fn rows_of_one_cluster_have_no_interval() {
        let mut log = Log {
            weight: vec![1.0; 100],
            q: vec![0.0; 100],
            v: vec![0.0; 100],
            cluster: (0..100).collect(),
            reward: (0..100).map(|i| f64::from(u8::from(i % 4 == 0))).collect(),
        };
        let bounds = Bounds {
            reward: [0.0, 1.0],
            weight: 2.0,
        };
        assert!(anytime(&log, bounds, 0.05).is_ok());
        log.cluster[99] = 98;
        assert_eq!(anytime(&log, bounds, 0.05), Err(Reason::Clustered));
        assert_eq!(cressie_read_interval(&log, bounds, 0.05), Err(Reason::Clustered));
        assert!((cressie_read(&log, bounds).unwrap() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn equal_weights_are_an_ordinary_mean() {
        let reward: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let log = Log {
            weight: vec![1.0; 100],
            q: vec![0.0; 100],
            v: vec![0.0; 100],
            cluster: Vec::new(),
            reward,
        };
        let bounds = Bounds {
            reward: [0.0, 1.0],
            weight: 2.0,
        };
        assert!((cressie_read(&log, bounds).unwrap() - 0.25).abs() < 1e-12);
        let narrow = cressie_read_interval(&log, bounds, 0.05).unwrap();
        let wide = anytime(&log, bounds, 0.05).unwrap();
        assert!(
            wide.ci_lower < narrow.ci_lower
                && narrow.ci_lower < 0.25
                && 0.25 < narrow.ci_upper
                && narrow.ci_upper < wide.ci_upper
        );
        assert_eq!(
            anytime(
                &log,
                Bounds {
                    reward: [0.5, 1.0],
                    weight: 2.0
                },
                0.05
            ),
            Err(Reason::OutOfRange)
        );
    }
}
