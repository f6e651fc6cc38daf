//! Scores, sample ratios, adjustments, judges, off-policy values.

use serde_json::Value;

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::layer::Features;
use crate::metric::BadRateOf;
use crate::scenario::{Consent, LayerMode, Layering, QosConfig, UnknownUsers};
use crate::stats::dist::{ln_chi2_sf, t_isf};
use crate::stats::judge::JudgeQuality;
use crate::stats::moments::Moments;
use crate::stats::ope::{Bounds, Estimator, Lambdas, Log, Overlap};
use crate::stats::p_value::Ends;
use crate::stats::{Interval, Reason, judge, multiplicity, ope, pass_k, psi, srm};
use crate::{layer, qos};

/// The source document's layers by score, in ten-thousandths; below the last is vip.
const BANDS: [(u16, &str); 3] = [(8_000, "early"), (6_000, "regular"), (3_000, "high_value")];

pub(super) fn arfm(fields: &Fields<'_>) -> Taken<Answer> {
    let features = Features {
        last_use_secs: fields.nullable("last_use_time")?,
        use_count: fields.nullable("use_count")?,
        user_value: fields.nullable("user_value")?,
        accept_score: fields.nullable("accept_score")?,
    };
    let as_of = if features.last_use_secs.is_some() {
        fields.number("as_of")?
    } else {
        fields.nullable("as_of")?.unwrap_or(0.0)
    };
    let weights = if fields.has("weights") {
        weights(fields, "weights")?
    } else {
        [0.2, 0.2, 0.3, 0.3]
    };
    let caps = |fields: &Fields<'_>| {
        Ok([
            fields.number_or("recency_days", 30.0, "a number above 0", |x| x > 0.0)?,
            fields.number_or("use_count", 100.0, "a number above 0", |x| x > 0.0)?,
            fields.number_or("user_value", 100_000.0, "a number above 0", |x| x > 0.0)?,
        ])
    };
    let [recency, use_count, user_value] = if fields.has("caps") {
        fields.object("caps", caps)?
    } else {
        [30.0, 100.0, 100_000.0]
    };
    let layering = Layering {
        mode: LayerMode::Threshold,
        weights,
        recency_cap_secs: recency * 86_400.0,
        use_count_cap: use_count,
        user_value_cap: user_value,
        unknown: UnknownUsers::Score,
        consent: Consent::OptIn,
    };
    let parts = layer::parts(&features, &layering, as_of);
    let score = layer::score(&parts, &layering.weights);
    let mut answer = Answer::default();
    for (name, part) in ["r", "f", "m", "a"].into_iter().zip(parts.values) {
        answer.put(name, part);
    }
    answer.put("score", f64::from(score) / 10_000.0);
    answer.put(
        "layer",
        BANDS
            .iter()
            .find(|(from, _)| score >= *from)
            .map_or("vip", |(_, name)| *name),
    );
    Ok(answer)
}

/// Shares that sum to 1.
fn weights<const N: usize>(fields: &Fields<'_>, name: &'static str) -> Taken<[f64; N]> {
    let expected = format!("{N} numbers from 0 to 1 that sum to 1");
    let weights = fields.numbers_where(name, &expected, |w| (0.0..=1.0).contains(&w))?;
    match <[f64; N]>::try_from(weights) {
        Ok(weights) if (weights.iter().sum::<f64>() - 1.0).abs() <= 1e-9 => Ok(weights),
        _ => Err(fields.refuse(name, &expected)),
    }
}

