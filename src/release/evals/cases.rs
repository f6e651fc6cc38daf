//! Evaluation runs grouped by case: the repeats of each release on the same case.

use hashbrown::HashMap;
use std::sync::Arc;

use crate::release::evals::row::{CaseOutcome, EvalRow};

/// The sum and count of one quantity over the runs of a case.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure {
    /// The sum over the runs that have a value.
    pub sum: f64,
    /// The number of runs that have a value.
    pub n: u32,
}

impl Measure {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    /// The mean over the runs that have a value; `None` without one.
    pub fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

/// The runs of one release on one case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runs {
    /// The number of runs, including runs that ended in an error.
    pub n_runs: u32,
    /// The number of runs that ended in an error, in the run or in its judge.
    pub n_errors: u32,
    /// The outcomes as numbers: 1 for passed, 0 for failed. Other runs have no value.
    pub passed: Measure,
    /// The scores, in the order of [`Suite::metrics`]. A score that no run has is a measure with
    /// `n` 0.
    pub scores: Vec<Measure>,
    /// The cost of the runs in USD, without the cost of judges.
    pub cost: Measure,
    /// The time to the answer in milliseconds.
    pub latency: Measure,
    /// The number of passed runs with a known cost. Cost per passed run divides by it.
    pub paid_passes: f64,
}

/// One case with the runs of both releases.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The id of the case, the same in every release.
    pub case_id: Arc<str>,
    /// The cluster of the case, whose cases are correlated; `None` if the case is its own cluster.
    pub cluster: Option<Arc<str>>,
    /// The runs of the baseline and of the candidate.
    pub arms: [Runs; 2],
}

/// The cases of a suite, sorted by id.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// The name of the suite, such as `golden` or `injection`.
    pub name: Arc<str>,
    /// The names of the scores that at least one case has, sorted.
    pub metrics: Vec<Arc<str>>,
    /// The cases that at least one release has.
    pub cases: Vec<Case>,
}

/// Groups rows into suites and cases. Each row comes with its arm: 0 is the baseline, 1 the
/// candidate.
pub fn suites<'a>(rows: impl IntoIterator<Item = (usize, &'a EvalRow)>) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    let mut of_suite: HashMap<&str, usize> = HashMap::new();
    let rows = rows.into_iter();
    let mut of_case: HashMap<(usize, &str), usize> = HashMap::with_capacity(rows.size_hint().0 / 2);
    let mut of_metric: HashMap<(usize, &str), usize> = HashMap::new();
    for (arm, row) in rows {
        let suite_idx = *of_suite.entry(&row.suite).or_insert_with(|| {
            suites.push(Suite {
                name: row.suite.clone(),
                metrics: Vec::new(),
                cases: Vec::new(),
            });
            suites.len() - 1
        });
        let suite = &mut suites[suite_idx];
        let case_idx = *of_case.entry((suite_idx, &row.case_id)).or_insert_with(|| {
            suite.cases.push(Case {
                case_id: row.case_id.clone(),
                cluster: None,
                arms: [Runs::default(), Runs::default()],
            });
            suite.cases.len() - 1
        });
        let metrics = &mut suite.metrics;
        let case = &mut suite.cases[case_idx];
        if case.cluster.is_none() {
            case.cluster.clone_from(&row.cluster);
        }
        let runs = &mut case.arms[arm];
        runs.n_runs += 1;
        match row.outcome {
            CaseOutcome::Passed => runs.passed.add(1.0),
            CaseOutcome::Failed => runs.passed.add(0.0),
            CaseOutcome::Error => runs.n_errors += 1,
            CaseOutcome::Unrated => {}
        }
        // Most cases have the same scores in every run, so no more is reserved.
        if runs.scores.is_empty() {
            runs.scores.reserve_exact(row.scores.len());
        }
        for (name, value) in &row.scores {
            let metric = *of_metric.entry((suite_idx, name)).or_insert_with(|| {
                metrics.push(name.clone());
                metrics.len() - 1
            });
            if runs.scores.len() <= metric {
                runs.scores.resize(metric + 1, Measure::default());
            }
            runs.scores[metric].add(*value);
        }
        if let Some(cost) = row.cost_usd {
            runs.cost.add(cost);
            runs.paid_passes += f64::from(u8::from(row.outcome == CaseOutcome::Passed));
        }
        row.latency_ms
            .into_iter()
            .for_each(|latency| runs.latency.add(latency));
    }
    // Sorting makes the result independent of the order of files.
    for suite in &mut suites {
        let mut order: Vec<usize> = (0..suite.metrics.len()).collect();
        order.sort_by(|a, b| suite.metrics[*a].cmp(&suite.metrics[*b]));
        let is_in_order = order.is_sorted();
        for runs in suite.cases.iter_mut().flat_map(|case| &mut case.arms) {
            runs.scores.resize(order.len(), Measure::default());
            if !is_in_order {
                runs.scores = order.iter().map(|idx| runs.scores[*idx]).collect();
            }
        }
        suite.metrics = order.iter().map(|idx| suite.metrics[*idx].clone()).collect();
        suite.cases.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    }
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    suites
}

/// A function of a case and an arm (0: baseline, 1: candidate) that returns the mean of a metric
/// over the runs. `None` if no run has a value.
pub type ValueOf = Box<dyn Fn(&Case, usize) -> Option<f64>>;

/// The function that reads a metric: `passed`, `cost_usd`, `latency_ms` or a score. `None` for a
/// score that no case has.
pub fn value_of(suite: &Suite, metric: &str) -> Option<ValueOf> {
    let measure = measure_of(suite, metric)?;
    Some(Box::new(move |case, arm| measure(case, arm).mean()))
}

/// A function of a case and an arm (0: baseline, 1: candidate) that returns the sum and count of a
/// metric.
pub type MeasureOf = Box<dyn Fn(&Case, usize) -> Measure>;

/// The function that reads the sum and count of a metric; `None` for a score that no case has.
pub fn measure_of(suite: &Suite, metric: &str) -> Option<MeasureOf> {
    Some(match metric {
        "passed" => Box::new(|case, arm| case.arms[arm].passed),
        "cost_usd" => Box::new(|case, arm| case.arms[arm].cost),
        "latency_ms" => Box::new(|case, arm| case.arms[arm].latency),
        name => {
            let idx = suite.metrics.iter().position(|known| **known == *name)?;
            Box::new(move |case, arm| case.arms[arm].scores[idx])
        }
    })
}
