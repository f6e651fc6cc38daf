//! What another schedule would have done to the same traffic: prefix sums over requests that both releases answered. The log is not
//! touched, so a thousand schedules cost what one does.

use hashbrown::HashMap;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    bucket::{N_GROUPS, group_start},
    error::{Error, Result},
    metric::{Better, Metric, Sum},
    qos::{RATE_METRICS, qos_of_sums},
    replay::{Arm, Cells, Cube, Stage, stages_of},
    scenario::Scenario,
    stats::{Interval, Known, Reason, jackknife},
};

/// What a schedule would have done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIf {
    /// The scenario's name.
    pub name: String,
    /// Per tenant and layer, in the cube's order.
    pub layers: Vec<WhatIfLayer>,
    /// Users of all layers who would have got the candidate's answers.
    pub exposed_users: u64,
    /// `exposed_users` is an upper bound: see [`WhatIfLayer::users_are_bound`].
    pub users_are_bound: bool,
    /// Requests of all layers that the candidate would have answered.
    pub exposed_requests: u64,
    /// Of these, how many both releases answered.
    pub paired_requests: u64,
}

/// What a schedule would have done in a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfLayer {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// Distinct eligible users whom the candidate would have answered.
    pub exposed_users: u64,
    /// `exposed_users` is an upper bound: the schedule takes a ratio back, and the cube does not know who came only after that; or the log
    /// colored users with several layers, and they count in each.
    pub users_are_bound: bool,
    /// Requests that the candidate would have answered.
    pub exposed_requests: u64,
    /// Of these, how many both releases answered: what everything below rests on.
    pub paired_requests: u64,
    /// QoS on the paired requests.
    pub qos: WhatIfQos,
    /// The guardrails' metrics and costs on the paired requests.
    pub metrics: Vec<WhatIfMetric>,
}

/// QoS of both releases on the same requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfQos {
    /// The baseline's.
    pub baseline: Option<f64>,
    /// The candidate's.
    pub candidate: Option<f64>,
    /// Candidate minus baseline.
    pub effect: Known<PairedEffect>,
}

/// A metric of both releases on the same requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfMetric {
    /// The metric's id.
    pub metric: String,
    /// The baseline's value.
    pub baseline: Option<f64>,
    /// The candidate's value.
    pub candidate: Option<f64>,
    /// Candidate minus baseline.
    pub effect: Known<PairedEffect>,
    /// What all exposed requests together would have cost more than with the baseline, in units of the numerator (events, USD), if the
    /// others were like those that are paired. Above 0 is worse. Only for events and sums of money or tokens.
    pub harm: Known<PairedEffect>,
}

/// A difference on the same requests, by the delete-one-group jackknife.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedEffect {
    /// The difference.
    pub effect_size: f64,
    /// Its standard error.
    pub std_error: f64,
    /// Interval for one look.
    #[serde(flatten)]
    pub ci: Interval,
    /// Bucket groups with data.
    pub n_clusters: usize,
}

/// Running sums over windows, group by group.
struct Running {
    width: usize,
    /// By group: first windows behind each sum.
    windows: Vec<Vec<u32>>,
    /// By group: a row of sums before each of these windows, and one behind the last.
    sums: Vec<Vec<i64>>,
}

impl Running {
    fn new(width: usize) -> Self {
        let groups = usize::from(N_GROUPS);
        Self { width, windows: vec![Vec::new(); groups], sums: vec![vec![0; width]; groups] }
    }

    /// Adds sums of a window; windows come in rising order.
    fn push(&mut self, group: u16, window: u32, added: impl Iterator<Item = i64>) {
        let (windows, sums) = (&mut self.windows[usize::from(group)], &mut self.sums[usize::from(group)]);
        let last = sums.len() - self.width;
        if windows.last() != Some(&window) {
            windows.push(window);
            sums.extend_from_within(last..);
        }
        let last = sums.len() - self.width;
        for (sum, added) in sums[last..].iter_mut().zip(added) {
            *sum += added;
        }
    }

    /// Adds the sums of some windows of a group to `total`.
    fn add(&self, group: u16, windows: &std::ops::Range<u32>, total: &mut [i64]) {
        let (known, sums) = (&self.windows[usize::from(group)], &self.sums[usize::from(group)]);
        let row = |window: u32| first_at(known, window) * self.width;
        let (start, end) = (row(windows.start), row(windows.end));
        if start != end {
            for (column, total) in total.iter_mut().enumerate() {
                *total += sums[end + column] - sums[start + column];
            }
        }
    }
}