pub(super) fn qos(fields: &Fields<'_>) -> Taken<Answer> {
    let share = |name| {
        if fields.has(name) {
            fields.share(name).map(Some)
        } else {
            Ok(None)
        }
    };
    let (bad, available) = (share("bad_rate")?, share("availability")?);
    let latency = if fields.has("latency_ms") {
        Some(fields.amount("latency_ms")?)
    } else {
        None
    };
    let (tools, tasks, complaints) = (
        share("tool_success_rate")?,
        share("task_completion_rate")?,
        share("complaint_rate")?,
    );
    let weights = if fields.raw("weights").is_some_and(Value::is_array) {
        weights(fields, "weights")?
    } else {
        fields.choice(
            "weights",
            &[("high_risk", [0.3, 0.2, 0.5]), ("low_risk", [0.4, 0.3, 0.3])],
            [0.3, 0.2, 0.5],
        )?
    };
    let max_latency_ms = fields.number_or("max_latency_ms", 5_000.0, "a number above 0", |ms| ms > 0.0)?;
    let config = QosConfig {
        weights,
        max_latency_ms,
        bad_rate_of: BadRateOf::Rated,
    };
    // Parts are known where their own rates are; the whole only where all are.
    let rates = qos::Rates {
        bad_rate: bad.unwrap_or(0.0),
        availability: available.unwrap_or(0.0),
        latency_ms: latency.unwrap_or(0.0),
        tool_success_rate: tools.unwrap_or(0.0),
        task_completion_rate: tasks.unwrap_or(0.0),
        complaint_rate: complaints.unwrap_or(0.0),
    };
    let found = qos::qos(&rates, &config);
    let (u, t, b) = (
        bad.is_some(),
        available.is_some() && latency.is_some() && tools.is_some(),
        tasks.is_some() && complaints.is_some(),
    );
    let mut answer = Answer::default();
    for (name, value, is_known) in [
        ("u", found.u, u),
        ("t", found.t, t),
        ("b", found.b, b),
        ("qos", found.qos, u && t && b),
    ] {
        answer.put_known(name, if is_known { Ok(value) } else { Err(Reason::NoData) });
    }
    if u && t && b {
        answer.put("qos_rounded", f64::from(layer::round_score(found.qos)) / 10_000.0);
    }
    Ok(answer)
}

/// Planned shares, at least 0; they are scaled to sum to 1.
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
    let concentration = fields.number_or("concentration", 10_000.0, "a number above 0", |c| c > 0.0)?;
    let alpha = fields.alpha()?;
    let found = srm::sequential(&looks, &planned, concentration, 0.0);
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

/// An adjustment of p-values.
type Adjustment = fn(&[f64]) -> Vec<f64>;

pub(super) fn multiplicity(fields: &Fields<'_>) -> Taken<Answer> {
    let p_values = fields.numbers_where("p_values", "a list of numbers from 0 to 1", |p| {
        (0.0..=1.0).contains(&p)
    })?;
    let methods: crate::calc::fields::Words<Adjustment> = &[
        ("bonferroni", multiplicity::bonferroni),
        ("holm", multiplicity::holm),
        ("hochberg", multiplicity::hochberg),
        ("bh", multiplicity::benjamini_hochberg),
        ("by", multiplicity::benjamini_yekutieli),
    ];
    let adjust = fields.choice("method", methods, multiplicity::holm)?;
    let mut answer = Answer::default();
    answer.put("p_value_adj", adjust(&p_values));
    Ok(answer)
}

