//! What a step of a ladder can decide: the verdict of the policy's own checks on evidence that has
//! grown for some days, and the search for the day on which it decides.

use crate::analysis::{StageAnalysis, tuned_for};
use crate::base::time::DAY;
use crate::bucket::{N_GROUPS, Ratio, groups_below};
use crate::metric::{Better, Metric};
use crate::qos::{GuardrailInput, QosArm, judge_all};
use crate::scenario::{Guardrail, LATENCY_P95, Policy, Sequential};
use crate::stats::effect::{IntervalSpec, Look, MetricForm, own_interval};
use crate::stats::growth::{ArmGrowth, ClusterGrowth, Observed, Visits};
use crate::stats::non_inferiority::HarmVerdict;
use crate::stats::ratio::{MIN_CLUSTERS, RatioEstimate};
use crate::stats::{Interval, Reason, sequential};

/// The longest time in which a step is expected to decide, days. What takes longer counts as never.
pub(crate) const MAX_DAYS: f64 = 365.0;
/// Ratios that are proposed besides those of the ladder, basis points.
const USUAL_RATIOS: [u16; 8] = [100, 200, 500, 1_000, 2_000, 2_500, 3_000, 5_000];
/// Relative accuracy of a number of days.
const ACCURACY: f64 = 1e-3;

/// Evidence that grows with time at a ratio.
pub(crate) trait Growing {
    /// Whether the check passes after some days at a ratio.
    fn passes(&self, days: f64, ratio: Ratio) -> bool;
    /// Distance from the estimate to the end of its interval that must clear the limit, after some
    /// days at a ratio: the smallest margin that no effect clears. `None` without an interval.
    fn half_width(&self, days: f64, ratio: Ratio) -> Option<f64>;
    /// Number of distinct users of the candidate after some days at a ratio.
    fn users(&self, days: f64, ratio: Ratio) -> f64;
}

/// The first day after `from` on which the check passes at a ratio. `None` if it does not within
/// [`MAX_DAYS`].
pub(crate) fn days_until(growing: &dyn Growing, ratio: Ratio, from: f64) -> Option<f64> {
    first_day(from, |days| growing.passes(days, ratio))
}

