//! Sums of the metrics of an arm, side by side in lanes: the compiler makes vector instructions of
//! loops over lanes. Lanes without a metric stay 0.

use crate::simulate::draws::{FewEvents, MANY_EVENTS};
use crate::simulate::model::{ArmModel, GroupModel, LayerModel, MetricModel};
use crate::simulate::stream::{LANES, Stream};

type Lanes = [f64; LANES];

/// Sums of metrics in an arm since the stage began, and the distributions of a window's sums.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// Numerators (`x`) and denominators (`r`).
    x: Lanes,
    r: Lanes,
    /// Difference between the mean of the arm's users and that of all users, in the metric's unit.
    /// It is drawn when the stage begins.
    own: Lanes,
    /// Number of rows of a window, and the expected value of a row.
    rows: Lanes,
    value: Lanes,
    /// Mean and standard deviation of the sum of a window.
    mean: Lanes,
    std_dev: Lanes,
    /// The least and the largest sum: those of a count.
    least: Lanes,
    most: Lanes,
    /// Whether a count has few events or non-events: it has no normal distribution.
    is_few: [bool; LANES],
}

/// The numerator and the denominator of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sums {
    pub(super) x: f64,
    pub(super) r: f64,
}

/// The sums of an arm.
#[derive(Debug, Clone)]
pub(super) struct ArmSums {
    groups: Vec<Group>,
    /// Whether some count has few events.
    has_few: bool,
    few: Vec<FewEvents>,
    /// Number of rows per unit of share in the last window that was drawn, and that window.
    rows: f64,
    window: u32,
    /// Sums whose outcomes are not known yet: a ring buffer of windows for each lane with a delay.
    waiting: Vec<Vec<Sums>>,
}

/// The window that is drawn in an arm.
#[derive(Clone, Copy)]
pub(super) struct ArmWindow<'m> {
    pub(super) layer: &'m LayerModel,
    /// 0 for the control, 1 for the candidate.
    pub(super) arm: usize,
    pub(super) window: u32,
    /// Number of windows since the stage began.
    pub(super) age: u32,
    /// Number of turns.
    pub(super) rows: f64,
    /// Number of the arm's users, seen or not.
    pub(super) all: f64,
}

impl ArmWindow<'_> {
    fn model(&self) -> &ArmModel {
        &self.layer.arms[self.arm]
    }

    fn metric_model(&self, lane: usize) -> &MetricModel {
        &self.layer.metric_models[self.model().metrics[lane]]
    }

    /// The expected value of a row.
    fn value(&self, lane: usize) -> f64 {
        let of_metric = self.metric_model(lane);
        if self.arm == 0 {
            of_metric.baseline
        } else {
            of_metric.candidate[self.window as usize]
        }
    }
}

impl ArmSums {
    pub(super) fn new(model: &ArmModel, metric_models: &[MetricModel]) -> Self {
        let ring = |number: &usize| vec![Sums::default(); metric_models[*number].delay as usize];
        Self {
            groups: vec![Group::default(); model.groups.len()],
            has_few: false,
            few: vec![FewEvents::default(); model.metrics.len()],
            rows: f64::NAN,
            window: 0,
            waiting: model.metrics.iter().map(ring).collect(),
        }
    }

    /// Forgets the data of a stage.
    pub(super) fn clear(&mut self) {
        self.groups.fill(Group::default());
        for ring in &mut self.waiting {
            ring.fill(Sums::default());
        }
    }

    /// The sums of a lane.
    #[inline]
    pub(super) fn of(&self, lane: usize) -> Sums {
        let (group, lane) = (&self.groups[lane / LANES], lane % LANES);
        Sums {
            x: group.x[lane],
            r: group.r[lane],
        }
    }

    /// Draws the sums of a window and adds them.
    #[inline]
    pub(super) fn draw(&mut self, of: ArmWindow<'_>, stream: &mut Stream) {
        let model = of.model();
        let is_like_last =
            of.rows == self.rows && of.window == self.window + 1 && !of.layer.changes[of.window as usize];
        (self.rows, self.window) = (of.rows, of.window);
        if !is_like_last || of.age == 0 {
            self.prepare(of);
        }
        if of.age > 0
            && model.are_together
            && !self.has_few
            && let Some(normals) = stream.normals(model.metrics.len())
        {
            add(&mut self.groups, normals);
        } else {
            self.draw_one_by_one(of, stream);
        }
    }

    /// Computes the distributions of a window's sums.
    fn prepare(&mut self, of: ArmWindow<'_>) {
        self.has_few = false;
        for (idx, (group, model)) in self.groups.iter_mut().zip(&of.model().groups).enumerate() {
            let n = (of.model().metrics.len() - idx * LANES).min(LANES);
            for lane in 0..n {
                group.value[lane] = of.value(idx * LANES + lane) + group.own[lane];
            }
            for lane in 0..LANES {
                self.has_few |= group.prepare(model, lane, of.rows);
            }
        }
    }

