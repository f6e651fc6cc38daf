//! Attribution of an effect to the dimensions of a release, and rates of late outcomes.

use crate::calc::answer::{Answer, Item};
use crate::calc::fields::{Fields, Taken};
use crate::stats::attribution::{Release, attribute, together};
use crate::stats::dist::norm_isf;
use crate::stats::late::{Age, kaplan_meier};
use crate::stats::{Interval, Reason};

/// The dimensions of a release, as inputs name them.
const DIMENSIONS: [&str; 4] = ["model", "prompt", "tool_schema", "kb_index"];

pub(super) fn attribution(fields: &Fields<'_>) -> Taken<Answer> {
    let releases = fields.objects("releases", |fields| {
        let mut refs = Vec::new();
        for name in DIMENSIONS {
            refs.push(if fields.has(name) {
                fields.text(name)?.into_owned()
            } else {
                String::new()
            });
        }
        Ok(Release {
            refs,
            value: fields.number("value")?,
            variance: fields.positive("variance")?,
        })
    })?;
    let z = norm_isf(0.5 * fields.alpha()?);
    let part = |dimension: usize, estimate: f64, std_error: f64| {
        let interval = Interval::around(estimate, z * std_error);
        let mut part = Answer::default();
        part.put("dimension", Item::Text(DIMENSIONS[dimension].to_owned()));
        (part, interval)
    };
    let mut answer = Answer::default();
    match attribute(&releases) {
        Ok(found) => {
            answer.put("baseline", found.fit.beta[0]);
            let changes = found.changes.iter().map(|change| {
                let (mut part, interval) = part(change.dimension, change.effect_size, change.std_error);
                part.put("to", Item::Text(change.to.clone()));
                put_estimate(
                    &mut part,
                    "effect_size",
                    change.effect_size,
                    change.std_error,
                    interval,
                );
                Item::Part(part)
            });
            answer.put("changes", Item::List(changes.collect()));
            let reverts = found.reverts.iter().map(|revert| {
                let (mut part, interval) = part(revert.dimension, revert.value, revert.std_error);
                put_estimate(&mut part, "value", revert.value, revert.std_error, interval);
                Item::Part(part)
            });
            answer.put("reverts", Item::List(reverts.collect()));
            answer.put("q", found.fit.q);
            answer.put("df", Item::Whole(found.fit.df as u64));
            answer.put_known("q_p_value", found.fit.q_p_value.ok_or(Reason::TooFewRows));
        }
        Err(reason) => {
            for name in ["changes", "reverts"] {
                answer.miss(name, reason);
            }
            for [(a, to_a), (b, to_b)] in together(&releases) {
                answer.because(&format!(
                    "{} {to_a} and {} {to_b} always came together",
                    DIMENSIONS[a], DIMENSIONS[b]
                ));
            }
        }
    }
    Ok(answer)
}

fn put_estimate(part: &mut Answer, name: &'static str, estimate: f64, std_error: f64, interval: Interval) {
    part.put(name, estimate);
    let known = if std_error > 0.0 {
        Ok(std_error)
    } else {
        Err(Reason::NoVariance)
    };
    part.put_known("std_error", known);
    part.put("ci_lower", interval.ci_lower);
    part.put("ci_upper", interval.ci_upper);
}

pub(super) fn late(fields: &Fields<'_>) -> Taken<Answer> {
    let ages = fields.objects("ages", |fields| {
        let (day, events, at_risk) = (
            fields.amount("day")?,
            fields.count("events")?,
            fields.count("at_risk")?,
        );
        if events > at_risk {
            return Err(fields.refuse("events", "at most at_risk"));
        }
        Ok(Age { day, events, at_risk })
    })?;
    if !ages.is_sorted_by(|a, b| a.day < b.day) {
        return Err(fields.refuse("ages", "days that rise"));
    }
    let alpha = fields.alpha()?;
    let days = kaplan_meier(&ages);
    let mut answer = Answer::default();
    let by_day = days.iter().map(|by| {
        let mut part = Answer::default();
        part.put("day", by.day);
        put_estimate(&mut part, "rate", by.rate, by.std_error, by.interval(alpha));
        Item::Part(part)
    });
    answer.put("by_day", Item::List(by_day.collect()));
    if days.is_empty() {
        answer.because(&Reason::NoData.to_string());
    }
    Ok(answer)
}
