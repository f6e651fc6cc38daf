//! Bootstrap intervals: over clusters by Poisson weights, and over rows by resampling.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use rayon::prelude::*;

use crate::base::chacha::WideChaCha8;
use crate::stats::clusters::Clusters;
use crate::stats::dist::{norm_isf, norm_sf};
use crate::stats::known::{Interval, Reason};
use crate::stats::spread;

/// The number of replicates of [`percentile`].
pub const REPLICATES: usize = 1_000;

/// The percentile interval of `theta(sums)`, at two-sided level `alpha`. Each replicate gives every
/// cluster a weight from Poisson(1). The same seed gives the same interval. `theta` returns `None`
/// where it has no value; such replicates are left out.
///
/// # Errors
/// [`Reason::NoData`] without clusters, [`Reason::DominatingCluster`] if fewer than 90 % of the
/// replicates have a value.
///
/// # References
/// `docs/METHODS.md#the-calculator`; Chamandy et al. (2012).
pub fn percentile(
    clusters: &Clusters,
    theta: impl Fn(&[f64]) -> Option<f64>,
    alpha: f64,
    seed: u64,
) -> Result<Interval, Reason> {
    if clusters.is_empty() {
        return Err(Reason::NoData);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut values = Vec::with_capacity(REPLICATES);
    for _ in 0..REPLICATES {
        let mut sums = vec![0.0; clusters.width()];
        for cluster in clusters.iter() {
            let weight = poisson_one(&mut rng);
            if weight > 0.0 {
                sums.iter_mut()
                    .zip(cluster)
                    .for_each(|(sum, own)| *sum += weight * own);
            }
        }
        values.extend(theta(&sums));
    }
    if values.len() * 10 < REPLICATES * 9 {
        return Err(Reason::DominatingCluster);
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((share * values.len() as f64) as usize).min(values.len() - 1)];
    Ok(Interval {
        ci_lower: at(0.5 * alpha),
        ci_upper: at(1.0 - 0.5 * alpha),
    })
}

/// A statistic of a sample, with its bootstrap replicates and its jackknife values.
pub struct Resampled {
    /// The statistic of the sample, in its own unit.
    pub estimate: f64,
    /// The finite values of the replicates, ascending.
    pub replicates: Vec<f64>,
    /// Jackknife values: the statistic without each single row.
    pub without_one: Vec<f64>,
    /// Whether the rows differ. Otherwise all replicates are the estimate, apart from rounding.
    pub has_spread: bool,
}

/// The method that takes an interval from the replicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BootstrapMethod {
    /// The bias-corrected and accelerated interval (BCa).
    #[default]
    Bca,
    /// The quantiles of the replicates.
    Percentile,
}

/// A statistic of rows to resample.
#[derive(Debug, Clone, Copy)]
pub enum Statistic<'a> {
    /// The mean of a sample.
    Mean(&'a [f64]),
    /// The ratio of the sums of two columns of the same rows: numerator, denominator.
    Ratio(&'a [f64], &'a [f64]),
    /// The mean of the first sample minus the mean of the second. The samples are resampled
    /// separately.
    Difference(&'a [f64], &'a [f64]),
}

