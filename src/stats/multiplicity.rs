//! Adjustments of p-values for multiple tests.

/// Holm's step-down adjustment. It controls the family-wise error rate under any dependence: if the
/// hypotheses with an adjusted p-value of at most alpha are rejected, the probability of rejecting
/// at least one true hypothesis is at most alpha.
///
/// With p-values in ascending order, `adjusted_k = max_(j <= k) min(1, (n - j + 1) p_(j))`. The
/// results are in the order of the input.
///
/// # References
/// `docs/METHODS.md#guardrails`; Holm (1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut adjusted = p_values.to_vec();
    holm_in_place(&mut adjusted);
    adjusted
}

/// Computes [`holm`] and overwrites the p-values with the result.
pub fn holm_in_place(p_values: &mut [f64]) {
    /// Up to this many tests are sorted on the stack, without an allocation. Simulations adjust few
    /// p-values very often.
    const FEW: usize = 32;
    let n = p_values.len();
    // A single test needs no correction.
    if let [single] = p_values {
        *single = single.clamp(0.0, 1.0);
        return;
    }
    let (mut few, mut many) = ([0; FEW], Vec::new());
    let order: &mut [usize] = if n <= FEW {
        &mut few[..n]
    } else {
        many.resize(n, 0);
        &mut many
    };
    order.iter_mut().zip(0..).for_each(|(rank, idx)| *rank = idx);
    order.sort_unstable_by(|a, b| p_values[*a].total_cmp(&p_values[*b]).then(a.cmp(b)));
    let mut largest: f64 = 0.0;
    for (rank, idx) in order.iter().enumerate() {
        largest = largest.max(p_values[*idx] * (n - rank) as f64).min(1.0);
        p_values[*idx] = largest;
    }
}

/// Bonferroni's adjustment, `min(1, n p)`. It controls the family-wise error rate under any
/// dependence.
pub fn bonferroni(p_values: &[f64]) -> Vec<f64> {
    p_values
        .iter()
        .map(|p| (p * p_values.len() as f64).min(1.0))
        .collect()
}

/// Hochberg's step-up adjustment. It controls the family-wise error rate if the tests are
/// independent or positively dependent. With p-values in ascending order,
/// `adjusted_k = min_(j >= k) min(1, (n - j + 1) p_(j))`.
///
/// # References
/// Hochberg (1988).
pub fn hochberg(p_values: &[f64]) -> Vec<f64> {
    step_up(p_values, |rank, n| (n - rank) as f64)
}

/// Benjamini and Hochberg's adjustment, for independent or positively dependent tests. It controls
/// the false discovery rate: the expected share of false rejections among all rejections is at most
/// alpha. With p-values in ascending order, `adjusted_k = min_(j >= k) min(1, n p_(j) / j)`.
///
/// # References
/// Benjamini & Hochberg (1995).
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    step_up(p_values, |rank, n| n as f64 / (rank + 1) as f64)
}

/// Benjamini and Yekutieli's adjustment. It controls the false discovery rate under any dependence:
/// the p-values of [`benjamini_hochberg`] times `1 + 1/2 + ... + 1/n`, at most 1.
///
/// # References
/// Benjamini & Yekutieli (2001).
pub fn benjamini_yekutieli(p_values: &[f64]) -> Vec<f64> {
    let harmonic: f64 = (1..=p_values.len()).map(|k| 1.0 / k as f64).sum();
    step_up(p_values, |rank, n| harmonic * n as f64 / (rank + 1) as f64)
}

/// Step-up adjustment: walks from the largest p-value to the smallest and keeps the minimum of
/// `factor(rank, n) p` so far, at most 1. Ranks start at 0. The results are in the order of the
/// input.
fn step_up(p_values: &[f64], factor: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*b].total_cmp(&p_values[*a]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (from_top, idx) in order.into_iter().enumerate() {
        least = least.min(p_values[idx] * factor(p_values.len() - 1 - from_top, p_values.len()));
        adjusted[idx] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    #[test]
    fn holm_steps_down() {
        let check = |p: &[f64], expected: &[f64]| {
            let found = crate::stats::multiplicity::holm(p);
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15),
                "{found:?}"
            );
        };
        check(&[0.01, 0.04, 0.03, 0.005], &[0.03, 0.06, 0.06, 0.02]);
        check(&[0.9, 0.8], &[1.0, 1.0]);
        check(&[], &[]);
    }
}
