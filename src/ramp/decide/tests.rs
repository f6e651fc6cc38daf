use super::*;
use crate::analysis::{
    ArmRows, LatencyAnalysis, LayerAnalysis, OwnPastFinding, QosStage, StageAnalysis, UserCounts,
};
use crate::base::skeleton;
use crate::base::time::HOUR;
use crate::qos::{GuardrailFinding, Judged, QosArm, QosMethod, Rates};
use crate::ramp::evidence::{SrmEvidence, StageEvidence};
use crate::ramp::state::LayerState;
use crate::scenario::{Action, Approval, GuardrailRule, OnTrouble, Overrides, Plan, Scenario};
use crate::stats::gates::Gate;
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::srm::SrmTest;
use crate::stats::{Interval, Known, Reason};
use std::path::Path;

const NOW: Micros = 100 * HOUR;

fn plan(policy: &str) -> Plan {
    let text = format!(
        r#"
        as_of = "2026-01-10"
        plan = {{ id = "p", start = "1970-01-01", baseline = "a", candidate = "b" }}
        input = {{ users_from_traffic = true, traffic = [{{ path = "t.csv" }}] }}
        policy = {{ {policy} }}
        guardrail = [{{ metric = "complaint_rate", margin = 0.001 }}]
        [[layer]]
        id = "early"
        min_score = 0.8
        ladder = [0.1, 0.5, 1.0]
        qos_threshold = 0.8
        dwell_hours = 48
        min_users = 100
        [[layer]]
        id = "vip"
        after = ["early"]
        "#
    );
    Scenario::parse(&text, "test", Path::new(""), &Overrides::default())
        .unwrap()
        .plan
}

/// A layer at 10 % for 50 hours with 1000 exposed users, good QoS and one safe guardrail.
fn healthy() -> (LayerState, LayerAnalysis) {
    let since = NOW - 50 * HOUR;
    let unknown = Reason::NoConcurrentControl;
    let latency = LatencyAnalysis {
        baseline: Known::Unknown { reason: unknown },
        candidate: Known::Unknown { reason: unknown },
        effect: Known::Unknown { reason: unknown },
    };
    let stage = StageAnalysis {
        start: since,
        end: NOW,
        ratio: Ratio::try_from_share(0.1).unwrap(),
        users: UserCounts {
            baseline: 9_000,
            candidate: 1_000,
            crossover: 0,
            leaked: 0,
        },
        rows: ArmRows {
            baseline: 90_000,
            candidate: 10_000,
        },
        srm: Some(SrmTest {
            statistic: 0.0,
            df: 1.0,
            p_value: 1.0,
            max_abs_deviation: 0.0,
        }),
        metrics: Vec::new(),
        latency_p50_ms: latency.clone(),
        latency_p95_ms: latency.clone(),
        latency_p99_ms: latency,
        qos: QosStage {
            baseline: qos(0.8),
            candidate: qos(0.85),
            effect: Known::Unknown { reason: unknown },
        },
        guardrails: vec![guardrail(HarmVerdict::Safe, None)],
        own_past: Vec::new(),
        breakdowns: Vec::new(),
    };
    let analysis = LayerAnalysis {
        tenant: "default".into(),
        layer: "early".into(),
        n_users: 20_000,
        n_eligible: 20_000,
        n_exposed: 1_000,
        stages: vec![stage],
        srm: None,
        srm_first: None,
        combined: Vec::new(),
        series: Vec::new(),
    };
    (state("early", 0.1, since), analysis)
}

fn state(layer: &str, ratio: f64, since: Micros) -> LayerState {
    LayerState {
        tenant: "default".into(),
        layer: layer.into(),
        ratio: Ratio::try_from_share(ratio).unwrap(),
        since,
        rolled_back: None,
        pending: None,
    }
}

