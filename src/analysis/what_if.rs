//! Computes the effect of another schedule on the same traffic, from prefix sums over requests that
//! both releases answered. The log is not read again, so many schedules are cheap.

use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

use crate::analysis::span::{LayerSpan, cells_of};
use crate::base::error::{Error, Result};
use crate::bucket::{N_GROUPS, group_start};
use crate::metric::{Better, Metric, RATE_METRICS, Sum};
use crate::qos::qos_of_sums;
use crate::replay::{ActivityRow, CellKey, Cube, CubeLayer, LayerKey};
use crate::scenario::{Arm, Scenario, Stage, stages_of};
use crate::stats::{Clusters, Interval, Known, Reason, jackknife};

/// The effect of another schedule on the logged traffic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIf {
    /// Name of the scenario: the file's name without its extension.
    pub name: String,
    /// The layers of each tenant, in the cube's order.
    pub layers: Vec<WhatIfLayer>,
    /// The number of users, over all layers, who would have got answers from the candidate.
    pub exposed_users: u64,
    /// Whether `exposed_users` is only an upper bound: see [`WhatIfLayer::users_are_bound`].
    pub users_are_bound: bool,
    /// The number of requests, over all layers, that the candidate would have answered.
    pub exposed_requests: u64,
    /// The number of requests among `exposed_requests` that both releases answered.
    pub paired_requests: u64,
}

/// The effect of another schedule on the logged traffic of one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfLayer {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The number of distinct eligible users who would have got answers from the candidate.
    pub exposed_users: u64,
    /// Whether `exposed_users` is only an upper bound. One reason is a schedule that lowers a
    /// ratio: the cube does not record which users were active only after that. The other reason is
    /// a log that names several layers for a user, who then counts in each.
    pub users_are_bound: bool,
    /// The number of requests that the candidate would have answered.
    pub exposed_requests: u64,
    /// The number of requests among `exposed_requests` that both releases answered: the paired
    /// requests. QoS and metrics use only these.
    pub paired_requests: u64,
    /// The QoS of both releases on the paired requests.
    pub qos: WhatIfQos,
    /// The metrics of guardrails, and the cost per turn, on the paired requests.
    pub metrics: Vec<WhatIfMetric>,
}

/// The QoS of both releases on the same requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfQos {
    /// The baseline's QoS, 0..=1; `None` if a rate has no data.
    pub baseline: Option<f64>,
    /// The candidate's QoS, 0..=1; `None` if a rate has no data.
    pub candidate: Option<f64>,
    /// The effect: candidate minus baseline.
    pub effect: Known<PairedEffect>,
}

/// A metric of both releases on the same requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfMetric {
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// The baseline's value, in the metric's unit; `None` without data.
    pub baseline: Option<f64>,
    /// The candidate's value, in the metric's unit; `None` without data.
    pub candidate: Option<f64>,
    /// The effect: candidate minus baseline.
    pub effect: Known<PairedEffect>,
    /// The additional cost of all exposed requests compared with the baseline, in units of the
    /// numerator (events, USD). It assumes that the other requests resemble the paired ones. A
    /// value above 0 is worse. Known only for events and for sums of money or tokens.
    pub harm: Known<PairedEffect>,
}

/// A difference on the same requests, from the delete-one-group jackknife.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedEffect {
    /// The difference, candidate minus baseline, in the metric's unit. In [`WhatIfMetric::harm`] it
    /// is the total harm over the exposed requests.
    pub effect_size: f64,
    /// The standard error of the difference, in the same unit.
    pub std_error: f64,
    /// The two-sided interval of the difference for one look, at the error level of the policy.
    #[serde(flatten)]
    pub ci: Interval,
    /// The number of bucket groups with data.
    pub n_clusters: usize,
}

/// A cube that is prepared for any number of schedules.
pub struct WhatIfCube<'a> {
    cube: &'a Cube,
    /// The measures of the cube that are needed, as indices. The row count is first. Other measures
    /// would only fill the cache.
    columns: Vec<usize>,
}

/// A layer's prefix sums before each window in which a schedule changes a ratio. Results differ
/// only at these windows. For one schedule, the groups that a ratio includes are adjacent.
struct Running {
    width: usize,
    /// The windows in ascending order, without duplicates. The last is `u32::MAX`, after all data.
    windows: Vec<u32>,
    /// One row per window and group: requests, users whose last window is earlier, and the columns
    /// of the baseline's and the candidate's pairs.
    sums: Vec<i64>,
}

/// A range of kept windows, as indices of the sums before its start and before its end.
#[derive(Clone, Copy)]
struct WindowRun {
    start: usize,
    end: usize,
}

