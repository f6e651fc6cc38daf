//! Group-sequential tests by recursive numerical integration: boundaries of planned looks and the
//! probabilities to cross them.

use serde::{Deserialize, Serialize};

use crate::stats::dist::{ln_norm_sf, norm_isf, norm_pdf, norm_sf};
use crate::stats::known::Reason;
use crate::stats::special::root;

/// Alpha-spending functions: the error level spent up to an information fraction `t`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spending {
    /// Lan and DeMets's approximation of O'Brien and Fleming: `2 (1 - Phi(z_(1 - a/2) / sqrt t))`.
    ObrienFleming,
    /// Lan and DeMets's approximation of Pocock: `a ln(1 + (e - 1) t)`.
    Pocock,
    /// Kim and DeMets's power family: `a t^rho`, with rho above 0.
    #[serde(rename = "kim_demets")]
    KimDeMets(f64),
    /// Hwang, Shih and DeCani's family: `a (1 - exp(-gamma t)) / (1 - exp(-gamma))`, and `a t` for
    /// gamma 0.
    #[serde(rename = "hwang_shih_decani")]
    HwangShihDeCani(f64),
}

impl Spending {
    /// The name in documents and scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::ObrienFleming => "obrien_fleming",
            Self::Pocock => "pocock",
            Self::KimDeMets(_) => "kim_demets",
            Self::HwangShihDeCani(_) => "hwang_shih_decani",
        }
    }

    /// The parameter of a family that has one: rho or gamma.
    pub fn parameter(self) -> Option<f64> {
        match self {
            Self::ObrienFleming | Self::Pocock => None,
            Self::KimDeMets(parameter) | Self::HwangShihDeCani(parameter) => Some(parameter),
        }
    }

    /// The error level spent up to the information fraction `t`, out of `alpha`. Fractions above 1
    /// count as 1.
    ///
    /// # References
    /// `docs/METHODS.md#group-sequential-designs-and-exact-ramps`; Lan & DeMets (1983), Kim &
    /// DeMets (1987), Hwang, Shih & DeCani (1990).
    pub fn spent(self, alpha: f64, t: f64) -> f64 {
        let t = t.min(1.0);
        match self {
            Self::ObrienFleming => 2.0 * norm_sf(norm_isf(0.5 * alpha) / t.sqrt()),
            Self::Pocock => alpha * ((std::f64::consts::E - 1.0) * t).ln_1p(),
            Self::KimDeMets(rho) => alpha * t.powf(rho),
            Self::HwangShihDeCani(0.0) => alpha * t,
            Self::HwangShihDeCani(gamma) => alpha * (-gamma * t).exp_m1() / (-gamma).exp_m1(),
        }
    }
}

/// The sides of 0 on which a test stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// The test stops above 0 only.
    One,
    /// The test stops above and below 0, at symmetric boundaries.
    Two,
}

/// The positive nodes and their weights of the Gauss-Legendre rule with 16 nodes on -1..=1. The
/// negative nodes mirror them.
const RULE: [(f64, f64); 8] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_5),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_6),
    (0.458_016_777_657_227_4, 0.169_156_519_395_002_54),
    (0.617_876_244_402_643_7, 0.149_595_988_816_576_73),
    (0.755_404_408_355_003, 0.124_628_971_255_533_87),
    (0.865_631_202_387_831_7, 0.095_158_511_682_492_78),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_9),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_1),
];
/// Upper limit of the integration, in standard deviations of the score above its mean. It is large,
/// because boundaries that spend almost nothing are far out.
const REACH: f64 = 26.0;
/// Lower limit of the integration, in standard deviations below the mean. Paths that fall lower
/// practically never reach the upper boundary.
const BELOW: f64 = 10.0;
/// Reach of a step's density to each side, in standard deviations of the step.
const STEP_REACH: f64 = 14.0;
/// Largest number of integration panels at a look. Looks that need more are too close to each
/// other, which is an error.
const MAX_PANELS: f64 = 20_000.0;

/// The distribution of a score process `S ~ N(drift * I, I)` at information I, restricted to paths
/// that have not stopped.
pub struct Process {
    drift: f64,
    information: f64,
    /// Integration nodes: the score, and its weight times the density. Empty before the first look.
    nodes: Vec<(f64, f64)>,
}

