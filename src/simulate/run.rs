//! One run: windows pass in order, sums of rows are drawn, and the plan's controller decides.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, StandardNormal};

use crate::analysis::UserCounts;
use crate::base::time::{DAY, Micros};
use crate::bucket::{N_GROUPS, Ratio, groups_below};
use crate::metric::Better;
use crate::qos;
use crate::qos::{GuardrailInput, Rates, judge_all};
use crate::ramp::{
    Conclusion, LayerState, QosEvidence, Situation, SliceEvidence, SrmEvidence, StageEvidence, Verdict,
    conclude,
};
use crate::scenario::{Controller, Plan, RollbackScope};
use crate::simulate::controller;
use crate::simulate::controller::RampProgress;
use crate::simulate::gates::LayerGates;
use crate::simulate::model::{LayerModel, MetricModel, Model, N_RATES};
use crate::stats::dist::t_isf;
use crate::stats::effect::{IntervalSpec, Look, MetricForm};
use crate::stats::gates::StageHarm;
use crate::stats::growth::groups_with_users;
use crate::stats::ratio::{MIN_CLUSTERS, RatioEstimate, UNSTABLE_DF};
use crate::stats::{Reason, effect};

/// Expected number of events (and of non-events) from which a count is drawn from a normal
/// distribution.
const MANY_EVENTS: f64 = 16.0;

/// A change of the ratio of one layer in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RatioChange {
    pub(super) window: u32,
    pub(super) layer: u8,
    pub(super) from: Ratio,
    pub(super) to: Ratio,
    /// The check behind a rollback. `None` for other changes.
    pub(super) cause: Option<Cause>,
}

/// The kind of the check that caused a rollback, and the index of its guardrail. `None` if the
/// check has no guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) kind: &'static str,
    pub(super) guardrail: Option<u8>,
}

impl Cause {
    /// Id of the metric of the check's guardrail.
    pub(super) fn metric(self, plan: &Plan) -> Option<&str> {
        let guardrail = plan.guardrails.get(usize::from(self.guardrail?))?;
        Some(&guardrail.metric)
    }
}

/// The step at which a layer stands at the end of a run, and the check that blocks it. `None` if
/// the last decision promoted the layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ending {
    pub(super) layer: u8,
    pub(super) ratio: Ratio,
    pub(super) cause: Option<Cause>,
}

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RunOutcome {
    /// Window in which all layers were first at the end of their ladders. `None` if that never
    /// happened.
    pub(super) full_at: Option<u32>,
    pub(super) changes: Vec<RatioChange>,
    /// Whether a sample-ratio mismatch blocked a decision.
    pub(super) srm_halt: bool,
    /// The layers that are not at the end of their ladders, of a run that ends at the horizon
    /// without a rollback. Empty for other runs.
    pub(super) unfinished: Vec<Ending>,
    /// Number of distinct users and of requests that the candidate answered.
    pub(super) users: f64,
    pub(super) requests: f64,
    /// Number of distinct users that would be exposed if each request were assigned at random.
    pub(super) coin_users: f64,
    /// Harm by metric model, in events or units of the metric.
    pub(super) harm: Vec<f64>,
    /// Number of users exposed at the first rollback, in the layers rolled back then. `None`
    /// without a rollback.
    pub(super) users_at_rollback: Option<f64>,
}

impl RunOutcome {
    pub(super) fn rollback(&self) -> Option<&RatioChange> {
        self.changes.iter().find(|change| change.to == Ratio::ZERO)
    }
}

/// Sums of a metric in an arm since the stage began.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// Numerator (`x`) and denominator (`r`).
    x: f64,
    r: f64,
    /// Difference between the mean of the arm's users and that of all users, in the metric's unit.
    /// It is drawn when the stage begins.
    own: f64,
}

/// The data of an arm since the stage began.
#[derive(Debug, Clone, Default)]
struct ArmRun {
    users: f64,
    metric_models: Vec<Sums>,
    /// Sums whose outcomes are not known yet: a ring buffer of windows for each metric model with a
    /// delay.
    waiting: Vec<Vec<Sums>>,
}

/// The users of a ladder step: shares `below..below + width` of the layer, and the share of them
/// not yet seen since they first got the candidate.
#[derive(Debug, Clone, Copy)]
struct Cohort {
    below: f64,
    width: f64,
    unseen: f64,
}

