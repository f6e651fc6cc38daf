//! The QoS score: its parts, its point estimate, and its interval. The score is defined by the
//! reference policy (docs/REFERENCE_POLICY.md).

use serde::{Deserialize, Serialize};

use crate::layer::round_score;
use crate::metric::RATE_METRICS;
use crate::scenario::QosConfig;
use crate::stats::difference::welch_df;
use crate::stats::dist::t_isf;
use crate::stats::half_width::{Bounds, IntervalBounds};
use crate::stats::ratio::MIN_CLUSTERS;
use crate::stats::scale_mixture::ScaleMixture;
use crate::stats::{Clusters, Interval, Reason, effect, jackknife, ratio, sequential};

/// Number of rates of QoS.
const N_RATES: usize = RATE_METRICS.len();
/// Index of the mean latency in [`RATE_METRICS`], the only rate that is not a share.
const LATENCY: usize = 2;

/// The six rates of QoS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Share of bad ratings, 0..=1.
    pub bad_rate: f64,
    /// Share of successful turns, 0..=1.
    pub availability: f64,
    /// Mean latency in milliseconds.
    pub latency_ms: f64,
    /// Share of successful tool calls, 0..=1.
    pub tool_success_rate: f64,
    /// Share of completed tasks, 0..=1.
    pub task_completion_rate: f64,
    /// Share of rows with a complaint, 0..=1.
    pub complaint_rate: f64,
}

impl From<[f64; N_RATES]> for Rates {
    /// Takes the rates in the order of [`RATE_METRICS`].
    fn from(rates: [f64; N_RATES]) -> Self {
        let [
            bad_rate,
            availability,
            latency_ms,
            tool_success_rate,
            task_completion_rate,
            complaint_rate,
        ] = rates;
        Self {
            bad_rate,
            availability,
            latency_ms,
            tool_success_rate,
            task_completion_rate,
            complaint_rate,
        }
    }
}

/// QoS and its three parts, each 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Qos {
    /// User experience, 0..=1: `1 - min(3 bad, 1)`.
    pub u: f64,
    /// Technical quality, 0..=1:
    /// `0.4 availability + 0.3 (1 - min(latency / max, 1)) + 0.3 tool success`.
    pub t: f64,
    /// Business quality, 0..=1: `0.6 completion + 0.4 (1 - min(10 complaint, 1))`.
    pub b: f64,
    /// The score, 0..=1: `wU U + wT T + wB B`, with the weights of the scenario.
    pub qos: f64,
}

/// The QoS of six rates, not rounded. The order of operations is that of the reference policy, so
/// the last bits agree.
///
/// ```
/// use sluice::{metric::BadRateOf, qos::{qos, Rates}, scenario::QosConfig};
/// let high_risk = QosConfig {
///     weights: [0.3, 0.2, 0.5],
///     max_latency_ms: 5000.0,
///     bad_rate_of: BadRateOf::Rated,
/// };
/// let rates = Rates {
///     bad_rate: 0.1,
///     availability: 1.0,
///     latency_ms: 2500.0,
///     tool_success_rate: 1.0,
///     task_completion_rate: 0.5,
///     complaint_rate: 0.05,
/// };
/// assert!((qos(&rates, &high_risk).qos - 0.63).abs() < 1e-12);
/// ```
///
/// # References
/// `docs/METHODS.md#qos`; the reference policy, article A, sections 3.2 and 4.2.3.
pub fn qos(rates: &Rates, config: &QosConfig) -> Qos {
    qos_between(rates, config, [None; 3])
}

