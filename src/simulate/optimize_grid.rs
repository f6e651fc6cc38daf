//! The grid of the optimization: ladders, boundaries and dwells, evaluated by the exact recursion
//! under the group-sequential policy.

use rayon::prelude::*;

use crate::base::time::{HOUR, Micros};
use crate::bucket::groups_below;
use crate::metric::Better;
use crate::ramp::exact::ExactRamp;
use crate::scenario::Budget;
use crate::simulate::document::{Candidate, LayerOptimum};
use crate::simulate::model::LayerModel;
use crate::stats::dist::{norm_isf, norm_sf};
use crate::stats::effect::FEW_EVENTS;
use crate::stats::gates::{GateRule, planned_bounds, planned_drift};
use crate::stats::group_sequential::Spending;
use crate::stats::ratio::MIN_CLUSTERS;
use crate::words::simulate as sentence;
use crate::words::{Count, Days, Number, Percent};

/// Shares below 1 that a ladder may contain.
pub(super) const SHARES: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5];
/// The largest number of steps below 1.
const MAX_STEPS: usize = 5;
/// Dwells of the search grid, hours.
pub(super) const DWELLS: [f64; 10] = [6.0, 12.0, 24.0, 36.0, 48.0, 72.0, 96.0, 120.0, 168.0, 336.0];

/// The largest number of points in the documented front.
const MAX_FRONT: usize = 40;

/// The inputs of the search for a layer.
pub(super) struct Target<'a> {
    pub(super) model: &'a LayerModel,
    pub(super) metric_model: usize,
    pub(super) mde: f64,
    pub(super) window: Micros,
}

impl Target<'_> {
    /// Returns the expected number of users during a dwell, and the variance of a user's mean
    /// outcome.
    pub(super) fn stage(&self, dwell_hours: f64) -> (f64, f64) {
        let metric_model = &self.model.metric_models[self.metric_model];
        let windows = dwell_hours * HOUR as f64 / self.window as f64;
        let users = self.model.n_users * -(-self.model.activity * windows).exp_m1();
        let rows = self.model.turns * windows * metric_model.share / users;
        // A harm can raise the variance of a proportion. The larger variance of both worlds keeps
        // the bound on misses.
        let harmed = if metric_model.better == Better::Lower {
            metric_model.baseline + self.mde
        } else {
            metric_model.baseline - self.mde
        }
        .clamp(0.0, 1.0);
        let row = if metric_model.is_proportion {
            (metric_model.baseline * (1.0 - metric_model.baseline)).max(harmed * (1.0 - harmed))
        } else {
            metric_model.within
        };
        let all_rows = rows * users;
        (
            users,
            row / rows.max(f64::MIN_POSITIVE)
                + metric_model.between * users * self.model.together(metric_model, all_rows, 1.0),
        )
    }

    /// The metric's value under the baseline.
    pub(super) fn baseline(&self) -> f64 {
        self.model.metric_models[self.metric_model].baseline
    }

    /// Whether the first step has enough bucket groups and events for a valid test.
    pub(super) fn is_measurable(&self, share: f64, dwell_hours: f64) -> bool {
        let metric_model = &self.model.metric_models[self.metric_model];
        let rows =
            self.model.turns * metric_model.share * share * dwell_hours * HOUR as f64 / self.window as f64;
        let events = if metric_model.is_proportion {
            rows * metric_model.baseline.min(1.0 - metric_model.baseline)
        } else {
            rows
        };
        usize::from(groups_below((share * 10_000.0).round() as u16)) >= MIN_CLUSTERS && events >= FEW_EVENTS
    }

    /// Harm during a dwell at ratio 1, in events or units of the metric.
    pub(super) fn harm(&self, dwell_hours: f64) -> f64 {
        let windows = dwell_hours * HOUR as f64 / self.window as f64;
        self.mde * self.model.turns * self.model.metric_models[self.metric_model].share * windows
    }
}

/// Returns all rising ladders of the grid.
pub(super) fn ladders() -> Vec<Vec<f64>> {
    let mut ladders = Vec::new();
    for bits in 1_u32..1 << SHARES.len() {
        if bits.count_ones() as usize <= MAX_STEPS {
            ladders.push(
                (0..SHARES.len())
                    .filter(|idx| bits >> idx & 1 == 1)
                    .map(|idx| SHARES[idx])
                    .collect(),
            );
        }
    }
    ladders
}

/// The boundaries of the search.
const BOUNDARIES: [Spending; 4] = [
    Spending::Pocock,
    Spending::ObrienFleming,
    Spending::KimDeMets(2.0),
    Spending::HwangShihDeCani(-4.0),
];