/// Resamples rows with replacement. The same seed gives the same replicates, for any number of
/// threads.
///
/// # Errors
/// [`Reason::NoData`] if there are no rows, if columns differ in length, or if the statistic of the
/// sample is not finite.
pub fn resample(statistic: Statistic<'_>, n_replicates: usize, seed: u64) -> Result<Resampled, Reason> {
    let sum = |rows: &[f64]| rows.iter().sum::<f64>();
    let finite = |value: f64| value.is_finite().then_some(value);
    let n_rows = match statistic {
        Statistic::Mean(x) => x.len(),
        Statistic::Ratio(x, y) if x.len() == y.len() => x.len(),
        Statistic::Ratio(..) => 0,
        Statistic::Difference(x, y) => x.len().min(y.len()),
    };
    if n_rows == 0 {
        return Err(Reason::NoData);
    }
    let (estimate, without_one): (f64, Vec<f64>) = match statistic {
        Statistic::Mean(x) => {
            let (total, n) = (sum(x), x.len() as f64);
            (total / n, x.iter().map(|own| (total - own) / (n - 1.0)).collect())
        }
        Statistic::Ratio(x, y) => {
            let (num, den) = (sum(x), sum(y));
            (
                num / den,
                x.iter().zip(y).map(|(a, b)| (num - a) / (den - b)).collect(),
            )
        }
        Statistic::Difference(x, y) => {
            let (a, b, n, m) = (sum(x), sum(y), x.len() as f64, y.len() as f64);
            let first = x.iter().map(|own| (a - own) / (n - 1.0) - b / m);
            (
                a / n - b / m,
                first
                    .chain(y.iter().map(|own| a / n - (b - own) / (m - 1.0)))
                    .collect(),
            )
        }
    };
    let columns = |rows: &[f64]| rows.iter().map(|x| [*x]).collect::<Vec<_>>();
    let mean = |rows: &[[f64; 1]], rng: &mut [WideChaCha8]| -> Vec<f64> {
        let sums = draw_sums(rng, rows);
        sums.iter().map(|[sum]| sum / rows.len() as f64).collect()
    };
    let values: Vec<f64> = match statistic {
        Statistic::Mean(x) => {
            let x = columns(x);
            replicates_of(n_replicates, seed, |rng| mean(&x, rng))
        }
        Statistic::Difference(x, y) => {
            let (x, y) = (columns(x), columns(y));
            replicates_of(n_replicates, seed, |rng| {
                let first = mean(&x, rng);
                first.iter().zip(mean(&y, rng)).map(|(a, b)| a - b).collect()
            })
        }
        Statistic::Ratio(x, y) => {
            let rows: Vec<[f64; 2]> = x.iter().zip(y).map(|(x, y)| [*x, *y]).collect();
            replicates_of(n_replicates, seed, |rng| {
                let sums = draw_sums(rng, &rows);
                sums.iter().map(|[num, den]| num / den).collect()
            })
        }
    };
    let mut replicates: Vec<f64> = values.into_iter().filter_map(finite).collect();
    replicates.sort_by(f64::total_cmp);
    Ok(Resampled {
        estimate: finite(estimate).ok_or(Reason::NoData)?,
        replicates,
        without_one,
        has_spread: match statistic {
            Statistic::Mean(x) => spread::has_spread(x),
            Statistic::Difference(x, y) => spread::has_spread(x) || spread::has_spread(y),
            Statistic::Ratio(x, y) => {
                let rows: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
                spread::has_residuals(&rows, estimate)
            }
        },
    })
}

/// Replicates that are drawn together, block by block: a block is read from memory once for all.
const TOGETHER: usize = 8;

/// The replicates of a statistic, in order. Each replicate has its own random stream, so neither the
/// number of threads nor the replicates beside it change it.
fn replicates_of(
    n_replicates: usize,
    seed: u64,
    values: impl Fn(&mut [WideChaCha8]) -> Vec<f64> + Sync,
) -> Vec<f64> {
    let together: Vec<Vec<f64>> = (0..n_replicates.div_ceil(TOGETHER))
        .into_par_iter()
        .map(|part| {
            let first = part * TOGETHER;
            let mut streams: Vec<WideChaCha8> = (first..(first + TOGETHER).min(n_replicates))
                .map(|idx| WideChaCha8::new(seed, idx as u64))
                .collect();
            values(&mut streams)
        })
        .collect();
    together.into_iter().flatten().collect()
}

/// Rows per block. A block of two columns fits the first-level cache, and a row's index is 11 bits.
const BLOCK: usize = 1 << BLOCK_BITS;
/// Bits of a row's index within a block.
const BLOCK_BITS: u32 = 11;
/// Row indices per random word.
const PER_WORD: usize = (u64::BITS / BLOCK_BITS) as usize;
/// Random words that are drawn at a time.
const WORDS: usize = 256;

/// Sums of `N` columns over rows drawn with replacement, as many as the sample has, once for each
/// random stream. The number of draws in a block is binomial, and all rows of a block are equally
/// likely. The distribution is that of single draws, but memory is read in order.
fn draw_sums<const N: usize>(streams: &mut [WideChaCha8], rows: &[[f64; N]]) -> Vec<[f64; N]> {
    let mut left = vec![rows.len() as u64; streams.len()];
    let mut sums = vec![[0.0; N]; streams.len()];
    let mut rows_left = rows.len();
    for block in rows.chunks(BLOCK) {
        for ((rng, left), sums) in streams.iter_mut().zip(&mut left).zip(&mut sums) {
            let n = if rows_left == block.len() {
                *left
            } else {
                binomial(rng, *left, block.len() as f64 / rows_left as f64)
            };
            *left -= n;
            let of_block = match <&[[f64; N]; BLOCK]>::try_from(block) {
                Ok(block) => draw_block(rng, block, n),
                Err(_) => (0..n).fold([0.0; N], |sums, _| {
                    add(sums, block[rng.random_range(0..block.len())])
                }),
            };
            *sums = add(*sums, of_block);
        }
        rows_left -= block.len();
    }
    sums
}

