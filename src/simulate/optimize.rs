//! Optimization: the fastest schedule that keeps all bounds. The search evaluates a grid of
//! ladders, dwells and boundaries exactly, then simulates the best schedules.

use rayon::prelude::*;
use std::sync::OnceLock;

use crate::base::error::{Error, Result};
use crate::base::number::number;
use crate::base::time::{HOUR, Micros};
use crate::bucket::{Ratio, groups_below};
use crate::metric::Better;
use crate::ramp::exact::ExactRamp;
use crate::scenario::{Boundary, Budget, Controller, PlanVariant, Scenario, Simulation, World, WorldEffect};
use crate::simulate::document::{Candidate, Finalist, LayerOptimum, Optimum};
use crate::simulate::forecast::{simulation, summarize};
use crate::simulate::model::{BaselineInputs, LayerModel, Measured, Model, metrics_of};
use crate::simulate::run::Run;
use crate::stats::dist::{norm_isf, norm_sf};
use crate::stats::effect::FEW_EVENTS;
use crate::stats::ratio::MIN_CLUSTERS;

/// Shares below 1 that a ladder may contain.
const SHARES: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5];
/// The largest number of steps below 1.
const MAX_STEPS: usize = 5;
/// Dwells of the search grid, hours.
const DWELLS: [f64; 10] = [6.0, 12.0, 24.0, 36.0, 48.0, 72.0, 96.0, 120.0, 168.0, 336.0];

/// The largest number of points in the documented front.
const MAX_FRONT: usize = 40;

/// The inputs of the search for a layer.
struct Target<'a> {
    model: &'a LayerModel,
    metric_model: usize,
    mde: f64,
    window: Micros,
}