pub(super) fn pass_k(fields: &Fields<'_>) -> Taken<Answer> {
    let successes = fields.counts("c")?;
    let attempts = if fields.raw("n").is_some_and(Value::is_array) {
        fields.counts("n")?
    } else {
        vec![fields.count("n")?; successes.len()]
    };
    if attempts.len() != successes.len() || attempts.iter().zip(&successes).any(|(n, c)| c > n) {
        return Err(fields.refuse("c", "successes of each case, at most n"));
    }
    let expected = "a list of whole numbers of at least 1";
    let whole = |k: f64| (1.0..1e6).contains(&k) && k.fract() == 0.0;
    let (ks, is_list) = if fields.raw("k").is_some_and(Value::is_array) {
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
    answer.put_known("std_error", corrected.map(|corrected| corrected.std_error));
    answer.put_ends(
        ["ci_lower", "ci_upper"],
        corrected.map(|corrected| Ends::from(corrected.ci)),
    );
    Ok(answer)
}

pub(super) fn ope(fields: &Fields<'_>) -> Taken<Answer> {
    let reward = fields.numbers("reward")?;
    let n = reward.len();
    let as_many = |name: &'static str, len: usize| {
        if len == n {
            Ok(())
        } else {
            Err(fields.refuse(name, &format!("{n} rows, as in reward")))
        }
    };
    let action = fields.counts("action")?;
    as_many("action", action.len())?;
    let pscore = propensities(fields)?;
    as_many("pscore", pscore.len())?;
    let policy = fields.rows_where("pi_e", "rows of action probabilities", |p| {
        (0.0..=1.0).contains(&p)
    })?;
    as_many("pi_e", policy.len())?;
    let model = if fields.has("q_hat") {
        Some(fields.rows_where("q_hat", "rows of modelled rewards, one per action", |_| true)?)
    } else {
        None
    };
    if let Some(model) = &model {
        as_many("q_hat", model.len())?;
    }
    let cluster = match fields.raw("cluster") {
        None => Vec::new(),
        Some(Value::Array(names)) => {
            as_many("cluster", names.len())?;
            let texts: Vec<String> = names.iter().map(Value::to_string).collect();
            ope::numbered(texts.iter().map(String::as_str))
        }
        Some(_) => return Err(fields.refuse("cluster", "a list with one entry per row")),
    };
    let alpha = fields.alpha()?;
    let none = Lambdas {
        clip: f64::INFINITY,
        switch: f64::INFINITY,
        os: f64::INFINITY,
        sg: 0.0,
    };
    let above_zero = |fields: &Fields<'_>, name, default| {
        fields.number_or(name, default, "a number of at least 0", |x| x >= 0.0)
    };
    let take = |fields: &Fields<'_>| {
        Ok(Lambdas {
            clip: above_zero(fields, "clip", none.clip)?,
            switch: above_zero(fields, "switch", none.switch)?,
            os: above_zero(fields, "os", none.os)?,
            sg: fields.number_or("sg", none.sg, "a number from 0 to 1", |x| {
                (0.0..=1.0).contains(&x)
            })?,
        })
    };
    let lambdas = if fields.has("lambdas") {
        fields.object("lambdas", take)?
    } else {
        none
    };
    let n_actions = policy.first().map_or(0, Vec::len);
    if policy
        .iter()
        .chain(model.iter().flatten())
        .any(|row| row.len() != n_actions)
    {
        return Err(fields.refuse("pi_e", "rows of one length, in q_hat as well"));
    }
    if action.iter().any(|action| *action >= n_actions as f64) {
        return Err(fields.refuse(
            "action",
            &format!("actions from 0 to {}", n_actions.saturating_sub(1)),
        ));
    }
    if policy
        .iter()
        .any(|row| (row.iter().sum::<f64>() - 1.0).abs() > 1e-6)
    {
        return Err(fields.refuse("pi_e", "rows of action probabilities that sum to 1"));
    }
    let log = Log {
        weight: (0..n)
            .map(|row| policy[row][action[row] as usize] / pscore[row])
            .collect(),
        q: model.as_ref().map_or_else(
            || vec![0.0; n],
            |model| (0..n).map(|row| model[row][action[row] as usize]).collect(),
        ),
        v: model.as_ref().map_or_else(
            || vec![0.0; n],
            |model| {
                policy
                    .iter()
                    .zip(model)
                    .map(|(pi, q)| pi.iter().zip(q).map(|(pi, q)| pi * q).sum())
                    .collect()
            },
        ),
        reward,
        cluster,
    };
    let mut answer = Answer::default();
    for (name, estimator) in Estimator::ALL {
        if estimator.needs_model() && model.is_none() {
            answer.miss_for(name, "estimators with a model need q_hat");
            continue;
        }
        answer.put_known(
            name,
            estimator.value(&log, &lambdas, alpha).map(|(estimate, value)| {
                let mut part = Answer::default();
                part.put("estimate", estimate);
                part.put_known("std_error", value.map(|value| value.std_error));
                part.put_ends(["ci_lower", "ci_upper"], value.map(|value| Ends::from(value.ci)));
                part
            }),
        );
    }
    answer.put_known("replay", replay(&log, &policy, &action, &pscore, alpha));
    put_bounded(&mut answer, fields, &log, alpha)?;
    let overlap = Overlap::from_log(&log).ok_or(Reason::NoOverlap);
    answer.put_known("ess", overlap.map(|overlap| overlap.ess));
    answer.put_known("max_weight", overlap.map(|overlap| overlap.max_weight));
    answer.put_known("top_weight_share", overlap.map(|overlap| overlap.top_share));
    answer.put_known(
        "mean_weight_z",
        overlap.and_then(|overlap| overlap.mean_weight_z.ok_or(Reason::NoVariance)),
    );
    // The calculator shows what the formulas give; whoever decides by them is told not to.
    let is_enough = overlap.is_ok_and(|overlap| overlap.is_enough());
    answer.put("overlap", is_enough);
    if !is_enough {
        answer.because(&format!(
            "{}: do not decide by these (ess below {} or |mean_weight_z| above {})",
            Reason::NoOverlap,
            ope::MIN_ESS,
            ope::MAX_WEIGHT_Z
        ));
    }
    Ok(answer)
}