/// The index of each count in a row of [`Running`].
const REQUESTS: usize = 0;
const USERS: usize = 1;
const PAIRS: usize = 2;

impl Running {
    fn new(cube: &Cube, columns: &[usize], layer: LayerKey, mut windows: Vec<u32>) -> Self {
        windows.push(u32::MAX);
        windows.sort_unstable();
        windows.dedup();
        let width = PAIRS + 2 * columns.len();
        let row = width * usize::from(N_GROUPS);
        let mut running = Self {
            width,
            sums: vec![0; row * windows.len()],
            windows,
        };
        for (key, values) in cells_of(
            &cube.cells,
            LayerSpan::one(layer).rows(&cube.cells.keys, CellKey::layer_key),
        ) {
            running.row_behind(key.window, key.group)[REQUESTS] += values[0];
        }
        for (key, values) in cells_of(
            &cube.pairs,
            LayerSpan::one(layer).rows(&cube.pairs.keys, CellKey::layer_key),
        ) {
            let of_arm = PAIRS + columns.len() * key.arm.index();
            let sums = &mut running.row_behind(key.window, key.group)[of_arm..];
            sums.iter_mut()
                .zip(columns)
                .for_each(|(sum, column)| *sum += values[*column]);
        }
        let layer_of = |row: &ActivityRow| LayerKey {
            tenant: row.tenant,
            layer: row.layer,
        };
        for users in &cube.activity[LayerSpan::one(layer).rows(&cube.activity, layer_of)] {
            running.row_behind(users.last_window, users.group)[USERS] += users.n_users as i64;
        }
        for idx in row..running.sums.len() {
            running.sums[idx] += running.sums[idx - row];
        }
        running
    }

    /// The row of the first kept window after this window.
    fn row_behind(&mut self, window: u32, group: u16) -> &mut [i64] {
        let idx = self
            .windows
            .partition_point(|kept| *kept <= window)
            .min(self.windows.len() - 1);
        let start = (idx * usize::from(N_GROUPS) + usize::from(group)) * self.width;
        &mut self.sums[start..start + self.width]
    }

    fn row(&self, idx: usize, group: u16) -> &[i64] {
        let start = (idx * usize::from(N_GROUPS) + usize::from(group)) * self.width;
        &self.sums[start..start + self.width]
    }

    /// Adds the sums of a group over some windows to `total`. The users are those whose last window
    /// is in the range.
    fn add(&self, group: u16, run: WindowRun, total: &mut [i64]) {
        for ((total, until), before) in total
            .iter_mut()
            .zip(self.row(run.end, group))
            .zip(self.row(run.start, group))
        {
            *total += until - before;
        }
    }

    /// The kept windows at which a range starts and ends.
    fn ends(&self, windows: &std::ops::Range<u32>) -> WindowRun {
        let idx = |window: u32| self.windows.partition_point(|kept| *kept < window);
        WindowRun {
            start: idx(windows.start),
            end: idx(windows.end),
        }
    }
}

impl<'a> WhatIfCube<'a> {
    /// Prepares a cube for these scenarios.
    ///
    /// # Errors
    /// When the cube has no pairs.
    pub fn new(cube: &'a Cube, scenarios: &[Scenario]) -> Result<Self> {
        if cube.pairs.keys.is_empty() {
            return Err(Error::input("cube", "expected requests that both releases answered, found none")
                .hint("give the candidate's answers to logged requests with `sluice replay --shadow`, joined by trace_id"));
        }
        let asked = scenarios.iter().flat_map(|scenario| {
            scenario
                .metrics
                .iter()
                .filter(|metric| is_asked(metric, scenario))
        });
        let mut columns: Vec<usize> = asked
            .filter_map(|metric| cube.metric_columns(metric).ok())
            .flatten()
            .chain([0])
            .collect();
        columns.sort_unstable();
        columns.dedup();
        Ok(Self { cube, columns })
    }

    /// Reads only the parts of a cube on disk that these scenarios need.
    ///
    /// # Errors
    /// As [`Cube::read`].
    pub fn read(folder: &Path, scenarios: &[Scenario]) -> Result<Cube> {
        let asked = scenarios.iter().flat_map(|scenario| {
            scenario
                .metrics
                .iter()
                .filter(|metric| is_asked(metric, scenario))
        });
        let sums: Vec<&Sum> = asked.flat_map(Metric::sums).collect();
        Cube::read_pairs(folder, &|sum| *sum == Sum::Rows || sums.contains(&sum))
    }

