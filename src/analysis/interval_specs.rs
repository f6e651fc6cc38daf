//! The settings that an analysis takes from the plan alone: error levels, the effect sizes that
//! intervals are tuned to detect, and the inputs of guardrails.

use crate::analysis::document::{LatencyAnalysis, MetricAnalysis, MetricArm};
use crate::base::error::Result;
use crate::bucket::Ratio;
use crate::metric::{Better, Metric};
use crate::qos::{GuardrailInput, QosArm};
use crate::scenario::{Guardrail, LATENCY_P95, Scenario};
use crate::stats::difference::Estimate;
use crate::stats::effect::{Effect, EffectMethod, IntervalSpec, Look};
use crate::stats::ratio::RatioEstimate;
use crate::stats::{Interval, Reason, effect, sequential};

/// The effect size that intervals are tuned to detect by default, as a share of the control's
/// value.
pub(super) const DEFAULT_RELATIVE_MDE: f64 = 0.05;

/// The effect size that a metric's intervals are tuned to detect: the guardrail's margin, else a
/// twentieth of the control's value. If the control's value is 0, the value of both arms together
/// takes its place.
pub(crate) fn tuned_for(guardrail: Option<&Guardrail>, control: f64, pooled: f64) -> f64 {
    let value = if control == 0.0 { pooled } else { control };
    let margin = guardrail
        .and_then(|guardrail| guardrail.margin(value))
        .filter(|margin| *margin > 0.0);
    let value = if value == 0.0 { 1.0 } else { value.abs() };
    margin.unwrap_or(DEFAULT_RELATIVE_MDE * value)
}

/// The error levels of a scenario.
#[derive(Clone, Copy)]
pub(crate) struct IntervalSpecs<'a> {
    scenario: &'a Scenario,
    /// The number of intervals that hold all together at the policy's level. 1 for intervals that
    /// hold one by one.
    n_together: f64,
}

impl<'a> IntervalSpecs<'a> {
    /// The error levels of intervals that hold one by one.
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            n_together: 1.0,
        }
    }

    /// The error levels of `n` intervals that hold all together: Bonferroni's.
    pub(super) fn together(self, n: usize) -> Self {
        Self {
            n_together: n.max(1) as f64,
            ..self
        }
    }
}