/// The probability of each row's action: as it was logged, or balanced over several loggers.
fn propensities(fields: &Fields<'_>) -> Taken<Vec<f64>> {
    const EXPECTED: &str = "a list of numbers above 0, at most 1";
    let is_legal = |p: f64| p > 0.0 && p <= 1.0;
    if !fields.has("logger") {
        return fields.numbers_where("pscore", EXPECTED, is_legal);
    }
    let logger: Vec<usize> = fields
        .counts("logger")?
        .into_iter()
        .map(|logger| logger as usize)
        .collect();
    let rows = fields.rows_where("pscores", "rows with the probability under each logger", |p| {
        (0.0..=1.0).contains(&p)
    })?;
    if rows.len() != logger.len() {
        return Err(fields.refuse("pscores", &format!("{} rows, as in logger", logger.len())));
    }
    match ope::balanced_propensity(&logger, &rows) {
        Some(balanced) if balanced.iter().all(|p| is_legal(*p)) => Ok(balanced),
        _ => Err(fields.refuse(
            "pscores",
            "one probability per logger, not all 0, and loggers numbered from 0",
        )),
    }
}

/// Estimates and intervals that need bounds of rewards and weights.
fn put_bounded(answer: &mut Answer, fields: &Fields<'_>, log: &Log, alpha: f64) -> Taken<()> {
    let is_unit = log.reward.iter().all(|r| (0.0..=1.0).contains(r));
    let reward = if fields.has("reward_range") {
        let range = fields.numbers("reward_range")?;
        match range[..] {
            [low, high] if low < high => Some([low, high]),
            _ => return Err(fields.refuse("reward_range", "the least and the largest reward that can be")),
        }
    } else {
        is_unit.then_some([0.0, 1.0])
    };
    let weight = fields.number_or("weight_max", f64::INFINITY, "a number above 1", |w| w > 1.0)?;
    let Some(reward) = reward else {
        for name in ["cressie_read", "anytime"] {
            answer.miss_for(name, "rewards are not in [0, 1]: needs reward_range");
        }
        return Ok(());
    };
    let bounds = Bounds { reward, weight };
    let mut part = Answer::default();
    part.put_known("estimate", ope::cressie_read(log, bounds));
    part.put_ends(
        ["ci_lower", "ci_upper"],
        ope::cressie_read_interval(log, bounds, alpha).map(Ends::from),
    );
    answer.put("cressie_read", part);
    let mut part = Answer::default();
    part.put_ends(
        ["ci_lower", "ci_upper"],
        ope::anytime(log, bounds, alpha).map(Ends::from),
    );
    answer.put("anytime", part);
    Ok(())
}

/// The mean reward of rows in which the policy would have done the same: only for a policy without chance, and a log with even chances.
fn replay(
    log: &Log,
    policy: &[Vec<f64>],
    action: &[f64],
    pscore: &[f64],
    alpha: f64,
) -> Result<Answer, Reason> {
    let is_sure = policy.iter().flatten().all(|p| *p == 0.0 || *p == 1.0);
    let is_even = policy
        .iter()
        .zip(pscore)
        .all(|(row, p)| (p * row.len() as f64 - 1.0).abs() < 1e-9);
    if !is_sure || !is_even {
        return Err(Reason::NoOverlap);
    }
    let same: Vec<f64> = (0..action.len())
        .filter(|row| policy[*row][action[*row] as usize] == 1.0)
        .map(|row| log.reward[row])
        .collect();
    if same.is_empty() {
        return Err(Reason::NoData);
    }
    let n = same.len() as f64;
    let mean = same.iter().sum::<f64>() / n;
    let moments = Moments {
        n,
        mean,
        var: same.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / (n - 1.0),
    };
    let estimate = moments.estimate();
    let mut part = Answer::default();
    part.put("estimate", mean);
    part.put_known("std_error", estimate.map(|e| e.std_error));
    part.put_ends(
        ["ci_lower", "ci_upper"],
        estimate.map(|e| {
            Ends::from(Interval::around(
                e.estimate,
                t_isf(0.5 * alpha, e.df) * e.std_error,
            ))
        }),
    );
    Ok(part)
}