/// A cube, ready for any number of schedules.
pub struct WhatIfCube<'a> {
    cube: &'a Cube,
    /// Columns that are kept: of the cube's measures.
    columns: Vec<usize>,
    /// By tenant and layer: paired sums of both releases, and rows of all requests.
    layers: HashMap<(u32, u8), Layer>,
}

struct Layer {
    pairs: [Running; 2],
    requests: Running,
    /// By group: users by the last window in which they came.
    users: Running,
}

impl<'a> WhatIfCube<'a> {
    /// Sums a cube up once, as far as these scenarios ask.
    ///
    /// # Errors
    /// A cube without pairs.
    pub fn new(cube: &'a Cube, scenarios: &[Scenario]) -> Result<Self> {
        if cube.pairs.keys.is_empty() {
            return Err(Error::input("cube", "expected requests that both releases answered, found none")
                .hint("give the candidate's answers to logged requests with `sluice replay --shadow`, joined by trace_id"));
        }
        // Rows first; what nobody asks for would only take room in the cache.
        let asked = scenarios.iter().flat_map(|scenario| scenario.metrics.iter().filter(|metric| is_asked(metric, scenario)));
        let mut columns: Vec<usize> = asked.filter_map(|metric| cube.metric_columns(metric).ok()).flatten().chain([0]).collect();
        columns.sort_unstable();
        columns.dedup();
        let mut layers: HashMap<(u32, u8), Layer> = HashMap::new();
        for layer in &cube.layers {
            let empty = Layer {
                pairs: [Running::new(columns.len()), Running::new(columns.len())],
                requests: Running::new(1),
                users: Running::new(1),
            };
            layers.insert((layer.tenant, layer.layer), empty);
        }
        for idx in in_time(&cube.pairs) {
            let (key, values) = row(&cube.pairs, idx);
            if let Some(layer) = layers.get_mut(&(key.tenant, key.layer)) {
                layer.pairs[key.arm as usize].push(key.group, key.window, columns.iter().map(|column| values[*column]));
            }
        }
        for idx in in_time(&cube.cells) {
            let (key, values) = row(&cube.cells, idx);
            if let Some(layer) = layers.get_mut(&(key.tenant, key.layer)) {
                layer.requests.push(key.group, key.window, std::iter::once(values[0]));
            }
        }
        for row in &cube.activity {
            if let Some(layer) = layers.get_mut(&(row.tenant, row.layer)) {
                layer.users.push(row.group, row.last_window, std::iter::once(row.n_users as i64));
            }
        }
        Ok(Self { cube, columns, layers })
    }

    /// What the operations of some scenarios' plans would have done. A step takes effect with the first whole window after it, and
    /// reaches the bucket groups that lie wholly below its ratio.
    ///
    /// # Errors
    /// A scenario of another ramp than the cube's.
    pub fn of(&self, scenarios: &[Scenario]) -> Result<Vec<WhatIf>> {
        scenarios.iter().try_for_each(|scenario| self.check(scenario))?;
        let mut answers: Vec<WhatIf> = scenarios
            .iter()
            .map(|scenario| WhatIf {
                name: scenario.name.clone(),
                layers: Vec::new(),
                exposed_users: 0,
                users_are_bound: false,
                exposed_requests: 0,
                paired_requests: 0,
            })
            .collect();
        // Layer by layer, so that the sums of one stay in the cache for all schedules.
        for of_cube in &self.cube.layers {
            let layers = scenarios.par_iter().map(|scenario| self.layer(scenario, of_cube.tenant, of_cube.layer));
            for (answer, layer) in answers.iter_mut().zip(layers.collect::<Vec<_>>()) {
                answer.exposed_users += layer.exposed_users;
                answer.users_are_bound |= layer.users_are_bound;
                answer.exposed_requests += layer.exposed_requests;
                answer.paired_requests += layer.paired_requests;
                answer.layers.push(layer);
            }
        }
        Ok(answers)
    }

    fn check(&self, scenario: &Scenario) -> Result<()> {
        let (cube, plan) = (self.cube, &scenario.plan);
        let differs = |what: &str| {
            let found = format!("expected the cube's {what} in what-if scenario {}, found another", scenario.name);
            Err(Error::input("what-if", found).hint("a what-if changes operations and nothing else"))
        };
        if (&plan.baseline, &plan.candidate) != (&cube.baseline, &cube.candidate) {
            return differs("releases");
        }
        if (plan.start, plan.window) != (cube.start, cube.window) {
            return differs("start and window");
        }
        if !plan.layers.iter().map(|layer| &layer.id).eq(&cube.layer_ids) {
            return differs("layers");
        }
        Ok(())
    }