/// QoS with some of its three kinks (bad rate, latency, complaint rate) fixed to one side.
/// `Some(true)` is the side on which the term is 0, `Some(false)` the linear side, `None` the side
/// of the rates.
fn qos_between(rates: &Rates, config: &QosConfig, forced: [Option<bool>; 3]) -> Qos {
    let left = |x: f64, kink: usize| match forced[kink] {
        None => 1.0 - x.min(1.0),
        Some(true) => 0.0,
        Some(false) => 1.0 - x,
    };
    let u = left(rates.bad_rate * 3.0, 0);
    let latency_score = left(rates.latency_ms / config.max_latency_ms, 1);
    let t = rates.availability * 0.4 + latency_score * 0.3 + rates.tool_success_rate * 0.3;
    let b = rates.task_completion_rate * 0.6 + left(rates.complaint_rate * 10.0, 2) * 0.4;
    let [w_u, w_t, w_b] = config.weights;
    Qos {
        u,
        t,
        b,
        qos: w_u * u + w_t * t + w_b * b,
    }
}

/// The method of an interval of QoS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QosMethod {
    /// The delete-one-group jackknife, where no kink is near.
    Jackknife,
    /// Jackknife on both sides of each kink within 3 standard errors. The interval takes the larger
    /// lower end and the larger upper end.
    Branches,
}

/// QoS of one release in one stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QosArm {
    /// The six rates from which the QoS is computed.
    pub rates: Rates,
    /// The QoS and its three parts, each 0..=1, not rounded.
    #[serde(flatten)]
    pub value: Qos,
    /// QoS, 0..=1, rounded to four decimals, as in the reference policy's code.
    pub point: f64,
    /// Standard error of the QoS, on its scale of 0..=1.
    pub std_error: f64,
    /// Satterthwaite degrees of freedom of the standard error.
    pub df: f64,
    /// Number of bucket groups with data.
    pub n_clusters: usize,
    /// Two-sided interval for one planned look, at the error level of the analysis, in 0..=1.
    #[serde(flatten)]
    pub ci: Interval,
    /// Two-sided interval that is valid at every look, at the same error level, in 0..=1.
    pub anytime: Interval,
    /// The method that computed the intervals.
    pub method: QosMethod,
}

/// Estimates the QoS of an arm from its clusters. A cluster has twelve sums: numerator and
/// denominator of each of [`RATE_METRICS`]. `alpha` is the two-sided error level. `mde` is the QoS
/// difference for which the anytime interval is tuned.
///
/// Each term `1 - min(x, 1)` is the larger of `1 - x` and 0. So QoS is the maximum of smooth
/// functions, one for each choice of sides. Near a kink the interval goes from the largest lower
/// end to the largest upper end of the intervals of these functions. A percentile bootstrap would
/// be wrong there: its intervals covered the truth in only 78 % of simulated arms at a kink.
///
/// # Errors
/// [`Reason::NoData`] if a rate has no denominator, [`Reason::TooFewClusters`] if a rate has fewer
/// than 20 clusters with data. QoS is never computed from only some of its rates.
///
/// # References
/// `docs/METHODS.md#qos`; Fang & Santos (2019) on the bootstrap at kinks.
pub fn estimate_arm(clusters: &Clusters, config: &QosConfig, alpha: f64, mde: f64) -> Result<QosArm, Reason> {
    for rate in 0..RATE_METRICS.len() {
        match clusters.iter().filter(|sums| sums[2 * rate + 1] > 0.0).count() {
            0 => return Err(Reason::NoData),
            n if n < MIN_CLUSTERS => return Err(Reason::TooFewClusters),
            _ => {}
        }
    }
    let rates = rates_of(&clusters.totals()).ok_or(Reason::NoData)?;
    let value = qos(&rates, config);
    let near = near_kinks(clusters, &rates, config)?;
    let tau2 = sequential::mixture_variance(sequential::v_star_for(mde), alpha);
    let deficits = variance_deficits(clusters);
    let mut arm: Option<QosArm> = None;
    for sides in 0..1_u8 << near.len() {
        let mut forced = [None; 3];
        near.iter()
            .enumerate()
            .for_each(|(bit, kink)| forced[*kink] = Some(sides >> bit & 1 == 1));
        let theta = |sums: &[f64]| rates_of(sums).map(|rates| qos_between(&rates, config, forced).qos);
        let found = jackknife::delete_one(clusters, theta)?;
        let slopes = slopes(&rates, config, forced);
        let floor: f64 = slopes
            .iter()
            .zip(deficits)
            .map(|(slope, v)| slope * slope * v)
            .sum();
        let own = found.std_error.powi(2);
        let (v, df) = (
            own + floor,
            welch_df(own, found.df, floor, found.n_clusters as f64 - 1.0),
        );
        let [ci, anytime] = intervals(found.estimate, v, t_isf(0.5 * alpha, df), df, tau2, alpha)
            .map(|interval| interval.within(0.0, 1.0));
        arm = Some(match arm {
            None => QosArm {
                rates,
                value,
                point: f64::from(round_score(value.qos.clamp(0.0, 1.0))) / 10_000.0,
                std_error: v.sqrt(),
                df,
                n_clusters: found.n_clusters,
                ci,
                anytime,
                method: if near.is_empty() {
                    QosMethod::Jackknife
                } else {
                    QosMethod::Branches
                },
            },
            Some(other) => QosArm {
                std_error: other.std_error.max(v.sqrt()),
                df: other.df.min(df),
                ci: larger(other.ci, ci),
                anytime: larger(other.anytime, anytime),
                ..other
            },
        });
    }
    arm.ok_or(Reason::NoData)
}

