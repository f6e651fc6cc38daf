//! The evidence on a layer in a run, in the form that the nightly analysis would give. Intervals are
//! computed in full only where an end may be near a limit of the policy; elsewhere their bounds give
//! the same decision.

use crate::analysis::UserCounts;
use crate::base::time::DAY;
use crate::bucket::Ratio;
use crate::metric::Better;
use crate::qos;
use crate::qos::{GuardrailInput, Rates, is_settled, is_within_margin, judge_all};
use crate::ramp::{QosEvidence, SrmEvidence, is_qos_settled};
use crate::scenario::{Guardrail, GuardrailRule};
use crate::simulate::estimates::{
    InverseDf, Stage, arm_estimate, control_estimate, qos_rates, qos_rates_and_variances, rough_estimate,
    stage_harm,
};
use crate::simulate::lanes::Sums;
use crate::simulate::layer_run::{ArmRun, LayerRun};
use crate::simulate::model::{MetricModel, N_RATES};
use crate::stats::dist::t_isf;
use crate::stats::effect::{IntervalSpec, Look, MetricForm};
use crate::stats::half_width::Bounds;
use crate::stats::look_bounds::LookBounds;
use crate::stats::ratio::{MIN_CLUSTERS, RatioEstimate};
use crate::stats::{Interval, Reason, effect};

/// An interval that says nothing.
const UNLIMITED: Interval = Interval {
    ci_lower: f64::NEG_INFINITY,
    ci_upper: f64::INFINITY,
};

impl LayerRun {
    /// Updates numbers of users, and looks at the gates if a look is due.
    pub(super) fn update_users(&mut self, stage: Stage<'_>) {
        let (model, plan) = (stage.model, stage.model.plan());
        let share = stage.ratio.share();
        let drifted = match model.world.drift_per_day {
            0.0 => 0.0,
            rate => -(-rate * f64::from(self.age) * plan.window as f64 / DAY as f64).exp_m1(),
        };
        let both = drifted * 2.0 * share * (1.0 - share);
        let users = [0, 1].map(|arm| self.arms[arm].users * (1.0 - both));
        let counts = users.map(|n| n as u64);
        let crossover = ((self.arms[0].users + self.arms[1].users) * both) as u64;
        self.evidence.start = stage.since;
        self.evidence.ratio = stage.ratio;
        self.evidence.users = UserCounts {
            baseline: counts[0],
            candidate: counts[1],
            crossover,
            leaked: 0,
        };
        self.evidence.srm = SrmEvidence::if_alarming(users, share, &plan.policy, model.srm_harmless_below);
        self.users = users;
        self.look(stage);
    }

    /// Updates what early checks read of guardrails and QoS; see [`crate::ramp::conclude_early`].
    /// Their intervals are without limits. Returns `false` where that may not be right: a harm beyond
    /// its margin or a QoS below the floor may be shown, or evidence is missing.
    pub(super) fn sketch_evidence(&mut self, stage: Stage<'_>) -> bool {
        let Some(half_widths) = &stage.model.half_widths else {
            return false;
        };
        if !stage.has_enough(self.users) || !self.sketch_guardrails(stage) {
            return false;
        }
        let Some(qos) = self.qos_above_floor(stage) else {
            return false;
        };
        if !half_widths.every() {
            // The cached quantile is that of the first window with these clusters.
            let [_, clusters] = stage.clusters(self.users);
            self.quantile(stage, clusters);
        }
        self.judge_guardrails(stage);
        self.evidence.qos = Ok(QosEvidence {
            qos,
            point: qos,
            ci: UNLIMITED,
            anytime: UNLIMITED,
        });
        true
    }

    /// Updates guardrails and QoS.
    pub(super) fn update_evidence(&mut self, stage: Stage<'_>) {
        let clusters = stage.clusters(self.users);
        if !self.bound_guardrails(stage, clusters) {
            self.compute_guardrails(stage, clusters);
        }
        self.judge_guardrails(stage);
        self.evidence.qos = match self.bound_qos(stage, clusters[1]) {
            Some(bounded) => Ok(bounded),
            None => self.compute_qos(stage, clusters[1]),
        };
    }

