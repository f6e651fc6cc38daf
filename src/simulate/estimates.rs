//! Estimates of metrics in the arms of a stage, from the sums of a run.

use crate::base::time::Micros;
use crate::bucket::{N_GROUPS, Ratio, groups_below};
use crate::qos::Rates;
use crate::ramp::LayerState;
use crate::simulate::controller;
use crate::simulate::lanes::Sums;
use crate::simulate::layer_run::ArmRun;
use crate::simulate::model::{LayerModel, MetricModel, Model, N_RATES};
use crate::stats::gates::StageHarm;
use crate::stats::growth::groups_with_users;
use crate::stats::look_bounds::RoughRatio;
use crate::stats::ratio::{MIN_CLUSTERS, RatioEstimate, UNSTABLE_DF};
use crate::stats::{Reason, effect};

/// A layer at a ratio, as its evidence is made.
#[derive(Clone, Copy)]
pub(super) struct Stage<'m> {
    pub(super) model: &'m Model<'m>,
    /// Index of the layer in the plan.
    pub(super) idx: usize,
    pub(super) ratio: Ratio,
    pub(super) since: Micros,
}

impl<'m> Stage<'m> {
    /// The stage of a layer's state.
    pub(super) fn new(model: &'m Model<'m>, idx: usize, state: &LayerState) -> Self {
        Self {
            model,
            idx,
            ratio: state.ratio,
            since: state.since,
        }
    }

    pub(super) fn layer(&self) -> &'m LayerModel {
        &self.model.layers[self.idx]
    }

    /// The sums of a metric in an arm. They are 0 for a metric of the control that no guardrail
    /// compares.
    #[inline]
    pub(super) fn sums(&self, arms: &[ArmRun; 2], arm: usize, number: usize) -> Sums {
        let lane = self.layer().arms[arm].lane_of[number];
        lane.map_or_else(Sums::default, |lane| arms[arm].sums.of(lane))
    }

    /// The planned shares of baseline and candidate.
    fn shares(&self) -> [f64; 2] {
        [1.0 - self.ratio.share(), self.ratio.share()]
    }

    /// Numbers of the bucket groups that belong to one arm only.
    fn groups(&self) -> [f64; 2] {
        let below = groups_below(self.ratio.bps());
        [f64::from(N_GROUPS - below), f64::from(below)]
    }

    /// Expected numbers of the groups with users.
    pub(super) fn clusters(&self, users: [f64; 2]) -> [f64; 2] {
        let groups = self.groups();
        [0, 1].map(|arm| groups_with_users(groups[arm], users[arm]))
    }

    /// Whether both arms surely have enough clusters for estimates; at ratio 1 the candidate. With
    /// `1 - exp(-x) >= x / (1 + x)`, groups `g` and users `u` have at least `g u / (g + u)` clusters.
    pub(super) fn has_enough(&self, users: [f64; 2]) -> bool {
        let groups = self.groups();
        let is_enough = |arm: usize| {
            let (g, u, least) = (groups[arm], users[arm], MIN_CLUSTERS as f64 + 1e-6);
            g * u >= least * (g + u)
        };
        (self.ratio == Ratio::FULL || is_enough(0)) && is_enough(1)
    }
}

/// Inverse degrees of freedom of an arm.
#[derive(Debug, Clone, Copy)]
pub(super) struct InverseDf {
    /// Of its variance. `None` with fewer than 20 clusters.
    own: Option<f64>,
    /// Of the smallest variance of a share, which counts whole clusters.
    of_floor: f64,
}

impl InverseDf {
    pub(super) fn new(clusters: f64) -> Self {
        let whole = clusters as usize as f64;
        let own = 1.0 / (clusters - 1.0);
        Self {
            own: (clusters >= MIN_CLUSTERS as f64).then_some(own),
            of_floor: if whole == clusters {
                own
            } else {
                1.0 / (whole - 1.0)
            },
        }
    }
}

/// The sums of a metric in an arm as an estimate with rounding errors. `None` with fewer than 20
/// clusters. `per_user` is 1 over the number of the arm's users, seen or not.
#[inline]
pub(super) fn rough_estimate(
    metric_model: &MetricModel,
    sums: Sums,
    per_user: f64,
    df: InverseDf,
) -> Option<RoughRatio> {
    let Sums { x, r } = sums;
    let inverse = 1.0 / (r * (r + 2.0));
    let (per_row, estimate) = ((r + 2.0) * inverse, x * (r + 2.0) * inverse);
    let row = if metric_model.is_proportion {
        estimate * (1.0 - estimate)
    } else {
        metric_model.within
    };
    let per_row_of_floor = r * inverse;
    Some(RoughRatio {
        estimate,
        denominator: r,
        variance: (row.max(0.0) + metric_model.visits) * per_row + metric_model.between * per_user,
        floor: (x + 1.0) * (r - x + 1.0) * (per_row_of_floor * per_row_of_floor * per_row),
        inverse_df: df.own?,
        inverse_df_of_floor: df.of_floor,
    })
}