/// Sums of `N` columns over `n` rows of a block, drawn with replacement.
fn draw_block<const N: usize>(rng: &mut WideChaCha8, rows: &[[f64; N]; BLOCK], n: u64) -> [f64; N] {
    const { assert!(N.is_power_of_two(), "the masks of positions need it") };
    // The position of a row's first value comes from one shift and one mask. For an index of the row
    // the compiler shifts twice, and the loop has no time for it.
    let values = &rows.as_flattened()[..N * BLOCK];
    let row = |word: u64, idx: usize| -> [f64; N] {
        let first = ((word >> (idx as u32 * BLOCK_BITS)) as usize * N) & (N * BLOCK - N);
        std::array::from_fn(|column| values[first + column])
    };
    // Independent partial sums, so that an addition does not wait for the one before it.
    let mut lanes = [[0.0; N]; PER_WORD];
    let mut bytes = [0; WORDS * 8];
    let mut n_words = n as usize / PER_WORD;
    while n_words > 0 {
        let bytes = &mut bytes[..n_words.min(WORDS) * 8];
        // The bytes of the words that `next_u64` returns, in their order.
        rng.fill_bytes(bytes);
        for word in bytes.as_chunks().0 {
            let word = u64::from_le_bytes(*word);
            for (idx, lane) in lanes.iter_mut().enumerate() {
                *lane = add(*lane, row(word, idx));
            }
        }
        n_words -= bytes.len() / 8;
    }
    let word = rng.next_u64();
    for idx in 0..n as usize % PER_WORD {
        lanes[0] = add(lanes[0], row(word, idx));
    }
    lanes.into_iter().fold([0.0; N], add)
}

#[inline]
fn add<const N: usize>(a: [f64; N], b: [f64; N]) -> [f64; N] {
    std::array::from_fn(|idx| a[idx] + b[idx])
}

fn binomial(rng: &mut WideChaCha8, n: u64, p: f64) -> u64 {
    // The share is in 0..=1 by construction, so the distribution always exists.
    Binomial::new(n, p).map_or(0, |law| law.sample(rng))
}

impl Resampled {
    /// The interval for one planned look, at two-sided level `alpha`.
    ///
    /// BCa takes the replicates' quantiles at `Phi(z0 + (z0 + z) / (1 - a (z0 + z)))`. `z0` is the
    /// normal quantile of the share of replicates below the estimate, and `z` is that of
    /// `alpha / 2` or `1 - alpha / 2`. `a = sum d^3 / (6 (sum d^2)^1.5)`, where d is the mean of
    /// the jackknife values minus each value.
    ///
    /// # Errors
    /// [`Reason::NoVariance`] if the rows or the chosen replicates do not differ,
    /// [`Reason::DominatingCluster`] if fewer than 90 % of `n_replicates` have a value.
    ///
    /// # References
    /// `docs/METHODS.md#the-calculator`; Efron (1987).
    pub fn interval(
        &self,
        method: BootstrapMethod,
        n_replicates: usize,
        alpha: f64,
    ) -> Result<Interval, Reason> {
        let interval = self.quantiles(method, n_replicates, alpha)?;
        if self.has_spread && interval.ci_lower < interval.ci_upper {
            Ok(interval)
        } else {
            Err(Reason::NoVariance)
        }
    }

    fn quantiles(
        &self,
        method: BootstrapMethod,
        n_replicates: usize,
        alpha: f64,
    ) -> Result<Interval, Reason> {
        let n = self.replicates.len();
        if n == 0 || n * 10 < n_replicates * 9 {
            return Err(Reason::DominatingCluster);
        }
        let at = |share: f64| {
            let position = share.clamp(0.0, 1.0) * (n - 1) as f64;
            let (low, rest) = (position.floor() as usize, position.fract());
            let high = (low + 1).min(n - 1);
            self.replicates[low] + rest * (self.replicates[high] - self.replicates[low])
        };
        if method == BootstrapMethod::Percentile {
            return Ok(Interval {
                ci_lower: at(0.5 * alpha),
                ci_upper: at(1.0 - 0.5 * alpha),
            });
        }
        let below = self.replicates.partition_point(|value| *value < self.estimate);
        let up_to = self.replicates.partition_point(|value| *value <= self.estimate);
        let share = (below + up_to) as f64 / (2 * n) as f64;
        // If all replicates are on one side of the estimate, the bias correction would be infinite.
        // Half a replicate limits it.
        let half = 0.5 / n as f64;
        let z0 = -norm_isf(share.clamp(half, 1.0 - half));
        let mean = self.without_one.iter().sum::<f64>() / self.without_one.len().max(1) as f64;
        let moment = |power: i32| {
            self.without_one
                .iter()
                .map(|value| (mean - value).powi(power))
                .sum::<f64>()
        };
        let square = moment(2);
        let acceleration = if square > 0.0 {
            moment(3) / (6.0 * square.powf(1.5))
        } else {
            0.0
        };
        let end = |z: f64| {
            let shifted = z0 + z;
            let scale = 1.0 - acceleration * shifted;
            // Where the scale is not above 0 the correction is not monotonic. The end is then the
            // extreme replicate.
            at(if scale > 0.0 {
                norm_sf(-(z0 + shifted / scale))
            } else {
                f64::from(u8::from(z > 0.0))
            })
        };
        let z = norm_isf(0.5 * alpha);
        Ok(Interval {
            ci_lower: end(-z),
            ci_upper: end(z),
        })
    }
}

