//! Hypothesis tests of paired outcomes, ranks and 2x2 tables, and the bootstrap.

use crate::calc::answer::Answer;
use crate::calc::arms;
use crate::calc::fields::{Fields, Taken};
use crate::stats::bootstrap::{BootstrapMethod, Statistic};
use crate::stats::difference::Estimate;
use crate::stats::moments::Moments;
use crate::stats::p_value::{Alternative, Ends};
use crate::stats::ranks::{Counting, RankTest};
use crate::stats::{Reason, bootstrap, contrast, exact, mcnemar, ranks, spread};

/// The minimum number of pairs of Wilcoxon's test and of the paired t test.
const MIN_PAIRS: usize = 6;
/// The default number of bootstrap replicates.
const DEFAULT_REPLICATES: f64 = 10_000.0;
/// The maximum number of bootstrap replicates.
const MAX_REPLICATES: f64 = 1_000_000.0;

const COUNTINGS: crate::calc::fields::Words<Counting> = &[
    ("auto", Counting::Auto),
    ("exact", Counting::Exact),
    ("chi2", Counting::Normal),
    ("normal", Counting::Normal),
];

/// McNemar's test of the counts `b` and `c`, or of `table`: `[[both, only baseline], [only
/// candidate, neither]]`.
pub(super) fn mcnemar(fields: &Fields<'_>) -> Taken<Answer> {
    let (b, c, n) = if fields.has("table") {
        let [[both, b], [c, neither]] = table(fields)?;
        (b, c, Some(both + b + c + neither))
    } else {
        let n = if fields.has("n") {
            Some(fields.count("n")?)
        } else {
            None
        };
        (fields.count("b")?, fields.count("c")?, n)
    };
    if n.is_some_and(|n| n < b + c) {
        return Err(fields.refuse("n", "at least b + c pairs"));
    }
    let counting = fields.choice("method", COUNTINGS, Counting::Auto)?;
    let alpha = fields.alpha()?;
    let is_exact = match counting {
        Counting::Auto => b + c < mcnemar::EXACT_BELOW,
        other => other == Counting::Exact,
    };
    let test = mcnemar::test(b, c, is_exact);
    let mut answer = Answer::default();
    answer.put("statistic", test.statistic);
    answer.put_p_value(Ok(test.p_value));
    answer.put("method", if test.is_exact { "exact" } else { "chi2" });
    if let Some(n) = n.filter(|n| *n > 0.0) {
        let effect = (c - b) / n;
        let std_error = ((b + c) - (c - b) * (c - b) / n).max(0.0).sqrt() / n;
        answer.put("effect_size", effect);
        answer.put("std_error", std_error);
        if std_error == 0.0 {
            answer
                .because("Wald's standard error is 0, which is no certainty: the interval comes from counts");
        }
        let interval = mcnemar::interval(effect, c, b, n, alpha);
        answer.put_ends(["ci_lower", "ci_upper"], Ok(interval.into()));
    }
    Ok(answer)
}

/// Reads a 2x2 table of counts.
fn table(fields: &Fields<'_>) -> Taken<[[f64; 2]; 2]> {
    let expected = "[[count, count], [count, count]]";
    let rows = fields.rows_where("table", expected, |x| x >= 0.0 && x.fract() == 0.0)?;
    match &rows[..] {
        [first, second] => match (&first[..], &second[..]) {
            ([a, b], [c, d]) => Ok([[*a, *b], [*c, *d]]),
            _ => Err(fields.refuse("table", expected)),
        },
        _ => Err(fields.refuse("table", expected)),
    }
}

pub(super) fn fisher(fields: &Fields<'_>) -> Taken<Answer> {
    let [[a, b], [c, d]] = table(fields)?;
    let alternative = fields.choice("alternative", arms::ALTERNATIVES, Alternative::TwoSided)?;
    let mut answer = Answer::default();
    let odds = (a * d) / (b * c);
    answer.put_known(
        "statistic",
        if odds.is_finite() {
            Ok(odds)
        } else {
            Err(Reason::NoVariance)
        },
    );
    answer.put_p_value(exact::fisher(a, b, c, d, alternative));
    Ok(answer)
}

/// The differences `x - y` of pairs, or `x` itself without `y`, without the noise of rounding.
fn differences(fields: &Fields<'_>) -> Taken<Vec<f64>> {
    let x = fields.numbers("x")?;
    let y = if fields.has("y") {
        fields.numbers("y")?
    } else {
        vec![0.0; x.len()]
    };
    if x.len() != y.len() {
        return Err(fields.refuse("y", "as many numbers as in x"));
    }
    Ok(spread::differences(&x, &y))
}

fn put_ranks(test: Result<RankTest, Reason>) -> Answer {
    let mut answer = Answer::default();
    answer.put_known("statistic", test.map(|test| test.statistic));
    answer.put_p_value(test.map(|test| test.p_value));
    if let Ok(test) = test {
        answer.put("method", if test.is_exact { "exact" } else { "normal" });
    }
    answer
}

