//! How surely all of k attempts succeed.

use super::Reason;

/// `pass^k`: the mean over cases of `C(c, k) / C(n, k)`, the chance that k of a case's n attempts, of which c succeeded, all succeed.
///
/// # Errors
/// No case, or a case with fewer than k attempts.
///
/// # References
/// METHODS section 9; Yao et al. (2024).
pub fn pass_hat_k(attempts: &[u64], successes: &[u64], k: u64) -> Result<f64, Reason> {
    if attempts.is_empty() || attempts.len() != successes.len() || attempts.iter().any(|n| *n < k) {
        return Err(if attempts.is_empty() { Reason::NoData } else { Reason::TooFewRows });
    }
    let case = |(n, c): (&u64, &u64)| {
        if c < &k {
            return 0.0;
        }
        // The product over the smaller side of C(c, k) / C(n, k).
        (0..k.min(n - c)).map(|i| if k <= n - c { (c - i) as f64 / (n - i) as f64 } else { (n - k - i) as f64 / (n - i) as f64 }).product()
    };
    Ok(attempts.iter().zip(successes).map(case).sum::<f64>() / attempts.len() as f64)
}