/// The first day of `from..=MAX_DAYS` on which something holds that then goes on to hold.
fn first_day(from: f64, holds: impl Fn(f64) -> bool) -> Option<f64> {
    if !holds(MAX_DAYS.max(from)) {
        return None;
    }
    let (mut low, mut high) = (from.max(1e-3), MAX_DAYS.max(from));
    if holds(low) {
        return Some(low);
    }
    while high / low > 1.0 + ACCURACY {
        let middle = (low * high).sqrt();
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// The smallest ratio above `ratio` at which the check passes within `most` days, with its days.
/// Ratios are those of the ladder, and usual ones.
pub(crate) fn next_ratio(
    growing: &dyn Growing,
    ladder: &[Ratio],
    ratio: Ratio,
    most: f64,
) -> Option<(Ratio, f64)> {
    let usual = USUAL_RATIOS.map(|bps| f64::from(bps) / 1e4);
    let usual = usual
        .iter()
        .filter_map(|share| Ratio::try_from_share(*share).ok());
    let mut ratios: Vec<Ratio> = ladder.iter().copied().chain(usual).collect();
    ratios.retain(|other| *other > ratio && *other < Ratio::FULL);
    ratios.sort_unstable();
    ratios.dedup();
    let found = ratios.into_iter().find(|other| growing.passes(most, *other))?;
    Some((found, days_until(growing, found, 0.0)?))
}

/// A guardrail whose arms grow.
pub(crate) struct GuardrailGrowth<'a> {
    pub(crate) policy: &'a Policy,
    /// All guardrails of the plan: Holm's correction covers them together.
    pub(crate) guardrails: &'a [Guardrail],
    pub(crate) idx: usize,
    /// The inputs of all guardrails. Those of the others stay as they are.
    pub(crate) inputs: Vec<GuardrailInput>,
    pub(crate) form: MetricForm,
    pub(crate) better: Better,
    /// The baseline and the candidate.
    pub(crate) arms: [ArmGrowth; 2],
}

impl<'a> GuardrailGrowth<'a> {
    /// A guardrail alone: the correction for several guardrails takes no part in `safe`.
    pub(crate) fn new(
        (policy, guardrails, idx): (&'a Policy, &'a [Guardrail], usize),
        form: MetricForm,
        better: Better,
        arms: [ArmGrowth; 2],
    ) -> Self {
        let unknown = GuardrailInput {
            better,
            effect: Err(Reason::NoData),
            candidate_events: None,
            candidate: Err(Reason::NoData),
        };
        Self {
            policy,
            guardrails,
            idx,
            inputs: vec![unknown; guardrails.len()],
            form,
            better,
            arms,
        }
    }

    /// The guardrail's two arms at a stage of an analysis.
    ///
    /// # Errors
    /// The reason for which an arm has no estimate with an error.
    pub(crate) fn from_stage(
        of: (&'a Policy, &'a [Guardrail], usize),
        stage: &StageAnalysis,
        n_eligible: u64,
        metrics: &[Metric],
    ) -> Result<Self, Reason> {
        let (form, better) = form_of(&of.1[of.2].metric, metrics)?;
        let [baseline, candidate] = estimates(stage, &of.1[of.2].metric)?;
        let arms = [
            arm_growth(&baseline?, stage, 0, form, n_eligible),
            arm_growth(&candidate?, stage, 1, form, n_eligible),
        ];
        Ok(Self::new(of, form, better, arms))
    }

    /// The guardrail if the candidate has the baseline's values: no effect.
    ///
    /// # Errors
    /// The reason for which the baseline has no estimate with an error.
    pub(crate) fn without_effect(
        of: (&'a Policy, &'a [Guardrail], usize),
        stage: &StageAnalysis,
        n_eligible: u64,
        metrics: &[Metric],
    ) -> Result<Self, Reason> {
        let (form, better) = form_of(&of.1[of.2].metric, metrics)?;
        let [baseline, _] = estimates(stage, &of.1[of.2].metric)?;
        let arm = arm_growth(&baseline?, stage, 0, form, n_eligible);
        Ok(Self::new(of, form, better, [arm; 2]))
    }

    /// The evidence after some days at a ratio.
    pub(crate) fn input(&self, days: f64, ratio: Ratio) -> GuardrailInput {
        let guardrail = &self.guardrails[self.idx];
        let [control, treatment] = at(&self.arms, days, ratio);
        let every = self.policy.sequential == Sequential::Anytime;
        let spec = |control: f64, pooled: f64| IntervalSpec {
            alpha: self.policy.alpha,
            v_star: sequential::v_star_for(tuned_for(Some(guardrail), control, pooled)),
        };
        let effect = control.and_then(|control| {
            let treatment = treatment?;
            let pooled = (control.numerator + treatment.numerator).max(1.0)
                / (control.denominator + treatment.denominator);
            let levels = spec(control.estimate, pooled);
            let tau2 = sequential::mixture_variance(levels.v_star, levels.alpha);
            let upwards = self.better == Better::Lower;
            Ok(Look::between(
                &control, &treatment, self.form, levels, tau2, every, upwards,
            ))
        });
        let own = |r: RatioEstimate| {
            let levels = spec(r.estimate, r.estimate);
            (r.estimate, own_interval(&r, self.form, levels, every))
        };
        GuardrailInput {
            better: self.better,
            effect,
            candidate_events: treatment.ok().map(|r| r.numerator),
            candidate: treatment.map(own),
        }
    }

    /// The verdict, and the interval of the harm, after some days at a ratio.
    fn judged(&self, days: f64, ratio: Ratio) -> (HarmVerdict, Option<(f64, Interval)>) {
        let mut inputs = self.inputs.clone();
        inputs[self.idx] = self.input(days, ratio);
        let mut judged = Vec::new();
        judge_all(self.guardrails, &inputs, self.policy.alpha, &mut judged);
        let own = judged[self.idx];
        (own.verdict, own.harm.zip(own.interval))
    }

    /// The first day after `from` on which a violation is shown at a ratio. `None` if it is not
    /// within [`MAX_DAYS`].
    pub(crate) fn days_until_violated(&self, ratio: Ratio, from: f64) -> Option<f64> {
        first_day(from, |days| self.judged(days, ratio).0 == HarmVerdict::Violated)
    }

    /// Upper end of the harm's interval after some days at a ratio, in the metric's unit: a larger
    /// margin is cleared.
    pub(crate) fn upper(&self, days: f64, ratio: Ratio) -> Option<f64> {
        let upper = self.judged(days, ratio).1?.1.ci_upper;
        upper.is_finite().then_some(upper)
    }
}

impl Growing for GuardrailGrowth<'_> {
    fn passes(&self, days: f64, ratio: Ratio) -> bool {
        self.judged(days, ratio).0 == HarmVerdict::Safe
    }

    fn half_width(&self, days: f64, ratio: Ratio) -> Option<f64> {
        let (harm, interval) = self.judged(days, ratio).1?;
        let half_width = interval.ci_upper - harm;
        half_width.is_finite().then_some(half_width)
    }

    fn users(&self, days: f64, ratio: Ratio) -> f64 {
        self.arms[1].visits.users(days, ratio.share())
    }
}