fn qos(value: f64) -> Known<QosArm> {
    let rates = Rates {
        bad_rate: 0.0,
        availability: 1.0,
        latency_ms: 0.0,
        tool_success_rate: 1.0,
        task_completion_rate: 1.0,
        complaint_rate: 0.0,
    };
    let parts = crate::qos::Qos {
        u: value,
        t: value,
        b: value,
        qos: value,
    };
    Known::Value(QosArm {
        rates,
        value: parts,
        point: value,
        std_error: 0.01,
        df: 99.0,
        n_clusters: 100,
        ci: Interval::around(value, 0.02),
        anytime: Interval::around(value, 0.03),
        method: QosMethod::Jackknife,
    })
}

fn guardrail(verdict: HarmVerdict, reason: Option<Reason>) -> GuardrailFinding {
    GuardrailFinding {
        metric: "complaint_rate".into(),
        rule: GuardrailRule::Margin(0.001),
        limit: None,
        judged: Judged {
            verdict,
            harm: None,
            interval: None,
            margin: None,
            takes_min_margin: false,
            p_value: None,
            p_value_adj: None,
            reason,
            gate: None,
        },
    }
}

fn decided(plan: &Plan, state: &LayerState, evidence: Option<&LayerAnalysis>) -> Decision {
    let states = [state.clone(), self::state("vip", 0.0, 0)];
    let evidence = evidence.and_then(|layer| StageEvidence::from_layer(layer, &plan.policy, &[]));
    let evidence = evidence.as_ref();
    let situation = Situation {
        plan,
        layer: &plan.layers[0],
        state,
        tenant_states: &states,
        evidence,
        stage: None,
        coverage: None,
        misassigned: 0.0,
        as_of: NOW,
    };
    let (decision, conclusion) = (decide(&situation), conclude(&situation));
    let first = conclusion.first_blocking.map(|name| name.to_string());
    assert_eq!(
        (
            decision.verdict,
            decision.next_ratio,
            decision.first_blocking.clone()
        ),
        (conclusion.verdict, conclusion.next_ratio, first)
    );
    decision
}

/// Changes the healthy layer, and compares its verdict and first blocking check.
fn check(change: impl Fn(&mut LayerState, &mut StageAnalysis), verdict: Verdict, blocking: Option<&str>) {
    check_under("", change, verdict, blocking);
}

fn check_under(
    policy: &str,
    change: impl Fn(&mut LayerState, &mut StageAnalysis),
    verdict: Verdict,
    blocking: Option<&str>,
) {
    let (mut state, mut analysis) = healthy();
    change(&mut state, &mut analysis.stages[0]);
    let decision = decided(&plan(policy), &state, Some(&analysis));
    assert_eq!(
        (decision.verdict, decision.first_blocking.as_deref()),
        (verdict, blocking),
        "{decision:#?}"
    );
    let expected = match verdict {
        Verdict::Promote => 0.5,
        Verdict::Rollback => 0.0,
        _ => state.ratio.share(),
    };
    assert_eq!(decision.next_ratio.share(), expected);
}

#[test]
fn a_gross_mismatch_makes_a_layer_invalid() {
    let users = |baseline, candidate| UserCounts {
        baseline,
        candidate,
        crossover: 0,
        leaked: 0,
    };
    // (ratio, users, is invalid): a gross mismatch among few users, 15 % of a small arm lost, a whole
    // arm lost, and the planned numbers.
    for (ratio, found, expected) in [
        (0.5, users(409, 121), true),
        (0.01, users(5_980, 20), true),
        (0.005, users(199_017, 845), true),
        (0.005, users(199_862, 0), true),
        (0.0005, users(2_000_000, 0), true),
        (0.005, users(198_863, 999), false),
    ] {
        for policy in ["sequential = \"anytime\"", "sequential = \"fixed\""] {
            let policy = plan(policy).policy;
            let counts = [found.baseline as f64, found.candidate as f64];
            let srm = SrmEvidence::new(counts, ratio, &policy).unwrap();
            assert_eq!(srm.is_alarm(&policy), expected, "{found:?} {srm:?}");
        }
    }
    // The test that decisions without a trace use gives the same alarms.
    for policy in [
        "sequential = \"anytime\"",
        "sequential = \"fixed\"",
        "srm_alpha = 0.4",
    ] {
        let policy = plan(policy).policy;
        for (candidate, share) in (0..600).flat_map(|n| [(n, 0.5), (n, 0.05), (n, 0.001)]) {
            let counts = [600.0 - f64::from(candidate), f64::from(candidate)];
            let below = SrmEvidence::harmless_below(&policy);
            let [all, alarming] = [
                SrmEvidence::new(counts, share, &policy),
                SrmEvidence::if_alarming(counts, share, &policy, below),
            ]
            .map(|found| found.is_some_and(|srm| srm.is_alarm(&policy)));
            assert_eq!(all, alarming, "{counts:?} {share}");
        }
    }
    check(|_, s| s.users = users(9_950, 850), Verdict::Invalid, Some("srm"));
}