    fn judge_guardrails(&mut self, stage: Stage<'_>) {
        judge_all(
            &stage.model.plan().guardrails,
            &self.inputs,
            stage.model.certain_at[stage.idx],
            &mut self.evidence.guardrails,
        );
        if !stage.model.gate_designs.is_empty() {
            for (guardrail, judged) in self.evidence.guardrails.iter_mut().enumerate() {
                judged.gate = self.gates.gate(guardrail);
            }
        }
    }

    /// Makes the inputs of all guardrails from the estimates alone. Returns `false` unless every harm
    /// lies within its margin: then no interval shows a violation.
    fn sketch_guardrails(&mut self, stage: Stage<'_>) -> bool {
        let model = stage.model;
        self.inputs.clear();
        let numbers = &model.metric_model_of_guardrail;
        for (guardrail, number) in model.plan().guardrails.iter().zip(numbers) {
            if guardrail.limit.is_some() {
                return false;
            }
            let effect = if stage.ratio == Ratio::FULL {
                Err(Reason::NoConcurrentControl)
            } else {
                match self.harmless_look(stage, guardrail, *number) {
                    Some(look) => Ok(look),
                    None => return false,
                }
            };
            let rule = guardrail.rule;
            let input = input(
                &self.arms,
                stage,
                *number,
                (rule, effect, Err(Reason::NoData), false),
            );
            self.inputs.push(input);
        }
        true
    }

    /// The look at a guardrail without limits of its interval, if the harm lies within its margin.
    /// `None` too without rows.
    #[inline]
    pub(super) fn harmless_look(
        &self,
        stage: Stage<'_>,
        guardrail: &Guardrail,
        number: usize,
    ) -> Option<Look> {
        let [control, treatment] = [0, 1].map(|arm| stage.sums(&self.arms, arm, number));
        if control.r <= 0.0 || treatment.r <= 0.0 {
            return None;
        }
        let [control, treatment] = [control, treatment].map(|Sums { x, r }| x / r);
        let look = Look {
            control,
            effect_size: treatment - control,
            interval: UNLIMITED,
            p_value: 1.0,
        };
        is_within_margin(guardrail, &look, stage.layer().metric_models[number].better).then_some(look)
    }

    /// The candidate's QoS, if it is above the floor: then its interval is not below the floor. `None`
    /// too without rows.
    #[inline]
    pub(super) fn qos_above_floor(&self, stage: Stage<'_>) -> Option<f64> {
        let qos = qos::qos(&qos_rates(&self.arms[1])?, stage.model.qos).qos;
        // The interval contains the estimate. The slack covers rounding errors.
        (qos > stage.model.plan().policy.qos_floor + 1e-9).then_some(qos)
    }

    /// Makes the inputs of all guardrails from bounds of their intervals, without p-values. Returns
    /// `false` unless every verdict is settled by them.
    fn bound_guardrails(&mut self, stage: Stage<'_>, clusters: [f64; 2]) -> bool {
        let model = stage.model;
        let Some(half_widths) = &model.half_widths else {
            return false;
        };
        self.inputs.clear();
        let dfs = clusters.map(InverseDf::new);
        let numbers = &model.metric_model_of_guardrail;
        for (guardrail, number) in model.plan().guardrails.iter().zip(numbers) {
            let metric_model = &stage.layer().metric_models[*number];
            let has_limit = guardrail.limit.is_some();
            let is_fixed = |bounds: &LookBounds| is_settled(guardrail, bounds, metric_model.better);
            let settled = self.rough_look(stage, guardrail, *number, dfs).filter(is_fixed);
            let (effect, treatment) = if let Some(bounds) = settled {
                (Ok(bounds.widest()), Err(Reason::NoData))
            } else {
                let treatment = arm_estimate(&self.arms, 1, *number, stage, clusters);
                let arms = control_estimate(&self.arms, *number, stage, clusters)
                    .and_then(|control| Ok((control, treatment?)));
                let effect = match arms {
                    Err(reason) => Err(reason),
                    Ok((control, treatment)) => {
                        let (form, scale) = (metric_model.form(), metric_model.scale);
                        let bounds = LookBounds::between(&control, &treatment, form, half_widths, scale);
                        match bounds.filter(is_fixed) {
                            None => return false,
                            Some(bounds) => Ok(bounds.widest()),
                        }
                    }
                };
                (effect, treatment)
            };
            let of = (guardrail.rule, effect, treatment, has_limit);
            let input = input(&self.arms, stage, *number, of);
            self.inputs.push(input);
        }
        true
    }

