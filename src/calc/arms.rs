//! The arms of a comparison, read from the inputs of `sluice calc`.

use crate::calc::fields::{Fields, Refusal, Taken};
use crate::stats::contrast::TestPlan;
use crate::stats::difference::Estimate;
use crate::stats::moments::{Moments, RatioSums};
use crate::stats::p_value::Alternative;
use crate::stats::ratio::{ClusterVariance, RatioEstimate};
use crate::stats::two_proportions::TwoByTwo;
use crate::stats::{Reason, ratio, spread};

/// The data of an arm, by kind.
pub(super) enum ArmInput {
    Proportion(TwoByTwo),
    Mean(Moments),
    Ratio(RatioSums),
    Clusters(Vec<(f64, f64)>),
}

/// The relative error of given sums that counts as rounding.
const ROUNDING: f64 = 1e-9;

pub(super) const ALTERNATIVES: crate::calc::fields::Words<Alternative> = &[
    ("two-sided", Alternative::TwoSided),
    ("greater", Alternative::Greater),
    ("less", Alternative::Less),
];

/// Reads `alpha` and `alternative`.
pub(super) fn plan(fields: &Fields<'_>) -> Taken<TestPlan> {
    Ok(TestPlan {
        alternative: fields.choice("alternative", ALTERNATIVES, Alternative::TwoSided)?,
        alpha: fields.alpha()?,
    })
}

/// Reads both arms of a comparison: `control` and `treatment`.
pub(super) fn both<T>(fields: &Fields<'_>, take: impl Fn(&Fields<'_>) -> Taken<T>) -> Taken<(T, T)> {
    Ok((
        fields.object("control", &take)?,
        fields.object("treatment", &take)?,
    ))
}

/// Reads a proportion: `{"n", "x"}`.
pub(super) fn proportion(fields: &Fields<'_>) -> Taken<TwoByTwo> {
    let n = fields.count("n")?;
    let x = fields.number_where("x", "a whole number from 0 to n", |x| {
        x >= 0.0 && x <= n && x.fract() == 0.0
    })?;
    Ok(TwoByTwo { n, x })
}

/// Reads a mean: `{"n", "mean", "var"}` or `{"n", "sum", "sum_squares"}`.
pub(super) fn mean(fields: &Fields<'_>) -> Taken<Moments> {
    let n = fields.count("n")?;
    if fields.has("mean") {
        let (mean, var) = (fields.number("mean")?, fields.amount("var")?);
        return Ok(Moments {
            n,
            mean,
            var: spread::of_mean(var, mean),
        });
    }
    let sum = fields.number("sum")?;
    let sum_squares = sum_squares(fields, "sum_squares", sum, n)?;
    Ok(Moments::from_sums(n, sum, sum_squares))
}

/// Reads a sum of squares. It must be at least `sum^2 / n`, apart from rounding errors.
pub(super) fn sum_squares(fields: &Fields<'_>, name: &'static str, sum: f64, n: f64) -> Taken<f64> {
    if n == 0.0 {
        return fields.number_where(name, "0, because n and the sum are 0", |x| x == 0.0 && sum == 0.0);
    }
    let least = sum * (sum / n) * (1.0 - ROUNDING);
    fields.number_where(name, "a number of at least sum^2 / n", |x| x >= least)
}

/// Reads the sum of the products of two columns, given the sum and the sum of squares of each. It
/// must be possible with these (Cauchy and Schwarz), apart from rounding errors, before and after
/// the means are subtracted.
pub(super) fn sum_products(
    fields: &Fields<'_>,
    name: &'static str,
    n: f64,
    [a, b]: [[f64; 2]; 2],
) -> Taken<f64> {
    let most = a[1].sqrt() * b[1].sqrt();
    let centered = |[sum, squares]: [f64; 2]| (squares - sum * (sum / n)).max(0.0).sqrt();
    let (center, spread) = if n > 0.0 {
        (a[0] * (b[0] / n), centered(a) * centered(b))
    } else {
        (0.0, 0.0)
    };
    let (low, high) = ((center - spread).max(-most), (center + spread).min(most));
    let expected = format!("a number from {low} to {high}, which the sums and sums of squares allow");
    let slack = ROUNDING * most;
    fields.number_where(name, &expected, |x| (low - slack..=high + slack).contains(&x))
}