/// A draw from Poisson(1), by inversion.
fn poisson_one(rng: &mut ChaCha8Rng) -> f64 {
    let mut uniform = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let (mut k, mut probability) = (0.0, (-1.0_f64).exp());
    while uniform >= probability && k < 30.0 {
        uniform -= probability;
        k += 1.0;
        probability /= k;
    }
    k
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_by_blocks_draws_every_row_alike() {
        let n = 2 * BLOCK + 100;
        let x: Vec<f64> = (0..n).map(|i| (i / 300 % 7) as f64).collect();
        let rows: Vec<[f64; 2]> = x.iter().map(|x| [*x, 1.0]).collect();
        let mean = x.iter().sum::<f64>() / n as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        let mut means = Vec::new();
        for seed in 0..2_000 {
            let [sum, count] = draw_sums(&mut [WideChaCha8::new(seed, 0)], &rows)[0];
            assert_eq!(count, n as f64);
            means.push(sum / n as f64);
        }
        let grand = means.iter().sum::<f64>() / 2_000.0;
        let spread = means.iter().map(|m| (m - grand).powi(2)).sum::<f64>() / 1_999.0;
        assert!(
            (grand - mean).abs() < 4.0 * (variance / n as f64 / 2_000.0).sqrt(),
            "{grand} {mean}"
        );
        assert!((spread / (variance / n as f64) - 1.0).abs() < 0.15, "{spread}");
    }

    /// The values were recorded when each replicate was drawn alone, word by word, from two columns.
    #[test]
    fn replicates_keep_their_values() {
        let y: Vec<f64> = (0..5_000).map(|i| f64::from(1 + i * 37 % 101)).collect();
        let x: Vec<f64> = (0..5_000).map(|i| f64::from(i * i % 97) / 10.0).collect();
        let z: Vec<f64> = x[..3_000].iter().map(|x| 2.0 * x).collect();
        for (statistic, recorded) in [
            (
                Statistic::Mean(&x),
                [4.742859999999998, 4.789859999999997, 4.873819999999999],
            ),
            (
                Statistic::Ratio(&x, &y),
                [0.09220717279780992, 0.09396267277670751, 0.09629048636986867],
            ),
            (
                Statistic::Difference(&x, &z),
                [-5.057873333333341, -4.885526666666664, -4.649973333333334],
            ),
        ] {
            let found = resample(statistic, 20, 7).unwrap().replicates;
            assert_eq!(found.len(), 20);
            assert_eq!([found[0], found[7], found[19]], recorded, "{statistic:?}");
        }
    }

    #[test]
    fn resampling_rows_and_clusters_finds_the_mean_s_error() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i * 37 % 101)).collect();
        let mean = values.iter().sum::<f64>() / 400.0;
        let error = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 399.0 / 400.0).sqrt();
        let close = |interval: Interval| {
            ((interval.ci_upper - interval.ci_lower) / (2.0 * 1.96 * error) - 1.0).abs() < 0.1
        };
        let resampled = resample(Statistic::Mean(&values), 4_000, 1).unwrap();
        for method in [BootstrapMethod::Bca, BootstrapMethod::Percentile] {
            assert!(
                close(resampled.interval(method, 4_000, 0.05).unwrap()),
                "{method:?}"
            );
        }
        let clusters: Clusters = values.iter().map(|v| [*v, 1.0]).collect();
        assert!(close(
            percentile(&clusters, |sums| Some(sums[0] / sums[1]), 0.05, 1).unwrap()
        ));
        assert!(resample(Statistic::Ratio(&values, &values[1..]), 10, 1).is_err());
        let tripled: Vec<f64> = values.iter().map(|v| 0.1 * v).collect();
        for statistic in [
            Statistic::Mean(&[0.1; 30]),
            Statistic::Ratio(&tripled, &values),
            Statistic::Difference(&[0.1; 30], &[0.3; 20]),
        ] {
            for method in [BootstrapMethod::Bca, BootstrapMethod::Percentile] {
                let found = resample(statistic, 200, 1).unwrap().interval(method, 200, 0.05);
                assert_eq!(found, Err(Reason::NoVariance), "{statistic:?}");
            }
        }
    }
}