/// Expected information at the last gate over the planned one. The last promotion waits for the
/// planned information, so a schedule without a reserve would wait in half of the runs.
const RESERVE: f64 = 1.1;

/// All ladders of the grid, with the drift of each boundary at the planned information.
pub(super) struct Grid {
    ladders: Vec<Vec<f64>>,
    /// One-sided error level of the gates.
    alpha: f64,
    /// [`planned_drift`] by boundary; `None` if there is none.
    drifts: Vec<Option<f64>>,
}

impl Grid {
    /// A grid for gates at the level `alpha` that miss a harm with probability `missed`.
    pub(super) fn new(alpha: f64, missed: f64) -> Self {
        Self {
            ladders: ladders(),
            alpha,
            drifts: BOUNDARIES
                .iter()
                .map(|boundary| planned_drift(alpha, missed, *boundary).ok())
                .collect(),
        }
    }

    /// The rule of the gates for a harm.
    fn rule(&self, boundary: usize, mde: f64) -> Option<GateRule> {
        self.drifts[boundary].map(|drift| GateRule {
            alpha: self.alpha,
            spending: BOUNDARIES[boundary],
            planned: (drift / mde).powi(2),
        })
    }

    /// Returns all schedules as indices of ladder, boundary and dwell, the fastest first.
    fn schedules(&self) -> Vec<[usize; 3]> {
        let mut all: Vec<[usize; 3]> = (0..self.ladders.len())
            .flat_map(|l| (0..BOUNDARIES.len()).flat_map(move |b| (0..DWELLS.len()).map(move |d| [l, b, d])))
            .collect();
        let hours = |schedule: &[usize; 3]| DWELLS[schedule[2]] * self.ladders[schedule[0]].len() as f64;
        all.sort_by(|a, b| hours(a).total_cmp(&hours(b)).then(a.cmp(b)));
        all
    }
}

/// Number of schedules that are evaluated in parallel.
const BATCH: usize = 256;

pub(super) fn search(target: &Target<'_>, budget: &Budget, layer: &str, grid: &Grid) -> LayerOptimum {
    let stages: Vec<StageLoad> = DWELLS
        .iter()
        .map(|dwell| {
            let (users, sigma2) = target.stage(*dwell);
            StageLoad {
                users,
                sigma2,
                harm: target.harm(*dwell),
            }
        })
        .collect();
    let slack = 1e-9;
    let keeps_errors =
        |c: &Candidate| c.p_false_rollback <= grid.alpha + slack && c.p_missed <= budget.max_missed;
    let keeps_harm = |c: &Candidate| keeps_harm(c, budget);
    let schedules = grid.schedules();
    let (mut n_evaluated, mut chosen): (usize, Option<Candidate>) = (0, None);
    let mut front: Vec<Candidate> = Vec::new();
    let mut rest = schedules.iter();
    loop {
        // A schedule slower than the front must be less harmful. A cheap bound excludes most
        // schedules that cannot be.
        let least = front.last().map_or(f64::INFINITY, |last| last.expected_harm);
        let promises = |[l, b, d]: &[usize; 3]| {
            DWELLS[*d] >= budget.min_dwell_hours
                && target.is_measurable(grid.ladders[*l][0], DWELLS[*d])
                && grid
                    .rule(*b, target.mde)
                    .is_some_and(|rule| may_be_better(target, &grid.ladders[*l], stages[*d], rule, least))
        };
        let batch: Vec<[usize; 3]> = rest
            .by_ref()
            .filter(|schedule| promises(schedule))
            .take(BATCH)
            .copied()
            .collect();
        if batch.is_empty() {
            break;
        }
        n_evaluated += batch.len();
        let exact = |[l, b, d]: [usize; 3]| {
            let rule = grid.rule(b, target.mde)?;
            evaluate(target, budget, &grid.ladders[l], DWELLS[d], stages[d], rule)
        };
        let found: Vec<Option<Candidate>> = batch.into_par_iter().map(exact).collect();
        for candidate in found.into_iter().flatten().filter(keeps_errors) {
            if chosen.is_none() && keeps_harm(&candidate) {
                chosen = Some(candidate.clone());
            }
            match front.last_mut() {
                Some(last) if candidate.expected_harm >= last.expected_harm => {}
                Some(last) if candidate.hours_if_good == last.hours_if_good => *last = candidate,
                _ => front.push(candidate),
            }
        }
    }
    // Among equally fast schedules, the least harmful one is chosen.
    if let (Some(first), Some(fast)) = (&mut chosen, front.iter().find(|candidate| keeps_harm(candidate)))
        && fast.hours_if_good <= first.hours_if_good
    {
        *first = fast.clone();
    }
    front.truncate(MAX_FRONT);
    let why = match (&chosen, front.last()) {
        (Some(c), _) => sentence::fastest_of(
            Count(schedules.len() as u64),
            Days(c.hours_if_good / 24.0),
            Percent(c.p_missed),
            Number(c.expected_harm),
        ),
        (None, Some(least)) => {
            sentence::no_harm_budget(Number(least.expected_harm), Days(least.hours_if_good / 24.0))
        }
        (None, None) => sentence::no_power(Number(target.mde), Percent(1.0 - budget.max_missed)),
    };
    LayerOptimum {
        layer: layer.to_owned(),
        n_schedules: schedules.len(),
        n_evaluated,
        chosen,
        why: why.en,
        why_zh: why.zh,
        front,
        finalists: Vec::new(),
        nearest: None,
        blocked_by: None,
    }
}