impl Process {
    /// The process before the first look. `drift` is the mean of S per unit of information.
    pub fn new(drift: f64) -> Self {
        Self {
            drift,
            information: 0.0,
            nodes: Vec::new(),
        }
    }

    /// The probability that S is above (or below) a bound at the next look without a stop before.
    /// `information` is that of the next look.
    pub fn beyond(&self, information: f64, bound: f64, above: bool) -> f64 {
        let step = information - self.information;
        let (mean, sd) = (self.drift * step, step.sqrt());
        let tail = |from: f64| {
            norm_sf(if above {
                (bound - from - mean) / sd
            } else {
                (from + mean - bound) / sd
            })
        };
        if self.information == 0.0 {
            tail(0.0)
        } else {
            self.nodes.iter().map(|(node, mass)| mass * tail(*node)).sum()
        }
    }

    /// Moves on to the next look and keeps the paths between two bounds. `next` is the information
    /// of the look after it; `None` at the last look.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] if looks are too close to each other.
    pub fn advance(&mut self, information: f64, bounds: (f64, f64), next: Option<f64>) -> Result<(), Reason> {
        let step = information - self.information;
        let (center, spread) = (self.drift * information, information.sqrt());
        let low = bounds.0.max(center - BELOW * spread);
        let high = bounds.1.min(center + REACH * spread);
        // The density changes on the scale of the last step, and the next kernel on that of the
        // next step. The panels must resolve both.
        let scale = next.map_or(step, |next| step.min(next - information)).sqrt();
        let n_panels = ((high - low) / (1.5 * scale)).ceil().max(1.0);
        if n_panels > MAX_PANELS {
            return Err(Reason::TooLarge);
        }
        let mut nodes = Vec::new();
        if high > low {
            let half = 0.5 * (high - low) / n_panels;
            for panel in 0..n_panels as usize {
                let middle = low + half * (2 * panel + 1) as f64;
                for (node, weight) in RULE
                    .iter()
                    .rev()
                    .map(|(x, w)| (-x, w))
                    .chain(RULE.iter().map(|(x, w)| (*x, w)))
                {
                    let point = middle + half * node;
                    nodes.push((point, half * weight * self.density(point, step)));
                }
            }
        }
        (self.nodes, self.information) = (nodes, information);
        Ok(())
    }

    fn density(&self, node: f64, step: f64) -> f64 {
        let (mean, sd) = (self.drift * step, step.sqrt());
        let kernel = |from: f64| norm_pdf((node - from - mean) / sd) / sd;
        if self.information == 0.0 {
            return kernel(0.0);
        }
        // The nodes are sorted, so only those within reach of the kernel are summed.
        let reach = STEP_REACH * sd;
        let start = self
            .nodes
            .partition_point(|(from, _)| *from < node - mean - reach);
        let end = self
            .nodes
            .partition_point(|(from, _)| *from <= node - mean + reach);
        self.nodes[start..end]
            .iter()
            .map(|(from, mass)| mass * kernel(*from))
            .sum()
    }
}

/// Boundaries of a design and the error level that they spend.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// Boundaries of the z statistic, one per look; `None` if the look spends nothing.
    pub bounds: Vec<Option<f64>>,
    /// The error level spent up to each look, both sides together.
    pub alpha_spent: Vec<f64>,
}

/// Checks that the information rises and is above 0.
fn check(information: &[f64]) -> Result<(), Reason> {
    let rises = information.windows(2).all(|pair| pair[0] < pair[1]);
    if information.first().is_some_and(|first| *first > 0.0) && rises {
        Ok(())
    } else {
        Err(Reason::NoData)
    }
}

