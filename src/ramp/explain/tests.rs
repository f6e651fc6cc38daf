use super::*;
use crate::analysis::{ArmRows, LatencyAnalysis, MetricAnalysis, MetricArm, QosStage, UserCounts};
use crate::base::time::DAY;
use crate::metric::{BadRateOf, built_in};
use crate::qos::{GuardrailFinding, Judged};
use crate::ramp::state::LayerState;
use crate::scenario::{GuardrailRule, Overrides, Scenario};
use crate::stats::ratio::RatioEstimate;
use crate::stats::{Interval, Known};
use std::path::Path;

const START: Micros = 0;
const AS_OF: Micros = 2 * DAY;
const METRIC: &str = "task_completion_rate";

fn plan(policy: &str, margin: f64) -> Plan {
    let text = format!(
        r#"
        as_of = "2026-01-10"
        plan = {{ id = "p", start = "1970-01-01", baseline = "a", candidate = "b" }}
        input = {{ users_from_traffic = true, traffic = [{{ path = "t.csv" }}] }}
        policy = {{ sequential = "fixed", {policy} }}
        guardrail = [{{ metric = "{METRIC}", margin = {margin} }}]
        [[layer]]
        id = "early"
        min_score = 0.8
        ladder = [0.01, 0.05, 0.5, 1.0]
        dwell_hours = 72
        min_users = 180
        safety_critical = true
        [[layer]]
        id = "vip"
        after = ["early"]
        "#
    );
    let scenario = Scenario::parse(&text, "test", Path::new(""), &Overrides::default());
    scenario.unwrap().plan
}

/// An arm with a row a user and day, of users with the variance `b` between them.
fn arm(estimate: f64, n_users: f64, b: f64, clusters: usize) -> MetricArm {
    let rows = 2.0 * n_users;
    let found = RatioEstimate {
        estimate,
        numerator: estimate * rows,
        denominator: rows,
        std_error: (estimate * (1.0 - estimate) / rows + b / n_users).sqrt(),
        df: clusters as f64 - 1.0,
        n_clusters: clusters,
        n_units: n_users,
        unstable: false,
    };
    MetricArm {
        numerator: found.numerator,
        denominator: rows,
        estimate: Some(estimate),
        robust: Known::Value(found),
    }
}

/// A layer of 20,000 users at 1 % for 2 days. Users come once a day on average.
fn layer(candidate: f64, b: f64) -> LayerAnalysis {
    let unknown = Known::Unknown {
        reason: Reason::NoData,
    };
    let latency = LatencyAnalysis {
        baseline: Known::Unknown {
            reason: Reason::NoData,
        },
        candidate: Known::Unknown {
            reason: Reason::NoData,
        },
        effect: unknown,
    };
    let stage = StageAnalysis {
        own_past: Vec::new(),
        start: START,
        end: AS_OF,
        ratio: ratio(0.01),
        users: UserCounts {
            baseline: 17_121,
            candidate: 173,
            ..UserCounts::default()
        },
        rows: ArmRows {
            baseline: 39_600,
            candidate: 400,
        },
        srm: None,
        metrics: vec![MetricAnalysis {
            metric: METRIC.into(),
            baseline: arm(0.8, 19_800.0, b, 270),
            candidate: arm(candidate, 200.0, b, 82),
            effect: unknown,
            p_value_adj: None,
            mature_share: None,
            limits: None,
        }],
        latency_p50_ms: latency.clone(),
        latency_p95_ms: latency.clone(),
        latency_p99_ms: latency,
        qos: QosStage {
            baseline: Known::Unknown {
                reason: Reason::NoData,
            },
            candidate: Known::Unknown {
                reason: Reason::NoColumn,
            },
            effect: unknown,
        },
        guardrails: vec![GuardrailFinding {
            metric: METRIC.into(),
            rule: GuardrailRule::Margin(0.02),
            limit: None,
            judged: Judged {
                gate: None,
                verdict: HarmVerdict::Unclear,
                harm: Some(0.8 - candidate),
                interval: None,
                margin: Some(0.02),
                takes_min_margin: false,
                p_value: None,
                p_value_adj: None,
                reason: None,
            },
        }],
        breakdowns: Vec::new(),
    };
    LayerAnalysis {
        tenant: "default".into(),
        layer: "early".into(),
        n_users: 20_000,
        n_eligible: 20_000,
        n_exposed: 173,
        stages: vec![stage],
        srm: None,
        srm_first: None,
        combined: Vec::new(),
        series: Vec::new(),
    }
}

fn ratio(share: f64) -> Ratio {
    Ratio::try_from_share(share).unwrap()
}

