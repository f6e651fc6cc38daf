//! Sample ratios and drift: tests of observed against planned counts, and the population stability
//! index.

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::stats::dist::ln_chi2_sf;
use crate::stats::{Reason, psi, srm};

/// Reads the planned shares, at least 0, and scales them to sum to 1.
fn planned(fields: &Fields<'_>, n: usize) -> Taken<Vec<f64>> {
    let expected = format!("{n} shares of at least 0, at least two of them above 0");
    let shares = fields.numbers_where("planned", &expected, |share| share >= 0.0)?;
    let sum: f64 = shares.iter().sum();
    if shares.len() != n || shares.iter().filter(|share| **share > 0.0).count() < 2 {
        return Err(fields.refuse("planned", &expected));
    }
    Ok(shares.into_iter().map(|share| share / sum).collect())
}

pub(super) fn srm(fields: &Fields<'_>) -> Taken<Answer> {
    let observed = fields.counts("observed")?;
    let planned = planned(fields, observed.len())?;
    let leaked: f64 = observed
        .iter()
        .zip(&planned)
        .filter(|(_, share)| **share == 0.0)
        .map(|(n, _)| n)
        .sum();
    let test = srm::chi_square(&observed, &planned).ok_or(Reason::NoData);
    let mut answer = Answer::default();
    answer.put_known("statistic", test.map(|test| test.statistic));
    answer.put_known("df", test.map(|test| test.df));
    answer.put_known("p_value", test.map(|test| test.p_value));
    if let Ok(test) = test {
        answer.put(
            "log10_p_value",
            ln_chi2_sf(test.statistic, test.df) / std::f64::consts::LN_10,
        );
    }
    answer.put_known("max_abs_deviation", test.map(|test| test.max_abs_deviation));
    if leaked > 0.0 {
        answer.put("n_leaked", leaked);
        answer.because("users in an arm planned at 0 are a leak: they are counted, not tested");
    }
    Ok(answer)
}

pub(super) fn srm_sequential(fields: &Fields<'_>) -> Taken<Answer> {
    let expected = "a list of lists of whole numbers of at least 0, all of one length";
    let looks = fields.rows_where("looks", expected, |x| x >= 0.0 && x.fract() == 0.0)?;
    let n = looks.first().map_or(0, Vec::len);
    if looks.iter().any(|look| look.len() != n) || n < 2 {
        return Err(fields.refuse("looks", expected));
    }
    let planned = planned(fields, n)?;
    let concentrations = if fields.has("concentration") {
        vec![fields.number_where("concentration", "a number above 0", |c| c > 0.0)?]
    } else {
        srm::CONCENTRATIONS.to_vec()
    };
    let alpha = fields.alpha()?;
    let found = srm::sequential(&looks, &planned, &concentrations);
    let mut answer = Answer::default();
    let alarm = found.p_value.iter().position(|p| *p < alpha);
    answer.put("p_value", found.p_value);
    answer.put("log10_p_value", found.log10_p_value);
    answer.put("log_bayes_factor", found.log_bayes_factor);
    match alarm {
        Some(look) => answer.put("alarm_at", look + 1),
        None => answer.miss_for("alarm_at", "no alarm"),
    }
    Ok(answer)
}

pub(super) fn psi(fields: &Fields<'_>) -> Taken<Answer> {
    let counts = |name| fields.counts(name);
    let (expected, actual) = (counts("expected")?, counts("actual")?);
    if expected.len() != actual.len() {
        return Err(fields.refuse("actual", "as many counts as in expected"));
    }
    let mut answer = Answer::default();
    answer.put_known("psi", psi::psi_of_cells(&expected, &actual).ok_or(Reason::NoData));
    Ok(answer)
}