/// The two-sided intervals of an estimate with variance `v`: for one look at the t quantile `t`, and
/// for every look.
fn intervals(estimate: f64, v: f64, t: f64, df: f64, tau2: f64, alpha: f64) -> [Interval; 2] {
    let multiplier = if v > 0.0 {
        ScaleMixture::new(v, df, tau2).multiplier(alpha)
    } else {
        0.0
    };
    [t, multiplier].map(|times| Interval::around(estimate, times * v.sqrt()))
}

/// By how much the spread between clusters falls short of the smallest variance of each rate: that
/// of independent rows. It is 0 for the mean latency, and where there is enough spread.
fn variance_deficits(clusters: &Clusters) -> [f64; N_RATES] {
    let mut deficits = [0.0; N_RATES];
    for (rate, deficit) in deficits
        .iter_mut()
        .enumerate()
        .filter(|(rate, _)| *rate != LATENCY)
    {
        let sums: Vec<(f64, f64)> = clusters
            .iter()
            .map(|row| (row[2 * rate], row[2 * rate + 1]))
            .collect();
        if let Ok(found) = ratio::clusters(&sums) {
            let own = found.std_error.powi(2);
            *deficit = (effect::proportion_estimate(&found).variance() - own).max(0.0);
        }
    }
    deficits
}

/// Estimates QoS from rates with known, independent errors, by the delta method. The method is
/// exact between the kinks, where QoS is linear. Near a kink it combines both sides as
/// [`estimate_arm`] does.
///
/// `variances` are those of the rates, in the order of [`RATE_METRICS`]; `t` is the quantile for
/// one look, with `df` degrees of freedom; `tau2` is the variance of the tuned scale of the mixture
/// for every look, at two-sided level `alpha`.
/// Returns the estimate, the estimate rounded to four decimals, and the two intervals: for one
/// look, for every look.
///
/// # References
/// `docs/METHODS.md#simulation`.
pub fn estimate_rates(
    rates: &Rates,
    variances: &[f64; N_RATES],
    config: &QosConfig,
    t: f64,
    df: f64,
    tau2: f64,
    alpha: f64,
) -> (f64, f64, [Interval; 2]) {
    let value = qos(rates, config).qos;
    let near = bends(rates, config).map(|(idx, rate, bend)| (rate - bend).powi(2) <= 9.0 * variances[idx]);
    let mut widest: Option<[Interval; 2]> = None;
    for forced in sides_of(near) {
        let (center, v) = center_and_variance(rates, variances, config, forced);
        let own = intervals(center, v, t, df, tau2, alpha);
        widest = Some(widest.map_or(own, |other| [larger(other[0], own[0]), larger(other[1], own[1])]));
    }
    let point = f64::from(round_score(value.clamp(0.0, 1.0))) / 10_000.0;
    (value, point, widest.unwrap_or([Interval::around(value, 0.0); 2]))
}