/// Reads a ratio of sums: `{"n", "num_sum", "num_sum_squares", "den_sum", "den_sum_squares",
/// "num_den_sum"}`.
pub(super) fn ratio_sums(fields: &Fields<'_>) -> Taken<RatioSums> {
    let n = fields.count("n")?;
    let pair = |sum_name, squares_name| {
        let sum = fields.number(sum_name)?;
        Ok([sum, sum_squares(fields, squares_name, sum, n)?])
    };
    let (num, den) = (
        pair("num_sum", "num_sum_squares")?,
        pair("den_sum", "den_sum_squares")?,
    );
    Ok(RatioSums {
        n,
        num,
        den,
        num_den: sum_products(fields, "num_den_sum", n, [num, den])?,
    })
}

/// Reads clusters: `{"clusters": [[num, den], ...]}`.
pub(super) fn clusters(fields: &Fields<'_>) -> Taken<Vec<(f64, f64)>> {
    let expected = "a list of pairs [numerator, denominator], denominators of at least 0";
    let rows = fields.rows_where("clusters", expected, |_| true)?;
    let pair = |row: Vec<f64>| match row[..] {
        [num, den] if den >= 0.0 => Ok((num, den)),
        _ => Err(fields.refuse("clusters", expected)),
    };
    rows.into_iter().map(pair).collect()
}

/// Reads an arm of any kind. The fields present decide the kind.
pub(super) fn any(fields: &Fields<'_>) -> Taken<ArmInput> {
    if fields.has("clusters") {
        clusters(fields).map(ArmInput::Clusters)
    } else if fields.has("num_sum") {
        ratio_sums(fields).map(ArmInput::Ratio)
    } else if fields.has("x") {
        proportion(fields).map(ArmInput::Proportion)
    } else if fields.has("mean") || fields.has("sum") {
        mean(fields).map(ArmInput::Mean)
    } else {
        let expected = "x (a proportion), mean and var or sum and sum_squares (a mean), num_sum ... (a ratio) or clusters";
        Err(Refusal {
            place: fields
                .refuse("n", "")
                .place
                .trim_end_matches('n')
                .trim_end_matches('.')
                .to_owned(),
            expected: expected.to_owned(),
            found: "none of them".to_owned(),
        })
    }
}

/// The ratio of clusters. If they differ by no more than rounding, the standard error is 0.
pub(super) fn cluster_ratio(rows: &[(f64, f64)], variance: ClusterVariance) -> Result<RatioEstimate, Reason> {
    let found = ratio::clusters_by(rows, variance)?;
    let std_error = if spread::has_residuals(rows, found.estimate) {
        found.std_error
    } else {
        0.0
    };
    Ok(RatioEstimate { std_error, ..found })
}

/// Whether an arm has fewer than five events or fewer than five non-events. Then the normal
/// interval is not valid.
pub(super) fn is_rare(counts: &TwoByTwo) -> bool {
    counts.x.min(counts.n - counts.x) < 5.0
}

impl ArmInput {
    /// The estimate of the arm with its standard error.
    pub(super) fn estimate(&self) -> Result<Estimate, Reason> {
        match self {
            Self::Proportion(counts) if counts.n == 0.0 => Err(Reason::NoData),
            Self::Proportion(counts) => Ok(counts.estimate()),
            Self::Mean(moments) => moments.estimate(),
            Self::Ratio(sums) => sums.estimate(),
            Self::Clusters(rows) => {
                cluster_ratio(rows, ClusterVariance::Cr3).map(|estimate| (&estimate).into())
            }
        }
    }

    /// The number of rows, or of clusters.
    pub(super) fn n(&self) -> f64 {
        match self {
            Self::Proportion(counts) => counts.n,
            Self::Mean(moments) => moments.n,
            Self::Ratio(sums) => sums.n,
            Self::Clusters(rows) => rows.len() as f64,
        }
    }
}