#[derive(Debug, Clone)]
struct LayerRun {
    arms: [ArmRun; 2],
    /// Number of windows since the stage began.
    age: u32,
    /// Share of users who have not been seen in this stage.
    unseen: f64,
    /// Fraction of a user that is carried to the next window, so that arrivals are whole numbers.
    carry: f64,
    cohorts: Vec<Cohort>,
    /// Expected number of requests per user that the candidate would have answered if each request
    /// were assigned at random.
    coin_hazard: f64,
    evidence: StageEvidence,
    inputs: Vec<GuardrailInput>,
    progress: RampProgress,
    gates: LayerGates,
    /// A number of clusters, and the cached quantile of the t distribution for it.
    t: (f64, f64),
}

/// One run of a model.
pub(super) struct Run<'m> {
    model: &'m Model<'m>,
    rng: ChaCha8Rng,
    layers: Vec<LayerRun>,
    states: Vec<LayerState>,
    outcome: RunOutcome,
}

impl<'m> Run<'m> {
    /// Starts a run on its own random stream. All plans share the streams (common random numbers).
    pub(super) fn new(model: &'m Model<'m>, seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let plan = model.plan();
        let state = |layer: &crate::scenario::Layer| LayerState {
            tenant: String::new(),
            layer: layer.id.clone(),
            ratio: Ratio::ZERO,
            since: plan.start,
            rolled_back: None,
            pending: None,
        };
        let arm = |layer: &LayerModel| ArmRun {
            metric_models: vec![Sums::default(); layer.metric_models.len()],
            waiting: layer
                .metric_models
                .iter()
                .map(|metric_model| vec![Sums::default(); metric_model.delay as usize])
                .collect(),
            ..ArmRun::default()
        };
        let layer = |layer: &LayerModel| LayerRun {
            arms: [arm(layer), arm(layer)],
            age: 0,
            unseen: 1.0,
            carry: 0.0,
            cohorts: Vec::new(),
            coin_hazard: 0.0,
            evidence: StageEvidence {
                start: plan.start,
                ratio: Ratio::ZERO,
                users: UserCounts::default(),
                srm: None,
                qos: Err(Reason::NoData),
                guardrails: Vec::new(),
                own_past: Vec::new(),
                slices: SliceEvidence::default(),
            },
            inputs: Vec::new(),
            progress: RampProgress::default(),
            gates: LayerGates::default(),
            t: (0.0, 0.0),
        };
        let n_metric_models = model.layers.first().map_or(0, |layer| layer.metric_models.len());
        Self {
            model,
            rng,
            layers: model.layers.iter().map(layer).collect(),
            states: plan.layers.iter().map(state).collect(),
            outcome: RunOutcome {
                harm: vec![0.0; n_metric_models],
                ..RunOutcome::default()
            },
        }
    }

    /// Runs until the horizon, or until nothing can change. `on_decision` receives every decision
    /// before it is carried out.
    pub(super) fn run(mut self, on_decision: &mut impl FnMut(&Situation<'_>, &Conclusion<'_>)) -> RunOutcome {
        let model = self.model;
        for window in 0..model.n_windows {
            if window % model.decide_every == 0 {
                self.decide(window, on_decision);
                if self.is_over() {
                    break;
                }
            }
            for idx in 0..self.layers.len() {
                if self.states[idx].ratio > Ratio::ZERO {
                    self.observe(idx, window);
                }
            }
        }
        self.decide(model.n_windows, on_decision);
        (self.outcome.users, self.outcome.coin_users) = (0.0, 0.0);
        for (layer, of_model) in self.layers.iter().zip(&model.layers) {
            self.outcome.users += of_model.n_users * seen(layer);
            self.outcome.coin_users += of_model.n_users * -(-layer.coin_hazard).exp_m1();
        }
        self.outcome
    }

    /// Whether nothing can change any more: every layer was rolled back, or waits for one that was.
    fn is_over(&self) -> bool {
        if self.states.iter().any(|state| state.ratio > Ratio::ZERO) || self.outcome.rollback().is_none() {
            return false;
        }
        let plan = self.model.plan();
        let mut closed: Vec<bool> = self
            .states
            .iter()
            .map(|state| state.rolled_back.is_some())
            .collect();
        for _ in 0..closed.len() {
            for (idx, layer) in plan.layers.iter().enumerate() {
                closed[idx] |= layer.after.iter().any(|before| closed[*before]);
            }
        }
        closed.into_iter().all(|closed| closed)
    }

