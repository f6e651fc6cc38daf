//! What another schedule would have done to the same traffic: prefix sums over requests that both
//! releases answered. The log is not touched, so a thousand schedules cost what one does.

use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::bucket::{N_GROUPS, group_start};
use crate::metric::{Better, Metric, RATE_METRICS, Sum};
use crate::qos::qos_of_sums;
use crate::replay::{CellKey, Cells, Cube, CubeLayer, LayerKey};
use crate::scenario::{Arm, Scenario, Stage, stages_of};
use crate::stats::{Clusters, Interval, Known, Reason, jackknife};

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
    /// `exposed_users` is an upper bound: the schedule takes a ratio back, and the cube does not
    /// know who came only after that; or the log colored users with several layers, and they count
    /// in each.
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
    /// What all exposed requests together would have cost more than with the baseline, in units of
    /// the numerator (events, USD), if the others were like those that are paired. Above 0 is
    /// worse. Only for events and sums of money or tokens.
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

/// A cube, ready for any number of schedules.
pub struct WhatIfCube<'a> {
    cube: &'a Cube,
    /// Columns of the cube's measures that are kept, the row count first. Columns that no question
    /// needs would only take room in the cache.
    columns: Vec<usize>,
}

/// A layer's sums before each window in which some schedule changes something. Only there do
/// answers differ, and for one schedule the groups that a ratio reaches lie side by side.
struct Running {
    width: usize,
    /// Rising, each once; the last is the end of time.
    windows: Vec<u32>,
    /// By window and group, a row: requests, users whose last window came before, baseline's and
    /// candidate's columns of pairs.
    sums: Vec<i64>,
}

/// A run of kept windows, as indices: the sums before its start and before its end.
#[derive(Clone, Copy)]
struct WindowRun {
    start: usize,
    end: usize,
}

/// Where a row of [`Running`] keeps what.
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
        for (key, values) in cells_in_layer(&cube.cells, layer) {
            running.row_behind(key.window, key.group)[REQUESTS] += values[0];
        }
        for (key, values) in cells_in_layer(&cube.pairs, layer) {
            let of_arm = PAIRS + columns.len() * key.arm.index();
            let sums = &mut running.row_behind(key.window, key.group)[of_arm..];
            sums.iter_mut()
                .zip(columns)
                .for_each(|(sum, column)| *sum += values[*column]);
        }
        for users in cube
            .activity
            .iter()
            .filter(|row| (row.tenant, row.layer) == (layer.tenant, layer.layer))
        {
            running.row_behind(users.last_window, users.group)[USERS] += users.n_users as i64;
        }
        for idx in row..running.sums.len() {
            running.sums[idx] += running.sums[idx - row];
        }
        running
    }

    /// The row of the first kept window behind this one.
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

    /// Adds the sums of some windows of a group to `total`; users are those whose last window lies
    /// among them.
    fn add(&self, group: u16, run: WindowRun, total: &mut [i64]) {
        for ((total, until), before) in total
            .iter_mut()
            .zip(self.row(run.end, group))
            .zip(self.row(run.start, group))
        {
            *total += until - before;
        }
    }

    /// Kept windows that a run goes from and to.
    fn ends(&self, windows: &std::ops::Range<u32>) -> WindowRun {
        let idx = |window: u32| self.windows.partition_point(|kept| *kept < window);
        WindowRun {
            start: idx(windows.start),
            end: idx(windows.end),
        }
    }
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

    /// Reads what these scenarios ask of a cube on disk, and no more.
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

    /// What the operations of some scenarios' plans would have done. A step takes effect with the
    /// first whole window after it, and reaches the bucket groups that lie wholly below its ratio.
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
        // Layer by layer, so that the sums of one are in memory at a time.
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
            // Ratios reach the first groups: as many as reach this one are the same ones.
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

    /// Sums of pairs in their units, from those of both arms in turn, group by group: first the
    /// baseline's columns, then the candidate's.
    fn clusters(&self, groups: &[i64], columns: &[(usize, f64)]) -> Clusters {
        let mut values = Vec::with_capacity(columns.len() * groups.len() / self.columns.len());
        for arm in groups.chunks_exact(self.columns.len()) {
            values.extend(columns.iter().map(|(column, units)| arm[*column] as f64 / units));
        }
        Clusters::from_sums(2 * columns.len(), values)
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

/// What a schedule reaches in a layer: windows, and the end of the buckets.
struct Exposures {
    reached: Vec<(std::ops::Range<u32>, u16)>,
    /// Some ratio is lower than the one before.
    goes_back: bool,
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

fn paired(
    clusters: &Clusters,
    theta: impl Fn(&[f64]) -> Option<f64>,
    scenario: &Scenario,
) -> Result<PairedEffect, Reason> {
    let estimate = jackknife::delete_one(clusters, theta)?;
    let ci = estimate.interval(scenario.plan.policy.alpha);
    Ok(PairedEffect {
        effect_size: estimate.estimate,
        std_error: estimate.std_error,
        ci,
        n_clusters: estimate.n_clusters,
    })
}

/// The cells of a layer: keys are in order.
fn cells_in_layer(cells: &Cells, layer: LayerKey) -> impl Iterator<Item = (&CellKey, &[i64])> {
    let start = cells.keys.partition_point(|key| key.layer_key() < layer);
    let range = start..cells.keys.partition_point(|key| key.layer_key() <= layer);
    let width = cells.values.len().checked_div(cells.keys.len()).unwrap_or(0);
    cells.keys[range.clone()]
        .iter()
        .zip(cells.values[range.start * width..range.end * width].chunks_exact(width.max(1)))
}

const _: () = assert!(
    Arm::Baseline as usize == 0 && Arm::Candidate as usize == 1,
    "arms are indices"
);
