//! Bootstrap over clusters, for functions with kinks, where the jackknife's straight line is wrong.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Clusters, Interval, Reason};

/// Replicates of an interval.
pub const REPLICATES: usize = 1_000;

/// The percentile interval of `theta(sums)` with Poisson(1) weights on clusters. The same seed gives the same interval.
///
/// # Errors
/// When fewer than nine in ten replicates have a value.
///
/// # References
/// METHODS section 1; Chamandy et al. (2012).
pub fn percentile(clusters: &Clusters, theta: impl Fn(&[f64]) -> Option<f64>, alpha: f64, seed: u64) -> Result<Interval, Reason> {
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
                sums.iter_mut().zip(cluster).for_each(|(sum, own)| *sum += weight * own);
            }
        }
        values.extend(theta(&sums));
    }
    if values.len() * 10 < REPLICATES * 9 {
        return Err(Reason::DominatingCluster);
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((share * values.len() as f64) as usize).min(values.len() - 1)];
    Ok(Interval { ci_lower: at(0.5 * alpha), ci_upper: at(1.0 - 0.5 * alpha) })
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
