//! The decision: plan, state and evidence in, verdict with its reasons out. The schedule and everything that simulates it call this
//! function; there is no second copy of the policy.

use serde::{Deserialize, Serialize};

use super::state::LayerState;
use crate::{
    analysis::{LayerAnalysis, StageAnalysis},
    bucket::Ratio,
    qos::{GuardrailFinding, QosArm},
    scenario::{DecisionPolicy, Layer, Plan, Policy, Sequential},
    stats::{Interval, Known, Reason, non_inferiority::HarmVerdict},
    time::{self, HOUR, Micros},
};

/// What to do with a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// To the next step.
    Promote,
    /// Stay.
    Hold,
    /// Back to 0.
    Rollback,
    /// Not enough evidence; stay.
    Inconclusive,
    /// The data cannot be trusted; stay.
    Invalid,
}

impl Verdict {
    /// The word of documents and scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
            Self::Inconclusive => "inconclusive",
            Self::Invalid => "invalid",
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing against promotion.
    Pass,
    /// The verdict follows from this check, if no earlier one blocked.
    Block(Verdict),
    /// Does not apply.
    NotApplicable,
}

/// One step of a decision's trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which check: `guardrail:complaint_rate`, `dwell` ...
    pub check: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What was looked at.
    pub value: Option<f64>,
    /// Its interval, as the policy looks at it.
    pub interval: Option<Interval>,
    /// What it was held against.
    pub limit: Option<f64>,
    /// The same for people.
    pub detail: String,
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// The ratio from now on.
    pub next_ratio: Ratio,
    /// The first check that kept the layer from being promoted; `None` when it is promoted.
    pub first_blocking: Option<String>,
    /// That check's detail, or why it is promoted.
    pub reason: String,
    /// When looking again can first change the verdict, microseconds.
    pub earliest_next: Micros,
    /// Every check, in order.
    pub trace: Vec<Check>,
}

/// What a layer's decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The layer in the plan.
    pub layer: &'a Layer,
    /// Where it stands.
    pub state: &'a LayerState,
    /// Where the tenant's layers stand, in plan order.
    pub tenant_states: &'a [LayerState],
    /// What is known; `None` when the log says nothing of the layer.
    pub evidence: Option<&'a LayerAnalysis>,
    /// Share of the log's rows in another release than bucket and ratio say; 0 where that cannot be recomputed.
    pub misassigned: f64,
    /// Now.
    pub as_of: Micros,
}

/// Decides one layer. Checks run in order, all of them are traced, and the first that blocks gives the verdict:
/// guardrails violated -> rollback; sample ratio, leak, users in both arms, users in the wrong arm -> invalid; QoS below the floor ->
/// rollback; end of the ladder, too few users, dwell -> hold; a guardrail unclear or QoS not known -> inconclusive; QoS against its
/// threshold. Else promote.
///
/// # References
/// SPEC section 3; METHODS sections 4 and 5.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let trace = if situation.state.ratio == Ratio::ZERO {
        opening_checks(situation)
    } else {
        match current_stage(situation) {
            Err(check) => vec![check],
            Ok(stage) if situation.plan.policy.decision == DecisionPolicy::Point => point_checks(situation, stage),
            Ok(stage) => interval_checks(situation, stage),
        }
    };
    conclude(situation, trace)
}

fn conclude(situation: &Situation<'_>, trace: Vec<Check>) -> Decision {
    let (state, layer) = (situation.state, situation.layer);
    let blocking = trace.iter().find_map(|check| match check.outcome {
        Outcome::Block(verdict) => Some((verdict, check)),
        _ => None,
    });
    let next_step = layer.next_step(state.ratio).unwrap_or(state.ratio);
    let (verdict, first_blocking, reason) = match blocking {
        Some((verdict, check)) => (verdict, Some(check.check.clone()), check.detail.clone()),
        None => (Verdict::Promote, None, format!("every check passed: {} to {next_step}", state.ratio)),
    };
    let next_ratio = match verdict {
        Verdict::Promote => next_step,
        Verdict::Rollback => Ratio::ZERO,
        Verdict::Hold | Verdict::Inconclusive | Verdict::Invalid => state.ratio,
    };
    // A verdict can change with the next window's rows, but nothing goes up before the dwell is over.
    let next_window = situation.as_of + situation.plan.window;
    let earliest_next = if first_blocking.as_deref() == Some("dwell") { (state.since + layer.dwell).max(next_window) } else { next_window };
    Decision { verdict, next_ratio, first_blocking, reason, earliest_next, trace }
}

