//! The model of a plan in a world. Every quantity that does not depend on random draws is computed
//! here, once for all runs.

use crate::analysis;
use crate::base::time::{DAY, Micros};
use crate::bucket::Ratio;
use crate::metric::{Better, RATE_METRICS};
use crate::ramp::SrmEvidence;
use crate::scenario::{
    Boundary, DecisionPolicy, GateDesign, Guardrail, GuardrailRule, Layer, Plan, PlanVariant, QosConfig,
    Rate, Scenario, Simulation, World, WorldLayer,
};
use crate::simulate::baseline::{BaselineInputs, activity, metrics_of};
use crate::simulate::stream::LANES;
use crate::simulate::windows::{candidate_values, pace};
use crate::stats::effect::MetricForm;
use crate::stats::growth::{ArmGrowth, ClusterGrowth, Visits, pairs_of_a_user};
use crate::stats::half_width::{HalfWidths, MixtureScale};
use crate::stats::sequential;

/// Number of rates of QoS. Their metric models come first in a layer, in the order of the rates.
pub(super) const N_RATES: usize = RATE_METRICS.len();
/// The most metrics of an arm that are drawn together.
const MOST_TOGETHER: usize = 64;

/// The model of a metric in a layer.
#[derive(Debug, Clone)]
pub(super) struct MetricModel {
    pub(super) better: Better,
    /// Whether rows have the values 0 and 1.
    pub(super) is_proportion: bool,
    /// Expected value under the baseline, in the metric's unit.
    pub(super) baseline: f64,
    /// Expected value under the candidate, by window, in the metric's unit.
    pub(super) candidate: Vec<f64>,
    /// Variance of a row's value around its user's own mean. 0 for a proportion.
    pub(super) within: f64,
    /// Variance of the users' own means.
    pub(super) between: f64,
    /// Variance of a row that its visitor brings: a visit has several rows of the same user.
    pub(super) visits: f64,
    /// Number of rows of the metric's denominator per turn, at least 0.
    pub(super) share: f64,
    /// Number of windows until outcomes are known.
    pub(super) delay: u32,
    /// Variance of the mixture behind the anytime-valid intervals (`tau2`), and the variance of the
    /// estimate that it is tuned for (`v_star`).
    pub(super) tau2: f64,
    pub(super) scale: MixtureScale,
    pub(super) v_star: f64,
    /// Cost of a unit of harm, in the currency of the scenario.
    pub(super) cost: f64,
    /// Whether a guardrail compares the metric. The control's rows are drawn only then.
    pub(super) is_compared: bool,
}

impl MetricModel {
    /// The form of the metric for inference.
    pub(super) fn form(&self) -> MetricForm {
        if self.is_proportion {
            MetricForm::Proportion
        } else {
            MetricForm::Mean { resolution: 0.0 }
        }
    }
}

/// Which metrics of a layer are drawn in an arm, in the order of draws.
#[derive(Debug, Clone)]
pub(super) struct ArmModel {
    /// The metric model of each lane.
    pub(super) metrics: Vec<usize>,
    /// The lane of each metric model. `None` if it is not drawn.
    pub(super) lane_of: Vec<Option<usize>>,
    /// Whether windows are drawn together: outcomes of all metrics are known at once.
    pub(super) are_together: bool,
    pub(super) groups: Vec<GroupModel>,
}

/// The numbers of [`MetricModel`] in lanes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GroupModel {
    pub(super) is_proportion: [bool; LANES],
    pub(super) within: [f64; LANES],
    pub(super) visits: [f64; LANES],
    pub(super) share: [f64; LANES],
}

impl ArmModel {
    /// All metrics of the candidate, or those of the control that a guardrail compares.
    pub(super) fn new(metric_models: &[MetricModel], is_control: bool) -> Self {
        let is_drawn = |of: &MetricModel| of.is_compared || !is_control;
        let metrics: Vec<usize> = (0..metric_models.len())
            .filter(|number| is_drawn(&metric_models[*number]))
            .collect();
        let lane_of = (0..metric_models.len())
            .map(|number| metrics.iter().position(|of_lane| *of_lane == number))
            .collect();
        let group = |metrics: &[usize]| {
            let mut group = GroupModel::default();
            for (lane, number) in metrics.iter().enumerate() {
                let of = &metric_models[*number];
                group.is_proportion[lane] = of.is_proportion;
                group.within[lane] = of.within;
                group.visits[lane] = of.visits;
                group.share[lane] = of.share;
            }
            group
        };
        Self {
            are_together: metrics.len() <= MOST_TOGETHER
                && metrics.iter().all(|number| metric_models[*number].delay == 0),
            groups: metrics.chunks(LANES).map(group).collect(),
            lane_of,
            metrics,
        }
    }
}