fn check(name: &str, value: f64, upper: f64, limit: f64) -> Check {
    Check {
        check: name.into(),
        outcome: CheckOutcome::Block(Verdict::Inconclusive),
        value: Some(value),
        interval: Some(Interval {
            ci_lower: -upper,
            ci_upper: upper,
        }),
        limit: Some(limit),
        detail: "detail".into(),
        detail_zh: String::new(),
    }
}

fn outlook(plan: &Plan, analyzed: &LayerAnalysis, check: &Check) -> Outlook {
    let metrics = built_in(BadRateOf::Rated);
    let outlooks = Outlooks {
        plan,
        metrics: &metrics,
        coverage: None,
        as_of: AS_OF,
    };
    let state = |layer: &str, share: f64| LayerState {
        tenant: "default".into(),
        layer: layer.into(),
        ratio: ratio(share),
        since: START,
        rolled_back: None,
        pending: None,
    };
    let place = Place {
        layer: &plan.layers[0],
        ratio: ratio(0.01),
        since: START,
        rolled_back: Some(AS_OF - HOUR),
        tenant_states: &[state("early", 0.01), state("vip", 0.0)],
        analyzed: Some(analyzed),
    };
    outlooks.of(place, check)
}

fn is_near(found: Option<f64>, expected: f64, accuracy: f64) {
    let found = found.unwrap_or(f64::NAN);
    assert!((found / expected - 1.0).abs() < accuracy, "{found} {expected}");
}

/// Without spread between users, `1.99 sqrt(0.16 (1 / R + 1 / (99 R)))` is 0.02 with R = 1,600 rows:
/// after 8 days of 200 rows.
#[test]
fn days_until_an_interval_clears_its_margin() {
    let found = outlook(
        &plan("", 0.02),
        &layer(0.8, 0.0),
        &check("clear:task_completion_rate", 0.0, 0.04, 0.02),
    );
    assert_eq!(found.metric.as_deref(), Some(METRIC));
    assert_eq!(found.unit.as_deref(), Some("share"));
    is_near(found.distance, 0.02, 1e-9);
    is_near(found.days_needed, 6.0, 0.02);
    // All of the 200 users will have come by then: 27 of them have not yet.
    assert_eq!(found.users_needed, Some(27));
    is_near(found.smallest_decidable, 0.02 / (365.0_f64 / 8.0).sqrt(), 0.02);
    assert_eq!((found.undecided, found.next_ratio_that_can), (None, None));
    assert_eq!(
        found.text,
        "It takes 6 days more at 1% (27 more users) to clear the margin of 2 points for the task completion rate, at \
         today's traffic of 86.5 users of the candidate a day, if the effect stays as it is."
    );
    assert_eq!(
        found.text_zh,
        "按当前流量（候选每天 86.5 名用户）且效应不变，在 1% 还需 6 天（还需 27 名用户）才能使任务完成率的区间在界限 \
         2 个百分点之内。"
    );
}

/// The spread 0.05 between 200 users alone gives `1.99 sqrt(0.05 / 200)` = 0.031. With 1,000 users,
/// `1.97 sqrt(1.053 (0.05 / 1000 + 0.16 / R))` is 0.02 with R = 3,400 rows: 3.4 days of 1,000 rows.
#[test]
fn a_step_that_can_never_decide_names_one_that_can() {
    let found = outlook(
        &plan("", 0.02),
        &layer(0.8, 0.05),
        &check("clear:task_completion_rate", 0.0, 0.05, 0.02),
    );
    assert_eq!(found.undecided, Some(Undecided::NotWithinAYear));
    assert_eq!((found.days_needed, found.users_needed), (None, None));
    assert_eq!(found.next_ratio_that_can, Some(ratio(0.05)));
    is_near(found.next_ratio_days, 3.4, 0.04);
    is_near(found.smallest_decidable, 0.0317, 0.02);
    assert_eq!(
        found.text,
        "200 users at 1% cannot clear the margin of 2 points for the task completion rate within a year. At best it \
         clears a margin of 3.2 points. At 5% it takes 3.4 days."
    );
}

#[test]
fn an_estimate_beyond_the_margin_never_clears_it() {
    let found = outlook(
        &plan("", 0.02),
        &layer(0.77, 0.0),
        &check("clear:task_completion_rate", 0.03, 0.07, 0.02),
    );
    assert_eq!(found.undecided, Some(Undecided::BeyondLimit));
    assert_eq!(found.days_needed, None);
    assert!(
        found.text.starts_with(
            "More data will not clear the task completion rate, because the estimated harm of 3 points lies beyond \
             the margin of 2 points; it is proved in"
        ),
        "{}",
        found.text
    );
}

