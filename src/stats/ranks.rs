//! Tests on ranks and on signs.

use crate::stats::exact;
use crate::stats::known::Reason;
use crate::stats::p_value::{Alternative, PValue};

/// The largest number of non-zero differences, or of rows in a sample, for which a rank test is
/// exact.
pub const EXACT_UP_TO: usize = 50;

/// The result of a test on ranks or signs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// Wilcoxon: the sum of the ranks of the positive differences. Mann-Whitney: U of the first
    /// sample. Sign test: the number of positive differences.
    pub statistic: f64,
    /// The p-value for the alternative of the test.
    pub p_value: PValue,
    /// Whether the p-value is from the exact distribution; otherwise it is from the normal one.
    pub is_exact: bool,
    /// Wilcoxon and sign test: the number of non-zero differences. Mann-Whitney: the number of
    /// pairs of rows, `n1 n2`.
    pub n: usize,
}

/// Mid-ranks of the values times two (so they are integers), and the sum of `t^3 - t` over groups
/// of t tied values.
fn double_ranks(values: &[f64]) -> (Vec<u32>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0; values.len()];
    let mut ties = 0.0;
    let mut start = 0;
    while start < order.len() {
        let end = start
            + order[start..]
                .iter()
                .take_while(|idx| values[**idx] == values[order[start]])
                .count();
        order[start..end]
            .iter()
            .for_each(|idx| ranks[*idx] = (start + 1 + end) as u32);
        let t = (end - start) as f64;
        ties += t * t * t - t;
        start = end;
    }
    (ranks, ties)
}

/// Lower tail `P(X <= at)` and upper tail `P(X >= at)` of a distribution given by its weights.
fn tails(weights: &[f64], at: usize) -> (f64, f64) {
    let total: f64 = weights.iter().sum();
    (
        weights[..=at].iter().sum::<f64>() / total,
        weights[at..].iter().sum::<f64>() / total,
    )
}

fn p_of_tails(lower: f64, upper: f64, alternative: Alternative) -> PValue {
    PValue::new(match alternative {
        Alternative::TwoSided => 2.0 * lower.min(upper),
        Alternative::Greater => upper,
        Alternative::Less => lower,
    })
}

/// The distribution of a rank test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// The exact distribution up to [`EXACT_UP_TO`] values, without ties in Mann and Whitney's
    /// test; otherwise the normal one.
    #[default]
    Auto,
    /// The exact distribution, with mid-ranks for ties, or an error.
    Exact,
    /// The normal distribution.
    Normal,
}

