//! Population stability index: how far a distribution has moved.

/// Shares below this count as this: the logarithm of an empty cell has no value.
const FLOOR: f64 = 1e-6;
const N_CELLS: u64 = 10;

/// The index of `after` against `before`, cell by cell: `PSI = sum (q - p) ln(q / p)`, shares
/// floored at 1e-6. `None` if either holds nothing.
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

/// `(q - p) ln(q / p)` of shares that are floored.
fn term(p: f64, q: f64) -> f64 {
    let (p, q) = (p.max(FLOOR), q.max(FLOOR));
    (q - p) * (q / p).ln()
}

/// The index of `after` against `before`, two histograms over the same bins, in order.
///
/// `PSI = sum (q - p) ln(q / p)` over the deciles of `before`, with `p` and `q` the shares of the
/// two in a cell, floored at 1e-6. A decile that falls into a bin with the one before it has no
/// cell of its own. Below .1 little has moved, above .25 much has; these marks are custom, not a
/// test.
///
/// `None` if either holds nothing.
///
/// ```
/// use sluice::stats::psi::psi;
/// assert_eq!(psi(&[5, 5], &[50, 50]), Some(0.0));
/// assert!((psi(&[50, 50], &[20, 80]).unwrap() - 0.3 * (1.6_f64.ln() - 0.4_f64.ln())).abs() < 1e-12);
/// // Beyond the highest score there is no cell: those who moved up a little from the top decile are in it still.
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
        // The last cell is open above, as the first is below: it takes what lies beyond the highest
        // score of `before`.
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
