//! The distribution of the largest of several correlated t statistics.

use crate::stats::correlation::{Correlation, all_pairs};
use crate::stats::dist::{chi2_sf, norm_isf, t_isf, t_sf};
use crate::stats::known::Reason;
use crate::stats::special::beta_tails;

/// The distribution of `max |T_i|` for the multivariate t distribution: `T = Z / s`, where Z is
/// normal with unit variances and the given correlations, and `df s^2` has a chi-square distribution
/// with `df` degrees of freedom; without s if `df` is infinite.
///
/// Z is a radius times a direction, which are independent. The radius and s are integrated exactly:
/// for a direction in which `max |Z_i|` is a times the radius, the tail is that of an F distribution
/// with (r, df) degrees of freedom at `c^2 / (r a^2)`, r the rank of the correlations. Directions are
/// the 16,384 points of a rank-1 lattice, mapped to the sphere; with r = 2 they are angles at equal
/// distances. The points are denser where large statistics come from (importance sampling). The sum
/// of the single tails is known exactly and is the control variate. There are no random numbers:
/// equal correlations give equal results.
///
/// # References
/// `docs/METHODS.md#several-candidates-and-slices`; Dunnett (1955), Deak (1980), Genz & Bretz (2009).
#[derive(Debug, Clone)]
pub struct MaxT {
    n: usize,
    rank: usize,
    /// Weights of the distances a = 1 / CELLS, 2 / CELLS, ..., 1.
    weights: Vec<f64>,
    /// The weight of the sum of the single tails, the control variate.
    control: f64,
}

/// The number of cells of the scale of distances, 0..=1.
const CELLS: usize = 1_024;
/// The number of directions. A power of 2.
const POINTS: usize = 16_384;
/// The remaining variance below which an estimate is a combination of others.
const SINGULAR: f64 = 1e-9;

impl MaxT {
    /// The distribution for estimates with the given correlations. Its cost grows with 16,384 times
    /// the number of estimates times the rank.
    ///
    /// # Errors
    /// [`Reason::OutOfRange`] if no distribution has these correlations. [`Reason::TooLarge`] if the
    /// rank is above 64.
    pub fn new(correlation: &Correlation) -> Result<Self, Reason> {
        let n = correlation.n();
        let loadings = Loadings::of(correlation)?;
        let mut sums = Sums::new(n, loadings.rank);
        let mut distances = vec![0.0; n];
        let directions = Directions::even(loadings.rank).toward(&loadings, &sums);
        directions.each(1, |direction, weight| {
            loadings.distances(direction, &mut distances);
            sums.add(&distances, weight);
        });
        let (weights, control) = sums.weights();
        Ok(Self {
            n,
            rank: loadings.rank,
            weights,
            control,
        })
    }

    /// P(max |T_i| > c), for `c >= 0`. The relative error is below 0.01 for probabilities from
    /// 0.01 to 0.1, up to 20 estimates and 10 releases in all pairs; the absolute error near 1 is below
    /// 0.002.
    pub fn sf(&self, c: f64, df: f64) -> f64 {
        if c.is_nan() || df.is_nan() || df <= 0.0 {
            return f64::NAN;
        }
        if c <= 0.0 {
            return 1.0;
        }
        let single = 2.0 * t_sf(c, df);
        let rest: f64 = self
            .weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight != 0.0)
            .map(|(cell, weight)| {
                let a = (cell + 1) as f64 / CELLS as f64;
                weight * radius_sf((c / a).powi(2), self.rank as f64, df)
            })
            .sum();
        let bound = -(self.n as f64 * (-single).ln_1p()).exp_m1();
        (rest + self.control * self.n as f64 * single).clamp(single, bound)
    }

    /// The critical value: the c with P(max |T_i| > c) = alpha, for 0 < alpha < 1. It is never below
    /// that of one estimate, and never above that of independent estimates (Sidak's inequality).
    pub fn critical(&self, alpha: f64, df: f64) -> f64 {
        let independent = -((-alpha).ln_1p() / self.n as f64).exp_m1();
        let (low, high) = (t_isf(0.5 * alpha, df), t_isf(0.5 * independent, df));
        if self.n == 1 || self.rank == 1 {
            return low;
        }
        // The logarithm of the tail is smooth and falls, so the secant method converges in few steps.
        let off = |c: f64| (self.sf(c, df) / alpha).ln();
        let (mut before, mut c) = (low, high);
        let (mut off_before, mut off_c) = (off(low), off(high));
        for _ in 0..40 {
            if off_c >= 0.0 && c == high || off_c == off_before || (c - before).abs() <= 1e-9 * c {
                break;
            }
            let next = (c - off_c * (c - before) / (off_c - off_before)).clamp(low, high);
            (before, off_before) = (c, off_c);
            (c, off_c) = (next, off(next));
        }
        c
    }
}