#[test]
fn each_check_gives_its_verdict() {
    check(|_, _| {}, Verdict::Promote, None);
    check(
        |_, s| s.guardrails = vec![guardrail(HarmVerdict::Violated, None)],
        Verdict::Rollback,
        Some("guardrail:complaint_rate"),
    );
    check(
        |_, s| s.guardrails = vec![guardrail(HarmVerdict::Unclear, None)],
        Verdict::Inconclusive,
        Some("clear:complaint_rate"),
    );
    check(|_, s| s.users.candidate = 800, Verdict::Invalid, Some("srm"));
    // With many users a small deviation is significant, but it stays a small deviation.
    let many = |candidate: u64| UserCounts {
        baseline: 90_000_000 - candidate,
        candidate,
        crossover: 0,
        leaked: 0,
    };
    check(|_, s| s.users = many(9_000_000 + 80_000), Verdict::Promote, None);
    check_under(
        "sequential = \"fixed\"",
        |_, s| s.users.candidate = 800,
        Verdict::Invalid,
        Some("srm"),
    );
    check(|_, s| s.users.leaked = 500, Verdict::Invalid, Some("leak"));
    check(
        |_, s| s.users.crossover = 500,
        Verdict::Invalid,
        Some("crossover"),
    );
    check(
        |_, s| s.qos.candidate = qos(0.5),
        Verdict::Rollback,
        Some("qos_floor"),
    );
    check(
        |_, s| (s.users.candidate, s.users.baseline) = (99, 891),
        Verdict::Hold,
        Some("min_users"),
    );
    check(
        |_, s| {
            s.qos.candidate = Known::Unknown {
                reason: Reason::NoData,
            }
        },
        Verdict::Inconclusive,
        Some("qos"),
    );
    check(
        |_, s| s.qos.candidate = qos(0.81),
        Verdict::Inconclusive,
        Some("qos"),
    );
    check(|_, s| s.qos.candidate = qos(0.75), Verdict::Hold, Some("qos"));
    let young = |state: &mut LayerState, stage: &mut StageAnalysis| {
        state.since = NOW - 47 * HOUR;
        stage.start = state.since;
    };
    check(young, Verdict::Hold, Some("dwell"));
    check(
        |state, _| state.since += HOUR,
        Verdict::Inconclusive,
        Some("evidence"),
    );
    check_under(
        "sequential = \"fixed\"",
        |_, s| s.qos.candidate = qos(0.825),
        Verdict::Promote,
        None,
    );
}

/// A guardrail that its interval cannot decide, with a gate at a share of the planned information.
fn gated(share: f64, z: f64) -> GuardrailFinding {
    let mut finding = guardrail(HarmVerdict::Unclear, None);
    finding.judged.harm = Some(0.0);
    finding.judged.interval = Some(Interval::around(0.0, 0.01));
    finding.judged.margin = Some(0.001);
    finding.judged.gate = Some(Gate {
        at: NOW,
        n_looks: 1,
        information: share * 100.0,
        planned_information: 100.0,
        alpha_spent: 0.01,
        z,
        bound: Some(2.0),
        is_crossed: z > 2.0,
    });
    finding
}