/// QoS and bounds of its interval in [`estimate_rates`], for one look or for every look.
/// `half_width` returns bounds of the half width at a variance. Rates may have rounding errors of a
/// few operations, and variances relative errors of up to 1e-7. `None` without bounds of a half
/// width, and where rounding may decide whether a kink is near.
pub fn bound_rates(
    rates: &Rates,
    variances: &[f64; N_RATES],
    config: &QosConfig,
    half_width: impl Fn(f64) -> Option<Bounds>,
) -> Option<(f64, IntervalBounds)> {
    let kinks = bends(rates, config).map(|(idx, rate, bend)| {
        let (distance, most) = ((rate - bend).abs(), 9.0 * variances[idx]);
        let rounding = 1e-6 * most + 1e-13 * bend * (distance + 1e-13 * bend);
        (distance * distance, most, rounding)
    });
    if kinks
        .iter()
        .any(|(square, most, rounding)| (square - most).abs() <= *rounding)
    {
        return None;
    }
    let near = kinks.map(|(square, most, _)| square <= most);
    let bounds = |forced: [Option<bool>; 3]| {
        let (center, v) = center_and_variance(rates, variances, config, forced);
        Some(IntervalBounds::around(center, half_width(v)?))
    };
    let value = qos(rates, config).qos;
    if near == [false; 3] {
        return Some((value, bounds([None; 3])?));
    }
    let mut widest: Option<IntervalBounds> = None;
    for forced in sides_of(near) {
        let own = bounds(forced)?;
        widest = Some(widest.map_or(own, |other| IntervalBounds {
            narrow: larger(other.narrow, own.narrow),
            wide: larger(other.wide, own.wide),
        }));
    }
    Some((value, widest?))
}

/// The sides of the kinks that count: both sides of a near kink, and that of the rates elsewhere.
fn sides_of(near: [bool; 3]) -> impl Iterator<Item = [Option<bool>; 3]> {
    (0..8_u8).filter_map(move |sides| {
        let side = |kink: usize| sides >> kink & 1 == 1;
        // Without a near kink one pass is enough.
        if (0..3).any(|kink| !near[kink] && side(kink)) {
            return None;
        }
        let mut forced = [None; 3];
        (0..3)
            .filter(|kink| near[*kink])
            .for_each(|kink| forced[kink] = Some(side(kink)));
        Some(forced)
    })
}

/// QoS with its kinks fixed, and its variance by the delta method.
fn center_and_variance(
    rates: &Rates,
    variances: &[f64; N_RATES],
    config: &QosConfig,
    forced: [Option<bool>; 3],
) -> (f64, f64) {
    let slopes = slopes(rates, config, forced);
    let v: f64 = slopes
        .iter()
        .zip(variances)
        .map(|(slope, v)| slope * slope * v)
        .sum();
    (qos_between(rates, config, forced).qos, v)
}

/// The kinks of QoS: the index of the rate in [`RATE_METRICS`], its value, and the value at which
/// QoS has the kink.
fn bends(rates: &Rates, config: &QosConfig) -> [(usize, f64, f64); 3] {
    [
        (0, rates.bad_rate, 1.0 / 3.0),
        (2, rates.latency_ms, config.max_latency_ms),
        (5, rates.complaint_rate, 0.1),
    ]
}

/// The partial derivatives of QoS by each of [`RATE_METRICS`], on one side of each kink.
fn slopes(rates: &Rates, config: &QosConfig, forced: [Option<bool>; 3]) -> [f64; N_RATES] {
    let [w_u, w_t, w_b] = config.weights;
    let bends = bends(rates, config);
    let is_flat = |kink: usize| forced[kink].unwrap_or(bends[kink].1 > bends[kink].2);
    let unless = |kink: usize, slope: f64| if is_flat(kink) { 0.0 } else { slope };
    [
        unless(0, -3.0 * w_u),
        0.4 * w_t,
        unless(1, -0.3 * w_t / config.max_latency_ms),
        0.3 * w_t,
        0.6 * w_b,
        unless(2, -4.0 * w_b),
    ]
}

