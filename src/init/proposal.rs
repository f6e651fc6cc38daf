//! Layers, guardrails, ladders, and what the files lack.

use crate::init::draft::{Draft, DraftGuardrail, DraftLayer, Missing};
use crate::init::guess::Role;
use crate::init::profile::ColumnProfile;
use crate::init::toml_text::number;
use crate::metric::{BadRateOf, Sum};
use crate::metric::{COLUMNS, RATE_METRICS, built_in};
use crate::scenario::{CONSENT, FEATURES};

/// Divisions of the users into layers, the finest first: the quotas of the reference policy, a tenth
/// of volunteers, and everybody together.
pub(crate) const DIVISIONS: [&[(&str, f64)]; 3] = [
    &[
        ("early", 0.10),
        ("regular", 0.70),
        ("high_value", 0.15),
        ("vip", 0.05),
    ],
    &[("early", 0.25), ("regular", 0.75)],
    &[("all", 1.0)],
];

/// The layers of a division.
pub(crate) fn layers(division: &[(&'static str, f64)]) -> Vec<DraftLayer> {
    let layer = |(id, quota): &(&'static str, f64)| DraftLayer {
        id,
        quota: (division.len() > 1).then_some(*quota),
        ladder: None,
        notes: Vec::new(),
    };
    division.iter().map(layer).collect()
}

/// Ratios from which ladders are made.
const STEPS: [f64; 6] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0];

/// A ladder whose first step is at least `first`, and whose steps at least double.
pub(crate) fn ladder(first: f64) -> Vec<f64> {
    let mut ladder = vec![first.min(0.5)];
    for step in STEPS {
        let last = ladder[ladder.len() - 1];
        if step >= 2.0 * last && (step >= 0.1 || last < 0.05) {
            ladder.push(step);
        }
    }
    ladder
}

/// The guardrails for the columns that the traffic has: the default ones, and the scenario's own
/// metrics.
pub(crate) fn guardrails(draft: &Draft) -> Vec<DraftGuardrail> {
    let rule = |metric: &str, key, value: &str, why: &str| DraftGuardrail {
        metric: metric.to_owned(),
        key,
        value: value.to_owned(),
        why: why.to_owned(),
    };
    let mut rules = Vec::new();
    let defaults = [
        ("success", "availability", "margin", "0.005"),
        ("task_completed", "task_completion_rate", "margin", "0.02"),
        ("complaint", "complaint_rate", "margin", "0.001"),
        ("incident", "incident_rate", "max_count", "0"),
        ("latency_ms", "latency_p95_ms", "relative_margin", "0.2"),
    ];
    for (column, metric, key, value) in defaults {
        if draft.traffic_has(column) {
            rules.push(rule(metric, key, value, "as in the default guardrails"));
        }
    }
    let has_outcome = ["task_completed", "complaint"]
        .iter()
        .any(|column| draft.traffic_has(column));
    if !has_outcome && draft.traffic_has("bad") {
        rules.push(rule(
            "bad_rate",
            "margin",
            "0.02",
            "the only rating by users; set the margin that you mean",
        ));
    } else if !has_outcome && draft.traffic_has("csat") {
        rules.push(rule(
            "csat_mean",
            "relative_margin",
            "0.05",
            "the only rating by users; set the margin that you mean",
        ));
    }
    for metric in &draft.metrics {
        rules.push(rule(
            &metric.id,
            "relative_margin",
            "0.1",
            "set the margin that you mean",
        ));
    }
    rules
}

/// What columns are for, and what it costs to have none.
const COSTS: [(&str, &str, &str); 5] = [
    (
        "success",
        "success or status",
        "the guardrail `availability` is left out, so a rise of failures cannot stop a promotion",
    ),
    (
        "task_completed",
        "completed tasks",
        "the guardrail `task_completion_rate` is left out, so a fall of completed tasks cannot stop a promotion",
    ),
    (
        "complaint",
        "complaints",
        "the guardrail `complaint_rate` is left out, so a rise of complaints cannot stop a promotion",
    ),
    (
        "incident",
        "incidents",
        "the guardrail `incident_rate` is left out, so an incident cannot stop a promotion",
    ),
    (
        "latency_ms",
        "latency",
        "the guardrail `latency_p95_ms` is left out, so slower answers cannot stop a promotion",
    ),
];

/// Lists what the files lack.
pub(crate) fn missing(draft: &Draft) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut lack = |what: String, cost: String| missing.push(Missing { what, cost });
    if let Some(users) = &draft.users {
        let absent: Vec<&str> = draft
            .absent
            .iter()
            .copied()
            .filter(|name| FEATURES.contains(name))
            .collect();
        if !absent.is_empty() {
            let cost = "counts as unknown for every user, so scores and layers do not depend on it";
            lack(format!("users have no {}", absent.join(", ")), cost.into());
        }
        if !users.has(CONSENT, draft.has_derive) {
            let cost = "`layering.consent = \"opt_out\"` makes every user eligible; name the column if users can refuse";
            lack("no column of consent".into(), cost.into());
        }
    } else if !draft.traffic.is_empty() {
        let cost = "one layer for all users; a users table (--users) with last use, use count and value gives layers";
        lack("no users table".into(), cost.into());
    }
    if draft.traffic.is_empty() {
        lack(
            "no traffic log".into(),
            "layers only: nothing is compared and no ratio is decided".into(),
        );
        return missing;
    }
    for (column, what, cost) in COSTS {
        if !draft.traffic_has(column) {
            lack(format!("no column of {what}"), cost.into());
        }
    }
    let metrics = built_in(BadRateOf::Rated);
    let lacks = |id: &&str| {
        let metric = metrics.iter().find(|metric| metric.id == **id);
        let mut columns = metric
            .into_iter()
            .flat_map(|metric| metric.sums())
            .filter_map(Sum::reading);
        columns.any(|reading| !draft.traffic_has(&reading.column))
    };
    let rates: Vec<&str> = RATE_METRICS.iter().copied().filter(lacks).collect();
    if !rates.is_empty() {
        let cost = format!(
            "it is not known without {}: a layer is not promoted until the log has them",
            rates.join(", ")
        );
        lack("QoS".into(), cost);
    }
    missing
}