#[test]
fn gates_decide_promotions_and_intervals_watch() {
    let check =
        |ratio: f64, change: &dyn Fn(&mut StageAnalysis), verdict: Verdict, blocking: Option<&str>| {
            let (mut state, mut analysis) = healthy();
            state.ratio = Ratio::try_from_share(ratio).unwrap();
            analysis.stages[0].ratio = state.ratio;
            analysis.stages[0].users = UserCounts {
                baseline: ((1.0 - ratio) * 10_000.0) as u64,
                candidate: (ratio * 10_000.0) as u64,
                crossover: 0,
                leaked: 0,
            };
            change(&mut analysis.stages[0]);
            let decision = decided(
                &plan("sequential = \"group_sequential\""),
                &state,
                Some(&analysis),
            );
            assert_eq!(
                (decision.verdict, decision.first_blocking.as_deref()),
                (verdict, blocking),
                "{decision:#?}"
            );
        };
    let with =
        |finding: GuardrailFinding| move |stage: &mut StageAnalysis| stage.guardrails = vec![finding.clone()];
    let clear = Some("clear:complaint_rate");
    // Before the last promotion an unclear interval does not block, and the boundary decides.
    check(0.1, &with(gated(0.2, 1.5)), Verdict::Promote, None);
    check(
        0.1,
        &with(gated(0.2, 2.5)),
        Verdict::Rollback,
        Some("gate:complaint_rate"),
    );
    // The last promotion waits for the planned information.
    let information = Some("information:complaint_rate");
    check(0.5, &with(gated(0.9, 1.5)), Verdict::Inconclusive, information);
    check(0.5, &with(gated(1.0, 1.5)), Verdict::Promote, None);
    check(
        0.5,
        &with(gated(1.0, 2.5)),
        Verdict::Rollback,
        Some("gate:complaint_rate"),
    );
    // A gross harm between the looks rolls back.
    let mut gross = gated(0.2, 0.0);
    gross.judged.verdict = HarmVerdict::Violated;
    check(
        0.1,
        &with(gross),
        Verdict::Rollback,
        Some("guardrail:complaint_rate"),
    );
    // Neither missing evidence nor a missing look promotes.
    let unknown = guardrail(HarmVerdict::Unclear, Some(Reason::NoColumn));
    check(0.1, &with(unknown), Verdict::Inconclusive, clear);
    let mut unseen = gated(0.2, 0.0);
    unseen.judged.gate = None;
    check(0.1, &with(unseen), Verdict::Inconclusive, information);
    // The QoS threshold blocks below it, and before the last promotion also where it is unclear.
    let with_qos = |share: f64, value: f64| {
        move |stage: &mut StageAnalysis| {
            stage.guardrails = vec![gated(share, 0.0)];
            stage.qos.candidate = qos(value);
        }
    };
    check(0.1, &with_qos(0.2, 0.79), Verdict::Promote, None);
    check(0.1, &with_qos(0.2, 0.7), Verdict::Hold, Some("qos"));
    check(0.5, &with_qos(1.0, 0.79), Verdict::Inconclusive, Some("qos"));
}

#[test]
fn a_full_layer_that_falls_below_its_own_past_is_named() {
    let check = |policy: &str, verdict: HarmVerdict, expected: (Verdict, Option<&str>)| {
        let (mut state, mut analysis) = healthy();
        let stage = &mut analysis.stages[0];
        (state.ratio, stage.ratio) = (Ratio::FULL, Ratio::FULL);
        (stage.users.baseline, stage.srm) = (0, None);
        stage.guardrails = vec![guardrail(HarmVerdict::Unclear, Some(Reason::NoConcurrentControl))];
        stage.own_past = vec![OwnPastFinding {
            metric: "complaint_rate".into(),
            verdict,
            since: Some(NOW - 24 * HOUR),
            observed: Some(0.12),
            expected: Some(0.01),
            harm: Some(0.11),
            interval: Some(Interval::around(0.11, 0.02)),
            margin: Some(0.001),
            n_past_days: Some(7),
            by_hour_of_week: Some(false),
            reason: None,
        }];
        let decision = decided(&plan(policy), &state, Some(&analysis));
        assert_eq!(
            (decision.verdict, decision.first_blocking.as_deref()),
            expected,
            "{decision:#?}"
        );
    };
    let named = Some("own_past:complaint_rate");
    check("", HarmVerdict::Violated, (Verdict::Hold, named));
    check(
        "own_past = \"rollback\"",
        HarmVerdict::Violated,
        (Verdict::Rollback, named),
    );
    check("", HarmVerdict::Safe, (Verdict::Hold, Some("ladder")));
    check("", HarmVerdict::Unclear, (Verdict::Hold, Some("ladder")));
}