/// The tail of `r^2 / s^2` at x, where r^2 has a chi-square distribution with `rank` degrees of
/// freedom.
fn radius_sf(x: f64, rank: f64, df: f64) -> f64 {
    if df == f64::INFINITY {
        chi2_sf(x, rank)
    } else {
        beta_tails(0.5 * df, 0.5 * rank, df / (df + x), x / (df + x)).0
    }
}

/// A matrix L with `L L' = R`, whose columns are the principal axes of R, the largest first. R may be
/// singular.
struct Loadings {
    rank: usize,
    /// Row by row, each of `rank` values.
    values: Vec<f64>,
}

impl Loadings {
    fn of(correlation: &Correlation) -> Result<Self, Reason> {
        let n = correlation.n();
        let mut rest: Vec<f64> = (0..n * n).map(|at| correlation.get(at / n, at % n)).collect();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        // Pivoted Cholesky decomposition.
        while columns.len() < n {
            let larger = |best: usize, i: usize| {
                if rest[i * n + i] > rest[best * n + best] + SINGULAR {
                    i
                } else {
                    best
                }
            };
            let pivot = (1..n).fold(0, larger);
            let variance = rest[pivot * n + pivot];
            if variance <= SINGULAR {
                break;
            }
            let column: Vec<f64> = (0..n).map(|i| rest[i * n + pivot] / variance.sqrt()).collect();
            for i in 0..n {
                for j in 0..n {
                    rest[i * n + j] -= column[i] * column[j];
                }
            }
            columns.push(column);
        }
        if rest.iter().any(|value| value.abs() > 1e-6) {
            return Err(Reason::OutOfRange);
        }
        let rank = columns.len();
        if rank > GENERATOR.len() {
            return Err(Reason::TooLarge);
        }
        rotate_to_axes(&mut columns);
        let values = (0..n)
            .flat_map(|i| columns.iter().map(move |column| column[i]))
            .collect();
        Ok(Self { rank, values })
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.rank)
    }

    /// Writes the absolute value of every estimate in a direction.
    fn distances(&self, direction: &[f64], distances: &mut [f64]) {
        for (distance, row) in distances.iter_mut().zip(self.rows()) {
            *distance = row.iter().zip(direction).map(|(a, b)| a * b).sum::<f64>().abs();
        }
    }
}

