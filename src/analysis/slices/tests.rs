use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::*;
use crate::metric::Better;
use crate::scenario::Action;
use crate::stats::difference::Estimate;
use crate::stats::effect::{EffectMethod, IntervalSpec, Look, difference};
use crate::stats::{Reason, sequential};

const ALPHA: f64 = 0.05;
const MARGIN: f64 = 0.02;
const N_SLICES: usize = 20;
const N_LOOKS: usize = 8;
/// Rows of each arm of a slice at each look.
const N_ROWS: f64 = 600.0;
const RATE: f64 = 0.8;

fn guardrails() -> Vec<Guardrail> {
    let guardrail = |metric: &str| Guardrail {
        metric: metric.into(),
        rule: GuardrailRule::Margin(MARGIN),
        min_margin: None,
        mde: None,
        limit: None,
        action: Action::Rollback,
    };
    vec![guardrail("task_completion_rate"), guardrail("availability")]
}

/// The runs of which some slice without harm is violated at some look, and those in which a slice
/// that loses `loss` is violated at the last look. Slice 0 loses it on both guardrails.
fn violations(n_runs: u64, loss: f64) -> (u64, u64) {
    let guardrails = guardrails();
    let (mut n_false, mut n_found) = (0, 0);
    for run in 0..n_runs {
        let mut rng = ChaCha8Rng::seed_from_u64(run);
        let mut sums = vec![[0.0; 2]; N_SLICES * guardrails.len()];
        let mut is_false = false;
        for look in 1..=N_LOOKS {
            for (idx, arms) in sums.iter_mut().enumerate() {
                for (arm, sum) in arms.iter_mut().enumerate() {
                    let is_harmed = idx / guardrails.len() == 0 && arm == 1;
                    let rate = if is_harmed { RATE - loss } else { RATE };
                    let noise: f64 = rng.sample(StandardNormal);
                    *sum += N_ROWS * rate + (N_ROWS * RATE * (1.0 - RATE)).sqrt() * noise;
                }
            }
            let n = N_ROWS * look as f64;
            let inputs_at = |n_together: usize| -> Vec<GuardrailInput> {
                let levels = IntervalSpec {
                    alpha: ALPHA / n_together as f64,
                    v_star: sequential::v_star_for(MARGIN),
                };
                let estimate = |sum: f64| Estimate {
                    estimate: sum / n,
                    std_error: (RATE * (1.0 - RATE) / n).sqrt(),
                    df: 200.0,
                };
                let input = |[old, new]: &[f64; 2]| {
                    let effect = difference(
                        estimate(*old),
                        estimate(*new),
                        levels,
                        EffectMethod::ClusterRobust,
                    );
                    GuardrailInput {
                        better: Better::Higher,
                        effect: Ok(Look::at(&effect, true)),
                        candidate_events: None,
                        candidate: Err(Reason::NoData),
                    }
                };
                sums.iter().map(input).collect()
            };
            let findings = judge_together(&guardrails, N_SLICES, ALPHA, inputs_at);
            let is_violated = |finding: &GuardrailFinding| finding.judged.verdict == HarmVerdict::Violated;
            let n_harmed = if loss > 0.0 { guardrails.len() } else { 0 };
            is_false |= findings[n_harmed..].iter().any(is_violated);
            if look == N_LOOKS {
                n_found += u64::from(findings[..guardrails.len()].iter().any(is_violated));
            }
        }
        n_false += u64::from(is_false);
    }
    (n_false, n_found)
}

/// Twenty slices with two guardrails each and eight looks: some slice is blamed in at most alpha of
/// the runs, although each comparison is made 320 times.
#[test]
fn slices_without_harm_are_rarely_violated() {
    let n_runs = 300;
    let (n_false, _) = violations(n_runs, 0.0);
    // Three standard errors above alpha.
    let most = ALPHA + 3.0 * (ALPHA * (1.0 - ALPHA) / n_runs as f64).sqrt();
    assert!(n_false as f64 <= most * n_runs as f64, "{n_false} of {n_runs}");
}

#[test]
fn a_slice_that_loses_nine_points_is_found() {
    let n_runs = 60;
    let (n_false, n_found) = violations(n_runs, 0.09);
    assert!(n_found >= n_runs * 95 / 100, "{n_found} of {n_runs}");
    assert!(n_false <= n_runs / 10, "{n_false} of {n_runs}");
}

#[test]
fn limits_count_as_claims_and_counts_do_not() {
    let look = Look {
        control: 0.8,
        effect_size: 0.0,
        interval: crate::stats::Interval::around(0.0, 0.01),
        p_value: 1.0,
    };
    let check = |rule, limit, effect, expected: usize| {
        let guardrail = Guardrail {
            rule,
            limit,
            ..guardrails().remove(0)
        };
        let input = GuardrailInput {
            better: Better::Higher,
            effect,
            candidate_events: Some(1.0),
            candidate: Ok((0.8, crate::stats::Interval::around(0.8, 0.01))),
        };
        assert_eq!(n_claims(&guardrail, &input), expected);
    };
    check(GuardrailRule::Margin(0.1), None, Ok(look), 1);
    check(GuardrailRule::Margin(0.1), Some(0.5), Ok(look), 2);
    check(GuardrailRule::Margin(0.1), None, Err(Reason::NoData), 0);
    check(GuardrailRule::MaxCount(0), None, Ok(look), 0);
}
