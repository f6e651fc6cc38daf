//! Decisions that are kept. A layer is held because its dwell is not over, because its ladder ends,
//! or because a proof is missing. Later windows look only at what may end that.

use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::qos::settled_verdict;
use crate::ramp::{CheckName, Conclusion, HeldUntil, Situation, SrmEvidence, held_until, qos_place};
use crate::scenario::Plan;
use crate::simulate::estimates::{InverseDf, Stage};
use crate::simulate::layer_run::{Held, LayerRun};
use crate::simulate::model::Model;
use crate::simulate::outcome::Cause;

impl Held {
    /// A decision to keep: all checks before the one that blocks have passed.
    pub(super) fn new(
        model: &Model<'_>,
        situation: &Situation<'_>,
        conclusion: &Conclusion<'_>,
        cause: Option<Cause>,
    ) -> Option<Self> {
        if !model.can_hold {
            return None;
        }
        Some(Self {
            verdict: conclusion.verdict,
            cause: cause?,
            until: held_until(situation, conclusion)?,
        })
    }

    /// The decision on a layer at a ratio.
    pub(super) fn conclusion(self, ratio: Ratio, plan: &Plan) -> Conclusion<'_> {
        Conclusion {
            verdict: self.verdict,
            next_ratio: ratio,
            first_blocking: Some(CheckName {
                kind: self.cause.kind,
                metric: self.cause.metric(plan),
            }),
        }
    }
}

impl LayerRun {
    /// The decision that was kept, if the policy surely takes it again. Numbers of users and rows
    /// grow, so what needed enough of them passes.
    #[inline]
    pub(super) fn kept(&mut self, stage: Stage<'_>, as_of: Micros) -> Option<Held> {
        let held = self.held?;
        let users = [self.arms[0].users, self.arms[1].users];
        let (share, policy) = (stage.ratio.share(), &stage.model.plan().policy);
        if SrmEvidence::if_alarming(users, share, policy, stage.model.srm_harmless_below).is_some() {
            return None;
        }
        let is_kept = match held.until {
            HeldUntil::Time(until) => {
                as_of < until && (self.is_quiet(stage) || self.has_no_violation(stage, users))
            }
            HeldUntil::Proof => self.is_judged_alike(stage, users),
        };
        is_kept.then_some(held)
    }

    /// Whether the estimates alone show that no guardrail is violated and QoS not below the floor.
    #[inline]
    fn is_quiet(&self, stage: Stage<'_>) -> bool {
        let (model, plan) = (stage.model, stage.model.plan());
        let mut compared = plan.guardrails.iter().zip(&model.metric_model_of_guardrail);
        let is_harmless = stage.ratio == Ratio::FULL
            || compared.all(|(guardrail, number)| self.harmless_look(stage, guardrail, *number).is_some());
        is_harmless && self.qos_above_floor(stage).is_some()
    }

    /// The same as [`Self::is_quiet`], by bounds of the intervals.
    fn has_no_violation(&mut self, stage: Stage<'_>, users: [f64; 2]) -> bool {
        let (model, plan) = (stage.model, stage.model.plan());
        let clusters = stage.clusters(users);
        let dfs = clusters.map(InverseDf::new);
        let mut compared = plan.guardrails.iter().zip(&model.metric_model_of_guardrail);
        let is_harmless = stage.ratio == Ratio::FULL
            || compared.all(|(guardrail, number)| {
                let better = stage.layer().metric_models[*number].better;
                let bounds = self.rough_look(stage, guardrail, *number, dfs);
                bounds.is_some_and(|bounds| settled_verdict(guardrail, &bounds, better).is_some())
            });
        let layer = &plan.layers[stage.idx];
        let is_below = |qos| qos_place(&plan.policy, layer, &qos)[0];
        is_harmless
            && self
                .bound_qos(stage, clusters[1])
                .is_some_and(|qos| !is_below(qos))
    }

    /// Whether bounds of the intervals give the last verdicts on all guardrails, and the last place of
    /// QoS.
    fn is_judged_alike(&mut self, stage: Stage<'_>, users: [f64; 2]) -> bool {
        let (model, plan) = (stage.model, stage.model.plan());
        let clusters = stage.clusters(users);
        let dfs = clusters.map(InverseDf::new);
        let guardrails = plan.guardrails.iter().zip(&self.evidence.guardrails);
        let mut judged = guardrails.zip(&model.metric_model_of_guardrail);
        let is_alike = judged.all(|((guardrail, judged), number)| {
            let better = stage.layer().metric_models[*number].better;
            let bounds = self.rough_look(stage, guardrail, *number, dfs);
            let verdict = bounds.and_then(|bounds| settled_verdict(guardrail, &bounds, better));
            judged.reason.is_none() && verdict == Some(judged.verdict)
        });
        let Some(last) = self.evidence.qos.ok().filter(|_| is_alike) else {
            return false;
        };
        let place = |qos| qos_place(&plan.policy, &plan.layers[stage.idx], &qos);
        self.bound_qos(stage, clusters[1])
            .is_some_and(|qos| place(qos) == place(last))
    }
}