/// A layer that nobody has yet: it opens when the layers before it are full and it was not rolled back with this release.
fn opening_checks(situation: &Situation<'_>) -> Vec<Check> {
    let Situation { plan, layer, state, tenant_states, as_of, .. } = situation;
    let mut trace = Vec::new();
    // Nobody should have the candidate: who has it all the same shows that production does not follow the schedule.
    if let Ok(stage) = current_stage(situation) {
        trace.push(leak(&plan.policy, stage));
    }
    if let Some((at, release)) = &state.rolled_back {
        let same = *release == plan.candidate;
        trace.push(check(
            "new_release",
            if same { Outcome::Block(Verdict::Hold) } else { Outcome::Pass },
            if same {
                format!("rolled back at {} with this release; it opens again with a new one", time::format(*at))
            } else {
                format!("{release} was rolled back; {} is a new release", plan.candidate)
            },
        ));
        let until = at + plan.policy.cool_down;
        trace.push(check(
            "cool_down",
            if *as_of < until { Outcome::Block(Verdict::Hold) } else { Outcome::Pass },
            format!("cool-down after the rollback ends at {}", time::format(until)),
        ));
    }
    let waiting: Vec<&str> =
        layer.after.iter().filter(|idx| tenant_states[**idx].ratio < Ratio::FULL).map(|idx| plan.layers[*idx].id.as_str()).collect();
    trace.push(if waiting.is_empty() {
        check("after", Outcome::Pass, "no layer has to be full first".into())
    } else {
        check("after", Outcome::Block(Verdict::Hold), format!("waits until {} full", are(&waiting)))
    });
    trace
}

/// The evidence's current stage, if it is about the ratio in force.
fn current_stage<'a>(situation: &Situation<'a>) -> Result<&'a StageAnalysis, Check> {
    let missing = |detail: String| check("evidence", Outcome::Block(Verdict::Inconclusive), detail);
    let stage = situation.evidence.and_then(LayerAnalysis::current).ok_or_else(|| missing("the log says nothing of this layer".into()))?;
    if stage.ratio != situation.state.ratio || stage.start != situation.state.since {
        return Err(missing(format!(
            "the evidence is about {} since {}, but {} is in force since {}",
            stage.ratio,
            time::format(stage.start),
            situation.state.ratio,
            time::format(situation.state.since)
        )));
    }
    Ok(stage)
}

/// The source document's rule to the letter: the point alone decides, every time it is looked at.
fn point_checks(situation: &Situation<'_>, stage: &StageAnalysis) -> Vec<Check> {
    let (policy, layer) = (&situation.plan.policy, situation.layer);
    let mut trace = Vec::new();
    trace.push(match &stage.qos.candidate {
        Known::Unknown { reason } => check("qos", Outcome::Block(Verdict::Inconclusive), format!("QoS is not known: {reason}")),
        Known::Value(qos) => {
            let (outcome, detail) = if qos.point < policy.qos_floor {
                (Outcome::Block(Verdict::Rollback), format!("QoS {:.4} is below {}", qos.point, policy.qos_floor))
            } else if qos.point < layer.qos_threshold {
                (Outcome::Block(Verdict::Hold), format!("QoS {:.4} is below {}", qos.point, layer.qos_threshold))
            } else {
                (Outcome::Pass, format!("QoS {:.4} reaches {}", qos.point, layer.qos_threshold))
            };
            Check { value: Some(qos.point), limit: Some(layer.qos_threshold), ..check("qos", outcome, detail) }
        }
    });
    trace.push(ladder_end(situation));
    trace
}

fn interval_checks(situation: &Situation<'_>, stage: &StageAnalysis) -> Vec<Check> {
    let mut trace: Vec<Check> = stage.guardrails.iter().map(violation).collect();
    trace.push(sample_ratio(&situation.plan.policy, stage));
    trace.push(leak(&situation.plan.policy, stage));
    trace.push(crossover(&situation.plan.policy, stage));
    trace.push(assignment(situation));
    trace.push(qos_floor(&situation.plan.policy, stage));
    trace.push(ladder_end(situation));
    trace.push(min_users(situation.layer, stage));
    trace.push(dwell(situation));
    trace.extend(stage.guardrails.iter().map(|finding| clearance(finding, stage.ratio)));
    trace.push(qos_threshold(&situation.plan.policy, situation.layer, stage));
    trace
}