/// The candidate's QoS as its evidence grows.
pub(crate) struct QosGrowth<'a> {
    policy: &'a Policy,
    threshold: f64,
    arm: ArmGrowth,
}

impl<'a> QosGrowth<'a> {
    /// The candidate's QoS at a stage of an analysis.
    pub(crate) fn from_stage(
        (policy, threshold): (&'a Policy, f64),
        qos: &QosArm,
        stage: &StageAnalysis,
        n_eligible: u64,
    ) -> Self {
        let rows = stage.rows.candidate.max(1) as f64;
        let found = plain_estimate(qos.value.qos, qos.std_error, (qos.df, rows, qos.n_clusters));
        let form = MetricForm::Mean { resolution: 0.0 };
        Self {
            policy,
            threshold,
            arm: arm_growth(&found, stage, 1, form, n_eligible),
        }
    }

    fn interval(&self, days: f64, ratio: Ratio) -> Option<Interval> {
        let [_, r] = at(&[self.arm; 2], days, ratio);
        let levels = IntervalSpec {
            alpha: self.policy.alpha,
            v_star: sequential::v_star_for(self.policy.qos_mde),
        };
        let every = self.policy.sequential == Sequential::Anytime;
        let form = MetricForm::Mean { resolution: 0.0 };
        Some(own_interval(&r.ok()?, form, levels, every))
    }
}

impl Growing for QosGrowth<'_> {
    fn passes(&self, days: f64, ratio: Ratio) -> bool {
        let interval = self.interval(days, ratio);
        interval.is_some_and(|interval| interval.ci_lower >= self.threshold)
    }

    fn half_width(&self, days: f64, ratio: Ratio) -> Option<f64> {
        let half_width = self.arm.estimate - self.interval(days, ratio)?.ci_lower;
        half_width.is_finite().then_some(half_width)
    }

    fn users(&self, days: f64, ratio: Ratio) -> f64 {
        self.arm.visits.users(days, ratio.share())
    }
}

/// The estimates of both arms after some days at a ratio.
pub(crate) fn at(arms: &[ArmGrowth; 2], days: f64, ratio: Ratio) -> [Result<RatioEstimate, Reason>; 2] {
    let below = groups_below(ratio.bps());
    [
        arms[0].at(days, 1.0 - ratio.share(), f64::from(N_GROUPS - below)),
        arms[1].at(days, ratio.share(), f64::from(below)),
    ]
}