#[test]
fn protective_checks_come_before_the_sample_is_large_enough() {
    let tiny_and_bad = |_: &mut LayerState, stage: &mut StageAnalysis| {
        (stage.users.candidate, stage.users.baseline) = (5, 45);
        stage.guardrails = vec![guardrail(HarmVerdict::Violated, None)];
    };
    check(tiny_and_bad, Verdict::Rollback, Some("guardrail:complaint_rate"));
}

#[test]
fn a_full_layer_is_still_watched() {
    let full = |state: &mut LayerState, stage: &mut StageAnalysis| {
        state.ratio = Ratio::FULL;
        stage.ratio = Ratio::FULL;
        stage.guardrails = vec![guardrail(HarmVerdict::Unclear, Some(Reason::NoConcurrentControl))];
    };
    check(full, Verdict::Hold, Some("ladder"));
    let full_and_bad = |state: &mut LayerState, stage: &mut StageAnalysis| {
        full(state, stage);
        stage.qos.candidate = qos(0.5);
    };
    check(full_and_bad, Verdict::Rollback, Some("qos_floor"));
}

#[test]
fn the_point_policy_is_the_reference_policy_s_rule() {
    let point = "decision = \"point\"";
    check_under(point, |_, s| s.qos.candidate = qos(0.8), Verdict::Promote, None);
    check_under(
        point,
        |_, s| s.qos.candidate = qos(0.7999),
        Verdict::Hold,
        Some("qos"),
    );
    check_under(
        point,
        |_, s| s.qos.candidate = qos(0.5999),
        Verdict::Rollback,
        Some("qos"),
    );
    let full = |state: &mut LayerState, stage: &mut StageAnalysis| {
        state.ratio = Ratio::FULL;
        stage.ratio = Ratio::FULL;
        stage.qos.candidate = qos(0.59);
    };
    check_under(point, full, Verdict::Rollback, Some("qos"));
    // Guardrails, users and dwell do not block it.
    check_under(point, |_, s| s.users.candidate = 1, Verdict::Promote, None);
}