    /// Bounds of the look at a guardrail without a limit, from estimates with rounding errors. Most
    /// looks are settled by them.
    #[inline]
    pub(super) fn rough_look(
        &self,
        stage: Stage<'_>,
        guardrail: &Guardrail,
        number: usize,
        dfs: [InverseDf; 2],
    ) -> Option<LookBounds> {
        if guardrail.limit.is_some() || stage.ratio == Ratio::FULL {
            return None;
        }
        let metric_model = &stage.layer().metric_models[number];
        let rough = |arm: usize| {
            let sums = stage.sums(&self.arms, arm, number);
            let is_known = sums.r > 0.0;
            is_known
                .then(|| rough_estimate(metric_model, sums, self.arms[arm].per_user, dfs[arm]))
                .flatten()
        };
        let (form, scale) = (metric_model.form(), metric_model.scale);
        LookBounds::between_rough(
            &rough(0)?,
            &rough(1)?,
            form,
            stage.model.half_widths.as_ref()?,
            scale,
        )
    }

    /// Makes the inputs of all guardrails.
    fn compute_guardrails(&mut self, stage: Stage<'_>, clusters: [f64; 2]) {
        let model = stage.model;
        let policy = &model.plan().policy;
        self.inputs.clear();
        let numbers = &model.metric_model_of_guardrail;
        for (guardrail, number) in model.plan().guardrails.iter().zip(numbers) {
            let metric_model = &stage.layer().metric_models[*number];
            let treatment = arm_estimate(&self.arms, 1, *number, stage, clusters);
            let effect = control_estimate(&self.arms, *number, stage, clusters).and_then(|control| {
                Ok(Look::between(
                    &control,
                    &treatment?,
                    metric_model.form(),
                    levels(stage, metric_model),
                    metric_model.tau2,
                    policy.sequential.is_anytime(),
                    metric_model.better == Better::Lower,
                ))
            });
            let has_limit = guardrail.limit.is_some();
            let of = (guardrail.rule, effect, treatment, has_limit);
            let input = input(&self.arms, stage, *number, of);
            self.inputs.push(input);
        }
    }

    /// Looks at the gates if a look is due.
    fn look(&mut self, stage: Stage<'_>) {
        let (model, plan) = (stage.model, stage.model.plan());
        let Some(design) = model.gate_designs.get(stage.idx).and_then(Option::as_ref) else {
            return;
        };
        // Time since the stage began.
        let held = i64::from(self.age) * plan.window;
        let is_due = self.gates.is_due(&plan.layers[stage.idx], plan.window, held);
        if stage.ratio < Ratio::FULL && is_due {
            let arms = &self.arms;
            self.gates
                .look(stage.since + held, &plan.guardrails, design, |guardrail| {
                    stage_harm(arms, stage, guardrail)
                });
        }
    }

    /// Adds a stage that ends to the gates.
    pub(super) fn finish_gates(&mut self, stage: Stage<'_>) {
        let arms = &self.arms;
        self.gates.finish(|guardrail| stage_harm(arms, stage, guardrail));
    }