pub(super) fn wilcoxon(fields: &Fields<'_>) -> Taken<Answer> {
    let differences = differences(fields)?;
    let alternative = fields.choice("alternative", arms::ALTERNATIVES, Alternative::TwoSided)?;
    let counting = fields.choice("method", COUNTINGS, Counting::Auto)?;
    if differences.len() < MIN_PAIRS {
        return Ok(put_ranks(Err(Reason::TooFewRows)));
    }
    Ok(put_ranks(ranks::wilcoxon(&differences, alternative, counting)))
}

pub(super) fn mann_whitney(fields: &Fields<'_>) -> Taken<Answer> {
    let (x, y) = (fields.numbers("x")?, fields.numbers("y")?);
    let alternative = fields.choice("alternative", arms::ALTERNATIVES, Alternative::TwoSided)?;
    let counting = fields.choice("method", COUNTINGS, Counting::Auto)?;
    let test = ranks::mann_whitney(&x, &y, alternative, counting);
    let mut answer = put_ranks(test);
    // The probability that a row of x is larger than a row of y; a tie counts half.
    answer.put_known("effect_size", test.map(|test| test.statistic / test.n as f64));
    Ok(answer)
}

pub(super) fn sign(fields: &Fields<'_>) -> Taken<Answer> {
    let differences = differences(fields)?;
    let alternative = fields.choice("alternative", arms::ALTERNATIVES, Alternative::TwoSided)?;
    let test = ranks::sign(&differences, alternative);
    let mut answer = put_ranks(test);
    answer.put_known("effect_size", test.map(|test| test.statistic / test.n as f64));
    Ok(answer)
}

pub(super) fn paired_t(fields: &Fields<'_>) -> Taken<Answer> {
    let differences = differences(fields)?;
    let plan = arms::plan(fields)?;
    let estimate = if differences.len() < MIN_PAIRS {
        Err(Reason::TooFewRows)
    } else {
        Moments::from_values(&differences).estimate()
    };
    let contrast = estimate.map(|estimate: Estimate| {
        let zero = Estimate {
            estimate: 0.0,
            std_error: 0.0,
            df: estimate.df,
        };
        contrast::with_error(zero, estimate, estimate.std_error, estimate.df, plan)
    });
    let mut answer = Answer::default();
    answer.put_known("effect_size", contrast.map(|c| c.effect_size));
    answer.put_known(
        "std_error",
        contrast.and_then(|c| c.std_error.ok_or(Reason::NoVariance)),
    );
    answer.put_known(
        "statistic",
        contrast.and_then(|c| c.statistic.ok_or(Reason::NoVariance)),
    );
    answer.put_known("df", contrast.and_then(|c| c.df.ok_or(Reason::NoVariance)));
    answer.put_p_value(contrast.and_then(|c| c.p_value));
    answer.put_ends(["ci_lower", "ci_upper"], contrast.and_then(|c| c.ci));
    Ok(answer)
}

/// The statistic that is resampled.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Mean,
    Ratio,
    Difference,
}

pub(super) fn bootstrap(fields: &Fields<'_>) -> Taken<Answer> {
    let x = fields.numbers("x")?;
    let y = if fields.has("y") {
        fields.numbers("y")?
    } else {
        Vec::new()
    };
    let default = if y.is_empty() {
        Kind::Mean
    } else {
        Kind::Difference
    };
    let kind = fields.choice(
        "statistic",
        &[
            ("mean", Kind::Mean),
            ("ratio", Kind::Ratio),
            ("difference", Kind::Difference),
        ],
        default,
    )?;
    let method = fields.choice(
        "method",
        &[
            ("bca", BootstrapMethod::Bca),
            ("percentile", BootstrapMethod::Percentile),
        ],
        BootstrapMethod::Bca,
    )?;
    let whole = |n: f64| (1.0..=MAX_REPLICATES).contains(&n) && n.fract() == 0.0;
    let replicates = fields.number_or(
        "replicates",
        DEFAULT_REPLICATES,
        "a whole number from 1 to 1000000",
        whole,
    )? as usize;
    let seed = fields.number_or("seed", 0.0, "a whole number of at least 0", |n| {
        n >= 0.0 && n.fract() == 0.0
    })? as u64;
    let alpha = fields.alpha()?;
    if kind == Kind::Ratio && x.len() != y.len() {
        return Err(fields.refuse("y", "as many numbers as in x"));
    }
    let statistic = match kind {
        Kind::Mean => Statistic::Mean(&x),
        Kind::Ratio => Statistic::Ratio(&x, &y),
        Kind::Difference => Statistic::Difference(&x, &y),
    };
    let resampled = bootstrap::resample(statistic, replicates, seed);
    let mut answer = Answer::default();
    let interval = match &resampled {
        Ok(resampled) if x.len() >= 2 && (y.is_empty() || y.len() >= 2) => {
            resampled.interval(method, replicates, alpha)
        }
        Ok(_) => Err(Reason::TooFewRows),
        Err(reason) => Err(*reason),
    };
    answer.put_known("estimate", resampled.map(|resampled| resampled.estimate));
    answer.put_ends(["ci_lower", "ci_upper"], interval.map(Ends::from));
    Ok(answer)
}
