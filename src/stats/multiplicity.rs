//! Many tests at once.

/// Holm's step-down adjustment: reject where the adjusted p-value is at most alpha, and no true hypothesis is rejected with
/// probability above alpha. Order is kept.
///
/// # References
/// Holm (1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, idx) in order.into_iter().enumerate() {
        largest = largest.max(p_values[idx] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[idx] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    #[test]
    fn holm_steps_down() {
        let check = |p: &[f64], expected: &[f64]| {
            let found = super::holm(p);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        };
        check(&[0.01, 0.04, 0.03, 0.005], &[0.03, 0.06, 0.06, 0.02]);
        check(&[0.9, 0.8], &[1.0, 1.0]);
        check(&[], &[]);
    }
}