    fn draw_one_by_one(&mut self, of: ArmWindow<'_>, stream: &mut Stream) {
        for lane in 0..of.model().metrics.len() {
            let group = &mut self.groups[lane / LANES];
            let (metric_model, at) = (of.metric_model(lane), lane % LANES);
            if of.age == 0 && metric_model.between > 0.0 {
                group.own[at] = stream.normal() * (metric_model.between / of.all).sqrt();
                group.value[at] += group.own[at];
                self.has_few |= group.prepare(&of.model().groups[lane / LANES], at, of.rows);
            }
            let drawn = if group.is_few[at] {
                let few = &mut self.few[lane];
                let (x, r) = few.draw(stream, group.value[at], group.rows[at], metric_model.visits);
                Sums { x, r }
            } else {
                group.draw(at, stream.normal())
            };
            let come = match self.waiting[lane].as_mut_slice() {
                [] => drawn,
                ring => std::mem::replace(&mut ring[of.age as usize % ring.len()], drawn),
            };
            group.x[at] += come.x;
            group.r[at] += come.r;
        }
    }
}

/// Adds the sums of a window to all groups.
#[inline]
fn add(groups: &mut [Group], normals: &[Lanes]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        #[expect(unsafe_code, reason = "the compiler does not know what the processor has")]
        // SAFETY: AVX-512 was found.
        return unsafe { add_wide(groups, normals) };
    }
    add_any(groups, normals);
}

/// As [`add_any`], with the instructions of AVX-512. Both round every operation alike.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn add_wide(groups: &mut [Group], normals: &[Lanes]) {
    add_any(groups, normals);
}

#[inline(always)]
fn add_any(groups: &mut [Group], normals: &[Lanes]) {
    for (group, normals) in groups.iter_mut().zip(normals) {
        group.add(normals);
    }
}

impl Group {
    /// Computes the distribution of a sum from its value. Returns whether it is a count with few events.
    #[inline]
    fn prepare(&mut self, model: &GroupModel, lane: usize, rows: f64) -> bool {
        let (value, rows) = (self.value[lane], rows * model.share[lane]);
        let p = value.clamp(0.0, 1.0);
        let (mean, variance, least, most) = if model.is_proportion[lane] {
            (p, p * (1.0 - p), 0.0, rows)
        } else {
            (value, model.within[lane], f64::NEG_INFINITY, f64::INFINITY)
        };
        self.rows[lane] = rows;
        self.mean[lane] = rows * mean;
        self.std_dev[lane] = (rows * (variance + model.visits[lane])).sqrt();
        (self.least[lane], self.most[lane]) = (least, most);
        let has_many = rows * p.min(1.0 - p) >= MANY_EVENTS;
        self.is_few[lane] = model.is_proportion[lane] && !has_many;
        self.is_few[lane]
    }

    /// The sums of a window with a normal deviate.
    #[inline(always)]
    fn draw(&self, lane: usize, normal: f64) -> Sums {
        let x = self.mean[lane] + normal * self.std_dev[lane];
        // Two choices, which are vector instructions: a call of `clamp` is not.
        let x = if x < self.least[lane] { self.least[lane] } else { x };
        Sums {
            x: if x > self.most[lane] { self.most[lane] } else { x },
            r: self.rows[lane],
        }
    }

    /// Adds the sums of a window.
    #[inline(always)]
    fn add(&mut self, normals: &Lanes) {
        for (lane, normal) in normals.iter().enumerate() {
            let Sums { x, r } = self.draw(lane, *normal);
            self.x[lane] += x;
            self.r[lane] += r;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::scenario::{Overrides, Scenario};
    use crate::simulate::baseline::BaselineInputs;
    use crate::simulate::model::Model;

    use super::*;

    /// Windows that are drawn together have the sums of windows that are drawn metric by metric: with
    /// few and many events, with traffic that changes, and over several stages.
    #[test]
    fn lanes_have_the_sums_of_single_draws() {
        let text = include_str!("../../scenarios/ramp.toml");
        let scenario = Scenario::parse(text, "ramp.toml", Path::new(""), &Overrides::default()).unwrap();
        let simulation = scenario.simulation.as_ref().unwrap();
        let inputs = BaselineInputs::new(&scenario, simulation, None).unwrap();
        let variant = &simulation.plans[0];
        let mut model = Model::new(&scenario, simulation, &inputs, variant, &simulation.worlds[2]);
        let together = model.layers.clone();
        let layers = model.layers.iter_mut();
        layers.for_each(|layer| layer.arms.iter_mut().for_each(|arm| arm.are_together = false));
        let mut n_together = 0;
        for layers in together.iter().zip(&model.layers) {
            for arm in [0, 1] {
                let mut runs = [layers.0, layers.1].map(|layer| {
                    let sums = ArmSums::new(&layer.arms[arm], &layer.metric_models);
                    (layer, sums, Stream::new(1, 2))
                });
                for window in 0..400 {
                    let age = window % 90;
                    for (layer, sums, stream) in &mut runs {
                        if age == 0 {
                            sums.clear();
                        }
                        let rows = if window % 60 < 40 {
                            layer.turns
                        } else {
                            0.02 * layer.turns
                        };
                        let of = ArmWindow {
                            layer,
                            arm,
                            window,
                            age,
                            rows,
                            all: 1_000.0,
                        };
                        sums.draw(of, stream);
                    }
                    let [(layer, found, _), (_, expected, _)] = &runs;
                    for lane in 0..layer.arms[arm].metrics.len() {
                        assert_eq!(found.of(lane), expected.of(lane), "{arm} {window} {lane}");
                    }
                    n_together += u32::from(layer.arms[arm].are_together && !found.has_few);
                }
            }
        }
        assert!(n_together > 300, "{n_together}");
    }
}
