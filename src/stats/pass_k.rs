//! pass^k: the probability that all of k attempts succeed.

use crate::stats::known::Reason;

/// The mean over cases of `C(c, k) / C(n, k)`: the probability that k attempts, drawn from the
/// case's n attempts of which c succeeded, all succeed. `attempts` and `successes` have one entry
/// per case. The result is in 0..=1.
///
/// # Errors
/// [`Reason::NoData`] without cases. [`Reason::TooFewRows`] if a case has fewer than k attempts, or
/// if the slices differ in length.
///
/// # References
/// `docs/METHODS.md#paired-evaluations`; Yao et al. (2024).
pub fn pass_hat_k(attempts: &[u64], successes: &[u64], k: u64) -> Result<f64, Reason> {
    if attempts.is_empty() || attempts.len() != successes.len() || attempts.iter().any(|n| *n < k) {
        return Err(if attempts.is_empty() {
            Reason::NoData
        } else {
            Reason::TooFewRows
        });
    }
    let case = |(n, c): (&u64, &u64)| {
        if c < &k {
            return 0.0;
        }
        // C(c, k) / C(n, k) as a product of k or of n - c factors, whichever is fewer.
        (0..k.min(n - c))
            .map(|i| {
                if k <= n - c {
                    (c - i) as f64 / (n - i) as f64
                } else {
                    (n - k - i) as f64 / (n - i) as f64
                }
            })
            .product()
    };
    Ok(attempts.iter().zip(successes).map(case).sum::<f64>() / attempts.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_ways_as_binomials_say() {
        let check = |n: &[u64], c: &[u64], k: u64, expected: f64| {
            assert!(
                (pass_hat_k(n, c, k).unwrap() - expected).abs() < 1e-15,
                "{n:?} {c:?} {k}"
            );
        };
        check(&[5], &[4], 2, 6.0 / 10.0);
        check(&[5, 5], &[5, 3], 3, (1.0 + 1.0 / 10.0) / 2.0);
        check(&[5], &[2], 3, 0.0);
        check(&[1_000], &[999], 998, 999.0 / 499_500.0);
        assert_eq!(pass_hat_k(&[2], &[2], 3), Err(Reason::TooFewRows));
        assert_eq!(pass_hat_k(&[], &[], 1), Err(Reason::NoData));
    }
}
