//! Evaluations: pass^k of repeated attempts, and rates corrected for the errors of a judge.

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::calc::input::Input;
use crate::stats::judge::JudgeQuality;
use crate::stats::p_value::Ends;
use crate::stats::{Reason, judge, pass_k};

pub(super) fn pass_k(fields: &Fields<'_>) -> Taken<Answer> {
    let successes = fields.counts("c")?;
    let attempts = if fields.raw("n").is_some_and(Input::is_list) {
        fields.counts("n")?
    } else {
        vec![fields.count("n")?; successes.len()]
    };
    if attempts.len() != successes.len() || attempts.iter().zip(&successes).any(|(n, c)| c > n) {
        return Err(fields.refuse("c", "successes of each case, at most n"));
    }
    let expected = "a list of whole numbers of at least 1";
    let whole = |k: f64| (1.0..1e6).contains(&k) && k.fract() == 0.0;
    let (ks, is_list) = if fields.raw("k").is_some_and(Input::is_list) {
        (fields.numbers_where("k", expected, whole)?, true)
    } else {
        (
            vec![fields.number_where("k", "a whole number of at least 1", whole)?],
            false,
        )
    };
    let integers = |numbers: &[f64]| numbers.iter().map(|n| *n as u64).collect::<Vec<_>>();
    let (attempts, successes) = (integers(&attempts), integers(&successes));
    let values: Vec<Result<f64, Reason>> = ks
        .iter()
        .map(|k| pass_k::pass_hat_k(&attempts, &successes, *k as u64))
        .collect();
    let mut answer = Answer::default();
    for reason in values.iter().filter_map(|value| value.err()) {
        answer.because(&reason.to_string());
    }
    if is_list {
        answer.put("pass_k", values.into_iter().map(Result::ok).collect::<Vec<_>>());
    } else {
        answer.put("pass_k", values.into_iter().next().and_then(Result::ok));
    }
    Ok(answer)
}

pub(super) fn judge(fields: &Fields<'_>) -> Taken<Answer> {
    let (p_obs, n) = (fields.share("p_obs")?, fields.amount("n")?);
    let n_calibration = match (fields.has("n_sensitivity"), fields.has("n_specificity")) {
        (true, true) => Some([fields.amount("n_sensitivity")?, fields.amount("n_specificity")?]),
        (false, false) => None,
        (true, false) => {
            return Err(fields.refuse("n_specificity", "the number of negative calibration cases"));
        }
        (false, true) => {
            return Err(fields.refuse("n_sensitivity", "the number of positive calibration cases"));
        }
    };
    let quality = JudgeQuality {
        sensitivity: fields.share("sensitivity")?,
        specificity: fields.share("specificity")?,
        n: n_calibration,
    };
    let corrected = judge::correct(p_obs, n, &quality, fields.alpha()?);
    let mut answer = Answer::default();
    answer.put_known("p", corrected.map(|corrected| corrected.p));
    let positive = |error: f64| {
        if error > 0.0 {
            Ok(error)
        } else {
            Err(Reason::NoVariance)
        }
    };
    let std_error = corrected.and_then(|corrected| positive(corrected.std_error));
    answer.put_known("std_error", std_error);
    answer.put_ends(
        ["ci_lower", "ci_upper"],
        corrected.map(|corrected| Ends::from(corrected.ci)),
    );
    Ok(answer)
}
