//! Random draws of a window: how many of its users get the candidate, and the sums of its rows.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, StandardNormal};

use crate::simulate::model::MetricModel;

/// Expected number of events (and of non-events) from which a count is drawn from a normal
/// distribution.
const MANY_EVENTS: f64 = 16.0;

/// A sum that is drawn from a normal distribution, with its numbers for one value and number of
/// rows. They are the same in all windows of a stage with constant traffic.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormalSum {
    rows: f64,
    value: f64,
    mean: f64,
    std_dev: f64,
    /// The least and the largest sum: those of a count.
    range: [f64; 2],
}

impl Default for NormalSum {
    /// A sum of no value: its numbers are computed at the first draw.
    fn default() -> Self {
        Self {
            rows: f64::NAN,
            value: f64::NAN,
            mean: 0.0,
            std_dev: 0.0,
            range: [0.0; 2],
        }
    }
}

impl NormalSum {
    /// Draws a metric's numerator and denominator in a window. The visitors are random too: a visit
    /// brings several rows of the same user.
    #[inline]
    pub(super) fn draw(
        &mut self,
        rng: &mut ChaCha8Rng,
        metric_model: &MetricModel,
        value: f64,
        rows: f64,
    ) -> (f64, f64) {
        if rows != self.rows || value != self.value {
            match Self::new(metric_model, value, rows) {
                Some(sum) => *self = sum,
                None => return draw_few(rng, value, rows, metric_model.visits),
            }
        }
        let error: f64 = StandardNormal.sample(rng);
        let sum = self.mean + error * self.std_dev;
        (sum.clamp(self.range[0], self.range[1]), rows)
    }

    /// `None` for a count with few events or non-events.
    fn new(metric_model: &MetricModel, value: f64, rows: f64) -> Option<Self> {
        let visits = metric_model.visits;
        if !metric_model.is_proportion {
            return Some(Self {
                rows,
                value,
                mean: rows * value,
                std_dev: (rows * (metric_model.within + visits)).sqrt(),
                range: [f64::NEG_INFINITY, f64::INFINITY],
            });
        }
        let p = value.clamp(0.0, 1.0);
        (rows * p.min(1.0 - p) >= MANY_EVENTS).then(|| Self {
            rows,
            value,
            mean: rows * p,
            std_dev: (rows * (p * (1.0 - p) + visits)).sqrt(),
            range: [0.0, rows],
        })
    }
}

/// Draws the number of events, of few expected events or non-events, and the number of rows.
/// `visits` is the variance of a row that its visitor brings.
#[cold]
fn draw_few(rng: &mut ChaCha8Rng, value: f64, rows: f64, visits: f64) -> (f64, f64) {
    let p = value.clamp(0.0, 1.0);
    let rare = p.min(1.0 - p);
    // Rows are whole numbers here. The fraction of a row is rounded up with its own probability.
    let n = rows.floor() + f64::from(u8::from(rng.random::<f64>() < rows.fract()));
    let rate = rate_of_visitors(rng, rare, visits / rows);
    let events = draw_rare(rng, n, rate);
    (if p <= 0.5 { events } else { n - events }, n)
}

/// Draws the mean rate of the window's visitors around the rate of all users, within 0..=1.
fn rate_of_visitors(rng: &mut ChaCha8Rng, rate: f64, variance: f64) -> f64 {
    if variance <= 0.0 || rate <= 0.0 {
        return rate;
    }
    // The guard above makes shape and scale positive.
    Gamma::new(rate * rate / variance, variance / rate).map_or(rate, |law| law.sample(rng).min(1.0))
}

/// Draws how many of `n` users belong to a share.
pub(super) fn draw_share(rng: &mut ChaCha8Rng, n: f64, share: f64) -> f64 {
    if share >= 1.0 || n == 0.0 {
        return n;
    }
    let rare = share.min(1.0 - share);
    let events = if n * rare >= MANY_EVENTS {
        let error: f64 = StandardNormal.sample(rng);
        (n * rare + error * (n * rare * (1.0 - rare)).sqrt())
            .round()
            .clamp(0.0, n)
    } else {
        draw_rare(rng, n, rare)
    };
    if share <= 0.5 { events } else { n - events }
}

/// Draws a binomial count with few expected events, by inversion.
fn draw_rare(rng: &mut ChaCha8Rng, n: f64, p: f64) -> f64 {
    if p <= 0.0 || n <= 0.0 {
        return 0.0;
    }
    let mut left = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    if p >= 1.0 {
        return n;
    }
    let odds = p / (1.0 - p);
    let (mut k, mut probability) = (0.0, (n * (-p).ln_1p()).exp());
    while left >= probability && k < n {
        left -= probability;
        probability *= odds * (n - k) / (k + 1.0);
        k += 1.0;
        if probability == 0.0 {
            break;
        }
    }
    k
}