#[test]
fn what_people_say_keeps_a_layer_where_it_is_and_nothing_else() {
    let (state, analysis) = healthy();
    let verdict = |change: &dyn Fn(&mut Plan), stage: &dyn Fn(&mut StageAnalysis)| {
        let mut plan = plan("");
        change(&mut plan);
        let mut analysis = analysis.clone();
        stage(&mut analysis.stages[0]);
        let decision = decided(&plan, &state, Some(&analysis));
        (decision.verdict, decision.first_blocking)
    };
    let nothing = |_: &mut StageAnalysis| {};
    let violated =
        |stage: &mut StageAnalysis| stage.guardrails = vec![guardrail(HarmVerdict::Violated, None)];
    let frozen = |plan: &mut Plan| plan.freezes.push(NOW - HOUR..NOW + HOUR);
    assert_eq!(verdict(&frozen, &nothing), (Verdict::Hold, Some("freeze".into())));
    // A freeze does not stop a rollback.
    assert_eq!(verdict(&frozen, &violated).0, Verdict::Rollback);
    assert_eq!(
        verdict(&|plan| plan.freezes.push(NOW + HOUR..NOW + 2 * HOUR), &nothing).0,
        Verdict::Promote
    );

    let approved = |candidate: &str, share: f64, at: Micros, by: &str| {
        let (by, is_program) = (by.to_owned(), skeleton::is_program(by));
        let (candidate, ratio) = (candidate.to_owned(), Ratio::try_from_share(share).unwrap());
        move |plan: &mut Plan| {
            plan.layers[0].safety_critical = true;
            plan.approvals = vec![Approval {
                layer_idx: 0,
                candidate: Some(candidate.clone()).filter(|id| !id.is_empty()),
                ratio,
                at,
                by: by.clone(),
                is_program,
            }];
        }
    };
    assert_eq!(
        verdict(&approved("b", 0.5, NOW, "li"), &nothing).0,
        Verdict::Promote
    );
    for too_little in [
        approved("b", 0.4, NOW, "li"),
        approved("older", 0.5, NOW, "li"),
        approved("", 0.5, NOW, "li"),
        approved("b", 0.5, NOW + HOUR, "li"),
        approved("b", 0.5, -1, "li"),
        approved("b", 0.5, NOW, "release-bot"),
    ] {
        assert_eq!(
            verdict(&too_little, &nothing),
            (Verdict::Hold, Some("approval".into()))
        );
    }
    // A violated signal blocks the promotion. A violated guardrail rolls the layer back.
    let signal = |plan: &mut Plan| plan.guardrails[0].action = Action::Hold;
    assert_eq!(
        verdict(&signal, &violated),
        (Verdict::Hold, Some("signal:complaint_rate".into()))
    );
    let unclear = |stage: &mut StageAnalysis| stage.guardrails = vec![guardrail(HarmVerdict::Unclear, None)];
    assert_eq!(verdict(&signal, &unclear).0, Verdict::Promote);
    // The policy can turn invalid or missing evidence into a rollback.
    let strict = |plan: &mut Plan| {
        (plan.policy.srm_action, plan.policy.no_data_action) = (OnTrouble::Rollback, OnTrouble::Rollback)
    };
    assert_eq!(
        verdict(&strict, &|stage| stage.users.candidate = 800),
        (Verdict::Rollback, Some("srm".into()))
    );
    assert_eq!(
        verdict(&strict, &|stage| stage.start += HOUR),
        (Verdict::Rollback, Some("evidence".into()))
    );
    // A holdout: the ladder ends below 1, and the layer stays at its last step.
    let holdback = |plan: &mut Plan| plan.layers[0].ladder = vec![Ratio::try_from_share(0.1).unwrap()];
    assert_eq!(
        verdict(&holdback, &nothing),
        (Verdict::Hold, Some("ladder".into()))
    );
}

#[test]
fn layers_open_in_order_and_not_with_a_release_that_failed() {
    let plan = plan("");
    let vip = |early: f64, rolled_back: Option<(Micros, String)>| {
        let mut vip = state("vip", 0.0, 0);
        vip.rolled_back = rolled_back;
        let states = [state("early", early, 0), vip.clone()];
        let decision = decide(&Situation {
            plan: &plan,
            layer: &plan.layers[1],
            state: &vip,
            tenant_states: &states,
            evidence: None,
            stage: None,
            coverage: None,
            misassigned: 0.0,
            as_of: NOW,
        });
        (decision.verdict, decision.first_blocking)
    };
    assert_eq!(vip(0.5, None), (Verdict::Hold, Some("after".into())));
    assert_eq!(vip(1.0, None), (Verdict::Promote, None));
    assert_eq!(
        vip(1.0, Some((0, "b".into()))),
        (Verdict::Hold, Some("new_release".into()))
    );
    assert_eq!(vip(1.0, Some((0, "older".into()))), (Verdict::Promote, None));
    assert_eq!(
        vip(1.0, Some((NOW - HOUR, "older".into()))),
        (Verdict::Hold, Some("cool_down".into()))
    );
}

#[test]
fn a_layer_planned_at_nothing_that_has_the_candidate_does_not_open() {
    let (_, mut analysis) = healthy();
    let idle = state("early", 0.0, analysis.stages[0].start);
    analysis.stages[0].ratio = Ratio::ZERO;
    assert_eq!(
        decided(&plan(""), &idle, Some(&analysis)).verdict,
        Verdict::Promote
    );
    analysis.stages[0].users.leaked = 500;
    assert_eq!(
        decided(&plan(""), &idle, Some(&analysis))
            .first_blocking
            .as_deref(),
        Some("leak")
    );
}
