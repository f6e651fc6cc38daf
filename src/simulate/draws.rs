//! Random draws of a window: how many of its users get the candidate, and counts of few events.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Gamma};

use crate::simulate::stream::Stream;

/// Expected number of events (and of non-events) from which a count is drawn from a normal
/// distribution.
pub(super) const MANY_EVENTS: f64 = 16.0;

/// Counts of few expected events or non-events in windows with the same number of rows, and what
/// their draws have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct FewEvents {
    rows: f64,
    rate: f64,
    /// For the number of rows rounded down and rounded up.
    tables: [CountTable; 2],
}

impl FewEvents {
    /// Draws the number of events and the number of rows. `visits` is the variance of a row that its
    /// visitor brings.
    pub(super) fn draw(&mut self, stream: &mut Stream, value: f64, rows: f64, visits: f64) -> (f64, f64) {
        let p = value.clamp(0.0, 1.0);
        let rare = p.min(1.0 - p);
        // Rows are whole numbers here. The fraction of a row is rounded up with its own probability.
        // The cast rounds towards 0.
        let whole = rows as u64 as f64;
        let is_up = stream.random::<f64>() < rows - whole;
        let n = whole + f64::from(u8::from(is_up));
        let events = if visits > 0.0 {
            let rate = rate_of_visitors(stream, rare, visits / rows);
            draw_rare(stream, n, rate)
        } else if (rows, rare) != (self.rows, self.rate) {
            (self.rows, self.rate) = (rows, rare);
            self.tables.iter_mut().for_each(|table| table.sums.clear());
            draw_rare(stream, n, rare)
        } else if rare > 0.0 && n > 0.0 {
            self.tables[usize::from(is_up)].count(uniform(stream), Binomial { n, p: rare })
        } else {
            0.0
        };
        (if p <= 0.5 { events } else { n - events }, n)
    }
}

/// The probabilities of at most 0, 1, 2 ... events.
#[derive(Debug, Clone, Default)]
struct CountTable {
    sums: Vec<f64>,
}

impl CountTable {
    /// The count of [`count`] for a distribution, which is always the same until the table is cleared.
    fn count(&mut self, uniform: f64, law: Binomial) -> f64 {
        // Far above the rounding errors of all sums, and of the differences of `count`.
        const SLACK: f64 = 1e-12;
        if self.sums.is_empty() {
            self.fill(law);
        }
        // Without a branch for each sum: most end at another count than the one before.
        let k = self.sums.iter().filter(|sum| **sum <= uniform).count();
        let is_above = k == 0 || uniform - self.sums[k - 1] > SLACK;
        let is_clear = is_above && self.sums.get(k).is_some_and(|sum| sum - uniform > SLACK);
        if is_clear { k as f64 } else { law.count(uniform) }
    }

    fn fill(&mut self, law: Binomial) {
        // Counts that are less likely are left to the inversion.
        const LEAST: f64 = 1e-18;
        let (mut probability, mut sum) = (law.none(), 0.0);
        while probability > LEAST && (self.sums.len() as f64) < law.n {
            sum += probability;
            self.sums.push(sum);
            probability = law.after(self.sums.len() - 1, probability);
        }
    }
}

/// Draws the mean rate of the window's visitors around the rate of all users, within 0..=1.
fn rate_of_visitors(stream: &mut Stream, rate: f64, variance: f64) -> f64 {
    if variance <= 0.0 || rate <= 0.0 {
        return rate;
    }
    // The guard above makes shape and scale positive.
    Gamma::new(rate * rate / variance, variance / rate).map_or(rate, |law| law.sample(stream).min(1.0))
}

/// Draws how many of `n` users belong to a share.
#[inline]
pub(super) fn draw_share(stream: &mut Stream, n: f64, share: f64) -> f64 {
    if share >= 1.0 || n == 0.0 {
        return n;
    }
    let rare = share.min(1.0 - share);
    let events = if n * rare >= MANY_EVENTS {
        let error = stream.normal();
        let events = (n * rare + error * (n * rare * (1.0 - rare)).sqrt()).max(0.0);
        // Rounded without a call: counts are far below 2^63, and the cast rounds towards 0.
        let whole = events as i64 as f64;
        (if events - whole >= 0.5 { whole + 1.0 } else { whole }).min(n)
    } else {
        draw_rare(stream, n, rare)
    };
    if share <= 0.5 { events } else { n - events }
}

/// Draws a binomial count with few expected events.
fn draw_rare(stream: &mut Stream, n: f64, p: f64) -> f64 {
    if p <= 0.0 || n <= 0.0 {
        return 0.0;
    }
    let uniform = uniform(stream);
    if p >= 1.0 {
        return n;
    }
    Binomial { n, p }.count(uniform)
}

/// A number in 0..1.
fn uniform(stream: &mut Stream) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A binomial distribution of `n` rows with a probability below 1.
#[derive(Clone, Copy)]
struct Binomial {
    n: f64,
    p: f64,
}

impl Binomial {
    /// The probability of no event.
    fn none(self) -> f64 {
        (self.n * (-self.p).ln_1p()).exp()
    }

    /// The probability of one event more than `k`, which has this probability.
    fn after(self, k: usize, probability: f64) -> f64 {
        let (k, odds) = (k as f64, self.p / (1.0 - self.p));
        probability * (odds * (self.n - k) / (k + 1.0))
    }

    /// The number of events, by inversion.
    fn count(self, uniform: f64) -> f64 {
        let (mut left, mut k) = (uniform, 0);
        let mut probability = self.none();
        while left >= probability && (k as f64) < self.n {
            left -= probability;
            probability = self.after(k, probability);
            k += 1;
            if probability == 0.0 {
                break;
            }
        }
        k as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts from a table are those of the inversion.
    #[test]
    fn tables_draw_the_counts_of_the_inversion() {
        let mut few = FewEvents::default();
        let [mut kept, mut anew] = [Stream::new(2, 5), Stream::new(2, 5)];
        let (mut n_events, mut n_rows) = (0.0, 0.0);
        for turn in 0..20_000_u32 {
            // The numbers of rows and the rates change, and come back.
            let rows = [83.25, 1_600.5, 16.0][turn as usize / 100 % 3];
            let value = [0.05, 0.999, 0.0, 1.0][turn as usize / 1_000 % 4];
            let (events, n) = few.draw(&mut kept, value, rows, 0.0);
            let whole = rows.floor() + f64::from(u8::from(anew.random::<f64>() < rows.fract()));
            let rare = value.min(1.0 - value);
            let expected = draw_rare(&mut anew, whole, rare);
            let expected = if value <= 0.5 { expected } else { whole - expected };
            assert_eq!((events, n), (expected, whole), "{turn}");
            if value == 0.05 {
                (n_events, n_rows) = (n_events + events, n_rows + rows);
            }
        }
        assert_eq!(kept.next_u64(), anew.next_u64());
        // The mean lies within five standard errors.
        let error = (n_rows * 0.05 * 0.95).sqrt();
        assert!(
            (n_events - 0.05 * n_rows).abs() < 5.0 * error,
            "{n_events} {n_rows}"
        );
    }
}
