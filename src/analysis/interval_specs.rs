//! The settings that an analysis takes from the plan alone: error levels, the effect sizes that
//! intervals are tuned to detect, and the inputs of guardrails.

use crate::analysis::document::{LatencyAnalysis, MetricAnalysis};
use crate::base::error::Result;
use crate::bucket::Ratio;
use crate::metric::{Better, Metric};
use crate::qos::{GuardrailInput, QosArm};
use crate::scenario::{Guardrail, LATENCY_P95, Scenario, Sequential};
use crate::stats::difference::Estimate;
use crate::stats::effect::{Effect, EffectMethod, IntervalSpec, Look};
use crate::stats::ratio::RatioEstimate;
use crate::stats::{Interval, Reason, effect, sequential};

/// The effect size that intervals are tuned to detect by default, as a share of the control's
/// value.
pub(super) const DEFAULT_RELATIVE_MDE: f64 = 0.05;

/// The effect size that a metric's intervals are tuned to detect: the guardrail's margin, else a
/// twentieth of the control's value.
pub(crate) fn tuned_for(guardrail: Option<&Guardrail>, control: f64) -> f64 {
    let share = if control == 0.0 { 1.0 } else { control.abs() };
    let margin = guardrail
        .and_then(|guardrail| guardrail.rule.margin(control))
        .filter(|margin| *margin > 0.0);
    margin.unwrap_or(DEFAULT_RELATIVE_MDE * share)
}
/// The error levels of a scenario.
#[derive(Clone, Copy)]
pub(crate) struct IntervalSpecs<'a>(pub(super) &'a Scenario);

impl IntervalSpecs<'_> {
    pub(super) fn alpha(self) -> f64 {
        self.0.plan.policy.alpha
    }

    /// The interval settings of a metric. They are tuned to its guardrail's margin, else to a
    /// twentieth of the control's value.
    pub(super) fn levels(self, metric: &Metric, control: Option<f64>) -> IntervalSpec {
        let guardrail = self
            .0
            .plan
            .guardrails
            .iter()
            .find(|guardrail| guardrail.metric == metric.id);
        self.levels_for(guardrail, control)
    }

    pub(super) fn levels_for(self, guardrail: Option<&Guardrail>, control: Option<f64>) -> IntervalSpec {
        IntervalSpec {
            alpha: self.alpha(),
            v_star: sequential::v_star_for(tuned_for(guardrail, control.unwrap_or(0.0))),
        }
    }

    /// The evidence of a guardrail in a stage, from the analysis of its metric or of latency.
    pub(super) fn guardrail_input(
        self,
        guardrail: &Guardrail,
        metrics: &[MetricAnalysis],
        latency: &LatencyAnalysis,
    ) -> GuardrailInput {
        let every = self.0.plan.policy.sequential == Sequential::Anytime;
        let look = |effect: Effect| Look::at(&effect, every);
        if guardrail.metric == LATENCY_P95 {
            let candidate = latency.candidate.result().map(|q| {
                let levels = self.levels_for(Some(guardrail), Some(q.estimate));
                (
                    q.estimate,
                    self.own_interval(q.estimate, q.std_error, q.ci, levels),
                )
            });
            return GuardrailInput {
                better: Better::Lower,
                effect: latency.effect.result().map(look),
                candidate_events: None,
                candidate,
            };
        }
        let better = self
            .0
            .metric(&guardrail.metric)
            .map_or(Better::Lower, |metric| metric.better);
        let Some(found) = metrics.iter().find(|m| m.metric == guardrail.metric) else {
            return GuardrailInput {
                better,
                effect: Err(Reason::NoColumn),
                candidate_events: None,
                candidate: Err(Reason::NoColumn),
            };
        };
        let own = |r: RatioEstimate| {
            let levels = self.levels_for(Some(guardrail), Some(r.estimate));
            (
                r.estimate,
                self.own_interval(r.estimate, r.std_error, r.interval(levels.alpha), levels),
            )
        };
        GuardrailInput {
            better,
            effect: found.effect.result().map(look),
            candidate_events: (found.candidate.denominator > 0.0).then_some(found.candidate.numerator),
            candidate: found.candidate.robust.result().map(own),
        }
    }

    /// The interval of one release's own value, under the policy's sequential method.
    fn own_interval(
        self,
        estimate: f64,
        std_error: f64,
        one_look: Interval,
        levels: IntervalSpec,
    ) -> Interval {
        match self.0.plan.policy.sequential {
            Sequential::Fixed => one_look,
            Sequential::Anytime => {
                let tau2 = sequential::mixture_variance(levels.v_star, levels.alpha);
                Interval::around(
                    estimate,
                    sequential::half_width(std_error.powi(2), tau2, levels.alpha),
                )
            }
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
            v_star: sequential::v_star_for(self.0.plan.policy.qos_mde),
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