#[test]
fn a_column_that_is_missing_asks_for_the_column() {
    let mut analyzed = layer(0.8, 0.0);
    analyzed.stages[0].guardrails[0].judged.reason = Some(Reason::NoColumn);
    let clear = check("clear:task_completion_rate", 0.0, 0.05, 0.02);
    let found = outlook(&plan("", 0.02), &analyzed, &clear);
    assert_eq!(found.undecided, Some(Undecided::NoColumn));
    assert_eq!(
        found.text,
        "Map the missing column in [[input.traffic]].columns, or remove the guardrail: the log lacks a column that the \
         task completion rate needs."
    );
    let found = outlook(&plan("", 0.02), &analyzed, &check("qos", 0.0, 0.05, 0.8));
    assert_eq!(
        found.text,
        "Map the missing column in [[input.traffic]].columns: the log lacks a column that QoS needs."
    );
}

#[test]
fn checks_without_an_interval_say_when_or_what() {
    let plan = plan("cool_down_hours = 5", 0.02);
    let says = |name: &str, value: f64, limit: f64, expected: (&str, Option<f64>)| {
        let check = Check {
            interval: None,
            ..check(name, value, 0.0, limit)
        };
        let found = outlook(&plan, &layer(0.8, 0.0), &check);
        assert_eq!(found.text, expected.0);
        assert!(!found.text_zh.is_empty(), "{name}");
        match expected.1 {
            Some(days) => is_near(found.days_needed, days, 0.01),
            None => assert!(found.days_needed.is_none() && found.undecided.is_some()),
        }
    };
    let dwell = "24 hours more at 1%: until 1970-01-04 00:00 UTC.";
    says("dwell", 48.0, 72.0, (dwell, Some(1.0)));
    let cool = "Only time has to pass, until 1970-01-03 04:00 UTC.";
    says("cool_down", 0.0, 0.0, (cool, Some(4.0 / 24.0)));
    // 180 of 200 users: -ln(1 - 0.9) = 2.3 days.
    let users = "7 more users are needed: 0.3 days at today's traffic (86.5 users a day so far).";
    says("min_users", 173.0, 180.0, (users, Some(0.3)));
    let few = "The 200 eligible users at 1% are fewer than the 500 needed. 5% has them; or use a smaller min_users.";
    says("min_users", 173.0, 500.0, (few, None));
    let approval = "A person has to approve: write an [[approval]] with layer = \"early\", candidate = \"b\", ratio = 0.05.";
    says("approval", 0.0, 0.0, (approval, None));
    let srm = "Find why users are missing from a release or in the wrong one, then measure again.";
    says("srm", 1e-9, 1e-3, (srm, None));
}

/// Layer `vip` waits for two more steps of `early`, of 72 hours each.
#[test]
fn a_waiting_layer_names_steps_and_dwells() {
    let plan = plan("", 0.02);
    let analyzed = layer(0.8, 0.0);
    let state = |share: f64, rolled_back: Option<(Micros, String)>| LayerState {
        tenant: "default".into(),
        layer: "early".into(),
        ratio: ratio(share),
        since: START,
        rolled_back,
        pending: None,
    };
    let metrics = built_in(BadRateOf::Rated);
    let outlooks = Outlooks {
        plan: &plan,
        metrics: &metrics,
        coverage: None,
        as_of: AS_OF,
    };
    let of = |early: LayerState| {
        let place = Place {
            layer: &plan.layers[1],
            ratio: Ratio::ZERO,
            since: START,
            rolled_back: None,
            tenant_states: &[early, state(0.0, None)],
            analyzed: Some(&analyzed),
        };
        outlooks.of(place, &check("after", 0.0, 0.0, 0.0))
    };
    let found = of(state(0.05, None));
    assert_eq!(
        found.text,
        "early: still to rise from 5% to 100% (2 steps of 72 hours each). That is not before 1970-01-07 00:00 UTC."
    );
    is_near(found.days_needed, 4.0, 1e-9);
    let found = of(state(0.0, Some((AS_OF, "b".into()))));
    assert_eq!(found.text, "early: rolled back, needs a new release.");
    assert_eq!(
        (found.days_needed, found.undecided),
        (None, Some(Undecided::NotData))
    );
    let found = of(state(0.0, Some((AS_OF, "older".into()))));
    assert!(
        found
            .text
            .starts_with("early: still to rise from 0% to 100% (4 steps of 72 hours each)."),
        "{}",
        found.text
    );
}