fn larger(a: Interval, b: Interval) -> Interval {
    Interval {
        ci_lower: a.ci_lower.max(b.ci_lower),
        ci_upper: a.ci_upper.max(b.ci_upper),
    }
}

/// QoS of twelve sums: numerator and denominator of each of [`RATE_METRICS`]. `None` if a
/// denominator is 0.
pub fn qos_of_sums(sums: &[f64], config: &QosConfig) -> Option<f64> {
    rates_of(sums).map(|rates| qos(&rates, config).qos)
}

fn rates_of(sums: &[f64]) -> Option<Rates> {
    let rate = |idx: usize| (sums[2 * idx + 1] > 0.0).then(|| sums[2 * idx] / sums[2 * idx + 1]);
    Some(Rates {
        bad_rate: rate(0)?,
        availability: rate(1)?,
        latency_ms: rate(2)?,
        tool_success_rate: rate(3)?,
        task_completion_rate: rate(4)?,
        complaint_rate: rate(5)?,
    })
}

/// The kinks of [`qos_between`] within 3 standard errors of their rates.
fn near_kinks(clusters: &Clusters, rates: &Rates, config: &QosConfig) -> Result<Vec<usize>, Reason> {
    let mut near = Vec::new();
    for (kink, (idx, rate, bend)) in bends(rates, config).into_iter().enumerate() {
        let estimate = jackknife::delete_one(clusters, |sums| {
            (sums[2 * idx + 1] > 0.0).then(|| sums[2 * idx] / sums[2 * idx + 1])
        })?;
        if (rate - bend).abs() <= 3.0 * estimate.std_error {
            near.push(kink);
        }
    }
    Ok(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::BadRateOf;

    const HIGH_RISK: QosConfig = QosConfig {
        weights: [0.3, 0.2, 0.5],
        max_latency_ms: 5000.0,
        bad_rate_of: BadRateOf::Rated,
    };

    #[test]
    fn compensates_as_the_specification_says() {
        let perfect_but_down = Rates {
            bad_rate: 0.0,
            availability: 0.0,
            latency_ms: 300.0,
            tool_success_rate: 1.0,
            task_completion_rate: 1.0,
            complaint_rate: 0.0,
        };
        assert!((qos(&perfect_but_down, &HIGH_RISK).qos - 0.9164).abs() < 1e-12);
        let worst = Rates {
            bad_rate: 1.0,
            availability: 0.0,
            latency_ms: 9e9,
            tool_success_rate: 0.0,
            task_completion_rate: 0.0,
            complaint_rate: 1.0,
        };
        assert_eq!(qos(&worst, &HIGH_RISK).qos, 0.0);
    }

    #[test]
    fn a_missing_rate_is_no_qos() {
        let row = [1.0, 10.0, 9.0, 10.0, 100.0, 10.0, 0.0, 0.0, 5.0, 10.0, 0.0, 10.0];
        let clusters = std::iter::repeat_n(row, 40).collect();
        assert_eq!(
            estimate_arm(&clusters, &HIGH_RISK, 0.05, 0.02),
            Err(Reason::NoData)
        );
    }

    #[test]
    fn both_sides_of_a_kink_count() {
        let cluster = |g: u32| {
            let complaints = f64::from(g % 3);
            [
                1.0,
                10.0,
                9.0,
                10.0,
                100.0,
                10.0,
                9.0,
                10.0,
                f64::from(g % 5),
                10.0,
                complaints,
                10.0,
            ]
        };
        let arm = estimate_arm(&(0..60).map(cluster).collect(), &HIGH_RISK, 0.05, 0.02).unwrap();
        assert_eq!(arm.method, QosMethod::Branches);
        assert!(arm.anytime.ci_lower <= arm.ci.ci_lower && arm.ci.ci_upper <= arm.anytime.ci_upper);
    }
}