/// The model of a layer: its users, its traffic and its metrics.
#[derive(Debug, Clone)]
pub(super) struct LayerModel {
    pub(super) n_users: f64,
    /// Mean number of turns per window.
    pub(super) turns: f64,
    /// Mean number of visits of a user per window.
    pub(super) activity: f64,
    /// Traffic of each window with a mean of 1, and the probability that a user visits in it.
    pub(super) pace: Vec<[f64; 2]>,
    /// Mean number of turns per visit of a user.
    pub(super) visit: f64,
    pub(super) metric_models: Vec<MetricModel>,
    /// The metrics that are drawn in the control and in the candidate.
    pub(super) arms: [ArmModel; 2],
    /// Whether the candidate's value of a metric differs from that of the window before, by window.
    pub(super) changes: Vec<bool>,
    /// The metric models that the candidate makes worse in some window.
    pub(super) harmed: Vec<usize>,
}

impl LayerModel {
    /// Returns the factor by which the variance between users enters the variance of an arm's ratio
    /// with `r` rows; see [`pairs_of_a_user`].
    pub(super) fn together(&self, metric_model: &MetricModel, r: f64, share: f64) -> f64 {
        pairs_of_a_user(self.n_users * share, self.pairs_of_a_visit(metric_model), r)
    }

    /// Expected number of other rows in the same visit as a row.
    fn pairs_of_a_visit(&self, metric_model: &MetricModel) -> f64 {
        pairs_of_a_visit(metric_model.share, self.visit)
    }
}

impl LayerModel {
    /// The growth of an arm's evidence on a metric with this value. `window` is the length of a
    /// window, microseconds.
    pub(super) fn growth(&self, metric_model: &MetricModel, value: f64, window: Micros) -> ArmGrowth {
        let windows_a_day = DAY as f64 / window as f64;
        let row = if metric_model.is_proportion {
            value * (1.0 - value)
        } else {
            metric_model.within
        };
        ArmGrowth {
            estimate: value,
            row_variance: row.max(0.0) + metric_model.visits,
            user_variance: metric_model.between,
            rows_per_day: self.turns * windows_a_day * metric_model.share,
            df_share: 1.0,
            visits: Visits {
                n_users: self.n_users,
                activity: self.activity * windows_a_day,
                users_per_day: 0.0,
            },
            clusters: ClusterGrowth::Groups,
        }
    }
}

/// The model of a plan in a world.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) variant: &'a PlanVariant,
    pub(super) qos: &'a QosConfig,
    pub(super) world: &'a World,
    pub(super) n_windows: u32,
    pub(super) decide_every: u32,
    /// Share of users who still give consent, by window, 0..=1.
    pub(super) consenting: Vec<f64>,
    pub(super) layers: Vec<LayerModel>,
    /// Index of the metric model behind each guardrail.
    pub(super) metric_model_of_guardrail: Vec<usize>,
    /// Metric id of each metric model.
    pub(super) metrics: Vec<String>,
    /// Variance of the mixture behind the anytime-valid interval of QoS.
    pub(super) qos_tau2: f64,
    pub(super) qos_scale: MixtureScale,
    /// Bounds of half widths, by which runs decide unless an interval ends near a limit. `None` if
    /// every interval is computed in full.
    pub(super) half_widths: Option<HalfWidths>,
    /// Whether a decision of early checks is kept while only time can end it: guardrails compare, and
    /// nothing but the users and the sums of a stage changes between windows.
    pub(super) can_hold: bool,
    /// See [`SrmEvidence::harmless_below`].
    pub(super) srm_harmless_below: f64,
    /// Group-sequential boundaries of each layer's gates.
    pub(super) gates: Vec<Vec<Option<f64>>>,
    /// The designs of the policy's gates by layer. Empty unless the policy is group-sequential.
    pub(super) gate_designs: Vec<Option<GateDesign>>,
    /// The level at which a harm is certain, by layer.
    pub(super) certain_at: Vec<f64>,
}