    fn layer(&self, scenario: &Scenario, tenant: u32, layer_idx: u8) -> WhatIfLayer {
        let cube = self.cube;
        let stages = stages_of(&scenario.plan, &cube.tenants[tenant as usize], usize::from(layer_idx), cube.as_of);
        let mut result = WhatIfLayer {
            tenant: cube.tenants[tenant as usize].clone(),
            layer: cube.layer_ids[usize::from(layer_idx)].clone(),
            exposed_users: 0,
            users_are_bound: cube.counts.n_layer_differs > 0 || stages.windows(2).any(|pair| pair[1].ratio < pair[0].ratio),
            exposed_requests: 0,
            paired_requests: 0,
            qos: WhatIfQos { baseline: None, candidate: None, effect: Known::from(Err(Reason::NoData)) },
            metrics: Vec::new(),
        };
        let Some(layer) = self.layers.get(&(tenant, layer_idx)) else { return result };
        let exposures: Vec<(std::ops::Range<u32>, u16)> = stages.iter().filter_map(|stage| self.exposure(stage)).collect();
        let mut groups: Vec<[Vec<i64>; 2]> = Vec::new();
        for group in 0..N_GROUPS {
            let reached = runs_of(exposures.iter().filter(|(_, bps)| group_start(group + 1) <= *bps).map(|(windows, _)| windows));
            let Some(first) = reached.first().map(|windows| windows.start) else { break };
            let (mut users, mut requests) = ([0], [0]);
            layer.users.add(group, &(first..u32::MAX), &mut users);
            result.exposed_users += users[0].unsigned_abs();
            let mut sums = [vec![0; self.columns.len()], vec![0; self.columns.len()]];
            for windows in &reached {
                layer.requests.add(group, windows, &mut requests);
                for (sums, pairs) in sums.iter_mut().zip(&layer.pairs) {
                    pairs.add(group, windows, sums);
                }
            }
            result.exposed_requests += requests[0].unsigned_abs();
            result.paired_requests += sums[0][0].unsigned_abs();
            if sums[0][0] > 0 {
                groups.push(sums);
            }
        }
        let scale = result.exposed_requests as f64 / (result.paired_requests as f64).max(1.0);
        result.qos = self.qos(scenario, &groups);
        let shown = scenario.metrics.iter().filter(|metric| is_shown(metric, scenario));
        result.metrics = shown.map(|metric| self.metric(metric, &groups, scale, scenario)).collect();
        result
    }

    /// Whole windows of a stage, and the buckets that it reaches; `None` if that is nothing.
    fn exposure(&self, stage: &Stage) -> Option<(std::ops::Range<u32>, u16)> {
        let (start, window) = (self.cube.start, self.cube.window);
        let first_whole = |at: i64| u32::try_from((at - start + window - 1).div_euclid(window)).unwrap_or(0);
        let windows = first_whole(stage.start)..first_whole(stage.end);
        (stage.ratio.bps() > 0 && !windows.is_empty()).then(|| (windows, stage.ratio.bps()))
    }

    /// The kept columns of a metric's numerator and denominator, with their units.
    fn columns_of(&self, metric: &Metric) -> Result<[(usize, f64); 2], Reason> {
        let columns = self.cube.metric_columns(metric)?;
        let kept = |which: usize| {
            let column = self.columns.iter().position(|column| *column == columns[which]).ok_or(Reason::NoColumn)?;
            Ok((column, metric.sums()[which].units()))
        };
        Ok([kept(0)?, kept(1)?])
    }

    fn qos(&self, scenario: &Scenario, groups: &[[Vec<i64>; 2]]) -> WhatIfQos {
        let columns: Result<Vec<[(usize, f64); 2]>, Reason> =
            RATE_METRICS.iter().map(|id| scenario.metric(id).ok_or(Reason::NoColumn).and_then(|metric| self.columns_of(metric))).collect();
        let columns = match columns {
            Ok(columns) => columns.concat(),
            Err(reason) => return WhatIfQos { baseline: None, candidate: None, effect: Known::from(Err(reason)) },
        };
        let clusters: Vec<Vec<f64>> = groups
            .iter()
            .map(|sums| sums.iter().flat_map(|sums| columns.iter().map(|(column, units)| sums[*column] as f64 / units)).collect())
            .collect();
        let n = columns.len();
        let of = |sums: &[f64]| qos_of_sums(sums, &scenario.qos);
        let totals = jackknife::totals(&clusters);
        let value = |arm: usize| totals.as_ref().and_then(|sums| of(&sums[arm * n..(arm + 1) * n]));
        let theta = |sums: &[f64]| Some(of(&sums[n..])? - of(&sums[..n])?);
        WhatIfQos { baseline: value(0), candidate: value(1), effect: paired(&clusters, theta, scenario).into() }
    }