fn violation(finding: &GuardrailFinding) -> Check {
    let outcome = match (finding.verdict, finding.reason) {
        (HarmVerdict::Violated, _) => Outcome::Block(Verdict::Rollback),
        (_, Some(_)) => Outcome::NotApplicable,
        _ => Outcome::Pass,
    };
    guardrail_check("guardrail", finding, outcome)
}

/// What promotion needs of a guardrail: to be safe, not just not violated. At ratio 1 there is nothing to compare with.
fn clearance(finding: &GuardrailFinding, ratio: Ratio) -> Check {
    let outcome = match finding.verdict {
        HarmVerdict::Safe | HarmVerdict::Violated => Outcome::Pass,
        HarmVerdict::Unclear if ratio == Ratio::FULL && finding.reason == Some(Reason::NoConcurrentControl) => Outcome::NotApplicable,
        HarmVerdict::Unclear => Outcome::Block(Verdict::Inconclusive),
    };
    guardrail_check("clear", finding, outcome)
}

fn guardrail_check(kind: &str, finding: &GuardrailFinding, outcome: Outcome) -> Check {
    let word = match finding.verdict {
        HarmVerdict::Safe => "safe",
        HarmVerdict::Unclear => "unclear",
        HarmVerdict::Violated => "violated",
    };
    let detail = match (finding.harm, finding.interval, finding.margin, finding.reason) {
        (Some(harm), Some(interval), Some(margin), _) => format!(
            "{} {word}: harm {} in [{}, {}], margin {}",
            finding.metric,
            short(harm),
            short(interval.ci_lower),
            short(interval.ci_upper),
            short(margin)
        ),
        (_, _, _, Some(reason)) => format!("{} {word}: {reason}", finding.metric),
        _ => format!("{} {word}", finding.metric),
    };
    Check {
        check: format!("{kind}:{}", finding.metric),
        outcome,
        value: finding.harm,
        interval: finding.interval,
        limit: finding.margin,
        detail,
    }
}