/// Expected number of other rows in the same visit as a row, for rows per turn and turns per visit.
fn pairs_of_a_visit(share: f64, visit: f64) -> f64 {
    share * (visit - 1.0).max(0.0)
}

impl Model<'_> {
    pub(super) fn plan(&self) -> &Plan {
        &self.variant.plan
    }

    /// The model with every interval computed in full, as a trace shows it.
    pub(super) fn in_full(self) -> Self {
        Self {
            half_widths: None,
            can_hold: false,
            ..self
        }
    }

    /// Whether the candidate exceeds the margin of a guardrail in some layer at some time.
    pub(super) fn is_harmful(&self) -> bool {
        let oversteps = |layer: &LayerModel| {
            self.plan()
                .guardrails
                .iter()
                .zip(&self.metric_model_of_guardrail)
                .any(|(guardrail, idx)| {
                    let metric_model = &layer.metric_models[*idx];
                    let margin = guardrail.margin(metric_model.baseline).unwrap_or(0.0);
                    metric_model
                        .candidate
                        .iter()
                        .any(|value| metric_model.harm_of(*value) > margin)
                })
        };
        self.layers.iter().any(oversteps)
    }
}

impl MetricModel {
    /// Returns how much worse than the baseline a value is, in the metric's unit.
    pub(super) fn harm_of(&self, candidate: f64) -> f64 {
        match self.better {
            Better::Lower => candidate - self.baseline,
            Better::Higher => self.baseline - candidate,
        }
    }
}

