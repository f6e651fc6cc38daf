//! Decisions of a layer: with all checks and texts, and only the verdict.

use criterion::{Criterion, Throughput};
use sluice::analysis::UserCounts;
use sluice::base::time::DAY;
use sluice::qos::Judged;
use sluice::ramp::{
    QosEvidence, RampState, Situation, SliceEvidence, SrmEvidence, StageEvidence, Verdict, conclude, decide,
};
use sluice::scenario::{Overrides, Scenario};
use sluice::stats::Interval;
use sluice::stats::non_inferiority::HarmVerdict;
use std::hint::black_box;
use std::path::Path;

fn judged(verdict: HarmVerdict, harm: f64) -> Judged {
    Judged {
        verdict,
        harm: Some(harm),
        interval: Some(Interval::around(harm, 0.0007)),
        margin: Some(0.001),
        takes_min_margin: false,
        p_value: Some(0.8),
        p_value_adj: Some(0.8),
        reason: None,
        gate: None,
    }
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let text = include_str!("../../scenarios/ecommerce.toml");
    let scenario = Scenario::parse(text, "ecommerce.toml", Path::new(""), &Overrides::default()).unwrap();
    let plan = &scenario.plan;
    let mut state = RampState::from_plan(plan, &["default".to_owned()], scenario.as_of);
    // The layer of early adopters, at the first step of its ladder.
    let layer = &plan.layers[1];
    state.layers[1].ratio = layer.ladder[0];
    state.layers[1].since = plan.start;
    let quality = Interval::around(0.95, 0.02);
    let n_guardrails = plan.guardrails.len();
    let evidence = |verdict, harm| StageEvidence {
        start: plan.start,
        ratio: layer.ladder[0],
        users: UserCounts {
            baseline: 90_000,
            candidate: 10_000,
            crossover: 0,
            leaked: 0,
        },
        srm: SrmEvidence::new([90_000.0, 10_000.0], 0.1, &plan.policy),
        qos: Ok(QosEvidence {
            qos: 0.95,
            point: 0.95,
            ci: quality,
            anytime: quality,
        }),
        guardrails: vec![judged(verdict, harm); n_guardrails],
        own_past: Vec::new(),
        slices: SliceEvidence::default(),
    };
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    for (name, verdict, harm, expected) in [
        ("all_pass", HarmVerdict::Safe, 0.0001, Verdict::Promote),
        ("first_blocks", HarmVerdict::Violated, 0.01, Verdict::Rollback),
    ] {
        let evidence = evidence(verdict, harm);
        let situation = Situation {
            plan,
            layer,
            state: &state.layers[1],
            tenant_states: &state.layers,
            evidence: Some(&evidence),
            stage: None,
            coverage: None,
            misassigned: 0.0,
            as_of: plan.start + 30 * DAY,
        };
        assert_eq!(conclude(&situation).verdict, expected, "{name}");
        group.bench_function(format!("{n_guardrails}_guardrails_{name}_texts"), |bencher| {
            bencher.iter(|| decide(black_box(&situation)));
        });
        group.bench_function(format!("{n_guardrails}_guardrails_{name}_verdict"), |bencher| {
            bencher.iter(|| black_box(conclude(black_box(&situation))));
        });
    }
    group.finish();
}
