//! Off-policy estimates: the value of another assignment, from logged actions and their
//! probabilities.

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::stats::dist::t_isf;
use crate::stats::moments::Moments;
use crate::stats::ope::{Bounds, Estimator, Lambdas, Log, Overlap};
use crate::stats::p_value::Ends;
use crate::stats::{Interval, Reason, ope};

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
    let cluster = if fields.has("cluster") {
        let names = fields.texts("cluster")?;
        as_many("cluster", names.len())?;
        ope::numbered(names.iter().map(AsRef::as_ref))
    } else {
        Vec::new()
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
        // Each estimator has its own reasons, so that those of one are not taken for those of all.
        let mut part = Answer::default();
        if estimator.needs_model() && model.is_none() {
            miss_all(&mut part, "estimators with a model need q_hat");
        } else {
            match estimator.value(&log, &lambdas, alpha) {
                Ok((estimate, value)) => {
                    part.put("estimate", estimate);
                    part.put_known("std_error", value.map(|value| value.std_error));
                    part.put_ends(["ci_lower", "ci_upper"], value.map(|value| Ends::from(value.ci)));
                }
                Err(reason) => miss_all(&mut part, &reason.to_string()),
            }
        }
        answer.put(name, part);
    }
    answer.put("replay", replay(&log, &policy, &action, &pscore, alpha));
    put_bounded(&mut answer, fields, &log, alpha)?;
    let overlap = Overlap::from_log(&log).ok_or(Reason::NoOverlap);
    answer.put_known("ess", overlap.map(|overlap| overlap.ess));
    answer.put_known("max_weight", overlap.map(|overlap| overlap.max_weight));
    answer.put_known("top_weight_share", overlap.map(|overlap| overlap.top_share));
    answer.put_known(
        "mean_weight_z",
        overlap.and_then(|overlap| overlap.mean_weight_z.ok_or(Reason::NoVariance)),
    );
    // Without enough overlap, the estimates are still shown, with a warning.
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

/// The fields of an estimate.
const FIELDS: [&str; 4] = ["estimate", "std_error", "ci_lower", "ci_upper"];

/// An estimate of which nothing is known.
fn miss_all(part: &mut Answer, reason: &str) {
    for name in FIELDS {
        part.miss_for(name, reason);
    }
}

/// The probability of each row's action: as logged, or balanced over several loggers.
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

/// Adds the estimates and intervals that need bounds of rewards and weights.
fn put_bounded(answer: &mut Answer, fields: &Fields<'_>, log: &Log, alpha: f64) -> Taken<()> {
    let is_unit = log.reward.iter().all(|r| (0.0..=1.0).contains(r));
    let reward = if fields.has("reward_range") {
        let range = fields.numbers("reward_range")?;
        match range[..] {
            [low, high] if low < high => Some([low, high]),
            _ => return Err(fields.refuse("reward_range", "the smallest and the largest possible reward")),
        }
    } else {
        is_unit.then_some([0.0, 1.0])
    };
    let weight = fields.number_or("weight_max", f64::INFINITY, "a number above 1", |w| w > 1.0)?;
    let Some(reward) = reward else {
        for name in ["cressie_read", "anytime"] {
            let mut part = Answer::default();
            let names = if name == "anytime" {
                &FIELDS[2..]
            } else {
                &FIELDS[..]
            };
            for field in names.iter().filter(|field| **field != "std_error") {
                part.miss_for(field, "rewards are not in [0, 1]: needs reward_range");
            }
            answer.put(name, part);
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

/// The mean reward of the rows in which the policy takes the logged action.
///
/// Needs a deterministic policy and a log with equal action probabilities.
fn replay(log: &Log, policy: &[Vec<f64>], action: &[f64], pscore: &[f64], alpha: f64) -> Answer {
    let mut part = Answer::default();
    let is_sure = policy.iter().flatten().all(|p| *p == 0.0 || *p == 1.0);
    let is_even = policy
        .iter()
        .zip(pscore)
        .all(|(row, p)| (p * row.len() as f64 - 1.0).abs() < 1e-9);
    if !is_sure || !is_even {
        miss_all(
            &mut part,
            "replay needs a policy of zeros and ones, and a log with equal action probabilities",
        );
        return part;
    }
    let same: Vec<f64> = (0..action.len())
        .filter(|row| policy[*row][action[*row] as usize] == 1.0)
        .map(|row| log.reward[row])
        .collect();
    if same.is_empty() {
        miss_all(&mut part, &Reason::NoData.to_string());
        return part;
    }
    let moments = Moments::from_values(&same);
    let estimate = match moments.estimate() {
        Ok(estimate) if estimate.std_error == 0.0 => Err(Reason::NoVariance),
        other => other,
    };
    part.put("estimate", moments.mean);
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
    part
}
