//! Population stability index (PSI): the distance between two distributions.

/// The smallest share that enters the formula. Smaller shares are raised to it, because the
/// logarithm of 0 is not finite.
const FLOOR: f64 = 1e-6;
/// Number of cells: deciles.
const N_CELLS: u64 = 10;

/// The PSI of `after` against `before`, two lists of counts over the same cells:
/// `PSI = sum (q - p) ln(q / p)`. `p` and `q` are the shares of a cell in `before` and `after`,
/// raised to at least 1e-6. `None` if the counts of either list sum to 0.
///
/// # References
/// `docs/METHODS.md#drift`.
pub fn psi_of_cells(before: &[f64], after: &[f64]) -> Option<f64> {
    let (n_before, n_after) = (before.iter().sum::<f64>(), after.iter().sum::<f64>());
    if n_before <= 0.0 || n_after <= 0.0 {
        return None;
    }
    Some(
        before
            .iter()
            .zip(after)
            .map(|(p, q)| term(p / n_before, q / n_after))
            .sum(),
    )
}

/// `(q - p) ln(q / p)`, both shares raised to at least [`FLOOR`].
fn term(p: f64, q: f64) -> f64 {
    let (p, q) = (p.max(FLOOR), q.max(FLOOR));
    (q - p) * (q / p).ln()
}

/// The PSI of `after` against `before`, two histograms of counts over the same bins in ascending
/// order.
///
/// The cells are the deciles of `before`: `PSI = sum (q - p) ln(q / p)`, with `p` and `q` the
/// shares of a cell in `before` and `after`, raised to at least 1e-6. Two deciles that end in the
/// same bin form one cell. The convention is: below 0.1 little has moved, above 0.25 much has
/// moved. It is not a significance test.
///
/// `None` if either histogram is empty.
///
/// # References
/// `docs/METHODS.md#drift`.
///
/// ```
/// use sluice::stats::psi::psi;
/// assert_eq!(psi(&[5, 5], &[50, 50]), Some(0.0));
/// let expected = 0.3 * (1.6_f64.ln() - 0.4_f64.ln());
/// assert!((psi(&[50, 50], &[20, 80]).unwrap() - expected).abs() < 1e-12);
/// // The last cell has no upper limit: a user who moves above the highest score stays in it.
/// assert_eq!(psi(&[4, 1, 0], &[4, 0, 1]), Some(0.0));
/// assert_eq!(psi(&[0, 0], &[1, 2]), None);
/// ```
pub fn psi(before: &[u64], after: &[u64]) -> Option<f64> {
    let (n_before, n_after) = (before.iter().sum::<u64>(), after.iter().sum::<u64>());
    if n_before == 0 || n_after == 0 {
        return None;
    }
    let (mut psi, mut p, mut q) = (0.0, 0, 0);
    let (mut seen, mut edge) = (0_u64, 1);
    for (idx, (more_before, more_after)) in before.iter().zip(after).enumerate() {
        (p, q, seen) = (p + more_before, q + more_after, seen + more_before);
        // The last cell has no upper limit and the first has no lower one. So the last cell also
        // takes all scores above the highest score of `before`.
        let is_edge = seen < n_before
            && u128::from(seen) * u128::from(N_CELLS) >= u128::from(edge) * u128::from(n_before);
        if is_edge || idx + 1 == before.len() {
            psi += term(p as f64 / n_before as f64, q as f64 / n_after as f64);
            (p, q) = (0, 0);
            edge = (u128::from(seen) * u128::from(N_CELLS) / u128::from(n_before)) as u64 + 1;
        }
    }
    Some(psi)
}