impl<'a> Model<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        simulation: &Simulation,
        baseline_inputs: &BaselineInputs,
        variant: &'a PlanVariant,
        world: &'a World,
    ) -> Self {
        Self::new_with_metrics(
            scenario,
            simulation,
            baseline_inputs,
            variant,
            world,
            metrics_of(&variant.plan),
        )
    }

    /// Like [`Self::new`], for baseline inputs whose rates are in the order of `metrics`.
    pub(super) fn new_with_metrics(
        scenario: &'a Scenario,
        simulation: &Simulation,
        baseline_inputs: &BaselineInputs,
        variant: &'a PlanVariant,
        world: &'a World,
        metrics: Vec<String>,
    ) -> Self {
        let plan = &variant.plan;
        let n_windows = (simulation.horizon / plan.window).clamp(1, 1_000_000) as u32;
        let alpha = plan.policy.alpha;
        let metric_model_of_guardrail: Vec<usize> = plan
            .guardrails
            .iter()
            .map(|g| metrics.iter().position(|metric| *metric == g.metric).unwrap_or(0))
            .collect();
        let layer_model = |(idx, layer): (usize, &WorldLayer)| {
            let windows_a_day = DAY as f64 / plan.window as f64;
            let turns = layer.n_users * layer.turns_per_user_day / windows_a_day;
            let visit = turns / (layer.n_users * activity(layer, windows_a_day));
            let metric_model = |(number, rate): (usize, &Rate)| {
                let metric = scenario.metric(&metrics[number]);
                let is_proportion = rate.sd.is_none();
                let guardrail = plan
                    .guardrails
                    .iter()
                    .find(|guardrail| guardrail.metric == metrics[number]);
                let v_star = sequential::v_star_for(analysis::tuned_for(guardrail, rate.value, rate.value));
                let tau2 = sequential::mixture_variance(v_star, alpha);
                MetricModel {
                    better: metric.map_or(Better::Lower, |metric| metric.better),
                    is_proportion,
                    baseline: rate.value,
                    candidate: candidate_values(
                        world,
                        &metrics[number],
                        idx,
                        rate.value,
                        is_proportion,
                        n_windows,
                        plan.window,
                    ),
                    within: rate.sd.map_or(0.0, |sd| sd * sd),
                    between: rate.user_sd * rate.user_sd,
                    visits: rate.user_sd * rate.user_sd * pairs_of_a_visit(rate.share, visit),
                    share: rate.share,
                    delay: metric.map_or(0, |metric| (metric.delay + plan.window - 1) / plan.window) as u32,
                    tau2,
                    scale: MixtureScale::new(tau2),
                    v_star,
                    is_compared: guardrail.is_some(),
                    cost: simulation.costs.get(&metrics[number]).copied().unwrap_or(0.0),
                }
            };
            let metric_models: Vec<MetricModel> = baseline_inputs.rates[idx]
                .iter()
                .enumerate()
                .map(metric_model)
                .collect();
            let is_harmed = |of: &MetricModel| of.candidate.iter().any(|value| of.harm_of(*value) > 0.0);
            let harmed = (0..metric_models.len()).filter(|number| is_harmed(&metric_models[*number]));
            let changes = |window: u32| {
                let value = |of: &MetricModel, window: u32| of.candidate[window as usize];
                let is_new = |of: &MetricModel| value(of, window) != value(of, window - 1);
                window == 0 || metric_models.iter().any(is_new)
            };
            LayerModel {
                harmed: harmed.collect(),
                arms: [true, false].map(|is_control| ArmModel::new(&metric_models, is_control)),
                changes: (0..n_windows).map(changes).collect(),
                n_users: layer.n_users,
                turns,
                visit,
                activity: activity(layer, windows_a_day),
                pace: pace(
                    layer,
                    (plan, &scenario.time_zone),
                    n_windows,
                    activity(layer, windows_a_day),
                ),
                metric_models,
            }
        };
        let layers: Vec<LayerModel> = baseline_inputs
            .layers
            .iter()
            .enumerate()
            .map(layer_model)
            .collect();
        let gates = plan
            .layers
            .iter()
            .zip(&layers)
            .zip(&variant.boundaries)
            .map(|((layer, model), boundary)| gates(layer, model.activity, plan.window, alpha, *boundary))
            .collect();
        let gate_designs = analysis::gate_designs(plan);
        // The policy of points reads no interval.
        let half_widths = HalfWidths::new(alpha, plan.policy.sequential.is_anytime())
            .filter(|_| plan.policy.decision == DecisionPolicy::Interval);
        let compares = |guardrail: &Guardrail| {
            guardrail.limit.is_none() && !matches!(guardrail.rule, GuardrailRule::MaxCount(_))
        };
        let qos_tau2 = sequential::mixture_variance(sequential::v_star_for(plan.policy.qos_mde), alpha);
        Self {
            variant,
            gates,
            can_hold: half_widths.as_ref().is_some_and(HalfWidths::every)
                && gate_designs.is_empty()
                && world.drift_per_day == 0.0
                && plan.guardrails.iter().all(compares),
            gate_designs,
            certain_at: plan
                .layers
                .iter()
                .map(|layer| plan.violation_alpha(layer))
                .collect(),
            qos: &scenario.qos,
            world,
            n_windows,
            decide_every: simulation.decide_every,
            consenting: (0..n_windows)
                .map(|window| {
                    (1.0 - world.opt_out_per_day).powf(f64::from(window) * plan.window as f64 / DAY as f64)
                })
                .collect(),
            layers,
            metric_model_of_guardrail,
            qos_tau2,
            qos_scale: MixtureScale::new(qos_tau2),
            half_widths,
            srm_harmless_below: SrmEvidence::harmless_below(&plan.policy),
            metrics,
        }
    }
}

/// Returns the index of the metric model that controllers use.
pub(crate) fn primary_metric_model(model: &Model<'_>) -> usize {
    let plan = model.plan();
    let metric = plan.first_margin().map(|guardrail| guardrail.metric.as_str());
    model
        .metrics
        .iter()
        .position(|id| Some(id.as_str()) == metric)
        .unwrap_or(0)
}

/// Computes the boundaries of the gates at the ends of a layer's dwells, from the expected
/// information. Users return within a dwell, so information is proportional to users.
pub(crate) fn gates(
    layer: &Layer,
    activity: f64,
    window: Micros,
    alpha: f64,
    boundary: Boundary,
) -> Vec<Option<f64>> {
    let mut sum = 0.0;
    let information: Vec<f64> = layer
        .steps()
        .filter(|step| *step < Ratio::FULL)
        .map(|step| {
            let come = -(-activity * (layer.dwell.max(window) as f64 / window as f64)).exp_m1();
            sum += come * step.share() * (1.0 - step.share());
            sum
        })
        .collect();
    boundary.bounds(&information, alpha).unwrap_or_default()
}