    /// Draws the data of a layer in a window.
    fn observe(&mut self, idx: usize, window: u32) {
        let (model, of_model) = (self.model, &self.model.layers[idx]);
        let (layer, rng, state) = (&mut self.layers[idx], &mut self.rng, &self.states[idx]);
        let share = state.ratio.share();
        let (consenting, [pace, coming]) =
            (model.consenting[window as usize], of_model.pace[window as usize]);

        let arriving = of_model.n_users * consenting * layer.unseen * coming + layer.carry;
        let new = arriving.floor();
        layer.carry = arriving - new;
        layer.unseen *= 1.0 - coming;
        for cohort in layer.cohorts.iter_mut().filter(|cohort| cohort.below < share) {
            cohort.unseen *= 1.0 - coming;
        }
        let of_candidate = draw_share(rng, new, share);
        let logged = 1.0 - model.world.candidate_loss;
        let new = [new - of_candidate, of_candidate * logged];

        let turns = of_model.turns * pace * consenting;
        self.outcome.requests += turns * share;
        layer.coin_hazard += turns * share / of_model.n_users;
        let rows = [turns * (1.0 - share), turns * share * logged];
        for (arm, of_arm) in layer.arms.iter_mut().enumerate() {
            if rows[arm] <= 0.0 {
                continue;
            }
            of_arm.users += new[arm];
            let all = of_model.n_users * if arm == 0 { 1.0 - share } else { share };
            for (number, metric_model) in of_model
                .metric_models
                .iter()
                .enumerate()
                .filter(|(_, metric_model)| arm == 1 || metric_model.is_compared)
            {
                let value = if arm == 0 {
                    metric_model.baseline
                } else {
                    metric_model.candidate[window as usize]
                };
                let sums = &mut of_arm.metric_models[number];
                if layer.age == 0 && metric_model.between > 0.0 {
                    let own: f64 = StandardNormal.sample(rng);
                    sums.own = own * (metric_model.between / all).sqrt();
                }
                let (x, r) = draw(
                    rng,
                    metric_model,
                    value + sums.own,
                    rows[arm] * metric_model.share,
                    of_model.pairs_of_a_visit(metric_model),
                );
                let (x, r) = match of_arm.waiting[number].as_mut_slice() {
                    [] => (x, r),
                    ring => {
                        let slot = layer.age as usize % ring.len();
                        let come = std::mem::replace(&mut ring[slot], Sums { x, r, own: 0.0 });
                        (come.x, come.r)
                    }
                };
                sums.x += x;
                sums.r += r;
            }
        }
        for (harm, metric_model) in self.outcome.harm.iter_mut().zip(&of_model.metric_models) {
            *harm += turns
                * share
                * metric_model.share
                * metric_model
                    .harm_of(metric_model.candidate[window as usize])
                    .max(0.0);
        }
        layer.age += 1;
    }