/// Caps of the score from the values of a users table: `start` in epoch seconds.
pub(crate) fn caps(
    users: &crate::init::guess::Guesses,
    profiles: &[ColumnProfile],
    start: f64,
) -> Vec<(&'static str, String, String)> {
    let profile = |column: &str| {
        let guess = users.get(column)?;
        let profile = profiles
            .iter()
            .find(|profile| profile.name == guess.file_column)?;
        Some((guess, profile))
    };
    let mut keys = Vec::new();
    if let Some((guess, profile)) = profile("last_use_time") {
        let scale = match &guess.how {
            crate::init::fit::How::Unit("ms") => 1e3,
            crate::init::fit::How::Unit("us") => 1e6,
            crate::init::fit::How::Unit("ns") => 1e9,
            _ => 1.0,
        };
        let old = profile.quantile(0.1).map(|at| (start - at / scale) / 86_400.0);
        if let Some(days) = old.filter(|days| !(10.0..=60.0).contains(days) && (0.5..36_500.0).contains(days))
        {
            let why = "nine in ten users came within this time; the default is 30";
            keys.push(("recency_cap_days", number(round_up(days)), why.into()));
        }
    }
    for (column, key, q, default) in [
        ("use_count", "use_count_cap", 0.99, 100.0),
        ("user_value", "user_value_cap", 0.98, 100_000.0),
    ] {
        let Some((guess, profile)) = profile(column) else {
            continue;
        };
        let scale = if guess.how == crate::init::fit::How::Unit("cent") {
            0.01
        } else {
            1.0
        };
        let high = profile.quantile(q).map(|high| high * scale);
        if let Some(high) = high.filter(|high| *high > 0.0 && !(default / 3.0..=default * 2.0).contains(high))
        {
            let why = format!(
                "{} in 100 users are above; the default is {default}",
                ((1.0 - q) * 100.0).round()
            );
            keys.push((key, number(round_up(high)), why));
        }
    }
    keys
}

/// A number with one significant digit, rounded up.
fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powi(value.log10().floor() as i32);
    let rounded = (value / unit).ceil() * unit;
    // Powers below one are not exact.
    (rounded * 1e9).round() / 1e9
}

/// The names of Sluice that a source of a role may have without a guess: a file has a column of that
/// name, whose values do not fit.
pub(crate) fn unfit_names<'a>(role: Role, profiles: &'a [ColumnProfile], used: &[&str]) -> Vec<&'a str> {
    let is_read = |name: &str| match role {
        Role::Traffic => {
            COLUMNS.iter().any(|(column, _)| *column == name)
                || [
                    "layer",
                    "tenant_id",
                    "is_shadow",
                    "is_eval",
                    "propensity",
                    "trace_id",
                    "session_id",
                ]
                .contains(&name)
        }
        Role::Users => FEATURES.contains(&name) || name == CONSENT || name == "tenant_id",
        Role::Events => ["value", "tenant_id"].contains(&name),
    };
    let names = profiles.iter().map(|profile| profile.name.as_str());
    names
        .filter(|name| is_read(name) && !used.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ladders_double() {
        assert_eq!(ladder(0.01), [0.01, 0.05, 0.1, 0.25, 0.5, 1.0]);
        assert_eq!(ladder(0.1), [0.1, 0.25, 0.5, 1.0]);
        assert_eq!(ladder(0.3), [0.3, 1.0]);
        assert_eq!(ladder(0.5), [0.5, 1.0]);
    }

    #[test]
    fn caps_are_round() {
        for (value, expected) in [(9.0, 9.0), (11.0, 20.0), (0.031, 0.04), (499.0, 500.0)] {
            assert_eq!(round_up(value), expected);
        }
    }
}