/// Boundaries that follow a spending function. `information` holds the information fractions of the
/// looks, rising, above 0 and at most 1. A two-sided design spends half of `alpha` on each side.
///
/// # Errors
/// [`Reason::NoData`] if the information does not rise from above 0, [`Reason::TooLarge`] if looks
/// are too close to each other.
///
/// # References
/// `docs/METHODS.md#group-sequential-designs-and-exact-ramps`; Armitage, McPherson & Rowe (1969),
/// Lan & DeMets (1983).
pub fn design(information: &[f64], alpha: f64, sides: Sides, spending: Spending) -> Result<Design, Reason> {
    check(information)?;
    let n_sides = if sides == Sides::Two { 2.0 } else { 1.0 };
    let mut process = Process::new(0.0);
    let (mut bounds, mut alpha_spent) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    for (look, at) in information.iter().enumerate() {
        let spent = n_sides * spending.spent(alpha / n_sides, *at);
        let target = (spent - before) / n_sides;
        let bound = boundary(&process, *at, target);
        let edge = bound.map_or(f64::INFINITY, |z| z * at.sqrt());
        let low = if sides == Sides::Two {
            -edge
        } else {
            f64::NEG_INFINITY
        };
        process.advance(*at, (low, edge), information.get(look + 1).copied())?;
        bounds.push(bound);
        alpha_spent.push(spent);
        before = spent;
    }
    Ok(Design { bounds, alpha_spent })
}

/// The z value that the process exceeds with a given probability at the next look. `None` if the
/// probability is practically 0.
pub(super) fn boundary(process: &Process, information: f64, target: f64) -> Option<f64> {
    if target < 1e-300 {
        return None;
    }
    let excess = |z: f64| {
        process
            .beyond(information, z * information.sqrt(), true)
            .max(f64::MIN_POSITIVE)
            .ln()
            - target.ln()
    };
    root(excess, -12.0, 39.0)
}

/// Wang and Tsiatis's boundaries `z_k = c t_k^(-shape)`, with `t_k` the information of a look over
/// that of the last one. `c` is chosen so that the error level is exactly `alpha`. Shape 0 is
/// Pocock's, shape 1/2 is O'Brien and Fleming's; Wang and Tsiatis's own parameter is `1/2 - shape`.
///
/// # Errors
/// As [`design`], or [`Reason::NoSolution`] if no such `c` is found.
///
/// # References
/// `docs/METHODS.md#group-sequential-designs-and-exact-ramps`; Wang & Tsiatis (1987).
pub fn shaped(information: &[f64], alpha: f64, sides: Sides, shape: f64) -> Result<Design, Reason> {
    check(information)?;
    let last = information[information.len() - 1];
    let at = |c: f64| {
        information
            .iter()
            .map(|t| c * (t / last).powf(-shape))
            .collect::<Vec<f64>>()
    };
    let total = |c: f64| {
        crossings(information, &at(c), sides, 0.0)
            .map_or(f64::NAN, |stops| stops.iter().sum::<f64>().ln() - alpha.ln())
    };
    let c = root(total, 0.0, 39.0).ok_or(Reason::NoSolution)?;
    let bounds = at(c);
    let mut sum = 0.0;
    let stops = crossings(information, &bounds, sides, 0.0)?;
    let alpha_spent = stops.iter().map(|stop| {
        sum += stop;
        sum
    });
    Ok(Design {
        alpha_spent: alpha_spent.collect(),
        bounds: bounds.into_iter().map(Some).collect(),
    })
}

/// The probability to stop at each look, for boundaries of the z statistic and a drift per unit of
/// information. A look with an infinite boundary never stops.
///
/// # Errors
/// As [`design`]; [`Reason::NoData`] also if the number of boundaries is not that of the looks.
pub fn crossings(information: &[f64], bounds: &[f64], sides: Sides, drift: f64) -> Result<Vec<f64>, Reason> {
    if information.is_empty() && bounds.is_empty() {
        return Ok(Vec::new());
    }
    check(information)?;
    if bounds.len() != information.len() {
        return Err(Reason::NoData);
    }
    let mut process = Process::new(drift);
    let mut stops = Vec::new();
    for (look, (at, z)) in information.iter().zip(bounds).enumerate() {
        let edge = z * at.sqrt();
        let below = if sides == Sides::Two {
            process.beyond(*at, -edge, false)
        } else {
            0.0
        };
        stops.push(process.beyond(*at, edge, true) + below);
        let low = if sides == Sides::Two {
            -edge
        } else {
            f64::NEG_INFINITY
        };
        process.advance(*at, (low, edge), information.get(look + 1).copied())?;
    }
    Ok(stops)
}

/// Decimal logarithm of the one-sided nominal p-value of a boundary.
pub fn log10_nominal(z: f64) -> f64 {
    ln_norm_sf(z) / std::f64::consts::LN_10
}