    /// Updates the evidence on a layer to the form that the nightly analysis would give.
    fn update_evidence(&mut self, idx: usize) {
        let (model, of_model) = (self.model, &self.model.layers[idx]);
        let (layer, state, plan) = (&mut self.layers[idx], &self.states[idx], self.model.plan());
        let (share, policy) = (state.ratio.share(), &plan.policy);
        let drifted = match model.world.drift_per_day {
            0.0 => 0.0,
            rate => -(-rate * f64::from(layer.age) * plan.window as f64 / DAY as f64).exp_m1(),
        };
        let both = drifted * 2.0 * share * (1.0 - share);
        let users = [0, 1].map(|arm| layer.arms[arm].users * (1.0 - both));
        let counts = users.map(|n| n as u64);
        let crossover = ((layer.arms[0].users + layer.arms[1].users) * both) as u64;
        let evidence = &mut layer.evidence;
        evidence.start = state.since;
        evidence.ratio = state.ratio;
        evidence.users = UserCounts {
            baseline: counts[0],
            candidate: counts[1],
            crossover,
            leaked: 0,
        };
        evidence.srm = SrmEvidence::if_alarming(users, share, policy);

        // The bucket groups that belong to one arm only, and the expected number of them with
        // users.
        let below = groups_below(state.ratio.bps());
        let clusters = [
            groups_with_users(f64::from(N_GROUPS - below), users[0]),
            groups_with_users(f64::from(below), users[1]),
        ];
        let estimate = |arm: usize, number: usize| {
            arm_estimate(
                &layer.arms[arm],
                number,
                of_model,
                clusters[arm],
                [1.0 - share, share][arm],
            )
        };
        let every = policy.sequential.is_anytime();

        layer.inputs.clear();
        for (guardrail, number) in plan.guardrails.iter().zip(&model.metric_model_of_guardrail) {
            let metric_model = &of_model.metric_models[*number];
            let levels = IntervalSpec {
                alpha: policy.alpha,
                v_star: metric_model.v_star,
            };
            let treatment = estimate(1, *number);
            let effect = if state.ratio == Ratio::FULL {
                Err(Reason::NoConcurrentControl)
            } else {
                estimate(0, *number).and_then(|control| {
                    Ok(Look::between(
                        &control,
                        &treatment?,
                        metric_model.form(),
                        levels,
                        metric_model.tau2,
                        every,
                        metric_model.better == Better::Lower,
                    ))
                })
            };
            // Only guardrails with a limit use the candidate's own interval.
            let candidate = match (guardrail.limit, treatment) {
                (Some(_), Ok(r)) => Ok((
                    r.estimate,
                    effect::own_interval(&r, metric_model.form(), levels, every),
                )),
                (Some(_), Err(reason)) => Err(reason),
                (None, _) => Err(Reason::NoData),
            };
            let events = layer.arms[1].metric_models[*number];
            layer.inputs.push(GuardrailInput {
                better: metric_model.better,
                effect,
                candidate_events: (events.r > 0.0).then_some(events.x.round()),
                candidate,
            });
        }
        judge_all(
            &plan.guardrails,
            &layer.inputs,
            model.certain_at[idx],
            &mut layer.evidence.guardrails,
        );
        self.look(idx);
        let (layer, state) = (&mut self.layers[idx], &self.states[idx]);
        let share = state.ratio.share();
        let estimate = |number: usize| arm_estimate(&layer.arms[1], number, of_model, clusters[1], share);

        let mut rates = [0.0; N_RATES];
        let mut variances = [0.0; N_RATES];
        let mut failed = None;
        for number in 0..N_RATES {
            match estimate(number) {
                Ok(r) => {
                    let estimate = match of_model.metric_models[number].form() {
                        MetricForm::Proportion => effect::proportion_estimate(&r),
                        MetricForm::Mean { .. } => (&r).into(),
                    };
                    (rates[number], variances[number]) = (r.estimate, estimate.variance());
                }
                Err(reason) => failed = Some(reason),
            }
        }
        layer.evidence.qos = match failed {
            Some(reason) => Err(reason),
            None => {
                if !every && layer.t.0 != clusters[1].floor() {
                    layer.t = (
                        clusters[1].floor(),
                        t_isf(0.5 * policy.alpha, (clusters[1] - 1.0).max(1.0)),
                    );
                }
                let rates = Rates::from(rates);
                let (qos, point, [ci, anytime]) = qos::estimate_rates(
                    &rates,
                    &variances,
                    model.qos,
                    layer.t.1,
                    (clusters[1] - 1.0).max(1.0),
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
        };
    }

    /// Looks at the gates of a layer if a look is due, and adds them to its evidence.
    fn look(&mut self, idx: usize) {
        let (model, plan) = (self.model, self.model.plan());
        let Some(design) = model.gate_designs.get(idx).and_then(Option::as_ref) else {
            return;
        };
        let (state, held) = (&self.states[idx], self.held(idx));
        if state.ratio < Ratio::FULL
            && self.layers[idx]
                .gates
                .is_due(&plan.layers[idx], plan.window, held)
        {
            let mut gates = std::mem::take(&mut self.layers[idx].gates);
            gates.look(state.since + held, &plan.guardrails, design, |guardrail| {
                self.stage_harm(idx, guardrail)
            });
            self.layers[idx].gates = gates;
        }
        let layer = &mut self.layers[idx];
        for (guardrail, judged) in layer.evidence.guardrails.iter_mut().enumerate() {
            judged.gate = layer.gates.gate(guardrail);
        }
    }

    /// Time since the stage of a layer began, microseconds.
    fn held(&self, idx: usize) -> Micros {
        i64::from(self.layers[idx].age) * self.model.plan().window
    }

    /// The harm of a guardrail in the current stage of a layer. `None` without both arms.
    fn stage_harm(&self, idx: usize, guardrail: usize) -> Option<StageHarm> {
        let (model, layer, ratio) = (self.model, &self.layers[idx], self.states[idx].ratio);
        let (of_model, number) = (&model.layers[idx], model.metric_model_of_guardrail[guardrail]);
        let metric_model = &of_model.metric_models[number];
        let below = groups_below(ratio.bps());
        let n_groups = [N_GROUPS - below, below].map(f64::from);
        let arm = |arm: usize| {
            let share = [1.0 - ratio.share(), ratio.share()][arm];
            let clusters = with_users(n_groups[arm], layer.arms[arm].users);
            arm_estimate(&layer.arms[arm], number, of_model, clusters, share).ok()
        };
        let (control, treatment) = (arm(0)?, arm(1)?);
        let (effect, variance, df) = effect::difference_of(&control, &treatment, metric_model.form());
        Some(StageHarm {
            harm: metric_model.harm_of(metric_model.baseline + effect),
            variance,
            df,
            control: control.estimate,
        })
    }

    fn decide(&mut self, window: u32, on_decision: &mut impl FnMut(&Situation<'_>, &Conclusion<'_>)) {
        let (model, plan) = (self.model, self.model.plan());
        let as_of: Micros = plan.start + i64::from(window) * plan.window;
        let mut next: [(Verdict, Ratio, Option<Cause>); 16] = [(Verdict::Hold, Ratio::ZERO, None); 16];
        let mut more = Vec::new();
        let decided: &mut [_] = if self.layers.len() <= next.len() {
            &mut next[..self.layers.len()]
        } else {
            more.resize(self.layers.len(), (Verdict::Hold, Ratio::ZERO, None));
            &mut more
        };
        for (idx, decision) in decided.iter_mut().enumerate() {
            let is_on = self.states[idx].ratio > Ratio::ZERO;
            if is_on {
                self.update_evidence(idx);
            }
            let layer = &mut self.layers[idx];
            let situation = Situation {
                plan,
                layer: &plan.layers[idx],
                state: &self.states[idx],
                tenant_states: &self.states,
                evidence: is_on.then_some(&layer.evidence),
                stage: None,
                coverage: None,
                misassigned: 0.0,
                as_of,
            };
            let conclusion = if model.variant.controller == Controller::Policy || !is_on {
                conclude(&situation)
            } else {
                let primary = primary_effect(model, &model.layers[idx], &layer.arms, &self.states[idx]);
                controller::conclude(model, idx, &situation, primary, &mut layer.progress)
            };
            on_decision(&situation, &conclusion);
            *decision = (
                conclusion.verdict,
                conclusion.next_ratio,
                conclusion.first_blocking.map(|name| {
                    let slot = |metric| {
                        plan.guardrails
                            .iter()
                            .position(|guardrail| guardrail.metric == metric)
                    };
                    Cause {
                        kind: name.kind,
                        guardrail: name.metric.and_then(slot).map(|idx| idx as u8),
                    }
                }),
            );
        }
        let rolls_back = decided.iter().any(|(verdict, ..)| *verdict == Verdict::Rollback);
        if rolls_back && plan.policy.rollback_scope == RollbackScope::Plan {
            for (idx, decision) in decided
                .iter_mut()
                .enumerate()
                .filter(|(_, decision)| decision.0 != Verdict::Rollback)
            {
                let verdict = if self.states[idx].ratio > Ratio::ZERO {
                    Verdict::Rollback
                } else {
                    Verdict::Hold
                };
                *decision = (
                    verdict,
                    Ratio::ZERO,
                    Some(Cause {
                        kind: "rollback_scope",
                        guardrail: None,
                    }),
                );
            }
        }
        for (idx, (verdict, to, cause)) in decided.iter().copied().enumerate() {
            self.outcome.srm_halt |=
                verdict == Verdict::Invalid && cause.is_some_and(|cause| cause.kind == "srm");
            if to != self.states[idx].ratio {
                self.change(
                    idx,
                    window,
                    as_of,
                    to,
                    cause.filter(|_| verdict == Verdict::Rollback),
                );
            }
        }
        let is_full =
            |(state, layer): (&LayerState, &crate::scenario::Layer)| state.ratio >= layer.last_step();
        if self.outcome.full_at.is_none() && self.states.iter().zip(&plan.layers).all(is_full) {
            self.outcome.full_at = Some(window);
        }
        let is_last = window == model.n_windows;
        if is_last && self.outcome.full_at.is_none() && self.outcome.rollback().is_none() {
            let ending = |(idx, (_, _, cause)): (usize, &(Verdict, Ratio, Option<Cause>))| {
                let ratio = self.states[idx].ratio;
                (ratio < plan.layers[idx].last_step()).then_some(Ending {
                    layer: idx as u8,
                    ratio,
                    cause: *cause,
                })
            };
            self.outcome.unfinished = decided.iter().enumerate().filter_map(ending).collect();
        }
    }

    fn change(&mut self, idx: usize, window: u32, as_of: Micros, to: Ratio, cause: Option<Cause>) {
        let from = self.states[idx].ratio;
        let is_first = self.outcome.rollback().is_none_or(|first| first.window == window);
        if to == Ratio::ZERO && is_first {
            let users = self.model.layers[idx].n_users * seen(&self.layers[idx]);
            *self.outcome.users_at_rollback.get_or_insert(0.0) += users;
        }
        self.outcome.changes.push(RatioChange {
            window,
            layer: idx as u8,
            from,
            to,
            cause,
        });
        if !self.model.gate_designs.is_empty() {
            let mut gates = std::mem::take(&mut self.layers[idx].gates);
            if to > Ratio::ZERO && from > Ratio::ZERO {
                gates.finish(|guardrail| self.stage_harm(idx, guardrail));
                self.layers[idx].gates = gates;
            }
        }
        let (layer, state) = (&mut self.layers[idx], &mut self.states[idx]);
        if to == Ratio::ZERO {
            state.rolled_back = Some((as_of, self.model.plan().candidate.clone()));
        }
        (state.ratio, state.since) = (to, as_of);
        let reached = layer
            .cohorts
            .iter()
            .map(|cohort| cohort.below + cohort.width)
            .fold(0.0, f64::max);
        if to.share() > reached {
            layer.cohorts.push(Cohort {
                below: reached,
                width: to.share() - reached,
                unseen: 1.0,
            });
        }
        (layer.age, layer.unseen, layer.carry) = (0, 1.0, 0.0);
        for arm in &mut layer.arms {
            arm.users = 0.0;
            arm.metric_models.fill(Sums::default());
            arm.waiting.iter_mut().for_each(|ring| ring.fill(Sums::default()));
        }
    }
}

/// Expected number of bucket groups with users, of some groups with these users.
fn with_users(groups: f64, users: f64) -> f64 {
    // With 40 users per group, an empty group is practically impossible.
    if users > 40.0 * groups {
        groups
    } else {
        groups * -(-users / groups.max(1.0)).exp_m1()
    }
}

/// Share of a layer's users who have had an answer from the candidate.
fn seen(layer: &LayerRun) -> f64 {
    layer
        .cohorts
        .iter()
        .map(|cohort| cohort.width * (1.0 - cohort.unseen))
        .sum()
}

/// Estimates a metric of an arm. The standard error includes the variance between users.
fn arm_estimate(
    arm: &ArmRun,
    number: usize,
    of_model: &LayerModel,
    clusters: f64,
    share: f64,
) -> Result<RatioEstimate, Reason> {
    let (metric_model, Sums { x, r, .. }) = (&of_model.metric_models[number], arm.metric_models[number]);
    if r <= 0.0 {
        return Err(Reason::NoData);
    }
    if clusters < MIN_CLUSTERS as f64 {
        return Err(Reason::TooFewClusters);
    }
    let estimate = x / r;
    let row = if metric_model.is_proportion {
        estimate * (1.0 - estimate)
    } else {
        metric_model.within
    };
    let together = metric_model.between * of_model.together(metric_model, r, share);
    let df = clusters - 1.0;
    Ok(RatioEstimate {
        estimate,
        numerator: x,
        denominator: r,
        std_error: (row.max(0.0) / r + together).sqrt(),
        df,
        n_clusters: clusters as usize,
        n_units: arm.users.max(clusters),
        unstable: df < UNSTABLE_DF,
    })
}

/// Draws a metric's numerator and denominator in a window. The visitors are random too: a visit
/// brings several rows of the same user.
fn draw(
    rng: &mut ChaCha8Rng,
    metric_model: &MetricModel,
    value: f64,
    rows: f64,
    pairs_of_a_visit: f64,
) -> (f64, f64) {
    let visits = metric_model.between * pairs_of_a_visit;
    if !metric_model.is_proportion {
        let error: f64 = StandardNormal.sample(rng);
        return (
            rows * value + error * (rows * (metric_model.within + visits)).sqrt(),
            rows,
        );
    }
    let p = value.clamp(0.0, 1.0);
    let rare = p.min(1.0 - p);
    if rows * rare >= MANY_EVENTS {
        let error: f64 = StandardNormal.sample(rng);
        return (
            (rows * p + error * (rows * (p * (1.0 - p) + visits)).sqrt()).clamp(0.0, rows),
            rows,
        );
    }
    // Rows are whole numbers here. The fraction of a row is rounded up with its own probability.
    let n = rows.floor() + f64::from(u8::from(rng.random::<f64>() < rows.fract()));
    let rate = rate_of_visitors(rng, rare, visits / rows);
    let events = draw_rare(rng, n, rate);
    (if p <= 0.5 { events } else { n - events }, n)
}

/// Draws the mean rate of the window's visitors around the rate of all users, within 0..=1.
fn rate_of_visitors(rng: &mut ChaCha8Rng, rate: f64, variance: f64) -> f64 {
    if variance <= 0.0 || rate <= 0.0 {
        return rate;
    }
    // The guard above makes shape and scale positive.
    Gamma::new(rate * rate / variance, variance / rate).map_or(rate, |law| law.sample(rng).min(1.0))
}

/// Draws how many of `n` users belong to a share.
fn draw_share(rng: &mut ChaCha8Rng, n: f64, share: f64) -> f64 {
    if share >= 1.0 || n == 0.0 {
        return n;
    }
    let rare = share.min(1.0 - share);
    let events = if n * rare >= MANY_EVENTS {
        let error: f64 = StandardNormal.sample(rng);
        (n * rare + error * (n * rare * (1.0 - rare)).sqrt())
            .round()
            .clamp(0.0, n)
    } else {
        draw_rare(rng, n, rare)
    };
    if share <= 0.5 { events } else { n - events }
}

/// Draws a binomial count with few expected events, by inversion.
fn draw_rare(rng: &mut ChaCha8Rng, n: f64, p: f64) -> f64 {
    if p <= 0.0 || n <= 0.0 {
        return 0.0;
    }
    let mut left = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    if p >= 1.0 {
        return n;
    }
    let odds = p / (1.0 - p);
    let (mut k, mut probability) = (0.0, (n * (-p).ln_1p()).exp());
    while left >= probability && k < n {
        left -= probability;
        probability *= odds * (n - k) / (k + 1.0);
        k += 1.0;
        if probability == 0.0 {
            break;
        }
    }
    k
}

/// Computes the harm on the metric that controllers use, and its variance. `None` at ratio 1 or
/// without enough data.
fn primary_effect(
    model: &Model<'_>,
    of_model: &LayerModel,
    arms: &[ArmRun; 2],
    state: &LayerState,
) -> Option<(f64, f64)> {
    if state.ratio == Ratio::FULL {
        return None;
    }
    let number = controller::primary_metric_model(model);
    let (metric_model, share) = (&of_model.metric_models[number], state.ratio.share());
    let [control, treatment] = [0, 1].map(|arm| {
        arm_estimate(
            &arms[arm],
            number,
            of_model,
            f64::from(N_GROUPS),
            [1.0 - share, share][arm],
        )
    });
    let (control, treatment) = (control.ok()?, treatment.ok()?);
    let harm = metric_model.harm_of(metric_model.baseline + treatment.estimate - control.estimate);
    Some((harm, control.std_error.powi(2) + treatment.std_error.powi(2)))
}