/// Rotates columns until they are orthogonal, the longest first: Jacobi's method, one-sided.
fn rotate_to_axes(columns: &mut [Vec<f64>]) {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for _ in 0..30 {
        let mut is_done = true;
        for (i, j) in all_pairs(columns.len()) {
            let [a, b, c] = [(i, i), (j, j), (i, j)].map(|(p, q)| product(&columns[p], &columns[q]));
            if c.abs() <= 1e-12 * (a * b).sqrt() {
                continue;
            }
            is_done = false;
            let zeta = (b - a) / (2.0 * c);
            let tan = 1.0_f64.copysign(zeta) / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let cos = 1.0 / (1.0 + tan * tan).sqrt();
            let sin = cos * tan;
            let (left, right) = columns.split_at_mut(j);
            for (x, y) in left[i].iter_mut().zip(&mut right[0]) {
                (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
            }
        }
        if is_done {
            break;
        }
    }
    columns.sort_by(|a, b| product(b, b).total_cmp(&product(a, a)));
}

/// Directions with their weights: points of the lattice, mapped to the sphere, denser where large
/// statistics come from.
struct Directions {
    normals: Vec<f64>,
    /// The standard deviation of each coordinate before the mapping to the sphere.
    scales: Vec<f64>,
}

impl Directions {
    /// Directions that are spread evenly.
    fn even(rank: usize) -> Self {
        let normal = |point: usize| norm_isf((point as f64 + 0.5) / POINTS as f64);
        Self {
            normals: (0..POINTS).map(normal).collect(),
            scales: vec![1.0; rank],
        }
    }

    /// Calls `take` with every `step`-th direction and its weight.
    fn each(&self, step: usize, mut take: impl FnMut(&[f64], f64)) {
        let rank = self.scales.len();
        let mut direction = vec![0.0; rank];
        let volume: f64 = self.scales.iter().product();
        for point in (0..POINTS).step_by(step) {
            if rank == 2 {
                // Angles of half a circle: opposite directions have equal distances.
                let angle = std::f64::consts::PI * (point as f64 + 0.5) / POINTS as f64;
                take(&[angle.cos(), angle.sin()], 1.0);
                continue;
            }
            let (mut length, mut even) = (0.0, 0.0);
            for ((value, factor), scale) in direction.iter_mut().zip(GENERATOR).zip(&self.scales) {
                let normal = self.normals[point * factor % POINTS];
                *value = normal * scale;
                length += *value * *value;
                even += normal * normal;
            }
            direction.iter_mut().for_each(|value| *value /= length.sqrt());
            // The density of an even direction over that of this one.
            take(&direction, volume * (even / length).powf(0.5 * rank as f64));
        }
    }

    /// Directions that are denser where the largest statistic exceeds a critical value: the variance
    /// of each coordinate is that of the first 1,024 directions, weighted by their tails.
    fn toward(mut self, loadings: &Loadings, sums: &Sums) -> Self {
        let mut moments = vec![0.0; loadings.rank];
        let mut distances = vec![0.0; sums.n];
        self.each(16, |direction, _| {
            loadings.distances(direction, &mut distances);
            let tail = sums.tail(distances.iter().copied().fold(0.0, f64::max));
            moments
                .iter_mut()
                .zip(direction)
                .for_each(|(moment, value)| *moment += tail * value * value);
        });
        let total: f64 = moments.iter().sum();
        for (scale, moment) in self.scales.iter_mut().zip(moments) {
            *scale = (moment / total * loadings.rank as f64).sqrt().clamp(0.5, 4.0);
        }
        self
    }
}

/// Sums over the directions.
struct Sums {
    n: usize,
    n_points: f64,
    /// The sum of the weights.
    total: f64,
    /// Counts of the largest distances, and of all distances, by cell.
    largest: Vec<f64>,
    all: Vec<f64>,
    /// Tails by distance at the critical value of Bonferroni for 0.05.
    reference: Vec<f64>,
    /// Weighted sums for the regression of the tail of the largest distance on the sum of all tails:
    /// both, the square of the sum, and the product.
    moments: [f64; 4],
}

impl Sums {
    fn new(n: usize, rank: usize) -> Self {
        let c = norm_isf(0.025 / n as f64);
        let reference = |cell: usize| match cell {
            0 => 0.0,
            _ => chi2_sf((c * CELLS as f64 / cell as f64).powi(2), rank as f64),
        };
        Self {
            n,
            n_points: 0.0,
            total: 0.0,
            largest: vec![0.0; CELLS + 1],
            all: vec![0.0; CELLS + 1],
            reference: (0..=CELLS).map(reference).collect(),
            moments: [0.0; 4],
        }
    }

    /// The reference tail of a distance.
    fn tail(&self, distance: f64) -> f64 {
        let (cell, part) = split(distance);
        (1.0 - part) * self.reference[cell] + part * self.reference[cell + 1]
    }

    fn add(&mut self, distances: &[f64], weight: f64) {
        let mut tails = 0.0;
        for distance in distances {
            tails += self.tail(*distance);
            let (cell, part) = split(*distance);
            self.all[cell] += weight * (1.0 - part);
            self.all[cell + 1] += weight * part;
        }
        let largest = distances.iter().copied().fold(0.0, f64::max);
        let tail = self.tail(largest);
        let (cell, part) = split(largest);
        self.largest[cell] += weight * (1.0 - part);
        self.largest[cell + 1] += weight * part;
        let terms = [
            weight * tail,
            weight * tails,
            (weight * tails).powi(2),
            weight * tails * weight * tail,
        ];
        self.moments
            .iter_mut()
            .zip(terms)
            .for_each(|(moment, term)| *moment += term);
        self.n_points += 1.0;
        self.total += weight;
    }

    /// The weights of the cells from the first, and the weight of the control.
    fn weights(self) -> (Vec<f64>, f64) {
        let [tail, tails, squares, products] = self.moments.map(|sum| sum / self.n_points);
        let variance = squares - tails * tails;
        // Without a spread of the sum there is nothing to correct.
        let control = if self.n > 1 && variance > 1e-12 * squares {
            ((products - tail * tails) / variance).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let weight = |(largest, all): (&f64, &f64)| (largest - control * all) / self.total;
        (
            self.largest.iter().zip(&self.all).skip(1).map(weight).collect(),
            control,
        )
    }
}

/// The cell of a distance and its part of the cell's width.
fn split(distance: f64) -> (usize, f64) {
    let scaled = distance.min(1.0) * CELLS as f64;
    let cell = (scaled as usize).min(CELLS - 1);
    (cell, scaled - cell as f64)
}

/// The generating vector of the lattice of 16,384 points, built component by component for the
/// weights 1 / (2 j) of the j-th coordinate (Sloan & Reztsov 2002).
const GENERATOR: [usize; 64] = [
    1, 6915, 3959, 7525, 2111, 3247, 6405, 7987, 1379, 7589, 4717, 4881, 4929, 7895, 2311, 2131, 4981, 2999,
    1145, 4019, 3803, 4547, 6835, 4153, 499, 6297, 3093, 7771, 6535, 2909, 5253, 5185, 4063, 7231, 1747,
    7843, 4407, 3847, 5093, 5323, 4689, 1677, 643, 5387, 7925, 4761, 4189, 4851, 3291, 2503, 2011, 7467, 361,
    5715, 2925, 1043, 701, 3871, 577, 7683, 4373, 5345, 37, 2355,
];

#[cfg(test)]
mod tests;