fn sample_ratio(policy: &Policy, stage: &StageAnalysis) -> Check {
    let Some(srm) = &stage.srm else {
        return check("srm", Outcome::NotApplicable, "one arm was planned alone: no sample ratio to test".into());
    };
    let alarm = srm.p_value < policy.srm_alpha;
    let low_impact = srm.max_abs_deviation < policy.srm_min_deviation;
    let outcome = if alarm && !low_impact { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    let note = if alarm && low_impact { ", low impact" } else { "" };
    Check {
        value: Some(srm.p_value),
        limit: Some(policy.srm_alpha),
        ..check(
            "srm",
            outcome,
            format!("sample ratio: p = {}, deviation {:.2} points{note}", short(srm.p_value), srm.max_abs_deviation * 100.0),
        )
    }
}

fn leak(policy: &Policy, stage: &StageAnalysis) -> Check {
    let users = &stage.users;
    let total = (users.baseline + users.candidate + users.crossover).max(1);
    let share = users.leaked as f64 / total as f64;
    let outcome = if share >= policy.srm_min_deviation && users.leaked > 0 { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    Check {
        value: Some(share),
        limit: Some(policy.srm_min_deviation),
        ..check("leak", outcome, format!("{} users in an arm planned at 0", users.leaked))
    }
}

/// Users seen in both arms of a stage: placement is not sticky, and the arms are not independent.
fn crossover(policy: &Policy, stage: &StageAnalysis) -> Check {
    let users = &stage.users;
    let share = users.crossover as f64 / (users.baseline + users.candidate + users.crossover).max(1) as f64;
    let outcome = if share > policy.max_crossover { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    Check {
        value: Some(share),
        limit: Some(policy.max_crossover),
        ..check("crossover", outcome, format!("{} users seen in both releases", users.crossover))
    }
}

/// Share of rows in the wrong release above which the placement of users is broken.
pub(crate) const MAX_MISASSIGNED: f64 = 0.001;

fn assignment(situation: &Situation<'_>) -> Check {
    if !situation.plan.profile.is_recomputable() {
        return check("assignment", Outcome::NotApplicable, "placement cannot be recomputed".into());
    }
    let outcome = if situation.misassigned > MAX_MISASSIGNED { Outcome::Block(Verdict::Invalid) } else { Outcome::Pass };
    let detail = format!("{:.3}% of all rows in another release than bucket and ratio say", situation.misassigned * 100.0);
    Check { value: Some(situation.misassigned), limit: Some(MAX_MISASSIGNED), ..check("assignment", outcome, detail) }
}

fn qos_floor(policy: &Policy, stage: &StageAnalysis) -> Check {
    let Some(qos) = stage.qos.candidate.value() else {
        return check("qos_floor", Outcome::NotApplicable, "QoS is not known".into());
    };
    let interval = looked_at(policy, qos);
    let below = interval.ci_upper < policy.qos_floor;
    let outcome = if below { Outcome::Block(Verdict::Rollback) } else { Outcome::Pass };
    let word = if below { "below" } else { "not below" };
    Check {
        value: Some(qos.value.qos),
        interval: Some(interval),
        limit: Some(policy.qos_floor),
        ..check("qos_floor", outcome, format!("QoS {} is {word} the floor {}", show(qos.value.qos, interval), policy.qos_floor))
    }
}

fn ladder_end(situation: &Situation<'_>) -> Check {
    match situation.layer.next_step(situation.state.ratio) {
        Some(next) => check("ladder", Outcome::Pass, format!("next step {next}")),
        None => check("ladder", Outcome::Block(Verdict::Hold), "at the end of its ladder; still watched".into()),
    }
}

fn min_users(layer: &Layer, stage: &StageAnalysis) -> Check {
    let outcome = if stage.users.candidate < layer.min_users { Outcome::Block(Verdict::Hold) } else { Outcome::Pass };
    Check {
        value: Some(stage.users.candidate as f64),
        limit: Some(layer.min_users as f64),
        ..check("min_users", outcome, format!("{} of at least {} users exposed", stage.users.candidate, layer.min_users))
    }
}

fn dwell(situation: &Situation<'_>) -> Check {
    let held = situation.as_of - situation.state.since;
    let hours = |micros: Micros| micros as f64 / HOUR as f64;
    let outcome = if held < situation.layer.dwell { Outcome::Block(Verdict::Hold) } else { Outcome::Pass };
    Check {
        value: Some(hours(held)),
        limit: Some(hours(situation.layer.dwell)),
        ..check("dwell", outcome, format!("{} h of {} h at {}", hours(held), hours(situation.layer.dwell), situation.state.ratio))
    }
}

fn qos_threshold(policy: &Policy, layer: &Layer, stage: &StageAnalysis) -> Check {
    let threshold = layer.qos_threshold;
    match &stage.qos.candidate {
        Known::Unknown { reason } => check("qos", Outcome::Block(Verdict::Inconclusive), format!("QoS is not known: {reason}")),
        Known::Value(qos) => {
            let interval = looked_at(policy, qos);
            let (outcome, word) = if interval.ci_lower >= threshold {
                (Outcome::Pass, "reaches")
            } else if interval.ci_upper < threshold {
                (Outcome::Block(Verdict::Hold), "is below")
            } else {
                (Outcome::Block(Verdict::Inconclusive), "may be below")
            };
            Check {
                value: Some(qos.value.qos),
                interval: Some(interval),
                limit: Some(threshold),
                ..check("qos", outcome, format!("QoS {} {word} {threshold}", show(qos.value.qos, interval)))
            }
        }
    }
}

fn looked_at(policy: &Policy, qos: &QosArm) -> Interval {
    match policy.sequential {
        Sequential::Anytime => qos.anytime,
        Sequential::Fixed => qos.ci,
    }
}

pub(super) fn check(name: &str, outcome: Outcome, detail: String) -> Check {
    Check { check: name.to_owned(), outcome, value: None, interval: None, limit: None, detail }
}

fn show(value: f64, interval: Interval) -> String {
    format!("{value:.4} in [{:.4}, {:.4}]", interval.ci_lower, interval.ci_upper)
}

/// Four significant digits, plain where that is short.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if (-5..6).contains(&magnitude) { format!("{value:.*}", (3 - magnitude).max(0) as usize) } else { format!("{value:.3e}") }
}

fn are(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        many => format!("{} are", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analysis::{ArmRows, LatencyAnalysis, QosStage, UserCounts},
        qos::{QosMethod, Rates},
        scenario::{GuardrailRule, Overrides, Scenario},
        stats::srm::SrmTest,
    };
    use std::path::Path;

    const NOW: Micros = 100 * HOUR;

    fn plan(policy: &str) -> Plan {
        let text = format!(
            r#"
            as_of = "2026-01-10"
            plan = {{ id = "p", start = "1970-01-01", baseline = "a", candidate = "b" }}
            input = {{ users_from_traffic = true, traffic = [{{ path = "t.csv" }}] }}
            policy = {{ {policy} }}
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
        Scenario::parse(&text, "test", Path::new(""), &Overrides::default()).unwrap().plan
    }

    /// A layer at 10 % for 50 hours with 1000 exposed users, good QoS and one safe guardrail.
    fn healthy() -> (LayerState, LayerAnalysis) {
        let since = NOW - 50 * HOUR;
        let unknown = Reason::NoConcurrentControl;
        let stage = StageAnalysis {
            start: since,
            end: NOW,
            ratio: Ratio::try_from_share(0.1).unwrap(),
            users: UserCounts { baseline: 9_000, candidate: 1_000, crossover: 0, leaked: 0 },
            rows: ArmRows { baseline: 90_000, candidate: 10_000 },
            srm: Some(SrmTest { statistic: 0.0, df: 1.0, p_value: 1.0, max_abs_deviation: 0.0 }),
            metrics: Vec::new(),
            latency_p95_ms: LatencyAnalysis {
                baseline: Known::Unknown { reason: unknown },
                candidate: Known::Unknown { reason: unknown },
                effect: Known::Unknown { reason: unknown },
            },
            qos: QosStage { baseline: qos(0.8), candidate: qos(0.85), effect: Known::Unknown { reason: unknown } },
            guardrails: vec![guardrail(HarmVerdict::Safe, None)],
        };
        let analysis = LayerAnalysis {
            tenant: "default".into(),
            layer: "early".into(),
            n_users: 20_000,
            n_eligible: 20_000,
            n_exposed: 1_000,
            stages: vec![stage],
            srm: None,
            combined: Vec::new(),
            series: Vec::new(),
        };
        (state("early", 0.1, since), analysis)
    }

    fn state(layer: &str, ratio: f64, since: Micros) -> LayerState {
        LayerState { tenant: "default".into(), layer: layer.into(), ratio: Ratio::try_from_share(ratio).unwrap(), since, rolled_back: None }
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
        let parts = crate::qos::Qos { u: value, t: value, b: value, qos: value };
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
            verdict,
            harm: None,
            interval: None,
            margin: None,
            p_value: None,
            p_value_adj: None,
            reason,
        }
    }

    fn decided(plan: &Plan, state: &LayerState, evidence: Option<&LayerAnalysis>) -> Decision {
        let states = [state.clone(), self::state("vip", 0.0, 0)];
        decide(&Situation { plan, layer: &plan.layers[0], state, tenant_states: &states, evidence, misassigned: 0.0, as_of: NOW })
    }

    /// Changes the healthy layer and checks verdict and first blocking check.
    fn check(change: impl Fn(&mut LayerState, &mut StageAnalysis), verdict: Verdict, blocking: Option<&str>) {
        check_under("", change, verdict, blocking);
    }

    fn check_under(policy: &str, change: impl Fn(&mut LayerState, &mut StageAnalysis), verdict: Verdict, blocking: Option<&str>) {
        let (mut state, mut analysis) = healthy();
        change(&mut state, &mut analysis.stages[0]);
        let decision = decided(&plan(policy), &state, Some(&analysis));
        assert_eq!((decision.verdict, decision.first_blocking.as_deref()), (verdict, blocking), "{decision:#?}");
        let expected = match verdict {
            Verdict::Promote => 0.5,
            Verdict::Rollback => 0.0,
            _ => state.ratio.share(),
        };
        assert_eq!(decision.next_ratio.share(), expected);
    }

    #[test]
    fn each_check_gives_its_verdict() {
        check(|_, _| {}, Verdict::Promote, None);
        check(|_, s| s.guardrails = vec![guardrail(HarmVerdict::Violated, None)], Verdict::Rollback, Some("guardrail:complaint_rate"));
        check(|_, s| s.guardrails = vec![guardrail(HarmVerdict::Unclear, None)], Verdict::Inconclusive, Some("clear:complaint_rate"));
        check(
            |_, s| s.srm = Some(SrmTest { statistic: 99.0, df: 1.0, p_value: 1e-9, max_abs_deviation: 0.02 }),
            Verdict::Invalid,
            Some("srm"),
        );
        check(|_, s| s.srm = Some(SrmTest { statistic: 99.0, df: 1.0, p_value: 1e-9, max_abs_deviation: 1e-4 }), Verdict::Promote, None);
        check(|_, s| s.users.leaked = 500, Verdict::Invalid, Some("leak"));
        check(|_, s| s.users.crossover = 500, Verdict::Invalid, Some("crossover"));
        check(|_, s| s.qos.candidate = qos(0.5), Verdict::Rollback, Some("qos_floor"));
        check(|_, s| s.users.candidate = 99, Verdict::Hold, Some("min_users"));
        check(|_, s| s.qos.candidate = Known::Unknown { reason: Reason::NoData }, Verdict::Inconclusive, Some("qos"));
        check(|_, s| s.qos.candidate = qos(0.81), Verdict::Inconclusive, Some("qos"));
        check(|_, s| s.qos.candidate = qos(0.75), Verdict::Hold, Some("qos"));
        let young = |state: &mut LayerState, stage: &mut StageAnalysis| {
            state.since = NOW - 47 * HOUR;
            stage.start = state.since;
        };
        check(young, Verdict::Hold, Some("dwell"));
        check(|state, _| state.since += HOUR, Verdict::Inconclusive, Some("evidence"));
        check_under("sequential = \"fixed\"", |_, s| s.qos.candidate = qos(0.825), Verdict::Promote, None);
    }

    #[test]
    fn protective_checks_come_before_the_sample_is_large_enough() {
        let tiny_and_bad = |_: &mut LayerState, stage: &mut StageAnalysis| {
            stage.users.candidate = 5;
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
    fn the_point_policy_is_the_source_document_s_rule() {
        let point = "decision = \"point\"";
        check_under(point, |_, s| s.qos.candidate = qos(0.8), Verdict::Promote, None);
        check_under(point, |_, s| s.qos.candidate = qos(0.7999), Verdict::Hold, Some("qos"));
        check_under(point, |_, s| s.qos.candidate = qos(0.5999), Verdict::Rollback, Some("qos"));
        let full = |state: &mut LayerState, stage: &mut StageAnalysis| {
            state.ratio = Ratio::FULL;
            stage.ratio = Ratio::FULL;
            stage.qos.candidate = qos(0.59);
        };
        check_under(point, full, Verdict::Rollback, Some("qos"));
        // Neither guardrails nor users nor dwell keep it.
        check_under(point, |_, s| s.users.candidate = 1, Verdict::Promote, None);
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
                misassigned: 0.0,
                as_of: NOW,
            });
            (decision.verdict, decision.first_blocking)
        };
        assert_eq!(vip(0.5, None), (Verdict::Hold, Some("after".into())));
        assert_eq!(vip(1.0, None), (Verdict::Promote, None));
        assert_eq!(vip(1.0, Some((0, "b".into()))), (Verdict::Hold, Some("new_release".into())));
        assert_eq!(vip(1.0, Some((0, "older".into()))), (Verdict::Promote, None));
        assert_eq!(vip(1.0, Some((NOW - HOUR, "older".into()))), (Verdict::Hold, Some("cool_down".into())));
    }

    #[test]
    fn a_layer_planned_at_nothing_that_has_the_candidate_does_not_open() {
        let (_, mut analysis) = healthy();
        let idle = state("early", 0.0, analysis.stages[0].start);
        analysis.stages[0].ratio = Ratio::ZERO;
        assert_eq!(decided(&plan(""), &idle, Some(&analysis)).verdict, Verdict::Promote);
        analysis.stages[0].users.leaked = 500;
        assert_eq!(decided(&plan(""), &idle, Some(&analysis)).first_blocking.as_deref(), Some("leak"));
    }
}