    /// Computes the results of the scenarios' schedules. A step takes effect with the first whole
    /// window after it. It includes the bucket groups that are completely below its ratio.
    ///
    /// # Errors
    /// When a scenario differs from the cube in its releases, start, window or layers.
    ///
    /// # References
    /// `docs/METHODS.md#what-if`.
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
        // Layer by layer, so that only one layer's sums are in memory at a time.
        for of_cube in &self.cube.layers {
            let exposures: Vec<Exposures> = scenarios
                .iter()
                .map(|scenario| self.exposures(scenario, of_cube))
                .collect();
            let windows = exposures.iter().flat_map(|exposures| {
                exposures
                    .reached
                    .iter()
                    .flat_map(|(windows, _)| [windows.start, windows.end])
            });
            let running = Running::new(self.cube, &self.columns, of_cube.key(), windows.collect());
            let layers = scenarios
                .par_iter()
                .zip(&exposures)
                .map(|(scenario, exposures)| self.layer(scenario, exposures, of_cube, &running));
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
            let found = format!(
                "expected the cube's {what} in what-if scenario {}, found another",
                scenario.name
            );
            Err(Error::input("what-if", found)
                .hint("a what-if scenario may differ from the study only in its operations"))
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

    fn exposures(&self, scenario: &Scenario, of_cube: &CubeLayer) -> Exposures {
        let tenant = &self.cube.tenants[of_cube.tenant as usize];
        let stages = stages_of(
            &scenario.plan,
            tenant,
            usize::from(of_cube.layer),
            self.cube.as_of,
        );
        let goes_back = stages.windows(2).any(|pair| pair[1].ratio < pair[0].ratio);
        Exposures {
            reached: stages.iter().filter_map(|stage| self.exposure(stage)).collect(),
            goes_back,
        }
    }

    fn layer(
        &self,
        scenario: &Scenario,
        exposures: &Exposures,
        of_cube: &CubeLayer,
        running: &Running,
    ) -> WhatIfLayer {
        let cube = self.cube;
        let mut result = WhatIfLayer {
            tenant: cube.tenants[of_cube.tenant as usize].clone(),
            layer: cube.layer_ids[usize::from(of_cube.layer)].clone(),
            exposed_users: 0,
            users_are_bound: cube.counts.n_layer_differs > 0 || exposures.goes_back,
            exposed_requests: 0,
            paired_requests: 0,
            qos: WhatIfQos {
                baseline: None,
                candidate: None,
                effect: Known::from(Err(Reason::NoData)),
            },
            metrics: Vec::new(),
        };
        let end = running.windows.len() - 1;
        let n_pairs = PAIRS + self.columns.len() * Arm::Baseline.index();
        let mut groups: Vec<i64> = Vec::new();
        let mut sums = vec![0; running.width];
        let (mut n_reaching, mut runs) = (usize::MAX, Vec::new());
        for group in 0..N_GROUPS {
            // A ratio includes the first groups. If as many ratios include this group as the
            // previous one, they are the same ratios.
            let reaching = || {
                exposures
                    .reached
                    .iter()
                    .filter(|(_, bps)| group_start(group + 1) <= *bps)
                    .map(|(windows, _)| windows)
            };
            if reaching().count() != n_reaching {
                n_reaching = reaching().count();
                runs = runs_of(reaching())
                    .iter()
                    .map(|windows| running.ends(windows))
                    .collect();
            }
            let Some(first) = runs.first() else { break };
            sums.fill(0);
            runs.iter().for_each(|run| running.add(group, *run, &mut sums));
            result.exposed_users +=
                (running.row(end, group)[USERS] - running.row(first.start, group)[USERS]).unsigned_abs();
            result.exposed_requests += sums[REQUESTS].unsigned_abs();
            result.paired_requests += sums[n_pairs].unsigned_abs();
            if sums[n_pairs] > 0 {
                groups.extend_from_slice(&sums[PAIRS..]);
            }
        }
        let scale = result.exposed_requests as f64 / (result.paired_requests as f64).max(1.0);
        result.qos = self.qos(scenario, &groups);
        let shown = scenario
            .metrics
            .iter()
            .filter(|metric| is_shown(metric, scenario));
        result.metrics = shown
            .map(|metric| self.metric(metric, &groups, scale, scenario))
            .collect();
        result
    }

    /// Converts sums of pairs to their units. The input has the sums of the baseline, then of the
    /// candidate, for each group.
    fn clusters(&self, groups: &[i64], columns: &[(usize, f64)]) -> Clusters {
        let mut values = Vec::with_capacity(columns.len() * groups.len() / self.columns.len());
        for arm in groups.chunks_exact(self.columns.len()) {
            values.extend(columns.iter().map(|(column, units)| arm[*column] as f64 / units));
        }
        Clusters::from_sums(2 * columns.len(), values)
    }

    /// The whole windows of a stage and its number of buckets; `None` if either is 0.
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
            let column = self
                .columns
                .iter()
                .position(|column| *column == columns[which])
                .ok_or(Reason::NoColumn)?;
            Ok((column, metric.sums()[which].units()))
        };
        Ok([kept(0)?, kept(1)?])
    }

    fn qos(&self, scenario: &Scenario, groups: &[i64]) -> WhatIfQos {
        let columns: Result<Vec<[(usize, f64); 2]>, Reason> = RATE_METRICS
            .iter()
            .map(|id| {
                scenario
                    .metric(id)
                    .ok_or(Reason::NoColumn)
                    .and_then(|metric| self.columns_of(metric))
            })
            .collect();
        let columns = match columns {
            Ok(columns) => columns.concat(),
            Err(reason) => {
                return WhatIfQos {
                    baseline: None,
                    candidate: None,
                    effect: Known::from(Err(reason)),
                };
            }
        };
        let clusters = self.clusters(groups, &columns);
        let totals = clusters.totals();
        let n = columns.len();
        let of = |sums: &[f64]| qos_of_sums(sums, &scenario.qos);
        let theta = |sums: &[f64]| Some(of(&sums[n..])? - of(&sums[..n])?);
        WhatIfQos {
            baseline: of(&totals[..n]),
            candidate: of(&totals[n..]),
            effect: paired(&clusters, theta, scenario).into(),
        }
    }

    fn metric(&self, metric: &Metric, groups: &[i64], scale: f64, scenario: &Scenario) -> WhatIfMetric {
        let columns = match self.columns_of(metric) {
            Ok(columns) => columns,
            Err(reason) => {
                let unknown = || Known::from(Err(reason));
                return WhatIfMetric {
                    metric: metric.id.clone(),
                    baseline: None,
                    candidate: None,
                    effect: unknown(),
                    harm: unknown(),
                };
            }
        };
        let clusters = self.clusters(groups, &columns);
        let totals = clusters.totals();
        let ratio = |num: f64, den: f64| (den > 0.0).then(|| num / den);
        let theta = |sums: &[f64]| Some(ratio(sums[2], sums[3])? - ratio(sums[0], sums[1])?);
        let bad = if metric.better == Better::Lower { 1.0 } else { -1.0 };
        let adds_up = metric.proportion || metric.denominator == Sum::Rows;
        let harm = if adds_up {
            paired(
                &clusters,
                |sums| Some(bad * scale * (sums[2] - sums[0])),
                scenario,
            )
        } else {
            Err(Reason::NotAdditive)
        };
        WhatIfMetric {
            metric: metric.id.clone(),
            baseline: ratio(totals[0], totals[1]),
            candidate: ratio(totals[2], totals[3]),
            effect: paired(&clusters, theta, scenario).into(),
            harm: harm.into(),
        }
    }
}