    /// The candidate's QoS with the widest interval that it may have, as its point estimate not
    /// rounded. `None` unless the interval has the same place beside every limit of the policy.
    pub(super) fn bound_qos(&mut self, stage: Stage<'_>, clusters: f64) -> Option<QosEvidence> {
        let (model, plan) = (stage.model, stage.model.plan());
        let half_widths = model
            .half_widths
            .as_ref()
            .filter(|_| clusters >= MIN_CLUSTERS as f64)?;
        let (rates, variances) = qos_rates_and_variances(&self.arms[1], stage)?;
        let (t, inverse_df) = (self.quantile(stage, clusters), 1.0 / (clusters - 1.0));
        let half_width = |v: f64| {
            if half_widths.every() {
                half_widths.of(v, inverse_df, model.qos_scale)
            } else {
                Some(Bounds::near(t * v.sqrt()))
            }
        };
        let (qos, bounds) = qos::bound_rates(&rates, &variances, model.qos, half_width)?;
        let is_settled = is_qos_settled(&plan.policy, &plan.layers[stage.idx], &bounds);
        is_settled.then_some(QosEvidence {
            qos,
            point: qos,
            ci: bounds.wide,
            anytime: bounds.wide,
        })
    }

    /// The t quantile of QoS for one look, of the first number of clusters with the same whole
    /// number. 0 under a policy of every look.
    fn quantile(&mut self, stage: Stage<'_>, clusters: f64) -> f64 {
        let policy = &stage.model.plan().policy;
        if !policy.sequential.is_anytime() && self.t.0 != clusters.floor() {
            let df = (clusters - 1.0).max(1.0);
            self.t = (clusters.floor(), t_isf(0.5 * policy.alpha, df));
        }
        self.t.1
    }

    /// The candidate's QoS.
    fn compute_qos(&mut self, stage: Stage<'_>, clusters: f64) -> Result<QosEvidence, Reason> {
        let (model, policy) = (stage.model, &stage.model.plan().policy);
        let (mut rates, mut variances) = ([0.0; N_RATES], [0.0; N_RATES]);
        let mut failed = None;
        for number in 0..N_RATES {
            match arm_estimate(&self.arms, 1, number, stage, [0.0, clusters]) {
                Ok(r) => {
                    let estimate = match stage.layer().metric_models[number].form() {
                        MetricForm::Proportion => effect::proportion_estimate(&r),
                        MetricForm::Mean { .. } => (&r).into(),
                    };
                    (rates[number], variances[number]) = (r.estimate, estimate.variance());
                }
                Err(reason) => failed = Some(reason),
            }
        }
        if let Some(reason) = failed {
            return Err(reason);
        }
        let t = self.quantile(stage, clusters);
        let (qos, point, [ci, anytime]) = qos::estimate_rates(
            &Rates::from(rates),
            &variances,
            model.qos,
            t,
            (clusters - 1.0).max(1.0),
            model.qos_tau2,
            policy.alpha,
        );
        Ok(QosEvidence {
            qos,
            point,
            ci,
            anytime,
        })
    }
}

/// The levels of a metric's intervals.
fn levels(stage: Stage<'_>, metric_model: &MetricModel) -> IntervalSpec {
    IntervalSpec {
        alpha: stage.model.plan().policy.alpha,
        v_star: metric_model.v_star,
    }
}

/// The input of a guardrail, from its effect and the candidate's estimate. Only guardrails with a
/// limit use the candidate's own interval, and only those with a maximum its number of events.
fn input(
    arms: &[ArmRun; 2],
    stage: Stage<'_>,
    number: usize,
    (rule, effect, treatment, has_limit): (
        GuardrailRule,
        Result<Look, Reason>,
        Result<RatioEstimate, Reason>,
        bool,
    ),
) -> GuardrailInput {
    let metric_model = &stage.layer().metric_models[number];
    let every = stage.model.plan().policy.sequential.is_anytime();
    let own = |r: RatioEstimate| {
        let levels = levels(stage, metric_model);
        (
            r.estimate,
            effect::own_interval(&r, metric_model.form(), levels, every),
        )
    };
    let events = stage.sums(arms, 1, number);
    let is_counted = events.r > 0.0 && matches!(rule, GuardrailRule::MaxCount(_));
    GuardrailInput {
        better: metric_model.better,
        effect,
        candidate_events: is_counted.then(|| events.x.round()),
        candidate: if has_limit {
            treatment.map(own)
        } else {
            Err(Reason::NoData)
        },
    }
}