/// The length of a stage, days.
pub(crate) fn days_of(stage: &StageAnalysis) -> f64 {
    (stage.end - stage.start) as f64 / DAY as f64
}

/// How fast users of a stage come, measured on one arm: 0 for the baseline, 1 for the candidate.
pub(crate) fn visits_of(stage: &StageAnalysis, arm: usize, n_eligible: u64) -> Visits {
    let seen = [stage.users.baseline, stage.users.candidate][arm] as f64;
    Visits::measured(
        seen,
        n_eligible as f64,
        share_of(stage.ratio, arm),
        days_of(stage),
    )
}

fn share_of(ratio: Ratio, arm: usize) -> f64 {
    [1.0 - ratio.share(), ratio.share()][arm]
}

/// Whether the bucket groups are too few for any error at a ratio, and the smallest ratio with
/// enough of them in both arms.
pub(crate) fn least_groups(ratio: Ratio) -> Option<(u16, Ratio)> {
    let n_groups = groups_below(ratio.bps());
    let least = Ratio::try_from_share(MIN_CLUSTERS as f64 / 1e4).ok()?;
    (usize::from(n_groups) < MIN_CLUSTERS).then_some((n_groups, least))
}

/// The form of a metric and the direction in which it improves.
fn form_of(id: &str, metrics: &[Metric]) -> Result<(MetricForm, Better), Reason> {
    if id == LATENCY_P95 {
        return Ok((MetricForm::Mean { resolution: 0.0 }, Better::Lower));
    }
    let metric = metrics.iter().find(|metric| metric.id == id);
    let metric = metric.ok_or(Reason::NoColumn)?;
    Ok((metric.form(), metric.better))
}

type ArmEstimates = [Result<RatioEstimate, Reason>; 2];

/// The estimates of the baseline and the candidate for a guardrail's metric.
fn estimates(stage: &StageAnalysis, id: &str) -> Result<ArmEstimates, Reason> {
    if id == LATENCY_P95 {
        let latency = &stage.latency_p95_ms;
        return Ok([latency.baseline, latency.candidate].map(|found| {
            let q = found.result()?;
            Ok(plain_estimate(
                q.estimate,
                q.std_error,
                (q.df, q.n as f64, q.n_clusters),
            ))
        }));
    }
    let found = stage.metrics.iter().find(|metric| metric.metric == id);
    let found = found.ok_or(Reason::NoColumn)?;
    Ok([found.baseline.robust.result(), found.candidate.robust.result()])
}

/// A value as a mean of rows with the same error.
fn plain_estimate(estimate: f64, std_error: f64, (df, n, n_clusters): (f64, f64, usize)) -> RatioEstimate {
    RatioEstimate {
        estimate,
        numerator: estimate * n,
        denominator: n,
        std_error,
        df,
        n_clusters,
        n_units: n_clusters as f64,
        unstable: false,
    }
}

/// The growth of one arm of a stage.
fn arm_growth(
    found: &RatioEstimate,
    stage: &StageAnalysis,
    arm: usize,
    form: MetricForm,
    n_eligible: u64,
) -> ArmGrowth {
    let (share, days) = (share_of(stage.ratio, arm), days_of(stage));
    let visits = visits_of(stage, arm, n_eligible);
    let below = groups_below(stage.ratio.bps());
    let n_groups = usize::from([N_GROUPS - below, below][arm]);
    // Counters name no users. Of a log, more clusters than bucket groups can only be users.
    let clusters = if n_eligible == 0 {
        ClusterGrowth::Periods {
            per_day: found.n_clusters as f64 / days,
        }
    } else if found.n_clusters > n_groups {
        ClusterGrowth::Users
    } else {
        ClusterGrowth::Groups
    };
    let of = Observed {
        days,
        share,
        is_proportion: form == MetricForm::Proportion,
    };
    ArmGrowth::measured(found, of, visits, clusters)
}

#[cfg(test)]
mod tests;
