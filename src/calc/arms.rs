//! The arms of a comparison, read from the inputs of `sluice calc`.

use crate::calc::fields::{Fields, Refusal, Taken};
use crate::stats::contrast::TestPlan;
use crate::stats::difference::Estimate;
use crate::stats::moments::{Moments, RatioSums};
use crate::stats::p_value::Alternative;
use crate::stats::two_proportions::TwoByTwo;
use crate::stats::{Reason, ratio};

/// The data of an arm, by kind.
pub(super) enum ArmInput {
    Proportion(TwoByTwo),
    Mean(Moments),
    Ratio(RatioSums),
    Clusters(Vec<(f64, f64)>),
}

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
        return Ok(Moments {
            n,
            mean: fields.number("mean")?,
            var: fields.amount("var")?,
        });
    }
    let sum = fields.number("sum")?;
    let sum_squares = sum_squares(fields, "sum_squares", sum, n)?;
    Ok(Moments::from_sums(n, sum, sum_squares))
}

/// Reads a sum of squares. It must be at least `sum^2 / n`, apart from rounding errors.
pub(super) fn sum_squares(fields: &Fields<'_>, name: &'static str, sum: f64, n: f64) -> Taken<f64> {
    let least = if n > 0.0 {
        sum * (sum / n) * (1.0 - 1e-9)
    } else {
        0.0
    };
    fields.number_where(name, "a number of at least sum^2 / n", |x| x >= least)
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
        num_den: fields.number("num_den_sum")?,
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

impl ArmInput {
    /// The estimate of the arm with its standard error.
    pub(super) fn estimate(&self) -> Result<Estimate, Reason> {
        match self {
            Self::Proportion(counts) if counts.n == 0.0 => Err(Reason::NoData),
            Self::Proportion(counts) => Ok(counts.estimate()),
            Self::Mean(moments) => moments.estimate(),
            Self::Ratio(sums) => sums.estimate(),
            Self::Clusters(rows) => ratio::clusters(rows).map(|estimate| (&estimate).into()),
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