/// The windows that a schedule exposes in a layer, each with its number of buckets.
struct Exposures {
    reached: Vec<(std::ops::Range<u32>, u16)>,
    /// Whether a ratio is lower than the one before it.
    goes_back: bool,
}

/// Joins adjacent ranges of windows. Most schedules never lower a ratio, so one range remains.
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

/// Whether a metric is part of the result: metrics of guardrails, and the cost per turn.
fn is_shown(metric: &Metric, scenario: &Scenario) -> bool {
    scenario
        .plan
        .guardrails
        .iter()
        .any(|guardrail| guardrail.metric == metric.id)
        || metric.id == "cost_per_turn_usd"
}

fn is_asked(metric: &Metric, scenario: &Scenario) -> bool {
    is_shown(metric, scenario) || RATE_METRICS.contains(&metric.id.as_str())
}

/// A difference between the releases, with its jackknife interval.
fn paired(
    clusters: &Clusters,
    theta: impl Fn(&[f64]) -> Option<f64>,
    scenario: &Scenario,
) -> Result<PairedEffect, Reason> {
    let estimate = jackknife::delete_one(clusters, theta)?;
    // Pairs without any difference say nothing of its error.
    if estimate.std_error == 0.0 {
        return Err(Reason::NoVariance);
    }
    let ci = estimate.interval(scenario.plan.policy.alpha);
    Ok(PairedEffect {
        effect_size: estimate.estimate,
        std_error: estimate.std_error,
        ci,
        n_clusters: estimate.n_clusters,
    })
}

const _: () = assert!(
    Arm::Baseline as usize == 0 && Arm::Candidate as usize == 1,
    "arms are indices"
);