/// Whether a schedule keeps the bound on harm.
pub(super) fn keeps_harm(candidate: &Candidate, budget: &Budget) -> bool {
    match (budget.max_harm, budget.max_overspend, candidate.p_overspend) {
        (Some(_), Some(most), Some(p)) => p <= most,
        (Some(most), None, _) => candidate.expected_harm <= most,
        _ => true,
    }
}

/// Users, variance and harm of one stage of a layer, for a given dwell.
#[derive(Debug, Clone, Copy)]
struct StageLoad {
    /// Number of distinct users during the stage.
    users: f64,
    /// Variance of a user's mean outcome.
    sigma2: f64,
    /// Harm of the whole layer during the stage at ratio 1, in events or units of the metric.
    harm: f64,
}

/// Whether a schedule reaches the planned information and may cause less harm than `least`. A
/// boundary is at least the normal quantile of the level spent so far, which bounds the probability
/// to stop at a gate.
fn may_be_better(target: &Target<'_>, ladder: &[f64], stage: StageLoad, rule: GateRule, least: f64) -> bool {
    let information = ramp_of(ladder, stage).gates().1;
    let total = information.last().copied().unwrap_or(0.0);
    if total < RESERVE * rule.planned || ladder[0] * stage.harm >= least {
        return false;
    }
    let (mut reached, mut sum) = (1.0_f64, 0.0);
    for (share, information) in ladder.iter().zip(&information) {
        sum += reached.max(0.0) * share * stage.harm;
        let spent = rule.spending.spent(rule.alpha, information / rule.planned);
        reached -= norm_sf(norm_isf(spent) - target.mde * information.sqrt());
    }
    sum < least
}

fn ramp_of(ladder: &[f64], stage: StageLoad) -> ExactRamp {
    ExactRamp {
        shares: ladder.to_vec(),
        n: vec![stage.users; ladder.len()],
        sigma2: stage.sigma2,
    }
}

fn evaluate(
    target: &Target<'_>,
    budget: &Budget,
    ladder: &[f64],
    dwell_hours: f64,
    stage: StageLoad,
    rule: GateRule,
) -> Option<Candidate> {
    let ramp = ramp_of(ladder, stage);
    let bounds = planned_bounds(&ramp.gates().1, rule).ok()?;
    let c: Vec<f64> = bounds
        .iter()
        .map(|bound| bound.unwrap_or(f64::INFINITY))
        .collect();
    let bad = ramp.outcome(&c, -target.mde).ok()?;
    let good = ramp.outcome(&c, 0.0).ok()?;
    let (mut reached, mut expected_harm, mut so_far, mut over) = (1.0, 0.0, 0.0, 0.0);
    for (share, stop) in ladder.iter().zip(&bad.stop_probability) {
        expected_harm += reached * share * stage.harm;
        let before = so_far;
        so_far += share * stage.harm;
        if budget
            .max_harm
            .is_some_and(|most| before <= most && so_far > most)
        {
            over = reached;
        }
        reached -= stop;
    }
    Some(Candidate {
        ladder: ladder.iter().copied().chain([1.0]).collect(),
        dwell_hours,
        boundary: rule.spending.name(),
        boundary_parameter: rule.spending.parameter(),
        spending: rule.spending,
        bounds,
        users_per_stage: stage.users,
        sigma2: stage.sigma2,
        hours_if_good: dwell_hours * ladder.len() as f64,
        p_false_rollback: good.p_rollback,
        p_missed: 1.0 - bad.p_rollback,
        stop_probability: bad.stop_probability,
        expected_harm,
        p_overspend: budget.max_harm.map(|_| over),
        expected_exposed: bad.expected_exposed,
    })
}
