use std::path::Path;

use crate::base::progress::Progress;
use crate::bucket::Ratio;
use crate::scenario::{Overrides, Scenario};
use crate::simulate::document::Forecast;
use crate::simulate::simulate;

/// A layer of 20,000 users with a row a user and day, for 20 days.
fn forecast(edit: &[(&str, &str)]) -> Forecast {
    let rate = |metric: &str, rest: &str| format!("[[simulate.rate]]\nmetric = \"{metric}\"\n{rest}\n");
    let mut text = format!(
        r#"
        seed = 1
        as_of = "2026-01-10"
        plan = {{ id = "p", start = "2026-01-01", baseline = "a", candidate = "b" }}
        input = {{ users_from_traffic = true, traffic = [{{ path = "t.csv" }}] }}
        policy = {{ sequential = "fixed" }}
        [[guardrail]]
        metric = "task_completion_rate"
        margin = 0.02
        [[layer]]
        id = "all"
        ladder = [0.01, 0.5, 1.0]
        min_users = 100
        dwell_hours = 72
        qos_threshold = 0.5
        [simulate]
        runs = 8
        days = 20
        decide_every_windows = 24
        [[simulate.layer]]
        id = "all"
        users = 20000
        turns_per_user_day = 1
        weekly_active = 0.99
        {}{}{}{}{}{}
        [[simulate.world]]
        id = "same"
        "#,
        rate("availability", "value = 0.99"),
        rate("latency_mean_ms", "value = 800\nsd = 600"),
        rate("tool_success_rate", "value = 0.97"),
        rate("task_completion_rate", "value = 0.8\nuser_sd = 0.2236"),
        rate("bad_rate", "value = 0.08"),
        rate("complaint_rate", "value = 0.002"),
    );
    for (from, to) in edit {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let scenario = Scenario::parse(&text, "test", Path::new(""), &Overrides::default()).unwrap();
    simulate(&scenario, None, &Progress::silent()).unwrap()
}

/// The variance 0.05 between the 200 users of 1 % alone gives an interval of +-0.031.
#[test]
fn where_unfinished_runs_end_is_said() {
    let found = forecast(&[]);
    let plan = &found.plans[0];
    // Some runs are lucky: an estimate below the truth clears the margin.
    assert!(plan.p_never_finishes.n >= 3, "{:?}", plan.p_never_finishes);
    let [of] = &plan.unfinished[..] else {
        panic!("{:?}", plan.unfinished);
    };
    assert_eq!((of.layer.as_str(), of.check.as_str()), ("all", "clear"));
    assert_eq!(of.metric.as_deref(), Some("task_completion_rate"));
    assert_eq!(
        (of.ratio, of.p.n),
        (Ratio::try_from_share(0.01).unwrap(), plan.p_never_finishes.n)
    );
    let advice = of.advice.as_deref().unwrap();
    assert!(
        advice.starts_with(
            "At this step 200 users cannot clear the margin of 2 points for the task completion rate. Change the \
             ratio of the step to 5%, or the margin to "
        ),
        "{advice}"
    );
    let [warning] = &found.warnings[..] else {
        panic!("{:?}", found.warnings);
    };
    assert!(
        warning.finding.starts_with(
            "all at 1%: the task completion rate cannot clear its margin of 2 points within the dwell of 72 hours, \
             even if the candidate changes nothing, and not even within a year. 10% is enough, and so is a margin of "
        ),
        "{}",
        warning.finding
    );
}

#[test]
fn finished_runs_end_nowhere_and_other_checks_have_their_own_advice() {
    let found = forecast(&[("margin = 0.02", "margin = 0.2")]);
    assert_eq!(found.plans[0].unfinished, []);
    assert_eq!(found.warnings, []);
    let advice = |edit: &[(&str, &str)]| {
        let found = forecast(edit);
        let of = found.plans[0].unfinished.first().cloned().unwrap();
        (of.check, of.advice.unwrap())
    };
    let users = advice(&[
        ("margin = 0.02", "margin = 0.2"),
        ("min_users = 100", "min_users = 300"),
    ]);
    let text = "At this step 200 users are reached, and min_users is 300. Raise the ratio of the step to 50%, or lower \
                min_users.";
    assert_eq!(users, ("min_users".into(), text.into()));
    let (check, text) = advice(&[
        ("margin = 0.02", "margin = 0.2"),
        ("qos_threshold = 0.5", "qos_threshold = 0.99"),
    ]);
    assert_eq!(check, "qos");
    assert!(
        text.ends_with("in this world lies below the threshold of 0.99: no evidence reaches it."),
        "{text}"
    );
    let (check, text) = advice(&[
        (
            "id = \"same\"",
            "id = \"worse\"\neffects = [{ metric = \"task_completion_rate\", effect = -0.02 }]",
        ),
        ("margin = 0.02", "margin = 0.015"),
    ]);
    assert_eq!(check, "clear");
    assert_eq!(
        text,
        "The harm to the task completion rate of 2 points in this world is not below the margin of 1.5 points: no \
         evidence clears it."
    );
}

#[test]
fn a_threshold_above_today_warns() {
    let found = forecast(&[
        ("margin = 0.02", "margin = 0.2"),
        ("qos_threshold = 0.5", "qos_threshold = 0.99"),
    ]);
    let text = &found.warnings[0].finding;
    assert!(
        text.starts_with("The QoS threshold of 0.99 of all lies above the baseline's QoS of 0."),
        "{text}"
    );
    assert!(
        text.ends_with(": the candidate must be better than today to be promoted."),
        "{text}"
    );
}
