//! One decision of a layer, from the plan, the state of the layer and the evidence of its stage.

use sluice::analysis::UserCounts;
use sluice::base::time::HOUR;
use sluice::qos::Judged;
use sluice::ramp::{
    QosEvidence, RampState, Situation, SliceEvidence, SrmEvidence, StageEvidence, Verdict, decide,
};
use sluice::scenario::{Overrides, Scenario};
use sluice::stats::Interval;
use sluice::stats::non_inferiority::HarmVerdict;
use std::path::Path;

const SCENARIO: &str = r#"
as_of = "2026-05-29"
guardrail = [{ metric = "complaint_rate", margin = 0.001 }]
operation = [{ at = "2026-05-25", layer = "early", ratio = 0.1 }]
[plan]
id = "new-agent"
start = "2026-05-25"
baseline = "agent-1"
candidate = "agent-2"
[input]
users_from_traffic = true
traffic = [{ path = "turns.parquet" }]
[[layer]]
id = "early"
ladder = [0.1, 0.5, 1.0]
dwell_hours = 72
"#;

#[expect(clippy::print_stdout, reason = "the result of the example")]
fn main() {
    let scenario =
        Scenario::parse(SCENARIO, "example", Path::new(""), &Overrides::default()).expect("a legal scenario");
    let (plan, as_of) = (&scenario.plan, scenario.as_of);
    let state = RampState::from_plan(plan, &["default".to_owned()], as_of);
    let layer_state = &state.layers[0];

    // Ten per cent of 10,000 users have had the candidate for four days.
    let quality = Interval::around(0.86, 0.02);
    let evidence = StageEvidence {
        start: layer_state.since,
        ratio: layer_state.ratio,
        users: UserCounts {
            baseline: 9_000,
            candidate: 1_000,
            crossover: 0,
            leaked: 0,
        },
        srm: SrmEvidence::new([9_000.0, 1_000.0], layer_state.ratio.share(), &plan.policy),
        qos: Ok(QosEvidence {
            qos: 0.86,
            point: 0.86,
            ci: quality,
            anytime: quality,
        }),
        guardrails: vec![Judged {
            verdict: HarmVerdict::Safe,
            harm: Some(0.0001),
            interval: Some(Interval::around(0.0001, 0.0007)),
            margin: Some(0.001),
            takes_min_margin: false,
            p_value: Some(0.8),
            p_value_adj: Some(0.8),
            reason: None,
            gate: None,
        }],
        own_past: Vec::new(),
        slices: SliceEvidence::default(),
    };
    let situation = Situation {
        plan,
        layer: &plan.layers[0],
        state: layer_state,
        tenant_states: &state.layers,
        evidence: Some(&evidence),
        stage: None,
        coverage: None,
        misassigned: 0.0,
        as_of,
    };

    let decision = decide(&situation);
    println!("{}: {}", decision.verdict.name(), decision.reason);
    assert_eq!(decision.verdict, Verdict::Promote);
    assert_eq!(decision.next_ratio.share(), 0.5);

    // A day earlier the ratio has not held for its 72 hours.
    let decision = decide(&Situation {
        as_of: as_of - 30 * HOUR,
        ..situation
    });
    println!("{}: {}", decision.verdict.name(), decision.reason);
    assert_eq!(decision.first_blocking.as_deref(), Some("dwell"));
}