    fn metric(&self, metric: &Metric, groups: &[[Vec<i64>; 2]], scale: f64, scenario: &Scenario) -> WhatIfMetric {
        let columns = match self.columns_of(metric) {
            Ok(columns) => columns,
            Err(reason) => {
                let unknown = || Known::from(Err(reason));
                return WhatIfMetric { metric: metric.id.clone(), baseline: None, candidate: None, effect: unknown(), harm: unknown() };
            }
        };
        let clusters: Vec<Vec<f64>> = groups
            .iter()
            .map(|sums| sums.iter().flat_map(|sums| columns.map(|(column, units)| sums[column] as f64 / units)).collect())
            .collect();
        let ratio = |num: f64, den: f64| (den > 0.0).then(|| num / den);
        let totals = jackknife::totals(&clusters);
        let value = |arm: usize| totals.as_ref().and_then(|sums| ratio(sums[2 * arm], sums[2 * arm + 1]));
        let theta = |sums: &[f64]| Some(ratio(sums[2], sums[3])? - ratio(sums[0], sums[1])?);
        let bad = if metric.better == Better::Lower { 1.0 } else { -1.0 };
        let adds_up = metric.proportion || metric.denominator == Sum::Rows;
        let harm =
            if adds_up { paired(&clusters, |sums| Some(bad * scale * (sums[2] - sums[0])), scenario) } else { Err(Reason::NotAdditive) };
        WhatIfMetric {
            metric: metric.id.clone(),
            baseline: value(0),
            candidate: value(1),
            effect: paired(&clusters, theta, scenario).into(),
            harm: harm.into(),
        }
    }
}

/// Index of the first of some rising windows that is not before `window`. Few logs have gaps, so it is most often where it would be
/// without any.
fn first_at(windows: &[u32], window: u32) -> usize {
    match (windows.first(), windows.last()) {
        (Some(first), _) if window <= *first => 0,
        (_, Some(last)) if window > *last => windows.len(),
        (Some(first), _) if windows.get((window - first) as usize) == Some(&window) => (window - first) as usize,
        _ => windows.partition_point(|other| *other < window),
    }
}

/// Windows that follow on each other as one run: most schedules never take a ratio back.
fn runs_of<'a>(windows: impl Iterator<Item = &'a std::ops::Range<u32>>) -> Vec<std::ops::Range<u32>> {
    let mut runs: Vec<std::ops::Range<u32>> = Vec::with_capacity(1);
    for windows in windows {
        match runs.last_mut() {
            Some(last) if last.end == windows.start => last.end = windows.end,
            _ => runs.push(windows.clone()),
        }
    }
    runs
}

/// Whether a metric's numbers are part of the answer.
fn is_shown(metric: &Metric, scenario: &Scenario) -> bool {
    scenario.plan.guardrails.iter().any(|guardrail| guardrail.metric == metric.id) || metric.id == "cost_per_turn_usd"
}

fn is_asked(metric: &Metric, scenario: &Scenario) -> bool {
    is_shown(metric, scenario) || RATE_METRICS.contains(&metric.id.as_str())
}

fn paired(clusters: &[Vec<f64>], theta: impl Fn(&[f64]) -> Option<f64>, scenario: &Scenario) -> Result<PairedEffect, Reason> {
    let estimate = jackknife::delete_one(clusters, theta)?;
    let ci = estimate.interval(scenario.plan.policy.alpha);
    Ok(PairedEffect { effect_size: estimate.estimate, std_error: estimate.std_error, ci, n_clusters: estimate.n_clusters })
}

/// Row numbers of cells in the order of windows.
fn in_time(cells: &Cells) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..cells.keys.len() as u32).collect();
    rows.sort_by_key(|row| cells.keys[*row as usize].window);
    rows
}

fn row(cells: &Cells, idx: u32) -> (&crate::replay::CellKey, &[i64]) {
    let width = cells.values.len() / cells.keys.len();
    (&cells.keys[idx as usize], &cells.values[idx as usize * width..(idx as usize + 1) * width])
}

const _: () = assert!(Arm::Baseline as usize == 0 && Arm::Candidate as usize == 1, "arms are indices");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_found_with_gaps_and_without() {
        for windows in [vec![], vec![3], vec![3, 4, 5, 6], vec![0, 1, 4, 5, 9], vec![7, 8, 20]] {
            for window in 0..25 {
                assert_eq!(first_at(&windows, window), windows.partition_point(|other| *other < window), "{windows:?} {window}");
            }
        }
    }
}