impl Target<'_> {
    /// Returns the expected number of users during a dwell, and the variance of a user's mean
    /// outcome.
    fn stage(&self, dwell_hours: f64) -> (f64, f64) {
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

    /// Whether the first step has enough bucket groups and events for a valid test.
    fn is_measurable(&self, share: f64, dwell_hours: f64) -> bool {
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
    fn harm(&self, dwell_hours: f64) -> f64 {
        let windows = dwell_hours * HOUR as f64 / self.window as f64;
        self.mde * self.model.turns * self.model.metric_models[self.metric_model].share * windows
    }
}

/// Searches the grid for each layer with exact probabilities, and simulates the best schedules.
///
/// # Errors
/// The scenario has no `[simulate]`, no world, or no guardrail with a margin, or a value of the
/// baseline is neither declared nor measured.
///
/// # References
/// `docs/METHODS.md#optimal-schedules`.
pub fn optimize(scenario: &Scenario, measured: Option<&Measured>) -> Result<Optimum> {
    let simulation = simulation(scenario)?;
    let baseline_inputs = BaselineInputs::new(scenario, simulation, measured)?;
    let budget = &simulation.budget;
    let (metric, mde_of) = objective(scenario, budget)?;
    let none = World {
        id: "none".into(),
        effects: Vec::new(),
        opt_out_per_day: 0.0,
        drift_per_day: 0.0,
        candidate_loss: 0.0,
    };
    let boundaries = vec![Boundary::default(); scenario.plan.layers.len()];
    let base = PlanVariant {
        id: "base".into(),
        plan: scenario.plan.clone(),
        controller: Controller::Policy,
        boundaries,
    };
    let model = Model::new(scenario, simulation, &baseline_inputs, &base, &none);
    let metric_model = metrics_of(&scenario.plan)
        .iter()
        .position(|id| *id == metric)
        .unwrap_or(0);
    let grid = Grid::new(budget.max_false_rollback);
    let mut layers = Vec::new();
    let mut toml = String::new();
    let mut largest: f64 = 0.0;
    for (idx, of_model) in model.layers.iter().enumerate() {
        let layer = &scenario.plan.layers[idx];
        let mde = mde_of(of_model.metric_models[metric_model].baseline);
        largest = largest.max(mde);
        let target = Target {
            model: of_model,
            metric_model,
            mde,
            window: scenario.plan.window,
        };
        let mut found = search(&target, budget, &layer.id, &grid);
        found.finalists = finalists(
            scenario,
            simulation,
            &baseline_inputs,
            idx,
            &found.front_or_chosen(),
            (&metric, mde),
        );
        if let Some(chosen) = &found.chosen {
            let ladder: Vec<String> = chosen.ladder.iter().map(|share| format!("{share:?}")).collect();
            toml.push_str(&format!(
                "# {}: {}\n[[simulate.plan.layer]]\nid = \"{}\"\nladder = [{}]\ndwell_hours = {:?}\nboundary = \"{}\"\n",
                layer.id,
                found.why,
                layer.id,
                ladder.join(", "),
                chosen.dwell_hours,
                chosen.boundary.name()
            ));
        }
        layers.push(found);
    }
    let toml = format!(
        "[[simulate.plan]]\nid = \"optimized\"\ncontroller = \"group_sequential\"\nalpha = {:?}\n{toml}",
        budget.max_false_rollback
    );
    Ok(Optimum {
        metric,
        mde: largest,
        max_false_rollback: budget.max_false_rollback,
        max_missed: budget.max_missed,
        max_harm: budget.max_harm,
        max_overspend: budget.max_overspend,
        layers,
        toml,
    })
}

type MdeOf = Box<dyn Fn(f64) -> f64>;

/// Returns the metric's id, and a function from the baseline's value to the harm that must be
/// detected.
fn objective(scenario: &Scenario, budget: &Budget) -> Result<(String, MdeOf)> {
    let plan = &scenario.plan;
    let guardrail = match &budget.metric {
        Some(metric) => plan
            .guardrails
            .iter()
            .find(|guardrail| guardrail.metric == *metric),
        None => plan.first_margin(),
    };
    let guardrail = guardrail.ok_or_else(|| {
        Error::usage("expected a guardrail with a margin for `simulate.budget.metric`, found none")
            .hint("declare one as [[guardrail]], with the harm that matters as its margin")
    })?;
    let (mde, of_margin) = (budget.mde, guardrail.clone());
    // The checks of the scenario make sure that the guardrail has a margin.
    let mde_of: MdeOf = Box::new(move |control: f64| mde.or(of_margin.margin(control)).unwrap_or(0.0));
    Ok((guardrail.metric.clone(), mde_of))
}

/// Returns all rising ladders of the grid.
fn ladders() -> Vec<Vec<f64>> {
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

const BOUNDARIES: [Boundary; 3] = [Boundary::Pocock, Boundary::ObrienFleming, Boundary::Bonferroni];

/// Computes the one-sided z boundaries of a ladder's gates. They depend only on fractions of the
/// information, so one design applies to every dwell. `None` if no design exists.
fn bounds_of(ladder: &[f64], boundary: Boundary, alpha: f64) -> Option<Vec<Option<f64>>> {
    let information: Vec<f64> = ladder
        .iter()
        .scan(0.0, |sum, e| {
            *sum += e * (1.0 - e);
            Some(*sum)
        })
        .collect();
    boundary.bounds(&information, alpha)
}

/// All ladders of the grid with all boundaries. A design is computed at its first use and shared by
/// all layers and dwells.
struct Grid {
    ladders: Vec<Vec<f64>>,
    alpha: f64,
    designs: Vec<OnceLock<Option<Vec<Option<f64>>>>>,
}

impl Grid {
    fn new(alpha: f64) -> Self {
        let ladders = ladders();
        let designs = (0..ladders.len() * BOUNDARIES.len())
            .map(|_| OnceLock::new())
            .collect();
        Self {
            ladders,
            alpha,
            designs,
        }
    }

    fn bounds(&self, ladder: usize, boundary: usize) -> Option<&Vec<Option<f64>>> {
        let design = &self.designs[ladder * BOUNDARIES.len() + boundary];
        design
            .get_or_init(|| bounds_of(&self.ladders[ladder], BOUNDARIES[boundary], self.alpha))
            .as_ref()
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

fn search(target: &Target<'_>, budget: &Budget, layer: &str, grid: &Grid) -> LayerOptimum {
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
    let keeps_errors = |c: &Candidate| {
        c.p_false_rollback <= budget.max_false_rollback + slack && c.p_missed <= budget.max_missed
    };
    let keeps_harm = |c: &Candidate| match (budget.max_harm, budget.max_overspend, c.p_overspend) {
        (Some(_), Some(most), Some(p)) => p <= most,
        (Some(most), None, _) => c.expected_harm <= most,
        _ => true,
    };
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
                && may_be_better(
                    target,
                    budget,
                    &grid.ladders[*l],
                    stages[*d],
                    &|| grid.bounds(*l, *b),
                    least,
                )
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
            let bounds = grid.bounds(l, b)?;
            evaluate(
                target,
                budget,
                &grid.ladders[l],
                DWELLS[d],
                stages[d],
                (BOUNDARIES[b], bounds),
            )
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
        (Some(c), _) => format!(
            "the fastest of {} schedules that keep every bound: {} days without harm, {} % missed, harm {}",
            schedules.len(),
            number(c.hours_if_good / 24.0),
            number(c.p_missed * 100.0),
            number(c.expected_harm)
        ),
        (None, Some(least)) => format!(
            "no schedule keeps the harm budget: the least harmful one within the error bounds has a harm of {} in {} days",
            number(least.expected_harm),
            number(least.hours_if_good / 24.0)
        ),
        (None, None) => format!(
            "no schedule of the grid detects a harm of {} with {} % power: there are too few users, or the harm is too small",
            number(target.mde),
            number((1.0 - budget.max_missed) * 100.0)
        ),
    };
    LayerOptimum {
        layer: layer.to_owned(),
        n_schedules: schedules.len(),
        n_evaluated,
        chosen,
        why,
        front,
        finalists: Vec::new(),
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

/// Whether a schedule may keep the bound on misses and cause less harm than `least`. The bound on
/// misses uses the most powerful test. The bound on harm uses each gate alone.
fn may_be_better<'a>(
    target: &Target<'_>,
    budget: &Budget,
    ladder: &[f64],
    stage: StageLoad,
    bounds: &dyn Fn() -> Option<&'a Vec<Option<f64>>>,
    least: f64,
) -> bool {
    let ramp = ExactRamp {
        shares: ladder.to_vec(),
        n: vec![stage.users; ladder.len()],
        sigma2: stage.sigma2,
    };
    let (_, information) = ramp.gates();
    let total = information.last().copied().unwrap_or(0.0);
    if norm_sf(target.mde * total.sqrt() - norm_isf(budget.max_false_rollback)) > budget.max_missed
        || ladder[0] * stage.harm >= least
    {
        return false;
    }
    if least.is_infinite() {
        return true;
    }
    let Some(bounds) = bounds() else { return false };
    let (mut reached, mut sum) = (1.0_f64, 0.0);
    for ((share, information), bound) in ladder.iter().zip(&information).zip(bounds) {
        sum += reached.max(0.0) * share * stage.harm;
        reached -= bound.map_or(0.0, |c| norm_sf(c - target.mde * information.sqrt()));
    }
    sum < least
}

fn evaluate(
    target: &Target<'_>,
    budget: &Budget,
    ladder: &[f64],
    dwell_hours: f64,
    stage: StageLoad,
    (boundary, bounds): (Boundary, &[Option<f64>]),
) -> Option<Candidate> {
    let ramp = ExactRamp {
        shares: ladder.to_vec(),
        n: vec![stage.users; ladder.len()],
        sigma2: stage.sigma2,
    };
    let c: Vec<f64> = bounds
        .iter()
        .map(|bound| bound.unwrap_or(f64::INFINITY))
        .collect();
    let bad = ramp.outcome(&c, -target.mde).ok()?;
    // Bonferroni boundaries do not spend the whole error level, so the error without an effect is
    // computed for every schedule.
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
        boundary,
        bounds: bounds.to_vec(),
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

/// Simulates schedules of one layer, without an effect and with the harm that must be detected.
/// Each runs under the group-sequential controller and under the plan's own policy. The layer runs
/// alone, because the bounds hold for each layer by itself.
pub(super) fn finalists(
    scenario: &Scenario,
    simulation: &Simulation,
    baseline_inputs: &BaselineInputs,
    layer_idx: usize,
    candidates: &[Candidate],
    (metric, mde): (&str, f64),
) -> Vec<Finalist> {
    let better = scenario
        .metric(metric)
        .map_or(Better::Lower, |metric| metric.better);
    let effect = if better == Better::Lower { mde } else { -mde };
    let world = |effects: Vec<WorldEffect>| World {
        id: "finalist".into(),
        effects,
        opt_out_per_day: 0.0,
        drift_per_day: 0.0,
        candidate_loss: 0.0,
    };
    let bad = WorldEffect {
        metric: metric.to_owned(),
        layer_idx: None,
        effect,
        dimension: None,
        during: None,
    };
    let worlds = [world(Vec::new()), world(vec![bad])];
    let mut finalists = Vec::new();
    for candidate in candidates {
        for controller in [Controller::GroupSequential, Controller::Policy] {
            let mut plan = scenario.plan.clone();
            plan.operations.clear();
            plan.policy.alpha = if controller == Controller::GroupSequential {
                simulation.budget.max_false_rollback
            } else {
                plan.policy.alpha
            };
            // The plan contains this layer only.
            let mut layer = plan.layers.swap_remove(layer_idx);
            layer.ladder = candidate
                .ladder
                .iter()
                .filter_map(|share| Ratio::try_from_share(*share).ok())
                .collect();
            layer.initial_ratio = Ratio::ZERO;
            layer.dwell = (candidate.dwell_hours * HOUR as f64) as Micros;
            layer.after.clear();
            plan.layers = vec![layer];
            if let Some(first) = plan
                .guardrails
                .iter()
                .position(|guardrail| guardrail.metric == metric)
            {
                plan.guardrails.swap(0, first);
            }
            let own = BaselineInputs {
                layers: vec![baseline_inputs.layers[layer_idx].clone()],
                rates: vec![baseline_inputs.rates[layer_idx].clone()],
            };
            // A run that takes three times the schedule's length counts as not finished.
            let horizon = ((candidate.hours_if_good * 3.0 + 24.0) * HOUR as f64) as Micros;
            let simulation = Simulation {
                horizon,
                ..simulation.clone()
            };
            let variant = PlanVariant {
                id: "finalist".into(),
                plan,
                controller,
                boundaries: vec![candidate.boundary],
            };
            let results = worlds.each_ref().map(|world| {
                let model = Model::new_with_metrics(
                    scenario,
                    &simulation,
                    &own,
                    &variant,
                    world,
                    metrics_of(&scenario.plan),
                );
                let outcomes: Vec<_> = (0..simulation.n_runs)
                    .into_par_iter()
                    .map(|run| Run::new(&model, scenario.seed, u64::from(run)).run(&mut |_, _| {}))
                    .collect();
                summarize(&model, &outcomes)
            });
            let [none, harmed] = results;
            finalists.push(Finalist {
                ladder: candidate.ladder.clone(),
                dwell_hours: candidate.dwell_hours,
                controller: controller.name().into(),
                p_false_rollback: none.p_rollback,
                p_missed: harmed.p_full,
                p_never_finishes: none.p_never_finishes,
                hours_to_full: none.hours_to_full,
            });
        }
    }
    finalists
}