impl IntervalSpecs<'_> {
    pub(super) fn alpha(self) -> f64 {
        self.scenario.plan.policy.alpha / self.n_together
    }

    /// The interval settings of a metric, tuned to its guardrail's margin, else to a twentieth of
    /// the control's value. `arms` are the baseline and the candidate; `None` without data.
    pub(super) fn levels(self, metric: &Metric, arms: Option<[&MetricArm; 2]>) -> IntervalSpec {
        let guardrail = self
            .scenario
            .plan
            .guardrails
            .iter()
            .find(|guardrail| guardrail.metric == metric.id);
        let control = arms.and_then(|[control, _]| control.estimate).unwrap_or(0.0);
        self.levels_for(guardrail, control, arms.map_or(0.0, pooled))
    }

    pub(super) fn levels_for(self, guardrail: Option<&Guardrail>, control: f64, pooled: f64) -> IntervalSpec {
        IntervalSpec {
            alpha: self.alpha(),
            v_star: sequential::v_star_for(tuned_for(guardrail, control, pooled)),
        }
    }

    /// The effect on a metric: candidate minus baseline.
    pub(super) fn metric_effect(
        self,
        metric: &Metric,
        baseline: &MetricArm,
        candidate: &MetricArm,
        ratio: Ratio,
    ) -> Result<Effect, Reason> {
        let (control, treatment) = (baseline.robust.result(), candidate.robust.result());
        concurrent(ratio)?;
        let levels = self.levels(metric, Some([baseline, candidate]));
        Ok(effect::between(&control?, &treatment?, metric.form(), levels))
    }

    /// The evidence of a guardrail in a stage, from the analysis of its metric or of latency.
    pub(super) fn guardrail_input(
        self,
        guardrail: &Guardrail,
        metrics: &[MetricAnalysis],
        latency: &LatencyAnalysis,
    ) -> GuardrailInput {
        let every = self.scenario.plan.policy.sequential.is_anytime();
        let look = |effect: Effect| Look::at(&effect, every);
        if guardrail.metric == LATENCY_P95 {
            let candidate = latency.candidate.result().map(|q| {
                let interval = if every {
                    let levels = self.levels_for(Some(guardrail), q.estimate, q.estimate);
                    let mixture = levels.mixture(q.std_error.powi(2), q.df);
                    Interval::around(q.estimate, mixture.multiplier(levels.alpha) * q.std_error).union(q.ci)
                } else {
                    q.ci
                };
                (q.estimate, interval)
            });
            return GuardrailInput {
                better: Better::Lower,
                effect: latency.effect.result().map(look),
                candidate_events: None,
                candidate,
            };
        }
        self.metric_input(guardrail, metrics)
    }

    /// As [`Self::guardrail_input`], of a guardrail on a metric. The effect keeps the level at which
    /// it was analyzed.
    fn metric_input(self, guardrail: &Guardrail, metrics: &[MetricAnalysis]) -> GuardrailInput {
        let every = self.scenario.plan.policy.sequential.is_anytime();
        let metric = self.scenario.metric(&guardrail.metric);
        let better = metric.map_or(Better::Lower, |metric| metric.better);
        let found = metrics.iter().find(|m| m.metric == guardrail.metric);
        let (Some(metric), Some(found)) = (metric, found) else {
            return GuardrailInput {
                better,
                effect: Err(Reason::NoColumn),
                candidate_events: None,
                candidate: Err(Reason::NoColumn),
            };
        };
        let own = |r: RatioEstimate| {
            let levels = self.levels_for(Some(guardrail), r.estimate, r.estimate);
            (r.estimate, effect::own_interval(&r, metric.form(), levels, every))
        };
        GuardrailInput {
            better,
            effect: found.effect.result().map(|effect| Look::at(&effect, every)),
            candidate_events: (found.candidate.denominator > 0.0).then_some(found.candidate.numerator),
            candidate: found.candidate.robust.result().map(own),
        }
    }

    /// The evidence of a guardrail in a slice, from the metrics of the slice. The effect is computed
    /// again at the level of these settings.
    pub(super) fn slice_input(
        self,
        guardrail: &Guardrail,
        metrics: &[MetricAnalysis],
        ratio: Ratio,
    ) -> GuardrailInput {
        let every = self.scenario.plan.policy.sequential.is_anytime();
        let input = self.metric_input(guardrail, metrics);
        let metric = self.scenario.metric(&guardrail.metric);
        let found = metrics.iter().find(|found| found.metric == guardrail.metric);
        let (Some(metric), Some(found)) = (metric, found) else {
            return input;
        };
        let effect = self.metric_effect(metric, &found.baseline, &found.candidate, ratio);
        GuardrailInput {
            effect: effect.map(|effect| Look::at(&effect, every)),
            ..input
        }
    }

    /// The effect on QoS: candidate minus baseline.
    pub(super) fn qos_effect(
        self,
        baseline: Result<QosArm, Reason>,
        candidate: Result<QosArm, Reason>,
        ratio: Ratio,
    ) -> Result<Effect, Reason> {
        concurrent(ratio)?;
        let estimate = |arm: QosArm| Estimate {
            estimate: arm.value.qos,
            std_error: arm.std_error,
            df: arm.df,
        };
        let levels = IntervalSpec {
            alpha: self.alpha(),
            v_star: sequential::v_star_for(self.scenario.plan.policy.qos_mde),
        };
        Ok(effect::difference(
            estimate(baseline?),
            estimate(candidate?),
            levels,
            EffectMethod::ClusterRobust,
        ))
    }
}

/// Refuses ratios 0 and 1: one release has the whole layer, so no concurrent control exists.
pub(crate) fn concurrent(ratio: Ratio) -> Result<(), Reason> {
    if ratio == Ratio::ZERO || ratio == Ratio::FULL {
        Err(Reason::NoConcurrentControl)
    } else {
        Ok(())
    }
}

/// The value of both arms together: the summed numerators over the summed denominators. If it is 0,
/// one event in all rows; 0 without data.
fn pooled(arms: [&MetricArm; 2]) -> f64 {
    let [control, treatment] = arms;
    let denominator = control.denominator + treatment.denominator;
    let numerator = control.numerator + treatment.numerator;
    if denominator <= 0.0 {
        0.0
    } else if numerator == 0.0 {
        1.0 / denominator
    } else {
        numerator / denominator
    }
}