/// Wilcoxon's signed-rank test of differences against a median of 0. Differences of 0 are left out.
/// Tied differences share their mid-ranks.
///
/// The exact p-value is from the distribution of these ranks; see [`Counting`]. Otherwise it is
/// normal: the sum of the positive ranks has the mean `n (n + 1) / 4` and the variance
/// `n (n + 1) (2 n + 1) / 24 - sum (t^3 - t) / 48` over ties.
///
/// # Errors
/// [`Reason::NoData`] without differences, [`Reason::NoVariance`] if all are 0,
/// [`Reason::TooLarge`] if the exact distribution of more than [`EXACT_UP_TO`] differences is
/// requested.
///
/// # References
/// `docs/METHODS.md#the-calculator`; Wilcoxon (1945).
pub fn wilcoxon(
    differences: &[f64],
    alternative: Alternative,
    counting: Counting,
) -> Result<RankTest, Reason> {
    let used: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let n = used.len();
    if n == 0 {
        return Err(no_difference(differences));
    }
    let (ranks, ties) = double_ranks(&used.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let positive: u64 = ranks
        .iter()
        .zip(&used)
        .filter(|(_, d)| **d > 0.0)
        .map(|(rank, _)| u64::from(*rank))
        .sum();
    let statistic = positive as f64 / 2.0;
    if counting.is_exact(n, false)? {
        // The number of sign choices for each sum of positive ranks, indexed by twice the sum.
        let mut ways = vec![0.0_f64; ranks.iter().sum::<u32>() as usize + 1];
        ways[0] = 1.0;
        let mut reached = 0;
        for rank in ranks {
            let rank = rank as usize;
            reached += rank;
            for sum in (rank..=reached).rev() {
                ways[sum] += ways[sum - rank];
            }
        }
        let (lower, upper) = tails(&ways, positive as usize);
        return Ok(RankTest {
            statistic,
            p_value: p_of_tails(lower, upper, alternative),
            is_exact: true,
            n,
        });
    }
    let rows = n as f64;
    let variance = rows * (rows + 1.0) * (2.0 * rows + 1.0) / 24.0 - ties / 48.0;
    let z = (statistic - rows * (rows + 1.0) / 4.0) / variance.sqrt();
    Ok(RankTest {
        statistic,
        p_value: alternative.p_value(z, f64::INFINITY),
        is_exact: false,
        n,
    })
}

/// Mann and Whitney's U test. `Greater` means that the first sample tends to be above the second.
///
/// The exact p-value is from the permutation distribution of the mid-ranks, ties included; see
/// [`Counting`]. The normal one has a continuity correction: U has the mean `n1 n2 / 2` and the
/// variance `n1 n2 / 12 (n + 1 - sum (t^3 - t) / (n (n - 1)))`, with `n = n1 + n2`.
///
/// # Errors
/// [`Reason::NoData`] if a sample is empty, [`Reason::NoVariance`] if all values are equal and the
/// distribution is normal, [`Reason::TooLarge`] if the exact distribution of more than
/// [`EXACT_UP_TO`] rows in a sample is requested.
///
/// # References
/// `docs/METHODS.md#the-calculator`; Mann & Whitney (1947).
pub fn mann_whitney(
    x: &[f64],
    y: &[f64],
    alternative: Alternative,
    counting: Counting,
) -> Result<RankTest, Reason> {
    let (n1, n2) = (x.len(), y.len());
    if n1 == 0 || n2 == 0 {
        return Err(Reason::NoData);
    }
    let (ranks, ties) = double_ranks(&[x, y].concat());
    let own: u64 = ranks[..n1].iter().map(|rank| u64::from(*rank)).sum();
    let (a, b) = (n1 as f64, n2 as f64);
    let statistic = own as f64 / 2.0 - a * (a + 1.0) / 2.0;
    if counting.is_exact(n1.max(n2), ties > 0.0)? {
        // ways[k][s] is the number of choices of k rows whose doubled ranks sum to s.
        let total = ranks.iter().sum::<u32>() as usize;
        let mut ways = vec![vec![0.0_f64; total + 1]; n1 + 1];
        ways[0][0] = 1.0;
        let mut reached = 0;
        for (idx, rank) in ranks.iter().enumerate() {
            let rank = *rank as usize;
            reached += rank;
            for k in (1..=n1.min(idx + 1)).rev() {
                let (fewer, own) = ways.split_at_mut(k);
                for sum in rank..=reached {
                    own[0][sum] += fewer[k - 1][sum - rank];
                }
            }
        }
        let (lower, upper) = tails(&ways[n1], own as usize);
        return Ok(RankTest {
            statistic,
            p_value: p_of_tails(lower, upper, alternative),
            is_exact: true,
            n: n1 * n2,
        });
    }
    let n = a + b;
    let variance = a * b / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if variance <= 0.0 {
        return Err(Reason::NoVariance);
    }
    let center = a * b / 2.0;
    let p_value = match alternative {
        Alternative::TwoSided => alternative.p_value(
            ((statistic - center).abs() - 0.5).max(0.0) / variance.sqrt(),
            f64::INFINITY,
        ),
        Alternative::Greater => {
            alternative.p_value((statistic - center - 0.5) / variance.sqrt(), f64::INFINITY)
        }
        Alternative::Less => alternative.p_value((statistic - center + 0.5) / variance.sqrt(), f64::INFINITY),
    };
    Ok(RankTest {
        statistic,
        p_value,
        is_exact: false,
        n: n1 * n2,
    })
}

fn no_difference(differences: &[f64]) -> Reason {
    if differences.is_empty() {
        Reason::NoData
    } else {
        Reason::NoVariance
    }
}

impl Counting {
    /// Whether `n` values are counted exactly.
    fn is_exact(self, n: usize, has_ties: bool) -> Result<bool, Reason> {
        match self {
            Self::Exact if n > EXACT_UP_TO => Err(Reason::TooLarge),
            Self::Exact => Ok(true),
            Self::Auto => Ok(n <= EXACT_UP_TO && !has_ties),
            Self::Normal => Ok(false),
        }
    }
}

/// The sign test: a binomial test of equally many positive and negative differences. Differences of
/// 0 are left out.
///
/// # Errors
/// [`Reason::NoData`] without differences, [`Reason::NoVariance`] if all are 0.
///
/// # References
/// `docs/METHODS.md#the-calculator`; Dixon & Mood (1946).
pub fn sign(differences: &[f64], alternative: Alternative) -> Result<RankTest, Reason> {
    let n_positive = differences.iter().filter(|d| **d > 0.0).count();
    let n = n_positive + differences.iter().filter(|d| **d < 0.0).count();
    if n == 0 {
        return Err(no_difference(differences));
    }
    let p_value = exact::binomial(n_positive as f64, n as f64, 0.5, alternative);
    Ok(RankTest {
        statistic: n_positive as f64,
        p_value,
        is_exact: true,
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_ranks_with_ties_are_counted() {
        let p = |x: &[f64], y: &[f64]| {
            let test = mann_whitney(x, y, Alternative::TwoSided, Counting::Exact).unwrap();
            assert!(test.is_exact);
            test.p_value.p
        };
        let ones = [1.0; 8];
        assert!((p(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], &ones) - 7.0 / 15.0).abs() < 1e-12);
        assert!((p(&[0.0, 0.0, 0.0, 1.0], &ones[..4]) - 1.0 / 7.0).abs() < 1e-12);
        assert_eq!(p(&ones, &ones), 1.0);
        // Samples of 50: the largest that are counted.
        let x: Vec<f64> = (0..50).map(|i| f64::from(i % 7)).collect();
        let y: Vec<f64> = (0..50).map(|i| f64::from(i % 7 + i % 2)).collect();
        let exact = p(&x, &y);
        let normal = mann_whitney(&x, &y, Alternative::TwoSided, Counting::Normal).unwrap();
        assert!((exact - normal.p_value.p).abs() < 0.01, "{exact} {normal:?}");
        let more = [&x[..], &[3.0]].concat();
        assert_eq!(
            mann_whitney(&more, &y, Alternative::TwoSided, Counting::Exact),
            Err(Reason::TooLarge)
        );
    }
}