/// The six rates of QoS in an arm, with the rounding errors of a few operations. `None` without rows
/// of a rate.
pub(super) fn qos_rates(arm: &ArmRun) -> Option<Rates> {
    let mut rates = [0.0; N_RATES];
    let (mut last, mut per_row) = (0.0, 0.0);
    // The rates of QoS are the first lanes of the candidate.
    for (lane, rate) in rates.iter_mut().enumerate() {
        let Sums { x, r } = arm.sums.of(lane);
        if r != last {
            if r <= 0.0 {
                return None;
            }
            (last, per_row) = (r, 1.0 / r);
        }
        *rate = x * per_row;
    }
    Some(Rates::from(rates))
}

/// As [`qos_rates`], with the variances of the rates.
pub(super) fn qos_rates_and_variances(arm: &ArmRun, stage: Stage<'_>) -> Option<(Rates, [f64; N_RATES])> {
    let (mut rates, mut variances) = ([0.0; N_RATES], [0.0; N_RATES]);
    let (mut last, mut per_row, mut of_floor) = (0.0, 0.0, 0.0);
    let models = stage.layer().metric_models.iter().take(N_RATES);
    for (number, metric_model) in models.enumerate() {
        let Sums { x, r } = arm.sums.of(number);
        // Most rates have the same rows.
        if r != last {
            if r <= 0.0 {
                return None;
            }
            let inverse = 1.0 / (r * (r + 2.0));
            (last, per_row) = (r, (r + 2.0) * inverse);
            of_floor = (r * inverse) * (r * inverse) * per_row;
        }
        let rate = x * per_row;
        let users = metric_model.between * arm.per_user;
        rates[number] = rate;
        variances[number] = if metric_model.is_proportion {
            let own = ((rate * (1.0 - rate)).max(0.0) + metric_model.visits) * per_row + users;
            own.max((x + 1.0) * (r - x + 1.0) * of_floor)
        } else {
            (metric_model.within + metric_model.visits) * per_row + users
        };
    }
    Some((Rates::from(rates), variances))
}

/// The estimate of a metric of the control.
pub(super) fn control_estimate(
    arms: &[ArmRun; 2],
    number: usize,
    stage: Stage<'_>,
    clusters: [f64; 2],
) -> Result<RatioEstimate, Reason> {
    if stage.ratio == Ratio::FULL {
        return Err(Reason::NoConcurrentControl);
    }
    arm_estimate(arms, 0, number, stage, clusters)
}

/// Estimates a metric of an arm. The standard error includes the variance between users.
pub(super) fn arm_estimate(
    arms: &[ArmRun; 2],
    arm: usize,
    number: usize,
    stage: Stage<'_>,
    clusters: [f64; 2],
) -> Result<RatioEstimate, Reason> {
    let (of_model, clusters) = (stage.layer(), clusters[arm]);
    let metric_model = &of_model.metric_models[number];
    let Sums { x, r } = stage.sums(arms, arm, number);
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
    let together = metric_model.between * of_model.together(metric_model, r, stage.shares()[arm]);
    let df = clusters - 1.0;
    Ok(RatioEstimate {
        estimate,
        numerator: x,
        denominator: r,
        std_error: (row.max(0.0) / r + together).sqrt(),
        df,
        n_clusters: clusters as usize,
        n_units: arms[arm].users.max(clusters),
        unstable: df < UNSTABLE_DF,
    })
}

/// The harm of a guardrail in a stage. `None` without both arms.
pub(super) fn stage_harm(arms: &[ArmRun; 2], stage: Stage<'_>, guardrail: usize) -> Option<StageHarm> {
    let number = stage.model.metric_model_of_guardrail[guardrail];
    let metric_model = &stage.layer().metric_models[number];
    let clusters = stage.clusters([arms[0].users, arms[1].users]);
    let [control, treatment] = [0, 1].map(|arm| arm_estimate(arms, arm, number, stage, clusters));
    let (control, treatment) = (control.ok()?, treatment.ok()?);
    let (effect, variance, df) = effect::difference_of(&control, &treatment, metric_model.form());
    Some(StageHarm {
        harm: metric_model.harm_of(metric_model.baseline + effect),
        variance,
        df,
        control: control.estimate,
    })
}

/// Computes the harm on the metric that controllers use, and its variance. `None` at ratio 1 or
/// without enough data.
pub(super) fn primary_effect(arms: &[ArmRun; 2], stage: Stage<'_>) -> Option<(f64, f64)> {
    if stage.ratio == Ratio::FULL {
        return None;
    }
    let number = controller::primary_metric_model(stage.model);
    let metric_model = &stage.layer().metric_models[number];
    let clusters = [f64::from(N_GROUPS); 2];
    let [control, treatment] = [0, 1].map(|arm| arm_estimate(arms, arm, number, stage, clusters));
    let (control, treatment) = (control.ok()?, treatment.ok()?);
    let harm = metric_model.harm_of(metric_model.baseline + treatment.estimate - control.estimate);
    Some((harm, control.std_error.powi(2) + treatment.std_error.powi(2)))
}
